//! Packets of new flows: received, translated, sent on, and their flows installed.

use bench::switch::{BURST, Switch, no_wildcards};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// Flows after which the cache is emptied.
const FLOWS: usize = 200_000;

fn misses(c: &mut Criterion) {
    let mut group = c.benchmark_group("miss");
    group.throughput(Throughput::Elements(BURST as u64));
    let normal = || vec!["actions=NORMAL".to_owned()];
    for (name, rules, has_room) in [
        ("normal", normal(), true),
        ("setup", no_wildcards(), true),
        // The cache is full: packets are sent on, and no flow is kept.
        ("full", no_wildcards(), false),
    ] {
        let mut switch = Switch::new(&rules);
        switch.has_room = has_room;
        switch.miss();
        assert_eq!(switch.datapath.n_flows() > 0, has_room, "flows are installed if there is room");
        let mut n = 0;
        group.bench_function(name, |b| {
            b.iter(|| {
                switch.miss();
                n += BURST;
                if n >= FLOWS {
                    switch.purge();
                    n = 0;
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, misses);
criterion_main!(benches);
