//! Tunnels that the switch encapsulates itself: the outer header made whole here, for the datapath to put in front of each
//! packet, and the way of the result through the bridge that leads to the remote end.
//!
//! Sources: RFC 7348, RFC 8926, RFC 2784 and 2890, draft-foschiano-erspan-03, 3GPP TS 29.281 for the headers; ovs-fields(7).

use flow::extract::ethertype::{ARP, IPV4, IPV6, NSH};
use std::sync::Arc;

use flow::field::TunTable;
use flow::odp::{self, TnlPush};
use flow::{Key, tun_flag};
use openflow::OfPort;

use super::Effect;
use super::context::Context;
use super::tunnel::settled;
use crate::view::underlay::{is_v4, unmapped};
use crate::view::{BridgeView, PortRef, PortView, Setting, TunnelConfig};

const TYPE_GRE: u32 = 3;
const TYPE_ERSPAN: u32 = 107;
const TYPE_IP6ERSPAN: u32 = 108;
const TYPE_IP6GRE: u32 = 109;

/// `OVS_VPORT_TYPE_*` number of a type that can be encapsulated here, and its protocol of IP.
fn numbers(kind: &str) -> Option<(u32, u8)> {
    Some(match kind {
        "gre" => (TYPE_GRE, GRE),
        "vxlan" => (4, UDP),
        "geneve" => (5, UDP),
        "erspan" => (TYPE_ERSPAN, GRE),
        "ip6erspan" => (TYPE_IP6ERSPAN, GRE),
        "ip6gre" => (TYPE_IP6GRE, GRE),
        "gtpu" => (110, UDP),
        _ => return None,
    })
}

const UDP: u8 = packet::ipv4::proto::UDP;
const GRE: u8 = packet::ipv4::proto::GRE;
/// Solicited-node groups, their last 24 bits zero.
const SOLICITED: u128 = 0xff02_0000_0000_0000_0000_0001_ff00_0000;
/// Where an IPv6 address is an IPv4 one.
const MAPPED: u128 = 0xffff_0000_0000;

/// The protocol and port by which packets for a tunnel are known; `None` for types that are not terminated here.
pub fn listening(config: &TunnelConfig) -> Option<(u8, Option<u16>)> {
    if config.kind == "stt" && config.native {
        // Known, though nothing is made or opened of it.
        return Some((packet::ipv4::proto::TCP, Some(config.dst_port)));
    }
    let (_, proto) = numbers(config.kind).filter(|_| config.native)?;
    Some((proto, (proto == UDP).then_some(config.dst_port)))
}

/// The ends of an outer packet.
struct Ends {
    src_mac: u64,
    dst_mac: u64,
    src: u128,
    dst: u128,
}

