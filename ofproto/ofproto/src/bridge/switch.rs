//! Features and configuration of the switch as a controller asks for them.

use openflow::Version;
use openflow::message::async_config::AsyncKind;
use openflow::message::features::capability;
use openflow::message::packet_in::reason;
use openflow::message::{Features, Message, SwitchConfig};

use super::{Bridge, ConnId, N_TABLES};
use crate::note::{Level, Note};
use crate::view::FragHandling;

/// The bit of packet-ins whose time to live has passed.
const INVALID_TTL: u32 = 1 << reason::INVALID_TTL;

impl Bridge {
    pub(super) fn features(&mut self, id: ConnId, xid: u32) {
        let Some(conn) = self.conns.get(&id) else { return };
        let ports = if conn.version < Version::V13 { self.all_port_descs() } else { Vec::new() };
        let features = Features {
            datapath_id: self.config.datapath_id,
            n_buffers: 0,
            n_tables: N_TABLES,
            auxiliary_id: 0,
            capabilities: capability::FLOW_STATS
                | capability::TABLE_STATS
                | capability::PORT_STATS
                | capability::GROUP_STATS
                | capability::QUEUE_STATS
                | capability::ARP_MATCH_IP
                | capability::BUNDLES,
            actions: openflow::message::ActionKinds::ALL,
            ports,
        };
        self.reply(id, xid, Message::FeaturesReply(features));
    }

    pub(super) fn get_config(&mut self, id: ConnId, xid: u32) {
        let Some(conn) = self.conns.get(&id) else { return };
        let config = SwitchConfig {
            frags: self.frags,
            invalid_ttl_to_controller: Some(conn.async_config.primary[AsyncKind::PacketIn as usize] & INVALID_TTL != 0),
            miss_send_len: conn.miss_send_len,
        };
        self.reply(id, xid, Message::GetConfigReply(config));
    }

    pub(super) fn set_config(&mut self, id: ConnId, config: &SwitchConfig) {
        // The datapath does not put fragments together: such a wish changes nothing.
        if config.frags != openflow::message::config::FragMode::Reassemble {
            self.frags = config.frags;
        } else {
            let text = format!("{}: unsupported fragment handling mode reassemble", self.view.name);
            self.log(Note::new("ofproto", Level::Warn, text));
        }
        let frag = match self.frags {
            openflow::message::config::FragMode::Normal => FragHandling::Normal,
            openflow::message::config::FragMode::Drop => FragHandling::Drop,
            openflow::message::config::FragMode::Reassemble => FragHandling::Reassemble,
            openflow::message::config::FragMode::NxMatch => FragHandling::NxMatch,
        };
        if frag != self.view.frag {
            self.view.frag = frag;
            self.dirty = true;
        }
        self.edit(id, |conn| {
            if conn.kind == super::ConnKind::Service && conn.miss_send_len == 0 && config.miss_send_len > 0 {
                // Someone who came by and now asks for packets gets what a controller gets.
                conn.hear(conn.hears);
            }
            conn.miss_send_len = config.miss_send_len;
            if let Some(on) = config.invalid_ttl_to_controller {
                conn.has_chosen = true;
                let mask = &mut conn.async_config.primary[AsyncKind::PacketIn as usize];
                *mask = if on { *mask | INVALID_TTL } else { *mask & !INVALID_TTL };
            }
        });
    }
}
