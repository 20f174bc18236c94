//! Atoms: the five kinds of scalar values (RFC 7047 section 5.1), their JSON and command-line
//! forms and their order.

use std::cmp::Ordering;

use compact_str::CompactString;
use jsonrpc::text::{write_real, write_string};
use serde_json::Value;

use crate::error::{OvsdbError, Result};
use crate::parse::is_id;
use crate::symbols::SymbolTable;
use crate::types::AtomicType;
use crate::uuid::Uuid;

/// A scalar value. Strings of up to 24 bytes cost no allocation; an atom is 24 bytes.
#[derive(Debug, Clone)]
pub enum Atom {
    /// A signed 64-bit integer.
    Integer(i64),
    /// A finite double.
    Real(f64),
    /// A truth value.
    Boolean(bool),
    /// UTF-8 without NUL.
    String(CompactString),
    /// The identity of a row, or any UUID.
    Uuid(Uuid),
}

impl Atom {
    /// A string atom.
    #[must_use]
    pub fn string(text: &str) -> Self {
        Atom::String(CompactString::new(text))
    }

    /// The value that a column has unless told otherwise: 0, false, "" or the zero UUID.
    #[must_use]
    pub fn default_of(kind: AtomicType) -> Self {
        match kind {
            AtomicType::Integer => Atom::Integer(0),
            AtomicType::Real => Atom::Real(0.0),
            AtomicType::Boolean => Atom::Boolean(false),
            AtomicType::String => Atom::String(CompactString::const_new("")),
            AtomicType::Uuid => Atom::Uuid(Uuid::ZERO),
        }
    }

    /// Whether this is the default of its type.
    #[must_use]
    pub fn is_default(&self) -> bool {
        match self {
            Atom::Integer(i) => *i == 0,
            Atom::Real(r) => *r == 0.0,
            Atom::Boolean(b) => !b,
            Atom::String(s) => s.is_empty(),
            Atom::Uuid(u) => u.is_zero(),
        }
    }

    /// Its type.
    #[must_use]
    pub fn kind(&self) -> AtomicType {
        match self {
            Atom::Integer(_) => AtomicType::Integer,
            Atom::Real(_) => AtomicType::Real,
            Atom::Boolean(_) => AtomicType::Boolean,
            Atom::String(_) => AtomicType::String,
            Atom::Uuid(_) => AtomicType::Uuid,
        }
    }

    /// The string inside, if it is one.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Atom::String(s) => Some(s),
            _ => None,
        }
    }

    /// The integer inside, if it is one.
    #[must_use]
    pub fn as_integer(&self) -> Option<i64> {
        match self {
            Atom::Integer(i) => Some(*i),
            _ => None,
        }
    }

    /// The UUID inside, if it is one.
    #[must_use]
    pub fn as_uuid(&self) -> Option<Uuid> {
        match self {
            Atom::Uuid(u) => Some(*u),
            _ => None,
        }
    }

    /// The truth value inside, if it is one.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Atom::Boolean(b) => Some(*b),
            _ => None,
        }
    }

    /// A string, unless it carries octets that are no UTF-8.
    pub fn checked_string(text: &str) -> Result<Self> {
        match octets::fault(text) {
            Some(fault) => Err(OvsdbError::constraint(fault)),
            None => Ok(Atom::string(text)),
        }
    }

    /// Reads `<atom>` of type `kind`. A `named-uuid` is looked up, or created, in `symbols`; without
    /// symbols it is refused. No constraint of a column is checked.
    pub fn from_json(json: &Value, kind: AtomicType, symbols: Option<&mut SymbolTable<'_>>) -> Result<Self> {
        match (kind, json) {
            (AtomicType::Integer, Value::Number(n)) => {
                if let Some(i) = n.as_i64() {
                    return Ok(Atom::Integer(i));
                }
            }
            (AtomicType::Real, Value::Number(n)) => {
                if let Some(real) = n.as_f64() {
                    return Ok(Atom::Real(real));
                }
            }
            (AtomicType::Boolean, Value::Bool(b)) => return Ok(Atom::Boolean(*b)),
            (AtomicType::String, Value::String(s)) => return Atom::checked_string(s),
            (AtomicType::Uuid, _) => return uuid_from_json(json, symbols).map(Atom::Uuid),
            _ => {}
        }
        Err(OvsdbError::syntax_in(json, format!("expected {}", kind.name())))
    }

    /// Appends `<atom>`.
    pub fn write_json(&self, out: &mut String) {
        use std::fmt::Write;
        match self {
            Atom::Integer(i) => {
                let _ = write!(out, "{i}");
            }
            Atom::Real(r) => write_real(out, *r),
            Atom::Boolean(b) => out.push_str(if *b { "true" } else { "false" }),
            Atom::String(s) => write_string(out, s),
            Atom::Uuid(u) => {
                out.push_str("[\"uuid\",\"");
                u.write(out);
                out.push_str("\"]");
            }
        }
    }

    /// `<atom>` as a value.
    #[must_use]
    pub fn to_json(&self) -> Value {
        match self {
            Atom::Integer(i) => Value::from(*i),
            Atom::Real(r) => Value::from(*r),
            Atom::Boolean(b) => Value::from(*b),
            Atom::String(s) => Value::from(s.as_str()),
            Atom::Uuid(u) => Value::from(vec!["uuid".to_owned(), u.to_string()]),
        }
    }

    /// Appends the form that command-line programs print: strings are quoted only where they would
    /// be misread bare.
    pub fn write_cli(&self, out: &mut String) {
        match self {
            Atom::String(s) if needs_quotes(s) => write_string(out, s),
            _ => self.write_bare(out),
        }
    }

    /// Appends the form without any quotes.
    pub fn write_bare(&self, out: &mut String) {
        match self {
            Atom::String(s) => out.push_str(s),
            Atom::Uuid(u) => u.write(out),
            _ => self.write_json(out),
        }
    }

    /// The form that command-line programs print.
    #[must_use]
    pub fn to_cli_string(&self) -> String {
        let mut out = String::new();
        self.write_cli(&mut out);
        out
    }
}

