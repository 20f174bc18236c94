//! `COLUMN[:KEY] OPERATOR VALUE` as a condition on rows.

use super::assignment::{RELATIONS, Term, parse};
use crate::context::Context;
use crate::{Outcome, fail};
use idl::Row;
use ovsdb::{Atom, Datum, TableSchema, Type};
use std::cmp::Ordering;

/// Whether an operator compares sets as such.
fn is_set_operator(operator: &str) -> bool {
    operator.starts_with('{')
}

/// Compares as the arithmetic operators do: fewer elements are less, then keys in order, then values.
fn compare(a: &Datum, b: &Datum) -> Ordering {
    a.len()
        .cmp(&b.len())
        .then_with(|| a.keys().cmp(b.keys()))
        .then_with(|| a.entries().map(|(_, v)| v).cmp(b.entries().map(|(_, v)| v)))
}

fn evaluate(a: &Datum, operator: &str, b: &Datum) -> bool {
    match operator {
        "=" | "{=}" => a == b,
        "!=" | "{!=}" => a != b,
        "<" => compare(a, b).is_lt(),
        ">" => compare(a, b).is_gt(),
        "<=" => compare(a, b).is_le(),
        ">=" => compare(a, b).is_ge(),
        "{<}" => a.len() < b.len() && b.includes_all(a),
        "{>}" => a.len() > b.len() && a.includes_all(b),
        "{<=}" | "{in}" => b.includes_all(a),
        "{>=}" => a.includes_all(b),
        _ => a.excludes_all(b),
    }
}

/// Whether the condition `arg` holds for `row`.
pub(crate) fn holds(ctx: &mut Context<'_>, table: &TableSchema, row: &Row, arg: &str) -> Outcome<bool> {
    let Term { column, key, test } = parse(table, arg, RELATIONS, true)?;
    let Some((operator, text)) = test else { return Ok(false) };
    let have = row.datum(&column.name);
    let Some(key) = key else {
        let wanted = Datum::parse_cli(&text, &column.ty, Some(&mut ctx.symbols))?;
        return Ok(evaluate(have, operator, &wanted));
    };
    let Some(value_base) = &column.ty.value else {
        return fail(format!("cannot specify key to check for non-map column {}", column.name));
    };
    let key = Atom::parse_cli(&key, &column.ty.key, Some(&mut ctx.symbols))?;
    // One value is compared with as many as are given.
    let ty = Type { key: value_base.clone(), value: None, n_min: 0, n_max: u32::MAX };
    let wanted = Datum::parse_cli(&text, &ty, Some(&mut ctx.symbols))?;
    let value = have.get(&key);
    if value.is_none() && !is_set_operator(operator) {
        return Ok(false);
    }
    let value = value.map_or_else(Datum::empty, |value| Datum::one(value.clone()));
    Ok(evaluate(&value, operator, &wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators() {
        let set = |items: &[i64]| Datum::set(items.iter().map(|i| Atom::Integer(*i)));
        for (a, operator, b, expect) in [
            (&[1][..], "=", &[1][..], true),
            (&[1], "<", &[2], true),
            (&[5], "<", &[1, 2], true),
            (&[1, 2], ">=", &[1, 2], true),
            (&[1, 3], ">", &[1, 2], true),
            (&[], "{<=}", &[1], true),
            (&[1], "{<}", &[1], false),
            (&[1, 2], "{>}", &[2], true),
            (&[1], "{in}", &[1, 2], true),
            (&[3], "{not-in}", &[1, 2], true),
            (&[1, 3], "{not-in}", &[1, 2], false),
            (&[1], "{!=}", &[1], false),
        ] {
            assert_eq!(evaluate(&set(a), operator, &set(b)), expect, "{a:?} {operator} {b:?}");
        }
    }
}
