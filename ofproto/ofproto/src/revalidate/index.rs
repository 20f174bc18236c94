//! The flows that a bridge has put into the datapath's cache, by their names.

use std::sync::Arc;

use flow::numbers::Numbers;
use flow::{Actions, FlowChange, FlowStats, Ufid};

use super::recent::Recent;
use super::{CachedFlow, Carried, Changes, Verdict, lasting};
use crate::rule::RuleStats;
use crate::xlate::{Effect, Recirc, Translation};

/// A flow's name is a hash already, made with a seed that nobody outside knows.
fn hash_of(ufid: Ufid) -> u64 {
    ufid.0 as u64
}

type Places = Vec<Option<Box<(Ufid, CachedFlow)>>>;

fn has_name(places: &Places, at: u32, ufid: Ufid) -> bool {
    places.get(at as usize).and_then(Option::as_deref).is_some_and(|(name, _)| *name == ufid)
}

/// Installed flows by their names. They are gone through in the order of their places.
#[derive(Debug, Default)]
pub struct FlowIndex {
    places: Places,
    free: Vec<u32>,
    by_name: Numbers,
    actions: Recent<flow::Action>,
    effects: Recent<Effect>,
}

/// Flows that [`FlowIndex::fetch`] takes at a time.
pub const FETCHED: usize = 16;

impl FlowIndex {
    /// Number of flows.
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    fn place(&self, ufid: Ufid) -> Option<u32> {
        self.by_name.find(hash_of(ufid), |at| has_name(&self.places, at, ufid))
    }

    /// A flow.
    pub fn get(&self, ufid: Ufid) -> Option<&CachedFlow> {
        let at = self.place(ufid)?;
        self.places[at as usize].as_deref().map(|(_, flow)| flow)
    }

    fn get_mut(&mut self, ufid: Ufid) -> Option<&mut CachedFlow> {
        let at = self.place(ufid)?;
        self.places[at as usize].as_deref_mut().map(|(_, flow)| flow)
    }

    /// Actions as flows share them.
    pub fn actions(&mut self, actions: Vec<flow::Action>) -> Actions {
        self.actions.share(actions, flow::Action::eq)
    }

    /// Effects that every packet of a flow has, as flows share them.
    pub fn effects(&mut self, effects: Vec<Effect>) -> Arc<[Effect]> {
        self.effects.share(lasting(effects), Effect::is_same)
    }

    fn iter(&self) -> impl Iterator<Item = &(Ufid, CachedFlow)> {
        self.places.iter().filter_map(|place| place.as_deref())
    }

    /// Remembers a flow. One that has its name already lives on with its counters: several packets of one flow came up
    /// together. Gives its actions as they are kept, and their edition.
    pub fn insert(&mut self, ufid: Ufid, mut flow: CachedFlow, recirc: &mut Recirc, now_ms: i64) -> (Actions, u32) {
        if let Some(old) = self.get_mut(ufid) {
            recirc.release(&old.recircs, now_ms);
            (flow.seen, flow.created_ms) = (old.seen, old.created_ms);
            flow.edition = old.edition.wrapping_add(u32::from(flow.actions != old.actions));
            *old = flow;
            return (Arc::clone(&old.actions), old.edition);
        }
        let actions = Arc::clone(&flow.actions);
        let place = Some(Box::new((ufid, flow)));
        let at = match self.free.pop() {
            Some(at) => {
                self.places[at as usize] = place;
                at
            }
            None => {
                self.places.push(place);
                self.places.len() as u32 - 1
            }
        };
        self.by_name.insert(hash_of(ufid), at);
        (actions, 0)
    }

