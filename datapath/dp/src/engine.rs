//! A burst from its reception to the sending of what became of it.

use std::collections::{BTreeMap, BTreeSet};

use ebpf::Breadth;
use flow::outer::TunnelKind;
use flow::{Execute, Key, Layers, OdpPort, Ticket, Upcall, UpcallKind};

use crate::bond::Bonds;
use crate::burst::{self, BURST, Burst, Packets, Pool, Slot};
use crate::common::Common;
use crate::datapath::Config;
use crate::drop_log::DropLog;
use crate::emc;
use crate::emc::Emc;
use crate::execute::Work;
use crate::flows::{FlowRef, FlowTable, Plan};
use crate::kernel::{Books, Kernel};
use crate::mix::{self, Dice};
use crate::notice::Notices;
use crate::outputs::Outputs;
use crate::pending::{Pending, Waiting};
use crate::quota::Quota;
use crate::smc::Smc;
use crate::stats::{Drop, Stats};

/// Shorter frames are dropped unseen.
const ETHERNET_HEADER: usize = 14;
/// Copies, and queued packets, after which outputs are sent before the burst's end.
const MUCH: usize = 512;

/// What surrounds a burst.
pub(crate) struct Env<'u> {
    pub(crate) now_ms: u64,
    /// Where the burst came in.
    pub(crate) port: OdpPort,
    pub(crate) upcalls: &'u mut Vec<Upcall>,
}

/// A tunnel port.
#[derive(Default)]
pub(crate) struct Tunnel {
    /// What it takes; `None` for one that was only ever sent to.
    pub(crate) kind: Option<TunnelKind>,
    /// Sequence number of the next packet, where they are numbered.
    pub(crate) next: u32,
    /// The host's stack sends and receives its packets.
    pub(crate) by_host: bool,
}

/// A flow that a packet was found to be of, and how. It counts once the packet goes on: one that has to wait is looked
/// for again.
#[derive(Clone, Copy)]
pub(crate) struct Found {
    flow: FlowRef,
    by: By,
}

/// Which cache found it.
#[derive(Clone, Copy)]
enum By {
    ExactMatch,
    Signature,
    /// By so many subtables.
    Megaflow(u32),
}

impl By {
    #[inline]
    fn count(self, stats: &mut Stats) {
        match self {
            Self::ExactMatch => stats.emc_hits += 1,
            Self::Signature => stats.smc_hits += 1,
            Self::Megaflow(looks) => {
                stats.megaflow_hits += 1;
                stats.subtable_lookups += u64::from(looks);
            }
        }
    }
}

/// All of a datapath but its receive queues.
pub(crate) struct Engine {
    pub(crate) config: Config,
    pub(crate) outputs: Outputs,
    pub(crate) flows: FlowTable,
    pub(crate) emc: Emc,
    /// Ports whose packets the exact-match cache does not take.
    pub(crate) emc_off: BTreeSet<OdpPort>,
    pub(crate) smc: Smc,
    pub(crate) dice: Dice,
    pub(crate) bonds: Bonds,
    pub(crate) quota: Quota,
    /// An upcall was refused, since last asked.
    pub(crate) is_crowded: bool,
    pub(crate) tunnels: BTreeMap<OdpPort, Tunnel>,
    /// Some of them are the host's to send by.
    pub(crate) has_by_host: bool,
    /// Where outer headers are made, kept from packet to packet.
    pub(crate) outer: Vec<u8>,
    /// What the wall clock is ahead of the datapath's, ms; wraps.
    pub(crate) wall_offset_ms: u64,
    pub(crate) pending: Pending,
    /// The flow whose waiting packets go on now.
    released: Option<u64>,
    pub(crate) common: Common,
    pub(crate) stats: Stats,
    pub(crate) drops: DropLog,
    pub(crate) notices: Notices,
    /// Subtables looked into, in vain or not.
    pub(crate) looks: u64,
    /// What the kernel forwards by itself, if it can.
    pub(crate) kernel: Option<Kernel>,
    pub(crate) pool: Pool,
    keys: Box<[Key]>,
}

/// What is known of each packet of a burst between extraction and execution.
#[derive(Clone, Copy)]
struct Seen {
    layers: Layers,
    hash: u64,
    /// Too short to be a frame.
    is_runt: bool,
    /// More than its port may bring in.
    is_excess: bool,
}

