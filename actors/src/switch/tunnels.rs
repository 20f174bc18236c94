//! Tunnel interfaces as the database has them: their options read, what is wrong with them, and how they are shown.
//!
//! Source: ovs-vswitchd.conf.db(5), "Tunnel Options" and the sections behind it; the texts are Open vSwitch 3.1's.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::IpAddr;
use std::sync::{Arc, Weak};

use ofproto::view::{Erspan, PacketTypeMode, Setting, TunnelConfig};

use super::Backer;
use super::desired::{DesiredInterface, Pairs};

/// Where an IPv6 address is an IPv4 one.
const MAPPED: u128 = 0xffff_0000_0000;
/// Time to live of outer packets unless told.
const DEFAULT_TTL: u8 = 64;
/// The part of a type of service that a tunnel can be given.
const DSCP: u8 = 0xfc;

const KINDS: [&str; 10] = ["bareudp", "erspan", "geneve", "gre", "gtpu", "ip6erspan", "ip6gre", "lisp", "stt", "vxlan"];

/// The tunnels' type of this name.
pub(super) fn kind_named(name: &str) -> Option<&'static str> {
    KINDS.into_iter().find(|kind| *kind == name)
}

/// Sockets of the host's by the name of the tunnel port that has or had them: while the datapath has not let go of them, a port
/// of the same name goes on with them, as nobody else could have theirs.
pub(super) type HostSockets = BTreeMap<String, Weak<sys::HostTunnel>>;

/// Opens what the host's own stack is to send and receive a tunnel's packets by; `None` for what cannot be carried.
pub(super) fn open_by_host(
    name: &str,
    config: &TunnelConfig,
    open: &mut HostSockets,
) -> Result<Option<Arc<sys::HostTunnel>>, String> {
    use packet::ipv4::proto::UDP;
    let Some(kind) = config.made_of() else { return Ok(None) };
    let carrier = if kind.protocol() == UDP { sys::Carrier::Udp(config.dst_port) } else { sys::Carrier::Gre };
    open.retain(|_, sockets| sockets.strong_count() > 0);
    if let Some(sockets) = open.get(&config.datapath_port()).and_then(Weak::upgrade) {
        return Ok(Some(sockets));
    }
    let sockets = sys::HostTunnel::open(carrier).map_err(|error| {
        format!("could not add network device {name} to ofproto ({})", crate::port::device::reason(&error))
    })?;
    let sockets = Arc::new(sockets);
    open.insert(config.datapath_port(), Arc::downgrade(&sockets));
    Ok(Some(sockets))
}

/// What a type carries unless told.
fn default_packets(kind: &str) -> PacketTypeMode {
    match kind {
        "lisp" | "gtpu" | "bareudp" => PacketTypeMode::LegacyL3,
        _ => PacketTypeMode::LegacyL2,
    }
}

/// A number as C's `strtoull` with base 0 reads it: what is none is 0, less than none is counted down from 2⁶⁴.
fn lenient(text: &str) -> u64 {
    let (minus, text) = signed(text);
    let (digits, radix) = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => (hex, 16),
        None if text.len() > 1 && text.starts_with('0') => (&text[1..], 8),
        None => (text, 10),
    };
    from_start(digits, radix, minus)
}

/// A decimal number as C's `strtoull` with base 10 reads it.
fn lenient_decimal(text: &str) -> u64 {
    let (minus, digits) = signed(text);
    from_start(digits, 10, minus)
}

/// Whether a number begins with a minus, and what stands behind its sign.
fn signed(text: &str) -> (bool, &str) {
    let text = text.trim_start();
    (text.starts_with('-'), text.strip_prefix(['-', '+']).unwrap_or(text))
}

/// The number that the text's digits make, as far as they go.
fn from_start(digits: &str, radix: u32, minus: bool) -> u64 {
    let end = digits.find(|c: char| !c.is_digit(radix)).unwrap_or(digits.len());
    match u64::from_str_radix(&digits[..end], radix) {
        Ok(number) if minus => number.wrapping_neg(),
        Ok(number) => number,
        Err(_) if end == 0 => 0,
        Err(_) => u64::MAX,
    }
}

/// A number in hexadecimal, with or without `0x`, as far as it is one: what is none is 0.
fn lenient_hex(text: &str) -> u32 {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text);
    let end = digits.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(digits.len());
    if end == 0 { 0 } else { u32::from_str_radix(&digits[..end], 16).unwrap_or(u32::MAX) }
}

