//! One exchange with a daemon's control socket: find it, ask, read the answer.
//!
//! The control protocol is JSON-RPC 1.0 with strings for parameters and result.

use cli::dirs;
use cli::program::strerror;
use cli::rpc::Rpc;
use cli::stream::errno;
use cli::stream::{Settings, Stream};
use rustix::process::{Flock, FlockType};
use serde_json::Value;
use std::io::{self, BufRead};

/// A daemon's answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// The command's output.
    Text(String),
    /// The command failed, with this text.
    Refusal(String),
}

/// The socket of `target`: itself if it is an absolute path, else that of the daemon whose pidfile
/// `RUNDIR/TARGET.pid` names its process.
pub(crate) fn socket_path(target: &str) -> Result<String, String> {
    if target.starts_with('/') {
        return Ok(target.to_string());
    }
    let pidfile = format!("{}/{target}.pid", dirs::rundir());
    let pid =
        read_pidfile(&pidfile).map_err(|error| format!("cannot read pidfile \"{pidfile}\" ({})", strerror(&error)))?;
    Ok(format!("{}/{target}.{pid}.ctl", dirs::rundir()))
}

/// The process that a pidfile names; it counts only while that process holds its lock on the file.
fn read_pidfile(path: &str) -> io::Result<u32> {
    let file = std::fs::OpenOptions::new().read(true).write(true).open(path).inspect_err(|error| {
        vlog::warn!("daemon_unix", "{path}: open: {}", strerror(error));
    })?;
    let holder = rustix::process::fcntl_getlk(&file, &Flock::from(FlockType::WriteLock)).map_err(io::Error::from)?;
    let Some(holder) = holder.and_then(|lock| lock.pid) else {
        return Err(errno::no_such_process());
    };
    let holder = holder.as_raw_nonzero().get().unsigned_abs();
    let mut line = String::new();
    io::BufReader::new(file).read_line(&mut line)?;
    let digits: String = line.trim_start().chars().take_while(char::is_ascii_digit).collect();
    if digits.parse() != Ok(holder) {
        let text = line.trim_end();
        vlog::warn!("daemon_unix", "{path}: stale pidfile for pid {text} being deleted by pid {holder}");
        return Err(errno::no_such_process());
    }
    Ok(holder)
}

/// Sends `command` to the socket at `path`; `target` names it in messages.
pub(crate) fn ask(path: &str, target: &str, command: &str, args: &[String]) -> Result<Reply, String> {
    let name = format!("unix:{path}");
    let stream = Stream::connect(&name, &Settings::default()).map_err(|error| {
        vlog::warn!("unixctl", "failed to connect to {path}");
        format!("cannot connect to \"{path}\" ({})", strerror(&error))
    })?;
    let mut rpc = Rpc::over(&name, stream);
    let params = args.iter().map(|arg| Value::from(arg.as_str())).collect();
    let reply = rpc
        .transact(command, params)
        .inspect_err(|error| {
            vlog::warn!("unixctl", "error communicating with {name}: {}", strerror(error));
        })
        .and_then(|reply| judge(&name, reply));
    reply.map_err(|error| format!("{target}: transaction error ({})", strerror(&error)))
}

fn judge(name: &str, reply: Result<Value, Value>) -> io::Result<Reply> {
    match reply {
        Ok(Value::String(text)) => Ok(Reply::Text(text)),
        Err(Value::String(text)) => Ok(Reply::Refusal(text)),
        Ok(other) => {
            vlog::warn!("unixctl", "{name}: unexpected result type in JSON rpc reply: {}", kind(&other));
            Err(errno::invalid_argument())
        }
        Err(other) => {
            vlog::warn!("unixctl", "{name}: unexpected error type in JSON RPC reply: {}", kind(&other));
            Err(errno::invalid_argument())
        }
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(false) => "false",
        Value::Bool(true) => "true",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn replies() {
        assert_eq!(judge("x", Ok(json!("out"))).unwrap(), Reply::Text("out".into()));
        assert_eq!(judge("x", Err(json!("bad"))).unwrap(), Reply::Refusal("bad".into()));
        assert!(judge("x", Ok(json!({}))).is_err());
        assert!(judge("x", Err(json!(1))).is_err());
    }

    #[test]
    fn pidfiles_without_a_holder() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.pid").to_string_lossy().into_owned();
        assert_eq!(read_pidfile(&path).unwrap_err().raw_os_error(), Some(2));
        std::fs::write(&path, "123\n").unwrap();
        assert_eq!(read_pidfile(&path).unwrap_err().raw_os_error(), Some(3));
    }
}
