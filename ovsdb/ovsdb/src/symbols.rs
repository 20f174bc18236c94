//! Names for rows that a transaction inserts (`uuid-name`, `named-uuid`; RFC 7047 section 5.1), and
//! the `@name`s of command lines. A name may be used before the row exists.

use std::collections::BTreeMap;

use crate::uuid::{Uuid, UuidSource};

/// What is known of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Symbol {
    /// The UUID that the name stands for.
    pub uuid: Uuid,
    /// A row with this name was inserted.
    pub created: bool,
    /// A strong reference leads to it (command-line programs warn when none does).
    pub strong_ref: bool,
    /// A weak reference leads to it.
    pub weak_ref: bool,
}

/// Names of one transaction.
#[derive(Debug)]
pub struct SymbolTable<'a> {
    source: &'a mut UuidSource,
    symbols: BTreeMap<String, Symbol>,
}

impl<'a> SymbolTable<'a> {
    /// No names yet; `source` gives the UUIDs.
    #[must_use]
    pub fn new(source: &'a mut UuidSource) -> Self {
        SymbolTable { source, symbols: BTreeMap::new() }
    }

    /// The entry of `name`, made now if it is new.
    pub fn entry(&mut self, name: &str) -> &mut Symbol {
        if !self.symbols.contains_key(name) {
            let symbol = Symbol { uuid: self.source.next_uuid(), created: false, strong_ref: false, weak_ref: false };
            self.symbols.insert(name.to_owned(), symbol);
        }
        self.symbols.entry(name.to_owned()).or_insert_with(|| Symbol {
            uuid: Uuid::ZERO,
            created: false,
            strong_ref: false,
            weak_ref: false,
        })
    }

    /// The UUID of `name`, which may not have been inserted yet.
    pub fn reference(&mut self, name: &str) -> Uuid {
        match self.symbols.get(name) {
            Some(symbol) => symbol.uuid,
            None => self.entry(name).uuid,
        }
    }

    /// Looks at `name` without making it.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Symbol> {
        self.symbols.get(name)
    }

    /// All names, sorted.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Symbol)> {
        self.symbols.iter().map(|(name, symbol)| (name.as_str(), symbol))
    }

    /// A new UUID that has no name.
    pub fn fresh_uuid(&mut self) -> Uuid {
        self.source.next_uuid()
    }
}
