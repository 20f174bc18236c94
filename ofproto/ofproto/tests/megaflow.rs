//! The property that protects everything: a packet that matches an installed flow would be translated to that flow's
//! actions.

use std::sync::Arc;

use flow::Key;
use flow::classifier::Shape;
use ofproto::revalidate::{CachedFlow, Changes};
use ofproto::table::{Change, Table};
use ofproto::view::*;
use ofproto::xlate::{Input, Recirc, Start, Translation, resolve, translate};
use openflow::OfPort;
use openflow::flow_mod::{Command, FlowModCommand, parse_flow_mod};
use openflow::names::Names;
use proptest::prelude::*;

const MATCHES: &[&str] = &[
    "",
    "in_port=1",
    "in_port=2,ip",
    "ip,nw_src=10.0.0.0/8",
    "ip,nw_dst=10.0.1.0/24",
    "ip,nw_dst=10.0.0.0/255.0.255.0",
    "tcp,tp_dst=80",
    "tcp,tp_dst=0x40/0xfff0",
    "udp",
    "dl_dst=01:00:00:00:00:00/01:00:00:00:00:00",
    "dl_vlan=5",
    "vlan_tci=0x1000/0x1000",
    "vlan_tci=0",
    "arp,arp_op=1",
    "icmp,icmp_type=8",
    "ip,nw_tos=4",
    "ip,nw_ttl=3",
    "reg0=1",
    "reg0=0",
    "ip,nw_frag=first",
    "ip,nw_proto=0",
    "sctp,tp_dst=80",
    "ipv6",
    "ipv6,ipv6_dst=fd00::1",
    "icmp6,icmp_type=135",
    "icmp6,icmp_type=135,icmp_code=0,nd_target=fd00::1",
    "icmp6,icmp_type=135,icmp_code=0,nd_sll=02:00:00:00:00:01",
    "icmp6,icmp_type=136,icmp_code=0,nd_tll=02:00:00:00:00:01",
    "mpls,mpls_label=1",
    "mpls,mpls_bos=1",
];

const ACTIONS: &[&str] = &[
    "drop",
    "output:1",
    "output:2",
    "normal",
    "all",
    "in_port",
    "resubmit(,1)",
    "resubmit(,2),output:3",
    "load:1->NXM_NX_REG0[],resubmit(,1)",
    "move:NXM_OF_ETH_SRC[0..15]->NXM_NX_REG0[0..15],resubmit(,2)",
    "mod_dl_src:00:00:00:00:00:07,output:2",
    "mod_vlan_vid:7,output:3",
    "strip_vlan,output:1,normal",
    "mod_vlan_pcp:3,output:2",
    "push_vlan:0x8100,output:1",
    "multipath(symmetric_l4,0,modulo_n,2,0,NXM_NX_REG0[]),resubmit(,2)",
    "controller,output:2",
    "dec_ttl,output:3",
    "mod_nw_tos:8,output:1",
    "clone(mod_dl_dst:00:00:00:00:00:08,output:2),output:3",
    "output:NXM_NX_REG0[]",
    "bundle(eth_src,0,hrw,ofport,members:1,2,3)",
    "ct(table=2),output:1",
    "push_mpls:0x8847,output:2",
    "group:1",
    "mod_nw_dst:10.0.9.9,output:2",
    "mod_tp_dst:79,output:3",
    "pop_mpls:0x0800,output:1",
    "dec_mpls_ttl,output:2",
    "move:NXM_NX_ND_TARGET[0..7]->NXM_NX_REG0[0..7],output:NXM_NX_REG0[]",
    "set_field:fd00::9->nd_target,output:2",
    "mod_nw_ttl:9,output:1",
];

