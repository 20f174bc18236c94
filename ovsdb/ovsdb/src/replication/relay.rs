//! A relay: shows a copy of a database of another server, and passes transactions that write on to
//! it. Clients read here, so that the source has one client instead of many.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use jsonrpc::Message;
use serde_json::{Map, Value, json};

use crate::database::Database;
use crate::error::{OvsdbError, Result};
use crate::schema::DatabaseSchema;
use crate::server::{Copying, Forward, Now, Server, SessionId};
use crate::uuid::Uuid;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Disconnected,
    Schema,
    Monitor,
    Live,
}

/// The machine of one relayed database.
#[derive(Debug)]
pub struct Relay {
    name: Arc<str>,
    state: State,
    last: Uuid,
    next_id: u64,
    awaited: u64,
    /// Methods that the source does not know are not asked for again.
    method: usize,
    outbox: VecDeque<Message>,
    /// Transactions that the source has not answered, by request id.
    passed: BTreeMap<u64, (SessionId, Value)>,
    /// Transactions that wait for the connection.
    waiting: VecDeque<Forward>,
    /// Since when the source is gone, unless clients were told.
    lost_at_ms: Option<u64>,
}

/// How long a relay may be without its source before clients are told, in milliseconds: they would go elsewhere, and
/// a source that is started anew is back sooner.
const PATIENCE_MS: u64 = 30_000;

const METHODS: [&str; 3] = ["monitor_cond_since", "monitor_cond", "monitor"];

impl Relay {
    /// A machine for the database `name`; the caller has told the server by
    /// [`Server::add_relay`].
    #[must_use]
    pub fn new(name: &str) -> Self {
        Relay {
            name: Arc::from(name),
            state: State::Disconnected,
            last: Uuid::ZERO,
            next_id: 0,
            awaited: 0,
            method: 0,
            outbox: VecDeque::new(),
            passed: BTreeMap::new(),
            waiting: VecDeque::new(),
            lost_at_ms: None,
        }
    }

