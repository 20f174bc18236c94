//! ERSPAN's header, types II and III, behind GRE. Source: draft-foschiano-erspan-03.

use crate::view::view;

view! { 8;
    /// 1: type II; 2: type III.
    version, set_version: u8 = 0..4;
    /// VLAN identifier of the mirrored frame.
    vlan, set_vlan: u16 = 4..16;
    /// Class of service.
    cos, set_cos: u8 = 16..19;
    /// Encapsulation type of the frame's tag; of type III whether the frame is bad, short, long.
    encap, set_encap: u8 = 19..21;
    /// Truncated.
    truncated, set_truncated: u8 = 21..22;
    /// Session.
    session, set_session: u16 = 22..32;
    /// Type II: index of the port (20 bits); type III: time stamp.
    word, set_word: u32 = 32..64;
}

/// Octets of type II's header.
pub const V1_LEN: usize = 8;
/// Octets of type III's header without its platform-specific part.
pub const V2_LEN: usize = 12;
