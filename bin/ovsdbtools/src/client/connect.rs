//! From the arguments to a connection and a database.

use super::{Command, Context, Need, Outcome};
use cli::program::strerror;
use cli::rpc::Rpc;
use cli::stream::{self, Settings, errno};

/// Takes the server and the database off the arguments, where they are given, and connects. Gives
/// the arguments of the command itself.
pub(super) fn prepare<'a>(ctx: &mut Context<'_>, command: &Command, mut args: &'a [String]) -> Outcome<&'a [String]> {
    if command.need == Need::Nothing {
        return Ok(args);
    }
    if let Some(first) = args.first().filter(|_| args.len() > command.min)
        && first.starts_with(|c: char| c.is_ascii_alphabetic())
        && first.contains(':')
    {
        ctx.server = first.clone();
        args = &args[1..];
    } else if command.need == Need::Server && command.max == 1 && args.len() == 2 {
        // Such as the name of a database, which the transaction or schema has anyway: Open vSwitch does not look at it.
        args = &args[1..];
    }
    let is_wrong = |args: &[String]| args.len() < command.min || args.len() > command.max;
    let wrong = || format!("invalid syntax for '{}' (use --help for help)", command.name);
    if command.need == Need::Server && is_wrong(args) {
        return Err(wrong());
    }
    if command.need == Need::Database && ctx.server.contains(',') && args.len() <= command.min {
        return Err("database name is required with multiple remotes".into());
    }
    if command.need != Need::Server {
        ctx.rpc = Some(open(&ctx.server, ctx)?);
    }
    if command.need == Need::Database {
        let names = super::schema::database_names(ctx)?;
        match args.first().filter(|_| args.len() > command.min) {
            Some(first) if names.contains(first) => {
                ctx.database = first.clone();
                args = &args[1..];
            }
            _ => ctx.database = default_database(&names)?,
        }
    }
    if is_wrong(args) { Err(wrong()) } else { Ok(args) }
}

/// The database to work with when none is named: Open_vSwitch, or the only one there is.
fn default_database(names: &[String]) -> Outcome<String> {
    if names.iter().any(|name| name == "Open_vSwitch") {
        return Ok("Open_vSwitch".into());
    }
    let mut own = names.iter().filter(|name| !name.starts_with('_'));
    match (own.next(), own.next()) {
        (Some(only), None) => Ok(only.clone()),
        _ => Err("could not find a default database, please specify a database name".into()),
    }
}

/// Connects to one of the servers in `names`.
pub(super) fn open(names: &str, ctx: &Context<'_>) -> Outcome<Rpc> {
    let settings = Settings { tls: ctx.tls.clone(), default_port: stream::OVSDB_PORT };
    let mut last = String::from("no servers were available");
    let many = names.contains(',');
    for name in names.split(',') {
        if stream::is_passive(name) {
            vlog::info!("ovsdb_client", "{name}: waiting for connection...");
        }
        if many {
            vlog::info!("reconnect", "{name}: connecting...");
        }
        match Rpc::open(name, &settings) {
            Ok(rpc) => {
                if many {
                    vlog::info!("reconnect", "{name}: connected");
                }
                return Ok(rpc);
            }
            Err(error) if many => {
                vlog::info!("reconnect", "{name}: connection attempt failed ({})", strerror(&error));
            }
            Err(error) => {
                let listen = if errno::is_address_family_not_supported(&error) { " or listen" } else { "" };
                last = format!("failed to connect{listen} to \"{name}\" ({})", strerror(&error));
            }
        }
    }
    Err(last)
}