fn uuid_from_json(json: &Value, symbols: Option<&mut SymbolTable<'_>>) -> Result<Uuid> {
    let pair = json.as_array().filter(|items| items.len() == 2);
    let tagged = pair.and_then(|items| Some((items[0].as_str()?, items[1].as_str()?)));
    match (tagged, symbols) {
        (Some(("uuid", text)), _) => {
            Uuid::parse(text).ok_or_else(|| OvsdbError::syntax_in(json, format!("\"{text}\" is not a valid UUID")))
        }
        (Some(("named-uuid", name)), Some(symbols)) => {
            if !is_id(name) {
                let details = "named-uuid string is not a valid <id>";
                return Err(OvsdbError::syntax_in(json, details));
            }
            Ok(symbols.reference(name))
        }
        _ => Err(OvsdbError::syntax_in(json, "expected [\"uuid\", <string>]")),
    }
}

/// Whether a string would be misread by command-line programs without quotation marks.
#[must_use]
pub fn needs_quotes(s: &str) -> bool {
    let mut bytes = s.bytes();
    let first = bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    let rest = bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
    !(first && rest) || s == "true" || s == "false" || Uuid::parse(s).is_some()
}

impl Ord for Atom {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Atom::Integer(a), Atom::Integer(b)) => a.cmp(b),
            // Zeros of either sign are one value, as they are to C.
            (Atom::Real(a), Atom::Real(b)) => a.partial_cmp(b).unwrap_or_else(|| a.total_cmp(b)),
            (Atom::Boolean(a), Atom::Boolean(b)) => a.cmp(b),
            (Atom::String(a), Atom::String(b)) => a.cmp(b),
            (Atom::Uuid(a), Atom::Uuid(b)) => a.cmp(b),
            _ => self.kind().cmp(&other.kind()),
        }
    }
}

impl PartialOrd for Atom {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Atom {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Atom::Integer(a), Atom::Integer(b)) => a == b,
            (Atom::String(a), Atom::String(b)) => a == b,
            (Atom::Uuid(a), Atom::Uuid(b)) => a == b,
            _ => self.cmp(other) == Ordering::Equal,
        }
    }
}

impl Eq for Atom {}

impl std::hash::Hash for Atom {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        match self {
            Atom::Integer(i) => i.hash(state),
            Atom::Real(r) => (if *r == 0.0 { 0.0 } else { *r }).to_bits().hash(state),
            Atom::Boolean(b) => b.hash(state),
            Atom::String(s) => s.hash(state),
            Atom::Uuid(u) => u.hash(state),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_atom_is_24_bytes() {
        assert_eq!(std::mem::size_of::<Atom>(), 24);
    }

    #[test]
    fn quotes_where_needed() {
        for (text, expect) in [
            ("br0", "br0"),
            ("", "\"\""),
            ("true", "\"true\""),
            ("0abc", "\"0abc\""),
            ("a b", "\"a b\""),
            ("a-b.c_d", "a-b.c_d"),
            ("fe80::1", "\"fe80::1\""),
        ] {
            assert_eq!(Atom::string(text).to_cli_string(), expect);
        }
    }
}
