//! What is in a database or a schema: names, versions, checksums.

use super::cluster::{self, Kind};
use super::{Context, Outcome, db_file, schema_file};
use crate::files::read_schema;
use cli::program::print;
use ovsdb::DatabaseSchema;
use ovsdb::log::{FileStorage, Reader, Storage};
use std::path::Path;

/// The schema that a standalone database begins with.
pub(super) fn schema_of(path: &str) -> Outcome<DatabaseSchema> {
    let storage = FileStorage::open_read_only(Path::new(path)).map_err(|error| error.to_string())?;
    let input = storage.reader().map_err(|error| format!("{path}: read failed ({error})"))?;
    let first = Reader::new(input, path).next_record().map_err(|fault| fault.error.to_string())?;
    match first {
        Some(record) => DatabaseSchema::from_json(&record.json).map_err(|error| error.to_string()),
        None => Err(format!("ovsdb error: {path}: cannot identify file type")),
    }
}

fn show(text: &str) -> Outcome<i32> {
    print(&format!("{text}\n"));
    Ok(0)
}

pub(super) fn db_name(_: &mut Context<'_>, args: &[String]) -> Outcome<i32> {
    let path = db_file(args, 0);
    match cluster::kind_of(&path)? {
        Kind::Standalone => show(&schema_of(&path)?.name),
        Kind::Clustered => show(cluster::header_of(&path)?["name"].as_str().unwrap_or_default()),
    }
}

pub(super) fn db_version(_: &mut Context<'_>, args: &[String]) -> Outcome<i32> {
    show(&schema_of(&db_file(args, 0))?.version)
}

pub(super) fn db_cksum(_: &mut Context<'_>, args: &[String]) -> Outcome<i32> {
    show(&schema_of(&db_file(args, 0))?.cksum)
}

fn schema(args: &[String], index: usize) -> Outcome<DatabaseSchema> {
    read_schema(&schema_file(args, index)).map_err(|error| error.to_string())
}

pub(super) fn schema_name(_: &mut Context<'_>, args: &[String]) -> Outcome<i32> {
    show(&schema(args, 0)?.name)
}

pub(super) fn schema_version(_: &mut Context<'_>, args: &[String]) -> Outcome<i32> {
    show(&schema(args, 0)?.version)
}

pub(super) fn schema_cksum(_: &mut Context<'_>, args: &[String]) -> Outcome<i32> {
    show(&schema(args, 0)?.cksum)
}

pub(super) fn needs_conversion(_: &mut Context<'_>, args: &[String]) -> Outcome<i32> {
    let (now, wanted) = (schema_of(&db_file(args, 0))?, schema(args, 1)?);
    show(if now.needs_conversion(&wanted) { "yes" } else { "no" })
}
