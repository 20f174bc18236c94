//! `query` and `transact`: a transaction over a file.

use super::create::sync;
use super::{Context, Outcome, db_file, uuid_source, wall_ms};
use crate::files::{parse_json, told};
use cli::program::print;
use ovsdb::OvsdbError;
use ovsdb::execute::{self, Execution};
use ovsdb::log::{Faults, FileStorage, LogDb, open_database};
use ovsdb::rbac::Identity;
use serde_json::Value;
use std::path::Path;

pub(super) fn query(ctx: &mut Context<'_>, args: &[String]) -> Outcome<i32> {
    run(ctx, args, false)
}

pub(super) fn transact(ctx: &mut Context<'_>, args: &[String]) -> Outcome<i32> {
    run(ctx, args, true)
}

fn run(ctx: &mut Context<'_>, args: &[String], write: bool) -> Outcome<i32> {
    let (path, text) = match args {
        [path, text] => (path.clone(), text),
        _ => (db_file(&[], 0), &args[0]),
    };
    let file = Path::new(&path);
    let storage = if write { FileStorage::open(file) } else { FileStorage::open_read_only(file) };
    let mut source = uuid_source();
    let storage = storage.map_err(|refusal| told(&refusal))?;
    let mut opened = open_database(Box::new(storage), Faults::End, &mut source).map_err(|error| error.to_string())?;
    if let Some(fault) = opened.warning {
        return Err(fault.to_string());
    }
    let json = parse_json(text)?;
    let operations = match json.as_array().and_then(|params| params.split_first()) {
        Some((name, operations)) if name.as_str() == Some(&opened.db.schema.name) => operations,
        _ => {
            let details = if json.is_array() { "database name expected as first parameter" } else { "array expected" };
            show(&OvsdbError::syntax_in(&json, details).to_json());
            return Ok(0);
        }
    };
    let context = execute::Context {
        never_block: true,
        identity: Identity { role: ctx.role.as_deref(), id: None, notes: None },
        ..execute::Context::default()
    };
    let Execution::Done { results, commit, .. } = execute::execute(&opened.db, operations, &context, &mut source)
    else {
        return Err("the transaction waits for what nobody does".into());
    };
    let mut refusal = None;
    if let Some(record) = commit.and_then(|commit| commit.log_record(&opened.db, wall_ms())) {
        refusal = if write { append(&mut opened.log, &record)? } else { Some(refused(&path, opened.log.end)) };
    }
    let mut results =
        jsonrpc::parse_value(&octets::of_text(&results), jsonrpc::Limits::default()).unwrap_or(Value::Null);
    if let Value::Array(results) = &mut results {
        results.extend(refusal.map(|error| error.to_json()));
    }
    show(&results);
    Ok(0)
}

/// Adds a record to the log; why it could not be.
fn append(log: &mut LogDb, record: &str) -> Outcome<Option<OvsdbError>> {
    let added = log.append(record);
    if added.is_ok() {
        sync(&*log.storage)?;
    }
    if let Some(note) = log.take_note() {
        vlog::warn!("ovsdb_log", "{note}");
    }
    Ok(added.err())
}

/// What a change comes to in a file that was opened for reading: Open vSwitch would cut off first what is behind the log.
fn refused(path: &str, end: u64) -> OvsdbError {
    let details = format!("{path}: cannot truncate to length {end}");
    OvsdbError { io_error: Some("Invalid argument".into()), ..OvsdbError::new("I/O error", details) }
}

fn show(json: &Value) {
    print(&format!("{}\n", cli::json::text(json, false)));
}
