//! Flow-mods in one internal form: a change of the flow table, from the wire or from text.
//!
//! Absent here: the wire form (the messages' matter). Source: ovs-ofctl(8), OpenFlow 1.0-1.5 `OFPT_FLOW_MOD`.

mod parse;
mod print;

use std::sync::Arc;

use flow::classifier::{MiniMatch, Shapes};
use flow::field::TunTable;

use crate::OfPort;
use crate::action::Actions;
use crate::matching::Match;

pub use parse::{
    Command, ParsedFlowMod, ParsedRequest, parse_exact_flow, parse_flow_mod, parse_match_field, parse_stats_request,
    usable_exact, usable_for,
};
pub use print::{format_match, normalization_notes, write_flags, write_flow_mod, write_flow_stats};

/// What a flow-mod does; the number is the wire's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum FlowModCommand {
    /// Add a rule.
    Add = 0,
    /// Change the actions of the rules that match loosely.
    Modify = 1,
    /// Change the actions of the rule with this very match and priority.
    ModifyStrict = 2,
    /// Delete the rules that match loosely.
    Delete = 3,
    /// Delete the rule with this very match and priority.
    DeleteStrict = 4,
}

/// Flags of rules and flow-mods; the numbers are OpenFlow 1.3's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct FlowFlags(pub u16);

impl FlowFlags {
    /// Tell the controllers when the rule goes.
    pub const SEND_FLOW_REM: FlowFlags = FlowFlags(1 << 0);
    /// Refuse a rule that overlaps another of its priority.
    pub const CHECK_OVERLAP: FlowFlags = FlowFlags(1 << 1);
    /// Reset the counters of the rule replaced.
    pub const RESET_COUNTS: FlowFlags = FlowFlags(1 << 2);
    /// Do not count packets.
    pub const NO_PACKET_COUNTS: FlowFlags = FlowFlags(1 << 3);
    /// Do not count octets.
    pub const NO_BYTE_COUNTS: FlowFlags = FlowFlags(1 << 4);
    /// Emergency rule (OpenFlow 1.0); its wire number is that of `RESET_COUNTS`.
    pub const EMERG: FlowFlags = FlowFlags(1 << 8);

    /// Whether all of `other` are set.
    pub fn contains(self, other: FlowFlags) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both together.
    #[must_use]
    pub fn with(self, other: FlowFlags) -> FlowFlags {
        FlowFlags(self.0 | other.0)
    }

    /// What is left without `other`.
    #[must_use]
    pub fn without(self, other: FlowFlags) -> FlowFlags {
        FlowFlags(self.0 & !other.0)
    }
}

/// A change of the flow table; with its match packed where many are kept.
#[derive(Clone, Debug, PartialEq)]
pub struct FlowMod<M = Match> {
    /// Which packets, or which rules.
    pub matching: M,
    /// Priority; strict commands and `add` look at it.
    pub priority: u16,
    /// Bits that rules' cookies must have, under `cookie_mask`.
    pub cookie: u64,
    /// Which bits of the cookie matter; 0 for every rule.
    pub cookie_mask: u64,
    /// The new cookie of rules added or modified; all ones keeps the old one when modifying.
    pub new_cookie: u64,
    /// Whether `new_cookie` goes into modified rules.
    pub modify_cookie: bool,
    /// Table; 0xff: any table (delete, modify), or the switch's choice (add).
    pub table: u8,
    /// What to do.
    pub command: FlowModCommand,
    /// Seconds, 0 for none.
    pub idle_timeout: u16,
    /// Seconds, 0 for none.
    pub hard_timeout: u16,
    /// Importance in eviction.
    pub importance: u16,
    /// Buffered packet to send through the rule; `None` for none.
    pub buffer_id: Option<u32>,
    /// Only rules with an output to this port (delete), [`OfPort::ANY`] for all.
    pub out_port: OfPort,
    /// Only rules with this group (delete), [`GROUP_ANY`] for all.
    pub out_group: u32,
    /// Flags.
    pub flags: FlowFlags,
    /// Actions and instructions.
    pub actions: Actions,
}

/// Group number that stands for any group.
pub const GROUP_ANY: u32 = 0xffff_ffff;
/// Group number that stands for all groups.
pub const GROUP_ALL: u32 = 0xffff_fffc;
/// Table number that stands for all tables.
pub const TABLE_ALL: u8 = 0xff;
/// Priority of a rule unless told.
pub const DEFAULT_PRIORITY: u16 = 0x8000;

/// A match without the words that do not matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackedMatch {
    /// Bits and their values.
    pub mini: MiniMatch,
    /// Where the match's tunnel options lie, if it has any.
    pub tun: Option<Arc<TunTable>>,
}

