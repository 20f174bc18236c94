//! `compare-versions`.

use super::{Context, Outcome};
use std::cmp::Ordering;

fn parse(text: &str) -> Outcome<[u64; 3]> {
    let parts: Vec<Option<u64>> = text.split('.').map(|part| part.parse().ok()).collect();
    match parts.as_slice() {
        [Some(x), Some(y), Some(z)] => Ok([*x, *y, *z]),
        _ => Err(format!("{text}: not an OVSDB version number in format x.y.z")),
    }
}

fn holds(a: &str, operator: &str, b: &str) -> Outcome<bool> {
    let order = parse(a)?.cmp(&parse(b)?);
    Ok(match operator {
        "<" => order == Ordering::Less,
        "<=" => order != Ordering::Greater,
        "==" => order == Ordering::Equal,
        ">=" => order != Ordering::Less,
        ">" => order == Ordering::Greater,
        "!=" => order != Ordering::Equal,
        _ => return Err(format!("{operator}: not a relational operator")),
    })
}

pub(super) fn compare_versions(_: &mut Context<'_>, args: &[String]) -> Outcome<i32> {
    Ok(if holds(&args[0], &args[1], &args[2])? { 0 } else { 2 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators() {
        for (a, operator, b, expect) in [
            ("1.2.3", "<", "1.2.4", Ok(true)),
            ("1.10.0", "<", "1.9.0", Ok(false)),
            ("1.2.3", "==", "1.2.3", Ok(true)),
            ("1.2.3", "!=", "1.2.3", Ok(false)),
            ("2.0.0", ">=", "1.9.9", Ok(true)),
            ("1.2.3", "x", "1.2.4", Err("x: not a relational operator".to_string())),
            ("1.2", "<", "1.2.4", Err("1.2: not an OVSDB version number in format x.y.z".to_string())),
        ] {
            assert_eq!(holds(a, operator, b), expect);
        }
    }
}