impl Context<'_> {
    /// Puts a packet, whose tunnel fields are filled in, into its tunnel.
    pub(super) fn output_native(&mut self, to: &PortView, config: &Arc<TunnelConfig>, dst: u128, is_last: bool) {
        self.detail("output to native tunnel");
        let Some(tnl_port) = to.odp else { return };
        self.commit();
        let view = self.view;
        let Some(route) = view.underlay.route(dst, self.flow.pkt_mark()) else {
            self.warn("native tunnel routing failed");
            return;
        };
        let Some(bridge) = view.bridge_by_name(&route.bridge) else {
            self.warn("native tunnel routing failed");
            return;
        };
        if !self.bridges.contains(&bridge.id) {
            self.bridges.push(bridge.id);
        }
        let name = bridge.name.clone();
        self.report(super::record::NodeKind::Detail, || format!("tunneling to {} via {name}", unmapped(dst)));
        let next_hop = route.gateway.unwrap_or(dst);
        let Some(dst_mac) = view.underlay.neighbour(&name, next_hop) else {
            let asked = if is_v4(next_hop) { "ARP" } else { "ND" };
            let hop = unmapped(next_hop);
            let text = || format!("neighbor cache miss for {hop} on bridge {name}, sending {asked} request");
            self.report(super::record::NodeKind::Detail, text);
            self.effect(Effect::NeighbourWanted { bridge: bridge.id, from: route.source, to: next_hop });
            return;
        };
        self.effect(Effect::NeighbourUsed { bridge: bridge.id, address: next_hop });
        let own = if self.flow.tun_src() != 0 {
            0xffff_0000_0000 | u128::from(self.flow.tun_src())
        } else {
            self.flow.tun_ipv6_src()
        };
        let ends = Ends { src_mac: bridge.hw_addr, dst_mac, src: if own != 0 { own } else { route.source }, dst };
        let (src_mac, dst_mac) = (flow::text::mac(ends.src_mac).to_string(), flow::text::mac(dst_mac).to_string());
        let (from, until) = (unmapped(ends.src), unmapped(dst));
        self.report(super::record::NodeKind::Detail, || {
            format!("tunneling from {src_mac} {from} to {dst_mac} {until}")
        });
        let mut wire = self.flow.clone();
        self.bridge.tun_table.to_datapath(&mut wire);
        let Some(header) = header(config, &wire, &ends) else {
            self.warn("native tunnel header build failed");
            return;
        };
        let out_port = bridge.ports.get(&OfPort::LOCAL).and_then(|p| p.odp).unwrap_or(u32::MAX);
        let tnl_type = match numbers(config.kind).map_or(0, |(number, _)| number) {
            TYPE_GRE if !is_v4(dst) => TYPE_IP6GRE,
            TYPE_ERSPAN if !is_v4(dst) => TYPE_IP6ERSPAN,
            number => number,
        };
        let push = TnlPush { tnl_port, out_port, tnl_type, header };
        self.send_outer(to.port, bridge, push, &ends, config, is_last);
    }

    /// Has the outer packet go through the bridge that it leaves by, from that bridge's own port.
    fn send_outer(
        &mut self,
        from: OfPort,
        bridge: &BridgeView,
        push: TnlPush,
        ends: &Ends,
        config: &TunnelConfig,
        is_last: bool,
    ) {
        let (flow, base, wc) = (self.flow.clone(), self.base.clone(), self.wc.clone());
        let before = std::mem::take(&mut self.odp);
        let octets = push.header.len() as u16;
        self.flow = outer_flow(&flow, ends, config);
        self.base = self.flow.clone();
        self.effect(Effect::Header { octets, on: true });
        self.output_patch(from, PortRef { bridge: bridge.id, port: OfPort::LOCAL }, is_last);
        self.effect(Effect::Header { octets, on: false });
        let sent = std::mem::replace(&mut self.odp, before);
        (self.flow, self.base, self.wc) = (flow, base, wc);
        if sent.is_empty() {
            return;
        }
        let all = std::iter::once(odp::Action::TnlPush(Box::new(push))).chain(sent);
        if is_last {
            self.odp.extend(all);
        } else {
            self.odp.push(odp::Action::Clone(all.collect::<Vec<_>>().into()));
        }
    }

    /// Hears what a neighbour tells of its Ethernet address, in a packet that is to leave by a bridge's own port.
    pub(super) fn snoop_neighbour(&mut self, to: &PortView) {
        let view = self.view;
        if to.port != OfPort::LOCAL || view.tunnels.ports.is_empty() {
            return;
        }
        let is_own = |address: u128| view.underlay.own(&self.bridge.name).any(|own| own == address);
        // Bits are looked at one after the other: what does not decide stays wild.
        let (address, mac) = if self.flow.dl_type() == ARP {
            self.wc.set_nw_src(u32::MAX);
            self.wc.set_nw_dst(u32::MAX);
            if !is_own(MAPPED | u128::from(self.flow.nw_dst())) {
                return;
            }
            self.wc.set_nw_proto(u8::MAX);
            if self.flow.nw_proto() != packet::arp::REPLY as u8 {
                return;
            }
            self.wc.set_arp_sha(u64::MAX >> 16);
            (MAPPED | u128::from(self.flow.nw_src()), self.flow.arp_sha())
        } else if self.flow.dl_type() == IPV6
            && view.underlay.own(&self.bridge.name).any(|own| is_told(own, self.flow.ipv6_dst()))
        {
            self.wc.set_nw_proto(u8::MAX);
            if self.flow.nw_proto() != packet::ipv4::proto::ICMPV6 {
                return;
            }
            self.wc.set_ipv6_dst(u128::MAX);
            self.wc.set_tp_src(u16::MAX);
            self.wc.set_tp_dst(u16::MAX);
            if !self.flow.is_nd() || self.flow.tp_src() != u16::from(packet::icmpv6::kind::NEIGHBOR_ADVERT) {
                return;
            }
            self.wc.set_ipv6_src(u128::MAX);
            self.wc.set_nd_target(u128::MAX);
            self.wc.set_arp_tha(u64::MAX >> 16);
            (self.flow.nd_target(), self.flow.arp_tha())
        } else {
            return;
        };
        if mac != 0 {
            let bridge = self.bridge.id;
            self.effect(Effect::NeighbourHeard { bridge, address, mac });
        }
    }

    /// Whether a packet that is to leave by a bridge's own port is a tunnel's, to be opened: then the tunnel's port.
    pub(super) fn terminates(&mut self, to: &PortView) -> Option<flow::OdpPort> {
        let view = self.view;
        let listens = to.port == OfPort::LOCAL
            && !view.tunnels.ports.is_empty()
            && view.underlay.own(&self.bridge.name).next().is_some()
            && super::wildcard::is_ip(&self.flow);
        if !listens {
            return None;
        }
        // Layer by layer: what a lower one decides does not make bits of a higher one matter.
        self.wc.set_dl_dst(u64::MAX >> 16);
        if self.flow.dl_dst() != self.bridge.hw_addr {
            return None;
        }
        self.wc.set_nw_proto(u8::MAX);
        let proto = self.flow.nw_proto();
        let dst = if self.flow.dl_type() == IPV4 {
            self.wc.set_nw_dst(u32::MAX);
            MAPPED | u128::from(self.flow.nw_dst())
        } else {
            self.wc.set_ipv6_dst(u128::MAX);
            self.flow.ipv6_dst()
        };
        let is_ours = (proto == UDP || proto == GRE) && self.flow.nw_frag() == 0;
        if !is_ours || !view.underlay.listens(&self.bridge.name, dst) {
            return None;
        }
        let port = (proto == UDP).then(|| self.flow.tp_dst());
        if let Some(port) = port {
            let ports = view.tunnels.ports.iter().filter_map(|(.., config)| listening(config)?.1);
            self.wc.set_tp_dst(self.wc.tp_dst() | unlike(port, ports));
        }
        // Of several that take the same packets the first that was there gets them.
        let tunnels = view.tunnels.ports.iter();
        let tunnel =
            tunnels.filter(|(.., config)| listening(config) == Some((proto, port))).map(|(_, odp, _)| *odp).min();
        if tunnel.is_some() {
            self.hear_of_peer();
        }
        tunnel
    }

    /// A tunnel's packet tells its sender's Ethernet address, if the sender is on the link itself.
    fn hear_of_peer(&mut self) {
        let is_v4_packet = self.flow.dl_type() == IPV4;
        let peer = if is_v4_packet { MAPPED | u128::from(self.flow.nw_src()) } else { self.flow.ipv6_src() };
        let (bridge, mac) = (self.bridge.id, self.flow.dl_src());
        if self.view.underlay.is_on_link(&self.bridge.name, peer) {
            self.effect(Effect::NeighbourHeard { bridge, address: peer, mac });
        }
    }
}

