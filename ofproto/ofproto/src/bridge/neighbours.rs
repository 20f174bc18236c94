//! Asking for the Ethernet addresses of neighbours that tunnels lead to (RFC 826, RFC 4861 section 4.3). Answers are seen
//! on their way to the bridge's own port, by translation.

use std::sync::Arc;

use flow::extract::ethertype;
use flow::outer::is_v4;
use flow::{Key, Payload};
use openflow::OfPort;
use openflow::action::Action;
use openflow::message::PacketOut;
use packet::{arp, icmpv6, ipv4};

use super::{Bridge, Output};

const BROADCAST: u64 = 0xffff_ffff_ffff;
/// At least so long passes between two reports that the same neighbour is used.
const REPORT_INTERVAL_MS: i64 = 1000;
/// Most neighbours of which it is remembered when they were reported.
const MOST_REPORTED: usize = 4096;

impl Bridge {
    /// Reports that a neighbour is still of use, unless that was reported just now.
    pub(super) fn use_neighbour(&mut self, address: u128, now_ms: i64) {
        if self.neighbours_used.get(&address).is_some_and(|last| now_ms < last + REPORT_INTERVAL_MS) {
            return;
        }
        if self.neighbours_used.len() >= MOST_REPORTED {
            self.neighbours_used.clear();
        }
        self.neighbours_used.insert(address, now_ms);
        self.put(Output::NeighbourUsed { address });
    }

    /// Sends the question through the bridge's tables, as from the port that leads there.
    pub(super) fn ask_neighbour(&mut self, port: OfPort, from: u128, to: u128) {
        // A question that floods into a tunnel itself must not make others: where there are loops they would go on for ever.
        let Some(mac) = self.view.mac_of(port).filter(|_| !self.asking) else { return };
        let packet = if is_v4(to) { arp_request(mac, from as u32, to as u32) } else { solicitation(mac, from, to) };
        let mut metadata = openflow::matching::Match::any();
        metadata.set_in_port(port);
        self.questions.push(PacketOut {
            packet: packet.into(),
            buffer_id: u32::MAX,
            flow_metadata: metadata,
            actions: Arc::from([Action::Output { port: OfPort::TABLE, max_len: 0 }]),
        });
    }
}

fn compose(key: &Key) -> Vec<u8> {
    flow::compose(key, Payload::Octets(&[])).data().to_vec()
}

fn arp_request(mac: u64, from: u32, to: u32) -> Vec<u8> {
    let mut key = Key::EMPTY;
    key.set_dl_dst(BROADCAST);
    key.set_dl_src(mac);
    key.set_dl_type(ethertype::ARP);
    key.set_nw_proto(arp::REQUEST as u8);
    key.set_nw_src(from);
    key.set_nw_dst(to);
    key.set_arp_sha(mac);
    compose(&key)
}

fn solicitation(mac: u64, from: u128, to: u128) -> Vec<u8> {
    // The group that whoever has the address listens to: RFC 4291, section 2.7.1.
    let group = 0xff02_0000_0000_0000_0000_0001_ff00_0000 | (to & 0xff_ffff);
    let mut key = Key::EMPTY;
    key.set_dl_dst(0x3333_0000_0000 | (group as u64 & 0xffff_ffff));
    key.set_dl_src(mac);
    key.set_dl_type(ethertype::IPV6);
    key.set_ipv6_src(from);
    key.set_ipv6_dst(group);
    key.set_nw_ttl(255);
    key.set_nw_proto(ipv4::proto::ICMPV6);
    key.set_tp_src(icmpv6::kind::NEIGHBOR_SOLICIT.into());
    key.set_nd_target(to);
    key.set_arp_sha(mac);
    compose(&key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_well_formed() {
        let frame = arp_request(0xaa55_aa55_0000, 0x0101_0258, 0x0101_025c);
        let (key, _) = flow::extract(&frame, 1);
        assert_eq!((key.dl_dst(), key.dl_src(), key.nw_proto()), (BROADCAST, 0xaa55_aa55_0000, 1));
        assert_eq!((key.nw_src(), key.nw_dst(), key.arp_sha()), (0x0101_0258, 0x0101_025c, 0xaa55_aa55_0000));
        let to = 0x2001_cafe_0000_0000_0000_0000_0012_3456;
        let frame = solicitation(0xaa55_aa55_0000, 0x2001_cafe_0000_0000_0000_0000_0000_0088, to);
        let (key, _) = flow::extract(&frame, 1);
        assert_eq!((key.dl_dst(), key.nw_ttl()), (0x3333_ff12_3456, 255));
        assert_eq!((key.nd_target(), key.arp_sha()), (to, 0xaa55_aa55_0000));
        let pseudo = packet::checksum::pseudo_v6(key.ipv6_src(), key.ipv6_dst(), 58, 32);
        assert_eq!(packet::checksum::finish(packet::checksum::sum(&frame[54..], pseudo)), 0);
    }
}
