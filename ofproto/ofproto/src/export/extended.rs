//! What sFlow tells of a sampled packet beside its header: the labels that it leaves with, and the tunnels that it came by
//! and leaves by.
//!
//! Nothing is told of the way out of packets that leave more than once: there it differs from copy to copy. Source:
//! sFlow.org, "sFlow Version 5" (extended_mpls) and "sFlow Tunnel Structures"; observed behaviour of Open vSwitch 3.1. Its
//! ports of UDP are in the wrong order of octets there, and right here.

use flow::extract::ethertype;
use flow::{Key, odp, tun_flag};
use packet::ipv4::proto;

use super::sflow::Xdr;

const GRE_TYPE: u32 = 3;
const VXLAN_TYPE: u32 = 4;
const GENEVE_TYPE: u32 = 5;
/// Octets of an outer Ethernet header and of an IPv4 header without options.
const ETHERNET: usize = 14;
const IPV4: usize = 20;
const UDP: usize = 8;

/// An outer IPv4 header, and the network that its tunnel carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outer {
    /// Network identifier or key.
    pub vni: Option<u32>,
    /// Protocol of IP.
    pub proto: u8,
    /// From.
    pub src: u32,
    /// To.
    pub dst: u32,
    /// Ports of UDP, 0 where there are none or they are not known.
    pub ports: (u16, u16),
    /// Type of service.
    pub tos: u8,
}

/// What is told of a packet beside its header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extended {
    /// Label stack entries that it leaves with, the outermost first.
    pub labels: Vec<u32>,
    /// The tunnel it leaves by.
    pub leaves: Option<Outer>,
    /// The tunnel it came by.
    pub came: Option<Outer>,
}

impl Outer {
    /// Of a packet that came by a tunnel of this protocol and port.
    pub fn of_key(key: &Key, proto: u8, port: u16) -> Option<Outer> {
        let (src, dst) = (key.tun_src(), key.tun_dst());
        (dst != 0).then(|| Outer {
            vni: (key.tun_flags() & tun_flag::KEY != 0).then_some(key.tun_id() as u32),
            proto,
            src,
            dst,
            ports: (key.tun_tp_src(), port),
            tos: key.tun_tos(),
        })
    }

    /// Of a header that the switch puts in front; `None` if it is not of IPv4.
    fn of_header(push: &odp::TnlPush) -> Option<Outer> {
        let word = |at: usize| Some(u32::from_be_bytes(push.header.get(at..at + 4)?.try_into().ok()?));
        let half = |at: usize| Some(u16::from_be_bytes(push.header.get(at..at + 2)?.try_into().ok()?));
        if half(ETHERNET - 2)? != ethertype::IPV4 {
            return None;
        }
        let (ip, inner) = (ETHERNET, ETHERNET + IPV4);
        let proto = *push.header.get(ip + 9)?;
        let vni = match push.tnl_type {
            GRE_TYPE => {
                const CHECKSUM: u16 = 0x8000;
                const KEY: u16 = 0x2000;
                let flags = half(inner)?;
                let at = inner + if flags & CHECKSUM != 0 { 8 } else { 4 };
                if flags & KEY != 0 { word(at) } else { None }
            }
            VXLAN_TYPE | GENEVE_TYPE => word(inner + UDP + 4).map(|word| word >> 8),
            _ => None,
        };
        Some(Outer {
            vni,
            proto,
            src: word(ip + 12)?,
            dst: word(ip + 16)?,
            ports: (0, if proto == proto::UDP { half(inner + 2)? } else { 0 }),
            tos: *push.header.get(ip + 1)?,
        })
    }
}

impl Extended {
    /// Adds what a packet with this key leaves with, by actions that send it once.
    pub fn follow(&mut self, key: &Key, actions: &[odp::Action]) {
        const BOTTOM: u32 = 0x100;
        if matches!(key.dl_type(), ethertype::MPLS | ethertype::MPLS_MULTICAST) {
            for entry in [key.mpls_lse0(), key.mpls_lse1(), key.mpls_lse2()] {
                self.labels.push(entry);
                if entry & BOTTOM != 0 {
                    break;
                }
            }
        }
        self.walk(actions);
    }

