//! Flows are installed, changed, deleted and told of; packets come down.
//!
//! The main thread's table has all flows that there are. Another thread has those of them that its own packets asked for;
//! it follows every change, and adds what it counted where that is asked for.

use actix::prelude::*;
use dp::DumpedFlow;
use flow::{FlowReported, OdpPort, Ufid};
use futures::future::join_all;
use std::collections::{BTreeMap, HashMap};

use super::{Datapath, PATIENCE, now_us};
use crate::clock;
use crate::mailbox::Address;
use crate::msg::datapath::*;
use crate::unixctl::coverage::Counter;

static PUT: Counter = Counter::new("dpif_flow_put");
static DELETED: Counter = Counter::new("dpif_flow_del");
static EXECUTED: Counter = Counter::new("dpif_execute");
static FLUSHED: Counter = Counter::new("dpif_flow_flush");

impl Handler<FlowInstall> for Datapath {
    type Result = ();

    fn handle(&mut self, m: FlowInstall, _: &mut Context<Self>) {
        self.desk.received();
        for entry in &m.entries {
            match self.engine.install(entry, m.view_version) {
                Ok(()) if self.offload.is_on() => {
                    if let Some(name) = self.dummy(entry.key().in_port()).cloned() {
                        self.offload.put(entry, name);
                    }
                }
                Ok(()) => {}
                Err(error) => vlog::dbg!("datapath", "flow not installed: {error}"),
            }
        }
        // Other threads ask for themselves when they need them.
        self.pass_on_edits(m.thread);
    }
}

impl Handler<PacketExecute> for Datapath {
    type Result = ();

    fn handle(&mut self, m: PacketExecute, _: &mut Context<Self>) {
        self.desk.received();
        if let Some(m) = self.hub.pass_on(m) {
            self.execute(m);
        }
    }
}

impl Datapath {
    /// The name of a port that is a dummy.
    fn dummy(&self, port: OdpPort) -> Option<&String> {
        self.dummies.get(&port).and_then(|_| self.ports.get(&port)).map(|port| &port.name)
    }

    pub(super) fn execute(&mut self, m: PacketExecute) {
        let now_us = now_us();
        if m.answered.is_empty() {
            // Answers are no requests.
            EXECUTED.add_many(m.packets.len() as u64);
        }
        if !m.is_receipt {
            self.expectation.answered();
        }
        let before = self.upcalls.len();
        self.engine.execute(m.packets, now_us, &mut self.upcalls);
        let own = before..self.upcalls.len();
        if !m.answered.is_empty() {
            self.lines.answered(&m.bridge, now_us / 1000);
            if let Some(metrics) = self.metrics.as_mut().filter(|_| !m.is_receipt) {
                metrics.answered(now_us, m.answered.len());
            }
            self.engine.upcalls_answered(&m.answered, now_us, &mut self.upcalls);
        }
        self.tell();
        self.flush_upcalls_of(Some(&m.bridge), own);
    }
}

impl Handler<FlowModify> for Datapath {
    type Result = ();

    fn handle(&mut self, m: FlowModify, _: &mut Context<Self>) {
        self.desk.received();
        PUT.add_many(m.entries.len() as u64);
        for change in &m.entries {
            // A flow that went meanwhile needs no change.
            if self.engine.modify(change, m.view_version).is_ok() {
                self.offload.modify(change.ufid);
            }
        }
        self.spread();
    }
}

impl Handler<FlowDelete> for Datapath {
    type Result = Response<Vec<DumpedFlow>>;

    fn handle(&mut self, m: FlowDelete, _: &mut Context<Self>) -> Self::Result {
        self.desk.received();
        self.engine.fold(now_us());
        let mut gone: Vec<DumpedFlow> = match m.ufids {
            Some(ufids) => ufids.into_iter().filter_map(|u| self.engine.delete(u)).collect(),
            None => {
                FLUSHED.add();
                let (flows, _) = self.engine.dump(dp::FlowCursor::START, usize::MAX);
                self.engine.flush();
                flows
            }
        };
        DELETED.add_many(gone.len() as u64);
        self.offload.delete(gone.iter().map(|flow| flow.entry.ufid));
        let counted = self.spread_and_ask();
        if counted.is_empty() {
            return Response::reply(gone);
        }
        later(async move {
            let counted = join_all(counted.into_iter().map(|told| tokio::time::timeout(PATIENCE, told))).await;
            add_up(&mut gone, counted.into_iter().flatten().flatten());
            gone
        })
    }
}

impl Handler<FlowDump> for Datapath {
    type Result = Response<(Vec<DumpedFlow>, Option<dp::FlowCursor>)>;

    fn handle(&mut self, m: FlowDump, _: &mut Context<Self>) -> Self::Result {
        self.desk.received();
        self.engine.fold(now_us());
        let (mut flows, next) = self.engine.dump(m.cursor, m.max);
        let threads = self.hub.addresses();
        if threads.is_empty() {
            return Response::reply((flows, next));
        }
        later(async move {
            let names = flows.iter().map(|f| f.entry.ufid).collect();
            add_up(&mut flows, ask(&threads, names).await);
            (flows, next)
        })
    }
}

