//! VLANs that Auto-Attach asks for, written to the ports that ask: `trunks` and `vlan_mode` of each port that speaks LLDP
//! have the VLANs of the bridge's mappings, so that traffic of them passes.
//!
//! Source: ovs-vswitchd.conf.db(5), table AutoAttach; observed behaviour of Open vSwitch 3.1, which neither waits for the
//! server's answer nor takes VLANs away when it refuses, when LLDP ends, or when the whole row goes.

use std::collections::{BTreeMap, BTreeSet};

use ovsdb::{Atom, Datum};

use super::desired::{DesiredBridge, DesiredPort};
use super::plan::flag;
use crate::msg::switch::RowWrite;

/// Mappings, service and VLAN, that ports of a bridge have had applied.
pub(super) type Applied = BTreeMap<String, BTreeSet<(i64, i64)>>;

/// What is to be written to a bridge's ports for mappings that came or went; `applied` then knows of them.
pub(super) fn rows(bridge: &DesiredBridge, applied: &mut Applied) -> Vec<RowWrite> {
    applied.retain(|port, _| bridge.ports.contains_key(port));
    let Some(row) = &bridge.auto_attach else { return Vec::new() };
    let wanted: BTreeSet<(i64, i64)> = row.mappings.iter().map(|(service, vlan)| (*service, *vlan)).collect();
    let speaks = |port: &DesiredPort| port.interfaces.values().any(|i| flag(&i.lldp, "enable"));
    let mut rows = Vec::new();
    for port in bridge.ports.values() {
        if !speaks(port) && !applied.contains_key(&port.name) {
            continue;
        }
        let before = applied.entry(port.name.clone()).or_default();
        let mut trunks: BTreeSet<i64> = port.trunks.iter().copied().collect();
        for (_, vlan) in before.difference(&wanted) {
            trunks.remove(vlan);
        }
        trunks.extend(wanted.difference(before).map(|(_, vlan)| *vlan));
        if *before != wanted {
            rows.push(port_row(port, &trunks));
            before.clone_from(&wanted);
        }
    }
    rows
}

fn port_row(port: &DesiredPort, trunks: &BTreeSet<i64>) -> RowWrite {
    let mode = if trunks.is_empty() { "access" } else { "trunk" };
    let trunks = Datum::set(trunks.iter().map(|vlan| Atom::Integer(*vlan)));
    RowWrite { table: "Port", uuid: port.uuid, columns: vec![("trunks", trunks), ("vlan_mode", Datum::string(mode))] }
}
