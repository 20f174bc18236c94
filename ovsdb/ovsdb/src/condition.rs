//! `<condition>`s (RFC 7047 section 5.1 and ovsdb-server(7) section 5.1): reading and judging.

use serde_json::Value;

use crate::datum::Datum;
use crate::error::{OvsdbError, Result};
use crate::row::Row;
use crate::schema::{COLUMN_UUID, TableSchema};
use crate::symbols::SymbolTable;
use crate::types::{AtomicType, Type, UNLIMITED};
use crate::uuid::Uuid;

/// `<function>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Function {
    /// `<`
    Less,
    /// `<=`
    LessEqual,
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `>=`
    GreaterEqual,
    /// `>`
    Greater,
    /// `includes`
    Includes,
    /// `excludes`
    Excludes,
}

impl Function {
    /// The function with this name.
    pub fn from_name(name: &str) -> Result<Self> {
        Ok(match name {
            "<" => Function::Less,
            "<=" => Function::LessEqual,
            "==" => Function::Equal,
            "!=" => Function::NotEqual,
            ">=" => Function::GreaterEqual,
            ">" => Function::Greater,
            "includes" => Function::Includes,
            "excludes" => Function::Excludes,
            _ => {
                let details = format!("No function named {name}.");
                return Err(OvsdbError::new("unknown function", details));
            }
        })
    }
}

/// One clause.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Clause {
    /// Always true, or always false.
    Constant(bool),
    /// A comparison of a column with a value.
    Compare(usize, Function, Datum),
}

impl Clause {
    /// Reads one clause.
    pub fn from_json(json: &Value, table: &TableSchema, symbols: Option<&mut SymbolTable<'_>>) -> Result<Self> {
        if let Value::Bool(constant) = json {
            return Ok(Clause::Constant(*constant));
        }
        let Some([Value::String(name), Value::String(function), value]) = json.as_array().map(Vec::as_slice) else {
            return Err(OvsdbError::syntax_in(json, "Parse error in condition."));
        };
        let Some(column) = table.column_index(name) else {
            let details = format!("No column {name} in table {}.", table.name);
            return Err(OvsdbError::new("unknown column", details).within(json));
        };
        let spec = &table.columns[column];
        let kind = Function::from_name(function)?;
        let mut ty: Type = spec.ty.clone();
        match kind {
            Function::Less | Function::LessEqual | Function::GreaterEqual | Function::Greater => {
                let numeric = matches!(ty.key.kind, AtomicType::Integer | AtomicType::Real);
                if !numeric || !(ty.is_scalar() || ty.is_optional_scalar()) {
                    let details = format!(
                        "Type mismatch: \"{function}\" operator may not be applied to column \
                         {name} of type {}.",
                        ty.to_english()
                    );
                    return Err(OvsdbError::syntax_in(json, details));
                }
                ty.n_min = 1;
            }
            Function::Includes if !ty.is_scalar() => ty.n_min = 0,
            Function::Excludes if !ty.is_scalar() => {
                ty.n_min = 0;
                ty.n_max = UNLIMITED;
            }
            _ => {}
        }
        let value = Datum::from_json(value, &ty, symbols)?;
        Ok(Clause::Compare(column, kind, value))
    }

    /// Whether the clause is true of `row`.
    #[must_use]
    pub fn matches(&self, row: &Row) -> bool {
        let (column, function, value) = match self {
            Clause::Constant(constant) => return *constant,
            Clause::Compare(column, function, value) => (*column, *function, value),
        };
        let field = row.get(column);
        match function {
            Function::Equal => *field == *value,
            Function::NotEqual => *field != *value,
            Function::Includes => field.includes_all(value),
            Function::Excludes => field.excludes_all(value),
            _ => match (field.single(), value.single()) {
                (Some(a), Some(b)) => match function {
                    Function::Less => a < b,
                    Function::LessEqual => a <= b,
                    Function::Greater => a > b,
                    _ => a >= b,
                },
                _ => false,
            },
        }
    }
}

/// A list of clauses: all of them in a transaction, any of them in a monitor.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Condition {
    /// The clauses in the request's order.
    pub clauses: Vec<Clause>,
}

impl Condition {
    /// Reads `[<condition>*]`.
    pub fn from_json(json: &Value, table: &TableSchema, mut symbols: Option<&mut SymbolTable<'_>>) -> Result<Self> {
        let items = match json {
            Value::Array(items) => items.as_slice(),
            _ => std::slice::from_ref(json),
        };
        let clauses =
            items.iter().map(|item| Clause::from_json(item, table, symbols.as_deref_mut())).collect::<Result<_>>()?;
        Ok(Condition { clauses })
    }

    /// Whether every clause is true of `row`.
    #[must_use]
    pub fn matches_all(&self, row: &Row) -> bool {
        self.clauses.iter().all(|clause| clause.matches(row))
    }

    /// Whether some clause is true of `row`, or there is none.
    #[must_use]
    pub fn matches_any(&self, row: &Row) -> bool {
        self.clauses.is_empty() || self.clauses.iter().any(|clause| clause.matches(row))
    }

    /// The one row that can match, where a clause names it by `_uuid`.
    #[must_use]
    pub fn only_uuid(&self) -> Option<Uuid> {
        self.clauses.iter().find_map(|clause| match clause {
            Clause::Compare(COLUMN_UUID, Function::Equal | Function::Includes, value) => value.as_uuid(),
            _ => None,
        })
    }

    /// The columns that the clauses look at.
    pub fn columns(&self) -> impl Iterator<Item = usize> {
        self.clauses.iter().filter_map(|clause| match clause {
            Clause::Compare(column, _, _) => Some(*column),
            Clause::Constant(_) => None,
        })
    }

    /// The columns with the values that `==` clauses ask for: what an index can find.
    pub fn equalities(&self) -> impl Iterator<Item = (usize, &Datum)> {
        self.clauses.iter().filter_map(|clause| match clause {
            Clause::Compare(column, Function::Equal, value) => Some((*column, value)),
            _ => None,
        })
    }
}
