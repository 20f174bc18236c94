//! Small messages as text: hello, errors, features, roles, asynchronous messages' masks, bundles, Nicira's.

use std::fmt::Write;

use super::{Options, bit_names, hex};
use crate::Version;
use crate::message::async_config::AsyncKind;
use crate::message::bundle::{BUNDLE_ATOMIC, BUNDLE_ORDERED, BundleCtrlType};
use crate::message::kind::Head;
use crate::message::nx::FlowFormat;
use crate::message::role::{Role, RoleReason};
use crate::message::tlv_map::TlvCommand;
use crate::message::{
    BundleCtrl, CtFlush, CtTuple, ErrorKind, ErrorMessage, Features, IpfixStats, Message, Msg, RoleRequest, RoleStatus,
    SwitchConfig, SwitchDesc, TlvMap, TlvTableMod, TlvTableReply, async_config, bundle, features::capability, hello,
};
use crate::names::Style;
use crate::{ErrorCode, OfError};

pub(super) fn hello(out: &mut String, hello: &hello::Hello, octets: &[u8]) {
    out.push_str("\n version bitmap: ");
    let numbers: Vec<String> =
        (0..32).filter(|n| hello.versions.0 & (1 << n) != 0).map(|n| format!("0x{n:02x}")).collect();
    out.push_str(&numbers.join(", "));
    if hello.malformed {
        out.push_str("\n unknown data in hello:\n");
        out.push_str(&hex::dump(octets));
    }
}

pub(super) fn error(out: &mut String, error: &ErrorMessage, options: &Options<'_>) -> Result<(), OfError> {
    let ErrorKind::Known(code) = error.code else { return Err(ErrorCode::OFPBRC_BAD_LEN.into()) };
    put!(out, " {code}\n");
    if matches!(code, ErrorCode::OFPHFC_INCOMPATIBLE | ErrorCode::OFPHFC_EPERM) {
        out.push_str(&hex::printable(&error.data));
    } else {
        out.push_str(&super::message(&error.data, &Options { verbosity: 1, ..*options }));
    }
    Ok(())
}

const CAPABILITIES: &[(u32, &str)] = &[
    (capability::FLOW_STATS, "FLOW_STATS"),
    (capability::TABLE_STATS, "TABLE_STATS"),
    (capability::PORT_STATS, "PORT_STATS"),
    (capability::STP, "STP"),
    (capability::GROUP_STATS, "GROUP_STATS"),
    (capability::IP_REASM, "IP_REASM"),
    (capability::QUEUE_STATS, "QUEUE_STATS"),
    (capability::ARP_MATCH_IP, "ARP_MATCH_IP"),
    (capability::PORT_BLOCKED, "PORT_BLOCKED"),
    (capability::BUNDLES, "BUNDLES"),
    (capability::FLOW_MONITORING, "FLOW_MONITORING"),
];

pub(super) fn features(out: &mut String, features: &Features, version: Version) {
    put!(out, " dpid:{:016x}\n", features.datapath_id);
    put!(out, "n_tables:{}, n_buffers:{}", features.n_tables, features.n_buffers);
    if features.auxiliary_id != 0 {
        put!(out, ", auxiliary_id:{}", features.auxiliary_id);
    }
    out.push_str("\ncapabilities: ");
    bit_names(out, features.capabilities, CAPABILITIES, ' ');
    out.push('\n');
    let names = features.actions.names();
    if version == Version::V10 && !names.is_empty() {
        put!(out, "actions: {}\n", names.join(" "));
    }
    super::ports(out, &features.ports);
}

pub(super) fn config(out: &mut String, config: &SwitchConfig) {
    put!(out, " frags={}", config.frags.name());
    if config.invalid_ttl_to_controller == Some(true) {
        out.push_str(" invalid_ttl_to_controller");
    }
    put!(out, " miss_send_len={}\n", config.miss_send_len);
}

pub(super) fn desc(out: &mut String, desc: &SwitchDesc) {
    out.push('\n');
    put!(out, "Manufacturer: {}\n", desc.mfr);
    put!(out, "Hardware: {}\n", desc.hw);
    put!(out, "Software: {}\n", desc.sw);
    put!(out, "Serial Num: {}\n", desc.serial);
    put!(out, "DP Description: {}\n", desc.dp);
}

fn role_name(role: Role) -> &'static str {
    match role {
        Role::NoChange => "nochange",
        Role::Equal => "equal",
        Role::Primary => "primary",
        Role::Secondary => "secondary",
    }
}

pub(super) fn role(out: &mut String, request: &RoleRequest) {
    put!(out, " role={}", role_name(request.role));
    if let Some(id) = request.generation_id.filter(|id| *id != u64::MAX) {
        put!(out, " generation_id={id}");
    }
}

