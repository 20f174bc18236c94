//! A bridge and its controllers: every request answered as Open vSwitch 3.1 answers it, error by error.

#[path = "service/bundles.rs"]
mod bundles;
#[path = "service/runner.rs"]
mod runner;

use ::flow::{Ticket, Upcall, UpcallKind};
use ofproto::bridge::{ConnKind, Output, RateLimit};
use openflow::Version::{self, *};
use openflow::message::async_config::AsyncKind;
use openflow::message::bundle::BundleCtrlType;
use openflow::message::meter::{BandType, MeterBand, MeterCommand, meter_flag};
use openflow::message::monitor::{FlowUpdateEvent, MonitorCommand, monitor_flag};
use openflow::message::role::{Role, RoleRequest};
use openflow::message::*;
use openflow::{ErrorCode, OfPort};
use packet::PacketBuf;
use runner::{Peer, World, errors, line};

fn switch(version: Version) -> (World, Peer) {
    let mut world = World::new();
    let peer = world.connect(1, version, ConnKind::Primary);
    (world, peer)
}

/// Sends lines in turn; each is followed by the error it must get, or nothing.
fn check(world: &mut World, peer: Peer, lines: &[(&str, &str)]) {
    for (text, wanted) in lines {
        let got = world.send(peer, line(text));
        let wanted: Vec<&str> = if wanted.is_empty() { Vec::new() } else { vec![*wanted] };
        assert_eq!(errors(&got), wanted, "{text}");
    }
}

/// One that a bridge has not heard of yet, or that has gone, would otherwise be flooded to where it came from.
#[test]
fn packets_of_ports_that_nobody_has_go_nowhere() {
    let (mut world, peer) = switch(V15);
    check(&mut world, peer, &[("flow add actions=output:1,output:2", "")]);
    for (in_port, is_translated) in [(9, false), (u32::MAX, true)] {
        let packet = PacketBuf::new(&[0; 60]);
        let mut key = ::flow::extract(packet.data(), in_port).0;
        key.set_in_port(in_port);
        let ticket = Ticket { flow: 1, thread: 0 };
        world.bridge.upcalls(
            vec![Upcall { kind: UpcallKind::Miss, key: Box::new(key), packet, ticket }],
            true,
            world.now_ms,
        );
        let outputs = world.bridge.take_outputs();
        let sent = outputs.iter().any(|o| matches!(o, Output::Execute { packets, .. } if !packets.is_empty()));
        let kept = outputs.iter().any(|o| matches!(o, Output::Install { .. }));
        // The datapath could not tell a flow of no port from others'.
        assert_eq!((sent, kept), (is_translated, false), "port {in_port}");
        let answered = outputs.iter().any(|o| matches!(o, Output::Execute { answered, .. } if answered.len() == 1));
        assert!(answered, "whoever waits is told");
    }
}

#[test]
fn slow_flows_go_rather_than_being_translated_anew() {
    // Before 200 ms nobody can say of a flow that it has fewer than five packets a second.
    let table = [(4, 1000, 5, true), (5, 1000, 5, false), (0, 1000, 0, false), (0, 199, 5, false), (0, 200, 5, true)];
    for (packets, ms, min_pps, goes) in table.into_iter().chain([(u64::MAX, i64::MAX / 2, u32::MAX, false)]) {
        for in_sweep in [false, true] {
            let (mut world, peer) = switch(V15);
            let mut view = world.bridge.live_view().clone();
            view.odp_ports.insert(2, ofproto::view::PortRef { bridge: world.bridge.view().id, port: OfPort(2) });
            world.bridge.set_switch_view(&view);
            check(&mut world, peer, &[("flow add actions=output:1", "")]);
            let packet = PacketBuf::new(&[0; 60]);
            let key = Box::new(::flow::extract(packet.data(), 2).0);
            let upcall = Upcall { kind: UpcallKind::Miss, key, packet, ticket: Ticket { flow: 1, thread: 0 } };
            world.bridge.upcalls(vec![upcall], true, world.now_ms);
            let ufid_of = |output: Output| match output {
                Output::Install { entries, .. } => Some(entries[0].ufid),
                _ => None,
            };
            let ufid = world.bridge.take_outputs().into_iter().find_map(ufid_of).expect("a flow");
            check(&mut world, peer, &[("flow add actions=output:1,output:1", "")]);
            let now_ms = world.now_ms + ms;
            let stats = ::flow::FlowStats { packets, used_ms: now_ms, ..Default::default() };
            let reports = [::flow::FlowReported::last(ufid, 0, stats)];
            let decisions = if in_sweep {
                world.bridge.revalidate(&reports, 10_000, min_pps, now_ms)
            } else {
                let stale = world.bridge.stale_flows(None, 10);
                world.bridge.judge(&stale, &reports, min_pps, now_ms)
            };
            let done = (decisions.delete.len(), decisions.modify.len());
            assert_eq!(done, (usize::from(goes), usize::from(!goes)), "{packets} in {ms} ms, at least {min_pps}");
        }
    }
}

