//! ovsdb-tool and ovsdb-client, one file a group of commands.
//!
//! Source: ovsdb-tool(1), ovsdb-client(1), ovsdb-server(7).

pub mod client;
mod files;
pub mod tool;
