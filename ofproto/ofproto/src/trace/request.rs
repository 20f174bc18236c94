//! Reading the arguments of `ofproto/trace` and `ofproto/trace-packet-out`.

use std::collections::VecDeque;

use flow::Key;
use flow::odp_text;
use flow::text::{CT_STATE, PortNames};
use openflow::action::{self, Check};
use openflow::names::{NameMap, Names};
use packet::PacketBuf;

use super::{Request, dp_names_of, names_of};
use crate::view::SwitchView;
use crate::xlate::{resolve, stray_text};

/// What is said of a packet out of a tunnel that is no port's.
pub const NO_TUNNEL: &str = "no OpenFlow tunnel port for this packet";

/// Most positional arguments in front of the packet and the actions.
const MAX_ARGS: usize = 3;

#[derive(Default)]
struct Options {
    generate: bool,
    consistent: bool,
    names: bool,
    payload: Option<Vec<u8>>,
    payload_len: Option<usize>,
    ct_states: VecDeque<u8>,
}

/// Reads the arguments; the command's name is not among them.
///
/// # Errors
/// A text for a user.
pub fn parse(view: &SwitchView, args: &[String], packet_out: bool) -> Result<Request, String> {
    let (args, actions_text) = match (packet_out, args.split_last()) {
        (true, Some((last, rest))) => (rest, Some(last)),
        (true, None) => return Err("too few arguments".to_owned()),
        (false, _) => (args, None),
    };
    // What comes last is actions, whatever it looks like, and it is read first; ports have numbers there.
    let actions = match actions_text {
        None => None,
        Some(text) => Some(action::parse_actions(text, Names::NONE)?.0),
    };
    let (mut positional, options) = split(args, packet_out)?;
    let mut packet = None;
    if let [.., _, _, last] | [_, last] = positional.as_slice()
        && !options.generate
        && (positional.len() == MAX_ARGS || is_hex(last))
    {
        packet = Some(packet_of(last)?);
        positional.pop();
    }
    let Some(flow_text) = positional.last().copied() else { return Err("Syntax error".to_owned()) };
    let (bridge, mut key) = read_flow(view, &positional, flow_text)?;
    if options.generate {
        let payload = match (&options.payload, options.payload_len) {
            (Some(octets), _) => flow::compose::Payload::Octets(octets),
            (None, Some(n)) => flow::compose::Payload::Counting(n),
            (None, None) => flow::compose::Payload::default(),
        };
        packet = Some(flow::compose::compose(&key, payload));
    } else if let Some(packet) = &packet {
        key = flow::extract_with(packet.data(), &key, view.support.max_vlan_headers.max(1)).0;
    }
    let actions = match actions {
        None => None,
        Some(actions) => Some(check_actions(view, bridge, &key, actions, options.consistent)?),
    };
    Ok(Request { bridge, key, packet, ct_states: options.ct_states, names: options.names, actions })
}

fn split(args: &[String], packet_out: bool) -> Result<(Vec<&str>, Options), String> {
    let mut options = Options::default();
    let mut positional = Vec::new();
    let mut args = args.iter().map(String::as_str);
    while let Some(arg) = args.next() {
        let mut value = |name: &str| args.next().ok_or_else(|| format!("Missing argument for option {name}"));
        match arg {
            "-generate" | "--generate" => options.generate = true,
            "-consistent" | "--consistent" if packet_out => options.consistent = true,
            "--names" => options.names = true,
            "--ct-next" => {
                let state = ct_state(value("--ct-next")?)?;
                options.ct_states.push_back(state);
            }
            "--l7" => options.payload = Some(hex(value("--l7")?).ok_or("Invalid l7 payload")?),
            "--l7-len" => {
                let text = value("--l7-len")?;
                let n: usize = text.parse().map_err(|_| format!("Invalid l7-len {text}"))?;
                if n > 64000 {
                    return Err(format!("{text}: too much L7 data"));
                }
                options.payload_len = Some(n);
            }
            _ if arg.starts_with('-') => return Err(format!("{arg}: unknown option")),
            _ if positional.len() >= MAX_ARGS => return Err("too many arguments".to_owned()),
            _ => positional.push(arg),
        }
    }
    Ok((positional, options))
}

