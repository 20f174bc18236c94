//! Flushing of tracked connections: NXT_CT_FLUSH.

/// One direction's tuple; what is `None` matches all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct CtTuple {
    /// Source address; IPv4 as a mapped IPv6 address.
    pub src: Option<std::net::Ipv6Addr>,
    /// Destination address; IPv4 as a mapped IPv6 address.
    pub dst: Option<std::net::Ipv6Addr>,
    /// Source port.
    pub src_port: Option<u16>,
    /// Destination port.
    pub dst_port: Option<u16>,
    /// ICMP identifier.
    pub icmp_id: Option<u16>,
    /// ICMP type.
    pub icmp_type: Option<u8>,
    /// ICMP code.
    pub icmp_code: Option<u8>,
}

/// Which connections to flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct CtFlush {
    /// Zone, all if `None`.
    pub zone: Option<u16>,
    /// IP protocol, 0 for any.
    pub ip_proto: u8,
    /// Layer 3: address family number, 0 when unknown.
    pub l3_type: u16,
    /// Original direction.
    pub orig: CtTuple,
    /// Reply direction.
    pub reply: CtTuple,
}
