//! ovs-appctl: asks and controls a running daemon.

fn main() {
    std::process::exit(appctl::main())
}
