//! The database actor: the engine, its clocks, the sessions it answers, the threads it waits for.
//!
//! It ends the process when it panics; the log on the disk is what it begins from again.

use super::disk::{Disk, tell};
use super::legacy::Legacy;
use super::letters::{
    Backlog, Begin, Compact, Compacted, Control, Deliver, FromSource, Join, Leave, Link, Part, Reannounce,
    ReconnectAll, RemoteOptions, RemoteStatuses, ReportStatus, Requests, Resume, SetRemotes, SyncConfig, Synced,
};
use super::remotes::Remotes;
use super::serving::{ANSWERS_AT_ONCE, Client};
use super::source::Sources;
use super::{DbConfig, change_log, now, reference, status};
use crate::budget;
use crate::mailbox::{Address, Latest};
use crate::memory::PeakWatch;
use crate::stream::{Method, OVSDB_PORT, Tls, TlsFiles};
use crate::supervise::{Desk, Family, Player};
use crate::{clock, stream};
use actix::fut::ActorFuture;
use actix::prelude::*;
use ovsdb::log::{self, Progress};
use ovsdb::server::{Model, Output, Server, SessionId, Text, Ticket};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use tokio::sync::oneshot;

/// How often status columns and thresholds are looked at, in milliseconds.
const HOUSEKEEPING_MS: i64 = 2500;
/// Bytes that may wait here for a session whose mailbox is full.
const PENDING_AT_MOST: usize = 64 << 20;

/// A reply that waits for the disk.
struct Held {
    seq: u64,
    session: SessionId,
    text: Text,
}

#[derive(Default)]
struct LogState {
    held: VecDeque<Held>,
    /// The disk has the log up to here.
    synced: u64,
    syncing: bool,
}

type CompactReply = oneshot::Sender<Result<(), String>>;

/// Everything but the desk: made before the actor, so that errors reach the command line.
pub(super) struct State {
    pub(super) server: Server,
    /// What each database was opened from.
    pub(super) files: BTreeMap<String, String>,
    pub(super) remotes: BTreeSet<String>,
    pub(super) tls_names: TlsFiles,
    pub(super) tls: Tls,
    pub(super) run_dir: PathBuf,
    pub(super) seed: u128,
    pub(super) logged_tables: BTreeSet<(String, String)>,
    pub(super) sync: SyncConfig,
    pub(super) legacy: Option<Legacy>,
}

impl Default for State {
    fn default() -> State {
        State::new(Server::new(0), BTreeMap::new(), &DbConfig::default(), Tls::default())
    }
}

impl State {
    pub(super) fn new(server: Server, files: BTreeMap<String, String>, config: &DbConfig, tls: Tls) -> State {
        State {
            server,
            files,
            remotes: config.remotes.clone(),
            tls_names: config.tls.clone(),
            tls,
            run_dir: config.run_dir.clone(),
            seed: config.seed,
            logged_tables: BTreeSet::new(),
            sync: config.sync.clone(),
            legacy: config.legacy.clone(),
        }
    }

    /// Judges the references among the TLS options.
    pub(super) fn check_tls(&self) -> Result<(), String> {
        let faults = self.tls_words().filter_map(|name| reference::read_string(&self.server, name).err());
        let faults: String = faults.map(|text| text + "\n").collect();
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }

    /// The TLS options that may be references.
    fn tls_words(&self) -> impl Iterator<Item = &str> {
        let names = &self.tls_names;
        let paths = [&names.private_key, &names.certificate, &names.ca_cert, &names.peer_ca_cert];
        let lists = [&names.protocols, &names.ciphers].into_iter().flatten().map(|list| &**list);
        paths.into_iter().flatten().filter_map(|p| p.to_str()).chain(lists)
    }

    pub(super) fn check_remote(&self, name: &str) -> Result<(), String> {
        reference::check_first_remote(&self.server, name)
    }
}

