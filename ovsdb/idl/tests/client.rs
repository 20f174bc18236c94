//! The protocol against a scripted server, and transactions as requests.

use idl::{Client, ClientError, Interests, Status, Transaction};
use jsonrpc::{Message, Pull};
use ovsdb::{Datum, Uuid, UuidSource};
use serde_json::{Value, json};

fn schema() -> Value {
    json!({"name": "db", "version": "1.0.0", "tables": {
        "root": {"isRoot": true, "columns": {
            "n": {"type": "integer"},
            "kids": {"type": {"key": {"type": "uuid", "refTable": "kid"}, "min": 0, "max": "unlimited"}}}},
        "kid": {"columns": {
            "name": {"type": "string"},
            "tags": {"type": {"key": "string", "min": 0, "max": "unlimited"}},
            "hidden": {"type": "string"}}}}})
}

const A: &str = "00000000-0000-4000-8000-00000000000a";
const B: &str = "00000000-0000-4000-8000-00000000000b";

fn uuid(text: &str) -> Uuid {
    Uuid::parse(text).unwrap()
}

fn interests() -> Interests {
    let mut wanted = Interests::new();
    wanted.add_all_columns("root");
    wanted.add_column("kid", "name");
    wanted.add_column("kid", "tags");
    wanted.add_column("kid", "gone");
    wanted
}

#[test]
fn what_a_database_lacks_is_told_of_and_not_wanted() {
    let schema = ovsdb::DatabaseSchema::from_json(&schema()).unwrap();
    let mut wanted = interests();
    wanted.add_table("absent");
    wanted.add_column("absent", "x");
    wanted.add_column("kid", "also gone");
    let told = [
        "db database lacks absent table (database needs upgrade?)",
        "kid table in db database lacks also gone column (database needs upgrade?)",
        "kid table in db database lacks gone column (database needs upgrade?)",
    ];
    assert_eq!(wanted.restrict(&schema), told);
    assert_eq!(wanted.restrict(&schema), [""; 0]);
    let mut all = Interests::of_schema(&schema);
    all.drop_column("kid", "hidden");
    let mut less = schema.clone();
    less.tables.remove("root");
    assert_eq!(all.restrict(&less), ["db database lacks root table (database needs upgrade?)"]);
}

fn method(message: &Message) -> (&Value, &str, &[Value]) {
    match message {
        Message::Request { id, method, params } => (id, method, params),
        other => panic!("{other:?}"),
    }
}

fn reply(to: &Message, result: Value) -> Message {
    Message::Response { id: method(to).0.clone(), result }
}

fn contents() -> Value {
    json!({
        "root": {A: {"initial": {"n": 5, "kids": ["uuid", B]}}},
        "kid": {B: {"initial": {"name": "b", "tags": ["set", ["x", "y"]]}}}})
}

fn watching() -> Client {
    let mut client = Client::new("db", interests());
    let hello = client.connected();
    let ask = client.receive(reply(&hello[0], schema())).unwrap();
    let (_, name, params) = method(&ask[0]);
    assert_eq!(name, "monitor_cond_since");
    assert_eq!(params[2], json!({"kid": [{"columns": ["name", "tags"]}], "root": [{"columns": ["kids", "n"]}]}));
    client.receive(reply(&ask[0], json!([false, A, contents()]))).unwrap();
    assert!(client.has_contents());
    client
}

#[test]
fn contents_and_changes() {
    let mut client = watching();
    let changes = client.take_changes();
    assert_eq!(changes.tables().collect::<Vec<_>>(), ["kid", "root"]);
    assert!(client.take_changes().is_empty());
    let update = json!({"kid": {B: {"modify": {"tags": ["set", ["y", "z"]]}}}});
    let id = json!(["monid", "db"]);
    client.receive(Message::notification("update3", vec![id.clone(), json!(B), update])).unwrap();
    let row = client.replica().row("kid", uuid(B)).unwrap();
    assert_eq!(row.datum("tags").to_bare_string(), "x z");
    let changes = client.take_changes();
    let (_, change) = changes.rows("kid").next().unwrap();
    assert!(change.touches("tags") && !change.touches("name"));
    // There and back again is no change.
    for tag in ["q", "q"] {
        let update = json!({"kid": {B: {"modify": {"tags": tag}}}});
        client.receive(Message::notification("update2", vec![id.clone(), update])).unwrap();
    }
    assert!(client.take_changes().is_empty());
    // What does not fit ends the connection.
    let update = json!({"kid": {A: {"modify": {"name": "x"}}}});
    let error = client.receive(Message::notification("update2", vec![id, update])).unwrap_err();
    assert_eq!(error, ClientError::Inconsistent(format!("cannot modify missing row {A} in table kid")));
}

