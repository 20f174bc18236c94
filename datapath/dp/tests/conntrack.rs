//! Connections from their first packet to their last, as rules see them.

mod common;

use common::*;
use dp::Config;
use dp::ct::Tuple;
use flow::odp::{Ct, CtNat};
use flow::{Action, Key, ct_state as cs};

const A: [u8; 4] = [10, 0, 0, 1];
const B: [u8; 4] = [10, 0, 0, 2];

/// Everything goes through `ct` and is then handed up, as nobody knows what to do in round 1.
fn tracked(ct: Ct) -> Rig {
    tracked_by([ct])
}

/// The same, through each of them in turn.
fn tracked_by(cts: impl IntoIterator<Item = Ct>) -> Rig {
    let mut rig = Rig::new(Config::default());
    let mut actions: Vec<Action> = cts.into_iter().map(|ct| Action::Ct(Box::new(ct))).collect();
    actions.push(Action::Recirc(1));
    rig.install_any(&actions);
    rig
}

/// The key and the octets that come out.
fn pass(rig: &mut Rig, frame: Vec<u8>) -> (Key, Vec<u8>) {
    rig.inject([plain(frame)]);
    let mut upcalls = rig.take_upcalls();
    assert_eq!(upcalls.len(), 1, "one packet, one answer");
    let upcall = upcalls.remove(0);
    (*upcall.key, upcall.packet.data().to_vec())
}

fn state(rig: &mut Rig, frame: Vec<u8>) -> u8 {
    let state = pass(rig, frame).0.ct_state();
    assert_ne!(state & cs::TRK, 0);
    state & !cs::TRK
}

fn commit() -> Ct {
    Ct { commit: true, ..Ct::default() }
}

fn udp_frame(src: [u8; 4], dst: [u8; 4], sport: u16, dport: u16) -> Vec<u8> {
    fill(ipv4(17, src, dst, &udp(sport, dport, b"data")), 40)
}

fn segment(is_reply: bool, flags: u8, seq: u32, ack: u32, payload: &[u8]) -> Vec<u8> {
    let (src, dst, sport, dport) = if is_reply { (B, A, 80, 1000) } else { (A, B, 1000, 80) };
    let mut t = tcp(sport, dport, payload);
    t[4..8].copy_from_slice(&seq.to_be_bytes());
    t[8..12].copy_from_slice(&ack.to_be_bytes());
    t[13] = flags;
    fill(ipv4(6, src, dst, &t), 50)
}

fn dump(rig: &Rig) -> Vec<String> {
    rig.dp.dump_connections(0, 100, None).0.iter().map(|c| c.text(None, false)).collect()
}

#[test]
fn datagrams_are_new_until_answered() {
    let mut rig = tracked(commit());
    for _ in 0..4 {
        assert_eq!(state(&mut rig, udp_frame(A, B, 1, 2)), cs::NEW);
    }
    assert_eq!(state(&mut rig, udp_frame(B, A, 2, 1)), cs::EST | cs::RPL);
    assert_eq!(state(&mut rig, udp_frame(A, B, 1, 2)), cs::EST);
    assert_eq!(
        dump(&rig),
        ["udp,orig=(src=10.0.0.1,dst=10.0.0.2,sport=1,dport=2),reply=(src=10.0.0.2,dst=10.0.0.1,sport=2,dport=1)"]
    );
    // Without commit nothing is remembered.
    let mut rig = tracked(Ct::default());
    for _ in 0..3 {
        assert_eq!(state(&mut rig, udp_frame(A, B, 1, 2)), cs::NEW);
    }
    assert_eq!(state(&mut rig, udp_frame(B, A, 2, 1)), cs::NEW);
}

/// Which end, flags, sequence, acknowledgement, payload; what it is to rules, and the connection's state then.
type Step = (bool, u8, u32, u32, &'static [u8], u8, &'static str);

