//! Groups. OpenFlow 1.1 section 5.6 on, 1.5.1 sections 7.3.4.3 and 7.3.5.10, Nicira's selection method extension.

use flow::field::Field;
use flow::field::text::is_mask_valid;

use super::wire::{self, Entries, Put, Reader};
use super::{ActionKinds, Context, FieldArray, Unsupported};
use crate::action::{self, Actions, Decoding};
use crate::{ErrorCode, OfError, OfPort, Version, nxm};

/// Greatest group number that a group can have.
pub const GROUP_MAX: u32 = 0xffff_ff00;
/// All groups.
pub const GROUP_ALL: u32 = 0xffff_fffc;
/// Any group; no group.
pub const GROUP_ANY: u32 = 0xffff_ffff;
/// Greatest bucket identifier.
pub const BUCKET_MAX: u32 = 0xffff_ff00;
/// The first bucket, in commands.
pub const BUCKET_FIRST: u32 = 0xffff_fffd;
/// The last bucket, in commands.
pub const BUCKET_LAST: u32 = 0xffff_fffe;
/// All buckets, in commands.
pub const BUCKET_ALL: u32 = 0xffff_ffff;

/// What a group does with its buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum GroupType {
    /// Every bucket, each with its own copy.
    #[default]
    All,
    /// One bucket by hash.
    Select,
    /// The one bucket.
    Indirect,
    /// The first live bucket.
    FastFailover,
    /// The number of one that no version has: a switch may describe such a group, and none of ours can be made.
    Other(u8),
}

impl GroupType {
    /// All that are known, in the order of their numbers on the wire.
    pub const ALL: [GroupType; 4] = [GroupType::All, GroupType::Select, GroupType::Indirect, GroupType::FastFailover];

    /// The type with this number.
    pub fn from_wire(number: u8) -> Option<GroupType> {
        GroupType::ALL.get(usize::from(number)).copied()
    }

    fn wire(self) -> u8 {
        match self {
            GroupType::All => 0,
            GroupType::Select => 1,
            GroupType::Indirect => 2,
            GroupType::FastFailover => 3,
            GroupType::Other(number) => number,
        }
    }

    /// `all`, `select`, `indirect`, `ff`, `unknown`.
    pub fn name(self) -> &'static str {
        match self {
            GroupType::All => "all",
            GroupType::Select => "select",
            GroupType::Indirect => "indirect",
            GroupType::FastFailover => "ff",
            GroupType::Other(_) => "unknown",
        }
    }
}

/// What a group-mod does; the number is the wire's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum GroupCommand {
    /// Add a new group.
    Add = 0,
    /// Replace an existing group.
    Modify = 1,
    /// Delete groups.
    Delete = 2,
    /// Insert buckets (1.5 or Nicira).
    InsertBucket = 3,
    /// Remove buckets (1.5 or Nicira).
    RemoveBucket = 5,
    /// Add or replace (Nicira).
    AddOrMod = 0x8000,
}

/// How a select group chooses; Nicira's extension.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct GroupProps {
    /// `hash`, `dp_hash` or empty for the default; at most 15 octets.
    pub selection_method: String,
    /// Parameter of the method: basis of the hash.
    pub selection_method_param: u64,
    /// Fields that are hashed, with masks.
    pub fields: FieldArray,
}

/// A bucket.
#[derive(Clone, Debug, PartialEq)]
pub struct Bucket {
    /// Identifier (1.5 and Nicira); [`BUCKET_ALL`] when none was given.
    pub bucket_id: u32,
    /// Share in a select group.
    pub weight: u16,
    /// Port whose liveness decides, [`OfPort::ANY`] for none.
    pub watch_port: OfPort,
    /// Group whose liveness decides, [`GROUP_ANY`] for none.
    pub watch_group: u32,
    /// What it does.
    pub actions: Actions,
}

/// Add, modify or delete a group or its buckets.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupMod {
    /// What to do.
    pub command: GroupCommand,
    /// Type.
    pub kind: GroupType,
    /// Group, or [`GROUP_ALL`].
    pub group_id: u32,
    /// For bucket commands: which bucket or where; [`BUCKET_ALL`] otherwise.
    pub command_bucket_id: u32,
    /// Buckets.
    pub buckets: Vec<Bucket>,
    /// Selection method.
    pub props: GroupProps,
}

/// A group.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupDesc {
    /// Which.
    pub group_id: u32,
    /// Type.
    pub kind: GroupType,
    /// Buckets.
    pub buckets: Vec<Bucket>,
    /// Selection method.
    pub props: GroupProps,
}

