//! Every actor, and the only crate that names actix, tokio and sockets.

pub mod budget;
pub mod clock;
pub mod daemon;
pub mod db;
pub mod mailbox;
pub mod stream;
pub mod supervise;
pub mod unixctl;
pub mod web;
