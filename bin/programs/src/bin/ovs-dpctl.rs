//! ovs-dpctl: looks at the datapaths of the running switch.

fn main() {
    std::process::exit(appctl::dpctl::main())
}
