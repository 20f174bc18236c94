//! Rows: immutable, shared, as small as the values in them.

use std::borrow::Cow;

use jsonrpc::text::write_string;

use crate::atom::Atom;
use crate::datum::Datum;
use crate::schema::{COLUMN_UUID, COLUMN_VERSION, TableSchema};
use crate::uuid::Uuid;

/// One row. Columns are named by their index in the table's schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its identity, `_uuid`.
    pub uuid: Uuid,
    /// Changes with every change of the row, `_version`.
    pub version: Uuid,
    /// Values of the columns after `_uuid` and `_version`.
    pub fields: Box<[Datum]>,
}

impl Row {
    /// A row with the default values of its columns.
    #[must_use]
    pub fn new(uuid: Uuid, schema: &TableSchema) -> Self {
        let fields = schema.own_columns().map(|(_, column)| column.default.clone()).collect();
        Row { uuid, version: Uuid::ZERO, fields }
    }

    /// The value of any column.
    #[must_use]
    pub fn get(&self, column: usize) -> Cow<'_, Datum> {
        match column {
            COLUMN_UUID => Cow::Owned(Datum::one(Atom::Uuid(self.uuid))),
            COLUMN_VERSION => Cow::Owned(Datum::one(Atom::Uuid(self.version))),
            _ => Cow::Borrowed(&self.fields[column - 2]),
        }
    }

    /// The value of a column other than `_uuid` and `_version`.
    #[must_use]
    pub fn field(&self, column: usize) -> &Datum {
        &self.fields[column - 2]
    }

    /// Sets a column other than `_uuid` and `_version`.
    pub fn set(&mut self, column: usize, value: Datum) {
        self.fields[column - 2] = value;
    }

    /// Appends `"name":<value>` of a column.
    pub fn write_member(&self, column: usize, schema: &TableSchema, out: &mut String) {
        let spec = &schema.columns[column];
        write_string(out, &spec.name);
        out.push(':');
        match column {
            COLUMN_UUID => Atom::Uuid(self.uuid).write_json(out),
            COLUMN_VERSION => Atom::Uuid(self.version).write_json(out),
            _ => self.field(column).write_json(spec.is_map(), out),
        }
    }

    /// Appends `<row>` with these columns.
    pub fn write_json(&self, columns: &[usize], schema: &TableSchema, out: &mut String) {
        out.push('{');
        for (i, &column) in columns.iter().enumerate() {
            if i > 0 {
                out.push(',');
            }
            self.write_member(column, schema, out);
        }
        out.push('}');
    }
}
