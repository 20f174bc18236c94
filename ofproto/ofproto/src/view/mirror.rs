//! Mirrors. Source: ovs-vswitchd.conf.db(5), table Mirror.

use std::collections::BTreeSet;

use super::{BundleId, VlanSet};

/// A mirror.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct MirrorView {
    /// Bit in sets of mirrors.
    pub index: u8,
    /// Name.
    pub name: String,
    /// Packets that come in here are mirrored.
    pub srcs: BTreeSet<BundleId>,
    /// Packets that leave here are mirrored.
    pub dsts: BTreeSet<BundleId>,
    /// Only packets of these VLANs; empty for all.
    pub vlans: VlanSet,
    /// SPAN: where the copies go.
    pub out: Option<BundleId>,
    /// RSPAN: the VLAN that carries the copies.
    pub out_vlan: Option<u16>,
    /// Octets of each copy, 0 or 65535 for all.
    pub snaplen: u16,
    /// Mirrors with the same destination, this one included: a packet goes to one of them only.
    pub dup: u32,
}

impl MirrorView {
    /// The bit of this mirror.
    pub fn bit(&self) -> u32 {
        1 << (self.index & 31)
    }
}
