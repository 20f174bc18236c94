//! ovs-ofctl: talks OpenFlow to a switch.

fn main() {
    std::process::exit(ofctl::main())
}
