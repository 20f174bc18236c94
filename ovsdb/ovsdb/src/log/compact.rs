//! Compaction: a log that holds the schema and one record with every row. The rows are gathered a slice at a time, so
//! that no client waits for all of them; the slow part is then written in any thread, and what is committed meanwhile
//! is added when it is put in place: from then until it is there records go to both logs.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::ops::Bound;
use std::sync::Arc;

use super::contents::LogDb;
use super::record::encode;
use super::storage::{Replacement, SyncJob};
use crate::database::Database;
use crate::error::{OvsdbError, Result};
use crate::row::Row;
use crate::schema::{DatabaseSchema, TableSchema};
use crate::txn::{Commit, Head, told_columns, transaction_record};
use crate::uuid::Uuid;

/// The record that holds every row of `db`. A server says with it that differences follow (`diff`), a tool does not.
#[must_use]
pub fn snapshot_record(db: &Database, comment: &str, wall_ms: i64, diff: bool) -> String {
    let tables = db.tables().iter().map(|table| (&*table.schema, table.rows()));
    record_of(&db.schema, tables, Head { comment, wall_ms, diff })
}

/// The record that holds these rows of these tables.
fn record_of<'a, R: Iterator<Item = &'a Arc<Row>>>(
    schema: &DatabaseSchema,
    tables: impl Iterator<Item = (&'a TableSchema, R)>,
    head: Head<'_>,
) -> String {
    let mut told = Vec::new();
    for (schema, rows) in tables {
        let mut rows = rows.peekable();
        if rows.peek().is_some() {
            told.push((schema, Some(rows)));
        }
    }
    let turn: Vec<&str> = schema.tables_in_turn().map(|table| &*table.name).collect();
    told.sort_by_key(|(schema, _)| turn.iter().position(|name| *name == &*schema.name));
    let names = told.iter().map(|(schema, _)| &*schema.name).collect();
    transaction_record(names, head, 0, |at, out| {
        let (schema, rows) = &mut told[at];
        for (n, row) in rows.take().into_iter().flatten().enumerate() {
            out.push_str(if n == 0 { "{\"" } else { ",\"" });
            row.uuid.write(out);
            out.push_str("\":");
            let is_told = |column: usize| !row.field(column).is_default(&schema.columns[column].ty);
            row.write_json(&told_columns(schema, is_told), schema, out);
        }
        out.push('}');
    })
}

/// Rows of one table, as far as they were taken.
#[derive(Default)]
struct Taken {
    /// By UUID.
    rows: Vec<Arc<Row>>,
    /// What has become since of rows up to the last one.
    changed: BTreeMap<Uuid, Option<Arc<Row>>>,
}

impl Taken {
    fn into_rows(self) -> Vec<Arc<Row>> {
        let Taken { mut rows, changed } = self;
        if !changed.is_empty() {
            rows.retain(|row| !changed.contains_key(&row.uuid));
            rows.extend(changed.into_values().flatten());
            rows.sort_by_key(|row| row.uuid);
        }
        rows
    }
}

/// Rows of a database, gathered while it goes on changing: once all are there, they are what it holds at that moment.
struct Gathered {
    /// The tables that were begun, in turn. The last one is not done yet.
    tables: Vec<Taken>,
}

impl Gathered {
    fn new() -> Self {
        Gathered { tables: vec![Taken::default()] }
    }

    /// Takes so many more rows at most; whether these are all.
    fn go_on(&mut self, db: &Database, mut rows: usize) -> bool {
        while rows > 0 {
            let begun = self.tables.len();
            let Some((taken, table)) = self.tables.last_mut().zip(db.tables.get(begun - 1)) else {
                return true;
            };
            let after = taken.rows.last().map_or(Bound::Unbounded, |row| Bound::Excluded(row.uuid));
            let before = taken.rows.len();
            let next = table.rows.range((after, Bound::Unbounded)).take(rows);
            taken.rows.extend(next.map(|(_, slot)| Arc::clone(&slot.row)));
            rows -= taken.rows.len() - before;
            if rows > 0 {
                self.tables.push(Taken::default());
            }
        }
        false
    }

    /// The database changes, and rows may have been taken that are no longer what they were.
    fn note(&mut self, commit: &Commit) {
        let begun = self.tables.len();
        for change in &commit.changes {
            let Some(taken) = self.tables.get_mut(change.table) else { continue };
            let done = change.table + 1 < begun;
            if done || taken.rows.last().is_some_and(|last| change.uuid <= last.uuid) {
                taken.changed.insert(change.uuid, change.new.clone());
            }
        }
    }
}

/// Bytes of records that may be added to a compacted log while everybody waits.
const ADDED_AT_ONCE: usize = 64 << 10;
/// How often records are added before.
const ROUNDS_AT_MOST: u32 = 8;

/// A compaction in the making: rows are gathered in the database's thread, and written in any thread.
pub struct CompactJob {
    name: String,
    number: u64,
    schema: Arc<DatabaseSchema>,
    rows: Gathered,
    comment: String,
    wall_ms: i64,
    replacement: Box<dyn Replacement>,
}

/// A compacted log, ready to be put in place.
pub struct CompactDone {
    /// The database's name.
    pub name: String,
    /// Which compaction this is the end of.
    pub number: u64,
    /// Records behind the rows, and how often such were added.
    added: u64,
    rounds: u32,
    result: Result<Box<dyn Replacement>>,
}

/// A compacted log that has all records, and is to be put in place.
pub struct Place {
    name: String,
    number: u64,
    work: SyncJob,
}

impl Place {
    /// Puts it in place. Waits for the disk.
    #[must_use]
    pub fn run(self) -> Placed {
        let Place { name, number, work } = self;
        let error = work().err().map(|error| OvsdbError::io(format!("{name}: compaction failed"), &error));
        Placed { name, number, error }
    }
}

/// How putting a compacted log in place went.
pub struct Placed {
    name: String,
    number: u64,
    error: Option<OvsdbError>,
}

/// What a compaction has come to in some thread.
pub enum Compacted {
    /// The log is written.
    Written(CompactDone),
    /// It is in place, or could not be put there.
    Placed(Placed),
}

impl Compacted {
    /// The database's name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Compacted::Written(done) => &done.name,
            Compacted::Placed(placed) => &placed.name,
        }
    }

    /// Which compaction this is of.
    pub(crate) fn number(&self) -> u64 {
        match self {
            Compacted::Written(done) => done.number,
            Compacted::Placed(placed) => placed.number,
        }
    }
}

