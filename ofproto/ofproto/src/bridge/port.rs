//! Ports as controllers see and change them.

use openflow::message::port::{PortMod, PortReason, port_config};
use openflow::message::{Message, PortDesc};
use openflow::{ErrorCode, OfPort};

use super::{Bridge, ConnId, Output};

/// Bits that a controller may set.
const SETTABLE: u32 = port_config::PORT_DOWN
    | port_config::NO_STP
    | port_config::NO_RECV
    | port_config::NO_RECV_STP
    | port_config::NO_FLOOD
    | port_config::NO_FWD
    | port_config::NO_PACKET_IN;

impl Bridge {
    /// All ports: the bridge's own last in number, first in none.
    pub(super) fn all_port_descs(&self) -> Vec<PortDesc> {
        self.config.ports.values().map(|p| self.port_desc(p)).collect()
    }

    pub(super) fn port_descs(&mut self, id: ConnId, xid: u32, port: OfPort) {
        let descs = match port {
            OfPort::ANY => self.all_port_descs(),
            port => self.config.ports.get(&port).map(|p| self.port_desc(p)).into_iter().collect(),
        };
        self.reply(id, xid, Message::PortDescReply(descs));
    }

    /// Whether a port-mod could be carried out.
    pub(super) fn check_port_mod(&self, wanted: &PortMod) -> Result<super::PortConfig, ErrorCode> {
        let port = self.config.ports.get(&wanted.port).cloned().ok_or(ErrorCode::OFPPMFC_BAD_PORT)?;
        if port.desc.hw_addr != wanted.hw_addr {
            return Err(ErrorCode::OFPPMFC_BAD_HW_ADDR);
        }
        Ok(port)
    }

    pub(super) fn port_mod(&mut self, wanted: &PortMod) -> Result<(), ErrorCode> {
        let port = self.check_port_mod(wanted)?;
        let mask = wanted.mask & SETTABLE;
        let before = self.port_desc(&port).config;
        let after = (before & !mask) | (wanted.config & mask);
        if after == before {
            return Ok(());
        }
        let changed = before ^ after;
        if changed & port_config::PORT_DOWN != 0 {
            self.put(Output::SetAdmin { port: wanted.port, up: after & port_config::PORT_DOWN == 0 });
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
            self.tell_port(PortReason::Modify, &config);
        }
        Ok(())
    }
}
