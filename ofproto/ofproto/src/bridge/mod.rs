//! One bridge without its sockets: what it is configured to be, its OpenFlow connections, groups and meters, and the view
//! that translation reads. It asks for what only actors can do by [`Output`]s and is told the results.
//!
//! ```text
//!  configuration ──► Bridge ──► Output::Stage ──► flow tables ──► staged() ─┐
//!  OpenFlow ───────►        ◄──────────────────────────────────────────────┘
//!  upcalls ────────►        ──► Output::{Send, Execute, Install, …}
//! ```
//!
//! OpenFlow requests of one connection are carried out in their order. One that has to wait for tables makes the bridge
//! busy: later requests wait in their connection's queue, packets do not wait. So a barrier is a request like any other.
//!
//! Absent: decoding and encoding (the sessions), probing and backing off (the controllers' actors), how packets are
//! translated ([`crate::xlate`]).

mod bonding;
mod bundle;
mod cache;
mod change;
pub mod config;
pub mod conn;
mod controllers;
mod decode;
mod dump;
mod events;
mod flow;
mod flow_mod_log;
mod flow_reply;
mod frames;
mod group;
mod hidden;
mod lessons;
mod limit;
mod liveness;
mod lldp;
mod meter;
mod monitor;
mod monitoring;
mod multipart;
mod neighbours;
mod output;
mod packet;
mod port;
mod receipts;
mod recovery;
mod report;
mod resume;
mod role;
mod service;
mod snoop;
mod spanning;
mod stats;
mod switch;
mod tables;
mod teachers;
mod tlv;
mod upcall;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use hashing::HashOrder;
use l2proto::mac_learning::MacTable;
use l2proto::mcast_snooping::McastTable;
use openflow::OfPort;
use openflow::flow_mod::{FlowMod, FlowModCommand};

pub use bonding::{BundleSettings, LacpSettings};
pub use cache::{Decisions, owner};
pub use config::{BridgeConfig, PortConfig};
pub use conn::{Conn, ConnId, ConnKind, Incoming, weight};
pub use controllers::{ControllerConfig, ControllersConfig};
pub use decode::decode_message;
pub use events::Events;
pub use limit::{Limits, RateLimit};
pub use liveness::{BfdConfig, CcmVlan, CfmConfig, CfmReport, LivenessConfig, LivenessReport};
pub use meter::{DatapathBand, DatapathMeter, DatapathMeterStats, MeterNumbers};
pub use output::{Answer, CountFor, Output, Query, Question};
pub use report::{BridgeReport, BridgeTally};
pub use spanning::{SpanningConfig, SpanningPort};

use crate::revalidate::FlowIndex;
use crate::table::{Change, Event, Staged, TableView};
use crate::view::{BridgeId, BridgeView};
use conn::Pending;

/// Number of tables that controllers see.
pub const N_TABLES: u8 = 254;

/// Counters of a port without a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VirtualStats {
    /// Packets that came in.
    pub rx_packets: u64,
    /// Octets that came in.
    pub rx_bytes: u64,
    /// Packets that went out.
    pub tx_packets: u64,
    /// Octets that went out.
    pub tx_bytes: u64,
}

/// Counters of a group and, by index, of its buckets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupCounters {
    /// Packets that met the group.
    pub packets: u64,
    /// Octets of them.
    pub bytes: u64,
    /// Packets and octets, bucket by bucket.
    pub buckets: Vec<(u64, u64)>,
}

