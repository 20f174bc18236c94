//! What wakes a datapath: its rings' alarms, each watched by the runtime of the datapath's thread itself.
//!
//! A set of descriptors of our own inside the runtime's would cost three more system calls a wake, and the kernel's
//! hint that sender and receiver may share a processor: a lonely packet then waits for another processor to wake.
//! The runtime hears of a descriptor at the edge: only what comes after [`Watch::listen`] wakes, and an error that
//! stays on a device that is down wakes once at the most.

use actix::fut::ActorFuture;
use actix::prelude::*;
use dp::QueueId;
use flow::OdpPort;
use futures::task::AtomicWaker;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context as TaskContext, Poll, Wake, Waker};
use sys::WakeFd;
use tokio::io::unix::AsyncFd;

use super::Datapath;

/// A queue as it is named among those that woke.
pub(super) type Name = (OdpPort, QueueId);

/// The queues that have been woken since last asked, and whom to tell. At most one entry a queue, as one that woke is
/// not listened to until it was looked at.
#[derive(Default)]
pub(super) struct Woken {
    queues: Mutex<Vec<Name>>,
    actor: AtomicWaker,
}

impl Woken {
    fn take(&self) -> Vec<Name> {
        std::mem::take(&mut *self.queues.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn is_empty(&self) -> bool {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Lets the actor work.
    pub(super) fn nudge(&self) {
        self.actor.wake();
    }
}

struct QueueWaker {
    queue: Name,
    woken: Arc<Woken>,
}

impl Wake for QueueWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.queues.lock().unwrap_or_else(PoisonError::into_inner).push(self.queue);
        self.woken.nudge();
    }
}

/// A queue's descriptor under the eyes of the runtime.
pub(super) struct Watch {
    fd: AsyncFd<WakeFd>,
    waker: Waker,
}

impl Watch {
    /// Must be called on the datapath's thread.
    ///
    /// # Errors
    /// The runtime does not take the descriptor.
    pub(super) fn new(fd: WakeFd, queue: Name, woken: &Arc<Woken>) -> io::Result<Self> {
        // The descriptor is owned by what is registered, and so outlives its registration, which is what the unsafe
        // successor of this function asks for.
        #[allow(deprecated)]
        let fd = AsyncFd::with_interest(fd, tokio::io::Interest::READABLE)?;
        let waker = Waker::from(Arc::new(QueueWaker { queue, woken: woken.clone() }));
        Ok(Self { fd, waker })
    }

    /// The descriptor, for another thread to watch.
    pub(super) fn into_fd(self) -> WakeFd {
        self.fd.into_inner()
    }

    /// Lets whatever comes from now on wake the actor. What the runtime heard before is past: it hears on this very
    /// thread, and so before the queue was found empty.
    pub(super) fn listen(&self) {
        let mut task = TaskContext::from_waker(&self.waker);
        while let Poll::Ready(Ok(mut heard)) = self.fd.poll_read_ready(&mut task) {
            heard.clear_ready();
        }
    }
}

/// Runs for the actor's whole life: notes the queues that have packets, and lets the actor work.
pub(super) struct Readiness;

impl ActorFuture<Datapath> for Readiness {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        actor: &mut Datapath,
        _: &mut Context<Datapath>,
        task: &mut TaskContext<'_>,
    ) -> Poll<()> {
        let woken = actor.woken.clone();
        woken.actor.register(task.waker());
        loop {
            actor.awake(woken.take());
            if actor.work() {
                // More to do than fits one slice: let the mailbox have its turn, and the runtime, which would otherwise
                // let a task that wakes itself go on 61 times before it looks at descriptors: other ports' packets
                // would wait for as many slices of one that floods.
                let _ = pin!(tokio::task::yield_now()).poll(task);
                return Poll::Pending;
            }
            if woken.is_empty() {
                if actor.expectation.looks_on(super::now_us) {
                    // Who answers may want this very processor.
                    std::thread::yield_now();
                    let _ = pin!(tokio::task::yield_now()).poll(task);
                }
                return Poll::Pending;
            }
        }
    }
}
