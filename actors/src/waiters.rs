//! Who waits for something that an actor does, to be told when it is done.

use tokio::sync::oneshot;

/// Those who wait.
#[derive(Debug, Default)]
pub(crate) struct Waiters(Vec<oneshot::Sender<()>>);

impl Waiters {
    /// One more, whose wait ends with the actor too; those who gave up are forgotten.
    pub(crate) fn wait(&mut self) -> impl Future<Output = ()> + use<> {
        self.0.retain(|waiting| !waiting.is_closed());
        let (done, wait) = oneshot::channel();
        self.0.push(done);
        async move {
            let _ = wait.await;
        }
    }

    /// Tells all of them.
    pub(crate) fn tell(&mut self) {
        for waiting in self.0.drain(..) {
            let _ = waiting.send(());
        }
    }

    /// Whether nobody waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