/// The actor that owns every database of the process.
pub struct Database {
    desk: Desk,
    pub(super) state: State,
    pub(super) clients: BTreeMap<SessionId, Client>,
    /// Clients with something pending.
    pub(super) touched: BTreeSet<SessionId>,
    /// Clients whose slice was over before their requests were, in the order of their turns.
    pub(super) behind: VecDeque<SessionId>,
    logs: BTreeMap<Arc<str>, LogState>,
    disk: Option<Disk>,
    myself: Address<Database>,
    to_remotes: Option<(Address<Remotes>, Latest<SetRemotes>)>,
    /// What the remotes were last told.
    told: BTreeMap<String, RemoteOptions>,
    /// What the configuration was read from.
    read_from: Option<reference::Footing>,
    /// What was wrong with it: with remotes, and with TLS options.
    complaints: [reference::Complaint; 2],
    /// Who waits for the end of a compaction.
    compactions: BTreeMap<Arc<str>, Vec<CompactReply>>,
    pub(super) sources: Sources,
    next_housekeeping_ms: i64,
    peak: PeakWatch,
}

impl Database {
    pub(super) fn begin(desk: Desk, ctx: &mut Context<Self>, state: State) -> Database {
        ctx.spawn(Flush);
        let myself = Address::of_running(ctx.address(), desk.card().clone());
        let disk = match Disk::start(myself.clone()) {
            Ok(disk) => Some(disk),
            Err(error) => {
                vlog::emer!("ovsdb_server", "could not start the fsync thread ({})", stream::errno_text(&error));
                None
            }
        };
        let family = Family::of(&desk);
        Database {
            desk,
            state,
            clients: BTreeMap::new(),
            touched: BTreeSet::new(),
            behind: VecDeque::new(),
            logs: BTreeMap::new(),
            disk,
            sources: Sources::new(family, myself.clone()),
            myself,
            to_remotes: None,
            told: BTreeMap::new(),
            read_from: None,
            complaints: Default::default(),
            compactions: BTreeMap::new(),
            next_housekeeping_ms: 0,
            peak: PeakWatch::new(),
        }
    }

    /// Moves what the engine has to say to the clients it is for.
    pub(super) fn collect(&mut self) {
        for output in self.state.server.take_outputs() {
            match output {
                Output::Send { session, text, ticket } => self.send(session, text, ticket),
                Output::Close { session, reason } => {
                    if let Some(client) = self.clients.get_mut(&session) {
                        client.close = Some(reason);
                        self.touched.insert(session);
                    }
                }
            }
        }
    }

    /// A text leaves when the disk has what it waits for, and not before what was to leave before it.
    fn send(&mut self, session: SessionId, text: Text, ticket: Option<Ticket>) {
        let Some(client) = self.clients.get_mut(&session) else { return };
        let ticket = ticket.filter(|ticket| self.logs.get(&ticket.db).is_none_or(|log| log.synced < ticket.seq));
        let Some(Ticket { db, seq }) = ticket.or_else(|| client.held_by.clone()) else {
            return self.pend(session, text);
        };
        client.held_bytes += text.size();
        client.held_by = Some(Ticket { db: db.clone(), seq });
        self.logs.entry(db).or_default().held.push_back(Held { seq, session, text });
    }

    pub(super) fn pend(&mut self, session: SessionId, text: Text) {
        let Some(client) = self.clients.get_mut(&session) else {
            return;
        };
        if client.pending_bytes > PENDING_AT_MOST {
            client.pending.clear();
            client.close = Some("too much waits for it".to_owned());
        } else {
            client.pending_bytes += text.size();
            client.pending.push(text);
        }
        self.touched.insert(session);
    }

    /// The end of a wake: everything leaves, one message a client; the disk gets its work.
    fn flush(&mut self) {
        self.sources.pass_on(&mut self.state.server);
        if !self.state.logged_tables.is_empty() {
            change_log::tell(&mut self.state.server, &self.state.logged_tables);
        }
        for (note, error) in self.state.server.take_write_faults() {
            vlog::warn!("ovsdb_log", "{note}");
            vlog::err!("ovsdb_server", "{error}");
        }
        for note in self.state.server.take_rbac_notes() {
            change_log::tell_of_roles(&note);
        }
        self.collect();
        let touched = std::mem::take(&mut self.touched);
        for session in touched {
            if !self.deliver(session) {
                self.touched.insert(session);
            }
        }
        self.sync_logs();
        self.go_on_compacting();
        self.read_configuration();
        self.arm();
    }

