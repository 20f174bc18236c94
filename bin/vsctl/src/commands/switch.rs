//! The switch as a whole: `init`, `emer-reset`.

use crate::Outcome;
use crate::command::Command;
use crate::context::Context;
use crate::line::Line;
use crate::need::Need;
use idl::vswitch::{Bridge as BridgeRow, Interface, OpenvSwitch, Port as PortRow};
use ovsdb::{Datum, Uuid};

pub(crate) const INIT: &[Command] = &[Command::new("init", (0, 0), "", need_nothing, init)];

pub(crate) const RESET: &[Command] = &[Command::new("emer-reset", (0, 0), "", need_reset, emer_reset)];

fn need_nothing(_: &mut Need<'_>, _: &Line) -> Outcome<()> {
    Ok(())
}

fn init(_: &mut Context<'_>, _: &mut Line) -> Outcome<()> {
    Ok(())
}

const BRIDGE: &[&str] =
    &["controller", "fail_mode", "mirrors", "netflow", "sflow", "ipfix", "flood_vlans", "other_config"];

fn need_reset(need: &mut Need<'_>, _: &Line) -> Outcome<()> {
    need.columns("Open_vSwitch", &["manager_options", "ssl"]);
    need.columns("Bridge", BRIDGE);
    need.column("Port", "other_config");
    need.columns("Interface", &["ingress_policing_rate", "ingress_policing_burst"]);
    for table in ["Mirror", "Controller", "Manager", "NetFlow", "sFlow", "IPFIX", "SSL"] {
        need.table(table);
    }
    need.table("Flow_Sample_Collector_Set");
    Ok(())
}

fn rows(ctx: &Context<'_>, table: &str) -> Vec<Uuid> {
    ctx.txn.rows(table).into_iter().map(idl::Row::uuid).collect()
}

fn emer_reset(ctx: &mut Context<'_>, _: &mut Line) -> Outcome<()> {
    let ovs = ctx.ovs;
    OpenvSwitch::set_manager_options(&mut ctx.txn, ovs, Vec::new());
    OpenvSwitch::set_ssl(&mut ctx.txn, ovs, None);
    for bridge in rows(ctx, "Bridge") {
        let hwaddr = ctx.txn.get("Bridge", bridge, "other_config").get_str("hwaddr").map(str::to_string);
        for column in BRIDGE {
            ctx.txn.set("Bridge", bridge, column, Datum::empty());
        }
        if let Some(hwaddr) = &hwaddr {
            BridgeRow::set_other_config(&mut ctx.txn, bridge, vec![("hwaddr", hwaddr.as_str())]);
        }
    }
    for port in rows(ctx, "Port") {
        PortRow::set_other_config(&mut ctx.txn, port, Vec::new());
    }
    for iface in rows(ctx, "Interface") {
        Interface::set_ingress_policing_rate(&mut ctx.txn, iface, 0);
        Interface::set_ingress_policing_burst(&mut ctx.txn, iface, 0);
    }
    for set in rows(ctx, "Flow_Sample_Collector_Set") {
        ctx.txn.delete("Flow_Sample_Collector_Set", set);
    }
    Ok(())
}
