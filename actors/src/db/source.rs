//! Databases that come from another server: relays (`relay:DB:SOURCE`), and replication of an active server
//! to this backup (`--sync-from`).
//!
//! The machines are the engine's (`ovsdb::replication`); here each has a driver, the actor of its connection.
//! Source: ovsdb(7), "Service Models"; ovsdb-server(1), "Syncing Options".

use super::database::{Database, State};
use super::driver::{Driver, Surroundings};
use super::letters::{FromSource, SyncConfig};
use super::now;
use crate::mailbox::Address;
use crate::stream::Tls;
use crate::supervise::{Family, Role, Strategy};
use jsonrpc::Message;
use ovsdb::replication::{Backup, Failure, Relay, parse_exclusions};
use ovsdb::server::{Server, SessionId};
use std::collections::BTreeMap;
use std::path::PathBuf;
use tokio::sync::mpsc;

/// Messages that may wait for a source.
const OUTBOX: usize = 4096;

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
            Some((db, source)) => Ok(Some(RelaySpec { db: db.to_owned(), source: source.to_owned() })),
            None => Err(format!("ovsdb error: {text}: invalid syntax")),
        }
    }

    /// Refuses a database whose name another one has, or which only the server's own may have.
    pub(super) fn must_be_new(&self, server: &Server) -> Result<(), String> {
        if self.db.starts_with('_') {
            return Err(format!("ovsdb error: {}: names beginning with \"_\" are reserved", self.db));
        }
        match server.db(&self.db) {
            Some(_) => Err(format!("ovsdb error: {}: duplicate database name", self.db)),
            None => Ok(()),
        }
    }
}

/// What a driver has heard.
#[derive(Debug)]
pub(crate) enum Progress {
    /// The connection is up.
    Connected,
    /// It is down.
    Disconnected,
    /// All messages of one read.
    Messages(Vec<Message>),
}

#[derive(Debug)]
enum Machine {
    Relay(Relay),
    Backup(Backup),
}

impl Machine {
    fn poll_output(&mut self) -> Option<Message> {
        match self {
            Machine::Relay(relay) => relay.poll_output(),
            Machine::Backup(backup) => backup.poll_output(),
        }
    }
}

/// A machine and the actor of its connection.
struct Line {
    machine: Machine,
    out: mpsc::Sender<Message>,
    address: Address<Driver>,
    /// Where the copy comes from.
    source: String,
    alive: bool,
}

/// All copies of other servers' databases.
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

    fn start(&mut self, machine: Machine, source: &str, tls: Tls, run_dir: PathBuf, probe_ms: Option<u64>) {
        self.next += 1;
        let number = self.next;
        let (out, inbox) = mpsc::channel(OUTBOX);
        let role = Role::new(format!("ovsdb source {source}"), "source", 4, Strategy::Temporary);
        let around = Surroundings { number, database: self.database.clone(), tls, run_dir, probe_ms };
        let targets = source.to_owned();
        let address = self.family.hire_once(role, move |desk, ctx| Driver::begin(desk, &targets, inbox, around, ctx));
        self.lines.insert(number, Line { machine, out, address, source: source.to_owned(), alive: true });
    }

    /// Begins to relay.
    pub(super) fn start_relay(&mut self, relay: &RelaySpec, state: &State) {
        let machine = Machine::Relay(Relay::new(&relay.db));
        self.start(machine, &relay.source, state.tls.clone(), state.run_dir.clone(), None);
    }

    fn stop_where(&mut self, unwanted: impl Fn(&Machine) -> bool) {
        let gone: Vec<u64> =
            self.lines.iter().filter(|(_, line)| unwanted(&line.machine)).map(|(number, _)| *number).collect();
        for number in gone {
            if let Some(line) = self.lines.remove(&number) {
                self.family.dismiss(line.address.card());
            }
        }
    }

    /// Ends the relay of a database that is no longer served.
    pub(super) fn stop_relay(&mut self, db: &str) {
        self.stop_where(|machine| matches!(machine, Machine::Relay(relay) if relay.name() == db));
    }

    /// A client is gone: what it wanted passed on is not wanted any more.
    pub(super) fn session_ended(&mut self, session: SessionId) {
        for line in self.lines.values_mut() {
            if let Machine::Relay(relay) = &mut line.machine {
                relay.session_ended(session);
            }
        }
    }

    /// Takes the writes to relayed databases from the engine, and sends what the machines want sent.
    pub(super) fn pass_on(&mut self, server: &mut Server) {
        if self.lines.is_empty() {
            return;
        }
        for forward in server.take_forwards() {
            let relay = self.lines.values_mut().find_map(|line| match &mut line.machine {
                Machine::Relay(relay) if relay.name() == &*forward.db => Some(relay),
                Machine::Relay(_) | Machine::Backup(_) => None,
            });
            if let Some(relay) = relay {
                relay.forward(forward);
            }
        }
        for line in self.lines.values_mut() {
            // What is polled must be sent: stop while there is no room.
            while line.out.capacity() > 0 {
                let Some(message) = line.machine.poll_output() else {
                    break;
                };
                let _ = line.out.try_send(message);
            }
        }
    }

    /// How replication stands, in the words of `ovsdb-server/sync-status`.
    fn backup_status(&self) -> Option<String> {
        self.lines.values().find_map(|line| match &line.machine {
            Machine::Backup(backup) => Some(backup.status(&line.source, line.alive)),
            Machine::Relay(_) => None,
        })
    }

    /// Does what is due by time.
    pub(super) fn keep_house(&mut self, server: &mut Server) {
        for line in self.lines.values_mut() {
            if let Machine::Relay(relay) = &mut line.machine {
                relay.handle_timeout(server, now());
            }
        }
    }
}

