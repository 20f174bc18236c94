//! OVN 23.03, as Debian packages it, over our database server and switch, beside itself over Debian's.

use harness::place::Place;
use harness::side::{self, Side};
use std::path::PathBuf;
use std::time::Duration;

/// What the whole script says on one side.
fn said(side: Side) -> String {
    let name = format!("ovn{}{}", std::process::id(), &side.name[..1]);
    let dir = PathBuf::from(format!("/tmp/ovn.{}/{}", std::process::id(), side.name));
    let place = Place::new(side, &dir).expect("a private place");
    let script = side::root().join("tests/clients/ovn.sh");
    let line = format!("exec unshare -n bash {} {name}", script.display());
    let outcome = place.shell(&line, Duration::from_secs(240)).expect("a shell");
    format!("{}{}", outcome.stdout, outcome.stderr)
}

#[test]
fn ovn_runs_as_it_does_on_debians_open_vswitch() {
    let ours = said(Side::troupe());
    for line in
        ["up: 0", "ping: 3", "ping against an access list: 0", "ping of the router: 3", "ping by the gateway: 3"]
    {
        assert!(ours.lines().any(|said| said == line), "no {line:?} in\n{ours}");
    }
    assert_eq!(ours, said(Side::debian()));
}
