//! Flow-mods on the wire. OpenFlow 1.0 section 5.3.3, 1.3.5 section 7.3.4.1, NXT_FLOW_MOD.

use super::kind::{Class, Head};
use super::wire::{self, Put, Reader};
use super::{Context, Dialect};
use crate::action;
use crate::flow_mod::{FlowFlags, FlowMod, FlowModCommand, GROUP_ANY, TABLE_ALL, normalization_notes};
use crate::matching::{self, Match, OF10_MATCH_LEN, Reading};
use crate::{ErrorCode, OfError, Protocols, Version};

/// Flags' numbers on the wire where they differ: 1.0's emergency flows.
const EMERG_10: u16 = 1 << 2;

/// The flags that a version has, by their numbers on the wire (1.0's third is [`EMERG_10`]).
fn known_flags(version: Version) -> u16 {
    match version {
        Version::V10 => 0b111,
        Version::V11 => 0b11,
        Version::V12 => 0b111,
        _ => 0b1_1111,
    }
}

pub(super) fn decode_flags(wire: u16, command: Option<FlowModCommand>, version: Version) -> Result<FlowFlags, OfError> {
    let mut flags = FlowFlags(wire & known_flags(version));
    if version == Version::V10 && wire & EMERG_10 != 0 {
        flags = flags.without(FlowFlags::RESET_COUNTS).with(FlowFlags::EMERG);
    }
    // Before 1.2 "add" always resets the counters, and nothing else does.
    if version <= Version::V11 && command == Some(FlowModCommand::Add) {
        flags = flags.with(FlowFlags::RESET_COUNTS);
    }
    if wire & !known_flags(version) != 0 { Err(ErrorCode::OFPFMFC_BAD_FLAGS.into()) } else { Ok(flags) }
}

pub(super) fn encode_flags(flags: FlowFlags, version: Version) -> u16 {
    match version {
        Version::V10 => (flags.0 & 0b11) | if flags.contains(FlowFlags::EMERG) { EMERG_10 } else { 0 },
        _ => flags.0 & known_flags(version),
    }
}

pub(super) fn command(number: u16) -> Result<FlowModCommand, OfError> {
    Ok(match number {
        0 => FlowModCommand::Add,
        1 => FlowModCommand::Modify,
        2 => FlowModCommand::ModifyStrict,
        3 => FlowModCommand::Delete,
        4 => FlowModCommand::DeleteStrict,
        _ => return Err(ErrorCode::OFPFMFC_BAD_COMMAND.into()),
    })
}

fn is_delete(command: FlowModCommand) -> bool {
    matches!(command, FlowModCommand::Delete | FlowModCommand::DeleteStrict)
}

fn is_modify(command: FlowModCommand) -> bool {
    matches!(command, FlowModCommand::Modify | FlowModCommand::ModifyStrict)
}

/// Command and flags as on the wire: what is read before the command is known to be good.
type Raw = (u16, u16);

/// Reads a flow-mod, in the place where it is to stay.
pub(super) fn decode(
    head: &Head<'_>,
    version: Version,
    context: &Context<'_>,
) -> Result<(Dialect, Box<FlowMod>), OfError> {
    let nicira = head.shape.class == Class::Nxt;
    let mut body = Reader::new(head.body);
    let reading = Reading { tun: context.tun, ..Reading::default() };
    let mut flow_mod = Box::<FlowMod>::default();
    let (mut number, flags) = match (nicira, version) {
        (true, _) => decode_nx(&mut flow_mod, &mut body, reading)?,
        (false, Version::V10) => decode10(&mut flow_mod, &mut body, context)?,
        _ => decode11(&mut flow_mod, &mut body, version, reading)?,
    };
    let fixed = nicira || version == Version::V10;
    if fixed {
        flow_mod.modify_cookie = flow_mod.new_cookie != u64::MAX;
        if context.table_id {
            flow_mod.table = (number >> 8) as u8;
            number &= 0xff;
        }
    }
    flow_mod.command = command(number)?;
    let decoding = context.decoding(version);
    flow_mod.actions = action::pull_instructions(body.rest(), &decoding)?;
    flow_mod.flags = decode_flags(flags, Some(flow_mod.command), version)?;
    if flow_mod.flags.contains(FlowFlags::EMERG) {
        // Emergency flows do not exist here; the nearest error there is.
        let timeouts = flow_mod.idle_timeout != 0 || flow_mod.hard_timeout != 0;
        let code = if timeouts { ErrorCode::OFPFMFC_BAD_EMERG_TIMEOUT } else { ErrorCode::OFPFMFC_TABLE_FULL };
        return Err(code.into());
    }
    let protocol = match (nicira, version) {
        (true, Version::V10) => Protocols::OF10_NXM,
        _ => Protocols::initial(version),
    };
    let check = action::Check { table: flow_mod.table, ..context.check };
    let actions = std::mem::take(&mut flow_mod.actions);
    flow_mod.actions = action::check_consistency(actions, &flow_mod.matching, protocol, &check)?;
    Ok((if nicira { Dialect::Nicira } else { Dialect::Standard }, flow_mod))
}

