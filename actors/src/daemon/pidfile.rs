//! Pidfiles: written aside, locked, then moved into place, so that whoever reads one finds it whole and can
//! ask the lock whether its process lives.

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A locked pidfile of this process; dropping it removes it.
#[derive(Debug)]
pub struct Pidfile {
    path: PathBuf,
    file: File,
}

fn whole_file(kind: i32) -> libc::flock {
    libc::flock {
        l_type: i16::try_from(kind).unwrap_or(0),
        l_whence: i16::try_from(libc::SEEK_SET).unwrap_or(0),
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}

/// The process that holds the lock on `file`.
fn holder(file: &File) -> Option<i32> {
    let mut lock = whole_file(libc::F_WRLCK);
    fcntl(file, FcntlArg::F_GETLK(&mut lock)).ok()?;
    (i32::from(lock.l_type) != libc::F_UNLCK).then_some(lock.l_pid)
}

/// That no process runs under the pidfile at `path`; else, or where that cannot be known, the text to end the program with.
pub fn must_be_free(path: &Path) -> Result<(), String> {
    let failed = |error: &std::io::Error| {
        let (path, text) = (path.display(), crate::stream::errno_text(error));
        vlog::warn!("daemon_unix", "{path}: open: {text}");
        format!("{path}: pidfile check failed ({text}), aborting")
    };
    let mut file = match OpenOptions::new().read(true).write(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(&error)),
    };
    let Some(holder) = holder(&file) else { return Ok(()) };
    let mut text = String::new();
    Read::by_ref(&mut file).take(64).read_to_string(&mut text).map_err(|error| failed(&error))?;
    // The file names the daemon; a lock held across a PID namespace names nobody.
    let pid = text.trim().parse().unwrap_or(holder);
    Err(format!("{}: already running as pid {pid}, aborting", path.display()))
}

impl Pidfile {
    /// Writes, locks and places the pidfile of this process.
    pub fn take(path: &Path, overwrite: bool) -> Result<Pidfile, String> {
        // Who would overwrite another's must not write into the file that the other writes aside.
        let mark = if overwrite { std::process::id().to_string() } else { String::new() };
        let tmp = PathBuf::from(format!("{}.tmp{mark}", path.display()));
        let shown = tmp.display().to_string();
        let mut file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o666)
            .open(&tmp)
            .map_err(|e| format!("{shown}: create failed ({})", crate::stream::errno_text(&e)))?;
        let fail = |what: &str, error: &str| {
            let _ = std::fs::remove_file(&tmp);
            Err(format!("{shown}: {what} failed ({error})"))
        };
        if let Err(error) = fcntl(&file, FcntlArg::F_SETLK(&whole_file(libc::F_WRLCK))) {
            return fail("fcntl(F_SETLK)", Errno::desc(error));
        }
        if let Err(error) = writeln!(file, "{}", std::process::id()) {
            return fail("write", &crate::stream::errno_text(&error));
        }
        // Another daemon may have started since the first look.
        if !overwrite && let Err(text) = must_be_free(path) {
            let _ = std::fs::remove_file(&tmp);
            return Err(text);
        }
        if let Err(error) = std::fs::rename(&tmp, path) {
            let text = crate::stream::errno_text(&error);
            let _ = std::fs::remove_file(&tmp);
            return Err(format!("failed to rename \"{shown}\" to \"{}\" ({text})", path.display()));
        }
        Ok(Pidfile { path: path.to_owned(), file })
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Pidfile {
    fn drop(&mut self) {
        let same = |a: &std::fs::Metadata, b: &std::fs::Metadata| a.ino() == b.ino() && a.dev() == b.dev();
        // Someone who overwrote it owns it now.
        if let (Ok(mine), Ok(there)) = (self.file.metadata(), std::fs::metadata(&self.path))
            && same(&mine, &there)
        {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
