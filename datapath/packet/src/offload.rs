//! What hardware would do, in software: completing partial checksums and cutting packets into segments.
//!
//! Takes Ethernet frames with any number of VLAN tags around IPv4 (with options) or IPv6 (with extension headers) around
//! TCP or UDP, the same behind headers that know no lengths (MPLS, NSH, none at all), and in a tunnel (over UDP or GRE)
//! that somebody's kernel left to be cut with it; a packet that is itself a fragment is never cut. Absent here:
//! receive-side merging. Source: virtio 1.2 §5.1.6, RFC 9293, RFC 768, RFC 8200 §4.5.

use crate::{Gso, Malformed, Offload, PacketBuf, checksum, ethernet, ipv4, ipv6, tcp, udp, vlan};

/// `VIRTIO_NET_HDR_GSO_TCPV4`.
pub const GSO_TCPV4: u8 = 1;
/// `VIRTIO_NET_HDR_GSO_UDP`: cut into IP fragments.
pub const GSO_UDP_FRAGMENTS: u8 = 3;
/// `VIRTIO_NET_HDR_GSO_TCPV6`.
pub const GSO_TCPV6: u8 = 4;
/// `VIRTIO_NET_HDR_GSO_UDP_L4`: cut into datagrams.
pub const GSO_UDP_L4: u8 = 5;
/// `VIRTIO_NET_HDR_GSO_ECN`.
pub const GSO_ECN: u8 = 0x80;
/// Not virtio's: longer than its way takes, nobody knows of what; the size is that of whole pieces, from the network header on.
pub const GSO_OUTER: u8 = 0x40;
/// Octets of IPv6 extension headers behind which a transport header is looked for.
const MAX_EXTENSIONS: usize = 128;
/// Segments smaller than this are refused: they would multiply packets beyond reason.
pub const MIN_SEGMENT: usize = 8;

/// Computes the checksum that a packet still owes, and clears the debt. A place outside the packet is ignored.
pub fn complete_checksum(packet: &mut PacketBuf) {
    let Some(partial) = packet.offload.partial_csum.take() else { return };
    let (start, at) = (usize::from(partial.start), usize::from(partial.start) + usize::from(partial.offset));
    let octets = packet.data_mut();
    if at + 2 > octets.len() || start > at {
        return;
    }
    let csum = checksum::finish(checksum::sum(&octets[start..], 0));
    // 0 would mean "no checksum" to UDP; to TCP both are the same number.
    let csum = if csum == 0 { 0xffff } else { csum };
    octets[at..at + 2].copy_from_slice(&csum.to_be_bytes());
    packet.offload.csum_valid = true;
}

/// Makes a packet stand for itself: one that owes nothing gives itself, one that is to be cut gives its segments.
pub fn settle(mut packet: PacketBuf) -> Result<Vec<PacketBuf>, Malformed> {
    if packet.offload.gso.is_some() {
        return segments(&packet);
    }
    complete_checksum(&mut packet);
    Ok(vec![packet])
}

/// Where a frame's headers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headers {
    /// Network header.
    pub l3: usize,
    /// Transport header.
    pub l4: usize,
    /// IP version.
    pub version: u8,
    /// Transport protocol.
    pub proto: u8,
    /// Whether the packet is a fragment.
    pub fragment: bool,
    /// The octet that names the first header of the payload's fragmentable part (IPv6), from the frame's start.
    next_header_at: usize,
    /// Sum of the addresses that the pseudo header covers.
    addresses: u64,
    /// End of the IP datagram.
    end: usize,
}

impl Headers {
    /// Finds the headers of a frame.
    pub fn find(frame: &[u8]) -> Result<Headers, Malformed> {
        match Self::ethertype(frame)? {
            (0x0800, l3) => Self::find_v4(frame, l3),
            (0x86dd, l3) => Self::find_v6(frame, l3),
            _ => Err(Malformed),
        }
    }

    /// The EtherType behind all tags, and where what it names begins.
    fn ethertype(frame: &[u8]) -> Result<(u16, usize), Malformed> {
        let mut ethertype = ethernet::Packet::new(frame)?.ethertype();
        let mut l3 = ethernet::HEADER_LEN;
        while vlan::is_tag(ethertype) {
            let tag = frame.get(l3..l3 + 4).ok_or(Malformed)?;
            ethertype = u16::from_be_bytes([tag[2], tag[3]]);
            l3 += 4;
        }
        Ok((ethertype, l3))
    }

