//! GTP-U version 1's mandatory header, and how far what follows it goes. Source: 3GPP TS 29.281 §5.1, §5.2.

use crate::view::view;

view! { 8;
    /// Version, protocol type and flags.
    flags, set_flags: u8 = 0..8;
    /// Message type.
    msg_type, set_msg_type: u8 = 8..16;
    /// Octets behind this header.
    len, set_len: u16 = 16..32;
    /// Tunnel endpoint identifier.
    teid, set_teid: u32 = 32..64;
}

/// UDP port.
pub const PORT: u16 = 2152;
/// Version 1, protocol type GTP.
pub const FLAGS_DEFAULT: u8 = 0x30;
/// Flags that say that a further word of optional fields follows.
pub const FLAGS_OPTIONAL: u8 = 0x07;
/// Flag that says that extension headers follow, or may.
pub const FLAG_EXTENSION: u8 = 0x04;
/// Message that carries a user's packet.
pub const MSG_GPDU: u8 = 255;

/// Octets of the optional fields: sequence number, N-PDU number, type of the first extension header.
const OPTIONAL_LEN: usize = 4;

/// Where the payload of `message` begins, which begins with the header: in octets, behind the optional fields and all
/// extension headers. Each says how long it is, in words of 4 octets, and in its last octet what follows it: 0 for none.
/// `None` if one has no length or goes beyond the message.
#[must_use]
pub fn payload_at(message: &[u8]) -> Option<usize> {
    let flags = *message.first()?;
    if flags & FLAGS_OPTIONAL == 0 {
        return Some(HEADER_LEN);
    }
    let mut at = HEADER_LEN + OPTIONAL_LEN;
    if flags & FLAG_EXTENSION != 0 {
        while *message.get(at - 1)? != 0 {
            let words = usize::from(*message.get(at)?);
            if words == 0 {
                return None;
            }
            at += words * 4;
        }
    }
    Some(at)
}
