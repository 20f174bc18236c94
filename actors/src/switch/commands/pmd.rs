//! `dpif-netdev/pmd-*`: the threads that poll ports, what they have, and what they did.

mod perf;

pub(crate) use perf::iteration_table;

use std::fmt::Write;
use std::sync::{Mutex, PoisonError};

use dp::rxq::{Assignment, Thread};

use super::context::{PATIENCE, Registry};
use crate::msg::datapath::{ClearMetrics, DatapathReport, QueueReport, ReadStats, ThreadReport};
use crate::msg::switch::DatapathEdit;
use crate::switch::directory::{DatapathEntry, Directory};

/// How long the load of threads is remembered, seconds, and in what pieces.
const REMEMBERED_S: u32 = PIECE_S * dp::Load::PIECES as u32;
const PIECE_S: u32 = dp::Load::PIECE_S;

pub(super) const NO_DATAPATH: &str = "please specify an existing datapath";

/// Registers them.
pub(super) fn add(registry: &mut Registry<'_>) {
    registry.ask("dpif-netdev/pmd-stats-show", "[-pmd core] [dp]", (0, 3), |directory, args| async move {
        let wanted = Wanted::of(&directory, &args)?;
        let report = read(wanted.entry).await?;
        let mut out = String::new();
        for thread in wanted.threads() {
            let _ = writeln!(out, "{}", heading(thread));
            let Some(of) = report.threads.iter().find(|t| t.core == thread.core.core) else { continue };
            let before = cleared(&wanted.kind, Some(of.core));
            statistics(&mut out, &of.stats, &before.stats);
            cycles(&mut out, of, &before);
        }
        if wanted.core.is_none() {
            out.push_str("main thread:\n");
            statistics(&mut out, &report.main, &cleared(&wanted.kind, None).stats);
        }
        Ok(out)
    });
    registry.ask("dpif-netdev/pmd-stats-clear", "[-pmd core] [dp]", (0, 3), |directory, args| async move {
        let wanted = Wanted::of(&directory, &args)?;
        let report = read(wanted.entry).await?;
        wanted.entry.address.ask(ClearMetrics(wanted.core), PATIENCE).await.map_err(|e| e.to_string())?;
        let mut zero = CLEARED.lock().unwrap_or_else(PoisonError::into_inner);
        for thread in report.threads.iter().filter(|t| wanted.core.is_none_or(|core| core == t.core)) {
            clear(&mut zero, &wanted.kind, Some(thread.core), *thread);
        }
        if wanted.core.is_none() {
            clear(&mut zero, &wanted.kind, None, main_report(&report));
        }
        Ok(String::new())
    });
    registry.ask("dpif-netdev/pmd-rxq-show", "[-pmd core] [-secs secs] [dp]", (0, 5), |directory, args| async move {
        let wanted = Wanted::of(&directory, &args)?;
        let report = read(wanted.entry).await?;
        let mut out = format!("Displaying last {} seconds pmd usage %\n", wanted.secs);
        for thread in wanted.threads() {
            queues(&mut out, thread, &report, wanted.secs);
        }
        Ok(out)
    });
    registry.ask("dpif-netdev/pmd-rxq-rebalance", "[dp]", (0, 1), |directory, args| async move {
        let wanted = Wanted::of(&directory, &args)?;
        args.first().is_none_or(|name| wanted.is_named(name)).then_some(()).ok_or(NO_DATAPATH)?;
        let report = read(wanted.entry).await?;
        let cost = |q: &QueueReport| q.load.lately(REMEMBERED_S).map_or(0, |(busy_us, _)| busy_us * 1000);
        let costs = report.queues.iter().map(|q| ((q.port, q.number), cost(q))).collect();
        if let Some(hand) = &directory.hand {
            let edit = DatapathEdit::Rebalance { kind: wanted.kind, costs };
            hand.ask(edit, PATIENCE).await.map_err(|e| e.to_string())?.map_err(|_| NO_DATAPATH)?;
        }
        Ok("pmd rxq rebalance requested.\n".to_owned())
    });
    registry.ask("dpif-netdev/kernel-path-show", "[dp]", (0, 1), |directory, args| async move {
        let report = read(Wanted::of(&directory, &args)?.entry).await?;
        let low_latency = report.awake_within_us.map(|us| format!("  processors are to be awake within: {us} us\n"));
        let low_latency = low_latency.unwrap_or_default();
        let Some(kernel) = report.kernel else {
            return Ok(format!("the kernel forwards nothing by itself\n{low_latency}"));
        };
        let mut out = format!("  entries: {}\n  hits: {}\n{low_latency}", kernel.entries, kernel.hits);
        if kernel.floods > 0 {
            let _ = writeln!(out, "  ports whose floods of small frames stay with the ring: {}", kernel.floods);
        }
        if kernel.threaded > 0 {
            let _ =
                writeln!(out, "  ports whose floods the kernel receives by threads of its own: {}", kernel.threaded);
        }
        out.push_str("  no entry because of:\n");
        for (why, n) in dp::kernel::WhyNot::ALL.iter().zip(kernel.refused) {
            let _ = writeln!(out, "    {}: {n}", why.text());
        }
        Ok(out)
    });
    let usage = "[-nh] [-it iter-history-len] [-ms ms-history-len] [-pmd core] [dp]";
    registry.ask("dpif-netdev/pmd-perf-show", usage, (0, 8), |directory, args| async move {
        let wanted = Wanted::of(&directory, &args)?;
        let report = read(wanted.entry).await?;
        let mut out = String::new();
        for thread in wanted.threads() {
            let Some(of) = report.threads.iter().find(|t| t.core == thread.core.core) else { continue };
            let metrics = report.metrics.iter().find(|(core, _)| *core == of.core).map(|(_, metrics)| metrics);
            let before = cleared(&wanted.kind, Some(of.core));
            perf::performance(&mut out, &heading(thread), (of, &before), metrics);
            if let Some(metrics) = metrics {
                wanted.tables.write(&mut out, metrics);
            }
        }
        Ok(out)
    });
}

