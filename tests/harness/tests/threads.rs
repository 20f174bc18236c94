//! A datapath of several threads does what one of a single thread does, while its threads come, go and die.

use harness::lab::{Guest, Lab, on_lab};
use harness::process;
use harness::side::Side;
use std::time::Duration;

const MTU: u32 = 1500;
const SOON: Duration = Duration::from_secs(60);
/// At least this many of 20 echoes come back where none should be lost but for the first.
const MOST: u32 = 19;
/// Two processors, whatever the machine has, and threads on them; and `actor/panic`.
const PROCESSORS: &[&str] = &["--enable-dummy", "--dummy-numa=0,0"];

fn need(what: &str, holds: bool) -> Result<(), String> {
    if holds { Ok(()) } else { Err(format!("not so: {what}")) }
}

fn mask(lab: &Lab, mask: u8) -> Result<(), String> {
    lab.vsctl(&format!("set Open_vSwitch . other_config:pmd-cpu-mask={mask:x}")).map(drop)
}

/// Two guests at ports of two queues each, with two threads.
fn guests(lab: &mut Lab) -> Result<Vec<Guest>, String> {
    mask(lab, 3)?;
    let guests = lab.bridge_with_guests(2, MTU)?;
    lab.vsctl("set interface v1 options:n_rxq=2 -- set interface v2 options:n_rxq=2")?;
    process::until("the guests to reach each other", SOON, || guests[0].reaches(&guests[1].ip))?;
    Ok(guests)
}

fn threads(lab: &Lab) -> Result<Vec<String>, String> {
    let shown = lab.appctl("actor/show")?;
    Ok(shown.lines().filter(|line| line.contains(" core ")).map(str::to_owned).collect())
}

/// Packets that the thread of a processor received.
fn received(lab: &Lab, core: u32) -> Result<u64, String> {
    let shown = lab.appctl(&format!("dpif-netdev/pmd-stats-show -pmd {core}"))?;
    let line = shown.lines().find_map(|line| line.trim().strip_prefix("packets received: "));
    line.and_then(|n| n.parse().ok()).ok_or_else(|| format!("no count in {shown}"))
}

#[test]
fn queues_of_devices_are_shared_out_among_threads() {
    on_lab(Side::troupe(), PROCESSORS, |lab| {
        let guests = guests(lab)?;
        let (a, b) = (&guests[0], &guests[1]);
        let shown = lab.appctl("dpif-netdev/pmd-rxq-show")?;
        let queues = |core: usize| shown.split("pmd thread").nth(core + 1).map_or(0, |t| t.matches("port: v").count());
        need(&format!("each has two: {shown}"), queues(0) == 2 && queues(1) == 2)?;
        for (from, to) in [(a, b), (b, a)] {
            from.carries(to, &to.ip, "-P 8", 1, 20e6..)?;
        }
        for core in 0..2 {
            need("each receives", received(lab, core)? > 100)?;
        }
        lab.vsctl("set interface v1 other_config:pmd-rxq-affinity=0:1,1:1")?;
        let shown = lab.appctl("dpif-netdev/pmd-rxq-show")?;
        let second = shown.split("core_id 1:").nth(1).unwrap_or_default();
        need(&format!("v1 is pinned: {shown}"), second.matches("port: v1 ").count() == 2)?;
        let dropped = lab.dropped()?;
        let answered = a.ping(&b.ip, 20)?;
        let dropped = lab.dropped()? - dropped;
        need(&format!("{answered} of 20 echoes come back, {dropped} found no room"), answered + dropped >= MOST)?;
        let counted = |flows: &str| -> u64 {
            let packets =
                flows.split("packets:").skip(1).filter_map(|rest| rest.split(',').next()?.parse::<u64>().ok());
            packets.sum()
        };
        let by_thread: u64 = ["0", "1", "-1"].iter().try_fold(0, |sum, pmd| {
            Ok::<u64, String>(sum + counted(&lab.appctl(&format!("dpctl/dump-flows pmd={pmd}"))?))
        })?;
        need("what threads count is what there is", by_thread > 20)
    });
}

