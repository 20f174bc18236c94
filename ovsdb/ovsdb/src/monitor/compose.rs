//! The texts of `<table-updates>` and `<table-updates2>`.

use std::collections::BTreeMap;
use std::sync::Arc;

use jsonrpc::text::write_string;

use super::request::{Select, Shape, TableShape, Version};
use crate::database::{Database, TableId};
use crate::row::Row;
use crate::schema::TableSchema;
use crate::txn::Commit;
use crate::uuid::Uuid;

/// Writes one object of tables with one object of rows each.
struct Updates<'a> {
    out: String,
    db: &'a Database,
    open: Option<TableId>,
}

impl<'a> Updates<'a> {
    fn new(db: &'a Database) -> Self {
        Updates { out: String::from("{"), db, open: None }
    }

    /// Adds a row's update, the text that `write` appends, unless `write` says there is none.
    fn row(&mut self, table: TableId, uuid: Uuid, write: impl FnOnce(&mut String) -> bool) {
        let start = self.out.len();
        if self.open == Some(table) {
            self.out.push(',');
        } else {
            if self.open.is_some() {
                self.out.push_str("},");
            }
            write_string(&mut self.out, &self.db.table_at(table).schema.name);
            self.out.push_str(":{");
        }
        self.out.push('"');
        uuid.write(&mut self.out);
        self.out.push_str("\":");
        if write(&mut self.out) {
            self.open = Some(table);
        } else {
            self.out.truncate(start);
        }
    }

    fn finish(mut self) -> Option<String> {
        self.open?;
        self.out.push_str("}}");
        Some(self.out)
    }
}

/// The rows of one table that a new monitor begins with, as a member of `<table-updates>`; `None` when there are none.
#[must_use]
pub fn initial_rows(db: &Database, wanted: &TableShape, version: Version) -> Option<String> {
    let table = db.table_at(wanted.table);
    let mut updates = Updates { out: String::new(), db, open: None };
    for row in table.rows().filter(|row| wanted.select.has(Select::INITIAL) && matches(wanted, version, row)) {
        updates.row(wanted.table, row.uuid, |out| {
            write_change(wanted, version, &table.schema, None, Some(row), true, out)
        });
    }
    updates.open?;
    updates.out.push('}');
    Some(updates.out)
}

/// What a commit means to a monitor; `None` when nothing.
#[must_use]
pub fn update(db: &Database, shape: &Shape, commit: &Commit) -> Option<String> {
    let mut updates = Updates::new(db);
    for change in &commit.changes {
        let Some(wanted) = shape.table(change.table) else { continue };
        let (old, new) = (change.old.as_deref(), change.new.as_deref());
        // Most changes do not touch the columns that are monitored: find that out first.
        if old.is_some() && new.is_some() && !wanted.is_changed_by(|column| change.changes(column)) {
            continue;
        }
        compose(&mut updates, wanted, shape.version, old, new);
    }
    updates.finish()
}

fn compose(updates: &mut Updates<'_>, wanted: &TableShape, version: Version, old: Option<&Row>, new: Option<&Row>) {
    let old = old.filter(|row| version == Version::V1 || wanted.told_by().matches_any(row));
    let new = new.filter(|row| matches(wanted, version, row));
    let Some(uuid) = old.or(new).map(|row| row.uuid) else { return };
    let schema = Arc::clone(&updates.db.table_at(wanted.table).schema);
    updates.row(wanted.table, uuid, |out| write_change(wanted, version, &schema, old, new, false, out));
}

type OldAndNew = (Option<Arc<Row>>, Option<Arc<Row>>);

/// What became of rows in several commits, as if by one.
#[derive(Debug, Default)]
pub struct Changes(BTreeMap<(TableId, Uuid), OldAndNew>);

impl Changes {
    /// Adds a commit that came behind all that were added before, as far as `shape` is concerned.
    pub fn add(&mut self, commit: &Commit, shape: &Shape) {
        for change in commit.changes.iter().filter(|change| shape.table(change.table).is_some()) {
            let pair = self.0.entry((change.table, change.uuid)).or_insert_with(|| (change.old.clone(), None));
            pair.1.clone_from(&change.new);
        }
    }

    /// Whether nothing was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What they mean to a monitor; `None` when nothing.
    #[must_use]
    pub fn update(&self, db: &Database, shape: &Shape) -> Option<String> {
        let mut updates = Updates::new(db);
        for ((table, _), (old, new)) in &self.0 {
            let Some(wanted) = shape.table(*table) else { continue };
            compose(&mut updates, wanted, shape.version, old.as_deref(), new.as_deref());
        }
        updates.finish()
    }
}

