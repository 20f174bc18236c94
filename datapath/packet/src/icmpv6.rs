//! ICMPv6 and neighbor discovery. Source: RFC 4443, RFC 4861, RFC 3810 (MLD types).

use crate::{checksum, view::view};

view! { 8;
    /// Type.
    kind, set_kind: u8 = 0..8;
    /// Code.
    code, set_code: u8 = 8..16;
    /// Checksum of pseudo header and message.
    csum, set_csum: u16 = 16..32;
    /// Depends on the type; in neighbor discovery the reserved word with its flags.
    rest, set_rest: u32 = 32..64;
}

/// Types.
pub mod kind {
    /// Destination unreachable (RFC 4443).
    pub const UNREACHABLE: u8 = 1;
    /// Packet too big (RFC 4443).
    pub const PACKET_TOO_BIG: u8 = 2;
    /// Time exceeded (RFC 4443).
    pub const TIME_EXCEEDED: u8 = 3;
    /// Parameter problem (RFC 4443).
    pub const PARAMETER_PROBLEM: u8 = 4;
    /// Echo request (RFC 4443).
    pub const ECHO_REQUEST: u8 = 128;
    /// Echo reply (RFC 4443).
    pub const ECHO_REPLY: u8 = 129;
    /// Multicast listener query (RFC 2710, RFC 3810).
    pub const MLD_QUERY: u8 = 130;
    /// Multicast listener report (RFC 2710).
    pub const MLD_REPORT: u8 = 131;
    /// Multicast listener done (RFC 2710).
    pub const MLD_DONE: u8 = 132;
    /// Router solicitation (RFC 4861).
    pub const ROUTER_SOLICIT: u8 = 133;
    /// Router advertisement (RFC 4861).
    pub const ROUTER_ADVERT: u8 = 134;
    /// Neighbour solicitation (RFC 4861).
    pub const NEIGHBOR_SOLICIT: u8 = 135;
    /// Neighbour advertisement (RFC 4861).
    pub const NEIGHBOR_ADVERT: u8 = 136;
    /// Redirect (RFC 4861).
    pub const REDIRECT: u8 = 137;
    /// Multicast listener report of version 2 (RFC 3810).
    pub const MLD2_REPORT: u8 = 143;

    /// Whether a message of this type quotes the packet that caused it.
    pub const fn is_error(kind: u8) -> bool {
        kind < 128
    }
}

/// Option that holds the source's link-layer address.
pub const OPTION_SOURCE: u8 = 1;
/// Option that holds the target's link-layer address.
pub const OPTION_TARGET: u8 = 2;
/// Octets of a neighbor message before its options.
pub const ND_LEN: usize = 24;

impl<T: AsRef<[u8]>> Packet<T> {
    /// What follows the first 8 octets.
    pub fn payload(&self) -> &[u8] {
        &self.0.as_ref()[HEADER_LEN..]
    }

    /// Whether it is a neighbor solicitation or advertisement.
    pub fn is_neighbor(&self) -> bool {
        self.code() == 0 && matches!(self.kind(), kind::NEIGHBOR_SOLICIT | kind::NEIGHBOR_ADVERT)
    }

    /// Options of a neighbor message: (type, offset from the message's first octet, octets with type and length). Ends at
    /// the first one that lies about its length.
    pub fn nd_options(&self) -> impl Iterator<Item = (u8, usize, usize)> + '_ {
        let octets = self.0.as_ref();
        let mut at = ND_LEN;
        std::iter::from_fn(move || {
            let head = octets.get(at..at + 8)?;
            let len = usize::from(head[1]) * 8;
            if len == 0 || at + len > octets.len() {
                return None;
            }
            let option = (head[0], at, len);
            at += len;
            Some(option)
        })
    }

    /// Whether the checksum over all octets is right between these addresses.
    pub fn is_csum_valid(&self, src: u128, dst: u128) -> bool {
        let octets = self.0.as_ref();
        let pseudo = checksum::pseudo_v6(src, dst, 58, octets.len() as u32);
        checksum::finish(checksum::sum(octets, pseudo)) == 0
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> Packet<T> {
    /// Computes the checksum over all octets.
    pub fn fill_csum(&mut self, src: u128, dst: u128) {
        self.set_csum(0);
        let octets = self.0.as_ref();
        let pseudo = checksum::pseudo_v6(src, dst, 58, octets.len() as u32);
        let csum = checksum::finish(checksum::sum(octets, pseudo));
        self.set_csum(csum);
    }
}
