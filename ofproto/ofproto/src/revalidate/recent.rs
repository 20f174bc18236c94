//! Lists that were made lately: flows made one after another often do the same, and share one list then.

use std::sync::Arc;

/// Lists kept.
const KEPT: usize = 16;

/// The lists made lately.
#[derive(Clone, Debug)]
pub(super) struct Recent<T> {
    lists: Vec<Arc<[T]>>,
    oldest: usize,
}

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Recent { lists: Vec::new(), oldest: 0 }
    }
}

impl<T> Recent<T> {
    /// The list that says the same, or one made of the new one.
    pub(super) fn share(&mut self, list: Vec<T>, is_same: impl Fn(&T, &T) -> bool) -> Arc<[T]> {
        let same = |known: &Arc<[T]>| known.len() == list.len() && known.iter().zip(&list).all(|(a, b)| is_same(a, b));
        if let Some(known) = self.lists.iter().find(|known| same(known)) {
            return Arc::clone(known);
        }
        let list: Arc<[T]> = list.into();
        if self.lists.len() < KEPT {
            self.lists.push(Arc::clone(&list));
        } else {
            self.lists[self.oldest] = Arc::clone(&list);
            self.oldest = (self.oldest + 1) % KEPT;
        }
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_lists_are_shared_and_few_are_kept() {
        let mut recent = Recent::default();
        let one = recent.share(vec![1, 2], i32::eq);
        assert!(Arc::ptr_eq(&one, &recent.share(vec![1, 2], i32::eq)));
        assert!(!Arc::ptr_eq(&one, &recent.share(vec![1], i32::eq)));
        for i in 0..100 {
            recent.share(vec![i], i32::eq);
        }
        assert_eq!(recent.lists.len(), KEPT);
        assert_eq!(Arc::strong_count(&one), 1, "nobody else has it any more");
    }
}
