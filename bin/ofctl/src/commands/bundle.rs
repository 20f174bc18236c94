//! `bundle`, and flow-mods in bundles: all or nothing.

use cli::program;
use openflow::flow_mod::{Command, PackedFlowMod, ParsedFlowMod};
use openflow::message::bundle::{BUNDLE_ATOMIC, BUNDLE_ORDERED, BundleCtrlType};
use openflow::message::kind::{self};
use openflow::message::{self, BundleCtrl, ErrorKind, Message};
use openflow::parse::bundle::{Line, parse_line};
use openflow::{Protocols, Version};

use super::flow_file;
use super::flows::{dialect, noting_line, open_for_flow_mod, open_named, session};
use crate::session::{Session, because, cannot, is_error, xid_of};
use crate::settings::{Settings, with_bundles};
use crate::{Done, Failure};

/// Versions that have bundles, as protocols.
const USABLE: Protocols = Protocols::OF13_UP;
const FLAGS: u16 = BUNDLE_ATOMIC | BUNDLE_ORDERED;
const ID: u32 = 0;

/// Sends flow-mods as one bundle.
pub(super) fn send_flow_mods(
    settings: &Settings,
    found: Option<Session>,
    switch: &str,
    flow_mods: &[PackedFlowMod],
    usable: Protocols,
) -> Done {
    let (session, protocol) = open_for_flow_mod(found, switch, usable & USABLE, settings)?;
    let table_id = Protocols::TABLE_ID.contains(protocol);
    let mut bundle = Bundle::new(&session);
    bundle.begin(flow_mods.len())?;
    for flow_mod in flow_mods {
        let flow_mod = flow_mod.unpack();
        bundle.add(|out, version, xid| {
            message::encode_flow_mod(out, dialect(protocol), &flow_mod, table_id, version, xid)
        })?;
    }
    bundle.commit(settings)
}

/// Sends the flow-mods of a long file as one bundle while it is still being read. Gives nothing where a line cannot be
/// said so: it may use names, be in error or want another protocol. The connection has ended then, and the bundle with it,
/// and nothing of it has been told of.
pub(super) fn stream(
    settings: &Settings,
    found: Option<Session>,
    switch: &str,
    text: &flow_file::Text,
    command: Command,
) -> Option<Done> {
    let session = session(found, switch, settings).ok()?;
    let (version, protocol) = (session.version, Protocols::initial(session.version));
    if !(USABLE & settings.allowed).contains(protocol) {
        return None;
    }
    let table_id = Protocols::TABLE_ID.contains(protocol);
    let mut bundle = Bundle::new(&session);
    let first = bundle.reserve(text.len());
    let encode = |out: &mut Vec<u8>, place: usize, parsed: &ParsedFlowMod| {
        let write = |out: &mut Vec<u8>, version, xid| {
            message::encode_flow_mod(out, dialect(protocol), &parsed.flow_mod, table_id, version, xid)
        };
        parsed.usable.contains(protocol) && put_add(out, version, first.wrapping_add(place as u32), write).is_ok()
    };
    let mut blocks = Vec::new();
    let mut sent: Done = bundle.open();
    let is_whole = flow_file::each_block(text, command, &encode, |mut block| {
        bundle.added.append(&mut std::mem::take(&mut block.octets));
        if sent.is_ok() {
            sent = bundle.flush();
        }
        blocks.push(block);
    });
    if !is_whole {
        return None;
    }
    blocks.iter().for_each(flow_file::Block::log);
    Some(sent.and_then(|()| bundle.commit(settings)))
}

/// Appends a message of a bundle, which `write` appends.
fn put_add(
    out: &mut Vec<u8>,
    version: Version,
    xid: u32,
    write: impl FnOnce(&mut Vec<u8>, Version, u32) -> Result<(), message::Unsupported>,
) -> Done {
    let shape = kind::shape_of(kind::Kind::BundleAdd, version, false)
        .ok_or_else(|| format!("bundles need OpenFlow 1.3 or later, not {version}"))?;
    let start = out.len();
    kind::put_head(out, shape, version, xid);
    out.extend_from_slice(&ID.to_be_bytes());
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(&FLAGS.to_be_bytes());
    write(out, version, xid).map_err(|e| cannot(&e))?;
    kind::finish(out, start);
    Ok(())
}

