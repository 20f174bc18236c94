//! Bridges joined by links, a stepped clock, links that lose.

use super::*;

type End = (usize, u32);

struct Net {
    bridges: Vec<Rstp<u32>>,
    links: Vec<(End, End, bool)>,
    now_ms: i64,
    loses: usize,
    carried: usize,
}

impl Net {
    fn new(n: u64) -> Net {
        let bridges = (0..n).map(|i| Rstp::new(BridgeSettings::new(0xaa55_aa55_0000 + i), 0)).collect();
        Net { bridges, links: Vec::new(), now_ms: 0, loses: 0, carried: 0 }
    }

    fn link(&mut self, a: End, b: End) {
        for (bridge, port) in [a, b] {
            self.bridges[bridge].set_port(port, PortSettings::new(port as u16, 2000), self.now_ms);
        }
        self.links.push((a, b, true));
    }

    fn step(&mut self, ms: i64) {
        for _ in 0..ms / 100 {
            self.now_ms += 100;
            self.bridges.iter_mut().for_each(|bridge| bridge.run(self.now_ms));
            for _ in 0..50 {
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
        let ends = self.links.iter().find(|(a, b, works)| *works && (*a == from || *b == from));
        if let Some(&(a, b, _)) = ends {
            let to = if a == from { b } else { a };
            self.bridges[to.0].receive(to.1, unit);
        }
    }

    fn show(&self, end: End) -> (Role, State) {
        let status = self.bridges[end.0].port_status(end.1, self.now_ms).unwrap();
        (status.role, status.state)
    }

    fn is_tree(&self) -> bool {
        let open = |end: End| self.show(end).1 == State::Forwarding;
        let mut edges: Vec<_> = self.links.iter().filter(|(a, b, works)| *works && open(*a) && open(*b)).collect();
        let count = edges.len();
        let mut reached = vec![0usize];
        while let Some(at) = edges.iter().position(|(a, b, _)| reached.contains(&a.0) != reached.contains(&b.0)) {
            let (a, b, _) = edges.remove(at);
            reached.push(if reached.contains(&a.0) { b.0 } else { a.0 });
        }
        count + 1 == self.bridges.len() && reached.len() == self.bridges.len()
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
fn a_triangle_settles_within_seconds() {
    let mut net = triangle();
    net.step(4000);
    assert!(net.is_tree());
    assert_eq!(net.show((2, 2)), (Role::Root, State::Forwarding));
    assert_eq!(net.show((2, 3)), (Role::Alternate, State::Discarding));
    assert_eq!(net.show((1, 3)).0, Role::Designated);
    assert!(net.bridges[0].is_root());
    assert_eq!(net.bridges[2].root_vector().cost, 2000);
}

#[test]
fn another_address_holds_up_nothing() {
    let mut net = triangle();
    net.step(10_000);
    // The root's becomes the highest of all: in the end another bridge is the root.
    let settings = BridgeSettings::new(0xaa55_aa55_0009);
    net.bridges[0].configure(settings, net.now_ms);
    assert_eq!(net.show((0, 1)).1, State::Forwarding);
    assert_eq!(net.show((0, 2)).1, State::Forwarding);
    net.step(60_000);
    assert!(net.is_tree());
    // What was told of the old root goes round until it is too old.
    assert!(net.bridges[1].is_root());
    // A bridge alone goes on as well.
    let mut alone = Net::new(1);
    alone.bridges[0].set_port(1, PortSettings::new(1, 2000), 0);
    alone.step(10_000);
    assert_eq!(alone.show((0, 1)), (Role::Designated, State::Forwarding));
    alone.bridges[0].configure(settings, alone.now_ms);
    alone.step(1000);
    assert_eq!(alone.show((0, 1)), (Role::Designated, State::Forwarding));
}

#[test]
fn a_broken_link_is_gone_round_at_once() {
    let mut net = triangle();
    net.step(10_000);
    net.bridges.iter_mut().for_each(|b| _ = b.take_flushes());
    net.links[1].2 = false;
    for (bridge, port) in [(0, 2), (2, 2)] {
        let down = PortSettings { enabled: false, ..PortSettings::new(port as u16, 2000) };
        net.bridges[bridge].set_port(port, down, net.now_ms);
    }
    net.step(200);
    assert_eq!(net.show((2, 3)), (Role::Root, State::Forwarding));
    assert!(!net.bridges[1].take_flushes().is_empty(), "learned addresses are forgotten");
    assert_eq!(net.show((2, 2)), (Role::Disabled, State::Discarding));
}

#[test]
fn silence_is_borne_for_three_hellos() {
    let mut net = triangle();
    net.step(10_000);
    net.links[1].2 = false;
    net.step(3000);
    assert_eq!(net.show((2, 3)).0, Role::Alternate);
    net.step(5000);
    assert_eq!(net.show((2, 3)), (Role::Root, State::Forwarding));
}

#[test]
fn an_edge_forwards_after_its_delay() {
    let mut net = Net::new(1);
    net.bridges[0].set_port(1, PortSettings::new(1, 2000), 0);
    net.step(2000);
    assert_eq!(net.show((0, 1)).1, State::Discarding);
    net.step(3000);
    assert_eq!(net.show((0, 1)), (Role::Designated, State::Forwarding));
    let edge = PortSettings { admin_edge: true, ..PortSettings::new(2, 2000) };
    net.bridges[0].set_port(2, edge, net.now_ms);
    net.step(100);
    assert_eq!(net.show((0, 2)).1, State::Forwarding, "told to be one, it does not wait");
}

#[test]
fn two_ports_on_one_wire_are_a_backup() {
    let mut net = Net::new(1);
    net.link((0, 1), (0, 2));
    net.step(6000);
    assert_eq!(net.show((0, 1)), (Role::Designated, State::Forwarding));
    assert_eq!(net.show((0, 2)), (Role::Backup, State::Discarding));
}

#[test]
fn a_neighbour_of_the_older_protocol_is_answered_in_it() {
    let mut net = Net::new(2);
    net.bridges[1].configure(BridgeSettings { stp_only: true, ..BridgeSettings::new(0xaa55_aa55_0001) }, 0);
    net.link((0, 1), (1, 1));
    net.step(8000);
    net.bridges[0].take_units();
    net.bridges[0].run(net.now_ms + 3000);
    let units = net.bridges[0].take_units();
    assert!(!units.is_empty());
    for (_, unit) in units {
        assert_eq!(Bpdu::parse(&unit).unwrap().kind, bpdu::Kind::Config);
    }
    net.step(40_000);
    assert!(net.is_tree());
}

#[test]
fn links_that_lose_leave_no_loop() {
    for loses in [3, 4, 7] {
        let mut net = triangle();
        net.link((0, 4), (1, 4));
        net.loses = loses;
        net.step(120_000);
        net.loses = 0;
        net.step(10_000);
        assert!(net.is_tree(), "every {loses}th unit was lost");
    }
}

#[test]
fn a_better_bridge_becomes_the_root() {
    let mut net = triangle();
    net.step(10_000);
    let better = BridgeSettings { priority: 4096, ..BridgeSettings::new(0xaa55_aa55_0002) };
    net.bridges[2].configure(better, net.now_ms);
    net.step(10_000);
    assert!(net.bridges[2].is_root() && net.is_tree());
    assert_eq!(net.bridges[0].root_vector().root, 0x1000_aa55_aa55_0002);
}

#[test]
fn what_is_no_unit_is_counted() {
    let mut net = triangle();
    net.bridges[0].receive(1, &[0, 0, 2, 2, 0]);
    net.bridges[0].receive(1, &[]);
    net.bridges[0].receive(9, &[]);
    assert_eq!(net.bridges[0].port_status(1, 0).unwrap().counters.errors, 2);
}

#[test]
fn the_text() {
    let mut net = triangle();
    net.step(10_000);
    let text = net.bridges[2].show(|port| format!("p{port}"));
    let expected = "\
Root ID:
  stp-priority    32768
  stp-system-id   aa:55:aa:55:00:00
  stp-hello-time  2s
  stp-max-age     20s
  stp-fwd-delay   15s
  root-port       p2
  root-path-cost  2000

Bridge ID:
  stp-priority    32768
  stp-system-id   aa:55:aa:55:00:02
  stp-hello-time  2s
  stp-max-age     20s
  stp-fwd-delay   15s

  Interface  Role       State      Cost     Pri.Nbr 
  ---------- ---------- ---------- -------- -------
  p2         Root       Forwarding 2000     128.2
  p3         Alternate  Discarding 2000     128.3

";
    assert_eq!(text, expected);
}

#[test]
fn times_that_do_not_fit_together_leave_what_was() {
    let mut rstp: Rstp<u16> = Rstp::new(BridgeSettings::new(1), 0);
    // Asked for, and in force: maximum age and forward delay, as Open vSwitch 3.1 has them after some reconfigurations.
    for (asked, expected) in [
        ((30, 15), (20, 15)),
        ((30, 16), (30, 16)),
        ((31, 16), (30, 16)),
        ((31, 3), (30, 16)),
        ((31, 31), (30, 16)),
        ((31, 10), (30, 16)),
        ((5, 10), (30, 16)),
        ((18, 10), (18, 10)),
        ((18, 15), (18, 15)),
        ((0, 0), (18, 15)),
        ((20, 15), (20, 15)),
    ] {
        rstp.configure(BridgeSettings { max_age: asked.0, forward: asked.1, ..BridgeSettings::new(1) }, 0);
        let times = rstp.settings.times();
        assert_eq!((times.max_age, times.forward), expected, "{asked:?}");
    }
    let both = Rstp::<u16>::new(BridgeSettings { max_age: 30, forward: 16, ..BridgeSettings::new(1) }, 0);
    assert_eq!((both.settings.max_age, both.settings.forward), (30, 16));
}
