//! A ring that grows when it was found crowded, and shrinks again when that is long ago.
//!
//! Crowded is a ring half of which waits to be read, or that had to drop frames (the kernel marks blocks after that,
//! `TP_STATUS_LOSING`), other than those whose virtio headers it could not make: room would not help them. Making a larger
//! ring takes the kernel a grace period, and its promiscuous mode however long
//! others are busy with their devices, so a thread does both. Then the new one is bound, and the old one's program has it
//! take only what the new one was not asked about: nothing is lost, and nothing comes twice. Without programs a filter
//! stops the old ring and another call starts the new one; what comes between the two calls, within a microsecond, is lost
//! without anybody counting it. When the old one is empty they change places between two batches; it is looked at
//! until, after a grace period, nothing can be on its way to it any more. The alarm stays: whatever is bound after it is
//! filled before it goes off. Time is that of the frames.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread::JoinHandle;

use super::{LEAST_BLOCKS, RingConfig};
use crate::error::{Error, Result};
use crate::map::Map;
use crate::memory;
use crate::socket::PacketSocket;

/// No ring grows while all of the process together would have more, bytes; or an eighth of the host's memory.
const BUDGET: usize = 1 << 30;
/// While all have no more than this together, one that may grow begins as large as it is configured; later ones begin
/// with the least that works, bytes. Few of many ports are ever busy, and the kernel clears every page.
const PLENTY: usize = 32 << 20;
/// A ring that grows does so by this factor.
const GROWTH: usize = 8;
/// After so long without being crowded a ring is made small again, ns.
const CALM_NS: u64 = 600_000_000_000;

/// Bytes of all rings.
static TOTAL: AtomicUsize = AtomicUsize::new(0);

/// A ring's memory in the account of all.
#[derive(Debug)]
pub(crate) struct Share(usize);

impl Share {
    pub(super) fn new(bytes: usize) -> Self {
        TOTAL.fetch_add(bytes, Relaxed);
        Self(bytes)
    }

    /// One that is had only if all of the process stay within the budget with it.
    pub(crate) fn within_budget(bytes: usize) -> Result<Self> {
        let take = |total: usize| Some(total + bytes).filter(|total| *total <= budget(memory::of_host()));
        let taken = TOTAL.fetch_update(Relaxed, Relaxed, take);
        taken.map(|_| Self(bytes)).map_err(|_| Error::os("have more memory for rings", libc::ENOMEM))
    }
}

/// What all rings together may grow to on a host with so much memory, bytes.
fn budget(host: u64) -> usize {
    usize::try_from(host / 8).map_or(BUDGET, |share| share.min(BUDGET))
}

/// What a ring begins with beside those there are. Its share is taken at once, as many may be made at a time.
pub(super) fn beginning(config: &RingConfig) -> (RingConfig, Share) {
    let bytes = |config: &RingConfig| config.block_bytes * config.blocks();
    let take = |total| Some(total + bytes(&beside(total, config)));
    let total = TOTAL.fetch_update(Relaxed, Relaxed, take).unwrap_or_else(|total| total);
    let config = beside(total, config);
    (config, Share(bytes(&config)))
}

/// What a ring begins with beside so many bytes of others.
fn beside(total: usize, config: &RingConfig) -> RingConfig {
    let grows = config.max_ring_bytes > config.ring_bytes;
    let is_frugal = grows && total >= PLENTY;
    let least = config.block_bytes * LEAST_BLOCKS;
    RingConfig { ring_bytes: if is_frugal { least.min(config.ring_bytes) } else { config.ring_bytes }, ..*config }
}

impl Drop for Share {
    fn drop(&mut self) {
        TOTAL.fetch_sub(self.0, Relaxed);
    }
}

/// A ring that receives nothing yet.
pub(super) type Made = Result<(PacketSocket, Map)>;

#[derive(Debug)]
pub(super) struct Resize {
    config: RingConfig,
    /// Size of the ring in use.
    bytes: usize,
    making: Option<(usize, JoinHandle<Made>)>,
    is_crowded: bool,
    crowded_ns: u64,
    now_ns: u64,
}

impl Resize {
    pub(super) fn new(config: &RingConfig, bytes: usize) -> Self {
        Self { config: *config, bytes, making: None, is_crowded: false, crowded_ns: 0, now_ns: 0 }
    }

    /// Notes whether the ring was found crowded, and when a frame was seen last.
    #[inline]
    pub(super) fn note(&mut self, is_crowded: bool, now_ns: u64) {
        self.is_crowded |= is_crowded;
        self.now_ns = now_ns;
    }

    /// Whether [`Resize::step`] has something to do.
    #[inline]
    pub(super) fn is_due(&self) -> bool {
        self.is_crowded || self.making.is_some() || (self.bytes > self.config.ring_bytes && self.is_calm())
    }

    fn is_calm(&self) -> bool {
        self.now_ns.saturating_sub(self.crowded_ns) > CALM_NS
    }

    /// Whether it was crowded since last asked.
    pub(super) fn take_crowded(&mut self) -> bool {
        std::mem::take(&mut self.is_crowded)
    }

    /// Goes on: begins to make another ring if that is needed, or gives one that is ready.
    pub(super) fn step(
        &mut self,
        crowded: bool,
        make: impl FnOnce(&RingConfig) -> Made + Send + 'static,
    ) -> Option<Made> {
        if crowded {
            self.crowded_ns = self.now_ns;
        }
        let Some((bytes, made)) = self.making.take() else {
            let wanted = match () {
                () if crowded => (self.bytes * GROWTH).min(self.config.max_ring_bytes),
                () if self.is_calm() => self.config.ring_bytes,
                () => self.bytes,
            };
            let fits = wanted <= self.bytes || TOTAL.load(Relaxed) + wanted <= budget(memory::of_host());
            if wanted != self.bytes && fits && self.config.max_ring_bytes > self.config.ring_bytes {
                let config = self.config.of_size(wanted);
                let thread = std::thread::Builder::new().name("ring-maker".into());
                self.making = thread.spawn(move || make(&config)).ok().map(|made| (wanted, made));
            }
            return None;
        };
        if !made.is_finished() {
            self.making = Some((bytes, made));
            return None;
        }
        self.bytes = bytes;
        Some(made.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    }

    /// A ring could not be made: this one stays as it is, for good.
    pub(super) fn give_up(&mut self, bytes: usize) {
        self.bytes = bytes;
        self.config.max_ring_bytes = self.config.ring_bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_beyond_the_budget_is_not_had() {
        assert_eq!(Share::within_budget(BUDGET + 1).map(drop).map_err(|e| e.errno()), Err(libc::ENOMEM));
        assert!(Share::within_budget(4096).is_ok());
    }

    #[test]
    fn rings_leave_a_small_host_its_memory() {
        assert_eq!([16 << 30, 8 << 30, 512 << 20].map(budget), [BUDGET, BUDGET, 64 << 20]);
        assert_eq!(budget(u64::MAX), BUDGET);
    }

    #[test]
    fn many_rings_begin_small_if_they_may_grow() {
        let config = RingConfig::default();
        assert_eq!(beside(PLENTY - 1, &config), config);
        let later = beside(PLENTY, &config);
        assert_eq!((later.ring_bytes, later.blocks()), (config.ring_bytes / 4, LEAST_BLOCKS));
        let fixed = RingConfig { max_ring_bytes: config.ring_bytes, ..config };
        assert_eq!(beside(PLENTY, &fixed), fixed);
        let tiny = RingConfig { ring_bytes: 1, ..config };
        assert_eq!(beside(PLENTY, &tiny), tiny, "never larger than configured");
    }
}
