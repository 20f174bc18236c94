//! A VLAN tag as it stands behind the addresses: tag protocol, tag control. Source: IEEE 802.1Q §9.

use crate::{PacketBuf, view::view};

view! { 4;
    /// Tag protocol identifier: 0x8100 or 0x88a8.
    tpid, set_tpid: u16 = 0..16;
    /// Tag control information.
    tci, set_tci: u16 = 16..32;
    /// Priority.
    pcp, set_pcp: u8 = 16..19;
    /// Drop eligible.
    dei, set_dei: u8 = 19..20;
    /// VLAN identifier.
    vid, set_vid: u16 = 20..32;
}

/// Whether an EtherType is that of a tag.
pub const fn is_tag(ethertype: u16) -> bool {
    matches!(ethertype, 0x8100 | 0x88a8)
}

/// Puts a tag between a frame's addresses and its type.
pub fn push(packet: &mut PacketBuf, tpid: u16, tci: u16) {
    if packet.len() < super::ethernet::HEADER_LEN {
        return;
    }
    packet.push_front(HEADER_LEN);
    let octets = packet.data_mut();
    octets.copy_within(4..16, 0);
    octets[12..14].copy_from_slice(&tpid.to_be_bytes());
    octets[14..16].copy_from_slice(&tci.to_be_bytes());
}

/// Takes the outer tag away, if there is one.
pub fn pop(packet: &mut PacketBuf) {
    let octets = packet.data_mut();
    if octets.len() >= 18 && is_tag(u16::from_be_bytes([octets[12], octets[13]])) {
        octets.copy_within(0..12, 4);
        packet.pull_front(HEADER_LEN);
    }
}
