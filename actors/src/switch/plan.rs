//! Decisions of a reconfiguration, as pure functions: numbers for ports, and a bridge's configuration out of the
//! database's rows and its ports' states.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;
use std::sync::Arc;

use flow::OdpPort;
use flow::classifier::PrefixField;
use flow::field::Field;
use l2proto::mcast_snooping::McastConfig;
use ofproto::bridge::{BridgeConfig, PortConfig};
use ofproto::table::TableConfig;
use ofproto::view::*;
use openflow::OfPort;
use openflow::action::Subfield;
use openflow::message::port::{port_config, port_state, speed_of};
use openflow::message::{PortDesc, SwitchDesc};
use ovsdb::Uuid;

use super::bundle::bundle_settings;
use super::desired::{DesiredBridge, DesiredInterface, DesiredMirror, DesiredPort, DesiredQos, DesiredTable, Pairs};
use super::protocols;
use crate::msg::port::PortStatus;
use crate::port::device::{DeviceKind, parse_mac};

/// First number that no port has.
const OFPP_MAX: u16 = 0xff00;

/// Gives out OpenFlow port numbers: the one asked for if it is free, else the next never used lately.
#[derive(Debug, Clone, Default)]
pub struct OfPorts {
    used: BTreeSet<u16>,
    last: u16,
    /// Given since `last` was what it is without them, and taken back.
    vain: BTreeSet<u16>,
    /// Free again, and given to nobody who does not ask for them as long as others are left.
    recent: BTreeSet<u16>,
}

impl OfPorts {
    /// A number for a port; `None` when all are taken.
    pub fn take(&mut self, wanted: Option<i64>) -> Option<OfPort> {
        if let Some(port) = wanted.and_then(port_number)
            && self.used.insert(port.0)
        {
            self.recent.remove(&port.0);
            return Some(port);
        }
        for may_be_recent in [false, true] {
            for _ in 1..OFPP_MAX {
                self.last = if self.last + 1 >= OFPP_MAX { 1 } else { self.last + 1 };
                if (may_be_recent || !self.recent.contains(&self.last)) && self.used.insert(self.last) {
                    self.vain.remove(&self.last);
                    return Some(OfPort(self.last));
                }
            }
        }
        None
    }

    /// The number was taken in vain: it is free, and the next to be given, once those behind it are as well.
    pub fn untake(&mut self, port: OfPort) {
        self.used.remove(&port.0);
        self.recent.remove(&port.0);
        self.vain.insert(port.0);
        while self.vain.remove(&self.last) {
            self.last -= 1;
        }
    }

    /// The number is free again.
    pub fn give(&mut self, port: OfPort) {
        if self.used.remove(&port.0) {
            self.recent.insert(port.0);
        }
    }
}

/// A number that a port can have.
fn port_number(n: i64) -> Option<OfPort> {
    u16::try_from(n).ok().filter(|n| (1..OFPP_MAX).contains(n)).map(OfPort)
}

/// The number that an interface asks for.
pub fn requested(interface: &DesiredInterface) -> Option<OfPort> {
    interface.ofport_request.and_then(port_number)
}

/// A datapath port number for a device. Dummies get the number in their name (from 100 up for those called `br…`), as
/// tests expect; others the first that is free.
pub fn odp_number(used: &BTreeMap<OdpPort, String>, name: &str, dummy: bool) -> OdpPort {
    if dummy {
        let base = if name.starts_with("br") { 100 } else { 0 };
        let digits = name.trim_start_matches(|c: char| !c.is_ascii_digit());
        let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        if let Ok(number) = digits[..end].parse::<u32>() {
            let number = base + number;
            if number > 0 && number < u32::from(u16::MAX) && !used.contains_key(&number) {
                return number;
            }
        }
    }
    // Those in use come in order: the first that is not what it would be without a gap follows one.
    let taken = used.range(1..).zip(1..).take_while(|((number, _), n)| **number == *n).count();
    u32::try_from(taken).map_or(u32::MAX, |taken| taken + 1)
}

/// Which types are replaced by dummies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DummyMode {
    /// No dummies.
    #[default]
    Off,
    /// Dummies only where asked for.
    On,
    /// Instead of the host's devices.
    System,
    /// Instead of every device.
    Override,
}

impl DummyMode {
    /// Whether a datapath of this type is a dummy, with ports of its own that are dummies.
    pub fn covers(self, datapath: &str) -> bool {
        match self {
            _ if datapath == "dummy" => true,
            DummyMode::System => datapath == "system",
            DummyMode::Override => datapath != "netdev",
            DummyMode::Off | DummyMode::On => false,
        }
    }

