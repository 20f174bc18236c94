//! A switch with real traffic: network namespaces, one of which is the switch's host and the others its guests.
//! Dropped, a namespace is deleted with all that ran in it.

use crate::echo::Echoes;
use crate::place::Place;
use crate::process::{self, Daemon, Outcome};
use crate::side::Side;
use serde_json::Value;
use std::ops::RangeBounds;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// One network namespace with `lo` up, under a name no other test has.
#[derive(Debug)]
pub struct Namespace(String);

impl Namespace {
    /// Makes a namespace; `label` shows in its name.
    pub fn new(label: &str) -> Result<Namespace, String> {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        need_root()?;
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("t{}-{number}-{label}", std::process::id());
        // One of that name can only be what a process of this number, killed long ago, has left.
        if std::path::Path::new("/run/netns").join(&name).exists() {
            drop(Namespace(name.clone()));
        }
        plain(&["ip", "netns", "add", &name])?;
        let space = Namespace(name);
        space.run(&["ip", "link", "set", "lo", "up"])?;
        // Router solicitations and duplicate address detection would count among a test's packets.
        space.run(&[
            "sysctl",
            "-qw",
            "net.ipv6.conf.default.accept_dad=0",
            "net.ipv6.conf.default.router_solicitations=0",
        ])?;
        Ok(space)
    }

    /// Its name, as `ip netns` knows it.
    pub fn name(&self) -> &str {
        &self.0
    }

    /// A command that will run inside, tied to the calling thread.
    pub fn command(&self, program: &str) -> Command {
        process::tied_within(&["ip", "netns", "exec", &self.0], program)
    }

    /// Runs a command inside to its end: its output, or an error that shows what it said.
    pub fn run(&self, words: &[&str]) -> Result<String, String> {
        let outcome = self.outcome(words)?;
        if outcome.ok() {
            return Ok(outcome.stdout);
        }
        Err(format!("{}: {}\n{}{}", words.join(" "), outcome.end, outcome.stdout, outcome.stderr))
    }

    /// Runs one line of words, split at spaces.
    pub fn line(&self, words: &str) -> Result<String, String> {
        self.run(&words.split_whitespace().collect::<Vec<_>>())
    }

    /// Runs a command inside to its end, however it ends.
    pub fn outcome(&self, words: &[&str]) -> Result<Outcome, String> {
        let (program, args) = words.split_first().ok_or("no command")?;
        let mut command = self.command(program);
        command.args(args);
        process::run(command, &std::env::temp_dir(), Duration::from_secs(120)).map_err(|error| error.to_string())
    }

    /// Sends `size` bytes by TCP to an address in another namespace, and compares what arrives.
    pub fn sends(&self, to: &Namespace, address: &str, size: usize) -> Result<(), String> {
        let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
        let (sent, got, log) = (dir.path().join("sent"), dir.path().join("got"), dir.path().join("log"));
        let bytes: Vec<u8> = (0..size).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        std::fs::write(&sent, &bytes).map_err(|error| error.to_string())?;
        let (family, any) = if address.contains(':') { ("AF_INET6", "::") } else { ("AF_INET", "0.0.0.0") };
        let server = format!(
            "import socket\ns=socket.socket(socket.{family});s.setsockopt(1,2,1);s.bind(('{any}',7070));s.listen(1)\n\
             print('ready',flush=True)\nc,_=s.accept();f=open('{}','wb')\nwhile True:\n b=c.recv(65536)\n if not b: break\n \
             f.write(b)\nf.close();c.close()",
            got.display()
        );
        let mut server = to.start(&["/usr/bin/python3", "-c", &server], &log)?;
        process::until("the receiver to listen", Duration::from_secs(60), || {
            std::fs::read_to_string(&log).is_ok_and(|said| said.contains("ready"))
        })?;
        let client = format!(
            "import socket\nc=socket.create_connection(('{address}',7070),60);c.sendall(open('{}','rb').read());c.close()",
            sent.display()
        );
        self.run(&["/usr/bin/python3", "-c", &client])?;
        server.wait(Duration::from_secs(60));
        let arrived = std::fs::read(&got).unwrap_or_default();
        if arrived == bytes { Ok(()) } else { Err(format!("{} of {size} bytes arrive at {address}", arrived.len())) }
    }

