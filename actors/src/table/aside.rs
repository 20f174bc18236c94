//! Threads beside the actors' own: large batches are staged there, and dropped there what they leave behind.
//!
//! There are as many as processors. A table's work is always on the same one, in order, so that its memory is asked for and
//! given back in one place.

use std::sync::LazyLock;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

type Job = Box<dyn FnOnce() + Send>;

/// Jobs that may wait for a thread.
const JOBS_AT_MOST: usize = 256;

/// After so much idleness a thread gives back what others have freed of its memory, and once more for those who held it
/// longer.
const GIVE_BACK_AFTER: [Duration; 2] = [Duration::from_millis(20), Duration::from_millis(1000)];

static THREADS: LazyLock<Vec<SyncSender<Job>>> = LazyLock::new(|| {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let start = |i| {
        let (jobs, work) = sync_channel(JOBS_AT_MOST);
        let thread = std::thread::Builder::new().name(format!("tables{i}"));
        thread.spawn(move || work_off(&work)).ok().map(|_| jobs)
    };
    (0..processors).filter_map(start).collect()
});

/// Does something on a table's thread, or here if that has too much to do.
pub(super) fn run(table: u8, job: impl FnOnce() + Send + 'static) {
    let job: Job = Box::new(job);
    let thread = usize::from(table).checked_rem(THREADS.len()).and_then(|i| THREADS.get(i));
    let refused = match thread {
        Some(thread) => thread.try_send(job).err(),
        None => Some(TrySendError::Full(job)),
    };
    if let Some(TrySendError::Full(job) | TrySendError::Disconnected(job)) = refused {
        job();
    }
}

fn work_off(work: &Receiver<Job>) {
    while let Ok(job) = work.recv() {
        job();
        let mut pauses = GIVE_BACK_AFTER.iter();
        while let Some(pause) = pauses.next() {
            match work.recv_timeout(*pause) {
                Ok(job) => {
                    job();
                    pauses = GIVE_BACK_AFTER.iter();
                }
                Err(RecvTimeoutError::Timeout) => sys::heap::give_back(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }
}
