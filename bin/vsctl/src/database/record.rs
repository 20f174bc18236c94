//! Finding rows: by UUID, by the first digits of one, by a name, or by the row that refers to them.

use crate::context::Context;
use crate::need::Need;
use crate::{Outcome, fail};
use idl::Row;
use ovsdb::{AtomicType, Datum, TableSchema, Uuid};

/// A way to name rows of a table.
pub(crate) enum Way {
    /// By a column of their own.
    Own(&'static str),
    /// By `.`, where there is only one row.
    Only,
    /// By the name of the row of another table that refers to them: table and referring column.
    Via(&'static str, &'static str),
}

/// The ways to name rows, by table, in the order in which `--help` lists them.
pub(crate) const WAYS: &[(&str, Way)] = &[
    ("AutoAttach", Way::Via("Bridge", "auto_attach")),
    ("Bridge", Way::Own("name")),
    ("Controller", Way::Via("Bridge", "controller")),
    ("Flow_Sample_Collector_Set", Way::Own("id")),
    ("Flow_Table", Way::Own("name")),
    ("IPFIX", Way::Via("Bridge", "ipfix")),
    ("Interface", Way::Own("name")),
    ("Manager", Way::Own("target")),
    ("Mirror", Way::Own("name")),
    ("NetFlow", Way::Via("Bridge", "netflow")),
    ("Open_vSwitch", Way::Only),
    ("Port", Way::Own("name")),
    ("QoS", Way::Via("Port", "qos")),
    ("SSL", Way::Only),
    ("sFlow", Way::Via("Bridge", "sflow")),
];

fn ways(table: &str) -> impl Iterator<Item = &'static Way> {
    WAYS.iter().filter(move |(name, _)| *name == table).map(|(_, way)| way)
}

/// Needs the rows of `table` and what they may be named by.
pub(crate) fn need(need: &mut Need<'_>, table: &str) {
    need.table(table);
    for way in ways(table) {
        match way {
            Way::Own(column) => need.column(table, column),
            Way::Via(other, column) => need.columns(other, &["name", column]),
            Way::Only => {}
        }
    }
}

/// The row of `table` that `id` names, or nothing.
pub(crate) fn find(ctx: &Context<'_>, table: &TableSchema, id: &str) -> Outcome<Option<Uuid>> {
    if let Some(uuid) = Uuid::parse(id)
        && ctx.txn.row(&table.name, uuid).is_some()
    {
        return Ok(Some(uuid));
    }
    for way in ways(&table.name) {
        if let Some(uuid) = find_by(ctx, table, way, id)? {
            return Ok(Some(uuid));
        }
    }
    if id == "." {
        let rows = ctx.txn.rows(&table.name);
        return Ok(if rows.len() == 1 { Some(rows[0].uuid()) } else { None });
    }
    find_by_prefix(ctx, table, id)
}

/// The row of `table` that `id` names.
pub(crate) fn find_or_fail(ctx: &Context<'_>, table: &TableSchema, id: &str) -> Outcome<Uuid> {
    match find(ctx, table, id)? {
        Some(uuid) => Ok(uuid),
        None => fail(format!("no row \"{id}\" in table {}", table.name)),
    }
}

/// The row that a command is about: its second argument. `None` if there is no such row and the
/// option `--if-exists` was given.
pub(crate) fn of_line(ctx: &Context<'_>, table: &TableSchema, line: &crate::line::Line) -> Outcome<Option<Uuid>> {
    match find(ctx, table, line.arg(1))? {
        None if !line.has("--if-exists") => find_or_fail(ctx, table, line.arg(1)).map(Some),
        found => Ok(found),
    }
}

fn find_by(ctx: &Context<'_>, table: &TableSchema, way: &Way, id: &str) -> Outcome<Option<Uuid>> {
    match way {
        // Any table's only row answers to that name.
        Way::Only => Ok(None),
        Way::Own(column) => Ok(named(ctx, table, column, id)?.map(Row::uuid)),
        Way::Via(other, column) => {
            let Some(other) = ctx.txn.replica().schema().table(other).cloned() else { return Ok(None) };
            let Some(row) = named(ctx, &other, "name", id)? else { return Ok(None) };
            let uuid = row.datum(column).as_uuid();
            Ok(uuid.filter(|uuid| ctx.txn.row(&table.name, *uuid).is_some()))
        }
    }
}

fn named<'c>(ctx: &'c Context<'_>, table: &TableSchema, column: &str, id: &str) -> Outcome<Option<&'c Row>> {
    let integer = table.column(column).is_some_and(|column| column.ty.key.kind == AtomicType::Integer);
    let wanted = match id.parse() {
        Ok(number) if integer => Datum::integer(number),
        _ => Datum::string(id),
    };
    let Some(index) = table.column_index(column) else { return Ok(None) };
    let mut rows = ctx.txn.rows(&table.name).into_iter().filter(|row| *row.at(index) == wanted);
    let first = rows.next();
    if rows.next().is_some() {
        return fail(format!("multiple rows in {} match \"{id}\"", table.name));
    }
    Ok(first)
}

fn find_by_prefix(ctx: &Context<'_>, table: &TableSchema, id: &str) -> Outcome<Option<Uuid>> {
    if id.len() < 4 || !Uuid::is_prefix(id) {
        return Ok(None);
    }
    let wanted = id.to_ascii_lowercase();
    let mut rows =
        ctx.txn.rows(&table.name).into_iter().map(Row::uuid).filter(|uuid| uuid.to_string().starts_with(&wanted));
    let first = rows.next();
    match (first, rows.next()) {
        (Some(first), Some(second)) => fail(format!(
            "{} contains 2 or more rows whose UUIDs begin with {id}: at least {first} and {second}",
            table.name
        )),
        (first, _) => Ok(first),
    }
}
