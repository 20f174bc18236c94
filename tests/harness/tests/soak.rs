//! A switch that is not left alone: rules come and go at random, controllers and ports as well, while traffic runs.
//! Afterwards its counters add up, its memory has not grown, and nobody has fallen.
//!
//! It takes a minute; the variable `SOAK_SECONDS` says how long else, and `SOAK_SEED` which of all courses it takes.

use harness::lab::{Guest, Lab, on_lab};
use harness::process::{self, Daemon};
use harness::side::Side;
use std::time::{Duration, Instant};

fn need(what: &str, holds: bool) -> Result<(), String> {
    if holds { Ok(()) } else { Err(format!("not so: {what}")) }
}

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// Numbers that look random (xorshift64*).
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % n
    }
}

/// The rule that echoes and their answers are counted by, but not what a guest says of datagrams that nobody listens to;
/// what else there is does not concern it.
const COUNTED: &str = "priority=1000,icmp,icmp_code=0,actions=normal";
/// A controller that never answers: a bridge that gets its first one, or loses its last, forgets its rules.
const NOBODY: &str = "tcp:127.0.0.1:1";
/// Groups, tables and ports of rules at random.
const FEW: u64 = 8;

/// What the test keeps of its course.
struct Course<'a> {
    lab: &'a Lab,
    random: Random,
    /// The port that comes and goes.
    restless: &'a Guest,
    monitors: Vec<Daemon>,
}

impl Course<'_> {
    fn rule(&mut self) -> String {
        let (table, priority, port) = (self.random.below(3), self.random.below(100), self.random.below(FEW));
        let matching = match self.random.below(5) {
            0 => format!("udp,tp_dst={port}"),
            1 => format!("udp,tp_dst={:#x}/0xfff8", port << 3),
            2 => format!("ip,nw_dst=10.9.{port}.0/24"),
            3 => format!("tcp,tp_src={port}"),
            _ => format!("in_port={}", 1 + port % 3),
        };
        let actions = match self.random.below(7) {
            0 => "drop".to_owned(),
            1 => "normal".to_owned(),
            2 => format!("resubmit(,{}),normal", (table + 1) % 4),
            3 => format!("group:{port}"),
            4 => "learn(table=3,hard_timeout=2,udp,NXM_OF_UDP_DST[]=NXM_OF_UDP_SRC[]),normal".to_owned(),
            5 => "controller(max_len=64),normal".to_owned(),
            _ => "set_field:3->reg0,clone(mod_nw_tos:4,output:2),normal".to_owned(),
        };
        let idle = if self.random.below(3) == 0 { "idle_timeout=1," } else { "" };
        format!("table={table},priority={priority},{idle}{matching} actions={actions}")
    }

    fn step(&mut self) -> Result<(), String> {
        let (lab, port) = (self.lab, self.restless.port.clone());
        let of13 = "-O OpenFlow13";
        // Some of this is refused, as it should be: a rule that names a group that is gone, a group that is there.
        let may_fail = match self.random.below(12) {
            0..=3 => lab.tool_args("ovs-ofctl", &["-O", "OpenFlow13", "add-flow", "br0", &self.rule()]),
            4 => lab.ofctl(&format!("{of13} del-flows br0 table={}", 1 + self.random.below(3))),
            5 => lab.ofctl(&format!("{of13} del-flows br0 udp")),
            6 => {
                let (id, out) = (self.random.below(FEW), 1 + self.random.below(3));
                let buckets = format!("type=select,bucket=actions=output:{out},bucket=actions=normal");
                lab.ofctl(&format!("{of13} --may-create mod-group br0 group_id={id},{buckets}"))
            }
            7 => lab.ofctl(&format!("{of13} del-groups br0 group_id={}", self.random.below(FEW))),
            8 => {
                let up = if self.random.below(2) == 0 { "up" } else { "down" };
                lab.host.line(&format!("ip link set {port} {up}"))
            }
            9 => lab.vsctl(&format!("--if-exists del-port {port} -- add-port br0 {port}")),
            10 => match self.random.below(2) {
                0 => lab.vsctl(&format!("set-controller br0 {NOBODY} tcp:127.0.0.1:6653")),
                _ => lab.vsctl(&format!("set-controller br0 {NOBODY}")),
            },
            _ => self.monitor().map(|()| String::new()),
        };
        may_fail.map(drop).or_else(|said| need(&format!("it still answers: {said}"), lab.appctl("version").is_ok()))
    }

    /// A listener joins, or all of them go.
    fn monitor(&mut self) -> Result<(), String> {
        if self.monitors.len() >= 3 {
            self.monitors.clear();
            return Ok(());
        }
        let mut command = self.lab.place.command("/usr/bin/ovs-ofctl");
        command.args(["monitor", "br0", "65534", "watch:"]);
        let log = self.lab.place.dir().join("log/monitor.err");
        self.monitors.push(Daemon::start("ovs-ofctl", command, &log).map_err(|error| error.to_string())?);
        Ok(())
    }
}

