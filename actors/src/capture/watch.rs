//! What stands at a captured port on the datapath's thread: it judges each packet and passes copies on, without waiting.

use dp::Watcher;
use flow::capture_filter::{Direction, Filter};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tokio::sync::mpsc;

use super::pcapng::Record;
use crate::clock;

/// What a port's watchers counted, read at the end.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Packets that passed the filter.
    pub(super) matched: AtomicU64,
    /// Of those: packets that the writer had no room for.
    pub(super) lost: AtomicU64,
}

/// Watches one port.
#[derive(Clone)]
pub(super) struct Watch {
    pub(super) interface: u32,
    pub(super) filter: Arc<Filter>,
    pub(super) snaplen: usize,
    pub(super) out: mpsc::Sender<Record>,
    pub(super) counts: Arc<Counts>,
}

impl Watcher for Watch {
    fn share(&self) -> Option<Box<dyn Watcher>> {
        Some(Box::new(self.clone()))
    }

    fn see(&mut self, octets: &[u8], direction: Direction) {
        if self.out.is_closed() {
            return;
        }
        if !self.filter.is_any() {
            let (key, _) = flow::extract(octets, 0);
            if !self.filter.passes(&key, octets.len(), direction) {
                return;
            }
        }
        self.counts.matched.fetch_add(1, Relaxed);
        // Room first: what has none is not copied.
        let Ok(room) = self.out.try_reserve() else {
            self.counts.lost.fetch_add(1, Relaxed);
            return;
        };
        room.send(Record {
            interface: self.interface,
            wall_us: u64::try_from(clock::wall_us()).unwrap_or(0),
            direction,
            octets: octets[..octets.len().min(self.snaplen)].to_vec(),
            len: octets.len(),
        });
    }
}
