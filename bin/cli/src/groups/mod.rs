//! Groups of options that several programs take, each with its definitions, the settings they make,
//! and their section of `--help`.
//!
//! A program chains the groups it takes into one list, then offers every option given to each group's
//! `accept` in turn; the first that knows it takes it.

mod daemon;
mod log;
mod table;
mod tls;

pub use daemon::{DAEMON, DaemonSettings};
pub use log::{LOG, LogSettings};
pub use table::{CellStyle, TABLE, TableFormat, TableStyle};
pub use tls::{ACTIVE, BOOTSTRAP, PASSIVE, TLS, TlsSettings, connection_methods};

use crate::dirs;
use crate::options::{Flag, UsageError};

/// `-h, --help`.
pub const HELP: Flag = Flag::switch("help").short('h');
/// `-V, --version`.
pub const VERSION: Flag = Flag::switch("version").short('V');
/// `-o, --option`: lists the options.
pub const OPTION: Flag = Flag::switch("option").short('o');

/// A list of flags as text for `--help`, with `heading` before it.
#[must_use]
pub fn section(program: &str, heading: &str, flags: &[Flag]) -> String {
    let mut out = format!("{heading}\n");
    for flag in flags {
        out.push_str(&dirs::fill(flag.help, program));
    }
    out
}

/// What a group made of an option: taken, not its own, or wrong.
pub type Accepted = Result<bool, UsageError>;