    /// Sends a client what waits for it; false if it has no room now.
    fn deliver(&mut self, session: SessionId) -> bool {
        let Some(client) = self.clients.get_mut(&session) else {
            return true;
        };
        // Who is to go still gets the replies that wait for the disk.
        let waits = client.close.is_some() && client.held_bytes > 0;
        let texts = std::mem::take(&mut client.pending);
        let bytes = std::mem::take(&mut client.pending_bytes);
        match &client.link {
            Link::Actor(address) => {
                let close = if waits { None } else { client.close.take() };
                let pause = bytes >= ANSWERS_AT_ONCE;
                client.paused |= pause;
                let last = client.parting && client.requests.is_empty() && client.held_bytes == 0;
                let letter = Deliver { session, texts, pause, behind: client.behind, last, close };
                if let Err(back) = address.post(letter) {
                    client.pending = back.texts;
                    client.pending_bytes = bytes;
                    client.close = client.close.take().or(back.close);
                    // A dead session has told so, or will.
                    return !address.is_connected();
                }
                if last {
                    self.leave(session);
                }
                true
            }
            Link::Channel(sender) => {
                let lost = texts.into_iter().any(|text| sender.try_send(text).is_err());
                if lost || client.close.is_some() && !waits {
                    self.leave(session);
                }
                true
            }
        }
    }

    /// Sends what waited for the disk.
    fn release(&mut self, replies: Vec<Held>) {
        let sessions: BTreeSet<SessionId> = replies.iter().map(|held| held.session).collect();
        for Held { session, text, .. } in replies {
            if let Some(client) = self.clients.get_mut(&session) {
                client.held_bytes = client.held_bytes.saturating_sub(text.size());
                if client.held_bytes == 0 {
                    client.held_by = None;
                }
            }
            self.pend(session, text);
        }
        for session in sessions {
            self.serve(session);
        }
    }

    fn leave(&mut self, session: SessionId) {
        if self.clients.remove(&session).is_some() {
            self.state.server.disconnect(session);
            self.sources.session_ended(session);
            for log in self.logs.values_mut() {
                log.held.retain(|held| held.session != session);
            }
            self.collect();
        }
    }

    fn sync_logs(&mut self) {
        let Some(disk) = &self.disk else {
            return;
        };
        let mut redeemed = Vec::new();
        for (name, log) in &mut self.logs {
            if log.held.is_empty() || log.syncing {
                continue;
            }
            match self.state.server.sync_job(name) {
                Some((seq, Ok(work))) => log.syncing = disk.sync(name.clone(), seq, work),
                Some((_, Err(error))) => {
                    vlog::err_rl!("ovsdb_log", 60, 5, "{name}: fsync failed ({})", stream::errno_text(&error));
                }
                None => redeemed.extend(log.held.drain(..)),
            }
        }
        self.release(redeemed);
    }

    /// Reads remotes and TLS files from the databases, if those have changed since.
    fn read_configuration(&mut self) {
        let Some((_, latest)) = &self.to_remotes else {
            return;
        };
        let server = &self.state.server;
        if self.read_from.as_ref().is_some_and(|footing| footing.stands(server)) {
            return;
        }
        let names = self.state.remotes.iter().map(String::as_str).chain(self.state.tls_words());
        self.read_from = Some(reference::Footing::of(server, names));
        let (remotes, faults) = reference::read_remotes(server, &self.state.remotes);
        self.complaints[0].tell(&faults);
        let (files, faults) = self.read_tls();
        self.complaints[1].tell(&faults);
        self.state.tls.configure(files);
        if remotes != self.told {
            latest.send(SetRemotes { remotes: remotes.clone() });
            self.told = remotes;
        }
    }

    /// Forgets what was read, so that it is read again at the end of this wake.
    pub(super) fn reread(&mut self) {
        self.read_from = None;
    }

