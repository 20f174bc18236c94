//! What can be wrong with a stream or with a message.

use thiserror::Error;

/// The byte stream is not a sequence of JSON values within the limits. The stream cannot be used
/// any further: the connection has to be closed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("line {line}, column {column}, byte {offset}: {reason}")]
pub struct StreamError {
    /// Lines ended before the fault, from 0.
    pub line: u64,
    /// Bytes on that line before the fault, from 0.
    pub column: u64,
    /// Bytes of the whole stream before the fault, from 0.
    pub offset: u64,
    /// What is wrong.
    pub reason: String,
}

/// A JSON value is well-formed but not a JSON-RPC 1.0 message.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct MessageError(pub String);
