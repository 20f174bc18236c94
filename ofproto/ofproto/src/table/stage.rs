//! A batch of changes, applied in order; one that fails leaves the rules as they were and does not disturb the others.

use std::sync::Arc;

use flow::classifier::{MiniMatch, Shapes};
use openflow::ErrorCode;
use openflow::action::{Actions, outputs_to_group};
use openflow::flow_mod::{FlowFlags, FlowMod, FlowModCommand, PackedFlowMod, PackedMatch};

use super::{Event, RemovalReason, Removed, RuleFilter, Table, TableView, Undo};
use crate::rule::{Rule, RuleStats};

/// One change of a table.
#[derive(Clone, Debug)]
pub enum Change {
    /// As a controller asks, or the switch itself with a priority beyond OpenFlow's.
    FlowMod {
        /// What to do.
        flow_mod: PackedFlowMod,
        /// Instead of the flow-mod's own, for hidden rules.
        priority: i32,
    },
    /// As a `learn` action says: the rule is added, or one with the same actions kept young.
    Learn {
        /// The rule to be.
        flow_mod: Arc<FlowMod>,
        /// Most rules with its cookie, 0 for no limit.
        limit: u32,
    },
    /// Remove every rule that uses a group.
    GroupGone(u32),
    /// Remove every rule that uses a meter.
    MeterGone(u32),
    /// Remove every rule but hidden ones, without telling why anyone's flow ended (OpenFlow flush).
    Flush,
}

impl Change {
    /// What a flow-mod asks for, with `priority` instead of its own.
    pub fn flow_mod(fm: &FlowMod, priority: i32) -> Change {
        Change::FlowMod { flow_mod: fm.pack(&mut Shapes::default()), priority }
    }
}

/// What came of one change.
pub type Outcome = Result<Vec<Event>, ErrorCode>;

/// What came of a batch.
#[derive(Clone, Debug)]
pub struct Staged {
    /// By change.
    pub outcomes: Vec<Outcome>,
    /// The table with the batch applied.
    pub view: Arc<TableView>,
}

/// Actions that the table remembers in order to share them between its rules.
const ACTIONS_AT_MOST: usize = 1024;

impl Table {
    /// Applies a batch. It can be taken back until [`Table::commit`].
    pub fn stage(&mut self, changes: impl IntoIterator<Item = Change>, now_ms: i64) -> Staged {
        self.stage_for(changes, true, now_ms)
    }

    /// As [`Table::stage`]. Unless `watched`, the outcomes tell only of removed rules whose end a controller wants to
    /// hear of, whoever it may be, and of rules that others depend upon.
    pub fn stage_for(&mut self, changes: impl IntoIterator<Item = Change>, watched: bool, now_ms: i64) -> Staged {
        self.watched = watched;
        let outcomes = changes.into_iter().map(|change| self.apply(change, now_ms)).collect();
        Staged { outcomes, view: self.view() }
    }

    fn apply(&mut self, change: Change, now_ms: i64) -> Outcome {
        match change {
            Change::FlowMod { flow_mod, priority } => self.flow_mod(flow_mod, priority, now_ms),
            Change::Learn { flow_mod, limit } => self.learn(&flow_mod, limit, now_ms),
            Change::GroupGone(id) => {
                Ok(self.remove_where(RemovalReason::GroupDelete, |r| outputs_to_group(&r.actions, id)))
            }
            Change::MeterGone(id) => {
                Ok(self.remove_where(RemovalReason::MeterDelete, |r| openflow::action::meter(&r.actions) == Some(id)))
            }
            Change::Flush => Ok(self.remove_where(RemovalReason::Delete, |r| !r.is_hidden())),
        }
    }

    fn flow_mod(&mut self, fm: PackedFlowMod, priority: i32, now_ms: i64) -> Outcome {
        match fm.command {
            FlowModCommand::Add => self.add(fm, priority, now_ms),
            FlowModCommand::Modify => {
                let found = self.select(&fm, None);
                self.modify(fm, found, priority, now_ms)
            }
            FlowModCommand::ModifyStrict => {
                let found = self.select(&fm, Some(priority));
                self.modify(fm, found, priority, now_ms)
            }
            FlowModCommand::Delete => Ok(self.take_out_all(self.select(&fm, None), RemovalReason::Delete)),
            FlowModCommand::DeleteStrict => {
                Ok(self.take_out_all(self.select(&fm, Some(priority)), RemovalReason::Delete))
            }
        }
    }

