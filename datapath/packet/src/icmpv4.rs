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
pub mod kind {
    /// Echo reply.
    pub const ECHO_REPLY: u8 = 0;
    /// Destination unreachable.
    pub const UNREACHABLE: u8 = 3;
    /// Source quench (deprecated by RFC 6633).
    pub const SOURCE_QUENCH: u8 = 4;
    /// Redirect.
    pub const REDIRECT: u8 = 5;
    /// Echo request.
    pub const ECHO_REQUEST: u8 = 8;
    /// Time exceeded.
    pub const TIME_EXCEEDED: u8 = 11;
    /// Parameter problem.
    pub const PARAMETER_PROBLEM: u8 = 12;
    /// Timestamp request.
    pub const TIMESTAMP_REQUEST: u8 = 13;
    /// Timestamp reply.
    pub const TIMESTAMP_REPLY: u8 = 14;
    /// Information request.
    pub const INFO_REQUEST: u8 = 15;
    /// Information reply.
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
