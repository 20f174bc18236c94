//! Devices as the switch finds and makes them: its own in guests' namespaces, bonds whose links fail, what their status
//! says.

use harness::lab::{Namespace, on_lab, ping};
use harness::process;
use harness::side::Side;
use std::time::Duration;

/// At least this many of 5 echoes come back where at most the first may be lost.
const MOST: u32 = 4;
const SOON: Duration = Duration::from_secs(60);

fn need(what: &str, holds: bool) -> Result<(), String> {
    if holds { Ok(()) } else { Err(format!("not so: {what}")) }
}

#[test]
fn ports_of_the_switch_carry_on_in_guests() {
    on_lab(Side::troupe(), &[], |lab| {
        lab.vsctl("add-br br0 -- set bridge br0 datapath_type=netdev")?;
        let guests = [Namespace::new("left")?, Namespace::new("right")?];
        for (number, guest) in guests.iter().enumerate() {
            lab.vsctl(&format!("add-port br0 i{number} -- set interface i{number} type=internal"))?;
            lab.host.line(&format!("ip link set i{number} netns {}", guest.name()))?;
            guest.line(&format!("ip addr add 10.7.7.{number}/24 dev i{number}"))?;
            guest.line(&format!("ip link set i{number} up"))?;
        }
        process::until("the guests to reach each other", SOON, || {
            ping(&guests[0], "10.7.7.1", 1, &[]).is_ok_and(|answered| answered == 1)
        })?;
        lab.vsctl("set bridge br0 other_config:mac-aging-time=60")?;
        let answered = ping(&guests[0], "10.7.7.1", 5, &[])?;
        need(&format!("{answered} of 5 echoes come back after a change"), answered >= MOST)?;
        lab.vsctl("del-port br0 i1")?;
        need("a deleted port is gone where it was", guests[1].line("ip link show i1").is_err())
    });
}

/// Sends so many numbered frames by the first device, a breath between each and a hundred under way at the most, and says
/// which came by the second: whether all, and in order.
const STREAM: &str = r#"
import socket, struct, sys, threading, time
n = int(sys.argv[1])
head = bytes.fromhex("020000000002" "020000000001" "88b5")
rx = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x88b5))
rx.setsockopt(socket.SOL_SOCKET, 33, 32 << 20)
rx.bind(("far1", 0x88b5))
rx.settimeout(60)
tx = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
tx.bind(("far0", 0))
came = []
def receive():
    while len(came) < n:
        try:
            frame = rx.recv(2048)
        except socket.timeout:
            return
        came.append(struct.unpack("!I", frame[14:18])[0])
thread = threading.Thread(target=receive)
thread.start()
for i in range(n):
    tx.send(head + struct.pack("!I", i) + bytes(46))
    time.sleep(0.0001)
    while thread.is_alive() and i - len(came) > 100:
        time.sleep(0.0001)
thread.join()
rx.settimeout(0.2)
try:
    rx.recv(2048)
    came.append(n)
except socket.timeout:
    pass
gaps = [(at, here) for at, here in zip([-1] + came, came + [n]) if here != at + 1]
print("whole" if came == list(range(n)) else f"{len(came)} of {n} came, after and before: {gaps}")
"#;

/// A port has a ring only from its first frames on: while that changes nothing is lost, doubled or out of order.
#[test]
fn the_first_frames_of_a_port_come_once_and_in_order() {
    on_lab(Side::troupe(), &[], |lab| {
        lab.vsctl("add-br br0 -- set bridge br0 datapath_type=netdev fail_mode=secure")?;
        for threads in ["clear open . other_config", "set open . other_config:pmd-cpu-mask=3"] {
            lab.vsctl(threads)?;
            for round in 0..3 {
                for side in [0, 1] {
                    lab.host.line(&format!("ip link add near{side} type veth peer name far{side}"))?;
                    for end in ["near", "far"] {
                        lab.host.line(&format!("sysctl -qw net.ipv6.conf.{end}{side}.disable_ipv6=1"))?;
                        lab.host.line(&format!("ip link set {end}{side} up"))?;
                    }
                    let wanted = format!("set interface near{side} ofport_request={}", side + 1);
                    lab.vsctl(&format!("add-port br0 near{side} -- {wanted}"))?;
                }
                lab.ofctl("add-flow br0 in_port=1,actions=output:2")?;
                let came = lab.host.run(&["python3", "-c", STREAM, "2000"])?;
                need(
                    &format!("round {round}, {threads}: {came}, {}", lab.ofctl("dump-ports br0")?),
                    came.trim() == "whole",
                )?;
                for side in [0, 1] {
                    lab.vsctl(&format!("del-port near{side}"))?;
                    lab.host.line(&format!("ip link del near{side}"))?;
                }
            }
        }
        Ok(())
    });
}

