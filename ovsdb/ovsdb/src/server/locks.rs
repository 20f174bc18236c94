//! Locks (RFC 7047 section 4.1.8): a queue for each name, the first in it the owner.

use std::collections::{BTreeMap, VecDeque};

use jsonrpc::Message;
use serde_json::Value;

use super::{Server, SessionId};
use crate::error::OvsdbError;
use crate::parse::is_id;

/// Numbers for status columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LockCounts {
    /// Locks that the session owns.
    pub held: usize,
    /// Locks that it waits for, and never owned.
    pub waiting: usize,
    /// Locks that were stolen from it, and that it waits for.
    pub lost: usize,
}

#[derive(Debug)]
struct Waiter {
    session: SessionId,
    /// It has asked by `steal`.
    thief: bool,
    stolen: bool,
}

#[derive(Debug, Default)]
struct Queue {
    /// The first one owns the lock.
    waiters: VecDeque<Waiter>,
    /// Thieves that were robbed: they do not wait, and may not ask anew before they have unlocked.
    robbed: Vec<SessionId>,
}

/// All locks of a server.
#[derive(Debug, Default)]
pub(crate) struct Locks {
    queues: BTreeMap<String, Queue>,
}

impl Locks {
    pub fn owns(&self, session: SessionId, name: &str) -> bool {
        let owner = self.queues.get(name).and_then(|queue| queue.waiters.front());
        owner.is_some_and(|waiter| waiter.session == session)
    }

    fn asked(&self, session: SessionId, name: &str) -> bool {
        self.queues.get(name).is_some_and(|queue| {
            queue.robbed.contains(&session) || queue.waiters.iter().any(|waiter| waiter.session == session)
        })
    }

    /// Queues the session; the former owner when it was robbed.
    fn lock(&mut self, session: SessionId, name: &str, steal: bool) -> Option<SessionId> {
        let queue = self.queues.entry(name.to_owned()).or_default();
        let waiter = Waiter { session, thief: steal, stolen: false };
        if !steal {
            queue.waiters.push_back(waiter);
            return None;
        }
        let victim = queue.waiters.front_mut().map(|owner| {
            owner.stolen = true;
            (owner.session, owner.thief)
        });
        if let Some((thief, true)) = victim {
            queue.waiters.pop_front();
            queue.robbed.push(thief);
        }
        queue.waiters.push_front(waiter);
        victim.map(|(victim, _)| victim)
    }

    /// Takes the session out of the queue; who owns the lock now. An owner that owned it before is
    /// told so again, as Open vSwitch does.
    fn unlock(&mut self, session: SessionId, name: &str) -> Option<SessionId> {
        let queue = self.queues.get_mut(name)?;
        queue.robbed.retain(|robbed| *robbed != session);
        let asked = queue.waiters.len();
        queue.waiters.retain(|waiter| waiter.session != session);
        let left = queue.waiters.len() < asked;
        let owner = queue.waiters.front_mut().map(|owner| {
            owner.stolen = false;
            owner.session
        });
        if queue.waiters.is_empty() && queue.robbed.is_empty() {
            self.queues.remove(name);
        }
        owner.filter(|_| left)
    }

    /// Takes the session out of all queues; locks with their new owners.
    pub fn drop_session(&mut self, session: SessionId) -> Vec<(String, SessionId)> {
        let names: Vec<String> = self.queues.keys().cloned().collect();
        names.into_iter().filter_map(|name| self.unlock(session, &name).map(|owner| (name, owner))).collect()
    }

    fn counts(&self, session: SessionId) -> LockCounts {
        let mut counts = LockCounts::default();
        for queue in self.queues.values() {
            counts.lost += queue.robbed.iter().filter(|robbed| **robbed == session).count();
            for (place, waiter) in queue.waiters.iter().enumerate() {
                if waiter.session != session {
                    continue;
                }
                match (place, waiter.stolen) {
                    (0, _) => counts.held += 1,
                    (_, true) => counts.lost += 1,
                    (_, false) => counts.waiting += 1,
                }
            }
        }
        counts
    }
}

impl Server {
    /// How a session stands with locks.
    #[must_use]
    pub fn lock_counts(&self, session: SessionId) -> LockCounts {
        self.locks.counts(session)
    }

    pub(crate) fn notify_lock(&mut self, method: &str, name: &str, session: SessionId) {
        let message = Message::notification(method, vec![Value::from(name)]);
        self.send(session, message.to_text().into(), None);
    }

    pub(super) fn lock_method(&mut self, session: SessionId, id: &Value, method: &str, params: Vec<Value>) {
        let name = match params.as_slice() {
            [Value::String(name)] if is_id(name) => name.clone(),
            _ => {
                let details = format!("{method} request params must be <id>");
                let error = OvsdbError::syntax_in(&Value::Array(params), details);
                return self.reply_error(session, id, &error);
            }
        };
        if self.is_read_only(session) {
            let words = "lock and unlock methods not allowed, DB server is read only.";
            return self.reply_word(session, id, words);
        }
        let asked = self.locks.asked(session, &name);
        if method == "unlock" {
            if !asked {
                let details = "unlock: \"unlock\" without \"lock\" or \"steal\"";
                let error = OvsdbError::syntax_in(&Value::Array(params), details);
                return self.reply_error(session, id, &error);
            }
            if let Some(owner) = self.locks.unlock(session, &name) {
                self.notify_lock("locked", &name, owner);
            }
            return self.reply_raw(session, id, "{}", None);
        }
        if asked {
            let details = format!("must issue \"unlock\" before new \"{method}\"");
            let error = OvsdbError::syntax_in(&Value::Array(params), details);
            return self.reply_error(session, id, &error);
        }
        if let Some(victim) = self.locks.lock(session, &name, method == "steal") {
            self.notify_lock("stolen", &name, victim);
        }
        let locked = self.locks.owns(session, &name);
        let result = if locked { "{\"locked\":true}" } else { "{\"locked\":false}" };
        self.reply_raw(session, id, result, None);
    }
}
