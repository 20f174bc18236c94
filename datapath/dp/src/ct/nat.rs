//! Which address and port a translated connection gets.
//!
//! The address is taken from the range by a hash of the connection, or at random; the port stays as it is if it may and
//! is free, else the next free one of the range is taken. (RFC 4787; ovs-actions(7), `nat`.)

use std::net::IpAddr;

use flow::odp::CtNat;

use super::conn::{Tuple, has_ports};
use crate::mix;

/// Addresses of a range looked at, and ports of each but the first.
const ADDRESSES: u128 = 64;
const TRIES_ELSEWHERE: u32 = 128;

/// Ports taken from where no range is given: those that mean as much, or as little, as the one there was.
fn alike(port: u16) -> (u16, u16) {
    match port {
        0..=511 => (1, 511),
        512..=1023 => (600, 1023),
        _ => (1024, 65535),
    }
}

/// Ports tried at most.
const TRIES: u32 = 65_536;

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(a) => u32::from(a).into(),
        IpAddr::V6(a) => a.into(),
    }
}

/// A tuple for the connection after translation of which the answer is not `taken`.
pub(super) fn choose(nat: &CtNat, original: &Tuple, roll: u32, taken: impl Fn(&Tuple) -> bool) -> Option<Tuple> {
    let is_src = nat.src?;
    let spread = if nat.random { u64::from(roll) } else { hash(original) };
    let fits = |address: &IpAddr| address.is_ipv6() == original.is_v6;
    let own = if is_src { original.src } else { original.dst };
    let (min, n) = match nat.ip_min.filter(fits) {
        None => (own, 1),
        Some(min) => {
            let (min, max) = (number(min), nat.ip_max.filter(fits).map_or(number(min), number));
            (min, max.checked_sub(min)?.saturating_add(1))
        }
    };
    // The address that the ends' hash names, else one that has something free.
    for i in 0..n.min(ADDRESSES) {
        let mut tuple = *original;
        *(if is_src { &mut tuple.src } else { &mut tuple.dst }) = min + u128::from(spread).wrapping_add(i) % n;
        let tries = if i == 0 { TRIES } else { TRIES_ELSEWHERE };
        if let Some(tuple) = port(nat, is_src, tuple, spread, tries, &taken) {
            return Some(tuple);
        }
    }
    None
}

/// The tuple with a port such that its answer is not `taken`: its own one if it may.
fn port(
    nat: &CtNat,
    is_src: bool,
    mut tuple: Tuple,
    spread: u64,
    tries: u32,
    taken: impl Fn(&Tuple) -> bool,
) -> Option<Tuple> {
    if !has_ports(tuple.proto) {
        return (!taken(&tuple)).then_some(tuple);
    }
    let own_port = if is_src { tuple.sport } else { tuple.dport };
    let (min, max) = if nat.port_min != 0 {
        (nat.port_min, nat.port_max.max(nat.port_min))
    } else if is_src {
        alike(own_port)
    } else {
        // A destination keeps its port unless told otherwise.
        (own_port, own_port)
    };
    let n = u32::from(max - min) + 1;
    let is_explicit = nat.port_min != 0;
    let keeps = !is_explicit || (min..=max).contains(&own_port) && !nat.random;
    let first = if keeps { own_port } else { min + (spread % u64::from(n)) as u16 };
    for i in 0..tries.min(n + 1) {
        let port = match i {
            0 => first,
            _ => {
                min + ((u32::from(first.clamp(min, max) - min) + i - u32::from(!(min..=max).contains(&first))) % n)
                    as u16
            }
        };
        *(if is_src { &mut tuple.sport } else { &mut tuple.dport }) = port;
        if !taken(&tuple) {
            return Some(tuple);
        }
    }
    None
}

/// The same for all connections between the same ends, so that they get the same address.
fn hash(tuple: &Tuple) -> u64 {
    let words = [tuple.src, tuple.dst].into_iter().flat_map(|a| [(a >> 64) as u64, a as u64]);
    mix::words(words, tuple.proto.into())
}
