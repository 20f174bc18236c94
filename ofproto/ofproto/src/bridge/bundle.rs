//! Bundles: messages gathered by a controller, then carried out as one or not at all.
//!
//! The flow-mods, group-mods and port-mods of a bundle are checked in their order against what those before them made of
//! the groups; the tables stage them; then all stands at once, or the groups and tables are what they were. The error of
//! the message that failed is sent with that message, and the commit fails with OFPBFC_MSG_FAILED.
//! What becomes of a packet-out is decided where it stands: the tables are asked how they look with what was staged before
//! it. It is sent once all stands. So are they for a modification that is refused if there is anything to modify.
//! A port-mod stands only in a bundle that is not atomic.
//!
//! Source: OpenFlow 1.4 section 6.8 and 7.3.9, ONF extension 230; observed answers of Open vSwitch 3.1.

use std::collections::BTreeSet;
use std::sync::Arc;

use openflow::ErrorCode;
use openflow::flow_mod::PackedFlowMod;
use openflow::message::bundle::{BUNDLE_ATOMIC, BundleCtrlType};
use openflow::message::{BundleAdd, BundleCtrl, Message, PacketOut};

use super::change::{BundleChanges, Changes, Owed};
use super::flow::Seen;
use super::service::Step;
use super::upcall::Given;
use super::{Bridge, ConnId, Incoming, Output};
use crate::table::Staged;
use crate::view::GroupView;
use crate::xlate::Start;

/// Messages of one bundle at the most.
const MESSAGES_AT_MOST: usize = 1 << 22;
/// Bundles of one connection at the most.
const BUNDLES_AT_MOST: usize = 1 << 10;
/// Messages that are staged together, and kept together until then.
const PIECE: usize = 4096;
/// An idle bundle is discarded after so long, unless configured otherwise, milliseconds.
pub(super) const IDLE_MS: i64 = 10_000;

/// A bundle that gathers messages.
#[derive(Debug)]
pub(crate) struct OpenBundle {
    flags: u16,
    closed: bool,
    used_ms: i64,
    /// The message that opened it, for the error that it timed out.
    opener: Owed,
    n_messages: usize,
    /// In pieces of [`PIECE`].
    messages: Vec<Vec<Gathered>>,
}

/// A message of a bundle.
#[derive(Debug)]
pub(crate) struct Gathered {
    owed: Owed,
    what: What,
}

/// What it says.
#[derive(Debug)]
enum What {
    /// Packed: there may be a great many.
    FlowMod(PackedFlowMod),
    Other(Box<Message>),
}

impl Bridge {
    pub(super) fn bundle_ctrl(&mut self, id: ConnId, request: &Incoming, ctrl: &BundleCtrl) -> Result<Step, ErrorCode> {
        let now_ms = self.now_ms;
        let Some(conn) = self.conns.get_mut(&id) else { return Ok(Step::Done) };
        let bundles = &mut conn.bundles;
        let kind = match ctrl.kind {
            BundleCtrlType::OpenRequest => {
                if bundles.remove(&ctrl.id).is_some() {
                    return Err(ErrorCode::OFPBFC_BAD_ID);
                }
                if bundles.len() >= BUNDLES_AT_MOST {
                    return Err(ErrorCode::OFPBFC_OUT_OF_BUNDLES);
                }
                bundles.insert(ctrl.id, OpenBundle::new(ctrl.flags, request, now_ms));
                BundleCtrlType::OpenReply
            }
            BundleCtrlType::CloseRequest => {
                let bundle = bundles.get_mut(&ctrl.id).ok_or(ErrorCode::OFPBFC_BAD_ID)?;
                let wrong = match () {
                    () if bundle.closed => Some(ErrorCode::OFPBFC_BUNDLE_CLOSED),
                    () if bundle.flags != ctrl.flags => Some(ErrorCode::OFPBFC_BAD_FLAGS),
                    () => None,
                };
                if let Some(code) = wrong {
                    bundles.remove(&ctrl.id);
                    return Err(code);
                }
                (bundle.closed, bundle.used_ms) = (true, now_ms);
                BundleCtrlType::CloseReply
            }
            BundleCtrlType::CommitRequest => {
                let bundle = bundles.remove(&ctrl.id).ok_or(ErrorCode::OFPBFC_BAD_ID)?;
                if bundle.flags != ctrl.flags {
                    return Err(ErrorCode::OFPBFC_BAD_FLAGS);
                }
                self.commit_bundle(id, request, ctrl.id, bundle);
                return Ok(Step::Waits);
            }
            BundleCtrlType::DiscardRequest => {
                bundles.remove(&ctrl.id).ok_or(ErrorCode::OFPBFC_BAD_ID)?;
                BundleCtrlType::DiscardReply
            }
            BundleCtrlType::OpenReply
            | BundleCtrlType::CloseReply
            | BundleCtrlType::CommitReply
            | BundleCtrlType::DiscardReply => return Err(ErrorCode::OFPBFC_BAD_TYPE),
            // Open vSwitch says nothing but that it heard.
            BundleCtrlType::Other(_) => BundleCtrlType::OpenRequest,
        };
        self.reply(id, request.xid, Message::BundleCtrl(BundleCtrl { id: ctrl.id, kind, flags: 0 }));
        self.schedule_bundles();
        Ok(Step::Done)
    }

