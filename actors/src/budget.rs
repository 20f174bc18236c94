//! How much an actor does in one wake before it lets others run.
//!
//! An actix actor empties its mailbox before it polls its futures, and a stream with endless input would
//! starve every other actor of its thread. So each loop over input draws on a budget.

/// Messages or frames a session takes from its stream in one wake.
pub const SESSION_READ: usize = 64;
/// Rows or flows handled in one slice of a long walk (dump, sweep, statistics).
pub const WALK_SLICE: usize = 1024;

/// A count of work units that runs out.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    left: usize,
}

impl Budget {
    /// A fresh budget of `units`.
    pub const fn new(units: usize) -> Budget {
        Budget { left: units }
    }

    /// Takes one unit; false when none is left and the actor should yield.
    pub fn take(&mut self) -> bool {
        self.take_many(1)
    }

    /// Takes `units` at once; false when there was none left before. The last taker may overdraw.
    pub fn take_many(&mut self, units: usize) -> bool {
        let some = self.left > 0;
        self.left = self.left.saturating_sub(units);
        some
    }

    /// Whether nothing is left.
    pub const fn is_spent(&self) -> bool {
        self.left == 0
    }
}
