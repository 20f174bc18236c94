//! ovs-vsctl: changes and shows the configuration of the switch.

fn main() {
    std::process::exit(vsctl::main())
}
