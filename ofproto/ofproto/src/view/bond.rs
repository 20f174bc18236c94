//! Bonds as translation sees them. Source: ovs-vswitchd.conf.db(5), "Bonding Configuration".

use openflow::OfPort;

pub use l2proto::bond::{BUCKETS as BOND_BUCKETS, BondMode};

/// A bond.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BondView {
    /// Mode in force (a balance-tcp bond without LACP falls back).
    pub mode: BondMode,
    /// Members that are enabled, in order of their ports.
    pub enabled: Vec<OfPort>,
    /// The active member: takes broadcast and multicast.
    pub active: Option<OfPort>,
    /// Basis of the hash.
    pub basis: u32,
    /// Member by hash bucket, [`BOND_BUCKETS`] of them; empty for active-backup.
    pub buckets: Vec<Option<OfPort>>,
    /// Recirculation identifier of balance-tcp.
    pub recirc_id: u32,
    /// The datapath balances (`lb-output-action`).
    pub lb_output: bool,
    /// Broadcast and multicast come in by any member.
    pub all_members_active: bool,
    /// LACP has negotiated.
    pub lacp_negotiated: bool,
    /// LACP is configured.
    pub lacp: bool,
    /// LACP failed and the bond falls back to active-backup.
    pub lacp_fallback_ab: bool,
}
