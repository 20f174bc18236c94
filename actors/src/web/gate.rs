//! What bounds one connection of JSON-RPC 2.0: while too many of its requests are under way, or too many octets wait for
//! its peer to read them, nothing more is read from it. jsonrpsee by itself reads on, and keeps whatever is asked for.

use super::connection::Connection;
use futures::task::AtomicWaker;
use jsonrpsee::core::middleware::{Batch, BatchEntry, Notification, RpcServiceT};
use jsonrpsee::server::MethodResponse;
use jsonrpsee::types::Request;
use serde_json::Value;
use serde_json::value::RawValue;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;

/// Requests under way at which reading pauses.
const RUNNING_AT_MOST: usize = 32;
/// Octets for the peer at which reading, and the news of its subscriptions, pause.
const UNSENT_PAUSE: usize = 4 << 20;

/// The notification that gives a transaction up.
const CANCEL: &str = "cancel";

/// How much of one connection is under way.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    running: AtomicUsize,
    unsent: AtomicUsize,
    /// Nothing is read any more: the connection ends.
    closed: AtomicBool,
    reader: AtomicWaker,
    room: Notify,
}

impl Gate {
    fn is_open(&self) -> bool {
        self.running.load(Relaxed) < RUNNING_AT_MOST && self.has_room()
    }

    /// Whether the peer reads well enough to be sent more.
    pub(crate) fn has_room(&self) -> bool {
        self.unsent.load(Relaxed) < UNSENT_PAUSE
    }

    /// Waits until it does.
    pub(crate) async fn room(&self) {
        while !self.has_room() {
            let told = self.room.notified();
            if !self.has_room() {
                told.await;
            }
        }
    }

    /// Waits until nothing is under way, and all is sent.
    pub(crate) async fn idle(&self) {
        let is_idle = || self.running.load(Relaxed) == 0 && self.unsent.load(Relaxed) == 0;
        while !is_idle() {
            let told = self.room.notified();
            if !is_idle() {
                told.await;
            }
        }
    }

    /// Ends the connection.
    pub(crate) fn close(&self) {
        self.closed.store(true, Relaxed);
        self.reader.wake();
    }

    /// `octets` are to be sent.
    pub(crate) fn queued(&self, octets: usize) {
        self.unsent.fetch_add(octets, Relaxed);
    }

    /// `octets` are gone, heads and frames included.
    fn written(&self, octets: usize) {
        // What is sent unannounced (pings, heads) counts for nothing.
        let _ = self.unsent.fetch_update(Relaxed, Relaxed, |unsent| Some(unsent.saturating_sub(octets)));
        if self.has_room() {
            self.room.notify_waiters();
            self.reader.wake();
        }
    }
}

/// A request under way.
struct Running(Arc<Gate>);

impl Running {
    fn new(gate: &Arc<Gate>) -> Running {
        gate.running.fetch_add(1, Relaxed);
        Running(gate.clone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Relaxed);
        self.0.reader.wake();
        self.0.room.notify_waiters();
    }
}

/// A connection's stream, read as its gate allows.
#[derive(Debug)]
pub(super) struct GatedStream<S> {
    pub stream: S,
    pub gate: Arc<Gate>,
}

