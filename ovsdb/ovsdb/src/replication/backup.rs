//! The backup side of active-backup replication: follows an active server by `monitor`, and makes
//! each of its updates a transaction here.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use jsonrpc::Message;
use serde_json::{Map, Value, json};

use crate::error::{OvsdbError, Result};
use crate::schema::DatabaseSchema;
use crate::server::{Copying, Now, SERVER_DB, Server};
use crate::turn::turn_of;
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
    /// In the order in which the active server lists them, each with the schema that it has there.
    replicated: Vec<(Arc<str>, Arc<DatabaseSchema>)>,
    next_id: u64,
    outbox: VecDeque<Message>,
    failure: Option<Failure>,
    /// For the log of module `replication`, since somebody asked.
    notes: Vec<String>,
    /// Answers that nobody waits for, since somebody asked.
    unexpected: usize,
}

/// Why replication ended for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// Of no database that is on both sides the schema allows it.
    Nothing,
    /// Something else.
    Error(String),
}

impl Backup {
    /// A machine that waits for [`Backup::connected`].
    #[must_use]
    pub fn new(exclude: Exclusions) -> Self {
        Backup {
            exclude,
            state: State::Init,
            awaited: BTreeMap::new(),
            replicated: Vec::new(),
            next_id: 0,
            outbox: VecDeque::new(),
            failure: None,
            notes: Vec::new(),
            unexpected: 0,
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
    pub fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
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
        let names: Vec<&str> = self.replicated.iter().map(|(name, _)| &**name).collect();
        let names: Vec<&str> = turn_of(&names).into_iter().map(|at| names[at]).collect();
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

    /// How many answers came since this was asked last that nobody waits for.
    pub fn take_unexpected(&mut self) -> usize {
        std::mem::take(&mut self.unexpected)
    }

    /// What the log of module `replication` is to say of what happened since this was asked last.
    pub fn take_notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }

    fn request(&mut self, method: &str, params: Vec<Value>) -> u64 {
        self.next_id += 1;
        self.outbox.push_back(Message::request(Value::from(self.next_id), method, params));
        self.next_id
    }

    fn excluded(&self, db: &str, table: &str) -> bool {
        self.exclude.get(db).is_some_and(|tables| tables.contains(table))
    }

    /// A message came from the active server. Updates that cannot be applied end replication, as do answers that are none;
    /// what nobody asked for is passed over, and so is a refusal, which leaves a backup what it is.
    pub fn handle(&mut self, message: Message, server: &mut Server, now: Now) {
        let done = match message {
            Message::Response { id, result } => self.response(&id, &result, server, now),
            Message::Notification { method, params } if method == "update" => self.update(&params, server, now),
            _ => Ok(()),
        };
        if let Err(error) = done {
            self.fail(Failure::Error(error.to_string()));
        }
    }

    fn fail(&mut self, failure: Failure) {
        self.state = State::Failed;
        self.failure = Some(failure);
        self.outbox.clear();
    }

    fn response(&mut self, id: &Value, result: &Value, server: &mut Server, now: Now) -> Result<()> {
        let is_awaited = match self.state {
            State::ServerId | State::Databases => id.as_u64() == Some(self.next_id),
            _ => id.as_u64().is_some_and(|id| self.awaited.contains_key(&id)),
        };
        if !is_awaited {
            self.unexpected += 1;
            return Ok(());
        }
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
        let ours: Vec<Arc<str>> = names
            .iter()
            .filter_map(Value::as_str)
            .filter(|name| *name != SERVER_DB)
            .filter_map(|theirs| server.db_names().find(|name| &***name == theirs))
            .cloned()
            .collect();
        for name in ours {
            let id = self.request("get_schema", vec![Value::from(&*name)]);
            self.awaited.insert(id, name);
        }
        // Where nothing is common a backup stays one: its source may yet get what it lacks.
        self.state = State::Schemas;
        Ok(())
    }

    fn schema(&mut self, id: &Value, result: &Value, server: &Server) -> Result<()> {
        let Some(name) = id.as_u64().and_then(|id| self.awaited.remove(&id)) else {
            return Err(OvsdbError::new("ovsdb error", "unexpected schema"));
        };
        let theirs = DatabaseSchema::from_json(result)?;
        if let Some(db) = server.db(&name)
            && self.can_copy(&db.schema, &theirs)
        {
            self.replicated.push((name, Arc::new(theirs)));
        }
        if !self.awaited.is_empty() {
            return Ok(());
        }
        if self.replicated.is_empty() {
            self.fail(Failure::Nothing);
            return Ok(());
        }
        self.state = State::Monitors;
        for (name, theirs) in self.replicated.clone() {
            let mut requests = Map::new();
            for table in theirs.tables.values().filter(|table| !self.excluded(&name, &table.name)) {
                let columns: Vec<&str> = table.own_columns().map(|(_, c)| &*c.name).collect();
                requests.insert(table.name.to_string(), json!([{ "columns": columns }]));
            }
            let params = vec![Value::from(&*name), Value::from(&*name), Value::Object(requests)];
            let id = self.request("monitor", params);
            self.awaited.insert(id, name);
        }
        Ok(())
    }

    /// Whether the schemas are equal, or there is room here for everything that the active server has. The log is told.
    fn can_copy(&mut self, ours: &DatabaseSchema, theirs: &DatabaseSchema) -> bool {
        if ours == theirs {
            return true;
        }
        let name = &theirs.name;
        self.notes.push(format!("Schema version mismatch, checking if {name} can still be replicated or not."));
        let lacking = lacking(ours, theirs);
        let can = lacking.is_none();
        self.notes.extend(lacking);
        self.notes.push(format!("{name} {} be replicated.", if can { "can" } else { "cannot" }));
        can
    }

    fn initial(&mut self, id: &Value, result: &Value, server: &mut Server, now: Now) -> Result<()> {
        let Some(name) = id.as_u64().and_then(|id| self.awaited.remove(&id)) else {
            return Ok(());
        };
        self.notes.push("Monitor request received. Resetting the database".to_owned());
        self.commit(&name, result, true, server, now)?;
        if self.awaited.is_empty() {
            self.state = State::Replicating;
        }
        Ok(())
    }

    fn update(&mut self, params: &[Value], server: &mut Server, now: Now) -> Result<()> {
        let [Value::String(name), updates] = params else { return Ok(()) };
        self.commit(name, updates, false, server, now)
    }

    fn commit(&mut self, name: &str, updates: &Value, reset: bool, server: &mut Server, now: Now) -> Result<()> {
        if !updates.is_object() {
            return Ok(());
        }
        let keep = |table: &str| self.excluded(name, table);
        server.apply_source_updates(name, updates, Copying { reset, checked: true, last: None }, &keep, now)
    }
}

/// What a schema lacks of another: a table, or a column of the same definition.
fn lacking(ours: &DatabaseSchema, theirs: &DatabaseSchema) -> Option<String> {
    for table in theirs.tables_in_turn() {
        let Some(own) = ours.table(&table.name) else {
            return Some(format!("Table {} not present in the local db schema", table.name));
        };
        for column in
            table.columns_in_turn().map(|at| &table.columns[at]).filter(|column| !column.name.starts_with('_'))
        {
            match own.column(&column.name) {
                None => {
                    let (column, table) = (&column.name, &table.name);
                    return Some(format!("Column {column} not present in the local db schema table {table}."));
                }
                Some(known) if known.to_json() != column.to_json() => {
                    let (column, table) = (&column.name, &table.name);
                    return Some(format!("Column {column} mismatch in local db schema table {table}."));
                }
                Some(_) => {}
            }
        }
    }
    None
}
