//! What the switch does with real traffic beyond forwarding: VLANs, mirrors, policing, devices that come and
//! go, many ports, controllers of other makers.

use harness::lab::{Guest, Lab, Namespace, on_lab};
use harness::place::Place;
use harness::process::{self, Daemon};
use harness::side::Side;
use std::path::{Path, PathBuf};
use std::time::Duration;

fn need(what: &str, holds: bool) -> Result<(), String> {
    if holds { Ok(()) } else { Err(format!("not so: {what}")) }
}

/// A capture in a guest's namespace, one line a packet.
struct Capture {
    _tcpdump: Daemon,
    lines: PathBuf,
    _dir: tempfile::TempDir,
}

impl Capture {
    fn start(guest: &Guest, filter: &str) -> Result<Capture, String> {
        let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
        let lines = dir.path().join("lines");
        let words = [&["tcpdump", "-lnne", "-i", "eth0"], filter.split(' ').collect::<Vec<_>>().as_slice()].concat();
        let tcpdump = guest.space.start(&words, &lines)?;
        let capture = Capture { _tcpdump: tcpdump, lines, _dir: dir };
        process::until("tcpdump to listen", Duration::from_secs(60), || capture.text().contains("listening on"))?;
        Ok(capture)
    }

    fn text(&self) -> String {
        std::fs::read_to_string(&self.lines).unwrap_or_default()
    }

    fn sees(&self, what: &str) -> bool {
        process::until(what, Duration::from_secs(60), || self.text().contains(what)).is_ok()
    }
}

/// VLAN devices of a guest, made by Debian's Open vSwitch in the guest's own namespace: not every kernel has its
/// own, and another maker's tags are the better test.
struct VlanDevices {
    place: Place,
}

impl VlanDevices {
    fn on(guest: &Guest, label: &str) -> Result<VlanDevices, String> {
        let dir = std::path::PathBuf::from(format!("/tmp/vlan.{}.{label}", std::process::id()));
        let mut place = Place::new(Side::debian(), &dir).map_err(|error| error.to_string())?;
        place.enter_namespace(guest.space.name());
        // That switch carries no partial checksums.
        guest.space.line("ethtool -K eth0 tx off rx off gro off")?;
        place.start_database(&[])?;
        place.tool("ovs-vsctl", &["--no-wait", "init"])?;
        place.start_switch(&["--disable-system"])?;
        let words = "add-br vlans -- set bridge vlans datapath_type=netdev fail_mode=standalone -- add-port vlans eth0";
        place.tool("ovs-vsctl", &words.split(' ').collect::<Vec<_>>())?;
        guest.space.line("ip addr flush dev eth0")?;
        Ok(VlanDevices { place })
    }

    /// A device `vlanVID` with an address in the network of that VLAN.
    fn device(&self, guest: &Guest, vid: u16, last: u8) -> Result<String, String> {
        let (name, ip) = (format!("vlan{vid}"), format!("10.{}.1.{last}", vid / 10));
        let words = format!("add-port vlans {name} tag={vid} -- set interface {name} type=internal");
        self.place.tool("ovs-vsctl", &words.split(' ').collect::<Vec<_>>())?;
        guest.space.line(&format!("ip addr add {ip}/24 dev {name}"))?;
        guest.space.line(&format!("ethtool -K {name} tx off"))?;
        guest.space.line(&format!("ip link set {name} up"))?;
        Ok(ip)
    }
}

#[test]
fn access_and_trunk_ports() {
    on_lab(Side::debian(), &[], |lab| {
        let guests = lab.bridge_with_guests(4, 1500)?;
        let [a, b, trunk, other] = guests.as_slice() else { return Err("four guests".into()) };
        lab.vsctl("set port v1 tag=10 -- set port v2 tag=20 -- set port v3 trunks=10,30 -- set port v4 tag=10")?;
        need("two access ports of one VLAN reach each other", a.reaches(&other.ip))?;
        need("those of two VLANs do not", a.ping(&b.ip, 3)? == 0)?;
        let devices = VlanDevices::on(trunk, "trunk")?;
        let trunk10 = devices.device(trunk, 10, 3)?;
        a.space.line("ip addr add 10.1.1.1/24 dev eth0")?;
        let capture = Capture::start(trunk, "icmp or (vlan and icmp)")?;
        need("an access port reaches the trunk's VLAN device", a.reaches(&trunk10))?;
        need("on the trunk the packets are tagged", capture.sees("vlan 10"))?;
        a.space.line("ethtool -K eth0 tso off gso off tx off")?;
        a.carries(trunk, &trunk10, "", 1, 5e6..)?;
        trunk.carries(a, "10.1.1.1", "", 1, 5e6..)?;
        let trunk20 = devices.device(trunk, 20, 3)?;
        b.space.line("ip addr add 10.2.1.2/24 dev eth0")?;
        need("a VLAN that the trunk does not carry is not carried", b.ping(&trunk20, 3)? == 0)?;
        lab.vsctl("set port v3 trunks=10,20,30")?;
        need("carried, it is", b.reaches(&trunk20))?;
        lab.vsctl("set port v3 vlan_mode=native-untagged tag=10 trunks=20")?;
        drop(devices);
        trunk.space.line(&format!("ip addr add {}/24 dev eth0", trunk.ip))?;
        need("a native VLAN goes untagged", a.reaches(&trunk.ip))?;
        let table = lab.appctl("fdb/show br0")?;
        need(&format!("addresses are learned by VLAN: {table}"), table.contains("   10  ") && table.contains("   20  "))
    });
}

