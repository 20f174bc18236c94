//! One OpenFlow connection: to a controller, made again and again, or accepted by a listener, for one time.
//!
//! When to connect, to probe and to give up is [`ofproto::rconn`]'s; the stream while there is one is a [`Link`].

use actix::prelude::*;
use ofproto::bridge::{ConnId, ConnKind};
use ofproto::rconn::{Rconn, Settings, Status, Step};
use openflow::message::frame::message_len;
use openflow::message::hello::Hello;
use openflow::message::{ErrorMessage, Message, Msg, decode_with, encode_into};
use openflow::version::{Negotiated, negotiate};
use openflow::{ErrorCode, Version, VersionSet};
use std::cell::Cell;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::link::{Link, Read, Written};
use super::write_note;
use crate::clock;
use crate::mailbox::{Address, Retry};
use crate::msg::bridge::{OfBacklog, OfBatch, OfConnected, OfDisconnected, OfRead};
use crate::stream::{Method, NameError, OPENFLOW_PORT, Stream, Tls, connect, errno_text, note_attempt};
use crate::supervise::{Desk, Family, Player, Role, Strategy, WeakFamily};
use crate::unixctl::coverage::Counter;

/// Messages for one connection that wait.
const MAILBOX: usize = 1024;
/// Octets that may wait for a peer that does not read.
const UNSENT_AT_MOST: usize = 256 << 20;
/// With more octets than this waiting, no further requests are read, and the bridge is not told that the peer reads.
const UNSENT_TO_STOP_READING: usize = 64 << 10;
/// How much has to be sent before the bridge is told, well below what it sends without being told.
const WEIGHT_TO_TELL: i64 = 32;
/// Packets that have to be.
const PACKETS_TO_TELL: u32 = 32;
/// How soon what did not fit the bridge's mailbox is tried again, milliseconds.
const TELL_AGAIN_MS: u64 = 1;
/// With more octets of flow updates than this waiting, the bridge is told.
const UNSENT_TO_TELL: usize = 128 << 10;
/// Batches that may wait for the bridge.
const BATCHES_AT_MOST: usize = 4;

static RECEIVED: Counter = Counter::new("vconn_received");
static SENT: Counter = Counter::new("vconn_sent");
static QUEUED: Counter = Counter::new("rconn_queued");
static PASSED_ON: Counter = Counter::new("rconn_sent");
/// Attempts to connect.
static OPENED: Counter = Counter::new("vconn_open");

static NUMBERS: AtomicU64 = AtomicU64::new(1);

/// A number for a new connection.
fn next_conn() -> ConnId {
    ConnId(NUMBERS.fetch_add(1, Relaxed))
}

/// How to connect.
#[derive(Clone)]
pub struct Way {
    /// By what, or what is wrong with it.
    pub method: Result<Method, NameError>,
    /// With TLS, how.
    pub tls: Tls,
    /// Mark of packets on the way (DSCP, 0 to 63).
    pub dscp: Option<u8>,
}

/// What a session is made from.
#[derive(Clone)]
pub struct SessionSetup {
    /// Who is at the other end.
    pub kind: ConnKind,
    /// Name of the bridge.
    pub bridge_name: String,
    /// Target of a controller, or name of a peer that came.
    pub peer: String,
    /// Target of a controller, or of the listener that the peer came to.
    pub target: String,
    /// Versions it may speak.
    pub versions: VersionSet,
    /// The debugging actions are allowed.
    pub debug_actions: bool,
    /// Its bridge.
    pub bridge: Address<crate::bridge::Bridge>,
    /// Times.
    pub settings: Settings,
    /// How to connect; `None` for one that was accepted.
    pub way: Option<Way>,
}

impl SessionSetup {
    /// As logs name the connection.
    fn name(&self) -> String {
        format!("{}<->{}", self.bridge_name, self.peer)
    }
}

/// Send these (R).
#[derive(Message)]
#[rtype(result = "()")]
pub struct Transmit {
    /// The messages.
    pub msgs: Vec<Msg>,
}

/// Other times for a controller (C).
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Reconfigure(pub Settings);

/// Connect anew (R).
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Reconnect;

/// How it goes (Q).
#[derive(Debug, Message)]
#[rtype(result = "Status")]
pub struct ReadStatus;

