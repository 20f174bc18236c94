//! How many connections zones may have.
//!
//! A limit counts the connections that were made while it held: of its zone, or, if it is that of all zones without one
//! of their own, of all those together. Connections that were there before count nowhere, and those of a limit that was
//! taken away no longer.

use std::collections::BTreeMap;

/// A limit, and what was made under it.
#[derive(Clone, Copy, Debug)]
struct Limit {
    most: u32,
    count: u32,
    /// Tells it from an earlier one of the same zone.
    era: u32,
}

/// The limit that a connection was made under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Admission {
    zone: Option<u16>,
    era: u32,
}

/// The limits of a datapath.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    default: Option<Limit>,
    zones: BTreeMap<u16, Limit>,
    eras: u32,
}

impl Limits {
    /// Sets the limit of a zone, or of all that have none of their own; what it has counted stays.
    pub(crate) fn set(&mut self, zone: Option<u16>, most: u32) {
        self.eras = self.eras.wrapping_add(1);
        let new = Limit { most, count: 0, era: self.eras };
        match zone {
            Some(zone) => self.zones.entry(zone).or_insert(new).most = most,
            None => self.default.get_or_insert(new).most = most,
        }
    }

    /// Takes a zone's own limit away.
    pub(crate) fn remove(&mut self, zone: u16) {
        self.zones.remove(&zone);
    }

    /// The limit that all zones have that have none of their own, and those of the others: zone, limit.
    pub(crate) fn told(&self) -> (Option<u32>, Vec<(u16, u32)>) {
        (self.default.map(|limit| limit.most), self.zones.iter().map(|(zone, limit)| (*zone, limit.most)).collect())
    }

    /// The limit that holds in a zone, and what it has counted; `None`: there is none.
    pub(crate) fn of(&self, zone: u16) -> Option<(u32, u32)> {
        let limit = self.zones.get(&zone).or(self.default.as_ref())?;
        Some((limit.most, limit.count))
    }

    pub(super) fn has_room(&self, zone: u16) -> bool {
        self.of(zone).is_none_or(|(most, count)| count < most)
    }

    /// Counts a connection that is made in a zone.
    pub(super) fn admit(&mut self, zone: u16) -> Option<Admission> {
        let (zone, limit) = match self.zones.get_mut(&zone) {
            Some(limit) => (Some(zone), limit),
            None => (None, self.default.as_mut()?),
        };
        limit.count += 1;
        Some(Admission { zone, era: limit.era })
    }

    /// Counts a connection no longer.
    pub(super) fn leave(&mut self, Admission { zone, era }: Admission) {
        let limit = match zone {
            Some(zone) => self.zones.get_mut(&zone),
            None => self.default.as_mut(),
        };
        if let Some(limit) = limit.filter(|limit| limit.era == era) {
            limit.count = limit.count.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_counts_what_was_made_under_it() {
        let mut limits = Limits::default();
        assert_eq!((limits.has_room(1), limits.admit(1), limits.of(1)), (true, None, None));
        limits.set(None, 2);
        let shared = [limits.admit(1).expect("counted"), limits.admit(2).expect("counted")];
        assert_eq!(limits.of(3), Some((2, 2)), "all zones without one share it");
        assert!(!limits.has_room(1) && !limits.has_room(3));
        limits.set(Some(1), 0);
        assert_eq!((limits.of(1), limits.of(2)), (Some((0, 0)), Some((2, 2))));
        assert!(!limits.has_room(1), "none at all");
        limits.set(Some(1), 5);
        let own = limits.admit(1).expect("counted");
        assert_eq!(limits.of(1), Some((5, 1)));
        limits.leave(shared[0]);
        assert_eq!((limits.of(1), limits.of(2)), (Some((5, 1)), Some((2, 1))));
        limits.set(Some(1), 4);
        assert_eq!(limits.of(1), Some((4, 1)), "changed, it goes on counting");
        limits.remove(1);
        limits.set(Some(1), 4);
        limits.leave(own);
        assert_eq!(limits.of(1), Some((4, 0)), "made anew, it is another");
        limits.set(None, 0);
        assert_eq!((limits.has_room(9), limits.told()), (false, (Some(0), vec![(1, 4)])));
    }
}
