//! The database server as a machine without I/O: databases by name, sessions by number, requests
//! in, texts out (RFC 7047 section 4 and ovsdb-server(7)).
//!
//! ```text
//! add_db · connect · handle(session, message, now) · handle_timeout(now) · disconnect
//!     -> take_outputs(): Send (to be held until the disk has it, where a Ticket says so), Close
//! sync_job(db) -> a closure for the fsync thread; tickets up to its number are redeemed by it
//! begin_compaction(db) -> gather(rows), again and again -> CompactJob::run in any thread -> finish_compaction(done)
//! ```
//!
//! Times are milliseconds; wall-clock time is used for nothing but the `_date` in the log.

mod admin;
mod builtin;
mod commit;
mod locks;
mod methods;
mod monitors;
mod text;
mod transact;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use hashing::HashOrder;
use jsonrpc::Message;
use jsonrpc::message::{REPLY_TAIL, write_reply_head};
use jsonrpc::text::to_sorted_text;
use serde_json::Value;

pub use admin::Copying;
pub use builtin::{SERVER_DB, SERVER_SCHEMA};
pub use locks::LockCounts;
pub use text::{Piece, Text};

use crate::database::Database;
use crate::error::{OvsdbError, Result};
use crate::log::{CompactJob, LogDb};
use crate::schema::DatabaseSchema;
use crate::uuid::{Uuid, UuidSource};

/// Number of a session, given by the caller, never used twice.
pub type SessionId = u64;

/// The two clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Now {
    /// Monotonic, in ms.
    pub mono_ms: u64,
    /// Since the Unix epoch, in ms.
    pub wall_ms: i64,
}

/// A place in the log of a database that a reply waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    /// The database.
    pub db: Arc<str>,
    /// Redeemed by a [`Server::sync_job`] with this number or a higher one.
    pub seq: u64,
}

/// What the caller has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Send a text; where there is a ticket, not before the log is on the disk so far. What comes behind for the same
    /// session must not overtake it.
    Send {
        /// To whom.
        session: SessionId,
        /// A whole JSON-RPC message.
        text: Text,
        /// What it waits for.
        ticket: Option<Ticket>,
    },
    /// Close the connection, after what was sent before.
    Close {
        /// Whose.
        session: SessionId,
        /// For the log.
        reason: String,
    },
}

/// How a database is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Model {
    /// In a file of its own.
    Standalone,
    /// In another server, of which this one shows a copy.
    Relay,
}

impl Model {
    /// The name in `_Server`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Model::Standalone => "standalone",
            Model::Relay => "relay",
        }
    }
}

/// A compaction under way.
pub(crate) struct Compaction {
    number: u64,
    stage: Stage,
}

/// How far a compaction is.
enum Stage {
    /// Rows are gathered.
    Gathering(Box<CompactJob>),
    /// They are written by somebody else; the records since.
    Writing(Vec<String>),
    /// The new log is put in place by somebody else.
    Placing,
}

/// A database that the server serves.
pub(crate) struct ServedDb {
    pub db: Database,
    pub log: Option<LogDb>,
    pub model: Model,
    /// Whether the schema is known: a relay's is not before its source told it.
    pub ready: bool,
    pub connected: bool,
    /// The server's own.
    pub reserved: bool,
    pub triggers: Vec<transact::Trigger>,
    /// Number of the latest record in the log.
    pub seq: u64,
    /// What is under way.
    pub compacting: Option<Compaction>,
    pub next_compact_min_ms: u64,
    pub next_compact_max_ms: u64,
    pub monitors: BTreeMap<(SessionId, u64), monitors::Monitor>,
    pub uuid: Uuid,
}

/// What the server knows of a client when it connects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionInfo {
    /// Nothing may be written through this connection.
    pub read_only: bool,
    /// The role for role-based access control.
    pub role: Option<String>,
    /// The client's name from its certificate.
    pub client_id: Option<String>,
    /// Whether a transaction that is given up is answered with "canceled", as RFC 7047 says. Open vSwitch leaves it
    /// without an answer.
    pub answers_cancel: bool,
}

pub(crate) struct Session {
    pub info: SessionInfo,
    pub change_aware: bool,
    /// Monitors by the text of their ids: database and number.
    pub monitors: BTreeMap<String, (Arc<str>, u64)>,
    /// Their numbers, in the turn in which their clients are told of a change that concerns several.
    pub turn: HashOrder<u64>,
}

