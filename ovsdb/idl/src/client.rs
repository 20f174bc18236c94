//! The protocol of a replica, without a socket: connect, schema, monitor, updates, lock, transactions.
//!
//! The best way to monitor that the server knows is used: `monitor_cond_since` (after a reconnection
//! only what has changed comes), else `monitor_cond`, else `monitor`.

use crate::change::Changes;
use crate::contents::{self, Contents};
use crate::interest::Interests;
use crate::operations::Prepared;
use crate::outcome::{Outcome, Status};
use crate::replica::Replica;
use crate::updates::{self, Form};
use jsonrpc::{Message, Pull};
use ovsdb::DatabaseSchema;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use thiserror::Error;

/// Why the connection has to be closed and made anew.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ClientError {
    /// The server refuses what cannot be done without.
    #[error("{0}")]
    Refused(String),
    /// An update does not fit the replica.
    #[error("{0}")]
    Inconsistent(String),
}

/// Names a transaction that has been sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransactionId(u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    Since,
    Cond,
    Plain,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    Disconnected,
    Schema(u64),
    Monitor(u64, Method),
    Watching,
}

#[derive(Clone, Debug, Default)]
struct Lock {
    name: Option<String>,
    request: Option<u64>,
    held: bool,
    contended: bool,
}

const ZERO_ID: &str = "00000000-0000-0000-0000-000000000000";

/// One database of one server, as one client sees it.
#[derive(Debug)]
pub struct Client {
    database: String,
    interests: Interests,
    phase: Phase,
    method: Method,
    replica: Replica,
    changes: Changes,
    seqno: u64,
    has_contents: bool,
    last_id: String,
    next_id: u64,
    lock: Lock,
    sent: BTreeMap<u64, Prepared>,
    outcomes: Vec<(TransactionId, Outcome)>,
    knows_schema: bool,
    told_schema: bool,
}

impl Client {
    /// A client of `database` that has no connection yet.
    #[must_use]
    pub fn new(database: &str, interests: Interests) -> Client {
        let schema = DatabaseSchema::empty(database);
        Client {
            database: database.to_string(),
            interests,
            phase: Phase::Disconnected,
            method: Method::Since,
            replica: Replica::new(Arc::new(schema)),
            changes: Changes::default(),
            seqno: 0,
            has_contents: false,
            last_id: ZERO_ID.to_string(),
            next_id: 1,
            lock: Lock::default(),
            sent: BTreeMap::new(),
            outcomes: Vec::new(),
            knows_schema: false,
            told_schema: false,
        }
    }

    /// A client that knows the server's schema already and does not ask for it on its first
    /// connection.
    #[must_use]
    pub fn with_schema(schema: DatabaseSchema, interests: Interests) -> Client {
        let mut client = Client::new(&schema.name.clone(), interests);
        client.replica = Replica::new(Arc::new(schema));
        client.knows_schema = true;
        client
    }

    /// The replica.
    #[must_use]
    pub fn replica(&self) -> &Replica {
        &self.replica
    }

    /// Whether the replica has ever held the whole of what is wanted.
    #[must_use]
    pub fn has_contents(&self) -> bool {
        self.has_contents
    }

    /// Whether updates are coming in.
    #[must_use]
    pub fn is_watching(&self) -> bool {
        self.phase == Phase::Watching
    }

    /// A number that rises whenever something changes: contents, connection or lock.
    #[must_use]
    pub fn seqno(&self) -> u64 {
        self.seqno
    }

    /// The server's schema, if it has told it since this was last called: on each connection anew.
    pub fn take_schema_told(&mut self) -> Option<&DatabaseSchema> {
        std::mem::take(&mut self.told_schema).then(|| &**self.replica.schema())
    }

    /// What has changed since this was last called.
    pub fn take_changes(&mut self) -> Changes {
        std::mem::take(&mut self.changes)
    }

    /// Transactions that have come to an end since this was last called.
    pub fn take_outcomes(&mut self) -> Vec<(TransactionId, Outcome)> {
        std::mem::take(&mut self.outcomes)
    }

    /// Wants a lock, another one, or none. Gives the messages to send.
    pub fn set_lock(&mut self, name: Option<&str>) -> Vec<Message> {
        if self.lock.name.as_deref() == name {
            return Vec::new();
        }
        let mut out = Vec::new();
        if let (Some(old), true) = (self.lock.name.take(), self.phase != Phase::Disconnected) {
            out.push(self.request("unlock", vec![json!(old)]).1);
        }
        self.lock = Lock { name: name.map(str::to_string), ..Lock::default() };
        if self.phase != Phase::Disconnected {
            out.extend(self.ask_lock());
        }
        out
    }

    /// Whether the lock is ours.
    #[must_use]
    pub fn has_lock(&self) -> bool {
        self.lock.held
    }

    /// Whether somebody else holds the lock.
    #[must_use]
    pub fn is_lock_contended(&self) -> bool {
        self.lock.contended
    }

