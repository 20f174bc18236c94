//! From `<table-updates>` and `<table-updates2>` of a source to a commit.

use serde_json::{Map, Value};

use crate::database::{Database, TableId};
use crate::datum::Datum;
use crate::error::{OvsdbError, Result};
use crate::row::Row;
use crate::txn::{Commit, Txn};
use crate::uuid::{Uuid, UuidSource};

/// The commit that brings `db` where the updates say its source is. With `reset`, rows that are not
/// in the updates go, except those of tables that `keep` names. With `checked`, it keeps to `db`'s own
/// constraints: its garbage goes, and what they forbid is an error. `None`: nothing changes.
pub fn apply_updates(
    db: &Database,
    updates: &Value,
    reset: bool,
    checked: bool,
    keep: &dyn Fn(&str) -> bool,
    source: &mut UuidSource,
) -> Result<Option<Commit>> {
    let Some(tables) = updates.as_object() else {
        return Err(OvsdbError::syntax("<table-updates> is not an object"));
    };
    let mut txn = Txn::new(db);
    if reset {
        for (id, table) in db.tables().iter().enumerate() {
            if keep(&table.schema.name) {
                continue;
            }
            let fresh = tables.get(&*table.schema.name).and_then(Value::as_object);
            for row in table.rows() {
                if !fresh.is_some_and(|rows| rows.contains_key(&row.uuid.to_string())) {
                    txn.delete(id, row.uuid);
                }
            }
        }
    }
    for (name, rows) in tables {
        let Some(id) = db.table_id(name) else {
            return Err(OvsdbError::new("unknown table", format!("unknown table {name}")));
        };
        let Some(rows) = rows.as_object() else {
            return Err(OvsdbError::syntax("<table-update> for table is not object"));
        };
        for (uuid, update) in rows {
            let Some(uuid) = Uuid::parse(uuid) else {
                let within = Value::Object(rows.clone());
                return Err(OvsdbError::new("bad row UUID", "<table-update> names must be UUIDs").within(&within));
            };
            let Some(update) = update.as_object() else {
                return Err(OvsdbError::syntax("<row-update> is not object"));
            };
            apply_row(&mut txn, id, uuid, update)?;
        }
    }
    if checked { txn.prepare(source) } else { Ok(txn.prepare_unchecked(source)) }
}

fn apply_row(txn: &mut Txn<'_>, table: TableId, uuid: Uuid, update: &Map<String, Value>) -> Result<()> {
    let object = |name: &str| update.get(name).and_then(Value::as_object);
    if let Some(row) = object("initial").or_else(|| object("insert")) {
        return put(txn, table, uuid, row, true, false);
    }
    if let Some(row) = object("modify") {
        return put(txn, table, uuid, row, false, true);
    }
    if let Some(row) = object("new") {
        return put(txn, table, uuid, row, !update.contains_key("old"), false);
    }
    if update.contains_key("delete") || update.contains_key("old") {
        txn.delete(table, uuid);
        return Ok(());
    }
    Err(OvsdbError::syntax("<row-update> missing \"old\" and \"new\" members"))
}

/// Sets columns of a row, which is made if it is missing; with `fresh` the other columns have their
/// defaults, with `diff` the values are differences.
fn put(
    txn: &mut Txn<'_>,
    table: TableId,
    uuid: Uuid,
    members: &Map<String, Value>,
    fresh: bool,
    diff: bool,
) -> Result<()> {
    let schema = std::sync::Arc::clone(&txn.database().table_at(table).schema);
    let known = txn.row(table, &uuid).cloned();
    if known.is_none() && diff {
        let details = format!("cannot modify missing row {uuid} from table {}", schema.name);
        return Err(OvsdbError::new("consistency violation", details));
    }
    let mut row = match (&known, fresh) {
        (Some(row), false) => Row::clone(row),
        _ => Row::new(uuid, &schema),
    };
    for (name, value) in members {
        let Some(column) = schema.column_index(name).filter(|column| *column > 1) else {
            if name == "_uuid" || name == "_version" {
                continue;
            }
            let details = format!("No column {name} in table {}.", schema.name);
            return Err(OvsdbError::new("unknown column", details).within(&Value::Object(members.clone())));
        };
        let ty = &schema.columns[column].ty;
        let value = Datum::from_trusted_json(value, ty)?;
        let value = if diff { row.field(column).apply_diff(&value, ty) } else { value };
        row.set(column, value);
    }
    match (known, txn.modify(table, uuid)) {
        (Some(_), Some(entry)) => entry.fields = row.fields,
        _ => txn.insert(table, row),
    }
    Ok(())
}
