//! Messages as text, as `ovs-ofctl ofp-print` shows them.
//!
//! Verbosity 0 is one line where that will do; from 1 on packets are decoded, from 3 on shown in hexadecimal, from 5 on
//! every message is. Source: ovs-ofctl(8), OVS's output itself. Absent: flows, matches and actions (see
//! [`crate::flow_mod`] and [`crate::action`]).

use std::fmt::Write;

/// Appends formatted text; a `String` never fails.
macro_rules! put {
    ($out:expr, $($arg:tt)*) => {{ let _ = write!($out, $($arg)*); }};
}

mod control;
mod flow;
mod group;
pub mod hex;
mod match10;
mod meter;
mod packet;
mod port;
mod queue;
pub mod table;

use crate::message::kind::{self, Head, Kind, MORE};
use crate::message::{Context, Message, Msg, PortDesc, decode_nested};
use crate::names::Style;
use crate::{Notes, OfError};

pub use flow::{duration, monitor_request};
pub use group::{bucket_text, fields_text, group_desc, group_text};
pub use meter::{meter_band, meter_config};
pub use packet::packet_text;
pub use port::port_desc;

/// How to print a message.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options<'a> {
    /// How much.
    pub verbosity: u8,
    /// Names and colours.
    pub style: Style<'a>,
    /// Takes what the log is to say of the message.
    pub notes: Option<&'a Notes>,
}

/// Appends the names of the bits that are set, `0` if none is; bits without a name as a number.
pub(crate) fn bit_names(out: &mut String, bits: u32, names: &[(u32, &str)], separator: char) {
    if bits == 0 {
        out.push('0');
        return;
    }
    let mut left = bits;
    let mut first = true;
    for (bit, name) in names.iter().filter(|(bit, _)| bits & bit != 0) {
        if !first {
            out.push(separator);
        }
        out.push_str(name);
        first = false;
        left &= !bit;
    }
    if left != 0 {
        if !first {
            out.push(separator);
        }
        put!(out, "{left:#x}");
    }
}

fn end_line(out: &mut String) {
    if !out.ends_with('\n') {
        out.push('\n');
    }
}

/// Whether the entries of a message are counted before they are shown.
fn counted(head: &Head<'_>, options: &Options<'_>) -> bool {
    options.verbosity >= 1 && matches!(head.shape.kind, Kind::QueueStatsReply | Kind::PortStatsReply)
}

/// Says what is wrong, and lets the log say why, `twice` for a message that is read twice.
fn print_error(out: &mut String, error: &OfError, twice: bool, options: &Options<'_>) {
    if let Some(notes) = options.notes {
        if twice {
            notes.error(error);
        }
        notes.error(error);
    }
    let name = if error.nameless { "<invalid>" } else { error.code.name() };
    put!(out, "***decode error: {name}***\n");
}

/// The name of a message with version and transaction, a colon behind it.
fn header(out: &mut String, name: &str, version: u8, xid: u32) {
    out.push_str(name);
    match version {
        1 => {}
        2..=6 => put!(out, " (OF1.{})", version - 1),
        _ => put!(out, " (OF 0x{version:02x})"),
    }
    put!(out, " (xid={xid:#x}):");
}

/// A message as text, its last line ended. `octets` need not be a good message, nor a whole one.
pub fn message(octets: &[u8], options: &Options<'_>) -> String {
    let mut out = String::new();
    let len = octets.len();
    let claimed = if len >= kind::HEADER_LEN { usize::from(u16::from_be_bytes([octets[2], octets[3]])) } else { 0 };
    if len == 0 {
        return "OpenFlow message is empty\n".to_string();
    } else if len < kind::HEADER_LEN {
        put!(out, "OpenFlow packet too short (only {len} bytes):\n");
    } else if claimed > len {
        match kind::partial(octets) {
            Ok((name, xid)) => {
                header(&mut out, name, octets[0], xid);
                out.push('\n');
            }
            Err(error) => {
                if let Some(notes) = options.notes {
                    notes.error(&error);
                }
            }
        }
        put!(out, "(***truncated to {len} bytes from {claimed}***)\n");
    } else if claimed < len {
        put!(out, "(***only uses {claimed} bytes out of {len}***)\n");
    } else {
        match kind::head(octets) {
            Ok(head) => {
                if whole(&mut out, octets, &head, options) {
                    return out;
                }
            }
            Err(error) => print_error(&mut out, &error, false, options),
        }
    }
    end_line(&mut out);
    out.push_str(&hex::dump(octets));
    out
}

