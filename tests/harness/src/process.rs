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
    // What it left in the background lives on, as a shell's would.
    let end = ends_within(limit, || child.try_wait().ok().flatten().map(End::of)).unwrap_or_else(|| {
        kill_group(child.id());
        ends_within(BURIAL, || child.try_wait().ok().flatten());
        End::Late
    });
    let text = |path: &Path| Ok::<_, io::Error>(String::from_utf8_lossy(&std::fs::read(path)?).into_owned());
    Ok(Outcome { stdout: text(out.path())?, stderr: text(err.path())?, end })
}

/// How long a killed process may take to be gone: one that is deep in the kernel, closing hundreds of rings or waiting for a
/// disk, hears of it late; one that never does is no reason to wait for ever.
const BURIAL: Duration = Duration::from_secs(60);

/// What `end` gives as soon as it gives something, within `limit`.
fn ends_within<T>(limit: Duration, mut end: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    let mut pause = Duration::from_micros(500);
    loop {
        // Asked once more after the limit: who asks may have been kept from it.
        let is_late = start.elapsed() > limit;
        let ended = end();
        if ended.is_some() || is_late {
            return ended;
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
    /// Once it has been told of: from then on its number, and that of its group, may be somebody else's.
    end: Option<End>,
}

impl Daemon {
    /// Starts `command`, its standard output and error appended to the file `log`.
    pub fn start(name: &str, mut command: Command, log: &Path) -> io::Result<Daemon> {
        let file = File::options().create(true).append(true).open(log)?;
        command.stdout(file.try_clone()?).stderr(file);
        Ok(Daemon { name: name.to_owned(), child: command.spawn()?, end: None })
    }

    /// The process id; also that of its group.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has. What it left behind in its group ends with it.
    pub fn ended(&mut self) -> Option<End> {
        if self.end.is_none() {
            self.end = self.child.try_wait().ok().flatten().map(End::of);
            if self.end.is_some() {
                kill_group(self.child.id());
            }
        }
        self.end.clone()
    }

    /// Sends `signal` to the process, unless it is known to have ended.
    pub fn signal(&self, signal: Signal) {
        if self.end.is_none() {
            let _ = signal::kill(pid(self.child.id()), signal);
        }
    }

    /// Kills it as `kill -9` does and waits until it is gone, a minute at most.
    pub fn kill(&mut self) {
        if self.ended().is_none() {
            kill_group(self.child.id());
            ends_within(BURIAL, || self.ended());
        }
    }

    /// Waits for its end, at most for `limit`; it is killed if that passes.
    pub fn wait(&mut self, limit: Duration) -> End {
        if let Some(end) = ends_within(limit, || self.ended()) {
            return end;
        }
        self.kill();
        End::Late
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

/// Ends every process whose environment holds `OVS_RUNDIR` below `dir`, until none is left; a minute at most.
pub fn end_all_below(dir: &Path) {
    let mark = format!("OVS_RUNDIR={}/", dir.display());
    let none_is_left = || {
        let found = processes_with(&mark);
        for id in &found {
            let _ = signal::kill(pid(*id), Signal::SIGKILL);
        }
        found.is_empty()
    };
    let _given_up = until("all to end", BURIAL, none_is_left);
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
    loop {
        // Who is kept from running past the limit asks once more: only what does not hold then is in vain.
        let is_late = start.elapsed() > limit;
        if holds() {
            return Ok(());
        }
        if is_late {
            return Err(format!("waited {:.1} s in vain for {what}", limit.as_secs_f64()));
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(line: &str) -> Command {
        let mut command = tied("sh");
        command.args(["-c", line]);
        command
    }

    #[test]
    fn what_is_late_is_killed_and_what_was_left_behind_holds_nobody_up() {
        let dir = tempfile::tempdir().unwrap();
        let limit = Duration::from_secs(60);
        let outcome = run(shell("sleep 1000 & echo $!; echo err >&2; exit 3"), dir.path(), limit).unwrap();
        let id = outcome.stdout.trim().to_owned();
        assert_eq!((outcome.stderr.as_str(), outcome.end), ("err\n", End::Code(3)));
        let is_there = || Path::new(&format!("/proc/{id}")).exists();
        assert!(is_there(), "a command's background lives on");
        kill_one(&id);
        let outcome = run(shell("echo first; sleep 1000"), dir.path(), Duration::from_millis(300)).unwrap();
        assert_eq!(outcome.end, End::Late);
    }

    #[test]
    fn a_daemon_takes_its_group_along_and_its_number_is_not_used_again() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let mut daemon = Daemon::start("sh", shell("sleep 1000 & echo $!; exit 5"), &log).unwrap();
        assert_eq!(daemon.wait(Duration::from_secs(60)), End::Code(5));
        let id = std::fs::read_to_string(&log).unwrap().trim().to_owned();
        let is_gone = || std::fs::read_to_string(format!("/proc/{id}/stat")).map_or(true, |stat| stat.contains(") Z "));
        until("the daemon's child to go with it", Duration::from_secs(60), is_gone).unwrap();
        assert_eq!((daemon.ended(), daemon.wait(Duration::ZERO)), (Some(End::Code(5)), End::Code(5)));
        let mut late = Daemon::start("sh", shell("sleep 1000"), &log).unwrap();
        assert_eq!((late.ended(), late.wait(Duration::ZERO)), (None, End::Late));
        assert_eq!(late.ended(), Some(End::Signal(9)));
    }

    #[test]
    fn who_asks_late_asks_once_more() {
        let (mut asked, limit) = (0, Duration::from_secs(1));
        let told = until("the second answer", limit, || {
            asked += 1;
            std::thread::sleep(limit);
            asked == 2
        });
        assert_eq!(told, Ok(()));
        assert_eq!(until("x", Duration::ZERO, || false), Err("waited 0.0 s in vain for x".to_owned()));
    }

    fn kill_one(id: &str) {
        let _ = signal::kill(pid(id.parse().unwrap()), Signal::SIGKILL);
    }
}
