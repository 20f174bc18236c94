//! The incremental scanner: finds where one JSON value of an unframed stream ends and the next
//! begins, however the bytes are split, and never looks at a byte twice.
//!
//! It tracks strings, escapes and brackets only; a value that is complete goes to the parser, which
//! judges the rest. What there is of a value that is not complete is judged as well: a peer that says
//! nonsense shall not be waited for. Only objects and arrays may stand in a stream, because a bare number has no
//! end. Source: RFC 7047 section 4 (JSON-RPC over a stream without framing), RFC 8259.

use serde_json::Value;

use crate::diagnosis::Course;
use crate::error::StreamError;
use crate::pull::Pull;
use crate::{number, parser};

/// How much a peer may make us keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Deepest nesting of arrays and objects.
    pub depth: usize,
    /// Longest value, in bytes.
    pub size: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { depth: 1000, size: 1 << 30 }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Within {
    /// White space between two values.
    Gap,
    /// A word or number outside brackets, which is a fault as soon as it ends.
    Word,
    /// Inside brackets, outside strings.
    Value,
    /// Inside a string.
    String,
    /// After a backslash in a string.
    Escape,
    /// After `\u` and so many zeros in a row.
    Unicode(u8),
}

/// What became of a value.
#[derive(Debug, Clone, PartialEq)]
pub enum Next<T> {
    /// It was read as it stood, and this made of it.
    Taken(T),
    /// This is it.
    Value(Value),
}

/// Cuts a byte stream into JSON values.
#[derive(Debug)]
pub struct Scanner {
    limits: Limits,
    buffer: Vec<u8>,
    /// Start of the current value in `buffer`.
    start: usize,
    /// First byte not looked at yet.
    at: usize,
    within: Within,
    /// Kinds of the open brackets, true for `{`.
    open: Vec<bool>,
    /// What is known of a value that is not complete.
    course: Option<Course>,
    failed: Option<StreamError>,
}

