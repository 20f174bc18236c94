//! Bridges: `add-br`, `del-br`, `list-br`, `br-exists`, `br-to-vlan`, `br-to-parent`, and their external IDs.

use super::{need_topology, set_map};
use crate::command::Command;
use crate::context::Context;
use crate::line::Line;
use crate::need::Need;
use crate::topology::Bridge;
use crate::{Failure, Outcome, fail};
use idl::vswitch::{Bridge as BridgeRow, Interface, Port as PortRow};
use ovsdb::{Datum, Uuid};

pub(crate) const COMMANDS: &[Command] = &[
    Command::new("add-br", (1, 3), "!NEW-BRIDGE ?PARENT ?NEW-VLAN", need_add, add_br).options(&["--may-exist"]),
    Command::new("del-br", (1, 1), "!BRIDGE", need_topology, del_br).options(&["--if-exists"]),
    Command::new("list-br", (0, 0), "", need_topology, list_br).reads().options(&["--real", "--fake"]),
    Command::new("br-exists", (1, 1), "!BRIDGE", need_topology, br_exists).reads(),
    Command::new("br-to-vlan", (1, 1), "!BRIDGE", need_topology, br_to_vlan).reads(),
    Command::new("br-to-parent", (1, 1), "!BRIDGE", need_topology, br_to_parent).reads(),
    Command::new("br-set-external-id", (2, 3), "!BRIDGE !KEY ?VALUE", need_ids, br_set_external_id),
    Command::new("br-get-external-id", (1, 2), "!BRIDGE ?KEY", need_ids, br_get_external_id).reads(),
];

fn need_add(need: &mut Need<'_>, line: &Line) -> Outcome<()> {
    need_topology(need, line)?;
    need.columns("Interface", &["type", "ofport", "error"]);
    Ok(())
}

fn need_ids(need: &mut Need<'_>, line: &Line) -> Outcome<()> {
    need_topology(need, line)?;
    need.column("Bridge", "external_ids");
    need.column("Port", "external_ids");
    Ok(())
}

/// The arguments of `add-br` for a fake bridge: its parent and VLAN.
fn fake_arguments(line: &Line) -> Outcome<Option<(&str, i64)>> {
    match line.args.len() {
        1 => Ok(None),
        3 => match super::leading_integer(line.arg(2)) {
            vlan if (0..=4095).contains(&vlan) => Ok(Some((line.arg(1), vlan))),
            _ => fail("add-br: vlan must be between 0 and 4095"),
        },
        _ => fail("'add-br' command takes exactly 1 or 3 arguments"),
    }
}

/// Whether `--may-exist add-br` has nothing left to do with this bridge.
fn check_existing(existing: &Bridge, name: &str, fake: Option<(&str, i64)>) -> Outcome<()> {
    let is = existing.parent.as_ref();
    match (fake, is) {
        (None, None) => Ok(()),
        (None, Some((_, vlan))) => {
            fail(format!("\"--may-exist add-br {name}\" but {name} is a VLAN bridge for VLAN {vlan}"))
        }
        (Some((parent, vlan)), is) => {
            let words = format!("\"--may-exist add-br {name} {parent} {vlan}\" but {name}");
            match is {
                None => fail(format!("{words} is not a VLAN bridge")),
                Some((is_parent, _)) if is_parent != parent => {
                    fail(format!("{words} has the wrong parent {is_parent}"))
                }
                Some((_, is_vlan)) if *is_vlan != vlan => {
                    fail(format!("{words} is a VLAN bridge for the wrong VLAN {is_vlan}"))
                }
                Some(_) => Ok(()),
            }
        }
    }
}

fn add_br(ctx: &mut Context<'_>, line: &mut Line) -> Outcome<()> {
    let name = line.arg(0).to_string();
    if name.is_empty() {
        return fail("bridge name must not be empty string");
    }
    let fake = fake_arguments(line)?;
    let topology = ctx.topology();
    if line.has("--may-exist")
        && let Some(existing) = topology.bridges.get(&name)
    {
        return check_existing(existing, &name, fake);
    }
    topology.check_free(&name, &format!("cannot create a bridge named {name}"))?;
    let parent = match fake {
        None => None,
        Some((parent, vlan)) => match topology.bridges.get(parent) {
            Some(Bridge { parent: Some(_), .. }) => {
                return fail("cannot create bridge with fake bridge as parent");
            }
            None => return fail(format!("parent bridge {parent} does not exist")),
            Some(bridge) => {
                if let Some(other) = topology.find_vlan_bridge(parent, vlan) {
                    let other = &other.name;
                    return fail(format!("bridge {parent} already has a child VLAN bridge {other} on VLAN {vlan}"));
                }
                Some((bridge.row, vlan))
            }
        },
    };
    let rows = (ctx.txn.insert("Interface"), ctx.txn.insert("Port"));
    let (Some(iface), Some(port)) = rows else { return fail("database lacks the tables of bridges") };
    Interface::set_name(&mut ctx.txn, iface, &name);
    Interface::set_type(&mut ctx.txn, iface, "internal");
    PortRow::set_name(&mut ctx.txn, port, &name);
    PortRow::set_interfaces(&mut ctx.txn, port, vec![iface]);
    if let Some((bridge, vlan)) = parent {
        PortRow::set_fake_bridge(&mut ctx.txn, port, true);
        PortRow::set_tag(&mut ctx.txn, port, Some(vlan));
        ctx.txn.insert_into("Bridge", bridge, "ports", &Datum::uuid(port));
    } else if let Some(bridge) = ctx.txn.insert("Bridge") {
        BridgeRow::set_name(&mut ctx.txn, bridge, &name);
        BridgeRow::set_ports(&mut ctx.txn, bridge, vec![port]);
        let ovs = ctx.ovs;
        ctx.txn.insert_into("Open_vSwitch", ovs, "bridges", &Datum::uuid(bridge));
    }
    ctx.expected.push(iface);
    ctx.forget_topology();
    Ok(())
}

