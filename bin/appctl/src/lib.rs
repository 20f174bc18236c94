//! ovs-appctl and ovs-dpctl.
//!
//! Source: ovs-appctl(8), ovs-dpctl(8).

mod control;
pub mod dpctl;
mod top;

use cli::groups::{HELP, LOG, LogSettings, OPTION, VERSION};
use cli::options::{self, Flag, Order, UsageError};
use cli::program::{Program, flush_stdout, print};
use control::Reply;

const TARGET: Flag = Flag::value("target").short('t').help("  -t, --target=TARGET  pidfile or socket to contact\n");
const TIMEOUT: Flag =
    Flag::value("timeout").short('T').help("  --timeout=SECS     wait at most SECS seconds for a response\n");
/// Accepted for the sake of old scripts; it changes nothing.
const EXECUTE: Flag = Flag::switch("execute").short('e');

const COMMON: &str = "\
Common commands:
  list-commands      List commands supported by the target
  version            Print version of the target
  vlog/list          List current logging levels
  vlog/list-pattern  List logging patterns for each destination.
  vlog/set [SPEC]
      Set log levels as detailed in SPEC, which may include:
      A valid module name (all modules, by default)
      'syslog', 'console', 'file' (all destinations, by default))
      'off', 'emer', 'err', 'warn', 'info', or 'dbg' ('dbg', bydefault)
  vlog/reopen        Make the program reopen its log file
";

fn flags() -> Vec<Flag> {
    let mut flags = vec![
        TARGET,
        EXECUTE,
        HELP.help("  -h, --help         Print this helpful information\n"),
        OPTION,
        VERSION.help("  -V, --version      Display ovs-appctl version information\n"),
        TIMEOUT,
    ];
    flags.extend_from_slice(LOG);
    flags
}

fn usage(program: &Program, flags: &[Flag]) -> String {
    let help = |name: &str| flags.iter().find(|f| f.long == name).map_or("", |f| f.help);
    format!(
        "{0}, for querying and controlling Open vSwitch daemon\nusage: {0} [TARGET] COMMAND [ARG...]\nTargets:\n{1}{COMMON}Other options:\n{2}{3}{4}",
        program.name,
        help("target"),
        help("timeout"),
        help("help"),
        help("version"),
    )
}

/// The target works in a directory of its own: the file that `port/capture` shall write is made absolute here.
fn with_own_paths(command: &str, args: &[String]) -> Vec<String> {
    let mut args = args.to_vec();
    let own = |path: &str| std::path::absolute(path).map_or_else(|_| path.to_owned(), |p| p.to_string_lossy().into());
    if command == "port/capture" {
        for at in 0..args.len() {
            let follows = at > 0 && matches!(args[at - 1].as_str(), "-w" | "--write");
            if follows {
                args[at] = own(&args[at]);
            } else if let Some(path) = args[at].strip_prefix("--write=") {
                args[at] = format!("--write={}", own(path));
            }
        }
    }
    args
}

/// Runs ovs-appctl and gives its exit code: 0, 1 when the target cannot be asked, 2 when it answers
/// with an error.
#[must_use]
pub fn main() -> i32 {
    let program = Program::from_env("ovs-appctl");
    match run(&program) {
        Ok(code) => code,
        Err(UsageError(text)) => program.fatal(&text),
    }
}

fn run(program: &Program) -> Result<i32, UsageError> {
    let flags = flags();
    let parsed = program.parse(&flags, Order::StopAtFirst);
    let mut log = LogSettings::default();
    let mut target: Option<String> = None;
    let mut timeout = None;
    for given in &parsed.given {
        match given.flag.long {
            "target" if target.is_some() => {
                return Err(UsageError("-t or --target may be specified only once".into()));
            }
            "target" => target = Some(given.text().to_string()),
            "timeout" => timeout = Some(options::timeout_s('T', given.text())?),
            "help" => {
                log.start(&program.name)?;
                print(&usage(program, &flags));
                return Ok(0);
            }
            "option" => {
                log.start(&program.name)?;
                print(&options::listing(&flags));
                return Ok(0);
            }
            "version" => {
                log.start(&program.name)?;
                print(&program.version_text(""));
                return Ok(0);
            }
            _ => {
                log.accept(given)?;
            }
        }
    }
    log.start(&program.name)?;
    program.end_at_fault(&parsed);
    let Some((command, args)) = parsed.arguments.split_first() else {
        return Err(UsageError("at least one non-option argument is required (use --help for help)".into()));
    };
    cli::alarm::arm(timeout);
    let target = target.unwrap_or_else(|| "ovs-vswitchd".to_string());
    let path = control::socket_path(&target).map_err(UsageError)?;
    let args = with_own_paths(command, args);
    if command == "switch/top" && top::is_live(&args) {
        return top::show(&path, &target, &args);
    }
    match control::ask(&path, &target, command, &args).map_err(UsageError)? {
        Reply::Text(text) => {
            print(&text);
            flush_stdout();
            Ok(0)
        }
        Reply::Refusal(text) => {
            cli::program::eprint_quiet(&text);
            program.complain(&format!("{target}: server returned an error"));
            Ok(2)
        }
    }
}
