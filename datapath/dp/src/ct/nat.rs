//! Which address and port a translated connection gets.
//!
//! The address is taken from the range by a hash of the connection, or at random; the port stays as it is if it may and
//! is free, else the next free one of the range is taken. Of a large range in which nearly all is taken not every port is
//! looked at: who has taken them would make each further packet as dear as the range is large. (RFC 4787; ovs-actions(7),
//! `nat`.)

use std::net::IpAddr;

use flow::odp::CtNat;

use super::conn::{Tuple, has_ports};
use crate::mix;

/// Addresses of a range looked at.
const ADDRESSES: u128 = 64;
/// Ports of the first address looked at, and of others: the fewer, the more addresses there are.
const TRIES: u32 = 248;
const TRIES_ELSEWHERE: u128 = 1024;
/// The shortest row of ports looked at one after the other.
const ROW: u32 = 8;

/// Ports taken from where no range is given: those that mean as much, or as little, as the one there was.
fn alike(port: u16) -> (u16, u16) {
    match port {
        0..=511 => (1, 511),
        512..=1023 => (600, 1023),
        _ => (1024, 65535),
    }
}

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
    let addresses = n.min(ADDRESSES);
    for i in 0..addresses {
        let mut tuple = *original;
        *(if is_src { &mut tuple.src } else { &mut tuple.dst }) = min + u128::from(spread).wrapping_add(i) % n;
        let tries = if i == 0 { TRIES } else { TRIES.min((TRIES_ELSEWHERE / (addresses - 1)) as u32) };
        if let Some(tuple) = port(nat, is_src, tuple, (spread, roll), tries, &taken) {
            return Some(tuple);
        }
    }
    None
}

/// The tuple with a port such that its answer is not `taken`: its own one if it may. `spread` chooses from a range, `roll`
/// where else to look.
fn port(
    nat: &CtNat,
    is_src: bool,
    mut tuple: Tuple,
    (spread, roll): (u64, u32),
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
    let mut with = |port| {
        *(if is_src { &mut tuple.sport } else { &mut tuple.dport }) = port;
        (!taken(&tuple)).then_some(tuple)
    };
    if let Some(tuple) = with(first) {
        return Some(tuple);
    }
    let is_inside = (min..=max).contains(&first);
    let mut from = u32::from(first.clamp(min, max) - min) + u32::from(is_inside);
    let mut left = tries.saturating_sub(1);
    // All others in one row, where there are no more; else rows from here and there, each shorter than the one before.
    let others = n - u32::from(is_inside);
    let mut row = if others <= left { others } else { left.div_ceil(2) };
    left = left.min(others);
    while left > 0 {
        row = row.max(ROW).min(left);
        if let Some(tuple) = (from..from + row).find_map(|at| with(min + (at % n) as u16)) {
            return Some(tuple);
        }
        left -= row;
        row /= 2;
        from = (mix::mum(u64::from(roll) ^ spread, u64::from(left) | 1 << 32) % u64::from(n)) as u32;
    }
    None
}

/// The same for all connections between the same ends, so that they get the same address.
fn hash(tuple: &Tuple) -> u64 {
    let words = [tuple.src, tuple.dst].into_iter().flat_map(|a| [(a >> 64) as u64, a as u64]);
    mix::words(words, tuple.proto.into())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::net::Ipv4Addr;

    use super::*;

    const UDP: u8 = 17;

    fn nat(addresses: u8, ports: (u16, u16)) -> CtNat {
        let address = |last| Some(Ipv4Addr::new(192, 0, 2, last).into());
        let (ip_min, ip_max) = (address(0), address(addresses - 1));
        CtNat { src: Some(true), ip_min, ip_max, port_min: ports.0, port_max: ports.1, ..CtNat::default() }
    }

    fn original(sport: u16) -> Tuple {
        Tuple { proto: UDP, src: 0x0a00_0001, dst: 0x0a00_0002, sport, dport: 53, ..Tuple::default() }
    }

    /// A port that somebody has taken all but every so many of does not make further packets dear.
    #[test]
    fn what_is_looked_at_is_bounded() {
        for (addresses, ports) in [(1, (0, 0)), (1, (1, 65_535)), (2, (1024, 65_535)), (64, (0, 0)), (200, (1, 65_535))]
        {
            for sport in [1, 600, 40_000] {
                let looks = Cell::new(0u32);
                let taken = |_: &Tuple| {
                    looks.set(looks.get() + 1);
                    true
                };
                assert_eq!(choose(&nat(addresses, ports), &original(sport), 7, taken), None);
                assert!(looks.get() <= 1300, "{} looks for {addresses} addresses, ports {ports:?}", looks.get());
            }
        }
    }

    #[test]
    fn the_last_free_port_of_a_small_range_is_found() {
        for free in 2000..2100 {
            for roll in [0, u32::MAX] {
                let found = choose(&nat(1, (2000, 2099)), &original(2050), roll, |t| t.sport != free);
                assert_eq!(found.map(|t| t.sport), Some(free));
                let found = choose(&nat(1, (2000, 2099)), &original(9), roll, |t| t.sport != free);
                assert_eq!(found.map(|t| t.sport), Some(free), "one whose own port is none of the range");
            }
        }
    }

    #[test]
    fn one_free_port_in_twenty_is_found() {
        for seed in 0..200 {
            let taken = |t: &Tuple| !mix::words([u64::from(t.sport)].into_iter(), seed).is_multiple_of(20);
            let found = choose(&nat(1, (0, 0)), &original(40_000), seed as u32, taken);
            assert!(found.is_some_and(|t| t.sport >= 1024), "seed {seed}: {found:?}");
        }
    }
}
