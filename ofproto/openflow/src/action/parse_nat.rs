//! `nat`, an argument of `ct`, from text.
//!
//! Source: ovs-actions(7), "The ct action".

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::parse::Parsed;
use super::{Action, Nat, NatDirection};
use crate::words::Words;

/// Reads what stands in `nat(…)`.
///
/// # Errors
/// A text for a user.
pub(super) fn parse_nat(text: &str) -> Parsed {
    let mut n = Nat::default();
    let (mut src, mut dst) = (false, false);
    for (key, value) in Words(text) {
        match key {
            "src" | "dst" => {
                src |= key == "src";
                dst |= key == "dst";
                nat_range(value, &mut n)?;
            }
            "persistent" => n.persistent = true,
            "hash" => n.hash = true,
            "random" => n.random = true,
            _ => return Err(format!("invalid key \"{key}\" in \"nat\" argument")),
        }
    }
    if src && dst {
        return Err("May only specify one of \"src\" or \"dst\".".to_string());
    }
    if !src && !dst && (n.persistent || n.hash || n.random) {
        return Err("Flags allowed only with \"src\" or \"dst\".".to_string());
    }
    if n.hash && n.random {
        return Err("Both \"hash\" and \"random\" are not allowed.".to_string());
    }
    n.direction = match (src, dst) {
        (true, _) => Some(NatDirection::Src),
        (_, true) => Some(NatDirection::Dst),
        _ => None,
    };
    Ok(Action::Nat(Box::new(n)))
}

/// The address at the start of a text, if its octets make one, and what follows them.
type Prefix<'a> = (Option<IpAddr>, &'a str);

/// An IPv6 address, in brackets or not.
fn ipv6_prefix(text: &str) -> Option<Prefix<'_>> {
    let inner = text.strip_prefix('[').unwrap_or(text);
    let len = inner.find(|c: char| !(c.is_ascii_hexdigit() || c == ':' || c == '.')).unwrap_or(inner.len());
    if len == 0 {
        return None;
    }
    let (address, rest) = inner.split_at(len);
    let rest = if text.len() == inner.len() { rest } else { rest.strip_prefix(']')? };
    Some((address.parse::<Ipv6Addr>().ok().map(IpAddr::V6), rest))
}

fn ipv4_prefix(text: &str) -> Option<Prefix<'_>> {
    let (address, rest) = flow::text::parse_ipv4_prefix(text)?;
    Some((Some(IpAddr::V4(Ipv4Addr::from(address))), rest))
}

/// `first[-last][:port[-port]]`.
fn nat_range(text: &str, nat: &mut Nat) -> Parsed<()> {
    let invalid = || format!("invalid nat range \"{text}\"");
    // As C reads it: the low 16 bits count.
    let port = |text| flow::text::parse_wrapping_prefix(text, 10).map(|(number, rest)| (number as u16, rest));
    let mut rest = text;
    let read: fn(&str) -> Option<Prefix<'_>> = if ipv4_prefix(text).is_some() { ipv4_prefix } else { ipv6_prefix };
    let first = read(text);
    if let Some((None, tail)) = first {
        // What only looks like an address is passed over.
        rest = tail;
    }
    if let Some((Some(min), tail)) = first {
        rest = tail;
        let mut max = None;
        if let Some(tail) = rest.strip_prefix('-') {
            let (last, tail) = read(tail).filter(|(last, _)| last.is_some_and(|l| l >= min)).ok_or_else(invalid)?;
            max = last;
            rest = tail;
        }
        nat.addresses = Some((min, max));
        if let Some(tail) = rest.strip_prefix(':') {
            let (first, tail) = port(tail).ok_or_else(invalid)?;
            rest = tail;
            let mut last = None;
            if let Some(tail) = rest.strip_prefix('-') {
                let (number, tail) = port(tail).filter(|(number, _)| *number >= first).ok_or_else(invalid)?;
                last = Some(number);
                rest = tail;
            }
            nat.ports = Some((first, last));
        }
    }
    if rest.is_empty() {
        return Ok(());
    }
    Err(format!("garbage ({rest}) after nat range \"{text}\" (pos: {})", text.len() - rest.len()))
}