    /// Whether ports of a datapath of this type are numbered as those of a dummy are.
    pub fn numbers(self, datapath: &str) -> bool {
        self == DummyMode::Override || self.covers(datapath)
    }
}

/// Kind of device of an interface in a datapath, and what `dpif/show` calls it.
///
/// # Errors
/// The text for the interface's `error` column.
pub fn device_kind(kind: &str, datapath: &str, mode: DummyMode, name: &str) -> Result<(DeviceKind, String), String> {
    let dummy = |shown: &str| Ok((DeviceKind::Dummy, shown.to_owned()));
    match kind {
        "patch" => Ok((DeviceKind::Virtual, "patch".to_owned())),
        "dummy" | "dummy-internal" | "dummy-pmd" if mode != DummyMode::Off => dummy(kind),
        "internal" if mode.covers(datapath) => dummy("dummy-internal"),
        "internal" if mode == DummyMode::Override => dummy("tap"),
        "system" if matches!(mode, DummyMode::System | DummyMode::Override) => dummy("system"),
        "tap" | "geneve" | "gre" | "ip6gre" | "vxlan" | "erspan" | "ip6erspan" | "lisp" | "stt" | "gtpu"
        | "bareudp"
            if mode == DummyMode::Override =>
        {
            dummy(kind)
        }
        "internal" => Ok((DeviceKind::Internal, if datapath == "netdev" { "tap" } else { "internal" }.to_owned())),
        "tap" => Ok((DeviceKind::Internal, "tap".to_owned())),
        "system" => Ok((DeviceKind::System, "system".to_owned())),
        // Rings serve these as well; no XDP program is loaded.
        "afxdp" | "afxdp-nonpmd" => Ok((DeviceKind::System, kind.to_owned())),
        "geneve" | "gre" | "ip6gre" | "vxlan" | "erspan" | "ip6erspan" | "lisp" | "stt" | "gtpu" | "bareudp" => {
            Ok((DeviceKind::Virtual, kind.to_owned()))
        }
        _ => Err(format!("could not open network device {name} ({UNKNOWN_KIND})")),
    }
}

const UNKNOWN_KIND: &str = "Address family not supported by protocol";

/// Whether it is [`device_kind`]'s error.
pub fn is_unknown_kind(error: &str) -> bool {
    error.strip_suffix(')').is_some_and(|rest| rest.ends_with(UNKNOWN_KIND))
}

/// What the plan knows of one interface.
#[derive(Debug, Clone)]
pub struct PlannedPort {
    /// Number.
    pub port: OfPort,
    /// Datapath number, for those that have one.
    pub odp: Option<OdpPort>,
    /// What `dpif/show` calls its kind.
    pub kind: String,
    /// Its device.
    pub status: Arc<PortStatus>,
    /// The name its patch peer has.
    pub peer: Option<String>,
    /// What it is configured to be, of a tunnel.
    pub tunnel: Option<Arc<TunnelConfig>>,
    /// The number that it has in RSTP.
    pub rstp_number: Option<u16>,
}

/// A string of VLAN numbers out of a column.
fn vlans(numbers: &[i64]) -> VlanSet {
    VlanSet::of(numbers.iter().filter_map(|n| u16::try_from(*n).ok()).filter(|n| *n < 4096))
}

fn vlan_mode(port: &DesiredPort) -> (VlanMode, i16) {
    let tag = port.tag.and_then(|t| i16::try_from(t).ok()).filter(|t| (0..4096).contains(t)).unwrap_or(-1);
    let mode = match port.vlan_mode.as_deref() {
        Some("access") => VlanMode::Access,
        Some("native-tagged") => VlanMode::NativeTagged,
        Some("native-untagged") => VlanMode::NativeUntagged,
        Some("dot1q-tunnel") => VlanMode::Dot1qTunnel,
        Some("trunk") => VlanMode::Trunk,
        _ if tag >= 0 => VlanMode::Access,
        _ => VlanMode::Trunk,
    };
    match mode {
        VlanMode::Trunk => (mode, -1),
        VlanMode::NativeTagged | VlanMode::NativeUntagged if tag < 0 => (mode, 0),
        _ => (mode, tag.max(0)),
    }
}