/// Prints a message whose header is good; says whether the rest was too.
fn whole(out: &mut String, octets: &[u8], head: &Head<'_>, options: &Options<'_>) -> bool {
    header(out, head.shape.name, head.version, head.xid);
    let before = out.len();
    match body(out, octets, head, options) {
        Ok(()) => {
            if out.ends_with(' ') {
                out.pop();
            }
            if options.verbosity >= 5 {
                end_line(out);
                out.push_str(&hex::dump(octets));
            }
            end_line(out);
            true
        }
        Err(error) => {
            if out.len() > before {
                if out.ends_with(' ') {
                    out.pop();
                }
                end_line(out);
            } else {
                out.push(' ');
            }
            print_error(out, &error, counted(head, options), options);
            false
        }
    }
}

fn body(out: &mut String, octets: &[u8], head: &Head<'_>, options: &Options<'_>) -> Result<(), OfError> {
    if head.shape.class.is_multipart() {
        multipart_flags(out, head);
    }
    match head.shape.kind {
        Kind::BundleAdd => return control::bundle_add(out, head, options),
        Kind::SetFlowFormat if !matches!(head.body, [0, 0, 0, 0 | 2]) => {
            control::unknown_flow_format(out, head.body, options);
            return Ok(());
        }
        Kind::GetAsyncReply | Kind::SetAsync | Kind::SetAsync2 => return control::async_masks(out, head),
        _ => {}
    }
    let context = Context { loose: true, notes: options.notes, ..Context::UNKNOWN };
    let msg = decode_nested(octets, &context, true);
    match msg {
        Ok(msg) => show(out, &msg, head, octets, options),
        Err(error) => {
            // Of a list what comes before the bad item is shown.
            if head.shape.class.is_reply()
                || matches!(
                    head.shape.kind,
                    Kind::FeaturesReply
                        | Kind::QueueConfigReply
                        | Kind::FlowMonitorRequest
                        | Kind::TableFeaturesRequest
                )
            {
                let lenient = Context { lenient: true, notes: None, ..context };
                if let Ok(msg) = decode_nested(octets, &lenient, true) {
                    let before = out.len();
                    show(out, &msg, head, octets, options)?;
                    if head.shape.kind == Kind::GroupStatsReply {
                        out.push_str(" ***parse error***");
                    }
                    if out.len() > before {
                        end_line(out);
                    }
                }
            }
            Err(error)
        }
    }
}

fn multipart_flags(out: &mut String, head: &Head<'_>) {
    let mut flags = head.flags;
    if flags == 0 {
        return;
    }
    out.push_str(" flags=");
    if (head.shape.class.is_reply() || head.version >= 4) && flags & MORE != 0 {
        out.push_str("[more]");
        flags &= !MORE;
    }
    if flags != 0 {
        put!(out, "[***unknown flags 0x{flags:04x}***]");
    }
}

