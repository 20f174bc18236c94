//! What the main thread has another one do.

use actix::prelude::*;
use dp::FlowEdit;
use flow::{FlowReported, OdpPort};

use super::{Datapath, Port, now_us};
use crate::mailbox::Outlet;
use crate::msg::bridge::Upcalls;
use crate::msg::datapath::*;

impl Handler<Order> for Datapath {
    type Result = ();

    fn handle(&mut self, m: Order, _: &mut Context<Self>) {
        self.desk.received();
        match m {
            Order::Attach { port, name, tx, bridge } => self.know(port, name, tx, bridge),
            Order::Detach(port) => self.detach(port),
            Order::Watch(PortWatch { port, watcher }) => drop(self.engine.watch_port(port, watcher)),
            Order::Poll { port, number, queue } => self.seat(port, number, queue),
            Order::Return { port, number, to } => {
                if let Some(queue) = self.unseat(port, number) {
                    // Who asked is gone with all of the datapath.
                    let _ = to.send(queue);
                }
            }
            Order::Poke(port, done) => {
                self.poke(port);
                let _ = done.send(());
            }
            Order::Configure(config) => self.set_config(config),
            Order::KeepOutOfEmc(ports) => self.engine.keep_out_of_emc(ports),
            Order::Recall(port) => self.engine.recall_port(port),
            Order::Bond(bond) => self.set_bond(&bond),
            Order::Tunnels(tunnels) => self.set_tunnels(tunnels),
            Order::Edit { edits, removed } => {
                let gone = self.follow(&edits, removed.is_some());
                if let Some(removed) = removed {
                    let _ = removed.send(gone);
                }
            }
            Order::Execute(answer) => self.execute(answer),
            Order::Settled => {
                if let Some(pmd) = &mut self.pmd {
                    pmd.settled_us = now_us();
                }
            }
        }
    }
}

impl Datapath {
    fn know(&mut self, port: OdpPort, name: String, tx: Option<Box<dyn dp::TxPort>>, bridge: Outlet<Upcalls>) {
        self.take_in(port, Port { name, queues: Vec::new(), bridge, attachment: 0 }, tx);
    }

    /// Makes changes of flows; gives what those that go have counted, if that is wanted.
    fn follow(&mut self, edits: &[FlowEdit], is_wanted: bool) -> Vec<FlowReported> {
        let mut gone = Vec::new();
        for edit in edits {
            if is_wanted && matches!(edit, FlowEdit::Flush) {
                self.engine.walk(dp::FlowCursor::START, usize::MAX, |flow| gone.push(flow));
            }
            let removed = self.engine.follow(edit);
            gone.extend(removed.map(|f| FlowReported::last(f.entry.ufid, f.entry.edition, f.stats)));
        }
        gone
    }

    pub(super) fn set_tunnels(&mut self, tunnels: TunnelsAre) {
        let mut gone = std::mem::take(&mut self.tunnels);
        for tunnel in tunnels.0 {
            gone.remove(&tunnel.port);
            self.engine.set_tunnel(tunnel.port, Some(tunnel.kind));
            self.tunnels.insert(tunnel.port, tunnel);
        }
        gone.into_keys().for_each(|port| self.engine.set_tunnel(port, None));
    }

    pub(super) fn set_bond(&mut self, bond: &BondSet) {
        match bond.members.as_deref().map(TryInto::try_into) {
            Some(Ok(members)) => self.engine.set_bond(bond.id, members),
            _ => drop(self.engine.delete_bond(bond.id)),
        }
    }
}
