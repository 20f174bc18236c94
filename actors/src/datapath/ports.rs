//! Ports and their queues come and go.
//!
//! Every thread knows every port, as any may have to send by it; a queue is where [`super::hub`] has dealt it.

use actix::prelude::*;
use dp::{Load, QueueId};
use flow::OdpPort;

use super::{Datapath, Port, PortQueue, now_us, wake};
use crate::linger::Linger;
use crate::msg::datapath::*;
use crate::unixctl::coverage::Counter;

static ADDED: Counter = Counter::new("dpif_port_add");
static REMOVED: Counter = Counter::new("dpif_port_del");

impl Handler<PortAttach> for Datapath {
    type Result = ();

    fn handle(&mut self, m: PortAttach, _: &mut Context<Self>) {
        self.desk.received();
        ADDED.add();
        let port = Port { name: m.name, queues: Vec::new(), bridge: m.bridge, attachment: m.attachment, truncated: 0 };
        self.take_in(m.port, port, Some(m.tx));
        self.introduce(m.port);
        for (number, queue) in (0u32..).zip(m.queues) {
            self.deal(m.port, number, queue);
        }
        self.woken.nudge();
    }
}

impl Datapath {
    /// Lets a port go, with its queues, here and in the other threads.
    pub(super) fn detach(&mut self, port: OdpPort) {
        self.hub.detach(port);
        let Some(old) = self.ports.remove(&port) else { return };
        for queue in old.queues.iter().map(|q| q.id) {
            self.let_go(queue);
            self.engine.remove_queue(queue);
        }
        self.dummies.remove(&port);
        self.engine.remove_port(port);
    }

    fn let_go(&mut self, queue: QueueId) {
        self.active.retain(|a| a.queue != queue);
        self.companions.retain(|a| a.queue != queue);
    }

    /// Polls a port's queue from now on; one of a port that is gone goes as well.
    pub(super) fn seat(&mut self, port: OdpPort, number: u32, parts: QueueParts) {
        let Some(of) = self.ports.get_mut(&port) else { return };
        let id = self.engine.add_queue(port, number, parts.rx);
        let watch = parts.wake.map(|fd| wake::Watch::new(fd, (port, id), &self.woken)).transpose();
        let watch = watch.unwrap_or_else(|error| {
            vlog::warn!("datapath", "{}: cannot wait for packets: {error}", of.name);
            None
        });
        of.queues.push(PortQueue { id, number, watch, linger: Linger::default(), load: Load::new(now_us()) });
        self.activate(port, id);
        self.woken.nudge();
    }

    /// Polls a port's queue no longer: for another thread to do so.
    pub(super) fn unseat(&mut self, port: OdpPort, number: u32) -> Option<QueueParts> {
        let queues = &mut self.ports.get_mut(&port)?.queues;
        let at = queues.iter().position(|q| q.number == number)?;
        let PortQueue { id, watch, .. } = queues.remove(at);
        self.let_go(id);
        let mut rx = self.engine.remove_queue(id)?;
        rx.stay_awake();
        Some(QueueParts { rx, wake: watch.map(wake::Watch::into_fd) })
    }
}

impl Handler<PortDetach> for Datapath {
    type Result = ();

    fn handle(&mut self, m: PortDetach, _: &mut Context<Self>) {
        self.desk.received();
        if self.ports.get(&m.port).is_some_and(|port| port.attachment != m.attachment) {
            return;
        }
        REMOVED.add();
        self.inherited.remove(&m.port);
        self.detach(m.port);
    }
}

impl Handler<QueueFollows> for Datapath {
    type Result = ();

    fn handle(&mut self, m: QueueFollows, ctx: &mut Context<Self>) {
        self.desk.received();
        self.succeed((m.port, 0), m.queue, m.is_settled, ctx);
    }
}

impl Handler<PortPolicer> for Datapath {
    type Result = ();

    fn handle(&mut self, m: PortPolicer, _: &mut Context<Self>) {
        self.desk.received();
        self.engine.set_policer(m.port, m.config, now_us());
        self.hub.tell(|| Order::Recall(m.port));
    }
}