impl Placed {
    /// Goes on with the log that is in place now.
    pub(crate) fn settle(self, log: &mut LogDb) -> Result<()> {
        log.succeed(self.error.is_none());
        self.error.map_or(Ok(()), Err)
    }
}

fn write_failed(replacement: &dyn Replacement, error: &io::Error) -> OvsdbError {
    OvsdbError::io(format!("{}: write failed", replacement.place()), error)
}

impl CompactJob {
    /// Prepares a compaction of `log`, which holds `db`. Its number tells it from others of the same name.
    pub fn new(db: &Database, log: &LogDb, number: u64, comment: &str, wall_ms: i64) -> Result<Self> {
        let replacement = log
            .storage
            .begin_replace()
            .map_err(|error| OvsdbError::io(format!("{}.tmp: create failed", log.storage.place()), &error))?;
        Ok(CompactJob {
            name: db.schema.name.to_string(),
            number,
            schema: Arc::clone(&db.schema),
            rows: Gathered::new(),
            comment: comment.to_owned(),
            wall_ms,
            replacement,
        })
    }

    /// The database's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Takes so many more rows of the database at most. True: the job has all, and is to be run; what is committed
    /// from here on is for [`CompactDone::install`].
    pub fn gather(&mut self, db: &Database, rows: usize) -> bool {
        self.rows.go_on(db, rows)
    }

