//! The server machine with several clients: waits, locks, monitors, conversion, durability, access
//! control, copies of other servers.

use std::collections::BTreeMap;
use std::sync::Arc;

use jsonrpc::Message;
use ovsdb::log::{LogDb, MemoryStorage};
use ovsdb::replication::{Backup, Failure, Relay, parse_exclusions};
use ovsdb::server::{Model, Now, Output, Piece, Server, SessionInfo};
use ovsdb::{Database, DatabaseSchema};
use serde_json::{Value, json};

fn now(mono_ms: u64) -> Now {
    Now { mono_ms, wall_ms: 1_700_000_000_000 }
}

fn schema() -> DatabaseSchema {
    DatabaseSchema::from_text(include_str!("requests/ordinals.ovsschema")).unwrap()
}

fn server() -> Server {
    let mut server = Server::new(3);
    let db = Database::new(Arc::new(schema()));
    let log = LogDb::create(Box::new(MemoryStorage::default()), &schema()).unwrap();
    server.add_db(db, Some(log), Model::Standalone, now(0)).unwrap();
    for session in 1..=3 {
        server.connect(session, SessionInfo::default());
    }
    server
}

/// Texts for each session, `close` for a closed connection, in order.
fn drain(server: &mut Server) -> Vec<(u64, Value)> {
    server
        .take_outputs()
        .into_iter()
        .map(|output| match output {
            Output::Send { session, text, .. } => (session, serde_json::from_str(&text.to_str()).unwrap()),
            Output::Close { session, .. } => (session, json!("close")),
        })
        .collect()
}

fn call(server: &mut Server, session: u64, method: &str, params: Value) -> Vec<(u64, Value)> {
    let params = params.as_array().unwrap().clone();
    server.handle(session, Message::request(json!(session), method, params), now(0));
    drain(server)
}

fn result(server: &mut Server, session: u64, method: &str, params: Value) -> Value {
    let (to, reply) = call(server, session, method, params).pop().unwrap();
    assert_eq!(to, session);
    reply.get("result").or(reply.get("error")).cloned().unwrap()
}

const INSERT: &str = r#"["ordinals",{"op":"insert","table":"ordinals","row":{"number":1}}]"#;

fn insert() -> Value {
    serde_json::from_str(INSERT).unwrap()
}

fn wait(timeout: Value) -> Value {
    let mut op = json!({"op":"wait","table":"ordinals","where":[],"columns":["number"],
                        "until":"==","rows":[{"number":1}]});
    if !timeout.is_null() {
        op["timeout"] = timeout;
    }
    json!(["ordinals", op])
}

/// The answer to a request, and the parts of it that others may get as well.
fn shared(server: &mut Server, session: u64, method: &str, params: &Value) -> (Value, Vec<Arc<String>>) {
    let params = params.as_array().unwrap().clone();
    server.handle(session, Message::request(json!(session), method, params), now(0));
    let Some(Output::Send { text, .. }) = server.take_outputs().pop_back() else { panic!("no answer") };
    let reply: Value = serde_json::from_str(&text.to_str()).unwrap();
    assert_eq!(text.size(), text.to_str().len());
    let parts = text.into_pieces().filter_map(|piece| match piece {
        Piece::Shared(part) => Some(part),
        Piece::Own(_) => None,
    });
    (reply["result"].clone(), parts.collect())
}

