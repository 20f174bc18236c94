//! The log: what was written is read again, whatever becomes of its tail.

use std::sync::Arc;

use jsonrpc::Message;
use ovsdb::log::{FileStorage, LogDb, MemoryStorage, Storage, open_database};
use ovsdb::server::{Model, Now, Output, Server, SessionInfo};
use ovsdb::{Database, DatabaseSchema, UuidSource};
use serde_json::{Value, json};

const NOW: Now = Now { mono_ms: 0, wall_ms: 1_700_000_000_000 };

fn schema() -> Arc<DatabaseSchema> {
    let text = include_str!("requests/ordinals.ovsschema");
    Arc::new(DatabaseSchema::from_text(text).unwrap())
}

fn server_on(storage: MemoryStorage) -> Server {
    let mut source = UuidSource::new(5);
    let opened = open_database(Box::new(storage), &mut source).unwrap();
    let mut server = Server::new(9);
    server.add_db(opened.db, Some(opened.log), Model::Standalone, NOW).unwrap();
    server.connect(1, SessionInfo::default());
    server
}

fn transact(server: &mut Server, ops: Value) -> Value {
    let mut params = vec![json!("ordinals")];
    params.extend(ops.as_array().unwrap().clone());
    server.handle(1, Message::request(json!(1), "transact", params), NOW);
    let last = server.take_outputs().pop_back().unwrap();
    let Output::Send { text, .. } = last else { panic!("closed") };
    let reply: Value = serde_json::from_str(text.as_str()).unwrap();
    reply["result"].clone()
}

fn contents(db: &Database) -> Vec<String> {
    db.tables()
        .iter()
        .flat_map(|table| {
            table.rows().map(|row| {
                let mut text = format!("{} {} ", table.schema.name, row.uuid);
                let columns: Vec<usize> =
                    table.schema.own_columns().filter(|(_, spec)| spec.persistent).map(|(column, _)| column).collect();
                row.write_json(&columns, &table.schema, &mut text);
                text
            })
        })
        .collect()
}

/// A log of some transactions, with the contents after each.
fn history() -> (MemoryStorage, Vec<(u64, Vec<String>)>) {
    let storage = MemoryStorage::default();
    LogDb::create(Box::new(storage.clone()), &schema()).unwrap();
    let mut states = vec![(storage.len(), Vec::new())];
    let mut server = server_on(storage.clone());
    let steps = [
        json!([{"op":"insert","table":"ordinals","row":{"number":1,"name":"eins","r":0.5}}]),
        json!([{"op":"insert","table":"T","row":{"e":"a","m":["map",[["k",1],["l",2]]],
                "kids":["named-uuid","k"],"weak":["named-uuid","k"]}},
               {"op":"insert","table":"K","uuid-name":"k","row":{"name":"Kind \n é"}}]),
        json!([{"op":"mutate","table":"T","where":[],"mutations":[
                ["m","delete",["set",["k"]]],["m","insert",["map",[["z",9]]]],["lim","insert",3]]}]),
        json!([{"op":"update","table":"T","where":[],"row":{"eph":7}}]),
        json!([{"op":"update","table":"T","where":[],"row":{"kids":["set",[]]}},
               {"op":"comment","comment":"the child goes"}]),
        json!([{"op":"delete","table":"ordinals","where":[]}]),
    ];
    for ops in steps {
        let result = transact(&mut server, ops);
        assert!(result.as_array().unwrap().iter().all(|r| r.get("error").is_none()), "{result}");
        states.push((storage.len(), contents(server.db("ordinals").unwrap())));
    }
    assert!(contents(server.db("ordinals").unwrap()).iter().all(|row| !row.starts_with("K ")));
    (storage, states)
}

#[test]
fn read_again_after_every_step() {
    let (storage, states) = history();
    for (len, expect) in states {
        let bytes = storage.contents()[..len as usize].to_vec();
        let mut source = UuidSource::new(5);
        let opened = open_database(Box::new(MemoryStorage::new(bytes)), &mut source).unwrap();
        assert!(opened.warning.is_none());
        assert_eq!(contents(&opened.db), expect);
    }
}

