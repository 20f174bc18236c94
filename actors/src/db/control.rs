//! The database's control commands: `ovsdb-server/…`, `memory/show`. Source: ovsdb-server(1), "Runtime
//! Management Commands"; texts as Open vSwitch 3.1's.

use super::database::Database;
use super::letters::{Compact, Control, SyncChange};
use super::source::RelaySpec;
use super::source::exclude_text;
use super::{open_file, reference};
use crate::db::now;
use crate::mailbox::Address;
use crate::unixctl::{Answer, Commands};
use ovsdb::server::SERVER_DB;
use std::fmt::Write;
use std::time::Duration;

/// How long a control command waits for the database.
const PATIENCE: Duration = Duration::from_secs(60);

async fn ask(database: Address<Database>, control: Control) -> Answer {
    database.ask(control, PATIENCE).await.map_err(|e| e.to_string())?
}

/// Registers the commands of `ovsdb-server`.
pub fn add_commands(commands: &mut Commands, database: &Address<Database>) {
    let mut add = |name, usage, args, make: fn(Vec<String>) -> Control| {
        let database = database.clone();
        commands.add_later(name, usage, args, args, move |args| ask(database.clone(), make(args)));
    };
    add("ovsdb-server/list-dbs", "", 0, |_| Control::ListDbs);
    add("ovsdb-server/add-db", "DB", 1, |a| Control::AddDb(one(a)));
    add("ovsdb-server/remove-db", "DB", 1, |a| Control::RemoveDb(one(a)));
    add("ovsdb-server/list-remotes", "", 0, |_| Control::ListRemotes);
    add("ovsdb-server/add-remote", "REMOTE", 1, |a| Control::AddRemote(one(a)));
    add("ovsdb-server/remove-remote", "REMOTE", 1, |a| Control::RemoveRemote(one(a)));
    add("ovsdb-server/reconnect", "", 0, |_| Control::Reconnect);
    add("ovsdb-server/disable-monitor-cond", "", 0, |_| Control::DisableMonitorCond);
    add("ovsdb-server/get-db-storage-status", "DB", 1, |a| Control::StorageStatus(one(a)));
    add("ovsdb-server/tlog-list", "", 0, |_| Control::TlogList);
    add("ovsdb-server/tlog-set", "DB:TABLE on|off", 2, |a| {
        let mut words = a.into_iter();
        Control::TlogSet(words.next().unwrap_or_default(), words.next().unwrap_or_default())
    });
    add("memory/show", "", 0, |_| Control::Memory);
    add("ovsdb-server/set-active-ovsdb-server", "", 1, |a| Control::Sync(SyncChange::Source(one(a))));
    add("ovsdb-server/get-active-ovsdb-server", "", 0, |_| Control::SyncSource);
    add("ovsdb-server/connect-active-ovsdb-server", "", 0, |_| Control::Sync(SyncChange::Connect));
    add("ovsdb-server/disconnect-active-ovsdb-server", "", 0, |_| Control::Sync(SyncChange::Disconnect));
    add("ovsdb-server/set-sync-exclude-tables", "", 1, |a| Control::Sync(SyncChange::Exclude(one(a))));
    add("ovsdb-server/get-sync-exclude-tables", "", 0, |_| Control::SyncExclude);
    add("ovsdb-server/sync-status", "", 0, |_| Control::SyncStatus);
    let to = database.clone();
    commands.add_later("ovsdb-server/set-active-ovsdb-server-probe-interval", "", 1, 1, move |args| {
        let (to, number) = (to.clone(), one(args).parse::<i32>());
        async move {
            match number {
                // The machine takes what is less than a second for a second, but for zero.
                Ok(ms) => ask(to, Control::Sync(SyncChange::Probe(u64::try_from(ms).unwrap_or(1)))).await,
                Err(_) => Ok("Invalid probe interval, integer value expected".to_owned()),
            }
        }
    });
    let to = database.clone();
    commands.add_later("ovsdb-server/compact", "", 0, 1, move |args| compact(to.clone(), args.into_iter().next()));
    add_fixed(commands);
}