impl Engine {
    pub(crate) fn new(config: Config, common: Common) -> Self {
        Self {
            outputs: Outputs::default(),
            flows: FlowTable::new(config.seed, config.flow_limit, config.mask_limit),
            emc: Emc::new(),
            emc_off: BTreeSet::new(),
            smc: Smc::new(),
            dice: Dice::new(config.seed),
            bonds: Bonds::default(),
            quota: Quota::new(config.upcall_quota),
            is_crowded: false,
            wall_offset_ms: 0,
            tunnels: BTreeMap::new(),
            has_by_host: false,
            outer: Vec::new(),
            pending: Pending::default(),
            released: None,
            common,
            stats: Stats::default(),
            drops: DropLog::default(),
            notices: Notices::default(),
            looks: 0,
            kernel: None,
            pool: Pool::default(),
            keys: burst::keys(),
            config,
        }
    }

    /// Takes a burst through; says how many octets it had.
    pub(crate) fn run(&mut self, lent: &mut Burst<'_>, env: &mut Env<'_>) -> u64 {
        if self.has_by_host
            && let Some(kind) = self.by_host(env.port)
        {
            return self.run_outer(kind, lent, env);
        }
        self.drops.begin(env.port, env.now_ms);
        let mut pool = std::mem::take(&mut self.pool);
        let mut keys = std::mem::take(&mut self.keys);
        let mut packets = Packets { lent, pool: &mut pool };
        let mut seen = [Seen { layers: Layers::EMPTY, hash: 0, is_runt: false, is_excess: false }; BURST];
        let bytes = self.extract(&packets, &mut keys, &mut seen, env.port);
        let n = packets.lent.len();
        self.police(&packets, &mut seen, env);
        let mut decisions = [None; BURST];
        for i in 0..n {
            if !seen[i].is_runt && !seen[i].is_excess {
                decisions[i] = self.find(&keys[i], seen[i].hash, true);
            }
        }
        if self.kernel.is_some() {
            self.offer(&packets, (&keys, &seen, bytes), &decisions, env);
        }
        let mut refused = 0;
        for (i, key) in keys.iter_mut().enumerate().take(n) {
            if seen[i].is_runt {
                self.drop(Drop::TooShort);
                continue;
            }
            if seen[i].is_excess {
                self.drop(Drop::Policer);
                refused += 1;
                continue;
            }
            let mut work = Work::new(Slot::Lent(i as u32), key, seen[i].layers);
            self.apply(decisions[i], &mut packets, &mut work, env);
            self.flush_if_much(&mut packets);
        }
        self.outputs.flush(&packets, &mut self.stats, &mut self.notices);
        self.stats.received += n as u64 - refused;
        self.stats.octets += bytes;
        self.stats.bursts += u64::from(n > 0);
        self.outputs.received(env.port, n as u64, bytes);
        pool.clear();
        self.pool = pool;
        self.keys = keys;
        bytes
    }

    /// Lets the kernel have packets of flows that are busy. `bytes`: their octets altogether.
    fn offer(
        &mut self,
        packets: &Packets<'_, '_>,
        (keys, seen, bytes): (&[Key], &[Seen], u64),
        found: &[Option<Found>],
        env: &Env<'_>,
    ) {
        let Some(kernel) = &mut self.kernel else { return };
        if !kernel.ring_read(env.port, packets.lent.len() as u64, bytes) {
            return;
        }
        for (i, (seen, found)) in seen.iter().zip(found).enumerate().take(packets.lent.len()) {
            let Some(found) = found else { continue };
            let is_wide = self.flows.breadth(found.flow) == Some(Breadth::Wide);
            if kernel.is_due(if is_wide { mix::stations(&keys[i]) } else { seen.hash }) {
                let octets = packets.data(Slot::Lent(i as u32));
                kernel.consider(found.flow, env.port, octets, &mut self.flows, env.now_ms);
            }
        }
    }

    /// Makes entries in the kernel that are due.
    pub(crate) fn fill_kernel(&mut self, is_drained: bool, now_ms: u64) {
        let Some(kernel) = &mut self.kernel else { return };
        if kernel.has_work(is_drained, now_ms) {
            let policers = self.common.policers();
            let is_policed = |port| policers.as_ref().is_some_and(|policers| policers.contains_key(&port));
            kernel.work(&mut self.flows, &self.outputs, is_policed, now_ms);
        }
    }

    /// When the kernel's entries are to be looked at, ms.
    pub(crate) fn kernel_look_ms(&self) -> Option<u64> {
        self.kernel.as_ref().and_then(Kernel::look_ms)
    }

