//! The database server as actors: `ovsdb-server`, and the embedded database of `troupe`.
//!
//! ```text
//! Remotes (listeners, active remotes) ── hires ──> Session × connections ── Requests ──> Database
//!    ^                                                ^──────────── Deliver ────────────────┘  │
//!    └────────────────────── SetRemotes (from rows, live) ─────────────────────────────────────┘
//!                                              fsync thread <── SyncJob ── Database ── CompactJob ──> thread
//! ```
//!
//! The engine is the pure machine `ovsdb::server`; here are its streams, clocks and threads. One read of a
//! session's stream becomes one message to the database, and what one wake of the database has for a session
//! becomes one message back. Replies that must be durable wait until the fsync thread has passed their place
//! in the log; many wait for one fsync. Source: RFC 7047, ovsdb-server(1), ovsdb-server(7), ovsdb(7).
//!
//! Deliberately absent: clustering (RAFT).

mod change_log;
mod control;
mod database;
mod disk;
mod driver;
pub(crate) mod guest;
mod legacy;
mod letters;
mod methods;
mod outgoing;
mod reference;
mod remotes;
mod serving;
mod session;
mod source;
mod status;
mod unfinished;

pub use control::add_commands;
pub use database::Database;
pub use legacy::Legacy;
pub use letters::{Link, RemoteOptions, SyncConfig};
pub use methods::Methods;

use crate::mailbox::Address;
use crate::stream::{Tls, TlsFiles};
use crate::supervise::{Family, Role, Strategy};
use ovsdb::log::{Faults, FileStorage, LogDb, Note, open_database};
use ovsdb::server::{Model, Now, Server};
use ovsdb::{DatabaseSchema, UuidSource};
use std::cell::Cell;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

/// How a database system is to be.
#[derive(Debug, Clone, Default)]
pub struct DbConfig {
    /// Database files, and `relay:DB:SOURCE` specifications.
    pub files: Vec<String>,
    /// Where relative names of sockets start.
    pub run_dir: PathBuf,
    /// Remotes: streams, and references `db:DATABASE,TABLE,COLUMN`.
    pub remotes: BTreeSet<String>,
    /// TLS as the command line gives it; each file may be a reference into a database.
    pub tls: TlsFiles,
    /// Replication.
    pub sync: SyncConfig,
    /// Whether logs hold whole rows instead of differences (`--disable-file-column-diff`).
    pub whole_rows: bool,
    /// 128 random bits: the seed of all UUIDs.
    pub seed: u128,
    /// Where a server behind a monitor leaves what it is like, for the next one.
    pub legacy: Option<Legacy>,
}

/// A running database system.
#[derive(Debug, Clone)]
pub struct DbSystem {
    /// The database actor.
    pub database: Address<Database>,
    /// The methods of RFC 7047 and the extensions, for sessions of any kind.
    pub methods: Arc<Methods>,
    remotes: Address<remotes::Remotes>,
}

impl crate::daemon::Serving for DbSystem {
    /// What is committed is on the disk already. Who asked for the end by a command leaves time to say so.
    async fn end(&self, reason: &crate::daemon::Reason) {
        if matches!(reason, crate::daemon::Reason::Command { .. }) {
            let _ = self.database.ask(letters::Control::TakeLeave, std::time::Duration::from_secs(5)).await;
        }
    }
}

impl DbSystem {
    /// What the server keeps in memory, in the words of `memory/show`; `None` if it does not answer.
    pub async fn figures(&self) -> Option<String> {
        let patience = std::time::Duration::from_secs(5);
        self.database.ask(letters::Control::Memory, patience).await.ok()?.ok()
    }

    /// Completes when the remotes of the configuration listen: a parent that waits may return.
    pub async fn ready(&self) {
        let patience = std::time::Duration::from_secs(60);
        // The database tells the remotes at the end of the wake that answers this; the question to the
        // remotes comes behind it in their mailbox.
        let _ = self.database.ask(letters::Control::ListDbs, patience).await;
        let _ = self.remotes.ask(letters::ReportStatus, patience).await;
    }
}

