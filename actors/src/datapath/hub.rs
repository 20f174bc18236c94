//! The main thread's part in the others: it makes them, deals out queues to them, and has them follow its flow table.
//!
//! All that one is told goes by one line, in order: a flow is there before the answer to the packet that asked for it,
//! a port before its queues. A queue moves by way of the main thread; what it holds waits in the kernel meanwhile. A
//! thread that was started anew is told everything again, and the ports whose queues fell with it are opened anew. What
//! it counted the main thread counts from then on ([`legacy`]); should that be lost, all flows go, lest one counts
//! backwards.

use actix::prelude::*;
use dp::FlowEdit;
use flow::{FlowReported, OdpPort};
use futures::future::{join, join_all};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use tokio::sync::oneshot;

use super::early::Successor;
use super::{Datapath, Owner, PATIENCE, legacy, now_us};
use crate::mailbox::{Address, Retry};
use crate::msg::datapath::*;
use crate::msg::switch::QueuesLost;
use crate::supervise::{Desk, Family, Role, Strategy};

/// Orders that fit a thread's mailbox, and that may wait beside it.
const MAILBOX: usize = 4096;
const ORDERS_AT_MOST: usize = 16_384;

type Name = (OdpPort, u32);

/// What a thread that leaves has counted.
type Will = (Vec<FlowReported>, DatapathReport);

/// A thread other than the main one.
struct Thread {
    address: Address<Datapath>,
    arbiter: Arbiter,
    orders: Retry<Order>,
    /// Its number in tickets.
    number: u16,
    /// Where it leaves what it counted, should it die.
    place: legacy::Place,
    /// How often it died and what it had counted became the main thread's.
    lives: u64,
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.arbiter.stop();
    }
}

impl Thread {
    fn order(&self, order: Order) {
        if self.orders.send(order).is_err() {
            let card = self.address.card();
            vlog::err!("dpif_netdev", "{}: does not keep up, and is started anew", card.name());
            card.ask_panic();
        }
    }

    /// Has it give up its flows, and say all that it counted.
    fn ask_will(&self) -> impl Future<Output = Will> + use<> {
        let (told, flows) = oneshot::channel();
        self.order(Order::Edit { edits: Arc::new(vec![FlowEdit::Flush]), removed: Some(told) });
        let address = self.address.clone();
        async move {
            // One that dies over it leaves nothing.
            let flows = flows.await.unwrap_or_default();
            (flows, address.ask(ReadStats, PATIENCE).await.unwrap_or_default())
        }
    }
}

/// Where a queue is that the main thread does not poll.
enum Place {
    /// At the thread of a processor.
    At(u32),
    /// On its way from one thread to another.
    Moving,
    /// Nowhere: nobody may poll it.
    Nowhere(QueueParts),
}

/// The other threads, and who has what.
#[derive(Default)]
pub(super) struct Hub {
    family: Option<Family>,
    threads: BTreeMap<u32, Thread>,
    places: BTreeMap<Name, Place>,
    /// Who is to have which queue; all others the main thread.
    pollers: BTreeMap<Name, Option<u32>>,
    /// Queues that are to take the place of others, which are on their way here.
    successors: BTreeMap<Name, (QueueParts, Arc<AtomicBool>)>,
}

impl Hub {
    pub(super) fn new(desk: &Desk) -> Self {
        Self { family: Some(Family::of(desk)), ..Self::default() }
    }

    /// The threads by processor.
    pub(super) fn addresses(&self) -> BTreeMap<u32, Address<Datapath>> {
        self.threads.iter().map(|(core, thread)| (*core, thread.address.clone())).collect()
    }

    /// The threads, and of how many of their lives the main thread has what they counted.
    pub(super) fn lives(&self) -> Vec<(Address<Datapath>, u64)> {
        self.threads.values().map(|thread| (thread.address.clone(), thread.lives)).collect()
    }

    /// Tells every thread.
    pub(super) fn tell(&self, order: impl Fn() -> Order) {
        self.threads.values().for_each(|thread| thread.order(order()));
    }

    /// Asks the thread that polls a queue; `None`: it is the main one, or none.
    pub(super) fn ask_poller<T>(
        &self,
        port: OdpPort,
        number: u32,
        order: impl FnOnce(oneshot::Sender<T>) -> Order,
    ) -> Option<oneshot::Receiver<T>> {
        let Some(Place::At(core)) = self.places.get(&(port, number)) else { return None };
        let (answer, wait) = oneshot::channel();
        self.threads.get(core)?.order(order(answer));
        Some(wait)
    }

