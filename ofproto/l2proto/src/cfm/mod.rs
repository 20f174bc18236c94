//! Connectivity fault management on one port: an end point that tells of itself and hears others of the one association
//! there is. Source: IEEE 802.1ag-2007; ovs-vswitchd.conf.db(5), "Connectivity Fault Management".
//!
//! Time is milliseconds of the switch's clock. [`Cfm::run`] does what is due, [`Cfm::poll_timeout`] says when that is,
//! [`Cfm::take_messages`] gives what is to be sent.
//!
//! An end point in demand mode looks at the port's other traffic before it calls its peer silent: [`Cfm::wants_count`] says
//! when, [`Cfm::counted`] tells it.
//!
//! Absent: the VLAN tag of messages (the caller's).

pub mod ccm;
mod show;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use ccm::{Ccm, Heard};

/// Most end points that are kept in mind.
const MAX_REMOTES: usize = 256;
/// Health is measured over this many checks for faults, which are 21 intervals.
const CHECKS_A_HEALTH: u32 = 6;
const INTERVALS_A_HEALTH: u64 = 21;
/// In demand mode faults are looked for as if the interval were this at least.
const SHORTEST_DEMAND_INTERVAL_MS: i64 = 500;
/// Traffic does not stand for a peer that sent no message in so many intervals.
const MESSAGE_INTERVALS: i64 = 100;

/// Reasons of a fault.
pub mod fault {
    /// Nothing was heard for 3.5 intervals.
    pub const RECV: u8 = 0x01;
    /// A remote end point sees a fault.
    pub const RDI: u8 = 0x02;
    /// A message of another association came.
    pub const MAID: u8 = 0x04;
    /// One's own message came back.
    pub const LOOPBACK: u8 = 0x08;
    /// There are more remote end points than fit.
    pub const OVERFLOW: u8 = 0x10;
    /// Set by hand.
    pub const OVERRIDE: u8 = 0x20;
    /// A message with another interval came: named in the database's schema, and never found.
    pub const INTERVAL: u8 = 0x40;

    /// Names, in their order.
    pub const NAMES: [(u8, &str); 7] = [
        (RECV, "recv"),
        (RDI, "rdi"),
        (MAID, "maid"),
        (LOOPBACK, "loopback"),
        (OVERFLOW, "overflow"),
        (OVERRIDE, "override"),
        (INTERVAL, "interval"),
    ];

    /// The names of some reasons.
    pub fn names(bits: u8) -> impl Iterator<Item = &'static str> {
        NAMES.iter().filter(move |(bit, _)| bits & bit != 0).map(|(_, name)| *name)
    }
}

/// What an end point is configured to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Number.
    pub mpid: u64,
    /// Wished interval of messages.
    pub interval_ms: u32,
    /// Extended mode.
    pub extended: bool,
    /// Tells others that it is operationally up (extended mode).
    pub up: bool,
    /// Traffic that comes in stands for the peer's messages (extended mode).
    pub demand: bool,
}

impl Settings {
    /// Whether demand mode is in force.
    fn on_demand(&self) -> bool {
        self.demand && self.extended
    }

    /// The interval in force.
    pub fn effective_interval_ms(&self) -> u32 {
        self.interval().1
    }

    /// Number of the interval in force, and its length, milliseconds.
    fn interval(&self) -> (u8, u32) {
        let of = if self.extended { ccm::extended_interval } else { ccm::standard_interval };
        of(self.interval_ms)
    }
}

