//! Flow and aggregate statistics. OpenFlow 1.0 section 5.3.5, 1.3.5 section 7.3.5.2, NXST_FLOW, NXST_AGGREGATE.

/// Sums over rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct AggregateStats {
    /// Packets, `u64::MAX` if unknown.
    pub packet_count: u64,
    /// Octets, `u64::MAX` if unknown.
    pub byte_count: u64,
    /// Rules.
    pub flow_count: u32,
}