/// The number after `name` in a text.
fn figure(text: &str, name: &str) -> Option<u64> {
    let rest = text.split(name).nth(1)?.trim_start_matches([' ', ':', '=']);
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// Resident memory of the switch, kilobytes, without rings, which grow when they have to and by what is known.
fn memory(pid: u32) -> Result<u64, String> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).map_err(|error| error.to_string())?;
    figure(&status, "RssAnon:\t").ok_or_else(|| format!("no RssAnon in {status}"))
}

/// Packets of the main thread that are accounted for, and those that it received.
fn accounts(lab: &Lab) -> Result<(u64, u64), String> {
    let stats = lab.appctl("dpif-netdev/pmd-stats-show")?;
    let of = |name: &str| figure(&stats, name).ok_or_else(|| format!("no '{name}' in {stats}"));
    let mut decided = 0;
    for name in ["emc hits", "smc hits", "megaflow hits", "miss with success upcall", "miss with failed upcall"] {
        decided += of(name)?;
    }
    Ok((decided, of("packets received")? + of("packet recirculations")?))
}

#[test]
fn a_switch_that_is_not_left_alone_keeps_its_accounts() {
    let (seconds, seed) = (number("SOAK_SECONDS", 60), number("SOAK_SEED", 1).max(1));
    on_lab(Side::troupe(), &[], |lab| {
        let pid = lab.place.switch().ok_or("no switch")?.pid();
        let lab: &Lab = lab;
        let guests = lab.bridge_with_guests(3, 1500)?;
        let [a, b, restless] = guests.as_slice() else { return Err("three guests".into()) };
        let words =
            format!("set bridge br0 protocols=OpenFlow10,OpenFlow13 fail_mode=secure -- set-controller br0 {NOBODY}");
        lab.vsctl(&words)?;
        lab.ofctl(&format!("add-flow br0 {COUNTED}"))?;
        lab.ofctl("add-flow br0 priority=999,arp,actions=normal")?;
        need("traffic flows", a.reaches(&b.ip))?;
        let mut controller = lab.place.command("/usr/bin/ovs-testcontroller");
        controller.args(["--mute", "ptcp:6653:127.0.0.1"]);
        let log = lab.place.dir().join("log/controller.err");
        let _controller = Daemon::start("ovs-testcontroller", controller, &log).map_err(|error| error.to_string())?;
        let before = counted(lab)?;
        // Echoes, of which each is accounted for, and datagrams of ever new flows.
        let echoes = lab.place.dir().join("log/echoes");
        let count = (seconds * 200).to_string();
        let limit = (seconds + 5).to_string();
        let ping = ["ping", "-n", "-q", "-i", "0.005", "-c", &count, "-w", &limit, &b.ip];
        let mut pinging = a.space.start(&ping, &echoes)?;
        let flood = "while :; do echo x >/dev/udp/10.9.0.1/$RANDOM; done 2>/dev/null";
        let flooding = restless.space.start(&["bash", "-c", flood], &lab.place.dir().join("log/flood"))?;

        let begin = Instant::now();
        let random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let mut course = Course { lab, random, restless, monitors: Vec::new() };
        let (mut steps, mut settled_kb) = (0u64, 0);
        while begin.elapsed() < Duration::from_secs(seconds) {
            course.step().map_err(|why| format!("step {steps} of seed {seed}: {why}"))?;
            steps += 1;
            if settled_kb == 0 && begin.elapsed() > Duration::from_secs(seconds / 3) {
                settled_kb = memory(pid)?;
            }
        }
        drop((course, flooding));
        pinging.wait(Duration::from_secs(60));
        afterwards(lab, &echoes, before, (pid, settled_kb))
            .map_err(|why| format!("after {steps} steps of seed {seed}: {why}"))
    });
}

