//! What the database is told of a bridge's protocols.

use std::collections::BTreeMap;

use openflow::OfPort;

use super::liveness::LivenessReport;
use super::spanning::SpanningReport;
use super::{Bridge, VirtualStats};
use crate::view::BundleId;

/// Status of a bridge's protocols; it changes with events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BridgeReport {
    /// Address of each bond's active member, 48 bits, 0 for none.
    pub active_members: BTreeMap<BundleId, u64>,
    /// Of ports that speak LACP: whether their partner is known.
    pub lacp_current: BTreeMap<OfPort, bool>,
    /// The spanning tree.
    pub spanning: SpanningReport,
    /// BFD and CFM.
    pub liveness: LivenessReport,
}

/// What is asked for at intervals, since it changes all the time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BridgeTally {
    /// Packets and octets that mirrors have copied, by the mirrors' names.
    pub mirrors: BTreeMap<String, (u64, u64)>,
    /// Of ports without a device, those that carried anything.
    pub virtual_ports: BTreeMap<OfPort, VirtualStats>,
    /// The status, with counters and ages as they are now.
    pub report: BridgeReport,
}

impl Bridge {
    /// The status as it is now.
    pub fn report(&self) -> BridgeReport {
        BridgeReport {
            active_members: self.active_members(),
            lacp_current: self.lacp_current(),
            spanning: self.spanning_report(),
            liveness: self.liveness_report(),
        }
    }

    /// The status, if it may have changed since the last call.
    pub fn take_changed_report(&mut self) -> Option<BridgeReport> {
        std::mem::take(&mut self.report_stale).then(|| self.report())
    }

    /// Counters and ages as they are now.
    pub fn tally(&mut self, now_ms: i64) -> BridgeTally {
        self.set_now(now_ms);
        BridgeTally {
            mirrors: self.mirror_counters(),
            virtual_ports: self.virtual_stats.clone(),
            report: self.report(),
        }
    }

    /// Packets and octets that mirrors have copied, by the mirrors' names.
    fn mirror_counters(&self) -> BTreeMap<String, (u64, u64)> {
        let counted = |index: u8| self.mirror_stats.get(&index).copied().unwrap_or_default();
        self.view.mirrors.iter().map(|m| (m.name.clone(), counted(m.index))).collect()
    }
}
