//! Ports: `list-ports`, `add-port`, `add-bond`, `del-port`, `port-to-br`.

use super::need_topology;
use crate::command::{Command, MANY};
use crate::context::Context;
use crate::database::assignment;
use crate::line::Line;
use crate::need::{Need, find_table};
use crate::topology::{Bridge, Port, Topology};
use crate::{Outcome, fail};
use idl::vswitch::{Interface, Port as PortRow};
use ovsdb::{Datum, Uuid};

pub(crate) const COMMANDS: &[Command] = &[
    Command::new("list-ports", (1, 1), "!BRIDGE", need_topology, list_ports).reads(),
    Command::new("add-port", (2, MANY), "!BRIDGE !NEW-PORT *COLUMN?:KEY=VALUE", need_add, add_port)
        .options(&["--may-exist"]),
    Command::new("add-bond", (4, MANY), "!BRIDGE !BOND +IFACE *COLUMN?:KEY=VALUE", need_add, add_bond)
        .options(&["--may-exist", "--fake-iface"]),
    Command::new("del-port", (1, 2), "?BRIDGE !PORT|IFACE", need_topology, del_port)
        .options(&["--if-exists", "--with-iface"]),
    Command::new("port-to-br", (1, 1), "!PORT", need_topology, port_to_br).reads(),
];

/// The arguments from the first assignment on.
fn settings(line: &Line) -> &[String] {
    let from = line.args.iter().skip(2).position(|arg| arg.contains('=')).map_or(line.args.len(), |at| at + 2);
    // A port has no further interfaces: what follows its name can only be assignments.
    if line.command.name == "add-port" { &line.args[2..] } else { &line.args[from..] }
}

/// The number of interfaces that the command names; a bond needs two.
fn count_ifaces(line: &Line) -> Outcome<usize> {
    let n = line.args.len() - 2 - settings(line).len();
    if line.command.name == "add-bond" && n < 2 {
        return fail(format!("add-bond requires at least 2 interfaces, but only {n} were specified"));
    }
    Ok(n)
}

fn need_add(need: &mut Need<'_>, line: &Line) -> Outcome<()> {
    need_topology(need, line)?;
    need.columns("Interface", &["ofport", "error"]);
    need.column("Port", "bond_fake_iface");
    count_ifaces(line)?;
    for setting in settings(line) {
        let table = find_table(need.schema, "Port")?.clone();
        // What is wrong with it is told when it is set: a bridge that is not there is told of first.
        let _ = assignment::need(need, &table, setting, false);
    }
    Ok(())
}

fn list_ports(ctx: &mut Context<'_>, line: &mut Line) -> Outcome<()> {
    let topology = ctx.topology();
    let bridge = topology.bridge(line.arg(0))?.name.clone();
    let names: Vec<_> = topology.ports_of(&bridge).map(|port| port.name.clone()).collect();
    names.iter().for_each(|name| line.say(name));
    Ok(())
}

fn add_port(ctx: &mut Context<'_>, line: &mut Line) -> Outcome<()> {
    let ifaces = vec![line.arg(1).to_string()];
    add(ctx, line, &ifaces)
}

fn add_bond(ctx: &mut Context<'_>, line: &mut Line) -> Outcome<()> {
    let n = count_ifaces(line)?;
    let ifaces = line.args[2..2 + n].to_vec();
    add(ctx, line, &ifaces)
}

/// Whether `--may-exist` has nothing left to do with this port.
fn check_existing(topology: &Topology, port: &Port, line: &Line, ifaces: &[String]) -> Outcome<()> {
    let (words, name) = (line.words(), &port.name);
    if *port.bridge != *line.arg(0) {
        return fail(format!("\"{words}\" but {name} is actually attached to bridge {}", port.bridge));
    }
    let mut wanted: Vec<&str> = ifaces.iter().map(String::as_str).collect();
    wanted.sort_unstable();
    let has: Vec<&str> = topology.ifaces_of(name).map(|iface| &*iface.name).collect();
    if wanted != has {
        return fail(format!("\"{words}\" but {name} actually has interface(s) {}", has.join(", ")));
    }
    Ok(())
}

