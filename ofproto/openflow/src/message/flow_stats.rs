//! Flow and aggregate statistics. OpenFlow 1.0 section 5.3.5, 1.3.5 section 7.3.5.2, NXST_FLOW, NXST_AGGREGATE.

use super::kind::{Class, Head, Kind};
use super::oxs::{self, Oxs};
use super::wire::{Put, Reader};
use super::{Context, Dialect, flow};
use crate::action;
use crate::flow_mod::{FlowStats, FlowStatsRequest, GROUP_ANY};
use crate::matching::{self, OF10_MATCH_LEN, Reading};
use crate::{ErrorCode, OfError, Version};

/// Sums over rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct AggregateStats {
    /// Packets, `u64::MAX` if unknown.
    pub packet_count: u64,
    /// Octets, `u64::MAX` if unknown.
    pub byte_count: u64,
    /// Rules.
    pub flow_count: u32,
}

/// A counter that is not known.
const UNKNOWN: u64 = u64::MAX;

fn dialect(head: &Head<'_>) -> Dialect {
    if head.shape.class.vendor() == 0 { Dialect::Standard } else { Dialect::Nicira }
}

/// Reads a request for flow or aggregate statistics.
pub(super) fn decode_request(
    head: &Head<'_>,
    version: Version,
    context: &Context<'_>,
) -> Result<(Dialect, FlowStatsRequest), OfError> {
    let aggregate = head.shape.kind == Kind::AggregateRequest;
    let reading = Reading { tun: context.tun, ..Reading::default() };
    let mut body = Reader::new(head.body);
    if head.shape.class == Class::NxRequest {
        let (out_port, match_len, table) = (body.port10()?, body.u16()?, body.u8()?);
        body.skip(3)?;
        let reading = Reading { cookie: true, ..reading };
        let (matching, (cookie, cookie_mask)) = flow::take_nxm(&mut body, match_len, reading)?;
        if !body.is_empty() {
            return Err(ErrorCode::OFPBRC_BAD_LEN.into());
        }
        let out_group = GROUP_ANY;
        let request = FlowStatsRequest { aggregate, matching, cookie, cookie_mask, out_port, out_group, table };
        return Ok((Dialect::Nicira, request));
    }
    if version == Version::V10 {
        let matching = matching::pull_of10(body.take(OF10_MATCH_LEN)?);
        let table = body.u8()?;
        body.skip(1)?;
        let (out_port, out_group) = (body.port10()?, GROUP_ANY);
        let request = FlowStatsRequest { aggregate, matching, cookie: 0, cookie_mask: 0, out_port, out_group, table };
        return Ok((Dialect::Standard, request));
    }
    let table = body.u8()?;
    body.skip(3)?;
    let (out_port, out_group) = (body.port11()?, body.u32()?);
    body.skip(4)?;
    let (cookie, cookie_mask) = (body.u64()?, body.u64()?);
    let matching = flow::take_match(&mut body, reading)?;
    Ok((Dialect::Standard, FlowStatsRequest { aggregate, matching, cookie, cookie_mask, out_port, out_group, table }))
}

pub(super) fn encode_request(out: &mut Vec<u8>, dialect: Dialect, request: &FlowStatsRequest, version: Version) {
    if dialect == Dialect::Nicira {
        out.port10(request.out_port);
        let at = out.len();
        out.zeros(2);
        out.put8(request.table);
        out.zeros(3);
        let len = matching::put_nxm(out, &request.matching, request.cookie, request.cookie_mask);
        out.patch16(at, len as u16);
    } else if version == Version::V10 {
        matching::put_of10(out, &request.matching);
        out.put8(request.table);
        out.put8(0);
        out.port10(request.out_port);
    } else {
        out.put8(request.table);
        out.zeros(3);
        out.port11(request.out_port);
        out.put32(request.out_group);
        out.zeros(4);
        out.put64(request.cookie);
        out.put64(request.cookie_mask);
        matching::put_match(out, &request.matching, version);
    }
}

fn count(wire: u64) -> Option<u64> {
    (wire != UNKNOWN).then_some(wire)
}

