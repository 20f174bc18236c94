//! The command line of `ovsdb-server`.

use actors::db::{DbConfig, SyncConfig};
use cli::dirs;
use cli::groups::{self, DaemonSettings, LogSettings, TlsSettings};
use cli::options::{Flag, Parsed, UsageError};

/// Where clients are.
const REMOTE: &[Flag] = &[Flag::value("remote").help("  --remote=REMOTE         connect or listen to REMOTE\n")];

const SYNC: &[Flag] = &[
    Flag::value("sync-from").help(
        "  --sync-from=SERVER      sync DATABASE from active SERVER and start in\n                          backup mode (except with --active)\n",
    ),
    Flag::value("sync-exclude-tables").help(
        "  --sync-exclude-tables=DB:TABLE,...\n                          exclude the TABLE in DB from syncing\n",
    ),
    Flag::switch("active").help("  --active                with --sync-from, start in active mode\n"),
];

const OTHER: &[Flag] = &[
    Flag::value("run").help("  --run COMMAND           run COMMAND as subprocess then exit\n"),
    Flag::value("unixctl").help("  --unixctl=SOCKET        override default control socket name\n"),
    Flag::value("web").help("  --web=[IP:]PORT         serve JSON-RPC 2.0 over HTTP and WebSocket\n").whole(),
    Flag::value("metrics").help("  --metrics=[IP:]PORT     serve metrics to Prometheus over HTTP\n").whole(),
    Flag::optional("record"),
    Flag::optional("replay"),
    Flag::switch("no-dbs"),
    Flag::switch("disable-file-column-diff")
        .help("  --disable-file-column-diff\n                          don't use column diff in database file\n"),
    Flag::switch("enable-dummy").whole(),
];

/// All options, in the order in which what an abbreviation may stand for is told.
pub fn flags() -> Vec<Flag> {
    let (first, last) = OTHER.split_at(2);
    let shown = [groups::HELP, groups::VERSION];
    [REMOTE, first, &shown, groups::DAEMON, groups::LOG, groups::BOOTSTRAP, groups::TLS, SYNC, last].concat()
}

/// What the command line asks for.
#[derive(Default)]
pub struct Settings {
    pub daemon: DaemonSettings,
    pub log: LogSettings,
    pub db: DbConfig,
    pub unixctl: Option<String>,
    pub command: Option<String>,
    pub web: Option<String>,
    pub metrics: Option<String>,
    /// `actor/panic`, `time/stop` and `time/warp` are there.
    pub test_commands: bool,
}

impl Settings {
    /// Judges the options and arguments given.
    pub fn read(parsed: &Parsed) -> Result<Settings, UsageError> {
        let mut settings = Settings::default();
        let (mut tls, mut sync) = (TlsSettings::default(), SyncConfig::default());
        let (mut active, mut no_dbs) = (false, false);
        for given in &parsed.given {
            let value = given.value.clone();
            match given.flag.long {
                "remote" => {
                    settings.db.remotes.insert(given.text().to_owned());
                }
                "sync-from" => sync.source = value,
                "sync-exclude-tables" => sync.exclude = value,
                "active" => active = true,
                "run" => settings.command = value,
                "unixctl" => settings.unixctl = value,
                "web" => settings.web = value,
                "metrics" => settings.metrics = value,
                "disable-file-column-diff" => settings.db.whole_rows = true,
                "no-dbs" => no_dbs = true,
                "record" | "replay" => {
                    return Err(UsageError(format!("--{} is not supported", given.flag.long)));
                }
                "enable-dummy" => settings.test_commands = true,
                _ => {
                    let _ = settings.daemon.accept(given)? || settings.log.accept(given)? || tls.accept(given)?;
                }
            }
        }
        sync.backup = sync.source.is_some() && !active;
        settings.db.sync = sync;
        settings.db.tls = programs::tls_files(tls);
        settings.db.run_dir = dirs::rundir().into();
        for file in &parsed.arguments {
            if !settings.db.files.contains(file) {
                settings.db.files.push(file.clone());
            }
        }
        if settings.db.files.is_empty() && !no_dbs {
            settings.db.files.push(dirs::default_db_file());
        }
        Ok(settings)
    }
}

/// The text of `--help`.
pub fn usage(program: &str) -> String {
    let section = |heading: &str, flags: &[Flag]| groups::section(program, heading, flags);
    format!(
        "{program}: Open vSwitch database server\nusage: {program} [OPTIONS] [DATABASE...]\n\
         where each DATABASE is a database file in ovsdb format.\nThe default DATABASE, if none is given, is\n\
         {}.\n",
        dirs::default_db_file()
    ) + &section("\nJSON-RPC options (may be specified any number of times):", REMOTE)
        + &groups::connection_methods(program, "JSON-RPC", true, true, true)
        + &DaemonSettings::usage(program)
        + &LogSettings::usage(program)
        + &section("\nSyncing options:", SYNC)
        + &section("\nOther options:", OTHER)
        + "  -h, --help              display this help message\n\
           \u{20} -V, --version           display version information\n"
}
