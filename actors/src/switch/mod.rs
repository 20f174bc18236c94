//! The switch: root of everything that forwards. It makes what the database asks for: datapaths, bridges, ports.
//!
//! One reconfiguration runs at a time; what the database says meanwhile waits, and only the latest of it is applied:
//!
//! ```text
//! ConfigChanged ─► close what is not wanted ─► open new devices (ask ports) ─► configure bridges (ask bridges)
//!                                                                                      │
//!                StatusWrite, cur_cfg  ◄─ publish view and directory ◄─────────────────┘
//! ```

mod auto_attach;
mod bundle;
mod checks;
mod columns;
pub mod commands;
pub mod ct_zones;
pub mod desired;
pub mod directory;
mod egress;
mod farewell;
mod handmade;
pub mod local_address;
mod missed;
mod monitoring;
pub mod notes;
pub mod plan;
pub mod polling;
mod protocols;
mod reconfigure;
mod shown;
mod status;
mod system_stats;
mod tunnels;
mod underlay;
mod unwanted;

pub(crate) use status::{counters, dummy_counters, kernel_counters};

use actix::prelude::*;
use arc_swap::ArcSwap;
use flow::{FlowReported, OdpPort};
use ofproto::bridge::BridgeReport;
use ofproto::view::{BridgeId, BundleId, SwitchView, TunnelConfig};
use openflow::OfPort;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use crate::bridge::Bridge;
use crate::clock;
use crate::datapath::low_latency::LowLatency;
use crate::datapath::{Datapath, Owner, legacy};
use crate::idl::Idl;
use crate::mailbox::{Address, Latest};
use crate::msg::bridge::{DatapathAnew, Upcalls, ViewPublished};
use crate::msg::datapath::{CtTimeouts, TrackAs, TunnelPort, TunnelSources, TunnelsAre, VlanLimit};
use crate::msg::port::{PortStatus, Reattach};
use crate::msg::revalidator::{LimitAnew, Stir};
use crate::msg::switch::*;
use crate::port::Port;
use crate::port::device::{DeviceKind, Rings};
use crate::revalidator::Revalidator;
use crate::supervise::{Desk, Family, Player, Role, Strategy};
use crate::waiters::Waiters;
use desired::{DesiredInterface, DesiredQos, DesiredSwitch};
use directory::{BridgeEntry, DatapathEntry, Directory, PortEntry, Shared};
use plan::{DummyMode, OfPorts};

/// Settings that do not change while the program runs.
#[derive(Debug, Clone)]
pub struct SwitchSettings {
    /// Where sockets lie.
    pub run_dir: PathBuf,
    /// For controllers by TLS; the database's SSL row goes before the command line.
    pub tls: crate::stream::Tls,
    /// Dummies.
    pub dummy: DummyMode,
    /// Types of datapaths that bridges may have.
    pub datapath_types: Vec<&'static str>,
    /// Ring layout.
    pub rings: Rings,
    /// Seed of hashes in the datapath.
    pub seed: u64,
    /// Processors and their nodes.
    pub cores: Vec<dp::rxq::Core>,
    /// Has processors wake soon, if the kernel takes it and there are devices of the host's.
    pub low_latency: Option<LowLatency>,
}

struct Backer {
    address: Address<Datapath>,
    /// Where it runs, to the end of the backer.
    _lane: Lane,
    revalidator: Address<Revalidator>,
    stir: Latest<Stir>,
    ports: BTreeMap<OdpPort, String>,
    /// Ports that this change of configuration took out, and the bridges they were of. Until bridges have heard of it,
    /// flows that name them may still be there, and be made: the numbers are nobody else's so long.
    leaving: BTreeMap<OdpPort, (String, String)>,
    /// Tunnels by their interface's name; those of a kind share a port.
    tunnels: BTreeMap<String, Arc<TunnelConfig>>,
    /// Tunnel ports that the host's own stack sends and receives by: names and sockets.
    by_host: BTreeMap<OdpPort, (String, Arc<sys::HostTunnel>)>,
    sockets: tunnels::HostSockets,
    polling: polling::Polling,
    timeouts: ct_zones::Numbers,
    /// Of its meters.
    meters: ofproto::bridge::MeterNumbers,
    tracking: Option<dp::ct::Settings>,
}

