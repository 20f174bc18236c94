//! Drops by the port that the packet came in at: how many, and when the last one was.
//!
//! Counting by reason alone is [`Stats`](crate::Stats)'s. A few entries a port; packets of one burst mostly go the same
//! way, so the entry before is tried first.

use flow::OdpPort;

use crate::stats::Drop;

/// Most pairs of a port and a reason that are kept; drops beyond them are only counted by reason.
const MAX_ENTRIES: usize = 4096;

/// What was dropped of a port's packets for one reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortDrops {
    /// Where they came in.
    pub port: OdpPort,
    /// Why they were dropped.
    pub why: Drop,
    /// How many.
    pub packets: u64,
    /// When the last was dropped, in milliseconds of the datapath's clock.
    pub last_ms: i64,
}

/// The log of one thread.
#[derive(Default)]
pub(crate) struct DropLog {
    port: OdpPort,
    now_ms: i64,
    /// The entry that counted last.
    last: usize,
    entries: Vec<PortDrops>,
}

impl DropLog {
    /// The packets that follow came in there and then.
    pub(crate) fn begin(&mut self, port: OdpPort, now_ms: u64) {
        (self.port, self.now_ms) = (port, i64::try_from(now_ms).unwrap_or(i64::MAX));
    }

    /// One of them was dropped.
    pub(crate) fn note(&mut self, why: Drop) {
        let port = self.port;
        let is_same = |e: &PortDrops| e.port == port && e.why == why;
        if !self.entries.get(self.last).is_some_and(is_same) {
            self.last = match self.entries.iter().position(is_same) {
                Some(at) => at,
                None if self.entries.len() >= MAX_ENTRIES => return,
                None => {
                    self.entries.push(PortDrops { port, why, packets: 0, last_ms: 0 });
                    self.entries.len() - 1
                }
            };
        }
        if let Some(entry) = self.entries.get_mut(self.last) {
            entry.packets += 1;
            entry.last_ms = self.now_ms;
        }
    }

    /// The port is gone; another may come under its number.
    pub(crate) fn forget(&mut self, port: OdpPort) {
        self.entries.retain(|e| e.port != port);
    }

    /// What was dropped, by port and reason.
    pub(crate) fn entries(&self) -> Vec<PortDrops> {
        let mut entries = self.entries.clone();
        entries.sort_by_key(|e| (e.port, e.why));
        entries
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_by_port_and_reason() {
        let mut log = DropLog::default();
        log.begin(3, 10);
        log.note(Drop::Meter);
        log.note(Drop::Meter);
        log.note(Drop::Flow);
        log.begin(1, 20);
        log.note(Drop::Meter);
        let entry = |port, why, packets, last_ms| PortDrops { port, why, packets, last_ms };
        let all = [entry(1, Drop::Meter, 1, 20), entry(3, Drop::Flow, 1, 10), entry(3, Drop::Meter, 2, 10)];
        assert_eq!(log.entries(), all);
        log.forget(3);
        log.note(Drop::Meter);
        assert_eq!(log.entries(), [entry(1, Drop::Meter, 2, 20)]);
    }

    #[test]
    fn takes_no_more_memory_than_said() {
        let mut log = DropLog::default();
        for port in 0..2 * MAX_ENTRIES as u32 {
            log.begin(port, 0);
            log.note(Drop::Flow);
        }
        assert_eq!(log.entries().len(), MAX_ENTRIES);
    }
}