    /// Takes a message into a bundle.
    pub(super) fn bundle_add(&mut self, id: ConnId, request: &Incoming, add: BundleAdd) -> Result<Step, ErrorCode> {
        let body = add.message.body;
        match &body {
            Message::PacketOut(out) if out.buffer_id != openflow::message::NO_BUFFER => {
                return Err(ErrorCode::OFPBRC_BUFFER_UNKNOWN);
            }
            Message::FlowMod { flow_mod, .. } => Self::check_flow_mod_itself(flow_mod)?,
            _ => {}
        }
        let now_ms = self.now_ms;
        let Some(conn) = self.conns.get_mut(&id) else { return Ok(Step::Done) };
        let bundle = conn.bundles.entry(add.id).or_insert_with(|| OpenBundle::new(add.flags, request, now_ms));
        let wrong = match () {
            () if bundle.closed => Some(ErrorCode::OFPBFC_BUNDLE_CLOSED),
            () if bundle.flags != add.flags => Some(ErrorCode::OFPBFC_BAD_FLAGS),
            () if bundle.n_messages >= MESSAGES_AT_MOST => Some(ErrorCode::OFPBFC_MSG_TOO_MANY),
            () => None,
        };
        if let Some(code) = wrong {
            conn.bundles.remove(&add.id);
            return Err(code);
        }
        bundle.used_ms = now_ms;
        let what = match body {
            Message::FlowMod { flow_mod, .. } => What::FlowMod(flow_mod.pack(&mut self.shapes)),
            other => What::Other(Box::new(other)),
        };
        bundle.push(Gathered { owed: Owed::from(request), what });
        self.schedule_bundles();
        Ok(Step::Done)
    }

    fn commit_bundle(&mut self, id: ConnId, request: &Incoming, bundle_id: u32, bundle: OpenBundle) {
        let mut changes = Changes::new(id);
        changes.bundle = Some(BundleChanges {
            commit: Owed::from(request),
            id: bundle_id,
            atomic: bundle.flags & BUNDLE_ATOMIC != 0,
            groups: self.groups.clone(),
            rest: bundle.messages.into_iter().map(Vec::into_iter).collect(),
            asks: false,
            seen: None,
            refused: None,
            tables: BTreeSet::new(),
            events: Vec::new(),
            port_mods: Vec::new(),
            group_mods: Vec::new(),
            packet_outs: Vec::new(),
            complete: false,
        });
        self.continue_bundle(changes);
    }

