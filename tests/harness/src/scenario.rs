//! A scenario: a file of shell commands with a few directives in its comments.
//!
//! ```text
//! # What this file shows.
//! # start: switch            what runs before the first command: nothing, database or switch (the default)
//! # dummy: yes              ports of other types than dummy are what they are (without it all are dummies)
//! # options: --more          further options of ovs-vswitchd, or of ovsdb-server under `start: database`
//! # net: own                 a network namespace of its own with `lo` up (needs root)
//! # mask: macs xids          names of masks beside the usual ones, or s/REGEX/TEXT/
//! # keep: durations          names of usual masks to leave off
//! # expect-diff: REASON      the next command's output is known to differ; it must go on doing so
//! # may-differ: REASON       the next command's output differs from run to run, whoever gives it
//! ovs-vsctl add-br br0 -- set bridge br0 datapath_type=dummy
//! cat > flows.txt <<EOF      here-documents and lines that end in a backslash are one command
//! EOF
//! ```
//!
//! Each command is run by its own `sh -c` in the same working directory: files stay, variables do not.
//! On the path beside the side's programs: `await COMMAND`, which repeats until the command succeeds, and `calm COMMAND`,
//! which repeats it until it says the same again and again, while every program with a control socket in the run or working
//! directory answers. What either awaits in vain is a failure, on whichever side; so is a file that is not there to be read.

use std::fs;
use std::path::Path;

/// What runs before the first command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// No daemon.
    Nothing,
    /// `ovsdb-server` on a fresh database.
    Database,
    /// That, and `ovs-vswitchd` with the dummy datapath.
    #[default]
    Switch,
}

/// One command of a scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Line of the file, from 1.
    pub line: usize,
    /// Text given to `sh -c`.
    pub command: String,
    /// Why its output is known to differ.
    pub expect_diff: Option<String>,
    /// With a reason: an equal output is as good.
    pub may_agree: bool,
}

/// A parsed scenario file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scenario {
    /// The file's name without its ending.
    pub name: String,
    /// What runs before the first command.
    pub start: Start,
    /// Further options of the daemon.
    pub options: Vec<String>,
    /// True if only ports of type dummy are dummies.
    pub real_types: bool,
    /// True if each side gets a network namespace.
    pub own_net: bool,
    /// Masks to add.
    pub masks: Vec<String>,
    /// Usual masks to leave off.
    pub keep: Vec<String>,
    /// The commands.
    pub steps: Vec<Step>,
}

impl Scenario {
    /// Reads a scenario file.
    pub fn read(path: &Path) -> Result<Scenario, String> {
        let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        Scenario::parse(&name, &text).map_err(|error| format!("{}: {error}", path.display()))
    }

    /// Parses the text of a scenario file.
    pub fn parse(name: &str, text: &str) -> Result<Scenario, String> {
        let mut scenario = Scenario { name: name.to_owned(), ..Scenario::default() };
        let mut expect: Option<(String, bool)> = None;
        let mut lines = text.lines().enumerate();
        while let Some((at, line)) = lines.next() {
            if let Some(comment) = line.strip_prefix('#') {
                scenario.directive(comment.trim(), &mut expect).map_err(|error| format!("line {}: {error}", at + 1))?;
                continue;
            }
            if line.trim().is_empty() {
                continue;
            }
            let mut command = line.to_owned();
            while command.ends_with('\\') {
                let Some((_, next)) = lines.next() else { break };
                command.push('\n');
                command.push_str(next);
            }
            if let Some(word) = here_document(&command) {
                loop {
                    let Some((_, next)) = lines.next() else {
                        return Err(format!("line {}: the here-document has no end {word:?}", at + 1));
                    };
                    command.push('\n');
                    command.push_str(next);
                    if next == word {
                        break;
                    }
                }
            }
            let (expect_diff, may_agree) = expect.take().map_or((None, false), |(why, may)| (Some(why), may));
            scenario.steps.push(Step { line: at + 1, command, expect_diff, may_agree });
        }
        Ok(scenario)
    }

    fn directive(&mut self, comment: &str, expect: &mut Option<(String, bool)>) -> Result<(), String> {
        let Some((key, value)) = comment.split_once(':') else { return Ok(()) };
        let value = value.trim();
        let words = || value.split_whitespace().map(str::to_owned);
        match key {
            "start" => {
                self.start = match value {
                    "nothing" => Start::Nothing,
                    "database" => Start::Database,
                    "switch" => Start::Switch,
                    other => return Err(format!("start: {other:?} is none of nothing, database, switch")),
                }
            }
            "options" => self.options.extend(words()),
            "dummy" if value == "yes" => self.real_types = true,
            "net" if value == "own" => self.own_net = true,
            "mask" if value.starts_with("s/") => self.masks.push(value.to_owned()),
            "mask" => self.masks.extend(words()),
            "keep" => self.keep.extend(words()),
            "expect-diff" | "may-differ" if value.is_empty() => return Err(format!("{key}: needs a reason")),
            "expect-diff" | "may-differ" => *expect = Some((value.to_owned(), key == "may-differ")),
            _ => {}
        }
        Ok(())
    }
}

/// The end word of the here-document that `command` begins, if any.
fn here_document(command: &str) -> Option<String> {
    let (_, rest) = command.split_once("<<")?;
    let rest = rest.trim_start_matches(['-', ' ']).trim_start_matches(['\'', '"', '\\']);
    let word: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
    (word.starts_with(|c: char| c.is_ascii_uppercase())).then_some(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_directives_and_here_documents() {
        let text = "# Title\n# start: database\n# mask: macs\n\nls\n# expect-diff: our own\na \\\nb\n\
                    cat <<EOF >x\n# not a comment\nEOF\nlast\n";
        let scenario = Scenario::parse("x", text).unwrap();
        assert_eq!((scenario.start, scenario.masks.as_slice()), (Start::Database, ["macs".to_owned()].as_slice()));
        let step = |line, command: &str, why: Option<&str>| Step {
            line,
            command: command.into(),
            expect_diff: why.map(Into::into),
            may_agree: false,
        };
        assert_eq!(
            scenario.steps,
            [
                step(5, "ls", None),
                step(7, "a \\\nb", Some("our own")),
                step(9, "cat <<EOF >x\n# not a comment\nEOF", None),
                step(12, "last", None)
            ]
        );
    }

    #[test]
    fn errors_name_the_line() {
        for (text, error) in [
            ("\n# start: everything\n", "line 2: start: \"everything\" is none of nothing, database, switch"),
            ("cat <<END\n", "line 1: the here-document has no end \"END\""),
            ("# expect-diff:\n", "line 1: expect-diff: needs a reason"),
        ] {
            assert_eq!(Scenario::parse("x", text).unwrap_err(), error);
        }
    }
}
