//! Revalidation: which cached flows still say what the pipeline says, and which have had their day.
//!
//! A [`FlowIndex`] remembers each installed flow with what its translation depended on. [`Changes`] tells what differs
//! between two views; only flows that a change touches are translated again.
//!
//! Absent here: talking to the datapath, threads, the clock. Source: ovs-vswitchd.conf.db(5) `flow-limit`, `max-idle`,
//! `max-revalidator`; ovs-vswitchd(8) `upcall/show`.

mod changes;
mod limit;
pub mod show;

use std::collections::BTreeMap;
use std::sync::Arc;

use flow::mini::{MiniKey, MiniMask};
use flow::{Actions, FlowStats, Key, Ufid};
use l2proto::mac_learning::MacKey;

pub use changes::Changes;
pub use limit::{DEFAULT_FLOW_LIMIT, DEFAULT_MAX_IDLE_MS, FlowLimit};

use crate::rule::RuleStats;
use crate::view::BridgeId;
use crate::xlate::{Effect, Recirc, Translation};

/// An installed flow, with what every packet of it does besides being sent.
#[derive(Clone, Debug)]
pub struct CachedFlow {
    /// As its first packet had it, in the datapath's numbering, unmasked.
    key: MiniKey,
    /// Bits that decide, in the datapath.
    mask: MiniMask,
    /// What the datapath does.
    actions: Actions,
    /// Effects of each packet.
    effects: Arc<[Effect]>,
    /// Recirculation states it holds.
    recircs: Vec<u32>,
    /// Addresses looked up.
    macs: Vec<(BridgeId, MacKey)>,
    /// Bridges passed.
    bridges: Vec<BridgeId>,
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
    /// Effects of each packet.
    pub effects: Arc<[Effect]>,
    /// When the flow was last of use, milliseconds.
    pub used_ms: i64,
}

/// What is to become of a flow.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// It stays.
    Keep,
    /// Its actions change.
    Modify(Actions),
    /// It goes: its port is gone, or bits matter now that it does not look at.
    Delete,
}

impl CachedFlow {
    /// The flow of a translation, with the mask and the actions to install.
    pub fn new(key: &Key, mask: &flow::Mask, actions: Actions, translation: Translation, now_ms: i64) -> Self {
        CachedFlow {
            key: MiniKey::from(key),
            mask: MiniMask::from(mask),
            actions,
            effects: lasting(translation.effects),
            recircs: translation.recircs,
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

    /// What the datapath does.
    pub fn actions(&self) -> &Actions {
        &self.actions
    }

    /// Effects of each packet.
    pub fn effects(&self) -> &[Effect] {
        &self.effects
    }
}

/// Effects that every packet of a flow has.
fn lasting(mut effects: Vec<Effect>) -> Arc<[Effect]> {
    effects.retain(|e| !e.is_once());
    effects.into()
}

/// Installed flows by their names.
#[derive(Clone, Debug, Default)]
pub struct FlowIndex {
    flows: BTreeMap<Ufid, CachedFlow>,
}

impl FlowIndex {
    /// Number of flows.
    pub fn len(&self) -> usize {
        self.flows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.flows.is_empty()
    }

    /// A flow.
    pub fn get(&self, ufid: Ufid) -> Option<&CachedFlow> {
        self.flows.get(&ufid)
    }

    /// Remembers a flow. One that has its name already lives on with its counters: several packets of one flow came up
    /// together.
    pub fn insert(&mut self, ufid: Ufid, mut flow: CachedFlow, recirc: &mut Recirc, now_ms: i64) {
        if let Some(old) = self.flows.remove(&ufid) {
            recirc.release(&old.recircs, now_ms);
            (flow.seen, flow.created_ms) = (old.seen, old.created_ms);
        }
        self.flows.insert(ufid, flow);
    }

    /// Takes a flow's counters as the datapath has them; they never go back while a flow lives.
    pub fn advance(&mut self, ufid: Ufid, stats: &FlowStats, now_ms: i64) -> Option<Carried> {
        let flow = self.flows.get_mut(&ufid)?;
        let since = RuleStats {
            packets: stats.packets.saturating_sub(flow.seen.packets),
            bytes: stats.bytes.saturating_sub(flow.seen.bytes),
            used_ms: stats.used_ms,
        };
        flow.seen = *stats;
        flow.reported_ms = now_ms;
        let used_ms = if stats.used_ms > 0 { stats.used_ms } else { flow.created_ms };
        Some(Carried { stats: since, tcp_flags: stats.tcp_flags, effects: Arc::clone(&flow.effects), used_ms })
    }

    /// Forgets a flow that the datapath took out.
    pub fn remove(&mut self, ufid: Ufid, recirc: &mut Recirc, now_ms: i64) {
        if let Some(flow) = self.flows.remove(&ufid) {
            recirc.release(&flow.recircs, now_ms);
        }
    }

    /// Forgets the flows that a look at the whole datapath, begun at `since_ms`, did not find there.
    pub fn forget_unseen(&mut self, since_ms: i64, recirc: &mut Recirc, now_ms: i64) {
        self.flows.retain(|_, flow| {
            let is_there = flow.reported_ms >= since_ms;
            if !is_there {
                recirc.release(&flow.recircs, now_ms);
            }
            is_there
        });
    }

    /// The flows that a change may concern, to be judged by [`FlowIndex::judge`]. The others are right as they are.
    pub fn touched(&self, changes: &Changes) -> impl Iterator<Item = Ufid> {
        self.flows.iter().filter(|(_, flow)| changes.touch(flow)).map(|(ufid, _)| *ufid)
    }

    /// Compares a flow with its translation as of now, made with `meter` for the slow path. One that stays or changes
    /// takes the new effects.
    pub fn judge(
        &mut self,
        ufid: Ufid,
        translation: Option<Translation>,
        meter: Option<u32>,
        recirc: &mut Recirc,
        now_ms: i64,
    ) -> Verdict {
        let Some(flow) = self.flows.get_mut(&ufid) else { return Verdict::Keep };
        let Some(new) = translation else { return Verdict::Delete };
        // A flow is right as long as nothing it does not look at has come to matter.
        if !flow.mask.to_mask().covers(&new.megaflow_mask()) {
            recirc.release(&new.recircs, now_ms);
            return Verdict::Delete;
        }
        let actions: Actions = new.install_actions(meter).into();
        recirc.release(&flow.recircs, now_ms);
        flow.recircs = new.recircs;
        flow.effects = lasting(new.effects);
        flow.macs = new.macs;
        flow.bridges = new.bridges;
        if actions == flow.actions {
            return Verdict::Keep;
        }
        flow.actions = actions.clone();
        Verdict::Modify(actions)
    }
}