/// The server.
pub struct Server {
    pub(crate) dbs: BTreeMap<Arc<str>, ServedDb>,
    pub(crate) sessions: BTreeMap<SessionId, Session>,
    /// Sessions whose peers do not take what waits for them.
    pub(crate) backlogged: BTreeSet<SessionId>,
    pub(crate) locks: locks::Locks,
    pub(crate) shapes: monitors::Shapes,
    pub(crate) source: UuidSource,
    pub(crate) read_only: bool,
    /// Whether clients may monitor under conditions.
    pub(crate) monitor_cond: bool,
    pub(crate) outputs: VecDeque<Output>,
    server_id: Uuid,
    next_monitor: u64,
    next_compaction: u64,
    column_diff: bool,
    pub(crate) replacements: u64,
    pub(crate) kept_commits: Option<Vec<(Arc<str>, Arc<crate::txn::Commit>)>>,
    forwards: VecDeque<Forward>,
    write_faults: Vec<(String, crate::error::OvsdbError)>,
    rbac_notes: Vec<crate::rbac::Note>,
}

/// A transaction that a relay has to pass on to its source.
#[derive(Debug, Clone, PartialEq)]
pub struct Forward {
    /// The relayed database.
    pub db: Arc<str>,
    /// Who wants it.
    pub session: SessionId,
    /// The client's request id, for [`Server::answer_forward`].
    pub id: Value,
    /// The operations.
    pub ops: Vec<Value>,
}

/// Numbers for `memory/show`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Atoms in all databases.
    pub atoms: usize,
    /// Rows in all databases.
    pub cells: usize,
    /// Distinct monitors.
    pub monitors: usize,
    /// Sessions.
    pub sessions: usize,
    /// Transactions that wait.
    pub triggers: usize,
    /// Transactions kept for clients that come back.
    pub history: usize,
}

impl Server {
    /// A server with nothing but its own database `_Server`. `seed`: 128 random bits.
    #[must_use]
    pub fn new(seed: u128) -> Self {
        let mut source = UuidSource::new(seed);
        let mut server = Server {
            dbs: BTreeMap::new(),
            sessions: BTreeMap::new(),
            backlogged: BTreeSet::new(),
            locks: locks::Locks::default(),
            shapes: monitors::Shapes::default(),
            server_id: source.next_uuid(),
            source,
            read_only: false,
            monitor_cond: true,
            outputs: VecDeque::new(),
            next_monitor: 0,
            next_compaction: 0,
            column_diff: true,
            replacements: 0,
            kept_commits: None,
            forwards: VecDeque::new(),
            write_faults: Vec::new(),
            rbac_notes: Vec::new(),
        };
        if let Ok(schema) = DatabaseSchema::from_text(SERVER_SCHEMA) {
            let db = Database::new(Arc::new(schema));
            let served = server.served(db, None, Model::Standalone, Now::default());
            server.dbs.insert(Arc::from(SERVER_DB), ServedDb { reserved: true, ..served });
        }
        server.refresh_builtin(Now::default());
        server
    }

    /// A number that grows whenever a database gets other contents, with another schema perhaps, by other means than a
    /// transaction.
    #[must_use]
    pub fn replacements(&self) -> u64 {
        self.replacements
    }

    /// The server's identity.
    #[must_use]
    pub fn server_id(&self) -> Uuid {
        self.server_id
    }

    /// A session begins.
    pub fn connect(&mut self, session: SessionId, info: SessionInfo) {
        let new = Session { info, change_aware: false, monitors: BTreeMap::new(), turn: HashOrder::default() };
        self.sessions.insert(session, new);
    }

    /// The configuration of a session's connection changed.
    pub fn set_session_info(&mut self, session: SessionId, info: SessionInfo) {
        if let Some(known) = self.sessions.get_mut(&session) {
            known.info = info;
        }
    }

    /// A session ended: its monitors, waiting transactions and locks go.
    pub fn disconnect(&mut self, session: SessionId) {
        let Some(gone) = self.sessions.remove(&session) else { return };
        self.backlogged.remove(&session);
        for (db, number) in gone.monitors.into_values() {
            self.drop_monitor(&db, session, number);
        }
        for served in self.dbs.values_mut() {
            served.triggers.retain(|trigger| trigger.session != session);
        }
        for owner in self.locks.drop_session(session) {
            self.notify_lock("locked", &owner.0, owner.1);
        }
        self.forwards.retain(|forward| forward.session != session);
        self.outputs.retain(|output| match output {
            Output::Send { session: to, .. } | Output::Close { session: to, .. } => *to != session,
        });
    }

    /// A message came. What follows from it is in [`Server::take_outputs`].
    pub fn handle(&mut self, session: SessionId, message: Message, now: Now) {
        match message {
            Message::Request { id, method, params } => {
                self.handle_request(session, id, &method, params, now);
            }
            Message::Notification { method, params } => {
                if method == "cancel" {
                    self.cancel(session, &params);
                }
            }
            // Answers to what nobody asked: the connection's actor ends it.
            Message::Response { .. } | Message::Error { .. } => {}
        }
    }

