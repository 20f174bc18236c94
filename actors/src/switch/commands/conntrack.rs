//! `dpctl/ct-*`, `dpctl/*-conntrack` and `dpctl/ipf-*`: tracked connections, their limits, and fragments.

use std::fmt::Write;

use super::context::{Found, Registry, Says, optional_datapath, perform, reason};
use super::dpctl::options;
use crate::switch::directory::Directory;

/// Registers them.
pub(super) fn add(registry: &mut Registry<'_>) {
    add_connections(registry);
    add_counts(registry);
    add_limits(registry);
    add_fragments(registry);
}

/// The number that a text begins with, as it fits into 32 bits; what comes after it goes unread.
fn leading(text: &str) -> Option<u32> {
    flow::text::parse_u64_prefix(text, 10).map(|(number, _)| number as u32)
}

/// The number behind a prefix, as it fits into 16 bits.
fn numbered(text: &str, prefix: &str) -> Option<u16> {
    leading(text.strip_prefix(prefix)?).map(|n| n as u16)
}

/// Takes a last argument of the form `prefixNUMBER` off.
fn without_last<'a>(args: &'a [String], prefix: &str) -> (&'a [String], Option<u16>) {
    match args.split_last().and_then(|(last, rest)| Some((rest, numbered(last, prefix)?))) {
        Some((rest, number)) => (rest, Some(number)),
        None => (args, None),
    }
}

fn add_connections(registry: &mut Registry<'_>) {
    registry.ask("dpctl/dump-conntrack", "[-m] [-s] [dp] [zone=N]", (0, 4), |directory, args| async move {
        let mut says = Says::default();
        let (given, args) = options(&args)?;
        let (args, zone) = without_last(args, "zone=");
        let Ok(((_, entry), _)) = optional_datapath(&directory, args, 1, &mut says) else {
            return says.answer(Err(()));
        };
        let work = move |engine: &mut dp::Datapath, now_us: u64| {
            let now_ms = given.statistics.then_some(now_us / 1000);
            let mut out = String::new();
            let mut cursor = Some(0);
            while let Some(from) = cursor {
                let (some, next) = engine.dump_connections(from, 4096, zone);
                for connection in some {
                    let _ = writeln!(out, "{}", connection.text(now_ms, given.verbose));
                }
                cursor = next;
            }
            Ok(out)
        };
        perform(entry, Box::new(work)).await
    });
    let usage = "[dp] [zone=N] [ct-orig-tuple] [ct-reply-tuple]";
    registry.plain("dpctl/flush-conntrack", usage, (0, 4), |directory, args| async move {
        let mut says = Says::default();
        let result = flush(&directory, &args, &mut says).await;
        says.answer(result)
    });
}

async fn flush(directory: &Directory, args: &[String], says: &mut Says) -> Result<(), ()> {
    let named = args.first().and_then(|name| super::context::datapath_named(directory, name));
    let (found, rest) = match named {
        Some(found) => (Some(found), &args[1..]),
        None => (None, args),
    };
    let words: Vec<&str> = rest.iter().map(String::as_str).collect();
    let wanted = match openflow::parse::ct::parse_ct_flush(&words) {
        Ok(wanted) => wanted,
        Err(error) => {
            let error = error.strip_prefix("Failed to parse ct-tuple: ").unwrap_or(&error);
            let error = error.split('=').next().unwrap_or(error).replace("Failed", "failed");
            return says.fail(&error, Some(reason::INVALID));
        }
    };
    let (name, entry) = match found {
        Some(found) => found,
        None => optional_datapath(directory, &[], 1, says)?.0,
    };
    crate::datapath::log_flush(&name, &wanted);
    let work = move |engine: &mut dp::Datapath, _| {
        let missing = crate::datapath::flush_connections(engine, &wanted).is_err();
        Ok(String::from(if missing { reason::NO_FLOW } else { "" }))
    };
    match perform(entry, Box::new(work)).await {
        Ok(missing) if missing.is_empty() => Ok(()),
        Ok(missing) => says.fail("failed to flush conntrack", Some(&missing)),
        Err(_) => says.fail("failed to flush conntrack", Some("Resource temporarily unavailable")),
    }
}

