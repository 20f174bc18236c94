//! Packets for the controller, in all six wire forms, with the continuation of a paused packet.
//!
//! Source: OpenFlow 1.0 section 5.4.1, 1.1, 1.2, 1.3.5 section 7.4.1; NXT_PACKET_IN, NXT_PACKET_IN2 and NXT_RESUME, whose
//! properties ovs-actions(7) (`controller` with `pause`) describes.

use super::Octets;
use crate::action::Actions;
use crate::matching::Match;

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
#[allow(missing_docs)]
pub mod reason {
    pub const NO_MATCH: u8 = 0;
    pub const ACTION: u8 = 1;
    pub const INVALID_TTL: u8 = 2;
    pub const ACTION_SET: u8 = 3;
    pub const GROUP: u8 = 4;
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