/// A type of service that a tunnel can be given: no congestion bits, and a number to its end.
fn type_of_service(text: &str) -> Option<u8> {
    let digits = text.trim_start_matches("0x").trim_start_matches("0X");
    let is_number = if digits.len() < text.len() {
        digits.chars().all(|c| c.is_ascii_hexdigit())
    } else {
        text.chars().all(|c| c.is_ascii_digit())
    };
    u8::try_from(lenient(text)).ok().filter(|tos| is_number && tos & !DSCP == 0)
}

fn address(text: &str) -> Option<Setting<u128>> {
    if text == "flow" {
        return Some(Setting::Flow);
    }
    match text.parse().ok()? {
        IpAddr::V4(v4) => Some(Setting::Value(MAPPED | u128::from(u32::from(v4)))),
        IpAddr::V6(v6) => Some(Setting::Value(u128::from(v6))),
    }
}

fn is_v4(address: u128) -> bool {
    address >> 32 == MAPPED >> 32
}

fn address_text(address: u128) -> String {
    if is_v4(address) {
        std::net::Ipv4Addr::from(address as u32).to_string()
    } else {
        std::net::Ipv6Addr::from(address).to_string()
    }
}

fn is_multicast(address: u128) -> bool {
    if is_v4(address) { std::net::Ipv4Addr::from(address as u32).is_multicast() } else { address >> 120 == 0xff }
}

fn key(options: &Pairs, name: &str) -> Setting<u64> {
    match options.get(name).or_else(|| options.get("key")).map(String::as_str) {
        None => Setting::Absent,
        Some("flow") => Setting::Flow,
        Some(text) => Setting::Value(lenient(text)),
    }
}

/// Whether an option means something to tunnels of a kind.
fn is_known(kind: &str, option: &str) -> bool {
    match option {
        "remote_ip" | "local_ip" | "tos" | "ttl" | "df_default" | "egress_pkt_mark" | "key" | "in_key" | "out_key" => {
            true
        }
        "erspan_ver" | "erspan_idx" | "erspan_dir" | "erspan_hwid" | "packet_type" | "payload_type" | "psk" => true,
        "dst_port" => TunnelConfig::default_port(kind).is_some(),
        "csum" => matches!(kind, "vxlan" | "geneve" | "gre" | "ip6gre" | "stt"),
        "seq" => matches!(kind, "gre" | "ip6gre"),
        "exts" => kind == "vxlan",
        _ => false,
    }
}

/// What is wrong with a tunnel's options and does no harm: of each option a line, as the log and, if there is worse, the
/// column `error` have it.
pub(super) fn oddities(name: &str, kind: &str, options: &Pairs) -> Vec<String> {
    let bad = ["remote_ip", "local_ip"].into_iter();
    let bad = bad.filter(|key| options.get(*key).is_some_and(|text| address(text).is_none()));
    let mut said: Vec<String> = bad.map(|key| format!("{name}: bad {kind} '{key}'")).collect();
    for (option, value) in options {
        if option == "tos" && value != "inherit" && type_of_service(value).is_none() {
            said.push(format!("{name}: invalid TOS {value}"));
        } else if !is_known(kind, option) {
            said.push(format!("{name}: unknown {kind} argument '{option}'"));
        }
    }
    said
}

/// Extensions of VXLAN that are asked for and do not exist.
pub(super) fn unknown_extensions<'a>(kind: &str, options: &'a Pairs) -> impl Iterator<Item = &'a str> {
    let exts = options.get("exts").filter(|_| kind == "vxlan");
    let exts = exts.into_iter().flat_map(|exts| exts.split(',').filter(|ext| !ext.is_empty()));
    exts.filter(|ext| !["gbp", "gpe"].contains(ext))
}

/// Reads a tunnel's options. What means nothing to it is passed over. `native`: the switch encapsulates by itself.
///
/// # Errors
/// The text for the interface's `error` column.
pub(super) fn read(name: &str, kind: &'static str, options: &Pairs, native: bool) -> Result<TunnelConfig, String> {
    make(name, kind, options, native).map_err(|worst| {
        let mut said = oddities(name, kind, options);
        said.extend(worst);
        if said.is_empty() { format!("{name}{UNNAMED}") } else { said.join("\n") }
    })
}

/// What is said of a tunnel whose fault has no words of its own, behind its name.
pub(super) const UNNAMED: &str = ": could not set configuration (Invalid argument)";

