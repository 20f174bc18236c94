//! The datapath as its thread sees it: ports and queues come and go, bursts are polled, flows, meters and bonds are set.

use std::collections::BTreeMap;

use flow::{Execute, FlowChange, FlowEntry, FlowReported, OdpPort, Ticket, Ufid, Upcall};

use crate::bond::BUCKETS;
use crate::burst::{BURST, Burst};
use crate::ct::{self, Connection, Fragments, Timeouts, Tuple};
use crate::dpif::{Dpif, Support};
use crate::drop_log::PortDrops;
use crate::engine::{Engine, Env};
use crate::flows::{DumpedFlow, FlowCursor, InstallError};
use crate::meter::{Meter, MeterConfig};
use crate::policer::{Policer, PolicerConfig};
use crate::port::{RxQueue, TxPort, Watcher};
use crate::stats::{PortStats, QueueStats, Stats};

/// How often subtables are ranked, µs.
const RANK_US: u64 = 1_000_000;
/// How often some connections are looked at, µs.
const SWEEP_US: u64 = 10_000;

/// So many subtables looked into cost as much as receiving and sending a packet.
const LOOKS_A_PACKET: u64 = 64;
/// The smallest burst of a queue whose packets are dear.
const MIN_BURST: u64 = 4;

/// Settings of a datapath.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// A number nobody outside knows: seeds hashes and dice.
    pub seed: u64,
    /// One in so many packets that miss the exact-match cache enters it: 1 every one, 0 none and no cache.
    pub emc_insert_inv_prob: u32,
    /// Whether to use the signature cache.
    pub smc: bool,
    /// VLAN tags told apart, 0 to 2.
    pub max_vlans: usize,
    /// Flows at most.
    pub flow_limit: usize,
    /// Masks at most of the flows of one port.
    pub mask_limit: usize,
    /// Unanswered upcalls at most of one port.
    pub upcall_quota: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            seed: 0,
            emc_insert_inv_prob: 100,
            smc: false,
            max_vlans: 1,
            flow_limit: 1 << 20,
            mask_limit: 512,
            upcall_quota: 1024,
        }
    }
}

/// Names a receive queue of a datapath.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueueId(pub usize);

/// Which thread a queue counts for, and whether it is polled at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Poller {
    /// The main thread.
    #[default]
    Main,
    /// The thread of a processor.
    Core(u32),
    /// No thread may have it.
    Nobody,
}

struct Queue {
    port: OdpPort,
    poller: Poller,
    /// Its number among the port's queues.
    number: u32,
    rx: Box<dyn RxQueue>,
    stats: QueueStats,
    /// Subtables looked into for a packet, lately; in sixteenths.
    looks_16: u64,
}

impl Queue {
    /// Packets to take at once: the dearer they are, the fewer, so that a queue that is flooded with packets crafted to
    /// be looked for in vain takes no more time than another.
    fn burst(&self) -> usize {
        let unit = LOOKS_A_PACKET * 16;
        (BURST as u64 * unit / (unit + self.looks_16)).max(MIN_BURST) as usize
    }

    fn learn_cost(&mut self, packets: u64, looks: u64) {
        self.looks_16 = (self.looks_16 * 7 + looks * 16 / packets) / 8;
    }
}

/// The datapath of one thread.
pub struct Datapath {
    engine: Engine,
    queues: Vec<Option<Queue>>,
    /// Who polls which queue, of those that the main thread does not.
    pollers: BTreeMap<(OdpPort, u32), Poller>,
    /// What was counted for threads other than the main one, by processor.
    threads: BTreeMap<u32, Stats>,
    ranked_us: u64,
    swept_us: u64,
}

impl Datapath {
    /// One without ports and flows.
    pub fn new(config: Config) -> Self {
        Self {
            engine: Engine::new(config),
            queues: Vec::new(),
            pollers: BTreeMap::new(),
            threads: BTreeMap::new(),
            ranked_us: 0,
            swept_us: 0,
        }
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.engine.config
    }

    /// Changes settings; the seed stays. Caches that are switched off are emptied.
    pub fn set_config(&mut self, config: Config) {
        let seed = self.engine.config.seed;
        if config.emc_insert_inv_prob == 0 {
            self.engine.emc.clear();
        }
        if !config.smc {
            self.engine.smc.clear();
        }
        self.engine.flows.set_limits(config.flow_limit, config.mask_limit);
        self.engine.config = Config { seed, ..config };
    }

