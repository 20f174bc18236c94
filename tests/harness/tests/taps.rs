//! Ports whose devices are the switch's own taps: the host's frames and those for the host, whole, counted and seen,
//! whether the kernel forwards them by itself or not.

use harness::lab::{Guest, Lab, on_lab, ping};
use harness::process;
use harness::side::Side;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(60);

fn need(what: &str, holds: bool) -> Result<(), String> {
    if holds { Ok(()) } else { Err(format!("not so: {what}")) }
}

/// Gives the host addresses on a device.
fn at_home(lab: &Lab, device: &str) -> Result<(), String> {
    lab.host.line(&format!("ip addr add 10.9.0.250/24 dev {device}"))?;
    lab.host.line(&format!("ip addr add fd09::250/64 dev {device} nodad"))?;
    lab.host.line(&format!("ip link set {device} up")).map(drop)
}

/// Waits until host and guest reach each other.
fn met(lab: &Lab, guest: &Guest) -> Result<(), String> {
    let answers = |to: &str| ping(&lab.host, to, 1, &["-W", "0.5"]).is_ok_and(|n| n == 1);
    process::until("the guest to answer the host", SOON, || answers(&guest.ip) && answers(&guest.ip6))
}

/// Pings the guest until the kernel forwards some of it by itself.
fn warm(lab: &Lab, guest: &Guest) -> Result<(), String> {
    if lab.lacks_kernel_path() {
        return Ok(());
    }
    let before = lab.kernel_path("hits")?;
    process::until("the kernel to forward by itself", SOON, || {
        ping(&lab.host, &guest.ip, 30, &[]).is_ok() && lab.kernel_path("hits").is_ok_and(|hits| hits > before)
    })
}

/// What the host sends arrives as it was, and what it is sent, whoever leaves checksums and segments to others.
fn whole(lab: &Lab, guest: &Guest, device: &str) -> Result<(), String> {
    for (left, right) in [("on", "on"), ("off", "on"), ("on", "off")] {
        lab.host.line(&format!("ethtool -K {device} tx {left} tso {left} gso {left} gro {right}"))?;
        guest.space.line(&format!("ethtool -K eth0 tx {right} tso {right} gso {right} gro {left}"))?;
        lab.host.sends(&guest.space, &guest.ip, 300_000)?;
        guest.space.sends(&lab.host, "10.9.0.250", 300_000)?;
        lab.host.sends(&guest.space, &guest.ip6, 300_000)?;
        guest.space.sends(&lab.host, "fd09::250", 300_000)?;
    }
    Ok(())
}

/// Has the kernel forward by itself what it can, or nothing.
fn fast(lab: &Lab, is_on: bool) -> Result<(), String> {
    lab.vsctl(&format!("set open_vswitch . other_config:kernel-fast-path={is_on}")).map(drop)
}

#[test]
fn what_the_host_sends_and_is_sent_arrives_whole() {
    on_lab(Side::debian(), &[], |lab| {
        let guests = lab.bridge_with_guests(1, 1500)?;
        let guest = &guests[0];
        at_home(lab, "br0")?;
        met(lab, guest)?;
        whole(lab, guest, "br0")?;
        warm(lab, guest)?;
        need(
            "what is too long is told of",
            ping(&lab.host, &guest.ip, 1, &["-M", "do", "-s", "1473"]).is_ok_and(|n| n == 0),
        )?;
        need("what is not passes", ping(&lab.host, &guest.ip, 40, &["-M", "do", "-s", "1472"])? == 40)?;
        fast(lab, false)?;
        whole(lab, guest, "br0")?;
        lab.vsctl("set interface br0 mtu_request=9000")?;
        lab.host.line("ip link set v1 mtu 9000")?;
        guest.space.line("ip link set eth0 mtu 9000")?;
        fast(lab, true)?;
        whole(lab, guest, "br0")?;
        need("long ones pass", ping(&lab.host, &guest.ip, 40, &["-M", "do", "-s", "8972"])? == 40)
    });
}

