//! What control commands do to a datapath: run between two slices of packets.

use actix::prelude::*;

use super::Datapath;
use crate::clock;
use crate::msg::datapath::{CtTimeouts, TrackAs};
use crate::msg::switch::TrackingSet;

/// What a command does; the second argument is the time in microseconds.
pub type Work = Box<dyn FnOnce(&mut dp::Datapath, u64) -> Result<String, String> + Send>;

/// Do this, briefly (Q).
#[derive(Message)]
#[rtype(result = "Result<String, String>")]
pub struct Perform(pub Work);

impl Handler<Perform> for Datapath {
    type Result = Result<String, String>;

    fn handle(&mut self, m: Perform, _: &mut Context<Self>) -> Self::Result {
        self.desk.received();
        self.engine.fold(u64::try_from(clock::now_us()).unwrap_or(0));
        let before = self.engine.tracking_settings();
        let said = (m.0)(&mut self.engine, u64::try_from(clock::now_us()).unwrap_or(0));
        self.spread();
        let settings = self.engine.tracking_settings();
        if settings != before
            && let Some(keeper) = &self.owner.keeper
        {
            let kind = self.desk.name();
            let datapath = kind.strip_prefix("datapath ").unwrap_or(kind).to_owned();
            if !keeper.offer(TrackingSet { datapath, settings }) {
                vlog::warn_rl!("datapath", 5, 5, "{kind}: settings would not outlive the datapath's thread");
            }
        }
        said
    }
}

impl Handler<TrackAs> for Datapath {
    type Result = ();

    fn handle(&mut self, m: TrackAs, _: &mut Context<Self>) {
        self.desk.received();
        self.engine.set_tracking_settings(&m.0);
    }
}

impl Handler<CtTimeouts> for Datapath {
    type Result = ();

    fn handle(&mut self, m: CtTimeouts, _: &mut Context<Self>) {
        self.desk.received();
        for (name, timeouts) in m.0 {
            self.engine.set_timeout_policy(&name, Some(timeouts));
        }
    }
}
