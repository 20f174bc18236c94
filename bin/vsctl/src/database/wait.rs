//! `wait-until`.

use super::{assignment, condition, need_rows, record, table_of};
use crate::context::Context;
use crate::line::Line;
use crate::need::Need;
use crate::{Failure, Outcome};

pub(super) fn need(need: &mut Need<'_>, line: &Line) -> Outcome<()> {
    let table = need_rows(need, line)?;
    line.args[2..].iter().try_for_each(|arg| assignment::need(need, &table, arg, false))
}

pub(super) fn wait_until(ctx: &mut Context<'_>, line: &mut Line) -> Outcome<()> {
    let table = table_of(ctx, line)?;
    let Some(uuid) = record::find(ctx, &table, line.arg(1))? else { return Err(Failure::NotYet) };
    let Some(row) = ctx.txn.row(&table.name, uuid).cloned() else { return Err(Failure::NotYet) };
    for arg in &line.args[2..] {
        if !condition::holds(ctx, &table, &row, arg)? {
            return Err(Failure::NotYet);
        }
    }
    Ok(())
}
