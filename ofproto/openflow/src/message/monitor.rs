//! Flow monitors: OpenFlow 1.4 section 7.3.5.17, ONF extension 187 for 1.3, Nicira's extension for 1.0 to 1.2.

use super::kind::{Class, Head};
use super::wire::{self, Put, Reader};
use super::{Context, flow};
use crate::action::{self, Actions};
use crate::flow_mod::GROUP_ANY;
use crate::matching::{self, Match, Reading};
use crate::{ErrorCode, OfError, OfPort, Version};

/// Bits of [`FlowMonitorRequest::flags`], as in OpenFlow 1.4.
pub mod monitor_flag {
    /// Tell of the rules that are there.
    pub const INITIAL: u16 = 1 << 0;
    /// Tell of rules that come.
    pub const ADD: u16 = 1 << 1;
    /// Tell of rules that go.
    pub const REMOVED: u16 = 1 << 2;
    /// Tell of rules that change.
    pub const MODIFY: u16 = 1 << 3;
    /// With their actions.
    pub const INSTRUCTIONS: u16 = 1 << 4;
    /// In full, even what this controller did itself.
    pub const NO_ABBREV: u16 = 1 << 5;
    /// Nicira's and ONF's "own": changes that the monitor's owner makes are told in full.
    pub const ONLY_OWN: u16 = 1 << 6;
}

/// What a request does to the monitor; the number is OpenFlow 1.4's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MonitorCommand {
    /// New monitor.
    Add,
    /// Another one in its place.
    Modify,
    /// No more monitor.
    Delete,
    /// One that no version has; Open vSwitch does nothing then.
    Other(u8),
}

impl MonitorCommand {
    fn from_wire(number: u8) -> MonitorCommand {
        match number {
            0 => MonitorCommand::Add,
            1 => MonitorCommand::Modify,
            2 => MonitorCommand::Delete,
            number => MonitorCommand::Other(number),
        }
    }

    fn wire(self) -> u8 {
        match self {
            MonitorCommand::Add => 0,
            MonitorCommand::Modify => 1,
            MonitorCommand::Delete => 2,
            MonitorCommand::Other(number) => number,
        }
    }
}

/// Asks to be told of changes to rules.
#[derive(Clone, Debug, PartialEq)]
pub struct FlowMonitorRequest {
    /// Identifier, in replies' and cancels' terms.
    pub id: u32,
    /// What to do.
    pub command: MonitorCommand,
    /// [`monitor_flag`].
    pub flags: u16,
    /// Only rules that output there; [`OfPort::ANY`] for all.
    pub out_port: OfPort,
    /// Only rules with that group; `u32::MAX` for all.
    pub out_group: u32,
    /// Table, 255 for all.
    pub table_id: u8,
    /// Rules at least as specific.
    pub matching: Match,
}

/// What happened to a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FlowUpdateEvent {
    /// It was there when the monitor began (1.4+; others say [`FlowUpdateEvent::Added`]).
    Initial,
    /// It was added.
    Added,
    /// It was deleted, with the reason.
    Deleted,
    /// Its actions changed.
    Modified,
}

/// A change to rules.
#[derive(Clone, Debug, PartialEq)]
pub enum FlowUpdate {
    /// A rule was added, deleted or modified.
    Full(Box<FullUpdate>),
    /// The monitor's owner did it itself, with the message of this xid.
    Abbrev {
        /// Transaction of the message that did it.
        xid: u32,
    },
    /// Updates are held back: the controller is slow (1.4+).
    Paused,
    /// Updates go on (1.4+).
    Resumed,
}

/// A rule was added, deleted or modified.
#[derive(Clone, Debug, PartialEq)]
pub struct FullUpdate {
    /// What happened.
    pub event: FlowUpdateEvent,
    /// Why, for [`FlowUpdateEvent::Deleted`]: the number of [`super::flow_removed::FlowRemovedReason`]. 1.4 has 8 bits for it.
    pub reason: u16,
    /// Seconds.
    pub idle_timeout: u16,
    /// Seconds.
    pub hard_timeout: u16,
    /// Its priority.
    pub priority: u16,
    /// Its table.
    pub table_id: u8,
    /// Its cookie.
    pub cookie: u64,
    /// What it matches.
    pub matching: Match,
    /// What it does; empty without [`monitor_flag::INSTRUCTIONS`].
    pub actions: Actions,
}