    /// Finds the headers of a packet without Ethernet's.
    pub fn find_bare(packet: &[u8], ethertype: u16) -> Result<Headers, Malformed> {
        match ethertype {
            0x0800 => Self::find_v4(packet, 0),
            0x86dd => Self::find_v6(packet, 0),
            _ => Err(Malformed),
        }
    }

    /// Where the IP datagram ends.
    pub fn end(&self) -> usize {
        self.end
    }

    /// Sum of the pseudo header of so many octets of the transport protocol.
    pub fn pseudo(&self, len: u32) -> u64 {
        self.addresses + u64::from(self.proto) + u64::from(len >> 16) + u64::from(len & 0xffff)
    }

    fn find_v4(frame: &[u8], l3: usize) -> Result<Headers, Malformed> {
        let ip = ipv4::Packet::new(frame.get(l3..).ok_or(Malformed)?)?;
        let l4 = l3 + ip.header_len();
        // 0 is how a datagram of more than 65535 octets that waits to be cut appears.
        let end = match usize::from(ip.total_len()) {
            0 => frame.len(),
            len => l3 + len,
        };
        if ip.header_len() < ipv4::HEADER_LEN || l4 > end || end > frame.len() {
            return Err(Malformed);
        }
        let addresses = u64::from(ip.src()) + u64::from(ip.dst());
        Ok(Headers {
            l3,
            l4,
            version: 4,
            proto: ip.proto(),
            fragment: ip.is_fragment(),
            next_header_at: l3 + 9,
            addresses,
            end,
        })
    }

    fn find_v6(frame: &[u8], l3: usize) -> Result<Headers, Malformed> {
        let ip = ipv6::Packet::new(frame.get(l3..).ok_or(Malformed)?)?;
        let end = match usize::from(ip.payload_len()) {
            0 => frame.len(),
            len => l3 + ipv6::HEADER_LEN + len,
        };
        let chain = ipv6::Packet::new(frame.get(l3..end).ok_or(Malformed)?)?.chain()?;
        Ok(Headers {
            l3,
            l4: l3 + chain.offset,
            version: 6,
            proto: chain.proto,
            fragment: chain.fragment.is_some(),
            next_header_at: l3 + chain.next_header_at,
            addresses: checksum::pseudo_v6(ip.src(), ip.csum_dst(&chain), 0, 0),
            end,
        })
    }
}

/// Cuts a packet as its offload metadata ask, checksums complete.
pub fn segments(packet: &PacketBuf) -> Result<Vec<PacketBuf>, Malformed> {
    let Some(gso) = packet.offload.gso else { return settle(packet.clone()) };
    if usize::from(gso.size) < MIN_SEGMENT {
        return Err(Malformed);
    }
    let start = packet.offload.partial_csum.map(|csum| usize::from(csum.start));
    let outer = Headers::find(packet.data());
    let headers = match (outer, start) {
        (Ok(outer), None) => outer,
        (Ok(outer), Some(l4)) if outer.l4 == l4 => outer,
        (Ok(outer), Some(l4)) => {
            let inner = up_to(packet.data(), gso, l4)?;
            // A packet of layer 3 alone may look like a frame.
            if inner.l3 > outer.l4 {
                return cut_in_tunnel(packet, gso, outer, inner);
            }
            inner
        }
        (Err(Malformed), Some(l4)) => up_to(packet.data(), gso, l4)?,
        (Err(Malformed), None) => return Err(Malformed),
    };
    cut(packet, gso, headers)
}

fn cut(packet: &PacketBuf, gso: Gso, headers: Headers) -> Result<Vec<PacketBuf>, Malformed> {
    if headers.fragment {
        return Err(Malformed);
    }
    match (gso.kind & !GSO_ECN, headers.version, headers.proto) {
        (GSO_TCPV4, 4, ipv4::proto::TCP) | (GSO_TCPV6, 6, ipv4::proto::TCP) => cut_tcp(packet, gso, headers),
        (GSO_UDP_L4, _, ipv4::proto::UDP) => cut_udp(packet, gso, headers),
        (GSO_UDP_FRAGMENTS, _, ipv4::proto::UDP) => cut_fragments(packet, gso, headers),
        _ => Err(Malformed),
    }
}

