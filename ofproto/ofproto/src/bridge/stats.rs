//! Statistics: asked of tables and ports, answered to the controller.

use std::collections::BTreeMap;
use std::sync::Arc;

use openflow::flow_mod::{FlowStatsRequest, TABLE_ALL};
use openflow::message::{Dialect, Message, PortStats, QueueConfig, QueueStats, TableStats};
use openflow::{ErrorCode, OfPort};

use super::hidden;
use super::service::Step;
use super::{Answer, Bridge, ConnId, Incoming, N_TABLES, Output, Query, Question};
use crate::bridge::conn::Pending;
use crate::rule::{Rule, RuleStats};
use crate::table::Selection;

impl Bridge {
    /// Requests for what the switch is and has counted.
    pub(super) fn statistics(&mut self, id: ConnId, request: &Incoming, body: &Message) -> Result<Step, ErrorCode> {
        // The answer looks at the request once more.
        let request = &Incoming { body: Ok(body.clone()), ..request.clone() };
        let xid = request.xid;
        match body {
            Message::DescRequest => self.reply(id, xid, Message::DescReply(self.config.desc.clone())),
            Message::PortDescRequest(port) => self.port_descs(id, xid, *port),
            Message::FlowStatsRequest { request: wanted, .. } => return Ok(self.flow_stats(id, request, wanted)),
            Message::TableStatsRequest => return Ok(self.table_stats(id, request)),
            Message::TableFeaturesRequest(wanted) => {
                let version = self.conns.get(&id).map_or(openflow::Version::V13, |c| c.version);
                self.rename_tables(wanted, version)?;
                self.reply(id, xid, Message::TableFeaturesReply(self.all_table_features(version)));
            }
            Message::TableDescRequest => self.reply(id, xid, Message::TableDescReply(self.table_descs())),
            Message::PortStatsRequest(port) => return self.port_stats(id, request, *port),
            Message::QueueStatsRequest { port, queue } => return self.queues(id, request, *port, *queue),
            Message::QueueConfigRequest { port, queue } => return self.queues(id, request, *port, *queue),
            Message::GroupStatsRequest(_) => {
                return Ok(self.ask(id, request, Query::Groups, Vec::new()));
            }
            Message::GroupDescRequest(group) => {
                self.reply(id, xid, Message::GroupDescReply(self.group_descs(*group)));
            }
            Message::GroupFeaturesRequest => {
                self.reply(id, xid, Message::GroupFeaturesReply(Self::group_features()));
            }
            Message::MeterStatsRequest(meter) => {
                let ids = self.meter_ids(*meter)?;
                return Ok(self.ask(id, request, Query::Meters, vec![Question::Meters(ids)]));
            }
            Message::MeterConfigRequest(meter) => {
                self.reply(id, xid, Message::MeterConfigReply(self.meter_configs(*meter)?));
            }
            Message::MeterFeaturesRequest => {
                self.reply(id, xid, Message::MeterFeaturesReply(Self::meter_features()));
            }
            Message::IpfixBridgeRequest => {
                let stats = self.ipfix_stats().ok_or(ErrorCode::NXST_NOT_CONFIGURED)?;
                self.reply(id, xid, Message::IpfixBridgeReply(stats));
            }
            Message::IpfixFlowRequest => {
                let stats = self.flow_ipfix_stats().ok_or(ErrorCode::NXST_NOT_CONFIGURED)?;
                self.reply(id, xid, Message::IpfixFlowReply(stats));
            }
            _ => return Err(ErrorCode::OFPBRC_BAD_TYPE),
        }
        Ok(Step::Done)
    }

    fn ask(&mut self, conn: ConnId, request: &Incoming, query: Query, questions: Vec<Question>) -> Step {
        let credited = query.is_of_credits();
        self.busy = Some(Pending::Answer(conn, request.clone(), query));
        self.put(Output::Ask { questions, credited });
        Step::Waits
    }

    pub(super) fn flow_stats(&mut self, conn: ConnId, request: &Incoming, wanted: &FlowStatsRequest) -> Step {
        let selection = Arc::new(Selection::of(wanted));
        let tables: Vec<u8> = self
            .table_ids()
            .into_iter()
            .filter(|t| *t < N_TABLES && (wanted.table == TABLE_ALL || wanted.table == *t))
            .collect();
        let question = |table| {
            let selection = selection.clone();
            if wanted.aggregate {
                Question::Aggregate { table, selection }
            } else {
                Question::Rules { table, selection }
            }
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
            OfPort::ANY => self.view.port_order.iter().collect(),
            port => self.config.ports.contains_key(&port).then_some(port).into_iter().collect(),
        };
        Ok(self.ask(conn, request, Query::Ports, vec![Question::Ports(ports)]))
    }

    /// Asks for the queues of a port or of all, for their counters or their settings.
    fn queues(
        &mut self,
        conn: ConnId,
        request: &Incoming,
        port: OfPort,
        queue: Option<u32>,
    ) -> Result<Step, ErrorCode> {
        let ports: Vec<OfPort> = match port {
            OfPort::ANY => self.view.port_order.iter().collect(),
            port if self.config.ports.contains_key(&port) => vec![port],
            _ => return Err(ErrorCode::OFPQOFC_BAD_PORT),
        };
        let wanted = ports.into_iter().map(|p| (p, queue)).collect();
        Ok(self.ask(conn, request, Query::Queues, vec![Question::Queues(wanted)]))
    }

