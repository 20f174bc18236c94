//! The pidfile of a tool in the background: written aside, locked, then moved into place, so that whoever reads it finds
//! it whole and can ask the lock whether its process lives. The daemons' own is `actors::daemon::Pidfile`.

use crate::alarm;
use crate::program::strerror;
use rustix::fs::{FlockOperation, fcntl_lock};
use rustix::process::{Flock, FlockType, fcntl_getlk};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// Most octets of a pidfile that are read.
const TEXT_MAX: u64 = 64;

/// A locked pidfile of this process. [`alarm::remove_files`] removes it, so that it goes before its lock does.
#[derive(Debug)]
pub struct Pidfile {
    _locked: File,
}

impl Pidfile {
    /// Writes, locks and places the pidfile of this process. With `overwrite`, over that of a process that lives.
    ///
    /// # Errors
    /// The text to end the program with.
    pub fn take(path: &Path, overwrite: bool) -> Result<Pidfile, String> {
        // Who would overwrite another's must not write into the file that the other writes aside.
        let mark = if overwrite { std::process::id().to_string() } else { String::new() };
        let aside = PathBuf::from(format!("{}.tmp{mark}", path.display()));
        let failed =
            |what: &str, error: io::Error| format!("{}: {what} failed ({})", aside.display(), strerror(&error));
        let mut file =
            OpenOptions::new().append(true).create(true).open(&aside).map_err(|error| failed("create", error))?;
        let placed = fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive)
            .map_err(|error| failed("fcntl(F_SETLK)", error.into()))
            .and_then(|()| writeln!(file, "{}", std::process::id()).map_err(|error| failed("write", error)))
            .and_then(|()| if overwrite { Ok(()) } else { must_be_free(path) })
            .and_then(|()| {
                fs::rename(&aside, path).map_err(|error| {
                    let (from, to) = (aside.display(), path.display());
                    format!("failed to rename \"{from}\" to \"{to}\" ({})", strerror(&error))
                })
            });
        if let Err(text) = placed {
            let _ = fs::remove_file(&aside);
            return Err(text);
        }
        alarm::remove_at_end(&path.to_string_lossy());
        Ok(Pidfile { _locked: file })
    }
}

/// That no process runs under the pidfile at `path`; else, or where that cannot be known, the text to end the program with.
fn must_be_free(path: &Path) -> Result<(), String> {
    let mut file = match OpenOptions::new().read(true).write(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => {
            let (path, text) = (path.display(), strerror(&error));
            vlog::warn!("daemon_unix", "{path}: open: {text}");
            return Err(format!("{path}: pidfile check failed ({text}), aborting"));
        }
    };
    let Ok(Some(lock)) = fcntl_getlk(&file, &Flock::from(FlockType::WriteLock)) else { return Ok(()) };
    let mut text = String::new();
    let _ = Read::by_ref(&mut file).take(TEXT_MAX).read_to_string(&mut text);
    // A lock held across a PID namespace names nobody.
    match text.trim().parse().ok().or(lock.pid.map(|pid| pid.as_raw_nonzero().get())) {
        Some(pid) => Err(format!("{}: already running as pid {pid}, aborting", path.display())),
        None => Ok(()),
    }
}