fn switch(rules: &[(u8, u16, usize, usize)], vlan_modes: &[u8]) -> SwitchView {
    let id = BridgeId(0);
    let mut view = SwitchView::default();
    let mut bridge = BridgeView::new(id, "br0");
    bridge.mac = Some(Default::default());
    for port in 1..=3u16 {
        let mut device = PortView::device(OfPort(port), port.into(), "p");
        device.bundle = Some(BundleId(port.into()));
        bridge.ports.insert(OfPort(port), Arc::new(device));
        Arc::make_mut(&mut bridge.port_order).add([(OfPort(port), "p")].into_iter());
        let mut bundle = BundleView::new(BundleId(port.into()), "p", OfPort(port));
        match vlan_modes[usize::from(port) - 1] {
            1 => (bundle.vlan_mode, bundle.vlan) = (VlanMode::Access, 5),
            2 => (bundle.vlan_mode, bundle.vlan) = (VlanMode::NativeUntagged, 6),
            _ => {}
        }
        bridge.bundles.insert(BundleId(port.into()), Arc::new(bundle));
        view.odp_ports.insert(port.into(), PortRef { bridge: id, port: OfPort(port) });
    }
    let mut tables: Vec<Table> = (0..3).map(Table::new).collect();
    for (table, priority, matching, actions) in rules {
        let text = format!("priority={priority},{},actions={}", MATCHES[*matching], ACTIONS[*actions]);
        let Ok(parsed) = parse_flow_mod(&text, Command::Mod(FlowModCommand::Add), Names::NONE) else { continue };
        let mut flow_mod = parsed.flow_mod;
        flow_mod.table = *table;
        flow_mod.matching.default_packet_type();
        let priority = flow_mod.priority.into();
        tables[usize::from(*table)].stage([Change::flow_mod(&flow_mod, priority)], 0);
    }
    for table in &mut tables {
        table.commit();
        bridge.tables[usize::from(table.id())] = Some(table.view());
    }
    view.bridges.insert(id, Arc::new(bridge));
    view
}

/// ICMPv6 of several types: with code 0 neighbour discovery's fields are there, with others, and of other types, they are not.
fn neighbour_discovery(key: &mut Key, a: (u32, u32, u64, u64, bool), kind: u16, code: u8) {
    key.set_dl_type(0x86dd);
    key.set_nw_proto(58);
    key.set_nw_ttl(255);
    key.set_ipv6_dst(0xfd00 << 112 | u128::from(a.0));
    key.set_tp_src(133 + kind % 4);
    key.set_tp_dst(u16::from(code % 3));
    if code.is_multiple_of(3) && matches!(key.tp_src(), 135 | 136) {
        key.set_nd_target(0xfd00 << 112 | u128::from(a.1));
        key.set_arp_sha(if a.4 { 0x0200_0000_0000 | a.2 } else { 0 });
        key.set_arp_tha(if key.tp_src() == 136 { 0x0200_0000_0000 | a.3 } else { 0 });
    }
}