    /// Stages the next piece of a bundle, or, behind the last, asks the tables how they look.
    fn continue_bundle(&mut self, changes: Changes) {
        let Some(mut bundle) = changes.bundle else { return };
        let mut next = Changes::piece(changes.conn, &bundle);
        match bundle.rest.pop_front() {
            None => bundle.complete = true,
            Some(mut piece) => {
                while let Some(message) = piece.as_slice().first() {
                    if self.needs_sight(message) && (next.has_staged() || bundle.is_unseen()) {
                        bundle.asks = true;
                        bundle.rest.push_front(piece);
                        break;
                    }
                    let Some(message) = piece.next() else { break };
                    let owed = message.owed.clone();
                    if let Err(code) = self.gather(&mut next, &mut bundle, message) {
                        bundle.refused = Some((owed, code));
                        break;
                    }
                }
            }
        }
        if next.has_staged() {
            bundle.seen = None;
        }
        next.bundle = Some(bundle);
        self.run_changes(next);
    }

    /// Whether a message must know how tables look with all that stands before it in the bundle.
    fn needs_sight(&self, message: &Gathered) -> bool {
        match &message.what {
            What::FlowMod(flow_mod) => self.must_see(flow_mod),
            What::Other(message) => matches!(**message, Message::PacketOut(_)),
        }
    }

    /// Takes one message of a bundle in.
    fn gather(
        &mut self,
        changes: &mut Changes,
        bundle: &mut BundleChanges,
        message: Gathered,
    ) -> Result<(), ErrorCode> {
        let xid = message.owed.xid;
        changes.request(message.owed);
        match message.what {
            What::FlowMod(flow_mod) => {
                let seen = Seen(bundle.seen.as_deref().unwrap_or_default());
                self.gather_flow_mod(changes, flow_mod, seen)?;
            }
            What::Other(message) => match *message {
                Message::GroupMod(group_mod) => {
                    let gone = self.apply_group_mod(&group_mod)?;
                    self.groups_gone(changes, &gone);
                    bundle.group_mods.push((xid, self.told_of(&group_mod)));
                }
                Message::PortMod(port_mod) => {
                    // What a port-mod did cannot be taken back, so an atomic bundle refuses even a good one.
                    if bundle.atomic {
                        return Err(ErrorCode::OFPBFC_MSG_FAILED);
                    }
                    self.check_port_mod(&port_mod)?;
                    bundle.port_mods.push(port_mod);
                }
                Message::PacketOut(out) => {
                    self.check_references(&out.actions)?;
                    let given = self.translate_bundled(bundle, &out);
                    let given = self.accept(given)?;
                    bundle.packet_outs.push(given);
                }
                _ => return Err(ErrorCode::OFPBFC_MSG_UNSUP),
            },
        }
        Ok(())
    }

    /// Decides what becomes of a packet of a bundle, by the tables and groups as those before it have made them.
    fn translate_bundled(&mut self, bundle: &BundleChanges, out: &PacketOut) -> Option<Given> {
        self.live_view();
        let id = self.view.id;
        let mut trial = self.view.clone();
        for table in bundle.seen.iter().flatten() {
            trial.tables[usize::from(table.id)] = Some(table.clone());
        }
        for id in &self.changed_groups {
            let groups = Arc::make_mut(&mut trial.groups);
            match self.groups.get(id) {
                Some(group) => groups.insert(*id, Arc::new(GroupView::new(&group.desc))),
                None => groups.remove(id),
            };
        }
        let stands = self.live.bridges.insert(id, Arc::new(trial));
        let start = Start::PacketOut(Arc::clone(&out.actions));
        let given = self.translate_packet_out(out, start, self.now_ms);
        self.live.bridges.extend(stands.map(|view| (id, view)));
        given
    }

