//! Mailboxes: addresses that outlive a restart, the four send policies, and the counts behind `actor/show`.
//!
//! Every mailbox is bounded, and each send names what happens when it is full:
//!
//! | policy | | here |
//! |---|---|---|
//! | **B** | bounded: drop and count | [`Address::offer`], [`Outlet::offer`] |
//! | **R** | the sender keeps it and retries | [`Address::post`] by hand, [`Retry`] in order |
//! | **C** | coalesced, the latest wins | [`Latest`] |
//! | **Q** | a query with a deadline | [`Address::ask`], [`Outlet::ask`] |
//!
//! An [`Address`] names a part, not an incarnation: when supervision starts an actor anew, its address reaches
//! the new one. What was in the dead one's mailbox is lost, and counted.

use actix::dev::ToEnvelope;
use actix::prelude::*;
use arc_swap::ArcSwapOption;
use futures::future::BoxFuture;
use futures::task::AtomicWaker;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

/// What is known of one actor from outside: its name, its counts, its next timer.
#[derive(Debug)]
pub struct Card {
    serial: u64,
    name: String,
    kind: &'static str,
    capacity: usize,
    sent: AtomicU64,
    handled: AtomicU64,
    lost: AtomicU64,
    restarts: AtomicU64,
    timer: Mutex<Option<(i64, &'static str)>>,
    pub(crate) waker: AtomicWaker,
    pub(crate) panic_asked: AtomicBool,
    generation: AtomicU64,
    /// Incarnations before this one are to stop.
    stop_before: AtomicU64,
}

/// The counts of a [`Card`] at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counts {
    /// Messages waiting in the mailbox.
    pub depth: u64,
    /// How many fit.
    pub capacity: usize,
    /// Messages handled, over all incarnations.
    pub handled: u64,
    /// Messages dropped because the mailbox was full or the actor dead.
    pub lost: u64,
    /// How often supervision started it anew.
    pub restarts: u64,
    /// When its timer fires (monotonic milliseconds), and why.
    pub timer: Option<(i64, &'static str)>,
}

static CARDS: Mutex<Vec<Weak<Card>>> = Mutex::new(Vec::new());
static SERIAL: AtomicU64 = AtomicU64::new(1);

impl Card {
    /// Registers a part of the program under `name`.
    pub(crate) fn new(name: String, kind: &'static str, capacity: usize) -> Arc<Card> {
        let card = Arc::new(Card {
            serial: SERIAL.fetch_add(1, Relaxed),
            name,
            kind,
            capacity,
            sent: AtomicU64::new(0),
            handled: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            restarts: AtomicU64::new(0),
            timer: Mutex::new(None),
            waker: AtomicWaker::new(),
            panic_asked: AtomicBool::new(false),
            generation: AtomicU64::new(1),
            stop_before: AtomicU64::new(0),
        });
        CARDS.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&card));
        card
    }

    /// The actor's name: `bridge br0`, `datapath 0`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The kind of actor: `bridge`, `datapath`.
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// The order of registration, which is the order of `actor/show`.
    pub fn serial(&self) -> u64 {
        self.serial
    }

    /// The counts as they stand.
    pub fn counts(&self) -> Counts {
        let handled = self.handled.load(Relaxed);
        Counts {
            depth: self.depth(handled),
            capacity: self.capacity,
            handled,
            lost: self.lost.load(Relaxed),
            restarts: self.restarts.load(Relaxed),
            timer: *self.timer.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// Whether half of the mailbox is taken: what may wait should, as what may not needs the rest.
    pub fn is_half_full(&self) -> bool {
        self.depth(self.handled.load(Relaxed)) * 2 >= self.capacity as u64
    }

    /// Messages that wait, where so many have been handled.
    fn depth(&self, handled: u64) -> u64 {
        self.sent.load(Relaxed).saturating_sub(handled)
    }

    /// Counts messages lost on the way to this actor by means other than an [`Address`].
    pub fn count_lost(&self, messages: u64) {
        self.lost.fetch_add(messages, Relaxed);
    }

    pub(crate) fn count_handled(&self) {
        self.handled.fetch_add(1, Relaxed);
    }

    pub(crate) fn count_served(&self) {
        self.sent.fetch_add(1, Relaxed);
        self.handled.fetch_add(1, Relaxed);
    }

    pub(crate) fn set_timer(&self, timer: Option<(i64, &'static str)>) {
        *self.timer.lock().unwrap_or_else(PoisonError::into_inner) = timer;
    }

    /// A new incarnation begins with an empty mailbox; what the old one held is lost.
    pub(crate) fn reborn(&self) {
        self.restarts.fetch_add(1, Relaxed);
        self.generation.fetch_add(1, Relaxed);
        let (sent, handled) = (self.sent.load(Relaxed), self.handled.load(Relaxed));
        self.lost.fetch_add(sent.saturating_sub(handled), Relaxed);
        self.sent.store(handled, Relaxed);
        self.set_timer(None);
    }

    /// Makes the actor panic at its next wake: `actor/panic`, and escalation.
    pub(crate) fn ask_panic(&self) {
        self.panic_asked.store(true, Relaxed);
        self.waker.wake();
    }

    /// Makes the actor stop at its next wake.
    pub fn ask_stop(&self) {
        self.stop_before.store(self.generation() + 1, Relaxed);
        self.waker.wake();
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Relaxed)
    }

    /// Whether the incarnation numbered `generation` is to stop.
    pub(crate) fn is_stop_asked(&self, generation: u64) -> bool {
        generation < self.stop_before.load(Relaxed)
    }
}

/// Every living actor's card, in order of registration.
pub fn cards() -> Vec<Arc<Card>> {
    let mut cards = CARDS.lock().unwrap_or_else(PoisonError::into_inner);
    cards.retain(|c| c.strong_count() > 0);
    cards.iter().filter_map(Weak::upgrade).collect()
}

/// The program's restlessness: see `clock::rest`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Activity {
    /// Messages in all mailboxes.
    pub waiting: u64,
    /// Messages handled by all actors so far.
    pub handled: u64,
}

