//! Says what is wrong with a JSON text and where, in Open vSwitch's words: programs show these to
//! people, who search for them. It runs over a text only after that was found to be at fault, or
//! over the beginning of one whose end has not come.
//!
//! A fault is where the byte stands that made it certain: for a number or a keyword that is the
//! byte behind it.

use crate::number;

/// What the grammar allows next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    Start,
    NameOrEnd,
    Name,
    Colon,
    Member,
    MemberEnd,
    ItemOrEnd,
    Item,
    ItemEnd,
    Nothing,
}

enum Token {
    Open(bool),
    Close(bool),
    Colon,
    Comma,
    String,
    Scalar,
}

#[derive(Debug)]
struct Grammar {
    expect: Expect,
    /// Open brackets, true for `{`.
    open: Vec<bool>,
    max_depth: usize,
}

impl Grammar {
    fn after_value(&self) -> Expect {
        match self.open.last() {
            None => Expect::Nothing,
            Some(true) => Expect::MemberEnd,
            Some(false) => Expect::ItemEnd,
        }
    }

    fn value(&mut self, token: &Token) -> Result<(), String> {
        match token {
            Token::Open(object) => {
                if self.open.len() >= self.max_depth {
                    return Err(format!("input exceeds maximum nesting depth {}", self.max_depth));
                }
                self.open.push(*object);
                self.expect = if *object { Expect::NameOrEnd } else { Expect::ItemOrEnd };
            }
            Token::String | Token::Scalar => self.expect = self.after_value(),
            _ => return Err("syntax error expecting value".into()),
        }
        Ok(())
    }

    fn close(&mut self) {
        self.open.pop();
        self.expect = self.after_value();
    }

    fn token(&mut self, token: &Token) -> Result<(), String> {
        match (self.expect, token) {
            (Expect::Start, Token::Open(_)) => self.value(token),
            (Expect::Start, _) => Err("syntax error at beginning of input".into()),
            (Expect::NameOrEnd, Token::Close(true)) | (Expect::MemberEnd, Token::Close(true)) => {
                self.close();
                Ok(())
            }
            (Expect::ItemOrEnd | Expect::ItemEnd, Token::Close(false)) => {
                self.close();
                Ok(())
            }
            (Expect::NameOrEnd | Expect::Name, Token::String) => {
                self.expect = Expect::Colon;
                Ok(())
            }
            (Expect::NameOrEnd | Expect::Name, _) => Err("syntax error parsing object expecting string".into()),
            (Expect::Colon, Token::Colon) => {
                self.expect = Expect::Member;
                Ok(())
            }
            (Expect::Colon, _) => Err("syntax error parsing object expecting ':'".into()),
            (Expect::MemberEnd, Token::Comma) => {
                self.expect = Expect::Name;
                Ok(())
            }
            (Expect::MemberEnd, _) => Err("syntax error expecting '}' or ','".into()),
            (Expect::ItemEnd, Token::Comma) => {
                self.expect = Expect::Item;
                Ok(())
            }
            (Expect::ItemEnd, _) => Err("syntax error expecting ']' or ','".into()),
            (Expect::Member | Expect::Item | Expect::ItemOrEnd, _) => self.value(token),
            (Expect::Nothing, _) => Err("trailing garbage at end of input".into()),
        }
    }
}

/// The fault of `text` as (reason, offset in bytes). `whole`: nothing comes behind it. `None`: no
/// fault, as far as it goes.
pub(crate) fn diagnose(text: &[u8], whole: bool, max_depth: usize) -> Option<(String, usize)> {
    Course::new(max_depth).go_on(text, whole)
}

/// A text that grows, as far as it was found to be without fault.
#[derive(Debug)]
pub(crate) struct Course {
    grammar: Grammar,
    /// Where the last token ended.
    at: usize,
    /// How far the text went when the token there was not complete.
    tried: usize,
}

/// A token that is longer is not begun anew at each piece of it, only when it has doubled.
const PATIENCE: usize = 4096;

