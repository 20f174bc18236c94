//! 802.2 logical link control with the sub-network access protocol. Source: IEEE 802.2, RFC 1042.

use crate::view::view;

view! { 8;
    /// Destination service access point.
    dsap, set_dsap: u8 = 0..8;
    /// Source service access point.
    ssap, set_ssap: u8 = 8..16;
    /// Control.
    control, set_control: u8 = 16..24;
    /// SNAP organisation code.
    organisation, set_organisation: u32 = 24..48;
    /// SNAP type.
    snap_type, set_snap_type: u16 = 48..64;
}

impl<T: AsRef<[u8]>> Packet<T> {
    /// Whether the SNAP type is an EtherType.
    pub fn is_ethernet_snap(&self) -> bool {
        (self.dsap(), self.ssap(), self.control(), self.organisation()) == (0xaa, 0xaa, 3, 0)
    }
}