/// Datapath keys with few distinct values, so that rules hit.
fn keys() -> impl Strategy<Value = Key> {
    let addresses = (0u32..4, 0u32..4, 0u64..4, 0u64..4, prop::bool::ANY);
    let kinds = (0u8..11, prop::sample::select(vec![79u16, 80, 65, 9]), 0u16..9, 0u8..8, 0u8..5);
    let tags = prop::option::of(prop::sample::select(vec![0x1005u16, 0x1006, 0x3005, 0x1000]));
    (1u32..4, addresses, kinds, tags, 0u8..4).prop_map(|(port, a, kind, tag, frag)| {
        let mut key = Key::EMPTY;
        key.set_in_port(port);
        key.set_dl_src(0x0200_0000_0000 | a.2);
        key.set_dl_dst(0x0200_0000_0000 | a.3 | u64::from(a.4) << 40);
        if let Some(tci) = tag {
            key.set_vlan_tpid(0x8100);
            key.set_vlan_tci(tci);
        }
        match kind.0 {
            0 => key.set_dl_type(0x88b5),
            1 => {
                key.set_dl_type(0x0806);
                key.set_nw_proto(kind.3 % 3);
                key.set_nw_src(a.0);
            }
            7 | 8 => neighbour_discovery(&mut key, a, kind.2, kind.3),
            9 => {
                key.set_dl_type(0x8847);
                key.set_mpls_lse0(a.0 << 12 | u32::from(kind.3 & 1) << 8 | u32::from(kind.4));
                if kind.3 & 1 == 0 {
                    key.set_mpls_lse1(a.1 << 12 | 0x140);
                }
            }
            10 => {
                key.set_dl_type(0x86dd);
                key.set_nw_proto([6, 0, 132, 17][a.1 as usize]);
                key.set_ipv6_dst(0xfd00 << 112 | u128::from(a.0));
                key.set_nw_ttl(kind.4);
                if key.nw_proto() != 0 {
                    key.set_tp_dst(kind.1);
                }
            }
            n => {
                key.set_dl_type(0x0800);
                key.set_nw_proto([6, 17, 1, 6, 0][usize::from(n - 2)]);
                key.set_nw_src(0x0a00_0000 | a.0);
                key.set_nw_dst(0x0a00_0100 | a.1 | u32::from(kind.3) << 8);
                key.set_nw_ttl(kind.4);
                key.set_nw_tos(kind.3);
                key.set_nw_frag([0, 0, 1, 3][usize::from(frag)]);
                if key.nw_frag() != 3 && key.nw_proto() != 0 {
                    key.set_tp_src(if n == 4 { 8 } else { kind.2 });
                    key.set_tp_dst(if n == 4 { 0 } else { kind.1 });
                }
            }
        }
        key
    })
}

fn verdict(view: &SwitchView, key: &Key, recirc: &mut Recirc) -> Translation {
    let mut flow = key.clone();
    let bridge = resolve(view, &mut flow).expect("known port");
    let input =
        Input { key: &flow, bridge, packet: None, tcp_flags: 0, start: Start::Key, side_effects: true, now_ms: 0 };
    translate(view, &input, recirc, None)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn packets_of_a_flow_are_translated_alike(
        rules in prop::collection::vec((0u8..3, 0u16..6, 0..MATCHES.len(), 0..ACTIONS.len()), 1..14),
        vlan_modes in prop::collection::vec(0u8..3, 3),
        packets in prop::collection::vec(keys(), 24),
    ) {
        let view = switch(&rules, &vlan_modes);
        let mut recirc = Recirc::default();
        let verdicts: Vec<_> = packets.iter().map(|key| verdict(&view, key, &mut recirc)).collect();
        for (packet, verdict) in packets.iter().zip(&verdicts) {
            let mask = verdict.megaflow_mask();
            for (other, its) in packets.iter().zip(&verdicts) {
                if other.matches(packet, &mask) {
                    prop_assert_eq!(&its.install_actions(None), &verdict.install_actions(None), "{:?} {:?}", packet, other);
                }
            }
        }
    }

    #[test]
    fn flows_that_a_change_does_not_touch_stay_right(
        rules in prop::collection::vec((0u8..3, 0u16..6, 0..MATCHES.len(), 0..ACTIONS.len()), 1..14),
        more in prop::collection::vec((0u8..3, 0u16..6, 0..MATCHES.len(), 0..ACTIONS.len()), 1..3),
        packets in prop::collection::vec(keys(), 24),
    ) {
        let before = switch(&rules, &[0, 1, 2]);
        let after = switch(&[rules, more].concat(), &[0, 1, 2]);
        let changes = Changes::between(&before, &after);
        let mut recirc = Recirc::default();
        for packet in &packets {
            let old = verdict(&before, packet, &mut recirc);
            let (mask, actions) = (old.megaflow_mask(), old.install_actions(None));
            let shape = Arc::new(Shape::of(&mask));
            let flow = CachedFlow::new(packet, shape, actions.clone().into(), old.effects.clone().into(), old, 0);
            if !changes.touch(&flow) {
                let new = verdict(&after, packet, &mut recirc);
                prop_assert_eq!(new.install_actions(None), actions);
                prop_assert!(mask.covers(&new.megaflow_mask()));
            }
        }
    }
}

