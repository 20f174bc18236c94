//! Databases that come from another server: relays (`relay:DB:SOURCE`), and replication of an active server
//! to this backup (`--sync-from`).
//!
//! One driver actor a source: it connects, asks for the schema and monitors every table, and hands what it
//! hears to the database. A relay passes writes on to its source. Source: ovsdb(7), "Relay Service Model",
//! "Active-Backup Database Service Model"; ovsdb-server(1), "Syncing Options".

use super::database::{Database, State};
use super::driver::{Driver, Order, Surroundings, Task};
use super::letters::{FromSource, SyncConfig};
use super::{now, replica};
use crate::mailbox::Address;
use crate::stream::Tls;
use crate::supervise::{Family, Role, Strategy};
use jsonrpc::Message;
use ovsdb::server::{Model, Server, SessionId, Text};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Writes that may wait for a relay's source.
const ORDERS: usize = 1024;

/// A database to be relayed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RelaySpec {
    pub db: String,
    /// Remotes of the source, separated by commas.
    pub source: String,
}

impl RelaySpec {
    /// Reads `relay:DB:SOURCE`; `None` if this names a file.
    pub(super) fn parse(text: &str) -> Result<Option<RelaySpec>, String> {
        let Some(rest) = text.strip_prefix("relay:") else {
            return Ok(None);
        };
        match rest.split_once(':') {
            Some((db, source)) if !db.is_empty() && !source.is_empty() => {
                Ok(Some(RelaySpec { db: db.to_owned(), source: source.to_owned() }))
            }
            _ => Err(format!("{text}: invalid syntax")),
        }
    }
}

/// What a driver has heard.
#[derive(Debug)]
pub(crate) enum Progress {
    /// The connection to this remote is up.
    Connected,
    /// It is down.
    Disconnected,
    /// The source cannot be used.
    Failed(String),
    /// The schema of a database.
    Schema(String, Value),
    /// Every row of a database, in the form of `monitor`'s reply.
    Initial(String, Value),
    /// A change, in the form of `update`.
    Update(String, Value),
    /// The answer to a write passed on.
    Reply(SessionId, Message),
}

/// A driver at work.
struct Line {
    orders: mpsc::Sender<Order>,
    address: Address<Driver>,
    source: String,
    /// The relay's database; `None` for replication.
    relay: Option<String>,
    replicating: BTreeSet<String>,
    failed: bool,
    alive: bool,
}

/// All drivers.
pub(super) struct Sources {
    family: Family,
    database: Address<Database>,
    lines: BTreeMap<u64, Line>,
    next: u64,
}

impl Sources {
    pub(super) fn new(family: Family, database: Address<Database>) -> Sources {
        Sources { family, database, lines: BTreeMap::new(), next: 0 }
    }

    fn start(&mut self, task: Task, tls: Tls, run_dir: PathBuf, probe_ms: Option<u64>) {
        self.next += 1;
        let number = self.next;
        let (orders, inbox) = mpsc::channel(ORDERS);
        let line = |address| Line {
            orders,
            address,
            source: task.source.clone(),
            relay: task.relay.clone(),
            replicating: BTreeSet::new(),
            failed: false,
            alive: true,
        };
        let role = Role::new(format!("ovsdb source {}", task.source), "source", 4, Strategy::Temporary);
        let around = Surroundings { number, database: self.database.clone(), tls, run_dir, probe_ms };
        let with = task.clone();
        let address = self.family.hire_once(role, move |desk, ctx| Driver::begin(desk, with, inbox, around, ctx));
        self.lines.insert(number, line(address));
    }

    /// Begins to relay.
    pub(super) fn start_relay(&mut self, relay: RelaySpec, state: &State) {
        let task = Task {
            source: relay.source,
            relay: Some(relay.db.clone()),
            dbs: vec![relay.db],
            exclude: BTreeMap::new(),
            server_id: state.server.server_id().to_string(),
        };
        self.start(task, state.tls.clone(), state.run_dir.clone(), None);
    }

    /// Ends replication, or the relay of `db`.
    fn stop(&mut self, db: Option<&str>) {
        let gone: Vec<u64> =
            self.lines.iter().filter(|(_, l)| l.relay.as_deref() == db).map(|(number, _)| *number).collect();
        for number in gone {
            if let Some(line) = self.lines.remove(&number) {
                self.family.dismiss(line.address.card());
            }
        }
    }

    /// Ends the relay of a database that is no longer served.
    pub(super) fn stop_relay(&mut self, db: &str) {
        self.stop(Some(db));
    }

    /// Passes a write to a relayed database on to its source; what is for this server comes back.
    pub(super) fn forward(&self, session: SessionId, message: Message, server: &Server) -> Option<Message> {
        if self.lines.is_empty() {
            return Some(message);
        }
        let Message::Request { id, method, params } = &message else {
            return Some(message);
        };
        let relayed = method == "transact"
            && params.first().and_then(Value::as_str).is_some_and(|db| server.model(db) == Some(Model::Relay));
        if !relayed || !params.iter().skip(1).any(writes) {
            return Some(message);
        }
        let db = params.first().and_then(Value::as_str);
        let line = self.lines.values().find(|line| line.relay.as_deref() == db);
        let order = Order { session, id: id.clone(), params: params.clone() };
        match line.map(|line| line.orders.try_send(order)) {
            Some(Ok(())) => None,
            _ => Some(message),
        }
    }

    fn sync_line(&self) -> Option<&Line> {
        self.lines.values().find(|line| line.relay.is_none())
    }
}

