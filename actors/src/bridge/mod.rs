//! The bridge actor, which is the ofproto actor: upcalls, OpenFlow dispatch, configuration, commit.
//!
//! All decisions are [`ofproto::bridge::Bridge`]'s; here its outputs become messages, and answers become its inputs. Flow
//! tables are its children. After a panic it starts from the view published last and asks the switch for its
//! configuration; meanwhile the datapath keeps forwarding.

mod carry;
mod connections;
mod control;
mod coverage;

use actix::prelude::*;
use arc_swap::ArcSwapOption;
use ofproto::bridge::{Bridge as Core, BridgeConfig, BridgeReport, ConnId, MeterNumbers, Output};
use ofproto::view::{BridgeId, BridgeView};
use ofproto::xlate::{Numbers, Recirc};
use openflow::message::Msg;
use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;

use crate::budget::{Turn, UPCALLS};
use crate::clock;
use crate::controller::Transmit;
use crate::datapath::Datapath;
use crate::mailbox::{Address, Latest, Outlet, Retry};
use crate::msg::bridge::*;
use crate::msg::datapath::{FlowInstall, PacketExecute};
use crate::msg::switch::{BridgeNews, BridgeReported, Share};
use crate::msg::table::{RuleCredit, Settle};
use crate::stream::Tls;
use crate::supervise::{Desk, Family, Player};
use crate::switch::directory::Shared;
use crate::table::FlowTable;
use crate::waiters::Waiters;

/// What a bridge is made from.
#[derive(Clone)]
pub struct BridgeSetup {
    /// Number.
    pub id: BridgeId,
    /// Name.
    pub name: String,
    /// Its datapath.
    pub datapath: Address<Datapath>,
    /// For controllers by TLS.
    pub tls: Tls,
    /// Where its sockets lie.
    pub run_dir: PathBuf,
    /// Who is where.
    pub directory: Shared,
    /// Its view as it was last, for the next incarnation.
    pub latest: Arc<ArcSwapOption<BridgeView>>,
    /// Who hears what becomes of its protocols.
    pub reports: Outlet<BridgeReported>,
    /// Who says when others know what this one told.
    pub shares: Outlet<Share>,
    /// Seed of flow names.
    pub seed: u64,
    /// Controllers may use the debugging actions.
    pub debug_actions: bool,
    /// Recirculation identifiers, of all bridges.
    pub recirc_numbers: Numbers,
    /// Numbers of its datapath's meters, for all bridges there.
    pub meter_numbers: MeterNumbers,
}

/// Messages to the datapath that may wait with the bridge.
const WAITING_AT_MOST: usize = 4096;
/// Messages to one controller that may wait with the bridge.
const UNSENT_AT_MOST: usize = 1 << 20;
/// How soon what did not fit a mailbox is tried again, milliseconds.
const RETRY_MS: i64 = 1;
/// Between two views that the switch is told of, milliseconds: it passes each on to every bridge and revalidator.
const TELL_MS: i64 = 1;

pub(super) struct Peer {
    outlet: Recipient<Transmit>,
    unsent: VecDeque<Msg>,
}

/// A bridge's actor.
pub struct Bridge {
    desk: Desk,
    setup: BridgeSetup,
    core: Core,
    own: Option<Address<Bridge>>,
    family: Family,
    tables: BTreeMap<u8, Address<FlowTable>>,
    peers: BTreeMap<ConnId, Peer>,
    installs: Retry<FlowInstall>,
    executes: Retry<PacketExecute>,
    news: Outlet<BridgeNews>,
    published: Latest<BridgeNews>,
    reports: Latest<BridgeReported>,
    reported: BridgeReport,
    connections: connections::Connections,
    collectors: crate::export::Collectors,
    counted: coverage::Tally,
    /// A view that the switch has not been told of.
    untold: Option<Arc<BridgeView>>,
    /// When it was told last, milliseconds.
    told_ms: i64,
    /// Tables that were told to be configured and have not answered.
    configuring: usize,
    /// Who waits for them.
    configured: Waiters,
    /// Who waits until what packets taught is in the tables.
    pupils: Waiters,
    /// Credit and timeouts for tables, until these have room for them.
    uncredited: BTreeMap<u8, RuleCredit>,
    /// What tables have yet to hear of what they have staged.
    unsettled: Vec<(u8, Settle)>,
    /// What packets did on other bridges, until those hear of it.
    foreign: BTreeMap<BridgeId, ForeignEffects>,
    turn: Turn,
}

