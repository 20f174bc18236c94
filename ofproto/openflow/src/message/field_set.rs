//! Sets of fields, and lists of fields with values, as table features and group properties hold them.

use flow::field::{ALL, Field, Value};

const WORDS: usize = Field::COUNT.div_ceil(64);

/// A set of fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FieldSet([u64; WORDS]);

impl Default for FieldSet {
    fn default() -> Self {
        FieldSet::EMPTY
    }
}

impl FieldSet {
    /// No field.
    pub const EMPTY: FieldSet = FieldSet([0; WORDS]);

    /// Adds a field.
    pub fn insert(&mut self, field: Field) {
        let i = field.index();
        self.0[i / 64] |= 1 << (i % 64);
    }

    /// Takes a field away.
    pub fn remove(&mut self, field: Field) {
        let i = field.index();
        self.0[i / 64] &= !(1 << (i % 64));
    }

    /// Whether it has a field.
    pub fn contains(&self, field: Field) -> bool {
        let i = field.index();
        self.0[i / 64] & (1 << (i % 64)) != 0
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|w| *w == 0)
    }

    /// Its fields in the registry's order.
    pub fn iter(&self) -> impl Iterator<Item = Field> + '_ {
        ALL.iter().copied().filter(|f| self.contains(*f))
    }
}

impl FromIterator<Field> for FieldSet {
    fn from_iter<T: IntoIterator<Item = Field>>(fields: T) -> Self {
        let mut set = FieldSet::EMPTY;
        for field in fields {
            set.insert(field);
        }
        set
    }
}

/// Fields with a value (a mask, for group hashing) each, in the registry's order.
pub type FieldArray = Vec<(Field, Value)>;
