//! Forwarding without controllers: when a bridge in fail mode `standalone` takes over, and when it gives back.
//!
//! Once no controller has been of use for three times the longest probe interval, all rules go and one hidden rule
//! makes the bridge a learning switch. A controller that connects again is sent a made-up packet every two seconds; the
//! hidden rule goes when one of them does something, so that nothing is lost in between.
//!
//! Source: ovs-vswitchd.conf.db(5), Bridge `fail_mode`; times, priority and texts as observed of Open vSwitch 3.1.

use std::sync::Arc;

use openflow::OfPort;
use openflow::action::Action;
use openflow::flow_mod::{FlowMod, FlowModCommand};
use openflow::matching::Match;

use crate::note::{Level, Note};
use crate::table::Change;

/// Priority of the rule that makes a learning switch; rules of controllers are below 65536.
pub const PRIORITY: i32 = 0xf0_f0f0;
/// Probe intervals without a controller before the bridge takes over.
const INTERVALS: i64 = 3;
/// Between two made-up packets, milliseconds.
const PACKET_MS: i64 = 2_000;
/// Between two lines that say that it still goes on, seconds.
const REMIND_S: i64 = 60;
const MODULE: &str = "fail_open";

/// How a bridge's controllers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Health {
    /// Seconds since one was of use last; 0 while one is.
    pub failing_s: i64,
    /// The longest probe interval, seconds.
    pub probe_s: i64,
    /// One is connected.
    pub connected: bool,
    /// One has done something since it connected.
    pub admitted: bool,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Empty the tables and put the hidden rule in.
    Open,
    /// Send a made-up packet to the controllers.
    SendPacket,
    /// Take the hidden rule out.
    Recover,
}

/// The state of one bridge.
#[derive(Debug, Default)]
pub struct FailOpen {
    /// Seconds of failure when it was logged last; `None` while controllers rule.
    since_s: Option<i64>,
    next_packet_ms: Option<i64>,
}

impl FailOpen {
    /// Whether the bridge rules itself.
    pub fn is_active(&self) -> bool {
        self.since_s.is_some()
    }

    /// What to do now, and what to log.
    pub fn run(&mut self, health: Health, now_ms: i64) -> (Option<Step>, Option<Note>) {
        if self.is_active() && health.admitted {
            return (Some(Step::Recover), self.end());
        }
        if health.failing_s >= INTERVALS * health.probe_s {
            match self.since_s {
                None => {
                    self.since_s = Some(health.failing_s);
                    // One that is connected, and of no use yet, is to have the first of them in a while.
                    self.next_packet_ms = health.connected.then_some(now_ms + PACKET_MS);
                    let text = format!(
                        "Could not connect to controller (or switch failed controller's post-connection admission \
                         control policy) for {} seconds, failing open",
                        health.failing_s
                    );
                    return (Some(Step::Open), Some(Note::new(MODULE, Level::Warn, text)));
                }
                Some(last) if health.failing_s > last + REMIND_S => {
                    self.since_s = Some(health.failing_s);
                    let text = format!(
                        "Still in fail-open mode after {} seconds disconnected from controller",
                        health.failing_s
                    );
                    return (self.packet(health, now_ms), Some(Note::new(MODULE, Level::Info, text)));
                }
                Some(_) => {}
            }
        }
        (self.packet(health, now_ms), None)
    }

    fn packet(&mut self, health: Health, now_ms: i64) -> Option<Step> {
        if !self.is_active() || !health.connected {
            self.next_packet_ms = None;
            return None;
        }
        let due = self.next_packet_ms.is_some_and(|at| now_ms >= at);
        if due || self.next_packet_ms.is_none() {
            self.next_packet_ms = Some(now_ms + PACKET_MS);
        }
        due.then_some(Step::SendPacket)
    }

    /// When [`FailOpen::run`] is to be called if nothing else happens.
    pub fn poll_timeout(&self, health: Health, now_ms: i64) -> Option<(i64, &'static str)> {
        if !self.is_active() {
            let left_s = (INTERVALS * health.probe_s - health.failing_s).max(0);
            return (!health.admitted).then_some((now_ms + left_s * 1000, "controllers are away for too long"));
        }
        if let Some(at) = self.next_packet_ms {
            return Some((at, "a controller is to show that it is of use"));
        }
        let left_s = (self.since_s.unwrap_or(0) + REMIND_S + 1 - health.failing_s).max(1);
        Some((now_ms + left_s * 1000, "controllers are still away"))
    }

