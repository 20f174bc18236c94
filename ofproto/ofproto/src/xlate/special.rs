//! Packets for the switch itself: protocols it speaks on its ports. They are not forwarded, and always come up.

use flow::nw_frag;
use flow::odp::slow;
use openflow::message::port::port_config;

use super::Effect;
use super::context::Context;
use crate::view::{BfdHears, CfmHears, PortView, StpState};

/// Ethernet destination of spanning tree messages.
const STP_GROUP: u64 = 0x0180_c200_0000;
const UDP: u8 = 17;
/// UDP destination of BFD control packets (RFC 5881 section 4).
const BFD_PORT: u16 = 3784;

impl Context<'_> {
    /// Whether the packet was for the switch itself.
    pub(super) fn process_special(&mut self, port: &PortView) -> bool {
        let slow = self.special_kind(port);
        if slow == 0 {
            return false;
        }
        self.slow |= slow;
        let port = self.port_ref(port.port);
        if let Some(packet) = self.input.packet.filter(|_| self.input.side_effects) {
            self.effect(Effect::Special { port, slow, frame: packet.data().into() });
        }
        true
    }

    fn special_kind(&mut self, port: &PortView) -> u32 {
        let dl_type = self.flow.dl_type();
        if let Some(hears) = port.cfm.filter(|_| dl_type == 0x8902)
            && self.is_cfm(hears)
        {
            return slow::CFM;
        }
        if let Some(hears) = port.bfd.filter(|_| dl_type == 0x0800)
            && self.is_bfd(hears)
        {
            return slow::BFD;
        }
        if port.lacp && dl_type == 0x8809 {
            // Of any destination, as in Open vSwitch.
            return slow::LACP;
        }
        if self.bridge.stp || self.bridge.rstp {
            self.wc.set_dl_dst(u64::MAX);
            if self.flow.dl_dst() == STP_GROUP {
                return slow::STP;
            }
        }
        if port.lldp && dl_type == 0x88cc {
            return slow::LLDP;
        }
        0
    }

    fn is_cfm(&mut self, hears: CfmHears) -> bool {
        self.wc.set_dl_dst(u64::MAX);
        self.flow.dl_dst() == hears.group && !(hears.zero_key && self.flow.tun_id() != 0)
    }

    fn is_bfd(&mut self, hears: BfdHears) -> bool {
        if let Some(eth_dst) = hears.eth_dst {
            self.wc.set_dl_dst(u64::MAX);
            if self.flow.dl_dst() != eth_dst {
                return false;
            }
        }
        self.wc.set_nw_proto(u8::MAX);
        if self.flow.nw_proto() != UDP || self.flow.nw_frag() & nw_frag::LATER != 0 {
            return false;
        }
        let differs = self.flow.tp_dst() ^ BFD_PORT;
        if differs != 0 {
            // One bit tells that it is another port.
            self.wc.set_tp_dst(self.wc.tp_dst() | 1 << differs.ilog2());
            return false;
        }
        self.wc.set_tp_dst(u16::MAX);
        let is_own = self.flow.nw_dst() == hears.ip;
        if is_own || hears.ip_only {
            self.wc.set_nw_dst(u32::MAX);
        }
        (is_own || !hears.ip_only) && !(hears.zero_key && self.flow.tun_id() != 0)
    }

    /// Whether the port takes packets in.
    pub(super) fn may_receive(&self, port: &PortView) -> bool {
        let is_stp = self.flow.dl_dst() == STP_GROUP && self.flow.dl_type() == 0x05ff;
        let bit = if is_stp { port_config::NO_RECV_STP } else { port_config::NO_RECV };
        if port.config & bit != 0 {
            return false;
        }
        port.stp == StpState::Disabled || port.stp.forwards() || port.stp.learns()
    }
}
