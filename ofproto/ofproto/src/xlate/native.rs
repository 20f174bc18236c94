//! Tunnels that the switch encapsulates itself: the outer header made whole here, for the datapath to put in front of each
//! packet, and the way of the result through the bridge that leads to the remote end.
//!
//! Source: ovs-fields(7), ovs-vswitchd.conf.db(5).

use std::sync::Arc;

use flow::Key;
use flow::extract::ethertype::{ARP, IPV4, IPV6};
use flow::odp::{self, TnlPush};
use flow::outer::{self, Ends, TunnelKind, is_v4};
use openflow::OfPort;

use super::Effect;
use super::context::Context;
use crate::view::underlay::unmapped;
use crate::view::{PortRef, PortView, TunnelConfig};

/// `OVS_VPORT_TYPE_*` number of what a tunnel to `dst` is made of.
fn vport_type(kind: TunnelKind, dst: u128) -> u32 {
    match kind {
        TunnelKind::Gre if is_v4(dst) => 3,
        TunnelKind::Gre => 109,
        TunnelKind::Vxlan { .. } => 4,
        TunnelKind::Geneve => 5,
        TunnelKind::Erspan if is_v4(dst) => 107,
        TunnelKind::Erspan => 108,
        TunnelKind::Gtpu => 110,
    }
}

