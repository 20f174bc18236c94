//! A flow table: one writer, which stages a batch of changes at a time, and the immutable view that translation reads.
//!
//! The writer keeps what only it needs: counters by rule, timeouts, what an aborted batch must put back. [`Table::stage`]
//! applies a batch and returns what came of each change; [`Table::view`] is the table after it. A batch that must not
//! stand is taken back by [`Table::rollback`]; one that stands is settled by [`Table::commit`].
//!
//! Absent here: whether actions name groups, meters and ports that exist (the bridge checks before it sends), and what a
//! controller is told (the bridge again). Source: OpenFlow 1.0-1.5 "Flow Table Modification", ovs-ofctl(8).

mod evict;
mod expire;
mod query;
mod stage;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use flow::classifier::{Classifier, ConjunctiveFlows, MiniMatch, PrefixField, View};
use flow::field::Field;
use flow::{Key, Mask};
use openflow::ErrorCode;
use openflow::action::Actions;
use openflow::flow_mod::FlowMod;
use openflow::message::table::{TableMiss, TableReason, Vacancy};

pub use query::{FlowStatsOf, RuleFilter, Selection};
pub(crate) use stage::sort_by_shape;
pub use stage::{Change, Outcome, Staged};

use crate::rule::{Rule, RuleId, RuleStats};

/// A table as translation sees it.
#[derive(Debug)]
pub struct TableView {
    /// Number.
    pub id: u8,
    /// Grows with every change of the rules.
    pub version: u64,
    /// The rules.
    pub rules: View<Rule>,
    /// What happens to a packet that no rule matches.
    pub miss: TableMiss,
    /// Name, if it has one.
    pub name: Option<Arc<str>>,
    /// Rules at which it refuses new ones, `None` if it never does or others give way.
    pub refuses_at: Option<usize>,
}

impl TableView {
    /// A table without rules.
    pub fn empty(id: u8) -> Self {
        Self { id, version: 0, rules: View::default(), miss: TableMiss::Default, name: None, refuses_at: None }
    }

    /// The table with a rule more, or in the place of the one with the same match and priority.
    pub fn with(&self, rule: Rule) -> Self {
        let rules = self.rules.with(Arc::new(rule));
        Self { rules, name: self.name.clone(), ..*self }
    }

    /// Whether a rule that is to be learned is there, as it is to be.
    pub fn knows(&self, taught: &FlowMod) -> bool {
        let mini = MiniMatch::new(&taught.matching.key, &taught.matching.mask);
        self.rules.exact(&mini, taught.priority.into()).is_some_and(|rule| rule.is_as_taught(taught))
    }

    /// Whether fewer than `limit` rules have the cookie of one that is to be learned.
    pub fn has_room(&self, taught: &FlowMod, limit: u32) -> bool {
        let same = |rule: &&Arc<Rule>| rule.cookie == taught.new_cookie;
        (self.rules.iter().filter(same).count() as u64) < u64::from(limit)
    }

    /// Whether it has no room for a rule that is not there yet.
    pub fn is_full(&self) -> bool {
        self.refuses_at.is_some_and(|most| self.rules.len() >= most)
    }

    /// The rule for `key`; every bit that decided is added to `wc`.
    pub fn lookup(&self, key: &Key, wc: &mut Mask) -> Option<&Arc<Rule>> {
        self.rules.lookup(key, wc)
    }

    /// As [`TableView::lookup`], and appends the rules of the clauses when the match is conjunctive.
    pub fn lookup_conjunctive(
        &self,
        key: &Key,
        wc: &mut Mask,
        used: &mut ConjunctiveFlows<Rule>,
    ) -> Option<&Arc<Rule>> {
        self.rules.lookup_conjunctive(key, wc, used)
    }
}

/// Configuration of a table: the columns of Flow_Table, and what OpenFlow's table-mod adds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TableConfig {
    /// Name.
    pub name: Option<Arc<str>>,
    /// Most rules, `None` for no limit.
    pub max_flows: Option<usize>,
    /// At the limit, evict instead of refusing.
    pub evict: bool,
    /// Eviction is fair between rules that differ in these fields.
    pub groups: Vec<(Field, u16, u16)>,
    /// Fields to keep tries for; `None` for the default.
    pub prefixes: Option<Vec<PrefixField>>,
    /// What happens to packets that no rule matches.
    pub miss: TableMiss,
    /// Vacancy events, in percent.
    pub vacancy: Option<Vacancy>,
    /// Controllers may not change it; only the switch's own rules live here.
    pub internal: bool,
}

/// Why a rule is gone; the number is OpenFlow's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum RemovalReason {
    /// No packet for its idle timeout.
    IdleTimeout = 0,
    /// Its hard timeout passed.
    HardTimeout = 1,
    /// A controller deleted it.
    Delete = 2,
    /// A group it used was deleted.
    GroupDelete = 3,
    /// A meter it used was deleted.
    MeterDelete = 4,
    /// It made room for another.
    Eviction = 5,
}

