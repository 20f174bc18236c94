//! Datapath actions: what the translation tells the datapath to do with a packet.
//!
//! The text of these (`dpctl/dump-flows`, `ofproto/trace`) is in `odp_text`. Source: ovs-dpctl(8), ovs-actions(7).

use smallvec::SmallVec;
use std::sync::Arc;

use crate::Key;

/// A shared list of datapath actions; empty means drop.
pub type Actions = Arc<[Action]>;

/// Datapath port number.
pub type OdpPort = u32;

/// One datapath action.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Send the packet to a port.
    Output(OdpPort),
    /// Send it through the bond with this identifier, the member chosen by the datapath from `dp_hash`.
    LbOutput(u32),
    /// Cut the packet to this many octets at the next output.
    Trunc(u32),
    /// Hand the packet to the layer above.
    Userspace(Box<Userspace>),
    /// Write (parts of) one header.
    Set(Set),
    /// Add an outer VLAN tag; `tci` carries bit 0x1000.
    PushVlan {
        /// Tag protocol identifier.
        tpid: u16,
        /// Tag control information.
        tci: u16,
    },
    /// Remove the outer VLAN tag.
    PopVlan,
    /// Add an outer MPLS label stack entry.
    PushMpls {
        /// Entry.
        lse: u32,
        /// New EtherType.
        ethertype: u16,
    },
    /// Remove the outer MPLS label stack entry.
    PopMpls {
        /// New EtherType.
        ethertype: u16,
    },
    /// Add an MPLS label stack entry in front of the whole packet, its Ethernet header included if it has one: what comes
    /// of it is a packet of MPLS without Ethernet header.
    AddMpls {
        /// Entry.
        lse: u32,
        /// EtherType that names it.
        ethertype: u16,
    },
    /// Add an Ethernet header in front of a packet that has none (48-bit addresses).
    PushEth {
        /// Source.
        src: u64,
        /// Destination.
        dst: u64,
    },
    /// Remove the Ethernet header.
    PopEth,
    /// Add an NSH header.
    PushNsh(Box<PushNsh>),
    /// Remove the NSH header.
    PopNsh,
    /// Look the packet up again with this recirculation identifier.
    Recirc(u32),
    /// Compute `dp_hash`.
    Hash {
        /// Algorithm.
        alg: HashAlg,
        /// Basis.
        basis: u32,
    },
    /// With a probability of `probability`/2^32, apply the actions to a copy.
    Sample {
        /// Of 2^32 - 1.
        probability: u32,
        /// What to do.
        actions: Actions,
    },
    /// Apply the actions to a copy.
    Clone(Actions),
    /// Branch by packet length: longer than `len` octets, or not.
    CheckPktLen {
        /// Octets, Ethernet header included.
        len: u16,
        /// Longer.
        greater: Actions,
        /// Not longer.
        less_equal: Actions,
    },
    /// Connection tracking.
    Ct(Box<Ct>),
    /// Forget the connection tracking state.
    CtClear,
    /// Apply a datapath meter.
    Meter(u32),
    /// Encapsulate and send on.
    TnlPush(Box<TnlPush>),
    /// Decapsulate: continue with the packet as received on this tunnel port.
    TnlPop(OdpPort),
    /// Drop, counted under a reason.
    Drop(DropReason),
}

/// Algorithm of [`Action::Hash`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HashAlg {
    /// `hash_l4`: addresses and ports.
    L4,
    /// `sym_l4`: the same for both directions.
    SymL4,
}

/// Reason of a drop that translation decided upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DropReason {
    /// The pipeline ended in no action.
    OfPipeline,
    /// A bridge that the packet came to is gone.
    BridgeNotFound,
    /// Recursion too deep.
    RecursionTooDeep,
    /// Too many resubmits.
    TooManyResubmit,
    /// The stack grew too deep.
    StackTooDeep,
    /// No recirculation context.
    NoRecirculationContext,
    /// Recirculation conflict.
    RecirculationConflict,
    /// Too many MPLS labels.
    TooManyMplsLabels,
    /// The tunnel's metadata are not valid.
    InvalidTunnelMetadata,
    /// A packet type the action does not take.
    UnsupportedPacketType,
    /// ECN mismatch at decapsulation.
    CongestionDrop,
    /// The bridge forwards nothing.
    ForwardingDisabled,
}

