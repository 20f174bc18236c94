//! Bridges joined by links, a stepped clock, links that lose.

use super::*;

/// A bridge and a port of it.
type End = (usize, u32);

/// Some bridges and the links between their ports.
struct Net {
    bridges: Vec<Stp<u32>>,
    /// (bridge, port) at either end, and whether it works.
    links: Vec<(End, End, bool)>,
    now_ms: i64,
    /// Every n-th unit is lost; 0 for none.
    loses: usize,
    carried: usize,
}

impl Net {
    fn new(n: usize) -> Net {
        let bridges = (0..n).map(|i| Stp::new(BridgeSettings::new(0xaa55_aa55_0000 + i as u64), 0)).collect();
        Net { bridges, links: Vec::new(), now_ms: 0, loses: 0, carried: 0 }
    }

    fn port(&mut self, bridge: usize, port: u32, enabled: bool) {
        let settings = PortSettings { number: port as u8, priority: 128, path_cost: 19, enabled };
        self.bridges[bridge].set_port(port, settings, self.now_ms);
    }

    fn link(&mut self, a: End, b: End) {
        self.port(a.0, a.1, true);
        self.port(b.0, b.1, true);
        self.links.push((a, b, true));
    }

    fn step(&mut self, ms: i64) {
        for _ in 0..ms / 100 {
            self.now_ms += 100;
            for bridge in 0..self.bridges.len() {
                self.bridges[bridge].run(self.now_ms);
            }
            // What one unit leads to is carried in the same step; it dies out.
            for _ in 0..20 {
                for from in 0..self.bridges.len() {
                    for (port, unit) in self.bridges[from].take_units() {
                        self.carry((from, port), &unit);
                    }
                }
            }
        }
    }

    fn carry(&mut self, from: End, unit: &[u8]) {
        self.carried += 1;
        if self.loses != 0 && self.carried.is_multiple_of(self.loses) {
            return;
        }
        let ends = self.links.iter().find(|(a, b, works)| *works && (*a == from || *b == from)).copied();
        if let Some((a, b, _)) = ends {
            let to = if a == from { b } else { a };
            self.bridges[to.0].receive(to.1, unit, self.now_ms);
        }
    }

    fn state(&self, bridge: usize, port: u32) -> State {
        self.bridges[bridge].port_status(port, self.now_ms).unwrap().state
    }

    fn role(&self, bridge: usize, port: u32) -> Role {
        self.bridges[bridge].port_status(port, self.now_ms).unwrap().role
    }

    /// Whether the links that forward at both ends form no loop and reach every bridge.
    fn is_tree(&self) -> bool {
        let mut reached = vec![0usize];
        let mut forwarding: Vec<_> = self
            .links
            .iter()
            .filter(|(a, b, works)| {
                *works && self.state(a.0, a.1) == State::Forwarding && self.state(b.0, b.1) == State::Forwarding
            })
            .collect();
        let edges = forwarding.len();
        while let Some(at) = forwarding.iter().position(|(a, b, _)| reached.contains(&a.0) != reached.contains(&b.0)) {
            let (a, b, _) = forwarding.remove(at);
            reached.push(if reached.contains(&a.0) { b.0 } else { a.0 });
        }
        edges + 1 == self.bridges.len() && reached.len() == self.bridges.len()
    }
}

fn triangle() -> Net {
    let mut net = Net::new(3);
    net.link((0, 1), (1, 1));
    net.link((0, 2), (2, 2));
    net.link((1, 3), (2, 3));
    net
}

#[test]
fn places_that_stay_hold_up_nothing() {
    let settings = |number| PortSettings { number, priority: 128, path_cost: 19, enabled: true };
    let mut bridge = Stp::new(BridgeSettings::new(0xaa55_aa55_0000), 0);
    let set = |bridge: &mut Stp<u32>, ports: &[(u32, u8)], now_ms: i64| {
        let gone: Vec<_> = bridge.port_names().filter(|name| ports.iter().all(|(n, _)| n != name)).collect();
        gone.into_iter().for_each(|name| bridge.remove_port(name, now_ms));
        bridge.renumber(&ports.iter().copied().collect(), now_ms);
        ports.iter().for_each(|(name, number)| bridge.set_port(*name, settings(*number), now_ms));
    };
    let run = |bridge: &mut Stp<u32>, from_ms: i64, to_ms: i64| {
        (from_ms..=to_ms).step_by(1000).for_each(|now_ms| bridge.run(now_ms));
    };
    let state = |bridge: &Stp<u32>, port| bridge.port_status(port, 0).map(|status| status.state);
    set(&mut bridge, &[(7, 1), (8, 2)], 0);
    run(&mut bridge, 0, 40_000);
    // Another comes before them: the last place is the new one.
    set(&mut bridge, &[(7, 2), (8, 3), (9, 1)], 40_000);
    assert_eq!(
        [7, 8, 9].map(|port| state(&bridge, port)),
        [State::Forwarding, State::Listening, State::Forwarding].map(Some)
    );
    run(&mut bridge, 41_000, 80_000);
    assert_eq!(state(&bridge, 8), Some(State::Forwarding));
    // The first goes, with its place: who takes it begins anew.
    set(&mut bridge, &[(7, 1), (8, 2)], 80_000);
    assert_eq!([7, 8].map(|port| state(&bridge, port)), [State::Listening, State::Forwarding].map(Some));
    run(&mut bridge, 81_000, 120_000);
    // Numbers that are exchanged; one that nobody had.
    set(&mut bridge, &[(7, 2), (8, 1)], 120_000);
    assert_eq!([7, 8].map(|port| state(&bridge, port)), [Some(State::Forwarding); 2]);
    set(&mut bridge, &[(7, 5), (8, 1)], 120_000);
    assert_eq!([7, 8].map(|port| state(&bridge, port)), [State::Listening, State::Forwarding].map(Some));
}

