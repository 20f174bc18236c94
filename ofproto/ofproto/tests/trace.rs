//! Traces held against Open vSwitch 3.1's: `trace/*.txt` are sessions whose outputs Debian's ovs-vswitchd gave.
//!
//! A line `$ command` is run; the lines behind it are what it must print. The switch: br0 with ports 1 to 3 (`p1` to `p3`)
//! and 10 (`pa`, a patch), br1 with 4 (`p4`) and 11 (`pb`, the patch's other end), and their local ports.

use std::collections::BTreeMap;
use std::sync::Arc;

use ofproto::table::{Change, Table};
use ofproto::trace;
use ofproto::view::*;
use ofproto::xlate::Recirc;
use openflow::OfPort;
use openflow::flow_mod::{Command, FlowModCommand, parse_flow_mod};
use openflow::message::group::{Bucket, GroupDesc, GroupProps, GroupType};
use openflow::names::Names;

struct Switch {
    view: SwitchView,
    tables: BTreeMap<(u32, u8), Table>,
    recirc: Recirc,
}

fn device(bridge: &mut BridgeView, bundle: u32, port: u16, odp: u32, name: &str) {
    let mut view = PortView::device(OfPort(port), odp, name);
    view.bundle = Some(BundleId(bundle));
    bridge.ports.insert(OfPort(port), Arc::new(view));
    Arc::make_mut(&mut bridge.port_order).add([(OfPort(port), name)].into_iter());
    let view = BundleView::new(BundleId(bundle), name, OfPort(port));
    bridge.bundles.insert(BundleId(bundle), Arc::new(view));
}

fn patch(bridge: &mut BridgeView, bundle: u32, port: u16, name: &str, peer: PortRef) {
    device(bridge, bundle, port, 0, name);
    let mut view = (*bridge.ports[&OfPort(port)]).clone();
    view.odp = None;
    view.kind = PortKind::Patch(Some(peer));
    bridge.ports.insert(OfPort(port), Arc::new(view));
}

impl Switch {
    fn new() -> Switch {
        let mut view = SwitchView { datapaths: ["dummy".to_owned()].into(), ..SwitchView::default() };
        let (a, b) = (BridgeId(0), BridgeId(1));
        let mut br0 = BridgeView::new(a, "br0");
        device(&mut br0, 9, OfPort::LOCAL.0, 100, "br0");
        for i in 1..=3u16 {
            // The order in which Debian's floods.
            device(&mut br0, 4 - u32::from(i), i, i.into(), &format!("p{i}"));
        }
        patch(&mut br0, 10, 10, "pa", PortRef { bridge: b, port: OfPort(11) });
        let mut br1 = BridgeView::new(b, "br1");
        device(&mut br1, 9, OfPort::LOCAL.0, 101, "br1");
        device(&mut br1, 4, 4, 4, "p4");
        patch(&mut br1, 11, 11, "pb", PortRef { bridge: a, port: OfPort(10) });
        for bridge in [br0, br1] {
            let mut bridge = bridge;
            bridge.mac = Some(Default::default());
            bridge.miss_to_controller = false;
            for port in bridge.ports.values() {
                if let Some(odp) = port.odp {
                    view.odp_ports.insert(odp, PortRef { bridge: bridge.id, port: port.port });
                }
            }
            view.bridges.insert(bridge.id, Arc::new(bridge));
        }
        Switch { view, tables: BTreeMap::new(), recirc: Recirc::default() }
    }

    fn bridge(&mut self, name: &str) -> &mut BridgeView {
        let id = self.view.bridge_by_name(name).expect(name).id;
        Arc::make_mut(self.view.bridges.get_mut(&id).expect(name))
    }

