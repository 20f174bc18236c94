//! A bridge without actors: what it asks for is done at once, on tables of our own.

use ofproto::bridge::{
    Answer, Bridge, BridgeConfig, ConnId, ConnKind, Incoming, Output, PortConfig, Question, decode_message,
};
use ofproto::table::Table;
use ofproto::view::{BridgeId, PortView};
use openflow::message::{Dialect, ErrorKind, ErrorMessage, Message, Msg, PortDesc, encode};
use openflow::parse::bundle::Line;
use openflow::{OfPort, Version};
use std::collections::BTreeMap;

/// The bridge and what the actors would be.
pub struct World {
    pub bridge: Bridge,
    tables: BTreeMap<u8, Table>,
    sent: Vec<(ConnId, Msg)>,
    dropped: u64,
    /// The actions that packets were sent on by.
    pub executed: Vec<flow::Actions>,
    pub now_ms: i64,
    xid: u32,
}

impl World {
    /// A bridge with ports 1 and 2, secure.
    pub fn new() -> World {
        let mut config = BridgeConfig { name: "br0".to_owned(), fail_secure: true, ..BridgeConfig::default() };
        for number in [1, 2] {
            let port = OfPort(number);
            let name = format!("p{number}");
            let desc = PortDesc { port, name: name.clone(), ..PortDesc::default() };
            config.ports.insert(
                port,
                PortConfig { view: PortView::device(port, number.into(), &name), desc, kind: "dummy".to_owned() },
            );
        }
        let bridge = Bridge::new(BridgeId(1), config, 7, 1000);
        let (tables, sent, executed) = (BTreeMap::new(), Vec::new(), Vec::new());
        let mut world = World { bridge, tables, sent, dropped: 0, executed, now_ms: 1000, xid: 100 };
        world.settle();
        world
    }

    pub fn connect(&mut self, id: u64, version: Version, kind: ConnKind) -> Peer {
        self.bridge.connected(ConnId(id), version, kind, "unix", "punix:br0.mgmt");
        Peer { id: ConnId(id), version }
    }

    /// Sends octets as they are, and gives what the peer is answered.
    pub fn raw(&mut self, peer: Peer, octets: &[u8]) -> Vec<Message> {
        let xid = u32::from_be_bytes([octets[4], octets[5], octets[6], octets[7]]);
        let body = decode_message(octets, false, false);
        self.bridge.set_now(self.now_ms);
        self.bridge.received(peer.id, [Incoming { body, xid, raw: octets.into() }]);
        self.settle();
        self.take(peer)
    }

    /// Sends a message over the wire's form, and gives what the peer is answered.
    pub fn send(&mut self, peer: Peer, body: Message) -> Vec<Message> {
        self.xid += 1;
        let octets = encode(&body, peer.version, self.xid).expect("encodable");
        self.raw(peer, &octets)
    }

    /// What a peer got since it was asked last.
    pub fn take(&mut self, peer: Peer) -> Vec<Message> {
        let (own, others) = std::mem::take(&mut self.sent).into_iter().partition(|(id, _)| *id == peer.id);
        self.sent = others;
        let own: Vec<(ConnId, Msg)> = own;
        // Everything that is sent can be written.
        own.into_iter()
            .inspect(|(_, m)| drop(encode(&m.body, m.version, m.xid).expect("encodable")))
            .map(|(_, m)| m.body)
            .collect()
    }

    /// Lets time pass.
    pub fn pass(&mut self, ms: i64) {
        self.now_ms += ms;
        self.bridge.run(self.now_ms);
        self.settle();
    }

    /// Packets that connections did not get.
    pub fn pass_and_count_dropped(&mut self) -> u64 {
        let before = self.dropped;
        self.pass(0);
        self.dropped - before
    }

    fn settle(&mut self) {
        loop {
            let outputs = self.bridge.take_outputs();
            if outputs.is_empty() {
                return;
            }
            for output in outputs {
                self.carry_out(output);
            }
        }
    }

