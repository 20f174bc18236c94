//! The datapath actor: one thread's ports, rings and caches, on an arbiter of its own.
//!
//! A datapath has a main thread, which everybody speaks to, and as many more as `pmd-cpu-mask` asks for. The main one is
//! their parent and their only correspondent ([`hub`]): it deals out queues, has them follow the changes of its flow
//! table, and adds up what they count. Each has caches, a flow table and sending halves of its own, and hands its misses
//! up itself; what a miss is answered with comes back by the main thread, behind the flow. Connections, meters and
//! policers are common to all ([`dp::Common`]).
//!
//! While packets flow it polls the queues that have any, burst by burst, and looks at its mailbox between slices of
//! [`BURSTS_A_SLICE`] bursts or [`SLICE_US`]. A queue found empty is armed and left to the kernel, where it pays after a
//! moment ([`crate::linger`]); with all queues asleep the thread sleeps in its runtime. Misses leave in one message a
//! round of bursts and a bridge.

pub mod adapt;
mod answer;
pub mod control;
mod ct_flush;
mod drops;
pub mod dummy;
pub mod early;
mod flows;
mod host_tunnel;
mod hub;
pub mod kernel;
pub mod legacy;
mod lines;
pub(crate) mod log;
pub mod low_latency;
mod napi;
mod offload;
mod order;
mod ports;
mod report;
pub(crate) mod supervision;
mod wake;

use actix::prelude::*;
pub(crate) use ct_flush::{flush_connections, log_flush};
use dp::{Datapath as Engine, Load, QueueId};
use flow::{OdpPort, Upcall};
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::clock;
use crate::linger::Linger;
use crate::mailbox::Outlet;
use crate::msg::bridge::Upcalls;
use crate::msg::datapath::ThreadReturned;
use crate::msg::datapath::TunnelPort;
use crate::msg::switch::{QueuesLost, TrackingSet};
use crate::supervise::{Desk, Player};
use hub::Hub;
use wake::Name;

/// How long to look on for the next packet, microseconds.
const LINGER_US: u64 = 20;
/// How often what is due by time is done while no packets come, milliseconds.
const TICK_MS: i64 = 1_000;
/// Bursts between two looks at the mailbox and at what else has packets.
const BURSTS_A_SLICE: usize = 64;
/// Time between them, microseconds, where bursts take long: of packets that no flow is for yet, which a port may send
/// without end while others wait.
const SLICE_US: u64 = 1_000;

struct Port {
    /// Its device's.
    name: String,
    queues: Vec<PortQueue>,
    bridge: Outlet<Upcalls>,
    /// Which of all attachments so far it is: what belonged to an earlier one of its number is not its.
    attachment: u64,
    /// Packets that came truncated, as the log was told.
    truncated: u64,
}

struct PortQueue {
    id: QueueId,
    /// Its number among the port's.
    number: u32,
    /// One without a descriptor is woken by hand.
    watch: Option<wake::Watch>,
    linger: Linger,
    load: Load,
}

/// What a thread other than the main one is.
#[derive(Debug, Clone, Copy)]
struct Pmd {
    /// Its processor.
    core: u32,
    /// Since when it has been there, microseconds.
    since_us: u64,
    /// How much of that went into packets, microseconds.
    busy_us: u64,
    /// Since when it has had the queues that it has, microseconds.
    settled_us: u64,
}

