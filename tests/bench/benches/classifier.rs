//! The classifier: packets looked up a second in tables of 1,000, 10,000 and 100,000 rules of 50 masks, with the bits that
//! decided (`lookup`) and without (`find`); and rules put in and taken out of such tables while a view of them is held
//! (`replace`). How each grows with the table is drawn in `target/criterion/classifier/report/index.html`.

use std::hint::black_box;

use bench::rules::classifier;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use flow::Mask;
use flow::classifier::Entry;

const SIZES: [usize; 3] = [1_000, 10_000, 100_000];

fn look_ups(c: &mut Criterion) {
    let mut group = c.benchmark_group("classifier");
    for size in SIZES {
        let (classifier, packets) = classifier(size);
        group.throughput(Throughput::Elements(packets.len() as u64));
        group.bench_function(BenchmarkId::new("lookup", size), |b| {
            b.iter(|| {
                let mut wc = Mask::EMPTY;
                packets.iter().filter(|key| classifier.view().lookup(black_box(key), &mut wc).is_some()).count()
            });
        });
        group.bench_function(BenchmarkId::new("find", size), |b| {
            b.iter(|| packets.iter().filter(|key| classifier.view().find(black_box(key)).is_some()).count());
        });
    }
    group.finish();
}

fn changes(c: &mut Criterion) {
    let mut group = c.benchmark_group("classifier");
    group.throughput(Throughput::Elements(1));
    for size in SIZES {
        let (mut classifier, _) = classifier(size);
        let rules: Vec<_> = classifier.view().iter().take(1000).cloned().collect();
        let mut turn = rules.iter().cycle();
        group.bench_function(BenchmarkId::new("replace", size), |b| {
            b.iter(|| {
                let view = classifier.view().clone();
                if let Some(rule) = turn.next() {
                    classifier.remove(rule.mini(), rule.priority());
                    classifier.insert(rule.clone());
                }
                view.len()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, look_ups, changes);
criterion_main!(benches);
