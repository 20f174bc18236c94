//! Tracked connections from text: `ct_nw_src=10.0.0.1,ct_nw_proto=6,ct_tp_dst=80`.

use std::net::{IpAddr, Ipv6Addr};

use crate::message::{CtFlush, CtTuple};

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
    for word in text.split(',').filter(|w| !w.is_empty()) {
        let (name, value) = word.split_once('=').ok_or_else(|| format!("Failed to parse field {word}"))?;
        let bad = || format!("Failed to parse field {word}");
        match name {
            "ct_nw_src" | "ct_nw_dst" | "ct_ipv6_src" | "ct_ipv6_dst" => {
                let v4 = name.starts_with("ct_nw");
                let want = if v4 { Family::V4 } else { Family::V6 };
                if family.is_some_and(|f| f != want) {
                    return Err("The L3 protocol does not match".to_string());
                }
                let address: IpAddr = value.parse().map_err(|_| format!("Failed to parse field {name}"))?;
                let address: Ipv6Addr = match (address, v4) {
                    (IpAddr::V4(a), true) => a.to_ipv6_mapped(),
                    (IpAddr::V6(a), false) => a,
                    _ => return Err(format!("Failed to parse field {name}")),
                };
                family = Some(want);
                if name.ends_with("src") { tuple.src = Some(address) } else { tuple.dst = Some(address) }
            }
            "ct_nw_proto" => *proto = value.parse().map_err(|_| bad())?,
            "ct_tp_src" => tuple.src_port = Some(value.parse().map_err(|_| bad())?),
            "ct_tp_dst" => tuple.dst_port = Some(value.parse().map_err(|_| bad())?),
            "icmp_id" => tuple.icmp_id = Some(value.parse().map_err(|_| bad())?),
            "icmp_type" => tuple.icmp_type = Some(value.parse().map_err(|_| bad())?),
            "icmp_code" => tuple.icmp_code = Some(value.parse().map_err(|_| bad())?),
            _ => return Err(format!("invalid conntrack tuple field: {word}")),
        }
    }
    Ok(tuple)
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
        flush.zone = Some(zone.parse().map_err(|_| "failed to parse zone".to_string())?);
        rest = tail;
    }
    let mut proto = 0;
    if let Some((first, tail)) = rest.split_first() {
        flush.orig = parse_tuple(first, &mut proto)?;
        rest = tail;
    }
    if let Some((first, tail)) = rest.split_first() {
        flush.reply = parse_tuple(first, &mut proto)?;
        rest = tail;
    }
    flush.ip_proto = proto;
    if rest.is_empty() { Ok(flush) } else { Err("invalid arguments".to_string()) }
}
