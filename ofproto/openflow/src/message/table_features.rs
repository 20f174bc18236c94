//! What tables can. OpenFlow 1.3.5 section 7.3.5.5, 1.5.1 section 7.3.5.18; 1.0 to 1.2 say it in table statistics.

use flow::field::Field;

use super::TableStats;
use super::table::{self, TableMiss};
use super::wire::{self, Put, Reader};
use super::{ActionKinds, FieldSet};
use crate::{ErrorCode, Notes, OfError, Version, nxm};

/// What rules of one kind (ordinary ones, or table-miss rules) can do.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct InstructionFeatures {
    /// Tables that `goto_table` can name, bit n of octet n / 8 (least significant first).
    pub next: [u8; 32],
    /// Instructions, bit n = OpenFlow 1.3's instruction type n.
    pub instructions: u32,
    /// `write_actions`.
    pub write: ActionFeatures,
    /// `apply_actions`.
    pub apply: ActionFeatures,
}

/// Actions and the fields they can set.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ActionFeatures {
    /// Kinds of actions.
    pub actions: ActionKinds,
    /// Fields for `set_field`.
    pub set_fields: FieldSet,
}

/// Command that changes the tables named and leaves the others as they are.
pub const MODIFY: u8 = 1;

/// Command: these are all the tables that there are to be.
pub const REPLACE: u8 = 0;
/// The greatest command.
const COMMAND_MAX: u8 = 3;

/// What a table can.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct TableFeatures {
    /// Which.
    pub table_id: u8,
    /// Its name, at most 31 octets.
    pub name: String,
    /// Metadata bits that can be matched.
    pub metadata_match: u64,
    /// Metadata bits that can be written.
    pub metadata_write: u64,
    /// Most rules.
    pub max_entries: u32,
    /// What becomes of packets that no rule matches (1.1 and 1.2).
    pub miss: TableMiss,
    /// Whether it can evict (1.4+ request; `None` if not said).
    pub eviction: Option<bool>,
    /// Whether it can tell of vacancy.
    pub vacancy: Option<bool>,
    /// Ordinary rules.
    pub nonmiss: InstructionFeatures,
    /// Table-miss rules.
    pub miss_rules: InstructionFeatures,
    /// Fields that can be matched.
    pub matching: FieldSet,
    /// Of these, with which any mask may be used.
    pub mask: FieldSet,
    /// Of these, which may be left out.
    pub wildcard: FieldSet,
    /// Command (1.5's request; 0 otherwise, which is to replace): [`MODIFY`], or 2 and 3 to enable and disable a table.
    pub command: u8,
    /// Feature bits (1.5; 0 otherwise).
    pub features: u32,
}

impl TableFeatures {
    /// Whether it says nothing of rules and fields, as 1.5 allows.
    #[must_use]
    pub fn has_no_properties(&self) -> bool {
        let nothing = InstructionFeatures::default();
        self.nonmiss == nothing && self.miss_rules == nothing && self.matching.is_empty() && self.wildcard.is_empty()
    }
}

/// Property numbers; one more is for table-miss rules.
mod prop {
    pub const INSTRUCTIONS: u16 = 0;
    pub const NEXT_TABLES: u16 = 2;
    pub const WRITE_ACTIONS: u16 = 4;
    pub const APPLY_ACTIONS: u16 = 6;
    pub const MATCH: u16 = 8;
    pub const WILDCARDS: u16 = 10;
    pub const WRITE_SETFIELD: u16 = 12;
    pub const APPLY_SETFIELD: u16 = 14;
}

/// Octets of the fixed part.
const FIXED: usize = 64;
/// Eviction and vacancy among the capabilities (1.4+).
const CAP_EVICTION: u32 = 1 << 2;
const CAP_VACANCY: u32 = 1 << 3;
/// Instructions: numbers on the wire.
const INSTRUCTIONS: [u16; 6] = [1, 2, 3, 4, 5, 6];
/// Bits of the instructions that 1.1 and 1.2 have.
const INSTRUCTIONS_12: u32 = 0x3e;

/// The module of the log that is told of odd ones.
const LOG: &str = "ofp_table";

