//! The lock file of a database, `.NAME.~lock~` beside it: a POSIX record lock (`fcntl`), which is
//! what Open vSwitch's own programs respect.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

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
    /// The file could not be opened or locked.
    #[error("{0}: failed to lock file: {1}")]
    Io(String, std::io::Error),
}

/// The name of the lock file of `path`.
#[must_use]
pub fn lock_path(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.~lock~"))
}

impl LockFile {
    /// Locks the lock file of `path`, a file's name with its links followed.
    pub fn acquire(path: &Path) -> Result<Self, LockError> {
        let path = lock_path(path);
        let shown = path.display().to_string();
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
            .map_err(|error| LockError::Io(shown.clone(), error))?;
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