fn ct_state(text: &str) -> Result<u8, String> {
    let mut bits = 0;
    for name in text.split([',', ' ', '\t']).filter(|n| !n.is_empty()) {
        let bit = CT_STATE.iter().position(|n| *n == name);
        let bit = bit.ok_or_else(|| format!("{name}: unknown connection tracking state flag"))?;
        bits |= 1u8 << bit;
    }
    let wrong = impossible(bits);
    if wrong.is_empty() {
        return Ok(bits);
    }
    let names: Vec<&str> = (0..8).filter(|i| bits & 1 << i != 0).map(|i| CT_STATE[i]).collect();
    let names = names.join("|");
    // Each has a line of its own, the last one too.
    Err(wrong.iter().map(|why| format!("{names}: invalid connection state: {why}\n")).collect())
}

/// Why no connection can be in this state.
fn impossible(bits: u8) -> Vec<&'static str> {
    use flow::ct_state::{EST, INV, NEW, RPL, TRK};
    let has = |all: u8| bits & all == all;
    [
        (bits != 0 && !has(TRK), "If \"trk\" is unset, no other flags are set"),
        (has(INV) && bits & !(INV | TRK) != 0, "when \"inv\" is set, only \"trk\" may also be set"),
        (has(NEW | EST), "\"new\" and \"est\" are mutually exclusive"),
        (has(NEW | RPL), "\"new\" and \"rpy\" are mutually exclusive"),
    ]
    .into_iter()
    .filter_map(|(is_so, why)| is_so.then_some(why))
    .collect()
}

/// What the log is told where [`parse`] says that a packet is out of no tunnel of here.
pub fn stray(view: &SwitchView, args: &[String]) -> Option<String> {
    let dp_names = dp_names_of(view);
    let (key, _) =
        args.iter().find_map(|arg| flow::odp_text::parse_key(arg, Some(&dp_names as &dyn PortNames)).ok())?;
    (key.tun_dst() != 0 || key.tun_ipv6_dst() != 0).then(|| stray_text(&key))
}

fn is_hex(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.' | b' ' | b'\t'))
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let (octets, rest) = openflow::hex_octets(text);
    rest.is_empty().then_some(octets)
}

fn packet_of(text: &str) -> Result<PacketBuf, String> {
    let octets = hex(text).ok_or("Trailing garbage in packet data")?;
    if octets.len() < 14 {
        return Err("Packet data too short for Ethernet".to_owned());
    }
    Ok(PacketBuf::new(&octets))
}

/// The type in a datapath's name, which it may stand for.
pub fn type_in(datapath: &str) -> &str {
    datapath.strip_prefix("ovs-").unwrap_or(datapath)
}

