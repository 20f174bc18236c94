//! Conntrack zones of datapaths with their timeout policies, and the capabilities of datapaths.

use crate::command::{Command, MANY};
use crate::context::Context;
use crate::line::Line;
use crate::need::Need;
use crate::{Outcome, fail};
use idl::vswitch::{CTTimeoutPolicy, CTZone, Datapath, OpenvSwitch};
use ovsdb::{Atom, Datum, Uuid};

pub(crate) const COMMANDS: &[Command] = &[
    Command::new("add-zone-tp", (3, MANY), "", need, add_zone_tp).options(&["--may-exist"]),
    Command::new("del-zone-tp", (2, 2), "", need, del_zone_tp).options(&["--if-exists"]),
    Command::new("list-zone-tp", (1, 1), "", need, list_zone_tp).reads(),
    Command::new("list-dp-cap", (1, 1), "", need, list_dp_cap).reads(),
];

fn need(need: &mut Need<'_>, _: &Line) -> Outcome<()> {
    need.column("Open_vSwitch", "datapaths");
    need.columns("Datapath", &["ct_zones", "capabilities"]);
    need.column("CT_Zone", "timeout_policy");
    need.column("CT_Timeout_Policy", "timeouts");
    Ok(())
}

fn find(ctx: &Context<'_>, name: &str) -> Option<Uuid> {
    let row = ctx.txn.row("Open_vSwitch", ctx.ovs)?;
    OpenvSwitch(row).datapaths().into_iter().find(|(n, _)| *n == name).map(|(_, uuid)| uuid)
}

fn find_or_fail(ctx: &Context<'_>, name: &str) -> Outcome<Uuid> {
    match find(ctx, name) {
        Some(row) => Ok(row),
        None => fail(format!("datapath {name} does not exist")),
    }
}

/// The number of `zone=NUMBER`.
fn zone_of(text: &str) -> Outcome<i64> {
    match text.strip_prefix("zone=").and_then(|number| number.parse::<i64>().ok()) {
        Some(zone) => Ok(zone),
        None => fail(format!("invalid zone \"{text}\" (zone=NUMBER expected)")),
    }
}

fn zones(ctx: &Context<'_>, datapath: Uuid) -> Vec<(i64, Uuid)> {
    ctx.txn.row("Datapath", datapath).map(|row| Datapath(row).ct_zones()).unwrap_or_default()
}

fn add_zone_tp(ctx: &mut Context<'_>, line: &mut Line) -> Outcome<()> {
    let datapath = find_or_fail(ctx, line.arg(0))?;
    let zone = zone_of(line.arg(1))?;
    let existing = zones(ctx, datapath).into_iter().find(|(number, _)| *number == zone).map(|(_, row)| row);
    if existing.is_some() && !line.has("--may-exist") {
        return fail(format!("zone id {zone} already exists"));
    }
    let mut timeouts = Vec::new();
    for word in &line.args[2..] {
        match word.split_once('=').and_then(|(key, value)| Some((key, value.parse::<u32>().ok()?))) {
            Some((key, seconds)) => timeouts.push((key, i64::from(seconds))),
            None => return fail(format!("invalid timeout policy \"{word}\"")),
        }
    }
    let rows = (ctx.txn.insert("CT_Timeout_Policy"), existing.or_else(|| ctx.txn.insert("CT_Zone")));
    let (Some(policy), Some(row)) = rows else { return fail("database lacks the tables of zones") };
    CTTimeoutPolicy::set_timeouts(&mut ctx.txn, policy, timeouts);
    CTZone::set_timeout_policy(&mut ctx.txn, row, Some(policy));
    if existing.is_some() {
        return Ok(());
    }
    let pair = Datum::map([(Atom::Integer(zone), Atom::Uuid(row))]);
    ctx.txn.insert_into("Datapath", datapath, "ct_zones", &pair);
    Ok(())
}

fn del_zone_tp(ctx: &mut Context<'_>, line: &mut Line) -> Outcome<()> {
    let datapath = find_or_fail(ctx, line.arg(0))?;
    let zone = zone_of(line.arg(1))?;
    if !zones(ctx, datapath).iter().any(|(number, _)| *number == zone) {
        return if line.has("--if-exists") { Ok(()) } else { fail(format!("zone id {zone} does not exist")) };
    }
    ctx.txn.remove_from("Datapath", datapath, "ct_zones", &Datum::integer(zone));
    Ok(())
}

fn list_zone_tp(ctx: &mut Context<'_>, line: &mut Line) -> Outcome<()> {
    let name = line.arg(0);
    let Some(datapath) = find(ctx, name) else {
        return fail(format!("datapath: {name} record not found"));
    };
    for (number, zone) in zones(ctx, datapath) {
        let policy = ctx.txn.row("CT_Zone", zone).and_then(|row| CTZone(row).timeout_policy());
        let timeouts = policy
            .and_then(|uuid| ctx.txn.row("CT_Timeout_Policy", uuid))
            .map(|row| CTTimeoutPolicy(row).timeouts())
            .filter(|timeouts| !timeouts.is_empty());
        let text = match timeouts {
            Some(timeouts) => {
                let pairs: Vec<String> = timeouts.iter().map(|(key, value)| format!("{key}={value}")).collect();
                pairs.join(" ")
            }
            None => "system default".to_string(),
        };
        line.say(&format!("Zone:{number}, Timeout Policies: {text}"));
    }
    Ok(())
}

fn list_dp_cap(ctx: &mut Context<'_>, line: &mut Line) -> Outcome<()> {
    let name = line.arg(0);
    let Some(row) = find(ctx, name).and_then(|uuid| ctx.txn.row("Datapath", uuid)) else {
        return fail(format!("datapath \"{name}\" record not found"));
    };
    let pairs: Vec<String> = Datapath(row).capabilities().iter().map(|(key, value)| format!("{key}={value}")).collect();
    line.say(&pairs.join(" "));
    Ok(())
}
