//! What connection tracking wants to know of a packet.

use flow::{Key, Layers};
use packet::{Offload, checksum};

use super::conn::{Tuple, has_ports};
use super::events::Untracked;
use super::tcp;

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
/// `packet_type` of what is named by an EtherType.
const ETHERTYPE_SPACE: u32 = 1 << 16;

/// A TCP segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    pub(super) seq: u32,
    pub(super) ack: u32,
    pub(super) flags: u16,
    pub(super) window: u16,
    pub(super) scale: Option<u8>,
    /// Octets of payload.
    pub(super) payload: u32,
}

/// A packet as connection tracking sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parsed {
    pub(crate) tuple: Tuple,
    /// It is an error about a packet of the connection, and the tuple is that of who answers so.
    pub(crate) is_related: bool,
    /// Its addresses are those that an earlier pass has given it.
    pub(crate) is_translated: bool,
    pub(super) tcp: Option<Segment>,
}

impl Parsed {
    pub(super) fn may_begin(&self) -> bool {
        match &self.tcp {
            Some(segment) => tcp::may_begin(segment),
            None if self.tuple.is_icmp() => {
                matches!((self.tuple.is_v6, self.tuple.icmp), (false, (8 | 13 | 15, 0)) | (true, (128, 0)))
            }
            None => true,
        }
    }
}

fn be16(octets: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*octets.get(at)?, *octets.get(at + 1)?]))
}

fn be32(octets: &[u8], at: usize) -> Option<u32> {
    Some(u32::from(be16(octets, at)?) << 16 | u32::from(be16(octets, at + 2)?))
}

/// Looks at a packet, unless it cannot be tracked.
pub(crate) fn parse(octets: &[u8], key: &Key, layers: &Layers, offload: &Offload) -> Result<Parsed, Untracked> {
    let (tuple, transport) = tuple(octets, key, layers).ok_or(Untracked::Malformed)?;
    if tuple.proto == UDP && !is_whole_datagram(transport) {
        return Err(Untracked::Malformed);
    }
    if !offload.csum_valid && offload.partial_csum.is_none() {
        check_sums(octets, key, layers, transport)?;
    }
    classify(tuple, transport).ok_or(Untracked::Malformed)
}

/// Whether the length that a datagram says it has (RFC 768: octets, its header among them) can be true of what is there.
fn is_whole_datagram(transport: &[u8]) -> bool {
    be16(transport, 4).is_some_and(|len| (8..=transport.len()).contains(&usize::from(len)))
}

fn classify(tuple: Tuple, transport: &[u8]) -> Option<Parsed> {
    if !tuple.is_icmp() {
        let tcp = if tuple.proto == TCP { Some(segment(transport)?) } else { None };
        return Some(Parsed { tuple, is_related: false, is_translated: false, tcp });
    }
    let is_error = match tuple.is_v6 {
        false => matches!(tuple.icmp.0, 3 | 4 | 5 | 11 | 12),
        true => matches!(tuple.icmp.0, 1..=4),
    };
    if is_error {
        // It goes to who sent the packet that it quotes.
        return about(transport.get(8..)?, tuple.is_v6).filter(|quoted| quoted.tuple.dst == tuple.dst);
    }
    let is_query = match tuple.is_v6 {
        false => matches!(tuple.icmp.0, 0 | 8 | 13..=16),
        true => matches!(tuple.icmp.0, 128 | 129),
    };
    is_query.then_some(Parsed { tuple, is_related: false, is_translated: false, tcp: None })
}

/// The tuple of a packet, and its transport part.
fn tuple<'a>(octets: &'a [u8], key: &Key, layers: &Layers) -> Option<(Tuple, &'a [u8])> {
    let is_v6 = match key.dl_type() {
        IPV4 => false,
        IPV6 => true,
        _ => return None,
    };
    if layers.l4 == Layers::NONE || key.nw_frag() != 0 {
        return None;
    }
    let end = octets.len().checked_sub(usize::from(layers.l2_pad))?;
    let transport = octets.get(usize::from(layers.l4)..end)?;
    let (src, dst) =
        if is_v6 { (key.ipv6_src(), key.ipv6_dst()) } else { (u128::from(key.nw_src()), u128::from(key.nw_dst())) };
    let mut tuple = Tuple { is_v6, proto: key.nw_proto(), src, dst, ..Tuple::default() };
    if has_ports(tuple.proto) {
        // Ports that are not there would be zero in the key.
        transport.get(..8)?;
        (tuple.sport, tuple.dport) = (key.tp_src(), key.tp_dst());
        if tuple.sport == 0 || tuple.dport == 0 {
            return None;
        }
    } else if tuple.is_icmp() {
        let id = be16(transport, 4)?;
        transport.get(..8)?;
        (tuple.sport, tuple.dport) = (id, id);
        tuple.icmp = (transport[0], transport[1]);
        if matches!(transport[0], 3 | 4 | 5 | 11 | 12) && !is_v6 || is_v6 && transport[0] < 128 {
            (tuple.sport, tuple.dport) = (0, 0);
        }
    }
    Some((tuple, transport))
}

