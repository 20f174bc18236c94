//! In-band control: hidden rules that let the switch reach its controllers, and its managers, through its own bridge,
//! whatever controllers' rules say.
//!
//! The rules forward as a learning switch does: DHCP and ARP of the local port, ARP of the next hops, and ARP and TCP of each
//! remote. Source: the design document of Open vSwitch, "In-Band Control"; priorities as observed of Open vSwitch 3.1.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use flow::Field;
use openflow::OfPort;
use openflow::action::Action;
use openflow::flow_mod::{FlowMod, FlowModCommand};
use openflow::matching::Match;

use crate::table::Change;

/// DHCP from the local port.
const FROM_LOCAL_DHCP: i32 = 180_000;
/// ARP replies to, and requests from, the local port.
const TO_LOCAL_ARP: i32 = FROM_LOCAL_DHCP + 1;
const FROM_LOCAL_ARP: i32 = FROM_LOCAL_DHCP + 2;
/// ARP replies to, and requests from, the next hop towards a remote.
const TO_NEXT_HOP_ARP: i32 = FROM_LOCAL_DHCP + 3;
const FROM_NEXT_HOP_ARP: i32 = FROM_LOCAL_DHCP + 4;
/// ARP replies for, and requests from, a remote.
const TO_REMOTE_ARP: i32 = FROM_LOCAL_DHCP + 5;
const FROM_REMOTE_ARP: i32 = FROM_LOCAL_DHCP + 6;
/// TCP to, and from, a remote.
const TO_REMOTE_TCP: i32 = FROM_LOCAL_DHCP + 7;
const FROM_REMOTE_TCP: i32 = FROM_LOCAL_DHCP + 8;

/// How soon a next hop that is not known is looked for again, milliseconds.
const SOON_MS: i64 = 1_000;
/// How soon one that is known is looked at again, milliseconds.
const LATER_MS: i64 = 10_000;

const ETH_ARP: u128 = 0x0806;
const ETH_IPV4: u128 = 0x0800;
/// Operations of ARP.
const REQUEST: u128 = 1;
const REPLY: u128 = 2;

/// Someone to reach: address and TCP port.
pub type Remote = (Ipv4Addr, u16);

/// What the rules of one bridge are made from.
#[derive(Debug, Default)]
pub struct InBand {
    remotes: Vec<Remote>,
    /// Queue on the way out.
    queue: Option<u32>,
    /// Ethernet address of the local port, 48 bits.
    local_mac: u64,
    /// Ethernet addresses of next hops by remote.
    next_hops: BTreeMap<Ipv4Addr, u64>,
    next_look_ms: i64,
    installed: Vec<(Match, i32)>,
    installed_queue: Option<u32>,
}

impl InBand {
    /// Whether there is anybody to reach.
    pub fn is_active(&self) -> bool {
        !self.remotes.is_empty()
    }

    /// Number of rules put in.
    pub fn rules(&self) -> usize {
        self.installed.len()
    }

    /// Takes a configuration.
    pub fn configure(&mut self, mut remotes: Vec<Remote>, queue: Option<u32>, local_mac: u64) {
        remotes.sort_unstable();
        remotes.dedup();
        if remotes != self.remotes {
            self.next_look_ms = 0;
            self.next_hops.retain(|ip, _| remotes.iter().any(|(r, _)| r == ip));
        }
        (self.remotes, self.queue, self.local_mac) = (remotes, queue, local_mac);
    }

    /// When next hops are to be looked for.
    pub fn poll_timeout(&self) -> Option<(i64, &'static str)> {
        self.is_active().then_some((self.next_look_ms, "the way to controllers is looked for"))
    }

    /// The remotes whose next hops are to be looked for now.
    pub fn due(&mut self, now_ms: i64) -> Vec<Ipv4Addr> {
        if !self.is_active() || now_ms < self.next_look_ms {
            return Vec::new();
        }
        self.next_look_ms = now_ms + SOON_MS;
        let mut ips: Vec<Ipv4Addr> = self.remotes.iter().map(|r| r.0).collect();
        ips.dedup();
        ips
    }

    /// The next hops that were found.
    pub fn set_next_hops(&mut self, found: BTreeMap<Ipv4Addr, u64>, now_ms: i64) {
        let all = self.remotes.iter().all(|(ip, _)| found.contains_key(ip));
        self.next_look_ms = now_ms + if all { LATER_MS } else { SOON_MS };
        self.next_hops = found;
    }

