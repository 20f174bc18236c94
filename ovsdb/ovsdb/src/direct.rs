//! Values read from a JSON text itself, as a server that is trusted writes them (RFC 7047 section 5.1): as
//! [`Datum::from_trusted_json`], without the tree of values between. `None` where that would have something to say.

use crate::atom::Atom;
use crate::datum::Datum;
use crate::types::{AtomicType, Type};
use crate::uuid::Uuid;
use jsonrpc::Pull;

impl Atom {
    /// Reads `<atom>` of type `kind`.
    fn pull(text: &mut Pull<'_>, kind: AtomicType) -> Option<Atom> {
        match kind {
            AtomicType::Integer => text.number()?.as_i64().map(Atom::Integer),
            AtomicType::Real => text.number()?.as_f64().map(Atom::Real),
            AtomicType::Boolean => text.truth().map(Atom::Boolean),
            AtomicType::String => Atom::checked_string(&text.string()?).ok(),
            AtomicType::Uuid => {
                (text.take(b'[') && text.string()? == "uuid").then_some(())?;
                pull_uuid(text).map(Atom::Uuid)
            }
        }
    }
}

/// Reads what follows the word `uuid`.
fn pull_uuid(text: &mut Pull<'_>) -> Option<Uuid> {
    text.take(b',').then_some(())?;
    let uuid = Uuid::parse(&text.string()?)?;
    text.take(b']').then_some(uuid)
}

impl Datum {
    /// Reads `<value>` of a column of type `ty`. How many elements there may be is not looked at.
    pub fn pull(text: &mut Pull<'_>, ty: &Type) -> Option<Datum> {
        if text.peek() != Some(b'[') {
            return if ty.value.is_some() { None } else { Atom::pull(text, ty.key.kind).map(Datum::one) };
        }
        text.take(b'[');
        let tag = text.string()?;
        let value = match (&*tag, &ty.value) {
            ("uuid", None) if ty.key.kind == AtomicType::Uuid => return pull_uuid(text).map(Datum::uuid),
            ("set", None) => {
                text.take(b',').then_some(())?;
                let mut atoms = Vec::new();
                text.items(|text| Atom::pull(text, ty.key.kind).map(|atom| atoms.push(atom)))?;
                Datum::distinct_set(atoms).ok()?
            }
            ("map", Some(value)) => {
                text.take(b',').then_some(())?;
                let mut pairs = Vec::new();
                text.items(|text| {
                    text.take(b'[').then_some(())?;
                    let key = Atom::pull(text, ty.key.kind)?;
                    text.take(b',').then_some(())?;
                    pairs.push((key, Atom::pull(text, value.kind)?));
                    text.take(b']').then_some(())
                })?;
                Datum::distinct_map(pairs).ok()?
            }
            _ => return None,
        };
        text.take(b']').then_some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::BaseType;
    use proptest::prelude::*;

    fn types() -> Vec<Type> {
        let kinds = [AtomicType::Integer, AtomicType::Real, AtomicType::Boolean, AtomicType::String, AtomicType::Uuid];
        let mut types: Vec<Type> = kinds.into_iter().map(Type::scalar).collect();
        types.extend(kinds.map(|kind| Type { value: Some(BaseType::plain(kind)), ..Type::scalar(kind) }));
        types
    }

    /// Whatever is read is what the other way reads; what that refuses is not read.
    fn compare(text: &str) {
        let json = serde_json::from_str(text).unwrap();
        for ty in types() {
            let mut pull = Pull::new(text.as_bytes());
            let direct = Datum::pull(&mut pull, &ty).filter(|_| pull.is_at_end());
            assert_eq!(direct, Datum::from_trusted_json(&json, &ty).ok(), "{text} {ty:?}");
        }
    }

    #[test]
    fn both_ways_read_the_same() {
        let uuid = r#"["uuid","aaaaaaaa-0000-0000-0000-000000000001"]"#;
        for text in [
            "1",
            "-7",
            "1.5",
            "1e300",
            "true",
            "false",
            "\"\"",
            r#""a\"\n\u00e9""#,
            "null",
            "[]",
            "{}",
            uuid,
            r#"["uuid"]"#,
            r#"["uuid","x"]"#,
            r#"["named-uuid","x"]"#,
            r#"["set",[]]"#,
            r#"["set",[2,1]]"#,
            r#"["set",[1,1]]"#,
            r#"["set",["b","a"]]"#,
            r#"["set",1]"#,
            r#"["set"]"#,
            r#"["set",[],[]]"#,
            r#"["map",[]]"#,
            r#"["map",[[1,2]]]"#,
            r#"["map",[["k","v"],["j","w"]]]"#,
            r#"["map",[["k","v"],["k","w"]]]"#,
            r#"["map",[["k"]]]"#,
            r#"["map",[["k","v","w"]]]"#,
            r#"["bag",[]]"#,
            r#"["set",[true,false]]"#,
        ] {
            compare(text);
            compare(&format!(r#"["set",[{text}]]"#));
            compare(&format!(r#"["map",[[{text},{text}]]]"#));
        }
    }

    proptest! {
        #[test]
        fn any_set_of_strings(items in proptest::collection::vec("\\PC{0,6}", 0..4)) {
            compare(&serde_json::to_string(&serde_json::json!(["set", items])).unwrap());
        }
    }
}
