//! Revalidation: which cached flows still say what the pipeline says, and which have had their day.
//!
//! A [`FlowIndex`] remembers each installed flow with what its translation depended on. [`Changes`] tells what differs
//! between two views; only flows that a change touches are translated again. Counters of flows become [`Credits`].
//!
//! Absent here: talking to the datapath, threads, the clock. Source: ovs-vswitchd.conf.db(5) `flow-limit`, `max-idle`,
//! `max-revalidator`; ovs-vswitchd(8) `upcall/show`.

mod changes;
mod limit;
pub mod show;

use std::collections::BTreeMap;
use std::sync::Arc;

use flow::{FlowStats, Key, Mask, Ufid, odp};
use l2proto::mac_learning::MacKey;

pub use changes::Changes;
pub use limit::{DEFAULT_FLOW_LIMIT, DEFAULT_MAX_IDLE_MS, FlowLimit};

use crate::credit::{Credits, Delta};
use crate::view::{BridgeId, SwitchView};
use crate::xlate::{Effect, Input, Recirc, Start, Translation, translate};

/// An installed flow.
#[derive(Clone, Debug)]
pub struct CachedFlow {
    /// Key as the datapath has it, all bits.
    pub key: Key,
    /// Bits that decide, in the datapath.
    pub mask: Mask,
    /// Bridge that its packets come to.
    pub bridge: BridgeId,
    /// The key in that bridge's numbering.
    pub flow: Key,
    /// What the datapath does.
    pub actions: Vec<odp::Action>,
    /// Effects of each packet.
    pub effects: Arc<[Effect]>,
    /// Recirculation states it holds.
    pub recircs: Vec<u32>,
    /// Addresses looked up.
    pub macs: Vec<(BridgeId, MacKey)>,
    /// Bridges passed.
    pub bridges: Vec<BridgeId>,
    /// Slow path reasons.
    pub slow: u32,
    /// Version of the view it was last found right under.
    pub version: u64,
    /// When it was installed, milliseconds.
    pub created_ms: i64,
    /// Counters as the datapath gave them last.
    pub seen: FlowStats,
}

impl CachedFlow {
    /// The flow of a translation.
    pub fn new(
        key: &Key,
        flow: &Key,
        bridge: BridgeId,
        translation: &Translation,
        meter: Option<u32>,
        now_ms: i64,
    ) -> Self {
        CachedFlow {
            key: key.clone(),
            mask: translation.megaflow_mask(),
            bridge,
            flow: flow.clone(),
            actions: translation.install_actions(meter),
            effects: translation.effects.clone().into(),
            recircs: translation.recircs.clone(),
            macs: translation.macs.clone(),
            bridges: translation.bridges.clone(),
            slow: translation.slow,
            version: translation.version,
            created_ms: now_ms,
            seen: FlowStats::default(),
        }
    }

    /// The last time it was of use.
    pub fn used_ms(&self) -> i64 {
        if self.seen.used_ms != 0 { self.seen.used_ms } else { self.created_ms }
    }

    /// What was counted since the last look; the datapath's counters never go back while a flow lives.
    fn advance(&mut self, stats: &FlowStats) -> Delta {
        let delta = Delta {
            packets: stats.packets.saturating_sub(self.seen.packets),
            bytes: stats.bytes.saturating_sub(self.seen.bytes),
            used_ms: stats.used_ms,
            tcp_flags: stats.tcp_flags,
        };
        self.seen = *stats;
        delta
    }
}

/// What is to become of a flow.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// It stays.
    Keep,
    /// Its actions change.
    Modify(Vec<odp::Action>),
    /// It goes.
    Delete(Reason),
}

/// Why a flow goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Reason {
    Idle,
    FlowLimit,
    MaskChanged,
    PortGone,
    Purge,
}

/// Installed flows by their identifiers.
#[derive(Clone, Debug, Default)]
pub struct FlowIndex {
    flows: BTreeMap<Ufid, CachedFlow>,
}