fn del_br(ctx: &mut Context<'_>, line: &mut Line) -> Outcome<()> {
    let name = line.arg(0);
    let bridge = match ctx.topology().bridge(name) {
        Ok(bridge) => bridge.clone(),
        Err(_) if line.has("--if-exists") => return Ok(()),
        Err(failure) => return Err(failure),
    };
    if bridge.parent.is_some() {
        let topology = ctx.topology();
        let ports: Vec<Uuid> =
            topology.ports.values().filter(|port| *port.bridge == *name).map(|port| port.row).collect();
        for port in ports {
            ctx.txn.remove_from("Bridge", bridge.row, "ports", &Datum::uuid(port));
            super::port::forget(ctx, port);
        }
    } else {
        let ovs = ctx.ovs;
        ctx.txn.remove_from("Open_vSwitch", ovs, "bridges", &Datum::uuid(bridge.row));
        forget(ctx, bridge.row);
    }
    ctx.forget_topology();
    Ok(())
}

/// Takes a bridge with its ports and interfaces out of what later commands see.
fn forget(ctx: &mut Context<'_>, bridge: Uuid) {
    let Some(row) = ctx.txn.row("Bridge", bridge) else { return };
    let ports = BridgeRow(row).ports();
    for port in ports {
        super::port::forget(ctx, port);
    }
    ctx.txn.delete("Bridge", bridge);
}

fn list_br(ctx: &mut Context<'_>, line: &mut Line) -> Outcome<()> {
    let (real, fake) = (line.has("--real"), line.has("--fake"));
    let both = real == fake;
    for bridge in ctx.topology().bridges.values() {
        if both || fake == bridge.parent.is_some() {
            line.say(&bridge.name);
        }
    }
    Ok(())
}

fn br_exists(ctx: &mut Context<'_>, line: &mut Line) -> Outcome<()> {
    if ctx.topology().bridges.contains_key(line.arg(0)) { Ok(()) } else { Err(Failure::Exit(2)) }
}

fn br_to_vlan(ctx: &mut Context<'_>, line: &mut Line) -> Outcome<()> {
    let bridge = ctx.topology().bridge(line.arg(0))?;
    let vlan = bridge.parent.as_ref().map_or(0, |(_, vlan)| *vlan);
    line.say(&vlan.to_string());
    Ok(())
}

fn br_to_parent(ctx: &mut Context<'_>, line: &mut Line) -> Outcome<()> {
    let bridge = ctx.topology().bridge(line.arg(0))?;
    let parent = bridge.parent.as_ref().map_or(&bridge.name, |(parent, _)| parent).clone();
    line.say(&parent);
    Ok(())
}

/// Where the external IDs of a bridge lie, and what is put before their keys there.
fn ids_of(ctx: &mut Context<'_>, name: &str) -> Outcome<(&'static str, Uuid, &'static str)> {
    let topology = ctx.topology();
    let bridge = topology.bridge(name)?;
    Ok(match (&bridge.parent, topology.ports.get(name)) {
        (Some(_), Some(port)) => ("Port", port.row, "fake-bridge-"),
        _ => ("Bridge", bridge.row, ""),
    })
}

fn br_set_external_id(ctx: &mut Context<'_>, line: &mut Line) -> Outcome<()> {
    let (table, row, prefix) = ids_of(ctx, line.arg(0))?;
    let key = format!("{prefix}{}", line.arg(1));
    set_map(ctx, (table, row, "external_ids"), &key, line.args.get(2).map(String::as_str));
    Ok(())
}

fn br_get_external_id(ctx: &mut Context<'_>, line: &mut Line) -> Outcome<()> {
    let (table, row, prefix) = ids_of(ctx, line.arg(0))?;
    ctx.txn.verify(table, row, "external_ids");
    let ids = ctx.txn.get(table, row, "external_ids").clone();
    if let Some(key) = line.args.get(1) {
        if let Some(value) = ids.get_str(&format!("{prefix}{key}")) {
            line.say(value);
        }
        return Ok(());
    }
    for (key, value) in ids.pairs() {
        if let (Some(key), Some(value)) = (key.as_str().and_then(|k| k.strip_prefix(prefix)), value.as_str()) {
            line.say(&format!("{key}={value}"));
        }
    }
    Ok(())
}