fn add_counts(registry: &mut Registry<'_>) {
    registry.ask("dpctl/ct-stats-show", "[dp] [zone=N]", (0, 3), |directory, args| async move {
        let mut says = Says::default();
        let (given, args) = options(&args)?;
        let (args, verbose) = match args.split_last() {
            Some((last, rest)) if last == "verbose" => (rest, true),
            _ => (args, given.verbose),
        };
        let (args, zone) = without_last(args, "zone=");
        let Ok(((_, entry), _)) = optional_datapath(&directory, args, 1, &mut says) else {
            return says.answer(Err(()));
        };
        perform(entry, Box::new(move |engine, _| Ok(statistics(engine, zone, verbose)))).await
    });
    registry.plain("dpctl/ct-bkts", "[dp] [gt=N]", (0, 2), |directory, args| async move {
        let mut says = Says::default();
        let (args, least) = without_last(&args, "gt=");
        let Ok(((_, entry), _)) = optional_datapath(&directory, args, 1, &mut says) else {
            return says.answer(Err(()));
        };
        let work = move |engine: &mut dp::Datapath, _| {
            let n = engine.n_connections();
            let mut out = format!("Total Buckets: 1\nCurrent Connections: {n}\n\n");
            if n > 0 {
                let line = format!("+-----------+{}+\n", "-".repeat(41));
                let shown = if n > usize::from(least.unwrap_or(0)) { n.to_string() } else { ".".to_owned() };
                let heading = format!("|  Buckets  |{:9}Connections per Buckets{:9}|\n", "", "");
                let _ = writeln!(out, "{line}{heading}{line}   0..  7   | {shown:>5}\n");
            }
            Ok(out)
        };
        perform(entry, Box::new(work)).await
    });
    registry.plain("dpctl/ct-set-maxconns", "[dp] maxconns", (1, 2), |directory, args| async move {
        let mut says = Says::default();
        let Ok(((_, entry), rest)) = optional_datapath(&directory, &args, 2, &mut says) else {
            return says.answer(Err(()));
        };
        let Some(max) = rest.first().and_then(|n| leading(n)) else {
            let result = says.fail("maxconns missing or malformed", Some(reason::INVALID));
            return says.answer(result);
        };
        let work = move |engine: &mut dp::Datapath, _| {
            engine.set_max_connections(max as usize);
            Ok("setting maxconns successful\n".to_owned())
        };
        perform(entry, Box::new(work)).await
    });
    read(registry, "dpctl/ct-get-maxconns", |engine| format!("{}\n", engine.max_connections()));
    read(registry, "dpctl/ct-get-nconns", |engine| format!("{}\n", engine.n_connections()));
    read(registry, "dpctl/ct-get-tcp-seq-chk", |engine| {
        let state = if engine.checks_tcp_sequence() { "enabled" } else { "disabled" };
        format!("TCP sequence checking: {state}\n")
    });
    read(registry, "dpctl/ct-enable-tcp-seq-chk", |engine| {
        engine.set_tcp_sequence_check(true);
        "enabling TCP sequence checking successful\n".to_owned()
    });
    read(registry, "dpctl/ct-disable-tcp-seq-chk", |engine| {
        engine.set_tcp_sequence_check(false);
        "disabling TCP sequence checking successful\n".to_owned()
    });
}

/// A command that takes nothing but a datapath.
fn read(registry: &mut Registry<'_>, name: &'static str, say: fn(&mut dp::Datapath) -> String) {
    // Some take what is no datapath for another argument.
    let most = if name.ends_with("able-tcp-seq-chk") { 2 } else { 1 };
    registry.plain(name, "[dp]", (0, 1), move |directory, args| async move {
        let mut says = Says::default();
        match optional_datapath(&directory, &args, most, &mut says) {
            Ok(((_, entry), _)) => perform(entry, Box::new(move |engine, _| Ok(say(engine)))).await,
            Err(()) => says.answer(Err(())),
        }
    });
}

