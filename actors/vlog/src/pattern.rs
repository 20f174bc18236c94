//! Expands a log pattern: `%05N|%c|%p|%m` and its kin. Source: ovs-appctl(8), `vlog/set PATTERN:`.

use crate::modules::{Level, Module};
use chrono::format::{Item, StrftimeItems};
use chrono::{DateTime, Local, TimeZone, Utc};
use std::fmt::{self, Write};

/// Everything a pattern can speak of.
pub(crate) struct Message<'a> {
    pub module: &'a Module,
    pub level: Level,
    pub text: fmt::Arguments<'a>,
    pub number: u32,
    pub wall_us: i64,
    pub elapsed_ms: i64,
    /// RFC 5424's number, if one is set.
    pub facility: Option<u8>,
    pub program: &'a str,
    pub host: &'a str,
    pub subprogram: &'a str,
    pub pid: u32,
}

const DEFAULT_TIME: &str = "%Y-%m-%d %H:%M:%S";

/// RFC 5424's numbers of facilities: `daemon`, and `local0`, which `%B` takes without a setting.
pub(crate) const LOG_DAEMON: u8 = 3;
const LOG_LOCAL0: u8 = 16;

impl Message<'_> {
    /// RFC 5424's priority: facility and severity in one.
    pub(crate) fn priority(&self, default_facility: u8) -> u32 {
        u32::from(self.facility.unwrap_or(default_facility)) * 8 + u32::from(self.level.syslog_severity())
    }
}

/// Appends `message` to `out` in the form `pattern` asks for.
pub(crate) fn expand(pattern: &str, message: &Message<'_>, out: &mut String) {
    let mut rest = pattern;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        rest = escape(&rest[at + 1..], message, out);
    }
    out.push_str(rest);
}

/// Expands the escape after a `%` and returns what follows it.
fn escape<'p>(mut p: &'p str, m: &Message<'_>, out: &mut String) -> &'p str {
    let mut left = false;
    let mut pad = ' ';
    if let Some(after) = p.strip_prefix('-') {
        left = true;
        p = after;
    }
    if let Some(after) = p.strip_prefix('0') {
        pad = '0';
        p = after;
    }
    let digits = p.bytes().take_while(u8::is_ascii_digit).count();
    // A width beyond any line's length is a mistake, not a wish for a gigabyte of blanks.
    let width = p[..digits].parse::<usize>().unwrap_or(0).min(1024);
    p = &p[digits..];
    let mut chars = p.chars();
    let Some(what) = chars.next() else {
        return "";
    };
    let mut rest = chars.as_str();
    let start = out.len();
    match what {
        'A' => out.push_str(m.program),
        'B' => put(out, m.priority(LOG_LOCAL0)),
        'c' => out.push_str(m.module.name()),
        'd' | 'D' => {
            let (format, after) = braces(rest);
            rest = after;
            time(format.unwrap_or(DEFAULT_TIME), what == 'D', m.wall_us, out);
        }
        'E' => out.push_str(m.host),
        'm' => {
            let _ = out.write_fmt(m.text);
        }
        'N' => put(out, m.number),
        'n' => out.push('\n'),
        'p' => out.push_str(m.level.name()),
        'P' => put(out, m.pid),
        'r' => put(out, m.elapsed_ms),
        't' => out.push_str(if m.subprogram.is_empty() { "main" } else { m.subprogram }),
        'T' if !m.subprogram.is_empty() => {
            let _ = write!(out, "({})", m.subprogram);
        }
        'T' => {}
        other => out.push(other),
    }
    let length = out.len() - start;
    if length < width {
        let fill: String = std::iter::repeat_n(pad, width - length).collect();
        out.insert_str(if left { out.len() } else { start }, &fill);
    }
    rest
}

fn put(out: &mut String, value: impl fmt::Display) {
    let _ = write!(out, "{value}");
}

/// Splits `{format}` off the front.
fn braces(p: &str) -> (Option<&str>, &str) {
    match p.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
        Some((format, rest)) => (Some(format), rest),
        None => (None, p),
    }
}

/// Formats a time by strftime's rules; each run of `#` becomes that many digits of the fraction of a second.
pub(crate) fn time(format: &str, utc: bool, wall_us: i64, out: &mut String) {
    let Some(at) = Utc.timestamp_micros(wall_us).single() else {
        return;
    };
    let start = out.len();
    if utc {
        calendar(&at, format, out)
    } else {
        calendar(&at.with_timezone(&Local), format, out)
    }
    if format.contains('#') {
        let fraction = format!("{:03}000000", wall_us.rem_euclid(1_000_000) / 1000);
        let mut digits = fraction.chars();
        let filled: String = out[start..]
            .chars()
            .map(|c| {
                if c == '#' {
                    digits.next().unwrap_or('0')
                } else {
                    digits = fraction.chars();
                    c
                }
            })
            .collect();
        out.truncate(start);
        out.push_str(&filled);
    }
}

fn calendar<Z: TimeZone>(at: &DateTime<Z>, format: &str, out: &mut String)
where
    Z::Offset: fmt::Display,
{
    let items: Vec<Item<'_>> = StrftimeItems::new(format).collect();
    if items.iter().any(|i| matches!(i, Item::Error)) {
        out.push_str(format);
        return;
    }
    let _ = write!(out, "{}", at.format_with_items(items.iter()));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(pattern: &str) -> String {
        let mut out = String::new();
        let message = Message {
            module: crate::module("pattern_test"),
            level: Level::Warn,
            text: format_args!("hello"),
            number: 12,
            wall_us: 1_795_394_467_123_456,
            elapsed_ms: 42,
            facility: Some(3),
            program: "ovs-vswitchd",
            host: "box",
            subprogram: "monitor",
            pid: 77,
        };
        expand(pattern, &message, &mut out);
        out
    }

    #[test]
    fn each_escape() {
        for (pattern, want) in [
            (
                "%D{%Y-%m-%dT%H:%M:%S.###Z}|%05N|%c%T|%p|%m",
                "2026-11-23T00:41:07.123Z|00012|pattern_test(monitor)|WARN|hello",
            ),
            ("<%B> %D{%h %e %T} %E %A: ", "<28> Nov 23 00:41:07 box ovs-vswitchd: "),
            ("%-6p|%6p|%06P|%r", "WARN  |  WARN|000077|42"),
            ("100%% %t%n", "100% monitor\n"),
            ("%q%", "q"),
            ("%D", "2026-11-23 00:41:07"),
            ("%D{%Y", "2026-11-23 00:41:07{%Y"),
        ] {
            // An unclosed brace is text, and its escapes are expanded like any.
            let want = want.replace("{%Y", "{Y");
            assert_eq!(expanded(pattern), want, "{pattern}");
        }
    }
}
