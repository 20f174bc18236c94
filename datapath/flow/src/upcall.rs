//! What passes between the datapath and the ofproto layer: misses up; flows and packets down.

use packet::PacketBuf;

use crate::classifier::MiniMatch;
use crate::{Actions, Key, Mask, odp::Cookie};

/// Unique flow identifier: a hash of the flow's masked key and mask made by who installs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ufid(pub u128);

/// Names, in its datapath, the flow whose packets wait for an upcall's answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ticket {
    /// Of its flow.
    pub flow: u64,
    /// Which of the datapath's threads asks: 0 the main one.
    pub thread: u16,
}

/// A packet that the datapath hands up.
#[derive(Clone, Debug)]
pub struct Upcall {
    /// Why.
    pub kind: UpcallKind,
    /// Its key as the datapath sees it (`in_port` is a datapath port); in a box, as an upcall is handed on several times.
    pub key: Box<Key>,
    /// The packet, as it is when handed up, offload metadata included.
    pub packet: PacketBuf,
    /// To be given back with the answer.
    pub ticket: Ticket,
}

/// Why a packet is handed up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpcallKind {
    /// No cached flow matched.
    Miss,
    /// A cached flow has a `userspace` action.
    Action(Cookie),
}

/// A flow for the datapath's cache.
#[derive(Clone, Debug)]
pub struct FlowEntry {
    /// Its name.
    pub ufid: Ufid,
    /// Which bits of the key decide, and their values.
    pub matching: MiniMatch,
    /// What to do.
    pub actions: Actions,
    /// Which of a flow's successive actions these are, as who installs it counts them.
    pub edition: u32,
}

impl FlowEntry {
    /// A flow of its first edition; bits of the key outside the mask do not matter.
    pub fn new(ufid: Ufid, key: &Key, mask: &Mask, actions: Actions) -> Self {
        Self { ufid, matching: MiniMatch::new(key, mask), actions, edition: 0 }
    }

    /// Values; bits outside the mask are zero.
    pub fn key(&self) -> Key {
        self.matching.key()
    }

    /// Which bits of the key decide.
    pub fn mask(&self) -> Mask {
        self.matching.mask()
    }
}

/// New actions of a flow.
#[derive(Clone, Debug, PartialEq)]
pub struct FlowChange {
    /// Its name.
    pub ufid: Ufid,
    /// What to do from now on.
    pub actions: Actions,
    /// Which of the flow's successive actions these are.
    pub edition: u32,
}

/// A flow as the datapath reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowReported {
    /// Its name.
    pub ufid: Ufid,
    /// Of the actions that it carries out.
    pub edition: u32,
    /// Counters.
    pub stats: FlowStats,
    /// Its port has no room for another mask, and no flow of this one's was used when that was looked at last.
    pub is_in_the_way: bool,
}

impl FlowReported {
    /// A flow that is gone.
    pub fn last(ufid: Ufid, edition: u32, stats: FlowStats) -> Self {
        Self { ufid, edition, stats, is_in_the_way: false }
    }
}

/// A packet for the datapath to act upon.
#[derive(Clone, Debug)]
pub struct Execute {
    /// The packet.
    pub packet: PacketBuf,
    /// Its key (`in_port` is a datapath port); metadata come from here.
    pub key: Box<Key>,
    /// What to do.
    pub actions: Actions,
}

/// Counters of one flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowStats {
    /// Packets.
    pub packets: u64,
    /// Octets.
    pub bytes: u64,
    /// When last used, in milliseconds of the switch's clock; 0: never.
    pub used_ms: i64,
    /// TCP flags seen.
    pub tcp_flags: u16,
}

impl std::ops::AddAssign for FlowStats {
    /// Counters of the same flow in another thread.
    fn add_assign(&mut self, other: Self) {
        self.packets += other.packets;
        self.bytes += other.bytes;
        self.used_ms = self.used_ms.max(other.used_ms);
        self.tcp_flags |= other.tcp_flags;
    }
}
