//! What the database says of spanning trees, BFD, CFM and LLDP.
//!
//! Source: ovs-vswitchd.conf.db(5), tables Bridge and Port "Spanning Tree", Interface "BFD" and "CFM".

use std::collections::{BTreeMap, BTreeSet};

use hashing::HashOrder;
use l2proto::bfd::control::Addresses;
use l2proto::{bfd, cfm, lldp, rstp, stp};
use ofproto::bridge::{BfdConfig, CcmVlan, CfmConfig, LivenessConfig, SpanningConfig};
use ofproto::view::BundleId;
use openflow::OfPort;
use openflow::message::port::speed_of;

use super::desired::{DesiredAutoAttach, DesiredBridge, DesiredInterface, DesiredPort, Pairs};
use super::plan::{PlannedPort, figure, flag, number};
use crate::port::device::{mac_text, parse_mac};
use crate::unixctl::leading_number;

/// Destination of BFD frames unless configured.
const BFD_ETH_DST: u64 = 0x0023_2000_0001;
/// 169.254.1.1 and 169.254.1.0.
const BFD_IP_SRC: u32 = 0xa9fe_0101;
const BFD_IP_DST: u32 = 0xa9fe_0100;
/// What a switch is, unless configured.
const LLDP_DESCRIPTION: &str = "openvswitch 3.1.0";
/// Numbers of end points outside the extended mode (IEEE 802.1ag clause 21.6.3).
const MPIDS: std::ops::RangeInclusive<i64> = 1..=8191;
const DEFAULT_INTERVAL_MS: u32 = 1000;
const RSTP_COSTS: std::ops::RangeInclusive<u32> = 1..=200_000_000;
/// The key of the number that a port has in RSTP.
const RSTP_NUMBER: &str = "rstp-port-num";
const DEFAULT_BFD_MIN_TX_MS: u32 = 100;

/// A bridge's ports in the order in which they were made.
pub(super) type Made = BTreeMap<String, BundleId>;

/// What an interface tells by LLDP, with the services of its bridge.
pub(super) fn lldp(name: &str, planned: &PlannedPort, bridge: Option<&DesiredAutoAttach>) -> lldp::Settings {
    let of_bridge = |text: fn(&DesiredAutoAttach) -> &String| bridge.map(text).filter(|t| !t.is_empty()).cloned();
    let wishes = bridge.into_iter().flat_map(|b| &b.mappings);
    lldp::Settings {
        name: name.to_owned(),
        mac: planned.status.mac,
        system_name: of_bridge(|b| &b.system_name).unwrap_or_default(),
        system_description: of_bridge(|b| &b.system_description).unwrap_or_else(|| LLDP_DESCRIPTION.to_owned()),
        mappings: wishes.filter_map(|(s, v)| Some((u32::try_from(*s).ok()?, u16::try_from(*v).ok()?))).collect(),
    }
}

