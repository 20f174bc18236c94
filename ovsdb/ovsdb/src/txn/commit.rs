//! What a transaction did: the change set, and its record for the log.

use std::sync::Arc;

use jsonrpc::text::write_string;
use smallvec::SmallVec;

use super::Txn;
use crate::database::{Database, TableId};
use crate::row::Row;
use crate::schema::{COLUMN_VERSION, TableSchema};
use crate::turn::turn_of;
use crate::uuid::{Uuid, UuidSource};

/// A row before and after.
#[derive(Debug, Clone)]
pub struct RowChange {
    /// Its table.
    pub table: TableId,
    /// The row.
    pub uuid: Uuid,
    /// Before; `None` when it was inserted.
    pub old: Option<Arc<Row>>,
    /// After; `None` when it was deleted.
    pub new: Option<Arc<Row>>,
    /// Indexes of the columns that differ, when it is there before and after.
    pub columns: SmallVec<[u16; 4]>,
    /// Indexes of the columns that lost weak references to rows that are not there, maybe to be what they were before.
    pub(crate) pruned: SmallVec<[u16; 1]>,
}

impl RowChange {
    /// Whether the value of a column is another one.
    #[must_use]
    pub fn changes(&self, column: usize) -> bool {
        self.columns.iter().any(|&c| usize::from(c) == column)
    }

    /// Whether the log tells of a column of a row that is there before and after.
    fn is_logged(&self, column: usize) -> bool {
        self.changes(column) || self.pruned.iter().any(|&c| usize::from(c) == column)
    }
}

/// A transaction that passed every check.
#[derive(Debug, Clone, Default)]
pub struct Commit {
    /// Changed rows: a table's together, tables and rows in the order of the first touch.
    pub changes: Vec<RowChange>,
    /// New numbers of strong references to rows.
    pub(crate) refs: Vec<(TableId, Uuid, u32)>,
    /// Comments, joined by line ends.
    pub comment: String,
    /// The reply has to wait for the disk.
    pub durable: bool,
}

impl Txn<'_> {
    pub(super) fn drop_unchanged(&mut self) {
        for table in self.tables.values_mut() {
            for entry in table.rows.values_mut() {
                if let (Some(old), Some(new)) = (&entry.old, &entry.new) {
                    if entry.written && (Arc::ptr_eq(old, new) || old.fields == new.fields) {
                        entry.new = Some(Arc::clone(old));
                        entry.written = false;
                    }
                } else if entry.old.is_none() && entry.new.is_none() {
                    entry.written = false;
                }
            }
            let rows = &mut table.rows;
            if rows.values().any(|entry| !entry.written) {
                table.came.clone_from(&table.order);
                rows.retain(|_, entry| entry.written);
                table.order.retain(|uuid| rows.contains_key(uuid));
            }
        }
        self.tables.retain(|_, table| !table.rows.is_empty());
    }

    pub(super) fn into_commit(mut self, versions: &mut UuidSource) -> Option<Commit> {
        let mut commit = Commit { comment: self.comments.join("\n"), durable: self.durable, ..Commit::default() };
        for table in std::mem::take(&mut self.turns) {
            let Some(rows) = self.tables.get_mut(&table) else { continue };
            let base = &self.db.tables[table];
            for uuid in &rows.order {
                let Some(entry) = rows.rows.remove(uuid) else { continue };
                let before = base.rows.get(uuid).map_or(0, |slot| i64::from(slot.refs));
                if entry.new.is_some() && entry.refs != before {
                    let refs = u32::try_from(entry.refs).unwrap_or(0);
                    commit.refs.push((table, *uuid, refs));
                }
                let mut columns = SmallVec::new();
                let new = match (&entry.old, entry.new) {
                    (None, None) => continue,
                    (Some(_), None) => None,
                    (None, Some(mut new)) => {
                        if new.version.is_zero() {
                            Arc::make_mut(&mut new).version = versions.next_uuid();
                        }
                        Some(new)
                    }
                    (Some(old), Some(mut new)) => {
                        if Arc::ptr_eq(old, &new) {
                            continue;
                        }
                        for (at, (a, b)) in old.fields.iter().zip(&new.fields).enumerate() {
                            if a != b {
                                columns.push(u16::try_from(at + 2).unwrap_or(u16::MAX));
                            }
                        }
                        // A row that its weak references' loss makes what it was has been written all the same.
                        if columns.is_empty() && !entry.written {
                            continue;
                        }
                        columns.insert(0, crate::schema::COLUMN_VERSION as u16);
                        if new.version == old.version {
                            Arc::make_mut(&mut new).version = versions.next_uuid();
                        }
                        Some(new)
                    }
                };
                commit.changes.push(RowChange {
                    table,
                    uuid: *uuid,
                    old: entry.old,
                    new,
                    columns,
                    pruned: entry.pruned,
                });
            }
        }
        (!commit.changes.is_empty()).then_some(commit)
    }
}

