//! `<database-schema>`.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};
use sha1::{Digest, Sha1};

use super::table::TableSchema;
use super::{check_schema_name, find_abbreviated};
use crate::error::{OvsdbError, Result};
use crate::parse::{Kinds, Members};
use crate::turn::{Member, Turn, first_fault, turn_of};

/// A database's schema.
#[derive(Debug, Clone, PartialEq)]
pub struct DatabaseSchema {
    /// The name of the database.
    pub name: Arc<str>,
    /// `x.y.z`, or empty.
    pub version: String,
    /// The checksum that the author gave it, or empty. Nobody checks it.
    pub cksum: String,
    /// Tables by name.
    pub tables: BTreeMap<Arc<str>, Arc<TableSchema>>,
    /// Of tables, by their place among the names: the turn in which Open vSwitch lists them.
    turn: Turn,
}

/// Whether `version` has the form `x.y.z`.
#[must_use]
pub fn is_valid_version(version: &str) -> bool {
    let parts: Vec<&str> = version.split('.').collect();
    // As scanf(3) reads numbers: blanks and a sign may precede the digits.
    let number = |part: &str| {
        let part = part.trim_ascii_start();
        let digits = part.strip_prefix(['+', '-']).unwrap_or(part);
        !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
    };
    parts.len() == 3 && parts.iter().all(|part| number(part))
}

/// Has the log hold every column that may keep a row alive: were it ephemeral, a row whose only
/// reference is there would be gone when the log is read again.
fn keep_sole_references(tables: &mut BTreeMap<Arc<str>, TableSchema>) {
    let roots: Vec<Arc<str>> =
        tables.iter().filter(|(_, table)| table.is_root).map(|(name, _)| Arc::clone(name)).collect();
    for column in tables.values_mut().flat_map(|table| &mut table.columns) {
        if !column.persistent && column.ty.strong_tables().any(|table| !roots.contains(table)) {
            Arc::make_mut(column).persistent = true;
        }
    }
}

impl DatabaseSchema {
    /// A database of these tables, in the order in which the schema's text has them.
    #[must_use]
    pub fn new(name: &str, version: String, cksum: String, tables: Vec<TableSchema>) -> Self {
        let given: Vec<Arc<str>> = tables.iter().map(|table| Arc::clone(&table.name)).collect();
        let tables: BTreeMap<Arc<str>, Arc<TableSchema>> =
            tables.into_iter().map(|table| (Arc::clone(&table.name), Arc::new(table))).collect();
        let places = given.iter().filter_map(|name| tables.keys().position(|known| known == name));
        let turn = Turn::new(places.collect());
        DatabaseSchema { name: Arc::from(name), version, cksum, tables, turn }
    }

    /// A database without tables, of which nothing else is known.
    #[must_use]
    pub fn empty(name: &str) -> Self {
        DatabaseSchema::new(name, String::new(), String::new(), Vec::new())
    }

    /// The tables in the turn in which Open vSwitch lists them.
    pub fn tables_in_turn(&self) -> impl Iterator<Item = &Arc<TableSchema>> {
        let tables: Vec<&Arc<TableSchema>> = self.tables.values().collect();
        let find = |given: &[usize]| {
            let in_turn = |places: &[usize]| -> Vec<usize> {
                let names: Vec<&str> = places.iter().map(|at| &*tables[*at].name).collect();
                turn_of(&names).into_iter().map(|at| places[at]).collect()
            };
            // They were members of an object before.
            in_turn(&in_turn(given))
        };
        self.turn.get_or_find(find).iter().filter_map(move |&at| tables.get(at).copied())
    }

    /// The table with this name.
    #[must_use]
    pub fn table(&self, name: &str) -> Option<&Arc<TableSchema>> {
        self.tables.get(name)
    }

    /// The table that an abbreviation stands for; else the number of candidates.
    pub fn table_by_abbreviation(&self, abbreviation: &str) -> std::result::Result<&Arc<TableSchema>, usize> {
        let name = find_abbreviated(self.tables.keys().map(|name| &**name), abbreviation)?;
        self.table(name).ok_or(0)
    }

