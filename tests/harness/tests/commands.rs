//! Every control command of both daemons answers, whatever it is given, and nothing panics on it.

use harness::place::Place;
use harness::side::Side;
use jsonrpc::{Limits, Scanner};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// Lists of arguments each command is given.
const LISTS: usize = 24;
/// Those that end a daemon, or its log.
const SPARED: [&str; 3] = ["exit", "vlog/set", "vlog/close"];

/// Names that exist, numbers at limits, flows, packets, options, and what suits nothing.
const WORDS: [&str; 60] = [
    "br0",
    "br1",
    "p1",
    "p2",
    "b0",
    "dummy@ovs-dummy",
    "ovs-dummy",
    "dummy",
    "Open_vSwitch",
    "0",
    "1",
    "-1",
    "65536",
    "4294967296",
    "18446744073709551616",
    "-9223372036854775809",
    "",
    " ",
    "on",
    "off",
    "true",
    "in_port(1),eth(src=00:00:00:00:00:01,dst=00:00:00:00:00:02),eth_type(0x0800),ipv4(src=1.1.1.1,dst=2.2.2.2,proto=6)",
    "in_port=1,tcp",
    "in_port(p1),eth()",
    "ufid:00000000-0000-0000-0000-000000000000",
    "drop",
    "ct(commit,nat(src))",
    "1.2.3.4",
    "1.2.3.4/33",
    "::1",
    "::/200",
    "aa:bb:cc:dd:ee:ff",
    "-generate",
    "--ct-next",
    "new",
    "-consistent",
    "--names",
    "-m",
    "-s",
    "filter=",
    "filter=tcp",
    "type=ovs",
    "zone=1",
    "zone=70000",
    "ct_nw_src=1.1.1.1",
    "default=5",
    "zone=1,limit=3",
    "-pmd",
    "ANY:file:dbg",
    "PATTERN:file:%m",
    "%99999d",
    "\u{e9}\u{1f600}",
    "/nonexistent/file",
    "tcp:1.2.3.4:99999",
    "0x",
    "ffffffffffff0800",
    "5050540000000000000000000800450000",
    "[]",
    "--",
    "10 20",
];

/// Numbers that are the same in every run (an LCG's high bits).
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % n
    }
}

fn call(socket: &Path, command: &str, arguments: &[&str]) -> Result<Value, String> {
    let told = || format!("{command} {arguments:?}");
    let mut stream = UnixStream::connect(socket).map_err(|error| format!("{}: {error}", told()))?;
    stream.set_read_timeout(Some(Duration::from_secs(60))).map_err(|error| error.to_string())?;
    let request = json!({"method": command, "params": arguments, "id": 0}).to_string();
    stream.write_all(request.as_bytes()).map_err(|error| format!("{}: {error}", told()))?;
    let mut scanner = Scanner::new(Limits::default());
    let mut piece = vec![0; 1 << 16];
    loop {
        match scanner.next_value() {
            Ok(Some(value)) => return Ok(value),
            Ok(None) => {}
            Err(error) => return Err(format!("{}: {error}", told())),
        }
        match stream.read(&mut piece) {
            Ok(0) => return Err(format!("{}: no answer", told())),
            Ok(n) => scanner.feed(&piece[..n]),
            Err(error) => return Err(format!("{}: {error}", told())),
        }
    }
}

fn try_all(socket: &Path, chance: &mut Chance) -> Result<usize, String> {
    let list = call(socket, "list-commands", &[])?;
    let list = list["result"].as_str().ok_or("no list of commands")?.to_owned();
    let names = list.lines().skip(1).filter_map(|line| line.split_whitespace().next());
    let names: Vec<&str> = names.filter(|name| !SPARED.contains(name)).collect();
    for name in &names {
        for _ in 0..LISTS {
            let count = chance.below(5);
            let arguments: Vec<&str> = (0..count).map(|_| WORDS[chance.below(WORDS.len())]).collect();
            call(socket, name, &arguments)?;
        }
    }
    Ok(names.len())
}

#[test]
fn whatever_a_command_is_given_it_answers() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut place = Place::new(Side::troupe(), &dir.path().join("place")).expect("a place");
    place.start_database(&[]).expect("a database server");
    place.start_switch(&["--enable-dummy=override", "--disable-system"]).expect("a switch");
    let bridges = "ovs-vsctl add-br br0 -- set bridge br0 datapath_type=dummy stp_enable=true \
        mcast_snooping_enable=true -- add-br br1 -- set bridge br1 datapath_type=dummy -- add-port br0 p1 -- set \
        interface p1 type=dummy -- add-port br0 p2 -- set interface p2 type=dummy bfd:enable=true cfm_mpid=3 -- \
        add-bond br0 b0 p3 p4 lacp=active -- set interface p3 type=dummy -- set interface p4 type=dummy";
    let made = place.shell(bridges, Duration::from_secs(60)).expect("ovs-vsctl");
    assert!(made.ok(), "{}{}", made.stdout, made.stderr);

    let pids = place.pids();
    let mut chance = Chance(1);
    for (daemon, pid, least) in [("ovsdb-server", pids[0], 30), ("ovs-vswitchd", pids[1], 140)] {
        let tried = try_all(&place.run_dir().join(format!("{daemon}.{pid}.ctl")), &mut chance);
        let log = std::fs::read_to_string(dir.path().join(format!("place/log/{daemon}.log"))).expect("a log");
        let panics: Vec<&str> = log.lines().filter(|line| line.contains("|EMER|")).collect();
        assert!(panics.is_empty(), "{daemon}: {panics:#?}");
        let tried = tried.unwrap_or_else(|error| panic!("{daemon}: {error}"));
        assert!(tried >= least, "{daemon} has but {tried} commands");
    }
}