#[test]
fn reconnection_tells_only_differences() {
    let mut client = watching();
    client.take_changes();
    client.disconnected();
    let hello = client.connected();
    let ask = client.receive(reply(&hello[0], schema())).unwrap();
    assert_eq!(method(&ask[0]).2[3], json!(A), "the last transaction seen");
    let now = json!({"root": {A: {"initial": {"n": 6}}}});
    client.receive(reply(&ask[0], json!([false, B, now]))).unwrap();
    let changes = client.take_changes();
    assert!(changes.touch("kid", "name") && changes.rows("kid").all(|(_, c)| c.is_delete()));
    assert!(changes.rows("root").all(|(_, c)| c.touches("n") && c.touches("kids") && !c.is_insert()));
}

#[test]
fn older_servers() {
    let mut client = Client::new("db", interests());
    let hello = client.connected();
    let mut asked = client.receive(reply(&hello[0], schema())).unwrap();
    for expect in ["monitor_cond_since", "monitor_cond"] {
        assert_eq!(method(&asked[0]).1, expect);
        let id = method(&asked[0]).0.clone();
        asked = client.receive(Message::Error { id, error: json!("unknown method") }).unwrap();
    }
    assert_eq!(method(&asked[0]).1, "monitor");
    client.receive(reply(&asked[0], json!({"root": {A: {"new": {"n": 1}}}}))).unwrap();
    let update = json!({"root": {A: {"old": {"n": 1}, "new": {"n": 2}}}});
    client.receive(Message::notification("update", vec![json!(["monid", "db"]), update])).unwrap();
    assert_eq!(client.replica().first("root").unwrap().datum("n").as_integer(), Some(2));
}

#[test]
fn transaction_and_outcome() {
    let mut client = watching();
    let replica = client.replica().clone();
    let mut txn = Transaction::new(&replica, UuidSource::new(1));
    assert!(txn.is_unchanged());
    txn.set("root", uuid(A), "n", Datum::integer(5));
    assert!(txn.is_unchanged(), "the same value is no change");
    txn.verify("root", uuid(A), "kids");
    let kid = txn.insert("kid").unwrap();
    txn.set("kid", kid, "name", Datum::string("new"));
    txn.set("root", uuid(A), "kids", Datum::set([ovsdb::Atom::Uuid(uuid(B)), ovsdb::Atom::Uuid(kid)]));
    txn.increment("root", uuid(A), "n", false);
    txn.add_comment("why");
    assert_eq!(txn.rows("kid").len(), 2);
    let prepared = txn.prepare(None);
    let name = format!("row{}", kid.to_string().replace('-', "_"));
    let at_a = json!([["_uuid", "==", ["uuid", A]]]);
    let mut refs = vec![(uuid(B), json!(["uuid", B])), (kid, json!(["named-uuid", name]))];
    refs.sort_by_key(|(uuid, _)| *uuid);
    let refs: Vec<Value> = refs.into_iter().map(|(_, json)| json).collect();
    assert_eq!(
        json!(prepared.params),
        json!(["db",
            {"op": "wait", "table": "root", "timeout": 0, "where": at_a, "columns": ["kids"], "until": "==",
             "rows": [{"kids": ["uuid", B]}]},
            {"op": "update", "table": "root", "where": at_a, "row": {"kids": ["set", refs]}},
            {"uuid-name": name, "op": "insert", "table": "kid", "row": {"name": "new"}},
            {"op": "mutate", "table": "root", "where": at_a, "mutations": [["n", "+=", 1]]},
            {"op": "select", "table": "root", "where": at_a, "columns": ["n"]},
            {"op": "comment", "comment": "why"}])
    );
    let (id, message) = client.commit(prepared).unwrap();
    let results = json!([{}, {"count": 1}, {"uuid": ["uuid", A]}, {"count": 1}, {"rows": [{"n": 6}]}, {}]);
    client.receive(reply(&message, results)).unwrap();
    let (done, outcome) = client.take_outcomes().remove(0);
    assert_eq!((done, outcome.status, outcome.incremented), (id, Status::Success, Some(6)));
    assert_eq!(outcome.inserted.get(&kid), Some(&uuid(A)));
}

#[test]
fn a_row_that_the_transaction_inserts_counts_up() {
    let client = watching();
    let replica = client.replica().clone();
    let mut txn = Transaction::new(&replica, UuidSource::new(1));
    txn.verify_empty("kid");
    let root = txn.insert("root").unwrap();
    txn.increment("root", root, "n", false);
    let name = format!("row{}", root.to_string().replace('-', "_"));
    let at_root = json!([["_uuid", "==", ["named-uuid", name]]]);
    assert_eq!(
        json!(txn.prepare(None).params),
        json!(["db",
            {"op": "wait", "table": "kid", "timeout": 0, "where": [], "until": "==", "rows": []},
            {"uuid-name": name, "op": "insert", "table": "root", "row": {}},
            {"op": "mutate", "table": "root", "where": at_root, "mutations": [["n", "+=", 1]]},
            {"op": "select", "table": "root", "where": at_root, "columns": ["n"]}])
    );
}

