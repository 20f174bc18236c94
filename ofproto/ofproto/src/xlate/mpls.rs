//! MPLS: pushing and popping labels, writing them, and looking at what a popped label uncovers.

use flow::odp::DropReason;
use openflow::action::Action;

use super::commit::{count_labels, lse, pop_label, set_lse};
use super::context::{Context, Pending};
use super::record::NodeKind;
use super::wildcard::{is_ip, is_mpls};

/// Most labels in a key.
const MAX_LABELS: usize = 3;
/// Time to live of a label that nothing gives one.
const DEFAULT_TTL: u32 = 64;
/// Bottom of stack.
const BOS: u32 = 0x100;

impl Context<'_> {
    /// Labels of the packet; how far the stack goes matters.
    fn labels(&mut self) -> usize {
        let n = count_labels(&self.flow);
        let looked_at = (0..MAX_LABELS).find(|i| lse(&self.flow, *i) & BOS != 0).map_or(MAX_LABELS, |i| i + 1);
        for i in 0..if is_mpls(self.flow.dl_type()) { looked_at } else { 0 } {
            let bits = lse_mask(&self.wc, i) | BOS;
            set_lse_mask(&mut self.wc, i, bits);
        }
        n
    }

    pub(super) fn push_mpls(&mut self, ethertype: u16) {
        let n = self.labels();
        if n == 0 {
            self.commit();
        } else if n >= MAX_LABELS {
            if self.input.packet.is_some() {
                self.report_error(|| {
                    format!(
                        "dropping packet on which an MPLS push action can't be performed as it would have more \
                         MPLS LSEs than the {MAX_LABELS} supported."
                    )
                });
            }
            self.error = Some(DropReason::TooManyMplsLabels);
            return;
        }
        if n > 0 {
            self.push_same_label(n);
        } else {
            self.push_first_label();
        }
        self.flow.set_dl_type(ethertype);
    }

    fn push_first_label(&mut self) {
        let mut tc = 0;
        let mut ttl = DEFAULT_TTL;
        let label = self.explicit_null();
        if is_ip(&self.flow) {
            tc = u32::from(self.flow.nw_tos() & 0xfc) >> 2;
            self.wc.set_nw_tos(self.wc.nw_tos() | 0xfc);
            if self.flow.nw_ttl() != 0 {
                ttl = u32::from(self.flow.nw_ttl());
            }
            self.wc.set_nw_ttl(u8::MAX);
        }
        self.only_label(label << 12 | (tc & 7) << 9 | BOS | ttl);
    }

    /// The label of a packet that had none (RFC 3032).
    fn explicit_null(&self) -> u32 {
        if self.flow.dl_type() == 0x86dd { 2 } else { 0 }
    }

    /// Puts another label like the first of `n` in front.
    fn push_same_label(&mut self, n: usize) {
        (0..n).for_each(|i| set_lse_mask(&mut self.wc, i, u32::MAX));
        for i in (1..=n).rev() {
            let above = lse(&self.flow, i - 1);
            set_lse(&mut self.flow, i, above);
        }
        let top = lse(&self.flow, 1) & !BOS;
        set_lse(&mut self.flow, 0, top);
    }

    /// Makes `label` the only one; behind it nothing is known any more.
    fn only_label(&mut self, label: u32) {
        set_lse(&mut self.flow, 0, label);
        (1..MAX_LABELS).for_each(|i| set_lse(&mut self.flow, i, 0));
        self.flow.0[flow::STAGE_END[1]..].fill(0);
        self.flow.set_dp_hash(0);
    }

    /// `encap(mpls)`: a label in front of the whole packet, be it a frame. One with labels gets another like its first; of a
    /// frame's labels of the same type nothing is known any more, as in 3.1.
    pub(super) fn encap_mpls(&mut self, ethertype: u16) {
        let n = self.labels();
        if n >= MAX_LABELS {
            self.error = Some(DropReason::TooManyMplsLabels);
            return;
        }
        if n == 0 {
            self.only_label(self.explicit_null() << 12 | BOS | DEFAULT_TTL);
        } else if self.flow.packet_type() == 0 && self.flow.dl_type() == ethertype {
            (0..n).for_each(|i| set_lse_mask(&mut self.wc, i, u32::MAX));
            self.only_label(0);
        } else {
            self.push_same_label(n);
        }
        self.flow.set_packet_type(1 << 16 | u32::from(ethertype));
        self.flow.set_dl_type(ethertype);
        self.pending = Pending::EncapMpls;
    }

    /// `decap` of a label in front of a packet without Ethernet header; `new` is the packet type that it comes to.
    pub(super) fn decap_mpls(&mut self, new: u32) {
        self.commit();
        self.labels();
        self.only_label(0);
        self.flow.set_packet_type(new);
        self.flow.set_dl_type(new as u16);
        if new == 0 {
            self.flow.set_dl_type(packet::gre::ETHERNET);
            self.flow.set_dl_src(0);
            self.flow.set_dl_dst(0);
        }
        self.pending = Pending::Decap;
        // Only the datapath can tell what is behind the label.
        self.trigger_freeze();
    }

    pub(super) fn pop_mpls(&mut self, ethertype: u16) {
        let n = self.labels();
        if n == 0 {
            return;
        }
        if n == MAX_LABELS && lse(&self.flow, n - 1) & BOS == 0 {
            if self.input.packet.is_some() {
                self.report_error(|| {
                    format!(
                        "dropping packet on which an MPLS pop action can't be performed as it has more MPLS LSEs \
                         than the {MAX_LABELS} supported."
                    )
                });
            }
            self.error = Some(DropReason::TooManyMplsLabels);
            self.odp.clear();
            return;
        }
        (1..n).for_each(|i| set_lse_mask(&mut self.wc, i, u32::MAX));
        pop_label(&mut self.flow, n, ethertype);
        self.flow.set_dl_type(ethertype);
        if !is_mpls(ethertype) && self.view.support.recirc {
            self.was_mpls = true;
        }
    }

    pub(super) fn set_mpls(&mut self, bits: u32, value: u32) {
        if is_mpls(self.flow.dl_type()) {
            self.wc.set_mpls_lse0(self.wc.mpls_lse0() | bits);
            self.flow.set_mpls_lse0((self.flow.mpls_lse0() & !bits) | (value & bits));
        }
    }

    /// `dec_mpls_ttl`. Gives whether the packet expired; one without a label has nothing left to live, as in 3.1, but no
    /// controller hears of it.
    pub(super) fn dec_mpls_ttl(&mut self) -> bool {
        if is_mpls(self.flow.dl_type()) {
            self.wc.set_mpls_lse0(self.wc.mpls_lse0() | 0xff);
            let ttl = self.flow.mpls_lse0() & 0xff;
            if ttl > 1 {
                self.set_mpls(0xff, ttl - 1);
                return false;
            }
            self.expired(&[0]);
        }
        self.report(NodeKind::Warn, || "MPLS decrement TTL exception".to_owned());
        true
    }

    /// An action that needs what a popped label uncovered waits until the datapath has parsed the packet again.
    pub(super) fn freeze_for_mpls(&mut self, action: &Action) {
        if self.exit || !self.was_mpls {
            return;
        }
        let shallow = match action {
            Action::Output { .. }
            | Action::OutputTrunc { .. }
            | Action::OutputReg { .. }
            | Action::SetEthSrc(_)
            | Action::SetEthDst(_)
            | Action::SetTunnel { .. }
            | Action::SetVlanPcp { .. }
            | Action::SetVlanVid { .. }
            | Action::SetQueue(_)
            | Action::Group(_)
            | Action::Meter(_)
            | Action::UnrollXlate { .. } => true,
            Action::SetField(set) => !is_l3_or_higher(set.field),
            _ => false,
        };
        if !shallow {
            self.trigger_freeze();
        }
    }
}

fn is_l3_or_higher(field: flow::Field) -> bool {
    field.index() >= flow::Field::MplsLabel.index()
}

fn lse_mask(mask: &flow::Mask, i: usize) -> u32 {
    match i {
        0 => mask.mpls_lse0(),
        1 => mask.mpls_lse1(),
        _ => mask.mpls_lse2(),
    }
}

fn set_lse_mask(mask: &mut flow::Mask, i: usize, bits: u32) {
    match i {
        0 => mask.set_mpls_lse0(bits),
        1 => mask.set_mpls_lse1(bits),
        _ => mask.set_mpls_lse2(bits),
    }
}
