//! The options of the program as a whole.

use crate::commands::{self, ALL};
use crate::line;
use crate::session::{self, Session};
use crate::usage;
use cli::groups::{BOOTSTRAP, HELP, LOG, LogSettings, TABLE, TLS, TableFormat, TableStyle, TlsSettings, VERSION};
use cli::options::{self, Flag, Order, Takes, UsageError};
use cli::program::{Program, print};

const DB: Flag = Flag::value("db").help(
    "  --db=DATABASE               connect to DATABASE\n                              (default: unix:{rundir}/db.sock)\n",
);
const NO_WAIT: Flag =
    Flag::switch("no-wait").help("  --no-wait                   do not wait for ovs-vswitchd to reconfigure\n");
const RETRY: Flag =
    Flag::switch("retry").help("  --retry                     keep trying to connect to server forever\n");
const TIMEOUT: Flag = Flag::value("timeout")
    .short('t')
    .help("  -t, --timeout=SECS          wait at most SECS seconds for ovs-vswitchd\n");
const DRY_RUN: Flag = Flag::switch("dry-run").help("  --dry-run                   do not commit changes to database\n");
const ONELINE: Flag =
    Flag::switch("oneline").help("  --oneline                   print exactly one line of output per command\n");
const NO_SYSLOG: Flag =
    Flag::switch("no-syslog").help("  --no-syslog             equivalent to --verbose=vsctl:syslog:warn\n");

/// The options shown in the section "Options" of `--help`.
pub(crate) const GENERAL: &[Flag] = &[DB, NO_WAIT, RETRY, TIMEOUT, DRY_RUN, ONELINE];
/// The option shown with those about logging.
pub(crate) const SILENCE: Flag = NO_SYSLOG;
/// The last options of `--help`.
pub(crate) const OTHER: &[Flag] = &[
    HELP.help("  -h, --help                  display this help message\n"),
    VERSION.help("  -V, --version               display version information\n"),
];

/// All options in the order in which `--options` lists them and error texts name them.
fn flags() -> Vec<Flag> {
    let mut flags = vec![
        DB,
        NO_SYSLOG,
        NO_WAIT,
        DRY_RUN,
        ONELINE,
        TIMEOUT,
        RETRY,
        HELP,
        Flag::switch("commands"),
        Flag::switch("options"),
        Flag::switch("leader-only"),
        Flag::switch("no-leader-only"),
        Flag::switch("shuffle-remotes"),
        Flag::switch("no-shuffle-remotes"),
        VERSION,
    ];
    let log_order = ["verbose", "log-file", "syslog-method", "syslog-target"];
    flags.extend(log_order.iter().filter_map(|name| LOG.iter().find(|f| f.long == *name)));
    flags.extend_from_slice(TABLE);
    flags.extend_from_slice(TLS);
    flags.extend_from_slice(BOOTSTRAP);
    flags
}

/// The options of commands, which may stand before the first command without `--`.
fn local_flags(global: &[Flag]) -> Vec<Flag> {
    let mut local: Vec<Flag> = Vec::new();
    for option in commands::listed().flat_map(|command| command.options) {
        let long = option.trim_start_matches("--").trim_end_matches('=');
        if !global.iter().chain(&local).any(|flag| flag.long == long) {
            let takes = if option.ends_with('=') { Takes::Value } else { Takes::Nothing };
            local.push(Flag { long, short: None, takes, help: "", whole: false });
        }
    }
    local
}

/// The text of `--options`: as `--option` elsewhere, but optional values are not told apart.
fn listing(flags: &[Flag]) -> String {
    options::listing(flags).replace("[ARG]", "ARG").replace(" \n", "\n")
}

/// The text of `--commands`, one line a command, for shells that complete command lines.
fn command_listing() -> String {
    let mut out = String::new();
    for command in commands::listed() {
        for option in command.options {
            out.push_str(&format!("[{option}] "));
        }
        out.push_str(&format!(",{},{}\n", command.name, command.arguments));
    }
    out
}

/// Reads the command line and does what it says.
pub(crate) fn run(program: &Program) -> Result<i32, UsageError> {
    let global = flags();
    let mut all = global.clone();
    let local = local_flags(&global);
    all.extend_from_slice(&local);
    let parsed = program.parse(&all, Order::StopAtFirst);
    let mut session = Session {
        db: cli::dirs::default_db(),
        wait: true,
        retry: false,
        dry_run: false,
        oneline: false,
        style: TableStyle::new(TableFormat::List),
        tls: TlsSettings::default(),
    };
    let mut log = LogSettings::default();
    let mut timeout = None;
    let mut first = Vec::new();
    for given in &parsed.given {
        match given.flag.long {
            "db" => session.db = given.text().to_string(),
            "no-syslog" => log.set_level("vsctl:syslog:warn"),
            "no-wait" => session.wait = false,
            "dry-run" => session.dry_run = true,
            "oneline" => session.oneline = true,
            "timeout" => timeout = Some(options::timeout_s('t', given.text())?),
            "retry" => session.retry = true,
            "help" => {
                log.start(&program.name)?;
                return say(&usage::text(&program.name));
            }
            "commands" => {
                log.start(&program.name)?;
                return say(&command_listing());
            }
            "options" => {
                log.start(&program.name)?;
                return say(&listing(&global));
            }
            "version" => {
                log.start(&program.name)?;
                return say(&program.version_text("DB Schema 8.3.1\n"));
            }
            "leader-only" | "no-leader-only" | "shuffle-remotes" | "no-shuffle-remotes" => {}
            long if local.iter().any(|flag| flag.long == long) => {
                // Given again, the last one counts.
                first.retain(|word: &String| word.trim_start_matches("--").split('=').next() != Some(long));
                first.push(match &given.value {
                    Some(value) => format!("--{long}={value}"),
                    None => format!("--{long}"),
                });
            }
            _ => {
                let _ = log.accept(given)? || session.style.accept(given)? || session.tls.accept(given)?;
            }
        }
    }
    // What the tool does is told to the system log; people see only what goes wrong.
    vlog::set_level(None, Some(vlog::Destination::Console), vlog::Level::Warn);
    log.start(&program.name)?;
    session.tls.judge();
    program.end_at_fault(&parsed);
    let mut lines = line::parse(&parsed.arguments, first)?;
    let called_as = session::quoted(program);
    // What cannot change anything is not worth a line there.
    let writes = |word: &String| ALL.iter().flat_map(|group| group.iter()).any(|c| c.name == word && !c.reads);
    if parsed.arguments.iter().any(writes) {
        vlog::info!("vsctl", "Called as {called_as}");
    } else {
        vlog::dbg!("vsctl", "Called as {called_as}");
    }
    cli::alarm::arm_late(timeout);
    Ok(session::run(program, &session, &mut lines, &called_as))
}

fn say(text: &str) -> Result<i32, UsageError> {
    print(text);
    Ok(0)
}
