//! OVN 23.03, as Debian packages it, over our database server and switch, beside itself over Debian's.

use harness::place::script_said;
use harness::side::Side;

fn said(side: Side) -> String {
    let name = format!("ovn{}{}", std::process::id(), &side.name[..1]);
    script_said(side, "ovn", "-n", &name).expect("a private place and a shell")
}

#[test]
fn ovn_runs_as_it_does_on_debians_open_vswitch() {
    let ours = said(Side::troupe());
    for line in [
        "up: 0",
        "ping: 3",
        "ping against an access list: 0",
        "ping of the router: 3",
        "ping by the gateway: 3",
        "first echoes that came back: 10",
    ] {
        assert!(ours.lines().any(|said| said == line), "no {line:?} in\n{ours}");
    }
    assert_eq!(ours, said(Side::debian()));
}
