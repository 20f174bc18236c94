//! From a key to a packet that has it: right lengths and checksums, a payload of counting octets.
//!
//! What a key cannot say is chosen: no IP options, no IP extension headers (so IPv6 fragments come out whole or empty), a
//! later fragment's offset. Used by `ovs-ofctl compose-packet`, `ofproto/trace -generate` and dummy ports.
//! Absent here: tunnel headers, NSH, bare IP packets.

use crate::extract::ethertype as et;
use crate::{Key, nw_frag};
use packet::{PacketBuf, arp, checksum, ethernet, icmpv4, icmpv6, igmp, ipv4, ipv6, sctp, tcp, udp, vlan};

/// Octets of payload unless said otherwise.
pub const DEFAULT_PAYLOAD: usize = 64;
/// Where a later fragment begins, in units of 8 octets.
const LATER_OFFSET: u16 = 100;

/// Payload of a composed packet.
#[derive(Clone, Copy, Debug)]
pub enum Payload<'a> {
    /// These octets.
    Octets(&'a [u8]),
    /// As many octets, counting up from 0.
    Counting(usize),
}

impl Default for Payload<'_> {
    fn default() -> Self {
        Payload::Counting(DEFAULT_PAYLOAD)
    }
}

impl Payload<'_> {
    fn append(self, to: &mut Vec<u8>) {
        match self {
            Payload::Octets(octets) => to.extend_from_slice(octets),
            Payload::Counting(n) => to.extend((0..n).map(|i| i as u8)),
        }
    }
}

/// A frame with this key.
pub fn compose(key: &Key, payload: Payload<'_>) -> PacketBuf {
    let body = match key.dl_type() {
        et::IPV4 => ipv4_datagram(key, payload),
        et::IPV6 => ipv6_datagram(key, payload),
        et::ARP | et::RARP => arp_message(key),
        _ => Vec::new(),
    };
    let mut octets = Vec::with_capacity(64 + body.len());
    octets.extend(ethernet::Repr { dst: key.dl_dst(), src: key.dl_src(), ethertype: key.dl_type() }.octets());
    if matches!(key.dl_type(), et::MPLS | et::MPLS_MULTICAST) {
        for lse in [key.mpls_lse0(), key.mpls_lse1(), key.mpls_lse2()] {
            octets.extend(lse.to_be_bytes());
            if lse & 0x100 != 0 {
                break;
            }
        }
    }
    octets.extend(body);
    if key.dl_type() == et::NONE {
        // A length field, and no tags.
        set_length(&mut octets);
        return PacketBuf::new(&octets);
    }
    let mut packet = PacketBuf::new(&octets);
    push_vlans(&mut packet, key);
    packet
}

/// A frame with this key that is `len` octets long: what it lacks is filled with zeros as payload. Nothing if the headers
/// alone are longer.
pub fn compose_len(key: &Key, len: usize) -> Option<PacketBuf> {
    let bare = compose(key, Payload::Octets(&[]));
    let extra = len.checked_sub(bare.len())?;
    if extra == 0 {
        return Some(bare);
    }
    let is_ip = matches!(key.dl_type(), et::IPV4 | et::IPV6);
    let zeros = vec![0; extra];
    let mut octets = bare.data().to_vec();
    octets.extend(&zeros);
    if key.dl_type() == et::NONE {
        let at = octets.len() - extra - 2;
        let n = (octets.len() as u16).to_be_bytes();
        octets[at..at + 2].copy_from_slice(&n);
    }
    if is_ip {
        expand_ip(key, &mut octets, extra);
    }
    Some(PacketBuf::new(&octets))
}

