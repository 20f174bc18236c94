//! Caches change the speed of a verdict, never the verdict; flows come and go under them.

mod common;

use common::*;
use dp::{Config, FlowCursor, InstallError};
use flow::{Action, FlowChange, FlowEntry, Key, Mask, Ufid, UpcallKind};
use proptest::prelude::*;

/// The class of a packet, its destination port, decides which bits of its source flows look at, so that no two overlap.
const SOURCE_BITS: [u32; 4] = [0xff00_0000, 0xffff_0000, 0xffff_ffff, 0x0000_00ff];

fn flow(class: u16, src: u32, in_port: u32, out: u32) -> FlowEntry {
    let (mut key, mut mask) = (Key::EMPTY, Mask::EMPTY);
    let bits = SOURCE_BITS[usize::from(class)];
    key.set_in_port(in_port);
    mask.set_in_port(u32::MAX);
    mask.set_recirc_id(u32::MAX);
    key.set_dl_type(0x800);
    mask.set_dl_type(u16::MAX);
    key.set_nw_src(src & bits);
    mask.set_nw_src(bits);
    key.set_tp_dst(class);
    mask.set_tp_dst(u16::MAX);
    let name = u128::from(class) << 64 | u128::from(in_port) << 32 | u128::from(src & bits);
    FlowEntry::new(Ufid(name), &key, &mask, [Action::Output(out)].as_slice().into())
}

fn frame(class: u16, src: u32, sport: u16) -> Frame {
    plain(ipv4(6, src.to_be_bytes(), [10, 0, 0, 2], &tcp(sport, class, b"x")))
}

#[derive(Clone, Debug)]
enum Step {
    Install(u16, u32, u32, u32),
    Modify(usize, u32),
    Delete(usize),
    Flush,
    Packets(u32, Vec<(u16, u32, u16)>),
}

fn source() -> impl Strategy<Value = u32> {
    // Few of them, so that flows are shared and hit.
    (0u32..3, 0u32..3, 0u32..3).prop_map(|(a, b, c)| a << 24 | b << 16 | c)
}

fn step() -> impl Strategy<Value = Step> {
    let packet = (0u16..4, source(), 1u16..4);
    prop_oneof![
        4 => (0u16..4, source(), 1u32..3, 2u32..5).prop_map(|(c, s, i, o)| Step::Install(c, s, i, o)),
        1 => (any::<usize>(), 2u32..5).prop_map(|(i, o)| Step::Modify(i, o)),
        1 => any::<usize>().prop_map(Step::Delete),
        1 => Just(Step::Flush),
        8 => (1u32..3, prop::collection::vec(packet, 1..80)).prop_map(|(port, p)| Step::Packets(port, p)),
    ]
}

fn rigs() -> Vec<Rig> {
    [(0, false), (1, false), (3, true), (0, true), (1, true)]
        .map(|(emc_insert_inv_prob, smc)| {
            Rig::new(Config { emc_insert_inv_prob, smc, seed: 11, upcall_quota: 1 << 20, ..Config::default() })
        })
        .into()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn verdicts_are_the_same_with_and_without_caches(steps in prop::collection::vec(step(), 1..60)) {
        let mut rigs = rigs();
        let mut model: Vec<FlowEntry> = Vec::new();
        for step in steps {
            match &step {
                Step::Install(class, src, in_port, out) => {
                    let entry = flow(*class, *src, *in_port, *out);
                    let exists = model.iter().any(|f| f.ufid == entry.ufid);
                    for rig in &mut rigs {
                        let expected = if exists { Err(InstallError::Exists) } else { Ok(()) };
                        prop_assert_eq!(rig.dp.install(&entry, 1), expected);
                    }
                    if !exists {
                        model.push(entry);
                    }
                }
                Step::Modify(i, out) if !model.is_empty() => {
                    let at = i % model.len();
                    let actions: flow::Actions = [Action::Output(*out)].as_slice().into();
                    for rig in &mut rigs {
                        let change = FlowChange { ufid: model[at].ufid, actions: actions.clone(), edition: 1 };
                        prop_assert_eq!(rig.dp.modify(&change, 2), Ok(()));
                    }
                    model[at].actions = actions;
                }
                Step::Delete(i) if !model.is_empty() => {
                    let gone = model.remove(i % model.len());
                    for rig in &mut rigs {
                        prop_assert!(rig.dp.delete(gone.ufid).is_some());
                    }
                }
                Step::Modify(..) | Step::Delete(_) => {}
                Step::Flush => {
                    model.clear();
                    rigs.iter_mut().for_each(|rig| rig.dp.flush());
                }
                Step::Packets(port, packets) => check(&mut rigs, &model, *port, packets)?,
            }
        }
        let dumps: Vec<_> = rigs.iter().map(everything).collect();
        prop_assert_eq!(dumps[0].len(), model.len());
        prop_assert!(dumps.iter().all(|d| *d == dumps[0]), "the counters differ");
    }
}

