//! Runs scenarios against Debian's Open vSwitch and against the programs built here, and prints what differs.

use harness::parity::{self, Report};
use harness::process;
use harness::side::Side;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Instant;

const USAGE: &str = "\
parity: the same commands against Debian's Open vSwitch and against the programs built here
usage: parity [OPTIONS] [NAME|FILE...]

With one NAME it shows every command with its output; otherwise only what differs. NAME is the name of a file
in tests/parity/scenarios, or the beginning of several.

  -j N            scenarios at once (default 4)
  -v              every command with its output
  -q              only the verdict of each scenario
  --left DIR      programs of the left side (default: Debian's, /usr/bin and /usr/sbin)
  --right DIR     programs of the right side (default: $TROUPE_BIN, target/release or target/debug)
  -h              this text
";

#[derive(Default)]
struct Settings {
    names: Vec<String>,
    jobs: usize,
    all: bool,
    quiet: bool,
    left: Option<PathBuf>,
    right: Option<PathBuf>,
}

fn settings() -> Result<Settings, String> {
    let mut settings = Settings { jobs: 4, ..Settings::default() };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(format!("{arg} needs a value"));
        match arg.as_str() {
            "-j" => settings.jobs = value()?.parse().map_err(|_| "-j needs a number".to_owned())?,
            "-v" => settings.all = true,
            "-q" => settings.quiet = true,
            "--left" => settings.left = Some(value()?.into()),
            "--right" => settings.right = Some(value()?.into()),
            "-h" | "--help" => {
                print!("{USAGE}");
                std::process::exit(0);
            }
            other if other.starts_with('-') => return Err(format!("unknown option {other}\n{USAGE}")),
            name => settings.names.push(name.to_owned()),
        }
    }
    Ok(settings)
}

fn chosen(names: &[String]) -> Result<Vec<PathBuf>, String> {
    let files = parity::files()?;
    if names.is_empty() {
        return Ok(files);
    }
    let mut chosen = Vec::new();
    for name in names {
        if name.ends_with(".txt") {
            chosen.push(std::path::absolute(name).map_err(|error| error.to_string())?);
            continue;
        }
        let stem =
            |path: &PathBuf| path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let exact: Vec<_> = files.iter().filter(|path| stem(path) == *name).cloned().collect();
        let begun: Vec<_> = files.iter().filter(|path| stem(path).starts_with(name.as_str())).cloned().collect();
        if begun.is_empty() {
            return Err(format!("no scenario is named {name:?} in {}", parity::folder().display()));
        }
        chosen.extend(if exact.is_empty() { begun } else { exact });
    }
    Ok(chosen)
}

fn main() -> ExitCode {
    match compare() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("parity: {why}");
            ExitCode::from(2)
        }
    }
}

fn compare() -> Result<bool, String> {
    let settings = settings()?;
    end_on_signals().map_err(|error| error.to_string())?;
    let files = chosen(&settings.names)?;
    let left = settings.left.map_or_else(Side::debian, |dir| Side::of("debian", vec![dir]));
    let right = settings.right.map_or_else(Side::troupe, |dir| {
        // /usr/bin alone would leave Debian's daemons, in /usr/sbin, out.
        let dirs = if dir.ends_with("usr/bin") { vec![dir, "/usr/sbin".into()] } else { vec![dir] };
        Side::of("troupe", dirs)
    });
    let sides = [left, right];
    let start = Instant::now();
    let all = settings.all || (files.len() == 1 && !settings.quiet);
    let reports = run(&files, &sides, settings.jobs, |report| {
        let text = report.text(all);
        if settings.quiet {
            println!("{}", text.lines().last().unwrap_or_default());
        } else {
            print!("{text}");
        }
    });
    println!("{}", summary(&reports));
    println!("parity: {:.1} s", start.elapsed().as_secs_f64());
    Ok(reports.iter().all(Report::good))
}

fn run(files: &[PathBuf], sides: &[Side; 2], jobs: usize, show: impl Fn(&Report) + Sync) -> Vec<Report> {
    let queue = Mutex::new(files.iter());
    let reports = Mutex::new(Vec::new());
    let next = || queue.lock().unwrap_or_else(|poison| poison.into_inner()).next();
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                while let Some(file) = next() {
                    let report = parity::run(file, sides);
                    let mut reports = reports.lock().unwrap_or_else(|poison| poison.into_inner());
                    show(&report);
                    reports.push(report);
                }
            });
        }
    });
    reports.into_inner().unwrap_or_else(|poison| poison.into_inner())
}

fn summary(reports: &[Report]) -> String {
    let pairs = || reports.iter().filter_map(|report| Some((report, report.pairs.as_ref().ok()?)));
    let expected = pairs().flat_map(|(report, pairs)| pairs.iter().map(move |pair| (report, pair)));
    let expected = expected.filter(|(_, pair)| pair.difference.is_some() && pair.expected.is_some());
    let mut lines: Vec<String> = expected
        .map(|(report, pair)| {
            format!("known difference: {}:{}: {}", report.name, pair.line, pair.expected.as_deref().unwrap_or_default())
        })
        .collect();
    lines.sort();
    let commands: usize = pairs().map(|(_, pairs)| pairs.len()).sum();
    let bad: usize = pairs().map(|(_, pairs)| pairs.iter().filter(|pair| !pair.good()).count()).sum();
    let broken = reports.iter().filter(|report| report.pairs.is_err()).count();
    let known = lines.len();
    lines.push(format!(
        "parity: {} scenarios, {commands} commands, {bad} differ, {known} differ as documented, {broken} scenarios could not run",
        reports.len()
    ));
    lines.join("\n")
}

/// On ctrl-C or SIGTERM ends what was started before ending.
fn end_on_signals() -> std::io::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    std::thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            process::end_all_below(&parity::base());
            let _ = std::fs::remove_dir_all(parity::base());
            std::process::exit(128 + signal);
        }
    });
    Ok(())
}