    /// Has flows at hand that are about to be looked at. Each alone is waited for twice, its place and itself; of many
    /// the processor fetches several at a time, as long as nothing depends on them.
    pub fn fetch(&self, ufids: impl Iterator<Item = Ufid>) {
        let mut places = [0; FETCHED];
        let mut n = 0;
        for (place, ufid) in places.iter_mut().zip(ufids) {
            // Who has half of the hash in common will do.
            *place = self.by_name.find(hash_of(ufid), |_| true).unwrap_or(0);
            n += 1;
        }
        let packets = |at: &u32| self.places.get(*at as usize)?.as_deref().map(|(_, flow)| flow.seen.packets);
        std::hint::black_box(places[..n].iter().filter_map(packets).fold(0, u64::wrapping_add));
    }

    /// Takes a flow's counters as the datapath has them; they never go back while a flow lives.
    pub fn advance(&mut self, ufid: Ufid, stats: &FlowStats, now_ms: i64) -> Option<Carried> {
        let flow = self.get_mut(ufid)?;
        let since = RuleStats {
            packets: stats.packets.saturating_sub(flow.seen.packets),
            bytes: stats.bytes.saturating_sub(flow.seen.bytes),
            used_ms: stats.used_ms,
        };
        flow.seen = *stats;
        let since_ms = now_ms - std::mem::replace(&mut flow.reported_ms, now_ms);
        let used_ms = if stats.used_ms > 0 { stats.used_ms } else { flow.created_ms };
        let effects = (since.packets > 0).then(|| Arc::clone(&flow.effects));
        let is_first = effects.is_some() && !flow.credited;
        flow.credited |= is_first;
        Some(Carried { stats: since, tcp_flags: stats.tcp_flags, is_first, effects, used_ms, since_ms })
    }

    /// Forgets a flow that the datapath took out.
    pub fn remove(&mut self, ufid: Ufid, recirc: &mut Recirc, now_ms: i64) {
        let places = &self.places;
        let Some(at) = self.by_name.take(hash_of(ufid), |at| has_name(places, at, ufid)) else { return };
        if let Some(gone) = self.places[at as usize].take() {
            recirc.release(&gone.1.recircs, now_ms);
            self.free.push(at);
        }
    }

    /// Forgets the flows that a look at the whole datapath, begun at `since_ms`, did not find there.
    pub fn forget_unseen(&mut self, since_ms: i64, recirc: &mut Recirc, now_ms: i64) {
        let unseen: Vec<Ufid> =
            self.iter().filter(|(_, flow)| flow.reported_ms < since_ms).map(|(ufid, _)| *ufid).collect();
        for ufid in unseen {
            self.remove(ufid, recirc, now_ms);
        }
        if self.is_empty() {
            *self = FlowIndex::default();
        }
    }

    /// The flows that a change may concern, to be judged by [`FlowIndex::judge`]. The others are right as they are.
    pub fn touched(&self, changes: &Changes) -> impl Iterator<Item = Ufid> {
        self.iter().filter(|(_, flow)| changes.touch(flow)).map(|(ufid, _)| *ufid)
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
        let Some(at) = self.place(ufid) else { return Verdict::Keep };
        let Some((_, flow)) = self.places[at as usize].as_deref_mut() else { return Verdict::Keep };
        let Some(new) = translation else { return Verdict::Delete };
        // A flow is right as long as nothing it does not look at has come to matter.
        if !flow.shape.covers_mask(&new.megaflow_mask()) {
            recirc.release(&new.recircs, now_ms);
            return Verdict::Delete;
        }
        let actions = new.install_actions(meter);
        let new_effects = self.effects.share(lasting(new.effects), Effect::is_same);
        recirc.release(&flow.recircs, now_ms);
        flow.recircs = new.recircs.into();
        flow.effects = new_effects;
        flow.credited = false;
        flow.macs = new.macs;
        flow.bridges = new.bridges;
        if *actions == *flow.actions {
            return Verdict::Keep;
        }
        flow.actions = self.actions.share(actions, flow::Action::eq);
        flow.edition = flow.edition.wrapping_add(1);
        Verdict::Modify(FlowChange { ufid, actions: Arc::clone(&flow.actions), edition: flow.edition })
    }
}
