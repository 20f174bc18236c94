//! Virtual machines on the switch: taps that a hypervisor made and holds, plugged in as any device, whole in every
//! direction whoever leaves what undone, by access ports and trunks, short and long, forwarded by the switch or by the
//! kernel itself.

use harness::lab::{Guest, Lab, Namespace, on_lab, ping};
use harness::process::{self, Daemon};
use harness::side::{self, Side};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(60);
/// Octets of TCP's streams.
const STREAM: usize = 200_000;
/// Where datagrams are answered.
const ANSWERS: &str = "7071";

fn need(what: &str, holds: bool) -> Result<(), String> {
    if holds { Ok(()) } else { Err(format!("not so: {what}")) }
}

/// A script of `tests/clients` that runs in a namespace and has said that it is ready.
fn script(space: &Namespace, name: &str, words: &[&str]) -> Result<Daemon, String> {
    let log = tempfile::NamedTempFile::new().map_err(|error| error.to_string())?;
    let path = side::root().join("tests/clients").join(name).display().to_string();
    let daemon = space.start(&[&["/usr/bin/python3", path.as_str()], words].concat(), log.path())?;
    let said = || std::fs::read_to_string(log.path()).unwrap_or_default();
    process::until(name, SOON, || said().contains("ready")).map_err(|why| format!("{why}: {}", said()))?;
    Ok(daemon)
}

/// A virtual machine whose tap `m1` is not yet a port.
fn machine(lab: &Lab, options: &[&str], mtu: u32) -> Result<(Guest, Daemon), String> {
    let space = Namespace::new("machine")?;
    let holder = script(&lab.host, "machine.py", &[&["m1", space.name()], options].concat())?;
    lab.host.line(&format!("ip link set m1 mtu {mtu} up"))?;
    space.line(&format!("ip link set eth0 mtu {mtu} up"))?;
    let (ip, ip6) = ("10.9.0.100".to_owned(), "fd09::64".to_owned());
    space.line(&format!("ip addr add {ip}/24 dev eth0"))?;
    space.line(&format!("ip addr add {ip6}/64 dev eth0 nodad"))?;
    let mac = space.line("cat /sys/class/net/eth0/address")?.trim().to_owned();
    Ok((Guest { space, port: "m1".to_owned(), ip, ip6, mac }, holder))
}

/// Streams and datagrams between two, in both directions, IPv4 and IPv6.
fn whole(near: &Namespace, far: &Guest, own: [&str; 2], mtu: usize) -> Result<(), String> {
    let _answers = script(&far.space, "datagrams.py", &["answer", ANSWERS])?;
    let asker = side::root().join("tests/clients/datagrams.py").display().to_string();
    let lengths = [0, 1, 17, 18, 1000, mtu - 48, mtu - 28, mtu, 20_000].map(|n| n.to_string());
    for (there, here) in [(far.ip.as_str(), own[0]), (far.ip6.as_str(), own[1])] {
        near.sends(&far.space, there, STREAM)?;
        far.space.sends(near, here, STREAM)?;
        let lengths: Vec<&str> = lengths.iter().map(String::as_str).collect();
        near.run(&[&["/usr/bin/python3", &asker, "ask", there, ANSWERS], lengths.as_slice()].concat())?;
    }
    Ok(())
}

/// With offloads on and off at either end of a veth and in the machine.
fn whole_whoever_leaves_it(lab: &Lab, guest: &Guest, machine: &Guest, mtu: usize) -> Result<(), String> {
    for (left, right) in [("on", "on"), ("off", "on"), ("on", "off")] {
        guest.space.line(&format!("ethtool -K eth0 tx {left} tso {left} gso {left}"))?;
        // A tap without virtio headers has nothing to switch on.
        let _ = machine.space.line(&format!("ethtool -K eth0 tx {right}"));
        whole(&guest.space, machine, [&guest.ip, &guest.ip6], mtu)?;
    }
    whole(&lab.host, machine, ["10.9.0.250", "fd09::250"], mtu)
}

fn answers(space: &Namespace, to: &Guest) -> bool {
    [&to.ip, &to.ip6].iter().all(|ip| ping(space, ip, 1, &["-W", "0.5"]).is_ok_and(|n| n == 1))
}