/// The spanning tree of a bridge with this address; RSTP where both are asked for.
pub(super) fn spanning(
    row: &DesiredBridge,
    ports: &BTreeMap<String, PlannedPort>,
    made: &Made,
    mac: u64,
) -> SpanningConfig {
    let keys = &row.other_config;
    let address = |key: &str| keys.get(key).and_then(|m| parse_mac(m)).unwrap_or(mac);
    let short = |key: &str, default: u16| u16::try_from(number(keys, key, default.into())).unwrap_or(default);
    let priority = |key: &str, default: u16| low_bits(keys, key, default.into()) as u16;
    if row.rstp_enable {
        let default = rstp::BridgeSettings::new(address("rstp-address"));
        // What is no number of seconds fits nothing.
        let seconds = |key: &str, default: u16| {
            super::plan::figure::<i64>(keys, key).map_or(default, |s| u16::try_from(s).unwrap_or(0))
        };
        SpanningConfig::Rstp {
            bridge: rstp::BridgeSettings {
                priority: priority("rstp-priority", default.priority),
                stp_only: keys.get("rstp-force-protocol-version").is_some_and(|v| v == "0"),
                max_age: seconds("rstp-max-age", default.max_age),
                forward: seconds("rstp-forward-delay", default.forward),
                hold_count: short("rstp-transmit-hold-count", default.hold_count),
                ..default
            },
            ports: rstp_ports(row, ports, made),
            mcheck: members(row, ports, made, "rstp-enable")
                .filter(|(port, _)| flag(&port.other_config, "rstp-port-mcheck"))
                .map(|(_, planned)| planned.port)
                .collect(),
        }
    } else if row.stp_enable {
        let numbers = StpNumbers::of(row, made);
        if numbers.is_mixed() {
            return SpanningConfig::Off;
        }
        let default = stp::BridgeSettings::new(address("stp-system-id"));
        // Of milliseconds the low 16 bits count, as in Open vSwitch, before bounds do.
        let low = |ms: i64| i64::from(ms as u16);
        let seconds = |key: &str, default_ms: i64| low(low_bits(keys, key, default_ms / 1000).wrapping_mul(1000));
        SpanningConfig::Stp {
            bridge: stp::BridgeSettings {
                priority: priority("stp-priority", default.priority),
                // What is given counts as milliseconds, as in Open vSwitch 3.1.
                hello_ms: low(low_bits(keys, "stp-hello-time", default.hello_ms)),
                max_age_ms: seconds("stp-max-age", default.max_age_ms),
                forward_ms: seconds("stp-forward-delay", default.forward_ms),
                ..default
            },
            ports: stp_ports(row, ports, made, &numbers),
        }
    } else {
        SpanningConfig::Off
    }
}

/// What is wrong with what is asked of a bridge's spanning tree. `mac`: the bridge's, where it is there already.
pub(super) fn spanning_ignored(row: &DesiredBridge, mac: Option<u64>) -> Vec<String> {
    let (kind, key) = match (row.rstp_enable, row.stp_enable) {
        (true, _) => ("RSTP", "rstp-address"),
        (false, true) => ("STP", "stp-system-id"),
        (false, false) => return Vec::new(),
    };
    let mut said = Vec::new();
    if row.other_config.get(key).is_some_and(|text| parse_mac(text).is_none()) {
        let mac = super::checks::bridge_hwaddr(&row.other_config).and_then(Result::ok).or(mac);
        let own = mac.map_or_else(|| "the bridge's own".to_owned(), mac_text);
        said.push(format!("bridge {}: invalid {key}, defaulting to {own}", row.name));
    }
    let enable = if row.rstp_enable { "rstp-enable" } else { "stp-enable" };
    let bonds = row.ports.values().filter(|p| p.interfaces.len() > 1);
    let wanted = bonds.filter(|p| !p.other_config.get(enable).is_some_and(|v| v.eq_ignore_ascii_case("false")));
    said.extend(wanted.map(|p| format!("port {}: cannot enable {kind} on bonds, disabling", p.name)));
    if row.rstp_enable {
        let odd = candidates(row, &Made::new(), enable).filter(|(port, _)| {
            let keys = &port.other_config;
            keys.contains_key(RSTP_NUMBER) && wanted_number(keys, RSTP_NUMBER, rstp::MAX_PORT_NUMBER).is_none()
        });
        said.extend(odd.map(|(port, _)| format!("port {}: invalid {RSTP_NUMBER}", port.name)));
    } else {
        said.extend(StpNumbers::of(row, &Made::new()).complaints);
    }
    said
}

/// The ports that may take part, in the order in which they are numbered, that of their names' hashes: neither bonds, nor
/// internal, nor a mirror's output, nor told not to.
fn candidates<'a>(
    row: &'a DesiredBridge,
    made: &Made,
    enable: &'static str,
) -> impl Iterator<Item = (&'a DesiredPort, &'a str)> + use<'a> {
    let outputs: BTreeSet<&str> = row.mirrors.iter().filter_map(|m| m.output_port.as_deref()).collect();
    let mut names: Vec<&str> = row.ports.keys().map(String::as_str).collect();
    names.sort_by_key(|name| made.get(*name));
    let names: Vec<&str> = HashOrder::by_name(names.into_iter().map(|name| (name, name))).iter().collect();
    names.into_iter().filter_map(|name| row.ports.get(name)).filter_map(move |port| {
        let mut interfaces = port.interfaces.values();
        let (only, None) = (interfaces.next()?, interfaces.next()) else { return None };
        let told_not_to = port.other_config.get(enable).is_some_and(|v| v.eq_ignore_ascii_case("false"));
        let kept_out =
            told_not_to || only.kind == "internal" || only.name == row.name || outputs.contains(port.name.as_str());
        (!kept_out).then_some((&**port, only.name.as_str()))
    })
}

