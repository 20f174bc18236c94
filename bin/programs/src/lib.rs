//! What the programs that serve have in common: from their options to a daemon with its control commands.

use actors::daemon::{DaemonConfig, Exit, Reason};
use actors::stream::TlsFiles;
use actors::unixctl::{self, Commands};
use cli::groups::{DaemonSettings, LogSettings, TlsSettings};
use cli::options::{Parsed, UsageError};
use cli::program::Program;
use std::io::Read;
use std::path::PathBuf;

/// Shows the help or the version, if either is asked for; what is wrong with the options of the log before it is told, and
/// ends the program.
pub fn is_shown_instead(program: &Program, parsed: &Parsed, usage: fn(&str) -> String) -> bool {
    let mut log = LogSettings::default();
    for given in &parsed.given {
        let text = match given.flag.long {
            "help" => usage(&program.name),
            "version" => program.version_text(""),
            _ => {
                // Whoever reads all of them tells what is wrong with it.
                let _ = log.accept(given);
                continue;
            }
        };
        log.start(&program.name).unwrap_or_else(|UsageError(text)| program.fatal(&text));
        cli::program::print(&text);
        return true;
    }
    false
}

/// The daemon that the options describe; its greeting and its way to work on devices are the program's own.
#[must_use]
pub fn daemon_config(settings: &DaemonSettings, program: &str) -> DaemonConfig {
    DaemonConfig {
        program: program.to_owned(),
        pidfile: settings.pidfile_path(program).map(PathBuf::from),
        overwrite_pidfile: settings.overwrite_pidfile,
        detach: settings.detach,
        monitor: settings.monitor,
        default_log: Some(PathBuf::from(cli::dirs::below(&cli::dirs::logdir(), &format!("{program}.log")))),
        chdir: settings.chdir,
        user: settings.user.clone(),
        ..DaemonConfig::default()
    }
}

/// The files and choices of TLS that the options name.
#[must_use]
pub fn tls_files(tls: TlsSettings) -> TlsFiles {
    TlsFiles {
        private_key: tls.private_key.map(PathBuf::from),
        certificate: tls.certificate.map(PathBuf::from),
        ca_cert: tls.ca_cert.map(PathBuf::from),
        bootstrap: tls.bootstrap,
        peer_ca_cert: tls.peer_ca_cert.map(PathBuf::from),
        protocols: tls.protocols,
        ciphers: tls.ciphers,
    }
}

/// 16 random octets, as a seed.
///
/// # Errors
/// `/dev/urandom` cannot be read.
pub fn seed() -> Result<u128, String> {
    let mut octets = [0; 16];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut octets))
        .map_err(|e| format!("/dev/urandom: no random bytes to be had ({e})"))?;
    Ok(u128::from_ne_bytes(octets))
}

/// The control commands of every daemon whose `version` prints this; those that only tests want where `tests`.
#[must_use]
pub fn commands(version: &str, tests: bool) -> Commands {
    let mut commands = Commands::new(version);
    unixctl::add_log_commands(&mut commands);
    unixctl::add_actor_commands(&mut commands, tests);
    if tests {
        unixctl::add_clock_commands(&mut commands);
    }
    commands
}

/// Adds the switch's `exit [--cleanup]`.
pub fn add_switch_exit(commands: &mut Commands, exit: &Exit) {
    let exit = exit.clone();
    commands.add("exit", "[--cleanup]", 0, 1, move |args| {
        exit.ask(Reason::Command { cleanup: args.first().is_some_and(|a| a == "--cleanup") });
        Ok(String::new())
    });
}
