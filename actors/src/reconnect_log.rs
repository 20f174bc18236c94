//! What a reconnect machine has to say, for the log.

use jsonrpc::Reconnect;
use jsonrpc::reconnect::Severity;
use vlog::Level;

/// Logs it; the steps of a connection's life at `steps`.
pub(crate) fn tell(machine: &mut Reconnect, steps: Level) {
    for line in machine.take_log() {
        let level = match line.severity {
            Severity::Err => Level::Err,
            Severity::Warn => Level::Warn,
            Severity::Info => steps,
            Severity::Debug => Level::Dbg,
        };
        vlog::log!(level, "reconnect", "{}", line.text);
    }
}
