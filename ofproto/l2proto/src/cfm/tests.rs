//! Two end points, a stepped clock, a link that breaks one way.

use super::*;

struct Pair {
    ends: [Cfm; 2],
    /// Whether messages of each end arrive.
    works: [bool; 2],
    now_ms: i64,
}

fn settings(mpid: u64) -> Settings {
    Settings { mpid, interval_ms: 300, extended: false, up: true, demand: false }
}

impl Pair {
    fn new(a: Settings, b: Settings) -> Pair {
        Pair { ends: [Cfm::new(a, 0), Cfm::new(b, 0)], works: [true; 2], now_ms: 0 }
    }

    fn step(&mut self, ms: i64) {
        for _ in 0..ms / 10 {
            self.now_ms += 10;
            for from in 0..2 {
                self.ends[from].run(self.now_ms);
                for message in self.ends[from].take_messages() {
                    if self.works[from] {
                        self.ends[1 - from].receive(0xaa, &message.emit(), self.now_ms);
                    }
                }
            }
        }
    }

    fn faults(&self) -> [u8; 2] {
        [self.ends[0].faults(), self.ends[1].faults()]
    }
}

#[test]
fn two_ends_hear_each_other() {
    let mut pair = Pair::new(settings(1), settings(2));
    pair.step(5000);
    assert_eq!(pair.faults(), [0, 0]);
    assert_eq!(pair.ends[0].remote_mpids().collect::<Vec<_>>(), [2]);
    assert_eq!(pair.ends[0].health(), Some(100));
    let text = pair.ends[0].show(pair.now_ms);
    assert!(
        text.starts_with("MPID 1:\n  average health: 100\n  opstate: up\n  remote_opstate: up\n  interval: 100ms\n")
    );
    assert!(text.contains("Remote MPID 2\n  recv since check: "), "{text}");
}

#[test]
fn health_is_first_measured_with_the_seventh_check() {
    let mut pair = Pair::new(settings(1), settings(2));
    pair.step(6 * 350 + 100);
    assert_eq!(pair.ends[0].health(), None);
    pair.step(350);
    assert_eq!(pair.ends[0].health(), Some(100));
    // From then on each six checks: a link that goes dark just after is told of only then.
    pair.works[1] = false;
    pair.step(5 * 350);
    assert_eq!(pair.ends[0].health(), Some(100));
    pair.step(350);
    assert_eq!(pair.ends[0].health(), Some(0));
}

#[test]
fn a_link_that_breaks_one_way_is_noticed_at_both_ends() {
    let mut pair = Pair::new(settings(1), settings(2));
    pair.step(3000);
    pair.works[1] = false;
    pair.step(1500);
    assert_eq!(pair.faults(), [fault::RECV, fault::RDI]);
    let is_told = |e: &Event| matches!(e, Event::Silent { remote: 2, within_ms: 351..=700 });
    assert!(pair.ends[0].take_events().iter().any(is_told));
    pair.step(3000);
    assert_eq!(pair.ends[0].health(), Some(0));
    pair.works[1] = true;
    pair.step(1500);
    assert_eq!(pair.faults(), [0, 0]);
    assert_eq!(pair.ends[0].flap_count(), 2);
}

#[test]
fn wrong_configurations_are_faults_of_their_own() {
    let slower = Settings { interval_ms: 1000, ..settings(2) };
    for (other, expected) in [(settings(1), fault::LOOPBACK), (slower, 0)] {
        let mut pair = Pair::new(settings(1), other);
        pair.step(7350);
        assert!(pair.ends[0].flap_count() > 0, "{expected}");
        let mut seen = 0;
        for _ in 0..30 {
            pair.step(100);
            seen |= pair.ends[0].faults();
        }
        assert_eq!(seen & expected, expected);
    }
    let mut one = Cfm::new(settings(1), 0);
    let mut foreign = Ccm { rdi: false, interval: 3, seq: 1, mpid: 2, interval_ms: 0, mpid64: 0, down: false }.emit();
    foreign[12] = b'x';
    one.receive(0xaa, &foreign, 0);
    one.run(350);
    assert_eq!(one.faults(), fault::MAID | fault::RECV);
}

#[test]
fn in_extended_mode_an_end_says_that_it_is_down() {
    let extended = |mpid, up| Settings { extended: true, up, ..settings(mpid) };
    let mut pair = Pair::new(extended(1, true), extended(1 << 40, false));
    pair.step(3000);
    assert_eq!(pair.faults(), [0, 0]);
    assert!(!pair.ends[0].remote_up() && pair.ends[1].remote_up());
    assert_eq!(pair.ends[0].remote_mpids().collect::<Vec<_>>(), [1 << 40]);
    assert!(pair.ends[1].show(pair.now_ms).starts_with("MPID 1099511627776: extended\n"));
}

#[test]
fn memory_is_bounded() {
    let mut one = Cfm::new(settings(1), 0);
    for mpid in 2..2000 {
        let ccm = Ccm { rdi: false, interval: 3, seq: 1, mpid, interval_ms: 0, mpid64: 0, down: false };
        one.receive(0xaa, &ccm.emit(), 0);
    }
    one.run(350);
    assert_eq!(one.remote_mpids().count(), MAX_REMOTES);
    assert_eq!(one.faults(), fault::OVERFLOW);
}

