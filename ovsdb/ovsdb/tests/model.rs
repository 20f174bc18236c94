//! Random transactions against a simple model: plain maps, references counted from scratch, every
//! constraint checked the slow way. The engine and the model must agree on what is committed, and
//! the log must give the same contents again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ovsdb::log::{Faults, LogDb, MemoryStorage, open_database};
use ovsdb::{Atom, Database, DatabaseSchema, Uuid, UuidSource};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Roots with an index, a strong set and a weak set; children with a strong link to each other.
const SCHEMA: &str = r#"{"name":"m","tables":{
  "Root":{"columns":{
    "n":{"type":"integer"},
    "kids":{"type":{"key":{"type":"uuid","refTable":"Kid"},"min":0,"max":3}},
    "friends":{"type":{"key":{"type":"uuid","refTable":"Kid","refType":"weak"},"min":0,"max":"unlimited"}}},
    "indexes":[["n"]],"maxRows":4,"isRoot":true},
  "Kid":{"columns":{
    "tag":{"type":{"key":{"type":"integer","minInteger":0,"maxInteger":9}}},
    "next":{"type":{"key":{"type":"uuid","refTable":"Kid"},"min":0,"max":1}}}}}}"#;

#[derive(Debug, Clone, Default, PartialEq)]
struct Root {
    n: i64,
    kids: BTreeSet<u8>,
    friends: BTreeSet<u8>,
}

#[derive(Debug, Clone, Default, PartialEq)]
struct Kid {
    tag: i64,
    next: Option<u8>,
}

/// Rows by a small number, which is the last byte of the UUID.
#[derive(Debug, Clone, Default, PartialEq)]
struct Model {
    roots: BTreeMap<u8, Root>,
    kids: BTreeMap<u8, Kid>,
}

#[derive(Debug, Clone)]
enum Op {
    InsertRoot(u8, Root),
    InsertKid(u8, Kid),
    SetRoot(u8, Root),
    SetKid(u8, Kid),
    AddFriend(u8, u8),
    DropKids(u8),
    BumpTags(i64),
    DeleteRoot(u8),
    DeleteKid(u8),
}

fn uuid(n: u8) -> Uuid {
    let mut bytes = [0; 16];
    bytes[15] = n;
    Uuid::from_bytes(bytes)
}

fn reference(n: u8) -> Value {
    json!(["uuid", uuid(n).to_string()])
}

fn set(items: &BTreeSet<u8>) -> Value {
    json!(["set", items.iter().map(|n| reference(*n)).collect::<Vec<_>>()])
}

fn root_row(root: &Root) -> Value {
    json!({"n": root.n, "kids": set(&root.kids), "friends": set(&root.friends)})
}

fn kid_row(kid: &Kid) -> Value {
    json!({"tag": kid.tag, "next": set(&kid.next.into_iter().collect())})
}

fn at(n: u8) -> Value {
    json!([["_uuid", "==", reference(n)]])
}

impl Op {
    fn to_json(&self) -> Value {
        match self {
            Op::InsertRoot(n, root) => json!({"op":"insert","table":"Root",
                "uuid":uuid(*n).to_string(),"row":root_row(root)}),
            Op::InsertKid(n, kid) => json!({"op":"insert","table":"Kid",
                "uuid":uuid(*n).to_string(),"row":kid_row(kid)}),
            Op::SetRoot(n, root) => {
                json!({"op":"update","table":"Root","where":at(*n),"row":root_row(root)})
            }
            Op::SetKid(n, kid) => {
                json!({"op":"update","table":"Kid","where":at(*n),"row":kid_row(kid)})
            }
            Op::AddFriend(n, kid) => json!({"op":"mutate","table":"Root","where":at(*n),
                "mutations":[["friends","insert",reference(*kid)]]}),
            Op::DropKids(n) => json!({"op":"mutate","table":"Root","where":[["n","<",i64::from(*n)]],
                "mutations":[["kids","delete",["set",[reference(30),reference(31)]]]]}),
            Op::BumpTags(by) => json!({"op":"mutate","table":"Kid","where":[],
                "mutations":[["tag","+=",by]]}),
            Op::DeleteRoot(n) => json!({"op":"delete","table":"Root","where":at(*n)}),
            Op::DeleteKid(n) => json!({"op":"delete","table":"Kid","where":at(*n)}),
        }
    }
}

