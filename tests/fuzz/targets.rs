//! The fuzz targets: each takes any octets from outside and must neither panic nor hang nor disagree with itself.
//! cargo-fuzz runs them by coverage; the test bench runs the same functions on mutations of the codecs' own tables.

use flow::odp_text::{KeyOptions, format_actions, format_key, parse_actions as parse_odp, parse_key};
use flow::{compose, extract};
use l2proto::bfd::control;
use l2proto::cfm::ccm;
use l2proto::{lacp, lldp, membership, rstp, stp};
use openflow::flow_mod::{Command, format_match, parse_flow_mod, parse_stats_request};
use openflow::message::{decode, encode};
use openflow::names::{Names, Style};
use ovsdb::log::{Faults, MemoryStorage, Reader, open_database};
use ovsdb::{Database, Datum, UuidSource};
use std::sync::{Arc, OnceLock};

/// A target by its name.
pub type Target = fn(&[u8]);

/// All targets.
pub const TARGETS: [(&str, Target); 12] = [
    ("packet_extract", packet_extract),
    ("control_frames", control_frames),
    ("key_text", key_text),
    ("odp_actions_text", odp_actions_text),
    ("openflow_decode", openflow_decode),
    ("ofp_print", ofp_print),
    ("flow_text", flow_text),
    ("action_text", action_text),
    ("json_framing", json_framing),
    ("ovsdb_transact", ovsdb_transact),
    ("ovsdb_log", ovsdb_log),
    ("value_text", value_text),
];

/// A frame's key, with no more layers than octets; what is composed from the key has the same key's headers.
pub fn packet_extract(data: &[u8]) {
    let (key, layers) = extract(data, 1);
    assert_eq!((key.clone(), layers), extract(data, 1));
    let text = format_key(&key, None, &KeyOptions::default());
    assert!(!text.is_empty());
    let _ = compose(&key, flow::Payload::default());
    // The kernel's fast path takes whole packets; what pads them is nothing to it.
    for breadth in [ebpf::Breadth::Wide, ebpf::Breadth::Exact] {
        if let Some(short) = ebpf::FlowKey::of_frame(1, data, breadth) {
            assert_eq!(ebpf::FlowKey::of_frame(1, &[data, &[0]].concat(), breadth), Some(short));
        }
    }
}

/// Frames' payloads of the protocols that ports speak among themselves; what parses is written as it was read.
pub fn control_frames(data: &[u8]) {
    let Some((kind, data)) = data.split_first() else { return };
    match kind % 8 {
        0 => {
            if let Some(pdu) = lacp::Pdu::parse(data) {
                assert_eq!(lacp::Pdu::parse(&pdu.emit()), Some(pdu));
            }
        }
        1 => {
            if let Some(ccm::Heard::Ours(message)) = ccm::Ccm::parse(data) {
                assert_eq!(ccm::Ccm::parse(&message.emit()), Some(ccm::Heard::Ours(message)));
            }
        }
        2 => {
            let _ = control::of_frame(data);
            if let Some(packet) = control::Control::parse(data) {
                assert!(control::Control::parse(&packet.emit()).is_some());
            }
        }
        3 => {
            if let Some(bpdu) = stp::bpdu::Bpdu::parse(data) {
                assert!(stp::bpdu::Bpdu::parse(&bpdu.emit()).is_some());
            }
        }
        4 => {
            if let Some(bpdu) = rstp::bpdu::Bpdu::parse(data) {
                assert!(rstp::bpdu::Bpdu::parse(&bpdu.emit()).is_some());
            }
        }
        5 => {
            let mut port = lldp::Lldp::new(lldp::Settings::default(), 0);
            port.hear(data);
            assert_eq!(port.counters().received, 1);
        }
        6 => {
            let mut message = data.to_vec();
            if let Ok(mut view) = packet::igmp::Packet::new(&mut message[..]) {
                view.fill_csum();
            }
            let joined = membership::read_igmp(&message, 1).unwrap_or_default();
            assert!(joined.len() <= data.len());
        }
        _ => {
            let mut message = data.to_vec();
            if let Ok(mut view) = packet::icmpv6::Packet::new(&mut message[..]) {
                view.fill_csum(1, 2);
            }
            let joined = membership::read_mld(&message, 1, 2).unwrap_or_default();
            assert!(joined.len() <= data.len());
        }
    }
}

/// A datapath key as text: what parses prints, and what was printed parses to the same.
pub fn key_text(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok((key, mask)) = parse_key(text, None) else { return };
    let _ = format_key(&key, Some(&mask), &KeyOptions::default());
    let _ = format_key(&key, None, &KeyOptions { verbose: true, ports: None });
}

/// Datapath actions as text: printing what was parsed is stable.
pub fn odp_actions_text(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(actions) = parse_odp(text, None) else { return };
    let once = format_actions(&actions, None);
    if let Ok(again) = parse_odp(&once, None) {
        assert_eq!(format_actions(&again, None), once, "from {text:?}");
    }
}

