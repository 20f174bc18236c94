//! The OpenFlow pipeline: tables, rules, groups, meters, translation.

pub mod revalidate;
pub mod credit;
pub mod bridge;
pub mod rule;
pub mod table;
pub mod trace;
pub mod view;
pub mod xlate;
