//! The turn in which Open vSwitch 3.1 comes by names: the members of a JSON object, the columns of a table. They lie in a
//! hash table there, and of several faults it tells the first that it comes by.
//!
//! The hash is MurmurHash3 for 32 bits (Austin Appleby, public domain), but that the octets left over at the end, filled up
//! with zeros, are taken for a whole word. The table has a power of two of chains, at whose heads names are put; where
//! there are twice as many names as chains it grows, and all are put into their chains anew.

fn mixed(hash: u32, word: u32) -> u32 {
    let word = word.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593);
    (hash ^ word).rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64)
}

fn hash(name: &str) -> u32 {
    let mut hash = 0;
    for octets in name.as_bytes().chunks(4) {
        let mut word = [0; 4];
        word[..octets.len()].copy_from_slice(octets);
        hash = mixed(hash, u32::from_le_bytes(word));
    }
    hash ^= u32::try_from(name.len()).unwrap_or(u32::MAX);
    hash = (hash ^ (hash >> 16)).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ (hash >> 13)).wrapping_mul(0xc2b2_ae35);
    hash ^ (hash >> 16)
}

/// In which turn it comes by `names`, which were put into the table as they stand here: their indexes.
#[must_use]
pub fn turn_of(names: &[&str]) -> Vec<usize> {
    let hashes: Vec<usize> = names.iter().map(|name| hash(name) as usize).collect();
    let mut chains: Vec<Vec<usize>> = vec![Vec::new()];
    for (at, hash) in hashes.iter().enumerate() {
        let chain = hash & (chains.len() - 1);
        chains[chain].insert(0, at);
        let half = at.div_ceil(2);
        if half < chains.len() {
            continue;
        }
        // Never two chains: four come behind one.
        let n = (half + 1).next_power_of_two().max(4);
        let known: Vec<usize> = chains.into_iter().flatten().collect();
        chains = vec![Vec::new(); n];
        for at in known {
            chains[hashes[at] & (n - 1)].insert(0, at);
        }
    }
    chains.into_iter().flatten().collect()
}

/// As [`turn_of`], for a table that is of no account where others are compared.
#[derive(Debug, Clone, Default)]
pub(crate) struct Turn(pub Vec<usize>);

impl PartialEq for Turn {
    fn eq(&self, _: &Turn) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_in_the_turn_that_open_vswitch_has() {
        // Seen by which of several columns at fault is named, one after the other.
        for (put, come) in [
            ("", ""),
            ("a b", "a b"),
            ("name number", "name number"),
            ("_uuid _version name number", "number name _version _uuid"),
            ("other_config interfaces statistics name type", "name statistics interfaces other_config type"),
            (
                "fake_bridge qos interfaces c a x name external_ids d1",
                "name fake_bridge a x external_ids qos interfaces c d1",
            ),
            (
                "trunks qos statistics interfaces fake_bridge options mac status c d1 lacp bond_mode external_ids x",
                "statistics x fake_bridge mac external_ids trunks options status bond_mode qos interfaces lacp c d1",
            ),
        ] {
            let names: Vec<&str> = put.split_whitespace().collect();
            let turn: Vec<&str> = turn_of(&names).into_iter().map(|at| names[at]).collect();
            assert_eq!(turn.join(" "), come);
        }
    }
}
