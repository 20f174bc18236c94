//! What each action does to frames, by content, checksums and debts included.

mod common;

use common::*;
use dp::{Band, BandKind, Config, Drop, MeterConfig, TunnelKind, Watcher};
use flow::capture_filter::Direction;
use flow::odp::{Cookie, HashAlg, MaskedWord, PushNsh, Set, SetGroup, Userspace};
use flow::{Action, Execute, FlowEntry, Key, Mask, Ufid, UpcallKind};
use packet::{Gso, Offload, PacketBuf, PartialCsum};

/// A write of what `with` sets, in both key and mask.
fn set(group: SetGroup, with: impl Fn(&mut Key, &mut Mask)) -> Action {
    let (mut key, mut mask) = (Key::EMPTY, Mask::EMPTY);
    with(&mut key, &mut mask);
    let words = mask.0.iter().enumerate().filter(|(_, m)| **m != 0);
    let words = words.map(|(i, m)| MaskedWord { word: i as u8, value: key.0[i] & m, mask: *m }).collect();
    Action::Set(Set { group, words, tunnel: None })
}

fn set_nw_src(address: u32) -> Action {
    set(SetGroup::Ipv4, |k, m| {
        k.set_nw_src(address);
        m.set_nw_src(u32::MAX);
    })
}

fn set_tcp_dst(port: u16) -> Action {
    set(SetGroup::Tcp, |k, m| {
        k.set_tp_dst(port);
        m.set_tp_dst(u16::MAX);
    })
}

fn one(actions: &[Action], frame: Frame) -> Frame {
    let mut frames = through(actions, frame);
    assert_eq!(frames.len(), 1, "one frame comes out");
    frames.remove(0)
}

/// Octets, and which way they went.
type Noted = (Vec<u8>, Direction);

/// Notes down what it sees.
struct Notes(std::sync::Arc<std::sync::Mutex<Vec<Noted>>>);

impl Watcher for Notes {
    fn see(&mut self, octets: &[u8], direction: Direction) {
        self.0.lock().unwrap().push((octets.to_vec(), direction));
    }
}

#[test]
fn a_watcher_sees_what_came_and_what_goes_out() {
    let mut rig = Rig::new(Config::default());
    rig.install_any(&[set_nw_src(1), Action::Output(2), Action::Output(1)]);
    let seen = std::sync::Arc::default();
    assert!(rig.dp.watch_port(1, Some(Box::new(Notes(std::sync::Arc::clone(&seen))))));
    assert!(!rig.dp.watch_port(99, None));
    let frame = tcp4(1, 2, &[7; 100]);
    rig.inject_at(1, [plain(frame.clone())]);
    let changed = fill(ipv4(6, [0, 0, 0, 1], [10, 0, 0, 2], &tcp(1, 2, &[7; 100])), 50);
    assert_eq!(*seen.lock().unwrap(), [(frame.clone(), Direction::In), (changed, Direction::Out)]);
    // Whoever leaves sees no more.
    assert!(rig.dp.watch_port(1, None));
    rig.inject_at(1, [plain(frame)]);
    assert_eq!(seen.lock().unwrap().len(), 2);
}

#[test]
fn what_was_queued_is_not_changed_any_more() {
    let mut rig = Rig::new(Config::default());
    let push = Action::PushVlan { tpid: 0x8100, tci: 0x1005 };
    rig.install_any(&[
        Action::Output(2),
        set_nw_src(1),
        Action::Output(3),
        push,
        Action::Output(4),
        Action::PopVlan,
        Action::Output(1),
    ]);
    let frame = tcp4(1, 2, &[7; 100]);
    rig.inject([plain(frame.clone()), plain(frame.clone())]);
    let changed = fill(ipv4(6, [0, 0, 0, 1], [10, 0, 0, 2], &tcp(1, 2, &[7; 100])), 50);
    assert_eq!(rig.sent(2), [plain(frame.clone()), plain(frame)]);
    assert_eq!(rig.sent(3), [plain(changed.clone()), plain(changed.clone())]);
    let mut tagged = changed.clone();
    tagged.splice(12..12, [0x81, 0, 0, 5]);
    assert_eq!(rig.sent(4)[0], plain(tagged));
    assert_eq!(rig.sent(1)[1], plain(changed));
}

