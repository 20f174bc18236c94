//! What each request leads to.

use openflow::ErrorCode;
use openflow::message::role::Role;
use openflow::message::{CtFlush, Message};

use super::{Bridge, ConnId, Incoming, Output};

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
            let others = conn.queue.iter().take(super::flow::BATCH).skip(1);
            let n = 1 + others.take_while(|m| is_flow_mod(m) && !super::flow::looks_around(m)).count();
            let batch: Vec<Incoming> = conn.queue.drain(..n).collect();
            self.flow_mods(id, batch);
            return;
        }
        let table_id = conn.table_id;
        let Some(mut request) = conn.queue.pop_front() else { return };
        self.reread(table_id, &mut request);
        let Some(mut request) = self.gather_parts(id, request) else { return };
        if is_flow_mod(&request) {
            self.flow_mods(id, vec![request]);
            return;
        }
        let body = std::mem::replace(&mut request.body, Ok(Message::BarrierRequest));
        let secondary = self.conns.get(&id).is_some_and(|c| c.role == Role::Secondary);
        let result = match body {
            Err(_) if secondary && names_change(&request.raw) => Err(ErrorCode::OFPBRC_IS_SECONDARY),
            Err(error) => Err(error.code),
            Ok(body) if secondary && changes_state(&body) => Err(ErrorCode::OFPBRC_IS_SECONDARY),
            Ok(Message::BundleAdd(add)) => self.bundle_add(id, &request, add),
            Ok(body) => self.request(id, &request, &body),
        };
        if let Err(code) = result {
            self.refuse(id, &request, code);
        }
    }

    fn request(&mut self, id: ConnId, request: &Incoming, body: &Message) -> Result<Step, ErrorCode> {
        let xid = request.xid;
        match body {
            Message::EchoRequest(data) => self.reply(id, xid, Message::EchoReply(data.clone())),
            Message::BarrierRequest => self.barrier(id, xid),
            Message::FeaturesRequest => self.features(id, xid),
            Message::GetConfigRequest => self.get_config(id, xid),
            Message::SetConfig(config) => self.set_config(id, config),
            Message::PortMod(port_mod) => self.port_mod(id, port_mod)?,
            Message::TableMod(table_mod) => self.table_mod(table_mod)?,
            Message::GroupMod(group_mod) => self.group_mod(id, request, group_mod)?,
            Message::MeterMod(meter_mod) => self.meter_mod(id, request, meter_mod)?,
            Message::PacketOut(out) => self.packet_out(out)?,
            Message::Resume(packet) => self.resume(packet)?,
            Message::RoleRequest(wanted) => self.role_request(id, xid, wanted)?,
            Message::BundleCtrl(ctrl) => return self.bundle_ctrl(id, request, ctrl),
            Message::FlowMonitorRequest(wanted) => self.flow_monitors(id, request, wanted)?,
            Message::FlowMonitorCancel(monitor) => self.cancel_monitor(id, *monitor)?,
            Message::TlvTableMod(wanted) => self.tlv_table_mod(wanted)?,
            Message::TlvTableRequest => self.reply(id, xid, Message::TlvTableReply(self.tlv_table())),
            Message::CtFlushZone(zone) => {
                self.put(Output::CtFlush(CtFlush { zone: Some(*zone), ..CtFlush::default() }))
            }
            Message::CtFlush(flush) => self.put(Output::CtFlush(*flush)),
            Message::EchoReply(_) | Message::Error(_) | Message::Hello(_) | Message::BarrierReply => {}
            Message::FlowAge => {}
            _ => return self.conn_request(id, request, body),
        }
        Ok(Step::Done)
    }

    /// Answers once everything before it has taken effect: changes of tables, ports and settings are waited for before
    /// the next request is read, and here what other bridges have to know of them. Source: OpenFlow 1.0 section 5.3.7.
    fn barrier(&mut self, id: ConnId, xid: u32) {
        if (self.dirty || self.unshared) && self.others_cross() {
            self.unshared = false;
            self.barrier = Some((id, xid));
            self.put_awaited(Output::Share);
        } else {
            self.reply(id, xid, Message::BarrierReply);
        }
    }

    /// Whether what is decided elsewhere may depend on this bridge: packets cross it by patch ports, or inside tunnels.
    fn others_cross(&self) -> bool {
        let crossed = || !self.live.tunnels.ports.is_empty() || self.view.ports.values().any(|port| port.is_patch());
        self.live.bridges.len() > 1 && crossed()
    }

    /// Requests about the connection itself.
    fn conn_request(&mut self, id: ConnId, request: &Incoming, body: &Message) -> Result<Step, ErrorCode> {
        match body {
            Message::SetAsync(set) => self.edit(id, |c| c.set_async(set)),
            Message::GetAsyncRequest => {
                if let Some(config) = self.conns.get(&id).map(|c| c.async_config) {
                    self.reply(id, request.xid, Message::GetAsyncReply(config));
                }
            }
            Message::SetPacketInFormat(format) => self.edit(id, |c| c.packet_in_format = *format),
            Message::SetControllerId(number) => self.edit(id, |c| c.controller_id = *number),
            Message::SetFlowFormat(format) => self.edit(id, |c| c.flow_format = *format),
            Message::FlowModTableId(on) => self.edit(id, |c| c.table_id = *on),
            _ => return self.statistics(id, request, body),
        }
        Ok(Step::Done)
    }

    pub(super) fn edit(&mut self, id: ConnId, edit: impl FnOnce(&mut super::Conn)) {
        if let Some(conn) = self.conns.get_mut(&id) {
            edit(conn);
        }
    }
}

/// Whether a message that could not be read would have been one of [`changes_state`]: the role of who sent it is judged
/// first, unless its very length was wrong.
fn names_change(raw: &[u8]) -> bool {
    let name = openflow::message::kind::head(raw).map_or("", |head| head.shape.name);
    let kinds = ["PACKET_OUT", "FLOW_MOD", "GROUP_MOD", "PORT_MOD", "TABLE_MOD", "METER_MOD", "TLV_TABLE_MOD"];
    name.split_once('_').is_some_and(|(_, kind)| kinds.contains(&kind) || kind.starts_with("BUNDLE"))
}

/// What a controller in the secondary role may not send.
pub(super) fn changes_state(body: &Message) -> bool {
    matches!(
        body,
        Message::PacketOut(_)
            | Message::FlowMod { .. }
            | Message::GroupMod(_)
            | Message::PortMod(_)
            | Message::TableMod(_)
            | Message::MeterMod(_)
            | Message::TlvTableMod(_)
            | Message::BundleCtrl(_)
            | Message::BundleAdd(_)
    )
}
