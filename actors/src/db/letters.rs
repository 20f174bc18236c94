//! The envelopes of the database's actors: who says what to whom.

use super::remotes::Remotes;
use super::session::Session;
use super::source::{Progress, RelaySpec};
use crate::mailbox::Address;
use crate::stream::TlsFiles;
use actix::Message;
use ovsdb::log;
use ovsdb::server::{SessionId, SessionInfo, Text};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::mpsc;

/// How a session is reached.
#[derive(Debug, Clone)]
pub enum Link {
    /// By its actor.
    Actor(Address<Session>),
    /// By a bounded channel: a JSON-RPC 2.0 client's call or subscription.
    Channel(mpsc::Sender<Text>),
}

/// Replication as the command line or a control command sets it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SyncConfig {
    /// `--sync-from`.
    pub source: Option<String>,
    /// `--sync-exclude-tables`, as given.
    pub exclude: Option<String>,
    /// Whether to replicate now.
    pub backup: bool,
    /// Silence before the source is probed, in milliseconds.
    pub probe_ms: Option<u64>,
}

/// How connections of one remote are treated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteOptions {
    /// Longest wait between attempts, in milliseconds.
    pub max_backoff_ms: u64,
    /// Silence before a probe, in milliseconds; zero for none.
    pub probe_ms: u64,
    /// Whether clients may only read.
    pub read_only: bool,
    /// The role for role-based access control.
    pub role: Option<String>,
    /// The mark of outgoing packets.
    pub dscp: u8,
}

impl RemoteOptions {
    /// What a remote gets that nothing is said about: local ones are not probed.
    pub fn for_target(target: &str) -> RemoteOptions {
        let local = target.starts_with("unix:") || target.starts_with("punix:");
        RemoteOptions {
            max_backoff_ms: 8000,
            probe_ms: if local { 0 } else { 5000 },
            read_only: false,
            role: None,
            dscp: 48,
        }
    }
}

/// After the start: who the others are. (R)
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Begin {
    pub remotes: Address<Remotes>,
    pub relays: Vec<RelaySpec>,
}

/// Session → Database: a connection is up. (R)
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Join {
    pub session: SessionId,
    pub info: SessionInfo,
    pub link: Link,
    /// We made the connection: it is of a remote that counts as a session also without one.
    pub active: bool,
}

/// Session → Database: all requests of one read. (R)
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Requests {
    pub session: SessionId,
    pub messages: Vec<jsonrpc::Message>,
}

/// Session → Database: the peer will ask for no more. What it asked for is served, and a last [`Deliver`] says that it
/// was. (R)
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Part {
    pub session: SessionId,
}

/// Session → Database: the connection is down. (R)
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Leave {
    pub session: SessionId,
}

/// Session → Database: whether the peer leaves texts waiting; told when it changes. (R)
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Backlog {
    pub session: SessionId,
    pub waits: bool,
}

/// Database → Session: everything one wake had for it. (R)
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Deliver {
    pub session: SessionId,
    pub texts: Vec<Text>,
    /// So much that no request is served before the session says with [`Resume`] that the peer took it.
    pub pause: bool,
    /// Requests wait for their turn: no more are read before a delivery says otherwise.
    pub behind: bool,
    /// The peer that will ask for no more has nothing more to get.
    pub last: bool,
    /// Close after these.
    pub close: Option<String>,
}

/// Session → Database: the peer took what was sent before a pause. (R)
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Resume {
    pub session: SessionId,
}

