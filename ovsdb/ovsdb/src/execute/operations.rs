//! One function an operation. Each reads its members, does its work and appends its result.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use serde_json::Value;
use smallvec::{SmallVec, smallvec};

use super::Run;
use crate::condition::Condition;
use crate::database::TableId;
use crate::datum::Datum;
use crate::error::{OvsdbError, Result};
use crate::mutation::{Mutation, Mutator};
use crate::parse::{Kinds, Members};
use crate::rbac::{self, Deed};
use crate::row::Row;
use crate::schema::{COLUMN_UUID, COLUMN_VERSION, ColumnSchema, ColumnSet, TableSchema};
use crate::symbols::SymbolTable;
use crate::turn::{Member, first_fault, turn_of};
use crate::uuid::Uuid;

/// So many rows of a result tell how long it will be.
const SAMPLE: usize = 1024;

/// Columns with their new values.
type Values = Vec<(usize, Datum)>;

fn read_row(json: &Value, table: &TableSchema, symbols: &mut SymbolTable<'_>) -> Result<Values> {
    let members = || json.as_object().into_iter().flatten();
    read_members(json, members(), table, symbols)
        .map_err(|error| first_fault(error, members(), |in_turn| read_members(json, in_turn, table, symbols)))
}

fn read_members<'a>(
    json: &Value,
    members: impl Iterator<Item = Member<'a>>,
    table: &TableSchema,
    symbols: &mut SymbolTable<'_>,
) -> Result<Values> {
    let mut values = Values::new();
    for (name, value) in members {
        let Some(column) = table.column_index(name) else {
            let details = format!("No column {name} in table {}.", table.name);
            return Err(OvsdbError::new("unknown column", details).within(json));
        };
        let ty = &table.columns[column].ty;
        values.push((column, Datum::from_json(value, ty, Some(symbols))?));
    }
    Ok(values)
}

fn write_count(count: usize, out: &mut String) {
    use std::fmt::Write;
    let _ = write!(out, "{{\"count\":{count}}}");
}