/// Statistics are asked for once an hour here, so that nothing but the news of it tells how a device is.
#[test]
fn a_device_set_up_right_behind_its_port_is_told_to_be_up() {
    on_lab(Side::troupe(), &[], |lab| {
        lab.vsctl("set open . other_config:stats-update-interval=3600000")?;
        lab.vsctl("add-br br0 -- set bridge br0 datapath_type=netdev")?;
        for n in 0..24 {
            lab.host.line(&format!("ip link add near{n} type veth peer name far{n}"))?;
            lab.vsctl(&format!("add-port br0 near{n}"))?;
            lab.host.line(&format!("ip link set near{n} up"))?;
            process::until(&format!("near{n} to be told to be up"), SOON, || {
                lab.vsctl(&format!("get interface near{n} admin_state")).is_ok_and(|state| state.trim() == "up")
            })?;
        }
        Ok(())
    });
}

#[test]
fn an_mtu_that_was_asked_for_stands_against_the_host() {
    on_lab(Side::troupe(), &[], |lab| {
        lab.vsctl("add-br br0 -- set bridge br0 datapath_type=netdev")?;
        lab.host.line("ip link add near type veth peer name far")?;
        lab.vsctl("add-port br0 near -- set interface near mtu_request=1400")?;
        lab.vsctl("add-port br0 own -- set interface own type=internal mtu_request=1400")?;
        for name in ["near", "own"] {
            lab.host.line(&format!("ip link set {name} mtu 1300"))?;
            process::until(&format!("{name} to have its MTU back"), SOON, || {
                lab.host.line(&format!("ip link show {name}")).is_ok_and(|shown| shown.contains("mtu 1400"))
            })?;
            let told = lab.vsctl(&format!("wait-until interface {name} mtu=1400"));
            need(&format!("{name} is told with its MTU: {told:?}"), told.is_ok())?;
        }
        lab.vsctl("clear interface near mtu_request")?;
        lab.host.line("ip link set near mtu 1300")?;
        let told = lab.vsctl("wait-until interface near mtu=1300");
        need(&format!("nobody asks for another MTU any more: {told:?}"), told.is_ok())
    });
}

/// Takes each device down, renames it away, and back some milliseconds later, about when it is being opened again.
const RENAMES: &str = r#"
import subprocess, sys, time
def ip(lines):
    subprocess.run(["ip", "-batch", "-"], input=lines, text=True, check=True)
for n in range(8):
    ip(f"link set f{n} down\nlink set f{n} name away{n}\n")
    time.sleep(float(sys.argv[1]))
    ip(f"link set away{n} name f{n}\nlink set f{n} up\n")
# The switch hears of it.
time.sleep(0.6)
"#;

#[test]
fn devices_that_are_renamed_while_they_are_opened_are_there_in_the_end() {
    on_lab(Side::troupe(), &[], |lab| {
        lab.vsctl("add-br br0 -- set bridge br0 datapath_type=netdev")?;
        for number in 0..8 {
            lab.host.line(&format!("ip link add f{number} type veth peer name p{number}"))?;
            lab.host.line(&format!("ip link set f{number} up"))?;
            lab.host.line(&format!("ip link set p{number} up"))?;
            lab.vsctl(&format!("add-port br0 f{number}"))?;
        }
        for pause in ["0", "0.006", "0", "0.008", "0", "0.01"] {
            lab.host.run(&["python3", "-c", RENAMES, pause])?;
            process::until("all devices to be open", SOON, || {
                let closed = lab.vsctl("--bare --columns=name find interface ifindex=0");
                closed.is_ok_and(|closed| closed.trim().is_empty())
            })?;
        }
        Ok(())
    });
}

