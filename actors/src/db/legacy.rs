//! What a database server behind a monitor leaves to the one that is started when it has crashed: the databases, remotes
//! and the replication that control commands have changed. Source: ovsdb-server(1), "Runtime Management Commands".

use super::database::State;
use super::{DbConfig, SyncConfig};
use nix::sys::memfd::{MFdFlags, memfd_create};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{Read, Seek};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// A file without a name that all servers of one monitor share.
#[derive(Debug, Clone)]
pub struct Legacy(Arc<File>);

impl Legacy {
    /// To be made before the monitor is.
    ///
    /// # Errors
    /// The text to end the program with.
    pub fn create() -> Result<Legacy, String> {
        let made = memfd_create("ovsdb-server", MFdFlags::MFD_CLOEXEC);
        made.map(|file| Legacy(Arc::new(file.into())))
            .map_err(|e| format!("failed to create temporary file ({})", e.desc()))
    }

    /// Puts what an earlier server left in the place of what the command line says; false if none left anything.
    pub(super) fn inherit(&self, config: &mut DbConfig) -> bool {
        let mut text = String::new();
        let mut file = &*self.0;
        if file.rewind().and_then(|()| file.read_to_string(&mut text)).is_err() {
            return false;
        }
        let Ok(left) = serde_json::from_str::<Value>(&text) else {
            return false;
        };
        config.files = texts(&left["files"]).collect();
        config.remotes = texts(&left["remotes"]).collect();
        let text = |name: &str| left[name].as_str().map(str::to_owned);
        config.sync = SyncConfig {
            source: text("source"),
            exclude: text("exclude"),
            backup: left["backup"] == true,
            probe_ms: left["probe_ms"].as_u64(),
        };
        true
    }

    pub(super) fn leave(&self, state: &State) {
        let sync = &state.sync;
        let text = json!({
            "files": state.files.values().collect::<Vec<_>>(),
            "remotes": state.remotes,
            "source": sync.source,
            "exclude": sync.exclude,
            "backup": sync.backup,
            "probe_ms": sync.probe_ms,
        })
        .to_string();
        let written = self.0.set_len(0).and_then(|()| self.0.write_all_at(text.as_bytes(), 0));
        if let Err(error) = written {
            let reason = crate::stream::errno_text(&error);
            vlog::err_rl!("ovsdb_server", 60, 5, "failed to write temporary file ({reason})");
        }
    }
}

fn texts(list: &Value) -> impl Iterator<Item = String> {
    list.as_array().into_iter().flatten().filter_map(|text| text.as_str().map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::super::database::State;
    use super::*;

    #[test]
    fn the_next_server_is_as_the_last_one_was() {
        let legacy = Legacy::create().unwrap();
        let given = DbConfig { files: vec!["first".to_owned()], ..DbConfig::default() };
        let mut config = given.clone();
        assert!(!legacy.inherit(&mut config));
        assert_eq!(config.files, given.files);
        let mut state = State::default();
        state.remotes.insert("punix:a".to_owned());
        state.sync.exclude = Some("a:b".to_owned());
        legacy.leave(&state);
        state.files.insert("db".to_owned(), "/db".to_owned());
        state.remotes.clear();
        state.sync = SyncConfig { source: Some("unix:s".to_owned()), exclude: None, backup: true, probe_ms: Some(7) };
        legacy.leave(&state);
        assert!(legacy.clone().inherit(&mut config));
        assert_eq!((config.files, config.remotes.len()), (vec!["/db".to_owned()], 0));
        assert_eq!(config.sync.source.as_deref(), Some("unix:s"));
        assert_eq!((config.sync.exclude, config.sync.backup, config.sync.probe_ms), (None, true, Some(7)));
    }
}