/// An internal port in VLAN 10 of one bridge, a guest in VLAN 10 of another, a trunk between them.
#[test]
fn tags_are_put_on_and_taken_off_between_host_and_guest() {
    on_lab(Side::debian(), &[], |lab| {
        let guests = lab.bridge_with_guests(1, 1500)?;
        let guest = &guests[0];
        lab.host.line("ip link add t1 type veth peer name t2")?;
        ["t1", "t2"].iter().try_for_each(|end| lab.host.line(&format!("ip link set {end} up")).map(drop))?;
        lab.vsctl("set port v1 tag=10 -- add-port br0 t1 -- add-br br1 -- add-port br1 t2")?;
        lab.vsctl("add-port br1 i1 tag=10 -- set interface i1 type=internal")?;
        at_home(lab, "i1")?;
        met(lab, guest)?;
        warm(lab, guest)?;
        whole(lab, guest, "i1")?;
        lab.vsctl("set port i1 tag=11")?;
        lab.settled()?;
        need("in another VLAN nobody answers", ping(&lab.host, &guest.ip, 3, &[])? == 0)
    });
}

#[test]
fn all_is_counted_and_seen_at_a_tap() {
    on_lab(Side::debian(), &[], |lab| {
        let guests = lab.bridge_with_guests(1, 1500)?;
        let guest = &guests[0];
        lab.host.line("sysctl -qw net.ipv6.conf.all.disable_ipv6=1")?;
        lab.host.line("ip addr add 10.9.0.250/24 dev br0")?;
        lab.host.line("ip link set br0 up")?;
        let answers = || ping(&lab.host, &guest.ip, 1, &[]).is_ok_and(|n| n == 1);
        process::until("the guest to answer", SOON, answers)?;
        warm(lab, guest)?;
        lab.ofctl("del-flows br0")?;
        lab.ruled("add-flow", "actions=normal")?;
        let received = || -> Result<u64, String> {
            let text = lab.ofctl("dump-ports br0 LOCAL")?;
            let n = text.split("rx pkts=").nth(1).and_then(|rest| rest.split(',').next()?.trim().parse().ok());
            n.ok_or_else(|| format!("no count: {text}"))
        };
        let before = received()?;
        need("all echoes come back", ping(&lab.host, &guest.ip, 200, &[])? == 200)?;
        let after = received()?;
        need(&format!("the port counted them: {before}, {after}"), (before + 200..before + 220).contains(&after))?;
        // Whoever begins to watch the device sees all that the host sends from then on.
        let log = lab.place.dir().join("tcpdump.log");
        let words = ["tcpdump", "-lni", "br0", "-c", "60", "icmp[icmptype] = icmp-echo"];
        let mut watcher = lab.host.start(&words, &log)?;
        let said = || std::fs::read_to_string(&log).unwrap_or_default();
        process::until("tcpdump to listen", SOON, || said().contains("listening on"))?;
        let seen = || said().matches("ICMP echo request").count();
        process::until("60 echo requests to be seen", SOON, || {
            ping(&lab.host, &guest.ip, 20, &[]).is_ok() && seen() >= 60
        })?;
        watcher.wait(SOON);
        warm(lab, guest)
    });
}

#[test]
fn a_port_that_moves_to_a_guest_goes_on() {
    on_lab(Side::debian(), &[], |lab| {
        let guests = lab.bridge_with_guests(1, 1500)?;
        let guest = &guests[0];
        let other = lab.guest(2, 1500)?;
        lab.vsctl("add-port br0 i1 -- set interface i1 type=internal")?;
        at_home(lab, "i1")?;
        met(lab, guest)?;
        warm(lab, guest)?;
        lab.host.line(&format!("ip link set i1 netns {}", other.space.name()))?;
        other.space.line("ip addr del 10.9.0.2/24 dev eth0")?;
        other.space.line("ip addr add 10.9.0.250/24 dev i1")?;
        other.space.line("ip link set i1 up")?;
        process::until("the guest to answer from there", SOON, || other.reaches(&guest.ip))?;
        need("all of it", other.ping(&guest.ip, 60)? == 60)?;
        other.sends(guest, &guest.ip, 300_000)?;
        guest.sends(&other, "10.9.0.250", 300_000)
    });
}

