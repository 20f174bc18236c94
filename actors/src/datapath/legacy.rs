//! What a datapath's thread counted outlives it: one that panics leaves its counters in a place that its next life, or the
//! main thread, looks into. So counters of ports and rules go on where they were.

use flow::{FlowReported, OdpPort};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use super::Datapath;

/// What a thread counted until it died.
#[derive(Debug, Default)]
pub struct Legacy {
    /// The thread's own counters.
    pub(super) stats: dp::Stats,
    /// Of its ports: their names, and what they carried there.
    pub(super) ports: BTreeMap<OdpPort, (String, dp::PortStats)>,
    /// Of its flows, which are gone.
    pub flows: Vec<FlowReported>,
}

/// Where it is left.
#[derive(Debug, Clone, Default)]
pub struct Place(Arc<Mutex<Option<Legacy>>>);

impl Place {
    fn leave(&self, legacy: Legacy) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(legacy);
    }

    /// Takes what was left.
    pub fn take(&self) -> Option<Legacy> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Datapath {
    fn legacy(&mut self) -> Legacy {
        self.engine.fold(super::now_us());
        self.drops.tell(self.engine.stats());
        let mut flows = Vec::with_capacity(self.engine.n_flows());
        self.engine.walk(dp::FlowCursor::START, usize::MAX, |flow| flows.push(flow));
        let counted = |(number, port): (&OdpPort, &super::Port)| {
            Some((*number, (port.name.clone(), self.engine.port_stats(*number)?)))
        };
        let mut ports = self.inherited.clone();
        ports.extend(self.ports.iter().filter_map(counted));
        Legacy { stats: *self.engine.stats(), ports, flows }
    }

    /// Takes a port in; it goes on counting where one of its name and number was, in this life or the last.
    pub(super) fn take_in(&mut self, number: OdpPort, port: super::Port, tx: Option<Box<dyn dp::TxPort>>) {
        let present = self.ports.get(&number).map(|old| old.name.clone()).zip(self.engine.port_stats(number));
        let earlier = present.or(self.inherited.remove(&number)).filter(|(name, _)| *name == port.name);
        self.detach(number);
        if let Some(tx) = tx {
            self.engine.add_port(number, tx);
        }
        if let Some((_, stats)) = earlier {
            self.engine.credit_port(number, stats);
        }
        self.ports.insert(number, port);
    }
}

impl Drop for Datapath {
    fn drop(&mut self) {
        // What the panic left half done must not end the process: then there is no legacy.
        if std::thread::panicking()
            && let Ok(legacy) = catch_unwind(AssertUnwindSafe(|| self.legacy()))
        {
            self.place.leave(legacy);
        }
    }
}