/// An OpenFlow message: what decodes encodes, and its encoding is stable.
pub fn openflow_decode(data: &[u8]) {
    let Ok(message) = decode(data) else { return };
    let Ok(once) = encode(&message.body, message.version, message.xid) else { return };
    // A hello of a version to come is read as far as it can be, and answered in a version that is known.
    if !(1..=6).contains(&data[0]) {
        return;
    }
    // What a lax reader took in may be more than a message can hold, or be refused when it is written strictly.
    let Ok(again) = decode(&once) else { return };
    if let Ok(twice) = encode(&again.body, again.version, again.xid) {
        assert_eq!(twice, once, "written again, read again, written a third time it changed: {again:?}");
    }
}

/// Any octets as `ofp-print` shows them.
pub fn ofp_print(data: &[u8]) {
    for verbosity in [0, 2] {
        let text = openflow::print::message(
            data,
            &openflow::print::Options { verbosity, style: Style::default(), notes: None },
        );
        assert!(text.ends_with('\n'));
    }
}

/// Flow text as `add-flow` and `dump-flows` take it.
pub fn flow_text(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = parse_stats_request(text, false, Names::NONE);
    let Ok(parsed) = parse_flow_mod(text, Command::Named, Names::NONE) else { return };
    let shown = format_match(&parsed.flow_mod.matching, None, &Style::default());
    if let Ok(again) = parse_flow_mod(&format!("{shown} actions=drop"), Command::Named, Names::NONE) {
        assert_eq!(format_match(&again.flow_mod.matching, None, &Style::default()), shown, "from {text:?}");
    }
}

/// Actions as text: printing what was parsed is stable. But for NSH options: as Open vSwitch does, their values are
/// written without leading zeros and their digits read in pairs, so that an odd one is lost.
pub fn action_text(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok((actions, _)) = openflow::action::parse_instructions(text, Names::NONE) else { return };
    let once = openflow::action::format(&actions, &Style::default());
    let has_nsh_option = once.contains("tlv(");
    if !has_nsh_option && let Ok((again, _)) = openflow::action::parse_instructions(&once, Names::NONE) {
        assert_eq!(openflow::action::format(&again, &Style::default()), once, "from {text:?}");
    }
}

/// A stream of JSON values gives the same whether it comes at once or by the octet.
pub fn json_framing(data: &[u8]) {
    let mut whole = jsonrpc::Scanner::new(jsonrpc::Limits::default());
    whole.feed(data);
    let mut bytes = jsonrpc::Scanner::new(jsonrpc::Limits::default());
    let mut by_octet = Vec::new();
    'feed: for octet in data {
        bytes.feed(&[*octet]);
        loop {
            match bytes.next_value() {
                Ok(Some(value)) => by_octet.push(value),
                Ok(None) => break,
                Err(_) => break 'feed,
            }
        }
    }
    let mut at_once = Vec::new();
    while let Ok(Some(value)) = whole.next_value() {
        let _ = jsonrpc::Message::from_json(value.clone()).map(|message| message.to_text());
        at_once.push(value);
    }
    assert_eq!(at_once, by_octet);
}

fn fresh() -> Database {
    static SCHEMA: OnceLock<Arc<ovsdb::DatabaseSchema>> = OnceLock::new();
    let schema = SCHEMA.get_or_init(|| Arc::new(ovsdb::vswitch::vswitch_schema()));
    Database::new(schema.clone())
}

/// A transaction's operations on an empty switch database.
pub fn ovsdb_transact(data: &[u8]) {
    let Ok(value) = jsonrpc::parse_value(data, jsonrpc::Limits::default()) else { return };
    let Some(ops) = value.as_array() else { return };
    let mut db = fresh();
    let (results, commit) = ovsdb::execute::transact(&mut db, ops, &mut UuidSource::new(1));
    assert!(results.starts_with('['));
    if let Some(commit) = commit {
        db.apply(&commit, UuidSource::new(2).next_uuid());
    }
}

/// A log file's records, and a database from them.
pub fn ovsdb_log(data: &[u8]) {
    let mut reader = Reader::new(data, "log");
    let mut records = 0;
    while let Ok(Some(_)) = reader.next_record() {
        records += 1;
        assert!(records <= data.len());
    }
    for faults in [Faults::End, Faults::PassOver] {
        let _ = open_database(Box::new(MemoryStorage::new(data.to_vec())), faults, &mut UuidSource::new(3));
    }
}

/// A value as `ovs-vsctl set` takes it, for every column of the switch's schema.
pub fn value_text(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let db = fresh();
    for table in db.tables() {
        for column in &table.schema.columns {
            let _ = Datum::parse_cli(text, &column.ty, None);
        }
    }
}
