//! The database commands: rows of any table, by their UUIDs or names (ovs-vsctl(8), "Database Commands").

pub(crate) mod assignment;
mod condition;
mod create;
mod edit;
mod query;
pub(crate) mod record;
mod wait;

use crate::Outcome;
use crate::command::{Command, MANY};
use crate::context::Context;
use crate::line::Line;
use crate::need::{Need, find_table};
use ovsdb::TableSchema;
use std::sync::Arc;

pub(crate) const COMMANDS: &[Command] = &[
    Command::new("comment", (0, MANY), "*ARG", comment_need, comment).reads(),
    Command::new("list", (1, MANY), "!TABLE *RECORD", query::need_list, query::list)
        .reads()
        .options(&["--if-exists", "--columns="]),
    Command::new("find", (1, MANY), "!TABLE *COLUMN?:KEY=VALUE", query::need_find, query::find)
        .reads()
        .options(&["--columns="]),
    Command::new("get", (2, MANY), "!TABLE !RECORD *COLUMN?:KEY", query::need_get, query::get)
        .reads()
        .options(&["--if-exists", "--id="]),
    Command::new("set", (3, MANY), "!TABLE !RECORD +COLUMN?:KEY=VALUE", edit::need_set, edit::set)
        .options(&["--if-exists"]),
    Command::new("add", (4, MANY), "!TABLE !RECORD !COLUMN +?KEY=VALUE", edit::need_one, edit::add)
        .options(&["--if-exists"]),
    Command::new("remove", (4, MANY), "!TABLE !RECORD !COLUMN +KEY|VALUE|KEY=VALUE", edit::need_one, edit::remove)
        .options(&["--if-exists"]),
    Command::new("clear", (3, MANY), "!TABLE !RECORD +COLUMN", edit::need_clear, edit::clear).options(&["--if-exists"]),
    Command::new("create", (2, MANY), "!TABLE +COLUMN?:KEY=VALUE", create::need, create::create).options(&["--id="]),
    Command::new("destroy", (1, MANY), "!TABLE *RECORD", create::need_destroy, create::destroy)
        .options(&["--if-exists", "--all"]),
    Command::new("wait-until", (2, MANY), "!TABLE !RECORD *COLUMN?:KEY=VALUE", wait::need, wait::wait_until).reads(),
];

fn comment_need(_: &mut Need<'_>, _: &Line) -> Outcome<()> {
    Ok(())
}

fn comment(_: &mut Context<'_>, _: &mut Line) -> Outcome<()> {
    Ok(())
}

/// The table that a command's first argument names.
fn table_of(ctx: &Context<'_>, line: &Line) -> Outcome<Arc<TableSchema>> {
    find_table(ctx.txn.replica().schema(), line.arg(0)).cloned()
}

/// Needs the table that the first argument names, and what its rows may be named by.
fn need_rows(need: &mut Need<'_>, line: &Line) -> Outcome<Arc<TableSchema>> {
    let table = find_table(need.schema, line.arg(0))?.clone();
    record::need(need, &table.name);
    Ok(table)
}
