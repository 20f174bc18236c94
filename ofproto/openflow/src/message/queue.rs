//! Queues: configuration and counters. OpenFlow 1.0 sections 5.3.4 and 5.3.5, 1.4 sections 7.3.5.9 and 7.3.5.10.

use super::wire::{self, Put, Reader};
use crate::{ErrorCode, Notes, OfError, OfPort, Version};

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

/// No rate.
pub const RATE_NONE: u16 = 0xffff;
/// Property with the guaranteed rate.
const MIN_RATE: u16 = 1;
/// Property with the greatest rate.
const MAX_RATE: u16 = 2;

/// Reads the port and queue of a request for counters.
pub(super) fn decode_stats_request(body: &[u8], version: Version) -> Result<(OfPort, Option<u32>), OfError> {
    let mut body = Reader::new(body);
    let port = if version == Version::V10 {
        let port = body.port10()?;
        body.skip(2)?;
        if port == OfPort::ALL { OfPort::ANY } else { port }
    } else {
        body.port11()?
    };
    let queue = body.u32()?;
    Ok((port, (queue != QUEUE_ALL).then_some(queue)))
}

pub(super) fn encode_stats_request(out: &mut Vec<u8>, port: OfPort, queue: Option<u32>, version: Version) {
    if version == Version::V10 {
        out.port10(if port == OfPort::ANY { OfPort::ALL } else { port });
        out.zeros(2);
    } else {
        out.port11(port);
    }
    out.put32(queue.unwrap_or(QUEUE_ALL));
}

pub(super) fn decode_stats(body: &mut Reader<'_>, version: Version) -> Result<QueueStats, OfError> {
    let mut body = if version >= Version::V14 {
        let mut peek = *body;
        let len = usize::from(peek.u16()?);
        if len < 48 {
            return Err(ErrorCode::OFPBRC_BAD_LEN.into());
        }
        let mut sub = body.sub(len)?;
        sub.skip(8)?;
        sub
    } else {
        body.sub(if version == Version::V13 { 40 } else { 32 })?
    };
    let port = if version == Version::V10 {
        let port = body.port10()?;
        body.skip(2)?;
        port
    } else {
        body.port11()?
    };
    let (queue, tx_bytes, tx_packets, tx_errors) = (body.u32()?, body.u64()?, body.u64()?, body.u64()?);
    let (mut duration_sec, mut duration_nsec) = (u32::MAX, u32::MAX);
    if version >= Version::V13 {
        duration_sec = body.u32()?;
        duration_nsec = body.u32()?;
    }
    Ok(QueueStats { port, queue, tx_bytes, tx_packets, tx_errors, duration_sec, duration_nsec })
}

pub(super) fn encode_stats(out: &mut Vec<u8>, stats: &QueueStats, version: Version) {
    if version >= Version::V14 {
        out.put16(48);
        out.zeros(6);
    }
    if version == Version::V10 {
        out.port10(stats.port);
        out.zeros(2);
    } else {
        out.port11(stats.port);
    }
    out.put32(stats.queue);
    out.put64(stats.tx_bytes);
    out.put64(stats.tx_packets);
    out.put64(stats.tx_errors);
    if version >= Version::V13 {
        out.put32(stats.duration_sec);
        out.put32(stats.duration_nsec);
    }
}

/// Reads the port and queue of a request for configurations.
pub(super) fn decode_config_request(body: &[u8], version: Version) -> Result<(OfPort, Option<u32>), OfError> {
    let mut body = Reader::new(body);
    let (port, queue) = match version {
        Version::V10 => (body.port10()?, None),
        Version::V11 | Version::V12 | Version::V13 => (body.port11()?, None),
        Version::V14 | Version::V15 => {
            let port = body.port11()?;
            let queue = body.u32()?;
            (port, (queue != QUEUE_ALL).then_some(queue))
        }
    };
    // From 1.4 on it is for whoever serves the request to say which ports there are.
    let any = version >= Version::V14 || (version != Version::V10 && port == OfPort::ANY);
    if port.is_physical() || any { Ok((port, queue)) } else { Err(ErrorCode::OFPQOFC_BAD_PORT.into()) }
}

pub(super) fn encode_config_request(out: &mut Vec<u8>, port: OfPort, queue: Option<u32>, version: Version) {
    match version {
        Version::V10 => {
            out.port10(port);
            out.zeros(2);
        }
        Version::V11 | Version::V12 | Version::V13 => {
            out.port11(port);
            out.zeros(4);
        }
        Version::V14 | Version::V15 => {
            out.port11(port);
            out.put32(queue.unwrap_or(QUEUE_ALL));
        }
    }
}

