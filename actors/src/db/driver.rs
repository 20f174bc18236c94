//! The actor that speaks with a source as its client: connects, asks for schemas, monitors, passes writes on.

use super::database::Database;
use super::letters::FromSource;
use super::source::Progress;
use crate::clock;
use crate::mailbox::Address;
use crate::stream::{Method, OVSDB_PORT, Stream, Tls, connect, errno_text};
use crate::supervise::{Desk, Player};
use actix::prelude::*;
use jsonrpc::reconnect::{Action, Severity};
use jsonrpc::{Limits, Message, Reconnect, Scanner};
use ovsdb::server::SessionId;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

/// What a driver is for.
#[derive(Debug, Clone)]
pub(super) struct Task {
    /// Remotes, separated by commas: tried in turn.
    pub source: String,
    /// The relayed database; `None` for replication.
    pub relay: Option<String>,
    /// The databases wanted.
    pub dbs: Vec<String>,
    /// Tables not wanted, by database.
    pub exclude: BTreeMap<String, BTreeSet<String>>,
    /// The identity of this server: a source must be another.
    pub server_id: String,
}

/// A write to pass on.
#[derive(Debug)]
pub(super) struct Order {
    pub session: SessionId,
    pub id: Value,
    pub params: Vec<Value>,
}

/// What surrounds a driver.
pub(super) struct Surroundings {
    pub number: u64,
    pub database: Address<Database>,
    pub tls: Tls,
    pub run_dir: PathBuf,
    pub probe_ms: Option<u64>,
}

/// The driver of one source.
pub(super) struct Driver {
    desk: Desk,
}

impl Driver {
    pub(super) fn begin(
        desk: Desk,
        task: Task,
        orders: mpsc::Receiver<Order>,
        around: Surroundings,
        ctx: &mut Context<Self>,
    ) -> Driver {
        ctx.spawn(actix::fut::wrap_future(drive(task, orders, around)));
        Driver { desk }
    }
}

impl Actor for Driver {
    type Context = Context<Self>;
}

impl Player for Driver {
    fn desk(&mut self) -> &mut Desk {
        &mut self.desk
    }
}

impl Surroundings {
    async fn tell(&self, progress: Progress) {
        let letter = FromSource { driver: self.number, progress };
        // Waiting here holds the source back, which is what should give way.
        let _ = self.database.ask(letter, Duration::from_secs(600)).await;
    }
}

fn now_ms() -> u64 {
    u64::try_from(clock::now_ms()).unwrap_or(0)
}

fn log(machine: &mut Reconnect) {
    for line in machine.take_log() {
        match line.severity {
            Severity::Warn => vlog::warn!("reconnect", "{}", line.text),
            Severity::Info => vlog::info!("reconnect", "{}", line.text),
            Severity::Debug => vlog::dbg!("reconnect", "{}", line.text),
        }
    }
}

/// Connects, talks, and connects again, for ever.
async fn drive(task: Task, mut orders: mpsc::Receiver<Order>, around: Surroundings) {
    let mut targets: VecDeque<String> = task.source.split(',').map(|t| t.trim().to_owned()).collect();
    let first = targets.front().cloned().unwrap_or_default();
    let mut machine = Reconnect::new(&first, now_ms());
    if let Some(ms) = around.probe_ms {
        machine.set_probe_interval(ms);
    }
    machine.enable(now_ms());
    loop {
        match machine.run(now_ms()) {
            Some(Action::Connect) => {}
            Some(Action::Disconnect | Action::Probe) => machine.disconnected(now_ms(), None),
            None => {
                let at = machine.poll_timeout(now_ms()).map_or(u64::MAX, |(at, _)| at);
                clock::sleep_until(i64::try_from(at).unwrap_or(i64::MAX)).await;
                continue;
            }
        }
        let target = targets.front().cloned().unwrap_or_default();
        machine.set_name(&target);
        machine.connecting(now_ms());
        log(&mut machine);
        match open(&target, &around).await {
            Ok(stream) => {
                machine.connected(now_ms());
                log(&mut machine);
                around.tell(Progress::Connected).await;
                let mut talk = Talk::new(stream);
                let end = talk.run(&task, &mut orders, &around, &mut machine).await;
                talk.cancel(&around).await;
                let reason = end.err().and_then(|e| e);
                machine.disconnected(now_ms(), reason.as_deref());
                around.tell(Progress::Disconnected).await;
            }
            Err(reason) => machine.connect_failed(now_ms(), Some(&reason)),
        }
        log(&mut machine);
        targets.rotate_left(1);
    }
}

