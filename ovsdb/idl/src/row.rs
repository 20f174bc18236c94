//! One row of the replica.

use ovsdb::{Datum, TableSchema, Uuid};
use std::sync::Arc;

/// A row as it was at some moment. Rows never change; an update puts a new one in the old one's
/// place, so whoever holds the old one can compare.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    schema: Arc<TableSchema>,
    uuid: Uuid,
    /// By index of column in the schema; columns that are not monitored have their defaults.
    data: Vec<Datum>,
}

impl Row {
    /// A row with every column at its default.
    #[must_use]
    pub fn new(schema: Arc<TableSchema>, uuid: Uuid) -> Row {
        let mut data: Vec<Datum> = schema.columns.iter().map(|column| column.default.clone()).collect();
        if let Some(first) = data.first_mut() {
            *first = Datum::uuid(uuid);
        }
        Row { schema, uuid, data }
    }

    /// The row's identity.
    #[must_use]
    pub fn uuid(&self) -> Uuid {
        self.uuid
    }

    /// The table's schema.
    #[must_use]
    pub fn schema(&self) -> &Arc<TableSchema> {
        &self.schema
    }

    /// The value of the column with this index.
    #[must_use]
    pub fn at(&self, column: usize) -> &Datum {
        static EMPTY: Datum = Datum::empty();
        self.data.get(column).unwrap_or(&EMPTY)
    }

    /// The value of the column with this name; empty if the schema lacks it.
    #[must_use]
    pub fn datum(&self, column: &str) -> &Datum {
        self.at(self.schema.column_index(column).unwrap_or(usize::MAX))
    }

    pub(crate) fn set(&mut self, column: usize, datum: Datum) {
        if let Some(slot) = self.data.get_mut(column) {
            *slot = datum;
        }
    }

    /// The columns in which this differs from `other`.
    #[must_use]
    pub fn differing(&self, other: &Row) -> Vec<usize> {
        (0..self.data.len()).filter(|i| self.at(*i) != other.at(*i)).collect()
    }
}
