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

/// The modules of the tools beyond those of the daemons.
const TOOL_MODULES: &[&str] =
    &["db_ctl_base", "ofctl", "ovsdb_client", "ovsdb_tool", "ovs_appctl", "reconnect", "vsctl"];

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

    /// Makes the program's log as the options ask; `program` names the default log file. Options are
    /// judged in the order of their kinds: levels, syslog, file.
    ///
    /// # Errors
    /// The text to end the program with.
    pub fn start(&self, program: &str) -> Result<(), UsageError> {
        vlog::start();
        vlog::set_program_name(program);
        // A specification may name any module, spoken up or not; a daemon lists its own and no others.
        match program {
            "ovsdb-server" => vlog::register(vlog::OVSDB_SERVER_MODULES),
            "ovs-vswitchd" => vlog::register(vlog::VSWITCHD_MODULES),
            _ if self.verbose.is_empty() => {}
            _ => {
                vlog::register(vlog::VSWITCHD_MODULES);
                vlog::register(TOOL_MODULES);
            }
        }
        for spec in &self.verbose {
            vlog::set_levels(spec.as_deref().unwrap_or("any:any:dbg"))
                .map_err(|text| UsageError(format!("processing \"{}\": {text}", spec.as_deref().unwrap_or(""))))?;
        }
        if let Some(text) = &self.syslog_method {
            let method = vlog::SyslogMethod::parse(text)
                .ok_or_else(|| UsageError(format!("unsupported syslog method '{text}'")))?;
            vlog::set_syslog_method(method);
        }
        if let Some(target) = &self.syslog_target {
            // As with every log destination: what does not work is no reason not to work.
            let _ = vlog::set_syslog_target(target);
        }
        if let Some(file) = &self.log_file {
            let default = format!("{program}.log");
            let name = file.as_deref().filter(|f| !f.is_empty()).unwrap_or(&default);
            let _ = vlog::open_file(Path::new(&dirs::below(&dirs::logdir(), name)));
        }
        Ok(())
    }

    /// The group's section of `--help`, after a blank line.
    #[must_use]
    pub fn usage(program: &str) -> String {
        section(program, "\nLogging options:", LOG)
    }
}
