//! UDP. Source: RFC 768.

use crate::view::view;

view! { 8;
    /// Source port.
    src, set_src: u16 = 0..16;
    /// Destination port.
    dst, set_dst: u16 = 16..32;
    /// Octets of header and payload.
    len, set_len: u16 = 32..48;
    /// Checksum of pseudo header and datagram; 0 means none.
    csum, set_csum: u16 = 48..64;
}

/// From the header's first octet to its checksum.
pub const CSUM_OFFSET: usize = 6;

impl<T: AsRef<[u8]>> Packet<T> {
    /// What follows.
    pub fn payload(&self) -> &[u8] {
        &self.0.as_ref()[HEADER_LEN..]
    }
}