#[test]
fn groups_are_added_changed_and_deleted() {
    let (mut world, peer) = switch(V15);
    check(
        &mut world,
        peer,
        &[
            ("group add group_id=1,type=all,bucket=output:1", ""),
            ("group add group_id=1,type=all,bucket=output:1", "OFPGMFC_GROUP_EXISTS"),
            ("group modify group_id=2,type=all,bucket=output:1", "OFPGMFC_UNKNOWN_GROUP"),
            ("group add_or_mod group_id=2,type=all,bucket=output:1", ""),
            // Chains are not looked into, nor whether they lead anywhere.
            ("group add group_id=4,type=all,bucket=group:1", ""),
            ("group add group_id=5,type=all,bucket=group:99", ""),
            ("group modify group_id=1,type=all,bucket=group:1", ""),
            ("group insert_bucket group_id=1,command_bucket_id=last,bucket=bucket_id:7,actions=output:2", ""),
            (
                "group insert_bucket group_id=1,command_bucket_id=last,bucket=bucket_id:7,actions=output:2",
                "OFPGMFC_BUCKET_EXISTS",
            ),
            (
                "group insert_bucket group_id=1,command_bucket_id=99,bucket=bucket_id:8,actions=output:2",
                "OFPGMFC_UNKNOWN_BUCKET",
            ),
            (
                "group insert_bucket group_id=77,command_bucket_id=last,bucket=bucket_id:8,actions=output:2",
                "OFPGMFC_UNKNOWN_GROUP",
            ),
            ("group remove_bucket group_id=77,command_bucket_id=last", "OFPGMFC_UNKNOWN_GROUP"),
            ("group remove_bucket group_id=1,command_bucket_id=55", "OFPGMFC_UNKNOWN_BUCKET"),
            ("group remove_bucket group_id=1,command_bucket_id=first", ""),
        ],
    );
    let Message::GroupDescReply(groups) = &world.send(peer, Message::GroupDescRequest(1))[0] else { panic!() };
    assert_eq!(groups[0].buckets.iter().map(|b| b.bucket_id).collect::<Vec<_>>(), [7]);
    check(
        &mut world,
        peer,
        &[
            ("group remove_bucket group_id=1,command_bucket_id=last", ""),
            ("group remove_bucket group_id=1,command_bucket_id=last", ""),
            ("group delete group_id=99", ""),
            ("group delete group_id=all", ""),
        ],
    );
    assert_eq!(world.send(peer, Message::GroupDescRequest(group::GROUP_ALL)), [Message::GroupDescReply(Vec::new())]);
}

#[test]
fn rules_go_with_their_group() {
    let (mut world, peer) = switch(V13);
    check(
        &mut world,
        peer,
        &[
            ("flow add actions=group:5", "OFPBAC_BAD_OUT_GROUP"),
            ("group add group_id=5,type=all,bucket=output:1", ""),
            ("flow add table=2,in_port=1,actions=group:5", ""),
            ("flow add in_port=2,actions=write_actions(group:5)", ""),
            ("flow add in_port=2,priority=1,send_flow_rem,actions=group:5", ""),
        ],
    );
    world.pass(1500);
    let got = world.send(peer, Message::GroupStatsRequest(5));
    let Message::GroupStatsReply(stats) = &got[0] else { panic!("{got:?}") };
    assert_eq!((stats[0].ref_count, stats[0].duration_sec, stats[0].buckets.len()), (3, 1, 1));
    assert_eq!(world.bridge.view().groups.len(), 1);
    let told = world.send(peer, line("group delete group_id=5"));
    assert!(matches!(&told[..], [Message::FlowRemoved(r)] if r.reason == flow_removed::FlowRemovedReason::GroupDelete));
    assert_eq!(world.rules(), Vec::<String>::new());
    assert!(world.bridge.view().groups.is_empty());
}

fn meter(command: MeterCommand, id: u32, flags: u16, bands: usize, kind: BandType) -> Message {
    let band = MeterBand { kind, prec_level: 1, rate: 10, burst_size: 0 };
    let meter = MeterConfig { meter_id: id, flags, bands: vec![band; bands] };
    Message::MeterMod(MeterMod { command, meter })
}

