//! `--detach` and `--pidfile` for tools that can run in the background.
//!
//! A detached program is a second process of the same program with the same arguments: without
//! `fork(2)`, which safe code does not have, it begins anew and does not detach again. The first
//! process ends when the second says that it is ready. `--monitor` is accepted; tools have nothing
//! worth restarting. `--user` is for the process that does the work.

use crate::groups::DaemonSettings;
use crate::pidfile::Pidfile;
use crate::program::{Program, flush_stdout, strerror};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};

/// Tells the second process that it is one. Its value says nothing.
pub const MARK: &str = "TROUPE_DETACHED";

/// The streams on which a program in the background goes on to report; the others lead nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reports {
    /// Standard output and standard error.
    Both,
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A program that may be in the background.
#[derive(Debug)]
pub struct Daemon {
    /// Held, with its lock, for as long as the program runs.
    pidfile: Option<Pidfile>,
    detached: bool,
    ready: bool,
    chdir: bool,
}

impl Daemon {
    /// Detaches if that is asked for, in which case only the second process returns from here, and
    /// makes the pidfile.
    ///
    /// # Errors
    /// The text to end the program with.
    pub fn start(program: &Program, settings: &DaemonSettings) -> Result<Daemon, String> {
        let mut daemon = Daemon::detach(program, settings)?;
        daemon.make_pidfile(&program.name, settings)?;
        Ok(daemon)
    }

    /// Goes on as the user that is asked for. `detaches` says whether this command goes to the background if
    /// it is asked to: then the first process, which only starts the second, stays who it is.
    ///
    /// # Errors
    /// The text to end the program with.
    pub fn assume_user(settings: &DaemonSettings, detaches: bool) -> Result<(), String> {
        match &settings.identity {
            Some(identity) if !(detaches && settings.detach && std::env::var_os(MARK).is_none()) => {
                identity.assume(false)
            }
            _ => Ok(()),
        }
    }

    /// As [`Daemon::start`], but leaves the pidfile to [`Daemon::make_pidfile`].
    ///
    /// # Errors
    /// The text to end the program with.
    pub fn detach(program: &Program, settings: &DaemonSettings) -> Result<Daemon, String> {
        let detached = settings.detach && std::env::var_os(MARK).is_some();
        if settings.detach && !detached {
            std::process::exit(begin_second(program)?);
        }
        if detached {
            // A session of its own keeps the terminal's signals away.
            let _ = rustix::process::setsid();
        }
        Ok(Daemon { pidfile: None, detached, ready: false, chdir: settings.chdir })
    }

    /// Makes the pidfile if one is asked for; `program` is its usual name.
    ///
    /// # Errors
    /// The text to end the program with.
    pub fn make_pidfile(&mut self, program: &str, settings: &DaemonSettings) -> Result<(), String> {
        if let Some(path) = settings.pidfile_path(program) {
            self.pidfile = Some(Pidfile::take(path.as_ref(), settings.overwrite_pidfile)?);
        }
        Ok(())
    }

    /// Whether this is the process in the background.
    #[must_use]
    pub fn is_detached(&self) -> bool {
        self.detached
    }

    /// Says that the program does its work now: the first process ends.
    pub fn ready(&mut self, reports: Reports) {
        if !self.detached || std::mem::replace(&mut self.ready, true) {
            return;
        }
        flush_stdout();
        if self.chdir {
            let _ = std::env::set_current_dir("/");
        }
        // Standard input is the pipe on which the first process waits.
        let pipe = std::io::stdin().as_fd().try_clone_to_owned().map(File::from);
        let _ = pipe.and_then(|mut pipe| pipe.write_all(b"r"));
        // What goes on to be reported is the program's results and faults, not its log.
        vlog::set_default(vlog::Destination::Console, vlog::Level::Off);
        if let Ok(null) = OpenOptions::new().read(true).write(true).open("/dev/null") {
            let _ = rustix::stdio::dup2_stdin(&null);
            let _ = match reports {
                Reports::Both => Ok(()),
                Reports::Stdout => rustix::stdio::dup2_stderr(&null),
                Reports::Stderr => rustix::stdio::dup2_stdout(&null),
            };
        }
    }
}

/// Starts the second process and waits until it is ready; gives the exit code.
fn begin_second(program: &Program) -> Result<i32, String> {
    let failed = |error: std::io::Error| format!("could not detach ({})", strerror(&error));
    let (reader, writer) =
        rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(|error| failed(error.into()))?;
    let mut reader = File::from(reader);
    let image = std::env::current_exe().map_err(failed)?;
    let mut command = Command::new(image);
    std::os::unix::process::CommandExt::arg0(&mut command, &program.argv0);
    let mut child = command.args(&program.args).env(MARK, "1").stdin(Stdio::from(writer)).spawn().map_err(failed)?;
    // The command keeps its copy of the pipe's other end until it is dropped.
    drop(command);
    let mut byte = [0];
    match reader.read(&mut byte) {
        Ok(1) => Ok(0),
        _ => Ok(child.wait().ok().and_then(|status| status.code()).unwrap_or(1)),
    }
}
