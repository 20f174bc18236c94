//! `transact` and `cancel`, and the transactions that wait.

use std::cell::RefCell;
use std::sync::Arc;

use serde_json::Value;

use super::{Forward, Model, Now, Server, SessionId, Ticket, id_key};
use crate::error::OvsdbError;
use crate::execute::{Context, Execution, execute};
use crate::rbac::Identity;

/// A transaction that waits for a commit, or for its time to end.
#[derive(Debug)]
pub(crate) struct Trigger {
    pub session: SessionId,
    pub id: Value,
    ops: Vec<Value>,
    created_ms: u64,
    timeout_ms: Option<u64>,
}

impl Trigger {
    pub fn deadline_ms(&self) -> Option<u64> {
        self.timeout_ms.map(|timeout| self.created_ms.saturating_add(timeout))
    }
}

impl Server {
    pub(super) fn transact(&mut self, session: SessionId, id: Value, mut params: Vec<Value>, now: Now) {
        let name = match self.db_of("transact", &params) {
            Ok(name) => name,
            Err(error) => return self.reply_error(session, &id, &error),
        };
        let key = id_key(&id);
        let mut waiting = self.dbs.values().flat_map(|served| &served.triggers);
        if waiting.any(|trigger| trigger.session == session && id_key(&trigger.id) == key) {
            let error = OvsdbError::syntax_in(&Value::Array(params), "transact: duplicate request ID");
            return self.reply_error(session, &id, &error);
        }
        params.remove(0);
        // A relay's copy is its source's to change, and so are its locks.
        let passes_on = |op: &Value| {
            let name = op.get("op").and_then(Value::as_str);
            !matches!(name, Some("select" | "wait" | "comment" | "abort"))
        };
        if self.dbs[&name].model == Model::Relay && params.iter().any(passes_on) {
            self.forwards.push_back(Forward { db: name, session, id, ops: params });
            return;
        }
        let trigger = Trigger { session, id, ops: params, created_ms: now.mono_ms, timeout_ms: None };
        if self.attempt(&name, trigger, now) {
            self.run_triggers(&name, now, true);
        }
    }

    /// Runs a transaction; true when it changed the database.
    fn attempt(&mut self, name: &Arc<str>, mut trigger: Trigger, now: Now) -> bool {
        let session = trigger.session;
        let (Some(served), Some(known)) = (self.dbs.get(name), self.sessions.get(&session)) else {
            return false;
        };
        let locks = &self.locks;
        let owns_lock = |lock: &str| locks.owns(session, lock);
        let notes = RefCell::default();
        let context = Context {
            read_only: self.read_only || known.info.read_only,
            reserved: served.reserved,
            identity: Identity {
                role: known.info.role.as_deref(),
                id: known.info.client_id.as_deref(),
                notes: Some(&notes),
            },
            owns_lock: &owns_lock,
            elapsed_ms: now.mono_ms.saturating_sub(trigger.created_ms),
            never_block: false,
        };
        let run = execute(&served.db, &trigger.ops, &context, &mut self.source);
        self.rbac_notes.append(&mut notes.into_inner());
        match run {
            Execution::Blocked { timeout_ms } => {
                trigger.timeout_ms = timeout_ms;
                if let Some(served) = self.dbs.get_mut(name) {
                    served.triggers.push(trigger);
                }
                false
            }
            Execution::Done { mut results, commit, durable, failed } => {
                let mut ticket: Option<Ticket> = None;
                if let Some(commit) = commit {
                    match self.apply_commit(name, commit, now) {
                        Ok(written) => ticket = written.filter(|_| durable),
                        Err(error) => {
                            results.pop();
                            results.push(',');
                            error.write_json(&mut results);
                            results.push(']');
                        }
                    }
                    self.reply_raw(session, &trigger.id, &results, ticket);
                    return true;
                }
                if durable && !failed {
                    ticket = self.latest_ticket(name);
                }
                self.reply_raw(session, &trigger.id, &results, ticket);
                false
            }
        }
    }

    /// Tries again the transactions that wait: all of them after a commit, else those whose time
    /// has come.
    pub(super) fn run_triggers(&mut self, name: &Arc<str>, now: Now, all: bool) {
        let mut again = true;
        let mut all = all;
        while again {
            again = false;
            let Some(served) = self.dbs.get_mut(name) else { return };
            for trigger in std::mem::take(&mut served.triggers) {
                let due = trigger.deadline_ms().is_some_and(|at| at <= now.mono_ms);
                if all || due {
                    // Who committed is gone from the list, so that this comes to an end.
                    again |= self.attempt(name, trigger, now);
                } else if let Some(served) = self.dbs.get_mut(name) {
                    served.triggers.push(trigger);
                }
            }
            all = true;
        }
    }

    /// Drops a transaction that waits. Open vSwitch 3.1 sends no reply to it, RFC 7047 section
    /// 4.1.4 notwithstanding.
    pub(super) fn cancel(&mut self, session: SessionId, params: &[Value]) {
        let [id] = params else { return };
        let key = id_key(id);
        let mut found = false;
        for served in self.dbs.values_mut() {
            let before = served.triggers.len();
            served.triggers.retain(|trigger| trigger.session != session || id_key(&trigger.id) != key);
            found |= served.triggers.len() < before;
        }
        if found && self.sessions.get(&session).is_some_and(|session| session.info.answers_cancel) {
            self.reply_word(session, id, "canceled");
        }
    }
}
