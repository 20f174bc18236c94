//! The fast path in the kernel: who takes it, that all of it is counted, and that nothing outlives its flow, its port or
//! the switch. Taps have `taps.rs`.

use harness::lab::{Guest, Lab, on_lab};
use harness::process;
use harness::side::Side;
use std::time::Duration;

fn need(what: &str, holds: bool) -> Result<(), String> {
    if holds { Ok(()) } else { Err(format!("not so: {what}")) }
}

/// Pings until the kernel forwards it by itself.
fn warm(lab: &Lab, from: &Guest, to: &str) -> Result<(), String> {
    if lab.lacks_kernel_path() {
        return need("the rings forward", from.reaches(to));
    }
    let before = lab.kernel_path("hits")?;
    for _ in 0..20 {
        from.ping(to, 30)?;
        if lab.kernel_path("hits")? > before {
            return Ok(());
        }
    }
    Err(format!("the kernel never forwards: {}", lab.appctl("dpif-netdev/kernel-path-show")?))
}

/// Packets that rules with a cookie have counted.
fn counted(lab: &Lab, cookie: &str) -> Result<u64, String> {
    let text = lab.ofctl(&format!("dump-aggregate br0 cookie={cookie}/-1"))?;
    let count = text.split("packet_count=").nth(1).and_then(|rest| rest.split(' ').next());
    count.and_then(|n| n.parse().ok()).ok_or_else(|| format!("no count: {text}"))
}

/// Whether it is switched on, and this kernel lets the switch have one.
fn is_there(lab: &Lab) -> Result<bool, String> {
    Ok(!lab.appctl("dpif-netdev/kernel-path-show")?.contains("nothing by itself"))
}

fn two_guests(lab: &mut Lab) -> Result<Vec<Guest>, String> {
    lab.vsctl("--no-wait set open_vswitch . other_config:kernel-fast-path=true")?;
    let guests = lab.bridge_with_guests(2, 1500)?;
    lab.ofctl("del-flows br0")?;
    lab.ofctl("add-flow br0 priority=1,actions=normal")?;
    need("there is a fast path, or the log says why not", is_there(lab)? || lab.lacks_kernel_path())?;
    Ok(guests)
}

#[test]
fn every_packet_is_counted_where_it_should_be() {
    on_lab(Side::debian(), &[], |lab| {
        let guests = two_guests(lab)?;
        let [a, b] = guests.as_slice() else { return Err("two guests".into()) };
        need("the two reach each other", a.reaches(&b.ip))?;
        lab.ruled("add-flow", "priority=9,cookie=7,in_port=v1,icmp,actions=output:v2")?;
        let sent = (0..3).try_fold(0, |sent, _| a.ping(&b.ip, 60).map(|_| sent + 60))?;
        let counts = || counted(lab, "7");
        process::until("all of them counted", Duration::from_secs(60), || counts().is_ok_and(|n| n >= sent))?;
        need(&format!("none counted twice: {}", counts()?), counts()? == sent)?;
        need("the kernel forwarded most", lab.lacks_kernel_path() || lab.kernel_path("hits")? > 60)?;
        // TCP goes by it, whole, in either direction.
        a.carries(b, &b.ip, "", 1, 1e6..)?;
        b.carries(a, &a.ip, "", 1, 1e6..)
    });
}

/// A flow that asks for nothing of IP goes by it with its first packet, once its stations are known; one that asks for
/// ports does not.
#[test]
fn between_two_stations_each_packet_may_be_another_flow() {
    on_lab(Side::debian(), &[], |lab| {
        let guests = two_guests(lab)?;
        let [a, b] = guests.as_slice() else { return Err("two guests".into()) };
        warm(lab, a, &b.ip)?;
        lab.ruled("add-flow", "priority=9,cookie=7,in_port=v1,actions=output:v2")?;
        lab.settled()?;
        warm(lab, a, &b.ip)?;
        let sends = format!("for p in {{2000..2199}}; do echo > /dev/udp/{}/$p; done", b.ip);
        let by_kernel = || if lab.lacks_kernel_path() { Ok(0) } else { lab.kernel_path("hits") };
        for (is_asked_for, most) in [(false, true), (true, false)] {
            if is_asked_for {
                lab.ruled("add-flow", "priority=10,cookie=7,udp,in_port=v1,tp_dst=0x0/0xf000,actions=output:v2")?;
                lab.settled()?;
            }
            let (before, hits) = (counted(lab, "7")?, by_kernel()?);
            a.space.run(&["bash", "-c", &sends])?;
            let all = || counted(lab, "7").is_ok_and(|n| n >= before + 200);
            process::until("all of them counted", Duration::from_secs(60), all)?;
            let hits = by_kernel()? - hits;
            let what = format!("{hits} of 200 and what answers them went by the kernel");
            need(&what, lab.lacks_kernel_path() || (hits >= 150) == most)?;
        }
        Ok(())
    });
}