/// All flows with their counters.
fn everything(rig: &Rig) -> Vec<(Ufid, u64, u64)> {
    let (mut all, mut cursor) = (Vec::new(), Some(FlowCursor::START));
    while let Some(at) = cursor {
        let (some, next) = rig.dp.dump(at, 7);
        all.extend(some.iter().map(|f| (f.entry.ufid, f.stats.packets, f.stats.bytes)));
        cursor = next;
    }
    all.sort_unstable();
    all
}

fn check(rigs: &mut [Rig], model: &[FlowEntry], port: u32, packets: &[(u16, u32, u16)]) -> Result<(), TestCaseError> {
    let frames: Vec<_> = packets.iter().map(|(class, src, sport)| frame(*class, *src, *sport)).collect();
    let mut expected = vec![Vec::new(); 5];
    let mut misses = 0;
    for frame in &frames {
        let (key, _) = flow::extract(&frame.0, port);
        match model.iter().find(|f| f.matching.matches(&key)).map(|f| f.actions[0].clone()) {
            Some(Action::Output(out)) => expected[out as usize].push(frame.clone()),
            _ => misses += 1,
        }
    }
    for rig in rigs {
        rig.inject_at(port, frames.iter().cloned());
        let sent: Vec<_> = (0..5).map(|p| if p == 0 { vec![] } else { rig.sent(p) }).collect();
        prop_assert_eq!(&sent, &expected);
        let upcalls = rig.take_upcalls();
        prop_assert_eq!(upcalls.len(), misses);
        prop_assert!(upcalls.iter().all(|u| u.kind == UpcallKind::Miss && u.key.in_port() == port));
    }
    Ok(())
}

#[test]
fn the_exact_match_cache_leaves_ports_out() {
    let mut rig = Rig::new(Config { emc_insert_inv_prob: 1, ..Config::default() });
    for port in [1, 2] {
        rig.dp.install(&flow(0, 0x0101_0101, port, 3), 1).unwrap();
    }
    let hits_of = |rig: &mut Rig, port| {
        let before = rig.dp.stats().emc_hits;
        rig.inject_at(port, [frame(0, 0x0102_0304, 5)]);
        rig.dp.stats().emc_hits - before
    };
    assert_eq!([1, 2, 1, 2].map(|port| hits_of(&mut rig, port)), [0, 0, 1, 1]);
    rig.dp.keep_out_of_emc([1].into());
    // What it had of the port is gone, what it had of others is not.
    assert_eq!(rig.dp.n_emc_entries(), 1);
    assert_eq!([1, 2, 1, 2].map(|port| hits_of(&mut rig, port)), [0, 1, 0, 1]);
    rig.dp.keep_out_of_emc([].into());
    assert_eq!([1, 2, 1, 2].map(|port| hits_of(&mut rig, port)), [0, 1, 1, 1]);
}

#[test]
fn caches_count_their_hits() {
    let mut rig = Rig::new(Config { emc_insert_inv_prob: 1, ..Config::default() });
    rig.dp.install(&flow(0, 0x0101_0101, 1, 2), 1).unwrap();
    let same = || (0..10).map(|_| frame(0, 0x0102_0304, 5));
    rig.inject(same());
    rig.inject(same());
    let s = *rig.dp.stats();
    // A burst is looked up before it is acted upon: all ten at once miss the cache, but the first enters it.
    assert_eq!((s.received, s.emc_hits + s.megaflow_hits, s.misses), (20, 20, 0));
    assert!(s.emc_hits >= 10 && s.subtable_lookups == s.megaflow_hits, "{s:?}");
    assert_eq!(rig.dp.n_emc_entries(), 1);
    let port = rig.dp.port_stats(1).unwrap();
    assert_eq!((port.rx_packets, port.rx_bytes), (20, 20 * 55));
    assert_eq!(rig.dp.port_stats(2).unwrap().tx_packets, 20);
    assert_eq!((s.output_batches, s.output_packets), (2, 20));
    let flow = rig.dp.flow(Ufid(0x1_0100_0000)).unwrap();
    assert_eq!((flow.stats.packets, flow.stats.bytes, flow.stats.used_ms), (20, 20 * 55, 1000));
    assert_eq!((flow.stats.tcp_flags, flow.view_version), (0x10, 1));
}

