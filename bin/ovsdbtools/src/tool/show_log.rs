//! `show-log`: the records of a database's log, for people.

use super::{Context, Outcome, db_file};
use cli::program::print;
use ovsdb::log::{FileStorage, Reader, Storage};
use ovsdb::turn::members_in_turn;
use ovsdb::{DatabaseSchema, Datum, TableSchema};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// The names of rows seen so far, by identity.
type Names = BTreeMap<String, String>;

/// Dates below this count seconds, as those of old logs, others milliseconds.
const SECONDS_BELOW: i64 = i32::MAX as i64;

pub(super) fn show_log(ctx: &mut Context<'_>, args: &[String]) -> Outcome<i32> {
    let path = db_file(args, 0);
    let storage = FileStorage::open_read_only(Path::new(&path)).map_err(|error| error.to_string())?;
    let input = storage.reader().map_err(|error| format!("{path}: read failed ({error})"))?;
    let mut reader = Reader::new(input, &path);
    let mut schema: Option<DatabaseSchema> = None;
    let mut names = Names::new();
    let mut number = 0;
    loop {
        let record = match reader.next_record() {
            Ok(Some(record)) => record,
            Ok(None) if schema.is_none() => {
                return Err(format!("ovsdb error: {path}: cannot identify file type"));
            }
            Ok(None) => return Ok(0),
            Err(fault) => return Err(fault.error.to_string()),
        };
        print(&format!("record {number}:"));
        let mut out = String::new();
        match &schema {
            None => {
                let read = DatabaseSchema::from_json(&record.json).map_err(|error| error.to_string())?;
                out.push_str(&format!(
                    " \"{}\" schema, version=\"{}\", cksum=\"{}\"\n\n",
                    read.name, read.version, read.cksum
                ));
                schema = Some(read);
            }
            Some(schema) => show_record(ctx.more, schema, &record.json, &mut names, &mut out),
        }
        print(&out);
        number += 1;
    }
}

fn show_record(more: usize, schema: &DatabaseSchema, json: &Value, names: &mut Names, out: &mut String) {
    if let Some(date) = json.get("_date").and_then(Value::as_i64) {
        let ms = if date < SECONDS_BELOW { date.saturating_mul(1000) } else { date };
        out.push_str(&format!(" {}", cli::clock::utc_text(Duration::from_millis(ms.max(0) as u64))));
    }
    if let Some(comment) = json.get("_comment").and_then(Value::as_str) {
        out.push_str(&format!(" \"{comment}\""));
    }
    out.push('\n');
    if more == 0 {
        return;
    }
    let mut told = false;
    let is_diff = json.get("_is_diff").and_then(Value::as_bool).unwrap_or(false);
    for (table, rows) in json.as_object().map(members_in_turn).into_iter().flatten() {
        if table.starts_with('_') {
            continue;
        }
        let Some(rows) = rows.as_object() else { continue };
        told = true;
        let schema = schema.table(table).map(|table| &**table);
        for (uuid, row) in members_in_turn(rows) {
            show_row(more, (table, schema), uuid, row, is_diff, names, out);
        }
    }
    if told {
        out.push('\n');
    }
}

/// The name of a row, if its record tells it.
fn name_in(row: &Map<String, Value>) -> Option<String> {
    row.get("name").map(|name| cli::json::text(name, false))
}

fn show_row(
    more: usize,
    (table, schema): (&str, Option<&TableSchema>),
    uuid: &str,
    row: &Value,
    is_diff: bool,
    names: &mut Names,
    out: &mut String,
) {
    let short = uuid.chars().take(8).collect::<String>();
    let columns = row.as_object();
    let named = columns.and_then(name_in);
    let diff = if is_diff { " diff" } else { "" };
    let known = names.get(uuid);
    match (known, &named) {
        (Some(name), _) => out.push_str(&format!("  table {table} row {name} ({short}){diff}:\n")),
        (None, Some(name)) => out.push_str(&format!("  table {table} insert row {name} ({short}):\n")),
        (None, None) => out.push_str(&format!("  table {table} insert row {short}:\n")),
    }
    if row.is_null() {
        out.push_str("    delete row\n");
        names.remove(uuid);
        return;
    }
    // What is no row has no name from then on either.
    if let Some(name) = named.or_else(|| (columns.is_some() && known.is_none()).then_some(short)) {
        names.insert(uuid.to_owned(), name);
    }
    let Some(columns) = columns else { return };
    if more < 2 {
        return;
    }
    for (name, value) in members_in_turn(columns) {
        let column = schema.and_then(|schema| schema.column(name));
        let text = column.and_then(|column| {
            let datum = Datum::from_json(value, &column.ty, None).ok()?;
            Some(datum.to_cli_string(&column.ty))
        });
        out.push_str(&format!("    {name}={}\n", text.unwrap_or_else(|| cli::json::text(value, false))));
    }
}
