//! A storage in memory, for tests and for databases that need not outlive the process.

use std::io::{self, BufRead, Write};
use std::sync::{Arc, Mutex, PoisonError};

use super::storage::{Replacement, Storage, SyncJob};

/// Bytes in memory. Clones share them, so that a test can look and meddle.
#[derive(Debug, Clone, Default)]
pub struct MemoryStorage {
    bytes: Arc<Mutex<Vec<u8>>>,
    /// Whose place it takes.
    instead: Option<Arc<Mutex<Vec<u8>>>>,
}

impl MemoryStorage {
    /// A storage that holds `bytes`.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        MemoryStorage { bytes: Arc::new(Mutex::new(bytes)), instead: None }
    }

    /// Its bytes now.
    #[must_use]
    pub fn contents(&self) -> Vec<u8> {
        self.with(|bytes| bytes.clone())
    }

    fn with<T>(&self, f: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        f(&mut self.bytes.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Storage for MemoryStorage {
    fn name(&self) -> &str {
        "memory"
    }

    fn len(&self) -> u64 {
        self.with(|bytes| bytes.len() as u64)
    }

    fn reader(&self) -> io::Result<Box<dyn BufRead + '_>> {
        Ok(Box::new(io::Cursor::new(self.contents())))
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.with(|all| all.extend_from_slice(bytes));
        Ok(())
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.with(|bytes| bytes.truncate(usize::try_from(len).unwrap_or(usize::MAX)));
        Ok(())
    }

    fn sync_job(&self) -> io::Result<SyncJob> {
        Ok(Box::new(|| Ok(())))
    }

    fn begin_replace(&self) -> io::Result<Box<dyn Replacement>> {
        Ok(Box::new(MemoryReplacement { target: self.clone(), bytes: Vec::new() }))
    }

    fn settled(mut self: Box<Self>) -> Box<dyn Storage> {
        if let Some(bytes) = self.instead.take() {
            *bytes.lock().unwrap_or_else(PoisonError::into_inner) = self.contents();
            self.bytes = bytes;
        }
        self
    }
}

struct MemoryReplacement {
    target: MemoryStorage,
    bytes: Vec<u8>,
}

impl Write for MemoryReplacement {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Replacement for MemoryReplacement {
    fn place(&self) -> String {
        self.target.name().to_owned()
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn succeed(self: Box<Self>) -> io::Result<(Box<dyn Storage>, SyncJob)> {
        let MemoryReplacement { target, bytes } = *self;
        let storage = MemoryStorage { instead: Some(target.bytes), ..MemoryStorage::new(bytes) };
        Ok((Box::new(storage), Box::new(|| Ok(()))))
    }
}
