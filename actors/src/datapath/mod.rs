//! The datapath actor: one thread's ports, rings and caches, on an arbiter of its own.
//!
//! While packets flow it polls the queues that have any, burst by burst, and looks at its mailbox between slices of
//! [`BURSTS_A_SLICE`] bursts. A queue found empty is armed and left to the kernel, where it pays after a moment
//! ([`crate::linger`]); with all queues asleep the thread sleeps in its runtime. Misses leave in one message a round of bursts and a bridge.

pub mod adapt;
pub mod control;
mod ct_flush;
mod drops;
mod lines;
mod log;
mod wake;

use actix::prelude::*;
use dp::{Datapath as Engine, Poller, QueueId};
use flow::{OdpPort, Upcall};
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::clock;
use crate::linger::Linger;
use crate::mailbox::Outlet;
use crate::msg::bridge::Upcalls;
use crate::msg::datapath::*;
use crate::msg::switch::TrackingSet;
use crate::supervise::{Desk, Player};
use adapt::DummyInbox;
use wake::Name;

/// How long to look on for the next packet, microseconds.
const LINGER_US: u64 = 20;
/// How often what is due by time is done while no packets come, milliseconds.
const TICK_MS: i64 = 1_000;
/// Bursts between two looks at the mailbox.
const BURSTS_A_SLICE: usize = 64;

struct Port {
    queues: Vec<PortQueue>,
    bridge: Outlet<Upcalls>,
}

struct PortQueue {
    id: QueueId,
    /// One without a descriptor is woken by hand.
    watch: Option<wake::Watch>,
    linger: Linger,
}

/// A queue that is being polled.
#[derive(Clone, Copy)]
struct Active {
    port: OdpPort,
    queue: QueueId,
    /// Rounds since it had a packet.
    empty: u8,
    /// It had a packet since the thread woke.
    is_fed: bool,
    /// Times in a row that the thread was awake and it had none.
    barren: u8,
}

/// All queues are empty, and yet nobody sleeps.
struct Looking {
    until_us: u64,
    /// Rounds at the most: the clock may stand still.
    rounds: u32,
    after: Name,
}

/// Rounds that a queue may be empty beside others that are not, before it sleeps.
const EMPTY_ROUNDS: u8 = 4;
/// Rounds of looking on at the most.
const LOOKING_ROUNDS: u32 = 2_000;
/// Queues that wake with each other at the most, and how often one may do so for nothing.
const COMPANIONS: usize = 4;
const BARREN_TIMES: u8 = 8;

/// A datapath thread's actor.
pub struct Datapath {
    desk: Desk,
    engine: Engine,
    woken: Arc<wake::Woken>,
    ports: BTreeMap<OdpPort, Port>,
    /// Queues with something to give, in turn.
    active: Vec<Active>,
    /// Those that were lately, and wake with the next one.
    companions: Vec<Active>,
    /// Who had packets last.
    last: Option<Name>,
    looking_on: Option<Looking>,
    upcalls: Vec<Upcall>,
    /// Who keeps what commands set.
    keeper: Option<Outlet<TrackingSet>>,
    /// Upcalls on their way.
    lines: lines::Lines,
    /// Inboxes of dummy ports, for packets to be injected.
    inboxes: BTreeMap<OdpPort, Vec<DummyInbox>>,
    /// Since when the threads of processors are there, and how long they were busy, microseconds.
    threads: BTreeMap<u32, (u64, u64)>,
    drops: drops::Told,
    /// When it was said last who polls what, microseconds.
    tuned_us: u64,
}

impl Datapath {
    /// A datapath without ports. `config.seed` must be unknown to senders of packets.
    pub fn new(
        mut desk: Desk,
        config: dp::Config,
        keeper: Option<Outlet<TrackingSet>>,
        ctx: &mut Context<Self>,
    ) -> Self {
        ctx.spawn(wake::Readiness);
        desk.arm(Some((clock::now_ms() + TICK_MS, "connections expire")));
        Self {
            desk,
            engine: Engine::new(config),
            woken: Arc::default(),
            ports: BTreeMap::new(),
            active: Vec::new(),
            companions: Vec::new(),
            last: None,
            looking_on: None,
            upcalls: Vec::new(),
            keeper,
            lines: lines::Lines::default(),
            inboxes: BTreeMap::new(),
            threads: BTreeMap::new(),
            drops: drops::Told::new(),
            tuned_us: 0,
        }
    }

