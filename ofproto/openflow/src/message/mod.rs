//! Every OpenFlow message in one internal form, whatever its version.
//!
//! [`decode()`] takes one whole message, [`encode()`] gives one back (or several, for a multipart message too long for
//! one). Requests and replies of the same kind are separate variants of [`Message`]. One file a family of messages, each
//! with its types, its decoder and its encoder. Nothing that comes from the wire is trusted: lengths, counts and depths
//! are checked and limited, and what is wrong is answered with the error that Open vSwitch sends ([`crate::OfError`]).
//!
//! Absent: sockets (see [`frame`] for cutting a stream into messages), and what the messages do.

pub mod action_kind;
pub mod async_config;
pub mod bundle;
pub mod config;

pub mod ct_flush;
mod decode;
mod encode;
pub mod error;
pub mod features;
pub mod field_set;
pub mod flow;
pub mod flow_removed;
mod flow_rows;
pub mod flow_stats;
pub mod frame;
pub mod group;
pub mod hello;
pub mod ipfix;
pub mod kind;
pub mod meter;
pub mod monitor;
pub mod nx;
mod oxs;
pub mod packet_in;
pub mod packet_out;
pub mod port;
pub mod port_stats;
pub mod queue;
pub mod role;
pub mod table;
pub mod table_features;
pub mod tlv_map;
pub mod wire;

use std::sync::Arc;

use crate::flow_mod::{FlowMod, FlowStats, FlowStatsRequest};
use crate::{ErrorCode, OfError, OfPort, Version};

pub use action_kind::ActionKinds;
pub use async_config::{AsyncConfig, SetAsync};
pub use bundle::{BundleAdd, BundleCtrl};
pub use config::{SwitchConfig, SwitchDesc};
pub use ct_flush::{CtFlush, CtTuple};
pub(crate) use decode::decode_nested;
pub use decode::{Context, decode, decode_with};
pub use encode::{encode, encode_flow_mod, encode_into};
pub use features::Features;
pub use field_set::{FieldArray, FieldSet};
pub use flow_removed::FlowRemoved;
pub use flow_rows::FlowRows;
pub use flow_stats::AggregateStats;
pub use group::{Bucket, GroupDesc, GroupFeatures, GroupMod, GroupStats};
pub use ipfix::IpfixStats;
pub use meter::{MeterConfig, MeterFeatures, MeterMod, MeterStats};
pub use monitor::{FlowMonitorRequest, FlowUpdate};
pub use packet_in::{PacketIn, PacketInFormat, PacketInPrivate};
pub use packet_out::PacketOut;
pub use port::{PortDesc, PortMod, PortStatus};
pub use port_stats::PortStats;
pub use queue::{QueueConfig, QueueStats};
pub use role::{RoleRequest, RoleStatus};
pub use table::{TableDesc, TableMod, TableStats, TableStatus};
pub use table_features::TableFeatures;
pub use tlv_map::{TlvMap, TlvTableMod, TlvTableReply};

/// No buffered packet.
pub const NO_BUFFER: u32 = u32::MAX;

/// A message with its header.
#[derive(Clone, Debug, PartialEq)]
pub struct Msg {
    /// Version of its header.
    pub version: Version,
    /// Transaction identifier.
    pub xid: u32,
    /// What it says.
    pub body: Message,
}

/// Why a message cannot be written in a version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} cannot be said in {version}")]
pub struct Unsupported {
    /// The thing that the version does not have.
    pub what: String,
    /// The version.
    pub version: Version,
}

/// Which messages of the Nicira extensions stand in for OpenFlow's own, where both exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Dialect {
    /// OpenFlow's own message.
    #[default]
    Standard,
    /// Nicira's, with extensible matches (`NXT_FLOW_MOD`, `NXST_FLOW`, `NXT_FLOW_REMOVED`, `NXT_ROLE_REQUEST` …).
    Nicira,
}

/// An error as sent: the code and up to 64 octets of the message it answers, or a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorMessage {
    /// What is wrong, as far as known.
    pub code: ErrorKind,
    /// Offending message's first octets, or the text of a failed hello.
    pub data: Vec<u8>,
}

