//! One OVSDB connection: bytes in, requests to the database; answers out, as fast as the peer reads them.
//!
//! A session reads until its requests do not fit the database's mailbox or its answers pile up, then lets the
//! peer wait. What the database sends unasked (monitors) piles up all the same: beyond a bound the peer is
//! dropped. An active session makes its connection by itself, again and again.

use super::database::Database;
use super::letters::{
    Backlog, Deliver, Join, Leave, Link, Part, RemoteOptions, Requests, Resume, SessionStatus, Steer,
};
use super::outgoing::{Outgoing, write_some};
use super::remotes::Remotes;
use super::unfinished::{self, Unfinished};
use crate::budget::{self, Budget};
use crate::clock;
use crate::daemon;
use crate::linger::Linger;
use crate::mailbox::Address;
use crate::stream::{Accepted, Method, NameError, OVSDB_PORT, Stream, Tls, connect, errno_text, note_attempt, prepare};
use crate::supervise::{Desk, Player, WeakFamily};
use crate::transcript;
use actix::fut::{ActorFuture, wrap_future};
use actix::prelude::*;
use jsonrpc::reconnect::State;
use jsonrpc::{Message, SessionAction};
use ovsdb::server::{SessionId, SessionInfo, Text};
use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::Duration;
use tokio::io::{AsyncRead, ReadBuf};

/// Answers waiting in a session beyond which it reads no more requests, in bytes.
const BACKLOG_PAUSE: usize = 4 << 20;
/// Bytes waiting in a session beyond which a peer that does not read is dropped when more comes.
const BACKLOG_DROP: usize = 64 << 20;
/// Longest time an attempt to connect, or a TLS handshake, may take.
const HANDSHAKE: Duration = Duration::from_secs(15);
/// Until what a session had is gone with it, milliseconds.
const GIVE_BACK_MS: u64 = 50;
const SCRATCH: usize = 64 << 10;

static SESSIONS: AtomicU64 = AtomicU64::new(1);

/// A number no other session ever had.
pub(super) fn fresh_id() -> SessionId {
    SESSIONS.fetch_add(1, Relaxed)
}

/// How long to look on for the next request of the one client that is at work, microseconds: what a client written in
/// an interpreted language takes to read an answer and to write the next request.
const LINGER_US: i64 = 160;
/// Most looks in that time.
const LOOKS: usize = 1000;
/// Pauses of the processor between two looks, which would otherwise hold the lock that the peer needs to write.
const PAUSES: usize = 8;
/// So many requests running may be taken past the runtime, which looks at nobody else's socket meanwhile.
const PAST_RUNTIME: u32 = 8;

thread_local! {
    /// The session that wrote last.
    static LAST_WRITER: Cell<SessionId> = const { Cell::new(0) };
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; SCRATCH]);
}

/// Which end made the connection.
#[derive(Debug)]
pub(super) enum Origin {
    /// A peer came through a listener.
    Accepted(Accepted),
    /// We connect.
    Active(Result<Method, NameError>),
}

/// What a session is made of.
pub(super) struct Setup {
    pub number: u64,
    pub origin: Origin,
    /// The remote's name.
    pub remote: Arc<str>,
    pub options: RemoteOptions,
    pub tls: Tls,
    pub database: Address<Database>,
    pub remotes: Address<Remotes>,
    pub family: WeakFamily,
}

/// The actor of one connection.
pub struct Session {
    desk: Desk,
    number: u64,
    target: Option<Result<Method, NameError>>,
    options: RemoteOptions,
    tls: Tls,
    database: Address<Database>,
    remotes: Address<Remotes>,
    family: WeakFamily,
    machine: jsonrpc::Session,
    stream: Option<Stream>,
    /// Of the present connection.
    id: SessionId,
    /// Requests the database had no room for.
    unposted: Vec<Message>,
    unjoined: bool,
    out: VecDeque<Outgoing>,
    /// Bytes of the first of `out` that are gone already.
    sent: usize,
    backlog: usize,
    /// The database knows that the peer leaves texts waiting.
    told_backlog: bool,
    /// When it was last written, the peer did not take all of it.
    has_waited: bool,
    /// The database serves no request of this session before it hears that the peer took what was sent.
    paused: bool,
    /// The database has requests of this session left that others had to come before.
    behind: bool,
    close_when_sent: Option<String>,
    parting: Parting,
    waker: Option<Waker>,
    linger: Linger,
    /// Requests taken past the runtime, running.
    past_runtime: u32,
    unfinished: Unfinished,
}