impl Commit {
    /// The record for the log (ovsdb(5)), or `None` when only ephemeral columns changed. Changes of
    /// columns that hold sets or maps are written as differences, unless Open vSwitch would not read one of them as it was
    /// meant ([`is_misread`]).
    #[must_use]
    pub fn log_record(&self, db: &Database, wall_ms: i64) -> Option<String> {
        let misread = self.changes.iter().any(|change| is_misread(change, &db.tables[change.table].schema));
        self.record(db, wall_ms, !misread)
    }

    /// The record with whole values in place of differences, as before Open vSwitch 2.15.
    #[must_use]
    pub fn log_record_whole(&self, db: &Database, wall_ms: i64) -> Option<String> {
        self.record(db, wall_ms, false)
    }

    fn record(&self, db: &Database, wall_ms: i64, diff: bool) -> Option<String> {
        let tables: Vec<(&TableSchema, Vec<&RowChange>)> = self
            .changes
            .chunk_by(|a, b| a.table == b.table)
            .map(|changes| {
                let schema = &*db.tables[changes[0].table].schema;
                (schema, in_turn(changes.iter().filter(|change| belongs(change, schema)).collect()))
            })
            .filter(|(_, changes)| !changes.is_empty())
            .collect();
        if tables.is_empty() {
            return None;
        }
        let names = tables.iter().map(|(schema, _)| &*schema.name).collect();
        let room = 128 + 128 * self.changes.len().min(10_000);
        Some(transaction_record(names, Head { comment: &self.comment, wall_ms, diff }, room, |at, out| {
            let (schema, changes) = &tables[at];
            write_rows(changes, schema, diff, out);
        }))
    }
}

/// What the record of a transaction says beside its rows.
pub(crate) struct Head<'a> {
    /// Comments, joined by line ends.
    pub comment: &'a str,
    /// When it was, in milliseconds since the Unix epoch.
    pub wall_ms: i64,
    /// Values that take more than one element are differences to those before.
    pub diff: bool,
}

/// The record of a transaction: what `write` has to tell of each of the tables with these `names`. Members stand as Open
/// vSwitch's JSON objects, which are hash tables, list them: `ovsdb-tool show-log` goes by that. `room`: octets that it is
/// likely to take.
pub(crate) fn transaction_record(
    mut names: Vec<&str>,
    head: Head<'_>,
    room: usize,
    mut write: impl FnMut(usize, &mut String),
) -> String {
    // In this turn it puts them in.
    let tables = names.len();
    if !head.comment.is_empty() {
        names.push("_comment");
    }
    if head.diff {
        names.push("_is_diff");
    }
    names.push("_date");
    let mut out = String::with_capacity(room);
    for (n, at) in turn_of(&names).into_iter().enumerate() {
        out.push(if n == 0 { '{' } else { ',' });
        write_string(&mut out, names[at]);
        out.push(':');
        match names[at] {
            _ if at < tables => write(at, &mut out),
            "_comment" => write_string(&mut out, head.comment),
            "_date" => out.push_str(&head.wall_ms.to_string()),
            _ => out.push_str("true"),
        }
    }
    out.push('}');
    out
}