    /// Passes an answer on to the thread that asked; gives it back if that is this one, or gone.
    pub(super) fn pass_on(&self, m: PacketExecute) -> Option<PacketExecute> {
        let asker = m.answered.first().map_or(0, |(_, ticket)| ticket.thread);
        match self.threads.values().find(|thread| thread.number == asker) {
            Some(thread) => {
                thread.order(Order::Execute(m));
                None
            }
            None => Some(m),
        }
    }

    /// A port goes, with its queues, wherever they are.
    pub(super) fn detach(&mut self, port: OdpPort) {
        self.places.retain(|(of, _), _| *of != port);
        self.successors.retain(|(of, _), _| *of != port);
        self.tell(|| Order::Detach(port));
    }

    fn free_number(&self) -> u16 {
        (1..u16::MAX).find(|n| self.threads.values().all(|t| t.number != *n)).unwrap_or(u16::MAX)
    }
}

/// Threads.
impl Datapath {
    fn hire(&mut self, core: u32, ctx: &Context<Self>) {
        let Some(family) = &self.hub.family else { return };
        let number = self.hub.free_number();
        let config = dp::Config { thread: number, ..*self.engine.config() };
        let (common, arbiter) = (self.engine.common(), Arbiter::new());
        let own = Address::of_running(ctx.address(), self.desk.card().clone()).outlet::<ThreadReturned>();
        let place = legacy::Place::default();
        let (kernel, low_latency) = (self.owner.kernel.clone(), self.owner.low_latency.clone());
        let news = (own, Owner { place: place.clone(), kernel, low_latency, ..Owner::default() });
        let name = format!("{} core {core}", self.desk.name());
        let role = Role::new(name, "datapath", MAILBOX, Strategy::OneForOne);
        let address = family.hire_on(arbiter.handle(), role, move |desk, ctx| {
            Datapath::pmd(desk, (config, core), common.clone(), &news, ctx)
        });
        let orders = address.outlet::<Order>().retry(ORDERS_AT_MOST);
        self.hub.threads.insert(core, Thread { address, arbiter, orders, number, place, lives: 0 });
        self.engine.keep_journal(true);
        self.instruct(core);
    }

    /// Tells a thread that knows nothing of everything but its queues, and flows, which it will ask for.
    fn instruct(&self, core: u32) {
        let Some(thread) = self.hub.threads.get(&core) else { return };
        thread.order(Order::Configure(*self.engine.config()));
        thread.order(Order::KeepOutOfEmc(self.engine.kept_out_of_emc().clone()));
        for (id, members) in self.engine.bonds() {
            thread.order(Order::Bond(BondSet { id, members: Some(members.to_vec()) }));
        }
        thread.order(Order::Tunnels(TunnelsAre(self.tunnels.values().cloned().collect())));
        self.ports.keys().for_each(|port| self.introduce_to(thread, *port));
    }

    fn introduce_to(&self, thread: &Thread, port: OdpPort) {
        let Some(of) = self.ports.get(&port) else { return };
        let shared = self.engine.share_port(port);
        if shared.is_none() {
            vlog::warn!("dpif_netdev", "{}: {} cannot send by it", of.name, thread.address.card().name());
        }
        let (tx, watcher) = shared.unzip();
        thread.order(Order::Attach { port, name: of.name.clone(), tx, bridge: of.bridge.clone() });
        if let Some(watcher) = watcher.flatten() {
            thread.order(Order::Watch(PortWatch { port, watcher: Some(watcher) }));
        }
    }

    /// Tells all threads of a port.
    pub(super) fn introduce(&self, port: OdpPort) {
        self.hub.threads.values().for_each(|thread| self.introduce_to(thread, port));
    }

    /// Has one thread make the changes that the flow table has had.
    pub(super) fn pass_on_edits(&mut self, to: u16) {
        let edits = self.engine.take_journal();
        let thread = self.hub.threads.values().find(|thread| thread.number == to);
        if let Some(thread) = thread.filter(|_| !edits.is_empty()) {
            thread.order(Order::Edit { edits: Arc::new(edits), removed: None });
        }
    }

    /// Has all threads make the changes that the flow table has had.
    pub(super) fn spread(&mut self) {
        let edits = self.engine.take_journal();
        if !edits.is_empty() {
            let edits = Arc::new(edits);
            self.hub.tell(|| Order::Edit { edits: edits.clone(), removed: None });
        }
    }

