//! Which member carries which bucket, and shifting buckets from members with much load to those with little.

use super::{BUCKETS, Bond, BondMode, Bucket};

/// Differences below this are left alone, octets.
const WORTH_SHIFTING: u64 = 100_000;

impl<M: Copy + Ord> Bond<M> {
    /// Forgets loads and places; the next balancing is an interval away.
    pub(super) fn reset_buckets(&mut self, now_ms: i64) {
        let count = if self.is_active_backup() { 0 } else { BUCKETS };
        self.buckets = vec![Bucket { member: None, tx_bytes: 0, used: false }; count];
        self.next_rebalance_ms = now_ms + self.config.rebalance_interval_ms;
    }

    /// Gives buckets whose member cannot carry them to the enabled members in turn. As Open vSwitch deals them out when they
    /// are first used, with balance-tcp all at once, those that were not used yet are dealt anew when there is a member more.
    pub(super) fn assign_buckets(&mut self) {
        let enabled = self.enabled();
        let are_more = enabled.iter().any(|m| !self.dealt_to.contains(m));
        let are_settled = self.config.mode == BondMode::BalanceTcp && self.buckets.iter().any(|b| b.used);
        if are_more && !are_settled {
            self.buckets.iter_mut().filter(|b| !b.used).for_each(|b| b.member = None);
        }
        for at in 0..self.buckets.len() {
            let fits = self.buckets[at].member.is_some_and(|m| enabled.contains(&m));
            if fits {
                continue;
            }
            self.buckets[at].member = enabled.get(self.turn % enabled.len().max(1)).copied();
            self.turn = self.turn.wrapping_add(1);
        }
        self.dealt_to = enabled;
    }

    /// Shifts load once an interval.
    pub(super) fn rebalance(&mut self, now_ms: i64) {
        if !self.is_balanced() || self.config.rebalance_interval_ms == 0 || now_ms < self.next_rebalance_ms {
            return;
        }
        self.next_rebalance_ms = now_ms + self.config.rebalance_interval_ms;
        let mut crowded: Vec<M> = self.enabled();
        while crowded.len() > 1 {
            let load = |m: &M| self.load(*m);
            let (Some(from), Some(to)) =
                (crowded.iter().copied().max_by_key(load), crowded.iter().copied().min_by_key(load))
            else {
                break;
            };
            let (much, little) = (self.load(from), self.load(to));
            let overload = much - little;
            if overload < little >> 5 || overload < WORTH_SHIFTING {
                break;
            }
            match self.bucket_to_shift(from, much, little) {
                Some(bucket) => self.shift(bucket, from, to),
                None => crowded.retain(|m| *m != from),
            }
        }
        // Halving makes what was seven intervals ago weigh less than a hundredth.
        for bucket in &mut self.buckets {
            bucket.tx_bytes /= 2;
        }
    }

    fn load(&self, m: M) -> u64 {
        self.buckets.iter().filter(|b| b.member == Some(m)).map(|b| b.tx_bytes).sum()
    }

    /// The first bucket whose move brings the two loads nearer to each other by a tenth or more.
    fn bucket_to_shift(&self, from: M, much: u64, little: u64) -> Option<usize> {
        let own: Vec<(usize, u64)> = self
            .buckets
            .iter()
            .enumerate()
            .filter(|(_, b)| b.member == Some(from) && b.tx_bytes > 0)
            .map(|(at, b)| (at, b.tx_bytes))
            .collect();
        if own.len() < 2 {
            return None;
        }
        let ratio = |from: u64, to: u64| from as f64 / to as f64;
        let found = own.iter().find(|(_, load)| {
            if little == 0 {
                return true;
            }
            let (old, new) = (ratio(much, little), ratio(much - load, little + load));
            old - new > 0.1 && (new - 1.0).abs() < (old - 1.0).abs()
        });
        found.map(|(at, _)| *at)
    }

    fn shift(&mut self, bucket: usize, from: M, to: M) {
        let load = self.buckets[bucket].tx_bytes;
        self.buckets[bucket].member = Some(to);
        let (from_load, to_load) = (self.load(from) / 1024, self.load(to) / 1024);
        let text = format!(
            "bond {}: shift {}kB of load (with hash {bucket}) from {} to {} (now carrying {from_load}kB and {to_load}kB load, respectively)",
            self.config.name,
            load / 1024,
            self.name_of(from),
            self.name_of(to),
        );
        self.news.push(text);
    }
}
