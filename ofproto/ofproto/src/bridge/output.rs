//! What a bridge asks its actor to do, and what it asks others.

use std::net::Ipv4Addr;
use std::sync::Arc;

use flow::odp::ControllerCookie;
use flow::{Execute, FlowEntry};
use openflow::OfPort;
use openflow::message::{AggregateStats, CtFlush, Msg, PacketIn, PortStats, QueueStats};

use super::{ConnId, DatapathMeter, DatapathMeterStats};
use crate::export::Datagram;
use crate::note::Note;
use crate::rule::{Rule, RuleId, RuleStats};
use crate::table::{Change, Selection, TableConfig};
use crate::view::BridgeId;
use crate::xlate::Effect;

/// Who wants to know what ports carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CountFor {
    /// Collectors of flow monitoring.
    Collectors,
    /// BFD sessions and CFM end points.
    Liveness,
}

/// One thing to do.
#[derive(Debug)]
pub enum Output {
    /// Send to a connection.
    Send {
        /// Which.
        conn: ConnId,
        /// What.
        msg: Msg,
    },
    /// Say that a connection did not get packets, as it has not read those before them.
    PacketsDropped {
        /// Its name.
        name: String,
        /// How many.
        packets: u64,
    },
    /// Close a connection.
    Close(ConnId),
    /// Stage changes in tables, each in its order, and say when all are staged.
    Stage {
        /// By table.
        batches: Vec<(u8, Vec<Change>)>,
        /// Somebody wants to hear of every change, not only of removed rules.
        watched: bool,
    },
    /// Make what a table staged stand, or take it back.
    Settle {
        /// Table.
        table: u8,
        /// Stand.
        commit: bool,
    },
    /// Let tunnels know a neighbour of this bridge.
    NeighbourHeard {
        /// The neighbour, in the underlay's form.
        address: u128,
        /// Its Ethernet address, 48 bits.
        mac: u64,
    },
    /// Keep a neighbour of this bridge known to tunnels.
    NeighbourUsed {
        /// The neighbour, in the underlay's form.
        address: u128,
    },
    /// Configure a table, and say when it is done ([`super::Bridge::carried_out`]).
    ConfigureTable {
        /// Table.
        table: u8,
        /// How.
        config: TableConfig,
    },
    /// Let all other bridges know this one's view, and say when they do ([`super::Bridge::carried_out`]).
    Share,
    /// Ask, and answer all questions at once.
    Ask {
        /// What.
        questions: Vec<Question>,
        /// After what cached flows carried until now has been credited.
        credited: bool,
    },
    /// Credit packets.
    Credit {
        /// To rules.
        rules: Vec<(RuleId, RuleStats)>,
        /// To tables: table, packets looked up, packets matched.
        lookups: Vec<(u8, u64, u64)>,
    },
    /// Shorten a rule's timeouts.
    FinTimeout {
        /// Rule.
        rule: RuleId,
        /// Seconds.
        idle: u16,
        /// Seconds.
        hard: u16,
    },
    /// All other bridges are to forget stations, which were learned on a port that is gone.
    StationsGone(Vec<l2proto::mac_learning::MacKey>),
    /// An effect on another bridge.
    Foreign {
        /// Which.
        bridge: BridgeId,
        /// What.
        effect: Effect,
        /// For how many packets.
        stats: RuleStats,
    },
    /// Say in the log what is wrong with a request.
    Remark(openflow::Remark),
    /// A packet for the controllers of another bridge.
    ForeignPacketIn {
        /// Which.
        bridge: BridgeId,
        /// What they get.
        message: Box<PacketIn>,
        /// Whom it is for.
        cookie: Box<ControllerCookie>,
    },
    /// Put flows into the datapath.
    Install {
        /// The flows.
        entries: Vec<FlowEntry>,
        /// Which of the datapath's threads asked for them.
        thread: u16,
    },
    /// Let the datapath act on packets.
    Execute {
        /// The packets.
        packets: Vec<Execute>,
        /// The upcalls that these answer, by port and ticket.
        answered: Vec<(flow::OdpPort, flow::Ticket)>,
    },
    /// Tell the datapath that a message of upcalls for which it waits with nothing has been dealt with.
    Receipt {
        /// The upcalls, by port and ticket.
        answered: Vec<(flow::OdpPort, flow::Ticket)>,
    },
    /// Configure a meter of the datapath, or remove it.
    SetMeter {
        /// Datapath meter.
        id: u32,
        /// How.
        config: Option<DatapathMeter>,
    },
    /// Tell the datapath the members of a bond by bucket (datapath ports), or that there is none.
    SetBond {
        /// Bond.
        id: u32,
        /// Members.
        members: Option<Vec<Option<u32>>>,
    },
    /// Forget tracked connections.
    CtFlush(CtFlush),
    /// Send datagrams to collectors.
    Export(Vec<Datagram>),
    /// Count what ports carried, and the datapath, and tell ([`super::Bridge::counted`]).
    Count(CountFor, Vec<OfPort>),
    /// Write a line into the log.
    Log(Note),
    /// A packet could not be treated as its rules have it; for the log, which limits how often it says so.
    Complain(Box<str>),
    /// Why a packet's translation failed, step by step; for the log.
    Explain(Box<str>),
    /// Find the Ethernet addresses of the next hops towards these, and say which were found.
    FindNextHops(Vec<Ipv4Addr>),
    /// Set a device up or down, and say when this bridge has heard what became of it ([`super::Bridge::carried_out`]).
    SetAdmin {
        /// Port.
        port: OfPort,
        /// Up.
        up: bool,
    },
}

