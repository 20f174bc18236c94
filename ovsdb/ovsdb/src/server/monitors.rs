//! Monitors of sessions, and telling them of commits: composed once for each shape, framed once
//! for each id. Who does not read is told later, of many commits at once.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Weak};

use jsonrpc::message::{REPLY_TAIL, write_reply_head};
use jsonrpc::text::{to_text, write_string};
use serde_json::Value;

use super::{Server, SessionId, Text, id_key};
use crate::database::Database;
use crate::error::{OvsdbError, Result};
use crate::monitor::{
    Changes, Shape, Version, changes_since, condition_update, initial_rows, parse_condition_change,
    parse_monitor_requests, update,
};
use crate::turn::value_hash;
use crate::txn::Commit;
use crate::uuid::Uuid;

/// A client's monitor.
#[derive(Debug)]
pub(crate) struct Monitor {
    /// The JSON of its id.
    pub id: Arc<str>,
    /// The hash of its id.
    pub hash: u32,
    pub shape: Arc<Shape>,
    /// What its client has still to be told.
    pub pending: Changes,
}

/// Shapes that are in use: equal ones are one.
#[derive(Debug, Default)]
pub(crate) struct Shapes {
    known: BTreeMap<(Arc<str>, Arc<Shape>), Known>,
}

/// What is known of a shape.
#[derive(Debug, Default)]
struct Known {
    /// Monitors that have it.
    monitors: usize,
    /// By table, the revision of it that the latest of them began with and, as long as a client has not read it all,
    /// the text.
    begun: Vec<(u64, Weak<String>)>,
}

impl Shapes {
    fn enter(&mut self, db: &Arc<str>, shape: Shape) -> Arc<Shape> {
        let key = (Arc::clone(db), Arc::new(shape));
        let shape = self.known.get_key_value(&key).map_or(&key.1, |(known, _)| &known.1).clone();
        self.known.entry(key).or_default().monitors += 1;
        shape
    }

    /// Appends the rows that a monitor of this shape begins with: what waits for a client to read it is there once for
    /// all whose monitors begin with the same.
    fn begin(&mut self, name: &Arc<str>, shape: &Arc<Shape>, db: &Database, answer: &mut Text) {
        let known = self.known.entry((Arc::clone(name), Arc::clone(shape))).or_default();
        known.begun.resize(shape.tables.len(), (0, Weak::new()));
        let mut before = "{";
        for (wanted, (begun_at, text)) in shape.tables.iter().zip(&mut known.begun) {
            let revision = db.table_at(wanted.table).revision;
            let waiting = text.upgrade().filter(|_| *begun_at == revision);
            let Some(rows) = waiting.or_else(|| initial_rows(db, wanted, shape.version).map(Arc::new)) else {
                continue;
            };
            (*begun_at, *text) = (revision, Arc::downgrade(&rows));
            answer.push_own(std::mem::replace(&mut before, ","));
            answer.push_shared(rows);
        }
        answer.push_own(if before == "{" { "{}" } else { "}" });
    }

    fn leave(&mut self, db: &Arc<str>, shape: &Arc<Shape>) {
        let key = (Arc::clone(db), Arc::clone(shape));
        if let Some(known) = self.known.get_mut(&key) {
            known.monitors -= 1;
            if known.monitors == 0 {
                self.known.remove(&key);
            }
        }
    }

    pub fn len(&self) -> usize {
        self.known.len()
    }
}

fn frame(id: &str, version: Version, last: Uuid, updates: &str) -> Arc<String> {
    let mut text = String::with_capacity(updates.len() + id.len() + 100);
    text.push_str("{\"id\":null,\"method\":\"");
    text.push_str(match version {
        Version::V1 => "update",
        Version::V2 => "update2",
        Version::V3 => "update3",
    });
    text.push_str("\",\"params\":[");
    text.push_str(id);
    text.push(',');
    if version == Version::V3 {
        text.push('"');
        last.write(&mut text);
        text.push_str("\",");
    }
    text.push_str(updates);
    text.push_str("]}");
    Arc::new(text)
}

impl Server {
    pub(super) fn tell_monitors(&mut self, name: &Arc<str>, commit: &Commit) {
        let Some(served) = self.dbs.get(name) else { return };
        if served.monitors.is_empty() {
            return;
        }
        let last = served.db.last_txn();
        let mut texts: HashMap<*const Shape, Option<String>> = HashMap::new();
        let mut frames: HashMap<(*const Shape, &str), Arc<String>> = HashMap::new();
        let mut told = Vec::new();
        for ((session, number), monitor) in &served.monitors {
            if self.backlogged.contains(session) {
                continue;
            }
            let key = Arc::as_ptr(&monitor.shape);
            let text = texts.entry(key).or_insert_with(|| update(&served.db, &monitor.shape, commit));
            let Some(text) = text else { continue };
            let frame = frames
                .entry((key, &*monitor.id))
                .or_insert_with(|| frame(&monitor.id, monitor.shape.version, last, text));
            told.push((*session, *number, Arc::clone(frame)));
        }
        self.put_in_turn(&mut told);
        for (session, _, frame) in told {
            self.send(session, frame.into(), None);
        }
        let Some(served) = self.dbs.get_mut(name).filter(|_| !self.backlogged.is_empty()) else { return };
        for ((_, _), monitor) in
            served.monitors.iter_mut().filter(|((session, _), _)| self.backlogged.contains(session))
        {
            monitor.pending.add(commit, &monitor.shape);
        }
    }

