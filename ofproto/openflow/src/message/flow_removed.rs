//! The message that a rule is gone. OpenFlow 1.0 section 5.4.2, 1.3.5 section 7.4.2, NXT_FLOW_REMOVED.

use super::kind::{Class, Head};
use super::oxs::{self, Oxs};
use super::wire::{Put, Reader};
use super::{Context, Dialect, flow};
use crate::matching::{self, Match, OF10_MATCH_LEN, Reading};
use crate::{ErrorCode, OfError, Version};

/// Why a rule is gone; the number is the wire's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FlowRemovedReason {
    /// No packet for the rule's idle timeout.
    IdleTimeout,
    /// The rule's hard timeout is over.
    HardTimeout,
    /// A flow mod deleted it.
    Delete,
    /// Its group was deleted (OpenFlow 1.3.1+).
    GroupDelete,
    /// Its meter was deleted (OpenFlow 1.4+).
    MeterDelete,
    /// It made room for another (OpenFlow 1.4+).
    Eviction,
    /// A number without a meaning.
    Other(u8),
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

impl FlowRemovedReason {
    /// The reason with this number.
    pub fn from_wire(number: u8) -> FlowRemovedReason {
        match number {
            0 => FlowRemovedReason::IdleTimeout,
            1 => FlowRemovedReason::HardTimeout,
            2 => FlowRemovedReason::Delete,
            3 => FlowRemovedReason::GroupDelete,
            4 => FlowRemovedReason::MeterDelete,
            5 => FlowRemovedReason::Eviction,
            other => FlowRemovedReason::Other(other),
        }
    }

    /// Its number.
    pub fn number(self) -> u8 {
        match self {
            FlowRemovedReason::IdleTimeout => 0,
            FlowRemovedReason::HardTimeout => 1,
            FlowRemovedReason::Delete => 2,
            FlowRemovedReason::GroupDelete => 3,
            FlowRemovedReason::MeterDelete => 4,
            FlowRemovedReason::Eviction => 5,
            FlowRemovedReason::Other(other) => other,
        }
    }

    /// The reason as a version can say it.
    fn in_version(self, version: Version) -> FlowRemovedReason {
        if self == FlowRemovedReason::MeterDelete && version < Version::V14 { FlowRemovedReason::Delete } else { self }
    }
}

fn blank(dialect: Dialect) -> FlowRemoved {
    FlowRemoved {
        dialect,
        matching: Match::any(),
        priority: 0,
        cookie: 0,
        table_id: 255,
        reason: FlowRemovedReason::Delete,
        duration_sec: 0,
        duration_nsec: 0,
        idle_timeout: 0,
        hard_timeout: 0,
        packet_count: u64::MAX,
        byte_count: u64::MAX,
    }
}

pub(super) fn decode(head: &Head<'_>, version: Version, context: &Context<'_>) -> Result<FlowRemoved, OfError> {
    let mut body = Reader::new(head.body);
    let reading = Reading { tun: context.tun, ..Reading::default() };
    if head.shape.class == Class::Nxt {
        return decode_nx(&mut body, reading);
    }
    let mut removed = blank(Dialect::Standard);
    match version {
        Version::V10 => {
            removed.matching = matching::pull_of10(body.take(OF10_MATCH_LEN)?);
            removed.cookie = body.u64()?;
            removed.priority = body.u16()?;
            removed.reason = FlowRemovedReason::from_wire(body.u8()?);
            body.skip(1)?;
            removed.duration_sec = body.u32()?;
            removed.duration_nsec = body.u32()?;
            removed.idle_timeout = body.u16()?;
            body.skip(2)?;
            removed.packet_count = body.u64()?;
            removed.byte_count = body.u64()?;
        }
        Version::V15 => {
            removed.table_id = body.u8()?;
            removed.reason = FlowRemovedReason::from_wire(body.u8()?);
            removed.priority = body.u16()?;
            removed.idle_timeout = body.u16()?;
            removed.hard_timeout = body.u16()?;
            removed.cookie = body.u64()?;
            removed.matching = flow::take_match(&mut body, reading)?;
            let oxs = oxs::decode(&mut body)?;
            (removed.duration_sec, removed.duration_nsec) = oxs.duration.unwrap_or((u32::MAX, u32::MAX));
            removed.packet_count = oxs.packets.unwrap_or(u64::MAX);
            removed.byte_count = oxs.bytes.unwrap_or(u64::MAX);
        }
        _ => {
            removed.cookie = body.u64()?;
            removed.priority = body.u16()?;
            removed.reason = FlowRemovedReason::from_wire(body.u8()?);
            removed.table_id = body.u8()?;
            removed.duration_sec = body.u32()?;
            removed.duration_nsec = body.u32()?;
            removed.idle_timeout = body.u16()?;
            removed.hard_timeout = body.u16()?;
            removed.packet_count = body.u64()?;
            removed.byte_count = body.u64()?;
            removed.matching = flow::take_match(&mut body, reading)?;
        }
    }
    Ok(removed)
}