impl Course {
    pub(crate) fn new(max_depth: usize) -> Self {
        Course { grammar: Grammar { expect: Expect::Start, open: Vec::new(), max_depth }, at: 0, tried: 0 }
    }

    /// The fault of `text`, of which all that was there before is unchanged: as [`diagnose`].
    pub(crate) fn go_on(&mut self, text: &[u8], whole: bool) -> Option<(String, usize)> {
        let (got, tried) = (text.len().saturating_sub(self.at), self.tried.saturating_sub(self.at));
        if !whole && got > PATIENCE && got / 2 < tried {
            return None;
        }
        while let Some(&byte) = text.get(self.at) {
            let at = self.at;
            let (token, end, fault_at) = match byte {
                b' ' | b'\t' | b'\r' | b'\n' => {
                    self.at += 1;
                    continue;
                }
                b'{' | b'[' => (Token::Open(byte == b'{'), at + 1, at),
                b'}' | b']' => (Token::Close(byte == b'}'), at + 1, at),
                b':' => (Token::Colon, at + 1, at),
                b',' => (Token::Comma, at + 1, at),
                b'"' => {
                    let end = match string_end(text, at + 1, whole) {
                        Ok(Some(end)) => end,
                        Ok(None) => {
                            self.tried = text.len();
                            return None;
                        }
                        Err(fault) => return Some(fault),
                    };
                    if let Some(reason) = string_fault(&text[at + 1..end]) {
                        return Some((reason, end));
                    }
                    (Token::String, end + 1, end)
                }
                b'a'..=b'z' | b'-' | b'0'..=b'9' => {
                    let part = |b: &u8| {
                        if byte.is_ascii_lowercase() { b.is_ascii_alphabetic() } else { number::is_part(*b) }
                    };
                    let length = text[at..].iter().position(|b| !part(b));
                    if length.is_none() && !whole {
                        self.tried = text.len();
                        return None;
                    }
                    let end = at + length.unwrap_or(text.len() - at);
                    if let Some(reason) = scalar_fault(&text[at..end]) {
                        return Some((reason, end));
                    }
                    (Token::Scalar, end, end)
                }
                b'!'..=b'~' => return Some((format!("invalid character '{}'", char::from(byte)), at)),
                _ => return Some((format!("invalid character U+{byte:04x}"), at)),
            };
            if let Err(reason) = self.grammar.token(&token) {
                return Some((reason, fault_at));
            }
            self.at = end;
        }
        self.end(text, whole)
    }

    /// What is wrong with a text that ends here.
    fn end(&self, text: &[u8], whole: bool) -> Option<(String, usize)> {
        match self.grammar.expect {
            _ if !whole => None,
            Expect::Start => Some(("empty input stream".into(), text.len())),
            Expect::Nothing => None,
            _ => {
                // A number or keyword is ended by one more byte.
                let flushed = text.last().is_some_and(|b| b.is_ascii_alphanumeric());
                Some(("unexpected end of input".into(), text.len() + usize::from(flushed)))
            }
        }
    }
}

/// Where the closing quotation mark of a string stands; `None` when more bytes are needed.
fn string_end(text: &[u8], from: usize, whole: bool) -> Result<Option<usize>, (String, usize)> {
    let mut end = from;
    loop {
        match text.get(end) {
            None if whole => {
                return Err(("unexpected end of input in quoted string".into(), text.len()));
            }
            None => return Ok(None),
            Some(b'\\') => end += 2,
            Some(b'"') => return Ok(Some(end)),
            Some(&b) if b < 0x20 => {
                return Err((format!("U+{b:04X} must be escaped in quoted string"), end));
            }
            Some(_) => end += 1,
        }
    }
}

