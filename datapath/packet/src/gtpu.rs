//! GTP-U version 1's mandatory header. Source: 3GPP TS 29.281 §5.1.

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
/// Message that carries a user's packet.
pub const MSG_GPDU: u8 = 255;
