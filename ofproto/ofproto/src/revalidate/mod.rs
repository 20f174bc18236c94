//! Revalidation: which cached flows still say what the pipeline says, and which have had their day.
//!
//! A [`FlowIndex`] remembers each installed flow with what its translation depended on. [`Changes`] tells what differs
//! between two views; only flows that a change touches are translated again.
//!
//! Absent here: talking to the datapath, threads, the clock. Source: ovs-vswitchd.conf.db(5) `flow-limit`, `max-idle`,
//! `max-revalidator`, `min-revalidate-pps`; ovs-vswitchd(8) `upcall/show`.

mod changes;
mod limit;
pub mod show;

mod index;
mod recent;

use std::sync::Arc;

use flow::classifier::Shape;
use flow::{Actions, FlowChange, FlowStats, Key, Mask, MiniKey};
use l2proto::mac_learning::MacKey;
use smallvec::SmallVec;

pub use changes::Changes;
pub use index::{FETCHED, FlowIndex};
pub use limit::{DEFAULT_FLOW_LIMIT, DEFAULT_MAX_IDLE_MS, DEFAULT_MIN_PPS, FlowLimit};

use crate::rule::RuleStats;
use crate::view::BridgeId;
use crate::xlate::{Effect, Translation};

/// An installed flow, with what every packet of it does besides being sent.
#[derive(Clone, Debug)]
pub struct CachedFlow {
    /// As its first packet had it, in the datapath's numbering, unmasked.
    key: MiniKey,
    /// Bits that decide, in the datapath.
    shape: Arc<Shape>,
    /// What the datapath does.
    actions: Actions,
    /// How often that has changed.
    edition: u32,
    /// Whether packets were credited to its translation as it is now.
    credited: bool,
    /// Effects of each packet.
    effects: Arc<[Effect]>,
    /// Recirculation states it holds.
    recircs: Box<[u32]>,
    /// Addresses looked up.
    macs: SmallVec<[(BridgeId, MacKey); 1]>,
    /// Bridges passed.
    bridges: SmallVec<[BridgeId; 2]>,
    /// When it was installed, milliseconds.
    created_ms: i64,
    /// When the datapath was last seen to have it, milliseconds.
    reported_ms: i64,
    /// Counters as the datapath gave them last.
    seen: FlowStats,
}

/// What a flow has carried since it was asked last, and what that does.
#[derive(Clone, Debug)]
pub struct Carried {
    /// Packets and octets since, and when the last came.
    pub stats: RuleStats,
    /// TCP flags seen.
    pub tcp_flags: u16,
    /// Whether they are the first that this translation is credited with.
    pub is_first: bool,
    /// Effects of each packet, if there were any.
    pub effects: Option<Arc<[Effect]>>,
    /// When the flow was last of use, milliseconds.
    pub used_ms: i64,
    /// Since it was asked last, or installed, milliseconds.
    pub since_ms: i64,
}

impl Carried {
    /// Whether it was fewer than `min_pps` packets a second, for as long as one packet of so many takes at least.
    pub fn is_slow(&self, min_pps: u32) -> bool {
        let due = (self.since_ms.max(0) as u64).saturating_mul(u64::from(min_pps));
        due >= 1000 && self.stats.packets.saturating_mul(1000) < due
    }
}

/// What is to become of a flow.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// It stays.
    Keep,
    /// Its actions change.
    Modify(FlowChange),
    /// It goes: its port is gone, or bits matter now that it does not look at.
    Delete,
}

impl CachedFlow {
    /// The flow of a translation, with the bits that decide, the actions to install and its lasting effects.
    pub fn new(
        key: &Key,
        shape: Arc<Shape>,
        actions: Actions,
        effects: Arc<[Effect]>,
        translation: Translation,
        now_ms: i64,
    ) -> Self {
        CachedFlow {
            key: MiniKey::from(key),
            shape,
            actions,
            edition: 0,
            credited: false,
            effects,
            recircs: translation.recircs.into(),
            macs: translation.macs,
            bridges: translation.bridges,
            created_ms: now_ms,
            reported_ms: now_ms,
            seen: FlowStats::default(),
        }
    }

    /// As its first packet had it, unmasked.
    pub fn key(&self) -> Key {
        self.key.to_key()
    }

    /// Bits that decide, in the datapath.
    pub fn mask(&self) -> Mask {
        self.shape.mask()
    }

    /// What the datapath does.
    pub fn actions(&self) -> &Actions {
        &self.actions
    }

    /// How often that has changed.
    pub fn edition(&self) -> u32 {
        self.edition
    }

    /// Effects of each packet.
    pub fn effects(&self) -> &[Effect] {
        &self.effects
    }
}

/// Effects that every packet of a flow has.
fn lasting(mut effects: Vec<Effect>) -> Vec<Effect> {
    effects.retain(|e| !e.is_once());
    effects
}
