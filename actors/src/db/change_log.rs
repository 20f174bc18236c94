//! What the log is told of a database: row changes, where `ovsdb-server/tlog-set` asks for them, one line a row; tables of
//! roles at fault.

use ovsdb::rbac::Note;
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

/// Logs what is wrong with the tables of roles: each kind of thing once a minute.
pub(super) fn tell_of_roles(note: &Note) {
    match note {
        Note::NoRole(_) => vlog::info_rl!("ovsdb_rbac", 1, 1, "{note}"),
        Note::NoPermissions => vlog::info_rl!("ovsdb_rbac", 1, 1, "{note}"),
        Note::NoAuthorization => vlog::info_rl!("ovsdb_rbac", 1, 1, "{note}"),
        Note::NoUpdate => vlog::info_rl!("ovsdb_rbac", 1, 1, "{note}"),
        Note::NoMutate => vlog::info_rl!("ovsdb_rbac", 1, 1, "{note}"),
    }
}
