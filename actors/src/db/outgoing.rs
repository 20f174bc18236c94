//! What a session has to write, and the writing of it.

use crate::stream::Stream;
use ovsdb::server::Piece;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};
use tokio::io::AsyncWrite;

/// What waits to be written.
pub(super) enum Outgoing {
    /// As it is.
    Text(Piece),
    /// What a piece carried.
    Octets(Vec<u8>),
}

impl Outgoing {
    pub(super) fn as_bytes(&self) -> &[u8] {
        match self {
            Outgoing::Text(piece) => piece.as_str().as_bytes(),
            Outgoing::Octets(octets) => octets,
        }
    }
}

/// Writes what the stream takes at once; `sent` bytes of the first are gone already.
pub(super) fn write_some(
    stream: &mut Stream,
    out: &VecDeque<Outgoing>,
    sent: usize,
    task: &mut TaskContext<'_>,
) -> Poll<io::Result<usize>> {
    const SLICES: usize = 64;
    let mut slices = [IoSlice::new(&[]); SLICES];
    let mut count = 0;
    for (slot, text) in slices.iter_mut().zip(out) {
        let skip = if count == 0 { sent } else { 0 };
        *slot = IoSlice::new(text.as_bytes().get(skip..).unwrap_or_default());
        count += 1;
    }
    Pin::new(stream).poll_write_vectored(task, &slices[..count])
}
