//! From a log to a database: the schema record, then transactions. What a log says was checked when it was written, so
//! that rows go in directly and references are counted once, at the end. Where that shows a log to be damaged, it is read
//! once more transaction by transaction.

use std::io;
use std::sync::Arc;

use serde_json::Value;

use super::record::{LogError, Reader, encode};
use super::storage::{Storage, SyncJob};
use crate::database::{Database, Slot, Table, TableId};
use crate::datum::Datum;
use crate::error::{OvsdbError, Result};
use crate::row::Row;
use crate::schema::{DatabaseSchema, TableSchema};
use crate::txn::Txn;
use crate::types::RefType;
use crate::uuid::{Uuid, UuidSource};

/// A database with the log that it lies in.
pub struct LogDb {
    /// The log.
    pub storage: Box<dyn Storage>,
    /// Where the next record goes; what is behind it is cut off by then.
    pub end: u64,
    /// The length after the last compaction, or when it was opened.
    pub base_len: u64,
    /// Transactions written since.
    pub written: u64,
    /// Whether the last record was refused.
    pub(super) refused: bool,
    /// What nobody was told of yet.
    note: Option<String>,
    successor: Option<Successor>,
}

/// A storage that is about to take the log's place, and has all of its records.
struct Successor {
    storage: Box<dyn Storage>,
    base_len: u64,
    written: u64,
}

/// Why a record was passed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// It is no transaction of this schema.
    Unreadable(OvsdbError),
    /// A constraint forbids its transaction.
    Forbidden(OvsdbError),
}

/// A log that was read.
pub struct Opened {
    /// Its contents.
    pub db: Database,
    /// The log.
    pub log: LogDb,
    /// Why its tail was not read, if so: for the log of the program. All before the fault is in
    /// `db`.
    pub warning: Option<LogError>,
    /// Records that were passed over.
    pub notes: Vec<Note>,
    /// Transaction records read.
    pub records: u64,
}

/// What becomes of a record that is no transaction, or whose transaction the constraints forbid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Faults {
    /// The log ends before it, as for the tools.
    End,
    /// It is passed over with a note, as for a server.
    PassOver,
    /// Nothing is read, but tables and columns that the schema does not name are passed over, as they are gone after the
    /// conversion ([`open_converted`]).
    Convert,
}

/// Reads a log into a database.
///
/// # Errors
/// Those of reading, and a first record that is no schema.
pub fn open_database(storage: Box<dyn Storage>, faults: Faults, source: &mut UuidSource) -> Result<Opened> {
    let (schema, _) = begin(&*storage)?;
    open_under(schema, storage, faults, source)
}

/// Reads a log into a database of another schema than it says, as `ovsdb-tool convert` does: each transaction has to be
/// one of that schema, also where a later one undoes it. What a record leaves out has the new schema's default.
///
/// # Errors
/// As of [`open_database`]. Of a transaction that is none of the schema, or breaks its constraints, the warning tells.
pub fn open_converted(
    storage: Box<dyn Storage>,
    schema: Arc<DatabaseSchema>,
    source: &mut UuidSource,
) -> Result<Opened> {
    open_under(schema, storage, Faults::Convert, source)
}

fn open_under(
    schema: Arc<DatabaseSchema>,
    storage: Box<dyn Storage>,
    faults: Faults,
    source: &mut UuidSource,
) -> Result<Opened> {
    let (_, mut reader) = begin(&*storage)?;
    let mut db = Database::new(Arc::clone(&schema));
    let (records, failed) = fill(&mut db, &mut reader, faults, source);
    drop(reader);
    let half_applied = failed.as_ref().is_some_and(|failed| failed.half_applied);
    let sound = !half_applied && settle(&mut db);
    let read = if sound {
        Replayed { db, notes: Vec::new(), records, ended: failed.map(|failed| failed.error), end: None }
    } else {
        let (_, reader) = begin(&*storage)?;
        replay(schema, reader, faults, source)
    };
    let end = read.end.or(read.ended.as_ref().map(|error| error.offset)).unwrap_or(storage.len());
    let log = LogDb::from_storage(storage, end);
    Ok(Opened { db: read.db, log, warning: read.ended, notes: read.notes, records: read.records })
}

/// What came of reading a log.
struct Replayed {
    db: Database,
    notes: Vec<Note>,
    records: u64,
    /// Why not all of it was read.
    ended: Option<LogError>,
    /// Where that says nothing and it still was not.
    end: Option<u64>,
}

type Input<'a> = Reader<Box<dyn std::io::BufRead + 'a>>;

