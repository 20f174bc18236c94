//! Databases and their schemas: `list-dbs`, `get-schema…`, `list-tables`, `list-columns`.

use super::{Context, Outcome};
use cli::program::print;
use cli::table::{Cell, Table};
use ovsdb::DatabaseSchema;
use serde_json::{Value, json};

/// The names of the databases on the server, sorted.
pub(super) fn database_names(ctx: &mut Context<'_>) -> Outcome<Vec<String>> {
    let reply = ctx.call("list_dbs", Vec::new())?;
    let list = reply.as_array().ok_or("list_dbs response is not array")?;
    let mut names = Vec::new();
    for (i, name) in list.iter().enumerate() {
        let name = name.as_str().ok_or_else(|| format!("list_dbs response {i} is not string"))?;
        names.push(name.to_string());
    }
    names.sort_unstable();
    Ok(names)
}

/// The schema of a database as the server gives it.
pub(super) fn fetch(ctx: &mut Context<'_>, database: &str) -> Outcome<DatabaseSchema> {
    let reply: Value = ctx.call("get_schema", vec![json!(database)])?;
    DatabaseSchema::from_json(&reply).map_err(|error| error.to_string())
}

fn fetch_own(ctx: &mut Context<'_>) -> Outcome<DatabaseSchema> {
    let database = ctx.database.clone();
    fetch(ctx, &database)
}

pub(super) fn list_dbs(ctx: &mut Context<'_>, _: &[String]) -> Outcome<()> {
    let names = database_names(ctx)?;
    names.iter().for_each(|name| print(&format!("{name}\n")));
    Ok(())
}

pub(super) fn get_schema(ctx: &mut Context<'_>, _: &[String]) -> Outcome<()> {
    let schema = fetch_own(ctx)?.to_json();
    ctx.print_json(&schema);
    Ok(())
}

pub(super) fn get_schema_version(ctx: &mut Context<'_>, _: &[String]) -> Outcome<()> {
    let schema = fetch_own(ctx)?;
    print(&format!("{}\n", schema.version));
    Ok(())
}

pub(super) fn get_schema_cksum(ctx: &mut Context<'_>, _: &[String]) -> Outcome<()> {
    let schema = fetch_own(ctx)?;
    print(&format!("{}\n", schema.cksum));
    Ok(())
}

pub(super) fn list_tables(ctx: &mut Context<'_>, _: &[String]) -> Outcome<()> {
    let schema = fetch_own(ctx)?;
    let mut table = Table::new(["Table"]);
    table.rows = schema.tables_in_turn().map(|table| vec![Cell::Text(table.name.to_string())]).collect();
    ctx.print_table(&table);
    Ok(())
}

pub(super) fn list_columns(ctx: &mut Context<'_>, args: &[String]) -> Outcome<()> {
    let schema = fetch_own(ctx)?;
    let only = args.first();
    let mut table = match only {
        Some(_) => Table::new(["Column", "Type"]),
        None => Table::new(["Table", "Column", "Type"]),
    };
    for ts in schema.tables_in_turn().filter(|ts| only.is_none_or(|only| *only == *ts.name)) {
        for column in ts.columns_in_turn().map(|at| &ts.columns[at]) {
            let mut row = vec![Cell::Text(column.name.to_string()), Cell::Json(column.ty.to_json())];
            if only.is_none() {
                row.insert(0, Cell::Text(ts.name.to_string()));
            }
            table.rows.push(row);
        }
    }
    ctx.print_table(&table);
    Ok(())
}
