//! From a log to a database: the schema record, then transactions. What a log says was checked when
//! it was written, so that rows go in directly and references are counted once, at the end.

use std::sync::Arc;

use serde_json::Value;

use super::record::{LogError, Reader, encode};
use super::storage::Storage;
use crate::database::{Database, Slot};
use crate::datum::Datum;
use crate::error::{OvsdbError, Result};
use crate::row::Row;
use crate::schema::DatabaseSchema;
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
    /// Transaction records read.
    pub records: u64,
}

/// Reads a log into a database.
pub fn open_database(storage: Box<dyn Storage>, source: &mut UuidSource) -> Result<Opened> {
    open_log(storage, source, None)
}

/// Reads a log into a database, under another schema when `schema` is given: tables and columns
/// that it lacks are passed over.
pub fn open_log(
    storage: Box<dyn Storage>,
    source: &mut UuidSource,
    schema: Option<Arc<DatabaseSchema>>,
) -> Result<Opened> {
    let name = storage.name().to_owned();
    let input = storage.reader().map_err(|error| OvsdbError::io(format!("{name}: read failed"), &error))?;
    let mut reader = Reader::new(input, &name);
    let first = reader.next_record().map_err(|failed| failed.error)?;
    let Some(first) = first else {
        let details = format!("{name}: cannot identify file type");
        return Err(OvsdbError::new("ovsdb error", details));
    };
    let converting = schema.is_some();
    let schema = match schema {
        Some(schema) => schema,
        None => Arc::new(DatabaseSchema::from_json(&first.json)?),
    };
    drop(first);
    let mut db = Database::new(Arc::clone(&schema));
    let (mut records, mut warning) = fill(&mut db, &mut reader, u64::MAX, converting, source);
    drop(reader);
    let end = warning.as_ref().map_or(storage.len(), |failed| failed.offset);
    if warning.as_ref().is_some_and(|failed| failed.half_applied) {
        // The record at fault may have left half of itself behind: read again, up to it.
        db = Database::new(schema);
        let input = storage.reader().map_err(|error| OvsdbError::io(format!("{name}: read failed"), &error))?;
        let mut reader = Reader::new(input, &name);
        let _ = reader.next_record();
        let (again, other) = fill(&mut db, &mut reader, records, converting, source);
        records = again;
        warning = warning.or(other);
    }
    settle(&mut db);
    let warning = warning.map(|failed| failed.error);
    let log = LogDb { base_len: end, end, written: 0, storage };
    Ok(Opened { db, log, warning, records })
}

struct Failed {
    offset: u64,
    half_applied: bool,
    error: LogError,
}

/// Applies at most `max` records; says how many, and why it ended before the end.
fn fill<R: std::io::BufRead>(
    db: &mut Database,
    reader: &mut Reader<R>,
    max: u64,
    converting: bool,
    source: &mut UuidSource,
) -> (u64, Option<Failed>) {
    let mut records = 0;
    while records < max {
        let offset = reader.offset();
        match reader.next_record() {
            Ok(None) => break,
            Ok(Some(record)) => {
                if let Err(error) = apply_record(db, &record.json, converting, source) {
                    let error = LogError { offset, error };
                    return (records, Some(Failed { offset, half_applied: true, error }));
                }
                records += 1;
            }
            Err(error) => {
                let offset = error.offset;
                return (records, Some(Failed { offset, half_applied: false, error }));
            }
        }
    }
    (records, None)
}

impl LogDb {
    /// A log of a new database: writes the schema.
    pub fn create(mut storage: Box<dyn Storage>, schema: &DatabaseSchema) -> Result<Self> {
        let bytes = encode(&schema.to_text());
        storage.append(&bytes).map_err(|error| OvsdbError::io(format!("{}: write failed", storage.name()), &error))?;
        let end = storage.len();
        Ok(LogDb { storage, end, base_len: end, written: 0 })
    }