/// What the arguments name.
pub(super) struct Wanted<'a> {
    kind: String,
    pub(super) entry: &'a DatapathEntry,
    assignment: &'a Assignment,
    core: Option<u32>,
    secs: u32,
    tables: perf::Tables,
}

impl<'a> Wanted<'a> {
    /// Options that are not known, and names of other kinds, count for nothing while there is one datapath.
    pub(super) fn of(directory: &'a Directory, args: &[String]) -> Result<Self, String> {
        let (mut core, mut secs, mut name, mut tables) = (None, REMEMBERED_S, None, perf::Tables::default());
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "-pmd" => core = args.next().and_then(|text| text.parse().ok()),
                "-secs" => {
                    let asked = args.next().and_then(|text| text.parse::<u32>().ok()).filter(|secs| *secs > 0);
                    secs = asked.unwrap_or(REMEMBERED_S).min(REMEMBERED_S).div_ceil(PIECE_S) * PIECE_S;
                }
                "-it" => tables.iterations = args.next().and_then(|text| text.parse().ok()).unwrap_or(0),
                "-ms" => tables.milliseconds = args.next().and_then(|text| text.parse().ok()).unwrap_or(0),
                "-nh" => tables.has_histograms = false,
                other => name = Some(other),
            }
        }
        let all = || directory.datapaths.iter().chain(directory.made.iter());
        let named = name.and_then(|n| {
            let is_named = |full: &String| full.split_once('@').is_some_and(|(_, own)| own == n);
            let of_type = || directory.datapaths.get_key_value(n.strip_prefix("ovs-")?);
            directory.made.iter().find(|(full, _)| is_named(full)).or_else(of_type)
        });
        let only = || all().next().filter(|_| all().count() == 1);
        let (kind, entry) = named.or_else(only).ok_or(NO_DATAPATH)?;
        Ok(Self { kind: kind.clone(), entry, assignment: &entry.assignment, core, secs, tables })
    }

    /// Whether `name` is its name in full, where another would do for lack of choice.
    pub(super) fn is_named(&self, name: &str) -> bool {
        name.strip_prefix("ovs-") == Some(&self.kind) || self.kind.split_once('@').is_some_and(|(_, own)| own == name)
    }

    /// The threads asked for, in the order of their processors.
    fn threads(&self) -> Vec<&Thread> {
        let is_wanted = |thread: &&Thread| self.core.is_none_or(|core| core == thread.core.core);
        let mut threads: Vec<&Thread> = self.assignment.threads.iter().filter(is_wanted).collect();
        threads.sort_by_key(|thread| thread.core.core);
        threads
    }
}

async fn read(entry: &DatapathEntry) -> Result<DatapathReport, String> {
    entry.address.ask(ReadStats, PATIENCE).await.map_err(|e| e.to_string())
}

/// What was counted when a person cleared it: by type and processor, `None` for the main thread.
static CLEARED: Mutex<Vec<Zero>> = Mutex::new(Vec::new());

type Zero = (String, Option<u32>, ThreadReport);

fn clear(zero: &mut Vec<Zero>, kind: &str, core: Option<u32>, report: ThreadReport) {
    zero.retain(|(k, c, _)| k != kind || *c != core);
    zero.push((kind.to_owned(), core, report));
}

fn cleared(kind: &str, core: Option<u32>) -> ThreadReport {
    let zero = CLEARED.lock().unwrap_or_else(PoisonError::into_inner);
    let none = ThreadReport { core: 0, stats: dp::Stats::default(), age_us: 0, busy_us: 0, settled_us: 0 };
    zero.iter().find(|(k, c, _)| k == kind && *c == core).map_or(none, |(.., report)| *report)
}

