//! Numbers of JSON texts (RFC 8259 section 6), told apart as OVSDB tells them: whatever denotes an integer of 64
//! bits is that integer, however it is written (`10`, `1e1`, `100.0e-1`); everything else is a double.

use serde_json::Number;

/// What a number may be made of; the first byte is a digit or `-`. A NUL is part of it in Open vSwitch, too, and ends
/// what is read of it.
pub(crate) fn is_part(byte: u8) -> bool {
    byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.' | b'e' | b'E' | 0)
}

/// The parts of a number, as digits.
struct Parts<'a> {
    negative: bool,
    whole: &'a [u8],
    fraction: &'a [u8],
    exponent: i64,
}

/// Reads a whole token. The errors are Open vSwitch's texts: not a number, infinite, or so small that a double has
/// fewer digits for it than for others (what rounds to zero is zero).
pub(crate) fn parse(token: &[u8]) -> Result<Number, &'static str> {
    let token = token.split(|byte| *byte == 0).next().unwrap_or(token);
    let parts = split(token)?;
    if let Some(integer) = parts.integer() {
        return Ok(Number::from(integer));
    }
    let real: Option<f64> = std::str::from_utf8(token).ok().and_then(|text| text.parse().ok());
    // Zero has no sign.
    let real = real.filter(|real| !real.is_subnormal()).map(|real| if real == 0.0 { 0.0 } else { real });
    real.and_then(Number::from_f64).ok_or("number outside valid range")
}

fn split(token: &[u8]) -> Result<Parts<'_>, &'static str> {
    let digits = |from: usize| {
        let rest = token.get(from..).unwrap_or_default();
        &rest[..rest.iter().take_while(|b| b.is_ascii_digit()).count()]
    };
    let negative = token.first() == Some(&b'-');
    let mut at = usize::from(negative);
    let whole = digits(at);
    match whole {
        [] => return Err("'-' must be followed by digit"),
        [b'0', _, ..] => return Err("leading zeros not allowed"),
        _ => at += whole.len(),
    }
    let mut fraction: &[u8] = &[];
    if token.get(at) == Some(&b'.') {
        fraction = digits(at + 1);
        if fraction.is_empty() {
            return Err("decimal point must be followed by digit");
        }
        at += 1 + fraction.len();
    }
    let mut exponent = 0;
    if matches!(token.get(at), Some(b'e' | b'E')) {
        let sign = token.get(at + 1).filter(|b| matches!(b, b'+' | b'-'));
        at += 1 + usize::from(sign.is_some());
        let written = digits(at);
        if written.is_empty() {
            return Err("exponent must contain at least one digit");
        }
        at += written.len();
        let value = written.iter().fold(0i64, |n, b| n.saturating_mul(10).saturating_add(i64::from(b - b'0')));
        // The last digit may be none that could lead beyond 32 bits.
        if value >= i64::from(i32::MAX / 10 * 10) {
            return Err("exponent outside valid range");
        }
        exponent = if sign == Some(&b'-') { -value } else { value };
    }
    if at < token.len() {
        return Err("syntax error in number");
    }
    Ok(Parts { negative, whole, fraction, exponent })
}

impl Parts<'_> {
    /// The integer of 64 bits that is denoted, if one is.
    ///
    /// Open vSwitch gathers digits in 64 bits without a sign until the next would be the twenty-first, and does not notice
    /// where the twentieth leads beyond them: from 2^64, 18446744073709551616, to ...619 it counts from 0 anew. Its
    /// databases and peers mean what it reads, so it is read here as well.
    fn integer(&self) -> Option<i64> {
        let (mut magnitude, mut exact, mut places) = (0u64, true, self.exponent);
        let room = |magnitude: u64| magnitude <= u64::MAX / 10;
        let fraction = self.fraction.iter().map(|digit| (*digit, 1));
        for (digit, after_point) in self.whole.iter().map(|digit| (*digit, 0)).chain(fraction) {
            if room(magnitude) {
                magnitude = magnitude.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
                places -= after_point;
            } else {
                places += 1 - after_point;
                exact &= digit == b'0';
            }
        }
        if magnitude == 0 && exact {
            return Some(0);
        }
        while exact && places > 0 && magnitude < u64::MAX / 10 {
            magnitude *= 10;
            places -= 1;
        }
        while exact && places < 0 && magnitude % 10 == 0 {
            magnitude /= 10;
            places += 1;
        }
        let magnitude = i128::from(magnitude);
        let integer = if self.negative { -magnitude } else { magnitude };
        i64::try_from(integer).ok().filter(|_| exact && places == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_however_written() {
        let cases = [
            ("0", 0),
            ("-0", 0),
            ("-0.0", 0),
            ("0e10000", 0),
            ("0e-2147483639", 0),
            ("1.0", 1),
            ("10e-1", 1),
            ("1e3", 1000),
            ("2.1234E4", 21234),
            ("0.0003e+4", 3),
            ("9223372036854775807", i64::MAX),
            ("9223372036854775807.000", i64::MAX),
            ("92233720.36854775807e11", i64::MAX),
            ("922337203685477580700e-2", i64::MAX),
            ("-9.223372036854775808e18", i64::MIN),
            // As 3.1 reads these.
            ("18446744073709551616", 0),
            ("18446744073709551619", 3),
            ("-18446744073709551618", -2),
            ("18446744073709551616.0", 0),
            ("1.8446744073709551617e19", 1),
            ("184467440737095516178", 18),
            ("1844674407370955161.6", 0),
        ];
        for (text, expect) in cases {
            assert_eq!(parse(text.as_bytes()), Ok(Number::from(expect)), "{text}");
        }
    }

    #[test]
    fn reals_stay_reals() {
        let cases = [
            ("1.5", 1.5),
            ("9223372036854775808", 9_223_372_036_854_775_808.0),
            ("3.0000000000000000000000000001", 3.0),
            ("9007199254740993.5", 9_007_199_254_740_994.0),
            ("1e-400", 0.0),
            ("-1e-400", 0.0),
            ("1e300", 1e300),
            ("-2.5e-7", -2.5e-7),
        ];
        for (text, expect) in cases {
            let number = parse(text.as_bytes()).unwrap();
            assert!(number.is_f64(), "{text}");
            assert_eq!(number.as_f64(), Some(expect), "{text}");
            assert_eq!(number.as_f64().map(f64::is_sign_negative), Some(expect < 0.0), "{text}");
        }
    }

    #[test]
    fn faults() {
        let cases = [
            ("1e400", "number outside valid range"),
            ("5e-324", "number outside valid range"),
            ("0e2147483640", "exponent outside valid range"),
            ("1e2147483639", "number outside valid range"),
            ("1e-99999999999999999999", "exponent outside valid range"),
            ("1.5.2", "syntax error in number"),
            ("1-2", "syntax error in number"),
        ];
        for (text, expect) in cases {
            assert_eq!(parse(text.as_bytes()), Err(expect), "{text}");
        }
    }
}
