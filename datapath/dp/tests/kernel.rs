//! Which packets get entries in the kernel, when they lose them, and that everything is counted once.

mod common;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use common::{Frame, Rig, TAP, ipv4};
use dp::kernel::{KernelCounters, KernelPath, KernelSlot, WhyNot};
use dp::{Carried, Config, PolicerConfig};
use ebpf::{Breadth, Exit, FlowKey, Retag, Tag, Way};
use flow::{Action, Actions, FlowChange, FlowEntry, Key, Mask, Ufid};
use packet::Offload;

/// A kernel of ours: entries, and what they counted by slot.
#[derive(Clone, Default)]
struct Fake(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    entries: HashMap<FlowKey, (u32, Way)>,
    counters: Vec<KernelCounters>,
    is_down: bool,
    is_spare: Option<bool>,
    /// Whether there may be threads, and for which devices there are.
    has_threads: bool,
    threaded: Vec<u32>,
}

impl Fake {
    fn len(&self) -> usize {
        self.0.lock().unwrap().entries.len()
    }

    /// A frame comes by a device of port 1; where the kernel sends it.
    fn forward(&self, frame: &[u8]) -> Option<u32> {
        Some(self.forward_as(frame)?.exit.device())
    }

    /// The same, and how.
    fn forward_as(&self, frame: &[u8]) -> Option<Way> {
        self.forward_from(101, frame)
    }

    fn forward_from(&self, device: u32, frame: &[u8]) -> Option<Way> {
        let mut state = self.0.lock().unwrap();
        let keys = [Breadth::Wide, Breadth::Exact].map(|breadth| FlowKey::of_frame(device, frame, breadth));
        let (slot, way) = *keys.into_iter().flatten().find_map(|key| state.entries.get(&key))?;
        let counters = &mut state.counters[slot as usize];
        (counters.packets, counters.bytes) = (counters.packets + 1, counters.bytes + frame.len() as u64);
        Some(way)
    }

    fn age(&self, age_ms: u64) {
        self.0.lock().unwrap().counters.iter_mut().for_each(|c| c.age_ms = age_ms);
    }
}

impl KernelPath for Fake {
    fn max_len(&mut self, _: Exit) -> Option<u32> {
        (!self.0.lock().unwrap().is_down).then_some(1514)
    }

    fn add(&mut self, key: &FlowKey, way: Way) -> Option<KernelSlot> {
        let mut state = self.0.lock().unwrap();
        let slot = state.counters.len() as u32;
        state.counters.push(KernelCounters::default());
        assert!(state.entries.insert(*key, (slot, way)).is_none());
        Some(KernelSlot(slot))
    }

    fn counters(&self, slot: KernelSlot) -> KernelCounters {
        self.0.lock().unwrap().counters[slot.0 as usize]
    }

    fn has_spare_processor(&mut self) -> Option<bool> {
        self.0.lock().unwrap().is_spare
    }

    fn can_thread(&mut self, device: u32) -> bool {
        self.0.lock().unwrap().has_threads && device > 100
    }

    fn set_threaded(&mut self, device: u32, is_threaded: bool) {
        let threaded = &mut self.0.lock().unwrap().threaded;
        assert_eq!(threaded.contains(&device), !is_threaded);
        threaded.retain(|other| *other != device);
        threaded.extend(is_threaded.then_some(device));
    }

    fn remove(&mut self, key: &FlowKey, slot: KernelSlot) -> KernelCounters {
        let mut state = self.0.lock().unwrap();
        state.entries.remove(key).expect("an entry");
        state.counters[slot.0 as usize]
    }
}

fn udp(port: u16) -> Vec<u8> {
    let mut payload = port.to_be_bytes().to_vec();
    payload.extend([0, 9, 0, 12, 0, 0, 1, 2, 3, 4]);
    ipv4(17, [10, 0, 0, 1], [10, 0, 0, 2], &payload)
}

fn frame(octets: &[u8]) -> Frame {
    (octets.to_vec(), Offload::default())
}

/// A datapath whose flow sends every packet of port 1 to 10.0.0.2 as `actions` say, with a kernel below.
fn rig(actions: &[Action]) -> (Rig, Fake) {
    rig_asking(actions, |key, mask| {
        key.set_nw_dst(0x0a00_0002);
        mask.set_nw_dst(u32::MAX);
    })
}

