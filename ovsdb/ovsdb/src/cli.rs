//! Values as people type them on command lines (ovs-vsctl(8), "Database Values"). Errors are plain
//! texts, Open vSwitch's own.

use std::borrow::Cow;

use crate::atom::Atom;
use crate::datum::{Datum, Duplicate};
use crate::symbols::SymbolTable;
use crate::types::{AtomicType, BaseType, Type};
use crate::uuid::Uuid;

/// Most integers that one range such as `1-100` may stand for.
pub const MAX_RANGE: i64 = 4096;

fn is_delimiter(c: char) -> bool {
    ":=, []{}!<>".contains(c)
}

/// Takes one token off the front of `text`: up to a delimiter that neither quotation marks nor a backslash keep in it.
/// Quoted parts stay as they are; elsewhere a backslash gives way to what it stands before. Returns the token and the
/// rest.
pub fn take_token(text: &str) -> Result<(Cow<'_, str>, &str), String> {
    let mut in_quotes = false;
    let mut end = text.len();
    let mut backslashes = Vec::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' if chars.next().is_none() => {
                return Err(format!("{text}: backslash at end of argument"));
            }
            '\\' if !in_quotes => backslashes.push(at),
            '\\' => {}
            '"' => in_quotes = !in_quotes,
            c if !in_quotes && is_delimiter(c) => {
                end = at;
                break;
            }
            _ => {}
        }
    }
    if in_quotes {
        return Err(format!("{text}: quoted string extends past end of argument"));
    }
    let (token, rest) = text.split_at(end);
    if backslashes.is_empty() {
        return Ok((Cow::Borrowed(token), rest));
    }
    let kept = token.char_indices().filter(|(at, _)| backslashes.binary_search(at).is_err());
    Ok((kept.map(|(_, c)| c).collect(), rest))
}

impl Atom {
    /// Reads one atom from a token and checks it against `base`; `@name` is a symbol where a UUID
    /// is wanted.
    pub fn parse_cli(token: &str, base: &BaseType, symbols: Option<&mut SymbolTable<'_>>) -> Result<Atom, String> {
        let (atom, _) = parse_atom(token, base, symbols, false)?;
        Ok(atom)
    }
}

fn parse_atom(
    token: &str,
    base: &BaseType,
    symbols: Option<&mut SymbolTable<'_>>,
    ranges: bool,
) -> Result<(Atom, Option<i64>), String> {
    let mut range_end = None;
    let atom = match base.kind {
        AtomicType::Integer => match token.parse::<i64>() {
            Ok(i) => Atom::Integer(i),
            Err(_) => {
                let (low, high) = parse_range(token)
                    .filter(|_| ranges)
                    .ok_or_else(|| format!("\"{token}\" is not a valid integer or range"))?;
                if high < low {
                    return Err(format!("\"{token}\" is not a valid range. Range end cannot be before start."));
                }
                range_end = Some(high);
                Atom::Integer(low)
            }
        },
        AtomicType::Real => match token.parse::<f64>() {
            Ok(r) if r.is_finite() => Atom::Real(if r == 0.0 { 0.0 } else { r }),
            _ => return Err(format!("\"{token}\" is not a valid real number")),
        },
        AtomicType::Boolean => match token {
            "true" | "yes" | "on" | "1" => Atom::Boolean(true),
            "false" | "no" | "off" | "0" => Atom::Boolean(false),
            _ => {
                return Err(format!("\"{token}\" is not a valid boolean (use \"true\" or \"false\")"));
            }
        },
        AtomicType::String => Atom::checked_string(&parse_string(token)?).map_err(|error| error.to_string())?,
        AtomicType::Uuid => match (token.strip_prefix('@'), symbols) {
            (Some(_), Some(symbols)) => Atom::Uuid(symbols.reference(token)),
            _ => Atom::Uuid(Uuid::parse(token).ok_or_else(|| format!("\"{token}\" is not a valid UUID"))?),
        },
    };
    base.check(&atom).map_err(|error| error.to_string())?;
    if let (Some(high), Atom::Integer(low)) = (range_end, &atom) {
        base.check(&Atom::Integer(high)).map_err(|error| error.to_string())?;
        if high.checked_sub(*low).is_none_or(|n| n >= MAX_RANGE) {
            return Err(format!("Range \"{low}-{high}\" is too big. Maximum allowed size is {MAX_RANGE}."));
        }
    }
    Ok((atom, range_end))
}

fn parse_range(token: &str) -> Option<(i64, i64)> {
    // The hyphen that divides is not the first character: that would be a sign.
    let at = token.char_indices().skip(1).find(|(_, c)| *c == '-')?.0;
    Some((token[..at].parse().ok()?, token[at + 1..].parse().ok()?))
}

