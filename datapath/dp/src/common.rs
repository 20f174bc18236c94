//! What the threads of one datapath have in common: connections, meters, and limits of what comes in by a port.
//!
//! The two directions of a connection may come in by different threads, and a meter counts what all of them carry.
//! Each is behind a lock of its own, which only packets take that are tracked, metered or policed, for as long as one
//! look-up takes; caches, flows and counters are each thread's own.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flow::OdpPort;

use crate::ct::Tracker;
use crate::meter::Meter;
use crate::policer::{Policer, PolicerConfig};

struct Parts {
    tracker: Mutex<Tracker>,
    meters: Mutex<HashMap<u32, Meter>>,
    policers: Mutex<BTreeMap<OdpPort, Policer>>,
    /// Whether there is any policer: read for each burst, written by commands.
    is_policed: AtomicBool,
}

/// A handle on what threads have in common, to make another thread's datapath with.
#[derive(Clone)]
pub struct Common(Arc<Parts>);

impl std::fmt::Debug for Common {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Common")
    }
}

/// What a thread that panicked left behind is as good as what it would have left a packet later.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Common {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Arc::new(Parts {
            tracker: Mutex::new(Tracker::new(seed)),
            meters: Mutex::default(),
            policers: Mutex::default(),
            is_policed: AtomicBool::new(false),
        }))
    }

    /// Connections, with fragments. Must not be held while actions are carried out: those may track again.
    pub(crate) fn tracker(&self) -> MutexGuard<'_, Tracker> {
        lock(&self.0.tracker)
    }

    pub(crate) fn meters(&self) -> MutexGuard<'_, HashMap<u32, Meter>> {
        lock(&self.0.meters)
    }

    /// The limits of ports that have one; `None` if none has.
    #[inline]
    pub(crate) fn policers(&self) -> Option<MutexGuard<'_, BTreeMap<OdpPort, Policer>>> {
        self.0.is_policed.load(Relaxed).then(|| lock(&self.0.policers))
    }

    pub(crate) fn set_policer(&self, port: OdpPort, config: Option<PolicerConfig>, now_ms: u64) {
        let mut policers = lock(&self.0.policers);
        match config {
            Some(config) => drop(policers.insert(port, Policer::new(&config, now_ms))),
            None => drop(policers.remove(&port)),
        }
        self.0.is_policed.store(!policers.is_empty(), Relaxed);
    }
}