    /// Adds a port to send through; one of the same number is replaced, and its counters go on.
    ///
    /// `false`: the number is too large.
    pub fn add_port(&mut self, port: OdpPort, tx: Box<dyn TxPort>) -> bool {
        self.engine.outputs.add(port, tx)
    }

    /// Removes a port with those of its queues that are polled here.
    pub fn remove_port(&mut self, port: OdpPort) -> Option<Box<dyn TxPort>> {
        for queue in &mut self.queues {
            queue.take_if(|q| q.port == port);
        }
        self.engine.drops.forget(port);
        self.engine.outputs.remove(port)
    }

    /// Sets or removes who sees a port's packets here. `false`: there is no such port.
    pub fn watch_port(&mut self, port: OdpPort, watcher: Option<Box<dyn Watcher>>) -> bool {
        self.engine.outputs.watch(port, watcher)
    }

    /// Limits what a port may bring in, or no longer does; the limit stays when the port goes and comes.
    pub fn set_policer(&mut self, port: OdpPort, config: Option<PolicerConfig>, now_us: u64) {
        match config {
            Some(config) => drop(self.engine.policers.insert(port, Policer::new(&config, now_us / 1000))),
            None => drop(self.engine.policers.remove(&port)),
        }
    }

    /// Adds a queue to receive from.
    pub fn add_queue(&mut self, port: OdpPort, number: u32, rx: Box<dyn RxQueue>) -> QueueId {
        let poller = self.pollers.get(&(port, number)).copied().unwrap_or_default();
        let queue = Some(Queue { port, poller, number, rx, stats: QueueStats::default(), looks_16: 0 });
        let free = self.queues.iter().position(Option::is_none);
        match free {
            Some(i) => {
                self.queues[i] = queue;
                QueueId(i)
            }
            None => {
                self.queues.push(queue);
                QueueId(self.queues.len() - 1)
            }
        }
    }

    /// Takes a queue away, to be polled elsewhere or not at all.
    pub fn remove_queue(&mut self, queue: QueueId) -> Option<Box<dyn RxQueue>> {
        Some(self.queues.get_mut(queue.0)?.take()?.rx)
    }

    /// The receiving half of a queue, to put it to sleep or ask it for its own counters.
    pub fn queue_mut(&mut self, queue: QueueId) -> Option<&mut dyn RxQueue> {
        match self.queues.get_mut(queue.0) {
            Some(Some(queue)) => Some(queue.rx.as_mut()),
            _ => None,
        }
    }

    /// Says who polls which queue, now and when it comes; the main thread has those that are not named. Threads that
    /// have none any more are forgotten with what they counted.
    pub fn set_pollers(&mut self, pollers: BTreeMap<(OdpPort, u32), Poller>, cores: &[u32]) {
        self.threads.retain(|core, _| cores.contains(core));
        for core in cores {
            self.threads.entry(*core).or_default();
        }
        for queue in self.queues.iter_mut().flatten() {
            queue.poller = pollers.get(&(queue.port, queue.number)).copied().unwrap_or_default();
        }
        self.pollers = pollers;
    }

    /// Who polls a queue.
    pub fn poller(&self, queue: QueueId) -> Poller {
        let queue = self.queues.get(queue.0).and_then(Option::as_ref);
        queue.map_or(Poller::Nobody, |queue| queue.poller)
    }

