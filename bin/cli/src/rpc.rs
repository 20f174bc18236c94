//! A blocking JSON-RPC 1.0 peer over a [`Stream`].

use crate::program::strerror;
use crate::stream::{Settings, Stream, errno};
use jsonrpc::{Limits, Message, Next, Pull, Scanner};
use serde_json::Value;
use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};

/// One connection.
#[derive(Debug)]
pub struct Rpc {
    name: String,
    stream: Stream,
    scanner: Scanner,
    next_id: u64,
    /// Messages that came while a reply was awaited.
    early: VecDeque<Message>,
}

impl Rpc {
    /// Connects to `name`, or waits for a caller on it if it is a passive name.
    ///
    /// # Errors
    /// As for [`Stream::open`].
    pub fn open(name: &str, settings: &Settings) -> io::Result<Rpc> {
        Ok(Rpc::over(name, Stream::open(name, settings)?))
    }

    /// A peer over a stream that is there; `name` is for messages.
    #[must_use]
    pub fn over(name: &str, stream: Stream) -> Rpc {
        Rpc {
            name: name.to_string(),
            stream,
            scanner: Scanner::new(Limits::default()),
            next_id: 0,
            early: VecDeque::new(),
        }
    }

    /// The name by which the connection was opened.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Sends one message.
    ///
    /// # Errors
    /// As the system reports them.
    pub fn send(&mut self, message: &Message) -> io::Result<()> {
        vlog::dbg!("jsonrpc", "{}: {}", self.name, Said(message, true));
        let text = message.to_text();
        let sent = self.stream.write_all(&octets::of_text(&text)).and_then(|()| self.stream.flush());
        sent.inspect_err(|error| vlog::warn!("jsonrpc", "{}: send error: {}", self.name, strerror(error)))
    }

    /// Sends a request and returns its id.
    ///
    /// # Errors
    /// As the system reports them.
    pub fn request(&mut self, method: &str, params: Vec<Value>) -> io::Result<Value> {
        let id = Value::from(self.next_id);
        self.next_id += 1;
        self.send(&Message::request(id.clone(), method, params))?;
        Ok(id)
    }

    /// Waits for the next message. Echo requests are answered on the way and not given out.
    ///
    /// # Errors
    /// `UnexpectedEof` when the peer has closed; `EPROTO` when it sends what is no message.
    pub fn receive(&mut self) -> io::Result<Message> {
        match self.early.pop_front() {
            Some(message) => Ok(message),
            None => self.next_message(),
        }
    }

    /// A message that is complete without waiting for the peer, if there is one: what the last read
    /// brought is looked at, nothing is read. Echo requests are answered.
    ///
    /// # Errors
    /// As for [`Rpc::receive`].
    pub fn take_buffered(&mut self) -> io::Result<Option<Message>> {
        if let Some(message) = self.early.pop_front() {
            return Ok(Some(message));
        }
        self.parse_buffered()
    }

