//! `backup` and `restore`: a database's contents as a database file.

use super::selection::{self, Selection};
use super::{Context, Outcome, schema};
use cli::program::print;
use ovsdb::database::Table;
use ovsdb::log::{Faults, MemoryStorage, encode, open_database};
use ovsdb::{Atom, ColumnSchema, Database, DatabaseSchema, Datum, UuidSource};
use serde_json::{Map, Value, json};
use std::io::{IsTerminal, Read};

/// All columns that live in files, and the rows' identities before them.
fn persistent(schema: &DatabaseSchema) -> Vec<Selection> {
    let tables = schema.tables.values().map(|table| {
        let own = table.own_columns().map(|(_, column)| column).filter(|column| column.persistent);
        let columns = table.column("_uuid").into_iter().chain(own).cloned().collect();
        Selection::new(table, columns)
    });
    tables.collect()
}

pub(super) fn backup(ctx: &mut Context<'_>, _: &[String]) -> Outcome<()> {
    if std::io::stdout().is_terminal() {
        return Err("not writing backup to a terminal; please redirect stdout to a file".into());
    }
    let database = ctx.database.clone();
    let schema = schema::fetch(ctx, &database)?;
    let mut selections = persistent(&schema);
    selection::fetch(ctx, &mut selections)?;
    let mut record = Map::new();
    for selection in &selections {
        let rows = selection.rows.iter().map(|row| row_record(row, &selection.columns));
        let rows: Map<String, Value> = rows.collect();
        if !rows.is_empty() {
            record.insert(selection.table.name.to_string(), Value::Object(rows));
        }
    }
    let now_ms = u64::try_from(cli::clock::wall().as_millis()).unwrap_or(0);
    record.insert("_date".into(), json!(now_ms));
    record.insert("_comment".into(), json!("produced by \"ovsdb-client backup\""));
    record.insert("_is_diff".into(), json!(true));
    for text in [schema.to_text(), jsonrpc::text::to_text(&Value::Object(record))] {
        print(&String::from_utf8_lossy(&encode(&text)));
    }
    Ok(())
}

fn row_record(row: &[Datum], columns: &[std::sync::Arc<ColumnSchema>]) -> (String, Value) {
    let uuid = row.first().and_then(Datum::as_uuid).unwrap_or_default().to_string();
    let mut members = Map::new();
    for (datum, column) in row.iter().zip(columns).skip(1) {
        members.insert(column.name.to_string(), datum.to_json(column.is_map()));
    }
    (uuid, Value::Object(members))
}

pub(super) fn restore(ctx: &mut Context<'_>, _: &[String]) -> Outcome<()> {
    let mut stdin = std::io::stdin();
    if stdin.is_terminal() {
        return Err("not reading backup from a terminal; please redirect stdin from a file".into());
    }
    let mut bytes = Vec::new();
    stdin.read_to_end(&mut bytes).map_err(|error| format!("/dev/stdin: read failed ({error})"))?;
    let mut source = UuidSource::new(1);
    let opened = open_database(Box::new(MemoryStorage::new(bytes)), Faults::End, &mut source)
        .map_err(|error| named_stdin(&error.to_string()))?;
    if let Some(fault) = opened.warning {
        return Err(named_stdin(&fault.to_string()));
    }
    let database = ctx.database.clone();
    let schema = schema::fetch(ctx, &database)?;
    check_schema(ctx, &opened.db.schema, &schema)?;
    // By the name that the backup has, for which the server may have no database.
    let mut params = vec![json!(&*opened.db.schema.name)];
    // Tables that only the server has stay as they are.
    for table in opened.db.tables() {
        params.push(json!({"op": "delete", "table": &*table.schema.name, "where": []}));
        push_rows(&opened.db, table, &mut params);
    }
    let reply = ctx.call("transact", params)?;
    for result in reply.as_array().into_iter().flatten() {
        if result.get("error").is_some_and(|error| !error.is_null()) {
            return Err(format!("server returned error reply: {}", cli::json::text(result, false)));
        }
    }
    Ok(())
}

/// Errors of a log in memory name it so; what was read is standard input.
fn named_stdin(text: &str) -> String {
    text.replace("memory:", "/dev/stdin:")
}

fn check_schema(ctx: &Context<'_>, backup: &DatabaseSchema, now: &DatabaseSchema) -> Outcome<()> {
    if !backup.needs_conversion(now) {
        return Ok(());
    }
    let text = if backup.version == now.version {
        format!("backup schema and database schema are both version {} but still differ", now.version)
    } else {
        format!("backup schema has version \"{}\" but database schema has version \"{}\"", backup.version, now.version)
    };
    if ctx.force {
        vlog::info!("ovsdb_client", "{text}");
        return Ok(());
    }
    Err(format!("{text} (use --force to override differences, or \"ovsdb-client convert\" to change the schema)"))
}

/// One insertion a row. Clients cannot choose identities, so rows refer to each other by names.
fn push_rows(db: &Database, table: &Table, params: &mut Vec<Value>) {
    for row in table.rows() {
        let mut members = Map::new();
        for (index, column) in table.schema.own_columns().filter(|(_, column)| column.persistent) {
            let datum = row.field(index);
            if !datum.is_default(&column.ty) {
                members.insert(column.name.to_string(), with_names(db, datum, column));
            }
        }
        let name = name_of(&Atom::Uuid(row.uuid));
        params.push(json!({"op": "insert", "table": &*table.schema.name, "uuid-name": name, "row": members}));
    }
}

fn name_of(atom: &Atom) -> String {
    format!("row{}", atom.to_cli_string().replace('-', "_"))
}

fn with_names(db: &Database, datum: &Datum, column: &ColumnSchema) -> Value {
    let exists =
        |atom: &Atom| atom.as_uuid().is_some_and(|uuid| db.tables().iter().any(|table| table.row(&uuid).is_some()));
    let atom_json = |atom: &Atom, base: &ovsdb::BaseType| {
        if base.reference().is_some() && exists(atom) { json!(["named-uuid", name_of(atom)]) } else { atom.to_json() }
    };
    if let Some(value_base) = &column.ty.value {
        let pairs = datum.pairs().iter();
        let pairs: Vec<Value> =
            pairs.map(|(k, v)| json!([atom_json(k, &column.ty.key), atom_json(v, value_base)])).collect();
        return json!(["map", pairs]);
    }
    let atoms: Vec<Value> = datum.atoms().iter().map(|atom| atom_json(atom, &column.ty.key)).collect();
    if let [atom] = &*atoms { atom.clone() } else { json!(["set", atoms]) }
}
