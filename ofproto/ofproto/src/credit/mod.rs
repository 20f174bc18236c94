//! From a flow's counters to those of everything it passes: rules, tables, groups, mirrors, ports, learned addresses.
//!
//! The effects kept with an installed flow say what; a [`Delta`] says how much. Nothing is translated again. What comes
//! out is data, added up over many flows, for the bridge to apply.

use std::collections::BTreeMap;
use std::sync::Arc;

use l2proto::mac_learning::MacKey;
use openflow::flow_mod::FlowMod;

use crate::rule::{Rule, RuleId, RuleStats};
use crate::view::{BridgeId, BundleId, INTERNAL_TABLE, PortRef};
use crate::xlate::Effect;

/// TCP FIN and RST.
const FIN_RST: u16 = 0x005;

/// What a flow has carried since it was asked last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delta {
    /// Packets.
    pub packets: u64,
    /// Octets.
    pub bytes: u64,
    /// When the last packet came, milliseconds; 0 for never.
    pub used_ms: i64,
    /// TCP flags seen.
    pub tcp_flags: u16,
}

/// Packets and octets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Packets.
    pub packets: u64,
    /// Octets.
    pub bytes: u64,
}

impl Count {
    fn add(&mut self, delta: &Delta) {
        self.packets = self.packets.saturating_add(delta.packets);
        self.bytes = self.bytes.saturating_add(delta.bytes);
    }
}

/// A source address that a flow keeps young.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MacUse {
    /// Bundle.
    pub bundle: BundleId,
    /// When it was last seen, milliseconds.
    pub used_ms: i64,
    /// In a gratuitous ARP.
    pub grat_arp: bool,
    /// The bundle is a bond.
    pub is_bond: bool,
}

/// Everything credited, added up.
#[derive(Clone, Debug, Default)]
pub struct Credits {
    /// Rules.
    pub rules: BTreeMap<(BridgeId, RuleId), RuleStats>,
    /// Look-ups and matches by table.
    pub tables: BTreeMap<(BridgeId, u8), (u64, u64)>,
    /// Packets that no rule matched and that went to the controllers, or not, or were dropped as fragments.
    pub misses: BTreeMap<(BridgeId, u32), Count>,
    /// Groups.
    pub groups: BTreeMap<(BridgeId, u32), Count>,
    /// Buckets, by index.
    pub buckets: BTreeMap<(BridgeId, u32, usize), Count>,
    /// Groups all of whose buckets take every packet.
    pub all_buckets: BTreeMap<(BridgeId, u32), Count>,
    /// Mirrors, by index.
    pub mirrors: BTreeMap<(BridgeId, u8), Count>,
    /// Packets that came in at ports the datapath does not know.
    pub port_rx: BTreeMap<PortRef, Count>,
    /// Packets that left there.
    pub port_tx: BTreeMap<PortRef, Count>,
    /// Hash buckets of bonds.
    pub bonds: BTreeMap<(BridgeId, BundleId, u8), Count>,
    /// Source addresses.
    pub macs: BTreeMap<(BridgeId, MacKey), MacUse>,
    /// Rules to learn or keep young, with their limits.
    pub learns: Vec<(BridgeId, Arc<FlowMod>, u32)>,
    /// Rules whose timeouts shrink: idle and hard, seconds.
    pub fin_timeouts: Vec<(BridgeId, Arc<Rule>, u16, u16)>,
}

impl Credits {
    /// Credits what a flow carried to everything its effects name.
    pub fn push(&mut self, effects: &[Effect], delta: &Delta) {
        if delta.packets == 0 {
            return;
        }
        effects.iter().for_each(|effect| self.push_one(effect, delta));
    }

    fn push_one(&mut self, effect: &Effect, delta: &Delta) {
        match effect {
            Effect::Table { bridge, table, matched } => {
                let entry = self.tables.entry((*bridge, *table)).or_default();
                entry.0 = entry.0.saturating_add(delta.packets);
                if *matched {
                    entry.1 = entry.1.saturating_add(delta.packets);
                }
            }
            Effect::Rule { bridge, rule } => self.push_rule(*bridge, rule, delta),
            Effect::Port { tx, rx } => {
                if let Some(port) = tx {
                    self.port_tx.entry(*port).or_default().add(delta);
                }
                if let Some(port) = rx {
                    self.port_rx.entry(*port).or_default().add(delta);
                }
            }
            Effect::Mirrors { bridge, mirrors } => {
                for i in (0..32u8).filter(|i| mirrors >> i & 1 == 1) {
                    self.mirrors.entry((*bridge, i)).or_default().add(delta);
                }
            }
            Effect::Group { bridge, group, bucket } => {
                self.groups.entry((*bridge, *group)).or_default().add(delta);
                match bucket {
                    Some(i) => self.buckets.entry((*bridge, *group, *i)).or_default().add(delta),
                    None => self.all_buckets.entry((*bridge, *group)).or_default().add(delta),
                }
            }
            Effect::Bond { bridge, bundle, bucket } => {
                self.bonds.entry((*bridge, *bundle, *bucket)).or_default().add(delta);
            }
            Effect::MacLearn { bridge, bundle, mac, vlan, grat_arp, is_bond } => {
                let entry = MacUse { bundle: *bundle, used_ms: delta.used_ms, grat_arp: *grat_arp, is_bond: *is_bond };
                let key = (*bridge, MacKey { vlan: *vlan, mac: *mac });
                let old = self.macs.get(&key);
                if old.is_none_or(|o| o.used_ms <= entry.used_ms) {
                    self.macs.insert(key, entry);
                }
            }
            Effect::Learn { bridge, flow_mod, limit, .. } => {
                self.learns.push((*bridge, Arc::clone(flow_mod), *limit));
            }
            Effect::FinTimeout { bridge, rule, idle, hard } => {
                if delta.tcp_flags & FIN_RST != 0 {
                    self.fin_timeouts.push((*bridge, Arc::clone(rule), *idle, *hard));
                }
            }
            // Those concern the packet at hand only.
            Effect::McastSnoop { .. } | Effect::Special { .. } => {}
        }
    }

    fn push_rule(&mut self, bridge: BridgeId, rule: &Rule, delta: &Delta) {
        if rule.id.table == INTERNAL_TABLE && rule.id.generation == u32::MAX {
            self.misses.entry((bridge, rule.id.slot)).or_default().add(delta);
            return;
        }
        let stats = self.rules.entry((bridge, rule.id)).or_default();
        stats.packets = stats.packets.saturating_add(delta.packets);
        stats.bytes = stats.bytes.saturating_add(delta.bytes);
        stats.used_ms = stats.used_ms.max(delta.used_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flows_add_up() {
        let bridge = BridgeId(1);
        let effects = [
            Effect::Table { bridge, table: 3, matched: true },
            Effect::Table { bridge, table: 4, matched: false },
            Effect::Group { bridge, group: 7, bucket: Some(1) },
            Effect::Mirrors { bridge, mirrors: 0b101 },
        ];
        let mut credits = Credits::default();
        let delta = Delta { packets: 2, bytes: 120, used_ms: 5, tcp_flags: 0 };
        credits.push(&effects, &delta);
        credits.push(&effects, &delta);
        credits.push(&effects, &Delta::default());
        assert_eq!(credits.tables[&(bridge, 3)], (4, 4));
        assert_eq!(credits.tables[&(bridge, 4)], (4, 0));
        assert_eq!(credits.buckets[&(bridge, 7, 1)], Count { packets: 4, bytes: 240 });
        assert_eq!(credits.mirrors.keys().map(|k| k.1).collect::<Vec<_>>(), [0, 2]);
    }
}
