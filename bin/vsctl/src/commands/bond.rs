//! The interfaces of bonds: `add-bond-iface`, `del-bond-iface`.

use super::need_topology;
use crate::command::Command;
use crate::context::Context;
use crate::line::Line;
use crate::need::Need;
use crate::{Outcome, fail};
use idl::vswitch::Interface;
use ovsdb::Datum;

pub(crate) const COMMANDS: &[Command] = &[
    Command::new("add-bond-iface", (2, 2), "!BOND !IFACE", need_add, add_bond_iface).options(&["--may-exist"]),
    Command::new("del-bond-iface", (1, 2), "?BOND !IFACE", need_topology, del_bond_iface).options(&["--if-exists"]),
];

fn need_add(need: &mut Need<'_>, line: &Line) -> Outcome<()> {
    need_topology(need, line)?;
    need.columns("Interface", &["ofport", "error"]);
    Ok(())
}

fn add_bond_iface(ctx: &mut Context<'_>, line: &mut Line) -> Outcome<()> {
    let (bond, name) = (line.arg(0), line.arg(1));
    let topology = ctx.topology();
    let Some(port) = topology.port(bond) else { return fail(format!("no port named {bond}")) };
    if line.has("--may-exist")
        && let Some(iface) = topology.iface(name)
    {
        if *iface.port == *bond {
            return Ok(());
        }
        return fail(format!("\"{}\" but {name} is actually attached to port {}", line.words(), iface.port));
    }
    topology.check_free(name, &format!("cannot create an interface named {name}"))?;
    let port = port.row;
    let Some(row) = ctx.txn.insert("Interface") else { return fail("database lacks table Interface") };
    Interface::set_name(&mut ctx.txn, row, name);
    ctx.txn.verify("Port", port, "interfaces");
    ctx.txn.insert_into("Port", port, "interfaces", &Datum::uuid(row));
    ctx.expected.push(row);
    ctx.forget_topology();
    Ok(())
}

fn del_bond_iface(ctx: &mut Context<'_>, line: &mut Line) -> Outcome<()> {
    let name = line.args.last().map_or("", String::as_str);
    let topology = ctx.topology();
    let Some(iface) = topology.iface(name).cloned() else {
        return if line.has("--if-exists") { Ok(()) } else { fail(format!("no interface named {name}")) };
    };
    if line.args.len() == 2 {
        let bond = line.arg(0);
        if topology.port(bond).is_none() {
            return fail(format!("no port named {bond}"));
        }
        if *iface.port != *bond {
            return fail(format!("port {bond} does not have an interface {name}"));
        }
    }
    if topology.ifaces_of(&iface.port).count() < 2 {
        return fail(format!("cannot delete last interface from port {}", iface.port));
    }
    if let Some(port) = topology.ports.get(&iface.port).map(|port| port.row) {
        ctx.txn.verify("Port", port, "interfaces");
        ctx.txn.remove_from("Port", port, "interfaces", &Datum::uuid(iface.row));
    }
    ctx.txn.delete("Interface", iface.row);
    ctx.forget_topology();
    Ok(())
}
