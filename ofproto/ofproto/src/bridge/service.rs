//! What each request leads to.

use openflow::ErrorCode;
use openflow::message::Message;
use openflow::message::role::Role;

use super::{Bridge, ConnId, Incoming};

/// What a request's handler did.
pub(super) enum Step {
    /// All of it.
    Done,
    /// The bridge is busy with it now.
    Waits,
}

impl Bridge {
    /// Carries out requests of one connection: a run of flow-mods together, anything else one by one.
    pub(super) fn serve(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let is_flow_mod = |m: &Incoming| matches!(m.body, Ok(Message::FlowMod { .. }));
        if conn.queue.front().is_some_and(is_flow_mod) {
            let n = conn.queue.iter().take(super::flow::BATCH).take_while(|m| is_flow_mod(m)).count();
            let batch: Vec<Incoming> = conn.queue.drain(..n).collect();
            self.flow_mods(id, batch);
            return;
        }
        let Some(request) = conn.queue.pop_front() else { return };
        let result = match &request.body {
            Err(error) => Err(error.0),
            Ok(body) => self.request(id, &request, body),
        };
        if let Err(code) = result {
            self.refuse(id, &request, code);
        }
    }

    fn request(&mut self, id: ConnId, request: &Incoming, body: &Message) -> Result<Step, ErrorCode> {
        let xid = request.xid;
        if self.conns.get(&id).is_some_and(|c| c.role == Role::Secondary) && changes_state(body) {
            return Err(ErrorCode::OFPBRC_IS_SECONDARY);
        }
        match body {
            Message::EchoRequest(data) => self.reply(id, xid, Message::EchoReply(data.clone())),
            Message::BarrierRequest => self.reply(id, xid, Message::BarrierReply),
            Message::FeaturesRequest => self.features(id, xid),
            Message::GetConfigRequest => self.get_config(id, xid),
            Message::SetConfig(config) => self.set_config(id, config),
            Message::DescRequest => self.reply(id, xid, Message::DescReply(self.config.desc.clone())),
            Message::PortDescRequest(port) => self.port_descs(id, xid, *port),
            Message::PortMod(port_mod) => self.port_mod(port_mod)?,
            Message::PacketOut(out) => self.packet_out(out)?,
            Message::SetAsync(set) => self.edit(id, |c| c.async_config.apply(set)),
            Message::GetAsyncRequest => {
                if let Some(config) = self.conns.get(&id).map(|c| c.async_config.clone()) {
                    self.reply(id, xid, Message::GetAsyncReply(config));
                }
            }
            Message::SetPacketInFormat(format) => self.edit(id, |c| c.packet_in_format = *format),
            Message::SetControllerId(number) => self.edit(id, |c| c.controller_id = *number),
            Message::SetFlowFormat(_) | Message::FlowModTableId(_) | Message::FlowAge => {}
            Message::EchoReply(_) | Message::Error(_) | Message::Hello(_) | Message::BarrierReply => {}
            Message::FlowStatsRequest { request: wanted, .. } => return Ok(self.flow_stats(id, request, wanted)),
            Message::TableStatsRequest => return Ok(self.table_stats(id, request)),
            Message::PortStatsRequest(port) => return self.port_stats(id, request, *port),
            Message::QueueStatsRequest { port, queue } => return self.queue_stats(id, request, *port, *queue),
            _ => return Err(ErrorCode::OFPBRC_BAD_TYPE),
        }
        Ok(Step::Done)
    }

    pub(super) fn edit(&mut self, id: ConnId, edit: impl FnOnce(&mut super::Conn)) {
        if let Some(conn) = self.conns.get_mut(&id) {
            edit(conn);
        }
    }
}

/// What a controller in the secondary role may not send.
fn changes_state(body: &Message) -> bool {
    matches!(
        body,
        Message::PacketOut(_)
            | Message::FlowMod { .. }
            | Message::GroupMod(_)
            | Message::PortMod(_)
            | Message::TableMod(_)
            | Message::MeterMod(_)
            | Message::TlvTableMod(_)
            | Message::Resume(_)
            | Message::BundleAdd(_)
            | Message::CtFlushZone(_)
            | Message::CtFlush(_)
    )
}