    /// The same; each thread will say what flows that go have counted there.
    pub(super) fn spread_and_ask(&mut self) -> Vec<oneshot::Receiver<Vec<FlowReported>>> {
        let edits = Arc::new(self.engine.take_journal());
        let threads = self.hub.threads.values().filter(|_| !edits.is_empty());
        let asked = threads.map(|thread| {
            let (told, wait) = oneshot::channel();
            thread.order(Order::Edit { edits: edits.clone(), removed: Some(told) });
            wait
        });
        asked.collect()
    }
}

/// Queues.
impl Datapath {
    /// Puts a queue in the place of one, wherever that is: it comes back, and both are dealt out as one.
    pub(super) fn succeed(
        &mut self,
        name: Name,
        next: QueueParts,
        is_settled: Arc<AtomicBool>,
        ctx: &mut Context<Self>,
    ) {
        if !self.ports.contains_key(&name.0) {
            return;
        }
        self.hub.successors.insert(name, (next, is_settled));
        if let Some(queue) = self.unseat(name.0, name.1) {
            return self.deal(name.0, name.1, queue);
        }
        match self.hub.places.get(&name) {
            Some(Place::At(core)) => {
                let returned = self.call_back(*core, name, &BTreeMap::new());
                ctx.spawn(actix::fut::wrap_future::<_, Self>(futures::future::OptionFuture::from(returned)).map(
                    |returned, this, _| {
                        if let Some((name, attachment, queue)) = returned {
                            this.take_back(name, attachment, queue);
                        }
                    },
                ));
            }
            Some(Place::Nowhere(_)) => {
                if let Some(Place::Nowhere(queue)) = self.hub.places.remove(&name) {
                    self.deal(name.0, name.1, queue);
                }
            }
            // It is on its way back already.
            Some(Place::Moving) => {}
            None => _ = self.hub.successors.remove(&name),
        }
    }

    /// Gives a queue to whom it is due.
    pub(super) fn deal(&mut self, port: OdpPort, number: u32, queue: QueueParts) {
        let queue = match self.hub.successors.remove(&(port, number)) {
            Some((next, is_settled)) => Successor::follow(queue, next, is_settled),
            None => queue,
        };
        let place = match self.hub.pollers.get(&(port, number)) {
            None => return self.seat(port, number, queue),
            Some(core) => match core.and_then(|core| self.hub.threads.get(&core).map(|thread| (core, thread))) {
                Some((core, thread)) => {
                    thread.order(Order::Poll { port, number, queue });
                    Place::At(core)
                }
                None => Place::Nowhere(queue),
            },
        };
        self.hub.places.insert((port, number), place);
    }

    /// Moves every queue to whom it is due, and lets threads go that are not needed once theirs are back.
    fn deal_anew(&mut self, leaving: BTreeMap<u32, Thread>, ctx: &mut Context<Self>) {
        let here = self.ports.iter().flat_map(|(port, of)| of.queues.iter().map(|q| (*port, q.number)));
        let due_elsewhere: Vec<Name> = here.filter(|name| self.hub.pollers.contains_key(name)).collect();
        for (port, number) in due_elsewhere {
            if let Some(queue) = self.unseat(port, number) {
                self.deal(port, number, queue);
            }
        }
        let mut returns = Vec::new();
        for name in self.hub.places.keys().copied().collect::<Vec<_>>() {
            let due = self.hub.pollers.get(&name).copied();
            match self.hub.places.get(&name) {
                Some(Place::At(core)) if due != Some(Some(*core)) => {
                    returns.extend(self.call_back(*core, name, &leaving))
                }
                Some(Place::Nowhere(_)) if due != Some(None) => {
                    if let Some(Place::Nowhere(queue)) = self.hub.places.remove(&name) {
                        self.deal(name.0, name.1, queue);
                    }
                }
                _ => {}
            }
        }
        let wills = leaving.values().map(Thread::ask_will).collect::<Vec<_>>();
        let returned = actix::fut::wrap_future::<_, Self>(join(join_all(returns), join_all(wills)));
        ctx.spawn(returned.map(move |(returned, wills), this, _| {
            for (name, attachment, queue) in returned {
                this.take_back(name, attachment, queue);
            }
            for (flows, report) in wills {
                this.inherit(flows, report.ports.into_iter().map(|(port, stats, _)| (port, stats)));
            }
            if let Some(family) = &this.hub.family {
                leaving.values().for_each(|thread| family.dismiss(thread.address.card()));
            }
            this.hub.tell(|| Order::Settled);
            this.woken.nudge();
        }));
    }

