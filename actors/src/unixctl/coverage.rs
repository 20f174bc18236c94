//! Coverage counters: how often each event worth knowing happened, in total and of late.
//!
//! `coverage/show` prints rates over the last five seconds, minute and hour. Source: ovs-appctl(8) and the
//! form of Open vSwitch 3.1's output.

pub mod names;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, OnceLock, PoisonError};

/// A counter, made once as a `static` where its event happens; one that happens in several places may have one in each.
#[derive(Debug)]
pub struct Counter {
    name: &'static str,
    total: AtomicU64,
    registered: OnceLock<()>,
}

/// Five-second slots that make up an hour.
const SLOTS: usize = 720;
const SLOT_MS: i64 = 5000;

#[derive(Debug)]
struct History {
    /// Wherever the event happens; none before it has.
    counters: Vec<&'static Counter>,
    slots: Vec<u64>,
    seen: u64,
}

impl History {
    fn new() -> Self {
        Self { counters: Vec::new(), slots: vec![0; SLOTS], seen: 0 }
    }

    fn total(&self) -> u64 {
        self.counters.iter().map(|counter| counter.total.load(Relaxed)).sum()
    }
}

#[derive(Debug, Default)]
struct Book {
    counters: BTreeMap<&'static str, History>,
    slot: i64,
}

static BOOK: Mutex<Option<Book>> = Mutex::new(None);

impl Counter {
    /// A counter called `name`.
    pub const fn new(name: &'static str) -> Counter {
        Counter { name, total: AtomicU64::new(0), registered: OnceLock::new() }
    }

    fn register(&'static self) {
        self.registered.get_or_init(|| {
            with(|book| book.counters.entry(self.name).or_insert_with(History::new).counters.push(self));
        });
    }

    /// Counts one event.
    pub fn add(&'static self) {
        self.add_many(1);
    }

    /// Counts `events` events.
    pub fn add_many(&'static self, events: u64) {
        self.register();
        self.total.fetch_add(events, Relaxed);
    }
}

fn with<R>(edit: impl FnOnce(&mut Book) -> R) -> R {
    edit(BOOK.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_default())
}

/// Makes counters known before their events happen: who reads one is then told 0. Some never happen here, as what they
/// count is not done in this way; who watches for them expects them all the same.
pub fn expect(names: &[&'static str]) {
    with(|book| {
        for name in names {
            book.counters.entry(name).or_insert_with(History::new);
        }
    });
}

/// Closes the slots that have passed. The daemon's housekeeping calls it every five seconds.
pub fn turn(now_ms: i64) {
    with(|book| book.turn(now_ms));
}

impl Book {
    fn turn(&mut self, now_ms: i64) {
        let slot = now_ms / SLOT_MS;
        let passed = usize::try_from(slot - self.slot).unwrap_or(0).min(SLOTS);
        if passed == 0 {
            return;
        }
        for history in self.counters.values_mut() {
            let total = history.total();
            history.slots.rotate_right(passed);
            history.slots[..passed].fill(0);
            history.slots[0] = total.saturating_sub(history.seen);
            history.seen = total;
        }
        self.slot = slot;
    }
}

/// The total of one counter, if it is known.
pub fn read(name: &str) -> Option<u64> {
    with(|book| book.counters.get(name).map(History::total))
}

/// The totals of all counters that are known, by name.
pub fn totals() -> Vec<(&'static str, u64)> {
    with(|book| book.counters.iter().map(|(name, h)| (*name, h.total())).collect())
}

/// The table of `coverage/show`.
#[allow(clippy::cast_precision_loss)]
pub fn show(now_ms: i64) -> String {
    with(|book| {
        book.turn(now_ms);
        let mut lines = String::new();
        let (mut hash, mut never) = (0x811c_9dc5_u32, 0);
        for (name, history) in &book.counters {
            let total = history.total();
            if total == 0 {
                never += 1;
                continue;
            }
            for byte in name.bytes() {
                hash = (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
            }
            let sum = |slots: usize| history.slots[..slots].iter().sum::<u64>() as f64;
            let _ = writeln!(
                lines,
                "{name:<24} {:>5.1}/sec {:>9.3}/sec {:>13.4}/sec   total: {total}",
                sum(1) / 5.0,
                sum(12) / 60.0,
                sum(SLOTS) / 3600.0
            );
        }
        format!(
            "Event coverage, avg rate over last: 5 seconds, last minute, last hour,  hash={hash:08x}:\n\
             {lines}{never} events never hit\n"
        )
    })
}