impl Bridge {
    /// A bridge without configuration, or, after a panic, as its view published last shows it.
    pub fn new(desk: Desk, setup: BridgeSetup, news: Outlet<BridgeNews>, ctx: &mut Context<Self>) -> Self {
        let before = setup.latest.load_full();
        let config = BridgeConfig { name: setup.name.clone(), fail_secure: true, ..BridgeConfig::default() };
        let mut core = Core::new(setup.id, config, setup.seed, clock::now_ms());
        core.debug_actions = setup.debug_actions;
        core.recirc = Recirc::new(setup.recirc_numbers.clone());
        core.meter_numbers = setup.meter_numbers.clone();
        if let Some(view) = before {
            core.adopt(&view);
        }
        let family = Family::of(&desk);
        let installs = setup.datapath.outlet::<FlowInstall>().retry(WAITING_AT_MOST);
        let executes = setup.datapath.outlet::<PacketExecute>().retry(WAITING_AT_MOST);
        ctx.notify(Begin);
        Self {
            desk,
            core,
            own: None,
            family,
            tables: BTreeMap::new(),
            peers: BTreeMap::new(),
            installs,
            executes,
            published: news.clone().latest(),
            news,
            reports: setup.reports.clone().latest(),
            reported: BridgeReport::default(),
            connections: connections::Connections::default(),
            collectors: crate::export::Collectors::default(),
            counted: coverage::Tally::default(),
            untold: None,
            told_ms: 0,
            configuring: 0,
            configured: Waiters::default(),
            pupils: Waiters::default(),
            uncredited: BTreeMap::new(),
            unsettled: Vec::new(),
            foreign: BTreeMap::new(),
            turn: Turn::new(UPCALLS),
            setup,
        }
    }

    /// Carries out what the core asks for, until it asks for nothing.
    fn settle(&mut self, ctx: &mut Context<Self>) {
        loop {
            if self.core.has_packet_outs() {
                self.core.run_packet_outs(clock::now_ms());
            }
            let outputs = self.core.take_outputs();
            if outputs.is_empty() {
                break;
            }
            for output in outputs {
                self.carry_out(output, ctx);
            }
        }
        let mcast = self.core.groups_heard.as_ref().map(|groups| groups.counts).unwrap_or_default();
        self.counted.count(coverage::Tally { macs: self.core.macs.stats, mcast, events: self.core.events });
        self.flush_peers();
        if !self.uncredited.is_empty() {
            self.credit(Vec::new(), Vec::new());
        }
        if !self.unsettled.is_empty() {
            self.settle_tables();
        }
        self.send_foreign();
        self.publish(false);
        if !self.core.has_own_changes() {
            self.pupils.tell();
        }
        if let Some(report) = self.core.take_changed_report()
            && report != self.reported
        {
            self.reported = report.clone();
            self.reports.send(BridgeReported { bridge: self.setup.name.clone(), report });
        }
        self.rearm();
    }

    /// Tells the switch of the view if it is not the one told last: at once where that is some time ago, or `now`, else
    /// with what follows shortly. What is decided here sees every view, and whoever waits for a barrier while others may
    /// depend on this bridge has them told first.
    fn publish(&mut self, now: bool) {
        if let Some(view) = self.core.take_changed_view() {
            self.setup.latest.store(Some(view.clone()));
            self.untold = Some(view);
        }
        if self.untold.is_none() {
            return;
        }
        let now_ms = clock::now_ms();
        // A clock that was moved by hand tells nothing of how long ago it was.
        if now || clock::is_stopped() || !(0..TELL_MS).contains(&(now_ms - self.told_ms)) {
            self.told_ms = now_ms;
            if let Some(view) = self.untold.take() {
                self.published.send(BridgeNews::Published(view));
            }
        }
    }

    fn rearm(&mut self) {
        let aging = self.core.macs.poll_timeout();
        self.desk.arm(aging);
        if let Some((at_ms, why)) = self.core.poll_timeout() {
            self.desk.arm_by(at_ms, why);
        }
        if self.peers.values().any(|p| !p.unsent.is_empty()) {
            self.desk.arm_by(clock::now_ms() + RETRY_MS, "messages wait for a connection");
        }
        if !self.uncredited.is_empty() {
            self.desk.arm_by(clock::now_ms() + RETRY_MS, "credit waits for a table");
        }
        if !self.unsettled.is_empty() {
            self.desk.arm_by(clock::now_ms() + RETRY_MS, "a table is to hear what stands");
        }
        if !self.foreign.is_empty() {
            self.desk.arm_by(clock::now_ms() + RETRY_MS, "effects wait for a bridge");
        }
        if self.untold.is_some() {
            self.desk.arm_by(self.told_ms + TELL_MS, "the switch is to hear of rules");
        }
    }