pub(super) fn role_status(out: &mut String, status: &RoleStatus) {
    put!(out, " role={}", role_name(status.role));
    if status.generation_id != u64::MAX {
        put!(out, " generation_id={}", status.generation_id);
    }
    out.push_str(" reason=");
    out.push_str(match status.reason {
        RoleReason::MasterRequest => "primary_request",
        RoleReason::Config => "configuration_changed",
        RoleReason::Experimenter => "experimenter_data_changed",
        RoleReason::Other(_) => "(unknown)",
    });
}

/// Names of a kind of message's reasons by number.
fn reason_names(kind: AsyncKind) -> &'static [(u32, &'static str)] {
    match kind {
        AsyncKind::PacketIn => &[
            (1, "no_match"),
            (1 << 1, "action"),
            (1 << 2, "invalid_ttl"),
            (1 << 3, "action_set"),
            (1 << 4, "group"),
            (1 << 5, "packet_out"),
            (1 << 6, ""),
            (1 << 7, ""),
        ],
        AsyncKind::PortStatus => &[(1, "add"), (1 << 1, "delete"), (1 << 2, "modify")],
        AsyncKind::FlowRemoved => &[
            (1, "idle"),
            (1 << 1, "hard"),
            (1 << 2, "delete"),
            (1 << 3, "group_delete"),
            (1 << 4, "meter_delete"),
            (1 << 5, "eviction"),
        ],
        AsyncKind::RoleStatus => {
            &[(1, "primary_request"), (1 << 1, "configuration_changed"), (1 << 2, "experimenter_data_changed")]
        }
        AsyncKind::TableStatus => &[(1 << 3, "vacancy_down"), (1 << 4, "vacancy_up")],
        AsyncKind::RequestForward => &[(1, "group_mod_request"), (1 << 1, "meter_mod_request")],
    }
}

pub(super) fn async_masks(out: &mut String, head: &Head<'_>) -> Result<(), OfError> {
    let version = Version::from_wire(head.version).ok_or(ErrorCode::OFPBRC_BAD_VERSION)?;
    let set = async_config::decode(head, version)?;
    for (title, masks) in [("primary", set.primary), ("secondary", set.secondary)] {
        put!(out, "\n {title}:\n");
        for kind in AsyncKind::ALL {
            put!(out, "{:>16}:", kind.name());
            let mask = masks[kind as usize].unwrap_or(0);
            if mask == 0 {
                out.push_str(" (off)");
            }
            for (_, name) in reason_names(kind).iter().filter(|(bit, name)| mask & bit != 0 && !name.is_empty()) {
                put!(out, " {name}");
            }
            out.push('\n');
        }
    }
    Ok(())
}

fn bundle_flags(out: &mut String, flags: u16) {
    out.push_str(" flags=");
    bit_names(
        out,
        u32::from(flags),
        &[(u32::from(BUNDLE_ATOMIC), "atomic"), (u32::from(BUNDLE_ORDERED), "ordered")],
        ' ',
    );
}

pub(super) fn bundle_ctrl(out: &mut String, ctrl: &BundleCtrl) {
    put!(out, "\n bundle_id={} type=", hex_or_zero(ctrl.id));
    out.push_str(match ctrl.kind {
        BundleCtrlType::OpenRequest => "OPEN_REQUEST",
        BundleCtrlType::OpenReply => "OPEN_REPLY",
        BundleCtrlType::CloseRequest => "CLOSE_REQUEST",
        BundleCtrlType::CloseReply => "CLOSE_REPLY",
        BundleCtrlType::CommitRequest => "COMMIT_REQUEST",
        BundleCtrlType::CommitReply => "COMMIT_REPLY",
        BundleCtrlType::DiscardRequest => "DISCARD_REQUEST",
        BundleCtrlType::DiscardReply => "DISCARD_REPLY",
        BundleCtrlType::Other(_) => "",
    });
    bundle_flags(out, ctrl.flags);
}

pub(super) fn bundle_add(out: &mut String, head: &Head<'_>, options: &Options<'_>) -> Result<(), OfError> {
    let (id, flags, inner) = bundle::decode_add(head)?;
    put!(out, "\n bundle_id={}", hex_or_zero(id));
    bundle_flags(out, flags);
    out.push('\n');
    out.push_str(&super::message(inner, options));
    Ok(())
}

pub(super) fn request_forward(out: &mut String, inner: &Msg, style: &Style<'_>) {
    out.push_str(" reason=");
    match &inner.body {
        Message::GroupMod(group_mod) => {
            out.push_str("group_mod");
            super::group::group_mod(out, group_mod, inner.version, style);
        }
        Message::MeterMod(meter_mod) => {
            out.push_str("meter_mod");
            super::meter::meter_mod(out, meter_mod);
        }
        _ => {}
    }
}

/// A flow format that a switch would refuse.
pub(super) fn unknown_flow_format(out: &mut String, number: &[u8], options: &Options<'_>) {
    if let Some(notes) = options.notes {
        let number = crate::wire::be32(number, 0);
        let text = format!("NXT_SET_FLOW_FORMAT message specified invalid flow format {number}");
        notes.warn("ofp_protocol", text);
    }
    out.push_str(" format=(unknown)");
}