#[test]
fn a_fault_can_be_forced() {
    let mut pair = Pair::new(settings(1), settings(2));
    pair.step(3000);
    pair.ends[0].force_fault(Some(true));
    assert_eq!(pair.faults()[0], fault::OVERRIDE);
    let text = pair.ends[0].show(pair.now_ms);
    assert!(text.starts_with("MPID 1: fault_override\n  fault: override\n"), "{text}");
    pair.ends[0].force_fault(None);
    assert_eq!(pair.faults()[0], 0);
    pair.works = [false; 2];
    pair.step(3000);
    assert_eq!(pair.faults()[0], fault::RECV);
    pair.ends[0].force_fault(Some(true));
    assert_eq!(pair.faults()[0], fault::OVERRIDE);
}

#[test]
fn on_demand_traffic_stands_for_messages_for_a_while() {
    let on_demand = |mpid| Settings { extended: true, demand: true, ..settings(mpid) };
    let mut pair = Pair::new(on_demand(1), on_demand(2));
    let mut received = 0;
    let mut step = |pair: &mut Pair, ms: i64, packets: u64| {
        for _ in 0..ms / 100 {
            pair.step(100);
            received += packets;
            for end in &mut pair.ends {
                if end.wants_count(pair.now_ms) {
                    end.counted(Some(received), pair.now_ms);
                }
            }
        }
    };
    step(&mut pair, 12_000, 1);
    assert_eq!(pair.faults(), [0; 2]);
    pair.works = [false; 2];
    step(&mut pair, 12_000, 1);
    assert_eq!(pair.faults(), [0; 2]);
    assert_eq!(pair.ends[0].remote_mpids().count(), 0, "those are told whose messages were heard");
    step(&mut pair, 25_000, 1);
    assert_eq!(pair.faults(), [fault::RECV; 2], "a hundred intervals are too many");
    pair.works = [true; 2];
    step(&mut pair, 5000, 0);
    assert_eq!(pair.faults(), [0; 2]);
    pair.works = [false; 2];
    step(&mut pair, 5000, 0);
    assert_eq!(pair.faults(), [fault::RECV; 2], "no traffic, no messages");
}

#[test]
fn what_an_end_point_says_last_counts() {
    let mut pair = Pair::new(settings(1), settings(2));
    pair.works = [true, false];
    pair.step(1000);
    assert_eq!(pair.faults(), [fault::RECV, fault::RDI]);
    pair.works = [true; 2];
    pair.step(1000);
    assert_eq!(pair.faults(), [0; 2]);
}

#[test]
fn what_is_odd_about_messages_is_told() {
    let plain = Ccm { rdi: false, interval: 3, seq: 1, mpid: 2, interval_ms: 0, mpid64: 9, down: false };
    let extended = Settings { extended: true, ..settings(1) };
    let odd_interval = |remote, interval| Event::OddInterval { remote, interval };
    let table: [(Settings, Vec<Ccm>, Vec<Event>); 8] = [
        (settings(1), vec![plain, Ccm { seq: 2, ..plain }], vec![]),
        (
            settings(1),
            vec![plain, Ccm { seq: 3, ..plain }],
            vec![Event::OutOfSequence { remote: 2, before: 1, now: 3 }],
        ),
        (settings(1), vec![Ccm { interval: 4, ..plain }], vec![odd_interval(2, 4)]),
        (settings(1), vec![Ccm { mpid: 1, ..plain }], vec![]),
        (
            settings(1),
            vec![Ccm { mpid: 1, ..plain }, Ccm { mpid: 1, seq: 2, ..plain }],
            vec![Event::Loopback { mpid: 1 }],
        ),
        (extended.clone(), vec![Ccm { interval: 0, interval_ms: 300, ..plain }], vec![]),
        (
            extended.clone(),
            vec![Ccm { interval: 0, interval_ms: 500, ..plain }],
            vec![Event::OddExtendedInterval { remote: 9, interval_ms: 500 }],
        ),
        (Settings { interval_ms: 500, ..extended }, vec![Ccm { interval: 4, ..plain }], vec![odd_interval(9, 4)]),
    ];
    for (own, messages, expected) in table {
        let mut one = Cfm::new(own, 0);
        messages.iter().for_each(|message| one.receive(0xaa, &message.emit(), 0));
        assert_eq!(one.take_events(), expected, "{messages:?}");
    }
    let mut one = Cfm::new(settings(1), 0);
    let mut octets = plain.emit();
    one.receive(0xaa, &octets[..73], 0);
    octets[1] = 2;
    one.receive(0xaa, &octets, 0);
    octets[1] = 1;
    octets[12] = b'x';
    one.receive(0xaa, &octets, 0);
    assert_eq!(one.take_events(), [Event::Unparseable, Event::Unsupported(2), Event::Foreign(0xaa)]);
    for ms in [0, 100, 250, 401] {
        one.run(ms);
    }
    assert!(one.take_events().contains(&Event::Late { delay_ms: 151, expected_ms: 100, seq: 4 }));
}

#[test]
fn extended_intervals_that_the_standard_has_are_told_by_number() {
    for (ms, interval, interval_ms) in [(300, 0, 300), (1000, 4, 0), (600_000, 7, 0), (70_000, 0, 65_535)] {
        let mut one = Cfm::new(Settings { extended: true, interval_ms: ms, ..settings(1) }, 0);
        one.run(0);
        let messages = one.take_messages();
        assert_eq!((messages[0].interval, messages[0].interval_ms), (interval, interval_ms), "{ms}");
        assert_eq!(messages[0].mpid, 0x5d44);
    }
}
