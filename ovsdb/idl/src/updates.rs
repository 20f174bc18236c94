//! Applying `<table-updates>` (RFC 7047 section 4.1.6) and `<table-updates2>` (ovsdb-server(7)) to a
//! replica. An update that does not fit the replica is an error: the two have come apart.

use crate::change::Changes;
use crate::client::ClientError;
use crate::replica::Replica;
use crate::row::Row;
use ovsdb::{Datum, TableSchema, Uuid};
use serde_json::{Map, Value};
use std::sync::Arc;

/// Which of the two forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// `{"old": row, "new": row}`.
    Whole,
    /// `{"initial" | "insert" | "modify" | "delete": row}`.
    Differences,
}

type Result<T> = std::result::Result<T, ClientError>;

fn bad(text: impl Into<String>) -> ClientError {
    ClientError::Inconsistent(text.into())
}

/// Applies all updates. With `replace` they are the whole contents: rows not named go away.
pub(crate) fn apply(
    replica: &mut Replica,
    updates: &Value,
    form: Form,
    replace: bool,
    changes: &mut Changes,
) -> Result<()> {
    let tables = updates.as_object().ok_or_else(|| bad("<table-updates> is not an object"))?;
    if replace {
        for (table, uuid) in replica.identities() {
            let named = tables.get(&*table).is_some_and(|rows| rows.get(uuid.to_string()).is_some());
            if !named {
                replica.put(&table, uuid, None, changes);
            }
        }
    }
    for (name, rows) in tables {
        let table = replica
            .schema()
            .table(name)
            .cloned()
            .ok_or_else(|| bad(format!("<table-updates> includes unknown table \"{name}\"")))?;
        let rows =
            rows.as_object().ok_or_else(|| bad(format!("<table-update> for table \"{name}\" is not an object")))?;
        for (uuid, update) in rows {
            let uuid = Uuid::parse(uuid)
                .ok_or_else(|| bad(format!("<table-update> for table \"{name}\" contains bad UUID \"{uuid}\"")))?;
            let update =
                update.as_object().ok_or_else(|| bad(format!("<row-update> in table \"{name}\" is not an object")))?;
            match form {
                Form::Whole => apply_whole(replica, &table, uuid, update, replace, changes)?,
                Form::Differences => apply_difference(replica, &table, uuid, update, replace, changes)?,
            }
        }
    }
    Ok(())
}

fn apply_whole(
    replica: &mut Replica,
    table: &Arc<TableSchema>,
    uuid: Uuid,
    update: &Map<String, Value>,
    replace: bool,
    changes: &mut Changes,
) -> Result<()> {
    let row = match update.get("new") {
        None => None,
        Some(new) => {
            let old = replica.row(&table.name, uuid).filter(|_| !replace);
            let mut row = old.map_or_else(|| Row::new(table.clone(), uuid), |row| Row::clone(row));
            for (column, datum) in columns(table, new)? {
                row.set(column, datum);
            }
            Some(row)
        }
    };
    replica.put(&table.name, uuid, row, changes);
    Ok(())
}

fn apply_difference(
    replica: &mut Replica,
    table: &Arc<TableSchema>,
    uuid: Uuid,
    update: &Map<String, Value>,
    replace: bool,
    changes: &mut Changes,
) -> Result<()> {
    let Some((kind, body)) = update.iter().next() else {
        return Err(bad("<row-update2> has no member"));
    };
    let old = replica.row(&table.name, uuid).cloned();
    let row = match (kind.as_str(), old) {
        ("delete", Some(_)) => None,
        ("initial" | "insert", old) => {
            if old.is_some() && !replace {
                return Err(bad(format!("cannot add existing row {uuid} to table {}", table.name)));
            }
            let mut row = Row::new(table.clone(), uuid);
            for (column, datum) in columns(table, body)? {
                row.set(column, datum);
            }
            Some(row)
        }
        ("modify", Some(old)) => {
            let mut row = Row::clone(&old);
            for (column, diff) in columns(table, body)? {
                let value = old.at(column).apply_diff(&diff, &table.columns[column].ty);
                row.set(column, value);
            }
            Some(row)
        }
        ("delete" | "modify", None) => {
            return Err(bad(format!("cannot {kind} missing row {uuid} in table {}", table.name)));
        }
        (other, _) => return Err(bad(format!("<row-update2> has unknown member \"{other}\""))),
    };
    replica.put(&table.name, uuid, row, changes);
    Ok(())
}

/// The columns of a `<row>`. Columns that the schema lacks are passed over.
fn columns(table: &TableSchema, row: &Value) -> Result<Vec<(usize, Datum)>> {
    let row = row.as_object().ok_or_else(|| bad("<row> is not an object"))?;
    let mut out = Vec::with_capacity(row.len());
    for (name, value) in row {
        let Some(index) = table.column_index(name) else { continue };
        let datum = Datum::from_trusted_json(value, &table.columns[index].ty)
            .map_err(|error| bad(format!("error parsing column {name} in table {}: {error}", table.name)))?;
        out.push((index, datum));
    }
    Ok(out)
}
