//! Hello messages. Source: OpenFlow 1.3.5 section 7.5.1.

use crate::VersionSet;

/// Versions that the sender speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    /// What it allows: the bitmap, or all up to its header's version without one.
    pub versions: VersionSet,
    /// Version of its header, possibly one that this code does not know.
    pub header_version: u8,
    /// The message has octets that say nothing known; it is printed, not refused.
    pub malformed: bool,
}
