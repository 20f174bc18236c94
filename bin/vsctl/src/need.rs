//! Which tables and columns the commands need, and how they are named on the command line.

use crate::{Outcome, fail};
use idl::Interests;
use ovsdb::{ColumnSchema, DatabaseSchema, TableSchema};
use std::sync::Arc;

/// Gathers needs.
pub(crate) struct Need<'a> {
    pub schema: &'a DatabaseSchema,
    pub interests: Interests,
}

impl Need<'_> {
    /// Needs a column by its exact name.
    pub fn column(&mut self, table: &str, column: &str) {
        self.interests.add_column(table, column);
    }

    /// Needs columns by their exact names.
    pub fn columns(&mut self, table: &str, columns: &[&str]) {
        for column in columns {
            self.column(table, column);
        }
    }

    /// Needs the rows of a table but none of its columns.
    pub fn table(&mut self, table: &str) {
        self.interests.add_table(table);
    }
}

/// The table that `name` names or abbreviates.
pub(crate) fn find_table<'a>(schema: &'a DatabaseSchema, name: &str) -> Outcome<&'a Arc<TableSchema>> {
    match schema.table_by_abbreviation(name) {
        Ok(table) => Ok(table),
        Err(n) if n == 0 || name.is_empty() => fail(format!("unknown table \"{name}\"")),
        Err(_) => {
            let list = candidates(schema.tables.keys().map(|n| &**n), name);
            fail(format!("\"{name}\" matches multiple table names: {list}"))
        }
    }
}

/// The column that `name` names or abbreviates; `_uuid` only if `with_uuid`.
pub(crate) fn find_column<'a>(table: &'a TableSchema, name: &str, with_uuid: bool) -> Outcome<&'a Arc<ColumnSchema>> {
    let first = if with_uuid && name.eq_ignore_ascii_case("_uuid") { 0 } else { 2 };
    let names = || table.columns[first..].iter().map(|column| &*column.name);
    match ovsdb::schema::find_abbreviated(names(), name) {
        Ok(name) => match table.column(name) {
            Some(column) => Ok(column),
            None => fail(format!("{} does not contain a column whose name matches \"{name}\"", table.name)),
        },
        Err(0) => fail(format!("{} does not contain a column whose name matches \"{name}\"", table.name)),
        Err(_) => {
            let list = candidates(names(), name);
            fail(format!("{} contains more than one column whose name matches \"{name}\": {list}", table.name))
        }
    }
}

fn candidates<'a>(names: impl Iterator<Item = &'a str>, abbreviation: &str) -> String {
    let fold = |text: &str| text.replace('-', "_").to_ascii_lowercase();
    let wanted = fold(abbreviation);
    names.filter(|name| fold(name).starts_with(&wanted)).collect::<Vec<_>>().join(", ")
}
