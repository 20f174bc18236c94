//! Ports: OVSDB Interfaces. Source: ovs-vswitchd.conf.db(5), table Interface; OpenFlow 1.1 section A.2.1.

use std::sync::Arc;

use flow::OdpPort;
use openflow::OfPort;

use super::{BundleId, PortRef, TunnelConfig};

/// Spanning tree state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum StpState {
    /// No spanning tree: all passes.
    #[default]
    Disabled,
    /// Neither learns nor forwards, on its way to do both.
    Listening,
    /// Learns, does not forward.
    Learning,
    /// Learns and forwards.
    Forwarding,
    /// Neither learns nor forwards (IEEE 802.1D-1998).
    Blocking,
    /// Neither learns nor forwards (IEEE 802.1D-2004).
    Discarding,
}

impl StpState {
    /// Packets pass.
    pub fn forwards(self) -> bool {
        matches!(self, StpState::Disabled | StpState::Forwarding)
    }

    /// Addresses are learned.
    pub fn learns(self) -> bool {
        matches!(self, StpState::Disabled | StpState::Forwarding | StpState::Learning)
    }
}

/// Packet types a port carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum PacketTypeMode {
    /// Ethernet.
    #[default]
    LegacyL2,
    /// Packets without Ethernet header; one is added or removed.
    LegacyL3,
    /// Both.
    PtapAware,
}

/// BFD packets that a session on a port hears.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BfdHears {
    /// Ethernet destination, if only one is heard.
    pub eth_dst: Option<u64>,
    /// The session's IPv4 address.
    pub ip: u32,
    /// No packet to another address is heard.
    pub ip_only: bool,
    /// No packet with a tunnel key but 0 is heard.
    pub zero_key: bool,
}

/// Messages that an end point of connectivity fault management hears.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CfmHears {
    /// Ethernet destination.
    pub group: u64,
    /// No message with a tunnel key but 0 is heard.
    pub zero_key: bool,
}

/// Queue of a port with what marks its packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TagQueue {
    /// Queue number.
    pub queue: u32,
    /// The datapath's `skb_priority`.
    pub priority: u32,
    /// DSCP (in place, low 2 bits zero) written to packets, if any.
    pub dscp: Option<u8>,
}

/// Kind of port.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum PortKind {
    /// A device, internal or of the host.
    #[default]
    Device,
    /// One end of a patch; the other, when it exists.
    Patch(Option<PortRef>),
    /// A tunnel.
    Tunnel(Arc<TunnelConfig>),
}

/// A port.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct PortView {
    /// Number.
    pub port: OfPort,
    /// Name.
    pub name: String,
    /// Datapath port; patch ports have none.
    pub odp: Option<OdpPort>,
    /// Its bundle.
    pub bundle: Option<BundleId>,
    /// Kind.
    pub kind: PortKind,
    /// [`openflow::message::port::port_config`].
    pub config: u32,
    /// The link is up.
    pub link_up: bool,
    /// Neither BFD, CFM nor LACP says that it must not be used.
    pub may_enable: bool,
    /// Ethernet address, 48 bits.
    pub hw_addr: u64,
    /// The host's number of its device, 0 for none.
    pub ifindex: u32,
    /// Spanning tree.
    pub stp: StpState,
    /// Which messages of connectivity fault management are for the switch; `None` where CFM does not run.
    pub cfm: Option<CfmHears>,
    /// Which BFD packets are for the switch; `None` where BFD does not run.
    pub bfd: Option<BfdHears>,
    /// LACP runs on it.
    pub lacp: bool,
    /// LLDP runs on it.
    pub lldp: bool,
    /// Packet types.
    pub packet_type_mode: PacketTypeMode,
    /// Queues.
    pub queues: Vec<TagQueue>,
    /// Snooping floods to it.
    pub mcast_flood: bool,
    /// Snooping floods reports to it.
    pub mcast_flood_reports: bool,
}

impl PortView {
    /// A device that is up.
    pub fn device(port: OfPort, odp: OdpPort, name: &str) -> PortView {
        PortView { port, name: name.to_owned(), odp: Some(odp), link_up: true, may_enable: true, ..PortView::default() }
    }

    /// The other end of a patch.
    pub fn peer(&self) -> Option<PortRef> {
        match self.kind {
            PortKind::Patch(peer) => peer,
            _ => None,
        }
    }

    /// Whether it is one end of a patch.
    pub fn is_patch(&self) -> bool {
        matches!(self.kind, PortKind::Patch(_))
    }

    /// Its tunnel's configuration.
    pub fn tunnel(&self) -> Option<&Arc<TunnelConfig>> {
        match &self.kind {
            PortKind::Tunnel(config) => Some(config),
            _ => None,
        }
    }

    /// The queue of this number.
    pub fn queue(&self, queue: u32) -> Option<&TagQueue> {
        self.queues.iter().find(|q| q.queue == queue)
    }
}
