//! Bundles: messages gathered by a controller, then carried out as one or not at all.
//!
//! The flow-mods, group-mods and port-mods of a bundle are checked in their order against what those before them made of
//! the groups; the tables stage them; then all stands at once, or the groups and tables are what they were. The error of
//! the message that failed is sent with that message, and the commit fails with OFPBFC_MSG_FAILED.
//!
//! Source: OpenFlow 1.4 section 6.8 and 7.3.9, ONF extension 230; observed answers of Open vSwitch 3.1.

use openflow::ErrorCode;
use openflow::message::bundle::BundleCtrlType;
use openflow::message::{BundleAdd, BundleCtrl, Message};

use super::change::{BundleChanges, Changes};
use super::service::Step;
use super::{Bridge, ConnId, Incoming};
use crate::table::{Event, Staged};

/// Messages of one bundle at the most.
const MESSAGES_AT_MOST: usize = 1 << 22;
/// Bundles of one connection at the most.
const BUNDLES_AT_MOST: usize = 1 << 10;
/// Octets of a message that are kept to quote in errors.
const QUOTED: usize = 64;
/// An idle bundle is discarded after so long, unless configured otherwise, milliseconds.
pub(super) const IDLE_MS: i64 = 10_000;

/// A bundle that gathers messages.
#[derive(Debug)]
pub(crate) struct OpenBundle {
    flags: u16,
    closed: bool,
    used_ms: i64,
    /// The message that opened it, for the error that it timed out.
    opener: Incoming,
    messages: Vec<Incoming>,
}

fn excerpt(request: &Incoming) -> Incoming {
    let raw = request.raw.get(..QUOTED).map_or_else(|| request.raw.clone(), Into::into);
    // Only the header is quoted later, so what it said need not be kept.
    Incoming { body: Ok(Message::BarrierRequest), xid: request.xid, raw }
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
        };
        self.reply(id, request.xid, Message::BundleCtrl(BundleCtrl { id: ctrl.id, kind, flags: 0 }));
        self.schedule_bundles();
        Ok(Step::Done)
    }

    pub(super) fn bundle_add(&mut self, id: ConnId, request: &Incoming, add: &BundleAdd) -> Result<Step, ErrorCode> {
        match &add.message.body {
            Message::PacketOut(out) if out.buffer_id != openflow::message::NO_BUFFER => {
                return Err(ErrorCode::OFPBRC_BUFFER_UNKNOWN);
            }
            Message::PortMod(port_mod) => drop(self.check_port_mod(port_mod)?),
            Message::FlowMod { flow_mod, .. } => Self::check_flow_mod_itself(flow_mod)?,
            _ => {}
        }
        let now_ms = self.now_ms;
        let Some(conn) = self.conns.get_mut(&id) else { return Ok(Step::Done) };
        let bundle = conn.bundles.entry(add.id).or_insert_with(|| OpenBundle::new(add.flags, request, now_ms));
        let wrong = match () {
            () if bundle.closed => Some(ErrorCode::OFPBFC_BUNDLE_CLOSED),
            () if bundle.flags != add.flags => Some(ErrorCode::OFPBFC_BAD_FLAGS),
            () if bundle.messages.len() >= MESSAGES_AT_MOST => Some(ErrorCode::OFPBFC_MSG_TOO_MANY),
            () => None,
        };
        if let Some(code) = wrong {
            conn.bundles.remove(&add.id);
            return Err(code);
        }
        bundle.used_ms = now_ms;
        let raw = add.raw.get(..QUOTED).unwrap_or(&add.raw).into();
        bundle.messages.push(Incoming { body: Ok(add.message.body.clone()), xid: add.message.xid, raw });
        self.schedule_bundles();
        Ok(Step::Done)
    }

    fn commit_bundle(&mut self, id: ConnId, request: &Incoming, bundle_id: u32, bundle: OpenBundle) {
        let mut changes = Changes::new(id);
        let mut state = BundleChanges {
            commit: excerpt(request),
            id: bundle_id,
            groups: self.groups.clone(),
            refused: None,
            port_mods: Vec::new(),
            packet_outs: Vec::new(),
        };
        for (i, message) in bundle.messages.into_iter().enumerate() {
            let checked = match &message.body {
                Ok(body) => self.gather(&mut changes, &mut state, &message, body),
                Err(error) => Err(error.code),
            };
            if let Err(code) = checked {
                if changes.requests.len() == i {
                    changes.request(message);
                }
                state.refused = Some((i, code));
                break;
            }
        }
        changes.bundle = Some(state);
        self.run_changes(changes);
    }

    /// Takes one message of a bundle in.
    fn gather(
        &mut self,
        changes: &mut Changes,
        state: &mut BundleChanges,
        message: &Incoming,
        body: &Message,
    ) -> Result<(), ErrorCode> {
        changes.request(message.clone());
        match body {
            Message::FlowMod { flow_mod, .. } => self.gather_flow_mod(changes, flow_mod)?,
            Message::GroupMod(group_mod) => {
                let gone = self.apply_group_mod(group_mod)?;
                self.groups_gone(changes, &gone);
            }
            Message::PortMod(port_mod) => {
                self.check_port_mod(port_mod)?;
                state.port_mods.push(changes.requests.len() - 1);
            }
            Message::PacketOut(out) => {
                self.check_references(&out.actions)?;
                state.packet_outs.push((**out).clone());
            }
            _ => return Err(ErrorCode::OFPBFC_MSG_UNSUP),
        }
        Ok(())
    }

    /// The tables have staged a bundle: it stands, or nothing of it does.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn bundle_staged(
        &mut self,
        conn: ConnId,
        requests: &[Incoming],
        bundle: BundleChanges,
        results: &[(u8, Option<Staged>)],
        failed: &[Option<ErrorCode>],
        events: Vec<Vec<Event>>,
        now_ms: i64,
    ) {
        let staging = failed.iter().enumerate().find_map(|(i, code)| code.map(|code| (i, code)));
        if let Some((i, code)) = staging.into_iter().chain(bundle.refused).min_by_key(|(i, _)| *i) {
            self.groups = bundle.groups;
            self.settle(results, false);
            if let Some(request) = requests.get(i) {
                self.refuse(conn, request, code);
            }
            self.refuse(conn, &bundle.commit, ErrorCode::OFPBFC_MSG_FAILED);
            return;
        }
        self.settle(results, true);
        self.publish_groups();
        for i in bundle.port_mods {
            if let Some(Ok(Message::PortMod(port_mod))) = requests.get(i).map(|r| &r.body) {
                let _ = self.port_mod(conn, port_mod);
            }
        }
        for request in requests {
            if let Ok(Message::GroupMod(group_mod)) = &request.body {
                self.forward_request(conn, request.xid, 0, Message::GroupMod(group_mod.clone()));
            }
        }
        for (request, events) in requests.iter().zip(events) {
            self.gather_events(Some((conn, request.xid)), events, now_ms);
        }
        self.flush_monitors();
        self.packet_outs.extend(bundle.packet_outs);
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
            self.refuse(conn, &opener, ErrorCode::OFPBFC_TIMEOUT);
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

impl OpenBundle {
    fn new(flags: u16, request: &Incoming, now_ms: i64) -> OpenBundle {
        OpenBundle { flags, closed: false, used_ms: now_ms, opener: excerpt(request), messages: Vec::new() }
    }
}
