//! Bundles: OVSDB Ports. Source: ovs-vswitchd.conf.db(5), table Port, "VLAN Configuration".

use openflow::OfPort;

use super::{BondView, VlanSet};

/// Number of a bundle within its bridge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BundleId(pub u32);

/// VLAN mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum VlanMode {
    /// Carries one VLAN, untagged.
    Access,
    /// Carries VLANs, tagged.
    #[default]
    Trunk,
    /// A trunk whose native VLAN goes untagged.
    NativeUntagged,
    /// A trunk that takes what is untagged for its native VLAN.
    NativeTagged,
    /// Puts all that comes into one service VLAN (IEEE 802.1ad).
    Dot1qTunnel,
}

/// When frames without VLAN carry a priority tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum PriorityTags {
    /// Never.
    #[default]
    Never,
    /// When the priority is not 0.
    IfNonzero,
    /// Always.
    Always,
}

/// A bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleView {
    /// Which.
    pub id: BundleId,
    /// Name.
    pub name: String,
    /// Its ports: one, or a bond's members.
    pub ports: Vec<OfPort>,
    /// VLAN mode.
    pub vlan_mode: VlanMode,
    /// Access, native or service VLAN, -1 for none (trunk).
    pub vlan: i16,
    /// VLANs carried; `None` for all.
    pub trunks: Option<VlanSet>,
    /// Customer VLANs carried by a dot1q-tunnel; `None` for all.
    pub cvlans: Option<VlanSet>,
    /// EtherType of service tags.
    pub qinq_ethtype: u16,
    /// Priority tags.
    pub priority_tags: PriorityTags,
    /// Protected ports do not talk to each other.
    pub protected: bool,
    /// Flooded frames go here.
    pub floodable: bool,
    /// Bond, when there is more than one port.
    pub bond: Option<BondView>,
}

impl BundleView {
    /// A trunk of all VLANs with one port.
    pub fn new(id: BundleId, name: &str, port: OfPort) -> BundleView {
        BundleView {
            id,
            name: name.to_owned(),
            ports: vec![port],
            vlan_mode: VlanMode::Trunk,
            vlan: -1,
            trunks: None,
            cvlans: None,
            qinq_ethtype: 0x8100,
            priority_tags: PriorityTags::Never,
            protected: false,
            floodable: true,
            bond: None,
        }
    }

    /// Whether it treats frames otherwise than `old` did, so that what was learned by it counts no longer.
    pub fn treats_otherwise(&self, old: &BundleView) -> bool {
        (self.vlan_mode, self.vlan, &self.trunks, &self.cvlans) != (old.vlan_mode, old.vlan, &old.trunks, &old.cvlans)
            || (self.qinq_ethtype, self.priority_tags) != (old.qinq_ethtype, old.priority_tags)
            || self.protected != old.protected
    }

    /// Whether it carries a VLAN.
    pub fn includes_vlan(&self, vlan: u16) -> bool {
        let trunked = || self.trunks.as_ref().is_none_or(|t| t.contains(vlan));
        match self.vlan_mode {
            VlanMode::Access => i32::from(vlan) == i32::from(self.vlan),
            VlanMode::Trunk => trunked(),
            VlanMode::NativeTagged | VlanMode::NativeUntagged => {
                // With a native VLAN, packets inside the bridge are never without one.
                i32::from(vlan) == i32::from(self.vlan) || ((vlan != 0 || self.vlan <= 0) && trunked())
            }
            VlanMode::Dot1qTunnel => i32::from(vlan) == i32::from(self.vlan),
        }
    }

    /// Whether it carries a customer VLAN inside its service VLAN.
    pub fn allows_cvlan(&self, vlan: u16) -> bool {
        self.cvlans.as_ref().is_none_or(|c| c.contains(vlan))
    }
}