/// A bridge.
#[derive(Debug)]
pub struct Bridge {
    view: BridgeView,
    config: BridgeConfig,
    /// Configuration bits that controllers set, by port.
    port_bits: BTreeMap<OfPort, u32>,
    teachers: teachers::Teachers,
    port_since: BTreeMap<OfPort, i64>,
    /// Learned addresses.
    pub macs: MacTable,
    /// Whether a cached flow matches on no more than what decided.
    megaflows: bool,
    /// Multicast snooping, where it is configured.
    pub groups_heard: Option<McastTable>,
    bonding: bonding::Bonding,
    spanning: spanning::Spanning,
    liveness: liveness::Liveness,
    lldps: BTreeMap<OfPort, l2proto::lldp::Lldp>,
    monitoring: monitoring::Monitoring,
    /// Something that [`Bridge::report`] tells may have changed.
    report_stale: bool,
    conns: BTreeMap<ConnId, Conn>,
    /// Connections with requests to carry out, in turn.
    ready: VecDeque<ConnId>,
    busy: Option<Pending>,
    /// Changes of the bridge's own, which go before any controller's.
    own: VecDeque<Vec<(u8, Change)>>,
    lessons: lessons::Lessons,
    table_wishes: tables::TableWishes,
    groups: group::Groups,
    /// Groups as translation sees them.
    published_groups: group::Groups,
    /// Groups that may not be as the view has them.
    changed_groups: BTreeSet<u32>,
    group_incarnations: u64,
    meters: Arc<BTreeMap<u32, meter::Meter>>,
    /// In which they are listed.
    meter_order: HashOrder<u32>,
    /// Where it takes numbers of datapath meters from; the bridges of a datapath share it.
    pub meter_numbers: MeterNumbers,
    /// The generation of the last election of a primary.
    generation_id: Option<u64>,
    bundle_idle_ms: i64,
    /// Controllers may use the debugging actions.
    pub debug_actions: bool,
    /// When the first bundle may time out.
    bundle_deadline: Option<i64>,
    /// What the switch's own rules of the last table counted.
    internal_stats: [crate::rule::RuleStats; 3],
    /// Rules that are gone, of which controllers are told when monitors have been.
    farewells: Vec<crate::table::Removed>,
    /// The time that inputs told last.
    now_ms: i64,
    outputs: Vec<Output>,
    receipts: receipts::Receipts,
    /// Outputs that were asked for and whose end is waited for before the next request.
    awaited: usize,
    /// The barrier that is answered when there are no more of them.
    barrier: Option<(ConnId, u32)>,
    /// It has another incarnation's rules, and is to be told its configuration: neither is a change.
    goes_on: bool,
    /// The fail mode is another; what follows of it depends on the controllers, of which the bridge is told next.
    mode_changed: bool,
    /// The view differs from the one published last.
    dirty: bool,
    /// The view published last may not have reached every bridge.
    unshared: bool,
    controllers: controllers::Controllers,
    /// Settings that any controller changes for all.
    pub(crate) frags: openflow::message::config::FragMode,
    /// Packets sent through packet-out and lost for want of a connection, by reason, are counted with the connection.
    started_ms: i64,
    /// The whole switch, with this bridge live in it.
    live: crate::view::SwitchView,
    /// When neighbours were last reported to be of use, by address.
    neighbours_used: std::collections::BTreeMap<u128, i64>,
    live_stale: bool,
    /// Frozen states of this bridge's packets.
    pub recirc: crate::xlate::Recirc,
    /// Flows in the datapath's cache.
    flows: FlowIndex,
    shapes: ::flow::classifier::Shapes,
    /// The view that all of them but the stale ones are right under.
    judged: crate::view::SwitchView,
    /// Bridges in which somebody began or ceased to want what misses. As in Open vSwitch that alone has no flow judged
    /// again: the next change of any kind does, or the one that has just been.
    turned: BTreeSet<crate::view::BridgeId>,
    /// When flows were last judged for a change.
    changed_ms: Option<i64>,
    stale: BTreeSet<::flow::Ufid>,
    /// How often the live view changed, and up to which change the stale flows are known.
    live_changes: u64,
    noted: u64,
    seed: u64,
    credit: BTreeMap<crate::rule::RuleId, crate::rule::RuleStats>,
    lookups: BTreeMap<u8, (u64, u64)>,
    /// Packets looked up in tables while they had never had a rule: nobody else counts there.
    bare_lookups: BTreeMap<u8, u64>,
    /// Counters of ports without a device.
    virtual_stats: BTreeMap<OfPort, VirtualStats>,
    /// Counters of groups.
    group_stats: BTreeMap<u32, GroupCounters>,
    /// Packets and octets by mirror.
    pub mirror_stats: BTreeMap<u8, (u64, u64)>,
    /// Connections did not get packets that they should.
    has_dropped: bool,
    /// When a failed translation was explained last, milliseconds.
    explained_ms: Option<i64>,
    /// Packets that the bridge itself has to send.
    own_packets: Vec<openflow::message::PacketOut>,
    /// Questions for neighbours, to be sent.
    questions: Vec<openflow::message::PacketOut>,
    /// Such a question is being sent.
    asking: bool,
    /// Whether packets were sent whose counters the tables are to have soon.
    credit_due: bool,
    /// Packets and octets of protocols that it spoke so far.
    spoken: (u64, u64),
    /// What happened so far.
    pub events: Events,
}

