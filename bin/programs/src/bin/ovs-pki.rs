//! ovs-pki: a small certificate authority.

fn main() {
    std::process::exit(pki::main())
}
