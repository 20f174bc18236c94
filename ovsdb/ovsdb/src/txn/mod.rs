//! Transactions: changes over an unchanged database, and their end: a [`Commit`] that can be
//! logged, applied and told to monitors, or an error.
//!
//! Checks at the end, in Open vSwitch's order: reference counts, rows without references,
//! `maxRows`, weak references, unique indexes.

mod checks;
mod commit;
mod refs;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

pub use commit::{Commit, RowChange};
pub(crate) use commit::{Head, told_columns, transaction_record};

use smallvec::SmallVec;

use crate::condition::Condition;
use crate::database::{Database, TableId};
use crate::error::Result;
use crate::row::Row;
use crate::uuid::{Uuid, UuidSource};

/// A row that the transaction touched.
#[derive(Debug, Clone)]
pub(crate) struct TxnRow {
    pub old: Option<Arc<Row>>,
    pub new: Option<Arc<Row>>,
    /// Strong references from other rows, in the state that the transaction makes.
    pub refs: i64,
    /// The transaction wrote this row, it did not only count references to it.
    pub written: bool,
    /// Columns that lost weak references to rows that are not there.
    pub pruned: SmallVec<[u16; 1]>,
}

/// So many rows are fetched from memory at a time where all of a table are looked at.
const AT_A_TIME: usize = 32;

/// The touched rows of one table, in the order of the first touch.
#[derive(Debug, Default)]
pub(crate) struct TxnTable {
    pub rows: BTreeMap<Uuid, TxnRow>,
    pub order: Vec<Uuid>,
    /// Those of `order`, and others that the transaction touched and left as they were; empty if there are none.
    came: Vec<Uuid>,
}

impl TxnTable {
    /// The touched rows in the turn in which Open vSwitch comes by them, to tell the first of several faults: that of a
    /// hash table, by the first word of the UUID.
    fn turn(&self) -> Vec<Uuid> {
        let came: HashSet<&Uuid> = self.came.iter().collect();
        let others = self.order.iter().filter(|uuid| !came.contains(uuid));
        let touched: Vec<Uuid> = self.came.iter().chain(others).copied().collect();
        let order = hashing::listed(&touched.iter().map(Uuid::first_word).collect::<Vec<_>>());
        order.into_iter().map(|at| touched[at]).filter(|uuid| self.rows.contains_key(uuid)).collect()
    }
}

/// A transaction under way.
#[derive(Debug)]
pub struct Txn<'a> {
    pub(crate) db: &'a Database,
    pub(crate) tables: BTreeMap<TableId, TxnTable>,
    /// The tables in the order of the first touch. Of several faults that of the first is told, as in Open vSwitch.
    turns: Vec<TableId>,
    /// Texts of the comment operations.
    comments: Vec<String>,
    /// The reply has to wait for the disk.
    pub durable: bool,
}

impl<'a> Txn<'a> {
    /// A transaction without changes.
    #[must_use]
    pub fn new(db: &'a Database) -> Self {
        Txn { db, tables: BTreeMap::new(), turns: Vec::new(), comments: Vec::new(), durable: false }
    }

