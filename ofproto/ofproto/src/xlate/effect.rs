//! What a translation does besides sending packets, as data: the bridge applies it once for the packet at hand, and keeps
//! it with the installed flow so that every later packet of the flow has the same effects without a translation.

use std::collections::BTreeMap;
use std::sync::Arc;

use l2proto::membership::Membership;
use openflow::flow_mod::FlowMod;

use crate::export::netflow::FlowId;
use crate::rule::{Rule, RuleId, RuleStats};
use crate::view::{BridgeId, BundleId, PortRef};

/// One effect.
#[derive(Clone, Debug)]
pub enum Effect {
    /// A look-up in a table: counts with every packet.
    Table {
        /// Bridge.
        bridge: BridgeId,
        /// Table.
        table: u8,
        /// A rule was found.
        matched: bool,
    },
    /// A rule carries the packet: credit its counters.
    Rule {
        /// Bridge.
        bridge: BridgeId,
        /// Rule.
        rule: Arc<Rule>,
    },
    /// The packet passes a port without a datapath port of its own (patch, tunnel).
    Port {
        /// It leaves here.
        tx: Option<PortRef>,
        /// It comes in here.
        rx: Option<PortRef>,
    },
    /// The effects from here on are of packets with an outer header in front, until it is told again without.
    Header {
        /// Octets of it.
        octets: u16,
        /// It is put on; else it is off again.
        on: bool,
    },
    /// Mirrors have a copy.
    Mirrors {
        /// Bridge.
        bridge: BridgeId,
        /// Bit n: mirror n.
        mirrors: u32,
    },
    /// A group carries the packet.
    Group {
        /// Bridge.
        bridge: BridgeId,
        /// Group.
        group: u32,
        /// Index of the bucket, `None` for all of them.
        bucket: Option<usize>,
    },
    /// A source address was seen: learn it, or keep it young.
    MacLearn {
        /// Bridge.
        bridge: BridgeId,
        /// Bundle it is at.
        bundle: BundleId,
        /// Address.
        mac: u64,
        /// VLAN.
        vlan: u16,
        /// In a gratuitous ARP.
        grat_arp: bool,
        /// The bundle is a bond.
        is_bond: bool,
    },
    /// A `learn` action's flow-mod: add the rule, or keep it young.
    Learn {
        /// Bridge.
        bridge: BridgeId,
        /// The rule to be.
        flow_mod: Arc<FlowMod>,
        /// Most rules with this cookie in that table, 0 for no limit.
        limit: u32,
    },
    /// Shorten a rule's timeouts once a TCP connection ends; applies to packets with FIN or RST.
    FinTimeout {
        /// Bridge.
        bridge: BridgeId,
        /// Rule.
        rule: Arc<Rule>,
        /// Seconds.
        idle: u16,
        /// Seconds.
        hard: u16,
    },
    /// An IGMP or MLD message for the snooping table; for the packet at hand only.
    McastSnoop {
        /// Bridge.
        bridge: BridgeId,
        /// Bundle it came from.
        bundle: BundleId,
        /// VLAN.
        vlan: u16,
        /// What it says.
        said: Vec<Membership>,
    },
    /// A packet of a protocol that the switch itself speaks on a port; for the packet at hand only.
    Special {
        /// Port.
        port: PortRef,
        /// One bit of [`flow::odp::slow`].
        slow: u32,
        /// The packet from its Ethernet header on.
        frame: Arc<[u8]>,
    },
    /// NetFlow counts the packet.
    Netflow {
        /// Bridge.
        bridge: BridgeId,
        /// For which of its flows.
        flow: Box<FlowId>,
        /// Its way out: an OpenFlow port or one of [`crate::export::netflow`]'s.
        out: u16,
    },
    /// The Ethernet address of a neighbour that a tunnel leads to is wanted: by each translation once when it is made, and
    /// once more when later packets of its flow have come.
    NeighbourWanted {
        /// Port to ask by.
        port: PortRef,
        /// Address to ask from, in the underlay's form.
        from: u128,
        /// The neighbour.
        to: u128,
    },
    /// A neighbour of a bridge told its Ethernet address; for the packet at hand only.
    NeighbourHeard {
        /// Bridge.
        bridge: BridgeId,
        /// The neighbour, in the underlay's form.
        address: u128,
        /// 48 bits.
        mac: u64,
    },
    /// A packet is sent to a neighbour of a bridge: it is still wanted.
    NeighbourUsed {
        /// Bridge.
        bridge: BridgeId,
        /// The neighbour, in the underlay's form.
        address: u128,
    },
    /// A bond's hash bucket carries the packet.
    Bond {
        /// Bridge.
        bridge: BridgeId,
        /// Bundle.
        bundle: BundleId,
        /// Hash bucket.
        bucket: u8,
        /// The packet went round for it.
        recirculated: bool,
    },
}

