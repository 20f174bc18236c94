//! `monitor`, `monitor-cond` and `monitor-cond-since`: the contents of tables and their changes.

use super::{Context, Outcome, schema};
use crate::files::parse_json;
use cli::control::{Control, Request};
use cli::daemon::Reports;
use cli::program::{flush_stdout, print, strerror};
use cli::table::{Cell, Table};
use jsonrpc::Message;
use ovsdb::{ColumnSchema, DatabaseSchema, Datum, TableSchema, Uuid};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::sync::Arc;

const CONTROL: &[vlog::Command] = &[
    ("exit", "", 0, 0),
    ("ovsdb-client/block", "", 0, 0),
    ("ovsdb-client/unblock", "", 0, 0),
    ("ovsdb-client/cond_change", "TABLE COND", 2, 2),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    Plain,
    Cond,
    Since,
}

/// A table that is watched: its columns in the order of the output.
struct Watched {
    /// The table's name, where there are several tables.
    caption: Option<String>,
    columns: Vec<Arc<ColumnSchema>>,
}

/// Which changes one group of columns is watched for.
#[derive(Default)]
struct Group {
    names: Vec<String>,
    /// `initial`, `insert`, `delete` and `modify` where they are not wanted.
    silenced: Vec<&'static str>,
}

pub(super) fn monitor(ctx: &mut Context<'_>, args: &[String]) -> Outcome<()> {
    run(ctx, Method::Plain, None, None, args)
}

pub(super) fn monitor_cond(ctx: &mut Context<'_>, args: &[String]) -> Outcome<()> {
    run(ctx, Method::Cond, None, Some(&args[0]), &args[1..])
}

pub(super) fn monitor_cond_since(ctx: &mut Context<'_>, args: &[String]) -> Outcome<()> {
    match args[0].as_str() {
        id if Uuid::parse(id).is_some() && args.len() > 2 => {
            run(ctx, Method::Since, Some(id), Some(&args[1]), &args[2..])
        }
        _ => run(ctx, Method::Since, None, Some(&args[0]), &args[1..]),
    }
}

fn parse_group(text: &str) -> Group {
    let mut group = Group::default();
    for word in text.split([',', ' ']).filter(|word| !word.is_empty()) {
        match word {
            "!initial" => group.silenced.push("initial"),
            "!insert" => group.silenced.push("insert"),
            "!delete" => group.silenced.push("delete"),
            "!modify" => group.silenced.push("modify"),
            name => group.names.push(name.to_string()),
        }
    }
    group
}

/// All columns that `monitor` shows of a table: its own by name, then `_version`.
fn all_columns(table: &TableSchema) -> Vec<Arc<ColumnSchema>> {
    let own = table.own_columns().map(|(_, column)| column);
    own.chain(table.column("_version")).cloned().collect()
}

/// The requests for one table, and what is to be shown of it.
fn requests_for(
    ctx: &Context<'_>,
    table: &Arc<TableSchema>,
    groups: &[String],
    condition: Option<&Value>,
) -> Outcome<(Watched, Vec<Value>)> {
    let mut watched = Watched { caption: None, columns: Vec::new() };
    let mut requests = Vec::new();
    let whole = [String::new()];
    for text in if groups.is_empty() { &whole[..] } else { groups } {
        let group = parse_group(text);
        let columns = if group.names.is_empty() {
            all_columns(table)
        } else {
            let mut columns = Vec::new();
            for name in &group.names {
                columns.push(table.column(name).cloned().ok_or_else(|| {
                    format!(
                        "{}: table \"{}\" in {} does not have a column named \"{name}\"",
                        ctx.server, table.name, ctx.database
                    )
                })?);
            }
            columns
        };
        for column in &columns {
            if watched.columns.iter().any(|other| other.name == column.name) {
                return Err(format!("{}: column \"{}\" mentioned multiple times", ctx.server, column.name));
            }
            watched.columns.push(column.clone());
        }
        let mut request = Map::new();
        let names: Vec<&str> = columns.iter().map(|column| &*column.name).collect();
        request.insert("columns".into(), json!(names));
        if !group.silenced.is_empty() {
            let select = group.silenced.iter().map(|what| ((*what).to_string(), json!(false))).collect();
            request.insert("select".into(), Value::Object(select));
        }
        if let Some(condition) = condition {
            request.insert("where".into(), condition.clone());
        }
        requests.push(Value::Object(request));
    }
    Ok((watched, requests))
}

/// Reads the condition and checks it against the table.
fn read_condition(text: &str, table: Option<&TableSchema>) -> Outcome<Value> {
    let json = parse_json(text)?;
    let Some(clauses) = json.as_array() else {
        return Err("condition is not a JSON array".into());
    };
    for clause in clauses {
        let Some(name) = clause.get(0).and_then(Value::as_str) else { continue };
        if let Some(table) = table.filter(|table| table.column(name).is_none()) {
            let clause = cli::json::text(clause, false);
            return Err(format!("syntax \"{clause}\": unknown column: No column {name} in table {}.", table.name));
        }
    }
    Ok(json)
}

