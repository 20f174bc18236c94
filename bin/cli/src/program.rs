//! The running program: its name, its arguments, and how it speaks and ends.

use crate::options::{self, Flag, Order, Parsed, UsageError};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;

/// The version of Open vSwitch whose place these programs take; scripts parse it.
pub const OVS_VERSION: &str = "3.1.0";

/// A program as it was started.
#[derive(Clone, Debug)]
pub struct Program {
    /// The last component of the path by which it was called, as in its messages: `ovs-vsctl`.
    pub name: String,
    /// The path by which it was called, as `getopt` names it in its messages.
    pub argv0: String,
    /// The arguments that follow.
    pub args: Vec<String>,
}

impl Program {
    /// The program as the system started it; `default` names it if the system does not. Octets of arguments that are
    /// not UTF-8 are carried as [`octets`] has it.
    #[must_use]
    pub fn from_env(default: &str) -> Program {
        let mut words = std::env::args_os().map(|word| octets::to_text(word.as_bytes()).into_owned());
        let argv0 = words.next().filter(|w| !w.is_empty()).unwrap_or_else(|| default.to_string());
        let name = match argv0.rsplit('/').next() {
            Some(name) if !name.is_empty() => name.to_string(),
            _ => default.to_string(),
        };
        Program { name, argv0, args: words.collect() }
    }

    /// Parses the arguments. Once the options are judged, [`Program::end_at_fault`] must be called.
    #[must_use]
    pub fn parse(&self, flags: &[Flag], order: Order) -> Parsed {
        options::parse(flags, order, &self.args)
    }

    /// Says which option cannot be understood and ends with exit code 1, if there is one.
    pub fn end_at_fault(&self, parsed: &Parsed) {
        if let Some(UsageError(text)) = &parsed.fault {
            eprintln_quiet(&format!("{}: {text}", self.argv0));
            std::process::exit(1)
        }
    }

    /// Prints `NAME: text` to standard error and ends with exit code 1; a pidfile goes.
    pub fn fatal(&self, text: &str) -> ! {
        self.complain(text);
        crate::alarm::remove_files();
        std::process::exit(1)
    }

    /// Prints `NAME: text` to standard error.
    pub fn complain(&self, text: &str) {
        flush_stdout();
        eprintln_quiet(&format!("{}: {text}", self.name));
    }

    /// The text of `--version`: one line naming the version, then `more` lines.
    #[must_use]
    pub fn version_text(&self, more: &str) -> String {
        format!("{} (Open vSwitch) {OVS_VERSION}\n{more}", self.name)
    }
}

/// Writes to standard output; a reader that has gone away ends the program quietly, as a signal
/// would have.
pub fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    if out.write_all(&octets::of_text(text)).is_err() {
        std::process::exit(141);
    }
}

/// Flushes standard output, ending the program quietly if its reader has gone away.
pub fn flush_stdout() {
    if std::io::stdout().lock().flush().is_err() {
        std::process::exit(141);
    }
}

/// Writes to standard error as it is; if that fails there is nobody to tell.
pub fn eprint_quiet(text: &str) {
    let _ = std::io::stderr().lock().write_all(&octets::of_text(text));
}

/// Writes a line to standard error; if that fails there is nobody to tell.
pub fn eprintln_quiet(line: &str) {
    eprint_quiet(&format!("{line}\n"));
}

/// The text of a system error without Rust's "(os error N)", as `strerror(3)` gives it.
#[must_use]
pub fn strerror(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error ") {
        Some(at) => text[..at].to_string(),
        None if error.kind() == std::io::ErrorKind::UnexpectedEof => "End of file".to_string(),
        None => text,
    }
}