/// The code of an error message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// One with a name.
    Known(ErrorCode),
    /// One without: numbers as on the wire.
    Unknown {
        /// Vendor, 0 for OpenFlow's own.
        vendor: u32,
        /// Type.
        kind: u16,
        /// Code.
        code: u16,
    },
}

/// Every message.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::large_enum_variant)]
pub enum Message {
    /// Versions the sender speaks.
    Hello(hello::Hello),
    /// Something was wrong with the message with the same xid.
    Error(ErrorMessage),
    /// Are you there?
    EchoRequest(Vec<u8>),
    /// With the request's octets.
    EchoReply(Vec<u8>),

    /// Asks for [`Message::FeaturesReply`].
    FeaturesRequest,
    /// What the switch is and can.
    FeaturesReply(Features),
    /// Asks for [`Message::GetConfigReply`].
    GetConfigRequest,
    /// How the switch is configured.
    GetConfigReply(SwitchConfig),
    /// Configures the switch.
    SetConfig(SwitchConfig),

    /// A packet for the controller.
    PacketIn(Box<PacketIn>),
    /// The controller lets a paused packet go on (NXT_RESUME).
    Resume(Box<PacketIn>),
    /// A rule is gone.
    FlowRemoved(Box<FlowRemoved>),
    /// A port came, went or changed.
    PortStatus(PortStatus),
    /// A controller's role changed (1.4+).
    RoleStatus(RoleStatus),
    /// A table fills up or empties (1.4+).
    TableStatus(TableStatus),
    /// Another controller changed a group or meter (1.4+).
    RequestForward(Box<Msg>),

    /// A packet to send.
    PacketOut(Box<PacketOut>),
    /// Add, modify or delete rules.
    FlowMod {
        /// Which message.
        dialect: Dialect,
        /// What to do.
        flow_mod: Box<FlowMod>,
    },
    /// Add, modify or delete a group or its buckets.
    GroupMod(GroupMod),
    /// Configure a port.
    PortMod(PortMod),
    /// Configure a table.
    TableMod(TableMod),
    /// Add, modify or delete a meter.
    MeterMod(MeterMod),

    /// Asks for a reply when all before it is done.
    BarrierRequest,
    /// All before the request is done.
    BarrierReply,

    /// Asks for a port's queues (OFPT before 1.4, multipart since).
    QueueConfigRequest {
        /// Port, [`OfPort::ANY`] for all.
        port: OfPort,
        /// Queue, all of them if `None` (always `None` before 1.4).
        queue: Option<u32>,
    },
    /// Queues of a port.
    QueueConfigReply {
        /// Port asked for (before 1.4 only).
        port: OfPort,
        /// Its queues.
        queues: Vec<QueueConfig>,
    },

    /// Asks for a role.
    RoleRequest(RoleRequest),
    /// The role now.
    RoleReply(RoleRequest),
    /// Asks for [`Message::GetAsyncReply`].
    GetAsyncRequest,
    /// Which asynchronous messages the controller gets.
    GetAsyncReply(AsyncConfig),
    /// Chooses asynchronous messages.
    SetAsync(SetAsync),

    /// Open, close, commit or discard a bundle, and the replies to these.
    BundleCtrl(BundleCtrl),
    /// A message for a bundle.
    BundleAdd(BundleAdd),