    /// True if `to` answers within a minute.
    pub fn reaches(&self, to: &str) -> bool {
        let answers = || ping(self, to, 1, &["-W", "0.5"]).is_ok_and(|answered| answered > 0);
        process::until("an answer", Duration::from_secs(60), answers).is_ok()
    }

    /// Starts a command inside that lives until it is dropped; what it says is appended to `log`.
    pub fn start(&self, words: &[&str], log: &std::path::Path) -> Result<Daemon, String> {
        let (program, args) = words.split_first().ok_or("no command")?;
        let mut command = self.command(program);
        command.args(args);
        Daemon::start(program, command, log).map_err(|error| format!("{program}: {error}"))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // Processes that still live inside would keep it alive unseen.
        if let Ok(ids) = plain(&["ip", "netns", "pids", &self.0]) {
            for id in ids.split_whitespace().filter_map(|id| id.parse::<i32>().ok()) {
                let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(id), nix::sys::signal::Signal::SIGKILL);
            }
        }
        let _ = plain(&["ip", "netns", "del", &self.0]);
    }
}

/// A machine on the switch: a namespace with `eth0`, whose other end is a device of the switch's host.
#[derive(Debug)]
pub struct Guest {
    /// Its namespace.
    pub space: Namespace,
    /// The device at the switch.
    pub port: String,
    /// Its IPv4 address.
    pub ip: String,
    /// Its IPv6 address.
    pub ip6: String,
    /// Its MAC address.
    pub mac: String,
}

/// A switch in a namespace of its own, with tools to speak to it.
#[derive(Debug)]
pub struct Lab {
    /// The switch's directories and daemons, which are always those built here.
    pub place: Place,
    /// The tools spoken to it with: ours or Debian's.
    pub tools: Side,
    /// The switch's host.
    pub host: Namespace,
}

