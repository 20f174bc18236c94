//! The network service header: base and service path. Source: RFC 8300.

use crate::{Malformed, view::view};

view! { 8;
    /// 0.
    version, set_version: u8 = 0..2;
    /// The O bit and an unassigned one.
    flags, set_flags: u8 = 2..4;
    /// Time to live.
    ttl, set_ttl: u8 = 4..10;
    /// Length of the whole header in 32-bit words.
    words, set_words: u8 = 10..16;
    /// Metadata type: 1 or 2.
    md_type, set_md_type: u8 = 20..24;
    /// What follows.
    next, set_next: u8 = 24..32;
    /// Service path identifier.
    spi, set_spi: u32 = 32..56;
    /// Service index.
    si, set_si: u8 = 56..64;
}

/// Octets of a header of metadata type 1.
pub const MD1_LEN: usize = 24;
/// Most octets of a header.
pub const MAX_LEN: usize = 252;

impl<T: AsRef<[u8]>> Packet<T> {
    /// Octets of the whole header.
    pub fn header_len(&self) -> usize {
        usize::from(self.words()) * 4
    }

    /// Whether the whole header fits the octets.
    pub fn check_len(&self) -> Result<(), Malformed> {
        let fits = (HEADER_LEN..=self.0.as_ref().len()).contains(&self.header_len());
        if fits { Ok(()) } else { Err(Malformed) }
    }
}
