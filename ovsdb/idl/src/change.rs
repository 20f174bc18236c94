//! What has changed in the replica since it was last asked.

use crate::row::Row;
use ovsdb::Uuid;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The change of one row between two looks at the replica, however many updates lay between.
#[derive(Clone, Debug, PartialEq)]
pub struct RowChange {
    /// The row before; `None` if it has been inserted.
    pub old: Option<Arc<Row>>,
    /// The row now; `None` if it has been deleted.
    pub new: Option<Arc<Row>>,
}

impl RowChange {
    /// Whether the row is new.
    #[must_use]
    pub fn is_insert(&self) -> bool {
        self.old.is_none()
    }

    /// Whether the row is gone.
    #[must_use]
    pub fn is_delete(&self) -> bool {
        self.new.is_none()
    }

    /// Whether the column's value differs; for a row that has come or gone, whether it was or is
    /// other than the default.
    #[must_use]
    pub fn touches(&self, column: &str) -> bool {
        let side = |row: &Option<Arc<Row>>| row.as_ref().map(|row| row.datum(column).clone());
        match (side(&self.old), side(&self.new)) {
            (Some(old), Some(new)) => old != new,
            (Some(one), None) | (None, Some(one)) => {
                let row = self.old.as_ref().or(self.new.as_ref());
                row.and_then(|row| row.schema().column(column).cloned()).is_some_and(|c| one != c.default)
            }
            (None, None) => false,
        }
    }
}

/// Changes by table and row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes {
    tables: BTreeMap<Arc<str>, BTreeMap<Uuid, RowChange>>,
}

impl Changes {
    /// Whether nothing has changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    /// The names of the tables in which something has changed.
    pub fn tables(&self) -> impl Iterator<Item = &str> {
        self.tables.keys().map(|name| &**name)
    }

    /// The rows of `table` that have changed, in order of their UUIDs.
    pub fn rows(&self, table: &str) -> impl Iterator<Item = (Uuid, &RowChange)> {
        self.tables.get(table).into_iter().flatten().map(|(uuid, change)| (*uuid, change))
    }

    /// Whether any row of `table` has changed in `column`, has come or has gone.
    #[must_use]
    pub fn touch(&self, table: &str, column: &str) -> bool {
        self.rows(table).any(|(_, change)| change.is_insert() || change.is_delete() || change.touches(column))
    }

    /// Notes that a table that had no rows has these.
    pub(crate) fn note_filled<'r>(&mut self, table: &Arc<str>, rows: impl Iterator<Item = &'r Arc<Row>>) {
        if self.tables.contains_key(table) {
            return rows.for_each(|row| self.note(None, Some(row.clone())));
        }
        let noted: BTreeMap<Uuid, RowChange> =
            rows.map(|row| (row.uuid(), RowChange { old: None, new: Some(row.clone()) })).collect();
        if !noted.is_empty() {
            self.tables.insert(table.clone(), noted);
        }
    }

    /// Notes that `old` has become `new`, folding it into what was noted of the row before.
    pub(crate) fn note(&mut self, old: Option<Arc<Row>>, new: Option<Arc<Row>>) {
        let Some(any) = old.as_ref().or(new.as_ref()) else { return };
        let (name, uuid) = (any.schema().name.clone(), any.uuid());
        let rows = self.tables.entry(name.clone()).or_default();
        match rows.get_mut(&uuid) {
            Some(change) => {
                change.new = new;
                if change.old == change.new {
                    rows.remove(&uuid);
                }
            }
            None => {
                rows.insert(uuid, RowChange { old, new });
            }
        }
        if rows.is_empty() {
            self.tables.remove(&name);
        }
    }
}
