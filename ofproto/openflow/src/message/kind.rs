//! Kinds of messages: their numbers and shapes in every version, and their names.
//!
//! What a kind's body must at least have, and in what units it may be longer, is checked here before any family looks
//! at the body. Source: the specifications' message types; Nicira's and ONF's subtypes.

use crate::wire::alternate_hex;
use crate::{ErrorCode, NX_VENDOR_ID, ONF_VENDOR_ID, OfError, Version};

/// How a kind is numbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// OpenFlow's own message: number = type.
    Ofpt,
    /// Nicira's message: number = subtype.
    Nxt,
    /// ONF's message: number = subtype.
    Onft,
    /// Multipart request.
    Request,
    /// Multipart reply.
    Reply,
    /// Nicira's multipart request.
    NxRequest,
    /// Nicira's multipart reply.
    NxReply,
    /// ONF's multipart request.
    OnfRequest,
    /// ONF's multipart reply.
    OnfReply,
}

impl Class {
    /// Whether messages of the class have the multipart header.
    pub fn is_multipart(self) -> bool {
        !matches!(self, Class::Ofpt | Class::Nxt | Class::Onft)
    }

    /// Whether messages of the class are multipart replies.
    pub fn is_reply(self) -> bool {
        matches!(self, Class::Reply | Class::NxReply | Class::OnfReply)
    }

    /// The organisation whose numbers they have.
    pub fn vendor(self) -> u32 {
        match self {
            Class::Ofpt | Class::Request | Class::Reply => 0,
            Class::Nxt | Class::NxRequest | Class::NxReply => NX_VENDOR_ID,
            Class::Onft | Class::OnfRequest | Class::OnfReply => ONF_VENDOR_ID,
        }
    }
}

/// How long bodies may be beyond the least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Class.
    pub class: Class,
    /// Number in the class.
    pub number: u16,
    /// Octets at least after all headers.
    pub min: u16,
    /// Octets beyond come in multiples of this; 0: none may follow.
    pub unit: u8,
    /// First and last version, as on the wire.
    versions: (u8, u8),
    /// What it is.
    pub kind: Kind,
    /// Name as printed.
    pub name: &'static str,
}

impl Shape {
    /// Whether a body may have this length.
    fn fits(&self, len: usize) -> bool {
        match (len.checked_sub(self.min.into()), self.unit) {
            (None, _) => false,
            (Some(more), 0) => more == 0,
            (Some(more), unit) => more % usize::from(unit) == 0,
        }
    }

    /// Whether a switch has an answer to messages of the kind, be it a refusal of what they say.
    pub fn is_for_switch(&self) -> bool {
        let from_switch = matches!(
            self.kind,
            Kind::PacketIn
                | Kind::PacketIn2
                | Kind::FlowRemoved
                | Kind::PortStatus
                | Kind::TableStatus
                | Kind::RoleStatus
                | Kind::RequestForward
                | Kind::FlowMonitorPaused
                | Kind::FlowMonitorResumed
        );
        let answers = matches!(
            self.kind,
            Kind::FeaturesReply
                | Kind::GetConfigReply
                | Kind::BarrierReply
                | Kind::QueueConfigReply
                | Kind::RoleReply
                | Kind::GetAsyncReply
                | Kind::TlvTableReply
        );
        let of_no_use = matches!(self.kind, Kind::Hello | Kind::Error);
        !(self.class.is_reply() || from_switch || answers || of_no_use)
    }
}

macro_rules! kinds {
    ($($kind:ident { $($class:ident $number:literal $from:literal..$to:literal $min:literal + $unit:literal $name:literal;)+ })*) => {
        /// What a message is, whatever its version and numbers.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Kind { $(#[doc = concat!("Message `", stringify!($kind), "`.")] $kind,)* }

        static SHAPES: &[Shape] = &[$($(Shape {
            class: Class::$class,
            number: $number,
            min: $min,
            unit: $unit,
            versions: ($from, $to),
            kind: Kind::$kind,
            name: $name,
        },)+)*];
    };
}

