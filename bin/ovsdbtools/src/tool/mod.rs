//! ovsdb-tool: works on database files.

mod cluster;
mod create;
mod help;
mod info;
mod rewrite;
mod show_log;
mod transact;
mod versions;

use cli::command::{self, Command};
use cli::groups::{HELP, LOG, LogSettings, OPTION, VERSION};
use cli::options::{self, Flag, Order};
use cli::program::{Program, flush_stdout, print};
use ovsdb::Uuid;

/// A text for the user, or a value.
pub(crate) type Outcome<T> = Result<T, String>;

/// What commands work with.
pub(crate) struct Context<'a> {
    program: &'a Program,
    /// How often `--more` was given.
    more: usize,
    role: Option<String>,
}

type Run = fn(&mut Context<'_>, &[String]) -> Outcome<i32>;

const MANY: usize = usize::MAX;

/// The commands, in the order in which `list-commands` lists them.
const COMMANDS: &[Command<Run>] = &[
    Command::writing("create", "[db [schema]]", 0, 2, create::create),
    Command::writing("create-cluster", "db contents local", 3, 3, cluster::refuse),
    Command::writing("join-cluster", "db name local remote...", 4, MANY, cluster::refuse),
    Command::writing("compact", "[db [dst]]", 0, 2, rewrite::compact),
    Command::writing("convert", "[db [schema [dst]]]", 0, 3, rewrite::convert),
    Command::reading("needs-conversion", "", 0, 2, info::needs_conversion),
    Command::reading("db-name", "[db]", 0, 1, info::db_name),
    Command::reading("db-version", "[db]", 0, 1, info::db_version),
    Command::reading("db-cksum", "[db]", 0, 1, info::db_cksum),
    Command::reading("db-cid", "db", 1, 1, cluster::db_cid),
    Command::reading("db-sid", "db", 1, 1, cluster::db_sid),
    Command::reading("db-local-address", "db", 1, 1, cluster::db_local_address),
    Command::reading("db-is-clustered", "db", 1, 1, cluster::db_is_clustered),
    Command::reading("db-is-standalone", "db", 1, 1, cluster::db_is_standalone),
    Command::reading("schema-name", "[schema]", 0, 1, info::schema_name),
    Command::reading("schema-version", "[schema]", 0, 1, info::schema_version),
    Command::reading("schema-cksum", "[schema]", 0, 1, info::schema_cksum),
    Command::reading("query", "[db] trns", 1, 2, transact::query),
    Command::writing("transact", "[db] trns", 1, 2, transact::transact),
    Command::reading("show-log", "[db]", 0, 1, show_log::show_log),
    Command::reading("check-cluster", "db...", 1, MANY, cluster::check_cluster),
    Command::reading("compare-versions", "a op b", 3, 3, versions::compare_versions),
    Command::reading("help", "", 0, MANY, help::help),
    Command::reading("list-commands", "", 0, MANY, list_commands),
    Command::writing("cluster-to-standalone", "db clusterdb", 2, 2, cluster::to_standalone),
];

fn list_commands(_: &mut Context<'_>, _: &[String]) -> Outcome<i32> {
    print(&command::listing(COMMANDS));
    Ok(0)
}

/// The options: of those of the log only its levels.
fn flags() -> Vec<Flag> {
    vec![
        Flag::switch("more").short('m').help("  -m, --more                  increase show-log verbosity\n"),
        Flag::value("rbac-role").help("  --rbac-role=ROLE            RBAC role for transact and query commands\n"),
        Flag::value("cid"),
        Flag::value("election-timer"),
        LOG[0],
        HELP.help("  -h, --help                  display this help message\n"),
        OPTION,
        VERSION.help("  -V, --version               display version information\n"),
    ]
}

/// Runs ovsdb-tool and gives its exit code.
#[must_use]
pub fn main() -> i32 {
    let program = Program::from_env("ovsdb-tool");
    match run(&program) {
        Ok(code) => {
            flush_stdout();
            code
        }
        Err(text) => program.fatal(&text),
    }
}

fn run(program: &Program) -> Outcome<i32> {
    let flags = flags();
    let parsed = program.parse(&flags, Order::Permute);
    let mut ctx = Context { program, more: 0, role: None };
    let mut log = LogSettings::default();
    for given in &parsed.given {
        match given.flag.long {
            "more" => ctx.more += 1,
            "rbac-role" => ctx.role = given.value.clone(),
            "help" => {
                log.start(&program.name).map_err(|error| error.0)?;
                return help::help(&mut ctx, &[]);
            }
            "option" => {
                log.start(&program.name).map_err(|error| error.0)?;
                print(&options::listing(&flags));
                return Ok(0);
            }
            "version" => {
                log.start(&program.name).map_err(|error| error.0)?;
                print(&program.version_text(""));
                return Ok(0);
            }
            "cid" => {
                let id = Uuid::parse(given.text()).filter(|id| !id.is_zero());
                id.ok_or_else(|| format!("{}: not a valid UUID", given.text()))?;
            }
            "election-timer" => election_timer(given.text())?,
            _ => {
                let _ = log.accept(given).map_err(|error| error.0)?;
            }
        }
    }
    log.start(&program.name).map_err(|error| error.0)?;
    program.end_at_fault(&parsed);
    let command = command::find(COMMANDS, &parsed.arguments, false)?;
    (command.run)(&mut ctx, &parsed.arguments[1..])
}

/// Judges the time, in ms, that a cluster waits for its leader.
fn election_timer(text: &str) -> Outcome<()> {
    let digits = text.trim_start().bytes().take_while(u8::is_ascii_digit);
    let ms = digits.fold(0u64, |ms, digit| ms.saturating_mul(10).saturating_add(u64::from(digit - b'0')));
    match ms {
        100..=600_000 => Ok(()),
        _ => Err("ovsdb error: election timer must be between 100 and 600000, in msec.".into()),
    }
}

/// The database file that the argument names, else the default one.
fn db_file(args: &[String], index: usize) -> String {
    args.get(index).cloned().unwrap_or_else(cli::dirs::default_db_file)
}

/// The schema file that the argument names, else the default one.
fn schema_file(args: &[String], index: usize) -> String {
    args.get(index).cloned().unwrap_or_else(cli::dirs::default_schema_file)
}

/// Random bits for UUIDs.
fn uuid_source() -> ovsdb::UuidSource {
    use std::io::Read;
    let mut seed = [0; 16];
    if std::fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut seed)).is_err() {
        seed = cli::clock::wall().as_nanos().to_be_bytes();
    }
    ovsdb::UuidSource::new(u128::from_be_bytes(seed))
}

/// The wall clock in milliseconds since 1970.
fn wall_ms() -> i64 {
    i64::try_from(cli::clock::wall().as_millis()).unwrap_or(i64::MAX)
}
