//! What collectors get, as Open vSwitch 3.1 was seen to send it.

use flow::{Key, extract};

use super::*;

fn config() -> IpfixConfig {
    IpfixConfig {
        to: Arc::from(["127.0.0.1:4739".parse().unwrap()]),
        sampling: 1,
        domain: 7,
        point: 9,
        active_timeout_s: 0,
        max_flows: 0,
        tunnels: true,
        input: true,
        output: true,
        virtual_obs_id: String::new(),
    }
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|o| format!("{o:02x}")).collect()
}

fn octets(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap()).collect()
}

/// Ethernet, IPv4 and what the text has, from 10.0.0.1 to 10.0.0.2.
fn ipv4(tos: u8, proto: u8, rest: &str) -> Vec<u8> {
    let head = "505400000007 505400000005 0800";
    let ip = format!("45{tos:02x}{:04x}0000000040{proto:02x}0000 0a000001 0a000002", 20 + octets(rest).len());
    octets(&format!("{head}{ip}{rest}"))
}

fn tcp() -> Vec<u8> {
    ipv4(5, 6, "0008 0050 00000000 00000000 5002 0000 0000 0000")
}

fn sample<'a>(key: &'a Key, len: usize, output: Option<&'a str>) -> Sample<'a> {
    Sample {
        key,
        len,
        domain: 7,
        point: 9,
        input: Interface { ifindex: 0, name: "p1" },
        output: output.map(|name| Interface { ifindex: 0, name }),
        tunnel: None,
        drops: false,
    }
}

fn told(exporter: &mut Exporter, frame: &[u8], output: Option<&str>, now_ms: i64) -> Vec<Datagram> {
    let (key, _) = extract(frame, 1);
    exporter.sample(&sample(&key, frame.len(), output), now_ms);
    exporter.run(now_ms)
}

#[test]
fn templates_come_first_and_again_after_ten_minutes() {
    let mut exporter = Exporter::new(config(), None, 1);
    let sent = told(&mut exporter, &tcp(), None, 1000);
    assert_eq!(sent.len(), 18 + 2 + 1);
    let lengths: Vec<usize> = sent.iter().map(|d| d.octets.len()).collect();
    assert_eq!(
        lengths,
        [
            1208, 1264, 1104, 1120, 1148, 1284, 1124, 1140, 1156, 1156, 1036, 1180, 1220, 1220, 1076, 1184, 1200, 556,
            34, 32, 311
        ]
    );
    assert_eq!(hex(&sent[0].octets[..24]), "000a04b8000000000000000100000007000204a80100001a");
    assert_eq!(
        hex(&sent[18].octets),
        "000a00220000000000000001000000000003001201ce0002000100900004 00a70008".replace(' ', "")
    );
    assert_eq!(
        hex(&sent[19].octets),
        "000a002000000000000000010000000001ce001000000001 0000000000000000".replace(' ', "")
    );
    assert_eq!(told(&mut exporter, &tcp(), None, 600_999).len(), 1);
    assert_eq!(told(&mut exporter, &tcp(), None, 601_000).len(), 21);
}

#[test]
fn a_packet_is_told_as_it_comes_and_as_it_goes() {
    let mut exporter = Exporter::new(config(), None, 1);
    told(&mut exporter, &tcp(), None, 1000);
    let sent = told(&mut exporter, &tcp(), Some("p2"), 1000);
    let expected = "000a0143 00000000 00000003 00000007 0119 0133\
        00000009 01 505400000005 505400000007 0800 0e 00000000 00000000 027031 00 00000000 00000000 027032 00\
        04 40 06 01 00 05 0a000001 0a000002 0008 0050 00000000 00000000\
        0000000000000000 0000000000000000 0000000000000001 0000000000000002\
        0000000000000001 0000000000000000 0000000000000000 0000000000000001 0000000000000000\
        0000000000000000 0000000000000000 0000000000000036 000000000000006c 02\
        0000000000000000 0000000000000000 0000000000000028 0000000000000050\
        0000000000000640 0000000000000c80 0000000000000028 0000000000000028\
        0000000000000000 0000000000000000\
        0000000000000000 0000000000000000 0000000000000000 0000000000000000 0000000000000002 0000000000000000";
    assert_eq!(hex(&sent[0].octets), hex(&octets(expected)));
    assert_eq!(sent[0].stamp, Stamp::Ipfix { deltas: Some((82, [0, 0])) });
    let stats = exporter.stats();
    assert_eq!((stats.total_flows, stats.pkts, stats.ipv4_pkts, stats.tx_pkts), (2, 2, 2, 22));
}