/// An age as the Nicira message has it: one more than the seconds, 0 if unknown.
fn age(wire: u16) -> Option<u16> {
    wire.checked_sub(1)
}

/// Name of the log's module for what is said of flows.
const LOG: &str = "ofp_flow";

fn bad_match(error: OfError) -> OfError {
    error.remark(LOG, "OFPST_FLOW reply bad match".into())
}

/// Appends one rule of a reply.
pub(super) fn decode_flow(
    body: &mut Reader<'_>,
    flows: &mut Vec<FlowStats>,
    head: &Head<'_>,
    version: Version,
    context: &Context<'_>,
) -> Result<(), OfError> {
    // Filled in where it stays: a match has more than a kilobyte.
    flows.push(FlowStats::blank());
    let read = flows.last_mut().map_or(Ok(()), |flow| fill_flow(body, flow, head, version, context));
    if read.is_err() {
        flows.pop();
    }
    read
}

fn fill_flow(
    body: &mut Reader<'_>,
    flow: &mut FlowStats,
    head: &Head<'_>,
    version: Version,
    context: &Context<'_>,
) -> Result<(), OfError> {
    let dialect = dialect(head);
    let (name, least) = match (dialect, version) {
        (Dialect::Nicira, _) => ("NXST_FLOW reply", 48),
        (_, Version::V10) => ("OFPST_FLOW reply", 88),
        (_, Version::V15) => ("OFPST_FLOW reply", 24),
        _ => ("OFPST_FLOW reply", 48),
    };
    let nameless = version == Version::V15;
    let refuse = |what: String| {
        let error = ErrorCode::OFPBRC_BAD_LEN.because(LOG, format!("{name} {what}"));
        OfError { nameless, ..error }
    };
    let left = body.len();
    if left < least {
        return Err(refuse(format!("has {left} leftover bytes at end")));
    }
    let len = usize::from(crate::wire::be16(body.rest(), 0));
    if dialect == Dialect::Standard && len < least {
        return Err(refuse(format!("claims invalid length {len}")));
    }
    // Everything but the instructions may go beyond the rule's end: what is left for these is then less than nothing.
    body.skip(2)?;
    let reading = Reading { tun: context.tun, ..Reading::default() };
    match (dialect, version) {
        (Dialect::Nicira, _) => decode_nx(flow, body, len, reading)?,
        (_, Version::V10) => decode10(flow, body)?,
        (_, Version::V15) => decode15(flow, body, reading)?,
        _ => decode11(flow, body, version, reading)?,
    }
    let instructions_len = (len as u32).wrapping_sub((left - body.len()) as u32);
    flow.actions = action::take_instructions(body, instructions_len, &context.decoding(version))
        .map_err(|error| error.remark(LOG, "OFPST_FLOW reply bad instructions".into()))?;
    Ok(())
}

impl FlowStats {
    /// Those of a rule that matches everything and does nothing, nothing being known of what it has carried.
    pub fn blank() -> FlowStats {
        FlowStats {
            matching: matching::Match::any(),
            cookie: 0,
            table: 0,
            priority: 0,
            duration: None,
            idle_timeout: 0,
            hard_timeout: 0,
            importance: 0,
            idle_age: None,
            hard_age: None,
            packets: None,
            bytes: None,
            flags: Default::default(),
            actions: [].into(),
        }
    }
}

fn decode10(flow: &mut FlowStats, body: &mut Reader<'_>) -> Result<(), OfError> {
    flow.table = body.u8()?;
    body.skip(1)?;
    flow.matching = matching::pull_of10(body.take(OF10_MATCH_LEN)?);
    flow.duration = Some((body.u32()?, body.u32()?));
    flow.priority = body.u16()?;
    flow.idle_timeout = body.u16()?;
    flow.hard_timeout = body.u16()?;
    body.skip(6)?;
    flow.cookie = body.u64()?;
    flow.packets = count(body.u64()?);
    flow.bytes = count(body.u64()?);
    Ok(())
}