#[test]
fn a_tunnel_by_the_hosts_stack_has_the_outer_packets_on_its_port() {
    let mut rig = Rig::new(Config::default());
    rig.dp.set_tunnel(3, Some(TunnelKind::Vxlan { gbp: false, gpe: false }));
    rig.dp.set_tunnel_by_host(3, true);
    let text = "set(tunnel(tun_id=0x5,src=10.0.0.8,dst=10.0.0.9,tos=0x4,ttl=64,tp_dst=4789,flags(df|csum|key))),3,2";
    rig.install_any(&flow::odp_text::parse_actions(text, None).unwrap());
    let inner = tcp4(1, 2, &[7; 100]);
    rig.inject_at(1, [plain(inner.clone())]);
    assert_eq!(rig.sent(2), [plain(inner.clone())], "the packet itself goes on as it was");
    let [(outer, owed)] = <[_; 1]>::try_from(rig.sent(3)).unwrap();
    assert_eq!((outer.len(), owed), (50 + inner.len(), Offload::default()));
    assert_eq!((&outer[..16], outer[20], outer[22]), (&[&[0; 12][..], &[8, 0, 0x45, 4]].concat()[..], 0x40, 64));
    assert_eq!(&outer[50..], inner);
    // The same packet as it comes from the other end, for whatever looks at the tunnel's fields.
    let (mut key, mut mask) = (Key::EMPTY, Mask::EMPTY);
    key.set_in_port(3);
    mask.set_in_port(u32::MAX);
    key.set_tun_id(5);
    mask.set_tun_id(u64::MAX);
    key.set_tun_src(0x0a00_0008);
    mask.set_tun_src(u32::MAX);
    rig.dp.flush();
    rig.dp.install(&FlowEntry::new(Ufid(3), &key, &mask, [Action::Output(2)].as_slice().into()), 7).unwrap();
    rig.inject_at(3, [plain(outer.clone())]);
    assert_eq!(rig.sent(2), [plain(inner.clone())]);
    // What its sender left undone is found, and so is how it was to be cut.
    let (unsummed, debt) = partial(tcp4(1, 2, &[7; 3000]), 34, 16);
    let mut long = ipv4(17, [10, 0, 0, 8], [10, 0, 0, 9], &udp(7, 4789, &[&outer[42..50], &unsummed].concat()));
    let whole = Offload { gso: Some(Gso { kind: packet::offload::GSO_OUTER, size: 1500, hdr_len: 0 }), ..debt };
    rig.inject_at(3, [(long.clone(), whole)]);
    let size = 1500 + 14 - 50 - 54;
    assert_eq!(rig.sent(2), [(unsummed, Offload { gso: Some(Gso { kind: 1, size, hdr_len: 54 }), ..debt })]);
    // Nothing of what is no tunnel's packet comes through.
    long[42] = 0;
    rig.inject_at(3, [plain(long), plain(inner)]);
    assert_eq!((rig.sent(2).len(), rig.dp.stats().drops[dp::Drop::TunnelPop.index()]), (0, 2));
}

#[test]
fn who_is_asked_after_a_tunnel_learns_how_the_packet_came() {
    let mut rig = Rig::new(Config::default());
    rig.dp.set_tunnel(3, Some(TunnelKind::Vxlan { gbp: false, gpe: false }));
    rig.dp.set_tunnel_by_host(3, true);
    // A mirror by a tunnel that the host's stack carries, and then connection tracking.
    let away = "set(tunnel(tun_id=0x5,src=10.0.0.8,dst=10.0.0.9,ttl=64,tp_dst=4789,flags(key))),3";
    let text = format!("{away},userspace(pid=0,slow_path(action)),ct,recirc(0x1)");
    let actions = flow::odp_text::parse_actions(&text, None).unwrap();
    let inner = tcp4(1, 2, &[7; 100]);
    let mut outer = inner.clone();
    for (port, came) in [(1, (0, 0, 0)), (3, (5, 0x0a00_0008, 0x0a00_0009))] {
        rig.dp.flush();
        let (mut key, mut mask) = (Key::EMPTY, Mask::EMPTY);
        mask.set_recirc_id(u32::MAX);
        rig.dp.install(&FlowEntry::new(Ufid(1), &key, &mask, actions.as_slice().into()), 7).unwrap();
        key.set_recirc_id(1);
        key.set_tun_id(came.0);
        mask.set_tun_id(u64::MAX);
        key.set_tun_src(came.1);
        mask.set_tun_src(u32::MAX);
        key.set_tun_dst(came.2);
        mask.set_tun_dst(u32::MAX);
        rig.dp.install(&FlowEntry::new(Ufid(2), &key, &mask, [Action::Output(2)].as_slice().into()), 7).unwrap();
        rig.inject_at(port, [plain(outer)]);
        assert_eq!(rig.sent(2), [plain(inner.clone())]);
        let asked = rig.take_upcalls();
        assert_eq!(
            asked.iter().map(|u| (u.key.tun_id(), u.key.tun_src(), u.key.tun_dst())).collect::<Vec<_>>(),
            [came]
        );
        // The copy that left comes in again.
        outer = <[_; 1]>::try_from(rig.sent(3)).unwrap()[0].0.clone();
    }
}

#[test]
fn what_comes_out_of_a_tunnel_is_a_packet() {
    let mut rig = Rig::new(Config::default());
    rig.dp.set_tunnel(3, Some(TunnelKind::Vxlan { gbp: false, gpe: false }));
    rig.install_any(&[Action::TnlPop(3)]);
    let vxlan = |flags: u8, inner: &[u8]| {
        plain(ipv4(17, [10, 0, 0, 8], [10, 0, 0, 9], &udp(7, 4789, &[&[flags, 0, 0, 0, 0, 0, 5, 0], inner].concat())))
    };
    rig.inject([vxlan(8, &[7; 13]), vxlan(0, &[7; 60]), vxlan(8, &[7; 14])]);
    let dropped = |rig: &Rig, why: Drop| rig.dp.stats().drops[why.index()];
    assert_eq!((dropped(&rig, Drop::TooShort), dropped(&rig, Drop::TunnelPop)), (1, 1));
    assert_eq!(rig.take_upcalls().len(), 1);
    let said: Vec<_> = rig.dp.notices().map(|notice| notice.to_string()).collect();
    assert_eq!(said, ["invalid vxlan flags=0 vni=0x500"]);
    assert_eq!(rig.dp.notices().count(), 0, "once");
}

#[test]
fn a_tunnel_by_the_hosts_stack_takes_long_options() {
    let mut rig = Rig::new(Config::default());
    rig.dp.set_tunnel(3, Some(TunnelKind::Geneve));
    rig.dp.set_tunnel_by_host(3, true);
    let option = format!("{{class=0x104,type=0x1,len=124,0x{}}}", "5a".repeat(124));
    let text =
        format!("set(tunnel(tun_id=0x5,src=10.0.0.8,dst=10.0.0.9,ttl=64,tp_dst=6081,geneve({option}),flags(key))),3");
    rig.install_any(&flow::odp_text::parse_actions(&text, None).unwrap());
    let inner = tcp4(1, 2, &[7; 100]);
    rig.inject_at(1, [plain(inner.clone())]);
    let [(outer, _)] = <[_; 1]>::try_from(rig.sent(3)).unwrap();
    assert_eq!((&outer[54..178], &outer[178..]), (&[0x5a; 124][..], &inner[..]));
}

