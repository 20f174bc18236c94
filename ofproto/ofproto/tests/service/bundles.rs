//! Bundles: their states, and that they stand whole or not at all.

use openflow::OfPort;
use openflow::Version::V14;
use openflow::message::bundle::{BUNDLE_ATOMIC, BUNDLE_ORDERED, BundleCtrlType};
use openflow::message::port::{PortMod, port_config};
use openflow::message::*;

use super::runner::{Peer, World, errors, line};
use super::{check, ctrl, switch};

#[test]
fn bundles_and_their_states() {
    use BundleCtrlType::*;
    for (steps, wanted) in [
        (vec![(1, OpenRequest, 1), (1, OpenRequest, 1), (1, OpenRequest, 1)], vec!["OFPBFC_BAD_ID"]),
        (
            vec![(1, OpenRequest, 1), (1, CloseRequest, 2), (1, CloseRequest, 1)],
            vec!["OFPBFC_BAD_FLAGS", "OFPBFC_BAD_ID"],
        ),
        (vec![(1, OpenRequest, 1), (1, CloseRequest, 1), (1, CloseRequest, 1)], vec!["OFPBFC_BUNDLE_CLOSED"]),
        (
            vec![(1, OpenRequest, 1), (1, CommitRequest, 3), (1, CommitRequest, 1)],
            vec!["OFPBFC_BAD_FLAGS", "OFPBFC_BAD_ID"],
        ),
        (
            vec![(9, CommitRequest, 1), (9, DiscardRequest, 1), (9, OpenReply, 1)],
            vec!["OFPBFC_BAD_ID", "OFPBFC_BAD_ID", "OFPBFC_BAD_TYPE"],
        ),
        (vec![(1, OpenRequest, 1), (1, CommitRequest, 1), (1, OpenRequest, 0xf0), (1, DiscardRequest, 1)], vec![]),
    ] {
        let (mut world, peer) = switch(V14);
        let mut got = Vec::new();
        for (id, kind, flags) in steps {
            got.extend(errors(&world.send(peer, ctrl(id, kind, flags))));
        }
        assert_eq!(got, wanted);
    }
}

/// Sends lines as one bundle and commits it.
fn bundle(world: &mut World, peer: Peer, lines: &[&str]) -> Vec<Message> {
    let flags = BUNDLE_ATOMIC | BUNDLE_ORDERED;
    let mut got = world.send(peer, ctrl(7, BundleCtrlType::OpenRequest, flags));
    got.clear();
    for (i, text) in lines.iter().enumerate() {
        let xid = 1000 + i as u32;
        let message = Box::new(Msg { version: peer.version, xid, body: line(text) });
        let add = Message::BundleAdd(BundleAdd { id: 7, flags, message, raw: Vec::new() });
        got.extend(world.raw(peer, &encode(&add, peer.version, xid).expect("encodable")));
    }
    got.extend(world.send(peer, ctrl(7, BundleCtrlType::CommitRequest, flags)));
    got
}

#[test]
fn a_bundle_stands_whole_or_not_at_all() {
    let (mut world, peer) = switch(V14);
    check(&mut world, peer, &[("flow add in_port=1,actions=output:2", "")]);
    let before = world.rules();
    for (lines, wanted) in [
        (&["flow add in_port=3,actions=2", "flow add in_port=4,actions=group:77"][..], "OFPBAC_BAD_OUT_GROUP"),
        (&["flow delete", "group add group_id=7,type=all", "group add group_id=7,type=all"], "OFPGMFC_GROUP_EXISTS"),
        (
            &["flow add priority=9,ip,actions=1", "flow add priority=9,check_overlap,in_port=1,actions=2"],
            "OFPFMFC_OVERLAP",
        ),
        // What the tables refuse comes before what is refused later.
        (
            &[
                "flow add in_port=1,check_overlap,priority=5,ip,actions=1",
                "flow add check_overlap,priority=5,ip,actions=1",
                "flow add in_port=4,actions=group:77",
            ],
            "OFPFMFC_OVERLAP",
        ),
    ] {
        assert_eq!(errors(&bundle(&mut world, peer, lines)), [wanted, "OFPBFC_MSG_FAILED"], "{lines:?}");
        assert_eq!(world.rules(), before, "{lines:?}");
        assert!(world.bridge.view().groups.is_empty());
    }
    // A later message uses what an earlier one made.
    let got = bundle(
        &mut world,
        peer,
        &[
            "group add group_id=7,type=all,bucket=output:1",
            "flow add in_port=4,table=4,actions=group:7",
            "flow delete in_port=1",
        ],
    );
    assert_eq!(got, [ctrl(7, BundleCtrlType::CommitReply, 0)]);
    assert_eq!(world.rules(), ["4: in_port=4,actions=group:7"]);
    // A modification finds what an earlier one added, in whatever table, and not what is gone.
    let before = world.rules();
    for table in ["0", "4", "5"] {
        for actions in ["group:77", "meter:9"] {
            let add = format!("flow add in_port=5,table={table},actions=2");
            let modify = format!("flow modify in_port=5,table={table},actions={actions}");
            assert_eq!(errors(&bundle(&mut world, peer, &[&add, &modify])).len(), 2, "{add} {modify}");
            assert_eq!(world.rules(), before, "{add} {modify}");
        }
    }
    let add = "flow add in_port=5,table=5,actions=2";
    let lines = [add, "flow modify in_port=5,table=5,actions=3", "flow modify table=5,ip,actions=group:77"];
    assert_eq!(bundle(&mut world, peer, &lines), [ctrl(7, BundleCtrlType::CommitReply, 0)]);
    assert_eq!(world.rules(), ["4: in_port=4,actions=group:7", "5: in_port=5,actions=output:3"]);
    let lines = ["flow delete table=5,in_port=5", "flow modify in_port=5,table=5,actions=group:77"];
    assert_eq!(bundle(&mut world, peer, &lines), [ctrl(7, BundleCtrlType::CommitReply, 0)]);
    assert_eq!(world.rules(), before);
    // The internal table is refused at once.
    let got = bundle(&mut world, peer, &["flow add table=254,actions=drop"]);
    assert_eq!(errors(&got), ["OFPBRC_EPERM"]);
}

