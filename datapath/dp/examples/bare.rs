//! The datapath without input and output: what a packet costs between ring and ring.
//!
//!     bare [PACKETS]
//!
//! Prints nanoseconds a packet for a few mixes of flows, by the monotonic clock.

#![allow(clippy::disallowed_methods)]

use std::time::Instant;

use dp::port::Offloads;
use dp::{Burst, Config, Datapath, Lent, QueueId, RxQueue, TxPacket, TxPort, TxReport};
use flow::odp::{MaskedWord, Set, SetGroup};
use flow::{Action, FlowEntry, Key, Mask, Ufid};
use packet::Offload;

const HEADROOM: usize = 56;
const LEN: usize = 60;
const STRIDE: usize = 192;

/// Lends frames that only differ in source address and port.
struct Source {
    memory: Vec<u8>,
    frame: Vec<u8>,
    flows: u32,
    next: u32,
}

impl RxQueue for Source {
    fn receive<'a>(&'a mut self, max: usize, burst: &mut Burst<'a>) {
        for buf in self.memory.chunks_exact_mut(STRIDE).take(max) {
            let n = self.next % self.flows;
            self.next = self.next.wrapping_add(0x9e37_79b1);
            buf[HEADROOM..HEADROOM + LEN].copy_from_slice(&self.frame);
            buf[HEADROOM + 26..HEADROOM + 30].copy_from_slice(&(0x0a00_0000 | n >> 8).to_be_bytes());
            buf[HEADROOM + 34..HEADROOM + 36].copy_from_slice(&(n as u16 & 0xff).to_be_bytes());
            burst.push(Lent::new(buf, HEADROOM, LEN, Offload::default()));
        }
    }
}

struct Sink;

impl TxPort for Sink {
    fn send(&mut self, packets: &[TxPacket<'_>]) -> TxReport {
        let bytes = packets.iter().map(|p| p.octets.len() as u64).sum();
        TxReport { packets: packets.len() as u64, bytes, ..TxReport::default() }
    }

    fn offloads(&self) -> Offloads {
        Offloads::ALL
    }
}

fn frame() -> Vec<u8> {
    let mut f = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0, 0, 46, 0, 0, 0, 0, 64, 17, 0, 0];
    f.extend([10, 0, 0, 1, 10, 9, 0, 2, 0x30, 0x39, 0, 80, 0, 26, 0, 0]);
    f.resize(LEN, 0);
    f
}

fn datapath(flows: u32, config: Config) -> (Datapath, QueueId) {
    let mut dp = Datapath::new(config);
    let memory = vec![0; STRIDE * dp::BURST];
    dp.add_port(1, Box::new(Sink));
    dp.add_port(2, Box::new(Sink));
    let queue = dp.add_queue(1, 0, Box::new(Source { memory, frame: frame(), flows, next: 0 }));
    (dp, queue)
}

/// A flow as `NORMAL` makes it.
fn install(dp: &mut Datapath, i: u32, narrow: impl Fn(&mut Key, &mut Mask), actions: &[Action]) {
    let (mut key, _) = flow::extract(&frame(), 1);
    let mut mask = Mask::EMPTY;
    mask.set_in_port(u32::MAX);
    mask.set_recirc_id(u32::MAX);
    mask.set_packet_type(u32::MAX);
    mask.set_dl_src(u64::MAX);
    mask.set_dl_dst(u64::MAX);
    mask.set_dl_type(u16::MAX);
    mask.set_vlan_tci(u16::MAX);
    mask.set_nw_frag(3);
    narrow(&mut key, &mut mask);
    key.apply(&mask);
    let entry = FlowEntry::new(Ufid(i.into()), &key, &mask, actions.into());
    dp.install(&entry, 1).expect("install a flow");
}

fn measure(name: &str, packets: u64, dp: &mut Datapath, queue: QueueId) {
    let mut upcalls = Vec::new();
    let mut run = |n: u64| {
        let start = Instant::now();
        let mut done = 0;
        while done < n {
            done += dp.poll(queue, 1, &mut upcalls) as u64;
            upcalls.clear();
        }
        start.elapsed().as_nanos() as f64 / done as f64
    };
    run(packets / 4);
    let best = (0..5).map(|_| run(packets / 5)).fold(f64::MAX, f64::min);
    let s = dp.stats();
    println!(
        "{name:<34} {best:6.1} ns/packet  (emc {:.2}, subtables a megaflow hit {:.1}, misses {})",
        s.emc_hits as f64 / s.received as f64,
        s.subtable_lookups as f64 / s.megaflow_hits.max(1) as f64,
        s.misses + s.lost,
    );
}

fn main() {
    let packets = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(10_000_000);
    let out = [Action::Output(2)];
    for flows in [1, 1000, 1_000_000] {
        let (mut dp, queue) = datapath(flows, Config::default());
        install(&mut dp, 1, |_, _| (), &out);
        measure(&format!("one megaflow, {flows} connections"), packets, &mut dp, queue);
    }
    let (mut dp, queue) = datapath(1_000_000, Config { smc: true, ..Config::default() });
    install(&mut dp, 1, |_, _| (), &out);
    measure("the same with signatures", packets, &mut dp, queue);
    let (mut dp, queue) = datapath(10_000, Config { emc_insert_inv_prob: 0, ..Config::default() });
    install(&mut dp, 1, |_, _| (), &out);
    measure("one megaflow, no exact matches", packets, &mut dp, queue);

    let (mut dp, queue) = datapath(10_000, Config::default());
    for i in 0..20 {
        let narrow = |key: &mut Key, mask: &mut Mask| {
            mask.set_nw_dst(u32::MAX << i);
            // Only the last is one that packets have.
            key.set_nw_dst(if i == 19 { key.nw_dst() } else { 0xc000_0000 });
        };
        install(&mut dp, i, narrow, &out);
    }
    measure("twenty masks", packets, &mut dp, queue);

    let (mut dp, queue) = datapath(200_000, Config::default());
    for i in 0..200_000u32 {
        let narrow = |key: &mut Key, mask: &mut Mask| {
            mask.set_nw_src(u32::MAX);
            mask.set_tp_src(u16::MAX);
            key.set_nw_src(0x0a00_0000 | i >> 8);
            key.set_tp_src(i as u16 & 0xff);
        };
        install(&mut dp, i, narrow, &out);
    }
    measure("200,000 megaflows", packets, &mut dp, queue);

    let (mut dp, queue) = datapath(1, Config::default());
    let words = [MaskedWord { word: 74, value: 0x3f00, mask: 0xff00 }].into_iter().collect();
    let ttl = Action::Set(Set { group: SetGroup::Ipv4, words, tunnel: None });
    install(&mut dp, 1, |_, _| (), &[Action::PushVlan { tpid: 0x8100, tci: 0x1001 }, ttl, out[0].clone()]);
    measure("tag, time to live, output", packets, &mut dp, queue);
}