/// A flow-mod of a hundred octets or two instead of one and a half thousand.
pub type PackedFlowMod = FlowMod<PackedMatch>;

impl<M> FlowMod<M> {
    /// Whether it is a modification that adds nothing where it finds nothing: from OpenFlow 1.2 on. Before that one
    /// carries a new cookie and asks for none.
    pub fn changes_only(&self) -> bool {
        matches!(self.command, FlowModCommand::Modify | FlowModCommand::ModifyStrict)
            && (self.cookie_mask != 0 || self.new_cookie == u64::MAX)
    }

    /// The same with another match, or the same match in another form.
    pub fn with_match<N>(&self, matching: N) -> FlowMod<N> {
        FlowMod {
            matching,
            priority: self.priority,
            cookie: self.cookie,
            cookie_mask: self.cookie_mask,
            new_cookie: self.new_cookie,
            modify_cookie: self.modify_cookie,
            table: self.table,
            command: self.command,
            idle_timeout: self.idle_timeout,
            hard_timeout: self.hard_timeout,
            importance: self.importance,
            buffer_id: self.buffer_id,
            out_port: self.out_port,
            out_group: self.out_group,
            flags: self.flags,
            actions: self.actions.clone(),
        }
    }
}

impl FlowMod {
    /// The same, packed; `shapes` lets those of one kind share what they have in common.
    pub fn pack(&self, shapes: &mut Shapes) -> PackedFlowMod {
        self.with_match(self.matching.pack(shapes))
    }
}

impl Match {
    /// The same, packed; `shapes` lets those of one kind share what they have in common.
    pub fn pack(&self, shapes: &mut Shapes) -> PackedMatch {
        PackedMatch { mini: shapes.matching(&self.key, &self.mask), tun: self.tun.clone() }
    }
}

impl PackedMatch {
    /// The same in full.
    pub fn unpack(&self) -> Match {
        let mut m = Match { tun: self.tun.clone(), ..Match::any() };
        self.mini.write_into(&mut m.key, &mut m.mask);
        m
    }
}

impl PackedFlowMod {
    /// The same in full.
    pub fn unpack(&self) -> FlowMod {
        self.with_match(self.matching.unpack())
    }
}

impl Default for FlowMod {
    fn default() -> Self {
        FlowMod {
            matching: Match::any(),
            priority: DEFAULT_PRIORITY,
            cookie: 0,
            cookie_mask: 0,
            new_cookie: 0,
            modify_cookie: false,
            table: TABLE_ALL,
            command: FlowModCommand::Add,
            idle_timeout: 0,
            hard_timeout: 0,
            importance: 0,
            buffer_id: None,
            out_port: OfPort::ANY,
            out_group: GROUP_ANY,
            flags: FlowFlags::default(),
            actions: Actions::default(),
        }
    }
}

/// What is asked of flow and aggregate statistics.
#[derive(Clone, Debug, PartialEq)]
pub struct FlowStatsRequest {
    /// Sum up instead of listing.
    pub aggregate: bool,
    /// Which rules.
    pub matching: Match,
    /// Bits that rules' cookies must have, under `cookie_mask`.
    pub cookie: u64,
    /// Which bits of the cookie matter.
    pub cookie_mask: u64,
    /// Only rules with an output to this port, [`OfPort::ANY`] for all.
    pub out_port: OfPort,
    /// Only rules with this group, [`GROUP_ANY`] for all.
    pub out_group: u32,
    /// Table, 0xff for all.
    pub table: u8,
}

/// Statistics of one rule.
#[derive(Clone, Debug, PartialEq)]
pub struct FlowStats {
    /// Which packets.
    pub matching: Match,
    /// Cookie.
    pub cookie: u64,
    /// Table.
    pub table: u8,
    /// Priority.
    pub priority: u16,
    /// Age, seconds and nanoseconds; `None` for a reply that does not tell.
    pub duration: Option<(u32, u32)>,
    /// Seconds, 0 for none.
    pub idle_timeout: u16,
    /// Seconds, 0 for none.
    pub hard_timeout: u16,
    /// Importance in eviction.
    pub importance: u16,
    /// Seconds since the last packet; `None` when not told.
    pub idle_age: Option<u32>,
    /// Seconds since the last change; `None` when not told.
    pub hard_age: Option<u16>,
    /// Packets; `None` when not counted.
    pub packets: Option<u64>,
    /// Octets; `None` when not counted.
    pub bytes: Option<u64>,
    /// Flags.
    pub flags: FlowFlags,
    /// Actions and instructions.
    pub actions: Actions,
}
