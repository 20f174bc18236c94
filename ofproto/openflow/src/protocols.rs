//! Flow protocols: an OpenFlow version together with the form of its flow matches and the table number extension.
//!
//! What `ovs-ofctl -F` chooses among, and what a flow's fields and actions restrict. Source: ovs-ofctl(8).

use std::fmt;
use std::ops::{BitAnd, BitAndAssign, BitOr, BitOrAssign};

use crate::{Version, VersionSet};

/// A set of flow protocols.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Protocols(pub u32);

impl Protocols {
    /// No protocol.
    pub const NONE: Protocols = Protocols(0);
    /// OpenFlow 1.0 with the standard match.
    pub const OF10_STD: Protocols = Protocols(1 << 0);
    /// The same with table numbers in flow-mods.
    pub const OF10_STD_TID: Protocols = Protocols(1 << 1);
    /// OpenFlow 1.0 with the Nicira extended match.
    pub const OF10_NXM: Protocols = Protocols(1 << 2);
    /// The same with table numbers in flow-mods.
    pub const OF10_NXM_TID: Protocols = Protocols(1 << 3);
    /// OpenFlow 1.1 with the standard match.
    pub const OF11_STD: Protocols = Protocols(1 << 4);
    /// OpenFlow 1.2.
    pub const OF12_OXM: Protocols = Protocols(1 << 5);
    /// OpenFlow 1.3.
    pub const OF13_OXM: Protocols = Protocols(1 << 6);
    /// OpenFlow 1.4.
    pub const OF14_OXM: Protocols = Protocols(1 << 7);
    /// OpenFlow 1.5.
    pub const OF15_OXM: Protocols = Protocols(1 << 8);

    /// OpenFlow 1.0 with the standard match, with or without table numbers.
    pub const OF10_STD_ANY: Protocols = Protocols(0x3);
    /// OpenFlow 1.0 with the extended match, with or without table numbers.
    pub const OF10_NXM_ANY: Protocols = Protocols(0xc);
    /// OpenFlow 1.0.
    pub const OF10_ANY: Protocols = Protocols(0xf);
    /// OpenFlow 1.2 and later.
    pub const OXM_ANY: Protocols = Protocols(0x1e0);
    /// Those whose matches are a list of fields.
    pub const NXM_OXM_ANY: Protocols = Protocols(0x1ec);
    /// OpenFlow 1.1 and later.
    pub const OF11_UP: Protocols = Protocols(0x1f0);
    /// OpenFlow 1.2 and later.
    pub const OF12_UP: Protocols = Protocols(0x1e0);
    /// OpenFlow 1.3 and later.
    pub const OF13_UP: Protocols = Protocols(0x1c0);
    /// OpenFlow 1.4 and later.
    pub const OF14_UP: Protocols = Protocols(0x180);
    /// OpenFlow 1.5 and later.
    pub const OF15_UP: Protocols = Protocols(0x100);
    /// Those that can name a table in a flow-mod.
    pub const TABLE_ID: Protocols = Protocols(0x1fa);
    /// Every protocol.
    pub const ANY: Protocols = Protocols(0x1ff);

