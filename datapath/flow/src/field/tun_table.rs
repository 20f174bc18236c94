//! Where tunnel options (`tun_metadata0` to `tun_metadata63`) lie in a key: the image of a bridge's TLV table.
//!
//! The key has 256 octets for all options together; an option takes its length rounded up to 4 octets, wherever there is
//! room, in pieces if need be. A value is right-aligned in its field's 124 octets. Source: ovs-ofctl(8) `add-tlv-map`,
//! RFC 8926 §3.5.

use super::Value;
use crate::key::{TUN_METADATA_BYTES, TUN_METADATA_WORD};
use crate::{Key, Mask, WORDS, tun_flag};

/// One mapped option.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TunEntry {
    /// Option class.
    pub class: u16,
    /// Option type.
    pub kind: u8,
    /// Octets of option data: 0 to 124, a multiple of 4; a match's own table may have any length.
    pub len: u8,
    /// Whether the match was given a mask, which the octets that are kept need not tell.
    pub masked: bool,
    /// The four octets of the key's option space that it has: bit `n` for those from `4 * n`.
    quads: u64,
}

/// Why an option cannot be mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TunError {
    /// Index above 63.
    #[error("no such tunnel option field")]
    BadIndex,
    /// Length above 124, or no multiple of 4.
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
        if !len.is_multiple_of(4) {
            return Err(TunError::BadLength);
        }
        // Of an option without data nothing but its presence can matter, as where nothing of the data does.
        self.place(i, TunEntry { class, kind, len, masked: len == 0, quads: 0 })
    }

    /// Makes room for field `i` without naming an option: for matches read without a bridge's table, given
    /// a mask or not.
    pub fn reserve(&mut self, i: u8, len: u8, masked: bool) -> Result<(), TunError> {
        self.place(i, TunEntry { class: 0, kind: 0, len, masked, quads: 0 })
    }

    fn place(&mut self, i: u8, entry: TunEntry) -> Result<(), TunError> {
        let slot = self.entries.get(usize::from(i)).ok_or(TunError::BadIndex)?;
        if slot.is_some() {
            return Err(TunError::AlreadyMapped);
        }
        let len = entry.len;
        if len > 124 {
            return Err(TunError::BadLength);
        }
        let mut free = !self.entries.iter().flatten().fold(0, |used, e| used | e.quads);
        let mut quads = 0;
        for _ in 0..len.div_ceil(4) {
            if free == 0 {
                return Err(TunError::TableFull);
            }
            let lowest = free & free.wrapping_neg();
            free ^= lowest;
            quads |= lowest;
        }
        self.entries[usize::from(i)] = Some(TunEntry { quads, ..entry });
        Ok(())
    }

    /// Octets of data that all mapped options have together.
    pub fn total_len(&self) -> usize {
        self.entries.iter().flatten().map(|e| usize::from(e.len)).sum()
    }

    /// Forgets field `i`.
    pub fn unmap(&mut self, i: u8) -> Option<TunEntry> {
        self.entries.get_mut(usize::from(i))?.take()
    }

    /// Reads field `i` from a key's or mask's words; nothing for a field that is not mapped.
    pub fn get(&self, i: u8, words: &[u64; WORDS]) -> Value {
        let Some(entry) = self.entry(i) else { return Value::default() };
        Value(entry.places().map(|at| octet(words, at)).collect())
    }

    /// Writes field `i`, right-aligned; a field that is not mapped is left alone.
    pub fn set(&self, i: u8, words: &mut [u64; WORDS], value: &Value) {
        let Some(entry) = self.entry(i) else { return };
        let len = usize::from(entry.len);
        for (k, at) in entry.places().enumerate() {
            let octet = (value.len() + k).checked_sub(len).map_or(0, |from| value.0[from]);
            set_octet(words, at, octet);
        }
    }
}

/// Octets of options that a key can hold in datapath form.
const MAX_OPTIONS: usize = 252;

fn octet(words: &[u64; WORDS], at: usize) -> u8 {
    let (word, shift) = word_of(at);
    (words[word] >> shift) as u8
}

fn set_octet(words: &mut [u64; WORDS], at: usize, octet: u8) {
    let (word, shift) = word_of(at);
    words[word] = (words[word] & !(0xff << shift)) | (u64::from(octet) << shift);
}

/// Datapath form: a key whose tunnel flags have [`tun_flag::UDPIF`] holds the options as they are on the wire, and
/// `tun_metadata_present` is their length in octets; its mask has the same layout.
impl TunTable {
    /// A key's options on the wire, if it is in datapath form.
    pub fn wire_options(key: &Key) -> Vec<u8> {
        if key.tun_flags() & tun_flag::UDPIF == 0 {
            return Vec::new();
        }
        let len = (key.tun_metadata_present() as usize).min(MAX_OPTIONS);
        (0..len).map(|at| octet(&key.0, at)).collect()
    }