/// Counters of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct BucketStats {
    /// Packets.
    pub packet_count: u64,
    /// Octets.
    pub byte_count: u64,
}

/// Counters of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupStats {
    /// Which.
    pub group_id: u32,
    /// Flows and groups that send there.
    pub ref_count: u32,
    /// Packets.
    pub packet_count: u64,
    /// Octets.
    pub byte_count: u64,
    /// How long it has been there, seconds; `u32::MAX` if unknown (before 1.3).
    pub duration_sec: u32,
    /// And nanoseconds.
    pub duration_nsec: u32,
    /// By bucket.
    pub buckets: Vec<BucketStats>,
}

/// What groups can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct GroupFeatures {
    /// Bit n: [`GroupType`] n.
    pub types: u32,
    /// Bits 0 to 3: select weight, select liveness, chaining, chaining checks.
    pub capabilities: u32,
    /// Most groups, by type.
    pub max_groups: [u32; 4],
    /// Actions by type.
    pub actions: [ActionKinds; 4],
}

/// Experimenter whose property carries the selection method: Netronome.
const NTR_VENDOR_ID: u32 = 0x0000_154d;
/// The number that older programs took for Netronome's.
const NTR_COMPAT_VENDOR_ID: u32 = 0x0000_1540;
/// Its type.
const SELECTION_METHOD: u32 = 1;
/// Bucket properties of 1.5.
const PROP_WEIGHT: u16 = 0;
const PROP_WATCH_PORT: u16 = 1;
const PROP_WATCH_GROUP: u16 = 2;

impl GroupCommand {
    fn from_wire(number: u16) -> Result<GroupCommand, OfError> {
        Ok(match number {
            0 => GroupCommand::Add,
            1 => GroupCommand::Modify,
            2 => GroupCommand::Delete,
            3 => GroupCommand::InsertBucket,
            5 => GroupCommand::RemoveBucket,
            0x8000 => GroupCommand::AddOrMod,
            _ => return Err(ErrorCode::OFPGMFC_BAD_COMMAND.into()),
        })
    }

    /// The command's name where a version does not have it.
    fn name(self) -> &'static str {
        match self {
            GroupCommand::Add => "add-group",
            GroupCommand::Modify | GroupCommand::AddOrMod => "mod-group",
            GroupCommand::Delete => "del-group",
            GroupCommand::InsertBucket => "insert-bucket",
            GroupCommand::RemoveBucket => "remove-bucket",
        }
    }
}

impl Bucket {
    /// Whether liveness of a port or group decides about it.
    pub fn has_liveness(&self) -> bool {
        self.watch_port != OfPort::ANY || self.watch_group != GROUP_ANY
    }
}

/// Octets of a selection method behind its property's header: padding, name, parameter.
const SELECTION_LEN: usize = 4 + 16 + 8;

/// Name of the log's module for what is said of groups.
const LOG: &str = "ofp_group";

/// Whether a group's messages have 1.5's form.
fn form15(version: Version) -> bool {
    matches!(version, Version::V10 | Version::V15)
}

fn bucket_list(
    body: &mut Reader<'_>,
    kind: GroupType,
    version: Version,
    context: &Context<'_>,
) -> Result<Vec<Bucket>, OfError> {
    let decoding = context.decoding(version);
    let mut buckets: Vec<Bucket> = Vec::new();
    while !body.is_empty() {
        let mut peek = *body;
        let least = if form15(version) { 8 } else { 16 };
        let bad_bucket = |text: String| ErrorCode::OFPGMFC_BAD_BUCKET.because(LOG, text);
        if body.len() < least {
            return Err(bad_bucket(format!("buckets end with {} leftover bytes", body.len())));
        }
        let len = usize::from(peek.u16()?);
        if len < least {
            return Err(bad_bucket(format!("OpenFlow message bucket length {len} is not valid")));
        }
        if len > body.len() {
            let left = body.len();
            let text = format!("OpenFlow message bucket length {len} exceeds remaining buckets data size {left}");
            return Err(bad_bucket(text));
        }
        let mut octets = body.sub(len)?;
        let bucket = if form15(version) {
            bucket15(&mut octets, kind, &decoding)?
        } else {
            bucket11(&mut octets, buckets.len() as u32, &decoding)?
        };
        buckets.push(bucket);
    }
    let mut ids: Vec<u32> = buckets.iter().map(|b| b.bucket_id).collect();
    ids.sort_unstable();
    if ids.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(ErrorCode::OFPGMFC_BAD_BUCKET.because(LOG, "Duplicate bucket id".into()));
    }
    Ok(buckets)
}

