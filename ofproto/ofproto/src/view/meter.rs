//! Meters as translation sees them, and as a bridge that is started anew finds them.

use openflow::message::MeterConfig;

/// A meter.
#[derive(Clone, Debug, PartialEq)]
pub struct MeterView {
    /// What it was asked to be.
    pub config: MeterConfig,
    /// When it was added, in milliseconds of the switch's clock.
    pub created_ms: i64,
    /// Which meter of the datapath it is.
    pub dp_id: u32,
}
