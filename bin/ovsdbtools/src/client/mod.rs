//! ovsdb-client: talks to a database server.

mod backup;
mod connect;
mod convert;
mod dump;
mod help;
mod lock;
mod monitor;
mod schema;
mod selection;
mod transact;
mod wait;

use cli::daemon::Daemon;
use cli::groups::{
    BOOTSTRAP, DAEMON, DaemonSettings, HELP, LOG, LogSettings, TABLE, TLS, TableFormat, TableStyle, TlsSettings,
    VERSION,
};
use cli::options::{self, Flag, Order, UsageError};
use cli::program::{Program, flush_stdout, print};
use cli::rpc::Rpc;
use cli::table::Table;
use serde_json::Value;

/// Why a command fails: a text for the user.
pub(crate) type Outcome<T> = Result<T, String>;

/// What a command has to be given before it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    /// Nothing.
    Nothing,
    /// The name of a server, but no connection yet.
    Server,
    /// A connection.
    Connection,
    /// A connection, and a database on it.
    Database,
}

/// A command of ovsdb-client.
struct Command {
    name: &'static str,
    need: Need,
    min: usize,
    max: usize,
    run: fn(&mut Context<'_>, &[String]) -> Outcome<()>,
}

const MANY: usize = usize::MAX;

const COMMANDS: &[Command] = &[
    Command { name: "list-dbs", need: Need::Connection, min: 0, max: 0, run: schema::list_dbs },
    Command { name: "get-schema", need: Need::Database, min: 0, max: 0, run: schema::get_schema },
    Command { name: "get-schema-version", need: Need::Database, min: 0, max: 0, run: schema::get_schema_version },
    Command { name: "get-schema-cksum", need: Need::Database, min: 0, max: 0, run: schema::get_schema_cksum },
    Command { name: "list-tables", need: Need::Database, min: 0, max: 0, run: schema::list_tables },
    Command { name: "list-columns", need: Need::Database, min: 0, max: 1, run: schema::list_columns },
    Command { name: "transact", need: Need::Server, min: 1, max: 1, run: transact::transact },
    Command { name: "query", need: Need::Server, min: 1, max: 1, run: transact::query },
    Command { name: "monitor", need: Need::Database, min: 1, max: MANY, run: monitor::monitor },
    Command { name: "monitor-cond", need: Need::Database, min: 2, max: 3, run: monitor::monitor_cond },
    Command { name: "monitor-cond-since", need: Need::Database, min: 2, max: 4, run: monitor::monitor_cond_since },
    Command { name: "wait", need: Need::Server, min: 2, max: 2, run: wait::wait },
    Command { name: "dump", need: Need::Database, min: 0, max: MANY, run: dump::dump },
    Command { name: "backup", need: Need::Database, min: 0, max: 0, run: backup::backup },
    Command { name: "restore", need: Need::Database, min: 0, max: 0, run: backup::restore },
    Command { name: "convert", need: Need::Server, min: 1, max: 1, run: convert::convert },
    Command { name: "needs-conversion", need: Need::Server, min: 1, max: 1, run: convert::needs_conversion },
    Command { name: "lock", need: Need::Connection, min: 1, max: 1, run: lock::lock },
    Command { name: "steal", need: Need::Connection, min: 1, max: 1, run: lock::steal },
    Command { name: "unlock", need: Need::Connection, min: 1, max: 1, run: lock::unlock },
    Command { name: "help", need: Need::Nothing, min: 0, max: MANY, run: help::help },
];

/// Commands that go to the background if they are asked to.
const DETACHES: [&str; 6] = ["monitor", "monitor-cond", "monitor-cond-since", "lock", "steal", "unlock"];

/// What a command works on.
pub(crate) struct Context<'a> {
    program: &'a Program,
    style: TableStyle,
    timestamp: bool,
    force: bool,
    /// A monitor tells the server that it knows of databases that come and go.
    db_change_aware: bool,
    daemon: DaemonSettings,
    tls: TlsSettings,
    /// The names of the server, parted by commas.
    server: String,
    rpc: Option<Rpc>,
    database: String,
    /// Whether a table has been printed already.
    printed: bool,
}

