//! Tables: configuration, description, status and counters. OpenFlow 1.1 on, 1.4 sections 7.3.4.3, 7.3.5.18, 7.4.5.

use super::wire::{self, Entries, Put, Reader};
use crate::{ErrorCode, Notes, OfError, Version};

/// All tables.
pub const TABLE_ALL: u8 = 0xff;

/// What becomes of packets that no rule matches (1.1 and 1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum TableMiss {
    /// As the version has it: to the controller before OpenFlow 1.3, dropped from there on.
    #[default]
    Default,
    /// To the controller.
    Controller,
    /// On to the next table.
    Continue,
    /// Dropped.
    Drop,
}

/// Thresholds of vacancy events, percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Vacancy {
    /// Tell when vacancy falls below.
    pub down: u8,
    /// Tell when vacancy rises above.
    pub up: u8,
    /// Vacancy now.
    pub vacancy: u8,
}

/// Bits of `eviction_flags`.
pub mod eviction_flag {
    /// By criteria of the switch.
    pub const OTHER: u32 = 1;
    /// The least important first.
    pub const IMPORTANCE: u32 = 2;
    /// What would end soonest first.
    pub const LIFETIME: u32 = 4;
}

/// Configure a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableMod {
    /// Which, [`TABLE_ALL`] for all.
    pub table_id: u8,
    /// 1.1 and 1.2 (parsed, refused by later ones).
    pub miss: TableMiss,
    /// Eviction on or off, if given (1.4+).
    pub eviction: Option<bool>,
    /// `u32::MAX` if not given.
    pub eviction_flags: u32,
    /// Vacancy events on or off, if given (1.4+).
    pub vacancy: Option<bool>,
    /// Thresholds, with `vacancy` on.
    pub table_vacancy: Vacancy,
}

/// Configuration of a table (1.4+).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableDesc {
    /// Which.
    pub table_id: u8,
    /// Eviction on or off, if said.
    pub eviction: Option<bool>,
    /// `u32::MAX` if not said.
    pub eviction_flags: u32,
    /// Vacancy events on or off, if said.
    pub vacancy: Option<bool>,
    /// Thresholds, with `vacancy` on.
    pub table_vacancy: Vacancy,
}

/// Why a table status is sent; the number is the wire's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum TableReason {
    /// Less room than the lower threshold.
    VacancyDown = 3,
    /// More room than the upper threshold.
    VacancyUp = 4,
}

/// A table fills up or empties.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableStatus {
    /// Why.
    pub reason: TableReason,
    /// The table.
    pub desc: TableDesc,
}

/// Counters of a table, with what versions before 1.3 say of its features there.
#[derive(Clone, Debug, PartialEq)]
pub struct TableStats {
    /// Which.
    pub table_id: u8,
    /// Rules.
    pub active_count: u32,
    /// Packets looked up.
    pub lookup_count: u64,
    /// Packets that matched.
    pub matched_count: u64,
    /// Features (before 1.3; default otherwise).
    pub features: super::TableFeatures,
}

/// Bits of the configuration that say what becomes of unmatched packets (1.1 and 1.2).
const MISS_MASK: u32 = 3;
/// Eviction (1.4+).
const CONFIG_EVICTION: u32 = 1 << 2;
/// Vacancy events (1.4+).
const CONFIG_VACANCY: u32 = 1 << 3;
/// Property with eviction flags.
const PROP_EVICTION: u16 = 2;
/// Property with vacancy thresholds.
const PROP_VACANCY: u16 = 3;

/// What a configuration word says of unmatched packets.
pub(super) fn decode_miss(config: u32, version: Version, notes: Option<&Notes>) -> TableMiss {
    match (version, config & MISS_MASK) {
        (Version::V11 | Version::V12, 0) => TableMiss::Controller,
        (Version::V11 | Version::V12, 1) => TableMiss::Continue,
        (Version::V11 | Version::V12, 2) => TableMiss::Drop,
        (Version::V11 | Version::V12, _) => {
            if let Some(notes) = notes {
                notes.warn(LOG, format!("bad table miss config {}", config as i32));
            }
            TableMiss::Controller
        }
        _ => TableMiss::Default,
    }
}

/// The configuration word of 1.1 and 1.2.
pub(super) fn encode_miss(miss: TableMiss, version: Version) -> u32 {
    match (version, miss) {
        (Version::V11 | Version::V12, TableMiss::Continue) => 1,
        (Version::V11 | Version::V12, TableMiss::Drop) => 2,
        _ => 0,
    }
}

/// Name of the log's module for what is said of tables.
const LOG: &str = "ofp_table";

/// What the properties of a table's configuration say.
struct Properties {
    eviction_flags: Option<u32>,
    vacancy: Vacancy,
}

/// What a controller asks for must make sense; what a switch says is its own affair.
fn judge_vacancy(vacancy: &Vacancy) -> Result<(), OfError> {
    let text = if vacancy.down > vacancy.up {
        "Value of vacancy_down is greater than vacancy_up"
    } else if vacancy.up > 100 {
        "Vacancy threshold percentage should not be greater than 100"
    } else if vacancy.vacancy != 0 {
        "Vacancy value should be zero for table-mod messages"
    } else {
        return Ok(());
    };
    Err(ErrorCode::OFPBPC_BAD_VALUE.because(LOG, text.to_string()))
}

