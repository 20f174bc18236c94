//! Types of columns: `<base-type>` and `<type>` (RFC 7047 section 3.2), with their constraints.

use std::sync::Arc;

use jsonrpc::text::format_g;
use serde_json::{Map, Value};

use crate::atom::Atom;
use crate::datum::Datum;
use crate::error::{OvsdbError, Result};
use crate::parse::{Kinds, Members};

/// `<atomic-type>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AtomicType {
    /// `integer`
    Integer,
    /// `real`
    Real,
    /// `boolean`
    Boolean,
    /// `string`
    String,
    /// `uuid`
    Uuid,
}

impl AtomicType {
    /// The name in a schema.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            AtomicType::Integer => "integer",
            AtomicType::Real => "real",
            AtomicType::Boolean => "boolean",
            AtomicType::String => "string",
            AtomicType::Uuid => "uuid",
        }
    }

    fn from_json(json: &Value) -> Result<Self> {
        let Value::String(name) = json else {
            return Err(OvsdbError::syntax_in(json, "atomic-type expected"));
        };
        AtomicType::from_name(name)
            .ok_or_else(|| OvsdbError::syntax_in(json, format!("\"{name}\" is not an atomic-type")))
    }

    /// The type with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "integer" => AtomicType::Integer,
            "real" => AtomicType::Real,
            "boolean" => AtomicType::Boolean,
            "string" => AtomicType::String,
            "uuid" => AtomicType::Uuid,
            _ => return None,
        })
    }
}

/// Strength of a reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefType {
    /// The row referred to must exist, and is kept alive by it.
    Strong,
    /// Goes away with the row that it refers to.
    Weak,
}

/// Whether a column is interesting to references.
#[derive(Debug, Clone, PartialEq)]
pub struct Reference {
    /// The table whose rows it refers to.
    pub table: Arc<str>,
    /// How.
    pub kind: RefType,
}

/// What values an atom may have, beyond its type.
#[derive(Debug, Clone, PartialEq)]
pub enum Constraint {
    /// None.
    Any,
    /// One of these (a set).
    Enum(Datum),
    /// From the first to the second, both included; the extremes of the type mean no bound.
    Integer(i64, i64),
    /// From the first to the second, both included; infinities mean no bound.
    Real(f64, f64),
    /// Fewest and most characters.
    Length(u32, u32),
    /// Refers to a row.
    Reference(Reference),
}

/// `<base-type>`.
#[derive(Debug, Clone, PartialEq)]
pub struct BaseType {
    /// The type of atoms.
    pub kind: AtomicType,
    /// Which of them are allowed.
    pub constraint: Constraint,
}

impl BaseType {
    /// A base type without a constraint.
    #[must_use]
    pub fn plain(kind: AtomicType) -> Self {
        BaseType { kind, constraint: Constraint::Any }
    }

    /// The reference that it holds, if any.
    #[must_use]
    pub fn reference(&self) -> Option<&Reference> {
        match &self.constraint {
            Constraint::Reference(reference) => Some(reference),
            _ => None,
        }
    }

    /// The allowed values, where they are listed.
    #[must_use]
    pub fn enumeration(&self) -> Option<&Datum> {
        match &self.constraint {
            Constraint::Enum(values) => Some(values),
            _ => None,
        }
    }

    /// Reads `<base-type>`.
    pub fn from_json(json: &Value) -> Result<Self> {
        if json.is_string() {
            return AtomicType::from_json(json).map(BaseType::plain);
        }
        if !json.is_object() {
            return Err(OvsdbError::syntax_in(json, "ovsdb type expected"));
        }
        let mut members = Members::new(json, "ovsdb type");
        let kind = members.required("type", Kinds::STRING);
        members.so_far()?;
        let kind = AtomicType::from_json(kind.unwrap_or(&Value::Null))?;
        let constraint = match members.optional("enum", Kinds::ANY) {
            Some(values) => {
                let set = Type { key: BaseType::plain(kind), value: None, n_min: 1, n_max: UNLIMITED };
                Constraint::Enum(Datum::from_json(values, &set, None)?)
            }
            None => BaseType::constraint_from(kind, &mut members, json)?,
        };
        members.finish()?;
        Ok(BaseType { kind, constraint })
    }