#[test]
fn a_port_mod_stands_in_a_bundle_that_is_not_atomic() {
    let (mut world, peer) = switch(V14);
    let number = OfPort(2);
    let hw_addr = world.bridge.view().ports[&number].hw_addr;
    let good = PortMod {
        port: number,
        hw_addr,
        hw_addr64: 0,
        config: port_config::NO_FWD,
        mask: port_config::NO_FWD,
        advertise: 0,
    };
    let no_port = PortMod { port: OfPort(99), ..good.clone() };
    let not_its_address = PortMod { hw_addr: hw_addr ^ 1, ..good.clone() };
    let failed = ["OFPBFC_MSG_FAILED", "OFPBFC_MSG_FAILED"];
    for (flags, port_mod, wanted) in [
        (BUNDLE_ATOMIC, &good, &failed[..]),
        (BUNDLE_ATOMIC | BUNDLE_ORDERED, &good, &failed),
        (BUNDLE_ATOMIC, &no_port, &failed),
        (BUNDLE_ATOMIC, &not_its_address, &failed),
        (0, &no_port, &["OFPPMFC_BAD_PORT", "OFPBFC_MSG_FAILED"]),
        (BUNDLE_ORDERED, &not_its_address, &["OFPPMFC_BAD_HW_ADDR", "OFPBFC_MSG_FAILED"]),
        (BUNDLE_ORDERED, &good, &[]),
    ] {
        let before = world.rules();
        world.send(peer, ctrl(7, BundleCtrlType::OpenRequest, flags));
        for (xid, body) in [(1000, line("flow add in_port=1,actions=2")), (1001, Message::PortMod(port_mod.clone()))] {
            let message = Box::new(Msg { version: peer.version, xid, body });
            let add = Message::BundleAdd(BundleAdd { id: 7, flags, message, raw: Vec::new() });
            world.raw(peer, &encode(&add, peer.version, xid).expect("encodable"));
        }
        let got = world.send(peer, ctrl(7, BundleCtrlType::CommitRequest, flags));
        assert_eq!(errors(&got), wanted, "{flags} {port_mod:?}");
        let config = world.bridge.view().ports[&number].config;
        if wanted.is_empty() {
            assert_eq!(world.rules(), ["0: in_port=1,actions=output:2"]);
            assert_eq!(config, port_config::NO_FWD);
        } else {
            assert_eq!(world.rules(), before, "{flags} {port_mod:?}");
            assert_eq!(config, 0, "{flags} {port_mod:?}");
        }
    }
}

#[test]
fn a_long_bundle_is_staged_in_pieces_and_stands_at_once() {
    let (mut world, peer) = switch(V14);
    let flags = BUNDLE_ATOMIC | BUNDLE_ORDERED;
    let send = |world: &mut World, last: &str| {
        world.send(peer, ctrl(7, BundleCtrlType::OpenRequest, flags));
        let flows =
            (0..9_000).map(|i| format!("flow add priority={},tcp,nw_src=10.0.{}.{},actions=1", i % 3, i >> 8, i & 255));
        let mut got = Vec::new();
        for (text, xid) in flows.chain([last.to_owned()]).zip(1000..) {
            let message = Box::new(Msg { version: V14, xid, body: line(&text) });
            let add = Message::BundleAdd(BundleAdd { id: 7, flags, message, raw: Vec::new() });
            got.extend(world.raw(peer, &encode(&add, V14, xid).expect("encodable")));
        }
        got.extend(world.send(peer, ctrl(7, BundleCtrlType::CommitRequest, flags)));
        got
    };
    let got = send(&mut world, "flow add in_port=4,actions=group:77");
    assert_eq!(errors(&got), ["OFPBAC_BAD_OUT_GROUP", "OFPBFC_MSG_FAILED"]);
    // The message that failed is quoted as it came, in what added it to the bundle.
    let Message::Error(error) = &got[0] else { panic!("an error") };
    assert_eq!((error.data[1], &error.data[4..8]), (34, &10_000u32.to_be_bytes()[..]));
    assert_eq!((error.data[17], usize::from(error.data[3])), (14, error.data.len()));
    assert_eq!(world.rules(), [] as [&str; 0]);
    assert_eq!(send(&mut world, "flow delete nw_src=10.0.0.0/24,tcp"), [ctrl(7, BundleCtrlType::CommitReply, 0)]);
    assert_eq!(world.rules().len(), 9_000 - 256);
}

#[test]
fn an_idle_bundle_times_out() {
    let (mut world, peer) = switch(V14);
    world.send(peer, ctrl(1, BundleCtrlType::OpenRequest, 1));
    world.pass(9_999);
    assert!(world.take(peer).is_empty());
    assert_eq!(world.bridge.poll_timeout().map(|(at, _)| at), Some(11_000));
    world.pass(1);
    assert_eq!(errors(&world.take(peer)), ["OFPBFC_TIMEOUT"]);
    assert_eq!(errors(&world.send(peer, ctrl(1, BundleCtrlType::CommitRequest, 1))), ["OFPBFC_BAD_ID"]);
}