/// Whether an IPv6 packet to `to` is for the address `own`: it has that destination, or the group of all that solicitations
/// for it go to (RFC 4291, section 2.7.1).
fn is_told(own: u128, to: u128) -> bool {
    to == own || to == SOLICITED | (own & 0xff_ffff)
}

/// The bits of a UDP destination port that tell that it is none of `listening`: as many from the first on as it has in common
/// with one of them, and one more.
fn unlike(port: u16, listening: impl Iterator<Item = u16>) -> u16 {
    let common = listening.map(|other| (port ^ other).leading_zeros()).max();
    common.map_or(0, |bits| u16::MAX << (15 - bits.min(15)))
}

/// What the outer header comes to as a flow.
fn outer_flow(inner: &Key, ends: &Ends, config: &TunnelConfig) -> Key {
    let mut outer = Key::EMPTY;
    outer.set_dl_src(ends.src_mac);
    outer.set_dl_dst(ends.dst_mac);
    outer.set_pkt_mark(inner.pkt_mark());
    if is_v4(ends.dst) {
        outer.set_dl_type(IPV4);
        outer.set_nw_src(ends.src as u32);
        outer.set_nw_dst(ends.dst as u32);
    } else {
        outer.set_dl_type(IPV6);
        outer.set_ipv6_src(ends.src);
        outer.set_ipv6_dst(ends.dst);
    }
    let proto = numbers(config.kind).map_or(0, |(_, proto)| proto);
    outer.set_nw_proto(proto);
    outer.set_nw_tos(inner.tun_tos());
    outer.set_nw_ttl(inner.tun_ttl());
    if proto == UDP {
        outer.set_tp_dst(config.dst_port);
    }
    outer
}

