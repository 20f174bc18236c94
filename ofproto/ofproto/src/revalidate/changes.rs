//! What differs between two views, as far as cached flows depend on it.

use std::collections::BTreeSet;
use std::sync::Arc;

use l2proto::mac_learning::MacKey;

use super::CachedFlow;
use crate::view::{BridgeId, BridgeView, SwitchView};
use crate::xlate::Effect;

/// Changes from one view to the next.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// Everything may be different.
    pub all: bool,
    /// Bridges whose ports, bundles, mirrors, groups, meters or settings changed.
    pub bridges: BTreeSet<BridgeId>,
    /// Tables whose rules or behaviour changed.
    pub tables: BTreeSet<(BridgeId, u8)>,
    /// Addresses that are somewhere else, known or unknown now.
    pub macs: BTreeSet<(BridgeId, MacKey)>,
}

impl Changes {
    /// Everything may be different.
    pub fn everything() -> Changes {
        Changes { all: true, ..Changes::default() }
    }

    /// What differs between two views.
    pub fn between(old: &SwitchView, new: &SwitchView) -> Changes {
        let mut changes = Changes::default();
        if old.odp_ports != new.odp_ports
            || !Arc::ptr_eq(&old.tunnels, &new.tunnels)
            || !Arc::ptr_eq(&old.underlay, &new.underlay)
            || old.support != new.support
        {
            return Changes::everything();
        }
        for (id, bridge) in &new.bridges {
            match old.bridges.get(id) {
                Some(before) if Arc::ptr_eq(before, bridge) => {}
                Some(before) => changes.of_bridge(before, bridge),
                None => {
                    changes.bridges.insert(*id);
                }
            }
        }
        changes.bridges.extend(old.bridges.keys().filter(|id| !new.bridges.contains_key(id)));
        changes
    }

    fn of_bridge(&mut self, old: &BridgeView, new: &BridgeView) {
        let same_ports = old.ports.len() == new.ports.len()
            && old.ports.iter().zip(&new.ports).all(|(a, b)| a.0 == b.0 && (Arc::ptr_eq(a.1, b.1) || a.1 == b.1));
        let same_bundles = old.bundles.len() == new.bundles.len()
            && old.bundles.iter().zip(&new.bundles).all(|(a, b)| a.0 == b.0 && (Arc::ptr_eq(a.1, b.1) || a.1 == b.1));
        let same_groups = Arc::ptr_eq(&old.groups, &new.groups)
            || old.groups.len() == new.groups.len()
                && old.groups.iter().zip(new.groups.iter()).all(|(a, b)| a.0 == b.0 && Arc::ptr_eq(a.1, b.1));
        let settings = |b: &BridgeView| {
            (
                (b.controller_wants_misses, b.frag, b.forward_bpdu, b.stp, b.rstp, b.in_band),
                (b.netflow, b.sflow, b.controller_meter, b.slowpath_meter, b.hw_addr),
                (b.mac.is_some(), b.mcast.is_some(), b.ipfix),
            )
        };
        let same = same_ports
            && same_bundles
            && same_groups
            && old.mirrors == new.mirrors
            && (Arc::ptr_eq(&old.meters, &new.meters) || old.meters == new.meters)
            && old.flood_vlans == new.flood_vlans
            && old.tun_table == new.tun_table
            && settings(old) == settings(new);
        if !same || new.mcast.is_some() {
            self.bridges.insert(new.id);
            return;
        }
        for table in 0..old.tables.len().max(new.tables.len()) {
            let version = |b: &BridgeView| b.tables.get(table).and_then(|t| t.as_ref()).map(|t| t.version);
            if version(old) != version(new) {
                self.tables.insert((new.id, table as u8));
            }
        }
        if let (Some(old_macs), Some(new_macs)) = (&old.mac, &new.mac) {
            let id = new.id;
            self.macs.extend(new_macs.moved_since(old_macs).map(|key| (id, key)));
        }
    }

    /// Whether nothing that flows depend on differs.
    pub fn is_empty(&self) -> bool {
        !self.all && self.bridges.is_empty() && self.tables.is_empty() && self.macs.is_empty()
    }

    /// Whether a flow depends on something that changed.
    pub fn touch(&self, flow: &CachedFlow) -> bool {
        self.all
            || (!self.bridges.is_empty() && flow.bridges.iter().any(|b| self.bridges.contains(b)))
            || (!self.macs.is_empty() && flow.macs.iter().any(|m| self.macs.contains(m)))
            || (!self.tables.is_empty() && flow.effects.iter().any(|effect| self.touches_table(effect)))
            || (!self.macs.is_empty() && flow.effects.iter().any(|effect| self.touches_source(effect)))
    }

    fn touches_table(&self, effect: &Effect) -> bool {
        match effect {
            Effect::Table { bridge, table, .. } => self.tables.contains(&(*bridge, *table)),
            // Whether there was room for the rule depends on those that are there.
            Effect::Learn { bridge, flow_mod, limit } => *limit > 0 && self.tables.contains(&(*bridge, flow_mod.table)),
            _ => false,
        }
    }

    /// A bond's verdict on a packet may depend on where its source is.
    fn touches_source(&self, effect: &Effect) -> bool {
        match effect {
            Effect::MacLearn { bridge, mac, vlan, is_bond: true, .. } => {
                self.macs.contains(&(*bridge, MacKey { vlan: *vlan, mac: *mac }))
            }
            _ => false,
        }
    }
}