/// With threads of their own for ports, taps have theirs as rings do; whichever it is.
#[test]
fn any_thread_may_have_a_tap() {
    on_lab(Side::troupe(), &["--enable-dummy", "--dummy-numa=0,0"], |lab| {
        lab.vsctl("set open_vswitch . other_config:pmd-cpu-mask=3 other_config:kernel-fast-path=false")?;
        let guests = lab.bridge_with_guests(1, 1500)?;
        let guest = &guests[0];
        at_home(lab, "br0")?;
        met(lab, guest)?;
        let resets = || lab.vsctl("get interface br0 link_resets");
        let before = resets()?;
        for core in ["0", "1"] {
            lab.vsctl(&format!("set interface br0 other_config:pmd-rxq-affinity=0:{core}"))?;
            let received = || -> Result<u64, String> {
                let shown = lab.appctl(&format!("dpif-netdev/pmd-stats-show -pmd {core}"))?;
                let n = shown.lines().find_map(|line| line.trim().strip_prefix("packets received: ")?.parse().ok());
                n.ok_or_else(|| format!("no count: {shown}"))
            };
            let is_there = || -> Result<bool, String> {
                let shown = lab.appctl(&format!("dpif-netdev/pmd-rxq-show -pmd {core}"))?;
                Ok(shown.lines().any(|line| line.contains("port: br0 ")))
            };
            process::until("the tap to be the thread's", SOON, || is_there().is_ok_and(|yes| yes))?;
            let came = received()?;
            whole(lab, guest, "br0")?;
            need("the thread received it", received()? > came + 100)?;
        }
        lab.vsctl("remove open_vswitch . other_config pmd-cpu-mask")?;
        need("the main thread has it again", ping(&lab.host, &guest.ip, 20, &[])? >= 19)?;
        need("its link never went", resets()? == before)
    });
}

#[test]
fn a_killed_switch_leaves_nothing_at_a_tap() {
    on_lab(Side::debian(), &[], |lab| {
        let guests = lab.bridge_with_guests(1, 1500)?;
        let guest = &guests[0];
        at_home(lab, "br0")?;
        met(lab, guest)?;
        warm(lab, guest)?;
        lab.place.switch().ok_or("no switch")?.kill();
        need("nothing passes any more", ping(&lab.host, &guest.ip, 3, &[]).is_ok_and(|n| n == 0))?;
        lab.place.start_switch(&[])?;
        met(lab, guest)?;
        warm(lab, guest)
    });
}

/// When the command that takes a port away ends, its device is gone, whoever polled it, and the next may have its name.
#[test]
fn a_port_that_is_deleted_is_gone() {
    on_lab(Side::debian(), &["--enable-dummy", "--dummy-numa=0,0"], |lab| {
        lab.vsctl("add-br br0 -- set bridge br0 datapath_type=netdev")?;
        for mask in ["", " -- set open_vswitch . other_config:pmd-cpu-mask=3"] {
            for _ in 0..8 {
                lab.vsctl(&format!("add-port br0 i1 -- set interface i1 type=internal{mask}"))?;
                lab.host.line("ip link set i1 up")?;
                lab.vsctl("del-port i1")?;
                need("the device is gone", lab.host.line("ip link show i1").is_err())?;
                lab.vsctl("add-port br0 i1 -- set interface i1 type=internal")?;
                need("there is no error", lab.vsctl("get interface i1 error")?.trim() == "[]")?;
                lab.vsctl("del-port i1 -- add-port br0 i1 -- set interface i1 type=internal")?;
                need("there is no error", lab.vsctl("get interface i1 error")?.trim() == "[]")?;
                lab.host.line("ip link set i1 up")?;
                lab.vsctl("del-port i1")?;
            }
        }
        Ok(())
    });
}

/// A thread that dies takes no tap with it: the next one has it, and the device never goes.
#[test]
fn a_tap_outlives_the_thread_that_had_it() {
    on_lab(Side::troupe(), &["--enable-dummy", "--dummy-numa=0,0"], |lab| {
        lab.vsctl("set open_vswitch . other_config:pmd-cpu-mask=3")?;
        let guests = lab.bridge_with_guests(1, 1500)?;
        let guest = &guests[0];
        at_home(lab, "br0")?;
        for name in ["datapath system core 0", "datapath system core 1", "datapath system"] {
            met(lab, guest)?;
            lab.tool_args("ovs-appctl", &["-T", "60", "actor/panic", name])?;
            met(lab, guest)?;
            need("its addresses stayed", lab.host.line("ip addr show br0")?.contains("10.9.0.250/24"))?;
        }
        Ok(())
    });
}
