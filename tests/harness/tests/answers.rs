//! Raw OpenFlow messages, good and bad, to Debian's switch and to ours: every answer compared octet by octet.
//!
//! The messages of `tests/answers/messages.txt` go to both in every version that has them, each on a connection of its own;
//! then the same under another version's number, cut short, made longer, and with octets changed, thousands a run, the
//! same for the same `TROUPE_SEED`.
//!
//! ```text
//! flow|group|packet-out TEXT     as in a bundle file; `flow` begins with add, modify, delete …
//! meter add|modify|delete TEXT   a meter-mod
//! stats|aggregate TEXT           a request for statistics of flows
//! monitor TEXT                   a flow monitor
//! raw FROM-TO TYPE OCTETS        type and body of a message of the versions 1.FROM to 1.TO; {mac}: port 1's address
//! ```
//!
//! Time stands still in both switches. Before each message their tables are as `STATE` makes them.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use harness::place::Place;
use harness::random::Random;
use harness::side::{self, Side};
use openflow::flow_mod::parse_stats_request;
use openflow::message::meter::MeterCommand;
use openflow::message::{self, Dialect, Message};
use openflow::parse::bundle::{Line, parse_line};
use openflow::parse::meter::parse_meter_mod;
use openflow::parse::monitor::parse_flow_monitor;
use openflow::protocols::Protocols;
use openflow::{Names, Version, VersionSet};

/// What the tables hold before each message.
const STATE: &[&str] = &[
    "flow delete",
    "group delete",
    "meter delete meter=all",
    "flow add table=1,priority=7,cookie=5,idle_timeout=6,tcp,in_port=2,actions=1",
    "group add group_id=100,type=all,bucket=output:1,bucket=output:2",
    "group add group_id=101,type=select,bucket=bucket_id:1,weight:1,output:1",
    "meter add meter=100,kbps,band=type=drop,rate=100",
    "flow add table=2,in_port=1,actions=group:100",
];

/// Tunnel options that there are from the start: Debian's switch frees those of rules that are gone when it gets to it.
const OPTIONS: &str = "raw 5-5 4 0000232000000018 0000 000000000000 ffff 00 04 0000 0000 ffff 01 08 0001 0000";

/// Mutations of each message and version.
const MUTATIONS: usize = 6;

fn octets(hex: &str) -> Vec<u8> {
    let digits: String = hex.split_whitespace().collect();
    let pair = |i| u8::from_str_radix(&digits[i..i + 2], 16).unwrap_or_else(|_| panic!("no octets: {hex}"));
    (0..digits.len()).step_by(2).map(pair).collect()
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|o| format!("{o:02x}")).collect()
}

/// A message of one line in one version, if that has it.
fn encoded(line: &str, version: Version, mac: &str) -> Option<Vec<u8>> {
    let (word, rest) = line.split_once(' ').expect("a word and more");
    let from_parts = |message: Message, usable: Protocols| {
        if !usable.intersects(Protocols::of_version(version)) {
            return None;
        }
        message::encode(&message, version, 0x55).ok()
    };
    let told = |error: String| -> ! { panic!("{line}: {error}") };
    match word {
        "flow" | "group" | "packet-out" => {
            let (parsed, usable) = parse_line(line, Names::NONE).unwrap_or_else(|e| told(e));
            match parsed {
                Line::Other(message) => from_parts(*message, usable),
                Line::Flow(flow_mod) => {
                    let dialect = if version == Version::V10 { Dialect::Nicira } else { Dialect::Standard };
                    from_parts(Message::FlowMod { dialect, flow_mod }, usable)
                }
            }
        }
        "meter" => {
            let (command, text) = rest.split_once(' ').expect("a command");
            let command = match command {
                "add" => MeterCommand::Add,
                "modify" => MeterCommand::Modify,
                _ => MeterCommand::Delete,
            };
            let (meter_mod, usable) = parse_meter_mod(text, Some(command)).unwrap_or_else(|e| told(e));
            from_parts(Message::MeterMod(meter_mod), usable)
        }
        "stats" | "aggregate" => {
            let parsed = parse_stats_request(rest, word == "aggregate", Names::NONE).unwrap_or_else(|e| told(e));
            let dialect = if version == Version::V10 { Dialect::Nicira } else { Dialect::Standard };
            from_parts(Message::FlowStatsRequest { dialect, request: Box::new(parsed.request) }, parsed.usable)
        }
        "monitor" => {
            let (request, usable) = parse_flow_monitor(rest, 1, Names::NONE).unwrap_or_else(|e| told(e));
            from_parts(Message::FlowMonitorRequest(vec![request]), usable)
        }
        "raw" => {
            let mut words = rest.splitn(3, ' ');
            let (versions, kind) = (words.next().expect("versions"), words.next().expect("a type"));
            let (from, to) = versions.split_once('-').expect("FROM-TO");
            let minor = version.wire() - 1;
            if !(from.parse::<u8>().expect("a version")..=to.parse().expect("a version")).contains(&minor) {
                return None;
            }
            let body = octets(&words.next().unwrap_or("").replace("{mac}", mac));
            let mut message = vec![version.wire(), kind.parse().expect("a number"), 0, 0, 0, 0, 0, 0x55];
            message.extend(body);
            Some(with_length(message))
        }
        _ => panic!("{line}: no such word"),
    }
}

