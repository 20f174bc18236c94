//! What the database says of a port besides its VLANs: bond and LACP.
//!
//! Source: ovs-vswitchd.conf.db(5), table Port "Bonding Configuration", table Interface "LACP Configuration".

use std::collections::BTreeMap;

use l2proto::bond::{BondConfig, BondMode};
use l2proto::lacp::{DEFAULT_SYSTEM_PRIORITY, LacpConfig, MemberConfig};
use ofproto::bridge::{BundleSettings, LacpSettings};

use super::desired::{DesiredInterface, DesiredPort, Pairs};
use super::plan::{PlannedPort, figure, flag, number};
use crate::port::device::parse_mac;

/// The shortest interval between two balancings, milliseconds.
const LEAST_REBALANCE_MS: u32 = 1000;

/// A port's settings, of those of its interfaces that are there.
pub(super) fn bundle_settings(port: &DesiredPort, ports: &BTreeMap<String, PlannedPort>) -> BundleSettings {
    let present: Vec<(&DesiredInterface, &PlannedPort)> =
        port.interfaces.values().filter_map(|i| Some((&**i, ports.get(&i.name)?))).collect();
    BundleSettings {
        bond: (present.len() > 1).then(|| bond(port)),
        active_mac: port.bond_active.0.as_deref().and_then(parse_mac).unwrap_or(0),
        lacp: (speaks_lacp(port) && lacp_refused(port).is_none()).then(|| LacpSettings {
            bundle: lacp(port),
            members: present.iter().map(|(i, planned)| (planned.port, member(i, planned))).collect(),
        }),
    }
}

fn bond(port: &DesiredPort) -> BondConfig {
    let keys = &port.other_config;
    let interval_ms = number(keys, "bond-rebalance-interval", 10_000);
    let interval_ms = if interval_ms == 0 { 0 } else { interval_ms.max(LEAST_REBALANCE_MS) };
    BondConfig {
        name: port.name.clone(),
        mode: match port.bond_mode.as_deref() {
            Some("balance-slb") => BondMode::BalanceSlb,
            Some("balance-tcp") => BondMode::BalanceTcp,
            _ => BondMode::ActiveBackup,
        },
        updelay_ms: port.bond_updelay_ms.max(0),
        downdelay_ms: port.bond_downdelay_ms.max(0),
        rebalance_interval_ms: i64::from(interval_ms),
        // What is negative counts as what its bits are.
        basis: figure::<i32>(keys, "bond-hash-basis").unwrap_or(0).cast_unsigned(),
        lb_output: flag(keys, "lb-output-action"),
        lacp_fallback_ab: flag(keys, "lacp-fallback-ab"),
        all_members_active: flag(keys, "all-members-active") || flag(keys, "all-slaves-active"),
        primary: keys.get("bond-primary").cloned(),
    }
}

/// A 16-bit number above zero.
fn positive(pairs: &Pairs, key: &str) -> Option<u16> {
    figure(pairs, key).filter(|n| *n > 0)
}

/// A bond goes before a port that merely speaks LACP.
fn default_priority(port: &DesiredPort) -> u16 {
    if port.interfaces.len() > 1 { DEFAULT_SYSTEM_PRIORITY } else { u16::MAX }
}

fn speaks_lacp(port: &DesiredPort) -> bool {
    matches!(port.lacp.as_deref(), Some("active" | "passive"))
}

/// Why a port that is to speak LACP cannot as it is told to: it then speaks none.
pub(super) fn lacp_refused(port: &DesiredPort) -> Option<String> {
    let id = port.other_config.get("lacp-system-id").filter(|_| speaks_lacp(port))?;
    match parse_mac(id) {
        None => Some(format!("LACP system ID ({id}) must be an Ethernet address.")),
        Some(0) => Some("Invalid zero LACP system ID.".to_owned()),
        Some(_) => None,
    }
}

fn lacp(port: &DesiredPort) -> LacpConfig {
    let keys = &port.other_config;
    LacpConfig {
        name: port.name.clone(),
        system_id: keys.get("lacp-system-id").and_then(|id| parse_mac(id)).unwrap_or(0),
        system_priority: positive(keys, "lacp-system-priority").unwrap_or_else(|| default_priority(port)),
        active: port.lacp.as_deref() == Some("active"),
        fast: keys.get("lacp-time").is_some_and(|time| time.eq_ignore_ascii_case("fast")),
        fallback_ab: flag(keys, "lacp-fallback-ab"),
    }
}

fn member(interface: &DesiredInterface, planned: &PlannedPort) -> MemberConfig {
    let keys = &interface.other_config;
    MemberConfig {
        name: interface.name.clone(),
        port_id: positive(keys, "lacp-port-id").unwrap_or(planned.port.0),
        port_priority: positive(keys, "lacp-port-priority").unwrap_or(u16::MAX),
        key: positive(keys, "lacp-aggregation-key").unwrap_or(0),
        is_carrier_untold: planned.kind.starts_with("dummy"),
    }
}
