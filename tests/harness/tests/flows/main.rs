//! Random flows, groups, meters and packet-outs, every field and every action in every version: both sides read them
//! alike, print them alike, put the same octets on the wire, and say the same of octets that were changed.
//!
//! `TROUPE_SEED` and `TROUPE_FLOWS` ask for other texts, and for how many a version.

mod recorder;
mod text;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use harness::process;
use harness::random::Random;
use harness::side::{self, Side};
use openflow::flow_mod::{Command as Kind, FlowModCommand, parse_flow_mod};
use openflow::message::group::GroupCommand;
use openflow::parse::group::parse_group_mod;
use openflow::parse::packet_out::parse_packet_out;
use openflow::{Names, Protocols, Version, action};

use text::{ACTIONS, Author};

fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|s| s.parse().ok()).unwrap_or(usual)
}

/// The seed of this run, and texts a version.
fn measure() -> (u64, usize) {
    (number("TROUPE_SEED", 0x5eed), number("TROUPE_FLOWS", 1500) as usize)
}

/// An author of a test's texts for a version.
fn author(test: u64, version: Version) -> Author {
    Author::new(measure().0 ^ (test << 48) ^ (u64::from(version.wire()) << 56))
}

/// What tells a version's flows: OpenFlow 1.0 with Nicira's matches, later versions in their own form.
fn protocol(version: Version) -> Protocols {
    if version == Version::V10 { Protocols::OF10_NXM } else { Protocols::of_version(version) }
}

/// Flows that the version can say, and some that are refused.
fn flows(author: &mut Author, version: Version) -> (Vec<String>, Vec<String>) {
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for _ in 0..measure().1 {
        let text = author.flow();
        match parse_flow_mod(&text, Kind::Mod(FlowModCommand::Add), Names::NONE) {
            Ok(parsed) if parsed.usable.contains(protocol(version)) => {
                author.count();
                good.push(text);
            }
            _ => bad.push(text),
        }
    }
    assert!(good.len() > measure().1 / 10, "{version}: hardly a flow was valid");
    (good, bad)
}

/// ovs-ofctl of a side, in `dir`, for a version.
fn ofctl(side: &Side, dir: &Path, version: Version, args: &[&str]) -> Command {
    let mut command = Command::new(side.need("ovs-ofctl").expect("ovs-ofctl"));
    command.current_dir(dir).args(["-vconsole:off", "-O", version.name()]).args(args);
    command
}

/// All that ovs-ofctl says.
fn said(side: &Side, dir: &Path, version: Version, args: &[&str]) -> String {
    let outcome = process::run(ofctl(side, dir, version, args), dir, Duration::from_secs(120)).expect("it runs");
    format!("{}{}{}\n", outcome.stdout, outcome.stderr, outcome.end)
}

/// Flows as they were printed, fit to be read again.
fn printed(output: &str) -> String {
    let flows = output.lines().filter_map(|line| line.split_once(": ADD ")).map(|(_, flow)| flow);
    flows.fold(String::new(), |text, flow| text + flow + "\n")
}

fn assert_same(what: &str, debian: &str, ours: &str) {
    if debian == ours {
        return;
    }
    let differ = debian.lines().zip(ours.lines()).filter(|(d, o)| d != o).take(6);
    let shown: Vec<String> = differ.map(|(d, o)| format!("  debian: {d}\n  troupe: {o}")).collect();
    let last = |text: &str| text.lines().last().unwrap_or_default().to_owned();
    panic!(
        "{what}, seed {}: {} and {} lines\n{}\n  ends: {}\n  ends: {}",
        measure().0,
        debian.lines().count(),
        ours.lines().count(),
        shown.join("\n"),
        last(debian),
        last(ours)
    );
}

fn lines(texts: &[String]) -> String {
    texts.iter().fold(String::new(), |all, text| all + text + "\n")
}

#[test]
fn random_flows_are_read_alike() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut missing: Vec<&str> = ACTIONS.to_vec();
    for version in Version::ALL {
        let mut author = author(1, version);
        let (good, _) = flows(&mut author, version);
        missing.retain(|form| !author.used.contains_key(form));
        let mut text = lines(&good);
        for round in ["as made", "as printed"] {
            std::fs::write(dir.path().join("flows.txt"), &text).expect("written");
            let debian = said(&Side::debian(), dir.path(), version, &["parse-flows", "flows.txt"]);
            let ours = said(&Side::troupe(), dir.path(), version, &["parse-flows", "flows.txt"]);
            assert_same(&format!("{version}, {round}"), &debian, &ours);
            text = printed(&debian);
        }
    }
    assert!(missing.is_empty(), "in no valid flow: {missing:?}");
}

#[test]
fn what_is_refused_is_refused_alike() {
    let dir = tempfile::tempdir().expect("a directory");
    for version in Version::ALL {
        let (_, bad) = flows(&mut author(2, version), version);
        for text in bad.iter().take(measure().1 / 30) {
            let debian = said(&Side::debian(), dir.path(), version, &["parse-flow", text]);
            let ours = said(&Side::troupe(), dir.path(), version, &["parse-flow", text]);
            assert_same(&format!("{version}, {text}"), &debian, &ours);
        }
    }
}

