//! Flows that are being decided upon: the first packet is above; those that follow wait here, so that they neither
//! overtake it nor are decided upon again.
//!
//! A flow is here what must stay in order: addresses, protocol and ports of one port's packets, whatever else of their
//! headers decides. Two flows that share a hash wait for each other, which harms neither.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use flow::key::word;
use flow::{Key, Ticket, nw_frag};
use packet::PacketBuf;

use crate::mix;

/// After so long without an answer it will not come any more, ms.
const FORGET_MS: u64 = 1_000;

/// A packet that waits.
pub(crate) struct Waiting {
    pub(crate) packet: PacketBuf,
    pub(crate) key: Box<Key>,
    /// Passes behind it.
    pub(crate) passes: u8,
}

#[derive(Default)]
struct Asked {
    /// Packets above.
    unanswered: u32,
    /// Passes behind the one that went last.
    passes: u8,
    since_ms: u64,
    waiting: Vec<Waiting>,
}

/// What is hashed is a hash already.
#[derive(Default)]
struct Same(u64);

impl Hasher for Same {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, octets: &[u8]) {
        octets.iter().for_each(|o| self.0 = self.0.rotate_left(8) ^ u64::from(*o));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

/// The flows being decided upon, by hash.
#[derive(Default)]
pub(crate) struct Pending {
    flows: HashMap<u64, Asked, BuildHasherDefault<Same>>,
    /// The most passes behind any packet above since there was none.
    deepest: u8,
}

impl Pending {
    /// The hash of the flow that a packet must stay in order with.
    pub(crate) fn flow_of(key: &Key, seed: u64) -> u64 {
        let ports = if key.nw_frag() & nw_frag::ANY == 0 { key.0[word::TP] >> 32 } else { 0 };
        let pass = u64::from(key.in_port()) << 32 | u64::from(key.recirc_id());
        let ip = &key.0[word::NW..=word::IPV6_DST + 1];
        let ethernet = [key.0[word::DL_DST_TYPE], key.0[word::DL_SRC], key.0[word::VLANS]];
        let rest = [pass, ports, u64::from(key.nw_proto())];
        mix::words(rest.into_iter().chain(ethernet).chain(ip.iter().copied()), seed)
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.flows.is_empty()
    }

    /// Whether a flow is being decided upon.
    pub(crate) fn has(&self, flow: u64) -> bool {
        self.flows.contains_key(&flow)
    }

    /// A packet of the flow goes up, with so many passes behind it.
    pub(crate) fn ask(&mut self, flow: u64, passes: u8, now_ms: u64) {
        self.deepest = if self.is_empty() { passes } else { self.deepest.max(passes) };
        let asked = self.flows.entry(flow).or_default();
        asked.unanswered += 1;
        asked.passes = passes;
        asked.since_ms = now_ms;
    }

    /// Passes behind a packet that comes back with its answer: one that goes round in a loop, and is decided upon each time,
    /// goes round no longer for that.
    pub(crate) fn passes(&self, key: &Key, seed: u64) -> u8 {
        if self.deepest == 0 {
            return 0;
        }
        self.flows.get(&Self::flow_of(key, seed)).map_or(0, |asked| asked.passes)
    }

    /// A packet of the flow has to wait.
    pub(crate) fn hold(&mut self, flow: u64, waiting: Waiting) {
        if let Some(asked) = self.flows.get_mut(&flow) {
            asked.waiting.push(waiting);
        }
    }

    /// A packet of the flow was answered. Gives those that waited, once no answer is missing.
    pub(crate) fn answer(&mut self, ticket: Ticket) -> Vec<Waiting> {
        let Some(asked) = self.flows.get_mut(&ticket.flow) else { return Vec::new() };
        asked.unanswered = asked.unanswered.saturating_sub(1);
        if asked.unanswered > 0 {
            return Vec::new();
        }
        self.flows.remove(&ticket.flow).map(|asked| asked.waiting).unwrap_or_default()
    }

    /// Flows that wait in vain, with their packets.
    pub(crate) fn forget(&mut self, now_ms: u64) -> Vec<Waiting> {
        let late = |asked: &Asked| now_ms.saturating_sub(asked.since_ms) > FORGET_MS;
        let mut waiting = Vec::new();
        self.flows.retain(|_, asked| {
            if late(asked) {
                waiting.append(&mut asked.waiting);
                return false;
            }
            true
        });
        waiting
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket(flow: u64) -> Ticket {
        Ticket { flow, thread: 0 }
    }

    fn waiting() -> Waiting {
        Waiting { packet: PacketBuf::new(&[]), key: Box::new(Key::EMPTY), passes: 0 }
    }

    #[test]
    fn packets_wait_until_the_last_answer() {
        let mut pending = Pending::default();
        pending.ask(1, 0, 0);
        pending.ask(1, 0, 0);
        pending.hold(1, waiting());
        assert!(pending.has(1) && !pending.has(2));
        assert!(pending.answer(ticket(1)).is_empty());
        assert!(pending.answer(ticket(7)).is_empty());
        assert_eq!(pending.answer(ticket(1)).len(), 1);
        assert!(pending.is_empty());
    }

    #[test]
    fn answers_that_do_not_come_are_not_waited_for_for_ever() {
        let mut pending = Pending::default();
        pending.ask(1, 0, 0);
        pending.hold(1, waiting());
        assert!(pending.forget(FORGET_MS).is_empty());
        assert_eq!(pending.forget(FORGET_MS + 1).len(), 1);
        assert!(pending.is_empty());
    }

    #[test]
    fn what_a_connection_changes_keeps_its_flow() {
        let mut key = Key::EMPTY;
        key.set_in_port(1);
        key.set_dl_type(0x0800);
        key.set_nw_proto(6);
        key.set_tp_src(1000);
        key.set_tp_dst(80);
        let flow = Pending::flow_of(&key, 3);
        let mut other = key.clone();
        other.set_tcp_flags(0x12);
        other.set_nw_ttl(9);
        other.set_nw_tos(4);
        assert_eq!(Pending::flow_of(&other, 3), flow);
        other.set_tp_src(1001);
        assert_ne!(Pending::flow_of(&other, 3), flow);
        key.set_recirc_id(5);
        assert_ne!(Pending::flow_of(&key, 3), flow);
    }
}