    fn flow(&mut self, bridge: &str, text: &str) {
        let parsed = parse_flow_mod(text, Command::Mod(FlowModCommand::Add), Names::NONE).expect(text);
        let mut flow_mod = parsed.flow_mod;
        if let Some(normalized) = parsed.normalized {
            flow_mod.matching = normalized;
        }
        flow_mod.matching.default_packet_type();
        let table = if flow_mod.table == 0xff { 0 } else { flow_mod.table };
        flow_mod.table = table;
        let actions =
            openflow::action::check(flow_mod.actions.clone(), &flow_mod.matching, &openflow::action::Check::UNKNOWN);
        flow_mod.actions = actions.expect(text).actions;
        let id = self.view.bridge_by_name(bridge).expect(bridge).id;
        let writer = self.tables.entry((id.0, table)).or_insert_with(|| Table::new(table));
        let priority = flow_mod.priority.into();
        writer.stage([Change::flow_mod(&flow_mod, priority)], 0);
        writer.commit();
        let view = writer.view();
        self.bridge(bridge).tables[usize::from(table)] = Some(view);
    }

    fn group(&mut self, bridge: &str, text: &str) {
        let mut desc =
            GroupDesc { group_id: 0, kind: GroupType::All, buckets: Vec::new(), props: GroupProps::default() };
        let (head, buckets) = text.split_once(",bucket=").map_or((text, ""), |(h, b)| (h, b));
        for word in head.split(',') {
            match word.split_once('=').unwrap_or((word, "")) {
                ("group_id", v) => desc.group_id = v.parse().expect(v),
                ("type", "select") => desc.kind = GroupType::Select,
                ("type", "ff") => desc.kind = GroupType::FastFailover,
                ("type", "indirect") => desc.kind = GroupType::Indirect,
                ("type", "all") => desc.kind = GroupType::All,
                ("selection_method", v) => desc.props.selection_method = v.into(),
                (other, _) => panic!("{other}"),
            }
        }
        for (i, text) in buckets.split(",bucket=").enumerate() {
            let mut bucket = Bucket {
                bucket_id: i as u32,
                weight: u16::from(desc.kind == GroupType::Select),
                watch_port: OfPort::ANY,
                watch_group: u32::MAX,
                actions: Arc::from([]),
            };
            let mut rest = text;
            while let Some((word, tail)) = rest.split_once(',') {
                if let Some(port) = word.strip_prefix("watch_port:") {
                    bucket.watch_port = OfPort(port.parse().expect(port));
                } else if let Some(group) = word.strip_prefix("watch_group:") {
                    bucket.watch_group = group.parse().expect(group);
                } else if let Some(weight) = word.strip_prefix("weight:") {
                    bucket.weight = weight.parse().expect(weight);
                } else {
                    break;
                }
                rest = tail;
            }
            bucket.actions = openflow::action::parse_actions(rest, Names::NONE).expect(rest).0;
            desc.buckets.push(bucket);
        }
        Arc::make_mut(&mut self.bridge(bridge).groups).insert(desc.group_id, Arc::new(GroupView::new(&desc)));
    }

    fn set_port(&mut self, bridge: &str, name: &str, words: &[&str]) {
        let bridge = self.bridge(bridge);
        let bundle = bridge.bundles.values_mut().find(|b| b.name == name).expect(name);
        let bundle = Arc::make_mut(bundle);
        for word in words {
            match word.split_once('=').expect(word) {
                ("tag", v) => {
                    bundle.vlan = v.parse().expect(v);
                    if bundle.vlan_mode == VlanMode::Trunk {
                        bundle.vlan_mode = VlanMode::Access;
                    }
                }
                ("trunks", v) => bundle.trunks = Some(VlanSet::of(v.split(',').map(|t| t.parse().expect(t)))),
                ("cvlans", v) => bundle.cvlans = Some(VlanSet::of(v.split(',').map(|t| t.parse().expect(t)))),
                ("vlan_mode", v) => {
                    bundle.vlan_mode = match v {
                        "access" => VlanMode::Access,
                        "native-tagged" => VlanMode::NativeTagged,
                        "native-untagged" => VlanMode::NativeUntagged,
                        "dot1q-tunnel" => VlanMode::Dot1qTunnel,
                        _ => VlanMode::Trunk,
                    }
                }
                ("protected", v) => bundle.protected = v == "true",
                (other, _) => panic!("{other}"),
            }
        }
        if bundle.vlan_mode == VlanMode::Dot1qTunnel {
            bundle.qinq_ethtype = 0x88a8;
        }
    }