    /// The database as it was before.
    #[must_use]
    pub fn database(&self) -> &'a Database {
        self.db
    }

    /// Adds a comment for the log.
    pub fn comment(&mut self, text: &str) {
        self.comments.push(text.to_owned());
    }

    /// The row as the transaction has it by now.
    #[must_use]
    pub fn row(&self, table: TableId, uuid: &Uuid) -> Option<&Arc<Row>> {
        match self.tables.get(&table).and_then(|t| t.rows.get(uuid)) {
            Some(row) => row.new.as_ref(),
            None => self.db.tables[table].row(uuid),
        }
    }

    /// Whether a new row may have this UUID: no row has it, nor had one before that was deleted in
    /// this transaction.
    #[must_use]
    pub fn may_create(&self, table: TableId, uuid: &Uuid) -> bool {
        let here = self.tables.get(&table).and_then(|t| t.rows.get(uuid));
        here.is_none_or(|entry| entry.old.is_none() && entry.new.is_none()) && self.db.tables[table].row(uuid).is_none()
    }

    fn table_mut(&mut self, table: TableId) -> &mut TxnTable {
        if !self.turns.contains(&table) {
            self.turns.push(table);
        }
        self.tables.entry(table).or_default()
    }

    /// The touched tables, the first touched first.
    pub(crate) fn tables_in_turn(&self) -> impl Iterator<Item = (TableId, &TxnTable)> {
        self.turns.iter().filter_map(|table| Some((*table, self.tables.get(table)?)))
    }

    /// The touched rows as Open vSwitch comes by them.
    fn rows_in_turn(&self) -> Vec<(TableId, Uuid)> {
        self.tables_in_turn().flat_map(|(table, t)| t.turn().into_iter().map(move |uuid| (table, uuid))).collect()
    }

    /// The entry of a row that exists, before or within the transaction.
    pub(crate) fn touch(&mut self, table: TableId, uuid: Uuid) -> Option<&mut TxnRow> {
        let known = self.tables.get(&table).is_some_and(|t| t.rows.contains_key(&uuid));
        if !known {
            let slot = self.db.tables[table].rows.get(&uuid)?;
            let row = TxnRow {
                old: Some(Arc::clone(&slot.row)),
                new: Some(Arc::clone(&slot.row)),
                refs: i64::from(slot.refs),
                written: false,
                pruned: SmallVec::new(),
            };
            let t = self.table_mut(table);
            t.order.push(uuid);
            t.rows.insert(uuid, row);
        }
        self.tables.get_mut(&table)?.rows.get_mut(&uuid)
    }

    /// Adds a row. The caller has asked [`Txn::may_create`].
    pub fn insert(&mut self, table: TableId, row: Row) {
        let uuid = row.uuid;
        let t = self.table_mut(table);
        if !t.rows.contains_key(&uuid) {
            t.order.push(uuid);
        }
        let entry = TxnRow { old: None, new: Some(Arc::new(row)), refs: 0, written: true, pruned: SmallVec::new() };
        t.rows.insert(uuid, entry);
    }

    /// The row for writing, if it exists.
    pub fn modify(&mut self, table: TableId, uuid: Uuid) -> Option<&mut Row> {
        let entry = self.touch(table, uuid)?;
        entry.written = true;
        entry.new.as_mut().map(Arc::make_mut)
    }

    /// Deletes the row, if it exists.
    pub fn delete(&mut self, table: TableId, uuid: Uuid) {
        if let Some(entry) = self.touch(table, uuid) {
            entry.new = None;
            entry.written = true;
        }
    }

    /// Rows of `table` that match every clause of `condition`: those of the database by UUID, then
    /// the new ones in the order of their insertion.
    pub fn matching(&self, table: TableId, condition: &Condition) -> Vec<Arc<Row>> {
        let mut found = Vec::new();
        self.for_each_match(table, condition, |row| found.push(Arc::clone(row)));
        found
    }

    /// Calls `visit` with each row that [`Txn::matching`] would give.
    pub fn for_each_match(&self, table: TableId, condition: &Condition, mut visit: impl FnMut(&Arc<Row>)) {
        if let Some(uuid) = condition.only_uuid() {
            if let Some(row) = self.row(table, &uuid).filter(|row| condition.matches_all(row)) {
                visit(row);
            }
            return;
        }
        let base = &self.db.tables[table];
        let overlay = self.tables.get(&table);
        let current = |row| match overlay.and_then(|t| t.rows.get(row)) {
            Some(entry) => entry.new.as_ref(),
            None => base.row(row),
        };
        if let Some(candidates) = checks::index_candidates(base, condition) {
            // An index knows the old values only: changed rows come from the overlay below.
            let mut uuids: Vec<Uuid> = candidates.to_vec();
            if let Some(t) = overlay {
                uuids.extend(t.rows.iter().filter(|(_, e)| e.old.is_some()).map(|(u, _)| *u));
            }
            uuids.sort_unstable();
            uuids.dedup();
            for uuid in &uuids {
                if let Some(row) = current(uuid).filter(|row| condition.matches_all(row)) {
                    visit(row);
                }
            }
        } else {
            let mut rows = base.rows.iter().filter_map(|(uuid, slot)| match overlay.and_then(|t| t.rows.get(uuid)) {
                Some(entry) => entry.new.as_ref(),
                None => Some(&slot.row),
            });
            let mut batch = Vec::with_capacity(AT_A_TIME);
            loop {
                batch.extend(rows.by_ref().take(AT_A_TIME));
                if batch.is_empty() {
                    break;
                }
                // Rows lie all over the memory: the processor fetches many in the time of one if asked for them at once.
                std::hint::black_box(batch.iter().fold(0, |sum: u8, row| sum ^ row.version.as_bytes()[15]));
                batch.drain(..).filter(|row| condition.matches_all(row)).for_each(&mut visit);
            }
        }
        let Some(t) = overlay else { return };
        for uuid in &t.order {
            let Some(entry) = t.rows.get(uuid).filter(|entry| entry.old.is_none()) else {
                continue;
            };
            if let Some(row) = entry.new.as_ref().filter(|row| condition.matches_all(row)) {
                visit(row);
            }
        }
    }

    /// Number of rows that the transaction touched, for fairness between clients.
    #[must_use]
    pub fn touched(&self) -> usize {
        self.tables.values().map(|t| t.order.len()).sum()
    }

    /// Checks the whole and makes it ready to be applied. `None`: nothing changed.
    pub fn prepare(mut self, versions: &mut UuidSource) -> Result<Option<Commit>> {
        self.drop_unchanged();
        if self.tables.is_empty() {
            return Ok(None);
        }
        self.count_references()?;
        self.collect_garbage()?;
        self.check_max_rows()?;
        self.prune_weak_references()?;
        self.check_indexes()?;
        Ok(self.into_commit(versions))
    }

    /// Makes the changes ready without checking any constraint: for what a log or a trusted server
    /// says.
    pub fn prepare_unchecked(mut self, versions: &mut UuidSource) -> Option<Commit> {
        // Reference counts have to be right all the same; dangling references are let be.
        self.drop_unchanged();
        self.count_known_references();
        self.into_commit(versions)
    }
}
