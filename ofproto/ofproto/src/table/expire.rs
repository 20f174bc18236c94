//! Timeouts: which rules are due, and when to look again.
//!
//! A rule's entry in `deadlines` may be early (a packet came since), never late: a look at it moves it on.

use std::sync::Arc;

use super::{RemovalReason, Removed, Table};
use crate::rule::Rule;

impl Table {
    /// When the next rule may expire, in milliseconds; unknown while a batch is staged.
    pub fn next_deadline(&self) -> Option<i64> {
        if self.is_staged() {
            return None;
        }
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// Rules with an idle timeout whose earliest end is at `now_ms` or before: their counters decide, so whoever holds
    /// uncredited packets for them must credit them before [`Table::expire`].
    pub fn idle_candidates(&self, now_ms: i64) -> usize {
        self.deadlines.iter().take_while(|(at, _)| *at <= now_ms).count()
    }

    /// Removes the rules whose time has come; none while a batch is staged, which must be able to be taken back.
    pub fn expire(&mut self, now_ms: i64) -> Vec<Removed> {
        let mut removed = Vec::new();
        if self.is_staged() {
            return removed;
        }
        while let Some((at, slot)) = self.deadlines.first().copied()
            && at <= now_ms
        {
            let Some(rule) = self.slots[slot as usize].rule.clone() else {
                self.forget_deadline(slot);
                continue;
            };
            match self.due(&rule, now_ms) {
                Some(reason) => removed.push(self.take_out(&rule, reason)),
                None => self.set_deadline(&rule),
            }
        }
        if !removed.is_empty() {
            self.commit();
        }
        // Those that end at once are told of in the order in which they came.
        removed.sort_by_key(|gone| gone.rule.made);
        removed
    }

    fn ends(&self, rule: &Rule) -> (Option<i64>, Option<i64>) {
        let after = |start: i64, seconds: u16| (seconds > 0).then(|| start + i64::from(seconds) * 1000 + 1);
        let used = self.slots[rule.id.slot as usize].stats.used_ms;
        (after(rule.modified_ms, rule.hard_timeout), after(used, rule.idle_timeout))
    }

    fn due(&self, rule: &Rule, now_ms: i64) -> Option<RemovalReason> {
        let (hard, idle) = self.ends(rule);
        if hard.is_some_and(|at| at <= now_ms) {
            Some(RemovalReason::HardTimeout)
        } else if idle.is_some_and(|at| at <= now_ms) {
            Some(RemovalReason::IdleTimeout)
        } else {
            None
        }
    }

    pub(super) fn set_deadline(&mut self, rule: &Arc<Rule>) {
        let slot = rule.id.slot;
        self.forget_deadline(slot);
        let (hard, idle) = self.ends(rule);
        if let Some(at) = [hard, idle].into_iter().flatten().min() {
            self.deadlines.insert((at, slot));
            self.deadline_of.insert(slot, at);
        }
    }

    pub(super) fn forget_deadline(&mut self, slot: u32) {
        if !self.deadline_of.is_empty()
            && let Some(at) = self.deadline_of.remove(&slot)
        {
            self.deadlines.remove(&(at, slot));
        }
    }
}