    /// Counters of flows and ports must not go backwards for a thread that left.
    fn inherit(&mut self, flows: Vec<FlowReported>, ports: impl IntoIterator<Item = (OdpPort, dp::PortStats)>) {
        for flow in flows {
            self.engine.credit(flow.ufid, flow.stats);
        }
        for (port, stats) in ports {
            self.engine.credit_port(port, stats);
        }
    }

    /// Asks a thread for a queue back.
    fn call_back(
        &mut self,
        core: u32,
        name: Name,
        leaving: &BTreeMap<u32, Thread>,
    ) -> Option<impl Future<Output = (Name, u64, Option<QueueParts>)> + use<>> {
        let thread = leaving.get(&core).or_else(|| self.hub.threads.get(&core))?;
        let attachment = self.ports.get(&name.0)?.attachment;
        let (to, back) = oneshot::channel();
        thread.order(Order::Return { port: name.0, number: name.1, to });
        self.hub.places.insert(name, Place::Moving);
        Some(async move { (name, attachment, back.await.ok()) })
    }

    /// A queue came back: if its port is still the one it was, it goes on to whom it is due.
    fn take_back(&mut self, name: Name, attachment: u64, queue: Option<QueueParts>) {
        if self.ports.get(&name.0).is_none_or(|port| port.attachment != attachment) {
            return;
        }
        self.hub.places.remove(&name);
        match queue {
            Some(queue) => self.deal(name.0, name.1, queue),
            // Its thread died meanwhile.
            None => self.lose(BTreeSet::from([name.0])),
        }
    }

    /// Has ports opened anew whose queues are gone.
    fn lose(&self, ports: BTreeSet<OdpPort>) {
        let name = self.desk.name();
        let datapath = name.strip_prefix("datapath ").unwrap_or(name).to_owned();
        if let Some(losses) = &self.owner.losses
            && !ports.is_empty()
            && !losses.offer(QueuesLost { datapath, ports })
        {
            vlog::err!("dpif_netdev", "{name}: ports without queues are not opened anew");
        }
    }
}

impl Handler<Tune> for Datapath {
    type Result = ();

    fn handle(&mut self, m: Tune, ctx: &mut Context<Self>) {
        self.desk.received();
        self.configure(dp::Config {
            emc_insert_inv_prob: m.emc_insert_inv_prob,
            smc: m.smc,
            kernel_path: m.kernel_path,
            measures: m.measures,
            ..*self.engine.config()
        });
        if m.emc_off != *self.engine.kept_out_of_emc() {
            self.hub.tell(|| Order::KeepOutOfEmc(m.emc_off.clone()));
            self.engine.keep_out_of_emc(m.emc_off);
        }
        if m.offload {
            let dummies = self.ports.iter().filter(|(number, _)| self.dummies.contains_key(number));
            self.offload.turn_on(dummies.map(|(_, port)| &port.name));
        }
        self.hub.pollers = m.pollers;
        let (stay, leaving) = std::mem::take(&mut self.hub.threads).into_iter().partition(|(c, _)| m.cores.contains(c));
        self.hub.threads = stay;
        for core in m.cores {
            if !self.hub.threads.contains_key(&core) {
                self.hire(core, ctx);
            }
        }
        self.engine.keep_journal(!self.hub.threads.is_empty());
        self.deal_anew(leaving, ctx);
    }
}

impl Handler<ThreadReturned> for Datapath {
    type Result = ();

    fn handle(&mut self, m: ThreadReturned, _: &mut Context<Self>) {
        self.desk.received();
        let ports: BTreeSet<OdpPort> = self
            .hub
            .places
            .iter()
            .filter(|(_, p)| matches!(p, Place::At(core) if *core == m.core))
            .map(|(n, _)| n.0)
            .collect();
        let thread = self.hub.threads.get_mut(&m.core);
        let left = thread.and_then(|thread| {
            thread.lives = m.lives;
            thread.place.take()
        });
        match left {
            Some(legacy) => {
                self.drops.inherit(&legacy.stats);
                self.engine.credit_thread(legacy.stats);
                let ports = legacy.ports.into_iter().map(|(port, (_, stats))| (port, stats));
                self.inherit(legacy.flows, ports);
            }
            None => {
                self.engine.flush();
                self.spread();
            }
        }
        self.instruct(m.core);
        self.lose(ports);
        self.engine.tick(now_us());
    }
}