/// Reads a tunnel's options; else what rules it out, if that has words.
fn make(name: &str, kind: &'static str, options: &Pairs, native: bool) -> Result<TunnelConfig, Option<String>> {
    let get = |key: &str| options.get(key).map(String::as_str);
    let end = |key: &str| get(key).and_then(address).unwrap_or(Setting::Absent);
    let (remote, local) = (end("remote_ip"), end("local_ip"));
    if let Setting::Value(a) = remote
        && is_multicast(a)
    {
        return Err(Some(format!("{name}: multicast remote_ip={} not allowed", address_text(a))));
    }
    let is_carried =
        |carried: &str| matches!(carried, "mpls" | "ip") || carried.starts_with(|c: char| c.is_ascii_digit());
    if !get("payload_type").is_none_or(is_carried) {
        return Err(None);
    }
    let (tos, ttl) = (get("tos").unwrap_or(""), get("ttl").unwrap_or(""));
    let exts: Vec<&str> = get("exts").unwrap_or("").split(',').collect();
    let has = |ext: &str| kind == "vxlan" && exts.contains(&ext);
    let port =
        TunnelConfig::default_port(kind).map(|port| get("dst_port").map_or(port, |text| lenient_decimal(text) as u16));
    let config = TunnelConfig {
        kind,
        remote,
        local,
        in_key: key(options, "in_key"),
        out_key: key(options, "out_key"),
        tos: type_of_service(tos).unwrap_or(0),
        tos_inherit: tos == "inherit",
        ttl: if lenient_decimal(ttl) as u8 == 0 { DEFAULT_TTL } else { lenient_decimal(ttl) as u8 },
        ttl_inherit: ttl == "inherit",
        df_default: get("df_default").is_none_or(|v| v == "true"),
        csum: get("csum") == Some("true") && is_known(kind, "csum"),
        dst_port: port.unwrap_or(0),
        egress_pkt_mark: get("egress_pkt_mark").map(|text| lenient_decimal(text) as u32),
        gbp: has("gbp"),
        gpe: has("gpe"),
        native,
        seq: get("seq") == Some("true") && is_known(kind, "seq"),
        erspan: erspan(name, kind, options)?,
        packet_types: packet_types(name, kind, has("gpe"), get("packet_type"))?,
    };
    match (config.remote, config.local) {
        (Setting::Absent, _) => Err(Some(format!("{name}: {kind} type requires valid 'remote_ip' argument"))),
        (Setting::Value(_), Setting::Flow) => {
            Err(Some(format!("{name}: {kind} type requires 'remote_ip=flow' with 'local_ip=flow'")))
        }
        (Setting::Value(a), Setting::Value(b)) if is_v4(a) != is_v4(b) => {
            Err(Some(format!("{name}: 'remote_ip' and 'local_ip' has to be of the same address family")))
        }
        _ => Ok(config),
    }
}

fn packet_types(name: &str, kind: &str, gpe: bool, wanted: Option<&str>) -> Result<PacketTypeMode, String> {
    let mode = match wanted {
        None => return Ok(default_packets(kind)),
        Some("legacy_l2") => PacketTypeMode::LegacyL2,
        Some("legacy_l3") => PacketTypeMode::LegacyL3,
        Some("ptap") => PacketTypeMode::PtapAware,
        Some(other) => return Err(format!("{name}: unknown packet_type '{other}'")),
    };
    let carrier = match kind {
        "vxlan" if !gpe => "VXLAN (without GPE)",
        kind => kind,
    };
    let layer = match (kind, mode) {
        ("gre", _) => return Ok(mode),
        ("vxlan", PacketTypeMode::LegacyL3) if gpe => return Ok(mode),
        ("lisp" | "gtpu" | "bareudp", PacketTypeMode::LegacyL2) => 2,
        ("lisp" | "gtpu" | "bareudp", _) => return Ok(mode),
        (_, PacketTypeMode::LegacyL3) => 3,
        _ => return Ok(mode),
    };
    Err(format!("{name}: legacy_l{layer} configured on {carrier} tunnel that cannot carry L{layer} traffic"))
}

