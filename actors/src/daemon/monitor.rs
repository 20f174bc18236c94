//! The process behind `--monitor`: it waits for the daemon to die, and starts it again if it crashed.
//!
//! A crash is a death by a signal that a fault raises; an exit, or a signal someone sent, ends the monitor
//! too. Not more than one restart in ten seconds, after the first.

use super::{DaemonConfig, await_child};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::Path;
use sys::process::Fork;

const RESTART_INTERVAL_MS: i64 = 10_000;

/// Forks the daemon; this process becomes its monitor and never returns. In the daemon: the means to say
/// that it serves.
pub(super) fn start(config: &DaemonConfig, ready: Option<OwnedFd>) -> Result<Option<OwnedFd>, String> {
    let program = &*config.program;
    let (child, from_child) = match spawn()? {
        Spawned::Parent(child, from_child) => (child, from_child),
        Spawned::Child(to_monitor) => return Ok(Some(to_monitor)),
    };
    name_process("monitor");
    let command_line = std::fs::read("/proc/self/cmdline").unwrap_or_default();
    show(program, child, "healthy");
    let code = await_child(from_child, child);
    if code != 0 {
        std::process::exit(code);
    }
    if let Some(ready) = ready {
        let _ = std::fs::File::from(ready).write_all(&[0]);
        quieten();
    }
    // The log may be rotated away while there is nothing to say.
    vlog::leave_file();
    watch(config, child, &command_line)
}

/// Names the process in the log and in `ps`.
fn name_process(name: &str) {
    vlog::set_subprogram(name);
    if let Ok(name) = std::ffi::CString::new(name) {
        let _ = nix::sys::prctl::set_name(&name);
    }
}

/// Tells `ps` how the daemon fares.
fn show(program: &str, child: i32, state: &str) {
    set_title(format!("{program}: monitoring pid {child} ({state})").as_bytes());
}

fn set_title(title: &[u8]) {
    if let Err(error) = sys::process::set_title(title) {
        vlog::dbg!("daemon_unix", "setting the process title failed ({})", crate::stream::errno_text(&error));
    }
}

/// A detached monitor keeps no terminal.
fn quieten() {
    vlog::set_default(vlog::Destination::Console, vlog::Level::Off);
    if let Ok(null) = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null") {
        let _ = nix::unistd::dup2_stdin(&null);
        let _ = nix::unistd::dup2_stdout(&null);
        let _ = nix::unistd::dup2_stderr(&null);
    }
}

enum Spawned {
    Parent(i32, OwnedFd),
    Child(OwnedFd),
}

fn spawn() -> Result<Spawned, String> {
    let (from_child, to_monitor) = nix::unistd::pipe().map_err(|e| format!("pipe failed ({})", e.desc()))?;
    match sys::process::fork().map_err(|e| format!("fork failed ({})", crate::stream::errno_text(&e)))? {
        Fork::Parent(child) => Ok(Spawned::Parent(child, from_child)),
        Fork::Child => Ok(Spawned::Child(to_monitor)),
    }
}

/// Opens the log again, which may have been rotated since; the default one if there was none, as Open vSwitch does.
fn open_log(default: Option<&Path>) {
    let _ = match default.filter(|_| vlog::log_file_path().is_none()) {
        Some(path) => vlog::open_file(path),
        None => vlog::reopen_file(),
    };
}

fn watch(config: &DaemonConfig, mut child: i32, command_line: &[u8]) -> Result<Option<OwnedFd>, String> {
    let program = &*config.program;
    let (mut crashes, mut last_restart_ms) = (0, None);
    loop {
        let status = match waitpid(Pid::from_raw(child), None) {
            Ok(status) => status,
            Err(nix::errno::Errno::EINTR) => continue,
            Err(error) => return Err(format!("waitpid failed ({})", error.desc())),
        };
        let death = describe(&status);
        open_log(config.default_log.as_deref());
        if !is_crash(&status) {
            vlog::info!("daemon_unix", "pid {child} died, {death}, exiting");
            std::process::exit(0);
        }
        crashes += 1;
        let text = format!("{crashes} crashes: pid {child} died, {death}");
        if matches!(status, WaitStatus::Signaled(_, _, true)) {
            // One core tells enough, and a full disk helps nobody.
            let _ = nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_CORE, 0, 0);
        }
        let wait_ms = last_restart_ms.map_or(0, |then: i64| then + RESTART_INTERVAL_MS - crate::clock::now_ms());
        if wait_ms > 0 {
            vlog::warn!("daemon_unix", "{text}, waiting until 10 seconds since last restart");
            std::thread::sleep(std::time::Duration::from_millis(u64::try_from(wait_ms).unwrap_or(0)));
        }
        last_restart_ms = Some(crate::clock::now_ms());
        vlog::err!("daemon_unix", "{text}, restarting");
        match spawn()? {
            Spawned::Parent(next, from_child) => {
                child = next;
                show(program, child, &text);
                // Whether it comes up shows at the next wait; the pipe must be drained of its one byte.
                let _ = nix::unistd::read(&from_child, &mut [0]);
                vlog::leave_file();
            }
            Spawned::Child(to_monitor) => {
                name_process(program);
                set_title(command_line);
                // The monitor's own is as it may be; this one is written to.
                let _ = vlog::reopen_file();
                return Ok(Some(to_monitor));
            }
        }
    }
}

fn is_crash(status: &WaitStatus) -> bool {
    matches!(
        status,
        WaitStatus::Signaled(
            _,
            Signal::SIGABRT
                | Signal::SIGALRM
                | Signal::SIGBUS
                | Signal::SIGFPE
                | Signal::SIGILL
                | Signal::SIGPIPE
                | Signal::SIGSEGV
                | Signal::SIGXCPU
                | Signal::SIGXFSZ,
            _
        )
    )
}

/// A death in words.
pub(super) fn describe(status: &WaitStatus) -> String {
    match status {
        WaitStatus::Exited(_, code) => format!("exit status {code}"),
        WaitStatus::Signaled(_, signal, core) => {
            let core = if *core { ", core dumped" } else { "" };
            format!("killed ({}){core}", signal_text(*signal as i32))
        }
        WaitStatus::Stopped(_, signal) => format!("stopped ({})", signal_text(*signal as i32)),
        other => format!("terminated abnormally ({other:?})"),
    }
}

/// The name of a signal as the C library words it.
pub(super) fn signal_text(signal: i32) -> String {
    let text = match signal {
        1 => "Hangup",
        2 => "Interrupt",
        3 => "Quit",
        4 => "Illegal instruction",
        6 => "Aborted",
        7 => "Bus error",
        8 => "Floating point exception",
        9 => "Killed",
        11 => "Segmentation fault",
        13 => "Broken pipe",
        14 => "Alarm clock",
        15 => "Terminated",
        24 => "CPU time limit exceeded",
        25 => "File size limit exceeded",
        _ => return format!("signal {signal}"),
    };
    text.to_owned()
}