#[derive(Message)]
#[rtype(result = "()")]
struct Begin;

/// The actor of one connection.
pub struct Session {
    desk: Desk,
    family: WeakFamily,
    setup: SessionSetup,
    rconn: Rconn,
    link: Option<Link>,
    batches: Retry<OfBatch>,
    /// Number of attempts, to know a late answer of an attempt that was given up.
    attempt: u64,
    ended: bool,
}

impl Session {
    /// Starts to keep a connection to a controller.
    pub fn start(family: &Family, setup: SessionSetup) -> Address<Session> {
        let role = Role::new(format!("controller {}", setup.name()), "controller", MAILBOX, Strategy::OneForOne);
        let weak = family.downgrade();
        family.hire(role, move |desk, ctx| {
            ctx.notify(Begin);
            let rconn = Rconn::reliable(&setup.name(), setup.settings, clock::now_ms());
            Session::new(desk, weak.clone(), setup.clone(), rconn)
        })
    }

    /// Talks over a stream that a listener accepted.
    pub fn accept(family: &Family, setup: SessionSetup, stream: Stream) {
        let role = Role::new(format!("openflow {}", setup.name()), "openflow", MAILBOX, Strategy::Temporary);
        let weak = family.downgrade();
        let stream = Cell::new(Some(stream));
        family.hire_once(role, move |desk, ctx| {
            let rconn = Rconn::accepted(&setup.name(), setup.settings, clock::now_ms());
            let mut session = Session::new(desk, weak, setup, rconn);
            match stream.take() {
                Some(stream) => session.open(stream, ctx),
                None => ctx.stop(),
            }
            session
        });
    }

    fn new(desk: Desk, family: WeakFamily, setup: SessionSetup, rconn: Rconn) -> Session {
        let batches = setup.bridge.outlet::<OfBatch>().retry(BATCHES_AT_MOST);
        Session { desk, family, setup, rconn, link: None, batches, attempt: 0, ended: false }
    }

    /// Does what the machine says, until it says nothing.
    fn run(&mut self, ctx: &mut Context<Self>) {
        while let Some(step) = self.rconn.run(clock::now_ms()) {
            match step {
                Step::Connect => self.connect(ctx),
                Step::Probe => self.send(Version::V10, 0, &Message::EchoRequest(Vec::new())),
                Step::Close => self.close(ctx),
            }
        }
        self.rconn.take_notes().iter().for_each(write_note);
        self.desk.arm(self.rconn.poll_timeout());
    }