fn with_length(mut message: Vec<u8>) -> Vec<u8> {
    let length = u16::try_from(message.len()).expect("short enough").to_be_bytes();
    message[2..4].copy_from_slice(&length);
    message
}

/// One change of a message.
#[derive(Clone, Copy, Debug)]
enum Mutation {
    AsIs,
    Cut(usize),
    Longer(usize),
    Octet(usize, u8),
}

impl Mutation {
    fn any(random: &mut Random, length: usize) -> Mutation {
        let body = length.saturating_sub(8).max(1);
        match random.below(10) {
            0 => Mutation::Cut(8 + random.below(body)),
            1 => Mutation::Cut(8 + random.below(body) / 8 * 8),
            2 => Mutation::Longer([1, 4, 8, 16][random.below(4)]),
            n => {
                let value = [0xff, 0, 1, 2, 0x80][random.below(5)] ^ if n < 6 { random.below(256) as u8 } else { 0 };
                Mutation::Octet(8 + random.below(body), value)
            }
        }
    }

    fn of(self, message: &[u8]) -> Vec<u8> {
        let mut message = message.to_vec();
        match self {
            Mutation::AsIs => return message,
            Mutation::Cut(length) => message.truncate(length),
            Mutation::Longer(by) => message.resize(message.len() + by, 0),
            Mutation::Octet(at, value) => {
                if let Some(octet) = message.get_mut(at) {
                    *octet = value;
                }
            }
        }
        with_length(message)
    }
}

/// A connection to a bridge.
struct Conn {
    stream: UnixStream,
    version: u8,
    unread: Vec<u8>,
}

impl Conn {
    fn new(path: &Path, version: u8) -> Conn {
        let stream = UnixStream::connect(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a limit");
        let mut conn = Conn { stream, version, unread: Vec::new() };
        conn.stream.write_all(&[version, 0, 0, 8, 0, 0, 0, 1]).expect("it listens");
        assert_eq!(conn.next().map(|m| m[1]), Some(0), "a hello");
        conn
    }

    fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(head) = self.unread.get(2..4) {
                let length = usize::from(u16::from_be_bytes([head[0], head[1]])).max(8);
                if self.unread.len() >= length {
                    let rest = self.unread.split_off(length);
                    return Some(std::mem::replace(&mut self.unread, rest));
                }
            }
            let mut piece = vec![0; 1 << 16];
            match self.stream.read(&mut piece) {
                Ok(n) if n > 0 => self.unread.extend_from_slice(&piece[..n]),
                _ => return None,
            }
        }
    }

    /// What is said until an echo comes back.
    fn ask(&mut self, message: &[u8]) -> Vec<Vec<u8>> {
        const FENCE: [u8; 4] = *b"ECHO";
        let echo = [&[self.version, 2, 0, 8][..], &FENCE].concat();
        // A switch that hangs up is seen when reading.
        let _closed = self.stream.write_all(&[message, &echo].concat());
        let mut answers = Vec::new();
        loop {
            match self.next() {
                Some(answer) if answer[1] == 3 && answer[4..8] == FENCE => return answers,
                Some(answer) => answers.push(answer),
                None => {
                    answers.push(b"closed".to_vec());
                    return answers;
                }
            }
        }
    }
}

/// One side's switch.
struct Switch {
    place: Place,
    socket: PathBuf,
    control: Conn,
    /// The address of port 1.
    mac: String,
}

impl Switch {
    fn start(side: Side, dir: &Path) -> Result<Switch, String> {
        let mut place = Place::new(side, dir).map_err(|e| e.to_string())?;
        place.create_database()?;
        place.start_database(&[])?;
        place.start_switch(&["--enable-dummy=override", "--disable-system"])?;
        let vsctl = |words: &str| {
            let db = place.db();
            let args: Vec<&str> = ["--db", &db].into_iter().chain(words.split(' ')).collect();
            place.tool("ovs-vsctl", &args)
        };
        vsctl(
            "add-br br0 -- set bridge br0 datapath_type=dummy other-config:hwaddr=aa:aa:aa:00:00:01 \
             other-config:datapath-id=00000000000000aa \
             protocols=OpenFlow10,OpenFlow11,OpenFlow12,OpenFlow13,OpenFlow14,OpenFlow15",
        )?;
        for n in 1..4 {
            vsctl(&format!("add-port br0 p{n} -- set interface p{n} type=dummy ofport_request={n}"))?;
        }
        place.tool("ovs-appctl", &["-t", "ovs-vswitchd", "time/stop"])?;
        let socket = place.run_dir().join("br0.mgmt");
        let mut control = Conn::new(&socket, Version::V15.wire());
        let ports = control.ask(&octets("0612001800000000000d00000000000000000001 00000000"));
        let mac = ports.first().and_then(|m| m.get(24..30)).map(hex).ok_or("no port 1")?;
        let options = encoded(OPTIONS, Version::V15, "").ok_or("no options")?;
        let told = control.ask(&options);
        if !told.is_empty() {
            return Err(format!("{OPTIONS}: {told:02x?}"));
        }
        Ok(Switch { place, socket, control, mac })
    }

