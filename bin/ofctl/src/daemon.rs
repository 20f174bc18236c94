//! Running in the background: the program starts itself anew and ends when the other says that it is ready.
//!
//! A process of several threads cannot safely be doubled, so that the background process is a fresh one that does all
//! the work; the one in front waits for its word.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};

use cli::daemon::MARK;
use cli::program::{self, strerror};
use rustix::process::{Flock, FlockType};

use crate::Failure;
use crate::settings::Settings;

/// Where this process stands.
pub(crate) enum Place {
    /// No `--detach`: everything happens here.
    Foreground,
    /// The fresh process of `--detach`.
    Background,
}

/// With `--detach`, starts the fresh process, waits for its word and ends; in that process, and without `--detach`, goes on.
pub(crate) fn start(settings: &Settings) -> Result<Place, Failure> {
    if !settings.daemon.detach {
        return Ok(Place::Foreground);
    }
    if std::env::var_os(MARK).is_some() {
        return Ok(Place::Background);
    }
    let exe = std::env::current_exe().map_err(|e| Failure::Text(format!("fork failed ({})", strerror(&e))))?;
    let mut command = Command::new(exe);
    std::os::unix::process::CommandExt::arg0(&mut command, &settings.argv0);
    command.args(&settings.args).env(MARK, "1").stdin(Stdio::piped());
    // Its word comes over a socket that stands in for its standard input.
    let (ours, theirs) =
        std::os::unix::net::UnixStream::pair().map_err(|e| Failure::Text(format!("pipe failed ({})", strerror(&e))))?;
    command.stdin(Stdio::from(std::os::fd::OwnedFd::from(theirs)));
    let mut child = command.spawn().map_err(|e| Failure::Text(format!("fork failed ({})", strerror(&e))))?;
    drop(command);
    let mut word = [0];
    let mut ours = ours;
    if ours.read(&mut word).is_ok_and(|n| n == 1) {
        program::flush_stdout();
        std::process::exit(0);
    }
    let code = child.wait().ok().and_then(|status| status.code()).unwrap_or(1);
    std::process::exit(if code == 0 { 1 } else { code })
}

/// Writes the pidfile, if one is asked for; the lock lasts as long as the file given back.
pub(crate) fn pidfile(settings: &Settings) -> Result<Option<std::fs::File>, Failure> {
    let Some(path) = settings.daemon.pidfile_path(&settings.program) else { return Ok(None) };
    let failed = |what: &str, e: &io::Error| Failure::Text(format!("{path}: {what} failed ({})", strerror(e)));
    let mut file = std::fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(&path)
        .map_err(|e| failed("create", &e))?;
    let locked = rustix::fs::fcntl_lock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive);
    if locked.is_err() && !settings.daemon.overwrite_pidfile {
        let holder = rustix::process::fcntl_getlk(&file, &Flock::from(FlockType::WriteLock)).ok().flatten();
        let pid = holder.and_then(|l| l.pid).map_or(0, |pid| pid.as_raw_nonzero().get());
        return Err(Failure::Text(format!("{path}: already running as pid {pid}, aborting")));
    }
    file.set_len(0).map_err(|e| failed("truncate", &e))?;
    file.write_all(format!("{}\n", std::process::id()).as_bytes()).map_err(|e| failed("write", &e))?;
    cli::alarm::remove_at_end(&path);
    Ok(Some(file))
}

/// In the background: leaves the terminal, gives the word, and lets go of standard input and output.
pub(crate) fn ready(place: &Place, settings: &Settings) {
    if matches!(place, Place::Foreground) {
        return;
    }
    let _ = rustix::process::setsid();
    if settings.daemon.chdir {
        let _ = std::env::set_current_dir("/");
    }
    let stdin = rustix::stdio::stdin();
    let _ = rustix::io::write(stdin.as_fd(), b"!");
    if let Ok(null) = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null") {
        let _ = rustix::stdio::dup2_stdin(&null);
        program::flush_stdout();
        let _ = rustix::stdio::dup2_stdout(&null);
    }
}
