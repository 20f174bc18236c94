//! Numbers in arguments as Open vSwitch reads them, by atoi(3): what follows the digits does not matter.

/// The number that a text begins with: 0 if it begins with none.
pub fn leading_number(text: &str) -> i64 {
    let text = text.trim_start();
    let (negative, digits) = match text.strip_prefix(['-', '+']) {
        Some(digits) => (text.starts_with('-'), digits),
        None => (false, text),
    };
    let digit = |c: char| c.to_digit(10).map(i64::from);
    let n = digits.chars().map_while(digit).fold(0_i64, |n, d| n.saturating_mul(10).saturating_add(d));
    if negative { -n } else { n }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_a_number_does_not_matter() {
        for (text, number) in [
            ("7", 7),
            (" -5x", -5),
            ("+1.5", 1),
            ("0x10", 0),
            ("x", 0),
            ("", 0),
            ("99999999999999999999", i64::MAX),
            ("-99999999999999999999", -i64::MAX),
        ] {
            assert_eq!(leading_number(text), number, "{text:?}");
        }
    }
}
