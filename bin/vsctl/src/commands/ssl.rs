//! The keys and certificates of the switch.

use crate::command::Command;
use crate::context::Context;
use crate::line::Line;
use crate::need::Need;
use crate::{Outcome, fail};
use idl::vswitch::{OpenvSwitch, SSL};

pub(crate) const COMMANDS: &[Command] = &[
    Command::new("get-ssl", (0, 0), "", need, get_ssl).reads(),
    Command::new("del-ssl", (0, 0), "", need, del_ssl),
    Command::new("set-ssl", (3, 3), "!PRIVATE-KEY !CERTIFICATE !CA-CERT", need, set_ssl).options(&["--bootstrap"]),
];

fn need(need: &mut Need<'_>, _: &Line) -> Outcome<()> {
    need.column("Open_vSwitch", "ssl");
    need.columns("SSL", &["private_key", "certificate", "ca_cert", "bootstrap_ca_cert"]);
    Ok(())
}

fn get_ssl(ctx: &mut Context<'_>, line: &mut Line) -> Outcome<()> {
    let ovs = ctx.ovs;
    ctx.txn.verify("Open_vSwitch", ovs, "ssl");
    let uuid = ctx.txn.row("Open_vSwitch", ovs).and_then(|row| OpenvSwitch(row).ssl());
    let Some(ssl) = uuid.and_then(|uuid| ctx.txn.row("SSL", uuid)).map(SSL) else { return Ok(()) };
    line.say(&format!("Private key: {}", ssl.private_key()));
    line.say(&format!("Certificate: {}", ssl.certificate()));
    line.say(&format!("CA Certificate: {}", ssl.ca_cert()));
    line.say(&format!("Bootstrap: {}", ssl.bootstrap_ca_cert()));
    Ok(())
}

fn del_ssl(ctx: &mut Context<'_>, _: &mut Line) -> Outcome<()> {
    let ovs = ctx.ovs;
    ctx.txn.verify("Open_vSwitch", ovs, "ssl");
    OpenvSwitch::set_ssl(&mut ctx.txn, ovs, None);
    Ok(())
}

fn set_ssl(ctx: &mut Context<'_>, line: &mut Line) -> Outcome<()> {
    let ovs = ctx.ovs;
    ctx.txn.verify("Open_vSwitch", ovs, "ssl");
    let Some(row) = ctx.txn.insert("SSL") else { return fail("database lacks table SSL") };
    SSL::set_private_key(&mut ctx.txn, row, line.arg(0));
    SSL::set_certificate(&mut ctx.txn, row, line.arg(1));
    SSL::set_ca_cert(&mut ctx.txn, row, line.arg(2));
    SSL::set_bootstrap_ca_cert(&mut ctx.txn, row, line.has("--bootstrap"));
    OpenvSwitch::set_ssl(&mut ctx.txn, ovs, Some(row));
    Ok(())
}
