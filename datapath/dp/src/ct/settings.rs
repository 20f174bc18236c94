//! What commands set of connection tracking, apart from its state: a datapath that is started anew is given it again.

use std::collections::BTreeMap;

use super::Tracker;

/// Settings that are not flows' or the database's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    max: usize,
    default_limit: Option<u32>,
    limits: BTreeMap<u16, u32>,
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
            default_limit: self.default_limit,
            limits: self.limits.clone(),
            checks_sequence: self.checks_sequence,
            families: self.fragments.families.map(|family| (family.enabled, family.min_size)),
            max_fragments: self.fragments.max,
        }
    }

    /// Sets them all.
    pub(crate) fn apply(&mut self, settings: &Settings) {
        self.max = settings.max;
        self.default_limit = settings.default_limit;
        self.limits.clone_from(&settings.limits);
        self.checks_sequence = settings.checks_sequence;
        for (family, (enabled, min_size)) in self.fragments.families.iter_mut().zip(settings.families) {
            (family.enabled, family.min_size) = (enabled, min_size);
        }
        self.fragments.max = settings.max_fragments;
    }
}