#[test]
fn equal_monitors_begin_with_one_text() {
    let zero = "00000000-0000-0000-0000-000000000000";
    let tables = json!({"ordinals": {"columns": ["number", "name"]}, "One": {}, "T": {}});
    let insert = |table: &str, row: Value| json!(["ordinals", {"op": "insert", "table": table, "row": row}]);
    for (method, params) in [
        ("monitor", json!(["ordinals", "m", tables])),
        ("monitor_cond", json!(["ordinals", "m", tables])),
        ("monitor_cond_since", json!(["ordinals", "m", tables, zero])),
    ] {
        let mut server = server();
        call(&mut server, 1, "transact", insert("ordinals", json!({"number": 1, "name": "a".repeat(9000)})));
        call(&mut server, 1, "transact", insert("One", json!({"x": 1})));
        let (first, one) = shared(&mut server, 1, method, &params);
        let (second, same) = shared(&mut server, 2, method, &params);
        assert_eq!(first, second);
        assert!(one.len() == 1 && same.len() == 1 && Arc::ptr_eq(&one[0], &same[0]), "{method}");
        let rows = first.get(2).unwrap_or(&first);
        assert_eq!(serde_json::from_str::<Value>(&format!("{{{}}}", one[0])).unwrap()["ordinals"], rows["ordinals"]);
        // Also after another table changed.
        call(&mut server, 1, "monitor_cancel", json!(["m"]));
        call(&mut server, 3, "transact", insert("T", json!({"n": "b".repeat(9000), "e": "a"})));
        let (third, both) = shared(&mut server, 1, method, &params);
        assert_ne!(first, third);
        assert!(both.len() == 2 && both.iter().any(|part| Arc::ptr_eq(part, &one[0])));
        // One for each state of a table, and for each set of columns.
        call(&mut server, 1, "transact", insert("ordinals", json!({"number": 2})));
        let (fourth, other) = shared(&mut server, 3, method, &params);
        let rows = fourth.get(2).unwrap_or(&fourth);
        assert_eq!((rows["ordinals"].as_object().unwrap().len(), other.len()), (2, 2));
        assert!(other.iter().all(|part| !Arc::ptr_eq(part, &one[0])));
        let whole = json!(["ordinals", "n", {"ordinals": {}}, zero]);
        let whole = Value::from(&whole.as_array().unwrap()[..params.as_array().unwrap().len()]);
        let (_, other) = shared(&mut server, 3, method, &whole);
        assert!(both.iter().all(|part| !Arc::ptr_eq(part, &other[0])));
        // What nobody reads any more is not kept.
        let gone = Arc::downgrade(&one[0]);
        drop((one, same, both, other));
        assert_eq!(gone.strong_count(), 0);
    }
}

#[test]
fn a_wait_ends_with_a_commit_or_its_time() {
    let mut server = server();
    assert_eq!(call(&mut server, 1, "transact", wait(json!(null))), []);
    assert_eq!(server.poll_timeout(), None);
    assert_eq!(call(&mut server, 2, "transact", wait(json!(500))), []);
    assert_eq!(server.poll_timeout().unwrap().0, 500);
    server.handle_timeout(now(499));
    assert_eq!(drain(&mut server), []);
    server.handle_timeout(now(500));
    let out = drain(&mut server);
    assert_eq!(out[0].1["result"][0]["error"], "timed out");
    assert_eq!(out[0].1["result"][0]["details"], "\"wait\" timed out after 500 ms");
    let out = call(&mut server, 3, "transact", insert());
    assert_eq!(out.len(), 2);
    assert_eq!(out[1], (1, json!({"id":1,"result":[{}],"error":null})));
}

#[test]
fn waiting_transactions_are_cancelled() {
    let mut server = server();
    call(&mut server, 1, "transact", wait(json!(null)));
    let again = result(&mut server, 1, "transact", wait(json!(null)));
    assert_eq!(again["details"], "transact: duplicate request ID");
    server.handle(1, Message::notification("cancel", vec![json!(1)]), now(0));
    assert_eq!(drain(&mut server), [], "Open vSwitch sends no reply");
    call(&mut server, 1, "transact", insert());
    assert_eq!(drain(&mut server), [], "it waits no longer");
    call(&mut server, 2, "transact", wait(json!(9)));
    server.disconnect(2);
    assert_eq!(server.poll_timeout(), None);
}

#[test]
fn locks_pass_from_hand_to_hand() {
    let mut server = server();
    let lock = |server: &mut Server, session, method| call(server, session, method, json!(["l"]));
    assert_eq!(lock(&mut server, 1, "lock")[0].1["result"], json!({"locked":true}));
    assert_eq!(lock(&mut server, 2, "lock")[0].1["result"], json!({"locked":false}));
    assert_eq!(server.lock_counts(2).waiting, 1);
    let out = lock(&mut server, 3, "steal");
    assert_eq!(out[0], (1, json!({"id":null,"method":"stolen","params":["l"]})));
    assert_eq!(out[1].1["result"], json!({"locked":true}));
    assert_eq!((server.lock_counts(3).held, server.lock_counts(1).lost), (1, 1));
    let assertion = json!(["ordinals", {"op":"assert","lock":"l"}]);
    assert_eq!(result(&mut server, 3, "transact", assertion.clone()), json!([{}]));
    assert_eq!(result(&mut server, 1, "transact", assertion)[0]["error"], "not owner");
    let out = lock(&mut server, 3, "unlock");
    assert_eq!(out[0], (1, json!({"id":null,"method":"locked","params":["l"]})));
    server.disconnect(1);
    assert_eq!(drain(&mut server)[0], (2, json!({"id":null,"method":"locked","params":["l"]})));
}