/// What is wrong with the escapes of `inner`, the text between two quotation marks.
pub(crate) fn string_fault(inner: &[u8]) -> Option<String> {
    let mut at = 0;
    let hex = |at: usize| -> Option<u32> {
        let digits = inner.get(at..at + 4)?;
        digits.iter().try_fold(0, |n, b| Some(n * 16 + char::from(*b).to_digit(16)?))
    };
    while let Some(&byte) = inner.get(at) {
        match byte {
            b'"' => return Some("quoted string may not include unescaped \"".into()),
            b'\\' => {}
            _ => {
                at += 1;
                continue;
            }
        }
        match inner.get(at + 1) {
            None => return Some("quoted string may not end with backslash".into()),
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => at += 2,
            Some(b'u') => {
                if inner.len() < at + 6 {
                    return Some("quoted string ends within \\u escape".into());
                }
                let Some(unit) = hex(at + 2) else { return Some("malformed \\u escape".into()) };
                at += 6;
                match unit {
                    0 => return Some("null bytes not supported in quoted strings".into()),
                    0xd800..=0xdbff => {
                        let second = (inner.get(at..at + 2) == Some(b"\\u")).then(|| hex(at + 2));
                        let Some(Some(second)) = second else {
                            return Some("malformed escaped surrogate pair".into());
                        };
                        if !(0xdc00..=0xdfff).contains(&second) {
                            let reason = "second half of escaped surrogate pair is not trailing \
                                          surrogate";
                            return Some(reason.into());
                        }
                        at += 6;
                    }
                    _ => {}
                }
            }
            Some(&other) => return Some(format!("bad escape \\{}", char::from(other))),
        }
    }
    None
}

fn scalar_fault(token: &[u8]) -> Option<String> {
    if token[0].is_ascii_lowercase() {
        let known = matches!(token, b"true" | b"false" | b"null");
        let word = String::from_utf8_lossy(token);
        return (!known).then(|| format!("invalid keyword '{word}'"));
    }
    number::parse(token).err().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use crate::{Limits, parse_value};

    #[test]
    fn texts_of_open_vswitch() {
        let cases = [
            ("", "line 0, column 0, byte 0: empty input stream"),
            ("5", "line 0, column 1, byte 1: syntax error at beginning of input"),
            ("{", "line 0, column 1, byte 1: unexpected end of input"),
            ("[1", "line 0, column 3, byte 3: unexpected end of input"),
            ("{]", "line 0, column 1, byte 1: syntax error parsing object expecting string"),
            ("[1,]", "line 0, column 3, byte 3: syntax error expecting value"),
            ("garbage", "line 0, column 7, byte 7: invalid keyword 'garbage'"),
            ("[maxRows]", "line 0, column 8, byte 8: invalid keyword 'maxRows'"),
            ("[1}", "line 0, column 2, byte 2: syntax error expecting ']' or ','"),
            ("{\"a\" 1}", "line 0, column 6, byte 6: syntax error parsing object expecting ':'"),
            ("{\"a\":1 \"b\"}", "line 0, column 9, byte 9: syntax error expecting '}' or ','"),
            ("\"x\"", "line 0, column 2, byte 2: syntax error at beginning of input"),
            ("[1] 2", "line 0, column 5, byte 5: trailing garbage at end of input"),
            ("[01]", "line 0, column 3, byte 3: leading zeros not allowed"),
            ("[1.]", "line 0, column 3, byte 3: decimal point must be followed by digit"),
            ("[1e]", "line 0, column 3, byte 3: exponent must contain at least one digit"),
            ("[\"\\x\"]", "line 0, column 4, byte 4: bad escape \\x"),
            ("[\"\\u00zz\"]", "line 0, column 8, byte 8: malformed \\u escape"),
            ("[-]", "line 0, column 2, byte 2: '-' must be followed by digit"),
            ("[\"a", "line 0, column 3, byte 3: unexpected end of input in quoted string"),
            ("[1e400]", "line 0, column 6, byte 6: number outside valid range"),
            ("[\"\\ud800\"]", "line 0, column 8, byte 8: malformed escaped surrogate pair"),
            ("[\n\n +1]", "line 2, column 1, byte 4: invalid character '+'"),
        ];
        for (text, expect) in cases {
            let error = parse_value(text.as_bytes(), Limits::default()).unwrap_err();
            assert_eq!(error.to_string(), expect, "{text}");
        }
    }
}
