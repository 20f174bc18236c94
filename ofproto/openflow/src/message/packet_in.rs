//! Packets for the controller, in all six wire forms, with the continuation of a paused packet.
//!
//! Source: OpenFlow 1.0 section 5.4.1, 1.1, 1.2, 1.3.5 section 7.4.1; NXT_PACKET_IN, NXT_PACKET_IN2 and NXT_RESUME, whose
//! properties ovs-actions(7) (`controller` with `pause`) describes.

use super::kind::{Class, Head, Kind};
use super::wire::{self, Put, Reader};
use super::{Context, NO_BUFFER, Octets, flow};
use crate::action::{self, Action, Actions, Decoding};
use crate::matching::{self, Match, Reading};
use crate::{ErrorCode, OfError, Version};

/// Wire form of packet-ins, chosen by NXT_SET_PACKET_IN_FORMAT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum PacketInFormat {
    /// The OpenFlow version's own.
    #[default]
    Standard,
    /// NXT_PACKET_IN.
    Nxt,
    /// NXT_PACKET_IN2.
    Nxt2,
}

/// Why a packet goes to the controller; numbers as in OpenFlow 1.4, with Open vSwitch's own behind them.
pub mod reason {
    /// No rule was met, or the table-miss one.
    pub const NO_MATCH: u8 = 0;
    /// An `output` to the controller.
    pub const ACTION: u8 = 1;
    /// The time to live was over.
    pub const INVALID_TTL: u8 = 2;
    /// An `output` in the action set (OpenFlow 1.4+).
    pub const ACTION_SET: u8 = 3;
    /// An `output` in a bucket (OpenFlow 1.4+).
    pub const GROUP: u8 = 4;
    /// An `output` of a packet-out (OpenFlow 1.4+).
    pub const PACKET_OUT: u8 = 5;
    /// An explicit table-miss rule; sent as [`NO_MATCH`] in 1.3, as [`ACTION`] before.
    pub const EXPLICIT_MISS: u8 = 6;
    /// The default action on a miss; sent as [`NO_MATCH`].
    pub const IMPLICIT_MISS: u8 = 7;
}

/// A packet for the controller.
#[derive(Clone, Debug, PartialEq)]
pub struct PacketIn {
    /// Wire form.
    pub format: PacketInFormat,
    /// The packet, cut to what is sent.
    pub packet: Octets,
    /// Its length before it was cut.
    pub total_len: u32,
    /// Buffer, [`super::NO_BUFFER`] for none.
    pub buffer_id: u32,
    /// [`reason`].
    pub reason: u8,
    /// Table of the rule that sent it.
    pub table_id: u8,
    /// Cookie of that rule; `u64::MAX` for none.
    pub cookie: u64,
    /// Metadata fields, `in_port` among them.
    pub flow_metadata: Match,
    /// The `userdata` of the action (NXT_PACKET_IN2).
    pub userdata: Vec<u8>,
    /// How to go on (NXT_PACKET_IN2 and NXT_RESUME).
    pub continuation: Option<Box<PacketInPrivate>>,
    /// A continuation as read, not looked into: its properties' octets. Written as it is when `continuation` is `None`.
    pub raw_continuation: Vec<u8>,
}

/// State of a paused packet.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct PacketInPrivate {
    /// The bridge that paused it.
    pub bridge: u128,
    /// Stack of `push` and `pop`, bottom first.
    pub stack: Vec<Vec<u8>>,
    /// Mirrors that already have the packet, bit n = mirror n.
    pub mirrors: u32,
    /// The packet has been through connection tracking.
    pub conntracked: bool,
    /// Actions to go on with.
    pub actions: Option<Actions>,
    /// Action set to go on with.
    pub action_set: Option<Actions>,
    /// Whether `odp_port` is set, and to what: the datapath port of the recirculation.
    pub odp_port: Option<u32>,
}

/// Property numbers of NXT_PACKET_IN2 and NXT_RESUME.
mod prop {
    pub const PACKET: u16 = 0;
    pub const FULL_LEN: u16 = 1;
    pub const BUFFER_ID: u16 = 2;
    pub const TABLE_ID: u16 = 3;
    pub const COOKIE: u16 = 4;
    pub const REASON: u16 = 5;
    pub const METADATA: u16 = 6;
    pub const USERDATA: u16 = 7;
    pub const CONTINUATION: u16 = 8;
}

