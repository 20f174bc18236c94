//! Several threads of one datapath: what they have in common, and how one follows another's flow table.

mod common;

use common::*;
use dp::{Band, BandKind, Config, FlowCursor, InstallError, MeterConfig, PolicerConfig};
use flow::odp::Ct;
use flow::{Action, FlowChange, FlowEntry, Key, Mask, Ufid, ct_state as cs};

const A: [u8; 4] = [10, 0, 0, 1];
const B: [u8; 4] = [10, 0, 0, 2];

fn datagram(src: [u8; 4], dst: [u8; 4], sport: u16, dport: u16) -> Vec<u8> {
    fill(ipv4(17, src, dst, &udp(sport, dport, b"data")), 40)
}

fn pair() -> [Rig; 2] {
    let first = Rig::new(Config::default());
    let second = first.beside(Config { thread: 1, ..Config::default() });
    [first, second]
}

#[test]
fn a_connection_is_one_whichever_thread_has_its_directions() {
    let mut rigs = pair();
    for rig in &mut rigs {
        let commit = Ct { commit: true, ..Ct::default() };
        rig.install_any(&[Action::Ct(Box::new(commit)), Action::Recirc(1)]);
    }
    let mut state = |thread: usize, frame: Vec<u8>| {
        rigs[thread].inject([plain(frame)]);
        let upcalls = rigs[thread].take_upcalls();
        assert_eq!(usize::from(upcalls[0].ticket.thread), thread, "who asks is known");
        upcalls[0].key.ct_state() & !cs::TRK
    };
    assert_eq!(state(0, datagram(A, B, 1, 2)), cs::NEW);
    assert_eq!(state(1, datagram(A, B, 1, 2)), cs::NEW);
    assert_eq!(state(1, datagram(B, A, 2, 1)), cs::EST | cs::RPL);
    assert_eq!(state(0, datagram(A, B, 1, 2)), cs::EST);
    assert_eq!((rigs[0].dp.n_connections(), rigs[1].dp.n_connections()), (1, 1));
    rigs[0].dp.flush_connections(None);
    assert_eq!(rigs[1].dp.n_connections(), 0);
}

#[test]
fn a_limit_holds_for_all_threads_together() {
    let mut rigs = pair();
    let bands = vec![Band { kind: BandKind::Drop, rate: 10, burst_size: 10 }];
    rigs[0].dp.set_meter(1, MeterConfig { pktps: true, bands }, rigs[0].now_us);
    for rig in &mut rigs {
        rig.install_any(&[Action::Meter(1), Action::Output(2)]);
        rig.inject((0..8).map(|_| plain(datagram(A, B, 1, 2))));
    }
    assert_eq!([rigs[0].sent(2).len(), rigs[1].sent(2).len()], [8, 2]);
    assert_eq!(rigs[1].dp.meter(1).unwrap().stats().packets, 16);
    rigs[0].dp.delete_meter(1);
    let limit = PolicerConfig { rate_kpps: 1, burst_kpkts: 1, ..PolicerConfig::default() };
    rigs[1].dp.set_policer(1, Some(limit), rigs[1].now_us);
    for rig in &mut rigs {
        rig.inject((0..600).map(|_| plain(datagram(A, B, 1, 2))));
    }
    assert_eq!([rigs[0].sent(2).len(), rigs[1].sent(2).len()], [600, 400]);
}

fn entry(ufid: u128, actions: &[Action]) -> FlowEntry {
    let (mut key, mut mask) = (Key::EMPTY, Mask::EMPTY);
    key.set_in_port(1);
    mask.set_in_port(u32::MAX);
    key.set_dl_type(0x0800 + ufid as u16);
    mask.set_dl_type(0xffff);
    FlowEntry::new(Ufid(ufid), &key, &mask, actions.iter().cloned().collect())
}

#[test]
fn one_thread_follows_the_flow_table_of_another() {
    let [mut leader, mut other] = pair();
    assert_eq!(leader.dp.install(&entry(9, &[]), 1), Ok(()));
    assert!(leader.dp.take_journal().is_empty(), "nobody follows");
    leader.dp.keep_journal(true);
    let mut follow = |leader: &mut Rig| {
        let removed = leader.dp.take_journal().iter().filter_map(|edit| other.dp.follow(edit)).count();
        let (mut flows, _) = other.dp.dump(FlowCursor::START, usize::MAX);
        flows.sort_by_key(|f| f.entry.ufid.0);
        (removed, flows.iter().map(|f| (f.entry.ufid.0, f.entry.actions.len(), f.view_version)).collect::<Vec<_>>())
    };
    // One that is there already is asked for by a thread that has not got it yet.
    assert_eq!(leader.dp.install(&entry(9, &[]), 2), Err(InstallError::Exists));
    assert_eq!(leader.dp.install(&entry(1, &[Action::Output(2)]), 2), Ok(()));
    assert_eq!(follow(&mut leader), (0, vec![(1, 1, 2), (9, 0, 2)]));
    let actions = [Action::Output(2), Action::Output(3)].into_iter().collect();
    leader.dp.modify(&FlowChange { ufid: Ufid(1), actions, edition: 1 }, 3).unwrap();
    leader.dp.delete(Ufid(9)).unwrap();
    assert_eq!(leader.dp.delete(Ufid(8)).map(|f| f.view_version), None);
    assert_eq!(follow(&mut leader), (1, vec![(1, 2, 3)]));
    leader.dp.flush();
    assert_eq!(follow(&mut leader), (0, vec![]));
}