/// Whether a virtio header can tell the kernel what a frame still owes. It knows IP behind tags alone: whoever is asked to
/// cut a packet in a tunnel takes the outer one, and behind a label none.
pub fn can_be_told(frame: &[u8], offload: &Offload) -> bool {
    if offload.gso.is_none() {
        return true;
    }
    match Headers::find(frame) {
        Ok(headers) => offload.partial_csum.is_none_or(|csum| headers.l4 >= usize::from(csum.start)),
        Err(Malformed) => matches!(Headers::ethertype(frame), Ok((0x0800 | 0x86dd, _))),
    }
}

/// The headers of what is to be cut, by its transport header: that is where the checksum is missing.
fn up_to(frame: &[u8], gso: Gso, l4: usize) -> Result<Headers, Malformed> {
    let fits = |h: &Headers| h.l4 == l4 && h.end == frame.len() && frame[h.l3] >> 4 == h.version;
    let v4 = || (20..=60).step_by(4).filter_map(|len| Headers::find_v4(frame, l4.checked_sub(len)?).ok()).find(fits);
    let v6 = || {
        let lengths = (ipv6::HEADER_LEN..=ipv6::HEADER_LEN + MAX_EXTENSIONS).step_by(8);
        lengths.filter_map(|len| Headers::find_v6(frame, l4.checked_sub(len)?).ok()).find(fits)
    };
    match gso.kind & !GSO_ECN {
        GSO_TCPV4 => v4(),
        GSO_TCPV6 => v6(),
        _ => v4().or_else(v6),
    }
    .ok_or(Malformed)
}

fn cut_in_tunnel(packet: &PacketBuf, gso: Gso, outer: Headers, inner: Headers) -> Result<Vec<PacketBuf>, Malformed> {
    // Fragments of the inner packet would be packets of the tunnel each, with numbers of their own.
    if outer.fragment || gso.kind & !GSO_ECN == GSO_UDP_FRAGMENTS {
        return Err(Malformed);
    }
    let mut cut = cut(packet, gso, inner)?;
    for (i, segment) in cut.iter_mut().enumerate() {
        fix_ip(segment, outer, i as u16);
        let octets = &mut segment.data_mut()[outer.l4..];
        let len = octets.len();
        match outer.proto {
            ipv4::proto::UDP => {
                udp::Packet::new(&mut *octets)?.set_len(len as u16);
                if octets[udp::CSUM_OFFSET..udp::CSUM_OFFSET + 2] != [0, 0] {
                    fill_transport(segment, outer, udp::CSUM_OFFSET);
                }
            }
            // With a checksum of its own (RFC 2784).
            ipv4::proto::GRE if octets[0] & 0x80 != 0 => {
                octets[4..6].fill(0);
                let csum = checksum::of(octets).to_be_bytes();
                octets[4..6].copy_from_slice(&csum);
            }
            _ => {}
        }
    }
    Ok(cut)
}

/// One segment: the headers before `payload_at`, then a piece of the payload, with IP's lengths and checksum right.
fn piece(frame: &[u8], h: Headers, payload_at: usize, from: usize, to: usize, i: u16) -> PacketBuf {
    let mut segment = PacketBuf::new(&frame[..payload_at]);
    segment.extend(&frame[from..to]);
    fix_ip(&mut segment, h, i);
    segment.offload.csum_valid = true;
    segment
}

fn fix_ip(segment: &mut PacketBuf, h: Headers, i: u16) {
    let octets = &mut segment.data_mut()[h.l3..];
    let len = octets.len();
    if h.version == 4 {
        if let Ok(mut ip) = ipv4::Packet::new(octets) {
            ip.set_total_len(len as u16);
            ip.set_id(ip.id().wrapping_add(i));
            ip.fill_csum();
        }
    } else if let Ok(mut ip) = ipv6::Packet::new(octets) {
        ip.set_payload_len((len - ipv6::HEADER_LEN) as u16);
    }
}