    /// The queues polled here: handle, port, number, counters.
    pub fn queues(&self) -> impl Iterator<Item = (QueueId, OdpPort, u32, QueueStats)> + '_ {
        let queues = self.queues.iter().enumerate();
        queues.filter_map(|(i, q)| q.as_ref().map(|q| (QueueId(i), q.port, q.number, q.stats)))
    }

    /// Takes one burst of a queue, at most [`BURST`] packets, all the way through. Says how many packets it had.
    ///
    /// What must be decided above is added to `upcalls`, to be sent on in one message.
    pub fn poll(&mut self, queue: QueueId, now_us: u64, upcalls: &mut Vec<Upcall>) -> usize {
        let Some(Some(queue)) = self.queues.get_mut(queue.0) else { return 0 };
        let core = match queue.poller {
            Poller::Main => None,
            Poller::Core(core) => Some(core),
            Poller::Nobody => return 0,
        };
        if let Some(stats) = core.map(|core| self.threads.entry(core).or_default()) {
            std::mem::swap(stats, &mut self.engine.stats);
        }
        queue.stats.polls += 1;
        let mut spent = 0;
        let n = {
            let mut burst = Burst::new();
            queue.rx.receive(queue.burst(), &mut burst);
            let n = burst.len();
            if n > 0 {
                self.engine.outputs.show_received(queue.port, &burst);
                let mut env = Env { now_ms: now_us / 1000, port: queue.port, upcalls };
                queue.stats.packets += n as u64;
                let looks = self.engine.looks;
                queue.stats.bytes += self.engine.run(&mut burst, &mut env);
                spent = self.engine.looks - looks;
            }
            n
        };
        if let Some(stats) = core.and_then(|core| self.threads.get_mut(&core)) {
            std::mem::swap(stats, &mut self.engine.stats);
        }
        if n > 0 {
            queue.learn_cost(n as u64, spent);
            queue.rx.release();
            self.tick(now_us);
        }
        n
    }

    /// Does what is due by time: ranks subtables, lets connections expire. To be called now and then when idle, once a
    /// second say; while packets come it is done by [`Datapath::poll`].
    pub fn tick(&mut self, now_us: u64) {
        if now_us.saturating_sub(self.ranked_us) >= RANK_US {
            self.ranked_us = now_us;
            self.engine.flows.rank();
        }
        if now_us.saturating_sub(self.swept_us) >= SWEEP_US {
            self.swept_us = now_us;
            self.engine.tracker.expire(now_us / 1000);
        }
    }

    /// Acts upon packets from above.
    pub fn execute(&mut self, packets: Vec<Execute>, now_us: u64, upcalls: &mut Vec<Upcall>) {
        let mut env = Env { now_ms: now_us / 1000, port: 0, upcalls };
        self.engine.execute_all(packets, &mut env);
    }

    /// Upcalls were answered, or lost on their way: their ports may make as many more, and packets that waited for them go
    /// on.
    pub fn upcalls_answered(&mut self, answers: &[(OdpPort, Ticket)], now_us: u64, upcalls: &mut Vec<Upcall>) {
        let mut env = Env { now_ms: now_us / 1000, port: 0, upcalls };
        self.engine.answered(answers, &mut env);
    }

    /// Upcalls that nobody takes: counted as lost.
    pub fn upcalls_lost(&mut self, lost: &[(OdpPort, Ticket)], now_us: u64, upcalls: &mut Vec<Upcall>) {
        self.engine.count_lost(lost.len() as u64);
        self.upcalls_answered(lost, now_us, upcalls);
    }

    /// Lets packets go on that wait for answers that will not come any more. To be called once a second or so.
    pub fn forget_answers(&mut self, now_us: u64, upcalls: &mut Vec<Upcall>) {
        let mut env = Env { now_ms: now_us / 1000, port: 0, upcalls };
        self.engine.forget_answers(&mut env);
    }

    /// Whether as many flows are installed as may be.
    pub fn is_full(&self) -> bool {
        self.engine.flows.is_full()
    }

    /// Installs a flow, translated from the view of this version.
    pub fn install(&mut self, entry: &FlowEntry, view_version: u64) -> Result<(), InstallError> {
        self.engine.flows.install(entry, view_version)
    }

    /// Changes a flow's actions; its counters go on.
    pub fn modify(&mut self, change: &FlowChange, view_version: u64) -> Result<(), InstallError> {
        self.engine.flows.modify(change, view_version)
    }

    /// Removes a flow: as it was last.
    pub fn delete(&mut self, ufid: Ufid) -> Option<DumpedFlow> {
        self.engine.flows.remove(ufid)
    }

    /// A flow as it is.
    pub fn flow(&self, ufid: Ufid) -> Option<DumpedFlow> {
        self.engine.flows.get(ufid)
    }

    /// Up to `max` flows, and where to go on. Flows that come or go meanwhile may be missed; none comes twice.
    pub fn dump(&self, cursor: FlowCursor, max: usize) -> (Vec<DumpedFlow>, Option<FlowCursor>) {
        self.engine.flows.dump(cursor, max)
    }

    /// What a flow does, by its edition, and has counted.
    pub fn report(&self, ufid: Ufid) -> Option<FlowReported> {
        self.engine.flows.report(ufid)
    }

    /// Reports up to `max` flows from `cursor` on; gives where to go on.
    pub fn walk(&self, cursor: FlowCursor, max: usize, see: impl FnMut(FlowReported)) -> Option<FlowCursor> {
        self.engine.flows.walk(cursor, max, see)
    }

    /// Removes all flows.
    pub fn flush(&mut self) {
        self.engine.flows.flush();
    }

    /// Number of flows.
    pub fn n_flows(&self) -> usize {
        self.engine.flows.len()
    }

    /// Number of masks, each port's for itself.
    pub fn n_masks(&self) -> usize {
        self.engine.flows.masks()
    }

    /// Entries of the exact-match cache in use.
    pub fn n_emc_entries(&self) -> usize {
        let flows = &self.engine.flows;
        self.engine.emc.live(|flow| flows.is_live(flow))
    }

    /// Counters of the main thread.
    pub fn stats(&self) -> &Stats {
        &self.engine.stats
    }

    /// Counters of the other threads, by processor.
    pub fn thread_stats(&self) -> &BTreeMap<u32, Stats> {
        &self.threads
    }

    /// Counters of all threads together.
    pub fn total_stats(&self) -> Stats {
        let mut total = self.engine.stats;
        self.threads.values().for_each(|stats| total += *stats);
        total
    }

    /// What was dropped, by the port it came in at and by reason, in that order.
    pub fn port_drops(&self) -> Vec<PortDrops> {
        self.engine.drops.entries()
    }

    /// Counters of a port, as far as this thread serves it.
    pub fn port_stats(&self, port: OdpPort) -> Option<PortStats> {
        self.engine.outputs.stats(port)
    }

    /// Sets a meter; its counters and buckets start anew.
    pub fn set_meter(&mut self, id: u32, config: MeterConfig, now_us: u64) {
        self.engine.meters.insert(id, Meter::new(config, now_us / 1000));
    }

    /// A meter with its counters.
    pub fn meter(&self, id: u32) -> Option<&Meter> {
        self.engine.meters.get(&id)
    }

    /// Removes a meter: as it was last.
    pub fn delete_meter(&mut self, id: u32) -> Option<Meter> {
        self.engine.meters.remove(&id)
    }

    /// Sets the members of a bond balanced here, one for each value of the hash.
    pub fn set_bond(&mut self, id: u32, members: &[OdpPort; BUCKETS]) {
        self.engine.bonds.set(id, members);
    }

    /// Removes a bond.
    pub fn delete_bond(&mut self, id: u32) -> bool {
        self.engine.bonds.remove(id)
    }

    /// Octets that each hash value of a bond has sent.
    pub fn bond_bytes(&self, id: u32) -> Option<[u64; BUCKETS]> {
        self.engine.bonds.bytes(id)
    }

    /// All bonds with their members, by number.
    pub fn bonds(&self) -> Vec<(u32, [OdpPort; BUCKETS])> {
        self.engine.bonds.all()
    }
}

