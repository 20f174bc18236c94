//! What bridges are shown of the switch. Numbers of datapath ports mean something in their datapath alone, so bridges of
//! different types see the ports and tunnels of their own.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use flow::OdpPort;
use ofproto::view::{PortRef, SwitchView, TunnelMap};

use super::{BridgeState, PortState, Switch};

/// The ports of one type's bridges.
#[derive(Default)]
pub(super) struct Shown {
    odp_ports: HashMap<OdpPort, PortRef>,
    tunnels: Arc<TunnelMap>,
}

impl Switch {
    /// Takes in that ports came, went or moved. Where all bridges are of one type, the switch's view is theirs.
    pub(super) fn show_ports(&mut self) {
        let kinds: BTreeSet<&String> = self.bridges.values().map(|b| &b.datapath).collect();
        let kinds: Vec<String> = if kinds.len() > 1 { kinds.into_iter().cloned().collect() } else { Vec::new() };
        let mut shown = std::mem::take(&mut self.shown);
        shown.retain(|kind, _| kinds.contains(kind));
        for kind in kinds {
            let of = shown.entry(kind.clone()).or_default();
            of.odp_ports = self.odp_ports(Some(&kind));
            of.tunnels = self.tunnel_map(Some(&kind), &of.tunnels);
        }
        self.shown = shown;
    }

    /// The views of those types of datapaths that have one of their own.
    pub(super) fn views_by_datapath(&self) -> BTreeMap<String, Arc<SwitchView>> {
        let view = |of: &Shown| {
            let (odp_ports, tunnels) = (of.odp_ports.clone(), of.tunnels.clone());
            Arc::new(SwitchView { odp_ports, tunnels, ..SwitchView::clone(&self.view) })
        };
        self.shown.iter().map(|(kind, of)| (kind.clone(), view(of))).collect()
    }

    fn bridges_of(&self, kind: Option<&str>) -> impl Iterator<Item = &BridgeState> {
        self.bridges.values().filter(move |b| kind.is_none_or(|kind| b.datapath == kind))
    }

    /// Which ports the datapath's are, of bridges of a type or all.
    pub(super) fn odp_ports(&self, kind: Option<&str>) -> HashMap<OdpPort, PortRef> {
        let of_bridge = |b: &BridgeState| {
            let id = b.id;
            let own = b.ports.values().filter(|p| p.tunnel.is_none());
            own.filter_map(|p| Some((p.odp?, PortRef { bridge: id, port: p.port }))).collect::<Vec<_>>()
        };
        self.bridges_of(kind).flat_map(of_bridge).collect()
    }

    /// The tunnels of bridges of a type, or all; `known` where nothing changed.
    pub(super) fn tunnel_map(&self, kind: Option<&str>, known: &Arc<TunnelMap>) -> Arc<TunnelMap> {
        let of_bridge = |b: &BridgeState| {
            let id = b.id;
            let tunnel = |p: &PortState| Some((PortRef { bridge: id, port: p.port }, p.odp?, p.tunnel.clone()?));
            b.ports.values().filter_map(tunnel).collect::<Vec<_>>()
        };
        let map = TunnelMap { ports: self.bridges_of(kind).flat_map(of_bridge).collect() };
        if map == **known { known.clone() } else { Arc::new(map) }
    }
}
