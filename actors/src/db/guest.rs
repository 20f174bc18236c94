//! Sessions of JSON-RPC 2.0 clients. A request over HTTP has a session for as long as it takes; a connection over
//! WebSocket has one for as long as it stands, with its locks, its monitors, and `cancel`.
//!
//! A connection's session is a task of its own: calls hand it their requests in the order they came, and it hands them
//! their answers; what the database tells unasked goes to the peer as notifications of the same names and parameters.

use super::database::Database;
use super::letters::{Backlog, Join, Leave, Link, Requests};
use super::session::fresh_id;
use crate::mailbox::Address;
use crate::web::connection::Connection;
use crate::web::gate::Gate;
use futures::FutureExt;
use jsonrpc::Message;
use jsonrpsee::core::server::MethodSink;
use jsonrpsee::types::ErrorObjectOwned;
use ovsdb::server::{SessionId, SessionInfo, Text};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// JSON-RPC 2.0's code for an error the database answers; its `data` holds RFC 7047's error object.
const DATABASE_ERROR: i32 = -32000;
/// How long a 2.0 client waits for room in the database's mailbox.
const PATIENCE: Duration = Duration::from_secs(60);
/// Texts that may wait for a session; one that falls behind further is ended.
pub(super) const QUEUE: usize = 1024;
/// Requests of a connection that may wait for its session.
const ERRANDS: usize = 64;
/// How long a connection whose session is over has to take what was sent to it.
const PARTING: Duration = Duration::from_secs(5);

/// What the database answers.
pub(super) type Answer = Result<Value, ErrorObjectOwned>;

pub(super) fn refusal(text: impl Into<String>) -> ErrorObjectOwned {
    ErrorObjectOwned::owned(DATABASE_ERROR, text.into(), None::<()>)
}

fn over() -> ErrorObjectOwned {
    refusal("the database closed the session")
}

/// A message of the database: an answer with the id of its request, or a notification.
enum Heard {
    Answer(Value, Answer),
    Notice(String, Vec<Value>),
    Nothing,
}

impl Heard {
    fn read(text: &Text) -> Result<Heard, ErrorObjectOwned> {
        let value = serde_json::from_str(&text.to_str()).map_err(|e| refusal(e.to_string()))?;
        Ok(match Message::from_json(value) {
            Ok(Message::Response { id, result }) => Heard::Answer(id, Ok(result)),
            Ok(Message::Error { id, error }) => {
                let text = error["error"].as_str().or(error.as_str()).unwrap_or("error").to_owned();
                Heard::Answer(id, Err(ErrorObjectOwned::owned(DATABASE_ERROR, text, Some(error))))
            }
            Ok(Message::Notification { method, params }) => Heard::Notice(method, params),
            Ok(Message::Request { .. }) | Err(_) => Heard::Nothing,
        })
    }
}

/// A session, ended when dropped.
pub(super) struct Guest {
    database: Address<Database>,
    session: SessionId,
    pub texts: mpsc::Receiver<Text>,
}

impl Guest {
    pub async fn join(database: &Address<Database>, queue: usize) -> Result<Guest, ErrorObjectOwned> {
        let (sender, texts) = mpsc::channel(queue);
        let session = fresh_id();
        let info = SessionInfo { answers_cancel: true, ..SessionInfo::default() };
        let join = Join { session, info, link: Link::Channel(sender), active: false };
        database.ask(join, PATIENCE).await.map_err(|e| refusal(e.to_string()))?;
        Ok(Guest { database: database.clone(), session, texts })
    }

    async fn send(&self, messages: Vec<Message>) -> Result<(), ErrorObjectOwned> {
        let requests = Requests { session: self.session, messages };
        self.database.ask(requests, PATIENCE).await.map_err(|e| refusal(e.to_string()))
    }

    /// Asks and waits for the answer.
    pub async fn request(&mut self, method: &str, params: Vec<Value>) -> Answer {
        self.send(vec![Message::request(json!(0), method, params)]).await?;
        while let Some(text) = self.texts.recv().await {
            // Notifications before the answer belong to nobody here.
            if let Heard::Answer(_, answer) = Heard::read(&text)? {
                return answer;
            }
        }
        Err(over())
    }