#[test]
fn a_connection_lives_from_handshake_to_close() {
    const FIN: u8 = 1;
    const SYN: u8 = 2;
    const RST: u8 = 4;
    const ACK: u8 = 16;
    let mut rig = tracked(commit());
    let steps: [Step; 11] = [
        (false, SYN, 100, 0, b"", cs::NEW, "SYN_SENT"),
        (false, SYN, 100, 0, b"", cs::NEW, "SYN_SENT"),
        (true, SYN | ACK, 500, 101, b"", cs::EST | cs::RPL, "ESTABLISHED"),
        (false, ACK, 101, 501, b"", cs::EST, "ESTABLISHED"),
        (false, ACK, 101, 501, b"question", cs::EST, "ESTABLISHED"),
        (true, ACK, 501, 109, b"answer", cs::EST | cs::RPL, "ESTABLISHED"),
        (true, ACK, 900_000, 109, b"stray", cs::INV, "ESTABLISHED"),
        (true, FIN | ACK, 507, 109, b"", cs::EST | cs::RPL, "CLOSING"),
        (false, FIN | ACK, 109, 508, b"", cs::EST, "TIME_WAIT"),
        (true, ACK, 508, 110, b"", cs::EST | cs::RPL, "TIME_WAIT"),
        (false, SYN, 9000, 0, b"", cs::NEW, "SYN_SENT"),
    ];
    for (i, (is_reply, flags, seq, ack, payload, expected, name)) in steps.into_iter().enumerate() {
        assert_eq!(state(&mut rig, segment(is_reply, flags, seq, ack, payload)), expected, "step {i}");
        assert!(dump(&rig)[0].ends_with(&format!(",protoinfo=(state={name})")), "step {i}: {}", dump(&rig)[0]);
    }
    assert_eq!(state(&mut rig, segment(true, RST | ACK, 0, 9001, b"")), cs::EST | cs::RPL);
    // What no connection begins with.
    rig.dp.flush_connections(None);
    const PSH: u8 = 8;
    const URG: u8 = 32;
    for flags in [SYN | ACK, SYN | FIN, 0, SYN | RST, SYN | PSH, SYN | URG, RST | PSH, FIN, FIN | RST] {
        assert_eq!(state(&mut rig, segment(false, flags, 1, 1, b"")), cs::INV, "flags {flags:#x}");
    }
    for flags in [ACK, ACK | URG | PSH, ACK | RST | FIN, RST] {
        rig.dp.flush_connections(None);
        assert_eq!(
            state(&mut rig, segment(false, flags, 1, 1, b"x")),
            cs::NEW,
            "picked up in its middle by {flags:#x}"
        );
    }
}

#[test]
fn what_is_invalid_is_a_packet_of_its_connection() {
    let nat = Some(CtNat { src: Some(true), ip_min: Some([1, 1, 1, 1].into()), ..CtNat::default() });
    let mut rig = tracked(Ct { nat, mark: Some((5, u32::MAX)), ..commit() });
    assert_eq!(state(&mut rig, segment(false, 2, 100, 0, b"")), cs::NEW | cs::SNAT);
    let (key, _) = pass(&mut rig, segment(false, 1, 101, 0, b""));
    assert_eq!(key.ct_state(), cs::TRK | cs::INV | cs::SNAT);
    assert_eq!((key.ct_mark(), key.nw_src()), (5, 0x0101_0101));
}

#[test]
fn who_answers_untranslated_begins_a_connection_that_takes_over() {
    let translated =
        Ct { nat: Some(CtNat { src: Some(true), ip_min: Some([1, 1, 1, 1].into()), ..CtNat::default() }), ..commit() };
    let mut rig = tracked(translated);
    let mut plain = rig.beside(Config::default());
    plain.install_any(&[Action::Ct(Box::new(commit())), Action::Recirc(1)]);
    assert_eq!(state(&mut rig, udp_frame(A, B, 1, 2)), cs::NEW | cs::SNAT);
    assert_eq!(state(&mut plain, udp_frame(B, A, 2, 1)), cs::NEW);
    assert_eq!(rig.dp.n_connections(), 2);
    assert_eq!(state(&mut rig, udp_frame(A, B, 1, 2)), cs::EST | cs::RPL, "an answer to the newer one");
    let newer = Tuple { proto: 17, src: 0x0a00_0002, dst: 0x0a00_0001, sport: 2, dport: 1, ..Tuple::default() };
    assert!(rig.dp.forget_connection(0, &newer));
    assert_eq!(state(&mut rig, udp_frame(A, B, 1, 2)), cs::NEW | cs::SNAT, "the older one has its packets again");
    assert_eq!(rig.dp.n_connections(), 1);
}

