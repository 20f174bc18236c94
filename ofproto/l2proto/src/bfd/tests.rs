//! Two ends, a stepped clock, a link that can break.

use super::*;

struct Pair {
    ends: [Bfd; 2],
    works: bool,
    now_ms: i64,
    sent: [usize; 2],
}

fn settings(min_tx_ms: u32, min_rx_ms: u32) -> Settings {
    Settings {
        name: "p".into(),
        min_tx_ms,
        min_rx_ms,
        mult: 3,
        path_down: false,
        decay_min_rx_ms: 0,
        forwarding_if_rx: false,
    }
}

impl Pair {
    fn new(a: Settings, b: Settings) -> Pair {
        Pair { ends: [Bfd::new(a, 7, 0), Bfd::new(b, 8, 0)], works: true, now_ms: 0, sent: [0; 2] }
    }

    fn step(&mut self, ms: i64) {
        for _ in 0..ms / 10 {
            self.now_ms += 10;
            for from in 0..2 {
                self.ends[from].run(self.now_ms);
                for packet in self.ends[from].take_packets() {
                    self.sent[from] += 1;
                    let heard = Control::parse(&packet.emit());
                    if let Some(heard) = heard.filter(|_| self.works) {
                        self.ends[1 - from].receive(&heard, self.now_ms);
                    }
                }
            }
        }
    }

    fn states(&self) -> [State; 2] {
        [self.ends[0].local().0, self.ends[1].local().0]
    }
}

#[test]
fn a_session_comes_up_and_keeps_its_pace() {
    let mut pair = Pair::new(settings(300, 300), settings(500, 500));
    assert!(!pair.ends[0].forwarding());
    pair.step(4000);
    assert_eq!(pair.states(), [State::Up; 2]);
    assert!(pair.ends.iter().all(Bfd::forwarding));
    let text = pair.ends[0].show(pair.now_ms);
    assert!(text.contains("TX Interval: Approx 500ms\n  RX Interval: Approx 500ms"), "{text}");
    assert!(text.contains("Local Minimum TX Interval: 300ms"), "{text}");
    assert!(text.contains("Remote Minimum TX Interval: 500ms"), "{text}");
    pair.sent = [0; 2];
    pair.step(10_000);
    for sent in pair.sent {
        assert!((20..=27).contains(&sent), "500 ms less up to a quarter, for 10 s: {sent}");
    }
    assert_eq!(pair.ends[0].flap_count(), 1);
}

#[test]
fn silence_is_noticed_in_three_intervals() {
    let mut pair = Pair::new(settings(100, 100), settings(100, 100));
    pair.step(4000);
    pair.works = false;
    pair.step(200);
    assert_eq!(pair.states(), [State::Up; 2]);
    pair.step(200);
    assert_eq!(pair.states(), [State::Down; 2]);
    assert_eq!(pair.ends[0].local().1, Diagnostic::EXPIRED);
    assert!(!pair.ends[0].forwarding());
    pair.works = true;
    pair.step(4000);
    assert_eq!(pair.states(), [State::Up; 2]);
    assert_eq!(pair.ends[0].flap_count(), 3);
}

#[test]
fn a_path_that_is_down_beyond_is_told() {
    let mut pair = Pair::new(settings(100, 100), settings(100, 100));
    pair.step(4000);
    let now = pair.now_ms;
    pair.ends[1].configure(Settings { path_down: true, ..settings(100, 100) }, now);
    pair.step(50);
    assert_eq!(pair.states(), [State::Up; 2]);
    assert!(!pair.ends[0].forwarding(), "told at once");
    assert_eq!(pair.ends[0].remote().1, Diagnostic::PATH_DOWN);
    pair.ends[1].configure(settings(100, 100), pair.now_ms);
    pair.step(200);
    assert!(pair.ends[0].forwarding());
}

#[test]
fn new_intervals_are_negotiated_by_a_poll() {
    let mut pair = Pair::new(settings(100, 100), settings(100, 100));
    pair.step(4000);
    pair.ends[0].take_events();
    pair.ends[0].configure(settings(100, 400), pair.now_ms);
    pair.step(200);
    let events = pair.ends[0].take_events();
    let [Event::PollStarted, Event::PollEnded(packet, shown)] = &events[..] else { panic!("{events:?}") };
    let [text, packet] = [shown, &packet.show()].map(|text| text.replace('\n', "|"));
    assert!(packet.contains("state:up mult:3 length:24|  flags: final|"), "{packet}");
    assert!(text.contains("Remote Flags: final|  Remote Session State: up|"), "{text}");
    let text = pair.ends[1].show(pair.now_ms);
    assert!(text.contains("TX Interval: Approx 400ms"), "{text}");
    pair.step(2000);
    assert_eq!(pair.states(), [State::Up; 2]);
}

#[test]
fn forwarding_can_be_forced() {
    let mut pair = Pair::new(settings(100, 100), settings(100, 100));
    pair.ends[0].force_forwarding(Some(true));
    assert!(pair.ends[0].forwarding());
    pair.ends[0].force_forwarding(None);
    assert!(!pair.ends[0].forwarding());
    assert_eq!(pair.ends[0].flap_count(), 0);
    pair.ends[0].force_forwarding(Some(false));
    pair.step(4000);
    assert_eq!((pair.states(), pair.ends[0].flap_count()), ([State::Up; 2], 0));
    pair.ends[0].force_forwarding(None);
    assert_eq!(pair.ends[0].flap_count(), 1);
}

