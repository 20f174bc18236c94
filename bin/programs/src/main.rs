//! `troupe`: the whole switch in one process on an embedded database; and, under another name, any of its tools.

mod troupe;

use std::path::Path;

/// As in the switch's and the database's own programs.
#[global_allocator]
static ALLOCATOR: sys::heap::Heap = sys::heap::Heap;

fn main() {
    let name = std::env::args().next().unwrap_or_default();
    let name = Path::new(&name).file_name().and_then(|n| n.to_str()).unwrap_or("troupe").to_owned();
    let code = match name.as_str() {
        "ovs-vsctl" => vsctl::main(),
        "ovs-ofctl" => ofctl::main(),
        "ovs-appctl" => appctl::main(),
        _ => troupe::main(),
    };
    std::process::exit(code);
}