impl Context<'_> {
    /// The connection.
    fn rpc(&mut self) -> Outcome<&mut Rpc> {
        self.rpc.as_mut().ok_or_else(|| "not connected to a database server".to_string())
    }

    /// Sends a request and gives its result; an error reply is an error.
    fn call(&mut self, method: &str, params: Vec<Value>) -> Outcome<Value> {
        match self.rpc()?.transact(method, params) {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(error)) => Err(format!("transaction returned error: {}", cli::json::text(&error, false))),
            Err(error) => Err(format!("transaction failed ({})", cli::program::strerror(&error))),
        }
    }

    /// Prints a JSON value on a line, or pretty.
    fn print_json(&self, value: &Value) {
        print(&format!("{}\n", cli::json::text(value, self.style.pretty)));
    }

    /// Prints a table.
    fn print_table(&mut self, table: &Table) {
        let mut out = String::new();
        table.write(&self.style, !std::mem::replace(&mut self.printed, true), &mut out);
        print(&out);
    }

    /// Tells the server that this client knows of databases that come, change and go.
    fn become_aware(&mut self) -> Outcome<()> {
        let aware = self.rpc()?.transact("set_db_change_aware", vec![serde_json::json!(true)]);
        // A server that is older than this knows no other kind of clients.
        let is_older = |error: &Value| {
            [Some(error), error.get("error")]
                .into_iter()
                .flatten()
                .any(|error| error.as_str() == Some("unknown method"))
        };
        if let Ok(Err(error)) = aware
            && !is_older(&error)
        {
            let text = cli::json::text(&error, false);
            vlog::warn!("ovsdb_client", "{}: set_db_change_aware failed ({text})", self.server);
        }
        Ok(())
    }

    /// Goes to the background if that was asked for.
    fn daemon(&self) -> Outcome<Daemon> {
        Daemon::start(self.program, &self.daemon)
    }
}

fn flags() -> Vec<Flag> {
    let mut flags = vec![
        HELP.help("  -h, --help                  display this help message\n"),
        VERSION.help("  -V, --version               display version information\n"),
        Flag::switch("timestamp").help("  --timestamp                 timestamp \"monitor\" output\n"),
        Flag::switch("force"),
        Flag::value("timeout").short('t'),
        Flag::switch("db-change-aware"),
        Flag::switch("no-db-change-aware"),
        Flag::switch("leader-only"),
        Flag::switch("no-leader-only"),
        Flag::optional("record"),
        Flag::optional("replay"),
    ];
    for group in [LOG, DAEMON, &BOOTSTRAP[..1], TLS, TABLE] {
        flags.extend_from_slice(group);
    }
    flags
}

/// Runs ovsdb-client and gives its exit code.
#[must_use]
pub fn main() -> i32 {
    let program = Program::from_env("ovsdb-client");
    match run(&program) {
        Ok(()) => {
            flush_stdout();
            0
        }
        Err(text) => program.fatal(&text),
    }
}

fn run(program: &Program) -> Outcome<()> {
    let flags = flags();
    let parsed = program.parse(&flags, Order::Permute);
    let mut ctx = Context {
        program,
        style: TableStyle::new(TableFormat::Table),
        timestamp: false,
        force: false,
        db_change_aware: true,
        daemon: DaemonSettings::default(),
        tls: TlsSettings::default(),
        server: cli::dirs::default_db(),
        rpc: None,
        database: String::new(),
        printed: false,
    };
    let mut log = LogSettings::default();
    let mut timeout = None;
    let text = |error: UsageError| error.0;
    for given in &parsed.given {
        match given.flag.long {
            "timestamp" => ctx.timestamp = true,
            "force" => ctx.force = true,
            "timeout" => timeout = Some(options::timeout_s('t', given.text()).map_err(text)?),
            "help" => {
                log.start(&program.name).map_err(text)?;
                print(&help::text(program));
                return Ok(());
            }
            "version" => {
                log.start(&program.name).map_err(text)?;
                print(&program.version_text(""));
                return Ok(());
            }
            "db-change-aware" => ctx.db_change_aware = true,
            "no-db-change-aware" => ctx.db_change_aware = false,
            "record" | "replay" => return Err(format!("--{} is not supported", given.flag.long)),
            "leader-only" | "no-leader-only" => {}
            _ => {
                let _ = log.accept(given).map_err(text)?
                    || ctx.daemon.accept(given).map_err(text)?
                    || ctx.style.accept(given).map_err(text)?
                    || ctx.tls.accept(given).map_err(text)?;
            }
        }
    }
    log.start(&program.name).map_err(text)?;
    ctx.tls.judge();
    program.end_at_fault(&parsed);
    let detaches = parsed.arguments.first().is_some_and(|name| DETACHES.contains(&name.as_str()));
    Daemon::assume_user(&ctx.daemon, detaches)?;
    cli::alarm::arm(timeout);
    let Some((name, args)) = parsed.arguments.split_first() else {
        return Err("missing command name; use --help for help".into());
    };
    let Some(command) = COMMANDS.iter().find(|command| command.name == name) else {
        let hint = cli::near::hint(name, COMMANDS.iter().map(|command| command.name));
        let separator = if hint.is_empty() { "" } else { "\n" };
        return Err(format!("unknown command '{name}'; use --help for help{separator}{hint}"));
    };
    let args = connect::prepare(&mut ctx, command, args)?;
    (command.run)(&mut ctx, args)
}