    /// The name of the database.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the copy follows its source.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.state == State::Live
    }

    fn request(&mut self, method: &str, params: Vec<Value>) -> u64 {
        self.next_id += 1;
        self.outbox.push_back(Message::request(Value::from(self.next_id), method, params));
        self.next_id
    }

    /// The stream to the source is open.
    pub fn connected(&mut self) {
        self.outbox.clear();
        self.request("set_db_change_aware", vec![Value::Bool(true)]);
        self.ask_schema();
    }

    fn ask_schema(&mut self) {
        self.state = State::Schema;
        self.awaited = self.request("get_schema", vec![Value::from(&*self.name)]);
    }

    /// The stream is closed. Transactions whose fate is unknown fail.
    pub fn disconnected(&mut self, server: &mut Server, now: Now) {
        self.state = State::Disconnected;
        self.outbox.clear();
        for (session, id) in std::mem::take(&mut self.passed).into_values() {
            server.answer_forward(session, &id, Err(Value::from("disconnected from the source")));
        }
        self.lost_at_ms.get_or_insert(now.mono_ms);
    }

    /// Tells clients that the source is gone, once it has been for long.
    pub fn handle_timeout(&mut self, server: &mut Server, now: Now) {
        if self.lost_at_ms.is_some_and(|at| now.mono_ms >= at + PATIENCE_MS) {
            self.lost_at_ms = None;
            server.set_connected(&self.name, false, now);
        }
    }

    /// The next message for the source.
    pub fn poll_output(&mut self) -> Option<Message> {
        if self.state == State::Live
            && let Some(forward) = self.waiting.pop_front()
        {
            let mut params = vec![Value::from(&*self.name)];
            params.extend(forward.ops);
            let id = self.request("transact", params);
            self.passed.insert(id, (forward.session, forward.id));
        }
        self.outbox.pop_front()
    }

    /// Takes a transaction that a client wants and that writes.
    pub fn forward(&mut self, forward: Forward) {
        self.waiting.push_back(forward);
    }

    /// Forgets the transactions of a client that went.
    pub fn session_ended(&mut self, session: SessionId) {
        self.waiting.retain(|forward| forward.session != session);
    }

    /// A message came from the source. After an error the stream should be closed.
    pub fn handle(&mut self, message: Message, server: &mut Server, now: Now) -> Result<()> {
        match message {
            Message::Response { id, result } => self.response(&id, result, server, now),
            Message::Error { id, error } => self.failed(&id, error, server),
            Message::Notification { method, params } => self.notified(&method, params, server, now),
            Message::Request { .. } => Ok(()),
        }
    }

    fn response(&mut self, id: &Value, result: Value, server: &mut Server, now: Now) -> Result<()> {
        let Some(id) = id.as_u64() else { return Ok(()) };
        if let Some((session, id)) = self.passed.remove(&id) {
            server.answer_forward(session, &id, Ok(result));
            return Ok(());
        }
        if id != self.awaited {
            return Ok(());
        }
        match self.state {
            State::Schema => {
                let schema = Arc::new(DatabaseSchema::from_json(&result)?);
                let same = server.db(&self.name).is_some_and(|db| *db.schema == *schema);
                if !same {
                    self.last = Uuid::ZERO;
                    let db = Database::new(schema);
                    server.replace_contents(&self.name, db, "", now)?;
                }
                self.ask_monitor(server);
            }
            State::Monitor => {
                let (found, last, updates) = match result {
                    Value::Array(mut parts) if parts.len() == 3 && self.method == 0 => {
                        let updates = parts.pop().unwrap_or_default();
                        let last = parts[1].as_str().and_then(Uuid::parse).unwrap_or_default();
                        (parts[0].as_bool().unwrap_or(false), last, updates)
                    }
                    updates => (false, Uuid::ZERO, updates),
                };
                self.last = last;
                let keep = |_: &str| false;
                let last = Some(last);
                server.apply_source_updates(
                    &self.name,
                    &updates,
                    Copying { reset: !found, checked: false, last },
                    &keep,
                    now,
                )?;
                self.state = State::Live;
                self.lost_at_ms = None;
                server.set_connected(&self.name, true, now);
            }
            _ => {}
        }
        Ok(())
    }

    fn ask_monitor(&mut self, server: &Server) {
        let mut requests = Map::new();
        if let Some(db) = server.db(&self.name) {
            for table in db.tables().iter().map(|table| &table.schema) {
                let columns: Vec<&str> = table.own_columns().map(|(_, c)| &*c.name).collect();
                requests.insert(table.name.to_string(), json!([{ "columns": columns }]));
            }
        }
        let mut params = vec![Value::from(&*self.name), self.monitor_id(), Value::Object(requests)];
        if self.method == 0 {
            params.push(Value::from(self.last.to_string()));
        }
        self.state = State::Monitor;
        self.awaited = self.request(METHODS[self.method], params);
    }

    fn failed(&mut self, id: &Value, error: Value, server: &mut Server) -> Result<()> {
        let Some(id) = id.as_u64() else { return Ok(()) };
        if let Some((session, id)) = self.passed.remove(&id) {
            server.answer_forward(session, &id, Err(error));
            return Ok(());
        }
        if id != self.awaited {
            return Ok(());
        }
        if self.state == State::Monitor && self.method + 1 < METHODS.len() {
            self.method += 1;
            self.ask_monitor(server);
            return Ok(());
        }
        Err(OvsdbError::from_json(&error))
    }

    /// The name of the monitor at the source.
    fn monitor_id(&self) -> Value {
        json!(["relay", &*self.name])
    }

    fn notified(&mut self, method: &str, mut params: Vec<Value>, server: &mut Server, now: Now) -> Result<()> {
        // What changes something else than the copy is none of its business.
        if self.state != State::Live || params.first() != Some(&self.monitor_id()) {
            return Ok(());
        }
        match (method, params.len()) {
            ("update3", 3) => {
                self.last = params[1].as_str().and_then(Uuid::parse).unwrap_or_default();
            }
            ("update" | "update2", 2) => {}
            ("monitor_canceled", _) => {
                self.ask_schema();
                return Ok(());
            }
            _ => return Ok(()),
        }
        let updates = params.pop().unwrap_or_default();
        let keep = |_: &str| false;
        let last = (self.method == 0).then_some(self.last);
        server.apply_source_updates(&self.name, &updates, Copying { reset: false, checked: false, last }, &keep, now)
    }
}
