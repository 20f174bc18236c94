//! `compact` and `convert`: a database written anew, in its place or elsewhere.

use super::{Context, Outcome, db_file, schema_file, uuid_source, wall_ms};
use crate::files::{read_schema, told};
use cli::program::{OVS_VERSION, strerror};
use ovsdb::log::{
    Faults, FileStorage, LockFile, Opened, Refusal, encode, lock_file, open_converted, open_database, snapshot_record,
};
use ovsdb::{Database, DatabaseSchema};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why a file could not be locked or opened. Of locks these commands say no kind of error.
fn refused(refusal: &Refusal) -> String {
    let text = told(refusal);
    text.strip_prefix("I/O error: ").filter(|text| text.contains("lockfile")).map(str::to_string).unwrap_or(text)
}

/// Locks where a database is to be written, if that is not its own place.
fn lock_target(target: Option<&String>) -> Outcome<Option<Arc<LockFile>>> {
    target.map(|target| lock_file(Path::new(target)).map_err(|refusal| refused(&refusal))).transpose()
}

/// The file that links lead to, by which these commands call it.
fn file_behind(path: &str) -> PathBuf {
    let mut file = PathBuf::from(path);
    // As many links as the system follows.
    for _ in 0..40 {
        let Ok(target) = std::fs::read_link(&file) else {
            break;
        };
        file = file.parent().map_or_else(|| target.clone(), |directory| directory.join(&target));
    }
    file
}

/// Reads a database, by another schema if that is to be; locked against writers if it is to be replaced.
fn open(path: &str, replace: bool, schema: Option<DatabaseSchema>) -> Outcome<Opened> {
    // A directory is read, in vain, and not opened for writing.
    let storage = if replace && !Path::new(path).is_dir() {
        FileStorage::open(&file_behind(path)).map_err(|refusal| refused(&refusal))
    } else {
        FileStorage::open_read_only(Path::new(path)).map_err(|error| error.to_string())
    };
    let storage = Box::new(storage?);
    let opened = match schema {
        None => open_database(storage, Faults::End, &mut uuid_source()),
        Some(schema) => open_converted(storage, Arc::new(schema), &mut uuid_source()),
    };
    let opened = opened.map_err(|error| error.to_string())?;
    match opened.warning {
        Some(fault) => Err(fault.to_string()),
        None => Ok(opened),
    }
}

/// Writes the whole of a database to `target`, or in the place of `old`.
fn write(db: &Database, old: &Opened, target: Option<&String>, comment: &str) -> Outcome<()> {
    let mut bytes = encode(&db.schema.to_text());
    bytes.extend(encode(&snapshot_record(db, comment, wall_ms(), false)));
    let name = target.map_or_else(|| old.log.storage.name().to_string(), Clone::clone);
    let failed = |error: std::io::Error| format!("I/O error: {name}: write failed ({})", strerror(&error));
    match target {
        None => {
            let mut replacement = old.log.storage.begin_replace().map_err(failed)?;
            // The system tells of a full disk when the last of it is written.
            if let Err(error) = replacement.write_all(&bytes).and_then(|()| replacement.sync()) {
                vlog::warn!("ovsdb_log", "{}: write failed ({})", replacement.place(), strerror(&error));
                return Err(format!("I/O error: {name}.tmp: write failed ({})", strerror(&error)));
            }
            let (_storage, place) = replacement.succeed().map_err(failed)?;
            place().map_err(failed)?;
        }
        Some(target) => {
            let io_failed = |what: &str, error| format!("I/O error: {name}: {what} ({})", strerror(&error));
            let mut options = std::fs::OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false).mode(0o660);
            let mut file = options.open(target).map_err(|error| io_failed("create or open failed", error))?;
            file.set_len(0).map_err(|error| io_failed("cannot truncate to length 0", error))?;
            file.write_all(&bytes).and_then(|()| file.sync_all()).map_err(failed)?;
        }
    }
    Ok(())
}

pub(super) fn compact(_: &mut Context<'_>, args: &[String]) -> Outcome<i32> {
    let target = args.get(1);
    let _lock = lock_target(target)?;
    let opened = open(&db_file(args, 0), target.is_none(), None)?;
    write(&opened.db, &opened, target, &format!("compacted by ovsdb-tool {OVS_VERSION}"))?;
    Ok(0)
}

pub(super) fn convert(_: &mut Context<'_>, args: &[String]) -> Outcome<i32> {
    let schema = read_schema(&schema_file(args, 1)).map_err(|error| error.to_string())?;
    let target = args.get(2);
    let _lock = lock_target(target)?;
    let opened = open(&db_file(args, 0), target.is_none(), Some(schema))?;
    write(&opened.db, &opened, target, &format!("converted by ovsdb-tool {OVS_VERSION}"))?;
    Ok(0)
}
