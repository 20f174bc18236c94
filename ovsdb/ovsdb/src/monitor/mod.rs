//! Monitors (RFC 7047 section 4.1.5 and ovsdb-server(7) sections 4.1.12 to 4.1.15): what a client
//! wants to see, and the text of what it is told. Identical monitors share one [`Shape`], so that
//! an update is composed once however many clients it goes to.

mod compose;
mod request;

pub use compose::{Changes, changes_since, condition_update, initial_rows, update};
pub use request::{Select, Shape, TableShape, Version, parse_condition_change, parse_monitor_requests};