/// What is asked of rules, tables and groups counts every packet that has passed, whoever forwarded it.
#[test]
fn who_asks_is_told_of_every_packet_so_far() {
    on_lab(Side::debian(), &[], |lab| {
        let guests = lab.bridge_with_guests(2, 1500)?;
        let [a, b] = guests.as_slice() else { return Err("two guests".into()) };
        need("the two reach each other", a.reaches(&b.ip))?;
        lab.ofctl("-O OpenFlow13 add-group br0 group_id=1,type=indirect,bucket=output:v2")?;
        lab.ofctl("-O OpenFlow13 add-flow br0 table=3,cookie=7,icmp,actions=group:1")?;
        lab.ruled("add-flow", "priority=9,in_port=v1,icmp,actions=resubmit(,3)")?;
        let told = |command: &str, of: &str, before: &str| -> Result<u64, String> {
            let text = lab.ofctl(&format!("-O OpenFlow13 {command}"))?;
            let part = text.split_once(of).map_or("", |(_, part)| part);
            let number = part.split(before).nth(1).map(|rest| rest.trim_start().split([',', ' ', '\n']).next());
            number.flatten().and_then(|n| n.parse().ok()).ok_or_else(|| format!("{command}: {text}"))
        };
        for round in 1..=12 {
            let sent = round * 5;
            need("all come back", a.ping(&b.ip, 5)? == 5)?;
            let asked = [
                ("dump-flows br0 table=3", "cookie=0x7", "n_packets="),
                ("dump-aggregate br0 cookie=7/-1", "", "packet_count="),
                ("dump-group-stats br0 group_id=1", "group_id=1", "packet_count="),
                ("dump-tables br0", "table 3", "matched="),
            ];
            // Each is asked first once in four rounds, by which nobody else has been counted for.
            let (command, of, before) = asked[round as usize % asked.len()];
            let counted = told(command, of, before)?;
            need(&format!("{command} tells of {sent} packets: {counted}"), counted == sent)?;
        }
        Ok(())
    });
}

#[test]
fn mirrors() {
    on_lab(Side::troupe(), &[], |lab| {
        let guests = lab.bridge_with_guests(3, 1500)?;
        let [a, b, watcher] = guests.as_slice() else { return Err("three guests".into()) };
        need("traffic flows", a.reaches(&b.ip))?;
        let capture = Capture::start(watcher, "icmp")?;
        a.ping(&b.ip, 3)?;
        need("without a mirror the watcher sees nothing", !capture.text().contains("ICMP echo"))?;
        lab.vsctl(
            "-- --id=@o get port v3 -- --id=@a get port v1 \
             -- --id=@m create mirror name=m select_src_port=@a select_dst_port=@a output_port=@o \
             -- set bridge br0 mirrors=@m",
        )?;
        lab.settled()?;
        a.ping(&b.ip, 5)?;
        need("the mirror shows requests", capture.sees(&format!("{} > {}: ICMP echo request", a.ip, b.ip)))?;
        need("and replies", capture.sees(&format!("{} > {}: ICMP echo reply", b.ip, a.ip)))?;
        need("a mirror's port carries nothing else", watcher.ping(&a.ip, 2)? == 0)?;
        lab.vsctl("clear bridge br0 mirrors")?;
        need("without the mirror the port is a port again", watcher.reaches(&a.ip))
    });
}

#[test]
fn a_device_that_goes_and_comes_back() {
    on_lab(Side::troupe(), &[], |lab| {
        let guests = lab.bridge_with_guests(2, 1500)?;
        let (a, b) = (&guests[0], &guests[1]);
        need("traffic flows", a.reaches(&b.ip))?;
        lab.host.line("ip link del v2")?;
        process::until("the switch to notice", Duration::from_secs(60), || {
            lab.vsctl("get interface v2 link_state").is_ok_and(|state| !state.contains("up"))
        })?;
        let again = lab.guest(2, 1500)?;
        // The device is back with another address, which its peer does not know yet.
        a.space.line("ip neigh flush all")?;
        need("the device back, traffic flows again", a.reaches(&again.ip))?;
        process::until("the error to be gone", Duration::from_secs(60), || {
            lab.vsctl("get interface v2 error").is_ok_and(|error| error.trim() == "[]")
        })?;
        lab.host.line("ip link set v2 mtu 1400")?;
        process::until("the new MTU to show", Duration::from_secs(60), || {
            lab.vsctl("get interface v2 mtu").is_ok_and(|mtu| mtu.trim() == "1400")
        })?;
        lab.host.line("ip link set v2 down")?;
        process::until("the link state to show", Duration::from_secs(60), || {
            lab.vsctl("get interface v2 admin_state").is_ok_and(|state| state.trim() == "down")
        })?;
        lab.host.line("ip link set v2 up")?;
        need("up again, traffic flows", a.reaches(&again.ip))
    });
}