#[test]
fn meters() {
    use BandType::*;
    use MeterCommand::*;
    let kbps = meter_flag::KBPS;
    let (mut world, peer) = switch(V13);
    for (message, wanted) in [
        (meter(Add, 1, kbps, 1, Drop), ""),
        (meter(Add, 1, kbps, 1, Drop), "OFPMMFC_METER_EXISTS"),
        (meter(Modify, 2, kbps, 1, Drop), "OFPMMFC_UNKNOWN_METER"),
        (meter(Add, 3, kbps, 1, DscpRemark), "OFPMMFC_BAD_BAND"),
        (meter(Add, 3, kbps, 0, Drop), "OFPMMFC_OUT_OF_BANDS"),
        (meter(Add, 3, kbps, 9, Drop), "OFPMMFC_OUT_OF_BANDS"),
        (meter(Add, 3, 0, 1, Drop), "OFPMMFC_BAD_FLAGS"),
        (meter(Add, 3, kbps | meter_flag::PKTPS, 1, Drop), "OFPMMFC_BAD_FLAGS"),
        (meter(Add, 3, 0x10, 1, Drop), "OFPMMFC_BAD_FLAGS"),
        (meter(Add, 0, kbps, 1, Drop), "OFPMMFC_INVALID_METER"),
        (meter(Add, meter::METER_MAX + 1, kbps, 1, Drop), "OFPMMFC_INVALID_METER"),
        (meter(Add, meter::METER_ALL, kbps, 1, Drop), "OFPMMFC_INVALID_METER"),
        (meter(Add, meter::METER_MAX, kbps, 1, Drop), ""),
        (meter(Add, meter::METER_CONTROLLER, kbps, 1, Drop), ""),
        (meter(Add, meter::METER_SLOWPATH, kbps, 1, Drop), ""),
        (meter(Delete, 55, 0, 0, Drop), ""),
        (Message::MeterConfigRequest(77), "OFPMMFC_UNKNOWN_METER"),
        (Message::MeterStatsRequest(77), "OFPMMFC_UNKNOWN_METER"),
        (line("flow add actions=meter:8,output:1"), "OFPMMFC_INVALID_METER"),
        (line("flow add actions=meter:1,output:1"), ""),
    ] {
        let text = format!("{message:?}");
        let wanted: Vec<&str> = if wanted.is_empty() { Vec::new() } else { vec![wanted] };
        assert_eq!(errors(&world.send(peer, message)), wanted, "{text}");
    }
    assert_eq!(world.bridge.view().controller_meter, Some(2));
    assert_eq!(world.bridge.view().slowpath_meter, Some(3));
    let got = world.send(peer, Message::MeterStatsRequest(meter::METER_ALL));
    let Message::MeterStatsReply(stats) = &got[0] else { panic!("{got:?}") };
    assert_eq!(stats.iter().map(|s| (s.meter_id, s.flow_count)).collect::<Vec<_>>()[0], (1, 1));
    assert_eq!(stats.len(), 4);
    world.send(peer, meter(Delete, 1, 0, 0, Drop));
    assert_eq!(world.rules(), Vec::<String>::new());
    world.send(peer, meter(Delete, meter::METER_ALL, 0, 0, Drop));
    assert_eq!(world.bridge.view().controller_meter, None);
}

/// Bridges of a datapath share its meters: each takes the lowest number that is free, and one that goes leaves none.
#[test]
fn meters_of_a_datapath_are_numbered_together() {
    let (mut world, peer) = switch(V13);
    let mut other = World::new();
    other.bridge.meter_numbers = world.bridge.meter_numbers.clone();
    let its = other.connect(1, V13, ConnKind::Primary);
    let add = |id| meter(MeterCommand::Add, id, meter_flag::KBPS, 1, BandType::Drop);
    for id in [5, 6] {
        assert_eq!(errors(&world.send(peer, add(id))), [""; 0]);
    }
    assert_eq!(errors(&other.send(its, add(5))), [""; 0]);
    let numbers = |world: &World| world.bridge.view().meters.values().map(|m| m.dp_id).collect::<Vec<_>>();
    assert_eq!((numbers(&world), numbers(&other)), (vec![0, 1], vec![2]));
    world.bridge.leave();
    let gone = world.bridge.take_outputs().into_iter().filter_map(|output| match output {
        Output::SetMeter { id, config: None } => Some(id),
        _ => None,
    });
    assert_eq!(gone.collect::<Vec<_>>(), [0, 1]);
    assert_eq!(errors(&other.send(its, add(9))), [""; 0]);
    assert_eq!(numbers(&other), [2, 0]);
}

