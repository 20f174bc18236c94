//! What a session makes of the port's other traffic: an idle port is watched at a slower pace, and traffic that comes in may
//! stand for the peer's packets. Source: ovs-vswitchd.conf.db(5), `bfd:decay_min_rx` and `bfd:forwarding_if_rx`; how often is
//! looked, and how much counts as traffic, is what Open vSwitch 3.1 does.

use super::{Bfd, Settings, State};

/// A port is watched for so long at least before it is called idle or busy.
const SHORTEST_WATCH_MS: i64 = 2000;
/// Traffic vouches for the port for so long at least.
const SHORTEST_VOUCHER_MS: i64 = 1000;
/// A port is busy when it receives more than this multiple of the control packets that were awaited.
const BUSY: i64 = 2;
/// Traffic does not vouch for a peer that has not been heard for so many of the intervals wished for.
const CONTROL_INTERVALS: i64 = 100;

/// A counter that is looked at from time to time.
#[derive(Clone, Copy, Debug, Default)]
struct Watch {
    /// When it is looked at next.
    at: i64,
    /// What it said last; unknown at first.
    packets: Option<u64>,
}

impl Watch {
    /// What was received since the last look; the next one is at the time given.
    fn look(&mut self, packets: u64, next: i64) -> Option<u64> {
        self.at = next;
        self.packets.replace(packets).map(|before| packets.saturating_sub(before))
    }
}

/// What is known of the port's traffic.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Traffic {
    idleness: Watch,
    /// The slower pace is in force.
    is_idle: bool,
    presence: Watch,
    /// Traffic came in before the last look.
    is_used: bool,
    /// When the peer's packets were last heard.
    control_at: Option<i64>,
    /// Whether traffic vouched for the port when last looked.
    carries: bool,
    /// A count has been asked for.
    asked: bool,
}

impl Bfd {
    /// Whether packets received on the port are to be counted now; whoever asks answers by [`Bfd::counted`].
    pub fn wants_count(&mut self, now_ms: i64) -> bool {
        let due = !self.traffic.asked && self.watches().any(|watch| watch.at <= now_ms);
        self.traffic.asked |= due;
        due
    }

    /// The port has received so many packets until now; `None` if that could not be found out.
    pub fn counted(&mut self, packets: Option<u64>, now_ms: i64) {
        self.traffic.asked = false;
        let Some(packets) = packets else {
            let later = now_ms + SHORTEST_VOUCHER_MS;
            for watch in [&mut self.traffic.idleness, &mut self.traffic.presence] {
                watch.at = watch.at.max(later);
            }
            return;
        };
        if self.may_decay() && self.traffic.idleness.at <= now_ms {
            let received = self.traffic.idleness.look(packets, now_ms + self.watch_ms());
            if let Some(received) = received {
                self.judge_idleness(received, now_ms);
            }
        }
        if self.settings.forwarding_if_rx && self.traffic.presence.at <= now_ms {
            let next = now_ms + self.voucher_ms();
            self.traffic.is_used = self.traffic.presence.look(packets, next).is_some_and(|received| received > 0);
        }
        self.run_traffic(now_ms);
        self.note_forwarding();
    }

    /// What is watched at present.
    fn watches(&self) -> impl Iterator<Item = &Watch> {
        let idleness = self.may_decay().then_some(&self.traffic.idleness);
        idleness.into_iter().chain(self.settings.forwarding_if_rx.then_some(&self.traffic.presence))
    }

    fn may_decay(&self) -> bool {
        let wanted = self.settings.decay_min_rx_ms;
        self.state == State::Up && wanted > 0 && wanted >= self.settings.min_rx_ms
    }

    fn watch_ms(&self) -> i64 {
        i64::from(self.settings.decay_min_rx_ms).max(SHORTEST_WATCH_MS)
    }

    fn voucher_ms(&self) -> i64 {
        (i64::from(self.settings.min_rx_ms) * i64::from(self.settings.mult)).max(SHORTEST_VOUCHER_MS)
    }

    /// The interval at which packets are to be awaited.
    pub(super) fn wanted_min_rx_ms(&self) -> u32 {
        if self.traffic.is_idle { self.settings.decay_min_rx_ms } else { self.settings.min_rx_ms.max(1) }
    }

    /// The port counts as busy, and is watched from now on.
    pub(super) fn begin_decay(&mut self, now_ms: i64) {
        self.traffic.is_idle = false;
        // The first look tells only what the counter says.
        self.traffic.idleness = Watch { at: now_ms, packets: None };
    }

    fn judge_idleness(&mut self, received: u64, now_ms: i64) {
        let awaited = self.watch_ms() / i64::from(self.rx_interval_ms().max(1));
        let is_idle = i64::try_from(received).unwrap_or(i64::MAX) <= BUSY * awaited;
        if self.traffic.is_idle != is_idle {
            self.traffic.is_idle = is_idle;
            self.negotiate(now_ms);
        }
    }

    pub(super) fn configure_traffic(&mut self, before: &Settings, now_ms: i64) {
        if before.forwarding_if_rx != self.settings.forwarding_if_rx {
            self.traffic.presence = Watch { at: now_ms, packets: None };
            self.traffic.is_used = false;
            self.run_traffic(now_ms);
        }
    }

    pub(super) fn heard_control(&mut self, now_ms: i64) {
        self.traffic.control_at = Some(now_ms);
    }

    /// When the peer has been silent for too long for traffic to vouch for the port, while it does.
    fn carries_until(&self) -> Option<i64> {
        let control = self.traffic.control_at.filter(|_| self.settings.forwarding_if_rx && self.traffic.is_used)?;
        Some(control + CONTROL_INTERVALS * i64::from(self.settings.min_rx_ms))
    }

    pub(super) fn is_carrying(&self) -> bool {
        self.traffic.carries
    }

    pub(super) fn run_traffic(&mut self, now_ms: i64) {
        self.traffic.carries = self.carries_until().is_some_and(|until| now_ms < until);
    }

    /// When there is something to look at, or what was seen no longer counts.
    pub(super) fn traffic_timeout(&self) -> Option<(i64, &'static str)> {
        let looks = self.watches().filter(|_| !self.traffic.asked).map(|watch| watch.at);
        let ends = self.carries_until().filter(|_| self.traffic.carries);
        Some((looks.chain(ends).min()?, "BFD: a look at traffic"))
    }
}
