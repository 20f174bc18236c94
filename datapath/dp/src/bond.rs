//! Bonds balanced by the datapath itself (`lb_output`): a member for each of 256 values of a packet's hash.

use std::collections::HashMap;

use flow::OdpPort;

/// Values of the hash told apart.
pub(crate) const BUCKETS: usize = 256;

struct Bond {
    members: Box<[OdpPort; BUCKETS]>,
    /// Octets sent by each bucket.
    bytes: Box<[u64; BUCKETS]>,
}

#[derive(Default)]
pub(crate) struct Bonds {
    by_id: HashMap<u32, Bond>,
}

impl Bonds {
    pub(crate) fn set(&mut self, id: u32, members: &[OdpPort; BUCKETS]) {
        match self.by_id.get_mut(&id) {
            Some(bond) => *bond.members = *members,
            None => {
                let bond = Bond { members: Box::new(*members), bytes: Box::new([0; BUCKETS]) };
                self.by_id.insert(id, bond);
            }
        }
    }

    pub(crate) fn remove(&mut self, id: u32) -> bool {
        self.by_id.remove(&id).is_some()
    }

    pub(crate) fn bytes(&self, id: u32) -> Option<[u64; BUCKETS]> {
        self.by_id.get(&id).map(|bond| *bond.bytes)
    }

    /// All bonds with their members, by number.
    pub(crate) fn all(&self) -> Vec<(u32, [OdpPort; BUCKETS])> {
        let mut all: Vec<_> = self.by_id.iter().map(|(id, bond)| (*id, *bond.members)).collect();
        all.sort_unstable_by_key(|(id, _)| *id);
        all
    }

    /// The member for a packet, which is counted.
    pub(crate) fn choose(&mut self, id: u32, dp_hash: u32, bytes: usize) -> Option<OdpPort> {
        let bond = self.by_id.get_mut(&id)?;
        let bucket = dp_hash as usize % BUCKETS;
        bond.bytes[bucket] += bytes as u64;
        Some(bond.members[bucket])
    }
}
