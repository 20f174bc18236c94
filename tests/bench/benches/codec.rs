//! The OpenFlow codec: flow-mods decoded and encoded a second, packet-ins encoded a second, flows from and to text.

use std::hint::black_box;

use bench::{FLOW, dialect, flow_mod, flow_mod_octets, packet_in};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use openflow::flow_mod::{Command, FlowModCommand, format_match, parse_flow_mod};
use openflow::message::{decode, encode_flow_mod, encode_into};
use openflow::{Names, Style, Version};

const VERSIONS: [Version; 3] = [Version::V10, Version::V13, Version::V15];

fn flow_mods(c: &mut Criterion) {
    let mut group = c.benchmark_group("flow_mod");
    group.throughput(Throughput::Elements(1));
    let flow_mod = flow_mod();
    for version in VERSIONS {
        let octets = flow_mod_octets(version);
        group.bench_function(format!("decode/{version}"), |b| b.iter(|| decode(black_box(&octets))));
        let mut out = Vec::with_capacity(octets.len());
        group.bench_function(format!("encode/{version}"), |b| {
            b.iter(|| {
                out.clear();
                encode_flow_mod(&mut out, dialect(version), black_box(&flow_mod), true, version, 1)
            });
        });
    }
    group.finish();
}

fn packet_ins(c: &mut Criterion) {
    let mut group = c.benchmark_group("packet_in");
    group.throughput(Throughput::Elements(1));
    let message = packet_in();
    let mut out = Vec::with_capacity(256);
    for version in VERSIONS {
        group.bench_function(format!("encode/{version}"), |b| {
            b.iter(|| {
                out.clear();
                encode_into(&mut out, black_box(&message), version, 0)
            });
        });
    }
    group.finish();
}

fn text(c: &mut Criterion) {
    let mut group = c.benchmark_group("text");
    group.throughput(Throughput::Elements(1));
    group.bench_function("parse_flow", |b| {
        b.iter(|| parse_flow_mod(black_box(FLOW), Command::Mod(FlowModCommand::Add), Names::NONE));
    });
    let matching = flow_mod().matching;
    group.bench_function("format_match", |b| {
        b.iter(|| format_match(black_box(&matching), Some(100), &Style::PLAIN));
    });
    group.finish();
}

criterion_group!(benches, flow_mods, packet_ins, text);
criterion_main!(benches);