    /// What has to be sent or closed, in order.
    pub fn take_outputs(&mut self) -> VecDeque<Output> {
        std::mem::take(&mut self.outputs)
    }

    /// When [`Server::handle_timeout`] has something to do, and why.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(u64, &'static str)> {
        let waits = self.dbs.values().flat_map(|served| &served.triggers);
        waits.filter_map(|trigger| trigger.deadline_ms()).min().map(|at| (at, "transaction \"wait\" timeout"))
    }

    /// Ends transactions that have waited for long enough.
    pub fn handle_timeout(&mut self, now: Now) {
        let names: Vec<Arc<str>> = self.dbs.keys().cloned().collect();
        for name in names {
            self.run_triggers(&name, now, false);
        }
    }

    /// Transactions for relays to pass on.
    pub fn take_forwards(&mut self) -> VecDeque<Forward> {
        std::mem::take(&mut self.forwards)
    }

    /// The source of a relay answered a transaction that was passed on.
    pub fn answer_forward(&mut self, session: SessionId, id: &Value, answer: std::result::Result<Value, Value>) {
        if !self.sessions.contains_key(&session) {
            return;
        }
        let message = match answer {
            Ok(result) => Message::Response { id: id.clone(), result },
            Err(error) => Message::Error { id: id.clone(), error },
        };
        self.reply(session, message.to_text().into(), None);
    }

    pub(crate) fn send(&mut self, session: SessionId, text: Text, ticket: Option<Ticket>) {
        self.outputs.push_back(Output::Send { session, text, ticket });
    }

    pub(crate) fn reply_raw(&mut self, session: SessionId, id: &Value, result: &str, ticket: Option<Ticket>) {
        let mut text = String::with_capacity(result.len() + 48);
        write_reply_head(&mut text, id);
        text.push_str(result);
        text.push_str(REPLY_TAIL);
        self.reply(session, text.into(), ticket);
    }

    /// Sends a reply, behind what the session's monitors saw before.
    pub(crate) fn reply(&mut self, session: SessionId, text: Text, ticket: Option<Ticket>) {
        self.flush_monitors(session);
        self.send(session, text, ticket);
    }

    pub(crate) fn reply_error(&mut self, session: SessionId, id: &Value, error: &OvsdbError) {
        let message = Message::Error { id: id.clone(), error: error.to_json() };
        self.reply(session, message.to_text().into(), None);
    }

    pub(crate) fn reply_word(&mut self, session: SessionId, id: &Value, word: &str) {
        let message = Message::Error { id: id.clone(), error: Value::from(word) };
        self.reply(session, message.to_text().into(), None);
    }

    /// The database that a request's first parameter names.
    pub(crate) fn db_of(&self, method: &str, params: &[Value]) -> Result<Arc<str>> {
        let whole = || Value::Array(params.to_vec());
        let Some(Value::String(name)) = params.first() else {
            let details = format!("{method} request params must begin with <db-name>");
            return Err(OvsdbError::syntax_in(&whole(), details));
        };
        match self.dbs.get_key_value(name.as_str()) {
            None => {
                let details = format!("{method} request specifies unknown database {name}");
                Err(OvsdbError::new("unknown database", details).within(&whole()))
            }
            Some((_, served)) if !served.ready => {
                let details = format!(
                    "{method} request specifies database {name} which is not yet available \
                     because it has not completed joining its cluster"
                );
                Err(OvsdbError::new("database not available", details).within(&whole()))
            }
            Some((name, _)) => Ok(Arc::clone(name)),
        }
    }

    /// Numbers for `memory/show`.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let mut usage = Usage { monitors: self.shapes.len(), sessions: self.sessions.len(), ..Usage::default() };
        for served in self.dbs.values() {
            usage.atoms += served.db.atom_count();
            usage.cells +=
                served.db.tables().iter().map(|table| table.len() * table.schema.columns.len()).sum::<usize>();
            usage.triggers += served.triggers.len();
            usage.history += served.db.history_len();
        }
        usage
    }

    /// A number of UUIDs for the caller's own use.
    pub fn fresh_uuid(&mut self) -> Uuid {
        self.source.next_uuid()
    }

    /// Whether records in logs tell differences of columns (true, as 3.1 does by itself) or whole
    /// values (`--disable-file-column-diff`).
    pub fn set_column_diff(&mut self, on: bool) {
        self.column_diff = on;
    }

    pub(crate) fn column_diff(&self) -> bool {
        self.column_diff
    }

    pub(crate) fn next_monitor(&mut self) -> u64 {
        self.next_monitor += 1;
        self.next_monitor
    }
}

/// The text that stands for a monitor's or a request's id, equal for equal JSON values.
pub(crate) fn id_key(id: &Value) -> String {
    to_sorted_text(id)
}