/// The changes since a transaction that the client knows, as one update; `None` when the
/// transaction is too old or unknown.
#[must_use]
pub fn changes_since(db: &Database, shape: &Shape, last: Uuid) -> Option<String> {
    if last.is_zero() {
        return None;
    }
    let known = db.history.iter().position(|entry| entry.id == last)?;
    let mut changes = Changes::default();
    for entry in db.history.iter().skip(known + 1) {
        changes.add(&entry.commit, shape);
    }
    Some(changes.update(db, shape).unwrap_or_else(|| "{}".to_owned()))
}

/// What a change of conditions from those of `old` to those of `new` brings and takes; `None` when
/// nothing.
#[must_use]
pub fn condition_update(db: &Database, old: &Shape, new: &Shape) -> Option<String> {
    let mut updates = Updates::new(db);
    for (before, after) in old.tables.iter().zip(&new.tables) {
        if before.told_by() == &after.condition {
            continue;
        }
        let table = db.table_at(after.table);
        for row in table.rows() {
            let (was, is) = (before.told_by().matches_any(row), after.condition.matches_any(row));
            if was == is {
                continue;
            }
            let (from, to) = if is { (None, Some(&**row)) } else { (Some(&**row), None) };
            updates.row(after.table, row.uuid, |out| {
                write_change(after, new.version, &table.schema, from, to, false, out)
            });
        }
    }
    updates.finish()
}

fn matches(wanted: &TableShape, version: Version, row: &Row) -> bool {
    version == Version::V1 || wanted.condition.matches_any(row)
}

/// Appends `<row-update>` or `<row-update2>`; false when the monitor does not want it.
fn write_change(
    wanted: &TableShape,
    version: Version,
    schema: &TableSchema,
    old: Option<&Row>,
    new: Option<&Row>,
    initial: bool,
    out: &mut String,
) -> bool {
    let kind = match (old, new) {
        _ if initial => Select::INITIAL,
        (None, Some(_)) => Select::INSERT,
        (Some(_), None) => Select::DELETE,
        (Some(_), Some(_)) => Select::MODIFY,
        (None, None) => return false,
    };
    if !wanted.select.has(kind) {
        return false;
    }
    let changed = |column: usize| match (old, new) {
        (Some(old), Some(new)) => old.get(column) != new.get(column),
        _ => true,
    };
    if kind == Select::MODIFY && !wanted.is_changed_by(changed) {
        return false;
    }
    let columns = || wanted.columns.iter().filter(|(_, s)| s.has(kind)).map(|(c, _)| *c);
    if version == Version::V1 {
        out.push('{');
        if let Some(old) = old {
            out.push_str("\"old\":");
            let columns: Vec<usize> = columns().filter(|c| changed(*c)).collect();
            old.write_json(&columns, schema, out);
        }
        if let Some(new) = new {
            out.push_str(if old.is_some() { ",\"new\":" } else { "\"new\":" });
            let columns: Vec<usize> = columns().collect();
            new.write_json(&columns, schema, out);
        }
        out.push('}');
        return true;
    }
    write_change2(kind, columns(), schema, old, new, out);
    true
}

/// Appends `<row-update2>` with those of `columns` that differ, or, for a new row, are not default.
fn write_change2(
    kind: Select,
    columns: impl Iterator<Item = usize>,
    schema: &TableSchema,
    old: Option<&Row>,
    new: Option<&Row>,
    out: &mut String,
) {
    let Some(new) = new else {
        out.push_str("{\"delete\":null}");
        return;
    };
    out.push_str(match kind {
        Select::INITIAL => "{\"initial\":{",
        Select::INSERT => "{\"insert\":{",
        _ => "{\"modify\":{",
    });
    let mut first = true;
    for column in columns {
        let spec = &schema.columns[column];
        let value = new.get(column);
        let skip = match old {
            Some(old) => old.get(column) == value,
            None => value.is_default(&spec.ty),
        };
        if skip {
            continue;
        }
        if !first {
            out.push(',');
        }
        first = false;
        write_string(out, &spec.name);
        out.push(':');
        match old {
            Some(old) => {
                old.get(column).diff(&value, &spec.ty).write_json(spec.is_map(), out);
            }
            None => value.write_json(spec.is_map(), out),
        }
    }
    out.push_str("}}");
}