fn ctrl(id: u32, kind: BundleCtrlType, flags: u16) -> Message {
    Message::BundleCtrl(BundleCtrl { id, kind, flags })
}

#[test]
fn a_long_dump_waits_for_its_reader() {
    let (mut world, peer) = switch(V13);
    for i in 0..5_000 {
        world.send(peer, line(&format!("flow add tcp,nw_src=10.0.{}.{},actions=1", i >> 8, i & 255)));
    }
    let mut got = world.send(peer, flow_request());
    assert!(!got.is_empty());
    // What comes behind the request waits for the whole of its answer.
    got.extend(world.send(peer, Message::BarrierRequest));
    let mut rounds = 0;
    while !got.contains(&Message::BarrierReply) {
        world.bridge.has_read(peer.id, 500, 0);
        world.pass(0);
        got.extend(world.take(peer));
        rounds += 1;
        assert!(rounds < 100, "the answer does not end");
    }
    assert!(rounds > 3, "all of it came at once");
    let octets: Vec<u8> = got
        .iter()
        .filter_map(|m| if let Message::Encoded(o) = m { Some(&o[..]) } else { None })
        .flatten()
        .copied()
        .collect();
    let (mut rest, mut rows, mut more) = (&octets[..], 0, Vec::new());
    while !rest.is_empty() {
        let len = usize::from(u16::from_be_bytes([rest[2], rest[3]]));
        more.push(kind::is_more(&rest[..len]));
        let Message::FlowStatsReply { flows, .. } = decode(&rest[..len]).expect("a message").body else {
            panic!("rows")
        };
        rows += flows.len();
        rest = &rest[len..];
    }
    assert_eq!(rows, 5_000);
    assert!(more.len() > 5 && more.iter().rev().skip(1).all(|m| *m) && !more[more.len() - 1]);
}

/// A cached flow of packets that came back keeps the state that they came back by; a packet that a controller sent, whose
/// state nobody else has, leaves no flow.
#[test]
fn flows_of_packets_that_came_back_keep_their_state() {
    let (mut world, peer) = switch(V13);
    check(&mut world, peer, &[("flow add ip,actions=ct(table=1)", ""), ("flow add table=1,actions=output:2", "")]);
    let mut view = world.bridge.live_view().clone();
    view.odp_ports.insert(1, ofproto::view::PortRef { bridge: world.bridge.view().id, port: OfPort(1) });
    world.bridge.set_switch_view(&view);
    let miss = |world: &mut World, recirc_id: u32| {
        let mut octets = [0; 60];
        (octets[12], octets[14], octets[17], octets[22]) = (8, 0x45, 46, 64);
        let packet = PacketBuf::new(&octets);
        let mut key = Box::new(::flow::extract(packet.data(), 1).0);
        key.set_recirc_id(recirc_id);
        let upcall = Upcall { kind: UpcallKind::Miss, key, packet, ticket: Ticket { flow: 1, thread: 0 } };
        world.bridge.upcalls(vec![upcall], true, world.now_ms);
        let mut installed = Vec::new();
        for output in world.bridge.take_outputs() {
            if let Output::Install { entries, .. } = output {
                installed.extend(entries.into_iter().map(|entry| entry.ufid));
            }
        }
        installed
    };
    let first = miss(&mut world, 0);
    let second = miss(&mut world, 1);
    assert_eq!((first.len(), second.len()), (1, 1));
    let gone = |ufid| ::flow::FlowReported::last(ufid, 0, ::flow::FlowStats::default());
    world.bridge.flows_deleted(&[gone(first[0])], world.now_ms);
    world.pass(10_000);
    assert_eq!(miss(&mut world, 1), second, "it has the state by itself");
    world.bridge.flows_deleted(&[gone(second[0])], world.now_ms);
    assert!(miss(&mut world, 1).is_empty(), "a packet on its way is decided upon, and leaves nothing");
}

