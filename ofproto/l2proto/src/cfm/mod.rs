//! Connectivity fault management on one port: an end point that tells of itself and hears others of the one association
//! there is. Source: IEEE 802.1ag-2007; ovs-vswitchd.conf.db(5), "Connectivity Fault Management".
//!
//! Time is milliseconds of the switch's clock. [`Cfm::run`] does what is due, [`Cfm::poll_timeout`] says when that is,
//! [`Cfm::take_messages`] gives what is to be sent.
//!
//! Absent: demand mode, which needs to know of the port's other traffic; the VLAN tag of messages (the caller's).

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
    /// A message with another interval came.
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
}

impl Settings {
    /// The interval in force.
    pub fn effective_interval_ms(&self) -> u32 {
        if self.extended { self.interval_ms.clamp(1, 0xffff) } else { ccm::standard_interval(self.interval_ms).1 }
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
    up: bool,
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
            messages: Vec::new(),
            events: Vec::new(),
        };
        cfm.check_at += cfm.check_interval_ms();
        cfm.tx_at += i64::from(cfm.settings.effective_interval_ms());
        cfm
    }

    /// Changes the settings; another interval starts both timers anew.
    pub fn configure(&mut self, settings: Settings, now_ms: i64) {
        let before = std::mem::replace(&mut self.settings, settings);
        if before.effective_interval_ms() != self.settings.effective_interval_ms() {
            self.tx_at = now_ms + i64::from(self.settings.effective_interval_ms());
            self.check_at = now_ms + self.check_interval_ms();
        }
    }

    /// Sets whether there is a fault, or lets messages decide (`cfm/set-fault`).
    pub fn force_fault(&mut self, forced: Option<bool>) {
        self.forced = forced;
    }

    /// The reasons of the fault, [`fault`] bits; 0 for none.
    pub fn faults(&self) -> u8 {
        match self.forced {
            Some(true) => self.faults | fault::OVERRIDE,
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

    /// The end points heard.
    pub fn remote_mpids(&self) -> impl Iterator<Item = u64> + '_ {
        self.remotes.keys().copied()
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
        [(self.tx_at, "CFM: a message is due"), (self.check_at, "CFM: a check for faults")].into_iter().min()
    }

    /// Does what is due.
    pub fn run(&mut self, now_ms: i64) {
        if self.check_at <= now_ms {
            self.check_at = now_ms + self.check_interval_ms();
            self.check();
        }
        if self.tx_at <= now_ms {
            self.tx_at = now_ms + i64::from(self.settings.effective_interval_ms());
            self.transmit();
        }
    }

    /// Three and a half intervals (clause 20.16.1).
    fn check_interval_ms(&self) -> i64 {
        i64::from(self.settings.effective_interval_ms()) * 7 / 2
    }

    /// A message arrived.
    pub fn receive(&mut self, bytes: &[u8]) {
        let ccm = match Ccm::parse(bytes) {
            None => return,
            Some(Heard::Foreign) => {
                self.seen |= fault::MAID;
                return;
            }
            Some(Heard::Ours(ccm)) => ccm,
        };
        let s = &self.settings;
        let mpid = if s.extended { ccm.mpid64 } else { u64::from(ccm.mpid) };
        let expected = if s.extended { 0 } else { ccm::standard_interval(s.interval_ms).0 };
        let wished = if s.extended { s.interval_ms.clamp(1, 0xffff) as u16 } else { 0 };
        let mut faults = 0;
        if mpid == s.mpid {
            self.seen |= fault::LOOPBACK;
            return;
        }
        if ccm.interval != expected || s.extended && ccm.interval_ms != wished {
            faults |= fault::INTERVAL;
        }
        if ccm.rdi {
            faults |= fault::RDI;
        }
        if !self.remotes.contains_key(&mpid) && self.remotes.len() >= MAX_REMOTES {
            self.seen |= fault::OVERFLOW | faults;
            return;
        }
        self.seen |= faults;
        let up = !(s.extended && ccm.down);
        let remote = self.remotes.entry(mpid).or_insert(Remote { heard: true, up, seq: 0, healthy: 0 });
        let in_sequence = remote.seq == 0 || ccm.seq == remote.seq.wrapping_add(1);
        remote.healthy += u64::from(faults == 0 && in_sequence);
        (remote.heard, remote.up, remote.seq) = (true, up, ccm.seq);
    }

    fn check(&mut self) {
        let before = self.faults;
        let silent: Vec<u64> = self.remotes.iter().filter(|(_, r)| !r.heard).map(|(mpid, _)| *mpid).collect();
        for remote in silent {
            self.remotes.remove(&remote);
            self.events.push(Event::Silent { remote, within_ms: self.check_interval_ms() });
        }
        self.checks += 1;
        if self.checks >= CHECKS_A_HEALTH {
            self.checks = 0;
            self.measure_health();
        }
        self.faults = std::mem::take(&mut self.seen);
        if self.remotes.is_empty() {
            self.faults |= fault::RECV;
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

    fn transmit(&mut self) {
        self.seq = self.seq.wrapping_add(1);
        let s = &self.settings;
        self.messages.push(Ccm {
            rdi: self.faults() & fault::RECV != 0,
            interval: if s.extended { 0 } else { ccm::standard_interval(s.interval_ms).0 },
            seq: self.seq,
            // Those who do not know the extension see a number that is most likely nobody's own.
            mpid: if s.extended { (s.mpid as u16 ^ 0x5a5a).max(1) } else { s.mpid as u16 },
            interval_ms: if s.extended { s.interval_ms.clamp(1, 0xffff) as u16 } else { 0 },
            mpid64: if s.extended { s.mpid } else { 0 },
            down: s.extended && !s.up,
        });
    }
}