#[test]
fn what_nothing_is_free_for_is_not_translated() {
    let one = CtNat { src: Some(true), ip_min: Some([1, 1, 1, 1].into()), port_min: 1000, ..CtNat::default() };
    let mut rig = tracked(Ct { nat: Some(CtNat { port_max: 1001, ..one }), ..commit() });
    for sport in [1, 2] {
        assert_eq!(state(&mut rig, udp_frame(A, B, sport, 2)), cs::NEW | cs::SNAT);
    }
    assert_eq!(rig.dp.notices().count(), 0);
    assert_eq!(state(&mut rig, udp_frame(A, B, 3, 2)), cs::NEW);
    assert_eq!(rig.dp.notices().collect::<Vec<_>>(), [dp::Notice::NatExhausted]);
    assert_eq!(state(&mut rig, udp_frame(A, B, 1, 2)), cs::NEW | cs::SNAT);
    assert_eq!((rig.dp.n_connections(), rig.dp.notices().count()), (2, 0));
}

#[test]
fn a_translated_packet_that_is_forced_to_begin_has_begun() {
    let translates = |force| Ct {
        nat: Some(CtNat { src: Some(true), ip_min: Some([1, 1, 1, 1].into()), ..CtNat::default() }),
        force,
        ..commit()
    };
    let mut rig = tracked_by([translates(false), translates(true)]);
    for _ in 0..3 {
        let (key, _) = pass(&mut rig, udp_frame(A, B, 1, 2));
        assert_eq!((key.nw_src(), key.tp_src()), (0x0101_0101, 1));
        assert_eq!(rig.dp.n_connections(), 1);
    }
}

/// What an end says first is taken as it is: it may answer another number than the last that was seen.
#[test]
fn a_first_answer_may_acknowledge_anything() {
    for acknowledged in [101, 500_001, 9_000_000] {
        let mut rig = tracked(commit());
        assert_eq!(state(&mut rig, segment(false, 2, 100, 0, b"")), cs::NEW);
        assert_eq!(state(&mut rig, segment(false, 2, 500_000, 0, b"")), cs::NEW);
        assert_eq!(state(&mut rig, segment(true, 0x12, 7, acknowledged, b"")), cs::EST | cs::RPL, "{acknowledged}");
    }
    let mut rig = tracked(commit());
    assert_eq!(state(&mut rig, segment(false, 2, 100, 0, b"")), cs::NEW);
    assert_eq!(state(&mut rig, segment(true, 2, 700, 0, b"")), cs::NEW, "both begin at once");
}

/// An error from between looks as if the connection's other end had sent it; one that goes to somebody else is nobody's.
#[test]
fn errors_from_between_are_translated_whole() {
    let nat = Some(CtNat { src: Some(true), ip_min: Some([1, 1, 1, 1].into()), ..CtNat::default() });
    let mut rig = tracked(Ct { nat, ..commit() });
    assert_eq!(state(&mut rig, udp_frame(A, B, 1, 2)), cs::NEW | cs::SNAT);
    let about = |from: [u8; 4], to: [u8; 4]| {
        let quoted = &udp_frame(B, A, 2, 1)[14..42];
        let mut message = vec![3, 3, 0, 0, 0, 0, 0, 0];
        message.extend(quoted);
        let sum = packet::checksum::of(&message).to_be_bytes();
        message[2..4].copy_from_slice(&sum);
        ipv4(1, from, to, &message)
    };
    let (key, _) = pass(&mut rig, about([9, 9, 9, 9], B));
    assert_eq!((key.nw_src(), key.nw_dst()), (0x0101_0101, 0x0a00_0002));
    assert_eq!(state(&mut rig, about([9, 9, 9, 9], [7, 7, 7, 7])), cs::INV);
}

/// Where the other end was not heard, what is only near its window passes, and the connection ends when it would have.
#[test]
fn what_is_near_its_window_prolongs_nothing() {
    let mut rig = tracked(commit());
    let ends = |rig: &Rig| rig.dp.dump_connections(0, 1, None).0[0].expires_ms;
    assert_eq!(state(&mut rig, segment(false, 2, 100, 0, b"")), cs::NEW);
    let before = ends(&rig);
    rig.now_us += 5_000_000;
    assert_eq!(state(&mut rig, segment(false, 16, 101, 1_000_000, b"")), cs::EST);
    assert_eq!(ends(&rig), before);
    assert_eq!(state(&mut rig, segment(false, 16, 101, 1, b"")), cs::EST);
    assert_eq!(ends(&rig), before + 5_000);
}