#[test]
fn a_stranger_is_not_heard() {
    let mut pair = Pair::new(settings(100, 100), settings(100, 100));
    pair.step(4000);
    let stranger = Control {
        diagnostic: Diagnostic::NONE,
        state: State::Down,
        flags: 0,
        mult: 3,
        my_disc: 99,
        your_disc: 12345,
        min_tx_ms: 1,
        min_rx_ms: 1,
    };
    pair.ends[0].receive(&stranger, pair.now_ms);
    assert_eq!(pair.states(), [State::Up; 2]);
}

impl Pair {
    /// Steps on while the first end's port receives `per_second` packets besides control packets.
    fn step_with_traffic(&mut self, ms: i64, per_second: u64, received: &mut u64) {
        for _ in 0..ms / 100 {
            let control = self.sent[1];
            self.step(100);
            *received += (self.sent[1] - control) as u64;
            if self.now_ms % 1000 == 0 {
                *received += per_second;
            }
            if self.ends[0].wants_count(self.now_ms) {
                assert!(!self.ends[0].wants_count(self.now_ms), "one question at a time");
                self.ends[0].counted(Some(*received), self.now_ms);
            }
        }
    }

    fn rx(&self) -> String {
        let text = self.ends[0].show(self.now_ms);
        text.lines().find(|line| line.contains("RX Interval")).unwrap_or_default().trim().to_owned()
    }
}

#[test]
fn an_idle_port_is_watched_at_a_slower_pace() {
    let mut pair = Pair::new(Settings { decay_min_rx_ms: 3000, ..settings(300, 300) }, settings(500, 500));
    let mut received = 0;
    pair.step_with_traffic(10_000, 0, &mut received);
    assert_eq!(pair.rx(), "RX Interval: Approx 3000ms");
    pair.step_with_traffic(8000, 20, &mut received);
    assert_eq!(pair.rx(), "RX Interval: Approx 500ms");
    pair.step_with_traffic(10_000, 0, &mut received);
    assert_eq!(pair.rx(), "RX Interval: Approx 3000ms");
    let now = pair.now_ms;
    pair.ends[0].configure(Settings { decay_min_rx_ms: 200, ..settings(300, 300) }, now);
    pair.step_with_traffic(5000, 0, &mut received);
    assert_eq!(pair.rx(), "RX Interval: Approx 500ms", "less than the usual interval is none");
    assert_eq!(pair.states(), [State::Up; 2]);
}

#[test]
fn traffic_vouches_for_a_silent_peer_for_a_while() {
    let mut pair = Pair::new(Settings { forwarding_if_rx: true, ..settings(300, 300) }, settings(300, 300));
    let mut received = 0;
    pair.step_with_traffic(5000, 1, &mut received);
    pair.works = false;
    for _ in 0..20 {
        pair.step(1000);
        // The peer's packets are lost: only others count.
        received += 3;
        let now = pair.now_ms;
        if pair.ends[0].wants_count(now) {
            pair.ends[0].counted(Some(received), now);
        }
    }
    assert_eq!(pair.states()[0], State::Down);
    assert!(pair.ends[0].forwarding());
    assert_eq!(pair.ends[0].flap_count(), 1);
    pair.now_ms += 30_000;
    pair.ends[0].run(pair.now_ms);
    assert!(!pair.ends[0].forwarding(), "the peer must be heard now and then");
}

/// As Open vSwitch 3.1 tells of the same, whose dumps are of the moment at which each line is written.
#[test]
fn what_the_peer_says_is_told() {
    let mut bfd = Bfd::new(Settings { path_down: true, ..settings(300, 400) }, 1, 5000);
    let told = |bfd: &mut Bfd| -> Vec<String> {
        let line = |event: Event| match event {
            Event::StateChanged { before, after, shown } => {
                let part =
                    |what: &str| shown.lines().find_map(|line| line.trim().strip_prefix(what).map(str::to_owned));
                let [rx, down] =
                    ["RX Interval: ", "Concatenated Path Down: "].map(|what| part(what).unwrap_or_default());
                format!("{}->{} {rx} {down}", before.0.name(), after.0.name())
            }
            Event::RemoteMult(before, after) => format!("mult {before} {after}"),
            Event::RemoteMinRx(packet, shown) => {
                let is_before = shown.contains("Remote Minimum TX Interval: 0ms");
                format!("min_rx {} {is_before}", packet.min_rx_ms)
            }
            Event::SignaledDown(packet, shown) => {
                format!("signaled {} {}", packet.state.name(), shown.contains("Remote Discriminator: 0x0"))
            }
            Event::PollStarted => "poll".to_owned(),
            Event::PollEnded(..) => "end of poll".to_owned(),
        };
        bfd.take_events().into_iter().map(line).collect()
    };
    assert_eq!(told(&mut bfd), ["admin_down->down Approx 0ms false", "down->down Approx 400ms true"]);
    let mut packet = Control {
        diagnostic: Diagnostic::NONE,
        state: State::Down,
        flags: 0,
        mult: 3,
        my_disc: 7,
        your_disc: 0,
        min_tx_ms: 1000,
        min_rx_ms: 1000,
    };
    bfd.receive(&packet, 5100);
    assert_eq!(told(&mut bfd), ["mult 0 3", "min_rx 1000 true", "down->init Approx 1000ms true"]);
    packet.state = State::Up;
    bfd.receive(&packet, 5200);
    assert_eq!(told(&mut bfd), ["init->up Approx 1000ms true"]);
    packet.state = State::Down;
    bfd.receive(&packet, 5300);
    assert_eq!(told(&mut bfd), ["up->down Approx 1000ms true", "signaled down true"]);
    let first = packet.show().lines().next().map(str::to_owned);
    assert_eq!(first.as_deref(), Some("  vers:1 diag:\"No Diagnostic\" state:down mult:3 length:24"));
}