/// Reads the schema; what comes next are transactions.
fn begin(storage: &dyn Storage) -> Result<(Arc<DatabaseSchema>, Input<'_>)> {
    let name = storage.name();
    let input = storage.reader().map_err(|error| OvsdbError::io(format!("{name}: read failed"), &error))?;
    let mut reader = Reader::new(input, name);
    let Some(first) = reader.next_record().map_err(|failed| failed.error)? else {
        let details = format!("{name}: cannot identify file type");
        return Err(OvsdbError::new("ovsdb error", details));
    };
    Ok((Arc::new(DatabaseSchema::from_json(&first.json)?), reader))
}

struct Failed {
    half_applied: bool,
    error: LogError,
}

/// Applies the records; says how many, and why it ended before the end.
fn fill(db: &mut Database, reader: &mut Input<'_>, faults: Faults, source: &mut UuidSource) -> (u64, Option<Failed>) {
    let mut records = 0;
    loop {
        let offset = reader.offset();
        match reader.next_record() {
            Ok(None) => return (records, None),
            Ok(Some(record)) => {
                if let Err(error) = apply_record(db, &record.json, faults, source) {
                    let error = LogError { offset, error };
                    return (records, Some(Failed { half_applied: true, error }));
                }
                records += 1;
            }
            Err(error) => return (records, Some(Failed { half_applied: false, error })),
        }
    }
}

/// Reads the transactions of a damaged log one by one, each with all that a commit checks.
fn replay(schema: Arc<DatabaseSchema>, mut reader: Input<'_>, faults: Faults, source: &mut UuidSource) -> Replayed {
    let mut db = Database::new(schema);
    let (mut records, mut notes) = (0, Vec::new());
    // Where nothing begins any more but what is no transaction: the next record takes its place.
    let mut tail = None;
    let (end, ended) = loop {
        let offset = reader.offset();
        let record = match reader.next_record() {
            Ok(None) => break (tail, None),
            Ok(Some(record)) => record,
            Err(error) => break (None, Some(error)),
        };
        let mut txn = Txn::new(&db);
        let read = apply_record(&mut txn, &record.json, faults, source).map_err(Note::Unreadable);
        match read.and_then(|()| txn.prepare(source).map_err(Note::Forbidden)) {
            Ok(commit) => {
                if let Some(commit) = commit {
                    db.apply_changes(&commit);
                }
                records += 1;
                tail = None;
            }
            Err(note) if faults == Faults::PassOver => {
                tail = matches!(note, Note::Unreadable(_)).then(|| tail.unwrap_or(offset));
                notes.push(note);
            }
            // Open vSwitch converts what is before it, and so loses all that is behind.
            Err(Note::Forbidden(error)) if faults == Faults::Convert => break (None, Some(LogError { offset, error })),
            Err(Note::Unreadable(error)) => break (None, Some(LogError { offset, error })),
            Err(Note::Forbidden(_)) => break (Some(offset), None),
        }
    };
    Replayed { db, notes, records, ended, end }
}

impl LogDb {
    fn from_storage(storage: Box<dyn Storage>, end: u64) -> Self {
        LogDb { storage, end, base_len: end, written: 0, refused: false, note: None, successor: None }
    }

    /// A log of a new database: writes the schema.
    pub fn create(mut storage: Box<dyn Storage>, schema: &DatabaseSchema) -> Result<Self> {
        let bytes = encode(&schema.to_text());
        storage.append(&bytes).map_err(|error| OvsdbError::io(format!("{}: write failed", storage.name()), &error))?;
        let end = storage.len();
        Ok(LogDb::from_storage(storage, end))
    }

    /// Adds a transaction record.
    pub fn append(&mut self, json: &str) -> Result<()> {
        let added = self.append_record(json);
        if let Err(error) = &added
            && !self.refused
        {
            let cause = error.io_error.as_deref().unwrap_or_default();
            self.note = Some(format!("{}: write failed ({cause})", self.storage.place()));
        }
        self.refused = added.is_err();
        added
    }

    /// What the log of events is to say, once, of records that were refused one after the other.
    pub fn take_note(&mut self) -> Option<String> {
        self.note.take()
    }