/// What an end point tells of itself, for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A remote endpoint was not heard in time.
    Silent {
        /// Its number.
        remote: u64,
        /// How long nothing was heard.
        within_ms: i64,
    },
    /// What came is no message at all.
    Unparseable,
    /// Another kind of message came, with its number.
    Unsupported(u8),
    /// A message of another association came from this Ethernet address, 48 bits.
    Foreign(u64),
    /// One's own message came back.
    Loopback {
        /// Its number.
        mpid: u64,
    },
    /// A remote endpoint has another interval.
    OddInterval {
        /// Its number.
        remote: u64,
        /// The number of its interval.
        interval: u8,
    },
    /// A remote endpoint has another interval that the standard has no number for.
    OddExtendedInterval {
        /// Its number.
        remote: u64,
        /// Its interval, milliseconds.
        interval_ms: u16,
    },
    /// A message does not follow upon the one before.
    OutOfSequence {
        /// The remote endpoint's number.
        remote: u64,
        /// Number of the message before.
        before: u32,
        /// Number of this one.
        now: u32,
    },
    /// A message goes out late.
    Late {
        /// So long after the one before, milliseconds.
        delay_ms: i64,
        /// How long it should have been, milliseconds.
        expected_ms: u32,
        /// Its number.
        seq: u32,
    },
    /// [`fault`] bits.
    FaultsChanged {
        /// Those until now.
        before: u8,
        /// Those from now on.
        after: u8,
    },
}

#[derive(Clone, Copy, Debug)]
struct Remote {
    heard: bool,
    /// When its last message came.
    heard_ms: i64,
    up: bool,
    /// It says that it does not hear us.
    rdi: bool,
    seq: u32,
    /// Healthy messages since health was measured.
    healthy: u64,
}

/// The machine.
#[derive(Clone, Debug)]
pub struct Cfm {
    settings: Settings,
    remotes: BTreeMap<u64, Remote>,
    faults: u8,
    /// Faults seen since the last check.
    seen: u8,
    forced: Option<bool>,
    remote_up: bool,
    health: Option<u8>,
    checks: u32,
    flaps: u64,
    seq: u32,
    tx_at: i64,
    check_at: i64,
    /// When the last message went out.
    sent_ms: Option<i64>,
    /// Those whose messages came in before the last check.
    told: Vec<u64>,
    /// When a message was heard last.
    heard_at: Option<i64>,
    /// Packets that the port had received at the last check in demand mode.
    received: Option<u64>,
    /// A count has been asked for.
    asked: bool,
    messages: Vec<Ccm>,
    events: Vec<Event>,
}

impl Cfm {
    /// An end point that has heard nobody yet.
    pub fn new(settings: Settings, now_ms: i64) -> Cfm {
        let mut cfm = Cfm {
            settings,
            remotes: BTreeMap::new(),
            faults: 0,
            seen: 0,
            forced: None,
            remote_up: true,
            health: None,
            checks: 0,
            flaps: 0,
            seq: 0,
            tx_at: now_ms,
            check_at: now_ms,
            sent_ms: None,
            told: Vec::new(),
            heard_at: None,
            received: None,
            asked: false,
            messages: Vec::new(),
            events: Vec::new(),
        };
        cfm.check_at += cfm.check_interval_ms();
        cfm
    }

    /// Changes the settings; at another interval a message is due at once, and the check for faults starts anew.
    pub fn configure(&mut self, settings: Settings, now_ms: i64) {
        let before = std::mem::replace(&mut self.settings, settings);
        if before.effective_interval_ms() != self.settings.effective_interval_ms() {
            self.tx_at = now_ms;
            self.check_at = now_ms + self.check_interval_ms();
        }
    }

    /// Sets whether there is a fault, whatever messages say, or lets them decide (`cfm/set-fault`).
    pub fn force_fault(&mut self, forced: Option<bool>) {
        self.forced = forced;
    }

    /// The reasons of the fault, [`fault`] bits; 0 for none.
    pub fn faults(&self) -> u8 {
        match self.forced {
            Some(true) => fault::OVERRIDE,
            Some(false) => 0,
            None => self.faults,
        }
    }

    /// Its number.
    pub fn mpid(&self) -> u64 {
        self.settings.mpid
    }

    /// How often a fault came or went.
    pub fn flap_count(&self) -> u64 {
        self.flaps
    }

    /// Share of healthy messages, percent; `None` while nobody, or more than one, is heard.
    pub fn health(&self) -> Option<u8> {
        self.health
    }

