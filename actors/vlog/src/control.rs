//! The `vlog/…` control commands and `--verbose` in words: parse a setting, print the tables.
//!
//! Source: ovs-appctl(8); the refusals' texts as Open vSwitch 3.1 words them.

use crate::modules::{self, Destination, Level, Module};
use crate::{output, settings};
use std::fmt::Write;

/// A control command of the log: its name, its arguments in words, the least and the greatest number of them.
pub type Command = (&'static str, &'static str, usize, usize);

/// The control commands of the log, by name.
pub const COMMANDS: [Command; 7] = [
    ("vlog/close", "", 0, 0),
    ("vlog/disable-rate-limit", "[module]...", 0, usize::MAX),
    ("vlog/enable-rate-limit", "[module]...", 0, usize::MAX),
    ("vlog/list", "", 0, 0),
    ("vlog/list-pattern", "", 0, 0),
    ("vlog/reopen", "", 0, 0),
    ("vlog/set", "{spec | PATTERN:destination:pattern}", 0, usize::MAX),
];

/// Carries out one of [`COMMANDS`], whose arguments have been counted; `None` if it is none of them.
///
/// # Errors
/// The text to answer with.
pub fn command(name: &str, args: &[String]) -> Option<Result<String, String>> {
    let done = |result: Result<(), String>| result.map(|()| String::new());
    Some(match name {
        "vlog/close" => {
            output::close_file();
            Ok(String::new())
        }
        "vlog/disable-rate-limit" => done(rate_limits(args, false)),
        "vlog/enable-rate-limit" => done(rate_limits(args, true)),
        "vlog/list" => Ok(list()),
        "vlog/list-pattern" => Ok(list_pattern()),
        "vlog/reopen" => done(reopen()),
        // Nothing in particular is everything.
        "vlog/set" if args.is_empty() => done(set("any:any:dbg")),
        "vlog/set" => done(args.iter().try_for_each(|spec| set(spec))),
        _ => return None,
    })
}

fn reopen() -> Result<(), String> {
    if output::log_file_path().is_none() {
        return Err("Logging to file not configured".to_owned());
    }
    output::reopen_file().map_err(|error| {
        let text = error.to_string();
        text.find(" (os error").map_or(text.clone(), |at| text[..at].to_owned())
    })
}

/// Carries out one setting: `[MODULE][:DESTINATION][:LEVEL]` in any order, `PATTERN:DESTINATION:TEXT`, or
/// `FACILITY:NAME`. The error is the text to show.
pub fn set(spec: &str) -> Result<(), String> {
    let delimiter = |c: char| matches!(c, ' ' | ',' | ':' | '\t');
    let trimmed = spec.trim_start_matches(delimiter);
    let (first, rest) = trimmed.split_once(delimiter).unwrap_or((trimmed, ""));
    if first.eq_ignore_ascii_case("pattern") {
        return set_pattern(rest);
    }
    if first.eq_ignore_ascii_case("facility") {
        let name = rest.split(':').find(|w| !w.is_empty()).unwrap_or("");
        return if settings::set_facility(name) { Ok(()) } else { Err("invalid facility".into()) };
    }
    set_words(spec.split(delimiter).filter(|w| !w.is_empty()))
}

fn set_pattern(rest: &str) -> Result<(), String> {
    let rest = rest.trim_start_matches(':');
    let (word, pattern) = rest.split_once(':').unwrap_or((rest, ""));
    if word.is_empty() {
        return Err("missing destination".into());
    }
    if word.eq_ignore_ascii_case("any") {
        for destination in Destination::ALL {
            settings::set_pattern(destination, pattern);
        }
        return Ok(());
    }
    let destination = Destination::parse(word).ok_or_else(|| format!("unknown destination \"{word}\""))?;
    settings::set_pattern(destination, pattern);
    Ok(())
}

fn set_words<'a>(words: impl Iterator<Item = &'a str>) -> Result<(), String> {
    let (mut module, mut level, mut destination) = (None, None, None);
    for word in words {
        if word.eq_ignore_ascii_case("any") {
            continue;
        }
        if let Some(found) = Destination::parse(word) {
            put(&mut destination, found, "cannot specify multiple destinations")?;
        } else if let Some(found) = Level::parse(word) {
            put(&mut level, found, "cannot specify multiple levels")?;
        } else if let Some(found) = modules::find(word) {
            put(&mut module, found, "cannot specify multiple modules")?;
        } else {
            return Err(format!("no destination, level, or module \"{word}\""));
        }
    }
    settings::set_level(module, destination, level.unwrap_or(Level::Dbg));
    Ok(())
}

fn put<T>(slot: &mut Option<T>, value: T, refusal: &str) -> Result<(), String> {
    if slot.is_some() {
        return Err(refusal.to_owned());
    }
    *slot = Some(value);
    Ok(())
}

/// The table of `vlog/list`.
fn list() -> String {
    let mut out =
        String::from("                 console    syslog    file\n                 -------    ------    ------\n");
    for module in modules::all() {
        let level = |d| module.level(d).name();
        let _ = write!(
            out,
            "{:<16}  {:>4}       {:>4}       {:>4}",
            module.name(),
            level(Destination::Console),
            level(Destination::Syslog),
            level(Destination::File)
        );
        if !module.honors_rate_limits() {
            out.push_str("    (rate limiting disabled)");
        }
        out.push('\n');
    }
    out
}

/// The table of `vlog/list-pattern`.
fn list_pattern() -> String {
    let mut out = String::from(
        "         prefix                            format\n         ------                            ------\n",
    );
    for destination in Destination::ALL {
        let prefix = if destination == Destination::Syslog { settings::SYSLOG_PREFIX } else { "none" };
        let pattern = settings::with(|s| s.patterns[destination.index()].clone());
        let _ = writeln!(out, "{:<7}  {prefix:<32}  {pattern}", destination.name());
    }
    out
}

/// `vlog/enable-rate-limit` and its opposite: for the named modules, or for all.
fn rate_limits(names: &[String], honor: bool) -> Result<(), String> {
    let chosen: Vec<&'static Module> = if names.is_empty() {
        modules::all()
    } else {
        let mut chosen = Vec::new();
        for name in names {
            if name.eq_ignore_ascii_case("any") {
                chosen = modules::all();
                break;
            }
            chosen.push(modules::find(name).ok_or("unknown module")?);
        }
        chosen
    };
    for module in chosen {
        module.set_honor_rate_limits(honor);
    }
    Ok(())
}
