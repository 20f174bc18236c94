//! Whatever frames and actions come together: nothing panics, every packet is accounted for, and what owes nothing has
//! right checksums if it had right ones.

mod common;

use common::*;
use dp::Config;
use flow::odp::{Cookie, Ct, CtNat, HashAlg, InertGroup, MaskedWord, PushNsh, Set, SetGroup, Userspace};
use flow::{Action, Mask};
use packet::{Gso, Offload, PartialCsum};
use proptest::prelude::*;

fn v6_with_extensions() -> Vec<u8> {
    let mut payload = vec![43, 0, 0, 0, 0, 0, 0, 0];
    payload.extend([6, 2, 0, 1, 0, 0, 0, 0]);
    payload.extend([0xfd; 16]);
    payload.extend(tcp(1, 2, b"hello"));
    ipv6(0, &payload)
}

fn nd() -> Vec<u8> {
    let mut m = vec![135, 0, 0, 0, 0, 0, 0, 0];
    m.extend([0xfe; 16]);
    m.extend([1, 1, 2, 0, 0, 0, 0, 2, 2, 1, 2, 0, 0, 0, 0, 3]);
    fill(ipv6(58, &m), 56)
}

fn error() -> Vec<u8> {
    let mut m = vec![3, 1, 0, 0, 0, 0, 0, 0];
    m.extend(&fill(ipv4(17, [10, 0, 0, 2], [10, 0, 0, 1], &udp(2, 1, b"data")), 40)[14..]);
    let csum = packet::checksum::of(&m).to_be_bytes();
    m[2..4].copy_from_slice(&csum);
    ipv4(1, [10, 0, 0, 9], [10, 0, 0, 2], &m)
}

fn wrapped(ethertype: [u8; 2], header: &[u8]) -> Vec<u8> {
    let mut f = ETH.to_vec();
    f.extend(ethertype);
    f.extend(header);
    f.extend(&tcp4(1, 2, b"hello")[14..]);
    f
}

/// A fragment of a datagram of 24 octets, in three parts.
fn fragment(part: u8, is_v6: bool) -> Vec<u8> {
    let whole = udp(1, 2, b"sixteen octets !");
    let at = usize::from(part % 3) * 8;
    let (piece, more) = (&whole[at..at + 8], at < 16);
    if is_v6 {
        let field = (at as u16 | u16::from(more)).to_be_bytes();
        let mut payload = vec![60, 0, 1, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7];
        (payload[0], payload[8]) = (44, 17);
        payload[10..12].copy_from_slice(&field);
        payload.extend(piece);
        return ipv6(60, &payload);
    }
    let mut f = ipv4(17, [10, 0, 0, 1], [10, 0, 0, 2], piece);
    f[20..22].copy_from_slice(&(u16::from(more) << 13 | (at / 8) as u16).to_be_bytes());
    f[24..26].fill(0);
    let csum = packet::checksum::of(&f[14..34]).to_be_bytes();
    f[24..26].copy_from_slice(&csum);
    f
}

fn frame() -> impl Strategy<Value = Frame> {
    let whole = prop_oneof![
        Just(tcp4(1, 2, &[1; 100])),
        Just(fill(ipv4(17, [10, 0, 0, 1], [10, 0, 0, 2], &udp(1, 2, b"data")), 40)),
        Just(fill(ipv6(17, &udp(1, 2, b"data")), 60)),
        Just(ipv4(132, [10, 0, 0, 1], [10, 0, 0, 2], &[7; 40])),
        Just(v6_with_extensions()),
        (any::<u8>(), any::<bool>()).prop_map(|(part, is_v6)| fragment(part, is_v6)),
        Just(tcp4(1, 21, b"PORT 10,0,0,1,10,20\r\n")),
        Just(nd()),
        Just(error()),
        Just(wrapped([0x81, 0], &[0, 5, 8, 0])),
        Just(wrapped([0x88, 0x47], &[0, 1, 1, 64])),
        Just(wrapped([0x89, 0x4f], &[0x0f, 0xc6, 1, 3, 0, 1, 2, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])),
    ];
    let noise = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    let offload = (any::<bool>(), any::<bool>(), 0u16..200, 0u16..30, 0u8..8, 0u16..2000);
    (whole, noise, any::<prop::sample::Index>(), prop::bool::weighted(0.3), offload).prop_map(
        |(mut frame, noise, len, is_cut, (has_sum, has_gso, start, offset, kind, size))| {
            for (at, octet) in noise {
                let at = at.index(frame.len());
                frame[at] = octet;
            }
            if is_cut {
                frame.truncate(len.index(frame.len()));
            }
            let offload = Offload {
                partial_csum: has_sum.then_some(PartialCsum { start, offset }),
                csum_valid: !has_sum,
                gso: has_gso.then_some(Gso { kind, size, hdr_len: start }),
                hash: None,
            };
            (frame, offload)
        },
    )
}

