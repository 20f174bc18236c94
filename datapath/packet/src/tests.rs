//! Packets by hex: what each view reads and each representation emits.

use crate::*;

#[test]
fn bit_ranges() {
    let mut octets = [0u8; 4];
    view::set_bits(&mut octets, 4, 20, 0xabcd);
    assert_eq!(octets, [0x0a, 0xbc, 0xd0, 0]);
    assert_eq!(view::bits(&octets, 4, 20), 0xabcd);
    let mut octets = [0xff; 16];
    view::set_bits(&mut octets, 0, 128, 5);
    assert_eq!(view::bits(&octets, 0, 128), 5);
}

#[test]
fn checksum_of_rfc1071() {
    assert_eq!(checksum::of(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), !0xddf2);
    assert_eq!(checksum::of(&[0x01]), !0x0100);
}

#[test]
fn incremental_equals_whole() {
    let mut octets: Vec<u8> = (0..40u8).map(|i| i.wrapping_mul(37)).collect();
    let csum = checksum::of(&octets);
    let old = u32::from_be_bytes([octets[8], octets[9], octets[10], octets[11]]);
    octets[8..12].copy_from_slice(&0xdead_beefu32.to_be_bytes());
    assert_eq!(checksum::update32(csum, old, 0xdead_beef), checksum::of(&octets));
    let csum = checksum::of(&octets);
    let mut wide = [0; 16];
    wide.copy_from_slice(&octets[16..32]);
    octets[16..32].fill(0x77);
    let new = u128::from_be_bytes([0x77; 16]);
    assert_eq!(checksum::update128(csum, u128::from_be_bytes(wide), new), checksum::of(&octets));
}

#[test]
fn sctp_crc() {
    // CRC32c of "123456789" is 0xe3069283; on the wire its least significant octet comes first.
    assert_eq!(sctp::crc(b"123456789"), 0xe306_9283u32.swap_bytes());
}

/// A frame of `proto` with `tags` VLAN tags, IP options or extension headers if `extra`, and `payload` octets.
fn frame(version: u8, proto: u8, tags: usize, extra: bool, payload: usize) -> PacketBuf {
    let transport = match proto {
        6 => {
            let flags = tcp::flag::CWR | tcp::flag::ACK | tcp::flag::PSH | tcp::flag::FIN;
            let head = tcp::Repr { src: 1, dst: 2, seq: u32::MAX - 5, data_offset: 8, flags, ..Default::default() };
            [&head.octets()[..], &[1; 12]].concat()
        }
        _ => udp::Repr { src: 1, dst: 2, len: payload as u16 + 8, csum: 0 }.octets().to_vec(),
    };
    let body: Vec<u8> = (0..payload).map(|i| (i * 7) as u8).collect();
    let len = transport.len() + payload;
    let (ethertype, network) = if version == 4 {
        let ihl = if extra { 7 } else { 5 };
        let total_len = (len + usize::from(ihl) * 4) as u16;
        let (src, dst) = (0x0a00_0001, 0x0a00_0002);
        let head = ipv4::Repr {
            version,
            ihl,
            total_len,
            id: 0xffff,
            dont_frag: 1,
            ttl: 64,
            proto,
            src,
            dst,
            ..Default::default()
        };
        (0x0800u16, [&head.octets()[..], &vec![1; if extra { 8 } else { 0 }]].concat())
    } else {
        let extension = if extra { vec![proto, 0, 1, 4, 0, 0, 0, 0] } else { vec![] };
        let next_header = if extra { 60 } else { proto };
        let payload_len = (len + extension.len()) as u16;
        let head = ipv6::Repr { version, payload_len, next_header, hop_limit: 9, src: 7, dst: 8, ..Default::default() };
        (0x86dd, [&head.octets()[..], &extension].concat())
    };
    let mut octets = vec![2; 12];
    for _ in 0..tags {
        octets.extend([0x81, 0, 0, 5]);
    }
    octets.extend(ethertype.to_be_bytes());
    PacketBuf::new(&[octets, network, transport, body].concat())
}

fn csum_right(octets: &[u8]) -> bool {
    let h = offload::Headers::find(octets).unwrap();
    let ip = &octets[h.l3..];
    let l4 = &octets[h.l4..];
    let sum = match h.version {
        4 => {
            let ip = ipv4::Packet::new(ip).unwrap();
            assert!(ip.is_csum_valid());
            checksum::pseudo_v4(ip.src(), ip.dst(), h.proto, l4.len() as u32)
        }
        _ => {
            let ip = ipv6::Packet::new(ip).unwrap();
            checksum::pseudo_v6(ip.src(), ip.dst(), h.proto, l4.len() as u32)
        }
    };
    checksum::finish(checksum::sum(l4, sum)) == 0
}