/// A thread of a datapath's own.
struct Lane(Arbiter);

impl Drop for Lane {
    fn drop(&mut self) {
        self.0.stop();
    }
}

struct PortState {
    address: Address<Port>,
    config: Arc<DesiredInterface>,
    /// Name of the row in table Port that it is a member of: who becomes a member of another is made anew.
    bundle: String,
    port: OfPort,
    odp: Option<OdpPort>,
    kind: String,
    device: DeviceKind,
    tunnel: Option<Arc<TunnelConfig>>,
    status: Arc<PortStatus>,
    /// What its row was made from last.
    told: Option<columns::Told>,
    qos: Option<DesiredQos>,
    /// The bridge's least MTU that this device of the switch's own was given; a smaller one is then the host's choice.
    fitted_mtu: Option<i64>,
    /// The number that it has in RSTP.
    rstp_number: Option<u16>,
    /// Its device was opened once.
    added: bool,
}

impl Backer {
    /// A number for a new port of a bridge: the one it had, or else the first that nobody has, or has had just now.
    fn number_for(&self, bridge: &str, name: &str, by_name: bool) -> OdpPort {
        if by_name || self.leaving.is_empty() {
            return plan::odp_number(&self.ports, name, by_name);
        }
        let was_its = |(odp, (of, own)): &(&OdpPort, &(String, String))| {
            of == bridge && own == name && !self.ports.contains_key(odp)
        };
        let leaving = self.leaving.iter().map(|(odp, (_, name))| (*odp, name.clone()));
        let used = || self.ports.clone().into_iter().chain(leaving).collect();
        let kept = self.leaving.iter().find(was_its).map(|(odp, _)| *odp);
        kept.unwrap_or_else(|| plan::odp_number(&used(), name, by_name))
    }
}

impl PortState {
    /// Whether a change of the configuration may have something for it to do.
    fn is_due(&self, interface: &Arc<DesiredInterface>) -> bool {
        self.tunnel.is_some() || self.config != *interface || self.lacks_mtu()
    }

    /// Whether its device has another MTU than it is to have, which is tried, and told of, at each change of the
    /// configuration.
    fn lacks_mtu(&self) -> bool {
        let wanted = self.config.mtu_request;
        self.added && wanted.is_some() && wanted != self.status.mtu
    }

    /// How the device is now; what it has carried is asked for apart.
    fn take_status(&mut self, status: PortStatus) {
        let (stats, counters) = (self.status.stats.clone(), self.status.counters.clone());
        self.status = Arc::new(PortStatus { stats, counters, ..status });
    }
}

struct BridgeState {
    address: Address<Bridge>,
    views: Latest<ViewPublished>,
    id: BridgeId,
    datapath: String,
    ofports: OfPorts,
    bundles: BTreeMap<String, BundleId>,
    mirrors: plan::MirrorSlots,
    ports: BTreeMap<String, PortState>,
    /// Interfaces that could not be had, and why.
    errors: BTreeMap<String, String>,
    default_mac: u64,
    mac: u64,
    /// Tunnels that are getting another port of the datapath.
    moving: BTreeSet<String>,
    /// Datapath identifier, as the log was told.
    dpid: Option<u64>,
    /// What its protocols say.
    report: BridgeReport,
}

