//! OpenFlow connections as a bridge knows them: role, filters, formats, and the requests that wait.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use openflow::OfError;
use openflow::message::async_config::{AsyncConfig, AsyncKind, SetAsync};
use openflow::message::nx::FlowFormat;
use openflow::message::role::Role;
use openflow::message::{Message, Msg, PacketInFormat};
use openflow::{ErrorCode, Version};

use super::bundle::OpenBundle;
use super::change::Owed;
use super::flow_mod_log::FlowModLog;
use super::flow_reply::FlowReply;
use super::limit::Limits;
use super::monitor::Monitors;
use super::multipart::Partials;
use super::{Bridge, Output, Query};
use crate::note::{Level, Note};

/// A connection's number, unique in the switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u64);

/// Who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnKind {
    /// A controller that the bridge is configured with: hears of everything.
    Primary,
    /// Someone who came by (`ovs-ofctl`): hears of nothing unless it asks.
    Service,
    /// Someone who reads along with the controller that rules most (`ovs-ofctl snoop`).
    Snoop,
}

/// A message that arrived.
#[derive(Debug, Clone)]
pub struct Incoming {
    /// What it says, or the error to answer with.
    pub body: Result<Message, OfError>,
    /// Transaction identifier.
    pub xid: u32,
    /// All its octets, for errors to quote, and to be read once more where the bridge knows better.
    pub raw: Arc<[u8]>,
}

/// One connection.
#[derive(Debug)]
pub struct Conn {
    pub(crate) id: ConnId,
    pub(crate) version: Version,
    pub(crate) kind: ConnKind,
    /// Target as shown to people: `tcp:127.0.0.1:6653`.
    pub(crate) name: String,
    /// Target of the controller, or of the listener that it came to.
    pub(crate) target: String,
    pub(crate) role: Role,
    pub(crate) async_config: AsyncConfig,
    /// The peer has chosen that itself.
    pub(crate) has_chosen: bool,
    /// Otherwise: whether it hears of what is usual, or of nothing.
    pub(crate) hears: bool,
    pub(crate) packet_in_format: PacketInFormat,
    /// Octets of a packet-in, before any `output:controller` says otherwise.
    pub(crate) miss_send_len: u16,
    pub(crate) controller_id: u16,
    /// Of OpenFlow 1.0: whether the end of a rule is told in Nicira's form.
    pub(crate) flow_format: FlowFormat,
    /// Of OpenFlow 1.0: flow-mods name tables.
    pub(crate) table_id: bool,
    pub(crate) bundles: BTreeMap<u32, OpenBundle>,
    pub(crate) monitors: Monitors,
    pub(crate) partials: Partials,
    pub(crate) limits: Limits,
    pub(crate) flow_mod_log: FlowModLog,
    /// What may still be said before the peer has to have read some of it ([`weight`]).
    pub(crate) credit: i64,
    /// Packets sent that it has not read, as far as is known.
    pub(crate) packets_under_way: u32,
    /// As many of them may be.
    pub(crate) most_packets: u32,
    /// Packets that it did not get because of those, and that nobody was told of yet.
    pub(crate) packets_dropped: u64,
    /// A reply that is not sent yet as a whole; requests wait for it.
    pub(crate) flow_reply: Option<FlowReply>,
    pub(crate) queue: VecDeque<Incoming>,
}

impl Conn {
    /// Whether an asynchronous message with this reason bit goes to it.
    pub fn wants(&self, kind: AsyncKind, bit: u32) -> bool {
        // Someone who came by hears of nothing before asking for packets.
        if self.kind == ConnKind::Snoop || (self.kind == ConnKind::Service && self.miss_send_len == 0) {
            return false;
        }
        let masks =
            if self.role == Role::Secondary { &self.async_config.secondary } else { &self.async_config.primary };
        masks[kind as usize] & bit != 0
    }

    /// Takes what it asks to hear of. Someone who came by hears of that from then on, as if it had asked for packets.
    pub(super) fn set_async(&mut self, wanted: &SetAsync) {
        self.async_config.apply(wanted);
        self.has_chosen = true;
        if self.kind == ConnKind::Service && self.miss_send_len == 0 {
            self.miss_send_len = DEFAULT_MISS_SEND_LEN;
        }
    }

