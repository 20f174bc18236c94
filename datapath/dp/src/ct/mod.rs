//! Connection tracking: which connection a packet belongs to, in what state, and how its addresses are translated.
//!
//! One table for all threads of a datapath, all zones in it. A connection is found by either direction's tuple; TCP is
//! followed by sequence numbers ([`tcp`]), everything else by who has spoken. What a packet may not be is `inv`.
//!
//! Fragments wait until their datagram is whole ([`fragments`]). Connections agreed on
//! inside others are expected by [`helper`]s.
//!
//! Source: ovs-actions(7) on `ct`, ovs-fields(7) on connection tracking, ovs-dpctl(8); RFC 9293, 792, 4443; RFC 5382,
//! 4787 on what translation owes.

mod conn;
mod events;
pub(crate) mod fragments;
pub(crate) mod helper;
mod limits;
mod nat;
mod parse;
mod settings;
mod tcp;
mod text;
mod wheel;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use flow::ct_state as cs;
use flow::odp::{Ct, CtNat};

pub(crate) use conn::{Conn, Progress};
pub use conn::{Connection, Timeout, Timeouts, Tuple};
pub use events::Event;
pub(crate) use events::Untracked;
pub use fragments::{Family, Fragments, LEAST_MIN_SIZE, MOST_FRAGMENTS};
use helper::Expectations;
use limits::Limits;
pub(crate) use parse::{Parsed, parse};
pub use settings::Settings;
pub use tcp::State as TcpState;
use wheel::Wheel;

use crate::mix::Dice;

/// Connections at most, all zones together.
const MAX_CONNECTIONS: usize = 3_000_000;
/// Connections whose time may be over that are looked at at once; for each that begins; and for one that there is no room
/// for.
const SWEEP: usize = 1024;
const SWEEP_BESIDE: usize = 2;
const SWEEP_FOR_ROOM: usize = 64;

/// What became of a packet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) state: u8,
    pub(crate) mark: u32,
    pub(crate) label: u128,
    /// The original direction.
    pub(crate) original: Option<Tuple>,
    pub(crate) rewrite: Option<Rewrite>,
    /// Nothing was free to translate the connection to that it would have begun.
    pub(crate) is_exhausted: bool,
    /// Its connection has a helper: to be shown the packet's text.
    pub(crate) helped: Option<Helped>,
    /// What is to be counted of it.
    pub(crate) event: Option<Event>,
}

/// A packet of a connection that has a helper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Helped {
    index: u32,
    is_reply: bool,
}

/// What a packet's addresses and ports shall be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rewrite {
    pub(crate) from: Tuple,
    pub(crate) to: Tuple,
    /// It is an error about a packet of the other direction: the one quoted is to be changed too.
    pub(crate) is_related: bool,
}

/// What a packet that went through a zone before brings with it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Again {
    /// Without the bit that it was tracked.
    pub(crate) state: u8,
    pub(crate) original: Tuple,
}

/// A tuple in its zone.
type Place = (u16, Tuple);

/// The connections of a datapath.
pub(crate) struct Tracker {
    conns: Vec<Option<Box<Conn>>>,
    free: Vec<u32>,
    /// To the connection, and whether the tuple is of its reply direction.
    by_tuple: HashMap<Place, (u32, bool)>,
    pub(crate) limits: Limits,
    pub(crate) max: usize,
    /// Whether segments outside the window are invalid.
    pub(crate) checks_sequence: bool,
    pub(crate) fragments: Fragments,
    expectations: Expectations,
    policies: BTreeMap<Arc<str>, Timeouts>,
    wheel: Wheel,
    dice: Dice,
}

