//! What of a configuration cannot be had: bridges and interfaces that are left out, and settings that are ignored, each
//! with the text that tells people. The rest of the configuration goes on.
//!
//! Source: what Open vSwitch 3.1 says of the same.

use std::collections::BTreeSet;

use openflow::action::Subfield;

use super::bundle;
use super::desired::{DesiredBridge, DesiredInterface, DesiredMirror, DesiredPort, DesiredSwitch, Pairs};
use super::plan::{self, DummyMode};
use super::protocols;
use crate::port::device::{mac_text, parse_mac};

/// A line for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Complaint {
    /// The log's module.
    pub module: &'static str,
    /// It is an error, not a warning.
    pub is_error: bool,
    /// The text.
    pub text: String,
    /// How often it may be told: it is made at every change of the configuration.
    pub limit: Limit,
}

/// Messages of one kind a minute, after a first few.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Limit {
    /// As many as there are.
    None,
    /// One, after a first five.
    Few,
    /// One.
    One,
}

fn complaint(module: &'static str, is_error: bool, text: String) -> Complaint {
    Complaint { module, is_error, text, limit: Limit::None }
}

impl Complaint {
    fn limited(self, limit: Limit) -> Self {
        Self { limit, ..self }
    }

    /// Tells the log.
    pub(super) fn tell(&self) {
        let level = if self.is_error { vlog::Level::Err } else { vlog::Level::Warn };
        let text = format_args!("{}", self.text);
        match self.limit {
            Limit::None => vlog::write_to(self.module, level, text),
            Limit::Few => vlog::log_rl!(level, "bridge", 1, 5, "{text}"),
            Limit::One => vlog::log_rl!(level, "bridge", 1, 1, "{text}"),
        }
    }
}

/// Takes out the bridges that cannot be, and says why.
pub(super) fn drop_impossible(wanted: &mut DesiredSwitch, types: &[&str]) -> Vec<Complaint> {
    let mut said = Vec::new();
    wanted.bridges.retain(|name, bridge| {
        if name.contains(['/', '\\']) {
            said.push(complaint("bridge", false, format!("ignoring bridge with invalid name \"{name}\"")));
            return false;
        }
        let kind = bridge.datapath_type.as_str();
        let known = types.contains(&kind);
        if !known {
            said.push(complaint("ofproto", false, format!("unknown datapath type {kind}")));
            let reason = "Address family not supported by protocol";
            said.push(complaint("ofproto", false, format!("could not create datapath {name} of unknown type {kind}")));
            said.push(complaint("bridge", true, format!("failed to create bridge {name}: {reason}")));
        }
        known
    });
    said
}

/// Whether a name is that of a datapath of one of these types, or begins like a port that it makes for tunnels: no
/// interface can have it. Types that dummies stand in for make no such ports.
pub(super) fn is_reserved(name: &str, types: &[&str], dummy: DummyMode) -> bool {
    const TUNNELS: [&str; 9] = ["genev", "gre", "vxlan", "lisp", "stt", "erspan", "ip6gre", "ip6erspan", "gtpu"];
    match name.strip_prefix("ovs-") {
        Some(kind) => types.contains(&kind),
        None if dummy == DummyMode::Override => false,
        None => name.split_once("_sys").is_some_and(|(stem, _)| TUNNELS.contains(&stem)),
    }
}

/// Why an interface's options cannot be, as its `error` column says it.
pub(super) fn option_error(interface: &DesiredInterface) -> Option<String> {
    let name = &interface.name;
    if interface.kind != "patch" {
        return None;
    }
    match interface.options.get("peer").map(String::as_str) {
        None | Some("") => Some(format!("{name}: patch type requires valid 'peer' argument")),
        Some(_) if interface.options.len() > 1 => Some(format!("{name}: patch type takes only a 'peer' argument")),
        Some(peer) if peer == name => Some(format!("{name}: patch peer must not be self")),
        Some(_) => None,
    }
}

