//! The revalidator of a datapath: has the bridges judge the flows that a change concerns, and now and then dumps all of
//! the datapath's flows a piece at a time, for their counters and to take out those that nobody uses.
//!
//! A change is acted upon at once; the dump follows every `max-revalidator`, or with the change where it is quick. One
//! round runs at a time; a change during a round makes another follow. It keeps nothing but that and the limit of
//! flows: a panic costs nothing.

use actix::dev::ToEnvelope;
use actix::prelude::*;
use flow::FlowReported;
use ofproto::bridge::Decisions;
use ofproto::revalidate::FlowLimit;
use ofproto::view::BridgeId;
use std::collections::BTreeMap;
use std::time::Duration;

use crate::bridge::Bridge;
use crate::budget::WALK_SLICE;
use crate::clock;
use crate::datapath::Datapath;
use crate::mailbox::Address;
use crate::msg::bridge::{FlowJudge, FlowReport, FlowSwept, StaleFlows};
use crate::msg::datapath::*;
use crate::msg::revalidator::*;
use crate::supervise::{Desk, Player};
use crate::switch::directory::Shared;
use crate::unixctl::coverage::Counter;
use crate::waiters::Waiters;

/// Rounds that changes cause leave the bridges this many times as long as they take: a change alone is acted upon at
/// once, many come together.
const PAUSE: i64 = 2;
/// Dumps that follow changes leave the datapath this many times as long as they take.
const REST: i64 = 10;
/// Times that there were so many flows that all of them went.
static ALL_KILLED: Counter = Counter::new("upcall_flow_limit_kill");
const PATIENCE: Duration = Duration::from_secs(10);

/// A revalidator's actor.
pub struct Revalidator {
    desk: Desk,
    round: Round,
    /// What the database says.
    settings: RevalidatorSettings,
    limit: FlowLimit,
    /// When all flows are to be looked at next, milliseconds.
    sweep_at_ms: i64,
    /// Before that not even for a change, milliseconds.
    rests_until_ms: i64,
    /// Before that no round for a change, milliseconds.
    paused_until_ms: i64,
    /// A person holds it: no flow is looked at.
    held: bool,
    running: bool,
    again: bool,
    /// Who waits for a whole sweep that begins after they asked.
    waiting: Waiters,
    /// Who waits for what flows have carried to be credited.
    counting: Waiters,
    /// Flows when all were looked at last.
    n_flows: usize,
}

/// What a round works with.
#[derive(Clone)]
struct Round {
    /// The datapath's type.
    kind: std::sync::Arc<str>,
    datapath: Address<Datapath>,
    /// How often it had been started anew when its bridges heard last what its flows had carried.
    lives: u64,
    directory: Shared,
}

impl Revalidator {
    /// The revalidator of a datapath.
    pub fn new(desk: Desk, datapath: Address<Datapath>, directory: Shared) -> Self {
        // Of `revalidator TYPE`.
        let kind = desk.name().split(' ').nth(1).unwrap_or_default().into();
        let lives = datapath.card().counts().restarts;
        let mut this = Self {
            desk,
            round: Round { kind, datapath, lives, directory },
            settings: RevalidatorSettings::default(),
            limit: FlowLimit::default(),
            sweep_at_ms: clock::now_ms(),
            rests_until_ms: 0,
            paused_until_ms: 0,
            held: false,
            running: false,
            again: false,
            waiting: Waiters::default(),
            counting: Waiters::default(),
            n_flows: 0,
        };
        this.arm_sweep();
        this.limit_datapath();
        this
    }

    fn arm_sweep(&mut self) {
        self.sweep_at_ms = clock::now_ms() + self.settings.period_ms();
        self.desk.arm(Some((self.sweep_at_ms, "flows are to be looked at")));
    }

    /// Tells the datapath how many flows there may be.
    fn limit_datapath(&self) {
        let flow_limit = self.limit.limit().max(1);
        self.round.datapath.offer(LimitFlows(flow_limit));
    }

    fn start(&mut self, ctx: &mut Context<Self>) {
        if self.held {
            self.again = true;
            // Who asks for counters is told of those that are known.
            self.counting.tell();
            return;
        }
        if self.running {
            self.again = true;
            return;
        }
        (self.running, self.again) = (true, false);
        let (mut waiting, mut counting) = (std::mem::take(&mut self.waiting), std::mem::take(&mut self.counting));
        let counts = !counting.is_empty();
        let sweeps = !waiting.is_empty() || self.sweep_at_ms <= clock::now_ms();
        let (round, limit) = (self.round.clone(), self.limit.clone());
        let min_pps = limit.min_pps(self.settings.min_pps, self.settings.max_revalidator_ms);
        let started_ms = clock::now_ms();
        let at_work = clock::at_work();
        let work = async move {
            round.judge(min_pps).await;
            let began_ms = clock::now_ms();
            if !sweeps {
                if counts {
                    round.credit_few(&limit, min_pps).await;
                }
                return None;
            }
            let n = round.sweep(&limit, min_pps, began_ms).await;
            // A clock that is moved by hand tells nothing of how long it took.
            Some((n, if clock::is_stopped() { 1 } else { clock::now_ms() - began_ms }))
        };
        ctx.spawn(actix::fut::wrap_future::<_, Self>(work).map(move |swept, this, ctx| {
            this.running = false;
            let now_ms = clock::now_ms();
            this.paused_until_ms = now_ms + PAUSE * (now_ms - started_ms);
            if let Some((n, duration_ms)) = swept {
                this.n_flows = n;
                let before = this.limit.limit();
                this.limit.swept(n, duration_ms);
                if this.limit.limit() != before {
                    this.limit_datapath();
                }
                this.arm_sweep();
                this.rests_until_ms = clock::now_ms() + REST * (duration_ms + 1);
            }
            waiting.tell();
            counting.tell();
            if this.again || !this.waiting.is_empty() || !this.counting.is_empty() {
                this.start(ctx);
            } else {
                this.desk.arm(Some((this.sweep_at_ms, "flows are to be looked at")));
            }
            drop(at_work);
        }));
    }
}