/// Property numbers of a continuation.
mod cont {
    pub const BRIDGE: u16 = 0x8000;
    pub const STACK: u16 = 0x8001;
    pub const MIRRORS: u16 = 0x8002;
    pub const CONNTRACKED: u16 = 0x8003;
    pub const TABLE_ID: u16 = 0x8004;
    pub const COOKIE: u16 = 0x8005;
    pub const ACTIONS: u16 = 0x8006;
    pub const ACTION_SET: u16 = 0x8007;
    pub const ODP_PORT: u16 = 0x8008;
}

/// Most items of a paused packet's stack.
const STACK_MAX: usize = 1024;

impl PacketInFormat {
    /// The number in NXT_SET_PACKET_IN_FORMAT.
    pub fn wire(self) -> u32 {
        match self {
            PacketInFormat::Standard => 0,
            PacketInFormat::Nxt => 1,
            PacketInFormat::Nxt2 => 2,
        }
    }

    /// The format with this number.
    pub fn from_wire(number: u32) -> Option<PacketInFormat> {
        [PacketInFormat::Standard, PacketInFormat::Nxt, PacketInFormat::Nxt2]
            .get(usize::try_from(number).ok()?)
            .copied()
    }

    /// Its name: `standard`, `nxt_packet_in`, `nxt_packet_in2`.
    pub fn name(self) -> &'static str {
        match self {
            PacketInFormat::Standard => "standard",
            PacketInFormat::Nxt => "nxt_packet_in",
            PacketInFormat::Nxt2 => "nxt_packet_in2",
        }
    }

    /// The format with this name; `openflow10` is `standard`, `nxm` is `nxt_packet_in`.
    pub fn parse(name: &str) -> Option<PacketInFormat> {
        Some(match name {
            "standard" | "openflow10" => PacketInFormat::Standard,
            "nxt_packet_in" | "nxm" => PacketInFormat::Nxt,
            "nxt_packet_in2" => PacketInFormat::Nxt2,
            _ => return None,
        })
    }
}

/// The number that a version has for a reason.
fn wire_reason(number: u8, version: Version) -> u8 {
    use reason::*;
    match number {
        ACTION_SET | GROUP | PACKET_OUT if version < Version::V14 => ACTION,
        EXPLICIT_MISS if version < Version::V13 => ACTION,
        EXPLICIT_MISS | IMPLICIT_MISS => NO_MATCH,
        other => other,
    }
}

fn blank(format: PacketInFormat) -> PacketIn {
    PacketIn {
        format,
        packet: [].into(),
        total_len: 0,
        buffer_id: NO_BUFFER,
        reason: 0,
        table_id: 0,
        cookie: u64::MAX,
        flow_metadata: Match::any(),
        userdata: Vec::new(),
        continuation: None,
        raw_continuation: Vec::new(),
    }
}

pub(super) fn decode(head: &Head<'_>, version: Version, context: &Context<'_>) -> Result<PacketIn, OfError> {
    let mut body = Reader::new(head.body);
    let reading = Reading { loose: true, tun: context.tun, ..Reading::default() };
    match (head.shape.kind, head.shape.class) {
        (Kind::PacketIn2 | Kind::Resume, _) => decode_nx2(head, version, context),
        (_, Class::Nxt) => decode_nxt(&mut body, reading),
        _ => decode_standard(&mut body, version, reading),
    }
}

fn decode_standard(body: &mut Reader<'_>, version: Version, reading: Reading<'_>) -> Result<PacketIn, OfError> {
    let mut packet_in = blank(PacketInFormat::Standard);
    packet_in.buffer_id = body.u32()?;
    match version {
        Version::V10 => {
            packet_in.total_len = u32::from(body.u16()?);
            packet_in.flow_metadata.set_in_port(body.port10()?);
            packet_in.reason = body.u8()?;
            body.skip(1)?;
        }
        Version::V11 => {
            packet_in.flow_metadata.set_in_port(body.port11()?);
            body.skip(4)?;
            packet_in.total_len = u32::from(body.u16()?);
            packet_in.reason = body.u8()?;
            packet_in.table_id = body.u8()?;
        }
        _ => {
            packet_in.total_len = u32::from(body.u16()?);
            packet_in.reason = body.u8()?;
            packet_in.table_id = body.u8()?;
            if version >= Version::V13 {
                packet_in.cookie = body.u64()?;
            }
            packet_in.flow_metadata = flow::take_oxm(body, reading)?;
            body.skip(2)?;
        }
    }
    packet_in.packet = body.rest().into();
    Ok(packet_in)
}

