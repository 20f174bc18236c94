//! Cutting a stream of octets into messages by the length in their headers.

use super::kind::HEADER_LEN;

/// Why the stream cannot go on: a header claims a length below its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("received too-short ofp_header ({0} bytes)")]
pub struct BadLength(pub u16);

/// The length of the first message in `buffer` if it is whole; `None` if more octets are needed.
///
/// # Errors
/// A length below 8: the stream is lost.
pub fn message_len(buffer: &[u8]) -> Result<Option<usize>, BadLength> {
    if buffer.len() < HEADER_LEN {
        return Ok(None);
    }
    let len = u16::from_be_bytes([buffer[2], buffer[3]]);
    if usize::from(len) < HEADER_LEN {
        return Err(BadLength(len));
    }
    Ok((buffer.len() >= usize::from(len)).then_some(usize::from(len)))
}

/// Octets that came in, cut into messages. Holds at most one unfinished message beyond what is taken out.
#[derive(Clone, Debug, Default)]
pub struct Framer {
    buffer: Vec<u8>,
    start: usize,
}

impl Framer {
    /// Adds octets from the stream.
    pub fn push(&mut self, octets: &[u8]) {
        if self.start > 0 && (self.start == self.buffer.len() || self.start > 1 << 16) {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(octets);
    }

    /// The next whole message, if there is one.
    ///
    /// # Errors
    /// As [`message_len`].
    pub fn next_message(&mut self) -> Result<Option<&[u8]>, BadLength> {
        let Some(len) = message_len(&self.buffer[self.start..])? else { return Ok(None) };
        let at = self.start;
        self.start += len;
        Ok(Some(&self.buffer[at..at + len]))
    }

    /// How many whole messages there are, in front of anything that is none.
    pub fn messages(&self) -> usize {
        let mut rest = &self.buffer[self.start..];
        let mut n = 0;
        while let Ok(Some(len)) = message_len(rest) {
            rest = &rest[len..];
            n += 1;
        }
        n
    }

    /// Octets not yet taken out.
    pub fn pending(&self) -> usize {
        self.buffer.len() - self.start
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_counted_as_far_as_they_are_whole() {
        let echo = [4, 2, 0, 8, 0, 0, 0, 1];
        for (octets, n) in [
            (vec![], 0),
            (echo[..7].to_vec(), 0),
            (echo.to_vec(), 1),
            ([&echo[..], &echo, &echo[..4]].concat(), 2),
            ([&echo[..], &[4, 2, 0, 7, 0, 0, 0, 1], &echo].concat(), 1),
        ] {
            let mut framer = Framer::default();
            framer.push(&octets);
            assert_eq!(framer.messages(), n, "{octets:?}");
            while let Ok(Some(_)) = framer.next_message() {}
            assert_eq!(framer.messages(), 0, "{octets:?}");
        }
    }
}
