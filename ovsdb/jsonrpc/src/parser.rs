//! The parser of one whole JSON text (RFC 8259). It keeps what is open on a stack of its own, so that no text is too
//! deep for the thread's, and says only whether a text is at fault: [`crate::diagnosis`] says what is wrong and where.

use serde_json::{Map, Value};

use crate::number;

/// A bracket that is not closed yet, with what came behind it.
enum Open {
    Array(Vec<Value>),
    /// With the name of the member that comes next.
    Object(Map<String, Value>, String),
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

/// The object or array that is all of `text`, white space aside. Of members with one name the last counts. `None`: it
/// is at fault, or nested deeper than `max_depth`.
pub(crate) fn parse(text: &[u8], max_depth: usize) -> Option<Value> {
    let mut reader = Reader { text, at: 0 };
    let mut open: Vec<Open> = Vec::new();
    if !matches!(reader.peek(), Some(b'{' | b'[')) {
        return None;
    }
    loop {
        let mut value = match reader.begin()? {
            Begun::Value(value) => value,
            Begun::Bracket(_) if open.len() >= max_depth => return None,
            Begun::Bracket(Open::Array(items)) if reader.take(b']') => Value::Array(items),
            Begun::Bracket(Open::Object(members, _)) if reader.take(b'}') => Value::Object(members),
            Begun::Bracket(mut bracket) => {
                if let Open::Object(members, _) = &mut bracket {
                    // What most operations have.
                    *members = Map::with_capacity(4);
                }
                open.push(bracket);
                reader.name_if_wanted(open.last_mut()?)?;
                continue;
            }
        };
        // What is complete is put into what it stands in, which may be complete with it.
        loop {
            let closes = match open.last_mut() {
                None => return (reader.peek().is_none() && reader.at == text.len()).then_some(value),
                Some(Open::Array(items)) => {
                    items.push(value);
                    b']'
                }
                Some(Open::Object(members, name)) => {
                    members.insert(std::mem::take(name), value);
                    b'}'
                }
            };
            if reader.take(b',') {
                reader.name_if_wanted(open.last_mut()?)?;
                break;
            }
            if !reader.take(closes) {
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
    let mut reader = Reader { text: inner, at: 0 };
    let mut unescaped = Vec::with_capacity(inner.len());
    loop {
        let rest = reader.text.get(reader.at..)?;
        let plain = rest.iter().position(|b| *b == b'\\');
        unescaped.extend_from_slice(&rest[..plain.unwrap_or(rest.len())]);
        let Some(plain) = plain else { return Some(octets::to_text(&unescaped).into_owned()) };
        reader.at += plain + 1;
        reader.escape(&mut unescaped)?;
    }
}

/// What a value begins with, or is.
enum Begun {
    Value(Value),
    Bracket(Open),
}

impl<'a> Reader<'a> {
    /// The next byte that is not white space.
    fn peek(&mut self) -> Option<u8> {
        loop {
            match self.text.get(self.at) {
                Some(b' ' | b'\t' | b'\r' | b'\n') => self.at += 1,
                byte => return byte.copied(),
            }
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    fn begin(&mut self) -> Option<Begun> {
        let value = match self.peek()? {
            b'{' => {
                self.at += 1;
                return Some(Begun::Bracket(Open::Object(Map::new(), String::new())));
            }
            b'[' => {
                self.at += 1;
                return Some(Begun::Bracket(Open::Array(Vec::new())));
            }
            b'"' => Value::String(self.string()?),
            b'-' | b'0'..=b'9' => {
                let token = self.run(number::is_part);
                Value::Number(number::parse(token).ok()?)
            }
            _ => match self.run(|b| b.is_ascii_alphabetic()) {
                b"true" => Value::Bool(true),
                b"false" => Value::Bool(false),
                b"null" => Value::Null,
                _ => return None,
            },
        };
        Some(Begun::Value(value))
    }

    /// In an object, reads a member's name and the colon.
    fn name_if_wanted(&mut self, bracket: &mut Open) -> Option<()> {
        if let Open::Object(_, name) = bracket {
            *name = (self.peek() == Some(b'"')).then(|| self.string())??;
            return self.take(b':').then_some(());
        }
        Some(())
    }

    fn run(&mut self, part: impl Fn(u8) -> bool) -> &'a [u8] {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let run = &rest[..rest.iter().take_while(|b| part(**b)).count()];
        self.at += run.len();
        run
    }

    /// A string whose quotation mark is next.
    fn string(&mut self) -> Option<String> {
        self.at += 1;
        let mut unescaped: Vec<u8> = Vec::new();
        loop {
            let rest = self.text.get(self.at..)?;
            let plain = rest.iter().position(|&b| b == b'"' || b == b'\\' || b < 0x20)?;
            let (run, ends) = (&rest[..plain], rest[plain]);
            self.at += plain + 1;
            match ends {
                b'"' if unescaped.is_empty() => return Some(octets::to_text(run).into_owned()),
                b'"' => {
                    unescaped.extend_from_slice(run);
                    return Some(octets::to_text(&unescaped).into_owned());
                }
                b'\\' => {
                    unescaped.extend_from_slice(run);
                    self.escape(&mut unescaped)?;
                }
                _ => return None,
            }
        }
    }

    /// Appends what is meant by what stands behind a backslash.
    fn escape(&mut self, out: &mut Vec<u8>) -> Option<()> {
        let byte = *self.text.get(self.at)?;
        self.at += 1;
        let character = match byte {
            b'"' | b'\\' | b'/' => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => match self.unit()? {
                0 => return None,
                high @ 0xd800..=0xdbff => {
                    if !self.text.get(self.at..)?.starts_with(b"\\u") {
                        return None;
                    }
                    self.at += 2;
                    let low = self.unit().filter(|low| (0xdc00..=0xdfff).contains(low))?;
                    char::from_u32(0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00))?
                }
                // The second half of a pair alone is no character: it stands as if it were one.
                low @ 0xdc00..=0xdfff => {
                    let six = |shift: u32| 0x80 | (low >> shift & 0x3f) as u8;
                    out.extend_from_slice(&[0xed, six(6), six(0)]);
                    return Some(());
                }
                unit => char::from_u32(unit)?,
            },
            _ => return None,
        };
        out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        Some(())
    }

    /// Four hexadecimal digits.
    fn unit(&mut self) -> Option<u32> {
        let digits = self.text.get(self.at..self.at + 4)?;
        self.at += 4;
        digits.iter().try_fold(0, |unit, b| Some(unit * 16 + char::from(*b).to_digit(16)?))
    }
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
