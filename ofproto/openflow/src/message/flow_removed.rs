//! The message that a rule is gone. OpenFlow 1.0 section 5.4.2, 1.3.5 section 7.4.2, NXT_FLOW_REMOVED.

use super::Dialect;
use crate::matching::Match;

/// Why a rule is gone; the number is the wire's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum FlowRemovedReason {
    IdleTimeout = 0,
    HardTimeout = 1,
    Delete = 2,
    GroupDelete = 3,
    MeterDelete = 4,
    Eviction = 5,
}

/// A rule is gone.
#[derive(Clone, Debug, PartialEq)]
pub struct FlowRemoved {
    /// Which message.
    pub dialect: Dialect,
    /// What it matched.
    pub matching: Match,
    /// Its priority.
    pub priority: u16,
    /// Its cookie.
    pub cookie: u64,
    /// Its table, 255 where the message cannot say.
    pub table_id: u8,
    /// Why.
    pub reason: FlowRemovedReason,
    /// How long it lived, seconds.
    pub duration_sec: u32,
    /// And nanoseconds.
    pub duration_nsec: u32,
    /// Its idle timeout, seconds.
    pub idle_timeout: u16,
    /// Its hard timeout, seconds.
    pub hard_timeout: u16,
    /// Packets it saw, `u64::MAX` if unknown.
    pub packet_count: u64,
    /// Octets it saw, `u64::MAX` if unknown.
    pub byte_count: u64,
}
