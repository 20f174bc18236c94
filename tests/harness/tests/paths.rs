//! The paths that must work: a bridge with guests, its flows, and what survives when parts of it die; with our
//! own tools and with Debian's.

use harness::lab::{Lab, on_lab, ping};
use harness::process;
use harness::side::Side;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

/// What the kernel gives an Ethernet device.
const MTU: u32 = 1500;

/// At least this many of 20 echoes come back where none should be lost but for the first.
const MOST: u32 = 19;

fn need(what: &str, holds: bool) -> Result<(), String> {
    if holds { Ok(()) } else { Err(format!("not so: {what}")) }
}

fn bridge_and_ports(lab: &mut Lab) -> Result<(), String> {
    let guests = lab.bridge_with_guests(2, MTU)?;
    let (a, b) = (&guests[0], &guests[1]);
    need("the first guest reaches the second", a.reaches(&b.ip))?;
    need("and by IPv6", a.reaches(&b.ip6))?;
    let answered = a.ping(&b.ip, 20)?;
    need(&format!("{answered} of 20 echoes come back"), answered >= MOST)?;
    for (from, to) in [(a, b), (b, a)] {
        from.carries(to, &to.ip, "", 1, 20e6..)?;
    }
    a.carries(b, &b.ip6, "", 1, 20e6..)?;
    a.carries(b, &b.ip, "-u -b 20M", 1, 10e6..)?;

    let ports = lab.vsctl("list-ports br0")?;
    need(&format!("the ports are listed: {ports:?}"), ports == "v1\nv2\n")?;
    let shown = lab.ofctl("show br0")?;
    need(&format!("the ports are shown: {shown}"), shown.contains("(v1)") && shown.contains("(v2)"))?;
    let table = lab.appctl("fdb/show br0")?;
    need(&format!("the guests were learned: {table}"), [a, b].iter().all(|guest| table.contains(&guest.mac)))?;

    lab.vsctl("del-port br0 v2")?;
    need("a deleted port carries nothing", a.ping(&b.ip, 5)? == 0)?;
    lab.vsctl("add-port br0 v2")?;
    need("added again, it does", a.reaches(&b.ip))?;
    lab.vsctl("del-br br0")?;
    need("a deleted bridge carries nothing", a.ping(&b.ip, 5)? == 0)?;
    need("its device is gone", lab.host.line("ip link show br0").is_err())?;
    need("no bridge is left", lab.vsctl("list-br")?.is_empty())
}

#[test]
fn bridge_and_ports_with_our_tools() {
    on_lab(Side::troupe(), &[], bridge_and_ports);
}

#[test]
fn bridge_and_ports_with_debians_tools() {
    on_lab(Side::debian(), &[], bridge_and_ports);
}

#[test]
fn jumbo_frames() {
    on_lab(Side::troupe(), &[], |lab| {
        let guests = lab.bridge_with_guests(2, 9000)?;
        let (a, b) = (&guests[0], &guests[1]);
        need("they reach each other", a.reaches(&b.ip))?;
        let answered = a.ping_with(&b.ip, 10, &["-M", "do", "-s", "8972"])?;
        need(&format!("{answered} of 10 whole jumbo frames come back"), answered == 10)?;
        a.carries(b, &b.ip, "", 1, 20e6..)
    });
}

#[test]
fn offloads_on_and_off_at_either_end() {
    on_lab(Side::troupe(), &[], |lab| {
        let guests = lab.bridge_with_guests(2, MTU)?;
        let (a, b) = (&guests[0], &guests[1]);
        need("they reach each other", a.reaches(&b.ip))?;
        for (left, right) in [("off", "on"), ("on", "off"), ("off", "off")] {
            a.space.line(&format!("ethtool -K eth0 tso {left} gso {left} tx {left}"))?;
            b.space.line(&format!("ethtool -K eth0 gro {right} rx {right}"))?;
            a.sends(b, &b.ip, 300_000)?;
            a.sends(b, &b.ip6, 300_000)?;
        }
        Ok(())
    });
}

