//! Flows that dummies take, as a network card would (`other_config:hw-offload`): the card marks the packets of a flow
//! with a number by which the flow is found at once. Dummies tell the log of it, and nothing else comes of it: no
//! packet takes another way. The texts equal Open vSwitch's: scripts read them.

use std::collections::BTreeMap;
use std::fmt;

use flow::match_text::{Options, format, format_flow};
use flow::{FlowEntry, Key, Mask, OdpPort, Ufid, odp_text};

/// Network layer and VLAN of a tag, which a flow of untagged packets decides by.
const VLAN_DECIDES: u16 = 0x1fff;
/// Flows that all dummies together take at the most.
const TAKEN_AT_MOST: usize = 65_536;

/// A flow that a dummy took.
struct Taken {
    mark: u32,
    port: OdpPort,
    /// The port's name.
    name: String,
    key: Key,
    mask: Mask,
}

impl Taken {
    /// What it matches, with the port or without it.
    fn matching(&self, with_port: bool) -> String {
        let (mut key, mut mask) = (self.key.clone(), self.mask.clone());
        if !with_port {
            key.set_in_port(0);
            mask.set_in_port(0);
        }
        format(&key, &mask, &Options::default())
    }

    fn takes(&self, packet: &Key) -> bool {
        let mut packet = packet.clone();
        packet.set_in_port(self.port);
        packet.masked(&self.mask) == self.key
    }
}

/// The flows that the dummies of a datapath took.
#[derive(Default)]
pub(super) struct Offload {
    is_on: bool,
    taken: BTreeMap<Ufid, Taken>,
    /// Marks that are free again; the last comes first.
    free: Vec<u32>,
    last: u32,
}

impl Offload {
    /// Dummies take flows from now on, until the program ends; `ports` are those that there are.
    pub(super) fn turn_on<'a>(&mut self, ports: impl Iterator<Item = &'a String>) {
        if !std::mem::replace(&mut self.is_on, true) {
            ports.for_each(|name| self.greet(name));
        }
    }

    /// There is a dummy of this name.
    pub(super) fn greet(&self, name: &str) {
        if self.is_on {
            vlog::info!("netdev_offload", "{name}: Assigned flow API 'dummy'.");
        }
    }

    /// Whether they do.
    pub(super) fn is_on(&self) -> bool {
        self.is_on
    }

    /// A flow is installed whose packets come in by the dummy of this name.
    pub(super) fn put(&mut self, entry: &FlowEntry, name: String) {
        if self.taken.contains_key(&entry.ufid) || self.taken.len() >= TAKEN_AT_MOST {
            return;
        }
        let mark = self.free.pop().unwrap_or_else(|| {
            self.last += 1;
            self.last
        });
        let (key, mut mask) = (entry.key(), entry.mask());
        if mask.dl_type() != 0 {
            mask.set_vlan_tci(mask.vlan_tci() | VLAN_DECIDES);
        }
        let taken = Taken { mark, port: key.in_port(), name, key, mask };
        say(|| {
            let ufid = odp_text::ufid(entry.ufid);
            vlog::dbg!("dpif_netdev", "Mark id for ufid {ufid} was not found");
            told_of(&taken, "create", entry.ufid);
            vlog::dbg!("dpif_netdev", "Associated dp_netdev flow with mark {mark} mega_ufid {ufid}");
            vlog::dbg!("dpif_netdev", "succeed to add netdev flow {ufid}");
        });
        self.taken.insert(entry.ufid, taken);
    }

    /// A flow has other actions now.
    pub(super) fn modify(&mut self, ufid: Ufid) {
        if let Some(taken) = self.taken.get_mut(&ufid) {
            if taken.key.vlan_tci() == 0 && taken.mask.vlan_tci() != 0 {
                // Whoever changes a flow says of its missing tag that all of it is missing.
                taken.mask.set_vlan_tci(u16::MAX);
            }
            say(|| {
                told_of(taken, "modify", ufid);
                vlog::dbg!("dpif_netdev", "succeed to modify netdev flow {}", odp_text::ufid(ufid));
            });
        }
    }

    /// Flows are gone.
    pub(super) fn delete(&mut self, gone: impl Iterator<Item = Ufid>) {
        for ufid in gone {
            let Some(taken) = self.taken.remove(&ufid) else { continue };
            self.free.push(taken.mark);
            say(|| {
                let Taken { mark, name, .. } = &taken;
                let ufid = odp_text::ufid(ufid);
                vlog::dbg!("netdev_dummy", "{name}: flow del: ufid:{ufid} mark: {mark}");
                vlog::dbg!("dpif_netdev", "Freed flow mark {mark} mega_ufid {ufid}");
                vlog::dbg!("dpif_netdev", "succeed to delete netdev flow {ufid}");
            });
        }
    }

    /// A packet comes in by a dummy.
    pub(super) fn receive(&self, port: OdpPort, octets: &[u8]) {
        if self.taken.is_empty() {
            return;
        }
        let (key, _) = flow::extract(octets, 0);
        if let Some((ufid, taken)) = self.taken.iter().find(|(_, taken)| taken.port == port && taken.takes(&key)) {
            vlog::dbg!("netdev_dummy", "{}", Matched { ufid: *ufid, taken, packet: &key });
        }
    }
}

