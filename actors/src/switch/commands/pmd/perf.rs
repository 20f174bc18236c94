//! What `dpif-netdev/pmd-perf-show` says of a thread.

use std::fmt::Write;

use dp::perf::{Histogram, Metrics, Sample};

use super::{ratio, spent};
use crate::msg::datapath::ThreadReport;

/// What is wanted beside the sums.
pub(super) struct Tables {
    pub(super) has_histograms: bool,
    pub(super) iterations: usize,
    pub(super) milliseconds: usize,
}

impl Default for Tables {
    fn default() -> Self {
        Self { has_histograms: true, iterations: 0, milliseconds: 0 }
    }
}

impl Tables {
    pub(super) fn write(&self, out: &mut String, metrics: &Metrics) {
        if self.has_histograms {
            histograms(out, metrics);
        }
        if self.iterations > 0 {
            iterations(out, metrics.last_iterations(self.iterations));
        }
        if self.milliseconds > 0 {
            milliseconds(out, metrics.last_milliseconds(self.milliseconds));
        }
    }
}

/// Cells beside each other, of this width but for the last.
fn row<T: std::fmt::Display>(out: &mut String, cells: impl IntoIterator<Item = T>, width: usize, last: usize) {
    let mut cells = cells.into_iter().peekable();
    out.push_str("   ");
    while let Some(cell) = cells.next() {
        let width = if cells.peek().is_some() { width } else { last };
        let _ = write!(out, "{:<width$}", cell.to_string());
    }
    out.push('\n');
}

/// How often each figure was in which range, and on average.
fn histograms(out: &mut String, metrics: &Metrics) {
    let names = |queue| ["cycles/it", "packets/it", "cycles/pkt", "pkts/batch", queue, "upcalls/it", "cycles/upcall"];
    out.push_str("\nHistograms\n");
    row(out, names("max vhost qlen"), 23, 21);
    for i in 0..=Histogram::WALLS {
        let cell = |histogram: &Histogram| {
            let wall = histogram.walls.get(i).map_or(">".to_owned(), u64::to_string);
            format!("{wall:<9} {:<11}", histogram.bins[i])
        };
        row(out, metrics.histograms.iter().map(cell), 23, 21);
    }
    let Sample { iterations, cycles, packets, batches, upcalls, upcall_cycles, .. } = metrics.total;
    let each = |sum: u64, of: u64| sum.checked_div(of).unwrap_or(0).to_string();
    let exact = |sum: u64, of: u64| format!("{:.5}", ratio(sum, of));
    let _ = writeln!(out, "{}", "-".repeat(RULE));
    row(out, names("vhost qlen"), 23, 21);
    let averages = [
        each(cycles, iterations),
        exact(packets, iterations),
        each(cycles, packets),
        exact(packets, batches),
        exact(0, 1),
        exact(upcalls, iterations),
        each(upcall_cycles, metrics.answered),
    ];
    row(out, averages, 23, 21);
}

/// Dashes below the histograms.
const RULE: usize = 154;

/// Figures of one iteration or millisecond: packets and what they cost, bursts, upcalls.
fn figures(s: &Sample) -> [u64; 5] {
    let each = |sum: u64, of: u64| sum.checked_div(of).unwrap_or(0);
    [each(s.cycles, s.packets), each(s.packets, s.batches), 0, s.upcalls, each(s.upcall_cycles, s.upcalls)]
}

/// Iterations, newest first, as a table that begins with a line's end.
pub(crate) fn iteration_table(samples: &[Sample]) -> String {
    let mut out = String::new();
    iterations(&mut out, samples.iter());
    // The log ends the last line itself.
    out.truncate(out.trim_end_matches('\n').len());
    out
}

fn iterations<'a>(out: &mut String, samples: impl Iterator<Item = &'a Sample>) {
    let names = ["cycles", "packets", "cycles/pkt", "pkts/batch", "vhost qlen", "upcalls", "cycles/upcall"];
    let _ = write!(out, "\n   {:<17}", "iter");
    row(out, names, 13, 0);
    for sample in samples {
        let _ = write!(out, "   {:<17}", sample.number);
        row(out, [sample.cycles, sample.packets].into_iter().chain(figures(sample)), 13, 11);
    }
}

fn milliseconds<'a>(out: &mut String, samples: impl Iterator<Item = &'a Sample>) {
    let names =
        ["iterations", "cycles/it", "Kpps", "cycles/pkt", "pkts/batch", "vhost qlen", "upcalls", "cycles/upcall"];
    let _ = write!(out, "\n   {:<12}", "ms");
    row(out, names, 13, 0);
    for sample in samples {
        let _ = write!(out, "   {:<12}", sample.number);
        let each = sample.cycles.checked_div(sample.iterations).unwrap_or(0);
        row(out, [sample.iterations, each, sample.packets].into_iter().chain(figures(sample)), 13, 11);
    }
}

/// Hours, minutes, seconds, and milliseconds of the day, UTC.
fn time_text(wall_ms: i64) -> String {
    let ms = wall_ms.rem_euclid(86_400_000);
    format!("{:02}:{:02}:{:02}.{:03}", ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60, ms % 1000)
}

