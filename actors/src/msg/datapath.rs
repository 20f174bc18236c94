//! To a datapath.

use actix::prelude::*;
use dp::{DumpedFlow, FlowCursor, FlowEdit, MeterConfig, PortStats, RxQueue, Stats, TxPort};
use flow::{Execute, FlowChange, FlowEntry, FlowReported, OdpPort, Ticket, Ufid};
use packet::PacketBuf;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use tokio::sync::oneshot;

use super::bridge::Upcalls;
use crate::mailbox::Outlet;

/// A receive queue on its way to its datapath.
pub struct QueueParts {
    /// The queue.
    pub rx: Box<dyn RxQueue>,
    /// Readable when a sleeping queue has something; it outlives the queue's own.
    pub wake: Option<sys::WakeFd>,
}

/// Which of all attachments of the process one is, from 1: what is meant for one that is over must not reach the next of its
/// number.
pub fn next_attachment() -> u64 {
    static SO_FAR: AtomicU64 = AtomicU64::new(0);
    SO_FAR.fetch_add(1, Relaxed) + 1
}

/// Take a port (R).
#[derive(Message)]
#[rtype(result = "()")]
pub struct PortAttach {
    /// Number.
    pub port: OdpPort,
    /// See [`next_attachment`].
    pub attachment: u64,
    /// Its device's name.
    pub name: String,
    /// Its receive queues.
    pub queues: Vec<QueueParts>,
    /// Its sending half.
    pub tx: Box<dyn TxPort>,
    /// Who answers its misses.
    pub bridge: Outlet<Upcalls>,
}

/// Take a queue in place of a port's first (R).
#[derive(Message)]
#[rtype(result = "()")]
pub struct QueueFollows {
    /// The port's number.
    pub port: OdpPort,
    /// The queue, by which all that comes from now on comes.
    pub queue: QueueParts,
    /// Set when nothing is on its way to the former any more.
    pub is_settled: Arc<AtomicBool>,
}

/// Let a port go; its flows stay until the revalidator finds them (R).
#[derive(Message)]
#[rtype(result = "()")]
pub struct PortDetach {
    /// Number.
    pub port: OdpPort,
    /// Which attachment is over: a later one stays.
    pub attachment: u64,
}

/// Limit what comes in by a port, or do not (C).
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct PortPolicer {
    /// Number.
    pub port: OdpPort,
    /// `None` lets everything in.
    pub config: Option<dp::PolicerConfig>,
}

/// Have a port's packets seen, or no longer (R).
#[derive(Message)]
#[rtype(result = "()")]
pub struct PortWatch {
    /// Number.
    pub port: OdpPort,
    /// Who sees them; `None` for nobody.
    pub watcher: Option<Box<dyn dp::Watcher>>,
}

/// Put flows into the cache (R).
#[derive(Message)]
#[rtype(result = "()")]
pub struct FlowInstall {
    /// The view they were translated from.
    pub view_version: u64,
    /// The flows.
    pub entries: Vec<FlowEntry>,
    /// Which of the datapath's threads asked for them, as its tickets say.
    pub thread: u16,
}

/// Act upon packets (R).
#[derive(Message)]
#[rtype(result = "()")]
pub struct PacketExecute {
    /// The packets.
    pub packets: Vec<Execute>,
    /// The upcalls of one message that these answer, by port and ticket; none if nobody asked.
    pub answered: Vec<(OdpPort, Ticket)>,
    /// They may have been answered some time ago, as nobody waited for it.
    pub is_receipt: bool,
    /// Who sends them, and answers misses of packets that came in on no port.
    pub bridge: Outlet<Upcalls>,
}

/// Change flows' actions; unknown ones are ignored (R).
#[derive(Message)]
#[rtype(result = "()")]
pub struct FlowModify {
    /// The view they were translated from.
    pub view_version: u64,
    /// The changes.
    pub entries: Vec<FlowChange>,
}

/// Remove flows; answers what they counted (Q).
#[derive(Message)]
#[rtype(result = "Vec<DumpedFlow>")]
pub struct FlowDelete {
    /// Names; `None` for all.
    pub ufids: Option<Vec<Ufid>>,
}

/// Some flows, and where to go on (Q).
#[derive(Message)]
#[rtype(result = "(Vec<DumpedFlow>, Option<FlowCursor>)")]
pub struct FlowDump {
    /// Where to begin.
    pub cursor: FlowCursor,
    /// How many at the most.
    pub max: usize,
}

