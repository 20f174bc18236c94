//! How often one packet asks for neighbours that tunnels lead to.

use std::sync::Arc;

use flow::Key;
use ofproto::view::underlay::{RouteOrigin, Underlay, UnderlayRoute};
use ofproto::view::*;
use ofproto::xlate::{self, Effect, Input, Recirc, Start};
use openflow::OfPort;
use openflow::action::Action;

const MAPPED: u128 = 0xffff_0000_0000;
const TUNNEL: OfPort = OfPort(2);

/// A bridge with a tunnel, and one that leads to its other end.
fn switch() -> SwitchView {
    let mut view = SwitchView::default();
    view.support.tnl_push_pop = true;
    let mut above = BridgeView::new(BridgeId(0), "above");
    let remote = Setting::Value(MAPPED | 0x0101_025c);
    let config = TunnelConfig {
        kind: "vxlan",
        remote,
        local: Setting::Absent,
        in_key: Setting::Absent,
        out_key: Setting::Absent,
        tos: 0,
        tos_inherit: false,
        ttl: 0,
        ttl_inherit: false,
        df_default: true,
        csum: false,
        dst_port: 4789,
        egress_pkt_mark: None,
        gbp: false,
        gpe: false,
        seq: false,
        erspan: Erspan {
            version: Setting::Absent,
            index: Setting::Absent,
            direction: Setting::Absent,
            hardware: Setting::Absent,
        },
        native: true,
        packet_types: PacketTypeMode::LegacyL2,
    };
    let mut tunnel = PortView::device(TUNNEL, 7, "t");
    tunnel.kind = PortKind::Tunnel(Arc::new(config));
    above.ports.insert(TUNNEL, Arc::new(tunnel));
    let mut below = BridgeView::new(BridgeId(1), "below");
    let mut local = PortView::device(OfPort::LOCAL, 100, "below");
    local.hw_addr = 0xaa55_aa55_0000;
    below.ports.insert(OfPort::LOCAL, Arc::new(local));
    let route = UnderlayRoute {
        prefix: MAPPED | 0x0101_0200,
        len: 120,
        device: "below".to_owned(),
        source: MAPPED | 0x0101_0258,
        mark: 0,
        gateway: None,
        origin: RouteOrigin::User,
    };
    view.underlay = Arc::new(Underlay { routes: vec![route], ..Underlay::default() });
    for bridge in [above, below] {
        view.bridges.insert(bridge.id, Arc::new(bridge));
    }
    view
}

/// Questions of one packet that goes into the tunnel so often.
fn questions(outputs: usize) -> usize {
    let view = switch();
    let mut key = Key::EMPTY;
    key.set_in_port(1);
    let actions: Arc<[Action]> = vec![Action::Output { port: TUNNEL, max_len: 0 }; outputs].into();
    let input = Input {
        key: &key,
        bridge: BridgeId(0),
        packet: None,
        tcp_flags: 0,
        start: Start::Actions(actions),
        side_effects: true,
        now_ms: 0,
    };
    let translation = xlate::translate(&view, &input, &mut Recirc::default(), None);
    translation.effects.iter().filter(|effect| matches!(effect, Effect::NeighbourWanted { .. })).count()
}

#[test]
fn where_bridges_loop_a_packet_asks_a_few_times_only() {
    for (outputs, asked) in [(0, 0), (1, 1), (5, 5), (8, 8), (9, 8), (2000, 8)] {
        assert_eq!(questions(outputs), asked, "{outputs} outputs");
    }
}
