//! IPFIX counters (NXST_IPFIX_BRIDGE, NXST_IPFIX_FLOW).

/// Counters of an IPFIX exporter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[allow(missing_docs)]
pub struct IpfixStats {
    pub total_flows: u64,
    pub current_flows: u64,
    pub pkts: u64,
    pub ipv4_pkts: u64,
    pub ipv6_pkts: u64,
    pub error_pkts: u64,
    pub ipv4_error_pkts: u64,
    pub ipv6_error_pkts: u64,
    pub tx_pkts: u64,
    pub tx_errors: u64,
    /// Collector set, 0 for the bridge's exporter.
    pub collector_set_id: u32,
}