#[test]
fn what_was_noted_is_told() {
    let mut rig = tracked(Ct { zone: 7, mark: Some((0x15, 0x0f)), label: Some((1 << 100, u128::MAX)), ..commit() });
    let (key, _) = pass(&mut rig, udp_frame(A, B, 1, 2));
    assert_eq!((key.ct_zone(), key.ct_mark(), key.ct_label()), (7, 5, 1 << 100));
    let (key, _) = pass(&mut rig, udp_frame(B, A, 2, 1));
    assert_eq!((key.ct_nw_src(), key.ct_nw_dst()), (0x0a00_0001, 0x0a00_0002));
    assert_eq!((key.ct_nw_proto(), key.ct_tp_src(), key.ct_tp_dst()), (17, 1, 2));
    assert!(dump(&rig)[0].ends_with(",zone=7,mark=5,labels=0x10000000000000000000000000"));
}

#[test]
fn what_cannot_be_tracked_is_invalid() {
    let mut rig = tracked(commit());
    let mut wrong_sum = udp_frame(A, B, 1, 2);
    wrong_sum[45] ^= 1;
    let mut later = ipv4(17, A, B, &[0; 40]);
    later[20..22].copy_from_slice(&[0, 9]);
    let mut arp = ETH.to_vec();
    arp.extend([8, 6]);
    arp.resize(60, 0);
    let short = ipv4(17, A, B, &[0; 7]);
    for frame in [wrong_sum, later, arp, short] {
        assert_eq!(state(&mut rig, frame), cs::INV);
    }
    // A checksum still to be completed is as good as a right one.
    rig.inject([partial(ipv4(17, A, B, &udp(1, 2, b"x")), 34, 6)]);
    assert_eq!(rig.upcalls[0].key.ct_state(), cs::NEW | cs::TRK);
}

fn icmp(kind: u8, rest: &[u8]) -> Vec<u8> {
    let mut m = vec![kind, 0, 0, 0];
    m.extend(rest);
    let csum = packet::checksum::of(&m).to_be_bytes();
    m[2..4].copy_from_slice(&csum);
    m
}

#[test]
fn echoes_and_errors_belong_to_connections() {
    let mut rig = tracked(commit());
    let echo = |kind, src, dst| ipv4(1, src, dst, &icmp(kind, &[0, 9, 0, 1]));
    assert_eq!(state(&mut rig, echo(0, B, A)), cs::INV, "an answer to nobody");
    assert_eq!(state(&mut rig, echo(8, A, B)), cs::NEW);
    assert_eq!(state(&mut rig, echo(0, B, A)), cs::EST | cs::RPL);
    assert_eq!(
        dump(&rig),
        [
            "icmp,orig=(src=10.0.0.1,dst=10.0.0.2,id=9,type=8,code=0),reply=(src=10.0.0.2,dst=10.0.0.1,id=9,type=0,code=0)"
        ]
    );
    let about = |frame: Vec<u8>| {
        let mut rest = vec![0; 4];
        rest.extend(&frame[14..]);
        ipv4(1, [10, 0, 0, 99], A, &icmp(3, &rest))
    };
    assert_eq!(state(&mut rig, about(udp_frame(A, B, 1, 2))), cs::INV, "about nobody's packet");
    assert_eq!(state(&mut rig, udp_frame(A, B, 1, 2)), cs::NEW);
    assert_eq!(state(&mut rig, about(udp_frame(A, B, 1, 2))), cs::REL | cs::RPL);
}

