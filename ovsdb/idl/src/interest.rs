//! Which tables, columns and rows the replica holds.

use ovsdb::DatabaseSchema;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// What is wanted of one table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Interest {
    /// The names of columns; `None` for all.
    pub columns: Option<BTreeSet<String>>,
    /// The rows wanted, as `[<condition>*]` of which any must hold (ovsdb-server(7)); `None` for all.
    pub condition: Option<Value>,
}

/// What is wanted of a database: tables by name, or all of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Interests {
    all: bool,
    tables: BTreeMap<String, Interest>,
}

impl Interests {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Interests {
        Interests::default()
    }

    /// Every column of every table.
    #[must_use]
    pub fn everything() -> Interests {
        Interests { all: true, tables: BTreeMap::new() }
    }

    /// Wants the table, with no column named yet.
    pub fn add_table(&mut self, table: &str) {
        self.tables
            .entry(table.to_string())
            .or_insert_with(|| Interest { columns: Some(BTreeSet::new()), condition: None });
    }

    /// Wants a column.
    pub fn add_column(&mut self, table: &str, column: &str) {
        self.add_table(table);
        if let Some(Interest { columns: Some(columns), .. }) = self.tables.get_mut(table) {
            columns.insert(column.to_string());
        }
    }

    /// Wants every column of the table.
    pub fn add_all_columns(&mut self, table: &str) {
        self.tables.entry(table.to_string()).or_default().columns = None;
    }

    /// Wants only the rows for which one of the conditions holds.
    pub fn set_condition(&mut self, table: &str, condition: Value) {
        self.tables.entry(table.to_string()).or_default().condition = Some(condition);
    }

    /// Wants every column that `schema` has, by name.
    #[must_use]
    pub fn of_schema(schema: &DatabaseSchema) -> Interests {
        let mut interests = Interests::new();
        for (name, table) in &schema.tables {
            interests.add_table(name);
            table.own_columns().for_each(|(_, column)| interests.add_column(name, &column.name));
        }
        interests
    }

    /// Wants a column no more.
    pub fn drop_column(&mut self, table: &str, column: &str) {
        if let Some(Interest { columns: Some(columns), .. }) = self.tables.get_mut(table) {
            columns.remove(column);
        }
    }

    /// Wants no more than a database of `schema` has. What it lacks of the tables and columns that are wanted by name:
    /// a line each, in their order, as Open vSwitch words them.
    pub fn restrict(&mut self, schema: &DatabaseSchema) -> Vec<String> {
        let database = &schema.name;
        let mut lacks = Vec::new();
        self.tables.retain(|name, interest| {
            let Some(table) = schema.table(name) else {
                lacks.push(format!("{database} database lacks {name} table (database needs upgrade?)"));
                return false;
            };
            if let Some(columns) = &mut interest.columns {
                columns.retain(|column| {
                    let known = table.column_index(column).is_some();
                    if !known {
                        lacks.push(format!(
                            "{name} table in {database} database lacks {column} column (database needs upgrade?)"
                        ));
                    }
                    known
                });
            }
            true
        });
        lacks
    }

    /// The tables wanted that `schema` has, each with the indexes of its wanted columns and the
    /// condition.
    pub(crate) fn resolve<'a>(&'a self, schema: &DatabaseSchema) -> Vec<(String, Vec<usize>, Option<&'a Value>)> {
        let mut out = Vec::new();
        for (name, table) in &schema.tables {
            let interest = self.tables.get(&**name);
            if interest.is_none() && !self.all {
                continue;
            }
            let columns = table
                .own_columns()
                .filter(|(_, column)| match interest.and_then(|i| i.columns.as_ref()) {
                    Some(wanted) => self.all || wanted.contains(&*column.name),
                    None => true,
                })
                .map(|(index, _)| index)
                .collect();
            out.push((name.to_string(), columns, interest.and_then(|i| i.condition.as_ref())));
        }
        out
    }

    /// `<monitor-requests>`, with conditions if the server knows them.
    pub(crate) fn requests(&self, schema: &DatabaseSchema, with_conditions: bool) -> Value {
        let mut requests = Map::new();
        for (name, columns, condition) in self.resolve(schema) {
            let Some(table) = schema.table(&name) else { continue };
            let names: Vec<&str> = columns.iter().map(|i| &*table.columns[*i].name).collect();
            let mut request = Map::new();
            request.insert("columns".into(), json!(names));
            if let (true, Some(condition)) = (with_conditions, condition) {
                request.insert("where".into(), condition.clone());
            }
            requests.insert(name, json!([request]));
        }
        Value::Object(requests)
    }
}