fn decode_nxt(body: &mut Reader<'_>, reading: Reading<'_>) -> Result<PacketIn, OfError> {
    let mut packet_in = blank(PacketInFormat::Nxt);
    packet_in.buffer_id = body.u32()?;
    packet_in.total_len = u32::from(body.u16()?);
    packet_in.reason = body.u8()?;
    packet_in.table_id = body.u8()?;
    packet_in.cookie = body.u64()?;
    let match_len = body.u16()?;
    body.skip(6)?;
    packet_in.flow_metadata = flow::take_nxm(body, match_len, reading)?.0;
    body.skip(2)?;
    packet_in.packet = body.rest().into();
    Ok(packet_in)
}

/// One octet; what follows it is padding.
fn number8(value: &[u8]) -> Result<u8, OfError> {
    Ok(*value.first().ok_or(ErrorCode::OFPBPC_BAD_LEN)?)
}

/// Name of the log's module for what is said of packets.
const LOG: &str = "ofp_packet";

fn number32(value: &[u8]) -> Result<u32, OfError> {
    if value.len() == 4 { Ok(Reader::new(value).u32()?) } else { Err(ErrorCode::OFPBPC_BAD_LEN.into()) }
}

fn number64(value: &[u8]) -> Result<u64, OfError> {
    if value.len() != 12 {
        return Err(ErrorCode::OFPBPC_BAD_LEN.into());
    }
    let mut value = Reader::new(value);
    value.skip(4)?;
    Ok(value.u64()?)
}

/// What is in a property whose value begins with 4 octets of padding.
fn nested(value: &[u8]) -> Result<&[u8], OfError> {
    Ok(value.get(4..).ok_or(ErrorCode::OFPBPC_BAD_LEN)?)
}

/// The actions in such a property.
fn nested_actions(value: &[u8]) -> Result<&[u8], OfError> {
    nested(value).map_err(|error| error.remark(LOG, format!("actions property has bad length {}", value.len() + 4)))
}

fn decode_nx2(head: &Head<'_>, version: Version, context: &Context<'_>) -> Result<PacketIn, OfError> {
    let resume = head.shape.kind == Kind::Resume;
    let mut packet_in = blank(PacketInFormat::Nxt2);
    let mut packet = None;
    let mut full_len = None;
    let mut body = Reader::new(head.body);
    let mut continuation: &[u8] = &[];
    while !body.is_empty() {
        let property = wire::property(&mut body)?;
        match property.kind {
            prop::PACKET => packet = Some(property.value),
            prop::FULL_LEN => full_len = Some(number32(property.value)?),
            prop::BUFFER_ID => packet_in.buffer_id = number32(property.value)?,
            prop::TABLE_ID => packet_in.table_id = number8(property.value)?,
            prop::COOKIE => packet_in.cookie = number64(property.value)?,
            prop::REASON => packet_in.reason = number8(property.value)?,
            prop::METADATA => {
                let reading = Reading { loose: !resume || context.loose, tun: context.tun, ..Reading::default() };
                packet_in.flow_metadata = matching::pull_nxm(property.value, reading)?.0;
            }
            prop::USERDATA => packet_in.userdata = property.value.to_vec(),
            prop::CONTINUATION => continuation = nested(property.value)?,
            _ if !resume || context.loose => {}
            _ => return Err(property.unknown(LOG, "NXT_RESUME")),
        }
    }
    let lacks = || ErrorCode::OFPBRC_BAD_LEN.because(LOG, "NXT_PACKET_IN2 lacks packet".into());
    let packet = packet.filter(|packet| !packet.is_empty()).ok_or_else(lacks)?;
    let len = packet.len() as u32;
    packet_in.total_len = full_len.filter(|full_len| *full_len != 0).unwrap_or(len);
    if packet_in.total_len < len {
        return Err(ErrorCode::OFPBRC_BAD_LEN.because(LOG, "NXT_PACKET_IN2 claimed full_len < len".into()));
    }
    packet_in.packet = packet.into();
    packet_in.raw_continuation = continuation.to_vec();
    if resume {
        packet_in.continuation = Some(Box::new(PacketInPrivate::decode(continuation, version, context)?));
    }
    Ok(packet_in)
}