impl Session {
    pub(super) fn begin(mut desk: Desk, setup: Setup, ctx: &mut Context<Self>) -> Session {
        let now = now_ms();
        let (name, target, accepted) = match setup.origin {
            Origin::Accepted(peer) => (peer.name.clone(), None, Some(peer)),
            Origin::Active(method) => (setup.remote.to_string(), Some(method), None),
        };
        // Whose name is malformed never listens, but is told of as what it was meant to be.
        let passive = target.is_some() && (name.starts_with("ptcp:") || name.starts_with("pssl:"));
        let mut machine = match accepted {
            Some(_) => jsonrpc::Session::accepted(&name, unfinished::limits(), now),
            None => jsonrpc::Session::active(&name, unfinished::limits(), now),
        };
        if accepted.is_some() {
            machine.reconnect.take_log();
        }
        machine.reconnect.set_passive(passive, now);
        machine.reconnect.set_probe_interval(setup.options.probe_ms);
        machine.reconnect.set_backoff(1000, setup.options.max_backoff_ms);
        desk.arm(Some((clock::now_ms(), "start")));
        ctx.spawn(Pump);
        let session = Session {
            desk,
            number: setup.number,
            target,
            options: setup.options,
            tls: setup.tls,
            database: setup.database,
            remotes: setup.remotes,
            family: setup.family,
            machine,
            stream: None,
            id: 0,
            unposted: Vec::new(),
            unjoined: false,
            out: VecDeque::new(),
            sent: 0,
            backlog: 0,
            told_backlog: false,
            has_waited: false,
            paused: false,
            behind: false,
            close_when_sent: None,
            parting: Parting::No,
            waker: None,
            linger: Linger::default(),
            past_runtime: 0,
            unfinished: Unfinished::new(),
        };
        if let Some(peer) = accepted {
            let handshake = tokio::time::timeout(HANDSHAKE, peer.finish());
            ctx.spawn(wrap_future::<_, Session>(handshake).map(|done, session, ctx| match done {
                Ok(Ok(stream)) => session.opened(stream, ctx),
                Ok(Err(error)) => session.refuse(&errno_text(&error), ctx),
                Err(_) => session.refuse("Connection timed out", ctx),
            }));
        }
        session
    }

    /// A peer that could not complete the handshake gets nowhere, and leaves a log line.
    fn refuse(&mut self, reason: &str, ctx: &mut Context<Self>) {
        warn(format_args!("{}: receive error: {reason}", self.machine.reconnect.name()));
        self.end(Some(reason.to_owned()), ctx);
    }

    fn is_active(&self) -> bool {
        self.target.is_some()
    }

    fn opened(&mut self, stream: Stream, ctx: &mut Context<Self>) {
        let role = self.options.role.clone();
        let client_id = stream.peer_common_name();
        let info = SessionInfo { read_only: self.options.read_only, role, client_id, answers_cancel: false };
        let _ = stream.set_dscp(self.options.dscp);
        self.id = fresh_id();
        (self.told_backlog, self.has_waited, self.paused, self.behind) = (false, false, false, false);
        self.stream = Some(stream);
        if self.is_active() {
            self.machine.connected(now_ms());
        }
        self.unjoined = true;
        self.join(info, ctx);
        self.report(false);
        self.wake_pump();
    }

    fn join(&mut self, info: SessionInfo, ctx: &mut Context<Self>) {
        let link = Link::Actor(self.myself(ctx));
        let join = Join { session: self.id, info, link, active: self.is_active() };
        let database = self.database.clone();
        if let Err(join) = database.post(join) {
            // Full: wait for room, and read nothing before.
            let asked = database.ask(join, Duration::from_secs(60));
            ctx.spawn(wrap_future::<_, Session>(asked).map(|joined, session, ctx| {
                session.unjoined = false;
                if joined.is_err() {
                    session.end(Some("the database does not answer".to_owned()), ctx);
                }
                session.wake_pump();
            }));
        } else {
            self.unjoined = false;
        }
    }

    fn myself(&self, ctx: &Context<Self>) -> Address<Session> {
        Address::of_running(ctx.address(), self.desk.card().clone())
    }

    fn wake_pump(&self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }

