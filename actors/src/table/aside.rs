//! Threads beside the actors' own: large batches are staged there, and dropped there what they leave behind.
//!
//! There are as many as processors. A table's work is always on the same one, in order, so that its memory is asked for and
//! given back in one place.

use std::cell::Cell;
use std::sync::LazyLock;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;
use tokio::sync::oneshot;

type Job = Box<dyn FnOnce() + Send>;

/// Jobs that may wait for a thread.
const JOBS_AT_MOST: usize = 256;

/// After so much idleness a thread gives back what others have freed of its memory, and again for those who held it
/// longer: who forwards may be busy with what it had before.
const GIVE_BACK_AFTER: [Duration; 3] =
    [Duration::from_millis(20), Duration::from_millis(1000), Duration::from_millis(5000)];

thread_local! {
    /// How often the bridges' thread is still to give memory back.
    static PAUSES_LEFT: Cell<usize> = const { Cell::new(0) };
}

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

/// Drops on a table's thread what a change leaves behind. What of it is memory of the calling thread, as messages were, is given
/// back there a little later; this must be called within its runtime.
pub(super) fn carry_away(table: u8, leavings: impl Send + 'static) {
    let (gone, is_gone) = oneshot::channel();
    run(table, move || {
        drop(leavings);
        // Nobody hears of it where the process ends.
        let _ = gone.send(());
    });
    actix::spawn(async move {
        let _ = is_gone.await;
        give_back_soon().await;
    });
}

/// Gives back what others have freed of the calling thread's memory, as often as after a table's work.
async fn give_back_soon() {
    if PAUSES_LEFT.replace(GIVE_BACK_AFTER.len()) > 0 {
        // Somebody is about it already, and begins anew.
        return;
    }
    loop {
        let left = PAUSES_LEFT.get();
        let Some(pause) = GIVE_BACK_AFTER.len().checked_sub(left).and_then(|i| GIVE_BACK_AFTER.get(i)) else { return };
        tokio::time::sleep(*pause).await;
        sys::heap::give_back();
        if PAUSES_LEFT.get() == left {
            PAUSES_LEFT.set(left - 1);
        }
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
