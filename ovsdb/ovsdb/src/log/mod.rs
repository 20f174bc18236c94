//! The database log (ovsdb(5), standalone format): records of `OVSDB JSON <length> <sha1>`, a
//! [`Storage`] for their bytes, reading into a [`Database`](crate::Database) and compaction.
//!
//! The clustered format is recognised and refused.

mod compact;
mod contents;
mod file;
mod lock;
mod memory;
mod record;
mod storage;

pub use compact::{CatchUp, CompactDone, CompactJob, Compacted, Place, Placed, Progress, snapshot_record};
pub use contents::{Faults, LogDb, Note, Opened, open_converted, open_database};
pub use file::{FileStorage, Refusal, lock_file};
pub use lock::{LockError, LockFile, lock_path};
pub use memory::MemoryStorage;
pub use record::{Header, LogError, Reader, Record, encode, hex};
pub use storage::{Replacement, Storage, SyncJob};
