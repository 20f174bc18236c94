//! BFD control packets, and the frames that carry them. Source: RFC 5880 section 4.1, RFC 5881 sections 4 and 5.

use packet::checksum;

use super::{Diagnostic, State};

/// Octets of a control packet without authentication.
pub(super) const LEN: usize = 24;
const VERSION: u8 = 1;
/// UDP port of single-hop sessions.
pub const UDP_PORT: u16 = 3784;
const UDP_SOURCE_PORT: u16 = 49152;
const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERNET_LEN: usize = 14;
const IPV4_LEN: usize = 20;
const UDP_LEN: usize = 8;
/// Packets that crossed a router have less (RFC 5881 section 5).
pub const TTL: u8 = 255;
/// Class selector 6.
const TOS: u8 = 0xc0;
const PROTO_UDP: u8 = 17;

/// Flags (RFC 5880 section 4.1).
pub mod flag {
    /// Always 0.
    pub const MULTIPOINT: u8 = 0x01;
    /// Demand mode.
    pub const DEMAND: u8 = 0x02;
    /// There is an authentication section.
    pub const AUTH: u8 = 0x04;
    /// The control plane shares no fate with the forwarding.
    pub const CTL: u8 = 0x08;
    /// Answers a poll.
    pub const FINAL: u8 = 0x10;
    /// Asks for an answer.
    pub const POLL: u8 = 0x20;
}

/// A control packet; intervals are milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Control {
    /// Why the session went down.
    pub diagnostic: Diagnostic,
    /// The sender's state.
    pub state: State,
    /// [`flag`] bits.
    pub flags: u8,
    /// Intervals without a message after which the sender is taken for down.
    pub mult: u8,
    /// The sender's discriminator.
    pub my_disc: u32,
    /// The receiver's, 0 if not known yet.
    pub your_disc: u32,
    /// How often the sender likes to send, milliseconds (microseconds on the wire).
    pub min_tx_ms: u32,
    /// How often the sender is able to receive, milliseconds (microseconds on the wire).
    pub min_rx_ms: u32,
}

impl Control {
    /// Reads a packet and makes the checks that need no session (RFC 5880 section 6.8.6).
    pub fn parse(bytes: &[u8]) -> Option<Control> {
        let b: &[u8; LEN] = bytes.first_chunk()?;
        let u32_at = |at: usize| u32::from_be_bytes([b[at], b[at + 1], b[at + 2], b[at + 3]]);
        let control = Control {
            diagnostic: Diagnostic(b[0] & 0x1f),
            state: State::of(b[1] >> 6),
            flags: b[1] & 0x3f,
            mult: b[2],
            my_disc: u32_at(4),
            your_disc: u32_at(8),
            min_tx_ms: u32_at(12) / 1000,
            min_rx_ms: u32_at(16) / 1000,
        };
        let len = usize::from(b[3]);
        let sound = b[0] >> 5 == VERSION
            && (LEN..=bytes.len()).contains(&len)
            && control.flags & (flag::MULTIPOINT | flag::AUTH) == 0
            && control.mult != 0
            && control.my_disc != 0
            && (control.your_disc != 0 || matches!(control.state, State::Down | State::AdminDown));
        sound.then_some(control)
    }

    /// The octets.
    pub fn emit(&self) -> [u8; LEN] {
        let mut out = [0; LEN];
        out[0] = VERSION << 5 | self.diagnostic.0 & 0x1f;
        out[1] = self.state.bits() << 6 | self.flags & 0x3f;
        out[2] = self.mult;
        out[3] = LEN as u8;
        for (at, value) in [
            (4, self.my_disc),
            (8, self.your_disc),
            (12, self.min_tx_ms.saturating_mul(1000)),
            (16, self.min_rx_ms.saturating_mul(1000)),
        ] {
            out[at..at + 4].copy_from_slice(&value.to_be_bytes());
        }
        out
    }
}

/// Addresses of the frames of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// Ethernet, 48 bits.
    pub eth_src: u64,
    /// Ethernet, 48 bits.
    pub eth_dst: u64,
    /// IPv4.
    pub ip_src: u32,
    /// IPv4.
    pub ip_dst: u32,
}

