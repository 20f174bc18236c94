//! Controllers and fail modes of bridges.

use super::need_topology;
use crate::command::{Command, MANY};
use crate::context::Context;
use crate::line::Line;
use crate::need::Need;
use crate::{Outcome, fail};
use idl::vswitch::{Bridge as BridgeRow, Controller};
use ovsdb::Uuid;

pub(crate) const COMMANDS: &[Command] = &[
    Command::new("get-controller", (1, 1), "!BRIDGE", need_controllers, get_controller).reads(),
    Command::new("del-controller", (1, 1), "!BRIDGE", need_controllers, del_controller),
    Command::new("set-controller", (1, MANY), "!BRIDGE +TARGET", need_controllers, set_controller)
        .options(&["--inactivity-probe="]),
    Command::new("get-fail-mode", (1, 1), "!BRIDGE", need_fail_mode, get_fail_mode).reads(),
    Command::new("del-fail-mode", (1, 1), "!BRIDGE", need_fail_mode, del_fail_mode),
    Command::new("set-fail-mode", (2, 2), "!BRIDGE !MODE", need_fail_mode, set_fail_mode),
];

fn need_controllers(need: &mut Need<'_>, line: &Line) -> Outcome<()> {
    need_topology(need, line)?;
    need.column("Bridge", "controller");
    need.columns("Controller", &["target", "inactivity_probe"]);
    Ok(())
}

fn need_fail_mode(need: &mut Need<'_>, line: &Line) -> Outcome<()> {
    need_topology(need, line)?;
    need.column("Bridge", "fail_mode");
    Ok(())
}

/// The value of `--inactivity-probe`, in milliseconds.
pub(super) fn probe_of(line: &Line) -> Option<i64> {
    line.value("--inactivity-probe").map(super::leading_integer)
}

/// Warns of targets that name no known kind of connection.
pub(super) fn warn_of_targets(targets: &[String]) {
    const KINDS: [&str; 6] = ["tcp:", "ssl:", "unix:", "ptcp:", "pssl:", "punix:"];
    for target in targets {
        if !KINDS.iter().any(|kind| target.starts_with(kind)) {
            vlog::warn!("vsctl", "target type \"{target}\" is possibly erroneous");
        }
    }
}

fn real_bridge(ctx: &mut Context<'_>, line: &Line) -> Outcome<Uuid> {
    Ok(ctx.topology().real_bridge(line.arg(0))?.row)
}

fn get_controller(ctx: &mut Context<'_>, line: &mut Line) -> Outcome<()> {
    let bridge = ctx.topology().bridge(line.arg(0))?.row;
    ctx.txn.verify("Bridge", bridge, "controller");
    let Some(row) = ctx.txn.row("Bridge", bridge) else { return Ok(()) };
    let mut targets: Vec<String> = BridgeRow(row)
        .controller()
        .into_iter()
        .filter_map(|uuid| ctx.txn.row("Controller", uuid))
        .map(|row| Controller(row).target().to_string())
        .collect();
    targets.sort_unstable();
    targets.iter().for_each(|target| line.say(target));
    Ok(())
}

fn delete_controllers(ctx: &mut Context<'_>, bridge: Uuid) {
    let Some(row) = ctx.txn.row("Bridge", bridge) else { return };
    let old: Vec<_> = BridgeRow(row).controller().into_iter().collect();
    for controller in old {
        ctx.txn.delete("Controller", controller);
    }
}

fn del_controller(ctx: &mut Context<'_>, line: &mut Line) -> Outcome<()> {
    let bridge = real_bridge(ctx, line)?;
    ctx.txn.verify("Bridge", bridge, "controller");
    delete_controllers(ctx, bridge);
    BridgeRow::set_controller(&mut ctx.txn, bridge, Vec::new());
    Ok(())
}

fn set_controller(ctx: &mut Context<'_>, line: &mut Line) -> Outcome<()> {
    let bridge = real_bridge(ctx, line)?;
    let targets = &line.args[1..];
    warn_of_targets(targets);
    let probe = probe_of(line);
    delete_controllers(ctx, bridge);
    let mut rows = Vec::new();
    for target in targets {
        let Some(row) = ctx.txn.insert("Controller") else { return fail("database lacks table Controller") };
        Controller::set_target(&mut ctx.txn, row, target);
        if probe.is_some() {
            Controller::set_inactivity_probe(&mut ctx.txn, row, probe);
        }
        rows.push(row);
    }
    ctx.txn.verify("Bridge", bridge, "controller");
    BridgeRow::set_controller(&mut ctx.txn, bridge, rows);
    Ok(())
}

fn get_fail_mode(ctx: &mut Context<'_>, line: &mut Line) -> Outcome<()> {
    let bridge = ctx.topology().bridge(line.arg(0))?.row;
    ctx.txn.verify("Bridge", bridge, "fail_mode");
    let mode = ctx.txn.row("Bridge", bridge).and_then(|row| BridgeRow(row).fail_mode()).unwrap_or("");
    if !mode.is_empty() {
        line.say(mode);
    }
    Ok(())
}

fn del_fail_mode(ctx: &mut Context<'_>, line: &mut Line) -> Outcome<()> {
    let bridge = real_bridge(ctx, line)?;
    BridgeRow::set_fail_mode(&mut ctx.txn, bridge, None);
    Ok(())
}

fn set_fail_mode(ctx: &mut Context<'_>, line: &mut Line) -> Outcome<()> {
    let bridge = real_bridge(ctx, line)?;
    let mode = line.arg(1);
    if mode != "standalone" && mode != "secure" {
        return fail("fail-mode must be \"standalone\" or \"secure\"");
    }
    BridgeRow::set_fail_mode(&mut ctx.txn, bridge, Some(mode));
    Ok(())
}