#[test]
fn a_tunnel_and_an_observation_identifier_are_told() {
    let mut exporter = Exporter::new(IpfixConfig { virtual_obs_id: "hello".into(), ..config() }, None, 1);
    let frame = octets("fe71d883724f beb6f4e1494a 0806 0000");
    let (mut key, _) = extract(&frame, 1);
    key.set_tun_id(0x7b);
    key.set_tun_src(0x0101_025c);
    key.set_tun_dst(0x0101_0258);
    key.set_tun_tp_src(0x15b3);
    key.set_tun_tp_dst(0x12b5);
    let by = Sample { tunnel: Tunnel::of("vxlan"), drops: true, ..sample(&key, 60, None) };
    exporter.sample(&by, 500);
    let sent = exporter.run(500);
    let text = hex(&sent.last().unwrap().octets);
    assert_eq!(&text[32..36], "0102");
    assert!(
        text.contains("0101025c 01010258 11 15b3 12b5 01 03 00007b 05 68656c6c6f".replace(' ', "").as_str()),
        "{text}"
    );
    assert!(text.contains("0000000000000001000000000000000100000000000000010000000000000001"), "dropped: {text}");
    // VMware's element 898 stands before the times.
    assert!(hex(&sent[0].octets).contains("8382ffff00001adc009e0004"));
    assert_eq!(Tunnel::of("gtpu"), None);
}

#[test]
fn packets_gather_until_time_or_room_is_over() {
    let mut exporter = Exporter::new(IpfixConfig { active_timeout_s: 10, max_flows: 2, ..config() }, Some(5), 1);
    let udp = ipv4(0, 17, "0008000300080000");
    let igmp = ipv4(0, 2, "1100000000000000");
    assert!(told(&mut exporter, &tcp(), None, 1000).is_empty());
    assert!(told(&mut exporter, &tcp(), None, 3000).is_empty());
    assert!(told(&mut exporter, &udp, None, 4000).is_empty());
    let stats = exporter.stats();
    assert_eq!((stats.total_flows, stats.current_flows, stats.collector_set_id), (2, 2, 5));
    // There is no room for a third: the oldest goes, for lack of resources.
    let sent = told(&mut exporter, &igmp, None, 5000);
    let record = sent.last().unwrap();
    assert_eq!(record.octets[16..18], [1, 24]);
    let Stamp::Ipfix { deltas: Some((at, ages_us)) } = record.stamp else { panic!("{:?}", record.stamp) };
    assert_eq!(ages_us, [4_000_000, 2_000_000]);
    let why = at + 8 + 13 * 8;
    assert_eq!(record.octets[why], 5);
    let packets = |record: &Datagram| {
        let Stamp::Ipfix { deltas: Some((at, _)) } = record.stamp else { panic!("{:?}", record.stamp) };
        hex(&record.octets[at + 24..at + 40])
    };
    assert_eq!(packets(record), "00000000000000020000000000000002", "packets, and all when its last came");
    assert_eq!(exporter.poll_timeout(), 14_000);
    assert!(exporter.run(13_999).is_empty());
    let sent = exporter.run(14_000);
    assert_eq!((sent.len(), sent[0].octets[why]), (1, 2));
    assert_eq!(packets(&sent[0]), "00000000000000010000000000000003", "not the one that came later");
    let sent = exporter.end(14_500);
    assert_eq!(sent.len(), 1);
    assert_eq!(packets(&sent[0]), "00000000000000010000000000000004");
    assert_eq!(sent[0].from, Some(Some(5)));
}

#[test]
fn failures_and_unknown_protocols_are_counted() {
    let mut exporter = Exporter::new(config(), None, 1);
    told(&mut exporter, &ipv4(0, 2, "1100000000000000"), None, 1000);
    told(&mut exporter, &octets("fe71d883724f beb6f4e1494a 0806 0000"), None, 1000);
    exporter.failed(3);
    let stats = exporter.stats();
    assert_eq!((stats.pkts, stats.error_pkts, stats.ipv4_error_pkts), (2, 1, 1));
    assert_eq!((stats.tx_pkts, stats.tx_errors), (19, 3));
}
