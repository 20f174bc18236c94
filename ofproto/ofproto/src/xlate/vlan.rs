//! VLANs between ports: a packet's tags inside the bridge, from those at its input port and to those at an output port.
//!
//! Source: ovs-vswitchd.conf.db(5), Port `vlan_mode`.

use flow::Key;

use super::commit::vlans;
use super::context::Context;
use crate::view::{BundleView, PriorityTags, VlanMode};

const CFI: u16 = 0x1000;

/// One tag: TPID, VLAN, priority (in place in the TCI).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tag {
    pub tpid: u16,
    pub vid: u16,
    pub pcp: u16,
}

/// The tags of a packet, outer first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tags(pub [Tag; 2]);

impl Tags {
    pub fn of(key: &Key) -> Tags {
        let mut tags = Tags::default();
        for (tag, (tpid, tci)) in tags.0.iter_mut().zip(vlans(key)) {
            if tci & CFI == 0 || !matches!(tpid, 0x8100 | 0x88a8) {
                break;
            }
            *tag = Tag { tpid, vid: tci & 0x0fff, pcp: tci & 0xe000 };
        }
        tags
    }

    pub fn vid(&self) -> u16 {
        self.0[0].vid
    }

    fn push(self, tag: Tag) -> Tags {
        Tags([tag, self.0[0]])
    }

    fn pop(self) -> Tags {
        Tags([self.0[1], Tag::default()])
    }

    /// Writes the tags; a tag with neither VLAN nor priority is none unless one was there and
    /// priority tags are always wanted.
    pub fn put(&self, key: &mut Key, priority_tags: PriorityTags) {
        let mut out = [(0, 0); 2];
        for (i, tag) in self.0.iter().enumerate() {
            let tci = tag.vid | tag.pcp;
            if tci != 0 || (tag.tpid != 0 && priority_tags == PriorityTags::Always) {
                out[i] = (if tag.tpid != 0 { tag.tpid } else { 0x8100 }, tci | CFI);
            }
        }
        super::commit::set_vlans(key, out);
    }

    /// From the input port's tags to the bridge's.
    pub fn enter(self, bundle: &BundleView) -> Tags {
        let first = self.0[0];
        let tpid = if first.tpid != 0 { first.tpid } else { 0x8100 };
        let own = Tag { tpid, vid: bundle.vlan.max(0) as u16, pcp: first.pcp };
        match bundle.vlan_mode {
            VlanMode::Access => Tags([own, Tag::default()]),
            VlanMode::NativeUntagged | VlanMode::NativeTagged if first.vid == 0 => Tags([own, self.0[1]]),
            VlanMode::Trunk | VlanMode::NativeUntagged | VlanMode::NativeTagged => self,
            VlanMode::Dot1qTunnel => self.push(Tag { tpid: bundle.qinq_ethtype, pcp: 0, ..own }),
        }
    }

    /// From the bridge's tags to the output port's.
    pub fn leave(self, bundle: &BundleView) -> Tags {
        match bundle.vlan_mode {
            VlanMode::Access => Tags::default(),
            VlanMode::Trunk | VlanMode::NativeTagged => self,
            VlanMode::NativeUntagged if i32::from(self.vid()) == i32::from(bundle.vlan) => self.pop(),
            VlanMode::NativeUntagged => self,
            VlanMode::Dot1qTunnel => self.pop(),
        }
    }

    /// Whether a bundle carries packets with these tags inside the bridge.
    pub fn are_carried_by(&self, bundle: &BundleView) -> bool {
        match bundle.vlan_mode {
            VlanMode::Access => i32::from(self.vid()) == i32::from(bundle.vlan) && self.0[1].vid == 0,
            VlanMode::Dot1qTunnel => {
                i32::from(self.vid()) == i32::from(bundle.vlan) && bundle.allows_cvlan(self.0[1].vid)
            }
            _ => bundle.includes_vlan(self.vid()),
        }
    }
}

impl Context<'_> {
    /// Whether a bundle takes in packets of a VLAN.
    pub(super) fn is_vid_valid(&mut self, vid: u16, bundle: &BundleView) -> bool {
        let (name, own) = (&bundle.name, bundle.vlan);
        match bundle.vlan_mode {
            VlanMode::Access if vid != 0 => {
                self.report_error(|| {
                    format!(
                        "dropping VLAN {vid} tagged packet received on port {name} configured as VLAN {own} access port"
                    )
                });
                false
            }
            VlanMode::Access => true,
            VlanMode::NativeUntagged | VlanMode::NativeTagged if vid == 0 => true,
            VlanMode::Trunk | VlanMode::NativeUntagged | VlanMode::NativeTagged => {
                let carried = bundle.includes_vlan(vid);
                if !carried {
                    self.report_error(|| {
                        format!(
                            "dropping VLAN {vid} packet received on port {name} not configured for trunking VLAN {vid}"
                        )
                    });
                }
                carried
            }
            VlanMode::Dot1qTunnel => {
                let allowed = bundle.allows_cvlan(vid);
                if !allowed {
                    self.report_error(|| {
                        format!(
                            "dropping VLAN {vid} packet received on dot1q-tunnel port {name} that excludes this VLAN"
                        )
                    });
                }
                allowed
            }
        }
    }
}