/// A thread sleeps when it has nothing: its iterations are the bursts it had.
#[allow(clippy::cast_precision_loss)]
pub(super) fn performance(
    out: &mut String,
    heading: &str,
    (now, before): (&ThreadReport, &ThreadReport),
    metrics: Option<&Metrics>,
) {
    let (idle, busy) = spent(now, before);
    let since = |pick: fn(&dp::Stats) -> u64| pick(&now.stats).saturating_sub(pick(&before.stats));
    let (bursts, received) = (since(|s| s.bursts), since(|s| s.received));
    let seconds = (now.age_us.saturating_sub(before.age_us)) as f64 / 1e6;
    let _ = write!(
        out,
        "\nTime: {}\nMeasurement duration: {seconds:.3} s\n\n{}\n\n  Iterations:         {bursts:12}  ({:.2} us/it)\n  - Used \
         TSC cycles:   {:12}  ({:5.1} % of total cycles)\n  - idle iterations:  {:12}  ({:5.1} % of used cycles)\n  - busy \
         iterations:  {bursts:12}  ({:5.1} % of used cycles)\n  - sleep iterations: {:12}  ({:5.1} % of iterations)\n  Sleep \
         time (us):   {:12}  ({:3.0} us/iteration avg.)\n",
        time_text(crate::clock::wall_ms()),
        heading,
        ratio(busy / 1000, bursts),
        busy,
        ratio(busy, idle + busy) * 100.0,
        0,
        0.0,
        if bursts > 0 { 100.0 } else { 0.0 },
        0,
        0.0,
        idle / 1000,
        ratio(idle / 1000, bursts),
    );
    if received == 0 {
        let _ = write!(out, "  Rx packets:         {:12}\n  Tx packets:         {:12}\n\n", 0, 0);
        return;
    }
    let passes = received + since(|s| s.recirculated);
    let part = |hits: u64| ratio(hits, passes) * 100.0;
    let (sent, batches) = (since(|s| s.output_packets), since(|s| s.output_batches));
    let megaflow = since(|s| s.megaflow_hits);
    let _ = write!(
        out,
        "  Rx packets:         {received:12}  ({:.0} Kpps, {:.0} cycles/pkt)\n  Datapath passes:    {passes:12}  ({:.2} \
         passes/pkt)\n  - PHWOL hits:       {:12}  ({:5.1} %)\n  - MFEX Opt hits:    {:12}  ({:5.1} %)\n  - Simple Match \
         hits:{:12}  ({:5.1} %)\n  - EMC hits:         {:12}  ({:5.1} %)\n  - SMC hits:         {:12}  ({:5.1} %)\n  - \
         Megaflow hits:    {megaflow:12}  ({:5.1} %, {:.2} subtbl lookups/hit)\n  - Upcalls:          {:12}  ({:5.1} %, {:.1} \
         us/upcall)\n  - Lost upcalls:     {:12}  ({:5.1} %)\n  Tx packets:         {sent:12}  ({:.0} Kpps)\n  \
         Tx batches:         {batches:12}  ({:.2} pkts/batch)\n",
        received as f64 / 1000.0 / seconds.max(1e-3),
        ratio(busy, received),
        ratio(passes, received),
        0,
        0.0,
        0,
        0.0,
        since(|s| s.simple_hits),
        part(since(|s| s.simple_hits)),
        since(|s| s.emc_hits),
        part(since(|s| s.emc_hits)),
        since(|s| s.smc_hits),
        part(since(|s| s.smc_hits)),
        part(megaflow),
        ratio(since(|s| s.subtable_lookups), megaflow),
        since(|s| s.misses),
        part(since(|s| s.misses)),
        metrics.map_or(0.0, |m| ratio(m.total.upcall_cycles, m.answered) / 1000.0),
        since(|s| s.lost),
        part(since(|s| s.lost)),
        sent as f64 / 1000.0 / seconds.max(1e-3),
        ratio(sent, batches),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics() -> Metrics {
        let mut metrics = Metrics::new(dp::Stats::default());
        metrics.iteration(62_577_388_000, 7, &dp::Stats { received: 4, bursts: 1, misses: 1, ..dp::Stats::default() });
        metrics.asked(62_577_388_000, 1);
        metrics.answered(62_577_388_090, 1);
        metrics
    }

    /// As Open vSwitch 3.1 lays them out.
    #[test]
    fn tables_are_laid_out() {
        let mut out = String::new();
        Tables { has_histograms: true, iterations: 2, milliseconds: 2 }.write(&mut out, &metrics());
        let lines: Vec<&str> = out.lines().collect();
        assert_eq!(lines[1], "Histograms");
        assert_eq!(
            lines[4],
            "   716       0            1         0            1096      0            1         0            1         0            \
             1         1            1258      0          "
        );
        assert_eq!((lines[34].split_whitespace().nth(1), lines.len()), (Some("0"), 44));
        assert_eq!(
            lines[37],
            "   7000                   4.00000                1750                   4.00000                0.00000                \
             1.00000                90000                "
        );
        assert_eq!(
            lines[39..41],
            [
                "   iter                cycles       packets      cycles/pkt   pkts/batch   vhost qlen   upcalls      cycles/upcall",
                "   1                   7000         4            1750         4            0            1            90000      "
            ]
        );
        assert_eq!(
            lines[42..44],
            [
                "   ms             iterations   cycles/it    Kpps         cycles/pkt   pkts/batch   vhost qlen   upcalls      \
                 cycles/upcall",
                "   62577388       1            7000         4            1750         4            0            1            \
                 90000      "
            ]
        );
    }

    #[test]
    fn nothing_is_laid_out_unasked() {
        let mut out = String::new();
        Tables { has_histograms: false, iterations: 0, milliseconds: 0 }.write(&mut out, &metrics());
        assert_eq!(out, "");
    }
}