#[test]
fn what_is_owed_to_a_packet_in_a_tunnel_is_owed_to_it_outside() {
    for gso in [None, Some(Gso { kind: 1, size: 1448, hdr_len: 104 })] {
        let (inner, owed) = partial(tcp4(1, 2, &[7; 3000]), 34, 16);
        let content = [&[8, 0, 0, 0, 0, 0, 5, 0], &inner[..]].concat();
        let outer = ipv4(17, [10, 0, 0, 8], [10, 0, 0, 9], &udp(7, 4789, &content));
        let mut rig = Rig::new(Config::default());
        rig.dp.set_tunnel(3, Some(TunnelKind::Vxlan { gbp: false, gpe: false }));
        rig.install_any(&[Action::TnlPop(3)]);
        let (mut key, mut mask) = (Key::EMPTY, Mask::EMPTY);
        key.set_in_port(3);
        mask.set_in_port(u32::MAX);
        rig.dp.install(&FlowEntry::new(Ufid(3), &key, &mask, [Action::Output(2)].as_slice().into()), 7).unwrap();
        let debt = |start, gso| Offload {
            partial_csum: Some(PartialCsum { start, offset: 16 }),
            csum_valid: false,
            gso,
            hash: None,
        };
        rig.inject([(outer.clone(), debt(84, gso))]);
        let left = gso.map(|gso| Gso { hdr_len: 54, ..gso });
        assert_eq!(rig.sent(2), [(inner.clone(), debt(34, left))]);
        assert_eq!(debt(34, None), owed);
        // What is owed to the outer header goes with it; to be cut, it has to be taken off before.
        let header =
            Offload { partial_csum: Some(PartialCsum { start: 34, offset: 6 }), csum_valid: false, gso, hash: None };
        rig.inject([(outer, header)]);
        assert_eq!(rig.sent(2), if gso.is_none() { vec![plain(inner)] } else { vec![] });
    }
}

#[test]
fn tags_move_the_debts() {
    let (frame, offload) = partial(tcp4(1, 2, &[7; 3000]), 34, 16);
    let gso = Some(Gso { kind: 1, size: 1448, hdr_len: 54 });
    let frame = (frame, packet::Offload { gso, ..offload });
    let push = |tpid, vid: u16| Action::PushVlan { tpid, tci: 0x1000 | vid };
    let tagged = one(&[push(0x8100, 5), push(0x88a8, 6), Action::Output(2)], frame.clone());
    assert_eq!(tagged.0[12..22], [0x88, 0xa8, 0, 6, 0x81, 0, 0, 5, 8, 0]);
    assert_eq!(tagged.1.partial_csum, Some(PartialCsum { start: 42, offset: 16 }));
    assert_eq!(tagged.1.gso, Some(Gso { kind: 1, size: 1448, hdr_len: 62 }));
    assert_eq!(one(&[Action::PopVlan, Action::PopVlan, Action::PopVlan, Action::Output(2)], tagged), frame);
}

/// One tag is known by default, two are at most: what was behind those that came in is found behind those pushed as well.
#[test]
fn headers_are_found_behind_more_tags_than_are_known() {
    let inner = tcp4(1, 2, b"hello");
    let changed = fill(ipv4(6, [0, 0, 0, 1], [10, 0, 0, 2], &tcp(1, 2, b"hello")), 50);
    let tagged = |frame: &[u8], tags: &[u8]| {
        let mut frame = frame.to_vec();
        for vid in tags {
            frame.splice(12..12, [0x81, 0, 0, *vid]);
        }
        frame
    };
    let push = |vid: u16| Action::PushVlan { tpid: 0x8100, tci: 0x1000 | vid };
    let label = Action::PushMpls { lse: 0x140, ethertype: 0x8847 };
    for max_vlans in [1, 2] {
        let came: Vec<u8> = (1..=max_vlans as u8).collect();
        let run = |actions: &[Action]| {
            let mut rig = Rig::new(Config { max_vlans, ..Config::default() });
            rig.install_any(&[actions, &[Action::Output(2)]].concat());
            rig.inject([plain(tagged(&inner, &came))]);
            rig.sent(2).remove(0).0
        };
        let with = |more: &[u8]| [&came, more].concat();
        assert_eq!(run(&[push(8), set_nw_src(1)]), tagged(&changed, &with(&[8])));
        assert_eq!(run(&[push(8), push(9), set_nw_src(1), Action::PopVlan]), tagged(&changed, &with(&[8])));
        assert_eq!(
            run(&[Action::PopVlan, push(8), set_nw_src(1)]),
            tagged(&changed, &[&came[..came.len() - 1], &[8]].concat())
        );
        let mut labelled = inner.clone();
        labelled.splice(12..14, [0x88, 0x47, 0, 0, 1, 0x40]);
        assert_eq!(run(&[push(8), label.clone()]), tagged(&labelled, &with(&[8])));
        let pop = Action::PopMpls { ethertype: 0x800 };
        assert_eq!(run(&[push(8), label.clone(), pop, set_nw_src(1)]), tagged(&changed, &with(&[8])));
    }
}

