//! Output to ports of every kind.

use std::sync::Arc;

use flow::odp::{self, HashAlg};
use openflow::OfPort;
use openflow::action::Subfield;
use openflow::message::packet_in::reason;
use openflow::message::port::port_config;

use super::context::Context;
use super::record::NodeKind;
use super::table::Lookup;
use crate::view::{PacketTypeMode, PortView};

/// How an output reaches its port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Via {
    /// Directly.
    Port,
    /// By hashing and recirculating into a bond.
    Hash { recirc_id: u32, basis: u32 },
    /// By the datapath's balancing over a bond.
    Bond(u32),
}

/// Ethernet destination of spanning tree messages.
const STP_GROUP: u64 = 0x0180_c200_0000;

impl Context<'_> {
    /// The `output` action.
    pub fn output(&mut self, port: OfPort, max_len: u16, is_last: bool, truncate: bool, in_bucket: bool) {
        let before = self.begin_output();
        self.output_to(port, max_len, is_last, truncate, in_bucket);
        self.end_output(before);
    }

    fn output_to(&mut self, port: OfPort, max_len: u16, is_last: bool, truncate: bool, in_bucket: bool) {
        match port {
            OfPort::IN_PORT => self.output_port(self.in_port(), Via::Port, is_last, truncate),
            OfPort::TABLE => {
                let to = Lookup {
                    table: 0,
                    in_port: self.flow.in_port(),
                    may_packet_in: self.in_packet_out,
                    honor_miss: true,
                    with_ct_orig: false,
                };
                self.go_to_table(to, false, false);
            }
            OfPort::NORMAL => self.normal(),
            OfPort::FLOOD => self.flood_ports(false, is_last),
            OfPort::ALL => self.flood_ports(true, is_last),
            OfPort::CONTROLLER => {
                let why = if self.in_packet_out {
                    reason::PACKET_OUT
                } else if in_bucket {
                    reason::GROUP
                } else if self.in_action_set {
                    reason::ACTION_SET
                } else {
                    reason::ACTION
                };
                self.send_to_controller(max_len, why, 0, None, &[]);
            }
            OfPort::NONE => {}
            _ if port == self.in_port() => self.detail_info("skipping output to input port"),
            _ => self.output_port(port, Via::Port, is_last, truncate),
        }
    }

    pub fn detail_info(&mut self, text: &str) {
        self.warn(text);
    }

    fn flood_ports(&mut self, all: bool, is_last: bool) {
        let in_port = self.in_port();
        let bridge = Arc::clone(self.bridge);
        for port in bridge.port_order.iter().filter_map(|number| bridge.ports.get(&number)) {
            if port.port != in_port && (all || port.config & port_config::NO_FLOOD == 0) {
                self.output_port(port.port, Via::Port, is_last, false);
            }
        }
        self.note_flood();
    }

    /// `output:reg[...]`.
    pub fn output_reg(&mut self, src: &Subfield, max_len: u16, is_last: bool, in_bucket: bool) {
        let number = self.read(src);
        if number <= u128::from(u16::MAX) {
            self.report(NodeKind::Detail, || format!("output port is {number}"));
            self.mask_subfield(src);
            self.output(OfPort(number as u16), max_len, is_last, false, in_bucket);
        } else {
            self.report(NodeKind::Warn, || format!("output port {number} is out of range"));
        }
    }

    /// `output(port=…,max_len=…)`.
    pub fn output_trunc(&mut self, port: OfPort, max_len: u32, is_last: bool, in_bucket: bool) {
        match port {
            OfPort::TABLE | OfPort::NORMAL | OfPort::FLOOD | OfPort::ALL | OfPort::CONTROLLER | OfPort::NONE => {
                self.report(NodeKind::Warn, || format!("output_trunc does not support port: {port}"));
            }
            _ if port == self.in_port() => self.detail_info("skipping output to input port"),
            _ => {
                // `in_port` is a port without a device here, as in Open vSwitch.
                if self.port(port).is_none_or(|p| p.odp.is_none()) {
                    self.report_error(|| format!("output_trunc does not support patch port {port}"));
                    return;
                }
                self.odp.push(odp::Action::Trunc(max_len));
                if !self.view.support.trunc {
                    self.slow |= odp::slow::ACTION;
                }
                self.output(port, 0, is_last, true, in_bucket);
            }
        }
    }

    /// `enqueue`.
    pub fn enqueue(&mut self, port: OfPort, queue: u32, is_last: bool) {
        self.wc.set_skb_priority(u32::MAX);
        let port = if port == OfPort::IN_PORT {
            self.in_port()
        } else if port == self.in_port() {
            return;
        } else {
            port
        };
        let old = self.flow.skb_priority();
        self.flow.set_skb_priority(queue);
        let before = self.begin_output();
        self.output_port(port, Via::Port, is_last, false);
        self.end_output(before);
        self.flow.set_skb_priority(old);
    }

    fn may_output(&mut self, port: OfPort) -> Option<std::sync::Arc<PortView>> {
        let Some(to) = self.port(port).cloned() else {
            self.warn("Nonexistent output port");
            return None;
        };
        if to.config & port_config::NO_FWD != 0 {
            self.detail("OFPPC_NO_FWD set, skipping output");
            return None;
        }
        if self.mirror_snaplen != 0 && to.odp.is_none() {
            self.warn("Mirror truncate to ODPP_NONE, skipping output");
            return None;
        }
        if self.is_protected_pair(&to) {
            self.warn("Flow is between protected ports, skipping output.");
            return None;
        }
        if self.base.dl_dst() == STP_GROUP && self.base.dl_type() == 0x05ff {
            let allowed = to.stp != crate::view::StpState::Disabled || !(self.bridge.stp || self.bridge.rstp);
            if !allowed {
                self.warn(if self.bridge.stp {
                    "STP not in listening state, skipping bpdu output"
                } else {
                    "RSTP not managing BPDU in this state, skipping bpdu output"
                });
                return None;
            }
        } else if !to.stp.forwards() {
            self.warn(if self.bridge.stp {
                "STP not in forwarding state, skipping output"
            } else {
                "RSTP not in forwarding state, skipping output"
            });
            return None;
        }
        let is_legacy = to.packet_type_mode == PacketTypeMode::LegacyL2 && !to.is_patch();
        if is_legacy && self.flow.packet_type() != 0 {
            self.warn("Trying to send non-Ethernet packet through legacy L2 port. Dropping packet.");
            return None;
        }
        Some(to)
    }

    fn is_protected_pair(&self, to: &PortView) -> bool {
        let protected = |port: Option<&PortView>| {
            port.and_then(|p| self.bridge.bundles.get(&p.bundle?)).is_some_and(|b| b.protected)
        };
        protected(Some(to)) && protected(self.port(self.in_port()).map(|p| &**p))
    }

    /// Sends to a port of this bridge.
    pub fn output_port(&mut self, port: OfPort, via: Via, is_last: bool, truncate: bool) {
        let Some(to) = self.may_output(port) else { return };
        let old_packet_type = self.flow.packet_type();
        if old_packet_type == 0 && to.packet_type_mode == PacketTypeMode::LegacyL3 {
            let dl_type = self.flow.dl_type();
            self.flow.set_packet_type(0x1_0000 | u32::from(dl_type));
        }
        if to.is_patch() {
            if truncate {
                self.report_error(|| "Cannot truncate output to patch port".to_owned());
            }
            if let Some(peer) = to.peer() {
                self.output_patch(port, peer, is_last);
            }
            self.flow.set_packet_type(old_packet_type);
            return;
        }
        let old_vlans = super::commit::vlans(&self.flow);
        let old_tos = self.flow.nw_tos();
        if to.queues.iter().any(|q| q.dscp.is_some()) {
            self.wc.set_skb_priority(u32::MAX);
            let priority = self.flow.skb_priority();
            if let Some(dscp) = to.queues.iter().find(|q| q.priority == priority).and_then(|q| q.dscp) {
                self.wc.set_nw_tos(self.wc.nw_tos() | 0xfc);
                self.flow.set_nw_tos((old_tos & 0x03) | (dscp & 0xfc));
            }
        }
        self.emit(&to, via, is_last);
        if !self.bridge.mirrors.is_empty()
            && let Some(bundle) = self.bundle_of(&to).cloned()
        {
            let mirrors = self.mirrors_of(|m| m.dsts.contains(&bundle.id));
            self.mirror_packet(&bundle, mirrors);
        }
        super::commit::set_vlans(&mut self.flow, old_vlans);
        self.flow.set_nw_tos(old_tos);
        self.flow.set_packet_type(old_packet_type);
    }

    fn emit(&mut self, to: &PortView, via: Via, is_last: bool) {
        if let Some(config) = to.tunnel().cloned() {
            self.output_tunnel(to, &config, is_last);
            return;
        }
        let Some(odp_port) = to.odp else { return };
        self.snoop_neighbour(to);
        let tunnel = self.terminates(to);
        self.commit();
        if let Some(tunnel) = tunnel {
            self.odp.push(odp::Action::TnlPop(tunnel));
            return;
        }
        self.sample_output(to, odp_port);
        self.note_output(to.port, to.ifindex);
        match via {
            Via::Bond(id) => self.odp.push(odp::Action::LbOutput(id)),
            Via::Hash { recirc_id, basis } => {
                self.odp.push(odp::Action::Hash { alg: HashAlg::L4, basis });
                self.odp.push(odp::Action::Recirc(recirc_id));
            }
            Via::Port => {
                if self.mirror_snaplen > 0 && self.mirror_snaplen < u16::MAX {
                    self.odp.push(odp::Action::Trunc(self.mirror_snaplen.into()));
                }
                self.odp.push(odp::Action::Output(odp_port));
            }
        }
    }
}