    /// The rules that there should be.
    fn wanted(&self) -> Vec<(Match, i32)> {
        let mut rules = Vec::new();
        if self.remotes.is_empty() {
            return rules;
        }
        if self.local_mac != 0 {
            let mut dhcp = of_type(ETH_IPV4, &[(Field::EthSrc, self.local_mac.into()), (Field::IpProto, 17)]);
            dhcp.set_in_port(OfPort::LOCAL);
            dhcp.set_exact(Field::UdpSrc, 68);
            dhcp.set_exact(Field::UdpDst, 67);
            rules.push((dhcp, FROM_LOCAL_DHCP));
            rules.push((arp(Field::EthDst, self.local_mac.into(), REPLY), TO_LOCAL_ARP));
            rules.push((arp(Field::EthSrc, self.local_mac.into(), REQUEST), FROM_LOCAL_ARP));
        }
        let mut hops: Vec<u64> = self.next_hops.values().copied().filter(|mac| *mac != self.local_mac).collect();
        hops.sort_unstable();
        hops.dedup();
        for mac in hops {
            rules.push((arp(Field::EthDst, mac.into(), REPLY), TO_NEXT_HOP_ARP));
            rules.push((arp(Field::EthSrc, mac.into(), REQUEST), FROM_NEXT_HOP_ARP));
        }
        let mut last = None;
        for (ip, port) in &self.remotes {
            let address = u128::from(u32::from(*ip));
            if last.replace(*ip) != Some(*ip) {
                rules.push((arp(Field::ArpTpa, address, REPLY), TO_REMOTE_ARP));
                rules.push((arp(Field::ArpSpa, address, REQUEST), FROM_REMOTE_ARP));
            }
            let tcp = |end: Field, number: Field| {
                of_type(ETH_IPV4, &[(Field::IpProto, 6), (end, address), (number, u128::from(*port))])
            };
            rules.push((tcp(Field::Ipv4Dst, Field::TcpDst), TO_REMOTE_TCP));
            rules.push((tcp(Field::Ipv4Src, Field::TcpSrc), FROM_REMOTE_TCP));
        }
        rules
    }

    /// The changes that make the rules in the table those that there should be.
    pub fn changes(&mut self) -> Vec<Change> {
        let wanted = self.wanted();
        let all = self.installed_queue != self.queue;
        let mut changes = Vec::new();
        for rule in self.installed.iter().filter(|r| !wanted.contains(r)) {
            changes.push(change(rule, FlowModCommand::DeleteStrict, self.queue));
        }
        for rule in wanted.iter().filter(|r| all || !self.installed.contains(r)) {
            changes.push(change(rule, FlowModCommand::Add, self.queue));
        }
        (self.installed, self.installed_queue) = (wanted, self.queue);
        changes
    }
}

/// A match that says nothing of the packet's type, as controllers' always do: so the two have no shape in common, and
/// rules this high do not change the order in which controllers' are listed.
fn of_type(eth_type: u128, fields: &[(Field, u128)]) -> Match {
    let mut matching = Match::any();
    matching.set_exact(Field::EthType, eth_type);
    for (field, number) in fields {
        matching.set_exact(*field, *number);
    }
    matching
}

fn arp(field: Field, number: u128, operation: u128) -> Match {
    of_type(ETH_ARP, &[(field, number), (Field::ArpOp, operation)])
}

fn change((matching, priority): &(Match, i32), command: FlowModCommand, queue: Option<u32>) -> Change {
    let normal = Action::Output { port: OfPort::NORMAL, max_len: 0 };
    let queue = queue.map(Action::SetQueue);
    let actions: Vec<Action> = queue.into_iter().chain([normal]).collect();
    let flow_mod =
        FlowMod { command, table: 0, matching: matching.clone(), actions: actions.into(), ..FlowMod::default() };
    Change::flow_mod(&flow_mod, *priority)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: u64 = 0xaa55_aa55_0000;
    const FAR: Remote = (Ipv4Addr::new(10, 0, 0, 1), 6653);

    fn commands(changes: &[Change]) -> Vec<(FlowModCommand, i32)> {
        let of = |c: &Change| match c {
            Change::FlowMod { flow_mod, priority } => Some((flow_mod.command, *priority)),
            _ => None,
        };
        changes.iter().filter_map(of).collect()
    }

    #[test]
    fn rules_follow_remotes_and_next_hops() {
        let mut band = InBand::default();
        assert_eq!((band.changes().len(), band.poll_timeout()), (0, None));
        band.configure(vec![FAR, FAR], None, MAC);
        assert_eq!(band.changes().len(), 7);
        assert_eq!(band.due(0), [FAR.0]);
        band.set_next_hops([(FAR.0, 0x0200_0000_0001)].into(), 0);
        let added = commands(&band.changes());
        assert_eq!(added, [(FlowModCommand::Add, TO_NEXT_HOP_ARP), (FlowModCommand::Add, FROM_NEXT_HOP_ARP)]);
        assert_eq!(band.poll_timeout().map(|t| t.0), Some(LATER_MS));
        // Two ports of one host share its ARP rules.
        band.configure(vec![FAR, (FAR.0, 6640)], None, MAC);
        assert_eq!(commands(&band.changes()).len(), 2);
        band.configure(vec![], None, MAC);
        let gone = commands(&band.changes());
        assert_eq!(gone.len(), 11);
        assert!(gone.iter().all(|(command, _)| *command == FlowModCommand::DeleteStrict));
    }

    #[test]
    fn another_queue_makes_all_rules_anew() {
        let mut band = InBand::default();
        band.configure(vec![FAR], None, MAC);
        band.changes();
        band.configure(vec![FAR], Some(5), MAC);
        let changes = band.changes();
        assert_eq!(changes.len(), 7);
        let Change::FlowMod { flow_mod, .. } = &changes[0] else { panic!("a flow-mod") };
        assert_eq!(flow_mod.actions[0], Action::SetQueue(5));
    }

    #[test]
    fn an_unknown_next_hop_is_looked_for_every_second() {
        let mut band = InBand::default();
        band.configure(vec![FAR], None, MAC);
        assert_eq!(band.due(0), [FAR.0]);
        band.set_next_hops(BTreeMap::new(), 0);
        assert_eq!((band.due(999).len(), band.due(1000).len()), (0, 1));
    }
}
