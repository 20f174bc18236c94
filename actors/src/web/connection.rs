//! One connection of JSON-RPC 2.0, as the methods that it calls see it: they find it among their extensions.

use super::gate::Gate;
use crate::db::guest::Errands;
use futures::FutureExt;
use jsonrpsee::core::middleware::RpcServiceT;
use jsonrpsee::core::server::{MethodCallback, MethodSink};
use jsonrpsee::server::MethodResponse;
use jsonrpsee::types::{ErrorCode, Id, Request};
use std::sync::{Arc, OnceLock};

/// The method by which a connection over WebSocket finds its own way out, which jsonrpsee shows to subscriptions alone.
pub(super) const ATTACH: &str = "web_attach";

/// A connection over WebSocket, or one request over HTTP.
#[derive(Debug, Default)]
pub(crate) struct Connection {
    pub gate: Arc<Gate>,
    /// Where notifications go; nowhere over HTTP.
    sink: OnceLock<Option<MethodSink>>,
    /// The database's session for it, once it called a method of the database's.
    pub database: OnceLock<Errands>,
}

impl Connection {
    pub(super) fn new(gate: Arc<Gate>) -> Connection {
        Connection { gate, ..Connection::default() }
    }

    /// Where notifications go, if this connection can be sent any.
    pub(crate) fn sink(&self) -> Option<&MethodSink> {
        self.sink.get()?.as_ref()
    }

    /// Learns what kind of connection this is.
    pub(super) async fn attach<S: RpcServiceT<MethodResponse = MethodResponse>>(self: &Arc<Self>, methods: &S) {
        if self.sink.get().is_some() {
            return;
        }
        let mut request = Request::borrowed(ATTACH, None, Id::Null);
        request.extensions.insert(self.clone());
        let _answer = methods.call(request).await;
        // Over HTTP it was refused.
        self.sink.get_or_init(|| None);
    }
}

/// What [`ATTACH`] calls.
pub(super) fn attach_method() -> MethodCallback {
    MethodCallback::Subscription(Arc::new(|id, _, sink, _, extensions| {
        let connection = extensions.get::<Arc<Connection>>();
        let attached = connection.is_some_and(|connection| connection.sink.set(Some(sink)).is_ok());
        // For a peer that asks for it there is no such method.
        let response = if attached { MethodResponse::notification() } else { unknown(id) };
        futures::future::ready(response).boxed()
    }))
}

fn unknown(id: Id<'_>) -> MethodResponse {
    MethodResponse::error(id, jsonrpsee::types::ErrorObject::from(ErrorCode::MethodNotFound))
}
