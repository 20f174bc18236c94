//! The status columns of remotes: `is_connected` and `status` of Manager rows, and their like.

use super::letters::RemoteStatus;
use super::reference;
use ovsdb::Uuid;
use ovsdb::server::Server;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The operations that bring status columns up to date, by database; what is true already is left alone.
pub(super) fn updates(
    server: &Server,
    remotes: &BTreeSet<String>,
    statuses: &BTreeMap<String, RemoteStatus>,
) -> BTreeMap<Arc<str>, Vec<Value>> {
    let mut updates: BTreeMap<Arc<str>, Vec<Value>> = BTreeMap::new();
    let mut seen: BTreeSet<Uuid> = BTreeSet::new();
    for name in remotes {
        for (db, table, uuid, target) in reference::remote_rows(server, name) {
            if !seen.insert(uuid) {
                continue;
            }
            let status = statuses.get(&target);
            let mut row = serde_json::Map::new();
            if table.schema.column_index("is_connected").is_some() {
                let connected = status.and_then(|s| s.first.as_ref()).is_some_and(|f| f.connected);
                row.insert("is_connected".into(), json!(connected));
            }
            if table.schema.column_index("status").is_some() {
                let passive = ["ptcp:", "pssl:", "punix:"].iter().any(|kind| target.starts_with(kind));
                let pairs = status.map(|s| figures(server, s, passive)).unwrap_or_default();
                let pairs: Vec<Value> = pairs.into_iter().map(|(k, v)| json!([k, v])).collect();
                row.insert("status".into(), json!(["map", pairs]));
            }
            if row.is_empty() || is_current(table, &uuid, &row) {
                continue;
            }
            let clause = json!([["_uuid", "==", ["uuid", uuid.to_string()]]]);
            let update = json!({"op": "update", "table": &*table.schema.name, "where": clause, "row": row});
            updates.entry(db.schema.name.clone()).or_default().push(update);
        }
    }
    updates
}

fn is_current(table: &ovsdb::Table, uuid: &Uuid, row: &serde_json::Map<String, Value>) -> bool {
    let Some(there) = table.row(uuid) else {
        return true;
    };
    row.iter().all(|(name, value)| {
        table.schema.column_index(name).is_none_or(|index| {
            let column = &table.schema.columns[index];
            ovsdb::Datum::from_trusted_json(value, &column.ty).is_ok_and(|new| *there.get(index) == new)
        })
    })
}

/// The pairs of the column `status`. Of those who come to a listener nothing is told but their number.
fn figures(server: &Server, status: &RemoteStatus, passive: bool) -> BTreeMap<&'static str, String> {
    let mut pairs = BTreeMap::new();
    if let Some(port) = status.bound_port {
        pairs.insert("bound_port", port.to_string());
    }
    if status.connections > 1 {
        pairs.insert("n_connections", status.connections.to_string());
    }
    if passive {
        pairs.insert("sec_since_connect", "0".to_owned());
        pairs.insert("sec_since_disconnect", "0".to_owned());
        return pairs;
    }
    let Some(first) = &status.first else {
        return pairs;
    };
    pairs.insert("state", first.state.to_owned());
    if let Some(seconds) = first.sec_since_connect {
        pairs.insert("sec_since_connect", seconds.to_string());
    }
    if let Some(seconds) = first.sec_since_disconnect {
        pairs.insert("sec_since_disconnect", seconds.to_string());
    }
    let locks = server.lock_counts(first.id);
    for (name, count) in [("locks_held", locks.held), ("locks_waiting", locks.waiting), ("locks_lost", locks.lost)] {
        if count > 0 {
            pairs.insert(name, count.to_string());
        }
    }
    pairs
}