/// How much work waits and has been done, over all actors.
pub fn activity() -> Activity {
    cards().iter().map(|c| c.counts()).fold(Activity { waiting: 0, handled: 0 }, |a, c| Activity {
        waiting: a.waiting + c.depth,
        handled: a.handled + c.handled,
    })
}

/// Why a query has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// The actor is dead or died over the question.
    #[error("the actor is gone")]
    Closed,
    /// The deadline passed.
    #[error("the actor did not answer in time")]
    Late,
}

/// The address of a part of the program, whichever incarnation of it is alive.
pub struct Address<A: Actor> {
    cell: Arc<ArcSwapOption<Addr<A>>>,
    card: Arc<Card>,
}

impl<A: Actor> Clone for Address<A> {
    fn clone(&self) -> Self {
        Address { cell: self.cell.clone(), card: self.card.clone() }
    }
}

impl<A: Actor> fmt::Debug for Address<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({})", self.card.name)
    }
}

impl<A: Actor> Address<A> {
    pub(crate) fn vacant(card: Arc<Card>) -> Address<A> {
        Address { cell: Arc::new(ArcSwapOption::empty()), card }
    }

    /// The address of one incarnation, for those that it speaks to: it dies with it.
    pub(crate) fn of_running(addr: Addr<A>, card: Arc<Card>) -> Address<A> {
        let address = Address::vacant(card);
        address.occupy(addr);
        address
    }

    pub(crate) fn occupy(&self, addr: Addr<A>) {
        self.cell.store(Some(Arc::new(addr)));
    }

    /// The card of the actor behind this address.
    pub fn card(&self) -> &Arc<Card> {
        &self.card
    }

    /// Whether an incarnation is alive.
    pub fn is_connected(&self) -> bool {
        self.cell.load().as_ref().is_some_and(|a| a.connected())
    }

    /// Policy R by hand: gives the message back when the mailbox is full or the actor between two lives.
    ///
    /// # Errors
    /// The message itself.
    pub fn post<M>(&self, message: M) -> Result<(), M>
    where
        M: Message + Send + 'static,
        M::Result: Send,
        A: Handler<M>,
        A::Context: ToEnvelope<A, M>,
    {
        match self.cell.load().as_ref() {
            None => Err(message),
            Some(addr) => {
                // Counted before it is sent: the receiver may be faster than this thread.
                self.card.sent.fetch_add(1, Relaxed);
                addr.try_send(message).map_err(|refused| {
                    self.card.sent.fetch_sub(1, Relaxed);
                    match refused {
                        SendError::Full(message) | SendError::Closed(message) => message,
                    }
                })
            }
        }
    }

