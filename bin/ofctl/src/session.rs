//! The connection to a switch: which one a name means, the hello, requests and their answers.

use std::cell::{OnceCell, RefCell};
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::sync::mpsc;

use cli::program::{self, strerror};
use cli::stream::Stream;
use cli::{dirs, stream};
use openflow::message::frame::message_len;
use openflow::message::kind::{self, Kind};
use openflow::message::{self, ErrorMessage, Message, hello};
use openflow::names::{NameMap, Names, Style};
use openflow::version::{Negotiated, negotiate};
use openflow::{ErrorCode, Msg, OfPort, Protocols, Version, VersionSet};

use crate::settings::Settings;
use crate::{Done, Failure, text};

/// Octets read at once.
const READ_SIZE: usize = 1 << 17;
/// How long a peer without a common version has to hang up, nanoseconds.
const HANGUP_NS: i64 = 100_000_000;
/// Threads that turn the parts of a long answer into text.
const WRITERS: usize = 2;
/// Parts that may wait for one of them.
const PARTS_A_WRITER: usize = 4;

/// A connection to a switch or controller.
pub(crate) struct Session {
    /// The name as messages have it: `unix:/run/br0.mgmt`.
    pub name: String,
    /// The name as the user gave it.
    pub given: String,
    /// The version agreed upon.
    pub version: Version,
    stream: RefCell<Stream>,
    input: RefCell<Input>,
    xid: std::cell::Cell<u32>,
    ports: OnceCell<NameMap>,
    tables: OnceCell<NameMap>,
    names_skipped: std::cell::Cell<bool>,
}

/// Octets that came in and are not yet taken out.
#[derive(Default)]
struct Input {
    octets: Vec<u8>,
    start: usize,
    /// Messages that came while another was waited for.
    aside: VecDeque<Vec<u8>>,
}

/// Which of a bridge's sockets.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// For management.
    Management,
    /// For listening in on controllers.
    Snoop,
}

/// A failure of the kind `text (error)`.
pub(crate) fn because(text: &str, error: &io::Error) -> Failure {
    Failure::Text(format!("{text} ({})", strerror(error)))
}

fn end_of_file() -> io::Error {
    io::ErrorKind::UnexpectedEof.into()
}

/// A protocol error, as the system counts it.
const EPROTO: i32 = 71;

/// Connects to the socket `path` if there is anything there.
fn open_socket(path: &str, settings: &Settings) -> Result<Option<(String, Stream)>, Failure> {
    let name = format!("unix:{path}");
    match Stream::connect(&name, &settings.stream()) {
        Ok(stream) => Ok(Some((name, stream))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let full = dirs::below(&dirs::rundir(), path);
            vlog::dbg!("stream_unix", "{full}: connection failed ({})", strerror(&error));
            Ok(None)
        }
        Err(error) => Err(because(&format!("{path}: failed to open socket"), &error)),
    }
}

fn open_stream(name: &str, target: Target, settings: &Settings) -> Result<(String, Stream), Failure> {
    if stream::is_passive(name) || (name.contains(':') && !name.starts_with('/')) {
        let is_method = ["tcp:", "ssl:", "unix:", "ptcp:", "pssl:", "punix:"].iter().any(|m| name.starts_with(m));
        if is_method {
            return match Stream::connect(name, &settings.stream()) {
                Ok(stream) => Ok((name.to_string(), stream)),
                // The socket is connected by then: the handshake failed.
                Err(error) if name.starts_with("ssl:") && error.raw_os_error() == Some(EPROTO) => {
                    Err(because(&format!("{name}: failed to connect to socket"), &error))
                }
                Err(error) => Err(because(&format!("connecting to {name}"), &error)),
            };
        }
        let error = io::Error::from_raw_os_error(97);
        if !name.contains('@') {
            return Err(because(&format!("connecting to {name}"), &error));
        }
    }
    let suffix = if target == Target::Snoop { "snoop" } else { "mgmt" };
    let bridge = name.rsplit_once('@').map_or(name, |(_, bridge)| bridge);
    let own = format!("{}/{bridge}.{suffix}", dirs::rundir());
    for path in [name, &own] {
        if let Some((full, stream)) = open_socket(path, settings)? {
            vlog::dbg!("ofctl", "connecting to {full}");
            return Ok((full, stream));
        }
    }
    Err(Failure::Text(format!("{name} is not a bridge or a socket")))
}

