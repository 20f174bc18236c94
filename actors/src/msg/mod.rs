//! The envelopes: one file a receiver. The letters inside are the pure crates' types.
//!
//! Each message names its policy of DESIGN's four: B bounded and dropped, R kept and retried, C coalesced, Q a query with
//! a deadline.

pub mod bridge;
pub mod datapath;
pub mod port;
pub mod revalidator;
pub mod switch;
pub mod table;