impl Tracker {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            conns: Vec::new(),
            free: Vec::new(),
            by_tuple: HashMap::new(),
            limits: Limits::default(),
            max: MAX_CONNECTIONS,
            checks_sequence: true,
            fragments: Fragments::default(),
            expectations: Expectations::default(),
            policies: BTreeMap::new(),
            wheel: Wheel::default(),
            dice: Dice::new(seed ^ 0x6374),
        }
    }

    /// Takes a packet through.
    pub(crate) fn process(
        &mut self,
        ct: &Ct,
        packet: Result<Parsed, Untracked>,
        again: Option<Again>,
        now_ms: u64,
    ) -> Outcome {
        let mut packet = match packet {
            Ok(packet) => packet,
            Err(reason) => {
                return Outcome { state: cs::INV | cs::TRK, event: reason.event(), ..Outcome::default() };
            }
        };
        let mut found = match &again {
            // Its own addresses may be translated by now.
            Some(again) => {
                let found = self.find_again(ct.zone, &packet, again, now_ms);
                found.map(|index| (index, again.state & cs::RPL != 0))
            }
            None => self.find_own(ct.zone, &packet, now_ms),
        };
        let again = again.map(|again| again.state);
        if let Some((index, true)) = found {
            // Forced to begin anew by who answered before.
            if ct.force && ct.commit {
                self.remove(index);
                found = None;
            }
        }
        let mut outcome = Outcome::default();
        if let Some((index, reply)) = found {
            self.unshift(index, reply, &mut packet);
            match self.progress(index, reply, &packet, again, now_ms, &mut outcome.event) {
                Some(state) => outcome.state = state,
                None => {
                    self.remove(index);
                    found = None;
                }
            }
        }
        outcome.original = Some(packet.tuple);
        if found.is_none() {
            (found, outcome.state) = self.begin(ct, &packet, again, now_ms, &mut outcome);
            if let Some(expected) = self.expectations.find(ct.zone, &packet.tuple).filter(|_| outcome.state == cs::NEW)
            {
                outcome.state |= cs::REL;
                outcome.original = Some(expected.parent_tuple);
                (outcome.mark, outcome.label) = (expected.mark, expected.label);
            }
        }
        outcome.state |= cs::TRK;
        if let Some((index, reply)) = found {
            self.finish(ct, index, reply, &packet, &mut outcome);
        }
        outcome
    }

    /// Writes mark and label, and says what to tell of the connection.
    fn finish(&mut self, ct: &Ct, index: u32, reply: bool, packet: &Parsed, outcome: &mut Outcome) {
        let Some(Some(conn)) = self.conns.get_mut(index as usize) else { return };
        // What is invalid is a packet of its connection all the same, and translated as the others are.
        let is_valid = outcome.state & cs::INV == 0;
        if let Some((value, mask)) = ct.mark {
            conn.mark = conn.mark & !mask | value & mask;
        }
        if let Some((value, mask)) = ct.label {
            conn.label = conn.label & !mask | value & mask;
        }
        (outcome.mark, outcome.label, outcome.original) =
            (conn.mark, conn.label, Some(conn.parent.unwrap_or(conn.original)));
        if conn.parent.is_some() && is_valid {
            outcome.state |= cs::REL;
        }
        if conn.helper.is_some() && !packet.is_related && is_valid {
            helper::datagram(&mut self.expectations, index, conn, reply);
            outcome.helped = Some(Helped { index, is_reply: reply });
        }
        if ct.nat.is_some() && conn.original != conn.reply.reversed() {
            let wanted = if reply { conn.original.reversed() } else { conn.reply.reversed() };
            if wanted != packet.tuple {
                let changes_src = wanted.src != packet.tuple.src || wanted.sport != packet.tuple.sport;
                outcome.state |= if changes_src { cs::SNAT } else { cs::DNAT };
                outcome.rewrite = Some(Rewrite { from: packet.tuple, to: wanted, is_related: packet.is_related });
            }
        }
    }

    /// The connection that a packet's own addresses lead to; if they are translated, by the answer to it at first.
    fn find_own(&mut self, zone: u16, packet: &Parsed, now_ms: u64) -> Option<(u32, bool)> {
        if packet.is_translated
            && let Some((index, is_reply)) = self.find(zone, &packet.tuple.reversed(), now_ms)
        {
            return Some((index, !is_reply));
        }
        self.find(zone, &packet.tuple, now_ms)
    }

    /// The connection of a packet that was here before: its own addresses may be translated by now.
    fn find_again(&mut self, zone: u16, packet: &Parsed, again: &Again, now_ms: u64) -> Option<u32> {
        let own = packet.tuple;
        if again.state & cs::REL != 0 && !packet.is_related {
            // Agreed on inside another connection: the original direction that was told is the other's.
            return [own, own.reversed()].iter().find_map(|tuple| {
                let (index, _) = self.find(zone, tuple, now_ms)?;
                let conn = self.conns[index as usize].as_ref()?;
                conn.parent.is_some().then_some(index)
            });
        }
        let mut original = again.original;
        if original.is_icmp() {
            // A key has no place for the identifier.
            (original.sport, original.dport) = (own.sport, own.dport);
        }
        self.find(zone, &original, now_ms).map(|(index, _)| index)
    }

    /// Gives a segment the acknowledgement as the other end would have it, had its text not been rewritten.
    fn unshift(&self, index: u32, reply: bool, packet: &mut Parsed) {
        if let (Some(Some(conn)), Some(segment)) = (self.conns.get(index as usize), &mut packet.tcp) {
            segment.ack = segment.ack.wrapping_sub(conn.shifts[usize::from(!reply)].back(segment.ack) as u32);
        }
    }

    /// Shows a helper a segment: numbers and payload. `translates`: it may rewrite that.
    pub(crate) fn help(&mut self, helped: Helped, segment: (u32, u32, &[u8]), translates: bool) -> helper::Edit {
        match self.conns.get_mut(helped.index as usize) {
            Some(Some(conn)) => {
                helper::follow(&mut self.expectations, (helped.index, conn), helped.is_reply, segment, translates)
            }
            _ => helper::Edit::default(),
        }
    }

    fn find(&mut self, zone: u16, tuple: &Tuple, now_ms: u64) -> Option<(u32, bool)> {
        let (index, reply) = *self.by_tuple.get(&(zone, *tuple))?;
        let expired = self.conns[index as usize].as_ref().is_none_or(|c| c.expires_ms <= now_ms);
        if expired {
            self.remove(index);
            return None;
        }
        Some((index, reply))
    }

    /// The state of a packet of a connection; `None`: the connection is over, and the packet begins another.
    fn progress(
        &mut self,
        index: u32,
        reply: bool,
        packet: &Parsed,
        again: Option<u8>,
        now_ms: u64,
        event: &mut Option<Event>,
    ) -> Option<u8> {
        let checks = self.checks_sequence;
        let conn = self.conns[index as usize].as_mut()?;
        let direction = if reply { cs::RPL } else { 0 };
        if let Some(state) = again {
            return Some(state);
        }
        if packet.is_related {
            return Some(cs::REL | direction);
        }
        let progress = conn.update(packet, reply, checks, now_ms);
        *event = progress.event();
        if wheel::spoke_of(conn.expires_ms) < conn.spoke {
            conn.spoke = self.wheel.note(index, conn.expires_ms, now_ms);
        }
        Some(match progress {
            Progress::Valid | Progress::Unchecked => cs::EST | direction,
            Progress::ValidNew => cs::NEW,
            Progress::Nonsense | Progress::Outside => cs::INV,
            Progress::Over => return None,
        })
    }

    /// A packet of no connection: its state, and the connection it begins if it is to be committed.
    fn begin(
        &mut self,
        ct: &Ct,
        packet: &Parsed,
        again: Option<u8>,
        now_ms: u64,
        outcome: &mut Outcome,
    ) -> (Option<(u32, bool)>, u8) {
        if packet.is_related || !packet.may_begin() {
            return (None, cs::INV);
        }
        if again.is_some_and(|state| state & cs::INV != 0) {
            return (None, cs::INV);
        }
        if !ct.commit {
            return (None, cs::NEW);
        }
        if !self.makes_room(ct.zone, now_ms) {
            outcome.event = Some(Event::Full);
            return (None, cs::NEW);
        }
        let timeouts = ct.timeout.as_ref().and_then(|name| self.policies.get(name)).copied().unwrap_or_default();
        let original = packet.tuple;
        let expected = self.expectations.find(ct.zone, &original).cloned();
        let translated = match (&ct.nat, &expected) {
            (Some(_), Some(expected)) => expected.reply(&original).reversed(),
            (Some(nat), None) if nat.src.is_some() => match self.translate(ct.zone, nat, &original, now_ms) {
                Some(translated) => translated,
                // Nothing is free: it stays new, and is not remembered.
                None => {
                    outcome.is_exhausted = true;
                    return (None, cs::NEW);
                }
            },
            _ => original,
        };
        let reply = translated.reversed();
        let other = self.holder(&(ct.zone, reply), now_ms).filter(|_| reply != original);
        // What is not translated may answer to a connection's own addresses that is, and takes its packets over.
        if other.is_some() && translated != original {
            return (None, cs::NEW);
        }
        let mut conn = Conn::new(ct.zone, packet, reply, timeouts, now_ms);
        conn.helper = ct.helper;
        if let Some(expected) = expected {
            conn.parent = Some(expected.parent_tuple);
            (conn.mark, conn.label) = (expected.mark, expected.label);
        }
        conn.admission = self.limits.admit(ct.zone);
        conn.hides = other;
        let index = self.free.pop().unwrap_or_else(|| {
            self.conns.push(None);
            self.conns.len() as u32 - 1
        });
        conn.spoke = self.wheel.note(index, conn.expires_ms, now_ms);
        self.conns[index as usize] = Some(Box::new(conn));
        self.by_tuple.insert((ct.zone, reply), (index, true));
        self.by_tuple.insert((ct.zone, original), (index, false));
        (Some((index, false)), cs::NEW)
    }

    /// Whether there is room for one more, if need be that of one whose time is over.
    fn makes_room(&mut self, zone: u16, now_ms: u64) -> bool {
        self.sweep(SWEEP_BESIDE, now_ms);
        for _ in 0..SWEEP_FOR_ROOM {
            if self.has_room(zone) {
                return true;
            }
            if !self.sweep(1, now_ms) {
                break;
            }
        }
        self.has_room(zone)
    }

    fn has_room(&self, zone: u16) -> bool {
        self.len() < self.max && self.limits.has_room(zone)
    }

    fn translate(&mut self, zone: u16, nat: &CtNat, original: &Tuple, now_ms: u64) -> Option<Tuple> {
        let roll = self.dice.roll();
        let taken = |tuple: &Tuple| self.holder(&(zone, tuple.reversed()), now_ms).is_some();
        nat::choose(nat, original, roll, taken)
    }

    /// The connection that a tuple leads to, unless its time is over.
    fn holder(&self, place: &Place, now_ms: u64) -> Option<u32> {
        let (index, _) = *self.by_tuple.get(place)?;
        let conn = self.conns.get(index as usize)?.as_ref()?;
        (conn.expires_ms > now_ms).then_some(index)
    }

    fn remove(&mut self, index: u32) -> Option<Connection> {
        let conn = self.conns.get_mut(index as usize)?.take()?;
        for tuple in [conn.original, conn.reply] {
            let place = (conn.zone, tuple);
            if self.by_tuple.get(&place).is_some_and(|(i, _)| *i == index) {
                self.by_tuple.remove(&place);
            }
        }
        if let Some(hidden) = conn.hides {
            self.show_again(hidden, (conn.zone, conn.reply));
        }
        if conn.helper.is_some() {
            self.expectations.forget(index);
        }
        self.free.push(index);
        if let Some(admission) = conn.admission {
            self.limits.leave(admission);
        }
        Some(conn.told())
    }

    /// Gives a tuple back to the connection that another had taken it from, if that is still there.
    fn show_again(&mut self, index: u32, place: Place) {
        if let Some(Some(conn)) = self.conns.get(index as usize)
            && conn.zone == place.0
            && (conn.original == place.1 || conn.reply == place.1)
        {
            let is_reply = conn.original != place.1;
            self.by_tuple.entry(place).or_insert((index, is_reply));
        }
    }

    /// Removes some connections whose time is over.
    pub(crate) fn expire(&mut self, now_ms: u64) {
        self.fragments.purge(now_ms);
        self.sweep(SWEEP, now_ms);
    }

    /// Looks at so many connections whose time may be over; `false`: there are no more.
    fn sweep(&mut self, most: usize, now_ms: u64) -> bool {
        for _ in 0..most {
            let Some((index, spoke)) = self.wheel.next(now_ms) else { return false };
            // Otherwise it is of another life of its place.
            let Some(Some(conn)) = self.conns.get_mut(index as usize) else { continue };
            if conn.spoke != spoke {
                continue;
            }
            if conn.expires_ms <= now_ms {
                self.remove(index);
            } else {
                conn.spoke = self.wheel.note(index, conn.expires_ms, now_ms);
            }
        }
        true
    }

    pub(crate) fn len(&self) -> usize {
        self.conns.len() - self.free.len()
    }

    /// Removes the connections of a zone, or of all; says how many.
    pub(crate) fn flush(&mut self, zone: Option<u16>) -> usize {
        let doomed: Vec<u32> = (0u32..)
            .zip(&self.conns)
            .filter_map(|(i, c)| Some((i, c.as_ref()?)))
            .filter(|(_, c)| zone.is_none_or(|z| c.zone == z))
            .map(|(i, _)| i)
            .collect();
        for index in &doomed {
            self.remove(*index);
        }
        doomed.len()
    }

    /// Removes the connection of a tuple of either direction; one that is translated goes by its original direction
    /// only. Says whether there was one.
    pub(crate) fn forget(&mut self, zone: u16, tuple: &Tuple) -> bool {
        let Some((index, is_reply)) = self.by_tuple.get(&(zone, *tuple)).copied() else { return false };
        let Some(Some(conn)) = self.conns.get(index as usize) else { return false };
        if is_reply && conn.original != conn.reply.reversed() {
            return false;
        }
        self.remove(index).is_some()
    }

    /// Up to `max` connections from a number on, of one zone or all, and where to go on.
    pub(crate) fn dump(&self, from: usize, max: usize, zone: Option<u16>) -> (Vec<Connection>, Option<usize>) {
        let mut told = Vec::new();
        for (i, conn) in self.conns.iter().enumerate().skip(from) {
            let Some(conn) = conn.as_ref().filter(|c| zone.is_none_or(|z| c.zone == z)) else { continue };
            if told.len() == max {
                return (told, Some(i));
            }
            told.push(conn.told());
        }
        (told, None)
    }

    /// Sets or removes the timeouts of a name.
    pub(crate) fn set_policy(&mut self, name: &str, timeouts: Option<Timeouts>) {
        match timeouts {
            Some(timeouts) => drop(self.policies.insert(name.into(), timeouts)),
            None => drop(self.policies.remove(name)),
        }
    }
}
