//! Packets as coverage counters, received, sent and dropped, under the names that they have in Open vSwitch.
//! (ovs-appctl(8), `coverage/show`.)

use dp::{Drop, Stats};
use flow::odp::DropReason as R;

use crate::unixctl::coverage::{self, Counter};

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

/// Names that nothing here ever counts under, and that who asks for expects to be there.
static NEVER: [Counter; 2] = [Counter::new("datapath_drop_lock_error"), Counter::new("datapath_drop_hw_miss_recover")];

static RECEIVED: Counter = Counter::new("netdev_received");
static SENT: Counter = Counter::new("netdev_sent");

/// What one thread has told.
pub(super) struct Told {
    drops: [u64; Drop::COUNT],
    received: u64,
    sent: u64,
}

impl Told {
    /// Nothing yet, under names that are known from now on.
    pub(super) fn new() -> Self {
        coverage::know(&super::flows::KNOWN);
        coverage::know(&super::ports::KNOWN);
        COUNTERS.iter().map(|(_, counter)| counter).chain(&NEVER).chain([&RECEIVED, &SENT]).for_each(Counter::register);
        Self { drops: [0; Drop::COUNT], received: 0, sent: 0 }
    }

    /// Takes over the counters of a thread that panicked, which has told of them itself.
    pub(super) fn inherit(&mut self, stats: &Stats) {
        self.received += stats.received;
        self.sent += stats.output_packets;
        for (told, dropped) in self.drops.iter_mut().zip(stats.drops) {
            *told += dropped;
        }
    }

    /// Adds what was received, sent and dropped since.
    pub(super) fn tell(&mut self, stats: &Stats) {
        for (counter, now, told) in
            [(&RECEIVED, stats.received, &mut self.received), (&SENT, stats.output_packets, &mut self.sent)]
        {
            if now > *told {
                counter.add_many(now - *told);
                *told = now;
            }
        }
        for (reason, counter) in &COUNTERS {
            let (now, told) = (stats.dropped(*reason), &mut self.drops[reason.index()]);
            if now > *told {
                counter.add_many(now - *told);
                *told = now;
            }
        }
    }
}
