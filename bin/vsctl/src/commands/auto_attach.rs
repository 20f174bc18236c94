//! Auto Attach mappings of bridges: I-SID to VLAN.

use super::need_topology;
use crate::command::Command;
use crate::context::Context;
use crate::line::Line;
use crate::need::Need;
use crate::{Outcome, fail};
use idl::vswitch::{AutoAttach, Bridge as BridgeRow};
use ovsdb::Uuid;

pub(crate) const COMMANDS: &[Command] = &[
    Command::new("add-aa-mapping", (3, 3), "!BRIDGE !ARG !ARG", need, add_aa_mapping),
    Command::new("del-aa-mapping", (3, 3), "!BRIDGE !ARG !ARG", need, del_aa_mapping),
    Command::new("get-aa-mapping", (1, 1), "!BRIDGE", need, get_aa_mapping).reads(),
];

fn need(need: &mut Need<'_>, line: &Line) -> Outcome<()> {
    need_topology(need, line)?;
    need.column("Bridge", "auto_attach");
    need.column("AutoAttach", "mappings");
    Ok(())
}

fn number(text: &str) -> Outcome<i64> {
    match text.parse::<i64>() {
        Ok(number) if number >= 0 => Ok(number),
        _ => fail(format!("Invalid argument {text}")),
    }
}

/// The bridge's row and its mappings, which may not be there yet.
fn find(ctx: &mut Context<'_>, name: &str) -> Outcome<(Uuid, Option<Uuid>)> {
    let row = ctx.topology().bridge(name)?.row;
    let mappings = ctx.txn.row("Bridge", row).and_then(|row| BridgeRow(row).auto_attach());
    Ok((row, mappings))
}

fn mappings(ctx: &Context<'_>, row: Option<Uuid>) -> Vec<(i64, i64)> {
    row.and_then(|uuid| ctx.txn.row("AutoAttach", uuid)).map(|row| AutoAttach(row).mappings()).unwrap_or_default()
}

fn add_aa_mapping(ctx: &mut Context<'_>, line: &mut Line) -> Outcome<()> {
    let (isid, vlan) = (number(line.arg(1))?, number(line.arg(2))?);
    let (bridge, row) = find(ctx, line.arg(0))?;
    let mut all = mappings(ctx, row);
    let row = match row {
        Some(row) => row,
        None => {
            let Some(row) = ctx.txn.insert("AutoAttach") else { return fail("database lacks table AutoAttach") };
            BridgeRow::set_auto_attach(&mut ctx.txn, bridge, Some(row));
            row
        }
    };
    ctx.txn.verify("AutoAttach", row, "mappings");
    // A mapping that is there stays as it is.
    if !all.iter().any(|(other, _)| *other == isid) {
        all.push((isid, vlan));
    }
    AutoAttach::set_mappings(&mut ctx.txn, row, all);
    Ok(())
}

fn del_aa_mapping(ctx: &mut Context<'_>, line: &mut Line) -> Outcome<()> {
    let (isid, vlan) = (number(line.arg(1))?, number(line.arg(2))?);
    let (_, row) = find(ctx, line.arg(0))?;
    let Some(uuid) = row else { return Ok(()) };
    ctx.txn.verify("AutoAttach", uuid, "mappings");
    let mut all = mappings(ctx, row);
    all.retain(|pair| *pair != (isid, vlan));
    AutoAttach::set_mappings(&mut ctx.txn, uuid, all);
    Ok(())
}

fn get_aa_mapping(ctx: &mut Context<'_>, line: &mut Line) -> Outcome<()> {
    let (_, row) = find(ctx, line.arg(0))?;
    for (isid, vlan) in mappings(ctx, row) {
        line.say(&format!("{isid} {vlan}"));
    }
    Ok(())
}
