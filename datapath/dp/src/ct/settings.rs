//! What commands set of connection tracking, apart from its state: a datapath that is started anew is given it again.

use super::Tracker;
use super::limits::Limits;

/// Settings that are not flows' or the database's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    max: usize,
    /// Of all zones that have none of their own, and of others.
    limits: (Option<u32>, Vec<(u16, u32)>),
    checks_sequence: bool,
    /// Of IPv4 and IPv6: whether fragments are put together, and their least size.
    families: [(bool, u32); 2],
    max_fragments: u32,
}

impl Tracker {
    /// As they are.
    pub(crate) fn settings(&self) -> Settings {
        Settings {
            max: self.max,
            limits: self.limits.told(),
            checks_sequence: self.checks_sequence,
            families: self.fragments.families.map(|family| (family.enabled, family.min_size)),
            max_fragments: self.fragments.max,
        }
    }

    /// Sets them all.
    pub(crate) fn apply(&mut self, settings: &Settings) {
        self.max = settings.max;
        self.limits = Limits::default();
        let (default, zones) = &settings.limits;
        if let Some(most) = default {
            self.limits.set(None, *most);
        }
        zones.iter().for_each(|(zone, most)| self.limits.set(Some(*zone), *most));
        self.checks_sequence = settings.checks_sequence;
        for (family, (enabled, min_size)) in self.fragments.families.iter_mut().zip(settings.families) {
            (family.enabled, family.min_size) = (enabled, min_size);
        }
        self.fragments.max = settings.max_fragments;
    }
}
