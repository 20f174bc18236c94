//! One JSON text (RFC 8259) read piece by piece, without a tree of values: for who knows what to expect in it. It says
//! only that something is not as expected, with `None`: who has to know what is wrong reads the text with
//! [`crate::parse_value`].

use serde_json::Number;
use std::borrow::Cow;

use crate::number;

/// A place in a text.
#[derive(Clone, Debug)]
pub struct Pull<'a> {
    text: &'a [u8],
    /// The same, if it is known to be plain ASCII: parts of it need no look at their own then.
    ascii: Option<&'a str>,
    at: usize,
}

impl<'a> Pull<'a> {
    /// The beginning of `text`.
    #[must_use]
    pub fn new(text: &'a [u8]) -> Pull<'a> {
        let ascii = text.is_ascii().then(|| std::str::from_utf8(text).ok()).flatten();
        Pull { text, ascii, at: 0 }
    }

    /// The beginning of a text that others may follow: whether it is plain is seen if it has no more than `most` bytes.
    pub(crate) fn first_of(text: &'a [u8], most: usize) -> Pull<'a> {
        if text.len() <= most { Pull::new(text) } else { Pull { text, ascii: None, at: 0 } }
    }

    /// The next byte that is not white space.
    pub fn peek(&mut self) -> Option<u8> {
        loop {
            match self.text.get(self.at) {
                Some(b' ' | b'\t' | b'\r' | b'\n') => self.at += 1,
                byte => return byte.copied(),
            }
        }
    }

    /// Passes over `byte`, if that is next behind white space.
    pub fn take(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    /// How many bytes have been passed over.
    #[must_use]
    pub fn passed(&self) -> usize {
        self.at
    }

    /// Whether nothing but white space is left.
    pub fn is_at_end(&mut self) -> bool {
        self.peek().is_none() && self.at == self.text.len()
    }

    /// A string.
    pub fn string(&mut self) -> Option<Cow<'a, str>> {
        if !self.take(b'"') {
            return None;
        }
        let mut unescaped: Vec<u8> = Vec::new();
        loop {
            let rest = self.text.get(self.at..)?;
            let plain = rest.iter().position(|&b| b == b'"' || b == b'\\' || b < 0x20)?;
            let (run, ends) = (&rest[..plain], rest[plain]);
            let begin = self.at;
            self.at += plain + 1;
            match ends {
                b'"' if unescaped.is_empty() => {
                    let ascii = self.ascii.and_then(|text| text.get(begin..begin + plain));
                    return Some(ascii.map_or_else(|| octets::to_text(run), Cow::Borrowed));
                }
                b'"' => {
                    unescaped.extend_from_slice(run);
                    return Some(Cow::Owned(octets::to_text(&unescaped).into_owned()));
                }
                b'\\' => {
                    unescaped.extend_from_slice(run);
                    self.escape(&mut unescaped)?;
                }
                _ => return None,
            }
        }
    }

    /// A number.
    pub fn number(&mut self) -> Option<Number> {
        self.peek().filter(|byte| matches!(byte, b'-' | b'0'..=b'9'))?;
        number::parse(self.run(number::is_part)).ok()
    }

    /// `true` or `false`.
    pub fn truth(&mut self) -> Option<bool> {
        match self.word()? {
            b"true" => Some(true),
            b"false" => Some(false),
            _ => None,
        }
    }

    /// `null`.
    pub fn null(&mut self) -> Option<()> {
        (self.word()? == b"null").then_some(())
    }

    /// Letters.
    pub(crate) fn word(&mut self) -> Option<&'a [u8]> {
        self.peek()?;
        Some(self.run(|b| b.is_ascii_alphabetic()))
    }

    /// An object: `each` reads the value of the member whose name it is given, until it says `None`.
    pub fn members(&mut self, mut each: impl FnMut(&str, &mut Self) -> Option<()>) -> Option<()> {
        self.list(b'{', b'}', |pull| {
            let name = pull.string()?;
            pull.take(b':').then_some(())?;
            each(&name, pull)
        })
    }

    /// An array: `each` reads one value, until it says `None`.
    pub fn items(&mut self, each: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.list(b'[', b']', each)
    }

    fn list(&mut self, opens: u8, closes: u8, mut each: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.take(opens).then_some(())?;
        if self.take(closes) {
            return Some(());
        }
        loop {
            each(self)?;
            if !self.take(b',') {
                return self.take(closes).then_some(());
            }
        }
    }

    fn run(&mut self, part: impl Fn(u8) -> bool) -> &'a [u8] {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let run = &rest[..rest.iter().take_while(|b| part(**b)).count()];
        self.at += run.len();
        run
    }

    /// Passes over what is not a backslash and appends it; false at the end of the text.
    pub(crate) fn plain(&mut self, out: &mut Vec<u8>) -> bool {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let plain = rest.iter().position(|b| *b == b'\\');
        out.extend_from_slice(&rest[..plain.unwrap_or(rest.len())]);
        self.at += plain.map_or(rest.len(), |plain| plain + 1);
        plain.is_some()
    }

    /// Appends what is meant by what stands behind a backslash.
    pub(crate) fn escape(&mut self, out: &mut Vec<u8>) -> Option<()> {
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

    #[test]
    fn what_is_expected_is_read() {
        let mut pull = Pull::new(br#" {"a" : [1, -2.5e1,true] ,"b\n":{ }, "c":"x\u00e9"} "#);
        let mut read = Vec::new();
        pull.members(|name, pull| {
            read.push(format!("{name:?}"));
            match name {
                "a" => {
                    let mut n = 0;
                    pull.items(|pull| {
                        n += 1;
                        read.push(if n < 3 { pull.number()?.to_string() } else { pull.truth()?.to_string() });
                        Some(())
                    })
                }
                "c" => pull.string().map(|text| read.push(text.into_owned())),
                _ => pull.members(|_, _| None),
            }
        })
        .unwrap();
        assert!(pull.is_at_end());
        assert_eq!(read, ["\"a\"", "1", "-25", "true", "\"b\\n\"", "\"c\"", "xé"]);
    }

    #[test]
    fn what_is_not_expected_is_none() {
        for text in ["", "[", "[1", "[1,", "[1,]", "[1 2]", "{}", "[01]", "[1}", "[true]", "[\"1\"]"] {
            let mut pull = Pull::new(text.as_bytes());
            assert_eq!(pull.items(|pull| pull.number().map(|_| ())), None, "{text}");
        }
        for text in [r#"{"a"}"#, r#"{"a" 1}"#, "{a:1}", r#"{"a":1,}"#, r#"{"a\x":1}"#, "{\"a\n\":1}", r#"{"\u0000":1}"#]
        {
            let mut pull = Pull::new(text.as_bytes());
            assert_eq!(pull.members(|_, pull| pull.number().map(|_| ())), None, "{text}");
        }
        assert_eq!((Pull::new(b"tru").truth(), Pull::new(b" null").truth()), (None, None));
        assert_eq!((Pull::new(b" null").null(), Pull::new(b"nul").null()), (Some(()), None));
        assert!(!Pull::new(b"[] x").is_at_end());
    }
}
