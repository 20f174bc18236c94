//! Reading `<monitor-requests>`, `<monitor-cond-requests>` and condition changes.

use std::collections::HashMap;

use serde_json::{Map, Value};

use crate::condition::Condition;
use crate::database::{Database, TableId};
use crate::error::{OvsdbError, Result};
use crate::parse::{Kinds, Members};
use crate::schema::{COLUMN_UUID, TableSchema};
use crate::turn::{Member, first_fault, members_in_turn, turn_of};

/// Which method made the monitor, and thus how updates look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// `monitor`, `update`.
    V1,
    /// `monitor_cond`, `update2`.
    V2,
    /// `monitor_cond_since`, `update3`.
    V3,
}

/// Kinds of changes that are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Select(pub u8);

impl Select {
    /// The rows that are there when the monitor begins.
    pub const INITIAL: Select = Select(1);
    /// New rows.
    pub const INSERT: Select = Select(2);
    /// Rows that go.
    pub const DELETE: Select = Select(4);
    /// Rows that change.
    pub const MODIFY: Select = Select(8);
    /// All of them.
    pub const ALL: Select = Select(15);

    /// Whether the two have a kind in common.
    #[must_use]
    pub fn has(self, other: Select) -> bool {
        self.0 & other.0 != 0
    }
}

/// What is wanted of one table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableShape {
    /// The table.
    pub table: TableId,
    /// Kinds of changes wanted of some column.
    pub select: Select,
    /// Columns, by index in the schema, with the kinds of changes wanted of each.
    pub columns: Vec<(usize, Select)>,
    /// Rows wanted: any clause is enough.
    pub condition: Condition,
    /// The condition that the rows which the client was told of met, where a change of conditions that was refused has put
    /// another in its place.
    pub before: Option<Condition>,
    /// The columns that the condition, or one that it took the place of, looks at.
    pub judged: Vec<usize>,
}

impl TableShape {
    /// What is wanted of a table before anything is.
    fn new(table: TableId) -> Self {
        let (columns, judged) = (Vec::new(), Vec::new());
        TableShape { table, select: Select(0), columns, condition: Condition::default(), before: None, judged }
    }

    /// The condition by which the client was told of rows until now.
    #[must_use]
    pub fn told_by(&self) -> &Condition {
        self.before.as_ref().unwrap_or(&self.condition)
    }

    fn judge(&mut self) {
        for column in self.condition.columns() {
            if !self.judged.contains(&column) {
                self.judged.push(column);
            }
        }
    }

    /// Whether a row is told of in which `changed` columns changed. With what a condition looks at nothing may be told
    /// but that something changed.
    #[must_use]
    pub fn is_changed_by(&self, changed: impl Fn(usize) -> bool) -> bool {
        self.columns.iter().map(|(column, _)| column).chain(&self.judged).any(|column| changed(*column))
    }
}

/// What a monitor wants, its id aside.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shape {
    /// The form of updates.
    pub version: Version,
    /// By table.
    pub tables: Vec<TableShape>,
}

impl Shape {
    /// What is wanted of one table.
    #[must_use]
    pub fn table(&self, id: TableId) -> Option<&TableShape> {
        let at = self.tables.binary_search_by_key(&id, |table| table.table).ok()?;
        Some(&self.tables[at])
    }
}

/// Reads the third parameter of a monitor method.
pub fn parse_monitor_requests(json: &Value, db: &Database, version: Version) -> Result<Shape> {
    let Some(requests) = json.as_object() else {
        return Err(OvsdbError::syntax_in(json, "monitor-requests must be object"));
    };
    let leaders = leaders(requests);
    let parse = |requests: &mut dyn Iterator<Item = Member<'_>>| parse_tables(requests, db, version, &leaders);
    parse(&mut requests.iter()).map_err(|error| first_fault(error, requests.iter(), |mut in_turn| parse(&mut in_turn)))
}

/// Of several requests for one table, by the table's name, the one that says which rows: the one whose condition Open
/// vSwitch finds first among all tables'.
fn leaders(requests: &Map<String, Value>) -> HashMap<&str, usize> {
    let many = |request: &Value| request.as_array().is_some_and(|list| list.len() > 1);
    if !requests.values().any(many) {
        return HashMap::new();
    }
    let mut names = Vec::new();
    let mut numbers = Vec::new();
    for (name, request) in members_in_turn(requests) {
        for number in 0..request.as_array().map_or(1, Vec::len) {
            names.push(name.as_str());
            numbers.push(number);
        }
    }
    let mut leaders = HashMap::new();
    for at in turn_of(&names) {
        leaders.entry(names[at]).or_insert(numbers[at]);
    }
    leaders
}

fn parse_tables(
    requests: &mut dyn Iterator<Item = Member<'_>>,
    db: &Database,
    version: Version,
    leaders: &HashMap<&str, usize>,
) -> Result<Shape> {
    let mut tables = Vec::new();
    for (name, request) in requests {
        let Some(id) = db.table_id(name) else {
            return Err(OvsdbError::syntax(format!("no table named {name}")));
        };
        let schema = &db.table_at(id).schema;
        let mut shape = TableShape::new(id);
        // A lone request stands for an array of one, as ovsdb-server(7) allows.
        let list = match request {
            Value::Array(list) => list.as_slice(),
            other => std::slice::from_ref(other),
        };
        for (at, item) in list.iter().enumerate() {
            let condition = parse_request(item, schema, version, &mut shape)?;
            if at == leaders.get(name.as_str()).copied().unwrap_or(0) {
                shape.condition = condition;
            }
        }
        shape.columns.sort_unstable_by_key(|(column, _)| *column);
        shape.judge();
        tables.push(shape);
    }
    tables.sort_unstable_by_key(|table| table.table);
    Ok(Shape { version, tables })
}

