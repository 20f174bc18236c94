//! What can be wrong with a stream or with a message.

use thiserror::Error;

/// The byte stream is not a sequence of JSON values within the limits. The stream cannot be used
/// any further: the connection has to be closed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("line {line}, column {column}, byte {offset}: {reason}")]
pub struct StreamError {
    /// Lines ended before the fault, from 0; this and the other places count from the end of the
    /// value before.
    pub line: u64,
    /// Bytes on that line before the fault, from 0.
    pub column: u64,
    /// Bytes before the fault, from 0.
    pub offset: u64,
    /// What is wrong.
    pub reason: String,
}

impl StreamError {
    /// What is wrong with a whole text that the parser refused.
    pub(crate) fn of_text(text: &[u8], max_depth: usize) -> Self {
        let unknown = || StreamError { line: 0, column: 0, offset: 0, reason: "syntax error".into() };
        Self::diagnosed(text, true, max_depth).unwrap_or_else(unknown)
    }

    /// The fault of `text`, if it has one, with its place in `text`.
    pub(crate) fn diagnosed(text: &[u8], whole: bool, max_depth: usize) -> Option<Self> {
        crate::diagnosis::diagnose(text, whole, max_depth).map(|fault| Self::placed(fault, text))
    }

    /// The fault (reason, offset in bytes) of `text` with its place there.
    pub(crate) fn placed((reason, offset): (String, usize), text: &[u8]) -> Self {
        let before = &text[..offset.min(text.len())];
        let line = before.iter().filter(|b| **b == b'\n').count() as u64;
        let line_start = before.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        let column = (offset - line_start) as u64;
        StreamError { line, column, offset: offset as u64, reason }
    }
}

/// A JSON value is well-formed but not a JSON-RPC 1.0 message.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct MessageError(pub String);