/// The frame of a control packet.
pub fn frame(control: &Control, to: &Addresses) -> Vec<u8> {
    let total = (IPV4_LEN + UDP_LEN + LEN) as u16;
    let mut out = Vec::with_capacity(ETHERNET_LEN + usize::from(total));
    out.extend(&to.eth_dst.to_be_bytes()[2..]);
    out.extend(&to.eth_src.to_be_bytes()[2..]);
    out.extend(ETHERTYPE_IPV4.to_be_bytes());
    let mut ip = [0; IPV4_LEN];
    ip[0] = 0x45;
    ip[1] = TOS;
    ip[2..4].copy_from_slice(&total.to_be_bytes());
    ip[8] = TTL;
    ip[9] = PROTO_UDP;
    ip[12..16].copy_from_slice(&to.ip_src.to_be_bytes());
    ip[16..20].copy_from_slice(&to.ip_dst.to_be_bytes());
    let csum = checksum::of(&ip);
    ip[10..12].copy_from_slice(&csum.to_be_bytes());
    out.extend(ip);
    out.extend(UDP_SOURCE_PORT.to_be_bytes());
    out.extend(UDP_PORT.to_be_bytes());
    out.extend(((UDP_LEN + LEN) as u16).to_be_bytes());
    // No checksum: RFC 768 lets IPv4 go without.
    out.extend([0, 0]);
    out.extend(control.emit());
    out
}

/// The control packet of a frame: UDP over IPv4 of the full lifetime, to the right port.
pub fn of_frame(frame: &[u8]) -> Option<Control> {
    let ip = frame.get(ETHERNET_LEN..)?;
    let header = usize::from(ip.first()? & 0x0f) * 4;
    if ip[0] >> 4 != 4 || header < IPV4_LEN || *ip.get(8)? != TTL || *ip.get(9)? != PROTO_UDP {
        return None;
    }
    let udp = ip.get(header..)?;
    let to = u16::from_be_bytes([*udp.get(2)?, *udp.get(3)?]);
    (to == UDP_PORT).then(|| Control::parse(udp.get(UDP_LEN..)?)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_carries_its_packet() {
        let control = Control {
            diagnostic: Diagnostic::NONE,
            state: State::Down,
            flags: 0,
            mult: 3,
            my_disc: 0x523b_37da,
            your_disc: 0,
            min_tx_ms: 1000,
            min_rx_ms: 300,
        };
        let to = Addresses {
            eth_src: 0xaa55_aa55_0003,
            eth_dst: 0x0023_2000_0001,
            ip_src: 0xa9fe_0101,
            ip_dst: 0xa9fe_0100,
        };
        let bytes = frame(&control, &to);
        let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
        let expected = "002320000001aa55aa550003080045c0003400000000ff1164fba9fe0101a9fe0100".to_owned()
            + "c0000ec80020000020400318523b37da00000000000f4240000493e000000000";
        assert_eq!(hex, expected);
        assert_eq!(of_frame(&bytes), Some(control));
        for cut in 0..bytes.len() {
            assert_eq!(of_frame(&bytes[..cut]), None, "cut at {cut}");
        }
        let mut routed = bytes.clone();
        routed[22] = 254;
        assert_eq!(of_frame(&routed), None);
    }

    #[test]
    fn what_no_session_may_say_is_refused() {
        let good = Control {
            diagnostic: Diagnostic::NONE,
            state: State::Up,
            flags: 0,
            mult: 3,
            my_disc: 1,
            your_disc: 2,
            min_tx_ms: 1,
            min_rx_ms: 1,
        };
        assert_eq!(Control::parse(&good.emit()), Some(good));
        for bad in [
            Control { mult: 0, ..good },
            Control { my_disc: 0, ..good },
            Control { your_disc: 0, ..good },
            Control { flags: flag::MULTIPOINT, ..good },
            Control { flags: flag::AUTH, ..good },
        ] {
            assert_eq!(Control::parse(&bad.emit()), None, "{bad:?}");
        }
        let mut longer = good.emit();
        longer[3] = 25;
        assert_eq!(Control::parse(&longer), None);
    }
}
