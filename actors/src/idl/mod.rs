//! The switch's own database client: keeps a replica of Open_vSwitch, tells the switch what is wanted, writes what is.
//!
//! One transaction is under way at a time; status that comes meanwhile is merged, the latest value of a column wins.

use ::idl::{Client, Interests, Status, Transaction, vswitch};
use actix::prelude::*;
use jsonrpc::{Limits, Message, Scanner};
use ovsdb::{Atom, Datum, Uuid, UuidSource};
use std::collections::BTreeMap;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use crate::clock;
use crate::mailbox::{Address, Latest, Outlet};
use crate::msg::switch::{ConfigChanged, StatusWrite};
use crate::stream::{Method, Stream, Tls, connect, errno_text};
use crate::supervise::{Desk, Player};
use crate::switch::Switch;
use crate::switch::desired::DesiredSwitch;

/// What the database server may make us keep.
const LIMITS: Limits = Limits { depth: 1000, size: 1 << 30 };
/// Pieces of output that may wait for the writer.
const PIECES_AT_MOST: usize = 1024;
const FIRST_BACKOFF_MS: i64 = 1_000;
const LONGEST_BACKOFF_MS: i64 = 8_000;
/// The lock that keeps a second switch off the same database.
const LOCK: &str = "ovs_vswitchd";

/// What a client is made from.
#[derive(Clone)]
pub struct IdlSetup {
    /// The server.
    pub method: Method,
    /// The server, as people wrote it.
    pub name: String,
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
}