    /// Asks for [`Message::DescReply`].
    DescRequest,
    /// Who made the switch.
    DescReply(SwitchDesc),
    /// Asks for rules, or for sums over them.
    FlowStatsRequest {
        /// Which message.
        dialect: Dialect,
        /// Which rules.
        request: Box<FlowStatsRequest>,
    },
    /// Rules.
    FlowStatsReply {
        /// Which message.
        dialect: Dialect,
        /// Rules of this part.
        flows: Vec<FlowStats>,
    },
    /// Sums over rules.
    AggregateReply {
        /// Which message.
        dialect: Dialect,
        /// Sums.
        stats: AggregateStats,
    },
    /// Asks for table statistics.
    TableStatsRequest,
    /// Table statistics, with the features that older versions put among them.
    TableStatsReply(Vec<TableStats>),
    /// Asks for table features, or sets them if there are any.
    TableFeaturesRequest(Vec<TableFeatures>),
    /// What the tables can.
    TableFeaturesReply(Vec<TableFeatures>),
    /// Asks for table configurations (1.4+).
    TableDescRequest,
    /// Table configurations.
    TableDescReply(Vec<TableDesc>),
    /// Asks for a port's counters, [`OfPort::ANY`] for all.
    PortStatsRequest(OfPort),
    /// Ports' counters.
    PortStatsReply(Vec<PortStats>),
    /// Asks for a port's description (all ports before 1.5).
    PortDescRequest(OfPort),
    /// Ports.
    PortDescReply(Vec<PortDesc>),
    /// Asks for queues' counters.
    QueueStatsRequest {
        /// Port, [`OfPort::ANY`] for all.
        port: OfPort,
        /// Queue, all of them if `None`.
        queue: Option<u32>,
    },
    /// Queues' counters.
    QueueStatsReply(Vec<QueueStats>),
    /// Asks for a group's counters.
    GroupStatsRequest(u32),
    /// Groups' counters.
    GroupStatsReply(Vec<GroupStats>),
    /// Asks for a group's description (all groups before 1.5).
    GroupDescRequest(u32),
    /// Groups.
    GroupDescReply(Vec<GroupDesc>),
    /// Asks for [`Message::GroupFeaturesReply`].
    GroupFeaturesRequest,
    /// What groups can be.
    GroupFeaturesReply(GroupFeatures),
    /// Asks for a meter's counters.
    MeterStatsRequest(u32),
    /// Meters' counters.
    MeterStatsReply(Vec<MeterStats>),
    /// Asks for a meter's configuration.
    MeterConfigRequest(u32),
    /// Meters.
    MeterConfigReply(Vec<MeterConfig>),
    /// Asks for [`Message::MeterFeaturesReply`].
    MeterFeaturesRequest,
    /// What meters can be.
    MeterFeaturesReply(MeterFeatures),
    /// Asks to be told of changes to rules.
    FlowMonitorRequest(Vec<FlowMonitorRequest>),
    /// Changes to rules.
    FlowMonitorReply(Vec<FlowUpdate>),
    /// Ends a flow monitor.
    FlowMonitorCancel(u32),
    /// Updates are held back: the controller is slow.
    FlowMonitorPaused,
    /// Updates go on.
    FlowMonitorResumed,
    /// Asks for the bridge's IPFIX counters.
    IpfixBridgeRequest,
    /// The bridge's IPFIX counters.
    IpfixBridgeReply(IpfixStats),
    /// Asks for flow-based IPFIX counters.
    IpfixFlowRequest,
    /// Flow-based IPFIX counters.
    IpfixFlowReply(Vec<IpfixStats>),

    /// NXT_SET_FLOW_FORMAT.
    SetFlowFormat(nx::FlowFormat),
    /// NXT_FLOW_MOD_TABLE_ID.
    FlowModTableId(bool),
    /// NXT_SET_PACKET_IN_FORMAT.
    SetPacketInFormat(PacketInFormat),
    /// NXT_FLOW_AGE.
    FlowAge,
    /// NXT_SET_CONTROLLER_ID.
    SetControllerId(u16),
    /// NXT_TLV_TABLE_MOD.
    TlvTableMod(TlvTableMod),
    /// NXT_TLV_TABLE_REQUEST.
    TlvTableRequest,
    /// NXT_TLV_TABLE_REPLY.
    TlvTableReply(TlvTableReply),
    /// NXT_CT_FLUSH_ZONE.
    CtFlushZone(u16),
    /// NXT_CT_FLUSH.
    CtFlush(CtFlush),

    /// Messages that are on the wire's form already, each with its header (see [`FlowRows`]).
    Encoded(Vec<u8>),
}

/// Octets shared without copying: packets, opaque user data.
pub type Octets = Arc<[u8]>;