async fn open(target: &str, around: &Surroundings) -> Result<Stream, String> {
    let method = Method::parse(target, OVSDB_PORT, &around.run_dir).map_err(|e| e.0)?;
    match tokio::time::timeout(Duration::from_secs(15), connect(&method, &around.tls)).await {
        Ok(result) => result.map_err(|e| errno_text(&e)),
        Err(_) => Err("Connection timed out".to_owned()),
    }
}

/// One connection to a source.
struct Talk {
    stream: Stream,
    scanner: Scanner,
    buffer: Vec<u8>,
    next_id: u64,
    /// Writes passed on, by our request's number.
    passed: BTreeMap<u64, (SessionId, Value)>,
}

/// Why a connection ended: an error's text, or a plain close.
type End = Option<String>;

impl Talk {
    fn new(stream: Stream) -> Talk {
        let scanner = Scanner::new(Limits::default());
        Talk { stream, scanner, buffer: vec![0; 64 << 10], next_id: 0, passed: BTreeMap::new() }
    }

    async fn send(&mut self, message: &Message) -> Result<(), End> {
        self.stream.write_all(message.to_text().as_bytes()).await.map_err(|e| Some(errno_text(&e)))
    }

    async fn request(&mut self, method: &str, params: Vec<Value>) -> Result<u64, End> {
        self.next_id += 1;
        let id = self.next_id;
        self.send(&Message::request(json!(id), method, params)).await?;
        Ok(id)
    }

    /// Takes the next message out of what was read, answering echoes.
    async fn next_read(&mut self) -> Result<Option<Message>, End> {
        while let Some(value) = self.scanner.next_value().map_err(|e| Some(e.to_string()))? {
            match Message::from_json(value).map_err(|e| Some(e.to_string()))? {
                Message::Request { id, method, params } if method == "echo" => {
                    self.send(&Message::echo_reply(id, params)).await?;
                }
                message => return Ok(Some(message)),
            }
        }
        Ok(None)
    }

    async fn read(&mut self) -> Result<(), End> {
        let count = self.stream.read(&mut self.buffer).await.map_err(|e| Some(errno_text(&e)))?;
        if count == 0 {
            return Err(None);
        }
        self.scanner.feed(&self.buffer[..count]);
        Ok(())
    }

    /// Asks and waits for the answer; there is nothing else to hear yet.
    async fn call(&mut self, method: &str, params: Vec<Value>) -> Result<Result<Value, Value>, End> {
        let wanted = json!(self.request(method, params).await?);
        loop {
            while let Some(message) = self.next_read().await? {
                match message {
                    Message::Response { id, result } if id == wanted => return Ok(Ok(result)),
                    Message::Error { id, error } if id == wanted => return Ok(Err(error)),
                    _ => {}
                }
            }
            self.read().await?;
        }
    }

