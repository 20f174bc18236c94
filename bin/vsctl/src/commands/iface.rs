//! Interfaces: `list-ifaces`, `iface-to-br`.

use super::need_topology;
use crate::command::Command;
use crate::context::Context;
use crate::line::Line;
use crate::{Outcome, fail};

pub(crate) const COMMANDS: &[Command] = &[
    Command::new("list-ifaces", (1, 1), "!BRIDGE", need_topology, list_ifaces).reads(),
    Command::new("iface-to-br", (1, 1), "!IFACE", need_topology, iface_to_br).reads(),
];

fn list_ifaces(ctx: &mut Context<'_>, line: &mut Line) -> Outcome<()> {
    let topology = ctx.topology();
    let bridge = topology.bridge(line.arg(0))?.name.clone();
    let names: Vec<_> = topology
        .ifaces
        .values()
        .filter(|iface| topology.bridge_of(iface) == bridge && *iface.name != *bridge)
        .map(|iface| iface.name.clone())
        .collect();
    names.iter().for_each(|name| line.say(name));
    Ok(())
}

fn iface_to_br(ctx: &mut Context<'_>, line: &mut Line) -> Outcome<()> {
    let name = line.arg(0);
    let topology = ctx.topology();
    match topology.iface(name) {
        Some(iface) => {
            let bridge = topology.bridge_of(iface).to_string();
            line.say(&bridge);
            Ok(())
        }
        None => fail(format!("no interface named {name}")),
    }
}