fn parse_string(token: &str) -> Result<String, String> {
    if token.is_empty() {
        return Err("An empty string is not valid as input; use \"\" to represent the empty \
                    string"
            .to_owned());
    }
    if !token.starts_with('"') {
        return Ok(token.to_owned());
    }
    if token.len() < 2 || !token.ends_with('"') {
        return Err(format!("{token}: missing quote at end of quoted string"));
    }
    jsonrpc::text::unescape(&token[1..token.len() - 1]).map_err(|reason| format!("{token}: {reason}"))
}

/// What the parser of one value works on.
struct Elements<'a, 's, 't> {
    whole: &'a str,
    rest: &'a str,
    ty: &'a Type,
    symbols: Option<&'s mut SymbolTable<'t>>,
}

impl<'a> Elements<'a, '_, '_> {
    fn skip_spaces(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
    }

    fn token(&mut self) -> Result<Cow<'a, str>, String> {
        let (token, rest) = take_token(self.rest)?;
        self.rest = rest;
        Ok(token)
    }

    fn atom(&mut self, base: &BaseType, ranges: bool) -> Result<(Atom, Option<i64>), String> {
        let token = self.token()?;
        parse_atom(&token, base, self.symbols.as_deref_mut(), ranges)
    }

    /// One element or pair, or a range of integers.
    fn element(&mut self, pairs: &mut Vec<(Atom, Option<Atom>)>) -> Result<(), String> {
        let c = self.rest.chars().next().unwrap_or_default();
        if is_delimiter(c) {
            return Err(format!("{}: unexpected \"{c}\" parsing {}", self.whole, self.ty.to_english()));
        }
        let start = self.rest;
        let ty = self.ty;
        let ranges = !ty.is_map();
        let (key, range_end) = self.atom(&ty.key, ranges)?;
        if let (Atom::Integer(low), Some(high)) = (&key, range_end) {
            pairs.extend((*low..=high).map(|i| (Atom::Integer(i), None)));
            return Ok(());
        }
        let Some(base) = &ty.value else {
            pairs.push((key, None));
            return Ok(());
        };
        self.skip_spaces();
        match self.rest.chars().next() {
            Some('=') => {}
            // C's text ends where its string does.
            None => return Err(format!("{start}: syntax error at \"")),
            Some(c) => {
                return Err(format!("{start}: syntax error at \"{c}\" expecting \"=\""));
            }
        }
        self.rest = &self.rest[1..];
        self.skip_spaces();
        let (value, _) = self.atom(base, false)?;
        pairs.push((key, Some(value)));
        Ok(())
    }

    fn all(&mut self) -> Result<Vec<(Atom, Option<Atom>)>, String> {
        let mut pairs = Vec::new();
        self.skip_spaces();
        let open = if self.ty.is_map() { '{' } else { '[' };
        let close = self.rest.starts_with(open).then_some(if self.ty.is_map() { '}' } else { ']' });
        if close.is_some() {
            self.rest = &self.rest[1..];
            self.skip_spaces();
        }
        while !self.rest.is_empty() && !close.is_some_and(|close| self.rest.starts_with(close)) {
            self.element(&mut pairs)?;
            self.skip_spaces();
            if let Some(rest) = self.rest.strip_prefix(',') {
                self.rest = rest;
                self.skip_spaces();
            }
        }
        if let Some(close) = close {
            if self.rest.is_empty() {
                return Err(format!("{}: missing \"{close}\" at end of data", self.whole));
            }
            self.rest = &self.rest[1..];
            self.skip_spaces();
            if !self.rest.is_empty() {
                return Err(format!("{}: trailing garbage after \"{close}\"", self.whole));
            }
        } else if pairs.is_empty() {
            let empty =
                if self.ty.is_map() { "\"{}\" to specify the empty map" } else { "\"[]\" to specify the empty set" };
            return Err(format!("use {empty}"));
        }
        Ok(pairs)
    }
}

