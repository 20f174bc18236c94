//! `encap` and `decap`: Ethernet, MPLS and NSH headers in front of a packet.
//!
//! Source: RFC 8300; ovs-actions(7) "Encapsulation Actions".

use flow::odp::{self, DropReason};
use openflow::action::{Encap, EncapProp};

use super::context::{Context, Pending};
use super::record::NodeKind;

/// Packet types.
const PT_ETH: u32 = 0;
const PT_NSH: u32 = 0x1_894f;
const PT_MPLS: u32 = 0x1_8847;
const PT_MPLS_MULTICAST: u32 = 0x1_8848;
/// Continue with whatever is behind the header.
const PT_USE_NEXT_PROTO: u32 = 0xfffe;

/// NSH's next protocol numbers.
fn next_proto_of(packet_type: u32) -> Option<u8> {
    match packet_type {
        0x1_0800 => Some(1),
        0x1_86dd => Some(2),
        PT_ETH => Some(3),
        PT_NSH => Some(4),
        _ => None,
    }
}

impl Context<'_> {
    pub(super) fn encap(&mut self, encap: &Encap) {
        self.commit();
        let old_type = self.flow.packet_type();
        match encap.new_packet_type {
            PT_ETH => self.encap_ethernet(),
            PT_NSH => self.encap_nsh(encap),
            PT_MPLS | PT_MPLS_MULTICAST => self.encap_mpls(encap.new_packet_type as u16),
            _ => {}
        }
        if self.error.is_none() && encap.new_packet_type != old_type {
            self.wc.set_packet_type(u32::MAX);
        }
    }

    fn encap_ethernet(&mut self) {
        if self.flow.packet_type() >> 16 != 1 {
            self.unsupported("encap(ethernet)");
            return;
        }
        let dl_type = self.flow.packet_type() as u16;
        self.flow.set_packet_type(PT_ETH);
        self.flow.set_dl_type(dl_type);
        self.flow.set_dl_src(0);
        self.flow.set_dl_dst(0);
        self.pending = Pending::EncapEth;
    }

    fn encap_nsh(&mut self, encap: &Encap) {
        let packet_type = self.flow.packet_type();
        let Some(np) = next_proto_of(packet_type) else {
            self.unsupported("encap(nsh)");
            return;
        };
        self.commit();
        let mut mdtype = 1;
        self.nsh_tlvs.clear();
        for prop in &encap.props {
            match prop {
                EncapProp::NshMdType(kind) => mdtype = *kind,
                EncapProp::NshTlv { class, kind, len, data } => {
                    self.nsh_tlvs.extend_from_slice(&class.to_be_bytes());
                    self.nsh_tlvs.extend_from_slice(&[*kind, *len]);
                    self.nsh_tlvs.extend_from_slice(data.get(..usize::from(*len)).unwrap_or(data));
                    self.nsh_tlvs.resize(self.nsh_tlvs.len().next_multiple_of(4), 0);
                }
            }
        }
        // What was the packet is payload now.
        self.flow.set_dl_src(0);
        self.flow.set_dl_dst(0);
        self.flow.0[flow::STAGE_END[0] + 2] = 0;
        self.flow.0[flow::STAGE_END[1]..].fill(0);
        self.flow.set_packet_type(PT_NSH);
        self.flow.set_dl_type(0x894f);
        self.flow.set_nsh_flags(0);
        self.flow.set_nsh_ttl(63);
        self.flow.set_nsh_mdtype(mdtype);
        self.flow.set_nsh_np(np);
        self.flow.set_nsh_spi(0);
        self.flow.set_nsh_si(255);
        self.pending = Pending::EncapNsh;
    }

    fn unsupported(&mut self, what: &str) {
        let packet_type = self.flow.packet_type();
        let (ns, kind) = (packet_type >> 16, packet_type & 0xffff);
        self.report(NodeKind::Action, || match packet_type {
            PT_ETH => format!("Dropping packet as {what} is not supported for packet type ethernet."),
            _ => format!("Dropping packet as {what} is not supported for packet type ({ns},{kind:#x})"),
        });
        self.error = Some(DropReason::UnsupportedPacketType);
    }

    pub(super) fn decap(&mut self, new_packet_type: Option<u32>) {
        match self.flow.packet_type() {
            PT_ETH => {
                if self.flow.vlan_tci() & 0x1000 != 0 {
                    let text = || "Dropping packet, cannot decap Ethernet if VLAN is present.".to_owned();
                    self.report(NodeKind::Action, text);
                    self.error = Some(DropReason::UnsupportedPacketType);
                    return;
                }
                self.commit();
                let dl_type = self.flow.dl_type();
                self.flow.set_packet_type(0x1_0000 | u32::from(dl_type));
                self.flow.set_dl_src(0);
                self.flow.set_dl_dst(0);
                self.pending = Pending::Decap;
            }
            PT_NSH => {
                self.commit();
                self.wc.set_nsh_np(u8::MAX);
                let new = match self.flow.nsh_np() {
                    1 => 0x1_0800,
                    2 => 0x1_86dd,
                    3 => PT_ETH,
                    4 => PT_NSH,
                    np => {
                        let text = || format!("Dropping packet as NSH next protocol {np} is not supported");
                        self.report(NodeKind::Action, text);
                        self.error = Some(DropReason::UnsupportedPacketType);
                        return;
                    }
                };
                self.flow.set_packet_type(new);
                self.pending = Pending::Decap;
                // Only the datapath can tell what is behind the header.
                self.trigger_freeze();
            }
            PT_MPLS | PT_MPLS_MULTICAST => self.decap_mpls(new_packet_type.unwrap_or(PT_USE_NEXT_PROTO)),
            packet_type => {
                let (ns, kind) = (packet_type >> 16, packet_type & 0xffff);
                let text = || format!("Dropping packet as the decap() does not support packet type ({ns},{kind:#x})");
                self.report(NodeKind::Action, text);
                self.error = Some(DropReason::UnsupportedPacketType);
            }
        }
    }

    /// `dec_nsh_ttl`. Gives whether the packet expired.
    pub(super) fn dec_nsh_ttl(&mut self) -> bool {
        if self.flow.packet_type() != PT_NSH && self.flow.dl_type() != 0x894f {
            return false;
        }
        self.wc.set_nsh_ttl(u8::MAX);
        let ttl = self.flow.nsh_ttl();
        if ttl > 1 {
            self.flow.set_nsh_ttl(ttl - 1);
            return false;
        }
        self.expired(&[0]);
        self.report(NodeKind::Warn, || "NSH decrement TTL exception".to_owned());
        true
    }

    pub(super) fn commit_encap_decap(&mut self) {
        let pending = std::mem::replace(&mut self.pending, Pending::None);
        match pending {
            // Also where a header that was to come is not wanted by a port without them.
            Pending::None | Pending::EncapEth if self.flow.packet_type() == self.base.packet_type() => return,
            // A port that carries packets without Ethernet headers, or an output after one.
            // Tags go with the header, also those that were to come; after it they come anew.
            Pending::None if self.flow.packet_type() != PT_ETH => {
                self.odp.push(odp::Action::PopEth);
                let vlans = super::commit::vlans(&self.flow);
                super::commit::set_vlans(&mut self.base, vlans);
            }
            Pending::None | Pending::EncapEth => {
                // Tags that an encapsulated frame had stay within it.
                if pending == Pending::None {
                    super::commit::set_vlans(&mut self.base, Default::default());
                }
                let (src, dst) = (self.flow.dl_src(), self.flow.dl_dst());
                self.odp.push(odp::Action::PushEth { src, dst });
                self.base.set_dl_src(src);
                self.base.set_dl_dst(dst);
            }
            Pending::EncapNsh => {
                let flow = &self.flow;
                self.odp.push(odp::Action::PushNsh(Box::new(odp::PushNsh {
                    flags: flow.nsh_flags(),
                    ttl: flow.nsh_ttl(),
                    mdtype: flow.nsh_mdtype(),
                    np: flow.nsh_np(),
                    path_hdr: flow.nsh_spi() << 8 | u32::from(flow.nsh_si()),
                    context: [flow.nsh_c1(), flow.nsh_c2(), flow.nsh_c3(), flow.nsh_c4()],
                    md2: std::mem::take(&mut self.nsh_tlvs),
                })));
                let vlans = super::commit::vlans(&self.flow);
                super::commit::set_vlans(&mut self.base, vlans);
                self.assume_no_addresses();
                self.assume_network();
            }
            Pending::EncapMpls => {
                let (lse, ethertype) = (self.flow.mpls_lse0(), self.flow.dl_type());
                self.odp.push(odp::Action::AddMpls { lse, ethertype });
                self.assume_network();
            }
            Pending::Decap => match self.base.packet_type() {
                PT_ETH => {
                    self.odp.push(odp::Action::PopEth);
                    self.assume_no_addresses();
                }
                PT_NSH => {
                    self.odp.push(odp::Action::PopNsh);
                    self.base.set_dl_type(self.flow.dl_type());
                }
                _ => {
                    self.odp.push(odp::Action::PopMpls { ethertype: self.flow.dl_type() });
                    self.assume_network();
                }
            },
        }
        self.base.set_packet_type(self.flow.packet_type());
    }

    /// The Ethernet header, if there was one, is payload or gone.
    fn assume_no_addresses(&mut self) {
        self.base.set_dl_src(0);
        self.base.set_dl_dst(0);
    }

    /// The datapath has what the flow says behind Ethernet addresses and VLAN tags.
    fn assume_network(&mut self) {
        self.base.set_dl_type(self.flow.dl_type());
        for i in 0..3 {
            super::commit::set_lse(&mut self.base, i, super::commit::lse(&self.flow, i));
        }
        self.base.0[flow::STAGE_END[1]..].copy_from_slice(&self.flow.0[flow::STAGE_END[1]..]);
    }
}