impl Round {
    fn bridge(&self, id: BridgeId) -> Option<Address<Bridge>> {
        self.directory.load().bridges.values().find(|b| b.id == id).map(|b| b.address.clone())
    }

    /// The bridges whose flows are in this datapath.
    fn bridges(&self) -> Vec<Address<Bridge>> {
        let directory = self.directory.load();
        directory.bridges.values().filter(|b| *b.datapath == *self.kind).map(|b| b.address.clone()).collect()
    }

    /// What the datapath has counted, all of it. One that was started anew knows nothing of what is still to be credited, and
    /// one with a thread that was, not all: such an answer is none.
    async fn told<M, T>(&self, question: M) -> Option<T>
    where
        M: Message<Result = Option<T>> + Send + Unpin + 'static,
        T: Send + 'static,
        Datapath: Handler<M>,
        <Datapath as Actor>::Context: ToEnvelope<Datapath, M>,
    {
        let told = self.datapath.ask(question, PATIENCE).await.ok().flatten();
        told.filter(|_| self.datapath.card().counts().restarts == self.lives)
    }

    /// Has every bridge judge the flows that changes concern, once around: where rules change all the time flows are stale
    /// again as soon as they were judged, which is the next round's work. Nobody may wait for a day without changes.
    async fn judge(&self, min_pps: u32) {
        for bridge in self.bridges() {
            let mut after = None;
            while let Ok(ufids) = bridge.ask(StaleFlows { after, max: WALK_SLICE }, PATIENCE).await
                && let Some(last) = ufids.last().copied()
            {
                after = Some(last);
                // What they carried until now is owed to what they meant until now.
                let Some(reports) = self.told(ReportFlows(ufids.clone())).await else { return };
                let Ok((view_version, decisions)) = bridge.ask(FlowJudge { ufids, reports, min_pps }, PATIENCE).await
                else {
                    break;
                };
                self.carry_out(&bridge, view_version, decisions).await;
            }
        }
    }

    async fn carry_out(&self, bridge: &Address<Bridge>, view_version: u64, decisions: Decisions) {
        if !decisions.modify.is_empty() {
            self.datapath.offer(FlowModify { view_version, entries: decisions.modify });
        }
        if !decisions.delete.is_empty() {
            let gone = self.datapath.ask(FlowDelete { ufids: Some(decisions.delete) }, PATIENCE).await;
            report_gone(bridge, gone.unwrap_or_default()).await;
        }
    }

    /// Looks at every flow once. Gives how many there are.
    async fn sweep(&self, limit: &FlowLimit, min_pps: u32, began_ms: i64) -> usize {
        if vlog::module("dpif").enabled(vlog::Level::Dbg) {
            crate::switch::commands::log_sweep(&self.directory.load_full(), &self.kind).await;
        }
        let mut cursor = Some(dp::FlowCursor::START);
        let mut n = 0;
        while let Some(at) = cursor {
            let dump = FlowReports { cursor: at, max: WALK_SLICE };
            let Some((flows, total, next)) = self.told(dump).await else { return n };
            cursor = next;
            n += flows.len();
            if limit.is_far_exceeded(total) {
                ALL_KILLED.add();
                purge(self.clone()).await;
                return total;
            }
            self.report(flows, limit.max_idle_ms(total), min_pps, true).await;
        }
        for bridge in self.bridges() {
            bridge.offer(FlowSwept { since_ms: began_ms });
        }
        n
    }

    /// Has what flows carried credited, if there are no more than one piece of them.
    async fn credit_few(&self, limit: &FlowLimit, min_pps: u32) {
        let dump = FlowReports { cursor: dp::FlowCursor::START, max: WALK_SLICE };
        if let Some((flows, total, _)) = self.told(dump).await
            && total <= WALK_SLICE
        {
            self.report(flows, limit.max_idle_ms(total), min_pps, false).await;
        }
    }