impl Session {
    /// Connects to `name`'s management socket and agrees on a version.
    pub fn open(name: &str, settings: &Settings) -> Result<Session, Failure> {
        Session::open_target(name, Target::Management, settings)
    }

    /// Connects to one of `name`'s sockets and agrees on a version.
    pub fn open_target(name: &str, target: Target, settings: &Settings) -> Result<Session, Failure> {
        let (full, stream) = open_stream(name, target, settings)?;
        let session = Session {
            name: full,
            given: name.to_string(),
            version: Version::V10,
            stream: RefCell::new(stream),
            input: RefCell::default(),
            xid: std::cell::Cell::new(1),
            names_skipped: std::cell::Cell::new(false),
            ports: OnceCell::new(),
            tables: OnceCell::new(),
        };
        session.negotiate(settings.versions).map_err(|error| match error {
            Ok(error) => because(&format!("{name}: failed to connect to socket"), &error),
            Err(failure) => failure,
        })
    }

    fn negotiate(mut self, ours: VersionSet) -> Result<Session, Result<io::Error, Failure>> {
        let mut out = Vec::new();
        let own = hello::Hello { versions: ours, header_version: 0, malformed: false };
        let version = ours.newest().unwrap_or(Version::V10);
        let _ = message::encode_into(&mut out, &Message::Hello(own), version, self.next_xid());
        self.write(&out).map_err(Ok)?;
        let first = self.receive().map_err(Ok)?;
        let head = kind::head(&first).map_err(|_| Ok(protocol_error()))?;
        if head.shape.kind != Kind::Hello {
            let text = text::message(&first, 1, Style::default());
            vlog::warn!("vconn", "{}: received message while expecting hello: {text}", self.name);
            return Err(Ok(protocol_error()));
        }
        let theirs = match message::decode(&first) {
            Ok(Msg { body: Message::Hello(hello), .. }) => hello.versions,
            _ => VersionSet::up_to(head.version),
        };
        match negotiate(ours, theirs) {
            Negotiated::Agreed(version) => {
                vlog::dbg!("vconn", "{}: {}", self.name, openflow::version::agreement(version, ours, theirs));
                self.version = version;
                Ok(self)
            }
            Negotiated::Failed { version, data, log } => {
                vlog::warn!("vconn", "{}: {log}", self.name);
                let error = ErrorMessage::hello_failed(ErrorCode::OFPHFC_INCOMPATIBLE, &data);
                let mut out = Vec::new();
                let _ = message::encode_into(&mut out, &Message::Error(error), version, 0);
                self.wait_for_hangup();
                Err(Ok(self.write(&out).err().unwrap_or_else(protocol_error)))
            }
        }
    }

