//! The reply to a request for flows, written rule by rule, so that a table of any size is shown in little memory.

use super::kind::{self, Kind, Shape};
use super::wire::Put;
use super::{Dialect, Unsupported, flow_stats};
use crate::Version;
use crate::flow_mod::FlowStats;

/// A reply under way: messages as full as rules, which are never cut, allow.
#[derive(Debug)]
pub struct FlowRows {
    out: Vec<u8>,
    /// Where the message begins that the next rule goes into.
    part: usize,
    shape: &'static Shape,
    dialect: Dialect,
    version: Version,
    xid: u32,
}

impl FlowRows {
    /// A reply without rules.
    ///
    /// # Errors
    /// When the version has no such message.
    pub fn new(dialect: Dialect, version: Version, xid: u32) -> Result<FlowRows, Unsupported> {
        let shape = kind::shape_of(Kind::FlowStatsReply, version, dialect == Dialect::Nicira)
            .ok_or_else(|| Unsupported { what: "FlowStatsReply".into(), version })?;
        let mut out = Vec::new();
        kind::put_head(&mut out, shape, version, xid);
        Ok(FlowRows { out, part: 0, shape, dialect, version, xid })
    }

    /// Adds a rule. One that does not fit into any message is left out.
    pub fn push(&mut self, flow: &FlowStats) {
        let before = self.out.len();
        flow_stats::encode_flow(&mut self.out, self.dialect, flow, self.version);
        if self.out.len() - self.part <= usize::from(u16::MAX) {
            return;
        }
        let row = self.out.split_off(before);
        self.end_part(kind::MORE);
        self.part = self.out.len();
        kind::put_head(&mut self.out, self.shape, self.version, self.xid);
        if self.out.len() - self.part + row.len() <= usize::from(u16::MAX) {
            self.out.extend_from_slice(&row);
        }
    }

    /// Octets of the messages that are full.
    pub fn full_len(&self) -> usize {
        self.part
    }

    /// Takes the messages that are full.
    pub fn take_full(&mut self) -> Vec<u8> {
        let rest = self.out.split_off(self.part);
        self.part = 0;
        std::mem::replace(&mut self.out, rest)
    }

    /// All that is left, the last message among it.
    pub fn finish(&mut self) -> Vec<u8> {
        self.end_part(0);
        self.part = 0;
        std::mem::take(&mut self.out)
    }

    fn end_part(&mut self, flags: u16) {
        kind::finish(&mut self.out, self.part);
        self.out.patch16(self.part + 10, flags);
    }
}
