//! The lock file of a database, `.NAME.~lock~` beside it: a POSIX record lock (`fcntl`), which is
//! what Open vSwitch's own programs respect.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::error::errno_text;
use rustix::fs::{FlockOperation, fcntl_lock};
use rustix::process::{Flock, FlockType, fcntl_getlk};

/// Files that this process has locked: record locks do not keep a process from itself.
static HELD: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// A lock that is held until this value is dropped. The file stays.
#[derive(Debug)]
pub struct LockFile {
    path: PathBuf,
    _file: File,
}

/// Why a lock was refused.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody has it.
    #[error("{0}: cannot lock file because it is already locked by pid {1}")]
    Held(String, i32),
    /// We have it.
    #[error("{0}: cannot lock file because this process has already locked it")]
    HeldByUs(String),
    /// The file could not be opened.
    #[error("{0}: failed to open lock file: {text}", text = errno_text(.1))]
    Open(String, std::io::Error),
    /// The file could not be locked.
    #[error("{0}: failed to lock file: {text}", text = errno_text(.1))]
    Io(String, std::io::Error),
}

impl LockError {
    /// What the log is to say of it, a line each.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        let mut notes = vec![self.to_string()];
        if let LockError::Open(name, error) = self {
            notes.push(format!("{name}: failed to lock file: {}", errno_text(error)));
        }
        notes
    }

    /// What the system said, or would have.
    pub(super) fn cause(self) -> std::io::Error {
        match self {
            LockError::Open(_, error) | LockError::Io(_, error) => error,
            LockError::Held(..) | LockError::HeldByUs(_) => rustix::io::Errno::AGAIN.into(),
        }
    }
}

/// The folder of a name, with its last slash, and the rest: unlike `Path::parent` to the letter.
fn split(path: &Path) -> (&OsStr, &OsStr) {
    let octets = path.as_os_str().as_bytes();
    let (folder, name) = octets.split_at(octets.iter().rposition(|octet| *octet == b'/').map_or(0, |at| at + 1));
    (OsStr::from_bytes(folder), OsStr::from_bytes(name))
}

/// The name of the lock file of `path`, in the same words otherwise.
#[must_use]
pub fn lock_path(path: &Path) -> PathBuf {
    let (folder, name) = split(path);
    PathBuf::from([folder, OsStr::new("."), name, OsStr::new(".~lock~")].into_iter().collect::<OsString>())
}

/// Links that a name may lead through.
const LINKS_AT_MOST: usize = 40;

/// The file that the link `path` leads to, else `path` itself: as short as it was given, for messages name it.
pub(super) fn follow_links(path: &Path) -> PathBuf {
    let mut path = path.to_owned();
    for _ in 0..LINKS_AT_MOST {
        let Ok(target) = std::fs::read_link(&path) else { break };
        let folder = if target.is_relative() { split(&path).0 } else { OsStr::new("") };
        path = PathBuf::from([folder, target.as_os_str()].into_iter().collect::<OsString>());
    }
    path
}

impl LockFile {
    /// Locks the lock file of the file that `path` names or leads to by links.
    pub fn acquire(path: &Path) -> Result<Self, LockError> {
        let near = lock_path(&follow_links(path));
        let shown = near.display().to_string();
        // The process may go to another directory while it holds the lock.
        let folder = near.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let path = match std::fs::canonicalize(folder) {
            Ok(folder) => folder.join(near.file_name().unwrap_or_default()),
            Err(error) => return Err(LockError::Open(shown, error)),
        };
        let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
        // Opening a locked file a second time, and closing it, would end the lock.
        if held.contains(&path) {
            return Err(LockError::HeldByUs(shown));
        }
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|error| LockError::Open(shown.clone(), error))?;
        if let Err(error) = fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
            let wanted = Flock::from(FlockType::WriteLock);
            let holder = fcntl_getlk(&file, &wanted).ok().flatten().and_then(|lock| lock.pid);
            return Err(match holder {
                Some(pid) => LockError::Held(shown, pid.as_raw_nonzero().get()),
                None => LockError::Io(shown, error.into()),
            });
        }
        held.insert(path.clone());
        Ok(LockFile { path, _file: file })
    }
}

impl Drop for LockFile {
    fn drop(&mut self) {
        HELD.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.path);
    }
}