#[test]
fn ingress_policing_is_measured() {
    on_lab(Side::debian(), &[], |lab| {
        let guests = lab.bridge_with_guests(2, 1500)?;
        let (a, b) = (&guests[0], &guests[1]);
        need("traffic flows", a.reaches(&b.ip))?;
        lab.vsctl("set interface v1 ingress_policing_rate=10000 ingress_policing_burst=1000")?;
        // 10 Mbit/s of 50 pass.
        a.carries(b, &b.ip, "-u -b 50M -l 1000", 3, 6e6..14e6)?;
        lab.vsctl(
            "set interface v1 ingress_policing_rate=0 ingress_policing_burst=0 \
             ingress_policing_kpkts_rate=1 ingress_policing_kpkts_burst=1",
        )?;
        // A thousand packets a second of five pass.
        a.carries(b, &b.ip, "-u -b 20M -l 500", 2, 2e6..9e6)?;
        lab.vsctl("set interface v1 ingress_policing_kpkts_rate=0 ingress_policing_kpkts_burst=0")?;
        a.carries(b, &b.ip, "-u -b 50M -l 1000", 1, 30e6..)
    });
}

/// Needs a kernel with HTB, as Debian's is.
#[test]
fn queues_of_the_kernel_shape_what_flows_send_through_them() {
    on_lab(Side::debian(), &[], |lab| {
        let guests = lab.bridge_with_guests(2, 1500)?;
        let (a, b) = (&guests[0], &guests[1]);
        need("traffic flows", a.reaches(&b.ip))?;
        lab.vsctl(
            "-- set port v2 qos=@q -- --id=@q create qos type=linux-htb other-config:max-rate=1000000000 queues:5=@q5 \
             -- --id=@q5 create queue other-config:max-rate=5000000",
        )?;
        lab.ruled("add-flow", "priority=10,in_port=v1,udp,actions=set_queue:5,normal")?;
        need("traffic flows past the queue", a.reaches(&b.ip))?;
        // 5 Mbit/s of 30 pass the queue.
        a.carries(b, &b.ip, "-u -b 30M -l 1000", 3, 2e6..8e6)?;
        let shown = lab.appctl("qos/show v2")?;
        let queue = shown.split("Queue 5:").nth(1).unwrap_or_default();
        let sent = queue.lines().find_map(|l| l.trim().strip_prefix("tx_packets: ")?.parse::<u64>().ok());
        need(&format!("the queue counts: {shown}"), sent.is_some_and(|n| n > 100))?;
        let stats = lab.ofctl("-O OpenFlow13 queue-stats br0 v2 5")?;
        need(&format!("OpenFlow tells of it: {stats}"), stats.contains("1 queues") && !stats.contains("pkts=0"))?;
        // Changed while it runs, the queue's counters go on.
        let id = lab.vsctl("--bare --columns=_uuid find queue")?;
        lab.vsctl(&format!("set queue {} other-config:max-rate=100000000", id.trim()))?;
        process::until("the new rate to be in force", Duration::from_secs(60), || {
            lab.appctl("qos/show v2").is_ok_and(|s| s.contains("max-rate: 100000000"))
        })?;
        // A server that hears the last of an earlier client's datagrams takes them for its own client's.
        process::until("what waited at the old rate to be sent", Duration::from_secs(60), || {
            let classes = lab.host.line("tc -s class show dev v2");
            classes.is_ok_and(|s| s.matches("backlog").count() == s.matches("backlog 0b 0p").count())
        })?;
        a.carries(b, &b.ip, "-u -b 30M -l 1000", 1, 15e6..)?;
        lab.vsctl("clear port v2 qos -- --all destroy qos")?;
        process::until("the queues to be gone", Duration::from_secs(60), || {
            lab.appctl("qos/show v2").is_ok_and(|s| s.contains("QoS not configured on v2"))
        })
    });
}