    /// The rules that a modification or deletion means, in the order in which statistics show them.
    fn select(&self, fm: &PackedFlowMod, strict: Option<i32>) -> Vec<Arc<Rule>> {
        let filter = RuleFilter::of(fm);
        let mini = &fm.matching.mini;
        if let Some(priority) = strict {
            let found = self.classifier.exact(mini, priority).filter(|r| filter.admits(r));
            return found.into_iter().cloned().collect();
        }
        let within = self.classifier.view().within(mini);
        let mut found: Vec<_> = within.filter(|r| !r.is_hidden() && filter.admits(r)).cloned().collect();
        sort_by_shape(&mut found, |r| r);
        found
    }

    fn add(&mut self, fm: PackedFlowMod, priority: i32, now_ms: i64) -> Outcome {
        let mut bare = fm.with_match(());
        let PackedMatch { mini, tun } = fm.matching;
        let mini = self.classifier.intern(mini);
        let old = self.classifier.exact(&mini, priority).cloned();
        let mut events = Vec::new();
        let mut evicts = false;
        if old.is_none() {
            if bare.flags.contains(FlowFlags::CHECK_OVERLAP) && self.classifier.view().overlaps(&mini, priority) {
                return Err(ErrorCode::OFPFMFC_OVERLAP);
            }
            let evicted = self.make_room(now_ms).map_err(|()| ErrorCode::OFPFMFC_TABLE_FULL)?;
            evicts = evicted.is_some();
            events.extend(evicted.filter(|gone| self.tells_of(&gone.rule)).map(Event::Removed));
        }
        let id = match &old {
            Some(old) => old.id,
            None => self.claim()?,
        };
        bare.actions = self.share(bare.actions);
        let made = self.version + 1;
        let rule = Arc::new(Rule { priority, made, ..Rule::made_by(&bare, PackedMatch { mini, tun }, id, now_ms) });
        match old {
            Some(old) => {
                let stats = self.slots[id.slot as usize].stats;
                self.undo.push(Undo::Replaced { old: old.clone(), stats });
                let slot = &mut self.slots[id.slot as usize];
                // It goes on being idle, as in Open vSwitch.
                if bare.flags.contains(FlowFlags::RESET_COUNTS) {
                    slot.stats = RuleStats { used_ms: stats.used_ms, ..RuleStats::default() };
                }
                self.replace(rule.clone());
                if self.watched || teaches(&rule) || teaches(&old) {
                    let changed = (old.actions != rule.actions).then(|| old.actions.clone());
                    events.push(Event::Added(rule, changed));
                }
            }
            None => {
                self.version += 1;
                let slot = &mut self.slots[id.slot as usize];
                slot.stats = RuleStats { used_ms: now_ms, ..RuleStats::default() };
                slot.rule = Some(rule.clone());
                self.set_deadline(&rule);
                self.undo.push(Undo::Inserted(rule.clone()));
                self.classifier.insert(rule.clone());
                if self.watched || teaches(&rule) {
                    events.push(if evicts { Event::Evicting(rule) } else { Event::Added(rule, None) });
                }
            }
        }
        Ok(events)
    }

    /// A learned rule that is there already counts as modified now, by which its hard timeout begins anew, its idle
    /// timeout does not. One with other actions or another cookie gets those of the flow-mod, and nothing else of it,
    /// if there are not `limit` rules of its cookie.
    fn learn(&mut self, fm: &FlowMod, limit: u32, now_ms: i64) -> Outcome {
        let priority = i32::from(fm.priority);
        let mini = MiniMatch::new(&fm.matching.key, &fm.matching.mask);
        let found = self.classifier.exact(&mini, priority).cloned();
        if let Some(old) = found.as_ref().filter(|old| old.is_as_taught(fm)) {
            let mut young = (**old).clone();
            young.modified_ms = now_ms;
            self.replace(Arc::new(young));
            return Ok(Vec::new());
        }
        let same_cookie = || self.classifier.view().iter().filter(|r| r.cookie == fm.new_cookie).count();
        if limit > 0 && same_cookie() >= limit as usize {
            return Ok(Vec::new());
        }
        let fm = fm.with_match(PackedMatch { mini, tun: fm.matching.tun.clone() });
        self.modify(fm, found.into_iter().collect(), priority, now_ms)
    }

