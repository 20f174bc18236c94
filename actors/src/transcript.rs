//! What JSON-RPC peers say to each other, for the log at level DBG. Nothing is made of it while nobody wants to read it.

use jsonrpc::{Limits, Message, Scanner};
use std::sync::OnceLock;

/// Whether anybody wants to read it.
pub(crate) fn is_wanted() -> bool {
    static MODULE: OnceLock<&vlog::Module> = OnceLock::new();
    MODULE.get_or_init(|| vlog::module("jsonrpc")).enabled(vlog::Level::Dbg)
}

/// Says what the messages in a text say that goes to `peer`.
pub(crate) fn sent(peer: &str, text: &[u8]) {
    if !is_wanted() {
        return;
    }
    let mut scanner = Scanner::new(Limits::default());
    scanner.feed(text);
    while let Ok(Some(value)) = scanner.next_value() {
        if let Ok(message) = Message::from_json(value) {
            said(peer, &message, true);
        }
    }
}

/// Says what a message says that comes from `peer` or, if `sent`, goes there.
pub(crate) fn said(peer: &str, message: &Message, sent: bool) {
    if is_wanted() {
        vlog::dbg!("jsonrpc", "{peer}: {}", message.log_text(sent));
    }
}

/// Says what came from a session's peer since the last call.
pub(crate) fn heard(machine: &mut jsonrpc::Session) {
    for line in machine.take_heard() {
        vlog::dbg!("jsonrpc", "{}: {line}", machine.reconnect.name());
    }
    machine.keep_heard(is_wanted());
}