    /// Policy B: drops and counts the message if it cannot be delivered at once; false then.
    pub fn offer<M>(&self, message: M) -> bool
    where
        M: Message + Send + 'static,
        M::Result: Send,
        A: Handler<M>,
        A::Context: ToEnvelope<A, M>,
    {
        let delivered = self.post(message).is_ok();
        if !delivered {
            self.card.count_lost(1);
        }
        delivered
    }

    /// Waits until the actor is there: one on another thread takes a moment to begin. False if it does not come soon.
    pub fn ready(&self) -> impl Future<Output = bool> + Send + use<A> {
        let cell = self.cell.clone();
        async move { present(&cell).await.is_some() }
    }

    /// Policy Q: sends, waiting for room if need be, and waits for the answer until `deadline` passes (in
    /// real time: a stopped clock must not hang the asker).
    pub fn ask<M>(
        &self,
        message: M,
        deadline: Duration,
    ) -> impl Future<Output = Result<M::Result, AskError>> + Send + use<M, A>
    where
        M: Message + Send + Unpin + 'static,
        M::Result: Send,
        A: Handler<M>,
        A::Context: ToEnvelope<A, M>,
    {
        let (cell, card) = (self.cell.clone(), self.card.clone());
        async move {
            let addr = present(&cell).await.ok_or(AskError::Closed)?;
            card.sent.fetch_add(1, Relaxed);
            match tokio::time::timeout(deadline, addr.send(message)).await {
                Ok(Ok(answer)) => Ok(answer),
                Ok(Err(_)) => {
                    card.sent.fetch_sub(1, Relaxed);
                    Err(AskError::Closed)
                }
                Err(_) => Err(AskError::Late),
            }
        }
    }

    /// This address for one kind of message, its actor forgotten.
    pub fn outlet<M>(&self) -> Outlet<M>
    where
        M: Message + Send + Unpin + 'static,
        M::Result: Send,
        A: Handler<M>,
        A::Context: ToEnvelope<A, M>,
    {
        Outlet { inlet: Arc::new(self.clone()) }
    }
}

/// How long a sender waits for an actor that is not there: at its beginning, or between two lives.
const GRACE: Duration = Duration::from_millis(500);
/// How often it looks.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// The actor's address, once it is there.
async fn present<A: Actor>(cell: &ArcSwapOption<Addr<A>>) -> Option<Arc<Addr<A>>> {
    let look = async {
        loop {
            if let Some(addr) = cell.load_full() {
                return addr;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    tokio::time::timeout(GRACE, look).await.ok()
}

trait Inlet<M: Message>: Send + Sync {
    fn post_one(&self, message: M) -> Result<(), M>;
    fn ask_one(&self, message: M, deadline: Duration) -> BoxFuture<'static, Result<M::Result, AskError>>;
    fn card_of(&self) -> &Arc<Card>;
}

impl<A, M> Inlet<M> for Address<A>
where
    A: Actor + Handler<M>,
    A::Context: ToEnvelope<A, M>,
    M: Message + Send + Unpin + 'static,
    M::Result: Send,
{
    fn post_one(&self, message: M) -> Result<(), M> {
        self.post(message)
    }
    fn ask_one(&self, message: M, deadline: Duration) -> BoxFuture<'static, Result<M::Result, AskError>> {
        Box::pin(self.ask(message, deadline))
    }
    fn card_of(&self) -> &Arc<Card> {
        &self.card
    }
}

/// Where messages of one kind go, whoever receives them.
pub struct Outlet<M: Message> {
    inlet: Arc<dyn Inlet<M>>,
}

impl<M: Message> Clone for Outlet<M> {
    fn clone(&self) -> Self {
        Outlet { inlet: self.inlet.clone() }
    }
}

impl<M: Message> fmt::Debug for Outlet<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Outlet({})", self.inlet.card_of().name)
    }
}