    fn constraint_from(kind: AtomicType, members: &mut Members<'_>, json: &Value) -> Result<Constraint> {
        match kind {
            AtomicType::Integer => {
                let min = members.optional("minInteger", Kinds::INTEGER).and_then(as_integer);
                let max = members.optional("maxInteger", Kinds::INTEGER).and_then(as_integer);
                let (low, high) = (min.unwrap_or(i64::MIN), max.unwrap_or(i64::MAX));
                if low > high {
                    let text = "minInteger exceeds maxInteger";
                    return Err(OvsdbError::syntax_in(json, text));
                }
                if (low, high) == (i64::MIN, i64::MAX) {
                    return Ok(Constraint::Any);
                }
                Ok(Constraint::Integer(low, high))
            }
            AtomicType::Real => {
                let min = members.optional("minReal", Kinds::NUMBER).and_then(Value::as_f64);
                let max = members.optional("maxReal", Kinds::NUMBER).and_then(Value::as_f64);
                let low = min.unwrap_or(f64::NEG_INFINITY);
                let high = max.unwrap_or(f64::INFINITY);
                if low > high {
                    return Err(OvsdbError::syntax_in(json, "minReal exceeds maxReal"));
                }
                if low.is_infinite() && high.is_infinite() {
                    return Ok(Constraint::Any);
                }
                Ok(Constraint::Real(low, high))
            }
            AtomicType::String => {
                let low = length_member(members, "minLength")?.unwrap_or(0);
                let high = length_member(members, "maxLength")?.unwrap_or(UNLIMITED);
                if low > high {
                    return Err(OvsdbError::syntax_in(json, "minLength exceeds maxLength"));
                }
                if (low, high) == (0, UNLIMITED) {
                    return Ok(Constraint::Any);
                }
                Ok(Constraint::Length(low, high))
            }
            AtomicType::Uuid => {
                let Some(table) = members.optional("refTable", Kinds::ID) else {
                    return Ok(Constraint::Any);
                };
                let strength = members.optional("refType", Kinds::ID);
                let kind = match strength.and_then(Value::as_str) {
                    None | Some("strong") => RefType::Strong,
                    Some("weak") => RefType::Weak,
                    Some(other) => {
                        let text = format!("refType must be \"strong\" or \"weak\" (not \"{other}\")");
                        return Err(OvsdbError::syntax_in(json, text));
                    }
                };
                let table = Arc::from(table.as_str().unwrap_or_default());
                Ok(Constraint::Reference(Reference { table, kind }))
            }
            AtomicType::Boolean => Ok(Constraint::Any),
        }
    }

    /// `<base-type>` in its shortest form.
    #[must_use]
    pub fn to_json(&self) -> Value {
        if self.constraint == Constraint::Any {
            return Value::from(self.kind.name());
        }
        let mut map = Map::new();
        map.insert("type".into(), Value::from(self.kind.name()));
        match &self.constraint {
            Constraint::Any => {}
            Constraint::Enum(values) => {
                map.insert("enum".into(), values.to_json(false));
            }
            Constraint::Integer(low, high) => {
                if *low != i64::MIN {
                    map.insert("minInteger".into(), Value::from(*low));
                }
                if *high != i64::MAX {
                    map.insert("maxInteger".into(), Value::from(*high));
                }
            }
            Constraint::Real(low, high) => {
                if low.is_finite() {
                    map.insert("minReal".into(), Value::from(*low));
                }
                if high.is_finite() {
                    map.insert("maxReal".into(), Value::from(*high));
                }
            }
            Constraint::Length(low, high) => {
                if *low != 0 {
                    map.insert("minLength".into(), Value::from(*low));
                }
                if *high != UNLIMITED {
                    map.insert("maxLength".into(), Value::from(*high));
                }
            }
            Constraint::Reference(reference) => {
                map.insert("refTable".into(), Value::from(&*reference.table));
                if reference.kind == RefType::Weak {
                    map.insert("refType".into(), Value::from("weak"));
                }
            }
        }
        crate::turn::object_in_turn(map)
    }

