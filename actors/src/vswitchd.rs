//! The switch as actors: `ovs-vswitchd`, and the switch of `troupe`.
//!
//! ```text
//! Switch ── hires ──> Port × interfaces          (this thread)
//!   │       ── hires ──> Bridge × bridges, Revalidator × datapaths     (the ofproto thread)
//!   │                       └── hires ──> FlowTable × tables, Listener, Session, Connector
//!   │       ── hires ──> Datapath × types         (a thread each)
//! Idl ── ConfigChanged ──> Switch ── StatusWrite ──> Idl
//! ```

use actix::prelude::*;
use futures::future::join_all;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use sys::{RingKind, WakeLatency};
use tokio::sync::watch;

use crate::daemon::{Reason, Serving};
use crate::datapath::kernel::KernelFlows;
use crate::datapath::low_latency::LowLatency;
use crate::db::DbSystem;
use crate::host::Host;
use crate::idl::{DbServer, Idl, IdlSetup};
use crate::mailbox::Address;
use crate::metrics::{Metrics, Sources};
use crate::msg::datapath::Quiesce;
use crate::msg::port::Leave;
use crate::msg::switch::CleanUp;
use crate::port::device::Rings;
use crate::stream::Tls;
use crate::supervise::{Family, Role, Strategy};
use crate::switch::directory::Shared;
use crate::switch::plan::DummyMode;
use crate::switch::{HostStarted, IdlStarted, MetricsStarted, Own, Switch, SwitchSettings};
use crate::unixctl::{Commands, coverage};

/// How a switch is to be.
#[derive(Debug, Clone)]
pub struct VswitchdConfig {
    /// The database server: `unix:FILE`, `tcp:HOST:PORT`, `ssl:HOST:PORT`.
    pub server: String,
    /// Where sockets lie.
    pub run_dir: PathBuf,
    /// For `ssl:` servers and controllers.
    pub tls: Tls,
    /// Dummies.
    pub dummy: DummyMode,
    /// `--dummy-numa`: the NUMA nodes of processors that are made up, between commas.
    pub dummy_numa: Option<String>,
    /// `--disable-system`: there are no devices of the host's.
    pub disable_system: bool,
    /// `--disable-system-route`: tunnels go by people's routes alone.
    pub disable_system_route: bool,
    /// 128 random bits.
    pub seed: u128,
    /// Fill an empty database with a root row: its system identifier.
    pub fill_empty: Option<String>,
    /// The database server of this process, if it has one: its figures go with the switch's metrics.
    pub database: Option<DbSystem>,
    /// Ring layout asked for; `None` lets a test at start decide.
    pub ring: Option<RingKind>,
    /// Has processors wake soon; `None`: the switch opens it where it starts.
    pub wake_latency: Option<Arc<WakeLatency>>,
}

/// A running switch.
#[derive(Debug, Clone)]
pub struct VswitchdSystem {
    /// The switch's actor.
    pub switch: Address<Switch>,
    /// Who is where.
    pub directory: Shared,
    /// Who serves metrics.
    pub metrics: Address<Metrics>,
    rings: sys::RingStock,
    ready: watch::Receiver<bool>,
}

/// How long taking everything down may take.
const PATIENCE: Duration = Duration::from_secs(5);

impl Serving for VswitchdSystem {
    /// Ports of the switch's own stay, with their addresses, for the next start, unless told otherwise.
    async fn end(&self, reason: &Reason) {
        if let Reason::Command { cleanup } = reason {
            self.clean_up(!cleanup).await;
        }
        self.let_go().await;
    }
}

impl VswitchdSystem {
    /// Takes down bridges and ports; devices of the switch's own too, unless they are kept for the next start.
    pub async fn clean_up(&self, keeps_devices: bool) {
        if let Err(error) = self.switch.ask(CleanUp { keeps_devices }, PATIENCE).await {
            vlog::warn!("bridge", "cleaning up: {error}");
        }
    }

    /// Lets go of all devices at once: the kernel, left alone with their sockets, would close one after the other, each
    /// in a grace period or two.
    async fn let_go(&self) {
        self.rings.close();
        let known = self.directory.load_full();
        join_all(known.ports.values().map(|port| port.address.ask(Leave, PATIENCE))).await;
        join_all(known.datapaths.values().map(|datapath| datapath.address.ask(Quiesce, PATIENCE))).await;
        let closing = tokio::task::spawn_blocking(sys::finish_closing);
        let _ = tokio::time::timeout(PATIENCE, closing).await;
    }

    /// Waits until the first configuration is in force and written back to the database.
    pub async fn ready(&self) {
        // The other end is kept by the idl for as long as there is one.
        let _ = self.ready.clone().wait_for(|ready| *ready).await;
    }
}

/// Does what takes root, for a switch that will go on as another user: has a test choose the layout of rings, who may not make
/// the room that it takes, and opens what processors are kept awake by. To be called while this process is root's, and has
/// one thread.
pub fn prepare_as_root(config: &mut VswitchdConfig) {
    if config.dummy == DummyMode::Off {
        config.wake_latency = WakeLatency::open().ok().map(Arc::new);
    }
    if config.ring.is_none() && config.dummy == DummyMode::Off {
        let works = sys::early_reading_works_apart().unwrap_or(false);
        config.ring = Some(if works { RingKind::V3 } else { RingKind::V2 });
    }
}

/// Messages that fit the mailboxes of the two at the top.
const MAILBOX: usize = 1024;