    fn connect(&mut self, ctx: &mut Context<Self>) {
        let Some(way) = self.setup.way.clone() else { return };
        self.attempt += 1;
        OPENED.add();
        let attempt = self.attempt;
        let peer = self.setup.peer.clone();
        let errand = clock::at_work();
        // That it connects is told before what there is to say of the name.
        self.rconn.take_notes().iter().for_each(write_note);
        note_attempt(&peer, OPENFLOW_PORT, way.method.as_ref().err());
        let opened = async move {
            let _errand = errand;
            let unknown = |_: &NameError| io::Error::from_raw_os_error(libc::EAFNOSUPPORT);
            let method = way.method.as_ref().map_err(unknown)?;
            let stream = connect(method, &way.tls).await.inspect_err(|error| log_connect(method, &peer, error))?;
            if let Some(dscp) = way.dscp {
                stream.set_dscp(dscp)?;
            }
            Ok(stream)
        };
        ctx.spawn(actix::fut::wrap_future::<_, Self>(opened).map(move |result: io::Result<Stream>, this, ctx| {
            if this.attempt != attempt || this.rconn.state() != ofproto::rconn::State::Connecting {
                return;
            }
            match result {
                Ok(stream) => this.open(stream, ctx),
                Err(error) => {
                    let immediate = !matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::HostUnreachable);
                    this.rconn.failed(&errno_text(&error), immediate, clock::now_ms());
                }
            }
            this.run(ctx);
        }));
    }

    /// There is a stream: hello.
    fn open(&mut self, stream: Stream, ctx: &mut Context<Self>) {
        let conn = next_conn();
        self.link = Some(Link::begin(conn, stream, ctx.address()));
        let newest = self.setup.versions.newest().unwrap_or(Version::V10);
        let hello = Hello { versions: self.setup.versions, header_version: newest.wire(), malformed: false };
        self.send(newest, conn.0 as u32, &Message::Hello(hello));
        self.desk.arm(self.rconn.poll_timeout());
    }

    /// Sends a message of the connection's own.
    fn send(&mut self, unsettled: Version, xid: u32, body: &Message) {
        let Some(link) = &mut self.link else { return };
        let mut octets = Vec::new();
        match encode_into(&mut octets, body, link.version.unwrap_or(unsettled), xid) {
            Ok(()) => {
                SENT.add();
                log_sent(&self.setup.peer, &octets);
                link.send(&octets);
            }
            Err(error) => vlog::warn_rl!("ofconn", 5, 5, "{}: {error}", self.rconn.name()),
        }
    }

    /// The stream is over, whoever ended it.
    fn close(&mut self, ctx: &mut Context<Self>) {
        if let Some(link) = self.link.take()
            && link.version.is_some()
        {
            let _ = self.setup.bridge.post(OfDisconnected(link.conn));
        }
        if self.setup.way.is_none() && !std::mem::replace(&mut self.ended, true) {
            ctx.stop();
        }
    }

    /// The stream ended (`None`) or broke.
    fn lose(&mut self, why: Option<&str>, ctx: &mut Context<Self>) {
        self.rconn.lost(why, clock::now_ms());
        self.close(ctx);
        self.run(ctx);
    }

    /// Takes whole messages out of what was read.
    fn take_messages(&mut self, ctx: &mut Context<Self>) {
        let mut batch = Vec::with_capacity(self.link.as_ref().map_or(0, |link| link.framer.messages()));
        let mut lost = None;
        while let Some(link) = &mut self.link {
            let octets = match link.next_message() {
                Ok(Some(octets)) => octets,
                Ok(None) => break,
                Err(length) => {
                    vlog::err_rl!("vconn_stream", 10, 10, "received too-short ofp_header ({length} bytes)");
                    lost = Some("Protocol error");
                    break;
                }
            };
            RECEIVED.add();
            vlog::dbg_rl!("vconn", 600, 600, "{}: received: {}", self.setup.peer, Shown(&octets));
            if let Some(version) = link.version {
                if octets[0] != version.wire()
                    && link.answer_other_version(&octets, &self.setup.peer, self.rconn.name(), version)
                {
                    continue;
                }
                batch.push(link.decode(octets, version, self.setup.debug_actions));
            } else if !self.first_message(&octets, ctx) {
                lost = Some("Protocol error");
                break;
            }
        }
        if let Some(link) = &self.link
            && !batch.is_empty()
            && self.batches.send(OfBatch { conn: link.conn, msgs: batch }).is_err()
        {
            vlog::warn_rl!("rconn", 5, 5, "{}: requests lost: the bridge does not keep up", self.rconn.name());
            lost = Some("No buffer space available");
        }
        if let Some(why) = lost {
            self.lose(Some(why), ctx);
        }
    }

    /// The peer's hello. `false`: there is nothing to talk about.
    fn first_message(&mut self, octets: &[u8], ctx: &mut Context<Self>) -> bool {
        let hello = match decode_with(octets, &openflow::message::Context::UNKNOWN) {
            Ok(Msg { body: Message::Hello(hello), .. }) => hello,
            Ok(Msg { body: Message::Error(_), .. }) => return false,
            _ => {
                let text = openflow::print::message(octets, &openflow::print::Options::default());
                vlog::warn_rl!(
                    "vconn",
                    10,
                    10,
                    "{}: received message while expecting hello: {}",
                    self.setup.peer,
                    text.trim_end()
                );
                return false;
            }
        };
        match negotiate(self.setup.versions, hello.versions) {
            Negotiated::Agreed(version) => {
                let agreement = openflow::version::agreement(version, self.setup.versions, hello.versions);
                vlog::dbg!("vconn", "{}: {agreement}", self.setup.peer);
                self.agree(version, ctx)
            }
            Negotiated::Failed { version, data, log } => {
                let error = ErrorMessage::hello_failed(ErrorCode::OFPHFC_INCOMPATIBLE, &data);
                vlog::warn_rl!("vconn", 1, 5, "{}: {log}", self.setup.peer);
                self.send(version, 0, &Message::Error(error));
                false
            }
        }
    }

    fn agree(&mut self, version: Version, ctx: &mut Context<Self>) -> bool {
        let Some(link) = &mut self.link else { return false };
        let connected = OfConnected {
            conn: link.conn,
            version,
            kind: self.setup.kind,
            name: self.setup.peer.clone(),
            target: self.setup.target.clone(),
            outlet: ctx.address().recipient(),
        };
        if self.setup.bridge.post(connected).is_err() {
            vlog::warn_rl!("rconn", 5, 5, "{}: the bridge is busy", self.rconn.name());
            return false;
        }
        link.version = Some(version);
        self.rconn.connected(clock::now_ms());
        true
    }

    /// Lets the reader go on, now, or once the bridge and the peer have taken what waits for them.
    fn let_read(&mut self, ctx: &mut Context<Self>) {
        let Some(link) = &self.link else { return };
        if link.unsent() > UNSENT_TO_STOP_READING {
            return;
        }
        if self.batches.waiting() == 0 {
            link.let_read();
            return;
        }
        let later = actix::fut::wrap_future::<_, Self>(clock::sleep_real(1)).map(|(), this, ctx| this.let_read(ctx));
        ctx.spawn(later);
    }

    /// Tells the bridge that the peer reads, and when it begins to be slow or has caught up; later if it has no room.
    fn tell_backlog(&mut self, ctx: &mut Context<Self>) {
        let Some(link) = &mut self.link else { return };
        let (conn, octets) = (link.conn, link.updates.unread());
        let mut told = true;
        let is_much = link.untold >= WEIGHT_TO_TELL || link.untold_packets >= PACKETS_TO_TELL;
        if is_much && link.unsent() <= UNSENT_TO_STOP_READING {
            let (weight, packets) = (link.untold, link.untold_packets);
            told = self.setup.bridge.post(OfRead { conn, weight, packets }).is_ok();
            if told {
                (link.untold, link.untold_packets) = (0, 0);
            }
        }
        let news = if link.slow { octets == 0 } else { octets > UNSENT_TO_TELL };
        if news {
            let heard = self.setup.bridge.post(OfBacklog { conn, octets }).is_ok();
            link.slow ^= heard;
            told &= heard;
        }
        if !told {
            let later = clock::sleep_real(TELL_AGAIN_MS);
            ctx.spawn(actix::fut::wrap_future::<_, Self>(later).map(|(), this, ctx| this.tell_backlog(ctx)));
        }
    }
}