/// The whole outer header. Lengths, the source port and checksums that cover the packet are the datapath's to fill in.
/// `None` if there is none of the kind, or of its version.
fn header(config: &TunnelConfig, flow: &Key, ends: &Ends) -> Option<Vec<u8>> {
    let (_, proto) = numbers(config.kind)?;
    let mut out = Vec::with_capacity(128);
    out.extend_from_slice(&ends.dst_mac.to_be_bytes()[2..]);
    out.extend_from_slice(&ends.src_mac.to_be_bytes()[2..]);
    if is_v4(ends.dst) {
        ipv4(&mut out, proto, flow, ends);
    } else {
        ipv6(&mut out, proto, flow, ends);
    }
    if proto == UDP {
        let csum = config.csum || !is_v4(ends.dst);
        out.extend_from_slice(&0u16.to_be_bytes());
        out.extend_from_slice(&config.dst_port.to_be_bytes());
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(&(if csum { u16::MAX } else { 0 }).to_be_bytes());
    }
    match config.kind {
        "vxlan" => vxlan(&mut out, config, flow)?,
        "geneve" => geneve(&mut out, flow),
        "gtpu" => {
            out.extend_from_slice(&[packet::gtpu::FLAGS_DEFAULT, packet::gtpu::MSG_GPDU, 0, 0]);
            out.extend_from_slice(&(flow.tun_id() as u32).to_be_bytes());
        }
        "gre" | "ip6gre" => gre(&mut out, config, flow),
        _ => erspan(&mut out, config, flow)?,
    }
    Some(out)
}

fn ipv4(out: &mut Vec<u8>, proto: u8, flow: &Key, ends: &Ends) {
    out.extend_from_slice(&IPV4.to_be_bytes());
    let frag = if flow.tun_flags() & tun_flag::DONT_FRAGMENT != 0 { 0x40 } else { 0 };
    let at = out.len();
    out.extend_from_slice(&[0x45, flow.tun_tos(), 0, 0, 0, 0, frag, 0, flow.tun_ttl(), proto, 0, 0]);
    out.extend_from_slice(&(ends.src as u32).to_be_bytes());
    out.extend_from_slice(&(ends.dst as u32).to_be_bytes());
    if let Ok(mut head) = packet::ipv4::Packet::new(&mut out[at..]) {
        head.fill_csum();
    }
}

fn ipv6(out: &mut Vec<u8>, proto: u8, flow: &Key, ends: &Ends) {
    out.extend_from_slice(&IPV6.to_be_bytes());
    let word = 6u32 << 28 | u32::from(flow.tun_tos()) << 20;
    out.extend_from_slice(&word.to_be_bytes());
    out.extend_from_slice(&[0, 0, proto, flow.tun_ttl()]);
    out.extend_from_slice(&ends.src.to_be_bytes());
    out.extend_from_slice(&ends.dst.to_be_bytes());
}

