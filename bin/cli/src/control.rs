//! The control socket of a tool that runs until it is told to stop: what ovs-appctl talks to.

use crate::rpc::Rpc;
use crate::stream::{Listener, Settings};
use crate::{alarm, dirs};
use jsonrpc::Message;
use rustix::event::{PollFd, PollFlags, poll};
use serde_json::Value;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

/// Control commands about counted events.
pub const COVERAGE: [vlog::Command; 2] = [("coverage/read-counter", "COUNTER", 1, 1), ("coverage/show", "", 0, 0)];

/// The answer to one of [`COVERAGE`]: a tool counts no events.
#[must_use]
pub fn coverage(name: &str) -> Option<Result<&'static str, &'static str>> {
    match name {
        "coverage/show" => {
            Some(Ok("Event coverage, avg rate over last: 5 seconds, last minute, last hour,  hash=811c9dc5:\n\
             0 events never hit\n"))
        }
        "coverage/read-counter" => Some(Err("No such counter")),
        _ => None,
    }
}

/// A command that came in.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// The command's name.
    pub name: String,
    /// Its arguments.
    pub args: Vec<String>,
    connection: usize,
    id: Value,
}

/// A control socket with its callers.
#[derive(Debug)]
pub struct Control {
    listener: Listener,
    callers: Vec<Option<Rpc>>,
    commands: Vec<vlog::Command>,
    version: String,
}

impl Control {
    /// Listens at `RUNDIR/PROGRAM.PID.ctl`. `commands` are names, usages and the
    /// least and greatest number of arguments; `list-commands`, `version`, those of the log and of counted events
    /// are known by themselves.
    ///
    /// # Errors
    /// As for [`Listener::bind`].
    pub fn listen(program: &str, commands: &[vlog::Command], version: String) -> io::Result<Control> {
        let path = dirs::below(&dirs::rundir(), &format!("{program}.{}.ctl", std::process::id()));
        let listener = Listener::bind(&format!("punix:{path}"), &Settings::default())?;
        alarm::remove_at_end(&path);
        vlog::register(program);
        let mut commands = commands.to_vec();
        commands.extend(vlog::COMMANDS);
        commands.extend(COVERAGE);
        commands.push(("list-commands", "", 0, 0));
        commands.push(("version", "", 0, 0));
        commands.sort_unstable();
        Ok(Control { listener, callers: Vec::new(), commands, version })
    }

    /// Waits until `other` can be read or a caller wants something; says whether `other` can be read.
    ///
    /// # Errors
    /// As the system reports them.
    pub fn wait(&self, other: BorrowedFd<'_>) -> io::Result<bool> {
        self.wait_with(Some(other))
    }

    /// Waits until a caller wants something.
    ///
    /// # Errors
    /// As the system reports them.
    pub fn wait_alone(&self) -> io::Result<()> {
        self.wait_with(None).map(|_| ())
    }

    fn wait_with(&self, other: Option<BorrowedFd<'_>>) -> io::Result<bool> {
        let mut fds = vec![PollFd::from_borrowed_fd(self.listener.as_fd(), PollFlags::IN)];
        fds.extend(self.callers.iter().flatten().map(|rpc| PollFd::from_borrowed_fd(rpc.as_fd(), PollFlags::IN)));
        if let Some(other) = other {
            fds.push(PollFd::from_borrowed_fd(other, PollFlags::IN));
        }
        match poll(&mut fds, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {
                Ok(other.is_some() && fds.last().is_some_and(|fd| !fd.revents().is_empty()))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn readable(fd: BorrowedFd<'_>) -> bool {
        let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
        let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        matches!(poll(&mut fds, Some(&now)), Ok(n) if n > 0)
    }

    /// The commands that have come in. What is no good command is answered here.
    pub fn take_requests(&mut self) -> Vec<Request> {
        if Control::readable(self.listener.as_fd())
            && let Ok(stream) = self.listener.accept()
        {
            self.callers.push(Some(Rpc::over("control", stream)));
        }
        let mut requests = Vec::new();
        for connection in 0..self.callers.len() {
            let Some(rpc) = &mut self.callers[connection] else { continue };
            if !Control::readable(rpc.as_fd()) {
                continue;
            }
            let message = rpc.fill().and_then(|()| rpc.take_buffered());
            match message {
                Ok(None) => {}
                Ok(Some(Message::Request { id, method, params })) => {
                    let args: Option<Vec<String>> = params.iter().map(|p| p.as_str().map(str::to_string)).collect();
                    let request = Request { name: method, args: args.clone().unwrap_or_default(), connection, id };
                    if args.is_none() {
                        let text = format!("\"{}\" command has non-string argument", request.name);
                        self.reply(&request, Err(&text));
                    } else if let Some(request) = self.screen(request) {
                        requests.push(request);
                    }
                }
                _ => self.callers[connection] = None,
            }
        }
        while matches!(self.callers.last(), Some(None)) {
            self.callers.pop();
        }
        requests
    }

    /// Answers a request that is no known command, has a wrong number of arguments, or is about the
    /// commands themselves.
    fn screen(&mut self, request: Request) -> Option<Request> {
        let name = request.name.as_str();
        let Some((_, _, min, max)) = self.commands.iter().find(|(known, ..)| *known == name).copied() else {
            let text =
                format!("\"{name}\" is not a valid command (use \"list-commands\" to see a list of valid commands)");
            self.reply(&request, Err(&text));
            return None;
        };
        if request.args.len() < min {
            let text = format!("\"{name}\" command requires at least {min} arguments");
            self.reply(&request, Err(&text));
        } else if request.args.len() > max {
            let text = format!("\"{name}\" command takes at most {max} arguments");
            self.reply(&request, Err(&text));
        } else if name == "version" {
            let version = self.version.clone();
            self.reply(&request, Ok(&version));
        } else if name == "list-commands" {
            let mut text = String::from("The available commands are:\n");
            for (name, usage, ..) in &self.commands {
                text.push_str(&format!("  {name:<23} {usage}\n"));
            }
            self.reply(&request, Ok(&text));
        } else if let Some(answer) = coverage(name) {
            self.reply(&request, answer);
        } else if let Some(answer) = vlog::command(name, &request.args) {
            self.reply(&request, answer.as_deref().map_err(String::as_str));
        } else {
            return Some(request);
        }
        None
    }

    /// Answers a request. A caller that has gone away is forgotten.
    pub fn reply(&mut self, request: &Request, answer: Result<&str, &str>) {
        let line =
            |text: &str| if text.is_empty() || text.ends_with('\n') { text.to_string() } else { format!("{text}\n") };
        let message = match answer {
            Ok(text) => Message::Response { id: request.id.clone(), result: Value::from(line(text)) },
            Err(text) => Message::Error { id: request.id.clone(), error: Value::from(line(text)) },
        };
        if let Some(slot) = self.callers.get_mut(request.connection)
            && let Some(rpc) = slot
            && rpc.send(&message).is_err()
        {
            *slot = None;
        }
    }
}
