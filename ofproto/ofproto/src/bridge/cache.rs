//! The life of the flows that this bridge has put into the datapath's cache: credited, judged again when something that
//! they depend on changes, taken out when nobody uses them.
//!
//! A flow's name carries its bridge's number in its upper 16 bits, so that whoever dumps a datapath knows whom to ask.

use std::ops::Bound;
use std::sync::Arc;

use flow::classifier::MiniMatch;
use flow::{Actions, FlowChange, FlowEntry, FlowReported, Key, Mask, Ufid};

use super::Bridge;
use crate::revalidate::{CachedFlow, Carried, Changes, FETCHED, Verdict};
use crate::view::{BridgeId, SwitchView};
use crate::xlate::{Effect, Translation};

/// How long a flow stays unused whose mask keeps others out of the cache, milliseconds.
const IN_THE_WAY_MS: i64 = 1000;

/// Who asks for a change wants packets that miss while it is there, and goes as soon as it is answered, milliseconds.
const PASSING_MS: i64 = 1000;

/// What a look at cached flows led to.
#[derive(Debug, Default)]
pub struct Decisions {
    /// Flows to take out.
    pub delete: Vec<Ufid>,
    /// Flows to change.
    pub modify: Vec<FlowChange>,
}

/// The bridge that a flow's name belongs to.
pub fn owner(ufid: Ufid) -> BridgeId {
    BridgeId((ufid.0 >> 112) as u32)
}

