//! Flow monitors: OpenFlow 1.4 section 7.3.5.17, ONF extension 187 for 1.3, Nicira's extension for 1.0 to 1.2.

use crate::OfPort;
use crate::action::Actions;
use crate::matching::Match;

/// Bits of [`FlowMonitorRequest::flags`], as in OpenFlow 1.4.
#[allow(missing_docs)]
pub mod monitor_flag {
    pub const INITIAL: u16 = 1 << 0;
    pub const ADD: u16 = 1 << 1;
    pub const REMOVED: u16 = 1 << 2;
    pub const MODIFY: u16 = 1 << 3;
    pub const INSTRUCTIONS: u16 = 1 << 4;
    pub const NO_ABBREV: u16 = 1 << 5;
    pub const ONLY_OWN: u16 = 1 << 6;
}

/// What a request does to the monitor; the number is OpenFlow 1.4's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum MonitorCommand {
    Add = 0,
    Modify = 1,
    Delete = 2,
}

/// Asks to be told of changes to rules.
#[derive(Clone, Debug, PartialEq)]
pub struct FlowMonitorRequest {
    /// Identifier, in replies' and cancels' terms.
    pub id: u32,
    /// What to do.
    pub command: MonitorCommand,
    /// [`monitor_flag`].
    pub flags: u16,
    /// Only rules that output there; [`OfPort::ANY`] for all.
    pub out_port: OfPort,
    /// Only rules with that group; `u32::MAX` for all.
    pub out_group: u32,
    /// Table, 255 for all.
    pub table_id: u8,
    /// Rules at least as specific.
    pub matching: Match,
}

/// What happened to a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FlowUpdateEvent {
    /// It was there when the monitor began (1.4+; others say [`FlowUpdateEvent::Added`]).
    Initial,
    /// It was added.
    Added,
    /// It was deleted, with the reason.
    Deleted,
    /// Its actions changed.
    Modified,
}

/// A change to rules.
#[derive(Clone, Debug, PartialEq)]
pub enum FlowUpdate {
    /// A rule was added, deleted or modified.
    Full(Box<FullUpdate>),
    /// The monitor's owner did it itself, with the message of this xid.
    Abbrev {
        /// Transaction of the message that did it.
        xid: u32,
    },
}

/// A rule was added, deleted or modified.
#[derive(Clone, Debug, PartialEq)]
pub struct FullUpdate {
    /// What happened.
    pub event: FlowUpdateEvent,
    /// Why, for [`FlowUpdateEvent::Deleted`]: the number of [`super::flow_removed::FlowRemovedReason`].
    pub reason: u8,
    /// Seconds.
    pub idle_timeout: u16,
    /// Seconds.
    pub hard_timeout: u16,
    /// Its priority.
    pub priority: u16,
    /// Its table.
    pub table_id: u8,
    /// Its cookie.
    pub cookie: u64,
    /// What it matches.
    pub matching: Match,
    /// What it does; empty without [`monitor_flag::INSTRUCTIONS`].
    pub actions: Actions,
}