fn bundle(id: BundleId, port: &DesiredPort, members: Vec<OfPort>) -> BundleView {
    let (mode, vlan) = vlan_mode(port);
    let mut view = BundleView::new(id, &port.name, members.first().copied().unwrap_or(OfPort::NONE));
    view.vlan_mode = mode;
    view.vlan = vlan;
    view.trunks = match mode {
        VlanMode::Access | VlanMode::Dot1qTunnel => None,
        _ if port.trunks.is_empty() => None,
        VlanMode::NativeTagged | VlanMode::NativeUntagged => {
            let mut trunks = port.trunks.clone();
            trunks.push(vlan.into());
            Some(vlans(&trunks))
        }
        VlanMode::Trunk => Some(vlans(&port.trunks)),
    };
    view.cvlans = (mode == VlanMode::Dot1qTunnel && !port.cvlans.is_empty()).then(|| vlans(&port.cvlans));
    view.qinq_ethtype = match port.other_config.get("qinq-ethtype").map(String::as_str) {
        Some("802.1q" | "0x8100") => 0x8100,
        _ => 0x88a8,
    };
    view.priority_tags = match port.other_config.get("priority-tags").map(String::as_str) {
        Some("always") => PriorityTags::Always,
        Some("if-nonzero" | "true") => PriorityTags::IfNonzero,
        _ => PriorityTags::Never,
    };
    view.protected = port.protected;
    view.ports = members;
    view
}

fn mirror(index: u8, row: &DesiredMirror, bundles: &BTreeMap<String, BundleId>) -> Option<MirrorView> {
    let ids = |names: &[String]| names.iter().filter_map(|n| bundles.get(n).copied()).collect::<BTreeSet<_>>();
    let (mut srcs, mut dsts) = (ids(&row.src), ids(&row.dst));
    if row.select_all {
        srcs = bundles.values().copied().collect();
        dsts = srcs.clone();
    }
    let out = row.output_port.as_ref().and_then(|n| bundles.get(n).copied());
    // A port goes before a VLAN, though it be nowhere on the bridge.
    let out_vlan = row.output_vlan.and_then(|v| u16::try_from(v).ok()).filter(|_| row.output_port.is_none());
    if out.is_none() && out_vlan.is_none() {
        return None;
    }
    Some(MirrorView {
        index,
        name: row.name.clone(),
        srcs,
        dsts,
        vlans: vlans(&row.vlans),
        out,
        out_vlan,
        snaplen: row.snaplen.and_then(|n| u16::try_from(n).ok()).unwrap_or(0),
        dup: 0,
    })
}

fn table(row: &DesiredTable) -> TableConfig {
    let prefixes: Vec<_> = row.prefixes.iter().filter_map(|name| prefix_field(name).ok()).collect();
    let subfields = row.groups.iter().filter_map(|text| Subfield::parse(text).ok());
    let groups = subfields.map(|sub| (sub.field, sub.ofs, sub.n_bits)).collect();
    TableConfig {
        name: row.name.as_deref().map(Arc::from),
        max_flows: row.flow_limit.and_then(|n| usize::try_from(n).ok()),
        evict: row.overflow_policy.as_deref() == Some("evict"),
        groups,
        // Where nothing of it can be done, all is as without it.
        prefixes: (!prefixes.is_empty() || row.prefixes.iter().any(|name| name == "none")).then_some(prefixes),
        ..TableConfig::default()
    }
}

/// The field of a prefix trie.
///
/// # Errors
/// What is wrong with its name.
pub(super) fn prefix_field(name: &str) -> Result<PrefixField, &'static str> {
    Ok(match name {
        "nw_dst" | "ip_dst" => PrefixField::Ipv4Dst,
        "nw_src" | "ip_src" => PrefixField::Ipv4Src,
        "ipv6_dst" => PrefixField::Ipv6Dst,
        "ipv6_src" => PrefixField::Ipv6Src,
        "tun_dst" => PrefixField::TunDst,
        "tun_src" => PrefixField::TunSrc,
        "tun_ipv6_dst" => PrefixField::TunIpv6Dst,
        "tun_ipv6_src" => PrefixField::TunIpv6Src,
        "tun_id" | "tunnel_id" => PrefixField::TunId,
        _ if Field::by_name(name).is_some() => return Err("incompatible"),
        _ => return Err("unknown"),
    })
}

/// The datapath identifier: as configured, or the bridge's Ethernet address.
pub fn datapath_id(other_config: &Pairs, mac: u64) -> u64 {
    let configured = other_config.get("datapath-id").and_then(|text| {
        // Either all 16 digits or, behind 0x, as many as it takes.
        let digits = text.strip_prefix("0x").or_else(|| (text.len() == 16).then_some(text))?;
        u64::from_str_radix(digits, 16).ok().filter(|n| *n != 0)
    });
    configured.unwrap_or(mac)
}

