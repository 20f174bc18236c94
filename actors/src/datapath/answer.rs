//! Looking on for a bridge's answer before sleeping, where that pays.
//!
//! A packet that is handed up comes back decided upon within some ten microseconds, or by way of a controller within a
//! hundred or two, where everybody on the way has to be woken: one wake less is worth looking on for as long. Beside
//! [`super::Looking`], which looks for packets alone, the runtime has its turn between any two looks: messages are handled,
//! and whoever else wants the processor has it.

use crate::linger::Linger;

/// So long at the most, microseconds.
const PATIENCE_US: u64 = 250;
/// Looks at the most: the clock may stand still.
const LOOKS: u32 = 1_000;

/// An answer that is looked for.
#[derive(Debug, Clone, Copy)]
struct Due {
    until_us: u64,
    looks: u32,
}

/// Whether, and how long, answers are looked for.
#[derive(Debug, Default)]
pub(super) struct Expectation {
    linger: Linger,
    due: Option<Due>,
}

impl Expectation {
    /// Packets were handed up.
    pub(super) fn asked(&mut self, now_us: u64) {
        if self.due.is_none() && self.linger.is_worth_it() {
            self.due = Some(Due { until_us: now_us + PATIENCE_US, looks: LOOKS });
        }
    }

    /// Packets came down.
    pub(super) fn answered(&mut self) {
        if self.due.take().is_some() {
            self.linger.learn(true);
        }
    }

    /// Whether to look on; the time is asked for only where that depends on it.
    pub(super) fn looks_on(&mut self, now_us: impl FnOnce() -> u64) -> bool {
        let Some(due) = &mut self.due else { return false };
        if now_us() < due.until_us && due.looks > 0 {
            due.looks -= 1;
            return true;
        }
        self.due = None;
        self.linger.learn(false);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of so many questions were worth a look, where answers come after so long.
    fn looked_for(questions: u64, takes_us: u64) -> usize {
        let mut expectation = Expectation::default();
        let looked = |i: &u64| {
            let begin_us = i * 1_000;
            expectation.asked(begin_us);
            let looks = (begin_us..begin_us + takes_us).take_while(|now| expectation.looks_on(|| *now)).count() > 0;
            expectation.answered();
            looks
        };
        (0..questions).filter(looked).count()
    }

    #[test]
    fn answers_are_looked_for_where_they_are_quick() {
        assert!(looked_for(1_000, 60) > 800, "most");
        assert!(looked_for(1_000, 500) < 30, "hardly any");
    }

    #[test]
    fn a_clock_that_stands_still_keeps_nobody_awake() {
        let mut expectation = Expectation::default();
        while !expectation.looks_on(|| 0) {
            expectation.asked(0);
        }
        assert!((0..=LOOKS).any(|_| !expectation.looks_on(|| 0)));
    }
}