    /// Reports a piece of the flows to their bridges, and does as they say. A sweep also takes out those that a person put
    /// there by hand: no rule stands for them.
    async fn report(&self, flows: Vec<FlowReported>, max_idle_ms: i64, min_pps: u32, sweeps: bool) {
        let mut by_bridge: BTreeMap<BridgeId, Vec<FlowReported>> = BTreeMap::new();
        for flow in flows {
            let bridge = ofproto::bridge::owner(flow.ufid);
            if bridge.0 != 0 || sweeps {
                by_bridge.entry(bridge).or_default().push(flow);
            }
        }
        for (id, flows) in by_bridge {
            let Some(bridge) = self.bridge(id) else {
                let orphans = flows.into_iter().map(|f| f.ufid).collect();
                let _ = self.datapath.ask(FlowDelete { ufids: Some(orphans) }, PATIENCE).await;
                continue;
            };
            let report = FlowReport { flows, max_idle_ms, min_pps, gone: false };
            if let Ok((view_version, decisions)) = bridge.ask(report, PATIENCE).await {
                self.carry_out(&bridge, view_version, decisions).await;
            }
        }
    }
}

async fn report_gone(bridge: &Address<Bridge>, gone: Vec<dp::DumpedFlow>) {
    let reported = |f: dp::DumpedFlow| FlowReported::last(f.entry.ufid, f.entry.edition, f.stats);
    let flows: Vec<_> = gone.into_iter().map(reported).collect();
    if !flows.is_empty() {
        let _ = bridge.ask(FlowReport { flows, max_idle_ms: 0, min_pps: 0, gone: true }, PATIENCE).await;
    }
}

/// Takes every flow out, and credits what they carried.
async fn purge(round: Round) {
    let Ok(gone) = round.datapath.ask(FlowDelete { ufids: None }, PATIENCE).await else { return };
    let mut by_bridge: BTreeMap<BridgeId, Vec<dp::DumpedFlow>> = BTreeMap::new();
    for flow in gone {
        by_bridge.entry(ofproto::bridge::owner(flow.entry.ufid)).or_default().push(flow);
    }
    for (id, flows) in by_bridge {
        if let Some(bridge) = round.bridge(id) {
            report_gone(&bridge, flows).await;
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

    fn handle(&mut self, _: Stir, ctx: &mut Context<Self>) {
        self.desk.received();
        self.again = true;
        let now_ms = clock::now_ms();
        // On a clock that stands still nothing would ever be soon.
        let stopped = clock::is_stopped();
        self.sweep_at_ms = self.sweep_at_ms.min(if stopped { now_ms } else { self.rests_until_ms.max(now_ms) });
        if !self.running {
            if stopped || self.paused_until_ms > now_ms {
                let soon_ms = if stopped { now_ms } else { self.paused_until_ms };
                self.desk.arm_by(soon_ms, "something changed");
            } else {
                self.start(ctx);
            }
        }
    }
}

impl Handler<RevalidatorSettings> for Revalidator {
    type Result = ();

    fn handle(&mut self, m: RevalidatorSettings, _: &mut Context<Self>) {
        self.desk.received();
        if m != self.settings {
            self.limit.configure(m.flow_limit, m.max_idle_ms);
            self.settings = m;
            self.limit_datapath();
            self.arm_sweep();
        }
    }
}

impl Handler<SetFlowLimit> for Revalidator {
    type Result = ();

    fn handle(&mut self, m: SetFlowLimit, _: &mut Context<Self>) {
        self.desk.received();
        self.limit.set(m.0);
        self.limit_datapath();
    }
}

impl Handler<LimitAnew> for Revalidator {
    type Result = ();

    fn handle(&mut self, m: LimitAnew, ctx: &mut Context<Self>) {
        self.desk.received();
        self.round.lives = m.0;
        self.limit_datapath();
        // Rounds were in vain since.
        self.sweep_at_ms = clock::now_ms();
        self.start(ctx);
    }
}

impl Handler<ReadFlowLimit> for Revalidator {
    type Result = MessageResult<ReadFlowLimit>;

    fn handle(&mut self, _: ReadFlowLimit, _: &mut Context<Self>) -> Self::Result {
        self.desk.received();
        MessageResult(self.limit.clone())
    }
}

impl Handler<Hold> for Revalidator {
    type Result = ();

    fn handle(&mut self, m: Hold, ctx: &mut Context<Self>) {
        self.desk.received();
        if std::mem::replace(&mut self.held, m.0) && !self.held && !self.running {
            self.sweep_at_ms = clock::now_ms();
            self.start(ctx);
        }
    }
}

impl Handler<Sweep> for Revalidator {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Sweep, ctx: &mut Context<Self>) -> Self::Result {
        self.desk.received();
        let swept = self.waiting.wait();
        if !self.running {
            self.start(ctx);
        }
        Box::pin(swept)
    }
}

impl Handler<CreditFlows> for Revalidator {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: CreditFlows, ctx: &mut Context<Self>) -> Self::Result {
        self.desk.received();
        if clock::is_stopped() || self.n_flows > WALK_SLICE {
            return Box::pin(std::future::ready(()));
        }
        let credited = self.counting.wait();
        if !self.running {
            self.start(ctx);
        }
        Box::pin(credited)
    }
}

impl Handler<Purge> for Revalidator {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Purge, _: &mut Context<Self>) -> Self::Result {
        self.desk.received();
        Box::pin(purge(self.round.clone()))
    }
}
