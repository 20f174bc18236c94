//! The OpenFlow pipeline: tables, rules, groups, meters, translation.

pub mod bridge;
pub mod export;
pub mod fail_open;
pub mod in_band;
pub mod note;
pub mod rconn;
pub mod revalidate;
pub mod rule;
pub mod table;
pub mod trace;
pub mod view;
pub mod xlate;
