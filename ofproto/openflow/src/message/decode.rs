//! From octets to [`Message`].

use std::sync::Arc;

use ::flow::field::TunTable;

use super::kind::{Head, Kind};
use super::wire::Reader;
use super::*;
use crate::Notes;
use crate::action::{Check, Decoding};
use crate::message::nx::FlowFormat;

/// What a reader knows of the connection and the bridge.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// OpenFlow 1.0 flow-mods name a table in their command (NXT_FLOW_MOD_TABLE_ID is on).
    pub table_id: bool,
    /// The bridge's tunnel options; `None` reads them without knowledge of any.
    pub tun: Option<&'a Arc<TunTable>>,
    /// Limits that flow-mods' actions are checked against; its table is taken from the flow-mod.
    pub check: Check<'a>,
    /// Allow the debugging actions.
    pub debug: bool,
    /// Take the good items of a list in front of a bad one, for printing.
    pub lenient: bool,
    /// Pass over properties of unknown types where a switch must refuse them, for printing.
    pub loose: bool,
    /// A switch reads: it refuses messages that only it sends without a look at what they say.
    pub by_switch: bool,
    /// Takes what the log is to say of good messages.
    pub notes: Option<&'a Notes>,
}

impl<'a> Context<'a> {
    /// How actions of a message of `version` are read.
    pub(super) fn decoding(&self, version: Version) -> Decoding<'a> {
        Decoding { version, tun: self.tun.map(AsRef::as_ref), debug: self.debug, notes: self.notes }
    }
}

impl Context<'_> {
    /// Nothing known: as `ovs-ofctl` reads messages to print them.
    pub const UNKNOWN: Context<'static> = Context {
        table_id: true,
        tun: None,
        check: Check::UNKNOWN,
        debug: false,
        lenient: false,
        loose: false,
        by_switch: false,
        notes: None,
    };
}

/// Reads one whole message, as far as its own length goes, with nothing known of the connection.
///
/// # Errors
/// The error to answer with.
pub fn decode(octets: &[u8]) -> Result<Msg, OfError> {
    decode_with(octets, &Context::UNKNOWN)
}

/// Reads one whole message.
///
/// # Errors
/// The error to answer with.
pub fn decode_with(octets: &[u8], context: &Context<'_>) -> Result<Msg, OfError> {
    decode_nested(octets, context, true)
}

/// `outer`: the message may hold another one.
pub(crate) fn decode_nested(octets: &[u8], context: &Context<'_>, outer: bool) -> Result<Msg, OfError> {
    let head = kind::head(octets)?;
    if context.by_switch && outer && !head.shape.is_for_switch() {
        return Err(ErrorCode::OFPBRC_BAD_TYPE.into());
    }
    let known = Version::from_wire(head.version);
    let version = match (known, head.shape.kind) {
        (Some(version), _) => version,
        // A hello of a version to come may still allow one that is known.
        (None, Kind::Hello | Kind::Error | Kind::EchoRequest | Kind::EchoReply) => Version::V15,
        (None, _) => return Err(ErrorCode::OFPBRC_BAD_VERSION.into()),
    };
    let body = match body(&head, version, context)? {
        Some(body) => body,
        None if outer => holder(&head, version, context)?,
        None => return Err(ErrorCode::OFPBRC_BAD_TYPE.into()),
    };
    Ok(Msg { version, xid: head.xid, body })
}

/// Messages that hold others.
fn holder(head: &Head<'_>, version: Version, context: &Context<'_>) -> Result<Message, OfError> {
    if head.shape.kind == Kind::BundleAdd {
        let (id, flags, inner) = bundle::decode_add(head)?;
        let message = Box::new(decode_nested(inner, context, false)?);
        // A switch quotes the message around it.
        let raw = if context.by_switch { Vec::new() } else { inner.to_vec() };
        return Ok(Message::BundleAdd(BundleAdd { id, flags, message, raw }));
    }
    let fits = |len| kind::HEADER_LEN <= len && len <= head.body.len();
    if !head.body.get(2..4).is_some_and(|len| fits(usize::from(crate::wire::be16(len, 0)))) {
        return Err(ErrorCode::OFPBFC_MSG_BAD_LEN.into());
    }
    if head.body[0] != version.wire() {
        return Err(ErrorCode::OFPBRC_BAD_VERSION.into());
    }
    let inner = kind::head(head.body)?;
    if !matches!(inner.shape.kind, Kind::GroupMod | Kind::MeterMod) {
        return Err(ErrorCode::OFPBFC_MSG_UNSUP.into());
    }
    Ok(Message::RequestForward(Box::new(decode_nested(head.body, context, false)?)))
}

