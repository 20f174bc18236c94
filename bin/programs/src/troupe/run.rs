//! The switch and its database in one process, with the sockets, pidfiles and names that Open vSwitch's tools look for.

use actors::daemon::{self, DaemonConfig, Directories, Exit, Pidfile, Reason, Serving};
use actors::db::{self, DbConfig, DbSystem};
use actors::metrics::Serve;
use actors::stream::Tls;
use actors::supervise::Family;
use actors::switch::plan::DummyMode;
use actors::unixctl::{self, Commands};
use actors::vswitchd::{self, VswitchdConfig, VswitchdSystem};
use std::path::Path;

use super::Wanted;

const VERSION: &str = "(Open vSwitch) 3.1.0";

/// Everything that runs, kept until the end.
struct Running {
    _db: DbSystem,
    switch: VswitchdSystem,
    _pidfiles: Vec<Pidfile>,
}

impl Serving for Running {
    /// Nothing stays behind but the database.
    async fn end(&self, _: &Reason) {
        self.switch.clean_up(false).await;
    }
}

/// Runs until ctrl-C, SIGTERM or `exit`.
pub fn run(wanted: &Wanted) -> Result<(), String> {
    daemon::let_interrupts_through();
    let mut dirs = Directories::from_environment(|name| std::env::var(name).ok());
    if let Some(dir) = &wanted.dir {
        std::fs::create_dir_all(dir).map_err(|e| format!("{}: {e}", dir.display()))?;
        let dir = dir.canonicalize().map_err(|e| format!("{}: {e}", dir.display()))?;
        (dirs.run, dirs.db, dirs.log) = (dir.clone(), dir.clone(), dir);
    }
    for dir in [&dirs.run, &dirs.db] {
        std::fs::create_dir_all(dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    }
    let console = if wanted.verbose { vlog::Level::Info } else { vlog::Level::Err };
    vlog::set_default(vlog::Destination::Console, console);
    vlog::set_default(vlog::Destination::Syslog, vlog::Level::Off);
    let config = DaemonConfig { program: "troupe".to_owned(), ends_well_by_signal: true, ..DaemonConfig::default() };
    let dummy = if wanted.dummy { DummyMode::Override } else { DummyMode::Off };
    let custom = wanted.dir.is_some();
    let metrics = wanted.metrics.clone();
    daemon::run(&config, |family, exit| serve(family, exit, dirs, dummy, custom, metrics))
}

async fn serve(
    family: Family,
    exit: Exit,
    dirs: Directories,
    dummy: DummyMode,
    custom: bool,
    metrics: Option<String>,
) -> Result<Running, String> {
    let pidfiles = ["ovsdb-server", "ovs-vswitchd"]
        .iter()
        .map(|name| Pidfile::take(&dirs.run.join(format!("{name}.pid")), false))
        .collect::<Result<Vec<_>, _>>()?;
    let conf_db = dirs.db.join("conf.db");
    let schema = ovsdb::vswitch::vswitch_schema();
    let made = db::create_if_missing(&conf_db, &schema)?;
    let socket = dirs.run.join("db.sock");
    let server = format!("unix:{}", socket.display());
    let database = db::start(
        &family,
        DbConfig {
            files: vec![conf_db.display().to_string()],
            run_dir: dirs.run.clone(),
            remotes: [format!("punix:{}", socket.display()), "db:Open_vSwitch,Open_vSwitch,manager_options".to_owned()]
                .into(),
            seed: programs::seed()?,
            ..DbConfig::default()
        },
    )?;
    let mut db_commands = commands("ovsdb-server", &exit, dummy);
    db::add_commands(&mut db_commands, &database.database);
    let mut switch_commands = commands("ovs-vswitchd", &exit, dummy);
    let switch = vswitchd::start(
        &family,
        &VswitchdConfig {
            dummy_numa: None,
            server,
            run_dir: dirs.run.clone(),
            tls: Tls::default(),
            dummy,
            disable_system: false,
            disable_system_route: false,
            seed: programs::seed()?,
            database: Some(database.clone()),
            fill_empty: Some(uuid_text(programs::seed()?)),
            ring: None,
            wake_latency: None,
        },
        &mut switch_commands,
    )?;
    if let Some(address) = &metrics {
        switch.metrics.offer(Serve(actors::metrics::bind(address).await?));
    }
    for (name, commands) in [("ovsdb-server", db_commands), ("ovs-vswitchd", switch_commands)] {
        if let Some(path) = unixctl::socket_path(&dirs.run, name, None) {
            unixctl::Server::start(&family, commands.into(), &path)?;
        }
    }
    switch.ready().await;
    greet(&dirs.run, &socket, &conf_db, made, custom);
    Ok(Running { _db: database, switch, _pidfiles: pidfiles })
}

fn commands(name: &str, exit: &Exit, dummy: DummyMode) -> Commands {
    let mut commands = programs::commands(&format!("{name} {VERSION}"), dummy != DummyMode::Off);
    programs::add_switch_exit(&mut commands, exit);
    commands
}

/// A random UUID (RFC 4122, version 4).
fn uuid_text(random: u128) -> String {
    let n = (random & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{n:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

fn greet(run_dir: &Path, socket: &Path, conf_db: &Path, made: bool, custom: bool) {
    println!("troupe {} is running; ctrl-C ends it.", env!("CARGO_PKG_VERSION"));
    println!("  database   {}{}", conf_db.display(), if made { " (new)" } else { "" });
    println!("  listening  {}", socket.display());
    println!("Next, in another terminal:");
    let prefix = if custom { format!("OVS_RUNDIR={} ", run_dir.display()) } else { String::new() };
    println!("  {prefix}ovs-vsctl add-br br0");
    println!("  {prefix}ovs-vsctl add-port br0 DEVICE");
    println!("  {prefix}ovs-vsctl show; {prefix}ovs-appctl dpctl/dump-flows; {prefix}ovs-appctl actor/show");
    println!("(The tools lie beside this program after `cargo build --release`, and Open vSwitch's own work as well.)");
}