/// The same with a flow that asks for no more than the port, and what `ask` adds.
fn rig_asking(actions: &[Action], ask: impl FnOnce(&mut Key, &mut Mask)) -> (Rig, Fake) {
    let mut rig = Rig::new(Config::default());
    let fake = Fake::default();
    rig.dp.set_kernel_path(Some(Box::new(fake.clone())));
    let (mut key, mut mask) = (Key::EMPTY, Mask::EMPTY);
    key.set_in_port(1);
    mask.set_in_port(u32::MAX);
    ask(&mut key, &mut mask);
    rig.dp.install(&FlowEntry::new(Ufid(0), &key, &mask, actions.into()), 7).unwrap();
    (rig, fake)
}

fn busy(rig: &mut Rig, octets: &[u8]) {
    rig.inject((0..16).map(|_| frame(octets)));
}

#[test]
fn busy_packets_get_an_entry_and_are_counted_once() {
    let (mut rig, fake) = rig(&[Action::Output(2)]);
    rig.inject((0..15).map(|_| frame(&udp(1))));
    assert_eq!(fake.len(), 0, "not worth it yet");
    rig.inject([frame(&udp(1)), frame(&udp(2))]);
    assert_eq!(fake.len(), 1);
    for _ in 0..10 {
        assert_eq!(fake.forward(&udp(1)), Some(102));
    }
    for _ in 0..2 {
        rig.dp.fold(rig.now_us);
    }
    let len = udp(1).len() as u64;
    let flow = rig.dp.report(Ufid(0)).expect("the flow");
    assert_eq!((flow.stats.packets, flow.stats.bytes), (27, 27 * len));
    let (from, to) = (rig.dp.port_stats(1).unwrap(), rig.dp.port_stats(2).unwrap());
    assert_eq!((from.rx_packets, from.rx_bytes, to.tx_packets, to.tx_bytes), (27, 27 * len, 27, 27 * len));
    assert_eq!(rig.dp.stats().received, 27);
    let report = rig.dp.kernel_report().expect("a kernel path");
    assert_eq!((report.entries, report.hits), (1, 10));
}

fn tcp(flags: u8) -> Vec<u8> {
    let mut segment = vec![0, 1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, flags];
    segment.resize(20, 0);
    ipv4(6, [10, 0, 0, 1], [10, 0, 0, 2], &segment)
}

/// Where a flow does not ask for more than stations, one entry is made for all that two of them send each other, however
/// short their connections; others get their own.
#[test]
fn all_between_two_stations_have_one_entry() {
    let (mut rig, fake) = rig_asking(&[Action::Output(2)], |key, mask| {
        key.set_dl_type(0x0800);
        mask.set_dl_type(u16::MAX);
    });
    rig.inject((1..16).map(|port| frame(&udp(port))));
    assert_eq!(fake.len(), 0, "not worth it yet");
    rig.inject([frame(&udp(16)), frame(&tcp(2))]);
    assert_eq!(fake.len(), 1);
    for octets in [udp(1), udp(99), tcp(2), tcp(0x10), tcp(0x11)] {
        assert_eq!(fake.forward(&octets), Some(102));
    }
    let mut other = udp(1);
    other[11] = 77;
    assert_eq!(fake.forward(&other), None);
    busy(&mut rig, &other);
    assert_eq!((fake.len(), fake.forward(&other)), (2, Some(102)));
    rig.dp.fold(rig.now_us);
    assert_eq!(rig.dp.report(Ufid(0)).expect("the flow").stats.packets, 17 + 5 + 16 + 1);
    rig.dp.delete(Ufid(0)).expect("the flow");
    assert_eq!(fake.len(), 0);
}

/// While the ring is not empty, nobody waits for an entry twice.
#[test]
fn an_entry_is_waited_for_once() {
    let (mut rig, fake) = rig_asking(&[Action::Output(2)], |_, _| ());
    rig.inject((0..2000).map(|port| frame(&udp(port))));
    assert_eq!(fake.len(), 1);
    assert_eq!(rig.dp.kernel_report().expect("a kernel path").refused, [0; WhyNot::ALL.len()]);
}