impl PacketInPrivate {
    /// Reads a continuation's properties.
    ///
    /// # Errors
    /// The OFPBPC_* codes, and those of the actions within.
    pub fn decode(octets: &[u8], version: Version, context: &Context<'_>) -> Result<PacketInPrivate, OfError> {
        let mut private = PacketInPrivate::default();
        let (mut table, mut cookie) = (0, 0);
        let mut actions = Vec::new();
        let mut body = Reader::new(octets);
        let decoding = Decoding { debug: true, ..context.decoding(version) };
        while !body.is_empty() {
            let property = wire::property(&mut body)?;
            let value = property.value;
            match property.kind {
                cont::BRIDGE => {
                    let octets: [u8; 16] = value.try_into().map_err(|_| ErrorCode::OFPBPC_BAD_LEN)?;
                    private.bridge = swap_words(u128::from_be_bytes(octets));
                }
                cont::STACK => {
                    if private.stack.len() >= STACK_MAX {
                        return Err(ErrorCode::OFPBPC_TOO_MANY.into());
                    }
                    private.stack.push(value.to_vec());
                }
                cont::MIRRORS => private.mirrors = number32(value)?,
                cont::CONNTRACKED => private.conntracked = true,
                cont::TABLE_ID => table = number8(value)?,
                cont::COOKIE => cookie = number64(value)?,
                cont::ACTIONS => {
                    actions.push(Action::UnrollXlate { table, cookie });
                    let list = action::pull_actions(nested_actions(value)?, &decoding)?;
                    actions.extend(list.iter().cloned());
                }
                cont::ACTION_SET => private.action_set = Some(action::pull_actions(nested_actions(value)?, &decoding)?),
                cont::ODP_PORT => private.odp_port = Some(number32(value)?),
                _ if context.loose => {}
                _ => return Err(property.unknown(LOG, "NXT_PACKET_IN2 continuation")),
            }
        }
        if !actions.is_empty() {
            private.actions = Some(actions.into());
        }
        // The first one is the top.
        private.stack.reverse();
        Ok(private)
    }

    /// Appends the properties.
    fn encode(&self, out: &mut Vec<u8>, version: Version) {
        if self.bridge != 0 {
            let start = wire::start_property(out, cont::BRIDGE);
            out.octets(&swap_words(self.bridge).to_be_bytes());
            wire::end_property(out, start);
        }
        for item in self.stack.iter().rev() {
            let start = wire::start_property(out, cont::STACK);
            out.octets(item);
            wire::end_property(out, start);
        }
        if self.mirrors != 0 {
            put32(out, cont::MIRRORS, self.mirrors);
        }
        if self.conntracked {
            let start = wire::start_property(out, cont::CONNTRACKED);
            wire::end_property(out, start);
        }
        if let Some(actions) = &self.actions {
            encode_actions(out, actions, version);
        }
        if let Some(set) = &self.action_set {
            put_actions(out, cont::ACTION_SET, set, version);
        }
        if let Some(port) = self.odp_port {
            put32(out, cont::ODP_PORT, port);
        }
    }
}

/// The bridge's identifier as Open vSwitch writes it: four words of 32 bits, each with its least significant octet first.
fn swap_words(id: u128) -> u128 {
    let mut octets = id.to_be_bytes();
    for word in octets.chunks_mut(4) {
        word.reverse();
    }
    u128::from_be_bytes(octets)
}

/// Appends actions in groups that begin where the rule they belong to changes, each with what changed.
fn encode_actions(out: &mut Vec<u8>, actions: &[Action], version: Version) {
    let (mut last_table, mut last_cookie) = (0, 0);
    let mut rest = actions;
    while !rest.is_empty() {
        if let [Action::UnrollXlate { table, cookie }, tail @ ..] = rest {
            if *table != last_table {
                put8(out, cont::TABLE_ID, *table);
                last_table = *table;
            }
            if *cookie != last_cookie {
                put64(out, cont::COOKIE, *cookie);
                last_cookie = *cookie;
            }
            rest = tail;
        }
        let n = rest.iter().position(|a| matches!(a, Action::UnrollXlate { .. })).unwrap_or(rest.len());
        if n > 0 {
            put_actions(out, cont::ACTIONS, &rest[..n], version);
        }
        rest = &rest[n..];
    }
}

