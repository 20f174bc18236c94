//! Flows as text: the lines of `ovs-ofctl dump-flows`, and flow-mods as `ovs-ofctl ofp-print` shows them.
//!
//! Source: ovs-ofctl(8).

use std::fmt::Write;

use flow::match_text::{self, Options};
use flow::text::push_decimal;

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
    let mut out = String::with_capacity(80);
    write_match(&mut out, m, priority, style);
    out
}

/// Appends what [`format_match`] gives.
fn write_match(out: &mut String, m: &Match, priority: Option<u16>, style: &Style<'_>) {
    let options = Options {
        priority: priority.map(i32::from),
        ports: style.names.ports,
        tun: m.tun.as_deref(),
        colors: style.colors,
    };
    match_text::write(out, &m.key, &m.mask, &options);
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

/// Appends a rule and its counters as one line; without `show_stats` what identifies it only.
pub fn write_flow_stats(out: &mut String, f: &FlowStats, style: &Style<'_>, show_stats: bool) {
    let c = &style.colors;
    if show_stats || f.cookie != 0 {
        begin(out, c.param, "cookie", c.end);
        put!(out, "{:#x}, ", f.cookie);
    }
    if show_stats {
        begin(out, c.param, "duration", c.end);
        match f.duration {
            Some((sec, nsec)) => crate::print::duration(out, sec, nsec),
            None => out.push_str("?s"),
        }
        out.push_str(", ");
    }
    let named = style.names.tables.is_some_and(|t| t.name_of(f.table).is_some());
    if show_stats || f.table != 0 || named {
        begin(out, c.special, "table", c.end);
        out.push_str(&style.names.table(f.table));
        out.push_str(", ");
    }
    if show_stats {
        for (what, count) in [("n_packets", f.packets), ("n_bytes", f.bytes)] {
            begin(out, c.param, what, c.end);
            match count {
                Some(n) => push_decimal(out, n),
                None => out.push('?'),
            }
            out.push_str(", ");
        }
    }
    let number = |out: &mut String, what: &str, n: u64| {
        begin(out, c.param, what, c.end);
        push_decimal(out, n);
        out.push_str(", ");
    };
    for (what, seconds) in [("idle_timeout", f.idle_timeout), ("hard_timeout", f.hard_timeout)] {
        if seconds != 0 {
            number(out, what, seconds.into());
        }
    }
    write_flags(out, f.flags);
    if f.importance != 0 {
        number(out, "importance", f.importance.into());
    }
    if let Some(age) = f.idle_age.filter(|_| show_stats) {
        number(out, "idle_age", age.into());
    }
    let since = f.duration.map(|(sec, _)| sec);
    if let Some(age) = f.hard_age.filter(|age| show_stats && since != Some(u32::from(*age))) {
        number(out, "hard_age", age.into());
    }
    let before = out.len();
    write_match(out, &f.matching, Some(f.priority), style);
    if out.len() > before {
        out.push(' ');
    }
    begin(out, c.actions, "actions", c.end);
    action::write(out, &f.actions, style);
}

/// Appends a name and what parts it from its value.
fn begin(out: &mut String, color: &str, name: &str, end: &str) {
    for piece in [color, name, "=", end] {
        out.push_str(piece);
    }
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