    /// Checks one atom against the constraint.
    pub fn check(&self, atom: &Atom) -> Result<()> {
        match (&self.constraint, atom) {
            (Constraint::Enum(values), _) if !values.contains_key(atom) => Err(OvsdbError::constraint(format!(
                "{} is not one of the allowed values ({})",
                atom.to_cli_string(),
                values.to_cli_string(&Type::set_of(self.kind))
            ))),
            (Constraint::Integer(low, high), Atom::Integer(i)) => {
                check_range(*i, (*low, *low != i64::MIN), (*high, *high != i64::MAX), i64::to_string)
            }
            (Constraint::Real(low, high), Atom::Real(r)) => {
                check_range(*r, (*low, low.is_finite()), (*high, high.is_finite()), |r| {
                    let mut out = String::new();
                    format_g(&mut out, *r, 15);
                    out
                })
            }
            (Constraint::Length(low, high), Atom::String(s)) => {
                let length = s.chars().count();
                let fault = if length < *low as usize {
                    format!("less than minimum allowed length {low}")
                } else if length > *high as usize {
                    format!("greater than maximum allowed length {high}")
                } else {
                    return Ok(());
                };
                Err(OvsdbError::constraint(format!("\"{s}\" length {length} is {fault}")))
            }
            _ => Ok(()),
        }
    }
}

fn check_range<T: PartialOrd + Copy>(
    value: T,
    (low, has_low): (T, bool),
    (high, has_high): (T, bool),
    show: impl Fn(&T) -> String,
) -> Result<()> {
    if value >= low && value <= high {
        return Ok(());
    }
    let (value, low, high) = (show(&value), show(&low), show(&high));
    Err(OvsdbError::constraint(match (has_low, has_high) {
        (true, true) => {
            format!("{value} is not in the valid range {low} to {high} (inclusive)")
        }
        (true, false) => format!("{value} is less than minimum allowed value {low}"),
        _ => format!("{value} is greater than maximum allowed value {high}"),
    }))
}

fn length_member(members: &mut Members<'_>, name: &'static str) -> Result<Option<u32>> {
    let Some(json) = members.optional(name, Kinds::INTEGER) else { return Ok(None) };
    let n = as_integer(json).unwrap_or(-1);
    u32::try_from(n)
        .map(Some)
        .map_err(|_| OvsdbError::syntax_in(json, format!("{name} out of valid range 0 to {UNLIMITED}")))
}

/// The integer that a JSON number denotes.
pub(crate) fn as_integer(json: &Value) -> Option<i64> {
    match json {
        Value::Number(n) => n.as_i64(),
        _ => None,
    }
}

/// No bound on the number of elements or characters.
pub const UNLIMITED: u32 = u32::MAX;

/// `<type>`: a set of keys, or a map from keys to values.
#[derive(Debug, Clone, PartialEq)]
pub struct Type {
    /// Of elements, or of keys.
    pub key: BaseType,
    /// Of values; a map has it.
    pub value: Option<BaseType>,
    /// Fewest elements: 0 or 1.
    pub n_min: u32,
    /// Most elements, [`UNLIMITED`] for any number.
    pub n_max: u32,
}

impl Type {
    /// Exactly one atom.
    #[must_use]
    pub fn scalar(kind: AtomicType) -> Self {
        Type { key: BaseType::plain(kind), value: None, n_min: 1, n_max: 1 }
    }

    /// Any number of atoms.
    #[must_use]
    pub fn set_of(kind: AtomicType) -> Self {
        Type { key: BaseType::plain(kind), value: None, n_min: 0, n_max: UNLIMITED }
    }

    /// Whether it is a map.
    #[must_use]
    pub fn is_map(&self) -> bool {
        self.value.is_some()
    }

    /// Whether it is exactly one atom.
    #[must_use]
    pub fn is_scalar(&self) -> bool {
        self.n_min == 1 && self.n_max == 1 && !self.is_map()
    }

    /// Whether it is a set of at most one atom, and not a scalar.
    #[must_use]
    pub fn is_optional_scalar(&self) -> bool {
        self.n_min == 0 && self.n_max == 1 && !self.is_map()
    }