#[test]
fn a_flow_that_comes_back_is_found_again() {
    let mut rig = Rig::new(Config { emc_insert_inv_prob: 1, smc: true, ..Config::default() });
    for out in 2..5 {
        let entry = flow(0, 1 << 24, 1, out);
        rig.dp.install(&entry, 1).unwrap();
        rig.inject([frame(0, 1 << 24, 1), frame(0, 1 << 24, 1)]);
        rig.inject([frame(0, 1 << 24, 1)]);
        assert_eq!((rig.sent(out).len(), rig.upcalls.len()), (3, 0));
        assert_eq!(rig.dp.delete(entry.ufid).unwrap().stats.packets, 3);
    }
    rig.inject([frame(0, 1 << 24, 1)]);
    assert_eq!(rig.upcalls.len(), 1);
}

#[test]
fn limits_hold() {
    let mut rig = Rig::new(Config { flow_limit: 5, mask_limit: 2, upcall_quota: 3, ..Config::default() });
    for class in 0..2 {
        rig.dp.install(&flow(class, 1 << 24, 1, 2), 1).unwrap();
    }
    assert_eq!(rig.dp.install(&flow(2, 1, 1, 2), 1), Err(InstallError::MaskLimit));
    rig.dp.install(&flow(2, 1, 2, 2), 1).unwrap();
    rig.dp.install(&flow(0, 2 << 24, 1, 2), 1).unwrap();
    rig.dp.install(&flow(1, 2 << 24, 1, 2), 1).unwrap();
    assert_eq!(rig.dp.install(&flow(1, 3 << 24, 1, 2), 1), Err(InstallError::FlowLimit));
    assert_eq!((rig.dp.n_flows(), rig.dp.n_masks()), (5, 3));
    rig.inject((0..9).map(|i| frame(3, i, 1)));
    assert_eq!((rig.upcalls.len(), rig.dp.stats().misses, rig.dp.stats().lost), (3, 3, 6));
    rig.inject_at(2, [frame(3, 1, 1)]);
    assert_eq!(rig.upcalls.len(), 4, "the other port has places of its own");
    let answers: Vec<_> = rig.upcalls[..2].iter().map(|u| (1, u.ticket)).collect();
    rig.dp.upcalls_answered(&answers, rig.now_us, &mut Vec::new());
    rig.inject((0..9).map(|i| frame(3, i, 1)));
    assert_eq!(rig.upcalls.len(), 6);
}

/// The names of the flows that are in others' way.
fn in_the_way(rig: &Rig) -> Vec<Ufid> {
    let mut names = Vec::new();
    rig.dp.walk(FlowCursor::START, usize::MAX, |flow| names.extend(flow.is_in_the_way.then_some(flow.ufid)));
    names.sort_unstable();
    names
}

/// Where a flow does not fit for its mask, those are in the way whose masks nobody uses; used ones, whatever cache finds
/// them, and masks of very many flows are not.
#[test]
fn unused_masks_are_in_the_way_of_others() {
    let mut rig = Rig::new(Config { emc_insert_inv_prob: 1, mask_limit: 3, ..Config::default() });
    let (hot, cold, busy) = (flow(0, 1 << 24, 1, 2), flow(1, 1 << 16, 1, 2), flow(3, 1, 1, 2));
    for entry in [&hot, &cold, &busy] {
        rig.dp.install(entry, 1).unwrap();
    }
    for source in 2..80 {
        rig.dp.install(&flow(3, source, 1, 2), 1).unwrap();
    }
    let tick = |rig: &mut Rig| {
        rig.now_us += 1_000_000;
        rig.inject([frame(0, 1 << 24, 1)]);
        rig.dp.tick(rig.now_us);
    };
    tick(&mut rig);
    assert!(in_the_way(&rig).is_empty(), "nobody was refused");
    let refused = flow(2, 1, 1, 2);
    for _ in 0..2 {
        assert_eq!(rig.dp.install(&refused, 1), Err(InstallError::MaskLimit));
        tick(&mut rig);
        assert_eq!(in_the_way(&rig), [cold.ufid]);
    }
    tick(&mut rig);
    assert!(in_the_way(&rig).is_empty(), "nobody was refused lately");
    assert_eq!(rig.dp.install(&refused, 1), Err(InstallError::MaskLimit));
    rig.dp.delete(cold.ufid).unwrap();
    rig.dp.install(&refused, 1).unwrap();
    rig.inject([frame(2, 1, 1)]);
    assert!(rig.upcalls.is_empty());
}