    /// Reads `<database-schema>` from text.
    pub fn from_text(text: &str) -> Result<Self> {
        let limits = jsonrpc::Limits::default();
        let json = jsonrpc::parse_value(&octets::of_text(text), limits)
            .map_err(|error| OvsdbError::syntax(error.to_string()))?;
        DatabaseSchema::from_json(&json)
    }

    /// Reads `<database-schema>`. When no table says `isRoot`, all are roots.
    pub fn from_json(json: &Value) -> Result<Self> {
        let mut members = Members::new(json, "database schema");
        let name = members.required("name", Kinds::ID);
        let version = members.optional("version", Kinds::STRING);
        let cksum = members.optional("cksum", Kinds::STRING);
        let tables_json = members.required("tables", Kinds::OBJECT);
        // A mark of schemas that were edited by hand.
        members.optional("x", Kinds::ANY);
        members.finish()?;
        let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
        let version = text(version);
        if !version.is_empty() && !is_valid_version(&version) {
            let text = format!("schema version \"{version}\" not in format x.y.z");
            return Err(OvsdbError::syntax_in(json, text));
        }
        let given = || tables_json.and_then(Value::as_object).into_iter().flatten();
        let read = |members: &mut dyn Iterator<Item = Member<'_>>| -> Result<BTreeMap<Arc<str>, TableSchema>> {
            members
                .map(|(name, table_json)| {
                    check_schema_name(json, name)?;
                    Ok((Arc::from(name.as_str()), TableSchema::from_json(table_json, name)?))
                })
                .collect()
        };
        let mut tables =
            read(&mut given()).map_err(|error| first_fault(error, given(), |mut in_turn| read(&mut in_turn)))?;
        if tables.values().all(|table: &TableSchema| !table.is_root) {
            for table in tables.values_mut() {
                table.is_root = true;
            }
        }
        keep_sole_references(&mut tables);
        let given = tables_json.and_then(Value::as_object).into_iter().flatten();
        let tables = given.filter_map(|(name, _)| tables.remove(name.as_str())).collect();
        let schema = DatabaseSchema::new(&text(name), version, text(cksum), tables);
        schema.check_references()?;
        Ok(schema)
    }

    fn check_references(&self) -> Result<()> {
        for table in self.tables.values() {
            for (_, column) in table.own_columns() {
                let bases = [("key", Some(&column.ty.key)), ("value", column.ty.value.as_ref())];
                for (part, base) in bases {
                    let Some(reference) = base.and_then(|base| base.reference()) else { continue };
                    if self.table(&reference.table).is_none() {
                        return Err(OvsdbError::syntax(format!(
                            "column {} {part} refers to undefined table {}",
                            column.name, reference.table
                        )));
                    }
                }
            }
        }
        Ok(())
    }

    /// `<database-schema>` in its shortest form.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut map = Map::new();
        map.insert("name".into(), Value::from(&*self.name));
        if !self.version.is_empty() {
            map.insert("version".into(), Value::from(self.version.as_str()));
        }
        if !self.cksum.is_empty() {
            map.insert("cksum".into(), Value::from(self.cksum.as_str()));
        }
        let all_roots = self.tables.values().all(|table| table.is_root);
        let tables: Vec<&Arc<TableSchema>> = self.tables_in_turn().collect();
        let names: Vec<&str> = tables.iter().map(|table| &*table.name).collect();
        let tables: Map<String, Value> =
            turn_of(&names).into_iter().map(|at| (names[at].to_owned(), tables[at].to_json(all_roots))).collect();
        map.insert("tables".into(), Value::Object(tables));
        crate::turn::object_in_turn(map)
    }

    /// The text of [`DatabaseSchema::to_json`].
    #[must_use]
    pub fn to_text(&self) -> String {
        jsonrpc::text::to_text(&self.to_json())
    }

    /// SHA-1 of the schema's shortest form, names sorted, in hex: equal schemas have equal sums.
    #[must_use]
    pub fn sha1(&self) -> String {
        let text = jsonrpc::text::to_sorted_text(&self.to_json());
        crate::log::hex(&Sha1::digest(text.as_bytes()))
    }

    /// Whether data of one schema has to be converted to live under the other: whatever the version
    /// and the checksum say, as `ovsdb-tool needs-conversion` judges them.
    #[must_use]
    pub fn needs_conversion(&self, to: &DatabaseSchema) -> bool {
        self != to
    }
}
