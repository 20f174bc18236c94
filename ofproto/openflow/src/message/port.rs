//! Ports: description, changes, configuration, with the conversions of their bits between versions.
//!
//! Source: OpenFlow 1.0 section 5.2.1, 1.1 section A.2.1, 1.4 section 7.2.1.

use crate::OfPort;

/// Longest name of a port in OpenFlow messages, octets without the final zero.
pub const NAME_MAX: usize = 15;

/// Bits of [`PortDesc::config`], as in OpenFlow 1.1+ where it has them.
#[allow(missing_docs)]
pub mod port_config {
    pub const PORT_DOWN: u32 = 1 << 0;
    pub const NO_STP: u32 = 1 << 1;
    pub const NO_RECV: u32 = 1 << 2;
    pub const NO_RECV_STP: u32 = 1 << 3;
    pub const NO_FLOOD: u32 = 1 << 4;
    pub const NO_FWD: u32 = 1 << 5;
    pub const NO_PACKET_IN: u32 = 1 << 6;
}

/// Bits of [`PortDesc::state`].
#[allow(missing_docs)]
pub mod port_state {
    pub const LINK_DOWN: u32 = 1 << 0;
    /// OpenFlow 1.1+.
    pub const BLOCKED: u32 = 1 << 1;
    /// OpenFlow 1.1+.
    pub const LIVE: u32 = 1 << 2;
    /// The two bits of the spanning tree's state (OpenFlow 1.0).
    pub const STP_MASK: u32 = 3 << 8;
    pub const STP_LISTEN: u32 = 0 << 8;
    pub const STP_LEARN: u32 = 1 << 8;
    pub const STP_FORWARD: u32 = 2 << 8;
    pub const STP_BLOCK: u32 = 3 << 8;
}

/// Bits of a port's features, as in OpenFlow 1.1+.
#[allow(missing_docs)]
pub mod port_feature {
    pub const HD_10MB: u32 = 1 << 0;
    pub const FD_10MB: u32 = 1 << 1;
    pub const HD_100MB: u32 = 1 << 2;
    pub const FD_100MB: u32 = 1 << 3;
    pub const HD_1GB: u32 = 1 << 4;
    pub const FD_1GB: u32 = 1 << 5;
    pub const FD_10GB: u32 = 1 << 6;
    pub const FD_40GB: u32 = 1 << 7;
    pub const FD_100GB: u32 = 1 << 8;
    pub const FD_1TB: u32 = 1 << 9;
    pub const OTHER: u32 = 1 << 10;
    pub const COPPER: u32 = 1 << 11;
    pub const FIBER: u32 = 1 << 12;
    pub const AUTONEG: u32 = 1 << 13;
    pub const PAUSE: u32 = 1 << 14;
    pub const PAUSE_ASYM: u32 = 1 << 15;
}

/// A port.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct PortDesc {
    /// Number.
    pub port: OfPort,
    /// Ethernet address, 48 bits.
    pub hw_addr: u64,
    /// 64-bit address, for ports that have one (1.5 has none; printed by Open vSwitch where set).
    pub hw_addr64: u64,
    /// Name, cut to [`NAME_MAX`] octets on the wire.
    pub name: String,
    /// [`port_config`].
    pub config: u32,
    /// [`port_state`].
    pub state: u32,
    /// Current [`port_feature`]s.
    pub curr: u32,
    /// Advertised to the peer.
    pub advertised: u32,
    /// Supported.
    pub supported: u32,
    /// Advertised by the peer.
    pub peer: u32,
    /// Current speed, kbit/s.
    pub curr_speed: u32,
    /// Greatest speed, kbit/s.
    pub max_speed: u32,
}

/// What happened to a port; the number is the wire's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum PortReason {
    Add = 0,
    Delete = 1,
    Modify = 2,
}

/// A port came, went or changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortStatus {
    /// What happened.
    pub reason: PortReason,
    /// The port.
    pub desc: PortDesc,
}

/// Configure a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortMod {
    /// Which.
    pub port: OfPort,
    /// Its Ethernet address, 48 bits, as a check.
    pub hw_addr: u64,
    /// Its 64-bit address, as a check.
    pub hw_addr64: u64,
    /// New [`port_config`] bits.
    pub config: u32,
    /// Which of them to set.
    pub mask: u32,
    /// New advertised [`port_feature`]s, 0 for no change.
    pub advertise: u32,
}
