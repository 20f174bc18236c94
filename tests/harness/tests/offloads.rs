//! What senders leave to the hardware, settled where a way out does not take it; and devices whose MTU changes while
//! their rings are in use. By content, at the receiver.

use harness::lab::{Guest, on_lab};
use harness::process::{self, Daemon};
use harness::side::{self, Side};
use std::path::{Path, PathBuf};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(60);
/// Octets of a stream that is looked at.
const STREAM: usize = 300_000;

fn need(what: &str, holds: bool) -> Result<(), String> {
    if holds { Ok(()) } else { Err(format!("not so: {what}")) }
}

/// `tests/clients/segments.py` in a guest.
struct Watch {
    _script: Daemon,
    said: PathBuf,
    _dir: tempfile::TempDir,
}

impl Watch {
    fn start(at: &Guest, what: &str, source: &str, limit: u32) -> Result<Watch, String> {
        let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
        let said = dir.path().join("said");
        let script = side::root().join("tests/clients/segments.py").display().to_string();
        let (length, limit) = (STREAM.to_string(), limit.to_string());
        let words = ["/usr/bin/python3", script.as_str(), what, source, &length, &limit];
        let watch = Watch { _script: at.space.start(&words, &said)?, said, _dir: dir };
        process::until("the watcher to listen", SOON, || text(&watch.said).contains("ready"))?;
        Ok(watch)
    }