/// Some flows as bridges need to know of them, how many flows there are, and where to go on; `None` while it is not known
/// what a thread had counted that died (Q).
#[derive(Message)]
#[rtype(result = "Option<(Vec<flow::FlowReported>, usize, Option<FlowCursor>)>")]
pub struct FlowReports {
    /// Where to begin.
    pub cursor: FlowCursor,
    /// How many at the most.
    pub max: usize,
}

/// The flows of these names, as far as they are there; `None` while it is not known what a thread had counted that died (Q).
#[derive(Debug, Message)]
#[rtype(result = "Option<Vec<flow::FlowReported>>")]
pub struct ReportFlows(pub Vec<Ufid>);

/// What each thread has counted of the flows of these names, by processor; `None` for the main thread (Q).
#[derive(Debug, Message)]
#[rtype(result = "BTreeMap<Option<u32>, Vec<FlowReported>>")]
pub struct FlowShares(pub Vec<Ufid>);

/// Let so many flows in at the most (B).
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct LimitFlows(pub usize);

/// Everything it counts (Q).
#[derive(Message)]
#[rtype(result = "DatapathReport")]
pub struct ReadStats;

/// Measure anew, in the thread of a processor or in all (Q).
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ClearMetrics(pub Option<u32>);

/// What [`ReadStats`] answers.
#[derive(Debug, Clone, Default)]
pub struct DatapathReport {
    /// Of all threads.
    pub stats: Stats,
    /// Of the main thread.
    pub main: Stats,
    /// Of the others.
    pub threads: Vec<ThreadReport>,
    /// What was measured of these, by their processors, where that is wanted.
    pub metrics: Vec<(u32, dp::perf::Metrics)>,
    /// Of the queues that these have.
    pub queues: Vec<QueueReport>,
    /// Flows.
    pub flows: usize,
    /// Masks.
    pub masks: usize,
    /// Entries of the exact-match cache.
    pub emc_entries: usize,
    /// Of ports, with what was lost before it could be received.
    pub ports: Vec<(OdpPort, PortStats, u64)>,
    /// Drops by port and reason.
    pub drops: Vec<dp::PortDrops>,
    /// What the kernel forwards by itself, if it does.
    pub kernel: Option<dp::kernel::KernelReport>,
    /// How soon processors are to wake, microseconds, if that is asked for.
    pub awake_within_us: Option<i32>,
    /// Which of them are dummies: those count packets and octets, and nothing else.
    pub dummies: BTreeMap<OdpPort, QueueCounts>,
}

/// What the queues of a dummy have carried since it was opened: packets, and their octets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QueueCounts {
    /// Of each that receives.
    pub received: Vec<(u64, u64)>,
    /// Of each that sends.
    pub sent: Vec<(u64, u64)>,
}

/// What a thread other than the main one has done.
#[derive(Debug, Clone, Copy)]
pub struct ThreadReport {
    /// Its processor.
    pub core: u32,
    /// What it counted.
    pub stats: Stats,
    /// How long it has been there, microseconds.
    pub age_us: u64,
    /// How much of that went into packets, microseconds.
    pub busy_us: u64,
    /// How long it has had the queues that it has, microseconds.
    pub settled_us: u64,
}

/// What a queue took of a thread's time.
#[derive(Debug, Clone)]
pub struct QueueReport {
    /// Its port.
    pub port: OdpPort,
    /// Its number among the port's.
    pub number: u32,
    /// Its load.
    pub load: dp::Load,
}

/// How packets are received and looked up (R).
#[derive(Debug, Clone, Default, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct Tune {
    /// One in so many packets enters the exact-match cache; 0: none.
    pub emc_insert_inv_prob: u32,
    /// Ports whose packets the exact-match cache does not take.
    pub emc_off: BTreeSet<OdpPort>,
    /// The signature cache is used.
    pub smc: bool,
    /// The kernel may forward packets by itself.
    pub kernel_path: bool,
    /// Threads measure their iterations.
    pub measures: bool,
    /// Devices that can take flows do.
    pub offload: bool,
    /// Who polls which queue: the thread of a processor, or nobody; all others are the main thread's.
    pub pollers: BTreeMap<(OdpPort, u32), Option<u32>>,
    /// Processors with a thread.
    pub cores: Vec<u32>,
}

