//! The scripts that Debian packages around Open vSwitch, on our programs and on its own.

use harness::place::script_said;
use harness::side::Side;

fn said(side: Side) -> String {
    script_said(side, "scripts", "-n -m", "$PWD/scripts").expect("a private place and a shell")
}

#[test]
fn debians_scripts_run_as_on_debians_open_vswitch() {
    let (ours, debians) = std::thread::scope(|scope| {
        let debians = scope.spawn(|| said(Side::debian()));
        (said(Side::troupe()), debians.join().expect("Debian's side"))
    });
    for line in ["most echoes come back", "ovs-ctl restart: 0", "IP 10.7.0.2 > 10.7.0.1: ICMP echo reply, length 64"] {
        assert!(ours.lines().any(|said| said == line), "no {line:?} in\n{ours}");
    }
    assert_eq!(ours, debians);
}
