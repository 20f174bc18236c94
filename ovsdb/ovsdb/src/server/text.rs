//! Texts on their way to clients, in pieces: what many get is there once.

use std::borrow::Cow;
use std::sync::Arc;

use jsonrpc::message::{REPLY_TAIL, write_reply_head};
use serde_json::Value;
use smallvec::{SmallVec, smallvec};

/// Bytes from which on it is worth while that a piece of an answer is apart.
const WORTH_SHARING: usize = 4096;

/// A part of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// For one client.
    Own(String),
    /// For many.
    Shared(Arc<String>),
}

impl Piece {
    /// The part as it is, in UTF-8.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Piece::Own(text) => text,
            Piece::Shared(text) => text,
        }
    }
}

/// A whole JSON-RPC message for one client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text(SmallVec<[Piece; 1]>);

impl From<String> for Text {
    fn from(text: String) -> Text {
        Text(smallvec![Piece::Own(text)])
    }
}

impl From<Arc<String>> for Text {
    fn from(text: Arc<String>) -> Text {
        Text(smallvec![Piece::Shared(text)])
    }
}

impl Text {
    /// Appends what is this client's own.
    pub(crate) fn push_own(&mut self, text: &str) {
        match self.0.last_mut() {
            Some(Piece::Own(own)) => own.push_str(text),
            _ => self.0.push(Piece::Own(text.to_owned())),
        }
    }

    /// Appends what others may get as well.
    pub(crate) fn push_shared(&mut self, text: Arc<String>) {
        if text.len() < WORTH_SHARING { self.push_own(&text) } else { self.0.push(Piece::Shared(text)) }
    }

    /// The reply whose result is a text that others get as well.
    pub(crate) fn of_result(request: &Value, result: Arc<String>) -> Text {
        let mut head = String::with_capacity(32);
        write_reply_head(&mut head, request);
        let mut answer = Text::from(head);
        answer.push_shared(result);
        answer.push_own(REPLY_TAIL);
        answer
    }

    /// Its length in bytes of UTF-8.
    #[must_use]
    pub fn size(&self) -> usize {
        self.0.iter().map(|piece| piece.as_str().len()).sum()
    }

    /// In one piece.
    #[must_use]
    pub fn to_str(&self) -> Cow<'_, str> {
        match self.0.as_slice() {
            [piece] => Cow::Borrowed(piece.as_str()),
            pieces => Cow::Owned(pieces.iter().map(Piece::as_str).collect()),
        }
    }

    /// Its pieces, in order.
    pub fn into_pieces(self) -> impl Iterator<Item = Piece> {
        self.0.into_iter()
    }
}