impl Handler<FlowReports> for Datapath {
    type Result = Response<Option<(Vec<FlowReported>, usize, Option<dp::FlowCursor>)>>;

    fn handle(&mut self, m: FlowReports, _: &mut Context<Self>) -> Self::Result {
        self.desk.received();
        self.engine.fold(now_us());
        let mut flows = Vec::new();
        let next = self.engine.walk(m.cursor, m.max, |flow| flows.push(flow));
        let (total, threads) = (self.engine.n_flows(), self.hub.lives());
        if threads.is_empty() {
            return Response::reply(Some((flows, total, next)));
        }
        later(async move {
            let names = flows.iter().map(|f| f.ufid).collect();
            add_all(&mut flows, names, threads).await.then_some((flows, total, next))
        })
    }
}

impl Handler<ReportFlows> for Datapath {
    type Result = Response<Option<Vec<FlowReported>>>;

    fn handle(&mut self, m: ReportFlows, _: &mut Context<Self>) -> Self::Result {
        self.desk.received();
        self.engine.fold(now_us());
        let mut flows: Vec<FlowReported> = m.0.iter().filter_map(|ufid| self.engine.report(*ufid)).collect();
        let threads = self.hub.lives();
        if threads.is_empty() {
            return Response::reply(Some(flows));
        }
        later(async move { add_all(&mut flows, m.0, threads).await.then_some(flows) })
    }
}

impl Handler<FlowShares> for Datapath {
    type Result = Response<BTreeMap<Option<u32>, Vec<FlowReported>>>;

    fn handle(&mut self, m: FlowShares, _: &mut Context<Self>) -> Self::Result {
        self.desk.received();
        self.engine.fold(now_us());
        let own = m.0.iter().filter_map(|ufid| self.engine.report(*ufid)).collect();
        let mut shares = BTreeMap::from([(None, own)]);
        let threads = self.hub.addresses();
        later(async move {
            let counted = ask(&threads, m.0).await;
            shares.extend(threads.into_keys().map(Some).zip(counted));
            shares
        })
    }
}

/// An answer that other threads have their part in. Until it is given the program is not at rest.
pub(super) fn later<T: 'static>(answer: impl Future<Output = T> + 'static) -> Response<T> {
    let at_work = clock::at_work();
    Response::fut(async move {
        let answer = answer.await;
        drop(at_work);
        answer
    })
}

/// What each of the threads, in their order, has counted of flows.
async fn ask(threads: &BTreeMap<u32, Address<Datapath>>, names: Vec<Ufid>) -> Vec<Vec<FlowReported>> {
    let asked = threads.values().map(|thread| thread.ask(ReportFlows(names.clone()), PATIENCE));
    // One between two lives has counted nothing.
    join_all(asked).await.into_iter().map(|told| told.ok().flatten().unwrap_or_default()).collect()
}

/// Adds what threads counted to what the main thread had of so many of their lives. False if one has died since, or does not
/// answer: what it counted is in neither, and sums that fall and rise again would be credited twice.
async fn add_all(flows: &mut [FlowReported], names: Vec<Ufid>, threads: Vec<(Address<Datapath>, u64)>) -> bool {
    let asked = threads.iter().map(|(thread, _)| thread.ask(ReportFlows(names.clone()), PATIENCE));
    let told: Option<Vec<_>> = join_all(asked).await.into_iter().map(|told| told.ok().flatten()).collect();
    let Some(told) = told else { return false };
    add_up(flows, told);
    threads.iter().all(|(thread, lives)| thread.card().counts().restarts == *lives)
}

/// A flow with its counters.
trait Counted {
    fn parts(&mut self) -> (Ufid, &mut flow::FlowStats);
}

impl Counted for DumpedFlow {
    fn parts(&mut self) -> (Ufid, &mut flow::FlowStats) {
        (self.entry.ufid, &mut self.stats)
    }
}

impl Counted for FlowReported {
    fn parts(&mut self) -> (Ufid, &mut flow::FlowStats) {
        (self.ufid, &mut self.stats)
    }
}

/// Adds what other threads counted of the same flows.
fn add_up(flows: &mut [impl Counted], others: impl IntoIterator<Item = Vec<FlowReported>>) {
    let counted = others.into_iter().flatten().filter(|f| f.stats.packets > 0);
    let mut sums: HashMap<Ufid, flow::FlowStats> = HashMap::new();
    counted.for_each(|f| *sums.entry(f.ufid).or_default() += f.stats);
    if sums.is_empty() {
        return;
    }
    for flow in flows {
        let (ufid, stats) = flow.parts();
        if let Some(sum) = sums.get(&ufid) {
            *stats += *sum;
        }
    }
}