/// Addresses and ports written leave every kind of checksum right.
#[test]
fn written_fields_keep_checksums_right() {
    let v4 = set(SetGroup::Ipv4, |k, m| {
        k.set_nw_src(0xc0a8_1234);
        m.set_nw_src(u32::MAX);
        k.set_nw_dst(0x0000_00ff);
        m.set_nw_dst(0xff);
        k.set_nw_tos(0xb8);
        m.set_nw_tos(0xfc);
        k.set_nw_ttl(63);
        m.set_nw_ttl(0xff);
    });
    let v6 = set(SetGroup::Ipv6, |k, m| {
        k.set_ipv6_src(0x2001_0db8 << 96 | 77);
        m.set_ipv6_src(u128::MAX);
        k.set_ipv6_dst(0xff);
        m.set_ipv6_dst(0xff);
        k.set_ipv6_label(0xabcde);
        m.set_ipv6_label(0xfffff);
        k.set_nw_tos(0xb8);
        m.set_nw_tos(0xfc);
        k.set_nw_ttl(9);
        m.set_nw_ttl(0xff);
    });
    let ports = |group| {
        set(group, |k, m| {
            k.set_tp_src(4444);
            m.set_tp_src(u16::MAX);
            k.set_tp_dst(0x00ff);
            m.set_tp_dst(0x00ff);
        })
    };
    let (src, dst) = ([10, 0, 0, 1], [10, 0, 0, 2]);
    // Group, transport payload, its protocol, offset of its checksum.
    let cases = [(SetGroup::Tcp, tcp(1000, 2000, &[3; 77]), 6, 16), (SetGroup::Udp, udp(1000, 2000, &[5; 78]), 17, 6)];
    for (group, payload, proto, offset) in cases {
        for (frame, l4, write) in [(ipv4(proto, src, dst, &payload), 34, &v4), (ipv6(proto, &payload), 54, &v6)] {
            let actions = [write.clone(), ports(group), Action::Output(2)];
            let whole = one(&actions, plain(fill(frame.clone(), l4 + offset))).0;
            assert_eq!(transport_checksum(&whole), 0, "{group:?} at {l4}: the checksum is wrong");
            if l4 == 34 {
                assert_eq!(packet::checksum::of(&whole[14..34]), 0, "the IPv4 header's checksum is wrong");
                assert_eq!(whole[26..34], [0xc0, 0xa8, 0x12, 0x34, 10, 0, 0, 0xff]);
                assert_eq!((whole[15], whole[22]), (0xb8, 63));
            } else {
                assert_eq!(whole[14..18], [0x6b, 0x8a, 0xbc, 0xde]);
                assert_eq!((whole[21], whole[22], whole[53]), (9, 0x20, 0xff));
            }
            assert_eq!(whole[l4..l4 + 4], [0x11, 0x5c, 7, 0xff], "2000 is 0x7d0");
            let owing = one(&actions, partial(frame, l4 as u16, offset as u16));
            assert!(owing.1.partial_csum.is_some());
            assert_eq!(settled(&owing), whole, "{group:?} at {l4}: the partial checksum went wrong");
        }
    }
}

#[test]
fn a_datagram_without_checksum_keeps_none_and_none_becomes_zero() {
    let bare = ipv4(17, [10, 0, 0, 1], [10, 0, 0, 2], &udp(1, 2, b"abcd"));
    let out = one(&[set_nw_src(5), Action::Output(2)], plain(bare.clone())).0;
    assert_eq!(out[40..42], [0, 0]);
    // A source address chosen so that the sum comes out as zero.
    let frame = fill(bare, 40);
    let csum = u16::from_be_bytes([frame[40], frame[41]]);
    let wanted = u32::from(0x0a00_u16) << 16 | u32::from(csum.wrapping_add(1));
    let out = one(&[set_nw_src(wanted), Action::Output(2)], plain(frame)).0;
    assert_eq!(out[40..42], [0xff, 0xff], "{csum:#x}");
    assert_eq!(transport_checksum(&out), 0);
}

#[test]
fn the_checksum_of_sctp_follows_its_ports() {
    let packet = |sport: u8, csum: [u8; 4]| {
        let mut p = vec![0, sport, 0, 8, 0, 0, 0, 9];
        p.extend(csum);
        p.extend(b"data");
        p
    };
    let right = |sport| packet::sctp::crc(&packet(sport, [0; 4])).to_be_bytes();
    let write = set(SetGroup::Sctp, |k, m| {
        k.set_tp_src(1);
        m.set_tp_src(u16::MAX);
    });
    let frame = ipv4(132, [10, 0, 0, 1], [10, 0, 0, 2], &packet(7, right(7)));
    let out = one(&[write, Action::Output(2)], plain(frame)).0;
    assert_eq!(out[34..], packet(1, right(1)));
}

#[test]
fn fragments_have_no_ports() {
    let mut later = ipv4(6, [10, 0, 0, 1], [10, 0, 0, 2], &[0x55; 64]);
    later[20..22].copy_from_slice(&[0, 9]);
    later[24..26].fill(0);
    let csum = packet::checksum::of(&later[14..34]).to_be_bytes();
    later[24..26].copy_from_slice(&csum);
    let out = one(&[set_nw_src(1), Action::Output(2)], plain(later.clone())).0;
    assert_eq!(out[34..], later[34..], "the payload is not touched");
    assert_eq!(packet::checksum::of(&out[14..34]), 0);
    let out = one(&[set_tcp_dst(9), Action::Output(2)], plain(later.clone())).0;
    assert_eq!(out, later, "ports that are not there are not written");
}

