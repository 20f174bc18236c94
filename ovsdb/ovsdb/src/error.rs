//! Errors of the OVSDB protocol: values that travel in replies (RFC 7047 section 3.1 `<error>` and
//! the extensions of ovsdb-server(7)). Names and details are Open vSwitch's.

use std::borrow::Cow;
use std::fmt;

use jsonrpc::text::{to_sorted_text, write_string};
use serde_json::{Map, Value};

/// An `<error>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OvsdbError {
    /// The name of the error, such as `constraint violation`.
    pub tag: Cow<'static, str>,
    /// More, for human readers.
    pub details: Option<String>,
    /// The JSON that is at fault, names sorted.
    pub syntax: Option<String>,
    /// The operating system's words.
    pub io_error: Option<String>,
}

/// A result with an OVSDB error.
pub type Result<T, E = OvsdbError> = std::result::Result<T, E>;

/// The operating system's words for an error, as C's `strerror` has them.
pub(crate) fn errno_text(error: &std::io::Error) -> String {
    let mut words = error.to_string();
    if let Some(at) = words.find(" (os error") {
        words.truncate(at);
    }
    words
}

impl OvsdbError {
    /// An error with a name and details.
    #[must_use]
    pub fn new(tag: &'static str, details: impl Into<String>) -> Self {
        let details = Some(details.into());
        OvsdbError { tag: Cow::Borrowed(tag), details, syntax: None, io_error: None }
    }

    /// A `syntax error` without the JSON that is at fault.
    #[must_use]
    pub fn syntax(details: impl Into<String>) -> Self {
        OvsdbError::new("syntax error", details)
    }

    /// A `syntax error` in `json`.
    #[must_use]
    pub fn syntax_in(json: &Value, details: impl Into<String>) -> Self {
        OvsdbError::syntax(details).within(json)
    }

    /// A `constraint violation`.
    #[must_use]
    pub fn constraint(details: impl Into<String>) -> Self {
        OvsdbError::new("constraint violation", details)
    }

    /// A `referential integrity violation`.
    #[must_use]
    pub fn referential(details: impl Into<String>) -> Self {
        OvsdbError::new("referential integrity violation", details)
    }

    /// An `internal error`: what should not happen.
    #[must_use]
    pub fn internal(details: impl Into<String>) -> Self {
        OvsdbError::new("internal error", details)
    }

    /// An `I/O error` with the operating system's words.
    #[must_use]
    pub fn io(details: impl Into<String>, error: &std::io::Error) -> Self {
        OvsdbError { io_error: Some(errno_text(error)), ..OvsdbError::new("I/O error", details) }
    }

    /// Names the JSON that is at fault.
    #[must_use]
    pub fn within(mut self, json: &Value) -> Self {
        self.syntax = Some(to_sorted_text(json));
        self
    }

    /// Appends the error as JSON.
    pub fn write_json(&self, out: &mut String) {
        out.push('{');
        if let Some(syntax) = &self.syntax {
            out.push_str("\"syntax\":");
            write_string(out, syntax);
            out.push(',');
        }
        if let Some(details) = &self.details {
            out.push_str("\"details\":");
            write_string(out, details);
            out.push(',');
        }
        if let Some(io_error) = &self.io_error {
            out.push_str("\"io-error\":");
            write_string(out, io_error);
            out.push(',');
        }
        out.push_str("\"error\":");
        write_string(out, &self.tag);
        out.push('}');
    }

    /// The error as a JSON value.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut map = Map::new();
        let mut put = |name: &str, text: &Option<String>| {
            if let Some(text) = text {
                map.insert(name.to_owned(), Value::from(text.as_str()));
            }
        };
        put("syntax", &self.syntax);
        put("details", &self.details);
        put("io-error", &self.io_error);
        map.insert("error".into(), Value::from(self.tag.as_ref()));
        Value::Object(map)
    }

    /// Takes a received JSON value for an error.
    #[must_use]
    pub fn from_json(json: &Value) -> Self {
        let text = |name: &str| json.get(name).and_then(Value::as_str).map(str::to_owned);
        let tag = text("error").or_else(|| json.as_str().map(str::to_owned));
        OvsdbError {
            tag: Cow::Owned(tag.unwrap_or_else(|| to_sorted_text(json))),
            details: text("details"),
            syntax: text("syntax"),
            io_error: text("io-error"),
        }
    }
}

impl fmt::Display for OvsdbError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(syntax) = &self.syntax {
            write!(f, "syntax \"{syntax}\": ")?;
        }
        f.write_str(&self.tag)?;
        if let Some(details) = &self.details {
            write!(f, ": {details}")?;
        }
        if let Some(io_error) = &self.io_error {
            write!(f, " ({io_error})")?;
        }
        Ok(())
    }
}

impl std::error::Error for OvsdbError {}
