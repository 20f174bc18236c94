//! Rules that packets have taught the bridge (`learn`) and that its tables do not hold yet.
//!
//! A packet is sent on without waiting for what it taught, but its answer may be back before the table has the rule: as
//! in Open vSwitch, where a rule is learned before its packet leaves, packets that are handed up meanwhile are decided
//! upon when the rule is there. A bundle, which may take long to stage, holds them up no more than once.

use std::collections::VecDeque;

use flow::Upcall;
use openflow::flow_mod::FlowMod;

use super::Bridge;
use super::conn::Pending;
use crate::table::Change;

/// What was taught, and who waits for it.
#[derive(Debug, Default)]
pub(super) struct Lessons {
    /// A rule that is not in its table yet.
    due: bool,
    /// Messages of upcalls, each with whether the datapath has room for flows. The datapath sends few before the first is
    /// answered.
    waiting: VecDeque<(Vec<Upcall>, bool)>,
}

impl Lessons {
    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

impl Bridge {
    /// Has a table learn a rule.
    pub(super) fn learn_rule(&mut self, flow_mod: &std::sync::Arc<FlowMod>, limit: u32) {
        if !self.view.table(flow_mod.table).is_some_and(|table| table.knows(flow_mod)) {
            self.lessons.due = true;
        }
        let change = Change::Learn { flow_mod: flow_mod.clone(), limit };
        // Those into one table that follow each other are staged together: none has anything else beside it.
        let is_alike = |c: &(u8, Change)| c.0 == flow_mod.table && matches!(c.1, Change::Learn { .. });
        match self.own.back_mut().filter(|last| last.first().is_some_and(is_alike)) {
            Some(last) => last.push((flow_mod.table, change)),
            None => self.own.push_back(vec![(flow_mod.table, change)]),
        }
    }

    /// What the bridge itself asked of its tables stands.
    pub(super) fn lessons_learned(&mut self) {
        if self.own.is_empty() {
            self.lessons.due = false;
        }
    }

    /// Keeps upcalls that come before a rule is in its table, or gives them back.
    pub(super) fn wait_for_lessons(&mut self, batch: Vec<Upcall>, has_room: bool) -> Option<Vec<Upcall>> {
        if self.lessons.waiting.is_empty() && !self.has_lessons_due() {
            return Some(batch);
        }
        self.lessons.waiting.push_back((batch, has_room));
        None
    }

    /// Whether rules are about to be in their tables.
    fn has_lessons_due(&self) -> bool {
        let soon = match &self.busy {
            Some(Pending::Own | Pending::Answer(..)) => true,
            Some(Pending::Changes(changes)) => changes.bundle.is_none(),
            None => false,
        };
        self.lessons.due && soon
    }

    /// Answers the upcalls that need wait no longer. Whatever a bridge waits for ends with a call of this.
    pub(super) fn run_waiting_upcalls(&mut self, now_ms: i64) {
        while !self.has_lessons_due()
            && let Some((batch, has_room)) = self.lessons.waiting.pop_front()
        {
            self.answer_upcalls(batch, has_room, now_ms);
        }
    }
}