pub(super) fn flow_format(out: &mut String, format: FlowFormat) {
    out.push_str(match format {
        FlowFormat::OpenFlow10 => " format=openflow10",
        FlowFormat::Nxm => " format=nxm",
    });
}

fn tlv_maps(out: &mut String, mappings: &[TlvMap]) {
    out.push_str(" mapping table:\n");
    out.push_str("  class  type  length  match field\n");
    out.push_str(" ------  ----  ------  --------------");
    for map in mappings {
        let (class, kind) = (hex_or_zero(map.option_class.into()), hex_or_zero(map.option_type.into()));
        put!(out, "\n {class:>6}  {kind:>4}  {:>6}  tun_metadata{}", map.option_len, map.index);
    }
}

/// As `%#x`: zero has no prefix.
fn hex_or_zero(number: u32) -> String {
    if number == 0 { "0".to_string() } else { format!("{number:#x}") }
}

pub(super) fn tlv_mod(out: &mut String, table_mod: &TlvTableMod) {
    out.push_str("\n ");
    match table_mod.command {
        TlvCommand::Add => out.push_str("ADD"),
        TlvCommand::Delete => out.push_str("DEL"),
        TlvCommand::Clear => {
            out.push_str("CLEAR");
            return;
        }
    }
    tlv_maps(out, &table_mod.mappings);
}

pub(super) fn tlv_reply(out: &mut String, reply: &TlvTableReply) {
    put!(out, "\n max option space={} max fields={}\n", reply.max_option_space, reply.max_fields);
    let allocated: u32 = reply.mappings.iter().map(|m| u32::from(m.option_len)).sum();
    put!(out, " allocated option space={allocated}\n\n");
    tlv_maps(out, &reply.mappings);
}

pub(super) fn ct_flush(out: &mut String, flush: &CtFlush) {
    out.push(' ');
    put!(out, "zone={} '", flush.zone.unwrap_or(0));
    ct_tuple(out, &flush.orig, flush.ip_proto, true);
    out.push_str("' '");
    ct_tuple(out, &flush.reply, flush.ip_proto, false);
    out.push('\'');
}

/// One direction of a connection; the protocol with the original one only.
fn ct_tuple(out: &mut String, tuple: &CtTuple, proto: u8, with_proto: bool) {
    let unspecified = std::net::Ipv6Addr::UNSPECIFIED;
    let (src, dst) = (tuple.src.unwrap_or(unspecified), tuple.dst.unwrap_or(unspecified));
    let v4 = |a: std::net::Ipv6Addr| a.to_ipv4_mapped();
    if v4(src).is_some() || v4(dst).is_some() {
        let text = |a: std::net::Ipv6Addr| v4(a).map_or("0.0.0.0".to_string(), |a| a.to_string());
        put!(out, "ct_nw_src={},ct_nw_dst={},", text(src), text(dst));
    } else {
        put!(out, "ct_ipv6_src={src},ct_ipv6_dst={dst},");
    }
    if matches!(proto, 1 | 58) {
        put!(
            out,
            "icmp_id={},icmp_type={},icmp_code={}",
            tuple.icmp_id.unwrap_or(0),
            tuple.icmp_type.unwrap_or(0),
            tuple.icmp_code.unwrap_or(0)
        );
    } else {
        put!(out, "ct_tp_src={},ct_tp_dst={}", tuple.src_port.unwrap_or(0), tuple.dst_port.unwrap_or(0));
    }
    if with_proto {
        put!(out, ",ct_nw_proto={proto}");
    }
}

pub(super) fn ipfix(out: &mut String, stats: &IpfixStats, id: Option<u32>) {
    match id {
        None => out.push_str("\n  bridge ipfix: "),
        Some(id) => put!(out, "\n  id {id:>3}: "),
    }
    put!(
        out,
        "flows={}, current flows={}, sampled pkts={}, ipv4 ok={}, ipv6 ok={}, tx pkts={}\n",
        stats.total_flows,
        stats.current_flows,
        stats.pkts,
        stats.ipv4_pkts,
        stats.ipv6_pkts,
        stats.tx_pkts
    );
    let indent = if id.is_none() { "                " } else { "          " };
    put!(
        out,
        "{indent}pkts errs={}, ipv4 errs={}, ipv6 errs={}, tx errs={}\n",
        stats.error_pkts,
        stats.ipv4_error_pkts,
        stats.ipv6_error_pkts,
        stats.tx_errors
    );
}

pub(super) fn ipfix_flows(out: &mut String, stats: &[IpfixStats]) {
    put!(out, " {} ids\n", stats.len());
    for one in stats {
        let mut text = String::new();
        ipfix(&mut text, one, Some(one.collector_set_id));
        out.push_str(&text[1..]);
    }
}
