//! Schemas: databases, tables and columns (RFC 7047 section 3.2), read with every check the RFC
//! asks for and written in their shortest form.

mod column;
mod database;
mod table;

pub use column::ColumnSchema;
pub use database::{DatabaseSchema, is_valid_version};
pub use table::{COLUMN_UUID, COLUMN_VERSION, ColumnSet, TableSchema};

use crate::error::{OvsdbError, Result};
use crate::parse::is_id;

/// Checks a name of a table, column or index in a schema.
fn check_schema_name(json: &serde_json::Value, name: &str) -> Result<()> {
    if name.starts_with('_') {
        return Err(OvsdbError::syntax_in(json, "names beginning with \"_\" are reserved"));
    }
    if !is_id(name) {
        return Err(OvsdbError::syntax_in(json, "name must be a valid id"));
    }
    Ok(())
}

/// Finds the one name that `abbreviation` stands for, as command-line programs do: the exact name,
/// or the only one that begins with it, without regard to case and with `-` for `_`.
///
/// The error counts the candidates: 0 or more than 1.
pub fn find_abbreviated<'a>(
    names: impl Iterator<Item = &'a str>,
    abbreviation: &str,
) -> std::result::Result<&'a str, usize> {
    let fold = |b: u8| if b == b'-' { b'_' } else { b.to_ascii_lowercase() };
    let wanted: Vec<u8> = abbreviation.bytes().map(fold).collect();
    let mut found = None;
    let mut count = 0;
    for name in names {
        let folded: Vec<u8> = name.bytes().map(fold).collect();
        if folded == wanted {
            return Ok(name);
        }
        if folded.starts_with(&wanted) {
            found = Some(name);
            count += 1;
        }
    }
    match (found, count) {
        (Some(name), 1) => Ok(name),
        _ => Err(count),
    }
}
