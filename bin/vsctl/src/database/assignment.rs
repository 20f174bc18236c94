//! `COLUMN[:KEY]=VALUE` and its relatives.

use crate::context::Context;
use crate::need::{Need, find_column};
use crate::{Outcome, fail};
use ovsdb::cli::take_token;
use ovsdb::{Atom, ColumnSchema, Datum, TableSchema, Type, Uuid};
use std::sync::Arc;

/// An argument taken apart.
#[derive(Clone, Debug)]
pub(crate) struct Term {
    pub column: Arc<ColumnSchema>,
    pub key: Option<String>,
    /// The operator and the value, if operators were looked for.
    pub test: Option<(&'static str, String)>,
}

/// The operators of `set`.
pub(crate) const ASSIGN: &[&str] = &["="];
/// The operators of `find` and `wait-until`.
pub(crate) const RELATIONS: &[&str] =
    &["=", "!=", "<", ">", "<=", ">=", "{=}", "{!=}", "{<}", "{>}", "{<=}", "{>=}", "{in}", "{not-in}"];

/// The column that `arg` begins with, and what follows it.
fn leading_column<'a>(table: &TableSchema, arg: &'a str, with_uuid: bool) -> Outcome<(Arc<ColumnSchema>, &'a str)> {
    let (name, rest) = take_token(arg)?;
    if name.is_empty() {
        return fail(format!("{arg}: missing column name"));
    }
    Ok((find_column(table, &name, with_uuid)?.clone(), rest))
}

/// Takes `arg` apart. With `operators`, one of them and a value must follow; without, nothing may.
pub(crate) fn parse(table: &TableSchema, arg: &str, operators: &[&'static str], with_uuid: bool) -> Outcome<Term> {
    let (column, mut rest) = leading_column(table, arg, with_uuid)?;
    let mut key = None;
    if let Some(after) = rest.strip_prefix(':') {
        let (token, after) = take_token(after)?;
        key = Some(token.to_string());
        rest = after;
    }
    if operators.is_empty() {
        if !rest.is_empty() {
            return fail(format!("{arg}: trailing garbage \"{rest}\" in argument"));
        }
        return Ok(Term { column, key, test: None });
    }
    let operator =
        operators.iter().filter(|op| rest.len() > op.len() && rest.starts_with(**op)).max_by_key(|op| op.len());
    match operator {
        Some(operator) => Ok(Term { column, key, test: Some((operator, rest[operator.len()..].to_string())) }),
        None => fail(format!("{arg}: argument does not end in {} followed by a value.", list(operators))),
    }
}

fn list(operators: &[&str]) -> String {
    let quoted: Vec<String> = operators.iter().map(|op| format!("\"{op}\"")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{}, or {last}", rest.join(", ")),
        _ => quoted.concat(),
    }
}

/// Needs the column that `arg` begins with. What follows it is judged when the command is carried out.
pub(crate) fn need(need: &mut Need<'_>, table: &TableSchema, arg: &str, with_uuid: bool) -> Outcome<()> {
    let (column, _) = leading_column(table, arg, with_uuid)?;
    need.column(&table.name, &column.name);
    Ok(())
}

/// Refuses to write a column that may not change in a row that is there already.
pub(crate) fn check_mutable(ctx: &Context<'_>, table: &str, row: Uuid, column: &ColumnSchema) -> Outcome<()> {
    if column.mutable || ctx.txn.is_inserted(row) {
        return Ok(());
    }
    fail(format!("cannot modify read-only column {} in table {table}", column.name))
}

/// Carries out an assignment.
pub(crate) fn apply(ctx: &mut Context<'_>, table: &str, row: Uuid, arg: &str) -> Outcome<()> {
    let Some(schema) = ctx.txn.replica().schema().table(table).cloned() else {
        return fail(format!("unknown table \"{table}\""));
    };
    let Term { column, key, test } = parse(&schema, arg, ASSIGN, false)?;
    let value = test.map(|(_, value)| value).unwrap_or_default();
    check_mutable(ctx, table, row, &column)?;
    let Some(key) = key else {
        let datum = ctx.parse(&value, &column.ty)?;
        ctx.txn.set(table, row, &column.name, datum);
        return Ok(());
    };
    let Some(value_base) = &column.ty.value else {
        return fail(format!("cannot specify key to set for non-map column {}", column.name));
    };
    let key = parse_atom(ctx, &key, &column.ty.key)?;
    let value = parse_atom(ctx, &value, value_base)?;
    ctx.txn.insert_into(table, row, &column.name, &Datum::map([(key, value)]));
    Ok(())
}

/// Reads one atom, noting what row to be it refers to.
pub(crate) fn parse_atom(ctx: &mut Context<'_>, text: &str, base: &ovsdb::BaseType) -> Outcome<Atom> {
    let ty = Type { key: base.clone(), value: None, n_min: 1, n_max: 1 };
    let atom = Atom::parse_cli(text, base, Some(&mut ctx.symbols))?;
    // Through the same door as whole values, so that references are noted alike.
    if atom.as_uuid().is_some() {
        ctx.parse(text, &ty)?;
    }
    Ok(atom)
}
