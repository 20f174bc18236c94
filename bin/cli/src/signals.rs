//! Signals that end a program which runs until it is told to stop.

use crate::alarm;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

fn text_of(signal: i32) -> &'static str {
    match signal {
        SIGHUP => "Hangup",
        SIGINT => "Interrupt",
        _ => "Terminated",
    }
}

/// From now on a signal that asks the program to end is logged, files noted with
/// [`alarm::remove_at_end`] are removed, and the program ends by that signal.
pub fn end_in_order() {
    let Ok(mut signals) = Signals::new([SIGHUP, SIGINT, SIGTERM]) else { return };
    let thread = std::thread::Builder::new().name("signals".into()).stack_size(128 * 1024);
    let started = thread.spawn(move || {
        for signal in signals.forever() {
            vlog::warn!("fatal_signal", "terminating with signal {signal} ({})", text_of(signal));
            alarm::remove_files();
            let _ = signal_hook::low_level::emulate_default_handler(signal);
        }
    });
    // Without the thread the signals keep their default effect until they are caught.
    drop(started);
}
