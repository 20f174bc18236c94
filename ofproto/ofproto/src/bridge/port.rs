//! Ports as controllers see and change them.

use openflow::message::async_config::AsyncKind;
use openflow::message::port::{PortMod, PortReason, PortStatus, port_config, port_state};
use openflow::message::{Message, PortDesc};
use openflow::{ErrorCode, OfPort, Version};

use super::spanning::desc_state;
use super::{Bridge, ConnId, Output, PortConfig};

/// Bits that a controller may set.
const SETTABLE: u32 = port_config::PORT_DOWN
    | port_config::NO_STP
    | port_config::NO_RECV
    | port_config::NO_RECV_STP
    | port_config::NO_FLOOD
    | port_config::NO_FWD
    | port_config::NO_PACKET_IN;

impl Bridge {
    /// All ports, in the order of lists.
    pub(super) fn all_port_descs(&self) -> Vec<PortDesc> {
        self.view.port_order.iter().filter_map(|p| self.config.ports.get(&p)).map(|p| self.port_desc(p)).collect()
    }

    pub(super) fn port_descs(&mut self, id: ConnId, xid: u32, port: OfPort) {
        let descs = match port {
            OfPort::ANY => self.all_port_descs(),
            port => self.config.ports.get(&port).map(|p| self.port_desc(p)).into_iter().collect(),
        };
        self.reply(id, xid, Message::PortDescReply(descs));
    }

    /// A port as controllers see it, with the bits they set.
    pub(super) fn port_desc(&self, port: &PortConfig) -> PortDesc {
        let mut desc = port.desc.clone();
        desc.config |= self.port_bits.get(&desc.port).copied().unwrap_or(0);
        let up = desc.state & port_state::LINK_DOWN == 0 && desc.config & port_config::PORT_DOWN == 0;
        let now = self.view.ports.get(&desc.port);
        desc.state |= now.map_or(0, |p| desc_state(p.stp));
        let fit = now.is_some_and(|p| p.may_enable);
        if up && fit {
            desc.state |= port_state::LIVE;
        }
        desc
    }

    pub(super) fn tell_port_gone(&mut self, port: &PortConfig) {
        let desc = self.port_desc(port);
        self.tell_port(PortReason::Delete, None, desc, None);
    }

    /// A new port is told of before it is live, and then once more.
    pub(super) fn tell_port_new(&mut self, port: &PortConfig) {
        let desc = self.port_desc(port);
        let dead = PortDesc { state: desc.state & !port_state::LIVE, ..desc.clone() };
        self.tell_port(PortReason::Add, None, dead.clone(), None);
        self.tell_port(PortReason::Modify, Some(&dead), desc, None);
    }

    /// A port has become fit for use, or is no longer.
    pub(super) fn tell_port_fit(&mut self, number: OfPort, was: bool) {
        let Some(port) = self.config.ports.get(&number) else { return };
        let desc = self.port_desc(port);
        let live = if was { port_state::LIVE } else { 0 };
        let old = PortDesc { state: desc.state & !port_state::LIVE | live, ..desc.clone() };
        self.tell_port(PortReason::Modify, Some(&old), desc, None);
    }

    /// A port that is no longer live is told of before what else changed of it.
    pub(super) fn tell_port_changed(&mut self, mut old: PortDesc, port: &PortConfig) {
        let desc = self.port_desc(port);
        if old.state & !desc.state & port_state::LIVE != 0 {
            let dead = PortDesc { state: old.state & !port_state::LIVE, ..old.clone() };
            self.tell_port(PortReason::Modify, Some(&old), dead.clone(), None);
            old = dead;
        }
        self.tell_port(PortReason::Modify, Some(&old), desc, None);
    }

    /// Tells whoever wants to hear of it, and sees a difference in its version. Before OpenFlow 1.5 whoever asked for a
    /// change does not hear of it.
    fn tell_port(&mut self, reason: PortReason, old: Option<&PortDesc>, desc: PortDesc, source: Option<ConnId>) {
        let bit = 1u32 << (reason as u8);
        let status = |desc: &PortDesc| Message::PortStatus(PortStatus { reason, desc: desc.clone() });
        let encoded = |message: &Message, version| {
            let mut octets = Vec::new();
            openflow::message::encode_into(&mut octets, message, version, 0).ok().map(|()| octets)
        };
        let news = status(&desc);
        let wants = |c: &&super::Conn| {
            c.wants(AsyncKind::PortStatus, bit)
                && (source != Some(c.id) || c.version >= Version::V15)
                && old.is_none_or(|old| encoded(&status(old), c.version) != encoded(&news, c.version))
        };
        let conns: Vec<_> = self.conns.values().filter(wants).map(|c| c.id).collect();
        for conn in conns {
            self.send_async(conn, news.clone());
        }
    }

    /// Whether a port-mod could be carried out.
    pub(super) fn check_port_mod(&self, wanted: &PortMod) -> Result<super::PortConfig, ErrorCode> {
        let port = self.config.ports.get(&wanted.port).cloned().ok_or(ErrorCode::OFPPMFC_BAD_PORT)?;
        if port.desc.hw_addr != wanted.hw_addr {
            return Err(ErrorCode::OFPPMFC_BAD_HW_ADDR);
        }
        Ok(port)
    }

    pub(super) fn port_mod(&mut self, source: ConnId, wanted: &PortMod) -> Result<(), ErrorCode> {
        let port = self.check_port_mod(wanted)?;
        let mask = wanted.mask & SETTABLE;
        let old = self.port_desc(&port);
        let before = old.config;
        let after = (before & !mask) | (wanted.config & mask);
        if after == before {
            return Ok(());
        }
        let changed = before ^ after;
        if changed & port_config::PORT_DOWN != 0 {
            self.put_awaited(Output::SetAdmin { port: wanted.port, up: after & port_config::PORT_DOWN == 0 });
        }
        let bits = after & !port_config::PORT_DOWN;
        self.port_bits.insert(wanted.port, bits);
        if let Some(view) = self.view.ports.get_mut(&wanted.port) {
            std::sync::Arc::make_mut(view).config = bits;
        }
        if let Some(config) = self.config.ports.get_mut(&wanted.port) {
            config.desc.config = after & port_config::PORT_DOWN;
        }
        self.update_floodable();
        self.dirty = true;
        if let Some(config) = self.config.ports.get(&wanted.port).cloned() {
            let desc = self.port_desc(&config);
            self.tell_port(PortReason::Modify, Some(&old), desc, Some(source));
        }
        Ok(())
    }
}