/// Packets that are looked for in many subtables come in small bursts, until they are cheap again.
#[test]
fn a_flood_of_masks_costs_its_own_port_alone() {
    let mut rig = Rig::new(Config { upcall_quota: 0, ..Config::default() });
    let mut installed = 0;
    for bits in 0..1000u32 {
        let entry = flow(2, 1, 1, 2);
        let (mut key, mut mask) = (entry.key(), entry.mask());
        mask.set_nw_src(bits + 1);
        key.set_nw_src(0);
        let entry = FlowEntry::new(Ufid(bits.into()), &key, &mask, entry.actions);
        installed += usize::from(rig.dp.install(&entry, 1).is_ok());
    }
    assert_eq!(installed, 512);
    let burst = |rig: &mut Rig, port: u32, frame: Frame| {
        rig.inject_at(port, vec![frame; 2000]);
        let stats = rig.dp.queues().find(|q| q.1 == port).map(|q| q.3).unwrap();
        stats.packets as f64 / stats.polls as f64
    };
    assert!(burst(&mut rig, 2, frame(2, 1, 1)) > 25.0, "another port's bursts are as large as ever");
    assert!(burst(&mut rig, 1, frame(3, 1, 1)) < 6.0);
}

#[test]
fn ports_and_queues_come_and_go() {
    let mut rig = Rig::new(Config::default());
    rig.install_any(&[Action::Output(2)]);
    assert_eq!(rig.dp.queues().map(|q| q.1).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert!(rig.dp.remove_port(2).is_some() && rig.dp.remove_port(2).is_none());
    rig.inject([frame(0, 1, 1)]);
    assert_eq!(rig.dp.stats().dropped(dp::Drop::NoPort), 1);
    assert_eq!(rig.dp.queues().count(), 3);
    let queue = rig.inputs[&1].1;
    let rx = rig.dp.remove_queue(queue).unwrap();
    rig.inject([frame(0, 1, 1)]);
    assert_eq!(rig.dp.stats().received, 1);
    assert_eq!(rig.dp.add_queue(1, 0, rx), queue);
    rig.inject([]);
    assert_eq!(rig.dp.stats().received, 2);
}

/// The order in which a flow's packets came is that in which they leave, and one of them is decided upon.
#[test]
fn packets_of_a_flow_wait_for_its_first() {
    let mut rig = Rig::new(Config::default());
    let packet = |n: u8| plain(ipv4(6, [1, 0, 0, 1], [10, 0, 0, 2], &tcp(5, 0, &[n])));
    rig.inject([packet(1), packet(2)]);
    rig.inject([packet(3), frame(1, 1 << 24, 9)]);
    assert_eq!(rig.upcalls.len(), 2, "another flow does not wait");
    let first = rig.upcalls.remove(0);
    let entry = flow(0, 1 << 24, 1, 2);
    rig.dp.install(&entry, 1).unwrap();
    rig.inject([packet(4)]);
    assert!(rig.sent(2).is_empty(), "the flow is there, its first packet is not");
    let execute = flow::Execute { packet: first.packet, key: first.key, actions: entry.actions.clone() };
    rig.dp.execute(vec![execute], rig.now_us, &mut Vec::new());
    rig.dp.upcalls_answered(&[(1, first.ticket)], rig.now_us, &mut rig.upcalls);
    rig.inject([packet(5)]);
    let sent: Vec<u8> = rig.sent(2).iter().filter_map(|(octets, _)| octets.last().copied()).collect();
    assert_eq!(sent, [1, 2, 3, 4, 5]);
    let stats = *rig.dp.stats();
    assert_eq!((stats.misses, stats.lost, rig.upcalls.len()), (2, 0, 1));
    assert_eq!(rig.dp.flow(entry.ufid).map(|f| f.stats.packets), Some(4), "all but the first are the flow's");
}

/// Where no flow is installed, those that waited go up together, and in order.
#[test]
fn packets_that_waited_in_vain_are_handed_up() {
    let mut rig = Rig::new(Config { upcall_quota: 4, ..Config::default() });
    let packet = |n: u8| plain(ipv4(6, [1, 0, 0, 1], [10, 0, 0, 2], &tcp(5, 0, &[n])));
    rig.inject((1..=6).map(packet));
    assert_eq!((rig.upcalls.len(), rig.dp.stats().lost), (1, 2), "what waits has a place in the quota");
    let first = rig.upcalls.remove(0);
    rig.dp.upcalls_answered(&[(1, first.ticket)], rig.now_us, &mut rig.upcalls);
    let order: Vec<u8> = rig.upcalls.iter().filter_map(|u| u.packet.data().last().copied()).collect();
    assert_eq!(order, [2, 3, 4]);
    let answers: Vec<_> = rig.upcalls.drain(..).map(|u| (1, u.ticket)).collect();
    rig.dp.upcalls_answered(&answers[..2], rig.now_us, &mut rig.upcalls);
    rig.inject([packet(7)]);
    assert!(rig.upcalls.is_empty(), "one answer is missing");
    rig.now_us += 2_000_000;
    rig.dp.forget_answers(rig.now_us, &mut rig.upcalls);
    assert_eq!(rig.upcalls.len(), 1, "it is not waited for for ever");
    let lost = std::mem::take(&mut rig.upcalls);
    rig.dp.upcalls_lost(&lost, rig.now_us, &mut Vec::new());
    assert_eq!((rig.dp.stats().lost, decided(&rig)), (3, rig.dp.stats().received));
}

/// Passes that are accounted for.
fn decided(rig: &Rig) -> u64 {
    let stats = rig.dp.stats();
    stats.simple_hits + stats.emc_hits + stats.smc_hits + stats.megaflow_hits + stats.misses + stats.lost
}

/// What was handed up by an action and is lost on its way is no miss: its flow was found.
#[test]
fn each_packet_is_decided_upon_once_whatever_is_lost() {
    let mut rig = Rig::new(Config::default());
    let cookie = flow::odp::Cookie::SlowPath { reason: 4 };
    let userspace = flow::odp::Userspace { pid: 0, cookie, actions: false, tunnel_out_port: None };
    rig.install_any(&[Action::Userspace(Box::new(userspace))]);
    rig.inject([frame(0, 1, 1), frame(0, 1, 1)]);
    rig.inject_at(2, [frame(1, 1, 1)]);
    let lost = std::mem::take(&mut rig.upcalls);
    rig.dp.upcalls_lost(&lost, rig.now_us, &mut Vec::new());
    let stats = rig.dp.stats();
    assert_eq!((stats.action_upcalls, stats.dropped(dp::Drop::UserspaceActionLost)), (0, 2));
    assert_eq!((stats.misses, stats.lost, decided(&rig)), (0, 1, 3));
}

/// A packet whose flow is there, but whose first packet is not answered yet, is found twice and counts once, by whatever
/// cache finds it.
#[test]
fn a_packet_that_was_found_and_waits_is_counted_when_it_goes_on() {
    let usual = Config::default();
    let caches = [
        Config { emc_insert_inv_prob: 0, ..usual },
        Config { emc_insert_inv_prob: 1, ..usual },
        Config { emc_insert_inv_prob: 0, smc: true, ..usual },
    ];
    for config in caches {
        let mut rig = Rig::new(config);
        rig.inject([frame(0, 1 << 24, 1)]);
        let first = rig.upcalls.remove(0);
        rig.dp.install(&flow(0, 1 << 24, 1, 2), 1).unwrap();
        rig.inject([frame(0, 1 << 24, 1), frame(0, 1 << 24, 1)]);
        rig.inject([frame(0, 1 << 24, 1)]);
        assert_eq!(decided(&rig), 1, "the others wait");
        rig.dp.upcalls_answered(&[(1, first.ticket)], rig.now_us, &mut rig.upcalls);
        assert_eq!((decided(&rig), rig.dp.stats().received), (4, 4));
        // The answer may also be that there is no such flow.
        rig.inject([frame(1, 1 << 24, 1)]);
        let first = rig.upcalls.remove(0);
        rig.dp.install(&flow(1, 1 << 24, 1, 2), 1).unwrap();
        rig.inject([frame(1, 1 << 24, 1)]);
        rig.dp.flush();
        rig.dp.upcalls_answered(&[(1, first.ticket)], rig.now_us, &mut rig.upcalls);
        assert_eq!((decided(&rig), rig.dp.stats().received, rig.upcalls.len()), (6, 6, 1));
    }
}