/// Octets of a request in front of its match, in every form.
const REQUEST_LEN: usize = 16;
/// Octets of a full update in front of its match.
const FULL_LEN: usize = 24;
/// Where the length of the match stands behind the head of an update before 1.4.
const MATCH_LEN_AT: usize = 8;
/// Name of the log's module for what is said of flow monitors.
const LOG: &str = "ofp_monitor";
/// Flags of Nicira's and ONF's requests, and the number that the last of 1.4's flags has there.
const FLAGS_NX: u16 = 0x3f;
const OWN_NX: u16 = 1 << 5;
/// 1.4's flags that Open vSwitch takes: it refuses "no abbreviations".
const FLAGS_14: u16 = 0x7f & !monitor_flag::NO_ABBREV;

fn flags_to_nx(flags: u16) -> u16 {
    let own = if flags & monitor_flag::ONLY_OWN != 0 { OWN_NX } else { 0 };
    (flags & FLAGS_NX & !OWN_NX) | own
}

fn flags_from_nx(wire: u16) -> u16 {
    let own = if wire & OWN_NX != 0 { monitor_flag::ONLY_OWN } else { 0 };
    (wire & !OWN_NX) | own
}

/// Reads one request of a list.
pub(super) fn decode_request(
    body: &mut Reader<'_>,
    head: &Head<'_>,
    context: &Context<'_>,
) -> Result<FlowMonitorRequest, OfError> {
    if body.len() < REQUEST_LEN {
        let text = format!("{} has {} leftover bytes at end", head.shape.name, body.len());
        return Err(ErrorCode::OFPBRC_BAD_LEN.because(LOG, text));
    }
    let reading = Reading { tun: context.tun, ..Reading::default() };
    let mut request = FlowMonitorRequest {
        id: body.u32()?,
        command: MonitorCommand::Add,
        flags: 0,
        out_port: OfPort::ANY,
        out_group: GROUP_ANY,
        table_id: 0xff,
        matching: Match::any(),
    };
    match head.shape.class {
        Class::NxRequest => {
            let flags = body.u16()?;
            request.out_port = body.port10()?;
            let match_len = body.u16()?;
            request.table_id = body.u8()?;
            request.flags = check_flags(flags, head, MonitorCommand::Add)?;
            wire::must_be_zero(body.take(5)?, ErrorCode::NXBRC_MUST_BE_ZERO)?;
            request.matching = flow::take_nxm(body, match_len, reading)?.0;
        }
        Class::OnfRequest => {
            let flags = body.u16()?;
            // The match says its length itself.
            body.skip(2)?;
            let out_port = body.u32()?;
            request.table_id = body.u8()?;
            request.flags = check_flags(flags, head, MonitorCommand::Add)?;
            wire::must_be_zero(body.take(3)?, ErrorCode::NXBRC_MUST_BE_ZERO)?;
            request.out_port = wire::port11(out_port)?;
            request.matching = flow::take_match(body, reading)?;
        }
        _ => {
            let out_port = body.u32()?;
            request.out_group = body.u32()?;
            let flags = body.u16()?;
            request.table_id = body.u8()?;
            request.command = MonitorCommand::from_wire(body.u8()?);
            request.flags = check_flags(flags, head, request.command)?;
            // Nothing but the number matters of a monitor that ends.
            if request.command != MonitorCommand::Delete {
                request.out_port = wire::port11(out_port)?;
            }
            request.matching = flow::take_match(body, reading)?;
        }
    }
    Ok(request)
}