/// Connections by protocol, TCP's by state as well if `verbose`.
fn statistics(engine: &dp::Datapath, zone: Option<u16>, verbose: bool) -> String {
    use dp::ct::TcpState;
    const STATES: [(TcpState, &str); 11] = [
        (TcpState::Closed, "CLOSED"),
        (TcpState::Listen, "LISTEN"),
        (TcpState::SynSent, "SYN_SENT"),
        (TcpState::SynRecv, "SYN_RECV"),
        (TcpState::Established, "ESTABLISHED"),
        (TcpState::CloseWait, "CLOSE_WAIT"),
        (TcpState::FinWait1, "FIN_WAIT_1"),
        (TcpState::Closing, "CLOSING"),
        (TcpState::LastAck, "LAST_ACK"),
        (TcpState::FinWait2, "FIN_WAIT_2"),
        (TcpState::TimeWait, "TIME_WAIT"),
    ];
    // ICMPv6 is counted in the total alone.
    const PROTOCOLS: [(u8, &str); 7] =
        [(6, "TCP"), (17, "UDP"), (136, "UDPLITE"), (132, "SCTP"), (1, "ICMP"), (33, "DCCP"), (2, "IGMP")];
    let (mut total, mut counts, mut states, mut other) = (0, [0u64; 7], [0u64; 11], 0);
    let mut cursor = Some(0);
    while let Some(from) = cursor {
        let (some, next) = engine.dump_connections(from, 4096, zone);
        cursor = next;
        for connection in some {
            total += 1;
            match PROTOCOLS.iter().position(|(n, _)| *n == connection.original.proto) {
                Some(i) => counts[i] += 1,
                None if connection.original.is_icmp() => {}
                None => other += 1,
            }
            if let Some(state) = connection.tcp_state()
                && let Some(i) = STATES.iter().position(|(s, _)| *s == state)
            {
                states[i] += 1;
            }
        }
    }
    let mut out = format!("Connections Stats:\n    Total: {total}\n");
    for (i, (_, name)) in PROTOCOLS.iter().enumerate().filter(|(i, _)| counts[*i] > 0) {
        let _ = writeln!(out, "  {name}: {}", counts[i]);
        if i == 0 && verbose {
            let _ = writeln!(out, "    Conn per TCP states:");
            for (n, (_, state)) in states.iter().zip(STATES).filter(|(n, _)| **n > 0) {
                let _ = writeln!(out, "\t  [{state}]={n}");
            }
        }
    }
    if other > 0 {
        let _ = writeln!(out, "  Other: {other}");
    }
    out
}

fn add_limits(registry: &mut Registry<'_>) {
    let usage = "[dp] [default=L] [zone=N,limit=L]...";
    registry.plain("dpctl/ct-set-limits", usage, (1, usize::MAX), |directory, args| async move {
        let mut says = Says::default();
        let named = super::context::datapath_named(&directory, &args[0]);
        let (found, rest) = match named {
            Some(found) => (found, &args[1..]),
            None => match optional_datapath(&directory, &[], 1, &mut says) {
                Ok((found, _)) => (found, args.as_slice()),
                Err(()) => return says.answer(Err(())),
            },
        };
        let result = set_limits(found, rest, &mut says).await;
        says.answer(result)
    });
    registry.plain("dpctl/ct-del-limits", "[dp] zone=N1[,N2]...", (1, 2), |directory, args| async move {
        let mut says = Says::default();
        let result = match optional_datapath(&directory, &args, 2, &mut says) {
            Ok((found, [zones])) => delete_limits(found, zones, &mut says).await,
            _ => Err(()),
        };
        says.answer(result)
    });
    registry.plain("dpctl/ct-get-limits", "[dp] [zone=N1[,N2]...]", (0, 2), |directory, args| async move {
        let mut says = Says::default();
        let result = match optional_datapath(&directory, &args, 2, &mut says) {
            Ok((found, rest)) => show_limits(found, rest.first(), &mut says).await,
            Err(()) => Err(()),
        };
        says.answer(result)
    });
}

