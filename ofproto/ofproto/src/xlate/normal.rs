//! NORMAL: the learning switch of IEEE 802.1D and 802.1Q.

use std::sync::Arc;

use l2proto::mac_learning::{MacKey, is_multicast};
use openflow::OfPort;

use super::Effect;
use super::context::Context;
use super::output::Via;
use super::record::NodeKind;
use super::vlan::Tags;
use crate::view::{BundleId, BundleView, PacketTypeMode, PortView, PriorityTags};

const BROADCAST: u64 = 0xffff_ffff_ffff;

/// Number that no bundle has: packets that controllers inject.
const NO_BUNDLE: BundleId = BundleId(u32::MAX);

/// Whether an address is one of those that bridges keep to themselves.
pub(super) fn is_reserved(mac: u64) -> bool {
    // IEEE 802.1D's 16 group addresses, and those of Cisco's and others' protocols.
    (mac & 0xffff_ffff_fff0) == 0x0180_c200_0000
        || matches!(
            mac,
            0x00e0_2b00_0000
                | 0x00e0_2b00_0004
                | 0x00e0_2b00_0006
                | 0x0100_0c00_0000
                | 0x0100_0ccc_cccc
                | 0x0100_0ccc_cccd
                | 0x0100_0ccd_cdcd
        )
        || (0x0100_0ccc_ccc0..=0x0100_0ccc_cccf).contains(&mac)
}