/// A message as the log shows it.
struct Shown<'a>(&'a [u8]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options = openflow::print::Options { verbosity: 1, ..Default::default() };
        f.write_str(openflow::print::message(self.0, &options).trim_end_matches('\n'))
    }
}

/// Says which messages are sent.
fn log_sent(peer: &str, mut octets: &[u8]) {
    if !vlog::module("vconn").enabled(vlog::Level::Dbg) {
        return;
    }
    while let Ok(Some(length)) = message_len(octets) {
        let (message, rest) = octets.split_at(length);
        vlog::dbg_rl!("vconn", 600, 600, "{peer}: sent (Success): {}", Shown(message));
        octets = rest;
    }
}

/// Says that a request was refused, and which.
pub(super) fn log_refusal(name: &str, error: &ErrorMessage) {
    let openflow::message::ErrorKind::Known(code) = error.code else { return };
    let cause = openflow::message::kind::partial(&error.data).map_or("invalid", |(name, _)| name);
    vlog::info_rl!("connmgr", 10, 10, "{name}: sending {code} error reply to {cause} message");
}

/// What the stream's own module says of a failed attempt.
fn log_connect(method: &Method, peer: &str, error: &io::Error) {
    let (Method::Tcp(to) | Method::Ssl(to)) = method else { return };
    let module = if matches!(method, Method::Ssl(_)) { "stream_ssl" } else { "stream_tcp" };
    let kind = peer.split(':').next().unwrap_or("tcp");
    if matches!(error.raw_os_error(), Some(libc::ENETUNREACH | libc::EAFNOSUPPORT)) {
        vlog::write_to(module, vlog::Level::Err, format_args!("{kind}:{to}: connect: {}", errno_text(error)));
    }
}

impl Actor for Session {
    type Context = Context<Self>;

