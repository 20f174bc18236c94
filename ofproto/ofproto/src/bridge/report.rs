//! What the database is told of a bridge's protocols.

use std::collections::BTreeMap;

use openflow::OfPort;

use super::{Bridge, VirtualStats};
use crate::view::BundleId;

/// Status of a bridge's protocols; it changes with events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BridgeReport {
    /// Address of each bond's active member, 48 bits, 0 for none.
    pub active_members: BTreeMap<BundleId, u64>,
    /// Of ports that speak LACP: whether their partner is known.
    pub lacp_current: BTreeMap<OfPort, bool>,
}

impl Bridge {
    /// The status as it is now.
    pub fn report(&self) -> BridgeReport {
        BridgeReport { active_members: self.active_members(), lacp_current: self.lacp_current() }
    }

    /// What ports without a device have carried.
    pub fn virtual_counters(&self) -> BTreeMap<OfPort, VirtualStats> {
        self.virtual_stats.clone()
    }

    /// Packets and octets that mirrors have copied, by the mirrors' names.
    pub fn mirror_counters(&self) -> BTreeMap<String, (u64, u64)> {
        let counted = |index: u8| self.mirror_stats.get(&index).copied().unwrap_or_default();
        self.view.mirrors.iter().map(|m| (m.name.clone(), counted(m.index))).collect()
    }
}
