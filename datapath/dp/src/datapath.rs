//! The datapath as its thread sees it: ports and queues come and go, bursts are polled, flows, meters and bonds are set.

use std::collections::{BTreeSet, HashMap};

use flow::outer::TunnelKind;
use flow::{Execute, FlowChange, FlowEntry, FlowReported, FlowStats, MiniKey, OdpPort, Ticket, Ufid, Upcall};

use crate::bond::BUCKETS;
use crate::burst::{BURST, Burst};
use crate::common::Common;
use crate::ct::{self, Connection, Fragments, Timeouts, Tuple};
use crate::dpif::{Dpif, Support};
use crate::drop_log::PortDrops;
use crate::engine::{Engine, Env};
use crate::flows::{DumpedFlow, FlowCursor, FlowEdit, InstallError};
use crate::kernel::{Kernel, KernelPath, KernelReport};
use crate::meter::{Meter, MeterConfig};
use crate::notice::Notice;
use crate::pace::Pace;
use crate::policer::PolicerConfig;
use crate::port::{PortShare, RxQueue, TxPort, Watcher};
use crate::stats::{PortStats, QueueStats, Stats};

/// How often subtables are ranked, µs.
const RANK_US: u64 = 1_000_000;
/// How often some connections are looked at, µs.
const SWEEP_US: u64 = 10_000;

/// So many subtables looked into cost as much as receiving and sending a packet.
const LOOKS_A_PACKET: u64 = 64;
/// Whether the kernel forwards what it can where nobody has said.
pub const KERNEL_PATH: bool = true;
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
    /// Which of its datapath's threads it is: 0 the main one.
    pub thread: u16,
    /// Whether the kernel may forward packets by itself, if it can.
    pub kernel_path: bool,
    /// Whether threads other than the main one measure their iterations ([`crate::perf`]).
    pub measures: bool,
    /// UDP ports that tunnels send from: the first, and the one behind the last. The same twice: that one.
    pub tunnel_sources: (u16, u16),
}

/// UDP ports that tunnels send from unless somebody says otherwise: ovs-vswitchd(8), `tnl/egress_port_range`.
pub const TUNNEL_SOURCES: (u16, u16) = (32_768, 61_000);

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
            thread: 0,
            kernel_path: KERNEL_PATH,
            measures: false,
            tunnel_sources: TUNNEL_SOURCES,
        }
    }
}

/// Names a receive queue of a datapath.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueueId(pub usize);

struct Queue {
    port: OdpPort,
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
    ranked_us: u64,
    swept_us: u64,
    /// The latest time it was told.
    now_ms: u64,
    pace: Pace,
    /// Keys of flows that people put there.
    kept_keys: HashMap<Ufid, MiniKey>,
}

impl Datapath {
    /// One without ports and flows.
    pub fn new(config: Config) -> Self {
        Self::beside(config, Common::new(config.seed))
    }

    /// Another thread's, without ports and flows, that shares what is common with the others.
    pub fn beside(config: Config, common: Common) -> Self {
        Self {
            engine: Engine::new(config, common),
            queues: Vec::new(),
            ranked_us: 0,
            swept_us: 0,
            now_ms: 0,
            pace: Pace::default(),
            kept_keys: HashMap::new(),
        }
    }

    /// What it has in common with other threads' datapaths.
    pub fn common(&self) -> Common {
        self.engine.common.clone()
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.engine.config
    }

    /// Changes settings; seed and thread stay. Caches that are switched off are emptied.
    pub fn set_config(&mut self, config: Config) {
        let Config { seed, thread, .. } = self.engine.config;
        if config.emc_insert_inv_prob == 0 {
            self.engine.emc.clear();
        }
        if !config.smc {
            self.engine.smc.clear();
        }
        self.engine.flows.set_limits(config.flow_limit, config.mask_limit);
        self.engine.config = Config { seed, thread, ..config };
    }

    /// The exact-match cache takes no packets of these ports, and of all others.
    pub fn keep_out_of_emc(&mut self, ports: BTreeSet<OdpPort>) {
        self.engine.emc.forget(|key| ports.contains(&key.in_port()));
        self.engine.emc_off = ports;
    }

    /// Ports whose packets the exact-match cache does not take.
    pub fn kept_out_of_emc(&self) -> &BTreeSet<OdpPort> {
        &self.engine.emc_off
    }