/// The client's actor.
pub struct Idl {
    desk: Desk,
    setup: IdlSetup,
    client: Client,
    scanner: Scanner,
    out: Option<mpsc::Sender<String>>,
    wishes: Latest<ConfigChanged>,
    last_wish: Option<DesiredSwitch>,
    uuids: UuidSource,
    backoff_ms: i64,
    rows: BTreeMap<(&'static str, Uuid), BTreeMap<&'static str, Datum>>,
    applied: Option<i64>,
    under_way: bool,
    announced: bool,
    contended: bool,
}

impl Idl {
    /// A client that begins to connect.
    pub fn new(desk: Desk, setup: IdlSetup, ctx: &mut Context<Self>) -> Self {
        let mut client = Client::new(vswitch::DATABASE, Interests::everything());
        let _ = client.set_lock(Some(LOCK));
        ctx.notify(Try);
        Self {
            desk,
            client,
            scanner: Scanner::new(LIMITS),
            out: None,
            wishes: Outlet::latest(setup.switch.outlet::<ConfigChanged>()),
            last_wish: None,
            uuids: UuidSource::new(setup.seed),
            backoff_ms: FIRST_BACKOFF_MS,
            rows: BTreeMap::new(),
            applied: None,
            under_way: false,
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
        if let Some(out) = &self.out
            && out.try_send(text).is_err()
        {
            vlog::warn!("ovsdb_idl", "{}: server does not read, reconnecting", self.setup.name);
            self.out = None;
        }
    }

    fn lost(&mut self, why: &str) {
        if self.out.take().is_some() {
            let text = if why.is_empty() { "connection closed by peer" } else { why };
            vlog::warn!("reconnect", "{}: {text}", self.setup.name);
        } else {
            vlog::info_rl!("reconnect", 5, 5, "{}: connection attempt failed ({why})", self.setup.name);
        }
        self.client.disconnected();
        self.under_way = false;
        self.scanner = Scanner::new(LIMITS);
        self.desk.arm(Some((clock::now_ms() + self.backoff_ms, "try the database again")));
        self.backoff_ms = (self.backoff_ms * 2).min(LONGEST_BACKOFF_MS);
    }

    fn after_messages(&mut self) {
        for (_, outcome) in self.client.take_outcomes() {
            self.under_way = false;
            if !matches!(outcome.status, Status::Success | Status::Unchanged) {
                vlog::dbg!("ovsdb_idl", "transaction: {:?}", outcome.status);
                // The database changed meanwhile, or the connection went: what was to be written still is.
                self.announced = false;
                self.last_wish = None;
            }
        }
        if !self.client.has_contents() || !self.client.is_watching() {
            return;
        }
        if !self.client.has_lock() {
            if self.client.is_lock_contended() && !std::mem::replace(&mut self.contended, true) {
                vlog::err!(
                    "bridge",
                    "another ovs-vswitchd process is running, disabling this process until it goes away"
                );
            }
            return;
        }
        self.contended = false;
        self.backoff_ms = FIRST_BACKOFF_MS;
        let _ = self.client.take_changes();
        let wish = DesiredSwitch::read(self.client.replica());
        if self.last_wish.as_ref() != Some(&wish) {
            self.last_wish = Some(wish.clone());
            self.wishes.send(ConfigChanged(wish));
        }
        self.write();
    }

    /// Makes the root row of an empty database, if that is this program's to do.
    fn fill_empty(&mut self) {
        let Some(columns) = self.setup.fill_empty.take() else { return };
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
        if self.under_way || !self.client.has_lock() || self.out.is_none() {
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
        if let Ok((_, message)) = self.client.commit(prepared) {
            self.under_way = true;
            self.send(vec![message]);
        }
    }
}

#[derive(Message)]
#[rtype(result = "()")]
struct Try;

#[derive(Message)]
#[rtype(result = "()")]
struct Read(Result<Vec<u8>, String>);

impl Actor for Idl {
    type Context = Context<Self>;
}

impl Player for Idl {
    fn desk(&mut self) -> &mut Desk {
        &mut self.desk
    }

    fn wake(&mut self, _: i64, ctx: &mut Context<Self>) {
        if self.out.is_none() {
            ctx.notify(Try);
        }
    }
}

impl Handler<Try> for Idl {
    type Result = ();

    fn handle(&mut self, _: Try, ctx: &mut Context<Self>) {
        vlog::info_rl!("reconnect", 5, 5, "{}: connecting...", self.setup.name);
        let (method, tls) = (self.setup.method.clone(), self.setup.tls.clone());
        let attempt = async move { connect(&method, &tls).await };
        ctx.spawn(actix::fut::wrap_future::<_, Self>(attempt).map(|result, this, ctx| match result {
            Ok(stream) => this.begin(stream, ctx),
            Err(error) => this.lost(&errno_text(&error)),
        }));
    }
}

impl Idl {
    fn begin(&mut self, stream: Stream, ctx: &mut Context<Self>) {
        vlog::info!("reconnect", "{}: connected", self.setup.name);
        let (mut reader, mut writer) = tokio::io::split(stream);
        let (out, mut writes) = mpsc::channel::<String>(PIECES_AT_MOST);
        let address = ctx.address();
        actix::spawn(async move {
            let mut buffer = vec![0; 256 << 10];
            loop {
                let result = match reader.read(&mut buffer).await {
                    Ok(0) => Err(String::new()),
                    Ok(n) => Ok(buffer[..n].to_vec()),
                    Err(error) => Err(errno_text(&error)),
                };
                let last = result.is_err();
                if address.send(Read(result)).await.is_err() || last {
                    return;
                }
            }
        });
        actix::spawn(async move {
            while let Some(text) = writes.recv().await {
                if writer.write_all(text.as_bytes()).await.is_err() {
                    return;
                }
            }
        });
        self.out = Some(out);
        let hello = self.client.connected();
        self.send(hello);
    }
}

impl Handler<Read> for Idl {
    type Result = ();

    fn handle(&mut self, m: Read, _: &mut Context<Self>) {
        self.desk.served();
        let octets = match m.0 {
            Ok(octets) => octets,
            Err(why) => return self.lost(&why),
        };
        self.scanner.feed(&octets);
        loop {
            let message = match self.scanner.next_value() {
                Ok(None) => break,
                Ok(Some(value)) => Message::from_json(value).map_err(|e| e.to_string()),
                Err(error) => Err(error.to_string()),
            };
            let answered = message.and_then(|m| self.client.receive(m).map_err(|e| e.to_string()));
            match answered {
                Ok(replies) => self.send(replies),
                Err(error) => return self.lost(&error),
            }
        }
        self.after_messages();
    }
}

impl Handler<StatusWrite> for Idl {
    type Result = ();

    fn handle(&mut self, m: StatusWrite, _: &mut Context<Self>) {
        self.desk.received();
        for row in m.rows {
            self.rows.entry((row.table, row.uuid)).or_default().extend(row.columns);
        }
        self.applied = m.applied.or(self.applied);
        self.write();
    }
}
