//! Closing what is slow to close. The kernel waits for grace periods when a packet socket goes, some 30 ms each;
//! whoever drops a port must not wait with it, so threads of their own do, many at once: they wait for the same
//! grace period.

use std::os::fd::OwnedFd;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Condvar, Mutex, OnceLock, PoisonError};

/// Descriptors waiting to be closed at most; beyond, the dropper waits.
const WAITING: usize = 4096;
/// Closed at once.
const TOGETHER: usize = 64;

static CLOSER: OnceLock<Option<SyncSender<OwnedFd>>> = OnceLock::new();
/// Descriptors handed over and not closed yet.
static OPEN: Mutex<usize> = Mutex::new(0);
static ALL_CLOSED: Condvar = Condvar::new();

fn count(change: isize) {
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    *open = open.saturating_add_signed(change);
    if *open == 0 {
        ALL_CLOSED.notify_all();
    }
}

fn start() -> Option<SyncSender<OwnedFd>> {
    let (sender, receiver) = sync_channel(WAITING);
    let thread = std::thread::Builder::new().name("closer".into());
    // It lasts as long as the process; without it descriptors are closed where they are dropped.
    thread.spawn(move || run(&receiver)).ok().map(|_| sender)
}

fn run(receiver: &Receiver<OwnedFd>) {
    while let Ok(first) = receiver.recv() {
        let batch: Vec<OwnedFd> = std::iter::once(first).chain(receiver.try_iter().take(TOGETHER - 1)).collect();
        let n = batch.len();
        std::thread::scope(|scope| {
            for fd in batch {
                // A thread that cannot be started drops what it was given.
                let _ = std::thread::Builder::new().spawn_scoped(scope, move || drop(fd));
            }
        });
        count(-(n as isize));
    }
}

/// Closes the descriptor soon.
pub(crate) fn close(fd: OwnedFd) {
    let Some(closer) = CLOSER.get_or_init(start) else { return };
    count(1);
    if closer.try_send(fd).is_err() {
        // A full queue gave it back, and it is closed now.
        count(-1);
    }
}

/// Waits until all sockets dropped so far are closed: to be called before a process with many ports ends, as the
/// kernel would close them one after the other.
pub fn finish_closing() {
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    while *open > 0 {
        open = ALL_CLOSED.wait(open).unwrap_or_else(PoisonError::into_inner);
    }
}