#[test]
fn the_host_pings_through_the_bridge_port() {
    on_lab(Side::debian(), &[], |lab| {
        let guests = lab.bridge_with_guests(1, MTU)?;
        lab.host.line("ip addr add 10.9.0.254/24 dev br0")?;
        lab.host.line("ip link set br0 up")?;
        need("the guest reaches the host", guests[0].reaches("10.9.0.254"))?;
        let answered = ping(&lab.host, &guests[0].ip, 20, &[])?;
        need(&format!("{answered} of 20 echoes come back to the host"), answered >= MOST)
    });
}

fn flows_change_forwarding(lab: &mut Lab) -> Result<(), String> {
    let guests = lab.bridge_with_guests(2, MTU)?;
    let (a, b) = (&guests[0], &guests[1]);
    need("NORMAL forwards", a.reaches(&b.ip))?;
    let counted = |flows: &str| -> u64 {
        let counts = flows.split("n_packets=").skip(1).filter_map(|rest| rest.split(',').next()?.parse::<u64>().ok());
        counts.sum()
    };
    lab.ruled("add-flow", "priority=100,in_port=v1,icmp,actions=drop")?;
    need("a drop rule drops", a.ping(&b.ip, 5)? == 0)?;
    lab.ofctl("--strict del-flows br0 priority=100,in_port=v1,icmp")?;
    lab.settled()?;
    need("without it forwarding is back", a.ping(&b.ip, 5)? == 5)?;
    lab.ruled("add-flow", "priority=100,in_port=v1,actions=output:v2")?;
    need("an output rule forwards", a.ping(&b.ip, 20)? >= MOST)?;
    process::until("its counters to tell of 20 packets", Duration::from_secs(60), || {
        lab.ofctl("dump-flows br0 in_port=v1").is_ok_and(|flows| counted(&flows) >= 20)
    })?;
    lab.ofctl("add-flow br0 priority=200,in_port=v1,ip,nw_dst=10.9.0.77,actions=mod_nw_dst:10.9.0.2,output:v2")?;
    lab.ruled("add-flow", "priority=200,in_port=v2,ip,nw_src=10.9.0.2,actions=mod_nw_src:10.9.0.77,output:v1")?;
    a.space.line(&format!("ip neigh replace 10.9.0.77 lladdr {} dev eth0", b.mac))?;
    need("an address set by rule is answered under it", a.ping("10.9.0.77", 5)? == 5)?;
    let flows = lab.appctl("dpctl/dump-flows")?;
    need(&format!("the datapath tells of the set: {flows}"), flows.contains("set(ipv4("))?;
    lab.ofctl("del-flows br0")?;
    lab.settled()?;
    need("with no rule nothing passes", a.ping(&b.ip, 5)? == 0)?;
    lab.ofctl("add-flow br0 actions=NORMAL")?;
    need("NORMAL restored, all passes", a.reaches(&b.ip))?;
    let ports = lab.ofctl("dump-ports br0")?;
    need(&format!("ports count: {ports}"), ports.contains("rx pkts=") && ports.contains("tx pkts="))?;
    // The datapath's own device, the bridge's and the guests' two are the kernel's: it counts whatever happens to them.
    let shown = lab.appctl("dpctl/show -s")?;
    need(&format!("nothing of a device is unknown: {shown}"), !shown.contains('?'))?;
    need(&format!("four devices: {shown}"), shown.matches("aborted:0 carrier:0").count() == 4)?;
    let trace = lab.appctl("ofproto/trace br0 in_port=v1,icmp,dl_src=00:00:00:00:00:01,dl_dst=00:00:00:00:00:02")?;
    need(&format!("the trace ends in actions: {trace}"), trace.contains("Datapath actions: "))
}

#[test]
fn flows_change_forwarding_with_our_tools() {
    on_lab(Side::troupe(), &[], flows_change_forwarding);
}

#[test]
fn flows_change_forwarding_with_debians_tools() {
    on_lab(Side::debian(), &[], flows_change_forwarding);
}

