//! A parent's children and what becomes of them. See the module above for the rules.

use super::desk::{Desk, Obituary, Player, Watch};
use crate::clock;
use crate::mailbox::{Address, Card};
use actix::prelude::*;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use tokio::sync::mpsc;

/// What a family does when a child panics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// Start it anew.
    OneForOne,
    /// Start it and every child hired after it anew, in the order they were hired.
    RestForOne,
    /// Let it go: its peer will come back (sessions).
    Temporary,
    /// End the process; `--monitor` starts it again.
    EndsProcess,
}

/// Name, kind, mailbox capacity and strategy of a child to be hired.
#[derive(Debug, Clone)]
pub struct Role {
    /// Unique among the living, shown by `actor/show`.
    pub name: String,
    /// The kind of actor.
    pub kind: &'static str,
    /// Messages its mailbox holds.
    pub capacity: usize,
    /// What a panic leads to.
    pub strategy: Strategy,
}

impl Role {
    /// A role, in one line.
    pub fn new(name: impl Into<String>, kind: &'static str, capacity: usize, strategy: Strategy) -> Role {
        Role { name: name.into(), kind, capacity, strategy }
    }
}

/// More restarts than this in `RESTART_WINDOW_MS` escalate.
const RESTARTS_AT_MOST: usize = 3;
const RESTART_WINDOW_MS: i64 = 10_000;
/// Deaths a family can hear of at once.
const OBITUARIES: usize = 256;

struct Child {
    id: u64,
    card: Arc<Card>,
    strategy: Strategy,
    /// Makes a new incarnation and moves the address to it.
    start: Box<dyn Fn()>,
}

struct State {
    name: String,
    /// Whose panic an escalation becomes; none at the top.
    owner: Option<Arc<Card>>,
    children: Vec<Child>,
    next_id: u64,
    recent_ms: VecDeque<i64>,
    obituaries: mpsc::Sender<Obituary>,
}

impl Drop for State {
    fn drop(&mut self) {
        for child in &self.children {
            child.card.ask_stop();
        }
    }
}

/// The children of one parent. Dropping the last handle stops them all.
#[derive(Clone)]
pub struct Family {
    state: Rc<RefCell<State>>,
}

/// A handle that does not keep the family alive, for actors that hire into their own parent's family.
#[derive(Clone)]
pub struct WeakFamily {
    state: Weak<RefCell<State>>,
}

impl WeakFamily {
    /// The family, if it still is.
    pub fn upgrade(&self) -> Option<Family> {
        self.state.upgrade().map(|state| Family { state })
    }
}

impl fmt::Debug for WeakFamily {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WeakFamily")
    }
}

impl fmt::Debug for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.borrow();
        write!(f, "Family({}: {} children)", state.name, state.children.len())
    }
}

impl Family {
    /// A family with nobody above it: an escalation aborts the process. Must be made inside an arbiter.
    pub fn top(name: &str) -> Family {
        Family::found(name.to_owned(), None)
    }

    /// The family of the actor at `desk`: an escalation makes that actor panic.
    pub fn of(desk: &Desk) -> Family {
        Family::found(desk.name().to_owned(), Some(desk.card().clone()))
    }

    fn found(name: String, owner: Option<Arc<Card>>) -> Family {
        let (obituaries, mut inbox) = mpsc::channel(OBITUARIES);
        let state = Rc::new(RefCell::new(State {
            name,
            owner,
            children: Vec::new(),
            next_id: 0,
            recent_ms: VecDeque::new(),
            obituaries,
        }));
        let weak = Rc::downgrade(&state);
        actix::spawn(async move {
            while let Some(obituary) = inbox.recv().await {
                match weak.upgrade() {
                    Some(state) => mourn(&state, &obituary),
                    None => return,
                }
            }
        });
        Family { state }
    }

    /// A handle that does not keep the family alive.
    pub fn downgrade(&self) -> WeakFamily {
        WeakFamily { state: Rc::downgrade(&self.state) }
    }

    /// Starts a child on this thread. `make` is called for each incarnation: it must make it from what
    /// survives (published views, configuration), not from the dead one.
    pub fn hire<A: Player>(&self, role: Role, make: impl Fn(Desk, &mut Context<A>) -> A + 'static) -> Address<A> {
        let capacity = role.capacity;
        self.enroll(role, move |address: &Address<A>, id, obituaries| {
            let card = address.card().clone();
            address.occupy(A::create(|ctx| {
                ctx.set_mailbox_capacity(capacity);
                ctx.spawn(Watch::new());
                make(Desk::new(card, id, obituaries), ctx)
            }));
        })
    }

