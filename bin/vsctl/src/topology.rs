//! Bridges, ports and interfaces as ovs-vsctl sees them: a fake bridge, which is a port with a VLAN,
//! counts as a bridge and takes the ports of its VLAN from its parent.

use crate::{Outcome, fail};
use idl::Transaction;
use idl::vswitch::{Bridge as BridgeRow, Interface, OpenvSwitch, Port as PortRow};
use ovsdb::Uuid;
use std::collections::BTreeMap;
use std::rc::Rc;

/// A bridge, real or fake.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Bridge {
    pub name: String,
    /// The row of the real bridge: the parent's for a fake bridge.
    pub row: Uuid,
    /// The parent of a fake bridge and its VLAN.
    pub parent: Option<(String, i64)>,
}

/// A port.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Port {
    pub name: Rc<str>,
    pub row: Uuid,
    /// The bridge, real or fake, that it counts to.
    pub bridge: Rc<str>,
}

/// An interface.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Iface {
    pub name: Rc<str>,
    pub row: Uuid,
    pub port: Rc<str>,
}

/// All of them by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Topology {
    pub bridges: BTreeMap<String, Bridge>,
    pub ports: BTreeMap<Rc<str>, Port>,
    pub ifaces: BTreeMap<Rc<str>, Iface>,
}

/// The VLAN of a port that is a fake bridge.
fn fake_vlan(port: &PortRow<'_>) -> Option<i64> {
    port.tag().filter(|tag| port.fake_bridge() && (0..=4095).contains(tag))
}

impl Topology {
    /// Reads the topology and makes the transaction depend on it.
    pub fn read(txn: &mut Transaction<'_>, ovs: Uuid) -> Topology {
        let mut topology = Topology::default();
        let mut relied_on = Vec::new();
        let Some(root) = txn.row("Open_vSwitch", ovs) else { return topology };
        for uuid in OpenvSwitch(root).bridges() {
            let Some(bridge) = txn.row("Bridge", uuid).map(BridgeRow) else { continue };
            relied_on.push(uuid);
            topology.add_bridge(txn, &bridge);
        }
        for uuid in relied_on {
            txn.verify("Bridge", uuid, "ports");
        }
        txn.verify("Open_vSwitch", ovs, "bridges");
        topology
    }

    fn add_bridge(&mut self, txn: &Transaction<'_>, row: &BridgeRow<'_>) {
        let name = row.name().to_string();
        if self.bridges.contains_key(&name) {
            vlog::warn!("vsctl", "{name}: database contains duplicate bridge name");
            return;
        }
        self.bridges.insert(name.clone(), Bridge { name: name.clone(), row: row.uuid(), parent: None });
        let ports: Vec<PortRow<'_>> =
            row.ports().into_iter().filter_map(|uuid| txn.row("Port", uuid).map(PortRow)).collect();
        for port in &ports {
            let Some(vlan) = fake_vlan(port) else { continue };
            if let Some(other) = self.find_vlan_bridge(&name, vlan) {
                let (other, this) = (other.name.clone(), port.name());
                vlog::warn!(
                    "vsctl",
                    "{name}: bridge has multiple VLAN bridges ({other} and {this}) for VLAN {vlan}, but only one is allowed"
                );
                continue;
            }
            let fake = Bridge { name: port.name().to_string(), row: row.uuid(), parent: Some((name.clone(), vlan)) };
            self.bridges.entry(fake.name.clone()).or_insert(fake);
        }
        let name = Rc::from(name);
        for port in &ports {
            self.add_port(txn, &name, port);
        }
    }

    fn add_port(&mut self, txn: &Transaction<'_>, bridge: &Rc<str>, row: &PortRow<'_>) {
        let name: Rc<str> = Rc::from(row.name());
        let fake = row.tag().and_then(|tag| self.find_vlan_bridge(bridge, tag));
        let owner = fake.map_or_else(|| bridge.clone(), |fake| Rc::from(fake.name.as_str()));
        if let Some(other) = self.ports.get(&name) {
            if other.row == row.uuid() {
                vlog::warn!("vsctl", "{name}: port is in multiple bridges ({owner} and {})", other.bridge);
            } else {
                vlog::warn!("vsctl", "{name}: database contains duplicate port name");
            }
            return;
        }
        self.ports.insert(name.clone(), Port { name: name.clone(), row: row.uuid(), bridge: owner });
        for uuid in row.interfaces() {
            let Some(iface) = txn.row("Interface", uuid).map(Interface) else { continue };
            let iface_name = if iface.name() == &*name { name.clone() } else { Rc::from(iface.name()) };
            match self.ifaces.get(&iface_name) {
                None => {
                    let entry = Iface { name: iface_name.clone(), row: uuid, port: name.clone() };
                    self.ifaces.insert(iface_name, entry);
                }
                // What commands just made the server will judge.
                Some(_) if txn.is_inserted(uuid) => {}
                Some(other) if other.row == uuid => {
                    let port = &other.port;
                    vlog::warn!("vsctl", "{iface_name}: interface is in multiple ports ({port} and {name})");
                }
                Some(_) => vlog::warn!("vsctl", "{iface_name}: database contains duplicate interface name"),
            }
        }
    }

