//! Packets that controllers send and get.

use std::sync::Arc;

use flow::field::{TunTable, Value};
use flow::odp::ControllerCookie;
use flow::{Field, Key};
use openflow::matching::Match;
use openflow::message::async_config::AsyncKind;
use openflow::message::packet_in::{PacketInPrivate, reason};
use openflow::message::{Message, NO_BUFFER, PacketIn, PacketOut};
use openflow::{ErrorCode, Version};
use packet::PacketBuf;

use super::conn::PACKETS_UNDER_WAY;
use super::{Bridge, Conn, Output};
use crate::view::BridgeView;
use crate::xlate::{FrozenState, Start};

impl Bridge {
    /// Translates a packet-out and sends it, if nothing is wrong with it.
    pub(super) fn packet_out(&mut self, out: &PacketOut) -> Result<(), ErrorCode> {
        if out.buffer_id != NO_BUFFER {
            return Err(ErrorCode::OFPBRC_BUFFER_UNKNOWN);
        }
        self.check_references(&out.actions)?;
        self.live_view();
        let start = Start::PacketOut(Arc::clone(&out.actions));
        let given = self.translate_packet_out(out, start, self.now_ms);
        let given = self.accept(given)?;
        self.send_given(given, self.now_ms);
        self.credit_due = true;
        Ok(())
    }

    /// A packet for the controllers, as a `userspace` action handed it up.
    pub(super) fn controller_packet(&mut self, cookie: &ControllerCookie, key: &Key, packet: PacketBuf) {
        let Some(state) = self.recirc.get(cookie.recirc_id).cloned() else { return };
        if cookie.dont_send {
            return;
        }
        // A packet that crossed to another bridge comes up where it came in: that bridge's controllers want it.
        let is_own = state.bridge == self.view.id;
        if is_own && !self.is_wanted(cookie) {
            return;
        }
        let Some(bridge) = self.live_view().bridges.get(&state.bridge).cloned() else { return };
        // What is owed to the hardware is paid here: a controller gets whole checksums, and one packet a segment.
        let Ok(packets) = packet::offload::settle(packet) else { return };
        for packet in packets {
            if is_own {
                self.deliver(cookie, state.metadata.in_port(), || packet_in_of(cookie, &state, key, &packet, &bridge));
            } else {
                let message = Box::new(packet_in_of(cookie, &state, key, &packet, &bridge));
                let cookie = Box::new(cookie.clone());
                self.put(Output::ForeignPacketIn { bridge: state.bridge, message, cookie });
            }
        }
    }

    /// Delivers a packet-in that a packet of another bridge gave rise to here.
    pub fn foreign_packet_in(&mut self, message: PacketIn, cookie: &ControllerCookie) {
        let in_port = message.flow_metadata.in_port().map_or(0, |p| u32::from(p.0));
        self.deliver(cookie, in_port, || message);
    }

    fn is_wanted(&self, cookie: &ControllerCookie) -> bool {
        self.conns.values().any(|conn| conn.wants_packet(cookie))
    }

    /// Sends a packet-in to every controller that wants it, whole, at its rate. It is made if anybody can get it.
    fn deliver(&mut self, cookie: &ControllerCookie, in_port: u32, make: impl FnOnce() -> PacketIn) {
        let is_miss = matches!(cookie.reason, reason::NO_MATCH | reason::EXPLICIT_MISS | reason::IMPLICIT_MISS);
        let mut takers = Vec::new();
        for conn in self.conns.values_mut().filter(|conn| conn.wants_packet(cookie)) {
            if conn.has_room() || !conn.limits.is_unlimited(is_miss) {
                takers.push(conn.id);
            } else {
                conn.packets_dropped += 1;
                self.has_dropped = true;
            }
        }
        let Some(last) = takers.pop() else { return };
        let message = make();
        for id in takers {
            self.deliver_to(id, cookie, (is_miss, in_port), message.clone());
        }
        self.deliver_to(last, cookie, (is_miss, in_port), message);
    }

    fn deliver_to(
        &mut self,
        id: super::ConnId,
        cookie: &ControllerCookie,
        (is_miss, in_port): (bool, u32),
        mut message: PacketIn,
    ) {
        let now_ms = self.now_ms;
        let Some(conn) = self.conns.get_mut(&id) else { return };
        message.format = conn.packet_in_format;
        message.reason = shown_reason(cookie.reason, conn.version());
        let message = Message::PacketIn(Box::new(message));
        let (_, lost) = conn.limits.counts();
        let now = conn.limits.offer(is_miss, in_port, message, now_ms);
        self.events.packets_limited += conn.limits.counts().1 - lost;
        if let Some(message) = now {
            self.send_packet(id, message);
        }
    }

    /// Limits the rate of the packets that a connection gets, and how many may be under way to it; `None` lifts the one, and
    /// leaves the other as it usually is. Fewer than usual are no limit: a socket alone holds as many, and it is not told of
    /// each that one was read.
    pub fn limit_packets(&mut self, id: super::ConnId, limit: Option<super::RateLimit>, queue_size: Option<u32>) {
        let now_ms = self.now_ms;
        self.edit(id, |c| {
            c.limits.configure(limit, now_ms);
            c.most_packets = queue_size.map_or(PACKETS_UNDER_WAY, |n| n.max(PACKETS_UNDER_WAY));
        });
    }
}