/// The address of a bridge whose devices have none to lend: made of its row's UUID, so that it is the same after a
/// restart. As Open vSwitch: the UUID's first octets in the order in which its machine keeps 32-bit words.
pub fn default_mac(uuid: ovsdb::Uuid) -> u64 {
    let octets = uuid.as_bytes();
    let mac = [3, 2, 1, 0, 7, 6].into_iter().fold(0, |mac, at| mac << 8 | u64::from(octets[at]));
    // Locally administered, unicast.
    mac & !(1 << 40) | 1 << 41
}

/// The address a bridge is to have: as configured, else the lowest of its devices' that are globally assigned.
pub fn bridge_mac(bridge: &DesiredBridge, ports: &BTreeMap<String, PlannedPort>, default: u64) -> u64 {
    if let Some(mac) = super::checks::bridge_hwaddr(&bridge.other_config).and_then(Result::ok) {
        return mac;
    }
    let mirrored: BTreeSet<&String> = bridge.mirrors.iter().filter_map(|m| m.output_port.as_ref()).collect();
    let candidates = bridge.ports.values().filter(|p| !mirrored.contains(&p.name)).filter_map(|port| {
        // A bond is known by its first member.
        let planned = port.interfaces.keys().find_map(|name| ports.get(name))?;
        let own = port.mac.as_deref().and_then(parse_mac);
        let counts = planned.port != OfPort::LOCAL && planned.odp.is_some();
        own.or_else(|| counts.then_some(planned.status.mac))
    });
    // Reserved and locally administered addresses, and groups', are nobody's.
    let fits = |mac: &u64| *mac != 0 && mac & 0x0300_0000_0000 == 0 && *mac != 0xffff_ffff_ffff;
    candidates.filter(fits).min().unwrap_or(default)
}

fn port_desc(name: &str, planned: &PlannedPort) -> PortDesc {
    let status = &planned.status;
    PortDesc {
        port: planned.port,
        hw_addr: status.mac,
        name: name.to_owned(),
        config: if status.admin_up { 0 } else { port_config::PORT_DOWN },
        state: if status.link_up { 0 } else { port_state::LINK_DOWN },
        curr: status.features,
        curr_speed: speed_of(status.features),
        ..PortDesc::default()
    }
}

/// How packets get to the queues of a port.
fn queues(qos: &DesiredQos) -> Vec<TagQueue> {
    qos.queues
        .iter()
        .filter_map(|(number, (dscp, _))| {
            let queue = u32::try_from(*number).ok().filter(|n| *n < 0xf000)?;
            let dscp = dscp.and_then(|d| u8::try_from(d).ok()).filter(|d| *d < 64).map(|d| d << 2);
            // The datapath knows queues by number; the sending port makes classes of them.
            Some(TagQueue { queue, priority: queue, dscp })
        })
        .collect()
}