    /// Has it hear of what is usual, or of nothing, unless it has chosen itself.
    pub(super) fn hear(&mut self, anything: bool) {
        self.hears = anything;
        if !self.has_chosen {
            self.async_config = if anything { AsyncConfig::defaults(self.version) } else { AsyncConfig::default() };
        }
    }

    /// Whether one more packet may be sent.
    pub(super) fn has_room(&self) -> bool {
        self.packets_under_way < self.most_packets
    }

    /// Its version.
    pub fn version(&self) -> Version {
        self.version
    }
}

/// What the bridge waits for.
#[derive(Debug)]
pub(crate) enum Pending {
    /// Changes of its own.
    Own,
    /// Changes of one connection's.
    Changes(Box<super::change::Changes>),
    /// Answers for a request.
    Answer(ConnId, Incoming, Query),
}

/// What may be said to a peer that reads nothing, before its further requests wait.
const CREDIT: i64 = 100;

/// Packets that may be under way to a connection unless somebody says otherwise; those beyond are lost to it.
pub(super) const PACKETS_UNDER_WAY: u32 = 256;

/// How much of a connection's credit a message takes: about one for each hundred octets or so of a long one. Packets,
/// which nobody asked for, take none: they are limited apart, so that a flood of them holds no request back.
pub fn weight(message: &Message) -> i64 {
    if matches!(message, Message::PacketIn(_)) {
        return 0;
    }
    let rows = match message {
        Message::Encoded(octets) => octets.len() / 100,
        Message::FlowMonitorReply(rows) => rows.len(),
        Message::TableFeaturesReply(rows) => rows.len() * 10,
        Message::TableStatsReply(rows) => rows.len(),
        Message::EchoReply(data) => data.len() / 1000,
        _ => 0,
    };
    1 + i64::try_from(rows).unwrap_or(i64::MAX >> 1)
}

/// Octets that a service connection gets of a packet unless told: none; a controller gets this many.
const DEFAULT_MISS_SEND_LEN: u16 = 128;

impl Bridge {
    /// A connection has agreed on its version. `target` is what is configured, `name` the same or, of who came by himself,
    /// his own.
    pub fn connected(&mut self, id: ConnId, version: Version, kind: ConnKind, name: &str, target: &str) {
        let async_config = AsyncConfig::defaults(version);
        let conn = Conn {
            id,
            version,
            kind,
            name: name.to_owned(),
            target: target.to_owned(),
            role: Role::Equal,
            async_config,
            has_chosen: false,
            hears: true,
            packet_in_format: PacketInFormat::Standard,
            miss_send_len: if kind == ConnKind::Primary { DEFAULT_MISS_SEND_LEN } else { 0 },
            controller_id: 0,
            flow_format: FlowFormat::OpenFlow10,
            table_id: false,
            bundles: BTreeMap::new(),
            monitors: Monitors::default(),
            partials: Partials::default(),
            limits: Limits::default(),
            flow_mod_log: FlowModLog::default(),
            credit: CREDIT,
            packets_under_way: 0,
            most_packets: PACKETS_UNDER_WAY,
            packets_dropped: 0,
            flow_reply: None,
            queue: VecDeque::new(),
        };
        self.conns.insert(id, conn);
        self.controller_connected(id);
        self.update_miss();
    }

    /// Packets that miss go to controllers only while one listens that expects it: before OpenFlow 1.3.
    fn update_miss(&mut self) {
        let mut listeners = self.conns.values().filter(|c| c.controller_id == 0 && c.version < Version::V13);
        let by_controller = listeners.clone().any(|c| c.kind == ConnKind::Primary);
        let wanted = (listeners.next().is_some(), by_controller);
        if wanted != (self.view.miss_to_controller, self.view.controller_wants_misses) {
            (self.view.miss_to_controller, self.view.controller_wants_misses) = wanted;
            self.dirty = true;
        }
    }

    /// A connection is gone; what it had not been answered never will be.
    pub fn disconnected(&mut self, id: ConnId) {
        if let Some(mut conn) = self.conns.remove(&id)
            && let Some(line) = conn.flow_mod_log.take(self.now_ms)
        {
            self.log_flow_mods(&conn.name, &line);
        }
        self.controller_disconnected(id);
        self.update_miss();
        self.ready.retain(|c| *c != id);
    }

