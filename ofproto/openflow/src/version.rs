//! OpenFlow versions, sets of them, and their negotiation by hello messages.
//!
//! Source: OpenFlow 1.3.5 section 6.3.1 (connection setup), ovs-ofctl(8) (`-O`).

use std::fmt;

/// A version of OpenFlow; the number is the one on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Version {
    /// OpenFlow 1.0.
    V10 = 1,
    /// OpenFlow 1.1.
    V11 = 2,
    /// OpenFlow 1.2.
    V12 = 3,
    /// OpenFlow 1.3.
    V13 = 4,
    /// OpenFlow 1.4.
    V14 = 5,
    /// OpenFlow 1.5.
    V15 = 6,
}

impl Version {
    /// Every version, oldest first.
    pub const ALL: [Version; 6] = [Version::V10, Version::V11, Version::V12, Version::V13, Version::V14, Version::V15];

    /// The version with this number on the wire.
    pub fn from_wire(number: u8) -> Option<Version> {
        Version::ALL.into_iter().find(|v| *v as u8 == number)
    }

    /// The number on the wire.
    pub fn wire(self) -> u8 {
        self as u8
    }

    /// `OpenFlow10`, as in `-O` and the `protocols` column.
    pub fn name(self) -> &'static str {
        match self {
            Version::V10 => "OpenFlow10",
            Version::V11 => "OpenFlow11",
            Version::V12 => "OpenFlow12",
            Version::V13 => "OpenFlow13",
            Version::V14 => "OpenFlow14",
            Version::V15 => "OpenFlow15",
        }
    }

    /// `1.0`.
    pub fn dotted(self) -> &'static str {
        match self {
            Version::V10 => "1.0",
            Version::V11 => "1.1",
            Version::V12 => "1.2",
            Version::V13 => "1.3",
            Version::V14 => "1.4",
            Version::V15 => "1.5",
        }
    }

    /// The version that a user's text names: `OpenFlow13`, in any case.
    pub fn parse(text: &str) -> Option<Version> {
        Version::ALL.into_iter().find(|v| v.name().eq_ignore_ascii_case(text))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of versions as a hello bitmap: bit n stands for the version with number n on the wire. Bits of versions that
/// this code does not know are kept, for the peer may know more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct VersionSet(pub u32);

impl VersionSet {
    /// Every version this code speaks.
    pub const ALL: VersionSet = VersionSet(0b111_1110);

    /// The set of one.
    pub fn of(version: Version) -> VersionSet {
        VersionSet(1 << version.wire())
    }

    /// Adds a version.
    #[must_use]
    pub fn with(self, version: Version) -> VersionSet {
        VersionSet(self.0 | (1 << version.wire()))
    }

    /// Whether it has `version`.
    pub fn contains(self, version: Version) -> bool {
        self.0 & (1 << version.wire()) != 0
    }

    /// Whether it is empty.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// What both have.
    #[must_use]
    pub fn and(self, other: VersionSet) -> VersionSet {
        VersionSet(self.0 & other.0)
    }

    /// The newest version that this code speaks in the set.
    pub fn newest(self) -> Option<Version> {
        Version::ALL.into_iter().rev().find(|v| self.contains(*v))
    }

    /// The oldest version that this code speaks in the set.
    pub fn oldest(self) -> Option<Version> {
        Version::ALL.into_iter().find(|v| self.contains(*v))
    }

    /// The versions this code speaks, oldest first.
    pub fn iter(self) -> impl Iterator<Item = Version> {
        Version::ALL.into_iter().filter(move |v| self.contains(*v))
    }

    /// All versions up to and including `number`, as a peer means that sends a hello without bitmap.
    pub fn up_to(number: u8) -> VersionSet {
        let bits = if number >= 31 { u32::MAX } else { (1u32 << (number + 1)) - 1 };
        VersionSet(bits & !1)
    }

    /// The names with commas, oldest first: `OpenFlow10, OpenFlow13`.
    pub fn names(self) -> String {
        let names: Vec<&str> = self.iter().map(Version::name).collect();
        names.join(", ")
    }

    /// The set that a user's list names, separated by commas or spaces; `Err` is the word that names no version.
    ///
    /// # Errors
    /// A word that names no version.
    pub fn parse(text: &str) -> Result<VersionSet, String> {
        let mut set = VersionSet::default();
        for word in text.split([',', ' ', '\t', '\n']).filter(|w| !w.is_empty()) {
            set = set.with(Version::parse(word).ok_or_else(|| word.to_string())?);
        }
        Ok(set)
    }

    /// How Open vSwitch writes a set in the log and in errors: `version 0x01`, `versions 0x01, 0x04`, and for several that
    /// begin with the first and leave none out `version 0x04 and earlier`.
    pub fn hex_list(self) -> String {
        let numbers: Vec<String> = (0..32).filter(|n| self.0 & (1 << n) != 0).map(|n| format!("0x{n:02x}")).collect();
        if numbers.len() > 1 && self == VersionSet::up_to(numbers.len() as u8) {
            return format!("version 0x{:02x} and earlier", numbers.len());
        }
        match numbers.len() {
            1 => format!("version {}", numbers[0]),
            _ => format!("versions {}", numbers.join(", ")),
        }
    }
}

/// What to do with the peer's hello.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Negotiated {
    /// Speak this version from now on.
    Agreed(Version),
    /// No version in common: send an error OFPHFC_INCOMPATIBLE whose data are this text (see
    /// [`crate::error_code::ErrorCode`]) and hang up.
    Failed {
        /// Version to send the error in: the newest of the peer's, so that it can read why, if this code speaks it.
        version: Version,
        /// Text for the error message's data.
        data: String,
        /// Text for the log.
        log: String,
    },
}

/// Picks the version: the newest that both sides have.
pub fn negotiate(ours: VersionSet, theirs: VersionSet) -> Negotiated {
    match ours.and(theirs).newest() {
        Some(version) => Negotiated::Agreed(version),
        None => {
            let (us, them) = (ours.hex_list(), theirs.hex_list());
            let newest = theirs.0.checked_ilog2().and_then(|bit| Version::from_wire(bit as u8));
            Negotiated::Failed {
                version: newest.unwrap_or(Version::V10),
                data: format!("We support {us}, you support {them}, no common versions."),
                log: format!("version negotiation failed (we support {us}, peer supports {them})"),
            }
        }
    }
}

/// What the log says of an agreement.
pub fn agreement(version: Version, ours: VersionSet, theirs: VersionSet) -> String {
    let (number, us, them) = (version.wire(), ours.hex_list(), theirs.hex_list());
    format!("negotiated OpenFlow version 0x{number:02x} (we support {us}, peer supports {them})")
}
