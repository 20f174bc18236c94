//! GRE's first word, and the lengths its flags imply. Source: RFC 2784, RFC 2890.

use crate::view::view;

view! { 4;
    /// A checksum follows.
    has_csum, set_has_csum: u8 = 0..1;
    /// A key follows.
    has_key, set_has_key: u8 = 2..3;
    /// A sequence number follows.
    has_seq, set_has_seq: u8 = 3..4;
    /// 0.
    version, set_version: u8 = 13..16;
    /// EtherType of the payload.
    protocol, set_protocol: u16 = 16..32;
}

/// Payload is an Ethernet frame.
pub const ETHERNET: u16 = 0x6558;
/// Payload is an ERSPAN type II header and a frame.
pub const ERSPAN2: u16 = 0x88be;
/// Payload is an ERSPAN type III header and a frame.
pub const ERSPAN3: u16 = 0x22eb;

impl<T: AsRef<[u8]>> Packet<T> {
    /// Octets of the header with its optional words.
    pub fn header_len(&self) -> usize {
        HEADER_LEN + 4 * usize::from(self.has_csum() + self.has_key() + self.has_seq())
    }

    /// Whether the flags are of the classic header: no routing, version 0.
    pub fn is_plain(&self) -> bool {
        let head = self.0.as_ref();
        head[0] & 0x4f == 0 && head[1] == 0
    }

    fn word(&self, at: usize) -> Option<u32> {
        let word = self.0.as_ref().get(at..at + 4)?;
        Some(u32::from_be_bytes([word[0], word[1], word[2], word[3]]))
    }

    /// The key, if there is one.
    pub fn key(&self) -> Option<u32> {
        if self.has_key() == 0 { None } else { self.word(HEADER_LEN + 4 * usize::from(self.has_csum())) }
    }

    /// The sequence number, if there is one.
    pub fn seq(&self) -> Option<u32> {
        if self.has_seq() == 0 { None } else { self.word(self.header_len() - 4) }
    }
}
