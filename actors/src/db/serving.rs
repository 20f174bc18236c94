//! Whose request is served next. A client whose requests take long is served a slice at a time, and others in between.

use super::database::Database;
use super::letters::Link;
use super::now;
use crate::clock;
use ovsdb::server::{SessionId, Text, Ticket};
use std::collections::VecDeque;

/// Bytes of answers beyond which a client's further requests are served when it has taken those.
pub(super) const ANSWERS_AT_ONCE: usize = 4 << 20;
/// How long one client's requests may keep those of others waiting, microseconds; one request takes as long as it takes.
const SLICE_US: i64 = 1000;

/// A client of the database.
pub(super) struct Client {
    pub link: Link,
    pub active: bool,
    pub pending: Vec<Text>,
    pub pending_bytes: usize,
    /// Of replies that wait for the disk, and of what comes behind them.
    pub held_bytes: usize,
    /// What the last of those waits for.
    pub held_by: Option<Ticket>,
    /// Requests that are not served yet.
    pub requests: VecDeque<jsonrpc::Message>,
    /// The session has been sent much, and has not said that its peer took it.
    pub paused: bool,
    /// Its slice is over and requests are left: the session reads no more before they are served.
    pub behind: bool,
    /// The peer will ask for no more.
    pub parting: bool,
    pub close: Option<String>,
}

impl Client {
    pub(super) fn new(link: Link, active: bool) -> Client {
        Client {
            link,
            active,
            pending: Vec::new(),
            pending_bytes: 0,
            held_bytes: 0,
            held_by: None,
            requests: VecDeque::new(),
            paused: false,
            behind: false,
            parting: false,
            close: None,
        }
    }

    /// Whether its requests may be served. Channels say nothing of what was taken of them; they are bounded.
    fn has_room(&self) -> bool {
        !self.paused && self.pending_bytes + self.held_bytes < ANSWERS_AT_ONCE || matches!(self.link, Link::Channel(_))
    }

    /// The next request, if it is its turn.
    fn next_request(&mut self) -> Option<jsonrpc::Message> {
        if self.has_room() { self.requests.pop_front() } else { None }
    }

    /// Whether the next request may be served, but not in this slice. Sessions alone can be told to read no more.
    fn is_behind(&self) -> bool {
        !self.requests.is_empty() && self.has_room() && matches!(self.link, Link::Actor(_))
    }
}

impl Database {
    /// Serves a client's requests until it has much to take, or has had its slice.
    pub(super) fn serve(&mut self, session: SessionId) {
        if self.clients.get(&session).is_some_and(|client| !client.behind) {
            self.serve_slice(session);
        }
    }

    /// Serves the next of those who are behind; at the end of a wake.
    pub(super) fn serve_next(&mut self) {
        if let Some(session) = self.behind.pop_front() {
            self.serve_slice(session);
        }
    }

    fn serve_slice(&mut self, session: SessionId) {
        let (at, until_us) = (now(), clock::now_us() + SLICE_US);
        let mut is_over = false;
        while !is_over && let Some(message) = self.clients.get_mut(&session).and_then(Client::next_request) {
            self.state.server.handle(session, message, at);
            self.collect();
            is_over = clock::now_us() >= until_us;
        }
        let Some(client) = self.clients.get_mut(&session) else { return };
        let is_behind = is_over && client.is_behind();
        let was_behind = std::mem::replace(&mut client.behind, is_behind);
        if client.behind {
            self.behind.push_back(session);
        }
        if client.parting || client.behind != was_behind {
            self.touched.insert(session);
        }
    }
}
