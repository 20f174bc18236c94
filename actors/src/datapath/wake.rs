//! What wakes a datapath: its rings' alarms, through one epoll descriptor that the runtime watches.

use actix::fut::ActorFuture;
use actix::prelude::*;
use dp::QueueId;
use flow::OdpPort;
use std::os::fd::{AsRawFd, RawFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use sys::Epoll;
use tokio::io::unix::AsyncFd;

use super::Datapath;

/// The epoll token of a queue.
pub(super) fn token(port: OdpPort, queue: QueueId) -> u64 {
    (u64::from(port) << 32) | (queue.0 as u64 & 0xffff_ffff)
}

struct Watched(Arc<Epoll>);

impl AsRawFd for Watched {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// Runs for the actor's whole life: notes the queues that have packets, and lets the actor work.
pub(super) struct Readiness {
    epoll: Arc<Epoll>,
    watched: Option<AsyncFd<Watched>>,
}

impl Readiness {
    pub(super) fn new(epoll: Arc<Epoll>) -> Self {
        Self { epoll, watched: None }
    }
}

impl ActorFuture<Datapath> for Readiness {
    type Output = ();

    fn poll(
        mut self: Pin<&mut Self>,
        actor: &mut Datapath,
        _: &mut Context<Datapath>,
        task: &mut TaskContext<'_>,
    ) -> Poll<()> {
        let this = &mut *self;
        if this.watched.is_none() {
            // Registered here and not earlier: the runtime of this thread must be running.
            // The successor of `new` is unsafe, since a descriptor may be closed while it is registered; this one is
            // owned by what is registered, and outlives it.
            #[allow(deprecated)]
            let watched = AsyncFd::new(Watched(this.epoll.clone()));
            this.watched = watched.ok();
        }
        let Some(watched) = &this.watched else {
            vlog::emer!("datapath", "cannot wait for packets");
            return Poll::Ready(());
        };
        if actor.waker.as_ref().is_none_or(|w| !w.will_wake(task.waker())) {
            actor.waker = Some(task.waker().clone());
        }
        loop {
            let mut found = 0;
            let waited = this.epoll.wait(0, |ready| {
                found += 1;
                let (port, queue) = ((ready.token >> 32) as OdpPort, QueueId((ready.token & 0xffff_ffff) as usize));
                if ready.error
                    && let Some(rx) = actor.engine.queue_mut(queue)
                {
                    rx.recover();
                }
                actor.activate(port, queue);
            });
            if waited.is_err() {
                found = 0;
            }
            if actor.work() {
                // More to do than fits one slice: let the mailbox have its turn.
                task.waker().wake_by_ref();
                return Poll::Pending;
            }
            if found > 0 {
                continue;
            }
            match watched.poll_read_ready(task) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(mut guard)) => guard.clear_ready(),
                Poll::Ready(Err(_)) => return Poll::Ready(()),
            }
        }
    }
}
