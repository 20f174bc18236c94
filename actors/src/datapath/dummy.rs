//! Packets that commands put into dummy ports.

use actix::prelude::*;
use flow::OdpPort;

use super::Datapath;
use super::adapt::{DummyInbox, DummyQueues};
use super::flows::later;
use crate::msg::datapath::{Inject, Order, QueueCounts};

/// A dummy port's inbox, so that packets can be injected (R).
#[derive(Message)]
#[rtype(result = "()")]
pub struct DummyAttach {
    /// Port.
    pub port: OdpPort,
    /// The inboxes of its queues.
    pub inboxes: Vec<DummyInbox>,
    /// The queues by which it sends.
    pub sending: DummyQueues,
}

/// A dummy that is a port.
pub(super) struct Attached {
    inboxes: Vec<DummyInbox>,
    sending: DummyQueues,
}

impl Attached {
    /// What its queues have carried.
    pub(super) fn counted(&self) -> QueueCounts {
        QueueCounts { received: self.inboxes.iter().map(DummyInbox::taken).collect(), sent: self.sending.sent() }
    }
}

impl Handler<DummyAttach> for Datapath {
    type Result = ();

    fn handle(&mut self, m: DummyAttach, _: &mut Context<Self>) {
        self.desk.received();
        let is_new = self.dummies.insert(m.port, Attached { inboxes: m.inboxes, sending: m.sending }).is_none();
        if let Some(port) = self.ports.get(&m.port).filter(|_| is_new) {
            self.offload.greet(&port.name);
        }
    }
}

impl Handler<Inject> for Datapath {
    type Result = Response<()>;

    fn handle(&mut self, m: Inject, _: &mut Context<Self>) -> Self::Result {
        self.desk.received();
        let Some(inbox) = self.dummies.get(&m.port).and_then(|dummy| dummy.inboxes.get(m.queue as usize)) else {
            return Response::reply(());
        };
        for packet in m.packets {
            self.offload.receive(m.port, packet.data());
            inbox.push(packet);
        }
        if let Some(poked) = self.hub.ask_poller(m.port, m.queue, |done| Order::Poke(m.port, done)) {
            return later(async move {
                // A thread that dies over it has lost them.
                let _ = poked.await;
            });
        }
        self.poke(m.port);
        Response::reply(())
    }
}

impl Datapath {
    /// Polls a port's queues until nothing is left to do.
    pub(super) fn poke(&mut self, port: OdpPort) {
        let queues = self.ports.get(&port).map(|p| p.queues.iter().map(|q| q.id).collect::<Vec<_>>());
        for queue in queues.unwrap_or_default() {
            self.activate(port, queue);
        }
        while self.work() {}
    }
}