/// The answer to a packet that taught a rule may be back before the rule's table has it: it is decided upon by that rule
/// nevertheless. What teaches nothing new holds nobody up.
#[test]
fn an_answer_is_decided_upon_by_what_its_question_taught() {
    let (mut world, peer) = switch(V13);
    let rules = [
        ("flow add in_port=1,actions=learn(table=1,output:NXM_OF_IN_PORT[]),output:2", ""),
        ("flow add in_port=2,actions=resubmit(,1)", ""),
    ];
    check(&mut world, peer, &rules);
    let mut view = world.bridge.live_view().clone();
    for port in [1u16, 2] {
        let at = ofproto::view::PortRef { bridge: world.bridge.view().id, port: OfPort(port) };
        view.odp_ports.insert(port.into(), at);
    }
    world.bridge.set_switch_view(&view);
    let question_and_answer = |world: &mut World| {
        for in_port in [1, 2] {
            let packet = PacketBuf::new(&[0; 60]);
            let key = Box::new(::flow::extract(packet.data(), in_port).0);
            let upcall = Upcall { kind: UpcallKind::Miss, key, packet, ticket: Ticket { flow: 1, thread: 0 } };
            world.bridge.upcalls(vec![upcall], true, world.now_ms);
        }
    };
    question_and_answer(&mut world);
    world.pass(0);
    let output = |port| [::flow::Action::Output(port)].into();
    assert_eq!(world.executed, [output(2), output(1)] as [::flow::Actions; 2]);
    question_and_answer(&mut world);
    let sent = |output: &Output| matches!(output, Output::Execute { packets, .. } if packets.len() == 1);
    assert_eq!(world.bridge.take_outputs().iter().filter(|o| sent(o)).count(), 2);
}

/// A packet that comes up by the `userspace` actions of what it is translated to, as the datapath hands it up.
fn for_controller(world: &mut World) -> Upcall {
    let packet = PacketBuf::new(&[0; 60]);
    let key = Box::new(::flow::extract(packet.data(), u32::MAX).0);
    let ticket = Ticket { flow: 1, thread: 0 };
    let miss = Upcall { kind: UpcallKind::Miss, key: key.clone(), packet: packet.clone(), ticket };
    world.bridge.upcalls(vec![miss], true, world.now_ms);
    let outputs = world.bridge.take_outputs();
    let sent =
        outputs.iter().find_map(|o| if let Output::Execute { packets, .. } = o { packets.first() } else { None });
    let ::flow::Action::Userspace(up) = &sent.expect("a packet").actions[0] else { panic!("not handed up") };
    Upcall { kind: UpcallKind::Action(up.cookie.clone()), key, packet, ticket }
}

/// A flood of packets to a controller that does not read is no more than so many messages, each lost one is counted, and
/// requests are answered beside it.
#[test]
fn packets_that_nobody_reads_are_few_and_hold_no_request_back() {
    let (mut world, peer) = switch(V13);
    let other = world.connect(2, V13, ConnKind::Primary);
    check(&mut world, peer, &[("flow add actions=controller", "")]);
    let upcall = for_controller(&mut world);
    let flood = |world: &mut World| -> (usize, usize, u64) {
        let mut dropped = 0;
        for _ in 0..20 {
            world.bridge.upcalls(vec![upcall.clone(); 50], true, world.now_ms);
            dropped += world.pass_and_count_dropped();
        }
        (world.take(peer).len(), world.take(other).len(), dropped)
    };
    let snoop = world.connect(3, V13, ConnKind::Snoop);
    let (own, others, dropped) = flood(&mut world);
    assert_eq!((own, others, world.take(snoop).len()), (256, 256, 256));
    assert_eq!(dropped, 2 * (1000 - 256));
    // Neither the packets nor their number keep it from an answer.
    assert_eq!(world.send(peer, Message::BarrierRequest), [Message::BarrierReply]);
    // One that has read gets more, the other not.
    world.bridge.has_read(peer.id, 0, 100);
    assert_eq!(flood(&mut world), (100, 0, 900 + 1000));
}

/// Asks for all rules.
fn flow_request() -> Message {
    let request = openflow::flow_mod::parse_stats_request("", false, openflow::Names::NONE).expect("a request").request;
    Message::FlowStatsRequest { dialect: Dialect::Standard, request: Box::new(request) }
}

fn role(role: Role, generation: u64) -> Message {
    Message::RoleRequest(RoleRequest { dialect: Dialect::Standard, role, generation_id: Some(generation) })
}

#[test]
fn roles_and_elections() {
    let (mut world, first) = switch(V14);
    let second = world.connect(2, V14, ConnKind::Primary);
    assert!(matches!(
        world.send(first, role(Role::Primary, 5))[..],
        [Message::RoleReply(RoleRequest { role: Role::Primary, generation_id: Some(5), .. })]
    ));
    assert_eq!(errors(&world.send(second, role(Role::Primary, 4))), ["OFPRRFC_STALE"]);
    assert_eq!(errors(&world.send(second, role(Role::Secondary, 4))), ["OFPRRFC_STALE"]);
    // Who wants to be equal need not be up to date.
    assert_eq!(errors(&world.send(second, role(Role::Equal, 4))), Vec::<&str>::new());
    world.send(second, role(Role::Primary, 6));
    let told = world.take(first);
    assert!(
        matches!(&told[..], [Message::RoleStatus(s)] if s.role == Role::Secondary && s.generation_id == 6),
        "{told:?}"
    );
    for text in ["flow add actions=drop", "group add group_id=1,type=all"] {
        assert_eq!(errors(&world.send(first, line(text))), ["OFPBRC_IS_SECONDARY"], "{text}");
    }
    assert_eq!(errors(&world.send(first, ctrl(1, BundleCtrlType::OpenRequest, 1))), ["OFPBRC_IS_SECONDARY"]);
    assert_eq!(world.bridge.role_name(first.id), Some("slave"));
}

