//! One OpenFlow connection.

use actix::prelude::*;
use ofproto::bridge::{ConnId, ConnKind, Incoming};
use openflow::message::Context as Decoding;
use openflow::message::frame::Framer;
use openflow::message::hello::Hello;
use openflow::message::{ErrorMessage, Message, Msg, decode_with, encode_into};
use openflow::version::{Negotiated, negotiate};
use openflow::{ErrorCode, Version, VersionSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::mpsc;

use crate::clock;
use crate::mailbox::{Address, Retry};
use crate::msg::bridge::{OfBatch, OfConnected, OfDisconnected};
use crate::stream::Stream;
use crate::supervise::{Desk, Player, WeakFamily};

/// Octets that may wait for a peer that does not read.
const UNSENT_AT_MOST: usize = 256 << 20;
/// Pieces of output that may wait for the writer.
const PIECES_AT_MOST: usize = 4096;
/// Batches that may wait for the bridge.
const BATCHES_AT_MOST: usize = 4;
/// Octets read at once.
const READ: usize = 64 << 10;

static NUMBERS: AtomicU64 = AtomicU64::new(1);

/// A number for a new connection.
pub fn next_conn() -> ConnId {
    ConnId(NUMBERS.fetch_add(1, Relaxed))
}

/// What a session needs to begin.
#[derive(Clone)]
pub struct SessionSetup {
    /// Its number.
    pub conn: ConnId,
    /// Kind.
    pub kind: ConnKind,
    /// Target, as people know it.
    pub name: String,
    /// Versions it may speak.
    pub versions: VersionSet,
    /// Its bridge.
    pub bridge: Address<crate::bridge::Bridge>,
    /// Silence after which the peer is asked whether it lives, milliseconds; 0 for never.
    pub probe_ms: i64,
    /// Told when the connection has agreed on a version, and when it ends.
    pub watcher: Option<crate::mailbox::Outlet<super::connect::SessionEvent>>,
}

/// Send these (R).
#[derive(Message)]
#[rtype(result = "()")]
pub struct Transmit {
    /// The messages.
    pub msgs: Vec<Msg>,
}

#[derive(Message)]
#[rtype(result = "()")]
struct Read(Result<Vec<u8>, String>);

/// The actor of one connection.
pub struct Session {
    desk: Desk,
    family: WeakFamily,
    setup: SessionSetup,
    version: Option<Version>,
    framer: Framer,
    batches: Retry<OfBatch>,
    out: mpsc::Sender<Vec<u8>>,
    unsent: Arc<AtomicU64>,
    /// The reader waits for this before it goes on.
    go_on: mpsc::Sender<()>,
    last_heard_ms: i64,
    probing: bool,
    ended: bool,
    /// The peer names tables in OpenFlow 1.0 flow-mods.
    table_id: bool,
}

impl Session {
    /// Starts to talk over a stream.
    pub fn begin(
        desk: Desk,
        family: WeakFamily,
        setup: SessionSetup,
        stream: Option<Stream>,
        ctx: &mut Context<Self>,
    ) -> Self {
        let (out, writes) = mpsc::channel(PIECES_AT_MOST);
        let (go_on, may_read) = mpsc::channel(1);
        let unsent = Arc::new(AtomicU64::new(0));
        let batches = setup.bridge.outlet::<OfBatch>().retry(BATCHES_AT_MOST);
        let session = Self {
            desk,
            family,
            version: None,
            framer: Framer::default(),
            batches,
            out,
            unsent: unsent.clone(),
            go_on,
            last_heard_ms: clock::now_ms(),
            probing: false,
            ended: false,
            table_id: false,
            setup,
        };
        if let Some(stream) = stream {
            let (reader, writer) = tokio::io::split(stream);
            let address = ctx.address();
            actix::spawn(read_all(reader, address.clone(), may_read));
            actix::spawn(write_all(writer, writes, unsent, address));
        } else {
            ctx.stop();
        }
        session.say_hello();
        session
    }

    fn say_hello(&self) {
        let newest = self.setup.versions.newest().unwrap_or(Version::V10);
        let hello = Hello { versions: self.setup.versions, header_version: newest.wire(), malformed: false };
        self.send_as(newest, 1, &Message::Hello(hello));
    }

    fn send_as(&self, version: Version, xid: u32, body: &Message) {
        let mut octets = Vec::new();
        match encode_into(&mut octets, body, version, xid) {
            Ok(()) => self.send_octets(octets),
            Err(error) => vlog::warn_rl!("ofconn", 5, 5, "{}: {error}", self.setup.name),
        }
    }

    fn send_octets(&self, octets: Vec<u8>) {
        let waiting = self.unsent.fetch_add(octets.len() as u64, Relaxed);
        if waiting > UNSENT_AT_MOST as u64 || self.out.try_send(octets).is_err() {
            vlog::warn_rl!("rconn", 5, 5, "{}: peer does not read, closing the connection", self.setup.name);
            self.desk.card().ask_stop();
        }
    }

    fn end(&mut self, ctx: &mut Context<Self>, why: &str) {
        if !std::mem::replace(&mut self.ended, true) {
            if !why.is_empty() {
                vlog::warn_rl!("rconn", 5, 5, "{}: {why}", self.setup.name);
            }
            ctx.stop();
        }
    }

    /// Takes whole messages out of what was read.
    fn take_messages(&mut self, ctx: &mut Context<Self>) {
        let mut batch = Vec::new();
        loop {
            let octets: Vec<u8> = match self.framer.next_message() {
                Ok(Some(octets)) => octets.to_vec(),
                Ok(None) => break,
                Err(bad) => {
                    self.end(
                        ctx,
                        &format!("received too-short ofp_header ({} bytes), assuming connection is corrupt", bad.0),
                    );
                    break;
                }
            };
            match self.version {
                None => {
                    if !self.first_message(&octets, ctx) {
                        break;
                    }
                }
                Some(version) => {
                    if let Some(incoming) = self.message(&octets, version) {
                        batch.push(incoming);
                    }
                }
            }
        }
        if !batch.is_empty() && self.batches.send(OfBatch { conn: self.setup.conn, msgs: batch }).is_err() {
            self.end(ctx, "requests lost: the bridge does not keep up");
        }
    }

    /// The peer's hello. `false`: no common version.
    fn first_message(&mut self, octets: &[u8], ctx: &mut Context<Self>) -> bool {
        let hello = match decode_with(octets, &Decoding::UNKNOWN) {
            Ok(Msg { body: Message::Hello(hello), .. }) => hello,
            Ok(Msg { body: Message::Error(_) | Message::EchoReply(_), .. }) => return true,
            _ => {
                self.end(ctx, "received a message before hello");
                return false;
            }
        };
        match negotiate(self.setup.versions, hello.versions) {
            Negotiated::Agreed(version) => {
                self.version = Some(version);
                let connected = OfConnected {
                    conn: self.setup.conn,
                    version,
                    kind: self.setup.kind,
                    name: self.setup.name.clone(),
                    outlet: ctx.address().recipient(),
                    unread: self.desk.card().clone(),
                };
                if self.setup.bridge.post(connected).is_err() {
                    self.end(ctx, "the bridge is busy");
                    return false;
                }
                if let Some(watcher) = &self.setup.watcher {
                    watcher.offer(super::connect::SessionEvent::Agreed(version));
                }
                true
            }
            Negotiated::Failed { data, log } => {
                let error = ErrorMessage::hello_failed(ErrorCode::OFPHFC_INCOMPATIBLE, &data);
                let newest = self.setup.versions.newest().unwrap_or(Version::V10);
                self.send_as(newest, 0, &Message::Error(error));
                self.end(ctx, &log);
                false
            }
        }
    }

    /// Decodes one message; answers by itself what needs no bridge.
    fn message(&mut self, octets: &[u8], version: Version) -> Option<Incoming> {
        let xid = octets.get(4..8).map_or(0, |b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]));
        let raw: Arc<[u8]> = octets.into();
        if octets[0] != version.wire() {
            let body = Err(openflow::message::OfError(ErrorCode::OFPBRC_BAD_VERSION));
            return Some(Incoming { body, xid, raw });
        }
        let body = ofproto::bridge::decode_message(octets, self.table_id);
        match body {
            Ok(Message::FlowModTableId(on)) => {
                // What follows is to be read differently at once; the bridge is told as well.
                self.table_id = on;
                Some(Incoming { body, xid, raw })
            }
            Ok(Message::EchoReply(_)) => {
                self.probing = false;
                None
            }
            body => Some(Incoming { body, xid, raw }),
        }
    }

    fn rearm(&mut self) {
        if self.setup.probe_ms > 0 {
            let at = self.last_heard_ms + self.setup.probe_ms * if self.probing { 2 } else { 1 };
            self.desk.arm(Some((at, "the peer has been silent")));
        }
    }
}

