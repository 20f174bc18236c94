//! The switch's own database client: keeps a replica of Open_vSwitch, tells the switch what is wanted, writes what is.
//!
//! One transaction is under way at a time; status that comes meanwhile is merged, the latest value of a column wins.
//! When to connect, probe and give up is `jsonrpc::Session`'s to say. Once the first configuration is in force and its
//! status is written, [`IdlSetup::ready`] is told: a detached daemon's start returns then.

use ::idl::{Client, Interests, Status, Transaction, vswitch};
use actix::prelude::*;
use jsonrpc::{Limits, Message, SessionAction};
use ovsdb::{Atom, DatabaseSchema, Datum, Uuid, UuidSource};
use std::collections::BTreeMap;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, watch};

use crate::clock;
use crate::mailbox::{Address, Latest, Outlet};
use crate::msg::switch::{ConfigChanged, StatusAnew, StatusWrite};
use crate::stream::{
    Accepted, Listener, Method, NameError, OVSDB_PORT, Stream, Tls, connect, errno_text, note_attempt, prepare,
};
use crate::supervise::{Desk, Player};
use crate::switch::Switch;
use crate::switch::desired::{self, DesiredSwitch};
use crate::transcript;
use crate::unixctl::coverage::Counter;

/// What the database server may make us keep.
const LIMITS: Limits = Limits { depth: 1000, size: 1 << 30 };
/// Pieces of output that may wait for the writer.
const PIECES_AT_MOST: usize = 1024;
/// Silence after which a server on the network is asked whether it lives, milliseconds.
const PROBE_MS: u64 = 5_000;
static SUCCESS: Counter = Counter::new("txn_success");
static UNCHANGED: Counter = Counter::new("txn_unchanged");
static TRY_AGAIN: Counter = Counter::new("txn_try_again");
static ERROR: Counter = Counter::new("txn_error");
/// Transactions whose outcome had to be waited for.
static INCOMPLETE: Counter = Counter::new("txn_incomplete");

/// How long a server that connects may take for its handshake.
const HANDSHAKE: std::time::Duration = std::time::Duration::from_secs(10);

/// Rest after a failure to accept a connection, milliseconds.
const ACCEPT_PAUSE_MS: u64 = 100;

/// The lock that keeps a second switch off the same database.
const LOCK: &str = "ovs_vswitchd";

/// A server of the database.
#[derive(Debug, Clone)]
pub struct DbServer {
    /// As people wrote it.
    pub name: String,
    /// How to reach it, or why that cannot be.
    pub method: Result<Method, NameError>,
}

impl DbServer {
    /// The servers of a list parted by commas; relative paths of sockets are taken from `run_dir`.
    pub fn list(text: &str, run_dir: &std::path::Path) -> Vec<DbServer> {
        let server = |name: &str| DbServer { name: name.to_owned(), method: Method::parse(name, OVSDB_PORT, run_dir) };
        let mut servers: Vec<DbServer> = text.split(',').filter(|name| !name.is_empty()).map(server).collect();
        if servers.is_empty() {
            servers.push(server(text));
        }
        servers
    }
}

