//! Reading JSON and schemas from files; databases that cannot be opened.

use ovsdb::log::Refusal;
use ovsdb::{DatabaseSchema, OvsdbError};
use serde_json::Value;
use std::io::Read;

/// Reads a file that holds one JSON value.
pub(crate) fn read_json(path: &str) -> Result<Value, String> {
    let failed =
        |what: String| move |error: std::io::Error| format!("error {what}: {}", cli::program::strerror(&error));
    let mut file = std::fs::File::open(path).map_err(failed(format!("opening \"{path}\"")))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(failed("reading JSON stream".into()))?;
    jsonrpc::parse_value(&bytes, jsonrpc::Limits::default()).map_err(|error| error.to_string())
}

/// Reads a schema from a file.
pub(crate) fn read_schema(path: &str) -> Result<DatabaseSchema, OvsdbError> {
    let json = read_json(path).map_err(|text| {
        OvsdbError::new("failed to read schema", format!("\"{path}\" could not be read as JSON ({text})"))
    })?;
    DatabaseSchema::from_json(&json).map_err(|mut error| {
        let details = error.details.take().map(|details| format!(": {details}")).unwrap_or_default();
        error.details = Some(format!("failed to parse \"{path}\" as ovsdb schema{details}"));
        error
    })
}

/// Reads a JSON value from a command line; errors quote it.
pub(crate) fn parse_json(text: &str) -> Result<Value, String> {
    let octets = octets::of_text(text);
    jsonrpc::parse_value(&octets, jsonrpc::Limits::default()).map_err(|error| format!("\"{text}\": {error}"))
}

/// Logs what is to be known of a lock file, and gives the text of the error.
pub(crate) fn told(refusal: &Refusal) -> String {
    for note in &refusal.notes {
        vlog::warn!("lockfile", "{note}");
    }
    refusal.to_string()
}
