//! Fields, matches and packets as text, against what Open vSwitch 3.1's tools take and show.

use flow::field::{Field, TunTable, Value, text};
use flow::match_text::{Options, format, packet_line, parse_field};
use flow::{Key, Mask};
use proptest::prelude::*;

fn parse(field: &str, value: &str) -> Result<String, String> {
    let field = Field::by_name(field).unwrap();
    let (value, mask) = text::parse(field, value, None)?;
    Ok(text::format(field, &value, Some(&mask), None))
}

#[test]
fn values() {
    for (field, value, expected) in [
        ("reg0", "0", Ok("0")),
        ("reg0", "0x", Ok("0")),
        ("reg0", "010", Ok("0x8")),
        ("reg0", "5/7", Ok("0x5/0x7")),
        ("reg0", "*", Ok("ANY")),
        ("reg0", "x", Err("x: bad syntax for reg0 value")),
        ("reg0", "1/y", Err("1/y: bad syntax for reg0 mask")),
        ("reg0", "0x123456789", Err("0x123456789: value too large for 4-byte field reg0")),
        ("reg0", "-1", Err("-1: value too large for 4-byte field reg0")),
        ("ct_label", "0x112233445566778899aabbccddeeff00", Ok("0x112233445566778899aabbccddeeff00")),
        ("nw_src", "1.2.3.4/33", Err("1.2.3.4/33: IPv4 network prefix bits not between 0 and 32, inclusive")),
        ("nw_src", "1.2.3", Err("1.2.3: invalid IP address")),
        ("nw_src", "1.2.3.4x", Err("1.2.3.4x: invalid IP address")),
        ("nw_src", "1.2.3.4/255.0.255.0", Ok("1.2.3.4/255.0.255.0")),
        ("nw_src", "1.2.3.4/24", Ok("1.2.3.4/24")),
        (
            "ipv6_src",
            "1::/1236:10e8::",
            Err("1::/1236:10e8::: IPv6 network prefix bits not between 0 and 128, inclusive"),
        ),
        ("ipv6_src", "::1/129", Err("::1/129: IPv6 network prefix bits not between 0 and 128, inclusive")),
        ("ipv6_src", "zz", Err("zz: invalid IPv6 address")),
        ("ipv6_src", "::1/ffff:*", Err("::1/ffff:*: Invalid IPv6 mask")),
        ("ipv6_src", "::1/ffff::ff", Ok("::1/ffff::ff")),
        ("dl_src", "1:2:3:4:5:6", Ok("01:02:03:04:05:06")),
        ("dl_src", "1:2:3:4:5", Err("1:2:3:4:5: invalid Ethernet address")),
        ("dl_src", "1:2:3:4:5:6/ff:0:0:0:0:0", Ok("01:02:03:04:05:06/ff:00:00:00:00:00")),
        ("dl_type", "0x800/0xff", Err("0x800/0xff: invalid mask for field eth_type")),
        ("dl_vlan", "3/3", Err("3/3: invalid mask for field dl_vlan")),
        (
            "ip_frag",
            "maybe",
            Err("maybe: unknown fragment type (valid types are \"no\", \"yes\", \"first\", \"later\", \"not_later\""),
        ),
        ("ip_frag", "not_later", Ok("not_later")),
        ("ip_frag", "first", Ok("first")),
        ("in_port", "70000", Err("70000: invalid or unknown port for in_port")),
        ("in_port", "foo", Err("foo: invalid or unknown port for in_port")),
        ("in_port", "4294967294", Ok("LOCAL")),
        ("in_port", "local", Ok("LOCAL")),
        ("in_port", "65280", Ok("65280")),
        ("in_port_oxm", "IN_PORT", Ok("IN_PORT")),
        ("tcp_flags", "+syn-ack", Ok("+syn-ack")),
        ("tcp_flags", "syn|ack", Ok("syn|ack")),
        ("tcp_flags", "0x2/0xfff", Ok("syn")),
        ("tcp_flags", "0x2/0x3", Ok("-fin+syn")),
        ("tcp_flags", "+bad", Err("bad: unknown TCP flag(s)")),
        ("tcp_flags", "0x1fff", Err("0x1fff: unknown TCP flag(s)")),
        ("ct_state", "+trk+est", Ok("+est+trk")),
        ("ct_state", "0x20/0x20", Ok("+trk")),
        ("ct_state", "+bad", Err("bad: unknown ct_state flag(s)")),
        ("ct_state", "0x120/0x120", Err("0x120/0x120: unknown ct_state flag(s)")),
        ("tun_flags", "+df", Err("df: unknown tunnel flag(s)")),
        ("packet_type", "(1,0x800)", Ok("(1,0x800)")),
        ("packet_type", "0", Err("0: bad syntax for packet type missing '('")),
        ("packet_type", "(1,2", Err("2: bad syntax for packet type missing ')'")),
    ] {
        let expected = expected.map(String::from).map_err(String::from);
        assert_eq!(parse(field, value), expected, "{field}={value}");
    }
}