fn erspan(name: &str, kind: &str, options: &Pairs) -> Result<Erspan, String> {
    let none = Erspan {
        version: Setting::Absent,
        index: Setting::Absent,
        direction: Setting::Absent,
        hardware: Setting::Absent,
    };
    let mut erspan = none;
    let read = |key: &str, what: &str, fits: &dyn Fn(u32) -> bool| match options.get(key).map(String::as_str) {
        None => Ok(Setting::Absent),
        Some("flow") => Ok(Setting::Flow),
        Some(text) => match lenient_hex(text) {
            n if fits(n) => Ok(Setting::Value(n)),
            _ => Err(format!("{name}: invalid erspan {what}: {text}")),
        },
    };
    let octet = |setting: Setting<u32>| match setting {
        Setting::Absent => Setting::Absent,
        Setting::Flow => Setting::Flow,
        Setting::Value(n) => Setting::Value(n as u8),
    };
    erspan.version = octet(read("erspan_ver", "version", &|n| n == 1 || n == 2)?);
    let is_erspan = kind.ends_with("erspan");
    if is_erspan && erspan.version == Setting::Flow {
        let (index, octets) = (Setting::Flow, Setting::Flow);
        return Ok(Erspan { index, direction: octets, hardware: octets, ..erspan });
    }
    erspan.index = read("erspan_idx", "index", &|n| n < 1 << 20)?;
    erspan.hardware = octet(read("erspan_hwid", "hardware ID", &|n| n < 1 << 6)?);
    erspan.direction = octet(read("erspan_dir", "direction", &|n| n < 2)?);
    Ok(if is_erspan { erspan } else { none })
}

/// The options as `dpif/show` has them, behind the type.
pub(super) fn text(config: &TunnelConfig) -> String {
    let mut told = common(config);
    let address = |setting: Setting<u128>| match setting {
        Setting::Absent => None,
        Setting::Flow => Some("flow".to_owned()),
        Setting::Value(a) => Some(address_text(a)),
    };
    let number = |setting: Setting<u64>| match setting {
        Setting::Absent => None,
        Setting::Flow => Some("flow".to_owned()),
        Setting::Value(n) => Some(n.to_string()),
    };
    told.extend(address(config.remote).map(|v| ("remote_ip", v)));
    told.extend(address(config.local).map(|v| ("local_ip", v)));
    if config.in_key == config.out_key {
        told.extend(number(config.in_key).map(|v| ("key", v)));
    } else {
        told.extend(number(config.in_key).map(|v| ("in_key", v)));
        told.extend(number(config.out_key).map(|v| ("out_key", v)));
    }
    joined(config.kind, &told)
}

/// The same of the datapath port that tunnels of a kind share.
pub(super) fn shared_text(config: &TunnelConfig) -> String {
    let shared = TunnelConfig {
        tos: 0,
        tos_inherit: false,
        ttl: DEFAULT_TTL,
        ttl_inherit: false,
        df_default: true,
        csum: false,
        egress_pkt_mark: None,
        seq: false,
        packet_types: PacketTypeMode::PtapAware,
        ..config.clone()
    };
    let mut told = common(&shared);
    told.retain(|name, _| !name.starts_with("erspan"));
    if config.kind.ends_with("erspan") {
        told.insert("erspan_ver", "0".to_owned());
    }
    joined(config.kind, &told)
}

fn joined(kind: &str, told: &BTreeMap<&str, String>) -> String {
    let mut out = kind.to_owned();
    for (i, (name, value)) in told.iter().enumerate() {
        let _ = write!(out, "{}{name}={value}", if i == 0 { ": " } else { ", " });
    }
    out
}

fn common(config: &TunnelConfig) -> BTreeMap<&'static str, String> {
    let mut told = BTreeMap::new();
    if config.tos_inherit {
        told.insert("tos", "inherit".to_owned());
    } else if config.tos != 0 {
        told.insert("tos", format!("0x{:x}", config.tos));
    }
    if config.ttl_inherit {
        told.insert("ttl", "inherit".to_owned());
    } else if config.ttl != DEFAULT_TTL {
        told.insert("ttl", config.ttl.to_string());
    }
    if config.dst_port != 0 && TunnelConfig::default_port(config.kind) != Some(config.dst_port) {
        told.insert("dst_port", config.dst_port.to_string());
    }
    let flags =
        [("csum", config.csum, "true"), ("df_default", !config.df_default, "false"), ("seq", config.seq, "true")];
    told.extend(flags.into_iter().filter(|(_, on, _)| *on).map(|(name, _, value)| (name, value.to_owned())));
    told.extend(config.egress_pkt_mark.map(|mark| ("egress_pkt_mark", mark.to_string())));
    if config.packet_types != default_packets(config.kind) {
        told.insert("packet_type", mode_text(config.packet_types).to_owned());
    }
    let Erspan { version, index, direction, hardware } = config.erspan;
    if config.kind.ends_with("erspan") {
        told.insert("erspan_ver", shown(version, false).unwrap_or_else(|| "0".to_owned()));
        let or_zero = |text: Option<String>, zero: &str| text.unwrap_or_else(|| zero.to_owned());
        if matches!(version, Setting::Value(1) | Setting::Flow) {
            told.insert("erspan_idx", or_zero(shown(index, true), "0x0"));
        }
        if matches!(version, Setting::Value(2) | Setting::Flow) {
            told.insert("erspan_dir", or_zero(shown(direction, false), "0"));
            told.insert("erspan_hwid", or_zero(shown(hardware, true), "0x0"));
        }
    }
    told
}