    /// What the TLS options say, and what is wrong with references among them.
    fn read_tls(&self) -> (TlsFiles, Vec<String>) {
        let server = &self.state.server;
        let names = &self.state.tls_names;
        let faults = self.state.tls_words().filter_map(|name| reference::read_string(server, name).err()).collect();
        let string = |name: &str| reference::read_string(server, name).ok().flatten();
        let read = |path: &Option<PathBuf>| string(path.as_ref()?.to_str()?).map(PathBuf::from);
        let mut files = TlsFiles {
            private_key: read(&names.private_key),
            certificate: read(&names.certificate),
            ca_cert: read(&names.ca_cert),
            bootstrap: names.bootstrap,
            peer_ca_cert: read(&names.peer_ca_cert),
            protocols: names.protocols.as_deref().and_then(string),
            ciphers: names.ciphers.as_deref().and_then(string),
        };
        // The SSL table says by itself whether to bootstrap; the option's form is what counts, as in 3.1.
        files.bootstrap = names.bootstrap;
        (files, faults)
    }

    fn arm(&mut self) {
        let now_ms = clock::now_ms();
        if !self.touched.is_empty() {
            return self.desk.arm(Some((now_ms + 1, "a session's mailbox is full")));
        }
        let mut deadline = (self.next_housekeeping_ms, "housekeeping");
        if let Some((at, why)) = self.state.server.poll_timeout() {
            let at = i64::try_from(at).unwrap_or(i64::MAX);
            if at < deadline.0 {
                deadline = (at, why);
            }
        }
        self.desk.arm(Some(deadline));
    }

    fn keep_house(&mut self) {
        if let Some((remotes, _)) = &self.to_remotes {
            let _ = remotes.post(ReportStatus);
        }
        self.sources.keep_house(&mut self.state.server);
        crate::unixctl::coverage::turn(clock::now_ms());
        if self.peak.look(clock::now_ms()) {
            vlog::info!("memory", "{}", self.memory());
        }
        for name in self.state.server.compaction_due(now()) {
            vlog::info!("ovsdb_server", "{name}: compacting database online");
            if let Err(text) = self.compact(&name, "compacting database online", None) {
                vlog::warn_rl!("ovsdb_server", 1, 1, "{name}: {text}");
            }
        }
    }

    /// Takes the next rows for compactions, and has those that are all there written by threads of their own.
    fn go_on_compacting(&mut self) {
        for job in self.state.server.gather(budget::WALK_SLICE) {
            let name = job.name().to_owned();
            self.write_compaction(&name, move || log::Compacted::Written(job.run()));
        }
        // Whose database has got other contents, or is gone.
        let moot = self.compactions.keys().filter(|name| !self.state.server.is_compacting(name));
        for name in moot.cloned().collect::<Vec<_>>() {
            self.answer_compaction(&name, &Ok(()));
        }
    }

    /// Has something written by a thread of its own.
    fn write_compaction(&mut self, name: &str, write: impl FnOnce() -> log::Compacted + Send + 'static) {
        let myself = self.myself.clone();
        let spawned = std::thread::Builder::new()
            .name("ovsdb-compact".into())
            .spawn(move || tell(&myself, Compacted { done: write() }));
        if let Err(error) = spawned {
            self.state.server.abandon_compaction(name);
            let text = stream::errno_text(&error);
            vlog::warn_rl!("ovsdb_server", 1, 1, "{name}: {text}");
            self.answer_compaction(name, &Err(text));
        }
    }

    fn answer_compaction(&mut self, name: &str, result: &Result<(), String>) {
        for reply in self.compactions.remove(name).unwrap_or_default() {
            let _ = reply.send(result.clone());
        }
    }

    /// Begins a compaction.
    fn compact(&mut self, name: &Arc<str>, comment: &str, reply: Option<CompactReply>) -> Result<(), String> {
        self.state.server.begin_compaction(name, comment, now()).map_err(|error| error.to_string())?;
        self.compactions.entry(name.clone()).or_default().extend(reply);
        Ok(())
    }

