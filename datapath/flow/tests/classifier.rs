//! The classifier against a linear scan, and its masks against every packet they admit.

use flow::classifier::{Classifier, Conjunction, Entry, MiniMatch, PrefixField};
use flow::{Key, Mask, WORDS};
use proptest::prelude::*;
use std::sync::Arc;

#[derive(Debug)]
struct Rule {
    mini: MiniMatch,
    priority: i32,
    conjunctions: Vec<Conjunction>,
}

impl Entry for Rule {
    fn mini(&self) -> &MiniMatch {
        &self.mini
    }
    fn priority(&self) -> i32 {
        self.priority
    }
    fn conjunctions(&self) -> &[Conjunction] {
        &self.conjunctions
    }
}

/// A small world, so that rules and packets meet: few values a field, few masks.
#[derive(Clone, Debug)]
struct Fields {
    in_port: u32,
    dl_src: u64,
    nw_src: u32,
    nw_dst: u32,
    tp_dst: u16,
}

fn fields() -> impl Strategy<Value = Fields> {
    let ip = prop::sample::select(vec![0x0a000001u32, 0x0a000002, 0x0a000101, 0x0b000001, 0xc0a80001]);
    let port = prop::sample::select(vec![80u16, 81, 443, 8080, 0x8000]);
    (0u32..3, 0u64..3, ip.clone(), ip, port).prop_map(|(in_port, dl_src, nw_src, nw_dst, tp_dst)| Fields {
        in_port,
        dl_src,
        nw_src,
        nw_dst,
        tp_dst,
    })
}

fn key(f: &Fields) -> Key {
    let mut key = Key::EMPTY;
    key.set_in_port(f.in_port);
    key.set_dl_src(f.dl_src);
    key.set_dl_type(0x0800);
    key.set_nw_src(f.nw_src);
    key.set_nw_dst(f.nw_dst);
    key.set_tp_dst(f.tp_dst);
    key.set_tun_id(u64::from(f.nw_dst) << 24);
    key
}

fn mask() -> impl Strategy<Value = Mask> {
    let prefix = prop::sample::select(vec![0u32, 0, 0xff000000, 0xffff0000, 0xffffff00, 0xffffffff, 0xff0000ff]);
    let port = prop::sample::select(vec![0u16, 0, 0xffff, 0xfff0]);
    (any::<bool>(), any::<bool>(), prefix.clone(), prefix, port).prop_map(|(in_port, dl_src, src, dst, port)| {
        let mut mask = Mask::EMPTY;
        if in_port {
            mask.set_in_port(u32::MAX);
        }
        if dl_src {
            mask.set_dl_src(u64::MAX);
        }
        mask.set_nw_src(src);
        mask.set_nw_dst(dst);
        mask.set_tp_dst(port);
        mask.set_tun_id(u64::from(src) << 32 | u64::from(port) << 16);
        mask
    })
}

fn linear<'a>(rules: &'a [Arc<Rule>], key: &Key) -> Option<&'a Arc<Rule>> {
    rules.iter().filter(|r| r.mini.matches(key)).max_by_key(|r| r.priority)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn equals_a_linear_scan(
        rules in prop::collection::vec((fields(), mask()), 0..40),
        removed in prop::collection::vec(any::<prop::sample::Index>(), 0..10),
        packets in prop::collection::vec(fields(), 1..20),
        noise in prop::collection::vec(any::<u64>(), WORDS),
        all_tries: bool,
    ) {
        let mut classifier = Classifier::default();
        let mut model: Vec<Arc<Rule>> = Vec::new();
        for (i, (f, m)) in rules.iter().enumerate() {
            // Distinct priorities: between equals the choice is free.
            let rule = Arc::new(Rule { mini: MiniMatch::new(&key(f), m), priority: (i * 7919 % 101) as i32, conjunctions: vec![] });
            if model.iter().any(|r| r.priority == rule.priority) { continue; }
            prop_assert!(classifier.insert(rule.clone()).is_none());
            model.push(rule);
        }
        if all_tries {
            classifier.set_prefix_fields(&[PrefixField::Ipv4Src, PrefixField::Ipv6Dst, PrefixField::TunId]);
        }
        for index in removed {
            if model.is_empty() { break; }
            let rule = model.swap_remove(index.index(model.len()));
            prop_assert!(classifier.remove(&rule.mini, rule.priority).is_some());
        }
        // The last rule is only in a version beside the writer's.
        let mut view = classifier.view().clone();
        if let Some(rule) = model.last() {
            classifier.remove(&rule.mini, rule.priority);
            view = classifier.view().with(rule.clone());
            prop_assert!(Arc::ptr_eq(view.exact(&rule.mini, rule.priority).unwrap(), rule));
            prop_assert_eq!(view.with(rule.clone()).len(), view.len());
            prop_assert!(classifier.exact(&rule.mini, rule.priority).is_none());
        }
        prop_assert_eq!(view.len(), model.len());
        for f in &packets {
            let key = key(f);
            let mut wc = Mask::EMPTY;
            let found = view.lookup(&key, &mut wc).map(|r| r.priority);
            prop_assert_eq!(found, linear(&model, &key).map(|r| r.priority));
            // Any other packet that agrees in the bits of `wc` meets the same rule.
            let mut other = key.clone();
            for (i, word) in other.0.iter_mut().enumerate() {
                *word = (*word & wc.0[i]) | (noise[i] & !wc.0[i]);
            }
            prop_assert_eq!(linear(&model, &other).map(|r| r.priority), found);
        }
    }
}

