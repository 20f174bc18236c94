//! Building a transaction over a replica. Reads see the edits made so far.

use crate::operations::{self, Prepared};
use crate::replica::Replica;
use crate::row::Row;
use ovsdb::{Datum, TableSchema, Uuid, UuidSource};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What a transaction does to one row.
#[derive(Clone, Debug)]
pub(crate) struct Edit {
    /// The row as the replica has it; `None` for one that the transaction inserts.
    pub base: Option<Arc<Row>>,
    /// The row with the edits.
    pub now: Row,
    /// Whether the row goes.
    pub deleted: bool,
    /// The columns written.
    pub written: BTreeSet<usize>,
    /// The columns that must still be as in `base` when the transaction is carried out.
    pub verified: BTreeSet<usize>,
    /// Elements put into and taken out of columns that are not written as a whole.
    pub partial: BTreeMap<usize, Partial>,
    /// Whether the row is to get the UUID that it has here.
    pub keeps_uuid: bool,
}

/// A change to some elements of a column, which leaves room for others to change the rest.
#[derive(Clone, Debug, Default)]
pub(crate) struct Partial {
    /// Elements or keys taken out, which happens first.
    pub removed: Datum,
    /// Elements or pairs put in.
    pub inserted: Datum,
}

/// A column that counts up.
#[derive(Clone, Debug)]
pub(crate) struct Increment {
    pub table: Arc<TableSchema>,
    pub uuid: Uuid,
    pub column: usize,
    /// Whether to increment even if nothing else is changed.
    pub always: bool,
}

/// A transaction under construction.
#[derive(Debug)]
pub struct Transaction<'a> {
    replica: &'a Replica,
    uuids: UuidSource,
    pub(crate) edits: BTreeMap<Uuid, Edit>,
    /// The order in which rows were first edited, which is the order of operations.
    pub(crate) order: Vec<Uuid>,
    pub(crate) comment: String,
    pub(crate) increment: Option<Increment>,
    /// Tables that must still be empty when the transaction is carried out.
    pub(crate) verified_empty: BTreeSet<String>,
    pub(crate) dry_run: bool,
}

impl<'a> Transaction<'a> {
    /// An empty transaction; `uuids` names the rows that it inserts until the server has named them.
    #[must_use]
    pub fn new(replica: &'a Replica, uuids: UuidSource) -> Transaction<'a> {
        Transaction {
            replica,
            uuids,
            edits: BTreeMap::new(),
            order: Vec::new(),
            comment: String::new(),
            increment: None,
            verified_empty: BTreeSet::new(),
            dry_run: false,
        }
    }

    /// The replica below.
    #[must_use]
    pub fn replica(&self) -> &'a Replica {
        self.replica
    }

    /// Asks the server to check the transaction but not to carry it out.
    pub fn set_dry_run(&mut self) {
        self.dry_run = true;
    }

    /// Adds a line to the comment, which goes to the database's log.
    pub fn add_comment(&mut self, text: &str) {
        if !self.comment.is_empty() {
            self.comment.push('\n');
        }
        self.comment.push_str(text);
    }

    /// Increments a column by one if anything is changed, or in any case if `always`.
    pub fn increment(&mut self, table: &str, uuid: Uuid, column: &str, always: bool) {
        let Some(table) = self.replica.schema().table(table) else { return };
        let Some(column) = table.column_index(column) else { return };
        self.increment = Some(Increment { table: table.clone(), uuid, column, always });
    }

    /// Inserts a row and gives its identity within this transaction. `None` if there is no such table.
    pub fn insert(&mut self, table: &str) -> Option<Uuid> {
        let uuid = self.uuids.next_uuid();
        self.insert_as(table, uuid).then_some(uuid)
    }

    /// Inserts a row under an identity of the caller's choice; false if there is no such table.
    pub fn insert_as(&mut self, table: &str, uuid: Uuid) -> bool {
        let Some(schema) = self.replica.schema().table(table) else { return false };
        let edit = Edit {
            base: None,
            now: Row::new(schema.clone(), uuid),
            deleted: false,
            written: BTreeSet::new(),
            verified: BTreeSet::new(),
            partial: BTreeMap::new(),
            keeps_uuid: false,
        };
        self.edits.insert(uuid, edit);
        self.order.push(uuid);
        true
    }

    /// Inserts a row whose UUID the server, too, shall use; false if there is no such table.
    pub fn insert_with_uuid(&mut self, table: &str, uuid: Uuid) -> bool {
        let inserted = self.insert_as(table, uuid);
        if let Some(edit) = self.edits.get_mut(&uuid) {
            edit.keeps_uuid = true;
        }
        inserted
    }

    /// A fresh identity, for a row that is to be inserted later.
    pub fn fresh_uuid(&mut self) -> Uuid {
        self.uuids.next_uuid()
    }

    /// The row as this transaction leaves it.
    #[must_use]
    pub fn row(&self, table: &str, uuid: Uuid) -> Option<&Row> {
        match self.edits.get(&uuid) {
            Some(edit) if edit.deleted || &*edit.now.schema().name != table => None,
            Some(edit) => Some(&edit.now),
            None => self.replica.row(table, uuid).map(|row| &**row),
        }
    }

