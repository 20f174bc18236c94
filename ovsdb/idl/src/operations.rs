//! A transaction as the operations of a `transact` request (RFC 7047 section 5.2), and its results read back.

use crate::outcome::{self, Outcome, Status};
use crate::transaction::{Edit, Transaction};
use ovsdb::{Atom, ColumnSchema, Datum, Uuid};
use serde_json::{Map, Value, json};

/// A transaction ready to be sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Prepared {
    /// The parameters of `transact`: the database's name, then operations.
    pub params: Vec<Value>,
    /// Whether there is anything to do at all.
    pub unchanged: bool,
    operations: usize,
    inserts: Vec<(Uuid, usize)>,
    increment: Option<(usize, String)>,
}

impl Prepared {
    /// Reads the results.
    #[must_use]
    pub fn outcome(&self, result: &Value) -> Outcome {
        let mut outcome = Outcome::bare(outcome::judge(result, self.operations));
        if outcome.status != Status::Success {
            return outcome;
        }
        for (temporary, operation) in &self.inserts {
            let uuid = result.get(operation).and_then(|r| r.get("uuid")?.get(1)?.as_str().and_then(Uuid::parse));
            if let Some(uuid) = uuid {
                outcome.inserted.insert(*temporary, uuid);
            }
        }
        if let Some((operation, column)) = &self.increment {
            let row = result.get(operation).and_then(|r| r.get("rows")?.get(0));
            outcome.incremented = row.and_then(|row| row.get(column)?.as_i64());
        }
        outcome
    }
}

/// The name under which operations refer to a row that the transaction inserts.
fn name_of(uuid: Uuid) -> String {
    format!("row{}", uuid.to_string().replace('-', "_"))
}

fn where_uuid(uuid: Uuid) -> Value {
    json!([["_uuid", "==", ["uuid", uuid.to_string()]]])
}

fn atom_json(atom: &Atom, txn: &Transaction<'_>) -> Value {
    match atom {
        Atom::Uuid(uuid) if txn.is_named(*uuid) => json!(["named-uuid", name_of(*uuid)]),
        other => other.to_json(),
    }
}

/// A value in JSON, with rows that the transaction inserts by their names.
fn datum_json(datum: &Datum, column: &ColumnSchema, txn: &Transaction<'_>) -> Value {
    let refers = |atom: &Atom| atom.as_uuid().is_some_and(|uuid| txn.is_named(uuid));
    if !datum.entries().any(|(k, v)| refers(k) || v.is_some_and(refers)) {
        return datum.to_json(column.is_map());
    }
    if column.is_map() {
        let pairs: Vec<Value> =
            datum.pairs().iter().map(|(k, v)| json!([atom_json(k, txn), atom_json(v, txn)])).collect();
        return json!(["map", pairs]);
    }
    match datum.single() {
        Some(atom) => atom_json(atom, txn),
        None => {
            let atoms: Vec<Value> = datum.atoms().iter().map(|atom| atom_json(atom, txn)).collect();
            json!(["set", atoms])
        }
    }
}

/// The columns that the edit changes: for an insertion those other than default, else those other
/// than before.
fn changed(edit: &Edit) -> Vec<usize> {
    edit.written
        .iter()
        .copied()
        .filter(|i| match &edit.base {
            Some(base) => base.at(*i) != edit.now.at(*i),
            None => edit.now.at(*i) != &edit.now.schema().columns[*i].default,
        })
        .collect()
}

fn row_json(edit: &Edit, columns: &[usize], txn: &Transaction<'_>) -> Value {
    let mut row = Map::new();
    for index in columns {
        let column = &edit.now.schema().columns[*index];
        row.insert(column.name.to_string(), datum_json(edit.now.at(*index), column, txn));
    }
    Value::Object(row)
}

/// Whether partial changes of a column have to be sent. Elements put into a set are, even if they
/// are there already; pairs put into a map are not if they change nothing.
fn touched(edit: &Edit, column: usize) -> bool {
    let is_set = !edit.now.schema().columns[column].is_map();
    is_set || edit.base.as_ref().is_none_or(|base| base.at(column) != edit.now.at(column))
}

/// The mutations of the columns that are changed in part. A key that has another value already is
/// taken out of its map before it is put in.
fn mutations(edit: &Edit, txn: &Transaction<'_>) -> Vec<Value> {
    let mut out = Vec::new();
    for (index, partial) in edit.partial.iter().filter(|(index, _)| touched(edit, **index)) {
        let column = &edit.now.schema().columns[*index];
        let mut removed = partial.removed.clone();
        if let (true, Some(base)) = (column.is_map(), &edit.base) {
            let old = base.at(*index);
            let stale = partial.inserted.pairs().iter().filter(|(k, v)| old.get(k).is_some_and(|now| now != v));
            removed = removed.union(&Datum::set(stale.map(|(k, _)| k.clone())), false);
        }
        if !removed.is_empty() {
            let keys: Vec<Value> = removed.keys().map(|atom| atom_json(atom, txn)).collect();
            out.push(json!([&*column.name, "delete", ["set", keys]]));
        }
        if partial.inserted.is_empty() {
            continue;
        }
        let elements = if column.is_map() {
            datum_json(&partial.inserted, column, txn)
        } else {
            let atoms: Vec<Value> = partial.inserted.atoms().iter().map(|atom| atom_json(atom, txn)).collect();
            json!(["set", atoms])
        };
        out.push(json!([&*column.name, "insert", elements]));
    }
    out
}