/// What the main thread of a datapath has another one do, in order (R).
#[derive(Message)]
#[rtype(result = "()")]
pub enum Order {
    /// Send by a port; queues of its may follow.
    Attach {
        /// Number.
        port: OdpPort,
        /// Its device's name.
        name: String,
        /// A sending half of the thread's own; `None`: there is none to be had, and what is sent there gets lost.
        tx: Option<Box<dyn TxPort>>,
        /// Who answers its misses.
        bridge: Outlet<Upcalls>,
    },
    /// Let a port go, with its queues.
    Detach(OdpPort),
    /// Have a port's packets seen, or no longer.
    Watch(PortWatch),
    /// Poll a queue of a port.
    Poll {
        /// The port.
        port: OdpPort,
        /// Its number among the port's.
        number: u32,
        /// The queue.
        queue: QueueParts,
    },
    /// Give a queue back.
    Return {
        /// The port.
        port: OdpPort,
        /// Its number among the port's.
        number: u32,
        /// To whom.
        to: oneshot::Sender<QueueParts>,
    },
    /// Poll a port's queues, which were filled by hand, until they are empty.
    Poke(OdpPort, oneshot::Sender<()>),
    /// Be like this.
    Configure(dp::Config),
    /// Measure anew, if it is the thread of this processor, or whichever it is.
    ClearMetrics(Option<u32>),
    /// The exact-match cache takes no packets of these ports.
    KeepOutOfEmc(BTreeSet<OdpPort>),
    /// Let the kernel forward nothing of a port's for now: something about it has changed.
    Recall(OdpPort),
    /// Bonds are set.
    Bond(BondSet),
    /// Tunnels end here.
    Tunnels(TunnelsAre),
    /// Flows are changed.
    Edit {
        /// How.
        edits: Arc<Vec<FlowEdit>>,
        /// Who wants to know what flows that go have counted here.
        removed: Option<oneshot::Sender<Vec<FlowReported>>>,
    },
    /// An answer to the thread's upcalls.
    Execute(PacketExecute),
    /// Queues were dealt out.
    Settled,
}

/// A thread was started anew: it has nothing (R).
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ThreadReturned {
    /// Its processor.
    pub core: u32,
    /// How often it has been started anew.
    pub lives: u64,
}

/// Set or unset a meter (R).
#[derive(Message)]
#[rtype(result = "()")]
pub struct MeterSet {
    /// Number.
    pub id: u32,
    /// `None` removes it.
    pub config: Option<MeterConfig>,
}

/// Look at so many VLAN headers at the most (R).
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct VlanLimit(pub usize);

/// Tunnels send from these UDP ports, as [`dp::Config::tunnel_sources`] has them (R).
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct TunnelSources(pub (u16, u16));

/// Set the members of a bond that the datapath balances, or forget it (R).
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct BondSet {
    /// Number.
    pub id: u32,
    /// Port by hash value, 256 of them.
    pub members: Option<Vec<OdpPort>>,
}

/// These are the tunnel ports that end here, and no others (R).
#[derive(Message, Clone)]
#[rtype(result = "()")]
pub struct TunnelsAre(pub Vec<TunnelPort>);

/// A tunnel port.
#[derive(Clone)]
pub struct TunnelPort {
    /// Number.
    pub port: OdpPort,
    /// What comes by it.
    pub kind: dp::TunnelKind,
    /// Who decides about it.
    pub bridge: Outlet<Upcalls>,
    /// Its name and its sockets, if the host's own stack sends and receives its packets.
    pub by_host: Option<(String, Arc<sys::HostTunnel>)>,
}

/// A meter's counters (Q).
#[derive(Message)]
#[rtype(result = "Option<dp::MeterStats>")]
pub struct MeterRead {
    /// Number.
    pub id: u32,
}

/// Forget tracked connections (R).
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct CtFlush(pub openflow::message::CtFlush);

/// Nothing; answered when everything sent before has been handled, and the queues are empty (Q).
#[derive(Message)]
#[rtype(result = "()")]
pub struct Quiesce;

/// Packets that a dummy port receives (Q).
#[derive(Message)]
#[rtype(result = "()")]
pub struct Inject {
    /// Port.
    pub port: OdpPort,
    /// Which of its queues.
    pub queue: u32,
    /// Packets.
    pub packets: Vec<PacketBuf>,
}

/// What commands had set of connection tracking in an earlier life (R).
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct TrackAs(pub dp::ct::Settings);

/// Timeouts of tracked connections, by the name that a flow's actions give (R).
#[derive(Message)]
#[rtype(result = "()")]
pub struct CtTimeouts(pub Vec<(String, dp::ct::Timeouts)>);
