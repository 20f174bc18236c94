//! The parser of one whole JSON text (RFC 8259). It keeps what is open on a stack of its own, so that no text is too
//! deep for the thread's, and says only whether a text is at fault: [`crate::diagnosis`] says what is wrong and where.

use serde_json::{Map, Value};

use crate::pull::Pull;

/// A bracket that is not closed yet, with what came behind it.
enum Open {
    Array(Vec<Value>),
    /// With the name of the member that comes next.
    Object(Map<String, Value>, String),
}

/// The object or array that is all of `text`, white space aside. `None`: it is at fault, or nested deeper than
/// `max_depth`.
pub(crate) fn parse(text: &[u8], max_depth: usize) -> Option<Value> {
    let mut pull = Pull::new(text);
    if !matches!(pull.peek(), Some(b'{' | b'[')) {
        return None;
    }
    let value = read(&mut pull, max_depth)?;
    pull.is_at_end().then_some(value)
}

/// The value that is next. Of members with one name the last counts. `None`: it is at fault, not all there, or nested
/// deeper than `max_depth`.
pub(crate) fn read(pull: &mut Pull<'_>, max_depth: usize) -> Option<Value> {
    let mut open: Vec<Open> = Vec::new();
    loop {
        let mut value = match begin(pull)? {
            Begun::Value(value) => value,
            Begun::Bracket(_) if open.len() >= max_depth => return None,
            Begun::Bracket(Open::Array(items)) if pull.take(b']') => Value::Array(items),
            Begun::Bracket(Open::Object(members, _)) if pull.take(b'}') => Value::Object(members),
            Begun::Bracket(mut bracket) => {
                // What most have of them.
                match &mut bracket {
                    Open::Object(members, _) => *members = Map::with_capacity(4),
                    Open::Array(items) => *items = Vec::with_capacity(2),
                }
                if open.capacity() == 0 {
                    open = Vec::with_capacity(8);
                }
                name_if_wanted(pull, &mut bracket)?;
                open.push(bracket);
                continue;
            }
        };
        // What is complete is put into what it stands in, which may be complete with it.
        loop {
            let closes = match open.last_mut() {
                None => return Some(value),
                Some(Open::Array(items)) => {
                    items.push(value);
                    b']'
                }
                Some(Open::Object(members, name)) => {
                    members.insert(std::mem::take(name), value);
                    b'}'
                }
            };
            if pull.take(b',') {
                name_if_wanted(pull, open.last_mut()?)?;
                break;
            }
            if !pull.take(closes) {
                return None;
            }
            value = match open.pop()? {
                Open::Array(items) => Value::Array(items),
                Open::Object(members, _) => Value::Object(members),
            };
        }
    }
}

/// What stands for `inner`, the text between two quotation marks, where control characters may stand as they are.
/// `None`: an escape is at fault.
pub(crate) fn unescape(inner: &[u8]) -> Option<String> {
    let mut pull = Pull::new(inner);
    let mut unescaped = Vec::with_capacity(inner.len());
    while pull.plain(&mut unescaped) {
        pull.escape(&mut unescaped)?;
    }
    Some(octets::to_text(&unescaped).into_owned())
}

/// What a value begins with, or is.
enum Begun {
    Value(Value),
    Bracket(Open),
}

/// The value that is next, or the bracket that it begins with.
fn begin(pull: &mut Pull<'_>) -> Option<Begun> {
    let value = match pull.peek()? {
        b'{' => {
            pull.take(b'{');
            return Some(Begun::Bracket(Open::Object(Map::new(), String::new())));
        }
        b'[' => {
            pull.take(b'[');
            return Some(Begun::Bracket(Open::Array(Vec::new())));
        }
        b'"' => Value::String(pull.string()?.into_owned()),
        b'-' | b'0'..=b'9' => Value::Number(pull.number()?),
        _ => match pull.word()? {
            b"true" => Value::Bool(true),
            b"false" => Value::Bool(false),
            b"null" => Value::Null,
            _ => return None,
        },
    };
    Some(Begun::Value(value))
}

/// In an object, reads a member's name and the colon.
fn name_if_wanted(pull: &mut Pull<'_>, bracket: &mut Open) -> Option<()> {
    if let Open::Object(_, name) = bracket {
        *name = pull.string()?.into_owned();
        return pull.take(b':').then_some(());
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnosis::diagnose;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn values() {
        let cases = [
            (r#" {"a" : [ ] , "b":{},"a":[1,-2.5,"x"]} "#, json!({"a": [1, -2.5, "x"], "b": {}})),
            (r#"[true,false,null,"",[[]],{"":0}]"#, json!([true, false, null, "", [[]], {"": 0}])),
            (r#"["\"\\\/\b\f\n\r\t\u00e9\ud834\udd1e é"]"#, json!(["\"\\/\u{8}\u{c}\n\r\té𝄞 é"])),
        ];
        for (text, expect) in cases {
            assert_eq!(parse(text.as_bytes(), 10), Some(expect), "{text}");
        }
    }

    #[test]
    fn half_a_pair_alone_is_carried() {
        let read = parse(br#"["x\udc00\udfff"]"#, 10).unwrap();
        assert_eq!(&*octets::of_text(read[0].as_str().unwrap()), b"x\xed\xb0\x80\xed\xbf\xbf");
        assert_eq!(parse(br#"["\ud800"]"#, 10), None);
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |n: usize| "[".repeat(n) + &"]".repeat(n);
        assert!(parse(nested(1000).as_bytes(), 1000).is_some());
        assert_eq!(parse(nested(1001).as_bytes(), 1000), None);
    }

    proptest! {
        #[test]
        fn a_fault_has_its_diagnosis(text in r#"[\[\]{}:,0-9.eE+" \\ubtrfalsn\-]{0,24}"#, cut in 0usize..3) {
            let samples = [text.clone(), format!("[{text}]"), format!(r#"{{"a":"{text}"}}"#)];
            for sample in samples {
                let bytes = &sample.as_bytes()[..sample.len() - cut.min(sample.len())];
                prop_assert_eq!(parse(bytes, 8).is_none(), diagnose(bytes, true, 8).is_some(), "{}", sample);
            }
        }

        #[test]
        fn octets_that_are_not_text_are_kept(bytes in proptest::collection::vec(any::<u8>(), 0..12)) {
            let quoted = [b"[\"".as_slice(), &bytes, b"\"]"].concat();
            let read = parse(&quoted, 8);
            prop_assert_eq!(read.is_none(), diagnose(&quoted, true, 8).is_some());
            if let Some(value) = read && !bytes.contains(&b'\\') {
                prop_assert_eq!(&*octets::of_text(value[0].as_str().unwrap_or_default()), &bytes[..]);
            }
        }
    }
}
