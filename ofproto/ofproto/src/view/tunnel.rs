//! Tunnel ports: their configuration, and which port a received packet belongs to.
//!
//! Absent here: encapsulation (the datapath's). Source: ovs-vswitchd.conf.db(5), "Tunnel Options".

use flow::outer::TunnelKind;
use flow::{Key, OdpPort};

use super::{PacketTypeMode, PortRef};

/// A setting that is a constant or taken from the flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Setting<T> {
    /// Not given.
    Absent,
    /// From the flow.
    Flow,
    /// A constant.
    Value(T),
}

impl<T> Setting<T> {
    /// Whether the flow decides.
    pub fn is_flow(&self) -> bool {
        matches!(self, Setting::Flow)
    }
}

/// Configuration of a tunnel port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TunnelConfig {
    /// `geneve`, `vxlan`, `gre`…
    pub kind: &'static str,
    /// Remote address, IPv4 ones mapped into IPv6 (`::ffff:a.b.c.d`).
    pub remote: Setting<u128>,
    /// Local address, mapped likewise.
    pub local: Setting<u128>,
    /// Key expected.
    pub in_key: Setting<u64>,
    /// Key sent.
    pub out_key: Setting<u64>,
    /// Outer type of service: a constant (DSCP in place) or inherited.
    pub tos: u8,
    /// Inherit the inner type of service.
    pub tos_inherit: bool,
    /// Outer time to live, 0 for the default of 64.
    pub ttl: u8,
    /// Inherit the inner one.
    pub ttl_inherit: bool,
    /// Do not fragment.
    pub df_default: bool,
    /// Compute outer checksums.
    pub csum: bool,
    /// Outer destination port.
    pub dst_port: u16,
    /// Mark of the outer packets.
    pub egress_pkt_mark: Option<u32>,
    /// VXLAN with group policy.
    pub gbp: bool,
    /// VXLAN with the generic protocol extension.
    pub gpe: bool,
    /// GRE with sequence numbers.
    pub seq: bool,
    /// ERSPAN's header.
    pub erspan: Erspan,
    /// The switch encapsulates by itself.
    pub native: bool,
    /// Which packets it carries.
    pub packet_types: PacketTypeMode,
}

/// What an ERSPAN header says of the session. Source: draft-foschiano-erspan-03.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Erspan {
    /// 1 for type II, 2 for type III.
    pub version: Setting<u8>,
    /// Port index of version 1, 20 bits.
    pub index: Setting<u32>,
    /// Direction of version 2: 0 ingress, 1 egress.
    pub direction: Setting<u8>,
    /// Hardware identifier of version 2, 6 bits.
    pub hardware: Setting<u8>,
}

impl TunnelConfig {
    /// What its packets are made of; `None` for a type that is only known by name.
    pub fn made_of(&self) -> Option<TunnelKind> {
        Some(match self.kind {
            "vxlan" => TunnelKind::Vxlan { gbp: self.gbp, gpe: self.gpe },
            "geneve" => TunnelKind::Geneve,
            "gre" | "ip6gre" => TunnelKind::Gre,
            "erspan" | "ip6erspan" => TunnelKind::Erspan,
            "gtpu" => TunnelKind::Gtpu,
            _ => return None,
        })
    }

    /// The UDP or TCP port that a kind uses unless told; `None` for those on IP itself.
    pub fn default_port(kind: &str) -> Option<u16> {
        Some(match kind {
            "vxlan" => packet::vxlan::PORT,
            "geneve" => packet::geneve::PORT,
            "gtpu" => packet::gtpu::PORT,
            "stt" => 7471,
            "lisp" => 4341,
            "bareudp" => 0,
            _ => return None,
        })
    }

    /// The name of the datapath port that tunnels of this kind and port share.
    pub fn datapath_port(&self) -> String {
        let stem = match self.kind {
            "geneve" => "genev",
            "bareudp" => "udp",
            kind => kind,
        };
        match TunnelConfig::default_port(self.kind) {
            Some(_) => format!("{stem}_sys_{}", self.dst_port),
            None => format!("{stem}_sys"),
        }
    }

    /// Whether two ports would be meant by the same packets.
    pub fn collides(&self, other: &TunnelConfig) -> bool {
        (self.remote, self.local, self.in_key) == (other.remote, other.local, other.in_key)
            && (self.egress_pkt_mark, self.kind, self.dst_port) == (other.egress_pkt_mark, other.kind, other.dst_port)
            && self.packet_types == other.packet_types
    }
}

/// All tunnel ports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TunnelMap {
    /// Port, its datapath port and configuration.
    pub ports: Vec<(PortRef, OdpPort, std::sync::Arc<TunnelConfig>)>,
}

const MAPPED: u128 = 0xffff_0000_0000;

/// An IPv4 address in IPv6 form, 0 stays 0.
fn mapped(v4: u32, v6: u128) -> u128 {
    if v4 != 0 { MAPPED | u128::from(v4) } else { v6 }
}

impl TunnelMap {
    /// The port that a packet received on a tunnel belongs to; the most specific configuration wins: exact key before
    /// any key, then local address and remote address before either, before neither. Of two that differ in the packets
    /// they carry alone, the one for such packets goes before the one for all.
    pub fn receive(&self, odp: OdpPort, key: &Key) -> Option<PortRef> {
        let remote = mapped(key.tun_src(), key.tun_ipv6_src());
        let local = mapped(key.tun_dst(), key.tun_ipv6_dst());
        let legacy = if key.packet_type() == 0 { PacketTypeMode::LegacyL2 } else { PacketTypeMode::LegacyL3 };
        let fits = |config: &TunnelConfig| -> Option<(u8, u8, bool)> {
            let is_for_all = config.packet_types == PacketTypeMode::PtapAware;
            // What comes back may have got or lost its Ethernet header meanwhile.
            if !is_for_all && config.packet_types != legacy && key.recirc_id() == 0 {
                return None;
            }
            let key_rank = match config.in_key {
                Setting::Value(k) if k == key.tun_id() => 0,
                Setting::Absent if key.tun_id() == 0 => 0,
                Setting::Flow => 1,
                _ => return None,
            };
            let address = |setting: &Setting<u128>, actual: u128| match setting {
                Setting::Value(a) => (*a == actual).then_some(0u8),
                Setting::Flow => Some(2),
                Setting::Absent => Some(1),
            };
            let (remote, local) = (address(&config.remote, remote)?, address(&config.local, local)?);
            let rank = match (remote, local) {
                (0, 0) => 0,
                (0, _) => 1,
                (_, 0) => 2,
                _ => 3,
            };
            Some((rank, key_rank, is_for_all))
        };
        let found = self.ports.iter().filter(|(_, at, _)| *at == odp);
        found.filter_map(|(port, _, config)| Some((fits(config)?, *port))).min().map(|(_, port)| port)
    }
}
