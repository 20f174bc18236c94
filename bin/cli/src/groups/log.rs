//! Logging options: `-v`, `--log-file`, `--syslog-method`, `--syslog-target`.

use super::{Accepted, section};
use crate::dirs;
use crate::options::{Flag, Given, UsageError};
use std::path::Path;

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

/// One logging option, as given; the logger judges its text.
#[derive(Clone, Debug, PartialEq, Eq)]
enum LogOption {
    /// `-v`: a specification, or `None` for the greatest verbosity.
    Verbose(Option<String>),
    /// `--log-file`: the default file, or the named one.
    File(Option<String>),
    /// `--syslog-method`.
    SyslogMethod(String),
    /// `--syslog-target`.
    SyslogTarget(String),
}

/// What the logging options ask for, in the order given: a log file opened before `-vconsole:off` says so on the
/// console.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogSettings {
    options: Vec<LogOption>,
}

impl LogSettings {
    /// Takes the option if it is one of this group.
    ///
    /// # Errors
    /// None; the texts are judged by the logger.
    pub fn accept(&mut self, option: &Given) -> Accepted {
        let text = || option.text().to_owned();
        self.options.push(match option.flag.long {
            "verbose" => LogOption::Verbose(option.value.clone()),
            "log-file" => LogOption::File(option.value.clone()),
            "syslog-method" => LogOption::SyslogMethod(text()),
            "syslog-target" => LogOption::SyslogTarget(text()),
            _ => return Ok(false),
        });
        Ok(true)
    }

    /// Adds a level's specification, as `-vSPEC` does.
    pub fn set_level(&mut self, spec: &str) {
        self.options.push(LogOption::Verbose(Some(spec.to_owned())));
    }

    /// Makes the program's log as the options ask; `program` names the default log file. The program ends if
    /// its log file cannot be opened, which the log itself has said then.
    ///
    /// # Errors
    /// The text to end the program with.
    pub fn start(&self, program: &str) -> Result<(), UsageError> {
        vlog::start();
        vlog::set_program_name(program);
        // A specification may name any module of the program, spoken up or not.
        let is_daemon = matches!(program, "ovsdb-server" | "ovs-vswitchd");
        if is_daemon || self.options.iter().any(|o| matches!(o, LogOption::Verbose(_))) {
            vlog::register(program);
        }
        for option in &self.options {
            apply(option, program)?;
        }
        Ok(())
    }

    /// The group's section of `--help`, after a blank line.
    #[must_use]
    pub fn usage(program: &str) -> String {
        section(program, "\nLogging options:", LOG)
    }
}

fn apply(option: &LogOption, program: &str) -> Result<(), UsageError> {
    match option {
        LogOption::Verbose(spec) => vlog::set_levels(spec.as_deref().unwrap_or("any:any:dbg"))
            .map_err(|text| UsageError(format!("processing \"{}\": {text}", spec.as_deref().unwrap_or("")))),
        LogOption::SyslogMethod(text) => vlog::SyslogMethod::parse(text)
            .map(vlog::set_syslog_method)
            .ok_or_else(|| UsageError(format!("unsupported syslog method '{text}'"))),
        LogOption::SyslogTarget(target) => {
            // As with every log destination: what does not work is no reason not to work.
            let _ = vlog::set_syslog_target(target);
            Ok(())
        }
        LogOption::File(file) => {
            // Only the default lies in the directory of logs; another is where its name says, from where one stands.
            let default = || dirs::below(&dirs::logdir(), &format!("{program}.log"));
            let name = file.clone().unwrap_or_else(default);
            // A process in the background goes on with the log of the one in front.
            let again = std::env::var_os(crate::daemon::MARK).is_some();
            let open = if again { vlog::go_on_with_file } else { vlog::open_file };
            // A file that was asked for by name has to be there.
            if open(Path::new(&name)).is_err() && file.is_some() {
                std::process::exit(1);
            }
            Ok(())
        }
    }
}
