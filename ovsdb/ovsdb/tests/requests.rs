//! Request/response tables: each file of `tests/requests` holds requests (`>> `) and the replies
//! (`<< `) that Open vSwitch 3.1 gives to them, UUIDs of its own making masked.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jsonrpc::Message;
use ovsdb::server::{Model, Now, Output, Server, SessionInfo};
use ovsdb::{Database, DatabaseSchema};
use serde_json::{Deserializer, Value};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/requests")
}

/// Replaces random UUIDs: those of version 4.
fn mask(text: &str) -> String {
    if text.len() == 36 && ovsdb::Uuid::parse(text).is_some() && text.as_bytes()[14] == b'4' {
        return "<uuid>".into();
    }
    let mut out = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        match rest.get(..36) {
            Some(head) if rest.len() > 36 || !out.is_empty() => {
                let masked = if ovsdb::Uuid::parse(head).is_some() && head.as_bytes()[14] == b'4' {
                    Some("<uuid>")
                } else {
                    None
                };
                if let Some(masked) = masked {
                    out.push_str(masked);
                    rest = &rest[36..];
                    continue;
                }
            }
            _ => {}
        }
        out.push(c);
        rest = &rest[c.len_utf8()..];
    }
    out
}

/// One form for all texts that mean the same: names sorted, rows sorted, UUIDs masked.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let mut parts: Vec<String> =
                members.iter().map(|(name, member)| format!("{}:{}", mask(name), canonical(member))).collect();
            parts.sort();
            format!("{{{}}}", parts.join(","))
        }
        Value::Array(items) => {
            let mut parts: Vec<String> = items.iter().map(canonical).collect();
            let is_rows = items.iter().all(|item| item.get("_uuid").is_some() || item.get("number").is_some());
            if is_rows {
                parts.sort();
            }
            format!("[{}]", parts.join(","))
        }
        Value::String(text) => format!("{:?}", mask(text)),
        other => other.to_string(),
    }
}

fn canonical_stream(text: &str) -> String {
    let values = Deserializer::from_str(text).into_iter::<Value>();
    let parts: Vec<String> = values.map(|value| canonical(&value.unwrap())).collect();
    parts.join(" ")
}

fn run(file: &Path) {
    let schema = fs::read_to_string(folder().join("ordinals.ovsschema")).unwrap();
    let schema = Arc::new(DatabaseSchema::from_text(&schema).unwrap());
    let mut server = Server::new(1);
    let now = Now { mono_ms: 0, wall_ms: 1 };
    server.add_db(Database::new(schema), None, Model::Standalone, now).unwrap();
    server.connect(1, SessionInfo::default());
    let text = fs::read_to_string(file).unwrap();
    let mut request = "";
    let mut tried = 0;
    for line in text.lines() {
        if let Some(json) = line.strip_prefix(">> ") {
            request = json;
        } else if let Some(expect) = line.strip_prefix("<< ") {
            let message =
                Message::from_json(jsonrpc::parse_value(request.as_bytes(), jsonrpc::Limits::default()).unwrap())
                    .unwrap();
            server.handle(1, message, now);
            let mut outputs = server.take_outputs();
            if outputs.is_empty() {
                server.handle_timeout(Now { mono_ms: 10, wall_ms: 1 });
                outputs = server.take_outputs();
            }
            let mut got = String::new();
            for output in outputs {
                if let Output::Send { text, .. } = output {
                    got.push_str(&text.to_str());
                }
            }
            assert_eq!(canonical_stream(&got), canonical_stream(expect), "{request}");
            tried += 1;
        }
    }
    assert!(tried > 10, "{}", file.display());
}

#[test]
fn as_open_vswitch_answers() {
    let mut files: Vec<PathBuf> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "txt"))
        .collect();
    files.sort();
    assert!(!files.is_empty());
    for file in files {
        run(&file);
    }
}