/// Those of the candidates that are there.
fn members<'a>(
    row: &'a DesiredBridge,
    ports: &'a BTreeMap<String, PlannedPort>,
    made: &Made,
    enable: &'static str,
) -> impl Iterator<Item = (&'a DesiredPort, &'a PlannedPort)> + use<'a> {
    candidates(row, made, enable).filter_map(|(port, interface)| Some((port, ports.get(interface)?)))
}

/// What people say of the numbers that STP's ports have: all of them, or nothing.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct StpNumbers {
    /// Numbers by port; a port whose number makes no sense, or is another's already, takes no part.
    given: BTreeMap<String, u16>,
    /// Ports without one.
    unnumbered: usize,
    /// What is wrong, for the log.
    pub complaints: Vec<String>,
}

impl StpNumbers {
    /// The numbers in a bridge's row.
    pub(super) fn of(row: &DesiredBridge, made: &Made) -> StpNumbers {
        let mut numbers = StpNumbers::default();
        let mut taken = BTreeSet::new();
        for (port, _) in candidates(row, made, "stp-enable") {
            let name = &port.name;
            if !port.other_config.contains_key("stp-port-num") {
                numbers.unnumbered += 1;
                continue;
            }
            match wanted_number(&port.other_config, "stp-port-num", stp::MAX_PORT_NUMBER.into()) {
                None => numbers.complaints.push(format!("port {name}: invalid stp-port-num")),
                Some(n) if !taken.insert(n) => {
                    numbers.complaints.push(format!("port {name}: duplicate stp-port-num {n}, disabling"));
                }
                Some(n) => _ = numbers.given.insert(name.clone(), n),
            }
        }
        if numbers.is_mixed() {
            let name = &row.name;
            let text = format!("bridge {name}: must manually configure all STP port IDs or none, disabling");
            numbers.complaints.push(text);
        }
        numbers
    }

    /// Some ports have a number and some have none: the bridge then has no spanning tree.
    fn is_mixed(&self) -> bool {
        !self.given.is_empty() && self.unnumbered > 0
    }
}

fn stp_ports(
    row: &DesiredBridge,
    ports: &BTreeMap<String, PlannedPort>,
    made: &Made,
    numbers: &StpNumbers,
) -> BTreeMap<OfPort, stp::PortSettings> {
    if numbers.given.is_empty() {
        // Those whose number makes no sense keep the place of theirs.
        let all = (1..=u16::from(stp::MAX_PORT_NUMBER)).zip(members(row, ports, made, "stp-enable"));
        return all
            .filter(|(_, (port, _))| !port.other_config.contains_key("stp-port-num"))
            .map(|(n, (port, planned))| (planned.port, stp_port(&port.other_config, n, planned)))
            .collect();
    }
    members(row, ports, made, "stp-enable")
        .filter_map(|(port, planned)| {
            let n = *numbers.given.get(&port.name)?;
            Some((planned.port, stp_port(&port.other_config, n, planned)))
        })
        .collect()
}