impl Run<'_, '_, '_> {
    fn schema(&self, table: TableId) -> Arc<TableSchema> {
        Arc::clone(&self.txn.database().table_at(table).schema)
    }

    fn denied(&self, what: &str) -> OvsdbError {
        let identity = &self.context.identity;
        OvsdbError::new(
            "permission error",
            format!(
                "RBAC rules for client \"{}\" role \"{}\" prohibit {what}.",
                identity.id.unwrap_or("(null)"),
                identity.role.unwrap_or("(null)")
            ),
        )
    }

    pub(super) fn insert(&mut self, members: &mut Members<'_>, out: &mut String) -> Result<()> {
        let table = self.table(members)?;
        let uuid_json = members.optional("uuid", Kinds::STRING);
        let name_json = members.optional("uuid-name", Kinds::ID);
        let row_json = members.required("row", Kinds::OBJECT);
        members.so_far()?;
        let mut uuid = None;
        if let Some(json) = uuid_json {
            let text = json.as_str().unwrap_or_default();
            let parsed = Uuid::parse(text).ok_or_else(|| OvsdbError::syntax_in(json, "bad uuid"))?;
            if !self.txn.may_create(table, &parsed) {
                let details = "This UUID would duplicate a UUID already present within the table \
                               or deleted within the same transaction.";
                return Err(OvsdbError::new("duplicate uuid", details).within(json));
            }
            uuid = Some(parsed);
        }
        if let Some(json) = name_json {
            let symbol = self.symbols.entry(json.as_str().unwrap_or_default());
            if symbol.created {
                let details = "This \"uuid-name\" appeared on an earlier \"insert\" operation.";
                return Err(OvsdbError::new("duplicate uuid-name", details).within(json));
            }
            if let Some(uuid) = uuid {
                symbol.uuid = uuid;
            }
            symbol.created = true;
            uuid = Some(symbol.uuid);
        }
        let uuid = uuid.unwrap_or_else(|| self.symbols.fresh_uuid());
        let schema = self.schema(table);
        let mut row = Row::new(uuid, &schema);
        row.version = self.symbols.fresh_uuid();
        let values = read_row(row_json.unwrap_or(&Value::Null), &schema, &mut self.symbols)?;
        let mut given: SmallVec<[bool; 64]> = smallvec![false; schema.columns.len()];
        for (column, value) in values {
            if column > COLUMN_VERSION {
                given[column] = true;
                row.set(column, value);
            }
        }
        // Default values may be outside the constraints as well.
        for column in schema.columns_in_turn().filter(|column| *column > COLUMN_VERSION) {
            if !given[column] {
                row.field(column).check_atoms(&schema.columns[column].ty)?;
            }
        }
        let db = self.txn.database();
        if !rbac::may(db, &schema, [&row], Deed::InsertDelete, &self.context.identity) {
            return Err(self.denied(&format!("row insertion into table \"{}\"", schema.name)));
        }
        self.txn.insert(table, row);
        out.push_str("{\"uuid\":[\"uuid\",\"");
        uuid.write(out);
        out.push_str("\"]}");
        Ok(())
    }

    pub(super) fn select(&mut self, members: &mut Members<'_>, out: &mut String) -> Result<()> {
        let table = self.table(members)?;
        let where_json = members.required("where", Kinds::ARRAY);
        let columns_json = members.optional("columns", Kinds::ARRAY);
        let sort_json = members.optional("sort", Kinds::ARRAY);
        members.so_far()?;
        let schema = self.schema(table);
        let condition = self.condition(where_json, &schema)?;
        let columns = schema.column_set_from_json(columns_json)?;
        let sort = sort_json.map(|json| schema.column_set_from_json(Some(json))).transpose()?;
        // Nobody may see a malformed operation's result: nothing is wasted on one.
        let distinct = !columns.contains(&COLUMN_UUID);
        let mut seen = Distinct::new(&columns);
        out.push_str("{\"rows\":[");
        let start = out.len();
        let table_len = self.txn.db.tables[table].len();
        let mut emitted = 0_usize;
        let mut emit = |row: &Arc<Row>| {
            if distinct && !seen.add(row) {
                return;
            }
            if out.len() > start {
                out.push(',');
            }
            row.write_json(&columns, &schema, out);
            emitted += 1;
            if emitted == SAMPLE && !distinct {
                // The rest is likely to be like this: a text that grows by and by is copied as often.
                let likely = (out.len() - start) / SAMPLE * table_len.saturating_sub(SAMPLE);
                out.reserve(likely + likely / 16);
            }
        };
        match sort {
            None => self.txn.for_each_match(table, &condition, emit),
            Some(sort) => {
                let mut rows = self.txn.matching(table, &condition);
                rows.sort_by(|a, b| {
                    let order = sort.iter().map(|&c| a.get(c).cmp(&b.get(c)));
                    order.fold(std::cmp::Ordering::Equal, std::cmp::Ordering::then)
                });
                rows.iter().for_each(&mut emit);
            }
        }
        out.push_str("]}");
        Ok(())
    }

    fn condition(&mut self, json: Option<&Value>, schema: &TableSchema) -> Result<Condition> {
        let json = json.unwrap_or(&Value::Null);
        Condition::from_json(json, schema, Some(&mut self.symbols))
    }

    pub(super) fn update(&mut self, op: &Value, members: &mut Members<'_>, out: &mut String) -> Result<()> {
        let table = self.table(members)?;
        let where_json = members.required("where", Kinds::ARRAY);
        let row_json = members.required("row", Kinds::OBJECT);
        members.so_far()?;
        let schema = self.schema(table);
        let row_json = row_json.unwrap_or(&Value::Null);
        let values = read_row(row_json, &schema, &mut self.symbols)?;
        if values.iter().any(|(column, _)| !schema.columns[*column].mutable) {
            let specs: Vec<&ColumnSchema> = values.iter().map(|(column, _)| &*schema.columns[*column]).collect();
            let names: Vec<&str> = specs.iter().map(|spec| &*spec.name).collect();
            let first = turn_of(&names).into_iter().find(|at| !specs[*at].mutable).map_or("", |at| names[at]);
            let details = format!("Cannot update immutable column {first} in table {}.", schema.name);
            return Err(OvsdbError::constraint(details).within(op));
        }
        let condition = self.condition(where_json, &schema)?;
        let rows = self.txn.matching(table, &condition);
        let columns: Vec<usize> = values.iter().map(|(column, _)| *column).collect();
        let whose = rows.iter().map(|row| &**row);
        if !rbac::may(self.txn.database(), &schema, whose, Deed::Update(&columns), &self.context.identity) {
            return Err(self.denied(&format!("modification of table \"{}\"", schema.name)));
        }
        for row in &rows {
            if values.iter().all(|(column, value)| row.field(*column) == value) {
                continue;
            }
            if let Some(row) = self.txn.modify(table, row.uuid) {
                for (column, value) in &values {
                    row.set(*column, value.clone());
                }
            }
        }
        write_count(rows.len(), out);
        Ok(())
    }

    pub(super) fn mutate(&mut self, members: &mut Members<'_>, out: &mut String) -> Result<()> {
        let table = self.table(members)?;
        let where_json = members.required("where", Kinds::ARRAY);
        let mutations_json = members.required("mutations", Kinds::ARRAY);
        members.so_far()?;
        let schema = self.schema(table);
        let mutations = mutations_json
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .map(|json| Mutation::from_json(json, &schema, Some(&mut self.symbols)))
            .collect::<Result<Vec<_>>>()?;
        let condition = self.condition(where_json, &schema)?;
        let rows = self.txn.matching(table, &condition);
        let whose = rows.iter().map(|row| &**row);
        if !rbac::may(self.txn.database(), &schema, whose, Deed::Mutate(&mutations), &self.context.identity) {
            return Err(self.denied(&format!("mutate operation on table \"{}\"", schema.name)));
        }
        for old in &rows {
            let Some(row) = self.txn.modify(table, old.uuid) else { continue };
            for mutation in &mutations {
                let spec = &schema.columns[mutation.column];
                let value = mutation.apply(row.field(mutation.column), &spec.ty)?;
                row.set(mutation.column, value);
            }
        }
        debug_assert!(mutations.iter().all(|m| m.mutator != Mutator::Add || m.argument.len() == 1));
        write_count(rows.len(), out);
        Ok(())
    }

    pub(super) fn delete(&mut self, members: &mut Members<'_>, out: &mut String) -> Result<()> {
        // Of several faults the first in this order is told.
        let where_json = members.required("where", Kinds::ARRAY);
        members.so_far()?;
        let table = self.table(members)?;
        let schema = self.schema(table);
        let condition = self.condition(where_json, &schema)?;
        let rows = self.txn.matching(table, &condition);
        let whose = rows.iter().map(|row| &**row);
        if !rbac::may(self.txn.database(), &schema, whose, Deed::InsertDelete, &self.context.identity) {
            return Err(self.denied(&format!("row deletion from table \"{}\"", schema.name)));
        }
        for row in &rows {
            self.txn.delete(table, row.uuid);
        }
        write_count(rows.len(), out);
        Ok(())
    }

    pub(super) fn wait(&mut self, members: &mut Members<'_>, out: &mut String) -> Result<()> {
        let timeout_json = members.optional("timeout", Kinds::INTEGER);
        let where_json = members.required("where", Kinds::ARRAY);
        let columns_json = members.optional("columns", Kinds::ARRAY);
        let until_json = members.required("until", Kinds::STRING);
        let rows_json = members.required("rows", Kinds::ARRAY);
        members.so_far()?;
        let table = self.table(members)?;
        // Of several faults the first in this order is told.
        let schema = self.schema(table);
        let condition = self.condition(where_json, &schema)?;
        let columns = schema.column_set_from_json(columns_json)?;
        let mut timeout_ms = None;
        if let Some(json) = timeout_json {
            let ms = json.as_f64().unwrap_or(0.0);
            if ms < 0.0 {
                return Err(OvsdbError::syntax_in(json, "timeout must be nonnegative"));
            }
            timeout_ms = Some(ms as u64);
        }
        let until = until_json.unwrap_or(&Value::Null);
        let want_equal = match until.as_str() {
            Some("==") => true,
            Some("!=") => false,
            _ => {
                let details = "\"until\" must be \"==\" or \"!=\"";
                return Err(OvsdbError::syntax_in(until, details));
            }
        };
        let mut expected = Distinct::new(&columns);
        for json in rows_json.and_then(Value::as_array).into_iter().flatten() {
            if !json.is_object() {
                return Err(OvsdbError::syntax_in(json, "row must be JSON object"));
            }
            let mut row = Row::new(Uuid::ZERO, &schema);
            for (column, value) in read_row(json, &schema, &mut self.symbols)? {
                match column {
                    COLUMN_UUID => row.uuid = value.as_uuid().unwrap_or_default(),
                    COLUMN_VERSION => row.version = value.as_uuid().unwrap_or_default(),
                    _ => row.set(column, value),
                }
            }
            expected.add(&Arc::new(row));
        }
        let mut actual = Distinct::new(&columns);
        self.txn.for_each_match(table, &condition, |row| {
            actual.add(row);
        });
        if (expected.equals(&actual)) == want_equal {
            out.push_str("{}");
            return Ok(());
        }
        let elapsed = self.context.elapsed_ms;
        if timeout_ms.is_some_and(|ms| ms <= elapsed) {
            return Err(OvsdbError::new(
                "timed out",
                if elapsed > 0 {
                    format!("\"wait\" timed out after {elapsed} ms")
                } else {
                    "\"where\" clause test failed".to_owned()
                },
            ));
        }
        if self.context.never_block {
            return Err(OvsdbError::new("not supported", "triggers not supported"));
        }
        // Its form may still be at fault: then it must not wait.
        self.blocked = true;
        self.timeout_ms = timeout_ms;
        Err(OvsdbError::internal("blocked"))
    }

    pub(super) fn commit(&mut self, members: &mut Members<'_>, out: &mut String) -> Result<()> {
        let durable = members.required("durable", Kinds::BOOLEAN);
        members.so_far()?;
        self.txn.durable |= durable.and_then(Value::as_bool).unwrap_or(false);
        out.push_str("{}");
        Ok(())
    }

    pub(super) fn abort(&mut self, members: &mut Members<'_>) -> Result<()> {
        members.so_far()?;
        Err(OvsdbError::new("aborted", "aborted by request"))
    }

    pub(super) fn comment(&mut self, members: &mut Members<'_>, out: &mut String) -> Result<()> {
        let comment = members.required("comment", Kinds::STRING);
        members.so_far()?;
        self.txn.comment(comment.and_then(Value::as_str).unwrap_or_default());
        out.push_str("{}");
        Ok(())
    }

    pub(super) fn assert(&mut self, members: &mut Members<'_>, out: &mut String) -> Result<()> {
        let lock = members.required("lock", Kinds::ID);
        members.so_far()?;
        let lock = lock.and_then(Value::as_str).unwrap_or_default();
        if !(self.context.owns_lock)(lock) {
            let details = format!("Asserted lock {lock} not held.");
            return Err(OvsdbError::new("not owner", details));
        }
        out.push_str("{}");
        Ok(())
    }
}

