//! How much an actor does in one wake before it lets others run.
//!
//! An actix actor empties its mailbox before it polls its futures, and a stream with endless input would
//! starve every other actor of its thread. So each loop over input draws on a budget.

use actix::prelude::*;

/// Messages or frames a session takes from its stream in one wake.
pub const SESSION_READ: usize = 64;
/// Rows or flows handled in one slice of a long walk (dump, sweep, statistics).
pub const WALK_SLICE: usize = 1024;

/// Upcalls that a bridge answers before others of its thread have their turn.
pub const UPCALLS: usize = 64;

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

/// An actor's turns, where other threads fill its mailbox as fast as it empties it: between two of them its futures, the
/// thread's other actors and their sockets are served.
#[derive(Debug)]
pub struct Turn {
    units: usize,
    budget: Budget,
}

impl Turn {
    /// Turns of so many units of work.
    pub const fn new(units: usize) -> Turn {
        Turn { units, budget: Budget::new(units) }
    }

    /// Work was done: the turn may be over.
    pub fn spend<A: Actor<Context = Context<A>>>(&mut self, units: usize, ctx: &mut Context<A>) {
        self.budget.take_many(units);
        if self.budget.is_spent() {
            self.budget = Budget::new(self.units);
            ctx.wait(actix::fut::wrap_future(tokio::task::yield_now()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::rc::Rc;

    /// Gives itself more to do, as another thread would that is told of each answer.
    struct Flooded {
        turn: Turn,
        done: Rc<Cell<usize>>,
    }

    #[derive(Message)]
    #[rtype(result = "()")]
    struct Work;

    impl Actor for Flooded {
        type Context = Context<Self>;
    }

    impl Handler<Work> for Flooded {
        type Result = ();

        fn handle(&mut self, _: Work, ctx: &mut Context<Self>) {
            self.done.set(self.done.get() + 1);
            self.turn.spend(1, ctx);
            if self.done.get() < 10_000 {
                assert!(ctx.address().try_send(Work).is_ok());
            }
        }
    }

    #[test]
    fn a_flooded_actor_leaves_others_their_turn() {
        System::new().block_on(async {
            let done = Rc::new(Cell::new(0));
            let flooded = Flooded { turn: Turn::new(UPCALLS), done: done.clone() }.start();
            assert!(flooded.try_send(Work).is_ok());
            let mut others_turns = 0;
            while done.get() < 10_000 {
                tokio::task::yield_now().await;
                others_turns += 1;
            }
            assert!(others_turns >= 10_000 / UPCALLS, "{others_turns}");
        });
    }
}
