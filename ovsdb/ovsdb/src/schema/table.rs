//! `<table-schema>`, and sets of its columns.

use std::sync::Arc;

use serde_json::{Map, Value};
use smallvec::SmallVec;

use super::column::ColumnSchema;
use super::{check_schema_name, find_abbreviated};
use crate::error::{OvsdbError, Result};
use crate::parse::{Kinds, Members};
use crate::turn::{Member, Turn, first_fault, turn_of};
use crate::types::{AtomicType, Type};

/// Index of the column `_uuid` in every table.
pub const COLUMN_UUID: usize = 0;
/// Index of the column `_version` in every table.
pub const COLUMN_VERSION: usize = 1;

/// A table.
#[derive(Debug, Clone, PartialEq)]
pub struct TableSchema {
    /// Its name.
    pub name: Arc<str>,
    /// Its columns: `_uuid`, `_version`, then the others sorted by name.
    pub columns: Vec<Arc<ColumnSchema>>,
    /// Whether rows live without a reference to them.
    pub is_root: bool,
    /// What the schema says of changes; it is kept, and hinders none.
    pub mutable: bool,
    /// Most rows.
    pub max_rows: u32,
    /// Sets of columns, by index, that no two rows may have in common.
    pub indexes: Vec<Vec<usize>>,
    /// Of columns, by index: the turn in which Open vSwitch looks for what is wrong with them.
    turn: Turn,
}

/// Some columns of a table, in the order that a request named them.
pub type ColumnSet = SmallVec<[usize; 8]>;

impl TableSchema {
    /// A table of these columns.
    #[must_use]
    pub fn new(name: &str, columns: Vec<ColumnSchema>, is_root: bool) -> Self {
        let mut columns: Vec<(usize, ColumnSchema)> = columns.into_iter().enumerate().collect();
        columns.sort_by(|(_, a), (_, b)| a.name.cmp(&b.name));
        let mut given = vec![0; columns.len()];
        let uuid = Type::scalar(AtomicType::Uuid);
        let mut all = vec![
            Arc::new(ColumnSchema::new("_uuid", uuid.clone(), false, true)),
            // Not in the log: made anew when it is read.
            Arc::new(ColumnSchema::new("_version", uuid, false, false)),
        ];
        for (at, column) in columns {
            given[at] = all.len();
            all.push(Arc::new(column));
        }
        TableSchema {
            name: Arc::from(name),
            columns: all,
            is_root,
            mutable: true,
            max_rows: u32::MAX,
            indexes: Vec::new(),
            turn: Turn::new(given),
        }
    }