    fn carry_out(&mut self, output: Output) {
        let now_ms = self.now_ms;
        match output {
            Output::Send { conn, msg } => self.sent.push((conn, msg)),
            Output::PacketsDropped { packets, .. } => self.dropped += packets,
            Output::Stage { batches, watched } => {
                let staged = batches.into_iter().map(|(id, changes)| {
                    let table = self.tables.entry(id).or_insert_with(|| Table::new(id));
                    (id, Some(table.stage_for(changes, watched, now_ms)))
                });
                let staged = staged.collect();
                self.bridge.staged(staged, now_ms);
            }
            Output::Settle { table, commit } => {
                let table = self.tables.get_mut(&table).expect("staged");
                if commit { drop(table.commit()) } else { table.rollback() }
            }
            Output::ConfigureTable { table, config, .. } => {
                let table = self.tables.entry(table).or_insert_with(|| Table::new(table));
                let _ = table.configure(config, now_ms);
                self.bridge.table_published(table.view());
                self.bridge.carried_out();
            }
            Output::Ask { questions, .. } => {
                let answers = questions.iter().filter_map(|q| self.answer(q)).collect();
                self.bridge.answered(answers, now_ms);
            }
            Output::Execute { packets, .. } => {
                self.executed.extend(packets.into_iter().map(|p| p.actions));
            }
            Output::Share | Output::SetAdmin { .. } => self.bridge.carried_out(),
            _ => {}
        }
    }

    fn answer(&self, question: &Question) -> Option<Answer> {
        Some(match question {
            Question::Rules { table, selection } => Answer::Rules(self.tables.get(table)?.select_rules(selection)),
            Question::Aggregate { table, selection } => Answer::Aggregate(self.tables.get(table)?.aggregate(selection)),
            Question::TableCounters { table } => {
                let (lookups, matches) = self.tables.get(table)?.counters();
                Answer::TableCounters { table: *table, rules: self.tables[table].len(), lookups, matches }
            }
            Question::Ports(_) => Answer::Ports(Vec::new()),
            Question::Queues(_) => Answer::Queues(Vec::new()),
            Question::Meters(_) => Answer::Meters(Vec::new()),
        })
    }

    /// The rules there are, as `ovs-ofctl` would write them: table, match and actions.
    pub fn rules(&mut self) -> Vec<String> {
        let questions = self.bridge.dump_flows_questions();
        let answers: Vec<Answer> = questions.iter().filter_map(|q| self.answer(q)).collect();
        let text = self.bridge.dump_flows(&answers, false, self.now_ms);
        let lines = text.lines().filter(|l| !l.contains("table_id=254"));
        let short = |l: &str| {
            let table = l.split_once("table_id=").map_or("0", |(_, r)| r.split(',').next().unwrap_or("0"));
            let rest = l.split_once("n_bytes=").and_then(|(_, r)| r.split_once(", ")).map_or("", |(_, r)| r);
            format!("{table}: {rest}")
        };
        let mut lines: Vec<String> = lines.map(short).collect();
        lines.sort();
        lines
    }
}

/// A connection.
#[derive(Clone, Copy)]
pub struct Peer {
    pub id: ConnId,
    pub version: Version,
}

/// The errors among messages, by name.
pub fn errors(messages: &[Message]) -> Vec<&'static str> {
    let name = |m: &Message| match m {
        Message::Error(ErrorMessage { code: ErrorKind::Known(code), .. }) => Some(code.name()),
        Message::Error(_) => Some("?"),
        _ => None,
    };
    messages.iter().filter_map(name).collect()
}

/// A message from its text, as the lines of `ovs-ofctl bundle` have it.
pub fn line(text: &str) -> Message {
    match openflow::parse::bundle::parse_line(text, openflow::Names::NONE).expect("a line").0 {
        Line::Flow(flow_mod) => Message::FlowMod { dialect: Dialect::Standard, flow_mod },
        Line::Other(message) => *message,
    }
}
