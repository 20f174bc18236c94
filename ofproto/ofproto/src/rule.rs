//! Rules: OpenFlow flows as the tables keep them. A rule is immutable; a change makes a new one with the same identity,
//! so that whoever holds a table's earlier view goes on seeing what it saw. Counters are not here but with the table's
//! writer ([`crate::table::Table`]).

use std::sync::Arc;

use flow::classifier::{Conjunction, Entry, MiniMatch};
use flow::field::TunTable;
use flow::match_text::Options;
use openflow::action::{Action, Actions};
use openflow::flow_mod::{FlowFlags, FlowMod, PackedMatch};
use openflow::matching::Match;

/// Identity of a rule within its bridge: table, slot in the table's counters, and how often the slot was used before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RuleId {
    /// Table.
    pub table: u8,
    /// Slot.
    pub slot: u32,
    /// Use of the slot.
    pub generation: u32,
}

impl RuleId {
    /// Of a rule that a translation has learned and that its table does not have yet.
    pub fn unborn(table: u8) -> RuleId {
        RuleId { table, slot: u32::MAX, generation: u32::MAX }
    }
}

/// Priorities above those of OpenFlow belong to the switch itself; such rules are hidden from controllers.
pub const MAX_OPENFLOW_PRIORITY: i32 = 0xffff;

/// An OpenFlow flow.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Identity; kept when the rule is modified.
    pub id: RuleId,
    /// The highest wins; above [`MAX_OPENFLOW_PRIORITY`] for hidden rules.
    pub priority: i32,
    /// Match.
    pub mini: MiniMatch,
    /// Where the match's tunnel options lie, if it has any.
    pub tun: Option<Arc<TunTable>>,
    /// Cookie.
    pub cookie: u64,
    /// Seconds without a packet until the rule goes, 0 for never.
    pub idle_timeout: u16,
    /// Seconds since the last change until the rule goes, 0 for never.
    pub hard_timeout: u16,
    /// Importance in eviction.
    pub importance: u16,
    /// Flags.
    pub flags: FlowFlags,
    /// Actions and instructions.
    pub actions: Actions,
    /// Memberships in conjunctive matches, as the actions give them.
    pub conjunctions: Box<[Conjunction]>,
    /// Version of its table in which it was added or last changed by a flow-mod.
    pub made: u64,
    /// When it was added, in milliseconds of the switch's clock.
    pub created_ms: i64,
    /// When it was last changed.
    pub modified_ms: i64,
}

/// Rules that a `learn` action makes, as far as it is known of all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pupils {
    /// Their cookie.
    pub cookie: u64,
    /// Their table.
    pub table: u8,
}

impl Rule {
    /// Rules that it teaches and that go when nobody teaches them any more (`delete_learned`); those that actions within
    /// others teach stay, as in Open vSwitch 3.1.
    pub fn pupils(&self) -> Vec<Pupils> {
        let taught = |action: &Action| match action {
            Action::Learn(learn) if learn.delete_learned => Some(Pupils { cookie: learn.cookie, table: learn.table }),
            _ => None,
        };
        self.actions.iter().filter_map(taught).collect()
    }

    /// Whether controllers do not see it.
    pub fn is_hidden(&self) -> bool {
        self.priority > MAX_OPENFLOW_PRIORITY
    }

    /// The rule that a flow-mod makes, whatever form its match has.
    pub fn made_by<M>(flow_mod: &FlowMod<M>, matching: PackedMatch, id: RuleId, now_ms: i64) -> Rule {
        Rule {
            id,
            priority: flow_mod.priority.into(),
            mini: matching.mini,
            tun: matching.tun,
            cookie: flow_mod.new_cookie,
            idle_timeout: flow_mod.idle_timeout,
            hard_timeout: flow_mod.hard_timeout,
            importance: flow_mod.importance,
            flags: flow_mod.flags,
            conjunctions: Rule::conjunctions_of(&flow_mod.actions),
            actions: Arc::clone(&flow_mod.actions),
            made: 0,
            created_ms: now_ms,
            modified_ms: now_ms,
        }
    }

    /// Whether to learn this flow-mod only keeps the rule young, which has its match and priority.
    pub fn is_as_taught(&self, flow_mod: &FlowMod) -> bool {
        self.actions == flow_mod.actions
            && self.cookie == flow_mod.new_cookie
            && (self.idle_timeout, self.hard_timeout) == (flow_mod.idle_timeout, flow_mod.hard_timeout)
    }

    /// The match in full.
    pub fn matching(&self) -> Match {
        Match { key: self.mini.key(), mask: self.mini.mask(), tun: self.tun.clone() }
    }

    /// As `ovs-ofctl dump-flows` shows it, without times and counters.
    pub fn text(&self) -> String {
        let matching = self.matching();
        let options = Options { priority: Some(self.priority), tun: matching.tun.as_deref(), ..Options::default() };
        let matched = flow::match_text::format(&matching.key, &matching.mask, &options);
        let actions = openflow::action::format(&self.actions, &openflow::Style::PLAIN);
        let space = if matched.is_empty() { "" } else { " " };
        format!("cookie={:#x}, table={},{space}{matched} actions={actions}", self.cookie, self.table())
    }

    /// The table the rule is in.
    pub fn table(&self) -> u8 {
        self.id.table
    }

    /// Memberships in conjunctive matches that `actions` give.
    pub fn conjunctions_of(actions: &[Action]) -> Box<[Conjunction]> {
        actions
            .iter()
            .filter_map(|action| match *action {
                Action::Conjunction { id, clause, n_clauses } => Some(Conjunction { id, clause, n_clauses }),
                _ => None,
            })
            .collect()
    }
}

impl Entry for Rule {
    fn mini(&self) -> &MiniMatch {
        &self.mini
    }

    fn priority(&self) -> i32 {
        self.priority
    }

    fn conjunctions(&self) -> &[Conjunction] {
        &self.conjunctions
    }
}

/// What a rule has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RuleStats {
    /// Packets.
    pub packets: u64,
    /// Octets.
    pub bytes: u64,
    /// When the last packet came, in milliseconds of the switch's clock; the rule's creation before the first.
    pub used_ms: i64,
}

impl RuleStats {
    /// Adds packets that came besides these.
    pub fn add(&mut self, more: RuleStats) {
        self.packets += more.packets;
        self.bytes += more.bytes;
        self.used_ms = self.used_ms.max(more.used_ms);
    }
}