kinds! {
    FlowMod {
        Ofpt 14 1..1 64 + 8 "OFPT_FLOW_MOD";
        Ofpt 14 2..6 40 + 8 "OFPT_FLOW_MOD";
        Nxt 13 1..6 32 + 8 "NXT_FLOW_MOD";
    }
    PacketIn {
        Ofpt 10 1..1 10 + 1 "OFPT_PACKET_IN";
        Ofpt 10 2..2 16 + 1 "OFPT_PACKET_IN";
        Ofpt 10 3..3 8 + 1 "OFPT_PACKET_IN";
        Ofpt 10 4..6 16 + 1 "OFPT_PACKET_IN";
        Nxt 17 1..6 24 + 1 "NXT_PACKET_IN";
    }
    PacketIn2 { Nxt 30 1..6 0 + 8 "NXT_PACKET_IN2"; }
    Hello { Ofpt 0 1..255 0 + 1 "OFPT_HELLO"; }
    Error { Ofpt 1 1..255 4 + 1 "OFPT_ERROR"; }
    EchoRequest { Ofpt 2 1..255 0 + 1 "OFPT_ECHO_REQUEST"; }
    EchoReply { Ofpt 3 1..255 0 + 1 "OFPT_ECHO_REPLY"; }
    FeaturesRequest { Ofpt 5 1..6 0 + 0 "OFPT_FEATURES_REQUEST"; }
    FeaturesReply {
        Ofpt 6 1..1 24 + 48 "OFPT_FEATURES_REPLY";
        Ofpt 6 2..3 24 + 64 "OFPT_FEATURES_REPLY";
        Ofpt 6 4..6 24 + 0 "OFPT_FEATURES_REPLY";
    }
    GetConfigRequest { Ofpt 7 1..6 0 + 0 "OFPT_GET_CONFIG_REQUEST"; }
    GetConfigReply { Ofpt 8 1..6 4 + 0 "OFPT_GET_CONFIG_REPLY"; }
    SetConfig { Ofpt 9 1..6 4 + 0 "OFPT_SET_CONFIG"; }
    FlowRemoved {
        Ofpt 11 1..1 80 + 0 "OFPT_FLOW_REMOVED";
        Ofpt 11 2..5 40 + 8 "OFPT_FLOW_REMOVED";
        Ofpt 11 6..6 16 + 8 "OFPT_FLOW_REMOVED";
        Nxt 14 1..6 40 + 8 "NXT_FLOW_REMOVED";
    }
    PortStatus {
        Ofpt 12 1..1 56 + 0 "OFPT_PORT_STATUS";
        Ofpt 12 2..4 72 + 0 "OFPT_PORT_STATUS";
        Ofpt 12 5..6 48 + 8 "OFPT_PORT_STATUS";
    }
    PacketOut {
        Ofpt 13 1..1 8 + 1 "OFPT_PACKET_OUT";
        Ofpt 13 2..5 16 + 1 "OFPT_PACKET_OUT";
        Ofpt 13 6..6 8 + 1 "OFPT_PACKET_OUT";
    }
    GroupMod {
        Ofpt 15 2..5 8 + 8 "OFPT_GROUP_MOD";
        Ofpt 15 6..6 16 + 8 "OFPT_GROUP_MOD";
        Nxt 31 1..1 16 + 8 "NXT_GROUP_MOD";
    }
    PortMod {
        Ofpt 15 1..1 24 + 0 "OFPT_PORT_MOD";
        Ofpt 16 2..4 32 + 0 "OFPT_PORT_MOD";
        Ofpt 16 5..6 24 + 8 "OFPT_PORT_MOD";
    }
    TableMod {
        Ofpt 17 2..4 8 + 0 "OFPT_TABLE_MOD";
        Ofpt 17 5..6 8 + 8 "OFPT_TABLE_MOD";
    }
    BarrierRequest {
        Ofpt 18 1..1 0 + 0 "OFPT_BARRIER_REQUEST";
        Ofpt 20 2..6 0 + 0 "OFPT_BARRIER_REQUEST";
    }
    BarrierReply {
        Ofpt 19 1..1 0 + 0 "OFPT_BARRIER_REPLY";
        Ofpt 21 2..6 0 + 0 "OFPT_BARRIER_REPLY";
    }
    QueueConfigRequest {
        Ofpt 20 1..1 4 + 0 "OFPT_QUEUE_GET_CONFIG_REQUEST";
        Ofpt 22 2..4 8 + 0 "OFPT_QUEUE_GET_CONFIG_REQUEST";
        Request 15 5..6 8 + 0 "OFPST_QUEUE_DESC request";
    }
    QueueConfigReply {
        Ofpt 21 1..1 8 + 8 "OFPT_QUEUE_GET_CONFIG_REPLY";
        Ofpt 23 2..4 8 + 8 "OFPT_QUEUE_GET_CONFIG_REPLY";
        Reply 15 5..6 0 + 8 "OFPST_QUEUE_DESC reply";
    }
    RoleRequest {
        Ofpt 24 3..6 16 + 0 "OFPT_ROLE_REQUEST";
        Nxt 10 1..6 4 + 0 "NXT_ROLE_REQUEST";
    }
    RoleReply {
        Ofpt 25 3..6 16 + 0 "OFPT_ROLE_REPLY";
        Nxt 11 1..6 4 + 0 "NXT_ROLE_REPLY";
    }
    GetAsyncRequest { Ofpt 26 4..6 0 + 0 "OFPT_GET_ASYNC_REQUEST"; }
    GetAsyncReply {
        Ofpt 27 4..4 24 + 0 "OFPT_GET_ASYNC_REPLY";
        Ofpt 27 5..6 0 + 8 "OFPT_GET_ASYNC_REPLY";
    }
    SetAsync {
        Ofpt 28 4..4 24 + 0 "OFPT_SET_ASYNC";
        Ofpt 28 5..6 0 + 8 "OFPT_SET_ASYNC";
        Nxt 19 1..6 24 + 0 "NXT_SET_ASYNC_CONFIG";
    }
    SetAsync2 { Nxt 27 1..4 0 + 8 "NXT_SET_ASYNC_CONFIG2"; }
    MeterMod { Ofpt 29 4..6 8 + 8 "OFPT_METER_MOD"; }
    RoleStatus {
        Ofpt 30 5..6 16 + 8 "OFPT_ROLE_STATUS";
        Onft 1911 4..4 16 + 8 "ONFT_ROLE_STATUS";
    }
    TableStatus { Ofpt 31 5..6 8 + 8 "OFPT_TABLE_STATUS"; }
    RequestForward {
        Ofpt 32 5..6 8 + 8 "OFPT_REQUESTFORWARD";
        Onft 2350 4..4 8 + 8 "ONFT_REQUESTFORWARD";
        Nxt 132 1..3 8 + 8 "NXT_REQUESTFORWARD";
    }
    BundleCtrl {
        Ofpt 33 5..6 8 + 8 "OFPT_BUNDLE_CONTROL";
        Onft 2300 4..4 8 + 8 "ONFT_BUNDLE_CONTROL";
    }
    BundleAdd {
        Ofpt 34 5..6 8 + 1 "OFPT_BUNDLE_ADD_MESSAGE";
        Onft 2301 4..4 8 + 1 "ONFT_BUNDLE_ADD_MESSAGE";
    }

    DescRequest { Request 0 1..6 0 + 0 "OFPST_DESC request"; }
    DescReply { Reply 0 1..6 1056 + 0 "OFPST_DESC reply"; }
    FlowStatsRequest {
        Request 1 1..1 44 + 0 "OFPST_FLOW request";
        Request 1 2..6 32 + 8 "OFPST_FLOW request";
        NxRequest 0 1..1 8 + 8 "NXST_FLOW request";
    }
    FlowStatsReply {
        Reply 1 1..6 0 + 1 "OFPST_FLOW reply";
        NxReply 0 1..1 0 + 1 "NXST_FLOW reply";
    }
    AggregateRequest {
        Request 2 1..1 44 + 0 "OFPST_AGGREGATE request";
        Request 2 2..6 32 + 8 "OFPST_AGGREGATE request";
        NxRequest 1 1..1 8 + 8 "NXST_AGGREGATE request";
    }
    AggregateReply {
        Reply 2 1..5 24 + 0 "OFPST_AGGREGATE reply";
        Reply 2 6..6 0 + 1 "OFPST_AGGREGATE reply";
        NxReply 1 1..1 24 + 0 "NXST_AGGREGATE reply";
    }
    TableStatsRequest { Request 3 1..6 0 + 0 "OFPST_TABLE request"; }
    TableStatsReply {
        Reply 3 1..1 0 + 64 "OFPST_TABLE reply";
        Reply 3 2..2 0 + 88 "OFPST_TABLE reply";
        Reply 3 3..3 0 + 128 "OFPST_TABLE reply";
        Reply 3 4..6 0 + 24 "OFPST_TABLE reply";
    }
    PortStatsRequest { Request 4 1..6 8 + 0 "OFPST_PORT request"; }
    PortStatsReply {
        Reply 4 1..3 0 + 104 "OFPST_PORT reply";
        Reply 4 4..4 0 + 112 "OFPST_PORT reply";
        Reply 4 5..6 0 + 8 "OFPST_PORT reply";
    }
    QueueStatsRequest { Request 5 1..6 8 + 0 "OFPST_QUEUE request"; }
    QueueStatsReply {
        Reply 5 1..3 0 + 32 "OFPST_QUEUE reply";
        Reply 5 4..4 0 + 40 "OFPST_QUEUE reply";
        Reply 5 5..6 0 + 8 "OFPST_QUEUE reply";
    }
    GroupStatsRequest {
        Request 6 2..6 8 + 0 "OFPST_GROUP request";
        NxRequest 7 1..1 8 + 0 "NXST_GROUP request";
    }
    GroupStatsReply {
        Reply 6 2..6 0 + 8 "OFPST_GROUP reply";
        NxReply 7 1..1 0 + 8 "NXST_GROUP reply";
    }
    GroupDescRequest {
        Request 7 2..5 0 + 0 "OFPST_GROUP_DESC request";
        Request 7 6..6 8 + 0 "OFPST_GROUP_DESC request";
        NxRequest 8 1..1 8 + 0 "NXST_GROUP_DESC request";
    }
    GroupDescReply {
        Reply 7 2..6 0 + 8 "OFPST_GROUP_DESC reply";
        NxReply 8 1..1 0 + 8 "NXST_GROUP_DESC reply";
    }
    GroupFeaturesRequest {
        Request 8 3..6 0 + 0 "OFPST_GROUP_FEATURES request";
        NxRequest 9 1..2 0 + 0 "NXST_GROUP_FEATURES request";
    }
    GroupFeaturesReply {
        Reply 8 3..6 40 + 0 "OFPST_GROUP_FEATURES reply";
        NxReply 9 1..2 40 + 0 "NXST_GROUP_FEATURES reply";
    }
    MeterStatsRequest { Request 9 4..6 8 + 0 "OFPST_METER request"; }
    MeterStatsReply { Reply 9 4..6 0 + 8 "OFPST_METER reply"; }
    MeterConfigRequest { Request 10 4..6 8 + 0 "OFPST_METER_CONFIG request"; }
    MeterConfigReply { Reply 10 4..6 0 + 8 "OFPST_METER_CONFIG reply"; }
    MeterFeaturesRequest { Request 11 4..6 0 + 0 "OFPST_METER_FEATURES request"; }
    MeterFeaturesReply { Reply 11 4..6 16 + 0 "OFPST_METER_FEATURES reply"; }
    TableFeaturesRequest { Request 12 4..6 0 + 8 "OFPST_TABLE_FEATURES request"; }
    TableFeaturesReply { Reply 12 4..6 64 + 8 "OFPST_TABLE_FEATURES reply"; }
    PortDescRequest {
        Request 13 1..5 0 + 0 "OFPST_PORT_DESC request";
        Request 13 6..6 8 + 0 "OFPST_PORT_DESC request";
    }
    PortDescReply {
        Reply 13 1..1 0 + 48 "OFPST_PORT_DESC reply";
        Reply 13 2..4 0 + 64 "OFPST_PORT_DESC reply";
        Reply 13 5..6 0 + 8 "OFPST_PORT_DESC reply";
    }
    TableDescRequest { Request 14 5..6 0 + 0 "OFPST_TABLE_DESC request"; }
    TableDescReply { Reply 14 5..6 8 + 8 "OFPST_TABLE_DESC reply"; }
    FlowMonitorRequest {
        Request 16 5..6 0 + 8 "OFPST_FLOW_MONITOR request";
        OnfRequest 1870 4..4 0 + 8 "ONFST_FLOW_MONITOR request";
        NxRequest 2 1..3 0 + 8 "NXST_FLOW_MONITOR request";
    }
    FlowMonitorReply {
        Reply 16 5..6 0 + 8 "OFPST_FLOW_MONITOR reply";
        OnfReply 1870 4..4 0 + 8 "ONFST_FLOW_MONITOR reply";
        NxReply 2 1..3 0 + 8 "NXST_FLOW_MONITOR reply";
    }
    FlowMonitorCancel {
        Nxt 21 1..3 4 + 0 "NXT_FLOW_MONITOR_CANCEL";
        Onft 1870 4..4 4 + 0 "ONFT_FLOW_MONITOR_CANCEL";
    }
    FlowMonitorPaused {
        Nxt 22 1..3 0 + 0 "NXT_FLOW_MONITOR_PAUSED";
        Onft 1871 4..4 0 + 0 "ONFT_FLOW_MONITOR_PAUSED";
    }
    FlowMonitorResumed {
        Nxt 23 1..3 0 + 0 "NXT_FLOW_MONITOR_RESUMED";
        Onft 1872 4..4 0 + 0 "ONFT_FLOW_MONITOR_RESUMED";
    }
    IpfixBridgeRequest { NxRequest 3 1..6 0 + 0 "NXST_IPFIX_BRIDGE request"; }
    IpfixBridgeReply { NxReply 3 1..6 88 + 0 "NXST_IPFIX_BRIDGE reply"; }
    IpfixFlowRequest { NxRequest 4 1..6 0 + 0 "NXST_IPFIX_FLOW request"; }
    IpfixFlowReply { NxReply 4 1..6 0 + 88 "NXST_IPFIX_FLOW reply"; }

    SetFlowFormat { Nxt 12 1..1 4 + 0 "NXT_SET_FLOW_FORMAT"; }
    FlowModTableId { Nxt 15 1..6 8 + 0 "NXT_FLOW_MOD_TABLE_ID"; }
    SetPacketInFormat { Nxt 16 1..6 4 + 0 "NXT_SET_PACKET_IN_FORMAT"; }
    FlowAge { Nxt 18 1..6 0 + 0 "NXT_FLOW_AGE"; }
    SetControllerId { Nxt 20 1..6 8 + 0 "NXT_SET_CONTROLLER_ID"; }
    TlvTableMod { Nxt 24 1..6 8 + 8 "NXT_TLV_TABLE_MOD"; }
    TlvTableRequest { Nxt 25 1..6 0 + 0 "NXT_TLV_TABLE_REQUEST"; }
    TlvTableReply { Nxt 26 1..6 16 + 8 "NXT_TLV_TABLE_REPLY"; }
    Resume { Nxt 28 1..6 0 + 8 "NXT_RESUME"; }
    CtFlushZone { Nxt 29 1..6 8 + 0 "NXT_CT_FLUSH_ZONE"; }
    CtFlush { Nxt 32 1..6 8 + 8 "NXT_CT_FLUSH"; }
}