/// Who hears of what must outlive the datapath's thread, or what fell with another's.
#[derive(Debug, Clone, Default)]
pub struct Owner {
    /// What commands set.
    pub keeper: Option<Outlet<TrackingSet>>,
    /// Ports whose queues are gone.
    pub losses: Option<Outlet<QueuesLost>>,
    /// Where it leaves what it counted, should it die.
    pub place: legacy::Place,
    /// The kernel's fast path, if there is one.
    pub kernel: Option<kernel::KernelFlows>,
    /// Who may ask processors to wake soon, if the kernel takes it.
    pub low_latency: Option<low_latency::LowLatency>,
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

fn now_us() -> u64 {
    u64::try_from(clock::now_us()).unwrap_or(0)
}

/// How long another thread may take to say what it counted.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);

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
    /// Who decides about what comes by tunnel ports.
    tunnels: BTreeMap<OdpPort, TunnelPort>,
    /// Queues with something to give, in turn.
    active: Vec<Active>,
    /// Those that were lately, and wake with the next one.
    companions: Vec<Active>,
    /// Who had packets last.
    last: Option<Name>,
    looking_on: Option<Looking>,
    expectation: answer::Expectation,
    upcalls: Vec<Upcall>,
    owner: Owner,
    /// Whether processors are to wake soon.
    vote: Option<low_latency::Vote>,
    /// The other threads, if this is the main one.
    hub: Hub,
    /// What this thread is, if it is another.
    pmd: Option<Pmd>,
    /// What its iterations are like, if it is another and that is asked.
    metrics: Option<dp::perf::Metrics>,
    /// Upcalls on their way.
    lines: lines::Lines,
    /// Ports that are dummies, for packets to be injected.
    dummies: BTreeMap<OdpPort, dummy::Attached>,
    /// Flows that dummies took.
    offload: offload::Offload,
    drops: drops::Told,
    /// Where it leaves what it counted, should it die.
    place: legacy::Place,
    /// What ports counted in its last life that have not come back yet.
    inherited: BTreeMap<OdpPort, (String, dp::PortStats)>,
}

impl Datapath {
    /// The main thread of a datapath without ports, and what its last life counted. `config.seed` must be unknown to
    /// senders of packets.
    pub fn new(
        desk: Desk,
        config: dp::Config,
        owner: Owner,
        legacy: Option<legacy::Legacy>,
        ctx: &mut Context<Self>,
    ) -> Self {
        let hub = Hub::new(&desk);
        let mut this = Self::alone(desk, Engine::new(config), owner, ctx);
        this.hub = hub;
        this.set_config(config);
        if let Some(legacy) = legacy {
            this.drops.inherit(&legacy.stats);
            this.engine.credit_thread(legacy.stats);
            this.inherited = legacy.ports;
        }
        this
    }

    /// Another thread, on the processor `core`, that shares what is `common` with the main one. `news` is told if it is
    /// not its first life.
    fn pmd(
        desk: Desk,
        (config, core): (dp::Config, u32),
        common: dp::Common,
        (news, owner): &(Outlet<ThreadReturned>, Owner),
        ctx: &mut Context<Self>,
    ) -> Self {
        if let Err(error) = sys::thread::set_affinity(&[core as usize]) {
            vlog::dbg!("dpif_netdev", "core {core}: {error}");
        }
        let lives = desk.card().counts().restarts;
        if lives > 0 {
            news.clone().deliver(ThreadReturned { core, lives });
        }
        let now_us = now_us();
        let pmd = Pmd { core, since_us: now_us, busy_us: 0, settled_us: now_us };
        let mut this = Self::alone(desk, Engine::beside(config, common), owner.clone(), ctx);
        this.pmd = Some(pmd);
        this.metrics = config.measures.then(|| dp::perf::Metrics::new(*this.engine.stats()));
        this
    }

    fn alone(mut desk: Desk, mut engine: Engine, owner: Owner, ctx: &mut Context<Self>) -> Self {
        ctx.spawn(wake::Readiness);
        desk.arm(Some((clock::now_ms() + TICK_MS, "connections expire")));
        engine.set_wall(now_us(), u64::try_from(clock::wall_us()).unwrap_or(0));
        Self {
            desk,
            engine,
            woken: Arc::default(),
            ports: BTreeMap::new(),
            active: Vec::new(),
            companions: Vec::new(),
            last: None,
            looking_on: None,
            expectation: answer::Expectation::default(),
            upcalls: Vec::new(),
            vote: owner.low_latency.as_ref().map(low_latency::LowLatency::vote),
            place: owner.place.clone(),
            owner,
            hub: Hub::default(),
            pmd: None,
            metrics: None,
            lines: lines::Lines::default(),
            tunnels: BTreeMap::new(),
            dummies: BTreeMap::new(),
            offload: offload::Offload::default(),
            drops: drops::Told::new(),
            inherited: BTreeMap::new(),
        }
    }