    /// The mode ends; what to log.
    pub fn end(&mut self) -> Option<Note> {
        self.next_packet_ms = None;
        self.since_s.take().map(|_| Note::new(MODULE, Level::Warn, "No longer in fail-open mode"))
    }
}

/// The change that puts the hidden rule in, or takes it out.
pub fn rule(present: bool) -> Change {
    let normal = Action::Output { port: OfPort::NORMAL, max_len: 0 };
    let flow_mod = FlowMod {
        command: if present { FlowModCommand::Add } else { FlowModCommand::DeleteStrict },
        table: 0,
        matching: Match::any(),
        actions: Arc::from([normal]),
        ..FlowMod::default()
    };
    Change::flow_mod(&flow_mod, PRIORITY)
}

/// A frame that shows nothing but that its sender is there: a reverse ARP request (RFC 903) of address `mac` (48 bits).
pub fn made_up_packet(mac: u64) -> Vec<u8> {
    let mac = mac.to_be_bytes();
    let mac = &mac[2..];
    let mut frame = vec![0xff; 6];
    frame.extend(mac);
    // RARP over Ethernet for IPv4: operation 3, "request reverse".
    frame.extend([0x80, 0x35, 0, 1, 8, 0, 6, 4, 0, 3]);
    for _ in 0..2 {
        frame.extend(mac);
        frame.extend([0; 4]);
    }
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    const AWAY: Health = Health { failing_s: 0, probe_s: 5, connected: false, admitted: false };

    #[test]
    fn it_opens_after_three_probe_intervals_and_closes_when_a_controller_acts() {
        let mut open = FailOpen::default();
        assert_eq!(open.run(Health { failing_s: 14, ..AWAY }, 14_000), (None, None));
        assert_eq!(open.poll_timeout(Health { failing_s: 14, ..AWAY }, 14_000).map(|t| t.0), Some(15_000));
        let (step, note) = open.run(Health { failing_s: 15, ..AWAY }, 15_000);
        assert_eq!(step, Some(Step::Open));
        assert!(note.unwrap().text.ends_with("for 15 seconds, failing open"));
        let back = Health { failing_s: 20, connected: true, ..AWAY };
        assert_eq!(open.run(back, 20_000), (None, None));
        assert_eq!(open.poll_timeout(back, 20_000).map(|t| t.0), Some(22_000));
        assert_eq!(open.run(back, 22_000), (Some(Step::SendPacket), None));
        let (step, note) = open.run(Health { failing_s: 0, admitted: true, ..back }, 22_500);
        assert_eq!((step, note.unwrap().text.as_str()), (Some(Step::Recover), "No longer in fail-open mode"));
        assert!(!open.is_active());
    }

    #[test]
    fn one_that_is_connected_and_does_nothing_is_to_show_that_it_is_of_use() {
        let mut open = FailOpen::default();
        let idle = Health { connected: true, ..AWAY };
        assert_eq!(open.run(Health { failing_s: 15, ..idle }, 15_000).0, Some(Step::Open));
        assert_eq!(open.poll_timeout(Health { failing_s: 15, ..idle }, 15_000).map(|t| t.0), Some(17_000));
        assert_eq!(open.run(Health { failing_s: 17, ..idle }, 17_000), (Some(Step::SendPacket), None));
    }

    #[test]
    fn every_minute_it_says_so() {
        let mut open = FailOpen::default();
        open.run(Health { failing_s: 15, ..AWAY }, 0);
        assert_eq!(open.run(Health { failing_s: 75, ..AWAY }, 0), (None, None));
        let (_, note) = open.run(Health { failing_s: 76, ..AWAY }, 0);
        assert_eq!(note.unwrap().text, "Still in fail-open mode after 76 seconds disconnected from controller");
    }

    #[test]
    fn the_packet_is_a_reverse_arp_request() {
        let frame = made_up_packet(0x0023_2000_0001);
        assert_eq!((frame.len(), &frame[6..14]), (42, &[0, 0x23, 0x20, 0, 0, 1, 0x80, 0x35][..]));
    }
}
