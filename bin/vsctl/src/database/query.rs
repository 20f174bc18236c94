//! `list`, `find` and `get`.

use super::assignment::parse;
use super::{assignment, condition, need_rows, record, table_of};
use crate::context::Context;
use crate::line::Line;
use crate::need::{Need, find_column};
use crate::{Outcome, fail};
use cli::table::{Cell, Table};
use idl::Row;
use ovsdb::{Atom, ColumnSchema, TableSchema};
use std::sync::Arc;

/// The columns that `--columns` names, else all: `_uuid`, then the others by name.
fn columns_of(table: &TableSchema, line: &Line) -> Outcome<Vec<Arc<ColumnSchema>>> {
    let Some(list) = line.value("--columns") else {
        let all = table.columns.iter().filter(|column| &*column.name != "_version");
        return Ok(all.cloned().collect());
    };
    let mut columns = Vec::new();
    for name in list.split([',', ' ']).filter(|name| !name.is_empty()) {
        columns.push(find_column(table, name, true)?.clone());
    }
    if columns.is_empty() {
        return fail("must specify at least one column name");
    }
    Ok(columns)
}

fn need_columns(need: &mut Need<'_>, table: &TableSchema, line: &Line) -> Outcome<()> {
    for column in columns_of(table, line)? {
        need.column(&table.name, &column.name);
    }
    Ok(())
}

pub(super) fn need_list(need: &mut Need<'_>, line: &Line) -> Outcome<()> {
    let table = need_rows(need, line)?;
    need_columns(need, &table, line)
}

pub(super) fn need_find(need: &mut Need<'_>, line: &Line) -> Outcome<()> {
    let table = need_rows(need, line)?;
    need_columns(need, &table, line)?;
    line.args[1..].iter().try_for_each(|arg| assignment::need(need, &table, arg, false))
}

pub(super) fn need_get(need: &mut Need<'_>, line: &Line) -> Outcome<()> {
    let table = need_rows(need, line)?;
    // `_uuid` alone is in every table.
    let own = line.args[2..].iter().filter(|arg| !arg.eq_ignore_ascii_case("_uuid"));
    own.into_iter().try_for_each(|arg| assignment::need(need, &table, arg, false))
}

fn cells(row: &Row, columns: &[Arc<ColumnSchema>]) -> Vec<Cell> {
    columns.iter().map(|column| Cell::Datum(row.datum(&column.name).clone(), column.ty.clone())).collect()
}

pub(super) fn list(ctx: &mut Context<'_>, line: &mut Line) -> Outcome<()> {
    let table = table_of(ctx, line)?;
    let columns = columns_of(&table, line)?;
    let mut out = Table::new(columns.iter().map(|column| &*column.name));
    if line.args.len() == 1 {
        out.rows = ctx.txn.rows(&table.name).into_iter().map(|row| cells(row, &columns)).collect();
    }
    for id in &line.args[1..] {
        let uuid = match record::find(ctx, &table, id)? {
            Some(uuid) => uuid,
            None if line.has("--if-exists") => continue,
            None => record::find_or_fail(ctx, &table, id)?,
        };
        if let Some(row) = ctx.txn.row(&table.name, uuid) {
            out.rows.push(cells(row, &columns));
        }
    }
    line.table = Some(out);
    Ok(())
}

pub(super) fn find(ctx: &mut Context<'_>, line: &mut Line) -> Outcome<()> {
    let table = table_of(ctx, line)?;
    let columns = columns_of(&table, line)?;
    let mut out = Table::new(columns.iter().map(|column| &*column.name));
    let rows: Vec<Row> = ctx.txn.rows(&table.name).into_iter().cloned().collect();
    for row in rows {
        let mut all = true;
        for arg in &line.args[1..] {
            if !condition::holds(ctx, &table, &row, arg)? {
                all = false;
                break;
            }
        }
        if all {
            out.rows.push(cells(&row, &columns));
        }
    }
    line.table = Some(out);
    Ok(())
}

pub(super) fn get(ctx: &mut Context<'_>, line: &mut Line) -> Outcome<()> {
    if line.has("--id") && line.has("--if-exists") {
        return fail("--if-exists and --id may not be specified together");
    }
    let table = table_of(ctx, line)?;
    let Some(uuid) = record::of_line(ctx, &table, line)? else { return Ok(()) };
    if let Some(id) = line.value("--id") {
        name_row(ctx, id, uuid)?;
    }
    let args = line.args.clone();
    for arg in &args[2..] {
        let term = parse(&table, arg, &[], true)?;
        ctx.txn.verify(&table.name, uuid, &term.column.name);
        let datum = ctx.txn.get(&table.name, uuid, &term.column.name).clone();
        let Some(key) = term.key else {
            line.say(&datum.to_cli_string(&term.column.ty));
            continue;
        };
        if !term.column.is_map() {
            return fail(format!("cannot specify key to get for non-map column {}", term.column.name));
        }
        let atom = Atom::parse_cli(&key, &term.column.ty.key, Some(&mut ctx.symbols))?;
        match datum.get(&atom) {
            Some(value) => line.say(&value.to_cli_string()),
            None if line.has("--if-exists") => line.say(""),
            None => {
                return fail(format!(
                    "no key \"{key}\" in {} record \"{}\" column {}",
                    table.name,
                    line.arg(1),
                    term.column.name
                ));
            }
        }
    }
    Ok(())
}

/// Lets `--id=@NAME` stand for a row that is there.
fn name_row(ctx: &mut Context<'_>, id: &str, uuid: ovsdb::Uuid) -> Outcome<()> {
    if ctx.symbols.get(id).is_some_and(|symbol| !symbol.created) {
        return fail(format!("row id \"{id}\" specified on \"get\" command was used before it was defined"));
    }
    super::create::check_id(ctx, id)?;
    let symbol = ctx.symbols.entry(id);
    symbol.uuid = uuid;
    symbol.created = true;
    // The row is there, so it needs no reference to stay.
    symbol.strong_ref = true;
    Ok(())
}