/// Reads the port that a reply before 1.4 is for.
pub(super) fn decode_config_port(body: &mut Reader<'_>, version: Version) -> Result<OfPort, OfError> {
    match version {
        Version::V10 => {
            let port = body.port10()?;
            body.skip(6)?;
            Ok(port)
        }
        Version::V11 | Version::V12 | Version::V13 => {
            let port = body.u32()?;
            body.skip(4)?;
            // The port matters only if there are queues.
            if body.is_empty() { Ok(OfPort::ANY) } else { wire::port11(port) }
        }
        Version::V14 | Version::V15 => Ok(OfPort::ANY),
    }
}

pub(super) fn encode_config_port(out: &mut Vec<u8>, port: OfPort, version: Version) {
    match version {
        Version::V10 => {
            out.port10(port);
            out.zeros(6);
        }
        Version::V11 | Version::V12 | Version::V13 => {
            out.port11(port);
            out.zeros(4);
        }
        Version::V14 | Version::V15 => {}
    }
}

/// Number and value of the next property of a queue, which before 1.4 has whole words of 8 octets and no experimenters.
fn next_property<'a>(body: &mut Reader<'a>, version: Version) -> Result<(u16, &'a [u8]), ErrorCode> {
    if version >= Version::V14 {
        let property = wire::property(body)?;
        return Ok((property.kind, property.value));
    }
    let mut head = *body;
    let (kind, len) = (head.u16()?, usize::from(head.u16()?));
    if len < 8 || !len.is_multiple_of(8) {
        return Err(ErrorCode::OFPBRC_BAD_LEN);
    }
    let whole = body.take(len)?;
    Ok((kind, &whole[4..]))
}

/// Reads one queue of a reply for `port`.
pub(super) fn decode_config(
    body: &mut Reader<'_>,
    port: OfPort,
    version: Version,
    notes: Option<&Notes>,
) -> Result<QueueConfig, OfError> {
    let (len_at, head_len) = match version {
        Version::V10 | Version::V11 => (4, 8),
        _ => (8, 16),
    };
    let mut peek = *body;
    if version >= Version::V14 && body.len() >= head_len {
        peek.port11()?;
        peek = *body;
    }
    peek.skip(len_at)?;
    let len = usize::from(peek.u16()?);
    if len < head_len {
        return Err(ErrorCode::OFPBRC_BAD_LEN.into());
    }
    if version >= Version::V14 && !len.is_multiple_of(8) {
        return Err(ErrorCode::OFPBRC_BAD_LEN.into());
    }
    let mut body = body.sub(len)?;
    let mut config = QueueConfig { port, queue: 0, min_rate: RATE_NONE, max_rate: RATE_NONE };
    match version {
        Version::V10 | Version::V11 => {
            config.queue = body.u32()?;
            body.skip(4)?;
        }
        Version::V12 | Version::V13 => {
            config.queue = body.u32()?;
            body.skip(12)?;
        }
        Version::V14 | Version::V15 => {
            config.port = body.port11()?;
            config.queue = body.u32()?;
            body.skip(8)?;
        }
    }
    while !body.is_empty() {
        if body.len() < 8 {
            return Err(ErrorCode::OFPBRC_BAD_LEN.into());
        }
        let (kind, value) = next_property(&mut body, version)?;
        let rate = match kind {
            MIN_RATE => &mut config.min_rate,
            MAX_RATE => &mut config.max_rate,
            _ => {
                if let Some(notes) = notes.filter(|_| version < Version::V14) {
                    notes.info("ofp_queue", format!("unknown queue property {kind}"));
                }
                continue;
            }
        };
        let mut value = Reader::new(value);
        if version < Version::V14 {
            if value.len() != 12 {
                return Err(ErrorCode::OFPBRC_BAD_LEN.into());
            }
            value.skip(4)?;
        }
        // What is above the whole means that there is no such limit, and is told apart from nothing said.
        *rate = value.u16().map_err(|_| ErrorCode::OFPBPC_BAD_LEN)?;
    }
    Ok(config)
}

pub(super) fn encode_config(out: &mut Vec<u8>, config: &QueueConfig, version: Version) {
    let start = out.len();
    let len_at = match version {
        Version::V10 | Version::V11 => {
            out.put32(config.queue);
            start + 4
        }
        Version::V12 | Version::V13 => {
            out.put32(config.queue);
            out.port11(config.port);
            start + 8
        }
        Version::V14 | Version::V15 => {
            out.port11(config.port);
            out.put32(config.queue);
            start + 8
        }
    };
    out.zeros(if version <= Version::V11 { 4 } else { 8 });
    for (kind, rate) in [(MIN_RATE, config.min_rate), (MAX_RATE, config.max_rate)] {
        if rate == RATE_NONE {
            continue;
        }
        out.put16(kind);
        if version < Version::V14 {
            out.put16(16);
            out.zeros(4);
            out.put16(rate);
            out.zeros(6);
        } else {
            out.put16(8);
            out.put16(rate);
            out.zeros(2);
        }
    }
    let len = out.len() - start;
    out.patch16(len_at, len as u16);
}
