//! The programs, run by an interpreter: what the ring's decides is what [`FlowKey::of_frame`] and the datapath's own
//! key say.

mod machine;

use ebpf::layout::{self, slot, tag_word};
use ebpf::program::{self, Maps};
use ebpf::{Breadth, FlowKey, Retag, Tag};
use flow::classifier::Shape;
use flow::{Mask, extract};
use machine::{Machine, Skb};
use proptest::prelude::*;

const MAPS: Maps = Maps { flows: 1, slots: 2, verdicts: 3 };
const IFINDEX: u32 = 11;
const ALL: u32 = u32::MAX;
const BREADTHS: [Breadth; 2] = [Breadth::Wide, Breadth::Exact];

fn exact(frame: &[u8]) -> Option<FlowKey> {
    FlowKey::of_frame(IFINDEX, frame, Breadth::Exact)
}

/// A packet as may be forwarded by the kernel, or nearly: tag, version, protocol, flags, payload, what lies behind.
fn packet() -> impl Strategy<Value = Vec<u8>> {
    let protos = prop_oneof![Just(6u8), Just(17), Just(1), Just(58), Just(132), any::<u8>()];
    let flags = prop_oneof![Just(0x10u8), Just(0x18), Just(0x02), any::<u8>()];
    let body = proptest::collection::vec(any::<u8>(), 0..64);
    let tag = proptest::option::of((prop::sample::select(vec![0x8100u16, 0x88a8, 0x9100]), any::<u16>()));
    (any::<bool>(), protos, flags, body, 0usize..12, tag).prop_map(|(v6, proto, flags, mut body, padding, tag)| {
        if body.len() > 13 && proto == 6 {
            (body[12], body[13]) = (0x50 | (body[12] & 1), flags);
        }
        if let Some(kind) = body.first_mut().filter(|_| proto == 58) {
            *kind = 126 + *kind % 12;
        }
        let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
        frame.extend(tag.iter().flat_map(|(tpid, tci)| [tpid.to_be_bytes(), tci.to_be_bytes()]).flatten());
        if v6 {
            frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
            frame.extend((body.len() as u16).to_be_bytes());
            frame.extend([proto, 64]);
            frame.extend([0xfd; 32]);
        } else {
            frame.extend([8, 0, 0x45, 0]);
            frame.extend((20 + body.len() as u16).to_be_bytes());
            frame.extend([0, 1, 0x40, 0, 64, proto, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        }
        frame.extend(body);
        frame.resize(frame.len() + padding, 0);
        frame
    })
}

/// The same with some octets changed, or cut.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let change = (any::<prop::sample::Index>(), any::<u8>());
    (packet(), proptest::collection::vec(change, 0..3), any::<prop::sample::Index>(), 0u8..4).prop_map(
        |(mut frame, changes, at, cut)| {
            for (place, octet) in changes {
                let place = place.index(frame.len());
                frame[place] = octet;
            }
            if cut == 0 {
                frame.truncate(at.index(frame.len()));
            }
            frame
        },
    )
}

/// The frame as the kernel has it, which keeps an outer tag beside it.
fn machine(frame: &[u8]) -> Machine {
    let (mut data, mut vlan) = (frame.to_vec(), [0; 3]);
    if let Some([a, b, high, low]) = frame.get(12..16)
        && layout::is_tag(u16::from_be_bytes([*a, *b]))
    {
        vlan = [1, u16::from_be_bytes([*high, *low]).into(), u16::from_ne_bytes([*a, *b]).into()];
        data.drain(12..16);
    }
    Machine::new(Skb { data, ifindex: IFINDEX, vlan, gso_size: 0, mark: 5, priority: 6 })
}

/// Has an entry of slot 3 and this generation made for a key.
fn enter(machine: &mut Machine, key: &FlowKey, generation: u32) {
    let entry = [3u32.to_ne_bytes(), generation.to_ne_bytes()].concat();
    machine.flows.insert(key.0.to_vec(), entry);
    machine.set_slot(0, 0, 1);
    machine.set_slot(0, slot::WIDE, key.is_wide().into());
    machine.set_slot(3, slot::GENERATION, 7);
    machine.set_slot(3, slot::OUT, 99);
    machine.set_slot(3, slot::MAX_LEN, 1514);
}

fn run(machine: &mut Machine, program: Result<Vec<u64>, ebpf::asm::Unbound>) -> u32 {
    machine.run(&program.expect("a program")) as u32
}

/// Ring, alarm and ingress filter in the kernel's order: what each says.
fn pass(machine: &mut Machine) -> (u32, u32, u32) {
    (run(machine, program::ring(&MAPS)), run(machine, program::alarm(&MAPS)), run(machine, program::ingress(&MAPS)))
}

/// A plain socket is asked last of the sockets: it has what no ring was asked about, and no word of a frame outlives it.
#[test]
fn a_frame_is_the_early_sockets_or_the_rings() {
    let mut machine = machine(&[0; 60]);
    for has_ring in [false, true, false, false, true, true, false] {
        if has_ring {
            assert_eq!(run(&mut machine, program::ring(&MAPS)), ALL);
            assert_eq!(run(&mut machine, program::alarm(&MAPS)), ALL);
        }
        let early = run(&mut machine, program::early(&MAPS));
        assert_eq!(early, if has_ring { 0 } else { ALL });
        assert_eq!(run(&mut machine, program::ingress(&MAPS)), 2);
    }
}

const RING: (u32, u32, u32) = (ALL, ALL, 2);
const REDIRECTED: (u32, u32, u32) = (0, 0, 7);

/// The programs take a frame exactly if it has a key of this breadth, and count it; whether it has one.
fn agree(frame: &[u8], breadth: Breadth) -> bool {
    let mut machine = machine(frame);
    let key = FlowKey::of_frame(IFINDEX, frame, breadth);
    if let Some(key) = &key {
        assert_eq!(key.is_wide(), breadth == Breadth::Wide);
        enter(&mut machine, key, 7);
        assert_eq!(pass(&mut machine), REDIRECTED);
        assert_eq!((machine.redirected, machine.slot(3, slot::PACKETS)), (Some((99, 0)), 1));
        assert_eq!(machine.slot(3, slot::BYTES), frame.len() as u64);
        assert_eq!((machine.skb.mark, machine.skb.priority), (0, 0));
    } else {
        machine.set_slot(0, 0, 1);
        machine.set_slot(0, slot::WIDE, (breadth == Breadth::Wide).into());
        machine.takes_any_key = true;
        assert_eq!(pass(&mut machine), RING);
        assert_eq!(run(&mut machine, program::tap(&MAPS)), ALL, "nor does a tap's");
    }
    key.is_some()
}

/// What the program of a tap says of a frame that has an entry, changed so before.
fn tap(frame: &[u8], change: impl FnOnce(&mut Machine)) -> (u32, Machine) {
    let mut machine = machine(frame);
    enter(&mut machine, &exact(frame).expect("a key"), 7);
    change(&mut machine);
    (run(&mut machine, program::tap(&MAPS)), machine)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_program_has_the_same_key_in_mind(frame in damaged()) {
        for breadth in BREADTHS {
            agree(&frame, breadth);
        }
    }

    /// What the kernel cannot tell apart no eligible flow tells apart either.
    #[test]
    fn packets_of_one_key_have_one_verdict(frame in packet(), change in any::<prop::sample::Index>(), octet: u8) {
        let mut other = frame.clone();
        let place = change.index(other.len());
        other[place] = octet;
        one_verdict(&frame, &other)?;
    }

    #[test]
    fn packets_between_two_stations_have_one_verdict(frame in packet(), other in packet()) {
        one_verdict(&frame, &other)?;
    }
}

/// Masks that tell two frames of one key apart are no flow's that has entries with such keys.
fn one_verdict(frame: &[u8], other: &[u8]) -> Result<(), TestCaseError> {
    for breadth in BREADTHS {
        let [one, two] = [frame, other].map(|frame| FlowKey::of_frame(IFINDEX, frame, breadth));
        if one.is_none() || one != two {
            continue;
        }
        let [one, two] = [frame, other].map(|frame| extract(frame, 1).0);
        for (i, (one, two)) in one.0.iter().zip(&two.0).enumerate().filter(|(_, (one, two))| one != two) {
            let mut mask = Mask::EMPTY;
            mask.0[i] = one ^ two;
            let asked = Breadth::of(&Shape::of(&mask));
            let is_told = asked.is_none() || breadth == Breadth::Wide && asked == Some(Breadth::Exact);
            prop_assert!(is_told, "word {} {:x}", i, one ^ two);
        }
    }
    Ok(())
}

fn udp() -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0, 0, 28, 0, 1, 0x40, 0, 64, 17, 0, 0];
    frame.extend([10, 0, 0, 1, 10, 0, 0, 2, 0, 1, 0, 2, 0, 8, 0, 0]);
    frame
}

