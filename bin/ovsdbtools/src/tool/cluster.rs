//! Clustered database files: telling them from others and reading their headers. Making, joining and
//! checking clusters is not supported yet.

use super::{Context, Outcome};
use cli::program::{print, strerror};
use ovsdb::OvsdbError;
use ovsdb::log::{Header, Reader};
use serde_json::Value;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};

/// What a file holds.
#[derive(PartialEq, Eq)]
pub(super) enum Kind {
    Standalone,
    Clustered,
}

fn opened(path: &str) -> Outcome<BufReader<File>> {
    let failed = |error| format!("I/O error: {path}: open failed ({})", strerror(&error));
    Ok(BufReader::new(File::open(path).map_err(failed)?))
}

/// Looks at the first line of a file.
pub(super) fn kind_of(path: &str) -> Outcome<Kind> {
    let failed = |error| format!("I/O error: {path}: read error ({})", strerror(&error));
    let mut line = Vec::new();
    opened(path)?.take(128).read_until(b'\n', &mut line).map_err(failed)?;
    match Header::parse(&line) {
        _ if line.is_empty() => Err(format!("ovsdb error: {path}: cannot identify file type")),
        None => Err(format!("ovsdb error: {path}: unexpected file format")),
        Some(Header { magic: "JSON", .. }) => Ok(Kind::Standalone),
        Some(Header { magic: "CLUSTER", .. }) => Ok(Kind::Clustered),
        Some(_) => Err(format!("ovsdb error: {path}: cannot identify file type")),
    }
}

/// The first record of a clustered database's log, which must tell what every server's does.
pub(super) fn header_of(path: &str) -> Outcome<Value> {
    let record = Reader::of_clustered(opened(path)?, path).next_record().map_err(|error| error.to_string())?;
    let header = record.map(|record| record.json).unwrap_or_default();
    for name in ["server_id", "name", "local_address"] {
        let fault = match header.get(name) {
            Some(value) if value.is_string() => continue,
            Some(_) => format!("Type mismatch for member '{name}'."),
            None => format!("Required '{name}' member is missing."),
        };
        let details = format!("Parsing raft header failed: {fault}");
        return Err(OvsdbError::syntax_in(&header, details).to_string());
    }
    Ok(header)
}

pub(super) fn refuse(_: &mut Context<'_>, _: &[String]) -> Outcome<i32> {
    Err("clustered databases are not supported yet".into())
}

/// `cluster-to-standalone DB CLUSTERDB`.
pub(super) fn to_standalone(context: &mut Context<'_>, args: &[String]) -> Outcome<i32> {
    match kind_of(&args[1])? {
        Kind::Standalone => Err("Database is not clustered db.\n".into()),
        Kind::Clustered => header_of(&args[1]).and_then(|_| refuse(context, args)),
    }
}

pub(super) fn check_cluster(_: &mut Context<'_>, args: &[String]) -> Outcome<i32> {
    for path in args {
        if kind_of(path)? == Kind::Standalone {
            return Err(format!("ovsdb error: {path}: cannot identify file type"));
        }
        header_of(path)?;
    }
    Err("clustered databases are not supported yet".into())
}

fn member(path: &str, name: &str) -> Outcome<i32> {
    if kind_of(path)? == Kind::Standalone {
        return Err(format!("{path}: not a clustered database"));
    }
    match header_of(path)?.get(name).and_then(Value::as_str) {
        Some(text) => {
            print(&format!("{text}\n"));
            Ok(0)
        }
        None => {
            cli::program::eprintln_quiet(&format!("{path}: {} not yet known", name.replace("_id", " ID")));
            Ok(2)
        }
    }
}

pub(super) fn db_cid(_: &mut Context<'_>, args: &[String]) -> Outcome<i32> {
    member(&args[0], "cluster_id")
}

pub(super) fn db_sid(_: &mut Context<'_>, args: &[String]) -> Outcome<i32> {
    member(&args[0], "server_id")
}

pub(super) fn db_local_address(_: &mut Context<'_>, args: &[String]) -> Outcome<i32> {
    member(&args[0], "local_address")
}

pub(super) fn db_is_clustered(_: &mut Context<'_>, args: &[String]) -> Outcome<i32> {
    Ok(if kind_of(&args[0])? == Kind::Clustered { 0 } else { 2 })
}

pub(super) fn db_is_standalone(_: &mut Context<'_>, args: &[String]) -> Outcome<i32> {
    Ok(if kind_of(&args[0])? == Kind::Standalone { 0 } else { 2 })
}
