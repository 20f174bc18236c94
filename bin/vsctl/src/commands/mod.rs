//! The commands, by what they are about.

mod auto_attach;
mod bond;
mod bridge;
mod controller;
mod iface;
mod manager;
mod port;
mod show;
mod ssl;
mod switch;
mod zone;

use crate::command::Command;
use crate::context::Context;
use crate::line::Line;
use crate::need::Need;
use crate::{Outcome, database};
use hashing::HashOrder;
use ovsdb::{Datum, Uuid};

/// All commands, in the order in which Open vSwitch puts them into its table.
pub(crate) const ALL: &[&[Command]] = &[
    database::COMMANDS,
    show::COMMANDS,
    switch::INIT,
    bridge::COMMANDS,
    port::COMMANDS,
    bond::COMMANDS,
    iface::COMMANDS,
    controller::COMMANDS,
    manager::COMMANDS,
    ssl::COMMANDS,
    auto_attach::COMMANDS,
    switch::RESET,
    zone::COMMANDS,
];

/// All commands in the order in which Open vSwitch lists them: that of the hash table.
pub(crate) fn listed() -> impl Iterator<Item = &'static Command> {
    let put: Vec<&Command> = ALL.iter().copied().flatten().collect();
    let order = HashOrder::by_name(put.iter().enumerate().map(|(at, command)| (command.name, at)));
    order.iter().map(|at| put[at]).collect::<Vec<_>>().into_iter()
}

/// Needs what the topology is read from.
fn need_topology(need: &mut Need<'_>, _: &Line) -> Outcome<()> {
    need.column("Open_vSwitch", "bridges");
    need.columns("Bridge", &["name", "ports"]);
    need.columns("Port", &["name", "fake_bridge", "tag", "interfaces"]);
    need.column("Interface", "name");
    Ok(())
}

/// The integer at the start of `text`, zero if there is none, as `atol(3)` reads it.
fn leading_integer(text: &str) -> i64 {
    let text = text.trim_start();
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    sign * digits[..end].parse::<i64>().unwrap_or(0)
}

/// Writes a map of strings.
fn set_map(ctx: &mut Context<'_>, (table, row, column): (&str, Uuid, &str), key: &str, value: Option<&str>) {
    ctx.txn.verify(table, row, column);
    let old = ctx.txn.get(table, row, column).clone();
    let new = match value {
        Some(value) => old.union(&Datum::string_map([(key, value)]), true),
        None => old.subtract(&Datum::string(key)),
    };
    ctx.txn.set(table, row, column, new);
}
