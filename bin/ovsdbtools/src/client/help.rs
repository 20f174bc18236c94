//! The text of `--help`.

use super::{Context, Outcome, flags};
use cli::dirs;
use cli::groups::{DaemonSettings, LogSettings, TableStyle, connection_methods};
use cli::program::{Program, print};

/// The commands, in the words of their users.
const COMMANDS: &str = "
Valid commands are:

  list-dbs [SERVER]
    list databases available on SERVER

  get-schema [SERVER] [DATABASE]
    retrieve schema for DATABASE from SERVER

  get-schema-version [SERVER] [DATABASE]
    retrieve schema for DATABASE from SERVER and report only its
    version number on stdout

  get-schema-cksum [SERVER] [DATABASE]
    retrieve schema for DATABASE from SERVER and report only its
    checksum on stdout

  list-tables [SERVER] [DATABASE]
    list tables for DATABASE on SERVER

  list-columns [SERVER] [DATABASE] [TABLE]
    list columns in TABLE (or all tables) in DATABASE on SERVER

  transact [SERVER] TRANSACTION
    run TRANSACTION (params for \"transact\" request) on SERVER
    and print the results as JSON on stdout

  query [SERVER] TRANSACTION
    run TRANSACTION (params for \"transact\" request) on SERVER,
    as read-only, and print the results as JSON on stdout

  monitor [SERVER] [DATABASE] TABLE [COLUMN,...]...
    monitor contents of COLUMNs in TABLE in DATABASE on SERVER.
    COLUMNs may include !initial, !insert, !delete, !modify
    to avoid seeing the specified kinds of changes.

  monitor-cond [SERVER] [DATABASE] CONDITION TABLE [COLUMN,...]...
    monitor contents that match CONDITION of COLUMNs in TABLE in
    DATABASE on SERVER.
    COLUMNs may include !initial, !insert, !delete, !modify
    to avoid seeing the specified kinds of changes.

  monitor-cond-since [SERVER] [DATABASE] [LASTID] CONDITION TABLE [COLUMN,...]...
    monitor contents that match CONDITION of COLUMNs in TABLE in
    DATABASE on SERVER, since change after LASTID.
    LASTID specifies transaction ID after which the monitoring
    starts, which works only for cluster mode. If ignored, it
    defaults to an all-zero uuid.
    Other arguments are the same as in monitor-cond.

  convert [SERVER] SCHEMA
    convert database on SERVER named in SCHEMA to SCHEMA.

  needs-conversion [SERVER] SCHEMA
    tests whether SCHEMA's db on SERVER needs conversion.

  monitor [SERVER] [DATABASE] ALL
    monitor all changes to all columns in all tables

  wait [SERVER] DATABASE STATE
    wait until DATABASE reaches STATE (\"added\" or \"connected\" or \"removed\")
    in DATBASE on SERVER.

  dump [SERVER] [DATABASE]
    dump contents of DATABASE on SERVER to stdout

  backup [SERVER] [DATABASE] > SNAPSHOT
    dump database contents in the form of a database file

  [--force] restore [SERVER] [DATABASE] < SNAPSHOT
    restore database contents from a database file

  lock [SERVER] LOCK
    create or wait for LOCK in SERVER

  steal [SERVER] LOCK
    steal LOCK from SERVER

  unlock [SERVER] LOCK
    unlock LOCK from SERVER

";

/// Options that are accepted and do nothing: the tool records no sessions.
const REPLAY: &str = "
Replay options:
  --record[=DIR]            turn on writing replay files
  --replay[=DIR]            run from replay files
";

pub(super) fn help(ctx: &mut Context<'_>, _: &[String]) -> Outcome<()> {
    print(&text(ctx.program));
    Ok(())
}

/// The whole text.
pub(super) fn text(program: &Program) -> String {
    let name = &program.name;
    let flags = flags();
    let help = |long: &str| flags.iter().find(|flag| flag.long == long).map_or("", |flag| flag.help);
    let head = format!("{name}: Open vSwitch database JSON-RPC client\nusage: {name} [OPTIONS] COMMAND [ARG...]\n");
    let defaults =
        dirs::fill("The default SERVER is unix:{rundir}/db.sock.\nThe default DATABASE is Open_vSwitch.\n", name);
    head + COMMANDS
        + &defaults
        + &connection_methods(name, "SERVER", true, true, true)
        + &TableStyle::usage(name)
        + help("timestamp")
        + DaemonSettings::usage(name).trim_start_matches('\n')
        + &LogSettings::usage(name)
        + REPLAY
        + "\nOther options:\n"
        + help("help")
        + help("version")
}
