//! Flow monitoring as the database asks for it: rows of NetFlow, sFlow and IPFIX as what bridges do.
//!
//! Source: ovs-vswitchd.conf.db(5), tables NetFlow, sFlow, IPFIX and Flow_Sample_Collector_Set.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;

use ofproto::export::{IpfixConfig, NetflowConfig, SflowConfig, collectors};

use super::desired::{DesiredIpfix, DesiredNetflow, DesiredSflow};
use crate::host::view::HostView;

const SFLOW_PORT: u16 = 6343;
const IPFIX_PORT: u16 = 4739;
/// One in so many packets is sampled unless told.
const SAMPLING: u32 = 400;
/// Seconds between counters unless told.
const POLLING_S: u32 = 30;
/// Octets of a sampled packet unless told.
const HEADER: usize = 128;
/// Octets of a virtual observation identifier, at most.
const VIRTUAL_ID_LEN: usize = 254;

/// NetFlow of a bridge; `None` without a collector. Unless told, the engine is a hash of the datapath's name.
pub(super) fn netflow(row: &DesiredNetflow, datapath_type: &str) -> Option<NetflowConfig> {
    let [_, _, engine_type, engine_id] = flow::hash::bytes(format!("ovs-{datapath_type}").as_bytes(), 0).to_be_bytes();
    let octet = |n: Option<i64>, otherwise: u8| n.and_then(|n| u8::try_from(n).ok()).unwrap_or(otherwise);
    Some(NetflowConfig {
        to: targets(&row.targets, None)?,
        engine_type: octet(row.engine_type, engine_type),
        engine_id: octet(row.engine_id, engine_id),
        add_id_to_interface: row.add_id_to_interface,
        // Open vSwitch's own sense: its manual has -1 for no time-out, which it takes for the default.
        active_timeout_s: row.active_timeout_s.max(0),
    })
}

/// sFlow of a bridge; `None` without a collector or an address to be known by.
///
/// `dummies` tells the addresses of a dummy.
pub(super) fn sflow(
    row: &DesiredSflow,
    host: Option<&HostView>,
    dummies: impl Fn(&str) -> Option<IpAddr>,
) -> Option<SflowConfig> {
    let Some(to) = targets(&row.targets, Some(SFLOW_PORT)) else {
        if !row.targets.is_empty() {
            vlog::warn_rl!("sflow", 5, 5, "no collectors could be initialized, sFlow disabled");
        }
        return None;
    };
    let of_dummy = row.agent.as_deref().and_then(dummies);
    let Some(agent) = of_dummy.or_else(|| agent(row.agent.as_deref(), to[0], host)) else {
        vlog::err_rl!("sflow", 5, 5, "could not determine IP address for sFlow agent");
        return None;
    };
    let number = |n: Option<i64>| n.and_then(|n| u32::try_from(n).ok());
    Some(SflowConfig {
        to,
        agent,
        sampling: number(row.sampling).filter(|n| *n > 0).unwrap_or(SAMPLING),
        polling_s: number(row.polling_s).unwrap_or(POLLING_S),
        header: number(row.header).map_or(HEADER, |n| n as usize),
    })
}

/// IPFIX of a bridge or a collector set; `None` without a collector.
pub(super) fn ipfix(row: &DesiredIpfix) -> Option<IpfixConfig> {
    let Some(to) = targets(&row.targets, Some(IPFIX_PORT)) else {
        if !row.targets.is_empty() {
            vlog::warn_rl!("ipfix", 5, 5, "no collectors could be initialized, IPFIX exporter disabled");
        }
        return None;
    };
    let number = |n: Option<i64>| n.and_then(|n| u32::try_from(n).ok());
    let other = |key: &str| row.other_config.get(key).map(String::as_str);
    // Open vSwitch's own sense of the words, which is not its manual's: what comes in and what goes out is sampled unless
    // the key is "true".
    let is_off = |key: &str| other(key) == Some("true");
    let virtual_id = other("virtual_obs_id").unwrap_or_default();
    if virtual_id.len() > VIRTUAL_ID_LEN {
        // The figure and the spelling are Open vSwitch's.
        let what = "Virtual obsevation ID too long (0 bytes), should not be longer than";
        vlog::warn!("ipfix", "{what} {VIRTUAL_ID_LEN} bytes.");
    }
    Some(IpfixConfig {
        to,
        sampling: number(row.sampling).filter(|n| *n > 0).unwrap_or(SAMPLING),
        domain: number(row.obs_domain_id).unwrap_or(0),
        point: number(row.obs_point_id).unwrap_or(0),
        active_timeout_s: number(row.cache_active_timeout_s).unwrap_or(0),
        max_flows: number(row.cache_max_flows).unwrap_or(0),
        tunnels: other("enable-tunnel-sampling") != Some("false"),
        input: !is_off("enable-input-sampling"),
        output: !is_off("enable-output-sampling"),
        virtual_obs_id: if virtual_id.len() > VIRTUAL_ID_LEN { String::new() } else { virtual_id.to_owned() },
    })
}

/// IPFIX of collector sets that have collectors.
pub(super) fn flow_ipfix(sets: &BTreeMap<i64, DesiredIpfix>) -> BTreeMap<u32, IpfixConfig> {
    sets.iter().filter_map(|(id, row)| Some((u32::try_from(*id).ok()?, ipfix(row)?))).collect()
}