    /// The rows of `table` as this transaction leaves them: those of the replica in order of their
    /// UUIDs, then the inserted ones in the order of insertion.
    #[must_use]
    pub fn rows(&self, table: &str) -> Vec<&Row> {
        let old = self.replica.rows(table).filter_map(|row| self.row(table, row.uuid()));
        let new = self.order.iter().filter_map(|uuid| {
            let edit = self.edits.get(uuid)?;
            (edit.base.is_none() && !edit.deleted && &*edit.now.schema().name == table).then_some(&edit.now)
        });
        old.chain(new).collect()
    }

    /// The first row of `table`.
    #[must_use]
    pub fn first(&self, table: &str) -> Option<&Row> {
        let old = self.replica.rows(table).find_map(|row| self.row(table, row.uuid()));
        old.or_else(|| self.rows(table).into_iter().next())
    }

    /// A column of a row as this transaction leaves it; empty if there is no such row or column.
    #[must_use]
    pub fn get(&self, table: &str, uuid: Uuid, column: &str) -> &Datum {
        static EMPTY: Datum = Datum::empty();
        self.row(table, uuid).map_or(&EMPTY, |row| row.datum(column))
    }

    /// Whether the row is one that this transaction inserts.
    #[must_use]
    pub fn is_inserted(&self, uuid: Uuid) -> bool {
        self.edits.get(&uuid).is_some_and(|edit| edit.base.is_none())
    }

    /// Whether operations have to refer to the row by a name, because its UUID is not known yet.
    pub(crate) fn is_named(&self, uuid: Uuid) -> bool {
        self.edits.get(&uuid).is_some_and(|edit| edit.base.is_none() && !edit.keeps_uuid)
    }

    fn edit(&mut self, table: &str, uuid: Uuid) -> Option<&mut Edit> {
        if !self.edits.contains_key(&uuid) {
            let base = self.replica.row(table, uuid)?.clone();
            let edit = Edit {
                now: Row::clone(&base),
                base: Some(base),
                deleted: false,
                written: BTreeSet::new(),
                verified: BTreeSet::new(),
                partial: BTreeMap::new(),
                keeps_uuid: false,
            };
            self.edits.insert(uuid, edit);
            self.order.push(uuid);
        }
        self.edits.get_mut(&uuid)
    }

    /// Writes a column. Nothing happens if there is no such row or column.
    pub fn set(&mut self, table: &str, uuid: Uuid, column: &str, value: Datum) {
        let Some(edit) = self.edit(table, uuid) else { return };
        let Some(index) = edit.now.schema().column_index(column) else { return };
        edit.now.set(index, value);
        edit.partial.remove(&index);
        edit.written.insert(index);
    }

    /// Puts elements into a set, or pairs into a map in the place of those with equal keys, without
    /// touching the other elements.
    pub fn insert_into(&mut self, table: &str, uuid: Uuid, column: &str, elements: &Datum) {
        let Some(edit) = self.edit(table, uuid) else { return };
        let Some(index) = edit.now.schema().column_index(column) else { return };
        let value = edit.now.at(index).union(elements, true);
        if edit.base.is_none() || edit.written.contains(&index) {
            return self.set(table, uuid, column, value);
        }
        let partial = edit.partial.entry(index).or_default();
        partial.inserted = partial.inserted.union(elements, true);
        edit.now.set(index, value);
    }

    /// Takes elements out of a set, or pairs by their keys out of a map, without touching the others.
    pub fn remove_from(&mut self, table: &str, uuid: Uuid, column: &str, keys: &Datum) {
        let Some(edit) = self.edit(table, uuid) else { return };
        let Some(index) = edit.now.schema().column_index(column) else { return };
        let value = edit.now.at(index).subtract(keys);
        if edit.base.is_none() || edit.written.contains(&index) {
            return self.set(table, uuid, column, value);
        }
        let partial = edit.partial.entry(index).or_default();
        partial.inserted = partial.inserted.subtract(keys);
        partial.removed = partial.removed.union(keys, false);
        edit.now.set(index, value);
    }

    /// Makes the transaction depend on the column's being as the replica has it.
    pub fn verify(&mut self, table: &str, uuid: Uuid, column: &str) {
        let Some(edit) = self.edit(table, uuid) else { return };
        let Some(index) = edit.now.schema().column_index(column) else { return };
        if edit.base.is_some() {
            edit.verified.insert(index);
        }
    }

    /// Makes the transaction depend on the table's being empty.
    pub fn verify_empty(&mut self, table: &str) {
        self.verified_empty.insert(table.to_owned());
    }

    /// Deletes a row.
    pub fn delete(&mut self, table: &str, uuid: Uuid) {
        let Some(edit) = self.edit(table, uuid) else { return };
        edit.deleted = true;
        if edit.base.is_none() {
            self.edits.remove(&uuid);
            self.order.retain(|other| *other != uuid);
        }
    }

    /// Whether nothing would be changed.
    #[must_use]
    pub fn is_unchanged(&self) -> bool {
        !operations::changes_anything(self)
    }

    /// The transaction as a request.
    #[must_use]
    pub fn prepare(&self, lock: Option<&str>) -> Prepared {
        operations::prepare(self, lock)
    }
}
