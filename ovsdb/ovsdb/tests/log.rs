//! The log: what was written is read again, whatever becomes of its tail.

use std::sync::Arc;

use jsonrpc::Message;
use ovsdb::log::{
    CompactDone, CompactJob, Compacted, Faults, FileStorage, LogDb, MemoryStorage, Note, Place, Progress, Storage,
    encode, open_converted, open_database,
};
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
    let opened = open_database(Box::new(storage), Faults::End, &mut source).unwrap();
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
    let reply: Value = serde_json::from_str(&text.to_str()).unwrap();
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
        let opened = open_database(Box::new(MemoryStorage::new(bytes)), Faults::End, &mut source).unwrap();
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
        let opened = open_database(Box::new(torn.clone()), Faults::End, &mut UuidSource::new(5));
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
        let again = open_database(Box::new(torn), Faults::End, &mut UuidSource::new(5)).unwrap();
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
        let opened = open_database(Box::new(MemoryStorage::new(bad)), Faults::End, &mut UuidSource::new(5)).unwrap();
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
    let opened = open_database(Box::new(storage), Faults::End, &mut UuidSource::new(5)).unwrap();
    assert_eq!(contents(&opened.db), contents(server.db("ordinals").unwrap()));
}

#[test]
fn a_difference_beyond_its_column_is_written_as_whole_values() {
    let storage = MemoryStorage::default();
    LogDb::create(Box::new(storage.clone()), &schema()).unwrap();
    let mut server = server_on(storage.clone());
    let mut logged = |ops: Value| {
        let before = storage.contents().len();
        transact(&mut server, ops);
        String::from_utf8(storage.contents()[before..].to_vec()).unwrap()
    };
    logged(json!([{"op":"insert","table":"T","row":{"e":"b","lim":["set",[1,2]]}}]));
    // Three of at most three.
    let text = logged(json!([{"op":"update","table":"T","where":[],"row":{"lim":["set",[1,4,5]]}}]));
    assert!(text.contains(r#""lim":["set",[2,4,5]]"#) && text.contains("_is_diff"), "{text}");
    let text = logged(json!([{"op":"update","table":"T","where":[],"row":{"lim":["set",[2,3]],"sl":"x"}}]));
    assert!(text.contains(r#""sl":"x","lim":["set",[2,3]]"#) && !text.contains("_is_diff"), "{text}");
    let opened = open_database(Box::new(storage), Faults::End, &mut UuidSource::new(5)).unwrap();
    assert_eq!(contents(&opened.db), contents(server.db("ordinals").unwrap()));
}

#[test]
fn a_difference_to_a_default_that_is_not_empty_is_written_as_whole_values() {
    // Open vSwitch 3.1 takes such a difference for the value: here it would be 1 and 2 without the 0.
    let column = r#"{"type":{"key":"integer","min":1,"max":"unlimited"}}"#;
    let text =
        format!(r#"{{"name":"ordinals","tables":{{"T":{{"columns":{{"s":{column},"i":{{"type":"integer"}}}}}}}}}}"#);
    let storage = MemoryStorage::default();
    LogDb::create(Box::new(storage.clone()), &Arc::new(DatabaseSchema::from_text(&text).unwrap())).unwrap();
    let mut server = server_on(storage.clone());
    let mut logged = |ops: Value| {
        let before = storage.contents().len();
        transact(&mut server, ops);
        String::from_utf8(storage.contents()[before..].to_vec()).unwrap()
    };
    logged(json!([{"op":"insert","table":"T","row":{}}]));
    let insert = |value: Value| json!([{"op":"mutate","table":"T","where":[],"mutations":[["s","insert",value]]}]);
    let text = logged(insert(json!(["set", [1, 2]])));
    assert!(text.contains(r#""s":["set",[0,1,2]]"#) && !text.contains("_is_diff"), "{text}");
    let text = logged(insert(json!(3)));
    assert!(text.contains(r#""s":3"#) && text.contains("_is_diff"), "{text}");
    let opened = open_database(Box::new(storage), Faults::End, &mut UuidSource::new(5)).unwrap();
    assert_eq!(contents(&opened.db), contents(server.db("ordinals").unwrap()));
}

/// What becomes of a log of these records under a schema of one column `e` of the given type: the rows, or why it ended.
fn converted(records: &[&str], ty: &str) -> Result<usize, String> {
    let mut bytes = encode(&schema().to_text());
    records.iter().for_each(|record| bytes.extend(encode(record)));
    let text = format!(r#"{{"name":"ordinals","tables":{{"T":{{"maxRows":1,"columns":{{"e":{{"type":{ty}}}}}}}}}}}"#);
    let schema = Arc::new(DatabaseSchema::from_text(&text).unwrap());
    let storage = MemoryStorage::new(bytes);
    let opened = open_converted(Box::new(storage), schema, &mut UuidSource::new(5)).unwrap();
    opened.warning.map_or_else(|| Ok(contents(&opened.db).len()), |fault| Err(fault.to_string()))
}

#[test]
fn a_conversion_reads_each_record_by_the_new_schema() {
    let row = |n: u8, row: &str| format!(r#"{{"T":{{"00000000-0000-4000-8000-00000000000{n}":{row}}}}}"#);
    let foreign = r#"{"_date":1,"T":{"00000000-0000-4000-8000-000000000001":{"e":"b","zork":5}},"zork":{"x":{}}}"#;
    let (b, again, gone, two) = (row(1, r#"{"e":"b"}"#), row(1, r#"{"e":"a"}"#), row(1, "null"), row(2, "{}"));
    assert_eq!(converted(&[foreign], r#""string""#), Ok(1));
    // Also what a later record undoes has to fit.
    let only_a = r#"{"key":{"type":"string","enum":"a"}}"#;
    let refused = Err("constraint violation: b is not one of the allowed values ([a])".to_owned());
    assert_eq!(converted(&[&b, &again], only_a), refused);
    assert_eq!(converted(&[&b, &gone], only_a), refused);
    assert_eq!(converted(&[&again], only_a), Ok(1));
    // What a record does not tell has the new default, whatever the old one was.
    assert_eq!(converted(&[&two], r#""integer""#), Ok(1));
    assert_eq!(converted(&[&two], only_a), Ok(1));
    // A constraint that does not hold ends it: nothing is lost without a word.
    let many = "constraint violation: transaction causes \"T\" table to contain 2 rows, greater than the schema-defined \
                limit of 1 row(s)";
    assert_eq!(converted(&[&b, &two], r#""string""#), Err(many.to_owned()));
}

#[test]
fn identity_and_version_in_a_record_have_to_be_some() {
    for (member, fault) in [("_uuid", "5"), ("_version", "\"x\"")] {
        let record = format!(r#"{{"T":{{"00000000-0000-4000-8000-000000000001":{{"{member}":{fault}}}}}}}"#);
        let mut bytes = encode(&schema().to_text());
        bytes.extend(encode(&record));
        let storage = MemoryStorage::new(bytes);
        let opened = open_database(Box::new(storage), Faults::End, &mut UuidSource::new(5)).unwrap();
        let expect = format!("syntax \"{fault}\": syntax error: expected [\"uuid\", <string>]");
        assert_eq!(opened.warning.unwrap().to_string(), expect);
    }
}

/// All rows of a compaction that has begun.
fn gathered(server: &mut Server) -> CompactJob {
    loop {
        if let Some(job) = server.gather(2).pop() {
            return job;
        }
        assert!(server.is_gathering());
    }
}

/// Goes on with a compaction to its end, which is good.
fn go_on(server: &mut Server, mut done: Compacted) {
    loop {
        done = match server.finish_compaction(done, NOW).expect("it is of use") {
            Progress::CatchUp(more) => Compacted::Written(more.run()),
            Progress::Place(place) => Compacted::Placed(place.run()),
            Progress::Over(result) => return result.unwrap(),
        }
    }
}

/// Goes on with a compaction that is written until it is to be put in place.
fn until_place(server: &mut Server, done: CompactDone) -> Place {
    match server.finish_compaction(Compacted::Written(done), NOW) {
        Some(Progress::Place(place)) => place,
        _ => panic!("it is not to be put in place"),
    }
}

#[test]
fn much_that_is_committed_meanwhile_is_added_by_another_thread() {
    let (storage, _) = history();
    let mut server = server_on(storage.clone());
    server.begin_compaction("ordinals", "", NOW).unwrap();
    let mut done = gathered(&mut server).run();
    let mut rounds = 0;
    loop {
        let name = "x".repeat(40_000);
        let row = |number| json!({"op":"insert","table":"ordinals","row":{"number":number,"name":name}});
        transact(&mut server, json!([row(100 + 2 * rounds), row(101 + 2 * rounds)]));
        match server.finish_compaction(Compacted::Written(done), NOW).unwrap() {
            Progress::CatchUp(more) => done = more.run(),
            Progress::Place(place) => break go_on(&mut server, Compacted::Placed(place.run())),
            Progress::Over(_) => panic!("it is not in place"),
        }
        rounds += 1;
    }
    // It cannot go on for ever.
    assert_eq!(rounds, 8);
    assert!(!server.is_compacting("ordinals"));
    transact(&mut server, json!([{"op":"insert","table":"ordinals","row":{"number":79}}]));
    let opened = open_database(Box::new(storage), Faults::End, &mut UuidSource::new(5)).unwrap();
    assert_eq!((contents(&opened.db), opened.records), (contents(server.db("ordinals").unwrap()), 11));
}

#[test]
fn compaction_keeps_what_is_committed_meanwhile() {
    let (storage, _) = history();
    let mut server = server_on(storage.clone());
    let before = storage.len();
    server.begin_compaction("ordinals", "compacting database online", NOW).unwrap();
    let job = gathered(&mut server);
    assert!(server.begin_compaction("ordinals", "", NOW).is_err(), "one at a time");
    transact(&mut server, json!([{"op":"insert","table":"ordinals","row":{"number":77}}]));
    let done = job.run();
    transact(&mut server, json!([{"op":"insert","table":"ordinals","row":{"number":78}}]));
    go_on(&mut server, Compacted::Written(done));
    assert!(storage.len() < before);
    transact(&mut server, json!([{"op":"insert","table":"ordinals","row":{"number":79}}]));
    let opened = open_database(Box::new(storage), Faults::End, &mut UuidSource::new(5)).unwrap();
    assert!(opened.warning.is_none());
    assert_eq!(contents(&opened.db), contents(server.db("ordinals").unwrap()));
    assert_eq!(opened.db.table("ordinals").unwrap().len(), 3);
}

#[test]
fn rows_may_change_while_a_compaction_gathers_them() {
    let many = |numbers: std::ops::Range<i32>| -> Vec<Value> {
        numbers.map(|number| json!({"op":"insert","table":"ordinals","row":{"number":number}})).collect()
    };
    // A slice ends somewhere else each time: within the table, at its end, behind it.
    for slice in 1..=22 {
        let (storage, _) = history();
        let mut server = server_on(storage.clone());
        transact(&mut server, many(100..120).into());
        server.begin_compaction("ordinals", "", NOW).unwrap();
        let mut round = 0;
        let job = loop {
            if let Some(job) = server.gather(slice).pop() {
                break job;
            }
            round += 1;
            if round < 4 {
                let all = server.db("ordinals").unwrap().table("ordinals").unwrap().len();
                transact(
                    &mut server,
                    json!([
                        {"op":"delete","table":"ordinals","where":[["number","==",99 + round]]},
                        {"op":"update","table":"ordinals","where":[["number","==",108 + round]],"row":{"name":"changed"}},
                    ]),
                );
                transact(&mut server, many(200 + 3 * round..203 + 3 * round).into());
                assert_eq!(server.db("ordinals").unwrap().table("ordinals").unwrap().len(), all + 2);
            }
        };
        assert!(slice > 20 || round > 0);
        go_on(&mut server, Compacted::Written(job.run()));
        transact(&mut server, many(300..301).into());
        let opened = open_database(Box::new(storage), Faults::End, &mut UuidSource::new(5)).unwrap();
        assert!(opened.warning.is_none());
        assert_eq!((contents(&opened.db), opened.records), (contents(server.db("ordinals").unwrap()), 2));
    }
}

#[test]
fn a_compaction_of_former_contents_is_of_no_use() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("conf.db");
    LogDb::create(Box::new(FileStorage::create(&path).unwrap()), &schema()).unwrap();
    let opened =
        open_database(Box::new(FileStorage::open(&path).unwrap()), Faults::End, &mut UuidSource::new(1)).unwrap();
    let mut server = Server::new(2);
    server.add_db(opened.db, Some(opened.log), Model::Standalone, NOW).unwrap();
    server.connect(1, SessionInfo::default());
    transact(&mut server, json!([{"op":"insert","table":"ordinals","row":{"number":1}}]));
    server.begin_compaction("ordinals", "", NOW).unwrap();
    let former = gathered(&mut server);
    server.convert_db("ordinals", schema(), NOW).unwrap();
    assert!(!server.is_compacting("ordinals"));
    transact(&mut server, json!([{"op":"insert","table":"ordinals","row":{"number":2}}]));
    server.begin_compaction("ordinals", "", NOW).unwrap();
    let job = gathered(&mut server);
    assert!(server.finish_compaction(Compacted::Written(former.run()), NOW).is_none());
    go_on(&mut server, Compacted::Written(job.run()));
    drop(server);
    let opened =
        open_database(Box::new(FileStorage::open(&path).unwrap()), Faults::End, &mut UuidSource::new(1)).unwrap();
    assert_eq!(opened.db.row_count(), 2);
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
    let opened = open_database(Box::new(storage), Faults::End, &mut UuidSource::new(1)).unwrap();
    let mut server = Server::new(2);
    server.add_db(opened.db, Some(opened.log), Model::Standalone, NOW).unwrap();
    server.connect(1, SessionInfo::default());
    for number in 0..50 {
        transact(&mut server, json!([{"op":"insert","table":"ordinals","row":{"number":number}}]));
    }
    let (seq, sync) = server.sync_job("ordinals").unwrap();
    assert_eq!(seq, 50);
    sync.unwrap()().unwrap();
    server.begin_compaction("ordinals", "c", NOW).unwrap();
    let done = gathered(&mut server).run();
    go_on(&mut server, Compacted::Written(done));
    assert!(!folder.path().join("conf.db.tmp").exists());
    drop(server);
    let storage = FileStorage::open(&path).unwrap();
    let opened = open_database(Box::new(storage), Faults::End, &mut UuidSource::new(1)).unwrap();
    assert_eq!((opened.db.row_count(), opened.records), (50, 1));
}

/// The rows that a reader of the file finds, and nothing at fault.
fn rows_in(path: &std::path::Path) -> usize {
    let storage = FileStorage::open_read_only(path).unwrap();
    let opened = open_database(Box::new(storage), Faults::End, &mut UuidSource::new(1)).unwrap();
    assert!(opened.warning.is_none());
    opened.db.row_count()
}

#[test]
fn while_a_log_is_put_in_place_either_has_everything() {
    let folder = tempfile::tempdir().unwrap();
    let (path, temporary) = (folder.path().join("conf.db"), folder.path().join("conf.db.tmp"));
    LogDb::create(Box::new(FileStorage::create(&path).unwrap()), &schema()).unwrap();
    let storage = FileStorage::open(&path).unwrap();
    let opened = open_database(Box::new(storage), Faults::End, &mut UuidSource::new(1)).unwrap();
    let mut server = Server::new(2);
    server.add_db(opened.db, Some(opened.log), Model::Standalone, NOW).unwrap();
    server.connect(1, SessionInfo::default());
    let mut number = 0;
    let mut insert = |server: &mut Server| {
        number += 1;
        transact(server, json!([{"op":"insert","table":"ordinals","row":{"number":number}}]));
    };
    insert(&mut server);
    let placing = |server: &mut Server| {
        server.begin_compaction("ordinals", "c", NOW).unwrap();
        let done = gathered(server).run();
        until_place(server, done)
    };
    let place = placing(&mut server);
    insert(&mut server);
    assert_eq!((rows_in(&path), rows_in(&temporary)), (2, 2));
    server.sync_job("ordinals").unwrap().1.unwrap()().unwrap();
    let placed = place.run();
    assert!(!temporary.exists());
    insert(&mut server);
    assert_eq!(rows_in(&path), 3);
    server.sync_job("ordinals").unwrap().1.unwrap()().unwrap();
    go_on(&mut server, Compacted::Placed(placed));
    insert(&mut server);
    assert_eq!(rows_in(&path), 4);
    // One that cannot be put in place leaves the log as it was, and one that nobody runs as well.
    let place = placing(&mut server);
    insert(&mut server);
    std::fs::remove_file(&temporary).unwrap();
    let failed = server.finish_compaction(Compacted::Placed(place.run()), NOW);
    assert!(matches!(failed, Some(Progress::Over(Err(_)))));
    insert(&mut server);
    assert_eq!(rows_in(&path), 6);
    drop(placing(&mut server));
    server.abandon_compaction("ordinals");
    insert(&mut server);
    assert_eq!((rows_in(&path), temporary.exists()), (7, false));
    // Contents that were converted meanwhile are not overwritten.
    let place = placing(&mut server);
    server.convert_db("ordinals", schema(), NOW).unwrap();
    insert(&mut server);
    assert!(server.finish_compaction(Compacted::Placed(place.run()), NOW).is_none());
    insert(&mut server);
    assert_eq!(rows_in(&path), 9);
    drop(server);
    assert!(FileStorage::open(&path).is_ok(), "nobody holds its lock");
}

/// A log of `schema` and of these records.
fn log_of(schema: &str, records: &[&str]) -> MemoryStorage {
    let mut bytes = encode(schema);
    records.iter().for_each(|record| bytes.extend(encode(record)));
    MemoryStorage::new(bytes)
}

#[test]
fn a_damaged_log_is_read_with_all_constraints() {
    let schema = r#"{"name":"d","version":"1.0.0","tables":{
        "P":{"isRoot":true,"maxRows":2,"indexes":[["n"]],"columns":{
            "n":{"type":{"key":{"type":"integer","minInteger":0,"maxInteger":9}}},
            "s":{"type":{"key":"integer","min":0,"max":2}},
            "q":{"type":{"key":{"type":"uuid","refTable":"Q"},"min":0}},
            "w":{"type":{"key":{"type":"uuid","refTable":"P","refType":"weak"},"min":0}}}},
        "Q":{"columns":{"x":{"type":"integer"}}}}}"#;
    let schema = &schema.split_whitespace().collect::<String>();
    let uuid = |n: u32| format!("0000000{n}-0000-4000-8000-000000000000");
    let row = |n: u32, members: &str| format!(r#"{{"P":{{"{}":{{{members}}}}}}}"#, uuid(n));
    let reference = |column: &str| format!(r#""n":5,"{column}":["uuid","{}"]"#, uuid(9));
    let (first, last) = (row(1, r#""n":1"#), row(2, r#""n":2"#));
    let nobody = format!(r#"{{"P":{{"{}":null}}}}"#, uuid(7));
    let kept_by_none = format!(r#"{{"Q":{{"{}":{{"x":3}}}}}}"#, uuid(8));
    let many = format!(r#"{{"P":{{"{}":{{"n":6}},"{}":{{"n":7}}}}}}"#, uuid(5), uuid(6));
    // The record between two good ones, rows after a server's reading, what it notes, rows after a tool's.
    type Case<'a> = (&'a str, usize, Option<(bool, &'a str)>, Option<usize>);
    let dangling = format!("Table P column q row {} references nonexistent row {} in table Q.", uuid(3), uuid(9));
    let (range, unknown) = (row(3, r#""n":10"#), row(3, r#""z":1"#));
    let (same, strong, weak) = (row(3, r#""n":1"#), row(3, &reference("q")), row(3, &reference("w")));
    let full = row(1, r#""s":["set",[1,2,3]]"#).replacen('{', r#"{"_is_diff":true,"#, 1);
    let cases: [Case<'_>; 10] = [
        (r#"{"P":5}"#, 2, Some((true, "object expected")), None),
        (r#"{"R":{}}"#, 2, Some((true, "No table named R.")), None),
        (&unknown, 2, Some((true, "No column z in table P.")), None),
        (&range, 2, Some((true, "10 is not in the valid range 0 to 9 (inclusive)")), None),
        (&nobody, 2, Some((true, "deletes row")), None),
        (&full, 2, Some((true, "Datum crated by diff has size error")), None),
        (&strong, 2, Some((false, &dangling)), Some(1)),
        (&same, 2, Some((false, "identical values (1)")), Some(1)),
        (&many, 2, Some((false, "greater than the schema-defined limit of 2 row(s)")), Some(1)),
        (&kept_by_none, 2, None, Some(2)),
    ];
    for (bad, rows, note, tool) in cases {
        let storage = log_of(schema, &[&first, bad, &last]);
        let opened = open_database(Box::new(storage.clone()), Faults::PassOver, &mut UuidSource::new(3)).unwrap();
        assert_eq!((opened.db.row_count(), opened.log.end), (rows, storage.len()), "{bad}");
        let told = opened.notes.first().map(|note| match note {
            Note::Unreadable(error) => (true, error.to_string()),
            Note::Forbidden(error) => (false, error.to_string()),
        });
        match (note, &told) {
            (None, None) => {}
            (Some((kind, text)), Some((told_kind, told))) if kind == *told_kind && told.contains(text) => {}
            _ => panic!("{bad}: {told:?}"),
        }
        let opened = open_database(Box::new(storage), Faults::End, &mut UuidSource::new(3)).unwrap();
        assert_eq!(opened.warning.is_some(), tool.is_none(), "{bad}");
        assert_eq!(opened.db.row_count(), tool.unwrap_or(1), "{bad}");
    }
    // A weak reference that leads nowhere is taken back.
    let storage = log_of(schema, &[&weak]);
    let opened = open_database(Box::new(storage), Faults::End, &mut UuidSource::new(3)).unwrap();
    assert!(contents(&opened.db)[0].ends_with(r#""w":["set",[]]}"#), "{:?}", contents(&opened.db));
    // What is no transaction is overwritten where nothing comes behind it.
    let storage = log_of(schema, &[&first, &unknown]);
    let opened = open_database(Box::new(storage.clone()), Faults::PassOver, &mut UuidSource::new(3)).unwrap();
    assert_eq!(storage.len() - opened.log.end, encode(&unknown).len() as u64);
}
