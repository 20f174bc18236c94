//! Ethernet II. Source: IEEE 802.3 §3.

use crate::view::view;

view! { 14;
    /// Destination address.
    dst, set_dst: u64 = 0..48;
    /// Source address.
    src, set_src: u64 = 48..96;
    /// EtherType, or a length below 0x600.
    ethertype, set_ethertype: u16 = 96..112;
}

/// Shortest frame, without its check sequence.
pub const MIN_LEN: usize = 60;
/// All ones.
pub const BROADCAST: u64 = 0xffff_ffff_ffff;

/// Whether an address is a group address.
pub const fn is_multicast(address: u64) -> bool {
    address >> 40 & 1 == 1
}

/// Whether an address is 01:80:c2:00:00:0x, which bridges do not forward.
pub const fn is_reserved(address: u64) -> bool {
    address & !0xf == 0x0180_c200_0000
}

impl<T: AsRef<[u8]>> Packet<T> {
    /// What follows.
    pub fn payload(&self) -> &[u8] {
        &self.0.as_ref()[HEADER_LEN..]
    }
}