/// Sets lengths and checksums of a frame that grew at its end.
fn expand_ip(key: &Key, octets: &mut [u8], extra: usize) {
    let (_, layers) = crate::extract(octets, 0);
    let l3 = usize::from(layers.l3);
    let Some(datagram) = octets.get_mut(l3..) else { return };
    let len = datagram.len();
    let (header_len, sum) = if key.dl_type() == et::IPV4 {
        let Ok(mut ip) = ipv4::Packet::new(&mut *datagram) else { return };
        ip.set_total_len(len as u16);
        ip.fill_csum();
        (ipv4::HEADER_LEN, checksum::pseudo_v4(ip.src(), ip.dst(), ip.proto(), (len - ipv4::HEADER_LEN) as u32))
    } else {
        let Ok(mut ip) = ipv6::Packet::new(&mut *datagram) else { return };
        let payload_len = len.saturating_sub(ipv6::HEADER_LEN);
        ip.set_payload_len(payload_len as u16);
        (ipv6::HEADER_LEN, checksum::pseudo_v6(ip.src(), ip.dst(), ip.next_header(), payload_len as u32))
    };
    if key.nw_frag() & nw_frag::LATER == 0 {
        let l4 = &mut datagram[header_len..];
        if key.nw_proto() == 17
            && let Ok(mut udp) = udp::Packet::new(&mut *l4)
        {
            // The added octets count twice: so does Open vSwitch, whose tests show it.
            udp.set_len((len - header_len + extra) as u16);
        }
        fill_checksum(key, l4, sum);
    }
}

fn set_length(octets: &mut [u8]) {
    let n = (octets.len() as u16).to_be_bytes();
    octets[12..14].copy_from_slice(&n);
}

/// Tags with the protocol the key has, or the usual ones where it has none.
fn push_vlans(packet: &mut PacketBuf, key: &Key) {
    let double = key.vlan2_tci() & 0x1000 != 0;
    let inner = if key.vlan2_tpid() == 0 { et::VLAN } else { key.vlan2_tpid() };
    let outer = match key.vlan_tpid() {
        0 if double => et::QINQ,
        0 => et::VLAN,
        tpid => tpid,
    };
    for (tpid, tci) in [(inner, key.vlan2_tci()), (outer, key.vlan_tci())] {
        if tci & 0x1000 != 0 {
            vlan::push(packet, tpid, tci & !0x1000);
        }
    }
}

fn arp_message(key: &Key) -> Vec<u8> {
    let op = u16::from(key.nw_proto());
    let repr = if matches!(op, arp::REQUEST | arp::REPLY) {
        arp::Repr::ethernet_ipv4(op, key.arp_sha(), key.nw_src(), key.arp_tha(), key.nw_dst())
    } else {
        arp::Repr::ethernet_ipv4(op, 0, 0, 0, 0)
    };
    repr.octets().to_vec()
}

fn ipv4_datagram(key: &Key, payload: Payload<'_>) -> Vec<u8> {
    let fragment = key.nw_frag() & nw_frag::ANY != 0;
    let later = key.nw_frag() & nw_frag::LATER != 0;
    let mut l4 = if later { Vec::new() } else { transport(key, payload) };
    let sum = checksum::pseudo_v4(key.nw_src(), key.nw_dst(), key.nw_proto(), l4.len() as u32);
    fill_checksum(key, &mut l4, sum);
    let mut octets = ipv4::Repr {
        version: 4,
        ihl: 5,
        tos: key.nw_tos(),
        total_len: (ipv4::HEADER_LEN + l4.len()) as u16,
        more_frags: u8::from(fragment),
        frag_offset: if fragment && later { LATER_OFFSET } else { 0 },
        ttl: key.nw_ttl(),
        proto: key.nw_proto(),
        src: key.nw_src(),
        dst: key.nw_dst(),
        ..Default::default()
    }
    .octets()
    .to_vec();
    if let Ok(mut ip) = ipv4::Packet::new(&mut octets[..]) {
        ip.fill_csum();
    }
    octets.extend(l4);
    octets
}

