//! The command line of `troupe`: `run` (the default), `demo`.

mod demo;
mod run;

use std::path::PathBuf;

const HELP: &str = "\
troupe: a virtual switch, its database included, in one process
usage: troupe [OPTIONS]            run the switch until ctrl-C or SIGTERM
       troupe demo                 watch it switch: two hosts, a bridge, a ping

Options:
  --dir=DIR           keep sockets, database and logs in DIR (default: where Open vSwitch has them;
                      OVS_RUNDIR, OVS_DBDIR, OVS_LOGDIR and OVS_SYSCONFDIR are honoured)
  --metrics=[IP:]PORT serve metrics to Prometheus over HTTP
  --enable-dummy      with dummy devices and test commands, without touching the host's network
  -v, --verbose       log what happens to standard error
  -h, --help          display this help message
  -V, --version       display version information
";

/// What the command line asks for.
struct Wanted {
    demo: bool,
    dir: Option<PathBuf>,
    metrics: Option<String>,
    dummy: bool,
    verbose: bool,
}

/// What a shell makes of a program that SIGINT ended.
const INTERRUPTED: i32 = 130;

/// Runs the program and gives its exit code.
pub fn main() -> i32 {
    let wanted = match parse(std::env::args().skip(1)) {
        Ok(Some(wanted)) => wanted,
        Ok(None) => return 0,
        Err(text) => {
            eprintln!("troupe: {text}");
            return 1;
        }
    };
    if !wanted.dummy && !actors::daemon::is_root() {
        eprintln!(
            "troupe: opening packet rings and making devices needs root; run it with sudo (or try --enable-dummy)"
        );
        return 1;
    }
    let result = if wanted.demo {
        match demo::demo() {
            Ok(()) => Ok(()),
            Err(demo::End::Failed(text)) => Err(text),
            Err(demo::End::Interrupted) => {
                println!("\nInterrupted. Everything the demo made has been removed.");
                return INTERRUPTED;
            }
        }
    } else {
        run::run(&wanted)
    };
    match result {
        Ok(()) => 0,
        Err(text) => {
            eprintln!("troupe: {text}");
            1
        }
    }
}

fn parse(args: impl Iterator<Item = String>) -> Result<Option<Wanted>, String> {
    let mut wanted = Wanted { demo: false, dir: None, metrics: None, dummy: false, verbose: false };
    let mut args = args.peekable();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "run" => {}
            "demo" => wanted.demo = true,
            "--dir" => wanted.dir = Some(args.next().ok_or("--dir needs a directory")?.into()),
            "--metrics" => wanted.metrics = Some(args.next().ok_or("--metrics needs [IP:]PORT")?),
            "--enable-dummy" => wanted.dummy = true,
            "-v" | "--verbose" => wanted.verbose = true,
            "-h" | "--help" => {
                print!("{HELP}");
                return Ok(None);
            }
            "-V" | "--version" => {
                println!("troupe {} (Open vSwitch 3.1.0 compatible)", env!("CARGO_PKG_VERSION"));
                return Ok(None);
            }
            other => match other.split_once('=') {
                Some(("--dir", dir)) => wanted.dir = Some(dir.into()),
                Some(("--metrics", address)) => wanted.metrics = Some(address.to_owned()),
                _ => return Err(format!("\"{other}\" is not known; troupe --help lists what is")),
            },
        }
    }
    Ok(Some(wanted))
}
