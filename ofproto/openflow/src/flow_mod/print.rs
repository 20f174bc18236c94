//! Flows as text: the lines of `ovs-ofctl dump-flows`, and flow-mods as `ovs-ofctl ofp-print` shows them.
//!
//! Source: ovs-ofctl(8).

use std::fmt::Write;

use flow::match_text::{self, Options};

use super::{DEFAULT_PRIORITY, FlowFlags, FlowMod, FlowModCommand, FlowStats};
use crate::OfPort;
use crate::action;
use crate::matching::Match;
use crate::names::Style;

/// Appends formatted text; a `String` never fails.
macro_rules! put {
    ($out:expr, $($arg:tt)*) => {{ let _ = write!($out, $($arg)*); }};
}

/// A match as text, with its priority unless that is `None` or the default one.
pub fn format_match(m: &Match, priority: Option<u16>, style: &Style<'_>) -> String {
    let options = Options {
        priority: priority.map(i32::from),
        ports: style.names.ports,
        tun: m.tun.as_deref(),
        colors: style.colors,
    };
    match_text::format(&m.key, &m.mask, &options)
}

/// What the log says of a match that packets of its kind do not have: three lines.
pub fn normalization_notes(before: &Match, after: &Match) -> [String; 3] {
    let show = |m: &Match| format_match(m, Some(DEFAULT_PRIORITY), &Style::PLAIN);
    [
        "normalization changed ofp_match, details:".to_string(),
        format!(" pre: {}", show(before)),
        format!("post: {}", show(after)),
    ]
}

/// Appends the names of flags, each with a blank behind it.
pub fn write_flags(out: &mut String, flags: FlowFlags) {
    for (flag, name) in [
        (FlowFlags::SEND_FLOW_REM, "send_flow_rem"),
        (FlowFlags::CHECK_OVERLAP, "check_overlap"),
        (FlowFlags::RESET_COUNTS, "reset_counts"),
        (FlowFlags::NO_PACKET_COUNTS, "no_packet_counts"),
        (FlowFlags::NO_BYTE_COUNTS, "no_byte_counts"),
    ] {
        if flags.contains(flag) {
            put!(out, "{name} ");
        }
    }
}

/// A rule and its counters as one line; without `show_stats` what identifies it only.
pub fn format_flow_stats(f: &FlowStats, style: &Style<'_>, show_stats: bool) -> String {
    let c = &style.colors;
    let mut out = String::with_capacity(200);
    let name = |out: &mut String, color: &str, name: &str| [color, name, "=", c.end].map(|s| out.push_str(s));
    if show_stats || f.cookie != 0 {
        name(&mut out, c.param, "cookie");
        put!(out, "{:#x}, ", f.cookie);
    }
    if show_stats {
        name(&mut out, c.param, "duration");
        match f.duration {
            Some((sec, nsec)) => crate::print::duration(&mut out, sec, nsec),
            None => out.push_str("?s"),
        }
        out.push_str(", ");
    }
    let named = style.names.tables.is_some_and(|t| t.name_of(f.table).is_some());
    if show_stats || f.table != 0 || named {
        put!(out, "{}table={}{}, ", c.special, c.end, style.names.table(f.table));
    }
    if show_stats {
        for (what, count) in [("n_packets", f.packets), ("n_bytes", f.bytes)] {
            name(&mut out, c.param, what);
            match count {
                Some(n) => put!(out, "{n}, "),
                None => out.push_str("?, "),
            }
        }
    }
    for (name, seconds) in [("idle_timeout", f.idle_timeout), ("hard_timeout", f.hard_timeout)] {
        if seconds != 0 {
            put!(out, "{}{name}={}{seconds}, ", c.param, c.end);
        }
    }
    write_flags(&mut out, f.flags);
    if f.importance != 0 {
        put!(out, "{}importance={}{}, ", c.param, c.end, f.importance);
    }
    if let Some(age) = f.idle_age.filter(|_| show_stats) {
        put!(out, "{}idle_age={}{age}, ", c.param, c.end);
    }
    let since = f.duration.map(|(sec, _)| sec);
    if let Some(age) = f.hard_age.filter(|age| show_stats && since != Some(u32::from(*age))) {
        put!(out, "{}hard_age={}{age}, ", c.param, c.end);
    }
    let matching = format_match(&f.matching, Some(f.priority), style);
    if !matching.is_empty() {
        out.push_str(&matching);
        out.push(' ');
    }
    name(&mut out, c.actions, "actions");
    action::write(&mut out, &f.actions, style);
    out
}

/// Appends a flow-mod as `ofp-print` shows it behind the message's name. `matching` is the match's text where that is not
/// the usual one (of high verbosity); the priority then stands beside it.
pub fn write_flow_mod(out: &mut String, f: &FlowMod, style: &Style<'_>, matching: Option<&str>) {
    out.push(' ');
    out.push_str(match f.command {
        FlowModCommand::Add => "ADD",
        FlowModCommand::Modify => "MOD",
        FlowModCommand::ModifyStrict => "MOD_STRICT",
        FlowModCommand::Delete => "DEL",
        FlowModCommand::DeleteStrict => "DEL_STRICT",
    });
    if f.table != 0 {
        put!(out, " table:{}", style.names.table(f.table));
    }
    out.push(' ');
    match matching {
        Some(text) => out.push_str(text),
        None => out.push_str(&format_match(&f.matching, Some(f.priority), style)),
    }
    if !out.ends_with(' ') {
        out.push(' ');
    }
    if f.new_cookie != 0 && f.new_cookie != u64::MAX {
        put!(out, "cookie:{:#x} ", f.new_cookie);
    }
    if f.cookie_mask != 0 {
        put!(out, "cookie:{:#x}/{:#x} ", f.cookie, f.cookie_mask);
    }
    for (name, number) in [("idle", f.idle_timeout), ("hard", f.hard_timeout), ("importance", f.importance)] {
        if number != 0 {
            put!(out, "{name}:{number} ");
        }
    }
    if matching.is_some() && f.priority != DEFAULT_PRIORITY {
        put!(out, "pri:{} ", f.priority);
    }
    if let Some(id) = f.buffer_id {
        put!(out, "buf:{id:#x} ");
    }
    if f.out_port != OfPort::ANY {
        put!(out, "out_port:{} ", style.names.port(f.out_port));
    }
    write_flags(out, f.flags);
    out.push_str("actions=");
    action::write(out, &f.actions, style);
}