impl<S: AsyncRead + Unpin> AsyncRead for GatedStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        // A gate that closes wakes whoever read last.
        self.gate.reader.register(cx.waker());
        if self.gate.closed.load(Relaxed) {
            return Poll::Ready(Ok(()));
        }
        if !self.gate.is_open() {
            return Poll::Pending;
        }
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl<S: AsyncWrite + Unpin> GatedStream<S> {
    fn wrote(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(octets)) = &written {
            self.gate.written(*octets);
        }
        written
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for GatedStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, octets);
        self.wrote(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.wrote(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// The methods as one connection calls them: counted by its gate. They find the connection among their extensions.
#[derive(Debug, Clone)]
pub(super) struct GatedMethods<S> {
    pub methods: S,
    pub connection: Arc<Connection>,
}

impl<S> GatedMethods<S> {
    /// Gives up the transactions whose ids the parameters of a `cancel` hold.
    fn cancel(&self, params: Option<&str>) -> impl Future<Output = ()> + Send + use<S> {
        let ids: Vec<Value> = params.and_then(|params| serde_json::from_str(params).ok()).unwrap_or_default();
        let connection = self.connection.clone();
        async move {
            let Some(database) = connection.database.get() else { return };
            for id in ids {
                database.cancel(id).await;
            }
        }
    }
}

impl<S> RpcServiceT for GatedMethods<S>
where
    S: RpcServiceT<
            MethodResponse = MethodResponse,
            BatchResponse = MethodResponse,
            NotificationResponse = MethodResponse,
        > + Clone
        + Send
        + Sync
        + 'static,
{
    type MethodResponse = MethodResponse;
    type NotificationResponse = MethodResponse;
    type BatchResponse = MethodResponse;

    fn call<'a>(&self, mut request: Request<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let (methods, connection) = (self.methods.clone(), self.connection.clone());
        let running = Running::new(&connection.gate);
        request.extensions.insert(connection.clone());
        async move {
            connection.attach(&methods).await;
            let response = methods.call(request).await;
            if response.is_method_call() {
                connection.gate.queued(response.as_json().get().len());
            }
            drop(running);
            response
        }
    }

    fn batch<'a>(&self, mut requests: Batch<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let (methods, connection) = (self.methods.clone(), self.connection.clone());
        let running = Running::new(&connection.gate);
        let mut cancels = Vec::new();
        for entry in requests.iter_mut().flatten() {
            entry.extensions_mut().insert(connection.clone());
            if let BatchEntry::Notification(notification) = entry
                && notification.method_name() == CANCEL
            {
                cancels.push(self.cancel(notification.params().as_deref().map(RawValue::get)));
            }
        }
        async move {
            connection.attach(&methods).await;
            // What they are about came before.
            for cancel in cancels {
                cancel.await;
            }
            let response = methods.batch(requests).await;
            connection.gate.queued(response.as_json().get().len());
            drop(running);
            response
        }
    }

    fn notification<'a>(&self, notification: Notification<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let is_cancel = notification.method_name() == CANCEL;
        let cancel = is_cancel.then(|| self.cancel(notification.params().as_deref().map(RawValue::get)));
        let methods = self.methods.clone();
        async move {
            if let Some(cancel) = cancel {
                cancel.await;
            }
            methods.notification(notification).await
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn both(gate: &Arc<Gate>) -> (tokio::io::DuplexStream, GatedStream<tokio::io::DuplexStream>) {
        let (peer, stream) = tokio::io::duplex(8 << 20);
        (peer, GatedStream { stream, gate: gate.clone() })
    }

    #[actix::test]
    async fn reading_waits_for_answers_to_leave() {
        let gate = Arc::new(Gate::default());
        let (mut peer, mut ours) = both(&gate);
        peer.write_all(b"ab").await.unwrap();
        let mut octet = [0];
        ours.read_exact(&mut octet).await.unwrap();
        gate.queued(UNSENT_PAUSE);
        let mut read = Box::pin(async move {
            ours.read_exact(&mut octet).await.unwrap();
            ours
        });
        assert!(futures::poll!(&mut read).is_pending());
        // Another half of the same connection writes.
        let (_other, mut writer) = both(&gate);
        writer.write_all(&vec![0; UNSENT_PAUSE]).await.unwrap();
        let mut ours = read.await;
        assert!(gate.has_room());
        gate.room().await;

        peer.write_all(b"c").await.unwrap();
        let mut running: Vec<Running> = (0..RUNNING_AT_MOST).map(|_| Running::new(&gate)).collect();
        let mut read = Box::pin(ours.read_exact(&mut octet));
        assert!(futures::poll!(&mut read).is_pending());
        running.pop();
        assert_eq!(read.await.unwrap(), 1);
    }
}