    fn flush_peers(&mut self) {
        for peer in self.peers.values_mut() {
            if peer.unsent.is_empty() {
                continue;
            }
            let msgs: Vec<Msg> = peer.unsent.drain(..).collect();
            match peer.outlet.try_send(Transmit { msgs }) {
                Ok(()) => {}
                Err(SendError::Full(back)) => peer.unsent.extend(back.msgs),
                Err(SendError::Closed(_)) => {}
            }
        }
    }
}

/// The first message an incarnation gets: the core's first wishes are carried out, and the switch hears of it.
#[derive(Message)]
#[rtype(result = "()")]
struct Begin;

impl Handler<Begin> for Bridge {
    type Result = ();

    fn handle(&mut self, _: Begin, ctx: &mut Context<Self>) {
        self.settle(ctx);
        if !self.news.offer(BridgeNews::Started(self.setup.name.clone())) {
            vlog::warn!("bridge", "{}: the switch did not hear of its start", self.setup.name);
        }
    }
}

impl Actor for Bridge {
    type Context = Context<Self>;

    fn stopped(&mut self, _: &mut Context<Self>) {
        if self.desk.is_dismissed() {
            self.core.leave();
            self.withdraw();
        }
    }
}

impl Player for Bridge {
    fn desk(&mut self) -> &mut Desk {
        &mut self.desk
    }

    fn wake(&mut self, now_ms: i64, ctx: &mut Context<Self>) {
        if !self.core.macs.run(now_ms).is_empty() {
            self.core.macs_changed();
        }
        self.core.run(now_ms);
        self.settle(ctx);
    }
}

impl Handler<Configure> for Bridge {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, m: Configure, ctx: &mut Context<Self>) -> Self::Result {
        self.desk.received();
        self.own.get_or_insert(m.own);
        self.core.configure(m.config, clock::now_ms());
        self.configure_connections(&m.controllers, m.versions);
        self.settle(ctx);
        if self.configuring == 0 {
            return Box::pin(std::future::ready(()));
        }
        Box::pin(self.configured.wait())
    }
}

impl Handler<DatapathAnew> for Bridge {
    type Result = ();

    fn handle(&mut self, m: DatapathAnew, ctx: &mut Context<Self>) {
        self.desk.received();
        self.core.flows_deleted(&m.fallen, clock::now_ms());
        self.core.datapath_returned();
        self.settle(ctx);
    }
}

impl Handler<ReadTally> for Bridge {
    type Result = MessageResult<ReadTally>;

    fn handle(&mut self, _: ReadTally, _: &mut Context<Self>) -> Self::Result {
        self.desk.received();
        MessageResult(self.core.tally(clock::now_ms()))
    }
}

impl Handler<ViewPublished> for Bridge {
    type Result = ();

    fn handle(&mut self, m: ViewPublished, ctx: &mut Context<Self>) {
        self.desk.received();
        self.core.set_switch_view(&m.0);
        if self.core.send_held() {
            self.settle(ctx);
        }
    }
}

impl Handler<Upcalls> for Bridge {
    type Result = ();

    fn handle(&mut self, m: Upcalls, ctx: &mut Context<Self>) {
        self.desk.received();
        self.core.set_now(clock::now_ms());
        let upcalls = m.batch.len();
        self.core.upcalls(m.batch, !m.is_full, clock::now_ms());
        self.settle(ctx);
        self.turn.spend(upcalls, ctx);
    }
}

impl Handler<OfConnected> for Bridge {
    type Result = ();

    fn handle(&mut self, m: OfConnected, ctx: &mut Context<Self>) {
        self.desk.received();
        self.peers.insert(m.conn, Peer { outlet: m.outlet, unsent: VecDeque::new() });
        self.core.set_now(clock::now_ms());
        self.core.connected(m.conn, m.version, m.kind, &m.name, &m.target);
        self.settle(ctx);
    }
}

impl Handler<OfDisconnected> for Bridge {
    type Result = ();

    fn handle(&mut self, m: OfDisconnected, ctx: &mut Context<Self>) {
        self.desk.received();
        self.peers.remove(&m.0);
        self.core.set_now(clock::now_ms());
        self.core.disconnected(m.0);
        self.settle(ctx);
    }
}

impl Handler<OfBacklog> for Bridge {
    type Result = ();

    fn handle(&mut self, m: OfBacklog, ctx: &mut Context<Self>) {
        self.desk.received();
        self.core.set_backlog(m.conn, m.octets);
        self.settle(ctx);
    }
}