/// Collectors; those that name no port have `port`, if there is one that they can have.
fn targets(texts: &[String], port: Option<u16>) -> Option<Arc<[SocketAddr]>> {
    let (faulty, sound): (Vec<_>, Vec<_>) =
        texts.iter().map(String::as_str).partition(|target| port_fault(target, port).is_some());
    let (known, strange) = collectors(sound, port.unwrap_or(0));
    for target in &faulty {
        let fault = port_fault(target, port).unwrap_or_default();
        vlog::err!("socket_util", "{target}: {fault}");
    }
    for target in faulty.into_iter().chain(strange) {
        let why = "Address family not supported by protocol";
        vlog::warn_rl!("collectors", 5, 5, "couldn't open connection to collector {target} ({why})");
    }
    (!known.is_empty()).then_some(known)
}

/// What is wrong with a collector's port, if it needs one or names one.
fn port_fault(target: &str, default: Option<u16>) -> Option<String> {
    let named = match target.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((_, rest)) => rest.strip_prefix(':'),
        // Several colons are an IPv6 address without brackets.
        None => target.split_once(':').map(|(_, port)| port).filter(|port| !port.contains(':')),
    };
    match named {
        None => default.is_none().then(|| "port must be specified".to_owned()),
        Some(port) if port.is_empty() || port.parse::<u16>().is_ok() => None,
        Some(port) => Some(format!("bad port number \"{port}\"")),
    }
}

/// The address a switch is known by: that of a device, or else the one it sends to the collector from.
fn agent(device: Option<&str>, collector: SocketAddr, host: Option<&HostView>) -> Option<IpAddr> {
    let Some(device) = device else { return source_towards(collector) };
    if let Ok(address) = device.parse() {
        return Some(address);
    }
    let known = host.and_then(|host| host.addresses_of(host.link(device)?.index).next());
    // Where the host's devices are kept out of tests, the kernel still tells.
    known.or_else(|| sys::ipv4(device).ok().map(|(address, _)| address.into()))
}

/// The address that the host would send from, by its routes.
fn source_towards(to: SocketAddr) -> Option<IpAddr> {
    let any: SocketAddr =
        if to.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect(to).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ipfix_has_defaults_and_words_as_open_vswitch_has_them() {
        let row = DesiredIpfix { targets: vec!["127.0.0.1".into()], ..DesiredIpfix::default() };
        let config = ipfix(&row).unwrap();
        assert_eq!((config.to[0].port(), config.sampling, config.active_timeout_s), (4739, 400, 0));
        assert!(config.input && config.output && config.tunnels);
        let named = |n: usize| {
            let other_config = [("virtual_obs_id".to_owned(), "x".repeat(n))].into();
            ipfix(&DesiredIpfix { other_config, ..row.clone() }).unwrap().virtual_obs_id.len()
        };
        assert_eq!((named(254), named(255)), (254, 0));
        let set = |word: &str| {
            let keys = ["enable-input-sampling", "enable-output-sampling", "enable-tunnel-sampling"];
            let other_config = keys.map(|key| (key.to_owned(), word.to_owned())).into();
            ipfix(&DesiredIpfix { other_config, ..row.clone() }).unwrap()
        };
        let (on, off) = (set("false"), set("true"));
        assert_eq!((on.input, on.output, on.tunnels), (true, true, false));
        assert_eq!((off.input, off.output, off.tunnels), (false, false, true));
        let without = DesiredIpfix { targets: vec!["nowhere".into()], ..row.clone() };
        assert_eq!(flow_ipfix(&[(5, row), (6, without), (-1, DesiredIpfix::default())].into()).len(), 1);
    }

    #[test]
    fn ports_of_collectors() {
        let missing = Some("port must be specified");
        let cases = [
            ("127.0.0.1", None, missing),
            ("127.0.0.1", Some(5), None),
            ("127.0.0.1:5", None, None),
            ("127.0.0.1:x", Some(5), Some("bad port number \"x\"")),
            ("127.0.0.1:70000", None, Some("bad port number \"70000\"")),
            ("::1:5", None, missing),
            ("[::1]:5", None, None),
            ("[::1]", None, missing),
        ];
        for (target, default, expected) in cases {
            assert_eq!(port_fault(target, default).as_deref(), expected, "{target}");
        }
    }

    #[test]
    fn what_is_not_told_has_defaults() {
        let row =
            DesiredNetflow { targets: vec!["127.0.0.1:5".into()], engine_id: Some(300), ..DesiredNetflow::default() };
        let config = netflow(&row, "netdev").unwrap();
        assert_eq!(config.to[0].to_string(), "127.0.0.1:5");
        let without = DesiredNetflow { targets: vec!["127.0.0.1".into()], ..row.clone() };
        assert_eq!(netflow(&without, "netdev"), None, "there is no port that NetFlow goes by");
        // Those of Open vSwitch 3.1.
        assert_eq!((config.engine_type, config.engine_id), (47, 209));
        let config = netflow(&row, "dummy").unwrap();
        assert_eq!((config.engine_type, config.engine_id), (204, 62));
        assert_eq!(netflow(&DesiredNetflow::default(), "netdev"), None);
        let row = DesiredSflow { targets: vec!["127.0.0.1:99".into()], sampling: Some(0), ..DesiredSflow::default() };
        let config = sflow(&row, None, |_| None).unwrap();
        assert_eq!(config.agent, IpAddr::from([127, 0, 0, 1]));
        assert_eq!((config.sampling, config.polling_s, config.header), (400, 30, 128));
        let of_device = DesiredSflow { agent: Some("nosuch".into()), ..row };
        assert_eq!(sflow(&of_device, None, |_| None), None);
        let of_dummy = |name: &str| (name == "nosuch").then_some(IpAddr::from([1, 1, 1, 1]));
        assert_eq!(sflow(&of_device, None, of_dummy).unwrap().agent, IpAddr::from([1, 1, 1, 1]));
    }
}
