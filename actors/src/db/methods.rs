//! The methods of the database as one jsonrpsee `RpcModule`.
//!
//! A JSON-RPC 1.0 session looks its requests' methods up here and calls them with its own inbox as an
//! extension: the method then only files the request for the batch of this read. A JSON-RPC 2.0 client (see
//! `web`) calls the same methods without an inbox: they ask the database and wait for its answer. Monitors of
//! 2.0 clients are subscriptions: `subscribe_monitor`, with the parameters of `monitor_cond_since` without
//! the last transaction; each notification holds the name of the 1.0 notification and its parameters.

use super::database::Database;
use super::letters::{Backlog, Join, Leave, Link, Requests};
use super::session::fresh_id;
use crate::mailbox::Address;
use crate::web::gate::Gate;
use futures::FutureExt;
use jsonrpc::Message;
use jsonrpsee::core::SubscriptionResult;
use jsonrpsee::core::server::{AsyncMethod, IntoResponse, MethodResponse};
use jsonrpsee::core::server::{MethodCallback, PendingSubscriptionSink, SubscriptionMessage};
use jsonrpsee::types::{ErrorObjectOwned, Id, Params};
use jsonrpsee::{Extensions, RpcModule};
use ovsdb::server::{SessionId, SessionInfo, Text};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;

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

/// JSON-RPC 2.0's code for an error the database answers; its `data` holds RFC 7047's error object.
const DATABASE_ERROR: i32 = -32000;
/// How long a 2.0 client waits for room in the database's mailbox.
const PATIENCE: Duration = Duration::from_secs(60);
/// Notifications that may wait for a subscriber; one that falls behind further is dropped.
const SUBSCRIPTION_QUEUE: usize = 1024;

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
                    let answer = call(&database, name, &params).await.into_response();
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
                let gate = extensions.get::<Arc<Gate>>().cloned().unwrap_or_default();
                subscribe(params.into_owned(), pending, database, gate)
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

fn refusal(text: impl Into<String>) -> ErrorObjectOwned {
    ErrorObjectOwned::owned(DATABASE_ERROR, text.into(), None::<()>)
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

/// A session of a 2.0 client, ended when dropped.
struct Guest {
    database: Address<Database>,
    session: SessionId,
    texts: mpsc::Receiver<Text>,
}

impl Guest {
    async fn join(database: &Address<Database>, queue: usize) -> Result<Guest, ErrorObjectOwned> {
        let (sender, texts) = mpsc::channel(queue);
        let session = fresh_id();
        let join = Join { session, info: SessionInfo::default(), link: Link::Channel(sender) };
        database.ask(join, PATIENCE).await.map_err(|e| refusal(e.to_string()))?;
        Ok(Guest { database: database.clone(), session, texts })
    }

    /// Asks and waits for the answer.
    async fn request(&mut self, method: &str, params: Vec<Value>) -> Result<Value, ErrorObjectOwned> {
        let messages = vec![Message::request(json!(0), method, params)];
        let requests = Requests { session: self.session, messages };
        self.database.ask(requests, PATIENCE).await.map_err(|e| refusal(e.to_string()))?;
        while let Some(text) = self.texts.recv().await {
            let value = serde_json::from_str(text.as_str()).map_err(|e| refusal(e.to_string()))?;
            match Message::from_json(value) {
                Ok(Message::Response { result, .. }) => return Ok(result),
                Ok(Message::Error { error, .. }) => {
                    let text = error["error"].as_str().or(error.as_str()).unwrap_or("error").to_owned();
                    return Err(ErrorObjectOwned::owned(DATABASE_ERROR, text, Some(error)));
                }
                // Notifications before the answer belong to nobody here.
                Ok(_) | Err(_) => {}
            }
        }
        Err(refusal("the database closed the session"))
    }
}

impl Guest {
    /// Tells the database whether the peer leaves texts waiting.
    async fn backlogged(&self, waits: bool) {
        let _ = self.database.ask(Backlog { session: self.session, waits }, PATIENCE).await;
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let leave = Leave { session: self.session };
        if let Err(leave) = self.database.post(leave) {
            let database = self.database.clone();
            tokio::spawn(async move {
                let _ = database.ask(leave, PATIENCE).await;
            });
        }
    }
}

async fn call(database: &Address<Database>, method: &str, params: &Params<'_>) -> Result<Value, ErrorObjectOwned> {
    let params = parameters(params)?;
    let mut guest = Guest::join(database, 16).await?;
    guest.request(method, params).await
}

async fn subscribe(
    params: Params<'static>,
    pending: PendingSubscriptionSink,
    database: Arc<Address<Database>>,
    gate: Arc<Gate>,
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
    gate.room().await;
    params.truncate(3);
    params.push(json!("00000000-0000-0000-0000-000000000000"));
    let started = match Guest::join(&database, SUBSCRIPTION_QUEUE).await {
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
        let mut sending = Box::pin(async {
            sink.send(SubscriptionMessage::from(raw)).await?;
            gate.room().await;
            SubscriptionResult::Ok(())
        });
        match sending.as_mut().now_or_never() {
            Some(sent) => sent?,
            None => {
                // While the peer does not read, the database makes one update of all that comes.
                guest.backlogged(true).await;
                tokio::select! {
                    () = sink.closed() => return Ok(()),
                    sent = sending => sent?,
                }
                guest.backlogged(false).await;
            }
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