    fn walk(&mut self, actions: &[odp::Action]) {
        for action in actions {
            match action {
                odp::Action::PushMpls { lse, .. } => self.labels.insert(0, *lse),
                odp::Action::PopMpls { .. } if !self.labels.is_empty() => drop(self.labels.remove(0)),
                odp::Action::Set(set) if set.group == odp::SetGroup::Mpls => {
                    if let Some(top) = self.labels.first_mut() {
                        let mut key = Key::default();
                        key.set_mpls_lse0(*top);
                        for word in &set.words {
                            let at = &mut key.0[usize::from(word.word)];
                            *at = *at & !word.mask | word.value & word.mask;
                        }
                        *top = key.mpls_lse0();
                    }
                }
                odp::Action::Set(odp::Set { group: odp::SetGroup::Tunnel, tunnel: Some(key), .. }) => {
                    self.leaves = Outer::of_key(
                        key,
                        if key.tun_tp_dst() == 0 { proto::GRE } else { proto::UDP },
                        key.tun_tp_dst(),
                    );
                }
                odp::Action::TnlPush(push) => self.leaves = Outer::of_header(push),
                odp::Action::Clone(actions) => self.walk(actions),
                _ => {}
            }
        }
    }

    /// Its records, and how many they are.
    pub(super) fn records(&self) -> (Xdr, u32) {
        const MPLS: u32 = 1006;
        let mut out = Xdr::default();
        let mut n = 0;
        let mut put = |format: u32, body: Xdr| {
            out.record(format, body);
            n += 1;
        };
        if !self.labels.is_empty() {
            // No next hop: an IPv4 address of zeros; no labels as it came.
            let mut body = Xdr::of(&[1, 0, 0, self.labels.len() as u32]);
            body.words(&self.labels);
            put(MPLS, body);
        }
        for (outer, vni_format, header_format) in [(self.leaves, 1029, 1023), (self.came, 1030, 1024)] {
            let Some(outer) = outer else { continue };
            if let Some(vni) = outer.vni {
                put(vni_format, Xdr::of(&[vni]));
            }
            let Outer { proto, src, dst, ports, tos, .. } = outer;
            put(header_format, Xdr::of(&[0, proto.into(), src, dst, ports.0.into(), ports.1.into(), 0, tos.into()]));
        }
        (out, n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labelled(entries: [u32; 3]) -> Key {
        let mut key = Key::default();
        key.set_dl_type(ethertype::MPLS);
        key.set_mpls_lse0(entries[0]);
        key.set_mpls_lse1(entries[1]);
        key.set_mpls_lse2(entries[2]);
        key
    }

    #[test]
    fn labels_are_those_that_a_packet_leaves_with() {
        let push = odp::Action::PushMpls { lse: 0x31_5820, ethertype: ethertype::MPLS };
        let pop = odp::Action::PopMpls { ethertype: ethertype::MPLS };
        let set = odp::Action::Set(odp::Set {
            group: odp::SetGroup::Mpls,
            words: [odp::MaskedWord { word: 62, value: 0x5740 << 32, mask: 0xffff_ffff << 32 }].into_iter().collect(),
            tunnel: None,
        });
        let check = |key: &Key, actions: &[odp::Action], expected: &[u32]| {
            let mut told = Extended::default();
            told.follow(key, actions);
            assert_eq!(told.labels, expected, "{actions:?}");
        };
        let two = labelled([0xb640, 0xc53f, 7]);
        check(&Key::default(), std::slice::from_ref(&push), &[0x31_5820]);
        check(&Key::default(), std::slice::from_ref(&pop), &[]);
        check(&two, &[], &[0xb640, 0xc53f]);
        check(&two, std::slice::from_ref(&pop), &[0xc53f]);
        check(&two, &[pop.clone(), pop], &[]);
        check(&two, &[set], &[0x5740, 0xc53f]);
        check(&labelled([0xb740, 0, 0]), &[odp::Action::Clone([push].into())], &[0x31_5820, 0xb740]);
    }

    #[test]
    fn a_header_put_in_front_is_told() {
        let hex = |text: &str| {
            (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect::<Vec<u8>>()
        };
        let told = |tnl_type, header: &str| {
            Outer::of_header(&odp::TnlPush { tnl_port: 4, out_port: 1, tnl_type, header: hex(header) })
        };
        let gre = "f8bc124434b6aa55aa5500000800450800000000400040\
                   2f0000010102580101025c20006558000001c8";
        let common = Outer { vni: Some(456), src: 0x0101_0258, dst: 0x0101_025c, tos: 8, ..Outer::default() };
        assert_eq!(told(GRE_TYPE, gre), Some(Outer { proto: 47, ..common }));
        let vxlan = "f8bc124434b6aa55aa550000080045080000000040004011\
                     0000010102580101025c000012b500000000080000000001c800";
        assert_eq!(told(VXLAN_TYPE, vxlan), Some(Outer { proto: 17, ports: (0, 4789), ..common }));
        assert_eq!(told(VXLAN_TYPE, &vxlan[..60]), None);
        assert_eq!(told(VXLAN_TYPE, &vxlan.replace("0000080045", "000086dd60")), None);
    }
}