    /// The tables have staged a piece of a bundle: on with the next, until all of it stands, or nothing does.
    pub(super) fn bundle_staged(
        &mut self,
        mut changes: Changes,
        results: &[(u8, Option<Staged>)],
        failed: &[Option<ErrorCode>],
        now_ms: i64,
    ) {
        let conn = changes.conn;
        let staging =
            failed.iter().zip(&changes.requests).find_map(|(code, owed)| code.map(|code| (owed.clone(), code)));
        let Some(bundle) = changes.bundle.as_mut() else { return };
        if std::mem::take(&mut bundle.asks) {
            bundle.seen = Some(results.iter().filter_map(|(_, staged)| Some(staged.as_ref()?.view.clone())).collect());
        }
        let wrong = staging.or_else(|| bundle.refused.clone());
        if wrong.is_none() && !bundle.complete {
            return self.continue_bundle(changes);
        }
        let Some(bundle) = changes.bundle else { return };
        if let Some((owed, code)) = wrong {
            for given in &bundle.packet_outs {
                self.forget_given(given);
            }
            self.groups = bundle.groups;
            for table in bundle.tables {
                self.put(Output::Settle { table, commit: false });
            }
            self.refuse_owed(conn, &owed, code);
            self.refuse_owed(conn, &bundle.commit, ErrorCode::OFPBFC_MSG_FAILED);
            return;
        }
        self.settle(results, true);
        self.publish_groups();
        for port_mod in &bundle.port_mods {
            let _ = self.port_mod(conn, port_mod);
        }
        for (xid, told) in bundle.group_mods {
            self.forward_group_mod(conn, xid, told);
        }
        for (xid, events) in bundle.events {
            self.gather_events(Some((conn, xid)), events);
        }
        self.flush_events(now_ms);
        for given in bundle.packet_outs {
            self.send_given(given, now_ms);
            self.credit_due = true;
        }
        let done = BundleCtrl { id: bundle.id, kind: BundleCtrlType::CommitReply, flags: 0 };
        self.reply(conn, bundle.commit.xid, Message::BundleCtrl(done));
    }

    /// Discards bundles that nobody has touched for long.
    pub(super) fn expire_bundles(&mut self) {
        let (now_ms, idle_ms) = (self.now_ms, self.bundle_idle_ms);
        let mut expired = Vec::new();
        for conn in self.conns.values_mut() {
            let due: Vec<u32> =
                conn.bundles.iter().filter(|(_, b)| b.used_ms + idle_ms <= now_ms).map(|(id, _)| *id).collect();
            for id in due {
                expired.extend(conn.bundles.remove(&id).map(|b| (conn.id, b.opener)));
            }
        }
        for (conn, opener) in expired {
            self.refuse_owed(conn, &opener, ErrorCode::OFPBFC_TIMEOUT);
        }
        self.schedule_bundles();
    }

    fn schedule_bundles(&mut self) {
        let used = self.conns.values().flat_map(|c| c.bundles.values()).map(|b| b.used_ms).min();
        self.bundle_deadline = used.map(|at| at + self.bundle_idle_ms);
    }

    /// How long a bundle may be left alone, milliseconds (`other_config:bundle-idle-timeout`, in seconds).
    pub fn set_bundle_idle_timeout(&mut self, seconds: u32) {
        self.bundle_idle_ms = if seconds == 0 { IDLE_MS } else { i64::from(seconds) * 1000 };
        self.schedule_bundles();
    }
}

impl BundleChanges {
    /// Whether tables have staged something and it is not known how they look.
    fn is_unseen(&self) -> bool {
        self.seen.is_none() && !self.tables.is_empty()
    }
}

impl OpenBundle {
    fn new(flags: u16, request: &Incoming, now_ms: i64) -> OpenBundle {
        let opener = Owed::from(request);
        OpenBundle { flags, closed: false, used_ms: now_ms, opener, n_messages: 0, messages: Vec::new() }
    }

    fn push(&mut self, message: Gathered) {
        if self.n_messages.is_multiple_of(PIECE) {
            // Where one piece was full, so will the next be.
            let room = if self.n_messages == 0 { 0 } else { PIECE };
            self.messages.push(Vec::with_capacity(room));
        }
        self.n_messages += 1;
        if let Some(piece) = self.messages.last_mut() {
            piece.push(message);
        }
    }
}