impl Conn {
    /// Whether a packet that this gave rise to goes to it.
    fn wants_packet(&self, cookie: &ControllerCookie) -> bool {
        let why = known_reason(cookie.reason, self.version());
        self.controller_id == cookie.controller_id && self.wants(AsyncKind::PacketIn, 1 << why)
    }
}

/// `bridge`: whose controllers will get it.
fn packet_in_of(
    cookie: &ControllerCookie,
    state: &FrozenState,
    key: &Key,
    packet: &PacketBuf,
    bridge: &BridgeView,
) -> PacketIn {
    let mut flow_metadata = metadata_of(state, key, &bridge.tun_table);
    flow_metadata.tun = Some(bridge.tun_table.clone());
    let stack = state.stack.iter().map(|v| v.0.to_vec()).collect();
    PacketIn {
        format: openflow::message::PacketInFormat::Standard,
        packet: packet.data().into(),
        total_len: u32::try_from(packet.len()).unwrap_or(u32::MAX),
        buffer_id: NO_BUFFER,
        reason: cookie.reason,
        table_id: state.table,
        cookie: cookie.rule_cookie,
        flow_metadata,
        userdata: state.userdata.clone(),
        continuation: cookie.continuation.then(|| {
            Box::new(PacketInPrivate {
                bridge: bridge.uuid,
                stack,
                mirrors: state.mirrors,
                conntracked: state.conntracked,
                actions: Some(state.actions.clone()),
                action_set: (!state.action_set.is_empty()).then(|| state.action_set.clone()),
                odp_port: Some(key.in_port()),
            })
        }),
        raw_continuation: Vec::new(),
    }
}

/// Fields that a controller is told of where they are not 0: what translation set, then what the packet had.
const FROZEN_FIELDS: [Field; 15] = [
    Field::TunId,
    Field::TunSrc,
    Field::TunDst,
    Field::TunIpv6Src,
    Field::TunIpv6Dst,
    Field::TunFlags,
    Field::TunGbpId,
    Field::TunGbpFlags,
    Field::TunErspanVer,
    Field::TunErspanIdx,
    Field::TunErspanDir,
    Field::TunErspanHwid,
    Field::TunGtpuFlags,
    Field::TunGtpuMsgtype,
    Field::Metadata,
];
const TRACKED_FIELDS: [Field; 3] = [Field::CtZone, Field::CtMark, Field::CtLabel];

/// What is known of a packet beside its octets.
fn metadata_of(state: &FrozenState, key: &Key, options: &TunTable) -> Match {
    let mut told = Match::default();
    let mut tell = |field: Field, key: &Key| {
        let value = field.get(key).to_u128();
        if value != 0 {
            told.set_exact(field, value);
        }
    };
    FROZEN_FIELDS.into_iter().for_each(|field| tell(field, &state.metadata));
    (0..16).for_each(|i| tell(Field::Reg(i), &state.metadata));
    tell(Field::PktMark, key);
    // What a `ct` found is valid only where the packet came back from it.
    if state.conntracked {
        TRACKED_FIELDS.into_iter().for_each(|field| tell(field, key));
        tell_connection(&mut told, key);
    }
    // Options of tunnels lie where the bridge's table has them, several in a word.
    let present = state.metadata.tun_metadata_present();
    for (i, entry) in options.entries().filter(|(i, _)| present >> i & 1 == 1) {
        options.set(i, &mut told.key.0, &options.get(i, &state.metadata.0));
        options.set(i, &mut told.mask.0, &Value::ones(entry.len.into(), usize::from(entry.len) * 8));
        told.key.set_tun_metadata_present(told.key.tun_metadata_present() | 1 << i);
        told.mask.set_tun_metadata_present(told.mask.tun_metadata_present() | 1 << i);
    }
    told.key.set_in_port(state.metadata.in_port());
    told.mask.set_in_port(u32::MAX);
    told
}

/// The state of a packet's connection and its original direction, with the Ethernet type that gives them meaning.
fn tell_connection(told: &mut Match, key: &Key) {
    let mut tell = |field: Field| told.set_exact(field, field.get(key).to_u128());
    let state = key.ct_state();
    if state == 0 {
        return;
    }
    tell(Field::CtState);
    tell(Field::EthType);
    // An error about a packet of the other end alone does not make the connection's fields valid.
    let valid = flow::ct_state::NEW | flow::ct_state::EST | flow::ct_state::RPL;
    if state & flow::ct_state::INV != 0 || state & valid == 0 || key.ct_nw_proto() == 0 {
        return;
    }
    let (src, dst) = match key.dl_type() {
        0x0800 => (Field::CtNwSrc, Field::CtNwDst),
        0x86dd => (Field::CtIpv6Src, Field::CtIpv6Dst),
        _ => return,
    };
    [src, dst, Field::CtNwProto, Field::CtTpSrc, Field::CtTpDst].into_iter().for_each(tell);
}

/// A reason by which a controller chooses: before OpenFlow 1.4 all actions are one.
fn known_reason(why: u8, version: Version) -> u8 {
    match why {
        reason::ACTION_SET | reason::GROUP | reason::PACKET_OUT if version < Version::V14 => reason::ACTION,
        other => other,
    }
}

/// Reasons that a version does not have are told by the nearest that it has.
fn shown_reason(why: u8, version: Version) -> u8 {
    match known_reason(why, version) {
        reason::EXPLICIT_MISS if version < Version::V13 => reason::ACTION,
        reason::EXPLICIT_MISS | reason::IMPLICIT_MISS => reason::NO_MATCH,
        other => other,
    }
}
