//! What every supervised actor carries: its card, its one timer, and the guard that writes its obituary.

use crate::clock::{self, AtWork, Sleep};
use crate::mailbox::Card;
use actix::fut::ActorFuture;
use actix::prelude::*;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context as TaskContext, Poll};
use tokio::sync::mpsc;

/// An actor under supervision.
pub trait Player: Actor<Context = Context<Self>> {
    /// The desk this actor was given when it was made.
    fn desk(&mut self) -> &mut Desk;

    /// The timer set by [`Desk::arm`] has fired. It is unarmed now.
    fn wake(&mut self, now_ms: i64, ctx: &mut Context<Self>) {
        let _ = (now_ms, ctx);
    }
}

/// The news of one child's panic.
#[derive(Debug)]
pub(crate) struct Obituary {
    pub child: u64,
}

/// An actor's card, timer and guard.
#[derive(Debug)]
pub struct Desk {
    card: Arc<Card>,
    child: u64,
    generation: u64,
    obituaries: mpsc::Sender<Obituary>,
    deadline: Option<(i64, &'static str)>,
    /// From the first message of a wake until the actor's futures have had their turn.
    at_work: Option<AtWork>,
}

impl Desk {
    pub(crate) fn new(card: Arc<Card>, child: u64, obituaries: mpsc::Sender<Obituary>) -> Desk {
        let generation = card.generation();
        Desk { card, child, generation, obituaries, deadline: None, at_work: None }
    }

    /// The actor's card.
    pub fn card(&self) -> &Arc<Card> {
        &self.card
    }

    /// The actor's name.
    pub fn name(&self) -> &str {
        self.card.name()
    }

    /// Whether its parent wants it to stop: it will not be started anew.
    pub fn is_dismissed(&self) -> bool {
        self.card.is_stop_asked(self.generation)
    }

    /// Counts one message handled. The first line of every handler.
    pub fn received(&mut self) {
        // In this order: whoever waits for the program to rest must not find an empty mailbox and nobody at work.
        self.at_work.get_or_insert_with(clock::at_work);
        self.card.count_handled();
    }

    /// Counts one item that came by a stream instead of the mailbox.
    pub fn served(&self) {
        self.card.count_served();
    }

    /// Sets the timer to the actor's earliest deadline (monotonic milliseconds, and why), or unsets it.
    /// Called at the end of handlers and of `wake`; costs nothing if the deadline is unchanged.
    pub fn arm(&mut self, deadline: Option<(i64, &'static str)>) {
        if deadline != self.deadline {
            self.deadline = deadline;
            self.card.set_timer(deadline);
            // From outside a handler (a future the actor spawned) the timer has to be polled again.
            self.card.waker.wake();
        }
    }

    /// Moves the timer forward to `deadline` if that is earlier than what is set.
    pub fn arm_by(&mut self, deadline_ms: i64, why: &'static str) {
        if self.deadline.is_none_or(|(at, _)| deadline_ms < at) {
            self.arm(Some((deadline_ms, why)));
        }
    }

    /// The deadline set.
    pub fn deadline(&self) -> Option<(i64, &'static str)> {
        self.deadline
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        if std::thread::panicking() && self.obituaries.try_send(Obituary { child: self.child }).is_err() {
            // More deaths at once than the family's book has lines, or no family: nothing can be mended here.
            vlog::emer!("supervise", "{}: died unmourned, aborting", self.card.name());
            std::process::abort();
        }
    }
}

/// Runs beside the actor for its whole life: fires its timer, and hears calls to panic or stop.
pub(crate) struct Watch {
    sleep: Sleep,
}

impl Watch {
    pub(crate) fn new() -> Watch {
        Watch { sleep: clock::sleep_until(i64::MAX) }
    }
}

/// How many times in a row a timer may fire before the actor looks at its mailbox again.
const FIRINGS_A_WAKE: usize = 16;

impl<A: Player> ActorFuture<A> for Watch {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, actor: &mut A, ctx: &mut Context<A>, task: &mut TaskContext<'_>) -> Poll<()> {
        let _at_work = actor.desk().at_work.take().unwrap_or_else(clock::at_work);
        let card = actor.desk().card.clone();
        card.waker.register(task.waker());
        if card.panic_asked.swap(false, Relaxed) {
            panic!("{} was asked to panic", card.name());
        }
        if card.is_stop_asked(actor.desk().generation) {
            ctx.stop();
            return Poll::Ready(());
        }
        for _ in 0..FIRINGS_A_WAKE {
            let Some((at, _)) = actor.desk().deadline else {
                self.sleep.reset(i64::MAX);
                return Poll::Pending;
            };
            self.sleep.reset(at);
            if Pin::new(&mut self.sleep).poll(task).is_pending() {
                return Poll::Pending;
            }
            actor.desk().arm(None);
            self.sleep = clock::sleep_until(i64::MAX);
            actor.wake(clock::now_ms(), ctx);
        }
        task.waker().wake_by_ref();
        Poll::Pending
    }
}
