//! ovs-dpctl. The datapaths of this switch live in the switch, so every command that is about one goes to the running
//! ovs-vswitchd as `dpctl/COMMAND`; there is no kernel module to speak to without it.

use crate::control::{self, Reply};
use cli::command::{self, Command};
use cli::groups::{HELP, LOG, LogSettings, OPTION, VERSION};
use cli::options::{self, Flag, Order, UsageError};
use cli::program::{Program, flush_stdout, print};
use flow::odp_text::Failure;

const MANY: usize = usize::MAX;

/// How a command's arguments are passed on.
#[derive(Clone, Copy, Debug)]
enum Pass {
    /// As they are.
    Plain,
    /// The last one is a file, which the switch has to find from its own directory.
    File,
    /// Not at all: it is about this program.
    Here,
    /// Not at all: it is about their texts.
    Texts(fn(&[String]) -> Result<String, Failure>),
}

const COMMANDS: &[Command<Pass>] = &[
    Command::writing("add-dp", "dp [iface...]", 1, MANY, Pass::Plain),
    Command::writing("del-dp", "dp", 1, 1, Pass::Plain),
    Command::writing("add-if", "dp iface...", 2, MANY, Pass::Plain),
    Command::writing("del-if", "dp iface...", 2, MANY, Pass::Plain),
    Command::writing("set-if", "dp iface...", 2, MANY, Pass::Plain),
    Command::reading("dump-dps", "", 0, 0, Pass::Plain),
    Command::reading("show", "[-s] [dp...]", 0, MANY, Pass::Plain),
    Command::reading("dump-flows", "[-m] [--names] [dp] [filter=..] [type=..] [pmd=..]", 0, 6, Pass::Plain),
    Command::writing("add-flow", "[dp] flow actions", 2, 3, Pass::Plain),
    Command::writing("mod-flow", "[dp] flow actions", 2, 3, Pass::Plain),
    Command::reading("get-flow", "[dp] ufid", 1, 2, Pass::Plain),
    Command::writing("del-flow", "[dp] flow", 1, 2, Pass::Plain),
    Command::writing("add-flows", "[dp] file", 1, 2, Pass::File),
    Command::writing("mod-flows", "[dp] file", 1, 2, Pass::File),
    Command::writing("del-flows", "[dp] [file]", 0, 2, Pass::File),
    Command::reading("offload-stats-show", "[dp]", 0, 1, Pass::Plain),
    Command::reading("dump-conntrack", "[-m] [-s] [dp] [zone=N]", 0, 4, Pass::Plain),
    Command::writing("flush-conntrack", "[dp] [zone=N] [ct-orig-tuple] [ct-reply-tuple]", 0, 4, Pass::Plain),
    Command::reading("cache-get-size", "[dp]", 0, 1, Pass::Plain),
    Command::writing("cache-set-size", "dp cache <size>", 3, 3, Pass::Plain),
    Command::reading("ct-stats-show", "[dp] [zone=N]", 0, 3, Pass::Plain),
    Command::reading("ct-bkts", "[dp] [gt=N]", 0, 2, Pass::Plain),
    Command::writing("ct-set-maxconns", "[dp] maxconns", 1, 2, Pass::Plain),
    Command::reading("ct-get-maxconns", "[dp]", 0, 1, Pass::Plain),
    Command::reading("ct-get-nconns", "[dp]", 0, 1, Pass::Plain),
    Command::writing("ct-enable-tcp-seq-chk", "[dp]", 0, 1, Pass::Plain),
    Command::writing("ct-disable-tcp-seq-chk", "[dp]", 0, 1, Pass::Plain),
    Command::reading("ct-get-tcp-seq-chk", "[dp]", 0, 1, Pass::Plain),
    Command::writing("ct-set-limits", "[dp] [default=L] [zone=N,limit=L]...", 1, MANY, Pass::Plain),
    Command::writing("ct-del-limits", "[dp] zone=N1[,N2]...", 1, 2, Pass::Plain),
    Command::reading("ct-get-limits", "[dp] [zone=N1[,N2]...]", 0, 2, Pass::Plain),
    Command::writing("ipf-set-enabled", "[dp] v4|v6", 1, 2, Pass::Plain),
    Command::writing("ipf-set-disabled", "[dp] v4|v6", 1, 2, Pass::Plain),
    Command::writing("ipf-set-min-frag", "[dp] v4|v6 minfragment", 2, 3, Pass::Plain),
    Command::writing("ipf-set-max-nfrags", "[dp] maxfrags", 1, 2, Pass::Plain),
    Command::reading("ipf-get-status", "[dp]", 0, 1, Pass::Plain),
    Command::reading("help", "", 0, MANY, Pass::Here),
    Command::reading("list-commands", "", 0, MANY, Pass::Here),
    Command::reading("parse-actions", "actions", 1, MANY, Pass::Texts(flow::odp_text::reformat)),
    Command::reading("normalize-actions", "actions", 2, MANY, Pass::Texts(flow::odp_text::normalize)),
];