/// The switch's actor.
pub struct Switch {
    desk: Desk,
    settings: SwitchSettings,
    family: Family,
    ofproto: ArbiterHandle,
    datapaths: BTreeMap<String, Backer>,
    /// Datapaths that people made: `TYPE@NAME`.
    made: BTreeMap<String, DatapathEntry>,
    bridges: BTreeMap<String, BridgeState>,
    view: Arc<SwitchView>,
    /// What bridges see instead of its ports, by type of datapath, where there is more than one.
    shown: BTreeMap<String, shown::Shown>,
    /// When neighbours of tunnels are forgotten.
    aging: underlay::Aging,
    directory: Shared,
    own: Option<Address<Switch>>,
    idl: Option<(Address<Idl>, Latest<StatusWrite>)>,
    metrics: Option<crate::mailbox::Outlet<crate::metrics::Listen>>,
    host: Option<crate::host::Known>,
    /// Bridges whose ports changed and that are not told yet.
    changed: BTreeSet<String>,
    /// Who waits until they are told.
    sharing: Waiters,
    desired: DesiredSwitch,
    /// The database has said what is desired, once at least, and it is in force.
    is_configured: bool,
    /// Bridges wait for somebody to restore flows (`other_config:flow-restore-wait`).
    awaits_flows: bool,
    pending: Option<DesiredSwitch>,
    busy: bool,
    /// Devices that came, or changed, meanwhile.
    came: BTreeSet<String>,
    /// Of ports that were closed: each ends when the device is gone.
    going: Vec<tokio::sync::oneshot::Receiver<()>>,
    next_bridge: u32,
    /// What bridges take recirculation identifiers from.
    recirc_numbers: ofproto::xlate::Numbers,
    next_bundle: u32,
    next_status_ms: i64,
    /// When all was asked for its status last.
    refreshed_ms: Option<i64>,
    /// How often there was a first port to monitor.
    monitored: u32,
    /// How long threads may sleep, microseconds, as the log was told last.
    told_sleep_us: Option<u32>,
    /// How many threads hand flows to the devices that can take them; 0 until they have been asked to, which is for good.
    offload_threads: u32,
    /// What the log is told of once in the program's life, as far as it was.
    told_once: BTreeSet<&'static str>,
    /// Most VLAN headers that are looked at.
    vlan_limit: usize,
    status_written: BTreeMap<status::RowKey, RowWrite>,
    /// Ports whose rows have nothing to say, and say so already.
    silent: HashSet<ovsdb::Uuid>,
    /// How much had been written when rows that are gone were looked for last.
    written_then: usize,
    /// Auto-Attach mappings that were applied, by bridge.
    attached: BTreeMap<String, auto_attach::Applied>,
}

/// Messages that fit the mailboxes of the switch's children.
const BRIDGE_MAILBOX: usize = 1024;
const DATAPATH_MAILBOX: usize = 4096;
const PORT_MAILBOX: usize = 64;
/// How often statistics are written unless told, milliseconds.
const STATS_INTERVAL_MS: i64 = 5_000;
/// How often they are written for the sake of new devices, milliseconds: to ask for them takes the longer the more there
/// are, as the host tells of all its devices at once, and ports may be added by the hundred.
const FRESH_INTERVAL_MS: i64 = 2_000;
/// Of so many ports, and devices of the host, at the most they are written each time.
const FEW_PORTS: usize = 32;
const FEW_DEVICES: usize = 64;

impl Switch {
    /// A switch without bridges.
    pub fn new(desk: Desk, settings: SwitchSettings, ofproto: ArbiterHandle, directory: Shared) -> Self {
        let family = Family::of(&desk);
        Self {
            desk,
            settings,
            family,
            ofproto,
            datapaths: BTreeMap::new(),
            made: BTreeMap::new(),
            bridges: BTreeMap::new(),
            view: Arc::default(),
            shown: BTreeMap::new(),
            directory,
            own: None,
            idl: None,
            metrics: None,
            host: None,
            changed: BTreeSet::new(),
            sharing: Waiters::default(),
            desired: DesiredSwitch::default(),
            is_configured: false,
            awaits_flows: true,
            pending: None,
            busy: false,
            came: BTreeSet::new(),
            going: Vec::new(),
            next_bridge: 1,
            recirc_numbers: ofproto::xlate::Numbers::default(),
            next_bundle: 1,
            next_status_ms: 0,
            aging: underlay::Aging::default(),
            refreshed_ms: None,
            monitored: 0,
            vlan_limit: 1,
            offload_threads: 0,
            told_once: BTreeSet::new(),
            told_sleep_us: None,
            status_written: BTreeMap::new(),
            silent: HashSet::new(),
            written_then: 0,
            attached: BTreeMap::new(),
        }
    }

    /// An empty directory.
    pub fn directory() -> Shared {
        Arc::new(ArcSwap::from_pointee(Directory::default()))
    }