    async fn run(
        &mut self,
        task: &Task,
        orders: &mut mpsc::Receiver<Order>,
        around: &Surroundings,
        machine: &mut Reconnect,
    ) -> Result<(), End> {
        if !self.begin(task, around).await? {
            return Err(Some("source refused".to_owned()));
        }
        loop {
            while let Some(message) = self.next_read().await? {
                self.hear(message, around).await?;
            }
            let probe = machine.poll_timeout(now_ms()).map_or(u64::MAX, |(at, _)| at);
            tokio::select! {
                read = self.read() => {
                    read?;
                    machine.activity(now_ms());
                }
                Some(order) = orders.recv() => self.pass(order).await?,
                () = clock::sleep_until(i64::try_from(probe).unwrap_or(i64::MAX)) => {
                    match machine.run(now_ms()) {
                        Some(Action::Probe) => self.send(&Message::echo_request()).await?,
                        Some(Action::Disconnect) => return Err(None),
                        Some(Action::Connect) | None => {}
                    }
                }
            }
        }
    }

    /// Schemas and monitors; false if this source will not do.
    async fn begin(&mut self, task: &Task, around: &Surroundings) -> Result<bool, End> {
        if task.relay.is_none() {
            if let Ok(id) = self.call("get_server_id", Vec::new()).await? {
                if id.as_str() == Some(&task.server_id) {
                    let text = "Active ovsdb-server and this one are the same".to_owned();
                    around.tell(Progress::Failed(text)).await;
                    return Ok(false);
                }
            }
        }
        for db in &task.dbs {
            let schema = match self.call("get_schema", vec![json!(db)]).await? {
                Ok(schema) => schema,
                Err(error) => {
                    around.tell(Progress::Failed(format!("get_schema of {db} failed: {error}"))).await;
                    continue;
                }
            };
            let requests = requests_of(&schema, task.exclude.get(db));
            around.tell(Progress::Schema(db.clone(), schema)).await;
            match self.call("monitor", vec![json!(db), json!(db), requests]).await? {
                Ok(rows) => around.tell(Progress::Initial(db.clone(), rows)).await,
                Err(error) => around.tell(Progress::Failed(format!("monitor of {db} failed: {error}"))).await,
            }
        }
        Ok(true)
    }

    async fn pass(&mut self, order: Order) -> Result<(), End> {
        let number = self.request("transact", order.params).await?;
        self.passed.insert(number, (order.session, order.id));
        Ok(())
    }

    async fn hear(&mut self, message: Message, around: &Surroundings) -> Result<(), End> {
        match message {
            Message::Notification { method, params } if method == "update" => {
                let mut params = params.into_iter();
                if let (Some(Value::String(db)), Some(updates)) = (params.next(), params.next()) {
                    around.tell(Progress::Update(db, updates)).await;
                }
            }
            Message::Notification { method, .. } if method == "monitor_canceled" => return Err(None),
            Message::Response { id, result } => {
                if let Some((session, id)) = id.as_u64().and_then(|n| self.passed.remove(&n)) {
                    around.tell(Progress::Reply(session, Message::Response { id, result })).await;
                }
            }
            Message::Error { id, error } => {
                if let Some((session, id)) = id.as_u64().and_then(|n| self.passed.remove(&n)) {
                    around.tell(Progress::Reply(session, Message::Error { id, error })).await;
                }
            }
            Message::Request { .. } | Message::Notification { .. } => {}
        }
        Ok(())
    }

    /// The connection is gone: nobody knows what became of the writes passed on.
    async fn cancel(&mut self, around: &Surroundings) {
        for (session, id) in std::mem::take(&mut self.passed).into_values() {
            let message = Message::Error { id, error: json!("canceled") };
            around.tell(Progress::Reply(session, message)).await;
        }
    }
}

/// A monitor request for every table but those left out.
fn requests_of(schema: &Value, exclude: Option<&BTreeSet<String>>) -> Value {
    let mut requests = serde_json::Map::new();
    for (table, definition) in schema["tables"].as_object().into_iter().flatten() {
        if exclude.is_some_and(|e| e.contains(table)) {
            continue;
        }
        let columns: Vec<&String> = definition["columns"].as_object().into_iter().flat_map(|c| c.keys()).collect();
        requests.insert(table.clone(), json!([{ "columns": columns }]));
    }
    Value::Object(requests)
}
