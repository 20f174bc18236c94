//! The kinds of columns that the Open_vSwitch schema has, each with its Rust type.

use ovsdb::{Atom, Datum, Uuid};

/// A kind of column: how its values are read and written.
pub trait Kind {
    /// What a reader gets.
    type Get<'a>;
    /// What a writer gives.
    type Set<'a>;
    /// Reads a value.
    fn get(datum: &Datum) -> Self::Get<'_>;
    /// Makes a value.
    fn set(value: Self::Set<'_>) -> Datum;
}

macro_rules! scalar_kind {
    ($one:ident, $optional:ident, $many:ident, $get:ty, $read:expr, $make:expr, $default:expr) => {
        #[doc = concat!("Exactly one `", stringify!($get), "`.")]
        #[derive(Debug)]
        pub struct $one;
        #[doc = concat!("At most one `", stringify!($get), "`.")]
        #[derive(Debug)]
        pub struct $optional;
        #[doc = concat!("Any number of `", stringify!($get), "`s, in order.")]
        #[derive(Debug)]
        pub struct $many;

        impl Kind for $one {
            type Get<'a> = $get;
            type Set<'a> = $get;
            fn get(datum: &Datum) -> $get {
                datum.single().and_then($read).unwrap_or($default)
            }
            fn set(value: Self::Set<'_>) -> Datum {
                Datum::one($make(value))
            }
        }
        impl Kind for $optional {
            type Get<'a> = Option<$get>;
            type Set<'a> = Option<$get>;
            fn get(datum: &Datum) -> Option<$get> {
                datum.single().and_then($read)
            }
            fn set(value: Self::Set<'_>) -> Datum {
                value.map_or(Datum::empty(), |value| Datum::one($make(value)))
            }
        }
        impl Kind for $many {
            type Get<'a> = Vec<$get>;
            type Set<'a> = Vec<$get>;
            fn get(datum: &Datum) -> Vec<$get> {
                datum.atoms().iter().filter_map($read).collect()
            }
            fn set(value: Self::Set<'_>) -> Datum {
                Datum::set(value.into_iter().map($make))
            }
        }
    };
}

scalar_kind!(Int, OptInt, Ints, i64, Atom::as_integer, Atom::Integer, 0);
scalar_kind!(Bool, OptBool, Bools, bool, Atom::as_bool, Atom::Boolean, false);
scalar_kind!(Ref, OptRef, Refs, Uuid, Atom::as_uuid, Atom::Uuid, Uuid::ZERO);

/// Exactly one string.
#[derive(Debug)]
pub struct Str;
/// At most one string.
#[derive(Debug)]
pub struct OptStr;
/// Any number of strings, in order.
#[derive(Debug)]
pub struct Strs;

impl Kind for Str {
    type Get<'a> = &'a str;
    type Set<'a> = &'a str;
    fn get(datum: &Datum) -> &str {
        datum.as_str().unwrap_or("")
    }
    fn set(value: &str) -> Datum {
        Datum::string(value)
    }
}

impl Kind for OptStr {
    type Get<'a> = Option<&'a str>;
    type Set<'a> = Option<&'a str>;
    fn get(datum: &Datum) -> Option<&str> {
        datum.as_str()
    }
    fn set(value: Option<&str>) -> Datum {
        value.map_or(Datum::empty(), Datum::string)
    }
}

impl Kind for Strs {
    type Get<'a> = Vec<&'a str>;
    type Set<'a> = Vec<&'a str>;
    fn get(datum: &Datum) -> Vec<&str> {
        datum.atoms().iter().filter_map(Atom::as_str).collect()
    }
    fn set(value: Vec<&str>) -> Datum {
        Datum::set(value.into_iter().map(Atom::string))
    }
}

/// A map from strings to strings as it lies in a row.
#[derive(Clone, Copy, Debug)]
pub struct Map<'a>(&'a Datum);

impl<'a> Map<'a> {
    /// The value of `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&'a str> {
        self.0.get_str(key)
    }

    /// The value of `key` as a truth value: `true` or `false` without regard to case, else `default`.
    #[must_use]
    pub fn get_bool(&self, key: &str, default: bool) -> bool {
        match self.get(key) {
            Some(text) if text.eq_ignore_ascii_case("true") => true,
            Some(text) if text.eq_ignore_ascii_case("false") => false,
            _ => default,
        }
    }

    /// The value of `key` as a decimal integer, else `default`.
    #[must_use]
    pub fn get_int(&self, key: &str, default: i64) -> i64 {
        self.get(key).and_then(|text| text.trim().parse().ok()).unwrap_or(default)
    }

    /// The pairs in order of keys.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.0.pairs().iter().filter_map(|(k, v)| Some((k.as_str()?, v.as_str()?)))
    }

    /// Whether there are no pairs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Strings by string.
#[derive(Debug)]
pub struct StringMap;

impl Kind for StringMap {
    type Get<'a> = Map<'a>;
    type Set<'a> = Vec<(&'a str, &'a str)>;
    fn get(datum: &Datum) -> Map<'_> {
        Map(datum)
    }
    fn set(value: Vec<(&str, &str)>) -> Datum {
        Datum::string_map(value)
    }
}

macro_rules! map_kind {
    ($name:ident, $key:ty, $value:ty, $read_key:expr, $read_value:expr, $make_key:expr, $make_value:expr, $doc:expr) => {
        #[doc = $doc]
        #[derive(Debug)]
        pub struct $name;
        impl Kind for $name {
            type Get<'a> = Vec<($key, $value)>;
            type Set<'a> = Vec<($key, $value)>;
            fn get(datum: &Datum) -> Self::Get<'_> {
                datum.pairs().iter().filter_map(|(k, v)| Some(($read_key(k)?, $read_value(v)?))).collect()
            }
            fn set(value: Self::Set<'_>) -> Datum {
                Datum::map(value.into_iter().map(|(k, v)| ($make_key(k), $make_value(v))))
            }
        }
    };
}

map_kind!(IntegerMap, &'a str, i64, Atom::as_str, Atom::as_integer, Atom::string, Atom::Integer, "Integers by string.");
map_kind!(
    NumberMap,
    i64,
    i64,
    Atom::as_integer,
    Atom::as_integer,
    Atom::Integer,
    Atom::Integer,
    "Integers by integer."
);
map_kind!(NumberedRefs, i64, Uuid, Atom::as_integer, Atom::as_uuid, Atom::Integer, Atom::Uuid, "Rows by integer.");
map_kind!(NamedRefs, &'a str, Uuid, Atom::as_str, Atom::as_uuid, Atom::string, Atom::Uuid, "Rows by string.");
