//! Counters: of the thread, its queues and ports, and of drops by reason. All of them grow from zero (a miss that is lost
//! on its way up is taken back, and lost); who resets them subtracts what was.

use flow::odp::DropReason;

use crate::ct::Event;

/// Counters of the datapath of one thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Packets received, but for those that their port's limit refused.
    pub received: u64,
    /// Octets of what came, those refused included.
    pub octets: u64,
    /// Bursts with at least one packet.
    pub bursts: u64,
    /// Further passes by recirculation.
    pub recirculated: u64,
    /// Passes of flows that tell packets apart only by type, fragment and VLAN, from ports that have no others, whoever
    /// found them. (Open vSwitch looks for these past its caches.)
    pub simple_hits: u64,
    /// Passes decided by the exact-match cache.
    pub emc_hits: u64,
    /// By the signature cache.
    pub smc_hits: u64,
    /// By the megaflow classifier.
    pub megaflow_hits: u64,
    /// Subtables that the classifier looked into for those.
    pub subtable_lookups: u64,
    /// Passes that no flow matched, handed up.
    pub misses: u64,
    /// Passes that no flow matched, and that could not be handed up.
    pub lost: u64,
    /// Packets handed up by actions.
    pub action_upcalls: u64,
    /// Batches handed to ports.
    pub output_batches: u64,
    /// Packets in them.
    pub output_packets: u64,
    /// Packets dropped, by [`Drop`].
    pub drops: [u64; Drop::COUNT],
    /// What happened to packets that were to be tracked, by [`Event`].
    pub tracking: [u64; Event::COUNT],
}

/// Counters of a port, as seen by this thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortStats {
    /// Packets received.
    pub rx_packets: u64,
    /// Octets received.
    pub rx_bytes: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Octets sent.
    pub tx_bytes: u64,
    /// Packets the port had no room for.
    pub tx_dropped: u64,
    /// Packets the port refused.
    pub tx_errors: u64,
    /// Of those received, what the kernel forwarded before it came to the port's device, which has not counted it.
    pub rx_unseen: Carried,
    /// Of those sent, what the kernel handed to the host past the port's device.
    pub tx_unseen: Carried,
}

/// Packets and their octets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Carried {
    /// Packets.
    pub packets: u64,
    /// Octets.
    pub bytes: u64,
}

impl std::ops::AddAssign for Carried {
    fn add_assign(&mut self, other: Self) {
        self.packets += other.packets;
        self.bytes += other.bytes;
    }
}

impl std::ops::AddAssign for PortStats {
    fn add_assign(&mut self, other: Self) {
        self.rx_packets += other.rx_packets;
        self.rx_bytes += other.rx_bytes;
        self.tx_packets += other.tx_packets;
        self.tx_bytes += other.tx_bytes;
        self.tx_dropped += other.tx_dropped;
        self.tx_errors += other.tx_errors;
        self.rx_unseen += other.rx_unseen;
        self.tx_unseen += other.tx_unseen;
    }
}

/// Counters of a receive queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueStats {
    /// Packets received.
    pub packets: u64,
    /// Octets received.
    pub bytes: u64,
    /// Times it was asked.
    pub polls: u64,
}

/// Why a packet was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Drop {
    /// Its flow says so, without a reason.
    Flow,
    /// The translation gave a reason.
    Translation(DropReason),
    /// Shorter than an Ethernet header.
    TooShort,
    /// No flow, and no room to hand it up.
    UpcallLost,
    /// An action wants it handed up, and there is no room.
    UserspaceActionLost,
    /// Recirculated too often.
    RecirculationLimit,
    /// Actions nested too deep.
    ActionDepth,
    /// A meter's band.
    Meter,
    /// The port to send to is not there.
    NoPort,
    /// An action that its headers do not allow.
    InvalidAction,
    /// It could not be put into its tunnel.
    TunnelPush,
    /// It could not be cut into segments for a port that does not do it.
    Segmentation,
    /// More than its port may bring in.
    Policer,
    /// The bond to send to is not there.
    NoBond,
    /// What came by a tunnel is not as its protocol has it.
    TunnelPop,
    /// The tunnel port to come in at is not there.
    NoTunnel,
}

impl Drop {
    /// Number of reasons.
    pub const COUNT: usize = 27;

    /// A number of its own below [`Drop::COUNT`].
    pub fn index(self) -> usize {
        match self {
            Drop::Translation(reason) => reason as usize,
            Drop::Flow => 12,
            Drop::TooShort => 13,
            Drop::UpcallLost => 14,
            Drop::UserspaceActionLost => 15,
            Drop::RecirculationLimit => 16,
            Drop::ActionDepth => 17,
            Drop::Meter => 18,
            Drop::NoPort => 19,
            Drop::InvalidAction => 20,
            Drop::TunnelPush => 21,
            Drop::Segmentation => 22,
            Drop::Policer => 23,
            Drop::NoBond => 24,
            Drop::TunnelPop => 25,
            Drop::NoTunnel => 26,
        }
    }
}

impl std::ops::AddAssign for Stats {
    fn add_assign(&mut self, other: Self) {
        self.received += other.received;
        self.octets += other.octets;
        self.bursts += other.bursts;
        self.recirculated += other.recirculated;
        self.simple_hits += other.simple_hits;
        self.emc_hits += other.emc_hits;
        self.smc_hits += other.smc_hits;
        self.megaflow_hits += other.megaflow_hits;
        self.subtable_lookups += other.subtable_lookups;
        self.misses += other.misses;
        self.lost += other.lost;
        self.action_upcalls += other.action_upcalls;
        self.output_batches += other.output_batches;
        self.output_packets += other.output_packets;
        let sums = self.drops.iter_mut().zip(other.drops).chain(self.tracking.iter_mut().zip(other.tracking));
        for (sum, n) in sums {
            *sum += n;
        }
    }
}

impl Stats {
    /// Counts a drop.
    #[inline]
    pub(crate) fn drop(&mut self, why: Drop) {
        self.drops[why.index()] += 1;
    }

    /// Packets dropped for one reason.
    pub fn dropped(&self, why: Drop) -> u64 {
        self.drops[why.index()]
    }
}