/// Texts in a file, and the command that sends them.
struct Sent {
    file: &'static str,
    texts: Vec<String>,
    command: Vec<&'static str>,
}

/// What there is to send in a version: flows, and groups and meters where it has them, each alone and all in a bundle.
fn to_send(author: &mut Author, version: Version) -> Vec<Sent> {
    let (flows, _) = flows(author, version);
    let few = flows.len() / 8;
    let kinds = ["add", "modify", "modify_strict"];
    let bundled: Vec<String> =
        flows.iter().take(few).map(|flow| format!("flow {} {flow}", author.random.pick(&kinds))).collect();
    let mut sent = vec![
        Sent { file: "flows", texts: flows.clone(), command: vec!["add-flows"] },
        Sent { file: "flows", texts: flows.clone(), command: vec!["--bundle", "add-flows"] },
    ];
    if version == Version::V10 {
        sent.push(Sent { file: "bundle", texts: bundled, command: vec!["bundle"] });
        return sent;
    }
    let groups: Vec<String> = (0..few * 2)
        .map(|_| author.group())
        .filter(|text| {
            let parsed = parse_group_mod(text, Some(GroupCommand::Add), Names::NONE);
            parsed.is_ok_and(|(_, usable)| usable.contains(Protocols::of_version(version)))
        })
        .collect();
    let bundled = bundled.into_iter().chain(groups.iter().map(|group| format!("group add {group}"))).collect();
    sent.push(Sent { file: "groups", texts: groups, command: vec!["add-groups"] });
    sent.push(Sent { file: "bundle", texts: bundled, command: vec!["bundle"] });
    sent
}

/// Stands for the recorder in a command line.
const SWITCH: &str = "SWITCH";

/// What a switch hears from a side's ovs-ofctl, and what that says.
fn heard(side: &Side, dir: &Path, version: Version, args: &[&str]) -> (String, Vec<Vec<u8>>) {
    let socket: PathBuf = dir.join("switch");
    // Names would be asked for, and this switch has none.
    let target = format!("unix:{}", socket.display());
    let args = ["--no-names"].into_iter().chain(args.iter().map(|arg| if *arg == SWITCH { &*target } else { arg }));
    let command = ofctl(side, dir, version, &args.collect::<Vec<_>>());
    let (outcome, messages) = recorder::record(&socket, version.wire(), command, dir);
    (format!("{}{}{}\n", outcome.stdout, outcome.stderr, outcome.end), messages)
}

fn hex(octets: &[u8]) -> String {
    octets.iter().fold(String::new(), |mut text, octet| {
        let _ = write!(text, "{octet:02x}");
        text
    })
}

#[test]
fn random_messages_are_encoded_and_printed_alike() {
    let dir = tempfile::tempdir().expect("a directory");
    for version in Version::ALL {
        let mut author = author(3, version);
        let mut all = Vec::new();
        for Sent { file, texts, command } in to_send(&mut author, version) {
            std::fs::write(dir.path().join(file), lines(&texts)).expect("written");
            let mut args = command.clone();
            args.extend([SWITCH, file]);
            compare_heard(dir.path(), version, &args, &mut all);
        }
        for _ in 0..measure().1 / 60 {
            let text = author.packet_out();
            let good = parse_packet_out(&text, Names::NONE);
            if good.is_ok_and(|(_, usable)| usable.contains(Protocols::of_version(version))) {
                compare_heard(dir.path(), version, &["packet-out", SWITCH, &text], &mut all);
            }
            if version >= Version::V13 {
                let text = author.meter();
                compare_heard(dir.path(), version, &["add-meter", SWITCH, &text], &mut all);
            }
        }
        compare_prints(dir.path(), version, &all, 0);
    }
}

/// The messages of the codec's own table, of every kind and version.
fn messages_of_all_kinds() -> Vec<Vec<u8>> {
    let file = side::root().join("ofproto/openflow/tests/messages.txt");
    let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let octets = |word: &str| -> Option<Vec<u8>> {
        let digits = word.as_bytes().chunks(2).map(|two| std::str::from_utf8(two).ok());
        digits.map(|two| u8::from_str_radix(two?, 16).ok()).collect()
    };
    let whole = |m: &Vec<u8>| m.len() >= 8 && usize::from(u16::from_be_bytes([m[2], m[3]])) == m.len();
    text.lines().filter_map(|line| line.split_whitespace().find_map(octets).filter(whole)).collect()
}

#[test]
fn changed_messages_of_all_kinds_are_printed_alike() {
    let dir = tempfile::tempdir().expect("a directory");
    let messages = messages_of_all_kinds();
    assert!(messages.len() > 500, "only {} messages", messages.len());
    for round in 0..1 + measure().1 as u64 / 400 {
        compare_prints(dir.path(), Version::V13, &messages, round);
    }
}