/// A tag that a port's VLAN pushes anew may equal the one that was taken off: of a packet of priority 0, not of others.
#[test]
fn a_tag_that_comes_back_is_told_from_others() {
    let matching = MATCHES.iter().position(|m| m.is_empty()).expect("a rule for all");
    let actions = ACTIONS.iter().position(|a| a.starts_with("strip_vlan")).expect("a tag goes");
    let view = switch(&[(0, 0, matching, actions)], &[1, 0, 0]);
    let verdicts = [0x1005, 0x3005].map(|tci| {
        let mut key = Key::EMPTY;
        key.set_in_port(1);
        key.set_dl_src(0x0200_0000_0001);
        key.set_dl_dst(0x0200_0000_0002);
        key.set_dl_type(0x88b5);
        key.set_vlan_tpid(0x8100);
        key.set_vlan_tci(tci);
        (verdict(&view, &key, &mut Recirc::default()), key)
    });
    assert_ne!(verdicts[0].0.install_actions(None), verdicts[1].0.install_actions(None));
    for (verdict, key) in &verdicts {
        let mask = verdict.megaflow_mask();
        assert_eq!(verdicts.iter().filter(|(_, other)| other.matches(key, &mask)).count(), 1, "{key:?}");
    }
}

fn patch(name: &str, peer: PortRef) -> Arc<PortView> {
    Arc::new(PortView { odp: None, kind: PortKind::Patch(Some(peer)), ..PortView::device(OfPort(2), 0, name) })
}

/// Bridge 0 with a device at port 1 and a patch at port 2 to port 2 of bridge 1, which is not there.
fn half_patched() -> SwitchView {
    let mut view = switch(&[(0, 1, 0, 2)], &[0, 0, 0]);
    let peer = PortRef { bridge: BridgeId(1), port: OfPort(2) };
    let near = Arc::make_mut(view.bridges.get_mut(&BridgeId(0)).expect("made"));
    near.ports.insert(OfPort(2), patch("p0", peer));
    view.bridges.insert(BridgeId(1), Arc::new(BridgeView::new(BridgeId(1), "br1")));
    view
}

/// The same with bridge 1's end, from where packets go on to its port 1.
fn patched(mut view: SwitchView) -> SwitchView {
    let mut table = Table::new(0);
    let rule = parse_flow_mod("actions=output:1", Command::Mod(FlowModCommand::Add), Names::NONE).expect("a rule");
    let mut flow_mod = rule.flow_mod;
    flow_mod.matching.default_packet_type();
    table.stage([Change::flow_mod(&flow_mod, 1)], 0);
    table.commit();
    let far = Arc::make_mut(view.bridges.get_mut(&BridgeId(1)).expect("made"));
    far.tables[0] = Some(table.view());
    far.ports.insert(OfPort(1), Arc::new(PortView::device(OfPort(1), 9, "v")));
    far.ports.insert(OfPort(2), patch("p1", PortRef { bridge: BridgeId(0), port: OfPort(2) }));
    view
}

#[test]
fn a_patch_whose_peer_comes_later_is_looked_at_again() {
    let before = half_patched();
    let after = patched(before.clone());
    let mut key = Key::EMPTY;
    key.set_in_port(1);
    key.set_dl_type(0x88b5);
    let mut recirc = Recirc::default();
    let old = verdict(&before, &key, &mut recirc);
    let (mask, actions) = (old.megaflow_mask(), old.install_actions(None));
    let new = verdict(&after, &key, &mut recirc);
    assert_ne!(new.install_actions(None), actions, "the peer makes a difference");
    let shape = Arc::new(Shape::of(&mask));
    let flow = CachedFlow::new(&key, shape, actions.into(), old.effects.clone().into(), old, 0);
    assert!(Changes::between(&before, &after).touch(&flow));
}