fn decode11(
    flow: &mut FlowStats,
    body: &mut Reader<'_>,
    version: Version,
    reading: Reading<'_>,
) -> Result<(), OfError> {
    flow.table = body.u8()?;
    body.skip(1)?;
    flow.duration = Some((body.u32()?, body.u32()?));
    flow.priority = body.u16()?;
    flow.idle_timeout = body.u16()?;
    flow.hard_timeout = body.u16()?;
    let (flags, importance) = (body.u16()?, body.u16()?);
    if version >= Version::V14 {
        flow.importance = importance;
    }
    body.skip(2)?;
    flow.cookie = body.u64()?;
    flow.packets = count(body.u64()?);
    flow.bytes = count(body.u64()?);
    flow::take_match_into(&mut flow.matching, body, reading).map_err(bad_match)?;
    if version >= Version::V13 {
        flow.flags = flow::decode_flags(flags, None, version)?;
    }
    Ok(())
}

fn decode15(flow: &mut FlowStats, body: &mut Reader<'_>, reading: Reading<'_>) -> Result<(), OfError> {
    body.skip(2)?;
    flow.table = body.u8()?;
    body.skip(1)?;
    flow.priority = body.u16()?;
    flow.idle_timeout = body.u16()?;
    flow.hard_timeout = body.u16()?;
    let flags = body.u16()?;
    flow.importance = body.u16()?;
    flow.cookie = body.u64()?;
    let bad_match = |error| OfError { nameless: true, ..bad_match(error) };
    flow::take_match_into(&mut flow.matching, body, reading).map_err(bad_match)?;
    flow.flags = flow::decode_flags(flags, None, Version::V15)?;
    let bad_stats = |error: OfError| error.remark(LOG, "OXS OFPST_FLOW reply bad stats".into());
    let oxs = oxs::decode(body).map_err(|error| OfError { nameless: true, ..bad_stats(error) })?;
    flow.duration = oxs.duration.or(Some((u32::MAX, u32::MAX)));
    flow.idle_age = oxs.idle;
    flow.packets = oxs.packets;
    flow.bytes = oxs.bytes;
    Ok(())
}

fn decode_nx(flow: &mut FlowStats, body: &mut Reader<'_>, whole: usize, reading: Reading<'_>) -> Result<(), OfError> {
    flow.table = body.u8()?;
    body.skip(1)?;
    flow.duration = Some((body.u32()?, body.u32()?));
    flow.priority = body.u16()?;
    flow.idle_timeout = body.u16()?;
    flow.hard_timeout = body.u16()?;
    let match_len = body.u16()?;
    flow.idle_age = age(body.u16()?).map(u32::from);
    flow.hard_age = age(body.u16()?);
    flow.cookie = body.u64()?;
    flow.packets = count(body.u64()?);
    flow.bytes = count(body.u64()?);
    if whole < 48 + usize::from(match_len).next_multiple_of(8) {
        let text = format!("NXST_FLOW reply with match_len={match_len} claims invalid length {whole}");
        return Err(ErrorCode::OFPBRC_BAD_LEN.because(LOG, text));
    }
    let octets = flow::match_octets(body, match_len)?;
    matching::pull_nxm_into(&mut flow.matching, octets, reading)?;
    Ok(())
}

/// Appends one rule of a reply.
pub(super) fn encode_flow(out: &mut Vec<u8>, dialect: Dialect, flow: &FlowStats, version: Version) {
    let start = out.len();
    out.zeros(2);
    match (dialect, version) {
        (Dialect::Nicira, _) => encode_nx(out, flow),
        (_, Version::V10) => encode10(out, flow),
        (_, Version::V15) => encode15(out, flow),
        _ => encode11(out, flow, version),
    }
    action::put_instructions(out, &flow.actions, version);
    let len = out.len() - start;
    out.patch16(start, u16::try_from(len).unwrap_or(u16::MAX));
}

fn put_times(out: &mut Vec<u8>, flow: &FlowStats) {
    let (sec, nsec) = flow.duration.unwrap_or_default();
    out.put32(sec);
    out.put32(nsec);
    out.put16(flow.priority);
    out.put16(flow.idle_timeout);
    out.put16(flow.hard_timeout);
}

