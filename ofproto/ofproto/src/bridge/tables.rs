//! Tables as controllers see and configure them: features, descriptions, misses, eviction, vacancy events.
//!
//! Source: OpenFlow 1.1 section A.3.3, 1.3.5 section 7.3.5.5, 1.4 sections 6.5 and 7.3.4.3; observed answers of Open
//! vSwitch 3.1.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use flow::field::ALL;
use openflow::message::async_config::AsyncKind;
use openflow::message::table::{TABLE_ALL, TableMiss, TableReason, TableStatus, Vacancy};
use openflow::message::table_features::{self, ActionFeatures, InstructionFeatures};
use openflow::message::{self, FieldSet, Message, TableDesc, TableFeatures, TableMod};
use openflow::{ErrorCode, Version};

use super::group::supported_actions;
use super::{Bridge, N_TABLES, Output};
use crate::table::TableConfig;

/// Rules of a table without a limit, as older versions are told.
const MAX_ENTRIES: u32 = 1_000_000;
/// Eviction looks at everything: other, importance, lifetime.
const EVICTION_FLAGS: u32 = 7;

/// What controllers configured of a table.
#[derive(Debug, Clone, Default)]
pub(crate) struct TableWish {
    miss: TableMiss,
    evict: bool,
    vacancy: Option<VacancyWatch>,
    name: Option<Arc<str>>,
}

#[derive(Debug, Clone, Copy)]
struct VacancyWatch {
    thresholds: Vacancy,
    /// The event that comes next.
    next: TableReason,
}

impl Bridge {
    /// A table's configuration: the database's, and what controllers added.
    pub(super) fn table_config(&self, id: u8) -> TableConfig {
        let mut config = self.config.tables.get(&id).cloned().unwrap_or_default();
        if let Some(wish) = self.table_wishes.get(&id) {
            if wish.miss != TableMiss::Default {
                config.miss = wish.miss;
            }
            config.evict |= wish.evict;
            config.name = config.name.or_else(|| wish.name.clone());
        }
        config
    }

    pub(super) fn table_mod(&mut self, wanted: &TableMod) -> Result<(), ErrorCode> {
        if wanted.table_id != TABLE_ALL && wanted.table_id >= N_TABLES {
            return Err(ErrorCode::OFPTMFC_EPERM);
        }
        let ids = if wanted.table_id == TABLE_ALL { 0..N_TABLES } else { wanted.table_id..wanted.table_id + 1 };
        for id in ids {
            let before = self.table_config(id);
            let vacancy = self.vacancy_of(id);
            let wish = self.table_wishes.entry(id).or_default();
            if wanted.miss != TableMiss::Default {
                wish.miss = wanted.miss;
            }
            if let Some(evict) = wanted.eviction {
                wish.evict = evict;
            }
            match wanted.vacancy {
                Some(true) => {
                    let thresholds = wanted.table_vacancy;
                    let next = match wish.vacancy {
                        Some(watch) => watch.next,
                        None if vacancy < thresholds.up => TableReason::VacancyUp,
                        None => TableReason::VacancyDown,
                    };
                    wish.vacancy = Some(VacancyWatch { thresholds, next });
                }
                Some(false) => wish.vacancy = None,
                None => {}
            }
            let after = self.table_config(id);
            if after != before {
                self.put_awaited(Output::ConfigureTable { table: id, config: after });
            }
        }
        Ok(())
    }

    /// Percent of a table that is free.
    fn vacancy_of(&self, id: u8) -> u8 {
        let used = self.view.table(id).map_or(0, |t| t.rules.len());
        match self.table_config(id).max_flows.unwrap_or(u32::MAX as usize) {
            0 => 0,
            max => (max.saturating_sub(used).saturating_mul(100) / max).min(100) as u8,
        }
    }

    fn table_desc(&self, id: u8) -> TableDesc {
        let wish = self.table_wishes.get(&id);
        let watch = wish.and_then(|w| w.vacancy);
        TableDesc {
            table_id: id,
            eviction: Some(wish.is_some_and(|w| w.evict)),
            eviction_flags: EVICTION_FLAGS,
            vacancy: Some(watch.is_some()),
            table_vacancy: watch.map(|w| Vacancy { vacancy: self.vacancy_of(id), ..w.thresholds }).unwrap_or_default(),
        }
    }

    pub(super) fn table_descs(&self) -> Vec<TableDesc> {
        (0..N_TABLES).map(|id| self.table_desc(id)).collect()
    }

    /// Tells controllers when a table crosses a threshold.
    pub(super) fn watch_vacancy(&mut self, id: u8) {
        let Some(watch) = self.table_wishes.get(&id).and_then(|w| w.vacancy) else { return };
        let free = self.vacancy_of(id);
        let (crossed, then) = match watch.next {
            TableReason::VacancyDown => (free < watch.thresholds.down, TableReason::VacancyUp),
            TableReason::VacancyUp => (free > watch.thresholds.up, TableReason::VacancyDown),
        };
        if !crossed {
            return;
        }
        if let Some(watch) = self.table_wishes.get_mut(&id).and_then(|w| w.vacancy.as_mut()) {
            watch.next = then;
        }
        let status = TableStatus { reason: watch.next, desc: self.table_desc(id) };
        let bit = 1u32 << (watch.next as u8);
        let wants = |c: &&super::Conn| c.version >= openflow::Version::V14 && c.wants(AsyncKind::TableStatus, bit);
        let conns: Vec<_> = self.conns.values().filter(wants).map(|c| c.id).collect();
        for conn in conns {
            self.send_async(conn, Message::TableStatus(status));
        }
    }