#[test]
fn sources_are_translated_there_and_back() {
    let nat = CtNat {
        src: Some(true),
        ip_min: Some([192, 0, 2, 1].into()),
        port_min: 5000,
        port_max: 5001,
        ..CtNat::default()
    };
    let mut rig = tracked(Ct { nat: Some(nat), ..commit() });
    let public = [192, 0, 2, 1];
    let (key, octets) = pass(&mut rig, udp_frame(A, B, 1, 2));
    assert_eq!(key.ct_state(), cs::TRK | cs::NEW | cs::SNAT);
    let port = u16::from_be_bytes([octets[34], octets[35]]);
    assert!((5000..=5001).contains(&port));
    assert_eq!(octets, udp_frame(public, B, port, 2), "the checksums too");
    assert_eq!((key.nw_src(), key.tp_src(), key.ct_nw_src(), key.ct_tp_src()), (0xc000_0201, port, 0x0a00_0001, 1));
    let (key, octets) = pass(&mut rig, udp_frame(B, public, 2, port));
    assert_eq!(key.ct_state(), cs::TRK | cs::EST | cs::RPL | cs::DNAT);
    assert_eq!(octets, udp_frame(B, A, 2, 1));
    let (_, octets) = pass(&mut rig, udp_frame(A, B, 9, 2));
    let other = u16::from_be_bytes([octets[34], octets[35]]);
    assert_eq!(port ^ other, 5000 ^ 5001, "each connection has a port of its own");
    assert_eq!(state(&mut rig, udp_frame(A, B, 10, 2)), cs::NEW, "no port is left");
    assert_eq!(rig.dp.n_connections(), 2);

    // An error about the translated packet reaches its sender, who knows what it quotes.
    let about = |to, frame: Vec<u8>| {
        let mut rest = vec![0; 4];
        rest.extend(&frame[14..]);
        ipv4(1, [10, 0, 0, 99], to, &icmp(3, &rest))
    };
    let (key, octets) = pass(&mut rig, about(public, udp_frame(public, B, port, 2)));
    assert_eq!(key.ct_state(), cs::TRK | cs::REL | cs::RPL | cs::DNAT);
    assert_eq!(octets, about(A, udp_frame(A, B, 1, 2)));
}

/// Which port a translated source gets where no range is given.
#[test]
fn ports_are_replaced_by_their_like() {
    let nat = CtNat { src: Some(true), ip_min: Some([192, 0, 2, 1].into()), ..CtNat::default() };
    let mut rig = tracked(Ct { nat: Some(nat), ..commit() });
    let mut given = Vec::new();
    for port in [500, 511, 512, 600, 1023, 65535] {
        for host in [3, 4] {
            let (key, _) = pass(&mut rig, udp_frame([10, 0, 0, host], B, port, 2));
            given.push(key.tp_src());
        }
    }
    assert_eq!(given, [500, 501, 511, 1, 512, 600, 601, 602, 1023, 603, 65535, 1024]);
}

/// Through the zone once to translate, and once more to commit: the connection is found by how it began.
#[test]
fn a_translated_packet_is_known_the_second_time() {
    let mut rig = Rig::new(Config::default());
    let nat = CtNat { src: Some(false), ip_min: Some(B.into()), ..CtNat::default() };
    let ct = |commit, nat| Action::Ct(Box::new(Ct { commit, nat, zone: 3, ..Ct::default() }));
    rig.install_any(&[ct(false, Some(CtNat::default())), Action::Recirc(1)]);
    rig.install_recirc(1, &[ct(true, Some(nat)), Action::Recirc(2)]);
    let service = [10, 0, 0, 77];
    for _ in 0..3 {
        let (key, octets) = pass(&mut rig, udp_frame(A, service, 1, 2));
        assert_eq!(key.ct_state(), cs::TRK | cs::NEW | cs::DNAT);
        assert_eq!(octets, udp_frame(A, B, 1, 2));
    }
    let (key, octets) = pass(&mut rig, udp_frame(B, A, 2, 1));
    assert_eq!(key.ct_state(), cs::TRK | cs::EST | cs::RPL | cs::SNAT);
    assert_eq!(octets, udp_frame(service, A, 2, 1));
    assert_eq!(rig.dp.n_connections(), 1);
}