const GROUPS: [SetGroup; 17] = [
    SetGroup::SkbPriority,
    SetGroup::SkbMark,
    SetGroup::Tunnel,
    SetGroup::Eth,
    SetGroup::Mpls,
    SetGroup::Ipv4,
    SetGroup::Ipv6,
    SetGroup::Arp,
    SetGroup::Tcp,
    SetGroup::Udp,
    SetGroup::Sctp,
    SetGroup::Icmp,
    SetGroup::Icmpv6,
    SetGroup::Nd,
    SetGroup::NdExtensions,
    SetGroup::Nsh,
    SetGroup::Inert(InertGroup::InPort),
];

fn ct(commit: bool, zone: u16, src: Option<bool>) -> Action {
    let ip_min = Some([192, 0, 2, 1].into());
    let nat = Some(CtNat { src, ip_min, ..CtNat::default() });
    let helper = (zone == 1).then_some("ftp");
    Action::Ct(Box::new(Ct { commit, zone, nat, helper, ..Ct::default() }))
}

fn action() -> impl Strategy<Value = Action> {
    let set =
        (0..GROUPS.len(), prop::collection::vec((0u8..84, any::<u64>(), any::<u64>()), 0..3)).prop_map(|(g, words)| {
            let words =
                words.into_iter().map(|(word, value, mask)| MaskedWord { word, value: value & mask, mask }).collect();
            Action::Set(Set { group: GROUPS[g], words, tunnel: None })
        });
    let nsh = (any::<u8>(), any::<u8>(), 0usize..70).prop_map(|(mdtype, np, len)| {
        let md2 = vec![1; len * 4];
        Action::PushNsh(Box::new(PushNsh { flags: 0, ttl: 1, mdtype, np, path_hdr: 1, context: [0; 4], md2 }))
    });
    let note = Userspace { pid: 0, cookie: Cookie::SlowPath { reason: 1 }, actions: false, tunnel_out_port: None };
    let leaf = prop_oneof![
        3 => (0u32..6).prop_map(Action::Output),
        4 => set,
        1 => (0u32..200).prop_map(Action::Trunc),
        1 => Just(Action::Userspace(Box::new(note))),
        2 => any::<u16>().prop_map(|tci| Action::PushVlan { tpid: 0x8100, tci }),
        2 => Just(Action::PopVlan),
        2 => any::<u32>().prop_map(|lse| Action::PushMpls { lse, ethertype: 0x8847 }),
        1 => any::<u32>().prop_map(|lse| Action::AddMpls { lse, ethertype: 0x8848 }),
        2 => prop_oneof![Just(0x800), Just(0x8847), Just(0x86dd), Just(0x6558)].prop_map(|ethertype| Action::PopMpls { ethertype }),
        1 => Just(Action::PushEth { src: 1, dst: 2 }),
        1 => Just(Action::PopEth),
        1 => nsh,
        1 => Just(Action::PopNsh),
        1 => (0u32..3).prop_map(Action::Recirc),
        1 => Just(Action::Hash { alg: HashAlg::SymL4, basis: 0 }),
        1 => Just(Action::Meter(1)),
        2 => (any::<bool>(), 0u16..2, prop::option::of(any::<bool>())).prop_map(|(c, z, s)| ct(c, z, s)),
        1 => Just(Action::CtClear),
    ];
    leaf.prop_recursive(2, 12, 4, |inner| {
        let list = prop::collection::vec(inner, 0..4).prop_map(flow::Actions::from);
        prop_oneof![
            list.clone().prop_map(Action::Clone),
            (any::<u32>(), list.clone()).prop_map(|(probability, actions)| Action::Sample { probability, actions }),
            (0u16..200, list.clone(), list).prop_map(|(len, greater, less_equal)| Action::CheckPktLen {
                len,
                greater,
                less_equal
            }),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_panics(
        frames in prop::collection::vec(frame(), 1..9),
        first in prop::collection::vec(action(), 0..8),
        second in prop::collection::vec(action(), 0..8),
        headroom in prop_oneof![Just(0usize), Just(32)],
    ) {
        let mut rig = Rig::with_headroom(Config { max_vlans: 2, ..Config::default() }, headroom);
        // However small.
        rig.dp.with_fragments(|f| f.families.iter_mut().for_each(|f| f.min_size = 0));
        rig.dp.set_meter(1, dp::MeterConfig { pktps: true, bands: vec![] }, 0);
        rig.install_any(&first);
        rig.install_recirc(1, &second);
        let n = frames.len() as u64;
        rig.inject(frames.clone());
        rig.inject(frames);
        let stats = rig.dp.stats();
        prop_assert_eq!(stats.received, 2 * n);
        prop_assert_eq!(stats.misses + stats.action_upcalls, rig.upcalls.len() as u64);
    }

    /// Fields that are written keep right what was right.
    #[test]
    fn checksums_stay_right(
        is_v6 in any::<bool>(),
        is_tcp in any::<bool>(),
        is_partial in any::<bool>(),
        addresses in prop::collection::vec((any::<u128>(), any::<u128>()), 2),
        ports in (1u16.., 1u16..),
        payload in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let (transport, proto, offset) = if is_tcp { (tcp(1, 2, &payload), 6, 16) } else { (udp(1, 2, &payload), 17, 6) };
        let (frame, l4) = if is_v6 {
            (ipv6(proto, &transport), 54)
        } else {
            (ipv4(proto, [10, 0, 0, 1], [10, 0, 0, 2], &transport), 34)
        };
        let mut mask = Mask::EMPTY;
        let mut key = flow::Key::EMPTY;
        let group = if is_v6 {
            key.set_ipv6_src(addresses[0].0);
            mask.set_ipv6_src(addresses[0].1);
            key.set_ipv6_dst(addresses[1].0);
            mask.set_ipv6_dst(addresses[1].1);
            SetGroup::Ipv6
        } else {
            key.set_nw_src(addresses[0].0 as u32);
            mask.set_nw_src(addresses[0].1 as u32);
            key.set_nw_dst(addresses[1].0 as u32);
            mask.set_nw_dst(addresses[1].1 as u32);
            SetGroup::Ipv4
        };
        let word = |(i, m): (usize, &u64)| (*m != 0).then(|| MaskedWord { word: i as u8, value: key.0[i] & m, mask: *m });
        let network = Action::Set(Set { group, words: mask.0.iter().enumerate().filter_map(word).collect(), tunnel: None });
        let mut mask = Mask::EMPTY;
        let mut key = flow::Key::EMPTY;
        key.set_tp_src(ports.0);
        mask.set_tp_src(u16::MAX);
        key.set_tp_dst(ports.1);
        mask.set_tp_dst(u16::MAX);
        let word = |(i, m): (usize, &u64)| (*m != 0).then(|| MaskedWord { word: i as u8, value: key.0[i] & m, mask: *m });
        let group = if is_tcp { SetGroup::Tcp } else { SetGroup::Udp };
        let ports = Action::Set(Set { group, words: mask.0.iter().enumerate().filter_map(word).collect(), tunnel: None });
        let frame = if is_partial { partial(frame, l4 as u16, offset as u16) } else { plain(fill(frame, l4 + offset)) };
        let out = through(&[network, ports, Action::Output(2)], frame);
        prop_assert_eq!(transport_checksum(&settled(&out[0])), 0);
    }
}