    /// Adds a port to send through; one of the same number is replaced, and its counters go on.
    ///
    /// `false`: the number is too large.
    pub fn add_port(&mut self, port: OdpPort, tx: Box<dyn TxPort>) -> bool {
        self.recall_port(port);
        self.engine.outputs.add(port, tx)
    }

    /// Removes a port with those of its queues that are polled here.
    pub fn remove_port(&mut self, port: OdpPort) -> Option<Box<dyn TxPort>> {
        self.recall_port(port);
        for queue in &mut self.queues {
            queue.take_if(|q| q.port == port);
        }
        self.note_source(port);
        self.engine.drops.forget(port);
        self.engine.outputs.remove(port)
    }

    /// Sending halves of a port for another thread, with who sees its packets there; `None`: the port is not there, or
    /// cannot be shared.
    pub fn share_port(&self, port: OdpPort) -> Option<PortShare> {
        self.engine.outputs.share(port)
    }

    /// Sets or removes who sees a port's packets here. `false`: there is no such port.
    pub fn watch_port(&mut self, port: OdpPort, watcher: Option<Box<dyn Watcher>>) -> bool {
        let is_there = self.engine.outputs.watch(port, watcher);
        self.recall_port(port);
        is_there
    }

    /// Limits what a port may bring in by all threads, or no longer does; the limit stays when the port goes and comes.
    pub fn set_policer(&mut self, port: OdpPort, config: Option<PolicerConfig>, now_us: u64) {
        self.engine.common.set_policer(port, config, now_us / 1000);
        self.recall_port(port);
    }

    /// Adds a queue to receive from.
    pub fn add_queue(&mut self, port: OdpPort, number: u32, rx: Box<dyn RxQueue>) -> QueueId {
        let queue = Some(Queue { port, number, rx, stats: QueueStats::default(), looks_16: 0 });
        let free = self.queues.iter().position(Option::is_none);
        let at = free.unwrap_or_else(|| {
            self.queues.push(None);
            self.queues.len() - 1
        });
        self.queues[at] = queue;
        self.note_source(port);
        QueueId(at)
    }

    /// Takes a queue away, to be polled elsewhere or not at all.
    pub fn remove_queue(&mut self, queue: QueueId) -> Option<Box<dyn RxQueue>> {
        let Queue { port, rx, .. } = self.queues.get_mut(queue.0)?.take()?;
        self.note_source(port);
        self.recall_port(port);
        Some(rx)
    }