/// A datapath flow, alone or behind the datapath's name, or a bridge and an OpenFlow flow.
fn read_flow(view: &SwitchView, positional: &[&str], text: &str) -> Result<(crate::view::BridgeId, Key), String> {
    let is_known = match positional {
        [dp, _] => view.datapaths.contains(type_in(dp)),
        _ => view.datapaths.len() == 1,
    };
    // Without a datapath there are numbers alone.
    let dp_names = if is_known { dp_names_of(view) } else { NameMap::new() };
    let ports = Some(&dp_names as &dyn PortNames);
    let dp_error = match odp_text::parse_groups(text, ports) {
        Ok(odp_text::Groups { mut key, mask, lacks_ttl, .. }) => {
            complete(&mut key, &mask);
            limit_vlans(&mut key, view.support.max_vlan_headers.max(1));
            if positional.len() > 2 {
                return Err("Syntax error".to_owned());
            }
            if !is_known {
                return Err("Cannot find the datapath".to_owned());
            }
            if lacks_ttl {
                return Err(odp_text::missing_ttl(text, ports));
            }
            let port = key.in_port();
            let tunnelled = key.tun_dst() != 0 || key.tun_ipv6_dst() != 0;
            let described = key.clone();
            let bridge = resolve(view, &mut key).ok_or_else(|| {
                if tunnelled && view.tunnels.ports.iter().any(|(_, odp, _)| *odp == port) {
                    NO_TUNNEL.to_owned()
                } else {
                    format!("no OpenFlow port for datapath port {port}")
                }
            })?;
            if view.bridges.get(&bridge).is_some_and(|b| !b.tun_table.knows_critical(&described)) {
                return Err("Failed to parse Geneve options".to_owned());
            }
            return Ok((bridge, key));
        }
        Err(error) => error,
    };
    match positional {
        [name, _] => {
            let bridge = view.bridge_by_name(name).ok_or_else(|| format!("{name}: unknown bridge"))?;
            let names = names_of(view, bridge.id);
            let names = Names { ports: Some(&names), ..Names::NONE };
            let mut matching = openflow::flow_mod::parse_exact_flow(text, names)
                .map_err(|error| format!("Bad openflow flow syntax: {error}"))?;
            matching.move_options(&bridge.tun_table);
            let mut key = matching.key;
            if key.vlan_tci() & 0x1000 != 0 && key.vlan_tpid() == 0 {
                key.set_vlan_tpid(0x8100);
            }
            Ok((bridge.id, key))
        }
        [_] => Err(format!("{dp_error} (or the bridge name was omitted)")),
        _ => Err("Syntax error".to_owned()),
    }
}

/// What a datapath's key says where its text is silent: no port, and a frame without an EtherType. Fragments but the first
/// have no ports, whatever it says, and a tunnel has a key where the text has one.
fn complete(key: &mut Key, mask: &flow::Mask) {
    if mask.tun_id() == 0 {
        key.set_tun_flags(key.tun_flags() & !flow::tun_flag::KEY);
    }
    if key.nw_frag() & flow::nw_frag::LATER != 0 {
        key.set_tp_src(0);
        key.set_tp_dst(0);
        key.set_tcp_flags(0);
    }
    if mask.in_port() == 0 {
        key.set_in_port(u32::MAX);
    }
    if key.dl_type() == 0 && mask.dl_type() == 0 && key.packet_type() == 0 {
        key.set_dl_type(flow::extract::ethertype::NONE);
    }
}

/// Leaves of a key what the datapath would see of the packet if it looked at `limit` VLAN tags.
fn limit_vlans(key: &mut Key, limit: usize) {
    if limit == 1 && key.vlan2_tci() & 0x1000 != 0 {
        let tpid = key.vlan2_tpid();
        // Behind the tags nothing was parsed.
        key.0[flow::key::word::VLANS + 1..].fill(0);
        key.set_vlan2_tpid(0);
        key.set_vlan2_tci(0);
        key.set_dl_type(tpid);
    }
}

fn check_actions(
    view: &SwitchView,
    bridge: crate::view::BridgeId,
    key: &Key,
    actions: action::Actions,
    consistent: bool,
) -> Result<action::Actions, String> {
    let mut matching = openflow::matching::Match::any();
    matching.key = key.clone();
    matching.mask = flow::Mask::for_packet(key);
    let checked = action::check(actions, &matching, &Check::UNKNOWN).map_err(|e| format!("Bad actions: {e}"))?;
    let tolerant = checked.usable.contains(openflow::Protocols::OF10_STD)
        && !checked.usable.contains(openflow::Protocols::OF13_OXM);
    if consistent && tolerant {
        return Err("Bad actions: OFPBAC_MATCH_INCONSISTENT".to_owned());
    }
    let exists = |id: &u32| view.bridges.get(&bridge).is_some_and(|b| b.groups.contains_key(id));
    if checked.actions.iter().any(|a| matches!(a, action::Action::Group(id) if !exists(id))) {
        return Err("Bad actions: OFPBAC_BAD_OUT_GROUP".to_owned());
    }
    Ok(checked.actions)
}
