//! The target `control_frames` for cargo-fuzz.
#![no_main]

#[path = "../targets.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::control_frames(data));
