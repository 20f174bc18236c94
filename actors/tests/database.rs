//! The database's actors in one process: clients on sockets, remotes from rows, panics, JSON-RPC 2.0.

use ::actors::db::{self, DbConfig, DbSystem};
use ::actors::supervise::{self, Family};
use ::actors::{clock, mailbox, unixctl, web};
use actix::prelude::*;
use jsonrpc::{Limits, Scanner};
use ovsdb::DatabaseSchema;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

const SCHEMA: &str = r#"{"name":"Farm","version":"1.0.0","tables":{
  "Root":{"isRoot":true,"maxRows":1,"columns":{"managers":{"type":{"key":{"type":"uuid","refTable":"Manager"},"min":0,"max":"unlimited"}}}},
  "Cow":{"isRoot":true,"columns":{"name":{"type":"string"}}},
  "Manager":{"columns":{"target":{"type":"string"},"is_connected":{"type":"boolean","ephemeral":true},
    "status":{"type":{"key":"string","value":"string","min":0,"max":"unlimited"},"ephemeral":true}}}}}"#;

struct Client<S> {
    stream: S,
    scanner: Scanner,
}

impl<S: AsyncReadExt + AsyncWriteExt + Unpin> Client<S> {
    fn new(stream: S) -> Self {
        Client { stream, scanner: Scanner::new(Limits::default()) }
    }

    async fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    async fn next(&mut self) -> Option<Value> {
        let mut buffer = vec![0; 65536];
        loop {
            if let Some(value) = self.scanner.next_value().unwrap() {
                return Some(value);
            }
            let read = tokio::time::timeout(Duration::from_secs(60), self.stream.read(&mut buffer));
            match read.await.expect("an answer in time") {
                Ok(0) | Err(_) => return None,
                Ok(count) => self.scanner.feed(&buffer[..count]),
            }
        }
    }

    async fn call(&mut self, method: &str, params: Value) -> Value {
        self.send(&json!({"id": 1, "method": method, "params": params}).to_string()).await;
        loop {
            let value = self.next().await.expect("a live connection");
            if value["id"] == json!(1) {
                return value["result"].clone();
            }
        }
    }
}