    fn mirror(&mut self, bridge: &str, words: &[&str]) {
        let bridge = self.bridge(bridge);
        let bundle = |name: &str| bridge.bundles.values().find(|b| b.name == name).expect(name).id;
        let index = bridge.mirrors.len() as u8;
        let mut mirror = MirrorView { index, name: format!("m{index}"), dup: 1 << index, ..Default::default() };
        for word in words {
            match word.split_once('=').expect(word) {
                ("src", v) => mirror.srcs = v.split(',').map(bundle).collect(),
                ("dst", v) => mirror.dsts = v.split(',').map(bundle).collect(),
                ("out", v) => mirror.out = Some(bundle(v)),
                ("out_vlan", v) => mirror.out_vlan = Some(v.parse().expect(v)),
                ("snaplen", v) => mirror.snaplen = v.parse().expect(v),
                (other, _) => panic!("{other}"),
            }
        }
        bridge.mirrors.push(Arc::new(mirror));
    }

    fn run(&mut self, command: &str) -> String {
        let words: Vec<&str> = command.split_whitespace().collect();
        match words.as_slice() {
            ["flow", bridge, rest @ ..] => self.flow(bridge, &rest.join(" ")),
            ["group", bridge, rest @ ..] => self.group(bridge, &rest.join(" ")),
            ["port", bridge, name, rest @ ..] => self.set_port(bridge, name, rest),
            ["mirror", bridge, rest @ ..] => self.mirror(bridge, rest),
            [kind @ ("trace" | "packet-out"), rest @ ..] => {
                let args: Vec<String> = rest.iter().map(|a| (*a).to_owned()).collect();
                let traced = match trace::parse(&self.view, &args, *kind == "packet-out") {
                    Ok(request) => trace::run(&self.view, &request, &mut self.recirc, 0),
                    Err(error) => return format!("{error}\n"),
                };
                self.recirc.run(1000);
                let mut text = traced.text;
                if !text.ends_with('\n') {
                    text.push('\n');
                }
                return renumber(&text);
            }
            _ => panic!("{command}"),
        }
        String::new()
    }
}

/// Recirculation identifiers in the order in which they appear.
fn renumber(text: &str) -> String {
    let mut seen: Vec<&str> = Vec::new();
    let mut out = String::new();
    let mut rest = text;
    let marks = ["recirc(0x", "recirc_id=0x"];
    while let Some((at, mark)) = marks.iter().filter_map(|m| Some((rest.find(m)?, *m))).min() {
        let start = at + mark.len();
        let len = rest[start..].find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(rest.len() - start);
        let id = &rest[start..start + len];
        let n = seen.iter().position(|s| *s == id).unwrap_or_else(|| {
            seen.push(id);
            seen.len() - 1
        });
        out.push_str(&rest[..start]);
        out.push_str(&format!("{:x}", n + 1));
        rest = &rest[start + len..];
    }
    let mut text = out + rest;
    // Numbers of packets for controllers are not shown in hexadecimal.
    let mark = "continuation=0,recirc_id=";
    let mut from = 0;
    while let Some(at) = text[from..].find(mark) {
        let start = from + at + mark.len();
        let len = text[start..].find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len() - start);
        text.replace_range(start..start + len, "1");
        from = start;
    }
    text
}

fn check(path: &std::path::Path) -> usize {
    let text = std::fs::read_to_string(path).expect("readable");
    let mut failures = 0;
    let mut switch = Switch::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let Some(command) = line.strip_prefix("$ ") else { continue };
        let mut expected = String::new();
        while let Some(line) = lines.next_if(|l| !l.starts_with("$ ")) {
            expected.push_str(line);
            expected.push('\n');
        }
        let actual = switch.run(command);
        if actual != expected {
            failures += 1;
            println!("{}: {command}\n--- expected\n{expected}--- actual\n{actual}---", path.display());
        }
    }
    failures
}

#[test]
fn traces_are_as_open_vswitch_tells_them() {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/trace");
    let mut files: Vec<_> = std::fs::read_dir(dir).expect("directory").map(|e| e.expect("entry").path()).collect();
    files.sort();
    let failures: usize = files.iter().map(|f| check(f)).sum();
    assert_eq!(failures, 0, "traces that differ");
}