#[test]
fn what_taps_do_not_count_is_told() {
    let (mut rig, fake) = rig(&[Action::Output(TAP)]);
    let len = udp(1).len() as u64;
    rig.inject((0..17).map(|_| frame(&udp(1))));
    let to_host = Way { exit: Exit::Host(100 + TAP), max_len: 1514, retag: Retag::default() };
    for _ in 0..3 {
        assert_eq!(fake.forward_as(&udp(1)), Some(to_host));
    }
    rig.dp.fold(rig.now_us);
    let three = Carried { packets: 3, bytes: 3 * len };
    let (from, to) = (rig.dp.port_stats(1).unwrap(), rig.dp.port_stats(TAP).unwrap());
    assert_eq!((from.rx_packets, from.rx_unseen), (20, Carried::default()), "a ring's device counts all");
    assert_eq!((to.tx_packets, to.tx_unseen), (20, three));
    // The other way round.
    let (mut key, mut mask) = (Key::EMPTY, Mask::EMPTY);
    key.set_in_port(TAP);
    mask.set_in_port(u32::MAX);
    let actions: Actions = (&[Action::Output(1)][..]).into();
    rig.dp.install(&FlowEntry::new(Ufid(9), &key, &mask, actions), 7).expect("a flow");
    rig.inject_at(TAP, (0..17).map(|_| frame(&udp(1))));
    assert!(fake.forward_from(100 + TAP, &udp(1)).is_some_and(|way| way.exit == Exit::Wire(101)));
    rig.dp.fold(rig.now_us);
    let (from, to) = (rig.dp.port_stats(TAP).unwrap(), rig.dp.port_stats(1).unwrap());
    assert_eq!((from.rx_packets, from.rx_unseen), (18, Carried { packets: 1, bytes: len }));
    assert_eq!((to.tx_packets, to.tx_unseen), (18, Carried::default()));
}

/// A frame with a tag put in.
fn tagged(mut frame: Vec<u8>, tpid: u16, tci: u16) -> Vec<u8> {
    frame.splice(12..12, [tpid.to_be_bytes(), tci.to_be_bytes()].concat());
    frame
}

#[test]
fn tags_change_on_the_way_and_are_counted() {
    let five = Tag { tpid: 0x8100, tci: 5 };
    let push = Action::PushVlan { tpid: 0x8100, tci: 0x1005 };
    let plain = udp(1);
    let rows: [(&[Action], Vec<u8>, Retag, i64); 4] = [
        (&[push.clone(), Action::Output(2)], plain.clone(), Retag { pops: false, pushes: Some(five) }, 4),
        (
            &[Action::PopVlan, Action::Output(2)],
            tagged(plain.clone(), 0x8100, 9),
            Retag { pops: true, pushes: None },
            -4,
        ),
        (&[Action::Output(2)], tagged(plain.clone(), 0x8100, 9), Retag::default(), 0),
        (
            &[Action::PopVlan, push, Action::Output(2)],
            tagged(plain, 0x88a8, 9),
            Retag { pops: true, pushes: Some(five) },
            0,
        ),
    ];
    for (actions, frame_in, retag, growth) in rows {
        let (mut rig, fake) = rig(actions);
        busy(&mut rig, &frame_in);
        assert_eq!(
            fake.forward_as(&frame_in),
            Some(Way { exit: Exit::Wire(102), max_len: 1514, retag }),
            "{actions:?}"
        );
        let other_tag = tagged(udp(1), 0x8100, 77);
        assert_eq!(fake.forward(&other_tag), None, "{actions:?}");
        rig.dp.fold(rig.now_us);
        let (from, to) = (rig.dp.port_stats(1).unwrap(), rig.dp.port_stats(2).unwrap());
        let len = frame_in.len() as u64;
        assert_eq!((from.rx_packets, from.rx_bytes), (17, 17 * len), "{actions:?}");
        assert_eq!((to.tx_packets, to.tx_bytes), (17, 17 * len.wrapping_add_signed(growth)), "{actions:?}");
    }
}

