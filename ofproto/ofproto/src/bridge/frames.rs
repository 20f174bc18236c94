//! Frames of protocols that the bridge itself speaks: sending them by a port, and what comes in.

use std::sync::Arc;

use flow::odp::slow;
use flow::tun_flag;
use openflow::OfPort;
use openflow::action::Action;
use openflow::message::PacketOut;

use super::Bridge;

/// Octets of an Ethernet header.
pub(super) const ETHERNET_LEN: usize = 14;

impl Bridge {
    /// Sends a frame of the switch's own by a port: to a group, of an EtherType or length.
    pub(super) fn send_frame(&mut self, port: OfPort, to: u64, ethertype: u16, payload: &[u8]) {
        let Some(view) = self.view.ports.get(&port) else { return };
        let mut packet = Vec::with_capacity(ETHERNET_LEN + payload.len());
        packet.extend(&to.to_be_bytes()[2..]);
        packet.extend(&view.hw_addr.to_be_bytes()[2..]);
        packet.extend(ethertype.to_be_bytes());
        packet.extend(payload);
        self.send_whole(port, packet);
    }

    /// Sends a whole frame of the switch's own by a port.
    pub(super) fn send_whole(&mut self, port: OfPort, packet: Vec<u8>) {
        self.send_marked(port, packet, false);
    }

    /// The same; a tunnel marks the packet as operation, administration and maintenance if asked to and it can.
    pub(super) fn send_marked(&mut self, port: OfPort, packet: Vec<u8>, oam: bool) {
        // As if nobody's: no port's rules for packets that come in apply.
        let mut metadata = openflow::matching::Match::any();
        metadata.set_in_port(OfPort::NONE);
        if oam {
            metadata.key.set_tun_flags(tun_flag::OAM);
            metadata.mask.set_tun_flags(tun_flag::OAM);
        }
        self.spoken = (self.spoken.0 + 1, self.spoken.1 + packet.len() as u64);
        self.own_packets.push(PacketOut {
            packet: packet.into(),
            buffer_id: u32::MAX,
            flow_metadata: metadata,
            actions: Arc::from([Action::Output { port, max_len: 0 }]),
        });
    }

    /// A frame for the switch itself came in on a port of this bridge; `kind` is one of [`flow::odp::slow`].
    pub(super) fn hear(&mut self, port: OfPort, kind: u32, frame: &[u8], now_ms: i64) {
        let payload = frame.get(ETHERNET_LEN..).unwrap_or_default();
        match kind {
            slow::LACP => self.hear_lacp(port, payload, now_ms),
            slow::STP => self.hear_spanning(port, frame, now_ms),
            slow::BFD => self.hear_bfd(port, frame, now_ms),
            slow::LLDP => self.hear_lldp(port, payload),
            slow::CFM => self.hear_cfm(port, frame, now_ms),
            _ => {}
        }
    }
}
