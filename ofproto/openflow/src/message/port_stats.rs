//! Ports' counters. OpenFlow 1.0 section 5.3.5, 1.3.5 section 7.3.5.6, 1.4 section 7.3.5.8 with Intel's custom property.

use super::wire::{self, Put, Reader};
use crate::{ErrorCode, INTEL_VENDOR_ID, OfError, OfPort, Version};

/// A counter that is not known.
pub const UNKNOWN: u64 = u64::MAX;

/// Counters of a port; [`UNKNOWN`] where the port does not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortStats {
    /// The port.
    pub port: OfPort,
    /// Packets received.
    pub rx_packets: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Octets received.
    pub rx_bytes: u64,
    /// Octets sent.
    pub tx_bytes: u64,
    /// Packets dropped on the way in.
    pub rx_dropped: u64,
    /// Packets dropped on the way out.
    pub tx_dropped: u64,
    /// Errors of any kind on the way in.
    pub rx_errors: u64,
    /// Errors of any kind on the way out.
    pub tx_errors: u64,
    /// Received with a wrong alignment.
    pub rx_frame_err: u64,
    /// Received when the buffer was full.
    pub rx_over_err: u64,
    /// Received with a wrong frame check sequence.
    pub rx_crc_err: u64,
    /// Collisions.
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
pub const RFC2819_NAMES: [&str; 21] = [
    "rx_1_to_64_packets",
    "rx_65_to_127_packets",
    "rx_128_to_255_packets",
    "rx_256_to_511_packets",
    "rx_512_to_1023_packets",
    "rx_1024_to_1522_packets",
    "rx_1523_to_max_packets",
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

/// Property with the counters of an Ethernet port (1.4 and later).
const ETHERNET: u16 = 0;
/// Intel's property of RFC 2819 counters.
const INTEL_RFC2819: u32 = 1;
/// Intel's property of named counters.
const INTEL_CUSTOM: u32 = 2;
/// Most named counters of a port that are kept.
const CUSTOM_MAX: usize = 2048;

impl PortStats {
    fn first8(&mut self) -> [&mut u64; 8] {
        [
            &mut self.rx_packets,
            &mut self.tx_packets,
            &mut self.rx_bytes,
            &mut self.tx_bytes,
            &mut self.rx_dropped,
            &mut self.tx_dropped,
            &mut self.rx_errors,
            &mut self.tx_errors,
        ]
    }

    fn last4(&mut self) -> [&mut u64; 4] {
        [&mut self.rx_frame_err, &mut self.rx_over_err, &mut self.rx_crc_err, &mut self.collisions]
    }

    fn values(&self) -> [u64; 12] {
        [
            self.rx_packets,
            self.tx_packets,
            self.rx_bytes,
            self.tx_bytes,
            self.rx_dropped,
            self.tx_dropped,
            self.rx_errors,
            self.tx_errors,
            self.rx_frame_err,
            self.rx_over_err,
            self.rx_crc_err,
            self.collisions,
        ]
    }
}

pub(super) fn decode(body: &mut Reader<'_>, version: Version) -> Result<PortStats, OfError> {
    let mut stats = PortStats::default();
    match version {
        Version::V10 => {
            stats.port = body.port10()?;
            body.skip(6)?;
        }
        Version::V11 | Version::V12 | Version::V13 => {
            stats.port = body.port11()?;
            body.skip(4)?;
        }
        Version::V14 | Version::V15 => return decode14(body),
    }
    for counter in stats.first8() {
        *counter = body.u64()?;
    }
    for counter in stats.last4() {
        *counter = body.u64()?;
    }
    if version == Version::V13 {
        stats.duration_sec = body.u32()?;
        stats.duration_nsec = body.u32()?;
    }
    Ok(stats)
}

fn decode14(body: &mut Reader<'_>) -> Result<PortStats, OfError> {
    let mut peek = *body;
    let len = usize::from(peek.u16()?);
    if len < 80 {
        return Err(ErrorCode::OFPBRC_BAD_LEN.into());
    }
    let mut body = body.sub(len)?;
    body.skip(4)?;
    let mut stats = PortStats { port: body.port11()?, ..PortStats::default() };
    stats.duration_sec = body.u32()?;
    stats.duration_nsec = body.u32()?;
    for counter in stats.first8() {
        *counter = body.u64()?;
    }
    while !body.is_empty() {
        let property = wire::property(&mut body)?;
        let mut value = Reader::new(property.value);
        match (property.kind, property.experimenter) {
            (ETHERNET, _) => {
                if value.len() != 36 {
                    return Err(ErrorCode::OFPBPC_BAD_LEN.into());
                }
                value.skip(4)?;
                for counter in stats.last4() {
                    *counter = value.u64()?;
                }
            }
            (_, Some((INTEL_VENDOR_ID, INTEL_RFC2819))) => {
                if value.len() != 4 + 8 * RFC2819_NAMES.len() {
                    return Err(ErrorCode::OFPBPC_BAD_LEN.into());
                }
                value.skip(4)?;
                for counter in &mut stats.rfc2819 {
                    *counter = value.u64()?;
                }
            }
            (_, Some((INTEL_VENDOR_ID, INTEL_CUSTOM))) => {
                decode_custom(value, &mut stats.custom).map_err(|_| ErrorCode::OFPBPC_BAD_LEN)?;
            }
            _ => {}
        }
    }
    Ok(stats)
}

fn decode_custom(mut value: Reader<'_>, custom: &mut Vec<(String, u64)>) -> Result<(), OfError> {
    value.skip(2)?;
    let n = usize::from(value.u16()?);
    for _ in 0..n.min(CUSTOM_MAX) {
        let len = usize::from(value.u8()?);
        let name = value.text(len)?;
        custom.push((name, value.u64()?));
    }
    Ok(())
}

pub(super) fn encode(out: &mut Vec<u8>, stats: &PortStats, version: Version) {
    let values = stats.values();
    match version {
        Version::V10 => {
            out.port10(stats.port);
            out.zeros(6);
        }
        Version::V11 | Version::V12 | Version::V13 => {
            out.port11(stats.port);
            out.zeros(4);
        }
        Version::V14 | Version::V15 => return encode14(out, stats),
    }
    for value in values {
        out.put64(value);
    }
    if version == Version::V13 {
        out.put32(stats.duration_sec);
        out.put32(stats.duration_nsec);
    }
}

fn encode14(out: &mut Vec<u8>, stats: &PortStats) {
    let start = out.len();
    let values = stats.values();
    out.zeros(4);
    out.port11(stats.port);
    out.put32(stats.duration_sec);
    out.put32(stats.duration_nsec);
    for value in &values[..8] {
        out.put64(*value);
    }
    let property = wire::start_property(out, ETHERNET);
    out.zeros(4);
    for value in &values[8..] {
        out.put64(*value);
    }
    wire::end_property(out, property);
    let property = wire::start_experimenter(out, INTEL_VENDOR_ID, INTEL_RFC2819);
    out.zeros(4);
    for value in stats.rfc2819 {
        out.put64(value);
    }
    wire::end_property(out, property);
    if !stats.custom.is_empty() {
        let property = wire::start_experimenter(out, INTEL_VENDOR_ID, INTEL_CUSTOM);
        out.zeros(2);
        let n = stats.custom.len().min(CUSTOM_MAX);
        out.put16(n as u16);
        for (name, value) in &stats.custom[..n] {
            let used = name.len().min(255);
            out.put8(used as u8);
            out.octets(&name.as_bytes()[..used]);
            out.put64(*value);
        }
        wire::end_property(out, property);
    }
    let len = out.len() - start;
    out.patch16(start, u16::try_from(len).unwrap_or(u16::MAX));
}