/// Who gives up root goes on with rings of the same kind, and with the right to load programs.
#[test]
fn another_user_has_a_fast_path_as_well() {
    on_lab(Side::debian(), &[], |lab| {
        let lacks = lab.lacks_kernel_path();
        lab.appctl("exit")?;
        lab.place.switch().ok_or("no switch")?.wait(Duration::from_secs(60));
        let dir = lab.place.dir().display().to_string();
        lab.host.line(&format!("chown -R nobody {dir}/run {dir}/log"))?;
        lab.place.start_switch(&["--user=nobody"])?;
        let pid = lab.place.switch().ok_or("no switch")?.pid();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).map_err(|error| error.to_string())?;
        need(&format!("it is not root's: {status}"), status.contains("Uid:\t65534\t65534\t65534\t65534"))?;
        // Of what there is no more than for devices (10 to 14: as Open vSwitch has it) and programs (39).
        let capabilities = status.lines().find_map(|line| line.strip_prefix("CapPrm:\t"));
        let capabilities = capabilities.and_then(|hex| u64::from_str_radix(hex, 16).ok()).ok_or("no capabilities")?;
        need(&format!("it has few: {capabilities:#x}"), capabilities | 1 << 39 == 0x1f << 10 | 1 << 39)?;
        // The bridge's own port may be missing: not everywhere is /dev/net/tun anybody's.
        lab.vsctl("--no-wait set open_vswitch . other_config:kernel-fast-path=true -- add-br br0")?;
        let (a, b) = (lab.guest(1, 1500)?, lab.guest(2, 1500)?);
        lab.vsctl("--no-wait add-port br0 v1 -- add-port br0 v2")?;
        need("the two reach each other", a.reaches(&b.ip))?;
        need("it has what root has", lab.lacks_kernel_path() == lacks)?;
        warm(lab, &a, &b.ip)
    });
}

/// Two bridges, a guest in VLAN 10 of each, a trunk between them: tags are put on by one and taken off by the other.
#[test]
fn tags_are_pushed_and_popped_on_the_way() {
    on_lab(Side::debian(), &[], |lab| {
        let guests = two_guests(lab)?;
        let [a, b] = guests.as_slice() else { return Err("two guests".into()) };
        lab.host.line("ip link add t1 type veth peer name t2")?;
        ["t1", "t2"].iter().try_for_each(|end| lab.host.line(&format!("ip link set {end} up")).map(drop))?;
        lab.vsctl("del-port v2 -- add-br br1 -- add-port br1 v2 tag=10 -- add-port br1 t2 -- add-port br0 t1")?;
        lab.vsctl("set port v1 tag=10")?;
        need("the two reach each other", a.reaches(&b.ip) && a.reaches(&b.ip6))?;
        warm(lab, a, &b.ip)?;
        lab.ofctl("add-flow br0 priority=9,cookie=7,in_port=v1,icmp,actions=normal")?;
        lab.ofctl("add-flow br1 priority=9,cookie=7,in_port=t2,icmp,actions=normal")?;
        lab.settled()?;
        need("all echoes come back", a.ping(&b.ip, 100)? == 100)?;
        for (bridge, octets) in [("br0", 98), ("br1", 102)] {
            let all = format!("packet_count=100 byte_count={} ", 100 * octets);
            let told = || lab.ofctl(&format!("dump-aggregate {bridge} cookie=7/-1"));
            process::until(&all, Duration::from_secs(60), || told().is_ok_and(|text| text.contains(&all)))?;
        }
        for (left, right) in [("on", "on"), ("off", "on"), ("on", "off"), ("off", "off")] {
            a.space.line(&format!("ethtool -K eth0 tso {left} gso {left} tx {left}"))?;
            b.space.line(&format!("ethtool -K eth0 gro {right} rx {right}"))?;
            for trunk in ["t1", "t2"] {
                lab.host.line(&format!("ethtool -K {trunk} txvlan {right} rxvlan {left}"))?;
            }
            a.sends(b, &b.ip, 300_000)?;
            b.sends(a, &a.ip6, 300_000)?;
        }
        need("frames as long as they may be", a.ping_with(&b.ip, 40, &["-M", "do", "-s", "1472"])? == 40)?;
        warm(lab, a, &b.ip)?;
        lab.vsctl("set port v2 tag=11")?;
        lab.settled()?;
        need("in another VLAN it hears nothing", a.ping(&b.ip, 5)? == 0)?;
        lab.vsctl("set port v1 tag=11")?;
        need("there they meet again", a.reaches(&b.ip))?;
        warm(lab, a, &b.ip)
    });
}