/// What is ignored of a configuration that is otherwise applied. `mac_of`: that of a bridge that is there already.
pub(super) fn ignored(
    wanted: &DesiredSwitch,
    dummy: DummyMode,
    mac_of: impl Fn(&str) -> Option<u64>,
) -> Vec<Complaint> {
    let mut said = Vec::new();
    for bridge in wanted.bridges.values() {
        if let Some(Err(why)) = bridge_hwaddr(&bridge.other_config) {
            said.push(complaint("bridge", true, format!("bridge {}: cannot set MAC address to {why}", bridge.name)));
        }
        if bridge.rstp_enable && bridge.stp_enable {
            let what = "RSTP and STP are mutually exclusive but both are configured; enabling RSTP";
            said.push(complaint("bridge", false, format!("{}: {what}", bridge.name)));
        }
        let spanning = protocols::spanning_ignored(bridge, mac_of(&bridge.name));
        said.extend(spanning.into_iter().map(|text| complaint("bridge", true, text)));
        said.extend(bridge_ignored(bridge));
        for port in bridge.ports.values() {
            said.extend(port_ignored(port));
        }
        for interface in bridge.ports.values().flat_map(|p| p.interfaces.values()) {
            said.extend(mac_ignored(bridge, interface).map(|text| complaint("bridge", true, text)));
            said.extend(
                protocols::bfd_ignored(interface).into_iter().map(|(is_error, text)| complaint("bfd", is_error, text)),
            );
            said.extend(cfm_ignored(bridge, interface).map(|text| complaint("ofproto", false, text)));
            said.extend(
                options_ignored(&bridge.datapath_type, interface, dummy).map(|text| complaint("netdev", false, text)),
            );
        }
    }
    said
}

/// Options of a device of the host's, or made there, which are nobody's but for those of this switch's own: told of
/// once the port has its number.
fn options_ignored(datapath: &str, interface: &DesiredInterface, dummy: DummyMode) -> Option<String> {
    const OWN: [&str; 3] = ["n_rxq", "ring", "tx-ring"];
    interface.ofport.0.filter(|number| *number > 0)?;
    let is_device = matches!(interface.kind.as_str(), "" | "system" | "internal" | "tap");
    let is_dummy = dummy == DummyMode::Override || datapath == "dummy";
    let is_ignored = interface.options.keys().any(|key| !OWN.contains(&key.as_str()));
    let text = || format!("{}: arguments provided to device that is not configurable", interface.name);
    (is_device && !is_dummy && is_ignored).then(text)
}

/// A maintenance point that cannot be: told of once the port has its number.
fn cfm_ignored(bridge: &DesiredBridge, interface: &DesiredInterface) -> Option<String> {
    let number = interface.ofport.0.filter(|number| *number > 0)?;
    let is_wrong = interface.cfm_mpid.is_some() && protocols::maintenance(interface).is_none();
    let what = format_args!("CFM configuration on port {number} ({}) failed (Invalid argument)", interface.name);
    is_wrong.then(|| format!("{}: {what}", bridge.name))
}

/// What of a bridge's flow tables and exporters is read otherwise than it is written.
fn bridge_ignored(bridge: &DesiredBridge) -> Vec<Complaint> {
    let name = &bridge.name;
    let mut said = Vec::new();
    for (id, table) in &bridge.flow_tables {
        for field in table.prefixes.iter().filter(|name| *name != "none") {
            let wrong = plan::prefix_field(field).err();
            let text = |how| format!("bridge {name}: 'prefixes' with {how} field: {field}");
            said.extend(wrong.map(|how| complaint("bridge", false, text(how))));
        }
        for group in &table.groups {
            let wrong = Subfield::parse(group).err();
            let text = |why| format!("bridge {name} table {id}: error parsing 'groups' ({why})");
            said.extend(wrong.map(|why| complaint("bridge", false, text(why)).limited(Limit::Few)));
        }
    }
    if bridge.netflow.as_ref().is_some_and(|row| row.active_timeout_s < 0) {
        let what = "active timeout interval set to negative value, using default instead (600 seconds)";
        said.push(complaint("bridge", false, format!("bridge {name}: {what}")));
    }
    said
}

/// The address that a bridge is given; one it cannot have is told in words.
pub(super) fn bridge_hwaddr(other_config: &Pairs) -> Option<Result<u64, String>> {
    let text = other_config.get("hwaddr")?;
    let mac = parse_mac(text)?;
    Some(match mac {
        0 => Err("zero".to_owned()),
        _ if is_multicast(mac) => Err(format!("multicast address {}", mac_text(mac))),
        _ => Ok(mac),
    })
}

fn is_multicast(mac: u64) -> bool {
    mac >> 40 & 1 == 1
}

