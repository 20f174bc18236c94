//! The target `openflow_decode` for cargo-fuzz.
#![no_main]

#[path = "../targets.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::openflow_decode(data));
