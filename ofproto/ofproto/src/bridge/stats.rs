//! Statistics: asked of tables and ports, answered to the controller.

use std::sync::Arc;

use openflow::flow_mod::{FlowStatsRequest, TABLE_ALL};
use openflow::message::{AggregateStats, Dialect, Message, TableFeatures, TableStats};
use openflow::{ErrorCode, OfPort};

use super::service::Step;
use super::{Answer, Bridge, ConnId, Incoming, N_TABLES, Output, Query, Question};
use crate::bridge::conn::Pending;
use crate::table::{Selection, flow_stats};

impl Bridge {
    fn ask(&mut self, conn: ConnId, request: &Incoming, query: Query, questions: Vec<Question>) -> Step {
        self.busy = Some(Pending::Answer(conn, request.clone(), query));
        self.put(Output::Ask(questions));
        Step::Waits
    }

    pub(super) fn flow_stats(&mut self, conn: ConnId, request: &Incoming, wanted: &FlowStatsRequest) -> Step {
        let selection = Arc::new(Selection::of(wanted));
        let tables: Vec<u8> =
            self.table_ids().into_iter().filter(|t| *t < N_TABLES && (wanted.table == TABLE_ALL || wanted.table == *t)).collect();
        let question = |table| {
            let selection = selection.clone();
            if wanted.aggregate { Question::Aggregate { table, selection } } else { Question::Rules { table, selection } }
        };
        let query = if wanted.aggregate { Query::Aggregate } else { Query::Flows };
        self.ask(conn, request, query, tables.into_iter().map(question).collect())
    }

    pub(super) fn table_stats(&mut self, conn: ConnId, request: &Incoming) -> Step {
        let tables = self.table_ids().into_iter().filter(|t| *t < N_TABLES);
        let questions = tables.map(|table| Question::TableCounters { table }).collect();
        self.ask(conn, request, Query::Tables, questions)
    }

    pub(super) fn port_stats(&mut self, conn: ConnId, request: &Incoming, port: OfPort) -> Result<Step, ErrorCode> {
        let ports: Vec<OfPort> = match port {
            OfPort::ANY => self.config.ports.keys().copied().collect(),
            port => self.config.ports.contains_key(&port).then_some(port).into_iter().collect(),
        };
        Ok(self.ask(conn, request, Query::Ports, vec![Question::Ports(ports)]))
    }

    pub(super) fn queue_stats(
        &mut self,
        conn: ConnId,
        request: &Incoming,
        port: OfPort,
        queue: Option<u32>,
    ) -> Result<Step, ErrorCode> {
        let ports: Vec<OfPort> = match port {
            OfPort::ANY => self.config.ports.keys().copied().collect(),
            port if self.config.ports.contains_key(&port) => vec![port],
            _ => return Err(ErrorCode::OFPQOFC_BAD_PORT),
        };
        let wanted = ports.into_iter().map(|p| (p, queue)).collect();
        Ok(self.ask(conn, request, Query::Queues, vec![Question::Queues(wanted)]))
    }

    pub(super) fn query_answered(
        &mut self,
        conn: ConnId,
        request: Incoming,
        query: Query,
        answers: Vec<Answer>,
        now_ms: i64,
    ) {
        let dialect = match &request.body {
            Ok(Message::FlowStatsRequest { dialect, .. }) => *dialect,
            _ => Dialect::Standard,
        };
        let body = match query {
            Query::Flows => {
                let rules = answers.into_iter().filter_map(|a| if let Answer::Rules(r) = a { Some(r) } else { None });
                let flows = rules.flatten().map(|(rule, stats)| flow_stats(&rule, &stats, now_ms)).collect();
                Message::FlowStatsReply { dialect, flows }
            }
            Query::Aggregate => {
                let mut stats = AggregateStats { packet_count: 0, byte_count: 0, flow_count: 0 };
                for answer in answers {
                    if let Answer::Aggregate(one) = answer {
                        stats.packet_count = stats.packet_count.saturating_add(one.packet_count);
                        stats.byte_count = stats.byte_count.saturating_add(one.byte_count);
                        stats.flow_count = stats.flow_count.saturating_add(one.flow_count);
                    }
                }
                Message::AggregateReply { dialect, stats }
            }
            Query::Tables => Message::TableStatsReply(self.table_stats_of(&answers)),
            Query::Ports => {
                let one = |a| if let Answer::Ports(p) = a { p } else { Vec::new() };
                Message::PortStatsReply(answers.into_iter().flat_map(one).collect())
            }
            Query::Queues => {
                let one = |a| if let Answer::Queues(q) = a { q } else { Vec::new() };
                Message::QueueStatsReply(answers.into_iter().flat_map(one).collect())
            }
        };
        self.reply(conn, request.xid, body);
    }

    fn table_stats_of(&self, answers: &[Answer]) -> Vec<TableStats> {
        (0..N_TABLES)
            .map(|id| {
                let mut stats = TableStats {
                    table_id: id,
                    active_count: 0,
                    lookup_count: 0,
                    matched_count: 0,
                    features: self.table_features(id),
                };
                for answer in answers {
                    if let Answer::TableCounters { table, rules, lookups, matches } = answer
                        && *table == id
                    {
                        stats.active_count = u32::try_from(*rules).unwrap_or(u32::MAX);
                        stats.lookup_count = *lookups;
                        stats.matched_count = *matches;
                    }
                }
                stats
            })
            .collect()
    }

    /// What a table can do.
    pub(super) fn table_features(&self, id: u8) -> TableFeatures {
        let config = self.config.tables.get(&id);
        let name = config.and_then(|c| c.name.clone()).map_or_else(
            || if id == 0 { "classifier".to_owned() } else { format!("table{id}") },
            |name| name.to_string(),
        );
        let max_entries = config.and_then(|c| c.max_flows).map_or(1_000_000, |n| u32::try_from(n).unwrap_or(u32::MAX));
        TableFeatures { table_id: id, name, max_entries, metadata_match: u64::MAX, metadata_write: u64::MAX, ..TableFeatures::default() }
    }
}
