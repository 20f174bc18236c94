//! What a translation does besides sending packets, as data: the bridge applies it once for the packet at hand, and keeps
//! it with the installed flow so that every later packet of the flow has the same effects without a translation.

use std::sync::Arc;

use l2proto::membership::Membership;
use openflow::flow_mod::FlowMod;

use crate::rule::Rule;
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
        /// Delete the learned rules with the teaching rule.
        delete_learned: bool,
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
    /// A bond's hash bucket carries the packet.
    Bond {
        /// Bridge.
        bridge: BridgeId,
        /// Bundle.
        bundle: BundleId,
        /// Hash bucket.
        bucket: u8,
    },
}

impl Effect {
    /// Whether only the packet at hand has it, and not the later ones of its flow.
    pub fn is_once(&self) -> bool {
        matches!(self, Effect::McastSnoop { .. } | Effect::Special { .. })
    }
}