/// A hash of key and mask that names a flow.
pub fn ufid_of(key: &Key, mask: &Mask) -> Ufid {
    let mut words = [0u32; 4];
    for (i, word) in words.iter_mut().enumerate() {
        let mut hash = 0x9e37_79b9u32.wrapping_mul(i as u32 + 1);
        for (k, m) in key.0.iter().zip(&mask.0) {
            hash = flow::hash::add64(flow::hash::add64(hash, k & m), *m);
        }
        *word = flow::hash::finish(hash, flow::WORDS as u32 * 16);
    }
    Ufid(words.iter().fold(0, |n, w| n << 32 | u128::from(*w)))
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

    /// All flows.
    pub fn iter(&self) -> impl Iterator<Item = (Ufid, &CachedFlow)> {
        self.flows.iter().map(|(u, f)| (*u, f))
    }

    /// Remembers a flow; gives one that had its identifier.
    pub fn insert(&mut self, ufid: Ufid, flow: CachedFlow) -> Option<CachedFlow> {
        self.flows.insert(ufid, flow)
    }

    /// Forgets a flow, crediting what it carried last.
    pub fn remove(&mut self, ufid: Ufid, last: Option<&FlowStats>, credits: &mut Credits) -> Option<CachedFlow> {
        let mut flow = self.flows.remove(&ufid)?;
        if let Some(stats) = last {
            let delta = flow.advance(stats);
            credits.push(&flow.effects, &delta);
        }
        Some(flow)
    }

    /// Takes a flow's counters, and credits what is new.
    pub fn credit(&mut self, ufid: Ufid, stats: &FlowStats, credits: &mut Credits) {
        if let Some(flow) = self.flows.get_mut(&ufid) {
            let delta = flow.advance(stats);
            credits.push(&flow.effects, &delta);
        }
    }

    /// The flows that a change may concern, to be judged by [`FlowIndex::judge`]. The others are right under the new view.
    pub fn touched(&mut self, changes: &Changes, version: u64) -> Vec<Ufid> {
        let mut touched = Vec::new();
        for (ufid, flow) in &mut self.flows {
            if changes.touch(flow) {
                touched.push(*ufid);
            } else {
                flow.version = version;
            }
        }
        touched
    }

    /// Translates a flow again and compares. A flow that stays or changes takes the new effects.
    pub fn judge(&mut self, ufid: Ufid, view: &SwitchView, recirc: &mut Recirc, now_ms: i64) -> Verdict {
        let Some(cached) = self.flows.get_mut(&ufid) else { return Verdict::Keep };
        let at = if cached.key.recirc_id() != 0 {
            // Where it is recirculated to, and as what, is the state's matter and does not change.
            recirc.get(cached.key.recirc_id()).map(|s| (s.bridge, cached.flow.clone()))
        } else {
            crate::xlate::resolve(view, &cached.key)
        };
        let Some((bridge, flow)) = at else { return Verdict::Delete(Reason::PortGone) };
        let input = Input {
            key: &flow,
            bridge,
            packet: None,
            tcp_flags: cached.seen.tcp_flags,
            start: Start::Key,
            side_effects: true,
            now_ms,
        };
        let translation = translate(view, &input, recirc, None);
        let mask = translation.megaflow_mask();
        if !cached.mask.covers(&mask) {
            recirc.release(&translation.recircs, now_ms);
            return Verdict::Delete(Reason::MaskChanged);
        }
        let meter = view.bridges.get(&bridge).and_then(|b| b.slowpath_meter);
        let actions = translation.install_actions(meter);
        recirc.release(&cached.recircs, now_ms);
        cached.recircs = translation.recircs;
        cached.effects = translation.effects.into();
        cached.macs = translation.macs;
        cached.bridges = translation.bridges;
        cached.slow = translation.slow;
        cached.version = view.version;
        cached.bridge = bridge;
        cached.flow = flow;
        if actions == cached.actions {
            return Verdict::Keep;
        }
        cached.actions.clone_from(&actions);
        Verdict::Modify(actions)
    }

    /// The flows that have been idle for too long, or all when there are more than twice the limit.
    pub fn expired(&self, limit: &FlowLimit, now_ms: i64) -> Vec<(Ufid, Reason)> {
        let n = self.flows.len();
        if n > limit.limit() * 2 {
            return self.flows.keys().map(|u| (*u, Reason::FlowLimit)).collect();
        }
        let max_idle = limit.max_idle_ms(n);
        let is_idle = |flow: &CachedFlow| now_ms - flow.used_ms() >= max_idle;
        self.flows.iter().filter(|(_, f)| is_idle(f)).map(|(u, _)| (*u, Reason::Idle)).collect()
    }
}