/// A connection, once the server listens.
async fn client(dir: &Path) -> Client<UnixStream> {
    for _ in 0..1000 {
        if let Ok(stream) = UnixStream::connect(dir.join("db.sock")).await {
            return Client::new(stream);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("nobody listens");
}

async fn start(dir: &Path, family: &Family) -> DbSystem {
    let file = dir.join("farm.db");
    assert!(db::create_if_missing(&file, &DatabaseSchema::from_text(SCHEMA).unwrap()).unwrap());
    let config = DbConfig {
        files: vec![file.display().to_string()],
        run_dir: dir.to_owned(),
        remotes: ["punix:db.sock".to_owned(), "db:Farm,Root,managers".to_owned()].into(),
        seed: 7,
        ..DbConfig::default()
    };
    let system = db::start(family, config).unwrap();
    system.ready().await;
    system
}

fn insert(name: &str) -> Value {
    json!(["Farm", {"op": "insert", "table": "Cow", "row": {"name": name}}, {"op": "commit", "durable": true}])
}

async fn settle() {
    for _ in 0..5 {
        clock::rest().await;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[test]
fn clients_remotes_and_panics() {
    vlog::set_console(false);
    supervise::log_panics();
    let dir = tempfile::tempdir().unwrap();
    System::new().block_on(async {
        let family = Family::top("test");
        let system = start(dir.path(), &family).await;
        pipelining_and_garbage(dir.path()).await;
        fan_out(dir.path()).await;
        remotes_from_rows(dir.path()).await;
        panics(dir.path()).await;
        json_rpc_2(&family, &system).await;
        commands(&system, dir.path()).await;
    });
    // The system is gone: so is its socket, and the log holds what was promised.
    assert!(!dir.path().join("db.sock").exists());
    assert!(std::fs::read_to_string(dir.path().join("farm.db")).unwrap().contains("after the panic"));
}

async fn pipelining_and_garbage(dir: &Path) {
    let mut c = client(dir).await;
    let many: String = (0..500).map(|n| json!({"id": n, "method": "echo", "params": [n]}).to_string()).collect();
    c.send(&many).await;
    for n in 0..500 {
        assert_eq!(c.next().await.unwrap(), json!({"id": n, "result": [n], "error": null}));
    }
    // One byte at a time.
    for byte in r#"{"id":"x","method":"list_dbs","params":[]}"#.chars() {
        c.send(&byte.to_string()).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(c.next().await.unwrap()["result"], json!(["Farm", "_Server"]));
    // Garbage ends this connection, after the answers to what came before, and no other.
    let mut other = client(dir).await;
    c.send(r#"{"id":5,"method":"get_server_id","params":[]}} oops"#).await;
    while let Some(value) = c.next().await {
        assert_eq!(value["id"], json!(5));
    }
    assert_eq!(other.call("list_dbs", json!([])).await, json!(["Farm", "_Server"]));
    other.send(r#"{"id":6,"method":"nonsense","params":[]}"#).await;
    assert_eq!(other.next().await.unwrap()["error"], json!("unknown method"));
}

async fn fan_out(dir: &Path) {
    let mut watchers = Vec::new();
    for n in 0..20 {
        let mut w = client(dir).await;
        w.call("monitor", json!(["Farm", n, {"Cow": {"columns": ["name"]}}])).await;
        watchers.push(w);
    }
    let mut c = client(dir).await;
    for n in 0..10 {
        let result = c.call("transact", insert(&format!("cow {n}"))).await;
        assert!(result[0]["uuid"].is_array(), "{result}");
    }
    for (number, w) in watchers.iter_mut().enumerate() {
        for n in 0..10 {
            let update = w.next().await.unwrap();
            assert_eq!(update["params"][0], json!(number));
            assert!(update["params"][1]["Cow"].to_string().contains(&format!("cow {n}")));
        }
    }
}

async fn remotes_from_rows(dir: &Path) {
    let mut c = client(dir).await;
    let ops = json!(["Farm",
        {"op": "insert", "table": "Manager", "uuid-name": "m", "row": {"target": "ptcp:0:127.0.0.1"}},
        {"op": "insert", "table": "Root", "row": {"managers": ["named-uuid", "m"]}}]);
    c.call("transact", ops).await;
    // The port shows in the status column, and serves.
    let mut port = None;
    for _ in 0..2000 {
        let select = json!(["Farm", {"op": "select", "table": "Manager", "where": []}]);
        let row = c.call("transact", select).await[0]["rows"][0].clone();
        port = row["status"][1].as_array().and_then(|s| s.iter().find(|p| p[0] == "bound_port")).cloned();
        if port.is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let port: u16 = port.expect("a bound port in time")[1].as_str().unwrap().parse().unwrap();
    let mut tcp = Client::new(TcpStream::connect(("127.0.0.1", port)).await.unwrap());
    assert_eq!(tcp.call("list_dbs", json!([])).await, json!(["Farm", "_Server"]));
    // The row goes, and with it the listener and its connections.
    c.call("transact", json!(["Farm", {"op": "delete", "table": "Root", "where": []}])).await;
    assert_eq!(tcp.next().await, None);
    let mut refused = false;
    for _ in 0..1000 {
        refused = TcpStream::connect(("127.0.0.1", port)).await.is_err();
        if refused {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(refused, "the listener goes");
}

async fn panics(dir: &Path) {
    let mut c = client(dir).await;
    c.call("echo", json!([])).await;
    let session = mailbox::cards().into_iter().rfind(|card| card.kind() == "ovsdb").unwrap();
    supervise::panic_actor(session.name()).unwrap();
    assert_eq!(c.next().await, None, "the peer sees its connection end");
    let remotes = mailbox::cards().into_iter().find(|card| card.name() == "remotes").unwrap();
    let before = remotes.counts().restarts;
    supervise::panic_actor("remotes").unwrap();
    while remotes.counts().restarts == before {
        settle().await;
    }
    let mut again = client(dir).await;
    let result = again.call("transact", insert("after the panic")).await;
    assert!(result[0]["uuid"].is_array(), "{result}");
}

async fn json_rpc_2(family: &Family, system: &DbSystem) {
    let any = web::parse_address("0").unwrap();
    let registries = vec![system.methods.module().clone().into()];
    let bound = web::Web::start(family, any, registries).await.unwrap();
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"transact","params":["Farm",{"op":"select","table":"Cow","where":[["name","==","cow 3"]],"columns":["name"]}]}"#;
    let request = format!(
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(bound).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with(r#"{"jsonrpc":"2.0","id":1,"result":[{"rows":[{"name":"cow 3"}]}]}"#), "{answer}");
}

async fn commands(system: &DbSystem, dir: &Path) {
    let mut commands = unixctl::Commands::new("test");
    db::add_commands(&mut commands, &system.database);
    let call = async |name: &str, args: &[&str]| {
        let args: Vec<Value> = args.iter().map(|a| json!(a)).collect();
        commands.call(name, &args).await
    };
    let no = |text: &str| Err(text.to_owned());
    assert_eq!(call("ovsdb-server/list-dbs", &[]).await, Ok("Farm\n_Server\n".into()));
    let before = std::fs::metadata(dir.join("farm.db")).unwrap().len();
    assert_eq!(call("ovsdb-server/compact", &["Farm"]).await, Ok(String::new()));
    assert!(std::fs::metadata(dir.join("farm.db")).unwrap().len() < before);
    assert_eq!(call("ovsdb-server/compact", &["x"]).await, no("no database by that name"));
    assert_eq!(
        call("ovsdb-server/add-remote", &["db:Farm,Root,x"]).await,
        no("\"db:Farm,Root,x\": table \"Root\" has no column \"x\"")
    );
    assert_eq!(call("ovsdb-server/remove-remote", &["x"]).await, no("no such remote"));
    assert_eq!(call("ovsdb-server/tlog-set", &["Farm:Cow", "on"]).await, Ok(String::new()));
    assert!(call("ovsdb-server/tlog-list", &[]).await.unwrap().contains("Cow                         ON\n"));
    assert!(call("memory/show", &[]).await.unwrap().starts_with("atoms:"));
    assert_eq!(call("ovsdb-server/sync-status", &[]).await, Ok("state: active\n".into()));
}