#[test]
fn two_hundred_ports() {
    on_lab(Side::debian(), &[], |lab| {
        let guests = lab.bridge_with_guests(2, 1500)?;
        let (a, b) = (&guests[0], &guests[1]);
        let numbers = 100..298;
        let script: String = numbers
            .clone()
            .map(|n| format!("ip link add w{n} type veth peer name x{n}; ip link set w{n} up; ip link set x{n} up\n"))
            .collect();
        lab.host.run(&["sh", "-c", &script])?;
        let adds: Vec<String> = numbers.clone().map(|n| format!("add-port br0 w{n}")).collect();
        lab.vsctl(&adds.join(" -- "))?;
        let ports = lab.vsctl("list-ports br0")?.lines().count();
        need(&format!("{ports} ports are there"), ports == 200)?;
        let bad = lab.vsctl("--columns=name,error find interface error!=[]")?;
        need(&format!("none has an error: {bad}"), bad.is_empty())?;
        need("traffic flows among them", a.reaches(&b.ip))?;
        need("nothing is lost", a.ping(&b.ip, 20)? >= 19)?;
        let table = lab.appctl("dpif/show")?;
        need("the datapath has them all", numbers.clone().all(|n| table.contains(&format!("w{n} "))))?;
        for layout in
            ["set open . other_config:ring=v2", "set interface v1 options:ring=v3", "clear open . other_config"]
        {
            lab.vsctl(layout)?;
            need(&format!("traffic flows again after {layout}"), a.reaches(&b.ip))?;
        }
        lab.vsctl("del-br br0")?;
        need("all are let go", !lab.appctl("dpif/show")?.contains("w150"))
    });
}

#[test]
fn patch_ports() {
    on_lab(Side::debian(), &[], |lab| {
        let guests = lab.bridge_with_guests(2, 1500)?;
        let (a, b) = (&guests[0], &guests[1]);
        lab.vsctl("del-port br0 v2 -- add-br br1 -- add-port br1 v2")?;
        need("two bridges are apart", a.ping(&b.ip, 3)? == 0)?;
        lab.vsctl(
            "add-port br0 p0 -- set interface p0 type=patch options:peer=p1 \
             -- add-port br1 p1 -- set interface p1 type=patch options:peer=p0",
        )?;
        need("a patch joins them", a.reaches(&b.ip))
    });
}

/// Each numbers its ports by itself.
#[test]
fn bridges_of_two_datapaths_stand_side_by_side() {
    on_lab(Side::debian(), &[], |lab| {
        let guests = lab.bridge_with_guests(2, 1500)?;
        let [a, b] = guests.as_slice() else { return Err("two guests".into()) };
        lab.host.line("ip link add l1 type veth peer name l2")?;
        lab.host.line("ip link set l1 up")?;
        lab.host.line("ip link set l2 up")?;
        lab.vsctl(
            "del-port br0 v2 -- add-br br1 -- set bridge br1 datapath_type=netdev -- add-port br1 v2 \
             -- add-port br0 l1 -- add-port br1 l2",
        )?;
        need("the two reach each other", a.reaches(&b.ip))?;
        a.sends(b, &b.ip, 1_000_000)?;
        lab.vsctl("set bridge br1 datapath_type=system")?;
        need("as well when both are of one type", a.reaches(&b.ip))
    });
}

/// No virtio header can tell the kernel of segments behind a label: they are cut before they leave.
#[test]
fn large_segments_pass_behind_labels() {
    on_lab(Side::debian(), &[], |lab| {
        let guests = lab.bridge_with_guests(2, 1500)?;
        let [a, b] = guests.as_slice() else { return Err("two guests".into()) };
        lab.host.line("ip link add l1 mtu 1600 type veth peer name l2 mtu 1600")?;
        lab.host.line("ip link set l1 up")?;
        lab.host.line("ip link set l2 up")?;
        lab.vsctl(
            "del-port br0 v2 -- add-br br1 -- add-port br1 v2 \
             -- add-port br0 l1 -- add-port br1 l2",
        )?;
        for (bridge, inside, outside) in [("br0", "v1", "l1"), ("br1", "v2", "l2")] {
            let label = format!("push_mpls:0x8847,set_field:77->mpls_label,output:{outside}");
            lab.ofctl(&format!("-O OpenFlow13 add-flow {bridge} priority=9,in_port={inside},ip,actions={label}"))?;
            let pop = format!("pop_mpls:0x0800,output:{inside}");
            lab.ofctl(&format!("-O OpenFlow13 add-flow {bridge} priority=9,in_port={outside},mpls,actions={pop}"))?;
        }
        need("the two reach each other", a.reaches(&b.ip))?;
        a.sends(b, &b.ip, 2_000_000)?;
        b.sends(a, &a.ip, 2_000_000)
    });
}