    /// Puts options as on the wire into a key, which is in datapath form then. Octets that do not fit are lost.
    pub fn set_wire_options(key: &mut Key, options: &[u8]) {
        key.0[TUN_METADATA_WORD..TUN_METADATA_WORD + TUN_METADATA_BYTES / 8].fill(0);
        let len = options.len().min(MAX_OPTIONS);
        for (at, o) in options[..len].iter().enumerate() {
            set_octet(&mut key.0, at, *o);
        }
        key.set_tun_metadata_present(len as u64);
        key.set_tun_flags(key.tun_flags() | tun_flag::UDPIF);
    }

    /// From datapath form to this table's: options that it does not map are lost, `tun_metadata_present` has a bit for
    /// each that was there. A key in another form is left alone.
    pub fn from_datapath(&self, key: &mut Key) {
        if key.tun_flags() & tun_flag::UDPIF == 0 {
            return;
        }
        let options = Self::wire_options(key);
        key.0[TUN_METADATA_WORD..TUN_METADATA_WORD + TUN_METADATA_BYTES / 8].fill(0);
        key.set_tun_flags(key.tun_flags() & !tun_flag::UDPIF);
        let mut present = 0;
        for option in packet::geneve::options(&options).map_while(Result::ok) {
            let mapped = self.by_option(option.class, option.kind);
            if let Some((i, _)) = mapped.filter(|(_, e)| usize::from(e.len) == option.data.len()) {
                self.set(i, &mut key.0, &Value::from_slice(option.data));
                present |= 1 << (i & 63);
            }
        }
        key.set_tun_metadata_present(present);
    }

    /// Whether a key in datapath form has whole options, every critical one is one that this table maps, as a packet with
    /// another must be dropped (RFC 8926, section 3.5), and those that it maps are of the lengths that it says. A key in another
    /// form has none.
    pub fn knows_critical(&self, key: &Key) -> bool {
        if key.tun_flags() & tun_flag::UDPIF == 0 {
            return true;
        }
        let is_fit = |option: packet::geneve::GeneveOption<'_>| match self.by_option(option.class, option.kind) {
            Some((_, entry)) => usize::from(entry.len) == option.data.len(),
            None => option.kind & packet::geneve::CRITICAL == 0,
        };
        let options = Self::wire_options(key);
        packet::geneve::options(&options).all(|option| option.is_ok_and(is_fit))
    }

    /// From this table's form to datapath form: the options whose bits `tun_metadata_present` has, in their fields'
    /// order.
    pub fn to_datapath(&self, key: &mut Key) {
        let present = key.tun_metadata_present();
        if key.tun_flags() & tun_flag::UDPIF != 0 || present == 0 {
            return;
        }
        let mut options = Vec::new();
        for (i, entry) in self.entries().filter(|(i, _)| present >> (i & 63) & 1 == 1) {
            options.extend(entry.class.to_be_bytes());
            options.extend([entry.kind, entry.len / 4]);
            options.extend(self.get(i, &key.0).octets());
        }
        Self::set_wire_options(key, &options);
    }

    /// Has a mask in datapath form ask for all options: what is refused for one is not for others.
    pub fn ask_for_options(mask: &mut Mask) {
        mask.0[TUN_METADATA_WORD..TUN_METADATA_WORD + TUN_METADATA_BYTES / 8].fill(u64::MAX);
        mask.set_tun_metadata_present(u64::MAX);
    }

    /// The mask in datapath form that says of `key`, which is in datapath form, what `mask` says in this table's. The
    /// list of options there are matters wherever one of them does.
    pub fn mask_to_datapath(&self, mask: &Mask, key: &Key) -> Mask {
        let mut wire = mask.clone();
        wire.0[TUN_METADATA_WORD..TUN_METADATA_WORD + TUN_METADATA_BYTES / 8].fill(0);
        if mask.tun_metadata_present() == 0 {
            wire.set_tun_metadata_present(0);
            return wire;
        }
        wire.set_tun_metadata_present(u64::MAX);
        wire.set_tun_flags(wire.tun_flags() | tun_flag::UDPIF);
        let mut at = 0;
        for option in packet::geneve::options(&Self::wire_options(key)).map_while(Result::ok) {
            for k in 0..4 {
                set_octet(&mut wire.0, at + k, 0xff);
            }
            at += 4;
            if let Some((i, _)) = self.by_option(option.class, option.kind) {
                for (k, o) in self.get(i, &mask.0).octets().iter().take(option.data.len()).enumerate() {
                    set_octet(&mut wire.0, at + k, *o);
                }
            }
            at += option.data.len();
        }
        wire
    }
}

impl TunEntry {
    /// Where its octets lie in the key's option space, one after another.
    fn places(&self) -> impl Iterator<Item = usize> {
        let quads = (0..u64::BITS as usize).filter(|n| self.quads >> n & 1 != 0);
        quads.flat_map(|n| 4 * n..4 * n + 4).take(self.len.into())
    }
}