/// Octets of the header that every message has.
pub const HEADER_LEN: usize = 8;

/// A message whose header is understood.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// Version on the wire, possibly unknown (hello, errors and echoes only).
    pub version: u8,
    /// Transaction.
    pub xid: u32,
    /// Its shape.
    pub shape: &'static Shape,
    /// Multipart flags; 0 otherwise.
    pub flags: u16,
    /// What follows all headers.
    pub body: &'a [u8],
}

fn u16_at(octets: &[u8], at: usize) -> Result<u16, OfError> {
    let two = octets.get(at..at + 2).ok_or(ErrorCode::OFPBRC_BAD_LEN)?;
    Ok(u16::from_be_bytes([two[0], two[1]]))
}

fn u32_at(octets: &[u8], at: usize) -> Result<u32, OfError> {
    Ok((u32::from(u16_at(octets, at)?) << 16) | u32::from(u16_at(octets, at + 2)?))
}

/// Name of the log's module for what is said here.
const LOG: &str = "ofp_msgs";

/// A number of the vendor's as one of ours, and what the log says of one that cannot be.
fn subtype(octets: &[u8], stat: &str, vendor: u32, at: usize) -> Result<u16, OfError> {
    let number = u32_at(octets, at)?;
    u16::try_from(number)
        .map_err(|_| unknown(ErrorCode::OFPBRC_BAD_SUBTYPE, octets, &format!("{stat}{}", vendor_part(vendor, number))))
}