/// Reads one table of a request or reply; properties and fields that are not known are passed over where that is `loose`.
pub(super) fn decode(body: &mut Reader<'_>, version: Version, loose: bool) -> Result<TableFeatures, OfError> {
    let mut peek = *body;
    let len = usize::from(peek.u16()?);
    if len < FIXED || !len.is_multiple_of(8) {
        return Err(ErrorCode::OFPBPC_BAD_LEN.into());
    }
    let mut body = body.sub(len).map_err(|_| ErrorCode::OFPBPC_BAD_LEN)?;
    body.skip(2)?;
    let mut features = TableFeatures { table_id: body.u8()?, ..TableFeatures::default() };
    let command = body.u8()?;
    let bits = body.u32()?;
    if version == Version::V15 {
        if command > COMMAND_MAX {
            return Err(ErrorCode::OFPTFFC_BAD_COMMAND.into());
        }
        (features.command, features.features) = (command, bits);
    }
    if features.table_id == table::TABLE_ALL {
        return Err(ErrorCode::OFPTFFC_BAD_TABLE.into());
    }
    features.name = body.text(32)?;
    features.metadata_match = body.u64()?;
    features.metadata_write = body.u64()?;
    let capabilities = body.u32()?;
    features.max_entries = body.u32()?;
    if version >= Version::V14 {
        features.eviction = Some(capabilities & CAP_EVICTION != 0);
        features.vacancy = Some(capabilities & CAP_VACANCY != 0);
    }
    features.miss = TableMiss::Default;
    let mut seen = Seen::default();
    while !body.is_empty() {
        let property = wire::property(&mut body)?;
        decode_property(&property, &mut features, version, &mut seen, loose)?;
    }
    seen.check(version)?;
    complete(&mut features, &seen);
    Ok(features)
}

/// Which properties were there, by their numbers as far as these are below 32.
#[derive(Default)]
struct Seen {
    numbers: u32,
    any: bool,
}

impl Seen {
    /// Properties that must be there: those for ordinary rules, fields and wildcards.
    const REQUIRED: u32 = 0x5555;
    /// Notes a property of which there may be one.
    fn add(&mut self, kind: u16) -> Result<(), ErrorCode> {
        self.any = true;
        let bit = 1_u32.checked_shl(kind.into()).unwrap_or(0);
        if self.numbers & bit != 0 {
            return Err(ErrorCode::OFPTFFC_BAD_FEATURES);
        }
        self.numbers |= bit;
        Ok(())
    }

    /// Versions before 1.5 demand all of [`Seen::REQUIRED`]; 1.5 takes none at all as well.
    fn check(&self, version: Version) -> Result<(), OfError> {
        let missing = Seen::REQUIRED & !self.numbers;
        if missing == 0 || (version == Version::V15 && !self.any) {
            return Ok(());
        }
        let text = format!(
            "table features message missing {} required properties, including property {}",
            missing.count_ones(),
            missing.trailing_zeros()
        );
        Err(ErrorCode::OFPTFFC_BAD_FEATURES.because(LOG, text))
    }
}

fn decode_property(
    property: &wire::Property<'_>,
    features: &mut TableFeatures,
    version: Version,
    seen: &mut Seen,
    loose: bool,
) -> Result<(), OfError> {
    let value = Reader::new(property.value);
    let miss = property.kind % 2 == 1;
    let rules = if miss { &mut features.miss_rules } else { &mut features.nonmiss };
    seen.add(property.kind)?;
    match property.kind & !1 {
        prop::INSTRUCTIONS => rules.instructions = decode_instructions(value)?,
        prop::NEXT_TABLES => {
            for table in value.rest() {
                if *table == table::TABLE_ALL {
                    return Err(ErrorCode::OFPBPC_BAD_VALUE.into());
                }
                rules.next[usize::from(table / 8)] |= 1 << (table % 8);
            }
        }
        prop::WRITE_ACTIONS => rules.write.actions = decode_actions(value, version)?,
        prop::APPLY_ACTIONS => rules.apply.actions = decode_actions(value, version)?,
        prop::MATCH if !miss => {
            let (matching, mask) = decode_fields(value, true, loose)?;
            features.matching = matching;
            features.mask = mask;
        }
        prop::WILDCARDS if !miss => features.wildcard = decode_fields(value, false, loose)?.0,
        prop::WRITE_SETFIELD => rules.write.set_fields = decode_fields(value, false, loose)?.0,
        prop::APPLY_SETFIELD => rules.apply.set_fields = decode_fields(value, false, loose)?.0,
        _ if loose => {}
        _ => return Err(property.unknown(LOG, "table features")),
    }
    Ok(())
}

