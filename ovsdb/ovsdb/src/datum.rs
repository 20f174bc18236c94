//! Datums: the values of columns (RFC 7047 section 5.1 `<value>`), sets and maps of atoms, always
//! sorted, immutable and cheap to clone.

use std::sync::Arc;

use serde_json::Value;

use crate::atom::Atom;
use crate::error::{OvsdbError, Result};
use crate::symbols::SymbolTable;
use crate::types::Type;
use crate::uuid::Uuid;

/// A set of atoms or a map from atoms to atoms. Whether an empty datum is a set or a map is known
/// to its type only.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Datum(Repr);

/// None and one atom need no allocation: that is most columns of most rows.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Repr {
    Empty,
    One(Atom),
    Set(Arc<[Atom]>),
    Map(Arc<[(Atom, Atom)]>),
}

/// The elements of a set were not distinct, nor the keys of a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Duplicate;

impl Datum {
    /// No elements.
    #[must_use]
    pub const fn empty() -> Self {
        Datum(Repr::Empty)
    }

    /// One atom.
    #[must_use]
    pub fn one(atom: Atom) -> Self {
        Datum(Repr::One(atom))
    }

    /// A string.
    #[must_use]
    pub fn string(text: &str) -> Self {
        Datum::one(Atom::string(text))
    }

    /// An integer.
    #[must_use]
    pub fn integer(i: i64) -> Self {
        Datum::one(Atom::Integer(i))
    }

    /// A truth value.
    #[must_use]
    pub fn boolean(b: bool) -> Self {
        Datum::one(Atom::Boolean(b))
    }

    /// A UUID.
    #[must_use]
    pub fn uuid(uuid: Uuid) -> Self {
        Datum::one(Atom::Uuid(uuid))
    }

    /// A set; double elements are one.
    #[must_use]
    pub fn set(atoms: impl IntoIterator<Item = Atom>) -> Self {
        let mut atoms: Vec<Atom> = atoms.into_iter().collect();
        atoms.sort_unstable();
        atoms.dedup();
        Datum::from_sorted(atoms)
    }

    /// A map; of pairs with equal keys the last stays.
    #[must_use]
    pub fn map(pairs: impl IntoIterator<Item = (Atom, Atom)>) -> Self {
        let pairs: std::collections::BTreeMap<Atom, Atom> = pairs.into_iter().collect();
        Datum::from_sorted_pairs(pairs.into_iter().collect())
    }