/// Reads a list until the body's end.
pub(super) fn list<'a, T>(
    context: &Context<'_>,
    body: &'a [u8],
    mut one: impl FnMut(&mut Reader<'a>) -> Result<T, OfError>,
) -> Result<Vec<T>, OfError> {
    each(context, body, |body, items| one(body).map(|item| items.push(item)))
}

/// As [`list`]; `one` appends what it reads, and nothing if it fails.
pub(super) fn each<'a, T>(
    context: &Context<'_>,
    body: &'a [u8],
    mut one: impl FnMut(&mut Reader<'a>, &mut Vec<T>) -> Result<(), OfError>,
) -> Result<Vec<T>, OfError> {
    let mut body = Reader::new(body);
    let mut items = Vec::new();
    while !body.is_empty() {
        let before = body.len();
        match one(&mut body, &mut items) {
            Ok(()) => {}
            Err(_) if context.lenient => break,
            Err(code) => return Err(code),
        }
        if body.len() == before {
            return Err(ErrorCode::OFPBRC_BAD_LEN.into());
        }
    }
    Ok(items)
}

/// All messages but those that hold others, for which it gives nothing.
fn body(head: &Head<'_>, version: Version, context: &Context<'_>) -> Result<Option<Message>, OfError> {
    let octets = head.body;
    Ok(Some(match head.shape.kind {
        Kind::BundleAdd | Kind::RequestForward => return Ok(None),
        Kind::Hello => Message::Hello(hello::decode(head, context.notes)),
        Kind::Error => Message::Error(error::decode(head)?),
        Kind::EchoRequest => Message::EchoRequest(octets.to_vec()),
        Kind::EchoReply => Message::EchoReply(octets.to_vec()),
        Kind::FeaturesRequest => Message::FeaturesRequest,
        Kind::FeaturesReply => Message::FeaturesReply(features::decode(octets, version, context)?),
        Kind::GetConfigRequest => Message::GetConfigRequest,
        Kind::GetConfigReply => Message::GetConfigReply(config::decode(octets, version, false)?),
        Kind::SetConfig => Message::SetConfig(config::decode(octets, version, true)?),
        Kind::PacketIn | Kind::PacketIn2 => Message::PacketIn(Box::new(packet_in::decode(head, version, context)?)),
        Kind::Resume => Message::Resume(Box::new(packet_in::decode(head, version, context)?)),
        Kind::FlowRemoved => Message::FlowRemoved(Box::new(flow_removed::decode(head, version, context)?)),
        Kind::PortStatus => Message::PortStatus(port::decode_status(octets, version)?),
        Kind::RoleStatus => Message::RoleStatus(role::decode_status(octets)?),
        Kind::TableStatus => Message::TableStatus(table::decode_status(octets)?),
        Kind::PacketOut => Message::PacketOut(Box::new(packet_out::decode(octets, version, context)?)),
        Kind::FlowMod => {
            let (dialect, flow_mod) = flow::decode(head, version, context)?;
            Message::FlowMod { dialect, flow_mod }
        }
        Kind::GroupMod => Message::GroupMod(group::decode_mod(octets, version, context)?),
        Kind::PortMod => Message::PortMod(port::decode_mod(octets, version, context.loose)?),
        Kind::TableMod => Message::TableMod(table::decode_mod(octets, version, context.notes)?),
        Kind::MeterMod => Message::MeterMod(meter::decode_mod(octets)?),
        Kind::BarrierRequest => Message::BarrierRequest,
        Kind::BarrierReply => Message::BarrierReply,
        Kind::QueueConfigRequest => {
            let (port, queue) = queue::decode_config_request(octets, version)?;
            Message::QueueConfigRequest { port, queue }
        }
        Kind::QueueConfigReply => {
            let mut rest = Reader::new(octets);
            let port = queue::decode_config_port(&mut rest, version)?;
            let queues = list(context, rest.rest(), |b| queue::decode_config(b, port, version, context.notes))?;
            Message::QueueConfigReply { port, queues }
        }
        Kind::RoleRequest => Message::RoleRequest(role::decode(head)?),
        Kind::RoleReply => Message::RoleReply(role::decode(head)?),
        Kind::GetAsyncRequest => Message::GetAsyncRequest,
        Kind::GetAsyncReply => Message::GetAsyncReply(AsyncConfig::from(&async_config::decode(head, version)?)),
        Kind::SetAsync | Kind::SetAsync2 => Message::SetAsync(async_config::decode(head, version)?),
        Kind::BundleCtrl => Message::BundleCtrl(bundle::decode_ctrl(octets)?),
        Kind::SetFlowFormat => Message::SetFlowFormat(match Reader::new(octets).u32()? {
            0 => FlowFormat::OpenFlow10,
            2 => FlowFormat::Nxm,
            _ => return Err(ErrorCode::OFPBRC_EPERM.into()),
        }),
        Kind::FlowModTableId => Message::FlowModTableId(octets.first().is_some_and(|o| *o != 0)),
        Kind::SetPacketInFormat => {
            let number = Reader::new(octets).u32()?;
            Message::SetPacketInFormat(PacketInFormat::from_wire(number).ok_or_else(|| {
                let what = "NXT_SET_PACKET_IN_FORMAT message specified invalid packet-in format";
                ErrorCode::OFPBRC_EPERM.because("ofp_packet", format!("{what} {number}"))
            })?)
        }
        Kind::FlowAge => Message::FlowAge,
        Kind::SetControllerId => {
            let (zero, id) = octets.split_at(6);
            if !context.loose {
                wire::must_be_zero(zero, ErrorCode::NXBRC_MUST_BE_ZERO)?;
            }
            Message::SetControllerId(Reader::new(id).u16()?)
        }
        Kind::TlvTableMod => Message::TlvTableMod(tlv_map::decode_mod(octets)?),
        Kind::TlvTableRequest => Message::TlvTableRequest,
        Kind::TlvTableReply => Message::TlvTableReply(tlv_map::decode_reply(octets)?),
        Kind::CtFlushZone => {
            let (zero, zone) = octets.split_at(6);
            if !context.loose {
                wire::must_be_zero(zero, ErrorCode::NXBRC_MUST_BE_ZERO)?;
            }
            Message::CtFlushZone(Reader::new(zone).u16()?)
        }
        Kind::CtFlush => Message::CtFlush(ct_flush::decode(octets)?),
        Kind::FlowMonitorCancel => Message::FlowMonitorCancel(Reader::new(octets).u32()?),
        Kind::FlowMonitorPaused => Message::FlowMonitorPaused,
        Kind::FlowMonitorResumed => Message::FlowMonitorResumed,
        _ => multipart(head, version, context)?,
    }))
}

