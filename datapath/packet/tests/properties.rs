//! Properties of the packet parser: whatever the octets, reading stays inside them; what is written is what was read;
//! checksums hold; and segments are the packet they were cut from.

use packet::*;
use proptest::prelude::*;

/// Octets, often those of no header at all, with the values that steer parsers more frequent than chance has them.
fn octets(most: usize) -> impl Strategy<Value = Vec<u8>> {
    let octet = prop_oneof![
        4 => any::<u8>(),
        1 => prop::sample::select(vec![0, 1, 4, 6, 8, 17, 43, 44, 51, 60, 0x45, 0x60, 0x81, 0x86, 0xdd, 0xff]),
    ];
    prop::collection::vec(octet, 0..most)
}

/// Reads every field of a header and writes it again: other bits stay, and so do these.
macro_rules! rewritten {
    ($octets:expr, $($protocol:ident),*) => {$(
        let mut copy = $octets.clone();
        match $protocol::Packet::new(&mut copy[..]) {
            Ok(mut packet) => {
                let repr = $protocol::Repr::parse(&packet);
                repr.emit(&mut packet);
                prop_assert_eq!($protocol::Repr::parse(&packet), repr);
                prop_assert_eq!(&copy, &$octets, "{}", stringify!($protocol));
                let own = repr.octets();
                prop_assert_eq!($protocol::Repr::parse(&$protocol::Packet::new(&own[..])?), repr);
            }
            Err(Malformed) => prop_assert!($octets.len() < $protocol::HEADER_LEN, "{}", stringify!($protocol)),
        }
    )*};
}

fn read_everything(octets: &[u8]) -> Result<(), TestCaseError> {
    let within = |at: usize| at <= octets.len();
    if let Ok(ip) = ipv4::Packet::new(octets) {
        prop_assert!(ip.payload().len() <= octets.len());
        prop_assert!(ip.check_len().is_err() || usize::from(ip.total_len()) <= octets.len());
        ip.is_csum_valid();
    }
    if let Ok(ip) = ipv6::Packet::new(octets) {
        prop_assert!(ip.payload().len() <= octets.len());
        if let Ok(chain) = ip.chain() {
            prop_assert!((ipv6::HEADER_LEN..=octets.len()).contains(&chain.offset));
            prop_assert!(chain.next_header_at < chain.offset);
            prop_assert_eq!(octets[chain.next_header_at], chain.proto);
            prop_assert!(chain.fragment.is_none_or(|at| at + 8 <= chain.offset));
            prop_assert!(!chain.later_fragment || chain.fragment.is_some());
            ip.csum_dst(&chain);
        }
    }
    if let Ok(tcp) = tcp::Packet::new(octets) {
        let whole = tcp::HEADER_LEN + tcp.options().len() + tcp.payload().len();
        prop_assert!(tcp.check_len().is_err() || whole == octets.len());
    }
    if let Ok(icmp) = icmpv6::Packet::new(octets) {
        for (_, at, len) in icmp.nd_options() {
            prop_assert!(len > 0 && within(at + len));
        }
    }
    if let Ok(igmp) = igmp::Packet::new(octets) {
        prop_assert!(igmp.records().count() <= octets.len() / 8);
    }
    if let Ok(geneve) = geneve::Packet::new(octets) {
        let told: usize = geneve.options().map_while(Result::ok).map(|option| 4 + option.data.len()).sum();
        prop_assert!(within(told));
    }
    if let Ok(gre) = gre::Packet::new(octets) {
        prop_assert!(gre.key().is_none() || gre.has_key() == 1);
        prop_assert!(gre.seq().is_none() || within(gre.header_len()));
    }
    if let Ok(nsh) = nsh::Packet::new(octets) {
        prop_assert!(nsh.check_len().is_err() || within(nsh.header_len()));
    }
    if let Ok(headers) = offload::Headers::find(octets) {
        prop_assert!(headers.l3 <= headers.l4 && within(headers.l4));
    }
    Ok(())
}