/// What of a port's VLANs, LACP and bond is read otherwise than it is written, or assumed where nothing is.
fn port_ignored(port: &DesiredPort) -> Vec<Complaint> {
    let name = &port.name;
    let warn = |text: String| complaint("bridge", false, text);
    let mut said = Vec::new();
    if port.vlan_mode.is_none() && port.tag.is_some() && !(port.trunks.is_empty() && port.cvlans.is_empty()) {
        said.push(warn(format!("port {name}: ignoring trunks in favor of implicit vlan")));
    }
    said.extend(bundle::lacp_refused(port).map(|why| warn(format!("port {name}: {why}"))));
    if port.interfaces.len() < 2 {
        return said;
    }
    if port.bond_mode.is_none() {
        let assumed = "Using the default bond_mode active-backup. Note that in previous versions, the default bond_mode \
                       was balance-slb";
        said.push(warn(format!("port {name}: {assumed}")).limited(Limit::One));
    }
    if let Some(mode) =
        port.other_config.get("bond-detect-mode").filter(|m| !matches!(m.as_str(), "carrier" | "miimon"))
    {
        said.push(warn(format!("port {name}: unsupported bond-detect-mode {mode}, defaulting to carrier")));
    }
    said
}

fn mac_ignored(bridge: &DesiredBridge, interface: &DesiredInterface) -> Option<String> {
    let (name, mac) = (&interface.name, parse_mac(interface.mac.as_deref()?)?);
    if *name == bridge.name {
        let advice = "use Bridge record to set local port's mac";
        return Some(format!("interface {name}: ignoring mac in Interface record ({advice})"));
    }
    let what = match mac {
        0 => "all zero address",
        _ if is_multicast(mac) => "multicast address",
        _ => return None,
    };
    (interface.kind == "internal").then(|| format!("interface {name}: cannot set MAC to {what}"))
}

/// What a mirror cannot be on a bridge, of whose ports those are there.
pub(super) fn mirror_ignored(bridge: &str, mirror: &DesiredMirror, there: &BTreeSet<&str>) -> Vec<Complaint> {
    let say =
        |is_error, what: &str| complaint("bridge", is_error, format!("bridge {bridge}: mirror {} {what}", mirror.name));
    let mut said = Vec::new();
    match (&mirror.output_port, mirror.output_vlan) {
        (None, None) => return vec![say(true, "does not specify output; ignoring")],
        (Some(port), _) if !there.contains(port.as_str()) => {
            return vec![say(true, "outputs to port not on bridge")];
        }
        (Some(_), Some(_)) => {
            said.push(say(true, "specifies both output port and output vlan; ignoring output vlan"));
        }
        _ => {}
    }
    if !mirror.select_all {
        let absent = [&mirror.src, &mirror.dst].into_iter().flatten().filter(|name| !there.contains(name.as_str()));
        said.extend(absent.map(|name| say(false, &format!("cannot match on nonexistent port {name}"))));
    }
    said
}

