//! Closing what is slow to close. The kernel waits for grace periods when a packet socket, a tap or the link of a program
//! goes, some 30 ms each; whoever drops a port must not wait with it, so threads of their own do, many at once: they wait
//! for the same grace period.

use std::any::Any;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Condvar, Mutex, OnceLock, PoisonError};

/// Descriptors waiting to be closed at most; beyond, the dropper waits.
const WAITING: usize = 4096;
/// Closed at once.
const TOGETHER: usize = 64;

static CLOSER: OnceLock<Option<SyncSender<Closing>>> = OnceLock::new();
/// Descriptors handed over and not closed yet.
static OPEN: Mutex<usize> = Mutex::new(0);
static ALL_CLOSED: Condvar = Condvar::new();
/// Threads that close.
static AT_WORK: Mutex<usize> = Mutex::new(0);
static ONE_DONE: Condvar = Condvar::new();

/// One of so many.
struct Counted(&'static Mutex<usize>, &'static Condvar);

impl Counted {
    fn new(count: &'static Mutex<usize>, fewer: &'static Condvar) -> Self {
        *count.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        Self(count, fewer)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut count = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *count = count.saturating_sub(1);
        self.1.notify_all();
    }
}

/// What is to be done, by being dropped, in this order.
struct Closing {
    _fd: OwnedFd,
    _kept: Vec<Box<dyn Any + Send>>,
    _open: Counted,
}

/// A descriptor that is closed soon, by somebody else, when this is dropped.
#[derive(Debug)]
pub(crate) struct SlowFd(ManuallyDrop<OwnedFd>);

impl SlowFd {
    pub(crate) fn new(fd: OwnedFd) -> Self {
        Self(ManuallyDrop::new(fd))
    }

    /// Closes it here and now.
    pub(crate) fn close_now(self) {
        drop(self.into_inner());
    }

    /// Closes it soon, and drops what is kept when it is closed.
    pub(crate) fn close_before(self, kept: Vec<Box<dyn Any + Send>>) {
        close(self.into_inner(), kept);
    }

    fn into_inner(self) -> OwnedFd {
        let mut own = ManuallyDrop::new(self);
        // SAFETY: taken once: `self` is not dropped, and not used after.
        unsafe { ManuallyDrop::take(&mut own.0) }
    }
}

impl Drop for SlowFd {
    fn drop(&mut self) {
        // SAFETY: taken once, here, and not used after.
        close(unsafe { ManuallyDrop::take(&mut self.0) }, Vec::new());
    }
}

impl AsFd for SlowFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for SlowFd {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

fn start() -> Option<SyncSender<Closing>> {
    let (sender, receiver) = sync_channel(WAITING);
    let thread = std::thread::Builder::new().name("closer".into());
    // It lasts as long as the process; without it descriptors are closed where they are dropped.
    thread.spawn(move || run(&receiver)).ok().map(|_| sender)
}

fn run(receiver: &Receiver<Closing>) {
    while let Ok(closing) = receiver.recv() {
        let at_work = AT_WORK.lock().unwrap_or_else(PoisonError::into_inner);
        drop(ONE_DONE.wait_while(at_work, |n| *n >= TOGETHER).unwrap_or_else(PoisonError::into_inner));
        let one = Counted::new(&AT_WORK, &ONE_DONE);
        // A thread that cannot be started drops what it was given.
        let _ = std::thread::Builder::new().name("closer".into()).spawn(move || {
            drop(closing);
            drop(one);
        });
    }
}

fn close(fd: OwnedFd, kept: Vec<Box<dyn Any + Send>>) {
    let closing = Closing { _fd: fd, _kept: kept, _open: Counted::new(&OPEN, &ALL_CLOSED) };
    if let Some(closer) = CLOSER.get_or_init(start) {
        // A full queue gives it back, and it is closed now.
        let _ = closer.try_send(closing);
    }
}

/// Waits until all that was dropped so far is closed: to be called before a process with many ports ends, as the
/// kernel would close their sockets one after the other.
pub fn finish_closing() {
    let open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    drop(ALL_CLOSED.wait_while(open, |n| *n > 0).unwrap_or_else(PoisonError::into_inner));
}