impl Datum {
    /// Reads a whole value: `[a, b]`, `{k=v}`, with or without brackets.
    pub fn parse_cli(text: &str, ty: &Type, symbols: Option<&mut SymbolTable<'_>>) -> Result<Datum, String> {
        let mut elements = Elements { whole: text, rest: text, ty, symbols };
        let pairs = elements.all()?;
        let unit = if ty.is_map() { "pair(s)" } else { "value(s)" };
        if pairs.len() < ty.n_min as usize {
            return Err(format!("{text}: {} {unit} specified but the minimum number is {}", pairs.len(), ty.n_min));
        }
        if pairs.len() > ty.n_max as usize {
            return Err(format!("{text}: {} {unit} specified but the maximum number is {}", pairs.len(), ty.n_max));
        }
        if ty.is_map() {
            let pairs = pairs.into_iter().filter_map(|(k, v)| Some((k, v?))).collect();
            Datum::distinct_map(pairs).map_err(|Duplicate| format!("{text}: map contains duplicate key"))
        } else {
            Datum::distinct_set(pairs.into_iter().map(|(k, _)| k).collect())
                .map_err(|Duplicate| format!("{text}: set contains duplicate value"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ty(json: &str) -> Type {
        Type::from_json(&serde_json::from_str(json).unwrap()).unwrap()
    }

    #[test]
    fn texts_of_open_vswitch() {
        let map = ty(r#"{"key":"string","value":"string","min":0,"max":"unlimited"}"#);
        let vlans = ty(r#"{"key":{"type":"integer","minInteger":0,"maxInteger":4095},"min":0,"max":4096}"#);
        let mode = ty(r#"{"key":{"type":"string","enum":["set",["standalone","secure"]]},"min":0,"max":1}"#);
        let boolean = ty(r#""boolean""#);
        let string = ty(r#"{"key":"string","min":0,"max":1}"#);
        let cases: &[(&Type, &str, Result<&str, &str>)] = &[
            (&map, "a=b,c=d", Ok("{a=b, c=d}")),
            (&map, "{a=b c=d}", Ok("{a=b, c=d}")),
            (&map, "{\"x y\"=\"z\\n\",k1=\"0abc\"}", Ok("{k1=\"0abc\", \"x y\"=\"z\\n\"}")),
            (&map, "{a=b", Err("{a=b: missing \"}\" at end of data")),
            (&map, "{a=b}x", Err("{a=b}x: trailing garbage after \"}\"")),
            (&map, "[a=b]", Err("[a=b]: unexpected \"[\" parsing map of (string, string) pairs")),
            (&map, "{a:b}", Err("a:b}: syntax error at \":\" expecting \"=\"")),
            (&map, "{a=b,a=c}", Err("{a=b,a=c}: map contains duplicate key")),
            (&vlans, "1-3", Ok("[1, 2, 3]")),
            (&vlans, " 4,5", Ok("[4, 5]")),
            (&vlans, "[1 2,3 ]", Ok("[1, 2, 3]")),
            (&vlans, "5000", Err("constraint violation: 5000 is not in the valid range 0 to 4095 (inclusive)")),
            (&vlans, "3-1", Err("\"3-1\" is not a valid range. Range end cannot be before start.")),
            (&vlans, "1,1", Err("1,1: set contains duplicate value")),
            (&vlans, "abc", Err("\"abc\" is not a valid integer or range")),
            (&mode, "foo", Err("constraint violation: foo is not one of the allowed values ([secure, standalone])")),
            (
                &mode,
                "[standalone,secure]",
                Err("[standalone,secure]: 2 value(s) specified but the maximum number is 1"),
            ),
            (&mode, "[]", Ok("[]")),
            (&boolean, "yes", Ok("true")),
            (&boolean, "[]", Err("[]: 0 value(s) specified but the minimum number is 1")),
            (&string, "\"abc", Err("\"abc: quoted string extends past end of argument")),
            (&string, "ab\\", Err("ab\\: backslash at end of argument")),
            (&string, "\"\"x", Err("\"\"x: missing quote at end of quoted string")),
            (&string, "@x", Ok("\"@x\"")),
            (&string, "a\\qb\\ c\\,\\\\", Ok("\"aqb c,\\\\\"")),
            (&string, "\"a\tb\u{1}\\\"\"", Ok("\"a\\tb\\u0001\\\"\"")),
            (&string, "\"a\\qb\"", Err("\"a\\qb\": bad escape \\q")),
            (&string, "\"\\u00zz\"", Err("\"\\u00zz\": malformed \\u escape")),
            (&string, "\"a\"b\"c\"", Err("\"a\"b\"c\": quoted string may not include unescaped \"")),
            (
                &string,
                "\"\\udc00\"",
                Err("constraint violation: not a valid UTF-8 string: invalid UTF-8 sequence 0xed 0xb0"),
            ),
        ];
        for (ty, text, expect) in cases {
            let got = Datum::parse_cli(text, ty, None).map(|d| d.to_cli_string(ty));
            assert_eq!(got.as_deref(), expect.map_err(str::to_owned).as_ref().map(|s| *s), "{text}");
        }
    }
}