fn watch_port(number: u32) -> Result<OfPort, OfError> {
    wire::port11(number).map_err(|error| error.under(ErrorCode::OFPGMFC_BAD_WATCH))
}

fn bucket11(octets: &mut Reader<'_>, bucket_id: u32, decoding: &Decoding<'_>) -> Result<Bucket, OfError> {
    octets.skip(2)?;
    let weight = octets.u16()?;
    let port = octets.u32()?;
    let watch_group = octets.u32()?;
    octets.skip(4)?;
    let actions = action::pull_unbound(octets.rest(), decoding)?;
    Ok(Bucket { bucket_id, weight, watch_port: watch_port(port)?, watch_group, actions })
}

fn bucket15(octets: &mut Reader<'_>, kind: GroupType, decoding: &Decoding<'_>) -> Result<Bucket, OfError> {
    octets.skip(2)?;
    let actions_len = usize::from(octets.u16()?);
    let bucket_id = octets.u32()?;
    if actions_len > octets.len() {
        let room = octets.len();
        let text =
            format!("OpenFlow message bucket actions length {actions_len} exceeds remaining bucket data size {room}");
        return Err(ErrorCode::OFPGMFC_BAD_BUCKET.because(LOG, text));
    }
    let actions = action::pull_unbound(octets.take(actions_len)?, decoding)?;
    let mut bucket = Bucket {
        bucket_id,
        weight: u16::from(kind == GroupType::Select),
        watch_port: OfPort::ANY,
        watch_group: GROUP_ANY,
        actions,
    };
    let mut watched = None;
    while !octets.is_empty() {
        let property = wire::property(octets)?;
        let mut value = Reader::new(property.value);
        let fits = match property.kind {
            PROP_WEIGHT => value.len() >= 2,
            PROP_WATCH_PORT | PROP_WATCH_GROUP => value.len() == 4,
            _ => true,
        };
        if !fits {
            return Err(ErrorCode::OFPBPC_BAD_LEN.into());
        }
        match property.kind {
            PROP_WEIGHT => bucket.weight = value.u16()?,
            // The last one counts, and it alone is looked at.
            PROP_WATCH_PORT => watched = Some(value.u32()?),
            PROP_WATCH_GROUP => bucket.watch_group = value.u32()?,
            _ => return Err(property.unknown(LOG, "group bucket")),
        }
    }
    if let Some(number) = watched {
        bucket.watch_port = watch_port(number)?;
    }
    if bucket_id > BUCKET_MAX {
        return Err(ErrorCode::OFPGMFC_BAD_BUCKET.into());
    }
    Ok(bucket)
}

/// Reads the properties of a group of this type for the command of this number.
fn group_props(body: &mut Reader<'_>, kind: Option<GroupType>, command: u16) -> Result<GroupProps, OfError> {
    let mut props = GroupProps::default();
    while !body.is_empty() {
        let property = wire::property(body)?;
        let known = |id| matches!(id, (NTR_VENDOR_ID | NTR_COMPAT_VENDOR_ID, SELECTION_METHOD));
        if !property.experimenter.is_some_and(known) {
            return Err(property.unknown(LOG, "group"));
        }
        let kind = kind.ok_or(ErrorCode::OFPGMFC_BAD_TYPE)?;
        let bad = |text: String| ErrorCode::OFPBPC_BAD_VALUE.because(LOG, text);
        if kind != GroupType::Select {
            return Err(bad("ntr selection method property is only allowed for select groups".into()));
        }
        let command = GroupCommand::from_wire(command)?;
        if !matches!(command, GroupCommand::Add | GroupCommand::Modify | GroupCommand::AddOrMod) {
            return Err(bad(
                "ntr selection method property is only allowed for add and delete group modifications".into()
            ));
        }
        if property.value.len() < SELECTION_LEN {
            let text = format!("ntr selection method property length {} is not valid", property.value.len() + 12);
            return Err(ErrorCode::OFPBPC_BAD_LEN.because(LOG, text));
        }
        let mut value = Reader::new(property.value);
        value.skip(4)?;
        let name = value.take(16)?;
        if !name.contains(&0) {
            return Err(bad("ntr selection method is not null terminated".into()));
        }
        let method = Reader::new(name).text(16)?;
        if !matches!(method.as_str(), "hash" | "dp_hash") {
            return Err(bad(format!("ntr selection method '{method}' is not supported")));
        }
        props.selection_method_param = value.u64()?;
        if method != "hash" && !value.is_empty() {
            return Err(bad(format!("ntr selection method {method} does not support fields")));
        }
        props.selection_method = method;
        let invalid = |error: OfError| error.remark(LOG, "ntr selection method fields are invalid".into());
        props.fields = field_array(value.rest()).map_err(invalid)?;
    }
    Ok(props)
}