    /// Frames that passed, all of them as they should be.
    fn frames(&self) -> Result<u32, String> {
        let ended = || text(&self.said).lines().nth(1).map(str::to_owned);
        process::until("the watcher to have seen all", 2 * SOON, || ended().is_some())?;
        let said = ended().unwrap_or_default();
        said.strip_prefix("whole ").and_then(|n| n.parse().ok()).ok_or(said)
    }
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// A stream from `a` to `b`, IPv4 and IPv6, and what `watcher` sees of it: at least so many frames.
fn watched(guests: [&Guest; 3], what: &str, limit: u32, least: u32) -> Result<(), String> {
    let [a, b, watcher] = guests;
    for (from, to) in [(&a.ip, &b.ip), (&a.ip6, &b.ip6)] {
        let watch = Watch::start(watcher, what, from, limit)?;
        a.sends(b, to, STREAM)?;
        let frames = watch.frames()?;
        need(&format!("{frames} frames from {from} were seen, {what}"), frames >= least)?;
    }
    Ok(())
}

/// Whom the kernel's segments go to as they are, and who takes none of them, both have the stream.
#[test]
fn mirrors_and_copies_are_cut_for_devices_that_do_not_cut() {
    on_lab(Side::troupe(), &[], |lab| {
        let guests = lab.bridge_with_guests(3, 1500)?;
        let [a, b, watcher] = guests.as_slice() else { return Err("three guests".into()) };
        need("traffic flows", a.reaches(&b.ip) && watcher.reaches(&b.ip))?;
        let three = [a, b, watcher];
        // Both: the mirror's device takes nothing from its senders, and none of the sender's is done.
        lab.host.line("ethtool -K v3 tx off tso off gso off")?;
        lab.vsctl("-- --id=@o get port v3 -- --id=@m create mirror name=m select_all=true output_port=@o -- set bridge br0 mirrors=@m")?;
        lab.settled()?;
        let least = (STREAM / 1448) as u32;
        watched(three, "stream", 1500, least)?;
        a.space.line("ethtool -K eth0 tx off tso off gso off")?;
        watched(three, "stream", 1500, least)?;
        a.space.line("ethtool -K eth0 tx on tso on gso on")?;
        // Checksums are taken, segments are not.
        lab.vsctl("clear bridge br0 mirrors")?;
        lab.host.line("ethtool -K v3 tso off gso off tx on")?;
        lab.ofctl("del-flows br0")?;
        lab.tool_args("ovs-ofctl", &["add-flow", "br0", "priority=1,actions=normal"])?;
        for flow in [
            // A copy with another address must have its own sums; the original keeps its.
            "priority=2,in_port=v1,ip,actions=dec_ttl,output:v3,normal",
            "priority=2,in_port=v1,ipv6,actions=dec_ttl,output:v3,normal",
        ] {
            lab.ruled("add-flow", flow)?;
        }
        lab.host.line("ethtool -K v3 tx off")?;
        watched(three, "stream", 1500, least)?;
        // Cut short, for a device with offloads and one without.
        lab.ofctl("del-flows br0 in_port=v1")?;
        lab.ruled("add-flow", "priority=2,in_port=v1,actions=output(port=v3,max_len=100),normal")?;
        watched(three, "cut", 100, 10)?;
        lab.host.line("ethtool -K v3 tx on tso on gso on")?;
        watched(three, "cut", 100, 10)
    });
}

/// Frames become longer and shorter while rings of either kind are in use, to receive and to send.
#[test]
fn an_mtu_changes_while_rings_are_in_use() {
    on_lab(Side::troupe(), &[], |lab| {
        let guests = lab.bridge_with_guests(2, 1500)?;
        let (a, b) = (&guests[0], &guests[1]);
        for (layout, is_sent_by_ring) in [("v3", false), ("v2", false), ("v3", true)] {
            lab.vsctl(&format!(
                "set open_vswitch . other_config:ring={layout} other_config:tx-ring={is_sent_by_ring}"
            ))?;
            need("traffic flows", a.reaches(&b.ip))?;
            let sockets = lab.host.line("ss --packet --extended --numeric")?;
            need(&format!("sending rings: {is_sent_by_ring}"), sockets.contains("ring_tx(") == is_sent_by_ring)?;
            // Beyond what the early socket takes: rings are there.
            a.sends(b, &b.ip, STREAM)?;
            need("a long ping", a.ping(&b.ip, 40)? >= 39)?;
            let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
            let log = dir.path().join("ping");
            let dropped = lab.dropped()?;
            let mut ping = a.space.start(&["ping", "-n", "-i", "0.02", "-c", "300", "-W", "5", &b.ip], &log)?;
            for mtu in [9000, 1500, 4000, 9000] {
                for guest in [a, b] {
                    lab.host.line(&format!("ip link set {} mtu {mtu}", guest.port))?;
                    guest.space.line(&format!("ip link set eth0 mtu {mtu}"))?;
                }
                let longest = (mtu - 28).to_string();
                let answered = a.ping_with(&b.ip, 10, &["-M", "do", "-s", &longest])?;
                need(&format!("{answered} of 10 frames of {mtu} come back by a ring of {layout}"), answered == 10)?;
                for offload in ["off", "on"] {
                    a.space.line(&format!("ethtool -K eth0 tx {offload} tso {offload} gso {offload}"))?;
                    a.sends(b, &b.ip, STREAM)?;
                    a.sends(b, &b.ip6, STREAM)?;
                }
            }
            ping.wait(SOON);
            let said = text(&log);
            let answered = said.split(" received").next().and_then(|s| s.rsplit(' ').next()?.parse::<u32>().ok());
            let dropped = lab.dropped()?.saturating_sub(dropped);
            let all = format!("all come back the while, but {dropped} that found no room: {said}");
            need(&all, answered.is_some_and(|n| n + dropped >= 298))?;
            for guest in [a, b] {
                lab.host.line(&format!("ip link set {} mtu 1500", guest.port))?;
                guest.space.line("ip link set eth0 mtu 1500")?;
            }
        }
        Ok(())
    });
}

/// What a ring has no room for while the switch does not read is counted by the kernel, and shown with the port: what was
/// sent is what was forwarded and what was lost.
#[test]
fn what_a_ring_has_no_room_for_is_counted_and_shown() {
    const FRAMES: u64 = 40_000;
    on_lab(Side::debian(), &[], |lab| {
        let guests = lab.bridge_with_guests(2, 1500)?;
        let (a, b) = (&guests[0], &guests[1]);
        need("traffic flows", a.reaches(&b.ip))?;
        need("there are rings", a.ping(&b.ip, 40)? >= 39)?;
        // What the caches know of the pings is not to take the datagrams too.
        lab.ruled("add-flow", "priority=9,cookie=9,in_port=v1,udp,tp_dst=9,actions=drop")?;
        let switch = lab.place.switch().ok_or("no switch")?;
        switch.signal(nix::sys::signal::Signal::SIGSTOP);
        let send = format!(
            "import socket\ns=socket.socket(socket.AF_INET,socket.SOCK_DGRAM);s.connect(('{}',9))\n\
             for _ in range({FRAMES}): s.send(b'x'*200)",
            b.ip
        );
        let sent = a.space.run(&["/usr/bin/python3", "-c", &send]);
        lab.place.switch().ok_or("no switch")?.signal(nix::sys::signal::Signal::SIGCONT);
        sent?;
        let number = |text: &str, after: &str| -> u64 {
            let digits = text.split(after).nth(1).map(|rest| rest.split(|c: char| !c.is_ascii_digit()).next());
            digits.flatten().and_then(|n| n.parse().ok()).unwrap_or(0)
        };
        // The flow is new: what comes while it is decided upon waits, as much as there is room for.
        let seen = || -> Result<(u64, u64, u64), String> {
            let flows = lab.ofctl("dump-flows br0 cookie=9/-1")?;
            let ports = lab.ofctl("dump-ports br0 v1")?;
            let datapath = lab.appctl("dpctl/show")?;
            Ok((number(&flows, "n_packets="), number(&ports, "drop="), number(&datapath, "lost:")))
        };
        process::until("what was sent to be forwarded or lost", SOON, || {
            seen().is_ok_and(|(passed, lost, undecided)| passed + lost + undecided >= FRAMES)
        })
        .map_err(|why| format!("{why}: {:?}", seen()))?;
        let (passed, lost, undecided) = seen()?;
        let account = format!("{passed} passed, {lost} and {undecided} undecided were lost of {FRAMES}");
        // A guest's own questions for neighbours may be among what was lost.
        need(&account, passed + lost + undecided < FRAMES + 50 && lost > 1000)?;
        let column = || lab.vsctl("get interface v1 statistics:rx_dropped");
        process::until("the database to know it", SOON, || column().is_ok_and(|n| n.trim() == lost.to_string()))
    });
}

/// A frame that is too long for the way out is lost, counted and told of; what fits passes.
#[test]
fn a_frame_too_long_for_its_way_out_is_told_of() {
    on_lab(Side::debian(), &[], |lab| {
        let guests = lab.bridge_with_guests(2, 1500)?;
        let (a, b) = (&guests[0], &guests[1]);
        need("traffic flows", a.reaches(&b.ip))?;
        lab.host.line("ip link set v1 mtu 9000")?;
        a.space.line("ip link set eth0 mtu 9000")?;
        need("what fits passes", a.ping_with(&b.ip, 5, &["-s", "1400"])? == 5)?;
        need("what does not fit is lost", a.ping_with(&b.ip, 5, &["-M", "do", "-s", "4000"])? == 0)?;
        let log = lab.place.dir().join("log/ovs-vswitchd.log");
        process::until("the log to tell of it", SOON, || {
            text(&log).contains("netdev_linux|WARN|error sending Ethernet packet on v2: Message too long")
        })?;
        need("and what fits still passes", a.ping(&b.ip, 5)? == 5)
    });
}

/// What a sender makes longer than the switch takes is counted as dropped, and told of; the stream arrives all the same.
#[test]
fn what_is_too_long_to_come_whole_is_told_of() {
    on_lab(Side::troupe(), &[], |lab| {
        let guests = lab.bridge_with_guests(2, 1500)?;
        let (a, b) = (&guests[0], &guests[1]);
        lab.vsctl("set open_vswitch . other_config:ring=v2 other_config:kernel-fast-path=false")?;
        need("traffic flows", a.reaches(&b.ip6))?;
        a.space.line("ip link set eth0 gso_max_size 200000")?;
        let before = lab.dropped()?;
        a.sends(b, &b.ip6, 20_000_000)?;
        process::until("what was too long to be counted", SOON, || lab.dropped().is_ok_and(|now| now > before))?;
        let log = lab.place.dir().join("log/ovs-vswitchd.log");
        process::until("the log to tell", SOON, || text(&log).contains("v1: Dropped") && text(&log).contains("Too big"))
    });
}
