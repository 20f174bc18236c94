//! Ports' counters. OpenFlow 1.0 section 5.3.5, 1.3.5 section 7.3.5.6, 1.4 section 7.3.5.8 with Intel's custom property.

use crate::OfPort;

/// A counter that is not known.
pub const UNKNOWN: u64 = u64::MAX;

/// Counters of a port; [`UNKNOWN`] where the port does not count.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct PortStats {
    pub port: OfPort,
    pub rx_packets: u64,
    pub tx_packets: u64,
    pub rx_bytes: u64,
    pub tx_bytes: u64,
    pub rx_dropped: u64,
    pub tx_dropped: u64,
    pub rx_errors: u64,
    pub tx_errors: u64,
    pub rx_frame_err: u64,
    pub rx_over_err: u64,
    pub rx_crc_err: u64,
    pub collisions: u64,
    /// How long the port has been there, seconds; `u32::MAX` if unknown (before 1.3).
    pub duration_sec: u32,
    /// And nanoseconds.
    pub duration_nsec: u32,
    /// RFC 2819 counters (Intel's property of 1.4+), in the order of [`RFC2819_NAMES`].
    pub rfc2819: [u64; RFC2819_NAMES.len()],
    /// Counters with names of the port's own (Intel's property of 1.4+).
    pub custom: Vec<(String, u64)>,
}

/// Names of [`PortStats::rfc2819`], as printed.
pub const RFC2819_NAMES: [&str; 23] = [
    "1_to_64_packets",
    "65_to_127_packets",
    "128_to_255_packets",
    "256_to_511_packets",
    "512_to_1023_packets",
    "1024_to_1522_packets",
    "1523_to_max_packets",
    "tx_1_to_64_packets",
    "tx_65_to_127_packets",
    "tx_128_to_255_packets",
    "tx_256_to_511_packets",
    "tx_512_to_1023_packets",
    "tx_1024_to_1522_packets",
    "tx_1523_to_max_packets",
    "tx_multicast_packets",
    "rx_broadcast_packets",
    "tx_broadcast_packets",
    "rx_undersized_errors",
    "rx_oversize_errors",
    "rx_fragmented_errors",
    "rx_jabber_errors",
    "rx_undersized",
    "rx_oversized",
];

impl Default for PortStats {
    fn default() -> Self {
        PortStats {
            port: OfPort::default(),
            rx_packets: UNKNOWN,
            tx_packets: UNKNOWN,
            rx_bytes: UNKNOWN,
            tx_bytes: UNKNOWN,
            rx_dropped: UNKNOWN,
            tx_dropped: UNKNOWN,
            rx_errors: UNKNOWN,
            tx_errors: UNKNOWN,
            rx_frame_err: UNKNOWN,
            rx_over_err: UNKNOWN,
            rx_crc_err: UNKNOWN,
            collisions: UNKNOWN,
            duration_sec: u32::MAX,
            duration_nsec: u32::MAX,
            rfc2819: [UNKNOWN; RFC2819_NAMES.len()],
            custom: Vec::new(),
        }
    }
}