type Plan = (BTreeMap<String, Watched>, Map<String, Value>);

fn plan(ctx: &Context<'_>, schema: &DatabaseSchema, condition: Option<&str>, args: &[String]) -> Outcome<Plan> {
    let mut watched = BTreeMap::new();
    let mut requests = Map::new();
    let (name, groups) = args.split_first().ok_or("invalid syntax")?;
    let tables: Vec<&Arc<TableSchema>> = if name == "ALL" {
        if condition.is_some() {
            return Err("ALL tables are not allowed with condition".into());
        }
        schema.tables.values().collect()
    } else {
        let table = schema.table(name);
        let prefix = if condition.is_some() { String::new() } else { format!("{}: ", ctx.server) };
        let missing = || format!("{prefix}{} does not have a table named \"{name}\"", ctx.database);
        vec![table.ok_or_else(missing)?]
    };
    let several = tables.len() > 1;
    for table in tables {
        let condition = match condition {
            Some(text) => Some(read_condition(text, Some(table))?),
            None => None,
        };
        let (mut shown, request) = requests_for(ctx, table, groups, condition.as_ref())?;
        shown.caption = several.then(|| table.name.to_string());
        watched.insert(table.name.to_string(), shown);
        requests.insert(table.name.to_string(), Value::Array(request));
    }
    Ok((watched, requests))
}

fn run(
    ctx: &mut Context<'_>,
    method: Method,
    last_id: Option<&str>,
    condition: Option<&String>,
    args: &[String],
) -> Outcome<()> {
    let database = ctx.database.clone();
    let schema = schema::fetch(ctx, &database)?;
    let (watched, requests) = plan(ctx, &schema, condition.map(String::as_str), args)?;
    let mut daemon = ctx.daemon()?;
    cli::signals::end_in_order();
    let mut control = Control::listen(&ctx.program.name, CONTROL, ctx.program.version_text(""))
        .map_err(|_| "failed to create unixctl server".to_string())?;
    let monitor_id = match method {
        Method::Plain => Value::Null,
        _ => json!(["monid", database]),
    };
    let mut params = vec![json!(database), monitor_id, Value::Object(requests)];
    let name = match method {
        Method::Plain => "monitor",
        Method::Cond => "monitor_cond",
        Method::Since => {
            params.push(json!(last_id.unwrap_or("00000000-0000-0000-0000-000000000000")));
            "monitor_cond_since"
        }
    };
    if ctx.db_change_aware {
        ctx.become_aware()?;
    }
    let result = ctx.call(name, params)?;
    show_initial(ctx, &watched, method, &result)?;
    flush_stdout();
    daemon.ready(Reports::Both);
    follow(ctx, &watched, &mut control)
}

fn show_initial(
    ctx: &mut Context<'_>,
    watched: &BTreeMap<String, Watched>,
    method: Method,
    result: &Value,
) -> Outcome<()> {
    match method {
        Method::Plain => show_updates(ctx, watched, result, true),
        Method::Cond => show_updates2(ctx, watched, result),
        Method::Since => {
            let Some([found, last, updates]) = result.as_array().map(Vec::as_slice) else {
                return Err("<result> is not array".into());
            };
            let (found, last) = (found.as_bool().unwrap_or(false), last.as_str().unwrap_or(""));
            print(&format!("found: {found}, last_id: {last}\n"));
            show_updates2(ctx, watched, updates)
        }
    }
}

/// Prints updates as they come, until told to exit or the connection is lost.
fn follow(ctx: &mut Context<'_>, watched: &BTreeMap<String, Watched>, control: &mut Control) -> Outcome<()> {
    let mut blocked = false;
    let server = ctx.server.clone();
    let failed = |error: std::io::Error| format!("{server}: receive failed ({})", strerror(&error));
    loop {
        while !blocked && let Some(message) = ctx.rpc()?.take_buffered().map_err(failed)? {
            show_message(ctx, watched, message)?;
            flush_stdout();
        }
        let rpc = ctx.rpc()?;
        // While blocked nothing is read, so that the server sees a client that does not keep up.
        let ready = if blocked {
            control.wait_alone().map_err(|error| error.to_string())?;
            false
        } else {
            rpc.has_buffered_input() || control.wait(rpc.as_fd()).map_err(|error| error.to_string())?
        };
        if ready {
            rpc.fill().map_err(failed)?;
        }
        for request in control.take_requests() {
            if !obey(ctx, control, &request, &mut blocked)? {
                cli::alarm::remove_files();
                return Ok(());
            }
        }
    }
}

