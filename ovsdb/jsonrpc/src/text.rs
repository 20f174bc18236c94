//! JSON texts: a parser without serde_json's depth bound (this crate has its own), and the writer
//! of strings in the form that OVSDB logs and replies use.

use serde::Deserialize;
use serde_json::Value;

use crate::error::StreamError;
use crate::stream::{DEEP, Limits};

/// Parses one JSON text, nothing but white space around it, of at most `limits`' size and depth.
///
/// A name given twice in one object has its last value, as ovsdb-server(7) section 3.1 says.
pub fn parse_value(text: &[u8], limits: Limits) -> Result<Value, StreamError> {
    let fault = |reason: String| StreamError { line: 0, column: 0, offset: 0, reason };
    let diagnosed = |reason: String| StreamError::diagnosed(text, true, limits.depth).unwrap_or_else(|| fault(reason));
    if text.len() > limits.size {
        return Err(fault(format!("value exceeds {} bytes", limits.size)));
    }
    let depth = nesting(text);
    let starts = text.iter().find(|b| !matches!(b, b' ' | b'\t' | b'\r' | b'\n'));
    if depth > limits.depth || !matches!(starts, Some(b'{' | b'[')) {
        return Err(diagnosed("syntax error at beginning of input".into()));
    }
    // serde_json lets NULs pass, C's strings do not.
    if text.windows(6).any(|w| w == b"\\u0000")
        && let Some(error) = StreamError::diagnosed(text, true, limits.depth)
    {
        return Err(error);
    }
    parse_bounded(text, depth > DEEP).map_err(|error| {
        let text = error.to_string();
        diagnosed(text.split(" at line ").next().unwrap_or(&text).to_owned())
    })
}

/// Deepest nesting of brackets outside strings, whatever kind they are of.
fn nesting(text: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0usize, 0usize);
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        at += 1;
        match byte {
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => {
                // To the end of the string.
                while let Some(skip) =
                    text.get(at..).and_then(|rest| rest.iter().position(|b| matches!(b, b'"' | b'\\')))
                {
                    at += skip;
                    if text[at] == b'"' {
                        break;
                    }
                    at += 2;
                }
                at += 1;
            }
            _ => {}
        }
    }
    deepest
}

/// serde_json's parser with its recursion bound off; the caller has bounded the depth, and says
/// whether it is so great that the stack may have to grow.
pub(crate) fn parse_bounded(text: &[u8], deep: bool) -> Result<Value, serde_json::Error> {
    let mut de = serde_json::Deserializer::from_slice(text);
    de.disable_recursion_limit();
    let value = if deep {
        Value::deserialize(serde_stacker::Deserializer::new(&mut de))?
    } else {
        Value::deserialize(&mut de)?
    };
    de.end()?;
    Ok(value)
}

/// Appends `s` as a JSON string with its quotation marks. Control characters are escaped; all
/// other characters stand for themselves in UTF-8.
pub fn write_string(out: &mut String, s: &str) {
    out.push('"');
    let bytes = s.as_bytes();
    let mut start = 0;
    for (i, &b) in bytes.iter().enumerate() {
        let escape = match b {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            0x08 => "\\b",
            0x0c => "\\f",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0..=0x1f => "",
            _ => continue,
        };
        out.push_str(&s[start..i]);
        if escape.is_empty() {
            let digit = |n: u8| char::from_digit(u32::from(n), 16).unwrap_or('0');
            out.push_str("\\u00");
            out.push(digit(b >> 4));
            out.push(digit(b & 15));
        } else {
            out.push_str(escape);
        }
        start = i + 1;
    }
    out.push_str(&s[start..]);
    out.push('"');
}

/// Appends a real number as C's `%.15g` would: 15 significant digits, no trailing zeros, an
/// exponent where it is shorter. This is the form of reals in OVSDB's logs and replies.
pub fn write_real(out: &mut String, real: f64) {
    format_g(out, real, 15);
}

