//! Datagrams for collectors of flow monitoring: NetFlow, sFlow, IPFIX.
//!
//! A socket a collector, made when first needed. What does not leave at once is lost, as on the network.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use ofproto::export::Datagram;

use crate::clock;

/// Who sends: an IPFIX exporter has a socket of its own, whose refusals it counts.
type Sender = Option<Option<u32>>;

/// Sockets to collectors by their senders and addresses.
#[derive(Debug, Default)]
pub struct Collectors {
    sockets: BTreeMap<(Sender, SocketAddr), UdpSocket>,
}

/// Collectors that a bridge keeps sockets to at the most.
const SOCKETS_AT_MOST: usize = 64;

impl Collectors {
    /// Sends datagrams. Gives how many could not be sent, by the IPFIX exporter that counts them.
    pub fn send(&mut self, datagrams: Vec<Datagram>) -> BTreeMap<Option<u32>, u64> {
        let mut failed = BTreeMap::new();
        for mut datagram in datagrams {
            datagram.stamp(clock::wall_us());
            for to in datagram.to.iter() {
                let Err(error) = self.send_one(datagram.from, *to, &datagram.octets) else { continue };
                let said = crate::stream::errno_text(&error);
                let ends = self.ends(datagram.from, *to);
                vlog::warn_rl!("collectors", 5, 5, "{ends}: sending to collector failed ({said})");
                if let Some(source) = datagram.from {
                    *failed.entry(source).or_default() += 1;
                }
            }
        }
        failed
    }

    /// Both ends of a connection to a collector, as far as they are known.
    fn ends(&self, from: Sender, to: SocketAddr) -> String {
        match self.sockets.get(&(from, to)).and_then(|socket| socket.local_addr().ok()) {
            Some(own) => format!("{own}<->{to}"),
            None => to.to_string(),
        }
    }

    /// Where failures count, a refusal of the datagram before is this one's failure, as it is Open vSwitch's.
    fn send_one(&mut self, from: Sender, to: SocketAddr, octets: &[u8]) -> std::io::Result<()> {
        let key = (from, to);
        if !self.sockets.contains_key(&key) {
            if self.sockets.len() >= SOCKETS_AT_MOST {
                // Of those that are no longer configured, none needs to stay.
                self.sockets.clear();
            }
            self.sockets.insert(key, open(to)?);
        }
        let Some(socket) = self.sockets.get(&key) else { return Ok(()) };
        if from.is_some() {
            return socket.send(octets).map(drop);
        }
        let sent = match socket.send(octets) {
            // That was said of an earlier datagram; somebody may listen now.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => socket.send(octets),
            sent => sent,
        };
        match sent {
            Err(error) if error.kind() != std::io::ErrorKind::ConnectionRefused => Err(error),
            _ => Ok(()),
        }
    }
}

fn open(to: SocketAddr) -> std::io::Result<UdpSocket> {
    let any: SocketAddr =
        if to.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
    let socket = UdpSocket::bind(any)?;
    socket.set_nonblocking(true)?;
    socket.connect(to)?;
    Ok(socket)
}