    /// What a new datapath is told at first.
    fn datapath_config(&self) -> dp::Config {
        let tunnel_sources = self.view.underlay.sources.unwrap_or(dp::TUNNEL_SOURCES);
        dp::Config { seed: self.settings.seed, max_vlans: self.vlan_limit, tunnel_sources, ..dp::Config::default() }
    }

    /// The datapath of a type, started when first needed.
    fn datapath(&mut self, kind: &str) -> Address<Datapath> {
        if let Some(backer) = self.datapaths.get(kind) {
            return backer.address.clone();
        }
        self.unmake_datapaths(kind);
        if self.settings.dummy.covers(kind) {
            crate::port::device::skip_dummy();
        }
        commands::log_implementations();
        commands::log_features(kind);
        let config = self.datapath_config();
        let arbiter = Arbiter::new();
        let role = Role::new(format!("datapath {kind}"), "datapath", DATAPATH_MAILBOX, Strategy::OneForOne);
        let (news, name) = (self.own.as_ref().map(Address::outlet::<DatapathReturned>), kind.to_owned());
        let owner = Owner {
            keeper: self.own.as_ref().map(Address::outlet::<TrackingSet>),
            losses: self.own.as_ref().map(Address::outlet::<QueuesLost>),
            place: legacy::Place::default(),
            kernel: self.settings.rings.kernel.clone(),
            low_latency: self.settings.low_latency.clone(),
        };
        let address = self.family.hire_on(arbiter.handle(), role, move |desk, ctx| {
            let mut legacy = owner.place.take();
            let lives = desk.card().counts().restarts;
            if let Some(news) = news.clone().filter(|_| lives > 0) {
                let fallen = legacy.as_mut().map(|legacy| std::mem::take(&mut legacy.flows)).unwrap_or_default();
                news.deliver(DatapathReturned { datapath: name.clone(), lives, fallen });
            }
            Datapath::new(desk, config, owner.clone(), legacy, ctx)
        });
        let role = Role::new(format!("revalidator {kind}"), "revalidator", 64, Strategy::OneForOne);
        let (datapath, directory) = (address.clone(), self.directory.clone());
        let revalidator = self.family.hire_on(self.ofproto.clone(), role, move |desk, _| {
            Revalidator::new(desk, datapath.clone(), directory.clone())
        });
        let stir = revalidator.outlet::<Stir>().latest();
        let backer = Backer {
            address: address.clone(),
            _lane: Lane(arbiter),
            revalidator,
            stir,
            ports: BTreeMap::new(),
            leaving: BTreeMap::new(),
            tunnels: BTreeMap::new(),
            by_host: BTreeMap::new(),
            sockets: BTreeMap::new(),
            polling: Default::default(),
            timeouts: ct_zones::Numbers::default(),
            meters: ofproto::bridge::MeterNumbers::default(),
            tracking: None,
        };
        self.datapaths.insert(kind.to_owned(), backer);
        address
    }

    /// Makes the view of the whole switch known. A bridge's new view changes no port's place.
    fn publish(&mut self, ports_moved: bool) {
        let mut view = SwitchView::clone(&self.view);
        view.version += 1;
        if ports_moved {
            view.odp_ports = self.odp_ports(None);
            let tunnels = self.tunnel_map(None, &view.tunnels);
            if !Arc::ptr_eq(&tunnels, &view.tunnels) {
                for (kind, backer) in &self.datapaths {
                    backer.address.offer(self.tunnels_of(kind));
                }
            }
            view.tunnels = tunnels;
            view.datapaths = self.datapaths.keys().cloned().collect();
            let known: BTreeSet<BridgeId> = self.bridges.values().map(|b| b.id).collect();
            view.bridges.retain(|id, _| known.contains(id));
        }
        self.view = Arc::new(view);
        if ports_moved {
            self.show_ports();
        }
        let views = self.views_by_datapath();
        for bridge in self.bridges.values() {
            let view = views.get(bridge.datapath.as_str()).unwrap_or(&self.view);
            bridge.views.send(ViewPublished(view.clone()));
        }
        if ports_moved {
            self.publish_directory();
        } else {
            let (view, views) = (self.view.clone(), Arc::new(views));
            let known = self.directory.load_full();
            self.directory.store(Arc::new(Directory { view, views, ..Directory::clone(&known) }));
        }
        for backer in self.datapaths.values() {
            backer.stir.send(Stir);
        }
    }