fn watch(id: u32, flags: u16, table: u8) -> Message {
    Message::FlowMonitorRequest(vec![FlowMonitorRequest {
        id,
        command: MonitorCommand::Add,
        flags,
        out_port: OfPort::ANY,
        out_group: group::GROUP_ANY,
        table_id: table,
        matching: openflow::matching::Match::any(),
    }])
}

fn events(messages: &[Message]) -> Vec<Vec<FlowUpdateEvent>> {
    let one = |u: &FlowUpdate| match u {
        FlowUpdate::Full(full) => Some(full.event),
        _ => None,
    };
    let list = |m: &Message| match m {
        Message::FlowMonitorReply(updates) => Some(updates.iter().filter_map(one).collect()),
        _ => None,
    };
    messages.iter().filter_map(list).collect()
}

#[test]
fn flow_monitors() {
    use FlowUpdateEvent::*;
    use monitor_flag as f;
    let (mut world, peer) = switch(V14);
    let watcher = world.connect(2, V14, ConnKind::Service);
    check(&mut world, peer, &[("flow add in_port=1,actions=2", "")]);
    let all = f::INITIAL | f::ADD | f::REMOVED | f::MODIFY | f::INSTRUCTIONS;
    assert_eq!(events(&world.send(watcher, watch(1, all, 0xff))), [vec![Initial]]);
    assert_eq!(errors(&world.send(watcher, watch(1, all, 0xff))), ["OFPMOFC_MONITOR_EXISTS"]);
    check(
        &mut world,
        peer,
        &[
            ("flow add table=1,in_port=1,actions=2", ""),
            ("flow modify table=1,actions=1", ""),
            // Nothing changes: nothing is told.
            ("flow modify table=1,actions=1", ""),
            ("flow delete in_port=1", ""),
        ],
    );
    assert_eq!(events(&world.take(watcher)), [vec![Added], vec![Modified], vec![Deleted, Deleted]]);
    // What one does oneself is told in short.
    let got = world.send(watcher, line("flow add actions=1"));
    assert!(
        matches!(&got[..], [Message::FlowMonitorReply(u)] if matches!(u[..], [FlowUpdate::Abbrev { .. }])),
        "{got:?}"
    );
    assert_eq!(
        errors(&world.send(
            watcher,
            Message::FlowMonitorRequest(vec![FlowMonitorRequest {
                command: MonitorCommand::Delete,
                ..match watch(9, all, 0xff) {
                    Message::FlowMonitorRequest(mut v) => v.remove(0),
                    _ => unreachable!(),
                }
            }])
        )),
        ["OFPMOFC_UNKNOWN_MONITOR"]
    );
}

#[test]
fn a_slow_reader_is_paused_and_told_later() {
    use FlowUpdateEvent::*;
    use monitor_flag as f;
    let (mut world, peer) = switch(V13);
    let watcher = world.connect(2, V13, ConnKind::Service);
    check(&mut world, peer, &[("flow add in_port=1,actions=2", ""), ("flow add in_port=3,actions=2", "")]);
    world.send(watcher, watch(1, f::ADD | f::REMOVED | f::MODIFY, 0xff));
    world.bridge.set_backlog(watcher.id, 1 << 20);
    check(
        &mut world,
        peer,
        &[
            ("flow add in_port=2,actions=2", ""),
            ("flow add in_port=4,actions=2", ""),
            ("flow delete in_port=4", ""),
            ("flow modify in_port=3,actions=1", ""),
            ("flow delete in_port=1", ""),
        ],
    );
    world.bridge.set_backlog(watcher.id, 0);
    world.pass(0);
    let got = world.take(watcher);
    assert_eq!(got[0], Message::FlowMonitorPaused);
    assert_eq!(got.last(), Some(&Message::FlowMonitorResumed));
    let mut told = events(&got);
    told[1].sort_by_key(|e| *e as u8);
    assert_eq!(told, [vec![Deleted], vec![Added, Modified]]);
}