fn multipart(head: &Head<'_>, version: Version, context: &Context<'_>) -> Result<Message, OfError> {
    let octets = head.body;
    Ok(match head.shape.kind {
        Kind::DescRequest => Message::DescRequest,
        Kind::DescReply => Message::DescReply(config::decode_desc(octets)?),
        Kind::FlowStatsRequest | Kind::AggregateRequest => {
            let (dialect, request) = flow_stats::decode_request(head, version, context)?;
            Message::FlowStatsRequest { dialect, request: Box::new(request) }
        }
        Kind::FlowStatsReply => Message::FlowStatsReply {
            dialect: Dialect::of(head),
            flows: each(context, octets, |b, flows| flow_stats::decode_flow(b, flows, head, version, context))?,
        },
        Kind::AggregateReply => Message::AggregateReply {
            dialect: Dialect::of(head),
            stats: flow_stats::decode_aggregate(octets, version)?,
        },
        Kind::TableStatsRequest => Message::TableStatsRequest,
        Kind::TableStatsReply => Message::TableStatsReply(list(context, octets, |b| {
            table_features::decode_stats(b, version, context.notes)
        })?),
        Kind::TableFeaturesRequest => {
            let loose = context.loose;
            Message::TableFeaturesRequest(list(context, octets, |b| table_features::decode(b, version, loose))?)
        }
        Kind::TableFeaturesReply => {
            Message::TableFeaturesReply(list(context, octets, |b| table_features::decode(b, version, true))?)
        }
        Kind::TableDescRequest => Message::TableDescRequest,
        Kind::TableDescReply => Message::TableDescReply(list(context, octets, table::decode_desc)?),
        Kind::PortStatsRequest => {
            let mut rest = Reader::new(octets);
            let v10 = version == Version::V10;
            Message::PortStatsRequest(if v10 { rest.port10()? } else { rest.port11()? })
        }
        Kind::PortStatsReply => Message::PortStatsReply(list(context, octets, |b| port_stats::decode(b, version))?),
        Kind::PortDescRequest => Message::PortDescRequest(match version {
            Version::V15 => Reader::new(octets).port11()?,
            _ => OfPort::ANY,
        }),
        Kind::PortDescReply => Message::PortDescReply(list(context, octets, |b| port::decode_desc(b, version))?),
        Kind::QueueStatsRequest => {
            let (port, queue) = queue::decode_stats_request(octets, version)?;
            Message::QueueStatsRequest { port, queue }
        }
        Kind::QueueStatsReply => Message::QueueStatsReply(list(context, octets, |b| queue::decode_stats(b, version))?),
        Kind::GroupStatsRequest => Message::GroupStatsRequest(Reader::new(octets).u32()?),
        Kind::GroupStatsReply => {
            let name = head.shape.name;
            Message::GroupStatsReply(list(context, octets, |b| group::decode_stats(b, name, version))?)
        }
        Kind::GroupDescRequest => Message::GroupDescRequest(match octets {
            [] => group::GROUP_ALL,
            octets => Reader::new(octets).u32()?,
        }),
        Kind::GroupDescReply => {
            Message::GroupDescReply(list(context, octets, |b| group::decode_desc(b, version, context))?)
        }
        Kind::GroupFeaturesRequest => Message::GroupFeaturesRequest,
        Kind::GroupFeaturesReply => Message::GroupFeaturesReply(group::decode_features(octets, version)?),
        Kind::MeterStatsRequest => Message::MeterStatsRequest(Reader::new(octets).u32()?),
        Kind::MeterStatsReply => Message::MeterStatsReply(list(context, octets, meter::decode_stats)?),
        Kind::MeterConfigRequest => Message::MeterConfigRequest(Reader::new(octets).u32()?),
        Kind::MeterConfigReply => Message::MeterConfigReply(list(context, octets, meter::decode_config)?),
        Kind::MeterFeaturesRequest => Message::MeterFeaturesRequest,
        Kind::MeterFeaturesReply => Message::MeterFeaturesReply(meter::decode_features(octets)?),
        Kind::FlowMonitorRequest => {
            Message::FlowMonitorRequest(list(context, octets, |b| monitor::decode_request(b, head, context))?)
        }
        Kind::FlowMonitorReply => {
            Message::FlowMonitorReply(list(context, octets, |b| monitor::decode_update(b, version, context))?)
        }
        Kind::IpfixBridgeRequest => Message::IpfixBridgeRequest,
        Kind::IpfixBridgeReply => Message::IpfixBridgeReply(ipfix::decode(&mut Reader::new(octets))?),
        Kind::IpfixFlowRequest => Message::IpfixFlowRequest,
        Kind::IpfixFlowReply => Message::IpfixFlowReply(list(context, octets, ipfix::decode)?),
        _ => return Err(ErrorCode::OFPBRC_BAD_TYPE.into()),
    })
}

impl Dialect {
    fn of(head: &Head<'_>) -> Dialect {
        if head.shape.class.vendor() == 0 { Dialect::Standard } else { Dialect::Nicira }
    }
}
