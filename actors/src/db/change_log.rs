//! The log of row changes that `ovsdb-server/tlog-set` turns on: one line a changed row.

use ovsdb::server::Server;
use ovsdb::{Row, TableSchema};
use std::collections::BTreeSet;
use std::fmt::Write;

/// Logs what was committed to the tables of `logged` (database and table) since the last call.
pub(super) fn tell(server: &mut Server, logged: &BTreeSet<(String, String)>) {
    for (db, commit) in server.take_commits() {
        let Some(contents) = server.db(&db) else {
            continue;
        };
        for change in &commit.changes {
            let schema = &contents.table_at(change.table).schema;
            if !logged.contains(&(db.to_string(), schema.name.to_string())) {
                continue;
            }
            let (op, row) = match (&change.old, &change.new) {
                (None, Some(new)) => ("inserted", new),
                (Some(_), Some(new)) => ("updated", new),
                (Some(old), None) => ("deleted", old),
                (None, None) => continue,
            };
            vlog::info!("transaction", "{}", line(schema, op, row));
        }
    }
}

fn line(schema: &TableSchema, op: &str, row: &Row) -> String {
    let mut out = format!("table:{},op:{op}", schema.name);
    for (index, column) in schema.columns.iter().enumerate() {
        let _ = write!(out, ",{}:{}", column.name, row.get(index).to_cli_string(&column.ty));
    }
    out
}