/// Carries out a control command; false to end the program.
fn obey(ctx: &mut Context<'_>, control: &mut Control, request: &Request, blocked: &mut bool) -> Outcome<bool> {
    match request.name.as_str() {
        "exit" => {
            control.reply(request, Ok(""));
            return Ok(false);
        }
        "ovsdb-client/block" if *blocked => control.reply(request, Ok("already blocking")),
        "ovsdb-client/unblock" if !*blocked => control.reply(request, Ok("already unblocked")),
        "ovsdb-client/block" | "ovsdb-client/unblock" => {
            *blocked = request.name.ends_with("/block");
            control.reply(request, Ok(""));
        }
        _ => match read_condition(&request.args[1], None) {
            Err(text) => control.reply(request, Err(&text)),
            Ok(condition) => {
                let id = json!(["monid", ctx.database]);
                let change = json!({ request.args[0].as_str(): [{"where": condition}] });
                let sent = ctx.rpc()?.request("monitor_cond_change", vec![id.clone(), id, change]);
                sent.map_err(|error| strerror(&error))?;
                control.reply(request, Ok("condition changed"));
            }
        },
    }
    Ok(true)
}

fn show_message(ctx: &mut Context<'_>, watched: &BTreeMap<String, Watched>, message: Message) -> Outcome<()> {
    let Message::Notification { method, params } = message else { return Ok(()) };
    match (method.as_str(), params.as_slice()) {
        ("update", [_, updates]) => show_updates(ctx, watched, updates, false),
        ("update2", [_, updates]) => show_updates2(ctx, watched, updates),
        ("update3", [_, last, updates]) => {
            // The line ends with what parts tables, where there is such a thing.
            print(&format!("\nlast_id: {}", last.as_str().unwrap_or("")));
            show_updates2(ctx, watched, updates)
        }
        ("monitor_canceled", _) => {
            let (server, database) = (ctx.server.clone(), ctx.database.clone());
            Err(format!("{server}: {database} database was removed"))
        }
        _ => Ok(()),
    }
}

impl Watched {
    fn table(&self, ctx: &Context<'_>) -> Table {
        let names = self.columns.iter().map(|column| &*column.name);
        let mut table = Table::new(["row", "action"].into_iter().chain(names));
        table.caption = self.caption.clone();
        if ctx.timestamp {
            let now = cli::clock::wall();
            table.time = Some((cli::clock::utc_text(now), u64::try_from(now.as_millis()).unwrap_or(0)));
        }
        table
    }

    /// A line of the output; columns that `row` lacks stay blank.
    fn line(&self, uuid: &str, action: &str, row: Option<&Value>) -> Vec<Cell> {
        let mut cells = vec![Cell::Text(uuid.to_string()), Cell::Text(action.to_string())];
        for column in &self.columns {
            let value = row.and_then(|row| row.get(&*column.name));
            let datum = value.and_then(|value| Datum::from_trusted_json(value, &column.ty).ok());
            cells.push(datum.map_or(Cell::Blank, |datum| Cell::Datum(datum, column.ty.clone())));
        }
        cells
    }
}

fn each_table<'u>(
    watched: &'u BTreeMap<String, Watched>,
    updates: &'u Value,
) -> impl Iterator<Item = (&'u Watched, &'u Map<String, Value>)> {
    watched.iter().filter_map(|(name, shown)| Some((shown, updates.get(name)?.as_object()?)))
}

fn show_updates(
    ctx: &mut Context<'_>,
    watched: &BTreeMap<String, Watched>,
    updates: &Value,
    initial: bool,
) -> Outcome<()> {
    if !updates.is_object() {
        return Err("<table-updates> is not object".into());
    }
    for (shown, rows) in each_table(watched, updates) {
        let mut table = shown.table(ctx);
        for (uuid, update) in rows {
            match (update.get("old"), update.get("new")) {
                (None, new) => table.rows.push(shown.line(uuid, if initial { "initial" } else { "insert" }, new)),
                (old, None) => table.rows.push(shown.line(uuid, "delete", old)),
                (Some(old), Some(new)) => {
                    table.rows.push(shown.line(uuid, "old", Some(old)));
                    table.rows.push(shown.line("", "new", Some(new)));
                }
            }
        }
        ctx.print_table(&table);
    }
    Ok(())
}

fn show_updates2(ctx: &mut Context<'_>, watched: &BTreeMap<String, Watched>, updates: &Value) -> Outcome<()> {
    if !updates.is_object() {
        return Err("<table-updates2> is not object".into());
    }
    for (shown, rows) in each_table(watched, updates) {
        let mut table = shown.table(ctx);
        for (uuid, update) in rows {
            let Some((action, row)) = update.as_object().and_then(|update| update.iter().next()) else {
                return Err("<row-update2> is not object".into());
            };
            table.rows.push(shown.line(uuid, action, Some(row)));
        }
        ctx.print_table(&table);
    }
    Ok(())
}