impl Handler<PortWatch> for Datapath {
    type Result = ();

    fn handle(&mut self, m: PortWatch, _: &mut Context<Self>) {
        self.desk.received();
        let share = || m.watcher.as_ref().and_then(|watcher| watcher.share());
        self.hub.tell(|| Order::Watch(PortWatch { port: m.port, watcher: share() }));
        self.engine.watch_port(m.port, m.watcher);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Owner, adapt::DummyQueue};
    use super::*;
    use crate::mailbox::Outlet;
    use crate::msg::bridge::Upcalls;
    use crate::supervise::{Desk, Family, Player, Role, Strategy};
    use tokio::sync::mpsc;

    /// A bridge that nothing comes to.
    struct Nobody(Desk);

    impl Actor for Nobody {
        type Context = Context<Self>;
    }

    impl Player for Nobody {
        fn desk(&mut self) -> &mut Desk {
            &mut self.0
        }
        fn wake(&mut self, _: i64, _: &mut Context<Self>) {}
    }

    impl Handler<Upcalls> for Nobody {
        type Result = ();
        fn handle(&mut self, _: Upcalls, _: &mut Context<Self>) {
            self.0.received();
        }
    }

    fn role(name: &str) -> Role {
        Role::new(name, "test", 4, Strategy::OneForOne)
    }

    impl Datapath {
        /// Has a port with one queue, and gives that.
        fn with_port(&mut self, number: OdpPort, bridge: &Outlet<Upcalls>) -> QueueId {
            let port = Port {
                name: format!("p{number}"),
                queues: Vec::new(),
                bridge: bridge.clone(),
                attachment: 0,
                truncated: 0,
            };
            self.take_in(number, port, None);
            self.seat(number, 0, QueueParts { rx: Box::new(DummyQueue::new().0), wake: None });
            self.ports[&number].queues[0].id
        }
    }

    /// What a look at a datapath tells, as it begins.
    fn seen<T: Send + 'static>(
        look: impl Fn(&mut Datapath, &Outlet<Upcalls>, &mut Context<Datapath>) -> T + Send + 'static,
    ) -> Option<T> {
        System::new().block_on(async {
            let family = Family::top("ports");
            let bridge = family.hire(role("nobody"), |desk, _| Nobody(desk)).outlet();
            let (tell, mut told) = mpsc::channel(1);
            let _datapath = family.hire(role("datapath"), move |desk, ctx| {
                let mut this = Datapath::new(desk, dp::Config::default(), Owner::default(), None, ctx);
                let _ = tell.try_send(look(&mut this, &bridge, ctx));
                this
            });
            told.recv().await
        })
    }

    /// A queue's number is used again: one that woke just before its port went must not stand in the place of the queue
    /// that has its number then, which nobody would listen to any more once it sleeps.
    #[test]
    fn what_woke_before_its_port_went_is_nobodys() {
        let told = seen(|this, bridge, _| {
            let gone = this.with_port(1, bridge);
            this.detach(1);
            // It is told of now, while others keep the thread busy.
            this.awake(vec![(1, gone)]);
            let heir = this.with_port(2, bridge);
            let names: Vec<_> = this.active.iter().map(|a| (a.port, a.queue)).collect();
            (gone == heir, names == [(2, heir)])
        });
        assert_eq!(told, Some((true, true)), "the number is used again, and the queue is its port's");
    }

    /// A thread that had no room for the news of an end may hear of it after the next beginning.
    #[test]
    fn an_attachment_outlives_the_late_end_of_an_earlier_one() {
        let told = seen(|this, bridge, ctx| {
            this.with_port(1, bridge);
            if let Some(port) = this.ports.get_mut(&1) {
                port.attachment = 8;
            }
            [7, 8].map(|attachment| {
                Handler::handle(this, PortDetach { port: 1, attachment }, ctx);
                this.ports.contains_key(&1)
            })
        });
        assert_eq!(told, Some([true, false]));
    }
}
