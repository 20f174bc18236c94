//! What control commands do to a datapath: run between two slices of packets.

use actix::prelude::*;

use super::Datapath;
use crate::clock;
use crate::msg::datapath::CtTimeouts;

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
        (m.0)(&mut self.engine, u64::try_from(clock::now_us()).unwrap_or(0))
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