#[test]
fn a_thief_that_is_robbed_waits_no_longer() {
    let mut server = server();
    let lock = |server: &mut Server, session, method| call(server, session, method, json!(["l"]));
    lock(&mut server, 1, "steal");
    let out = lock(&mut server, 2, "steal");
    assert_eq!(out[0], (1, json!({"id":null,"method":"stolen","params":["l"]})));
    assert_eq!(out[1].1["result"], json!({"locked":true}));
    assert_eq!((server.lock_counts(2).held, server.lock_counts(1).lost), (1, 1));
    assert_eq!(lock(&mut server, 1, "lock")[0].1["error"]["details"], "must issue \"unlock\" before new \"lock\"");
    assert_eq!(lock(&mut server, 2, "unlock").len(), 1, "only the reply");
    let assertion = json!(["ordinals", {"op":"assert","lock":"l"}]);
    assert_eq!(result(&mut server, 1, "transact", assertion)[0]["error"], "not owner");
    assert_eq!(lock(&mut server, 2, "lock")[0].1["result"], json!({"locked":true}));
    assert_eq!(lock(&mut server, 1, "unlock").len(), 1, "nobody else is told");
    assert_eq!(server.lock_counts(1).lost, 0);
}

#[test]
fn who_does_not_read_is_told_of_many_commits_at_once() {
    let mut server = server();
    let rename = |from: &str, to: &str| json!(["ordinals", {"op":"update","table":"ordinals","where":[["name","==",from]],"row":{"name":to}}]);
    let add = |name: &str, number: i64| json!(["ordinals", {"op":"insert","table":"ordinals","row":{"name":name,"number":number}}]);
    let remove = json!(["ordinals", {"op":"delete","table":"ordinals","where":[["name","==","short"]]}]);
    call(&mut server, 1, "transact", add("a", 1));
    let columns = json!({"ordinals": [{"columns": ["name"]}]});
    call(&mut server, 1, "monitor", json!(["ordinals", "m", columns]));
    call(&mut server, 2, "monitor_cond", json!(["ordinals", "m", columns]));
    for session in [1, 2] {
        server.set_backlogged(session, true);
    }
    for request in [rename("a", "b"), add("short", 5), rename("b", "c"), add("d", 6), remove.clone()] {
        assert_eq!(call(&mut server, 3, "transact", request).len(), 1, "only the reply");
    }
    server.set_backlogged(1, false);
    let out = drain(&mut server);
    assert_eq!(out.len(), 1);
    let rows = &out[0].1["params"][1]["ordinals"];
    let changes: BTreeMap<&str, &Value> =
        rows.as_object().unwrap().values().map(|row| (row["new"]["name"].as_str().unwrap(), &row["old"])).collect();
    assert_eq!(changes, BTreeMap::from([("c", &json!({"name":"a"})), ("d", &Value::Null)]));
    // A reply comes behind what was seen before it.
    let out = call(&mut server, 2, "transact", rename("d", "e"));
    assert_eq!(out.iter().map(|(to, _)| *to).collect::<Vec<_>>(), [1, 2, 2]);
    assert_eq!(out[1].1["method"], "update2");
    assert_eq!(out[1].1["params"][1]["ordinals"].as_object().unwrap().len(), 2);
    assert_eq!(out[2].1["result"], json!([{"count":1}]));
    // What came and went meanwhile is not told of at all.
    call(&mut server, 3, "transact", add("short", 7));
    call(&mut server, 3, "transact", remove);
    server.set_backlogged(2, false);
    assert_eq!(drain(&mut server), []);
}

#[test]
fn an_update_comes_before_the_reply() {
    let mut server = server();
    let request = json!(["ordinals", "m", {"ordinals": [{"columns": ["number"]}]}]);
    for session in [1, 2] {
        call(&mut server, session, "monitor", request.clone());
    }
    assert_eq!(server.usage().monitors, 1, "equal monitors are one");
    let out = call(&mut server, 1, "transact", insert());
    let to: Vec<u64> = out.iter().map(|(to, _)| *to).collect();
    assert_eq!(to, [1, 2, 1]);
    assert_eq!(out[0].1["method"], "update");
    assert_eq!(out[0].1, out[1].1);
}

