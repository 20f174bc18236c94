//! What makes a program a daemon: detaching, the monitor, the pidfile, the user, signals, the directories.
//!
//! Order of a daemon's life: parse the command line, open the log, [`start`] (forks while there is one
//! thread), start the actor system, bind the sockets, [`Daemon::complete`] (the parents return), serve,
//! [`Exit::wait`], [`Daemon::finish`]. Source: ovs-vswitchd(8), "Daemon Options".

mod exit;
mod monitor;
mod pidfile;

pub use exit::{Exit, Reason, run_command};
pub use pidfile::Pidfile;

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use sys::process::Fork;

/// Whether this process has yet to tell who waits for it that it serves.
static BEGINNING: AtomicBool = AtomicBool::new(false);
static SERVES: tokio::sync::Notify = tokio::sync::Notify::const_new();

/// Whether the process is a daemon that does not serve yet.
pub(crate) fn is_beginning() -> bool {
    BEGINNING.load(Ordering::Relaxed)
}

/// Completes when the daemon serves; at once in other programs. What may take long, and tells of it in the log, begins
/// then: the terminal is the user's again.
pub(crate) async fn served() {
    let mut news = std::pin::pin!(SERVES.notified());
    while is_beginning() {
        news.as_mut().await;
        news.set(SERVES.notified());
    }
}

/// How to become a daemon.
#[derive(Debug, Clone, Default)]
pub struct DaemonConfig {
    /// The program's name.
    pub program: String,
    /// The pidfile's path, if there is to be one.
    pub pidfile: Option<PathBuf>,
    /// Whether a pidfile in use is no obstacle.
    pub overwrite_pidfile: bool,
    /// Whether to go into the background.
    pub detach: bool,
    /// Whether a second process restarts the daemon when it crashes.
    pub monitor: bool,
    /// Where that process logs what became of the daemon if no log file was asked for.
    pub default_log: Option<PathBuf>,
    /// Whether a detached daemon leaves its directory for `/`.
    pub chdir: bool,
    /// `USER[:GROUP]` to become.
    pub user: Option<String>,
    /// Whether that user must still be able to work on network devices.
    pub works_on_devices: bool,
    /// What to log when the daemon serves: the module and the text.
    pub greeting: Option<(&'static str, String)>,
    /// Whether a signal that asks for the end is an end like any other, with exit code 0; else the program dies of it.
    pub ends_well_by_signal: bool,
}

/// A process that has become a daemon.
#[derive(Debug)]
pub struct Daemon {
    detached: bool,
    chdir: bool,
    pidfile: Option<Pidfile>,
    /// Where the process that waits for this one to serve hears of it.
    ready: Option<OwnedFd>,
}

/// Becomes the user, detaches, forks the monitor, takes the pidfile: returns in the process that shall serve.
///
/// # Errors
/// The text to end the program with.
pub fn start(config: &DaemonConfig) -> Result<Daemon, String> {
    if let Some(user) = &config.user {
        // Before there are more processes: the monitor is the user's as well.
        user::Identity::find(user)?.assume(config.works_on_devices)?;
    }
    if let (Some(path), false) = (&config.pidfile, config.overwrite_pidfile) {
        pidfile::must_be_free(path)?;
    }
    sys::process::die_of_faults();
    let mut ready = None;
    if config.detach {
        ready = detach()?;
    }
    if config.monitor {
        ready = monitor::start(config, ready)?;
    }
    let pidfile = match &config.pidfile {
        Some(path) => Some(Pidfile::take(path, config.overwrite_pidfile)?),
        None => None,
    };
    Ok(Daemon { detached: config.detach, chdir: config.chdir, pidfile, ready })
}

/// Forks; the parent waits until the child serves and ends as it does, the child goes on in a session of its
/// own and is handed the means to say that it serves.
fn detach() -> Result<Option<OwnedFd>, String> {
    let (from_child, to_parent) = nix::unistd::pipe().map_err(|e| format!("pipe failed ({})", e.desc()))?;
    match sys::process::fork().map_err(|e| format!("fork failed ({})", crate::stream::errno_text(&e)))? {
        Fork::Parent(child) => {
            drop(to_parent);
            std::process::exit(await_child(from_child, child));
        }
        Fork::Child => {
            let _ = nix::unistd::setsid();
            Ok(Some(to_parent))
        }
    }
}

/// Waits for the byte that says a child serves; the exit code to hand on, zero when it does.
fn await_child(from_child: OwnedFd, child: i32) -> i32 {
    use nix::sys::wait::{WaitStatus, waitpid};
    let mut byte = [0];
    if matches!(std::fs::File::from(from_child).read(&mut byte), Ok(1)) {
        return 0;
    }
    match waitpid(nix::unistd::Pid::from_raw(child), None) {
        // The child has told why by itself.
        Ok(WaitStatus::Exited(_, code)) if code != 0 => code,
        Ok(status) => {
            vlog::err!("daemon_unix", "fork child died before signaling startup ({})", monitor::describe(&status));
            1
        }
        Err(error) => {
            vlog::err!("daemon_unix", "waitpid failed ({})", error.desc());
            1
        }
    }
}

impl Daemon {
    /// The daemon serves: its parents may return. A detached daemon lets go of its terminal and directory.
    pub fn complete(&mut self) {
        if let Some(ready) = self.ready.take() {
            let _ = std::fs::File::from(ready).write_all(&[0]);
        }
        if !std::mem::take(&mut self.detached) {
            return;
        }
        if self.chdir {
            let _ = std::env::set_current_dir("/");
        }
        vlog::set_default(vlog::Destination::Console, vlog::Level::Off);
        if let Ok(null) = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null") {
            let _ = nix::unistd::dup2_stdin(&null);
            let _ = nix::unistd::dup2_stdout(&null);
            let _ = nix::unistd::dup2_stderr(&null);
        }
    }