    fn append_record(&mut self, json: &str) -> Result<()> {
        let name = self.storage.name().to_owned();
        if self.storage.len() > self.end {
            self.storage.truncate(self.end).map_err(|error| {
                let details = format!("{name}: cannot truncate to length {}", self.end);
                OvsdbError::io(details, &error)
            })?;
        }
        let bytes = encode(json);
        let end = self.successor.as_ref().map(|successor| successor.storage.len());
        let appended = match &mut self.successor {
            Some(successor) => successor.storage.append(&bytes).and_then(|()| self.storage.append(&bytes)),
            None => self.storage.append(&bytes),
        };
        if let Err(error) = appended {
            if let Some((successor, end)) = self.successor.as_mut().zip(end).filter(|(s, end)| s.storage.len() > *end) {
                let _ = successor.storage.truncate(end);
            }
            return Err(OvsdbError::io(format!("{name}: write failed"), &error));
        }
        self.end = self.storage.len();
        self.written += 1;
        if let Some(successor) = &mut self.successor {
            successor.written += 1;
        }
        Ok(())
    }

    /// Work that makes all records durable: while another storage is about to take the place, in both.
    pub fn sync_job(&self) -> io::Result<SyncJob> {
        let job = self.storage.sync_job()?;
        let Some(successor) = &self.successor else { return Ok(job) };
        let more = successor.storage.sync_job()?;
        Ok(Box::new(move || job().and_then(|()| more())))
    }

    /// From here on records go to both: whichever is in the place has all of them.
    pub(super) fn set_successor(&mut self, storage: Box<dyn Storage>, records: u64) {
        self.successor = Some(Successor { base_len: storage.len(), written: records, storage });
    }

    /// The successor has taken its place, or is none any more.
    pub(crate) fn succeed(&mut self, placed: bool) {
        let Some(successor) = self.successor.take().filter(|_| placed) else { return };
        self.storage = successor.storage.settled();
        self.end = self.storage.len();
        self.base_len = successor.base_len;
        self.written = successor.written;
    }

    /// Whether the log has more than doubled and passed 10 MB since the last compaction.
    #[must_use]
    pub fn grew_lots(&self) -> bool {
        self.end > 10 * 1024 * 1024 && self.end / 2 > self.base_len
    }
}

/// Where the rows of a record go.
trait Rows {
    fn table(&self, name: &str) -> Option<(TableId, &Arc<TableSchema>)>;
    /// Takes a row out, to be put back changed.
    fn take(&mut self, table: TableId, uuid: Uuid) -> Option<Row>;
    fn put(&mut self, table: TableId, row: Row);
    /// False if there is none.
    fn delete(&mut self, table: TableId, uuid: Uuid) -> bool;
}

/// Directly and unchecked: reference counts and indexes are not touched. A record at fault may be half applied.
impl Rows for Database {
    fn table(&self, name: &str) -> Option<(TableId, &Arc<TableSchema>)> {
        self.table_id(name).map(|id| (id, &self.tables[id].schema))
    }

    fn take(&mut self, table: TableId, uuid: Uuid) -> Option<Row> {
        self.tables[table].rows.remove(&uuid).map(|slot| Arc::unwrap_or_clone(slot.row))
    }

    fn put(&mut self, table: TableId, row: Row) {
        self.tables[table].rows.insert(row.uuid, Slot { row: Arc::new(row), refs: 0 });
    }

    fn delete(&mut self, table: TableId, uuid: Uuid) -> bool {
        self.tables[table].rows.remove(&uuid).is_some()
    }
}

impl Rows for Txn<'_> {
    fn table(&self, name: &str) -> Option<(TableId, &Arc<TableSchema>)> {
        let db = self.database();
        db.table_id(name).map(|id| (id, &db.tables[id].schema))
    }

    fn take(&mut self, table: TableId, uuid: Uuid) -> Option<Row> {
        self.row(table, &uuid).map(|row| Row::clone(row))
    }

    fn put(&mut self, table: TableId, row: Row) {
        match self.modify(table, row.uuid) {
            Some(old) => *old = row,
            None => self.insert(table, row),
        }
    }

    fn delete(&mut self, table: TableId, uuid: Uuid) -> bool {
        let there = self.row(table, &uuid).is_some();
        Txn::delete(self, table, uuid);
        there
    }
}

/// Gives the rows of one transaction record to `to`.
fn apply_record(to: &mut impl Rows, json: &Value, faults: Faults, source: &mut UuidSource) -> Result<()> {
    let Some(members) = json.as_object() else {
        return Err(OvsdbError::syntax_in(json, "object expected"));
    };
    let is_diff = members.get("_is_diff") == Some(&Value::Bool(true));
    for (name, rows) in members {
        let Some((id, schema)) = to.table(name) else {
            let annotation = match name.as_str() {
                "_date" => rows.is_i64() || rows.is_u64(),
                "_comment" => true,
                "_is_diff" => rows.is_boolean(),
                _ => false,
            };
            if annotation || faults == Faults::Convert {
                continue;
            }
            let details = format!("No table named {name}.");
            return Err(OvsdbError::new("unknown table", details).within(json));
        };
        let schema = Arc::clone(schema);
        let Some(rows) = rows.as_object() else {
            return Err(OvsdbError::syntax_in(rows, "object expected"));
        };
        for (uuid, row) in rows {
            let Some(uuid) = Uuid::parse(uuid) else {
                let details = format!("\"{uuid}\" is not a valid UUID");
                return Err(OvsdbError::syntax_in(&Value::Object(rows.clone()), details));
            };
            apply_row(to, (id, &schema), uuid, (row, is_diff), faults, source)?;
        }
    }
    Ok(())
}

