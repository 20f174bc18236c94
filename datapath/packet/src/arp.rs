//! ARP for Ethernet and IPv4. Source: RFC 826, RFC 903.

use crate::view::view;

view! { 28;
    /// Hardware type: 1, Ethernet.
    hardware, set_hardware: u16 = 0..16;
    /// Protocol type: 0x0800, IPv4.
    protocol, set_protocol: u16 = 16..32;
    /// Octets of a hardware address: 6.
    hardware_len, set_hardware_len: u8 = 32..40;
    /// Octets of a protocol address: 4.
    protocol_len, set_protocol_len: u8 = 40..48;
    /// Operation.
    op, set_op: u16 = 48..64;
    /// Sender hardware address.
    sha, set_sha: u64 = 64..112;
    /// Sender protocol address.
    spa, set_spa: u32 = 112..144;
    /// Target hardware address.
    tha, set_tha: u64 = 144..192;
    /// Target protocol address.
    tpa, set_tpa: u32 = 192..224;
}

/// Request.
pub const REQUEST: u16 = 1;
/// Reply.
pub const REPLY: u16 = 2;

impl<T: AsRef<[u8]>> Packet<T> {
    /// Whether the addresses are Ethernet's and IPv4's.
    pub fn is_ethernet_ipv4(&self) -> bool {
        (self.hardware(), self.protocol(), self.hardware_len(), self.protocol_len()) == (1, 0x0800, 6, 4)
    }
}

impl Repr {
    /// A message between Ethernet stations about IPv4 addresses.
    pub fn ethernet_ipv4(op: u16, sha: u64, spa: u32, tha: u64, tpa: u32) -> Repr {
        Repr { hardware: 1, protocol: 0x0800, hardware_len: 6, protocol_len: 4, op, sha, spa, tha, tpa }
    }
}
