//! The methods of the database as one jsonrpsee `RpcModule`.
//!
//! A JSON-RPC 1.0 session looks its requests' methods up here and calls them with its own inbox as an
//! extension: the method then only files the request for the batch of this read. A JSON-RPC 2.0 client (see
//! `web`) calls the same methods without an inbox: they ask the database and wait for its answer, over WebSocket
//! in the session of their connection. There is also a subscription, `subscribe_monitor`, with the parameters of
//! `monitor_cond_since` without the last transaction, and a session of its own; each notification holds the name of
//! the 1.0 notification and its parameters.

use super::database::Database;
use super::guest::{self, Answer, Guest};
use crate::mailbox::Address;
use crate::web::connection::Connection;
use futures::FutureExt;
use jsonrpc::Message;
use jsonrpsee::core::server::{AsyncMethod, IntoResponse, MethodResponse};
use jsonrpsee::core::server::{MethodCallback, PendingSubscriptionSink, SubscriptionMessage};
use jsonrpsee::core::{SubscriptionError, SubscriptionResult};
use jsonrpsee::types::{ErrorObjectOwned, Id, Params};
use jsonrpsee::{Extensions, RpcModule};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, PoisonError};

const METHODS: [&str; 13] = [
    "list_dbs",
    "get_schema",
    "transact",
    "monitor",
    "monitor_cond",
    "monitor_cond_since",
    "monitor_cond_change",
    "monitor_cancel",
    "lock",
    "steal",
    "unlock",
    "set_db_change_aware",
    "get_server_id",
];
/// `convert`, `echo` and what else 1.0 has that needs no list of its own.
const MORE_METHODS: [&str; 2] = ["convert", "echo"];

/// The tray on which a session hands a request to its method.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    offered: Mutex<Option<Message>>,
    filed: Mutex<Option<Message>>,
}

impl Inbox {
    fn file(&self) {
        let message = self.offered.lock().unwrap_or_else(PoisonError::into_inner).take();
        *self.filed.lock().unwrap_or_else(PoisonError::into_inner) = message;
    }
}

/// The registry of the database's methods.
#[derive(Debug)]
pub struct Methods {
    module: RpcModule<Address<Database>>,
}

