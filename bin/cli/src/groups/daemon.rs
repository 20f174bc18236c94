//! Daemon options: `--detach`, `--monitor`, `--pidfile` and their like.

use super::{Accepted, section};
use crate::dirs;
use crate::options::{Flag, Given, UsageError};

/// The daemon options.
pub const DAEMON: &[Flag] = &[
    Flag::switch("detach").help("  --detach                run in background as daemon\n"),
    Flag::switch("no-self-confinement"),
    Flag::switch("no-chdir").help("  --no-chdir              do not chdir to '/'\n"),
    Flag::optional("pidfile").help("  --pidfile[=FILE]        create pidfile (default: {rundir}/{program}.pid)\n"),
    Flag::switch("overwrite-pidfile").help("  --overwrite-pidfile     with --pidfile, start even if already running\n"),
    Flag::switch("monitor").help("  --monitor               creates a process to monitor this daemon\n"),
    Flag::value("user").help("  --user=username[:group] changes the effective daemon user:group\n"),
];

/// What the daemon options ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DaemonSettings {
    /// `--detach`: run in the background.
    pub detach: bool,
    /// `--monitor`: restart the daemon when it crashes.
    pub monitor: bool,
    /// `--pidfile`: absent, the default file (`Some(None)`), or the named one.
    pub pidfile: Option<Option<String>>,
    /// `--overwrite-pidfile`: do not mind that the pidfile is in use.
    pub overwrite_pidfile: bool,
    /// Whether to change to `/` when detached; `--no-chdir` says no.
    pub chdir: bool,
    /// Whether sockets may lie outside the run directory only if told at start;
    /// `--no-self-confinement` lifts that.
    pub self_confinement: bool,
    /// `--user=USER[:GROUP]`.
    pub user: Option<String>,
    /// Who that is.
    pub identity: Option<user::Identity>,
}

impl Default for DaemonSettings {
    fn default() -> Self {
        DaemonSettings {
            detach: false,
            monitor: false,
            pidfile: None,
            overwrite_pidfile: false,
            chdir: true,
            self_confinement: true,
            user: None,
            identity: None,
        }
    }
}

impl DaemonSettings {
    /// Takes the option if it is one of this group.
    ///
    /// # Errors
    /// A user that there is not, or that this process may not become.
    pub fn accept(&mut self, option: &Given) -> Accepted {
        match option.flag.long {
            "detach" => self.detach = true,
            "monitor" => self.monitor = true,
            "pidfile" => self.pidfile = Some(option.value.clone()),
            "overwrite-pidfile" => self.overwrite_pidfile = true,
            "no-chdir" => self.chdir = false,
            "no-self-confinement" => self.self_confinement = false,
            "user" => {
                self.identity = Some(user::Identity::find(option.text()).map_err(UsageError)?);
                self.user = option.value.clone();
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The path of the pidfile for `program`, if one is asked for: below the run directory unless
    /// the name given is absolute.
    #[must_use]
    pub fn pidfile_path(&self, program: &str) -> Option<String> {
        let name = self.pidfile.as_ref()?;
        let name = match name {
            Some(name) if !name.is_empty() => name.clone(),
            _ => format!("{program}.pid"),
        };
        Some(dirs::below(&dirs::rundir(), &name))
    }

    /// The group's section of `--help`, after a blank line.
    #[must_use]
    pub fn usage(program: &str) -> String {
        const ORDER: [&str; 6] = ["detach", "monitor", "user", "no-chdir", "pidfile", "overwrite-pidfile"];
        let shown: Vec<Flag> =
            ORDER.iter().filter_map(|name| DAEMON.iter().find(|f| f.long == *name)).copied().collect();
        section(program, "\nDaemon options:", &shown)
    }
}
