//! Prerequisites: what a flow must match exactly before a field can be mentioned.

use crate::Key;

/// What a packet must be to have a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Prereq {
    /// Anything.
    None,
    /// An Ethernet frame.
    Ethernet,
    /// ARP or RARP.
    Arp,
    /// A VLAN tag is present.
    VlanVid,
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
    /// IPv4 or IPv6.
    Ip,
    /// MPLS, unicast or multicast.
    Mpls,
    /// A connection's original direction tuple is known.
    Ct,
    /// NSH.
    Nsh,
    /// TCP, not a later fragment.
    Tcp,
    /// UDP, not a later fragment.
    Udp,
    /// SCTP, not a later fragment.
    Sctp,
    /// ICMPv4, not a later fragment.
    Icmpv4,
    /// ICMPv6, not a later fragment.
    Icmpv6,
    /// Neighbor solicitation or advertisement.
    Nd,
    /// Neighbor solicitation.
    NdSolicit,
    /// Neighbor advertisement.
    NdAdvert,
}

/// Whether `key` is IPv4 or IPv6.
fn is_ip(key: &Key) -> bool {
    matches!(key.network_type(), 0x0800 | 0x86dd)
}

fn is_l4(key: &Key, proto: u8) -> bool {
    is_ip(key) && key.nw_proto() == proto && key.nw_frag() & crate::nw_frag::LATER == 0
}

// Unlike ports, types and codes count for later fragments too.
fn is_icmpv6(key: &Key) -> bool {
    key.network_type() == 0x86dd && key.nw_proto() == 58
}

fn is_nd(key: &Key, types: &[u16]) -> bool {
    is_icmpv6(key) && key.tp_dst() == 0 && types.contains(&key.tp_src())
}

impl Prereq {
    /// Whether a packet with this key meets it. Of a match, pass the values: what is wildcarded is zero there.
    pub fn met(self, key: &Key) -> bool {
        match self {
            Prereq::None => true,
            Prereq::Ethernet => key.packet_type() == 0,
            Prereq::Arp => matches!(key.network_type(), 0x0806 | 0x8035),
            Prereq::VlanVid => key.packet_type() == 0 && key.vlan_tci() & 0x1000 != 0,
            Prereq::Ipv4 => key.network_type() == 0x0800,
            Prereq::Ipv6 => key.network_type() == 0x86dd,
            Prereq::Ip => is_ip(key),
            Prereq::Mpls => matches!(key.network_type(), 0x8847 | 0x8848),
            Prereq::Ct => is_ip(key) && key.ct_nw_proto() != 0,
            Prereq::Nsh => key.network_type() == 0x894f,
            Prereq::Tcp => is_l4(key, 6),
            Prereq::Udp => is_l4(key, 17),
            Prereq::Sctp => is_l4(key, 132),
            Prereq::Icmpv4 => key.network_type() == 0x0800 && key.nw_proto() == 1,
            Prereq::Icmpv6 => is_icmpv6(key),
            Prereq::Nd => is_nd(key, &[135, 136]),
            Prereq::NdSolicit => is_nd(key, &[135]),
            Prereq::NdAdvert => is_nd(key, &[136]),
        }
    }
}