impl Effect {
    /// Whether another effect is known to be the same. What is rare or large is not looked into.
    pub fn is_same(&self, other: &Effect) -> bool {
        use Effect as E;
        match (self, other) {
            (E::Table { bridge, table, matched }, E::Table { bridge: b, table: t, matched: m }) => {
                (bridge, table, matched) == (b, t, m)
            }
            (E::Rule { bridge, rule }, E::Rule { bridge: b, rule: r }) => bridge == b && Arc::ptr_eq(rule, r),
            (E::Port { tx, rx }, E::Port { tx: t, rx: r }) => (tx, rx) == (t, r),
            (E::Header { octets, on }, E::Header { octets: o, on: n }) => (octets, on) == (o, n),
            (E::Mirrors { bridge, mirrors }, E::Mirrors { bridge: b, mirrors: m }) => (bridge, mirrors) == (b, m),
            (E::Group { bridge, group, bucket }, E::Group { bridge: b, group: g, bucket: n }) => {
                (bridge, group, bucket) == (b, g, n)
            }
            (
                E::MacLearn { bridge, bundle, mac, vlan, grat_arp, is_bond },
                E::MacLearn { bridge: b, bundle: o, mac: m, vlan: v, grat_arp: g, is_bond: i },
            ) => (bridge, bundle, mac, vlan, grat_arp, is_bond) == (b, o, m, v, g, i),
            (E::Netflow { bridge, flow, out }, E::Netflow { bridge: b, flow: f, out: o }) => {
                (bridge, flow, out) == (b, f, o)
            }
            (E::NeighbourWanted { port, from, to }, E::NeighbourWanted { port: p, from: f, to: t }) => {
                (port, from, to) == (p, f, t)
            }
            (E::NeighbourUsed { bridge, address }, E::NeighbourUsed { bridge: b, address: a }) => {
                (bridge, address) == (b, a)
            }
            (
                E::Bond { bridge, bundle, bucket, recirculated },
                E::Bond { bridge: b, bundle: o, bucket: n, recirculated: r },
            ) => (bridge, bundle, bucket, recirculated) == (b, o, n, r),
            _ => false,
        }
    }

    /// Whether only the packet at hand has it, and not the later ones of its flow.
    pub fn is_once(&self) -> bool {
        use Effect as E;
        matches!(self, E::McastSnoop { .. } | E::Special { .. } | E::NeighbourHeard { .. })
    }

    /// The sum of its bridge that it adds to, if that is all it does.
    fn sum(&self) -> Option<Sum> {
        Some(match self {
            Effect::Table { table, matched, .. } => Sum::Table(*table, *matched),
            Effect::Rule { rule, .. } => Sum::Rule(rule.id),
            Effect::Port { tx, rx } => Sum::Port(*tx, *rx),
            Effect::Mirrors { mirrors, .. } => Sum::Mirrors(*mirrors),
            Effect::Group { group, bucket, .. } => Sum::Group(*group, *bucket),
            Effect::Bond { bundle, bucket, recirculated, .. } => Sum::Bond(*bundle, *bucket, *recirculated),
            _ => return None,
        })
    }
}

/// What a bridge adds up.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Sum {
    Table(u8, bool),
    Rule(RuleId),
    Port(Option<PortRef>, Option<PortRef>),
    Mirrors(u32),
    Group(u32, Option<usize>),
    Bond(BundleId, u8, bool),
}

/// Brings effects on one bridge to one a sum, so that as many can wait as the bridge has sums. Of those that are no sums
/// the newest stay, at most `others`, in their order.
pub fn condense(effects: &mut Vec<(Effect, RuleStats)>, others: usize) {
    let mut sums = BTreeMap::<Sum, (Effect, RuleStats)>::new();
    let mut rest = Vec::new();
    for (effect, stats) in effects.drain(..) {
        match effect.sum() {
            Some(sum) => sums.entry(sum).and_modify(|(_, so_far)| so_far.add(stats)).or_insert((effect, stats)),
            None => {
                rest.push((effect, stats));
                continue;
            }
        };
    }
    rest.drain(..rest.len().saturating_sub(others));
    effects.extend(sums.into_values().chain(rest));
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: BridgeId = BridgeId(1);

    fn count(packets: u64, used_ms: i64) -> RuleStats {
        RuleStats { packets, bytes: packets * 60, used_ms }
    }

    fn heard(mac: u64) -> Effect {
        Effect::NeighbourHeard { bridge: HERE, address: 7, mac }
    }

    #[test]
    fn sums_come_together_and_the_newest_others_stay() {
        let table = |table, matched| Effect::Table { bridge: HERE, table, matched };
        let group = |bucket| Effect::Group { bridge: HERE, group: 5, bucket };
        let mut effects = vec![
            (heard(1), count(1, 1)),
            (table(3, true), count(2, 10)),
            (group(Some(1)), count(4, 30)),
            (heard(2), count(1, 2)),
            (table(3, false), count(1, 11)),
            (table(3, true), count(5, 9)),
            (group(None), count(4, 30)),
            (heard(3), count(1, 3)),
            (group(Some(1)), count(3, 31)),
        ];
        condense(&mut effects, 2);
        let told: Vec<_> = effects
            .iter()
            .map(|(effect, stats)| match effect {
                Effect::Table { table, matched, .. } => (format!("table {table} {matched}"), *stats),
                Effect::Group { bucket, .. } => (format!("bucket {bucket:?}"), *stats),
                Effect::NeighbourHeard { mac, .. } => (format!("heard {mac}"), *stats),
                other => (format!("{other:?}"), *stats),
            })
            .collect();
        let wanted = [
            ("table 3 false", count(1, 11)),
            ("table 3 true", count(7, 10)),
            ("bucket None", count(4, 30)),
            ("bucket Some(1)", count(7, 31)),
            ("heard 2", count(1, 2)),
            ("heard 3", count(1, 3)),
        ];
        assert_eq!(told, wanted.map(|(what, stats)| (what.to_owned(), stats)));
    }
}
