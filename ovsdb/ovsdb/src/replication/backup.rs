//! The backup side of active-backup replication: follows an active server by `monitor`, and makes
//! each of its updates a transaction here.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use jsonrpc::Message;
use serde_json::{Map, Value, json};

use crate::error::{OvsdbError, Result};
use crate::schema::DatabaseSchema;
use crate::server::{Now, SERVER_DB, Server};
use crate::uuid::Uuid;

/// Tables that are not copied, by database.
pub type Exclusions = BTreeMap<String, BTreeSet<String>>;

/// Reads `DB:TABLE[,DB:TABLE]...`; the error is a text.
pub fn parse_exclusions(text: &str) -> std::result::Result<Exclusions, String> {
    let mut exclusions = Exclusions::new();
    for item in text.split([' ', ',']).filter(|item| !item.is_empty()) {
        match item.split_once(':') {
            Some((db, table)) if !db.is_empty() && !table.is_empty() => {
                exclusions.entry(db.to_owned()).or_default().insert(table.to_owned());
            }
            _ => return Err(format!("Can't parse excluded table: {item}")),
        }
    }
    Ok(exclusions)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Init,
    ServerId,
    Databases,
    Schemas,
    Monitors,
    Replicating,
    Failed,
}

/// The machine of a backup server.
#[derive(Debug)]
pub struct Backup {
    exclude: Exclusions,
    state: State,
    /// Databases whose schema or monitor reply is awaited, by request id.
    awaited: BTreeMap<u64, Arc<str>>,
    replicated: BTreeSet<Arc<str>>,
    next_id: u64,
    outbox: VecDeque<Message>,
    failure: Option<String>,
    /// Databases that were emptied and filled anew since somebody asked.
    resets: usize,
}

impl Backup {
    /// A machine that waits for [`Backup::connected`].
    #[must_use]
    pub fn new(exclude: Exclusions) -> Self {
        Backup {
            exclude,
            state: State::Init,
            awaited: BTreeMap::new(),
            replicated: BTreeSet::new(),
            next_id: 0,
            outbox: VecDeque::new(),
            failure: None,
            resets: 0,
        }
    }

    /// The stream to the active server is open.
    pub fn connected(&mut self) {
        *self = Backup::new(std::mem::take(&mut self.exclude));
        self.state = State::ServerId;
        self.request("get_server_id", Vec::new());
    }

    /// The stream is closed. What was replicated is told of as such until the next stream is there.
    pub fn disconnected(&mut self) {
        if !matches!(self.state, State::Failed | State::Replicating) {
            self.state = State::Init;
        }
        self.awaited.clear();
        self.outbox.clear();
    }

    /// Whether replication failed for good: the stream should be closed.
    #[must_use]
    pub fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// The next message for the active server.
    pub fn poll_output(&mut self) -> Option<Message> {
        self.outbox.pop_front()
    }

    /// What `ovsdb-server/sync-status` says, without its first line.
    #[must_use]
    pub fn status(&self, peer: &str, alive: bool) -> String {
        if self.state == State::Failed {
            return format!("Replication to ({peer}) failed\n");
        }
        if !alive {
            return format!("not connected to {peer}");
        }
        if self.state != State::Replicating {
            return format!("connecting: {peer}");
        }
        let names: Vec<&str> = self.replicated.iter().map(|name| &**name).collect();
        let mut text = format!("replicating: {peer}\ndatabase: {}", names.join(", "));
        if !self.exclude.is_empty() {
            text.push_str("\nexclude: ");
            text.push_str(&self.excluded_tables());
        }
        text
    }

    /// Excluded tables as `DB:TABLE,DB:TABLE`.
    #[must_use]
    pub fn excluded_tables(&self) -> String {
        let pairs =
            self.exclude.iter().flat_map(|(db, tables)| tables.iter().map(move |table| format!("{db}:{table}")));
        pairs.collect::<Vec<_>>().join(",")
    }

    /// How many databases were emptied, to take what the source has, since this was asked last.
    pub fn take_resets(&mut self) -> usize {
        std::mem::take(&mut self.resets)
    }

    fn request(&mut self, method: &str, params: Vec<Value>) -> u64 {
        self.next_id += 1;
        self.outbox.push_back(Message::request(Value::from(self.next_id), method, params));
        self.next_id
    }

    fn excluded(&self, db: &str, table: &str) -> bool {
        self.exclude.get(db).is_some_and(|tables| tables.contains(table))
    }

