//! Datapath keys and actions as text, against what Open vSwitch 3.1's `dpctl/add-flow` takes and `dpctl/dump-flows` shows.

use flow::odp_text::{
    KeyOptions, format_actions, format_key, parse_actions, parse_groups, parse_key, parse_ufid, ufid,
};
use flow::text::PortNames;
use proptest::prelude::*;

struct Names;

impl PortNames for Names {
    fn name_of(&self, port: u32) -> Option<&str> {
        (port == 1).then_some("we ird")
    }

    fn port_named(&self, name: &str) -> Option<u32> {
        (name == "we ird").then_some(1)
    }
}

/// Three lines a case: what is read, its dump, the end of its verbose dump.
#[test]
fn keys() {
    let lines: Vec<&str> = include_str!("keys.txt").lines().collect();
    for case in lines.chunks(3) {
        let (key, mut mask) = parse_key(case[0], None).unwrap();
        mask.set_recirc_id(u32::MAX);
        assert_eq!(format_key(&key, Some(&mask), &KeyOptions::default()), case[1]);
        let verbose = format_key(&key, Some(&mask), &KeyOptions { verbose: true, ports: Some(&Names) });
        let tail = verbose.find(",in_port(").map_or("", |at| &verbose[at + 1..]);
        assert_eq!(tail, case[2]);
        assert!(verbose.starts_with("skb_priority("));
        let again = parse_key(&verbose, Some(&Names)).unwrap();
        assert_eq!(format_key(&again.0, Some(&again.1), &KeyOptions::default()), case[1]);
    }
}

#[test]
fn keys_that_cannot_be_read() {
    for (text, at) in [
        ("in_port(1),bad(3)", "bad(3)"),
        ("in_port(1", "in_port(1"),
        ("in_port(1),eth_type(0x0800),ipv4(src=1.2.3)", "ipv4(src=1.2.3)"),
        ("in_port(nobody)", "in_port(nobody)"),
        ("encap(encap(encap(encap())))", "encap(encap(encap(encap())))"),
        ("eth_type(0x8100),vlan(vid=4097,pcp=1)", "vlan(vid=4097,pcp=1)"),
        ("eth_type(0x8100),vlan(vid=1/0xffff,pcp=1)", "vlan(vid=1/0xffff,pcp=1)"),
        ("eth_type(0x8100),vlan(vid=1,pcp=9)", "vlan(vid=1,pcp=9)"),
    ] {
        assert_eq!(parse_key(text, None), Err(format!("syntax error at {at}")));
    }
}

/// What no packet has, or a text says twice, is no key; a comma may stand behind the last field.
#[test]
fn groups_go_together() {
    for (text, fit) in [
        ("in_port(1),eth(src=00:00:00:00:00:01,),eth_type(0x0800),ipv4(proto=1,frag=no,),icmp(type=8,)", true),
        ("in_port(1),eth(),eth_type(0x8100),vlan(vid=1,pcp=2,),encap(eth_type(0x0800),ipv4(frag=no))", true),
        ("eth(),eth_type(0x8100),vlan(vid=1),encap(eth_type(0x8100),vlan(vid=2),encap(eth_type(0x1234)))", true),
        ("eth(),eth_type(0x86dd),ipv6(proto=58,frag=no),icmpv6(type=135,code=0),nd(target=::1)", true),
        ("in_port(1),in_port(1)", false),
        ("eth(),eth_type(0x1234),eth_type(0x1234)", false),
        ("eth(),eth_type(0x0800),ipv4(proto=1,frag=no),sctp(src=1)", false),
        ("eth(),eth_type(0x0800),ipv4(frag=no),icmp(type=8)", false),
        ("eth(),eth_type(0x0800),ipv4(proto=6,frag=later),tcp(src=8)", false),
        ("eth(),eth_type(0x0003),ipv4(frag=no)", false),
        ("eth(),eth_type(0x86dd),ipv6(proto=58,frag=no),icmpv6(type=128,code=0),nd(target=::1)", false),
        ("eth(),eth_type(0x8100),vlan(vid=1),encap(eth_type(0x0800),ipv4(frag=no),ipv4(frag=no))", false),
    ] {
        assert_eq!(parse_groups(text, None).map(|g| g.fit), Ok(fit), "{text}");
    }
    for text in ["tcp_flags(ack,syn)", "tcp(src=8,,x)"] {
        assert!(parse_groups(text, None).is_err(), "{text}");
    }
}

