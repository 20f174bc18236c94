//! Flow statistics, removed flows and flow monitors as text.

use std::fmt::Write;

use flow::text::push_decimal;

use super::Options;
use crate::flow_mod::{
    FlowFlags, FlowMod, FlowStats, FlowStatsRequest, GROUP_ANY, TABLE_ALL, format_match, write_flow_stats,
};
use crate::message::flow_removed::FlowRemovedReason;
use crate::message::kind::{Class, Head};
use crate::message::monitor::{FlowUpdateEvent, FullUpdate, MonitorCommand, monitor_flag};
use crate::message::{AggregateStats, FlowMonitorRequest, FlowRemoved, FlowUpdate};
use crate::names::Style;
use crate::{OfPort, action};

/// Appends a time with as many decimals as it needs.
pub fn duration(out: &mut String, sec: u32, nsec: u32) {
    push_decimal(out, sec.into());
    if nsec > 0 {
        if nsec.is_multiple_of(1_000_000) {
            put!(out, ".{:03}", nsec / 1_000_000);
        } else {
            let digits = format!("{nsec:09}");
            put!(out, ".{}", digits.trim_end_matches('0'));
        }
    }
    out.push('s');
}

/// One line a rule, each with a blank in front; a line end before each.
pub(super) fn flow_stats_lines(out: &mut String, flows: &[FlowStats], style: &Style<'_>) {
    /// So long is a plain rule's line, and somewhat more.
    const LINE: usize = 150;
    out.reserve(flows.len() * LINE);
    for flow in flows {
        out.push_str("\n ");
        write_flow_stats(out, flow, style, true);
    }
}

/// A flow-mod; at high verbosity OpenFlow 1.0's match field by field.
pub(super) fn flow_mod(out: &mut String, flow_mod: &FlowMod, head: &Head<'_>, options: &Options<'_>) {
    let matching = match head.shape.class {
        _ if options.verbosity < 3 => None,
        Class::Nxt => nxm_text(head.body),
        _ if head.version == 1 => Some(super::match10::text(head.body, &options.style.names)),
        _ => None,
    };
    if head.version <= 2 {
        // There an "add" always resets the counters: nothing to tell.
        let told = FlowMod { flags: flow_mod.flags.without(FlowFlags::RESET_COUNTS), ..flow_mod.clone() };
        return crate::flow_mod::write_flow_mod(out, &told, &options.style, matching.as_deref());
    }
    crate::flow_mod::write_flow_mod(out, flow_mod, &options.style, matching.as_deref());
}

/// The match of Nicira's flow-mod field by field.
fn nxm_text(body: &[u8]) -> Option<String> {
    const MATCH_LEN: usize = 24;
    const MATCH: usize = 32;
    let len = usize::from(u16::from_be_bytes([*body.get(MATCH_LEN)?, *body.get(MATCH_LEN + 1)?]));
    Some(crate::matching::nxm_to_text(body.get(MATCH..MATCH + len)?))
}

pub(super) fn request(out: &mut String, request: &FlowStatsRequest, style: &Style<'_>) {
    if request.table != TABLE_ALL {
        put!(out, " table={}", style.names.table(request.table));
    }
    if request.out_port != OfPort::ANY {
        put!(out, " out_port={}", style.names.port(request.out_port));
    }
    out.push(' ');
    out.push_str(&format_match(&request.matching, None, style));
    if out.ends_with(' ') {
        out.pop();
    }
}

pub(super) fn aggregate(out: &mut String, stats: &AggregateStats) {
    put!(out, " packet_count={} byte_count={} flow_count={}", stats.packet_count, stats.byte_count, stats.flow_count);
}

/// The name of why a rule is gone.
pub(super) fn reason_name(reason: u16) -> String {
    let Ok(reason) = u8::try_from(reason) else { return reason.to_string() };
    match FlowRemovedReason::from_wire(reason) {
        FlowRemovedReason::IdleTimeout => "idle".to_string(),
        FlowRemovedReason::HardTimeout => "hard".to_string(),
        FlowRemovedReason::Delete => "delete".to_string(),
        FlowRemovedReason::GroupDelete => "group_delete".to_string(),
        FlowRemovedReason::MeterDelete => "meter_delete".to_string(),
        FlowRemovedReason::Eviction => "eviction".to_string(),
        FlowRemovedReason::Other(reason) => reason.to_string(),
    }
}