    /// Indexes of all columns in the turn in which Open vSwitch lists them and looks for faults of them.
    pub fn columns_in_turn(&self) -> impl Iterator<Item = usize> + '_ {
        let name = |column: &usize| &*self.columns[*column].name;
        let find = |given: &[usize]| {
            // The columns of the schema's text were members of an object before.
            let own = turn_of(&given.iter().map(name).collect::<Vec<_>>()).into_iter().map(|at| given[at]);
            let all: Vec<usize> = [COLUMN_UUID, COLUMN_VERSION].into_iter().chain(own).collect();
            turn_of(&all.iter().map(name).collect::<Vec<_>>()).into_iter().map(|at| all[at]).collect()
        };
        self.turn.get_or_find(find).iter().copied()
    }

    /// Columns that a row holds: all but `_uuid` and `_version`, with their indexes.
    pub fn own_columns(&self) -> impl Iterator<Item = (usize, &Arc<ColumnSchema>)> {
        self.columns.iter().enumerate().skip(2)
    }

    /// Index of the column with this name.
    #[must_use]
    pub fn column_index(&self, name: &str) -> Option<usize> {
        match name {
            "_uuid" => Some(COLUMN_UUID),
            "_version" => Some(COLUMN_VERSION),
            _ => self.columns[2..].binary_search_by(|column| (*column.name).cmp(name)).ok().map(|at| at + 2),
        }
    }

    /// The column with this name.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&Arc<ColumnSchema>> {
        self.column_index(name).map(|at| &self.columns[at])
    }

    /// The column that an abbreviation stands for; else the number of candidates.
    pub fn column_by_abbreviation(&self, abbreviation: &str) -> std::result::Result<&Arc<ColumnSchema>, usize> {
        let names = self.columns.iter().map(|column| &*column.name);
        let name = find_abbreviated(names, abbreviation)?;
        self.column(name).ok_or(0)
    }

    /// Reads `[<column>*]`, distinct names of columns.
    pub fn column_set_from_json(&self, json: Option<&Value>) -> Result<ColumnSet> {
        let Some(json) = json else {
            return Ok((0..self.columns.len()).collect());
        };
        let Value::Array(names) = json else {
            return Err(OvsdbError::syntax_in(json, "array of distinct column names expected"));
        };
        let mut set = ColumnSet::new();
        for name in names {
            let Value::String(name) = name else {
                let text = "array of distinct column names expected";
                return Err(OvsdbError::syntax_in(json, text));
            };
            let Some(at) = self.column_index(name) else {
                let text = format!("{name} is not a valid column name");
                return Err(OvsdbError::syntax_in(json, text));
            };
            if set.contains(&at) {
                let text = "array of distinct column names expected";
                return Err(OvsdbError::syntax_in(json, text));
            }
            set.push(at);
        }
        Ok(set)
    }

    /// Reads `<table-schema>`.
    pub fn from_json(json: &Value, name: &str) -> Result<Self> {
        let mut members = Members::new(json, format!("table schema for table {name}"));
        let columns_json = members.required("columns", Kinds::OBJECT);
        let max_rows = members.optional("maxRows", Kinds::INTEGER);
        let is_root = members.optional("isRoot", Kinds::BOOLEAN);
        let mutable = members.optional("mutable", Kinds::BOOLEAN);
        let indexes = members.optional("indexes", Kinds::ARRAY);
        members.finish()?;
        let max_rows = max_rows.and_then(crate::types::as_integer);
        if max_rows.is_some_and(|n| n < 1) {
            return Err(OvsdbError::syntax_in(json, "maxRows must be at least 1"));
        }
        let columns_json = columns_json.and_then(Value::as_object);
        let given = || columns_json.into_iter().flatten();
        let read = |members: &mut dyn Iterator<Item = Member<'_>>| -> Result<Vec<ColumnSchema>> {
            members
                .map(|(name, column_json)| {
                    check_schema_name(json, name)?;
                    ColumnSchema::from_json(column_json, name)
                })
                .collect()
        };
        let columns =
            read(&mut given()).map_err(|error| first_fault(error, given(), |mut in_turn| read(&mut in_turn)))?;
        if columns.is_empty() {
            return Err(OvsdbError::syntax_in(json, "table must have at least one column"));
        }
        let is_root = is_root.and_then(Value::as_bool).unwrap_or(false);
        let mut table = TableSchema::new(name, columns, is_root);
        table.mutable = mutable.and_then(Value::as_bool).unwrap_or(true);
        table.max_rows = max_rows.map_or(u32::MAX, |n| u32::try_from(n).unwrap_or(u32::MAX));
        for index in indexes.and_then(Value::as_array).into_iter().flatten() {
            let set = table.column_set_from_json(Some(index))?;
            if set.is_empty() {
                let text = "index must have at least one column";
                return Err(OvsdbError::syntax_in(json, text));
            }
            for &at in &set {
                let column = &table.columns[at];
                if !column.persistent {
                    let text = format!("ephemeral columns (such as {}) may not be indexed", column.name);
                    return Err(OvsdbError::syntax_in(json, text));
                }
            }
            table.indexes.push(set.to_vec());
        }
        Ok(table)
    }

    /// `<table-schema>` in its shortest form. `default_is_root` says what a reader takes for
    /// `isRoot` when it is absent.
    #[must_use]
    pub fn to_json(&self, default_is_root: bool) -> Value {
        let mut map = Map::new();
        if self.is_root != default_is_root {
            map.insert("isRoot".into(), Value::from(self.is_root));
        }
        if !self.mutable {
            map.insert("mutable".into(), Value::Bool(false));
        }
        // In the order of Open vSwitch's text, since faults are told in an order that follows from it.
        let own: Vec<usize> = self.columns_in_turn().filter(|at| *at > COLUMN_VERSION).collect();
        let names: Vec<&str> = own.iter().map(|&at| &*self.columns[at].name).collect();
        let columns: Map<String, Value> =
            turn_of(&names).into_iter().map(|at| (names[at].to_owned(), self.columns[own[at]].to_json())).collect();
        map.insert("columns".into(), Value::Object(columns));
        if self.max_rows != u32::MAX {
            map.insert("maxRows".into(), Value::from(self.max_rows));
        }
        if !self.indexes.is_empty() {
            let names = |index: &Vec<usize>| -> Value {
                index.iter().map(|&at| Value::from(&*self.columns[at].name)).collect()
            };
            map.insert("indexes".into(), self.indexes.iter().map(names).collect());
        }
        crate::turn::object_in_turn(map)
    }
}