    /// Waits for what is on its way to the peer. While it waits, the database makes one update of all that comes.
    pub async fn pace<T>(&self, sending: impl Future<Output = T>) -> T {
        let mut sending = pin!(sending);
        if let Some(sent) = sending.as_mut().now_or_never() {
            return sent;
        }
        self.backlogged(true).await;
        let sent = sending.await;
        self.backlogged(false).await;
        sent
    }

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

/// What a connection asks of its session.
#[derive(Debug)]
enum Errand {
    /// A request; the peer's id for it.
    Call { id: Value, method: &'static str, params: Vec<Value>, answer: oneshot::Sender<Answer> },
    /// The request with this id is to be given up.
    Cancel(Value),
}

/// The way to the session of a connection.
#[derive(Debug)]
pub(crate) struct Errands(mpsc::Sender<Errand>);

impl Errands {
    /// `cancel`, of the transaction with this id.
    pub(crate) async fn cancel(&self, id: Value) {
        let _ = self.0.send(Errand::Cancel(id)).await;
    }
}

/// Calls a method in the session of a connection over WebSocket, which begins with the first call.
pub(super) async fn call(
    database: &Address<Database>,
    connection: &Connection,
    sink: &MethodSink,
    id: Value,
    method: &'static str,
    params: Vec<Value>,
) -> Answer {
    let errands = connection.database.get_or_init(|| {
        let (errands, queue) = mpsc::channel(ERRANDS);
        tokio::spawn(serve(database.clone(), sink.clone(), connection.gate.clone(), queue));
        Errands(errands)
    });
    let (answer, answered) = oneshot::channel();
    errands.0.send(Errand::Call { id, method, params, answer }).await.map_err(|_| over())?;
    answered.await.map_err(|_| over())?
}

/// Requests under way, by the number that stands for them in the session.
#[derive(Default)]
struct Waiting {
    requests: BTreeMap<u64, (Value, oneshot::Sender<Answer>)>,
    next: u64,
}

impl Waiting {
    fn message(&mut self, errand: Errand) -> Option<Message> {
        match errand {
            Errand::Call { id, method, params, answer } => {
                self.next += 1;
                self.requests.insert(self.next, (id, answer));
                Some(Message::request(json!(self.next), method, params))
            }
            Errand::Cancel(id) => {
                let (number, _) = self.requests.iter().find(|(_, (known, _))| *known == id)?;
                Some(Message::notification("cancel", vec![json!(number)]))
            }
        }
    }

    fn answered(&mut self, number: &Value, answer: Answer) {
        if let Some((_, waiter)) = number.as_u64().and_then(|number| self.requests.remove(&number)) {
            let _ = waiter.send(answer);
        }
    }
}

/// The session of a connection: it ends with the connection, and the connection with it.
async fn serve(database: Address<Database>, sink: MethodSink, gate: Arc<Gate>, errands: mpsc::Receiver<Errand>) {
    tokio::select! {
        () = sink.closed() => {}
        () = attend(database, &sink, &gate, errands) => {
            let _ = tokio::time::timeout(PARTING, gate.idle()).await;
            gate.close();
        }
    }
}

/// Passes requests, answers and notifications on, until either side has no more.
async fn attend(database: Address<Database>, sink: &MethodSink, gate: &Gate, mut errands: mpsc::Receiver<Errand>) {
    let Ok(mut guest) = Guest::join(&database, QUEUE).await else { return };
    let mut waiting = Waiting::default();
    loop {
        tokio::select! {
            errand = errands.recv() => {
                let Some(errand) = errand else { return };
                let mut messages: Vec<Message> = waiting.message(errand).into_iter().collect();
                while let Ok(errand) = errands.try_recv() {
                    messages.extend(waiting.message(errand));
                }
                if guest.send(messages).await.is_err() {
                    return;
                }
            }
            text = guest.texts.recv() => {
                let Some(Ok(heard)) = text.map(|text| Heard::read(&text)) else { return };
                match heard {
                    Heard::Answer(number, answer) => waiting.answered(&number, answer),
                    Heard::Notice(method, params) => {
                        let notice = json!({"jsonrpc": "2.0", "method": method, "params": params});
                        let Ok(notice) = serde_json::value::to_raw_value(&notice) else { return };
                        gate.queued(notice.get().len());
                        let sent = guest.pace(async {
                            let sent = sink.send(notice).await;
                            gate.room().await;
                            sent
                        });
                        if sent.await.is_err() {
                            return;
                        }
                    }
                    Heard::Nothing => {}
                }
            }
        }
    }
}