/// The text of `ovsdb-server/get-sync-exclude-tables`.
pub(super) fn exclude_text(sync: &SyncConfig) -> String {
    let exclusions = parse_exclusions(sync.exclude.as_deref().unwrap_or("")).unwrap_or_default();
    Backup::new(exclusions).excluded_tables()
}

impl Database {
    /// Becomes a backup of the configured source.
    pub(super) fn start_sync(&mut self) {
        let Some(source) = self.state.sync.source.clone() else {
            return;
        };
        self.sources.stop_where(|machine| matches!(machine, Machine::Backup(_)));
        self.state.sync.backup = true;
        self.state.server.set_read_only(true);
        let exclusions = parse_exclusions(self.state.sync.exclude.as_deref().unwrap_or("")).unwrap_or_default();
        let (tls, run_dir, probe) = (self.state.tls.clone(), self.state.run_dir.clone(), self.state.sync.probe_ms);
        self.sources.start(Machine::Backup(Backup::new(exclusions)), &source, tls, run_dir, probe);
    }

    /// Databases came or went: a backup begins anew, with those that there are now.
    pub(super) fn resume_sync(&mut self) {
        if self.state.sync.backup {
            self.start_sync();
        }
    }

    /// Becomes active.
    pub(super) fn stop_sync(&mut self) {
        self.sources.stop_where(|machine| matches!(machine, Machine::Backup(_)));
        self.state.sync.backup = false;
        self.state.server.set_read_only(false);
    }

    /// The text of `ovsdb-server/sync-status`.
    pub(super) fn sync_status(&self) -> String {
        if !self.state.sync.backup {
            return "state: active\n".to_owned();
        }
        let status = self
            .sources
            .backup_status()
            .unwrap_or_else(|| format!("not connected to {}", self.state.sync.source.as_deref().unwrap_or("")));
        format!("state: backup\n{status}")
    }

    /// Acts on what a driver has heard; false if its connection should be closed.
    pub(super) fn hear_source(&mut self, news: FromSource) -> bool {
        let Some(line) = self.sources.lines.get_mut(&news.driver) else {
            return false;
        };
        let server = &mut self.state.server;
        match (news.progress, &mut line.machine) {
            (Progress::Connected, Machine::Relay(relay)) => relay.connected(),
            (Progress::Connected, Machine::Backup(backup)) => backup.connected(),
            (Progress::Disconnected, Machine::Relay(relay)) => relay.disconnected(server, now()),
            (Progress::Disconnected, Machine::Backup(backup)) => backup.disconnected(),
            (Progress::Messages(messages), Machine::Relay(relay)) => {
                for message in messages {
                    if let Err(error) = relay.handle(message, server, now()) {
                        vlog::warn_rl!("relay", 5, 5, "{}: {error}", relay.name());
                        // A fresh connection begins with a fresh copy.
                        return false;
                    }
                }
            }
            (Progress::Messages(messages), Machine::Backup(backup)) => {
                for message in messages {
                    backup.handle(message, server, now());
                    for note in backup.take_notes() {
                        vlog::info!("replication", "{note}");
                    }
                    for _ in 0..backup.take_unexpected() {
                        vlog::warn_rl!("replication", 5, 5, "received unexpected reply");
                    }
                }
                if let Some(failure) = backup.failure() {
                    match failure {
                        Failure::Nothing => vlog::warn!("replication", "Nothing to replicate."),
                        Failure::Error(error) => {
                            vlog::err_rl!("ovsdb_error", 1, 1, "unexpected ovsdb error: {error}");
                        }
                    }
                    // What cannot follow leads.
                    self.stop_sync();
                    return false;
                }
            }
        }
        true
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
