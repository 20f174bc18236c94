//! Texts of control commands about learned addresses and datapath ports: `fdb/*`, `mdb/show`, `dpif/show`.
//!
//! Source: ovs-vswitchd(8), and what Open vSwitch 3.1 prints.

use flow::text::{ipv4, ipv6, mac};
use l2proto::mac_learning::{MacKey, MacTable};
use l2proto::mcast_snooping::McastTable;
use openflow::OfPort;

use super::{BridgeView, BundleId, PortKind};

/// The port of a bundle as these tables show it: its first port's number, of a bond as well.
fn port_text(bridge: &BridgeView, bundle: u32) -> String {
    let Some(bundle) = bridge.bundles.get(&BundleId(bundle)) else { return "?".to_owned() };
    match bundle.ports.first() {
        Some(&OfPort::LOCAL) => "LOCAL".to_owned(),
        Some(port) => port.0.to_string(),
        None => "?".to_owned(),
    }
}

/// `fdb/show`.
pub fn fdb_show(bridge: &BridgeView, macs: &MacTable, now_ms: i64) -> String {
    let mut out = " port  VLAN  MAC                Age\n".to_owned();
    for (key, entry, age) in macs.entries(now_ms) {
        let port = port_text(bridge, entry.port);
        let age = if entry.is_static { "static".to_owned() } else { format!("{age:3}") };
        out.push_str(&format!("{port:>5}  {:4}  {}  {age}\n", key.vlan, mac(key.mac)));
    }
    out
}

/// `fdb/stats-show`.
pub fn fdb_stats(bridge: &BridgeView, macs: &MacTable) -> String {
    let s = &macs.stats;
    format!(
        "Statistics for bridge \"{}\":\n\
         \x20 Current/maximum MAC entries in the table: {}/{}\n\
         \x20 Current static MAC entries in the table : {}\n\
         \x20 Total number of learned MAC entries     : {}\n\
         \x20 Total number of expired MAC entries     : {}\n\
         \x20 Total number of evicted MAC entries     : {}\n\
         \x20 Total number of port moved MAC entries  : {}\n",
        bridge.name,
        macs.len(),
        macs.max_entries(),
        s.static_entries,
        s.learned,
        s.expired,
        s.evicted,
        s.moved
    )
}

/// `aa:bb:cc:dd:ee:ff`.
fn parse_mac(text: &str) -> Option<u64> {
    let mut octets = 0;
    let mut mac = 0u64;
    for part in text.split(':') {
        if part.is_empty() || part.len() > 2 {
            return None;
        }
        mac = mac << 8 | u64::from(u8::from_str_radix(part, 16).ok()?);
        octets += 1;
    }
    (octets == 6).then_some(mac)
}

/// `fdb/add bridge port vlan mac`, without the bridge.
///
/// # Errors
/// A text for a user.
pub fn fdb_add(
    bridge: &BridgeView,
    macs: &mut MacTable,
    port: &str,
    vlan: u16,
    mac: &str,
    now_ms: i64,
) -> Result<(), &'static str> {
    let mac = parse_mac(mac).ok_or("bad MAC address")?;
    let named = bridge.ports.values().find(|p| p.name == port);
    let bundle = named.and_then(|p| p.bundle).ok_or("software error, odp port is present but no ofp port")?;
    macs.add_static(MacKey { vlan, mac }, bundle.0, now_ms);
    Ok(())
}

/// `fdb/del bridge vlan mac`, without the bridge.
///
/// # Errors
/// A text for a user.
pub fn fdb_del(macs: &mut MacTable, vlan: u16, mac: &str) -> Result<(), &'static str> {
    let mac = parse_mac(mac).ok_or("bad MAC address")?;
    let key = MacKey { vlan, mac };
    if !macs.lookup(&key).is_some_and(|e| e.is_static) {
        return Err("could not find static mac entry");
    }
    macs.remove(&key);
    Ok(())
}

/// `mdb/show`.
pub fn mdb_show(bridge: &BridgeView, groups: &McastTable, now_ms: i64) -> String {
    let mut out = " port  VLAN  GROUP                Age\n".to_owned();
    for (port, vlan, group, age) in groups.entries(now_ms) {
        let port = port_text(bridge, port);
        let group = match group {
            Some(g) if g >> 32 == 0xffff => ipv4(g as u32),
            Some(g) => ipv6(g),
            None => "querier    ".to_owned(),
        };
        out.push_str(&format!("{port:>5}  {vlan:4}  {group}         {age:3}\n"));
    }
    out
}

/// One bridge's part of `dpif/show`; `kind` names a port's device type and options.
pub fn dpif_bridge(bridge: &BridgeView, kind: impl Fn(OfPort) -> String) -> String {
    let mut ports: Vec<_> = bridge.ports.values().collect();
    ports.sort_by(|a, b| a.name.cmp(&b.name));
    let mut out = format!("  {}:\n", bridge.name);
    for port in ports {
        let odp = match (&port.kind, port.odp) {
            (PortKind::Patch(_), _) | (_, None) => "none".to_owned(),
            (_, Some(odp)) => odp.to_string(),
        };
        out.push_str(&format!("    {} {}/{odp}: ({})\n", port.name, port.port.0, kind(port.port)));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::{BridgeId, BundleView};
    use std::sync::Arc;

    #[test]
    fn learned_addresses_show_as_open_vswitch_shows_them() {
        let mut bridge = BridgeView::new(BridgeId(0), "br0");
        for i in [1, 2] {
            let view = BundleView::new(BundleId(i), &format!("p{i}"), OfPort(i as u16));
            bridge.bundles.insert(BundleId(i), Arc::new(view));
        }
        let mut macs = MacTable::default();
        macs.learn(MacKey { vlan: 3, mac: 0x5054_0000_000b }, 2, false, false, 0);
        macs.add_static(MacKey { vlan: 5, mac: 0x5054_0000_0099 }, 1, 0);
        let expected = " port  VLAN  MAC                Age\n\
                        \x20   2     3  50:54:00:00:00:0b    0\n\
                        \x20   1     5  50:54:00:00:00:99  static\n";
        assert_eq!(fdb_show(&bridge, &macs, 0), expected);
        assert!(fdb_stats(&bridge, &macs).contains("table: 2/8192\n"));
        assert_eq!(fdb_del(&mut macs, 5, "50:54:00:00:00:98"), Err("could not find static mac entry"));
        assert_eq!(fdb_del(&mut macs, 5, "50:54:00:00:00:99"), Ok(()));
        assert_eq!(fdb_del(&mut macs, 5, "foo"), Err("bad MAC address"));
    }
}