#[test]
fn deleting_and_losing_the_connection() {
    let mut client = watching();
    let replica = client.replica().clone();
    let mut txn = Transaction::new(&replica, UuidSource::new(1));
    txn.delete("kid", uuid(B));
    assert!(txn.is_unchanged(), "rows of a table that is no root go by themselves");
    assert!(txn.row("kid", uuid(B)).is_none());
    txn.delete("root", uuid(A));
    let (id, _) = client.commit(txn.prepare(None)).unwrap();
    client.disconnected();
    let (done, outcome) = client.take_outcomes().remove(0);
    assert_eq!((done, outcome.status), (id, Status::TryAgain));
}

#[test]
fn lock() {
    let mut client = watching();
    let ask = client.set_lock(Some("l"));
    assert_eq!(method(&ask[0]).1, "lock");
    client.receive(reply(&ask[0], json!({"locked": false}))).unwrap();
    assert!(!client.has_lock() && client.is_lock_contended());
    client.receive(Message::notification("locked", vec![json!("l")])).unwrap();
    assert!(client.has_lock());
    client.receive(Message::notification("stolen", vec![json!("l")])).unwrap();
    assert!(!client.has_lock());
    let replica = client.replica().clone();
    let mut txn = Transaction::new(&replica, UuidSource::new(1));
    txn.set("root", uuid(A), "n", Datum::integer(9));
    let prepared = txn.prepare(client.lock_name());
    assert_eq!(prepared.params[1], json!({"op": "assert", "lock": "l"}));
    assert_eq!(client.commit(prepared).unwrap_err().status, Status::NotLocked);
}

/// A client that has asked for its contents, and the id of that request.
fn asking() -> (Client, u64) {
    let mut client = Client::new("db", interests());
    let hello = client.connected();
    let ask = client.receive(reply(&hello[0], schema())).unwrap();
    let id = method(&ask[0]).0.as_u64().unwrap();
    (client, id)
}

fn take(client: &mut Client, text: &str) -> bool {
    client.take_contents(&mut Pull::new(text.as_bytes())).is_some()
}

#[test]
fn contents_from_their_text() {
    let (mut client, id) = asking();
    let text = |id: u64, result: Value| json!({"id": id, "result": result, "error": null}).to_string();
    let modify = json!({"root": {A: {"modify": {"n": 5}}}});
    let two = json!({"root": {A: {"initial": {"n": 5}, "insert": {"n": 5}}}});
    for other in [
        text(id + 1, json!([false, A, contents()])),
        text(id, json!([true, A, contents()])),
        text(id, json!([false, A, {"nobody": {}}])),
        text(id, json!([false, A, {"root": {"x": {"initial": {}}}}])),
        text(id, json!([false, A, {"root": {A: {"initial": {"nothing": 1}}}}])),
        text(id, json!([false, A, {"root": {A: {"initial": {"n": "text"}}}}])),
        text(id, json!([false, A, {"root": {A: {}}}])),
        text(id, json!([false, A, modify])),
        text(id, json!([false, A, two])),
        text(id, json!([false, A, contents(), 1])),
        text(id, contents()),
        json!({"result": [false, A, contents()], "id": id, "error": 1}).to_string(),
        json!({"result": [false, A, contents()], "id": id, "method": null}).to_string(),
        json!({"id": id, "error": "x"}).to_string(),
        String::new(),
    ] {
        assert!(!take(&mut client, &other), "{other}");
        assert!(!client.has_contents() && client.replica().is_empty() && client.take_changes().is_empty());
    }
    assert!(take(&mut client, &text(id, json!([false, A, contents()]))));
    let mut usual = watching();
    assert!(client.is_watching() && client.has_contents());
    assert_eq!((client.seqno(), client.take_changes()), (usual.seqno(), usual.take_changes()));
    for table in ["root", "kid"] {
        assert!(client.replica().rows(table).eq(usual.replica().rows(table)));
    }
    let asked = |client: &mut Client| {
        client.disconnected();
        let hello = client.connected();
        let ask = client.receive(Message::Response { id: method(&hello[0]).0.clone(), result: schema() }).unwrap();
        method(&ask[0]).2.to_vec()
    };
    assert_eq!(asked(&mut client)[3], json!(A), "the last transaction seen");
    // What it has already has to be compared with what comes.
    assert!(!take(&mut client, &text(4, json!([false, A, contents()]))));
}