    pub(super) fn query_answered(&mut self, conn: ConnId, request: Incoming, query: Query, answers: Vec<Answer>) {
        let dialect = match &request.body {
            Ok(Message::FlowStatsRequest { dialect, .. }) => *dialect,
            _ => Dialect::Standard,
        };
        let body = match query {
            Query::Flows => {
                let rules = answers.into_iter().filter_map(|a| if let Answer::Rules(r) = a { Some(r) } else { None });
                let mut rules: Vec<_> = rules.collect();
                if let Some(wanted) = asked(&request) {
                    rules.push(self.hidden_answer(wanted));
                    if is_of_one_cookie(wanted) {
                        rules = vec![hidden::in_cookie_order(rules.concat())];
                    }
                }
                return self.begin_flow_reply(conn, request.xid, dialect, rules);
            }
            Query::Aggregate => {
                let mut stats = hidden::sum_of(&asked(&request).map_or_else(Vec::new, |w| self.hidden_answer(w)));
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
            Query::Groups => {
                let Ok(Message::GroupStatsRequest(group)) = &request.body else { return };
                Message::GroupStatsReply(self.group_stats(*group))
            }
            Query::Ports => {
                let one = |a| if let Answer::Ports(p) = a { p } else { Vec::new() };
                let mut ports: Vec<PortStats> = answers.into_iter().flat_map(one).collect();
                // What the switch says itself counts as what its own port said.
                for local in ports.iter_mut().filter(|p| p.port == OfPort::LOCAL) {
                    local.rx_packets = local.rx_packets.saturating_add(self.spoken.0);
                    local.rx_bytes = local.rx_bytes.saturating_add(self.spoken.1);
                }
                Message::PortStatsReply(ports)
            }
            Query::Meters => match &request.body {
                Ok(Message::MeterStatsRequest(id)) => Message::MeterStatsReply(self.meter_stats(*id, &answers)),
                _ => return,
            },
            Query::Queues => {
                let one = |a| if let Answer::Queues(q) = a { q } else { Vec::new() };
                let known: Vec<QueueStats> = answers.into_iter().flat_map(one).collect();
                match queues_reply(&request, known) {
                    Ok(body) => body,
                    Err(code) => return self.refuse(conn, &request, code),
                }
            }
        };
        self.reply(conn, request.xid, body);
    }

    /// The switch's own rules that belong to an answer: where their table is named, or where the index of cookies is gone
    /// through.
    fn hidden_answer(&self, wanted: &FlowStatsRequest) -> Vec<(Arc<Rule>, RuleStats)> {
        if wanted.table == N_TABLES || (wanted.table == TABLE_ALL && is_of_one_cookie(wanted)) {
            self.select_hidden(&Selection::of(wanted))
        } else {
            Vec::new()
        }
    }

    fn table_stats_of(&self, answers: &[Answer]) -> Vec<TableStats> {
        let mut counters: BTreeMap<u8, (usize, u64, u64)> = BTreeMap::new();
        for answer in answers {
            if let Answer::TableCounters { table, rules, lookups, matches } = answer {
                counters.insert(*table, (*rules, *lookups, *matches));
            }
        }
        let blank = super::tables::features();
        (0..N_TABLES)
            .map(|id| {
                let (rules, lookup_count, matched_count) = counters.get(&id).copied().unwrap_or_default();
                let hidden = if id == 0 { self.controllers.hidden_rules() } else { 0 };
                let rules = rules.saturating_sub(hidden);
                TableStats {
                    table_id: id,
                    active_count: u32::try_from(rules).unwrap_or(u32::MAX),
                    lookup_count: lookup_count + self.bare_lookups.get(&id).copied().unwrap_or_default(),
                    matched_count,
                    features: self.table_features_from(&blank, id),
                }
            })
            .collect()
    }
}

/// What a request for rules asks for.
fn asked(request: &Incoming) -> Option<&FlowStatsRequest> {
    match &request.body {
        Ok(Message::FlowStatsRequest { request, .. }) => Some(request),
        _ => None,
    }
}

/// Whether rules of exactly one cookie are wanted.
fn is_of_one_cookie(wanted: &FlowStatsRequest) -> bool {
    wanted.cookie_mask == u64::MAX
}

/// The answer to a question about queues: one queue that nobody has is an error, no queues at all are none.
fn queues_reply(request: &Incoming, known: Vec<QueueStats>) -> Result<Message, ErrorCode> {
    match &request.body {
        Ok(Message::QueueStatsRequest { queue: Some(_), .. } | Message::QueueConfigRequest { queue: Some(_), .. })
            if known.is_empty() =>
        {
            Err(ErrorCode::OFPQOFC_BAD_QUEUE)
        }
        Ok(Message::QueueConfigRequest { port, .. }) => {
            let none = openflow::message::queue::RATE_NONE;
            let config = |s: QueueStats| QueueConfig { port: s.port, queue: s.queue, min_rate: none, max_rate: none };
            Ok(Message::QueueConfigReply { port: *port, queues: known.into_iter().map(config).collect() })
        }
        _ => Ok(Message::QueueStatsReply(known)),
    }
}