/// What a table with conjunctive rules answers, found slowly: level by level of priorities, from the highest down.
fn linear_conjunctive<'a>(rules: &'a [Arc<Rule>], key: &Key) -> Option<&'a Arc<Rule>> {
    let plain: Vec<Arc<Rule>> = rules.iter().filter(|r| r.conjunctions.is_empty()).cloned().collect();
    let mut levels: Vec<i32> = rules.iter().map(|r| r.priority).collect();
    levels.sort_unstable();
    levels.dedup();
    for level in levels.into_iter().rev() {
        let here = || rules.iter().filter(|r| r.priority == level && r.mini.matches(key));
        if let Some(rule) = here().find(|r| r.conjunctions.is_empty()) {
            return Some(rule);
        }
        let met = here().flat_map(|r| &r.conjunctions).fold(0u32, |met, c| met | 1 << c.clause);
        let n_clauses = here().flat_map(|r| &r.conjunctions).map(|c| c.n_clauses).next().unwrap_or(2);
        if met == (1 << n_clauses) - 1 {
            let mut with_id = key.clone();
            with_id.set_conj_id(level as u32);
            if let Some(found) = linear(&plain, &with_id) {
                return rules.iter().find(|r| Arc::ptr_eq(r, found));
            }
        }
    }
    None
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn conjunctions_equal_a_linear_scan(
        plain in prop::collection::vec((fields(), mask()), 0..10),
        clauses in prop::collection::vec((fields(), mask(), 0u8..3, 0usize..2), 0..24),
        ids in prop::collection::vec(any::<bool>(), 2),
        packets in prop::collection::vec(fields(), 1..20),
        noise in prop::collection::vec(any::<u64>(), WORDS),
    ) {
        let mut model: Vec<Arc<Rule>> = Vec::new();
        let mut classifier = Classifier::default();
        let mut add = |mini: MiniMatch, priority, conjunctions| {
            let rule = Arc::new(Rule { mini, priority, conjunctions });
            if !model.iter().any(|r| r.priority == priority && r.mini.same_as(&rule.mini)) {
                classifier.insert(rule.clone());
                model.push(rule);
            }
        };
        // Plain rules have priorities of their own; clauses share two levels, each of one conjunction.
        for (i, (f, m)) in plain.iter().enumerate() {
            add(MiniMatch::new(&key(f), m), i as i32 * 20 + 1, vec![]);
        }
        for (f, m, clause, level) in &clauses {
            let (priority, n_clauses) = ([50, 110][*level], 2 + *level as u8);
            let conjunction = Conjunction { id: priority as u32, clause: clause % n_clauses, n_clauses };
            add(MiniMatch::new(&key(f), m), priority, vec![conjunction]);
        }
        for (i, _) in ids.iter().enumerate().filter(|(_, there)| **there) {
            let (mut k, mut m) = (Key::EMPTY, Mask::EMPTY);
            k.set_conj_id([50, 110][i]);
            m.set_conj_id(u32::MAX);
            add(MiniMatch::new(&k, &m), 3 + i as i32, vec![]);
        }
        for f in &packets {
            let key = key(f);
            let mut wc = Mask::EMPTY;
            let found = classifier.view().lookup(&key, &mut wc).map(|r| r.priority);
            prop_assert_eq!(found, linear_conjunctive(&model, &key).map(|r| r.priority));
            let mut other = key.clone();
            for (i, word) in other.0.iter_mut().enumerate() {
                *word = (*word & wc.0[i]) | (noise[i] & !wc.0[i]);
            }
            other.set_conj_id(0);
            prop_assert_eq!(linear_conjunctive(&model, &other).map(|r| r.priority), found);
        }
    }

    #[test]
    fn taking_out_many_leaves_the_rest(
        rules in prop::collection::vec((fields(), mask(), 0i32..4), 0..600),
        stay in prop::collection::vec(any::<bool>(), 600),
        packets in prop::collection::vec(fields(), 1..10),
    ) {
        let mut classifier = Classifier::default();
        let mut model: Vec<Arc<Rule>> = Vec::new();
        for (f, m, priority) in &rules {
            let rule = Arc::new(Rule { mini: MiniMatch::new(&key(f), m), priority: *priority, conjunctions: vec![] });
            if classifier.insert(rule.clone()).is_none() { model.push(rule); } else {
                let twin = model.iter_mut().find(|r| r.priority == rule.priority && r.mini.same_as(&rule.mini));
                *twin.unwrap() = rule;
            }
        }
        let before = classifier.view().clone();
        let (rest, gone): (Vec<_>, Vec<_>) = model.iter().cloned().zip(&stay).partition(|(_, stay)| **stay);
        let gone: Vec<_> = gone.into_iter().map(|(r, _)| r).collect();
        let rest: Vec<_> = rest.into_iter().map(|(r, _)| r).collect();
        classifier.remove_all(&gone, |r| rest.iter().any(|s| std::ptr::eq(&**s, r)));
        prop_assert_eq!((classifier.view().len(), before.len()), (rest.len(), model.len()));
        for f in &packets {
            let key = key(f);
            for (view, model) in [(classifier.view(), &rest), (&before, &model)] {
                let found = view.lookup(&key, &mut Mask::EMPTY.clone()).map(|r| r.priority);
                prop_assert_eq!(found, linear(model, &key).map(|r| r.priority));
            }
        }
    }
}