#[test]
fn arp_icmp_and_neighbour_discovery_are_written() {
    let mut arp = ETH.to_vec();
    arp.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 2, 10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 10, 0, 0, 2]);
    let write = set(SetGroup::Arp, |k, m| {
        k.set_nw_proto(2);
        m.set_nw_proto(0xff);
        k.set_arp_tha(0x0a0b_0c0d_0e0f);
        m.set_arp_tha(0xffff_ffff_ffff);
    });
    let out = one(&[write, Action::Output(2)], plain(arp.clone())).0;
    assert_eq!((&out[20..22], &out[32..38]), (&[0, 2][..], &[10, 11, 12, 13, 14, 15][..]));
    assert_eq!(out[22..32], arp[22..32]);

    // Addresses that are not of Ethernet and IPv4, or an operation beyond an octet, are in no key: what is not named stays.
    let write = set(SetGroup::Arp, |k, m| {
        k.set_arp_sha(0x0a0b_0c0d_0e0f);
        m.set_arp_sha(0xffff_ffff_ffff);
    });
    for (at, octet) in [(15, 6), (18, 5), (20, 1)] {
        let mut odd = arp.clone();
        odd[at] = octet;
        let out = one(&[write.clone(), Action::Output(2)], plain(odd.clone())).0;
        odd[22..28].copy_from_slice(&[10, 11, 12, 13, 14, 15]);
        assert_eq!(out, odd);
    }

    let mut ns = vec![135, 0, 0, 0, 0, 0, 0, 0];
    ns.extend([0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9]);
    ns.extend([1, 1, 2, 0, 0, 0, 0, 2]);
    let write = set(SetGroup::Nd, |k, m| {
        k.set_nd_target(7);
        m.set_nd_target(u128::MAX);
        k.set_arp_sha(0x0a0b_0c0d_0e0f);
        m.set_arp_sha(0xffff_ffff_ffff);
    });
    let out = one(&[write.clone(), Action::Output(2)], plain(fill(ipv6(58, &ns), 56))).0;
    assert_eq!(transport_checksum(&out), 0);
    assert_eq!((out[77], &out[80..86]), (7, &[10, 11, 12, 13, 14, 15][..]));
    // What looks like an option behind the packet's end is none of its own.
    let option = ns.split_off(24);
    let padded = [fill(ipv6(58, &ns), 56), option.clone()].concat();
    let out = one(&[write, Action::Output(2)], plain(padded)).0;
    assert_eq!(transport_checksum(&out[..78]), 0);
    assert_eq!((out[77], &out[78..]), (7, &option[..]));
}

#[test]
fn labels_come_and_go() {
    let frame = plain(tcp4(1, 2, b"hello"));
    let push = |lse| Action::PushMpls { lse, ethertype: 0x8847 };
    let out = one(&[push(0x0001_41ff), push(0x0002_40ff), Action::Output(2)], frame.clone());
    assert_eq!(out.0[12..22], [0x88, 0x47, 0, 2, 0x40, 0xff, 0, 1, 0x41, 0xff]);
    let write = set(SetGroup::Mpls, |k, m| {
        k.set_mpls_lse0(0xff);
        m.set_mpls_lse0(0xff00_00ff);
    });
    let pop = |ethertype| Action::PopMpls { ethertype };
    let back = one(&[pop(0x8847), write, Action::Output(2)], out.clone());
    assert_eq!(back.0[12..18], [0x88, 0x47, 0, 1, 0x41, 0xff]);
    assert_eq!(one(&[pop(0x8847), pop(0x800), pop(0x800), Action::Output(2)], out), frame);
    // A frame without any is left alone, however long.
    let long = plain([&ETH[..], &[0x12, 0x34], &[7; 65_540]].concat());
    let write = set(SetGroup::Mpls, |k, m| {
        k.set_mpls_lse0(0xff);
        m.set_mpls_lse0(u32::MAX);
    });
    assert!(one(&[write, Action::Output(2)], long.clone()) == long);
    // Behind a tag.
    let tag = Action::PushVlan { tpid: 0x8100, tci: 0x1003 };
    let out = one(&[tag, push(0x141ff), Action::Output(2)], frame);
    assert_eq!(out.0[12..22], [0x81, 0, 0, 3, 0x88, 0x47, 0, 1, 0x41, 0xff]);
}

#[test]
fn labels_come_in_front_of_frames() {
    let frame = plain(tcp4(1, 2, b"hello"));
    let add = |lse| Action::AddMpls { lse, ethertype: 0x8847 };
    let eth = Action::PushEth { src: 0x0a0b_0c0d_0e0f, dst: 1 };
    let out = one(&[add(0x0003_0140), add(0x0004_0040), eth, Action::Output(2)], frame.clone());
    assert_eq!(out.0[..14], [0, 0, 0, 0, 0, 1, 10, 11, 12, 13, 14, 15, 0x88, 0x47]);
    assert_eq!(out.0[14..22], [0, 4, 0, 0x40, 0, 3, 1, 0x40]);
    assert_eq!(out.0[22..], frame.0[..]);
    let pop = |ethertype| Action::PopMpls { ethertype };
    assert_eq!(one(&[Action::PopEth, pop(0x8847), pop(0x6558), Action::Output(2)], out), frame);
}