#[test]
fn connections_expire_are_flushed_and_limited() {
    let mut rig = tracked(Ct { zone: 4, ..commit() });
    rig.dp.set_connection_limit(None, 3);
    assert_eq!(state(&mut rig, udp_frame(A, B, 0, 2)), cs::INV, "there is no port 0");
    for port in 1..6 {
        assert_eq!(state(&mut rig, udp_frame(A, B, port, 2)), cs::NEW);
    }
    assert_eq!((rig.dp.n_connections(), rig.dp.connection_limit_in(4)), (3, Some((3, 3))));
    let one = Tuple { proto: 17, src: 0x0a00_0002, dst: 0x0a00_0001, sport: 2, dport: 1, ..Tuple::default() };
    assert_eq!(rig.dp.flush_connections(Some(5)), 0);
    assert!(!rig.dp.forget_connection(5, &one));
    assert!(rig.dp.forget_connection(4, &one));
    assert!(!rig.dp.forget_connection(4, &one), "it is gone");
    rig.now_us += 61_000_000;
    assert_eq!(state(&mut rig, udp_frame(B, A, 2, 2)), cs::NEW, "nobody remembers the question");
    rig.dp.tick(rig.now_us + 10_000);
    assert_eq!(rig.dp.n_connections(), 1);
    rig.dp.set_connection_limit(Some(4), 0);
    assert_eq!(rig.dp.connection_limits(), (Some(3), vec![(4, 0)]));
    assert_eq!(rig.dp.flush_connections(None), 1);
    assert_eq!(state(&mut rig, udp_frame(A, B, 1, 2)), cs::NEW);
    assert_eq!(rig.dp.n_connections(), 0);
}

/// Whose time is over gives its place to who comes, however many there are, and though nobody has looked meanwhile.
#[test]
fn expired_connections_hold_no_places() {
    const MANY: u16 = 3000;
    for in_zone in [false, true] {
        let mut rig = tracked(Ct { zone: 4, ..commit() });
        if in_zone {
            rig.dp.set_connection_limit(Some(4), MANY.into());
        } else {
            rig.dp.set_max_connections(MANY.into());
        }
        let begin = |rig: &mut Rig, port| {
            state(rig, udp_frame(A, B, port, 2));
            // One that was remembered is answered as such.
            state(rig, udp_frame(B, A, 2, port)) == cs::EST | cs::RPL
        };
        assert!((1..=MANY).all(|port| begin(&mut rig, port)));
        assert!(!begin(&mut rig, MANY + 1), "there is no room");
        assert_eq!(rig.dp.n_connections(), MANY.into());
        // The first goes on for longer.
        rig.now_us += 20_000_000;
        assert_eq!(state(&mut rig, udp_frame(A, B, 1, 2)), cs::EST);
        rig.now_us += 10_200_000;
        for port in MANY + 1..2 * MANY {
            assert!(begin(&mut rig, port), "{port}");
        }
        assert!(!begin(&mut rig, 2 * MANY), "all places are taken again");
        assert_eq!(rig.dp.n_connections(), MANY.into());
        assert_eq!(state(&mut rig, udp_frame(A, B, 1, 2)), cs::EST, "the first has its place");
    }
}

/// One that is to be over sooner than it was to be is looked at in time.
#[test]
fn a_closed_connection_goes_before_its_time() {
    let mut rig = tracked(commit());
    for (is_reply, flags, seq, ack) in [(false, 2, 100, 0), (true, 0x12, 500, 101), (false, 0x10, 101, 501)] {
        state(&mut rig, segment(is_reply, flags, seq, ack, b""));
    }
    rig.now_us += 3_600_000_000;
    rig.dp.tick(rig.now_us);
    assert_eq!(rig.dp.n_connections(), 1, "it is open");
    state(&mut rig, segment(false, 4, 101, 501, b""));
    rig.now_us += 31_000_000;
    rig.dp.tick(rig.now_us);
    assert_eq!(rig.dp.n_connections(), 0, "reset, it is over soon");
}

/// The fragments of a frame, each with so many octets of its data.
fn fragments(frame: &[u8], sizes: &[usize]) -> Vec<Vec<u8>> {
    let mut offset = 0;
    let mut cut = Vec::new();
    for size in sizes {
        let payload = &frame[34 + offset..34 + offset + size];
        let mut f = ipv4(frame[23], [10, 0, 0, 1], [10, 0, 0, 2], payload);
        let more = u16::from(34 + offset + size < frame.len()) << 13;
        f[20..22].copy_from_slice(&(more | (offset / 8) as u16).to_be_bytes());
        f[24..26].fill(0);
        let csum = packet::checksum::of(&f[14..34]).to_be_bytes();
        f[24..26].copy_from_slice(&csum);
        cut.push(f);
        offset += size;
    }
    cut
}