impl Bridge {
    /// A bridge with nothing but its configuration.
    pub fn new(id: BridgeId, config: BridgeConfig, seed: u64, now_ms: i64) -> Self {
        let mut bridge = Self {
            view: BridgeView::new(id, &config.name),
            config: BridgeConfig::default(),
            port_bits: BTreeMap::new(),
            teachers: teachers::Teachers::default(),
            port_since: BTreeMap::new(),
            macs: MacTable::default(),
            groups_heard: None,
            bonding: bonding::Bonding::default(),
            spanning: spanning::Spanning::default(),
            liveness: liveness::Liveness::default(),
            lldps: BTreeMap::new(),
            monitoring: monitoring::Monitoring::default(),
            report_stale: true,
            conns: BTreeMap::new(),
            ready: VecDeque::new(),
            busy: None,
            own: VecDeque::new(),
            lessons: lessons::Lessons::default(),
            table_wishes: BTreeMap::new(),
            groups: BTreeMap::new(),
            published_groups: BTreeMap::new(),
            changed_groups: BTreeSet::new(),
            group_incarnations: 0,
            meters: Arc::default(),
            meter_order: HashOrder::default(),
            meter_numbers: MeterNumbers::default(),
            generation_id: None,
            bundle_idle_ms: bundle::IDLE_MS,
            debug_actions: false,
            bundle_deadline: None,
            internal_stats: Default::default(),
            farewells: Vec::new(),
            now_ms,
            outputs: Vec::new(),
            receipts: receipts::Receipts::default(),
            awaited: 0,
            barrier: None,
            unshared: true,
            goes_on: false,
            mode_changed: false,
            dirty: true,
            controllers: controllers::Controllers::default(),
            frags: openflow::message::config::FragMode::Normal,
            started_ms: now_ms,
            live: crate::view::SwitchView::default(),
            neighbours_used: std::collections::BTreeMap::new(),
            live_stale: true,
            recirc: crate::xlate::Recirc::default(),
            flows: FlowIndex::default(),
            shapes: ::flow::classifier::Shapes::default(),
            judged: crate::view::SwitchView::default(),
            turned: BTreeSet::new(),
            changed_ms: None,
            stale: BTreeSet::new(),
            live_changes: 0,
            noted: 0,
            megaflows: true,
            seed,
            credit: BTreeMap::new(),
            lookups: BTreeMap::new(),
            bare_lookups: BTreeMap::new(),
            virtual_stats: BTreeMap::new(),
            group_stats: BTreeMap::new(),
            mirror_stats: BTreeMap::new(),
            has_dropped: false,
            explained_ms: None,
            own_packets: Vec::new(),
            questions: Vec::new(),
            asking: false,
            credit_due: false,
            spoken: (0, 0),
            events: Events::default(),
        };
        (bridge.view.miss_to_controller, bridge.view.controller_wants_misses) = (false, false);
        bridge.config.fail_secure = config.fail_secure;
        bridge.flush_flows();
        bridge.configure(config, now_ms);
        bridge.events = Events::default();
        bridge
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.view.name
    }