    /// Messages arrived on a connection.
    pub fn received(&mut self, id: ConnId, messages: impl IntoIterator<Item = Incoming>) {
        let messages: Vec<Incoming> = messages.into_iter().collect();
        self.judge_controller(id, &messages);
        if self.has_snoops() {
            self.snoop_received(id, &messages);
        }
        let Some(conn) = self.conns.get_mut(&id) else { return };
        conn.queue.extend(messages);
        if !conn.queue.is_empty() && !self.ready.contains(&id) {
            self.ready.push_back(id);
        }
        self.run_queue();
        self.flush_credit();
    }

    /// Requests of a connection that wait.
    pub fn backlog(&self, id: ConnId) -> usize {
        self.conns.get(&id).map_or(0, |c| c.queue.len())
    }

    /// The connections.
    pub fn conns(&self) -> impl Iterator<Item = &Conn> {
        self.conns.values()
    }

    pub(super) fn log_flow_mods(&mut self, name: &str, line: &str) {
        let text = format!("{}<->{name}: {line}", self.view.name);
        self.log(Note::new("connmgr", Level::Info, text));
    }

    /// A connection's peer has read messages of this [`weight`], and so many packets; its requests go on.
    pub fn has_read(&mut self, id: ConnId, read: i64, packets: u32) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        conn.credit = conn.credit.saturating_add(read).min(CREDIT);
        conn.packets_under_way = conn.packets_under_way.saturating_sub(packets);
        self.continue_flow_reply(id);
        let Some(conn) = self.conns.get(&id) else { return };
        if !conn.queue.is_empty() && !self.ready.contains(&id) {
            self.ready.push_back(id);
        }
        self.run_queue();
        self.flush_credit();
    }

    pub(super) fn reply(&mut self, conn: ConnId, xid: u32, body: Message) {
        let Some(known) = self.conns.get_mut(&conn) else { return };
        known.credit = known.credit.saturating_sub(weight(&body));
        known.packets_under_way += u32::from(matches!(body, Message::PacketIn(_)));
        let version = known.version;
        if self.has_snoops() {
            self.snoop(conn, &Msg { version, xid, body: body.clone() });
        }
        self.put(Output::Send { conn, msg: Msg { version, xid, body } });
    }

    pub(super) fn send_async(&mut self, conn: ConnId, body: Message) {
        self.reply(conn, 0, body);
    }

    /// Sends a packet, unless too many are under way.
    pub(super) fn send_packet(&mut self, conn: ConnId, packet: Message) {
        let Some(known) = self.conns.get_mut(&conn) else { return };
        if known.has_room() {
            return self.reply(conn, 0, packet);
        }
        known.packets_dropped += 1;
        self.has_dropped = true;
    }

    /// Tells of packets that connections did not get.
    pub(super) fn tell_dropped(&mut self) {
        if !std::mem::take(&mut self.has_dropped) {
            return;
        }
        for conn in self.conns.values_mut().filter(|conn| conn.packets_dropped > 0) {
            let packets = std::mem::take(&mut conn.packets_dropped);
            self.outputs.push(Output::PacketsDropped { name: conn.name.clone(), packets });
        }
    }

    pub(super) fn refuse(&mut self, conn: ConnId, request: &Incoming, code: ErrorCode) {
        self.refuse_owed(conn, &Owed::from(request), code);
    }

    pub(super) fn refuse_owed(&mut self, conn: ConnId, owed: &Owed, code: ErrorCode) {
        let body = Message::Error(openflow::message::ErrorMessage::reply(code, &owed.raw));
        if code != ErrorCode::OFPBRC_BAD_VERSION {
            let version = self.conns.get(&conn).map(Conn::version);
            if let Some(version) = version.filter(|version| code.in_version(*version).is_none()) {
                let text = format!("cannot encode {code} for OpenFlow 1.{}", version.wire() - 1);
                let (level, module) = (openflow::Level::Err, "ofp_errors");
                self.put(Output::Remark(openflow::Remark { level, module, text, once: false, kind: None }));
            }
            return self.reply(conn, owed.xid, body);
        }
        // It is told in the words of the version that it was asked in, as far as that is one.
        let asked = owed.raw.first().and_then(|wire| Version::from_wire(*wire)).unwrap_or(Version::V10);
        self.put(Output::Send { conn, msg: Msg { version: asked, xid: owed.xid, body } });
    }
}