/// A rule that is gone, and what it had counted.
#[derive(Clone, Debug)]
pub struct Removed {
    /// The rule.
    pub rule: Arc<Rule>,
    /// Its counters.
    pub stats: RuleStats,
    /// Why.
    pub reason: RemovalReason,
}

/// A change of the rules, for flow monitors.
#[derive(Clone, Debug)]
pub enum Event {
    /// Added (also in the place of another with the same match, whose actions are given if they differ).
    Added(Arc<Rule>, Option<Actions>),
    /// Added in the room that another was evicted for: as in Open vSwitch 3.1, monitors are told of the other's end
    /// alone.
    Evicting(Arc<Rule>),
    /// Modified; the old actions if they differ.
    Modified(Arc<Rule>, Option<Actions>),
    /// Removed.
    Removed(Removed),
}

#[derive(Debug, Default)]
struct Slot {
    generation: u32,
    stats: RuleStats,
    rule: Option<Arc<Rule>>,
}

/// How to take one step of a staged batch back.
#[derive(Debug)]
enum Undo {
    Inserted(Arc<Rule>),
    Replaced { old: Arc<Rule>, stats: RuleStats },
    Removed { rule: Arc<Rule>, stats: RuleStats },
}

/// What a settled batch leaves behind: rules that nobody may need any more.
#[derive(Debug)]
pub struct Leavings(Vec<Undo>);

impl Leavings {
    /// How many rules.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is nothing to drop.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A table's writer.
#[derive(Debug)]
pub struct Table {
    id: u8,
    version: u64,
    classifier: Classifier<Rule>,
    config: TableConfig,
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// Rules that can expire, by the earliest time they could.
    deadlines: BTreeSet<(i64, u32)>,
    deadline_of: HashMap<u32, i64>,
    undo: Vec<Undo>,
    /// Actions of rules, for others to share.
    actions: HashSet<Actions>,
    /// Somebody wants to hear of every change that the present batch makes.
    watched: bool,
    /// Packets looked up and matched, credited by the translation.
    lookups: u64,
    matches: u64,
    /// Which vacancy event was sent last.
    vacancy_low: bool,
}

impl Table {
    /// A table without rules.
    pub fn new(id: u8) -> Self {
        Self {
            id,
            version: 0,
            classifier: Classifier::default(),
            config: TableConfig::default(),
            slots: Vec::new(),
            free: Vec::new(),
            deadlines: BTreeSet::new(),
            deadline_of: HashMap::new(),
            undo: Vec::new(),
            actions: HashSet::new(),
            watched: true,
            lookups: 0,
            matches: 0,
            vacancy_low: false,
        }
    }

    /// The table that `view` shows, rules with their identities, counters at zero.
    pub fn restore(view: &TableView) -> Self {
        let mut table = Self { version: view.version, ..Self::new(view.id) };
        (table.config.miss, table.config.name) = (view.miss, view.name.clone());
        for rule in view.rules.iter() {
            let at = rule.id.slot as usize;
            if table.slots.len() <= at {
                table.slots.resize_with(at + 1, Slot::default);
            }
            let stats = RuleStats { used_ms: rule.modified_ms, ..RuleStats::default() };
            table.slots[at] = Slot { generation: rule.id.generation, stats, rule: Some(rule.clone()) };
            table.set_deadline(rule);
            table.classifier.insert(rule.clone());
        }
        let free = table.slots.iter().enumerate().filter(|(_, s)| s.rule.is_none());
        table.free = free.map(|(i, _)| i as u32).collect();
        table
    }

    /// Its number.
    pub fn id(&self) -> u8 {
        self.id
    }

    /// Number of rules, hidden ones included.
    pub fn len(&self) -> usize {
        self.classifier.view().len()
    }

    /// Whether it has no rules.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its configuration.
    pub fn config(&self) -> &TableConfig {
        &self.config
    }

    /// Packets looked up, and matched.
    pub fn counters(&self) -> (u64, u64) {
        (self.lookups, self.matches)
    }

    /// The table as it is now, for readers.
    pub fn view(&self) -> Arc<TableView> {
        Arc::new(TableView {
            id: self.id,
            version: self.version,
            rules: self.classifier.view().clone(),
            miss: self.config.miss,
            name: self.config.name.clone(),
            refuses_at: self.config.max_flows.filter(|_| !self.config.evict),
        })
    }

    /// Whether a batch waits to be committed or taken back.
    pub fn is_staged(&self) -> bool {
        !self.undo.is_empty()
    }

    /// Evicts rules beyond the limit where that is configured, unless a batch is staged.
    pub fn evict(&mut self, now_ms: i64) -> Vec<Removed> {
        if self.is_staged() {
            return Vec::new();
        }
        let removed = self.evict_surplus(now_ms);
        self.commit();
        removed
    }

