//! The replica: rows by table and identity.

use crate::change::Changes;
use crate::row::Row;
use ovsdb::{DatabaseSchema, Uuid};
use std::collections::BTreeMap;
use std::sync::Arc;

type Rows = BTreeMap<Uuid, Arc<Row>>;

/// A copy of the monitored part of a database. Cloning it is a snapshot that shares its rows.
#[derive(Clone, Debug)]
pub struct Replica {
    schema: Arc<DatabaseSchema>,
    tables: BTreeMap<Arc<str>, Rows>,
}

impl Replica {
    /// An empty replica.
    #[must_use]
    pub fn new(schema: Arc<DatabaseSchema>) -> Replica {
        Replica { schema, tables: BTreeMap::new() }
    }

    /// The schema by which the server described the database.
    #[must_use]
    pub fn schema(&self) -> &Arc<DatabaseSchema> {
        &self.schema
    }

    /// The rows of `table` in order of their UUIDs.
    pub fn rows(&self, table: &str) -> impl Iterator<Item = &Arc<Row>> {
        self.tables.get(table).into_iter().flat_map(Rows::values)
    }

    /// The number of rows of `table`.
    #[must_use]
    pub fn count(&self, table: &str) -> usize {
        self.tables.get(table).map_or(0, Rows::len)
    }

    /// Whether it has no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tables.values().all(Rows::is_empty)
    }

    /// One row.
    #[must_use]
    pub fn row(&self, table: &str, uuid: Uuid) -> Option<&Arc<Row>> {
        self.tables.get(table)?.get(&uuid)
    }

    /// The first row, for tables that have at most one.
    #[must_use]
    pub fn first(&self, table: &str) -> Option<&Arc<Row>> {
        self.rows(table).next()
    }

    /// Puts a row in its place, or takes it away, and notes the change.
    pub(crate) fn put(&mut self, table: &Arc<str>, uuid: Uuid, row: Option<Row>, changes: &mut Changes) {
        let rows = self.tables.entry(table.clone()).or_default();
        let new = row.map(Arc::new);
        let old = match &new {
            Some(row) => rows.insert(uuid, row.clone()),
            None => rows.remove(&uuid),
        };
        if old != new {
            changes.note(old, new);
        }
    }

    /// Puts rows into a table that has none.
    pub(crate) fn fill(&mut self, table: &Arc<str>, rows: Vec<Row>, changes: &mut Changes) {
        let rows: Rows = rows.into_iter().map(|row| (row.uuid(), Arc::new(row))).collect();
        changes.note_filled(table, rows.values());
        self.tables.insert(table.clone(), rows);
    }

    /// Every row's table and identity.
    pub(crate) fn identities(&self) -> Vec<(Arc<str>, Uuid)> {
        self.tables.iter().flat_map(|(table, rows)| rows.keys().map(move |uuid| (table.clone(), *uuid))).collect()
    }
}