#[test]
fn who_comes_back_is_told_the_difference() {
    let mut server = server();
    server.db_mut("ordinals").unwrap().set_keep_history(true);
    let ask = |last: &str| {
        let wanted = json!({"ordinals": [{"columns": ["number", "name"]}]});
        json!(["ordinals", "m", wanted, last])
    };
    let zero = "00000000-0000-0000-0000-000000000000";
    call(&mut server, 1, "transact", insert());
    let first = result(&mut server, 1, "monitor_cond_since", ask(zero));
    assert_eq!(first[0], false);
    let last = first[1].as_str().unwrap().to_owned();
    server.disconnect(1);
    server.connect(1, SessionInfo::default());
    for op in [
        json!({"op":"update","table":"ordinals","where":[],"row":{"name":"a"}}),
        json!({"op":"update","table":"ordinals","where":[],"row":{"name":"b"}}),
    ] {
        call(&mut server, 2, "transact", json!(["ordinals", op]));
    }
    let again = result(&mut server, 1, "monitor_cond_since", ask(&last));
    assert_eq!(again[0], true);
    let rows = again[2]["ordinals"].as_object().unwrap();
    assert_eq!(rows.values().next().unwrap(), &json!({"modify":{"name":"b"}}));
    for n in 0..200 {
        let op = json!({"op":"update","table":"ordinals","where":[],"row":{"name":n.to_string()}});
        call(&mut server, 2, "transact", json!(["ordinals", op]));
    }
    assert_eq!(server.db("ordinals").unwrap().history_len(), ovsdb::database::HISTORY_MAX);
    server.disconnect(1);
    server.connect(1, SessionInfo::default());
    assert_eq!(result(&mut server, 1, "monitor_cond_since", ask(&last))[0], false);
}

#[test]
fn a_durable_reply_waits_for_the_disk() {
    let mut server = server();
    let mut ops = insert();
    ops.as_array_mut().unwrap().push(json!({"op":"commit","durable":true}));
    let params = ops.as_array().unwrap().clone();
    server.handle(1, Message::request(json!(1), "transact", params), now(0));
    let out = server.take_outputs();
    let Some(Output::Send { ticket: Some(ticket), .. }) = out.front() else { panic!("{out:?}") };
    assert_eq!(ticket.seq, server.sync_job("ordinals").unwrap().0);
}

#[test]
fn conversion_tells_who_knows_and_closes_who_does_not() {
    let mut server = server();
    call(&mut server, 1, "set_db_change_aware", json!([true]));
    call(&mut server, 1, "monitor", json!(["ordinals", "m", {"ordinals": []}]));
    call(&mut server, 1, "transact", insert());
    let mut new = schema().to_json();
    new["version"] = json!("6.0.0");
    new["tables"]["ordinals"]["columns"]["extra"] = json!({"type": "boolean"});
    new["tables"]["ordinals"]["columns"].as_object_mut().unwrap().remove("r");
    let out = call(&mut server, 1, "convert", json!(["ordinals", new]));
    assert_eq!(out[0], (1, json!({"id":null,"method":"monitor_canceled","params":["m"]})));
    assert_eq!(out[1], (2, json!("close")));
    assert_eq!(out[2], (3, json!("close")));
    assert_eq!(out[3].1["result"], json!({}));
    let select = json!(["ordinals", {"op":"select","table":"ordinals","where":[],
                        "columns":["number","extra"]}]);
    let rows = result(&mut server, 1, "transact", select);
    assert_eq!(rows, json!([{"rows":[{"number":1,"extra":false}]}]));
    let query = json!(["_Server", {"op":"select","table":"Database",
                       "where":[["name","==","ordinals"]],"columns":["schema"]}]);
    let rows = result(&mut server, 1, "transact", query);
    assert!(rows[0]["rows"][0]["schema"].as_str().unwrap().contains("6.0.0"));
}

