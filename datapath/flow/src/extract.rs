//! From a packet's octets to its key, and where its layers begin.
//!
//! Never fails: a header that is cut short or lies about its length ends the walk, and the fields behind it stay zero,
//! as ovs-fields(7) describes. Lengths inside the packet are believed only as far as there are octets; what follows the
//! IP datagram is padding and never parsed. Only the first fragment of a datagram has transport fields.
//!
//! Absent here: the metadata (the caller has them), checksums (not verified).
//! Source: ovs-fields(7); IEEE 802.1Q, 802.2; RFC 791, 826, 1042, 3032, 4291, 4861, 8200, 8300.

use crate::key::word;
use crate::{Key, nw_frag};

/// EtherTypes that steer the walk.
pub mod ethertype {
    /// IPv4 (RFC 894).
    pub const IPV4: u16 = 0x0800;
    /// ARP (RFC 826).
    pub const ARP: u16 = 0x0806;
    /// Reverse ARP (RFC 903).
    pub const RARP: u16 = 0x8035;
    /// A customer VLAN tag (IEEE 802.1Q).
    pub const VLAN: u16 = 0x8100;
    /// IPv6 (RFC 2464).
    pub const IPV6: u16 = 0x86dd;
    /// An MPLS label stack (RFC 3032).
    pub const MPLS: u16 = 0x8847;
    /// An MPLS label stack whose top label is assigned upstream (RFC 5332).
    pub const MPLS_MULTICAST: u16 = 0x8848;
    /// A service VLAN tag (IEEE 802.1ad).
    pub const QINQ: u16 = 0x88a8;
    /// A network service header (RFC 8300).
    pub const NSH: u16 = 0x894f;
    /// Not an EtherType: an 802.2 frame without SNAP.
    pub const NONE: u16 = 0x05ff;
}
use ethertype as et;

/// VLAN tag present.
const TAG_PRESENT: u16 = 0x1000;
/// Most VLAN tags a key has room for.
pub const MAX_VLANS: usize = 2;
/// Most MPLS label stack entries a key has room for.
pub const MAX_LABELS: usize = 3;

/// Where layers begin, in octets from the packet's first; [`Layers::NONE`] where there is no such layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layers {
    /// MPLS label stack.
    pub l2_5: u16,
    /// Network layer header.
    pub l3: u16,
    /// Transport header, or the payload of a later fragment.
    pub l4: u16,
    /// Octets behind the IP datagram.
    pub l2_pad: u16,
}

impl Layers {
    /// No such layer.
    pub const NONE: u16 = u16::MAX;
    /// No layer known.
    pub const EMPTY: Layers = Layers { l2_5: Layers::NONE, l3: Layers::NONE, l4: Layers::NONE, l2_pad: 0 };
}

impl Default for Layers {
    fn default() -> Self {
        Self::EMPTY
    }
}

/// The key of an Ethernet frame that came in at `in_port`, with up to two VLAN tags parsed.
pub fn extract(packet: &[u8], in_port: u32) -> (Key, Layers) {
    let mut key = Key::EMPTY;
    key.set_in_port(in_port);
    let layers = extract_into(&mut key, packet, MAX_VLANS);
    (key, layers)
}

/// The key of a packet whose metadata (ports, tunnel, connection, registers, `packet_type`) are those of `metadata`.
pub fn extract_with(packet: &[u8], metadata: &Key, max_vlans: usize) -> (Key, Layers) {
    let mut key = Key::EMPTY;
    let words = crate::STAGE_END[0];
    key.0[..words].copy_from_slice(&metadata.0[..words]);
    key.0[word::CT_NW] = metadata.0[word::CT_NW];
    key.0[word::CT_IPV6..word::CT_IPV6 + 4].copy_from_slice(&metadata.0[word::CT_IPV6..word::CT_IPV6 + 4]);
    key.set_ct_tp_src(metadata.ct_tp_src());
    key.set_ct_tp_dst(metadata.ct_tp_dst());
    let layers = extract_into(&mut key, packet, max_vlans);
    (key, layers)
}

