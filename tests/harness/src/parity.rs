//! One scenario against two sides, and many scenarios at once.

use crate::compare;
use crate::lab::Namespace;
use crate::mask::Masks;
use crate::place::Place;
use crate::process::Outcome;
use crate::scenario::{Scenario, Start, Step};
use crate::side::{self, Side};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// The longest one command may take: some start a hundred programs, each of which waits for its turn on a busy machine.
const STEP_LIMIT: Duration = Duration::from_secs(300);

/// What `ovs-vswitchd` is started with in a scenario.
const DUMMY: [&str; 2] = ["--disable-system", "--disable-system-route"];

/// One command's two outcomes.
#[derive(Clone, Debug)]
pub struct Pair {
    /// Line of the scenario.
    pub line: usize,
    /// The command.
    pub command: String,
    /// The left side's outcome, masked.
    pub left: Outcome,
    /// The difference, if there is one.
    pub difference: Option<String>,
    /// Why a difference is expected.
    pub expected: Option<String>,
    /// Where a difference is expected: an equal output is as good.
    pub may_agree: bool,
}

impl Pair {
    /// True if the pair is as it should be: equal, or different where a difference is documented. A documented one that
    /// does not show (some depend on an order that the other side leaves to chance) is told of, and no failure.
    pub fn good(&self) -> bool {
        self.difference.is_none() || self.expected.is_some()
    }
}

/// A scenario's result.
#[derive(Clone, Debug)]
pub struct Report {
    /// The scenario's name.
    pub name: String,
    /// Its commands, or why it could not run.
    pub pairs: Result<Vec<Pair>, String>,
}

impl Report {
    /// True if nothing differs that should not.
    pub fn good(&self) -> bool {
        self.pairs.as_ref().is_ok_and(|pairs| pairs.iter().all(Pair::good))
    }

    /// Commands that are not as they should be, as text; all of them, with their output, if `all`.
    pub fn text(&self, all: bool) -> String {
        let pairs = match &self.pairs {
            Err(why) => return format!("FAIL {}: {why}\n", self.name),
            Ok(pairs) => pairs,
        };
        let bad = pairs.iter().filter(|pair| !pair.good()).count();
        let mut text = String::new();
        for pair in pairs.iter().filter(|pair| all || !pair.good()) {
            text.push_str(&format!("{}:{}: $ {}\n", self.name, pair.line, pair.command));
            match (&pair.difference, &pair.expected) {
                (Some(difference), None) => text.push_str(difference),
                (Some(difference), Some(why)) => text.push_str(&format!("  expected to differ: {why}\n{difference}")),
                (None, Some(_)) if pair.may_agree => text.push_str(&plain(&pair.left)),
                (None, Some(why)) => text.push_str(&format!("  no longer differs, though expected: {why}\n")),
                (None, None) => text.push_str(&plain(&pair.left)),
            }
        }
        let verdict = if bad == 0 { "ok  " } else { "FAIL" };
        let number = pairs.len();
        text.push_str(&format!("{verdict} {}: {bad} of {number} commands differ\n", self.name));
        text
    }
}

fn plain(outcome: &Outcome) -> String {
    let lines = outcome.stdout.lines().map(|line| format!("    {line}\n"));
    let mut text: String = lines.chain(outcome.stderr.lines().map(|line| format!("  ! {line}\n"))).collect();
    if !outcome.ok() {
        text.push_str(&format!("  = {}\n", outcome.end));
    }
    text
}

/// The folder of scenario files.
pub fn folder() -> PathBuf {
    side::root().join("tests/parity/scenarios")
}

/// All scenario files, by name.
pub fn files() -> Result<Vec<PathBuf>, String> {
    let folder = folder();
    let entries = fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.retain(|path| path.extension().is_some_and(|ending| ending == "txt"));
    files.sort();
    Ok(files)
}

/// A directory for the places of this process: short, since socket paths end at 107 bytes.
pub fn base() -> PathBuf {
    PathBuf::from(format!("/tmp/parity.{}", std::process::id()))
}

/// Runs the scenario in `file` against both sides at once.
pub fn run(file: &Path, sides: &[Side; 2]) -> Report {
    let name = file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let pairs = Scenario::read(file).and_then(|scenario| run_parsed(&scenario, sides));
    Report { name, pairs }
}

/// Runs a parsed scenario against both sides at once.
pub fn run_parsed(scenario: &Scenario, sides: &[Side; 2]) -> Result<Vec<Pair>, String> {
    static RUNS: AtomicUsize = AtomicUsize::new(0);
    let masks = Masks::new(&scenario.keep, &scenario.masks)?;
    let top = base().join(RUNS.fetch_add(1, Ordering::Relaxed).to_string());
    let [left_dir, right_dir] = ["debian", "troupe"].map(|name| top.join(name));
    let outcomes = thread::scope(|scope| {
        let other = scope.spawn(|| run_side(scenario, &sides[1], &right_dir));
        let left = run_side(scenario, &sides[0], &left_dir);
        let right = other.join().unwrap_or_else(|_| Err("the runner itself failed".to_owned()));
        (left, right)
    });
    let _ = fs::remove_dir_all(&top);
    let _ = fs::remove_dir(base());
    let (left, left_pids) = outcomes.0.map_err(|why| format!("{}: {why}", sides[0].name))?;
    let (right, right_pids) = outcomes.1.map_err(|why| format!("{}: {why}", sides[1].name))?;
    // Both sides' ids are masked on both: one that is also a number of the scenario (0x8847) must not tell them apart.
    let pids = [left_pids, right_pids].concat();
    let masked = |outcome: Outcome, dir: &Path| {
        let mask = |text: &str| masks.apply(text, dir, &pids);
        Outcome { stdout: mask(&outcome.stdout), stderr: mask(&outcome.stderr), end: outcome.end }
    };
    let left = left.into_iter().map(|outcome| masked(outcome, &left_dir));
    let right = right.into_iter().map(|outcome| masked(outcome, &right_dir));
    let steps = scenario.steps.iter().zip(left.zip(right));
    Ok(steps
        .map(|(step, (left, right))| Pair {
            line: step.line,
            command: step.command.clone(),
            difference: compare::difference(&left, &right).or_else(|| compare::refused(&left)),
            left,
            expected: step.expect_diff.clone(),
            may_agree: step.may_agree,
        })
        .collect())
}

/// What the steps told on one side, unmasked, and the ids of its daemons.
fn run_side(scenario: &Scenario, side: &Side, dir: &Path) -> Result<(Vec<Outcome>, Vec<u32>), String> {
    let mut place = Place::new(side.clone(), dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    let net = scenario.own_net.then(|| Namespace::new("net")).transpose()?;
    if let Some(net) = &net {
        place.enter_namespace(net.name());
    }
    let more: Vec<&str> = scenario.options.iter().map(String::as_str).collect();
    match scenario.start {
        Start::Nothing => {}
        Start::Database => place.start_database(&more)?,
        Start::Switch => {
            place.start_database(&[])?;
            place.tool("ovs-vsctl", &["--no-wait", "init"])?;
            let dummy = if scenario.real_types { "--enable-dummy" } else { "--enable-dummy=override" };
            place.start_switch(&[&[dummy], &DUMMY[..], more.as_slice()].concat())?;
        }
    }
    let pids = place.pids();
    let shell = |step: &Step| place.shell(&step.command, STEP_LIMIT).map_err(|error| error.to_string());
    let outcomes: Result<_, String> = scenario.steps.iter().map(shell).collect();
    Ok((outcomes?, pids))
}
