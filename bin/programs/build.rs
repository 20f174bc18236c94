//! The tools are linked to stand where they are linked: a program that may stand anywhere has 28,000 addresses to mend
//! before it begins, which is a fifth of the time of `ovs-vsctl`. The daemons, which strangers talk to, may.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    for tool in ["ovs-vsctl", "ovs-ofctl", "ovs-appctl", "ovs-dpctl", "ovs-pki", "ovsdb-client", "ovsdb-tool"] {
        println!("cargo:rustc-link-arg-bin={tool}=-no-pie");
    }
}