/// Commands that need no database.
fn add_fixed(commands: &mut Commands) {
    commands.add("ovsdb-server/perf-counters-show", "", 0, 0, |_| {
        Ok("performance counter is not supported on this platform\n".to_owned())
    });
    commands.add("ovsdb-server/perf-counters-clear", "", 0, 0, |_| Ok(String::new()));
    commands.add("ovsdb-server/memory-trim-on-compaction", "on|off", 1, 1, |args| {
        let word = match args[0].as_str() {
            "on" => "enabled",
            "off" => "disabled",
            _ => return Err("invalid argument".to_owned()),
        };
        vlog::info!("ovsdb_server", "memory trimming after compaction {word}.");
        Ok(String::new())
    });
}

fn one(args: Vec<String>) -> String {
    args.into_iter().next().unwrap_or_default()
}

async fn compact(database: Address<Database>, name: Option<String>) -> Answer {
    let waits = database.ask(Compact(name), PATIENCE).await.map_err(|e| e.to_string())??;
    let mut errors = String::new();
    for wait in waits {
        if let Ok(Err(text)) = wait.await {
            let _ = writeln!(errors, "{text}");
        }
    }
    if errors.is_empty() { Ok(String::new()) } else { Err(errors) }
}

impl Database {
    /// Carries out one control command.
    pub(super) fn obey(&mut self, control: Control) -> Answer {
        let changes = matches!(
            control,
            Control::AddDb(_)
                | Control::RemoveDb(_)
                | Control::AddRemote(_)
                | Control::RemoveRemote(_)
                | Control::Sync(_)
        );
        let answer = self.carry_out(control);
        if let (true, Some(legacy)) = (changes, &self.state.legacy) {
            legacy.leave(&self.state);
        }
        answer
    }

    fn carry_out(&mut self, control: Control) -> Answer {
        match control {
            Control::ListDbs => Ok(self.state.server.db_names().map(|n| format!("{n}\n")).collect()),
            Control::AddDb(file) => self.add_db(&file),
            Control::RemoveDb(name) => self.remove_db(&name),
            Control::TakeLeave => {
                self.state.server.take_leave();
                Ok(String::new())
            }
            Control::ListRemotes => Ok(self.state.remotes.iter().map(|r| format!("{r}\n")).collect()),
            Control::AddRemote(remote) => {
                reference::check_remote(&self.state.server, &remote)?;
                self.state.remotes.insert(remote);
                self.reread();
                Ok(String::new())
            }
            Control::RemoveRemote(remote) => {
                if !self.state.remotes.remove(&remote) {
                    return Err("no such remote".to_owned());
                }
                self.reread();
                Ok(String::new())
            }
            Control::Reconnect => {
                self.reconnect_all("user ran ovsdb-server/reconnect");
                Ok(String::new())
            }
            Control::DisableMonitorCond => {
                self.state.server.disable_monitor_cond();
                self.reconnect_all("user ran ovsdb-server/disable-monitor-cond");
                Ok(String::new())
            }
            Control::StorageStatus(name) => match self.state.server.db(&name) {
                Some(_) => Ok("status: ok".to_owned()),
                None => Err("Failed to find the database.".to_owned()),
            },
            Control::TlogSet(table, word) => self.tlog_set(&table, &word),
            Control::TlogList => Ok(self.tlog_list()),
            Control::Memory => Ok(self.memory()),
            Control::Sync(change) => self.change_sync(change),
            Control::SyncSource => Ok(self.state.sync.source.clone().unwrap_or_default()),
            Control::SyncExclude => Ok(exclude_text(&self.state.sync)),
            Control::SyncStatus => Ok(self.sync_status()),
            Control::SetTls(files) => {
                self.state.tls_names = files;
                self.reread();
                Ok(String::new())
            }
        }
    }