/// Prints a message that is good.
fn show(out: &mut String, msg: &Msg, head: &Head<'_>, octets: &[u8], options: &Options<'_>) -> Result<(), OfError> {
    let style = &options.style;
    match &msg.body {
        Message::Hello(hello) => control::hello(out, hello, octets),
        Message::Error(error) => return control::error(out, error, options),
        Message::EchoRequest(data) | Message::EchoReply(data) => {
            put!(out, " {} bytes of payload\n", data.len());
            if options.verbosity > 1 {
                out.push_str(&hex::dump(data));
            }
        }
        Message::FeaturesReply(features) => control::features(out, features, msg.version),
        Message::GetConfigReply(config) | Message::SetConfig(config) => control::config(out, config),
        Message::PacketIn(packet_in) | Message::Resume(packet_in) => {
            return packet::packet_in(out, packet_in, msg.version, options);
        }
        Message::PacketOut(packet_out) => packet::packet_out(out, packet_out, options),
        Message::FlowRemoved(removed) => flow::removed(out, removed, style),
        Message::PortStatus(status) => port::status(out, status),
        Message::RoleStatus(status) => control::role_status(out, status),
        Message::TableStatus(status) => table::status(out, status, style),
        Message::RequestForward(inner) => control::request_forward(out, inner, style),
        Message::FlowMod { flow_mod, .. } => flow::flow_mod(out, flow_mod, head, options),
        Message::GroupMod(group_mod) => group::group_mod(out, group_mod, msg.version, style),
        Message::PortMod(port_mod) => port::port_mod(out, port_mod, style),
        Message::TableMod(table_mod) => table::table_mod(out, table_mod, style),
        Message::MeterMod(meter_mod) => meter::meter_mod(out, meter_mod),
        Message::RoleRequest(request) | Message::RoleReply(request) => control::role(out, request),
        Message::BundleCtrl(ctrl) => control::bundle_ctrl(out, ctrl),
        Message::QueueConfigRequest { port, queue } => queue::config_request(out, *port, *queue, style),
        Message::QueueConfigReply { port, queues } => queue::config_reply(out, *port, queues, msg.version, style),
        Message::SetFlowFormat(format) => control::flow_format(out, *format),
        Message::FlowModTableId(on) => out.push_str(if *on { " enable" } else { " disable" }),
        Message::SetPacketInFormat(format) => put!(out, " format={}", format.name()),
        Message::SetControllerId(id) => put!(out, " id={id}"),
        Message::TlvTableMod(table_mod) => control::tlv_mod(out, table_mod),
        Message::TlvTableReply(reply) => control::tlv_reply(out, reply),
        Message::CtFlushZone(zone) => put!(out, " zone_id={zone}"),
        Message::CtFlush(flush) => control::ct_flush(out, flush),
        Message::FlowMonitorCancel(id) => put!(out, " id={id}"),
        _ => multipart(out, msg, options),
    }
    Ok(())
}

fn multipart(out: &mut String, msg: &Msg, options: &Options<'_>) {
    let style = &options.style;
    match &msg.body {
        Message::DescReply(desc) => control::desc(out, desc),
        Message::FlowStatsRequest { request, .. } => flow::request(out, request, style),
        Message::FlowStatsReply { flows, .. } => flow::flow_stats_lines(out, flows, style),
        Message::AggregateReply { stats, .. } => flow::aggregate(out, stats),
        Message::TableStatsReply(tables) => table::stats(out, tables, msg.version),
        Message::TableFeaturesRequest(tables) | Message::TableFeaturesReply(tables) => {
            table::features(out, tables, msg.version);
        }
        Message::TableDescReply(tables) => table::descs(out, tables, style),
        Message::PortStatsRequest(port) => put!(out, " port_no={}", style.names.port(*port)),
        Message::PortStatsReply(ports) => port::stats(out, ports, options),
        Message::PortDescRequest(port) => put!(out, " port={}", style.names.port(*port)),
        Message::PortDescReply(ports) => {
            out.push('\n');
            self::ports(out, ports);
        }
        Message::QueueStatsRequest { port, queue } => queue::stats_request(out, *port, *queue, style),
        Message::QueueStatsReply(queues) => queue::stats(out, queues, options),
        Message::GroupStatsRequest(id) | Message::GroupDescRequest(id) => group::request(out, *id),
        Message::GroupStatsReply(groups) => group::stats(out, groups),
        Message::GroupDescReply(groups) => {
            for desc in groups {
                out.push('\n');
                out.push(' ');
                group_desc(out, desc, msg.version, style);
            }
        }
        Message::GroupFeaturesReply(features) => group::features(out, features),
        Message::MeterStatsRequest(id) | Message::MeterConfigRequest(id) => {
            out.push(' ');
            meter::id(out, *id, '=');
        }
        Message::MeterStatsReply(meters) => meter::stats(out, meters),
        Message::MeterConfigReply(meters) => {
            for config in meters {
                out.push('\n');
                meter_config(out, config);
            }
        }
        Message::MeterFeaturesReply(features) => meter::features(out, features),
        Message::FlowMonitorRequest(requests) => flow::monitor_requests(out, requests, style),
        Message::FlowMonitorReply(updates) => flow::monitor_updates(out, updates, style),
        Message::IpfixBridgeReply(stats) => control::ipfix(out, stats, None),
        Message::IpfixFlowReply(stats) => control::ipfix_flows(out, stats),
        _ => {}
    }
}

fn trim_blanks(out: &mut String) {
    while out.ends_with(' ') {
        out.pop();
    }
}

/// Ports in the order of their numbers.
fn ports(out: &mut String, ports: &[PortDesc]) {
    let mut sorted: Vec<&PortDesc> = ports.iter().collect();
    sorted.sort_by_key(|p| p.port);
    for desc in sorted {
        port_desc(out, desc);
    }
}
