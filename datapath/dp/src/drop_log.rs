//! Drops by the port that the packet came in at: how many, and when the last one was.
//!
//! Counting by reason alone is [`Stats`](crate::Stats)'s. A port has a few entries, looked through for each drop; the port
//! itself is looked for once a burst.

use flow::OdpPort;

use crate::stats::Drop;

/// Most ports that are kept; drops of others are only counted by reason.
const MAX_PORTS: usize = 4096;

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
    /// Its row, once something of this burst was dropped.
    row: Option<usize>,
    /// By port, in order: what was dropped of it, by reason.
    rows: Vec<(OdpPort, Vec<PortDrops>)>,
}

impl DropLog {
    /// The packets that follow came in there and then.
    pub(crate) fn begin(&mut self, port: OdpPort, now_ms: u64) {
        (self.port, self.now_ms) = (port, i64::try_from(now_ms).unwrap_or(i64::MAX));
        self.row = None;
    }

    /// One of them was dropped.
    pub(crate) fn note(&mut self, why: Drop) {
        if self.row.is_none() {
            self.row = self.find();
        }
        let Some((_, entries)) = self.row.and_then(|row| self.rows.get_mut(row)) else { return };
        let (port, last_ms) = (self.port, self.now_ms);
        match entries.iter_mut().find(|e| e.why == why) {
            Some(entry) => (entry.packets, entry.last_ms) = (entry.packets + 1, last_ms),
            None => entries.push(PortDrops { port, why, packets: 1, last_ms }),
        }
    }

    /// The port's row, made if there is room for it.
    fn find(&mut self) -> Option<usize> {
        match self.rows.binary_search_by_key(&self.port, |(port, _)| *port) {
            Ok(row) => Some(row),
            Err(_) if self.rows.len() >= MAX_PORTS => None,
            Err(row) => {
                self.rows.insert(row, (self.port, Vec::new()));
                Some(row)
            }
        }
    }

    /// The port is gone; another may come under its number.
    pub(crate) fn forget(&mut self, port: OdpPort) {
        self.rows.retain(|(of, _)| *of != port);
        self.row = None;
    }

    /// What was dropped, by port and reason.
    pub(crate) fn entries(&self) -> Vec<PortDrops> {
        let mut entries: Vec<PortDrops> = self.rows.iter().flat_map(|(_, entries)| entries).copied().collect();
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
        for port in 0..2 * MAX_PORTS as u32 {
            log.begin(port, 0);
            log.note(Drop::Flow);
        }
        assert_eq!(log.entries().len(), MAX_PORTS);
    }
}
