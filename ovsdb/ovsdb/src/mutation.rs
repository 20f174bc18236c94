//! `<mutation>`s (RFC 7047 section 5.1): reading and applying.

use serde_json::Value;

use crate::atom::Atom;
use crate::datum::{Datum, Duplicate};
use crate::error::{OvsdbError, Result};
use crate::schema::TableSchema;
use crate::symbols::SymbolTable;
use crate::types::{AtomicType, BaseType, Type, UNLIMITED};

/// `<mutator>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutator {
    /// `+=`
    Add,
    /// `-=`
    Subtract,
    /// `*=`
    Multiply,
    /// `/=`
    Divide,
    /// `%=`
    Modulo,
    /// `insert`
    Insert,
    /// `delete`
    Delete,
}

impl Mutator {
    fn from_name(name: &str) -> Result<Self> {
        Ok(match name {
            "+=" => Mutator::Add,
            "-=" => Mutator::Subtract,
            "*=" => Mutator::Multiply,
            "/=" => Mutator::Divide,
            "%=" => Mutator::Modulo,
            "insert" => Mutator::Insert,
            "delete" => Mutator::Delete,
            _ => {
                let details = format!("No mutator named {name}.");
                return Err(OvsdbError::new("unknown mutator", details));
            }
        })
    }

    fn name(self) -> &'static str {
        match self {
            Mutator::Add => "+=",
            Mutator::Subtract => "-=",
            Mutator::Multiply => "*=",
            Mutator::Divide => "/=",
            Mutator::Modulo => "%=",
            Mutator::Insert => "insert",
            Mutator::Delete => "delete",
        }
    }
}

/// One change of one column.
#[derive(Debug, Clone)]
pub struct Mutation {
    /// Index of the column.
    pub column: usize,
    /// What is done to it.
    pub mutator: Mutator,
    /// With what.
    pub argument: Datum,
}

impl Mutation {
    /// Reads `[<column>, <mutator>, <value>]`.
    pub fn from_json(json: &Value, table: &TableSchema, mut symbols: Option<&mut SymbolTable<'_>>) -> Result<Self> {
        let Some([Value::String(name), Value::String(mutator_name), value]) = json.as_array().map(Vec::as_slice) else {
            return Err(OvsdbError::syntax_in(json, "Parse error in mutation."));
        };
        let Some(column) = table.column_index(name) else {
            let details = format!("No column {name} in table {}.", table.name);
            return Err(OvsdbError::new("unknown column", details).within(json));
        };
        let spec = &table.columns[column];
        if !spec.mutable {
            let details = format!("Cannot mutate immutable column {name} in table {}.", table.name);
            return Err(OvsdbError::constraint(details).within(json));
        }
        let mutator = Mutator::from_name(mutator_name)?;
        let mut ty: Type = spec.ty.clone();
        let mismatch = |ty: &Type| {
            let details = format!(
                "Type mismatch: \"{mutator_name}\" operator may not be applied to column {name} \
                 of type {}.",
                ty.to_english()
            );
            OvsdbError::syntax_in(json, details)
        };
        let argument = match mutator {
            Mutator::Insert | Mutator::Delete => {
                if ty.is_scalar() {
                    return Err(mismatch(&ty));
                }
                ty.n_min = 0;
                if mutator == Mutator::Delete {
                    ty.n_max = UNLIMITED;
                }
                let first = Datum::from_json(value, &ty, symbols.as_deref_mut());
                if first.is_err() && ty.is_map() && mutator == Mutator::Delete {
                    // A set of keys will do.
                    ty.value = None;
                    Datum::from_json(value, &ty, symbols)?
                } else {
                    first?
                }
            }
            _ => {
                let numeric = matches!(ty.key.kind, AtomicType::Integer | AtomicType::Real);
                let real_modulo = mutator == Mutator::Modulo && ty.key.kind == AtomicType::Real;
                if ty.is_map() || !numeric || real_modulo {
                    return Err(mismatch(&ty));
                }
                let scalar = Type::scalar(ty.key.kind);
                Datum::from_json(value, &scalar, symbols)?
            }
        };
        Ok(Mutation { column, mutator, argument })
    }

    /// The new value of the column.
    pub fn apply(&self, old: &Datum, ty: &Type) -> Result<Datum> {
        match self.mutator {
            Mutator::Insert => {
                let new = old.union(&self.argument, false);
                check_count(&new, ty)?;
                Ok(new)
            }
            Mutator::Delete => {
                let new = old.subtract(&self.argument);
                check_count(&new, ty)?;
                Ok(new)
            }
            _ => {
                let Some(operand) = self.argument.single() else { return Ok(old.clone()) };
                let atoms = old
                    .atoms()
                    .iter()
                    .map(|atom| self.arithmetic(atom, operand, &ty.key))
                    .collect::<Result<Vec<Atom>>>()?;
                Datum::distinct_set(atoms).map_err(|Duplicate| {
                    OvsdbError::constraint(format!(
                        "Result of \"{}\" operation contains duplicates.",
                        self.mutator.name()
                    ))
                })
            }
        }
    }

    fn arithmetic(&self, atom: &Atom, operand: &Atom, base: &BaseType) -> Result<Atom> {
        let out_of_range = || {
            let name = self.mutator.name();
            let details = format!("Result of \"{name}\" operation is out of range.");
            OvsdbError::new("range error", details)
        };
        let by_zero = || OvsdbError::new("domain error", "Division by zero.");
        let divides = matches!(self.mutator, Mutator::Divide | Mutator::Modulo);
        let result = match (atom, operand) {
            (Atom::Integer(a), Atom::Integer(b)) => {
                if divides && *b == 0 {
                    return Err(by_zero());
                }
                let result = match self.mutator {
                    Mutator::Add => a.checked_add(*b),
                    Mutator::Subtract => a.checked_sub(*b),
                    // Open vSwitch lets this one overflow wrap around.
                    Mutator::Multiply if (*a, *b) == (i64::MIN, -1) => Some(*a),
                    Mutator::Multiply => a.checked_mul(*b),
                    Mutator::Divide => a.checked_div(*b),
                    _ => a.checked_rem(*b),
                };
                Atom::Integer(result.ok_or_else(out_of_range)?)
            }
            (Atom::Real(a), Atom::Real(b)) => {
                if divides && *b == 0.0 {
                    return Err(by_zero());
                }
                let result = match self.mutator {
                    Mutator::Add => a + b,
                    Mutator::Subtract => a - b,
                    Mutator::Multiply => a * b,
                    _ => a / b,
                };
                if !result.is_finite() {
                    return Err(out_of_range());
                }
                Atom::Real(result)
            }
            _ => return Ok(atom.clone()),
        };
        base.check(&result)?;
        Ok(result)
    }
}

fn check_count(new: &Datum, ty: &Type) -> Result<()> {
    if new.len() < ty.n_min as usize || new.len() > ty.n_max as usize {
        let details = format!("Attempted to store {} elements in {}.", new.len(), ty.to_english());
        return Err(OvsdbError::constraint(details));
    }
    Ok(())
}
