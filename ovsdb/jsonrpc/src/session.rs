//! One end of a connection that speaks JSON-RPC 1.0: bytes in, messages out, probes sent. Listening, connecting,
//! writing and answering belong to the caller; echo requests too, whose answers come after those to what was asked
//! before.

use serde_json::Value;

use crate::error::{MessageError, StreamError};
use crate::message::Message;
use crate::reconnect::{Action, Reconnect};
use crate::stream::{Limits, Scanner};

/// Where requests follow one another the first is not worth a look at all of them. Bytes.
const LOOKED_AT: usize = 1024;

/// What the owner of the stream has to do.
#[derive(Debug, Clone, PartialEq)]
pub enum SessionAction {
    /// Open the stream (or listen).
    Connect,
    /// Close the stream.
    Disconnect,
    /// Write this text to the stream.
    Send(String),
}

/// Why the stream must be closed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// Not JSON, or beyond the limits.
    #[error("error parsing stream: {0}")]
    Stream(#[from] StreamError),
    /// JSON, but no JSON-RPC 1.0 message.
    #[error("received bad JSON-RPC message: {0}")]
    Message(#[from] MessageError),
}

/// Framing, probes and reconnection of one connection.
#[derive(Debug)]
pub struct Session {
    limits: Limits,
    scanner: Scanner,
    /// The state machine; its settings and figures are open to the owner.
    pub reconnect: Reconnect,
    /// What came, for the log, while the owner wants to know.
    heard: Option<Vec<String>>,
}

impl Session {
    /// A session that makes its own connection, from state `BACKOFF` with no wait.
    #[must_use]
    pub fn active(name: &str, limits: Limits, now_ms: u64) -> Self {
        let mut reconnect = Reconnect::new(name, now_ms);
        reconnect.enable(now_ms);
        Session { limits, scanner: Scanner::new(limits), reconnect, heard: None }
    }

    /// A session on a stream that a listener accepted. It does not reconnect.
    #[must_use]
    pub fn accepted(name: &str, limits: Limits, now_ms: u64) -> Self {
        let mut session = Session::active(name, limits, now_ms);
        session.reconnect.set_max_tries(Some(0));
        session.reconnect.connected(now_ms);
        session
    }

    /// The stream is open.
    pub fn connected(&mut self, now_ms: u64) {
        self.scanner = Scanner::new(self.limits);
        self.reconnect.connected(now_ms);
    }

    /// The stream is closed or could not be opened.
    pub fn disconnected(&mut self, now_ms: u64, reason: Option<&str>) {
        self.scanner = Scanner::new(self.limits);
        self.reconnect.disconnected(now_ms, reason);
    }

    /// Bytes came from the stream.
    pub fn feed(&mut self, bytes: &[u8], now_ms: u64) {
        if !bytes.is_empty() {
            self.reconnect.activity(now_ms);
        }
        self.scanner.feed(bytes);
    }

    /// Octets that came and are not yet part of a message given out.
    pub fn pending(&self) -> usize {
        self.scanner.pending()
    }

    /// Begins or ends to keep what the log may say of each message that comes.
    pub fn keep_heard(&mut self, on: bool) {
        if self.heard.is_some() != on {
            self.heard = on.then(Vec::new);
        }
    }

    /// What the log may say of the messages that have come since the last call.
    pub fn take_heard(&mut self) -> Vec<String> {
        self.heard.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// The next message for the owner; answers to our own probes are swallowed.
    pub fn next_message(&mut self) -> Result<Option<Message>, SessionError> {
        while let Some(message) = self.next_of_any_kind()? {
            if let Some(heard) = &mut self.heard {
                heard.push(message.log_text(false));
            }
            match message {
                Message::Response { id, .. } | Message::Error { id, .. } if is_probe(&id) => {}
                message => return Ok(Some(message)),
            }
        }
        Ok(None)
    }

    fn next_of_any_kind(&mut self) -> Result<Option<Message>, SessionError> {
        let depth = self.limits.depth;
        let request = self.scanner.read_ahead(LOOKED_AT, |pull| Message::read_request(pull, depth));
        if request.is_some() {
            return Ok(request);
        }
        let Some(value) = self.scanner.next_value()? else { return Ok(None) };
        Ok(Some(Message::from_json(value)?))
    }

    /// What the time demands now.
    pub fn poll_output(&mut self, now_ms: u64) -> Option<SessionAction> {
        Some(match self.reconnect.run(now_ms)? {
            Action::Connect => SessionAction::Connect,
            Action::Disconnect => SessionAction::Disconnect,
            Action::Probe => SessionAction::Send(Message::echo_request().to_text()),
        })
    }

    /// When to call [`Session::poll_output`] next, and why.
    #[must_use]
    pub fn poll_timeout(&self, now_ms: u64) -> Option<(u64, &'static str)> {
        self.reconnect.poll_timeout(now_ms)
    }
}

fn is_probe(id: &Value) -> bool {
    id.as_str() == Some("echo")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn probes_are_sent_and_their_answers_swallowed() {
        let mut session = Session::accepted("x", Limits::default(), 0);
        session.feed(br#"{"id":7,"method":"echo","params":[1]}{"id":"echo","result":[],"error":null}"#, 10);
        session.feed(br#"{"id":8,"method":"list_dbs","params":[]}"#, 10);
        for expect in ["echo", "list_dbs"] {
            let message = session.next_message().unwrap();
            assert!(matches!(message, Some(Message::Request { method, .. }) if method == expect));
        }
        assert_eq!(session.poll_output(10), None);
        assert!(matches!(session.poll_output(6000), Some(SessionAction::Send(_))));
        assert_eq!(session.poll_output(11_001), Some(SessionAction::Disconnect));
    }

    /// Messages up to the end or the first fault, for which `None` stands.
    fn heard(session: &mut Session) -> Vec<Option<Message>> {
        let mut heard = Vec::new();
        while let Some(next) = session.next_message().transpose() {
            heard.push(next.ok());
            if heard.last() == Some(&None) {
                break;
            }
        }
        heard
    }

    proptest! {
        /// What comes whole is read ahead, what comes bit by bit is not.
        #[test]
        fn what_comes_at_once_is_what_comes_bit_by_bit(
            parts in proptest::collection::vec(0..PARTS.len(), 0..12), depth in 2usize..5, cut in 0usize..4,
        ) {
            let limits = Limits { depth, ..Limits::default() };
            let text: String = parts.iter().map(|part| PARTS[*part]).collect();
            let text = &text.as_bytes()[..text.len() - cut.min(text.len())];
            let (mut whole, mut bits) = (Session::accepted("x", limits, 0), Session::accepted("x", limits, 0));
            whole.feed(text, 0);
            let mut expect = Vec::new();
            for byte in text {
                bits.feed(&[*byte], 0);
                expect.extend(heard(&mut bits));
                if expect.last() == Some(&None) {
                    break;
                }
            }
            prop_assert_eq!(heard(&mut whole), expect);
        }
    }

    /// Of messages, whole and in pieces.
    const PARTS: [&str; 16] = [
        r#"{"id":1,"method":"m","params":[]}"#,
        r#" {"method" : "é\n" , "params":[[1,{"a":2.5}],null], "id":["x"]}"#,
        r#"{"id":null,"method":"m","params":[]}"#,
        r#"{"id":3,"result":{},"error":null}"#,
        r#"{"id":1,"id":2,"method":"m","params":[]}"#,
        r#"{"id":1,"#,
        r#""method":"m","#,
        r#""params":[[[]]],"#,
        r#""id":[[0]]}"#,
        "{",
        "}",
        "[",
        "]",
        "\"",
        " ",
        "\u{1}",
    ];

    #[test]
    fn garbage_is_an_error() {
        let mut session = Session::accepted("x", Limits::default(), 0);
        session.feed(b"x ", 0);
        assert!(matches!(session.next_message(), Err(SessionError::Stream(_))));
        let mut session = Session::accepted("x", Limits::default(), 0);
        session.feed(b"{}", 0);
        assert!(matches!(session.next_message(), Err(SessionError::Message(_))));
    }
}
