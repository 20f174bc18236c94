//! `ovs-appctl switch/top` on a terminal: one look after the other, until ctrl-C. Anywhere else it is one look.

use crate::control::{self, Reply};
use cli::options::UsageError;
use cli::program::{flush_stdout, print};
use std::io::IsTerminal;

/// Clears the screen.
const CLEAR: &str = "\x1b[H\x1b[2J";

/// Whether looks follow each other.
pub(crate) fn is_live(args: &[String]) -> bool {
    std::io::stdout().is_terminal() && !args.iter().any(|arg| arg == "--once")
}

/// Shows the switch until it goes away; ctrl-C ends the program.
pub(crate) fn show(path: &str, target: &str, args: &[String]) -> Result<i32, UsageError> {
    loop {
        match control::ask(path, target, "switch/top", args).map_err(UsageError)? {
            Reply::Text(text) => print(&format!("{CLEAR}{}", fitted(&text))),
            Reply::Refusal(text) => return Err(UsageError(text.trim_end().to_owned())),
        }
        flush_stdout();
    }
}

/// As much of the text as the terminal shows without scrolling or breaking lines.
fn fitted(text: &str) -> String {
    let Ok(size) = rustix::termios::tcgetwinsize(std::io::stdout()) else { return text.to_owned() };
    let (rows, columns) = (usize::from(size.ws_row.max(2)), usize::from(size.ws_col.max(20)));
    let lines = text.lines().take(rows - 1);
    lines.map(|line| line.chars().take(columns).collect::<String>() + "\n").collect()
}