/// Remotes → Session: end for good, or treat the connection otherwise. (R)
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) enum Steer {
    /// The remote is gone.
    Retire,
    /// Drop the connection and make a new one; why, if the log is to say so.
    Reconnect(Option<&'static str>),
    /// New options.
    Options(RemoteOptions),
}

/// Database → Remotes: the remotes there shall be. (C)
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct SetRemotes {
    pub remotes: BTreeMap<String, RemoteOptions>,
}

/// Remotes → Database: they began anew and know nothing. (R)
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Reannounce;

/// Database → Remotes: drop every connection (`ovsdb-server/reconnect`). (R)
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct ReconnectAll(pub &'static str);

/// Database → Remotes: how do they stand? (Q)
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct ReportStatus;

/// Session → Remotes: how a connection stands. (C)
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub(crate) struct SessionStatus {
    pub number: u64,
    pub id: SessionId,
    pub connected: bool,
    pub state: &'static str,
    pub connected_at_ms: Option<i64>,
    pub disconnected_at_ms: Option<i64>,
    /// The session is over.
    pub ended: bool,
}

/// Remotes → Database: how the remotes stand. (C)
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct RemoteStatuses {
    pub statuses: BTreeMap<String, RemoteStatus>,
}

/// How one remote stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RemoteStatus {
    pub connections: usize,
    pub bound_port: Option<u16>,
    pub first: Option<SessionFigures>,
}

/// How the first connection of a remote stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SessionFigures {
    pub id: SessionId,
    pub connected: bool,
    pub state: &'static str,
    pub sec_since_connect: Option<i64>,
    pub sec_since_disconnect: Option<i64>,
}

/// fsync thread → Database: the log of `db` is on the disk up to `seq`. (R)
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Synced {
    pub db: Arc<str>,
    pub seq: u64,
    pub error: Option<String>,
}

/// Compaction thread → Database: the new log is written. (R)
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Compacted {
    pub done: log::Compacted,
}

/// The driver of a relay or of replication → Database: its source has spoken; false: close the connection. (Q)
#[derive(Debug, Message)]
#[rtype(result = "bool")]
pub(crate) struct FromSource {
    pub driver: u64,
    pub progress: Progress,
}

/// Control commands → Database. (Q)
#[derive(Debug, Message)]
#[rtype(result = "std::result::Result<String, String>")]
pub enum Control {
    /// `ovsdb-server/list-dbs`
    ListDbs,
    /// `ovsdb-server/add-db FILE`
    AddDb(String),
    /// `ovsdb-server/remove-db DB`
    RemoveDb(String),
    /// `exit`: clients are told that their monitors end.
    TakeLeave,
    /// `ovsdb-server/list-remotes`
    ListRemotes,
    /// `ovsdb-server/add-remote REMOTE`
    AddRemote(String),
    /// `ovsdb-server/remove-remote REMOTE`
    RemoveRemote(String),
    /// `ovsdb-server/reconnect`
    Reconnect,
    /// `ovsdb-server/disable-monitor-cond`
    DisableMonitorCond,
    /// `ovsdb-server/get-db-storage-status DB`
    StorageStatus(String),
    /// `ovsdb-server/tlog-set DB:TABLE on|off`
    TlogSet(String, String),
    /// `ovsdb-server/tlog-list`
    TlogList,
    /// `memory/show`
    Memory,
    /// Changes replication; answers nothing.
    Sync(SyncChange),
    /// `ovsdb-server/get-active-ovsdb-server`
    SyncSource,
    /// `ovsdb-server/get-sync-exclude-tables`
    SyncExclude,
    /// `ovsdb-server/sync-status`
    SyncStatus,
    /// The files TLS is made of, as configured: for a changed command line.
    SetTls(TlsFiles),
}

/// Control commands → Database: `ovsdb-server/compact [DB]`; answers when the compaction is over. (Q)
#[derive(Debug, Message)]
#[rtype(result = "std::result::Result<Vec<tokio::sync::oneshot::Receiver<std::result::Result<(), String>>>, String>")]
pub struct Compact(pub Option<String>);

/// One step in the life of replication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SyncChange {
    /// Another source.
    Source(String),
    /// Other tables to leave out.
    Exclude(String),
    /// Become a backup.
    Connect,
    /// Become active.
    Disconnect,
    /// Another probe interval.
    Probe(u64),
}