#[test]
fn roles_bound_what_clients_write() {
    let text = r#"{"name":"r","tables":{
        "T":{"columns":{"owner":{"type":"string"},"x":{"type":"integer"},
             "m":{"type":{"key":"string","value":"string","min":0,"max":"unlimited"}}},"isRoot":true},
        "RBAC_Role":{"columns":{"name":{"type":"string"},"permissions":{"type":{"key":"string",
             "value":{"type":"uuid","refTable":"RBAC_Permission","refType":"weak"},
             "min":0,"max":"unlimited"}}},"isRoot":true},
        "RBAC_Permission":{"columns":{"table":{"type":"string"},
             "authorization":{"type":{"key":"string","min":0,"max":"unlimited"}},
             "insert_delete":{"type":"boolean"},
             "update":{"type":{"key":"string","min":0,"max":"unlimited"}}},"isRoot":true}}}"#;
    let mut server = Server::new(1);
    let schema = Arc::new(DatabaseSchema::from_text(text).unwrap());
    server.add_db(Database::new(schema), None, Model::Standalone, now(0)).unwrap();
    server.connect(1, SessionInfo::default());
    let client = SessionInfo { role: Some("writer".into()), client_id: Some("anna".into()), ..SessionInfo::default() };
    server.connect(2, client);
    let setup = json!(["r",
        {"op":"insert","table":"RBAC_Permission","uuid-name":"p","row":{"table":"T",
         "authorization":"owner","insert_delete":true,"update":["set",["x","m:free"]]}},
        {"op":"insert","table":"RBAC_Role","row":{"name":"writer",
         "permissions":["map",[["T",["named-uuid","p"]]]]}},
        {"op":"insert","table":"T","row":{"owner":"otto"}},
        {"op":"insert","table":"T","row":{"owner":"anna"}}]);
    call(&mut server, 1, "transact", setup);
    let mut op = |op: Value| result(&mut server, 2, "transact", json!(["r", op]))[0].clone();
    let mine = json!([["owner", "==", "anna"]]);
    let his = json!([["owner", "==", "otto"]]);
    assert_eq!(op(json!({"op":"update","table":"T","where":mine,"row":{"x":1}}))["count"], 1);
    let denied = op(json!({"op":"update","table":"T","where":his,"row":{"x":1}}));
    assert_eq!(denied["error"], "permission error");
    assert_eq!(
        denied["details"],
        "RBAC rules for client \"anna\" role \"writer\" prohibit modification of table \"T\"."
    );
    let denied = op(json!({"op":"update","table":"T","where":mine,"row":{"owner":"x"}}));
    assert_eq!(denied["error"], "permission error");
    let mutate = |key: &str| {
        json!({"op":"mutate","table":"T","where":mine,
               "mutations":[["m","insert",["map",[[key,"v"]]]]]})
    };
    assert_eq!(op(mutate("free"))["count"], 1);
    assert_eq!(op(mutate("other"))["error"], "permission error");
    assert_eq!(op(json!({"op":"delete","table":"T","where":his}))["error"], "permission error");
    assert_eq!(op(json!({"op":"insert","table":"T","row":{"owner":"otto"}}))["error"], "permission error");
    assert_eq!(op(json!({"op":"delete","table":"T","where":mine}))["count"], 1);
}

/// Carries messages between a machine and the server that it copies, until both are silent.
fn exchange(source: &mut Server, session: u64, mut take: impl FnMut() -> Option<Message>) -> Vec<Message> {
    while let Some(message) = take() {
        source.handle(session, message, now(0));
    }
    let outputs = drain(source).into_iter().filter(|(to, _)| *to == session);
    outputs.map(|(_, json)| Message::from_json(json).unwrap()).collect()
}

fn rows(server: &Server, table: &str) -> BTreeMap<String, String> {
    let table = server.db("ordinals").unwrap().table(table).unwrap();
    let columns: Vec<usize> = table.schema.own_columns().map(|(column, _)| column).collect();
    table
        .rows()
        .map(|row| {
            let mut text = String::new();
            row.write_json(&columns, &table.schema, &mut text);
            (row.uuid.to_string(), text)
        })
        .collect()
}

