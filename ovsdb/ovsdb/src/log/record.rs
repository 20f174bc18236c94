//! Records of the log: a header line with length and SHA-1, then one line of JSON.

use std::io::{BufRead, Read};

use serde_json::Value;
use sha1::{Digest, Sha1};

use crate::error::OvsdbError;

const HEX: &[u8; 16] = b"0123456789abcdef";
/// Octets that the line before a record's text takes at most: a length has 20 digits.
const HEADER_ROOM: usize = 74;

/// Lower-case hex of bytes.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    let mut text = Vec::with_capacity(2 * bytes.len());
    for byte in bytes {
        text.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
    }
    String::from_utf8(text).unwrap_or_default()
}

/// The bytes of a record that holds `json`, a text on one line.
#[must_use]
pub fn encode(json: &str) -> Vec<u8> {
    let json = octets::of_text(json);
    let mut hash = Sha1::new();
    hash.update(&json);
    hash.update(b"\n");
    let mut bytes = Vec::with_capacity(HEADER_ROOM + json.len() + 1);
    bytes.extend_from_slice(b"OVSDB JSON ");
    bytes.extend_from_slice((json.len() + 1).to_string().as_bytes());
    bytes.push(b' ');
    bytes.extend_from_slice(hex(&hash.finalize()).as_bytes());
    bytes.push(b'\n');
    bytes.extend_from_slice(&json);
    bytes.push(b'\n');
    bytes
}

/// One record with its place.
#[derive(Debug)]
pub struct Record {
    /// Where its header begins, in bytes from the start of the file.
    pub offset: u64,
    /// Its contents: an object.
    pub json: Value,
}

/// Why a log could not be read on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct LogError {
    /// Where the record that is at fault begins; all before it is good.
    pub offset: u64,
    /// In Open vSwitch's words.
    pub error: OvsdbError,
}

/// Reads records one by one.
pub struct Reader<R> {
    input: R,
    name: String,
    magic: &'static str,
    offset: u64,
    line: Vec<u8>,
    data: Vec<u8>,
    failed: Option<LogError>,
}

impl<R: BufRead> Reader<R> {
    /// A reader of `input` from its start; errors name it `name`.
    #[must_use]
    pub fn new(input: R, name: &str) -> Self {
        Reader {
            input,
            name: name.to_owned(),
            magic: "JSON",
            offset: 0,
            line: Vec::new(),
            data: Vec::new(),
            failed: None,
        }
    }

    /// As [`Reader::new`], for the log of a clustered database.
    #[must_use]
    pub fn of_clustered(input: R, name: &str) -> Self {
        Reader { magic: "CLUSTER", ..Reader::new(input, name) }
    }

    /// End of the last good record, in bytes from the start.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The next record; `None` at the end of the file. After an error the same error comes again.
    pub fn next_record(&mut self) -> Result<Option<Record>, LogError> {
        if let Some(failed) = &self.failed {
            return Err(failed.clone());
        }
        self.read_record().map_err(|error| {
            let failed = LogError { offset: self.offset, error };
            self.failed = Some(failed.clone());
            failed
        })
    }

    fn fault(&self, text: String) -> OvsdbError {
        OvsdbError::syntax(format!("{}: {text}", self.name))
    }

