//! What became of a transaction.

use ovsdb::Uuid;
use serde_json::Value;
use std::collections::BTreeMap;

/// The verdict on a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// There was nothing to change.
    Unchanged,
    /// It asked to be aborted (a dry run) and was.
    Aborted,
    /// It took effect.
    Success,
    /// The database had changed in what the transaction relied on, or the connection was lost: build
    /// it again over newer contents.
    TryAgain,
    /// The lock that it needs is not ours.
    NotLocked,
    /// It cannot be; the text is the server's error in JSON.
    Error(String),
}

/// A verdict with its results.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The verdict.
    pub status: Status,
    /// For rows that it inserted: the identity within the transaction, and the real one.
    pub inserted: BTreeMap<Uuid, Uuid>,
    /// The value of the incremented column afterwards.
    pub incremented: Option<i64>,
}

impl Outcome {
    /// A verdict without results.
    #[must_use]
    pub fn bare(status: Status) -> Outcome {
        Outcome { status, inserted: BTreeMap::new(), incremented: None }
    }
}

/// Judges the result of `transact`: soft errors call for another try, hard ones are final, and
/// results must be as many as operations.
pub(crate) fn judge(result: &Value, operations: usize) -> Status {
    let Some(results) = result.as_array() else {
        return Status::Error(jsonrpc::text::to_text(result));
    };
    let (mut soft, mut locked, mut aborted) = (false, false, false);
    let mut hard: Option<String> = None;
    for result in results {
        match result.get("error").filter(|error| !error.is_null()) {
            None => {}
            Some(Value::String(error)) => match error.as_str() {
                "timed out" => soft = true,
                "not owner" => locked = true,
                "aborted" => aborted = true,
                // The server is no longer able to answer at present.
                "unable to commit" | "not leader" => soft = true,
                _ => hard = hard.or_else(|| Some(jsonrpc::text::to_sorted_text(result))),
            },
            Some(_) => hard = hard.or_else(|| Some(jsonrpc::text::to_sorted_text(result))),
        }
    }
    match hard {
        Some(text) => Status::Error(text),
        None if locked => Status::NotLocked,
        None if soft => Status::TryAgain,
        None if aborted => Status::Aborted,
        None if results.len() < operations => Status::Error(jsonrpc::text::to_text(result)),
        None => Status::Success,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn verdicts() {
        for (result, expect) in [
            (json!([{}, {}]), Status::Success),
            (json!([{"error": "timed out"}, null]), Status::TryAgain),
            (json!([{"error": "not owner"}, null]), Status::NotLocked),
            (json!([{}, {"error": "aborted"}]), Status::Aborted),
            (
                json!([{}, {}, {"error": "constraint violation", "details": "x"}]),
                Status::Error(r#"{"details":"x","error":"constraint violation"}"#.into()),
            ),
            (json!([{"error": "timed out"}, {"error": "e"}]), Status::Error(r#"{"error":"e"}"#.into())),
            (json!([{}]), Status::Error("[{}]".into())),
            (json!("x"), Status::Error("\"x\"".into())),
        ] {
            assert_eq!(judge(&result, 2), expect);
        }
    }
}
