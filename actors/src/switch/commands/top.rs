//! `switch/top`: the ports and the busiest flows with their rates, over a moment. There is no such command elsewhere.
//!
//! ```text
//! switch/top [--interval SECONDS] [--flows N]
//! ```
//!
//! The answer is one look; `ovs-appctl` on a terminal asks for it again and again.

use flow::{Ufid, odp_text};
use std::collections::BTreeMap;
use std::fmt::Write;

use super::context::{Names, Registry};
use super::flows::{Shown, collect};
use crate::clock;
use crate::metrics::survey::Survey;
use crate::switch::directory::Directory;

/// Flows shown unless told otherwise.
const FLOWS: usize = 20;

/// Registers it.
pub(super) fn add(registry: &mut Registry<'_>) {
    registry.ask("switch/top", "[--interval SECONDS] [--flows N]", (0, 5), |directory, args| async move {
        let request = Request::parse(&args)?;
        let before = look(&directory).await?;
        clock::sleep_real(request.interval_ms).await;
        let after = look(&directory).await?;
        Ok(render(&directory, &before, &after, request.flows))
    });
}

#[derive(Debug, PartialEq, Eq)]
struct Request {
    interval_ms: u64,
    flows: usize,
}

impl Request {
    fn parse(args: &[String]) -> Result<Request, String> {
        let mut request = Request { interval_ms: 1000, flows: FLOWS };
        let mut args = args.iter().flat_map(|a| match a.split_once('=') {
            Some((option, value)) => vec![option, value],
            None => vec![a.as_str()],
        });
        while let Some(option) = args.next() {
            // What `ovs-appctl` is told, and the switch does anyway.
            if option == "--once" {
                continue;
            }
            let value = args.next().ok_or_else(|| format!("{option} needs a value"))?;
            let wrong = || format!("{option}: \"{value}\" is no number that fits here");
            match option {
                "--interval" => {
                    let seconds = value.parse().ok().filter(|s| (0.05..=3600.0).contains(s)).ok_or_else(wrong)?;
                    request.interval_ms = (1000.0 * f64::max(seconds, 0.0)) as u64;
                }
                "--flows" => request.flows = value.parse().map_err(|_| wrong())?,
                _ => return Err(format!("{option}: no such option")),
            }
        }
        Ok(request)
    }
}

/// The switch at one moment, with its flows.
struct Look {
    at_us: i64,
    survey: Survey,
    flows: BTreeMap<Ufid, (String, Shown)>,
}

async fn look(directory: &Directory) -> Result<Look, String> {
    let mut flows = BTreeMap::new();
    for (kind, datapath) in directory.datapaths.iter() {
        let some = collect(directory, datapath).await?;
        flows.extend(some.into_iter().map(|f| (f.flow.entry.ufid, (kind.clone(), f))));
    }
    Ok(Look { at_us: clock::now_us(), survey: Survey::take(directory).await, flows })
}

fn render(directory: &Directory, before: &Look, after: &Look, flows: usize) -> String {
    let seconds = ((after.at_us - before.at_us) as f64 / 1e6).max(1e-3);
    let per_second = |after: u64, before: u64| after.saturating_sub(before) as f64 / seconds;
    let mut out = summary(before, after, seconds);
    let _ = writeln!(
        out,
        "\n{:<15} {:<15} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "PORT", "BRIDGE", "rx pkt/s", "rx bit/s", "tx pkt/s", "tx bit/s", "lost/s"
    );
    let zero = crate::metrics::survey::PortFigures::default();
    for (name, now) in &after.survey.ports {
        let then = before.survey.ports.get(name).unwrap_or(&zero);
        let lost = |p: &crate::metrics::survey::PortFigures| p.rx_lost + p.stats.tx_dropped + p.stats.tx_errors;
        let _ = writeln!(
            out,
            "{name:<15} {:<15} {:>9} {:>9} {:>9} {:>9} {:>9}",
            now.bridge,
            short(per_second(now.stats.rx_packets, then.stats.rx_packets)),
            short(8.0 * per_second(now.stats.rx_bytes, then.stats.rx_bytes)),
            short(per_second(now.stats.tx_packets, then.stats.tx_packets)),
            short(8.0 * per_second(now.stats.tx_bytes, then.stats.tx_bytes)),
            short(per_second(lost(now), lost(then)))
        );
    }
    let mut busy: Vec<(f64, f64, &str, &Shown)> = Vec::new();
    for (ufid, (kind, shown)) in &after.flows {
        let flow = &shown.flow;
        let then = before.flows.get(ufid).map(|(_, f)| f.flow.stats).unwrap_or_default();
        let packets = per_second(flow.stats.packets, then.packets);
        if packets > 0.0 {
            busy.push((8.0 * per_second(flow.stats.bytes, then.bytes), packets, kind, shown));
        }
    }
    busy.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.3.flow.entry.ufid.cmp(&b.3.flow.entry.ufid)));
    let _ = writeln!(out, "\n{:>9} {:>9}  FLOW", "pkt/s", "bit/s");
    for (bits, packets, kind, shown) in busy.into_iter().take(flows) {
        let Some(datapath) = directory.datapaths.get(kind) else { continue };
        let names = Names(&datapath.ports);
        let options = odp_text::KeyOptions { verbose: false, ports: Some(&names) };
        let key = shown.key_text(&options);
        let actions = odp_text::format_actions(&shown.flow.entry.actions, Some(&names));
        let _ = writeln!(out, "{:>9} {:>9}  {key}, actions:{actions}", short(packets), short(bits));
    }
    out
}