/// An IP packet that hardware was to cut.
#[derive(Clone, Debug)]
struct Uncut {
    version: u8,
    proto: u8,
    tags: usize,
    extra: usize,
    size: u16,
    seq: u32,
    payload: Vec<u8>,
}

fn uncut() -> impl Strategy<Value = Uncut> {
    let heads = (prop::sample::select(vec![4u8, 6]), prop::sample::select(vec![6u8, 17]), 0usize..3, 0usize..4);
    let sizes = (prop_oneof![8u16..64, 64u16..2000], any::<u32>());
    (heads, sizes, prop::collection::vec(any::<u8>(), 0..4000)).prop_map(|(heads, (size, seq), payload)| {
        let (version, proto, tags, extra) = heads;
        Uncut { version, proto, tags, extra, size, seq, payload }
    })
}

const ALL_FLAGS: u16 = tcp::flag::CWR | tcp::flag::ACK | tcp::flag::PSH | tcp::flag::FIN;

impl Uncut {
    fn transport_len(&self) -> usize {
        if self.proto == 6 { 20 + 4 * self.extra } else { 8 }
    }

    /// The frame, with what the kernel says of it.
    fn packet(&self) -> PacketBuf {
        let options = vec![1; 4 * self.extra];
        let transport = if self.proto == 6 {
            let data_offset = 5 + self.extra as u8;
            let head = tcp::Repr { src: 1, dst: 2, seq: self.seq, data_offset, flags: ALL_FLAGS, ..Default::default() };
            [&head.octets()[..], &options].concat()
        } else {
            udp::Repr { src: 1, dst: 2, len: (8 + self.payload.len()) as u16, csum: 0 }.octets().to_vec()
        };
        let len = transport.len() + self.payload.len();
        let (ethertype, network) = if self.version == 4 {
            let head = ipv4::Repr {
                version: 4,
                ihl: 5 + self.extra as u8,
                total_len: (20 + 4 * self.extra + len) as u16,
                proto: self.proto,
                ttl: 64,
                src: 0x0a00_0001,
                dst: 0x0a00_0002,
                ..Default::default()
            };
            (0x0800, [&head.octets()[..], &options].concat())
        } else {
            // Destination options of eight octets each, padding in them.
            let mut headers = vec![];
            for i in 0..self.extra {
                let next = if i + 1 == self.extra { self.proto } else { ipv6::extension::DESTINATION };
                headers.extend([next, 0, 1, 4, 0, 0, 0, 0]);
            }
            let head = ipv6::Repr {
                version: 6,
                payload_len: (headers.len() + len) as u16,
                next_header: if self.extra == 0 { self.proto } else { ipv6::extension::DESTINATION },
                hop_limit: 64,
                src: 1,
                dst: 2,
                ..Default::default()
            };
            (0x86dd, [&head.octets()[..], &headers].concat())
        };
        let ethernet = ethernet::Repr { dst: 2, src: 1, ethertype };
        let mut packet = PacketBuf::new(&[&ethernet.octets()[..], &network, &transport, &self.payload].concat());
        for tag in 0..self.tags {
            vlan::push(&mut packet, if tag == 0 { 0x8100 } else { 0x88a8 }, 5 + tag as u16);
        }
        let kind = match (self.proto, self.version) {
            (6, 4) => offload::GSO_TCPV4,
            (6, _) => offload::GSO_TCPV6,
            _ => offload::GSO_UDP_L4,
        };
        packet.offload.gso = Some(Gso { kind, size: self.size, hdr_len: 0 });
        packet
    }
}

