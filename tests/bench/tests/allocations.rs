//! Encoding into a buffer that is large enough takes no memory: a switch that sends a million packet-ins asks the
//! allocator for none of them.

use std::alloc::System;

use bench::{dialect, flow_mod, packet_in};
use openflow::Version;
use openflow::message::{encode_flow_mod, encode_into};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Allocations of one run of `work`, once what is set up on first use is there. Other threads of the test's process
/// may allocate meanwhile: the least of several runs is the work's own.
fn allocations(mut work: impl FnMut()) -> usize {
    work();
    (0..5)
        .map(|_| {
            let region = Region::new(ALLOCATOR);
            work();
            region.change().allocations
        })
        .min()
        .unwrap_or(0)
}

#[test]
fn encoding_takes_no_memory() {
    let (flow_mod, packet_in) = (flow_mod(), packet_in());
    let mut out = Vec::with_capacity(1 << 10);
    for version in [Version::V10, Version::V12, Version::V13, Version::V14, Version::V15] {
        let n = allocations(|| {
            out.clear();
            encode_flow_mod(&mut out, dialect(version), &flow_mod, true, version, 1).expect("sayable");
        });
        assert_eq!(n, 0, "flow-mod of {version}");
        let n = allocations(|| {
            out.clear();
            encode_into(&mut out, &packet_in, version, 0).expect("sayable");
        });
        assert_eq!(n, 0, "packet-in of {version}");
    }
}