fn constrain(fields: &str) -> String {
    let (mut key, mut mask) = (Key::EMPTY, Mask::EMPTY);
    let mut table = TunTable::default();
    table.reserve(0, 4, false).unwrap();
    for part in fields.split_whitespace() {
        let (name, value) = part.split_once('=').unwrap();
        parse_field(Field::by_name(name).unwrap(), value, None, &mut key, &mut mask, &table).unwrap();
    }
    format(&key, &mask, &Options { priority: Some(7), tun: Some(&table), ..Default::default() })
}

#[test]
fn matches() {
    for (fields, expected) in [
        ("vlan_vid=0x1003/0x1003", "vlan_tci=0x1003/0x1003"),
        ("dl_vlan=65535", "vlan_tci=0x0000"),
        ("dl_vlan=5 dl_vlan_pcp=3", "dl_vlan=5,dl_vlan_pcp=3"),
        ("vlan_tci=0x1003", "dl_vlan=3,dl_vlan_pcp=0"),
        ("vlan_tci=0x1003/0x1fff", "dl_vlan=3"),
        ("vlan_tci=0x1000/0x1000", "vlan_tci=0x1000/0x1000"),
        ("vlan_tci=0xf000/0xf000", "dl_vlan_pcp=7"),
        ("vlan_tci=0x7005/0xf0ff", "vlan_tci=0x7005/0xf0ff"),
        ("tun_gbp_id=5/7", "tun_gbp_id=0x5/0x7"),
        ("tun_id=5/7 tun_metadata0=0x1234", "tun_id=0x5/0x7,tun_metadata0=0x1234"),
        ("dl_type=0x800 nw_proto=6 tp_src=4/4 tp_dst=5", "tcp,tp_src=0x4/0x4,tp_dst=5"),
        ("dl_type=0x86dd ipv6_label=5/7", "ipv6,ipv6_label=0x00005/0x00007"),
        (
            "dl_type=0x8847 mpls_label=4 mpls_tc=2 mpls_bos=1 mpls_ttl=4",
            "mpls,mpls_label=4,mpls_tc=2,mpls_ttl=4,mpls_bos=1",
        ),
        ("dl_type=0x800 nw_tos=32 nw_ecn=3 nw_ttl=4", "ip,nw_tos=32,nw_ecn=3,nw_ttl=4"),
        ("dl_type=0x894f nsh_spi=0x123", "dl_type=0x894f,nsh_spi=0x123"),
        ("xreg1=0x500000000 xxreg3=0x1/0x1", "reg2=0x5,reg3=0,reg15=0x1/0x1"),
        ("packet_type=(1,0x86dd) ipv6_src=::1", "packet_type=(1,0x86dd),ipv6_src=::1"),
        ("conj_id=5 pkt_mark=3/3 recirc_id=4", "pkt_mark=0x3/0x3,recirc_id=0x4,conj_id=5"),
        ("ct_state=+trk-new ct_label=5/7 ct_zone=4", "ct_state=-new+trk,ct_zone=4,ct_label=0x5/0x7"),
        ("in_port=LOCAL actset_output=4", "actset_output=4,in_port=LOCAL"),
        ("dl_type=0x800 nw_src=1.2.3.4/0.255.0.255", "ip,nw_src=0.2.0.4/0.255.0.255"),
    ] {
        assert_eq!(constrain(fields).replace("priority=7,", ""), expected, "{fields}");
    }
}

#[test]
fn packets() {
    let tcp =
        "50540000000250540000000108004500002800000000400666ce0a0000010a000002000100020000000000000000300200009bdd0000";
    let octets: Vec<u8> = (0..tcp.len() / 2).map(|i| u8::from_str_radix(&tcp[2 * i..2 * i + 2], 16).unwrap()).collect();
    assert_eq!(
        packet_line(&octets, 0),
        "tcp,vlan_tci=0x0000,dl_src=50:54:00:00:00:01,dl_dst=50:54:00:00:00:02,nw_src=10.0.0.1,nw_dst=10.0.0.2,\
         nw_tos=0,nw_ecn=0,nw_ttl=64,nw_frag=no,tp_src=0,tp_dst=0,tcp_flags=0 tcp_csum:9bdd\n"
    );
    assert_eq!(
        packet_line(&[], 0),
        "vlan_tci=0x0000,dl_src=00:00:00:00:00:00,dl_dst=00:00:00:00:00:00,dl_type=0x0000\n"
    );
}

