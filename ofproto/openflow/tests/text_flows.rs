//! Flows through text, wire and back, as `ovs-ofctl parse-flow` does it: what Open vSwitch 3.1 answers is in
//! `text_flows.txt`, a line `version<TAB>flow` and the lines of the answer behind tabs.

use openflow::action::{Check, Decoding, check_consistency, pull_instructions, put_instructions};
use openflow::flow_mod::{Command, FlowMod, FlowModCommand, parse_flow_mod, write_flow_mod};
use openflow::matching::{Reading, normalize, pull_match, pull_nxm, pull_of10, put_match, put_nxm, put_of10};
use openflow::{Names, OfError, Protocols, Style, Version};

/// Sends a flow-mod's match and actions over the wire in a protocol.
fn through_wire(f: &FlowMod, version: Version, chosen: Protocols) -> Result<FlowMod, OfError> {
    let nxm = Protocols::OF10_NXM_ANY.contains(chosen);
    let (mut matching, mut actions) = (Vec::new(), Vec::new());
    put_instructions(&mut actions, &f.actions, version);
    let mut g = f.clone();
    g.matching = if nxm {
        let len = put_nxm(&mut matching, &f.matching, 0, 0);
        pull_nxm(&matching[..len], Reading::default())?.0
    } else if version == Version::V10 {
        put_of10(&mut matching, &f.matching);
        pull_of10(&matching)
    } else {
        put_match(&mut matching, &f.matching, version);
        pull_match(&mut &matching[..], Reading::default())?
    };
    if !Protocols::NXM_OXM_ANY.contains(chosen) {
        normalize(&mut g.matching);
    }
    if version < Version::V14 {
        g.importance = 0;
    }
    g.actions = pull_instructions(&actions, &Decoding::new(version))?;
    let has_table = Protocols::TABLE_ID.contains(chosen);
    let table = if has_table { g.table } else { 0xff };
    g.actions = check_consistency(g.actions, &g.matching, chosen, &Check { table, ..Check::UNKNOWN })?;
    if !has_table {
        g.table = 0;
    }
    Ok(g)
}

fn answer(version: Version, text: &str) -> Vec<String> {
    let parsed = match parse_flow_mod(text, Command::Mod(FlowModCommand::Add), Names::NONE) {
        Ok(parsed) => parsed,
        Err(e) => return vec![format!("ovs-ofctl: {e}")],
    };
    let usable = format!("usable protocols: {}", parsed.usable);
    let Some(chosen) = (parsed.usable & Protocols::of_version(version)).iter().next() else {
        return vec!["ovs-ofctl: no usable protocol".to_string(), usable];
    };
    let mut f = parsed.flow_mod;
    if f.table == 255 && version != Version::V10 {
        f.table = 0;
    }
    let name = if Protocols::OF10_NXM_ANY.contains(chosen) { "NXT_FLOW_MOD" } else { "OFPT_FLOW_MOD" };
    let of = if version == Version::V10 { String::new() } else { format!(" (OF{})", version.dotted()) };
    let mut line = format!("{name}{of} (xid=0x1):");
    match through_wire(&f, version, chosen) {
        Ok(g) => write_flow_mod(&mut line, &g, &Style::PLAIN, None),
        Err(e) => line += &format!(" ***decode error: {}***", e.code.name()),
    }
    vec![usable, format!("chosen protocol: {chosen}"), line]
}

#[test]
fn as_open_vswitch_answers() {
    let mut lines = include_str!("text_flows.txt").lines().peekable();
    let mut count = 0;
    while let Some(line) = lines.next() {
        let (version, flow) = line.split_once('\t').expect("version and flow");
        let mut expected = Vec::new();
        while let Some(line) = lines.next_if(|line| line.starts_with('\t')) {
            expected.push(line[1..].to_string());
        }
        let version = Version::parse(version).expect("a version");
        let answer: Vec<String> = answer(version, flow).iter().map(|line| line.trim_end().to_string()).collect();
        assert_eq!(answer, expected, "{version} {flow}");
        count += 1;
    }
    assert!(count > 1000, "only {count} flows");
}

#[test]
fn commands_and_their_keywords() {
    let parse = |text: &str, command| parse_flow_mod(text, command, Names::NONE);
    let f = parse("delete_strict table=3,priority=5,cookie=1/2,out_port=LOCAL,out_group=7,ip", Command::Named);
    let f = f.expect("valid").flow_mod;
    assert_eq!((f.command, f.table, f.priority), (FlowModCommand::DeleteStrict, 3, 5));
    assert_eq!((f.cookie, f.cookie_mask, f.out_group), (1, 2, 7));
    let f = parse("modify cookie=1/3,cookie=7,actions=1", Command::Named).expect("valid").flow_mod;
    assert_eq!((f.cookie, f.cookie_mask, f.new_cookie, f.modify_cookie), (1, 3, 7, true));
    let f = parse("actions=1", Command::Mod(FlowModCommand::Modify)).expect("valid").flow_mod;
    assert_eq!((f.new_cookie, f.modify_cookie), (0, false));
    for (text, command, error) in [
        (
            "cookie=5",
            Command::Mod(FlowModCommand::Delete),
            "cannot set cookie (to match on a cookie, specify a mask, e.g. cookie=5/-1)",
        ),
        ("priority=5", Command::Mod(FlowModCommand::Delete), "unknown keyword priority"),
        ("actions=1", Command::Mod(FlowModCommand::Delete), "unknown keyword actions"),
        ("importance=5,actions=", Command::Mod(FlowModCommand::Modify), "unknown keyword importance"),
        ("out_port=foo", Command::Request, "foo is not a valid OpenFlow port"),
        ("out_group=foo", Command::Request, "foo is not a valid OpenFlow group"),
    ] {
        assert_eq!(parse(text, command).map(|p| p.flow_mod), Err(error.to_string()), "{text}");
    }
}