/// Starts a switch and registers its control commands.
///
/// # Errors
/// The text to end the program with.
pub fn start(family: &Family, config: &VswitchdConfig, commands: &mut Commands) -> Result<VswitchdSystem, String> {
    sys::heap::return_freed_soon();
    coverage::expect(&coverage::names::SWITCH);
    config.tls.judge();
    let kind = config.ring.unwrap_or_else(|| {
        // The test makes devices of its own; where that is not allowed V2 is the safe choice.
        if config.dummy != DummyMode::Off || sys::early_reading_works().unwrap_or(false) {
            RingKind::V3
        } else {
            RingKind::V2
        }
    });
    let kernel = match KernelFlows::new() {
        // Dummies are none of the kernel's.
        _ if config.dummy != DummyMode::Off => None,
        Ok(kernel) => Some(kernel),
        Err(error) => {
            vlog::info!("dpif_netdev", "the kernel forwards nothing by itself: {error}");
            None
        }
    };
    let settings = SwitchSettings {
        run_dir: config.run_dir.clone(),
        tls: config.tls.clone(),
        dummy: config.dummy,
        datapath_types: datapath_types(config.dummy, config.disable_system),
        rings: Rings::new(kind, kernel),
        seed: (config.seed >> 64) as u64 ^ config.seed as u64,
        cores: crate::switch::polling::cores(config.dummy_numa.as_deref()),
        low_latency: low_latency(config),
    };
    let rings = settings.rings.stock.clone();
    let directory = Switch::directory();
    let ofproto = Arbiter::new();
    let role = Role::new("switch", "switch", MAILBOX, Strategy::EndsProcess);
    let (shared, handle) = (directory.clone(), ofproto.handle());
    let switch = family.hire(role, move |desk, _| Switch::new(desk, settings.clone(), handle.clone(), shared.clone()));
    switch.offer(Own(switch.clone()));
    // `--disable-system` means the kernel's datapath; with dummies it also keeps the host's devices out of tests.
    if !(config.disable_system && config.dummy != DummyMode::Off) {
        let view = crate::host::Shared::default();
        let role = Role::new("host", "host", 64, Strategy::OneForOne);
        let (published, shared, news) = (view.clone(), directory.clone(), switch.outlet());
        let tells_routes = !config.disable_system_route;
        let address = family
            .hire(role, move |desk, _| Host::new(desk, published.clone(), shared.clone(), news.clone(), tells_routes));
        switch.offer(HostStarted(crate::host::Known { view, address }));
    }
    let sources = Sources { switch: Some(directory.clone()), database: config.database.clone() };
    let metrics = Metrics::start(family, sources);
    switch.offer(MetricsStarted(metrics.outlet()));
    let (told, ready) = watch::channel(false);
    let setup = IdlSetup {
        servers: DbServer::list(&config.server, &config.run_dir),
        tls: config.tls.clone(),
        switch: switch.clone(),
        seed: config.seed.rotate_left(17),
        iface_types: iface_types(config.dummy),
        datapath_types: datapath_types(config.dummy, config.disable_system),
        fill_empty: config.fill_empty.as_deref().map(|id| root_columns(id, &config.run_dir)),
        ready: told,
    };
    let role = Role::new("idl", "idl", MAILBOX, Strategy::OneForOne);
    let idl = family.hire(role, move |desk, _| Idl::new(desk, setup.clone()));
    switch.offer(IdlStarted(idl));
    crate::switch::commands::add(commands, &directory);
    crate::qos::commands::add(commands, &directory);
    crate::capture::add(commands, &directory);
    Ok(VswitchdSystem { switch, directory, metrics, rings, ready })
}

/// What has processors wake soon. Dummies wait for nobody.
fn low_latency(config: &VswitchdConfig) -> Option<LowLatency> {
    if config.dummy != DummyMode::Off {
        return None;
    }
    let opened = config.wake_latency.clone().map_or_else(|| WakeLatency::open().map(Arc::new), Ok);
    match opened {
        Ok(request) => Some(LowLatency::new(request)),
        Err(error) => {
            vlog::info!("dpif_netdev", "processors sleep as they like, low-latency or not: {error}");
            None
        }
    }
}

/// What `ovs-ctl` would write into an empty database.
fn root_columns(system_id: &str, run_dir: &std::path::Path) -> Vec<(&'static str, ovsdb::Datum)> {
    use ovsdb::Datum;
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let of = |key: &str| {
        let line = release.lines().find_map(|l| l.strip_prefix(key)?.strip_prefix('='));
        line.map(|v| v.trim_matches('"').to_owned()).unwrap_or_else(|| "unknown".to_owned())
    };
    let run_dir = run_dir.display().to_string();
    vec![
        ("ovs_version", Datum::string("3.1.0")),
        ("db_version", Datum::string("8.3.1")),
        ("system_type", Datum::string(&of("ID"))),
        ("system_version", Datum::string(&of("VERSION_ID"))),
        ("external_ids", Datum::string_map([("rundir", run_dir.as_str()), ("system-id", system_id)])),
    ]
}

fn iface_types(dummy: DummyMode) -> Vec<&'static str> {
    let mut types = vec![
        "afxdp",
        "afxdp-nonpmd",
        "bareudp",
        "erspan",
        "geneve",
        "gre",
        "gtpu",
        "internal",
        "ip6erspan",
        "ip6gre",
        "lisp",
        "patch",
        "stt",
        "system",
        "tap",
        "vxlan",
    ];
    if dummy != DummyMode::Off {
        types.extend(["dummy", "dummy-internal", "dummy-pmd"]);
    }
    types
}

fn datapath_types(dummy: DummyMode, disable_system: bool) -> Vec<&'static str> {
    let has_dummies = dummy != DummyMode::Off;
    let has_system = !disable_system || dummy.covers("system");
    let all = [("dummy", has_dummies), ("netdev", true), ("system", has_system)];
    all.into_iter().filter_map(|(kind, is_there)| is_there.then_some(kind)).collect()
}
