//! `show`: an overview of the database's contents.

use crate::Outcome;
use crate::command::Command;
use crate::context::Context;
use crate::line::Line;
use crate::need::Need;
use idl::Row;
use ovsdb::{Atom, Uuid};
use std::collections::BTreeSet;

pub(crate) const COMMANDS: &[Command] = &[Command::new("show", (0, 0), "", need, show).reads()];

/// A table of the overview: the column that names its rows, and the columns shown below the name.
struct Shown {
    table: &'static str,
    name: Option<&'static str>,
    columns: &'static [&'static str],
}

const SHOWN: &[Shown] = &[
    Shown { table: "Open_vSwitch", name: None, columns: &["manager_options", "bridges", "ovs_version"] },
    Shown { table: "Bridge", name: Some("name"), columns: &["controller", "fail_mode", "datapath_type", "ports"] },
    Shown { table: "Port", name: Some("name"), columns: &["tag", "trunks", "interfaces"] },
    Shown { table: "Interface", name: Some("name"), columns: &["type", "options", "error", "bfd_status"] },
    Shown { table: "Controller", name: Some("target"), columns: &["is_connected"] },
    Shown { table: "Manager", name: Some("target"), columns: &["is_connected"] },
];

fn need(need: &mut Need<'_>, _: &Line) -> Outcome<()> {
    for shown in SHOWN {
        need.columns(shown.table, shown.columns);
        if let Some(name) = shown.name {
            need.column(shown.table, name);
        }
    }
    Ok(())
}

fn show(ctx: &mut Context<'_>, line: &mut Line) -> Outcome<()> {
    let mut seen = BTreeSet::new();
    for row in ctx.txn.rows("Open_vSwitch") {
        show_row(ctx, row, 0, &mut seen, &mut line.output);
    }
    Ok(())
}

/// The text of a column, or nothing where it has its default.
fn text_of(row: &Row, column: &str) -> Option<String> {
    let schema = row.schema().column(column)?;
    let datum = row.datum(column);
    (!datum.is_default(&schema.ty)).then(|| datum.to_cli_string(&schema.ty))
}

fn show_row(ctx: &Context<'_>, row: &Row, level: usize, seen: &mut BTreeSet<Uuid>, out: &mut String) {
    let Some(shown) = SHOWN.iter().find(|shown| shown.table == &*row.schema().name) else { return };
    let indent = " ".repeat(level * 4);
    match shown.name {
        Some(name) => {
            let schema = row.schema().column(name);
            let text = schema.map(|column| row.datum(name).to_cli_string(&column.ty)).unwrap_or_default();
            out.push_str(&format!("{indent}{} {text}\n", shown.table));
        }
        None => out.push_str(&format!("{indent}{}\n", row.uuid())),
    }
    if !seen.insert(row.uuid()) {
        return;
    }
    for column in shown.columns {
        let Some(schema) = row.schema().column(column) else { continue };
        let target = schema.ty.key.reference().and_then(|r| SHOWN.iter().find(|s| s.table == &*r.table));
        if let Some(target) = target {
            let mut rows: Vec<&Row> = row
                .datum(column)
                .atoms()
                .iter()
                .filter_map(Atom::as_uuid)
                .filter_map(|uuid| ctx.txn.row(target.table, uuid))
                .collect();
            // Rows lie in the order of their random identities; people look for names.
            rows.sort_by(|a, b| target.name.map(|n| a.datum(n)).cmp(&target.name.map(|n| b.datum(n))));
            for child in rows {
                show_row(ctx, child, level + 1, seen, out);
            }
        } else if let Some(text) = text_of(row, column) {
            out.push_str(&format!("{indent}    {column}: {text}\n"));
        }
    }
}