    /// A switch that finds no common version hangs up, and that it did is what is reported then: gives it the time to.
    fn wait_for_hangup(&self) {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        use std::os::fd::AsFd;
        let stream = self.stream.borrow();
        if let Stream::Unix(stream) = &*stream {
            let mut fds = [PollFd::from_borrowed_fd(stream.as_fd(), PollFlags::empty())];
            // Whatever comes of it, there is something to report.
            let _ = poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: HANGUP_NS }));
        }
    }

    /// A transaction identifier not used before.
    pub fn next_xid(&self) -> u32 {
        let xid = self.xid.get();
        self.xid.set(xid.wrapping_add(1));
        xid
    }

    /// Sends messages.
    pub fn write(&self, messages: &[u8]) -> io::Result<()> {
        let result = self.put(messages);
        let outcome = result.as_ref().map_or_else(strerror, |()| "Success".into());
        self.log_sent(messages, &outcome);
        result
    }

    fn put(&self, octets: &[u8]) -> io::Result<()> {
        self.stream.borrow_mut().write_all(octets)
    }

    /// Says which messages were sent, and how it went.
    fn log_sent(&self, mut messages: &[u8], outcome: &str) {
        if !vlog::module("vconn").enabled(vlog::Level::Dbg) {
            return;
        }
        while let Ok(Some(len)) = message_len(messages) {
            let (message, rest) = messages.split_at(len);
            vlog::dbg_rl!("vconn", 600, 600, "{}: sent ({outcome}): {}", self.name, text::Shown(message));
            messages = rest;
        }
    }

    /// Whether a whole message is here already.
    fn buffered(&self) -> io::Result<Option<Vec<u8>>> {
        let mut input = self.input.borrow_mut();
        let at = input.start;
        let len = message_len(&input.octets[at..]).map_err(|_| protocol_error())?;
        let Some(len) = len else { return Ok(None) };
        input.start += len;
        let message = &input.octets[at..at + len];
        vlog::dbg_rl!("vconn", 600, 600, "{}: received: {}", self.name, text::Shown(message));
        Ok(Some(message.to_vec()))
    }

    /// Reads what there is to read; waits if there is nothing.
    fn fill(&self) -> io::Result<()> {
        let mut input = self.input.borrow_mut();
        if input.start > 0 {
            let start = input.start;
            input.octets.drain(..start);
            input.start = 0;
        }
        let before = input.octets.len();
        input.octets.resize(before + READ_SIZE, 0);
        let result = loop {
            match self.stream.borrow_mut().read(&mut input.octets[before..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result,
            }
        };
        input.octets.truncate(before + *result.as_ref().unwrap_or(&0));
        match result? {
            0 => Err(end_of_file()),
            _ => Ok(()),
        }
    }

    /// Waits for the next message.
    pub fn receive(&self) -> io::Result<Vec<u8>> {
        if let Some(message) = self.input.borrow_mut().aside.pop_front() {
            return Ok(message);
        }
        loop {
            if let Some(message) = self.buffered()? {
                return Ok(message);
            }
            self.fill()?;
        }
    }

    /// The next message if one is here already or can be read without waiting; for use after a poll.
    pub fn receive_ready(&self, readable: bool) -> io::Result<Option<Vec<u8>>> {
        if let Some(message) = self.buffered()? {
            return Ok(Some(message));
        }
        if readable {
            self.fill()?;
            return self.buffered();
        }
        Ok(None)
    }

    /// Waits until there is something to read here or on one of `others`; tells whether it is here, and which others.
    pub fn poll(&self, others: &[std::os::fd::BorrowedFd<'_>], here: bool) -> io::Result<(bool, Vec<bool>)> {
        use rustix::event::{PollFd, PollFlags, poll};
        use std::os::fd::AsFd;
        let stream = self.stream.borrow();
        let flags = if here { PollFlags::IN } else { PollFlags::empty() };
        let mut fds = vec![PollFd::from_borrowed_fd(stream.as_fd(), flags)];
        fds.extend(others.iter().map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN)));
        if here && stream.has_buffered_input() {
            return Ok((true, vec![false; others.len()]));
        }
        match poll(&mut fds, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let ready = |fd: &PollFd<'_>| !fd.revents().is_empty();
        Ok((here && ready(&fds[0]), fds[1..].iter().map(ready).collect()))
    }

    /// Writes a message in the session's version; what it cannot say ends the command.
    pub fn encode(&self, message: &Message) -> Result<Vec<u8>, Failure> {
        message::encode(message, self.version, self.next_xid()).map_err(|error| cannot(&error))
    }

    /// Sends a message and waits for the one with its transaction's number.
    pub fn transact(&self, request: &[u8]) -> Result<Vec<u8>, Failure> {
        let xid = xid_of(request);
        let failed = |error: io::Error| because(&format!("talking to {}", self.name), &error);
        self.write(request).map_err(failed)?;
        loop {
            let reply = self.receive().map_err(failed)?;
            if xid_of(&reply) == xid {
                return Ok(reply);
            }
            vlog::dbg!("vconn", "{}: received reply with xid {:08x} != expected {xid:08x}", self.name, xid_of(&reply));
        }
    }

    /// Sends requests that have no answer, then a barrier; the first error that one of them gets.
    pub fn transact_noreply(&self, requests: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
        self.transact_windows(std::iter::once(requests), 0)
    }

    /// Sends windows of requests that have no answer, each with a barrier behind it, when all but `ahead` of those before it
    /// are carried out. The first error that a request gets; no window is sent once it is here.
    pub fn transact_windows<'a>(
        &self,
        windows: impl IntoIterator<Item = &'a [u8]>,
        ahead: usize,
    ) -> Result<Option<Vec<u8>>, Failure> {
        self.pipeline(windows, ahead).map_err(|error| because(&format!("talking to {}", self.name), &error))
    }

    fn pipeline<'a>(&self, windows: impl IntoIterator<Item = &'a [u8]>, ahead: usize) -> io::Result<Option<Vec<u8>>> {
        let mut barriers: VecDeque<u32> = VecDeque::new();
        let mut windows = windows.into_iter().peekable();
        let first_xid = windows.peek().map(|window| xid_of(window));
        let mut error = None;
        let look = |session: &Session, barriers: &mut VecDeque<u32>, error: &mut Option<Vec<u8>>| -> io::Result<()> {
            let reply = session.receive()?;
            let xid = xid_of(&reply);
            if barriers.front() == Some(&xid) {
                barriers.pop_front();
                return Ok(());
            }
            let ours = first_xid.is_some_and(|first| xid.wrapping_sub(first) < session.xid.get().wrapping_sub(first));
            if ours && is_error(&reply) {
                error.get_or_insert(reply);
            } else {
                let text = text::message(&reply, 1, Style::default());
                vlog::dbg!("vconn", "{}: received unexpected reply {text}", session.name);
            }
            Ok(())
        };
        for window in windows {
            self.write_all_reading(window, &mut |session| look(session, &mut barriers, &mut error))?;
            let barrier_xid = self.next_xid();
            let mut barrier = Vec::new();
            let _ = message::encode_into(&mut barrier, &Message::BarrierRequest, self.version, barrier_xid);
            barriers.push_back(barrier_xid);
            self.write_all_reading(&barrier, &mut |session| look(session, &mut barriers, &mut error))?;
            while barriers.len() > ahead {
                look(self, &mut barriers, &mut error)?;
            }
            if error.is_some() {
                break;
            }
        }
        while !barriers.is_empty() {
            look(self, &mut barriers, &mut error)?;
        }
        Ok(error)
    }

    /// Sends the messages of a bundle; errors that come meanwhile are kept.
    pub fn write_bundle(&self, messages: &[u8], errors: &mut Vec<Vec<u8>>) -> io::Result<()> {
        self.write_all_reading(messages, &mut |session| {
            let reply = session.receive()?;
            if is_error(&reply) {
                errors.push(reply);
            }
            Ok(())
        })
    }

    /// Sends octets; reads what comes meanwhile, so that neither side waits for the other for ever.
    fn write_all_reading(&self, octets: &[u8], read: &mut dyn FnMut(&Session) -> io::Result<()>) -> io::Result<()> {
        const CHUNK: usize = 1 << 16;
        self.log_sent(octets, "Success");
        for chunk in octets.chunks(CHUNK) {
            while self.is_readable()? {
                read(self)?;
            }
            self.put(chunk)?;
        }
        while self.is_readable()? {
            read(self)?;
        }
        Ok(())
    }

    fn is_readable(&self) -> io::Result<bool> {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        use std::os::fd::AsFd;
        {
            let input = self.input.borrow();
            if message_len(&input.octets[input.start..]).is_ok_and(|len| len.is_some()) {
                return Ok(true);
            }
        }
        let stream = self.stream.borrow();
        let mut fds = [PollFd::from_borrowed_fd(stream.as_fd(), PollFlags::IN)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        Ok(poll(&mut fds, Some(&now))? > 0)
    }

    /// Sends requests that have no answer; an error is shown and ends the command.
    pub fn change(&self, requests: &[u8], settings: &Settings) -> Done {
        self.change_in_windows(std::iter::once(requests), 0, settings)
    }

    /// As [`Session::change`], with windows of requests as [`Session::transact_windows`] has them.
    pub fn change_in_windows<'a>(
        &self,
        windows: impl IntoIterator<Item = &'a [u8]>,
        ahead: usize,
        settings: &Settings,
    ) -> Done {
        match self.transact_windows(windows, ahead)? {
            None => Ok(()),
            Some(error) => {
                program::flush_stdout();
                program::eprint_quiet(&self.text(&error, settings, 2));
                Err(Failure::Said)
            }
        }
    }

    /// Sends a request and prints the answer, all parts of it.
    pub fn dump(&self, request: &Message, settings: &Settings) -> Done {
        let request = self.encode(request)?;
        self.dump_octets(&request, settings)
    }

    /// As [`Session::dump`].
    pub fn dump_octets(&self, request: &[u8], settings: &Settings) -> Done {
        let Ok(head) = kind::head(request) else { return Err("bad request".into()) };
        if !head.shape.class.is_multipart() {
            let reply = self.transact(request)?;
            program::print(&self.text(&reply, settings, 1));
            return Ok(());
        }
        self.write(request).map_err(|e| because("failed to send packet to switch", &e))?;
        let (part, more) = self.next_part(&head)?;
        program::print(&self.text(&part, settings, 1));
        if more { self.dump_rest(&head, settings) } else { Ok(()) }
    }

    /// The next part of the answer to a request, and whether another one follows.
    fn next_part(&self, request: &kind::Head<'_>) -> Result<(Vec<u8>, bool), Failure> {
        loop {
            let reply = self.receive().map_err(|e| because("OpenFlow packet receive failed", &e))?;
            if xid_of(&reply) != request.xid {
                continue;
            }
            let more = kind::head(&reply).is_ok_and(|h| {
                h.shape.class.is_reply()
                    && h.shape.number == request.shape.number
                    && h.shape.class.vendor() == request.shape.class.vendor()
                    && h.flags & kind::MORE != 0
            });
            return Ok((reply, more));
        }
    }

    /// Prints the parts behind the first one, which become text on several threads while further ones are read.
    fn dump_rest(&self, request: &kind::Head<'_>, settings: &Settings) -> Done {
        let (style, verbosity) = (self.style(settings), settings.verbosity.saturating_add(1));
        std::thread::scope(|scope| {
            let writers: Vec<_> = (0..WRITERS)
                .map(|_| {
                    let (parts, work) = mpsc::sync_channel::<Vec<u8>>(PARTS_A_WRITER);
                    let (done, texts) = mpsc::sync_channel::<String>(PARTS_A_WRITER);
                    scope.spawn(move || {
                        let show = |part: Vec<u8>| done.send(text::message(&part, verbosity, style));
                        work.iter().try_for_each(show)
                    });
                    (parts, texts)
                })
                .collect();
            // Parts go to the writers in turn, and their texts come back in the same turn.
            let (mut given, mut printed) = (0, 0);
            let print_one = |printed: &mut usize| {
                if let Ok(text) = writers[*printed % WRITERS].1.recv() {
                    program::print(&text);
                }
                *printed += 1;
            };
            let mut result = Ok(true);
            while let Ok(true) = result {
                result = self.next_part(request).map(|(part, more)| {
                    let _ = writers[given % WRITERS].0.send(part);
                    given += 1;
                    more
                });
                if given - printed >= WRITERS * PARTS_A_WRITER {
                    print_one(&mut printed);
                }
            }
            while printed < given {
                print_one(&mut printed);
            }
            result.map(drop)
        })
    }

    /// Sends a multipart request and gives every part of the answer, decoded, to `part`. An error is shown and ends the
    /// command; `what` says what was being done.
    pub fn each_part(&self, request: &Message, what: &str, mut part: impl FnMut(Msg) -> Done) -> Done {
        let octets = self.encode(request)?;
        self.each_part_of(&octets, what, &mut part)
    }

    /// As [`Session::each_part`].
    pub fn each_part_of(&self, request: &[u8], what: &str, part: &mut dyn FnMut(Msg) -> Done) -> Done {
        let failed = |error: io::Error| because(what, &error);
        self.write(request).map_err(failed)?;
        loop {
            let reply = self.receive().map_err(failed)?;
            if xid_of(&reply) != xid_of(request) {
                continue;
            }
            if is_error(&reply) {
                let text = text::message(&reply, 1, Style::default());
                vlog::warn!("vconn", "received unexpected reply: {text}");
                return Err(failed(protocol_error()));
            }
            let more = kind::is_more(&reply);
            let msg = text::decoded(&reply).ok_or_else(|| failed(protocol_error()))?;
            part(msg)?;
            if !more {
                return Ok(());
            }
        }
    }

    /// A message as text, with `more` added to the verbosity.
    pub fn text(&self, octets: &[u8], settings: &Settings, more: u8) -> String {
        text::message(octets, settings.verbosity.saturating_add(more), self.style(settings))
    }

    fn style(&self, settings: &Settings) -> Style<'_> {
        let names = if settings.shows_names() { self.names() } else { Names::NONE };
        Style { names, colors: settings.colors }
    }

    /// Names of ports and tables, asked for once.
    pub fn names(&self) -> Names<'_> {
        // The transactions' numbers are those of requests on connections of their own before this one.
        let next = self.xid.get();
        let tables = self.tables.get_or_init(|| {
            self.set_next_xid(next.wrapping_sub(4));
            self.fetch_tables()
        });
        let ports = self.ports.get_or_init(|| {
            self.set_next_xid(next.wrapping_sub(2));
            self.fetch_ports()
        });
        self.set_next_xid(next);
        Names { ports: Some(ports), tables: Some(tables), notes: None }
    }

    fn fetch_ports(&self) -> NameMap {
        let mut map = NameMap::new();
        if let Ok(ports) = self.ports() {
            for port in ports {
                map.insert_port(port.port, &port.name);
            }
        }
        map
    }

    fn fetch_tables(&self) -> NameMap {
        let mut map = NameMap::new();
        let request = if self.version >= Version::V13 {
            Message::TableFeaturesRequest(Vec::new())
        } else {
            Message::TableStatsRequest
        };
        let _ = self.each_part(&request, "fetching table names", |msg| {
            match msg.body {
                Message::TableFeaturesReply(tables) => {
                    for table in tables.iter().filter(|t| !t.name.is_empty()) {
                        map.insert(u32::from(table.table_id), &table.name);
                    }
                }
                Message::TableStatsReply(tables) => {
                    for table in tables.iter().filter(|t| !t.features.name.is_empty()) {
                        map.insert(u32::from(table.table_id), &table.features.name);
                    }
                }
                _ => {}
            }
            Ok(())
        });
        map
    }

    /// All ports, from the features where they are complete there.
    pub fn ports(&self) -> Result<Vec<message::PortDesc>, Failure> {
        let mut ports = Vec::new();
        if self.version < Version::V13 {
            let request = self.encode(&Message::FeaturesRequest)?;
            let reply = self.transact(&request)?;
            if let Ok(Msg { body: Message::FeaturesReply(features), .. }) = message::decode(&reply) {
                ports = features.ports;
                // A message that is nearly full may have had no room for all ports.
                if reply.len() + 64 <= usize::from(u16::MAX) {
                    return Ok(ports);
                }
            }
        }
        let mut all = Vec::new();
        let request = Message::PortDescRequest(OfPort::ANY);
        let result = self.each_part(&request, "talking to switch", |msg| {
            if let Message::PortDescReply(more) = msg.body {
                all.extend(more);
            }
            Ok(())
        });
        if result.is_ok() {
            ports = all;
        }
        Ok(ports)
    }

    /// Makes the switch use `want`; says whether it does.
    pub fn try_protocol(&self, want: Protocols, current: &mut Protocols) -> Result<bool, Failure> {
        loop {
            if *current == want {
                return Ok(true);
            }
            let (request, next) = if current.base() == want.base() {
                let on = Protocols::TABLE_ID.contains(want);
                (Message::FlowModTableId(on), want)
            } else if want.version() == current.version() && want.version() == Some(Version::V10) {
                let nxm = Protocols::OF10_NXM_ANY.contains(want);
                let format = if nxm { message::nx::FlowFormat::Nxm } else { message::nx::FlowFormat::OpenFlow10 };
                let table_id = Protocols::TABLE_ID.contains(*current);
                (Message::SetFlowFormat(format), want.base().set_table_id(table_id))
            } else {
                return Ok(false);
            };
            let octets = self.encode(&request)?;
            if let Some(error) = self.transact_noreply(&octets)? {
                let text = text::message(&error, 2, Style::default());
                vlog::dbg!("ofctl", "{}: failed to set protocol, switch replied: {text}", self.name);
                return Ok(false);
            }
            *current = next;
        }
    }

    /// Leaves out the transactions by which names of ports and tables are asked for, once, on connections of their own.
    pub fn skip_names(&self) {
        if !self.names_skipped.replace(true) {
            self.set_next_xid(self.xid.get().wrapping_add(4));
        }
    }

    /// Sets the numbers of `n` transactions aside. Gives the first one.
    pub fn reserve_xids(&self, n: usize) -> u32 {
        let first = self.next_xid();
        self.set_next_xid(first.wrapping_add(n as u32));
        first
    }

    /// Sets the number of the next transaction, where others have gone before on connections of their own.
    pub fn set_next_xid(&self, xid: u32) {
        self.xid.set(xid);
    }
}

/// What cannot be said in the version, as the user reads it.
pub(crate) fn cannot(error: &message::Unsupported) -> Failure {
    Failure::Text(error.to_string())
}

fn protocol_error() -> io::Error {
    cli::stream::errno::protocol_error()
}

/// The transaction number of a message that has a header.
pub(crate) fn xid_of(octets: &[u8]) -> u32 {
    octets.get(4..8).map_or(0, |o| u32::from_be_bytes([o[0], o[1], o[2], o[3]]))
}

/// Whether a message is an error.
pub(crate) fn is_error(octets: &[u8]) -> bool {
    octets.get(1) == Some(&1)
}