/// Fields with masks: entries whose value is the mask.
fn field_array(mut octets: &[u8]) -> Result<FieldArray, OfError> {
    let mut fields = FieldArray::new();
    while !octets.is_empty() {
        let entry = nxm::pull_entry(&mut octets, nxm::Place::Match, None)?;
        if entry.header.has_mask {
            return Err(ErrorCode::OFPBMC_BAD_MASK.into());
        }
        let field: Field = entry.field?;
        if !is_mask_valid(field, &entry.value) {
            return Err(ErrorCode::OFPBMC_BAD_MASK.into());
        }
        if fields.iter().any(|(f, _)| *f == field) {
            return Err(ErrorCode::OFPBMC_DUP_FIELD.into());
        }
        fields.push((field, entry.value));
    }
    fields.sort_by_key(|(field, _)| field.index());
    Ok(fields)
}

pub(super) fn decode_mod(body: &[u8], version: Version, context: &Context<'_>) -> Result<GroupMod, OfError> {
    let mut body = Reader::new(body);
    let number = body.u16()?;
    let kind_number = body.u8()?;
    body.skip(1)?;
    let group_id = body.u32()?;
    let known_kind = GroupType::from_wire(kind_number);
    let kind = known_kind.unwrap_or_default();
    let mut command_bucket_id = BUCKET_ALL;
    let mut props = GroupProps::default();
    let buckets;
    if form15(version) {
        let list_len = usize::from(body.u16()?);
        body.skip(2)?;
        command_bucket_id = body.u32()?;
        check_command_bucket(number, command_bucket_id)?;
        buckets = bucket_list(&mut body.sub(list_len)?, kind, version, context)?;
        props = group_props(&mut body, known_kind, number)?;
    } else {
        buckets = bucket_list(&mut body, kind, version, context)?;
        if version >= Version::V13 && number == GroupCommand::Delete as u16 && !buckets.is_empty() {
            return Err(ErrorCode::OFPGMFC_INVALID_GROUP.into());
        }
    }
    let kind = known_kind.ok_or(ErrorCode::OFPGMFC_BAD_TYPE)?;
    if kind == GroupType::Indirect && number != GroupCommand::Delete as u16 && buckets.len() != 1 {
        return Err(ErrorCode::OFPGMFC_INVALID_GROUP.into());
    }
    let command = GroupCommand::from_wire(number)?;
    let group_mod = GroupMod { command, kind, group_id, command_bucket_id, buckets, props };
    check_buckets(&group_mod)?;
    Ok(group_mod)
}

fn check_command_bucket(number: u16, bucket: u32) -> Result<(), OfError> {
    let needs = number == GroupCommand::RemoveBucket as u16;
    let takes = needs || number == GroupCommand::InsertBucket as u16;
    let insert = number == GroupCommand::InsertBucket as u16;
    let out_of_range = takes && bucket > BUCKET_MAX && !matches!(bucket, BUCKET_FIRST | BUCKET_LAST | BUCKET_ALL);
    if out_of_range || (insert && bucket == BUCKET_ALL) || (!takes && bucket != BUCKET_ALL) {
        let text = format!("group command bucket id ({bucket}) is out of range");
        return Err(ErrorCode::OFPGMFC_BAD_BUCKET.because(LOG, text));
    }
    Ok(())
}

/// What Open vSwitch demands of a group-mod's buckets.
///
/// # Errors
/// The OFPGMFC_* codes.
pub fn check_buckets(group_mod: &GroupMod) -> Result<(), OfError> {
    if group_mod.command == GroupCommand::RemoveBucket && !group_mod.buckets.is_empty() {
        return Err(ErrorCode::OFPGMFC_BAD_BUCKET.into());
    }
    for bucket in &group_mod.buckets {
        let insert = group_mod.command == GroupCommand::InsertBucket;
        if bucket.weight != 0 && group_mod.kind != GroupType::Select && !insert {
            return Err(ErrorCode::OFPGMFC_INVALID_GROUP.into());
        }
        match group_mod.kind {
            GroupType::All | GroupType::Indirect if bucket.has_liveness() => {
                return Err(ErrorCode::OFPGMFC_WATCH_UNSUPPORTED.into());
            }
            GroupType::FastFailover if !bucket.has_liveness() => return Err(ErrorCode::OFPGMFC_INVALID_GROUP.into()),
            _ => {}
        }
    }
    Ok(())
}

