//! The revalidator of a datapath: dumps its flows a piece at a time, asks their bridges, and takes out or changes what is
//! no longer right.
//!
//! It sweeps every [`PERIOD_MS`] for statistics and idle flows, and soon after a view changed. One sweep runs at a time; a
//! change during a sweep makes another follow. It keeps nothing but that: a panic costs nothing.

use actix::prelude::*;
use flow::{FlowEntry, FlowStats};
use ofproto::view::BridgeId;
use std::collections::BTreeMap;
use std::time::Duration;

use crate::budget::WALK_SLICE;
use crate::clock;
use crate::datapath::Datapath;
use crate::mailbox::Address;
use crate::msg::bridge::FlowReport;
use crate::msg::datapath::*;
use crate::msg::revalidator::*;
use crate::supervise::{Desk, Player};
use crate::switch::directory::Shared;

/// Between two sweeps without a reason, milliseconds.
const PERIOD_MS: i64 = 500;
/// From a change to the sweep it causes: more changes may come, milliseconds.
const SOON_MS: i64 = 5;
const PATIENCE: Duration = Duration::from_secs(10);

/// A revalidator's actor.
pub struct Revalidator {
    desk: Desk,
    datapath: Address<Datapath>,
    directory: Shared,
    sweeping: bool,
    again: bool,
    /// Who waits for a whole sweep that begins after they asked.
    waiting: Vec<tokio::sync::oneshot::Sender<()>>,
}

impl Revalidator {
    /// The revalidator of a datapath.
    pub fn new(desk: Desk, datapath: Address<Datapath>, directory: Shared) -> Self {
        let mut this = Self { desk, datapath, directory, sweeping: false, again: false, waiting: Vec::new() };
        this.desk.arm(Some((clock::now_ms() + PERIOD_MS, "flows are to be looked at")));
        this
    }

    fn start(&mut self, ctx: &mut Context<Self>) {
        if self.sweeping {
            self.again = true;
            return;
        }
        self.sweeping = true;
        self.again = false;
        let waiting = std::mem::take(&mut self.waiting);
        let work = sweep(self.datapath.clone(), self.directory.clone());
        ctx.spawn(actix::fut::wrap_future::<_, Self>(work).map(|(), this, ctx| {
            this.sweeping = false;
            for asker in waiting {
                let _ = asker.send(());
            }
            if this.again || !this.waiting.is_empty() {
                this.start(ctx);
            }
            this.desk.arm(Some((clock::now_ms() + PERIOD_MS, "flows are to be looked at")));
        }));
    }
}

/// Looks at every flow once.
async fn sweep(datapath: Address<Datapath>, directory: Shared) {
    let mut cursor = Some(dp::FlowCursor::default());
    while let Some(at) = cursor {
        let Ok((flows, next)) = datapath.ask(FlowDump { cursor: at, max: WALK_SLICE }, PATIENCE).await else { return };
        cursor = next;
        let mut by_bridge: BTreeMap<BridgeId, Vec<(FlowEntry, FlowStats)>> = BTreeMap::new();
        let mut orphans = Vec::new();
        for flow in flows {
            let bridge = ofproto::bridge::owner(flow.entry.ufid);
            // Flows that a person put there by hand belong to nobody and stay.
            if bridge.0 != 0 {
                by_bridge.entry(bridge).or_default().push((flow.entry, flow.stats));
            }
        }
        for (bridge, flows) in by_bridge {
            let address = directory.load().bridges.values().find(|b| b.id == bridge).map(|b| b.address.clone());
            let Some(address) = address else {
                orphans.extend(flows.into_iter().map(|(e, _)| e.ufid));
                continue;
            };
            let Ok((view_version, decisions)) = address.ask(FlowReport { flows, gone: false }, PATIENCE).await else {
                continue;
            };
            if !decisions.modify.is_empty() {
                datapath.offer(FlowModify { view_version, entries: decisions.modify });
            }
            if !decisions.delete.is_empty() {
                let gone = datapath.ask(FlowDelete { ufids: Some(decisions.delete) }, PATIENCE).await;
                report_gone(&address, gone.unwrap_or_default()).await;
            }
        }
        if !orphans.is_empty() {
            let _ = datapath.ask(FlowDelete { ufids: Some(orphans) }, PATIENCE).await;
        }
    }
}

async fn report_gone(bridge: &Address<crate::bridge::Bridge>, gone: Vec<dp::DumpedFlow>) {
    let flows: Vec<_> = gone.into_iter().map(|f| (f.entry, f.stats)).collect();
    if !flows.is_empty() {
        let _ = bridge.ask(FlowReport { flows, gone: true }, PATIENCE).await;
    }
}

/// Takes every flow out, and credits what they carried.
async fn purge(datapath: Address<Datapath>, directory: Shared) {
    let Ok(gone) = datapath.ask(FlowDelete { ufids: None }, PATIENCE).await else { return };
    let mut by_bridge: BTreeMap<BridgeId, Vec<dp::DumpedFlow>> = BTreeMap::new();
    for flow in gone {
        by_bridge.entry(ofproto::bridge::owner(flow.entry.ufid)).or_default().push(flow);
    }
    for (bridge, flows) in by_bridge {
        let address = directory.load().bridges.values().find(|b| b.id == bridge).map(|b| b.address.clone());
        if let Some(address) = address {
            report_gone(&address, flows).await;
        }
    }
}

impl Actor for Revalidator {
    type Context = Context<Self>;
}

impl Player for Revalidator {
    fn desk(&mut self) -> &mut Desk {
        &mut self.desk
    }

    fn wake(&mut self, _: i64, ctx: &mut Context<Self>) {
        self.start(ctx);
    }
}

impl Handler<Stir> for Revalidator {
    type Result = ();

    fn handle(&mut self, _: Stir, _: &mut Context<Self>) {
        self.desk.received();
        self.again = true;
        if !self.sweeping {
            // On a clock that stands still nothing would ever be soon.
            let delay_ms = if clock::is_stopped() { 0 } else { SOON_MS };
            self.desk.arm_by(clock::now_ms() + delay_ms, "something changed");
        }
    }
}

impl Handler<Sweep> for Revalidator {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Sweep, ctx: &mut Context<Self>) -> Self::Result {
        self.desk.received();
        let (done, wait) = tokio::sync::oneshot::channel();
        self.waiting.push(done);
        if !self.sweeping {
            self.start(ctx);
        }
        Box::pin(async move {
            let _ = wait.await;
        })
    }
}

impl Handler<Purge> for Revalidator {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Purge, _: &mut Context<Self>) -> Self::Result {
        self.desk.received();
        Box::pin(purge(self.datapath.clone(), self.directory.clone()))
    }
}
