//! ovs-vsctl, one file a group of commands.
//!
//! A run has these steps: read the command line (`line`); connect and fetch the schema; let each
//! command say which tables and columns it needs (`need`); build one transaction of all commands
//! over a replica of those (`context`); commit it, again over newer contents if another client was
//! quicker; wait for ovs-vswitchd to take the configuration up (`session`). Source: ovs-vsctl(8).

mod command;
mod commands;
mod context;
mod database;
mod line;
mod need;
mod options;
mod session;
mod topology;
mod usage;

use cli::options::UsageError;
use cli::program::Program;

/// Why a command does not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// With this text; exit code 1.
    Text(String),
    /// Without a text, with this exit code.
    Exit(i32),
    /// Not yet: it has to be tried again when the database has changed.
    NotYet,
}

impl From<String> for Failure {
    fn from(text: String) -> Failure {
        Failure::Text(text)
    }
}

/// The result of a step.
pub(crate) type Outcome<T> = Result<T, Failure>;

/// Ends a step with a text.
pub(crate) fn fail<T>(text: impl Into<String>) -> Outcome<T> {
    Err(Failure::Text(text.into()))
}

/// Runs ovs-vsctl and gives its exit code.
#[must_use]
pub fn main() -> i32 {
    let program = Program::from_env("ovs-vsctl");
    match options::run(&program) {
        Ok(code) => code,
        Err(UsageError(text)) => program.fatal(&text),
    }
}