    /// Does something with the kernel's entries, and the counters that theirs are added to.
    pub(crate) fn with_kernel(&mut self, now_ms: u64, act: impl FnOnce(&mut Kernel, &mut Books<'_>)) {
        let has_emc = self.config.emc_insert_inv_prob != 0;
        if let Some(kernel) = &mut self.kernel {
            let (flows, outputs, stats) = (&mut self.flows, &mut self.outputs, &mut self.stats);
            act(kernel, &mut Books { flows, outputs, stats, has_emc, emc_off: &self.emc_off, now_ms });
        }
    }

    #[inline]
    fn police(&self, packets: &Packets<'_, '_>, seen: &mut [Seen], env: &Env<'_>) {
        let Some(mut policers) = self.common.policers() else { return };
        let Some(policer) = policers.get_mut(&env.port) else { return };
        for (i, seen) in seen.iter_mut().enumerate().take(packets.lent.len()) {
            let octets = packets.meta(Slot::Lent(i as u32)).len;
            seen.is_excess = !policer.admits(octets, env.now_ms);
        }
    }

    fn extract(&self, packets: &Packets<'_, '_>, keys: &mut [Key], seen: &mut [Seen], port: OdpPort) -> u64 {
        let mut bytes = 0;
        for (i, (key, seen)) in keys.iter_mut().zip(seen).enumerate().take(packets.lent.len()) {
            let octets = packets.data(Slot::Lent(i as u32));
            bytes += octets.len() as u64;
            seen.is_runt = octets.len() < ETHERNET_HEADER;
            if !seen.is_runt {
                key.0.fill(0);
                key.set_in_port(port);
                seen.layers = flow::extract_into(key, octets, self.config.max_vlans);
                seen.hash = mix::packet(key, self.config.seed);
            }
        }
        bytes
    }

    /// Between two packets: sends what is queued, and lets go of the copies, if they are many by now.
    pub(crate) fn flush_if_much(&mut self, packets: &mut Packets<'_, '_>) {
        if self.outputs.queued() + packets.pool.len() > MUCH {
            self.outputs.flush(packets, &mut self.stats, &mut self.notices);
            packets.pool.clear();
        }
    }

    /// Acts upon packets from above, and sends what comes of them as of one burst.
    pub(crate) fn execute_all(&mut self, executes: Vec<Execute>, env: &mut Env<'_>) {
        let mut pool = std::mem::take(&mut self.pool);
        let mut none = Burst::new();
        let mut packets = Packets { lent: &mut none, pool: &mut pool };
        for mut execute in executes {
            env.port = execute.key.in_port();
            self.drops.begin(env.port, env.now_ms);
            self.remember(&execute.key);
            let passes = self.pending.passes(&execute.key, self.config.seed);
            let slot = packets.pool.add(&execute.packet);
            let mut work = Work::new(slot, &mut execute.key, Layers::EMPTY);
            (work.stale, work.passes) = (true, passes);
            self.execute(&execute.actions, &mut packets, &mut work, env);
            self.flush_if_much(&mut packets);
        }
        self.outputs.flush(&packets, &mut self.stats, &mut self.notices);
        pool.clear();
        self.pool = pool;
    }

    /// Takes a packet that went up, and whose flow is here by now, into the caches: the next one like it is found there.
    fn remember(&mut self, key: &Key) {
        let inverse = self.config.emc_insert_inv_prob;
        let is_exact = inverse != 0 && self.dice.roll().is_multiple_of(inverse) && emc::is_plain(key);
        if !is_exact && !self.config.smc {
            return;
        }
        if let (Some(flow), _) = self.flows.find(key) {
            let hash = mix::packet(key, self.config.seed);
            if is_exact {
                self.take_in(key, hash, flow);
            }
            if self.config.smc {
                self.smc.insert(hash, flow);
            }
        }
    }

    /// Puts a key into the exact-match cache, unless it is of a port without.
    fn take_in(&mut self, key: &Key, hash: u64, flow: FlowRef) {
        if !self.emc_off.contains(&key.in_port()) {
            let flows = &self.flows;
            self.emc.insert(key, hash, flow, |flow| flows.is_live(flow));
        }
    }

    /// Decides about a packet that comes round again.
    pub(crate) fn decide(&mut self, packets: &mut Packets<'_, '_>, work: &mut Work<'_>, env: &mut Env<'_>) {
        let hash = mix::packet(work.key, self.config.seed);
        let found = self.find(work.key, hash, false);
        self.apply(found, packets, work, env);
    }

    /// Finds a packet's flow by one cache or another.
    #[inline]
    fn find(&mut self, key: &Key, hash: u64, plain: bool) -> Option<Found> {
        let emc_on = self.config.emc_insert_inv_prob != 0;
        if emc_on && let Some(flow) = self.emc.find(key, hash, plain).filter(|flow| self.flows.is_live(*flow)) {
            return Some(Found { flow, by: By::ExactMatch });
        }
        if self.config.smc {
            let flows = &self.flows;
            if let Some(flow) = self.smc.candidates(hash).find(|flow| flows.is_match(*flow, key)) {
                return Some(Found { flow, by: By::Signature });
            }
        }
        let (found, looks) = self.flows.find(key);
        self.looks += looks as u64;
        let flow = found?;
        if emc_on && self.dice.roll().is_multiple_of(self.config.emc_insert_inv_prob) {
            self.take_in(key, hash, flow);
        }
        if self.config.smc {
            self.smc.insert(hash, flow);
        }
        Some(Found { flow, by: By::Megaflow(looks as u32) })
    }

    /// Does what the flow says, or hands the packet up.
    #[inline]
    fn apply(&mut self, found: Option<Found>, packets: &mut Packets<'_, '_>, work: &mut Work<'_>, env: &mut Env<'_>) {
        if !self.pending.is_empty() && self.must_wait(packets, work, env) {
            return;
        }
        let may_be_simple = work.passes == 0 && self.flows.are_simple(work.key.in_port());
        let Some((by, flow)) = found.and_then(|found| Some((found.by, self.flows.get_mut(found.flow)?))) else {
            return self.miss(packets, work, env);
        };
        let is_simple = may_be_simple && flow.is_simple();
        if is_simple {
            self.stats.simple_hits += 1;
        } else {
            by.count(&mut self.stats);
        }
        flow.credit(packets.meta(work.slot).len, work.key, env.now_ms as i64, is_simple);
        match &flow.plan {
            Plan::Drop => self.drop(Drop::Flow),
            Plan::Outputs(ports) if self.has_by_host => {
                let ports = ports.clone();
                for port in ports {
                    self.output(port, packets, work, env.now_ms);
                }
            }
            Plan::Outputs(ports) => {
                let mut trunc = work.trunc.take();
                let priority = work.key.skb_priority();
                for port in ports {
                    if !self.outputs.queue(*port, packets, work.slot, trunc.take(), priority, &mut self.stats) {
                        self.stats.drop(Drop::NoPort);
                        self.drops.note(Drop::NoPort);
                    }
                }
            }
            Plan::General => {
                let actions = flow.actions.clone();
                self.execute(&actions, packets, work, env);
            }
        }
    }

    #[cold]
    fn miss(&mut self, packets: &mut Packets<'_, '_>, work: &mut Work<'_>, env: &mut Env<'_>) {
        if !self.admit(env) {
            self.drops.note(Drop::UpcallLost);
            return self.count_lost(1);
        }
        self.stats.misses += 1;
        let flow = work.flow.unwrap_or_else(|| Pending::flow_of(work.key, self.config.seed));
        self.pending.ask(flow, work.passes, env.now_ms);
        let (packet, ticket) = (packets.to_buf(work.slot), self.ticket(flow));
        env.upcalls.push(Upcall { kind: UpcallKind::Miss, key: Box::new(work.key.clone()), packet, ticket });
    }

    /// Lets a packet wait whose flow is being decided upon.
    #[cold]
    fn must_wait(&mut self, packets: &Packets<'_, '_>, work: &mut Work<'_>, env: &Env<'_>) -> bool {
        let flow = Pending::flow_of(work.key, self.config.seed);
        work.flow = Some(flow);
        if self.released == Some(flow) || !self.pending.has(flow) {
            return false;
        }
        if self.admit(env) {
            let (packet, key) = (packets.to_buf(work.slot), Box::new(work.key.clone()));
            self.pending.hold(flow, Waiting { packet, key, passes: work.passes });
        } else {
            self.drops.note(Drop::UpcallLost);
            self.count_lost(1);
        }
        true
    }

    /// Counts a packet that is dropped here.
    pub(crate) fn drop(&mut self, why: Drop) {
        self.stats.drop(why);
        self.drops.note(why);
    }

    /// The ticket of a packet that is handed up.
    pub(crate) fn ticket(&self, flow: u64) -> Ticket {
        Ticket { flow, thread: self.config.thread }
    }

    /// Packets that are handed up, and get lost on the way: no misses, or none that an action has handed up, any more.
    pub(crate) fn lose(&mut self, upcalls: &[Upcall]) {
        for upcall in upcalls {
            match upcall.kind {
                UpcallKind::Miss => {
                    self.stats.misses = self.stats.misses.saturating_sub(1);
                    self.count_lost(1);
                }
                UpcallKind::Action(_) => {
                    self.stats.action_upcalls = self.stats.action_upcalls.saturating_sub(1);
                    self.stats.drop(Drop::UserspaceActionLost);
                }
            }
        }
    }

    /// Packets that cannot be handed up.
    pub(crate) fn count_lost(&mut self, n: u64) {
        self.stats.lost += n;
        self.stats.drops[Drop::UpcallLost.index()] += n;
    }

    /// Upcalls were answered, or lost on their way: more may be made, and packets that waited for them go on.
    pub(crate) fn answered(&mut self, answers: &[(OdpPort, Ticket)], env: &mut Env<'_>) {
        for (port, ticket) in answers {
            self.quota.give(*port, 1, env.now_ms);
            let waiting = self.pending.answer(*ticket);
            self.resume(waiting, env);
        }
    }

    /// Lets packets go on whose answers will not come any more.
    pub(crate) fn forget_answers(&mut self, env: &mut Env<'_>) {
        let waiting = self.pending.forget(env.now_ms);
        self.resume(waiting, env);
    }

    fn resume(&mut self, waiting: Vec<Waiting>, env: &mut Env<'_>) {
        if waiting.is_empty() {
            return;
        }
        let mut pool = std::mem::take(&mut self.pool);
        let mut none = Burst::new();
        let mut packets = Packets { lent: &mut none, pool: &mut pool };
        for Waiting { packet, mut key, passes } in waiting {
            env.port = key.in_port();
            self.drops.begin(env.port, env.now_ms);
            self.quota.give(env.port, 1, env.now_ms);
            // Those that nobody has decided upon go up together.
            self.released = Some(Pending::flow_of(&key, self.config.seed));
            let slot = packets.pool.add(&packet);
            let mut work = Work::new(slot, &mut key, Layers::EMPTY);
            (work.stale, work.passes) = (true, passes);
            self.decide(&mut packets, &mut work, env);
            self.flush_if_much(&mut packets);
        }
        self.released = None;
        self.outputs.flush(&packets, &mut self.stats, &mut self.notices);
        pool.clear();
        self.pool = pool;
    }

    /// Whether one more packet of the burst's port may be handed up.
    pub(crate) fn admit(&mut self, env: &Env<'_>) -> bool {
        let admitted = self.quota.take(env.port, env.now_ms);
        self.is_crowded |= !admitted;
        admitted
    }
}

#[cfg(test)]
mod tests {
    use flow::{Action, FlowEntry, Mask, Ufid};
    use packet::{Gso, Offload};