#[test]
fn a_backup_follows() {
    let mut active = server();
    let mut own = Server::new(77);
    let db = Database::new(Arc::new(schema()));
    own.add_db(db, None, Model::Standalone, now(0)).unwrap();
    own.set_read_only(true);
    own.connect(1, SessionInfo::default());
    call(&mut active, 1, "transact", insert());
    let mut backup = Backup::new(parse_exclusions("ordinals:One").unwrap());
    backup.connected();
    let step = |backup: &mut Backup, own: &mut Server, active: &mut Server| {
        for _ in 0..8 {
            for message in exchange(active, 3, || backup.poll_output()) {
                backup.handle(message, own, now(0));
            }
        }
    };
    step(&mut backup, &mut own, &mut active);
    assert_eq!(backup.failure(), None);
    assert_eq!(backup.status("tcp:x", true), "replicating: tcp:x\ndatabase: ordinals\nexclude: ordinals:One");
    assert_eq!(rows(&own, "ordinals"), rows(&active, "ordinals"));
    let ops = json!(["ordinals", {"op":"update","table":"ordinals","where":[],"row":{"name":"x"}},
                     {"op":"insert","table":"One","row":{}}]);
    // What the backup's session is told is in the outputs of this call.
    let out = call(&mut active, 1, "transact", ops);
    for (to, json) in out {
        if to == 3 {
            backup.handle(Message::from_json(json).unwrap(), &mut own, now(0));
        }
    }
    assert_eq!(rows(&own, "ordinals"), rows(&active, "ordinals"));
    assert!(rows(&own, "One").is_empty());
    let denied = result(&mut own, 1, "transact", insert());
    assert_eq!(denied[0]["details"], "insert operation not allowed when database server is in read only mode");
}

#[test]
fn a_backup_passes_over_what_it_did_not_ask_for_and_over_refusals() {
    let nonsense = [
        (json!({"id": 99, "result": [], "error": null}), 1),
        (json!({"id": "x", "result": {}, "error": null}), 1),
        (json!({"id": 1, "result": null, "error": "no"}), 0),
        (json!({"id": null, "method": "update", "params": [1]}), 0),
        (json!({"id": null, "method": "update", "params": [null, {}]}), 0),
        (json!({"id": null, "method": "update", "params": ["ordinals", 5]}), 0),
    ];
    for (message, unexpected) in nonsense {
        let mut active = server();
        let mut own = Server::new(77);
        own.add_db(Database::new(Arc::new(schema())), None, Model::Standalone, now(0)).unwrap();
        call(&mut active, 1, "transact", insert());
        let mut backup = Backup::new(parse_exclusions("").unwrap());
        backup.connected();
        // Before each answer, and after the last.
        for _ in 0..8 {
            backup.handle(Message::from_json(message.clone()).unwrap(), &mut own, now(0));
            assert_eq!((backup.take_unexpected(), backup.failure()), (unexpected, None), "{message}");
            for answer in exchange(&mut active, 3, || backup.poll_output()) {
                backup.handle(answer, &mut own, now(0));
            }
        }
        assert_eq!(backup.status("tcp:x", true), "replicating: tcp:x\ndatabase: ordinals", "{message}");
        assert_eq!(rows(&own, "ordinals"), rows(&active, "ordinals"));
    }
}

/// What a backup says, and why it ended, that has the source's schema but for what `change` makes of either.
fn backup_of(source: impl Fn(&mut Value), own: impl Fn(&mut Value)) -> (Vec<String>, Option<Failure>) {
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut json = schema().to_json();
        change(&mut json);
        Database::new(Arc::new(DatabaseSchema::from_json(&json).unwrap()))
    };
    let mut active = Server::new(3);
    active.add_db(changed(&source), None, Model::Standalone, now(0)).unwrap();
    active.connect(3, SessionInfo::default());
    let mut backup_server = Server::new(77);
    backup_server.add_db(changed(&own), None, Model::Standalone, now(0)).unwrap();
    let mut backup = Backup::new(parse_exclusions("").unwrap());
    backup.connected();
    for _ in 0..8 {
        for message in exchange(&mut active, 3, || backup.poll_output()) {
            backup.handle(message, &mut backup_server, now(0));
        }
    }
    (backup.take_notes(), backup.failure().cloned())
}

#[test]
fn a_backup_looks_at_its_sources_schema() {
    let reset = "Monitor request received. Resetting the database";
    let checking = "Schema version mismatch, checking if ordinals can still be replicated or not.";
    let same = |_: &mut Value| {};
    let version = |json: &mut Value| json["version"] = json!("9.9.9");
    let table = |json: &mut Value| json["tables"]["more"] = json!({"columns": {"a": {"type": "integer"}}});
    let column = |json: &mut Value| json["tables"]["ordinals"]["columns"]["more"] = json!({"type": "integer"});
    let other = |json: &mut Value| json["tables"]["ordinals"]["columns"]["name"]["mutable"] = json!(false);
    assert_eq!(backup_of(same, same), (vec![reset.to_owned()], None));
    let can = ["ordinals can be replicated.", reset];
    for (notes, failure) in
        [backup_of(version, same), backup_of(same, version), backup_of(same, table), backup_of(same, column)]
    {
        assert_eq!((notes[1..].to_vec(), failure), (can.map(str::to_owned).to_vec(), None));
        assert_eq!(notes[0], checking);
    }
    for ((notes, failure), why) in [
        (backup_of(table, same), "Table more not present in the local db schema"),
        (backup_of(column, same), "Column more not present in the local db schema table ordinals."),
        (backup_of(other, same), "Column name mismatch in local db schema table ordinals."),
        (backup_of(same, other), "Column name mismatch in local db schema table ordinals."),
    ] {
        assert_eq!(notes, [checking, why, "ordinals cannot be replicated."]);
        assert_eq!(failure, Some(Failure::Nothing));
    }
}

