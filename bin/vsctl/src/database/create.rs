//! `create` and `destroy`.

use super::{assignment, need_rows, record, table_of};
use crate::context::Context;
use crate::line::Line;
use crate::need::{Need, find_table};
use crate::{Outcome, fail};
use idl::Row;
use ovsdb::Uuid;

pub(super) fn need(need: &mut Need<'_>, line: &Line) -> Outcome<()> {
    let table = find_table(need.schema, line.arg(0))?.clone();
    need.table(&table.name);
    if !line.has("--id") && !table.is_root {
        vlog::warn!(
            "db_ctl_base",
            "applying \"create\" command to table {} without --id option will have no effect",
            table.name
        );
    }
    Ok(())
}

/// Checks a name that `--id` gives to a row.
pub(super) fn check_id(ctx: &Context<'_>, id: &str) -> Outcome<()> {
    if !id.starts_with('@') {
        return fail(format!("row id \"{id}\" does not begin with \"@\""));
    }
    if ctx.symbols.get(id).is_some_and(|symbol| symbol.created) {
        return fail(format!("row id \"{id}\" may only be specified on one --id option"));
    }
    Ok(())
}

fn insert(ctx: &mut Context<'_>, table: &str, id: Option<&str>) -> Outcome<Uuid> {
    let inserted = match id {
        None => ctx.txn.insert(table),
        Some(id) => match Uuid::parse(id) {
            Some(uuid) => ctx.txn.insert_with_uuid(table, uuid).then_some(uuid),
            None => {
                check_id(ctx, id)?;
                let symbol = ctx.symbols.entry(id);
                symbol.created = true;
                let uuid = symbol.uuid;
                // Where rows live of themselves, nobody need refer to them.
                symbol.strong_ref = ctx.txn.replica().schema().table(table).is_some_and(|t| t.is_root);
                ctx.txn.insert_as(table, uuid).then_some(uuid)
            }
        },
    };
    match inserted {
        Some(uuid) => Ok(uuid),
        None => fail(format!("unknown table \"{table}\"")),
    }
}

pub(super) fn create(ctx: &mut Context<'_>, line: &mut Line) -> Outcome<()> {
    let table = table_of(ctx, line)?;
    let row = insert(ctx, &table.name, line.value("--id"))?;
    for arg in &line.args[1..] {
        assignment::apply(ctx, &table.name, row, arg)?;
    }
    line.created = Some(row);
    ctx.forget_topology();
    Ok(())
}

pub(super) fn need_destroy(need: &mut Need<'_>, line: &Line) -> Outcome<()> {
    need_rows(need, line)?;
    Ok(())
}

pub(super) fn destroy(ctx: &mut Context<'_>, line: &mut Line) -> Outcome<()> {
    if line.has("--all") && line.args.len() > 1 {
        return fail("--all and records argument should not be specified together");
    }
    if line.has("--all") && line.has("--if-exists") {
        return fail("--all and --if-exists should not be specified together");
    }
    let table = table_of(ctx, line)?;
    if line.has("--all") {
        let rows: Vec<Uuid> = ctx.txn.rows(&table.name).into_iter().map(Row::uuid).collect();
        rows.into_iter().for_each(|row| ctx.txn.delete(&table.name, row));
    } else if line.args.len() == 1 {
        vlog::warn!("db_ctl_base", "either --all or records argument should be specified");
    }
    for id in &line.args[1..] {
        let row = match record::find(ctx, &table, id)? {
            Some(row) => row,
            None if line.has("--if-exists") => continue,
            None => record::find_or_fail(ctx, &table, id)?,
        };
        ctx.txn.delete(&table.name, row);
    }
    ctx.forget_topology();
    Ok(())
}