fn compare_heard(dir: &Path, version: Version, args: &[&str], all: &mut Vec<Vec<u8>>) {
    let (debian_says, debian) = heard(&Side::debian(), dir, version, args);
    let (we_say, ours) = heard(&Side::troupe(), dir, version, args);
    let what = format!("{version}, {args:?}");
    assert_same(&what, &debian_says, &we_say);
    let texts = |messages: &[Vec<u8>]| messages.iter().fold(String::new(), |all, m| all + &hex(m) + "\n");
    assert_same(&what, &texts(&debian), &texts(&ours));
    all.extend(ours);
}

/// What `ofp-parse` says of the messages, as they are and changed, otherwise in each round.
fn compare_prints(dir: &Path, version: Version, messages: &[Vec<u8>], round: u64) {
    let mut random = Random::new(measure().0 ^ u64::from(version.wire()) ^ round << 32);
    let changed: Vec<Vec<u8>> = messages.iter().map(|message| change(&mut random, message)).collect();
    for (what, messages) in [("as sent", messages), ("changed", &changed)] {
        std::fs::write(dir.join("messages"), messages.concat()).expect("written");
        let debian = said(&Side::debian(), dir, version, &["ofp-parse", "messages"]);
        let ours = said(&Side::troupe(), dir, version, &["ofp-parse", "messages"]);
        if debian == ours {
            continue;
        }
        for message in messages {
            let one = hex(message);
            let [debian, ours] =
                [Side::debian(), Side::troupe()].map(|side| said(&side, dir, version, &["ofp-print", &one]));
            assert_same(&format!("{version}, ofp-print {what}: {one}"), &debian, &ours);
        }
        assert_same(&format!("{version}, ofp-parse {what}"), &debian, &ours);
    }
}

/// One or two octets changed, some cut away or put in, the length that of the whole.
fn change(random: &mut Random, message: &[u8]) -> Vec<u8> {
    let mut message = message.to_vec();
    for _ in 0..1 + random.below(2) {
        let at = 8 + random.below((message.len() - 8).max(1));
        match random.below(12) {
            0 => message.truncate(at),
            1 => message.truncate(at / 8 * 8),
            2 => message.resize((message.len() + 8).min(0xffff), 0),
            n => {
                let value = [0xff, 0, 1, 2, 0x80, 4][random.below(6)] ^ if n < 6 { random.below(256) as u8 } else { 0 };
                if let Some(octet) = message.get_mut(at) {
                    *octet = value;
                }
            }
        }
    }
    let length = u16::try_from(message.len()).expect("short enough").to_be_bytes();
    message[2..4].copy_from_slice(&length);
    message
}

#[test]
fn random_actions_are_decoded_alike() {
    let dir = tempfile::tempdir().expect("a directory");
    for version in Version::ALL {
        let mut author = author(4, version);
        let (good, _) = flows(&mut author, version);
        for command in ["parse-actions", "parse-instructions"] {
            if command == "parse-instructions" && version == Version::V10 {
                continue;
            }
            let mut text = String::new();
            for flow in &good {
                let parsed = parse_flow_mod(flow, Kind::Mod(FlowModCommand::Add), Names::NONE).expect("a good one");
                let mut octets = Vec::new();
                if command == "parse-actions" {
                    action::put_actions(&mut octets, &parsed.flow_mod.actions, version);
                } else {
                    action::put_instructions(&mut octets, &parsed.flow_mod.actions, version);
                }
                for n in 0..2 {
                    let _ = writeln!(
                        text,
                        "{}",
                        hex(&if n == 0 { octets.clone() } else { change_body(&mut author.random, &octets) })
                    );
                }
            }
            let [debian, ours] = decoded(dir.path(), version, command, &text);
            if debian != ours {
                for line in text.lines() {
                    let [debian, ours] = decoded(dir.path(), version, command, line);
                    assert_same(&format!("{version}, {command} {line}"), &debian, &ours);
                }
            }
            assert_same(&format!("{version}, {command}"), &debian, &ours);
        }
    }
}

/// What both sides say of lines of octets.
fn decoded(dir: &Path, version: Version, command: &str, lines: &str) -> [String; 2] {
    std::fs::write(dir.join("hex"), lines).expect("written");
    [Side::debian(), Side::troupe()].map(|side| {
        let mut command = ofctl(&side, dir, version, &[command, version.name()]);
        command.stdin(std::fs::File::open(dir.join("hex")).expect("written"));
        let outcome = process::run(command, dir, Duration::from_secs(120)).expect("it runs");
        format!("{}{}{}\n", outcome.stdout, outcome.stderr, outcome.end)
    })
}

/// As [`change`], for octets without a header of a message.
fn change_body(random: &mut Random, octets: &[u8]) -> Vec<u8> {
    change(random, &[&[0; 8], octets].concat()).split_off(8)
}
