//! Packets from the controller. OpenFlow 1.0 section 5.3.6, 1.1, 1.5.1 section 7.3.6.

use super::Octets;
use crate::action::Actions;
use crate::matching::Match;

/// A packet to send.
#[derive(Clone, Debug, PartialEq)]
pub struct PacketOut {
    /// The packet; empty with a buffer.
    pub packet: Octets,
    /// Buffer, [`super::NO_BUFFER`] for none.
    pub buffer_id: u32,
    /// Metadata: `in_port` always, in 1.5 others.
    pub flow_metadata: Match,
    /// What to do with it.
    pub actions: Actions,
}