    /// Configures the table; rules beyond a new limit are evicted (`evict`) or stay. While a batch is staged that waits:
    /// [`Table::evict`].
    pub fn configure(&mut self, config: TableConfig, now_ms: i64) -> Vec<Removed> {
        if config.prefixes != self.config.prefixes {
            let fields = config.prefixes.as_deref().unwrap_or(&flow::classifier::DEFAULT_PREFIX_FIELDS);
            self.classifier.set_prefix_fields(fields);
        }
        self.config = config;
        self.version += 1;
        self.evict(now_ms)
    }

    /// Credits packets to a rule.
    pub fn credit(&mut self, id: RuleId, packets: u64, bytes: u64, used_ms: i64) {
        let Some(slot) = self.slots.get_mut(id.slot as usize) else { return };
        if slot.generation != id.generation || slot.rule.is_none() {
            return;
        }
        slot.stats.packets = slot.stats.packets.saturating_add(packets);
        slot.stats.bytes = slot.stats.bytes.saturating_add(bytes);
        slot.stats.used_ms = slot.stats.used_ms.max(used_ms);
    }

    /// Credits look-ups to the table.
    pub fn credit_lookups(&mut self, lookups: u64, matches: u64) {
        self.lookups = self.lookups.saturating_add(lookups);
        self.matches = self.matches.saturating_add(matches);
    }

    /// What a rule has counted.
    pub fn stats(&self, id: RuleId) -> Option<RuleStats> {
        let slot = self.slots.get(id.slot as usize)?;
        (slot.generation == id.generation && slot.rule.is_some()).then_some(slot.stats)
    }

    /// Shortens a rule's timeouts as `fin_timeout` does: never lengthens one, 0 leaves alone.
    pub fn fin_timeout(&mut self, id: RuleId, idle: u16, hard: u16) {
        let Some(rule) = self.current(id) else { return };
        let shorter = |now: u16, new: u16| if new != 0 && (now == 0 || now > new) { new } else { now };
        let mut rule = (*rule).clone();
        rule.idle_timeout = shorter(rule.idle_timeout, idle);
        rule.hard_timeout = shorter(rule.hard_timeout, hard);
        self.replace(Arc::new(rule));
    }

    /// The rule of this identity as it stands.
    pub fn current(&self, id: RuleId) -> Option<Arc<Rule>> {
        let slot = self.slots.get(id.slot as usize)?;
        slot.rule.as_ref().filter(|r| r.id == id).cloned()
    }

    /// The vacancy event that is due, once each time a threshold is crossed (OpenFlow 1.4 "Vacancy Events").
    pub fn vacancy_event(&mut self) -> Option<TableReason> {
        let (vacancy, max) = (self.config.vacancy?, self.config.max_flows?);
        let free = max.saturating_sub(self.len()).saturating_mul(100) / max.max(1);
        let event = match self.vacancy_low {
            false if free <= usize::from(vacancy.down) => TableReason::VacancyDown,
            true if free >= usize::from(vacancy.up) => TableReason::VacancyUp,
            _ => return None,
        };
        self.vacancy_low = !self.vacancy_low;
        Some(event)
    }

    /// Settles what was staged since the last commit: it can no longer be taken back. What is left of it takes time to
    /// drop when it was much.
    pub fn commit(&mut self) -> Leavings {
        let undo = std::mem::take(&mut self.undo);
        for step in &undo {
            if let Undo::Removed { rule, .. } = step {
                self.release(rule.id.slot);
            }
        }
        Leavings(undo)
    }

    /// Takes back everything staged since the last commit.
    pub fn rollback(&mut self) {
        self.version += 1;
        for undo in std::mem::take(&mut self.undo).into_iter().rev() {
            match undo {
                Undo::Inserted(rule) => {
                    self.classifier.remove(&rule.mini, rule.priority);
                    self.forget_deadline(rule.id.slot);
                    self.release(rule.id.slot);
                }
                Undo::Replaced { old, stats } | Undo::Removed { rule: old, stats } => {
                    let slot = &mut self.slots[old.id.slot as usize];
                    slot.stats = stats;
                    slot.rule = Some(old.clone());
                    self.set_deadline(&old);
                    self.classifier.insert(old);
                }
            }
        }
    }

    fn release(&mut self, at: u32) {
        let slot = &mut self.slots[at as usize];
        slot.rule = None;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(at);
    }

    fn claim(&mut self) -> Result<RuleId, ErrorCode> {
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                let slot = u32::try_from(self.slots.len()).map_err(|_| ErrorCode::OFPFMFC_TABLE_FULL)?;
                self.slots.push(Slot::default());
                slot
            }
        };
        Ok(RuleId { table: self.id, slot, generation: self.slots[slot as usize].generation })
    }

    /// Puts a changed rule in the place of the one with its identity, match and priority.
    fn replace(&mut self, rule: Arc<Rule>) {
        self.version += 1;
        self.slots[rule.id.slot as usize].rule = Some(rule.clone());
        self.set_deadline(&rule);
        self.classifier.insert(rule);
    }
}