fn shown<T: Copy + Into<u32>>(setting: Setting<T>, in_hex: bool) -> Option<String> {
    match setting {
        Setting::Absent => None,
        Setting::Flow => Some("flow".to_owned()),
        Setting::Value(n) if in_hex => Some(format!("0x{:x}", n.into())),
        Setting::Value(n) => Some(n.into().to_string()),
    }
}

/// What a tunnel is told that comes to a UDP port where another kind of VXLAN is spoken.
pub(super) const RIVALS: &str = "VXLAN-GBP, and non-VXLAN-GBP tunnels can't be configured on the same dst_port";

/// Whether two tunnels would share a UDP port, but speak VXLAN with and without group policy.
pub(super) fn is_rival(config: &TunnelConfig, other: &TunnelConfig) -> bool {
    let is_vxlan = config.kind == "vxlan" && other.kind == "vxlan";
    is_vxlan && config.dst_port == other.dst_port && config.gbp != other.gbp
}

fn mode_text(mode: PacketTypeMode) -> &'static str {
    match mode {
        PacketTypeMode::LegacyL2 => "legacy_l2",
        PacketTypeMode::LegacyL3 => "legacy_l3",
        PacketTypeMode::PtapAware => "ptap",
    }
}

fn key_text(key: Setting<u64>) -> String {
    match key {
        Setting::Flow => "flow".to_owned(),
        Setting::Value(n) if n != 0 => format!("0x{n:x}"),
        _ => "0".to_owned(),
    }
}

/// What packets are a tunnel's, as the log has it: ends, key expected, kind of packets.
pub(super) fn matched(config: &TunnelConfig, odp: flow::OdpPort) -> String {
    let (ends, key) = (ends_and_key(config), mode_text(config.packet_types));
    format!("{ends}, {key}, dp port={odp}")
}

fn ends_and_key(config: &TunnelConfig) -> String {
    let end = |setting: Setting<u128>| match setting {
        Setting::Absent => "::".to_owned(),
        Setting::Flow => "flow".to_owned(),
        Setting::Value(a) => address_text(a),
    };
    format!("{}->{}, key={}", end(config.local), end(config.remote), key_text(config.in_key))
}

/// A tunnel as `ofproto/list-tunnels` has it, behind its name and without the line's end.
pub(super) fn listed(config: &TunnelConfig, odp: flow::OdpPort) -> String {
    let mut out = format!("{}: {}", config.kind, ends_and_key(config));
    let _ = write!(out, ", {}, dp port={odp}", mode_text(config.packet_types));
    if config.in_key != config.out_key {
        let text = if config.out_key == Setting::Absent { "none".to_owned() } else { key_text(config.out_key) };
        let _ = write!(out, ", out_key={text}");
    }
    let _ = match config.ttl_inherit {
        true => write!(out, ", ttl=inherit"),
        false => write!(out, ", ttl={}", config.ttl),
    };
    if config.tos_inherit {
        out.push_str(", tos=inherit");
    } else if config.tos != 0 {
        let _ = write!(out, ", tos=0x{:x}", config.tos);
    }
    if !config.df_default {
        out.push_str(", df=false");
    }
    if config.csum {
        out.push_str(", csum=true");
    }
    out
}

/// Tells the log what is odd about the options of a tunnel that is there all the same.
pub(super) fn tell_oddities(interface: &DesiredInterface) {
    let Some(kind) = kind_named(&interface.kind) else { return };
    let oddities = oddities(&interface.name, kind, &interface.options);
    if !oddities.is_empty() {
        vlog::warn!("netdev_vport", "{}", oddities.join("\n"));
    }
    tell_extensions(interface);
}