/// What is not said of table-miss rules is as for ordinary ones, and what can be matched with masks can be left out.
fn complete(features: &mut TableFeatures, seen: &Seen) {
    let (nonmiss, miss) = (&features.nonmiss, &mut features.miss_rules);
    let lacks = |kind: u16| seen.numbers & (1 << (kind + 1)) == 0;
    if lacks(prop::INSTRUCTIONS) {
        miss.instructions = nonmiss.instructions;
    }
    if lacks(prop::NEXT_TABLES) {
        miss.next = nonmiss.next;
    }
    if lacks(prop::WRITE_ACTIONS) {
        miss.write.actions = nonmiss.write.actions;
    }
    if lacks(prop::APPLY_ACTIONS) {
        miss.apply.actions = nonmiss.apply.actions;
    }
    if lacks(prop::WRITE_SETFIELD) {
        miss.write.set_fields = nonmiss.write.set_fields;
    }
    if lacks(prop::APPLY_SETFIELD) {
        miss.apply.set_fields = nonmiss.apply.set_fields;
    }
    // A field that can be masked can be left out.
    let mask = features.mask;
    for field in mask.iter() {
        features.wildcard.insert(field);
    }
}

/// Takes an instruction or action of which only its number matters.
fn item(list: &mut Reader<'_>) -> Result<u16, ErrorCode> {
    let bad = |_| ErrorCode::OFPBPC_BAD_LEN;
    let mut head = list.sub(4).map_err(bad)?;
    let (kind, len) = (head.u16()?, usize::from(head.u16()?));
    let rest = len.checked_sub(4).ok_or(ErrorCode::OFPBPC_BAD_LEN)?;
    list.skip(rest).map_err(bad)?;
    Ok(kind)
}

fn decode_instructions(mut value: Reader<'_>) -> Result<u32, OfError> {
    let mut set = 0;
    while !value.is_empty() {
        let kind = item(&mut value)?;
        // What is not known is passed over.
        if INSTRUCTIONS.contains(&kind) {
            set |= 1 << kind;
        }
    }
    Ok(set)
}

fn decode_actions(mut value: Reader<'_>, version: Version) -> Result<ActionKinds, OfError> {
    let mut numbers = Vec::new();
    while !value.is_empty() {
        numbers.push(item(&mut value)?);
    }
    Ok(ActionKinds::from_numbers(numbers.into_iter(), version))
}