    /// Whether the others say that they are up; they all are where the mode is not extended.
    pub fn remote_up(&self) -> bool {
        self.remote_up
    }

    /// Whether messages tell of being up.
    pub fn extended(&self) -> bool {
        self.settings.extended
    }

    /// The end points that the last check for faults found heard.
    pub fn remote_mpids(&self) -> impl Iterator<Item = u64> + '_ {
        self.told.iter().copied()
    }

    /// Messages to be sent.
    pub fn take_messages(&mut self) -> Vec<Ccm> {
        std::mem::take(&mut self.messages)
    }

    /// What is worth a line in the log.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// Destination of this end point's messages, 48 bits.
    pub fn group(&self) -> u64 {
        if self.settings.extended { ccm::GROUP_EXTENDED } else { ccm::GROUP }
    }

    /// When [`Cfm::run`] has something to do, and what.
    pub fn poll_timeout(&self) -> Option<(i64, &'static str)> {
        let check = (!self.asked).then_some((self.check_at, "CFM: a check for faults"));
        check.into_iter().chain([(self.tx_at, "CFM: a message is due")]).min()
    }

    /// Does what is due.
    pub fn run(&mut self, now_ms: i64) {
        if self.check_at <= now_ms && !self.settings.on_demand() {
            self.asked = false;
            self.tell_heard();
            self.check(now_ms);
        }
        if self.tx_at <= now_ms {
            self.tx_at = now_ms + i64::from(self.settings.effective_interval_ms());
            self.transmit(now_ms);
        }
    }

    /// Whether packets received on the port are to be counted now; whoever asks answers by [`Cfm::counted`].
    pub fn wants_count(&mut self, now_ms: i64) -> bool {
        let due = self.settings.on_demand() && !self.asked && self.check_at <= now_ms;
        self.asked |= due;
        due
    }

    /// The port has received so many packets until now; `None` if that could not be found out. Traffic stands for the one
    /// remote end point there is, if that has been heard within its limit.
    pub fn counted(&mut self, packets: Option<u64>, now_ms: i64) {
        if !std::mem::take(&mut self.asked) {
            return;
        }
        let before = std::mem::replace(&mut self.received, packets);
        let is_used = before.zip(packets).is_some_and(|(before, packets)| packets > before);
        let patience = MESSAGE_INTERVALS * i64::from(self.settings.effective_interval_ms());
        self.tell_heard();
        let is_known = self.heard_at.is_some_and(|at| now_ms < at + patience);
        if is_used && is_known && self.remotes.len() == 1 {
            self.remotes.values_mut().for_each(|remote| remote.heard = true);
        }
        self.check(now_ms);
    }

    /// Three and a half intervals (clause 20.16.1).
    fn check_interval_ms(&self) -> i64 {
        let shortest = if self.settings.on_demand() { SHORTEST_DEMAND_INTERVAL_MS } else { 0 };
        i64::from(self.settings.effective_interval_ms()).max(shortest) * 7 / 2
    }

    /// A message arrived from an Ethernet address, 48 bits.
    pub fn receive(&mut self, from: u64, bytes: &[u8], now_ms: i64) {
        let ccm = match Ccm::parse(bytes) {
            None => return self.events.push(Event::Unparseable),
            Some(Heard::Other(opcode)) => return self.events.push(Event::Unsupported(opcode)),
            Some(Heard::Foreign) => {
                self.seen |= fault::MAID;
                return self.events.push(Event::Foreign(from));
            }
            Some(Heard::Ours(ccm)) => ccm,
        };
        let s = &self.settings;
        let mpid = if s.extended { ccm.mpid64 } else { u64::from(ccm.mpid) };
        let mut faults = 0;
        // The first of its number is taken for another's, as in Open vSwitch.
        if mpid == s.mpid && self.remotes.contains_key(&mpid) {
            faults |= fault::LOOPBACK;
            self.events.push(Event::Loopback { mpid });
        }
        // An end point of another pace is heard as well.
        let (number, own_ms) = s.interval();
        if ccm.interval != number {
            self.events.push(Event::OddInterval { remote: mpid, interval: ccm.interval });
        }
        if s.extended && ccm.interval == 0 && u32::from(ccm.interval_ms) != own_ms {
            self.events.push(Event::OddExtendedInterval { remote: mpid, interval_ms: ccm.interval_ms });
        }
        if !self.remotes.contains_key(&mpid) && self.remotes.len() >= MAX_REMOTES {
            self.seen |= fault::OVERFLOW | faults;
            return;
        }
        self.seen |= faults;
        self.heard_at = Some(now_ms);
        let up = !(s.extended && ccm.down);
        let remote = self.remotes.entry(mpid).or_insert(Remote {
            heard: true,
            heard_ms: now_ms,
            up,
            rdi: false,
            seq: 0,
            healthy: 0,
        });
        let in_sequence = remote.seq == 0 || ccm.seq == remote.seq.wrapping_add(1);
        if !in_sequence {
            self.events.push(Event::OutOfSequence { remote: mpid, before: remote.seq, now: ccm.seq });
        }
        remote.healthy += u64::from(faults == 0 && !ccm.rdi && in_sequence);
        (remote.heard, remote.heard_ms, remote.up) = (true, now_ms, up);
        (remote.rdi, remote.seq) = (ccm.rdi, ccm.seq);
    }

    fn tell_heard(&mut self) {
        self.told = self.remotes.iter().filter(|(_, remote)| remote.heard).map(|(mpid, _)| *mpid).collect();
    }

    fn check(&mut self, now_ms: i64) {
        self.check_at = now_ms + self.check_interval_ms();
        let before = self.faults;
        // The first measure comes with the check after so many, when all of them have been heard through, and an
        // end point that has fallen silent since the last check still counts.
        if self.checks >= CHECKS_A_HEALTH {
            self.checks = 0;
            self.measure_health();
        }
        self.checks += 1;
        let events = &mut self.events;
        self.remotes.retain(|remote, state| {
            if !state.heard {
                events.push(Event::Silent { remote: *remote, within_ms: now_ms - state.heard_ms });
            }
            state.heard
        });
        self.faults = std::mem::take(&mut self.seen);
        if self.remotes.is_empty() {
            self.faults |= fault::RECV;
        }
        // What an end point said last counts, not what it said meanwhile.
        if self.remotes.values().any(|remote| remote.rdi) {
            self.faults |= fault::RDI;
        }
        self.remote_up = self.remotes.values().all(|r| r.up);
        self.remotes.values_mut().for_each(|r| r.heard = false);
        if self.faults != before {
            self.events.push(Event::FaultsChanged { before, after: self.faults });
            self.flaps += u64::from((before == 0) != (self.faults == 0));
        }
    }

    fn measure_health(&mut self) {
        self.health = match self.remotes.len() {
            0 => Some(0),
            1 => {
                let healthy = self.remotes.values().map(|r| r.healthy).sum::<u64>();
                Some((healthy * 100 / INTERVALS_A_HEALTH).min(100) as u8)
            }
            _ => None,
        };
        self.remotes.values_mut().for_each(|r| r.healthy = 0);
    }

    fn transmit(&mut self, now_ms: i64) {
        self.seq = self.seq.wrapping_add(1);
        let s = &self.settings;
        let (interval, expected_ms) = s.interval();
        let before_ms = self.sent_ms.replace(now_ms);
        if let Some(delay_ms) = before_ms.map(|before| now_ms - before)
            && delay_ms > i64::from(expected_ms) * 3 / 2
        {
            self.events.push(Event::Late { delay_ms, expected_ms, seq: self.seq });
        }
        self.messages.push(Ccm {
            rdi: self.faults() & fault::RECV != 0,
            interval,
            seq: self.seq,
            mpid: if s.extended { ccm::short_mpid(s.mpid) } else { s.mpid as u16 },
            interval_ms: if interval == 0 { expected_ms as u16 } else { 0 },
            mpid64: if s.extended { s.mpid } else { 0 },
            down: s.extended && !s.up,
        });
    }
}
