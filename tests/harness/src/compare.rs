//! Two outcomes of the same command, compared after masking, and their difference as a reader wants it.

use crate::process::Outcome;
use similar::{ChangeTag, TextDiff};

/// The difference of two masked outcomes as text, or `None` if they are equal.
pub fn difference(left: &Outcome, right: &Outcome) -> Option<String> {
    let mut text = String::new();
    for (what, left, right) in [("stdout", &left.stdout, &right.stdout), ("stderr", &left.stderr, &right.stderr)] {
        if left != right {
            text.push_str(&format!("  {what}:\n{}", lines(left, right)));
        }
    }
    if left.end != right.end {
        text.push_str(&format!("  - {}\n  + {}\n", left.end, right.end));
    }
    (!text.is_empty()).then_some(text)
}

/// What the shell says if it did not understand the command, `await` and `calm` if they did so in vain, a reader of files
/// that are not there, and Python of a script that it gave up: two sides that agree in that say nothing of either.
pub fn refused(outcome: &Outcome) -> Option<String> {
    let is_vain = |line: &&str| line.contains("await: in vain: ") || line.contains("calm: in vain: ");
    if let Some(line) = outcome.stdout.lines().find(is_vain) {
        return Some(format!("  what was waited for did not come: {line}\n"));
    }
    let is_blind = |line: &&str| {
        let reads = ["grep: ", "cat: ", "tail: ", "head: ", "sed: "].iter().any(|reader| line.starts_with(reader));
        reads && line.ends_with(": No such file or directory")
    };
    if let Some(line) = outcome.stderr.lines().find(is_blind) {
        return Some(format!("  a file was not there to be read: {line}\n"));
    }
    let mut said = outcome.stderr.lines().chain(outcome.stdout.lines());
    if said.any(|line| line.starts_with("Traceback (most recent call last)")) {
        return Some(format!("  a script broke off: {}\n", outcome.stderr.lines().last().unwrap_or_default()));
    }
    let is_shells = |line: &&str| {
        let rest = line.strip_prefix("sh: ").and_then(|rest| rest.split_once(": "));
        rest.is_some_and(|(number, _)| number.bytes().all(|b| b.is_ascii_digit()))
    };
    let line = outcome.stderr.lines().find(is_shells)?;
    Some(format!("  the shell itself failed: {line}\n"))
}

/// A line diff with two lines of context.
fn lines(left: &str, right: &str) -> String {
    let mut text = String::new();
    for group in TextDiff::from_lines(left, right).grouped_ops(2) {
        let diff = TextDiff::from_lines(left, right);
        for op in group {
            for change in diff.iter_changes(&op) {
                let sign = match change.tag() {
                    ChangeTag::Delete => '-',
                    ChangeTag::Insert => '+',
                    ChangeTag::Equal => ' ',
                };
                let value = change.value();
                text.push_str(&format!("  {sign} {}\n", value.strip_suffix('\n').unwrap_or(value)));
                if !value.ends_with('\n') {
                    text.push_str("  \\ no newline at the end\n");
                }
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::End;

    #[test]
    fn what_both_sides_await_in_vain_is_no_agreement() {
        let said = |out: &str| refused(&Outcome { stdout: out.into(), stderr: String::new(), end: End::Code(0) });
        assert!(said("x\nawait: in vain: test -e x\ny\n").is_some());
        assert!(said("calm: in vain: cat out\n").is_some());
        assert_eq!(said("waits in vain: x\n"), None);
    }

    #[test]
    fn a_file_that_neither_side_has_is_no_agreement() {
        let said = |err: &str| refused(&Outcome { stdout: String::new(), stderr: err.into(), end: End::Code(2) });
        assert!(said("x\ngrep: ovs-vswitchd.log: No such file or directory\n").is_some());
        assert!(said("sed: can't read x: No such file or directory\n").is_some());
        assert_eq!(said("ovs-ofctl: flows: open failed (No such file or directory)\n"), None);
    }

    #[test]
    fn a_script_that_breaks_off_on_both_sides_is_no_agreement() {
        let said = |err: &str| refused(&Outcome { stdout: "x\n".into(), stderr: err.into(), end: End::Code(1) });
        let text = said("Traceback (most recent call last):\n  File \"x.py\", line 1\nValueError: y\n").unwrap();
        assert_eq!(text, "  a script broke off: ValueError: y\n");
        assert_eq!(said("ovs-vsctl: Traceback (most recent call last)\n"), None);
    }

    #[test]
    fn a_command_that_the_shell_refuses_is_no_agreement() {
        let said = |err: &str| refused(&Outcome { stdout: String::new(), stderr: err.into(), end: End::Code(2) });
        assert!(said("x\nsh: 1: Bad substitution\n").is_some());
        assert_eq!(said("ovs-vsctl: sh: 1: odd\n"), None);
    }

    #[test]
    fn each_part_counts() {
        let outcome =
            |out: &str, err: &str, code| Outcome { stdout: out.into(), stderr: err.into(), end: End::Code(code) };
        assert_eq!(difference(&outcome("a\n", "", 0), &outcome("a\n", "", 0)), None);
        let text = difference(&outcome("a\nb\n", "", 0), &outcome("a\nc\n", "x", 1)).unwrap();
        assert_eq!(
            text,
            "  stdout:\n    a\n  - b\n  + c\n  stderr:\n  + x\n  \\ no newline at the end\n  - exit 0\n  + exit 1\n"
        );
    }
}