/// Connection tracking.
impl Datapath {
    /// Number of connections.
    pub fn n_connections(&self) -> usize {
        self.engine.tracker.len()
    }

    /// Number of connections in a zone.
    pub fn n_connections_in(&self, zone: u16) -> u32 {
        self.engine.tracker.count(zone)
    }

    /// Up to `max` connections from a cursor (at first 0) on, of one zone or all, and where to go on.
    pub fn dump_connections(&self, cursor: usize, max: usize, zone: Option<u16>) -> (Vec<Connection>, Option<usize>) {
        self.engine.tracker.dump(cursor, max, zone)
    }

    /// Removes connections: of a zone or all, or one by a tuple of either direction. Says how many.
    pub fn flush_connections(&mut self, zone: Option<u16>, tuple: Option<&Tuple>) -> usize {
        self.engine.tracker.flush(zone, tuple)
    }

    /// What commands have set: limits, and how fragments wait.
    pub fn tracking_settings(&self) -> ct::Settings {
        self.engine.tracker.settings()
    }

    /// Sets all of that at once.
    pub fn set_tracking_settings(&mut self, settings: &ct::Settings) {
        self.engine.tracker.apply(settings);
    }

    /// Connections at most, all zones together.
    pub fn max_connections(&self) -> usize {
        self.engine.tracker.max
    }