impl Methods {
    pub(super) fn new(database: Address<Database>) -> Methods {
        let mut module = RpcModule::new(database.clone());
        for name in METHODS.into_iter().chain(MORE_METHODS) {
            let owner = database.clone();
            let callback: AsyncMethod<'static> = Arc::new(move |id, params, _, most, extensions| {
                if let Some(inbox) = extensions.get::<Arc<Inbox>>() {
                    inbox.file();
                    // Nobody reads this, so that nothing is written.
                    return futures::future::ready(MethodResponse::notification()).boxed();
                }
                let (database, params) = (owner.clone(), params.into_owned());
                async move {
                    let connection = extensions.get::<Arc<Connection>>();
                    let answer = call(&database, connection, &id, name, &params).await.into_response();
                    MethodResponse::response(id, answer, most).with_extensions(extensions)
                }
                .boxed()
            });
            let registered = module.verify_and_insert(name, MethodCallback::Async(callback));
            debug_assert!(registered.is_ok(), "{name} is registered once");
        }
        let registered = module.register_subscription(
            "subscribe_monitor",
            "monitor_update",
            "unsubscribe_monitor",
            |params, pending, database, extensions| {
                let connection = extensions.get::<Arc<Connection>>().cloned().unwrap_or_default();
                subscribe(params.into_owned(), pending, database, connection)
            },
        );
        debug_assert!(registered.is_ok(), "subscribe_monitor is registered once");
        Methods { module }
    }

    /// The registry, to be served over HTTP and WebSocket.
    pub fn module(&self) -> &RpcModule<Address<Database>> {
        &self.module
    }

    /// Passes a message of a 1.0 session through its method; what comes out goes to the database. Unknown
    /// methods go there too, to be refused in order with the other answers.
    pub(super) fn route(&self, inbox: &Arc<Inbox>, message: Message) -> Option<Message> {
        let Message::Request { method, .. } = &message else {
            return Some(message);
        };
        let Some(MethodCallback::Async(callback)) = self.module.method(method) else {
            return Some(message);
        };
        let callback = callback.clone();
        *inbox.offered.lock().unwrap_or_else(PoisonError::into_inner) = Some(message);
        let mut extensions = Extensions::new();
        extensions.insert(inbox.clone());
        let filed = callback(Id::Number(0), Params::new(None), 0_u32.into(), 1024, extensions);
        // With an inbox the method files and is done: it never waits.
        let _ = filed.now_or_never();
        inbox.filed.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

fn parameters(params: &Params<'_>) -> Result<Vec<Value>, ErrorObjectOwned> {
    let invalid = |text: String| ErrorObjectOwned::owned(-32602, text, None::<()>);
    let Some(text) = params.as_str() else { return Ok(Vec::new()) };
    // By the parser of the other sessions, for which 1.0 is an integer.
    match jsonrpc::parse_value(&octets::of_text(text), jsonrpc::Limits::default()) {
        Ok(Value::Array(params)) => Ok(params),
        Ok(_) => Err(invalid("parameters must be an array".to_owned())),
        Err(error) => Err(invalid(error.to_string())),
    }
}

async fn call(
    database: &Address<Database>,
    connection: Option<&Arc<Connection>>,
    id: &Id<'_>,
    method: &'static str,
    params: &Params<'_>,
) -> Answer {
    let params = parameters(params)?;
    if let Some((connection, sink)) = connection.and_then(|connection| Some((connection, connection.sink()?))) {
        let id = serde_json::to_value(id).unwrap_or_default();
        return guest::call(database, connection, sink, id, method, params).await;
    }
    let mut guest = Guest::join(database, 16).await?;
    guest.request(method, params).await
}

async fn subscribe(
    params: Params<'static>,
    pending: PendingSubscriptionSink,
    database: Arc<Address<Database>>,
    connection: Arc<Connection>,
) -> SubscriptionResult {
    let mut params = match parameters(&params) {
        Ok(params) => params,
        Err(error) => {
            pending.reject(error).await;
            return Ok(());
        }
    };
    if params.len() == 2 {
        // DATABASE and REQUESTS are enough: the subscription is its own monitor id.
        params.insert(1, Value::Null);
    }
    let gate = &connection.gate;
    gate.room().await;
    params.truncate(3);
    params.push(json!("00000000-0000-0000-0000-000000000000"));
    let started = match Guest::join(&database, guest::QUEUE).await {
        Ok(mut guest) => guest.request("monitor_cond_since", params).await.map(|initial| (guest, initial)),
        Err(error) => Err(error),
    };
    let (mut guest, initial) = match started {
        Ok(started) => started,
        Err(error) => {
            pending.reject(error).await;
            return Ok(());
        }
    };
    let sink = pending.accept().await?;
    let mut message = json!({"method": "initial", "params": initial});
    loop {
        let raw = serde_json::value::to_raw_value(&message)?;
        gate.queued(raw.get().len());
        let sent = guest.pace(async {
            tokio::select! {
                () = sink.closed() => return Ok(false),
                sent = sink.send(SubscriptionMessage::from(raw)) => sent?,
            }
            tokio::select! {
                () = sink.closed() => Ok(false),
                () = gate.room() => Ok::<_, SubscriptionError>(true),
            }
        });
        if !sent.await? {
            return Ok(());
        }
        message = tokio::select! {
            () = sink.closed() => return Ok(()),
            text = guest.texts.recv() => {
                let Some(text) = text else { return Err("the database ended the subscription".into()) };
                let value: Value = serde_json::from_str(text.as_str())?;
                json!({"method": value["method"], "params": value["params"]})
            }
        };
    }
}
