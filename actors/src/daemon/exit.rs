//! How a daemon is asked to end: by control command or by signal.

use super::monitor::signal_text;
use std::os::unix::process::ExitStatusExt;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

/// Why the daemon ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// `exit`, with `--cleanup` or without.
    Command {
        /// Whether to take down what was built in the kernel.
        cleanup: bool,
    },
    /// A fatal signal.
    Signal(i32),
    /// The command of `--run` ended; what to say if it failed.
    Child(Result<(), String>),
}

/// Runs `command` by the shell beside the daemon (`--run`); the daemon ends when it does, and fails if it did.
///
/// # Errors
/// The text to show if it cannot be started.
pub fn run_command(command: &str, exit: &Exit) -> Result<(), String> {
    let fail = |e: std::io::Error| format!("{command}: process failed to start ({})", crate::stream::errno_text(&e));
    let mut child = tokio::process::Command::new("/bin/sh").arg("-c").arg(command).spawn().map_err(fail)?;
    let (exit, command) = (exit.clone(), command.to_owned());
    actix::spawn(async move {
        let death = match child.wait().await {
            Ok(status) if status.success() => return exit.ask(Reason::Child(Ok(()))),
            Ok(status) => match (status.code(), status.signal()) {
                (Some(code), _) => format!("exit status {code}"),
                (None, Some(signal)) => format!("killed ({})", signal_text(signal)),
                (None, None) => "terminated abnormally".to_owned(),
            },
            Err(error) => crate::stream::errno_text(&error),
        };
        exit.ask(Reason::Child(Err(format!("{command}: child exited, {death}"))));
    });
    Ok(())
}

/// The signals this process ignores: bit N-1 for signal N. Source: proc_pid_status(5), `SigIgn`.
fn ignored_signals() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

/// A handle on the daemon's end; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Exit {
    reason: Arc<Mutex<Option<Reason>>>,
    notify: Arc<Notify>,
}

impl Exit {
    /// A daemon that nobody has asked to end.
    pub fn new() -> Exit {
        Exit::default()
    }

    /// Asks the daemon to end. The first reason stands.
    pub fn ask(&self, reason: Reason) {
        self.reason.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(reason);
        self.notify.notify_waiters();
        self.notify.notify_one();
    }

    /// Why the daemon is to end, if it is.
    pub fn asked(&self) -> Option<Reason> {
        self.reason.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until the daemon is asked to end.
    pub async fn wait(&self) -> Reason {
        loop {
            let notified = self.notify.notified();
            if let Some(reason) = self.asked() {
                return reason;
            }
            notified.await;
        }
    }

    /// Listens for signals from now on. Must be called inside a runtime.
    ///
    /// Whoever started the program may have had it ignore some, as nohup(1) does, and they stay so; but SIGINT does not
    /// where `is_interactive`: a shell without job control has it ignored by all that it starts in the background.
    ///
    /// # Errors
    /// Those of installing a signal handler.
    pub fn watch_signals(&self, is_interactive: bool) -> std::io::Result<()> {
        let ignored = ignored_signals();
        let is_heeded = |kind: &SignalKind| {
            is_interactive && *kind == SignalKind::interrupt() || ignored & (1 << (kind.as_raw_value() - 1)) == 0
        };
        let fatal = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::alarm(), SignalKind::hangup()];
        for kind in fatal.into_iter().filter(is_heeded) {
            let (mut stream, exit) = (signal(kind)?, self.clone());
            actix::spawn(async move {
                if stream.recv().await.is_some() {
                    let number = kind.as_raw_value();
                    vlog::warn!("fatal_signal", "terminating with signal {number} ({})", signal_text(number));
                    exit.ask(Reason::Signal(number));
                }
            });
        }
        Ok(())
    }
}
