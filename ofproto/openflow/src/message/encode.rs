//! From [`Message`] to octets.

use super::kind::{Kind, Shape};
use super::wire::Put;
use super::*;
use crate::flow_mod::TABLE_ALL;
use crate::message::async_config::AsyncForm;
use crate::message::nx::FlowFormat;

/// Writes a message. A multipart message too long for one becomes several, one behind the other.
///
/// # Errors
/// What the version cannot say.
pub fn encode(message: &Message, version: Version, xid: u32) -> Result<Vec<u8>, Unsupported> {
    let mut out = Vec::with_capacity(128);
    encode_into(&mut out, message, version, xid)?;
    Ok(out)
}

/// Appends what [`encode()`] gives; nothing on error.
///
/// # Errors
/// What the version cannot say.
pub fn encode_into(out: &mut Vec<u8>, message: &Message, version: Version, xid: u32) -> Result<(), Unsupported> {
    let start = out.len();
    let result =
        Encoder { out, start, part: start, version, xid, shape: None, flow_mod_table_id: None }.message(message);
    if result.is_err() {
        out.truncate(start);
    }
    result
}

/// Appends a flow-mod; `table_id` says whether OpenFlow 1.0's command names the table. [`encode_into`] lets it do so
/// if the flow-mod names one.
///
/// # Errors
/// What the version cannot say.
pub fn encode_flow_mod(
    out: &mut Vec<u8>,
    dialect: Dialect,
    flow_mod: &FlowMod,
    table_id: bool,
    version: Version,
    xid: u32,
) -> Result<(), Unsupported> {
    let start = out.len();
    let mut encoder = Encoder { out, start, part: start, version, xid, shape: None, flow_mod_table_id: Some(table_id) };
    let result = encoder.flow_mod(dialect, flow_mod);
    if result.is_err() {
        out.truncate(start);
    }
    result
}

struct Encoder<'a> {
    out: &'a mut Vec<u8>,
    /// Where the first message starts.
    start: usize,
    /// Where the present message starts.
    part: usize,
    version: Version,
    xid: u32,
    shape: Option<&'static Shape>,
    flow_mod_table_id: Option<bool>,
}

type Outcome = Result<(), Unsupported>;