/// The packet that an error is about, from the other end's view.
fn about(inner: &[u8], is_v6: bool) -> Option<Parsed> {
    let mut metadata = Key::EMPTY;
    metadata.set_packet_type(ETHERTYPE_SPACE | u32::from(if is_v6 { IPV6 } else { IPV4 }));
    // The packet quoted may be cut: its length is taken to be what is there.
    let mut quoted = inner.get(..inner.len().min(128))?.to_vec();
    let len = quoted.len() as u16;
    if is_v6 {
        quoted.get_mut(4..6)?.copy_from_slice(&len.checked_sub(40)?.to_be_bytes());
    } else {
        quoted.get_mut(2..4)?.copy_from_slice(&len.to_be_bytes());
    }
    let (mut key, layers) = flow::extract_with(&quoted, &metadata, 0);
    let at = usize::from(layers.l4);
    if has_ports(key.nw_proto()) {
        key.set_tp_src(be16(&quoted, at)?);
        key.set_tp_dst(be16(&quoted, at + 2)?);
    }
    let (tuple, transport) = tuple(&quoted, &key, &layers)?;
    // Of IPv6 there is room to quote the whole of TCP's header (RFC 4443 section 3).
    if is_v6 && tuple.proto == TCP && transport.len() < packet::tcp::HEADER_LEN {
        return None;
    }
    Some(Parsed { tuple: tuple.reversed(), is_related: true, is_translated: false, tcp: None })
}

fn check_sums(octets: &[u8], key: &Key, layers: &Layers, transport: &[u8]) -> Result<(), Untracked> {
    let is_v6 = key.dl_type() == IPV6;
    if !is_v6 {
        let at = usize::from(layers.l3);
        let header = octets.get(at..usize::from(layers.l4)).unwrap_or_default();
        if checksum::of(header) != 0 {
            return Err(Untracked::HeaderSum);
        }
    }
    let pseudo = |proto: u8| {
        let len = transport.len() as u32;
        if is_v6 {
            checksum::pseudo_v6(key.ipv6_src(), key.ipv6_dst(), proto, len)
        } else {
            checksum::pseudo_v4(key.nw_src(), key.nw_dst(), proto, len)
        }
    };
    let is_right = match key.nw_proto() {
        UDP if be16(transport, 6) == Some(0) && !is_v6 => true,
        proto @ (TCP | UDP) => checksum::finish(checksum::sum(transport, pseudo(proto))) == 0,
        ICMPV6 if is_v6 => checksum::finish(checksum::sum(transport, pseudo(ICMPV6))) == 0,
        ICMP if !is_v6 => checksum::of(transport) == 0,
        _ => true,
    };
    if is_right { Ok(()) } else { Err(Untracked::TransportSum) }
}

fn segment(transport: &[u8]) -> Option<Segment> {
    let offset_flags = be16(transport, 12)?;
    let header_len = usize::from(offset_flags >> 12) * 4;
    let payload = transport.len().checked_sub(header_len.max(20))? as u32;
    Some(Segment {
        seq: be32(transport, 4)?,
        ack: be32(transport, 8)?,
        flags: offset_flags & 0x0fff,
        window: be16(transport, 14)?,
        scale: scale(transport.get(20..header_len).unwrap_or_default()),
        payload,
    })
}

/// The window scale option.
fn scale(mut options: &[u8]) -> Option<u8> {
    loop {
        match *options {
            [0, ..] | [] | [_] => return None,
            [1, ref rest @ ..] => options = rest,
            // Open vSwitch does not ask how long it says it is.
            [3, _, scale, ..] => return Some(scale.min(14)),
            [_, len, ..] => options = options.get(usize::from(len.max(2))..)?,
        }
    }
}
