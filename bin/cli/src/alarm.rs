//! `--timeout`: ends the program by `SIGALRM` after so many seconds, as `alarm(2)` does, after saying so.
//!
//! The shell sees exit code 142. A thread sleeps beside the program, so that no blocking call
//! anywhere needs a deadline of its own.

use std::sync::Mutex;
use std::time::Duration;

/// Files to remove when the program is ended by a signal: pidfiles and sockets.
static FILES: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Notes a file that has to go when the program ends by the alarm.
pub fn remove_at_end(path: &str) {
    FILES.lock().unwrap_or_else(|p| p.into_inner()).push(path.to_string());
}

/// Removes the files noted so far, those noted first at last: who waits for a pidfile to go finds nothing else then.
pub fn remove_files() {
    for path in FILES.lock().unwrap_or_else(|p| p.into_inner()).drain(..).rev() {
        let _ = std::fs::remove_file(path);
    }
}

/// `seconds` if given, else those of the environment variable `OVS_CTL_TIMEOUT`.
fn limit(seconds: Option<u32>) -> Option<u32> {
    seconds.or_else(|| std::env::var("OVS_CTL_TIMEOUT").ok()?.parse().ok()).filter(|s| *s > 0)
}

/// Arms the alarm, from `seconds` if given, else from the environment variable `OVS_CTL_TIMEOUT`.
pub fn arm(seconds: Option<u32>) {
    if let Some(seconds) = limit(seconds) {
        sleep_beside(seconds);
    }
}

/// As [`arm`], for a program that as a rule has its answer at once, and to which a thread is dear: at first it is the kernel
/// that would end it, without a word, and the thread begins where it waits for long ([`crate::signals::end_in_order`]).
pub fn arm_late(seconds: Option<u32>) {
    if let Some(seconds) = limit(seconds) {
        nix::unistd::alarm::set(seconds);
    }
}

/// Has what [`arm_late`] left to the kernel done in order; the time left is rounded to seconds, at least one.
pub(crate) fn attend() {
    if let Some(left) = nix::unistd::alarm::cancel() {
        sleep_beside(left);
    }
}

fn sleep_beside(seconds: u32) {
    let sleeper = std::thread::Builder::new().name("alarm".into()).stack_size(128 * 1024);
    let started = sleeper.spawn(move || {
        std::thread::sleep(Duration::from_secs(u64::from(seconds)));
        ring();
    });
    // Without the thread the program runs without a limit, which is the lesser evil.
    drop(started);
}

/// Says that the time is up and ends the program by `SIGALRM`.
pub fn ring() -> ! {
    vlog::warn!("fatal_signal", "terminating with signal 14 (Alarm clock)");
    remove_files();
    // Also where who started it had it ignored.
    let _ = signal_hook::low_level::emulate_default_handler(signal_hook::consts::SIGALRM);
    // Only reached if the signal is blocked.
    std::process::exit(142)
}
