//! The scripts that Debian packages around Open vSwitch, on our programs and on its own.

use harness::place::Place;
use harness::side::{self, Side};
use std::path::PathBuf;
use std::time::Duration;

/// What the whole script says on one side.
fn said(side: Side) -> String {
    let dir = PathBuf::from(format!("/tmp/scripts.{}/{}", std::process::id(), side.name));
    let place = Place::new(side, &dir).expect("a private place");
    let script = side::root().join("tests/clients/scripts.sh");
    let line = format!("exec unshare -n -m bash {} $PWD/scripts", script.display());
    let outcome = place.shell(&line, Duration::from_secs(240)).expect("a shell");
    format!("{}{}", outcome.stdout, outcome.stderr)
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