impl Lab {
    /// Starts database and switch, with `options` for the switch, to be spoken to with `tools`.
    pub fn new(tools: Side, options: &[&str]) -> Result<Lab, String> {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let host = Namespace::new("host")?;
        let dir = PathBuf::from(format!("/tmp/lab.{}/{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed)));
        let mut place = Place::new(Side::troupe(), &dir).map_err(|error| format!("{}: {error}", dir.display()))?;
        place.enter_namespace(host.name());
        place.start_database(&[])?;
        let lab = Lab { place, tools, host };
        lab.vsctl("--no-wait init")?;
        let mut lab = lab;
        lab.place.start_switch(options)?;
        Ok(lab)
    }

    /// Runs one of the lab's tools with words split at spaces.
    pub fn tool(&self, program: &str, words: &str) -> Result<String, String> {
        self.tool_args(program, &words.split_whitespace().collect::<Vec<_>>())
    }

    /// Runs one of the lab's tools.
    pub fn tool_args(&self, program: &str, args: &[&str]) -> Result<String, String> {
        let path = self.tools.need(program)?;
        self.place.tool(&path.display().to_string(), args)
    }

    /// `ovs-vsctl`, with a limit of 100 seconds.
    pub fn vsctl(&self, words: &str) -> Result<String, String> {
        self.tool("ovs-vsctl", &format!("-t 100 {words}"))
    }

    /// `ovs-ofctl`.
    pub fn ofctl(&self, words: &str) -> Result<String, String> {
        self.tool("ovs-ofctl", words)
    }

    /// Waits until the datapath's flows are as rules and ports say by now. Until then packets may still take those of before.
    pub fn settled(&self) -> Result<(), String> {
        self.appctl("revalidator/wait").map(drop)
    }

    /// Changes rules by `ovs-ofctl`, one argument behind the bridge, and waits until they are what packets are treated by.
    pub fn ruled(&self, command: &str, rule: &str) -> Result<(), String> {
        self.tool_args("ovs-ofctl", &[command, "br0", rule])?;
        self.settled()
    }

    /// `ovs-appctl` to the switch.
    pub fn appctl(&self, words: &str) -> Result<String, String> {
        self.tool("ovs-appctl", &format!("-T 100 {words}"))
    }

    /// A figure that `dpif-netdev/kernel-path-show` gives.
    pub fn kernel_path(&self, name: &str) -> Result<u64, String> {
        let text = self.appctl("dpif-netdev/kernel-path-show")?;
        let line = text.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(": "));
        line.and_then(|n| n.parse().ok()).ok_or_else(|| format!("no {name}: {text}"))
    }

    /// Packets of `br0` that its devices had no room for, as the kernel counts them: what comes while the switch is kept from
    /// running for seconds, and so is no loss of what a test does meanwhile.
    pub fn dropped(&self) -> Result<u32, String> {
        let ports = self.ofctl("dump-ports br0")?;
        let received = ports.lines().filter(|line| line.contains("rx pkts="));
        let drops = received.map(|line| line.split(", drop=").nth(1)?.split(',').next()?.parse::<u32>().ok());
        drops.sum::<Option<u32>>().ok_or_else(|| format!("no counts of drops: {ports}"))
    }

    /// Whether bpf(2) is refused to the switch here; it says so in its log, and does everything itself.
    pub fn lacks_kernel_path(&self) -> bool {
        let log = std::fs::read_to_string(self.place.dir().join("log/ovs-vswitchd.log")).unwrap_or_default();
        log.contains("forwards nothing by itself: ") || log.contains("not forwarded by the kernel itself: ")
    }

    /// Makes guest `number` (1 to 250), not yet a port of any bridge; devices of `mtu` bytes.
    pub fn guest(&self, number: u8, mtu: u32) -> Result<Guest, String> {
        let space = Namespace::new(&format!("g{number}"))?;
        let (port, mtu) = (format!("v{number}"), mtu.to_string());
        let peer = ["peer", "name", "eth0", "netns", space.name(), "mtu", &mtu];
        let words = [&["ip", "link", "add", port.as_str(), "mtu", &mtu, "type", "veth"], peer.as_slice()].concat();
        self.host.run(&words)?;
        self.host.run(&["ip", "link", "set", &port, "up"])?;
        let (ip, ip6) = (format!("10.9.0.{number}"), format!("fd09::{number:x}"));
        space.line(&format!("ip addr add {ip}/24 dev eth0"))?;
        space.line(&format!("ip addr add {ip6}/64 dev eth0 nodad"))?;
        space.line("ip link set eth0 up")?;
        let mac = space.line("cat /sys/class/net/eth0/address")?.trim().to_owned();
        Ok(Guest { space, port, ip, ip6, mac })
    }

    /// A bridge `br0` with `count` guests on it.
    pub fn bridge_with_guests(&self, count: u8, mtu: u32) -> Result<Vec<Guest>, String> {
        self.vsctl("add-br br0")?;
        let guests = (1..=count).map(|number| self.guest(number, mtu)).collect::<Result<Vec<_>, _>>()?;
        for guest in &guests {
            self.vsctl(&format!("add-port br0 {}", guest.port))?;
        }
        Ok(guests)
    }

    /// All that a reader would ask for after a failure.
    pub fn dump(&self) -> String {
        let mut text = String::new();
        for (program, words) in [
            ("ovs-vsctl", "-t 5 --no-wait show"),
            ("ovs-appctl", "-T 5 dpif/show"),
            ("ovs-appctl", "-T 5 dpctl/dump-flows"),
            ("ovs-appctl", "-T 5 actor/show"),
        ] {
            let said = self.tool(program, words).unwrap_or_else(|error| error);
            text.push_str(&format!("--- {program} {words}\n{said}\n"));
        }
        let log = std::fs::read_to_string(self.place.dir().join("log/ovs-vswitchd.log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        text.push_str(&format!("--- log\n{}\n", lines[lines.len().saturating_sub(30)..].join("\n")));
        text
    }
}

impl Guest {
    /// Sends `count` echo requests to `to`, one each 50 ms; how many were answered.
    pub fn ping(&self, to: &str, count: u32) -> Result<u32, String> {
        self.ping_with(to, count, &[])
    }

    /// As [`Guest::ping`], with more options of `ping`.
    pub fn ping_with(&self, to: &str, count: u32, options: &[&str]) -> Result<u32, String> {
        ping(&self.space, to, count, options)
    }

    /// True if `to` answers within a minute.
    pub fn reaches(&self, to: &str) -> bool {
        self.space.reaches(to)
    }

    /// Sends `size` bytes by TCP to an address of another guest, and compares what arrives.
    pub fn sends(&self, to: &Guest, address: &str, size: usize) -> Result<(), String> {
        self.space.sends(&to.space, address, size)
    }

    /// Measures with `iperf3` from here to `server`, so many seconds long, until a rate is within `wanted` bits a second.
    /// What runs beside the test takes its share of a rate: one that is too low is measured again, for a minute or so.
    ///
    /// # Errors
    /// All rates that were measured, if none was.
    pub fn carries(
        &self,
        server: &Guest,
        to: &str,
        options: &str,
        seconds: u32,
        wanted: impl RangeBounds<f64>,
    ) -> Result<(), String> {
        let (begin, mut measured) = (Instant::now(), Vec::new());
        while begin.elapsed() < Duration::from_secs(60) {
            let rate = self.iperf(server, to, options, seconds);
            if rate.as_ref().is_ok_and(|rate| wanted.contains(rate)) {
                return Ok(());
            }
            measured.push(rate.map_or_else(|why| why, |rate| format!("{:.1} Mbit/s", rate / 1e6)));
        }
        Err(format!("iperf3 {options} to {to}: {}", measured.join("; ")))
    }

    /// Bits per second that `iperf3` measures from here to `server` within `seconds`.
    fn iperf(&self, server: &Guest, to: &str, options: &str, seconds: u32) -> Result<f64, String> {
        let log = tempfile::NamedTempFile::new().map_err(|error| error.to_string())?;
        let _server = server.space.start(&["iperf3", "-s", "-1", "--forceflush"], log.path())?;
        process::until("iperf3 to listen", Duration::from_secs(60), || {
            std::fs::read_to_string(log.path()).is_ok_and(|said| said.contains("listening"))
        })?;
        let text = self.space.line(&format!("iperf3 -J -c {to} -t {seconds} {options}"))?;
        let report: Value = serde_json::from_str(&text).map_err(|error| format!("iperf3: {error}: {text}"))?;
        let end = &report["end"];
        let sum = if end["sum_received"].is_object() { &end["sum_received"] } else { &end["sum"] };
        let bytes = sum["bytes"].as_f64().unwrap_or(0.0);
        let time = sum["seconds"].as_f64().unwrap_or(f64::from(seconds));
        Ok(bytes * 8.0 / time)
    }
}

/// Sends `count` echo requests from `space`, one each 50 ms; how many were answered. Of several each is waited for.
pub fn ping(space: &Namespace, to: &str, count: u32, options: &[&str]) -> Result<u32, String> {
    if count > 1
        && let (Ok(to), Some(echoes)) = (to.parse(), Echoes::with(count, options))
    {
        return echoes.exchange(space.name(), to);
    }
    let count = count.to_string();
    let words = [&["ping", "-n", "-q", "-i", "0.05", "-W", "1", "-c", count.as_str()], options, &[to]].concat();
    let outcome = space.outcome(&words)?;
    let line = outcome.stdout.lines().find(|line| line.contains(" received"));
    let number = line.and_then(|line| line.split(", ").nth(1)?.split(' ').next()?.parse().ok());
    number.ok_or_else(|| format!("{}: {}{}", words.join(" "), outcome.stdout, outcome.stderr))
}

/// An error sentence unless the test runs as root.
pub fn need_root() -> Result<(), String> {
    if nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    Err("this test makes network namespaces and needs root: run it by `sudo`".to_owned())
}

/// Runs a command outside of any namespace to its end, two minutes at most.
pub fn plain(words: &[&str]) -> Result<String, String> {
    let (program, args) = words.split_first().ok_or("no command")?;
    let mut command = process::tied(program);
    command.args(args);
    let outcome = process::run(command, &std::env::temp_dir(), Duration::from_secs(120))
        .map_err(|error| format!("{}: {error}", words.join(" ")))?;
    if outcome.ok() {
        return Ok(outcome.stdout);
    }
    Err(format!("{}: {}\n{}{}", words.join(" "), outcome.end, outcome.stdout, outcome.stderr))
}

/// Runs a test's body on a lab; an error is told with all that a reader would ask for.
pub fn on_lab(tools: Side, options: &[&str], body: impl FnOnce(&mut Lab) -> Result<(), String>) {
    let mut lab = Lab::new(tools, options).unwrap_or_else(|why| panic!("{why}"));
    if let Err(why) = body(&mut lab) {
        panic!("{why}\n{}", lab.dump());
    }
}
