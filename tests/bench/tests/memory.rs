//! What a cached flow costs in memory, with the datapath and the bridge together.

use std::alloc::System;

use bench::switch::{Switch, no_wildcards};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Octets of a flow at the most; Open vSwitch 3.1 takes some 3,600.
const OCTETS: usize = 900;

#[test]
fn a_cached_flow_takes_little() {
    let mut switch = Switch::new(&no_wildcards());
    switch.miss();
    let before = switch.datapath.n_flows();
    let region = Region::new(ALLOCATOR);
    while switch.datapath.n_flows() < before + 20_000 {
        switch.miss();
    }
    let change = region.change();
    let taken = change.bytes_allocated - change.bytes_deallocated;
    let each = taken / (switch.datapath.n_flows() - before);
    assert!(each <= OCTETS, "{each} octets a flow");
}