fn vendor_part(vendor: u32, number: u32) -> String {
    format!(", vendor {}, subtype {number}", alternate_hex(vendor))
}

fn unknown(code: ErrorCode, octets: &[u8], more: &str) -> OfError {
    let (version, kind) = (octets[0], octets[1]);
    code.because_of(LOG, "message", format!("unknown OpenFlow message (version {version}, type {kind}{more})"))
}

fn unknown_vendor(vendor: u32) -> OfError {
    let text = format!("OpenFlow message has unknown vendor {}", alternate_hex(vendor));
    ErrorCode::OFPBRC_BAD_VENDOR.because_of(LOG, "vendor", text)
}

/// Class, number and length of all headers of a message.
fn numbers(octets: &[u8]) -> Result<(Class, u16, usize), OfError> {
    let (version, kind) = (octets[0], octets[1]);
    let (request, reply) = if version == 1 { (16, 17) } else { (18, 19) };
    if kind == 4 {
        let vendor = u32_at(octets, 8)?;
        let class = match vendor {
            NX_VENDOR_ID => Class::Nxt,
            ONF_VENDOR_ID => Class::Onft,
            _ if octets.len() < 16 => return Err(ErrorCode::OFPBRC_BAD_LEN.into()),
            _ => return Err(unknown_vendor(vendor)),
        };
        return Ok((class, subtype(octets, "", vendor, 12)?, 16));
    }
    if kind != request && kind != reply {
        return Ok((Class::Ofpt, u16::from(kind), HEADER_LEN));
    }
    let standard = if kind == request { Class::Request } else { Class::Reply };
    let base = if version == 1 { 12 } else { 16 };
    let number = u16_at(octets, 8)?;
    if octets.len() < base {
        return Err(ErrorCode::OFPBRC_BAD_LEN.into());
    }
    // Versions to come are taken for like these, though nothing is known of their multipart messages.
    let known = Version::from_wire(version).is_some();
    if number != 0xffff {
        return Ok(if known { (standard, number, base) } else { (Class::Ofpt, u16::from(kind), HEADER_LEN) });
    }
    let vendor = u32_at(octets, base)?;
    if version != 1 && octets.len() < base + 8 {
        return Err(ErrorCode::OFPBRC_BAD_LEN.into());
    }
    let class = match (vendor, standard) {
        (NX_VENDOR_ID, Class::Request) => Class::NxRequest,
        (NX_VENDOR_ID, _) => Class::NxReply,
        (ONF_VENDOR_ID, Class::Request) if version > 1 => Class::OnfRequest,
        (ONF_VENDOR_ID, _) if version > 1 => Class::OnfReply,
        _ => return Err(unknown_vendor(vendor)),
    };
    if octets.len() < 24 {
        return Err(ErrorCode::OFPBRC_BAD_LEN.into());
    }
    Ok((class, subtype(octets, vendor_stat(octets), vendor, base + 4)?, 24))
}

