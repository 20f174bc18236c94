//! `--detach` and `--pidfile` for tools that can run in the background.
//!
//! A detached program is a second process of the same program with the same arguments: without
//! `fork(2)`, which safe code does not have, it begins anew and does not detach again. The first
//! process ends when the second says that it is ready. `--monitor` is accepted; tools have nothing
//! worth restarting. `--user` is absent, as tools have nothing to give up.

use crate::alarm;
use crate::groups::DaemonSettings;
use crate::program::{Program, flush_stdout, strerror};
use rustix::fs::{FlockOperation, fcntl_lock};
use rustix::process::{Flock, FlockType, fcntl_getlk};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};

/// Tells the second process that it is one. Its value says nothing.
pub const MARK: &str = "TROUPE_DETACHED";

/// A program that may be in the background.
#[derive(Debug)]
pub struct Daemon {
    /// Held, with its lock, for as long as the program runs.
    _pidfile: Option<File>,
    detached: bool,
    ready: bool,
}

impl Daemon {
    /// Detaches if that is asked for, in which case only the second process returns from here, and
    /// makes the pidfile.
    ///
    /// # Errors
    /// The text to end the program with.
    pub fn start(program: &Program, settings: &DaemonSettings) -> Result<Daemon, String> {
        let detached = settings.detach && std::env::var_os(MARK).is_some();
        if settings.detach && !detached {
            std::process::exit(begin_second(program)?);
        }
        if detached {
            // A session of its own keeps the terminal's signals away.
            let _ = rustix::process::setsid();
        }
        let pidfile = match settings.pidfile_path(&program.name) {
            Some(path) => Some(make_pidfile(&path, settings.overwrite_pidfile)?),
            None => None,
        };
        Ok(Daemon { _pidfile: pidfile, detached, ready: false })
    }

    /// Whether this is the process in the background.
    #[must_use]
    pub fn is_detached(&self) -> bool {
        self.detached
    }

    /// Says that the program does its work now: the first process ends. Standard output stays, as
    /// it is where the program reports.
    pub fn ready(&mut self) {
        if !self.detached || std::mem::replace(&mut self.ready, true) {
            return;
        }
        flush_stdout();
        // Standard input is the pipe on which the first process waits.
        let pipe = std::io::stdin().as_fd().try_clone_to_owned().map(File::from);
        let _ = pipe.and_then(|mut pipe| pipe.write_all(b"r"));
        if let Ok(null) = OpenOptions::new().read(true).write(true).open("/dev/null") {
            let _ = rustix::stdio::dup2_stdin(&null);
            let _ = rustix::stdio::dup2_stderr(&null);
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

fn make_pidfile(path: &str, overwrite: bool) -> Result<File, String> {
    let failed = |what: &str, error: std::io::Error| format!("{path}: {what} failed ({})", strerror(&error));
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(|error| failed("create", error))?;
    if fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive).is_err() && !overwrite {
        let holder = fcntl_getlk(&file, &Flock::from(FlockType::WriteLock)).ok().flatten().and_then(|lock| lock.pid);
        let holder = holder.map_or_else(|| "unknown".to_string(), |pid| pid.as_raw_nonzero().to_string());
        return Err(format!("{path}: already running as pid {holder}, aborting"));
    }
    file.set_len(0).map_err(|error| failed("truncate", error))?;
    file.write_all(format!("{}\n", std::process::id()).as_bytes()).map_err(|error| failed("write", error))?;
    alarm::remove_at_end(path);
    Ok(file)
}
