//! `troupe`: the whole switch in one process.
fn main() {}
