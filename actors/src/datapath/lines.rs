//! The way of upcalls to their bridges.
//!
//! Each bridge has a line of its own ([`dp::Handup`]), so that neither another bridge nor a port that floods can keep its
//! upcalls back. What does not fit a bridge's mailbox is lost, and counted as such.

use std::ops::Range;
use std::sync::Arc;

use flow::odp::Cookie;
use flow::{Upcall, UpcallKind};

use super::{Datapath, log};
use crate::clock;
use crate::mailbox::Outlet;
use crate::msg::bridge::Upcalls;

struct Line {
    bridge: Outlet<Upcalls>,
    handup: dp::Handup,
}

/// The lines to all bridges.
#[derive(Default)]
pub(super) struct Lines(Vec<Line>);

impl Lines {
    fn to(&mut self, bridge: &Outlet<Upcalls>) -> &mut Line {
        let at = self.0.iter().position(|line| Arc::ptr_eq(line.bridge.card(), bridge.card()));
        let at = at.unwrap_or_else(|| {
            // Bridges come and go; a line that nobody waits in is made anew when needed.
            self.0.retain(|line| !line.handup.is_idle());
            self.0.push(Line { bridge: bridge.clone(), handup: dp::Handup::default() });
            self.0.len() - 1
        });
        &mut self.0[at]
    }

    /// A bridge has answered a message.
    pub(super) fn answered(&mut self, bridge: &Outlet<Upcalls>, now_ms: u64) {
        self.to(bridge).handup.answered(now_ms);
    }

    /// Sends what may be sent; those that are lost on the way are added to `lost`.
    fn send(&mut self, is_full: bool, now_ms: u64, lost: &mut Vec<Upcall>) {
        for Line { bridge, handup } in &mut self.0 {
            while let Some(batch) = handup.take(now_ms) {
                if let Err(refused) = bridge.post(Upcalls { batch, is_full }) {
                    bridge.card().count_lost(1);
                    handup.answered(now_ms);
                    lost.extend(refused.batch);
                }
            }
        }
    }
}

impl Datapath {
    /// Sends the gathered upcalls on their way to their bridges; those of no port to `otherwise`.
    pub(super) fn flush_upcalls(&mut self, otherwise: Option<&Outlet<Upcalls>>) {
        self.flush_upcalls_of(otherwise, 0..0);
    }

    /// As `flush_upcalls`. Those that `own` numbers are of packets that `sender` had sent: what it knows of them is known
    /// to no other bridge, and a packet that a controller lets go on may have come by another's port.
    pub(super) fn flush_upcalls_of(&mut self, sender: Option<&Outlet<Upcalls>>, own: Range<usize>) {
        if self.upcalls.is_empty() && self.lines.0.iter().all(|line| line.handup.is_empty()) {
            return;
        }
        let now_us = u64::try_from(clock::now_us()).unwrap_or(0);
        if let Some(metrics) = &mut self.metrics {
            // As in Open vSwitch the time of those that flows hand up on purpose is not told.
            metrics.asked(now_us, self.upcalls.iter().filter(|upcall| matches!(upcall.kind, UpcallKind::Miss)).count());
        }
        let mut lost = Vec::new();
        for (i, upcall) in self.upcalls.drain(..).enumerate() {
            log::upcall(self.desk.card().name(), &upcall);
            let port = upcall.key.in_port();
            let bridge =
                self.ports.get(&port).map(|p| &p.bridge).or_else(|| self.tunnels.get(&port).map(|t| &t.bridge));
            let is_senders = own.contains(&i)
                && (upcall.key.recirc_id() != 0 || matches!(upcall.kind, UpcallKind::Action(Cookie::Controller(_))));
            match if is_senders { sender } else { bridge.or(sender) } {
                Some(bridge) => self.lines.to(bridge).handup.push(upcall),
                None => lost.push(upcall),
            }
        }
        self.lines.send(self.engine.is_full(), now_us / 1000, &mut lost);
        self.expectation.asked(now_us);
        if !lost.is_empty() {
            // Packets that go up because of this do so with the next ones.
            self.engine.upcalls_lost(&lost, now_us, &mut self.upcalls);
        }
    }
}