/// A masked write of whole words of a [`Key`], confined to the fields of one header.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Set {
    /// Which header.
    pub group: SetGroup,
    /// The words to write.
    pub words: SmallVec<[MaskedWord; 2]>,
    /// Tunnel writes carry a whole tunnel key (words 0 to 41); all others nothing.
    pub tunnel: Option<Box<Key>>,
}

/// Header that a [`Set`] writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SetGroup {
    /// `skb_priority`.
    SkbPriority,
    /// `skb_mark`.
    SkbMark,
    /// `tunnel`.
    Tunnel,
    /// `eth`.
    Eth,
    /// `mpls`.
    Mpls,
    /// `ipv4`.
    Ipv4,
    /// `ipv6`.
    Ipv6,
    /// `arp`.
    Arp,
    /// `tcp`.
    Tcp,
    /// `udp`.
    Udp,
    /// `sctp`.
    Sctp,
    /// `icmp`.
    Icmp,
    /// `icmpv6`.
    Icmpv6,
    /// `nd`.
    Nd,
    /// `nd_ext`.
    NdExtensions,
    /// `nsh`.
    Nsh,
    /// A group that can be read and shown but that nothing sets: executing it changes nothing.
    Inert(InertGroup),
}

/// Groups of a key that no packet's header holds, or that only other actions set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum InertGroup {
    /// `in_port`.
    InPort,
    /// `eth_type`.
    EthType,
    /// `vlan`.
    Vlan,
    /// `recirc_id`.
    RecircId,
    /// `dp_hash`.
    DpHash,
    /// `packet_type`.
    PacketType,
    /// `tcp_flags`.
    TcpFlags,
    /// `ct_state`.
    CtState,
    /// `ct_zone`.
    CtZone,
    /// `ct_mark`.
    CtMark,
    /// `ct_label`.
    CtLabel,
    /// `ct_tuple4`.
    CtTuple4,
    /// `ct_tuple6`.
    CtTuple6,
}

impl InertGroup {
    const ALL: [(Self, &str); 13] = [
        (Self::InPort, "in_port"),
        (Self::EthType, "eth_type"),
        (Self::Vlan, "vlan"),
        (Self::RecircId, "recirc_id"),
        (Self::DpHash, "dp_hash"),
        (Self::PacketType, "packet_type"),
        (Self::TcpFlags, "tcp_flags"),
        (Self::CtState, "ct_state"),
        (Self::CtZone, "ct_zone"),
        (Self::CtMark, "ct_mark"),
        (Self::CtLabel, "ct_label"),
        (Self::CtTuple4, "ct_tuple4"),
        (Self::CtTuple6, "ct_tuple6"),
    ];

    /// The group's name in text.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(group, _)| *group == self).map_or("", |(_, name)| name)
    }

    /// The group of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == name).map(|(group, _)| *group)
    }
}

/// `key.0[word] = (key.0[word] & !mask) | value`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MaskedWord {
    /// Index into the key.
    pub word: u8,
    /// New bits; those outside `mask` are shown in text and change nothing.
    pub value: u64,
    /// Bits to write.
    pub mask: u64,
}

/// An NSH header to push: MD type 1 or 2.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PushNsh {
    /// Of the base header, without the version (RFC 8300 section 2.2).
    pub flags: u8,
    /// Six bits.
    pub ttl: u8,
    /// 1: four context headers, 2: TLVs.
    pub mdtype: u8,
    /// Next protocol: 1 IPv4, 2 IPv6, 3 Ethernet, 4 NSH, 5 MPLS.
    pub np: u8,
    /// Service path identifier (24 bits) and service index.
    pub path_hdr: u32,
    /// Context headers of MD type 1.
    pub context: [u32; 4],
    /// TLVs of MD type 2.
    pub md2: Vec<u8>,
}

/// Connection tracking action.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Ct {
    /// The connection is kept.
    pub commit: bool,
    /// One that began the other way is begun anew.
    pub force: bool,
    /// Number of the space of connections.
    pub zone: u16,
    /// Value and mask.
    pub mark: Option<(u32, u32)>,
    /// Value and mask.
    pub label: Option<(u128, u128)>,
    /// `ftp` or `tftp`.
    pub helper: Option<&'static str>,
    /// Name of a timeout policy.
    pub timeout: Option<Arc<str>>,
    /// Addresses are translated.
    pub nat: Option<CtNat>,
    /// Bits by `enum ip_conntrack_events`: which changes are told of.
    pub event_mask: Option<u32>,
}