impl Actor for Session {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Context<Self>) {
        self.rearm();
    }

    fn stopped(&mut self, _: &mut Context<Self>) {
        let _ = self.setup.bridge.post(OfDisconnected(self.setup.conn));
        if let Some(watcher) = &self.setup.watcher {
            watcher.offer(super::connect::SessionEvent::Ended);
        }
        if let Some(family) = self.family.upgrade() {
            family.forget(self.desk.card());
        }
    }
}

impl Player for Session {
    fn desk(&mut self) -> &mut Desk {
        &mut self.desk
    }

    fn wake(&mut self, now_ms: i64, ctx: &mut Context<Self>) {
        let silent = now_ms - self.last_heard_ms;
        if self.probing && silent >= self.setup.probe_ms * 2 {
            let text =
                format!("no response to inactivity probe after {} seconds, disconnecting", self.setup.probe_ms / 1000);
            self.end(ctx, &text);
            return;
        }
        if silent >= self.setup.probe_ms {
            self.probing = true;
            let version = self.version.unwrap_or(Version::V10);
            self.send_as(version, 0, &Message::EchoRequest(Vec::new()));
        }
        self.rearm();
    }
}

impl Handler<Read> for Session {
    type Result = ();

    fn handle(&mut self, m: Read, ctx: &mut Context<Self>) {
        self.desk.served();
        match m.0 {
            Ok(octets) => {
                self.last_heard_ms = clock::now_ms();
                self.probing = false;
                self.framer.push(&octets);
                self.take_messages(ctx);
                self.rearm();
                self.let_read(ctx);
            }
            Err(why) => self.end(ctx, &why),
        }
    }
}