fn decode_nx(body: &mut Reader<'_>, reading: Reading<'_>) -> Result<FlowRemoved, OfError> {
    let mut removed = blank(Dialect::Nicira);
    removed.cookie = body.u64()?;
    removed.priority = body.u16()?;
    removed.reason = FlowRemovedReason::from_wire(body.u8()?);
    removed.table_id = body.u8()?.wrapping_sub(1);
    removed.duration_sec = body.u32()?;
    removed.duration_nsec = body.u32()?;
    removed.idle_timeout = body.u16()?;
    let match_len = body.u16()?;
    removed.packet_count = body.u64()?;
    removed.byte_count = body.u64()?;
    removed.matching = flow::take_nxm(body, match_len, reading)?.0;
    if body.is_empty() { Ok(removed) } else { Err(ErrorCode::OFPBRC_BAD_LEN.into()) }
}

pub(super) fn encode(out: &mut Vec<u8>, removed: &FlowRemoved, version: Version) {
    let reason = removed.reason.in_version(version).number();
    if removed.dialect == Dialect::Nicira {
        out.put64(removed.cookie);
        out.put16(removed.priority);
        out.put8(reason);
        out.put8(removed.table_id.wrapping_add(1));
        out.put32(removed.duration_sec);
        out.put32(removed.duration_nsec);
        out.put16(removed.idle_timeout);
        let at = out.len();
        out.zeros(2);
        out.put64(removed.packet_count);
        out.put64(removed.byte_count);
        let len = matching::put_nxm(out, &removed.matching, 0, 0);
        out.patch16(at, len as u16);
        return;
    }
    match version {
        Version::V10 => {
            matching::put_of10(out, &removed.matching);
            out.put64(removed.cookie);
            out.put16(removed.priority);
            out.put8(reason);
            out.put8(0);
            out.put32(removed.duration_sec);
            out.put32(removed.duration_nsec);
            out.put16(removed.idle_timeout);
            out.zeros(2);
            out.put64(removed.packet_count);
            out.put64(removed.byte_count);
        }
        Version::V15 => {
            out.put8(removed.table_id);
            out.put8(reason);
            out.put16(removed.priority);
            out.put16(removed.idle_timeout);
            out.put16(removed.hard_timeout);
            out.put64(removed.cookie);
            matching::put_match(out, &removed.matching, version);
            let known = |n: u64| (n != u64::MAX).then_some(n);
            let oxs = Oxs {
                duration: Some((removed.duration_sec, removed.duration_nsec)),
                packets: known(removed.packet_count),
                bytes: known(removed.byte_count),
                ..Oxs::default()
            };
            oxs::encode(out, &oxs);
        }
        _ => {
            out.put64(removed.cookie);
            out.put16(removed.priority);
            out.put8(reason);
            out.put8(removed.table_id);
            out.put32(removed.duration_sec);
            out.put32(removed.duration_nsec);
            out.put16(removed.idle_timeout);
            out.put16(removed.hard_timeout);
            out.put64(removed.packet_count);
            out.put64(removed.byte_count);
            matching::put_match(out, &removed.matching, version);
        }
    }
}
