//! Where the bytes of a log lie. A storage grows at its end, can be cut, and can be replaced as a
//! whole in one step, which is what compaction needs.

use std::io::{self, BufRead, Write};

/// Work for a thread that may wait for the disk: when it returns, what was appended before it was
/// made is on the disk.
pub type SyncJob = Box<dyn FnOnce() -> io::Result<()> + Send>;

/// The bytes of one log.
pub trait Storage: Send {
    /// What errors call it: the file's name.
    fn name(&self) -> &str;

    /// Where it lies, for who has to look after it: the file's whole path.
    fn place(&self) -> String {
        self.name().to_owned()
    }

    /// Its length in bytes.
    fn len(&self) -> u64;

    /// Whether it has no bytes.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All its bytes, from the first.
    fn reader(&self) -> io::Result<Box<dyn BufRead + '_>>;

    /// Adds bytes at the end. When it fails, nothing was added.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Keeps the first `len` bytes only.
    fn truncate(&mut self, len: u64) -> io::Result<()>;

    /// Work that makes all bytes durable.
    fn sync_job(&self) -> io::Result<SyncJob>;

    /// Begins a new, empty storage that will take the place of this one.
    fn begin_replace(&self) -> io::Result<Box<dyn Replacement>>;

    /// What a replacement's storage is from when it has taken its place.
    fn settled(self: Box<Self>) -> Box<dyn Storage>;
}

/// A storage that is being written, not yet in its place.
pub trait Replacement: Write + Send {
    /// Where it lies until then.
    fn place(&self) -> String;

    /// Makes its bytes durable.
    fn sync(&mut self) -> io::Result<()>;

    /// Its storage, which may be added to at once, and work for a thread that may wait for the disk: it makes durable
    /// what is there by then, and puts it in the place of the old storage, in one step.
    fn succeed(self: Box<Self>) -> io::Result<(Box<dyn Storage>, SyncJob)>;
}