    /// The connection is over; an active session goes on to the next.
    fn end(&mut self, error: Option<String>, ctx: &mut Context<Self>) {
        let now = now_ms();
        if self.stream.take().is_some() {
            self.leave();
        }
        self.machine.disconnected(now, error.as_deref());
        self.unfinished.forget();
        self.log_machine();
        self.out.clear();
        (self.sent, self.backlog) = (0, 0);
        self.unposted.clear();
        self.close_when_sent = None;
        self.parting = Parting::No;
        if self.is_active() {
            self.report(false);
            self.steer(ctx);
        } else {
            ctx.stop();
        }
    }

    fn leave(&mut self) {
        let (database, leave) = (self.database.clone(), Leave { session: self.id });
        if let Err(leave) = database.post(leave) {
            // It must not be lost, and need not be waited for.
            actix::spawn(async move {
                let _ = database.ask(leave, Duration::from_secs(60)).await;
            });
        }
    }

    fn log_machine(&mut self) {
        let steps = if self.is_active() { vlog::Level::Info } else { vlog::Level::Dbg };
        crate::reconnect_log::tell(&mut self.machine.reconnect, steps);
    }

    /// Does what the machine asks for, and sets the timer.
    fn steer(&mut self, ctx: &mut Context<Self>) {
        if self.is_active() && daemon::is_beginning() {
            ctx.spawn(wrap_future::<_, Session>(daemon::served()).map(|(), session, ctx| session.steer(ctx)));
            return;
        }
        let now = now_ms();
        while let Some(action) = self.machine.poll_output(now) {
            match action {
                SessionAction::Send(text) => {
                    self.queue(text.into());
                    self.wake_pump();
                }
                SessionAction::Disconnect => return self.end(None, ctx),
                SessionAction::Connect => self.connect(ctx),
            }
            if self.machine.reconnect.state() == State::Connecting {
                break;
            }
        }
        self.log_machine();
        self.arm(now);
    }

    fn connect(&mut self, ctx: &mut Context<Self>) {
        if let Some(target) = &self.target {
            note_attempt(self.machine.reconnect.name(), OVSDB_PORT, target.as_ref().err());
        }
        let (target, tls) = (self.target.clone(), self.tls.clone());
        let unready = target.as_ref().and_then(|t| t.as_ref().ok()).and_then(|method| prepare(method, &tls).err());
        self.machine.reconnect.connecting(now_ms());
        self.log_machine();
        let attempt = async move {
            if let Some(error) = unready {
                return Err(Some(errno_text(&error)));
            }
            match target {
                Some(Ok(method)) => match tokio::time::timeout(HANDSHAKE, connect(&method, &tls)).await {
                    Ok(result) => result.map_err(|e| Some(errno_text(&e))),
                    Err(_) => Err(None),
                },
                Some(Err(_)) => Err(Some(errno_text(&io::Error::from_raw_os_error(libc::EAFNOSUPPORT)))),
                None => Err(None),
            }
        };
        ctx.spawn(wrap_future::<_, Session>(attempt).map(|result, session, ctx| match result {
            Ok(stream) => {
                session.opened(stream, ctx);
                session.steer(ctx);
            }
            Err(reason) => {
                session.machine.reconnect.connect_failed(now_ms(), reason.as_deref());
                session.log_machine();
                session.report(false);
                session.steer(ctx);
            }
        }));
    }

    fn arm(&mut self, now_ms: u64) {
        let timeout = self.machine.poll_timeout(now_ms);
        self.desk.arm(timeout.map(|(at, why)| (i64::try_from(at).unwrap_or(i64::MAX), why)));
        let parts = matches!(self.parting, Parting::Due(_));
        if parts || !self.unposted.is_empty() || self.told_backlog == self.out.is_empty() || self.may_resume() {
            self.desk.arm_by(clock::now_ms() + 1, "the database's mailbox is full");
        }
    }

    fn report(&mut self, ended: bool) {
        let stats = self.machine.reconnect.stats(now_ms());
        let now = clock::now_ms();
        let ago = |ms: Option<u64>| ms.and_then(|ms| i64::try_from(ms).ok()).map(|ms| now - ms);
        let status = SessionStatus {
            number: self.number,
            id: self.id,
            connected: self.stream.is_some(),
            state: stats.state.name(),
            connected_at_ms: ago(stats.msec_since_connect),
            disconnected_at_ms: ago(stats.msec_since_disconnect),
            ended,
        };
        let remotes = self.remotes.clone();
        if let Err(status) = remotes.post(status) {
            actix::spawn(async move {
                let _ = remotes.ask(status, Duration::from_secs(60)).await;
            });
        }
    }

