//! Packets that a controller lets go on (NXT_RESUME): the continuation of a packet-in becomes a frozen state again, and
//! translation goes on from there.

use std::sync::Arc;

use flow::field::Value;
use openflow::action::Action;
use openflow::message::PacketIn;
use openflow::{ErrorCode, OfPort};

use super::Bridge;
use crate::xlate::{FrozenState, Start};

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
            // A state without actions means a look-up, which has been: what was paused at its end has nothing left to do.
            actions: private.actions.clone().unwrap_or_else(|| [Action::Note([].into())].into()),
            action_set: private.action_set.clone().unwrap_or_else(|| [].into()),
            userdata: Vec::new(),
            is_told: false,
            from_nowhere: false,
        };
        self.live_view();
        let (start, now_ms) = (Start::Frozen(Arc::new(state)), self.now_ms);
        if let Some(mut given) = self.translate_given(&resumed.packet, &metadata, in_port, start, now_ms) {
            given.came_by = Some(private.odp_port.unwrap_or(0));
            self.send_given(given, now_ms);
        }
        Ok(())
    }
}