#[test]
fn what_changes_takes_entries_out_before_it_is_done() {
    type Change = fn(&mut Rig);
    let changes: [(&str, Change); 8] = [
        ("other actions", |rig| {
            let change = FlowChange { ufid: Ufid(0), actions: Actions::from([Action::Output(3)]), edition: 2 };
            rig.dp.modify(&change, 8).unwrap();
        }),
        ("removal", |rig| {
            let gone = rig.dp.delete(Ufid(0)).expect("the flow");
            assert_eq!(gone.stats.packets, 17, "the last ones are counted");
        }),
        ("all flows go", |rig| rig.dp.flush()),
        ("the port that receives goes", |rig| drop(rig.dp.remove_port(1))),
        ("the port that sends goes", |rig| drop(rig.dp.remove_port(2))),
        ("the queue moves", |rig| {
            let queue = rig.inputs[&1].1;
            drop(rig.dp.remove_queue(queue));
        }),
        ("a limit", |rig| {
            let config = PolicerConfig { rate_kbps: 1000, burst_kb: 100, ..PolicerConfig::default() };
            rig.dp.set_policer(1, Some(config), rig.now_us);
        }),
        ("no kernel path", |rig| rig.dp.set_kernel_path(None)),
    ];
    for (what, change) in changes {
        let (mut rig, fake) = rig(&[Action::Output(2)]);
        busy(&mut rig, &udp(1));
        assert_eq!(fake.forward(&udp(1)), Some(102), "{what}");
        change(&mut rig);
        assert_eq!(fake.len(), 0, "{what}");
    }
}

#[test]
fn flows_that_do_more_stay_here() {
    let rows: [(&[Action], WhyNot); 3] = [
        (&[], WhyNot::Actions),
        (&[Action::Output(2), Action::Output(3)], WhyNot::Actions),
        (&[Action::Output(9)], WhyNot::Port),
    ];
    for (actions, why) in rows {
        let (mut rig, fake) = rig(actions);
        busy(&mut rig, &udp(1));
        let report = rig.dp.kernel_report().expect("a kernel path");
        assert_eq!((fake.len(), report.refused[why as usize]), (0, 1), "{actions:?}");
    }
    let (mut rig, fake) = rig(&[Action::Output(2)]);
    busy(&mut rig, &tcp(2));
    assert_eq!(fake.len(), 0, "connections begin here");
    fake.0.lock().unwrap().is_down = true;
    busy(&mut rig, &udp(1));
    assert_eq!(fake.len(), 0, "a device that is down takes nothing");
}

#[test]
fn a_mask_that_asks_for_more_than_the_key_keeps_its_flow_here() {
    let (mut rig, fake) = rig_asking(&[Action::Output(2)], |key, mask| {
        key.set_nw_ttl(64);
        mask.set_nw_ttl(255);
    });
    busy(&mut rig, &udp(1));
    assert_eq!((fake.len(), rig.dp.kernel_report().unwrap().refused[WhyNot::Mask as usize]), (0, 1));
}

#[test]
fn idle_entries_go_and_others_stay() {
    let (mut rig, fake) = rig(&[Action::Output(2)]);
    for port in 1..=5 {
        busy(&mut rig, &udp(port));
    }
    assert_eq!(fake.len(), 5);
    fake.0.lock().unwrap().counters[2].age_ms = 60_000;
    rig.dp.tick(rig.now_us + 2_000_000);
    assert_eq!((fake.len(), fake.forward(&udp(3)), fake.forward(&udp(4))), (4, None, Some(102)));
    fake.age(60_000);
    rig.dp.tick(rig.now_us + 4_000_000);
    assert_eq!((fake.len(), rig.dp.report(Ufid(0)).unwrap().stats.packets), (0, 81));
}

#[test]
fn a_flood_of_small_frames_comes_back_to_the_ring() {
    let (mut rig, fake) = rig(&[Action::Output(2)]);
    fake.0.lock().unwrap().is_spare = Some(true);
    busy(&mut rig, &udp(1));
    let look = |rig: &mut Rig, n: u64| {
        (0..n).for_each(|_| assert_eq!(fake.forward(&udp(1)), Some(102)));
        rig.now_us = 1000 * rig.dp.look_ms().expect("a look is due");
        rig.dp.tick(rig.now_us);
    };
    look(&mut rig, 20_000);
    assert_eq!(fake.len(), 1, "whether a processor is free is seen from now on");
    look(&mut rig, 20_000);
    assert_eq!((fake.len(), rig.dp.kernel_report().unwrap().floods), (0, 1));
    let counted = rig.dp.report(Ufid(0)).expect("the flow").stats.packets;
    assert_eq!(counted, 40_016, "all are counted");
    // There it stays as long as it lasts.
    for bursts in [400, 400, 0] {
        for _ in 0..bursts {
            rig.inject((0..64).map(|_| frame(&udp(1))));
        }
        assert_eq!(fake.len(), 0);
        rig.now_us = 1000 * rig.dp.look_ms().expect("a look is due");
        rig.dp.tick(rig.now_us);
    }
    rig.inject((0..64).map(|_| frame(&udp(1))));
    assert_eq!(fake.len(), 1, "it is over");
}