fn vxlan(out: &mut Vec<u8>, config: &TunnelConfig, flow: &Key) -> Option<()> {
    let mut flags = u32::from(packet::vxlan::HAS_VNI) << 24;
    if config.gbp && flow.tun_gbp_id() != 0 {
        flags |= u32::from(packet::vxlan::HAS_GBP) << 24
            | u32::from(flow.tun_gbp_flags()) << 16
            | u32::from(flow.tun_gbp_id());
    } else if config.gpe {
        flags |= u32::from(packet::vxlan::HAS_NEXT) << 24 | u32::from(next_protocol(flow.packet_type())?);
    }
    out.extend_from_slice(&flags.to_be_bytes());
    out.extend_from_slice(&((flow.tun_id() as u32) << 8).to_be_bytes());
    Some(())
}

/// What VXLAN calls what it carries; `None` for what it has no number for. Source: draft-ietf-nvo3-vxlan-gpe-12, section 3.1.
fn next_protocol(packet_type: u32) -> Option<u8> {
    Some(match packet_type as u16 {
        _ if packet_type == 0 => 3,
        IPV4 => 1,
        IPV6 => 2,
        NSH => 4,
        _ => return None,
    })
}

fn geneve(out: &mut Vec<u8>, flow: &Key) {
    let options = TunTable::wire_options(flow);
    let critical =
        packet::geneve::options(&options).map_while(Result::ok).any(|o| o.kind & packet::geneve::CRITICAL != 0);
    let oam = flow.tun_flags() & tun_flag::OAM != 0;
    out.extend_from_slice(&[(options.len() / 4) as u8, u8::from(oam) << 7 | u8::from(critical) << 6]);
    out.extend_from_slice(&packet::gre::ETHERNET.to_be_bytes());
    out.extend_from_slice(&((flow.tun_id() as u32) << 8).to_be_bytes());
    out.extend_from_slice(&options);
}

fn gre(out: &mut Vec<u8>, config: &TunnelConfig, flow: &Key) {
    let has_key = !matches!(config.out_key, Setting::Absent);
    let mut flags = 0u16;
    for (on, bit) in [(config.csum, 0x8000), (has_key, 0x2000), (config.seq, 0x1000)] {
        flags |= if on { bit } else { 0 };
    }
    let carried = if flow.packet_type() == 0 { packet::gre::ETHERNET } else { flow.packet_type() as u16 };
    out.extend_from_slice(&flags.to_be_bytes());
    out.extend_from_slice(&carried.to_be_bytes());
    if config.csum {
        out.extend_from_slice(&[0; 4]);
    }
    if has_key {
        out.extend_from_slice(&(flow.tun_id() as u32).to_be_bytes());
    }
    if config.seq {
        out.extend_from_slice(&[0; 4]);
    }
}

fn erspan(out: &mut Vec<u8>, config: &TunnelConfig, flow: &Key) -> Option<()> {
    let version = settled(config.erspan.version, flow.tun_erspan_ver());
    if !(1..=2).contains(&version) {
        return None;
    }
    let session = (flow.tun_id() & 0x3ff) as u16;
    let carried = if version == 1 { packet::gre::ERSPAN2 } else { packet::gre::ERSPAN3 };
    out.extend_from_slice(&0x1000u16.to_be_bytes());
    out.extend_from_slice(&carried.to_be_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&(u16::from(version) << 12).to_be_bytes());
    out.extend_from_slice(&session.to_be_bytes());
    if version == 1 {
        let index = settled(config.erspan.index, flow.tun_erspan_idx());
        out.extend_from_slice(&(index & 0xf_ffff).to_be_bytes());
    } else {
        let direction = u16::from(settled(config.erspan.direction, flow.tun_erspan_dir()) & 1);
        let hardware = u16::from(settled(config.erspan.hardware, flow.tun_erspan_hwid()) & 0x3f);
        out.extend_from_slice(&[0; 6]);
        out.extend_from_slice(&(hardware << 4 | direction << 3).to_be_bytes());
    }
    Some(())
}