#[test]
fn requests_of_one_are_forwarded_to_others() {
    let (mut world, peer) = switch(V14);
    let other = world.connect(2, V14, ConnKind::Primary);
    let mut set = SetAsync { form: async_config::AsyncForm::Standard, primary: [None; 6], secondary: [None; 6] };
    set.primary[AsyncKind::RequestForward as usize] = Some(3);
    world.send(other, Message::SetAsync(set));
    let group_mod = line("group add group_id=1,type=all");
    assert!(world.send(peer, group_mod.clone()).is_empty());
    let got = world.take(other);
    assert!(matches!(&got[..], [Message::RequestForward(inner)] if inner.body == group_mod), "{got:?}");
}

#[test]
fn flow_mods_that_are_refused() {
    let (mut world, peer) = switch(V13);
    check(
        &mut world,
        peer,
        &[
            ("flow add table=254,actions=drop", "OFPBRC_EPERM"),
            ("flow add table=253,actions=drop", ""),
            ("flow add priority=5,check_overlap,ip,actions=1", ""),
            ("flow add priority=5,check_overlap,tcp,actions=1", "OFPFMFC_OVERLAP"),
            ("flow add tun_metadata0=1,actions=drop", "NXFMFC_INVALID_TLV_FIELD"),
        ],
    );
    let Message::FlowMod { mut flow_mod, dialect } = line("flow add actions=drop") else { panic!() };
    flow_mod.buffer_id = Some(5);
    let got = world.send(peer, Message::FlowMod { dialect, flow_mod });
    assert_eq!(errors(&got), ["OFPBRC_BUFFER_UNKNOWN"]);
}

#[test]
fn modifying_everywhere_adds_once() {
    let (mut world, _) = switch(V13);
    let peer = world.connect(2, V10, ConnKind::Primary);
    let old = world.connect(3, V13, ConnKind::Primary);
    check(
        &mut world,
        old,
        &[("flow add table=3,in_port=1,actions=1", ""), ("flow add table=4,in_port=2,actions=1", "")],
    );
    check(&mut world, peer, &[("flow modify in_port=1,actions=output:2", "")]);
    assert_eq!(world.rules(), ["3: in_port=1,actions=output:2", "4: in_port=2,actions=output:1"]);
    check(
        &mut world,
        peer,
        &[("flow modify in_port=5,actions=output:2", ""), ("flow modify in_port=5,actions=output:3", "")],
    );
    assert_eq!(world.rules()[0], "0: in_port=5,actions=output:3");
    check(&mut world, peer, &[("flow delete", "")]);
    assert!(world.rules().is_empty());
}

#[test]
fn tunnel_options() {
    let map = |class, kind, len, index| TlvMap { option_class: class, option_type: kind, option_len: len, index };
    let change =
        |command, mappings: &[TlvMap]| Message::TlvTableMod(TlvTableMod { command, mappings: mappings.to_vec() });
    use tlv_map::TlvCommand::*;
    let (mut world, peer) = switch(V13);
    for (message, wanted) in [
        (change(Add, &[map(0xffff, 0, 4, 0)]), ""),
        (change(Add, &[map(0xffff, 0, 4, 0)]), "NXTTMFC_ALREADY_MAPPED"),
        (change(Add, &[map(0xffff, 0, 4, 1)]), "NXTTMFC_DUP_ENTRY"),
        (change(Add, &[map(0xffff, 1, 4, 1), map(0xffff, 2, 124, 2), map(0xffff, 3, 124, 3)]), ""),
        (change(Add, &[map(0xffff, 7, 124, 7)]), "NXTTMFC_TABLE_FULL"),
        (line("flow add tun_metadata0=1,actions=drop"), ""),
        (change(Delete, &[map(0xffff, 0, 4, 0)]), "NXTTMFC_INVALID_TLV_DEL"),
        (change(Delete, &[map(0xffff, 9, 4, 9)]), ""),
        (change(Delete, &[map(0xffff, 1, 4, 1)]), ""),
        (change(Clear, &[]), "NXTTMFC_INVALID_TLV_DEL"),
        (line("flow delete"), ""),
        (change(Clear, &[]), ""),
    ] {
        let text = format!("{message:?}");
        let wanted: Vec<&str> = if wanted.is_empty() { Vec::new() } else { vec![wanted] };
        assert_eq!(errors(&world.send(peer, message)), wanted, "{text}");
    }
    let got = world.send(peer, Message::TlvTableRequest);
    assert_eq!(
        got,
        [Message::TlvTableReply(TlvTableReply { max_option_space: 256, max_fields: 64, mappings: vec![] })]
    );
}

