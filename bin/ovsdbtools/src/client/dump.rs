//! `dump`: the contents of a database as tables.

use super::selection::{self, Selection};
use super::{Context, Outcome, schema};
use cli::table::{Cell, Table};
use ovsdb::TableSchema;
use std::sync::Arc;

fn whole(table: &Arc<TableSchema>) -> Selection {
    let mut columns: Vec<_> = table.columns.iter().filter(|column| &*column.name != "_version").cloned().collect();
    columns.sort_by(|a, b| a.name.cmp(&b.name));
    Selection::new(table, columns)
}

fn chosen(table: &Arc<TableSchema>, names: &[String]) -> Outcome<Selection> {
    if names.is_empty() {
        return Ok(whole(table));
    }
    let mut columns = Vec::new();
    for name in names {
        let column = table.column(name).ok_or_else(|| format!("Table \"{}\" has no column {name}.", table.name))?;
        columns.push(column.clone());
    }
    columns.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Selection::new(table, columns))
}

pub(super) fn dump(ctx: &mut Context<'_>, args: &[String]) -> Outcome<()> {
    let database = ctx.database.clone();
    let schema = schema::fetch(ctx, &database)?;
    let mut selections = match args.split_first() {
        None => schema.tables.values().map(whole).collect(),
        Some((name, columns)) => {
            let table = schema.table(name).ok_or_else(|| format!("No table \"{name}\" found."))?;
            vec![chosen(table, columns)?]
        }
    };
    selection::fetch(ctx, &mut selections)?;
    for selection in &mut selections {
        selection.sort();
        let mut table = Table::new(selection.columns.iter().map(|column| &*column.name));
        table.caption = Some(format!("{} table", selection.table.name));
        for row in &selection.rows {
            let cells = row.iter().zip(&selection.columns);
            table.rows.push(cells.map(|(datum, column)| Cell::Datum(datum.clone(), column.ty.clone())).collect());
        }
        ctx.print_table(&table);
    }
    Ok(())
}