impl Model {
    /// Applies one operation; false when it fails. `before`: what the transaction began with.
    fn apply(&mut self, op: &Op, before: &Model) -> bool {
        let tag_ok = |tag: i64| (0..=9).contains(&tag);
        match op {
            Op::InsertRoot(n, root) => {
                if root.kids.len() > 3 || self.roots.contains_key(n) || before.roots.contains_key(n) {
                    return false;
                }
                self.roots.insert(*n, root.clone());
            }
            Op::InsertKid(n, kid) => {
                let taken = self.kids.contains_key(n) || before.kids.contains_key(n);
                if taken || !tag_ok(kid.tag) {
                    return false;
                }
                self.kids.insert(*n, kid.clone());
            }
            Op::SetRoot(n, root) => {
                if root.kids.len() > 3 {
                    return false;
                }
                if let Some(known) = self.roots.get_mut(n) {
                    *known = root.clone();
                }
            }
            Op::SetKid(n, kid) => {
                if !tag_ok(kid.tag) {
                    return false;
                }
                if let Some(known) = self.kids.get_mut(n) {
                    *known = kid.clone();
                }
            }
            Op::AddFriend(n, kid) => {
                if let Some(root) = self.roots.get_mut(n) {
                    root.friends.insert(*kid);
                }
            }
            Op::DropKids(n) => {
                for root in self.roots.values_mut().filter(|root| root.n < i64::from(*n)) {
                    root.kids.retain(|kid| !matches!(kid, 30 | 31));
                }
            }
            Op::BumpTags(by) => {
                for kid in self.kids.values_mut() {
                    kid.tag += by;
                    if !tag_ok(kid.tag) {
                        return false;
                    }
                }
            }
            Op::DeleteRoot(n) => {
                self.roots.remove(n);
            }
            Op::DeleteKid(n) => {
                self.kids.remove(n);
            }
        }
        true
    }

    /// The checks at the end of a transaction that began with `before`.
    fn settle(&mut self, before: &Model) -> bool {
        let strong = |model: &Model| -> BTreeSet<u8> {
            let of_roots = model.roots.values().flat_map(|root| root.kids.iter().copied());
            let others = model.kids.iter().filter(|(n, kid)| kid.next != Some(**n));
            of_roots.chain(others.filter_map(|(_, kid)| kid.next)).collect()
        };
        if strong(self).iter().any(|kid| !self.kids.contains_key(kid)) {
            return false;
        }
        loop {
            let kept = strong(self);
            // Rows that nothing refers to stay only if nobody touched them: none ever does, since
            // they would have gone before.
            let count = self.kids.len();
            self.kids.retain(|n, _| kept.contains(n));
            if self.kids.len() == count {
                break;
            }
        }
        if self.roots.len() > 4 && self.roots.len() > before.roots.len() {
            return false;
        }
        let kids: BTreeSet<u8> = self.kids.keys().copied().collect();
        for root in self.roots.values_mut() {
            root.friends.retain(|kid| kids.contains(kid));
        }
        let numbers: BTreeSet<i64> = self.roots.values().map(|root| root.n).collect();
        numbers.len() == self.roots.len()
    }
}

fn observed(db: &Database) -> Model {
    let small = |atom: &Atom| atom.as_uuid().unwrap().as_bytes()[15];
    let mut model = Model::default();
    let table = db.table("Root").unwrap();
    let column = |name: &str| table.schema.column_index(name).unwrap();
    for row in table.rows() {
        let set = |name: &str| row.get(column(name)).keys().map(small).collect();
        let n = row.get(column("n")).as_integer().unwrap();
        let root = Root { n, kids: set("kids"), friends: set("friends") };
        model.roots.insert(row.uuid.as_bytes()[15], root);
    }
    let table = db.table("Kid").unwrap();
    let column = |name: &str| table.schema.column_index(name).unwrap();
    for row in table.rows() {
        let tag = row.get(column("tag")).as_integer().unwrap();
        let next = row.get(column("next")).keys().map(small).next();
        model.kids.insert(row.uuid.as_bytes()[15], Kid { tag, next });
    }
    model
}

fn kid_number() -> impl Strategy<Value = u8> {
    30u8..35
}

