//! JSON texts: one of them whole, and the writer of values in the form that OVSDB logs and replies use.

use serde_json::Value;

use crate::error::StreamError;
use crate::stream::Limits;
use crate::{diagnosis, parser};

/// Parses one JSON text, nothing but white space around it, of at most `limits`' size and depth.
///
/// A name given twice in one object has its last value, as ovsdb-server(7) section 3.1 says.
pub fn parse_value(text: &[u8], limits: Limits) -> Result<Value, StreamError> {
    if text.len() > limits.size {
        let reason = format!("value exceeds {} bytes", limits.size);
        return Err(StreamError { line: 0, column: 0, offset: 0, reason });
    }
    parser::parse(text, limits.depth).ok_or_else(|| StreamError::of_text(text, limits.depth))
}

/// What a JSON string means whose text between the quotation marks is `inner`; control characters need no escape
/// here. The error is Open vSwitch's text.
pub fn unescape(inner: &str) -> Result<String, String> {
    let octets = octets::of_text(inner);
    match diagnosis::string_fault(&octets) {
        Some(reason) => Err(reason),
        None => Ok(parser::unescape(&octets).unwrap_or_default()),
    }
}

/// Appends `s` as a JSON string with its quotation marks. Control characters are escaped; all
/// other characters stand for themselves in UTF-8.
pub fn write_string(out: &mut String, s: &str) {
    out.push('"');
    let bytes = s.as_bytes();
    // Without an end before the last of them, so that many are compared at a time.
    let is_plain = |plain: bool, b: &u8| plain & (*b >= 0x20) & (*b != b'"') & (*b != b'\\');
    if bytes.iter().fold(true, is_plain) {
        out.push_str(s);
        out.push('"');
        return;
    }
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

/// Appends a number: integers as they are, every other by [`write_real`].
pub fn write_number(out: &mut String, n: &serde_json::Number) {
    use std::fmt::Write;
    if let Some(i) = n.as_i64() {
        let _ = write!(out, "{i}");
    } else {
        write_real(out, n.as_f64().unwrap_or(0.0));
    }
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
}
