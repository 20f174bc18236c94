//! Every action in every version that has it: octets, and the text that Open vSwitch 3.1 shows for them.
//!
//! A line of `text_actions.txt` is `version octets text`; `!NAME` stands for a refusal with that error.

use openflow::action::{Decoding, format, parse_actions, pull_actions, put_actions};
use openflow::{Names, Style, Version};

fn octets(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).expect("hexadecimal")).collect()
}

fn rows() -> impl Iterator<Item = (Version, Vec<u8>, &'static str)> {
    include_str!("text_actions.txt").lines().map(|line| {
        let mut parts = line.splitn(3, ' ');
        let mut next = || parts.next().unwrap_or("");
        let version = next().parse::<u8>().expect("a version") - 9;
        (Version::from_wire(version).expect("a version"), octets(next()), next())
    })
}

#[test]
fn octets_to_text() {
    for (version, hex, text) in rows() {
        let shown = match pull_actions(&hex, &Decoding::new(version)) {
            Ok(actions) => format(&actions, &Style::PLAIN),
            Err(e) => format!("!{}", e.code.name()),
        };
        assert_eq!(shown, text, "{version} {hex:02x?}");
    }
}

#[test]
fn octets_survive() {
    for (version, hex, text) in rows().filter(|(.., text)| !text.starts_with('!')) {
        let actions = pull_actions(&hex, &Decoding::new(version)).expect("valid");
        let mut again = Vec::new();
        put_actions(&mut again, &actions, version);
        let same = pull_actions(&again, &Decoding::new(version)).expect("valid");
        assert_eq!(format(&same, &Style::PLAIN), text, "{version} {hex:02x?} {again:02x?}");
    }
}

#[test]
fn text_survives() {
    for (version, _, text) in rows().filter(|(.., text)| !text.starts_with('!')) {
        // An option of zeros shows as a bare 0, part of a port as `value/mask`, and nonsense as such: nothing of it is read
        // back, by Open vSwitch either.
        if ["tlv(0x0001,2,0)", "/0x1->in_port", "<unknown>", "[0..-1]"].iter().any(|odd| text.contains(odd)) {
            continue;
        }
        let (actions, _) = match parse_actions(text, Names::NONE) {
            Ok(parsed) => parsed,
            Err(e) => panic!("{version} {text}: {e}"),
        };
        assert_eq!(format(&actions, &Style::PLAIN), text);
    }
}