#[test]
fn tables_are_configured_and_described() {
    let (mut world, peer) = switch(V14);
    let table_mod = |table_id, vacancy| {
        Message::TableMod(TableMod {
            table_id,
            miss: table::TableMiss::Default,
            eviction: Some(true),
            eviction_flags: u32::MAX,
            vacancy: Some(vacancy),
            table_vacancy: table::Vacancy { down: 20, up: 80, vacancy: 0 },
        })
    };
    assert_eq!(errors(&world.send(peer, table_mod(254, false))), ["OFPTMFC_EPERM"]);
    assert!(world.send(peer, table_mod(1, true)).is_empty());
    let got = world.send(peer, Message::TableDescRequest);
    let Message::TableDescReply(tables) = &got[0] else { panic!("{got:?}") };
    assert_eq!(tables.len(), 254);
    assert_eq!(
        (tables[0].eviction, tables[1].eviction, tables[1].table_vacancy.vacancy),
        (Some(false), Some(true), 100)
    );
    let got = world.send(peer, Message::TableStatsRequest);
    let Message::TableStatsReply(tables) = &got[0] else { panic!("{got:?}") };
    assert_eq!((tables.len(), tables[0].features.max_entries), (254, 1_000_000));
}

#[test]
fn what_is_not_configured_or_not_there() {
    let (mut world, peer) = switch(V13);
    for (message, wanted) in [
        (Message::IpfixBridgeRequest, "NXST_NOT_CONFIGURED"),
        (Message::IpfixFlowRequest, "NXST_NOT_CONFIGURED"),
        (Message::QueueConfigRequest { port: OfPort(9), queue: None }, "OFPQOFC_BAD_PORT"),
        (Message::QueueStatsRequest { port: OfPort(9), queue: None }, "OFPQOFC_BAD_PORT"),
        (Message::FlowMonitorCancel(7), "OFPMOFC_UNKNOWN_MONITOR"),
    ] {
        assert_eq!(errors(&world.send(peer, message.clone())), [wanted], "{message:?}");
    }
    assert_eq!(errors(&world.raw(peer, &[4, 99, 0, 8, 0, 0, 0, 1])), ["OFPBRC_BAD_TYPE"]);
    assert_eq!(ErrorCode::OFPBRC_BAD_TYPE.name(), "OFPBRC_BAD_TYPE");
}

#[test]
fn a_published_view_is_what_packets_are_translated_by() {
    let (mut world, peer) = switch(V13);
    world.bridge.take_changed_view();
    world.bridge.live_view();
    check(&mut world, peer, &[("flow add in_port=1,actions=output:2", "")]);
    let published = world.bridge.take_changed_view().unwrap();
    let id = published.id;
    assert_eq!(world.bridge.live_view().bridges[&id].version, published.version);
}

#[test]
fn packets_come_at_the_rate_configured() {
    let (mut world, peer) = switch(V13);
    world.bridge.limit_packets(peer.id, Some(RateLimit { rate: 100, burst: 25 }), None);
    assert_eq!(world.bridge.poll_timeout(), None);
}

#[test]
fn a_monitor_of_the_oldest_version_hears_of_its_flows() {
    use monitor_flag as f;
    for version in [V10, V12, V13, V15] {
        let mut world = World::new();
        let peer = world.connect(1, version, ConnKind::Service);
        let watcher = world.connect(2, version, ConnKind::Service);
        world.send(watcher, watch(1, f::INITIAL | f::ADD | f::REMOVED | f::MODIFY | f::INSTRUCTIONS, 0xff));
        check(&mut world, peer, &[("flow add in_port=1,actions=2", ""), ("flow delete", "")]);
        let told = events(&world.take(watcher));
        assert_eq!(told, [vec![FlowUpdateEvent::Added], vec![FlowUpdateEvent::Deleted]], "{version:?}");
    }
}

#[test]
fn a_monitor_as_older_programs_ask_for_it() {
    let mut world = World::new();
    let peer = world.connect(1, V10, ConnKind::Service);
    let watcher = world.connect(2, V10, ConnKind::Service);
    let mut request = vec![1, 16, 0, 40, 0, 0, 0, 6, 0xff, 0xff, 0, 0, 0, 0, 0x23, 0x20, 0, 0, 0, 2, 0, 0, 0, 0];
    request.extend([0, 0, 0, 0, 0, 0x3f, 0xff, 0xff, 0, 0, 0xff, 0, 0, 0, 0, 0]);
    assert_eq!(world.raw(watcher, &request), [Message::FlowMonitorReply(Vec::new())]);
    check(&mut world, peer, &[("flow add in_port=1,actions=2", "")]);
    assert_eq!(events(&world.take(watcher)), [vec![FlowUpdateEvent::Added]]);
}