    fn read_record(&mut self) -> Result<Option<Record>, OvsdbError> {
        self.line.clear();
        let read_failed = |name: &str, error: &std::io::Error| OvsdbError::io(format!("{name}: read failed"), error);
        // A header is short; a line that is longer than this is none, and quoted as far as it was read.
        (&mut self.input)
            .take(127)
            .read_until(b'\n', &mut self.line)
            .map_err(|error| OvsdbError::io(format!("{}: read error", self.name), &error))?;
        if self.line.is_empty() {
            return Ok(None);
        }
        let (length, sha1) = self.parse_header()?;
        let start = self.offset + self.line.len() as u64;
        self.data.clear();
        let got = (&mut self.input)
            .take(length)
            .read_to_end(&mut self.data)
            .map_err(|error| read_failed(&self.name, &error))?;
        if got as u64 != length {
            let details = format!("{}: error reading {length} bytes starting at offset {start}", self.name);
            let error = OvsdbError { io_error: Some("End of file".into()), ..OvsdbError::new("I/O error", details) };
            return Err(error);
        }
        let actual = hex(&Sha1::digest(&self.data));
        if actual != sha1 {
            return Err(self.fault(format!(
                "{length} bytes starting at offset {start} have SHA-1 hash {actual} but should \
                 have hash {sha1}"
            )));
        }
        let limits = jsonrpc::Limits { depth: 1000, size: usize::MAX };
        let json = jsonrpc::parse_value(&self.data, limits).map_err(|error| {
            self.fault(format!("{length} bytes starting at offset {start} are not valid JSON ({error})"))
        })?;
        if !json.is_object() {
            return Err(self.fault(format!("{length} bytes starting at offset {start} are not a JSON object")));
        }
        let offset = self.offset;
        self.offset = start + length;
        Ok(Some(Record { offset, json }))
    }

    /// The length and the hash that the header line tells.
    fn parse_header(&self) -> Result<(u64, String), OvsdbError> {
        let header = Header::parse(&self.line);
        if self.offset == 0 {
            let refused = |text: &str| Err(OvsdbError::new("ovsdb error", format!("{}: {text}", self.name)));
            return match header {
                Some(Header { magic, length, sha1 }) if magic == self.magic => Ok((length, sha1.to_ascii_lowercase())),
                Some(Header { magic: "CLUSTER", .. }) => {
                    refused("cannot apply this operation to clustered database file")
                }
                Some(_) => refused("cannot identify file type"),
                None => refused("unexpected file format"),
            };
        }
        match header {
            Some(Header { magic, length, sha1 }) if magic == self.magic => Ok((length, sha1.to_ascii_lowercase())),
            _ => Err(self.fault(format!(
                "parse error at offset {} in header line \"{}\"",
                self.offset,
                quotable(&self.line)
            ))),
        }
    }
}

/// The line before a record's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header<'a> {
    /// `JSON`, or `CLUSTER` in logs of clustered databases.
    pub magic: &'a str,
    /// Of the text that follows, in bytes.
    pub length: u64,
    /// Of that text, as 40 hexadecimal digits.
    pub sha1: &'a str,
}

impl<'a> Header<'a> {
    /// Reads `OVSDB <magic> <length> <sha1>`; anything but a newline behind the hash makes it no header.
    #[must_use]
    pub fn parse(line: &'a [u8]) -> Option<Header<'a>> {
        let line = std::str::from_utf8(up_to_nul(line)).ok()?;
        let rest = line.strip_suffix('\n')?.strip_prefix("OVSDB ")?;
        let (magic, rest) = rest.split_once(' ')?;
        let (length, sha1) = rest.trim_start().split_once(' ')?;
        let hex = sha1.len() == 40 && sha1.bytes().all(|b| b.is_ascii_hexdigit());
        let length = match length.strip_prefix('-') {
            // As strtoull() takes it; no file is so long.
            Some(digits) => digits.parse::<u64>().ok()?.wrapping_neg(),
            None => length.parse().ok()?,
        };
        (hex && length > 0).then_some(Header { magic, length, sha1 })
    }
}

/// A line as a C string.
fn up_to_nul(line: &[u8]) -> &[u8] {
    line.split(|octet| *octet == 0).next().unwrap_or(line)
}

/// As much of a line that is no header as Open vSwitch quotes: to the space behind the magic.
fn quotable(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(up_to_nul(line));
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let magic = text.strip_prefix("OVSDB ").and_then(|rest| rest.split_once(' '));
    magic.map_or_else(|| text.to_owned(), |(magic, _)| format!("OVSDB {magic}"))
}