fn put_actions(out: &mut Vec<u8>, kind: u16, actions: &[Action], version: Version) {
    let start = wire::start_property(out, kind);
    out.zeros(4);
    action::put_actions(out, actions, version);
    wire::end_property(out, start);
}

fn put8(out: &mut Vec<u8>, kind: u16, value: u8) {
    let start = wire::start_property(out, kind);
    out.put8(value);
    wire::end_property(out, start);
}

fn put32(out: &mut Vec<u8>, kind: u16, value: u32) {
    let start = wire::start_property(out, kind);
    out.put32(value);
    wire::end_property(out, start);
}

fn put64(out: &mut Vec<u8>, kind: u16, value: u64) {
    let start = wire::start_property(out, kind);
    out.zeros(4);
    out.put64(value);
    wire::end_property(out, start);
}

/// Appends a packet-in or, with properties only, what it takes to resume one.
pub(super) fn encode(out: &mut Vec<u8>, packet_in: &PacketIn, version: Version) {
    match packet_in.format {
        PacketInFormat::Standard => encode_standard(out, packet_in, version),
        PacketInFormat::Nxt => encode_nxt(out, packet_in, version),
        PacketInFormat::Nxt2 => encode_nx2(out, packet_in, version),
    }
}

fn encode_standard(out: &mut Vec<u8>, packet_in: &PacketIn, version: Version) {
    let reason = wire_reason(packet_in.reason, version);
    let in_port = packet_in.flow_metadata.in_port().unwrap_or(crate::OfPort::NONE);
    let total_len = u16::try_from(packet_in.total_len).unwrap_or(u16::MAX);
    out.put32(packet_in.buffer_id);
    match version {
        Version::V10 => {
            out.put16(total_len);
            out.port10(in_port);
            out.put8(reason);
            out.put8(0);
        }
        Version::V11 => {
            out.port11(in_port);
            out.port11(in_port);
            out.put16(total_len);
            out.put8(reason);
            out.put8(packet_in.table_id);
        }
        _ => {
            out.put16(total_len);
            out.put8(reason);
            out.put8(packet_in.table_id);
            if version >= Version::V13 {
                out.put64(packet_in.cookie);
            }
            matching::put_match(out, &packet_in.flow_metadata, version);
            out.zeros(2);
        }
    }
    out.octets(&packet_in.packet);
}

fn encode_nxt(out: &mut Vec<u8>, packet_in: &PacketIn, version: Version) {
    out.put32(packet_in.buffer_id);
    out.put16(u16::try_from(packet_in.total_len).unwrap_or(u16::MAX));
    out.put8(wire_reason(packet_in.reason, version));
    out.put8(packet_in.table_id);
    out.put64(packet_in.cookie);
    let at = out.len();
    out.zeros(8);
    let len = matching::put_nxm(out, &packet_in.flow_metadata, 0, 0);
    out.patch16(at, len as u16);
    out.zeros(2);
    out.octets(&packet_in.packet);
}

fn encode_nx2(out: &mut Vec<u8>, packet_in: &PacketIn, version: Version) {
    let start = wire::start_property(out, prop::PACKET);
    out.octets(&packet_in.packet);
    wire::end_property(out, start);
    if packet_in.total_len as usize != packet_in.packet.len() {
        put32(out, prop::FULL_LEN, packet_in.total_len);
    }
    if packet_in.buffer_id != NO_BUFFER {
        put32(out, prop::BUFFER_ID, packet_in.buffer_id);
    }
    put8(out, prop::TABLE_ID, packet_in.table_id);
    if packet_in.cookie != u64::MAX {
        put64(out, prop::COOKIE, packet_in.cookie);
    }
    put8(out, prop::REASON, wire_reason(packet_in.reason, version));
    let start = wire::start_property(out, prop::METADATA);
    matching::put_oxm_fields(out, &packet_in.flow_metadata, version);
    wire::end_property(out, start);
    let before = out.len();
    let start = wire::start_property(out, prop::CONTINUATION);
    out.zeros(4);
    match &packet_in.continuation {
        Some(private) => private.encode(out, version),
        None => out.octets(&packet_in.raw_continuation),
    }
    if out.len() == before + 8 {
        out.truncate(before);
    } else {
        wire::end_property(out, start);
    }
    if !packet_in.userdata.is_empty() {
        let start = wire::start_property(out, prop::USERDATA);
        out.octets(&packet_in.userdata);
        wire::end_property(out, start);
    }
}
