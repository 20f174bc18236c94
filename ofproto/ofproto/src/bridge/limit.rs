//! Packets for a controller at no more than its rate: a bucket of tokens, and queues by port for what has to wait.
//!
//! One packet costs one token. What finds none waits in its port's queue, which is served in turn with the others', so that
//! one port's flood does not keep the others' packets away. As many may wait as may come at once; one more, and the longest
//! queue loses its oldest packet. Misses and packets that rules send are limited apart. Source: ovs-vswitchd.conf.db(5),
//! Controller `controller_rate_limit`.

use std::collections::{BTreeMap, VecDeque};

use openflow::message::Message;

/// The limits of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// Packets a second.
    pub rate: u32,
    /// Packets that may come at once after a silence, and that may wait.
    pub burst: u32,
}

/// Thousandths of a token that one packet costs.
const TOKEN: i64 = 1000;

/// A bucket and its queues.
#[derive(Debug)]
struct Bucket {
    limit: RateLimit,
    /// Thousandths.
    tokens: i64,
    filled_ms: i64,
    queues: BTreeMap<u32, VecDeque<Message>>,
    waiting: usize,
    /// Port served last.
    last: u32,
    /// Packets that went at once, that had to wait, and that were lost for it.
    bypassed: u64,
    queued: u64,
    dropped: u64,
}

impl Bucket {
    fn new(limit: RateLimit, now_ms: i64) -> Bucket {
        Bucket {
            limit,
            tokens: i64::from(limit.burst.max(1)) * TOKEN,
            filled_ms: now_ms,
            queues: BTreeMap::new(),
            waiting: 0,
            last: 0,
            bypassed: 0,
            queued: 0,
            dropped: 0,
        }
    }

    fn fill(&mut self, now_ms: i64) {
        let passed = (now_ms - self.filled_ms).max(0);
        let full = i64::from(self.limit.burst.max(1)) * TOKEN;
        // A packet a second is a thousandth of a token a millisecond.
        self.tokens = self.tokens.saturating_add(passed.saturating_mul(i64::from(self.limit.rate))).min(full);
        self.filled_ms = now_ms;
    }

    fn take_token(&mut self) -> bool {
        let has = self.tokens >= TOKEN;
        if has {
            self.tokens -= TOKEN;
        }
        has
    }

    fn offer(&mut self, port: u32, message: Message, now_ms: i64) -> Option<Message> {
        self.fill(now_ms);
        if self.waiting == 0 && self.take_token() {
            self.bypassed += 1;
            return Some(message);
        }
        if self.waiting >= self.limit.burst.max(1) as usize {
            let longest = self.queues.iter().max_by_key(|(_, q)| q.len()).map(|(p, _)| *p);
            if let Some(queue) = longest.and_then(|p| self.queues.get_mut(&p)) {
                queue.pop_front();
                self.waiting -= 1;
                self.dropped += 1;
            }
        }
        self.queues.entry(port).or_default().push_back(message);
        self.waiting += 1;
        self.queued += 1;
        None
    }

    fn next(&mut self) -> Option<Message> {
        let after = self.queues.range(self.last.saturating_add(1)..).next().map(|(p, _)| *p);
        let port = after.or_else(|| self.queues.keys().next().copied())?;
        self.last = port;
        let queue = self.queues.get_mut(&port)?;
        let message = queue.pop_front();
        if queue.is_empty() {
            self.queues.remove(&port);
        }
        self.waiting -= usize::from(message.is_some());
        message
    }

    fn run(&mut self, now_ms: i64) -> Vec<Message> {
        self.fill(now_ms);
        let mut due = Vec::new();
        while self.waiting > 0 && self.take_token() {
            due.extend(self.next());
        }
        due
    }

    fn poll_timeout(&self) -> Option<i64> {
        if self.waiting == 0 {
            return None;
        }
        let missing = (TOKEN - self.tokens).max(0);
        let rate = i64::from(self.limit.rate.max(1));
        Some(self.filled_ms + (missing + rate - 1) / rate)
    }
}

/// Limits of a connection's packets, none unless configured.
#[derive(Debug, Default)]
pub struct Limits {
    misses: Option<Bucket>,
    others: Option<Bucket>,
}