/// The columns of a row that the log tells of, in the turn in which Open vSwitch writes them.
pub(crate) fn told_columns(schema: &TableSchema, is_told: impl Fn(usize) -> bool) -> SmallVec<[usize; 16]> {
    let told = |column: &usize| *column > COLUMN_VERSION && schema.columns[*column].persistent && is_told(*column);
    let columns: SmallVec<[usize; 16]> = schema.columns_in_turn().filter(told).collect();
    if columns.len() < 2 {
        return columns;
    }
    let names: SmallVec<[&str; 16]> = columns.iter().map(|column| &*schema.columns[*column].name).collect();
    turn_of(&names).into_iter().map(|at| columns[at]).collect()
}

/// Rows of one table as Open vSwitch writes them: it comes by them in the table of what a transaction touched, and puts
/// them into an object.
fn in_turn(mut changes: Vec<&RowChange>) -> Vec<&RowChange> {
    if changes.len() < 2 {
        return changes;
    }
    let first_word = |change: &&RowChange| change.uuid.first_word();
    let name = |change: &&RowChange| hashing::bytes(change.uuid.to_string().as_bytes(), 0);
    for hashes in [&first_word as &dyn Fn(&&RowChange) -> u32, &name] {
        let order = hashing::listed(&changes.iter().map(hashes).collect::<Vec<_>>());
        changes = order.into_iter().map(|at| changes[at]).collect();
    }
    changes
}

/// Whether anything of a change is for the log.
fn belongs(change: &RowChange, schema: &TableSchema) -> bool {
    change.old.is_none()
        || change.new.is_none()
        || schema.own_columns().any(|(column, spec)| spec.persistent && change.is_logged(column))
}

/// Whether Open vSwitch 3.1 would write a difference here that it does not read back: one with more elements than the
/// column may have ends its reading of the log; one to a default that is not empty it takes for the whole value.
fn is_misread(change: &RowChange, schema: &TableSchema) -> bool {
    let (Some(old), Some(new)) = (&change.old, &change.new) else { return false };
    let several = schema.own_columns().filter(|(_, spec)| spec.persistent && spec.ty.n_max > 1);
    several.filter(|(column, _)| change.changes(*column)).any(|(column, spec)| {
        let value = old.field(column);
        (spec.ty.n_min > 0 && value.is_default(&spec.ty))
            || (spec.ty.n_max != u32::MAX && value.diff(new.field(column), &spec.ty).len() > spec.ty.n_max as usize)
    })
}

/// Appends the object of a table's rows.
fn write_rows(changes: &[&RowChange], schema: &TableSchema, diff: bool, out: &mut String) {
    for (n, change) in changes.iter().enumerate() {
        out.push_str(if n == 0 { "{\"" } else { ",\"" });
        change.uuid.write(out);
        out.push_str("\":");
        write_row(change, schema, diff, out);
    }
    out.push('}');
}

/// Appends `<row-txn>`.
fn write_row(change: &RowChange, schema: &TableSchema, diff: bool, out: &mut String) {
    let Some(new) = &change.new else { return out.push_str("null") };
    let columns = told_columns(schema, |column| match &change.old {
        None => !new.field(column).is_default(&schema.columns[column].ty),
        Some(_) => change.is_logged(column),
    });
    out.push('{');
    for (n, column) in columns.into_iter().enumerate() {
        let spec = &schema.columns[column];
        if n > 0 {
            out.push(',');
        }
        write_string(out, &spec.name);
        out.push(':');
        match &change.old {
            Some(old) if diff => old.field(column).diff(new.field(column), &spec.ty).write_json(spec.is_map(), out),
            _ => new.field(column).write_json(spec.is_map(), out),
        }
    }
    out.push('}');
}
