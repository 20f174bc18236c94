//! Replies to requests for flows: written rule by rule, no faster than the peer reads, so that a table of any size is
//! shown in little memory. What they show is the tables as they were asked; changes go on meanwhile.

use std::sync::Arc;

use openflow::message::{Dialect, FlowRows, Message};

use super::{Bridge, ConnId};
use crate::rule::{Rule, RuleStats};
use crate::table::FlowStatsOf;

/// Octets that are written at once.
const PIECE: usize = 128 << 10;

/// A reply under way.
#[derive(Debug)]
pub(crate) struct FlowReply {
    xid: u32,
    rows: FlowRows,
    now_ms: i64,
    /// By table.
    tables: std::vec::IntoIter<Vec<(Arc<Rule>, RuleStats)>>,
    rules: std::vec::IntoIter<(Arc<Rule>, RuleStats)>,
    row: Box<FlowStatsOf>,
}

impl FlowReply {
    /// The next octets, and whether they are the last.
    fn piece(&mut self) -> (Vec<u8>, bool) {
        while self.rows.full_len() < PIECE {
            if let Some((rule, stats)) = self.rules.next() {
                self.rows.push(self.row.show(&rule, &stats, self.now_ms));
            } else if let Some(rules) = self.tables.next() {
                self.rules = rules.into_iter();
            } else {
                return (self.rows.finish(), true);
            }
        }
        (self.rows.take_full(), false)
    }
}

impl Bridge {
    /// Begins the reply to a request for flows.
    pub(super) fn begin_flow_reply(
        &mut self,
        id: ConnId,
        xid: u32,
        dialect: Dialect,
        tables: Vec<Vec<(Arc<Rule>, RuleStats)>>,
    ) {
        let now_ms = self.now_ms;
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let Ok(rows) = FlowRows::new(dialect, conn.version, xid) else { return };
        let (tables, rules) = (tables.into_iter(), Vec::new().into_iter());
        conn.flow_reply = Some(FlowReply { xid, rows, now_ms, tables, rules, row: Box::default() });
        self.continue_flow_reply(id);
    }

    /// Goes on with a connection's reply as far as its credit allows.
    pub(super) fn continue_flow_reply(&mut self, id: ConnId) {
        while let Some(conn) = self.conns.get_mut(&id)
            && conn.credit > 0
            && let Some(reply) = &mut conn.flow_reply
        {
            let (xid, (octets, is_last)) = (reply.xid, reply.piece());
            if is_last {
                conn.flow_reply = None;
            }
            self.reply(id, xid, Message::Encoded(octets));
        }
    }
}
