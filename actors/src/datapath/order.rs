//! What the main thread has another one do.

use std::sync::Arc;

use actix::prelude::*;
use dp::FlowEdit;
use flow::{FlowReported, OdpPort};

use super::{Datapath, Port, host_tunnel, now_us};
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
            Order::ClearMetrics(core) => {
                if self.pmd.is_some_and(|pmd| core.is_none_or(|core| core == pmd.core)) {
                    self.metrics = self.metrics.take().map(|_| dp::perf::Metrics::new(*self.engine.stats()));
                }
            }
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
        self.take_in(port, Port { name, queues: Vec::new(), bridge, attachment: 0, truncated: 0 }, tx);
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
            let known = gone.remove(&tunnel.port);
            self.engine.set_tunnel(tunnel.port, Some(tunnel.kind));
            self.engine.set_tunnel_by_host(tunnel.port, tunnel.by_host.is_some());
            if self.pmd.is_none() {
                self.open_by_host(&tunnel, known);
            }
            self.tunnels.insert(tunnel.port, tunnel);
        }
        for (port, tunnel) in gone {
            self.engine.set_tunnel(port, None);
            if tunnel.by_host.is_some() && self.pmd.is_none() {
                self.detach(port);
            }
        }
    }

    /// Has the host's stack send and receive a tunnel port's packets, if that is whose they are and it does not already.
    fn open_by_host(&mut self, tunnel: &TunnelPort, known: Option<TunnelPort>) {
        let Some((name, sockets)) = &tunnel.by_host else { return };
        if known.and_then(|known| known.by_host).is_some_and(|(_, present)| Arc::ptr_eq(&present, sockets)) {
            return;
        }
        let (queues, tx) = match host_tunnel::open(sockets) {
            Ok(parts) => parts,
            Err(error) => return vlog::warn!("datapath", "{name}: cannot send or receive: {error}"),
        };
        let attachment = next_attachment();
        let port =
            Port { name: name.clone(), queues: Vec::new(), bridge: tunnel.bridge.clone(), attachment, truncated: 0 };
        self.take_in(tunnel.port, port, Some(tx));
        self.introduce(tunnel.port);
        for (number, queue) in (0u32..).zip(queues) {
            self.deal(tunnel.port, number, queue);
        }
        self.woken.nudge();
    }

    pub(super) fn set_bond(&mut self, bond: &BondSet) {
        match bond.members.as_deref().map(TryInto::try_into) {
            Some(Ok(members)) => self.engine.set_bond(bond.id, members),
            _ => drop(self.engine.delete_bond(bond.id)),
        }
    }
}