    fn activate(&mut self, port: OdpPort, queue: QueueId) {
        if !self.active.iter().any(|a| a.queue == queue) {
            self.active.push(Active { port, queue, empty: 0, is_fed: false, barren: 0 });
        }
    }

    /// Polls active queues for one slice; `true` when some remain.
    fn work(&mut self) -> bool {
        let mut bursts = 0;
        while bursts < BURSTS_A_SLICE && !self.active.is_empty() {
            let now_us = u64::try_from(clock::now_us()).unwrap_or(0);
            let served = self.round(now_us);
            bursts += served;
            self.flush_upcalls(None);
            if served > 0 {
                if let Some(looking) = self.looking_on.take() {
                    // Another queue's is an answer; more of the same is a stream, which bears to wait for a wake.
                    self.learn(looking.after, self.last != Some(looking.after));
                }
            } else if !self.looks_on(now_us) {
                self.rest();
                bursts += 1;
            }
        }
        self.drops.tell(self.engine.stats());
        !self.active.is_empty()
    }

    /// Polls each active queue once; says how many had packets. Beside those that have, others are soon left to the
    /// kernel.
    fn round(&mut self, now_us: u64) -> usize {
        let (mut served, mut i) = (0, 0);
        while i < self.active.len() {
            let Active { port, queue, empty, .. } = self.active[i];
            let poller = self.engine.poller(queue);
            if self.engine.poll(queue, now_us, &mut self.upcalls) > 0 {
                served += 1;
                (self.active[i].empty, self.active[i].is_fed) = (0, true);
                self.last = Some((port, queue));
                if let Poller::Core(core) = poller
                    && let Some((_, busy_us)) = self.threads.get_mut(&core)
                {
                    *busy_us += u64::try_from(clock::now_us()).unwrap_or(0).saturating_sub(now_us);
                }
            } else {
                self.active[i].empty = empty.saturating_add(1);
            }
            i += 1;
        }
        if served > 0 {
            self.put_to_sleep(|active| active.empty >= EMPTY_ROUNDS);
        }
        served
    }

    /// Whether to go on looking though all queues are empty.
    fn looks_on(&mut self, now_us: u64) -> bool {
        match &mut self.looking_on {
            Some(looking) if now_us < looking.until_us && looking.rounds > 0 => {
                looking.rounds -= 1;
                true
            }
            Some(looking) => {
                let after = looking.after;
                self.looking_on = None;
                self.learn(after, false);
                false
            }
            None => {
                let Some(after) = self.last.take() else { return false };
                let is_worth_it = self.linger(after).is_some_and(Linger::is_worth_it);
                if is_worth_it {
                    let until_us = now_us + LINGER_US;
                    self.looking_on = Some(Looking { until_us, rounds: LOOKING_ROUNDS, after });
                }
                is_worth_it
            }
        }
    }

    fn linger(&mut self, (port, queue): Name) -> Option<&mut Linger> {
        let queues = &mut self.ports.get_mut(&port)?.queues;
        // What has no descriptor is woken by hand, at once.
        queues.iter_mut().find(|q| q.id == queue && q.watch.is_some()).map(|q| &mut q.linger)
    }

    fn learn(&mut self, after: Name, paid: bool) {
        if let Some(linger) = self.linger(after) {
            linger.learn(paid);
        }
    }

    /// Puts all queues to sleep, but for those that have something after all.
    fn rest(&mut self) {
        for active in &mut self.active {
            active.barren = if active.is_fed { 0 } else { active.barren.saturating_add(1) };
            active.is_fed = false;
        }
        self.companions.clear();
        let lively = self.active.iter().filter(|a| a.barren < BARREN_TIMES).take(COMPANIONS);
        self.companions.extend(lively.copied());
        self.put_to_sleep(|_| true);
    }

