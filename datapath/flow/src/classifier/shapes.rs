//! The shapes in use, each in one place: a hundred thousand flows have a handful of masks.

use std::collections::HashMap;
use std::sync::Arc;

use smallvec::SmallVec;

use super::mini_match::{MiniMatch, Shape};
use crate::{Key, Mask};

/// Shapes that are kept without a look at whether anyone still has them.
const KEPT: usize = 256;

/// Shapes by the hash of their words.
#[derive(Debug, Default)]
pub struct Shapes {
    known: HashMap<u64, SmallVec<[Arc<Shape>; 1]>>,
    /// The one asked for last: flow-mods that come together are often alike.
    last: Option<Arc<Shape>>,
    /// So many hashes make a look worth while at which shapes nobody has any more.
    sweep_at: usize,
}

impl Shapes {
    /// The shape of a mask.
    pub fn of(&mut self, mask: &Mask) -> Arc<Shape> {
        if let Some(last) = self.last.as_ref().filter(|last| last.is_of(mask)) {
            return Arc::clone(last);
        }
        let shape = self.find(mask);
        self.last = Some(Arc::clone(&shape));
        shape
    }

    fn find(&mut self, mask: &Mask) -> Arc<Shape> {
        let hash = Shape::hash_of(mask);
        let known = self.known.get(&hash).and_then(|shapes| shapes.iter().find(|shape| shape.is_of(mask)));
        if let Some(shape) = known {
            return Arc::clone(shape);
        }
        if self.known.len() >= self.sweep_at.max(KEPT) {
            self.known.retain(|_, shapes| {
                shapes.retain(|shape| Arc::strong_count(shape) > 1);
                !shapes.is_empty()
            });
            self.sweep_at = self.known.len() * 2;
        }
        let shape = Arc::new(Shape::of(mask));
        self.known.entry(hash).or_default().push(Arc::clone(&shape));
        shape
    }

    /// The match of a key under a mask.
    pub fn matching(&mut self, key: &Key, mask: &Mask) -> MiniMatch {
        MiniMatch::of_shape(self.of(mask), key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_is_there_once_and_as_long_as_somebody_has_it() {
        let mut shapes = Shapes::default();
        let mask = |bits: u32| {
            let mut mask = Mask::EMPTY;
            mask.set_nw_src(bits);
            mask
        };
        let one = shapes.matching(&Key::EMPTY, &mask(1));
        assert!(Arc::ptr_eq(one.shape(), &shapes.of(&mask(1))));
        assert_eq!(one.mask(), mask(1));
        for bits in 2..10_000 {
            assert_eq!(shapes.of(&mask(bits)).mask(), mask(bits));
        }
        assert!(shapes.known.len() <= KEPT + 1, "{} shapes are kept for nobody", shapes.known.len());
        assert!(Arc::ptr_eq(one.shape(), &shapes.of(&mask(1))));
    }
}
