//! Keys without zero words agree with whole keys; symmetric hashes are symmetric.

use std::sync::Arc;

use flow::classifier::Shapes;
use flow::{Key, Mask, MiniKey, WORDS, hash};
use proptest::prelude::*;

fn sparse() -> impl Strategy<Value = [u64; WORDS]> {
    proptest::collection::vec((0..WORDS, any::<u64>()), 0..20).prop_map(|words| {
        let mut all = [0; WORDS];
        words.into_iter().for_each(|(i, w)| all[i] = w);
        all
    })
}

proptest! {
    #[test]
    fn round_trip(words in sparse()) {
        let key = Key(words);
        let mini = MiniKey::from(&key);
        prop_assert_eq!(mini.to_key(), key.clone());
        prop_assert_eq!(mini.iter().count(), words.iter().filter(|w| **w != 0).count());
    }

    /// Bits outside the mask do not change the verdict; a bit inside does. A shape is found again.
    #[test]
    fn masks_decide(key in sparse(), mask in sparse(), noise in sparse(), flip in 0..WORDS * 64) {
        let (key, mask) = (Key(key), Mask(mask));
        let mut shapes = Shapes::default();
        let matching = shapes.matching(&key, &mask);
        prop_assert_eq!((matching.key(), matching.mask()), (key.masked(&mask), mask.clone()));
        prop_assert!(Arc::ptr_eq(&shapes.of(&mask), matching.shape()));
        let mut noisy = key.clone();
        (0..WORDS).for_each(|i| noisy.0[i] ^= noise[i] & !mask.0[i]);
        prop_assert!(matching.matches(&noisy));
        let (word, bit) = (flip / 64, 1u64 << (flip % 64));
        noisy.0[word] ^= bit;
        prop_assert_eq!(matching.matches(&noisy), mask.0[word] & bit == 0);
        let mut other = mask.clone();
        other.0[word] ^= bit;
        prop_assert!(!Arc::ptr_eq(&shapes.of(&other), matching.shape()));
    }

    #[test]
    fn both_directions_hash_alike(words in sparse(), v6 in any::<bool>()) {
        let mut key = Key(words);
        key.set_dl_type(if v6 { 0x86dd } else { 0x0800 });
        let mut back = key.clone();
        back.set_dl_src(key.dl_dst());
        back.set_dl_dst(key.dl_src());
        back.set_nw_src(key.nw_dst());
        back.set_nw_dst(key.nw_src());
        back.set_ipv6_src(key.ipv6_dst());
        back.set_ipv6_dst(key.ipv6_src());
        back.set_tp_src(key.tp_dst());
        back.set_tp_dst(key.tp_src());
        prop_assert_eq!(hash::symmetric_l4(&key, 3, true), hash::symmetric_l4(&back, 3, true));
        prop_assert_eq!(hash::symmetric_l3l4(&key, 3, false), hash::symmetric_l3l4(&back, 3, false));
        prop_assert_eq!(hash::symmetric_l3(&key, 3), hash::symmetric_l3(&back, 3));
        prop_assert_eq!(hash::symmetric_l2(&key, 3), hash::symmetric_l2(&back, 3));
    }
}