    /// Puts what monitors of the same session have to tell in the turn of Open vSwitch, where it stands together.
    fn put_in_turn<T>(&self, told: &mut [(SessionId, u64, T)]) {
        for of_session in told.chunk_by_mut(|a, b| a.0 == b.0).filter(|of_session| of_session.len() > 1) {
            let Some(known) = self.sessions.get(&of_session[0].0) else { continue };
            let turn: HashMap<u64, usize> = known.turn.iter().enumerate().map(|(at, number)| (number, at)).collect();
            of_session.sort_by_key(|(_, number, _)| turn.get(number).copied());
        }
    }

    /// Whether texts wait for a session whose peer does not take them. While they do, what its monitors see is not
    /// sent but gathered: a row that changes again and again is told of once.
    pub fn set_backlogged(&mut self, session: SessionId, waits: bool) {
        if waits && self.sessions.contains_key(&session) {
            self.backlogged.insert(session);
        } else {
            self.flush_monitors(session);
            self.backlogged.remove(&session);
        }
    }

    /// Tells a session what was gathered for it.
    pub(super) fn flush_monitors(&mut self, session: SessionId) {
        let Some(known) = self.sessions.get(&session).filter(|_| self.backlogged.contains(&session)) else { return };
        let mut told = Vec::new();
        for (name, number) in known.monitors.values() {
            let Some(served) = self.dbs.get_mut(name) else { continue };
            let Some(monitor) = served.monitors.get_mut(&(session, *number)) else { continue };
            let changes = std::mem::take(&mut monitor.pending);
            if let Some(updates) = changes.update(&served.db, &monitor.shape) {
                let frame = frame(&monitor.id, monitor.shape.version, served.db.last_txn(), &updates);
                told.push((session, *number, frame));
            }
        }
        self.put_in_turn(&mut told);
        for (_, _, frame) in told {
            self.send(session, frame.into(), None);
        }
    }

    /// Begins a monitor; gives the answer to the request `request`.
    pub(super) fn monitor(
        &mut self,
        session: SessionId,
        request: &Value,
        method: &str,
        params: &[Value],
    ) -> Result<Text> {
        let name = self.db_of(method, params)?;
        let version = match method {
            "monitor" => Version::V1,
            "monitor_cond" => Version::V2,
            _ => Version::V3,
        };
        // Only the oldest of the three lets more parameters pass.
        let as_many = match version {
            Version::V1 => params.len() >= 3,
            Version::V2 => params.len() == 3,
            Version::V3 => params.len() == 4,
        };
        if !as_many {
            let whole = Value::Array(params.to_vec());
            return Err(OvsdbError::syntax_in(&whole, "invalid parameters"));
        }
        let (id, requests) = (&params[1], &params[2]);
        if !requests.is_object() {
            let details = "monitor-requests must be object";
            return Err(OvsdbError::syntax_in(requests, details));
        }
        let key = id_key(id);
        if self.sessions.get(&session).is_some_and(|s| s.monitors.contains_key(&key)) {
            return Err(OvsdbError::syntax_in(id, "duplicate monitor ID"));
        }
        let served = &self.dbs[&name];
        let shape = parse_monitor_requests(requests, &served.db, version)?;
        let mut since = None;
        if version == Version::V3 {
            let last = &params[3];
            let Value::String(text) = last else {
                return Err(OvsdbError::syntax_in(last, "last-txn-id must be string"));
            };
            let Some(uuid) = Uuid::parse(text) else {
                return Err(OvsdbError::syntax_in(last, "last-txn-id must be UUID format."));
            };
            since = changes_since(&served.db, &shape, uuid);
        }
        let shape = self.shapes.enter(&name, shape);
        let mut head = String::new();
        write_reply_head(&mut head, request);
        if version == Version::V3 {
            head.push_str(&format!("[{},\"{}\",", since.is_some(), served.db.last_txn()));
        }
        let mut answer = Text::from(head);
        match since {
            Some(updates) => answer.push_own(&updates),
            None => self.shapes.begin(&name, &shape, &served.db, &mut answer),
        }
        if version == Version::V3 {
            answer.push_own("]");
        }
        answer.push_own(REPLY_TAIL);
        let number = self.next_monitor();
        let hash = value_hash(id, 0);
        let monitor = Monitor { id: Arc::from(to_text(id)), hash, shape, pending: Changes::default() };
        if let Some(served) = self.dbs.get_mut(&name) {
            served.monitors.insert((session, number), monitor);
        }
        if let Some(known) = self.sessions.get_mut(&session) {
            known.monitors.insert(key, (name, number));
            known.turn.insert(hash, number);
        }
        Ok(answer)
    }