/// What a client is made from.
#[derive(Clone)]
pub struct IdlSetup {
    /// The servers, tried in turn; never none.
    pub servers: Vec<DbServer>,
    /// For `ssl:` servers.
    pub tls: Tls,
    /// Who is configured.
    pub switch: Address<Switch>,
    /// 128 random bits.
    pub seed: u128,
    /// Types of interface to announce.
    pub iface_types: Vec<&'static str>,
    /// Types of datapath to announce.
    pub datapath_types: Vec<&'static str>,
    /// Fill an empty database, as `ovs-ctl` does elsewhere: the root row with these columns.
    pub fill_empty: Option<Vec<(&'static str, Datum)>>,
    /// Told `true` when the first configuration is in force and written back.
    pub ready: watch::Sender<bool>,
}

/// A connection that stands.
struct Link {
    out: mpsc::Sender<String>,
    reader: tokio::task::AbortHandle,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// A socket on which the server is waited for, and the task that takes its connections.
struct Hearing {
    server: String,
    task: tokio::task::AbortHandle,
}

impl Drop for Hearing {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The client's actor.
pub struct Idl {
    desk: Desk,
    setup: IdlSetup,
    client: Client,
    machine: jsonrpc::Session,
    link: Option<Link>,
    /// Of a server that connects by itself; it is heard beside the connection, and the latest stands.
    hearing: Option<Hearing>,
    /// Counts attempts to connect: news of an older one is no news.
    attempt: u64,
    /// Which of the servers is tried next.
    next_server: usize,
    wishes: Latest<ConfigChanged>,
    last_wish: Option<DesiredSwitch>,
    reader: desired::Reader,
    uuids: UuidSource,
    rows: BTreeMap<(&'static str, Uuid), BTreeMap<&'static str, Datum>>,
    applied: Option<i64>,
    under_way: bool,
    /// The first configuration is in force.
    configured: bool,
    /// The database may lack what was written: it was connected to anew, or refused a transaction.
    is_behind: bool,
    announced: bool,
    contended: bool,
}

/// What Open vSwitch's switch watches of a table: everything but these columns, and `external_ids` of most tables.
const UNWATCHED: [(&str, &str); 8] = [
    ("Manager", "inactivity_probe"),
    ("Manager", "is_connected"),
    ("Manager", "max_backoff"),
    ("Manager", "status"),
    ("Open_vSwitch", "db_version"),
    ("Open_vSwitch", "ovs_version"),
    ("Open_vSwitch", "system_type"),
    ("Open_vSwitch", "system_version"),
];
/// Tables of which it watches `external_ids` as well.
const WATCHED_WHOLE: [&str; 4] = ["CT_Timeout_Policy", "CT_Zone", "Datapath", "Flow_Table"];

/// What a database of this schema lacks, as Open vSwitch tells of it.
fn lacks(schema: &DatabaseSchema) -> Vec<String> {
    let class = ovsdb::vswitch::vswitch_schema();
    let mut wanted = Interests::of_schema(&class);
    UNWATCHED.iter().for_each(|(table, column)| wanted.drop_column(table, column));
    for table in class.tables.keys().filter(|table| !WATCHED_WHOLE.contains(&&***table)) {
        wanted.drop_column(table, "external_ids");
    }
    wanted.restrict(schema)
}

impl Idl {
    /// A client that begins to connect.
    pub fn new(mut desk: Desk, setup: IdlSetup) -> Self {
        let mut client = Client::new(vswitch::DATABASE, Interests::everything());
        let _ = client.set_lock(Some(LOCK));
        let mut machine = jsonrpc::Session::active("void", LIMITS, now_ms());
        if setup.servers.len() > 1 {
            machine.reconnect.set_backoff_free_tries(u32::try_from(setup.servers.len()).unwrap_or(u32::MAX));
        }
        desk.arm(Some((clock::now_ms(), "start")));
        Self {
            desk,
            client,
            machine,
            link: None,
            hearing: None,
            attempt: 0,
            next_server: 0,
            wishes: Outlet::latest(setup.switch.outlet::<ConfigChanged>()),
            last_wish: None,
            reader: desired::Reader::default(),
            uuids: UuidSource::new(setup.seed),
            rows: BTreeMap::new(),
            applied: None,
            under_way: false,
            configured: false,
            is_behind: false,
            announced: false,
            contended: false,
            setup,
        }
    }

    fn send(&mut self, messages: Vec<Message>) {
        if messages.is_empty() {
            return;
        }
        let mut text = String::new();
        for message in &messages {
            message.write(&mut text);
        }
        self.send_text(text);
    }

    fn send_text(&mut self, text: String) {
        transcript::sent(self.machine.reconnect.name(), text.as_bytes());
        if let Some(link) = &self.link
            && link.out.try_send(text).is_err()
        {
            vlog::warn!("ovsdb_idl", "{}: server does not read, reconnecting", self.machine.reconnect.name());
            self.machine.reconnect.force_reconnect(now_ms());
        }
    }

    /// The connection, or the attempt at one, is over; `why` is an error's text, `None` a plain close.
    fn lost(&mut self, why: Option<&str>) {
        self.unlink();
        self.machine.disconnected(now_ms(), why);
    }

    fn unlink(&mut self) {
        self.link = None;
        self.attempt += 1;
        self.client.disconnected();
        self.is_behind = self.configured;
        self.under_way = false;
    }

    /// Does what the time demands, and says when to be woken next.
    fn turn(&mut self, ctx: &mut Context<Self>) {
        while let Some(action) = self.machine.poll_output(now_ms()) {
            match action {
                SessionAction::Connect => self.connect(ctx),
                SessionAction::Disconnect => self.lost(None),
                SessionAction::Send(text) => self.send_text(text),
            }
        }
        crate::reconnect_log::tell(&mut self.machine.reconnect, vlog::Level::Info);
        let due = self.machine.poll_timeout(now_ms());
        self.desk.arm(due.map(|(at, why)| (i64::try_from(at).unwrap_or(i64::MAX), why)));
    }