    /// The receiving half of a queue, to put it to sleep or ask it for its own counters.
    pub fn queue_mut(&mut self, queue: QueueId) -> Option<&mut dyn RxQueue> {
        match self.queues.get_mut(queue.0) {
            Some(Some(queue)) => Some(queue.rx.as_mut()),
            _ => None,
        }
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
        queue.stats.polls += 1;
        self.now_ms = now_us / 1000;
        let (mut spent, most) = (0, queue.burst());
        let n = {
            let mut burst = Burst::new();
            queue.rx.receive(most, &mut burst);
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
        if n > 0 {
            queue.learn_cost(n as u64, spent);
            queue.rx.release();
            self.tick(now_us);
        }
        self.engine.fill_kernel(n < most, now_us / 1000);
        n
    }

    /// Tells what the wall clock says now, µs since 1970: tunnels that carry times (ERSPAN's) ask for it.
    pub fn set_wall(&mut self, now_us: u64, wall_us: u64) {
        self.engine.wall_offset_ms = (wall_us / 1000).wrapping_sub(now_us / 1000);
    }

    /// Does what is due by time: ranks subtables, lets connections expire. To be called now and then when idle, once a
    /// second say; while packets come it is done by [`Datapath::poll`].
    pub fn tick(&mut self, now_us: u64) {
        let is_ranked = now_us.saturating_sub(self.ranked_us) >= RANK_US;
        if is_ranked {
            (self.ranked_us, self.now_ms) = (now_us, now_us / 1000);
            self.engine.flows.rank(self.now_ms.saturating_sub(RANK_US / 1000));
            self.engine.with_kernel(self.now_ms, |kernel, books| kernel.tidy(books));
        }
        let is_looked_at = self.engine.kernel_look_ms().is_some_and(|at_ms| now_us / 1000 >= at_ms);
        if is_looked_at {
            self.engine.with_kernel(now_us / 1000, |kernel, books| kernel.look(books));
        }
        if self.pace.is_due(now_us / 1000) {
            self.look_at_pace(now_us / 1000, is_ranked || is_looked_at);
        }
        if now_us.saturating_sub(self.swept_us) >= SWEEP_US {
            self.swept_us = now_us;
            self.engine.common.tracker().expire(now_us / 1000);
        }
    }

    /// When [`Datapath::tick`] is to be called at the latest, monotonic ms, if that is sooner than usual.
    pub fn look_ms(&self) -> Option<u64> {
        self.engine.kernel_look_ms().into_iter().chain(self.pace.look_ms()).min()
    }

    /// Whether packets come so often that it is worth its while to keep processors from sleeping deeply, by what
    /// [`Datapath::tick`] has seen: some thousands a second, but no flood.
    #[inline]
    pub fn is_brisk(&self) -> bool {
        self.pace.is_brisk()
    }

    /// Looks how often packets come, where all that did are counted. `is_folded`: those that the kernel forwarded are, just
    /// now; else it waits for that, but not for long, so that between two looks there is as much of theirs as of others.
    fn look_at_pace(&mut self, now_ms: u64, is_folded: bool) {
        if !is_folded && self.engine.kernel.as_ref().is_some_and(|kernel| kernel.report().entries > 0) {
            if !self.pace.is_overdue(now_ms) {
                return;
            }
            self.engine.with_kernel(now_ms, |kernel, books| kernel.fold(books));
        }
        let stats = &self.engine.stats;
        self.pace.look(now_ms, (stats.received, stats.octets));
    }

    /// Acts upon packets from above.
    pub fn execute(&mut self, packets: Vec<Execute>, now_us: u64, upcalls: &mut Vec<Upcall>) {
        let mut env = Env { now_ms: now_us / 1000, port: 0, upcalls };
        self.engine.execute_all(packets, &mut env);
    }

    /// Upcalls were answered, or lost on their way: their ports may make as many more, and packets that waited for them
    /// go on.
    pub fn upcalls_answered(&mut self, answers: &[(OdpPort, Ticket)], now_us: u64, upcalls: &mut Vec<Upcall>) {
        let mut env = Env { now_ms: now_us / 1000, port: 0, upcalls };
        self.engine.answered(answers, &mut env);
    }

    /// Upcalls that nobody takes: counted as lost.
    pub fn upcalls_lost(&mut self, lost: &[Upcall], now_us: u64, upcalls: &mut Vec<Upcall>) {
        self.engine.lose(lost);
        let answers: Vec<_> = lost.iter().map(|upcall| (upcall.key.in_port(), upcall.ticket)).collect();
        self.upcalls_answered(&answers, now_us, upcalls);
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
        self.recall_flow(change.ufid);
        self.engine.flows.modify(change, view_version)
    }

    /// Removes a flow: as it was last.
    pub fn delete(&mut self, ufid: Ufid) -> Option<DumpedFlow> {
        self.recall_flow(ufid);
        self.engine.flows.remove(ufid)
    }

    /// Has changes of flows noted from now on, for other threads to follow, or no longer.
    pub fn keep_journal(&mut self, on: bool) {
        self.engine.flows.keep_journal(on);
    }

    /// What was changed since last asked.
    pub fn take_journal(&mut self) -> Vec<FlowEdit> {
        self.engine.flows.take_journal()
    }

    /// Makes a change that another thread's table had; gives a flow that it removes. Where a flow does not fit, its
    /// packets go up.
    pub fn follow(&mut self, edit: &FlowEdit) -> Option<DumpedFlow> {
        match edit {
            FlowEdit::Install(entry, view_version) => drop(self.install(entry, *view_version)),
            FlowEdit::Modify(change, view_version) => drop(self.modify(change, *view_version)),
            FlowEdit::Remove(ufid) => return self.delete(*ufid),
            FlowEdit::Flush => self.flush(),
        }
        None
    }

    /// Adds what a thread that is no more has counted of a flow.
    pub fn credit(&mut self, ufid: Ufid, stats: FlowStats) {
        self.engine.flows.credit(ufid, stats);
    }

    /// Adds what a thread that is no more has counted itself.
    pub fn credit_thread(&mut self, stats: Stats) {
        self.pace.leave_out((stats.received, stats.octets));
        self.engine.stats += stats;
    }

    /// Adds what a thread that is no more has counted of a port.
    pub fn credit_port(&mut self, port: OdpPort, stats: PortStats) {
        self.engine.outputs.credit(port, stats);
    }

    /// Whether there is a flow for packets of this key.
    pub fn has_flow_for(&mut self, key: &flow::Key) -> bool {
        self.engine.flows.find(key).0.is_some()
    }

    /// A flow as it is.
    pub fn flow(&self, ufid: Ufid) -> Option<DumpedFlow> {
        self.engine.flows.get(ufid).map(|flow| self.with_key(flow))
    }

    /// Remembers the key of a flow, with the bits that its mask leaves out, for as long as there is the flow.
    pub fn keep_key(&mut self, ufid: Ufid, key: MiniKey) {
        if self.kept_keys.len() == self.kept_keys.capacity() {
            self.kept_keys.retain(|ufid, _| self.engine.flows.get(*ufid).is_some());
        }
        self.kept_keys.insert(ufid, key);
    }

    fn with_key(&self, flow: DumpedFlow) -> DumpedFlow {
        // A flow of that name may be another one by now.
        let kept = self.kept_keys.get(&flow.entry.ufid).filter(|key| flow.entry.matching.matches(&key.to_key()));
        DumpedFlow { kept_key: kept.cloned(), ..flow }
    }

    /// Up to `max` flows, and where to go on. Flows that come or go meanwhile may be missed; none comes twice.
    pub fn dump(&self, cursor: FlowCursor, max: usize) -> (Vec<DumpedFlow>, Option<FlowCursor>) {
        let (mut flows, next) = self.engine.flows.dump(cursor, max);
        if !self.kept_keys.is_empty() {
            flows = flows.into_iter().map(|flow| self.with_key(flow)).collect();
        }
        (flows, next)
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
        self.engine.with_kernel(self.now_ms, |kernel, books| kernel.recall_all(books));
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

    /// Counters of this thread.
    pub fn stats(&self) -> &Stats {
        &self.engine.stats
    }

    /// Whether packets were refused that should have been handed up, since the last look: who decides is behind.
    pub fn was_crowded(&mut self) -> bool {
        std::mem::take(&mut self.engine.is_crowded)
    }

    /// What the log is to say of packets since the last look.
    pub fn notices(&mut self) -> impl Iterator<Item = Notice> + '_ {
        self.engine.notices.drain()
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
        self.engine.common.meters().insert(id, Meter::new(config, now_us / 1000));
    }

    /// A meter with its counters.
    pub fn meter(&self, id: u32) -> Option<Meter> {
        self.engine.common.meters().get(&id).cloned()
    }

    /// Removes a meter: as it was last.
    pub fn delete_meter(&mut self, id: u32) -> Option<Meter> {
        self.engine.common.meters().remove(&id)
    }

    /// Says what comes by a tunnel port, or that there is none of this number.
    pub fn set_tunnel(&mut self, port: OdpPort, kind: Option<TunnelKind>) {
        match kind {
            Some(_) => self.engine.tunnels.entry(port).or_default().kind = kind,
            None => drop(self.engine.tunnels.remove(&port)),
        }
        self.set_tunnel_by_host(port, false);
    }

    /// Says whether the host's own stack sends and receives a tunnel port's packets, which then have an Ethernet header in front of
    /// their outer one whose destination is the packet's mark; bridges carry them otherwise.
    pub fn set_tunnel_by_host(&mut self, port: OdpPort, by_host: bool) {
        if let Some(tunnel) = self.engine.tunnels.get_mut(&port) {
            tunnel.by_host = by_host;
        }
        self.engine.has_by_host = self.engine.tunnels.values().any(|tunnel| tunnel.by_host);
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

/// What the kernel forwards by itself.
impl Datapath {
    /// Has the kernel forward what it can from now on, or nothing.
    pub fn set_kernel_path(&mut self, path: Option<Box<dyn KernelPath>>) {
        self.engine.with_kernel(self.now_ms, |kernel, books| kernel.recall_all(books));
        let sources = self.queues.iter().flatten().filter_map(|q| Some((q.port, q.rx.device()?)));
        self.engine.kernel = path.map(|path| Kernel::new(path, sources.collect()));
    }

    /// Adds what the kernel counted to the counters of flows, ports and this thread: to be called before those are read.
    pub fn fold(&mut self, now_us: u64) {
        self.now_ms = now_us / 1000;
        self.engine.with_kernel(self.now_ms, |kernel, books| kernel.fold(books));
    }

    /// Entries in the kernel, and what became of packets that might have had one; `None`: there is no kernel path.
    pub fn kernel_report(&self) -> Option<KernelReport> {
        self.engine.kernel.as_ref().map(Kernel::report)
    }

    /// Lets the kernel forward nothing of a port's for now.
    pub fn recall_port(&mut self, port: OdpPort) {
        self.engine.with_kernel(self.now_ms, |kernel, books| kernel.recall_port(port, books));
    }

    fn recall_flow(&mut self, ufid: Ufid) {
        if self.engine.kernel.is_some()
            && let Some(flow) = self.engine.flows.reference(ufid)
        {
            self.engine.with_kernel(self.now_ms, |kernel, books| kernel.recall_flow(flow, books));
        }
    }

    /// Says from which device a port's packets come.
    fn note_source(&mut self, port: OdpPort) {
        if let Some(kernel) = &mut self.engine.kernel {
            let queue = self.queues.iter().flatten().find(|queue| queue.port == port);
            kernel.set_source(port, queue.and_then(|queue| queue.rx.device()));
        }
    }
}

/// Connection tracking.
impl Datapath {
    /// Number of connections.
    pub fn n_connections(&self) -> usize {
        self.engine.common.tracker().len()
    }

    /// Up to `max` connections from a cursor (at first 0) on, of one zone or all, and where to go on.
    pub fn dump_connections(&self, cursor: usize, max: usize, zone: Option<u16>) -> (Vec<Connection>, Option<usize>) {
        self.engine.common.tracker().dump(cursor, max, zone)
    }

    /// Removes connections: of a zone, or all. Says how many.
    pub fn flush_connections(&mut self, zone: Option<u16>) -> usize {
        self.engine.common.tracker().flush(zone)
    }

    /// Removes the connection of a tuple of either direction (a translated one: of the original direction). Says whether
    /// there was one.
    pub fn forget_connection(&mut self, zone: u16, tuple: &Tuple) -> bool {
        self.engine.common.tracker().forget(zone, tuple)
    }

    /// What commands have set: limits, and how fragments wait.
    pub fn tracking_settings(&self) -> ct::Settings {
        self.engine.common.tracker().settings()
    }

    /// Sets all of that at once.
    pub fn set_tracking_settings(&mut self, settings: &ct::Settings) {
        self.engine.common.tracker().apply(settings);
    }

    /// Connections at most, all zones together.
    pub fn max_connections(&self) -> usize {
        self.engine.common.tracker().max
    }

    /// Sets how many connections there may be at most; those beyond stay.
    pub fn set_max_connections(&mut self, max: usize) {
        self.engine.common.tracker().max = max;
    }

    /// Sets the limit of connections in a zone, or of those in all zones that have none of their own.
    pub fn set_connection_limit(&mut self, zone: Option<u16>, limit: u32) {
        self.engine.common.tracker().limits.set(zone, limit);
    }

    /// Takes a zone's own limit away.
    pub fn remove_connection_limit(&mut self, zone: u16) {
        self.engine.common.tracker().limits.remove(zone);
    }

    /// The limit of zones that have none of their own, and each that has: zone, limit.
    pub fn connection_limits(&self) -> (Option<u32>, Vec<(u16, u32)>) {
        self.engine.common.tracker().limits.told()
    }

    /// The limit that holds in a zone, and the connections that were made under it; `None`: there is none.
    pub fn connection_limit_in(&self, zone: u16) -> Option<(u32, u32)> {
        self.engine.common.tracker().limits.of(zone)
    }

    /// Sets or removes the timeouts that `ct(timeout=name)` asks for; they hold for connections to come.
    pub fn set_timeout_policy(&mut self, name: &str, timeouts: Option<Timeouts>) {
        self.engine.common.tracker().set_policy(name, timeouts);
    }

    /// Looks at the fragments that wait, with their settings and counters, or sets those.
    pub fn with_fragments<R>(&self, see: impl FnOnce(&mut Fragments) -> R) -> R {
        see(&mut self.engine.common.tracker().fragments)
    }

    /// Whether TCP segments outside the window are invalid.
    pub fn checks_tcp_sequence(&self) -> bool {
        self.engine.common.tracker().checks_sequence
    }

    /// Says whether TCP segments outside the window are invalid.
    pub fn set_tcp_sequence_check(&mut self, on: bool) {
        self.engine.common.tracker().checks_sequence = on;
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

    fn meter(&self, id: u32) -> Option<Meter> {
        Datapath::meter(self, id)
    }

    fn delete_meter(&mut self, id: u32) -> Option<Meter> {
        Datapath::delete_meter(self, id)
    }
}