async fn set_limits((_, entry): Found<'_>, args: &[String], says: &mut Says) -> Result<(), ()> {
    let mut wanted: Vec<(Option<u16>, u32)> = Vec::new();
    for (at, arg) in args.iter().enumerate() {
        // The one for all other zones comes first.
        if let Some(limit) = arg.strip_prefix("default=").filter(|_| at == 0) {
            let Some(limit) = leading(limit) else { return says.fail("invalid default limit", Some(reason::INVALID)) };
            wanted.push((None, limit));
            continue;
        }
        let (mut zone, mut limit) = (None, None);
        for field in arg.split(',') {
            let (name, value) = field.split_once('=').unwrap_or((field, ""));
            if value.is_empty() {
                return says.fail(&format!("field {name} missing value"), Some(reason::INVALID));
            }
            let mut number =
                value.strip_prefix('-').map_or_else(|| leading(value), |n| leading(n).map(u32::wrapping_neg));
            match name {
                "zone" => {
                    number = number.filter(|n| u16::try_from(*n).is_ok());
                    zone = number.map(|n| n as u16);
                }
                "limit" => limit = number,
                _ => return says.fail(&format!("invalid zone limit field: {name}"), Some(reason::INVALID)),
            }
            if number.is_none() {
                return says.fail(&format!("failed to parse field {name}"), Some(reason::INVALID));
            }
        }
        let (Some(zone), Some(limit)) = (zone, limit) else {
            return says.fail("failed to parse zone limit", Some(reason::INVALID));
        };
        wanted.push((Some(zone), limit));
    }
    let work = move |engine: &mut dp::Datapath, _| {
        wanted.into_iter().for_each(|(zone, limit)| engine.set_connection_limit(zone, limit));
        Ok(String::new())
    };
    perform(entry, Box::new(work)).await.map(|_| ()).map_err(|_| ())
}

fn zones_of(text: &str, says: &mut Says) -> Result<Vec<u16>, ()> {
    let Some(list) = text.strip_prefix("zone=") else {
        return says.fail(&format!("invalid argument {text}"), Some(reason::INVALID));
    };
    match list.split(',').map(str::parse).collect() {
        Ok(zones) => Ok(zones),
        Err(_) => says.fail("invalid zone", Some(reason::INVALID)),
    }
}

async fn delete_limits((_, entry): Found<'_>, text: &str, says: &mut Says) -> Result<(), ()> {
    let zones = zones_of(text, says)?;
    let work = move |engine: &mut dp::Datapath, _| {
        zones.into_iter().for_each(|zone| engine.remove_connection_limit(zone));
        Ok(String::new())
    };
    perform(entry, Box::new(work)).await.map(|_| ()).map_err(|_| ())
}

async fn show_limits((_, entry): Found<'_>, zones: Option<&String>, says: &mut Says) -> Result<(), ()> {
    let zones = zones.map(|text| zones_of(text, says)).transpose()?;
    let work = move |engine: &mut dp::Datapath, _| {
        let (default, limits) = engine.connection_limits();
        let mut out = format!("default limit={}\n", default.unwrap_or(0));
        let shown = zones.unwrap_or_else(|| limits.iter().map(|(zone, _)| *zone).collect());
        for zone in shown {
            let (limit, count) = engine.connection_limit_in(zone).unwrap_or_default();
            let _ = writeln!(out, "zone={zone},limit={limit},count={count}");
        }
        Ok(out)
    };
    let text = perform(entry, Box::new(work)).await.map_err(|_| ())?;
    says.0.push_str(&text);
    Ok(())
}

/// Settings and counters of fragments; with what waits if `verbose`.
fn fragments_text(fragments: &dp::ct::Fragments, verbose: bool) -> String {
    let [v4, v6] = fragments.families;
    let mut out = format!(
        "        Fragmentation Module Status\n        ---------------------------\n        v4 enabled: {}\n        v6 \
         enabled: {}\n        max num frags (v4/v6): {}\n        num frag: {}\n",
        u8::from(v4.enabled),
        u8::from(v6.enabled),
        fragments.max,
        fragments.held()
    );
    for (name, family) in [("v4", v4), ("v6", v6)] {
        let _ = writeln!(out, "        min {name} frag size: {}", family.min_size);
        let counters = [
            ("accepted", family.accepted),
            ("completed", family.completed),
            ("expired", family.expired),
            ("too small", family.too_small),
            ("overlapped", family.overlapped),
            ("purged", family.purged),
        ];
        for (what, n) in counters {
            let _ = writeln!(out, "        {name} frags {what}: {n}");
        }
    }
    if verbose {
        let _ = write!(out, "\n        Fragment Lists:\n\n{}", fragments.list());
    }
    out
}

