//! Every actor, and the only crate that names actix, tokio and sockets.

pub mod budget;
pub mod clock;
pub mod daemon;
pub mod db;
mod linger;
pub mod mailbox;
pub mod memory;
pub mod stream;
pub mod supervise;
mod transcript;
pub mod unixctl;
pub mod web;

pub mod bridge;
pub mod capture;
pub mod controller;
pub mod datapath;
pub mod export;
pub mod host;
pub mod idl;
pub mod metrics;
pub mod msg;
pub mod port;
pub mod qos;
mod reconnect_log;
pub mod revalidator;
pub mod switch;
pub mod table;
pub mod vswitchd;
mod waiters;
