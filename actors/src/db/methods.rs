//! The methods of the database as one jsonrpsee `RpcModule`.
//!
//! They are for JSON-RPC 2.0 clients (see `web`): a method asks the database as a 1.0 session does, with the same
//! request, and waits for its answer, over WebSocket in the session of its connection. There is also a subscription,
//! `subscribe_monitor`, with the parameters of `monitor_cond_since` without the last transaction, and a session of its
//! own; each notification holds the name of the 1.0 notification and its parameters.

use super::database::Database;
use super::guest::{self, Answer, Guest};
use crate::mailbox::Address;
use crate::web::connection::Connection;
use futures::FutureExt;
use jsonrpsee::RpcModule;
use jsonrpsee::core::server::{AsyncMethod, IntoResponse, MethodResponse};
use jsonrpsee::core::server::{MethodCallback, PendingSubscriptionSink, SubscriptionMessage};
use jsonrpsee::core::{SubscriptionError, SubscriptionResult};
use jsonrpsee::types::{ErrorObjectOwned, Id, Params};
use serde_json::{Value, json};
use std::sync::Arc;

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
                let value: Value = serde_json::from_str(&text.to_str())?;
                json!({"method": value["method"], "params": value["params"]})
            }
        };
    }
}