/// Debian's learning controller: the switch itself forwards nothing.
#[test]
fn a_tunnel_leads_where_the_hosts_routes_lead() {
    on_lab(Side::troupe(), &[], |lab| {
        let bridge = |name: &str| format!("add-br {name} -- set bridge {name} datapath_type=netdev");
        lab.vsctl(&format!("{} -- {}", bridge("under"), bridge("over")))?;
        let peer = lab.guest(1, 1500)?;
        lab.vsctl(&format!("add-port under {}", peer.port))?;
        let tunnel = format!("type=vxlan options:remote_ip={} options:key=9", peer.ip);
        lab.vsctl(&format!("add-port over t1 -- set interface t1 {tunnel}"))?;
        for line in [
            "ip addr add 10.9.0.100/24 dev under",
            "ip link set under up",
            "ip addr add 10.8.0.100/24 dev over",
            "ip link set over up mtu 1400",
        ] {
            lab.host.line(line)?;
        }
        peer.space.line("ip link add vx type vxlan id 9 remote 10.9.0.100 dstport 4789")?;
        peer.space.line("ip addr add 10.8.0.1/24 dev vx")?;
        peer.space.line("ip link set vx up mtu 1400")?;
        process::until("the tunnel to lead", Duration::from_secs(60), || peer.reaches("10.8.0.100"))?;
        peer.space.line("ping -c 1 -s 3000 -W 20 10.8.0.100")?;
        // What the peer's kernel leaves undone of a packet in its tunnel is done here.
        peer.space.sends(&lab.host, "10.8.0.100", 2_000_000)?;
        lab.host.sends(&peer.space, "10.8.0.1", 2_000_000)?;
        let routes = lab.appctl("ovs/route/show")?;
        let led = "Cached: 10.9.0.0/24 dev under SRC 10.9.0.100\n";
        need(&format!("the route is shown: {routes}"), routes.contains(led))?;
        let neighbours = lab.appctl("tnl/neigh/show")?;
        need(&format!("the peer is known: {neighbours}"), neighbours.contains(&peer.mac))
    });
}

/// The host's addresses are known all the same, and serve people's routes.
#[test]
fn the_hosts_routes_may_be_none_of_the_switchs() {
    on_lab(Side::troupe(), &["--disable-system-route"], |lab| {
        let tunnel = "add-port br0 t1 -- set interface t1 type=vxlan options:remote_ip=10.9.0.2";
        lab.vsctl(&format!("add-br br0 -- set bridge br0 datapath_type=netdev -- {tunnel}"))?;
        lab.host.line("ip addr add 10.9.0.1/24 dev br0")?;
        lab.host.line("ip link set br0 up")?;
        process::until("a person's route", Duration::from_secs(60), || {
            lab.appctl("ovs/route/add 10.9.0.0/24 br0").is_ok_and(|said| said.trim() == "OK")
        })?;
        let routes = lab.appctl("ovs/route/show")?;
        let only = "Route Table:\nUser: 10.9.0.0/24 dev br0 SRC 10.9.0.1\n";
        need(&format!("there is no other: {routes}"), routes == only)?;
        let listening = lab.appctl("tnl/ports/show -v")?;
        need(&format!("tunnels end there: {listening}"), listening.contains("ipv4(dst=10.9.0.1,proto=17"))
    });
}

/// Joins the switch's host with another space, over which tunnels lead: 192.0.2.1 and 2, fd00:99::1 and 2.
fn underlay(lab: &Lab, far: &Namespace) -> Result<(), String> {
    let join = format!("ip link add u0 type veth peer name u1 netns {}", far.name());
    lab.host.line(&join)?;
    for (space, device, last) in [(&lab.host, "u0", 1), (far, "u1", 2)] {
        space.line(&format!("ip addr add 192.0.2.{last}/24 dev {device}"))?;
        space.line(&format!("ip addr add fd00:99::{last}/64 dev {device} nodad"))?;
        space.line(&format!("ip link set {device} up"))?;
    }
    Ok(())
}

/// Gives a bridge's own device an address to be reached by through tunnels.
fn overlay(space: &Namespace, device: &str, last: u8, mtu: u32) -> Result<(), String> {
    space.line(&format!("ip addr add 10.8.0.{last}/24 dev {device}"))?;
    space.line(&format!("ip link set {device} up mtu {mtu}")).map(drop)
}