/// The address that an interface's device is given: that of a bridge's own port is the bridge's matter, and devices that
/// are not the switch's own keep theirs.
pub(super) fn device_mac(bridge: &DesiredBridge, interface: &DesiredInterface) -> Option<String> {
    if interface.name == bridge.name {
        return bridge_hwaddr(&bridge.other_config)?.ok().map(mac_text);
    }
    let mac = interface.mac.as_deref().filter(|_| interface.kind == "internal")?;
    parse_mac(mac).filter(|mac| *mac != 0 && !is_multicast(*mac)).map(|_| mac.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patch(peer: Option<&str>) -> DesiredInterface {
        let options = peer.map(|p| ("peer".to_owned(), p.to_owned())).into_iter().collect();
        DesiredInterface { name: "p".into(), kind: "patch".into(), options, ..DesiredInterface::default() }
    }

    #[test]
    fn names_of_datapaths_and_tunnels_are_reserved() {
        let among = |mode, types: &[&str]| {
            let names =
                "ovs-netdev ovs-system ovs-dummy ovs-x gre_sys vxlan_sys_4789 genev_systems geneve_sys xgre_sys gre0";
            names.split(' ').filter(|name| is_reserved(name, types, mode)).collect::<Vec<_>>().join(" ")
        };
        let tunnels = "gre_sys vxlan_sys_4789 genev_systems";
        let (all, no_system) = (["dummy", "netdev", "system"], ["dummy", "netdev"]);
        assert_eq!(among(DummyMode::Off, &all[1..]), format!("ovs-netdev ovs-system {tunnels}"));
        assert_eq!(among(DummyMode::On, &all), format!("ovs-netdev ovs-system ovs-dummy {tunnels}"));
        assert_eq!(among(DummyMode::On, &no_system), format!("ovs-netdev ovs-dummy {tunnels}"));
        assert_eq!(among(DummyMode::Override, &all), "ovs-netdev ovs-system ovs-dummy");
    }

    #[test]
    fn devices_of_the_host_take_no_options() {
        let asks = |kind: &str, key: &str| {
            let mut interface = DesiredInterface { name: "e".into(), kind: kind.into(), ..DesiredInterface::default() };
            interface.options.insert(key.to_owned(), "1".to_owned());
            interface.ofport.0 = Some(5);
            options_ignored("netdev", &interface, DummyMode::On)
        };
        let told = Some("e: arguments provided to device that is not configurable".to_owned());
        assert_eq!([asks("", "key"), asks("internal", "key")], [told.clone(), told]);
        assert_eq!([asks("system", "n_rxq"), asks("dummy", "key"), asks("patch", "key")], [None, None, None]);
    }

    #[test]
    fn patches_need_another_for_a_peer() {
        let says = |peer| option_error(&patch(peer));
        assert_eq!(says(None).as_deref(), Some("p: patch type requires valid 'peer' argument"));
        assert_eq!(says(Some("p")).as_deref(), Some("p: patch peer must not be self"));
        assert_eq!(says(Some("q")), None);
        let mut talkative = patch(Some("p"));
        talkative.options.insert("key".to_owned(), "value".to_owned());
        assert_eq!(option_error(&talkative).as_deref(), Some("p: patch type takes only a 'peer' argument"));
    }

    #[test]
    fn a_bridge_cannot_have_just_any_address() {
        let hwaddr = |text: &str| bridge_hwaddr(&[("hwaddr".to_owned(), text.to_owned())].into());
        assert_eq!(hwaddr("00:11:22:33:44:55"), Some(Ok(0x0011_2233_4455)));
        assert_eq!(hwaddr("zork"), None);
        assert_eq!(hwaddr("00:00:00:00:00:00"), Some(Err("zero".to_owned())));
        assert_eq!(hwaddr("01:00:00:00:00:11"), Some(Err("multicast address 01:00:00:00:00:11".to_owned())));
    }

    #[test]
    fn ports_are_told_what_is_ignored_of_them() {
        let says = |port: &DesiredPort| port_ignored(port).into_iter().map(|c| c.text).collect::<Vec<_>>();
        let mut port = DesiredPort { name: "p".into(), tag: Some(5), ..DesiredPort::default() };
        assert!(says(&port).is_empty());
        port.cvlans = vec![6];
        assert_eq!(says(&port), ["port p: ignoring trunks in favor of implicit vlan"]);
        port.vlan_mode = Some("access".into());
        assert!(says(&port).is_empty(), "it was asked for in so many words");
        port.lacp = Some("active".into());
        for (id, told) in [
            ("02:00:00:00:00:01", None),
            ("00:00:00:00:00:00", Some("port p: Invalid zero LACP system ID.")),
            ("odd", Some("port p: LACP system ID (odd) must be an Ethernet address.")),
        ] {
            port.other_config.insert("lacp-system-id".to_owned(), id.to_owned());
            assert_eq!(says(&port).first().map(String::as_str), told);
        }
        port.lacp = None;
        assert!(says(&port).is_empty());
    }

    #[test]
    fn mirrors_need_one_output_and_ports_of_their_bridge() {
        let there = BTreeSet::from(["q"]);
        let mirror = DesiredMirror { name: "m".into(), ..DesiredMirror::default() };
        let says = |m: &DesiredMirror| mirror_ignored("b", m, &there).into_iter().map(|c| c.text).collect::<Vec<_>>();
        assert_eq!(says(&mirror), ["bridge b: mirror m does not specify output; ignoring"]);
        let elsewhere = DesiredMirror { output_port: Some("p".into()), output_vlan: Some(5), ..mirror.clone() };
        assert_eq!(says(&elsewhere), ["bridge b: mirror m outputs to port not on bridge"]);
        let mut remote = DesiredMirror { output_vlan: Some(5), src: vec!["p".into()], ..mirror };
        assert_eq!(says(&remote), ["bridge b: mirror m cannot match on nonexistent port p"]);
        remote.src = vec!["q".into()];
        assert!(says(&remote).is_empty());
        remote.select_all = true;
        assert!(says(&remote).is_empty());
    }
}