    /// Whether it can hold more than one element: only then is a change told as a difference.
    #[must_use]
    pub fn is_composite(&self) -> bool {
        self.n_max > 1
    }

    /// Both base types.
    pub fn bases(&self) -> impl Iterator<Item = &BaseType> {
        std::iter::once(&self.key).chain(&self.value)
    }

    /// Whether a strong reference lies in it.
    #[must_use]
    pub fn has_strong(&self) -> bool {
        self.strong_tables().next().is_some()
    }

    /// Tables whose rows the strong references in it keep alive.
    pub fn strong_tables(&self) -> impl Iterator<Item = &Arc<str>> {
        self.bases().filter_map(BaseType::reference).filter(|r| r.kind == RefType::Strong).map(|r| &r.table)
    }

    /// Whether a weak reference lies in it.
    #[must_use]
    pub fn has_weak(&self) -> bool {
        self.bases().any(|b| b.reference().is_some_and(|r| r.kind == RefType::Weak))
    }

    /// Reads `<type>`.
    pub fn from_json(json: &Value) -> Result<Self> {
        if json.is_string() {
            let key = BaseType::from_json(json)?;
            return Ok(Type { key, value: None, n_min: 1, n_max: 1 });
        }
        if !json.is_object() {
            return Err(OvsdbError::syntax_in(json, "ovsdb type expected"));
        }
        let mut members = Members::new(json, "ovsdb type");
        let base = Kinds::STRING.or(Kinds::OBJECT);
        let key = members.required("key", base);
        let value = members.optional("value", base);
        let min = members.optional("min", Kinds::INTEGER);
        let max = members.optional("max", Kinds::INTEGER.or(Kinds::STRING));
        members.finish()?;
        let key = BaseType::from_json(key.unwrap_or(&Value::Null))?;
        let value = value.map(BaseType::from_json).transpose()?;
        let n_min = min.map_or(Ok(1), count_from_json)?;
        let n_max = max.map_or(Ok(1), count_from_json)?;
        if n_min > 1 || n_max < 1 {
            let text = "ovsdb type fails constraint checks";
            return Err(OvsdbError::syntax_in(json, text));
        }
        Ok(Type { key, value, n_min, n_max })
    }

    /// `<type>` in its shortest form.
    #[must_use]
    pub fn to_json(&self) -> Value {
        if self.is_scalar() && self.key.constraint == Constraint::Any {
            return self.key.to_json();
        }
        let mut map = Map::new();
        map.insert("key".into(), self.key.to_json());
        if let Some(value) = &self.value {
            map.insert("value".into(), value.to_json());
        }
        if self.n_min != 1 {
            map.insert("min".into(), Value::from(self.n_min));
        }
        if self.n_max == UNLIMITED {
            map.insert("max".into(), Value::from("unlimited"));
        } else if self.n_max != 1 {
            map.insert("max".into(), Value::from(self.n_max));
        }
        crate::turn::object_in_turn(map)
    }

    /// The type in words, as errors name it.
    #[must_use]
    pub fn to_english(&self) -> String {
        let key = self.key.kind.name();
        if self.is_scalar() {
            return key.to_owned();
        }
        let shape = if self.is_map() { "map" } else { "set" };
        let count = match (self.n_min, self.n_max) {
            (0, UNLIMITED) => " of".to_owned(),
            (min, UNLIMITED) => format!(" of {min} or more"),
            (0, max) => format!(" of up to {max}"),
            (min, max) => format!(" of {min} to {max}"),
        };
        match &self.value {
            Some(value) => format!("{shape}{count} ({key}, {}) pairs", value.kind.name()),
            None => format!("{shape}{count} {key}s"),
        }
    }
}

fn count_from_json(json: &Value) -> Result<u32> {
    let count = match json {
        Value::String(s) if s == "unlimited" => Some(UNLIMITED),
        _ => as_integer(json).and_then(|n| u32::try_from(n).ok()).filter(|n| *n != UNLIMITED),
    };
    count.ok_or_else(|| OvsdbError::syntax_in(json, "bad min or max value"))
}
