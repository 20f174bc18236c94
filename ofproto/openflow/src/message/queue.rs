//! Queues: configuration and counters. OpenFlow 1.0 sections 5.3.4 and 5.3.5, 1.4 sections 7.3.5.9 and 7.3.5.10.

use crate::OfPort;

/// All queues, in requests.
pub const QUEUE_ALL: u32 = u32::MAX;

/// A queue's configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueConfig {
    /// Its port.
    pub port: OfPort,
    /// Its number.
    pub queue: u32,
    /// Guaranteed rate in 1/10 of a percent; 0xffff if not set.
    pub min_rate: u16,
    /// Greatest rate in 1/10 of a percent; 0xffff if not set.
    pub max_rate: u16,
}

/// A queue's counters; `u64::MAX` where not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueStats {
    /// Its port.
    pub port: OfPort,
    /// Its number.
    pub queue: u32,
    /// Octets sent.
    pub tx_bytes: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Packets dropped.
    pub tx_errors: u64,
    /// How long it has been there, seconds; `u32::MAX` if unknown.
    pub duration_sec: u32,
    /// And nanoseconds.
    pub duration_nsec: u32,
}