/// What the log says of a vendor's multipart message besides the vendor.
fn vendor_stat(octets: &[u8]) -> &'static str {
    if Version::from_wire(octets[0]).is_some() { ", stat 65535" } else { "" }
}

/// What is wrong with numbers that no message has.
fn not_found(octets: &[u8], class: Class, number: u16) -> OfError {
    let vendor = vendor_part(class.vendor(), number.into());
    let (code, more) = match class {
        Class::Ofpt => (ErrorCode::OFPBRC_BAD_TYPE, String::new()),
        Class::Request | Class::Reply => (ErrorCode::OFPBRC_BAD_STAT, format!(", stat {number}")),
        Class::Nxt | Class::Onft => (ErrorCode::OFPBRC_BAD_SUBTYPE, vendor),
        _ => (ErrorCode::OFPBRC_BAD_SUBTYPE, format!("{}{vendor}", vendor_stat(octets))),
    };
    unknown(code, octets, &more)
}

/// What is wrong with a message's length.
fn bad_length(shape: &Shape, len: usize, least: usize) -> OfError {
    let wanted = match shape.unit {
        0 => format!("expected length {least}"),
        1 => format!("expected length at least {least} bytes"),
        unit => format!("must be exactly {least} bytes or longer by an integer multiple of {unit} bytes"),
    };
    ErrorCode::OFPBRC_BAD_LEN.because(LOG, format!("received {} with incorrect length {len} ({wanted})", shape.name))
}