/// A machine, a guest on a veth and the host by the bridge's own port, all on one bridge.
fn one_bridge(options: &[&str], mtu: u32) {
    on_lab(Side::debian(), &[], |lab| {
        let guests = lab.bridge_with_guests(1, mtu)?;
        let (machine, _holder) = machine(lab, options, mtu)?;
        lab.vsctl(&format!("add-port br0 m1 -- set interface br0 mtu_request={mtu}"))?;
        lab.host.line("ip addr add 10.9.0.250/24 dev br0")?;
        lab.host.line("ip addr add fd09::250/64 dev br0 nodad")?;
        lab.host.line("ip link set br0 up")?;
        process::until("the machine to answer", SOON, || {
            answers(&guests[0].space, &machine) && answers(&lab.host, &machine)
        })?;
        whole_whoever_leaves_it(lab, &guests[0], &machine, mtu as usize)?;
        let size = (mtu - 28).to_string();
        let passed = ping(&guests[0].space, &machine.ip, 40, &["-M", "do", "-s", &size])?;
        need(&format!("all 40 of the longest pass: {passed}"), passed == 40)?;
        lab.vsctl("set open_vswitch . other_config:kernel-fast-path=false")?;
        whole_whoever_leaves_it(lab, &guests[0], &machine, mtu as usize)
    });
}

#[test]
fn a_machine_without_offloads() {
    one_bridge(&[], 1500);
}

#[test]
fn a_machine_with_offloads() {
    one_bridge(&["--offloads"], 1500);
}

#[test]
fn a_machine_with_many_queues_and_long_frames() {
    one_bridge(&["--offloads", "--queues", "3"], 9000);
}

/// The machine in VLAN 10 of one bridge, a guest and a port of the host's in VLAN 10 of another, a trunk between them.
#[test]
fn a_machine_behind_access_ports_and_a_trunk() {
    on_lab(Side::debian(), &[], |lab| {
        let guests = lab.bridge_with_guests(1, 1500)?;
        let (machine, _holder) = machine(lab, &["--offloads"], 1500)?;
        lab.host.line("ip link add t1 type veth peer name t2")?;
        ["t1", "t2"].iter().try_for_each(|end| lab.host.line(&format!("ip link set {end} up")).map(drop))?;
        lab.vsctl("set port v1 tag=10 -- add-port br0 t1 -- add-br br1 -- add-port br1 t2 trunks=10,11")?;
        lab.vsctl("add-port br0 i1 tag=10 -- set interface i1 type=internal -- add-port br1 m1 tag=10")?;
        lab.host.line("ip addr add 10.9.0.250/24 dev i1")?;
        lab.host.line("ip addr add fd09::250/64 dev i1 nodad")?;
        lab.host.line("ip link set i1 up")?;
        process::until("the machine to answer", SOON, || {
            answers(&guests[0].space, &machine) && answers(&lab.host, &machine)
        })?;
        whole_whoever_leaves_it(lab, &guests[0], &machine, 1500)?;
        lab.vsctl("set open_vswitch . other_config:kernel-fast-path=false")?;
        whole_whoever_leaves_it(lab, &guests[0], &machine, 1500)?;
        lab.vsctl("set port m1 tag=11")?;
        lab.settled()?;
        need("in another VLAN nobody answers", ping(&guests[0].space, &machine.ip, 3, &[])? == 0)
    });
}

/// Machines come and go as they like: the port waits for the device, and takes the next one of its name.
#[test]
fn a_machine_that_is_switched_off_and_on() {
    on_lab(Side::debian(), &[], |lab| {
        let guests = lab.bridge_with_guests(1, 1500)?;
        lab.vsctl("add-port br0 m1")?;
        for options in [&["--offloads"][..], &[], &["--queues", "2"]] {
            let (machine, holder) = machine(lab, options, 1500)?;
            // The next machine has another address below.
            guests[0].space.line("ip neigh flush dev eth0")?;
            process::until("the machine to answer", SOON, || answers(&guests[0].space, &machine))?;
            guests[0].sends(&machine, &machine.ip, STREAM)?;
            drop(holder);
            process::until("the port to be without a device", SOON, || {
                lab.vsctl("get interface m1 mtu").is_ok_and(|mtu| mtu.trim() == "[]")
            })?;
        }
        Ok(())
    });
}
