//! Coverage counters of what a bridge translates and its address table does, by the names that Open vSwitch gives them.

use l2proto::mac_learning::MacStats;
use ofproto::bridge::Incoming;
use openflow::message::Message;

use crate::unixctl::coverage::{self, Counter};

/// Packets that were translated.
pub(super) static TRANSLATED: Counter = Counter::new("xlate_actions");
/// Packets for controllers that were lost because too many before them were not read.
pub(super) static PACKETS_DROPPED: Counter = Counter::new("rconn_overflow");
/// Messages that were received of controllers and tools.
static MESSAGES: Counter = Counter::new("ofproto_recv_openflow");
/// Packets that controllers sent.
static PACKETS_OUT: Counter = Counter::new("ofproto_packet_out");
static LEARNED: Counter = Counter::new("mac_learning_learned");
static EXPIRED: Counter = Counter::new("mac_learning_expired");
static EVICTED: Counter = Counter::new("mac_learning_evicted");
static MOVED: Counter = Counter::new("mac_learning_moved");
static STATIC_KEPT: Counter = Counter::new("mac_learning_static_none_move");

/// Counts what a connection brings.
pub(super) fn received(messages: &[Incoming]) {
    MESSAGES.add_many(messages.len() as u64);
    let packets = messages.iter().filter(|message| matches!(message.body, Ok(Message::PacketOut(_)))).count();
    if packets > 0 {
        PACKETS_OUT.add_many(packets as u64);
    }
}

/// How one of the counters is read off a table.
type Reading = (&'static Counter, fn(&MacStats) -> u64);

const READINGS: [Reading; 5] = [
    (&LEARNED, |s| s.learned),
    (&EXPIRED, |s| s.expired),
    (&EVICTED, |s| s.evicted),
    (&MOVED, |s| s.moved),
    (&STATIC_KEPT, |s| s.static_kept),
];

/// What has been counted of a table.
#[derive(Debug, Default)]
pub(super) struct Counted(MacStats);

impl Counted {
    /// Nothing yet; the counters are known from now on.
    pub(super) fn new() -> Counted {
        READINGS.iter().for_each(|(counter, _)| counter.register());
        coverage::know(&[&TRANSLATED, &PACKETS_DROPPED, &MESSAGES, &PACKETS_OUT]);
        coverage::know(&crate::controller::COUNTERS);
        Counted::default()
    }

    /// Counts what happened since the last call. A person may have cleared the table's own counters meanwhile.
    pub(super) fn count(&mut self, now: MacStats) {
        let before = std::mem::replace(&mut self.0, now);
        for (counter, read) in READINGS {
            match read(&now).checked_sub(read(&before)) {
                Some(0) => {}
                Some(more) => counter.add_many(more),
                None => counter.add_many(read(&now)),
            }
        }
    }
}