/// Packets of the rule that counts echoes.
fn counted(lab: &Lab) -> Result<u64, String> {
    lab.appctl("revalidator/wait")?;
    let rules = lab.ofctl("--strict dump-flows br0 icmp")?;
    let rule = rules.lines().find(|line| line.contains("priority=1000,icmp"));
    rule.and_then(|line| figure(line, "n_packets=")).ok_or_else(|| format!("the rule is not there: {rules}"))
}

fn afterwards(lab: &Lab, echoes: &std::path::Path, before: u64, (pid, settled_kb): (u32, u64)) -> Result<(), String> {
    let said = std::fs::read_to_string(echoes).map_err(|error| error.to_string())?;
    let line = said.lines().find(|line| line.contains(" received")).ok_or_else(|| format!("ping ended with {said}"))?;
    let mut figures = line.split(", ").filter_map(|part| part.split(' ').next()?.parse::<u64>().ok());
    let (sent, received) = (figures.next().unwrap_or(0), figures.next().unwrap_or(0));
    need(&format!("echoes came back all the time: {line}"), received * 100 >= sent * 98)?;
    let n = counted(lab)? - before;
    need(&format!("{n} packets by the rule are {sent} echoes and their {received} answers"), {
        (received * 2..=sent * 2).contains(&n)
    })?;
    process::until("each packet to be accounted for", Duration::from_secs(60), || {
        accounts(lab).is_ok_and(|(decided, received)| decided == received)
    })
    .map_err(|why| format!("{why}: {:?}", accounts(lab)))?;
    // What was cached of the last moments goes when it is idle.
    let is_flat = |kb: u64| kb <= settled_kb * 5 / 4 + 8192;
    process::until("memory to be what it was", Duration::from_secs(60), || memory(pid).is_ok_and(is_flat))
        .map_err(|why| format!("{why}: {:?} kB, where {settled_kb} were", memory(pid)))?;
    let actors = lab.appctl("actor/show")?;
    let log = std::fs::read_to_string(lab.place.dir().join("log/ovs-vswitchd.log")).unwrap_or_default();
    let fallen: Vec<&str> = log.lines().filter(|line| line.contains("panicked")).collect();
    need(&format!("nobody has fallen: {fallen:?}\n{actors}"), fallen.is_empty())
}

/// Messages that came in one thread, rules that were made of them in another, views that a third has looked at: all of
/// their memory goes back, whoever let go of it last.
#[test]
fn what_a_bundle_of_rules_took_is_given_back() {
    const RULES: u32 = 150_000;
    on_lab(Side::troupe(), &["--enable-dummy"], |lab| {
        let pid = lab.place.switch().ok_or("no switch")?.pid();
        lab.vsctl("add-br br0 -- set bridge br0 datapath_type=dummy")?;
        let line = |i: u32| format!("ip,nw_dst=10.{}.{}.{},actions=output:1\n", i >> 16, i >> 8 & 255, i & 255);
        let file = lab.place.dir().join("work/rules");
        let rules: String = (0..RULES).map(line).collect();
        std::fs::write(&file, rules).map_err(|error| error.to_string())?;
        let add = format!("--bundle add-flows br0 {}", file.display());
        // Anew, and in place of what there is.
        for _ in 0..2 {
            lab.ofctl(&add)?;
            let full = memory(pid)?;
            lab.ofctl(&add)?;
            lab.ofctl("del-flows br0")?;
            let empty = || memory(pid).is_ok_and(|left| left * 10 < full * 3);
            let given_back = process::until("memory to be given back", Duration::from_secs(60), empty);
            given_back.map_err(|error| format!("{error}: {:?} of {full} kB are left", memory(pid)))?;
        }
        Ok(())
    });
}