/// Reads all headers of one whole message and checks the length of its body.
///
/// # Errors
/// As Open vSwitch: `OFPBRC_BAD_LEN`, `BAD_TYPE`, `BAD_STAT`, `BAD_VENDOR`, `BAD_SUBTYPE`.
pub fn head(octets: &[u8]) -> Result<Head<'_>, OfError> {
    if octets.len() < HEADER_LEN {
        return Err(ErrorCode::OFPBRC_BAD_LEN.into());
    }
    let len = usize::from(u16_at(octets, 2)?);
    if len < HEADER_LEN || octets.len() < len {
        return Err(ErrorCode::OFPBRC_BAD_LEN.into());
    }
    let octets = &octets[..len];
    let (class, number, header_len) = numbers(octets)?;
    let version = octets[0];
    let shape = find(class, number, version).ok_or_else(|| not_found(octets, class, number))?;
    let body = octets.get(header_len..).ok_or(ErrorCode::OFPBRC_BAD_LEN)?;
    if !shape.fits(body.len()) {
        return Err(bad_length(shape, len, header_len + usize::from(shape.min)));
    }
    let flags = if class.is_multipart() { u16_at(octets, 10)? } else { 0 };
    Ok(Head { version, xid: u32_at(octets, 4)?, shape, flags, body })
}

