//! What a transaction did: the change set, and its record for the log.

use std::sync::Arc;

use jsonrpc::text::write_string;
use smallvec::SmallVec;

use super::Txn;
use crate::database::{Database, TableId};
use crate::row::Row;
use crate::schema::TableSchema;
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
}

impl RowChange {
    /// Whether the value of a column is another one.
    #[must_use]
    pub fn changes(&self, column: usize) -> bool {
        self.columns.iter().any(|&c| usize::from(c) == column)
    }
}

/// A transaction that passed every check.
#[derive(Debug, Clone, Default)]
pub struct Commit {
    /// Changed rows, by table, then in the order of the first touch.
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
            }
            rows.retain(|_, entry| entry.written);
            table.order.retain(|uuid| rows.contains_key(uuid));
        }
        self.tables.retain(|_, table| !table.rows.is_empty());
    }

    pub(super) fn into_commit(mut self, versions: &mut UuidSource) -> Option<Commit> {
        let mut commit = Commit { comment: self.comments.join("\n"), durable: self.durable, ..Commit::default() };
        for (&table, rows) in &mut self.tables {
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
                commit.changes.push(RowChange { table, uuid: *uuid, old: entry.old, new, columns });
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
        use std::fmt::Write;
        let mut out = String::with_capacity(128 + 128 * self.changes.len().min(10_000));
        let _ = write!(out, "{{\"_date\":{wall_ms}");
        let mut open_table = None;
        for change in &self.changes {
            let schema = &db.tables[change.table].schema;
            let mut text = String::new();
            if !write_row(change, schema, diff, &mut text) {
                continue;
            }
            if open_table == Some(change.table) {
                out.push(',');
            } else {
                if open_table.is_some() {
                    out.push('}');
                }
                out.push(',');
                write_string(&mut out, &schema.name);
                out.push_str(":{");
                open_table = Some(change.table);
            }
            out.push('"');
            change.uuid.write(&mut out);
            out.push_str("\":");
            out.push_str(&text);
        }
        open_table?;
        out.push('}');
        if !self.comment.is_empty() {
            out.push_str(",\"_comment\":");
            write_string(&mut out, &self.comment);
        }
        out.push_str(if diff { ",\"_is_diff\":true}" } else { "}" });
        Some(out)
    }
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

/// Appends `<row-txn>`; false when nothing of it belongs in a log.
fn write_row(change: &RowChange, schema: &TableSchema, diff: bool, out: &mut String) -> bool {
    let Some(new) = &change.new else {
        out.push_str("null");
        return true;
    };
    out.push('{');
    let mut any = false;
    for (column, spec) in schema.own_columns().filter(|(_, spec)| spec.persistent) {
        let value = match &change.old {
            None if new.field(column).is_default(&spec.ty) => continue,
            None => new.field(column).clone(),
            Some(_) if !change.changes(column) => continue,
            Some(_) if !diff => new.field(column).clone(),
            Some(old) => old.field(column).diff(new.field(column), &spec.ty),
        };
        if any {
            out.push(',');
        }
        any = true;
        write_string(out, &spec.name);
        out.push(':');
        value.write_json(spec.is_map(), out);
    }
    out.push('}');
    any || change.old.is_none()
}
