//! A storage in the file system. Compaction writes `NAME.tmp` beside the file and renames it.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::lock::{LockFile, follow_links};
use super::storage::{Replacement, Storage, SyncJob};
use crate::error::OvsdbError;

/// A log in a file.
#[derive(Debug)]
pub struct FileStorage {
    name: String,
    path: PathBuf,
    file: Arc<File>,
    len: u64,
    lock: Option<Arc<LockFile>>,
    turn: Turn,
}

/// Held by who makes or renames the temporary file.
type Turn = Arc<Mutex<()>>;

/// Why a file was not opened.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct Refusal {
    /// What is to be told.
    pub error: OvsdbError,
    /// What the log is to say of the lock file before, a line each.
    pub notes: Vec<String>,
}

fn failed(name: &str, what: &str) -> impl Fn(io::Error) -> Refusal {
    move |error| Refusal { error: OvsdbError::io(format!("{name}: {what} failed"), &error), notes: Vec::new() }
}

/// Locks a file that need not be there yet, for who writes it by other means.
///
/// # Errors
/// Another holds the lock, or the operating system's.
pub fn lock_file(path: &Path) -> Result<Arc<LockFile>, Refusal> {
    locked(&path.display().to_string(), path)
}

fn locked(name: &str, path: &Path) -> Result<Arc<LockFile>, Refusal> {
    LockFile::acquire(path).map(Arc::new).map_err(|error| {
        let notes = error.notes();
        let error = OvsdbError::io(format!("{name}: failed to lock lockfile"), &error.cause());
        Refusal { error, notes }
    })
}

impl FileStorage {
    /// Opens a file for reading and writing, and locks it.
    pub fn open(path: &Path) -> Result<Self, Refusal> {
        FileStorage::open_with(path, true)
    }

    /// Opens a file for reading; whoever writes it is not kept from that.
    pub fn open_read_only(path: &Path) -> Result<Self, Refusal> {
        FileStorage::open_with(path, false)
    }

    fn open_with(path: &Path, write: bool) -> Result<Self, Refusal> {
        let name = path.display().to_string();
        let failed = || failed(&name, "open");
        let lock = if write { Some(locked(&name, path)?) } else { None };
        // Links are followed now, so that compaction replaces the file and not a link to it.
        let path = std::fs::canonicalize(path).map_err(failed())?;
        let file = OpenOptions::new().read(true).write(write).open(&path).map_err(failed())?;
        let len = file.metadata().map_err(failed())?.len();
        Ok(FileStorage { name, path, file: Arc::new(file), len, lock, turn: Turn::default() })
    }

    /// Makes a new file, which must not exist, and locks it. A link may lead to where it is to be.
    pub fn create(path: &Path) -> Result<Self, Refusal> {
        let name = path.display().to_string();
        let failed = || failed(&name, "create");
        let lock = locked(&name, path)?;
        let path = follow_links(path);
        let parent = path.parent().filter(|p| !p.as_os_str().is_empty());
        let parent = std::fs::canonicalize(parent.unwrap_or(Path::new("."))).map_err(failed())?;
        // What names no file in a directory is left to the operating system to refuse.
        let path = path.file_name().map_or_else(|| path.clone(), |file| parent.join(file));
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create_new(true).mode(0o660).open(&path).map_err(failed())?;
        Ok(FileStorage { name, path, file: Arc::new(file), len: 0, lock: Some(lock), turn: Turn::default() })
    }
}

impl Storage for FileStorage {
    fn name(&self) -> &str {
        &self.name
    }

    fn place(&self) -> String {
        self.path.display().to_string()
    }

    fn len(&self) -> u64 {
        self.len
    }

    fn reader(&self) -> io::Result<Box<dyn BufRead + '_>> {
        let at = ReadAt { file: &self.file, offset: 0 };
        Ok(Box::new(BufReader::with_capacity(256 * 1024, at)))
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self.file.write_all_at(bytes, self.len) {
            Ok(()) => {
                self.len += bytes.len() as u64;
                Ok(())
            }
            Err(error) => {
                // Half a record would be in the way of the next one.
                let _ = self.file.set_len(self.len);
                Err(error)
            }
        }
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.file.set_len(len)?;
        self.len = len;
        Ok(())
    }

    fn sync_job(&self) -> io::Result<SyncJob> {
        let file = Arc::clone(&self.file);
        Ok(Box::new(move || file.sync_data()))
    }

    fn begin_replace(&self) -> io::Result<Box<dyn Replacement>> {
        let mut temporary = self.path.clone().into_os_string();
        temporary.push(".tmp");
        let temporary = PathBuf::from(temporary);
        let mode = {
            use std::os::unix::fs::PermissionsExt;
            self.file.metadata()?.permissions().mode() & 0o777
        };
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = std::fs::remove_file(&temporary);
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(mode).open(&temporary)?;
        Ok(Box::new(FileReplacement {
            name: self.name.clone(),
            path: self.path.clone(),
            temporary: Temporary { path: temporary, file: file.try_clone()?, turn: Arc::clone(&self.turn) },
            file: BufWriter::with_capacity(256 * 1024, file),
            lock: self.lock.clone(),
        }))
    }

    fn settled(self: Box<Self>) -> Box<dyn Storage> {
        self
    }
}

/// Reads a file from a place of its own, not the descriptor's.
struct ReadAt<'a> {
    file: &'a File,
    offset: u64,
}

impl io::Read for ReadAt<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read_at(buffer, self.offset)?;
        self.offset += n as u64;
        Ok(n)
    }
}

/// A file beside the one whose place it is to take; goes with this, unless it was renamed.
struct Temporary {
    path: PathBuf,
    file: File,
    turn: Turn,
}

impl Temporary {
    /// Whether the file of this name is this one, and not that of another compaction.
    fn is_there(&self) -> bool {
        let identity = |of: std::fs::Metadata| (of.dev(), of.ino());
        let ours = self.file.metadata().map(identity).ok();
        ours.is_some() && ours == std::fs::symlink_metadata(&self.path).map(identity).ok()
    }

    /// Renames it, once its contents are on the disk.
    fn take_place(self, of: &Path) -> io::Result<()> {
        self.file.sync_all()?;
        {
            let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
            if !self.is_there() {
                return Err(io::ErrorKind::NotFound.into());
            }
            std::fs::rename(&self.path, of)?;
        }
        if let Some(parent) = of.parent() {
            // The rename itself has to survive a loss of power.
            let _ = File::open(parent).and_then(|dir| dir.sync_all());
        }
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_there() {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

struct FileReplacement {
    name: String,
    path: PathBuf,
    temporary: Temporary,
    file: BufWriter<File>,
    lock: Option<Arc<LockFile>>,
}

impl Write for FileReplacement {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Replacement for FileReplacement {
    fn place(&self) -> String {
        self.temporary.path.display().to_string()
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.flush()?;
        self.file.get_ref().sync_all()
    }

    fn succeed(self: Box<Self>) -> io::Result<(Box<dyn Storage>, SyncJob)> {
        let FileReplacement { name, path, temporary, file, lock } = *self;
        let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
        let len = file.metadata()?.len();
        let turn = Arc::clone(&temporary.turn);
        // Whoever opens the file must wait until this is over: its lock is held that long.
        let (to, held) = (path.clone(), lock.clone());
        let job = move || {
            let placed = temporary.take_place(&to);
            drop(held);
            placed
        };
        Ok((Box::new(FileStorage { name, path, file: Arc::new(file), len, lock, turn }), Box::new(job)))
    }
}