    /// A map from strings to strings; of pairs with equal keys the last stays.
    #[must_use]
    pub fn string_map<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        Datum::map(pairs.into_iter().map(|(k, v)| (Atom::string(k), Atom::string(v))))
    }

    /// A set from elements that must be distinct.
    pub fn distinct_set(mut atoms: Vec<Atom>) -> Result<Self, Duplicate> {
        atoms.sort_unstable();
        if atoms.windows(2).any(|w| w[0] == w[1]) {
            return Err(Duplicate);
        }
        Ok(Datum::from_sorted(atoms))
    }

    /// A map from pairs whose keys must be distinct.
    pub fn distinct_map(mut pairs: Vec<(Atom, Atom)>) -> Result<Self, Duplicate> {
        pairs.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        if pairs.windows(2).any(|w| w[0].0 == w[1].0) {
            return Err(Duplicate);
        }
        Ok(Datum::from_sorted_pairs(pairs))
    }

    fn from_sorted(mut atoms: Vec<Atom>) -> Self {
        match atoms.len() {
            0 => Datum::empty(),
            1 => Datum(atoms.pop().map_or(Repr::Empty, Repr::One)),
            _ => Datum(Repr::Set(atoms.into())),
        }
    }

    fn from_sorted_pairs(pairs: Vec<(Atom, Atom)>) -> Self {
        if pairs.is_empty() { Datum::empty() } else { Datum(Repr::Map(pairs.into())) }
    }

    /// The value of a column that nobody set.
    #[must_use]
    pub fn default_of(ty: &Type) -> Self {
        if ty.n_min == 0 {
            return Datum::empty();
        }
        let key = Atom::default_of(ty.key.kind);
        match &ty.value {
            None => Datum::one(key),
            Some(value) => Datum::from_sorted_pairs(vec![(key, Atom::default_of(value.kind))]),
        }
    }

    /// Whether this is the value of a column that nobody set.
    #[must_use]
    pub fn is_default(&self, ty: &Type) -> bool {
        if ty.n_min == 0 {
            return self.is_empty();
        }
        match &self.0 {
            Repr::One(atom) => atom.is_default(),
            Repr::Map(pairs) => pairs.len() == 1 && pairs[0].0.is_default() && pairs[0].1.is_default(),
            _ => false,
        }
    }

    /// Number of elements or pairs.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.0 {
            Repr::Empty => 0,
            Repr::One(_) => 1,
            Repr::Set(atoms) => atoms.len(),
            Repr::Map(pairs) => pairs.len(),
        }
    }

    /// Whether there are no elements.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!(self.0, Repr::Empty)
    }

    /// The elements of a set in order; none for a map.
    #[must_use]
    pub fn atoms(&self) -> &[Atom] {
        match &self.0 {
            Repr::One(atom) => std::slice::from_ref(atom),
            Repr::Set(atoms) => atoms,
            _ => &[],
        }
    }

    /// The pairs of a map in order of keys; none for a set.
    #[must_use]
    pub fn pairs(&self) -> &[(Atom, Atom)] {
        match &self.0 {
            Repr::Map(pairs) => pairs,
            _ => &[],
        }
    }

    /// Elements of a set or keys of a map, in order.
    pub fn keys(&self) -> impl Iterator<Item = &Atom> {
        self.atoms().iter().chain(self.pairs().iter().map(|(key, _)| key))
    }

    /// Elements with their values; a set has none.
    pub fn entries(&self) -> impl Iterator<Item = (&Atom, Option<&Atom>)> {
        let set = self.atoms().iter().map(|atom| (atom, None));
        set.chain(self.pairs().iter().map(|(key, value)| (key, Some(value))))
    }

    /// The only element of a set with one element.
    #[must_use]
    pub fn single(&self) -> Option<&Atom> {
        match &self.0 {
            Repr::One(atom) => Some(atom),
            _ => None,
        }
    }

    /// The only element, if it is a string.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        self.single()?.as_str()
    }

    /// The only element, if it is an integer.
    #[must_use]
    pub fn as_integer(&self) -> Option<i64> {
        self.single()?.as_integer()
    }

    /// The only element, if it is a truth value.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        self.single()?.as_bool()
    }

    /// The only element, if it is a UUID.
    #[must_use]
    pub fn as_uuid(&self) -> Option<Uuid> {
        self.single()?.as_uuid()
    }

    /// Whether a set has this element or a map this key.
    #[must_use]
    pub fn contains_key(&self, key: &Atom) -> bool {
        match &self.0 {
            Repr::Empty => false,
            Repr::One(atom) => atom == key,
            Repr::Set(atoms) => atoms.binary_search(key).is_ok(),
            Repr::Map(_) => self.get(key).is_some(),
        }
    }

    /// The value of a key of a map.
    #[must_use]
    pub fn get(&self, key: &Atom) -> Option<&Atom> {
        let pairs = self.pairs();
        let at = pairs.binary_search_by(|(k, _)| k.cmp(key)).ok()?;
        Some(&pairs[at].1)
    }

    /// The value of a string key of a map from strings to strings.
    #[must_use]
    pub fn get_str(&self, key: &str) -> Option<&str> {
        let pairs = self.pairs();
        let at = pairs.binary_search_by(|(k, _)| k.as_str().unwrap_or_default().cmp(key)).ok()?;
        pairs[at].1.as_str()
    }

    /// Whether this has every element (every pair) of `other`.
    #[must_use]
    pub fn includes_all(&self, other: &Datum) -> bool {
        other.entries().all(|(key, value)| self.has_entry(key, value))
    }

    /// Whether this has no element (no pair) of `other`.
    #[must_use]
    pub fn excludes_all(&self, other: &Datum) -> bool {
        !other.entries().any(|(key, value)| self.has_entry(key, value))
    }

    fn has_entry(&self, key: &Atom, value: Option<&Atom>) -> bool {
        match value {
            None => self.contains_key(key),
            Some(value) => self.get(key) == Some(value),
        }
    }

    /// This and the elements of `other`; a key that both maps have keeps this map's value, or has
    /// the other's when `replace`.
    #[must_use]
    pub fn union(&self, other: &Datum, replace: bool) -> Datum {
        if other.is_empty() {
            return self.clone();
        }
        if self.is_empty() {
            return other.clone();
        }
        if self.pairs().is_empty() && other.pairs().is_empty() {
            return Datum::set(self.atoms().iter().chain(other.atoms()).cloned());
        }
        let (first, second) = if replace { (self, other) } else { (other, self) };
        Datum::map(first.pairs().iter().chain(second.pairs()).cloned())
    }

    /// This without the elements of `other`. Pairs of a map go by key alone when `other` is a set,
    /// and by key and value when it is a map.
    #[must_use]
    pub fn subtract(&self, other: &Datum) -> Datum {
        if self.excludes_keys(other) {
            return self.clone();
        }
        match &self.0 {
            Repr::Map(pairs) => Datum::from_sorted_pairs(
                pairs
                    .iter()
                    .filter(|(k, v)| match other.pairs() {
                        [] => !other.contains_key(k),
                        _ => other.get(k) != Some(v),
                    })
                    .cloned()
                    .collect(),
            ),
            _ => Datum::from_sorted(self.atoms().iter().filter(|a| !other.contains_key(a)).cloned().collect()),
        }
    }

    fn excludes_keys(&self, other: &Datum) -> bool {
        other.keys().all(|key| !self.contains_key(key))
    }

    /// Keeps the elements or pairs that `keep` wants.
    #[must_use]
    pub fn retain(&self, mut keep: impl FnMut(&Atom, Option<&Atom>) -> bool) -> Datum {
        match &self.0 {
            Repr::Map(pairs) => {
                Datum::from_sorted_pairs(pairs.iter().filter(|(k, v)| keep(k, Some(v))).cloned().collect())
            }
            _ => Datum::from_sorted(self.atoms().iter().filter(|a| keep(a, None)).cloned().collect()),
        }
    }

    /// What has to be told so that who has `self` gets `new`: the new value where a column holds at
    /// most one element, else the elements of only one of them, and of pairs with one key the new.
    #[must_use]
    pub fn diff(&self, new: &Datum, ty: &Type) -> Datum {
        if !ty.is_composite() {
            return new.clone();
        }
        if self.pairs().is_empty() && new.pairs().is_empty() {
            let only = |a: &Datum, b: &Datum| -> Vec<Atom> {
                a.atoms().iter().filter(|x| !b.contains_key(x)).cloned().collect()
            };
            let mut atoms = only(self, new);
            atoms.extend(only(new, self));
            return Datum::set(atoms);
        }
        let gone = self.pairs().iter().filter(|(k, _)| !new.contains_key(k));
        let come = new.pairs().iter().filter(|(k, v)| self.get(k) != Some(v));
        Datum::map(gone.chain(come).cloned())
    }

    /// Undoes [`Datum::diff`]: `self` is the old value.
    #[must_use]
    pub fn apply_diff(&self, diff: &Datum, ty: &Type) -> Datum {
        if !ty.is_composite() {
            return diff.clone();
        }
        if self.pairs().is_empty() && diff.pairs().is_empty() {
            let stay = self.atoms().iter().filter(|a| !diff.contains_key(a));
            let come = diff.atoms().iter().filter(|a| !self.contains_key(a));
            return Datum::set(stay.chain(come).cloned());
        }
        let stay = self.pairs().iter().filter(|(k, v)| diff.get(k) != Some(v));
        let come = diff.pairs().iter().filter(|(k, v)| self.get(k) != Some(v));
        // `come` is behind `stay`, so that its value wins where both have the key.
        Datum::map(stay.chain(come).cloned())
    }

    /// Checks the number of elements and every element.
    pub fn check(&self, ty: &Type) -> Result<()> {
        if self.len() < ty.n_min as usize || self.len() > ty.n_max as usize {
            return Err(OvsdbError::constraint(format!(
                "Attempted to store {} elements in {}.",
                self.len(),
                ty.to_english()
            )));
        }
        self.check_atoms(ty)
    }

    /// Checks every element.
    pub fn check_atoms(&self, ty: &Type) -> Result<()> {
        for (key, value) in self.entries() {
            ty.key.check(key)?;
            if let (Some(base), Some(value)) = (&ty.value, value) {
                base.check(value)?;
            }
        }
        Ok(())
    }

    /// Reads `<value>` and checks the constraints of `ty`.
    pub fn from_json(json: &Value, ty: &Type, symbols: Option<&mut SymbolTable<'_>>) -> Result<Self> {
        Datum::read_json(json, ty, symbols, true)
    }

    /// Reads `<value>` of a type whose constraints and counts are taken on trust: for logs and
    /// differences.
    pub fn from_trusted_json(json: &Value, ty: &Type) -> Result<Self> {
        Datum::read_json(json, ty, None, false)
    }

    fn read_json(json: &Value, ty: &Type, mut symbols: Option<&mut SymbolTable<'_>>, strict: bool) -> Result<Self> {
        let mut atom = |json: &Value, base: &crate::types::BaseType| -> Result<Atom> {
            let atom = Atom::from_json(json, base.kind, symbols.as_deref_mut())?;
            if strict {
                base.check(&atom)?;
            }
            Ok(atom)
        };
        let tagged = json.as_array().and_then(|items| match items.as_slice() {
            [Value::String(tag), Value::Array(inner)] => Some((tag.as_str(), inner)),
            _ => None,
        });
        if let Some(value) = &ty.value {
            let Some(("map", inner)) = tagged else {
                return Err(OvsdbError::syntax_in(json, "expected [\"map\", <array>]"));
            };
            check_count(json, "map", inner.len(), ty, strict)?;
            let mut pairs = Vec::with_capacity(inner.len());
            for pair in inner {
                let Some([k, v]) = pair.as_array().map(Vec::as_slice) else {
                    return Err(OvsdbError::syntax_in(pair, "expected 2-element array"));
                };
                pairs.push((atom(k, &ty.key)?, atom(v, value)?));
            }
            return Datum::distinct_map(pairs)
                .map_err(|Duplicate| OvsdbError::new("ovsdb error", "map contains duplicate key"));
        }
        let is_set = json.as_array().and_then(|a| a.first()).and_then(Value::as_str) == Some("set");
        if !is_set {
            return atom(json, &ty.key).map(Datum::one);
        }
        let Some((_, inner)) = tagged else {
            return Err(OvsdbError::syntax_in(json, "expected [\"set\", <array>]"));
        };
        check_count(json, "set", inner.len(), ty, strict)?;
        let atoms: Vec<Atom> = inner.iter().map(|item| atom(item, &ty.key)).collect::<Result<_>>()?;
        Datum::distinct_set(atoms).map_err(|Duplicate| OvsdbError::new("ovsdb error", "set contains duplicate"))
    }

    /// Appends `<value>`.
    pub fn write_json(&self, is_map: bool, out: &mut String) {
        match &self.0 {
            Repr::Empty if is_map => out.push_str("[\"map\",[]]"),
            Repr::Empty => out.push_str("[\"set\",[]]"),
            Repr::One(atom) => atom.write_json(out),
            Repr::Set(atoms) => {
                out.push_str("[\"set\",[");
                for (i, atom) in atoms.iter().enumerate() {
                    if i > 0 {
                        out.push(',');
                    }
                    atom.write_json(out);
                }
                out.push_str("]]");
            }
            Repr::Map(pairs) => {
                out.push_str("[\"map\",[");
                for (i, (key, value)) in pairs.iter().enumerate() {
                    out.push_str(if i > 0 { ",[" } else { "[" });
                    key.write_json(out);
                    out.push(',');
                    value.write_json(out);
                    out.push(']');
                }
                out.push_str("]]");
            }
        }
    }

    /// `<value>` as a JSON value; `is_map` decides for an empty datum.
    #[must_use]
    pub fn to_json(&self, is_map: bool) -> Value {
        match &self.0 {
            Repr::One(atom) => atom.to_json(),
            _ if is_map || !self.pairs().is_empty() => {
                let pairs = self.pairs().iter();
                let pairs: Vec<Value> = pairs.map(|(k, v)| Value::from(vec![k.to_json(), v.to_json()])).collect();
                Value::from(vec![Value::from("map"), Value::from(pairs)])
            }
            _ => {
                let atoms: Vec<Value> = self.atoms().iter().map(Atom::to_json).collect();
                Value::from(vec![Value::from("set"), Value::from(atoms)])
            }
        }
    }

    /// The form that command-line programs print: `[a, b]`, `{k=v}`, or a bare atom.
    #[must_use]
    pub fn to_cli_string(&self, ty: &Type) -> String {
        let mut out = String::new();
        let brackets = ty.n_max > 1 || self.is_empty();
        let (open, close) = if ty.is_map() { ('{', '}') } else { ('[', ']') };
        if brackets {
            out.push(open);
        }
        for (i, (key, value)) in self.entries().enumerate() {
            if i > 0 {
                out.push_str(", ");
            }
            key.write_cli(&mut out);
            if let Some(value) = value {
                out.push('=');
                value.write_cli(&mut out);
            }
        }
        if brackets {
            out.push(close);
        }
        out
    }

    /// The form without brackets and quotes: elements with a space between them.
    #[must_use]
    pub fn to_bare_string(&self) -> String {
        let mut out = String::new();
        for (i, (key, value)) in self.entries().enumerate() {
            if i > 0 {
                out.push(' ');
            }
            key.write_bare(&mut out);
            if let Some(value) = value {
                out.push('=');
                value.write_bare(&mut out);
            }
        }
        out
    }
}

impl Default for Datum {
    fn default() -> Self {
        Datum::empty()
    }
}

fn check_count(json: &Value, class: &str, n: usize, ty: &Type, strict: bool) -> Result<()> {
    if !strict || (n >= ty.n_min as usize && n <= ty.n_max as usize) {
        return Ok(());
    }
    let text = if ty.n_min == 1 && ty.n_max == 1 {
        format!("{class} must have exactly one member but {n} are present")
    } else {
        format!("{class} must have {} to {} members but {n} are present", ty.n_min, ty.n_max)
    };
    Err(OvsdbError::syntax_in(json, text))
}