    fn put_to_sleep(&mut self, which: impl Fn(&Active) -> bool) {
        let mut i = 0;
        while i < self.active.len() {
            let Active { port, queue, .. } = self.active[i];
            let sleeps = which(&self.active[i])
                && (self.engine.poller(queue) == Poller::Nobody
                    || self.engine.queue_mut(queue).is_none_or(|q| q.prepare_sleep()));
            if sleeps {
                self.active.swap_remove(i);
                self.listen(port, queue);
            } else {
                i += 1;
            }
        }
    }

    /// Takes up work again: with the queues that woke, and those that were busy with them before.
    fn awake(&mut self, woken: Vec<Name>) {
        if woken.is_empty() {
            return;
        }
        for (port, queue) in woken {
            self.activate(port, queue);
        }
        for companion in std::mem::take(&mut self.companions) {
            if self.active.iter().all(|a| a.queue != companion.queue)
                && let Some(queue) = self.engine.queue_mut(companion.queue)
            {
                queue.stay_awake();
                self.active.push(companion);
            }
        }
    }

    fn listen(&self, port: OdpPort, queue: QueueId) {
        let Some(port) = self.ports.get(&port) else { return };
        if let Some(watch) = port.queues.iter().find(|q| q.id == queue).and_then(|q| q.watch.as_ref()) {
            watch.listen();
        }
    }
}

impl Actor for Datapath {
    type Context = Context<Self>;
}

impl Player for Datapath {
    fn desk(&mut self) -> &mut Desk {
        &mut self.desk
    }

    fn wake(&mut self, now_ms: i64, _: &mut Context<Self>) {
        let now_us = u64::try_from(clock::now_us()).unwrap_or(0);
        self.engine.tick(now_us);
        self.engine.forget_answers(now_us, &mut self.upcalls);
        self.flush_upcalls(None);
        self.desk.arm(Some((now_ms + TICK_MS, "connections expire")));
    }
}

impl Handler<PortAttach> for Datapath {
    type Result = ();

    fn handle(&mut self, m: PortAttach, _: &mut Context<Self>) {
        self.desk.received();
        self.detach(m.port);
        self.engine.add_port(m.port, m.tx);
        let mut queues = Vec::new();
        for (number, parts) in (0u32..).zip(m.queues) {
            let id = self.engine.add_queue(m.port, number, parts.rx);
            let watch = parts.wake.map(|fd| wake::Watch::new(fd, (m.port, id), &self.woken)).transpose();
            let watch = watch.unwrap_or_else(|error| {
                vlog::warn!("datapath", "{}: cannot wait for packets: {error}", m.name);
                None
            });
            queues.push(PortQueue { id, watch, linger: Linger::default() });
            self.activate(m.port, id);
        }
        self.ports.insert(m.port, Port { queues, bridge: m.bridge });
        self.woken.nudge();
    }
}

impl Datapath {
    fn detach(&mut self, port: OdpPort) {
        let Some(old) = self.ports.remove(&port) else { return };
        for queue in old.queues.iter().map(|q| q.id) {
            self.active.retain(|a| a.queue != queue);
            self.companions.retain(|a| a.queue != queue);
            self.engine.remove_queue(queue);
        }
        self.inboxes.remove(&port);
        self.engine.remove_port(port);
    }
}

impl Handler<PortDetach> for Datapath {
    type Result = ();

    fn handle(&mut self, m: PortDetach, _: &mut Context<Self>) {
        self.desk.received();
        self.detach(m.port);
    }
}

impl Handler<PortPolicer> for Datapath {
    type Result = ();

    fn handle(&mut self, m: PortPolicer, _: &mut Context<Self>) {
        self.desk.received();
        let now_us = u64::try_from(clock::now_us()).unwrap_or(0);
        self.engine.set_policer(m.port, m.config, now_us);
    }
}

impl Handler<PortWatch> for Datapath {
    type Result = ();

    fn handle(&mut self, m: PortWatch, _: &mut Context<Self>) {
        self.desk.received();
        self.engine.watch_port(m.port, m.watcher);
    }
}

impl Handler<FlowInstall> for Datapath {
    type Result = ();

    fn handle(&mut self, m: FlowInstall, _: &mut Context<Self>) {
        self.desk.received();
        for entry in &m.entries {
            match self.engine.install(entry, m.view_version) {
                Ok(()) => log::flow_add(entry),
                Err(error) => vlog::dbg!("datapath", "flow not installed: {error}"),
            }
        }
    }
}

