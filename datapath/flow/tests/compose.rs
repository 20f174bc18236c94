//! Composed packets against those of Open vSwitch 3.1: `ovs-ofctl compose-packet`, `netdev-dummy/receive`.

use flow::odp_text::parse_key;
use flow::{Payload, compose, compose_len, extract};
use proptest::prelude::*;

const HEAD: &str = "in_port(4),eth(src=50:54:00:00:00:01,dst=50:54:00:00:00:02)";

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|o| format!("{o:02x}")).collect()
}

#[test]
fn as_dummy_ports_compose() {
    let v4 = "ipv4(src=10.0.0.1,dst=10.0.0.2,proto=17,tos=0,ttl=64,frag=no),udp(src=1,dst=2)";
    for (key, len, expected) in [
        (
            "eth_type(0x0800),ipv4(src=10.0.0.1,dst=10.0.0.2,proto=6,tos=0,ttl=64,frag=no),tcp(src=1,dst=2),tcp_flags(syn)",
            80,
            "50540000000250540000000108004500004200000000400666b40a0000010a000002000100020000000000000000500200009bc3",
        ),
        (
            &format!("eth_type(0x0800),{v4}"),
            80,
            "50540000000250540000000108004500004200000000401166a90a0000010a000002000100020054eb66",
        ),
        (
            "eth_type(0x86dd),ipv6(src=::1,dst=::2,proto=17,frag=no),udp(src=5,dst=6)",
            90,
            "50540000000250540000000186dd6000000000241100000000000000000000000000000000010000000000000000000000000000\
             0002000500060040ff7c",
        ),
        (
            "eth_type(0x86dd),ipv6(src=::1,dst=::2,proto=58,frag=no),icmpv6(type=128,code=0)",
            90,
            "50540000000250540000000186dd6000000000243a00000000000000000000000000000000010000000000000000000000000000\
             000280007f9e",
        ),
        (
            "eth_type(0x8100),vlan(vid=5,pcp=3),encap(eth_type(0x0800),\
             ipv4(src=10.0.0.1,dst=10.0.0.2,proto=1,tos=0,ttl=64,frag=no),icmp(type=8,code=0))",
            64,
            "5054000000025054000000018100600508004500002e00000000400166cd0a0000010a0000020800f7ff",
        ),
        (
            "eth_type(0x0800),ipv4(src=10.0.0.1,dst=10.0.0.2,proto=17,tos=0,ttl=64,frag=first),udp(src=1,dst=2)",
            64,
            "50540000000250540000000108004500003200002000401146b90a0000010a000002000100020034eb96",
        ),
        (
            "eth_type(0x0800),ipv4(src=10.0.0.1,dst=10.0.0.2,proto=17,tos=0,ttl=64,frag=later)",
            64,
            "50540000000250540000000108004500003200002064401146550a0000010a000002",
        ),
        ("eth_type(0/0xffff)", 64, "5054000000025054000000010040"),
        ("eth_type(0x1234)", 64, "5054000000025054000000011234"),
        ("eth_type(0x8847),mpls(label=5,tc=0,ttl=3,bos=1)", 64, "50540000000250540000000188470000510300"),
    ] {
        let (key, _) = parse_key(&format!("{HEAD},{key}"), None).unwrap();
        let packet = compose_len(&key, len).unwrap();
        assert_eq!(packet.len(), len);
        assert_eq!(hex(packet.data()), format!("{expected:0<width$}", width = len * 2));
    }
    let (key, _) = parse_key(&format!("{HEAD},eth_type(0x0800),{v4}"), None).unwrap();
    assert_eq!(compose_len(&key, 20), None);
}

#[test]
fn default_payload() {
    let (key, _) = parse_key("eth(),eth_type(0x0800),ipv4(proto=17,frag=no),udp(src=0,dst=0)", None).unwrap();
    let packet = compose(&key, Payload::default());
    assert_eq!(packet.len(), 14 + 20 + 8 + 64);
    assert_eq!(hex(&packet.data()[24..26]), "ba92");
    assert_eq!(hex(&packet.data()[38..46]), "00481b5b00010203");
    let packet = compose(&key, Payload::Octets(&[]));
    assert_eq!(hex(&packet.data()[38..]), "0008ffde");
}

proptest! {
    /// What extraction sees in a composed packet is the key it was composed from.
    #[test]
    fn extracts_to_the_same_key(line in 0usize..300, payload in 0usize..100) {
        let hex = include_str!("extract.txt").lines().nth(line).unwrap().split_once(' ').unwrap().0;
        let octets: Vec<u8> =
            (0..hex.len() / 2).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap()).collect();
        let (mut key, _) = extract(&octets, 1);
        let has_extensions = key.dl_type() == 0x86dd && key.nw_frag() != 0;
        // A type that is a protocol cut short says more than the packet that would be composed.
        let is_whole = key.nw_ttl() != 0 && matches!(key.dl_type(), 0x0800 | 0x86dd);
        let chain = matches!(key.nw_proto(), 0 | 43 | 44 | 51 | 60) && key.dl_type() == 0x86dd;
        let tags = key.vlan_tci() != 0 && matches!(key.dl_type(), 0x8100 | 0x88a8);
        prop_assume!(is_whole && !has_extensions && !chain && !tags);
        let (again, _) = extract(compose(&key, Payload::Counting(payload)).data(), 1);
        if key.nw_proto() == 58 && key.is_nd() {
            // The option type is that of the first option there is.
            key.set_tcp_flags(again.tcp_flags());
        }
        prop_assert_eq!(again, key);
    }
}