#[test]
fn a_killed_switch_comes_back_from_the_database() {
    on_lab(Side::troupe(), &[], |lab| {
        let guests = lab.bridge_with_guests(2, MTU)?;
        let (a, b) = (&guests[0], &guests[1]);
        for _ in 0..2 {
            need("traffic flows", a.reaches(&b.ip))?;
            lab.place.switch().ok_or("no switch")?.kill();
            lab.place.start_switch(&[])?;
            need("traffic flows again", a.reaches(&b.ip))?;
            let ports = lab.vsctl("list-ports br0")?;
            need(&format!("the ports are back: {ports:?}"), ports == "v1\nv2\n")?;
        }
        let answered = a.ping(&b.ip, 20)?;
        need(&format!("{answered} of 20 echoes come back"), answered >= MOST)
    });
}

/// The numbers of the echoes that were answered, in the output of a ping with `icmp_seq` on every line.
fn echoes(output: &str) -> Vec<u32> {
    let answers = output.lines().filter(|line| line.contains(" bytes from "));
    answers.filter_map(|line| line.split("icmp_seq=").nth(1)?.split(' ').next()?.parse().ok()).collect()
}

/// The longest run of echoes that went unanswered.
fn longest_gap(output: &str) -> u32 {
    echoes(output).windows(2).map(|pair| pair[1].saturating_sub(pair[0] + 1)).max().unwrap_or(u32::MAX)
}

/// What an upgrade does: save the flows, end the switch, start another, restore them; under ping, and with an address
/// of the host's on the bridge's own port.
#[test]
fn an_upgrade_by_restart_keeps_flows_and_addresses() {
    on_lab(Side::debian(), &[], |lab| {
        let guests = lab.bridge_with_guests(2, MTU)?;
        let (a, b) = (&guests[0], &guests[1]);
        lab.host.line("ip addr add 10.9.0.254/24 dev br0")?;
        lab.host.line("ip link set br0 up")?;
        lab.ofctl("del-flows br0")?;
        lab.ofctl("add-flow br0 cookie=0x7,priority=7,actions=normal")?;
        lab.ofctl("-O OpenFlow14 add-group br0 group_id=7,type=all,bucket=actions=drop")?;
        need("traffic flows", a.reaches(&b.ip) && a.reaches("10.9.0.254"))?;
        let (groups, flows) = (lab.ofctl("-O OpenFlow14 dump-groups br0")?, lab.ofctl("--no-stats dump-flows br0")?);
        let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
        let file = |name: &str, text: &str| -> Result<String, String> {
            let path = dir.path().join(name);
            let lines: Vec<&str> = text.lines().filter(|l| l.contains("actions=")).collect();
            std::fs::write(&path, lines.join("\n") + "\n").map_err(|error| error.to_string())?;
            Ok(path.display().to_string())
        };
        let (groups, flows) = (file("groups", &groups)?, file("flows", &flows)?);
        let logs = ["10.9.0.2", "10.9.0.254"].map(|to| (to, dir.path().join(to)));
        let echo = |(to, log): &(&str, PathBuf)| a.space.start(&["ping", "-i", "0.02", to], log);
        let pings = logs.iter().map(echo).collect::<Result<Vec<_>, _>>()?;
        let said = || logs.each_ref().map(|(_, log)| std::fs::read_to_string(log).unwrap_or_default());
        let heard = || said().map(|text| echoes(&text).len());
        let ten_more = |than: [usize; 2]| {
            process::until("ten more echoes of each", Duration::from_secs(60), || {
                heard().iter().zip(than).all(|(now, before)| *now >= before + 10)
            })
        };
        ten_more([0; 2])?;
        let begin = Instant::now();
        lab.vsctl("set open . other_config:flow-restore-wait=true")?;
        lab.appctl("exit")?;
        lab.place.switch().ok_or("no switch")?.wait(Duration::from_secs(60));
        lab.place.start_switch(&[])?;
        // It answers control commands before it has its bridges; who detaches it waits for those.
        process::until("the bridge to be back", Duration::from_secs(60), || lab.ofctl("show br0").is_ok())?;
        lab.ofctl(&format!("-O OpenFlow14 add-groups br0 {groups} --bundle"))?;
        lab.ofctl(&format!("-O OpenFlow14 replace-flows br0 {flows} --bundle"))?;
        lab.vsctl("remove open . other_config flow-restore-wait")?;
        let away = begin.elapsed();
        ten_more(heard())?;
        drop(pings);
        for text in said() {
            let gap = Duration::from_millis(20) * longest_gap(&text);
            // Four seconds beyond what the steps took: what a busy machine may take for what takes a tenth of one.
            let most = away + Duration::from_secs(4);
            need(&format!("echoes went unanswered for {gap:?} of {away:?}"), gap < most)?;
        }
        let kept = lab.ofctl("--no-stats dump-flows br0")?;
        need(
            &format!("the flows are back, and no others: {kept}"),
            kept.lines().count() == 1 && kept.contains("cookie=0x7"),
        )?;
        need("the groups are back", lab.ofctl("-O OpenFlow14 dump-groups br0")?.contains("group_id=7"))?;
        lab.appctl("exit --cleanup")?;
        process::until("the bridge's device to go with the switch", Duration::from_secs(60), || {
            lab.host.line("ip link show br0").is_err()
        })
    });
}

