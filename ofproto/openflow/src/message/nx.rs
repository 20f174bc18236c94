//! Small messages of the Nicira extensions.

/// Format of flows on an OpenFlow 1.0 connection (NXT_SET_FLOW_FORMAT).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum FlowFormat {
    /// OpenFlow 1.0's fixed match.
    #[default]
    OpenFlow10,
    /// Nicira's extensible match.
    Nxm,
}