    /// The end: removes the pidfile, and dies of the signal that asked for it, if one did.
    ///
    /// # Errors
    /// What to say of a command of `--run` that failed.
    pub fn finish(self, reason: Reason) -> Result<(), String> {
        drop(self);
        match reason {
            Reason::Signal(signal) => sys::process::die_by_signal(signal),
            Reason::Child(ended) => ended,
            Reason::Command { .. } => Ok(()),
        }
    }

    /// The pidfile's path.
    pub fn pidfile(&self) -> Option<&Path> {
        self.pidfile.as_ref().map(Pidfile::path)
    }
}

/// The directories of an installation: Debian's, unless the environment says otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directories {
    /// Sockets and pidfiles (`OVS_RUNDIR`).
    pub run: PathBuf,
    /// Logs (`OVS_LOGDIR`).
    pub log: PathBuf,
    /// Databases (`OVS_DBDIR`, else below `OVS_SYSCONFDIR`).
    pub db: PathBuf,
    /// Schemas (`OVS_PKGDATADIR`).
    pub package_data: PathBuf,
    /// Configuration (`OVS_SYSCONFDIR`).
    pub system_config: PathBuf,
}

impl Directories {
    /// Reads the directories through `variable`, which looks up an environment variable.
    pub fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Directories {
        let of = |name: &str, default: &str| {
            PathBuf::from(variable(name).filter(|v| !v.is_empty()).unwrap_or_else(|| default.to_owned()))
        };
        let system_config = of("OVS_SYSCONFDIR", "/etc");
        let below = system_config.join("openvswitch");
        Directories {
            run: of("OVS_RUNDIR", "/var/run/openvswitch"),
            log: of("OVS_LOGDIR", "/var/log/openvswitch"),
            db: variable("OVS_DBDIR").filter(|v| !v.is_empty()).map_or(below, PathBuf::from),
            package_data: of("OVS_PKGDATADIR", "/usr/share/openvswitch"),
            system_config,
        }
    }
}

/// What a daemon is while it serves.
pub trait Serving {
    /// Called before the end, while everything still runs.
    fn end(&self, reason: &Reason) -> impl Future<Output = ()>;
}

