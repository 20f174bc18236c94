//! The datapath actor: one thread's ports, rings and caches, on an arbiter of its own.
//!
//! While packets flow it polls the queues that have any, burst by burst, and looks at its mailbox between slices of
//! [`BURSTS_A_SLICE`] bursts. A queue found empty is armed and left to the kernel; with all queues asleep the thread
//! sleeps in its runtime. Misses leave in one message a round of bursts and a bridge.

pub mod adapt;
pub mod control;
mod ct_flush;
mod drops;
mod log;
mod wake;

use actix::prelude::*;
use dp::{Datapath as Engine, Poller, QueueId};
use flow::{OdpPort, Upcall};
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::clock;
use crate::mailbox::Outlet;
use crate::msg::bridge::Upcalls;
use crate::msg::datapath::*;
use crate::supervise::{Desk, Player};
use adapt::DummyInbox;

/// How often what is due by time is done while no packets come, milliseconds.
const TICK_MS: i64 = 1_000;
/// Bursts between two looks at the mailbox.
const BURSTS_A_SLICE: usize = 64;

struct Port {
    /// Those without a descriptor are woken by hand.
    queues: Vec<(QueueId, Option<wake::Watch>)>,
    bridge: Outlet<Upcalls>,
}

/// A datapath thread's actor.
pub struct Datapath {
    desk: Desk,
    engine: Engine,
    woken: Arc<wake::Woken>,
    ports: BTreeMap<OdpPort, Port>,
    /// Queues with something to give, in turn.
    active: Vec<(OdpPort, QueueId)>,
    upcalls: Vec<Upcall>,
    /// Inboxes of dummy ports, for packets to be injected.
    inboxes: BTreeMap<OdpPort, Vec<DummyInbox>>,
    /// Since when the threads of processors are there, and how long they were busy, microseconds.
    threads: BTreeMap<u32, (u64, u64)>,
    drops: drops::Told,
}

impl Datapath {
    /// A datapath without ports. `config.seed` must be unknown to senders of packets.
    pub fn new(mut desk: Desk, config: dp::Config, ctx: &mut Context<Self>) -> Self {
        ctx.spawn(wake::Readiness);
        desk.arm(Some((clock::now_ms() + TICK_MS, "connections expire")));
        Self {
            desk,
            engine: Engine::new(config),
            woken: Arc::default(),
            ports: BTreeMap::new(),
            active: Vec::new(),
            upcalls: Vec::new(),
            inboxes: BTreeMap::new(),
            threads: BTreeMap::new(),
            drops: drops::Told::new(),
        }
    }

    fn activate(&mut self, port: OdpPort, queue: QueueId) {
        if !self.active.iter().any(|(_, q)| *q == queue) {
            self.active.push((port, queue));
        }
    }

    /// Polls active queues for one slice; `true` when some remain.
    fn work(&mut self) -> bool {
        let mut bursts = 0;
        while bursts < BURSTS_A_SLICE && !self.active.is_empty() {
            let now_us = u64::try_from(clock::now_us()).unwrap_or(0);
            let mut i = 0;
            while i < self.active.len() {
                let (port, queue) = self.active[i];
                bursts += 1;
                let empty = self.engine.poll(queue, now_us, &mut self.upcalls) == 0;
                let poller = self.engine.poller(queue);
                if !empty
                    && let Poller::Core(core) = poller
                    && let Some((_, busy_us)) = self.threads.get_mut(&core)
                {
                    *busy_us += u64::try_from(clock::now_us()).unwrap_or(0).saturating_sub(now_us);
                }
                let is_left = poller == Poller::Nobody;
                if empty && (is_left || self.engine.queue_mut(queue).is_none_or(|q| q.prepare_sleep())) {
                    self.active.swap_remove(i);
                    self.listen(port, queue);
                } else {
                    i += 1;
                }
            }
            self.flush_upcalls(None);
        }
        self.drops.tell(self.engine.stats());
        !self.active.is_empty()
    }