/// A TCP header cut at each octet, the length of the IPv4 packet with it: no key, and no panic.
#[test]
fn a_tcp_header_that_ends_early_has_no_key() {
    for octets in 0..=20u8 {
        let mut frame = udp();
        frame.truncate(34);
        (frame[17], frame[23]) = (20 + octets, 6);
        let header = [&[0, 1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 0x10][..], &[0; 6]].concat();
        frame.extend(&header[..usize::from(octets)]);
        for breadth in BREADTHS {
            assert_eq!(agree(&frame, breadth), octets == 20, "{octets} octets");
        }
    }
}

/// A segment that begins or ends a connection goes by a wide entry, and never by an exact one.
#[test]
fn connections_begin_and_end_by_wide_entries() {
    let mut frame = udp();
    frame.truncate(34);
    (frame[17], frame[23]) = (40, 6);
    for (flags, is_plain) in [(0x10, true), (0x18, true), (0x02, false), (0x11, false), (0x04, false), (0xd0, false)] {
        let header = [&[0, 1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, flags][..], &[0; 6]].concat();
        let segment = [&frame[..], &header].concat();
        assert!(agree(&segment, Breadth::Wide), "{flags:x}");
        assert_eq!(agree(&segment, Breadth::Exact), is_plain, "{flags:x}");
    }
}

