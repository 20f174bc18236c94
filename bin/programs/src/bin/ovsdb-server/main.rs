//! `ovsdb-server`: the Open vSwitch database server.

mod settings;

use actors::daemon::{self, DaemonConfig, Exit, Reason};
use actors::metrics::{self, Metrics, Serve, Sources};
use actors::supervise::Family;
use actors::{db, unixctl, web};
use cli::options::{Order, UsageError};
use cli::{dirs, program};
use settings::Settings;
use std::path::Path;

/// A transaction is some hundred small pieces of memory, soon let go: a quarter of its time with the C library's heap.
#[global_allocator]
static ALLOCATOR: sys::heap::Heap = sys::heap::Heap;

fn main() {
    let program = program::Program::from_env("ovsdb-server");
    let parsed = program.parse(&settings::flags(), Order::Permute);
    if programs::is_shown_instead(&program, &parsed, settings::usage) {
        return;
    }
    let mut settings = Settings::read(&parsed).unwrap_or_else(|UsageError(text)| program.fatal(&text));
    settings.log.start(&program.name).unwrap_or_else(|UsageError(text)| program.fatal(&text));
    program.end_at_fault(&parsed);
    let version = program.version_text("");
    if settings.daemon.monitor {
        settings.db.legacy = Some(db::Legacy::create().unwrap_or_else(|text| program.fatal(&text)));
    }
    let config = DaemonConfig {
        greeting: settings.command.is_none().then(|| ("ovsdb_server", version.trim_end().to_owned())),
        ..programs::daemon_config(&settings.daemon, &program.name)
    };
    let name = program.name.clone();
    let served = daemon::run(&config, |family, exit| serve(name, version, settings, family, exit));
    if let Err(text) = served {
        program.fatal(&text);
    }
}

async fn serve(
    name: String,
    version: String,
    mut settings: Settings,
    family: Family,
    exit: Exit,
) -> Result<db::DbSystem, String> {
    settings.db.seed = programs::seed()?;
    let system = db::start(&family, settings.db)?;
    system.ready().await;
    let mut commands = programs::commands(version.trim_end(), settings.test_commands);
    db::add_commands(&mut commands, &system.database);
    let asked = exit.clone();
    commands.add("exit", "", 0, 0, move |_| {
        asked.ask(Reason::Command { cleanup: false });
        Ok(String::new())
    });
    if let Some(address) = &settings.web {
        let registries = vec![system.methods.module().clone().into(), commands.module().clone().into()];
        web::Web::start(&family, web::parse_address(address)?, registries).await?;
    }
    if let Some(address) = &settings.metrics {
        let sources = Sources { database: Some(system.clone()), ..Sources::default() };
        Metrics::start(&family, sources).offer(Serve(metrics::bind(address).await?));
    }
    let socket = unixctl::socket_path(Path::new(&dirs::rundir()), &name, settings.unixctl.as_deref());
    if let Some(path) = socket {
        unixctl::Server::start(&family, commands.into(), &path)?;
    }
    if let Some(command) = settings.command {
        daemon::run_command(&command, &exit)?;
    }
    Ok(system)
}