    fn connect(&mut self, ctx: &mut Context<Self>) {
        let servers = &self.setup.servers;
        let DbServer { name, method } = servers[self.next_server % servers.len()].clone();
        self.next_server = (self.next_server + 1) % servers.len();
        let local = matches!(method, Ok(Method::Unix(_) | Method::PassiveUnix(_)));
        self.machine.reconnect.set_name(&name);
        self.machine.reconnect.set_probe_interval(if local { 0 } else { PROBE_MS });
        let passive = name.starts_with("punix:") || name.starts_with("ptcp:") || name.starts_with("pssl:");
        self.machine.reconnect.set_passive(passive, now_ms());
        note_attempt(&name, OVSDB_PORT, method.as_ref().err());
        let method = method.map_err(|_| errno_text(&std::io::Error::from_raw_os_error(libc::EAFNOSUPPORT)));
        if passive {
            return self.listen(name, method, ctx);
        }
        self.hearing = None;
        let tls = self.setup.tls.clone();
        let method = method.and_then(|m| prepare(&m, &tls).map(|()| m).map_err(|error| errno_text(&error)));
        self.machine.reconnect.connecting(now_ms());
        self.attempt += 1;
        let attempt = self.attempt;
        let tried = async move { connect(&method?, &tls).await.map_err(|error| errno_text(&error)) };
        ctx.spawn(actix::fut::wrap_future::<_, Self>(tried).map(move |result, this, ctx| {
            if this.attempt != attempt {
                return;
            }
            match result {
                Ok(stream) => this.begin(stream, ctx),
                Err(reason) => this.lost(Some(&reason)),
            }
            this.turn(ctx);
        }));
    }

    /// Waits for the server to connect.
    fn listen(&mut self, server: String, method: Result<Method, String>, ctx: &mut Context<Self>) {
        // Made anew it might lose its socket's file to the end of the one before.
        if self.hearing.as_ref().is_none_or(|hearing| hearing.server != server) {
            self.hearing = None;
            let tls = &self.setup.tls;
            let bound = method.and_then(|method| Listener::bind(&method, tls).map_err(|error| errno_text(&error)));
            let listener = match bound {
                Ok(listener) => listener,
                Err(reason) => {
                    self.machine.reconnect.connecting(now_ms());
                    return self.lost(Some(&reason));
                }
            };
            let (address, name) = (ctx.address(), server.clone());
            let task = actix::spawn(async move {
                loop {
                    let Ok(accepted) = listener.accept().await else {
                        // Out of file descriptors, or the peer has gone again.
                        clock::sleep_real(ACCEPT_PAUSE_MS).await;
                        continue;
                    };
                    if address.send(Called { server: name.clone(), accepted }).await.is_err() {
                        return;
                    }
                }
            });
            self.hearing = Some(Hearing { server, task: task.abort_handle() });
        }
        self.machine.reconnect.listening(now_ms());
    }

    fn begin(&mut self, stream: Stream, ctx: &mut Context<Self>) {
        self.machine.connected(now_ms());
        let (mut reader, mut writer) = tokio::io::split(stream);
        let (out, mut writes) = mpsc::channel::<String>(PIECES_AT_MOST);
        let (address, attempt) = (ctx.address(), self.attempt);
        let reader = actix::spawn(async move {
            let mut buffer = vec![0; 256 << 10];
            loop {
                let result = match reader.read(&mut buffer).await {
                    Ok(0) => Err(None),
                    Ok(n) => Ok(buffer[..n].to_vec()),
                    Err(error) => Err(Some(errno_text(&error))),
                };
                let last = result.is_err();
                if address.send(Read { attempt, result }).await.is_err() || last {
                    return;
                }
            }
        });
        actix::spawn(async move {
            while let Some(text) = writes.recv().await {
                if writer.write_all(&octets::of_text(&text)).await.is_err() {
                    return;
                }
            }
        });
        self.link = Some(Link { out, reader: reader.abort_handle() });
        let hello = self.client.connected();
        self.send(hello);
    }

