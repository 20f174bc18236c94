//! An MPLS label stack entry. Source: RFC 3032 §2.1.

use crate::view::view;

view! { 4;
    /// Label.
    label, set_label: u32 = 0..20;
    /// Traffic class.
    tc, set_tc: u8 = 20..23;
    /// Bottom of stack.
    bos, set_bos: u8 = 23..24;
    /// Time to live.
    ttl, set_ttl: u8 = 24..32;
}

/// Whether an EtherType is that of MPLS.
pub const fn is_mpls(ethertype: u16) -> bool {
    matches!(ethertype, 0x8847 | 0x8848)
}