fn root() -> impl Strategy<Value = Root> {
    let some = || proptest::collection::btree_set(kid_number(), 0..3);
    (0i64..6, some(), some()).prop_map(|(n, kids, friends)| Root { n, kids, friends })
}

fn kid() -> impl Strategy<Value = Kid> {
    (0i64..11, proptest::option::weighted(0.3, kid_number())).prop_map(|(tag, next)| Kid { tag, next })
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (1u8..7, root()).prop_map(|(n, root)| Op::InsertRoot(n, root)),
        6 => (kid_number(), kid()).prop_map(|(n, kid)| Op::InsertKid(n, kid)),
        3 => (1u8..7, root()).prop_map(|(n, root)| Op::SetRoot(n, root)),
        2 => (kid_number(), kid()).prop_map(|(n, kid)| Op::SetKid(n, kid)),
        2 => (1u8..7, kid_number()).prop_map(|(n, kid)| Op::AddFriend(n, kid)),
        1 => (1u8..7).prop_map(Op::DropKids),
        1 => (-1i64..2).prop_map(Op::BumpTags),
        2 => (1u8..7).prop_map(Op::DeleteRoot),
        1 => kid_number().prop_map(Op::DeleteKid),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn engine_and_model_agree(
        transactions in proptest::collection::vec(proptest::collection::vec(op(), 1..6), 1..12)
    ) {
        let schema = Arc::new(DatabaseSchema::from_text(SCHEMA).unwrap());
        let storage = MemoryStorage::default();
        let mut log = LogDb::create(Box::new(storage.clone()), &schema).unwrap();
        let mut db = Database::new(schema);
        let mut source = UuidSource::new(11);
        let mut model = Model::default();
        for ops in transactions {
            let mut next = model.clone();
            let fine = ops.iter().all(|op| next.apply(op, &model)) && next.settle(&model);
            let json: Vec<Value> = ops.iter().map(Op::to_json).collect();
            let before = db.clone();
            let (results, commit) = ovsdb::execute::transact(&mut db, &json, &mut source);
            let failed = results.contains("\"error\"");
            prop_assert_eq!(failed, !fine, "{:?} gave {}", ops, results);
            if let Some(commit) = commit
                && let Some(record) = commit.log_record(&before, 1) {
                    log.append(&record).unwrap();
                }
            if fine {
                model = next;
            }
            prop_assert_eq!(&observed(&db), &model, "after {:?}", ops);
        }
        let opened = open_database(Box::new(storage), Faults::End, &mut source).unwrap();
        prop_assert!(opened.warning.is_none());
        prop_assert_eq!(&observed(&opened.db), &model);
        // What was read counts references as what grew: the same deletion works in both.
        let ops = [json!({"op":"delete","table":"Root","where":[]})];
        let mut read = opened.db;
        ovsdb::execute::transact(&mut read, &ops, &mut source);
        prop_assert_eq!(read.table("Root").unwrap().len(), 0);
        prop_assert_eq!(read.table("Kid").unwrap().len(), {
            ovsdb::execute::transact(&mut db, &ops, &mut source);
            db.table("Kid").unwrap().len()
        });
    }
}

proptest! {
    #[test]
    fn a_difference_applied_gives_the_new_value(
        a in proptest::collection::btree_map(0i64..6, 0i64..3, 0..5),
        b in proptest::collection::btree_map(0i64..6, 0i64..3, 0..5),
    ) {
        let map = |m: &BTreeMap<i64, i64>| {
            ovsdb::Datum::map(m.iter().map(|(k, v)| (Atom::Integer(*k), Atom::Integer(*v))))
        };
        let keys = |m: &BTreeMap<i64, i64>| ovsdb::Datum::set(m.keys().map(|k| Atom::Integer(*k)));
        let ty = |json| ovsdb::Type::from_json(&json).unwrap();
        let map_type = ty(json!({"key":"integer","value":"integer","min":0,"max":"unlimited"}));
        let set_type = ty(json!({"key":"integer","min":0,"max":"unlimited"}));
        for (old, new, ty) in [(map(&a), map(&b), &map_type), (keys(&a), keys(&b), &set_type)] {
            let diff = old.diff(&new, ty);
            prop_assert_eq!(&old.apply_diff(&diff, ty), &new);
            prop_assert_eq!(diff.is_empty(), old == new);
        }
    }
}
