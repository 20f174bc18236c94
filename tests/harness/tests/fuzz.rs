//! The fuzz targets on a stable compiler: mutations of the codecs' own tables, for a few seconds each. A failure
//! names the octets; add them to the table of the codec that failed.

#[path = "../../fuzz/targets.rs"]
mod targets;

use harness::side;
use l2proto::cfm::ccm::Ccm;
use l2proto::lacp;
use nix::time::{ClockId, clock_gettime};
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::time::{Duration, Instant};

/// The longest that one input may keep a processor busy, in a build that is not optimised.
const SLOW: Duration = Duration::from_secs(2);

/// Tables of hexadecimal octets and of text, and other inputs, each for the targets they suit.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let files: &[&str] = match target {
        "packet_extract" => &["datapath/flow/tests/extract.txt"],
        "key_text" => &["datapath/flow/tests/keys.txt"],
        "odp_actions_text" => &["datapath/flow/tests/actions.txt"],
        "openflow_decode" | "ofp_print" => &["ofproto/openflow/tests/messages.txt"],
        "flow_text" => &["ofproto/openflow/tests/text_flows.txt"],
        "action_text" => &["ofproto/openflow/tests/text_actions.txt"],
        _ => &[],
    };
    let hex = matches!(target, "packet_extract" | "openflow_decode" | "ofp_print");
    let mut seeds = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(side::root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            if hex {
                seeds.extend(line.split_whitespace().find_map(octets));
            } else {
                seeds
                    .extend(line.split(['\t', '|']).flat_map(|part| part.split(" => ")).map(|part| part.trim().into()));
                seeds.extend(line.splitn(3, ' ').nth(2).map(|rest| rest.as_bytes().to_vec()));
            }
        }
    }
    seeds.extend(own(target));
    seeds.retain(|seed| !seed.is_empty());
    assert!(!seeds.is_empty(), "{target} has no seeds");
    seeds
}

fn octets(word: &str) -> Option<Vec<u8>> {
    let whole = word.len() >= 8 && word.len().is_multiple_of(2) && word.is_ascii();
    let digits = whole.then(|| word.as_bytes().chunks(2).map(|two| std::str::from_utf8(two).unwrap_or("")))?;
    digits.map(|two| u8::from_str_radix(two, 16).ok()).collect()
}

/// Seeds that are in no table.
fn own(target: &str) -> Vec<Vec<u8>> {
    let texts: &[&str] = match target {
        "json_framing" => &[
            r#"{"method":"echo","params":[],"id":"echo"}{"id":0,"result":[1,-2.5e3,true,null],"error":null}"#,
            r#" {"method":"update","params":["m",{"t":{"u":{"new":{"s":"\u00e9\ud83d\ude00\n"}}}}],"id":null} [1,[2]]"#,
        ],
        "ovsdb_transact" => &[
            r#"["Open_vSwitch",{"op":"insert","table":"Bridge","row":{"name":"br0","ports":["set",[["named-uuid","p"]]]},"uuid-name":"b"},{"op":"insert","table":"Port","row":{"name":"br0","tag":9},"uuid-name":"p"},{"op":"comment","comment":"x"}]"#,
            r#"[{"op":"insert","table":"Open_vSwitch","row":{"external_ids":["map",[["a","b"]]]}},{"op":"mutate","table":"Open_vSwitch","where":[["next_cfg","==",0]],"mutations":[["next_cfg","+=",1],["external_ids","insert",["map",[["c","d"]]]]]},{"op":"select","table":"Open_vSwitch","where":[],"columns":["next_cfg"]},{"op":"wait","timeout":0,"table":"Open_vSwitch","where":[],"columns":["next_cfg"],"until":"==","rows":[{"next_cfg":1}]},{"op":"update","table":"Open_vSwitch","where":[["_uuid","!=",["uuid","11111111-2222-3333-4444-555555555555"]]],"row":{"cur_cfg":5}},{"op":"delete","table":"Open_vSwitch","where":[["cur_cfg",">=",5]]},{"op":"assert","lock":"l"},{"op":"abort"}]"#,
        ],
        "value_text" => &["5", "[1,2,3]", "{a=b,\"c d\"=e}", "true", "0.25", "@new", "[]", "a=b", "\"\\u0041\""],
        "flow_text" => &[
            "table=1,priority=5,tcp,nw_src=10.0.0.0/8,tp_dst=0x50/0xff,actions=ct(commit,nat(src=1.2.3.4-1.2.3.9)),normal",
            "ipv6,ipv6_src=fe80::/10,nd_target=::1,icmp_type=135,actions=learn(table=2,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[])",
        ],
        _ => &[],
    };
    let mut seeds: Vec<Vec<u8>> = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
    if target == "control_frames" {
        let lacp = lacp::Pdu { actor: lacp::Info::default(), partner: lacp::Info::default() };
        let ccm = Ccm { rdi: true, interval: 4, seq: 9, mpid: 5, interval_ms: 0, mpid64: 0, down: false };
        let messages = [
            lacp.emit().to_vec(),
            ccm.emit().to_vec(),
            [&[0x20, 0x40, 3, 24, 0, 0, 0, 9][..], &[0; 16]].concat(),
            [&[0; 4][..], &[0x80; 31]].concat(),
            [&[0, 0, 2, 2][..], &[0x3c; 32]].concat(),
            b"\x02\x07\x04\xaa\xbb\xcc\xdd\xee\xff\x04\x02\x05p\x06\x02\x00\x78\xfe\x06\0\x04\x0d\x0c\0\0\0\0".to_vec(),
            [&[0x22, 0, 0, 0, 0, 0, 0, 2][..], &[4, 0, 0, 0, 225, 1, 1, 1, 3, 0, 0, 1, 225, 1, 1, 2, 10, 0, 0, 1]]
                .concat(),
            [&[143, 0, 0, 0, 0, 0, 0, 1, 3, 0, 0, 0][..], &[0xff; 16]].concat(),
        ];
        seeds.extend((0..).zip(messages).map(|(kind, message)| [&[kind][..], &message].concat()));
    }
    if target == "ovsdb_log" {
        let mut log =
            ovsdb::log::encode(r#"{"name":"d","version":"1.0.0","tables":{"t":{"columns":{"a":{"type":"integer"}}}}}"#);
        log.extend(ovsdb::log::encode(
            r#"{"t":{"11111111-2222-3333-4444-555555555555":{"a":5}},"_date":1,"_comment":"x"}"#,
        ));
        seeds.push(log);
    }
    seeds
}

/// A generator of 64-bit numbers (splitmix64): the same inputs every run.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }
}