#[test]
fn segments_carry_the_payload() {
    for (version, proto, kind) in [(4, 6, 1), (6, 6, 4), (4, 17, 5), (6, 17, 5)] {
        for (tags, extra) in [(0, false), (1, true), (2, false)] {
            let mut packet = frame(version, proto, tags, extra, 3001);
            packet.extend(&[0; 0]);
            packet.offload.gso = Some(Gso { kind, size: 1000, hdr_len: 0 });
            let cut = offload::segments(&packet).unwrap();
            assert_eq!(cut.len(), 4);
            let h = offload::Headers::find(packet.data()).unwrap();
            let head = if proto == 6 { 32 } else { 8 };
            let joined: Vec<u8> = cut.iter().flat_map(|s| s.data()[h.l4 + head..].to_vec()).collect();
            assert_eq!(joined, packet.data()[h.l4 + head..]);
            for (i, segment) in cut.iter().enumerate() {
                assert!(csum_right(segment.data()), "{version} {proto} {tags} {extra} {i}");
                if proto == 6 {
                    let tcp = tcp::Packet::new(&segment.data()[h.l4..]).unwrap();
                    assert_eq!(tcp.seq(), (u32::MAX - 5).wrapping_add(i as u32 * 1000));
                    assert_eq!(tcp.flags() & tcp::flag::CWR != 0, i == 0);
                    assert_eq!(tcp.flags() & tcp::flag::FIN != 0, i == 3);
                } else {
                    let udp = udp::Packet::new(&segment.data()[h.l4..]).unwrap();
                    assert_eq!(usize::from(udp.len()), segment.len() - h.l4);
                }
            }
        }
    }
}

#[test]
fn what_is_in_a_tunnel_is_cut_with_it() {
    for (around, version, extra, csum) in
        [(4, 4, false, 0), (4, 4, true, 9), (4, 6, false, 9), (4, 6, true, 9), (6, 4, false, 9), (6, 6, false, 0)]
    {
        let inner = frame(version, 6, 0, extra, 2500);
        let mut packet = frame(around, 17, 1, false, inner.len() + 8);
        let outer = offload::Headers::find(packet.data()).unwrap();
        let at = outer.l4 + 16;
        packet.data_mut()[at..].copy_from_slice(inner.data());
        packet.data_mut()[outer.l4 + 7] = csum;
        let h = offload::Headers::find(inner.data()).unwrap();
        let kind = if version == 4 { 1 } else { 4 };
        assert!(offload::can_be_told(packet.data(), &packet.offload));
        packet.offload.gso = Some(Gso { kind, size: 1000, hdr_len: 0 });
        packet.offload.partial_csum = Some(PartialCsum { start: (at + h.l4) as u16, offset: 16 });
        assert!(!offload::can_be_told(packet.data(), &packet.offload));
        let cut = offload::segments(&packet).unwrap();
        assert_eq!(cut.iter().map(PacketBuf::len).collect::<Vec<_>>(), [1000, 1000, 500].map(|n| at + h.l4 + 32 + n));
        let joined: Vec<u8> = cut.iter().flat_map(|s| s.data()[at + h.l4 + 32..].to_vec()).collect();
        assert_eq!(joined, inner.data()[h.l4 + 32..]);
        for segment in &cut {
            assert!(csum_right(&segment.data()[at..]), "{around} {version} {extra}");
            let udp = udp::Packet::new(&segment.data()[outer.l4..]).unwrap();
            assert_eq!(usize::from(udp.len()), segment.len() - outer.l4);
            let has_sum = segment.data()[outer.l4 + 6..][..2] != [0, 0];
            assert_eq!(has_sum, csum != 0);
            assert!(!has_sum || csum_right(segment.data()));
        }
        // A checksum that is missing elsewhere tells of no packet that could be cut.
        packet.offload.partial_csum = Some(PartialCsum { start: (at + h.l4) as u16 + 1, offset: 16 });
        assert_eq!(offload::segments(&packet), Err(Malformed));
    }
}

/// A frame that owes everything, without its Ethernet header.
fn owing(version: u8, proto: u8, extra: bool) -> (PacketBuf, PartialCsum) {
    let whole = frame(version, proto, 0, extra, 2500);
    let start = offload::Headers::find(whole.data()).unwrap().l4 as u16 - 14;
    (PacketBuf::new(&whole.data()[14..]), PartialCsum { start, offset: if proto == 6 { 16 } else { 6 } })
}

