//! Processes that never outlive the test that started them.
//!
//! Every program is started through `setpriv --pdeathsig KILL`, in a process group of its own, so that it
//! ends with the thread that started it; and whatever it may have left behind (a daemon that detached) is
//! found by its environment, which names the private directory, and ended by pid. Nothing is ever ended by
//! name.

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use std::fs::File;
use std::io;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// A command that ends with the calling thread: `program` under `setpriv`, in its own process group.
pub fn tied(program: &str) -> Command {
    tied_within(&[], program)
}

/// As [`tied`], with `outer` (for example `ip netns exec NAME`) around it.
pub fn tied_within(outer: &[&str], program: &str) -> Command {
    let words = outer.iter().copied().chain(["setpriv", "--pdeathsig", "KILL", "--", program]);
    let mut words = words.map(str::to_owned);
    let mut command = Command::new(words.next().unwrap_or_default());
    command.args(words).stdin(Stdio::null());
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    command
}

/// How a finished command ended, as the shell would tell it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// It exited with this code.
    Code(i32),
    /// A signal ended it.
    Signal(i32),
    /// It did not end in time and was killed.
    Late,
}

impl End {
    fn of(status: ExitStatus) -> End {
        use std::os::unix::process::ExitStatusExt;
        match (status.code(), status.signal()) {
            (Some(code), _) => End::Code(code),
            (None, Some(signal)) => End::Signal(signal),
            (None, None) => End::Late,
        }
    }
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            End::Code(code) => write!(f, "exit {code}"),
            End::Signal(signal) => write!(f, "signal {signal}"),
            End::Late => write!(f, "did not end in time"),
        }
    }
}

/// What a command said and how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// Exit code or signal.
    pub end: End,
}

impl Outcome {
    /// True if the command exited with 0.
    pub fn ok(&self) -> bool {
        self.end == End::Code(0)
    }
}

/// Runs `command` to its end, at most for `limit`.
///
/// Output goes by files in `scratch`, not by pipes: a command may leave a process in the background that
/// holds its standard output, and a pipe would wait for that one too.
pub fn run(mut command: Command, scratch: &Path, limit: Duration) -> io::Result<Outcome> {
    let out = tempfile::NamedTempFile::new_in(scratch)?;
    let err = tempfile::NamedTempFile::new_in(scratch)?;
    command.stdout(out.reopen()?).stderr(err.reopen()?);
    let mut child = command.spawn()?;
    let end = wait(&mut child, limit)?;
    let text = |path: &Path| Ok::<_, io::Error>(String::from_utf8_lossy(&std::fs::read(path)?).into_owned());
    Ok(Outcome { stdout: text(out.path())?, stderr: text(err.path())?, end })
}

fn wait(child: &mut Child, limit: Duration) -> io::Result<End> {
    let start = Instant::now();
    let mut pause = Duration::from_micros(500);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(End::of(status));
        }
        if start.elapsed() > limit {
            kill_group(child.id());
            child.wait()?;
            return Ok(End::Late);
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(10));
    }
}

/// A long-running program; dropped, it is killed and reaped.
#[derive(Debug)]
pub struct Daemon {
    name: String,
    child: Child,
}

impl Daemon {
    /// Starts `command`, its standard output and error appended to the file `log`.
    pub fn start(name: &str, mut command: Command, log: &Path) -> io::Result<Daemon> {
        let file = File::options().create(true).append(true).open(log)?;
        command.stdout(file.try_clone()?).stderr(file);
        Ok(Daemon { name: name.to_owned(), child: command.spawn()? })
    }

    /// The process id; also that of its group.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<End> {
        self.child.try_wait().ok().flatten().map(End::of)
    }

    /// Sends `signal` to the process.
    pub fn signal(&self, signal: Signal) {
        let _ = signal::kill(pid(self.child.id()), signal);
    }

    /// Kills it as `kill -9` does and waits until it is gone.
    pub fn kill(&mut self) {
        kill_group(self.child.id());
        let _ = self.child.wait();
    }

    /// Waits for its end, at most for `limit`.
    pub fn wait(&mut self, limit: Duration) -> End {
        wait(&mut self.child, limit).unwrap_or(End::Late)
    }

    /// The name it was started under.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
    }
}

fn pid(id: u32) -> Pid {
    Pid::from_raw(i32::try_from(id).unwrap_or(i32::MAX))
}

fn kill_group(id: u32) {
    let _ = signal::killpg(pid(id), Signal::SIGKILL);
}

/// Ends every process whose environment holds `OVS_RUNDIR` below `dir`, until none is left.
pub fn end_all_below(dir: &Path) {
    let mark = format!("OVS_RUNDIR={}/", dir.display());
    for _ in 0..100 {
        let found = processes_with(&mark);
        if found.is_empty() {
            return;
        }
        for id in found {
            let _ = signal::kill(pid(id), Signal::SIGKILL);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Living processes whose environment has an entry that begins with `mark`; never this one.
fn processes_with(mark: &str) -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let ids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let own = std::process::id();
    ids.filter(|&id| id != own && environment_has(id, mark)).collect()
}

fn environment_has(id: u32, mark: &str) -> bool {
    // A zombie's environment reads as empty, so that it does not count.
    let Ok(bytes) = std::fs::read(format!("/proc/{id}/environ")) else { return false };
    bytes.split(|&b| b == 0).any(|entry| entry.starts_with(mark.as_bytes()))
}

/// Waits until `what` holds, polling; an error that says what was waited for after `limit`.
pub fn until(what: &str, limit: Duration, mut holds: impl FnMut() -> bool) -> Result<(), String> {
    let start = Instant::now();
    let mut pause = Duration::from_millis(2);
    while !holds() {
        if start.elapsed() > limit {
            return Err(format!("waited {:.1} s in vain for {what}", limit.as_secs_f64()));
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
    Ok(())
}