/// The flags of a request, in 1.4's numbers.
fn check_flags(wire: u16, head: &Head<'_>, command: MonitorCommand) -> Result<u16, OfError> {
    let (known, flags) = match head.shape.class {
        Class::NxRequest | Class::OnfRequest => (FLAGS_NX, flags_from_nx(wire)),
        _ => (FLAGS_14, wire),
    };
    let wanted = monitor_flag::ADD | monitor_flag::REMOVED | monitor_flag::MODIFY;
    // Who ends a monitor may ask for anything.
    if command != MonitorCommand::Delete && (wire & !known != 0 || flags & wanted == 0) {
        let name = head.shape.name.trim_end_matches(" request");
        let text = format!("{name} has bad flags {}", crate::wire::alternate_hex(wire.into()));
        return Err(ErrorCode::OFPMOFC_BAD_FLAGS.because(LOG, text));
    }
    Ok(flags)
}

pub(super) fn encode_request(out: &mut Vec<u8>, request: &FlowMonitorRequest, version: Version) {
    out.put32(request.id);
    match version {
        Version::V10 | Version::V11 | Version::V12 => {
            out.put16(flags_to_nx(request.flags));
            out.port10(request.out_port);
            let at = out.len();
            out.zeros(2);
            out.put8(request.table_id);
            out.zeros(5);
            let len = matching::put_nxm(out, &request.matching, 0, 0);
            out.patch16(at, len as u16);
        }
        Version::V13 => {
            out.put16(flags_to_nx(request.flags));
            let at = out.len();
            out.zeros(2);
            out.port11(request.out_port);
            out.put8(request.table_id);
            out.zeros(3);
            let len = matching::put_match(out, &request.matching, version);
            out.patch16(at, len as u16);
        }
        Version::V14 | Version::V15 => {
            out.port11(request.out_port);
            out.put32(request.out_group);
            out.put16(request.flags);
            out.put8(request.table_id);
            out.put8(request.command.wire());
            matching::put_match(out, &request.matching, version);
        }
    }
}

/// Reads one update of a list.
pub(super) fn decode_update(
    body: &mut Reader<'_>,
    version: Version,
    context: &Context<'_>,
) -> Result<FlowUpdate, OfError> {
    let standard = version >= Version::V14;
    let name = match version {
        Version::V14 | Version::V15 => "OFPST_FLOW_MONITOR reply",
        Version::V13 => "ONFST_FLOW_MONITOR reply",
        _ => "NXST_FLOW_MONITOR reply",
    };
    let (mut peek, left) = (*body, body.len());
    let leftover = || ErrorCode::OFPBRC_BAD_LEN.because(LOG, format!("{name} has {left} leftover bytes at end"));
    let (Ok(len), Ok(event)) = (peek.u16().map(usize::from), peek.u16()) else { return Err(leftover()) };
    if len > left || len % 8 != 0 {
        return Err(leftover());
    }
    let mut update = body.sub(len)?;
    if len > 0 {
        update.skip(4)?;
    }
    let event = match (standard, event) {
        (true, 0) => FlowUpdateEvent::Initial,
        (true, 1) | (false, 0) => FlowUpdateEvent::Added,
        (true, 2) | (false, 1) => FlowUpdateEvent::Deleted,
        (true, 3) | (false, 2) => FlowUpdateEvent::Modified,
        (true, 4) | (false, 3) => {
            return if len == 8 { Ok(FlowUpdate::Abbrev { xid: update.u32()? }) } else { Err(leftover()) };
        }
        (true, 5 | 6) if len != 8 => return Err(leftover()),
        (true, 5) => return Ok(FlowUpdate::Paused),
        (true, 6) => return Ok(FlowUpdate::Resumed),
        _ => {
            let text = format!("NXST_FLOW_MONITOR reply has bad event {event}");
            return Err(ErrorCode::NXBRC_FM_BAD_EVENT.because(LOG, text));
        }
    };
    if len < FULL_LEN {
        return Err(leftover());
    }
    let full = if standard {
        decode_full14(&mut update, event, context)?
    } else {
        let match_len = usize::from(crate::wire::be16(update.rest(), MATCH_LEN_AT));
        if FULL_LEN + match_len.next_multiple_of(8) > len {
            let text = format!("{name} has {} leftover bytes at end", left - FULL_LEN);
            return Err(ErrorCode::OFPBRC_BAD_LEN.because(LOG, text));
        }
        decode_full_nx(&mut update, event, version, context)?
    };
    let decoding = context.decoding(version);
    let actions = if version >= Version::V13 {
        action::pull_instructions(update.rest(), &decoding)?
    } else {
        action::pull_actions(update.rest(), &decoding)?
    };
    Ok(FlowUpdate::Full(Box::new(FullUpdate { actions, ..full })))
}