    fn queue(&mut self, text: Text) {
        if transcript::is_wanted() {
            transcript::sent(self.machine.reconnect.name(), &octets::of_text(&text.to_str()));
        }
        for piece in text.into_pieces() {
            let carried = match octets::of_text(piece.as_str()) {
                Cow::Owned(octets) => Some(octets),
                Cow::Borrowed(_) => None,
            };
            let outgoing = carried.map_or(Outgoing::Text(piece), Outgoing::Octets);
            self.backlog += outgoing.as_bytes().len();
            self.out.push_back(outgoing);
        }
    }

    /// Writes what the peer takes now.
    fn write(&mut self, task: &mut TaskContext<'_>) -> io::Result<()> {
        while !self.out.is_empty() {
            let Some(stream) = self.stream.as_mut() else {
                return Ok(());
            };
            let written = match write_some(stream, &self.out, self.sent, task) {
                Poll::Pending => return Ok(()),
                Poll::Ready(written) => written?,
            };
            if written == 0 {
                return Err(io::Error::from(io::ErrorKind::WriteZero));
            }
            if self.has_waited {
                // Who takes what waited for it is alive.
                self.machine.reconnect.activity(now_ms());
            }
            self.backlog = self.backlog.saturating_sub(written);
            self.sent += written;
            while let Some(first) = self.out.front().map(|t| t.as_bytes().len()).filter(|len| *len <= self.sent) {
                self.sent -= first;
                self.out.pop_front();
            }
        }
        Ok(())
    }

    /// Reads what there is, within the budget, and hands the requests on.
    fn read(&mut self, task: &mut TaskContext<'_>) -> Result<(), Ending> {
        let mut budget = Budget::new(budget::SESSION_READ);
        while self.post() && !self.must_wait() && self.backlog < BACKLOG_PAUSE {
            if !budget.take() {
                task.waker().wake_by_ref();
                break;
            }
            let Some(stream) = self.stream.as_mut() else {
                return Ok(());
            };
            let machine = &mut self.machine;
            let got = BUFFER.with_borrow_mut(|buffer| {
                let mut buf = ReadBuf::new(buffer);
                match Pin::new(stream).poll_read(task, &mut buf) {
                    Poll::Pending => Poll::Pending,
                    Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                    Poll::Ready(Ok(())) => {
                        machine.feed(buf.filled(), now_ms());
                        Poll::Ready(Ok(buf.filled().len()))
                    }
                }
            });
            match got {
                Poll::Pending => break,
                Poll::Ready(Err(error)) => return Err(Ending::Failed(error)),
                Poll::Ready(Ok(0)) => return Err(Ending::Closed),
                Poll::Ready(Ok(_)) => {
                    self.past_runtime = 0;
                    self.parse()?;
                }
            }
        }
        Ok(())
    }

    fn parse(&mut self) -> Result<(), Ending> {
        transcript::heard(&mut self.machine);
        loop {
            let next = self.machine.next_message();
            transcript::heard(&mut self.machine);
            match next {
                Ok(Some(message @ (Message::Response { .. } | Message::Error { .. }))) => {
                    let kind = if matches!(message, Message::Error { .. }) { "error" } else { "reply" };
                    let name = self.machine.reconnect.name();
                    vlog::warn_rl!("ovsdb_jsonrpc_server", 60, 5, "{name}: received unexpected {kind} message");
                    return Err(Ending::Nonsense(None));
                }
                Ok(Some(message)) => self.unposted.push(message),
                Ok(None) => return self.unfinished.note(self.machine.pending()).map_err(Ending::Failed),
                Err(error) => {
                    let name = self.machine.reconnect.name();
                    warn(format_args!("{name}: {error}"));
                    if error.to_string().ends_with("byte 0: invalid character U+0016") {
                        vlog::warn_rl!("jsonrpc", 60, 5, "{name}: received SSL data on JSON-RPC channel");
                    }
                    return Err(Ending::Nonsense(Some("Protocol error")));
                }
            }
        }
    }

    /// Hands the requests to the database; false if it has no room.
    fn post(&mut self) -> bool {
        if self.unposted.is_empty() {
            return true;
        }
        let messages = std::mem::take(&mut self.unposted);
        match self.database.post(Requests { session: self.id, messages }) {
            Ok(()) => true,
            Err(back) => {
                self.unposted = back.messages;
                false
            }
        }
    }

