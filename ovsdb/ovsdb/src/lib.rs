//! The OVSDB engine (RFC 7047 and the extensions of ovsdb-server(7)): values, schemas,
//! transactions, monitors, locks, the log and its compaction, conversion, replication.
//!
//! Everything is a function of what is passed in: no socket, no clock, no random numbers. Files
//! are seen through the trait [`log::Storage`]. Clustering (RAFT) is absent.

pub mod atom;
pub mod cli;
pub mod condition;
pub mod convert;
pub mod database;
pub mod datum;
mod direct;
pub mod error;
pub mod execute;
pub mod log;
pub mod monitor;
pub mod mutation;
pub mod parse;
pub mod rbac;
pub mod replication;
pub mod row;
pub mod schema;
pub mod server;
pub mod symbols;
pub mod turn;
pub mod txn;
pub mod types;
pub mod uuid;
pub mod vswitch;

pub use atom::Atom;
pub use database::{Database, Table, TableId};
pub use datum::Datum;
pub use error::{OvsdbError, Result};
pub use row::Row;
pub use schema::{ColumnSchema, DatabaseSchema, TableSchema};
pub use txn::{Commit, RowChange, Txn};
pub use types::{AtomicType, BaseType, Type};
pub use uuid::{Uuid, UuidSource};