/// Lets each bit of a sum decide about all bits.
fn spread(mut sum: u64) -> u64 {
    for _ in 0..2 {
        sum = (sum ^ (sum >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
    sum ^ (sum >> 32)
}

/// Name of a flow: bridge, then a hash of what it matches.
fn ufid_of(bridge: BridgeId, seed: u64, matching: &MiniMatch) -> Ufid {
    let mut low = seed ^ 0x9ae1_6a3b_2f90_404f;
    let mut high = seed.rotate_left(32) ^ 0xc949_d7c7_509e_6557;
    for ((i, mask), value) in matching.shape().words().iter().zip(matching.values()) {
        for word in [u64::from(*i), *mask, *value] {
            low = (low.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            high = (high.rotate_left(29) ^ word).wrapping_mul(0xc2b2_ae3d_27d4_eb4f);
        }
    }
    let hash = (u128::from(spread(high)) << 64) | u128::from(spread(low));
    Ufid((hash & (u128::MAX >> 16)) | (u128::from(bridge.0 & 0xffff) << 112))
}

impl Bridge {
    /// Keeps what is needed of a translation to look after its flow, and makes the flow.
    ///
    /// `actions` are the translation's own.
    pub(super) fn remember(
        &mut self,
        key: &Key,
        mut translation: Translation,
        actions: &Actions,
        now_ms: i64,
    ) -> FlowEntry {
        self.hold_state(key, &mut translation);
        let mask = if self.megaflows { translation.megaflow_mask() } else { Mask::for_packet(key) };
        let matching = self.shapes.matching(key, &mask);
        let ufid = ufid_of(self.view.id, self.seed, &matching);
        let actions: Actions = match translation.slow {
            0 => Arc::clone(actions),
            _ => self.flows.actions(translation.install_actions(self.view.slowpath_meter)),
        };
        let effects = self.flows.effects(std::mem::take(&mut translation.effects));
        let flow = CachedFlow::new(key, Arc::clone(matching.shape()), actions, effects, translation, now_ms);
        let (actions, edition) = self.flows.insert(ufid, flow, &mut self.recirc, now_ms);
        FlowEntry { ufid, matching, actions, edition }
    }

    /// A flow of recirculated packets keeps the state that they go on from.
    fn hold_state(&mut self, key: &Key, translation: &mut Translation) {
        let id = key.recirc_id();
        if self.recirc.get(id).is_some() {
            self.recirc.acquire(&[id]);
            translation.recircs.push(id);
        }
    }

    /// Whether flows are as wide as they can be, or each packet's own (`upcall/disable-megaflows`).
    pub fn set_megaflows(&mut self, on: bool) {
        self.megaflows = on;
    }

    /// Marks the flows that changes since the last look concern.
    fn note_changes(&mut self) {
        self.live_view();
        if self.noted == self.live_changes {
            return;
        }
        self.noted = self.live_changes;
        let mut changes = Changes::between(&self.judged, &self.live);
        let listens = |view: &SwitchView, id: &BridgeId| view.bridges.get(id).map(|bridge| bridge.miss_to_controller);
        let turned = self.live.bridges.keys().filter(|id| listens(&self.judged, id) != listens(&self.live, id));
        self.turned.extend(turned);
        if !changes.is_empty() {
            self.changed_ms = Some(self.now_ms);
            changes.bridges.append(&mut self.turned);
        } else if self.changed_ms.is_some_and(|at| self.now_ms - at < PASSING_MS) {
            // Whoever was there for the change has gone.
            let is_left = |id: &BridgeId| listens(&self.live, id) == Some(false);
            (changes.bridges, self.turned) = std::mem::take(&mut self.turned).into_iter().partition(is_left);
        }
        if !changes.is_empty() {
            self.stale.extend(self.flows.touched(&changes));
        }
        self.judged = self.live.clone();
    }

    /// Flows that changes concern, those behind `after` in their names' order, `max` at the most. They are to be judged
    /// when their counters are at hand.
    pub fn stale_flows(&mut self, after: Option<Ufid>, max: usize) -> Vec<Ufid> {
        self.note_changes();
        let behind = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.stale.range((behind, Bound::Unbounded)).take(max).copied().collect()
    }

    /// Judges flows that changes concern, after crediting what those that the datapath has carried until now. Those that
    /// carried fewer than `min_pps` packets a second are to go.
    pub fn judge(&mut self, ufids: &[Ufid], reports: &[FlowReported], min_pps: u32, now_ms: i64) -> Decisions {
        let mut decisions = Decisions::default();
        for report in reports {
            let carried = self.credit_flow(report, now_ms);
            if carried.is_some_and(|carried| carried.is_slow(min_pps)) && self.stale.remove(&report.ufid) {
                decisions.delete.push(report.ufid);
            }
        }
        for ufid in ufids {
            if self.stale.remove(ufid) {
                self.judge_one(*ufid, &mut decisions, now_ms);
            }
        }
        self.flush_credit();
        decisions
    }

    fn judge_one(&mut self, ufid: Ufid, decisions: &mut Decisions, now_ms: i64) {
        let Some(key) = self.flows.get(ufid).map(CachedFlow::key) else { return };
        self.end_netflow(ufid, now_ms);
        let mut translation = self.translate_key(&key, None, now_ms);
        if let Some(translation) = &mut translation {
            self.hold_state(&key, translation);
        }
        if translation.as_ref().is_some_and(|translation| self.has_to_teach(translation)) {
            if let Some(translation) = translation {
                self.recirc.release(&translation.recircs, now_ms);
            }
            decisions.delete.push(ufid);
            return;
        }
        match self.flows.judge(ufid, translation, self.view.slowpath_meter, &mut self.recirc, now_ms) {
            Verdict::Keep => {}
            Verdict::Modify(change) => decisions.modify.push(change),
            Verdict::Delete => decisions.delete.push(ufid),
        }
    }

    /// Whether a rule that only so many may be of is not there, and there is room for it. Whether it is still there when it is
    /// learned is for the flow's next packet to find out, as in Open vSwitch.
    fn has_to_teach(&self, translation: &Translation) -> bool {
        translation.effects.iter().any(|effect| match effect {
            Effect::Learn { bridge, flow_mod, limit } if *limit > 0 => {
                let table = self.live.bridges.get(bridge).and_then(|bridge| bridge.table(flow_mod.table));
                table.is_none_or(|table| !table.knows(flow_mod) && table.has_room(flow_mod, *limit))
            }
            _ => false,
        })
    }

    /// Looks at cached flows as the datapath reports them: credits what they carried, and says which have to change or
    /// have been idle for `max_idle_ms`, or less where they are in others' way. Flows that this bridge does not know
    /// are to be deleted, as are those that changes concern and that carried fewer than `min_pps` packets a second.
    pub fn revalidate(&mut self, reports: &[FlowReported], max_idle_ms: i64, min_pps: u32, now_ms: i64) -> Decisions {
        let mut decisions = Decisions::default();
        self.note_changes();
        for (i, report) in reports.iter().enumerate() {
            if i % FETCHED == 0 {
                self.flows.fetch(reports[i..].iter().take(FETCHED).map(|report| report.ufid));
            }
            let Some(carried) = self.credit_flow(report, now_ms) else {
                decisions.delete.push(report.ufid);
                continue;
            };
            let most_ms = if report.is_in_the_way { max_idle_ms.min(IN_THE_WAY_MS) } else { max_idle_ms };
            if now_ms - carried.used_ms > most_ms {
                decisions.delete.push(report.ufid);
            } else if self.stale.remove(&report.ufid) {
                if carried.is_slow(min_pps) {
                    decisions.delete.push(report.ufid);
                } else {
                    self.judge_one(report.ufid, &mut decisions, now_ms);
                }
            } else if let Some(flow) = self.flows.get(report.ufid)
                && flow.edition() != report.edition
            {
                // A change overtook the installation.
                let (actions, edition) = (flow.actions().clone(), flow.edition());
                decisions.modify.push(FlowChange { ufid: report.ufid, actions, edition });
            }
        }
        self.flush_credit();
        decisions
    }

    /// Credits what a flow carried since the last report. `None` for unknown ones.
    fn credit_flow(&mut self, report: &FlowReported, now_ms: i64) -> Option<Carried> {
        let carried = self.flows.advance(report.ufid, &report.stats, now_ms)?;
        let Some(effects) = &carried.effects else { return Some(carried) };
        let asks = |effect: &Effect| matches!(effect, Effect::NeighbourWanted { .. });
        if carried.is_first || !effects.iter().any(asks) {
            self.apply(effects, carried.stats, carried.tcp_flags, now_ms);
        } else {
            // A question that nobody answered is asked again once, as in Open vSwitch, and not for every packet.
            let others: Vec<Effect> = effects.iter().filter(|e| !asks(e)).cloned().collect();
            self.apply(&others, carried.stats, carried.tcp_flags, now_ms);
        }
        Some(carried)
    }

    /// Flows that the datapath took out: credits the last of what they carried.
    pub fn flows_deleted(&mut self, gone: &[FlowReported], now_ms: i64) {
        for report in gone {
            self.credit_flow(report, now_ms);
            self.end_netflow(report.ufid, now_ms);
            self.stale.remove(&report.ufid);
            self.flows.remove(report.ufid, &mut self.recirc, now_ms);
        }
        self.flush_credit();
    }

    /// A look at all flows, begun at `since_ms`, is over: those that were not there are forgotten.
    pub fn swept(&mut self, since_ms: i64, now_ms: i64) {
        self.flows.forget_unseen(since_ms, &mut self.recirc, now_ms);
    }

    /// The key of a cached flow as its first packet had it: what the mask hides is still there.
    pub fn cached_key(&self, ufid: Ufid) -> Option<Key> {
        self.flows.get(ufid).map(CachedFlow::key)
    }

    /// What a cached flow matches: its first packet's key, and the bits that matter.
    pub fn cached_match(&self, ufid: Ufid) -> Option<(Key, Mask)> {
        self.flows.get(ufid).map(|flow| (flow.key(), flow.mask()))
    }

    /// The rules and groups that a cached flow's packets went through, in order, as text; `None` if there is no such
    /// flow.
    pub fn origins(&mut self, ufid: Ufid) -> Option<Vec<String>> {
        self.live_view();
        let bridges = &self.live.bridges;
        let name = |id: &BridgeId| bridges.get(id).map_or("?", |bridge| bridge.name.as_str());
        let effects = self.flows.get(ufid)?.effects();
        let origins = effects.iter().filter_map(|effect| match effect {
            Effect::Rule { bridge, rule } => Some(format!("{}: {}", name(bridge), rule.text())),
            Effect::Group { bridge, group, bucket } => {
                let bucket = bucket.map_or_else(|| "all buckets".to_owned(), |bucket| format!("bucket {bucket}"));
                Some(format!("{}: group {group}, {bucket}", name(bridge)))
            }
            _ => None,
        });
        Some(origins.collect())
    }

    /// Number of flows of this bridge in the cache.
    pub fn cached_flows(&self) -> usize {
        self.flows.len()
    }
}
