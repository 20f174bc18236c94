//! Which packets came often lately, in a quarter of a megabyte, however many kinds there are.

use super::WORTH;

/// Places, of two kinds of packets each.
const PLACES: usize = 1 << 15;
/// In each: a tag of the hash, and in the lowest octet how many were seen.
const COUNT: u32 = 0xff;

/// Counts of packets by their hash.
pub(super) struct Sketch(Box<[[u32; 2]]>);

impl Sketch {
    pub(super) fn new() -> Self {
        Self(vec![[0; 2]; PLACES].into_boxed_slice())
    }

    /// Counts one; how many like it came, itself included, as far as is known. Kinds that share a place do not keep each
    /// other down: who came oftener stays there until it has come often enough.
    #[inline]
    pub(super) fn note(&mut self, hash: u64) -> u8 {
        let place = &mut self.0[hash as usize % PLACES];
        let tag = (hash >> 32) as u32 & !COUNT;
        let which = usize::from(place[0] & !COUNT != tag);
        if place[which] & !COUNT == tag {
            let count = (place[which] as u8).wrapping_add(1);
            place[which] = tag | u32::from(count);
            return count;
        }
        let [first, second] = place.map(|kind| kind as u8);
        let goes = match (first >= WORTH, second >= WORTH) {
            (true, false) => 0,
            (false, true) => 1,
            _ => usize::from(second <= first),
        };
        place[goes] = tag | 1;
        1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(place: u64, tag: u64) -> u64 {
        tag << 40 | place
    }

    #[test]
    fn packets_of_a_kind_are_counted() {
        let mut sketch = Sketch::new();
        for n in 1..=255 {
            assert_eq!((sketch.note(hash(3, 1)), sketch.note(hash(4, 1)), sketch.note(hash(3, 2))), (n, n, n));
        }
        assert_eq!(sketch.note(hash(3, 1)), 0, "and so on");
    }

    /// As those do that get their entries, and come no more.
    #[test]
    fn kinds_in_one_place_all_come_to_what_they_are_worth() {
        for kinds in 1..=9 {
            let (mut sketch, mut due) = (Sketch::new(), Vec::new());
            for _ in 0..kinds * u64::from(WORTH) {
                for tag in (1..=kinds).filter(|tag| !due.contains(tag)).collect::<Vec<_>>() {
                    if sketch.note(hash(7, tag)) == WORTH {
                        due.push(tag);
                    }
                }
            }
            assert_eq!(due.len() as u64, kinds);
        }
    }
}