fn apply_row(
    to: &mut impl Rows,
    (id, schema): (TableId, &Arc<TableSchema>),
    uuid: Uuid,
    (json, is_diff): (&Value, bool),
    faults: Faults,
    source: &mut UuidSource,
) -> Result<()> {
    let members = match json {
        Value::Null if to.delete(id, uuid) => return Ok(()),
        Value::Null => {
            return Err(OvsdbError::syntax(format!("transaction deletes row {uuid} that does not exist")));
        }
        Value::Object(members) => members,
        _ => return Err(OvsdbError::syntax_in(json, "row must be JSON object")),
    };
    let (mut row, diff) = match to.take(id, uuid) {
        Some(row) => (row, is_diff),
        None => (Row::new(uuid, schema), false),
    };
    for (name, value) in members {
        let Some(column) = schema.column_index(name) else {
            if faults == Faults::Convert {
                continue;
            }
            let details = format!("No column {name} in table {}.", schema.name);
            return Err(OvsdbError::new("unknown column", details).within(json));
        };
        let ty = &schema.columns[column].ty;
        if column < 2 {
            // Identity and version are not the log's to say, but have to be some.
            Datum::from_json(value, ty, None)?;
            continue;
        }
        let value = if diff {
            let value = row.field(column).apply_diff(&Datum::from_trusted_json(value, ty)?, ty);
            if faults == Faults::Convert {
                value.check_atoms(ty)?;
            }
            if value.len() < ty.n_min as usize || value.len() > ty.n_max as usize {
                // The misspelling is what Open vSwitch says.
                return Err(OvsdbError::new("ovsdb error", "Datum crated by diff has size error"));
            }
            value
        } else {
            Datum::from_json(value, ty, None)?
        };
        row.set(column, value);
    }
    row.version = source.next_uuid();
    to.put(id, row);
    Ok(())
}

/// Counts references and builds indexes of a database that was filled directly. False if it is not sound: a constraint is
/// not kept, or there are rows or references that a commit would have taken away.
fn settle(db: &mut Database) -> bool {
    let mut sound = true;
    let mut strong: Vec<(usize, Uuid)> = Vec::new();
    let mut weak: Vec<(usize, Uuid, usize, Uuid)> = Vec::new();
    for (id, table) in db.tables.iter_mut().enumerate() {
        for map in &mut table.indexes {
            map.clear();
        }
        table.weak.clear();
        for slot in table.rows.values_mut() {
            slot.refs = 0;
        }
        let schema = Arc::clone(&table.schema);
        for (map, columns) in table.indexes.iter_mut().zip(&schema.indexes) {
            for slot in table.rows.values() {
                let hash = crate::database::index_hash(&slot.row, columns);
                let same = map.entry(hash).or_default();
                same.push(slot.row.uuid);
                sound &= same.len() == 1;
            }
        }
        sound &= table.rows.len() <= schema.max_rows as usize;
        if table.refs.is_empty() {
            continue;
        }
        for slot in table.rows.values() {
            for spec in table.refs.iter() {
                for target in spec.targets(&slot.row) {
                    match spec.kind {
                        RefType::Strong if (spec.target, target) == (id, slot.row.uuid) => {}
                        RefType::Strong => strong.push((spec.target, target)),
                        RefType::Weak => weak.push((spec.target, target, id, slot.row.uuid)),
                    }
                }
            }
        }
    }
    for (table, target) in strong {
        match db.tables[table].rows.get_mut(&target) {
            Some(slot) => slot.refs += 1,
            None => sound = false,
        }
    }
    let kept = |table: &Table| table.schema.is_root || table.rows.values().all(|slot| slot.refs > 0);
    sound &= db.tables.iter().all(kept);
    for (table, target, source_table, source) in weak {
        sound &= db.tables[table].rows.contains_key(&target);
        db.tables[table].weak.entry(target).or_default().insert((source_table, source));
    }
    sound
}