/// With the kernel's own tunnel at the other end.
#[test]
fn tunnels_of_the_default_datapath_go_by_the_hosts_stack() {
    on_lab(Side::troupe(), &[], |lab| {
        let far = Namespace::new("far")?;
        underlay(lab, &far)?;
        lab.vsctl("add-br br0")?;
        overlay(&lab.host, "br0", 1, 1400)?;
        for (near_end, far_end, sums) in [("192.0.2.1", "192.0.2.2", "udpcsum"), ("fd00:99::1", "fd00:99::2", "")] {
            let tunnel = format!("type=vxlan options:remote_ip={far_end} options:key=9 options:csum=true");
            lab.vsctl(&format!("add-port br0 t1 -- set interface t1 {tunnel}"))?;
            far.line(&format!("ip link add vx type vxlan id 9 remote {near_end} dstport 4789 {sums}"))?;
            overlay(&far, "vx", 2, 1400)?;
            lab.host.line("ip neigh flush dev br0")?;
            process::until("the tunnel to lead", Duration::from_secs(60), || lab.host.reaches("10.8.0.2"))?;
            let status = lab.vsctl("get interface t1 status")?;
            let way = "{tunnel_egress_iface=u0, tunnel_egress_iface_carrier=up}";
            need(&format!("it is told by which device: {status}"), status.trim() == way)?;
            // What the far kernel leaves undone, checksums and segments, its datagrams do not tell.
            far.sends(&lab.host, "10.8.0.1", 4_000_000)?;
            lab.host.sends(&far, "10.8.0.2", 4_000_000)?;
            let flows = lab.appctl("dpctl/dump-flows")?;
            let whence = format!("tunnel(tun_id=0x9,{}src={far_end},", if sums.is_empty() { "ipv6_" } else { "" });
            need(&format!("the tunnel's fields are known: {flows}"), flows.contains(&whence))?;
            far.line("ip link del vx")?;
            lab.vsctl("del-port t1")?;
        }
        // A port that is made anew, or another of its kind instead, has the same sockets.
        let tunnel = "type=vxlan options:remote_ip=192.0.2.2 options:key=9";
        lab.vsctl(&format!("add-port br0 t1 -- set interface t1 {tunnel}"))?;
        for words in [
            "set interface t1 ofport_request=77".to_owned(),
            format!("del-port t1 -- add-port br0 t2 -- set interface t2 {tunnel}"),
            format!("del-port t2 -- add-port br0 t1 -- set interface t1 {tunnel}"),
            "del-port t1".to_owned(),
        ] {
            lab.vsctl(&words)?;
            let refused = lab.vsctl("--bare --columns=name,error find interface error!=[]")?;
            need(&format!("no port is refused: {refused}"), refused.trim().is_empty())?;
        }
        // Longer than the underlay takes: only what may be cut up arrives.
        far.line("ip link add vx type vxlan id 9 remote 192.0.2.1 dstport 4789")?;
        overlay(&far, "vx", 2, 3000)?;
        lab.host.line("ip link set br0 mtu 3000")?;
        lab.host.line("ip neigh flush dev br0")?;
        lab.vsctl("add-port br0 t1 -- set interface t1 type=vxlan options:remote_ip=192.0.2.2 options:key=9")?;
        process::until("the tunnel to lead", Duration::from_secs(60), || lab.host.reaches("10.8.0.2"))?;
        let long = ["ping", "-c", "1", "-s", "2500", "-W", "2", "10.8.0.2"];
        need("what is not to be cut up is lost", lab.host.run(&long).is_err())?;
        lab.vsctl("set interface t1 options:df_default=false")?;
        process::until("fragments to arrive", Duration::from_secs(60), || lab.host.run(&long).is_ok())?;
        // A mark, by which the host may choose another way.
        lab.host.line("ip route add unreachable 192.0.2.0/24 table 7")?;
        lab.host.line("ip rule add fwmark 5 table 7 pref 1")?;
        lab.vsctl("set interface t1 options:egress_pkt_mark=5")?;
        process::until("the mark to count", Duration::from_secs(60), || lab.host.run(&long).is_err())?;
        lab.vsctl("set interface t1 options:egress_pkt_mark=6")?;
        process::until("another to lead", Duration::from_secs(60), || lab.host.run(&long).is_ok())?;
        // The host's ports are everybody's.
        let taken = lab.host.run(&["python3", "-c", "import socket; socket.socket(2, 2).bind(('', 4789))"]);
        need("the switch has the port", taken.is_err_and(|why| why.contains("Address already in use")))
    });
}

/// Two switches, each on a host of its own.
#[test]
fn switches_reach_each_other_by_their_hosts_stacks() {
    on_lab(Side::troupe(), &[], |lab| {
        let other = Lab::new(Side::troupe(), &[])?;
        underlay(lab, &other.host)?;
        for (lab, last) in [(&*lab, 1), (&other, 2)] {
            lab.vsctl("add-br br0")?;
            overlay(&lab.host, "br0", last, 1350)?;
        }
        for (tunnel, over_v6) in [
            ("type=geneve options:key=7 options:csum=true", false),
            ("type=geneve options:key=7", true),
            ("type=gre options:key=8 options:csum=true", false),
            ("type=gre", true),
            ("type=erspan options:key=9 options:erspan_ver=2 options:erspan_dir=1 options:erspan_hwid=4", false),
        ] {
            for (lab, last) in [(&*lab, 2), (&other, 1)] {
                let remote = if over_v6 { format!("fd00:99::{last}") } else { format!("192.0.2.{last}") };
                lab.vsctl(&format!("add-port br0 t1 -- set interface t1 {tunnel} options:remote_ip={remote}"))?;
            }
            process::until(tunnel, Duration::from_secs(60), || lab.host.reaches("10.8.0.2"))?;
            lab.host.sends(&other.host, "10.8.0.2", 1_000_000)?;
            for lab in [&*lab, &other] {
                lab.vsctl("del-port t1")?;
            }
        }
        // GTP-U carries packets without frames, which each end makes anew.
        for (lab, own, far) in [(&*lab, 1, 2), (&other, 2, 1)] {
            let mac = |of: u8| format!("02:00:00:00:00:0{of}");
            lab.vsctl(&format!("set bridge br0 other_config:hwaddr={}", mac(own)))?;
            lab.host.line(&format!("ip neigh replace 10.8.0.{far} lladdr {} dev br0", mac(far)))?;
            let tunnel = format!("type=gtpu options:remote_ip=192.0.2.{far} options:key=7 ofport_request=7");
            lab.vsctl(&format!("add-port br0 t1 -- set interface t1 {tunnel}"))?;
            lab.ofctl("add-flow br0 in_port=LOCAL,ip,actions=output:7")?;
            let frame = format!("mod_dl_src:{},mod_dl_dst:{}", mac(far), mac(own));
            lab.ofctl(&format!("add-flow br0 in_port=7,actions={frame},LOCAL"))?;
        }
        process::until("GTP-U", Duration::from_secs(60), || lab.host.reaches("10.8.0.2"))?;
        lab.host.sends(&other.host, "10.8.0.2", 1_000_000)
    });
}