#[test]
fn headers_are_wrapped_in_nsh_and_unwrapped() {
    let frame = plain(tcp4(1, 2, b"hello"));
    let nsh = PushNsh { flags: 0, ttl: 63, mdtype: 1, np: 3, path_hdr: 0x102ff, context: [1, 2, 3, 4], md2: vec![] };
    let eth = Action::PushEth { src: 0x0a0b_0c0d_0e0f, dst: 1 };
    let out = one(&[Action::PushNsh(Box::new(nsh)), eth, Action::Output(2)], frame.clone());
    assert_eq!(out.0[..14], [0, 0, 0, 0, 0, 1, 10, 11, 12, 13, 14, 15, 0x89, 0x4f]);
    assert_eq!(out.0[14..22], [0x0f, 0xc6, 1, 3, 0, 1, 2, 0xff]);
    assert_eq!(one(&[Action::PopEth, Action::PopNsh, Action::Output(2)], out), frame);
    // A tag goes with the Ethernet header.
    let tag = Action::PushVlan { tpid: 0x8100, tci: 0x1003 };
    let out = one(&[tag, Action::PopEth, Action::PushEth { src: 1, dst: 2 }, Action::Output(2)], frame.clone());
    assert_eq!((&out.0[11..14], &out.0[14..]), (&[1, 8, 0][..], &frame.0[14..]));
    // An Ethernet header is not pushed twice.
    assert_eq!(through(&[Action::PushEth { src: 1, dst: 1 }, Action::Output(2)], frame), []);
}

#[test]
fn debts_are_settled_for_ports_that_do_not_take_them() {
    let mut rig = Rig::new(Config::default());
    rig.install_any(&[Action::Output(4), Action::Output(2)]);
    let payload: Vec<u8> = (0..3000u32).map(|i| i as u8).collect();
    let (frame, offload) = partial(tcp4(1, 2, &payload), 34, 16);
    let large = (frame, packet::Offload { gso: Some(Gso { kind: 1, size: 1448, hdr_len: 54 }), ..offload });
    rig.inject([large.clone(), partial(tcp4(1, 2, b"abc"), 34, 16)]);
    assert_eq!(rig.sent(2)[0], large, "the other port gets it as it is");
    let sent = rig.sent(4);
    assert_eq!(sent.iter().map(|f| f.0.len()).collect::<Vec<_>>(), [1502, 1502, 54 + 104, 57]);
    let joined: Vec<u8> = sent[..3].iter().flat_map(|f| f.0[54..].to_vec()).collect();
    assert!(joined == payload && sent.iter().all(|f| transport_checksum(&f.0) == 0));
    assert_eq!(sent[3].0, tcp4(1, 2, b"abc"));
}

#[test]
fn truncation_cuts_the_next_output_alone() {
    let frame = plain(tcp4(1, 2, &[1; 200]));
    let mut rig = Rig::new(Config::default());
    rig.install_any(&[Action::Trunc(100), Action::Output(2), Action::Output(3), Action::Trunc(900), Action::Output(1)]);
    rig.inject([frame.clone()]);
    assert_eq!(rig.sent(2), [plain(frame.0[..100].to_vec())]);
    assert_eq!((rig.sent(3), rig.sent(1)), (vec![frame.clone()], vec![frame.clone()]));
    // What owes is settled before.
    rig.inject([partial(frame.0.clone(), 34, 16)]);
    assert_eq!(rig.sent(2)[0].0, frame.0[..100]);
}

#[test]
fn truncation_leaves_off_what_was_too_much_when_it_was_asked_for() {
    let tag = Action::PushVlan { tpid: 0x8100, tci: 0x1007 };
    let mut rig = Rig::new(Config::default());
    rig.install_any(&[Action::Trunc(100), tag.clone(), Action::Output(2)]);
    rig.inject([plain(tcp4(1, 2, &[1; 200])), plain(tcp4(1, 2, &[1; 46]))]);
    assert_eq!(rig.sent(2).iter().map(|f| f.0.len()).collect::<Vec<_>>(), [104, 104]);
    let mut rig = Rig::new(Config::default());
    rig.install_any(&[tag, Action::Trunc(100), Action::PopVlan, Action::Output(2)]);
    rig.inject([plain(tcp4(1, 2, &[1; 200]))]);
    assert_eq!(rig.sent(2)[0].0.len(), 96);
}

/// The outer header tells of what is left, as in Open vSwitch.
#[test]
fn truncation_comes_before_a_tunnel() {
    let text = "trunc(100),tnl_push(tnl_port(9),header(size=42,type=3,eth(dst=f8:bc:12:44:34:b6,src=aa:55:aa:55:00:00,\
                dl_type=0x0800),ipv4(src=1.1.2.88,dst=1.1.2.92,proto=47,tos=0x4,ttl=64,frag=0x4000),gre((flags=0x2000,\
                proto=0x6558),key=0x1c8)),out_port(1)),2";
    let inner = tcp4(1, 2, &[1; 200]);
    for frame in [plain(inner.clone()), partial(inner.clone(), 34, 16)] {
        let mut rig = Rig::new(Config::default());
        rig.install_any(&flow::odp_text::parse_actions(text, None).expect("actions"));
        rig.inject([frame]);
        let sent = rig.sent(2).remove(0);
        assert_eq!((sent.0.len(), sent.1), (142, packet::Offload::default()));
        assert_eq!(sent.0[16..18], 128u16.to_be_bytes(), "its IP length");
        assert!(packet::checksum::of(&sent.0[14..34]) == 0 && sent.0[42..] == inner[..100]);
    }
}