    /// Reads once, blocking if nothing is there, and keeps the bytes.
    ///
    /// # Errors
    /// `UnexpectedEof` when the peer has closed.
    pub fn fill(&mut self) -> io::Result<()> {
        let mut chunk = [0; 65536];
        let n = loop {
            match self.stream.read(&mut chunk) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => {
                    vlog::warn!("jsonrpc", "{}: receive error: {}", self.name, strerror(&e));
                    return Err(e);
                }
                Ok(n) => break n,
            }
        };
        if n == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        }
        self.scanner.feed(&chunk[..n]);
        Ok(())
    }

    /// Whether the stream holds bytes that a poll of the descriptor does not show.
    #[must_use]
    pub fn has_buffered_input(&self) -> bool {
        self.stream.has_buffered_input()
    }

    /// Sends a request and waits for its reply: the result, or the peer's error. Other messages are
    /// kept for [`Rpc::receive`].
    ///
    /// # Errors
    /// As for [`Rpc::send`] and [`Rpc::receive`].
    pub fn transact(&mut self, method: &str, params: Vec<Value>) -> io::Result<Result<Value, Value>> {
        let wanted = self.request(method, params)?;
        loop {
            match self.next_message()? {
                Message::Response { id, result } if id == wanted => return Ok(Ok(result)),
                Message::Error { id, error } if id == wanted => return Ok(Err(error)),
                other => self.early.push_back(other),
            }
        }
    }

    fn next_message(&mut self) -> io::Result<Message> {
        loop {
            if let Some(message) = self.parse_buffered()? {
                return Ok(message);
            }
            self.fill()?;
        }
    }

    fn parse_buffered(&mut self) -> io::Result<Option<Message>> {
        self.parse_unless(|_| None).map(Option::flatten)
    }

    /// As [`Rpc::receive`], but shows `taken` each message as it stands first: one that it takes is given out as `None`.
    /// Where the log wants to know what comes, nothing can be taken.
    ///
    /// # Errors
    /// As for [`Rpc::receive`].
    pub fn receive_unless(
        &mut self,
        mut taken: impl FnMut(&mut Pull<'_>) -> Option<()>,
    ) -> io::Result<Option<Message>> {
        if let Some(message) = self.early.pop_front() {
            return Ok(Some(message));
        }
        let logs = vlog::module("jsonrpc").enabled(vlog::Level::Dbg);
        loop {
            if let Some(read) = self.parse_unless(|pull| if logs { None } else { taken(pull) })? {
                return Ok(read);
            }
            self.fill()?;
        }
    }

    fn parse_unless(
        &mut self,
        mut taken: impl FnMut(&mut Pull<'_>) -> Option<()>,
    ) -> io::Result<Option<Option<Message>>> {
        loop {
            let value = self.scanner.next_read(&mut taken).map_err(|error| {
                vlog::warn!("jsonrpc", "{}: error parsing stream: {error}", self.name);
                errno::protocol_error()
            })?;
            let value = match value {
                None => return Ok(None),
                Some(Next::Taken(())) => return Ok(Some(None)),
                Some(Next::Value(value)) => value,
            };
            let message = Message::from_json(value).map_err(|error| {
                vlog::warn!("jsonrpc", "{}: received bad JSON-RPC message: {error}", self.name);
                errno::protocol_error()
            })?;
            vlog::dbg!("jsonrpc", "{}: {}", self.name, Said(&message, false));
            match message {
                Message::Request { id, method, params } if method == "echo" => {
                    self.send(&Message::echo_reply(id, params))?;
                }
                other => return Ok(Some(Some(other))),
            }
        }
    }

    /// Ends the connection.
    pub fn close(self) {
        self.stream.close();
    }
}

impl AsFd for Rpc {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// A message as the log tells of it, and whether it goes rather than comes.
struct Said<'a>(&'a Message, bool);

impl fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.log_text(self.1))
    }
}

/// The text of an error of a connection.
#[must_use]
pub fn error_text(error: &io::Error) -> String {
    strerror(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    #[test]
    fn transact_answers_echo_and_keeps_the_rest() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut rpc = Rpc::over("test", Stream::Unix(ours));
        theirs
            .write_all(br#"{"id":"e","method":"echo","params":[1]}{"id":null,"method":"n","params":[]}{"id":0,"result":5,"error":null}"#)
            .unwrap();
        assert_eq!(rpc.transact("m", vec![]).unwrap(), Ok(Value::from(5)));
        assert_eq!(rpc.receive().unwrap(), Message::notification("n", vec![]));
        let mut sent = [0; 256];
        let n = theirs.read(&mut sent).unwrap();
        let text = String::from_utf8_lossy(&sent[..n]).into_owned();
        assert!(text.starts_with(r#"{"id":0,"method":"m","params":[]}"#), "{text}");
        theirs.write_all(b"[]").unwrap();
        assert_eq!(rpc.receive().unwrap_err().raw_os_error(), Some(71));
        drop(theirs);
        assert_eq!(rpc.receive().unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