    fn listen(&self, port: OdpPort, queue: QueueId) {
        let Some(port) = self.ports.get(&port) else { return };
        if let Some((_, Some(watch))) = port.queues.iter().find(|(q, _)| *q == queue) {
            watch.listen();
        }
    }

    /// Sends the gathered upcalls to their bridges; those of no port to `otherwise`.
    fn flush_upcalls(&mut self, otherwise: Option<&Outlet<Upcalls>>) {
        if self.upcalls.is_empty() {
            return;
        }
        let mut batches: Vec<(&Outlet<Upcalls>, Vec<Upcall>)> = Vec::new();
        for upcall in self.upcalls.drain(..) {
            log::upcall(self.desk.card().name(), &upcall);
            let port = upcall.key.in_port();
            let Some(bridge) = self.ports.get(&port).map(|p| &p.bridge).or(otherwise) else {
                continue;
            };
            let same = |b: &Outlet<Upcalls>| Arc::ptr_eq(b.card(), bridge.card());
            match batches.iter_mut().find(|(b, _)| same(b)) {
                Some((_, batch)) => batch.push(upcall),
                None => batches.push((bridge, vec![upcall])),
            }
        }
        let now_us = u64::try_from(clock::now_us()).unwrap_or(0);
        for (bridge, batch) in batches {
            let ports: Vec<OdpPort> = batch.iter().map(|u| u.key.in_port()).collect();
            if !bridge.offer(Upcalls { batch }) {
                for port in ports {
                    self.engine.upcalls_answered(port, 1, now_us);
                }
            }
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
        self.engine.tick(u64::try_from(clock::now_us()).unwrap_or(0));
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
            queues.push((id, watch));
            self.activate(m.port, id);
        }
        self.ports.insert(m.port, Port { queues, bridge: m.bridge });
        self.woken.nudge();
    }
}

impl Datapath {
    fn detach(&mut self, port: OdpPort) {
        let Some(old) = self.ports.remove(&port) else { return };
        for (queue, _) in old.queues {
            self.active.retain(|(_, q)| *q != queue);
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
        for (port, n) in m.answered {
            self.engine.upcalls_answered(port, n, now_us);
        }
        self.engine.execute(&m.packets, now_us, &mut self.upcalls);
        self.drops.tell(self.engine.stats());
        self.flush_upcalls(Some(&m.bridge));
    }
}

impl Handler<FlowModify> for Datapath {
    type Result = ();

    fn handle(&mut self, m: FlowModify, _: &mut Context<Self>) {
        self.desk.received();
        for (ufid, actions) in &m.entries {
            // A flow that went meanwhile needs no change.
            let _ = self.engine.modify(*ufid, actions, m.view_version);
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
        let reported = |ufid, actions: &flow::Actions, stats: &flow::FlowStats| {
            flows.push(ofproto::bridge::FlowReported { ufid, actions: actions.clone(), stats: *stats });
        };
        let next = self.engine.walk(m.cursor, m.max, reported);
        MessageResult((flows, self.engine.n_flows(), next))
    }
}

impl Handler<ReportFlows> for Datapath {
    type Result = MessageResult<ReportFlows>;

    fn handle(&mut self, m: ReportFlows, _: &mut Context<Self>) -> Self::Result {
        self.desk.received();
        let report = |ufid| {
            let (actions, stats) = self.engine.counters(ufid)?;
            Some(ofproto::bridge::FlowReported { ufid, actions, stats })
        };
        MessageResult(m.0.into_iter().filter_map(report).collect())
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
            let lost =
                port.queues.iter().filter_map(|(q, _)| self.engine.queue_mut(*q).map(|q| q.losses().dropped)).sum();
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
            ThreadReport { core: *core, stats: *stats, age_us: now_us.saturating_sub(since_us), busy_us }
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
            self.ports.get(&m.port).map(|p| p.queues.iter().map(|(q, _)| *q).collect()).unwrap_or_default();
        for queue in queues {
            self.activate(m.port, queue);
        }
        while self.work() {}
    }
}