/// Whether an edit has an effect. Rows of tables that are not roots go by themselves when nothing
/// refers to them, so deleting one is no operation.
fn has_effect(edit: &Edit) -> bool {
    match (edit.deleted, &edit.base) {
        (true, Some(_)) => edit.now.schema().is_root,
        (true, None) => false,
        (false, None) => true,
        (false, Some(_)) => !changed(edit).is_empty() || edit.partial.keys().any(|i| touched(edit, *i)),
    }
}

pub(crate) fn changes_anything(txn: &Transaction<'_>) -> bool {
    txn.edits.values().any(has_effect) || txn.increment.as_ref().is_some_and(|i| i.always)
}

pub(crate) fn prepare(txn: &Transaction<'_>, lock: Option<&str>) -> Prepared {
    let mut params = vec![Value::from(&*txn.replica().schema().name)];
    if let Some(lock) = lock {
        params.push(json!({"op": "assert", "lock": lock}));
    }
    for table in &txn.verified_empty {
        params.push(json!({"op": "wait", "table": table, "timeout": 0, "where": [], "until": "==", "rows": []}));
    }
    let edits: Vec<(&Uuid, &Edit)> =
        txn.order.iter().filter_map(|uuid| txn.edits.get(uuid).map(|edit| (uuid, edit))).collect();
    for (uuid, edit) in &edits {
        push_wait(&mut params, **uuid, edit);
    }
    let mut inserts = Vec::new();
    let mut changes = false;
    for (uuid, edit) in &edits {
        if !has_effect(edit) {
            continue;
        }
        changes = true;
        let table = &*edit.now.schema().name;
        if edit.deleted {
            params.push(json!({"op": "delete", "table": table, "where": where_uuid(**uuid)}));
        } else if edit.base.is_none() {
            let row = row_json(edit, &changed(edit), txn);
            inserts.push((**uuid, params.len() - 1));
            if edit.keeps_uuid {
                params.push(json!({"uuid": uuid.to_string(), "op": "insert", "table": table, "row": row}));
            } else {
                params.push(json!({"uuid-name": name_of(**uuid), "op": "insert", "table": table, "row": row}));
            }
        } else {
            let columns = changed(edit);
            if !columns.is_empty() {
                let row = row_json(edit, &columns, txn);
                params.push(json!({"op": "update", "table": table, "where": where_uuid(**uuid), "row": row}));
            }
            let mutations = mutations(edit, txn);
            if !mutations.is_empty() {
                let condition = where_uuid(**uuid);
                params.push(json!({"op": "mutate", "table": table, "where": condition, "mutations": mutations}));
            }
        }
    }
    let mut increment = None;
    if let Some(wanted) = txn.increment.as_ref().filter(|i| changes || i.always) {
        changes = true;
        let column = &*wanted.table.columns[wanted.column].name;
        // The row may be one that the transaction inserts.
        let (table, row) = (&*wanted.table.name, atom_json(&Atom::Uuid(wanted.uuid), txn));
        let condition = json!([["_uuid", "==", row]]);
        params.push(json!({"op": "mutate", "table": table, "where": condition, "mutations": [[column, "+=", 1]]}));
        increment = Some((params.len() - 1, column.to_string()));
        params.push(json!({"op": "select", "table": table, "where": condition, "columns": [column]}));
    }
    if !txn.comment.is_empty() {
        params.push(json!({"op": "comment", "comment": txn.comment}));
    }
    if txn.dry_run {
        params.push(json!({"op": "abort"}));
    }
    Prepared { operations: params.len() - 1, params, unchanged: !changes, inserts, increment }
}

/// The prerequisite that the verified columns still be as they were.
fn push_wait(params: &mut Vec<Value>, uuid: Uuid, edit: &Edit) {
    let Some(base) = edit.base.as_ref().filter(|_| !edit.verified.is_empty()) else { return };
    let mut row = Map::new();
    for index in &edit.verified {
        let column = &base.schema().columns[*index];
        row.insert(column.name.to_string(), base.at(*index).to_json(column.is_map()));
    }
    let columns: Vec<&String> = row.keys().collect();
    params.push(json!({
        "op": "wait", "table": &*base.schema().name, "timeout": 0, "where": where_uuid(uuid),
        "columns": columns, "until": "==", "rows": [row],
    }));
}