    pub(super) fn monitor_cond_change(&mut self, session: SessionId, params: Vec<Value>) -> Result<()> {
        // What was gathered is judged by the conditions that were in force.
        self.flush_monitors(session);
        let [old_id, new_id, requests] = params.as_slice() else {
            return Err(OvsdbError::syntax_in(&Value::Array(params), "invalid parameters"));
        };
        let (old_key, new_key) = (id_key(old_id), id_key(new_id));
        let monitors = self.sessions.get(&session).map(|s| &s.monitors);
        let known = monitors.and_then(|monitors| monitors.get(&old_key)).cloned();
        let Some((name, number)) = known else {
            return Err(OvsdbError::syntax_in(old_id, "unknown monitor session"));
        };
        let taken = monitors.is_some_and(|monitors| monitors.contains_key(&new_key));
        if old_key != new_key && taken {
            return Err(OvsdbError::syntax_in(new_id, "duplicate monitor ID"));
        }
        let Some(served) = self.dbs.get(&name) else {
            return Err(OvsdbError::syntax_in(old_id, "unknown monitor session"));
        };
        let Some(monitor) = served.monitors.get(&(session, number)) else {
            return Err(OvsdbError::syntax_in(old_id, "unknown monitor session"));
        };
        let (old, old_hash, hash) = (Arc::clone(&monitor.shape), monitor.hash, value_hash(new_id, 0));
        let (new, read) = parse_condition_change(requests, &served.db, &old);
        if let Err(error) = read {
            self.reshape(&name, (session, number), new);
            return Err(error);
        }
        // What `monitor` made has no conditions: a change of them is accepted and means nothing.
        let updates = if old.version == Version::V1 { None } else { condition_update(&served.db, &old, &new) };
        let last = served.db.last_txn();
        let id: Arc<str> = Arc::from(to_text(new_id));
        let version = new.version;
        let shape = self.shapes.enter(&name, new);
        self.shapes.leave(&name, &old);
        if let Some(served) = self.dbs.get_mut(&name) {
            let monitor = Monitor { id: Arc::clone(&id), hash, shape, pending: Changes::default() };
            served.monitors.insert((session, number), monitor);
        }
        if let Some(known) = self.sessions.get_mut(&session) {
            if old_key != new_key {
                known.turn.remove_hashed(old_hash, number);
                known.turn.insert(hash, number);
            }
            known.monitors.remove(&old_key);
            known.monitors.insert(new_key, (name, number));
        }
        if let Some(updates) = updates {
            self.send(session, frame(&id, version, last, &updates).into(), None);
        }
        Ok(())
    }

    /// Has a monitor go by `shape` from now on.
    fn reshape(&mut self, name: &Arc<str>, monitor: (SessionId, u64), shape: Shape) {
        let Some(monitor) = self.dbs.get_mut(name).and_then(|served| served.monitors.get_mut(&monitor)) else { return };
        let old = std::mem::replace(&mut monitor.shape, self.shapes.enter(name, shape));
        self.shapes.leave(name, &old);
    }

    pub(super) fn monitor_cancel(
        &mut self,
        session: SessionId,
        params: &[Value],
    ) -> std::result::Result<(), &'static str> {
        let [id] = params else { return Err("invalid parameters") };
        let known = self.sessions.get_mut(&session);
        let Some((name, number)) = known.and_then(|s| s.monitors.remove(&id_key(id))) else {
            return Err("unknown monitor");
        };
        self.drop_monitor(&name, session, number);
        Ok(())
    }

    pub(crate) fn drop_monitor(&mut self, name: &Arc<str>, session: SessionId, number: u64) {
        let Some(served) = self.dbs.get_mut(name) else { return };
        if let Some(monitor) = served.monitors.remove(&(session, number)) {
            self.shapes.leave(name, &monitor.shape);
            if let Some(known) = self.sessions.get_mut(&session) {
                known.turn.remove_hashed(monitor.hash, number);
            }
        }
    }

    /// Ends every monitor of a database; clients that know of database changes are told.
    pub(super) fn cancel_monitors(&mut self, name: &Arc<str>) {
        let Some(served) = self.dbs.get_mut(name) else { return };
        let gone = std::mem::take(&mut served.monitors);
        let mut gone: Vec<_> = gone.into_iter().map(|((session, number), gone)| (session, number, gone)).collect();
        self.put_in_turn(&mut gone);
        for (session, number, monitor) in gone {
            self.shapes.leave(name, &monitor.shape);
            let Some(known) = self.sessions.get_mut(&session) else { continue };
            known.monitors.retain(|_, (_, n)| *n != number);
            known.turn.remove_hashed(monitor.hash, number);
            if known.change_aware {
                let mut text = String::from("{\"id\":null,\"method\":");
                write_string(&mut text, "monitor_canceled");
                text.push_str(",\"params\":[");
                text.push_str(&monitor.id);
                text.push_str("]}");
                self.send(session, text.into(), None);
            }
        }
    }
}
