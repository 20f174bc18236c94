//! What the owner of the server does: databases come and go, are converted and compacted; writing
//! is allowed or not.

use std::sync::Arc;

use serde_json::Value;

use super::{Compaction, Model, Now, Output, SERVER_DB, ServedDb, Server, SessionId, Stage, Ticket};
use crate::convert::convert;
use crate::database::Database;
use crate::error::{OvsdbError, Result};
use crate::log::{CompactJob, Compacted, LogDb, Progress};
use crate::replication::apply_updates;
use crate::schema::DatabaseSchema;
use crate::uuid::{Uuid, UuidSource};

/// Least time between two compactions, in ms.
const COMPACT_MIN_MS: u64 = 10 * 60 * 1000;
/// Time after which a log that changed at all is compacted, in ms.
const COMPACT_MAX_MS: u64 = 24 * 60 * 60 * 1000;

/// How updates of a source are applied.
#[derive(Debug, Clone, Copy)]
pub struct Copying {
    /// They are all that the source has.
    pub reset: bool,
    /// They are held against the constraints of the copy's own schema.
    pub checked: bool,
    /// The source's transaction id, where it tells one.
    pub last: Option<Uuid>,
}

impl Server {
    pub(super) fn served(&mut self, db: Database, log: Option<LogDb>, model: Model, now: Now) -> ServedDb {
        ServedDb {
            db,
            log,
            model,
            ready: true,
            connected: true,
            reserved: false,
            triggers: Vec::new(),
            seq: 0,
            compacting: None,
            next_compact_min_ms: now.mono_ms + COMPACT_MIN_MS,
            next_compact_max_ms: now.mono_ms + COMPACT_MAX_MS,
            monitors: std::collections::BTreeMap::new(),
            uuid: self.source.next_uuid(),
        }
    }