/// Gives each port of RSTP its number, one after the other: the one asked for if nobody else has it at that moment,
/// else the least that is free, which is mostly the one that it has already.
fn rstp_ports(
    row: &DesiredBridge,
    ports: &BTreeMap<String, PlannedPort>,
    made: &Made,
) -> BTreeMap<OfPort, rstp::PortSettings> {
    let wanted = |port: &DesiredPort| wanted_number(&port.other_config, RSTP_NUMBER, rstp::MAX_PORT_NUMBER);
    // A number that makes no sense keeps the port out.
    let is_sound = |port: &DesiredPort| wanted(port).is_some() || !port.other_config.contains_key(RSTP_NUMBER);
    let all: Vec<_> = members(row, ports, made, "rstp-enable").filter(|(port, _)| is_sound(port)).collect();
    // How many have each number.
    let mut holders: BTreeMap<u16, usize> = BTreeMap::new();
    for n in all.iter().filter_map(|(_, planned)| planned.rstp_number) {
        *holders.entry(n).or_default() += 1;
    }
    let mut settings = BTreeMap::new();
    for (port, planned) in all {
        if let Some(count) = planned.rstp_number.and_then(|own| holders.get_mut(&own)) {
            *count -= 1;
        }
        let is_free = |n: &u16| holders.get(n).is_none_or(|count| *count == 0);
        let least = || (1..=rstp::MAX_PORT_NUMBER).find(is_free);
        let Some(n) = wanted(port).filter(is_free).or_else(least) else { continue };
        *holders.entry(n).or_default() += 1;
        settings.insert(planned.port, rstp_port(&port.other_config, n, planned));
    }
    settings
}

/// A number of which as many low bits count as there is room for, as in Open vSwitch; what is none counts as not there.
fn low_bits(keys: &Pairs, key: &str, default: i64) -> i64 {
    figure(keys, key).unwrap_or(default)
}

/// Such a number of a column of string pairs.
fn leading(keys: &Pairs, key: &str, default: i64) -> i64 {
    keys.get(key).map_or(default, |text| leading_number(text))
}

/// The number that a port is asked to have, if it is one of those that there are.
fn wanted_number(keys: &Pairs, key: &str, most: u16) -> Option<u16> {
    let text = keys.get(key)?;
    u16::try_from(leading_number(text)).ok().filter(|n| (1..=most).contains(n))
}

fn mbps(planned: &PlannedPort) -> u32 {
    speed_of(planned.status.features) / 1000
}

fn stp_port(keys: &Pairs, n: u16, planned: &PlannedPort) -> stp::PortSettings {
    let cost = leading(keys, "stp-path-cost", stp::path_cost(mbps(planned)).into());
    stp::PortSettings {
        number: n as u8,
        priority: leading(keys, "stp-port-priority", stp::DEFAULT_PORT_PRIORITY.into()) as u8,
        path_cost: cost as u16,
        enabled: planned.status.link_up,
    }
}

fn rstp_port(keys: &Pairs, n: u16, planned: &PlannedPort) -> rstp::PortSettings {
    let given = u32::try_from(leading(keys, "rstp-path-cost", 0)).ok().filter(|n| RSTP_COSTS.contains(n));
    let cost = given.unwrap_or_else(|| rstp::path_cost(mbps(planned)));
    let priority = leading(keys, "rstp-port-priority", rstp::DEFAULT_PORT_PRIORITY.into());
    let is_off = |key: &str| keys.get(key).is_some_and(|v| v.eq_ignore_ascii_case("false"));
    let default = rstp::PortSettings::new(n, cost);
    rstp::PortSettings {
        // Of eight bits; the lower half belongs to the port's number.
        priority: Some(priority as u8).filter(|n| *n <= 0xf0).unwrap_or(rstp::DEFAULT_PORT_PRIORITY) & 0xf0,
        enabled: planned.status.link_up && !is_off("rstp-admin-port-state"),
        admin_edge: flag(keys, "rstp-port-admin-edge"),
        auto_edge: !is_off("rstp-port-auto-edge"),
        // 0: never, 1: always, else as the link is, and a full-duplex one is.
        point_to_point: keys.get("rstp-admin-p2p-mac").is_none_or(|v| v != "0"),
        ..default
    }
}

/// BFD and CFM of an interface.
pub(super) fn liveness(interface: &DesiredInterface) -> Option<LivenessConfig> {
    let config = LivenessConfig {
        bfd: flag(&interface.bfd, "enable").then(|| bfd_of(&interface.name, &interface.bfd)),
        cfm: maintenance(interface),
    };
    (config != LivenessConfig::default()).then_some(config)
}

/// CFM of an interface: none if it is not asked for, or cannot be as it is.
pub(super) fn maintenance(interface: &DesiredInterface) -> Option<CfmConfig> {
    interface.cfm_mpid.and_then(|mpid| cfm_of(mpid, &interface.other_config))
}

