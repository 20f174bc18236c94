//! Devices as the switch finds and makes them: its own in guests' namespaces, bonds whose links fail, what their status
//! says.

use harness::lab::{Namespace, on_lab, ping};
use harness::process;
use harness::side::Side;
use std::time::Duration;

/// At least this many of 5 echoes come back where at most the first may be lost.
const MOST: u32 = 4;
const SOON: Duration = Duration::from_secs(30);

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
        let active = lab.vsctl("get port bond bond_active_slave")?;
        let mac = lab.vsctl("get interface b1 mac_in_use")?;
        need(&format!("the primary is active: {active}"), active == mac)?;
        guest.line("ip link set e1 down")?;
        process::until("the other member to take over", SOON, || {
            lab.appctl("bond/show bond").is_ok_and(|shown| shown.contains("(b2)"))
        })?;
        process::until("the other end to answer again", SOON, || {
            ping(&lab.host, "10.8.8.2", 1, &[]).is_ok_and(|answered| answered == 1)
        })?;
        let resets = lab.vsctl("get interface b1 link_resets")?;
        need(&format!("the link's fall was counted: {resets}"), resets.trim() != "0")?;
        guest.line("ip link set e1 up")?;
        process::until("the primary to be active again", SOON, || {
            lab.appctl("bond/show bond").is_ok_and(|shown| shown.contains("(b1)"))
        })
    });
}