    /// Names of all databases, `_Server` among them.
    pub fn db_names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.dbs.keys()
    }

    /// A database's contents.
    #[must_use]
    pub fn db(&self, name: &str) -> Option<&Database> {
        self.dbs.get(name).map(|served| &served.db)
    }

    /// Whether a database is a relay's that has not heard of its schema.
    #[must_use]
    pub fn awaits_schema(&self, name: &str) -> bool {
        self.dbs.get(name).is_some_and(|served| !served.ready)
    }

    /// A database's contents, for settings such as [`Database::set_keep_history`].
    pub fn db_mut(&mut self, name: &str) -> Option<&mut Database> {
        self.dbs.get_mut(name).map(|served| &mut served.db)
    }

    /// How a database is kept.
    #[must_use]
    pub fn model(&self, name: &str) -> Option<Model> {
        self.dbs.get(name).map(|served| served.model)
    }

    /// Begins to serve a database. Its name must be new. Clients that do not know of database changes
    /// are disconnected, so that they see it.
    pub fn add_db(&mut self, db: Database, log: Option<LogDb>, model: Model, now: Now) -> Result<()> {
        let name = Arc::clone(&db.schema.name);
        if name.starts_with('_') {
            return Err(OvsdbError::new("ovsdb error", format!("{name}: names beginning with \"_\" are reserved")));
        }
        if self.dbs.contains_key(&name) {
            return Err(OvsdbError::new("ovsdb error", format!("{name}: duplicate database name")));
        }
        let served = self.served(db, log, model, now);
        let reason = format!("adding {name} database");
        self.dbs.insert(name, served);
        self.refresh_builtin(now);
        self.disconnect_unaware(&reason);
        Ok(())
    }

    /// A relay's database before its source told the schema: listed in `_Server` only.
    pub fn add_relay(&mut self, name: &str, now: Now) {
        let schema = DatabaseSchema::empty(name);
        let mut served = self.served(Database::new(Arc::new(schema)), None, Model::Relay, now);
        served.ready = false;
        served.connected = false;
        self.dbs.insert(Arc::from(name), served);
        self.refresh_builtin(now);
    }

    /// Whether a relay hears from its source.
    pub fn set_connected(&mut self, name: &str, connected: bool, now: Now) {
        let Some(served) = self.dbs.get_mut(name) else { return };
        if served.connected != connected {
            served.connected = connected;
            self.refresh_builtin(now);
        }
    }

    /// Ends the service of a database, and gives it back. Clients that do not know of database
    /// changes are disconnected.
    pub fn remove_db(&mut self, name: &str, now: Now) -> Option<(Database, Option<LogDb>)> {
        if name == SERVER_DB {
            return None;
        }
        let key = self.dbs.get_key_value(name)?.0.clone();
        self.cancel_monitors(&key);
        self.end_triggers(&key);
        let served = self.dbs.remove(&key)?;
        self.refresh_builtin(now);
        let reason = format!("removing {name} database by user request");
        self.disconnect_unaware(&reason);
        Some((served.db, served.log))
    }

    /// The server ends: clients that know of database changes are told that nothing is monitored any more.
    pub fn take_leave(&mut self) {
        let served = self.dbs.keys().filter(|name| ***name != *SERVER_DB).cloned();
        let names: Vec<Arc<str>> = served.chain([Arc::from(SERVER_DB)]).collect();
        for name in &names {
            self.cancel_monitors(name);
        }
    }

    fn end_triggers(&mut self, name: &Arc<str>) {
        let Some(served) = self.dbs.get_mut(name) else { return };
        for trigger in std::mem::take(&mut served.triggers) {
            self.reply_word(trigger.session, &trigger.id, "canceled");
        }
    }

    /// Closes the connections of clients that do not know of database changes, so that they look
    /// anew when they come back.
    pub fn disconnect_unaware(&mut self, reason: &str) {
        let unaware: Vec<SessionId> =
            self.sessions.iter().filter(|(_, session)| !session.change_aware).map(|(id, _)| *id).collect();
        for session in unaware {
            self.outputs.push_back(Output::Close { session, reason: reason.to_owned() });
        }
    }

    /// From now on nobody may monitor under conditions: for tests of clients that can do without.
    pub fn disable_monitor_cond(&mut self) {
        self.monitor_cond = false;
    }

    /// Whether nobody may write: a backup server.
    pub fn set_read_only(&mut self, read_only: bool) {
        self.read_only = read_only;
    }

    /// Whether nobody may write.
    #[must_use]
    pub fn all_read_only(&self) -> bool {
        self.read_only
    }

    /// Puts other contents, with another schema perhaps, in the place of a database's: clients are
    /// treated as by a conversion. The log is written anew.
    pub fn replace_contents(
        &mut self,
        name: &str,
        mut db: Database,
        comment: &str,
        now: Now,
    ) -> Result<Option<Ticket>> {
        let Some((key, served)) = self.dbs.get_key_value(name) else {
            return Err(OvsdbError::new("unknown database", name));
        };
        let key = Arc::clone(key);
        let mut ticket = None;
        let new_log = served.log.is_some();
        self.replacements += 1;
        self.cancel_monitors(&key);
        self.end_triggers(&key);
        let Some(served) = self.dbs.get_mut(&key) else { return Ok(None) };
        if new_log {
            if let Some(log) = &mut served.log {
                let mut job = CompactJob::new(&db, log, 0, comment, now.wall_ms)?;
                while !job.gather(&db, usize::MAX) {}
                job.run().install(log)?;
            }
            served.compacting = None;
            served.seq += 1;
            ticket = Some(Ticket { db: Arc::clone(&key), seq: served.seq });
        }
        let model = served.model;
        if model == Model::Relay {
            db.set_keep_history(true);
        }
        served.db = db;
        served.ready = true;
        self.refresh_builtin(now);
        self.disconnect_unaware(&match model {
            Model::Relay => format!("database {name} schema changed"),
            Model::Standalone => format!("committed {name} database schema conversion"),
        });
        Ok(ticket)
    }

    pub(super) fn convert_method(&mut self, session: SessionId, params: &[Value], now: Now) -> Result<Option<Ticket>> {
        let name = self.db_of("convert", params)?;
        let [_, schema] = params else {
            let whole = Value::Array(params.to_vec());
            return Err(OvsdbError::syntax_in(&whole, "array expected"));
        };
        let schema = Arc::new(DatabaseSchema::from_json(schema)?);
        if let Some(role) = self.restricted_role(session, &name) {
            let id = self.sessions.get(&session).and_then(|s| s.info.client_id.clone());
            let id = id.unwrap_or_else(|| "(null)".to_owned());
            return Err(OvsdbError::new(
                "permission error",
                format!(
                    "RBAC rules for client \"{id}\" role \"{role}\" prohibit \"convert\" of \
                     database {name} (only the root role may convert databases)"
                ),
            ));
        }
        // A backup may be converted, as a client upgrades it before its source.
        if self.sessions.get(&session).is_some_and(|s| s.info.read_only) || self.dbs[&name].reserved {
            let details = "convert operation not allowed when database server is in read only mode";
            return Err(OvsdbError::new("not allowed", details));
        }
        self.convert_db(&name, schema, now)
    }

    /// Converts a database to another schema while it is served.
    pub fn convert_db(&mut self, name: &str, schema: Arc<DatabaseSchema>, now: Now) -> Result<Option<Ticket>> {
        if *schema.name != *name {
            return Err(OvsdbError::new(
                "invalid parameters",
                format!("new schema name ({}) does not match database name ({name})", schema.name),
            ));
        }
        let Some(served) = self.dbs.get(name) else {
            return Err(OvsdbError::new("unknown database", name));
        };
        let mut seeded = UuidSource::new(u128::from(self.source.next_u64()));
        let new = convert(&served.db, schema, &mut seeded)?;
        self.replace_contents(name, new, "converted by ovsdb-server", now)
    }

    fn restricted_role(&self, session: SessionId, name: &str) -> Option<String> {
        let role = self.sessions.get(&session)?.info.role.clone()?;
        let ruled = self.dbs.get(name)?.db.table(crate::rbac::ROLE_TABLE).is_some();
        (ruled && !role.is_empty()).then_some(role)
    }

    /// Databases that should be compacted now.
    #[must_use]
    pub fn compaction_due(&self, now: Now) -> Vec<Arc<str>> {
        let due = |served: &ServedDb| {
            let Some(log) = &served.log else { return false };
            if served.compacting.is_some() || now.mono_ms < served.next_compact_min_ms {
                return false;
            }
            if now.mono_ms < served.next_compact_max_ms {
                log.written >= 100 && log.grew_lots()
            } else {
                log.written > 0
            }
        };
        self.dbs.iter().filter(|(_, served)| due(served)).map(|(name, _)| name.clone()).collect()
    }

    /// Begins to compact a database: [`Server::gather`] goes on with it.
    pub fn begin_compaction(&mut self, name: &str, comment: &str, now: Now) -> Result<()> {
        if name == SERVER_DB {
            return Err(OvsdbError::new("ovsdb error", "cannot compact built-in databases"));
        }
        let Some(served) = self.dbs.get_mut(name) else {
            return Err(OvsdbError::new("unknown database", "not a known database"));
        };
        let Some(log) = &served.log else {
            return Err(OvsdbError::new("ovsdb error", format!("{name}: no log to compact")));
        };
        if served.compacting.is_some() {
            let details = format!("{name}: compaction is in progress already");
            return Err(OvsdbError::new("ovsdb error", details));
        }
        self.next_compaction += 1;
        let number = self.next_compaction;
        let job = CompactJob::new(&served.db, log, number, comment, now.wall_ms)?;
        served.compacting = Some(Compaction { number, stage: Stage::Gathering(Box::new(job)) });
        Ok(())
    }

    /// Gathers so many rows more at most of each database that is being compacted. A job that comes out has all of its
    /// rows: [`CompactJob::run`] belongs in a thread that may be slow; its result goes to [`Server::finish_compaction`].
    pub fn gather(&mut self, rows: usize) -> Vec<CompactJob> {
        let mut ready = Vec::new();
        for served in self.dbs.values_mut() {
            let Some(compaction) = &mut served.compacting else { continue };
            let Stage::Gathering(job) = &mut compaction.stage else { continue };
            if job.gather(&served.db, rows)
                && let Stage::Gathering(job) = std::mem::replace(&mut compaction.stage, Stage::Writing(Vec::new()))
            {
                ready.push(*job);
            }
        }
        ready
    }

    /// Whether [`Server::gather`] has more to do.
    #[must_use]
    pub fn is_gathering(&self) -> bool {
        let gathers = |c: &Compaction| matches!(c.stage, Stage::Gathering(_));
        self.dbs.values().any(|served| served.compacting.as_ref().is_some_and(gathers))
    }

    /// Whether a database is being compacted.
    #[must_use]
    pub fn is_compacting(&self, name: &str) -> bool {
        self.dbs.get(name).is_some_and(|served| served.compacting.is_some())
    }

    /// A compaction's job is lost.
    pub fn abandon_compaction(&mut self, name: &str) {
        if let Some(served) = self.dbs.get_mut(name) {
            served.compacting = None;
            if let Some(log) = &mut served.log {
                log.succeed(false);
            }
        }
    }

    /// Has a compacted log put in place, with what was committed since its rows were gathered, or more written before. `None`: it is of no use any more, as the database has got other contents meanwhile.
    pub fn finish_compaction(&mut self, done: Compacted, now: Now) -> Option<Progress> {
        let served = self.dbs.get_mut(done.name())?;
        let compaction = served.compacting.as_mut().filter(|compaction| compaction.number == done.number())?;
        let log = served.log.as_mut()?;
        let progress = match (&mut compaction.stage, done) {
            (Stage::Writing(since), Compacted::Written(done)) => done.go_on(log, since),
            (Stage::Placing, Compacted::Placed(placed)) => Progress::Over(placed.settle(log)),
            _ => return None,
        };
        match progress {
            Progress::CatchUp(_) => {}
            Progress::Place(_) => compaction.stage = Stage::Placing,
            Progress::Over(_) => {
                served.compacting = None;
                served.next_compact_min_ms = now.mono_ms + COMPACT_MIN_MS;
                served.next_compact_max_ms = now.mono_ms + COMPACT_MAX_MS;
            }
        }
        Some(progress)
    }

    /// Executes operations on behalf of the server itself: status columns, replication.
    pub fn transact_internal(&mut self, name: &str, ops: &[Value], now: Now) -> Result<(String, Option<Ticket>)> {
        let Some((key, served)) = self.dbs.get_key_value(name) else {
            return Err(OvsdbError::new("unknown database", name));
        };
        let key = Arc::clone(key);
        let context = crate::execute::Context { never_block: true, ..Default::default() };
        let run = crate::execute::execute(&served.db, ops, &context, &mut self.source);
        let crate::execute::Execution::Done { results, commit, .. } = run else {
            return Err(OvsdbError::internal("a transaction of the server itself waits"));
        };
        let mut ticket = None;
        if let Some(commit) = commit {
            ticket = self.apply_commit(&key, commit, now)?;
            self.run_triggers(&key, now, true);
        }
        Ok((results, ticket))
    }

    /// Applies a prepared commit on behalf of the server itself.
    pub fn apply_internal(&mut self, name: &str, commit: crate::txn::Commit, now: Now) -> Result<Option<Ticket>> {
        let Some(key) = self.dbs.get_key_value(name).map(|(key, _)| Arc::clone(key)) else {
            return Err(OvsdbError::new("unknown database", name));
        };
        let ticket = self.apply_commit(&key, commit, now)?;
        self.run_triggers(&key, now, true);
        Ok(ticket)
    }

    /// Applies updates that a source told of a database that is copied from it.
    pub fn apply_source_updates(
        &mut self,
        name: &str,
        updates: &Value,
        copying: Copying,
        keep: &dyn Fn(&str) -> bool,
        now: Now,
    ) -> Result<()> {
        let Some((key, served)) = self.dbs.get_key_value(name) else {
            return Err(OvsdbError::new("unknown database", name));
        };
        let key = Arc::clone(key);
        let Copying { reset, checked, last } = copying;
        let commit = apply_updates(&served.db, updates, reset, checked, keep, &mut self.source)?;
        if let Some(commit) = commit {
            self.apply_commit_as(&key, commit, last, now)?;
            self.run_triggers(&key, now, true);
        }
        Ok(())
    }
}