/// A bridge's whole configuration.
pub fn bridge_config(
    row: &DesiredBridge,
    ports: &BTreeMap<String, PlannedPort>,
    bundle_ids: &BTreeMap<String, BundleId>,
    peers: impl Fn(&str, &str) -> Option<PortRef>,
    mac: u64,
    restore_wait: bool,
    mirrors: &MirrorSlots,
) -> BridgeConfig {
    let mut config = BridgeConfig {
        name: row.name.clone(),
        uuid: u128::from_be_bytes(*row.uuid.as_bytes()),
        datapath_id: datapath_id(&row.other_config, mac),
        hw_addr: mac,
        desc: SwitchDesc {
            mfr: "Nicira, Inc.".to_owned(),
            hw: "Open vSwitch".to_owned(),
            sw: "3.1.0".to_owned(),
            serial: row.other_config.get("dp-sn").cloned().unwrap_or_else(|| "None".to_owned()),
            dp: row.other_config.get("dp-desc").cloned().unwrap_or_else(|| "None".to_owned()),
        },
        fail_secure: row.fail_secure,
        flood_vlans: vlans(&row.flood_vlans),
        forward_bpdu: row.other_config.get("forward-bpdu").is_some_and(|v| v == "true"),
        mac_aging_s: number(&row.other_config, "mac-aging-time", 300),
        mac_table_size: table_size(&row.other_config),
        flow_restore_wait: restore_wait,
        spanning: protocols::spanning(row, ports, bundle_ids, mac),
        mcast: row.mcast_snooping.then(|| snooping(&row.other_config)),
        tables: row
            .flow_tables
            .iter()
            .filter_map(|(id, t)| Some((u8::try_from(*id).ok().filter(|id| *id < 254)?, table(t))))
            .collect(),
        ..BridgeConfig::default()
    };
    for (port_name, port) in &row.ports {
        let Some(id) = bundle_ids.get(port_name) else { continue };
        let mut members = Vec::new();
        for name in port.interfaces.keys() {
            let Some(planned) = ports.get(name) else { continue };
            members.push(planned.port);
            let kind = match (&planned.peer, &planned.tunnel) {
                (Some(peer), _) => PortKind::Patch(peers(name, peer)),
                (None, Some(tunnel)) => PortKind::Tunnel(tunnel.clone()),
                (None, None) => PortKind::Device,
            };
            let view = PortView { bundle: Some(*id), kind, ..port_view(name, planned, port) };
            let desc = port_desc(name, planned);
            if view.lldp {
                config.lldp.insert(planned.port, protocols::lldp(name, planned, row.auto_attach.as_ref()));
            }
            config.liveness.extend(protocols::liveness(&port.interfaces[name]).map(|l| (planned.port, l)));
            config.ports.insert(planned.port, PortConfig { view, desc, kind: planned.kind.clone() });
        }
        if !members.is_empty() {
            config.bundle_settings.insert(*id, bundle_settings(port, ports));
            config.bundles.insert(*id, bundle(*id, port, members));
        }
    }
    if !row.mirrors.is_empty() {
        let is_there = |(_, id): &(&String, &BundleId)| config.bundles.contains_key(*id);
        let present = bundle_ids.iter().filter(is_there).map(|(name, id)| (name.clone(), *id)).collect();
        config.mirrors = mirrors.views(row, &present);
    }
    config
}

/// What translation sees of a port, but for its kind and bundle.
fn port_view(name: &str, planned: &PlannedPort, row: &DesiredPort) -> PortView {
    PortView {
        port: planned.port,
        name: name.to_owned(),
        odp: planned.odp,
        link_up: planned.status.link_up,
        may_enable: planned.status.link_up,
        hw_addr: planned.status.mac,
        lldp: flag(&row.interfaces[name].lldp, "enable"),
        ifindex: planned.status.ifindex.and_then(|n| u32::try_from(n).ok()).unwrap_or(0),
        packet_type_mode: planned.tunnel.as_ref().map(|t| t.packet_types).unwrap_or_default(),
        queues: row.qos.as_ref().map(queues).unwrap_or_default(),
        mcast_flood: flag(&row.other_config, "mcast-snooping-flood"),
        mcast_flood_reports: flag(&row.other_config, "mcast-snooping-flood-reports"),
        ..PortView::default()
    }
}

/// Places of a bridge's mirrors, 32 at the most. Each keeps its place as long as it is there, as packets are copied in
/// the order of places: those that came first first.
#[derive(Debug, Clone, Default)]
pub struct MirrorSlots(BTreeMap<Uuid, u8>);

impl MirrorSlots {
    /// Places for the mirrors of a row, new ones in the first that are free.
    pub fn assign(&mut self, row: &DesiredBridge) {
        self.0.retain(|uuid, _| row.mirrors.iter().any(|m| m.uuid == *uuid));
        for mirror in &row.mirrors {
            let is_free = |slot: &u8| self.0.values().all(|used| used != slot);
            if let Some(slot) = (0..32).find(is_free).filter(|_| !self.0.contains_key(&mirror.uuid)) {
                self.0.insert(mirror.uuid, slot);
            }
        }
    }

    fn views(&self, row: &DesiredBridge, bundles: &BTreeMap<String, BundleId>) -> Vec<MirrorView> {
        let placed = row.mirrors.iter().filter_map(|m| mirror(*self.0.get(&m.uuid)?, m, bundles));
        let mut mirrors: Vec<MirrorView> = placed.collect();
        // Mirrors to the same place send one copy.
        let places: Vec<_> = mirrors.iter().map(|m| (m.out, m.out_vlan, m.bit())).collect();
        for m in &mut mirrors {
            let same = places.iter().filter(|(out, vlan, _)| (*out, *vlan) == (m.out, m.out_vlan));
            m.dup = same.fold(0, |dup, (_, _, bit)| dup | bit);
        }
        mirrors
    }
}