/// Their kernels hand large segments over as packets of the tunnel.
#[test]
fn guests_have_tunnels_of_their_own_through_the_switch() {
    on_lab(Side::troupe(), &[], |lab| {
        let guests = lab.bridge_with_guests(2, 1500)?;
        let [a, b] = guests.as_slice() else { return Err("two guests".into()) };
        for (number, (guest, peer)) in [(a, b), (b, a)].into_iter().enumerate() {
            for (vni, sums) in [(3, ""), (4, " udpcsum")] {
                let link = format!("type vxlan id {vni} remote {} dstport 4789{sums}", peer.ip);
                guest.space.line(&format!("ip link add vx{vni} {link}"))?;
                guest.space.line(&format!("ip addr add 10.8.{vni}.{number}/24 dev vx{vni}"))?;
                guest.space.line(&format!("ip link set vx{vni} up mtu 1400"))?;
            }
        }
        for vni in [3, 4] {
            let far = format!("10.8.{vni}.1");
            process::until("the tunnel to lead", Duration::from_secs(60), || a.reaches(&far))?;
            a.space.sends(&b.space, &far, 8_000_000)?;
        }
        // As well where each packet is decided upon here.
        lab.vsctl("set open . other_config:kernel-fast-path=false")?;
        a.space.sends(&b.space, "10.8.3.1", 8_000_000)
    });
}

#[test]
fn a_test_controller_forwards() {
    on_lab(Side::troupe(), &[], |lab| {
        let guests = lab.bridge_with_guests(2, 1500)?;
        let (a, b) = (&guests[0], &guests[1]);
        let log = lab.place.dir().join("log/controller.err");
        let mut command = lab.place.command("/usr/bin/ovs-testcontroller");
        command.args(["ptcp:6653:127.0.0.1", "-vconsole:info"]);
        let controller = Daemon::start("ovs-testcontroller", command, &log).map_err(|error| error.to_string())?;
        lab.vsctl("set-fail-mode br0 secure -- set-controller br0 tcp:127.0.0.1:6653")?;
        need("it lets traffic flow", a.reaches(&b.ip))?;
        let flows = lab.ofctl("dump-flows br0")?;
        need(&format!("by flows of its own: {flows}"), flows.contains("idle_timeout=60"))?;
        process::until("the controller to be connected", Duration::from_secs(60), || {
            lab.vsctl("get controller br0 is_connected").is_ok_and(|said| said.trim() == "true")
        })?;
        drop(controller);
        lab.ofctl("del-flows br0")?;
        lab.settled()?;
        need("without it nothing passes", a.ping(&b.ip, 3)? == 0)
    });
}

/// The learning switch of `tests/clients` in a version (`13`), with the packages it needs from `pip` in a directory of
/// the build.
fn os_ken(lab: &Lab, version: &str, listen: u16) -> Result<Daemon, String> {
    let packages = harness::side::python_packages(&["os-ken==2.8.1", "pyOpenSSL"])?;
    let app = harness::side::root().join("tests/clients/learning.py");
    let log = lab.place.dir().join("log/os-ken.err");
    let mut command = lab.place.command("/usr/bin/python3");
    command.env("PYTHONPATH", &packages).env("EVENTLET_NO_GREENDNS", "yes").env("OPENFLOW", version);
    command.args(["-c", "from os_ken.cmd.manager import main; main()"]);
    command.args(["--ofp-tcp-listen-port", &listen.to_string(), "--ofp-listen-host", "127.0.0.1"]);
    command.arg(&app);
    let daemon = Daemon::start("os-ken", command, &log).map_err(|error| error.to_string())?;
    let ready = process::until("os-ken to listen", Duration::from_secs(120), || listens(lab, listen));
    ready.map_err(|why| format!("{why}: {}", said(&log)))?;
    Ok(daemon)
}

