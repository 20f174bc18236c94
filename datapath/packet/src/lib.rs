//! Packet formats: one file a protocol, each a view (`Packet<T>`) beside a representation (`Repr`); checksums, whole and
//! incremental; the packet buffer with its offload metadata, and the software that does what no hardware would.
//! No I/O, no clock.
//!
//! Ethernet addresses are 48-bit numbers in `u64`, IPv4 addresses `u32`, IPv6 addresses `u128`, as in flow keys.

pub mod arp;
pub mod buffer;
pub mod checksum;
pub mod erspan;
pub mod ethernet;
pub mod geneve;
pub mod gre;
pub mod gtpu;
pub mod icmpv4;
pub mod icmpv6;
pub mod igmp;
pub mod ipv4;
pub mod ipv6;
pub mod llc;
pub mod mpls;
pub mod nsh;
pub mod offload;
pub mod sctp;
pub mod tcp;
pub mod udp;
pub mod untold;
mod view;
pub mod vlan;
pub mod vxlan;

pub use buffer::{Gso, Offload, PacketBuf, PartialCsum};
pub use view::Malformed;

#[cfg(test)]
mod tests;