    /// Its configuration.
    pub fn config(&self) -> &BridgeConfig {
        &self.config
    }

    /// What translation reads, as it is now.
    pub fn view(&self) -> &BridgeView {
        &self.view
    }

    /// Lets translation's owner edit what only it knows (the address table's snapshot).
    pub fn view_mut(&mut self) -> &mut BridgeView {
        self.dirty = true;
        &mut self.view
    }

    /// The view to publish, if it changed since the last call.
    pub fn take_changed_view(&mut self) -> Option<Arc<BridgeView>> {
        if !std::mem::take(&mut self.dirty) {
            return None;
        }
        self.view.version += 1;
        self.unshared = true;
        self.show_learned();
        let view = Arc::new(self.view.clone());
        // What is translated here before the switch gives the view back sees it as well.
        self.live.bridges.insert(view.id, view.clone());
        self.live_stale = false;
        self.live_changes += 1;
        Some(view)
    }

    /// Puts what was learned into the view.
    pub(super) fn show_learned(&mut self) {
        self.view.mac = Some(self.macs.view());
        self.view.mcast = self.groups_heard.as_ref().map(McastTable::view);
    }

    /// What is to be done, in order.
    pub fn take_outputs(&mut self) -> Vec<Output> {
        self.tell_dropped();
        self.receipts.join(&mut self.outputs, self.now_ms);
        std::mem::take(&mut self.outputs)
    }

    fn put(&mut self, output: Output) {
        self.outputs.push(output);
    }

    /// Puts an output whose end is waited for.
    fn put_awaited(&mut self, output: Output) {
        self.awaited += 1;
        self.put(output);
    }

    /// One of the outputs that are waited for is carried out, or never will be.
    pub fn carried_out(&mut self) {
        self.awaited = self.awaited.saturating_sub(1);
        if self.awaited == 0
            && let Some((id, xid)) = self.barrier.take()
        {
            self.reply(id, xid, openflow::message::Message::BarrierReply);
        }
        self.run_queue();
    }

    /// Whether an output is being carried out whose end is waited for.
    pub fn is_awaiting(&self) -> bool {
        self.awaited > 0
    }

    /// Empties the tables, and takes groups and meters out. Without controllers and unless told to be secure, the bridge
    /// then acts as a learning switch.
    pub fn flush_flows(&mut self) {
        self.events.flushes += 1;
        let tables = self.table_ids();
        self.own.push_back(tables.into_iter().map(|t| (t, Change::Flush)).collect());
        if !self.has_controllers() && !self.config.fail_secure {
            let normal = openflow::action::Action::Output { port: OfPort::NORMAL, max_len: 0 };
            let fm = FlowMod {
                command: FlowModCommand::Add,
                priority: 0,
                table: 0,
                matching: openflow::matching::Match::any(),
                actions: Arc::from([normal]),
                ..FlowMod::default()
            };
            self.own.push_back(vec![(0, Change::flow_mod(&fm, 0))]);
        }
        self.delete_groups(openflow::message::group::GROUP_ALL);
        self.publish_groups();
        self.delete_meters(openflow::message::meter::METER_ALL);
        self.run_queue();
    }

    /// Tables that exist.
    pub fn table_ids(&self) -> Vec<u8> {
        (0..=254).filter(|t| self.view.tables[usize::from(*t)].is_some()).collect()
    }

    /// A table was started, or published a new view on its own (timeouts).
    pub fn table_published(&mut self, view: Arc<TableView>) {
        self.events.rule_changes += 1;
        let at = usize::from(view.id);
        let id = view.id;
        self.view.tables[at] = Some(view);
        self.dirty = true;
        self.watch_vacancy(id);
    }

    /// Tells the time; requests that follow see it.
    pub fn set_now(&mut self, now_ms: i64) {
        self.now_ms = self.now_ms.max(now_ms);
    }

