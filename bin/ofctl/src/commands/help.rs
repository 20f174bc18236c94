//! `help`, `list-commands`.

use cli::{dirs, program};

use crate::Done;
use crate::settings::Settings;

/// The text of `--help`.
pub(crate) fn usage(name: &str) -> String {
    dirs::fill(include_str!("usage.txt"), name)
}

/// `help`.
pub(super) fn help(settings: &Settings, _: &[String]) -> Done {
    program::print(&usage(&settings.program));
    Ok(())
}

/// `list-commands`.
pub(super) fn list_commands(_: &Settings, _: &[String]) -> Done {
    program::print(&cli::command::listing(super::TABLE));
    Ok(())
}