#[test]
fn a_bond_goes_on_with_the_link_that_is_left() {
    on_lab(Side::troupe(), &[], |lab| {
        let guest = Namespace::new("far")?;
        guest.line("ip link add name join type bridge")?;
        guest.line("ip addr add 10.8.8.2/24 dev join")?;
        guest.line("ip link set join up")?;
        for number in [1, 2] {
            let far = guest.name();
            lab.host.line(&format!("ip link add b{number} type veth peer name e{number} netns {far}"))?;
            lab.host.line(&format!("ip link set b{number} up"))?;
            guest.line(&format!("ip link set e{number} master join up"))?;
        }
        lab.vsctl("add-br br0 -- set bridge br0 datapath_type=netdev")?;
        lab.vsctl("add-bond br0 bond b1 b2 bond_mode=active-backup other_config:bond-primary=b1")?;
        lab.host.line("ip addr add 10.8.8.1/24 dev br0")?;
        lab.host.line("ip link set br0 up")?;
        process::until("the other end to answer", SOON, || {
            ping(&lab.host, "10.8.8.2", 1, &[]).is_ok_and(|answered| answered == 1)
        })?;
        let mac = lab.vsctl("get interface b1 mac_in_use")?;
        process::until("the primary to be told to be active", SOON, || {
            lab.vsctl("get port bond bond_active_slave").is_ok_and(|active| active == mac)
        })?;
        guest.line("ip link set e1 down")?;
        process::until("the other member to take over", SOON, || {
            lab.appctl("bond/show bond").is_ok_and(|shown| shown.contains("(b2)"))
        })?;
        process::until("the other end to answer again", SOON, || {
            ping(&lab.host, "10.8.8.2", 1, &[]).is_ok_and(|answered| answered == 1)
        })?;
        process::until("the link's fall to be counted", SOON, || {
            lab.vsctl("get interface b1 link_resets").is_ok_and(|resets| resets.trim() != "0")
        })?;
        guest.line("ip link set e1 up")?;
        process::until("the primary to be active again", SOON, || {
            lab.appctl("bond/show bond").is_ok_and(|shown| shown.contains("(b1)"))
        })
    });
}

/// What the host's kernel has of a bridge's own device: up or not, its addresses, ways out by it.
fn own_device(host: &Namespace) -> Result<String, String> {
    let up = host.line("ip link show br0 up")?;
    let addresses = host.line("ip -4 -o addr show br0")?;
    let addresses = addresses.lines().filter_map(|line| line.split_whitespace().nth(3));
    let routes = host.line("ip route show default")?;
    let mut words: Vec<&str> = addresses.chain(routes.lines().map(str::trim)).collect();
    words.insert(0, if up.trim().is_empty() { "down" } else { "up" });
    Ok(words.join("; "))
}

/// The bridge's own device gets what the controller that is reached in-band is to be reached from, and keeps it.
#[test]
fn controllers_in_band_give_the_host_an_address() {
    const STEPS: [(&str, &str); 8] = [
        ("connection_mode=out-of-band local_ip=10.9.9.9", "down"),
        ("connection_mode=in-band local_ip=foo", "down"),
        (
            "local_ip=10.1.2.3 local_netmask=255.255.255.0 local_gateway=10.1.2.1",
            "up; 10.1.2.3/24; default via 10.1.2.1 dev br0",
        ),
        ("local_ip=10.1.2.4", "up; 10.1.2.4/24; default via 10.1.2.1 dev br0"),
        ("local_gateway=10.1.2.9", "up; 10.1.2.4/24; default via 10.1.2.9 dev br0; default via 10.1.2.1 dev br0"),
        (
            "connection_mode=out-of-band local_ip=10.9.9.9",
            "up; 10.1.2.4/24; default via 10.1.2.9 dev br0; default via 10.1.2.1 dev br0",
        ),
        ("connection_mode=in-band local_ip=172.16.3.3 local_netmask=[] local_gateway=[]", "up; 172.16.3.3/16"),
        ("local_ip=225.1.1.1 local_gateway=172.16.0.1", "up; 172.16.3.3/16; default via 172.16.0.1 dev br0"),
    ];
    on_lab(Side::debian(), &[], |lab| {
        lab.vsctl("add-br br0 -- set bridge br0 datapath_type=netdev fail_mode=secure")?;
        lab.vsctl("set-controller br0 tcp:127.0.0.1:6653")?;
        let row = lab.vsctl("--bare --columns=_uuid list controller")?;
        for (columns, wanted) in STEPS {
            lab.vsctl(&format!("set controller {} {columns}", row.trim()))?;
            let is_so = || own_device(&lab.host).is_ok_and(|seen| seen == wanted);
            process::until(&format!("{wanted} after {columns}"), SOON, is_so)
                .map_err(|why| format!("{why}: {:?}", own_device(&lab.host)))?;
        }
        Ok(())
    });
}