#[test]
fn traffic_outlives_the_database() {
    on_lab(Side::troupe(), &[], |lab| {
        let guests = lab.bridge_with_guests(2, MTU)?;
        let (a, b) = (&guests[0], &guests[1]);
        need("traffic flows", a.reaches(&b.ip))?;
        let answered = thread::scope(|scope| {
            let pinger = scope.spawn(|| a.ping(&b.ip, 60));
            thread::sleep(Duration::from_millis(500));
            lab.place.database().ok_or("no database")?.kill();
            thread::sleep(Duration::from_millis(1000));
            lab.place.start_database(&[])?;
            pinger.join().map_err(|_| "the pinger failed".to_owned())?
        })?;
        need(&format!("{answered} of 60 echoes came back meanwhile"), answered >= 59)?;
        lab.vsctl("add-br br1")?;
        need("the switch obeys the new server", lab.vsctl("list-br")? == "br0\nbr1\n")
    });
}

#[test]
fn every_actor_that_panics_comes_back() {
    on_lab(Side::troupe(), &["--enable-dummy"], |lab| {
        let guests = lab.bridge_with_guests(2, MTU)?;
        let (a, b) = (&guests[0], &guests[1]);
        need("traffic flows", a.reaches(&b.ip))?;
        let shown = lab.appctl("actor/show")?;
        let names = actors(&shown);
        need(&format!("actors are listed: {shown}"), names.len() >= 5)?;
        let mut kinds = BTreeSet::new();
        for (name, kind) in names.iter().filter(|(name, _)| !ends_the_process(name)) {
            if !kinds.insert(kind) {
                continue;
            }
            let said = lab.tool_args("ovs-appctl", &["-T", "60", "actor/panic", name])?;
            need(&format!("after {name} panicked ({said:?}) traffic flows"), a.reaches(&b.ip))?;
            process::until(&format!("{name} to be listed again"), Duration::from_secs(60), || {
                lab.appctl("actor/show").is_ok_and(|shown| actors(&shown).iter().any(|(listed, _)| listed == name))
            })?;
            // More than three restarts in ten seconds would escalate by design.
            thread::sleep(Duration::from_millis(3400));
        }
        need(&format!("every kind was tried: {kinds:?}"), kinds.len() >= 7)?;
        lab.vsctl("add-br br9")?;
        need("configuration still arrives", lab.ofctl("show br9")?.contains("br9"))
    });
}

