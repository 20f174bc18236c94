//! Rings made before anybody asks for them.
//!
//! Making a ring costs a grace period of the kernel, some 20 ms; to bind one that is made costs microseconds. So a few
//! are kept ready, and others are made in the background when these are taken. Nothing is made before the first is
//! asked for. All are of the namespace of the threads that ask.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{RingConfig, RxRing};
use crate::bpf::PortPrograms;
use crate::error::Result;

/// Rings that are ready, or soon will be.
const KEPT: usize = 6;

/// A few rings of one configuration, ready to be bound.
#[derive(Clone, Debug)]
pub struct RingStock(Arc<Stock>);

#[derive(Debug)]
struct Stock {
    config: RingConfig,
    shelf: Mutex<Shelf>,
}

#[derive(Debug, Default)]
struct Shelf {
    ready: Vec<RxRing>,
    making: usize,
    /// No more are made.
    is_closed: bool,
}

impl RingStock {
    /// A stock of rings of this configuration.
    pub fn new(config: &RingConfig) -> Self {
        Self(Arc::new(Stock { config: *config, shelf: Mutex::default() }))
    }

    /// Opens a ring of a device whose frames come by an [`super::EarlySocket`] as yet: from some frame on, whichever
    /// that is, it has them all, and the socket none. The programs are those that the socket was opened with.
    ///
    /// # Errors
    /// Those of the kernel.
    pub fn succeed(&self, ifindex: u32, config: &RingConfig, programs: &Arc<PortPrograms>) -> Result<RxRing> {
        let mut ring = self.take(config)?;
        // First, lest it has a frame without the socket being told.
        ring.set_programs(programs)?;
        ring.bind(ifindex)?;
        Ok(ring)
    }

    /// Opens `n` rings of a device as [`RxRing::open_group`] does, from the stock if it has them.
    ///
    /// # Errors
    /// Those of the kernel.
    pub fn open(&self, ifindex: u32, n: usize, config: &RingConfig) -> Result<Vec<RxRing>> {
        // Rings of a group are others: they do not grow.
        if n > 1 || *config != self.0.config {
            return RxRing::open_group(ifindex, n, config);
        }
        let mut ring = self.take(config)?;
        ring.bind(ifindex)?;
        Ok(vec![ring])
    }

    /// A ring that hears nothing yet.
    fn take(&self, config: &RingConfig) -> Result<RxRing> {
        if *config != self.0.config {
            return RxRing::make(config);
        }
        let ready = self.0.shelf().ready.pop();
        self.restock();
        ready.map_or_else(|| RxRing::make(config), Ok)
    }

    /// Gives up what is there, and makes no more.
    pub fn close(&self) {
        let mut shelf = self.0.shelf();
        shelf.is_closed = true;
        shelf.ready.clear();
    }

    fn restock(&self) {
        let wanted = {
            let mut shelf = self.0.shelf();
            let wanted = if shelf.is_closed { 0 } else { KEPT.saturating_sub(shelf.ready.len() + shelf.making) };
            shelf.making += wanted;
            wanted
        };
        for _ in 0..wanted {
            let stock = Arc::clone(&self.0);
            let making = std::thread::Builder::new().name("ring-stock".into()).spawn(move || {
                let made = RxRing::make(&stock.config);
                let mut shelf = stock.shelf();
                shelf.making -= 1;
                if !shelf.is_closed {
                    // One that cannot be made is made when it is asked for, and says why it cannot.
                    shelf.ready.extend(made);
                }
            });
            if making.is_err() {
                self.0.shelf().making -= 1;
            }
        }
    }
}

impl Stock {
    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
