//! Features of the switch. OpenFlow 1.0 section 5.3.1, 1.3.5 section 7.3.1.

use super::wire::{Put, Reader};
use super::{ActionKinds, Context, PortDesc, port};
use crate::{OfError, Version};

/// Bits of [`Features::capabilities`], as in OpenFlow 1.1 and later where both have them.
pub mod capability {
    /// Statistics of flows.
    pub const FLOW_STATS: u32 = 1 << 0;
    /// Statistics of tables.
    pub const TABLE_STATS: u32 = 1 << 1;
    /// Statistics of ports.
    pub const PORT_STATS: u32 = 1 << 2;
    /// Statistics of groups (OpenFlow 1.1+).
    pub const GROUP_STATS: u32 = 1 << 3;
    /// Fragments can be put together.
    pub const IP_REASM: u32 = 1 << 5;
    /// Statistics of queues.
    pub const QUEUE_STATS: u32 = 1 << 6;
    /// ARP's addresses can be matched (OpenFlow 1.0 and 1.1).
    pub const ARP_MATCH_IP: u32 = 1 << 7;
    /// The switch blocks ports against loops (OpenFlow 1.2+).
    pub const PORT_BLOCKED: u32 = 1 << 8;
    /// Bundles (OpenFlow 1.4+).
    pub const BUNDLES: u32 = 1 << 9;
    /// Flow monitors (OpenFlow 1.4+).
    pub const FLOW_MONITORING: u32 = 1 << 10;
    /// 802.1d, OpenFlow 1.0 only (bit 3 there).
    pub const STP: u32 = 1 << 31;
}

/// What the switch is and can.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Features {
    /// Identifier of the datapath.
    pub datapath_id: u64,
    /// Packets it can buffer.
    pub n_buffers: u32,
    /// Tables.
    pub n_tables: u8,
    /// 0 for the main connection (1.3+).
    pub auxiliary_id: u8,
    /// [`capability`].
    pub capabilities: u32,
    /// Actions that the switch supports (1.0 only).
    pub actions: ActionKinds,
    /// Ports (before 1.3; later ones have a multipart request for them). Fewer if they do not fit in a message.
    pub ports: Vec<PortDesc>,
}

/// Capabilities that a version has under the same numbers.
fn capability_mask(version: Version) -> u32 {
    use capability::*;
    let common = FLOW_STATS | TABLE_STATS | PORT_STATS | IP_REASM | QUEUE_STATS;
    match version {
        Version::V10 => common | ARP_MATCH_IP,
        Version::V11 => common | ARP_MATCH_IP | GROUP_STATS,
        Version::V12 | Version::V13 => common | GROUP_STATS | PORT_BLOCKED,
        Version::V14 | Version::V15 => common | GROUP_STATS | PORT_BLOCKED | BUNDLES | FLOW_MONITORING,
    }
}

/// Spanning tree among 1.0's capabilities.
const STP_10: u32 = 1 << 3;

pub(super) fn decode(body: &[u8], version: Version, context: &Context<'_>) -> Result<Features, OfError> {
    let mut body = Reader::new(body);
    let datapath_id = body.u64()?;
    let n_buffers = body.u32()?;
    let n_tables = body.u8()?;
    let auxiliary_id = body.u8()?;
    body.skip(2)?;
    let wire = body.u32()?;
    let actions = body.u32()?;
    let mut capabilities = wire & capability_mask(version);
    if version == Version::V10 && wire & STP_10 != 0 {
        capabilities |= capability::STP;
    }
    let ports = super::decode::list(context, body.rest(), |b| port::decode_desc(b, version))?;
    Ok(Features {
        datapath_id,
        n_buffers,
        n_tables,
        auxiliary_id: if version >= Version::V13 { auxiliary_id } else { 0 },
        capabilities,
        actions: if version == Version::V10 {
            ActionKinds::from_bits(actions, version)
        } else {
            ActionKinds::default()
        },
        ports,
    })
}

pub(super) fn encode(out: &mut Vec<u8>, start: usize, features: &Features, version: Version) {
    let v10 = version == Version::V10;
    let mut capabilities = features.capabilities & capability_mask(version);
    if v10 && features.capabilities & capability::STP != 0 {
        capabilities |= STP_10;
    }
    out.put64(features.datapath_id);
    out.put32(features.n_buffers);
    out.put8(features.n_tables);
    out.put8(if version >= Version::V13 { features.auxiliary_id } else { 0 });
    out.zeros(2);
    out.put32(capabilities);
    out.put32(if v10 { features.actions.bits(version) } else { 0 });
    if version >= Version::V13 {
        return;
    }
    for port in &features.ports {
        let before = out.len();
        port::encode_desc(out, port, version);
        if out.len() - start > usize::from(u16::MAX) {
            out.truncate(before);
            break;
        }
    }
}