#[test]
fn a_triangle_opens_one_side() {
    let mut net = triangle();
    net.step(9000);
    assert_eq!(net.state(0, 1), State::Listening);
    assert_eq!((net.role(2, 3), net.state(2, 3)), (Role::Alternate, State::Blocking));
    net.step(10_000);
    assert_eq!(net.state(1, 1), State::Learning);
    net.step(20_000);
    assert!(net.is_tree());
    assert!(net.bridges[0].is_root() && !net.bridges[2].is_root());
    assert_eq!(net.role(2, 2), Role::Root);
    assert_eq!(net.bridges[2].root_path_cost(), 19);
    assert_eq!(net.bridges[2].root_id(), 0x8000_aa55_aa55_0000);
}

#[test]
fn a_link_that_breaks_is_gone_round() {
    let mut net = triangle();
    net.step(40_000);
    net.bridges.iter_mut().for_each(|b| _ = b.take_flush());
    net.links[1].2 = false;
    net.step(19_000);
    assert_eq!(net.state(2, 3), State::Blocking, "silence is borne for the maximum age");
    net.step(35_000);
    assert_eq!((net.role(2, 3), net.state(2, 3)), (Role::Root, State::Forwarding));
    assert_eq!(net.bridges[2].root_path_cost(), 38);
    assert!(net.bridges.iter_mut().all(Stp::take_flush), "every bridge forgets what it learned");
    net.links[1].2 = true;
    net.step(60_000);
    assert!(net.is_tree());
    assert_eq!(net.role(2, 2), Role::Root);
}

#[test]
fn a_port_that_goes_down_is_disabled_at_once() {
    let mut net = triangle();
    net.step(40_000);
    net.port(2, 2, false);
    assert_eq!((net.role(2, 2), net.state(2, 2)), (Role::Disabled, State::Disabled));
    assert_eq!(net.state(2, 3), State::Listening);
    net.step(31_000);
    assert_eq!((net.role(2, 3), net.state(2, 3)), (Role::Root, State::Forwarding));
}

#[test]
fn a_better_bridge_becomes_the_root() {
    let mut net = triangle();
    net.step(40_000);
    let better = BridgeSettings { priority: 100, ..BridgeSettings::new(0xaa55_aa55_0002) };
    let now = net.now_ms;
    net.bridges[2].configure(better, now);
    net.step(60_000);
    assert!(net.bridges[2].is_root());
    assert_eq!(net.bridges[0].root_id(), 0x0064_aa55_aa55_0002);
    assert!(net.is_tree());
}

#[test]
fn links_that_lose_leave_no_loop() {
    for loses in [3, 5, 7] {
        let mut net = triangle();
        net.loses = loses;
        net.step(120_000);
        assert!(net.is_tree(), "every {loses}th unit is lost");
    }
}

#[test]
fn what_is_no_unit_is_counted() {
    let mut net = triangle();
    net.bridges[0].receive(1, &[0, 0, 0, 0, 0], 0);
    net.bridges[0].receive(1, &[], 0);
    assert_eq!(net.bridges[0].port_status(1, 0).unwrap().counters.errors, 2);
    net.bridges[0].receive(9, &[0, 0, 0, 0x80], 0);
}

#[test]
fn messages_of_a_port_are_a_second_apart() {
    let mut net = triangle();
    net.step(1000);
    net.bridges.iter_mut().for_each(|b| _ = b.take_units());
    let worse = Bpdu::Config(Config {
        change: false,
        ack: false,
        root: u64::MAX,
        cost: 0,
        bridge: u64::MAX,
        port: 1,
        age_ms: 0,
        max_age_ms: 20_000,
        hello_ms: 2000,
        forward_ms: 15_000,
    })
    .emit();
    let now = net.now_ms + 5000;
    for at in 0..10 {
        net.bridges[0].receive(1, &worse, now + at);
    }
    assert_eq!(net.bridges[0].take_units().len(), 1);
    net.bridges[0].run(now + 1000);
    assert!(net.bridges[0].take_units().iter().filter(|(port, _)| *port == 1).count() >= 1);
}

#[test]
fn the_text() {
    let mut net = triangle();
    net.step(40_000);
    let text = net.bridges[2].show(|port| format!("p{port}"));
    let expected = "\
Root ID:
  stp-priority  32768
  stp-system-id   aa:55:aa:55:00:00
  stp-hello-time  2s
  stp-max-age     20s
  stp-fwd-delay   15s
  root-port       p2
  root-path-cost  19

Bridge ID:
  stp-priority  32768
  stp-system-id   aa:55:aa:55:00:02
  stp-hello-time  2s
  stp-max-age     20s
  stp-fwd-delay   15s

  Interface  Role       State      Cost  Pri.Nbr 
  ---------- ---------- ---------- ----- -------
  p2         root       forwarding 19    128.2
  p3         alternate  blocking   19    128.3

";
    assert_eq!(text, expected);
}
