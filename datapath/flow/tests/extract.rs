//! Extraction against the text that Open vSwitch 3.1 shows of the same packets (`extract.txt`: octets, then flow), and
//! the malformed packets that have been security holes elsewhere.

use flow::match_text::{Options, format_flow};
use flow::{Key, Layers, Mask, extract};
use proptest::prelude::*;

fn octets(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap()).collect()
}

#[test]
fn same_flows_as_open_vswitch() {
    let table = include_str!("extract.txt");
    assert!(table.lines().count() > 200);
    for line in table.lines() {
        let (hex, expected) = line.split_once(' ').unwrap();
        let (key, _) = extract(&octets(hex), u32::MAX);
        assert_eq!(format_flow(&key, &Options::default()), expected, "{hex}");
    }
}

const ETH_IPV6: &str = "00000000000200000000000186dd";
const ADDRESSES: &str = "00000000000000000000000000000001000000000000000000000000000000ff";

/// A neighbor solicitation with a source link-layer address, and this code.
fn nd(code: &str) -> Vec<u8> {
    let body = "00000000000000000000000000000000000000000000abcd0101020304050607";
    octets(&format!("{ETH_IPV6}6000000000203aff{ADDRESSES}87{code}{}", &body[4..]))
}

#[test]
fn nd_fields_exist_only_with_code_0() {
    let (key, _) = extract(&nd("00"), 1);
    assert_eq!((key.arp_sha(), key.tcp_flags()), (0x0203_0405_0607, 1));
    assert!(key.is_nd());
    // With another code none of the fields may be read, so that no mask ever needs more than type and code.
    let (key, _) = extract(&nd("01"), 1);
    assert_eq!((key.nd_target(), key.arp_sha(), key.arp_tha(), key.tcp_flags(), key.igmp_group()), (0, 0, 0, 0, 0));
    assert_eq!((key.tp_src(), key.tp_dst()), (135, 1));
    assert!(!key.is_nd() && Mask::for_packet(&key).nd_target() == 0);
}

#[test]
fn protocol_0_is_a_protocol() {
    // IPv4 with protocol 0: addresses, TTL and the rest are there.
    let packet = octets("000000000002000000000001080045000014000100004000000001020304050607080000");
    let (key, layers) = extract(&packet, 1);
    assert_eq!((key.nw_proto(), key.nw_ttl(), key.nw_src()), (0, 64, 0x0102_0304));
    assert_eq!((layers.l4, layers.l2_pad), (34, 2));
    assert_eq!(Mask::for_packet(&key).nw_proto(), 0xff);
}

#[test]
fn label_stack_deeper_than_the_key() {
    let packet = octets("000000000002000000000001884700010040000200400003004000040140450000");
    let (key, layers) = extract(&packet, 1);
    assert_eq!((key.mpls_lse0(), key.mpls_lse1(), key.mpls_lse2()), (0x1_0040, 0x2_0040, 0x3_0040));
    assert_eq!((layers.l2_5, layers.l3, layers.l4), (14, 30, Layers::NONE));
}

#[test]
fn padding_is_not_parsed() {
    // A 20-octet IP datagram in a 60-octet frame: no TCP header, however much padding follows.
    let mut packet = octets("00000000000200000000000108004500001400010000400600000102030405060708");
    packet.resize(60, 0x50);
    let (key, layers) = extract(&packet, 1);
    assert_eq!((key.tp_src(), key.tp_dst(), key.tcp_flags()), (0, 0, 0));
    assert_eq!(layers.l2_pad, 26);
    let mut packet = octets(&format!("{ETH_IPV6}600000000000063f{ADDRESSES}"));
    packet.resize(100, 0x50);
    let (key, layers) = extract(&packet, 1);
    assert_eq!((key.nw_proto(), key.tp_src()), (6, 0));
    assert_eq!(layers.l2_pad, 46);
}

#[test]
fn total_length_below_the_header() {
    for total in ["0000", "0013", "ffff"] {
        let packet = octets(&format!("00000000000200000000000108004500{total}0001000040110000010203040506070800"));
        let (key, layers) = extract(&packet, 1);
        assert_eq!((key.dl_type(), key.nw_src(), key.nw_ttl()), (0x0800, 0, 0));
        assert_eq!((layers.l4, layers.l2_pad), (Layers::NONE, 0));
    }
}

#[test]
fn tags_beyond_the_limit_are_a_type() {
    let packet = octets("000000000002000000000001810000058100000688a80007080045");
    let mut key = Key::EMPTY;
    flow::extract_into(&mut key, &packet, 1);
    assert_eq!((key.vlan_tci(), key.vlan2_tci(), key.dl_type()), (0x1005, 0, 0x8100));
    let (key, _) = extract(&packet, 1);
    assert_eq!((key.vlan_tci(), key.vlan2_tci(), key.dl_type()), (0x1005, 0x1006, 0x88a8));
}

#[test]
fn original_tuple_of_the_other_version_is_forgotten() {
    let mut metadata = Key::EMPTY;
    metadata.set_ct_state(flow::ct_state::TRK);
    metadata.set_ct_nw_proto(6);
    metadata.set_ct_nw_src(7);
    metadata.set_ct_tp_src(8);
    let v4 = octets("00000000000200000000000108004500001400010000401100000102030405060708");
    let (key, _) = flow::extract_with(&v4, &metadata, 2);
    assert_eq!((key.ct_nw_proto(), key.ct_nw_src(), key.ct_tp_src()), (6, 7, 8));
    let (key, _) = flow::extract_with(&nd("00"), &metadata, 2);
    assert_eq!((key.ct_state(), key.ct_nw_proto(), key.ct_nw_src(), key.ct_tp_src()), (flow::ct_state::TRK, 0, 0, 0));
}

proptest! {
    #[test]
    fn never_panics(packet in proptest::collection::vec(any::<u8>(), 0..200), packet_type in any::<u32>()) {
        let mut metadata = Key::EMPTY;
        metadata.set_packet_type(packet_type & 0x1_ffff);
        let (key, layers) = flow::extract_with(&packet, &metadata, 2);
        prop_assert!(layers.l3 == Layers::NONE || usize::from(layers.l3) <= packet.len());
        prop_assert!(layers.l4 == Layers::NONE || usize::from(layers.l4) <= packet.len());
        let _ = format_flow(&key, &Options::default());
    }

    /// Octets beyond what the walk consumed do not matter.
    #[test]
    fn never_reads_padding(tail in proptest::collection::vec(any::<u8>(), 0..64)) {
        for line in include_str!("extract.txt").lines().step_by(7) {
            let packet = octets(line.split_once(' ').unwrap().0);
            let (key, layers) = extract(&packet, 1);
            if layers.l4 != Layers::NONE {
                let padded = [&packet[..], &tail].concat();
                prop_assert_eq!(extract(&padded, 1).0, key);
            }
        }
    }
}