/// What can be told of a multipart request without a look at its body.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// Name of its kind.
    pub name: &'static str,
    /// Another part follows.
    pub more: bool,
    /// It has no body.
    pub is_empty: bool,
    /// Its body has a length that a whole request's may have.
    pub fits: bool,
}

/// Reads all headers of a message that may be a part of a multipart request.
///
/// # Errors
/// `OFPBRC_BAD_TYPE`: it is none; else as [`head`].
pub fn request_part(octets: &[u8]) -> Result<Part, OfError> {
    if octets.len() < HEADER_LEN {
        return Err(ErrorCode::OFPBRC_BAD_LEN.into());
    }
    let (class, number, header_len) = numbers(octets)?;
    if !class.is_multipart() || class.is_reply() {
        return Err(ErrorCode::OFPBRC_BAD_TYPE.into());
    }
    let shape = find(class, number, octets[0]).ok_or_else(|| not_found(octets, class, number))?;
    let len = octets.len().checked_sub(header_len).ok_or(ErrorCode::OFPBRC_BAD_LEN)?;
    let more = u16_at(octets, 10)? & MORE != 0;
    Ok(Part { name: shape.name, more, is_empty: len == 0, fits: shape.fits(len) })
}

/// Name and transaction of a message whose headers are there, whatever there is of its body.
///
/// # Errors
/// As [`head`].
pub fn partial(octets: &[u8]) -> Result<(&'static str, u32), OfError> {
    if octets.len() < HEADER_LEN {
        return Err(ErrorCode::OFPBRC_BAD_LEN.into());
    }
    let (class, number, _) = numbers(octets)?;
    let shape = find(class, number, octets[0]).ok_or_else(|| not_found(octets, class, number))?;
    Ok((shape.name, u32_at(octets, 4)?))
}