fn decode_full14(
    update: &mut Reader<'_>,
    event: FlowUpdateEvent,
    context: &Context<'_>,
) -> Result<FullUpdate, OfError> {
    let (table_id, reason, idle_timeout, hard_timeout, priority) =
        (update.u8()?, u16::from(update.u8()?), update.u16()?, update.u16()?, update.u16()?);
    update.skip(4)?;
    let cookie = update.u64()?;
    let matching = flow::take_match(update, Reading { tun: context.tun, ..Reading::default() })?;
    let actions = [].into();
    Ok(FullUpdate { event, reason, idle_timeout, hard_timeout, priority, table_id, cookie, matching, actions })
}

fn decode_full_nx(
    update: &mut Reader<'_>,
    event: FlowUpdateEvent,
    version: Version,
    context: &Context<'_>,
) -> Result<FullUpdate, OfError> {
    let (reason, priority, idle_timeout, hard_timeout, match_len) =
        (update.u16()?, update.u16()?, update.u16()?, update.u16()?, update.u16()?);
    let table_id = update.u8()?;
    update.skip(1)?;
    let cookie = update.u64()?;
    let reading = Reading { tun: context.tun, ..Reading::default() };
    let matching = match version {
        Version::V13 => flow::take_match(update, reading)?,
        _ => flow::take_nxm(update, match_len, reading)?.0,
    };
    let actions = [].into();
    Ok(FullUpdate { event, reason, idle_timeout, hard_timeout, priority, table_id, cookie, matching, actions })
}

pub(super) fn encode_update(out: &mut Vec<u8>, update: &FlowUpdate, version: Version) {
    let standard = version >= Version::V14;
    let start = out.len();
    out.zeros(2);
    match update {
        FlowUpdate::Abbrev { xid } => {
            out.put16(if standard { 4 } else { 3 });
            out.put32(*xid);
        }
        FlowUpdate::Paused | FlowUpdate::Resumed => {
            out.put16(if *update == FlowUpdate::Paused { 5 } else { 6 });
            out.zeros(4);
        }
        FlowUpdate::Full(full) => {
            let event = match full.event {
                FlowUpdateEvent::Initial if standard => 0,
                FlowUpdateEvent::Initial | FlowUpdateEvent::Added => u16::from(standard),
                FlowUpdateEvent::Deleted => 1 + u16::from(standard),
                FlowUpdateEvent::Modified => 2 + u16::from(standard),
            };
            out.put16(event);
            if standard {
                encode_full14(out, full, version);
            } else {
                encode_full_nx(out, full, version);
            }
            if version < Version::V13 {
                action::put_actions(out, &full.actions, version);
            } else {
                action::put_instructions(out, &full.actions, version);
            }
        }
    }
    let len = out.len() - start;
    out.patch16(start, u16::try_from(len).unwrap_or(u16::MAX));
}

fn encode_full14(out: &mut Vec<u8>, full: &FullUpdate, version: Version) {
    out.put8(full.table_id);
    out.put8(u8::try_from(full.reason).unwrap_or(u8::MAX));
    out.put16(full.idle_timeout);
    out.put16(full.hard_timeout);
    out.put16(full.priority);
    out.zeros(4);
    out.put64(full.cookie);
    matching::put_match(out, &full.matching, version);
}

fn encode_full_nx(out: &mut Vec<u8>, full: &FullUpdate, version: Version) {
    out.put16(full.reason);
    out.put16(full.priority);
    out.put16(full.idle_timeout);
    out.put16(full.hard_timeout);
    let at = out.len();
    out.zeros(2);
    out.put8(full.table_id);
    out.put8(0);
    out.put64(full.cookie);
    let len = match version {
        Version::V13 => matching::put_match(out, &full.matching, version),
        _ => matching::put_nxm(out, &full.matching, 0, 0),
    };
    out.patch16(at, len as u16);
}