impl Session {
    /// Lets the reader go on, now or once the bridge has taken what waits for it.
    fn let_read(&mut self, ctx: &mut Context<Self>) {
        if self.batches.waiting() == 0 {
            // The channel holds one permission; a second one changes nothing.
            let _ = self.go_on.try_send(());
            return;
        }
        let later = actix::fut::wrap_future::<_, Self>(clock::sleep_real(1)).map(|(), this, ctx| this.let_read(ctx));
        ctx.spawn(later);
    }
}

impl Handler<Transmit> for Session {
    type Result = ();

    fn handle(&mut self, m: Transmit, _: &mut Context<Self>) {
        self.desk.received();
        let mut octets = Vec::new();
        for msg in &m.msgs {
            if let Err(error) = encode_into(&mut octets, &msg.body, msg.version, msg.xid) {
                vlog::warn_rl!("ofconn", 5, 5, "{}: {error}", self.setup.name);
            }
        }
        if !octets.is_empty() {
            self.send_octets(octets);
        }
    }
}

async fn read_all(mut reader: ReadHalf<Stream>, session: Addr<Session>, mut may_read: mpsc::Receiver<()>) {
    let mut buffer = vec![0; READ];
    loop {
        let result = match reader.read(&mut buffer).await {
            Ok(0) => Err(String::new()),
            Ok(n) => Ok(buffer[..n].to_vec()),
            Err(error) => Err(crate::stream::errno_text(&error)),
        };
        let last = result.is_err();
        if session.send(Read(result)).await.is_err() || last || may_read.recv().await.is_none() {
            return;
        }
    }
}

async fn write_all(
    mut writer: WriteHalf<Stream>,
    mut writes: mpsc::Receiver<Vec<u8>>,
    unsent: Arc<AtomicU64>,
    session: Addr<Session>,
) {
    while let Some(octets) = writes.recv().await {
        let done = writer.write_all(&octets).await;
        unsent.fetch_sub(octets.len() as u64, Relaxed);
        if let Err(error) = done {
            let _ = session.send(Read(Err(crate::stream::errno_text(&error)))).await;
            return;
        }
    }
    let _ = writer.shutdown().await;
}
