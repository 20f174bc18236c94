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
        let attachment = self.hub.next_attachment();
        let port = Port { name: m.name, queues: Vec::new(), bridge: m.bridge, attachment };
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