/// Tells the log of extensions that a tunnel is to have and that nobody knows.
pub(super) fn tell_extensions(interface: &DesiredInterface) {
    for ext in unknown_extensions(&interface.kind, &interface.options) {
        vlog::warn!("netdev_vport", "{}: unknown extension '{ext}'", interface.name);
    }
}

/// Whether no other tunnel of the datapath has the same packets.
///
/// # Errors
/// One has: what to say of it in the row. The log is told more.
pub(super) fn is_alone(own: &TunnelConfig, name: &str, bridge_name: &str, backer: &Backer) -> Result<(), String> {
    let Some((other, config)) = backer.tunnels.iter().find(|(_, other)| own.collides(other)) else { return Ok(()) };
    let shared = config.datapath_port();
    let odp = backer.ports.iter().find(|(_, n)| **n == shared).map_or(u32::MAX, |(odp, _)| *odp);
    let matched = matched(config, odp);
    let said = format!("{name}: attempting to add tunnel port with same config as port '{other}' ({matched})");
    vlog::warn!("tunnel", "{said}");
    vlog::warn_rl!("ofproto", 1, 5, "{bridge_name}: could not add port {name} (File exists)");
    Err(format!("could not add network device {name} to ofproto (File exists)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(text: &str) -> Pairs {
        let pair = |p: &str| p.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned()));
        text.split_whitespace().filter_map(pair).collect()
    }

    #[test]
    fn options_are_read_and_shown() {
        for (kind, given, expected) in [
            ("vxlan", "remote_ip=1.1.1.1 key=abc ttl=300", "vxlan: key=0, remote_ip=1.1.1.1, ttl=44"),
            ("vxlan", "remote_ip=1.1.1.1 tos=16 in_key=3", "vxlan: in_key=3, remote_ip=1.1.1.1, tos=0x10"),
            ("vxlan", "remote_ip=1.1.1.1 tos=5 dst_port=0", "vxlan: remote_ip=1.1.1.1"),
            ("gre", "remote_ip=flow local_ip=flow dst_port=9", "gre: local_ip=flow, remote_ip=flow"),
            (
                "erspan",
                "remote_ip=1.1.1.1 erspan_ver=1 erspan_idx=3",
                "erspan: erspan_idx=0x3, erspan_ver=1, remote_ip=1.1.1.1",
            ),
            ("gtpu", "remote_ip=1.1.1.1 key=0x10", "gtpu: key=16, remote_ip=1.1.1.1"),
        ] {
            let kind = kind_named(kind).expect("a type");
            let config = read("t", kind, &options(given), true).expect(given);
            assert_eq!(text(&config), expected);
        }
    }

    #[test]
    fn what_cannot_be_is_told() {
        for (kind, given, expected) in [
            ("vxlan", "", "t: vxlan type requires valid 'remote_ip' argument"),
            ("vxlan", "remote_ip=x", "t: bad vxlan 'remote_ip'\nt: vxlan type requires valid 'remote_ip' argument"),
            ("gre", "remote_ip=224.0.0.1", "t: multicast remote_ip=224.0.0.1 not allowed"),
            ("gre", "remote_ip=1.1.1.1 local_ip=flow", "t: gre type requires 'remote_ip=flow' with 'local_ip=flow'"),
            ("gre", "remote_ip=1.1.1.1 packet_type=x", "t: unknown packet_type 'x'"),
            ("erspan", "remote_ip=1.1.1.1 erspan_ver=3", "t: invalid erspan version: 3"),
        ] {
            let kind = kind_named(kind).expect("a type");
            assert_eq!(read("t", kind, &options(given), true).err().as_deref(), Some(expected));
        }
    }

    #[test]
    fn tunnels_of_a_kind_share_a_port() {
        let config = |kind, given| read("t", kind_named(kind).expect("a type"), &options(given), true).expect(given);
        assert_eq!(config("geneve", "remote_ip=flow dst_port=6082").datapath_port(), "genev_sys_6082");
        assert_eq!(config("gre", "remote_ip=flow").datapath_port(), "gre_sys");
        let shared = shared_text(&config("geneve", "remote_ip=flow dst_port=6082 ttl=3"));
        assert_eq!(shared, "geneve: dst_port=6082, packet_type=ptap");
    }
}