/// Appends `real` as C's `%.*g` with `digits` significant digits.
pub fn format_g(out: &mut String, real: f64, digits: usize) {
    use std::fmt::Write;
    if !real.is_finite() {
        // JSON has no such numbers; C prints them thus.
        out.push_str(if real.is_nan() {
            "nan"
        } else if real > 0.0 {
            "inf"
        } else {
            "-inf"
        });
        return;
    }
    if real == 0.0 {
        out.push_str(if real.is_sign_negative() { "-0" } else { "0" });
        return;
    }
    let digits = digits.max(1);
    let scientific = format!("{:.*e}", digits - 1, real);
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trim = |s: &str| -> String {
        if s.contains('.') { s.trim_end_matches('0').trim_end_matches('.').to_owned() } else { s.to_owned() }
    };
    if exponent < -4 || exponent >= digits as i32 {
        let sign = if exponent < 0 { '-' } else { '+' };
        let _ = write!(out, "{}e{}{:02}", trim(mantissa), sign, exponent.abs());
    } else {
        let places = (digits as i32 - 1 - exponent).max(0) as usize;
        out.push_str(&trim(&format!("{real:.places$}")));
    }
}

/// Appends any JSON value without white space, names in the order of the value, or sorted by
/// bytes when `sorted`.
pub fn write_value(out: &mut String, value: &Value, sorted: bool) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Value::Number(n) => write_number(out, n),
        Value::String(s) => write_string(out, s),
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_value(out, item, sorted);
            }
            out.push(']');
        }
        Value::Object(map) => {
            let mut members: Vec<_> = map.iter().collect();
            if sorted {
                members.sort_by(|a, b| a.0.cmp(b.0));
            }
            out.push('{');
            for (i, (name, member)) in members.into_iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_string(out, name);
                out.push(':');
                write_value(out, member, sorted);
            }
            out.push('}');
        }
    }
}

/// Appends a number: integers as they are, a real with an integral value in the range of 64-bit
/// integers as that integer, every other real by [`write_real`].
pub fn write_number(out: &mut String, n: &serde_json::Number) {
    use std::fmt::Write;
    if let Some(i) = integer_of(n) {
        let _ = write!(out, "{i}");
    } else {
        write_real(out, n.as_f64().unwrap_or(0.0));
    }
}

/// The 64-bit integer that a JSON number denotes, however it is written (`1`, `1.0` and `10e-1`
/// are the same number), if there is one.
#[must_use]
pub fn integer_of(n: &serde_json::Number) -> Option<i64> {
    if let Some(i) = n.as_i64() {
        return Some(i);
    }
    if n.is_u64() {
        return None;
    }
    let real = n.as_f64()?;
    // What is written as an integer and came as a real is out of range, the least integer's neighbour too.
    let in_range = real.abs() < 9_223_372_036_854_775_808.0;
    (in_range && real.fract() == 0.0).then_some(real as i64)
}

/// `value` without white space, names in their order.
#[must_use]
pub fn to_text(value: &Value) -> String {
    let mut out = String::new();
    write_value(&mut out, value, false);
    out
}

/// `value` without white space, names sorted: the form in which errors quote a request.
#[must_use]
pub fn to_sorted_text(value: &Value) -> String {
    let mut out = String::new();
    write_value(&mut out, value, true);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reals_as_c_prints_them() {
        let cases: &[(f64, &str)] = &[
            (0.0, "0"),
            (1.5, "1.5"),
            (5.0, "5"),
            (0.1, "0.1"),
            (1.0 / 3.0, "0.333333333333333"),
            (1e20, "1e+20"),
            (1e15, "1e+15"),
            (123_456_789_012_345.0, "123456789012345"),
            (1e-5, "1e-05"),
            (0.0001, "0.0001"),
            (-2.5e-7, "-2.5e-07"),
            (9.999_999_999_999_999e14, "1e+15"),
            (1.7976931348623157e308, "1.79769313486232e+308"),
        ];
        for (real, expect) in cases {
            let mut out = String::new();
            write_real(&mut out, *real);
            assert_eq!(&out, expect);
        }
    }

    #[test]
    fn strings_are_escaped() {
        let mut out = String::new();
        write_string(&mut out, "a\"\\\n\u{1}\u{7f}é");
        assert_eq!(out, "\"a\\\"\\\\\\n\\u0001\u{7f}é\"");
    }

    #[test]
    fn integers_however_written() {
        for (text, expect) in [
            ("1", Some(1)),
            ("1.0", Some(1)),
            ("1e3", Some(1000)),
            ("1.5", None),
            ("9223372036854775807", Some(i64::MAX)),
            ("9223372036854775808", None),
            ("-9223372036854775809", None),
            ("-9223372036854775808", Some(i64::MIN)),
        ] {
            let Value::Number(n) = serde_json::from_str(text).unwrap() else { panic!() };
            assert_eq!(integer_of(&n), expect, "{text}");
        }
    }
}