    fn pump(&mut self, ctx: &mut Context<Self>, task: &mut TaskContext<'_>) {
        if self.stream.is_none() {
            return;
        }
        let mut read = if matches!(self.parting, Parting::No) { self.read(task) } else { Ok(()) };
        loop {
            let now = now_ms();
            while let Some(SessionAction::Send(text)) = self.machine.poll_output(now) {
                self.queue(text.into());
            }
            let wrote = !self.out.is_empty();
            let written = self.write(task);
            self.has_waited = !self.out.is_empty();
            if let Err(error) = written {
                if let Parting::Due(reason) | Parting::Asked(reason) | Parting::Done(reason) = self.parting {
                    // It has ceased to read as well.
                    return self.end(reason.map(str::to_owned), ctx);
                }
                let name = self.machine.reconnect.name();
                vlog::dbg!("jsonrpc", "{name}: send error: {}", errno_text(&error));
                return self.end(Some(errno_text(&error)), ctx);
            }
            if let Parting::Done(reason) = self.parting
                && self.out.is_empty()
            {
                return self.end(reason.map(str::to_owned), ctx);
            }
            if let Err(ending) = read {
                match ending {
                    // Who only ceased to write may still read.
                    Ending::Closed => self.parting = Parting::Due(None),
                    Ending::Nonsense(reason) => self.parting = Parting::Due(reason),
                    Ending::Failed(error) => return self.fail(&error, ctx),
                }
            }
            self.part();
            if self.out.is_empty()
                && let Some(reason) = self.close_when_sent.take()
            {
                self.tell_parting(&reason);
                return self.end(None, ctx);
            }
            self.tell_backlog();
            self.arm(now);
            if !wrote || !self.out.is_empty() || !matches!(self.parting, Parting::No) {
                return;
            }
            read = match self.look_on() {
                Ok(false) => return,
                Ok(true) => Ok(()),
                Err(ending) => Err(ending),
            };
        }
    }

    /// The log says why the server ends a connection.
    fn tell_parting(&self, reason: &str) {
        vlog::info!("ovsdb_jsonrpc_server", "{}: disconnecting ({reason})", self.machine.reconnect.name());
    }

    fn fail(&mut self, error: &io::Error, ctx: &mut Context<Self>) {
        let (name, text) = (self.machine.reconnect.name(), errno_text(error));
        warn(format_args!("{name}: receive error: {text}"));
        self.end(Some(text), ctx);
    }

    /// The peer is heard no more. What it asked for before is still served, and it gets the answers.
    fn part(&mut self) {
        if let Parting::Due(reason) = self.parting
            && !self.unjoined
            && self.post()
            && self.database.post(Part { session: self.id }).is_ok()
        {
            self.parting = Parting::Asked(reason);
        }
    }

    /// While the peer leaves texts waiting, the database gathers what its monitors see.
    fn tell_backlog(&mut self) {
        let waits = !self.out.is_empty();
        if waits != self.told_backlog && self.database.post(Backlog { session: self.id, waits }).is_ok() {
            self.told_backlog = waits;
        }
        if self.may_resume() && self.database.post(Resume { session: self.id }).is_ok() {
            self.paused = false;
            self.wake_pump();
        }
    }

    /// The database takes no requests of this session now.
    fn must_wait(&self) -> bool {
        self.unjoined || self.paused || self.behind
    }

    fn may_resume(&self) -> bool {
        self.paused && self.backlog < BACKLOG_PAUSE
    }

    /// Looks on for the next request, where one has come soon enough before: while the thread is awake the peer's
    /// request need not wake it. With more than one client at work nobody is waited for. True: something was read.
    fn look_on(&mut self) -> Result<bool, Ending> {
        let alone = LAST_WRITER.replace(self.id) == self.id;
        let Some(stream) = self.stream.as_ref().filter(|_| alone) else { return Ok(false) };
        if !self.linger.is_worth_it() {
            return Ok(false);
        }
        let until_us = clock::now_us() + LINGER_US;
        let ready = self.unposted.is_empty() && !self.must_wait() && self.past_runtime < PAST_RUNTIME;
        let machine = &mut self.machine;
        let seen = BUFFER.with_borrow_mut(|buffer| {
            // A clock that is stopped must not stop the server.
            let looks = (0..LOOKS).take_while(|_| clock::now_us() < until_us);
            looks.map(|_| (0..PAUSES).for_each(|_| std::hint::spin_loop())).find_map(|()| {
                if !ready {
                    return stream.is_readable().then_some(None);
                }
                let read = stream.read_past_runtime(buffer)?;
                if let Ok(count) = read {
                    machine.feed(&buffer[..count], now_ms());
                }
                Some(Some(read))
            })
        });
        self.linger.learn(seen.is_some());
        match seen.flatten() {
            None => Ok(false),
            Some(Err(error)) => Err(Ending::Failed(error)),
            Some(Ok(0)) => Err(Ending::Closed),
            Some(Ok(_)) => {
                self.past_runtime += 1;
                self.parse()?;
                self.post();
                Ok(true)
            }
        }
    }
}

