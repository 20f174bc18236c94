//! Kinds of actions as sets: what features replies say a switch can do, with the bits of every version.
//!
//! Source: OpenFlow 1.0 `ofp_action_type`, 1.1 and 1.2 the same; table and group features.

use crate::Version;

/// One kind of action.
struct ActionKind {
    name: &'static str,
    /// Numbers in 1.0, in 1.1, and in 1.2 and later.
    numbers: [Option<u8>; 3],
}

const fn kind(name: &'static str, v10: i8, v11: i8, v12: i8) -> ActionKind {
    const fn number(n: i8) -> Option<u8> {
        if n < 0 { None } else { Some(n as u8) }
    }
    ActionKind { name, numbers: [number(v10), number(v11), number(v12)] }
}

/// Kinds in the order in which they are printed.
static KINDS: [ActionKind; 25] = [
    kind("output", 0, 0, 0),
    kind("group", -1, 22, 22),
    kind("enqueue", 11, -1, -1),
    kind("set_field", -1, -1, 25),
    kind("set_vlan_vid", 1, 1, -1),
    kind("set_vlan_pcp", 2, 2, -1),
    kind("strip_vlan", 3, 18, 18),
    kind("push_vlan", -1, 17, 17),
    kind("mod_dl_src", 4, 3, -1),
    kind("mod_dl_dst", 5, 4, -1),
    kind("mod_nw_src", 6, 5, -1),
    kind("mod_nw_dst", 7, 6, -1),
    kind("mod_nw_tos", 8, 7, -1),
    kind("mod_nw_ecn", -1, 8, -1),
    kind("mod_nw_ttl", -1, 23, 23),
    kind("mod_tp_src", 9, 9, -1),
    kind("mod_tp_dst", 10, 10, -1),
    kind("dec_ttl", -1, 24, 24),
    kind("set_mpls_label", -1, 13, -1),
    kind("set_mpls_tc", -1, 14, -1),
    kind("set_mpls_ttl", -1, 15, 15),
    kind("dec_mpls_ttl", -1, 16, 16),
    kind("push_mpls", -1, 19, 19),
    kind("pop_mpls", -1, 20, 20),
    kind("set_queue", -1, 21, 21),
];

/// A set of kinds of actions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct ActionKinds(u32);

fn column(version: Version) -> usize {
    match version {
        Version::V10 => 0,
        Version::V11 => 1,
        _ => 2,
    }
}

impl ActionKinds {
    /// Every kind there is, in any version: what Open vSwitch can do.
    pub const ALL: ActionKinds = ActionKinds((1 << KINDS.len()) - 1);

    /// The set that a version's bits say.
    pub fn from_bits(bits: u32, version: Version) -> ActionKinds {
        let numbers = (0..32u8).filter(|n| bits & (1 << n) != 0);
        ActionKinds::from_numbers(numbers.map(u16::from), version)
    }

    /// The set of a version's action types.
    pub fn from_numbers(numbers: impl Iterator<Item = u16>, version: Version) -> ActionKinds {
        let mut set = 0;
        for number in numbers {
            let is = |k: &ActionKind| k.numbers[column(version)].map(u16::from) == Some(number);
            if let Some(i) = KINDS.iter().position(is) {
                set |= 1 << i;
            }
        }
        ActionKinds(set)
    }

    /// A version's action types for the set, those it has, in ascending order.
    pub fn numbers(self, version: Version) -> Vec<u16> {
        let kinds = KINDS.iter().enumerate().filter(|(i, _)| self.0 & (1 << i) != 0);
        let mut numbers: Vec<u16> = kinds.filter_map(|(_, k)| k.numbers[column(version)]).map(u16::from).collect();
        numbers.sort_unstable();
        numbers
    }

    /// A version's bits for the set.
    pub fn bits(self, version: Version) -> u32 {
        self.numbers(version).iter().fold(0, |bits, n| bits | 1 << n)
    }

    /// Names, in order.
    pub fn names(self) -> Vec<&'static str> {
        KINDS.iter().enumerate().filter(|(i, _)| self.0 & (1 << i) != 0).map(|(_, k)| k.name).collect()
    }

    /// Whether it is empty.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}
