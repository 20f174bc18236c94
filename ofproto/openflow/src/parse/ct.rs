//! Tracked connections from text: `ct_nw_src=10.0.0.1,ct_nw_proto=6,ct_tp_dst=80`.

use std::net::{IpAddr, Ipv6Addr};

use flow::text::parse_wrapping_prefix;

use crate::message::{CtFlush, CtTuple};
use crate::words::{u8_of, u16_of};

/// The family of a tuple's addresses.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    V4,
    V6,
}

/// What both directions have in common, set by the first that says it.
#[derive(Clone, Copy, Default)]
struct Common {
    /// Protocol; 0 for any.
    proto: u8,
    family: Option<Family>,
}

/// Reads one direction.
///
/// # Errors
/// A text for a user.
fn parse_tuple(text: &str, common: &mut Common) -> Result<CtTuple, String> {
    let Common { proto, family } = common;
    let mut tuple = CtTuple::default();
    for (name, value) in crate::key_values(text) {
        if value.is_empty() {
            return Err(format!("field {name} missing value"));
        }
        let bad = || format!("failed to parse field {name}");
        match name {
            "ct_nw_src" | "ct_nw_dst" | "ct_ipv6_src" | "ct_ipv6_dst" => {
                let want = if name.starts_with("ct_nw") { Family::V4 } else { Family::V6 };
                if family.is_some_and(|f| f != want) {
                    return Err(format!("the L3 protocol does not match {value}"));
                }
                let address = address(value, want).ok_or_else(bad)?;
                *family = Some(want);
                let end = if name.ends_with("src") { &mut tuple.src } else { &mut tuple.dst };
                if end.replace(address).is_some() {
                    return Err(format!("{name} is set multiple times"));
                }
            }
            "ct_nw_proto" => *proto = u8_of(value, name).map_err(|_| bad())?,
            "ct_tp_src" => tuple.src_port = Some(u16_of(value, name).map_err(|_| bad())?),
            "ct_tp_dst" => tuple.dst_port = Some(u16_of(value, name).map_err(|_| bad())?),
            // What comes before the protocol is of none.
            "icmp_id" | "icmp_type" | "icmp_code" if !is_icmp(*proto) => return Err("invalid L4 fields".to_owned()),
            "icmp_id" => tuple.icmp_id = Some(u16_of(value, name).map_err(|_| bad())?),
            "icmp_type" => tuple.icmp_type = Some(u8_of(value, name).map_err(|_| bad())?),
            "icmp_code" => tuple.icmp_code = Some(u8_of(value, name).map_err(|_| bad())?),
            _ => return Err(format!("invalid conntrack tuple field: {name}")),
        }
    }
    if *proto == 0 && (tuple.src_port.is_some() || tuple.dst_port.is_some()) {
        return Err("port is set without protocol".to_owned());
    }
    Ok(of_protocol(tuple, *proto))
}

fn address(text: &str, family: Family) -> Option<Ipv6Addr> {
    match (text.parse().ok()?, family) {
        (IpAddr::V4(a), Family::V4) => Some(a.to_ipv6_mapped()),
        (IpAddr::V6(a), Family::V6) => Some(a),
        _ => None,
    }
}

/// The number that a zone's text begins with, as it fits into 16 bits.
fn zone_of(text: &str) -> Option<u16> {
    parse_wrapping_prefix(text, 10).map(|(number, _)| number as u16)
}

fn is_icmp(proto: u8) -> bool {
    matches!(proto, 1 | 58)
}

