//! To a bridge.

use actix::prelude::*;
use flow::Upcall;
use ofproto::bridge::{BridgeConfig, ConnId, ConnKind, Incoming};
use ofproto::table::{Event, TableView};
use ofproto::view::SwitchView;
use openflow::Version;
use std::sync::Arc;

use crate::controller::Transmit;

/// Packets that the datapath has no answer for (B).
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Upcalls {
    /// The packets.
    pub batch: Vec<Upcall>,
    /// The datapath has as many flows as it may: packets are answered, none is installed.
    pub is_full: bool,
}

/// Be like this (Q; answered when applied).
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Configure {
    /// What to be.
    pub config: BridgeConfig,
    /// The bridge's own address, for its children.
    pub own: crate::mailbox::Address<crate::bridge::Bridge>,
    /// The controllers.
    pub controllers: crate::switch::desired::DesiredControllers,
    /// OpenFlow versions allowed.
    pub versions: openflow::VersionSet,
}

/// The datapath was started anew: it must be told of meters and bonds, and what its flows carried is owed to rules (R).
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct DatapathAnew {
    /// What flows of the bridge carried that are gone.
    pub fallen: Vec<flow::FlowReported>,
}

/// Counters and ages of mirrors and protocols as they are now (Q).
#[derive(Debug, Message)]
#[rtype(result = "ofproto::bridge::BridgeTally")]
pub struct ReadTally;

/// A new view of the whole switch (C).
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ViewPublished(pub Arc<SwitchView>);

/// An OpenFlow connection has agreed on its version (R).
#[derive(Message)]
#[rtype(result = "()")]
pub struct OfConnected {
    /// Number.
    pub conn: ConnId,
    /// Version.
    pub version: Version,
    /// Kind.
    pub kind: ConnKind,
    /// As people know it.
    pub name: String,
    /// Target of the controller, or of the listener that it came to.
    pub target: String,
    /// Where to send.
    pub outlet: Recipient<Transmit>,
}

/// It is gone (R).
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct OfDisconnected(pub ConnId);

/// A connection's peer has begun to read what it is told of monitored flows slowly, or has read all of that (R).
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct OfBacklog {
    /// Connection.
    pub conn: ConnId,
    /// Octets of flow updates that it has not read.
    pub octets: usize,
}

/// A connection's peer has read messages (R).
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct OfRead {
    /// Connection.
    pub conn: ConnId,
    /// How much, as [`ofproto::bridge::weight`] has it.
    pub weight: i64,
    /// Packets.
    pub packets: u32,
}

/// How the controllers are, by target (Q).
#[derive(Debug, Message)]
#[rtype(result = "Vec<ControllerReport>")]
pub struct ReadControllers;

/// How one controller is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControllerReport {
    /// Target.
    pub target: String,
    /// Role, of one that is connected.
    pub role: Option<&'static str>,
    /// Connection; `None` for a listener.
    pub status: Option<ofproto::rconn::Status>,
    /// Packets that wait for it, and the like, by name.
    pub queues: Vec<(String, u64)>,
}

/// All messages decoded in one read (R; when it does not fit the session stops reading).
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct OfBatch {
    /// Connection.
    pub conn: ConnId,
    /// Messages.
    pub msgs: Vec<Incoming>,
}

/// A table changed on its own: timeouts (R).
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct TableChanged {
    /// As it is now.
    pub view: Arc<TableView>,
    /// What happened.
    pub events: Vec<Event>,
}

/// Run a function of the bridge's on behalf of a control command (Q).
#[derive(Message)]
#[rtype(result = "Result<String, String>")]
pub struct Control {
    /// Command.
    pub name: &'static str,
    /// Arguments, the bridge's name left out.
    pub args: Vec<String>,
}

/// Effects that packets of other bridges had on this one (R).
#[derive(Debug, Default, Message)]
#[rtype(result = "()")]
pub struct ForeignEffects {
    /// What, and for how many packets.
    pub effects: Vec<(ofproto::xlate::Effect, ofproto::rule::RuleStats)>,
    /// Packets for this one's controllers, and whom each is for.
    pub packets: Vec<(Box<openflow::message::PacketIn>, Box<flow::odp::ControllerCookie>)>,
}

/// Stations were learned on a port of another bridge that is gone: they may be anywhere now (R).
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct StationsGone(pub std::sync::Arc<[l2proto::mac_learning::MacKey]>);

/// Name the cached flows that changes concern, in their names' order (Q).
#[derive(Debug, Message)]
#[rtype(result = "Vec<flow::Ufid>")]
pub struct StaleFlows {
    /// Those behind this one.
    pub after: Option<flow::Ufid>,
    /// So many at the most.
    pub max: usize,
}

/// Judge cached flows that changes concern; the answer says what to do with them, and by which view (Q).
#[derive(Debug, Message)]
#[rtype(result = "(u64, ofproto::bridge::Decisions)")]
pub struct FlowJudge {
    /// Which.
    pub ufids: Vec<flow::Ufid>,
    /// Those of them that the datapath has, as it has them.
    pub reports: Vec<flow::FlowReported>,
    /// Those that carried fewer packets a second are to go.
    pub min_pps: u32,
}

/// A look at all of the datapath's flows is over (B: the next one comes soon).
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct FlowSwept {
    /// When it began, milliseconds.
    pub since_ms: i64,
}

/// Cached flows as the datapath has them; the answer is as to [`FlowJudge`] (Q).
#[derive(Debug, Message)]
#[rtype(result = "(u64, ofproto::bridge::Decisions)")]
pub struct FlowReport {
    /// The flows.
    pub flows: Vec<flow::FlowReported>,
    /// Those idle for so long are to go, milliseconds.
    pub max_idle_ms: i64,
    /// As in [`FlowJudge`], of those that changes concern.
    pub min_pps: u32,
    /// They have been taken out.
    pub gone: bool,
}

/// The keys of cached flows as the packets that made them had them, for texts (Q).
#[derive(Debug, Message)]
#[rtype(result = "Vec<Option<flow::Key>>")]
pub struct CachedKeys(pub Vec<flow::Ufid>);

/// All rules as text, hidden ones too (Q).
#[derive(Debug, Message)]
#[rtype(result = "String")]
pub struct DumpFlows {
    /// With the counters of hardware.
    pub offload: bool,
}

/// What made cached flows what they are: for each the rules and groups, as text, in the order that its packets meet them;
/// `None` for a flow that the bridge does not know (Q).
#[derive(Debug, Message)]
#[rtype(result = "Vec<Option<Vec<String>>>")]
pub struct Origins(pub Vec<flow::Ufid>);