    /// A connection has been made; gives the messages to send.
    pub fn connected(&mut self) -> Vec<Message> {
        self.disconnected();
        let first = if std::mem::take(&mut self.knows_schema) { self.ask_monitor() } else { self.ask_schema() };
        let mut out = vec![first];
        out.extend(self.ask_lock());
        out
    }

    /// The connection is lost. Transactions under way have to be tried again.
    pub fn disconnected(&mut self) {
        if self.phase != Phase::Disconnected {
            self.seqno += 1;
        }
        self.phase = Phase::Disconnected;
        self.method = Method::Since;
        (self.lock.held, self.lock.contended, self.lock.request) = (false, false, None);
        for id in std::mem::take(&mut self.sent).into_keys() {
            self.outcomes.push((TransactionId(id), Outcome::bare(Status::TryAgain)));
        }
    }

    /// Makes a request of a transaction. What changes nothing is finished at once and needs no
    /// message; what is built while the lock is somebody else's is refused at once.
    pub fn commit(&mut self, mut prepared: Prepared) -> Result<(TransactionId, Message), Outcome> {
        if prepared.unchanged {
            return Err(Outcome::bare(Status::Unchanged));
        }
        if self.lock.name.is_some() && !self.lock.held {
            return Err(Outcome::bare(Status::NotLocked));
        }
        if self.phase == Phase::Disconnected {
            return Err(Outcome::bare(Status::TryAgain));
        }
        let (id, message) = self.request("transact", std::mem::take(&mut prepared.params));
        self.sent.insert(id, prepared);
        Ok((TransactionId(id), message))
    }

    /// The name of the lock that transactions have to assert.
    #[must_use]
    pub fn lock_name(&self) -> Option<&str> {
        self.lock.name.as_deref()
    }

    /// Takes a message from the server; gives the messages to send.
    ///
    /// # Errors
    /// The connection is of no more use. The caller closes it, calls [`Client::disconnected`], and
    /// may connect anew.
    pub fn receive(&mut self, message: Message) -> Result<Vec<Message>, ClientError> {
        match message {
            Message::Request { id, method, params } if method == "echo" => Ok(vec![Message::echo_reply(id, params)]),
            Message::Request { .. } => Ok(Vec::new()),
            Message::Notification { method, params } => self.notified(&method, &params),
            Message::Response { id, result } => self.answered(&id, Ok(result)),
            Message::Error { id, error } => self.answered(&id, Err(error)),
        }
    }

    /// Takes the first contents from the text of the server's reply, which is quicker than [`Client::receive`]. `None` if
    /// what stands there is anything else, or not quite as expected: it has to be received as a message, and nothing has
    /// changed.
    pub fn take_contents(&mut self, pull: &mut Pull<'_>) -> Option<()> {
        let Phase::Monitor(id, Method::Since) = self.phase else { return None };
        if !self.replica.is_empty() {
            return None;
        }
        let Contents { last_id, tables } = contents::read(pull, id, self.replica.schema())?;
        for (table, rows) in tables {
            self.replica.fill(&table, rows, &mut self.changes);
        }
        self.contents_are_there(last_id);
        Some(())
    }

    fn contents_are_there(&mut self, last_id: String) {
        self.last_id = last_id;
        self.has_contents = true;
        self.phase = Phase::Watching;
        self.seqno += 1;
    }

    fn request(&mut self, method: &str, params: Vec<Value>) -> (u64, Message) {
        let id = self.next_id;
        self.next_id += 1;
        (id, Message::request(Value::from(id), method, params))
    }

    fn ask_schema(&mut self) -> Message {
        let (id, message) = self.request("get_schema", vec![json!(self.database)]);
        self.phase = Phase::Schema(id);
        message
    }

    fn ask_lock(&mut self) -> Option<Message> {
        let name = self.lock.name.clone()?;
        let (id, message) = self.request("lock", vec![json!(name)]);
        self.lock.request = Some(id);
        Some(message)
    }

    fn ask_monitor(&mut self) -> Message {
        let conditional = self.method != Method::Plain;
        let requests = self.interests.requests(self.replica.schema(), conditional);
        let mut params = vec![json!(self.database), self.monitor_id(), requests];
        let method = match self.method {
            Method::Since => {
                params.push(json!(self.last_id));
                "monitor_cond_since"
            }
            Method::Cond => "monitor_cond",
            Method::Plain => "monitor",
        };
        let (id, message) = self.request(method, params);
        self.phase = Phase::Monitor(id, self.method);
        message
    }

    fn monitor_id(&self) -> Value {
        json!(["monid", self.database])
    }