impl Scanner {
    /// A scanner at the beginning of a stream.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let (buffer, open) = (Vec::new(), Vec::new());
        Scanner { limits, buffer, start: 0, at: 0, within: Within::Gap, open, course: None, failed: None }
    }

    /// Adds bytes that came from the peer. After an error nothing is kept any more.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.failed.is_some() {
            return;
        }
        if self.start > 0 && (self.start == self.buffer.len() || self.start >= 64 * 1024) {
            self.buffer.drain(..self.start);
            self.at -= self.start;
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// Bytes fed and not yet given out as part of a value.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.buffer.len() - self.start
    }

    /// The next complete value; `None` when more bytes are needed. After an error the same error
    /// comes again for ever.
    pub fn next_value(&mut self) -> Result<Option<Value>, StreamError> {
        let Some((start, end)) = self.next_extent()? else { return Ok(None) };
        self.parse(start, end).map(Some)
    }

    /// As [`Scanner::next_value`], but shows the value to `read` first as it stands, once or, where it may come in pieces,
    /// twice.
    pub fn next_read<T>(
        &mut self,
        mut read: impl FnMut(&mut Pull<'_>) -> Option<T>,
    ) -> Result<Option<Next<T>>, StreamError> {
        // Who ends otherwise has not come to the end.
        if self.buffer.ends_with(b"}")
            && let Some(taken) = self.read_ahead(usize::MAX, &mut read)
        {
            return Ok(Some(Next::Taken(taken)));
        }
        let Some((start, end)) = self.next_extent()? else { return Ok(None) };
        let mut pull = Pull::new(&self.buffer[start..end]);
        let taken = read(&mut pull);
        taken.map_or_else(|| self.parse(start, end).map(Next::Value), |taken| Ok(Next::Taken(taken))).map(Some)
    }

    /// The value whose text lies there.
    fn parse(&mut self, start: usize, end: usize) -> Result<Value, StreamError> {
        let depth = self.limits.depth;
        let text = &self.buffer[start..end];
        let parsed = parser::parse(text, depth).ok_or_else(|| StreamError::of_text(text, depth));
        self.failed = parsed.as_ref().err().cloned();
        parsed
    }

    /// What `read` makes of the next value, without a look for the value's end first, which costs as much again. `None`:
    /// it is not all there, or none that `read` takes; nothing has become of it. `most`: how much there may be to see first
    /// whether it is plain ASCII.
    pub(crate) fn read_ahead<T>(&mut self, most: usize, read: impl FnOnce(&mut Pull<'_>) -> Option<T>) -> Option<T> {
        // Of a value that some of has been looked at before, all of it will be.
        if self.failed.is_some() || self.at > self.start {
            return None;
        }
        let mut pull = Pull::first_of(&self.buffer[self.start..], most);
        let value = read(&mut pull)?;
        self.start += pull.passed();
        self.at = self.start;
        Some(value)
    }

    /// The text of the next complete object or array, not judged further; `None` when more bytes
    /// are needed.
    pub fn next_text(&mut self) -> Result<Option<&[u8]>, StreamError> {
        Ok(self.next_extent()?.map(|(start, end)| &self.buffer[start..end]))
    }

    fn next_extent(&mut self) -> Result<Option<(usize, usize)>, StreamError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        match self.scan() {
            Ok(true) => {
                let extent = (self.start, self.at);
                self.start = self.at;
                self.course = None;
                Ok(Some(extent))
            }
            Ok(false) if self.at - self.start > self.limits.size => {
                Err(self.fail(format!("value exceeds {} bytes", self.limits.size)))
            }
            Ok(false) if self.within == Within::Gap => Ok(None),
            Ok(false) => {
                let course = self.course.get_or_insert_with(|| Course::new(self.limits.depth));
                let text = &self.buffer[self.start..];
                let Some(fault) = course.go_on(text, false) else { return Ok(None) };
                let error = StreamError::placed(fault, text);
                Err(self.end(error))
            }
            Err(reason) => Err(self.fail(reason)),
        }
    }

    /// Looks at new bytes until a value is complete (true) or the bytes end (false).
    fn scan(&mut self) -> Result<bool, String> {
        while let Some(&byte) = self.buffer.get(self.at) {
            match self.within {
                Within::String => {
                    let rest = &self.buffer[self.at..];
                    let skip = rest.iter().position(|&b| b == b'"' || b == b'\\' || b < 0x20);
                    let Some(skip) = skip else {
                        self.at = self.buffer.len();
                        return Ok(false);
                    };
                    self.at += skip;
                    match self.buffer[self.at] {
                        b'"' => self.within = Within::Value,
                        b'\\' => self.within = Within::Escape,
                        b => return Err(format!("U+{b:04X} must be escaped in quoted string")),
                    }
                }
                Within::Escape => {
                    self.within = if byte == b'u' { Within::Unicode(0) } else { Within::String };
                }
                Within::Unicode(zeros) => {
                    if byte != b'0' {
                        // Any other digit, or a fault that the parser will find.
                        self.within = Within::String;
                        continue;
                    }
                    if zeros == 3 {
                        return Err("null bytes not supported in quoted strings".into());
                    }
                    self.within = Within::Unicode(zeros + 1);
                }
                Within::Gap => match byte {
                    b' ' | b'\t' | b'\r' | b'\n' => {
                        self.start = self.at + 1;
                    }
                    b'{' | b'[' => {
                        self.open.push(byte == b'{');
                        self.within = Within::Value;
                    }
                    b if b != 0 && (b.is_ascii_lowercase() || number::is_part(b)) => self.within = Within::Word,
                    _ => return Err("syntax error at beginning of input".into()),
                },
                Within::Word if byte.is_ascii_alphabetic() || number::is_part(byte) => {}
                Within::Word => return Err("syntax error at beginning of input".into()),
                Within::Value => match byte {
                    b'"' => self.within = Within::String,
                    b'{' | b'[' => {
                        if self.open.len() >= self.limits.depth {
                            return Err(format!("input exceeds maximum nesting depth {}", self.limits.depth));
                        }
                        self.open.push(byte == b'{');
                    }
                    b'}' | b']' => {
                        if self.open.pop() != Some(byte == b'}') {
                            let expect = if byte == b'}' { "']'" } else { "'}'" };
                            return Err(format!("syntax error expecting {expect} or ','"));
                        }
                        if self.open.is_empty() {
                            self.within = Within::Gap;
                            self.at += 1;
                            return Ok(true);
                        }
                    }
                    b'\t' | b'\r' | b'\n' | b' ' | b':' | b',' => {}
                    _ if byte.is_ascii_lowercase() || number::is_part(byte) => {}
                    // A word begins with a small letter.
                    b'A'..=b'Z' if self.at > 0 && self.buffer[self.at - 1].is_ascii_alphabetic() => {}
                    _ => return Err(format!("invalid character U+{byte:04x}")),
                },
            }
            self.at += 1;
        }
        Ok(false)
    }

    fn fail(&mut self, reason: String) -> StreamError {
        let depth = self.limits.depth;
        let text = &self.buffer[self.start..];
        let error = StreamError::diagnosed(text, false, depth).unwrap_or_else(|| self.fault_here(reason));
        self.end(error)
    }

    /// Nothing more is taken from the stream, and what there is of it is of no use.
    fn end(&mut self, error: StreamError) -> StreamError {
        (self.buffer, self.start, self.at) = (Vec::new(), 0, 0);
        self.failed = Some(error.clone());
        error
    }

    /// An error that points at the first byte not looked at.
    fn fault_here(&self, reason: String) -> StreamError {
        let offset = (self.at - self.start) as u64;
        StreamError { line: 0, column: offset, offset, reason }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(scanner: &mut Scanner) -> Vec<Value> {
        let mut values = Vec::new();
        while let Ok(Some(value)) = scanner.next_value() {
            values.push(value);
        }
        values
    }

    #[test]
    fn values_without_separators() {
        let mut scanner = Scanner::new(Limits::default());
        scanner.feed(b" {\"a\":\"}\\\"{\"}[1,2]\n\n{}");
        assert_eq!(all(&mut scanner).len(), 3);
        assert_eq!(scanner.pending(), 0);
    }

    #[test]
    fn faults_say_where() {
        let cases: &[(&[u8], &str)] = &[
            (b"garbage ", "line 0, column 7, byte 7: invalid keyword 'garbage'"),
            (b"{ ]", "line 0, column 2, byte 2: syntax error parsing object expecting string"),
            (b"{\"a\": \"\x01\"}", "line 0, column 7, byte 7: U+0001 must be escaped in quoted string"),
            (b"[\"\\u0000\"]", "line 0, column 8, byte 8: null bytes not supported in quoted strings"),
            (b"5 ", "line 0, column 1, byte 1: syntax error at beginning of input"),
        ];
        for (text, expect) in cases {
            let mut scanner = Scanner::new(Limits::default());
            scanner.feed(text);
            let error = scanner.next_value().unwrap_err();
            assert_eq!(&error.to_string(), expect);
            assert_eq!(scanner.next_value().unwrap_err(), error, "sticks");
        }
    }

    #[test]
    fn nonsense_is_not_waited_for() {
        let cases: &[(&str, &str)] = &[
            (r#"{"me{"method""#, "line 0, column 12, byte 12: invalid keyword 'method'"),
            (r#"{"a"["#, "line 0, column 4, byte 4: syntax error parsing object expecting ':'"),
            (r#"{"a":1,,"#, "line 0, column 7, byte 7: syntax error parsing object expecting string"),
            (r#"[1 {"#, "line 0, column 3, byte 3: syntax error expecting ']' or ','"),
            (r#"[nul,"#, "line 0, column 4, byte 4: invalid keyword 'nul'"),
            (r#"[" \u00" "#, "line 0, column 7, byte 7: quoted string ends within \\u escape"),
        ];
        for (text, expect) in cases {
            let mut scanner = Scanner::new(Limits::default());
            scanner.feed(b"[]");
            assert!(scanner.next_value().unwrap().is_some());
            let error = text.bytes().find_map(|byte| {
                scanner.feed(&[byte]);
                scanner.next_value().err()
            });
            assert_eq!(&error.unwrap().to_string(), expect, "{text}");
        }
        let mut scanner = Scanner::new(Limits::default());
        scanner.feed(b"[\"");
        for _ in 0..20_000 {
            scanner.feed(b"long");
            assert_eq!(scanner.next_value(), Ok(None));
        }
        scanner.feed(b"\"]");
        assert!(scanner.next_value().unwrap().is_some());
    }

    #[test]
    fn a_nul_belongs_to_the_number_before_it() {
        let mut scanner = Scanner::new(Limits::default());
        scanner.feed(b"[1\0,2\0x]");
        assert!(scanner.next_value().is_err());
        let mut scanner = Scanner::new(Limits::default());
        scanner.feed(b"[1\0]{\"a\":-2.5\x005}");
        assert_eq!(all(&mut scanner), [serde_json::json!([1]), serde_json::json!({"a": -2.5})]);
        scanner.feed(b"\0");
        assert_eq!(scanner.next_value().unwrap_err().reason, "invalid character U+0000");
    }

    #[test]
    fn limits_hold() {
        let mut scanner = Scanner::new(Limits { depth: 1000, size: 10_000 });
        scanner.feed("[".repeat(1001).as_bytes());
        assert!(scanner.next_value().unwrap_err().reason.contains("depth 1000"));
        let mut scanner = Scanner::new(Limits { depth: 1000, size: 10_000 });
        scanner.feed(("[".repeat(1000) + &"]".repeat(1000)).as_bytes());
        assert!(scanner.next_value().unwrap().is_some());
        scanner.feed(b"[\"");
        scanner.feed("x".repeat(10_001).as_bytes());
        assert!(scanner.next_value().unwrap_err().reason.contains("exceeds"));
        assert_eq!((scanner.pending(), scanner.buffer.capacity()), (0, 0), "what is of no use takes memory");
        scanner.feed(b"more");
        assert_eq!(scanner.pending(), 0);
        assert!(scanner.next_value().unwrap_err().reason.contains("exceeds"));
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_values(cuts in proptest::collection::vec(0usize..90, 0..8)) {
            let text = br#"{"a":"\\\"}","b":[{},[[]],"\u00e9"]} [1, 2.5,true]  {"x":{"y":null}}"#;
            let mut whole = Scanner::new(Limits::default());
            whole.feed(text);
            let expect = all(&mut whole);
            prop_assert_eq!(expect.len(), 3);
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c % text.len()).collect();
            cuts.sort_unstable();
            cuts.push(text.len());
            let mut scanner = Scanner::new(Limits::default());
            let mut got = Vec::new();
            let mut from = 0;
            for cut in cuts {
                scanner.feed(&text[from..cut]);
                from = cut;
                got.extend(all(&mut scanner));
            }
            prop_assert_eq!(got, expect);
        }

        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut scanner = Scanner::new(Limits::default());
            for chunk in bytes.chunks(7) {
                scanner.feed(chunk);
                while let Ok(Some(_)) = scanner.next_value() {}
            }
            let _ = crate::parse_value(&bytes, Limits::default());
        }
    }
}
