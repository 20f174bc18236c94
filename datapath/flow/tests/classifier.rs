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
        mask
    })
}

fn linear<'a>(rules: &'a [Arc<Rule>], key: &Key) -> Option<&'a Arc<Rule>> {
    rules.iter().filter(|r| r.mini.matches(key)).max_by_key(|r| r.priority)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

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
            classifier.set_prefix_fields(&[PrefixField::Ipv4Src, PrefixField::Ipv6Dst]);
        }
        for index in removed {
            if model.is_empty() { break; }
            let rule = model.swap_remove(index.index(model.len()));
            prop_assert!(classifier.remove(&rule.mini, rule.priority).is_some());
        }
        prop_assert_eq!(classifier.view().len(), model.len());
        for f in &packets {
            let key = key(f);
            let mut wc = Mask::EMPTY;
            let found = classifier.view().lookup(&key, &mut wc).map(|r| r.priority);
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