/// A packet of a flow that a dummy took.
struct Matched<'a> {
    ufid: Ufid,
    taken: &'a Taken,
    packet: &'a Key,
}

impl fmt::Display for Matched<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Taken { mark, name, .. } = self.taken;
        let (packet, ufid) = (format_flow(self.packet, &Options::default()), odp_text::ufid(self.ufid));
        let matching = self.taken.matching(false);
        write!(f, "{name}: packet: {packet} matches with flow: ufid:{ufid} {matching} with mark: {mark}")
    }
}

fn told_of(taken: &Taken, what: &str, ufid: Ufid) {
    let Taken { mark, name, .. } = taken;
    let (ufid, matching) = (odp_text::ufid(ufid), taken.matching(true));
    vlog::dbg!("netdev_dummy", "{name}: flow put[{what}]: ufid:{ufid} flow match: {matching}, mark: {mark}");
}

/// Open vSwitch has a thread that hands flows to devices; its lines say so.
fn say(lines: impl FnOnce()) {
    vlog::set_subprogram("hw_offload1");
    lines();
    vlog::set_subprogram("");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(ufid: u128, text: &str) -> FlowEntry {
        let (key, mask) = odp_text::parse_key(text, None).expect("a key");
        FlowEntry::new(Ufid(ufid), &key.masked(&mask), &mask, Vec::new().into())
    }

    #[test]
    fn marks_are_used_again_last_freed_first() {
        let mut offload = Offload::default();
        let name = "p1".to_owned();
        let text = "recirc_id(0),in_port(1),packet_type(ns=0,id=0),eth(),eth_type(0x0800),ipv4(frag=no)";
        assert!(!offload.is_on(), "nobody asked for it");
        offload.turn_on([&name].into_iter());
        for ufid in 1..=3 {
            offload.put(&entry(ufid, text), name.clone());
        }
        offload.put(&entry(3, text), name.clone());
        let marks = |offload: &Offload| offload.taken.values().map(|t| t.mark).collect::<Vec<_>>();
        assert_eq!(marks(&offload), [1, 2, 3]);
        offload.delete([Ufid(1), Ufid(2), Ufid(9)].into_iter());
        offload.put(&entry(5, text), name.clone());
        offload.put(&entry(6, text), name.clone());
        offload.put(&entry(7, text), name.clone());
        assert_eq!(marks(&offload), [3, 2, 1, 4]);
    }

    #[test]
    fn flows_are_told_of_as_matches_and_take_their_packets() {
        let mut offload = Offload::default();
        let name = "p1".to_owned();
        offload.turn_on([&name].into_iter());
        let text = "recirc_id(0),in_port(7),packet_type(ns=0,id=0),eth(),eth_type(0x8100),vlan(vid=99,pcp=7/0x0),\
                    encap(eth_type(0x0800),ipv4(frag=no))";
        offload.put(&entry(1, text), name.clone());
        let taken = &offload.taken[&Ufid(1)];
        assert_eq!(taken.matching(true), "recirc_id=0,eth,ip,in_port=7,dl_vlan=99,nw_frag=no");
        assert_eq!(taken.matching(false), "recirc_id=0,eth,ip,dl_vlan=99,nw_frag=no");
        let packet = |vid| {
            let text = format!(
                "eth(),eth_type(0x8100),vlan(vid={vid},pcp=3),encap(eth_type(0x0800),ipv4(proto=17,frag=no),udp())"
            );
            let (key, _) = odp_text::parse_key(&text, None).expect("a key");
            let frame = flow::compose(&key, flow::Payload::Octets(&[]));
            flow::extract(frame.data(), 0).0
        };
        assert!(taken.takes(&packet(99)));
        assert!(!taken.takes(&packet(98)));
    }
}