#[test]
fn what_is_behind_labels_or_nothing_is_cut() {
    let label = [&[2; 12][..], &[0x88, 0x47], &[0, 0, 0x10, 0, 0, 0, 0x21, 64]].concat();
    let nsh = [&[2; 12][..], &[0x89, 0x4f], &[0; 8]].concat();
    for around in [&[][..], &label, &nsh, &[&nsh[..], &[3; 12], &[0x81, 0, 0, 7, 0x08, 0]].concat()] {
        for (version, proto, kind, extra) in [
            (4, 6, 1, false),
            (4, 6, 0x81, true),
            (6, 6, 4, false),
            (6, 6, 4, true),
            (4, 17, 5, true),
            (6, 17, 5, true),
        ] {
            let (bare, csum) = owing(version, proto, extra);
            let mut packet = PacketBuf::new(&[around, bare.data()].concat());
            let start = csum.start + around.len() as u16;
            packet.offload.partial_csum = Some(PartialCsum { start, ..csum });
            assert!(offload::can_be_told(packet.data(), &packet.offload), "a checksum alone is where it says");
            packet.offload.gso = Some(Gso { kind, size: 1000, hdr_len: 0 });
            assert!(!offload::can_be_told(packet.data(), &packet.offload));
            let cut = offload::segments(&packet).unwrap();
            let head = usize::from(start) + if proto == 6 { 32 } else { 8 };
            assert_eq!(cut.iter().map(PacketBuf::len).collect::<Vec<_>>(), [1000, 1000, 500].map(|n| head + n));
            for segment in &cut {
                assert_eq!(segment.data()[..around.len()], *around);
                let ethertype = if version == 4 { [8, 0] } else { [0x86, 0xdd] };
                assert!(csum_right(&[&[0; 12][..], &ethertype, &segment.data()[around.len()..]].concat()));
            }
        }
    }
    // Addresses that look like an EtherType and the beginning of a header.
    let (mut bare, csum) = owing(6, 6, false);
    bare.data_mut()[12..15].copy_from_slice(&[8, 0, 0x45]);
    bare.data_mut()[16..18].copy_from_slice(&[1, 0]);
    bare.offload.partial_csum = Some(csum);
    bare.offload.gso = Some(Gso { kind: 4, size: 1000, hdr_len: 0 });
    assert!(offload::Headers::find(bare.data()).is_ok());
    assert_eq!(offload::segments(&bare).unwrap().len(), 3);
}

#[test]
fn datagrams_in_a_tunnel_are_cut_with_it() {
    let inner = frame(4, 17, 0, false, 2500);
    let mut packet = frame(6, 17, 0, false, inner.len() + 8);
    let at = packet.len() - inner.len();
    packet.data_mut()[at..].copy_from_slice(inner.data());
    packet.data_mut()[at - 9] = 9;
    packet.offload.partial_csum = Some(PartialCsum { start: at as u16 + 34, offset: 6 });
    packet.offload.gso = Some(Gso { kind: 5, size: 1000, hdr_len: 0 });
    let cut = offload::segments(&packet).unwrap();
    assert_eq!(cut.len(), 3);
    assert!(cut.iter().all(|s| csum_right(s.data()) && csum_right(&s.data()[at..])));
    packet.offload.gso = Some(Gso { kind: 3, size: 1000, hdr_len: 0 });
    assert_eq!(offload::segments(&packet), Err(Malformed), "fragments of what is inside");
}

#[test]
fn fragments_reassemble() {
    for version in [4, 6] {
        let mut packet = frame(version, 17, 1, false, 2500);
        packet.offload.gso = Some(Gso { kind: 3, size: 1001, hdr_len: 0 });
        let cut = offload::segments(&packet).unwrap();
        assert_eq!(cut.len(), 3);
        let at = 18 + if version == 4 { 20 } else { 48 };
        let datagram: Vec<u8> = cut.iter().flat_map(|f| f.data()[at..].to_vec()).collect();
        assert_eq!(datagram.len(), 2508);
        let pseudo = if version == 4 {
            checksum::pseudo_v4(0x0a00_0001, 0x0a00_0002, 17, 2508)
        } else {
            checksum::pseudo_v6(7, 8, 17, 2508)
        };
        assert_eq!(checksum::finish(checksum::sum(&datagram, pseudo)), 0);
        assert!(offload::Headers::find(cut[0].data()).unwrap().fragment);
    }
}

#[test]
fn partial_checksums_complete() {
    let mut packet = frame(4, 17, 1, true, 33);
    let h = offload::Headers::find(packet.data()).unwrap();
    let len = packet.len() - h.l4;
    let pseudo = checksum::fold(checksum::pseudo_v4(0x0a00_0001, 0x0a00_0002, 17, len as u32));
    packet.data_mut()[h.l4 + 6..h.l4 + 8].copy_from_slice(&pseudo.to_be_bytes());
    packet.offload.partial_csum = Some(PartialCsum { start: h.l4 as u16, offset: 6 });
    ipv4::Packet::new(&mut packet.data_mut()[h.l3..]).unwrap().fill_csum();
    vlan::push(&mut packet, 0x88a8, 7);
    let packet = offload::settle(packet).unwrap().remove(0);
    assert!(csum_right(packet.data()));
    assert_eq!(packet.offload.partial_csum, None);
}

#[test]
fn nonsense_is_refused() {
    let mut packet = frame(4, 6, 0, false, 100);
    for (kind, size) in [(4, 100), (5, 100), (1, 0), (1, 7), (9, 100)] {
        packet.offload.gso = Some(Gso { kind, size, hdr_len: 0 });
        assert_eq!(offload::segments(&packet), Err(Malformed));
    }
    for n in 0..packet.len() {
        let mut short = packet.clone();
        short.truncate(n);
        short.offload.gso = Some(Gso { kind: 1, size: 50, hdr_len: 0 });
        assert_eq!(offload::segments(&short), Err(Malformed));
        short.offload.partial_csum = Some(PartialCsum { start: n as u16, offset: 0xffff });
        offload::complete_checksum(&mut short);
    }
}