    fn reset(&mut self) {
        for line in STATE {
            let message = encoded(line, Version::V15, "").unwrap_or_else(|| panic!("{line}"));
            let answers = self.control.ask(&message);
            assert!(answers.is_empty(), "{line}: {answers:02x?}");
        }
    }
}

/// Answers with what may differ put out of sight.
fn comparable(request: &[u8], answers: Vec<Vec<u8>>) -> Vec<String> {
    let stat = if request[1] == if request[0] == 1 { 16 } else { 18 } { request.get(8..10) } else { None };
    let port_mod = request[1] == if request[0] == 1 { 15 } else { 16 };
    let quoted = |mut answer: Vec<u8>| {
        // A port's address, wherever it was in the request.
        let at = if request[0] == 1 { 22 } else { 28 };
        if port_mod && answer.len() >= at + 6 {
            answer[at..at + 6].fill(b'?');
        }
        answer
    };
    answers.into_iter().map(|answer| comparable_answer(stat, quoted(answer))).collect()
}

/// Where two answers begin to differ, or how many there are of each.
fn difference(expect: &[String], got: &[String]) -> String {
    if expect.len() != got.len() || expect.iter().all(|answer| answer.len() < 200) {
        let short = |all: &[String]| all.iter().map(|a| a.chars().take(160).collect()).collect::<Vec<String>>();
        return format!("{:?}\n  {:?}", short(expect), short(got));
    }
    let pairs = expect.iter().zip(got).find(|(e, g)| e != g);
    let Some((expect, got)) = pairs else { return String::new() };
    let at = expect.bytes().zip(got.bytes()).take_while(|(e, g)| e == g).count() / 2 * 2;
    let part = |text: &str| text.get(at.saturating_sub(32)..text.len().min(at + 32)).unwrap_or_default().to_owned();
    format!("at octet {} of {}: {}\n  {}", at / 2, expect.len() / 2, part(expect), part(got))
}

fn comparable_answer(stat: Option<&[u8]>, mut answer: Vec<u8>) -> String {
    let (version, kind) = (answer[0], answer[1]);
    // Of a flow monitor that it refuses, Debian's switch quotes what lies behind it in memory.
    if kind == 1 && matches!(stat, Some([0, 16] | [0xff, 0xff])) {
        return "refused".into();
    }
    // Debian's switch says of some fields that it does not know that they have a wrong length, depending on hashes.
    // OFPBAC_BAD_SET_LEN, in Nicira's numbers or OpenFlow's, becomes OFPBAC_BAD_SET_TYPE.
    let (at, code): (usize, [u8; 4]) = if version < 3 { (16, [0, 1, 2, 12]) } else { (8, [0, 2, 0, 14]) };
    if kind == 1 && answer.get(at..at + 4) == Some(&code) {
        answer[at + 3] -= 1;
    }
    // How long a port has been there.
    if stat == Some(&[0, 4]) && kind == 19 && answer.len() > 18 {
        let (first, record) = match version {
            4 => (16 + 104, 112),
            5 | 6 => (16 + 8, usize::from(u16::from_be_bytes([answer[16], answer[17]]))),
            _ => (answer.len(), 1),
        };
        for at in (first..answer.len()).step_by(record.max(1)) {
            answer[at..at + 8].fill(0);
        }
    }
    // Dummies are numbered as they come.
    while let Some(at) = answer.windows(5).position(|w| w == [0xaa, 0x55, 0xaa, 0x55, 0]) {
        let end = answer.len().min(at + 6);
        answer[at..end].fill(b'?');
    }
    hex(&answer)
}

