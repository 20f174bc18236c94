//! Features of the switch. OpenFlow 1.0 section 5.3.1, 1.3.5 section 7.3.1.

use super::PortDesc;

/// Bits of [`Features::capabilities`], as in OpenFlow 1.1 and later where both have them.
#[allow(missing_docs)]
pub mod capability {
    pub const FLOW_STATS: u32 = 1 << 0;
    pub const TABLE_STATS: u32 = 1 << 1;
    pub const PORT_STATS: u32 = 1 << 2;
    pub const GROUP_STATS: u32 = 1 << 3;
    pub const IP_REASM: u32 = 1 << 5;
    pub const QUEUE_STATS: u32 = 1 << 6;
    pub const ARP_MATCH_IP: u32 = 1 << 7;
    pub const PORT_BLOCKED: u32 = 1 << 8;
    pub const BUNDLES: u32 = 1 << 9;
    pub const FLOW_MONITORING: u32 = 1 << 10;
    /// 802.1d, OpenFlow 1.0 only (bit 3 there).
    pub const STP: u32 = 1 << 31;
}

/// What the switch is and can.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Features {
    /// Identifier of the datapath.
    pub datapath_id: u64,
    /// Packets it can buffer.
    pub n_buffers: u32,
    /// Tables.
    pub n_tables: u8,
    /// 0 for the main connection (1.3+).
    pub auxiliary_id: u8,
    /// [`capability`].
    pub capabilities: u32,
    /// Actions that the switch supports, bit n = OpenFlow 1.0's action type n (1.0 only).
    pub actions: u32,
    /// Ports (before 1.3; later ones have a multipart request for them). Fewer if they do not fit in a message.
    pub ports: Vec<PortDesc>,
}
