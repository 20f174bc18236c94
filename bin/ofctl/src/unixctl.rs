//! The control socket of a running `monitor`: JSON-RPC 1.0, one request at a time from each caller.
//!
//! Source: ovs-ofctl(8), "monitor"; ovs-appctl(8).

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};

use cli::dirs;
use serde_json::{Value, json};

/// Most octets of a request that is not yet whole.
const REQUEST_MAX: usize = 16 << 20;

/// The socket with its callers.
pub(crate) struct Server {
    listener: UnixListener,
    path: String,
    callers: Vec<Caller>,
}

struct Caller {
    stream: UnixStream,
    input: Vec<u8>,
    gone: bool,
}

/// A command that came in; the answer goes back with [`Server::reply`].
#[derive(Clone, Debug)]
pub(crate) struct Request {
    caller: usize,
    id: Value,
    /// The command.
    pub name: String,
    /// Its arguments.
    pub args: Vec<String>,
}

impl Server {
    /// Listens on `path`, by default `RUNDIR/PROGRAM.PID.ctl`.
    pub fn bind(path: Option<&str>, program: &str) -> io::Result<Server> {
        let default = format!("{program}.{}.ctl", std::process::id());
        let path = dirs::below(&dirs::rundir(), path.unwrap_or(&default));
        let listener = cli::stream::listen_unix(&path)?;
        cli::alarm::remove_at_end(&path);
        Ok(Server { listener, path, callers: Vec::new() })
    }

    /// Everything to poll: the listener first, then the callers.
    pub fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        let mut fds = vec![self.listener.as_fd()];
        fds.extend(self.callers.iter().map(|c| c.stream.as_fd()));
        fds
    }

    /// Takes in what a poll of [`Server::descriptors`] found ready; gives the commands that are whole.
    pub fn ready(&mut self, ready: &[bool]) -> Vec<Request> {
        let mut requests = Vec::new();
        for (i, _) in ready.iter().skip(1).enumerate().filter(|(_, r)| **r) {
            let Some(caller) = self.callers.get_mut(i) else { continue };
            let mut buffer = [0; 4096];
            match caller.stream.read(&mut buffer) {
                Ok(0) | Err(_) => caller.gone = true,
                Ok(n) => caller.input.extend_from_slice(&buffer[..n]),
            }
            caller.gone |= caller.input.len() > REQUEST_MAX;
            while let Some(request) = take_request(&mut caller.input) {
                if let Some(request) = read_request(i, &request) {
                    requests.push(request);
                } else {
                    caller.gone = true;
                }
            }
        }
        if ready.first() == Some(&true)
            && let Ok((stream, _)) = self.listener.accept()
        {
            self.callers.push(Caller { stream, input: Vec::new(), gone: false });
        }
        requests
    }

    /// Answers a command: its output, or the text of its failure.
    pub fn reply(&mut self, request: &Request, answer: Result<&str, &str>) {
        let body =
            |text: &str| if text.is_empty() || text.ends_with('\n') { text.to_string() } else { format!("{text}\n") };
        let message = match answer {
            Ok(text) => json!({"id": request.id, "result": body(text), "error": null}),
            Err(text) => json!({"id": request.id, "result": null, "error": body(text)}),
        };
        if let Some(caller) = self.callers.get_mut(request.caller) {
            caller.gone |= caller.stream.write_all(message.to_string().as_bytes()).is_err();
        }
    }

    /// Forgets callers that are gone. Only when no request is being worked on, for it names its caller by place.
    pub fn sweep(&mut self) {
        self.callers.retain(|c| !c.gone);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// The octets of the first whole JSON object, taken out.
fn take_request(input: &mut Vec<u8>) -> Option<Vec<u8>> {
    let (mut depth, mut in_text, mut escaped) = (0usize, false, false);
    for (i, octet) in input.iter().enumerate() {
        match octet {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'{' | b'[' if !in_text => depth += 1,
            b'}' | b']' if !in_text => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    let rest = input.split_off(i + 1);
                    return Some(std::mem::replace(input, rest));
                }
            }
            _ => {}
        }
    }
    None
}

fn read_request(caller: usize, octets: &[u8]) -> Option<Request> {
    let value: Value = serde_json::from_slice(octets).ok()?;
    let name = value.get("method")?.as_str()?.to_string();
    let params = value.get("params")?.as_array()?;
    let args = params.iter().map(|p| p.as_str().map(str::to_string)).collect::<Option<Vec<String>>>()?;
    Some(Request { caller, id: value.get("id")?.clone(), name, args })
}