fn decode_properties(body: &mut Reader<'_>, table_mod: bool) -> Result<Properties, OfError> {
    let mut properties = Properties { eviction_flags: None, vacancy: Vacancy::default() };
    while !body.is_empty() {
        let property = wire::property(body)?;
        let mut value = Reader::new(property.value);
        match property.kind {
            PROP_EVICTION => {
                if value.len() != 4 {
                    return Err(ErrorCode::OFPBPC_BAD_LEN.into());
                }
                properties.eviction_flags = Some(value.u32()?);
            }
            PROP_VACANCY => {
                if value.len() != 4 {
                    return Err(ErrorCode::OFPBPC_BAD_LEN.into());
                }
                let vacancy = Vacancy { down: value.u8()?, up: value.u8()?, vacancy: value.u8()? };
                if table_mod {
                    judge_vacancy(&vacancy)?;
                }
                properties.vacancy = vacancy;
            }
            // What a switch says beyond that is its own affair.
            _ if !table_mod => {}
            _ => return Err(ErrorCode::OFPBRC_BAD_TYPE.into()),
        }
    }
    Ok(properties)
}

pub(super) fn decode_mod(body: &[u8], version: Version, notes: Option<&Notes>) -> Result<TableMod, OfError> {
    let mut body = Reader::new(body);
    let table_id = body.u8()?;
    body.skip(3)?;
    let config = body.u32()?;
    let mut table_mod = TableMod {
        table_id,
        miss: decode_miss(config, version, notes),
        eviction: None,
        eviction_flags: u32::MAX,
        vacancy: None,
        table_vacancy: Vacancy::default(),
    };
    if version >= Version::V14 {
        let properties = decode_properties(&mut body, true)?;
        table_mod.eviction = Some(config & CONFIG_EVICTION != 0);
        table_mod.vacancy = Some(config & CONFIG_VACANCY != 0);
        table_mod.eviction_flags = properties.eviction_flags.unwrap_or(u32::MAX);
        // Flags that stand beside the setting are taken for it, as Open vSwitch does.
        table_mod.eviction = match properties.eviction_flags {
            None => table_mod.eviction,
            Some(1) => Some(true),
            Some(2) => Some(false),
            Some(_) => None,
        };
        table_mod.table_vacancy = properties.vacancy;
    }
    Ok(table_mod)
}

fn config14(eviction: Option<bool>, vacancy: Option<bool>) -> u32 {
    let eviction = if eviction == Some(true) { CONFIG_EVICTION } else { 0 };
    eviction | if vacancy == Some(true) { CONFIG_VACANCY } else { 0 }
}

fn encode_vacancy(out: &mut Vec<u8>, vacancy: &Vacancy) {
    let start = wire::start_property(out, PROP_VACANCY);
    out.put8(vacancy.down);
    out.put8(vacancy.up);
    out.put8(vacancy.vacancy);
    out.put8(0);
    wire::end_property(out, start);
}

fn encode_eviction(out: &mut Vec<u8>, flags: u32) {
    let start = wire::start_property(out, PROP_EVICTION);
    out.put32(flags);
    wire::end_property(out, start);
}

pub(super) fn encode_mod(out: &mut Vec<u8>, table_mod: &TableMod, version: Version) {
    out.put8(table_mod.table_id);
    out.zeros(3);
    if version < Version::V14 {
        out.put32(encode_miss(table_mod.miss, version));
        return;
    }
    out.put32(config14(table_mod.eviction, table_mod.vacancy));
    if table_mod.eviction_flags != u32::MAX {
        encode_eviction(out, table_mod.eviction_flags);
    }
    if table_mod.vacancy == Some(true) {
        encode_vacancy(out, &table_mod.table_vacancy);
    }
}

pub(super) fn decode_desc(body: &mut Reader<'_>) -> Result<TableDesc, OfError> {
    let mut body = Entries { module: LOG, name: "OFP14_TABLE_DESC reply", least: 8, len_at: 0 }.next(body)?;
    body.skip(2)?;
    let table_id = body.u8()?;
    body.skip(1)?;
    let config = body.u32()?;
    let properties = decode_properties(&mut body, false)?;
    Ok(TableDesc {
        table_id,
        eviction: Some(config & CONFIG_EVICTION != 0),
        eviction_flags: properties.eviction_flags.unwrap_or(u32::MAX),
        vacancy: Some(config & CONFIG_VACANCY != 0),
        table_vacancy: properties.vacancy,
    })
}

pub(super) fn encode_desc(out: &mut Vec<u8>, desc: &TableDesc) {
    let start = out.len();
    out.zeros(2);
    out.put8(desc.table_id);
    out.put8(0);
    out.put32(config14(desc.eviction, desc.vacancy));
    if desc.eviction_flags != u32::MAX {
        encode_eviction(out, desc.eviction_flags);
    }
    if desc.vacancy == Some(true) {
        encode_vacancy(out, &desc.table_vacancy);
    }
    let len = out.len() - start;
    out.patch16(start, len as u16);
}

pub(super) fn decode_status(body: &[u8]) -> Result<TableStatus, OfError> {
    let mut body = Reader::new(body);
    let reason = match body.u8()? {
        3 => TableReason::VacancyDown,
        4 => TableReason::VacancyUp,
        _ => return Err(ErrorCode::OFPBPC_BAD_VALUE.into()),
    };
    body.skip(7)?;
    // An error without a name: Open vSwitch takes the end of a list for one.
    if body.is_empty() {
        return Err(OfError { nameless: true, ..ErrorCode::OFPBRC_BAD_LEN.into() });
    }
    Ok(TableStatus { reason, desc: decode_desc(&mut body)? })
}

pub(super) fn encode_status(out: &mut Vec<u8>, status: &TableStatus) {
    out.put8(status.reason as u8);
    out.zeros(7);
    encode_desc(out, &status.desc);
}