    /// The tunnel ports that end in the datapath of a type.
    fn tunnels_of(&self, kind: &str) -> TunnelsAre {
        let mut all = BTreeMap::new();
        let backer = self.datapaths.get(kind);
        for bridge in self.bridges.values().filter(|b| b.datapath == kind) {
            for port in bridge.ports.values() {
                let (Some(number), Some(config)) = (port.odp, &port.tunnel) else { continue };
                let by_host = backer.and_then(|backer| backer.by_host.get(&number)).cloned();
                let Some(kind) = config.made_of().filter(|_| config.native || by_host.is_some()) else { continue };
                // Any bridge tells whose of those that share the port a packet is.
                let bridge = bridge.address.outlet::<Upcalls>();
                all.entry(number).or_insert(TunnelPort { port: number, kind, bridge, by_host });
            }
        }
        TunnelsAre(all.into_values().collect())
    }

    fn publish_directory(&self) {
        let idl = self.idl.as_ref().map(|(address, _)| address.clone());
        let underlay = self.own.as_ref().map(Address::outlet::<UnderlayEdit>);
        let (view, views, host) = (self.view.clone(), Arc::new(self.views_by_datapath()), self.host.clone());
        let hand = self.own.as_ref().map(Address::outlet::<DatapathEdit>);
        let made = Arc::new(self.made.clone());
        let shares = self.own.as_ref().map(Address::outlet::<Share>);
        let threads = notes::Threads::read(&self.desired.other_config);
        let mut directory =
            Directory { view, views, host, idl, underlay, hand, shares, made, threads, ..Directory::default() };
        directory.is_configured = self.is_configured;
        directory.offload_threads = self.offload_threads;
        let of_bridge = |(name, bridge): (&String, &BridgeState)| {
            let entry =
                BridgeEntry { address: bridge.address.clone(), id: bridge.id, datapath: bridge.datapath.clone() };
            (name.clone(), entry)
        };
        directory.bridges = Arc::new(self.bridges.iter().map(of_bridge).collect());
        let of_port = |bridge: &String, port: &PortState| PortEntry {
            address: port.address.clone(),
            bridge: bridge.clone(),
            port: port.port,
            odp: port.odp,
            kind: port.kind.clone(),
            device: port.device,
            tunnel: port.tunnel.clone(),
            options: port.config.options.clone(),
        };
        let ports = self.bridges.iter().flat_map(|(bridge, state)| {
            state.ports.iter().map(move |(name, port)| (name.clone(), of_port(bridge, port)))
        });
        directory.ports = Arc::new(ports.collect());
        let datapaths = Arc::make_mut(&mut directory.datapaths);
        for (kind, backer) in &self.datapaths {
            let entry = DatapathEntry {
                address: backer.address.clone(),
                revalidator: Some(backer.revalidator.clone()),
                ports: backer.ports.clone(),
                assignment: backer.polling.assignment.clone(),
                own: BTreeMap::new(),
            };
            datapaths.insert(kind.clone(), entry);
        }
        self.directory.store(Arc::new(directory));
    }
}

impl Actor for Switch {
    type Context = Context<Self>;
}

impl Player for Switch {
    fn desk(&mut self) -> &mut Desk {
        &mut self.desk
    }

    fn wake(&mut self, now_ms: i64, ctx: &mut Context<Self>) {
        if self.aging.expire(&mut self.view, now_ms) {
            self.publish(false);
        }
        self.balance(now_ms, ctx);
        if now_ms >= self.next_status_ms {
            match self.busy {
                true => self.next_status_ms = now_ms + FRESH_INTERVAL_MS,
                false => self.refresh_status(ctx),
            }
        }
        self.rearm();
    }
}

/// How long statistics stay as they are in the database, milliseconds.
fn stats_interval_ms(desired: &DesiredSwitch) -> i64 {
    let given = plan::figure(&desired.other_config, "stats-update-interval");
    given.map_or(STATS_INTERVAL_MS, |ms: i64| ms.max(STATS_INTERVAL_MS))
}

