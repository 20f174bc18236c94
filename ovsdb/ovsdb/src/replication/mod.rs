//! Copies of databases of other servers: [`Backup`] (active-backup replication, `--sync-from`) and
//! [`Relay`] (`relay:DB:SOURCE`). Both are machines that take and give JSON-RPC messages; the
//! stream to the source, with its probes and back-off, belongs to the caller.
//!
//! Source: ovsdb(7) "Service Models", ovsdb-server(1).

mod apply;
mod backup;
mod relay;

pub use apply::apply_updates;
pub use backup::{Backup, Exclusions, Failure, parse_exclusions};
pub use relay::Relay;
