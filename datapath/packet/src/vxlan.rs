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
/// Flag of the generic protocol extension: operations and maintenance.
pub const OAM: u8 = 0x01;
/// What the group policy extension may set in the first word.
pub const GBP_WORD: u32 = 0x80ff_ffff;
/// What the generic protocol extension may set in the first word: version, flag, protocol.
pub const NEXT_WORD: u32 = 0x3400_00ff;