    /// Adds a transaction record.
    pub fn append(&mut self, json: &str) -> Result<()> {
        let name = self.storage.name().to_owned();
        if self.storage.len() > self.end {
            self.storage.truncate(self.end).map_err(|error| {
                let details = format!("{name}: cannot truncate to length {}", self.end);
                OvsdbError::io(details, &error)
            })?;
        }
        self.storage.append(&encode(json)).map_err(|error| OvsdbError::io(format!("{name}: write failed"), &error))?;
        self.end = self.storage.len();
        self.written += 1;
        Ok(())
    }

    /// Whether the log has more than doubled and passed 10 MB since the last compaction.
    #[must_use]
    pub fn grew_lots(&self) -> bool {
        self.end > 10 * 1024 * 1024 && self.end / 2 > self.base_len
    }
}

/// Makes one transaction record part of `db`, unchecked; reference counts and indexes are not
/// touched. Half a record is applied when it is at fault only in its second half.
pub fn apply_record(db: &mut Database, json: &Value, converting: bool, source: &mut UuidSource) -> Result<()> {
    let Some(members) = json.as_object() else {
        return Err(OvsdbError::syntax_in(json, "object expected"));
    };
    let is_diff = members.get("_is_diff") == Some(&Value::Bool(true));
    for (name, rows) in members {
        let Some(id) = db.table_id(name) else {
            let annotation = match name.as_str() {
                "_date" => rows.is_i64() || rows.is_u64(),
                "_comment" => true,
                "_is_diff" => rows.is_boolean(),
                _ => false,
            };
            if annotation || converting {
                continue;
            }
            let details = format!("No table named {name}.");
            return Err(OvsdbError::new("unknown table", details).within(json));
        };
        let Some(rows) = rows.as_object() else {
            return Err(OvsdbError::syntax_in(rows, "object expected"));
        };
        for (uuid, row) in rows {
            let Some(uuid) = Uuid::parse(uuid) else {
                let details = format!("\"{uuid}\" is not a valid UUID");
                return Err(OvsdbError::syntax_in(&Value::Object(rows.clone()), details));
            };
            apply_row(db, id, uuid, row, is_diff, converting, source)?;
        }
    }
    Ok(())
}

fn apply_row(
    db: &mut Database,
    id: usize,
    uuid: Uuid,
    json: &Value,
    is_diff: bool,
    converting: bool,
    source: &mut UuidSource,
) -> Result<()> {
    let table = &mut db.tables[id];
    let members = match json {
        Value::Null => {
            if table.rows.remove(&uuid).is_none() {
                return Err(OvsdbError::syntax(format!("transaction deletes row {uuid} that does not exist")));
            }
            return Ok(());
        }
        Value::Object(members) => members,
        _ => return Err(OvsdbError::syntax_in(json, "row must be JSON object")),
    };
    let existing = table.rows.get(&uuid).map(|slot| Arc::clone(&slot.row));
    let exists = existing.is_some();
    let schema = Arc::clone(&table.schema);
    let mut row = match existing {
        Some(row) => {
            table.rows.remove(&uuid);
            Arc::unwrap_or_clone(row)
        }
        None => Row::new(uuid, &schema),
    };
    for (name, value) in members {
        let Some(column) = schema.column_index(name) else {
            if converting {
                continue;
            }
            let details = format!("No column {name} in table {}.", schema.name);
            return Err(OvsdbError::new("unknown column", details).within(json));
        };
        if column < 2 {
            continue;
        }
        let ty = &schema.columns[column].ty;
        let value = Datum::from_trusted_json(value, ty)?;
        let value = if is_diff && exists { row.field(column).apply_diff(&value, ty) } else { value };
        row.set(column, value);
    }
    row.version = source.next_uuid();
    table.rows.insert(uuid, Slot { row: Arc::new(row), refs: 0 });
    Ok(())
}

/// Counts references and builds indexes of a database that was filled directly.
pub(crate) fn settle(db: &mut Database) {
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
                map.entry(hash).or_default().push(slot.row.uuid);
            }
        }
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
        if let Some(slot) = db.tables[table].rows.get_mut(&target) {
            slot.refs += 1;
        }
    }
    for (table, target, source_table, source) in weak {
        db.tables[table].weak.entry(target).or_default().insert((source_table, source));
    }
}