#[test]
fn a_change_is_in_force() {
    on_lab(Side::debian(), &[], |lab| {
        let guests = two_guests(lab)?;
        let [a, b] = guests.as_slice() else { return Err("two guests".into()) };
        need("the two reach each other", a.reaches(&b.ip))?;
        warm(lab, a, &b.ip)?;
        lab.ruled("add-flow", "priority=9,in_port=v1,icmp,actions=drop")?;
        need("a rule that drops is obeyed", a.ping(&b.ip, 5)? == 0)?;
        lab.ofctl("--strict del-flows br0 priority=9,in_port=v1,icmp")?;
        need("taken back, it is as before", a.reaches(&b.ip))?;
        warm(lab, a, &b.ip)?;
        let told = || lab.vsctl("get interface v1 link_resets link_state mac_in_use ifindex statistics:rx_packets");
        let before = told()?;
        lab.vsctl("set open_vswitch . other_config:kernel-fast-path=false")?;
        let lines = |text: &str| text.lines().take(4).map(str::to_owned).collect::<Vec<_>>();
        let after = told()?;
        need(&format!("the port is as before: {before}, {after}"), lines(&before) == lines(&after))?;
        need("switched off, the rings go on", a.reaches(&b.ip))?;
        need("and it says so", !is_there(lab)?)?;
        lab.vsctl("set open_vswitch . other_config:kernel-fast-path=true")?;
        need("switched on again", a.reaches(&b.ip))?;
        warm(lab, a, &b.ip)?;
        lab.vsctl("del-port v2")?;
        need("a port that is gone gets nothing", a.ping(&b.ip, 5)? == 0)?;
        lab.vsctl("add-port br0 v2")?;
        need("back, it does", a.reaches(&b.ip))
    });
}

#[test]
fn who_watches_or_limits_a_port_sees_all_of_it() {
    on_lab(Side::debian(), &[], |lab| {
        let guests = two_guests(lab)?;
        let [a, b] = guests.as_slice() else { return Err("two guests".into()) };
        need("the two reach each other", a.reaches(&b.ip))?;
        warm(lab, a, &b.ip)?;
        let seen = std::thread::scope(|scope| {
            let capture = scope.spawn(|| lab.appctl("port/capture br0 v1 --count 40 --duration 60 --filter icmp"));
            let mut pings = 0;
            while !capture.is_finished() && pings < 200 {
                a.ping(&b.ip, 5)?;
                pings += 1;
            }
            capture.join().map_err(|_| "the capture's thread died".to_owned())?
        })?;
        need(&format!("a capture sees what the kernel had forwarded: {seen}"), seen.matches("icmp(").count() >= 40)?;
        warm(lab, a, &b.ip)?;
        lab.vsctl("set interface v1 ingress_policing_rate=1000 ingress_policing_burst=100")?;
        process::until("a port with a limit to have no entries", Duration::from_secs(60), || {
            lab.lacks_kernel_path() || lab.kernel_path("entries").is_ok_and(|n| n <= 1)
        })?;
        a.carries(b, &b.ip, "-u -b 20M", 2, 1e5..5e6)?;
        lab.vsctl("set interface v1 ingress_policing_rate=0")?;
        warm(lab, a, &b.ip)
    });
}