#[test]
fn cut_at_every_byte() {
    let (storage, states) = history();
    let bytes = storage.contents();
    let first = states[0].0 as usize;
    for cut in 0..bytes.len() {
        let torn = MemoryStorage::new(bytes[..cut].to_vec());
        let opened = open_database(Box::new(torn.clone()), &mut UuidSource::new(5));
        if cut < first {
            assert!(opened.is_err(), "no schema, no database");
            continue;
        }
        let opened = opened.unwrap();
        let (whole, expect) = states.iter().rev().find(|(len, _)| *len <= cut as u64).unwrap();
        assert_eq!(&contents(&opened.db), expect, "cut at {cut}");
        assert_eq!(opened.warning.is_some(), cut as u64 != *whole, "cut at {cut}");
        // The next record takes the place of the torn one.
        let mut server = server_on(torn.clone());
        transact(&mut server, json!([{"op":"insert","table":"One","row":{"x":5}}]));
        let again = open_database(Box::new(torn), &mut UuidSource::new(5)).unwrap();
        assert!(again.warning.is_none(), "cut at {cut}");
        assert_eq!(again.db.row_count(), expect.len() + 1);
    }
}

#[test]
fn a_flipped_bit_is_found() {
    let (storage, states) = history();
    let bytes = storage.contents();
    for at in (states[1].0 as usize..states[3].0 as usize).step_by(7) {
        let mut bad = bytes.clone();
        bad[at] ^= 4;
        let opened = open_database(Box::new(MemoryStorage::new(bad)), &mut UuidSource::new(5)).unwrap();
        let warning = opened.warning.expect("found");
        assert!(warning.offset <= at as u64);
        let (_, expect) = states.iter().rev().find(|(len, _)| *len <= warning.offset).unwrap();
        assert_eq!(&contents(&opened.db), expect);
    }
}

#[test]
fn whole_values_are_read_as_well() {
    let storage = MemoryStorage::default();
    LogDb::create(Box::new(storage.clone()), &schema()).unwrap();
    let mut server = server_on(storage.clone());
    server.set_column_diff(false);
    transact(&mut server, json!([{"op":"insert","table":"T","row":{"e":"b","lim":["set",[1,2]]}}]));
    transact(
        &mut server,
        json!([{"op":"mutate","table":"T","where":[],
                                  "mutations":[["lim","delete",1]]}]),
    );
    assert!(!String::from_utf8(storage.contents()).unwrap().contains("_is_diff"));
    let opened = open_database(Box::new(storage), &mut UuidSource::new(5)).unwrap();
    assert_eq!(contents(&opened.db), contents(server.db("ordinals").unwrap()));
}

#[test]
fn compaction_keeps_what_is_committed_meanwhile() {
    let (storage, _) = history();
    let mut server = server_on(storage.clone());
    let before = storage.len();
    let job = server.begin_compaction("ordinals", "compacting database online", NOW).unwrap();
    assert!(server.begin_compaction("ordinals", "", NOW).is_err(), "one at a time");
    transact(&mut server, json!([{"op":"insert","table":"ordinals","row":{"number":77}}]));
    let done = job.run();
    transact(&mut server, json!([{"op":"insert","table":"ordinals","row":{"number":78}}]));
    server.finish_compaction(done, NOW).unwrap();
    assert!(storage.len() < before);
    transact(&mut server, json!([{"op":"insert","table":"ordinals","row":{"number":79}}]));
    let opened = open_database(Box::new(storage), &mut UuidSource::new(5)).unwrap();
    assert!(opened.warning.is_none());
    assert_eq!(contents(&opened.db), contents(server.db("ordinals").unwrap()));
    assert_eq!(opened.db.table("ordinals").unwrap().len(), 3);
}

#[test]
fn a_file_is_locked_and_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("conf.db");
    LogDb::create(Box::new(FileStorage::create(&path).unwrap()), &schema()).unwrap();
    let storage = FileStorage::open(&path).unwrap();
    let second = FileStorage::open(&path).unwrap_err();
    assert!(second.to_string().contains("failed to lock lockfile"), "{second}");
    assert!(FileStorage::open_read_only(&path).is_ok(), "readers do not mind");
    let opened = open_database(Box::new(storage), &mut UuidSource::new(1)).unwrap();
    let mut server = Server::new(2);
    server.add_db(opened.db, Some(opened.log), Model::Standalone, NOW).unwrap();
    server.connect(1, SessionInfo::default());
    for number in 0..50 {
        transact(&mut server, json!([{"op":"insert","table":"ordinals","row":{"number":number}}]));
    }
    let (seq, sync) = server.sync_job("ordinals").unwrap();
    assert_eq!(seq, 50);
    sync.unwrap()().unwrap();
    let done = server.begin_compaction("ordinals", "c", NOW).unwrap().run();
    server.finish_compaction(done, NOW).unwrap();
    assert!(!folder.path().join("conf.db.tmp").exists());
    drop(server);
    let storage = FileStorage::open(&path).unwrap();
    let opened = open_database(Box::new(storage), &mut UuidSource::new(1)).unwrap();
    assert_eq!((opened.db.row_count(), opened.records), (50, 1));
}