#[test]
fn fragments_wait_for_each_other_and_leave_together() {
    let nat =
        CtNat { src: Some(true), ip_min: Some([1, 1, 1, 1].into()), port_min: 99, port_max: 99, ..CtNat::default() };
    let mut rig = tracked(Ct { nat: Some(nat), ..commit() });
    let whole = fill(ipv4(17, A, B, &udp(53, 54, &[7; 3000])), 40);
    let cut = fragments(&whole, &[1208, 1400, 400]);
    for held in [&cut[2], &cut[0]] {
        rig.inject([plain(held.clone())]);
        assert!(rig.upcalls.is_empty(), "it waits");
    }
    assert_eq!(rig.dp.with_fragments(|f| f.held()), 2);
    rig.inject([plain(cut[1].clone())]);
    let upcalls = rig.take_upcalls();
    assert_eq!(upcalls.len(), 3);
    let mut data = Vec::new();
    for upcall in upcalls {
        let octets = upcall.packet.data();
        assert_eq!(upcall.key.ct_state(), cs::TRK | cs::NEW | cs::SNAT);
        assert_eq!((upcall.key.nw_src(), upcall.key.ct_nw_src()), (0x0101_0101, 0x0a00_0001));
        assert_eq!(packet::checksum::of(&octets[14..34]), 0, "the header's checksum");
        data.extend_from_slice(&octets[34..]);
    }
    let again = ipv4(17, [1, 1, 1, 1], B, &data);
    assert_eq!((&again[34..36], transport_checksum(&again)), (&[0, 99][..], 0), "the datagram is right again");
    // What lies, overlaps or is too small is invalid, at once; what is never whole leaves with another packet, invalid.
    let state_of = |rig: &mut Rig, frame: &[u8]| {
        rig.inject([plain(frame.to_vec())]);
        rig.take_upcalls().iter().map(|u| u.key.ct_state()).collect::<Vec<_>>()
    };
    assert_eq!(state_of(&mut rig, &cut[0]), []);
    assert_eq!(state_of(&mut rig, &cut[0]), [cs::TRK | cs::INV], "twice the same");
    assert_eq!(state_of(&mut rig, &fragments(&whole, &[800])[0]), [cs::TRK | cs::INV], "too small");
    rig.now_us += 16_000_000;
    let states = state_of(&mut rig, &udp_frame(A, B, 5, 6));
    assert_eq!(states, [cs::INV, cs::TRK | cs::NEW | cs::SNAT]);
    let family = rig.dp.with_fragments(|f| f.families[0]);
    assert_eq!((family.accepted, family.completed, family.expired), (4, 3, 1));
    assert_eq!((family.overlapped, family.too_small, rig.dp.with_fragments(|f| f.held())), (1, 1, 0));
    // Nor does it leave at all ten seconds later.
    assert_eq!(state_of(&mut rig, &cut[0]), []);
    rig.now_us += 26_000_000;
    rig.dp.tick(rig.now_us);
    assert_eq!(state_of(&mut rig, &udp_frame(A, B, 5, 6)), [cs::TRK | cs::NEW | cs::SNAT]);
    assert_eq!(rig.dp.with_fragments(|f| (f.families[0].purged, f.held())), (1, 0));
    // One in the middle may have data that nothing fits behind: it waits all the same.
    assert_eq!(state_of(&mut rig, &fragments(&whole, &[1205])[0]), []);
    assert_eq!(rig.dp.with_fragments(|f| f.held()), 1);
    rig.now_us += 26_000_000;
    rig.dp.tick(rig.now_us);
    rig.dp.with_fragments(|f| f.families[0].enabled = false);
    assert_eq!(state_of(&mut rig, &cut[0]), [cs::TRK | cs::INV], "not put together");
}

/// A segment of a control connection of FTP, from the client (port 2000) or the server as they are named there.
fn control(src: [u8; 4], dst: [u8; 4], flags: u8, (seq, ack): (u32, u32), text: &[u8]) -> Vec<u8> {
    let (sport, dport) = if src == A { (2000, 21) } else { (21, 2000) };
    let mut t = tcp(sport, dport, text);
    t[4..8].copy_from_slice(&seq.to_be_bytes());
    t[8..12].copy_from_slice(&ack.to_be_bytes());
    t[13] = flags;
    fill(ipv4(6, src, dst, &t), 50)
}

const LONG: [u8; 4] = [199, 199, 199, 199];