    /// Hears of a commit that comes before all rows are there.
    pub fn note(&mut self, commit: &Commit) {
        self.rows.note(commit);
    }

    /// Writes the rows. May take long, and waits for the disk.
    #[must_use]
    pub fn run(self) -> CompactDone {
        let CompactJob { name, number, schema, rows, comment, wall_ms, mut replacement } = self;
        let write = || -> io::Result<()> {
            replacement.write_all(&encode(&schema.to_text()))?;
            let rows: Vec<_> = rows.tables.into_iter().map(Taken::into_rows).collect();
            let tables = schema.tables.values().zip(&rows).map(|(table, rows)| (&**table, rows.iter()));
            let head = Head { comment: &comment, wall_ms, diff: true };
            replacement.write_all(&encode(&record_of(&schema, tables, head)))?;
            replacement.sync()
        };
        let result = write();
        let result = result.map_err(|error| write_failed(&*replacement, &error)).map(|()| replacement);
        CompactDone { name, number, added: 0, rounds: 0, result }
    }
}

/// A compacted log that is to get more records before it is put in place: so many that nobody shall wait for them.
pub struct CatchUp {
    done: CompactDone,
    since: Vec<String>,
}

impl CatchUp {
    /// Adds the records. May take long, and waits for the disk.
    #[must_use]
    pub fn run(self) -> CompactDone {
        let CatchUp { mut done, since } = self;
        done.added += since.len() as u64;
        done.rounds += 1;
        done.result = done.result.and_then(|mut replacement| {
            let mut written = since.iter().try_for_each(|record| replacement.write_all(&encode(record)));
            if written.is_ok() {
                written = replacement.sync();
            }
            match written {
                Ok(()) => Ok(replacement),
                Err(error) => Err(write_failed(&*replacement, &error)),
            }
        });
        done
    }
}

/// How a compaction goes on once a job is done.
pub enum Progress {
    /// With another job for any thread, and the end of that one.
    CatchUp(CatchUp),
    /// With this work for any thread, and the end of it.
    Place(Place),
    /// It is over.
    Over(Result<()>),
}

impl CompactDone {
    /// Has the compacted log put in the place of `log`, if the records `since` are few enough to be added meanwhile, or
    /// would only become more. From here on records go to both logs, so that nobody waits for the disk.
    pub(crate) fn go_on(self, log: &mut LogDb, since: &mut Vec<String>) -> Progress {
        let many = since.iter().map(String::len).sum::<usize>() > ADDED_AT_ONCE;
        if many && self.result.is_ok() && self.rounds < ROUNDS_AT_MOST {
            return Progress::CatchUp(CatchUp { done: self, since: std::mem::take(since) });
        }
        match self.succeed(log, since) {
            Ok(place) => Progress::Place(place),
            Err(error) => Progress::Over(Err(error)),
        }
    }

    /// Makes the compacted log, with the records that were written since, the successor of `log`.
    fn succeed(self, log: &mut LogDb, since: &[String]) -> Result<Place> {
        // If the file refuses the next record, that is told anew.
        log.refused = false;
        let CompactDone { name, number, added, result, .. } = self;
        let failed = |error: io::Error| OvsdbError::io(format!("{}: compaction failed", log.storage.name()), &error);
        let mut replacement = result?;
        for record in since {
            let written = replacement.write_all(&encode(record));
            written.map_err(|error| write_failed(&*replacement, &error))?;
        }
        let (storage, work) = replacement.succeed().map_err(failed)?;
        log.set_successor(storage, added + since.len() as u64);
        Ok(Place { name, number, work })
    }

    /// Puts the compacted log in the place of `log`. Waits for the disk.
    pub fn install(self, log: &mut LogDb) -> Result<()> {
        self.succeed(log, &[])?.run().settle(log)
    }
}