/// What a bridge and a datapath were told outlives them.
#[test]
fn an_actor_that_panics_comes_back_as_it_was() {
    on_lab(Side::troupe(), &["--enable-dummy"], |lab| {
        let guests = lab.bridge_with_guests(2, MTU)?;
        let (a, b) = (&guests[0], &guests[1]);
        lab.ofctl("-O OpenFlow13 add-meter br0 meter=7,pktps,burst,stats,bands=type=drop,rate=1000,burst_size=1000")?;
        lab.ofctl("-O OpenFlow13 add-group br0 group_id=5,type=all,bucket=actions=normal")?;
        lab.ofctl("-O OpenFlow13 add-flow br0 priority=5,actions=meter:7,group:5")?;
        lab.appctl("dpctl/ct-set-maxconns 1234")?;
        lab.appctl("dpctl/ct-set-limits default=99 zone=3,limit=17")?;
        lab.appctl("fdb/add br0 v1 0 02:00:00:00:00:77")?;
        need("traffic flows", a.reaches(&b.ip))?;
        let metered = |lab: &Lab| {
            let stats = lab.ofctl("-O OpenFlow13 meter-stats br0 meter=7")?;
            let count = stats.split("packet_in_count:").nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok());
            Ok::<u64, String>(count.unwrap_or(0))
        };
        let settings = |lab: &mut Lab| {
            let ways = ["dpctl/ct-get-maxconns", "dpctl/ct-get-limits", "fdb/show br0"];
            let said: Result<Vec<String>, String> = ways.iter().map(|way| lab.appctl(way)).collect();
            let groups = lab.ofctl("-O OpenFlow13 dump-groups br0")?;
            let meters = lab.ofctl("-O OpenFlow13 dump-meters br0")?;
            let mut said = said?;
            // Ages pass.
            said[2] = said[2].lines().filter(|l| l.contains("00:77")).collect();
            Ok::<_, String>((said, body(&groups), body(&meters)))
        };
        let before = settings(lab)?;
        need(&format!("all is set: {before:?}"), before.0[0] == "1234\n" && before.0[2].contains("static"))?;
        for name in ["datapath system", "bridge br0"] {
            lab.tool_args("ovs-appctl", &["-T", "60", "actor/panic", name])?;
            need(&format!("traffic flows again after {name}"), a.reaches(&b.ip))?;
            let count = metered(lab)?;
            // The first packets are the bridge's own affair.
            process::until(&format!("the meter to count again after {name}"), Duration::from_secs(60), || {
                a.ping(&b.ip, 3).is_ok() && metered(lab).is_ok_and(|now| now > count)
            })?;
            let now = settings(lab)?;
            need(&format!("after {name}, {now:?} is {before:?}"), now == before)?;
        }
        Ok(())
    });
}

/// What follows the first line, which names the message.
fn body(text: &str) -> Vec<String> {
    text.lines().skip(1).map(str::to_owned).collect()
}

/// Names and kinds of the actors in the output of `actor/show`.
fn actors(shown: &str) -> Vec<(String, String)> {
    let width = shown.lines().next().and_then(|heading| heading.find("kind")).unwrap_or(0);
    let kind = |line: &str| Some(line.get(width..)?.split_whitespace().next()?.to_owned());
    shown.lines().skip(1).filter_map(|line| Some((line.get(..width)?.trim().to_owned(), kind(line)?))).collect()
}

/// Actors whose end is the process's end by design, and sessions, which end with their peer.
fn ends_the_process(name: &str) -> bool {
    name == "switch" || name.starts_with("unixctl") || name.contains("session")
}

#[test]
fn a_panic_at_the_top_ends_the_process_and_the_monitor_restarts_it() {
    on_lab(Side::troupe(), &[], |lab| {
        let guests = lab.bridge_with_guests(2, MTU)?;
        let (a, b) = (&guests[0], &guests[1]);
        lab.place.switch().ok_or("no switch")?.kill();
        let db = lab.place.db();
        let options = ["--no-chdir", "--pidfile", "--log-file", "--detach", "--monitor", "--enable-dummy", &db];
        lab.place.tool("ovs-vswitchd", &options)?;
        need("the detached switch serves when the start returns", lab.appctl("version").is_ok())?;
        need("traffic flows", a.reaches(&b.ip))?;
        let pidfile = lab.place.run_dir().join("ovs-vswitchd.pid");
        let pid = || std::fs::read_to_string(&pidfile).unwrap_or_default();
        let before = pid();
        let _ = lab.appctl("actor/panic switch");
        process::until("the monitor to start it again", Duration::from_secs(60), || {
            !pid().is_empty() && pid() != before && lab.appctl("version").is_ok()
        })?;
        need("traffic flows again", a.reaches(&b.ip))?;
        let again = lab.place.tool("ovs-vswitchd", &options);
        let said = again.err().unwrap_or_default();
        need(&format!("a second start says who holds the pidfile: {said}"), said.contains("already running as pid"))?;
        lab.appctl("exit")?;
        process::until("it to end", Duration::from_secs(60), || lab.appctl("version").is_err())
    });
}
