//! A replica of an OVSDB database, its changes and transactions, and the typed Open_vSwitch view.
//!
//! [`Client`] speaks the protocol (RFC 7047 and the extensions of ovsdb-server(7)) without a socket:
//! messages go in and come out. It keeps a [`Replica`] of the tables and columns that its
//! [`Interests`] name and gathers [`Changes`]. A [`Transaction`] is built over the replica, sees its
//! own edits, and becomes one `transact` request; its [`Outcome`] says whether it took effect, has to
//! be built again over newer contents, or is in error. [`vswitch`] gives rows of the Open_vSwitch
//! database names and types.
//!
//! Absent: connecting and reconnecting (the caller's), the `_Server` database and the search for a
//! cluster's leader.

mod change;
mod client;
mod contents;
mod interest;
mod operations;
mod outcome;
mod replica;
mod row;
mod transaction;
mod updates;
pub mod vswitch;

pub use change::{Changes, RowChange};
pub use client::{Client, ClientError, TransactionId};
pub use interest::{Interest, Interests};
pub use operations::Prepared;
pub use outcome::{Outcome, Status};
pub use replica::Replica;
pub use row::Row;
pub use transaction::Transaction;