/// Most VLAN headers that are looked at, of the two that can be; `vlan-limit` of 0 asks for as many as can be.
pub fn vlan_limit(other_config: &Pairs) -> usize {
    match number(other_config, "vlan-limit", 1) {
        0 => 2,
        n => n.min(2) as usize,
    }
}

/// A number out of a column of string pairs, as Open vSwitch reads them: blanks may be before it, nothing behind.
pub(super) fn figure<T: FromStr>(pairs: &Pairs, key: &str) -> Option<T> {
    pairs.get(key)?.trim_ascii_start().parse().ok()
}

/// Such a number; what is none, or negative, counts as not there.
pub(super) fn number(pairs: &Pairs, key: &str, default: u32) -> u32 {
    figure(pairs, key).unwrap_or(default)
}

/// Whether a key of a column of string pairs says `true`.
pub(super) fn flag(pairs: &Pairs, key: &str) -> bool {
    pairs.get(key).is_some_and(|v| v.eq_ignore_ascii_case("true"))
}

/// How many addresses a bridge may learn; the table keeps to its own bounds, a number below zero stands for any many, 0
/// for the default.
fn table_size(other_config: &Pairs) -> usize {
    let given = figure::<i32>(other_config, "mac-table-size");
    given.filter(|n| *n != 0).map_or(8192, |n| usize::try_from(n).unwrap_or(usize::MAX))
}

fn snooping(other_config: &Pairs) -> McastConfig {
    let default = McastConfig::default();
    McastConfig {
        idle_s: number(other_config, "mcast-snooping-aging-time", default.idle_s),
        max_groups: number(other_config, "mcast-snooping-table-size", default.max_groups as u32) as usize,
        flood_unregistered: !flag(other_config, "mcast-snooping-disable-flood-unregistered"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ofports_are_kept_apart_and_not_reused_at_once() {
        let mut ports = OfPorts::default();
        assert_eq!(ports.take(Some(7)), Some(OfPort(7)));
        assert_eq!(ports.take(Some(7)), Some(OfPort(1)));
        ports.give(OfPort(1));
        assert_eq!(ports.take(None), Some(OfPort(2)));
        assert_eq!(ports.take(Some(0xff00)), Some(OfPort(3)));
    }

    #[test]
    fn numbers_taken_in_vain_are_given_again() {
        let mut ports = OfPorts::default();
        let given: Vec<OfPort> = (0..3).filter_map(|_| ports.take(None)).collect();
        given[1..].iter().for_each(|n| ports.untake(*n));
        assert_eq!(ports.take(None), Some(OfPort(2)));
    }

    #[test]
    fn a_bridges_own_address_comes_from_its_row() {
        for (uuid, mac) in [
            ("e588f360-bd5d-42bc-b11d-86da4a84e7ce", 0x62f3_88e5_bc42),
            ("bc0ff45c-4aed-43f2-b4d3-d2398d595d0f", 0x5ef4_0fbc_f243),
        ] {
            assert_eq!(default_mac(ovsdb::Uuid::parse(uuid).unwrap()), mac);
        }
    }

    #[test]
    fn dummies_are_numbered_by_name() {
        let mut used = BTreeMap::new();
        assert_eq!(odp_number(&used, "br0", true), 100);
        assert_eq!(odp_number(&used, "p12", true), 12);
        used.insert(12, "p12".to_owned());
        assert_eq!(odp_number(&used, "q12", true), 1);
        assert_eq!(odp_number(&used, "veth9", false), 1);
    }

    #[test]
    fn own_ports_of_dummy_datapaths_are_dummies() {
        use DummyMode::{Off, On, Override, System};
        for (mode, datapath, shown, numbers) in [
            (Off, "system", "internal", false),
            (Off, "netdev", "tap", false),
            (On, "system", "internal", false),
            (On, "dummy", "dummy-internal", true),
            (System, "system", "dummy-internal", true),
            (System, "netdev", "tap", false),
            (Override, "system", "dummy-internal", true),
            (Override, "netdev", "tap", true),
        ] {
            let (kind, text) = device_kind("internal", datapath, mode, "p").unwrap();
            assert_eq!((text.as_str(), mode.numbers(datapath)), (shown, numbers), "{mode:?} {datapath}");
            let is_real = mode == Off || mode == On && datapath != "dummy" || mode == System && datapath == "netdev";
            assert_eq!(kind == DeviceKind::Internal, is_real, "{mode:?} {datapath}");
        }
    }
}