    /// Sets how many connections there may be at most; those beyond stay.
    pub fn set_max_connections(&mut self, max: usize) {
        self.engine.tracker.max = max;
    }

    /// Sets or removes the limit of connections in a zone, or of every zone that has none of its own.
    pub fn set_connection_limit(&mut self, zone: Option<u16>, limit: Option<u32>) {
        let tracker = &mut self.engine.tracker;
        match (zone, limit) {
            (None, limit) => tracker.default_limit = limit,
            (Some(zone), Some(limit)) => drop(tracker.limits.insert(zone, limit)),
            (Some(zone), None) => drop(tracker.limits.remove(&zone)),
        }
    }

    /// The limit of zones that have none of their own, and each that has: zone, limit.
    pub fn connection_limits(&self) -> (Option<u32>, Vec<(u16, u32)>) {
        let tracker = &self.engine.tracker;
        (tracker.default_limit, tracker.limits.iter().map(|(zone, limit)| (*zone, *limit)).collect())
    }

    /// Sets or removes the timeouts that `ct(timeout=name)` asks for; they hold for connections to come.
    pub fn set_timeout_policy(&mut self, name: &str, timeouts: Option<Timeouts>) {
        self.engine.tracker.set_policy(name, timeouts);
    }

    /// The fragments that wait, with their settings and counters.
    pub fn fragments(&self) -> &Fragments {
        &self.engine.tracker.fragments
    }

    /// The same, to be set.
    pub fn fragments_mut(&mut self) -> &mut Fragments {
        &mut self.engine.tracker.fragments
    }

    /// Whether TCP segments outside the window are invalid.
    pub fn checks_tcp_sequence(&self) -> bool {
        self.engine.tracker.checks_sequence
    }

    /// Says whether TCP segments outside the window are invalid.
    pub fn set_tcp_sequence_check(&mut self, on: bool) {
        self.engine.tracker.checks_sequence = on;
    }
}

impl Dpif for Datapath {
    fn support(&self) -> Support {
        Support {
            max_vlan_headers: self.engine.config.max_vlans,
            max_mpls_depth: flow::extract::MAX_LABELS,
            sample_nesting: 10,
            recirc: true,
            hash_sym_l4: true,
            clone: true,
            trunc: true,
            check_pkt_len: true,
            explicit_drop: true,
            lb_output: true,
            push_nsh: true,
            ct: true,
            tunnels: false,
            meters: true,
        }
    }

    fn install(&mut self, entry: &FlowEntry, view_version: u64) -> Result<(), InstallError> {
        Datapath::install(self, entry, view_version)
    }

    fn modify(&mut self, change: &FlowChange, view_version: u64) -> Result<(), InstallError> {
        Datapath::modify(self, change, view_version)
    }

    fn delete(&mut self, ufid: Ufid) -> Option<DumpedFlow> {
        Datapath::delete(self, ufid)
    }

    fn flow(&self, ufid: Ufid) -> Option<DumpedFlow> {
        Datapath::flow(self, ufid)
    }

    fn dump(&self, cursor: FlowCursor, max: usize) -> (Vec<DumpedFlow>, Option<FlowCursor>) {
        Datapath::dump(self, cursor, max)
    }

    fn flush(&mut self) {
        Datapath::flush(self);
    }

    fn n_flows(&self) -> usize {
        Datapath::n_flows(self)
    }

    fn execute(&mut self, packets: Vec<Execute>, now_us: u64, upcalls: &mut Vec<Upcall>) {
        Datapath::execute(self, packets, now_us, upcalls);
    }

    fn set_meter(&mut self, id: u32, config: MeterConfig, now_us: u64) {
        Datapath::set_meter(self, id, config, now_us);
    }

    fn meter(&self, id: u32) -> Option<&Meter> {
        Datapath::meter(self, id)
    }

    fn delete_meter(&mut self, id: u32) -> Option<Meter> {
        Datapath::delete_meter(self, id)
    }
}
