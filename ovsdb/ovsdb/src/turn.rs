//! The turn in which Open vSwitch 3.1 comes by names: the members of a JSON object, the columns of a table. They lie in a
//! hash table there ([`hashing::listed`]), and of several faults it tells the first that it comes by.

use std::sync::OnceLock;

use serde_json::{Map, Value};
use smallvec::SmallVec;

use crate::error::{OvsdbError, Result};

/// In which turn it comes by `names`, which were put into the table as they stand here: their indexes.
#[must_use]
pub fn turn_of(names: &[&str]) -> Vec<usize> {
    let hashes: SmallVec<[u32; 16]> = names.iter().map(|name| hashing::bytes(name.as_bytes(), 0)).collect();
    hashing::listed(&hashes)
}

/// The members of an object in their turn.
#[must_use]
pub fn members_in_turn(object: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let members: Vec<(&String, &Value)> = object.iter().collect();
    let names: Vec<&str> = members.iter().map(|(name, _)| name.as_str()).collect();
    turn_of(&names).into_iter().map(|at| members[at]).collect()
}

/// The hash of a JSON value by which Open vSwitch's tables have what clients name: numbers by their low 32 bits. Of
/// objects and of numbers that are no integers it is another than there.
#[must_use]
pub(crate) fn value_hash(value: &Value, basis: u32) -> u32 {
    match value {
        Value::Null => hashing::two_words(0, basis),
        Value::Bool(value) => hashing::two_words(if *value { 0x200 } else { 0x100 }, basis),
        Value::String(text) => hashing::bytes(&octets::of_text(text), basis),
        Value::Array(list) => {
            list.iter().fold(hashing::two_words(list.len() as u32, basis), |basis, value| value_hash(value, basis))
        }
        Value::Number(number) => match number.as_i64() {
            Some(number) => hashing::two_words(number as u32, basis),
            None => hashing::bytes(number.to_string().as_bytes(), basis),
        },
        Value::Object(_) => hashing::bytes(value.to_string().as_bytes(), basis),
    }
}

/// An object whose members, put into it as they stand in `members`, are written in their turn.
pub(crate) fn object_in_turn(members: Map<String, Value>) -> Value {
    let turn = turn_of(&members.keys().map(String::as_str).collect::<Vec<_>>());
    let mut members: Vec<Option<(String, Value)>> = members.into_iter().map(Some).collect();
    Value::Object(turn.into_iter().filter_map(|at| members[at].take()).collect())
}

/// A member of a JSON object.
pub(crate) type Member<'a> = (&'a String, &'a Value);

/// Of several faults that the members of an object may have, the one to tell: `read` meets them in their turn. `error` is
/// one of them.
pub(crate) fn first_fault<'a, T>(
    error: OvsdbError,
    members: impl Iterator<Item = Member<'a>>,
    read: impl FnOnce(std::vec::IntoIter<Member<'a>>) -> Result<T>,
) -> OvsdbError {
    let members: Vec<Member<'a>> = members.collect();
    let names: Vec<&str> = members.iter().map(|(name, _)| name.as_str()).collect();
    let in_turn: Vec<Member<'a>> = turn_of(&names).into_iter().map(|at| members[at]).collect();
    read(in_turn.into_iter()).err().unwrap_or(error)
}

/// The turn of a table's columns, found when it is first asked for: most programs never do. It is of no account where
/// tables are compared.
#[derive(Debug, Clone, Default)]
pub(crate) struct Turn {
    /// The columns' indexes as they were given.
    pub given: Vec<usize>,
    found: OnceLock<Vec<usize>>,
}

impl Turn {
    pub fn new(given: Vec<usize>) -> Turn {
        Turn { given, found: OnceLock::new() }
    }

    pub fn get_or_find(&self, find: impl FnOnce(&[usize]) -> Vec<usize>) -> &[usize] {
        self.found.get_or_init(|| find(&self.given))
    }
}

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
