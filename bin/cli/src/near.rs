//! The command that a mistyped one was meant to be.

/// The word of `known` nearest to `word`, if one is near enough to be worth naming: at most a third
/// of its letters differ. Ties go to the first.
#[must_use]
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let mut best: Option<(usize, &str)> = None;
    for candidate in known {
        let distance = distance(word, candidate);
        if distance <= candidate.chars().count().div_ceil(3) && best.is_none_or(|(d, _)| distance < d) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// ` (did you mean "NEAREST"?)` or nothing, to end an error text with.
#[must_use]
pub fn hint<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, known).map(|near| format!("did you mean '{near}'?")).unwrap_or_default()
}

/// Levenshtein's distance, with a swap of neighbours as one step.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().take(64).collect();
    let b: Vec<char> = b.chars().take(64).collect();
    let mut rows = vec![(0..=b.len()).collect::<Vec<usize>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let change = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = change.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_and_far() {
        let known = ["add-br", "add-port", "del-br", "list-br"];
        assert_eq!(nearest("ad-br", known), Some("add-br"));
        assert_eq!(nearest("add-prot", known), Some("add-port"));
        assert_eq!(nearest("frobnicate", known), None);
        assert_eq!(hint("lst-br", known), "did you mean 'list-br'?");
        assert_eq!(hint("", known), "");
    }
}
