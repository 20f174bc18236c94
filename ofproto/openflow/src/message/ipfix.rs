//! IPFIX counters (NXST_IPFIX_BRIDGE, NXST_IPFIX_FLOW).

use super::wire::{Put, Reader};
use crate::OfError;

/// Counters of an IPFIX exporter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct IpfixStats {
    /// Flows ever seen.
    pub total_flows: u64,
    /// Flows in the cache.
    pub current_flows: u64,
    /// Packets sampled.
    pub pkts: u64,
    /// Of these, IPv4.
    pub ipv4_pkts: u64,
    /// Of these, IPv6.
    pub ipv6_pkts: u64,
    /// Packets that were neither IPv4 nor IPv6.
    pub error_pkts: u64,
    /// IPv4 packets that could not be read.
    pub ipv4_error_pkts: u64,
    /// IPv6 packets that could not be read.
    pub ipv6_error_pkts: u64,
    /// Records sent to collectors.
    pub tx_pkts: u64,
    /// Records that could not be sent.
    pub tx_errors: u64,
    /// Collector set, 0 for the bridge's exporter.
    pub collector_set_id: u32,
}

pub(super) fn decode(body: &mut Reader<'_>) -> Result<IpfixStats, OfError> {
    let stats = IpfixStats {
        total_flows: body.u64()?,
        current_flows: body.u64()?,
        pkts: body.u64()?,
        ipv4_pkts: body.u64()?,
        ipv6_pkts: body.u64()?,
        error_pkts: body.u64()?,
        ipv4_error_pkts: body.u64()?,
        ipv6_error_pkts: body.u64()?,
        tx_pkts: body.u64()?,
        tx_errors: body.u64()?,
        collector_set_id: body.u32()?,
    };
    body.skip(4)?;
    Ok(stats)
}

pub(super) fn encode(out: &mut Vec<u8>, stats: &IpfixStats) {
    for counter in [
        stats.total_flows,
        stats.current_flows,
        stats.pkts,
        stats.ipv4_pkts,
        stats.ipv6_pkts,
        stats.error_pkts,
        stats.ipv4_error_pkts,
        stats.ipv6_error_pkts,
        stats.tx_pkts,
        stats.tx_errors,
    ] {
        out.put64(counter);
    }
    out.put32(stats.collector_set_id);
    out.zeros(4);
}