#[test]
fn connections_are_tracked_across_threads() {
    on_lab(Side::troupe(), PROCESSORS, |lab| {
        let guests = guests(lab)?;
        let (a, b) = (&guests[0], &guests[1]);
        // The two directions of a connection come in by different threads.
        lab.vsctl(
            "set interface v1 other_config:pmd-rxq-affinity=0:0,1:0 -- set interface v2 other_config:pmd-rxq-affinity=0:1,1:1",
        )?;
        lab.ofctl("del-flows br0")?;
        for flow in [
            "arp,actions=normal",
            "ip,ct_state=-trk,actions=ct(table=1)",
            "table=1,in_port=v1,ip,ct_state=+trk+new,actions=ct(commit),normal",
            "table=1,ip,ct_state=+trk+est,actions=normal",
        ] {
            lab.tool_args("ovs-ofctl", &["add-flow", "br0", flow])?;
        }
        lab.settled()?;
        a.carries(b, &b.ip, "-P 4", 1, 20e6..)?;
        need("who may begin does", a.ping(&b.ip, 5)? == 5)?;
        need("who may not does not", b.ping(&a.ip, 2)? == 0)
    });
}

#[test]
fn threads_come_go_and_die_while_packets_flow() {
    on_lab(Side::troupe(), PROCESSORS, |lab| {
        let guests = guests(lab)?;
        let (a, b) = (&guests[0], &guests[1]);
        let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
        let log = dir.path().join("ping.log");
        let (count, dropped) = ("200", lab.dropped()?);
        let mut ping = a.space.start(&["ping", "-i", "0.02", "-c", count, "-W", "5", &b.ip], &log)?;
        for turn in 0..6 {
            mask(lab, if turn % 2 == 0 { 1 } else { 3 })?;
            let wanted = if turn % 2 == 0 { 0 } else { 2 };
            process::until("threads as the mask says", SOON, || threads(lab).is_ok_and(|t| t.len() == wanted))?;
        }
        ping.wait(SOON);
        let said = std::fs::read_to_string(&log).unwrap_or_default();
        let answered = said.split(" received").next().and_then(|s| s.rsplit(' ').next()?.parse::<u32>().ok());
        let dropped = lab.dropped()?.saturating_sub(dropped);
        need(
            &format!("queues that move lose nothing much, but {dropped} found no room: {said}"),
            answered.is_some_and(|n| n + dropped >= 190),
        )?;

        lab.tool_args("ovs-appctl", &["actor/panic", "datapath system core 1"])?;
        process::until("the thread to be back with its ports", SOON, || {
            a.ping(&b.ip, 3).is_ok_and(|answered| answered == 3)
                && a.carries(b, &b.ip, "-P 8", 1, 20e6..).is_ok()
                && received(lab, 1).is_ok_and(|n| n > 0)
        })?;
        mask(lab, 1)?;
        process::until("one thread", SOON, || threads(lab).is_ok_and(|t| t.is_empty()))?;
        a.carries(b, &b.ip, "", 1, 20e6..)
    });
}

/// What flows have carried since they were asked last is known when the thread that counted it is no more: the only one, or
/// one beside it.
#[test]
fn what_a_thread_counted_is_not_lost_with_it() {
    on_lab(Side::troupe(), PROCESSORS, |lab| {
        let guests = lab.bridge_with_guests(2, MTU)?;
        let (a, b) = (&guests[0], &guests[1]);
        // Flows are asked what they carried as seldom as may be.
        lab.vsctl("set Open_vSwitch . other_config:max-revalidator=600000")?;
        let turns = [("datapath system", 8, "icmp", "0"), ("datapath system core 1", 9, "icmp,nw_tos=4", "4")];
        for (thread, priority, protocol, tos) in turns {
            if thread.ends_with("core 1") {
                mask(lab, 3)?;
                process::until("the other threads", SOON, || threads(lab).is_ok_and(|t| t.len() == 2))?;
            }
            process::until("the guests to reach each other", SOON, || a.reaches(&b.ip))?;
            // What the caches know of the echoes before is not to take those that are counted.
            lab.ruled("add-flow", &format!("priority={priority},{protocol},actions=normal"))?;
            let answered = a.ping_with(&b.ip, 20, &["-Q", tos])?;
            need(&format!("{answered} of 20 are answered"), answered >= MOST)?;
            lab.tool_args("ovs-appctl", &["actor/panic", thread])?;
            let counted = || {
                let shown = lab.ofctl(&format!("dump-flows br0 {protocol}")).unwrap_or_default();
                shown.split("n_packets=").nth(1).and_then(|rest| rest.split(',').next()?.parse::<u32>().ok())
            };
            process::until(&format!("the packets that {thread} had counted"), SOON, || {
                counted().is_some_and(|n| n >= 2 * answered)
            })
            .map_err(|why| format!("{why}: {:?} of {}", counted(), 2 * answered))?;
            need(&format!("none is counted twice: {:?}", counted()), counted().is_some_and(|n| n <= 2 * 20))?;
            process::until("the guests to reach each other again", SOON, || a.reaches(&b.ip))?;
        }
        Ok(())
    });
}