/// The sum of a segment's transport header, payload and pseudo header: 0 if its checksum is right.
fn transport_sum(segment: &[u8], headers: &offload::Headers) -> u16 {
    let transport = &segment[headers.l4..];
    let len = transport.len() as u32;
    let pseudo = if headers.version == 4 {
        checksum::pseudo_v4(0x0a00_0001, 0x0a00_0002, headers.proto, len)
    } else {
        checksum::pseudo_v6(1, 2, headers.proto, len)
    };
    checksum::finish(checksum::sum(transport, pseudo))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn what_is_read_is_written(octets in octets(80)) {
        rewritten!(octets, arp, ethernet, erspan, geneve, gre, gtpu, icmpv4, icmpv6, igmp, ipv4, ipv6, llc, mpls, nsh, sctp,
            tcp, udp, vlan, vxlan);
    }

    #[test]
    fn reading_stays_inside(octets in octets(300)) {
        read_everything(&octets)?;
    }

    #[test]
    fn reading_of_nearly_right_packets_stays_inside(
        uncut in uncut(),
        harm in prop::collection::vec((0usize..120, any::<u8>()), 0..4),
        cut in 0usize..200,
    ) {
        let mut frame = uncut.packet().data().to_vec();
        for (at, octet) in harm {
            if let Some(place) = frame.get_mut(at) {
                *place = octet;
            }
        }
        frame.truncate(frame.len().saturating_sub(cut));
        for from in [0, 14, 18, 22, 34, 54] {
            read_everything(frame.get(from..).unwrap_or(&[]))?;
        }
        let mut packet = PacketBuf::new(&frame);
        packet.offload = uncut.packet().offload;
        if let Ok(segments) = offload::segments(&packet) {
            prop_assert!(segments.iter().all(|segment| segment.len() <= frame.len() + 8));
        }
    }

    #[test]
    fn checksums_follow_changes(mut octets in prop::collection::vec(any::<u8>(), 32..64), at in 0usize..8, new in any::<u128>()) {
        octets.truncate(octets.len() & !1);
        let at = at * 2;
        let csum = checksum::of(&octets);
        let old = octets.clone();
        let new = &new.to_be_bytes()[..];
        for len in [2, 4, 16] {
            let mut changed = old.clone();
            changed[at..at + len].copy_from_slice(&new[..len]);
            let number = |octets: &[u8]| octets[at..at + len].iter().fold(0u128, |n, o| n << 8 | u128::from(*o));
            let (was, is) = (number(&old), number(&changed));
            let updated = match len {
                2 => checksum::update16(csum, was as u16, is as u16),
                4 => checksum::update32(csum, was as u32, is as u32),
                _ => checksum::update128(csum, was, is),
            };
            // 0 and 0xffff are the same number to one's complement.
            let same = |a: u16, b: u16| a == b || (a ^ b == 0xffff && (a == 0 || b == 0));
            prop_assert!(same(updated, checksum::of(&changed)), "{} octets", len);
            prop_assert!(same(checksum::update(csum, &old[at..at + len], &new[..len]), checksum::of(&changed)));
        }
        let (front, back) = old.split_at(at);
        prop_assert_eq!(checksum::finish(checksum::sum(back, checksum::sum(front, 0))), csum);
    }

    #[test]
    fn a_tag_goes_as_it_came(frame in prop::collection::vec(any::<u8>(), 14..100), tci in any::<u16>(), start in 14u16..60) {
        let mut packet = PacketBuf::new(&frame);
        packet.offload.partial_csum = Some(PartialCsum { start, offset: 6 });
        let before = packet.clone();
        vlan::push(&mut packet, 0x8100, tci);
        prop_assert_eq!(packet.len(), frame.len() + 4);
        prop_assert_eq!(packet.offload.partial_csum.map(|p| p.start), Some(start + 4));
        prop_assert_eq!(&packet.data()[..12], &frame[..12]);
        prop_assert_eq!(vlan::Packet::new(&packet.data()[12..])?.tci(), tci);
        vlan::pop(&mut packet);
        prop_assert_eq!(packet, before);
    }

    #[test]
    fn segments_are_the_packet(uncut in uncut()) {
        let packet = uncut.packet();
        let segments = offload::segments(&packet)?;
        let mut joined = Vec::new();
        let count = segments.len();
        prop_assert_eq!(count, uncut.payload.len().div_ceil(usize::from(uncut.size)).max(1));
        for (i, segment) in segments.iter().enumerate() {
            let data = segment.data();
            let headers = offload::Headers::find(data)?;
            prop_assert_eq!((headers.version, headers.proto), (uncut.version, uncut.proto));
            prop_assert_eq!(headers.l3, 14 + 4 * uncut.tags);
            prop_assert_eq!(&data[..headers.l3], &packet.data()[..headers.l3]);
            if uncut.version == 4 {
                let ip = ipv4::Packet::new(&data[headers.l3..])?;
                prop_assert_eq!(usize::from(ip.total_len()), data.len() - headers.l3);
                prop_assert!(ip.is_csum_valid());
                prop_assert_eq!(usize::from(ip.id()), i);
            } else {
                let ip = ipv6::Packet::new(&data[headers.l3..])?;
                prop_assert_eq!(usize::from(ip.payload_len()), data.len() - headers.l3 - ipv6::HEADER_LEN);
            }
            prop_assert_eq!(transport_sum(data, &headers), 0, "segment {}", i);
            if uncut.proto == 6 {
                let tcp = tcp::Packet::new(&data[headers.l4..])?;
                prop_assert_eq!(tcp.seq(), uncut.seq.wrapping_add(joined.len() as u32));
                let ends = if i + 1 == count { tcp::flag::FIN | tcp::flag::PSH } else { 0 };
                let begins = if i == 0 { tcp::flag::CWR } else { 0 };
                prop_assert_eq!(tcp.flags(), tcp::flag::ACK | ends | begins);
            } else {
                let udp = udp::Packet::new(&data[headers.l4..])?;
                prop_assert_eq!(usize::from(udp.len()), data.len() - headers.l4);
            }
            let payload = &data[headers.l4 + uncut.transport_len()..];
            prop_assert!(payload.len() <= usize::from(uncut.size));
            joined.extend_from_slice(payload);
        }
        prop_assert_eq!(joined, uncut.payload);
    }

    #[test]
    fn fragments_are_the_datagram(mut uncut in uncut()) {
        uncut.proto = 17;
        let mut packet = uncut.packet();
        packet.offload.gso = Some(Gso { kind: offload::GSO_UDP_FRAGMENTS, size: uncut.size, hdr_len: 0 });
        let mut joined = Vec::new();
        for fragment in offload::segments(&packet)? {
            let headers = offload::Headers::find(fragment.data())?;
            joined.extend_from_slice(&fragment.data()[headers.l4..]);
            prop_assert!(fragment.len() - headers.l4 <= usize::from(uncut.size));
        }
        prop_assert_eq!(&joined[udp::HEADER_LEN..], &uncut.payload[..]);
        let pseudo = if uncut.version == 4 {
            checksum::pseudo_v4(0x0a00_0001, 0x0a00_0002, 17, joined.len() as u32)
        } else {
            checksum::pseudo_v6(1, 2, 17, joined.len() as u32)
        };
        prop_assert_eq!(checksum::finish(checksum::sum(&joined, pseudo)), 0);
    }

    #[test]
    fn a_buffer_keeps_what_is_behind_its_front(
        octets in prop::collection::vec(any::<u8>(), 0..50),
        moves in prop::collection::vec((any::<bool>(), 0usize..90), 0..12),
    ) {
        let (mut packet, mut model) = (PacketBuf::new(&octets), octets);
        for (push, n) in moves {
            if push {
                packet.push_front(n).fill(7);
                model.splice(0..0, std::iter::repeat_n(7, n));
            } else {
                packet.pull_front(n);
                model.drain(..n.min(model.len()));
            }
            prop_assert_eq!(packet.data(), &model[..]);
        }
    }
}
