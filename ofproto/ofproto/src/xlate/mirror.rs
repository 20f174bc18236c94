//! Mirrors: copies of packets that come in or leave, to a bundle (SPAN) or a VLAN (RSPAN), each packet once a destination.

use std::sync::Arc;

use super::Effect;
use super::context::Context;
use super::normal::is_reserved;
use super::vlan::Tags;
use crate::view::{BundleId, BundleView, MirrorView};

impl Context<'_> {
    /// Whether a bundle takes mirrored packets only.
    pub(super) fn is_mirror_output(&self, bundle: BundleId) -> bool {
        self.bridge.mirrors.iter().any(|m| m.out == Some(bundle))
    }

    /// The bits of the mirrors that want something.
    pub(super) fn mirrors_of(&self, wants: impl Fn(&MirrorView) -> bool) -> u32 {
        self.bridge.mirrors.iter().filter(|m| wants(m)).fold(0, |bits, m| bits | m.bit())
    }

    pub(super) fn mirror_ingress(&mut self) {
        if self.bridge.mirrors.is_empty() {
            return;
        }
        let in_port = self.in_port();
        let Some(bundle) = self.input_bundle(in_port) else {
            self.report_error(|| format!("received packet on unknown port {in_port}"));
            return;
        };
        let mirrors = self.mirrors_of(|m| m.srcs.contains(&bundle.id));
        self.mirror_packet(&bundle, mirrors);
    }

    /// Copies to those of `candidates` that have not had the packet.
    pub(super) fn mirror_packet(&mut self, bundle: &Arc<BundleView>, candidates: u32) {
        // A trace tells of packets that the bundle would not take in even where no mirror wants them, as in Open vSwitch.
        let outside = Tags::of(&self.flow);
        if self.is_known(bundle) && !self.is_vid_valid(outside.vid(), bundle) {
            return;
        }
        let mut candidates = candidates & !self.mirrors;
        if candidates == 0 {
            return;
        }
        let tags = outside.enter(bundle);
        let mut used = 0;
        let bridge = Arc::clone(self.bridge);
        while candidates != 0 {
            let bit = candidates & candidates.wrapping_neg();
            candidates &= !bit;
            let Some(mirror) = bridge.mirrors.iter().find(|m| m.bit() == bit) else { continue };
            if !mirror.vlans.is_empty() {
                self.wc.set_vlan_tci(self.wc.vlan_tci() | 0x1fff);
                if !mirror.vlans.contains(tags.vid()) {
                    continue;
                }
            }
            used |= bit;
            // Before the copy leaves, so that its own output is not mirrored here again.
            self.mirrors |= mirror.dup | bit;
            // A copy that goes to many ports may be mirrored at one of them, and is cut at the others all the same.
            let outer = std::mem::replace(&mut self.mirror_snaplen, mirror.snaplen);
            self.copy_to(mirror, &tags);
            candidates &= !self.mirrors;
            self.mirror_snaplen = outer;
        }
        if used != 0 {
            let bridge = self.bridge.id;
            self.effect(Effect::Mirrors { bridge, mirrors: used });
        }
    }

    fn is_known(&self, bundle: &BundleView) -> bool {
        self.bridge.bundles.contains_key(&bundle.id)
    }

    fn copy_to(&mut self, mirror: &MirrorView, tags: &Tags) {
        let bridge = Arc::clone(self.bridge);
        match (mirror.out, mirror.out_vlan) {
            (Some(out), _) => {
                if let Some(out) = bridge.bundles.get(&out) {
                    self.output_bundle(out, tags);
                }
            }
            (None, Some(vlan)) if vlan != tags.vid() && !is_reserved(self.flow.dl_dst()) => {
                let mut tags = *tags;
                tags.0[0].vid = vlan;
                for bundle in bridge.bundles.values() {
                    if tags.are_carried_by(bundle) && !self.is_mirror_output(bundle.id) {
                        self.output_bundle(bundle, &tags);
                    }
                }
            }
            _ => {}
        }
    }
}