pub(super) fn removed(out: &mut String, removed: &FlowRemoved, style: &Style<'_>) {
    out.push(' ');
    out.push_str(&format_match(&removed.matching, Some(removed.priority), style));
    put!(out, " reason={}", reason_name(removed.reason.number().into()));
    if removed.table_id != 255 {
        put!(out, " table_id={}", style.names.table(removed.table_id));
    }
    if removed.cookie != 0 {
        put!(out, " cookie:0x{:x}", removed.cookie);
    }
    out.push_str(" duration");
    duration(out, removed.duration_sec, removed.duration_nsec);
    put!(out, " idle{}", removed.idle_timeout);
    if removed.hard_timeout != 0 {
        put!(out, " hard{}", removed.hard_timeout);
    }
    put!(out, " pkts{} bytes{}\n", removed.packet_count, removed.byte_count);
}

const MONITOR_FLAGS: &[(u32, &str)] = &[
    (monitor_flag::INITIAL as u32, "initial"),
    (monitor_flag::ADD as u32, "add"),
    (monitor_flag::REMOVED as u32, "delete"),
    (monitor_flag::MODIFY as u32, "modify"),
    (monitor_flag::INSTRUCTIONS as u32, "actions"),
    (monitor_flag::NO_ABBREV as u32, "no-abbrev"),
    (monitor_flag::ONLY_OWN as u32, "own"),
];

/// Appends a flow monitor request.
pub fn monitor_request(out: &mut String, request: &FlowMonitorRequest, style: &Style<'_>) {
    if request.command == MonitorCommand::Delete {
        put!(out, "\n id={} command=delete", request.id);
        return;
    }
    put!(out, "\n id={} flags=", request.id);
    super::bit_names(out, u32::from(request.flags), MONITOR_FLAGS, ',');
    if request.out_port != OfPort::ANY {
        put!(out, " out_port={}", style.names.port(request.out_port));
    }
    if request.out_group != GROUP_ANY && request.out_group != 0 {
        put!(out, " out_group={}", request.out_group as i32);
    }
    if request.table_id != TABLE_ALL {
        put!(out, " table={}", style.names.table(request.table_id));
    }
    out.push(' ');
    out.push_str(&format_match(&request.matching, None, style));
    while out.ends_with(' ') {
        out.pop();
    }
}

pub(super) fn monitor_requests(out: &mut String, requests: &[FlowMonitorRequest], style: &Style<'_>) {
    for request in requests {
        monitor_request(out, request, style);
    }
}

fn full_update(out: &mut String, full: &FullUpdate, style: &Style<'_>) {
    match full.event {
        FlowUpdateEvent::Initial => out.push_str("INITIAL"),
        FlowUpdateEvent::Added => out.push_str("ADDED"),
        FlowUpdateEvent::Deleted => put!(out, "DELETED reason={}", reason_name(full.reason)),
        FlowUpdateEvent::Modified => out.push_str("MODIFIED"),
    }
    put!(out, " table={}", style.names.table(full.table_id));
    if full.idle_timeout != 0 {
        put!(out, " idle_timeout={}", full.idle_timeout);
    }
    if full.hard_timeout != 0 {
        put!(out, " hard_timeout={}", full.hard_timeout);
    }
    let cookie = if full.cookie == 0 { "0".to_string() } else { format!("{:#x}", full.cookie) };
    put!(out, " cookie={cookie}");
    out.push(' ');
    out.push_str(&format_match(&full.matching, None, style));
    if !full.actions.is_empty() {
        if !out.ends_with(' ') {
            out.push(' ');
        }
        out.push_str("actions=");
        action::write(out, &full.actions, style);
    }
}

pub(super) fn monitor_updates(out: &mut String, updates: &[FlowUpdate], style: &Style<'_>) {
    for update in updates {
        out.push_str("\n event=");
        match update {
            FlowUpdate::Full(full) => full_update(out, full, style),
            FlowUpdate::Abbrev { xid } => put!(out, "ABBREV xid=0x{xid:x}"),
            FlowUpdate::Paused => out.push_str("PAUSED"),
            FlowUpdate::Resumed => out.push_str("RESUMED"),
        }
    }
    super::trim_blanks(out);
}