    fn notified(&mut self, method: &str, params: &[Value]) -> Result<Vec<Message>, ClientError> {
        let ours = params.first() == Some(&self.monitor_id());
        match (method, params) {
            ("update", [_, updates]) if ours => self.update(updates, Form::Whole)?,
            ("update2", [_, updates]) if ours => self.update(updates, Form::Differences)?,
            ("update3", [_, last, updates]) if ours => {
                self.update(updates, Form::Differences)?;
                self.last_id = last.as_str().unwrap_or(ZERO_ID).to_string();
            }
            ("monitor_canceled", [..]) if ours => {
                // The database has been removed or converted: begin anew with its schema.
                self.last_id = ZERO_ID.to_string();
                return Ok(vec![self.ask_schema()]);
            }
            ("locked" | "stolen", [Value::String(name)]) if self.lock.name.as_deref() == Some(name) => {
                self.lock.held = method == "locked";
                self.lock.contended = !self.lock.held;
                self.seqno += 1;
            }
            _ => {}
        }
        Ok(Vec::new())
    }

    fn update(&mut self, updates: &Value, form: Form) -> Result<(), ClientError> {
        self.seqno += 1;
        let applied = updates::apply(&mut self.replica, updates, form, false, &mut self.changes);
        if applied.is_err() {
            self.last_id = ZERO_ID.to_string();
        }
        applied
    }

    fn answered(&mut self, id: &Value, answer: Result<Value, Value>) -> Result<Vec<Message>, ClientError> {
        let Some(id) = id.as_u64() else { return Ok(Vec::new()) };
        match (self.phase.clone(), answer) {
            (Phase::Schema(wanted), answer) if wanted == id => self.take_schema(answer),
            (Phase::Monitor(wanted, method), Ok(result)) if wanted == id => {
                self.take_result(method, &result)?;
                Ok(Vec::new())
            }
            (Phase::Monitor(wanted, method), Err(error)) if wanted == id => self.monitor_refused(method, &error),
            (_, answer) if self.lock.request == Some(id) => {
                self.lock.request = None;
                let held = answer.ok().and_then(|result| result.get("locked")?.as_bool()).unwrap_or(false);
                (self.lock.held, self.lock.contended) = (held, !held);
                self.seqno += 1;
                Ok(Vec::new())
            }
            (_, answer) => {
                self.finish_transaction(id, answer);
                Ok(Vec::new())
            }
        }
    }

    fn take_schema(&mut self, answer: Result<Value, Value>) -> Result<Vec<Message>, ClientError> {
        let json = answer.map_err(|error| ClientError::Refused(jsonrpc::text::to_sorted_text(&error)))?;
        let schema = DatabaseSchema::from_json(&json).map_err(|error| ClientError::Refused(error.to_string()))?;
        if *self.replica.schema().as_ref() != schema {
            // Rows of another schema cannot be compared: they go, and come back with the contents.
            for (table, uuid) in self.replica.identities() {
                self.replica.put(&table, uuid, None, &mut self.changes);
            }
            self.replica = Replica::new(Arc::new(schema));
            self.last_id = ZERO_ID.to_string();
        }
        self.told_schema = true;
        Ok(vec![self.ask_monitor()])
    }

    fn monitor_refused(&mut self, method: Method, error: &Value) -> Result<Vec<Message>, ClientError> {
        let unknown = error.as_str() == Some("unknown method")
            || error.get("error").and_then(Value::as_str) == Some("unknown method");
        self.method = match method {
            Method::Since if unknown => Method::Cond,
            Method::Cond if unknown => Method::Plain,
            _ => return Err(ClientError::Refused(jsonrpc::text::to_sorted_text(error))),
        };
        self.last_id = ZERO_ID.to_string();
        Ok(vec![self.ask_monitor()])
    }

    fn take_result(&mut self, method: Method, result: &Value) -> Result<(), ClientError> {
        let (updates, form, replace, last) = match (method, result.as_array().map(Vec::as_slice)) {
            (Method::Plain, _) => (result, Form::Whole, true, ZERO_ID),
            (Method::Cond, _) => (result, Form::Differences, true, ZERO_ID),
            (Method::Since, Some([Value::Bool(found), Value::String(last), updates])) => {
                (updates, Form::Differences, !found, last.as_str())
            }
            (Method::Since, _) => {
                return Err(ClientError::Refused("monitor_cond_since result is malformed".into()));
            }
        };
        let last = last.to_string();
        let applied = updates::apply(&mut self.replica, updates, form, replace, &mut self.changes);
        if applied.is_err() {
            self.last_id = ZERO_ID.to_string();
            return applied;
        }
        self.contents_are_there(last);
        Ok(())
    }

    fn finish_transaction(&mut self, id: u64, answer: Result<Value, Value>) {
        let Some(prepared) = self.sent.remove(&id) else { return };
        let outcome = match answer {
            Ok(result) => prepared.outcome(&result),
            Err(error) => {
                let text = jsonrpc::text::to_sorted_text(&error);
                Outcome::bare(if error.as_str() == Some("canceled") { Status::TryAgain } else { Status::Error(text) })
            }
        };
        self.outcomes.push((TransactionId(id), outcome));
    }
}