#[test]
fn conjunctions_need_every_clause() {
    let mut classifier = Classifier::default();
    let mut add = |set: fn(&mut Key, &mut Mask), priority, conjunctions: Vec<Conjunction>| {
        let (mut k, mut m) = (Key::EMPTY, Mask::EMPTY);
        set(&mut k, &mut m);
        classifier.insert(Arc::new(Rule { mini: MiniMatch::new(&k, &m), priority, conjunctions }));
    };
    let clause = |clause| vec![Conjunction { id: 7, clause, n_clauses: 2 }];
    add(
        |k, m| {
            k.set_nw_src(1);
            m.set_nw_src(u32::MAX);
        },
        100,
        clause(0),
    );
    add(
        |k, m| {
            k.set_tp_dst(80);
            m.set_tp_dst(u16::MAX);
        },
        100,
        clause(1),
    );
    add(
        |k, m| {
            k.set_conj_id(7);
            m.set_conj_id(u32::MAX);
        },
        50,
        vec![],
    );
    add(|_, _| (), 1, vec![]);
    let lookup = |src, port| {
        let mut k = Key::EMPTY;
        k.set_nw_src(src);
        k.set_tp_dst(port);
        classifier.view().lookup(&k, &mut Mask::EMPTY.clone()).map(|r| r.priority)
    };
    assert_eq!(lookup(1, 80), Some(50));
    assert_eq!(lookup(1, 81), Some(1));
    assert_eq!(lookup(2, 80), Some(1));
}

#[test]
fn shapes_keep_their_order_and_the_last_takes_the_place_of_one_that_went() {
    // Shapes are letters: the nth matches on the nth bit of nw_src.
    let rule = |shape: char, priority| {
        let mut mask = Mask::EMPTY;
        mask.set_nw_src(1 << (shape as u32 - 'A' as u32));
        Arc::new(Rule { mini: MiniMatch::new(&Key::EMPTY, &mask), priority, conjunctions: vec![] })
    };
    let mut classifier = Classifier::default();
    let order = |classifier: &Classifier<Rule>| -> String {
        let letter = |r: &Arc<Rule>| char::from(b'A' + r.mini.mask().nw_src().trailing_zeros() as u8);
        classifier.view().iter().map(letter).collect()
    };
    for (add, shape, priority, expect) in [
        (true, 'A', 1, "A"),
        (true, 'B', 2, "BA"),
        (true, 'C', 3, "CBA"),
        (true, 'D', 2, "CBDA"),
        (true, 'E', 2, "CBDEA"),
        (true, 'F', 1, "CBDEAF"),
        (true, 'G', 3, "CGBDEAF"),
        (false, 'B', 2, "CGDEFA"),
        (true, 'H', 2, "CGDEHFA"),
        (false, 'C', 3, "GDEHAF"),
        (false, 'D', 2, "GEHFA"),
        (true, 'I', 2, "GEHIFA"),
    ] {
        let rule = rule(shape, priority);
        if add {
            drop(classifier.insert(rule))
        } else {
            drop(classifier.remove(&rule.mini, priority))
        }
        assert_eq!(order(&classifier), expect, "after {shape} {priority}");
    }
}