fn family(text: Option<&String>) -> Option<usize> {
    ["v4", "v6"].iter().position(|f| text.is_some_and(|t| t == f))
}

/// Changes settings of fragments; says `done`.
async fn set_fragments(
    (_, entry): Found<'_>,
    done: String,
    set: impl FnOnce(&mut dp::ct::Fragments) + Send + 'static,
    says: &mut Says,
) -> Result<(), ()> {
    let work = move |engine: &mut dp::Datapath, _| {
        engine.with_fragments(set);
        Ok(String::new())
    };
    perform(entry, Box::new(work)).await.map_err(|_| ())?;
    says.0 = done;
    Ok(())
}

fn add_fragments(registry: &mut Registry<'_>) {
    registry.ask("dpctl/ipf-get-status", "[dp]", (0, 1), |directory, args| async move {
        let mut says = Says::default();
        let (given, args) = options(&args)?;
        let Ok(((_, entry), _)) = optional_datapath(&directory, args, 1, &mut says) else {
            return says.answer(Err(()));
        };
        let work = move |engine: &mut dp::Datapath, _| {
            Ok(engine.with_fragments(|fragments| fragments_text(fragments, given.verbose)))
        };
        perform(entry, Box::new(work)).await
    });
    for (name, doing, on) in
        [("dpctl/ipf-set-enabled", "enabling", true), ("dpctl/ipf-set-disabled", "disabling", false)]
    {
        registry.plain(name, "[dp] v4|v6", (1, 2), move |directory, args| async move {
            let mut says = Says::default();
            let Ok((found, rest)) = optional_datapath(&directory, &args, 3, &mut says) else {
                return says.answer(Err(()));
            };
            let done = format!("{doing} fragmentation reassembly successful\n");
            let result = match family(rest.last()) {
                Some(i) => set_fragments(found, done, move |f| f.families[i].enabled = on, &mut says).await,
                None => says.fail("parameter missing: 'v4' for IPv4 or 'v6' for IPv6", Some(reason::INVALID)),
            };
            says.answer(result)
        });
    }
    registry.plain("dpctl/ipf-set-min-frag", "[dp] v4|v6 minfragment", (2, 3), |directory, args| async move {
        let mut says = Says::default();
        let Ok((found, rest)) = optional_datapath(&directory, &args, 3, &mut says) else { return says.answer(Err(())) };
        let done = "setting minimum fragment size successful\n".to_owned();
        let result = match (family(rest.first()), rest.get(1).and_then(|n| leading(n))) {
            (None, _) => says.fail("parameter missing: v4 for IPv4 or v6 for IPv6", Some(reason::INVALID)),
            (_, None) => says.fail("parameter missing for minimum fragment size", Some(reason::INVALID)),
            (Some(_), Some(n)) if n < dp::ct::LEAST_MIN_SIZE => {
                says.fail("requested minimum fragment size too small; see documentation", Some(reason::NOT_PERMITTED))
            }
            (Some(i), Some(n)) => set_fragments(found, done, move |f| f.families[i].min_size = n, &mut says).await,
        };
        says.answer(result)
    });
    registry.plain("dpctl/ipf-set-max-nfrags", "[dp] maxfrags", (1, 2), |directory, args| async move {
        let mut says = Says::default();
        let Ok((found, rest)) = optional_datapath(&directory, &args, 2, &mut says) else { return says.answer(Err(())) };
        let done = "setting maximum fragments successful\n".to_owned();
        let result = match rest.first().and_then(|n| leading(n)) {
            None => says.fail("parameter missing for maximum fragments", Some(reason::INVALID)),
            Some(n) if n > dp::ct::MOST_FRAGMENTS => {
                says.fail("setting maximum fragments failed", Some(reason::NOT_PERMITTED))
            }
            Some(n) => set_fragments(found, done, move |f| f.max = n, &mut says).await,
        };
        says.answer(result)
    });
}
