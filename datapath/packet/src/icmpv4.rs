//! ICMP for IPv4. Source: RFC 792.

use crate::{checksum, view::view};

view! { 8;
    /// Type.
    kind, set_kind: u8 = 0..8;
    /// Code.
    code, set_code: u8 = 8..16;
    /// Checksum of the whole message.
    csum, set_csum: u16 = 16..32;
    /// Depends on the type: identifier and sequence number, gateway, MTU.
    rest, set_rest: u32 = 32..64;
}

/// Types.
#[allow(missing_docs)]
pub mod kind {
    pub const ECHO_REPLY: u8 = 0;
    pub const UNREACHABLE: u8 = 3;
    pub const SOURCE_QUENCH: u8 = 4;
    pub const REDIRECT: u8 = 5;
    pub const ECHO_REQUEST: u8 = 8;
    pub const TIME_EXCEEDED: u8 = 11;
    pub const PARAMETER_PROBLEM: u8 = 12;
    pub const TIMESTAMP_REQUEST: u8 = 13;
    pub const TIMESTAMP_REPLY: u8 = 14;
    pub const INFO_REQUEST: u8 = 15;
    pub const INFO_REPLY: u8 = 16;

    /// Whether a message of this type quotes the packet that caused it.
    pub const fn is_error(kind: u8) -> bool {
        matches!(kind, UNREACHABLE | SOURCE_QUENCH | REDIRECT | TIME_EXCEEDED | PARAMETER_PROBLEM)
    }
}

impl<T: AsRef<[u8]>> Packet<T> {
    /// What follows the first 8 octets.
    pub fn payload(&self) -> &[u8] {
        &self.0.as_ref()[HEADER_LEN..]
    }

    /// Whether the checksum over all octets is right.
    pub fn is_csum_valid(&self) -> bool {
        checksum::of(self.0.as_ref()) == 0
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> Packet<T> {
    /// Computes the checksum over all octets.
    pub fn fill_csum(&mut self) {
        self.set_csum(0);
        let csum = checksum::of(self.0.as_ref());
        self.set_csum(csum);
    }
}