    /// Each protocol with its name, in order of preference in flow dumps.
    const NAMES: [(Protocols, &'static str); 9] = [
        (Protocols::OF10_STD, "OpenFlow10-table_id"),
        (Protocols::OF10_STD_TID, "OpenFlow10+table_id"),
        (Protocols::OF10_NXM, "NXM-table_id"),
        (Protocols::OF10_NXM_TID, "NXM+table_id"),
        (Protocols::OF11_STD, "OpenFlow11"),
        (Protocols::OF12_OXM, "OXM-OpenFlow12"),
        (Protocols::OF13_OXM, "OXM-OpenFlow13"),
        (Protocols::OF14_OXM, "OXM-OpenFlow14"),
        (Protocols::OF15_OXM, "OXM-OpenFlow15"),
    ];

    /// Names of sets.
    const ABBREVIATIONS: [(Protocols, &'static str); 4] = [
        (Protocols::ANY, "any"),
        (Protocols::OF10_STD_ANY, "OpenFlow10"),
        (Protocols::OF10_NXM_ANY, "NXM"),
        (Protocols::OXM_ANY, "OXM"),
    ];

    /// Protocols from the most wanted to the least for `ovs-ofctl`'s own choice: newer forms of OpenFlow 1.0 last.
    pub const PREFERENCE: [Protocols; 9] = [
        Protocols::OF15_OXM,
        Protocols::OF14_OXM,
        Protocols::OF13_OXM,
        Protocols::OF12_OXM,
        Protocols::OF11_STD,
        Protocols::OF10_NXM_TID,
        Protocols::OF10_NXM,
        Protocols::OF10_STD_TID,
        Protocols::OF10_STD,
    ];

    /// Whether the set is empty.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether all of `other` are in the set.
    pub fn contains(self, other: Protocols) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether any of `other` is in the set.
    pub fn intersects(self, other: Protocols) -> bool {
        self.0 & other.0 != 0
    }

    /// Adds the forms with or without table numbers where the set has the other.
    #[must_use]
    pub fn with_either_tid(self) -> Protocols {
        let low = self.0 & 0xf;
        Protocols(self.0 | ((low & 0x5) << 1) | ((low & 0xa) >> 1))
    }

    /// What is left without `other`.
    #[must_use]
    pub fn without(self, other: Protocols) -> Protocols {
        Protocols(self.0 & !other.0)
    }

    /// Each protocol of the set alone, from the lowest bit.
    pub fn iter(self) -> impl Iterator<Item = Protocols> {
        (0..9).map(|i| Protocols(1 << i)).filter(move |p| self.intersects(*p))
    }

    /// The protocols that speak `version`.
    pub fn of_version(version: Version) -> Protocols {
        match version {
            Version::V10 => Protocols::OF10_ANY,
            Version::V11 => Protocols::OF11_STD,
            Version::V12 => Protocols::OF12_OXM,
            Version::V13 => Protocols::OF13_OXM,
            Version::V14 => Protocols::OF14_OXM,
            Version::V15 => Protocols::OF15_OXM,
        }
    }

    /// The protocols that speak any of `versions`.
    pub fn of_versions(versions: VersionSet) -> Protocols {
        versions.iter().fold(Protocols::NONE, |set, v| set | Protocols::of_version(v))
    }

    /// The protocol that a connection of `version` starts with.
    pub fn initial(version: Version) -> Protocols {
        match version {
            Version::V10 => Protocols::OF10_STD,
            _ => Protocols::of_version(version),
        }
    }

    /// The version of the first protocol in the set.
    pub fn version(self) -> Option<Version> {
        Version::ALL.into_iter().find(|v| self.intersects(Protocols::of_version(*v)))
    }

    /// The versions of the protocols in the set.
    pub fn versions(self) -> VersionSet {
        Version::ALL
            .into_iter()
            .filter(|v| self.intersects(Protocols::of_version(*v)))
            .fold(VersionSet::default(), VersionSet::with)
    }

    /// Switches the table number extension on or off where the protocol has it.
    #[must_use]
    pub fn set_table_id(self, enable: bool) -> Protocols {
        match (self, enable) {
            (Protocols::OF10_STD | Protocols::OF10_STD_TID, true) => Protocols::OF10_STD_TID,
            (Protocols::OF10_STD | Protocols::OF10_STD_TID, false) => Protocols::OF10_STD,
            (Protocols::OF10_NXM | Protocols::OF10_NXM_TID, true) => Protocols::OF10_NXM_TID,
            (Protocols::OF10_NXM | Protocols::OF10_NXM_TID, false) => Protocols::OF10_NXM,
            (other, _) => other,
        }
    }

    /// The protocol without the table number extension.
    #[must_use]
    pub fn base(self) -> Protocols {
        self.set_table_id(false)
    }

    /// The set that a user's list names.
    ///
    /// # Errors
    /// The text of `ovs-ofctl` for an unknown or missing name.
    pub fn parse(text: &str) -> Result<Protocols, String> {
        let mut set = Protocols::NONE;
        for word in text.split([' ', ',', '\t', '\r', '\n']).filter(|w| !w.is_empty()) {
            let named = Protocols::NAMES.iter().chain(&Protocols::ABBREVIATIONS);
            let found = named.into_iter().find(|(_, name)| name.eq_ignore_ascii_case(word));
            set |= found.ok_or_else(|| format!("{word}: unknown flow protocol"))?.0;
        }
        if set.is_empty() {
            return Err(format!("{text}: no flow protocol specified"));
        }
        Ok(set)
    }
}

impl fmt::Display for Protocols {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("none");
        }
        let mut rest = *self;
        let mut first = true;
        for (set, name) in Protocols::ABBREVIATIONS.iter().chain(&Protocols::NAMES) {
            if rest.contains(*set) {
                f.write_str(if first { "" } else { "," })?;
                f.write_str(name)?;
                first = false;
                rest = rest.without(*set);
            }
        }
        Ok(())
    }
}

impl BitOr for Protocols {
    type Output = Protocols;
    fn bitor(self, other: Protocols) -> Protocols {
        Protocols(self.0 | other.0)
    }
}

impl BitOrAssign for Protocols {
    fn bitor_assign(&mut self, other: Protocols) {
        self.0 |= other.0;
    }
}

impl BitAnd for Protocols {
    type Output = Protocols;
    fn bitand(self, other: Protocols) -> Protocols {
        Protocols(self.0 & other.0)
    }
}

impl BitAndAssign for Protocols {
    fn bitand_assign(&mut self, other: Protocols) {
        self.0 &= other.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (set, text) in [
            (Protocols::ANY, "any"),
            (Protocols::OF10_STD_ANY | Protocols::OF13_OXM, "OpenFlow10,OXM-OpenFlow13"),
            (Protocols::NXM_OXM_ANY, "NXM,OXM"),
            (Protocols::OF10_NXM_TID | Protocols::OF11_STD, "NXM+table_id,OpenFlow11"),
        ] {
            assert_eq!(set.to_string(), text);
            assert_eq!(Protocols::parse(text), Ok(set));
        }
        assert_eq!(Protocols::parse("NXM,foo"), Err("foo: unknown flow protocol".into()));
    }
}
