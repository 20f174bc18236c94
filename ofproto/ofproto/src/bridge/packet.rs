//! Packets that controllers send and get.

use openflow::ErrorCode;
use openflow::message::PacketOut;

use super::Bridge;

impl Bridge {
    /// Checks a packet-out and hands it to translation.
    pub(super) fn packet_out(&mut self, out: &PacketOut) -> Result<(), ErrorCode> {
        if out.buffer_id != openflow::message::NO_BUFFER {
            return Err(ErrorCode::OFPBRC_BUFFER_UNKNOWN);
        }
        self.check_references(&out.actions)?;
        self.packet_outs.push(out.clone());
        Ok(())
    }
}
