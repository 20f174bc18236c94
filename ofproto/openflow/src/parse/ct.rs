//! Tracked connections from text: `ct_nw_src=10.0.0.1,ct_nw_proto=6,ct_tp_dst=80`.

use std::net::{IpAddr, Ipv6Addr};

use flow::text::parse_u64_prefix;

use crate::message::{CtFlush, CtTuple};
use crate::words::{u8_of, u16_of};

/// The family of a tuple's addresses.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    V4,
    V6,
}

/// Reads one direction. `proto` is the protocol of both, set by the first that has it.
///
/// # Errors
/// A text for a user.
pub fn parse_tuple(text: &str, proto: &mut u8) -> Result<CtTuple, String> {
    let mut tuple = CtTuple::default();
    let mut family = None;
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
                family = Some(want);
                let end = if name.ends_with("src") { &mut tuple.src } else { &mut tuple.dst };
                if end.replace(address).is_some() {
                    return Err(format!("{name} is set multiple times"));
                }
            }
            "ct_nw_proto" => *proto = u8_of(value, name).map_err(|_| bad())?,
            "ct_tp_src" => tuple.src_port = Some(u16_of(value, name).map_err(|_| bad())?),
            "ct_tp_dst" => tuple.dst_port = Some(u16_of(value, name).map_err(|_| bad())?),
            "icmp_id" => tuple.icmp_id = Some(u16_of(value, name).map_err(|_| bad())?),
            "icmp_type" => tuple.icmp_type = Some(u8_of(value, name).map_err(|_| bad())?),
            "icmp_code" => tuple.icmp_code = Some(u8_of(value, name).map_err(|_| bad())?),
            _ => return Err(format!("invalid conntrack tuple field: {name}")),
        }
    }
    check(&tuple, *proto)?;
    Ok(tuple)
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
    parse_u64_prefix(text, 10).map(|(number, _)| number as u16)
}

/// Whether a tuple speaks of what its protocol has.
fn check(tuple: &CtTuple, proto: u8) -> Result<(), String> {
    let ports = tuple.src_port.is_some() || tuple.dst_port.is_some();
    let icmp = tuple.icmp_id.is_some() || tuple.icmp_type.is_some() || tuple.icmp_code.is_some();
    match proto {
        0 if ports => Err("port is set without protocol".to_string()),
        1 | 58 if ports => Err("invalid L4 fields".to_string()),
        1 | 58 => Ok(()),
        _ if icmp => Err("invalid L4 fields".to_string()),
        _ => Ok(()),
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
    let mut proto = 0;
    let tuple =
        |text: &str, proto: &mut u8| parse_tuple(text, proto).map_err(|e| format!("Failed to parse ct-tuple: {e}"));
    if let Some((first, tail)) = rest.split_first() {
        flush.orig = tuple(first, &mut proto)?;
        rest = tail;
    }
    if let Some((first, tail)) = rest.split_first() {
        flush.reply = tuple(first, &mut proto)?;
        rest = tail;
    }
    flush.ip_proto = proto;
    if rest.is_empty() { Ok(flush) } else { Err("Invalid arguments".to_string()) }
}