    /// Takes in a port that was just put on a bridge; false if everything has to be read anew for that.
    pub fn admit(&mut self, txn: &Transaction<'_>, bridge: &Bridge, port: Uuid) -> bool {
        let Some(row) = txn.row("Port", port).map(PortRow) else { return false };
        let real = bridge.parent.as_ref().map_or(&bridge.name, |(parent, _)| parent);
        let fits = !row.fake_bridge() && !self.ports.contains_key(row.name());
        if fits {
            self.add_port(txn, &Rc::from(real.as_str()), &row);
        }
        fits
    }

    /// Takes out a port that is about to be taken off its bridge; false if everything has to be read anew for that.
    pub fn dismiss(&mut self, txn: &Transaction<'_>, port: &Port) -> bool {
        let Some(row) = txn.row("Port", port.row).map(PortRow) else { return false };
        if row.fake_bridge() {
            return false;
        }
        for uuid in row.interfaces() {
            let name = txn.row("Interface", uuid).map(|iface| Interface(iface).name().to_owned());
            name.and_then(|name| self.ifaces.remove(name.as_str()));
        }
        self.ports.remove(&port.name);
        true
    }

    /// The fake bridge of `parent` for a VLAN.
    pub fn find_vlan_bridge(&self, parent: &str, vlan: i64) -> Option<&Bridge> {
        self.bridges.values().find(|b| b.parent.as_ref().is_some_and(|(name, v)| name == parent && *v == vlan))
    }

    /// The bridge of this name.
    pub fn bridge(&self, name: &str) -> Outcome<&Bridge> {
        match self.bridges.get(name) {
            Some(bridge) => Ok(bridge),
            None => fail(format!("no bridge named {name}")),
        }
    }

    /// The bridge of this name, which must not be a fake one.
    pub fn real_bridge(&self, name: &str) -> Outcome<&Bridge> {
        match self.bridge(name)? {
            Bridge { parent: Some(_), .. } => fail(format!("{name} is a fake bridge")),
            bridge => Ok(bridge),
        }
    }

    /// The port of this name, if it is not the local port of a bridge.
    pub fn port(&self, name: &str) -> Option<&Port> {
        self.ports.get(name).filter(|port| *port.bridge != *name)
    }

    /// The interface of this name, if it is not that of a bridge's local port.
    pub fn iface(&self, name: &str) -> Option<&Iface> {
        self.ifaces.get(name).filter(|iface| self.bridge_of(iface) != name)
    }

    /// The name of the bridge that an interface counts to.
    pub fn bridge_of(&self, iface: &Iface) -> &str {
        self.ports.get(&iface.port).map_or("", |port| &port.bridge)
    }

    /// The ports that count to a bridge, without its local port, in order of names.
    pub fn ports_of<'a>(&'a self, bridge: &'a str) -> impl Iterator<Item = &'a Port> {
        self.ports.values().filter(move |port| *port.bridge == *bridge && *port.name != *bridge)
    }

    /// The interfaces of a port in order of names.
    pub fn ifaces_of<'a>(&'a self, port: &'a str) -> impl Iterator<Item = &'a Iface> {
        self.ifaces.values().filter(move |iface| *iface.port == *port)
    }

    /// Checks that nothing is called `name` yet; `what` begins the error's text.
    pub fn check_free(&self, name: &str, what: &str) -> Outcome<()> {
        if self.bridges.contains_key(name) {
            return fail(format!("{what} because a bridge named {name} already exists"));
        }
        if let Some(port) = self.ports.get(name) {
            return fail(format!("{what} because a port named {name} already exists on bridge {}", port.bridge));
        }
        if let Some(iface) = self.ifaces.get(name) {
            let bridge = self.bridge_of(iface);
            return fail(format!("{what} because an interface named {name} already exists on bridge {bridge}"));
        }
        Ok(())
    }
}
