//! Compaction: a log that holds the schema and one record with every row. The slow part works on a
//! snapshot, in any thread; what is committed meanwhile is added when it is put in place.

use std::io::{self, Write};

use jsonrpc::text::write_string;

use super::contents::LogDb;
use super::record::encode;
use super::storage::Replacement;
use crate::database::Database;
use crate::error::{OvsdbError, Result};

/// The record that holds every row of `db`. A server says with it that differences follow (`diff`), a tool does not.
#[must_use]
pub fn snapshot_record(db: &Database, comment: &str, wall_ms: i64, diff: bool) -> String {
    use std::fmt::Write;
    let mut out = String::new();
    let _ = write!(out, "{{\"_date\":{wall_ms}");
    for table in db.tables() {
        let schema = &table.schema;
        for (i, row) in table.rows().enumerate() {
            if i == 0 {
                out.push(',');
                write_string(&mut out, &schema.name);
                out.push_str(":{\"");
            } else {
                out.push_str(",\"");
            }
            row.uuid.write(&mut out);
            out.push_str("\":{");
            let mut any = false;
            for (column, spec) in schema.own_columns().filter(|(_, spec)| spec.persistent) {
                if row.field(column).is_default(&spec.ty) {
                    continue;
                }
                if any {
                    out.push(',');
                }
                any = true;
                row.write_member(column, schema, &mut out);
            }
            out.push('}');
        }
        if !table.is_empty() {
            out.push('}');
        }
    }
    if !comment.is_empty() {
        out.push_str(",\"_comment\":");
        write_string(&mut out, comment);
    }
    out.push_str(if diff { ",\"_is_diff\":true}" } else { "}" });
    out
}

/// The slow part of a compaction, for any thread.
pub struct CompactJob {
    name: String,
    db: Database,
    comment: String,
    wall_ms: i64,
    replacement: Box<dyn Replacement>,
}

/// A compacted log, ready to be put in place.
pub struct CompactDone {
    /// The database's name.
    pub name: String,
    result: Result<Box<dyn Replacement>>,
}

fn write_failed(replacement: &dyn Replacement, error: &io::Error) -> OvsdbError {
    OvsdbError::io(format!("{}: write failed", replacement.place()), error)
}

impl CompactJob {
    /// Prepares the compaction of `log`, which holds `db`.
    pub fn new(db: &Database, log: &LogDb, comment: &str, wall_ms: i64) -> Result<Self> {
        let replacement = log
            .storage
            .begin_replace()
            .map_err(|error| OvsdbError::io(format!("{}.tmp: create failed", log.storage.place()), &error))?;
        let mut db = db.clone();
        db.set_keep_history(false);
        Ok(CompactJob { name: db.schema.name.to_string(), db, comment: comment.to_owned(), wall_ms, replacement })
    }

    /// Writes the snapshot. May take long, and waits for the disk.
    #[must_use]
    pub fn run(self) -> CompactDone {
        let CompactJob { name, db, comment, wall_ms, mut replacement } = self;
        let mut write = || -> io::Result<()> {
            replacement.write_all(&encode(&db.schema.to_text()))?;
            replacement.write_all(&encode(&snapshot_record(&db, &comment, wall_ms, true)))?;
            replacement.sync()
        };
        let result = write();
        let result = result.map_err(|error| write_failed(&*replacement, &error)).map(|()| replacement);
        CompactDone { name, result }
    }
}

impl CompactDone {
    /// Puts the compacted log in the place of `log`, with the records that were written since the
    /// snapshot behind it.
    pub fn install(self, log: &mut LogDb, since: &[String]) -> Result<()> {
        // If the file refuses the next record, that is told anew.
        log.refused = false;
        let name = log.storage.name().to_owned();
        let failed = |error: io::Error| OvsdbError::io(format!("{name}: compaction failed"), &error);
        let mut replacement = self.result?;
        for record in since {
            let written = replacement.write_all(&encode(record));
            written.map_err(|error| write_failed(&*replacement, &error))?;
        }
        log.storage = replacement.install().map_err(failed)?;
        log.end = log.storage.len();
        log.base_len = log.end;
        log.written = since.len() as u64;
        Ok(())
    }
}