/// Runs a daemon from start to end: becomes one, calls `begin` inside the actor system, tells the parents that
/// it serves, waits until it is asked to end.
///
/// # Errors
/// The text to end the program with.
pub fn run<B, F, S>(config: &DaemonConfig, begin: B) -> Result<(), String>
where
    B: FnOnce(crate::supervise::Family, Exit) -> F,
    F: Future<Output = Result<S, String>>,
    S: Serving,
{
    sys::heap::spare_addresses();
    crate::clock::serve_log();
    crate::supervise::log_panics();
    BEGINNING.store(true, Ordering::Relaxed);
    let mut daemon = start(config).inspect_err(|text| log_fatal(text))?;
    raise_file_limit();
    let exit = Exit::new();
    let name = config.program.clone();
    let reason = actix::System::new().block_on(async {
        exit.watch_signals(config.ends_well_by_signal).map_err(|e| crate::stream::errno_text(&e))?;
        let family = crate::supervise::Family::top(&name);
        let system = tokio::select! {
            begun = begin(family.clone(), exit.clone()) => match begun {
                Ok(system) => Some(system),
                Err(text) => {
                    // What was begun already ends inside the runtime it needs.
                    drop(family);
                    crate::clock::rest().await;
                    return Err(text);
                }
            },
            // Told to end before it served.
            _ = exit.wait() => None,
        };
        if system.is_some() {
            daemon.complete();
            if let Some((module, text)) = &config.greeting {
                vlog::write_to(module, vlog::Level::Info, format_args!("{text}"));
            }
        }
        BEGINNING.store(false, Ordering::Relaxed);
        SERVES.notify_waiters();
        let reason = exit.wait().await;
        if let Some(system) = &system {
            system.end(&reason).await;
        }
        // The answer to `exit` leaves before its asker's socket does.
        crate::clock::rest().await;
        drop((system, family));
        crate::clock::rest().await;
        Ok::<Reason, String>(reason)
    })?;
    match reason {
        Reason::Signal(_) if config.ends_well_by_signal => daemon.finish(Reason::Command { cleanup: false }),
        reason => daemon.finish(reason),
    }
}

/// Logs why a daemon cannot start: to file and system log, for standard error hears it from the program.
fn log_fatal(text: &str) {
    vlog::set_console(false);
    vlog::emer!("daemon_unix", "{text}");
}

/// A server of a thousand clients needs more descriptors than a shell gives it.
fn raise_file_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}

/// Keeps the process's memory from being paged out (`--mlockall`).
///
/// # Errors
/// The text to log.
pub fn lock_memory() -> Result<(), String> {
    sys::thread::lock_memory().map_err(|e| e.to_string())
}

/// Whether this process may do what a switch does to devices.
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Asks another process to end.
///
/// # Errors
/// The text to show.
pub fn terminate(pid: u32) -> Result<(), String> {
    let pid = i32::try_from(pid).map_err(|e| e.to_string())?;
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGTERM)
        .map_err(|e| e.desc().to_owned())
}

/// Calls `then` on SIGINT and SIGTERM instead of dying, for programs without a runtime.
pub fn on_interrupt(then: impl Fn() + Send + 'static) {
    use nix::sys::signal::{SigSet, Signal};
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGINT);
    signals.add(Signal::SIGTERM);
    if signals.thread_block().is_err() {
        return;
    }
    std::thread::spawn(move || {
        while signals.wait().is_ok() {
            then();
        }
    });
}

/// Lets SIGINT and SIGTERM through, whatever mask the parent left: a program that catches them for itself
/// ([`on_interrupt`]) blocks them for the children it starts as well.
pub fn let_interrupts_through() {
    use nix::sys::signal::{SigSet, Signal};
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGINT);
    signals.add(Signal::SIGTERM);
    if signals.thread_unblock().is_err() {
        vlog::warn!("daemon", "SIGINT and SIGTERM stay blocked");
    }
}
