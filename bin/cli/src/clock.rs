//! The clock of the command-line programs: the one place in `bin` that reads it.

use std::time::{Duration, Instant, SystemTime};

/// The wall clock, as time since 1970.
#[must_use]
#[allow(clippy::disallowed_methods)]
pub fn wall() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

/// The monotonic clock.
#[must_use]
#[allow(clippy::disallowed_methods)]
pub fn monotonic() -> Instant {
    Instant::now()
}
