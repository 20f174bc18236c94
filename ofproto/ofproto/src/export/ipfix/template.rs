//! Templates: which elements records have, by what their packets are made of.
//!
//! A template is told by four traits: layer 2 (Ethernet, or with a VLAN), layer 3, layer 4, whether a tunnel is told of, and
//! the direction. Source: RFC 7011 §3.4; IANA's registry of IPFIX information elements, whose numbers the tables have;
//! VMware's elements (enterprise 6876) as ovs-vswitchd.conf.db(5) lists them.

use super::record::{Network, Shape, Transport};

/// Set of templates.
pub(super) const TEMPLATE_SET: u16 = 2;
/// Set of options templates.
pub(super) const OPTIONS_SET: u16 = 3;
/// Octets of a set's header: identifier and length, 16 bits each.
pub(super) const SET_HEADER_LEN: usize = 4;
/// The first template's number (RFC 7011 §3.4.1).
pub(super) const FIRST: u16 = 256;
/// Template of what the exporting process tells of itself; its number is Open vSwitch's.
pub(super) const PROCESS_TEMPLATE: u16 = 462;
/// Octets after which a message of templates is closed.
const ENOUGH: usize = 1024;
/// Length of an element whose length stands before it.
const VARIABLE: u16 = u16::MAX;
const VMWARE: u32 = 6876;
/// The bit of an element's number that says that an enterprise follows.
const ENTERPRISE: u16 = 1 << 15;

/// Elements, each its number and octets.
type Elements = &'static [(u16, u16)];

/// observationPointId, flowDirection, source and destination addresses, ethernetType, ethernetHeaderLength,
/// ingressInterface, its type, name and description.
const COMMON: Elements =
    &[(138, 4), (61, 1), (56, 6), (80, 6), (256, 2), (240, 1), (10, 4), (368, 4), (82, VARIABLE), (83, VARIABLE)];
/// egressInterface, its type, name and description.
const EGRESS: Elements = &[(14, 4), (369, 4), (82, VARIABLE), (83, VARIABLE)];
/// vlanId, dot1qVlanId, dot1qPriority.
const VLAN: Elements = &[(58, 2), (243, 2), (244, 1)];
/// ipVersion, ipTTL, protocolIdentifier, ipDiffServCodePoint, ipPrecedence, ipClassOfService.
const IP: Elements = &[(60, 1), (192, 1), (4, 1), (195, 1), (196, 1), (5, 1)];
/// sourceIPv4Address, destinationIPv4Address.
const IPV4: Elements = &[(8, 4), (12, 4)];
/// sourceIPv6Address, destinationIPv6Address, flowLabelIPv6.
const IPV6: Elements = &[(27, 16), (28, 16), (31, 4)];
/// sourceTransportPort, destinationTransportPort.
const PORTS: Elements = &[(7, 2), (11, 2)];
/// icmpTypeIPv4, icmpCodeIPv4.
const ICMPV4: Elements = &[(176, 1), (177, 1)];
/// icmpTypeIPv6, icmpCodeIPv6.
const ICMPV6: Elements = &[(178, 1), (179, 1)];
/// VMware's tunnel source and destination addresses, protocol, source and destination ports, type, key.
const TUNNEL: Elements = &[(893, 4), (894, 4), (895, 1), (896, 2), (897, 2), (891, 1), (892, VARIABLE)];
/// VMware's virtual observation identifier.
const VIRTUAL_OBS: Elements = &[(898, VARIABLE)];
/// flowStartDeltaMicroseconds, flowEndDeltaMicroseconds, dropped packets (delta, total), packets (delta, total), ingress
/// unicast, multicast, broadcast, egress unicast, broadcast (totals), postMCastPackets (delta, total), layer 2 octets (delta,
/// total), flowEndReason.
const PACKETS: Elements = &[
    (158, 4),
    (159, 4),
    (133, 8),
    (135, 8),
    (2, 8),
    (86, 8),
    (354, 8),
    (355, 8),
    (356, 8),
    (357, 8),
    (358, 8),
    (19, 8),
    (174, 8),
    (352, 8),
    (353, 8),
    (136, 1),
];
/// Dropped octets (delta, total), octets (delta, total), sums of squares (delta, total), minimum and maximum total length,
/// postMCastOctets (delta, total).
const OCTETS: Elements =
    &[(132, 8), (134, 8), (1, 8), (85, 8), (198, 8), (199, 8), (25, 8), (26, 8), (20, 8), (175, 8)];
/// Totals of TCP's ACK, FIN, PSH, RST, SYN, URG.
const TCP: Elements = &[(222, 8), (219, 8), (221, 8), (220, 8), (218, 8), (223, 8)];

/// The elements of a shape's records in order; the flag marks VMware's.
fn elements(shape: Shape, with_virtual_obs: bool) -> Vec<(Elements, bool)> {
    let mut all = vec![(COMMON, false)];
    let mut add = |wanted: bool, elements: Elements, is_vmware: bool| {
        if wanted {
            all.push((elements, is_vmware));
        }
    };
    let is_ip = shape.network != Network::Other;
    let (is_v4, icmp) = (shape.network == Network::V4, shape.transport == Transport::Icmp);
    let has_ports = matches!(shape.transport, Transport::Tcp | Transport::Udp | Transport::Sctp);
    add(shape.egress, EGRESS, false);
    add(shape.vlan, VLAN, false);
    add(is_ip, IP, false);
    add(is_v4, IPV4, false);
    add(is_ip && !is_v4, IPV6, false);
    add(has_ports, PORTS, false);
    add(icmp && is_v4, ICMPV4, false);
    add(icmp && !is_v4, ICMPV6, false);
    add(shape.tunnel, TUNNEL, true);
    add(with_virtual_obs, VIRTUAL_OBS, true);
    add(true, PACKETS, false);
    add(is_ip, OCTETS, false);
    add(shape.transport == Transport::Tcp, TCP, false);
    all
}

fn put_template(out: &mut Vec<u8>, shape: Shape, with_virtual_obs: bool) {
    let all = elements(shape, with_virtual_obs);
    let count: usize = all.iter().map(|(elements, _)| elements.len()).sum();
    out.extend(shape.template_id().to_be_bytes());
    out.extend((count as u16).to_be_bytes());
    for (elements, is_vmware) in all {
        for (number, length) in elements {
            let number = if is_vmware { number | ENTERPRISE } else { *number };
            out.extend(number.to_be_bytes());
            out.extend(length.to_be_bytes());
            if is_vmware {
                out.extend(VMWARE.to_be_bytes());
            }
        }
    }
}

/// Sets of all templates, each for a message of its own; without their headers.
pub(super) fn messages(with_virtual_obs: bool) -> Vec<Vec<u8>> {
    let (mut sets, mut set) = (Vec::new(), Vec::new());
    for shape in Shape::all() {
        put_template(&mut set, shape, with_virtual_obs);
        if super::HEADER_LEN + SET_HEADER_LEN + set.len() > ENOUGH {
            sets.push(std::mem::take(&mut set));
        }
    }
    if !set.is_empty() {
        sets.push(set);
    }
    sets
}

/// The options template of the exporting process: exportingProcessId (its scope) and notSentPacketTotalCount.
pub(super) fn process_options() -> Vec<u8> {
    [PROCESS_TEMPLATE, 2, 1, 144, 4, 167, 8].into_iter().flat_map(u16::to_be_bytes).collect()
}
