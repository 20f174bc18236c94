//! What the programs and the switch share: a flow's key, and its slot in an array both have in their memory.
//!
//! Numbers are in host order, parts of packets as they are in packets.

use flow::extract::ethertype;

/// Octets of a key.
pub const KEY_LEN: usize = 60;
/// Octets of what a key leads to: number of the slot, its generation; 4 each.
pub const ENTRY_LEN: usize = 8;
/// Octets of a slot.
pub const SLOT_LEN: usize = 64;
/// Octets of a processor's verdict: device that the frame came by, device it goes to (0: none); 4 each.
pub const VERDICT_LEN: usize = 8;

/// Places in a key.
pub(crate) mod key {
    pub(crate) const IFINDEX: usize = 0;
    pub(crate) const PROTO: usize = 4;
    pub(crate) const ETHERNET: usize = 8;
    pub(crate) const PORTS: usize = 24;
    pub(crate) const SRC: usize = 28;
    pub(crate) const DST: usize = 44;
}

/// Places in a slot. The first one's first word is the number of entries there are: without any, programs look no further.
pub mod slot {
    /// Frames that a program began to count here, 8 octets. As many as [`PACKETS`] when none is being decided upon.
    pub const ENTERED: usize = 0;
    /// Frames forwarded, 8 octets.
    pub const PACKETS: usize = 8;
    /// Their octets, 8.
    pub const BYTES: usize = 16;
    /// When the last one came: nanoseconds of the monotonic clock, 8 octets.
    pub const USED: usize = 24;
    /// Generation, 4 octets: an entry of another one is void.
    pub const GENERATION: usize = 32;
    /// The device to send by, 4 octets.
    pub const OUT: usize = 36;
    /// Octets of the longest frame it takes that need not be cut, 4.
    pub const MAX_LEN: usize = 40;
    /// TCP flags seen, 4 octets.
    pub const TCP_FLAGS: usize = 44;
}

/// TCP flags that a segment in the midst of a connection may have: ACK, PSH.
pub(crate) const PLAIN_FLAGS: u8 = 0x18;

/// What the kernel tells flows apart by: the device, and an untagged frame's addresses, protocol and ports (of ICMP: type
/// and code).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FlowKey(pub [u8; KEY_LEN]);

impl FlowKey {
    /// The key of a frame that came by a device; `None`: not one that the kernel may forward.
    ///
    /// It is exactly what [`crate::program::ring`] computes. Neither fragments nor options nor extension headers, no
    /// lengths that disagree, no segments that begin or end a connection, no neighbour discovery.
    pub fn of_frame(ifindex: u32, frame: &[u8]) -> Option<Self> {
        let mut octets = [0; KEY_LEN];
        octets[key::IFINDEX..key::PROTO].copy_from_slice(&ifindex.to_ne_bytes());
        octets[key::ETHERNET..key::ETHERNET + 14].copy_from_slice(frame.get(..14)?);
        let behind = &frame[14..];
        let be16 = |at: usize| Some(u16::from_be_bytes([*behind.get(at)?, *behind.get(at + 1)?]));
        let (proto, addresses, l4) = match u16::from_be_bytes([frame[12], frame[13]]) {
            ethertype::IPV4 => {
                let total = usize::from(be16(2)?);
                if behind[0] != 0x45 || be16(6)? & 0xbfff != 0 || total > behind.len() || total < 28 {
                    return None;
                }
                octets[key::SRC..key::SRC + 4].copy_from_slice(&behind[12..16]);
                octets[key::DST..key::DST + 4].copy_from_slice(&behind[16..20]);
                (behind[9], 4, &behind[20..total])
            }
            ethertype::IPV6 => {
                let end = usize::from(be16(4)?) + 40;
                if behind[0] >> 4 != 6 || end > behind.len() || end < 48 {
                    return None;
                }
                octets[key::SRC..key::DST].copy_from_slice(&behind[8..24]);
                octets[key::DST..].copy_from_slice(&behind[24..40]);
                (behind[6], 6, &behind[40..end])
            }
            _ => return None,
        };
        let ports = match (proto, addresses) {
            (17, _) => 4,
            (6, _) => {
                let fixed: &[u8; 20] = l4.first_chunk()?;
                let header = usize::from(fixed[12] >> 4) * 4;
                let is_plain = fixed[12] & 0x0f == 0 && fixed[13] & !PLAIN_FLAGS == 0;
                if header < 20 || header > l4.len() || !is_plain {
                    return None;
                }
                4
            }
            (1, 4) => 2,
            // Echo and its reply.
            (58, 6) if matches!(l4[0], 128 | 129) => 2,
            _ => return None,
        };
        octets[key::PROTO] = proto;
        octets[key::PORTS..key::PORTS + ports].copy_from_slice(&l4[..ports]);
        Some(Self(octets))
    }
}
