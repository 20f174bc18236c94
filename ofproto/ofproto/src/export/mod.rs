//! Flow monitoring: what a bridge tells collectors of its traffic. Machines without sockets: the bridge tells them of
//! packets and of the time, and they give datagrams to send.
//!
//! Source: ovs-vswitchd.conf.db(5), tables NetFlow, sFlow and IPFIX; observed behaviour of Open vSwitch 3.1.

pub mod extended;
pub mod ipfix;
pub mod netflow;
pub mod sflow;

use std::net::SocketAddr;
use std::sync::Arc;

pub use ipfix::IpfixConfig;
pub use netflow::{Netflow, NetflowConfig};
pub use sflow::{Sflow, SflowConfig};

const SECOND_US: i64 = 1_000_000;
/// Where IPFIX's header has its time.
const IPFIX_TIME_AT: usize = 4;

/// A datagram for collectors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Datagram {
    /// Collectors.
    pub to: Arc<[SocketAddr]>,
    /// Octets.
    pub octets: Vec<u8>,
    /// Where the time of day goes.
    pub stamp: Stamp,
    /// Whose failures to send are counted: an IPFIX exporter, `Some(None)` for the bridge's own, or a collector set's.
    pub from: Option<Option<u32>>,
}

/// Where a datagram has the time of day at which it leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stamp {
    /// Nowhere.
    None,
    /// There: 32 bits of seconds since 1970, then 32 bits of nanoseconds.
    Nanoseconds(usize),
    /// In IPFIX's header, 32 bits of seconds since 1970, rounded up (RFC 7011 §3.1).
    Ipfix {
        /// Where two times go, and how many microseconds ago they were: as microseconds (32 bits) before the header's.
        deltas: Option<(usize, [i64; 2])>,
    },
}

impl Datagram {
    /// Puts in the time of day at which it leaves, microseconds since 1970.
    pub fn stamp(&mut self, wall_us: i64) {
        let seconds = wall_us.div_euclid(SECOND_US);
        match self.stamp {
            Stamp::None => {}
            Stamp::Nanoseconds(at) => {
                let nanoseconds = wall_us.rem_euclid(SECOND_US) * 1000;
                self.put([(at, seconds as u32), (at + 4, nanoseconds as u32)]);
            }
            Stamp::Ipfix { deltas } => {
                let exported = seconds + i64::from(wall_us.rem_euclid(SECOND_US) > 0);
                self.put([(IPFIX_TIME_AT, exported as u32)]);
                if let Some((at, ages_us)) = deltas {
                    let [first, last] = ages_us.map(|age_us| exported * SECOND_US - (wall_us - age_us));
                    self.put([(at, first as u32), (at + 4, last as u32)]);
                }
            }
        }
    }

    fn put<const N: usize>(&mut self, words: [(usize, u32); N]) {
        for (at, word) in words {
            if let Some(place) = self.octets.get_mut(at..at + 4) {
                place.copy_from_slice(&word.to_be_bytes());
            }
        }
    }
}

/// The collectors that a column names, `ADDRESS[:PORT]` each; the second part names those that make no sense.
pub fn collectors<'a>(
    targets: impl IntoIterator<Item = &'a str>,
    default_port: u16,
) -> (Arc<[SocketAddr]>, Vec<&'a str>) {
    let (mut known, mut strange) = (Vec::new(), Vec::new());
    for target in targets {
        let bare = target.trim_start_matches('[').trim_end_matches(']');
        let found = target.parse().ok().or_else(|| Some(SocketAddr::new(bare.parse().ok()?, default_port)));
        match found {
            Some(address) => known.push(address),
            None => strange.push(target),
        }
    }
    (known.into(), strange)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn collectors_have_a_port_or_get_one() {
        let (known, strange) = collectors(["1.2.3.4:99", "5.6.7.8", "[::1]:7", "[::2]", "nowhere", "1.2.3:4"], 2055);
        let texts: Vec<String> = known.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["1.2.3.4:99", "5.6.7.8:2055", "[::1]:7", "[::2]:2055"]);
        assert_eq!(strange, ["nowhere", "1.2.3:4"]);
    }

    #[test]
    fn the_time_of_day_goes_where_it_belongs() {
        let mut datagram =
            Datagram { to: Arc::from([]), octets: vec![0xff; 10], stamp: Stamp::Nanoseconds(1), from: None };
        datagram.stamp(0x1234_5678 * 1_000_000 + 5);
        assert_eq!(datagram.octets, [0xff, 0x12, 0x34, 0x56, 0x78, 0, 0, 0x13, 0x88, 0xff]);
        let mut none = Datagram { stamp: Stamp::Nanoseconds(8), ..datagram.clone() };
        none.stamp(0);
        assert_eq!(none.octets, datagram.octets, "there is no room");
    }

    #[test]
    fn the_time_of_ipfix_is_rounded_up_and_others_are_told_by_it() {
        let stamp = Stamp::Ipfix { deltas: Some((8, [2_000_000, 1000])) };
        let mut datagram = Datagram { to: Arc::from([]), octets: vec![0; 16], stamp, from: None };
        datagram.stamp(7 * SECOND_US + 999_000);
        assert_eq!(datagram.octets, [0, 0, 0, 0, 0, 0, 0, 8, 0, 0x1e, 0x88, 0x68, 0, 0, 0x07, 0xd0]);
        datagram.stamp(7 * SECOND_US);
        assert_eq!(datagram.octets[4..12], [0, 0, 0, 7, 0, 0x1e, 0x84, 0x80]);
    }
}
