//! Logging options: `-v`, `--log-file`, `--syslog-method`, `--syslog-target`.

use super::{Accepted, section};
use crate::options::{Flag, Given};

/// The logging options.
pub const LOG: &[Flag] = &[
    Flag::optional("verbose").short('v').help(
        "  -vSPEC, --verbose=SPEC   set logging levels\n  -v, --verbose            set maximum verbosity level\n",
    ),
    Flag::optional("log-file").help(
        "  --log-file[=FILE]        enable logging to specified FILE\n                           (default: {logdir}/{program}.log)\n",
    ),
    Flag::value("syslog-method").help(
        "  --syslog-method=(libc|unix:file|udp:ip:port)\n                           specify how to send messages to syslog daemon\n",
    ),
    Flag::value("syslog-target")
        .help("  --syslog-target=HOST:PORT  also send syslog msgs to HOST:PORT via UDP\n"),
];

/// What the logging options ask for. The texts are as given; the logger judges them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogSettings {
    /// Each `-v`, in order: a specification, or `None` for the greatest verbosity.
    pub verbose: Vec<Option<String>>,
    /// `--log-file`: absent, the default file (`Some(None)`), or the named one.
    pub log_file: Option<Option<String>>,
    /// `--syslog-method`.
    pub syslog_method: Option<String>,
    /// `--syslog-target`.
    pub syslog_target: Option<String>,
}

impl LogSettings {
    /// Takes the option if it is one of this group.
    ///
    /// # Errors
    /// None; the texts are judged by the logger.
    pub fn accept(&mut self, option: &Given) -> Accepted {
        match option.flag.long {
            "verbose" => self.verbose.push(option.value.clone()),
            "log-file" => self.log_file = Some(option.value.clone()),
            "syslog-method" => self.syslog_method = option.value.clone(),
            "syslog-target" => self.syslog_target = option.value.clone(),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The group's section of `--help`, after a blank line.
    #[must_use]
    pub fn usage(program: &str) -> String {
        section(program, "\nLogging options:", LOG)
    }
}
