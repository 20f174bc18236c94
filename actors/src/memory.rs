//! The memory report of every daemon's log: the peak after ten seconds, and when it grows by half.
//!
//! Source: the lines Open vSwitch 3.1's daemons write (module `memory`).

/// How often the peak is looked at, in milliseconds.
const INTERVAL_MS: i64 = 10_000;

/// Watches the peak of the process's resident set.
#[derive(Debug, Clone, Default)]
pub struct PeakWatch {
    next_ms: i64,
    started_ms: Option<i64>,
    reported: Option<(u64, i64)>,
}

impl PeakWatch {
    /// A watch that has seen nothing yet.
    pub fn new() -> PeakWatch {
        PeakWatch::default()
    }

    /// Logs the peak when it is due, and tells whether it did: then the caller logs its own figures, as
    /// `memory/show` prints them.
    pub fn look(&mut self, now_ms: i64) -> bool {
        let started_ms = *self.started_ms.get_or_insert(now_ms);
        if self.next_ms == 0 {
            self.next_ms = now_ms + INTERVAL_MS;
        }
        if now_ms < self.next_ms {
            return false;
        }
        self.next_ms = now_ms + INTERVAL_MS;
        match peak_kb().and_then(|peak| self.report(peak, started_ms, now_ms)) {
            Some(text) => {
                vlog::info!("memory", "{text}");
                true
            }
            None => false,
        }
    }

    #[allow(clippy::cast_precision_loss)]
    fn report(&mut self, peak_kb: u64, started_ms: i64, now_ms: i64) -> Option<String> {
        let seconds = |since: i64| (now_ms - since) as f64 / 1000.0;
        let text = match self.reported {
            None => format!("{peak_kb} kB peak resident set size after {:.1} seconds", seconds(started_ms)),
            Some((before, at)) if peak_kb >= before.saturating_add(before / 2) => format!(
                "peak resident set size grew {:.0}% in last {:.1} seconds, from {before} kB to {peak_kb} kB",
                (peak_kb as f64 / before as f64 - 1.0) * 100.0,
                seconds(at)
            ),
            Some(_) => return None,
        };
        self.reported = Some((peak_kb, now_ms));
        Some(text)
    }
}

/// The peak of the resident set, in kilobytes.
fn peak_kb() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_after_ten_seconds_then_when_grown_by_half() {
        let mut watch = PeakWatch::new();
        assert!(!watch.look(5));
        assert_eq!(watch.report(1000, 5, 10_005).unwrap(), "1000 kB peak resident set size after 10.0 seconds");
        assert_eq!(watch.report(1499, 5, 20_005), None);
        let grown = "peak resident set size grew 50% in last 20.0 seconds, from 1000 kB to 1500 kB";
        assert_eq!(watch.report(1500, 5, 30_005).unwrap(), grown);
    }
}