/// The shape with these numbers.
pub fn find(class: Class, number: u16, version: u8) -> Option<&'static Shape> {
    SHAPES.iter().find(|s| s.number == number && s.class == class && s.versions.0 <= version && version <= s.versions.1)
}

/// The shape that a kind has in a version: OpenFlow's own if there is one, else the extension's; with `nicira` the
/// Nicira extension's if there is one.
pub fn shape_of(kind: Kind, version: Version, nicira: bool) -> Option<&'static Shape> {
    let wire = version.wire();
    let mut shapes = SHAPES.iter().filter(|s| s.kind == kind && s.versions.0 <= wire && wire <= s.versions.1);
    if nicira { shapes.find(|s| s.class.vendor() == NX_VENDOR_ID) } else { shapes.next() }
}

/// The flag of multipart messages that another part follows.
pub const MORE: u16 = 1;

/// Whether another part follows this message.
pub fn is_more(octets: &[u8]) -> bool {
    head(octets).is_ok_and(|h| h.flags & MORE != 0)
}

/// Appends all headers of a message; its length is filled in by [`finish`].
pub fn put_head(out: &mut Vec<u8>, shape: &Shape, version: Version, xid: u32) {
    use super::wire::Put;
    let v10 = version == Version::V10;
    let kind = match shape.class {
        Class::Ofpt => shape.number as u8,
        Class::Nxt | Class::Onft => 4,
        class => match (v10, class.is_reply()) {
            (true, false) => 16,
            (true, true) => 17,
            (false, false) => 18,
            (false, true) => 19,
        },
    };
    out.put8(version.wire());
    out.put8(kind);
    out.put16(0);
    out.put32(xid);
    let vendor = shape.class.vendor();
    if shape.class.is_multipart() {
        out.put16(if vendor == 0 { shape.number } else { 0xffff });
        out.put16(0);
        if !v10 {
            out.put32(0);
        }
    }
    if vendor != 0 {
        out.put32(vendor);
        out.put32(u32::from(shape.number));
        if shape.class.is_multipart() && v10 {
            out.put32(0);
        }
    }
}

/// Fills in the length of the message that starts at `start` and goes to the end.
pub fn finish(out: &mut [u8], start: usize) {
    let len = u16::try_from(out.len() - start).unwrap_or(u16::MAX);
    out[start + 2..start + 4].copy_from_slice(&len.to_be_bytes());
}