const UDP: u8 = packet::ipv4::proto::UDP;
const GRE: u8 = packet::ipv4::proto::GRE;
/// How often a packet asks for a neighbour: once an output, but where bridges loop these are thousands, and each question
/// goes round as the packet does.
const MOST_QUESTIONS: u8 = 8;
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
    let proto = config.made_of().filter(|_| config.native)?.protocol();
    Some((proto, (proto == UDP).then_some(config.dst_port)))
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
        let way = view.device(&route.device).and_then(|at| Some((at, view.bridges.get(&at.bridge)?)));
        let Some((way, bridge, mac)) = way.and_then(|(at, bridge)| Some((at, bridge, bridge.mac_of(at.port)?))) else {
            self.warn("native tunnel routing failed");
            return;
        };
        if !self.bridges.contains(&bridge.id) {
            self.bridges.push(bridge.id);
        }
        let name = bridge.name.clone();
        let next_hop = route.gateway.unwrap_or(dst);
        let text = || format!("tunneling to {} via {}", unmapped(next_hop), route.device);
        self.report(super::record::NodeKind::Detail, text);
        let Some(dst_mac) = view.underlay.neighbour(&name, next_hop) else {
            let asked = if is_v4(next_hop) { "ARP" } else { "ND" };
            let hop = unmapped(next_hop);
            let text = || format!("neighbor cache miss for {hop} on bridge {name}, sending {asked} request");
            self.report(super::record::NodeKind::Detail, text);
            let asked = self.questions.entry((way, next_hop)).or_default();
            if *asked < MOST_QUESTIONS {
                *asked += 1;
                self.effect(Effect::NeighbourWanted { port: way, from: route.source, to: next_hop });
            }
            return;
        };
        self.effect(Effect::NeighbourUsed { bridge: bridge.id, address: next_hop });
        let (own, _) = outer::ends_of(&self.flow);
        let ends = Ends { src_mac: mac, dst_mac, src: if own != 0 { own } else { route.source }, dst };
        let (src_mac, dst_mac) = (flow::text::mac(ends.src_mac).to_string(), flow::text::mac(dst_mac).to_string());
        let (from, until) = (unmapped(ends.src), unmapped(next_hop));
        self.report(super::record::NodeKind::Detail, || {
            format!("tunneling from {src_mac} {from} to {dst_mac} {until}")
        });
        let mut wire = self.flow.clone();
        self.bridge.tun_table.to_datapath(&mut wire);
        let mut header = Vec::with_capacity(128);
        let kind = config.made_of();
        let made = kind.filter(|kind| outer::write(&mut header, *kind, config.seq, &ends, &wire).is_some());
        let Some(kind) = made else {
            self.warn("native tunnel header build failed");
            return;
        };
        let out_port = view.port(way).and_then(|p| p.odp).unwrap_or(u32::MAX);
        let tnl_type = vport_type(kind, dst);
        let push = TnlPush { tnl_port, out_port, tnl_type, header };
        self.send_outer(to.port, way, push, &ends, config, is_last);
    }

    /// Has the outer packet go through the bridge that it leaves by, from the port whose address it has.
    fn send_outer(
        &mut self,
        from: OfPort,
        way: PortRef,
        push: TnlPush,
        ends: &Ends,
        config: &TunnelConfig,
        is_last: bool,
    ) {
        // What matters of the outer header depends on the tunnel, not on the packet.
        let wc = std::mem::replace(&mut self.wc, flow::Mask::EMPTY);
        let (flow, base) = (self.flow.clone(), self.base.clone());
        let was_below = std::mem::replace(&mut self.underlay, true);
        let before = std::mem::take(&mut self.odp);
        let octets = push.header.len() as u16;
        self.flow = outer_flow(&flow, ends, config);
        self.base = self.flow.clone();
        self.effect(Effect::Header { octets, on: true });
        self.output_patch(from, way, is_last);
        self.effect(Effect::Header { octets, on: false });
        let sent = std::mem::replace(&mut self.odp, before);
        (self.flow, self.base, self.wc, self.underlay) = (flow, base, wc, was_below);
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

    /// Whether a packet that is to leave by this port may be one for the switch's own tunnels: the port has an address.
    fn is_end(&self, to: &PortView) -> bool {
        // Only tunnels that the switch opens itself can end here.
        let is_native = || self.view.tunnels.ports.iter().any(|(.., config)| config.native);
        self.view.underlay.own(&to.name).next().is_some() && is_native()
    }

    /// Whether an address is one of this bridge's ports.
    fn is_own(&self, address: u128) -> bool {
        self.view
            .underlay
            .owners(address)
            .any(|device| device == self.bridge.name || self.bridge.ports.values().any(|port| port.name == device))
    }

    /// Whether an IPv6 packet to `to` is for one of this bridge's ports: it has that destination, or the group of all that
    /// solicitations for it go to (RFC 4291, section 2.7.1).
    fn is_told(&self, to: u128) -> bool {
        let asked = |name: &str| self.view.underlay.own(name).any(|own| to == SOLICITED | (own & 0xff_ffff));
        let of_group = to & !0xff_ffff == SOLICITED;
        self.is_own(to) || of_group && self.bridge.ports.values().any(|port| asked(&port.name))
    }

    /// Hears what a neighbour tells of its Ethernet address, in a packet that is to leave by a port with an address.
    pub(super) fn snoop_neighbour(&mut self, to: &PortView) {
        if !self.is_end(to) {
            return;
        }
        // Bits are looked at one after the other: what does not decide stays wild.
        let (address, mac) = if self.flow.dl_type() == ARP {
            self.wc.set_nw_src(u32::MAX);
            self.wc.set_nw_dst(u32::MAX);
            // Who tells it unasked, of its own address, is heard whatever the address.
            if self.flow.nw_src() != self.flow.nw_dst() {
                if !self.is_own(MAPPED | u128::from(self.flow.nw_dst())) {
                    return;
                }
                self.wc.set_nw_proto(u8::MAX);
                if self.flow.nw_proto() != packet::arp::REPLY as u8 {
                    return;
                }
            }
            self.wc.set_arp_sha(u64::MAX >> 16);
            (MAPPED | u128::from(self.flow.nw_src()), self.flow.arp_sha())
        } else if self.flow.dl_type() == IPV6 && self.is_told(self.flow.ipv6_dst()) {
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

    /// Whether an Ethernet address is one of a device that tunnels may end at; with `to` one that has that address.
    fn is_end_mac(&self, mac: u64, to: Option<u128>) -> bool {
        let (view, under) = (self.view, &self.view.underlay);
        let has = |device: &str| to.is_none_or(|to| under.listens(device, to));
        let of_dummy = |device: &String| {
            let at = view.device(device);
            at.and_then(|at| view.bridges.get(&at.bridge)?.mac_of(at.port)) == Some(mac) && has(device)
        };
        under.host.by_mac.get(&mac).is_some_and(|devices| devices.iter().any(|device| has(device)))
            || under.addresses.keys().any(of_dummy)
    }

    /// Whether a packet that is to leave by a port with an address is a tunnel's, to be opened: then the tunnel's port.
    pub(super) fn terminates(&mut self, to: &PortView) -> Option<flow::OdpPort> {
        let view = self.view;
        if !self.is_end(to) || !view.underlay.has_ends() {
            return None;
        }
        // Layer by layer: what a lower one decides does not make bits of a higher one matter.
        self.wc.set_dl_dst(u64::MAX >> 16);
        let dl_dst = self.flow.dl_dst();
        if !super::wildcard::is_ip(&self.flow) || !self.is_end_mac(dl_dst, None) {
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
        if !is_ours || !self.is_end_mac(dl_dst, Some(dst)) {
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

    /// A tunnel's packet tells its sender's Ethernet address.
    fn hear_of_peer(&mut self) {
        let is_v4_packet = self.flow.dl_type() == IPV4;
        let peer = if is_v4_packet { MAPPED | u128::from(self.flow.nw_src()) } else { self.flow.ipv6_src() };
        let (bridge, mac) = (self.bridge.id, self.flow.dl_src());
        self.effect(Effect::NeighbourHeard { bridge, address: peer, mac });
    }
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
    let proto = config.made_of().map_or(0, TunnelKind::protocol);
    outer.set_nw_proto(proto);
    outer.set_nw_tos(inner.tun_tos());
    outer.set_nw_ttl(inner.tun_ttl());
    if proto == UDP {
        outer.set_tp_dst(config.dst_port);
    }
    outer
}
