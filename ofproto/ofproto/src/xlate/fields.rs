//! Actions that write fields of the flow.

use flow::Mask;
use flow::field::Value;
use flow::nw_frag;
use openflow::action::{Action, SetField, Subfield};

use super::commit::{count_vlans, set_vlans, vlans};
use super::context::Context;
use super::record::NodeKind;
use super::wildcard::is_ip;

const CFI: u16 = 0x1000;

impl Context<'_> {
    pub(super) fn set_something(&mut self, action: &Action) {
        match action {
            Action::SetField(set) => self.set_field(set),
            Action::RegMove { src, dst, .. } => self.reg_move(src, dst),
            Action::StackPush(src) => {
                let value = self.read_exact(src);
                let n = usize::from(src.n_bits).div_ceil(8).min(16);
                self.stack.push(Value::from_u128(value, n.max(1)));
            }
            Action::StackPop(dst) => self.stack_pop(dst),
            Action::SetVlanVid { vid, push_if_needed, .. } => {
                self.wc.set_vlan_tci(self.wc.vlan_tci() | 0x0fff | CFI);
                if self.flow.vlan_tci() & CFI != 0 || *push_if_needed {
                    self.flow.set_vlan_tci((self.flow.vlan_tci() & !0x0fff) | (vid & 0x0fff) | CFI);
                    self.fix_tpid();
                }
            }
            Action::SetVlanPcp { pcp, push_if_needed, .. } => {
                self.wc.set_vlan_tci(self.wc.vlan_tci() | 0xe000 | CFI);
                if self.flow.vlan_tci() & CFI != 0 || *push_if_needed {
                    self.flow.set_vlan_tci((self.flow.vlan_tci() & !0xe000) | (u16::from(*pcp) << 13) | CFI);
                    self.fix_tpid();
                }
            }
            Action::StripVlan { .. } => self.pop_vlan(),
            Action::PushVlan { ethertype } => self.push_vlan(*ethertype),
            Action::SetEthSrc(mac) => {
                self.wc.set_dl_src(u64::MAX);
                self.flow.set_dl_src(*mac);
            }
            Action::SetEthDst(mac) => {
                self.wc.set_dl_dst(u64::MAX);
                self.flow.set_dl_dst(*mac);
            }
            Action::SetTunnel { id, .. } => self.flow.set_tun_id(*id),
            Action::SetQueue(queue) => {
                self.wc.set_skb_priority(u32::MAX);
                self.flow.set_skb_priority(*queue);
            }
            Action::PopQueue => {
                self.wc.set_skb_priority(u32::MAX);
                if self.flow.skb_priority() != self.orig_skb_priority {
                    let old = self.orig_skb_priority;
                    self.flow.set_skb_priority(old);
                    self.report(NodeKind::Detail, || format!("queue = {}", flow::text::hex(old.into())));
                }
            }
            Action::WriteMetadata { metadata, mask } => {
                self.flow.set_metadata((self.flow.metadata() & !mask) | (metadata & mask));
            }
            Action::DeleteField(field) => self.delete_field(*field),
            _ => self.set_network(action),
        }
    }

    fn set_network(&mut self, action: &Action) {
        let v4 = self.flow.dl_type() == 0x0800;
        match action {
            Action::SetIpv4Src(address) if v4 => {
                self.wc.set_nw_src(u32::MAX);
                self.wc.set_nw_proto(u8::MAX);
                self.flow.set_nw_src(*address);
            }
            Action::SetIpv4Dst(address) if v4 => {
                self.wc.set_nw_dst(u32::MAX);
                self.wc.set_nw_proto(u8::MAX);
                self.flow.set_nw_dst(*address);
            }
            Action::SetIpDscp(tos) if is_ip(&self.flow) => {
                self.wc.set_nw_tos(self.wc.nw_tos() | 0xfc);
                self.wc.set_nw_proto(u8::MAX);
                self.flow.set_nw_tos((self.flow.nw_tos() & 3) | (tos & 0xfc));
            }
            Action::SetIpEcn(ecn) if is_ip(&self.flow) => {
                self.wc.set_nw_tos(self.wc.nw_tos() | 0x03);
                self.wc.set_nw_proto(u8::MAX);
                self.flow.set_nw_tos((self.flow.nw_tos() & 0xfc) | (ecn & 3));
            }
            Action::SetIpTtl(ttl) if is_ip(&self.flow) => {
                self.wc.set_nw_ttl(u8::MAX);
                self.wc.set_nw_proto(u8::MAX);
                self.flow.set_nw_ttl(*ttl);
            }
            Action::SetL4SrcPort { port, .. } if self.has_ports() => {
                self.wc.set_nw_proto(u8::MAX);
                self.wc.set_tp_src(u16::MAX);
                self.flow.set_tp_src(*port);
            }
            Action::SetL4DstPort { port, .. } if self.has_ports() => {
                self.wc.set_nw_proto(u8::MAX);
                self.wc.set_tp_dst(u16::MAX);
                self.flow.set_tp_dst(*port);
            }
            Action::SetMplsLabel(label) => self.set_mpls(0xffff_f000, label << 12),
            Action::SetMplsTc(tc) => self.set_mpls(0x0e00, u32::from(*tc) << 9),
            Action::SetMplsTtl(ttl) => self.set_mpls(0xff, u32::from(*ttl)),
            _ => {}
        }
    }

    fn has_ports(&self) -> bool {
        is_ip(&self.flow) && self.flow.nw_frag() & nw_frag::LATER == 0
    }

    fn set_field(&mut self, set: &SetField) {
        if !self.meets(set.field) {
            let name = set.field.name();
            self.report(NodeKind::Warn, || format!("unmet prerequisites for {name}, set_field ignored"));
            return;
        }
        use flow::field::Prereq as P;
        let prereq = set.field.meta().prereq;
        if matches!(prereq, P::Ipv4 | P::Ipv6 | P::Ip | P::Arp) && set.field != flow::Field::IpDscp {
            // A header without a protocol is left as it is.
            self.wc.set_nw_proto(u8::MAX);
        }
        let tun = &self.bridge.tun_table;
        let mut bits = Mask::EMPTY;
        set.field.set_mask_in(&mut bits, &set.mask, tun);
        self.wc.join(&bits);
        let old = set.field.get_in(&self.flow, tun);
        let n = old.len().max(set.value.len());
        let pad = |v: &Value| {
            let mut padded = Value::zeros(n);
            padded.0[n - v.len()..].copy_from_slice(&v.0);
            padded
        };
        let (old, value, mask) = (pad(&old), pad(&set.value), pad(&set.mask));
        let new = Value(old.0.iter().zip(value.0.iter().zip(&mask.0)).map(|(o, (v, m))| (o & !m) | (v & m)).collect());
        set.field.set_in(&mut self.flow, &new, tun);
        if set.field.meta().prereq == flow::field::Prereq::VlanVid || is_vlan_field(set.field) {
            self.fix_tpid();
        }
    }

    fn reg_move(&mut self, src: &Subfield, dst: &Subfield) {
        if self.meets(src.field) && self.meets(dst.field) {
            self.mask_subfield(dst);
            let value = self.read_exact(src);
            self.write(dst, value);
            if is_vlan_field(dst.field) {
                self.fix_tpid();
            }
            self.report_subfield(dst);
        } else {
            let (src, dst) = (src.field.name(), dst.field.name());
            self.report(NodeKind::Warn, || format!("unmet prerequisites for move {src} -> {dst}"));
        }
    }

    fn stack_pop(&mut self, dst: &Subfield) {
        match self.stack.pop() {
            Some(value) => {
                self.mask_subfield(dst);
                self.write(dst, value.to_u128());
                if is_vlan_field(dst.field) {
                    self.fix_tpid();
                }
                self.report_subfield(dst);
            }
            None => self.report_error(|| "stack underflow".to_owned()),
        }
    }

    fn delete_field(&mut self, field: flow::Field) {
        if let flow::Field::TunMetadata(i) = field {
            let bit = 1u64 << (i & 63);
            let len = self.bridge.tun_table.entry(i).map_or(0, |e| e.len.into());
            self.bridge.tun_table.set(i, &mut self.flow.0, &Value::zeros(len));
            self.flow.set_tun_metadata_present(self.flow.tun_metadata_present() & !bit);
        }
        self.report(NodeKind::Detail, || format!("delete {}", field.name()));
    }

    /// A tag without a type gets 802.1Q's.
    fn fix_tpid(&mut self) {
        if self.flow.vlan_tci() & CFI == 0 {
            // No tag, no type.
            self.flow.set_vlan_tpid(0);
        } else if self.flow.vlan_tpid() == 0 {
            self.flow.set_vlan_tpid(0x8100);
        }
    }

    fn pop_vlan(&mut self) {
        let n = count_vlans(&self.flow);
        if n > 1 {
            self.wc.set_vlan2_tpid(u16::MAX);
            self.wc.set_vlan2_tci(u16::MAX);
        }
        if n > 0 {
            let [_, inner] = vlans(&self.flow);
            set_vlans(&mut self.flow, [inner, (0, 0)]);
            self.was_tagged = true;
        }
    }

    fn push_vlan(&mut self, tpid: u16) {
        let n = count_vlans(&self.flow);
        if n > 0 {
            self.wc.set_vlan_tpid(u16::MAX);
            self.wc.set_vlan_tci(u16::MAX);
        }
        if n > 1 {
            self.wc.set_vlan2_tpid(u16::MAX);
            self.wc.set_vlan2_tci(u16::MAX);
        }
        let [outer, _] = vlans(&self.flow);
        set_vlans(&mut self.flow, [(tpid, CFI), outer]);
    }
}

fn is_vlan_field(field: flow::Field) -> bool {
    use flow::Field as F;
    matches!(field, F::VlanTci | F::DlVlan | F::VlanVid | F::DlVlanPcp | F::VlanPcp)
}