/// An interval, at least 1 ms; what is no number of 31 bits counts as not there.
fn interval_ms(keys: &Pairs, key: &str, default: u32) -> u32 {
    let given = figure::<i32>(keys, key);
    given.map_or(default, |ms| ms.max(1).unsigned_abs())
}

/// What of an interface's BFD is read otherwise than it is written; `true`: an error, not a warning.
pub(super) fn bfd_ignored(interface: &DesiredInterface) -> Vec<(bool, String)> {
    let Some(BfdConfig { session, .. }) = liveness(interface).and_then(|of| of.bfd) else { return Vec::new() };
    let mut said = Vec::new();
    if (1..session.min_rx_ms).contains(&session.decay_min_rx_ms) {
        let (name, least) = (&interface.name, session.min_rx_ms);
        said.push((false, format!("{name}: decay_min_rx cannot be less than {least} ms")));
    }
    let addresses = ["bfd_src_ip", "bfd_dst_ip"].into_iter().filter_map(|key| interface.bfd.get(key));
    let strange = addresses.filter(|text| text.parse::<std::net::Ipv4Addr>().is_err());
    said.extend(strange.map(|text| (true, format!("\"{text}\" is not a valid IP address"))));
    said
}

fn bfd_of(name: &str, keys: &Pairs) -> BfdConfig {
    let mac = |key: &str| keys.get(key).and_then(|m| parse_mac(m));
    let ip = |key: &str, default: u32| {
        keys.get(key).and_then(|a| a.parse::<std::net::Ipv4Addr>().ok()).map_or(default, u32::from)
    };
    BfdConfig {
        session: bfd::Settings {
            name: name.to_owned(),
            min_tx_ms: interval_ms(keys, "min_tx", DEFAULT_BFD_MIN_TX_MS),
            min_rx_ms: interval_ms(keys, "min_rx", DEFAULT_INTERVAL_MS),
            mult: u8::try_from(number(keys, "mult", 3)).ok().filter(|n| *n > 0).unwrap_or(3),
            path_down: flag(keys, "cpath_down"),
            decay_min_rx_ms: number(keys, "decay_min_rx", 0),
            forwarding_if_rx: flag(keys, "forwarding_if_rx"),
        },
        addresses: Addresses {
            eth_src: mac("bfd_local_src_mac").unwrap_or(0),
            eth_dst: mac("bfd_local_dst_mac").unwrap_or(BFD_ETH_DST),
            ip_src: ip("bfd_src_ip", BFD_IP_SRC),
            ip_dst: ip("bfd_dst_ip", BFD_IP_DST),
        },
        expected_dst: mac("bfd_remote_dst_mac").filter(|m| *m != 0),
        expects_own_ip: ip("bfd_src_ip", BFD_IP_SRC) != BFD_IP_SRC,
        zero_key: flag(keys, "check_tnl_key"),
        oam: flag(keys, "oam"),
    }
}

/// An end point, if its number is one that its mode has.
fn cfm_of(mpid: i64, keys: &Pairs) -> Option<CfmConfig> {
    let extended = flag(keys, "cfm_extended");
    if mpid == 0 || !extended && !MPIDS.contains(&mpid) {
        return None;
    }
    let vlan = match keys.get("cfm_ccm_vlan").map(String::as_str) {
        Some("random") => Some(CcmVlan::Random),
        Some(n) => n.parse().ok().filter(|n| (1..=4095).contains(n)).map(CcmVlan::One),
        None => None,
    };
    let priority = keys.get("cfm_ccm_pcp").and_then(|n| n.parse::<u8>().ok()).filter(|n| (1..=7).contains(n));
    Some(CfmConfig {
        point: cfm::Settings {
            mpid: mpid as u64,
            interval_ms: Some(number(keys, "cfm_interval", 0)).filter(|ms| *ms > 0).unwrap_or(DEFAULT_INTERVAL_MS),
            extended,
            up: keys.get("cfm_opstate").is_none_or(|v| v != "down"),
            demand: flag(keys, "cfm_demand"),
        },
        tag: (vlan.is_some() || priority.is_some()).then(|| (vlan.unwrap_or(CcmVlan::One(0)), priority.unwrap_or(0))),
    })
}