impl Context<'_> {
    /// The bundle that a packet on a port belongs to; packets of controllers belong to one that carries all.
    pub(super) fn input_bundle(&self, port: OfPort) -> Option<Arc<BundleView>> {
        if let Some(bundle) = self.port(port).and_then(|p| self.bundle_of(p)) {
            return Some(Arc::clone(bundle));
        }
        matches!(port, OfPort::CONTROLLER | OfPort::NONE)
            .then(|| Arc::new(BundleView::new(NO_BUNDLE, "OFPP_NONE", OfPort::NONE)))
    }

    pub(super) fn normal(&mut self) {
        self.wc.set_dl_src(u64::MAX);
        self.wc.set_dl_dst(u64::MAX);
        self.wc.set_vlan_tci(self.wc.vlan_tci() | 0x1fff);
        let in_port = self.in_port();
        let Some(bundle) = self.input_bundle(in_port) else {
            self.report_error(|| format!("received packet on unknown port {in_port}"));
            self.warn("no input bundle, dropping");
            return;
        };
        if self.flow.dl_type() == 0x8100 && self.flow.vlan_tci() & 0x1000 == 0 {
            if self.input.packet.is_some() {
                let name = &bundle.name;
                self.report_error(|| format!("dropping packet with partial VLAN tag received on port {name}"));
            }
            self.warn("partial VLAN tag, dropping");
            return;
        }
        if self.is_mirror_output(bundle.id) {
            if self.input.packet.is_some() {
                let name = &bundle.name;
                self.report_error(|| {
                    format!("dropping packet received on port {name}, which is reserved exclusively for mirroring")
                });
            }
            self.warn("input port is mirror output port, dropping");
            return;
        }
        let outside = Tags::of(&self.flow);
        if bundle.id != NO_BUNDLE && !self.is_vid_valid(outside.vid(), &bundle) {
            self.warn("disallowed VLAN VID for this input port, dropping");
            return;
        }
        let tags = outside.enter(&bundle);
        let port = self.port(in_port).cloned();
        if let Some(port) = &port
            && !self.is_admissible(port, &bundle, tags.vid())
        {
            return;
        }
        self.learn_source(port.as_deref(), &bundle, tags.vid());
        if let Some(mcast) = self.bridge.mcast.as_ref()
            && self.flow.dl_dst() != BROADCAST
            && is_multicast(self.flow.dl_dst())
            && super::wildcard::is_ip(&self.flow)
        {
            return self.multicast(mcast, &bundle, &tags);
        }
        self.forward(&bundle, &tags);
    }

    fn forward(&mut self, bundle: &Arc<BundleView>, tags: &Tags) {
        let key = MacKey { vlan: tags.vid(), mac: self.flow.dl_dst() };
        self.macs.push((self.bridge.id, key));
        let mac = self.bridge.mac.as_ref();
        // A station that sends to itself has just been learned here.
        let own = key.mac == self.flow.dl_src() && !is_multicast(key.mac) && self.may_learn(tags.vid());
        let known = mac.and_then(|m| m.lookup(&key));
        let is_static = known.is_some_and(|e| e.is_static);
        let at = if own && !is_static && self.input.side_effects { Some(bundle.id.0) } else { known.map(|e| e.port) };
        match at {
            None => {
                self.detail("no learned MAC for destination, flooding");
                self.flood(bundle, tags);
            }
            Some(id) if id == bundle.id.0 => self.detail("learned port is input port, dropping"),
            Some(id) => match self.bridge.bundles.get(&BundleId(id)).cloned() {
                Some(to) => {
                    self.detail("forwarding to learned port");
                    self.output_bundle(&to, tags);
                }
                None => self.warn("learned port is unknown, dropping"),
            },
        }
    }

    fn may_learn(&self, vlan: u16) -> bool {
        self.bridge.mac.is_some() && !self.bridge.flood_vlans.contains(vlan)
    }

    fn learn_source(&mut self, port: Option<&PortView>, bundle: &BundleView, vlan: u16) {
        let grat_arp = self.is_gratuitous_arp();
        let learns = self.flow.packet_type() == 0
            && port.is_none_or(|p| p.packet_type_mode != PacketTypeMode::LegacyL3 && p.stp.learns())
            && bundle.id != NO_BUNDLE
            && !is_multicast(self.flow.dl_src())
            && self.may_learn(vlan);
        if learns {
            let (bridge, mac) = (self.bridge.id, self.flow.dl_src());
            let is_bond = bundle.bond.is_some();
            let now = self.input.now_ms;
            let key = MacKey { vlan, mac };
            let changes = |m: &l2proto::mac_learning::MacView| {
                m.lookup(&key).is_none_or(|e| e.port != bundle.id.0)
                    && m.needs_update(&key, bundle.id.0, grat_arp, is_bond, now)
            };
            let is_told = self.tracing() && self.input.side_effects && !self.underlay;
            if is_told && self.bridge.mac.as_ref().is_some_and(changes) {
                let (mac, name) = (flow::text::mac(mac), &bundle.name);
                self.report(NodeKind::Detail, || format!("learned that {mac} is on port {name} in VLAN {vlan}"));
            }
            self.effect(Effect::MacLearn { bridge, bundle: bundle.id, mac, vlan, grat_arp, is_bond });
        }
    }

    pub(super) fn is_gratuitous_arp(&mut self) -> bool {
        if self.flow.dl_type() != 0x0806 {
            return false;
        }
        self.wc.set_dl_dst(u64::MAX);
        if self.flow.dl_dst() != BROADCAST {
            return false;
        }
        self.wc.set_nw_proto(u8::MAX);
        match self.flow.nw_proto() {
            2 => true,
            1 => {
                self.wc.set_nw_src(u32::MAX);
                self.wc.set_nw_dst(u32::MAX);
                self.flow.nw_src() == self.flow.nw_dst()
            }
            _ => false,
        }
    }

    fn is_admissible(&mut self, port: &PortView, bundle: &Arc<BundleView>, vlan: u16) -> bool {
        if !self.bridge.forward_bpdu && is_reserved(self.flow.dl_dst()) {
            self.detail("packet has reserved destination MAC, dropping");
            return false;
        }
        self.is_admitted_by_bond(port, bundle, vlan)
    }

    /// To every bundle that carries the VLAN, except where it came from.
    pub(super) fn flood(&mut self, from: &BundleView, tags: &Tags) {
        let bridge = Arc::clone(self.bridge);
        for bundle in bridge.bundles.values() {
            if bundle.id != from.id
                && tags.are_carried_by(bundle)
                && bundle.floodable
                && !self.is_mirror_output(bundle.id)
            {
                self.output_bundle(bundle, tags);
            }
        }
        self.note_flood();
    }

    /// To one bundle, with the tags that its mode wants.
    pub(super) fn output_bundle(&mut self, bundle: &Arc<BundleView>, tags: &Tags) {
        let mut out = tags.leave(bundle);
        if bundle.priority_tags != PriorityTags::Never {
            out.0[0].pcp = self.flow.vlan_tci() & 0xe000;
        }
        let (port, via) = match &bundle.bond {
            None => match bundle.ports.first() {
                Some(port) => (*port, Via::Port),
                None => return,
            },
            Some(bond) => match self.choose_member(bundle, bond, out.vid()) {
                Some(choice) => choice,
                None => return,
            },
        };
        let old = super::commit::vlans(&self.flow);
        out.put(&mut self.flow, bundle.priority_tags);
        self.output_port(port, via, false, false);
        super::commit::set_vlans(&mut self.flow, old);
    }
}