impl<M: Message + Send + 'static> Outlet<M>
where
    M::Result: Send,
{
    /// Policy R by hand, as [`Address::post`].
    ///
    /// # Errors
    /// The message itself.
    pub fn post(&self, message: M) -> Result<(), M> {
        self.inlet.post_one(message)
    }

    /// Policy B, as [`Address::offer`].
    pub fn offer(&self, message: M) -> bool {
        let delivered = self.post(message).is_ok();
        if !delivered {
            self.card().count_lost(1);
        }
        delivered
    }

    /// Policy R for one message: what does not fit is sent once there is room.
    pub fn deliver(self, message: M) {
        // There is room for one.
        let _kept = self.retry(1).send(message);
    }

    /// Policy Q, as [`Address::ask`].
    pub fn ask(&self, message: M, deadline: Duration) -> BoxFuture<'static, Result<M::Result, AskError>> {
        self.inlet.ask_one(message, deadline)
    }

    /// The receiver's card.
    pub fn card(&self) -> &Arc<Card> {
        self.inlet.card_of()
    }

    /// Policy R, in order: what does not fit waits with the sender, at most `limit` messages.
    pub fn retry(self, limit: usize) -> Retry<M> {
        Retry { state: Rc::new(RefCell::new(Waiting { queue: VecDeque::new(), draining: false })), outlet: self, limit }
    }

    /// Policy C: what does not fit waits with the sender, and a later message takes its place.
    pub fn latest(self) -> Latest<M> {
        Latest { inner: self.retry(1) }
    }
}

struct Waiting<M> {
    queue: VecDeque<M>,
    draining: bool,
}

/// Policy R: a sender that keeps what does not fit and sends it, in order, once there is room.
pub struct Retry<M: Message> {
    state: Rc<RefCell<Waiting<M>>>,
    outlet: Outlet<M>,
    limit: usize,
}

impl<M: Message> fmt::Debug for Retry<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Retry({} waiting for {})", self.waiting(), self.outlet.inlet.card_of().name)
    }
}

impl<M: Message> Retry<M> {
    /// Messages kept back. A sender stops reading its own source while this is not zero.
    pub fn waiting(&self) -> usize {
        self.state.borrow().queue.len()
    }
}

impl<M: Message + Send + 'static> Retry<M>
where
    M::Result: Send,
{
    /// Sends now or keeps the message for later.
    ///
    /// # Errors
    /// The message, when as many as the limit wait already: stop reading.
    pub fn send(&self, message: M) -> Result<(), M> {
        if self.state.borrow().queue.is_empty() {
            match self.outlet.post(message) {
                Ok(()) => Ok(()),
                Err(back) => self.keep(back),
            }
        } else {
            self.keep(message)
        }
    }

    fn keep(&self, message: M) -> Result<(), M> {
        let mut state = self.state.borrow_mut();
        if state.queue.len() >= self.limit {
            return Err(message);
        }
        state.queue.push_back(message);
        if !std::mem::replace(&mut state.draining, true) {
            actix::spawn(drain(self.state.clone(), self.outlet.clone()));
        }
        Ok(())
    }
}

/// Tries again every millisecond of real time while messages wait: a full mailbox is the receiver's trouble,
/// and its sender needs no faster news.
async fn drain<M: Message + Send + 'static>(state: Rc<RefCell<Waiting<M>>>, outlet: Outlet<M>)
where
    M::Result: Send,
{
    loop {
        tokio::time::sleep(Duration::from_millis(1)).await;
        let mut waiting = state.borrow_mut();
        while let Some(message) = waiting.queue.pop_front() {
            if let Err(back) = outlet.post(message) {
                waiting.queue.push_front(back);
                break;
            }
        }
        if waiting.queue.is_empty() {
            waiting.draining = false;
            return;
        }
    }
}

/// Policy C: the latest message wins; older ones that did not get through are gone without loss of meaning.
pub struct Latest<M: Message> {
    inner: Retry<M>,
}

impl<M: Message> fmt::Debug for Latest<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Latest({:?})", self.inner)
    }
}

impl<M: Message + Send + 'static> Latest<M>
where
    M::Result: Send,
{
    /// Sends `message`, in place of one that waits.
    pub fn send(&self, message: M) {
        self.send_merged(message, |_, new| new);
    }

    /// Sends `message`, merged with one that waits: for deltas, where latest alone would lose the rest.
    pub fn send_merged(&self, message: M, merge: impl FnOnce(M, M) -> M) {
        let waiting = self.inner.state.borrow_mut().queue.pop_front();
        let message = match waiting {
            Some(old) => merge(old, message),
            None => message,
        };
        // Room for one was just made.
        let _ = self.inner.send(message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_mailbox_is_known() {
        let card = Card::new("part".into(), "part", 5);
        assert!(!card.is_half_full());
        card.sent.store(7, Relaxed);
        card.handled.store(5, Relaxed);
        assert!(!card.is_half_full(), "two of five wait");
        card.handled.store(4, Relaxed);
        assert!(card.is_half_full(), "three of five wait");
    }
}