/// Numbers beyond their width are cut, as `scanf` does.
#[test]
fn numbers_too_large() {
    for (text, cut) in [
        ("eth(),eth_type(0x10800),ipv4(proto=273,ttl=300)", "eth(),eth_type(0x0800),ipv4(proto=17,ttl=44)"),
        (
            "in_port(4294967297),ct_zone(70000),eth(),eth_type(0x1234)",
            "in_port(1),ct_zone(4464),eth(),eth_type(0x1234)",
        ),
        ("eth(),eth_type(0x0800),ipv4(proto=6),tcp(src=1/0x1ffff)", "eth(),eth_type(0x0800),ipv4(proto=6),tcp(src=1)"),
        ("tunnel(tun_id=0x10000000000000001,flags())", "tunnel(tun_id=1,flags())"),
    ] {
        assert_eq!(parse_key(text, None), parse_key(cut, None), "{text}");
    }
}

#[test]
fn actions() {
    for line in include_str!("actions.txt").lines() {
        let (input, output) = line.split_once(" => ").unwrap();
        let parsed = parse_actions(input, None).unwrap_or_else(|e| panic!("{input}: {e}"));
        assert_eq!(format_actions(&parsed, None), output, "{input}");
        assert_eq!(parse_actions(output, None).unwrap(), parsed, "{output}");
    }
}

#[test]
fn actions_that_cannot_be_read() {
    for text in [
        "foo",
        "1,foo",
        "ct(commit",
        "sample(sample=200%,actions(1))",
        "drop,1",
        "push_vlan(vid=4096,pcp=0)",
        "push_vlan(vid=1)",
        "clone(1",
    ] {
        assert!(parse_actions(text, None).is_err(), "{text}");
    }
    let deep = "clone(".repeat(1000);
    assert!(parse_actions(&deep, None).is_err());
}

#[test]
fn identifiers() {
    let text = "2960cd4c-d928-46b7-b9a9-6878abf7bde0";
    let parsed = parse_ufid(&format!("ufid:{text}")).unwrap();
    assert_eq!(ufid(parsed), text);
    assert_eq!(parse_ufid("2960cd4c"), None);
}

proptest! {
    /// Text of any packet's key reads back as the same key.
    #[test]
    fn packets_round_trip(line in 0usize..300, flips in proptest::collection::vec(0u32..1000, 0..3)) {
        let table = include_str!("extract.txt");
        let hex = table.lines().nth(line).unwrap().split_once(' ').unwrap().0;
        let mut octets: Vec<u8> =
            (0..hex.len() / 2).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap()).collect();
        let n = octets.len();
        for flip in flips {
            octets[flip as usize % n] ^= 1 << (flip % 8);
        }
        let (key, _) = flow::extract(&octets, 1);
        let text = format_key(&key, None, &KeyOptions::default());
        let again = format_key(&parse_key(&text, None).unwrap().0, None, &KeyOptions::default());
        prop_assert_eq!(again, text);
    }

    #[test]
    fn never_panics(text in "[a-z0-9_(),=/.:{}+|%-]{0,80}") {
        let _ = parse_key(&text, None);
        let _ = parse_actions(&text, None);
    }

    #[test]
    fn near_misses_never_panic(line in 0usize..100, at in 0usize..400, with in "[(),=/x0-9a-f]") {
        let table = concat!(include_str!("actions.txt"), include_str!("keys.txt"));
        let line = table.lines().nth(line).unwrap();
        let at = at % line.len();
        let mut text = line.split(" => ").next().unwrap().to_string();
        text.replace_range(at.min(text.len() - 1)..=at.min(text.len() - 1), &with);
        let _ = parse_key(&text, None);
        let _ = parse_actions(&text, None);
    }
}