impl Switch {
    fn rearm(&mut self) {
        let interval = stats_interval_ms(&self.desired);
        if self.next_status_ms <= clock::now_ms() {
            self.next_status_ms = clock::now_ms() + interval;
        }
        let statistics = (self.next_status_ms, "statistics are due");
        let aging = self.aging.next_ms().map(|at| (at, "a neighbour of tunnels is forgotten"));
        let balance = self.balance_at_ms().map(|at| (at, "the load of threads is due"));
        self.desk.arm([Some(statistics), aging, balance].into_iter().flatten().min_by_key(|(at, _)| *at));
    }
}

impl Handler<ConfigChanged> for Switch {
    type Result = ();

    fn handle(&mut self, m: ConfigChanged, ctx: &mut Context<Self>) {
        self.desk.received();
        self.pending = Some(m.0);
        self.start_reconfiguration(ctx);
    }
}

impl Handler<BridgeNews> for Switch {
    type Result = ();

    fn handle(&mut self, m: BridgeNews, ctx: &mut Context<Self>) {
        self.desk.received();
        match m {
            BridgeNews::Published(bridge) => {
                let view = Arc::make_mut(&mut self.view);
                view.bridges.insert(bridge.id, bridge);
                self.publish(false);
            }
            BridgeNews::Started(name) => {
                // The first start is part of a reconfiguration that configures it anyway.
                if self.bridges.get(&name).is_some_and(|b| b.address.card().counts().restarts > 0) {
                    self.pending.get_or_insert_with(|| self.desired.clone());
                    self.start_reconfiguration(ctx);
                }
            }
        }
    }
}

impl Handler<BridgeReported> for Switch {
    type Result = ();

    fn handle(&mut self, m: BridgeReported, _: &mut Context<Self>) {
        self.desk.received();
        let Some(bridge) = self.bridges.get_mut(&m.bridge) else { return };
        bridge.report = m.report;
        if !self.busy {
            self.write_status(None);
        }
    }
}

impl Handler<DatapathReturned> for Switch {
    type Result = ();

    /// The new datapath knows nothing but how it was made at first: it is told all again that is not flows or
    /// connections, and each port opens its device for it.
    fn handle(&mut self, m: DatapathReturned, _: &mut Context<Self>) {
        self.desk.received();
        let DatapathReturned { datapath, lives, fallen } = m;
        if self.made_returned(&datapath) {
            return;
        }
        self.retune(&datapath);
        if let Some(backer) = self.datapaths.get(&datapath) {
            backer.address.offer(VlanLimit(self.vlan_limit));
            backer.address.offer(TunnelSources(self.datapath_config().tunnel_sources));
            backer.address.offer(CtTimeouts(backer.timeouts.all()));
            backer.address.offer(self.tunnels_of(&datapath));
            if let Some(settings) = &backer.tracking {
                backer.address.offer(TrackAs(settings.clone()));
            }
        }
        let bridges = self.bridges.values().filter(|bridge| bridge.datapath == datapath);
        let mut by_bridge: BTreeMap<BridgeId, Vec<FlowReported>> = BTreeMap::new();
        for flow in fallen {
            by_bridge.entry(ofproto::bridge::owner(flow.ufid)).or_default().push(flow);
        }
        for bridge in bridges.clone() {
            let fallen = by_bridge.remove(&bridge.id).unwrap_or_default();
            bridge.address.outlet().deliver(DatapathAnew { fallen });
        }
        // Until it hears of it nobody forgets flows that are not there.
        if let Some(backer) = self.datapaths.get(&datapath) {
            backer.revalidator.outlet().deliver(LimitAnew(lives));
        }
        for port in bridges.flat_map(|bridge| bridge.ports.values()).filter(|port| port.odp.is_some()) {
            port.address.outlet().deliver(Reattach);
        }
    }
}

impl Handler<QueuesLost> for Switch {
    type Result = ();