/// Adds a request's columns to a table's; gives its condition.
fn parse_request(json: &Value, schema: &TableSchema, version: Version, shape: &mut TableShape) -> Result<Condition> {
    let mut members = Members::new(json, format!("table {}", schema.name));
    let condition = match version {
        Version::V1 => None,
        _ => members.optional("where", Kinds::ARRAY),
    };
    let columns = members.optional("columns", Kinds::ARRAY);
    let select = members.optional("select", Kinds::OBJECT);
    members.finish()?;
    let select = select.map_or(Ok(Select::ALL), |json| parse_select(json, &schema.name))?;
    shape.select.0 |= select.0;
    match columns {
        None => {
            for column in schema.columns_in_turn() {
                if column != COLUMN_UUID {
                    add_column(shape, column, select, schema, None)?;
                }
            }
        }
        Some(json) => {
            for name in json.as_array().into_iter().flatten() {
                let Some(name) = name.as_str() else {
                    return Err(OvsdbError::syntax_in(json, "array of column names expected"));
                };
                let Some(column) = schema.column_index(name) else {
                    let details = format!("{name} is not a valid column name");
                    return Err(OvsdbError::syntax_in(json, details));
                };
                add_column(shape, column, select, schema, Some(json))?;
            }
        }
    }
    condition.map_or_else(|| Ok(Condition::default()), |condition| Condition::from_json(condition, schema, None))
}

/// `given`: the list that names the column, if one does.
fn add_column(
    shape: &mut TableShape,
    column: usize,
    select: Select,
    schema: &TableSchema,
    given: Option<&Value>,
) -> Result<()> {
    if shape.columns.iter().any(|(c, _)| *c == column) {
        let details = format!("column {} mentioned more than once", schema.columns[column].name);
        return Err(match given {
            Some(json) => OvsdbError::syntax_in(json, details),
            None => OvsdbError::syntax(details),
        });
    }
    shape.columns.push((column, select));
    Ok(())
}

fn parse_select(json: &Value, table: &str) -> Result<Select> {
    let mut members = Members::new(json, format!("table {table} select"));
    let mut select = Select(0);
    let kinds = [
        ("initial", Select::INITIAL),
        ("insert", Select::INSERT),
        ("delete", Select::DELETE),
        ("modify", Select::MODIFY),
    ];
    for (name, kind) in kinds {
        let wanted = members.optional(name, Kinds::BOOLEAN).and_then(Value::as_bool);
        if wanted.unwrap_or(true) {
            select.0 |= kind.0;
        }
    }
    members.finish()?;
    Ok(select)
}

/// Reads the third parameter of `monitor_cond_change`: gives the shape that is in force from there on, and whether all was
/// read. With a fault, the conditions that Open vSwitch reads before it meets that one are in force.
pub fn parse_condition_change(json: &Value, db: &Database, shape: &Shape) -> (Shape, Result<()>) {
    let mut new = shape.clone();
    let Some(requests) = json.as_object() else {
        return (new, Err(OvsdbError::syntax("monitor-cond-change-requests must be object")));
    };
    let mut read = change_conditions(requests.iter(), db, &mut new);
    if read.is_err() {
        new.clone_from(shape);
        read = change_conditions(members_in_turn(requests).into_iter(), db, &mut new);
    }
    for (table, old) in new.tables.iter_mut().zip(&shape.tables) {
        let told_by = Some(old.told_by()).filter(|told_by| read.is_err() && **told_by != table.condition);
        table.before = told_by.cloned();
    }
    (new, read)
}

fn change_conditions<'a>(requests: impl Iterator<Item = Member<'a>>, db: &Database, new: &mut Shape) -> Result<()> {
    let version = new.version;
    for (name, request) in requests {
        let Some(id) = db.table_id(name) else {
            return Err(OvsdbError::syntax(format!("no table named {name}")));
        };
        let Some(table) = new.tables.iter_mut().find(|table| table.table == id) else {
            return Err(OvsdbError::syntax(format!("no table named {name} in monitor session")));
        };
        let Some(list) = request.as_array() else {
            return Err(OvsdbError::syntax(format!("table {name} no monitor-cond-change JSON array")));
        };
        let schema = &db.table_at(id).schema;
        for item in list {
            let mut members = Members::new(item, format!("table {name}"));
            let columns = members.optional("columns", Kinds::ARRAY);
            let condition = members.optional("where", Kinds::ARRAY);
            members.finish()?;
            if columns.is_some() {
                return Err(OvsdbError::syntax_in(item, "changing columns is unsupported"));
            }
            table.condition = match condition {
                // Monitors of the first version have no conditions, and nobody looks at what they are given.
                _ if version == Version::V1 => continue,
                Some(condition) => Condition::from_json(condition, schema, None)?,
                None => Condition::default(),
            };
            table.judge();
        }
    }
    Ok(())
}
