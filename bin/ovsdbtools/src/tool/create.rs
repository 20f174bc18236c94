//! `create`.

use super::{Context, Outcome, db_file, schema_file};
use crate::files::{read_schema, told};
use ovsdb::log::{FileStorage, LogDb, Storage};
use std::path::Path;

/// Makes what was written to a file durable.
pub(super) fn sync(storage: &dyn Storage) -> Outcome<()> {
    let failed =
        |error: std::io::Error| format!("{}: fsync failed ({})", storage.name(), cli::program::strerror(&error));
    storage.sync_job().map_err(failed)?().map_err(failed)
}

pub(super) fn create(_: &mut Context<'_>, args: &[String]) -> Outcome<i32> {
    let schema = read_schema(&schema_file(args, 1)).map_err(|error| error.to_string())?;
    let storage = FileStorage::create(Path::new(&db_file(args, 0))).map_err(|refusal| told(&refusal))?;
    let place = storage.place();
    let log = LogDb::create(Box::new(storage), &schema).map_err(|error| {
        if let Some(cause) = &error.io_error {
            vlog::warn!("ovsdb_log", "{place}: write failed ({cause})");
        }
        error.to_string()
    })?;
    sync(&*log.storage)?;
    Ok(0)
}