/// Which entry is looked for depends on what there are.
#[test]
fn exact_entries_are_found_beside_wide_ones() {
    let mut other = udp();
    other[5] = 9;
    for (wide, exact_key, expected) in
        [(&udp(), None, REDIRECTED), (&other, None, RING), (&other, exact(&udp()), REDIRECTED)]
    {
        let mut machine = machine(&udp());
        for key in [FlowKey::of_frame(IFINDEX, wide, Breadth::Wide), exact_key].into_iter().flatten() {
            enter(&mut machine, &key, 7);
        }
        machine.set_slot(0, slot::WIDE, 1);
        assert_eq!(pass(&mut machine), expected);
        assert_eq!(tap(&udp(), |m| m.set_slot(0, slot::WIDE, 1)).0, 7, "an exact one alone");
    }
}

#[test]
fn entries_that_are_not_in_force_are_not_used() {
    let key = exact(&udp()).expect("a key");
    type Change = fn(&mut Machine);
    type Said = (u32, u32, u32);
    let rows: [(&str, Change, Said); 6] = [
        ("all is well", |_| {}, REDIRECTED),
        ("another generation", |m| m.set_slot(3, slot::GENERATION, 8), RING),
        ("longer than the device takes", |m| m.set_slot(3, slot::MAX_LEN, 41), RING),
        ("no entries", |m| m.set_slot(0, 0, 0), RING),
        ("a tag", |m| m.skb.vlan = [1, 5, 0x81], RING),
        ("longer, but to be cut", |m| (m.skb.gso_size = 20, m.set_slot(3, slot::MAX_LEN, 41)).1, REDIRECTED),
    ];
    for (what, change, expected) in rows {
        let mut machine = machine(&udp());
        enter(&mut machine, &key, 7);
        change(&mut machine);
        assert_eq!(pass(&mut machine), expected, "{what}");
        assert_eq!(machine.slot(3, slot::ENTERED), machine.slot(3, slot::PACKETS), "{what}");
        let (said, machine) = tap(&udp(), change);
        assert_eq!(said, if expected == RING { ALL } else { 7 }, "{what}, by a tap");
        assert_eq!(machine.slot(3, slot::ENTERED), machine.slot(3, slot::PACKETS), "{what}, by a tap");
    }
}