#[test]
fn a_backup_without_a_database_in_common_stays_one() {
    let mut active = Server::new(77);
    active.connect(3, SessionInfo::default());
    let mut own = server();
    let mut backup = Backup::new(parse_exclusions("").unwrap());
    backup.connected();
    for _ in 0..8 {
        for message in exchange(&mut active, 3, || backup.poll_output()) {
            backup.handle(message, &mut own, now(0));
        }
    }
    assert_eq!((backup.failure(), backup.status("tcp:x", true).as_str()), (None, "connecting: tcp:x"));
}

#[test]
fn a_relay_shows_and_passes_on() {
    let mut source = server();
    call(&mut source, 1, "transact", insert());
    let mut own = Server::new(77);
    own.add_relay("ordinals", now(0));
    own.connect(1, SessionInfo::default());
    let early = result(&mut own, 1, "get_schema", json!(["ordinals"]));
    assert_eq!(early["error"], "database not available");
    let mut relay = Relay::new("ordinals");
    relay.connected();
    // Of other monitors, whatever they say.
    let others = [
        json!({"id": null, "method": "update3", "params": [["monid", "ordinals"], "x", {"ordinals": {"q": 1}}]}),
        json!({"id": null, "method": "update2", "params": [null, {"no such table": {}}]}),
        json!({"id": null, "method": "monitor_canceled", "params": [["monid", "ordinals"]]}),
    ];
    for _ in 0..6 {
        for other in &others {
            relay.handle(Message::from_json(other.clone()).unwrap(), &mut own, now(0)).unwrap();
        }
        for message in exchange(&mut source, 3, || relay.poll_output()) {
            relay.handle(message, &mut own, now(0)).unwrap();
        }
    }
    assert!(relay.is_live());
    drain(&mut own);
    own.connect(2, SessionInfo::default());
    assert_eq!(rows(&own, "ordinals"), rows(&source, "ordinals"));
    call(&mut own, 2, "monitor", json!(["ordinals", "m", {"ordinals": {}}]));
    let ops = json!(["ordinals", {"op":"insert","table":"ordinals","row":{"number":2}}]);
    assert_eq!(call(&mut own, 2, "transact", ops), [], "passed on");
    for forward in own.take_forwards() {
        relay.forward(forward);
    }
    for message in exchange(&mut source, 3, || relay.poll_output()) {
        relay.handle(message, &mut own, now(0)).unwrap();
    }
    let out = drain(&mut own);
    assert_eq!(out[0].1["method"], "update", "{out:?}");
    assert_eq!(out[1].0, 2);
    assert!(out[1].1["result"][0]["uuid"].is_array());
    assert_eq!(rows(&own, "ordinals"), rows(&source, "ordinals"));
}

#[test]
fn deep_nesting_is_borne() {
    let mut server = server();
    let deep = format!("{}1{}", "[".repeat(990), "]".repeat(990));
    for text in [
        format!(r#"{{"id":{deep},"method":"transact","params":["ordinals"]}}"#),
        format!(r#"{{"id":1,"method":"transact","params":["ordinals",{{"op":"select","table":"T","where":{deep}}}]}}"#),
        format!(r#"{{"id":1,"method":"monitor","params":["ordinals",{deep},{{}}]}}"#),
        format!(r#"{{"id":1,"method":"nonsense","params":[{deep}]}}"#),
    ] {
        let json = jsonrpc::parse_value(text.as_bytes(), jsonrpc::Limits::default()).unwrap();
        server.handle(1, Message::from_json(json).unwrap(), now(0));
        assert_eq!(server.take_outputs().len(), 1);
    }
}