/// What has become of a packet since it came changes neither the tunnel's UDP source port nor what groups choose.
#[test]
fn a_packet_keeps_the_hash_that_it_came_with() {
    let push = "tnl_push(tnl_port(9),header(size=50,type=4,eth(dst=f8:bc:12:44:34:b6,src=aa:55:aa:55:00:00,dl_type=0x0800),\
                ipv4(src=1.1.2.88,dst=1.1.2.92,proto=17,tos=0x4,ttl=64,frag=0x4000),udp(src=0,dst=4789,csum=0x0),\
                vxlan(flags=0x8000000,vni=0x7b)),out_port(1)),2";
    let source = |before: &str| {
        let mut rig = Rig::new(Config::default());
        rig.install_any(&flow::odp_text::parse_actions(&format!("{before}{push}"), None).expect("actions"));
        rig.inject([plain(tcp4(1, 2, b"hello"))]);
        u16::from_be_bytes(rig.sent(2).remove(0).0[34..36].try_into().expect("a port"))
    };
    let plain = source("");
    for before in [
        "set(ipv4(src=7.7.7.7)),",
        "set(tcp(dst=9)),",
        "push_mpls(label=7,tc=0,ttl=64,bos=1,eth_type=0x8847),",
        "push_vlan(vid=5,pcp=0),pop_vlan,set(ipv4(dst=9.9.9.9)),",
        "ct(commit,nat(src=9.9.9.9:5000-60000)),",
        "pop_eth,",
    ] {
        assert_eq!(source(before), plain, "{before}");
    }
}

/// Units of 100 µs of the wall clock, as in Open vSwitch.
#[test]
fn erspan_tells_the_time() {
    let text = "tnl_push(tnl_port(9),header(size=54,type=107,eth(dst=f8:bc:12:44:34:b6,src=aa:55:aa:55:00:00,\
                dl_type=0x0800),ipv4(src=1.1.2.88,dst=1.1.2.92,proto=47,tos=0x4,ttl=64,frag=0x4000),erspan(ver=2,sid=0x7,\
                dir=1,hwid=0x4)),out_port(1)),2";
    let mut rig = Rig::new(Config::default());
    rig.install_any(&flow::odp_text::parse_actions(text, None).expect("actions"));
    rig.dp.set_wall(rig.now_us, 1_795_942_476_000_000);
    rig.inject([plain(tcp4(1, 2, b"hello"))]);
    let sent = rig.sent(2).remove(0).0;
    let stamp = u32::from_be_bytes(*sent[46..].first_chunk().expect("a header"));
    assert!(stamp.wrapping_sub((1_795_942_476u64 * 10_000) as u32) <= 10_000, "{stamp:#x}");
}

#[test]
fn clones_do_not_change_the_original() {
    let clone = Action::Clone([set_nw_src(9), Action::Output(3)].as_slice().into());
    let mut rig = Rig::new(Config::default());
    rig.install_any(&[clone.clone(), Action::Output(2), set_nw_src(8), clone]);
    rig.inject([plain(tcp4(1, 2, b"x"))]);
    assert_eq!(rig.sent(2), [plain(tcp4(1, 2, b"x"))]);
    let sources: Vec<_> = rig.sent(3).iter().map(|f| f.0[29]).collect();
    assert_eq!(sources, [9, 9]);
}

#[test]
fn samples_and_lengths_choose() {
    let out = |port| [Action::Output(port)].as_slice().into();
    let sample = |probability| Action::Sample { probability, actions: out(3) };
    let check = Action::CheckPktLen { len: 100, greater: out(1), less_equal: out(2) };
    let mut rig = Rig::new(Config { seed: 5, ..Config::default() });
    rig.install_any(&[sample(u32::MAX / 4), check]);
    rig.inject((0..4000).map(|_| plain(tcp4(1, 2, &[0; 46]))));
    let sampled = rig.sent(3).len();
    assert!((800..1200).contains(&sampled), "{sampled}");
    assert_eq!((rig.sent(1).len(), rig.sent(2).len()), (0, 4000));
    rig.inject([plain(tcp4(1, 2, &[0; 47]))]);
    assert_eq!((rig.sent(1).len(), rig.sent(2).len()), (1, 0));
    for (probability, n) in [(0, 0), (u32::MAX, 1)] {
        let actions = Action::Sample { probability, actions: out(2) };
        assert_eq!(through(&[actions], plain(tcp4(1, 2, b"x"))).len(), n);
    }
}

#[test]
fn packets_go_round_as_often_as_is_good() {
    let mut rig = Rig::new(Config::default());
    let hash = Action::Hash { alg: HashAlg::L4, basis: 1 };
    rig.install_any(&[hash, Action::Recirc(5), Action::Output(2)]);
    rig.inject([plain(tcp4(1, 2, b"x"))]);
    let upcalls = rig.take_upcalls();
    assert_eq!(upcalls.len(), 1, "nobody knows what to do in round 5");
    let key = &upcalls[0].key;
    assert_eq!((key.recirc_id(), key.dp_hash() != 0, key.tp_dst()), (5, true, 2));
    rig.install_recirc(5, &[Action::PopVlan, Action::Recirc(5)]);
    rig.inject([plain(tcp4(1, 2, b"x"))]);
    let stats = rig.dp.stats();
    assert_eq!((stats.dropped(Drop::RecirculationLimit), stats.recirculated), (1, 7));
    assert_eq!(rig.sent(2).len(), 2, "the clone that did not go round came out");
}

/// A packet that has to be decided upon in each round goes round no more often than one whose flows are there.
#[test]
fn rounds_count_where_each_is_decided_upon() {
    let mut rig = Rig::new(Config::default());
    rig.inject([plain(tcp4(1, 2, b"x"))]);
    for round in 1.. {
        let Some(upcall) = rig.upcalls.pop() else { break };
        assert!(round < 100, "it still goes round");
        let actions: flow::Actions = [Action::Recirc(round), Action::Output(2)].as_slice().into();
        let answers = [(1, upcall.ticket)];
        let execute = Execute { packet: upcall.packet, key: upcall.key, actions };
        rig.dp.execute(vec![execute], rig.now_us, &mut rig.upcalls);
        rig.dp.upcalls_answered(&answers, rig.now_us, &mut rig.upcalls);
    }
    let stats = rig.dp.stats();
    assert_eq!((stats.dropped(Drop::RecirculationLimit), stats.recirculated), (1, 6));
    assert_eq!(rig.sent(2).len(), 7);
}

