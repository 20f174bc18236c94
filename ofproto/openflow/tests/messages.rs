//! Messages of every kind and version: octets and text, both ways, and broken ones.
//!
//! `messages.txt` has octets in hexadecimal, each followed by lines of text that begin with a bar.

use std::sync::LazyLock;

use openflow::message::{self, kind};
use openflow::print;
use proptest::prelude::*;

/// A message of the table.
struct Case {
    octets: Vec<u8>,
    text: String,
}

fn octets(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap()).collect()
}

/// All messages of the table.
static CASES: LazyLock<Vec<Case>> = LazyLock::new(read_cases);

fn read_cases() -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for line in include_str!("messages.txt").lines().filter(|l| !l.is_empty() && !l.starts_with('#')) {
        match line.strip_prefix('|') {
            Some(text) => {
                let case = cases.last_mut().unwrap();
                case.text.push_str(text.strip_prefix(' ').unwrap_or(text));
                case.text.push('\n');
            }
            None => cases.push(Case { octets: octets(line), text: String::new() }),
        }
    }
    cases
}

fn text(octets: &[u8]) -> String {
    print::message(octets, &print::Options { verbosity: 2, ..Default::default() })
}

#[test]
fn octets_to_text() {
    assert!(CASES.len() > 200, "{}", CASES.len());
    for case in CASES.iter() {
        assert_eq!(text(&case.octets).trim_end_matches('\n'), case.text.trim_end_matches('\n'));
    }
}

/// What is read and written is read again as the same.
#[test]
fn written_messages_are_read_again() {
    for case in CASES.iter() {
        let Ok(msg) = message::decode(&case.octets) else { continue };
        let written = message::encode(&msg.body, msg.version, msg.xid);
        let written = written.unwrap_or_else(|e| panic!("{e}: {}", case.text));
        let again = message::decode(&written).unwrap_or_else(|e| panic!("{e}: {}", case.text));
        // A bundle's message is also kept as it came.
        if !matches!(msg.body, message::Message::BundleAdd(_)) {
            assert_eq!(msg, again, "{}", case.text);
        }
    }
}

/// Most messages are written to the octet as they came. Those that are not: where a switch says a thing that is not kept
/// (a multipart's flags, a table-mod's flags beside its setting, tunnel options without their table).
#[test]
fn octets_come_out_as_they_went_in() {
    let mut differ = 0;
    let mut all = 0;
    for case in CASES.iter() {
        let Ok(msg) = message::decode(&case.octets) else { continue };
        all += 1;
        if message::encode(&msg.body, msg.version, msg.xid).unwrap() != case.octets {
            differ += 1;
        }
    }
    assert!(differ * 20 < all, "{differ} of {all} differ");
}

/// Open vSwitch writes a paused packet's stack from its top on.
#[test]
fn a_stack_has_its_top_first_on_the_wire() {
    let stack = [[0x80, 1, 0, 8, 0, 0, 0, 7], [0x80, 1, 0, 8, 0, 0, 0, 6]].concat();
    let mut octets = vec![4, 4, 0, 0, 0, 0, 0, 1, 0, 0, 0x23, 0x20, 0, 0, 0, 0x1c];
    octets.extend([&[0, 0, 0, 18][..], &[0xee; 14], &[0; 6], &[0, 8, 0, 24, 0, 0, 0, 0], &stack].concat());
    kind::finish(&mut octets, 0);
    let msg = message::decode(&octets).unwrap();
    let message::Message::Resume(resume) = &msg.body else { panic!("{msg:?}") };
    assert_eq!(resume.continuation.as_ref().unwrap().stack, [[0, 0, 0, 6], [0, 0, 0, 7]]);
    let written = message::encode(&msg.body, msg.version, msg.xid).unwrap();
    assert!(written.windows(16).any(|octets| octets == stack), "{written:x?}");
}

#[test]
fn cut_messages() {
    for case in CASES.iter() {
        for len in (0..case.octets.len()).step_by(3) {
            let mut cut = case.octets[..len].to_vec();
            let _ = text(&cut);
            if len >= kind::HEADER_LEN {
                kind::finish(&mut cut, 0);
                let _ = text(&cut);
                let _ = message::decode(&cut);
            }
        }
    }
}

#[test]
fn long_lists_become_several_messages() {
    use openflow::message::{Message, PortDesc};
    let port = |i: u16| PortDesc { port: openflow::OfPort(i), name: format!("p{i}"), ..PortDesc::default() };
    let ports: Vec<PortDesc> = (1..3000).map(port).collect();
    for version in openflow::Version::ALL {
        let octets = message::encode(&Message::PortDescReply(ports.clone()), version, 7).unwrap();
        let mut rest = &octets[..];
        let mut read = 0;
        while !rest.is_empty() {
            let len = message::frame::message_len(rest).unwrap().unwrap();
            let more = kind::is_more(&rest[..len]);
            let Message::PortDescReply(part) = message::decode(&rest[..len]).unwrap().body else { panic!() };
            read += part.len();
            rest = &rest[len..];
            assert_eq!(more, !rest.is_empty());
        }
        assert_eq!(read, ports.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Whatever comes, there is an answer and no panic.
    #[test]
    fn any_octets(mut octets in proptest::collection::vec(any::<u8>(), 8..200), kind in 0u8..35, version in 1u8..7) {
        octets[0] = version;
        octets[1] = kind;
        kind::finish(&mut octets, 0);
        let _ = message::decode(&octets);
        let _ = text(&octets);
    }

    /// Messages with a few octets changed.
    #[test]
    fn changed_octets(
        which in any::<prop::sample::Index>(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut octets = which.get(&CASES[..]).octets.clone();
        for (at, value) in changes {
            let at = at.index(octets.len());
            octets[at] = value;
        }
        kind::finish(&mut octets, 0);
        let _ = text(&octets);
        if let Ok(msg) = message::decode(&octets) {
            let _ = message::encode(&msg.body, msg.version, msg.xid);
        }
    }
}