fn summary(before: &Look, after: &Look, seconds: f64) -> String {
    let sum = |look: &Look, read: fn(&dp::Stats) -> u64| -> u64 {
        look.survey.datapaths.values().map(|report| read(&report.stats)).sum()
    };
    let grown = |read: fn(&dp::Stats) -> u64| sum(after, read).saturating_sub(sum(before, read)) as f64;
    let passes = grown(|s| s.simple_hits + s.emc_hits + s.smc_hits + s.megaflow_hits + s.misses + s.lost).max(1.0);
    let share = |read: fn(&dp::Stats) -> u64| 100.0 * grown(read) / passes;
    let rate = |read: fn(&dp::Stats) -> u64| short(grown(read) / seconds);
    format!(
        "{} bridges, {} ports, {} rules, {} cached flows; over {seconds:.1} s\n\
         packets/s {}   hits: simple {:.1}%, exact {:.1}%, signature {:.1}%, megaflow {:.1}%   misses/s {}   lost/s {}   drops/s {}\n",
        after.survey.rules.len(),
        after.survey.ports.len(),
        after.survey.rules.values().sum::<usize>(),
        after.flows.len(),
        rate(|s| s.received),
        share(|s| s.simple_hits),
        share(|s| s.emc_hits),
        share(|s| s.smc_hits),
        share(|s| s.megaflow_hits),
        rate(|s| s.misses),
        rate(|s| s.lost),
        rate(|s| s.drops.iter().sum()),
    )
}

/// A number in at most five signs: `999`, `12.3k`, `1.23G`.
fn short(number: f64) -> String {
    let (mut number, mut unit) = (number, 0);
    const UNITS: [&str; 5] = ["", "k", "M", "G", "T"];
    while number >= 999.5 && unit + 1 < UNITS.len() {
        number /= 1000.0;
        unit += 1;
    }
    let decimals = match number {
        n if unit == 0 && n >= 9.95 => 0,
        n if n >= 99.95 => 0,
        n if n >= 9.995 || unit == 0 => 1,
        _ => 2,
    };
    if number == 0.0 { "0".to_owned() } else { format!("{number:.decimals$}{}", UNITS[unit]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        for (number, text) in [
            (0.0, "0"),
            (0.52, "0.5"),
            (9.0, "9.0"),
            (42.4, "42"),
            (999.0, "999"),
            (1000.0, "1.00k"),
            (12_345.0, "12.3k"),
            (999_700.0, "1.00M"),
            (123_456_789.0, "123M"),
            (9.5e15, "9500T"),
        ] {
            assert_eq!(short(number), text);
        }
    }

    #[test]
    fn what_is_asked() {
        let parse = |line: &str| Request::parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(parse("").unwrap(), Request { interval_ms: 1000, flows: FLOWS });
        assert_eq!(parse("--once --interval=0.5 --flows 3").unwrap(), Request { interval_ms: 500, flows: 3 });
        assert!(parse("--interval x").is_err());
        assert!(parse("--interval -1").is_err());
        assert_eq!(parse("--zork 1").unwrap_err(), "--zork: no such option");
    }
}