fn buffer(id: u32) -> Option<u32> {
    (id != super::NO_BUFFER).then_some(id)
}

fn decode11(
    flow_mod: &mut FlowMod,
    body: &mut Reader<'_>,
    version: Version,
    reading: Reading<'_>,
) -> Result<Raw, OfError> {
    let (cookie, cookie_mask, table, number) = (body.u64()?, body.u64()?, body.u8()?, body.u8()?);
    flow_mod.table = table;
    (flow_mod.idle_timeout, flow_mod.hard_timeout) = (body.u16()?, body.u16()?);
    flow_mod.priority = body.u16()?;
    let buffer_id = body.u32()?;
    let (out_port, out_group) = (body.u32()?, body.u32()?);
    let (flags, importance) = (body.u16()?, body.u16()?);
    take_match_into(&mut flow_mod.matching, body, reading)?;
    let known = command(u16::from(number)).ok();
    let upsert = version == Version::V11 && known.is_some_and(is_modify) && cookie_mask == 0;
    if known == Some(FlowModCommand::Add) || upsert {
        flow_mod.new_cookie = cookie;
    } else {
        flow_mod.cookie = cookie;
        flow_mod.cookie_mask = cookie_mask;
        flow_mod.new_cookie = u64::MAX;
    }
    let delete = known.is_some_and(is_delete);
    if table == TABLE_ALL && (version == Version::V11 || !delete) {
        return Err(ErrorCode::OFPFMFC_BAD_TABLE_ID.into());
    }
    if version >= Version::V14 && known == Some(FlowModCommand::Add) {
        flow_mod.importance = importance;
    }
    flow_mod.buffer_id = buffer(buffer_id);
    flow_mod.out_port = wire::port11(out_port)?;
    flow_mod.out_group = if delete { out_group } else { GROUP_ANY };
    Ok((u16::from(number), flags))
}

/// Wildcard bits that OpenFlow 1.0 defines.
const OF10_WILDCARDS: u32 = (1 << 22) - 1;

fn decode10(flow_mod: &mut FlowMod, body: &mut Reader<'_>, context: &Context<'_>) -> Result<Raw, OfError> {
    let octets = body.take(OF10_MATCH_LEN)?;
    let wildcards = Reader::new(octets).u32()?;
    let said = matching::pull_of10(octets);
    let mut matching = said.clone();
    if matching::normalize(&mut matching)
        && let Some(notes) = context.notes
    {
        for line in normalization_notes(&said, &matching) {
            notes.info("ofp_match", line);
        }
    }
    let (new_cookie, command, idle_timeout, hard_timeout) = (body.u64()?, body.u16()?, body.u16()?, body.u16()?);
    let (priority, buffer_id, out_port, flags) = (body.u16()?, body.u32()?, body.port10()?, body.u16()?);
    // A match without wildcards goes before all others, whatever priority it comes with.
    let priority = if wildcards & OF10_WILDCARDS == 0 { u16::MAX } else { priority };
    (flow_mod.matching, flow_mod.priority, flow_mod.new_cookie) = (matching, priority, new_cookie);
    (flow_mod.idle_timeout, flow_mod.hard_timeout) = (idle_timeout, hard_timeout);
    (flow_mod.buffer_id, flow_mod.out_port) = (buffer(buffer_id), out_port);
    Ok((command, flags))
}

fn decode_nx(flow_mod: &mut FlowMod, body: &mut Reader<'_>, reading: Reading<'_>) -> Result<Raw, OfError> {
    let (new_cookie, command, idle_timeout, hard_timeout) = (body.u64()?, body.u16()?, body.u16()?, body.u16()?);
    let (priority, buffer_id, out_port, flags) = (body.u16()?, body.u32()?, body.port10()?, body.u16()?);
    let match_len = body.u16()?;
    body.skip(6)?;
    let octets = match_octets(body, match_len)?;
    let reading = Reading { cookie: true, ..reading };
    let (cookie, cookie_mask) = matching::pull_nxm_into(&mut flow_mod.matching, octets, reading)?;
    if command & 0xff == FlowModCommand::Add as u16 && cookie_mask != 0 {
        // What is added cannot be chosen by its old cookie.
        return Err(ErrorCode::NXBRC_NXM_INVALID.into());
    }
    (flow_mod.priority, flow_mod.new_cookie) = (priority, new_cookie);
    (flow_mod.cookie, flow_mod.cookie_mask) = (cookie, cookie_mask);
    (flow_mod.idle_timeout, flow_mod.hard_timeout) = (idle_timeout, hard_timeout);
    (flow_mod.buffer_id, flow_mod.out_port) = (buffer(buffer_id), out_port);
    Ok((command, flags))
}