#[test]
fn what_is_agreed_on_in_a_connection_is_expected() {
    let nat = CtNat { src: Some(true), ip_min: Some(LONG.into()), ..CtNat::default() };
    let ct = Ct { helper: Some("ftp"), nat: Some(nat), mark: Some((7, u32::MAX)), ..commit() };
    agree(tracked(ct.clone()));
    // Text and numbers change once, however often the packet is looked at, or translated, in the zone.
    agree(tracked_by([Ct::default(), ct.clone()]));
    agree(tracked_by([Ct { nat: Some(CtNat::default()), ..Ct::default() }, ct]));
}

fn agree(mut rig: Rig) {
    let numbers = |frame: &[u8]| {
        let at = |i: usize| u32::from_be_bytes(frame[i..i + 4].try_into().unwrap());
        assert_eq!((transport_checksum(frame), packet::checksum::of(&frame[14..34])), (0, 0));
        (at(38), at(42))
    };
    pass(&mut rig, control(A, B, 0x02, (100, 0), b""));
    pass(&mut rig, control(B, LONG, 0x12, (500, 101), b""));
    pass(&mut rig, control(A, B, 0x10, (101, 501), b""));
    let (_, out) = pass(&mut rig, control(A, B, 0x18, (101, 501), b"PORT 10,0,0,1,10,20\r\n"));
    assert_eq!(&out[54..], b"PORT 199,199,199,199,10,20\r\n");
    assert_eq!(numbers(&out), (101, 501));
    // What the server acknowledges is more than the client sent; what the client sends next is further on.
    let (key, out) = pass(&mut rig, control(B, LONG, 0x18, (501, 129), b"200 OK\r\n"));
    assert_eq!((numbers(&out), key.ct_state()), ((501, 122), cs::TRK | cs::EST | cs::RPL | cs::DNAT));
    let (key, out) = pass(&mut rig, control(A, B, 0x18, (122, 509), b"LIST\r\n"));
    assert_eq!((numbers(&out), key.ct_state()), ((129, 509), cs::TRK | cs::EST | cs::SNAT));
    let (_, again) = pass(&mut rig, control(A, B, 0x18, (101, 501), b"PORT 10,0,0,1,10,20\r\n"));
    assert_eq!((&again[54..], numbers(&again)), (&b"PORT 199,199,199,199,10,20\r\n"[..], (101, 501)));
    // The server opens the connection that was asked for.
    let mut data = tcp(20, 2580, b"");
    data[13] = 2;
    let (key, out) = pass(&mut rig, fill(ipv4(6, B, LONG, &data), 50));
    assert_eq!(key.ct_state(), cs::TRK | cs::NEW | cs::REL | cs::DNAT);
    assert_eq!((key.ct_mark(), key.ct_nw_src(), key.ct_tp_dst()), (7, 0x0a00_0001, 21));
    assert_eq!(&out[30..34], A, "it reaches who asked for it");
    let mut told = dump(&rig);
    told.sort();
    assert!(told[0].ends_with(",helper=ftp"), "{told:?}");
    assert!(
        told[1]
            .contains("orig=(src=10.0.0.2,dst=199.199.199.199,sport=20,dport=2580),reply=(src=10.0.0.1,dst=10.0.0.2")
    );
    // With the connection goes what was agreed on in it.
    rig.dp.flush_connections(None);
    let (key, _) = pass(&mut rig, fill(ipv4(6, B, LONG, &data), 50));
    assert_eq!(key.ct_state() & cs::REL, 0);
}

#[test]
fn a_range_has_room_until_its_last_address_is_taken() {
    let nat = CtNat {
        src: Some(true),
        ip_min: Some([1, 1, 1, 1].into()),
        ip_max: Some([1, 1, 1, 2].into()),
        port_min: 5000,
        port_max: 5001,
        ..CtNat::default()
    };
    let mut rig = tracked(Ct { nat: Some(nat), ..commit() });
    let mut seen = std::collections::BTreeSet::new();
    for sport in 1..=4 {
        let (key, _) = pass(&mut rig, udp_frame(A, B, sport, 9));
        assert!(seen.insert((key.nw_src(), key.tp_src())), "each has its own: {seen:?}");
    }
    assert_eq!(seen.len(), 4);
    let (key, _) = pass(&mut rig, udp_frame(A, B, 5, 9));
    assert_eq!((key.nw_src(), key.ct_state() & cs::SNAT), (0x0a00_0001, 0), "nothing is left");
}