/// Octets that are sent at once.
const PIECE: usize = 1 << 16;

/// A bundle on its way.
pub(super) struct Bundle<'a> {
    session: &'a Session,
    /// What was added, to be shown beside errors.
    added: Vec<u8>,
    /// How much of it is sent.
    sent: usize,
    errors: Vec<Vec<u8>>,
    /// Whether all is well, and the control message sent last, once the bundle is open.
    state: Option<(bool, Vec<u8>)>,
    /// The next transaction of those that were set aside for messages.
    reserved: Option<u32>,
}

impl<'a> Bundle<'a> {
    /// A bundle without messages; it is sent when it is complete.
    pub fn new(session: &'a Session) -> Bundle<'a> {
        Bundle { session, added: Vec::new(), sent: 0, errors: Vec::new(), state: None, reserved: None }
    }

    /// Opens the bundle at once, so that its `n` messages are sent as they come.
    pub fn begin(&mut self, n: usize) -> Done {
        self.reserve(n);
        self.open()
    }

    /// Sets numbers aside for `n` messages, which are lower than those of what opens the bundle, as if they had been made
    /// before. Gives the first one.
    fn reserve(&mut self, n: usize) -> u32 {
        let first = self.session.reserve_xids(n);
        self.reserved = Some(first);
        first
    }

    fn open(&mut self) -> Done {
        self.state = Some(self.step(BundleCtrlType::OpenRequest, BundleCtrlType::OpenReply)?);
        Ok(())
    }

    /// Adds the message that `write` appends.
    pub fn add(&mut self, write: impl FnOnce(&mut Vec<u8>, Version, u32) -> Result<(), message::Unsupported>) -> Done {
        let version = self.session.version;
        let xid = match &mut self.reserved {
            Some(next) => std::mem::replace(next, next.wrapping_add(1)),
            None => self.session.next_xid(),
        };
        put_add(&mut self.added, version, xid, write)?;
        if self.state.is_some() && self.added.len() - self.sent >= PIECE { self.flush() } else { Ok(()) }
    }

    /// Sends what was added, unless a message was refused.
    fn flush(&mut self) -> Done {
        let failed = |e: std::io::Error| because(&format!("talking to {}", self.session.name), &e);
        if let Some((good @ true, _)) = &mut self.state {
            self.session.write_bundle(&self.added[self.sent..], &mut self.errors).map_err(failed)?;
            self.sent = self.added.len();
            *good = self.errors.is_empty();
        }
        Ok(())
    }

    /// Sends what is not sent yet, waits until the switch has read it, and commits unless a message was refused.
    pub fn commit(mut self, settings: &Settings) -> Done {
        if self.state.is_none() {
            self.open()?;
        }
        self.flush()?;
        let (mut good, mut last) = self.state.take().unwrap_or_default();
        if good {
            let barrier = self.session.encode(&Message::BarrierRequest)?;
            (good, last) = self.ask(barrier, |reply| matches!(reply, Message::BarrierReply))?;
        }
        if good {
            (good, last) = self.step(BundleCtrlType::CommitRequest, BundleCtrlType::CommitReply)?;
        }
        if good && self.errors.is_empty() {
            return Ok(());
        }
        if self.errors.iter().all(|e| xid_of(e) != xid_of(&last)) {
            let _ = self.step(BundleCtrlType::DiscardRequest, BundleCtrlType::DiscardReply);
        }
        self.tell(&last, settings);
        let error = std::io::Error::from_raw_os_error(71);
        Err(because(&format!("talking to {}", self.session.name), &error))
    }

    /// One control message and its answer, as [`Bundle::ask`]. Gives the request too.
    fn step(&mut self, ask: BundleCtrlType, expect: BundleCtrlType) -> Result<(bool, Vec<u8>), Failure> {
        let ctrl = Message::BundleCtrl(BundleCtrl { id: ID, kind: ask, flags: FLAGS });
        let request = self.session.encode(&ctrl)?;
        self.ask(request, |reply| matches!(reply, Message::BundleCtrl(c) if c.kind == expect && c.id == ID))
    }

    /// A request and its answer, which is good if `is_good` says so and nothing was refused; errors that come are kept.
    fn ask(&mut self, request: Vec<u8>, is_good: impl Fn(&Message) -> bool) -> Result<(bool, Vec<u8>), Failure> {
        let failed = |e: std::io::Error| because(&format!("talking to {}", self.session.name), &e);
        self.session.write(&request).map_err(failed)?;
        loop {
            let reply = self.session.receive().map_err(failed)?;
            let ours = xid_of(&reply) == xid_of(&request);
            if is_error(&reply) {
                self.errors.push(reply);
                if ours {
                    return Ok((false, request));
                }
                continue;
            }
            if ours {
                let good = message::decode(&reply).is_ok_and(|m| is_good(&m.body));
                return Ok((good && self.errors.is_empty(), request));
            }
        }
    }

    /// The errors, each with the message it is about.
    fn tell(&self, last: &[u8], settings: &Settings) {
        program::flush_stdout();
        for error in &self.errors {
            let Ok(Message::Error(told)) = message::decode(error).map(|m| m.body) else { continue };
            let ErrorKind::Known(code) = told.code else {
                program::eprint_quiet("***decode error***");
                continue;
            };
            // The error quotes only the first octets: the whole message is shown where it is known.
            let about = match self.message_of(xid_of(error)) {
                Some(message) => message,
                None if xid_of(last) == xid_of(error) => last,
                None => &told.data,
            };
            program::eprint_quiet(&format!("Error {code} for: {}", self.session.text(about, settings, 1)));
        }
    }

    /// The message within the bundle-add of this transaction.
    fn message_of(&self, xid: u32) -> Option<&[u8]> {
        let mut rest = &self.added[..];
        while rest.len() >= 8 {
            let len = usize::from(u16::from_be_bytes([rest[2], rest[3]]));
            if xid_of(rest) == xid {
                let head = kind::head(rest.get(..len)?).ok()?;
                return head.body.get(8..);
            }
            rest = rest.get(len..)?;
        }
        None
    }
}

/// `bundle SWITCH FILE`: flow-mods, group-mods and packet-outs, one a line.
pub(super) fn bundle(settings: &Settings, args: &[String]) -> Done {
    let (switch, file) = (&args[0], &args[1]);
    // The command is of no use without a version that has bundles: the oldest is then allowed without asking.
    let versions = with_bundles(settings.versions);
    let allowed = if versions == settings.versions { settings.allowed } else { Protocols::of_versions(versions) };
    let settings = &Settings { versions, allowed, ..settings.clone() };
    let found = if settings.accepts_names() { Some(open_named(switch, settings)?) } else { None };
    let mut lines = Vec::new();
    let mut usable = USABLE;
    let mut names = openflow::names::Names::NONE;
    flow_file::lines(file, |text, number| {
        let parsed = noting_line(found.as_ref(), &mut names, |names| parse_line(text, names));
        let (line, protocols) = parsed.map_err(|e| Failure::Text(format!("{file}:{number}: {e}")))?;
        usable &= protocols;
        lines.push(line);
        Ok(())
    })?;
    let session = &open_for_flow_mod(found, switch, usable, settings)?.0;
    let protocol = Protocols::of_version(session.version);
    let mut bundle = Bundle::new(session);
    for line in &lines {
        bundle.add(|out, version, xid| match line {
            Line::Flow(flow_mod) => message::encode_flow_mod(out, dialect(protocol), flow_mod, true, version, xid),
            Line::Other(message) => message::encode_into(out, message, version, xid),
        })?;
    }
    bundle.commit(settings)
}
