//! Signals that end a program which waits for others.

use crate::alarm;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicU32, Ordering};

/// So long nobody is in want of an orderly end, ns.
const PATIENCE_NS: i64 = 20_000_000;

/// The process that listens: one that was forked off begins anew.
static LISTENING: AtomicU32 = AtomicU32::new(0);

fn text_of(signal: i32) -> &'static str {
    match signal {
        SIGHUP => "Hangup",
        SIGINT => "Interrupt",
        _ => "Terminated",
    }
}

/// Whether a process is deaf to a signal, by its `/proc/PID/status`: who starts it so (`nohup`, a shell's background)
/// wants it so.
fn ignores(status: &str, signal: i32) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask >> (signal - 1) & 1 != 0
}

/// From now on a signal that asks the program to end is logged, files noted with
/// [`alarm::remove_at_end`] are removed, and the program ends by that signal. To say so again does nothing.
pub fn end_in_order() {
    let process = std::process::id();
    if LISTENING.swap(process, Ordering::Relaxed) == process {
        return;
    }
    alarm::attend();
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let wanted = [SIGHUP, SIGINT, SIGTERM].into_iter().filter(|signal| !ignores(&status, *signal));
    let Ok(mut signals) = Signals::new(wanted) else { return };
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

/// Waits until there is something to read, and once that takes long, ends in order at a signal. Most answers are here
/// before a thread would be; a program that asks one thing and is gone does without it.
pub(crate) fn wait_in_order(stream: BorrowedFd<'_>) {
    if LISTENING.load(Ordering::Relaxed) == std::process::id() {
        return;
    }
    let patience = Timespec { tv_sec: 0, tv_nsec: PATIENCE_NS };
    let mut fds = [PollFd::from_borrowed_fd(stream, PollFlags::IN)];
    if matches!(poll(&mut fds, Some(&patience)), Ok(0)) {
        end_in_order();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals() {
        let status = "Name:\tx\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000001003\nSigCgt:\t0000000000004000\n";
        assert_eq!([SIGHUP, SIGINT, SIGTERM].map(|signal| ignores(status, signal)), [true, true, false]);
        assert!(!ignores("", SIGHUP));
    }
}
