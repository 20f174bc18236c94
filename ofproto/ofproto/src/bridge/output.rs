//! What a bridge asks its actor to do, and what it asks others.

use std::sync::Arc;

use flow::{Execute, FlowEntry};
use openflow::OfPort;
use openflow::message::{AggregateStats, Msg, PortStats, QueueStats};

use super::ConnId;
use crate::rule::{Rule, RuleId, RuleStats};
use crate::table::{Change, Selection, TableConfig};

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
    /// Close a connection.
    Close(ConnId),
    /// Stage changes in tables, each in its order, and say when all are staged.
    Stage {
        /// By table.
        batches: Vec<(u8, Vec<Change>)>,
    },
    /// Make what a table staged stand, or take it back.
    Settle {
        /// Table.
        table: u8,
        /// Stand.
        commit: bool,
    },
    /// Configure a table.
    ConfigureTable {
        /// Table.
        table: u8,
        /// How.
        config: TableConfig,
        /// When.
        now_ms: i64,
    },
    /// Ask, and answer all questions at once.
    Ask(Vec<Question>),
    /// Credit packets to rules.
    Credit(Vec<(RuleId, RuleStats)>),
    /// Put flows into the datapath.
    Install(Vec<FlowEntry>),
    /// Let the datapath act on packets.
    Execute(Vec<Execute>),
    /// Set a device up or down.
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
    /// Port statistics.
    Ports,
    /// Queue statistics.
    Queues,
}