const WORDS: [&[u8]; 12] =
    [b"0", b"-1", b"4294967296", b"18446744073709551616", b"(", b")", b"[", b"]", b",", b"/", b"\xff\xff", b"\x00\x00"];

/// One to four changes: bits, octets, pieces of this and of another seed, and words that parsers trip over.
fn mutate(chance: &mut Chance, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut data = seeds[chance.below(seeds.len())].clone();
    for _ in 0..=chance.below(4) {
        let at = chance.below(data.len());
        let end = (at + 1 + chance.below(16)).min(data.len());
        match chance.below(8) {
            0 if !data.is_empty() => data[at] ^= 1 << chance.below(8),
            1 if !data.is_empty() => data[at] = chance.next() as u8,
            2 => data.truncate(at),
            3 => drop(data.drain(at..end)),
            4 => {
                let piece = data[at..end].to_vec();
                data.splice(at..at, piece);
            }
            5 => {
                let other = &seeds[chance.below(seeds.len())];
                let from = chance.below(other.len());
                data.splice(at..end, other[from..].iter().copied());
            }
            6 => drop(data.splice(at..at, WORDS[chance.below(WORDS.len())].iter().copied())),
            _ => {
                let piece = data[at..end].repeat(1 + chance.below(8));
                data.splice(at..at, piece);
            }
        }
    }
    data.truncate(1 << 16);
    data
}

/// The time that a processor has had for this thread, whoever else is at work.
fn busy() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("the thread's clock").into()
}

fn judge(name: &str, target: targets::Target, data: &[u8]) {
    let times = || {
        let start = busy();
        if panic::catch_unwind(AssertUnwindSafe(|| target(data))).is_err() {
            panic!("{name} fails on {:?}\nin hexadecimal: {}", String::from_utf8_lossy(data), ovsdb::log::hex(data));
        }
        busy() - start
    };
    // What is slow is so each time; what interrupts kept from running is not.
    let slow = (0..5).map(|_| times()).take_while(|took| *took >= SLOW).count();
    assert!(slow < 5, "{name} takes more than {SLOW:?} for {:?}", String::from_utf8_lossy(data));
}

/// Seconds each target gets: `FUZZ_SECONDS`, or two.
fn seconds() -> u64 {
    std::env::var("FUZZ_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(2)
}

fn fuzz(name: &str) {
    let (_, target) = targets::TARGETS.into_iter().find(|(known, _)| *known == name).expect("a target");
    let seeds = corpus(name);
    for seed in &seeds {
        judge(name, target, seed);
    }
    let mut chance = Chance(std::env::var("FUZZ_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1));
    let end = Instant::now() + Duration::from_secs(seconds());
    while Instant::now() < end {
        judge(name, target, &mutate(&mut chance, &seeds));
    }
}

macro_rules! fuzz_tests {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            fuzz(stringify!($name));
        })*

        #[test]
        fn every_target_runs_here_and_under_cargo_fuzz() {
            let here = [$(stringify!($name)),*];
            let manifest = std::fs::read_to_string(side::root().join("tests/fuzz/Cargo.toml")).expect("the manifest");
            for (name, _) in targets::TARGETS {
                assert!(here.contains(&name), "{name} is not run here");
                assert!(manifest.contains(&format!("name = \"{name}\"")), "{name} is not in tests/fuzz/Cargo.toml");
                assert!(Path::new(&side::root()).join(format!("tests/fuzz/fuzz_targets/{name}.rs")).is_file(), "{name}");
            }
        }
    };
}

fuzz_tests! {
    packet_extract control_frames key_text odp_actions_text openflow_decode ofp_print flow_text action_text json_framing
    ovsdb_transact ovsdb_log value_text
}