    /// Takes other settings, and has the kernel forward what it can, or nothing.
    fn set_config(&mut self, config: dp::Config) {
        self.engine.set_config(config);
        let is_measured = config.measures && self.pmd.is_some();
        if is_measured != self.metrics.is_some() {
            self.metrics = is_measured.then(|| dp::perf::Metrics::new(*self.engine.stats()));
        }
        let has_path = self.engine.kernel_report().is_some();
        let path = self.owner.kernel.as_ref().filter(|_| config.kernel_path);
        if path.is_some() != has_path {
            self.engine.set_kernel_path(path.map(|path| Box::new(path.clone()) as Box<dyn dp::kernel::KernelPath>));
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
        let began_us = now_us();
        while bursts < BURSTS_A_SLICE && !self.active.is_empty() {
            let now_us = now_us();
            if now_us.saturating_sub(began_us) > SLICE_US {
                break;
            }
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
        self.tell();
        self.vote();
        if self.engine.was_crowded() {
            // Those who decide may be waiting for this very processor: what comes meanwhile would be received in vain.
            std::thread::yield_now();
        }
        !self.active.is_empty()
    }

    /// Tells what became of packets that went nowhere.
    fn tell(&mut self) {
        self.drops.tell(self.engine.stats());
        for notice in self.engine.notices() {
            let name = |port| self.ports.get(&port).map_or("", |port: &Port| &port.name);
            log::say(notice, notice.port().map_or("", name));
        }
    }

    /// Polls each active queue once; says how many had packets. Beside those that have, others are soon left to the
    /// kernel.
    fn round(&mut self, mut now_us: u64) -> usize {
        let (mut served, mut i) = (0, 0);
        while i < self.active.len() {
            let Active { port, queue, empty, .. } = self.active[i];
            if self.engine.poll(queue, now_us, &mut self.upcalls) > 0 {
                served += 1;
                (self.active[i].empty, self.active[i].is_fed) = (0, true);
                self.last = Some((port, queue));
                if self.pmd.is_some() {
                    self.account((port, queue), &mut now_us);
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

    /// Counts the time since `now_us` for a queue and its thread.
    fn account(&mut self, (port, queue): Name, now_us: &mut u64) {
        let done_us = self::now_us();
        let spent_us = done_us.saturating_sub(std::mem::replace(now_us, done_us));
        if let Some(pmd) = &mut self.pmd {
            pmd.busy_us += spent_us;
        }
        if let Some(metrics) = &mut self.metrics {
            metrics.iteration(done_us, spent_us, self.engine.stats());
            supervision::judge(metrics);
        }
        let queue = self.ports.get_mut(&port).and_then(|p| p.queues.iter_mut().find(|q| q.id == queue));
        if let Some(queue) = queue {
            queue.load.add(spent_us);
        }
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
        self.arm_look();
    }

    /// Wakes the thread in time to look at what passes.
    fn arm_look(&mut self) {
        if let Some(at_ms) = self.engine.look_ms() {
            self.desk.arm_by(i64::try_from(at_ms).unwrap_or(i64::MAX), "what passes is looked at");
        }
    }

    /// Says whether processors are to wake soon.
    fn vote(&mut self) {
        if let Some(vote) = &mut self.vote {
            vote.cast(self.engine.is_brisk());
        }
    }

    fn put_to_sleep(&mut self, which: impl Fn(&Active) -> bool) {
        let mut i = 0;
        while i < self.active.len() {
            let Active { port, queue, .. } = self.active[i];
            let sleeps = which(&self.active[i]) && self.engine.queue_mut(queue).is_none_or(|q| q.prepare_sleep());
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
            // One that woke before its port went is nobody's, or another's by now.
            if self.ports.get(&port).is_some_and(|port| port.queues.iter().any(|q| q.id == queue)) {
                self.activate(port, queue);
            }
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
        let now_us = now_us();
        self.engine.set_wall(now_us, u64::try_from(clock::wall_us()).unwrap_or(0));
        self.engine.tick(now_us);
        self.ports.values_mut().flat_map(|p| &mut p.queues).for_each(|q| q.load.turn(now_us));
        self.engine.forget_answers(now_us, &mut self.upcalls);
        self.flush_upcalls(None);
        self.desk.arm(Some((now_ms + TICK_MS, "connections expire")));
        self.arm_look();
        self.vote();
    }
}
