//! To a revalidator.

use actix::prelude::*;
use ofproto::revalidate::{DEFAULT_FLOW_LIMIT, DEFAULT_MAX_IDLE_MS, DEFAULT_MIN_PPS};

/// Something changed: look at the cached flows soon (C).
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Stir;

/// What the database says of cached flows (C).
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct RevalidatorSettings {
    /// Flows at the most.
    pub flow_limit: usize,
    /// How long an idle flow stays, milliseconds.
    pub max_idle_ms: i64,
    /// Between two looks at all flows, milliseconds.
    pub max_revalidator_ms: i64,
    /// Packets a second that make a flow worth translating anew while looks take long.
    pub min_pps: u32,
}

impl Default for RevalidatorSettings {
    fn default() -> Self {
        RevalidatorSettings {
            flow_limit: DEFAULT_FLOW_LIMIT,
            max_idle_ms: DEFAULT_MAX_IDLE_MS,
            max_revalidator_ms: 500,
            min_pps: DEFAULT_MIN_PPS,
        }
    }
}

impl RevalidatorSettings {
    /// Between two looks at all flows, milliseconds.
    pub fn period_ms(&self) -> i64 {
        self.max_revalidator_ms.min(self.max_idle_ms).max(1)
    }
}

/// Let so many flows be, until looks at them say otherwise (R).
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct SetFlowLimit(pub usize);

/// The datapath was started anew, the how-many-eth time: it must be told how many flows there may be, and its bridges have
/// been told what its flows had carried (R).
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct LimitAnew(pub u64);

/// How many flows there may be, and have been (Q).
#[derive(Debug, Message)]
#[rtype(result = "ofproto::revalidate::FlowLimit")]
pub struct ReadFlowLimit;

/// Look at no flow until told otherwise, or do again: `revalidator/pause`, `revalidator/resume` (R).
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Hold(pub bool);

/// Look at all of them now; answered when done (Q).
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Sweep;

/// Credit what flows have carried until now, if they are few enough to be asked in one piece; answered when done (Q).
/// On a clock that is moved by hand nothing is credited before its time.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct CreditFlows;

/// Take all of them out; answered when done (Q).
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Purge;
