//! The target `packet_extract` for cargo-fuzz.
#![no_main]

#[path = "../targets.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::packet_extract(data));
