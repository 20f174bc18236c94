//! Datagrams for collectors of flow monitoring: NetFlow, sFlow.
//!
//! A socket a collector, made when first needed. What does not leave at once is lost, as on the network.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use ofproto::export::Datagram;

use crate::clock;

/// Sockets to collectors by their addresses.
#[derive(Debug, Default)]
pub struct Collectors {
    sockets: BTreeMap<SocketAddr, UdpSocket>,
}

/// Collectors that a bridge keeps sockets to at the most.
const SOCKETS_AT_MOST: usize = 64;

impl Collectors {
    /// Sends datagrams.
    pub fn send(&mut self, datagrams: Vec<Datagram>) {
        for mut datagram in datagrams {
            datagram.stamp(clock::wall_us());
            for to in datagram.to.iter() {
                if let Err(error) = self.send_one(*to, &datagram.octets) {
                    vlog::warn_rl!("collectors", 5, 5, "{to}: sending to collector failed ({error})");
                }
            }
        }
    }

    fn send_one(&mut self, to: SocketAddr, octets: &[u8]) -> std::io::Result<()> {
        if !self.sockets.contains_key(&to) {
            if self.sockets.len() >= SOCKETS_AT_MOST {
                // Of those that are no longer configured, none needs to stay.
                self.sockets.clear();
            }
            self.sockets.insert(to, open(to)?);
        }
        let Some(socket) = self.sockets.get(&to) else { return Ok(()) };
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