/// Why a stream can be read no more.
enum Ending {
    Closed,
    Failed(io::Error),
    /// What came is no message, or none for a server; the reason to be told of.
    Nonsense(Option<&'static str>),
}

/// Whether a connection is to end that still has answers to get; the reason to be told of.
enum Parting {
    No,
    /// The database is to hear of it.
    Due(Option<&'static str>),
    /// It has.
    Asked(Option<&'static str>),
    /// It has answered all.
    Done(Option<&'static str>),
}

fn now_ms() -> u64 {
    u64::try_from(clock::now_ms()).unwrap_or(0)
}

/// Reads and writes whenever the session is woken: after its mailbox is empty, or when its stream is ready.
struct Pump;

impl ActorFuture<Session> for Pump {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        session: &mut Session,
        ctx: &mut Context<Session>,
        task: &mut TaskContext<'_>,
    ) -> Poll<()> {
        if !session.waker.as_ref().is_some_and(|w| w.will_wake(task.waker())) {
            session.waker = Some(task.waker().clone());
        }
        session.pump(ctx, task);
        Poll::Pending
    }
}

impl Actor for Session {
    type Context = Context<Self>;

    fn stopped(&mut self, _: &mut Context<Self>) {
        if self.unfinished.was_much() {
            actix::spawn(async {
                clock::sleep_real(GIVE_BACK_MS).await;
                sys::heap::give_back();
            });
        }
        if self.stream.take().is_some() {
            self.leave();
        }
        self.report(true);
        if let Some(family) = self.family.upgrade() {
            family.forget(self.desk.card());
        }
    }
}

impl Player for Session {
    fn desk(&mut self) -> &mut Desk {
        &mut self.desk
    }

    fn wake(&mut self, _: i64, ctx: &mut Context<Self>) {
        self.steer(ctx);
    }
}

impl Handler<Deliver> for Session {
    type Result = ();

    fn handle(&mut self, deliver: Deliver, ctx: &mut Context<Self>) {
        self.desk.received();
        if deliver.session != self.id || self.stream.is_none() {
            return;
        }
        // One answer may be as large as it is.
        let largest = || self.out.iter().map(|text| text.as_bytes().len()).max().unwrap_or(0);
        if self.backlog > BACKLOG_DROP && self.backlog - largest().min(self.backlog) > BACKLOG_DROP {
            let name = self.machine.reconnect.name();
            vlog::warn!("jsonrpc", "{name}: {} bytes wait for a peer that does not read, disconnecting", self.backlog);
            return self.end(Some("No buffer space available".to_owned()), ctx);
        }
        for text in deliver.texts {
            self.queue(text);
        }
        self.paused |= deliver.pause;
        self.behind = deliver.behind;
        if let Parting::Asked(reason) = self.parting
            && deliver.last
        {
            self.parting = Parting::Done(reason);
        }
        if deliver.close.is_some() {
            self.close_when_sent = deliver.close;
        }
    }
}

impl Handler<Steer> for Session {
    type Result = ();

    fn handle(&mut self, steer: Steer, ctx: &mut Context<Self>) {
        self.desk.received();
        match steer {
            Steer::Retire => {
                self.target = None;
                self.end(None, ctx);
                ctx.stop();
            }
            Steer::Reconnect(reason) => {
                if let Some(reason) = reason.filter(|_| self.stream.is_some()) {
                    self.tell_parting(reason);
                }
                self.machine.reconnect.force_reconnect(now_ms());
                self.steer(ctx);
            }
            Steer::Options(options) => {
                self.machine.reconnect.set_probe_interval(options.probe_ms);
                self.machine.reconnect.set_backoff(1000, options.max_backoff_ms);
                if let Some(stream) = &self.stream {
                    let _ = stream.set_dscp(options.dscp);
                }
                self.options = options;
                self.arm(now_ms());
            }
        }
    }
}

/// Warns of what peers do; all such warnings have one limit.
fn warn(text: std::fmt::Arguments<'_>) {
    vlog::write_limited("jsonrpc", vlog::Level::Warn, 5, 5, text);
}