/// The two clocks as the engine wants them.
pub(crate) fn now() -> Now {
    Now { mono_ms: u64::try_from(crate::clock::now_ms()).unwrap_or(0), wall_ms: crate::clock::wall_ms() }
}

/// Opens one database file and hands it to the engine. The error is the text to show.
pub(crate) fn open_file(server: &mut Server, name: &str, seed: u128) -> Result<Arc<str>, String> {
    let storage = FileStorage::open(std::path::Path::new(name)).map_err(|refusal| {
        for note in &refusal.notes {
            vlog::warn!("lockfile", "{note}");
        }
        refusal.to_string()
    })?;
    let opened = open_database(Box::new(storage), Faults::PassOver, &mut UuidSource::new(seed));
    let opened = opened.map_err(|e| e.to_string())?;
    for note in &opened.notes {
        match note {
            Note::Unreadable(error) => vlog::err!("ovsdb_server", "{error}"),
            Note::Forbidden(error) => vlog::info!("ovsdb_server", "{error}"),
        }
    }
    if let Some(warning) = &opened.warning {
        vlog::err!("ovsdb_server", "{}", warning.error);
    }
    let db_name = opened.db.schema.name.clone();
    add(server, opened.db, opened.log).map_err(|e| e.to_string())?;
    Ok(db_name)
}

fn add(server: &mut Server, db: ovsdb::database::Database, log: LogDb) -> ovsdb::Result<()> {
    server.add_db(db, Some(log), Model::Standalone, now())
}

/// Makes an empty database file of `schema` if there is none at `path`.
///
/// # Errors
/// The text to show.
pub fn create_if_missing(path: &std::path::Path, schema: &DatabaseSchema) -> Result<bool, String> {
    if path.exists() {
        return Ok(false);
    }
    let storage = FileStorage::create(path).map_err(|e| e.to_string())?;
    LogDb::create(Box::new(storage), schema).map_err(|e| e.to_string())?;
    Ok(true)
}

/// Starts a database system: opens the files, then the remotes.
///
/// # Errors
/// The text to end the program with: a file that cannot be opened, a reference that leads nowhere.
pub fn start(family: &Family, mut config: DbConfig) -> Result<DbSystem, String> {
    let inherited = config.legacy.clone().is_some_and(|legacy| legacy.inherit(&mut config));
    let mut server = Server::new(config.seed);
    server.set_column_diff(!config.whole_rows);
    let mut files = std::collections::BTreeMap::new();
    let mut relays = Vec::new();
    let mut seeds = UuidSource::new(config.seed ^ 0x5eed);
    for file in &config.files {
        if let Some(relay) = source::RelaySpec::parse(file)? {
            relay.must_be_new(&server)?;
            server.add_relay(&relay.db, now());
            files.insert(relay.db.clone(), file.clone());
            relays.push(relay);
            continue;
        }
        let seed = u128::from(seeds.next_u64()) << 64 | u128::from(seeds.next_u64());
        let name = open_file(&mut server, file, seed)?;
        files.insert(name.to_string(), file.clone());
    }
    let tls = Tls::new(TlsFiles::default());
    let state = database::State::new(server, files, &config, tls.clone());
    // What an earlier server had may lead nowhere by now.
    for remote in config.remotes.iter().filter(|_| !inherited) {
        // Open vSwitch's text ends its line by itself, and the program ends it again.
        state.check_remote(remote).map_err(|text| text + "\n")?;
    }
    state.check_tls()?;
    let state = Cell::new(Some(state));
    let role = Role::new("database", "database", 512, Strategy::EndsProcess);
    let database = family.hire(role, move |desk, ctx| {
        // It ends the process when it panics, so there is one incarnation only.
        database::Database::begin(desk, ctx, state.take().unwrap_or_default())
    });
    let methods = Arc::new(Methods::new(database.clone()));
    let role = Role::new("remotes", "remotes", 64, Strategy::OneForOne);
    let (to, run_dir) = (database.clone(), config.run_dir.clone());
    let remotes =
        family.hire(role, move |desk, _| remotes::Remotes::new(desk, to.clone(), tls.clone(), run_dir.clone()));
    let _ = database.post(letters::Begin { remotes: remotes.clone(), relays });
    Ok(DbSystem { database, methods, remotes })
}
