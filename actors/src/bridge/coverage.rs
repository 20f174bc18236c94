//! Coverage counters of what a bridge does, by the names that Open vSwitch gives them.

use l2proto::mac_learning::MacStats;
use l2proto::mcast_snooping::McastCounts;
use ofproto::bridge::{Events, Incoming};
use openflow::message::Message;

use crate::unixctl::coverage::Counter;

/// Packets for controllers that were lost because too many before them were not read.
pub(super) static PACKETS_DROPPED: Counter = Counter::new("rconn_overflow");
/// Messages that were received of controllers and tools.
static MESSAGES: Counter = Counter::new("ofproto_recv_openflow");
/// Packets that controllers sent.
static PACKETS_OUT: Counter = Counter::new("ofproto_packet_out");
/// Requests for counters of queues.
static QUEUE_REQUESTS: Counter = Counter::new("ofproto_queue_req");

/// Counts what a connection brings.
pub(super) fn received(messages: &[Incoming]) {
    MESSAGES.add_many(messages.len() as u64);
    for message in messages {
        match message.body {
            Ok(Message::PacketOut(_)) => PACKETS_OUT.add(),
            Ok(Message::QueueStatsRequest { .. }) => QUEUE_REQUESTS.add(),
            _ => {}
        }
    }
}

/// What has been counted of a bridge and its tables.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Tally {
    pub(super) macs: MacStats,
    pub(super) mcast: McastCounts,
    pub(super) events: Events,
}

/// How one of the counters is read.
type Reading = (Counter, fn(&Tally) -> u64);

static READINGS: [Reading; 24] = [
    (Counter::new("mac_learning_learned"), |t| t.macs.learned),
    (Counter::new("mac_learning_expired"), |t| t.macs.expired),
    (Counter::new("mac_learning_evicted"), |t| t.macs.evicted),
    (Counter::new("mac_learning_moved"), |t| t.macs.moved),
    (Counter::new("mac_learning_static_none_move"), |t| t.macs.static_kept),
    (Counter::new("mcast_snooping_learned"), |t| t.mcast.learned),
    (Counter::new("mcast_snooping_expired"), |t| t.mcast.expired),
    (Counter::new("xlate_actions"), |t| t.events.translations),
    (Counter::new("upcall_flow_limit_hit"), |t| t.events.flows_refused),
    (Counter::new("datapath_drop_upcall_error"), |t| t.events.strays),
    (Counter::new("ofproto_dpif_expired"), |t| t.events.rules_expired),
    (Counter::new("ofproto_flush"), |t| t.events.flushes),
    (Counter::new("ofproto_update_port"), |t| t.events.ports_updated),
    (Counter::new("ofmonitor_pause"), |t| t.events.monitors_paused),
    (Counter::new("ofmonitor_resume"), |t| t.events.monitors_resumed),
    (Counter::new("packet_in_overflow"), |t| t.events.packets_limited),
    (Counter::new("rev_flow_table"), |t| t.events.rule_changes),
    (Counter::new("rev_reconfigure"), |t| t.events.configurations),
    (Counter::new("rev_port_toggled"), |t| t.events.port_changes),
    (Counter::new("rev_mac_learning"), |t| t.events.station_changes),
    (Counter::new("rev_mcast_snooping"), |t| t.events.listener_changes),
    (Counter::new("rev_bond"), |t| t.events.bond_changes),
    (Counter::new("rev_stp"), |t| t.events.stp_changes),
    (Counter::new("rev_rstp"), |t| t.events.rstp_changes),
];

impl Tally {
    /// Counts what happened since the last call. A person may have cleared a table's own counters meanwhile, or the table
    /// be another.
    pub(super) fn count(&mut self, now: Tally) {
        let before = std::mem::replace(self, now);
        for (counter, read) in &READINGS {
            match read(&now).checked_sub(read(&before)) {
                Some(0) => {}
                Some(more) => counter.add_many(more),
                None => counter.add_many(read(&now)),
            }
        }
    }
}