/// Ports of ICMP are its identifier, and its type with its code, as all of them have one place in Open vSwitch's tuple;
/// and the other way round, where the protocol was another at first.
fn of_protocol(tuple: CtTuple, proto: u8) -> CtTuple {
    let CtTuple { src_port, dst_port, icmp_id, icmp_type, icmp_code, .. } = tuple;
    if is_icmp(proto) && (src_port.is_some() || dst_port.is_some()) {
        let [kind, code] = dst_port.unwrap_or_default().to_be_bytes();
        CtTuple {
            src_port: None,
            dst_port: None,
            icmp_id: icmp_id.or(src_port),
            icmp_type: icmp_type.or(dst_port.map(|_| kind)),
            icmp_code: icmp_code.or(dst_port.map(|_| code)),
            ..tuple
        }
    } else if !is_icmp(proto) && (icmp_id.is_some() || icmp_type.is_some() || icmp_code.is_some()) {
        let port = u16::from_be_bytes([icmp_type.unwrap_or_default(), icmp_code.unwrap_or_default()]);
        let has_port = icmp_type.is_some() || icmp_code.is_some();
        CtTuple {
            src_port: src_port.or(icmp_id),
            dst_port: dst_port.or(has_port.then_some(port)),
            icmp_id: None,
            icmp_type: None,
            icmp_code: None,
            ..tuple
        }
    } else {
        tuple
    }
}

/// Reads what `ct-flush` takes: `[zone=N] [TUPLE [TUPLE]]`.
///
/// # Errors
/// A text for a user.
pub fn parse_ct_flush(words: &[&str]) -> Result<CtFlush, String> {
    let mut flush = CtFlush::default();
    let mut rest = words;
    if let Some((first, tail)) = rest.split_first()
        && let Some(zone) = first.strip_prefix("zone=")
    {
        flush.zone = Some(zone_of(zone).ok_or("Failed to parse zone")?);
        rest = tail;
    }
    let mut common = Common::default();
    let mut tuple = |text: &str| parse_tuple(text, &mut common).map_err(|e| format!("Failed to parse ct-tuple: {e}"));
    if let Some((first, tail)) = rest.split_first() {
        flush.orig = tuple(first)?;
        rest = tail;
    }
    if let Some((first, tail)) = rest.split_first() {
        flush.reply = tuple(first)?;
        rest = tail;
    }
    flush.ip_proto = common.proto;
    if rest.is_empty() { Ok(flush) } else { Err("Invalid arguments".to_string()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_tuple_may_say_depends_on_its_protocol_so_far() {
        let tuple = |text: &str| parse_tuple(text, &mut Common::default());
        let refused = |text: &str| tuple(text).err().unwrap_or_default();
        assert_eq!(refused("icmp_type=1,ct_nw_proto=1"), "invalid L4 fields");
        assert_eq!(refused("ct_nw_proto=6,icmp_id=x"), "invalid L4 fields");
        assert_eq!(refused("ct_nw_proto=58,icmp_code=x"), "failed to parse field icmp_code");
        assert_eq!(refused("ct_tp_src=1"), "port is set without protocol");
        assert_eq!(refused("ct_nw_proto=1,ct_tp_src=x"), "failed to parse field ct_tp_src");
        let ping = CtTuple { icmp_id: Some(7), icmp_type: Some(8), icmp_code: Some(0), ..CtTuple::default() };
        assert_eq!(tuple("ct_nw_proto=1,icmp_id=7,icmp_type=8,icmp_code=0"), Ok(ping));
        assert_eq!(tuple("ct_tp_dst=0x800,ct_tp_src=7,ct_nw_proto=1"), Ok(ping));
        let ports = CtTuple { src_port: Some(7), dst_port: Some(0x800), ..CtTuple::default() };
        assert_eq!(tuple("ct_nw_proto=1,icmp_id=7,icmp_type=8,ct_nw_proto=6"), Ok(ports));
    }

    #[test]
    fn both_tuples_are_of_one_protocol_and_family() {
        let flush = parse_ct_flush(&["ct_nw_src=1.1.1.1,ct_nw_proto=6", "ct_tp_src=1"]);
        assert_eq!(flush.map(|flush| (flush.ip_proto, flush.reply.src_port)), Ok((6, Some(1))));
        let mixed = parse_ct_flush(&["ct_nw_src=1.1.1.1", "ct_ipv6_src=fc00::1"]);
        assert_eq!(mixed, Err("Failed to parse ct-tuple: the L3 protocol does not match fc00::1".to_owned()));
    }
}