/// Passes that cached flows decided, those handed up, and those lost, of all threads since a person cleared the
/// statistics.
pub(super) fn lookups(kind: &str, report: &DatapathReport) -> (u64, u64, u64) {
    let zero = CLEARED.lock().unwrap_or_else(PoisonError::into_inner);
    let since = |all: u64, of: fn(&dp::Stats) -> u64| {
        let before = zero.iter().filter(|(k, ..)| k == kind).map(|(.., report)| of(&report.stats));
        all.saturating_sub(before.sum())
    };
    let stats = &report.stats;
    (since(hits(stats), hits), since(stats.misses, |s| s.misses), since(stats.lost, |s| s.lost))
}

/// Packets that a cached flow decided.
pub(crate) fn hits(stats: &dp::Stats) -> u64 {
    stats.simple_hits + stats.emc_hits + stats.smc_hits + stats.megaflow_hits
}

fn main_report(report: &DatapathReport) -> ThreadReport {
    ThreadReport { core: 0, stats: report.main, age_us: 0, busy_us: 0, settled_us: 0 }
}

fn heading(thread: &Thread) -> String {
    format!("pmd thread numa_id {} core_id {}:", thread.core.numa, thread.core.core)
}

/// What a thread polls, and what share of its time that took in the last `secs`. What it does beside its queues, sleeping
/// left out, is no measurable part.
fn queues(out: &mut String, thread: &Thread, report: &DatapathReport, secs: u32) {
    let known = report.threads.iter().find(|t| t.core == thread.core.core);
    let is_settled = known.is_some_and(|t| t.settled_us >= u64::from(PIECE_S) * 1_000_000);
    let usage = |busy_us: u64, all_us: u64| match is_settled {
        true => format!("{:2} %", (busy_us * 100).checked_div(all_us).unwrap_or(0).min(100)),
        false => "NOT AVAIL".to_owned(),
    };
    let _ = writeln!(out, "{}\n  isolated : {}", heading(thread), thread.isolated);
    for (port, name, queue) in &thread.queues {
        let of = report.queues.iter().find(|q| (q.port, q.number) == (*port, *queue));
        let (busy_us, all_us) = of.and_then(|q| q.load.lately(secs)).unwrap_or((0, 0));
        let usage = usage(busy_us, all_us);
        let _ = writeln!(out, "  port: {name:<16}  queue-id: {queue:2} (enabled)   pmd usage: {usage}");
    }
    if !thread.queues.is_empty() {
        let _ = writeln!(out, "  overhead: {}", usage(0, 1));
    }
}

#[allow(clippy::cast_precision_loss)]
fn ratio(a: u64, b: u64) -> f64 {
    if b == 0 { 0.0 } else { a as f64 / b as f64 }
}

fn statistics(out: &mut String, now: &dp::Stats, before: &dp::Stats) {
    let since = |pick: fn(&dp::Stats) -> u64| pick(now).saturating_sub(pick(before));
    let received = since(|s| s.received);
    let recirculated = since(|s| s.recirculated);
    let megaflow = since(|s| s.megaflow_hits);
    let _ = write!(
        out,
        "  packets received: {received}\n  packet recirculations: {recirculated}\n  avg. datapath passes per packet: \
         {:.2}\n  phwol hits: 0\n  mfex opt hits: 0\n  simple match hits: {}\n  emc hits: {}\n  smc hits: {}\n  megaflow \
         hits: {megaflow}\n  avg. subtable lookups per megaflow hit: {:.2}\n  miss with success upcall: {}\n  miss with \
         failed upcall: {}\n  avg. packets per output batch: {:.2}\n",
        ratio(received + recirculated, received),
        since(|s| s.simple_hits),
        since(|s| s.emc_hits),
        since(|s| s.smc_hits),
        ratio(since(|s| s.subtable_lookups), megaflow),
        since(|s| s.misses),
        since(|s| s.lost),
        ratio(since(|s| s.output_packets), since(|s| s.output_batches)),
    );
}

/// Cycles of a thread since it was cleared: idle and busy ones, nanoseconds as cycles of a processor of 1 GHz.
fn spent(now: &ThreadReport, before: &ThreadReport) -> (u64, u64) {
    let age = now.age_us.saturating_sub(before.age_us) * 1000;
    let busy = (now.busy_us.saturating_sub(before.busy_us) * 1000).min(age);
    (age - busy, busy)
}

fn cycles(out: &mut String, now: &ThreadReport, before: &ThreadReport) {
    let (idle, busy) = spent(now, before);
    let all = idle + busy;
    if all == 0 {
        return;
    }
    let _ = writeln!(out, "  idle cycles: {idle} ({:.2}%)", ratio(idle, all) * 100.0);
    let _ = writeln!(out, "  processing cycles: {busy} ({:.2}%)", ratio(busy, all) * 100.0);
    let received = now.stats.received - before.stats.received.min(now.stats.received);
    if received > 0 {
        let part = |cycles: u64| format!("({cycles}/{received})");
        let _ = writeln!(out, "  avg cycles per packet: {:.2} {}", ratio(all, received), part(all));
        let _ = writeln!(out, "  avg processing cycles per packet: {:.2} {}", ratio(busy, received), part(busy));
    }
}