    fn modify(&mut self, mut fm: PackedFlowMod, found: Vec<Arc<Rule>>, priority: i32, now_ms: i64) -> Outcome {
        if found.is_empty() {
            return if fm.changes_only() { Ok(Vec::new()) } else { self.add(fm, priority, now_ms) };
        }
        fm.actions = self.share(fm.actions);
        let mut events = Vec::new();
        for old in found {
            let change_cookie = fm.modify_cookie && fm.new_cookie != u64::MAX && fm.new_cookie != old.cookie;
            let change_actions = old.actions != fm.actions;
            let slot = &mut self.slots[old.id.slot as usize];
            let stats = slot.stats;
            if fm.flags.contains(FlowFlags::RESET_COUNTS) {
                slot.stats = RuleStats { used_ms: stats.used_ms, ..RuleStats::default() };
            }
            self.undo.push(Undo::Replaced { old: old.clone(), stats });
            let mut rule = (*old).clone();
            rule.made = self.version + 1;
            rule.modified_ms = now_ms;
            if change_cookie {
                rule.cookie = fm.new_cookie;
            }
            if change_actions {
                rule.actions = fm.actions.clone();
                rule.conjunctions = Rule::conjunctions_of(&fm.actions);
            }
            let rule = Arc::new(rule);
            self.replace(rule.clone());
            let told = self.watched || (change_actions && (teaches(&rule) || teaches(&old)));
            if told && (change_cookie || change_actions) {
                events.push(Event::Modified(rule, change_actions.then(|| old.actions.clone())));
            }
        }
        Ok(events)
    }

    fn remove_where(&mut self, reason: RemovalReason, which: impl Fn(&Rule) -> bool) -> Vec<Event> {
        let found = self.classifier.view().iter().filter(|r| which(r)).cloned().collect();
        self.take_out_all(in_order(found), reason)
    }

    /// Whether anyone may want to hear that a rule is gone.
    fn tells_of(&self, rule: &Rule) -> bool {
        self.watched || rule.flags.contains(FlowFlags::SEND_FLOW_REM) || teaches(rule)
    }

    fn take_out_all(&mut self, found: Vec<Arc<Rule>>, reason: RemovalReason) -> Vec<Event> {
        let mut events = Vec::new();
        for rule in &found {
            let removed = self.unseat(rule, reason);
            if self.tells_of(rule) {
                events.push(Event::Removed(removed));
            }
        }
        let slots = &self.slots;
        self.classifier.remove_all(&found, |r| slots[r.id.slot as usize].rule.is_some());
        events
    }

    /// Actions that an earlier rule brought, in place of equal ones.
    fn share(&mut self, actions: Actions) -> Actions {
        if let Some(known) = self.actions.get(&actions) {
            return known.clone();
        }
        if self.actions.len() >= ACTIONS_AT_MOST {
            self.actions.clear();
        }
        self.actions.insert(actions.clone());
        actions
    }

    /// Takes a rule out; its slot is free again once the batch is committed.
    pub(super) fn take_out(&mut self, rule: &Arc<Rule>, reason: RemovalReason) -> Removed {
        self.classifier.remove(&rule.mini, rule.priority);
        self.unseat(rule, reason)
    }

    /// All of taking a rule out but the classifier's part.
    fn unseat(&mut self, rule: &Arc<Rule>, reason: RemovalReason) -> Removed {
        self.version += 1;
        self.forget_deadline(rule.id.slot);
        let slot = &mut self.slots[rule.id.slot as usize];
        let stats = slot.stats;
        slot.rule = None;
        self.undo.push(Undo::Removed { rule: rule.clone(), stats });
        Removed { rule: rule.clone(), stats, reason }
    }

    /// Removes one rule by identity, for the layer above's own reasons (a learned rule whose teacher is gone).
    pub fn remove(&mut self, id: crate::rule::RuleId, reason: RemovalReason) -> Option<Removed> {
        let rule = self.current(id)?;
        Some(self.take_out(&rule, reason))
    }
}

/// Whether other rules are to go when it does.
fn teaches(rule: &Rule) -> bool {
    !rule.pupils().is_empty()
}

/// Rules in the order of their making.
fn in_order(mut rules: Vec<Arc<Rule>>) -> Vec<Arc<Rule>> {
    rules.sort_by_key(|r| r.made);
    rules
}

/// Sorts what a classifier's view gives: shapes stay in their order, the rules of each go by their making.
pub(crate) fn sort_by_shape<T>(found: &mut [T], rule: impl Fn(&T) -> &Arc<Rule>) {
    let same = |a: &T, b: &T| Arc::ptr_eq(rule(a).mini.shape(), rule(b).mini.shape());
    for rules in found.chunk_by_mut(same) {
        // The rules of a great table are all over the memory: each is looked at once.
        rules.sort_by_cached_key(|r| rule(r).made);
    }
}