    use super::*;
    use crate::burst::Lent;
    use crate::port::{Offloads, TxPacket, TxPort, TxReport};

    /// A port that counts, and takes no offloads.
    struct Plain;

    impl TxPort for Plain {
        fn send(&mut self, packets: &[TxPacket<'_>]) -> TxReport {
            TxReport { packets: packets.len() as u64, ..TxReport::default() }
        }

        fn offloads(&self) -> Offloads {
            Offloads::default()
        }
    }

    /// Segments of a large packet are many, and each a copy: those of one packet are not kept for the next.
    #[test]
    fn copies_take_no_more_memory_than_one_packet_makes() {
        let mut engine = Engine::new(Config::default(), Common::new(0));
        engine.outputs.add(2, Box::new(Plain));
        let (mut key, mut mask) = (Key::EMPTY, Mask::EMPTY);
        key.set_in_port(1);
        mask.set_in_port(u32::MAX);
        let entry = FlowEntry::new(Ufid(1), &key, &mask, [Action::Output(2)].as_slice().into());
        engine.flows.install(&entry, 0).expect("room for a flow");
        let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0, 0xff, 0];
        frame.extend([0, 1, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        frame.extend([0, 1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 0x10, 0, 0, 0, 0, 0, 0]);
        frame.resize(14 + 0xff00, 7);
        let gso = Some(Gso { kind: packet::offload::GSO_TCPV4, size: 60, hdr_len: 54 });
        let mut frames = vec![frame; BURST];
        let mut lent = Burst::new();
        for frame in &mut frames {
            let len = frame.len();
            lent.push(Lent::new(frame, 0, len, Offload { gso, ..Offload::default() }));
        }
        engine.run(&mut lent, &mut Env { now_ms: 1000, port: 1, upcalls: &mut Vec::new() });
        let pieces = (0xff00usize - 40).div_ceil(60);
        assert_eq!(engine.outputs.stats(2).map(|stats| stats.tx_packets), Some((BURST * pieces) as u64));
        assert!(engine.pool.memory() <= MUCH, "{} copies are kept", engine.pool.memory());
    }
}