impl Handler<OfRead> for Bridge {
    type Result = ();

    fn handle(&mut self, m: OfRead, ctx: &mut Context<Self>) {
        self.desk.received();
        self.core.set_now(clock::now_ms());
        self.core.has_read(m.conn, m.weight, m.packets);
        self.settle(ctx);
    }
}

impl Handler<ReadControllers> for Bridge {
    type Result = ResponseFuture<Vec<ControllerReport>>;

    fn handle(&mut self, _: ReadControllers, _: &mut Context<Self>) -> Self::Result {
        self.desk.received();
        self.controller_reports()
    }
}

impl Handler<OfBatch> for Bridge {
    type Result = ();

    fn handle(&mut self, m: OfBatch, ctx: &mut Context<Self>) {
        self.desk.received();
        self.core.set_now(clock::now_ms());
        coverage::received(&m.msgs);
        self.core.received(m.conn, m.msgs);
        self.settle(ctx);
    }
}

impl Handler<TableChanged> for Bridge {
    type Result = ();

    fn handle(&mut self, m: TableChanged, ctx: &mut Context<Self>) {
        self.desk.received();
        self.core.table_published(m.view);
        self.core.flow_events(m.events, clock::now_ms());
        self.settle(ctx);
    }
}

impl Handler<ForeignEffects> for Bridge {
    type Result = ();

    fn handle(&mut self, m: ForeignEffects, ctx: &mut Context<Self>) {
        self.desk.received();
        self.core.foreign(&m.effects, clock::now_ms());
        for (message, cookie) in m.packets {
            self.core.foreign_packet_in(*message, &cookie);
        }
        self.settle(ctx);
    }
}

impl Handler<StationsGone> for Bridge {
    type Result = ();

    fn handle(&mut self, m: StationsGone, ctx: &mut Context<Self>) {
        self.desk.received();
        self.core.forget_stations(&m.0);
        self.settle(ctx);
    }
}

impl Handler<FlowJudge> for Bridge {
    type Result = MessageResult<FlowJudge>;

    fn handle(&mut self, m: FlowJudge, ctx: &mut Context<Self>) -> Self::Result {
        self.desk.received();
        let decisions = self.core.judge(&m.ufids, &m.reports, m.min_pps, clock::now_ms());
        self.log_changes(&decisions);
        self.settle(ctx);
        MessageResult((self.core.view().version, decisions))
    }
}

impl Handler<StaleFlows> for Bridge {
    type Result = MessageResult<StaleFlows>;

    fn handle(&mut self, m: StaleFlows, _: &mut Context<Self>) -> Self::Result {
        self.desk.received();
        MessageResult(self.core.stale_flows(m.after, m.max))
    }
}

impl Handler<FlowSwept> for Bridge {
    type Result = ();

    fn handle(&mut self, m: FlowSwept, ctx: &mut Context<Self>) {
        self.desk.received();
        self.core.swept(m.since_ms, clock::now_ms());
        self.settle(ctx);
    }
}

impl Handler<FlowReport> for Bridge {
    type Result = MessageResult<FlowReport>;

    fn handle(&mut self, m: FlowReport, ctx: &mut Context<Self>) -> Self::Result {
        self.desk.received();
        let now_ms = clock::now_ms();
        let decisions = if m.gone {
            self.core.flows_deleted(&m.flows, now_ms);
            ofproto::bridge::Decisions::default()
        } else {
            self.core.revalidate(&m.flows, m.max_idle_ms, m.min_pps, now_ms)
        };
        self.log_changes(&decisions);
        self.settle(ctx);
        MessageResult((self.core.view().version, decisions))
    }
}

impl Handler<Control> for Bridge {
    type Result = ResponseFuture<Result<String, String>>;

    /// What the command taught the bridge's tables stands before its answer, for the next command to see.
    fn handle(&mut self, m: Control, ctx: &mut Context<Self>) -> Self::Result {
        self.desk.received();
        let answer = self.control(m.name, &m.args);
        self.settle(ctx);
        if !self.core.has_own_changes() {
            return Box::pin(std::future::ready(answer));
        }
        let taught = self.pupils.wait();
        Box::pin(async move {
            taught.await;
            answer
        })
    }
}

impl Handler<CachedKeys> for Bridge {
    type Result = MessageResult<CachedKeys>;

    fn handle(&mut self, m: CachedKeys, _: &mut Context<Self>) -> Self::Result {
        self.desk.received();
        MessageResult(m.0.into_iter().map(|ufid| self.core.cached_key(ufid)).collect())
    }
}

/// Kept for tests of what an output leads to.
pub(super) type Wish = Output;