/// The text of `--help` before the groups of options.
const COMMANDS_HELP: &str = "  add-dp DP [IFACE...]     add new datapath DP (with IFACEs)
  del-dp DP                delete local datapath DP
  add-if DP IFACE...       add each IFACE as a port on DP
  set-if DP IFACE...       reconfigure each IFACE within DP
  del-if DP IFACE...       delete each IFACE from DP
  dump-dps                 display names of all datapaths
  show                     show basic info on all datapaths
  show DP...               show basic info on each DP
  dump-flows [DP]          display flows in DP
  add-flow [DP] FLOW ACTIONS add FLOW with ACTIONS to DP
  add-flows [DP] FILE        add flows from FILE
  mod-flow [DP] FLOW ACTIONS change FLOW actions to ACTIONS in DP
  mod-flows [DP] FILE        change flows from FILE
  get-flow [DP] ufid:UFID    fetch flow corresponding to UFID
  del-flow [DP] FLOW         delete FLOW from DP
  del-flows [DP] [FILE]      delete all or specified flows from DP
  cache-get-size [DP]             Show the current size for all caches
  cache-set-size DP CACHE SIZE  Set cache size for a specific cache
  dump-conntrack [DP] [zone=ZONE]  display conntrack entries for ZONE
  flush-conntrack [DP] [zone=ZONE] [ct-tuple]delete matched conntrack entries in ZONE
  ct-stats-show [DP] [zone=ZONE] [verbose] CT connections grouped by protocol
  ct-bkts [DP] [gt=N] display connections per CT bucket
Each IFACE on add-dp, add-if, and set-if may be followed by
comma-separated options.  See ovs-dpctl(8) for syntax, or the
Interface table in ovs-vswitchd.conf.db(5) for an options list.
For COMMAND dump-flows, add-flow, add-flows, mod-flow,
mod-flows, del-flow and del-flows, DP is optional if there is
only one datapath.
";

fn flags() -> Vec<Flag> {
    let mut flags = vec![
        Flag::switch("statistics").short('s').help("  -s,  --statistics           print statistics for port or flow\n"),
        Flag::switch("clear").help("  --clear                     reset existing stats to zero\n"),
        Flag::switch("may-create").help("  --may-create                create flow if it doesn't exist\n"),
        Flag::switch("read-only").help("  --read-only                 do not run read/write commands\n"),
        Flag::switch("more").short('m').help("  -m, --more                  increase verbosity of output\n"),
        Flag::switch("names").help("  --names                     use port names in output\n"),
        Flag::switch("no-names"),
        Flag::value("timeout").short('t').help("  -t, --timeout=SECS          give up after SECS seconds\n"),
        HELP.help("  -h, --help                  display this help message\n"),
        OPTION,
        VERSION.help("  -V, --version               display version information\n"),
    ];
    flags.extend_from_slice(LOG);
    flags
}