impl Limits {
    /// Sets or lifts the limit.
    pub fn configure(&mut self, limit: Option<RateLimit>, now_ms: i64) {
        for bucket in [&mut self.misses, &mut self.others] {
            match (bucket.as_mut(), limit) {
                (Some(old), Some(limit)) => old.limit = limit,
                (None, Some(limit)) => *bucket = Some(Bucket::new(limit, now_ms)),
                (_, None) => *bucket = None,
            }
        }
    }

    /// Whether packets go as they come.
    pub fn is_unlimited(&self, is_miss: bool) -> bool {
        if is_miss { self.misses.is_none() } else { self.others.is_none() }
    }

    /// A packet for the connection: given back if it may go now.
    pub fn offer(&mut self, is_miss: bool, port: u32, message: Message, now_ms: i64) -> Option<Message> {
        match if is_miss { &mut self.misses } else { &mut self.others } {
            Some(bucket) => bucket.offer(port, message, now_ms),
            None => Some(message),
        }
    }

    /// Packets that may go by now.
    pub fn run(&mut self, now_ms: i64) -> Vec<Message> {
        let buckets = [&mut self.misses, &mut self.others];
        buckets.into_iter().flatten().flat_map(|b| b.run(now_ms)).collect()
    }

    /// When the next packet may go.
    pub fn poll_timeout(&self) -> Option<i64> {
        [&self.misses, &self.others].into_iter().flatten().filter_map(Bucket::poll_timeout).min()
    }

    /// What status columns show: packets that wait, that went at once, that had to wait, and that were lost.
    pub fn status(&self) -> Vec<(String, u64)> {
        let mut rows = Vec::new();
        for (name, bucket) in [("miss", &self.misses), ("action", &self.others)] {
            let Some(bucket) = bucket else { continue };
            let counts = [
                ("backlog", bucket.waiting as u64),
                ("bypassed", bucket.bypassed),
                ("queued", bucket.queued),
                ("dropped", bucket.dropped),
            ];
            rows.extend(counts.map(|(what, n)| (format!("packet-in-{name}-{what}"), n)));
        }
        rows
    }

    /// Packets that wait, and packets lost because too many did.
    pub fn counts(&self) -> (usize, u64) {
        let buckets = [&self.misses, &self.others].into_iter().flatten();
        buckets.fold((0, 0), |(waiting, lost), b| (waiting + b.waiting, lost + b.dropped))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(n: u8) -> Message {
        Message::EchoRequest(vec![n])
    }

    #[test]
    fn a_burst_passes_then_packets_wait_for_their_tokens() {
        let mut limits = Limits::default();
        limits.configure(Some(RateLimit { rate: 10, burst: 2 }), 0);
        assert!(limits.offer(true, 1, packet(1), 0).is_some());
        assert!(limits.offer(true, 1, packet(2), 0).is_some());
        assert!(limits.offer(true, 1, packet(3), 0).is_none());
        // Rules' packets have tokens of their own.
        assert!(limits.offer(false, 1, packet(9), 0).is_some());
        assert_eq!(limits.poll_timeout(), Some(100));
        assert_eq!(limits.run(99), []);
        assert_eq!(limits.run(100), [packet(3)]);
        assert_eq!(limits.poll_timeout(), None);
    }

    #[test]
    fn ports_take_turns_and_the_longest_queue_loses() {
        let mut limits = Limits::default();
        limits.configure(Some(RateLimit { rate: 10, burst: 3 }), 0);
        (0..3).for_each(|n| assert!(limits.offer(true, 1, packet(n), 0).is_some()));
        for n in 1..=3 {
            assert!(limits.offer(true, 1, packet(n), 0).is_none());
        }
        assert!(limits.offer(true, 2, packet(20), 0).is_none());
        assert_eq!(limits.counts(), (3, 1));
        assert_eq!(limits.run(100), [packet(2)]);
        assert_eq!(limits.run(200), [packet(20)]);
        assert_eq!(limits.run(300), [packet(3)]);
    }

    #[test]
    fn without_a_limit_all_pass() {
        let mut limits = Limits::default();
        assert!((0..1000).all(|n| limits.offer(true, n, packet(0), 0).is_some()));
    }
}
