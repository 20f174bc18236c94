//! References from the command line into a database: `db:DATABASE,TABLE,COLUMN`.
//!
//! A remote's reference leads to names of remotes, or to rows (of a table such as Manager) that hold a
//! `target` and more; an option's leads to one string. Source: ovsdb-server(1), `--remote`.

use super::letters::RemoteOptions;
use ovsdb::database::{Database, Table, TableId};
use ovsdb::row::Row;
use ovsdb::server::Server;
use ovsdb::turn::turn_of;
use ovsdb::{Atom, AtomicType, Uuid};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A column found by its reference.
pub(super) struct Column<'a> {
    pub db: &'a Database,
    pub table: &'a Table,
    pub column: usize,
}

/// Follows `reference`, the part after `db:`. The error is Open vSwitch's text.
pub(super) fn find<'a>(server: &'a Server, name: &str, reference: &str) -> Result<Column<'a>, String> {
    // What follows the third word is of no meaning.
    let parts: Vec<&str> = reference.split(',').collect();
    let [db_name, table_name, column_name, ..] = parts[..] else {
        return Err(format!("\"{name}\": invalid syntax"));
    };
    let db = server.db(db_name).ok_or_else(|| format!("\"{name}\": no database named {db_name}"))?;
    let table = db.table(table_name).ok_or_else(|| format!("\"{name}\": no table named {table_name}"))?;
    let column = table
        .schema
        .column_index(column_name)
        .ok_or_else(|| format!("\"{name}\": table \"{table_name}\" has no column \"{column_name}\""))?;
    Ok(Column { db, table, column })
}

/// As [`find`] does; `None` as long as a relay has not heard of its database's schema.
fn find_known<'a>(server: &'a Server, name: &str, reference: &str) -> Result<Option<Column<'a>>, String> {
    let parts: Vec<&str> = reference.split(',').collect();
    match find(server, name, reference) {
        Err(_) if parts.len() > 2 && server.awaits_schema(parts[0]) => Ok(None),
        found => found.map(Some),
    }
}

/// The tables that references lead to, as they are at a time.
pub(super) struct Footing {
    replacements: u64,
    tables: Vec<(String, TableId, u64)>,
}

impl Footing {
    /// What is read when these names are followed.
    pub(super) fn of<'n>(server: &Server, names: impl Iterator<Item = &'n str>) -> Footing {
        let mut tables: Vec<(String, TableId, u64)> = Vec::new();
        for name in names {
            let Some(path) = name.strip_prefix("db:") else { continue };
            let Ok(Column { db, table, column }) = find(server, name, path) else { continue };
            let db_name = path.split(',').next().unwrap_or_default();
            let referred = table.schema.columns[column].ty.key.reference().map(|reference| &*reference.table);
            for id in [Some(&*table.schema.name), referred].into_iter().flatten().filter_map(|name| db.table_id(name)) {
                let one = (db_name.to_owned(), id, db.table_at(id).revision());
                if !tables.contains(&one) {
                    tables.push(one);
                }
            }
        }
        Footing { replacements: server.replacements(), tables }
    }

    /// Whether all that was read still is so.
    pub(super) fn stands(&self, server: &Server) -> bool {
        let same = |(db, id, revision): &(String, TableId, u64)| {
            server.db(db).is_some_and(|db| db.table_at(*id).revision() == *revision)
        };
        self.replacements == server.replacements() && self.tables.iter().all(same)
    }
}

/// Judges a remote's reference without reading through it.
pub(super) fn check_remote(server: &Server, name: &str) -> Result<(), String> {
    let Some(reference) = name.strip_prefix("db:") else {
        return Ok(());
    };
    find(server, name, reference).map(|_| ())
}

/// Judges a remote's reference from the command line: of a relay's database nothing may be known yet.
pub(super) fn check_first_remote(server: &Server, name: &str) -> Result<(), String> {
    name.strip_prefix("db:").map_or(Ok(()), |reference| find_known(server, name, reference).map(|_| ()))
}

/// What is wrong with references: the log is told when that changes.
#[derive(Default)]
pub(super) struct Complaint(String);

impl Complaint {
    pub fn tell(&mut self, faults: &[String]) {
        let text = faults.join("\n");
        if text != self.0 && !text.is_empty() {
            vlog::warn!("ovsdb_server", "{text}");
        }
        self.0 = text;
    }
}