impl Handler<PacketExecute> for Datapath {
    type Result = ();

    fn handle(&mut self, m: PacketExecute, _: &mut Context<Self>) {
        self.desk.received();
        let now_us = u64::try_from(clock::now_us()).unwrap_or(0);
        self.engine.execute(m.packets, now_us, &mut self.upcalls);
        if !m.answered.is_empty() {
            self.lines.answered(&m.bridge, now_us / 1000);
            self.engine.upcalls_answered(&m.answered, now_us, &mut self.upcalls);
        }
        self.drops.tell(self.engine.stats());
        self.flush_upcalls(Some(&m.bridge));
    }
}

impl Handler<FlowModify> for Datapath {
    type Result = ();

    fn handle(&mut self, m: FlowModify, _: &mut Context<Self>) {
        self.desk.received();
        for change in &m.entries {
            // A flow that went meanwhile needs no change.
            let _ = self.engine.modify(change, m.view_version);
        }
    }
}

impl Handler<FlowDelete> for Datapath {
    type Result = MessageResult<FlowDelete>;

    fn handle(&mut self, m: FlowDelete, _: &mut Context<Self>) -> Self::Result {
        self.desk.received();
        MessageResult(match m.ufids {
            Some(ufids) => ufids.into_iter().filter_map(|u| self.engine.delete(u)).collect(),
            None => {
                let (flows, _) = self.engine.dump(dp::FlowCursor::default(), usize::MAX);
                self.engine.flush();
                flows
            }
        })
    }
}

impl Handler<FlowDump> for Datapath {
    type Result = MessageResult<FlowDump>;

    fn handle(&mut self, m: FlowDump, _: &mut Context<Self>) -> Self::Result {
        self.desk.received();
        MessageResult(self.engine.dump(m.cursor, m.max))
    }
}

impl Handler<FlowReports> for Datapath {
    type Result = MessageResult<FlowReports>;

    fn handle(&mut self, m: FlowReports, _: &mut Context<Self>) -> Self::Result {
        self.desk.received();
        let mut flows = Vec::new();
        let next = self.engine.walk(m.cursor, m.max, |flow| flows.push(flow));
        MessageResult((flows, self.engine.n_flows(), next))
    }
}

impl Handler<ReportFlows> for Datapath {
    type Result = MessageResult<ReportFlows>;

    fn handle(&mut self, m: ReportFlows, _: &mut Context<Self>) -> Self::Result {
        self.desk.received();
        MessageResult(m.0.into_iter().filter_map(|ufid| self.engine.report(ufid)).collect())
    }
}

impl Handler<LimitFlows> for Datapath {
    type Result = ();

    fn handle(&mut self, m: LimitFlows, _: &mut Context<Self>) {
        self.desk.received();
        let config = dp::Config { flow_limit: m.0, ..*self.engine.config() };
        self.engine.set_config(config);
    }
}

impl Handler<ReadStats> for Datapath {
    type Result = MessageResult<ReadStats>;

    fn handle(&mut self, _: ReadStats, _: &mut Context<Self>) -> Self::Result {
        self.desk.received();
        let mut ports = Vec::new();
        for (number, port) in &self.ports {
            let stats = self.engine.port_stats(*number).unwrap_or_default();
            let lost = port.queues.iter().filter_map(|q| self.engine.queue_mut(q.id).map(|q| q.losses().dropped)).sum();
            ports.push((*number, stats, lost));
        }
        MessageResult(DatapathReport {
            stats: self.engine.total_stats(),
            main: *self.engine.stats(),
            threads: self.thread_reports(),
            flows: self.engine.n_flows(),
            masks: self.engine.n_masks(),
            emc_entries: self.engine.n_emc_entries(),
            ports,
            drops: self.engine.port_drops(),
            dummies: self.inboxes.keys().copied().collect(),
        })
    }
}

