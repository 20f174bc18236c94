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

/// Arms the alarm, from `seconds` if given, else from the environment variable `OVS_CTL_TIMEOUT`.
pub fn arm(seconds: Option<u32>) {
    let seconds = seconds.or_else(|| {
        let text = std::env::var("OVS_CTL_TIMEOUT").ok()?;
        text.parse().ok().filter(|s| *s > 0)
    });
    let Some(seconds) = seconds else { return };
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
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::ALARM);
    // Only reached if the signal is blocked or ignored.
    std::process::exit(142)
}
