//! The OVSDB engine: types, transactions, monitors, log.

pub mod atom;
pub mod datum;
pub mod error;
pub mod log;
pub mod parse;
pub mod schema;
pub mod symbols;
pub mod types;
pub mod uuid;

pub use atom::Atom;
pub use datum::Datum;
pub use error::{OvsdbError, Result};
pub use schema::{ColumnSchema, DatabaseSchema, TableSchema};
pub use types::{AtomicType, BaseType, Type};
pub use uuid::{Uuid, UuidSource};
