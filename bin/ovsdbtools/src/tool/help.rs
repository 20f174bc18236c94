//! The text of `--help`.

use super::{Context, Outcome, flags};
use cli::dirs;
use cli::groups::LogSettings;
use cli::program::{Program, print};

/// The commands, in the words of their users.
const COMMANDS: &str = "  create [DB [SCHEMA]]    create DB with the given SCHEMA
  [--election-timer=ms] create-cluster DB CONTENTS LOCAL
    create clustered DB with given CONTENTS and LOCAL address
  [--cid=UUID] join-cluster DB NAME LOCAL REMOTE...
    join clustered DB with given NAME and LOCAL and REMOTE addrs
  compact [DB [DST]]      compact DB in-place (or to DST)
  convert [DB [SCHEMA [DST]]]   convert DB to SCHEMA (to DST)
  db-name [DB]            report name of schema used by DB
  db-version [DB]         report version of schema used by DB
  db-cksum [DB]           report checksum of schema used by DB
  db-cid DB               report cluster ID of clustered DB
  db-sid DB               report server ID of clustered DB
  db-local-address DB     report local address of clustered DB
  db-is-clustered DB      test whether DB is clustered
  db-is-standalone DB     test whether DB is standalone
  schema-name [SCHEMA]    report SCHEMA's name
  schema-version [SCHEMA] report SCHEMA's schema version
  schema-cksum [SCHEMA]   report SCHEMA's checksum
  compare-versions A OP B  compare OVSDB schema version numbers
  query [DB] TRNS         execute read-only transaction on DB
  transact [DB] TRNS      execute read/write transaction on DB
  cluster-to-standalone DB DB    Convert clustered DB to
      standalone DB when cluster is down and cannot be
        revived
  [-m]... show-log [DB]   print DB's log entries
";

pub(super) fn help(ctx: &mut Context<'_>, _: &[String]) -> Outcome<i32> {
    print(&text(ctx.program));
    Ok(0)
}

/// The whole text.
pub(super) fn text(program: &Program) -> String {
    let name = &program.name;
    let flags = flags();
    let help = |long: &str| flags.iter().find(|flag| flag.long == long).map_or("", |flag| flag.help);
    let head = format!("{name}: Open vSwitch database management utility\nusage: {name} [OPTIONS] COMMAND [ARG...]\n");
    let defaults = format!(
        "The default DB is {}.\nThe default SCHEMA is {}.\n",
        dirs::default_db_file(),
        dirs::default_schema_file()
    );
    head + COMMANDS
        + &defaults
        + &LogSettings::usage(name)
        + "\nOther options:\n"
        + help("more")
        + help("rbac-role")
        + help("help")
        + help("version")
}
