//! Conversion of a database from one schema to another (ovsdb-server(7) section 4.1.19): tables and
//! columns that the new schema lacks are dropped, new ones have their defaults, and every
//! constraint of the new schema has to hold.

use std::sync::Arc;

use crate::database::Database;
use crate::datum::Datum;
use crate::error::Result;
use crate::row::Row;
use crate::schema::{DatabaseSchema, TableSchema};
use crate::txn::{Commit, Txn};
use crate::uuid::{Uuid, UuidSource};

/// The contents of `db` under `schema`.
pub fn convert(db: &Database, schema: Arc<DatabaseSchema>, source: &mut UuidSource) -> Result<Database> {
    let mut new = Database::new(schema);
    if let Some(commit) = converted_rows(db, &new, source)? {
        new.apply_changes(&commit);
    }
    Ok(new)
}

fn converted_rows(db: &Database, target: &Database, source: &mut UuidSource) -> Result<Option<Commit>> {
    let mut txn = Txn::new(target);
    for old_table in db.tables() {
        let Some(id) = target.table_id(&old_table.schema.name) else { continue };
        let schema = Arc::clone(&target.table_at(id).schema);
        for old in old_table.rows() {
            let row = convert_row(old, &old_table.schema, &schema)?;
            txn.insert(id, row);
        }
    }
    txn.prepare(source)
}

fn convert_row(old: &Row, from: &TableSchema, to: &TableSchema) -> Result<Row> {
    let mut row = Row::new(old.uuid, to);
    row.version = Uuid::ZERO;
    for (column, spec) in to.own_columns() {
        let Some(old_column) = from.column_index(&spec.name) else {
            row.field(column).check_atoms(&spec.ty)?;
            continue;
        };
        let old_spec = &from.columns[old_column];
        let value = old.field(old_column);
        if old_spec.ty == spec.ty {
            row.set(column, value.clone());
        } else {
            let json = value.to_json(old_spec.is_map());
            row.set(column, Datum::from_json(&json, &spec.ty, None)?);
        }
    }
    Ok(row)
}
