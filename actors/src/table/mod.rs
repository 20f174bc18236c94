//! The flow table actor: single writer of one classifier.
//!
//! It stages batches for its bridge, counts, and lets rules expire. After a panic it starts anew from the bridge's last
//! view: no rule is lost, counters begin again.

mod aside;

use actix::prelude::*;
use ofproto::bridge::{Answer, Question};
use ofproto::table::{Event, Staged, Table, TableView};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use tokio::sync::oneshot;

use crate::clock;
use crate::mailbox::Retry;
use crate::msg::bridge::TableChanged;
use crate::msg::table::*;
use crate::supervise::{Desk, Player};

/// A flow table's actor.
pub struct FlowTable {
    desk: Desk,
    table: Table,
    bridge: Retry<TableChanged>,
}

/// News for the bridge that may wait with the table.
pub const NEWS_AT_MOST: usize = 1024;

/// Leavings of so many changes are dropped on another thread.
const LEAVINGS_TO_CARRY_AWAY: usize = 4096;

/// So many changes are staged on another thread: the bridge goes on with its packets and the next requests, and other
/// tables stage at the same time. For fewer the way there and back would take longer.
const CHANGES_TO_STAGE_ASIDE: usize = 192;

impl FlowTable {
    /// The table that `view` shows.
    pub fn new(desk: Desk, view: &TableView, bridge: Retry<TableChanged>) -> Self {
        let table = Table::restore(view);
        let mut this = Self { desk, table, bridge };
        this.rearm();
        this
    }

    fn rearm(&mut self) {
        self.desk.arm(self.table.next_deadline().map(|at| (at, "rules expire")));
    }

    /// Stages many changes on another thread. Whatever else the table is asked waits.
    fn stage_aside(&mut self, m: FlowMods) -> AtomicResponse<Self, Staged> {
        let id = self.table.id();
        let mut table = std::mem::replace(&mut self.table, Table::new(id));
        let (now_ms, errand) = (clock::now_ms(), clock::at_work());
        let (done, staged) = oneshot::channel();
        aside::run(id, move || {
            // A panic is the actor's.
            let staged = catch_unwind(AssertUnwindSafe(move || {
                let staged = table.stage_for(m.changes, m.watched, now_ms);
                (table, staged)
            }));
            // Nobody asks any more where the process ends.
            let _ = done.send(staged);
        });
        let staged = async move {
            let _errand = errand;
            staged.await
        };
        let back = actix::fut::wrap_future::<_, Self>(staged).map(|result, this, _| match result {
            Ok(Ok((table, staged))) => {
                this.table = table;
                staged
            }
            // It begins anew with what was published last.
            Ok(Err(panic)) => resume_unwind(panic),
            Err(_) => Staged { outcomes: Vec::new(), view: this.table.view() },
        });
        AtomicResponse::new(Box::pin(back))
    }

    fn tell(&mut self, events: Vec<Event>) {
        let news = TableChanged { view: self.table.view(), events };
        if self.bridge.send(news).is_err() {
            vlog::warn_rl!("ofproto", 5, 5, "{}: news of expired rules lost", self.desk.name());
        }
    }
}

impl Actor for FlowTable {
    type Context = Context<Self>;
}

impl Player for FlowTable {
    fn desk(&mut self) -> &mut Desk {
        &mut self.desk
    }

    fn wake(&mut self, now_ms: i64, _: &mut Context<Self>) {
        let removed = self.table.expire(now_ms);
        if !removed.is_empty() {
            self.tell(removed.into_iter().map(Event::Removed).collect());
        }
        self.rearm();
    }
}

impl Handler<FlowMods> for FlowTable {
    type Result = AtomicResponse<Self, Staged>;

    fn handle(&mut self, m: FlowMods, _: &mut Context<Self>) -> Self::Result {
        self.desk.received();
        if m.changes.len() >= CHANGES_TO_STAGE_ASIDE {
            return self.stage_aside(m);
        }
        let staged = self.table.stage_for(m.changes, m.watched, clock::now_ms());
        AtomicResponse::new(Box::pin(actix::fut::ready(staged)))
    }
}

impl Handler<Settle> for FlowTable {
    type Result = ();

    fn handle(&mut self, m: Settle, _: &mut Context<Self>) {
        self.desk.received();
        if m.commit {
            let leavings = self.table.commit();
            if leavings.len() >= LEAVINGS_TO_CARRY_AWAY {
                // Nobody waits there until it is done.
                aside::carry_away(self.table.id(), leavings);
            }
        } else {
            self.table.rollback()
        }
        let evicted = self.table.evict(clock::now_ms());
        if !evicted.is_empty() {
            self.tell(evicted.into_iter().map(Event::Removed).collect());
        }
        self.rearm();
    }
}

impl Handler<ConfigureTable> for FlowTable {
    type Result = ();

    fn handle(&mut self, m: ConfigureTable, _: &mut Context<Self>) {
        self.desk.received();
        let removed = self.table.configure(m.0, clock::now_ms());
        self.tell(removed.into_iter().map(Event::Removed).collect());
        self.rearm();
    }
}

impl Handler<RuleCredit> for FlowTable {
    type Result = ();

    fn handle(&mut self, m: RuleCredit, _: &mut Context<Self>) {
        self.desk.received();
        let has_fins = !m.fins.is_empty();
        for (rule, idle, hard) in m.fins {
            self.table.fin_timeout(rule, idle, hard);
        }
        for (rule, stats) in m.entries {
            self.table.credit(rule, stats.packets, stats.bytes, stats.used_ms);
        }
        self.table.credit_lookups(m.lookups, m.matches);
        if has_fins {
            self.rearm();
            self.tell(Vec::new());
        }
    }
}

impl Handler<Ask> for FlowTable {
    type Result = MessageResult<Ask>;

    fn handle(&mut self, m: Ask, _: &mut Context<Self>) -> Self::Result {
        self.desk.received();
        MessageResult(match m.0 {
            Question::Rules { selection, .. } => Some(Answer::Rules(self.table.select_rules(&selection))),
            Question::Aggregate { selection, .. } => Some(Answer::Aggregate(self.table.aggregate(&selection))),
            Question::TableCounters { table } => {
                let (lookups, matches) = self.table.counters();
                Some(Answer::TableCounters { table, rules: self.table.len(), lookups, matches })
            }
            Question::Ports(_) | Question::Queues(_) | Question::Meters(_) => None,
        })
    }
}

/// The view to begin with.
pub fn empty_view(id: u8) -> Arc<TableView> {
    Arc::new(TableView::empty(id))
}
