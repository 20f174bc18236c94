//! One row of the replica.

use ovsdb::schema::COLUMN_UUID;
use ovsdb::{Datum, TableSchema, Uuid};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A row as it was at some moment. Rows never change; an update puts a new one in the old one's
/// place, so whoever holds the old one can compare.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    schema: Arc<TableSchema>,
    uuid: Uuid,
    /// What differs from the columns' defaults, by index of column in the schema: most columns of most rows do not, and
    /// those that are not monitored never do.
    data: Vec<(usize, Datum)>,
}

impl Row {
    /// A row with every column at its default.
    #[must_use]
    pub fn new(schema: Arc<TableSchema>, uuid: Uuid) -> Row {
        let mut data = Vec::with_capacity(4);
        data.push((COLUMN_UUID, Datum::uuid(uuid)));
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

    /// The value of the column with this index; empty if the schema lacks it.
    #[must_use]
    pub fn at(&self, column: usize) -> &Datum {
        static EMPTY: Datum = Datum::empty();
        match self.place(column) {
            Ok(place) => &self.data[place].1,
            Err(_) => self.schema.columns.get(column).map_or(&EMPTY, |column| &column.default),
        }
    }

    /// Where the column's value lies in the data, or would.
    fn place(&self, column: usize) -> Result<usize, usize> {
        self.data.binary_search_by_key(&column, |(at, _)| *at)
    }

    /// The value of the column with this name; empty if the schema lacks it.
    #[must_use]
    pub fn datum(&self, column: &str) -> &Datum {
        self.at(self.schema.column_index(column).unwrap_or(usize::MAX))
    }

    /// As [`Row::datum`], for who asks many rows: `seen` is where the column was found last.
    #[must_use]
    pub(crate) fn datum_seen(&self, column: &str, seen: &AtomicUsize) -> &Datum {
        let at = seen.load(Ordering::Relaxed);
        if self.schema.columns.get(at).is_some_and(|there| &*there.name == column) {
            return self.at(at);
        }
        let found = self.schema.column_index(column);
        seen.store(found.unwrap_or(at), Ordering::Relaxed);
        self.at(found.unwrap_or(usize::MAX))
    }

    /// The columns in which this differs from `other`.
    #[must_use]
    pub fn differing(&self, other: &Row) -> Vec<usize> {
        let mut columns: Vec<usize> = self.data.iter().chain(&other.data).map(|(at, _)| *at).collect();
        columns.sort_unstable();
        columns.dedup();
        columns.retain(|at| self.at(*at) != other.at(*at));
        columns
    }

    pub(crate) fn set(&mut self, column: usize, datum: Datum) {
        let Some(schema) = self.schema.columns.get(column) else { return };
        let is_default = datum == schema.default;
        match self.place(column) {
            Ok(place) if is_default => drop(self.data.remove(place)),
            Ok(place) => self.data[place].1 = datum,
            Err(_) if is_default => {}
            Err(place) => self.data.insert(place, (column, datum)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ovsdb::Atom;

    #[test]
    fn what_is_at_its_default_is_not_kept() {
        let schema = ovsdb::vswitch::vswitch_schema();
        let schema = schema.table("Port").unwrap().clone();
        let (name, tag) = (schema.column_index("name").unwrap(), schema.column_index("tag").unwrap());
        let uuid = Uuid::parse("aaaaaaaa-0000-0000-0000-000000000001").unwrap();
        let empty = Row::new(schema.clone(), uuid);
        let mut row = empty.clone();
        assert_eq!((row.datum("_uuid"), row.at(name)), (&Datum::uuid(uuid), &Datum::string("")));
        row.set(tag, Datum::one(Atom::Integer(7)));
        row.set(name, Datum::string("p"));
        assert_eq!((row.at(name), row.at(tag)), (&Datum::string("p"), &Datum::one(Atom::Integer(7))));
        assert_eq!(row.differing(&empty), [name, tag]);
        assert_eq!(empty.differing(&row), [name, tag]);
        row.set(name, Datum::string(""));
        row.set(tag, Datum::empty());
        assert_eq!((row.data.len(), &row), (1, &empty));
        row.set(usize::MAX, Datum::empty());
        assert_eq!(row.at(usize::MAX), &Datum::empty());
    }

    #[test]
    fn a_column_is_found_again_in_another_schema() {
        let schema = ovsdb::vswitch::vswitch_schema();
        let seen = AtomicUsize::new(0);
        for table in ["Port", "Interface", "Port", "Interface"] {
            let table = schema.table(table).unwrap().clone();
            let name = table.column_index("name").unwrap();
            let mut row = Row::new(table, Uuid::ZERO);
            row.set(name, Datum::string("p"));
            assert_eq!(row.datum_seen("name", &seen), &Datum::string("p"));
            assert_eq!(row.datum_seen("no such", &seen), &Datum::empty());
        }
    }
}