/// Between two looks at the kernel's counters a few come by the ring: that is not all there is.
#[test]
fn what_the_kernel_forwards_is_part_of_the_pace() {
    let (mut rig, fake) = rig(&[Action::Output(2)]);
    busy(&mut rig, &udp(1));
    let pass = |rig: &mut Rig, ms: u64, per_ms: u64| {
        let mut was_brisk = Vec::new();
        for at in 0..ms {
            (0..per_ms).for_each(|_| assert_eq!(fake.forward(&udp(1)), Some(102)));
            rig.now_us += 1000;
            if at % 20 == 0 {
                rig.inject([frame(&udp(1000 + at as u16))]);
            }
            if rig.dp.look_ms().is_some_and(|at_ms| rig.now_us / 1000 >= at_ms) {
                rig.dp.tick(rig.now_us);
            }
            was_brisk.push(rig.dp.is_brisk());
        }
        was_brisk
    };
    assert!(!rig.dp.is_brisk());
    let was_brisk = pass(&mut rig, 3_000, 10);
    assert!(was_brisk[600..].iter().all(|brisk| *brisk), "10,000 a second");
    assert!(pass(&mut rig, 2_000, 3).iter().all(|brisk| *brisk), "once they are often, 3,000 are enough");
    let was_brisk = pass(&mut rig, 2_000, 1);
    assert!(!was_brisk[600..].contains(&true), "1,000");
    assert!(!pass(&mut rig, 2_000, 3).contains(&true), "3,000 are not enough to begin with");
    // What a thread counted that died is not this one's pace.
    rig.dp.credit_thread(dp::Stats { received: 10_000, ..dp::Stats::default() });
    assert!(!pass(&mut rig, 500, 1).contains(&true));
    // Where nothing comes and nothing is there to be looked at, nobody is woken.
    rig.dp.set_kernel_path(None);
    assert_eq!(rig.dp.look_ms(), None);
    for _ in 0..20 {
        rig.now_us += 10_000;
        rig.inject((0..100).map(|_| frame(&udp(1))));
    }
    assert!(rig.dp.is_brisk(), "by the ring alone");
    rig.now_us = 1000 * rig.dp.look_ms().expect("it is looked whether they go on");
    rig.dp.tick(rig.now_us);
    assert_eq!((rig.dp.is_brisk(), rig.dp.look_ms()), (false, None));
}

#[test]
fn a_flood_of_small_frames_gets_a_thread_that_ends_with_it() {
    type Act = fn(&mut Rig);
    let look = |rig: &mut Rig, fake: &Fake, n: u64| {
        (0..n).for_each(|_| assert_eq!(fake.forward(&udp(1)), Some(102)));
        rig.now_us = 1000 * rig.dp.look_ms().expect("a look is due");
        rig.dp.tick(rig.now_us);
    };
    let cases: [(&str, Act, bool); 5] = [
        (
            "it is over",
            |rig| {
                for _ in 0..20 {
                    rig.now_us = 1000 * rig.dp.look_ms().expect("a look is due");
                    rig.dp.tick(rig.now_us);
                }
            },
            true,
        ),
        (
            "its queue goes",
            |rig| {
                let queue = rig.inputs[&1].1;
                drop(rig.dp.remove_queue(queue));
            },
            true,
        ),
        ("no kernel path", |rig| rig.dp.set_kernel_path(None), true),
        ("another port goes", |rig| drop(rig.dp.remove_port(2)), false),
        ("nothing", |_| (), false),
    ];
    for (what, act, ends) in cases {
        let (mut rig, fake) = rig(&[Action::Output(2)]);
        (fake.0.lock().unwrap().is_spare, fake.0.lock().unwrap().has_threads) = (Some(true), true);
        busy(&mut rig, &udp(1));
        for _ in 0..2 {
            look(&mut rig, &fake, 20_000);
        }
        assert_eq!(fake.0.lock().unwrap().threaded, [101], "{what}");
        let report = rig.dp.kernel_report().expect("a kernel path");
        assert_eq!((report.entries, report.floods, report.threaded), (1, 0, 1), "{what}");
        act(&mut rig);
        assert_eq!(fake.0.lock().unwrap().threaded.is_empty(), ends, "{what}");
        drop(rig);
        assert!(fake.0.lock().unwrap().threaded.is_empty(), "{what}: it is left behind");
    }
}
