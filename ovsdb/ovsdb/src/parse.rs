//! Taking members out of a JSON object, with Open vSwitch's texts for what is missing, of the
//! wrong kind, or too much.

use std::fmt;

use serde_json::{Map, Value};

use crate::error::{OvsdbError, Result};
use crate::turn::members_in_turn;

/// Kinds of JSON values that a member may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kinds(u16);

impl Kinds {
    /// `null`.
    pub const NULL: Kinds = Kinds(1);
    /// `true` or `false`.
    pub const BOOLEAN: Kinds = Kinds(2);
    /// A number that is a 64-bit integer.
    pub const INTEGER: Kinds = Kinds(4);
    /// Any other number.
    pub const REAL: Kinds = Kinds(8);
    /// A string.
    pub const STRING: Kinds = Kinds(16);
    /// An array.
    pub const ARRAY: Kinds = Kinds(32);
    /// An object.
    pub const OBJECT: Kinds = Kinds(64);
    /// A string that is an `<id>`.
    pub const ID: Kinds = Kinds(128);
    /// Any number.
    pub const NUMBER: Kinds = Kinds(4 | 8);
    /// Anything.
    pub const ANY: Kinds = Kinds(127);

    /// Either of the two.
    #[must_use]
    pub const fn or(self, other: Kinds) -> Kinds {
        Kinds(self.0 | other.0)
    }

    fn holds(self, value: &Value) -> bool {
        let kind = match value {
            Value::Null => Kinds::NULL,
            Value::Bool(_) => Kinds::BOOLEAN,
            Value::Number(n) if n.is_i64() => Kinds::INTEGER,
            Value::Number(_) => Kinds::REAL,
            Value::String(s) if self.0 & Kinds::ID.0 != 0 && is_id(s) => Kinds::ID,
            Value::String(_) => Kinds::STRING,
            Value::Array(_) => Kinds::ARRAY,
            Value::Object(_) => Kinds::OBJECT,
        };
        self.0 & kind.0 != 0
    }
}

/// Whether `text` is an `<id>`: `[a-zA-Z_][a-zA-Z0-9_]*`.
#[must_use]
pub fn is_id(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// What errors call an object.
enum Name {
    Text(String),
    /// One of so many operations, counted from 1. The text is only made for an error.
    Operation {
        at: usize,
        of: usize,
    },
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Name::Text(text) => f.write_str(text),
            Name::Operation { at, of } => write!(f, "ovsdb operation {at} of {of}"),
        }
    }
}

/// Members up to which an object is searched one by one, which costs less than a hash.
const FEW: usize = 8;

fn member<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    if object.len() > FEW {
        return object.get(name);
    }
    object.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
}

/// Reads one JSON object member by member; the first fault is the one that [`Members::finish`]
/// tells of.
pub struct Members<'a> {
    json: &'a Value,
    name: Name,
    object: Option<&'a Map<String, Value>>,
    used: smallvec::SmallVec<[&'static str; 12]>,
    fault: Option<OvsdbError>,
}

impl<'a> Members<'a> {
    /// Begins to read `json`, which errors will call `name`.
    #[must_use]
    pub fn new(json: &'a Value, name: impl Into<String>) -> Self {
        Members::named(json, Name::Text(name.into()))
    }

    /// Begins to read operation `at` of a transaction's `of`, counted from 1.
    #[must_use]
    pub fn of_operation(json: &'a Value, at: usize, of: usize) -> Self {
        Members::named(json, Name::Operation { at, of })
    }

    fn named(json: &'a Value, name: Name) -> Self {
        let mut members =
            Members { json, name, object: json.as_object(), used: smallvec::SmallVec::new(), fault: None };
        if members.object.is_none() {
            members.raise("Object expected.");
        }
        members
    }

    fn raise(&mut self, what: &str) {
        if self.fault.is_none() {
            let mut error = OvsdbError::syntax(format!("Parsing {} failed: {what}", self.name));
            // What is not even an object is not quoted.
            if self.object.is_some() {
                error = error.within(self.json);
            }
            self.fault = Some(error);
        }
    }

    /// Tells of a fault that the caller found.
    pub fn fault(&mut self, what: &str) {
        self.raise(what);
    }

    /// A member that may be absent.
    pub fn optional(&mut self, name: &'static str, kinds: Kinds) -> Option<&'a Value> {
        let value = member(self.object?, name)?;
        self.take(name, value, kinds)
    }

    fn take(&mut self, name: &'static str, value: &'a Value, kinds: Kinds) -> Option<&'a Value> {
        self.used.push(name);
        if kinds.holds(value) {
            return Some(value);
        }
        self.raise(&format!("Type mismatch for member '{name}'."));
        None
    }

    /// A member that must be there.
    pub fn required(&mut self, name: &'static str, kinds: Kinds) -> Option<&'a Value> {
        let Some(value) = member(self.object?, name) else {
            self.raise(&format!("Required '{name}' member is missing."));
            return None;
        };
        self.take(name, value, kinds)
    }

    /// The first fault so far.
    pub fn so_far(&self) -> Result<()> {
        self.fault.clone().map_or(Ok(()), Err)
    }

    /// The first fault, counting members that nobody asked for.
    pub fn finish(mut self) -> Result<()> {
        if let (None, Some(object)) = (&self.fault, self.object) {
            let unused = object.keys().filter(|name| !self.used.contains(&name.as_str())).count();
            let unwanted = |(name, _): &(&String, &Value)| !self.used.contains(&name.as_str());
            let in_turn = if unused > 0 { members_in_turn(object) } else { Vec::new() };
            if let Some((first, _)) = in_turn.into_iter().find(unwanted) {
                let text = match unused - 1 {
                    0 => format!("Member '{first}' is present but not allowed here."),
                    n => format!(
                        "Member '{first}' and {n} other member{} are present but not allowed here.",
                        if n == 1 { "" } else { "s" }
                    ),
                };
                self.raise(&text);
            }
        }
        self.fault.map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn texts() {
        let check = |json: Value, expect: &str| {
            let mut members = Members::new(&json, "thing");
            members.required("a", Kinds::STRING);
            members.optional("b", Kinds::INTEGER);
            assert_eq!(members.finish().unwrap_err().to_string(), expect);
        };
        check(json!(5), "syntax error: Parsing thing failed: Object expected.");
        check(json!({}), "syntax \"{}\": syntax error: Parsing thing failed: Required 'a' member is missing.");
        check(
            json!({"a":"x","b":1.5}),
            "syntax \"{\"a\":\"x\",\"b\":1.5}\": syntax error: Parsing thing failed: Type mismatch for member 'b'.",
        );
        check(
            json!({"a":"x","d":1,"c":2}),
            "syntax \"{\"a\":\"x\",\"c\":2,\"d\":1}\": syntax error: Parsing thing failed: Member 'c' and 1 other member are present but not allowed here.",
        );
    }
}