    fn compact_by_request(
        &mut self,
        name: Option<String>,
    ) -> Result<Vec<oneshot::Receiver<Result<(), String>>>, String> {
        let chosen: Vec<Arc<str>> = match &name {
            None => {
                let logged = |n: &&Arc<str>| n.as_ref() != ovsdb::server::SERVER_DB;
                self.state.server.db_names().filter(logged).cloned().collect()
            }
            Some(name) if name == ovsdb::server::SERVER_DB => {
                return Err("cannot compact built-in databases".to_owned());
            }
            Some(name) => {
                let found = self.state.server.db_names().find(|n| n.as_ref() == name.as_str()).cloned();
                vec![found.ok_or("no database by that name")?]
            }
        };
        let mut waits = Vec::new();
        for name in chosen {
            vlog::info!("ovsdb_server", "compacting {name} database by user request");
            if self.state.server.model(&name) == Some(Model::Relay) {
                // Its source has the log.
                continue;
            }
            let (reply, wait) = oneshot::channel();
            self.compact(&name, "compacting database online", Some(reply))?;
            waits.push(wait);
        }
        Ok(waits)
    }

    /// Sessions, for `memory/show`: connections, and remotes to be connected to that are not.
    pub(super) fn session_count(&self) -> usize {
        let is_active =
            |name: &&String| !Method::parse(name, OVSDB_PORT, &self.state.run_dir).is_ok_and(|m| m.is_passive());
        let made = self.clients.values().filter(|client| client.active).count();
        self.state.server.usage().sessions.saturating_sub(made) + self.told.keys().filter(is_active).count()
    }

    pub(super) fn remotes(&self) -> Option<&Address<Remotes>> {
        self.to_remotes.as_ref().map(|(address, _)| address)
    }
}

/// Runs at the end of each wake: after the mailbox is empty.
struct Flush;

impl ActorFuture<Database> for Flush {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        database: &mut Database,
        _: &mut Context<Database>,
        task: &mut TaskContext<'_>,
    ) -> Poll<()> {
        database.serve_next();
        database.flush();
        if database.state.server.is_gathering() || !database.behind.is_empty() {
            // The next rows and requests when all sockets have been looked at: who wakes itself is looked at ahead of them.
            let _later = pin!(tokio::task::yield_now()).poll(task);
        }
        Poll::Pending
    }
}

impl Actor for Database {
    type Context = Context<Self>;
}

impl Player for Database {
    fn desk(&mut self) -> &mut Desk {
        &mut self.desk
    }

    fn wake(&mut self, now_ms: i64, _: &mut Context<Self>) {
        self.state.server.handle_timeout(now());
        if now_ms >= self.next_housekeeping_ms {
            self.next_housekeeping_ms = now_ms + HOUSEKEEPING_MS;
            self.keep_house();
        }
        self.flush();
    }
}

impl Handler<Begin> for Database {
    type Result = ();

    fn handle(&mut self, begin: Begin, _: &mut Context<Self>) {
        self.desk.received();
        let latest = begin.remotes.outlet::<SetRemotes>().latest();
        self.to_remotes = Some((begin.remotes, latest));
        for relay in begin.relays {
            self.sources.start_relay(&relay, &self.state);
        }
        if self.state.sync.backup && self.state.sync.source.is_some() {
            self.start_sync();
        }
    }
}

impl Handler<Join> for Database {
    type Result = ();

    fn handle(&mut self, join: Join, _: &mut Context<Self>) {
        self.desk.received();
        self.state.server.connect(join.session, join.info);
        self.clients.insert(join.session, Client::new(join.link, join.active));
    }
}

impl Handler<Requests> for Database {
    type Result = ();

    fn handle(&mut self, requests: Requests, _: &mut Context<Self>) {
        self.desk.received();
        if let Some(client) = self.clients.get_mut(&requests.session) {
            client.requests.extend(requests.messages);
            self.serve(requests.session);
        }
    }
}

impl Handler<Resume> for Database {
    type Result = ();

    fn handle(&mut self, resume: Resume, _: &mut Context<Self>) {
        self.desk.received();
        if let Some(client) = self.clients.get_mut(&resume.session) {
            client.paused = false;
            self.serve(resume.session);
        }
    }
}

impl Handler<Part> for Database {
    type Result = ();

    fn handle(&mut self, part: Part, _: &mut Context<Self>) {
        self.desk.received();
        if let Some(client) = self.clients.get_mut(&part.session) {
            client.parting = true;
            self.touched.insert(part.session);
        }
    }
}

impl Handler<Leave> for Database {
    type Result = ();