    /// A message came from the active server. An error ends replication.
    pub fn handle(&mut self, message: Message, server: &mut Server, now: Now) {
        let done = match message {
            Message::Response { id, result } => self.response(&id, &result, server, now),
            Message::Error { error, .. } => Err(OvsdbError::from_json(&error)),
            Message::Notification { method, params } if method == "update" => self.update(&params, server, now),
            _ => Ok(()),
        };
        if let Err(error) = done {
            self.state = State::Failed;
            self.failure = Some(error.to_string());
            self.outbox.clear();
        }
    }

    fn response(&mut self, id: &Value, result: &Value, server: &mut Server, now: Now) -> Result<()> {
        match self.state {
            State::ServerId => {
                let Some(uuid) = result.as_str().and_then(Uuid::parse) else {
                    return Err(OvsdbError::new("get_server_id failed", "Server ID is not valid UUID"));
                };
                if uuid == server.server_id() {
                    return Err(OvsdbError::new("Server ID check failed", "Self replicating is not allowed"));
                }
                self.state = State::Databases;
                self.request("list_dbs", Vec::new());
            }
            State::Databases => self.databases(result, server)?,
            State::Schemas => self.schema(id, result, server)?,
            State::Monitors => self.initial(id, result, server, now)?,
            _ => {}
        }
        Ok(())
    }

    fn databases(&mut self, result: &Value, server: &Server) -> Result<()> {
        let Some(names) = result.as_array() else {
            return Err(OvsdbError::new("list_dbs failed", "list_dbs response is not array"));
        };
        let ours: Vec<Arc<str>> = server
            .db_names()
            .filter(|name| &***name != SERVER_DB)
            .filter(|name| names.iter().any(|theirs| theirs.as_str() == Some(name)))
            .cloned()
            .collect();
        for name in ours {
            let id = self.request("get_schema", vec![Value::from(&*name)]);
            self.awaited.insert(id, name);
        }
        if self.awaited.is_empty() {
            return Err(OvsdbError::new("ovsdb error", "Nothing to replicate."));
        }
        self.state = State::Schemas;
        Ok(())
    }

    fn schema(&mut self, id: &Value, result: &Value, server: &Server) -> Result<()> {
        let Some(name) = id.as_u64().and_then(|id| self.awaited.remove(&id)) else {
            return Err(OvsdbError::new("ovsdb error", "unexpected schema"));
        };
        let theirs = DatabaseSchema::from_json(result)?;
        let fits = server.db(&name).is_some_and(|db| self.fits(&db.schema, &theirs));
        if fits {
            self.replicated.insert(name);
        }
        if !self.awaited.is_empty() {
            return Ok(());
        }
        if self.replicated.is_empty() {
            return Err(OvsdbError::new("ovsdb error", "Nothing to replicate."));
        }
        self.state = State::Monitors;
        for name in self.replicated.clone() {
            let Some(db) = server.db(&name) else { continue };
            let mut requests = Map::new();
            for table in db.tables().iter().map(|table| &table.schema) {
                if !self.excluded(&name, &table.name) {
                    let columns: Vec<&str> = table.own_columns().map(|(_, c)| &*c.name).collect();
                    requests.insert(table.name.to_string(), json!([{ "columns": columns }]));
                }
            }
            let params = vec![Value::from(&*name), Value::from(&*name), Value::Object(requests)];
            let id = self.request("monitor", params);
            self.awaited.insert(id, name);
        }
        Ok(())
    }

    /// Whether every table that is copied is here, with every column in the same type.
    fn fits(&self, ours: &DatabaseSchema, theirs: &DatabaseSchema) -> bool {
        theirs.tables.values().filter(|table| !self.excluded(&ours.name, &table.name)).all(|table| {
            ours.table(&table.name).is_some_and(|own| {
                table
                    .own_columns()
                    .all(|(_, column)| own.column(&column.name).is_some_and(|known| known.ty == column.ty))
            })
        })
    }

    fn initial(&mut self, id: &Value, result: &Value, server: &mut Server, now: Now) -> Result<()> {
        let Some(name) = id.as_u64().and_then(|id| self.awaited.remove(&id)) else {
            return Ok(());
        };
        self.resets += 1;
        self.commit(&name, result, true, server, now)?;
        if self.awaited.is_empty() {
            self.state = State::Replicating;
        }
        Ok(())
    }

    fn update(&mut self, params: &[Value], server: &mut Server, now: Now) -> Result<()> {
        let [Value::String(name), updates] = params else {
            return Err(OvsdbError::syntax("array expected"));
        };
        self.commit(name, updates, false, server, now)
    }

    fn commit(&mut self, name: &str, updates: &Value, reset: bool, server: &mut Server, now: Now) -> Result<()> {
        let keep = |table: &str| self.excluded(name, table);
        server.apply_source_updates(name, updates, reset, &keep, None, now)
    }
}
