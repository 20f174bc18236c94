//! ovs-ofctl: commands that talk OpenFlow to a switch, and helpers that only turn text into messages and back.
//!
//! [`session`] has the connection, [`settings`] the options; the commands are in [`commands`], one file a family.
//! Source: ovs-ofctl(8).

mod commands;
mod session;
mod settings;
mod text;
mod unixctl;

use cli::alarm;
use cli::program::{self, Program};

use settings::Settings;

/// Why a command ends without success: the text for the user, or nothing when it has been said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// `ovs-ofctl: text`.
    Text(String),
    /// Everything has been said.
    Said,
}

impl From<String> for Failure {
    fn from(text: String) -> Failure {
        Failure::Text(text)
    }
}

impl From<&str> for Failure {
    fn from(text: &str) -> Failure {
        Failure::Text(text.to_string())
    }
}

/// What a command comes to.
pub(crate) type Done = Result<(), Failure>;

/// The program. Returns its exit code.
pub fn main() -> i32 {
    let program = Program::from_env("ovs-ofctl");
    let (settings, words) = match settings::parse(&program) {
        settings::Line::Run(settings, words) => (*settings, words),
        settings::Line::Shown(text) => {
            program::print(&text);
            program::flush_stdout();
            return 0;
        }
        settings::Line::Wrong(text) => program.fatal(&text),
    };
    alarm::arm(settings.timeout_s);
    let code = match run(&settings, &words) {
        Ok(()) => 0,
        Err(Failure::Said) => 1,
        Err(Failure::Text(text)) => {
            program.complain(&text);
            1
        }
    };
    program::flush_stdout();
    code
}

fn run(settings: &Settings, words: &[String]) -> Done {
    let detaches = words.first().is_some_and(|word| matches!(word.as_str(), "monitor" | "snoop"));
    cli::daemon::Daemon::assume_user(&settings.daemon, detaches)?;
    let command = cli::command::find(commands::TABLE, words, settings.read_only).map_err(|text| {
        // Near commands are not named here.
        text.lines().next().unwrap_or_default().to_string()
    })?;
    (command.run)(settings, &words[1..])
}