/// Fills the packet words of `key`, which must be zero, beside the metadata already there. At most `max_vlans` tags are
/// taken, of which the key has room for two; a further one is the EtherType. The original direction tuple of a connection
/// of the other IP version is forgotten.
#[inline]
pub fn extract_into(key: &mut Key, packet: &[u8], max_vlans: usize) -> Layers {
    let mut walk = Walk { at: packet, len: packet.len(), layers: Layers::EMPTY };
    let dl_type = if key.packet_type() == 0 {
        let Some(dl_type) = walk.ethernet(key, max_vlans) else {
            forget_tuple(key, 0);
            return walk.layers;
        };
        dl_type
    } else {
        let dl_type = key.packet_type() as u16;
        key.set_dl_type(dl_type);
        dl_type
    };
    match dl_type {
        et::IPV4 => {
            walk.layers.l3 = walk.offset();
            walk.ipv4(key);
        }
        et::IPV6 => {
            walk.layers.l3 = walk.offset();
            walk.ipv6(key);
        }
        et::MPLS | et::MPLS_MULTICAST => walk.mpls(key),
        _ => {
            walk.layers.l3 = walk.offset();
            match dl_type {
                et::ARP | et::RARP => walk.arp(key),
                et::NSH => walk.nsh(key),
                _ => {}
            }
        }
    }
    if key.0[54] != 0 {
        forget_tuple(key, dl_type);
    }
    walk.layers
}

/// Clears the parts of the original direction tuple that a packet of this type cannot be matched on: all of it where it is
/// of another IP version, its ports in a later fragment, which has none itself.
fn forget_tuple(key: &mut Key, dl_type: u16) {
    if key.ct_nw_proto() == 0 {
        return;
    }
    let is_v6 = key.0[word::CT_IPV6..word::CT_IPV6 + 4].iter().any(|w| *w != 0);
    let fits = match dl_type {
        et::IPV4 => !is_v6,
        et::IPV6 => is_v6,
        _ => false,
    };
    if !fits {
        key.set_ct_nw_proto(0);
        key.set_ct_tp_src(0);
        key.set_ct_tp_dst(0);
        key.0[word::CT_NW] = 0;
        key.0[word::CT_IPV6..word::CT_IPV6 + 4].fill(0);
    } else if key.nw_frag() & nw_frag::LATER != 0 {
        key.set_ct_tp_src(0);
        key.set_ct_tp_dst(0);
    }
}

/// What is left of the packet.
struct Walk<'a> {
    at: &'a [u8],
    /// Octets of the whole packet.
    len: usize,
    layers: Layers,
}

#[inline]
fn be16(octets: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([octets[at], octets[at + 1]])
}

#[inline]
fn be32(octets: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([octets[at], octets[at + 1], octets[at + 2], octets[at + 3]])
}

#[inline]
fn be64(octets: &[u8], at: usize) -> u64 {
    (u64::from(be32(octets, at)) << 32) | u64::from(be32(octets, at + 4))
}

#[inline]
fn mac(octets: &[u8], at: usize) -> u64 {
    (u64::from(be32(octets, at)) << 16) | u64::from(be16(octets, at + 4))
}

impl<'a> Walk<'a> {
    #[inline]
    fn offset(&self) -> u16 {
        // While padding is cut off `at`, offsets are computed before the cut.
        u16::try_from(self.len - self.at.len()).unwrap_or(Layers::NONE)
    }