    /// When [`Bridge::run`] has something to do, and what.
    pub fn poll_timeout(&self) -> Option<(i64, &'static str)> {
        let bundles = self.bundle_deadline.map(|at| (at, "a bundle is idle"));
        let packets = self.conns.values().filter_map(|c| c.limits.poll_timeout()).min();
        let groups = self.groups_heard.as_ref().and_then(McastTable::poll_timeout);
        let lines = self.conns.values().filter_map(|c| c.flow_mod_log.poll_timeout()).min();
        bundles
            .into_iter()
            .chain(self.partials_timeout().map(|at| (at, "a request lacks its end")))
            .chain(packets.map(|at| (at, "packets wait for their controller's rate")))
            .chain(lines.map(|at| (at, "flow-mods are worth a line in the log")))
            .chain(self.receipts.poll_timeout())
            .chain(self.recirc.poll_timeout().map(|at| (at, "recirculation states are unused")))
            .chain(self.controllers.poll_timeout(self.now_ms))
            .chain(groups)
            .chain(self.bonding_timeout())
            .chain(self.spanning_timeout())
            .chain(self.liveness_timeout())
            .chain(self.monitoring_timeout())
            .chain(self.lldp_timeout())
            .min()
    }

    /// Does what is due.
    pub fn run(&mut self, now_ms: i64) {
        self.set_now(now_ms);
        self.recirc.run(now_ms);
        if self.bundle_deadline.is_some_and(|at| at <= now_ms) {
            self.expire_bundles();
        }
        if self.partials_timeout().is_some_and(|at| at <= now_ms) {
            self.expire_partials();
        }
        if self.groups_heard.as_mut().is_some_and(|groups| groups.run(now_ms)) {
            self.events.listener_changes += 1;
            self.shows_others();
        }
        if self.bonding_timeout().is_some_and(|(at, _)| at <= now_ms) {
            self.run_bonding(now_ms);
        }
        if self.spanning_timeout().is_some_and(|(at, _)| at <= now_ms) {
            self.run_spanning(now_ms);
        }
        if self.liveness_timeout().is_some_and(|(at, _)| at <= now_ms) {
            self.run_liveness(now_ms);
        }
        self.run_lldp(now_ms);
        if self.monitoring_timeout().is_some_and(|(at, _)| at <= now_ms) {
            self.run_monitoring(now_ms);
        }
        let (mut due, mut lines) = (Vec::new(), Vec::new());
        for conn in self.conns.values_mut() {
            due.extend(conn.limits.run(now_ms).into_iter().map(|message| (conn.id, message)));
            lines.extend(conn.flow_mod_log.run(now_ms).map(|line| (conn.name.clone(), line)));
        }
        for (name, line) in lines {
            self.log_flow_mods(&name, &line);
        }
        self.run_controllers();
        for (conn, message) in due {
            self.send_packet(conn, message);
        }
    }

    /// The batch asked for by [`Output::Stage`] is staged in every table; `None` for one that could not.
    pub fn staged(&mut self, results: Vec<(u8, Option<Staged>)>, now_ms: i64) {
        self.set_now(now_ms);
        let Some(pending) = self.busy.take() else { return };
        match pending {
            Pending::Own => self.own_staged(results, now_ms),
            Pending::Changes(changes) => self.changes_staged(*changes, results, now_ms),
            other => self.busy = Some(other),
        }
        self.run_queue();
        self.run_waiting_upcalls(now_ms);
    }

    /// The address table was changed from outside: the view follows.
    pub fn macs_changed(&mut self) {
        self.events.station_changes += 1;
        self.shows_others();
    }

    /// Who is where, or listens to what, is another than the view shows.
    fn shows_others(&mut self) {
        self.dirty = true;
        self.live_stale = true;
    }

    /// Forgets stations, static ones as well.
    pub fn forget_stations(&mut self, stations: &[l2proto::mac_learning::MacKey]) {
        if stations.iter().filter(|key| self.macs.remove(key).is_some()).count() > 0 {
            self.macs_changed();
        }
    }

