//! How often a bridge did what is worth counting. Source: ovs-appctl(8), `coverage/show`, and what Open vSwitch 3.1 counts
//! there.

/// Counters of a bridge; all of them grow from zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Events {
    /// Packets and flows that were translated.
    pub translations: u64,
    /// Packets whose flow found no room in the datapath.
    pub flows_refused: u64,
    /// Packets that came by no port, or by a tunnel that is no port's.
    pub strays: u64,
    /// Rules that timed out.
    pub rules_expired: u64,
    /// Times that all rules were taken out.
    pub flushes: u64,
    /// Ports that came, went or changed.
    pub ports_updated: u64,
    /// Monitors of rules that paused, as nobody read what they told.
    pub monitors_paused: u64,
    /// Those that went on.
    pub monitors_resumed: u64,
    /// Packets lost as more came than a controller's limit lets by.
    pub packets_limited: u64,
    /// Changes that flows were judged anew for: of rules,
    pub rule_changes: u64,
    /// of configuration,
    pub configurations: u64,
    /// of a port's state,
    pub port_changes: u64,
    /// of learned addresses,
    pub station_changes: u64,
    /// of multicast listeners,
    pub listener_changes: u64,
    /// of bonds,
    pub bond_changes: u64,
    /// of STP's port states,
    pub stp_changes: u64,
    /// and of RSTP's.
    pub rstp_changes: u64,
}
