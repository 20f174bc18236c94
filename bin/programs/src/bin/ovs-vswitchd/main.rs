//! `ovs-vswitchd`: the switch, configured by a database server.

mod settings;

use actors::daemon::{self, DaemonConfig, Exit};
use actors::metrics::{self, Serve};
use actors::supervise::Family;
use actors::switch::polling;
use actors::unixctl;
use actors::vswitchd::{self, VswitchdSystem};
use cli::options::{Order, UsageError};
use cli::{dirs, program};
use settings::Settings;
use std::path::Path;

/// A rule is a dozen small pieces of memory, taken and let go in great numbers: a quarter of a flow-mod's time with the C
/// library's heap.
#[global_allocator]
static ALLOCATOR: sys::heap::Heap = sys::heap::Heap;

fn main() {
    let program = program::Program::from_env("ovs-vswitchd");
    let parsed = program.parse(&settings::flags(), Order::Permute);
    if programs::is_shown_instead(&program, &parsed, settings::usage) {
        return;
    }
    let mut settings = Settings::read(&parsed).unwrap_or_else(|UsageError(text)| program.fatal(&text));
    settings.log.start(&program.name).unwrap_or_else(|UsageError(text)| program.fatal(&text));
    program.end_at_fault(&parsed);
    let version = program.version_text("");
    let config = DaemonConfig {
        works_on_devices: true,
        greeting: Some(("bridge", version.trim_end().to_owned())),
        ..programs::daemon_config(&settings.daemon, &program.name)
    };
    if config.user.is_some() {
        vswitchd::prepare_as_root(&mut settings.switch);
    }
    let name = program.name.clone();
    if let Err(text) = daemon::run(&config, |family, exit| serve(name, version, settings, family, exit)) {
        program.fatal(&text);
    }
}

async fn serve(
    name: String,
    version: String,
    mut settings: Settings,
    family: Family,
    exit: Exit,
) -> Result<VswitchdSystem, String> {
    settings.switch.seed = programs::seed()?;
    if settings.lock_memory
        && let Err(error) = daemon::lock_memory()
    {
        vlog::err!("vswitchd", "mlockall failed: {error}");
    }
    let mut commands = programs::commands(version.trim_end(), settings.test_commands);
    programs::add_switch_exit(&mut commands, &exit);
    let system = vswitchd::start(&family, &settings.switch, &mut commands)?;
    if let Some(address) = &settings.metrics {
        system.metrics.offer(Serve(metrics::bind(address).await?));
    }
    let socket = unixctl::socket_path(Path::new(&dirs::rundir()), &name, settings.unixctl.as_deref());
    if let Some(path) = socket {
        unixctl::Server::start(&family, commands.into(), &path)?;
    }
    for line in polling::discovered(&polling::cores(settings.switch.dummy_numa.as_deref())) {
        vlog::info!("ovs_numa", "{line}");
    }
    system.ready().await;
    Ok(system)
}
