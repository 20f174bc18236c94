//! `set`, `add`, `remove` and `clear`.

use super::assignment::{ASSIGN, check_mutable, parse};
use super::{assignment, need_rows, record, table_of};
use crate::context::Context;
use crate::line::Line;
use crate::need::{Need, find_column};
use crate::{Outcome, fail};
use ovsdb::{Datum, Type};

pub(super) fn need_set(need: &mut Need<'_>, line: &Line) -> Outcome<()> {
    let table = need_rows(need, line)?;
    line.args[2..].iter().try_for_each(|arg| assignment::need(need, &table, arg, false))
}

pub(super) fn need_one(need: &mut Need<'_>, line: &Line) -> Outcome<()> {
    let table = need_rows(need, line)?;
    let column = find_column(&table, line.arg(2), false)?;
    need.column(&table.name, &column.name);
    Ok(())
}

pub(super) fn need_clear(need: &mut Need<'_>, line: &Line) -> Outcome<()> {
    let table = need_rows(need, line)?;
    for arg in &line.args[2..] {
        let column = find_column(&table, arg, false)?;
        need.column(&table.name, &column.name);
    }
    Ok(())
}

pub(super) fn set(ctx: &mut Context<'_>, line: &mut Line) -> Outcome<()> {
    let table = table_of(ctx, line)?;
    let Some(row) = record::of_line(ctx, &table, line)? else { return Ok(()) };
    for arg in &line.args[2..] {
        parse(&table, arg, ASSIGN, false)?;
        assignment::apply(ctx, &table.name, row, arg)?;
    }
    Ok(())
}

pub(super) fn add(ctx: &mut Context<'_>, line: &mut Line) -> Outcome<()> {
    let table = table_of(ctx, line)?;
    let column = find_column(&table, line.arg(2), false)?.clone();
    let Some(row) = record::of_line(ctx, &table, line)? else { return Ok(()) };
    check_mutable(ctx, &table.name, row, &column)?;
    let ty = Type { n_min: 1, n_max: u32::MAX, ..column.ty.clone() };
    for arg in &line.args[3..] {
        let elements = ctx.parse(arg, &ty)?;
        ctx.txn.insert_into(&table.name, row, &column.name, &elements);
    }
    Ok(())
}

pub(super) fn remove(ctx: &mut Context<'_>, line: &mut Line) -> Outcome<()> {
    let table = table_of(ctx, line)?;
    let column = find_column(&table, line.arg(2), false)?.clone();
    let Some(row) = record::of_line(ctx, &table, line)? else { return Ok(()) };
    check_mutable(ctx, &table.name, row, &column)?;
    let ty = Type { n_min: 1, n_max: u32::MAX, ..column.ty.clone() };
    let keys = Type { value: None, ..ty.clone() };
    let mut value = ctx.txn.get(&table.name, row, &column.name).clone();
    for arg in &line.args[3..] {
        let elements = match ctx.parse(arg, &ty) {
            Err(_) if ty.is_map() => ctx.parse(arg, &keys)?,
            other => other?,
        };
        value = value.subtract(&elements);
    }
    let (n, least) = (value.len(), column.ty.n_min);
    if n < least as usize {
        let what = if ty.is_map() { "pairs" } else { "values" };
        return fail(format!(
            "\"remove\" operation would put {n} {what} in column {} of table {} but the minimum number is {least}",
            column.name, table.name
        ));
    }
    ctx.txn.verify(&table.name, row, &column.name);
    ctx.txn.set(&table.name, row, &column.name, value);
    Ok(())
}

pub(super) fn clear(ctx: &mut Context<'_>, line: &mut Line) -> Outcome<()> {
    let table = table_of(ctx, line)?;
    let Some(row) = record::of_line(ctx, &table, line)? else { return Ok(()) };
    for arg in &line.args[2..] {
        let column = find_column(&table, arg, false)?.clone();
        check_mutable(ctx, &table.name, row, &column)?;
        if column.ty.n_min > 0 {
            return fail(format!(
                "\"clear\" operation cannot be applied to column {} of table {}, which is not allowed to be empty",
                column.name, table.name
            ));
        }
        ctx.txn.set(&table.name, row, &column.name, Datum::empty());
    }
    Ok(())
}
