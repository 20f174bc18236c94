//! The thread that waits for the disk, so that no actor does.

use super::database::Database;
use super::letters::Synced;
use crate::mailbox::Address;
use ovsdb::log::SyncJob;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};

/// Jobs that may wait: one a database is under way at most.
const JOBS: usize = 1024;

struct Job {
    db: Arc<str>,
    seq: u64,
    work: SyncJob,
}

/// A handle to the fsync thread; the thread ends with it.
pub(super) struct Disk {
    jobs: SyncSender<Job>,
}

impl Disk {
    /// Starts the thread; it tells `database` of each job done.
    pub(super) fn start(database: Address<Database>) -> std::io::Result<Disk> {
        let (jobs, queue) = sync_channel::<Job>(JOBS);
        std::thread::Builder::new().name("ovsdb-fsync".into()).spawn(move || {
            while let Ok(Job { db, seq, work }) = queue.recv() {
                let error = work().err().map(|e| crate::stream::errno_text(&e));
                tell(&database, Synced { db, seq, error });
            }
        })?;
        Ok(Disk { jobs })
    }

    /// Queues a job; false when there is no room, and it should be tried again later.
    pub(super) fn sync(&self, db: Arc<str>, seq: u64, work: SyncJob) -> bool {
        !matches!(self.jobs.try_send(Job { db, seq, work }), Err(TrySendError::Full(_)))
    }
}

/// Tells the database something from a thread of its own, however full its mailbox.
pub(super) fn tell<M>(database: &Address<Database>, mut message: M)
where
    M: actix::Message<Result = ()> + Send + 'static,
    Database: actix::Handler<M>,
{
    while let Err(back) = database.post(message) {
        message = back;
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}