fn put_counts(out: &mut Vec<u8>, flow: &FlowStats) {
    out.put64(flow.cookie);
    out.put64(flow.packets.unwrap_or(UNKNOWN));
    out.put64(flow.bytes.unwrap_or(UNKNOWN));
}

fn encode10(out: &mut Vec<u8>, flow: &FlowStats) {
    out.put8(flow.table);
    out.put8(0);
    matching::put_of10(out, &flow.matching);
    put_times(out, flow);
    out.zeros(6);
    put_counts(out, flow);
}

fn encode11(out: &mut Vec<u8>, flow: &FlowStats, version: Version) {
    out.put8(flow.table);
    out.put8(0);
    put_times(out, flow);
    out.put16(if version >= Version::V13 { flow::encode_flags(flow.flags, version) } else { 0 });
    out.put16(if version >= Version::V14 { flow.importance } else { 0 });
    out.zeros(2);
    put_counts(out, flow);
    if version == Version::V11 {
        // As Open vSwitch: a list of fields, which 1.1 does not have but can tell from its own match.
        put_fields(out, &flow.matching);
    } else {
        matching::put_match(out, &flow.matching, version);
    }
}

/// Appends a match as a list of fields with the header that 1.2 gives it.
fn put_fields(out: &mut Vec<u8>, m: &matching::Match) {
    let start = out.len();
    out.put16(1);
    out.zeros(2);
    matching::put_oxm_fields(out, m, Version::V11);
    let len = out.len() - start;
    out.patch16(start + 2, len as u16);
    out.pad8(start);
}

fn encode15(out: &mut Vec<u8>, flow: &FlowStats) {
    out.zeros(2);
    out.put8(flow.table);
    out.put8(0);
    out.put16(flow.priority);
    out.put16(flow.idle_timeout);
    out.put16(flow.hard_timeout);
    out.put16(flow::encode_flags(flow.flags, Version::V15));
    out.put16(flow.importance);
    out.put64(flow.cookie);
    matching::put_match(out, &flow.matching, Version::V15);
    let idle = flow.idle_age;
    let oxs = Oxs { duration: flow.duration, idle, packets: flow.packets, bytes: flow.bytes, flows: None };
    oxs::encode(out, &oxs);
}

fn encode_nx(out: &mut Vec<u8>, flow: &FlowStats) {
    out.put8(flow.table);
    out.put8(0);
    put_times(out, flow);
    let at = out.len();
    out.zeros(2);
    out.put16(flow.idle_age.map_or(0, |s| u16::try_from(s).unwrap_or(u16::MAX).saturating_add(1)));
    out.put16(flow.hard_age.map_or(0, |s| s.saturating_add(1)));
    put_counts(out, flow);
    let len = matching::put_nxm(out, &flow.matching, 0, 0);
    out.patch16(at, len as u16);
}

pub(super) fn decode_aggregate(body: &[u8], version: Version) -> Result<AggregateStats, OfError> {
    let mut body = Reader::new(body);
    if version == Version::V15 {
        let oxs = oxs::decode(&mut body)?;
        return Ok(AggregateStats {
            packet_count: oxs.packets.unwrap_or(UNKNOWN),
            byte_count: oxs.bytes.unwrap_or(UNKNOWN),
            flow_count: oxs.flows.unwrap_or(u32::MAX),
        });
    }
    Ok(AggregateStats { packet_count: body.u64()?, byte_count: body.u64()?, flow_count: body.u32()? })
}

pub(super) fn encode_aggregate(out: &mut Vec<u8>, stats: &AggregateStats, version: Version) {
    if version == Version::V15 {
        let (packets, bytes) = (count(stats.packet_count), count(stats.byte_count));
        oxs::encode(out, &Oxs { packets, bytes, flows: Some(stats.flow_count), ..Oxs::default() });
        return;
    }
    out.put64(stats.packet_count);
    out.put64(stats.byte_count);
    out.put32(stats.flow_count);
    out.zeros(4);
}
