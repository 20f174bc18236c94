//! Eviction: which rule goes when a table is full.
//!
//! Rules without a timeout stay. The others form groups by the configured fields; the largest group loses the rule that
//! is least important, then the one that would expire first (ovs-vswitchd.conf.db(5), Flow_Table `overflow_policy`).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{RemovalReason, Removed, Table};
use crate::rule::Rule;

impl Table {
    /// The rule to go, if any may.
    fn victim(&self, now_ms: i64) -> Option<Arc<Rule>> {
        let mut groups: BTreeMap<Vec<u8>, Vec<&Arc<Rule>>> = BTreeMap::new();
        for slot in self.deadline_of.keys() {
            if let Some(rule) = self.slots[*slot as usize].rule.as_ref().filter(|r| !r.is_hidden()) {
                groups.entry(self.group_of(rule)).or_default().push(rule);
            }
        }
        let largest = groups.into_values().max_by_key(Vec::len)?;
        largest.into_iter().min_by_key(|r| (r.importance, self.ends_in(r, now_ms), r.id)).cloned()
    }

    fn ends_in(&self, rule: &Rule, now_ms: i64) -> i64 {
        let used = self.slots[rule.id.slot as usize].stats.used_ms;
        let left = |start: i64, s: u16| if s == 0 { i64::MAX } else { start + i64::from(s) * 1000 - now_ms };
        left(rule.modified_ms, rule.hard_timeout).min(left(used, rule.idle_timeout))
    }

    /// The values of the grouping fields, one after another.
    fn group_of(&self, rule: &Rule) -> Vec<u8> {
        let matching = rule.matching();
        let mut group = Vec::new();
        for (field, ofs, n_bits) in &self.config.groups {
            let (value, _) = matching.get(*field);
            let bits = value.to_u128() >> (*ofs).min(127);
            let kept = if *n_bits >= 128 { bits } else { bits & ((1 << n_bits) - 1) };
            group.extend_from_slice(&kept.to_be_bytes());
        }
        group
    }

    /// Makes room for one more rule, or says that there is none.
    pub(super) fn make_room(&mut self, now_ms: i64) -> Result<Option<Removed>, ()> {
        let Some(max) = self.config.max_flows else { return Ok(None) };
        if self.len() < max {
            return Ok(None);
        }
        if !self.config.evict {
            return Err(());
        }
        let victim = self.victim(now_ms).ok_or(())?;
        Ok(Some(self.take_out(&victim, RemovalReason::Eviction)))
    }

    /// Evicts what a lowered limit leaves no room for.
    pub(super) fn evict_surplus(&mut self, now_ms: i64) -> Vec<Removed> {
        let mut removed = Vec::new();
        let Some(max) = self.config.max_flows.filter(|_| self.config.evict) else { return removed };
        while self.len() > max
            && let Some(victim) = self.victim(now_ms)
        {
            removed.push(self.take_out(&victim, RemovalReason::Eviction));
        }
        removed
    }
}