    /// The next `N` octets, left in place.
    #[inline]
    fn peek<const N: usize>(&self) -> Option<&'a [u8; N]> {
        self.at.first_chunk::<N>()
    }

    /// Steps over `n` octets if there are as many.
    #[inline]
    fn skip(&mut self, n: usize) -> bool {
        match self.at.get(n..) {
            Some(rest) => {
                self.at = rest;
                true
            }
            None => false,
        }
    }

    #[inline]
    fn ethernet(&mut self, key: &mut Key, max_vlans: usize) -> Option<u16> {
        let head = self.peek::<14>()?;
        key.0[word::DL_SRC] = mac(head, 6) << 16;
        self.at = &self.at[12..];
        let mut dl_type = be16(head, 12);
        if matches!(dl_type, et::VLAN | et::QINQ) {
            dl_type = self.vlans(key, max_vlans);
        }
        self.at = self.at.get(2..)?;
        if dl_type < 0x0600 {
            dl_type = self.llc();
        }
        key.0[word::DL_DST_TYPE] = (mac(head, 0) << 16) | u64::from(dl_type);
        Some(dl_type)
    }

    /// Takes tags and gives the type behind them; a tag is taken only if a type follows it.
    fn vlans(&mut self, key: &mut Key, max_vlans: usize) -> u16 {
        let mut dl_type = be16(self.at, 0);
        for i in 0..max_vlans {
            let Some(head) = self.peek::<6>() else { break };
            if !matches!(dl_type, et::VLAN | et::QINQ) {
                break;
            }
            let tag = be32(head, 0) | u32::from(TAG_PRESENT);
            match i {
                0 => key.0[word::VLANS] |= u64::from(tag) << 32,
                1 => key.0[word::VLANS] |= u64::from(tag),
                _ => {}
            }
            dl_type = be16(head, 4);
            self.at = &self.at[4..];
        }
        dl_type
    }

    /// 802.2 with SNAP and the Ethernet organisation code gives a type.
    fn llc(&mut self) -> u16 {
        let Some(head) = self.peek::<8>() else { return et::NONE };
        if head[..6] != [0xaa, 0xaa, 0x03, 0, 0, 0] {
            return et::NONE;
        }
        self.at = &self.at[8..];
        let dl_type = be16(head, 6);
        if dl_type >= 0x0600 { dl_type } else { et::NONE }
    }

    /// Deeper stacks than the key has room for are walked to their end, so that layer 3 begins behind them.
    fn mpls(&mut self, key: &mut Key) {
        self.layers.l2_5 = self.offset();
        let mut i = 0;
        while let Some(entry) = self.peek::<4>() {
            let lse = u32::from_be_bytes(*entry);
            match i {
                0 => key.set_mpls_lse0(lse),
                1 => key.set_mpls_lse1(lse),
                2 => key.set_mpls_lse2(lse),
                _ => {}
            }
            i += 1;
            self.at = &self.at[4..];
            if lse & 0x100 != 0 {
                break;
            }
        }
        self.layers.l3 = self.offset();
    }

    #[inline]
    fn ipv4(&mut self, key: &mut Key) {
        let Some(head) = self.peek::<20>() else { return };
        let header_len = usize::from(head[0] & 0x0f) * 4;
        let total_len = usize::from(be16(head, 2));
        let size = self.at.len();
        if header_len < 20 || header_len > total_len || total_len > size || size - total_len > 0xffff {
            return;
        }
        self.layers.l2_pad = (size - total_len) as u16;
        key.0[word::NW] = be64(head, 12);
        let mut frag = 0;
        let frag_off = be16(head, 6);
        if frag_off & 0x3fff != 0 {
            frag = nw_frag::ANY;
            if frag_off & 0x1fff != 0 {
                frag |= nw_frag::LATER;
            }
        }
        let start = self.offset();
        self.at = &self.at[header_len..total_len];
        self.layers.l4 = start.saturating_add(header_len as u16);
        self.transport(key, et::IPV4, frag, head[1], head[8], head[9]);
    }

    fn ipv6(&mut self, key: &mut Key) {
        let Some(head) = self.peek::<40>() else { return };
        let payload_len = usize::from(be16(head, 4));
        let size = self.at.len();
        if payload_len + 40 > size || size - (payload_len + 40) > 0xffff {
            return;
        }
        let start = self.offset();
        self.layers.l2_pad = (size - 40 - payload_len) as u16;
        self.at = &self.at[40..40 + payload_len];
        for i in 0..4 {
            key.0[word::IPV6_SRC + i] = be64(head, 8 + 8 * i);
        }
        let Some((proto, frag)) = self.extension_headers(head[6]) else { return };
        let behind = 40 + payload_len - self.at.len();
        self.layers.l4 = u16::try_from(usize::from(start) + behind).unwrap_or(Layers::NONE);
        let flow = be32(head, 0);
        key.set_ipv6_label(flow & 0x000f_ffff);
        self.transport(key, et::IPV6, frag, (flow >> 20) as u8, head[7], proto);
    }

    /// Steps over extension headers: the protocol behind them and the fragment state. A later fragment's protocol is
    /// that of the fragment header.
    fn extension_headers(&mut self, mut proto: u8) -> Option<(u8, u8)> {
        const HOP_BY_HOP: u8 = 0;
        const ROUTING: u8 = 43;
        const FRAGMENT: u8 = 44;
        const AUTHENTICATION: u8 = 51;
        const DESTINATION: u8 = 60;
        let mut frag = 0;
        while matches!(proto, HOP_BY_HOP | ROUTING | FRAGMENT | AUTHENTICATION | DESTINATION) {
            let head = self.peek::<8>()?;
            let len = match proto {
                FRAGMENT => 8,
                AUTHENTICATION => (usize::from(head[1]) + 2) * 4,
                _ => (usize::from(head[1]) + 1) * 8,
            };
            if !self.skip(len) {
                return None;
            }
            if proto == FRAGMENT {
                let offset_flags = be16(head, 2);
                if offset_flags != 0 {
                    frag = nw_frag::ANY;
                    if offset_flags & 0xfff8 != 0 {
                        return Some((FRAGMENT, nw_frag::ANY | nw_frag::LATER));
                    }
                }
            }
            proto = head[0];
        }
        Some((proto, frag))
    }

    #[inline]
    fn transport(&mut self, key: &mut Key, dl_type: u16, frag: u8, tos: u8, ttl: u8, proto: u8) {
        key.0[word::IP] |= u64::from(u32::from_be_bytes([frag, tos, ttl, proto]));
        if frag & nw_frag::LATER != 0 {
            return;
        }
        match proto {
            6 => {
                let Some(head) = self.peek::<20>() else { return };
                let header_len = usize::from(head[12] >> 4) * 4;
                if header_len >= 20 && header_len <= self.at.len() {
                    let flags = u64::from(be16(head, 12) & 0x0fff);
                    key.0[word::TP] |= u64::from(be32(head, 0)) << 32;
                    key.0[word::ARP_THA_TCP_FLAGS] |= flags;
                }
            }
            17 if self.at.len() >= 8 => key.0[word::TP] |= u64::from(be32(self.at, 0)) << 32,
            132 if self.at.len() >= 12 => key.0[word::TP] |= u64::from(be32(self.at, 0)) << 32,
            1 => {
                if let Some(head) = self.peek::<8>() {
                    key.0[word::TP] |= type_and_code(head);
                }
            }
            2 => {
                if let Some(head) = self.peek::<8>() {
                    key.0[word::TP] |= type_and_code(head);
                    key.set_igmp_group(be32(head, 4));
                }
            }
            58 if dl_type == et::IPV6 => self.icmpv6(key),
            58 => {
                if let Some(head) = self.peek::<8>() {
                    key.0[word::TP] |= type_and_code(head);
                }
            }
            _ => {}
        }
    }

    fn icmpv6(&mut self, key: &mut Key) {
        let Some(head) = self.peek::<8>() else { return };
        key.0[word::TP] |= type_and_code(head);
        // Only with code 0 is it neighbor discovery: otherwise the fields below stay zero, and nothing that is decided
        // from them may depend on more than type and code.
        if head[1] != 0 || !matches!(head[0], 135 | 136) {
            return;
        }
        key.set_igmp_group(be32(head, 4));
        self.at = &self.at[8..];
        let Some(target) = self.peek::<16>() else { return };
        self.at = &self.at[16..];
        key.0[word::ND_TARGET] = be64(target, 0);
        key.0[word::ND_TARGET + 1] = be64(target, 8);
        while let Some(option) = self.peek::<8>() {
            let len = usize::from(option[1]) * 8;
            if len == 0 || len > self.at.len() {
                return;
            }
            if matches!(option[0], 1 | 2) && len == 8 {
                let word = word::ARP_SHA - 1 + usize::from(option[0]);
                if key.0[word] >> 16 != 0 {
                    // The same option twice: not to be trusted at all.
                    key.0[word::ND_TARGET..=word::ARP_THA_TCP_FLAGS].fill(0);
                    return;
                }
                key.0[word] |= mac(option, 2) << 16;
                if key.tcp_flags() == 0 {
                    key.set_tcp_flags(option[0].into());
                }
            }
            self.at = &self.at[len..];
        }
    }

    fn arp(&mut self, key: &mut Key) {
        let Some(head) = self.peek::<28>() else { return };
        // Ethernet and IPv4 addresses only.
        if head[..6] != [0, 1, 8, 0, 6, 4] {
            return;
        }
        key.set_nw_src(be32(head, 14));
        key.set_nw_dst(be32(head, 24));
        let op = be16(head, 6);
        if op <= 0xff {
            key.set_nw_proto(op as u8);
        }
        key.set_arp_sha(mac(head, 8));
        key.set_arp_tha(mac(head, 18));
    }

    fn nsh(&mut self, key: &mut Key) {
        let Some(head) = self.peek::<8>() else { return };
        let base = be16(head, 0);
        let len = usize::from(base & 0x3f) * 4;
        if base >> 14 != 0 || len > self.at.len() {
            return;
        }
        let context = match head[2] {
            1 if len == 24 => Some((be64(self.at, 8), be64(self.at, 16))),
            1 => return,
            2 if len < 8 => return,
            _ => None,
        };
        key.set_nsh_flags((base >> 12 & 3) as u8);
        key.set_nsh_ttl((base >> 6 & 0x3f) as u8);
        key.set_nsh_mdtype(head[2]);
        key.set_nsh_np(head[3]);
        key.set_nsh_spi(be32(head, 4) >> 8);
        key.set_nsh_si(head[7]);
        if let Some((c12, c34)) = context {
            key.0[80] = c12;
            key.0[81] = c34;
        }
    }
}

#[inline]
fn type_and_code(head: &[u8; 8]) -> u64 {
    (u64::from(head[0]) << 48) | (u64::from(head[1]) << 32)
}