impl Encoder<'_> {
    fn unsupported(&self, what: &str) -> Unsupported {
        Unsupported { what: what.to_string(), version: self.version }
    }

    /// Writes the headers.
    fn head(&mut self, kind: Kind, nicira: bool) -> Outcome {
        let shape = kind::shape_of(kind, self.version, nicira).ok_or_else(|| self.unsupported(&format!("{kind:?}")))?;
        kind::put_head(self.out, shape, self.version, self.xid);
        self.shape = Some(shape);
        Ok(())
    }

    /// Fills in the length.
    fn finish(&mut self) -> Outcome {
        if self.out.len() - self.part > usize::from(u16::MAX) {
            return Err(self.unsupported("message longer than 65535 octets"));
        }
        kind::finish(self.out, self.part);
        Ok(())
    }

    /// A message with a body of its own.
    fn plain(&mut self, kind: Kind, body: impl FnOnce(&mut Vec<u8>)) -> Outcome {
        self.head(kind, false)?;
        body(self.out);
        self.finish()
    }

    /// A message that, where there are two, is Nicira's or OpenFlow's.
    fn dialect(&mut self, kind: Kind, dialect: Dialect, body: impl FnOnce(&mut Vec<u8>)) -> Outcome {
        self.head(kind, dialect == Dialect::Nicira)?;
        body(self.out);
        self.finish()
    }

    /// A multipart message: items that are never cut, in as many messages as it takes.
    fn list<T>(&mut self, kind: Kind, nicira: bool, items: &[T], mut one: impl FnMut(&mut Vec<u8>, &T)) -> Outcome {
        self.head(kind, nicira)?;
        for item in items {
            let before = self.out.len();
            one(self.out, item);
            if self.out.len() - self.part > usize::from(u16::MAX) {
                self.next_part(before)?;
            }
        }
        self.finish()
    }

    /// Moves the item that starts at `item` into a new message.
    fn next_part(&mut self, item: usize) -> Outcome {
        let Some(shape) = self.shape else { return Ok(()) };
        let moved = self.out.split_off(item);
        self.finish()?;
        let flags = self.part + 10;
        self.out.patch16(flags, kind::MORE);
        self.part = self.out.len();
        kind::put_head(self.out, shape, self.version, self.xid);
        self.out.octets(&moved);
        Ok(())
    }

    fn flow_mod(&mut self, dialect: Dialect, flow_mod: &FlowMod) -> Outcome {
        self.head(Kind::FlowMod, dialect == Dialect::Nicira)?;
        let table_id = self.flow_mod_table_id.unwrap_or(flow_mod.table != TABLE_ALL);
        flow::encode(self.out, dialect, flow_mod, self.version, table_id);
        self.finish()
    }

    fn message(&mut self, message: &Message) -> Outcome {
        let version = self.version;
        match message {
            Message::Encoded(octets) => {
                self.out.octets(octets);
                Ok(())
            }
            Message::Hello(hello) => {
                hello::encode(self.out, hello.versions, self.xid);
                Ok(())
            }
            Message::Error(error) => self.plain(Kind::Error, |o| error::encode(o, error, version)),
            Message::EchoRequest(data) => self.plain(Kind::EchoRequest, |o| o.octets(data)),
            Message::EchoReply(data) => self.plain(Kind::EchoReply, |o| o.octets(data)),
            Message::FeaturesRequest => self.plain(Kind::FeaturesRequest, |_| ()),
            Message::FeaturesReply(features) => {
                let start = self.start;
                self.plain(Kind::FeaturesReply, |o| features::encode(o, start, features, version))
            }
            Message::GetConfigRequest => self.plain(Kind::GetConfigRequest, |_| ()),
            Message::GetConfigReply(config) => self.plain(Kind::GetConfigReply, |o| config::encode(o, config, version)),
            Message::SetConfig(config) => self.plain(Kind::SetConfig, |o| config::encode(o, config, version)),
            Message::PacketIn(packet_in) => self.packet_in(packet_in),
            Message::Resume(packet_in) => {
                let packet_in = PacketIn { format: PacketInFormat::Nxt2, ..(**packet_in).clone() };
                self.plain(Kind::Resume, |o| packet_in::encode(o, &packet_in, version))
            }
            Message::FlowRemoved(removed) => {
                self.dialect(Kind::FlowRemoved, removed.dialect, |o| flow_removed::encode(o, removed, version))
            }
            Message::PortStatus(status) => self.plain(Kind::PortStatus, |o| port::encode_status(o, status, version)),
            Message::RoleStatus(status) => self.plain(Kind::RoleStatus, |o| role::encode_status(o, status)),
            Message::TableStatus(status) => self.plain(Kind::TableStatus, |o| table::encode_status(o, status)),
            Message::RequestForward(inner) => {
                self.head(Kind::RequestForward, false)?;
                encode_into(self.out, &inner.body, version, inner.xid)?;
                self.finish()
            }
            Message::PacketOut(packet_out) => {
                self.plain(Kind::PacketOut, |o| packet_out::encode(o, packet_out, version))
            }
            Message::FlowMod { dialect, flow_mod } => self.flow_mod(*dialect, flow_mod),
            Message::GroupMod(group_mod) => {
                self.head(Kind::GroupMod, false)?;
                group::encode_mod(self.out, group_mod, version)?;
                self.finish()
            }
            Message::PortMod(port_mod) => self.plain(Kind::PortMod, |o| port::encode_mod(o, port_mod, version)),
            Message::TableMod(table_mod) => self.plain(Kind::TableMod, |o| table::encode_mod(o, table_mod, version)),
            Message::MeterMod(meter_mod) => self.plain(Kind::MeterMod, |o| meter::encode_mod(o, meter_mod)),
            Message::BarrierRequest => self.plain(Kind::BarrierRequest, |_| ()),
            Message::BarrierReply => self.plain(Kind::BarrierReply, |_| ()),
            _ => self.control(message),
        }
    }

    fn packet_in(&mut self, packet_in: &PacketIn) -> Outcome {
        let version = self.version;
        let (kind, nicira) = match packet_in.format {
            PacketInFormat::Standard => (Kind::PacketIn, false),
            PacketInFormat::Nxt => (Kind::PacketIn, true),
            PacketInFormat::Nxt2 => (Kind::PacketIn2, true),
        };
        self.head(kind, nicira)?;
        packet_in::encode(self.out, packet_in, version);
        self.finish()
    }

    fn control(&mut self, message: &Message) -> Outcome {
        let version = self.version;
        match message {
            Message::RoleRequest(request) => {
                self.dialect(Kind::RoleRequest, request.dialect, |o| role::encode(o, request, false))
            }
            Message::RoleReply(reply) => self.dialect(Kind::RoleReply, reply.dialect, |o| role::encode(o, reply, true)),
            Message::GetAsyncRequest => self.plain(Kind::GetAsyncRequest, |_| ()),
            Message::GetAsyncReply(config) => {
                let set = SetAsync::from(config);
                self.plain(Kind::GetAsyncReply, |o| async_config::encode(o, &set, version))
            }
            Message::SetAsync(set) => {
                let kind = if set.form == AsyncForm::Nicira2 { Kind::SetAsync2 } else { Kind::SetAsync };
                self.head(kind, set.form != AsyncForm::Standard)?;
                async_config::encode(self.out, set, version);
                self.finish()
            }
            Message::BundleCtrl(ctrl) => self.plain(Kind::BundleCtrl, |o| bundle::encode_ctrl(o, ctrl)),
            Message::BundleAdd(add) => {
                self.head(Kind::BundleAdd, false)?;
                bundle::encode_add(self.out, add.id, add.flags);
                if add.raw.is_empty() {
                    encode_into(self.out, &add.message.body, version, self.xid)?;
                } else {
                    self.out.octets(&add.raw);
                }
                self.finish()
            }
            Message::SetFlowFormat(format) => self.plain(Kind::SetFlowFormat, |o| {
                o.put32(if *format == FlowFormat::Nxm { 2 } else { 0 });
            }),
            Message::FlowModTableId(on) => self.plain(Kind::FlowModTableId, |o| {
                o.put8(u8::from(*on));
                o.zeros(7);
            }),
            Message::SetPacketInFormat(format) => self.plain(Kind::SetPacketInFormat, |o| o.put32(format.wire())),
            Message::FlowAge => self.plain(Kind::FlowAge, |_| ()),
            Message::SetControllerId(id) => self.plain(Kind::SetControllerId, |o| {
                o.zeros(6);
                o.put16(*id);
            }),
            Message::TlvTableMod(table_mod) => self.plain(Kind::TlvTableMod, |o| tlv_map::encode_mod(o, table_mod)),
            Message::TlvTableRequest => self.plain(Kind::TlvTableRequest, |_| ()),
            Message::TlvTableReply(reply) => self.plain(Kind::TlvTableReply, |o| tlv_map::encode_reply(o, reply)),
            Message::CtFlushZone(zone) => self.plain(Kind::CtFlushZone, |o| {
                o.zeros(6);
                o.put16(*zone);
            }),
            Message::CtFlush(flush) => self.plain(Kind::CtFlush, |o| ct_flush::encode(o, flush)),
            Message::FlowMonitorCancel(id) => self.monitor_cancel(*id),
            Message::FlowMonitorPaused | Message::FlowMonitorResumed => self.monitor_flow(message),
            _ => self.request(message),
        }
    }

    fn monitor_cancel(&mut self, id: u32) -> Outcome {
        let version = self.version;
        if version < Version::V14 {
            return self.plain(Kind::FlowMonitorCancel, |o| o.put32(id));
        }
        let request = FlowMonitorRequest {
            id,
            command: monitor::MonitorCommand::Delete,
            flags: 0,
            out_port: OfPort::ANY,
            out_group: group::GROUP_ANY,
            table_id: 0xff,
            matching: crate::matching::Match::any(),
        };
        self.plain(Kind::FlowMonitorRequest, |o| monitor::encode_request(o, &request, version))
    }

    fn monitor_flow(&mut self, message: &Message) -> Outcome {
        let version = self.version;
        let paused = *message == Message::FlowMonitorPaused;
        if version < Version::V14 {
            return self.plain(if paused { Kind::FlowMonitorPaused } else { Kind::FlowMonitorResumed }, |_| ());
        }
        let update = if paused { FlowUpdate::Paused } else { FlowUpdate::Resumed };
        self.plain(Kind::FlowMonitorReply, |o| monitor::encode_update(o, &update, version))
    }

    fn request(&mut self, message: &Message) -> Outcome {
        let version = self.version;
        let v10 = version == Version::V10;
        let put_port = |o: &mut Vec<u8>, port: OfPort| {
            if v10 {
                o.port10(port);
                o.zeros(6);
            } else {
                o.port11(port);
                o.zeros(4);
            }
        };
        let put_id = |o: &mut Vec<u8>, id: u32| {
            o.put32(id);
            o.zeros(4);
        };
        match message {
            Message::DescRequest => self.plain(Kind::DescRequest, |_| ()),
            Message::FlowStatsRequest { dialect, request } => {
                let kind = if request.aggregate { Kind::AggregateRequest } else { Kind::FlowStatsRequest };
                self.dialect(kind, *dialect, |o| flow_stats::encode_request(o, *dialect, request, version))
            }
            Message::TableStatsRequest => self.plain(Kind::TableStatsRequest, |_| ()),
            Message::TableFeaturesRequest(tables) => {
                self.list(Kind::TableFeaturesRequest, false, tables, |o, t| table_features::encode(o, t, version))
            }
            Message::TableDescRequest => self.plain(Kind::TableDescRequest, |_| ()),
            Message::PortStatsRequest(port) => self.plain(Kind::PortStatsRequest, |o| put_port(o, *port)),
            Message::PortDescRequest(port) => self.plain(Kind::PortDescRequest, |o| {
                if version == Version::V15 {
                    put_port(o, *port);
                }
            }),
            Message::QueueConfigRequest { port, queue } => {
                let (port, queue) = (*port, *queue);
                self.plain(Kind::QueueConfigRequest, |o| queue::encode_config_request(o, port, queue, version))
            }
            Message::QueueStatsRequest { port, queue } => {
                let (port, queue) = (*port, *queue);
                self.plain(Kind::QueueStatsRequest, |o| queue::encode_stats_request(o, port, queue, version))
            }
            Message::GroupStatsRequest(id) => self.plain(Kind::GroupStatsRequest, |o| put_id(o, *id)),
            Message::GroupDescRequest(id) => self.plain(Kind::GroupDescRequest, |o| {
                if matches!(version, Version::V10 | Version::V15) {
                    put_id(o, *id);
                }
            }),
            Message::GroupFeaturesRequest => self.plain(Kind::GroupFeaturesRequest, |_| ()),
            Message::MeterStatsRequest(id) => self.plain(Kind::MeterStatsRequest, |o| put_id(o, *id)),
            Message::MeterConfigRequest(id) => self.plain(Kind::MeterConfigRequest, |o| put_id(o, *id)),
            Message::MeterFeaturesRequest => self.plain(Kind::MeterFeaturesRequest, |_| ()),
            Message::FlowMonitorRequest(requests) => self.list(Kind::FlowMonitorRequest, false, requests, |o, r| {
                monitor::encode_request(o, r, version);
            }),
            Message::IpfixBridgeRequest => self.plain(Kind::IpfixBridgeRequest, |_| ()),
            Message::IpfixFlowRequest => self.plain(Kind::IpfixFlowRequest, |_| ()),
            _ => self.reply(message),
        }
    }

    fn reply(&mut self, message: &Message) -> Outcome {
        let version = self.version;
        match message {
            Message::DescReply(desc) => self.plain(Kind::DescReply, |o| config::encode_desc(o, desc)),
            Message::FlowStatsReply { dialect, flows } => {
                let nicira = *dialect == Dialect::Nicira;
                self.list(Kind::FlowStatsReply, nicira, flows, |o, f| {
                    flow_stats::encode_flow(o, *dialect, f, version);
                })
            }
            Message::AggregateReply { dialect, stats } => {
                self.dialect(Kind::AggregateReply, *dialect, |o| flow_stats::encode_aggregate(o, stats, version))
            }
            Message::TableStatsReply(tables) => {
                self.list(Kind::TableStatsReply, false, tables, |o, t| table_features::encode_stats(o, t, version))
            }
            Message::TableFeaturesReply(tables) => {
                self.list(Kind::TableFeaturesReply, false, tables, |o, t| table_features::encode(o, t, version))
            }
            Message::TableDescReply(tables) => self.list(Kind::TableDescReply, false, tables, table::encode_desc),
            Message::PortStatsReply(ports) => {
                self.list(Kind::PortStatsReply, false, ports, |o, p| port_stats::encode(o, p, version))
            }
            Message::PortDescReply(ports) => {
                self.list(Kind::PortDescReply, false, ports, |o, p| port::encode_desc(o, p, version))
            }
            Message::QueueConfigReply { port, queues } => {
                self.head(Kind::QueueConfigReply, false)?;
                queue::encode_config_port(self.out, *port, version);
                for queue in queues {
                    let before = self.out.len();
                    queue::encode_config(self.out, queue, version);
                    if self.out.len() - self.part > usize::from(u16::MAX) {
                        self.next_part(before)?;
                    }
                }
                self.finish()
            }
            Message::QueueStatsReply(queues) => {
                self.list(Kind::QueueStatsReply, false, queues, |o, q| queue::encode_stats(o, q, version))
            }
            Message::GroupStatsReply(groups) => {
                self.list(Kind::GroupStatsReply, false, groups, |o, g| group::encode_stats(o, g, version))
            }
            Message::GroupDescReply(groups) => {
                self.list(Kind::GroupDescReply, false, groups, |o, g| group::encode_desc(o, g, version))
            }
            Message::GroupFeaturesReply(features) => {
                self.plain(Kind::GroupFeaturesReply, |o| group::encode_features(o, features, version))
            }
            Message::MeterStatsReply(meters) => self.list(Kind::MeterStatsReply, false, meters, meter::encode_stats),
            Message::MeterConfigReply(meters) => self.list(Kind::MeterConfigReply, false, meters, meter::encode_config),
            Message::MeterFeaturesReply(features) => {
                self.plain(Kind::MeterFeaturesReply, |o| meter::encode_features(o, features))
            }
            Message::FlowMonitorReply(updates) => {
                self.list(Kind::FlowMonitorReply, false, updates, |o, u| monitor::encode_update(o, u, version))
            }
            Message::IpfixBridgeReply(stats) => self.plain(Kind::IpfixBridgeReply, |o| ipfix::encode(o, stats)),
            Message::IpfixFlowReply(stats) => self.list(Kind::IpfixFlowReply, false, stats, ipfix::encode),
            _ => Err(self.unsupported("message")),
        }
    }
}