fn encode_buckets(out: &mut Vec<u8>, buckets: &[Bucket], kind: GroupType, version: Version) {
    for bucket in buckets {
        let start = out.len();
        out.zeros(2);
        if form15(version) {
            let actions_at = out.len();
            out.zeros(2);
            out.put32(bucket.bucket_id);
            let len = action::put_actions(out, &bucket.actions, version);
            out.patch16(actions_at, len as u16);
            if kind == GroupType::Select || bucket.weight != 0 {
                let property = wire::start_property(out, PROP_WEIGHT);
                out.put16(bucket.weight);
                out.zeros(2);
                wire::end_property(out, property);
            }
            if bucket.watch_port != OfPort::ANY {
                let property = wire::start_property(out, PROP_WATCH_PORT);
                out.port11(bucket.watch_port);
                wire::end_property(out, property);
            }
            if bucket.watch_group != GROUP_ANY {
                let property = wire::start_property(out, PROP_WATCH_GROUP);
                out.put32(bucket.watch_group);
                wire::end_property(out, property);
            }
        } else {
            out.put16(bucket.weight);
            out.port11(bucket.watch_port);
            out.put32(bucket.watch_group);
            out.zeros(4);
            action::put_actions(out, &bucket.actions, version);
        }
        let len = out.len() - start;
        out.patch16(start, u16::try_from(len).unwrap_or(u16::MAX));
    }
}

fn encode_props(out: &mut Vec<u8>, props: &GroupProps, version: Version) {
    if props.selection_method.is_empty() {
        return;
    }
    let start = wire::start_experimenter(out, NTR_VENDOR_ID, SELECTION_METHOD);
    out.zeros(4);
    out.text(&props.selection_method, 16);
    out.put64(props.selection_method_param);
    for (field, mask) in &props.fields {
        nxm::put_entry(out, *field, Some(version), mask, &flow::field::Value::ones(mask.len(), mask.len() * 8));
    }
    wire::end_property(out, start);
}

pub(super) fn encode_mod(out: &mut Vec<u8>, group_mod: &GroupMod, version: Version) -> Result<(), Unsupported> {
    let bucket_command = matches!(group_mod.command, GroupCommand::InsertBucket | GroupCommand::RemoveBucket);
    if bucket_command && !form15(version) {
        return Err(Unsupported { what: group_mod.command.name().to_string(), version });
    }
    out.put16(group_mod.command as u16);
    out.put8(group_mod.kind.wire());
    out.put8(0);
    out.put32(group_mod.group_id);
    if form15(version) {
        let at = out.len();
        out.zeros(4);
        out.put32(group_mod.command_bucket_id);
        let start = out.len();
        encode_buckets(out, &group_mod.buckets, group_mod.kind, version);
        let len = out.len() - start;
        out.patch16(at, u16::try_from(len).unwrap_or(u16::MAX));
        encode_props(out, &group_mod.props, version);
    } else {
        encode_buckets(out, &group_mod.buckets, group_mod.kind, version);
    }
    Ok(())
}

pub(super) fn decode_desc(
    body: &mut Reader<'_>,
    version: Version,
    context: &Context<'_>,
) -> Result<GroupDesc, OfError> {
    let (name, least) =
        if form15(version) { ("OFPST11_GROUP_DESC reply", 16) } else { ("OFPST11_GROUP_DESC reply", 8) };
    let mut body = Entries { module: LOG, name, least, len_at: 0 }.next(body)?;
    body.skip(2)?;
    let number = body.u8()?;
    let kind = GroupType::from_wire(number).unwrap_or(GroupType::Other(number));
    body.skip(1)?;
    let group_id = body.u32()?;
    if !form15(version) {
        let buckets = bucket_list(&mut body, kind, version, context)?;
        return Ok(GroupDesc { group_id, kind, buckets, props: GroupProps::default() });
    }
    let list_len = usize::from(body.u16()?);
    body.skip(6)?;
    if list_len > body.len() {
        let text = format!("{name} claims invalid bucket list length {list_len}");
        return Err(ErrorCode::OFPBRC_BAD_LEN.because(LOG, text));
    }
    let buckets = bucket_list(&mut body.sub(list_len)?, kind, version, context)?;
    let props = group_props(&mut body, GroupType::from_wire(number), GroupCommand::Add as u16)?;
    Ok(GroupDesc { group_id, kind, buckets, props })
}

