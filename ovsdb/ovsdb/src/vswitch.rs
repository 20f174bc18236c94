//! The Open_vSwitch schema, built in: the tables, columns and constraints of Open vSwitch 3.1
//! (ovs-vswitchd.conf.db(5)).
//!
//! It stands here twice: as the text that is installed, and as tables that the build makes of that text. A program that
//! only wants to know what the columns are, as `ovs-vsctl` at each of its starts, reads no JSON.

use std::sync::Arc;

use crate::atom::Atom;
use crate::datum::Datum;
use crate::schema::{ColumnSchema, DatabaseSchema, TableSchema};
use crate::types::{AtomicType, BaseType, Constraint, RefType, Reference, Type, UNLIMITED};

/// The schema's text: what is installed as `vswitch.ovsschema`.
pub const VSWITCH_SCHEMA: &str = include_str!("../schema/vswitch.ovsschema");

/// A table, as the build writes it.
struct Table {
    name: &'static str,
    is_root: bool,
    max_rows: u32,
    indexes: &'static [&'static [&'static str]],
    columns: &'static [Column],
}

/// A column, as the build writes it.
struct Column {
    name: &'static str,
    key: Base,
    value: Option<Base>,
    n_min: u32,
    n_max: u32,
    mutable: bool,
    persistent: bool,
}

/// A base type, as the build writes it.
struct Base {
    kind: AtomicType,
    limit: Limit,
}

/// The constraints that this schema has.
enum Limit {
    Any,
    Enum(&'static [&'static str]),
    Integer(i64, i64),
    Row { table: &'static str, weak: bool },
}

include!(concat!(env!("OUT_DIR"), "/vswitch.rs"));

/// The schema.
#[must_use]
pub fn vswitch_schema() -> DatabaseSchema {
    let mut tables: Vec<TableSchema> = TABLES.iter().map(Table::schema).collect();
    // As of any schema: when no table says `isRoot`, all are roots.
    if tables.iter().all(|table| !table.is_root) {
        tables.iter_mut().for_each(|table| table.is_root = true);
    }
    DatabaseSchema::new(NAME, VERSION.to_owned(), CKSUM.to_owned(), tables)
}

impl Table {
    fn schema(&self) -> TableSchema {
        let columns = self.columns.iter().map(|column| {
            let ty = Type {
                key: column.key.base_type(),
                value: column.value.as_ref().map(Base::base_type),
                n_min: column.n_min,
                n_max: column.n_max,
            };
            ColumnSchema::new(column.name, ty, column.mutable, column.persistent)
        });
        let mut table = TableSchema::new(self.name, columns.collect(), self.is_root);
        table.max_rows = self.max_rows;
        table.indexes = self
            .indexes
            .iter()
            .map(|index| index.iter().filter_map(|name| table.column_index(name)).collect())
            .collect();
        table
    }
}

impl Base {
    fn base_type(&self) -> BaseType {
        let constraint = match self.limit {
            Limit::Any => Constraint::Any,
            Limit::Enum(values) => Constraint::Enum(Datum::set(values.iter().map(|value| Atom::string(value)))),
            Limit::Integer(low, high) => Constraint::Integer(low, high),
            Limit::Row { table, weak } => {
                let kind = if weak { RefType::Weak } else { RefType::Strong };
                Constraint::Reference(Reference { table: Arc::from(table), kind })
            }
        };
        BaseType { kind: self.kind, constraint }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_what_its_text_says() {
        let schema = vswitch_schema();
        assert_eq!(schema, DatabaseSchema::from_text(VSWITCH_SCHEMA).unwrap());
        assert_eq!(&*schema.name, "Open_vSwitch");
        assert_eq!(schema.version, "8.3.1");
        assert!(schema.table("Bridge").is_some_and(|table| table.indexes.len() == 1));
        assert!(!schema.table("Interface").unwrap().is_root);
    }
}