    fn after_messages(&mut self) {
        let is_writing = self.under_way;
        for (_, outcome) in self.client.take_outcomes() {
            self.under_way = false;
            match outcome.status {
                Status::Success => SUCCESS.add(),
                Status::Unchanged => UNCHANGED.add(),
                Status::TryAgain => TRY_AGAIN.add(),
                _ => ERROR.add(),
            }
            // The row that an empty database is given says nothing yet.
            if self.announced {
                self.tell_ready();
            }
            if !matches!(outcome.status, Status::Success | Status::Unchanged) {
                vlog::dbg!("ovsdb_idl", "transaction: {:?}", outcome.status);
                // The database changed meanwhile, or the connection went: what was to be written still is.
                self.announced = false;
                self.last_wish = None;
                self.is_behind = true;
            }
        }
        if !self.client.has_contents() || !self.client.is_watching() {
            return;
        }
        if !self.client.has_lock() {
            if self.client.is_lock_contended() && !std::mem::replace(&mut self.contended, true) {
                vlog::err!(
                    "bridge",
                    "another ovs-vswitchd process is running, disabling this process (pid {}) until it goes away",
                    std::process::id()
                );
            }
            return;
        }
        self.contended = false;
        if std::mem::take(&mut self.is_behind) {
            self.setup.switch.offer(StatusAnew);
        }
        let changes = self.client.take_changes();
        self.reader.note(&changes);
        if !is_writing && desired::touch_own(&changes) {
            // Somebody else wrote where the switch tells how it is.
            self.setup.switch.offer(StatusAnew);
        }
        // Most of what comes is the echo of what was written.
        if self.last_wish.is_none() || desired::may_matter(&changes) {
            let wish = self.reader.read(self.client.replica());
            if self.last_wish.as_ref() != Some(&wish) {
                self.last_wish = Some(wish.clone());
                self.wishes.send(ConfigChanged(wish));
            }
        }
        self.write();
    }

    /// Makes the root row of an empty database, if that is this program's to do.
    fn fill_empty(&mut self) {
        let Some(columns) = self.setup.fill_empty.take() else {
            // There is nothing to write to, and nothing more to wait for.
            self.applied = None;
            return self.tell_ready();
        };
        let seed = (u128::from(self.uuids.next_u64()) << 64) | u128::from(self.uuids.next_u64());
        let mut txn = Transaction::new(self.client.replica(), UuidSource::new(seed));
        let Some(root) = txn.insert("Open_vSwitch") else { return };
        for (column, value) in columns {
            txn.set("Open_vSwitch", root, column, value);
        }
        let prepared = txn.prepare(self.client.lock_name());
        if let Ok((_, message)) = self.client.commit(prepared) {
            self.under_way = true;
            self.send(vec![message]);
        }
    }

    /// Begins a transaction with everything that waits to be written.
    fn write(&mut self) {
        if self.under_way || !self.client.has_lock() || self.link.is_none() {
            return;
        }
        let Some(root) = vswitch::OpenvSwitch::all(self.client.replica()).next().map(|r| r.uuid()) else {
            return self.fill_empty();
        };
        if self.rows.is_empty() && self.applied.is_none() && self.announced {
            return;
        }
        let seed = (u128::from(self.uuids.next_u64()) << 64) | u128::from(self.uuids.next_u64());
        let mut txn = Transaction::new(self.client.replica(), UuidSource::new(seed));
        if !self.announced {
            let set = |names: &[&'static str]| Datum::set(names.iter().map(|n| Atom::string(n)));
            txn.set("Open_vSwitch", root, "datapath_types", set(&self.setup.datapath_types));
            txn.set("Open_vSwitch", root, "iface_types", set(&self.setup.iface_types));
            txn.set("Open_vSwitch", root, "dpdk_initialized", Datum::one(Atom::Boolean(false)));
            txn.set("Open_vSwitch", root, "dpdk_version", Datum::string("none"));
        }
        for ((table, uuid), columns) in &self.rows {
            if self.client.replica().row(table, *uuid).is_none() {
                continue;
            }
            for (column, value) in columns {
                if self.client.replica().row(table, *uuid).is_some_and(|r| r.datum(column) != value) {
                    txn.set(table, *uuid, column, value.clone());
                }
            }
        }
        if let Some(applied) = self.applied {
            txn.set("Open_vSwitch", root, "cur_cfg", Datum::one(Atom::Integer(applied)));
        }
        let prepared = txn.prepare(self.client.lock_name());
        self.rows.clear();
        self.applied = None;
        self.announced = true;
        match self.client.commit(prepared) {
            Ok((_, message)) => {
                self.under_way = true;
                INCOMPLETE.add();
                self.send(vec![message]);
            }
            // All of it is there already.
            Err(_) => {
                UNCHANGED.add();
                self.tell_ready();
            }
        }
    }

    /// Whoever waits for the first configuration hears of it once nothing of it remains to be written.
    fn tell_ready(&self) {
        if self.configured && self.applied.is_none() && !self.under_way {
            self.setup.ready.send_if_modified(|ready| !std::mem::replace(ready, true));
        }
    }
}

/// What came from the server, or how it ended.
#[derive(Message)]
#[rtype(result = "()")]
struct Read {
    attempt: u64,
    result: Result<Vec<u8>, Option<String>>,
}

/// The server has connected by itself.
#[derive(Message)]
#[rtype(result = "()")]
struct Called {
    server: String,
    accepted: Accepted,
}

impl Handler<Called> for Idl {
    type Result = ResponseActFuture<Self, ()>;