    /// How long a port has been there, milliseconds.
    pub fn port_age_ms(&self, port: OfPort, now_ms: i64) -> u64 {
        let since = self.port_since.get(&port).copied().unwrap_or(self.started_ms);
        u64::try_from(now_ms - since).unwrap_or(0)
    }

    /// Counters of a port without a device.
    pub fn virtual_stats(&self, port: OfPort) -> Option<VirtualStats> {
        self.virtual_stats.get(&port).copied()
    }

    /// Group statistics.
    fn credit_group(&mut self, group: u32, bucket: Option<usize>, packets: u64, bytes: u64) {
        let sum = self.group_stats.entry(group).or_default();
        sum.packets += packets;
        sum.bytes += bytes;
        // Without one named, every bucket had the packets.
        let n = self.groups.get(&group).map_or(0, |g| g.desc.buckets.len());
        if sum.buckets.len() < n {
            sum.buckets.resize(n, (0, 0));
        }
        for (i, counts) in sum.buckets.iter_mut().enumerate() {
            if bucket.is_none_or(|b| b == i) {
                counts.0 += packets;
                counts.1 += bytes;
            }
        }
    }

    /// Makes a staged batch stand, or takes it back.
    /// What the switch itself changed stands.
    fn own_staged(&mut self, mut results: Vec<(u8, Option<Staged>)>, now_ms: i64) {
        let outcomes = results.iter_mut().filter_map(|(_, staged)| staged.as_mut());
        let outcomes = outcomes.flat_map(|staged| std::mem::take(&mut staged.outcomes));
        let events: Vec<Event> = outcomes.filter_map(Result::ok).flatten().collect();
        self.settle(&results, true);
        self.lessons_learned();
        self.tell_events(None, events, now_ms);
    }

    fn settle(&mut self, results: &[(u8, Option<Staged>)], commit: bool) {
        for (table, staged) in results {
            let Some(staged) = staged else { continue };
            if commit {
                self.table_published(staged.view.clone());
            }
            self.put(Output::Settle { table: *table, commit });
        }
    }

    /// The answers to [`Output::Ask`].
    pub fn answered(&mut self, answers: Vec<Answer>, now_ms: i64) {
        self.set_now(now_ms);
        let Some(pending) = self.busy.take() else { return };
        match pending {
            Pending::Answer(conn, request, query) => self.query_answered(conn, request, query, answers),
            other => self.busy = Some(other),
        }
        self.run_queue();
        self.run_waiting_upcalls(now_ms);
    }

    /// Whether the tables have not yet answered what the bridge itself asked of them, by `learn` for instance.
    pub fn has_own_changes(&self) -> bool {
        !self.own.is_empty() || matches!(self.busy, Some(Pending::Own))
    }

    /// Carries out requests until one has to wait or none is left.
    pub fn run_queue(&mut self) {
        while self.busy.is_none() && self.awaited == 0 {
            if let Some(changes) = self.own.pop_front() {
                self.busy = Some(Pending::Own);
                let mut by_table: BTreeMap<u8, Vec<Change>> = BTreeMap::new();
                for (table, change) in changes {
                    by_table.entry(table).or_default().push(change);
                }
                self.stage(by_table);
                continue;
            }
            let Some(id) = self.ready.pop_front() else { return };
            if self.conns.get(&id).is_none_or(|c| c.credit <= 0 || c.flow_reply.is_some()) {
                // It comes back when its peer has read.
                continue;
            }
            self.serve(id);
            if let Some(conn) = self.conns.get(&id)
                && !conn.queue.is_empty()
                && conn.credit > 0
                && conn.flow_reply.is_none()
                && !self.ready.contains(&id)
            {
                self.ready.push_back(id);
            }
        }
    }

    fn stage(&mut self, by_table: BTreeMap<u8, Vec<Change>>) {
        let watched = self.conns.values().any(|c| c.monitors.are_any());
        self.put(Output::Stage { batches: by_table.into_iter().collect(), watched });
    }
}