#[test]
fn a_mirror_gets_what_the_kernel_had_forwarded() {
    on_lab(Side::debian(), &[], |lab| {
        let guests = two_guests(lab)?;
        let [a, b] = guests.as_slice() else { return Err("two guests".into()) };
        let watcher = lab.guest(3, 1500)?;
        lab.vsctl("add-port br0 v3")?;
        need("the two reach each other", a.reaches(&b.ip))?;
        warm(lab, a, &b.ip)?;
        lab.vsctl(
            "-- --id=@out get port v3 -- --id=@m create mirror name=m0 select-all=true output-port=@out \
             -- set bridge br0 mirrors=@m",
        )?;
        lab.settled()?;
        let seen = || -> Result<u64, String> {
            let text = watcher.space.line("cat /sys/class/net/eth0/statistics/rx_packets")?;
            text.trim().parse().map_err(|error| format!("{error}: {text}"))
        };
        let before = seen()?;
        need("a mirrored packet is delivered all the same", a.ping(&b.ip, 20)? == 20)?;
        let came = || seen().is_ok_and(|now| now >= before + 40);
        process::until("the mirror to have both ways of it", Duration::from_secs(60), came)?;
        lab.vsctl("clear bridge br0 mirrors")?;
        warm(lab, a, &b.ip)
    });
}

/// Deletes the pair of devices of a guest and makes it anew, under the same names and addresses.
fn make_anew(lab: &Lab, guest: &Guest) -> Result<(), String> {
    let Guest { space, port, ip, mac, .. } = guest;
    lab.host.line(&format!("ip link del {port}"))?;
    let name = space.name();
    lab.host.line(&format!("ip link add {port} type veth peer name eth0 netns {name} address {mac}"))?;
    space.line(&format!("ip addr add {ip}/24 dev eth0"))?;
    space.line("ip link set eth0 up")?;
    lab.host.line(&format!("ip link set {port} up")).map(drop)
}

#[test]
fn a_device_comes_back_under_load() {
    on_lab(Side::debian(), &[], |lab| {
        let guests = two_guests(lab)?;
        let [a, b] = guests.as_slice() else { return Err("two guests".into()) };
        need("the two reach each other", a.reaches(&b.ip))?;
        let log = lab.place.dir().join("load.log");
        let load = a.space.start(&["ping", "-q", "-i", "0.001", &b.ip], &log)?;
        for round in 0..3 {
            warm(lab, a, &b.ip)?;
            make_anew(lab, b)?;
            let back = || b.reaches(&a.ip);
            process::until(&format!("the device to be back, time {round}"), Duration::from_secs(60), back)?;
        }
        // The one that sends goes as well, with what its queue holds.
        drop(load);
        let load = b.space.start(&["ping", "-q", "-i", "0.001", &a.ip], &log)?;
        warm(lab, b, &a.ip)?;
        make_anew(lab, b)?;
        drop(load);
        process::until("the sender to be back", Duration::from_secs(60), || b.reaches(&a.ip))?;
        warm(lab, b, &a.ip)?;
        let shown = lab.appctl("actor/show")?;
        let died = shown.lines().filter(|line| line.starts_with("datapath") || line.starts_with("bridge"));
        let died = died.filter(|line| line.split_whitespace().nth(6).is_some_and(|n| n != "0")).count();
        need(&format!("no actor died of it: {shown}"), died == 0)
    });
}

#[test]
fn a_killed_switch_leaves_nothing_that_forwards() {
    on_lab(Side::debian(), &[], |lab| {
        let guests = two_guests(lab)?;
        let [a, b] = guests.as_slice() else { return Err("two guests".into()) };
        need("the two reach each other", a.reaches(&b.ip))?;
        warm(lab, a, &b.ip)?;
        lab.place.switch().ok_or("no switch")?.kill();
        need("nothing passes any more", a.ping(&b.ip, 5)? == 0)
    });
}
