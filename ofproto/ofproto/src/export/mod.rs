//! Flow monitoring: what a bridge tells collectors of its traffic. Machines without sockets: the bridge tells them of
//! packets and of the time, and they give datagrams to send.
//!
//! Absent: IPFIX. Source: ovs-vswitchd.conf.db(5), tables NetFlow and sFlow; observed behaviour of Open vSwitch 3.1.

pub mod netflow;
pub mod sflow;

use std::net::SocketAddr;
use std::sync::Arc;

pub use netflow::{Netflow, NetflowConfig};
pub use sflow::{Sflow, SflowConfig};

/// A datagram for collectors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Datagram {
    /// Collectors.
    pub to: Arc<[SocketAddr]>,
    /// Octets.
    pub octets: Vec<u8>,
    /// Where the time of day goes: 32 bits of seconds since 1970, then 32 bits of nanoseconds; nowhere if `None`.
    pub stamp_at: Option<usize>,
}

impl Datagram {
    /// Puts in the time of day at which it leaves, microseconds since 1970.
    pub fn stamp(&mut self, wall_us: i64) {
        let Some(place) = self.stamp_at.and_then(|at| self.octets.get_mut(at..at + 8)) else { return };
        let seconds = (wall_us.div_euclid(1_000_000)) as u32;
        let nanoseconds = (wall_us.rem_euclid(1_000_000) * 1000) as u32;
        place[..4].copy_from_slice(&seconds.to_be_bytes());
        place[4..].copy_from_slice(&nanoseconds.to_be_bytes());
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
        let mut datagram = Datagram { to: Arc::from([]), octets: vec![0xff; 10], stamp_at: Some(1) };
        datagram.stamp(0x1234_5678 * 1_000_000 + 5);
        assert_eq!(datagram.octets, [0xff, 0x12, 0x34, 0x56, 0x78, 0, 0, 0x13, 0x88, 0xff]);
        let mut none = Datagram { stamp_at: Some(8), ..datagram.clone() };
        none.stamp(0);
        assert_eq!(none.octets, datagram.octets, "there is no room");
    }
}