/// Takes a match of OpenFlow 1.1 and later from a message.
pub(super) fn take_match(body: &mut Reader<'_>, reading: Reading<'_>) -> Result<Match, OfError> {
    let mut matching = Match::any();
    take_match_into(&mut matching, body, reading)?;
    Ok(matching)
}

/// As [`take_match`], into a match that says nothing yet.
pub(super) fn take_match_into(m: &mut Match, body: &mut Reader<'_>, reading: Reading<'_>) -> Result<(), OfError> {
    let mut rest = body.rest();
    let before = rest.len();
    matching::pull_match_into(m, &mut rest, reading)?;
    Ok(body.skip(before - rest.len())?)
}

/// As [`take_match`], but only as a list of fields.
pub(super) fn take_oxm(body: &mut Reader<'_>, reading: Reading<'_>) -> Result<Match, OfError> {
    let mut head = *body;
    let (kind, len) = (head.u16(), head.u16());
    match (kind, len) {
        (Ok(_), Ok(len)) if len < 4 => Err(ErrorCode::OFPBMC_BAD_LEN.into()),
        (Ok(kind), Ok(_)) if kind != 1 => Err(ErrorCode::OFPBMC_BAD_TYPE.into()),
        _ => take_match(body, reading),
    }
}

/// Takes a match of `match_len` octets and its padding from a Nicira message.
pub(super) fn take_nxm(
    body: &mut Reader<'_>,
    match_len: u16,
    reading: Reading<'_>,
) -> Result<(Match, (u64, u64)), OfError> {
    matching::pull_nxm(match_octets(body, match_len)?, reading)
}

/// The octets of a match of `match_len` octets and its padding; the padding stays behind.
pub(super) fn match_octets<'a>(body: &mut Reader<'a>, match_len: u16) -> Result<&'a [u8], OfError> {
    let len = usize::from(match_len);
    let octets = body.take(len.next_multiple_of(8)).map_err(|_| ErrorCode::OFPBMC_BAD_LEN)?;
    Ok(&octets[..len])
}

/// Appends a flow-mod. With `table_id` an OpenFlow 1.0 message's command names the table.
pub(super) fn encode(out: &mut Vec<u8>, dialect: Dialect, flow_mod: &FlowMod, version: Version, table_id: bool) {
    if version > Version::V10 && dialect == Dialect::Standard {
        return encode11(out, flow_mod, version);
    }
    let mut command = flow_mod.command as u16;
    if table_id {
        command |= u16::from(flow_mod.table) << 8;
    }
    if dialect == Dialect::Standard {
        matching::put_of10(out, &flow_mod.matching);
    }
    out.put64(flow_mod.new_cookie);
    out.put16(command);
    out.put16(flow_mod.idle_timeout);
    out.put16(flow_mod.hard_timeout);
    out.put16(flow_mod.priority);
    out.put32(flow_mod.buffer_id.unwrap_or(super::NO_BUFFER));
    out.port10(flow_mod.out_port);
    out.put16(encode_flags(flow_mod.flags, version));
    if dialect == Dialect::Nicira {
        let at = out.len();
        out.zeros(8);
        let len = matching::put_nxm(out, &flow_mod.matching, flow_mod.cookie, flow_mod.cookie_mask);
        out.patch16(at, len as u16);
    }
    action::put_instructions(out, &flow_mod.actions, version);
}

fn encode11(out: &mut Vec<u8>, flow_mod: &FlowMod, version: Version) {
    let command = flow_mod.command;
    let upsert = version == Version::V11 && is_modify(command) && flow_mod.cookie_mask == 0;
    let new = upsert || command == FlowModCommand::Add;
    out.put64(if new { flow_mod.new_cookie } else { flow_mod.cookie & flow_mod.cookie_mask });
    out.put64(flow_mod.cookie_mask);
    let any_table = flow_mod.table == TABLE_ALL && (version == Version::V11 || !is_delete(command));
    out.put8(if any_table { 0 } else { flow_mod.table });
    out.put8(command as u8);
    out.put16(flow_mod.idle_timeout);
    out.put16(flow_mod.hard_timeout);
    out.put16(flow_mod.priority);
    out.put32(flow_mod.buffer_id.unwrap_or(super::NO_BUFFER));
    out.port11(flow_mod.out_port);
    out.put32(flow_mod.out_group);
    out.put16(encode_flags(flow_mod.flags, version));
    let importance = version >= Version::V14 && command == FlowModCommand::Add;
    out.put16(if importance { flow_mod.importance } else { 0 });
    matching::put_match(out, &flow_mod.matching, version);
    action::put_instructions(out, &flow_mod.actions, version);
}