impl Datapath {
    fn thread_reports(&self) -> Vec<ThreadReport> {
        let now_us = u64::try_from(clock::now_us()).unwrap_or(0);
        let threads = self.engine.thread_stats().iter();
        let report = |(core, stats): (&u32, &dp::Stats)| {
            let (since_us, busy_us) = self.threads.get(core).copied().unwrap_or((now_us, 0));
            let age_us = now_us.saturating_sub(since_us);
            let settled_us = now_us.saturating_sub(self.tuned_us);
            ThreadReport { core: *core, stats: *stats, age_us, busy_us, settled_us }
        };
        threads.map(report).collect()
    }
}

impl Handler<Tune> for Datapath {
    type Result = ();

    fn handle(&mut self, m: Tune, _: &mut Context<Self>) {
        self.desk.received();
        let config = dp::Config { emc_insert_inv_prob: m.emc_insert_inv_prob, smc: m.smc, ..*self.engine.config() };
        self.engine.set_config(config);
        self.engine.set_pollers(m.pollers, &m.cores);
        let now_us = u64::try_from(clock::now_us()).unwrap_or(0);
        self.tuned_us = now_us;
        self.threads.retain(|core, _| m.cores.contains(core));
        for core in m.cores {
            self.threads.entry(core).or_insert((now_us, 0));
        }
        // A queue that nobody had may have packets.
        let queues: Vec<_> = self.engine.queues().map(|(queue, port, ..)| (port, queue)).collect();
        for (port, queue) in queues {
            self.activate(port, queue);
        }
        self.woken.nudge();
    }
}

impl Handler<MeterSet> for Datapath {
    type Result = ();

    fn handle(&mut self, m: MeterSet, _: &mut Context<Self>) {
        self.desk.received();
        match m.config {
            Some(config) => self.engine.set_meter(m.id, config, u64::try_from(clock::now_us()).unwrap_or(0)),
            None => drop(self.engine.delete_meter(m.id)),
        }
    }
}

impl Handler<VlanLimit> for Datapath {
    type Result = ();

    fn handle(&mut self, m: VlanLimit, _: &mut Context<Self>) {
        self.desk.received();
        let config = dp::Config { max_vlans: m.0, ..*self.engine.config() };
        self.engine.set_config(config);
    }
}

impl Handler<BondSet> for Datapath {
    type Result = ();

    fn handle(&mut self, m: BondSet, _: &mut Context<Self>) {
        self.desk.received();
        match m.members.as_deref().map(TryInto::try_into) {
            Some(Ok(members)) => self.engine.set_bond(m.id, members),
            _ => drop(self.engine.delete_bond(m.id)),
        }
    }
}

impl Handler<MeterRead> for Datapath {
    type Result = MessageResult<MeterRead>;

    fn handle(&mut self, m: MeterRead, _: &mut Context<Self>) -> Self::Result {
        self.desk.received();
        MessageResult(self.engine.meter(m.id).map(|meter| meter.stats().clone()))
    }
}

impl Handler<Quiesce> for Datapath {
    type Result = ();

    fn handle(&mut self, _: Quiesce, _: &mut Context<Self>) {
        self.desk.received();
        while self.work() {}
    }
}

/// A dummy port's inbox, so that packets can be injected (R).
#[derive(Message)]
#[rtype(result = "()")]
pub struct DummyAttach {
    /// Port.
    pub port: OdpPort,
    /// The inboxes of its queues.
    pub inboxes: Vec<DummyInbox>,
}

impl Handler<DummyAttach> for Datapath {
    type Result = ();

    fn handle(&mut self, m: DummyAttach, _: &mut Context<Self>) {
        self.desk.received();
        self.inboxes.insert(m.port, m.inboxes);
    }
}

impl Handler<Inject> for Datapath {
    type Result = ();

    fn handle(&mut self, m: Inject, _: &mut Context<Self>) {
        self.desk.received();
        let queue = m.queue as usize;
        let Some(inbox) = self.inboxes.get(&m.port).and_then(|inboxes| inboxes.get(queue)) else { return };
        for packet in m.packets {
            inbox.push(packet);
        }
        let queues: Vec<QueueId> =
            self.ports.get(&m.port).map(|p| p.queues.iter().map(|q| q.id).collect()).unwrap_or_default();
        for queue in queues {
            self.activate(m.port, queue);
        }
        while self.work() {}
    }
}
