//! VXLAN, with the group policy and generic protocol extensions' flags. Source: RFC 7348.

use crate::view::view;

view! { 8;
    /// Flags: 0x08 a network identifier is there; 0x80 group policy; 0x04 next protocol.
    flags, set_flags: u8 = 0..8;
    /// Policy flags of the group policy extension.
    policy_flags, set_policy_flags: u8 = 8..16;
    /// Group of the group policy extension.
    policy_id, set_policy_id: u16 = 16..32;
    /// Network identifier.
    vni, set_vni: u32 = 32..56;
}

/// UDP port.
pub const PORT: u16 = 4789;
/// Flag: a network identifier is there.
pub const HAS_VNI: u8 = 0x08;
/// Flag: group policy.
pub const HAS_GBP: u8 = 0x80;
/// Flag: next protocol (generic protocol extension).
pub const HAS_NEXT: u8 = 0x04;