/// Fields named by their headers, and those of them named with a mask, where that `may_mask`.
fn decode_fields(value: Reader<'_>, may_mask: bool, loose: bool) -> Result<(FieldSet, FieldSet), OfError> {
    let mut rest = value.rest();
    let (mut fields, mut masks) = (FieldSet::EMPTY, FieldSet::EMPTY);
    while !rest.is_empty() {
        let header = nxm::pull_raw_header(&mut rest)?;
        match nxm::resolve(&header, nxm::Place::Match, None) {
            Ok(field) => {
                fields.insert(field);
                if header.has_mask {
                    if !may_mask {
                        return Err(ErrorCode::OFPBMC_BAD_MASK.into());
                    }
                    masks.insert(field);
                }
            }
            Err(ErrorCode::OFPBMC_BAD_FIELD) if loose => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok((fields, masks))
}

/// Appends one table of a request or reply of 1.3 and later.
pub(super) fn encode(out: &mut Vec<u8>, features: &TableFeatures, version: Version) {
    let start = out.len();
    out.zeros(2);
    out.put8(features.table_id);
    out.put8(if version == Version::V15 { features.command } else { 0 });
    out.put32(features.features);
    out.text(&features.name, 32);
    out.put64(features.metadata_match);
    out.put64(features.metadata_write);
    let mut capabilities = 0;
    if version >= Version::V14 {
        capabilities |= if features.eviction == Some(true) { CAP_EVICTION } else { 0 };
        capabilities |= if features.vacancy == Some(true) { CAP_VACANCY } else { 0 };
    }
    out.put32(capabilities);
    out.put32(features.max_entries);
    encode_rules(out, &features.nonmiss, 0, version);
    encode_rules(out, &features.miss_rules, 1, version);
    encode_fields(out, &features.matching, &features.mask, prop::MATCH, version);
    encode_fields(out, &features.wildcard, &FieldSet::EMPTY, prop::WILDCARDS, version);
    let len = out.len() - start;
    out.patch16(start, u16::try_from(len).unwrap_or(u16::MAX));
}

fn encode_rules(out: &mut Vec<u8>, rules: &InstructionFeatures, miss: u16, version: Version) {
    let start = wire::start_property(out, prop::INSTRUCTIONS + miss);
    for kind in INSTRUCTIONS.into_iter().filter(|kind| rules.instructions & (1 << kind) != 0) {
        out.put16(kind);
        out.put16(4);
    }
    wire::end_property(out, start);
    let start = wire::start_property(out, prop::NEXT_TABLES + miss);
    for table in (0..=255u8).filter(|t| rules.next[usize::from(t / 8)] & (1 << (t % 8)) != 0) {
        out.put8(table);
    }
    wire::end_property(out, start);
    for (kind, set_kind, actions) in [
        (prop::WRITE_ACTIONS, prop::WRITE_SETFIELD, &rules.write),
        (prop::APPLY_ACTIONS, prop::APPLY_SETFIELD, &rules.apply),
    ] {
        let start = wire::start_property(out, kind + miss);
        for number in actions.actions.numbers(version) {
            out.put16(number);
            out.put16(4);
        }
        wire::end_property(out, start);
        encode_fields(out, &actions.set_fields, &FieldSet::EMPTY, set_kind + miss, version);
    }
}

fn encode_fields(out: &mut Vec<u8>, fields: &FieldSet, masks: &FieldSet, kind: u16, version: Version) {
    let start = wire::start_property(out, kind);
    for field in fields.iter() {
        let has_mask = masks.contains(field);
        nxm::put_header(out, field, Some(version), has_mask, usize::from(field.meta().n_bytes));
    }
    wire::end_property(out, start);
}

/// Fields that 1.0's match has, with their wildcard bits.
const WILDCARDS_10: [(Field, u32); 12] = [
    (Field::InPort, 1 << 0),
    (Field::VlanVid, 1 << 1),
    (Field::EthSrc, 1 << 2),
    (Field::EthDst, 1 << 3),
    (Field::EthType, 1 << 4),
    (Field::IpProto, 1 << 5),
    (Field::TcpSrc, 1 << 6),
    (Field::TcpDst, 1 << 7),
    (Field::Ipv4Src, 0x3f << 8),
    (Field::Ipv4Dst, 0x3f << 14),
    (Field::VlanPcp, 1 << 20),
    (Field::NwTos, 1 << 21),
];

/// Fields that 1.1's match has, with their bits in its statistics.
const FIELDS_11: [(Field, u32); 15] = [
    (Field::InPort, 1 << 0),
    (Field::VlanVid, 1 << 1),
    (Field::VlanPcp, 1 << 2),
    (Field::EthType, 1 << 3),
    (Field::NwTos, 1 << 4),
    (Field::IpProto, 1 << 5),
    (Field::TcpSrc, 1 << 6),
    (Field::TcpDst, 1 << 7),
    (Field::MplsLabel, 1 << 8),
    (Field::MplsTc, 1 << 9),
    (Field::EthSrc, 1 << 11),
    (Field::EthDst, 1 << 12),
    (Field::Ipv4Src, 1 << 13),
    (Field::Ipv4Dst, 1 << 14),
    (Field::Metadata, 1 << 15),
];

fn to_bits(set: &FieldSet, table: &[(Field, u32)]) -> u32 {
    table.iter().filter(|(field, _)| set.contains(*field)).fold(0, |bits, (_, bit)| bits | bit)
}

fn from_bits(bits: u32, table: &[(Field, u32)]) -> FieldSet {
    table.iter().filter(|(_, bit)| bits & bit != 0).map(|(field, _)| *field).collect()
}

/// The bit of 1.2's statistics that stands for a field: its number among OXM's basic fields.
fn bit12(field: Field) -> Option<u32> {
    let header = field.meta().headers.iter().find(|h| h.class.class == 0x8000)?;
    // Two later fields are shown there as well.
    let shown = header.since <= Version::V12.wire() || matches!(header.number, 36 | 44);
    (header.number < 64 && shown).then_some(u32::from(header.number))
}

fn to_bits12(set: &FieldSet) -> u64 {
    set.iter().filter_map(bit12).fold(0, |bits, bit| bits | 1 << bit)
}

fn from_bits12(bits: u64) -> FieldSet {
    // What 1.2 does not know is not read there.
    let known = |f: &Field| bit12(*f).filter(|bit| !matches!(bit, 36 | 44));
    flow::field::ALL.iter().copied().filter(|f| known(f).is_some_and(|bit| bits & (1 << bit) != 0)).collect()
}

/// Instructions that a version has, as bits of their numbers.
fn instructions_bits(instructions: u32, version: Version) -> u32 {
    let allowed = if version <= Version::V12 { 0b11_1110 } else { 0b111_1110 };
    instructions & allowed
}

/// Reads one table's statistics.
pub(super) fn decode_stats(
    body: &mut Reader<'_>,
    version: Version,
    notes: Option<&Notes>,
) -> Result<TableStats, OfError> {
    let mut features = TableFeatures { table_id: body.u8()?, ..TableFeatures::default() };
    let table_id = features.table_id;
    if version >= Version::V13 {
        body.skip(3)?;
        let (active_count, lookup_count, matched_count) = (body.u32()?, body.u64()?, body.u64()?);
        return Ok(TableStats { table_id, active_count, lookup_count, matched_count, features });
    }
    body.skip(if version == Version::V10 { 3 } else { 7 })?;
    features.name = body.text(32)?;
    match version {
        Version::V10 => features.wildcard = from_bits(body.u32()?, &WILDCARDS_10),
        Version::V11 => {
            features.wildcard = from_bits(body.u32()?, &FIELDS_11);
            features.matching = from_bits(body.u32()?, &FIELDS_11);
            features.nonmiss.instructions = body.u32()? & INSTRUCTIONS_12;
            features.nonmiss.write.actions = ActionKinds::from_bits(body.u32()?, version);
            // Open vSwitch takes what may be written for what may be applied as well.
            features.nonmiss.apply.actions = features.nonmiss.write.actions;
            body.skip(4)?;
            features.miss = table::decode_miss(body.u32()?, version, notes);
        }
        _ => {
            features.matching = from_bits12(body.u64()?);
            features.wildcard = from_bits12(body.u64()?);
            features.nonmiss.write.actions = ActionKinds::from_bits(body.u32()?, version);
            features.nonmiss.apply.actions = ActionKinds::from_bits(body.u32()?, version);
            features.nonmiss.write.set_fields = from_bits12(body.u64()?);
            features.nonmiss.apply.set_fields = from_bits12(body.u64()?);
            features.metadata_match = body.u64()?;
            features.metadata_write = body.u64()?;
            features.nonmiss.instructions = body.u32()? & INSTRUCTIONS_12;
            features.miss = table::decode_miss(body.u32()?, version, notes);
        }
    }
    // What can be left out can be matched on.
    let wildcard = features.wildcard;
    for field in wildcard.iter() {
        features.matching.insert(field);
    }
    features.miss_rules = features.nonmiss.clone();
    features.max_entries = body.u32()?;
    let (active_count, lookup_count, matched_count) = (body.u32()?, body.u64()?, body.u64()?);
    Ok(TableStats { table_id, active_count, lookup_count, matched_count, features })
}

/// Appends one table's statistics.
pub(super) fn encode_stats(out: &mut Vec<u8>, stats: &TableStats, version: Version) {
    let features = &stats.features;
    out.put8(stats.table_id);
    if version >= Version::V13 {
        out.zeros(3);
        out.put32(stats.active_count);
        out.put64(stats.lookup_count);
        out.put64(stats.matched_count);
        return;
    }
    out.zeros(if version == Version::V10 { 3 } else { 7 });
    out.text(&features.name, 32);
    let instructions = instructions_bits(features.nonmiss.instructions, version);
    match version {
        Version::V10 => out.put32(to_bits(&features.wildcard, &WILDCARDS_10)),
        Version::V11 => {
            out.put32(to_bits(&features.wildcard, &FIELDS_11));
            out.put32(to_bits(&features.matching, &FIELDS_11));
            out.put32(instructions);
            out.put32(features.nonmiss.write.actions.bits(version));
            out.put32(features.nonmiss.apply.actions.bits(version));
            // Open vSwitch counts these otherwise here than in a table-mod, in this version alone.
            out.put32(features.miss as u32);
        }
        _ => {
            out.put64(to_bits12(&features.matching));
            out.put64(to_bits12(&features.wildcard));
            out.put32(features.nonmiss.write.actions.bits(version));
            out.put32(features.nonmiss.apply.actions.bits(version));
            out.put64(to_bits12(&features.nonmiss.write.set_fields));
            out.put64(to_bits12(&features.nonmiss.apply.set_fields));
            out.put64(features.metadata_match);
            out.put64(features.metadata_write);
            out.put32(instructions);
            out.put32(table::encode_miss(features.miss, version));
        }
    }
    out.put32(features.max_entries);
    out.put32(stats.active_count);
    out.put64(stats.lookup_count);
    out.put64(stats.matched_count);
}
