//! Where tunnel options (`tun_metadata0` to `tun_metadata63`) lie in a key: the image of a bridge's TLV table.
//!
//! The key has 256 octets for all options together; an option takes its length rounded up to 4 octets, first fit. A
//! value is right-aligned in its field's 124 octets. Source: ovs-ofctl(8) `add-tlv-map`, RFC 8926 §3.5.

use super::Value;
use crate::WORDS;
use crate::key::{TUN_METADATA_BYTES, TUN_METADATA_WORD};

/// One mapped option.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TunEntry {
    /// Option class.
    pub class: u16,
    /// Option type.
    pub kind: u8,
    /// Octets of option data: 4 to 124, a multiple of 4; a match's own table may have any length.
    pub len: u8,
    /// First octet in the key's option space.
    offset: u8,
}

/// Why an option cannot be mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TunError {
    /// Index above 63.
    #[error("no such tunnel option field")]
    BadIndex,
    /// Length 0, above 124.
    #[error("bad tunnel option length")]
    BadLength,
    /// The field is mapped already.
    #[error("tunnel option field is mapped already")]
    AlreadyMapped,
    /// Another field maps the same option.
    #[error("tunnel option is mapped already")]
    DuplicateEntry,
    /// No room left.
    #[error("no room for the tunnel option")]
    TableFull,
}

/// A table of mapped options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TunTable {
    entries: [Option<TunEntry>; 64],
}

impl Default for TunTable {
    fn default() -> Self {
        Self { entries: [None; 64] }
    }
}

fn word_of(octet: usize) -> (usize, u32) {
    (TUN_METADATA_WORD + octet / 8, 56 - 8 * (octet % 8) as u32)
}

impl TunTable {
    /// The option of field `tun_metadata{i}`.
    pub fn entry(&self, i: u8) -> Option<&TunEntry> {
        self.entries.get(usize::from(i))?.as_ref()
    }

    /// All mapped options, by field.
    pub fn entries(&self) -> impl Iterator<Item = (u8, &TunEntry)> {
        self.entries.iter().enumerate().filter_map(|(i, e)| Some((i as u8, e.as_ref()?)))
    }

    /// The field that maps an option.
    pub fn by_option(&self, class: u16, kind: u8) -> Option<(u8, &TunEntry)> {
        self.entries().find(|(_, e)| (e.class, e.kind) == (class, kind))
    }

    /// Maps an option to field `i`.
    pub fn map(&mut self, i: u8, class: u16, kind: u8, len: u8) -> Result<(), TunError> {
        if self.by_option(class, kind).is_some() {
            return Err(TunError::DuplicateEntry);
        }
        if len % 4 != 0 {
            return Err(TunError::BadLength);
        }
        self.place(i, class, kind, len)
    }

    /// Makes room for field `i` without naming an option: for matches read without a bridge's table.
    pub fn reserve(&mut self, i: u8, len: u8) -> Result<(), TunError> {
        self.place(i, 0, 0, len)
    }

    fn place(&mut self, i: u8, class: u16, kind: u8, len: u8) -> Result<(), TunError> {
        let slot = self.entries.get(usize::from(i)).ok_or(TunError::BadIndex)?;
        if slot.is_some() {
            return Err(TunError::AlreadyMapped);
        }
        if len == 0 || len > 124 {
            return Err(TunError::BadLength);
        }
        let need = usize::from(len).next_multiple_of(4);
        let mut used: Vec<(usize, usize)> = self.entries.iter().flatten().map(TunEntry::span).collect();
        used.sort_unstable();
        let mut at = 0;
        for (start, end) in used {
            if start >= at + need {
                break;
            }
            at = end;
        }
        if at + need > TUN_METADATA_BYTES {
            return Err(TunError::TableFull);
        }
        self.entries[usize::from(i)] = Some(TunEntry { class, kind, len, offset: at as u8 });
        Ok(())
    }

    /// Forgets field `i`.
    pub fn unmap(&mut self, i: u8) -> Option<TunEntry> {
        self.entries.get_mut(usize::from(i))?.take()
    }

    /// Reads field `i` from a key's or mask's words; nothing for a field that is not mapped.
    pub fn get(&self, i: u8, words: &[u64; WORDS]) -> Value {
        let Some(entry) = self.entry(i) else { return Value::default() };
        let octets = (0..usize::from(entry.len)).map(|k| {
            let (word, shift) = word_of(usize::from(entry.offset) + k);
            (words[word] >> shift) as u8
        });
        Value(octets.collect())
    }

    /// Writes field `i`, right-aligned; a field that is not mapped is left alone.
    pub fn set(&self, i: u8, words: &mut [u64; WORDS], value: &Value) {
        let Some(entry) = self.entry(i) else { return };
        let len = usize::from(entry.len);
        for k in 0..len {
            let octet = (value.len() + k).checked_sub(len).map_or(0, |at| value.0[at]);
            let (word, shift) = word_of(usize::from(entry.offset) + k);
            words[word] = (words[word] & !(0xff << shift)) | (u64::from(octet) << shift);
        }
    }
}

impl TunEntry {
    fn span(&self) -> (usize, usize) {
        (self.offset.into(), usize::from(self.offset) + usize::from(self.len).next_multiple_of(4))
    }
}