#[test]
fn tunnel_options_share_the_space() {
    let mut table = TunTable::default();
    table.map(3, 0xffff, 1, 124).unwrap();
    table.map(4, 0xffff, 2, 124).unwrap();
    assert!(table.map(5, 0xffff, 2, 4).is_err());
    table.map(5, 0xffff, 3, 8).unwrap();
    assert!(table.map(6, 0xffff, 4, 4).is_err());
    table.unmap(3);
    table.map(6, 0xffff, 4, 4).unwrap();
    let mut key = Key::EMPTY;
    let field = Field::TunMetadata(6);
    field.set_in(&mut key, &Value::from_slice(&[1, 2, 3, 4]), &table);
    Field::TunMetadata(5).set_in(&mut key, &Value::from_slice(&[9]), &table);
    assert_eq!(field.get_in(&key, &table).0[..], [1, 2, 3, 4]);
    assert_eq!(Field::TunMetadata(5).get_in(&key, &table).0[..], [0, 0, 0, 0, 0, 0, 0, 9]);
    assert_eq!(key.tun_metadata_present(), 1 << 5 | 1 << 6);
}

#[test]
fn tunnel_options_change_form() {
    let mut table = TunTable::default();
    table.map(0, 0xffff, 1, 4).unwrap();
    table.map(7, 0x102, 0x80, 8).unwrap();
    let mut key = Key::EMPTY;
    Field::TunMetadata(7).set_in(&mut key, &Value::from_slice(&[1, 2, 3, 4, 5, 6, 7, 8]), &table);
    let before = key.clone();
    table.to_datapath(&mut key);
    assert_eq!(TunTable::wire_options(&key), [1, 2, 0x80, 2, 1, 2, 3, 4, 5, 6, 7, 8]);
    let mut mask = Mask::EMPTY;
    Field::TunMetadata(7).set_mask_in(&mut mask, &Value::from_slice(&[0xff]), &table);
    let wire = table.mask_to_datapath(&mask, &key);
    let words = &wire.0[flow::key::TUN_METADATA_WORD..];
    assert_eq!((words[0], words[1], words[2]), (0xffff_ffff_0000_0000, 0xff_0000_0000, 0));
    table.from_datapath(&mut key);
    assert_eq!(key, before);
}

proptest! {
    /// A value under a mask reads back from its text.
    #[test]
    fn round_trip(i in 0usize..Field::COUNT, number in any::<u128>(), mask in any::<u128>(), exact in any::<bool>()) {
        let field = flow::field::ALL[i];
        let meta = field.meta();
        prop_assume!(!matches!(field, Field::TunMetadata(_)));
        let n = usize::from(meta.n_bytes);
        // A connection's state has no more than eight bits with names.
        let bits = Value::ones(n, if field == Field::CtState { 8 } else { meta.n_bits.into() });
        let value = Value::from_u128(number, n).and(&bits);
        let mask = if exact || !meta.maskable { Value::ones(n, n * 8) } else { Value::from_u128(mask, n).and(&bits) };
        let value = match field {
            Field::InPort | Field::InPortOxm | Field::ActsetOutput => Value::from_u128(number & 0x7fff, n),
            Field::CtState => Value::from_u128(number & 0xff, n),
            Field::IpFrag => Value::from_u128([0, 1, 3][(number % 3) as usize], n),
            _ => value,
        };
        let mask = match field {
            Field::CtState => Value::from_u128(mask.to_u128() & 0xff, n),
            Field::IpFrag => Value::ones(n, 8),
            _ => mask,
        };
        prop_assume!(!mask.is_zero());
        let value = value.and(&mask);
        let text = text::format(field, &value, Some(&mask), None);
        // Where a mask starts with a decimal digit a number of bits is read.
        let digit_first = text.split_once('/').is_some_and(|(_, m)| m.contains(':') && m.starts_with(|c: char| c.is_ascii_digit()));
        prop_assume!(!(digit_first && matches!(meta.format, flow::field::Format::Ipv6)));
        let (again, again_mask) = text::parse(field, &text, None).map_err(TestCaseError::fail)?;
        prop_assert_eq!(again.and(&again_mask).and(&bits), value, "{}", &text);
        prop_assert_eq!(again_mask.and(&bits), mask.and(&bits), "{}", &text);
    }

    #[test]
    fn never_panics(i in 0usize..Field::COUNT, s in "[ -~]{0,40}") {
        let _ = text::parse(flow::field::ALL[i], &s, None);
    }
}
