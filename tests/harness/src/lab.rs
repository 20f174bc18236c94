//! Network namespaces for tests with real traffic; dropped, each is deleted with all that was in it.

use crate::process;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

/// One network namespace with `lo` up, under a name no other test has.
#[derive(Debug)]
pub struct Namespace(String);

impl Namespace {
    /// Makes a namespace; `label` shows in its name.
    pub fn new(label: &str) -> Result<Namespace, String> {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        need_root()?;
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("t{}-{number}-{label}", std::process::id());
        plain(&["ip", "netns", "add", &name])?;
        let space = Namespace(name);
        space.run(&["ip", "link", "set", "lo", "up"])?;
        Ok(space)
    }

    /// Its name, as `ip netns` knows it.
    pub fn name(&self) -> &str {
        &self.0
    }

    /// A command that will run inside, tied to the calling thread.
    pub fn command(&self, program: &str) -> Command {
        process::tied_within(&["ip", "netns", "exec", &self.0], program)
    }

    /// Runs a command inside to its end: its output, or an error that shows what it said.
    pub fn run(&self, words: &[&str]) -> Result<String, String> {
        let (program, args) = words.split_first().ok_or("no command")?;
        let mut command = self.command(program);
        command.args(args);
        finished(command, words)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // Processes that still live inside would keep it alive unseen.
        if let Ok(ids) = plain(&["ip", "netns", "pids", &self.0]) {
            for id in ids.split_whitespace().filter_map(|id| id.parse::<i32>().ok()) {
                let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(id), nix::sys::signal::Signal::SIGKILL);
            }
        }
        let _ = plain(&["ip", "netns", "del", &self.0]);
    }
}

/// An error sentence unless the test runs as root.
pub fn need_root() -> Result<(), String> {
    if nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    Err("this test makes network namespaces and needs root: run it by `sudo`".to_owned())
}

/// Runs a command outside of any namespace.
pub fn plain(words: &[&str]) -> Result<String, String> {
    let (program, args) = words.split_first().ok_or("no command")?;
    let mut command = process::tied(program);
    command.args(args);
    finished(command, words)
}

fn finished(mut command: Command, words: &[&str]) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("{}: {error}", words.join(" ")))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(text);
    }
    Err(format!("{}: {}\n{text}{}", words.join(" "), output.status, String::from_utf8_lossy(&output.stderr)))
}