fn ipv6_datagram(key: &Key, payload: Payload<'_>) -> Vec<u8> {
    let later = key.nw_frag() & nw_frag::LATER != 0;
    let mut l4 = if later { Vec::new() } else { transport(key, payload) };
    let sum = checksum::pseudo_v6(key.ipv6_src(), key.ipv6_dst(), key.nw_proto(), l4.len() as u32);
    fill_checksum(key, &mut l4, sum);
    let head = ipv6::Repr {
        version: 6,
        traffic_class: key.nw_tos(),
        label: key.ipv6_label(),
        payload_len: l4.len() as u16,
        next_header: key.nw_proto(),
        hop_limit: key.nw_ttl(),
        src: key.ipv6_src(),
        dst: key.ipv6_dst(),
    };
    let mut octets = head.octets().to_vec();
    octets.extend(l4);
    octets
}

/// The transport header with its payload, without checksum.
fn transport(key: &Key, payload: Payload<'_>) -> Vec<u8> {
    let (src, dst) = (key.tp_src(), key.tp_dst());
    let mut octets = Vec::new();
    match key.nw_proto() {
        6 => {
            octets
                .extend(tcp::Repr { src, dst, data_offset: 5, flags: key.tcp_flags(), ..Default::default() }.octets());
            if key.tcp_flags() & (tcp::flag::SYN | tcp::flag::FIN | tcp::flag::RST) == 0 {
                payload.append(&mut octets);
            }
        }
        17 => {
            octets.extend(udp::Repr { src, dst, len: 0, csum: 0 }.octets());
            payload.append(&mut octets);
            let len = (octets.len() as u16).to_be_bytes();
            octets[4..6].copy_from_slice(&len);
        }
        132 => octets.extend(sctp::Repr { src, dst, tag: 0, csum: 0 }.octets()),
        1 => {
            octets.extend(icmpv4::Repr { kind: src as u8, code: dst as u8, csum: 0, rest: 0 }.octets());
            if dst == 0 && matches!(src as u8, icmpv4::kind::ECHO_REQUEST | icmpv4::kind::ECHO_REPLY) {
                payload.append(&mut octets);
            }
        }
        2 => {
            octets.extend(igmp::Repr { kind: src as u8, code: dst as u8, csum: 0, group: key.igmp_group() }.octets());
        }
        58 => icmpv6_message(key, payload, &mut octets),
        _ => {}
    }
    octets
}

fn icmpv6_message(key: &Key, payload: Payload<'_>, octets: &mut Vec<u8>) {
    let (kind, code) = (key.tp_src() as u8, key.tp_dst() as u8);
    let neighbor = code == 0 && matches!(kind, icmpv6::kind::NEIGHBOR_SOLICIT | icmpv6::kind::NEIGHBOR_ADVERT);
    let rest = if neighbor { key.igmp_group() } else { 0 };
    octets.extend(icmpv6::Repr { kind, code, csum: 0, rest }.octets());
    if neighbor {
        octets.extend(key.nd_target().to_be_bytes());
        for (option, address) in [(icmpv6::OPTION_SOURCE, key.arp_sha()), (icmpv6::OPTION_TARGET, key.arp_tha())] {
            if address != 0 {
                octets.extend([option, 1]);
                octets.extend(&address.to_be_bytes()[2..]);
            }
        }
    } else if code == 0 && matches!(kind, icmpv6::kind::ECHO_REQUEST | icmpv6::kind::ECHO_REPLY) {
        payload.append(octets);
    }
}

/// Writes the checksum of a transport header and what follows; `pseudo` is the pseudo header's sum.
fn fill_checksum(key: &Key, octets: &mut [u8], pseudo: u64) {
    let (at, pseudo) = match key.nw_proto() {
        6 => (tcp::CSUM_OFFSET, pseudo),
        17 => (udp::CSUM_OFFSET, pseudo),
        1 | 2 => (2, 0),
        58 => (2, pseudo),
        _ => return,
    };
    if octets.len() < at + 2 {
        return;
    }
    octets[at..at + 2].fill(0);
    let csum = checksum::finish(checksum::sum(octets, pseudo));
    let csum = if csum == 0 && key.nw_proto() == 17 { 0xffff } else { csum };
    octets[at..at + 2].copy_from_slice(&csum.to_be_bytes());
}