    fn add_db(&mut self, file: &str) -> Answer {
        if let Some(relay) = RelaySpec::parse(file)? {
            relay.must_be_new(&self.state.server)?;
            self.state.server.add_relay(&relay.db, now());
            self.state.files.insert(relay.db.clone(), file.to_owned());
            self.sources.start_relay(&relay, &self.state);
            return Ok(String::new());
        }
        let path = std::fs::canonicalize(file).map_or_else(|_| file.to_owned(), |p| p.display().to_string());
        let known = |f: &String| std::fs::canonicalize(f).is_ok_and(|p| p.display().to_string() == path);
        if self.state.files.values().any(known) {
            return Err(format!("ovsdb error: {file}: already open"));
        }
        let seed = u128::from(self.state.server.fresh_uuid().to_text()[0]) ^ self.state.seed.rotate_left(17);
        let name = open_file(&mut self.state.server, file, seed)?;
        // Whoever opens it again may be in another directory.
        let lasting = std::path::absolute(file).map_or_else(|_| file.to_owned(), |p| p.display().to_string());
        self.state.files.insert(name.to_string(), lasting);
        self.reread();
        self.resume_sync();
        Ok(String::new())
    }

    fn remove_db(&mut self, name: &str) -> Answer {
        if name == SERVER_DB {
            return Err("Cannot remove reserved database.".to_owned());
        }
        self.sources.stop_relay(name);
        match self.state.server.remove_db(name, now()) {
            Some(_) => {
                self.state.files.remove(name);
                self.reread();
                self.resume_sync();
                Ok(String::new())
            }
            None => Err("Failed to find the database.".to_owned()),
        }
    }

    fn tlog_set(&mut self, spec: &str, word: &str) -> Answer {
        let (db, table) = spec.split_once(':').ok_or("invalid DB:TABLE argument")?;
        let known = self.state.server.db(db).ok_or("no such database")?;
        known.table(table).ok_or("no such table")?;
        let key = (db.to_owned(), table.to_owned());
        match word {
            "on" => self.state.logged_tables.insert(key),
            "off" => self.state.logged_tables.remove(&key),
            _ => return Err("invalid command argument".to_owned()),
        };
        let any = !self.state.logged_tables.is_empty();
        self.state.server.keep_commits(any);
        Ok(String::new())
    }

    fn tlog_list(&self) -> String {
        let mut out = String::from(
            "database        table                       logging\n--------        -----                       -------\n",
        );
        for name in self.state.server.db_names() {
            let _ = writeln!(out, "{name:<16} ");
            let tables = self.state.server.db(name).map(|db| db.tables()).unwrap_or_default();
            for table in tables {
                let key = (name.to_string(), table.schema.name.to_string());
                let word = if self.state.logged_tables.contains(&key) { "ON" } else { "OFF" };
                let _ = writeln!(out, "                {:<27} {word}", table.schema.name);
            }
        }
        out
    }

    /// The figures of `memory/show`.
    pub(super) fn memory(&self) -> String {
        let server = &self.state.server;
        let usage = server.usage();
        let weak = server.db_names().filter_map(|n| server.db(n)).map(|db| db.weak_count()).sum();
        let mut figures = vec![
            ("atoms", usage.atoms),
            ("cells", usage.cells),
            ("monitors", usage.monitors),
            ("n-weak-refs", weak),
            ("sessions", self.session_count()),
            ("triggers", usage.triggers),
            ("txn-history", usage.history),
        ];
        figures.retain(|(name, count)| *count > 0 || matches!(*name, "atoms" | "cells" | "monitors" | "n-weak-refs"));
        let words: Vec<String> = figures.iter().map(|(name, count)| format!("{name}:{count}")).collect();
        words.join(" ")
    }

    fn change_sync(&mut self, change: SyncChange) -> Answer {
        match change {
            // What is being copied goes on being copied, until one connects anew.
            SyncChange::Source(source) => self.state.sync.source = Some(source),
            SyncChange::Exclude(tables) => {
                self.state.sync.exclude = Some(tables);
                if self.state.sync.backup {
                    self.start_sync();
                }
            }
            SyncChange::Connect => {
                if self.state.sync.source.is_none() {
                    return Ok("Unable to connect: active server is not specified.\n".to_owned());
                }
                self.start_sync();
            }
            SyncChange::Disconnect => self.stop_sync(),
            SyncChange::Probe(ms) => {
                self.state.sync.probe_ms = Some(ms);
                if self.state.sync.backup {
                    self.start_sync();
                }
            }
        }
        Ok(String::new())
    }
}
