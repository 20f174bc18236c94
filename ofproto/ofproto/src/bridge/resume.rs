//! Packets that a controller lets go on (NXT_RESUME): the continuation of a packet-in becomes a frozen state again, and
//! translation goes on from there.

use std::sync::Arc;

use flow::field::Value;
use flow::{Actions, Execute};
use openflow::message::PacketIn;
use openflow::{ErrorCode, OfPort};
use packet::PacketBuf;

use super::{Bridge, Output};
use crate::rule::RuleStats;
use crate::xlate::{FrozenState, Input, Start, translate};

impl Bridge {
    pub(super) fn resume(&mut self, resumed: &PacketIn) -> Result<(), ErrorCode> {
        let private = resumed.continuation.as_deref().ok_or(ErrorCode::NXR_STALE)?;
        if private.bridge != self.view.uuid {
            return Err(ErrorCode::NXR_STALE);
        }
        let mut metadata = resumed.flow_metadata.key.clone();
        let in_port = resumed.flow_metadata.in_port().unwrap_or(OfPort::NONE);
        metadata.set_in_port(in_port.to_11());
        let state = FrozenState {
            bridge: self.view.id,
            table: resumed.table_id,
            metadata: Box::new(metadata.clone()),
            stack: private.stack.iter().map(|v| Value::from_slice(v)).collect(),
            mirrors: private.mirrors,
            conntracked: private.conntracked,
            actions: private.actions.clone().unwrap_or_else(|| [].into()),
            action_set: private.action_set.clone().unwrap_or_else(|| [].into()),
            userdata: Vec::new(),
        };
        let mut packet = PacketBuf::new(&resumed.packet);
        packet.offload.csum_valid = true;
        let (key, _) = flow::extract_with(packet.data(), &metadata, self.live.support.max_vlan_headers);
        let now_ms = self.now_ms;
        self.live_view();
        let input = Input {
            key: &key,
            bridge: self.view.id,
            packet: Some(&packet),
            tcp_flags: key.tcp_flags(),
            start: Start::Frozen(Arc::new(state)),
            side_effects: true,
            now_ms,
        };
        let translation = translate(&self.live, &input, &mut self.recirc, None);
        let stats = RuleStats { packets: 1, bytes: packet.len() as u64, used_ms: now_ms };
        self.apply(&translation.effects, stats, key.tcp_flags(), now_ms);
        let mut dp_key = key;
        let odp = self.view.ports.get(&in_port).and_then(|p| p.odp);
        dp_key.set_in_port(odp.unwrap_or(u32::MAX));
        let actions: Actions = translation.actions.as_slice().into();
        self.put(Output::Execute { packets: vec![Execute { packet, key: dp_key, actions }], answered: Vec::new() });
        self.recirc.release(&translation.recircs, now_ms);
        Ok(())
    }
}