fn usage(program: &Program, flags: &[Flag]) -> String {
    let help = |names: &[&str]| -> String {
        names.iter().filter_map(|name| flags.iter().find(|f| f.long == *name)).map(|f| f.help).collect()
    };
    let log = LogSettings::usage(&program.name);
    format!(
        "{0}: Open vSwitch datapath management utility\nusage: {0} [OPTIONS] COMMAND [ARG...]\n{COMMANDS_HELP}{log}
Options for show and mod-flow:\n{1}
Options for dump-flows:\n{2}
Options for mod-flow:\n{3}
Other options:\n{4}",
        program.name,
        help(&["statistics"]),
        help(&["more", "names"]),
        help(&["may-create", "read-only", "clear"]),
        help(&["timeout", "help", "version"]),
    )
}

/// Runs ovs-dpctl and gives its exit code.
#[must_use]
pub fn main() -> i32 {
    let program = Program::from_env("ovs-dpctl");
    match run(&program) {
        Ok(code) => code,
        Err(UsageError(text)) => program.fatal(&text),
    }
}

fn run(program: &Program) -> Result<i32, UsageError> {
    let flags = flags();
    let parsed = program.parse(&flags, Order::Permute);
    let mut log = LogSettings::default();
    let mut read_only = false;
    let mut passed: Vec<String> = Vec::new();
    let mut timeout = None;
    for given in &parsed.given {
        match given.flag.long {
            "timeout" => timeout = Some(options::timeout_s('t', given.text())?),
            "read-only" => read_only = true,
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
            _ if log.accept(given)? => {}
            name => passed.push(format!("--{name}")),
        }
    }
    log.start(&program.name)?;
    program.end_at_fault(&parsed);
    cli::alarm::arm(timeout);
    let command = command::find(COMMANDS, &parsed.arguments, read_only).map_err(UsageError)?;
    let mut args = parsed.arguments[1..].to_vec();
    match command.run {
        Pass::Here if command.name == "help" => print(&usage(program, &flags)),
        Pass::Here => print(&command::listing(COMMANDS)),
        Pass::Texts(said) => return Ok(say(program, said(&args))),
        pass => {
            if matches!(pass, Pass::File) {
                make_absolute(&mut args);
            }
            passed.extend(args);
            return forward(program, command.name, &passed);
        }
    }
    Ok(0)
}

/// Prints what is made of texts, and what is wrong with them; gives the exit code.
fn say(program: &Program, said: Result<String, Failure>) -> i32 {
    let (text, complaint) = match said {
        Ok(text) => (text, None),
        Err((text, complaint)) => (text, Some(complaint)),
    };
    print(&text);
    flush_stdout();
    match complaint {
        None => 0,
        Some(complaint) => {
            program.complain(&complaint);
            1
        }
    }
}

/// Makes the last argument an absolute path if it names a file here.
fn make_absolute(args: &mut [String]) {
    if let Some(last) = args.last_mut()
        && let Ok(path) = std::fs::canonicalize(last.as_str())
    {
        *last = path.to_string_lossy().into_owned();
    }
}

fn forward(program: &Program, command: &str, args: &[String]) -> Result<i32, UsageError> {
    let target = "ovs-vswitchd";
    let path = control::socket_path(target).map_err(|text| {
        UsageError(format!(
            "{text}\nThe datapaths of this switch live in ovs-vswitchd, and no kernel datapath module is used: \
             {} works only while ovs-vswitchd runs.",
            program.name
        ))
    })?;
    match control::ask(&path, target, &format!("dpctl/{command}"), args).map_err(UsageError)? {
        Reply::Text(text) => {
            print(&text);
            flush_stdout();
            Ok(0)
        }
        Reply::Refusal(text) => {
            program.complain(text.strip_prefix("ovs-vswitchd: ").unwrap_or(&text).trim_end_matches('\n'));
            Ok(1)
        }
    }
}