/// A question to another part.
#[derive(Debug, Clone)]
pub enum Question {
    /// Rules of a table, with counters.
    Rules {
        /// Table.
        table: u8,
        /// Which.
        selection: Arc<Selection>,
    },
    /// Sums over rules of a table.
    Aggregate {
        /// Table.
        table: u8,
        /// Which.
        selection: Arc<Selection>,
    },
    /// Look-ups and matches of a table, and its number of rules.
    TableCounters {
        /// Table.
        table: u8,
    },
    /// Counters of ports.
    Ports(Vec<OfPort>),
    /// Counters of queues.
    Queues(Vec<(OfPort, Option<u32>)>),
    /// Counters of datapath meters.
    Meters(Vec<u32>),
}

/// Its answer.
#[derive(Debug, Clone)]
pub enum Answer {
    /// To [`Question::Rules`].
    Rules(Vec<(Arc<Rule>, RuleStats)>),
    /// To [`Question::Aggregate`].
    Aggregate(AggregateStats),
    /// To [`Question::TableCounters`].
    TableCounters {
        /// Table.
        table: u8,
        /// Rules.
        rules: usize,
        /// Packets looked up.
        lookups: u64,
        /// Packets matched.
        matches: u64,
    },
    /// To [`Question::Ports`].
    Ports(Vec<PortStats>),
    /// To [`Question::Queues`].
    Queues(Vec<QueueStats>),
    /// To [`Question::Meters`].
    Meters(Vec<DatapathMeterStats>),
}

/// What an answered question is for.
#[derive(Debug, Clone)]
pub enum Query {
    /// Flow statistics.
    Flows,
    /// Aggregate statistics.
    Aggregate,
    /// Table statistics.
    Tables,
    /// Group statistics.
    Groups,
    /// Port statistics.
    Ports,
    /// Queue statistics.
    Queues,
    /// Meter statistics.
    Meters,
}

impl Query {
    /// Whether it is about counters that cached flows are credited to.
    pub(super) fn is_of_credits(&self) -> bool {
        matches!(self, Self::Flows | Self::Aggregate | Self::Tables | Self::Groups)
    }
}
