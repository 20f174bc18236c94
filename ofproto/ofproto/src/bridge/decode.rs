//! What a connection's messages mean, which depends on what the connection said before and on the bridge's tunnel options.
//!
//! A session decodes on its own with the first and no tunnel options; only when the bridge has some is a message that may
//! name them decoded again here, where the table is the one that the messages before it made.

use std::sync::{Arc, LazyLock};

use flow::field::TunTable;
use openflow::action::Check;
use openflow::message::{Context, Message, decode_with};
use openflow::{ErrorCode, OfError, OfPort};

use super::{Bridge, Incoming, Output};

static NO_OPTIONS: LazyLock<Arc<TunTable>> = LazyLock::new(Arc::default);

/// Ports that a switch can have.
const MAX_PORTS: OfPort = OfPort(openflow::port_no::MAX);

/// Decodes a message. `table_id`: an OpenFlow 1.0 connection names tables in its flow-mods (NXT_FLOW_MOD_TABLE_ID);
/// `debug`: the debugging actions are allowed.
///
/// # Errors
/// The error to answer with.
pub fn decode_message(octets: &[u8], table_id: bool, debug: bool) -> Result<Message, OfError> {
    decode_knowing(octets, table_id, debug, &NO_OPTIONS)
}

fn decode_knowing(octets: &[u8], table_id: bool, debug: bool, tun: &Arc<TunTable>) -> Result<Message, OfError> {
    let check = Check { max_ports: MAX_PORTS, table: 0xff, n_tables: 255, tun: Some(tun.as_ref()) };
    let context = Context { table_id, tun: Some(tun), check, debug, by_switch: true, ..Context::UNKNOWN };
    decode_with(octets, &context).map(|m| m.body)
}

impl Bridge {
    /// Reads a request once more if tunnel options may change what it says, and has the log told of what is wrong with it.
    pub(super) fn reread(&mut self, table_id: bool, request: &mut Incoming) {
        let concerned = match &request.body {
            // A message of another version says nothing, whatever the options.
            Err(error) => error.code != ErrorCode::OFPBRC_BAD_VERSION,
            Ok(body) => matches!(
                body,
                Message::FlowMod { .. }
                    | Message::GroupMod(_)
                    | Message::PacketOut(_)
                    | Message::FlowStatsRequest { .. }
                    | Message::FlowMonitorRequest(_)
                    | Message::BundleAdd(_)
                    | Message::Resume(_)
            ),
        };
        if concerned && self.view.tun_table.entries().next().is_some() {
            request.body = decode_knowing(&request.raw, table_id, self.debug_actions, &self.view.tun_table);
        }
        if let Err(error) = &request.body {
            error.remarks.iter().for_each(|remark| self.put(Output::Remark(remark.clone())));
        }
    }
}