pub(super) fn encode_desc(out: &mut Vec<u8>, desc: &GroupDesc, version: Version) {
    let start = out.len();
    out.zeros(2);
    out.put8(desc.kind.wire());
    out.put8(0);
    out.put32(desc.group_id);
    if form15(version) {
        let at = out.len();
        out.zeros(8);
        let list = out.len();
        encode_buckets(out, &desc.buckets, desc.kind, version);
        let len = out.len() - list;
        out.patch16(at, u16::try_from(len).unwrap_or(u16::MAX));
        encode_props(out, &desc.props, version);
    } else {
        encode_buckets(out, &desc.buckets, desc.kind, version);
    }
    let len = out.len() - start;
    out.patch16(start, u16::try_from(len).unwrap_or(u16::MAX));
}

/// Whether group statistics of a version tell the age.
fn has_duration(version: Version) -> bool {
    !matches!(version, Version::V11 | Version::V12)
}

/// Octets of the counters of one bucket.
const BUCKET_STATS_LEN: usize = 16;

pub(super) fn decode_stats(body: &mut Reader<'_>, name: &str, version: Version) -> Result<GroupStats, OfError> {
    let least = if has_duration(version) { 40 } else { 32 };
    let refuse = |what: String| ErrorCode::OFPBRC_BAD_LEN.because(LOG, format!("{name} reply {what}"));
    let left = body.len();
    if left < least {
        return Err(refuse(format!("has {left} leftover bytes at end")));
    }
    let mut peek = *body;
    let len = usize::from(peek.u16()?);
    // Open vSwitch takes some lengths for valid that are too short even for what every group has.
    if len < 8 {
        return Err(refuse(format!("claims invalid length {len}")));
    }
    let buckets = len.checked_sub(least).map_or(left, |more| more / BUCKET_STATS_LEN * BUCKET_STATS_LEN);
    let len = least + buckets;
    if len > left {
        return Err(refuse(format!("has {} leftover bytes at end", left - least)));
    }
    let mut body = body.sub(len)?;
    body.skip(4)?;
    let (group_id, ref_count) = (body.u32()?, body.u32()?);
    body.skip(4)?;
    let (packet_count, byte_count) = (body.u64()?, body.u64()?);
    let (mut duration_sec, mut duration_nsec) = (u32::MAX, u32::MAX);
    if has_duration(version) {
        (duration_sec, duration_nsec) = (body.u32()?, body.u32()?);
    }
    let mut buckets = Vec::new();
    while !body.is_empty() {
        buckets.push(BucketStats { packet_count: body.u64()?, byte_count: body.u64()? });
    }
    Ok(GroupStats { group_id, ref_count, packet_count, byte_count, duration_sec, duration_nsec, buckets })
}

pub(super) fn encode_stats(out: &mut Vec<u8>, stats: &GroupStats, version: Version) {
    let start = out.len();
    out.zeros(4);
    out.put32(stats.group_id);
    out.put32(stats.ref_count);
    out.zeros(4);
    out.put64(stats.packet_count);
    out.put64(stats.byte_count);
    if has_duration(version) {
        out.put32(stats.duration_sec);
        out.put32(stats.duration_nsec);
    }
    for bucket in &stats.buckets {
        out.put64(bucket.packet_count);
        out.put64(bucket.byte_count);
    }
    let len = out.len() - start;
    out.patch16(start, u16::try_from(len).unwrap_or(u16::MAX));
}

pub(super) fn decode_features(body: &[u8], version: Version) -> Result<GroupFeatures, OfError> {
    let mut body = Reader::new(body);
    let mut features = GroupFeatures { types: body.u32()?, capabilities: body.u32()?, ..GroupFeatures::default() };
    for max in &mut features.max_groups {
        *max = body.u32()?;
    }
    for actions in &mut features.actions {
        *actions = ActionKinds::from_bits(body.u32()?, version);
    }
    Ok(features)
}

pub(super) fn encode_features(out: &mut Vec<u8>, features: &GroupFeatures, version: Version) {
    out.put32(features.types);
    out.put32(features.capabilities);
    for max in features.max_groups {
        out.put32(max);
    }
    for actions in features.actions {
        out.put32(actions.bits(version));
    }
}
