//! What the programs and the switch share: a flow's key, and its slot in an array both have in their memory.
//!
//! Numbers are in host order, parts of packets as they are in packets.

use flow::extract::ethertype;

use crate::eligible::Breadth;

/// Octets of a key.
pub const KEY_LEN: usize = 60;
/// Octets of what a key leads to: number of the slot, its generation; 4 each.
pub const ENTRY_LEN: usize = 8;
/// Octets of a slot.
pub const SLOT_LEN: usize = 64;
/// Octets of a processor's verdict ([`verdict`]).
pub const VERDICT_LEN: usize = 24;

/// Places in a key.
pub(crate) mod key {
    pub(crate) const IFINDEX: usize = 0;
    pub(crate) const PROTO: usize = 4;
    pub(crate) const TCI: usize = 6;
    pub(crate) const ETHERNET: usize = 8;
    pub(crate) const TPID: usize = 22;
    pub(crate) const PORTS: usize = 24;
    pub(crate) const SRC: usize = 28;
    pub(crate) const DST: usize = 44;
}

/// Places in a slot. The first one's first word is the number of entries there are, its second ([`slot::WIDE`]) that of
/// wide ones: where there are none, programs do not look.
pub mod slot {
    /// Of the first slot alone.
    pub const WIDE: usize = 4;
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
    /// Whether the outer tag is taken off, 4 octets.
    pub const POP: usize = 48;
    /// The tag that is put on then, 4 octets ([`super::tag_word`]).
    pub const PUSH: usize = 52;
    /// Whether the host receives it by that device, instead of its being sent there; 4 octets.
    pub const TO_HOST: usize = 56;
}

/// Places in a verdict, of 4 octets each.
pub(crate) mod verdict {
    /// The device that the frame came by.
    pub(crate) const IFINDEX: i16 = 0;
    /// The device it goes to; 0: none.
    pub(crate) const OUT: i16 = 4;
    /// As in the slot.
    pub(crate) const POP: i16 = 8;
    /// As in the slot.
    pub(crate) const PUSH: i16 = 12;
    /// As in the slot.
    pub(crate) const TO_HOST: i16 = 16;
}

/// A tag as programs hand it to the kernel, which wants the protocol in the packet's order; 0: none.
pub fn tag_word(tag: Option<Tag>) -> u32 {
    tag.map_or(0, |Tag { tpid, tci }| u32::from(tpid.to_be()) << 16 | u32::from(tci))
}

/// A VLAN tag (IEEE 802.1Q clause 9.3).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Tag {
    /// Tag protocol identifier: 0x8100 or 0x88a8.
    pub tpid: u16,
    /// Priority, drop eligibility and VLAN.
    pub tci: u16,
}

/// Whether the kernel tells the tags of this protocol.
pub fn is_tag(tpid: u16) -> bool {
    matches!(tpid, ethertype::VLAN | ethertype::QINQ)
}

/// TCP flags that a segment in the midst of a connection may have: ACK, PSH.
pub(crate) const PLAIN_FLAGS: u8 = 0x18;

/// What the kernel tells flows apart by: the device, the VLAN tag if there is one, and a frame's addresses, protocol and
/// ports (of ICMP: type and code). A wide one ([`Breadth::Wide`]) has no protocol, and nothing else of IP.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FlowKey(pub [u8; KEY_LEN]);

impl FlowKey {
    /// The key of a frame that came by a device; `None`: not one that the kernel may forward.
    ///
    /// It is exactly what [`crate::program::ring`] computes, to which the kernel shows the outer tag beside the frame.
    /// Not a second tag, neither fragments nor options nor extension headers, no lengths that disagree, no neighbour
    /// discovery; with an exact key no segments that begin or end a connection.
    pub fn of_frame(ifindex: u32, frame: &[u8], breadth: Breadth) -> Option<Self> {
        let mut octets = [0; KEY_LEN];
        octets[key::IFINDEX..key::PROTO].copy_from_slice(&ifindex.to_ne_bytes());
        let (addresses, mut behind) = frame.split_at_checked(12)?;
        if let Some((&[tpid @ .., high, low], rest)) = behind.split_first_chunk::<4>()
            && is_tag(u16::from_be_bytes(tpid))
        {
            octets[key::TPID..key::TPID + 2].copy_from_slice(&tpid);
            octets[key::TCI..key::TCI + 2].copy_from_slice(&u16::from_be_bytes([high, low]).to_ne_bytes());
            behind = rest;
        }
        let (ethertype, behind) = behind.split_first_chunk::<2>()?;
        octets[key::ETHERNET..key::ETHERNET + 12].copy_from_slice(addresses);
        octets[key::ETHERNET + 12..key::TPID].copy_from_slice(ethertype);
        let be16 = |at: usize| Some(u16::from_be_bytes([*behind.get(at)?, *behind.get(at + 1)?]));
        let (proto, addresses, l4) = match u16::from_be_bytes(*ethertype) {
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
                let is_taken = breadth == Breadth::Wide || fixed[13] & !PLAIN_FLAGS == 0;
                if header < 20 || header > l4.len() || fixed[12] & 0x0f != 0 || !is_taken {
                    return None;
                }
                4
            }
            // The whole of SCTP's common header (RFC 9260 section 3.1).
            (132, _) if l4.len() >= 12 => 4,
            (1, 4) => 2,
            // Echo and its reply.
            (58, 6) if matches!(l4[0], 128 | 129) => 2,
            _ => return None,
        };
        octets[key::PROTO] = proto;
        octets[key::PORTS..key::PORTS + ports].copy_from_slice(&l4[..ports]);
        if breadth == Breadth::Wide {
            octets[key::PROTO] = 0;
            octets[key::PORTS..].fill(0);
        }
        Some(Self(octets))
    }

    /// Whether it is a wide one.
    pub fn is_wide(&self) -> bool {
        self.0[key::PROTO] == 0
    }

    /// The tag that its frames come with.
    pub fn tag(&self) -> Option<Tag> {
        let tpid = u16::from_be_bytes([self.0[key::TPID], self.0[key::TPID + 1]]);
        let tci = u16::from_ne_bytes([self.0[key::TCI], self.0[key::TCI + 1]]);
        (tpid != 0).then_some(Tag { tpid, tci })
    }
}