/// A set of rows that are one when they agree in some columns.
struct Distinct<'a> {
    columns: &'a ColumnSet,
    rows: std::collections::HashMap<u64, Vec<Arc<Row>>>,
    len: usize,
}

impl<'a> Distinct<'a> {
    fn new(columns: &'a ColumnSet) -> Self {
        Distinct { columns, rows: std::collections::HashMap::new(), len: 0 }
    }

    fn hash(&self, row: &Row) -> u64 {
        let mut hasher = DefaultHasher::new();
        for &column in self.columns {
            row.get(column).hash(&mut hasher);
        }
        hasher.finish()
    }

    fn contains(&self, hash: u64, row: &Row) -> bool {
        let same = |other: &Arc<Row>| self.columns.iter().all(|&c| other.get(c) == row.get(c));
        self.rows.get(&hash).is_some_and(|rows| rows.iter().any(same))
    }

    /// False when an equal row is there.
    fn add(&mut self, row: &Arc<Row>) -> bool {
        let hash = self.hash(row);
        if self.contains(hash, row) {
            return false;
        }
        self.rows.entry(hash).or_default().push(Arc::clone(row));
        self.len += 1;
        true
    }

    fn equals(&self, other: &Distinct<'_>) -> bool {
        self.len == other.len && self.rows.iter().all(|(&hash, rows)| rows.iter().all(|row| other.contains(hash, row)))
    }
}
