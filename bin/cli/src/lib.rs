//! What the command-line programs share: options, blocking streams, tables.
//!
//! One flag has one definition ([`options::Flag`]), from which come its parsing, its line of
//! `--help` and its line of `--option`. The shared groups of flags (logging, daemon, TLS, tables)
//! live in [`groups`]. Everything here blocks: a command-line program does one thing and ends, so it
//! needs no runtime. What is absent: the daemons' own streams, which are actors.

pub mod alarm;
pub mod clock;
pub mod command;
pub mod control;
pub mod daemon;
pub mod dirs;
pub mod groups;
pub mod json;
pub mod near;
pub mod options;
pub mod pidfile;
pub mod program;
pub mod rpc;
pub mod signals;
pub mod stream;
pub mod table;
mod tls;