/// The remotes that `names` lead to, each with how it is to be treated, and what is wrong with names: in the turn
/// of a hash table that the names were put into in their order.
pub(super) fn read_remotes(
    server: &Server,
    names: &BTreeSet<String>,
) -> (BTreeMap<String, RemoteOptions>, Vec<String>) {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (mut remotes, mut faults) = (BTreeMap::new(), Vec::new());
    for at in turn_of(&names) {
        faults.extend(read_remote(server, names[at], &mut remotes).err());
    }
    (remotes, faults)
}

fn read_remote(server: &Server, name: &str, into: &mut BTreeMap<String, RemoteOptions>) -> Result<(), String> {
    let Some(reference) = name.strip_prefix("db:") else {
        into.insert(name.to_owned(), RemoteOptions::for_target(name));
        return Ok(());
    };
    let Some(found) = find_known(server, name, reference)? else { return Ok(()) };
    let schema = &found.table.schema.columns[found.column];
    if schema.ty.key.kind == AtomicType::String {
        for row in found.table.rows() {
            for target in row.get(found.column).keys().filter_map(Atom::as_str) {
                into.insert(target.to_owned(), RemoteOptions::for_target(target));
            }
        }
        return Ok(());
    }
    let Some(referred) = schema.ty.key.reference().and_then(|r| found.db.table(&r.table)) else {
        return Ok(());
    };
    for row in found.table.rows() {
        for uuid in row.get(found.column).keys().filter_map(Atom::as_uuid) {
            if let Some(row) = referred.row(&uuid) {
                read_remote_row(referred, row, into);
            }
        }
    }
    Ok(())
}

/// Every row the remotes' references lead to, with its target: where status goes.
pub(super) fn remote_rows<'a>(server: &'a Server, name: &str) -> Vec<(&'a Database, &'a Table, Uuid, String)> {
    let Some(reference) = name.strip_prefix("db:") else {
        return Vec::new();
    };
    let Ok(found) = find(server, name, reference) else {
        return Vec::new();
    };
    let Some(referred) =
        found.table.schema.columns[found.column].ty.key.reference().and_then(|r| found.db.table(&r.table))
    else {
        return Vec::new();
    };
    let mut rows = Vec::new();
    for row in found.table.rows() {
        for uuid in row.get(found.column).keys().filter_map(Atom::as_uuid) {
            if let Some(target) = referred.row(&uuid).and_then(|row| text_of(referred, row, "target")) {
                rows.push((found.db, referred, uuid, target));
            }
        }
    }
    rows
}

fn text_of(table: &Table, row: &Arc<Row>, column: &str) -> Option<String> {
    let index = table.schema.column_index(column)?;
    row.get(index).as_str().map(str::to_owned)
}

fn read_remote_row(table: &Table, row: &Arc<Row>, into: &mut BTreeMap<String, RemoteOptions>) {
    let column = |name: &str| table.schema.column_index(name).map(|index| row.get(index));
    let Some(target) = text_of(table, row, "target").filter(|t| !t.is_empty()) else {
        vlog::info_rl!("ovsdb_server", 1, 1, "Table `{}' has missing or invalid `target' column", table.schema.name);
        return;
    };
    let mut options = RemoteOptions::for_target(&target);
    let number = |name: &str| column(name).and_then(|d| d.as_integer()).and_then(|n| u64::try_from(n).ok());
    if let Some(ms) = number("max_backoff") {
        options.max_backoff_ms = ms;
    }
    if let Some(ms) = number("inactivity_probe") {
        options.probe_ms = ms;
    }
    if let Some(read_only) = column("read_only").and_then(|d| d.as_bool()) {
        options.read_only = read_only;
    }
    options.role = text_of(table, row, "role").filter(|r| !r.is_empty());
    if let Some(config) = column("other_config")
        && let Some(dscp) = config.get_str("dscp").and_then(|t| t.parse::<u8>().ok()).filter(|d| *d < 64)
    {
        options.dscp = dscp;
    }
    into.insert(target, options);
}

/// The string an option's reference leads to: the first row whose column holds one.
pub(super) fn read_string(server: &Server, name: &str) -> Result<Option<String>, String> {
    let Some(reference) = name.strip_prefix("db:") else {
        return Ok(Some(name.to_owned()));
    };
    let Some(found) = find_known(server, name, reference)? else { return Ok(None) };
    if found.table.schema.columns[found.column].ty.key.kind != AtomicType::String {
        return Err(format!(
            "\"{name}\": table \"{}\" column \"{}\" is not string or set of strings",
            found.table.schema.name, found.table.schema.columns[found.column].name
        ));
    }
    let mut values = found.table.rows().filter_map(|row| {
        let datum = row.get(found.column);
        datum.keys().find_map(Atom::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
    });
    Ok(values.next())
}