#[test]
fn meters_drop_and_remark() {
    let mut rig = Rig::new(Config::default());
    let band = |kind, rate| Band { kind, rate, burst_size: 0 };
    let bands = vec![band(BandKind::DscpRemark { prec_level: 1 }, 3), band(BandKind::Drop, 6)];
    rig.dp.set_meter(1, MeterConfig { pktps: true, bands }, rig.now_us);
    rig.install_any(&[Action::Meter(1), Action::Meter(77), Action::Output(2)]);
    let mut frame = tcp4(1, 2, b"x");
    frame[15] = 10 << 2 | 1;
    frame[24..26].fill(0);
    let csum = packet::checksum::of(&frame[14..34]).to_be_bytes();
    frame[24..26].copy_from_slice(&csum);
    rig.inject(vec![plain(frame); 10]);
    let sent = rig.sent(2);
    let tos: Vec<_> = sent.iter().map(|f| (f.0[15] >> 2, f.0[15] & 3)).collect();
    assert_eq!(tos, [(10, 1), (10, 1), (10, 1), (12, 1), (12, 1), (12, 1)]);
    assert!(sent.iter().all(|f| packet::checksum::of(&f.0[14..34]) == 0));
    assert_eq!(rig.dp.stats().dropped(Drop::Meter), 4);
    assert_eq!(rig.dp.meter(1).unwrap().stats().packets, 10);
    assert!(rig.dp.delete_meter(1).is_some() && rig.dp.meter(1).is_none());
}

#[test]
fn actions_hand_up_with_their_note() {
    let cookie = Cookie::SlowPath { reason: 4 };
    let note = Userspace { pid: 0, cookie: cookie.clone(), actions: false, tunnel_out_port: None };
    let mut rig = Rig::new(Config { upcall_quota: 2, ..Config::default() });
    rig.install_any(&[
        Action::PushVlan { tpid: 0x8100, tci: 0x1007 },
        Action::Trunc(60),
        Action::Userspace(Box::new(note)),
    ]);
    rig.inject((0..3).map(|_| partial(tcp4(1, 2, &[0; 100]), 34, 16)));
    assert_eq!(rig.upcalls.len(), 2);
    assert_eq!(rig.upcalls[0].kind, UpcallKind::Action(cookie));
    assert_eq!((rig.upcalls[0].packet.len(), rig.upcalls[0].key.vlan_tci()), (60, 0x1007));
    assert_eq!(rig.dp.stats().dropped(Drop::UserspaceActionLost), 1);
}

#[test]
fn bonds_spread_by_hash() {
    let mut rig = Rig::new(Config::default());
    let members: [u32; 256] = std::array::from_fn(|i| 2 + i as u32 % 2);
    rig.dp.set_bond(9, &members);
    rig.install_any(&[Action::LbOutput(9)]);
    rig.inject((0..512).map(|i| plain(tcp4(i, 2, b"x"))));
    let (a, b) = (rig.sent(2).len(), rig.sent(3).len());
    assert!(a + b == 512 && a > 150 && b > 150, "{a} and {b}");
    assert_eq!(rig.dp.bond_bytes(9).unwrap().iter().sum::<u64>(), 512 * 55);
    assert!(rig.dp.delete_bond(9) && rig.dp.bonds().is_empty());
    rig.inject([plain(tcp4(1, 2, b"x"))]);
    assert_eq!(rig.dp.stats().dropped(Drop::NoBond), 1);
}

#[test]
fn drops_are_counted_by_reason() {
    let cases: Vec<(Vec<Action>, Drop)> = vec![
        (vec![], Drop::Flow),
        (vec![Action::Output(99)], Drop::NoPort),
        (
            vec![Action::Drop(flow::odp::DropReason::TooManyResubmit)],
            Drop::Translation(flow::odp::DropReason::TooManyResubmit),
        ),
        (vec![Action::TnlPop(3)], Drop::NoTunnel),
        (vec![Action::PopNsh, Action::Output(2)], Drop::InvalidAction),
    ];
    for (actions, why) in cases {
        let mut rig = Rig::new(Config::default());
        rig.install_any(&actions);
        rig.inject([plain(tcp4(1, 2, b"x")), plain(vec![1; 13])]);
        assert_eq!(rig.dp.stats().dropped(why), 1, "{why:?}");
        assert_eq!(rig.dp.stats().dropped(Drop::TooShort), 1);
        assert_eq!(rig.dp.stats().drops.iter().sum::<u64>(), 2);
        assert_eq!(rig.sent(2), []);
    }
}

#[test]
fn packets_from_above_are_acted_upon() {
    let mut rig = Rig::new(Config::default());
    rig.install_recirc(3, &[Action::Output(3)]);
    let mut key = Key::EMPTY;
    key.set_in_port(1);
    let packet = PacketBuf::new(&tcp4(1, 2, b"x"));
    let actions = vec![Action::Output(2), set_nw_src(7), Action::Recirc(3)].into();
    let execute = Execute { packet, key: Box::new(key), actions };
    rig.dp.execute(vec![execute.clone(), execute], rig.now_us, &mut rig.upcalls);
    assert_eq!(rig.sent(2), vec![plain(tcp4(1, 2, b"x")); 2]);
    assert_eq!(rig.sent(3)[0].0, fill(ipv4(6, [0, 0, 0, 7], [10, 0, 0, 2], &tcp(1, 2, b"x")), 50));
}