    fn stopped(&mut self, ctx: &mut Context<Self>) {
        self.close(ctx);
        if self.setup.way.is_none()
            && let Some(family) = self.family.upgrade()
        {
            family.forget(self.desk.card());
        }
    }
}

impl Player for Session {
    fn desk(&mut self) -> &mut Desk {
        &mut self.desk
    }

    fn wake(&mut self, _: i64, ctx: &mut Context<Self>) {
        self.run(ctx);
    }
}

impl Handler<Begin> for Session {
    type Result = ();

    fn handle(&mut self, _: Begin, ctx: &mut Context<Self>) {
        self.run(ctx);
    }
}

impl Handler<Read> for Session {
    type Result = ();

    fn handle(&mut self, m: Read, ctx: &mut Context<Self>) {
        self.desk.served();
        let Some(link) = self.link.as_mut().filter(|l| l.conn == m.conn) else { return };
        match m.result {
            Ok(octets) if octets.is_empty() => self.lose(None, ctx),
            Ok(octets) => {
                link.framer.push(&octets);
                self.rconn.activity(clock::now_ms());
                self.take_messages(ctx);
                self.run(ctx);
                self.let_read(ctx);
            }
            Err(why) => self.lose(Some(&why), ctx),
        }
    }
}

impl Handler<Written> for Session {
    type Result = ();

    fn handle(&mut self, m: Written, ctx: &mut Context<Self>) {
        self.desk.served();
        let Some(link) = self.link.as_mut().filter(|l| l.conn == m.conn) else { return };
        match m.result {
            Ok(octets) => {
                let stopped = link.unsent() > UNSENT_TO_STOP_READING;
                link.written(octets);
                self.tell_backlog(ctx);
                if stopped {
                    self.let_read(ctx);
                }
            }
            Err(why) => self.lose(Some(&why), ctx),
        }
    }
}

impl Handler<Transmit> for Session {
    type Result = ();

    fn handle(&mut self, m: Transmit, ctx: &mut Context<Self>) {
        self.desk.received();
        let Some(link) = &mut self.link else { return };
        for counter in [&QUEUED, &PASSED_ON, &SENT] {
            counter.add_many(m.msgs.len() as u64);
        }
        let (mut octets, mut updates) = (Vec::new(), 0);
        for msg in &m.msgs {
            let before = octets.len();
            link.untold = link.untold.saturating_add(ofproto::bridge::weight(&msg.body));
            link.untold_packets += u32::from(matches!(msg.body, Message::PacketIn(_)));
            if let Message::Error(error) = &msg.body {
                log_refusal(self.rconn.name(), error);
            }
            if let Err(error) = encode_into(&mut octets, &msg.body, msg.version, msg.xid) {
                vlog::warn_rl!("ofconn", 5, 5, "{}: {error}", self.rconn.name());
            }
            let tells = matches!(
                msg.body,
                Message::FlowMonitorReply(_) | Message::FlowMonitorPaused | Message::FlowMonitorResumed
            );
            // What answers a request has its number.
            updates += if tells && msg.xid == 0 { octets.len() - before } else { 0 };
        }
        log_sent(&self.setup.peer, &octets);
        link.send(&octets);
        link.updates.queued(updates);
        if link.unsent() > UNSENT_AT_MOST {
            vlog::warn_rl!("rconn", 5, 5, "{}: the peer does not read", self.rconn.name());
            self.lose(Some("No buffer space available"), ctx);
            return;
        }
        self.tell_backlog(ctx);
    }
}

impl Handler<Reconfigure> for Session {
    type Result = ();

    fn handle(&mut self, m: Reconfigure, ctx: &mut Context<Self>) {
        self.desk.received();
        self.setup.settings = m.0;
        self.rconn.configure(m.0, clock::now_ms());
        self.run(ctx);
    }
}

impl Handler<Reconnect> for Session {
    type Result = ();

    fn handle(&mut self, _: Reconnect, ctx: &mut Context<Self>) {
        self.desk.received();
        self.rconn.reconnect(clock::now_ms());
        self.run(ctx);
    }
}

impl Handler<ReadStatus> for Session {
    type Result = MessageResult<ReadStatus>;

    fn handle(&mut self, _: ReadStatus, _: &mut Context<Self>) -> Self::Result {
        self.desk.received();
        MessageResult(self.rconn.status(clock::now_ms()))
    }
}
