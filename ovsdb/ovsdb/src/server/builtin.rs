//! The database `_Server` (ovsdb-server(5)): a row for each database, kept by the server itself.

use std::sync::Arc;

use super::{Now, Server};
use crate::datum::Datum;
use crate::execute::{Context, Execution, execute};
use jsonrpc::text::to_sorted_text;
use serde_json::{Value, json};

/// Its name.
pub const SERVER_DB: &str = "_Server";

/// Its schema.
pub const SERVER_SCHEMA: &str = r#"{"name":"_Server","version":"1.2.0","cksum":"3009684573 744",
"tables":{"Database":{"columns":{
"name":{"type":"string"},
"model":{"type":{"key":{"type":"string","enum":["set",["clustered","relay","standalone"]]}}},
"connected":{"type":"boolean"},
"leader":{"type":"boolean"},
"schema":{"type":{"key":"string","min":0}},
"cid":{"type":{"key":"uuid","min":0}},
"sid":{"type":{"key":"uuid","min":0}},
"index":{"type":{"key":"integer","min":0}}}}}}"#;

impl Server {
    /// Brings the rows of `_Server` up to date, and tells monitors.
    pub(crate) fn refresh_builtin(&mut self, now: Now) {
        let mut ops: Vec<Value> = Vec::new();
        let uuids: Vec<Value> =
            self.dbs.values().map(|served| json!(["_uuid", "!=", ["uuid", served.uuid.to_string()]])).collect();
        ops.push(json!({"op": "delete", "table": "Database", "where": uuids}));
        let Some(own) = self.dbs.get(SERVER_DB) else { return };
        for (name, served) in &self.dbs {
            let schema =
                if served.ready { Datum::string(&to_sorted_text(&served.db.schema.to_json())) } else { Datum::empty() };
            let row = json!({
                "name": &**name,
                "model": served.model.name(),
                "connected": served.connected,
                "leader": served.model != super::Model::Relay,
                "schema": schema.to_json(false),
            });
            let known = own.db.table("Database").and_then(|table| table.row(&served.uuid));
            ops.push(if known.is_some() {
                let clause = json!([["_uuid", "==", ["uuid", served.uuid.to_string()]]]);
                json!({"op": "update", "table": "Database", "where": clause, "row": row})
            } else {
                let uuid = served.uuid.to_string();
                json!({"op": "insert", "table": "Database", "uuid": uuid, "row": row})
            });
        }
        let run = execute(&own.db, &ops, &Context::default(), &mut self.source);
        if let Execution::Done { commit: Some(commit), .. } = run {
            let _ = self.apply_commit(&Arc::from(SERVER_DB), commit, now);
        }
    }
}