#[test]
fn every_message_is_answered_alike() {
    let seed = std::env::var("TROUPE_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(0x5eed);
    let text = std::fs::read_to_string(side::root().join("tests/answers/messages.txt")).expect("messages");
    let dir = tempfile::tempdir().expect("a directory");
    let started = [Side::debian(), Side::troupe()].map(|side| {
        let name = side.name;
        Switch::start(side, &dir.path().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    });
    let mut switches = started;
    let (mut random, mut sent, mut differences) = (Random::new(seed), 0, Vec::new());
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    for (line, version) in lines.flat_map(|line| Version::ALL.into_iter().map(move |version| (line, version))) {
        let bases = [0, 1].map(|i| encoded(line, version, &switches[i].mac));
        let [Some(debian), Some(ours)] = bases else { continue };
        switches.iter_mut().for_each(Switch::reset);
        let mut conns = [0, 1].map(|i| Conn::new(&switches[i].socket, version.wire()));
        // As it is, and in the words of another version.
        let mutations = [Mutation::AsIs, Mutation::Octet(0, version.wire() % 6 + 1)].into_iter();
        let mutations: Vec<Mutation> =
            mutations.chain((0..MUTATIONS).map(|_| Mutation::any(&mut random, debian.len()))).collect();
        for mutation in mutations {
            let messages = [mutation.of(&debian), mutation.of(&ours)];
            let [expect, got] = [0, 1].map(|i| comparable(&messages[i], conns[i].ask(&messages[i])));
            sent += 1;
            if expect != got {
                let message = hex(&messages[1]);
                let difference = difference(&expect, &got);
                differences.push(format!("{version}: {line}\n  {mutation:?} {message}\n  {difference}"));
            }
            if expect.iter().chain(&got).any(|a| *a == hex(b"closed")) {
                conns = [0, 1].map(|i| Conn::new(&switches[i].socket, version.wire()));
            }
        }
    }
    println!("{sent} messages");
    assert!(sent > 3000, "only {sent} messages");
    let shown = differences.iter().take(20).cloned().collect::<Vec<_>>().join("\n");
    assert!(differences.is_empty(), "seed {seed}: {} of {sent} differ\n{shown}", differences.len());
}

/// All that a switch says to one who greets it so, asks for an echo and reads on: up to that echo, or until it hangs up.
fn greeted(socket: &Path, said: &[u8], echo: u8) -> Vec<String> {
    let stream = UnixStream::connect(socket).unwrap_or_else(|e| panic!("{}: {e}", socket.display()));
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a limit");
    let mut conn = Conn { stream, version: echo, unread: Vec::new() };
    let mut answers = conn.ask(said);
    if let Some(hello) = answers.first_mut() {
        // Its transaction's number counts connections.
        hello[4..8].fill(0);
    }
    answers.iter().map(|answer| hex(answer)).collect()
}

#[test]
fn greetings_are_answered_alike() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut switches = [Side::debian(), Side::troupe()].map(|side| {
        let name = side.name;
        Switch::start(side, &dir.path().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    });
    let hello = |version: u8, bits: Option<u32>| {
        let mut message = vec![version, 0, 0, 0, 0, 0, 0, 1];
        message.extend(bits.into_iter().flat_map(|bits| [[0, 1, 0, 8], bits.to_be_bytes()].concat()));
        with_length(message)
    };
    let mut greetings = Vec::new();
    for version in [1, 2, 4, 6, 7, 9] {
        greetings.push((hello(version, None), VersionSet::up_to(version)));
        let bitmaps = [2, 6, 0x10, 0x12, 0x40, 0x80, 0x280, 0x8000_0000];
        greetings.extend(bitmaps.map(|bits| (hello(version, Some(bits)), VersionSet(bits))));
        // Once more, an echo, a request, in versions that were not agreed upon.
        for other in [1, 4, 7, 255] {
            let again =
                [[other, 0, 0, 8, 0, 0, 0, 2], [other, 2, 0, 8, 0, 0, 0, 3], [other, 7, 0, 8, 0, 0, 0, 4]].concat();
            greetings.push(([hello(version, None), again].concat(), VersionSet::up_to(version)));
        }
    }
    let mut differences = Vec::new();
    for protocols in ["OpenFlow10,OpenFlow11,OpenFlow12,OpenFlow13,OpenFlow14,OpenFlow15", "OpenFlow13", "OpenFlow15"] {
        for switch in &mut switches {
            let db = switch.place.db();
            let setting = format!("protocols={protocols}");
            switch.place.tool("ovs-vsctl", &["--db", &db, "set", "bridge", "br0", &setting]).expect("versions");
        }
        let ours = VersionSet::parse(protocols).expect("versions");
        for (said, theirs) in &greetings {
            // Where nothing is agreed upon, nobody reads the echo.
            let agreed = ours.and(*theirs).newest().unwrap_or(Version::V10).wire();
            let [expect, got] = [0, 1].map(|i| greeted(&switches[i].socket, said, agreed));
            if expect != got {
                differences.push(format!("{protocols}: {}\n  {}", hex(said), difference(&expect, &got)));
            }
        }
    }
    assert!(differences.is_empty(), "{} differ\n{}", differences.len(), differences.join("\n"));
}