fn add(ctx: &mut Context<'_>, line: &mut Line, ifaces: &[String]) -> Outcome<()> {
    let name = line.arg(1).to_string();
    if name.is_empty() {
        return fail("port name must not be empty string");
    }
    let topology = ctx.topology();
    if line.has("--may-exist")
        && let Some(port) = topology.port(&name)
    {
        return check_existing(topology, port, line, ifaces);
    }
    topology.check_free(&name, &format!("cannot create a port named {name}"))?;
    for iface in ifaces {
        topology.check_free(iface, &format!("cannot create an interface named {iface}"))?;
    }
    let bridge: Bridge = topology.bridge(line.arg(0))?.clone();
    let mut rows = Vec::new();
    for iface in ifaces {
        let Some(row) = ctx.txn.insert("Interface") else { return fail("database lacks table Interface") };
        Interface::set_name(&mut ctx.txn, row, iface);
        ctx.expected.push(row);
        rows.push(row);
    }
    let Some(port) = ctx.txn.insert("Port") else { return fail("database lacks table Port") };
    PortRow::set_name(&mut ctx.txn, port, &name);
    PortRow::set_interfaces(&mut ctx.txn, port, rows);
    PortRow::set_bond_fake_iface(&mut ctx.txn, port, line.has("--fake-iface"));
    if let Some((_, vlan)) = bridge.parent {
        PortRow::set_tag(&mut ctx.txn, port, Some(vlan));
    }
    for setting in settings(line) {
        assignment::apply(ctx, "Port", port, setting)?;
    }
    ctx.txn.insert_into("Bridge", bridge.row, "ports", &Datum::uuid(port));
    ctx.amend_topology(|topology, txn| topology.admit(txn, &bridge, port));
    Ok(())
}

/// The port that `del-port` is to delete; `None` if it need not exist and does not.
fn find_victim(topology: &Topology, line: &Line) -> Outcome<Option<Port>> {
    let target = line.args.last().map_or("", String::as_str);
    let (mut port, mut kind) = (topology.port(target), "port");
    if line.has("--with-iface") {
        kind = "port or interface";
        port = port.or_else(|| topology.iface(target).and_then(|iface| topology.port(&iface.port)));
    }
    match port {
        None if line.has("--if-exists") => Ok(None),
        None if topology.bridges.contains_key(target) => fail(format!(
            "cannot delete port {target} because it is the local port for bridge {target} \
             (deleting this port requires deleting the entire bridge)"
        )),
        None => fail(format!("no {kind} named {target}")),
        Some(port) => Ok(Some(port.clone())),
    }
}

fn del_port(ctx: &mut Context<'_>, line: &mut Line) -> Outcome<()> {
    let topology = ctx.topology();
    let Some(port) = find_victim(topology, line)? else { return Ok(()) };
    if line.args.len() == 2 {
        let bridge = topology.bridge(line.arg(0))?;
        if *port.bridge != *bridge.name {
            return refuse_elsewhere(topology, line, bridge, &port);
        }
    }
    remove(ctx, &port);
    Ok(())
}

fn refuse_elsewhere(topology: &Topology, line: &Line, bridge: &Bridge, port: &Port) -> Outcome<()> {
    let words = format!("bridge {} does not have a port {}", line.arg(0), line.arg(1));
    let parent = topology.bridges.get(&*port.bridge).and_then(|owner| owner.parent.as_ref());
    match parent {
        Some((parent, _)) if *parent == bridge.name => {
            fail(format!("{words} (although its child bridge {} does)", port.bridge))
        }
        _ => fail(words),
    }
}

/// Takes a port off its bridge; without a reference to it, the row goes.
fn remove(ctx: &mut Context<'_>, port: &Port) {
    let row = ctx.topology().bridges.get(&*port.bridge).map(|bridge| bridge.row);
    ctx.amend_topology(|topology, txn| topology.dismiss(txn, port));
    if let Some(bridge) = row {
        ctx.txn.remove_from("Bridge", bridge, "ports", &Datum::uuid(port.row));
    }
    forget(ctx, port.row);
}

/// Takes a port with its interfaces out of what later commands see. The server does so by itself: nothing refers to them.
pub(super) fn forget(ctx: &mut Context<'_>, port: Uuid) {
    let Some(row) = ctx.txn.row("Port", port) else { return };
    for iface in PortRow(row).interfaces() {
        ctx.txn.delete("Interface", iface);
        ctx.expected.retain(|other| *other != iface);
    }
    ctx.txn.delete("Port", port);
}

fn port_to_br(ctx: &mut Context<'_>, line: &mut Line) -> Outcome<()> {
    let name = line.arg(0);
    match ctx.topology().port(name) {
        Some(port) => {
            let bridge = port.bridge.clone();
            line.say(&bridge);
            Ok(())
        }
        None => fail(format!("no port named {name}")),
    }
}
