//! Packets as coverage counters, received, sent and dropped, under the names that they have in Open vSwitch.
//! (ovs-appctl(8), `coverage/show`.)

use dp::ct::Event;
use dp::{Drop, Stats};
use flow::odp::DropReason as R;

use crate::unixctl::coverage::Counter;

/// Each reason with its counter.
static COUNTERS: [(Drop, Counter); 24] = [
    (Drop::Translation(R::OfPipeline), Counter::new("drop_action_of_pipeline")),
    (Drop::Translation(R::BridgeNotFound), Counter::new("drop_action_bridge_not_found")),
    (Drop::Translation(R::RecursionTooDeep), Counter::new("drop_action_recursion_too_deep")),
    (Drop::Translation(R::TooManyResubmit), Counter::new("drop_action_too_many_resubmit")),
    (Drop::Translation(R::StackTooDeep), Counter::new("drop_action_stack_too_deep")),
    (Drop::Translation(R::NoRecirculationContext), Counter::new("drop_action_no_recirculation_context")),
    (Drop::Translation(R::RecirculationConflict), Counter::new("drop_action_recirculation_conflict")),
    (Drop::Translation(R::TooManyMplsLabels), Counter::new("drop_action_too_many_mpls_labels")),
    (Drop::Translation(R::InvalidTunnelMetadata), Counter::new("drop_action_invalid_tunnel_metadata")),
    (Drop::Translation(R::UnsupportedPacketType), Counter::new("drop_action_unsupported_packet_type")),
    (Drop::Translation(R::CongestionDrop), Counter::new("drop_action_congestion")),
    (Drop::Translation(R::ForwardingDisabled), Counter::new("drop_action_forwarding_disabled")),
    (Drop::TooShort, Counter::new("datapath_drop_rx_invalid_packet")),
    (Drop::UpcallLost, Counter::new("datapath_drop_upcall_error")),
    (Drop::UserspaceActionLost, Counter::new("datapath_drop_userspace_action_error")),
    (Drop::RecirculationLimit, Counter::new("datapath_drop_recirc_error")),
    (Drop::ActionDepth, Counter::new("datapath_drop_sample_error")),
    (Drop::Meter, Counter::new("datapath_drop_meter")),
    (Drop::NoPort, Counter::new("datapath_drop_invalid_port")),
    (Drop::NoBond, Counter::new("datapath_drop_invalid_bond")),
    (Drop::InvalidAction, Counter::new("datapath_drop_nsh_decap_error")),
    (Drop::TunnelPush, Counter::new("datapath_drop_tunnel_push_error")),
    (Drop::TunnelPop, Counter::new("datapath_drop_tunnel_pop_error")),
    (Drop::NoTunnel, Counter::new("datapath_drop_invalid_tnl_port")),
];

static RECEIVED: Counter = Counter::new("netdev_received");
static SENT: Counter = Counter::new("netdev_sent");
/// Packets whose headers were looked at.
static EXTRACTED: Counter = Counter::new("flow_extract");

/// What befalls packets that are to be tracked.
static TRACKING: [(Event, Counter); Event::COUNT] = [
    (Event::Full, Counter::new("conntrack_full")),
    (Event::HeaderSum, Counter::new("conntrack_l3csum_err")),
    (Event::TransportSum, Counter::new("conntrack_l4csum_err")),
    (Event::InvalidFlags, Counter::new("conntrack_invalid_tcp_flags")),
    (Event::OutsideWindow, Counter::new("conntrack_tcp_seq_chk_failed")),
    (Event::Unchecked, Counter::new("conntrack_tcp_seq_chk_bypass")),
    (Event::FragmentSum, Counter::new("ipf_l3csum_err")),
];

/// What one thread has told.
pub(super) struct Told(Stats);

impl Told {
    /// Nothing yet.
    pub(super) fn new() -> Self {
        Self(Stats::default())
    }

    /// Takes over the counters of a thread that panicked, which has told of them itself.
    pub(super) fn inherit(&mut self, stats: &Stats) {
        self.0 += *stats;
    }

    /// Adds what was received, sent, dropped and tracked since.
    pub(super) fn tell(&mut self, stats: &Stats) {
        if self.0 == *stats {
            return;
        }
        let told = std::mem::replace(&mut self.0, *stats);
        let add = |counter: &'static Counter, now: u64, before: u64| {
            if now > before {
                counter.add_many(now - before);
            }
        };
        add(&RECEIVED, stats.received, told.received);
        add(&EXTRACTED, stats.received, told.received);
        add(&SENT, stats.output_packets, told.output_packets);
        for (reason, counter) in &COUNTERS {
            add(counter, stats.dropped(*reason), told.dropped(*reason));
        }
        for (event, counter) in &TRACKING {
            add(counter, stats.tracking[*event as usize], told.tracking[*event as usize]);
        }
    }
}