/// Address translation of [`Ct`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct CtNat {
    /// `Some(true)`: source, `Some(false)`: destination, `None`: as the connection has it.
    pub src: Option<bool>,
    /// The first address, or the only one.
    pub ip_min: Option<std::net::IpAddr>,
    /// The last address.
    pub ip_max: Option<std::net::IpAddr>,
    /// The first port; 0 for any.
    pub port_min: u16,
    /// The last port; 0 if there is no other than the first.
    pub port_max: u16,
    /// The same address for a host again and again.
    pub persistent: bool,
    /// Ports are picked by a hash.
    pub hash: bool,
    /// Ports are picked at random.
    pub random: bool,
}

/// Tunnel encapsulation prepared by the translation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TnlPush {
    /// The tunnel.
    pub tnl_port: OdpPort,
    /// Where the outer packet leaves.
    pub out_port: OdpPort,
    /// `OVS_VPORT_TYPE_*` number.
    pub tnl_type: u32,
    /// The whole outer header, Ethernet to tunnel.
    pub header: Vec<u8>,
}

/// What to hand up, and with what note.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Userspace {
    /// Netlink port of the reader; 0 in this datapath, kept for what people write.
    pub pid: u32,
    /// For whom.
    pub cookie: Cookie,
    /// Send the actions of the flow along.
    pub actions: bool,
    /// Tunnel port whose output metadata to send along.
    pub tunnel_out_port: Option<OdpPort>,
}

/// Why a packet is handed up by an action.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Cookie {
    /// The flow needs the layer above for every packet; bits: [`slow`].
    SlowPath {
        /// [`slow`] bits.
        reason: u32,
    },
    /// Packet-in to controllers.
    Controller(Box<ControllerCookie>),
    /// sFlow sample.
    Sflow {
        /// VLAN TCI.
        vlan_tci: u16,
        /// Output.
        output: u32,
    },
    /// `sample` action.
    FlowSample(Box<FlowSampleCookie>),
    /// Per-bridge IPFIX.
    Ipfix {
        /// Output port.
        output_odp_port: OdpPort,
        /// The packet goes nowhere. Texts do not show it.
        drops: bool,
    },
    /// Octets that mean nothing here.
    Raw(Vec<u8>),
}

/// Contents of a packet-in decided at translation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ControllerCookie {
    /// `OFPR_*`.
    pub reason: u8,
    /// Nothing is sent: the translation had no side effects.
    pub dont_send: bool,
    /// The pipeline is paused there and may be resumed.
    pub continuation: bool,
    /// Names the frozen state that holds the metadata and, with `continuation`, where to go on.
    pub recirc_id: u32,
    /// Cookie of the rule that sent it.
    pub rule_cookie: u64,
    /// Whom it goes to.
    pub controller_id: u16,
    /// Octets that it carries at the most.
    pub max_len: u16,
}

/// Contents of [`Cookie::FlowSample`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FlowSampleCookie {
    /// Of 65,535 packets so many.
    pub probability: u16,
    /// Row of `Flow_Sample_Collector_Set`.
    pub collector_set_id: u32,
    /// IPFIX's observation domain.
    pub obs_domain_id: u32,
    /// IPFIX's observation point.
    pub obs_point_id: u32,
    /// Where the packet leaves, or none.
    pub output_odp_port: OdpPort,
    /// 0 default, 1 ingress, 2 egress.
    pub direction: u8,
    /// The packet goes nowhere. Texts do not show it.
    pub drops: bool,
}

/// Reasons for the slow path, as bits.
pub mod slow {
    /// A message of 802.1ag.
    pub const CFM: u32 = 1 << 0;
    /// A message of BFD.
    pub const BFD: u32 = 1 << 1;
    /// A message of LACP.
    pub const LACP: u32 = 1 << 2;
    /// A message of a spanning tree.
    pub const STP: u32 = 1 << 3;
    /// A message of LLDP.
    pub const LLDP: u32 = 1 << 4;
    /// A copy for a controller.
    pub const CONTROLLER: u32 = 1 << 5;
    /// An action that the datapath has not.
    pub const ACTION: u32 = 1 << 6;
    /// A match that the datapath cannot make.
    pub const MATCH: u32 = 1 << 7;
}