    fn handle(&mut self, leave: Leave, _: &mut Context<Self>) {
        self.desk.received();
        self.leave(leave.session);
    }
}

impl Handler<Backlog> for Database {
    type Result = ();

    fn handle(&mut self, backlog: Backlog, _: &mut Context<Self>) {
        self.desk.received();
        self.state.server.set_backlogged(backlog.session, backlog.waits);
        self.collect();
    }
}

impl Handler<Reannounce> for Database {
    type Result = ();

    fn handle(&mut self, _: Reannounce, _: &mut Context<Self>) {
        self.desk.received();
        self.told.clear();
        self.reread();
    }
}

impl Handler<RemoteStatuses> for Database {
    type Result = ();

    fn handle(&mut self, report: RemoteStatuses, _: &mut Context<Self>) {
        self.desk.received();
        let updates = status::updates(&self.state.server, &self.state.remotes, &report.statuses);
        for (db, ops) in updates {
            if self.state.server.all_read_only() {
                continue;
            }
            if let Err(error) = self.state.server.transact_internal(&db, &ops, now()) {
                vlog::warn_rl!("ovsdb_server", 1, 1, "{db}: updating status columns: {error}");
            }
        }
        self.collect();
    }
}

impl Handler<Synced> for Database {
    type Result = ();

    fn handle(&mut self, synced: Synced, _: &mut Context<Self>) {
        self.desk.received();
        let Some(log) = self.logs.get_mut(&synced.db) else {
            return;
        };
        log.syncing = false;
        if let Some(text) = synced.error {
            // Nothing may be promised that the disk refused: the replies stay back, and it is tried again.
            vlog::err_rl!("ovsdb_log", 60, 5, "{}: fsync failed ({text})", synced.db);
            return;
        }
        log.synced = log.synced.max(synced.seq);
        let mut free = Vec::new();
        while log.held.front().is_some_and(|held| held.seq <= log.synced) {
            free.extend(log.held.pop_front());
        }
        self.release(free);
    }
}

impl Handler<Compacted> for Database {
    type Result = ();

    fn handle(&mut self, compacted: Compacted, _: &mut Context<Self>) {
        self.desk.received();
        let name = compacted.done.name().to_owned();
        let result = match self.state.server.finish_compaction(compacted.done, now()) {
            None => return,
            Some(Progress::CatchUp(more)) => {
                return self.write_compaction(&name, move || log::Compacted::Written(more.run()));
            }
            Some(Progress::Place(place)) => {
                return self.write_compaction(&name, move || log::Compacted::Placed(place.run()));
            }
            Some(Progress::Over(result)) => result,
        };
        if let Err(error) = &result {
            let details = error.details.as_deref().unwrap_or_default();
            vlog::warn!("ovsdb_log", "{details} ({})", error.io_error.as_deref().unwrap_or_default());
            if self.compactions.get(name.as_str()).is_none_or(Vec::is_empty) {
                vlog::warn!("ovsdb_server", "{error}");
            }
        }
        self.answer_compaction(&name, &result.map_err(|error| error.to_string()));
    }
}

impl Handler<Compact> for Database {
    type Result = Result<Vec<oneshot::Receiver<Result<(), String>>>, String>;

    fn handle(&mut self, compact: Compact, _: &mut Context<Self>) -> Self::Result {
        self.desk.received();
        self.compact_by_request(compact.0)
    }
}

impl Handler<Control> for Database {
    type Result = Result<String, String>;

    fn handle(&mut self, control: Control, _: &mut Context<Self>) -> Self::Result {
        self.desk.received();
        let answer = self.obey(control);
        self.collect();
        answer
    }
}

impl Handler<FromSource> for Database {
    type Result = bool;

    fn handle(&mut self, news: FromSource, _: &mut Context<Self>) -> bool {
        self.desk.received();
        let go_on = self.hear_source(news);
        self.collect();
        go_on
    }
}

impl Database {
    /// Drops every connection; the log says why.
    pub(super) fn reconnect_all(&mut self, reason: &'static str) {
        if let Some(remotes) = self.remotes() {
            let _ = remotes.post(ReconnectAll(reason));
        }
    }
}
