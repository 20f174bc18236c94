//! Managers: the remotes of the database server.

use super::controller::{probe_of, warn_of_targets};
use crate::command::{Command, MANY};
use crate::context::Context;
use crate::line::Line;
use crate::need::Need;
use crate::{Outcome, fail};
use idl::vswitch::{Manager, OpenvSwitch};

pub(crate) const COMMANDS: &[Command] = &[
    Command::new("get-manager", (0, 0), "", need, get_manager).reads(),
    Command::new("del-manager", (0, 0), "", need, del_manager),
    Command::new("set-manager", (1, MANY), "+TARGET", need, set_manager).options(&["--inactivity-probe="]),
];

fn need(need: &mut Need<'_>, _: &Line) -> Outcome<()> {
    need.column("Open_vSwitch", "manager_options");
    need.columns("Manager", &["target", "inactivity_probe"]);
    Ok(())
}

fn get_manager(ctx: &mut Context<'_>, line: &mut Line) -> Outcome<()> {
    let ovs = ctx.ovs;
    ctx.txn.verify("Open_vSwitch", ovs, "manager_options");
    let Some(row) = ctx.txn.row("Open_vSwitch", ovs) else { return Ok(()) };
    let mut targets: Vec<String> = OpenvSwitch(row)
        .manager_options()
        .into_iter()
        .filter_map(|uuid| ctx.txn.row("Manager", uuid))
        .map(|row| Manager(row).target().to_string())
        .collect();
    targets.sort_unstable();
    targets.iter().for_each(|target| line.say(target));
    Ok(())
}

fn delete_managers(ctx: &mut Context<'_>) {
    let Some(row) = ctx.txn.row("Open_vSwitch", ctx.ovs) else { return };
    let old: Vec<_> = OpenvSwitch(row).manager_options().into_iter().collect();
    for manager in old {
        ctx.txn.delete("Manager", manager);
    }
}

fn del_manager(ctx: &mut Context<'_>, _: &mut Line) -> Outcome<()> {
    let ovs = ctx.ovs;
    ctx.txn.verify("Open_vSwitch", ovs, "manager_options");
    delete_managers(ctx);
    OpenvSwitch::set_manager_options(&mut ctx.txn, ovs, Vec::new());
    Ok(())
}

fn set_manager(ctx: &mut Context<'_>, line: &mut Line) -> Outcome<()> {
    warn_of_targets(&line.args);
    let probe = probe_of(line);
    let ovs = ctx.ovs;
    ctx.txn.verify("Open_vSwitch", ovs, "manager_options");
    delete_managers(ctx);
    let mut rows = Vec::new();
    for target in &line.args {
        let Some(row) = ctx.txn.insert("Manager") else { return fail("database lacks table Manager") };
        Manager::set_target(&mut ctx.txn, row, target);
        if probe.is_some() {
            Manager::set_inactivity_probe(&mut ctx.txn, row, probe);
        }
        rows.push(row);
    }
    OpenvSwitch::set_manager_options(&mut ctx.txn, ovs, rows);
    Ok(())
}