    fn handle(&mut self, m: QueuesLost, _: &mut Context<Self>) {
        self.desk.received();
        let bridges = self.bridges.values().filter(|bridge| bridge.datapath == m.datapath);
        for port in bridges.flat_map(|bridge| bridge.ports.values()) {
            if port.odp.is_some_and(|odp| m.ports.contains(&odp)) {
                port.address.outlet().deliver(Reattach);
            }
        }
    }
}

impl Handler<TrackingSet> for Switch {
    type Result = ();

    fn handle(&mut self, m: TrackingSet, _: &mut Context<Self>) {
        self.desk.received();
        if let Some(backer) = self.datapaths.get_mut(&m.datapath) {
            backer.tracking = Some(m.settings);
        }
    }
}

/// The switch's own address, for its children (R).
#[derive(Message)]
#[rtype(result = "()")]
pub struct Own(pub Address<Switch>);

impl Handler<Own> for Switch {
    type Result = ();

    fn handle(&mut self, m: Own, _: &mut Context<Self>) {
        self.desk.received();
        self.own = Some(m.0);
    }
}

/// Where status goes (R).
#[derive(Message)]
#[rtype(result = "()")]
pub struct IdlStarted(pub Address<Idl>);

impl Handler<IdlStarted> for Switch {
    type Result = ();

    fn handle(&mut self, m: IdlStarted, _: &mut Context<Self>) {
        self.desk.received();
        let writes = m.0.outlet().latest();
        self.idl = Some((m.0, writes));
        self.rearm();
    }
}

/// Who serves metrics (R).
#[derive(Message)]
#[rtype(result = "()")]
pub struct MetricsStarted(pub crate::mailbox::Outlet<crate::metrics::Listen>);

impl Handler<MetricsStarted> for Switch {
    type Result = ();

    fn handle(&mut self, m: MetricsStarted, _: &mut Context<Self>) {
        self.desk.received();
        self.metrics = Some(m.0);
    }
}

/// The host is watched (R).
#[derive(Message)]
#[rtype(result = "()")]
pub struct HostStarted(pub crate::host::Known);

impl Handler<HostStarted> for Switch {
    type Result = ();

    fn handle(&mut self, m: HostStarted, _: &mut Context<Self>) {
        self.desk.received();
        self.host = Some(m.0);
        self.publish_directory();
    }
}

impl Handler<PortChanged> for Switch {
    type Result = ();

    fn handle(&mut self, m: PortChanged, ctx: &mut Context<Self>) {
        self.desk.received();
        let port = self.bridges.get_mut(&m.bridge).and_then(|b| b.ports.get_mut(&m.port));
        let Some(port) = port else { return };
        port.take_status(m.status);
        let first = self.changed.is_empty();
        self.changed.insert(m.bridge);
        if first && !self.busy {
            // Others may be on their way: after them.
            let step = actix::fut::wrap_future::<_, Self>(tokio::task::yield_now());
            ctx.spawn(step.map(|(), this, ctx| this.apply_port_changes(ctx)));
        }
    }
}

impl Handler<Share> for Switch {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, m: Share, _: &mut Context<Self>) -> Self::Result {
        self.desk.received();
        if !m.devices || (self.changed.is_empty() && !self.busy) {
            return Box::pin(std::future::ready(()));
        }
        Box::pin(self.sharing.wait())
    }
}

impl Handler<UnderlayEdit> for Switch {
    type Result = Result<(), String>;

    fn handle(&mut self, m: UnderlayEdit, _: &mut Context<Self>) -> Self::Result {
        self.desk.received();
        if let UnderlayEdit::Sources(sources) = m {
            for backer in self.datapaths.values() {
                backer.address.offer(TunnelSources(sources));
            }
        }
        let is_host = matches!(m, UnderlayEdit::Host(_));
        if self.aging.apply(&mut self.view, m, clock::now_ms())? {
            self.publish(false);
            self.rearm();
        }
        if is_host {
            self.tell_egress();
        }
        Ok(())
    }
}

impl Handler<DevicesChanged> for Switch {
    type Result = ();

    fn handle(&mut self, m: DevicesChanged, ctx: &mut Context<Self>) {
        self.desk.received();
        self.came.extend(m.present);
        self.tell_egress();
        if !self.busy {
            self.try_again();
            self.start_reconfiguration(ctx);
        }
    }
}