    /// Starts a child that has one life, whatever its role says: a session is made from its connection.
    pub fn hire_once<A: Player>(
        &self,
        role: Role,
        make: impl FnOnce(Desk, &mut Context<A>) -> A + 'static,
    ) -> Address<A> {
        let capacity = role.capacity;
        let make = Cell::new(Some(make));
        let role = Role { strategy: Strategy::Temporary, ..role };
        self.enroll(role, move |address: &Address<A>, id, obituaries| {
            let card = address.card().clone();
            if let Some(make) = make.take() {
                address.occupy(A::create(|ctx| {
                    ctx.set_mailbox_capacity(capacity);
                    ctx.spawn(Watch::new());
                    make(Desk::new(card, id, obituaries), ctx)
                }));
            }
        })
    }

    /// Starts a child on another arbiter's thread.
    pub fn hire_on<A: Player>(
        &self,
        arbiter: ArbiterHandle,
        role: Role,
        make: impl Fn(Desk, &mut Context<A>) -> A + Send + Sync + 'static,
    ) -> Address<A> {
        let capacity = role.capacity;
        let make = Arc::new(make);
        self.enroll(role, move |address: &Address<A>, id, obituaries| {
            let card = address.card().clone();
            let make = make.clone();
            // As `Actor::start_in_arbiter`, but the mailbox has its size before the thread gets to the actor.
            let (tx, rx) = actix::dev::channel::channel(capacity);
            arbiter.spawn_fn(move || {
                let mut ctx = Context::with_receiver(rx);
                ctx.spawn(Watch::new());
                let actor = make(Desk::new(card, id, obituaries), &mut ctx);
                actix::spawn(ctx.into_future(actor));
            });
            address.occupy(actix::Addr::new(tx));
        })
    }

    fn enroll<A: Player>(
        &self,
        role: Role,
        start: impl Fn(&Address<A>, u64, mpsc::Sender<Obituary>) + 'static,
    ) -> Address<A> {
        let address = Address::vacant(Card::new(role.name, role.kind, role.capacity));
        let (id, obituaries) = {
            let mut state = self.state.borrow_mut();
            state.next_id += 1;
            (state.next_id, state.obituaries.clone())
        };
        let kept = address.clone();
        let start = Box::new(move || start(&kept, id, obituaries.clone()));
        start();
        let child = Child { id, card: address.card().clone(), strategy: role.strategy, start };
        self.state.borrow_mut().children.push(child);
        address
    }

    /// Stops a child and forgets it.
    pub fn dismiss(&self, card: &Arc<Card>) {
        card.ask_stop();
        self.forget(card);
    }

    /// Forgets a child that stops by itself: the last thing a session's parent does for it.
    pub fn forget(&self, card: &Arc<Card>) {
        self.state.borrow_mut().children.retain(|c| !Arc::ptr_eq(&c.card, card));
    }
}

/// Acts on one death.
fn mourn(state: &Rc<RefCell<State>>, obituary: &Obituary) {
    let now_ms = clock::now_ms();
    let mut family = state.borrow_mut();
    let Some(at) = family.children.iter().position(|c| c.id == obituary.child) else {
        return;
    };
    let (name, strategy) = (family.children[at].card.name().to_owned(), family.children[at].strategy);
    match strategy {
        Strategy::Temporary => {
            vlog::err!("supervise", "{name}: panicked; its peer may return");
            family.children.remove(at);
            return;
        }
        Strategy::EndsProcess => {
            vlog::emer!("supervise", "{name}: panicked; nothing goes on without it, aborting");
            std::process::abort();
        }
        Strategy::OneForOne | Strategy::RestForOne => {}
    }
    while family.recent_ms.front().is_some_and(|at| now_ms - at >= RESTART_WINDOW_MS) {
        family.recent_ms.pop_front();
    }
    family.recent_ms.push_back(now_ms);
    if family.recent_ms.len() > RESTARTS_AT_MOST {
        family.recent_ms.clear();
        match &family.owner {
            Some(owner) => {
                vlog::err!("supervise", "{name}: panicked too often; {} falls with it", owner.name());
                owner.ask_panic();
            }
            None => {
                vlog::emer!("supervise", "{name}: panicked too often, aborting");
                std::process::abort();
            }
        }
        return;
    }
    vlog::warn!("supervise", "{name}: panicked; starting it anew");
    let last = if strategy == Strategy::RestForOne { family.children.len() } else { at + 1 };
    for child in &family.children[at + 1..last] {
        child.card.ask_stop();
    }
    restart(&family.children[at..last]);
}

fn restart(children: &[Child]) {
    for child in children {
        child.card.reborn();
        (child.start)();
    }
}
