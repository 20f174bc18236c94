//! Clustered database files: telling them from others and reading their headers. Making, joining and
//! checking clusters is not supported yet.

use super::{Context, Outcome};
use cli::program::{print, strerror};
use ovsdb::log::Header;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read};

/// What a file holds.
pub(super) enum Kind {
    /// A standalone database.
    Standalone,
    /// A clustered one, with the first record of its log.
    Clustered(Value),
}

/// The longest first record that is read, in bytes.
const MAX_HEADER: u64 = 64 << 20;

/// Looks at the first record of a file.
pub(super) fn kind_of(path: &str) -> Outcome<Kind> {
    let failed = |what: &str, error: std::io::Error| format!("I/O error: {path}: {what} ({})", strerror(&error));
    let mut input = BufReader::new(std::fs::File::open(path).map_err(|error| failed("open failed", error))?);
    let failed = |error| failed("read error", error);
    let mut line = Vec::new();
    input.by_ref().take(128).read_until(b'\n', &mut line).map_err(failed)?;
    match Header::parse(&line) {
        _ if line.is_empty() => Err(format!("ovsdb error: {path}: cannot identify file type")),
        None => Err(format!("ovsdb error: {path}: unexpected file format")),
        Some(Header { magic: "JSON", .. }) => Ok(Kind::Standalone),
        Some(Header { magic: "CLUSTER", length, .. }) => {
            let mut text = Vec::new();
            input.take(length.min(MAX_HEADER)).read_to_end(&mut text).map_err(failed)?;
            let header = jsonrpc::parse_value(&text, jsonrpc::Limits::default());
            header.map(Kind::Clustered).map_err(|error| format!("syntax error: {path}: {error}"))
        }
        Some(_) => Err(format!("ovsdb error: {path}: cannot identify file type")),
    }
}

pub(super) fn refuse(_: &mut Context<'_>, _: &[String]) -> Outcome<i32> {
    Err("clustered databases are not supported yet".into())
}

/// `cluster-to-standalone DB CLUSTERDB`.
pub(super) fn to_standalone(context: &mut Context<'_>, args: &[String]) -> Outcome<i32> {
    match kind_of(&args[1])? {
        Kind::Standalone => Err("Database is not clustered db.\n".into()),
        Kind::Clustered(_) => refuse(context, args),
    }
}

pub(super) fn check_cluster(_: &mut Context<'_>, args: &[String]) -> Outcome<i32> {
    for path in args {
        if matches!(kind_of(path)?, Kind::Standalone) {
            return Err(format!("ovsdb error: {path}: cannot identify file type"));
        }
    }
    Err("clustered databases are not supported yet".into())
}

fn member(path: &str, name: &str) -> Outcome<i32> {
    let Kind::Clustered(header) = kind_of(path)? else {
        return Err(format!("{path}: not a clustered database"));
    };
    match header.get(name).and_then(|value| value.as_str().or_else(|| value.get(1)?.as_str())) {
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
    Ok(if matches!(kind_of(&args[0])?, Kind::Clustered(_)) { 0 } else { 2 })
}

pub(super) fn db_is_standalone(_: &mut Context<'_>, args: &[String]) -> Outcome<i32> {
    Ok(if matches!(kind_of(&args[0])?, Kind::Standalone) { 0 } else { 2 })
}