fn writes(op: &Value) -> bool {
    matches!(op["op"].as_str(), Some("insert" | "update" | "mutate" | "delete" | "wait" | "assert"))
}

/// Tables left out of replication: `DB:TABLE,…`, by database.
pub(super) fn parse_exclude(text: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut tables: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for word in text.split(',').filter(|w| !w.is_empty()) {
        let (db, table) = word.split_once(':').unwrap_or((word, ""));
        tables.entry(db.to_owned()).or_default().insert(table.to_owned());
    }
    tables
}

/// The text of `ovsdb-server/get-sync-exclude-tables`.
pub(super) fn exclude_text(sync: &SyncConfig) -> String {
    let tables = parse_exclude(sync.exclude.as_deref().unwrap_or(""));
    let words: Vec<String> =
        tables.iter().flat_map(|(db, tables)| tables.iter().map(move |t| format!("{db}:{t}"))).collect();
    words.join(",")
}

impl Database {
    /// Becomes a backup of the configured source.
    pub(super) fn start_sync(&mut self) {
        let Some(source) = self.state.sync.source.clone() else {
            return;
        };
        self.sources.stop(None);
        self.state.sync.backup = true;
        self.state.server.set_read_only(true);
        let own = |n: &&Arc<str>| {
            n.as_ref() != ovsdb::server::SERVER_DB && self.state.server.model(n) == Some(Model::Standalone)
        };
        let dbs = self.state.server.db_names().filter(own).map(|n| n.to_string()).collect();
        let exclude = parse_exclude(self.state.sync.exclude.as_deref().unwrap_or(""));
        let server_id = self.state.server.server_id().to_string();
        let task = Task { source, relay: None, dbs, exclude, server_id };
        let (tls, run_dir, probe) = (self.state.tls.clone(), self.state.run_dir.clone(), self.state.sync.probe_ms);
        self.sources.start(task, tls, run_dir, probe);
    }

    /// Becomes active.
    pub(super) fn stop_sync(&mut self) {
        self.sources.stop(None);
        self.state.sync.backup = false;
        self.state.server.set_read_only(false);
    }

    /// The text of `ovsdb-server/sync-status`.
    pub(super) fn sync_status(&self) -> String {
        if !self.state.sync.backup {
            return "state: active\n".to_owned();
        }
        let source = self.state.sync.source.as_deref().unwrap_or("");
        let mut out = String::from("state: backup\n");
        match self.sources.sync_line() {
            Some(line) if line.failed => out += &format!("Replication to ({source}) failed\n"),
            Some(line) if !line.replicating.is_empty() => {
                let names: Vec<&str> = line.replicating.iter().map(String::as_str).collect();
                out += &format!("replicating: {}\ndatabase: {}", line.source, names.join(", "));
                let exclude = exclude_text(&self.state.sync);
                if !exclude.is_empty() {
                    out += &format!("\nexclude: {exclude}");
                }
            }
            Some(line) if line.alive => out += &format!("connecting: {source}"),
            _ => out += &format!("not connected to {source}"),
        }
        out
    }

    /// Acts on what a driver has heard.
    pub(super) fn hear_source(&mut self, news: FromSource) {
        let Some(line) = self.sources.lines.get_mut(&news.driver) else {
            return;
        };
        let relay = line.relay.clone();
        match news.progress {
            Progress::Connected => {}
            Progress::Disconnected => {
                line.replicating.clear();
                if let Some(db) = relay {
                    self.state.server.set_connected(&db, false, now());
                }
            }
            Progress::Failed(text) => {
                vlog::err_rl!("replication", 1, 1, "{}: {text}", line.source);
                line.failed = relay.is_none();
            }
            Progress::Schema(db, schema) => {
                if let Err(text) = replica::take_schema(&mut self.state.server, &db, &schema, relay.is_some()) {
                    vlog::err_rl!("replication", 1, 1, "{}: {text}", line.source);
                    line.failed = relay.is_none();
                }
            }
            Progress::Initial(db, rows) => {
                line.replicating.insert(db.clone());
                let exclude = self.excluded(&db, relay.is_some());
                self.apply_source(&db, &rows, Some(&exclude));
                if relay.is_some() {
                    self.state.server.set_connected(&db, true, now());
                }
            }
            Progress::Update(db, rows) => self.apply_source(&db, &rows, None),
            Progress::Reply(session, message) => self.pend(session, Text::Own(message.to_text())),
        }
    }

    /// The tables of `db` that replication leaves alone.
    fn excluded(&self, db: &str, relay: bool) -> BTreeSet<String> {
        if relay {
            return BTreeSet::new();
        }
        parse_exclude(self.state.sync.exclude.as_deref().unwrap_or("")).remove(db).unwrap_or_default()
    }

    fn apply_source(&mut self, db: &str, rows: &Value, whole_but: Option<&BTreeSet<String>>) {
        if let Err(text) = replica::apply(&mut self.state.server, db, rows, whole_but) {
            vlog::err_rl!("replication", 1, 1, "{db}: {text}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specifications() {
        let relay = RelaySpec::parse("relay:Open_vSwitch:tcp:1.2.3.4:5,ssl:x:6").unwrap().unwrap();
        assert_eq!((relay.db.as_str(), relay.source.as_str()), ("Open_vSwitch", "tcp:1.2.3.4:5,ssl:x:6"));
        assert_eq!(RelaySpec::parse("conf.db"), Ok(None));
        assert!(RelaySpec::parse("relay:x").is_err());
        let sync = SyncConfig { exclude: Some("b:y,a:x,a:w".into()), ..SyncConfig::default() };
        assert_eq!(exclude_text(&sync), "a:w,a:x,b:y");
    }
}
