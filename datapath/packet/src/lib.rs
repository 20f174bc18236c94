//! Packet formats: one file a protocol, each a view beside a representation; checksums, whole and incremental;
//! the packet buffer with its offload metadata. No I/O, no clock.

pub mod buffer;

pub use buffer::{Gso, Offload, PacketBuf};