    pub(super) fn all_table_features(&self, version: Version) -> Vec<TableFeatures> {
        let mut blank = features();
        if version == Version::V15 {
            // There `meter` is an action.
            blank.nonmiss.instructions &= !(1 << 6);
        }
        (0..N_TABLES).map(|id| self.table_features_from(&blank, id)).collect()
    }

    /// Gives tables the names that a controller wants them to have, all else being as it is. An empty one takes its own
    /// name away again; those of the database stay.
    pub(super) fn rename_tables(&mut self, wanted: &[TableFeatures], version: Version) -> Result<(), ErrorCode> {
        suits_together(wanted)?;
        let tables = if wanted.is_empty() { Vec::new() } else { self.all_table_features(version) };
        for wish in wanted {
            // The hidden table has no features.
            let now = tables.get(usize::from(wish.table_id)).ok_or(ErrorCode::OFPTFFC_EPERM)?;
            let differs = if wish.has_no_properties() {
                wish.max_entries != now.max_entries
            } else {
                TableFeatures { name: String::new(), command: 0, ..wish.clone() }
                    != as_told(TableFeatures { name: String::new(), ..now.clone() }, version)?
            };
            let taken = self.config.tables.get(&wish.table_id).and_then(|config| config.name.as_deref());
            if differs || (!wish.name.is_empty() && taken.is_some_and(|name| name != wish.name)) {
                return Err(ErrorCode::OFPTFFC_EPERM);
            }
        }
        for TableFeatures { table_id, name, .. } in wanted {
            let before = self.table_config(*table_id);
            let wish = self.table_wishes.entry(*table_id).or_default();
            wish.name = Some(name.as_str()).filter(|name| !name.is_empty()).map(Arc::from);
            let after = self.table_config(*table_id);
            if after != before {
                self.put_awaited(Output::ConfigureTable { table: *table_id, config: after });
            }
        }
        Ok(())
    }

    /// What a table can do.
    pub(super) fn table_features_from(&self, blank: &TableFeatures, id: u8) -> TableFeatures {
        let config = self.table_config(id);
        let mut features = blank.clone();
        features.table_id = id;
        features.name = config.name.as_deref().unwrap_or_default().to_owned();
        features.max_entries =
            config.max_flows.map_or(MAX_ENTRIES, |n| u32::try_from(n).unwrap_or(MAX_ENTRIES).min(MAX_ENTRIES));
        features.miss = config.miss;
        for table in id + 1..N_TABLES {
            features.nonmiss.next[usize::from(table / 8)] |= 1 << (table % 8);
        }
        if id + 1 == N_TABLES {
            features.nonmiss.instructions &= !(1 << 1);
        }
        features.miss_rules = features.nonmiss.clone();
        features
    }
}

/// Whether a request to change features is one that can be: each table once, and all of them unless the request's first
/// part says that it is about its tables alone. Tables are neither enabled nor disabled.
fn suits_together(wanted: &[TableFeatures]) -> Result<(), ErrorCode> {
    let Some(first) = wanted.first() else { return Ok(()) };
    let mut seen = BTreeSet::new();
    for wish in wanted {
        if wish.table_id == TABLE_ALL {
            return Err(ErrorCode::OFPTFFC_BAD_TABLE);
        }
        if !seen.insert(wish.table_id) {
            return Err(ErrorCode::NXTFFC_DUP_TABLE);
        }
    }
    match first.command {
        table_features::MODIFY => Ok(()),
        table_features::REPLACE if (0..N_TABLES).all(|id| seen.contains(&id)) => Ok(()),
        _ => Err(ErrorCode::OFPTFFC_EPERM),
    }
}

/// A table's features as a controller that asks for them in `version` reads them.
fn as_told(features: TableFeatures, version: Version) -> Result<TableFeatures, ErrorCode> {
    let reply = Message::TableFeaturesReply(vec![features]);
    let octets = message::encode(&reply, version, 0).map_err(|_| ErrorCode::OFPTFFC_EPERM)?;
    match message::decode(&octets).map_err(|error| error.code)?.body {
        Message::TableFeaturesReply(mut told) => told.pop().ok_or(ErrorCode::OFPTFFC_EPERM),
        _ => Err(ErrorCode::OFPTFFC_EPERM),
    }
}

/// What every table can do.
pub(super) fn features() -> TableFeatures {
    let on_wire = |f: &&flow::field::Field| !f.meta().headers.is_empty();
    let set_fields: FieldSet = ALL.iter().filter(on_wire).filter(|f| f.meta().writable).copied().collect();
    let all: FieldSet = ALL.iter().filter(on_wire).copied().collect();
    let maskable: FieldSet = ALL.iter().filter(on_wire).filter(|f| f.meta().maskable).copied().collect();
    let actions = ActionFeatures { actions: supported_actions(), set_fields };
    let rules = InstructionFeatures {
        next: [0; 32],
        // goto_table, write_metadata, write_actions, apply_actions, clear_actions, meter.
        instructions: 0b111_1110,
        write: actions.clone(),
        apply: actions,
    };
    TableFeatures {
        metadata_match: u64::MAX,
        metadata_write: u64::MAX,
        max_entries: MAX_ENTRIES,
        eviction: Some(false),
        vacancy: Some(false),
        nonmiss: rules.clone(),
        miss_rules: rules,
        matching: all,
        mask: maskable,
        wildcard: all,
        ..TableFeatures::default()
    }
}

/// Wishes of controllers by table.
pub(crate) type TableWishes = BTreeMap<u8, TableWish>;
