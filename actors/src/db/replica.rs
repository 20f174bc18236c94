//! Makes another server's rows ours: monitor replies and updates become transactions of our own.

use super::now;
use ovsdb::schema::DatabaseSchema;
use ovsdb::server::Server;
use ovsdb::{Table, Uuid};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Takes the schema the source has for `db`: a relay adopts it, a backup must have it already.
pub(super) fn take_schema(server: &mut Server, db: &str, schema: &Value, relay: bool) -> Result<(), String> {
    let theirs = DatabaseSchema::from_json(schema).map_err(|e| e.to_string())?;
    let ours = server.db(db).map(|db| db.schema.clone());
    let ready = ours.as_ref().is_some_and(|s| !s.tables.is_empty());
    if ready && ours.is_some_and(|ours| ours.to_text() == theirs.to_text()) {
        return Ok(());
    }
    if !relay {
        return Err(format!("schema version mismatch, database {db} not replicated"));
    }
    let fresh = ovsdb::database::Database::new(Arc::new(theirs));
    server.replace_contents(db, fresh, "relay", now()).map(|_| ()).map_err(|e| e.to_string())
}

/// Applies table updates in `monitor`'s form. With `whole_but`, they are all rows there are, and other rows go,
/// but for those of the tables named.
pub(super) fn apply(
    server: &mut Server,
    db: &str,
    updates: &Value,
    whole_but: Option<&BTreeSet<String>>,
) -> Result<(), String> {
    let ops = operations(server, db, updates, whole_but)?;
    if ops.is_empty() {
        return Ok(());
    }
    let (results, _) = server.transact_internal(db, &ops, now()).map_err(|e| e.to_string())?;
    let results: Value = serde_json::from_str(&results).map_err(|e| e.to_string())?;
    let error = results.as_array().into_iter().flatten().find(|r| r["error"].is_string());
    error.map_or(Ok(()), |e| Err(e.to_string()))
}

fn operations(
    server: &Server,
    db: &str,
    updates: &Value,
    whole_but: Option<&BTreeSet<String>>,
) -> Result<Vec<Value>, String> {
    let db = server.db(db).ok_or("no such database")?;
    let tables = updates.as_object().ok_or("table updates are not an object")?;
    let mut ops = Vec::new();
    for (name, rows) in tables {
        let table = db.table(name).ok_or_else(|| format!("unknown table {name}"))?;
        for (uuid, update) in rows.as_object().ok_or("row updates are not an object")? {
            let id = Uuid::parse(uuid).ok_or_else(|| format!("bad UUID {uuid}"))?;
            ops.extend(operation(table, id, &update["new"]));
        }
    }
    if let Some(kept) = whole_but {
        for table in db.tables().iter().filter(|t| !kept.contains(&*t.schema.name)) {
            let rows = tables.get(&*table.schema.name).and_then(Value::as_object);
            for row in table.rows().filter(|r| !rows.is_some_and(|m| m.contains_key(&r.uuid.to_string()))) {
                ops.push(json!({"op": "delete", "table": &*table.schema.name, "where": with_uuid(row.uuid)}));
            }
        }
    }
    Ok(ops)
}

fn with_uuid(uuid: Uuid) -> Value {
    json!([["_uuid", "==", ["uuid", uuid.to_string()]]])
}

fn operation(table: &Table, uuid: Uuid, new: &Value) -> Option<Value> {
    let name = &*table.schema.name;
    let known = table.row(&uuid).is_some();
    let Value::Object(columns) = new else {
        return known.then(|| json!({"op": "delete", "table": name, "where": with_uuid(uuid)}));
    };
    // What this schema does not know is none of ours; what must not change cannot have changed.
    let ours =
        |column: &str| table.schema.column(column).is_some_and(|c| !column.starts_with('_') && (c.mutable || !known));
    let row: Map<String, Value> =
        columns.iter().filter(|(column, _)| ours(column)).map(|(c, v)| (c.clone(), v.clone())).collect();
    Some(if known {
        json!({"op": "update", "table": name, "where": with_uuid(uuid), "row": row})
    } else {
        json!({"op": "insert", "table": name, "uuid": uuid.to_string(), "row": row})
    })
}