#[test]
fn tags_are_changed_on_the_way() {
    let tagged = |tag: Tag| {
        let mut frame = udp();
        frame.splice(12..12, [tag.tpid.to_be_bytes(), tag.tci.to_be_bytes()].concat());
        frame
    };
    let (five, six) = (Tag { tpid: 0x8100, tci: 0x2005 }, Tag { tpid: 0x88a8, tci: 0x3006 });
    let both = {
        let mut frame = tagged(five);
        frame.splice(12..12, [0x88, 0xa8, 0x30, 0x06]);
        frame
    };
    let rows = [
        (udp(), false, None, udp()),
        (udp(), false, Some(six), tagged(six)),
        (tagged(five), false, None, tagged(five)),
        (tagged(five), true, None, udp()),
        (tagged(five), true, Some(six), tagged(six)),
        (tagged(six), true, Some(five), tagged(five)),
        (tagged(five), false, Some(six), both),
    ];
    for (frame, pops, pushes, expected) in rows {
        let key = exact(&frame).expect("a key");
        let retag = Retag { pops, pushes };
        let mut machine = machine(&frame);
        enter(&mut machine, &key, 7);
        machine.set_slot(3, slot::POP, pops.into());
        machine.set_slot(3, slot::PUSH, tag_word(pushes));
        assert_eq!(pass(&mut machine), REDIRECTED, "{retag:?}");
        assert_eq!(machine.slot(3, slot::BYTES), frame.len() as u64, "{retag:?}");
        let sent = sent(&machine);
        assert_eq!(sent, expected, "{retag:?}");
        assert_eq!(sent.len() as i64 - frame.len() as i64, retag.growth(), "{retag:?}");
        let (said, machine) = tap(&frame, |machine| {
            machine.set_slot(3, slot::POP, pops.into());
            machine.set_slot(3, slot::PUSH, tag_word(pushes));
        });
        assert_eq!((said, self::sent(&machine)), (7, expected), "{retag:?}, by a tap");
        assert_eq!((machine.skb.mark, machine.skb.priority), (0, 0));
    }
}

/// The frame as it is on the wire.
fn sent(machine: &Machine) -> Vec<u8> {
    let mut sent = machine.skb.data.clone();
    if machine.skb.vlan[0] != 0 {
        sent.splice(12..12, machine.outer_tag());
    }
    sent
}

#[test]
fn the_host_receives_what_goes_to_a_tap() {
    for to_host in [0, 1] {
        let (said, mut machine) = tap(&udp(), |machine| machine.set_slot(3, slot::TO_HOST, to_host));
        assert_eq!((said, machine.redirected), (7, Some((99, to_host))));
        machine.redirected = None;
        assert_eq!(pass(&mut machine), REDIRECTED);
        assert_eq!(machine.redirected, Some((99, to_host)));
        assert_eq!(machine.slot(3, slot::PACKETS), 2);
    }
}

#[test]
fn a_verdict_is_good_for_one_frame_of_its_device() {
    let key = exact(&udp()).expect("a key");
    let mut machine = machine(&udp());
    enter(&mut machine, &key, 7);
    assert_eq!(pass(&mut machine), REDIRECTED);
    assert_eq!(run(&mut machine, program::ingress(&MAPS)), 2, "once");
    assert_eq!(run(&mut machine, program::ring(&MAPS)), 0);
    machine.skb.ifindex = 12;
    assert_eq!(run(&mut machine, program::ingress(&MAPS)), 2, "not of another device");
}
