//! `dpif-netdev/pmd-perf-log-set`: threads' iterations that took too long, told to the log with those around them.
//!
//! Source: ovs-vswitchd(8). There are no queues of virtual hosts here: their threshold is kept, and never exceeded.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};

use dp::perf::{Supervision, Suspicion};

/// What is wanted, of all threads of all datapaths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Wanted {
    is_on: bool,
    by: Supervision,
    /// Packets in a virtual host's queue.
    queue_length: u32,
}

impl Wanted {
    const INITIAL: Self = Self {
        is_on: false,
        by: Supervision { longest_us: 250, before: 5, after: 5, extends: false },
        queue_length: 128,
    };

    /// As the words of the command change it, of which the later ones hold; `None` if they are none of its.
    fn changed(mut self, words: &[String]) -> Option<Self> {
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut number = || words.next()?.parse::<u32>().ok();
            match word.as_str() {
                "on" => self.is_on = true,
                "off" => self.is_on = false,
                "-e" => self.by.extends = true,
                "-ne" => self.by.extends = false,
                "-b" => self.by.before = number()?.into(),
                "-a" => self.by.after = number()?.into(),
                "-us" => self.by.longest_us = number()?.into(),
                "-q" => self.queue_length = number()?,
                _ => return None,
            }
        }
        // No more is told than is remembered.
        self.by.before = self.by.before.min(Supervision::MOST);
        self.by.after = self.by.after.min(Supervision::MOST - self.by.before);
        Some(self)
    }
}

static IS_ON: AtomicBool = AtomicBool::new(false);
static WANTED: Mutex<Wanted> = Mutex::new(Wanted::INITIAL);

/// Changes what is wanted as the words of the command say.
///
/// # Errors
/// How the command is used.
pub(crate) fn set(words: &[String]) -> Result<(), &'static str> {
    let mut wanted = WANTED.lock().unwrap_or_else(PoisonError::into_inner);
    *wanted = wanted.changed(words).ok_or(
        "Usage: ovs-appctl dpif-netdev/pmd-perf-log-set [on|off] [-b before] [-a after] [-e|-ne] [-us usec] [-q qlen]",
    )?;
    let Wanted { is_on, by, queue_length } = *wanted;
    IS_ON.store(is_on, Ordering::Relaxed);
    vlog::info!(
        "pmd_perf",
        "pmd-perf-log-set: {}, before={}, after={}, extend={}, us_thr={}, q_thr={queue_length}",
        if is_on { "on" } else { "off" },
        by.before,
        by.after,
        by.extends,
        by.longest_us
    );
    Ok(())
}

/// Judges the iteration that ended last.
pub(super) fn judge(metrics: &mut dp::perf::Metrics) {
    if !IS_ON.load(Ordering::Relaxed) {
        return;
    }
    let by = WANTED.lock().unwrap_or_else(PoisonError::into_inner).by;
    let Suspicion { itself, around } = metrics.supervise(&by);
    if let Some(slow) = itself {
        let (number, took_us) = (slow.number, slow.cycles / 1000);
        vlog::warn_rl!(
            "pmd_perf",
            600,
            600,
            "Suspicious iteration (Excessive total cycles): iter={number} duration={took_us} us"
        );
    }
    if !around.is_empty() {
        let table = crate::switch::commands::iteration_table(&around);
        vlog::warn_rl!("pmd_perf", 600, 600, "Neighborhood of suspicious iteration:{table}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_words_hold_and_no_more_is_told_than_remembered() {
        let changed = |text: &str| {
            let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
            let wanted = Wanted::INITIAL.changed(&words)?;
            let Supervision { longest_us, before, after, extends } = wanted.by;
            Some((wanted.is_on, before, after, extends, longest_us, wanted.queue_length))
        };
        for (words, expected) in [
            ("", Some((false, 5, 5, false, 250, 128))),
            ("on off", Some((false, 5, 5, false, 250, 128))),
            ("-e on -us 0 -q 16", Some((true, 5, 5, true, 0, 16))),
            ("-a 100000", Some((false, 5, 993, false, 250, 128))),
            ("-b 100 -a 993 -e -ne", Some((false, 100, 898, false, 250, 128))),
            ("-b 5000", Some((false, 998, 0, false, 250, 128))),
            ("-b", None),
            ("-b x", None),
            ("-q -5", None),
            ("on extra", None),
        ] {
            assert_eq!(changed(words), expected, "{words}");
        }
    }
}