    fn handle(&mut self, m: Called, _: &mut Context<Self>) -> Self::Result {
        self.desk.received();
        let finish = tokio::time::timeout(HANDSHAKE, m.accepted.finish());
        Box::pin(actix::fut::wrap_future::<_, Self>(finish).map(move |result, this, ctx| {
            let Ok(Ok(stream)) = result else { return };
            if this.hearing.as_ref().is_none_or(|hearing| hearing.server != m.server) {
                return;
            }
            if this.link.is_some() {
                let name = this.machine.reconnect.name();
                vlog::info!("jsonrpc", "{name}: new connection replacing active connection");
                this.unlink();
            }
            this.begin(stream, ctx);
            this.turn(ctx);
        }))
    }
}

fn now_ms() -> u64 {
    u64::try_from(clock::now_ms()).unwrap_or(0)
}

impl Actor for Idl {
    type Context = Context<Self>;
}

impl Player for Idl {
    fn desk(&mut self) -> &mut Desk {
        &mut self.desk
    }

    fn wake(&mut self, _: i64, ctx: &mut Context<Self>) {
        self.turn(ctx);
    }
}

impl Handler<Read> for Idl {
    type Result = ();

    fn handle(&mut self, m: Read, ctx: &mut Context<Self>) {
        self.desk.served();
        if m.attempt != self.attempt {
            return;
        }
        self.machine.reconnect.receive_attempted(now_ms());
        match m.result {
            Ok(octets) => {
                self.machine.feed(&octets, now_ms());
                match self.digest() {
                    Ok(()) => self.after_messages(),
                    Err(error) => {
                        vlog::warn!("ovsdb_idl", "{}: {error}", self.machine.reconnect.name());
                        self.lost(Some("Protocol error"));
                    }
                }
            }
            Err(why) => self.lost(why.as_deref()),
        }
        self.turn(ctx);
    }
}

impl Idl {
    /// Takes every message that has come whole.
    fn digest(&mut self) -> Result<(), String> {
        transcript::heard(&mut self.machine);
        loop {
            let next = self.machine.next_message();
            transcript::heard(&mut self.machine);
            let Some(message) = next.map_err(|e| e.to_string())? else { break };
            let replies = self.client.receive(message).map_err(|e| e.to_string())?;
            for line in self.client.take_schema_told().map(lacks).unwrap_or_default() {
                vlog::warn!("ovsdb_idl", "{line}");
            }
            self.send(replies);
        }
        Ok(())
    }
}

impl Handler<StatusWrite> for Idl {
    type Result = ();

    fn handle(&mut self, m: StatusWrite, _: &mut Context<Self>) {
        self.desk.received();
        for row in m.rows {
            self.rows.entry((row.table, row.uuid)).or_default().extend(row.columns);
        }
        self.configured |= m.applied.is_some();
        self.applied = m.applied.or(self.applied);
        self.write();
    }
}

/// How many values of columns are kept of the database's rows (Q).
#[derive(Message)]
#[rtype(result = "usize")]
pub struct ReadCells;

impl Handler<ReadCells> for Idl {
    type Result = usize;

    fn handle(&mut self, _: ReadCells, _: &mut Context<Self>) -> usize {
        self.desk.received();
        let replica = self.client.replica();
        replica.schema().tables.values().map(|table| table.own_columns().count() * replica.count(&table.name)).sum()
    }
}