fn fill_transport(segment: &mut PacketBuf, h: Headers, csum_offset: usize) {
    let octets = &mut segment.data_mut()[h.l4..];
    octets[csum_offset..csum_offset + 2].fill(0);
    let pseudo = h.addresses + u64::from(h.proto) + octets.len() as u64;
    let csum = checksum::finish(checksum::sum(octets, pseudo));
    let csum = if csum == 0 && h.proto == ipv4::proto::UDP { 0xffff } else { csum };
    octets[csum_offset..csum_offset + 2].copy_from_slice(&csum.to_be_bytes());
}

fn cut_tcp(packet: &PacketBuf, gso: Gso, h: Headers) -> Result<Vec<PacketBuf>, Malformed> {
    let frame = packet.data();
    let head = tcp::Packet::new(&frame[h.l4..h.end])?;
    head.check_len()?;
    let payload_at = h.l4 + head.header_len();
    let (seq, flags) = (head.seq(), head.flags());
    let size = usize::from(gso.size);
    let mut cut = Vec::with_capacity((h.end - payload_at).div_ceil(size).max(1));
    let mut from = payload_at;
    loop {
        let to = (from + size).min(h.end);
        let mut segment = piece(frame, h, payload_at, from, to, cut.len() as u16);
        let mut tcp = tcp::Packet::new(&mut segment.data_mut()[h.l4..])?;
        tcp.set_seq(seq.wrapping_add((from - payload_at) as u32));
        let mut own = flags;
        if to < h.end {
            own &= !(tcp::flag::FIN | tcp::flag::PSH);
        }
        if from > payload_at {
            own &= !tcp::flag::CWR;
        }
        tcp.set_flags(own);
        fill_transport(&mut segment, h, tcp::CSUM_OFFSET);
        cut.push(segment);
        from = to;
        if from >= h.end {
            return Ok(cut);
        }
    }
}

fn cut_udp(packet: &PacketBuf, gso: Gso, h: Headers) -> Result<Vec<PacketBuf>, Malformed> {
    let frame = packet.data();
    udp::Packet::new(&frame[h.l4..h.end])?;
    let payload_at = h.l4 + udp::HEADER_LEN;
    let size = usize::from(gso.size);
    let mut cut = Vec::with_capacity((h.end - payload_at).div_ceil(size).max(1));
    let mut from = payload_at;
    loop {
        let to = (from + size).min(h.end);
        let mut segment = piece(frame, h, payload_at, from, to, cut.len() as u16);
        let mut udp = udp::Packet::new(&mut segment.data_mut()[h.l4..])?;
        udp.set_len((udp::HEADER_LEN + to - from) as u16);
        fill_transport(&mut segment, h, udp::CSUM_OFFSET);
        cut.push(segment);
        from = to;
        if from >= h.end {
            return Ok(cut);
        }
    }
}

/// The old UDP offload: the datagram's checksum is made whole, then it is cut into IP fragments.
fn cut_fragments(packet: &PacketBuf, gso: Gso, h: Headers) -> Result<Vec<PacketBuf>, Malformed> {
    udp::Packet::new(&packet.data()[h.l4..h.end])?;
    let mut whole = PacketBuf::new(&packet.data()[..h.end]);
    fill_transport(&mut whole, h, udp::CSUM_OFFSET);
    let frame = whole.data();
    let size = usize::from(gso.size) & !7;
    let identification = checksum::sum(&frame[h.l3..h.l4 + udp::HEADER_LEN], 0) as u32;
    let mut cut = Vec::new();
    let mut from = h.l4;
    while from < h.end {
        let to = (from + size).min(h.end);
        let offset = from - h.l4;
        if offset > 0xfff8 {
            return Err(Malformed);
        }
        let more = u16::from(to < h.end);
        let mut fragment = PacketBuf::new(&frame[..h.l4]);
        if h.version == 6 {
            fragment.data_mut()[h.next_header_at] = ipv6::extension::FRAGMENT;
            fragment.extend(&[h.proto, 0]);
            fragment.extend(&(offset as u16 | more).to_be_bytes());
            fragment.extend(&identification.to_be_bytes());
        } else {
            let mut ip = ipv4::Packet::new(&mut fragment.data_mut()[h.l3..])?;
            ip.set_frag_offset((offset / 8) as u16);
            ip.set_more_frags(more as u8);
        }
        fragment.extend(&frame[from..to]);
        fix_ip(&mut fragment, h, 0);
        fragment.offload.csum_valid = true;
        cut.push(fragment);
        from = to;
    }
    Ok(cut)
}