fn listens(lab: &Lab, port: u16) -> bool {
    lab.host.line("ss -Hltn").is_ok_and(|lines| lines.contains(&format!(":{port} ")))
}

fn said(log: &Path) -> String {
    std::fs::read_to_string(log).unwrap_or_default()
}

#[test]
fn os_ken_learning_switches_of_every_version() {
    on_lab(Side::troupe(), &[], |lab| {
        let guests = lab.bridge_with_guests(2, 1500)?;
        let (a, b) = (&guests[0], &guests[1]);
        lab.vsctl("set-fail-mode br0 secure")?;
        let versions = [
            ("10", "OpenFlow10"),
            ("12", "OpenFlow12"),
            ("13", "OpenFlow13"),
            ("14", "OpenFlow14"),
            ("15", "OpenFlow15"),
        ];
        for (at, (short, version)) in versions.into_iter().enumerate() {
            let port = 6660 + at as u16;
            let controller = os_ken(lab, short, port)?;
            lab.vsctl(&format!("set bridge br0 protocols={version} -- set-controller br0 tcp:127.0.0.1:{port}"))?;
            let log = lab.place.dir().join("log/os-ken.err");
            process::until(&format!("{version}: replies to arrive"), Duration::from_secs(120), || {
                said(&log).contains("all replies are here")
            })
            .map_err(|why| format!("{why}: {}", said(&log)))?;
            need(&format!("{version}: traffic flows: {}", said(&log)), a.reaches(&b.ip))?;
            let flows = lab.ofctl(&format!("-O {version} dump-flows br0"))?;
            need(&format!("{version}: flows were learned: {flows}"), flows.contains("dl_dst="))?;
            drop(controller);
            let _ = std::fs::remove_file(log);
            lab.vsctl("del-controller br0")?;
            lab.ofctl(&format!("-O {version} del-flows br0"))?;
        }
        Ok(())
    });
}

/// Sends datagrams to ever other ports, from ever other ports, for as long as it lives.
const FLOOD: &str = "
import socket, sys
while True:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        for port in range(1024, 65536):
            try: s.sendto(b'', (sys.argv[1], port))
            except OSError: pass
";

/// Answers every datagram to port 7 with itself.
const ECHO: &str = "
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(('', 7))
print('ready', flush=True)
while True:
    said, who = s.recvfrom(64)
    s.sendto(said, who)
";

/// Asks port 7 fifty times, each time from another port, and tells how often there was an answer.
const ASK: &str = "
import socket, sys
heard = 0
for port in range(20000, 20050):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(('', port))
        s.settimeout(3)
        s.sendto(b'?', (sys.argv[1], 7))
        try: heard += len(s.recv(64))
        except OSError: pass
print(heard)
";

#[test]
fn a_port_that_floods_new_flows_keeps_nobody_elses_waiting() {
    on_lab(Side::troupe(), &[], |lab| {
        let guests = lab.bridge_with_guests(3, 1500)?;
        let (flooder, asker, answerer) = (&guests[0], &guests[1], &guests[2]);
        // Rules that look at the ports: every pair of ports is a flow of its own. What floods goes no further, so that
        // nothing but the switch can lose what others send.
        let look = "move:NXM_OF_UDP_SRC[]->NXM_NX_REG0[0..15],move:NXM_OF_UDP_DST[]->NXM_NX_REG1[0..15]";
        lab.ofctl(&format!("add-flow br0 priority=40000,udp,actions={look},normal"))?;
        lab.ruled("add-flow", &format!("priority=50000,in_port={},udp,actions={look}", flooder.port))?;
        need("guests reach each other", flooder.reaches(&answerer.ip) && asker.reaches(&answerer.ip))?;
        let dir = lab.place.dir();
        let (echo, flood) = (dir.join("log/echo"), dir.join("log/flood"));
        let _echo = answerer.space.start(&["python3", "-c", ECHO], &echo)?;
        process::until("the answerer to listen", Duration::from_secs(60), || said(&echo).contains("ready"))?;
        let _flood = flooder.space.start(&["python3", "-c", FLOOD, &answerer.ip], &flood)?;
        let missed = || {
            let shown = lab.appctl("dpctl/show").unwrap_or_default();
            let missed = shown.split("missed:").nth(1).and_then(|rest| rest.split_whitespace().next());
            missed.and_then(|n| n.parse::<u64>().ok()).unwrap_or(0)
        };
        process::until("the flood to miss", Duration::from_secs(60), || missed() > 5_000)?;
        let before = missed();
        let heard = asker.space.run(&["python3", "-c", ASK, &answerer.ip])?;
        need(&format!("the flood went on: {before}, then {}", missed()), missed() > before + 200)?;
        need(
            &format!("(nearly) all of 50 new flows pass beside it: {heard}"),
            heard.trim().parse::<u32>().is_ok_and(|n| n >= 48),
        )
    });
}
