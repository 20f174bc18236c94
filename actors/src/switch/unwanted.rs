//! Which ports a bridge cannot keep as they are when another configuration is wanted.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ofproto::view::TunnelConfig;
use openflow::OfPort;

use super::desired::{DesiredBridge, DesiredInterface, DesiredPort, DesiredSwitch};
use super::{BridgeState, PortState, checks, plan, tunnels};

/// An interface that is wanted, with the name of the row in table Port that it is a member of.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub name: &'a str,
    pub bundle: &'a str,
    pub config: &'a Arc<DesiredInterface>,
}

/// A bridge's interfaces in order of their names.
pub(super) struct Interfaces<'a>(Vec<Wanted<'a>>);

impl<'a> Interfaces<'a> {
    /// Those of a row. Of two with one name the last counts.
    pub fn of(row: &'a DesiredBridge) -> Interfaces<'a> {
        let of_port = |port: &'a Arc<DesiredPort>| {
            let bundle = port.name.as_str();
            port.interfaces.iter().map(move |(name, config)| Wanted { name, bundle, config })
        };
        let mut all: Vec<Wanted<'a>> = row.ports.values().flat_map(of_port).collect();
        // Ports come in order of names, and are called as their interfaces: there is little to do.
        all.sort_by(|a, b| a.name.cmp(b.name));
        all.dedup_by(|later, earlier| {
            let again = later.name == earlier.name;
            if again {
                *earlier = *later;
            }
            again
        });
        Interfaces(all)
    }

    pub fn get(&self, name: &str) -> Option<&Wanted<'a>> {
        self.0.binary_search_by(|wanted| wanted.name.cmp(name)).ok().and_then(|at| self.0.get(at))
    }

    pub fn retain(&mut self, keep: impl FnMut(&Wanted<'a>) -> bool) {
        self.0.retain(keep);
    }

    pub fn as_slice(&self) -> &[Wanted<'a>] {
        &self.0
    }
}

/// Interfaces that a bridge wants for the first time while another has them.
pub(super) fn taken_elsewhere(wanted: &DesiredSwitch, bridges: &BTreeMap<String, BridgeState>) -> BTreeSet<String> {
    let mut taken = BTreeSet::new();
    for (name, row) in &wanted.bridges {
        let own = bridges.get(name);
        let is_new = |port: &&String| own.is_none_or(|bridge| !bridge.ports.contains_key(*port));
        for port in row.ports.values().flat_map(|p| p.interfaces.keys()).filter(is_new) {
            if bridges.iter().any(|(other, bridge)| other != name && bridge.ports.contains_key(port)) {
                taken.insert(port.clone());
            }
        }
    }
    taken
}

/// Ports of a bridge that have to be made anew, or not at all.
pub(super) fn unwanted(bridge: &BridgeState, interfaces: &Interfaces<'_>) -> BTreeSet<String> {
    let must_go = |name: &String, port: &PortState| {
        let tunnel = port.tunnel.as_ref();
        interfaces.get(name).is_none_or(|&Wanted { bundle, config: i, .. }| {
            if bundle == port.bundle && Arc::ptr_eq(i, &port.config) {
                return false;
            }
            bundle != port.bundle
                || i.kind != port.config.kind
                || checks::option_error(i).is_some()
                || tunnel.is_some_and(|old| is_moved(old, i))
        })
    };
    let (mut gone, kept): (Vec<_>, Vec<_>) = bridge.ports.iter().partition(|(name, port)| must_go(name, port));
    let request = |name: &String| interfaces.get(name).and_then(|wanted| plan::requested(wanted.config));
    let asks = |(name, port): &(&String, &PortState)| request(name).is_some_and(|wanted| wanted != port.port);
    let movers = kept.iter().filter(|(_, port)| port.port != OfPort::LOCAL).copied().filter(asks).collect::<Vec<_>>();
    let holders: BTreeMap<OfPort, &String> = match movers.is_empty() {
        true => BTreeMap::new(),
        false => kept.iter().map(|(name, port)| (port.port, *name)).collect(),
    };
    for (name, port) in movers {
        let Some(wanted) = request(name) else { continue };
        // Who has that number without asking for it gets another.
        match holders.get(&wanted) {
            Some(holder) if request(holder) == Some(wanted) => {}
            holder => {
                gone.push((name, port));
                gone.extend(holder.and_then(|name| bridge.ports.get_key_value(*name)));
            }
        }
    }
    gone.into_iter().map(|(name, _)| name.clone()).collect()
}

/// Whether a tunnel stays what it is for all but the datapath: nobody is told that it went and came.
pub(super) fn is_only_moved(bridge: &BridgeState, interfaces: &Interfaces<'_>, name: &str) -> bool {
    let (Some(port), Some(wanted)) = (bridge.ports.get(name), interfaces.get(name)) else { return false };
    let interface = wanted.config;
    let stays =
        wanted.bundle == port.bundle && interface.kind == port.config.kind && checks::option_error(interface).is_none();
    let asked = plan::requested(interface).is_none_or(|asked| asked == port.port);
    stays && asked && port.tunnel.as_ref().is_some_and(|old| retunnelled(old, interface).is_some())
}

/// Whether a tunnel needs another port of the datapath, or cannot be any more.
fn is_moved(old: &TunnelConfig, interface: &DesiredInterface) -> bool {
    let fits = |new: TunnelConfig| new.datapath_port() == old.datapath_port();
    !retunnelled(old, interface).is_some_and(fits)
}

/// What a tunnel is to be, if that can be.
pub(super) fn retunnelled(old: &TunnelConfig, interface: &DesiredInterface) -> Option<TunnelConfig> {
    tunnels::read(&interface.name, old.kind, &interface.options, old.native).ok()
}
