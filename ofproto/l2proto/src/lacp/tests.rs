//! Two machines that talk to each other, with loss and silence.

use super::*;

fn config(name: &str, id: u64, active: bool) -> LacpConfig {
    let system_priority = DEFAULT_SYSTEM_PRIORITY;
    LacpConfig { name: name.into(), system_id: id, system_priority, active, fast: true, fallback_ab: false }
}

fn members() -> [(u16, MemberConfig, bool); 2] {
    let config =
        |n| MemberConfig { name: format!("p{n}"), port_id: n, port_priority: u16::MAX, ..MemberConfig::default() };
    [1, 2].map(|n| (n, config(n), true))
}

/// Two ends of two links.
struct Pair([Lacp<u16>; 2]);

impl Pair {
    fn new(second: LacpConfig) -> Pair {
        let mut pair = Pair([Lacp::new(config("a", 1, true)), Lacp::new(second.clone())]);
        pair.0[0].configure(config("a", 1, true), members(), 0);
        pair.0[1].configure(second, members(), 0);
        pair
    }

    /// Runs both every 100 ms; `passes` says which frames arrive, by end.
    fn run(&mut self, from_ms: i64, to_ms: i64, passes: impl Fn(usize) -> bool) {
        for now_ms in (from_ms..=to_ms).step_by(100) {
            for end in [0, 1] {
                self.0[end].run(now_ms);
                for frame in self.0[end].poll_output() {
                    if passes(end) {
                        self.0[1 - end].handle(frame.member, &frame.pdu, now_ms);
                    }
                }
            }
        }
    }

    fn fit(&self) -> Vec<bool> {
        self.0.iter().flat_map(|l| [1, 2].map(|m| l.may_enable(m))).collect()
    }
}

#[test]
fn an_active_and_a_passive_side_agree_and_part() {
    let mut pair = Pair::new(config("b", 2, false));
    pair.run(0, 1_000, |_| true);
    assert_eq!(pair.fit(), [true; 4]);
    assert_eq!(pair.0.each_ref().map(Lacp::status), [LacpStatus::Negotiated; 2]);
    pair.run(1_100, 4_200, |end| end == 0);
    assert_eq!(pair.fit()[..2], [false; 2], "three seconds of silence");
    pair.run(4_300, 7_500, |end| end == 0);
    assert_eq!((pair.0[0].status(), pair.0[0].is_current(1)), (LacpStatus::Configured, false));
    pair.run(7_600, 9_000, |_| true);
    assert_eq!(pair.fit(), [true; 4]);
}

/// Two ends that have agreed and turn passive keep talking; two that never heard of each other stay silent.
#[test]
fn passive_ends_keep_what_they_agreed_on() {
    let mut pair = Pair::new(config("b", 2, true));
    pair.run(0, 1_000, |_| true);
    for (end, (name, id)) in [("a", 1), ("b", 2)].into_iter().enumerate() {
        pair.0[end].configure(config(name, id, false), members(), 1_000);
    }
    pair.run(1_100, 20_000, |_| true);
    assert_eq!(pair.fit(), [true; 4]);
    pair.run(20_100, 30_000, |_| false);
    pair.run(30_100, 40_000, |_| true);
    assert_eq!(pair.fit(), [false; 4]);
    assert!(pair.0.iter().all(|l| !l.is_current(1)));
}

/// Nothing is said on a link without carrier, so that it is said at once when the carrier is back.
#[test]
fn a_link_that_was_down_is_used_again_at_once() {
    let mut pair = Pair::new(config("b", 2, true));
    pair.run(0, 1_000, |_| true);
    let set_carrier = |pair: &mut Pair, up: bool, now_ms: i64| {
        let [mut first, second] = members();
        first.2 = up;
        pair.0[0].configure(config("a", 1, true), [first.clone(), second.clone()], now_ms);
        pair.0[1].configure(config("b", 2, true), [first, second], now_ms);
    };
    set_carrier(&mut pair, false, 1_050);
    let sent = pair.0[0].members[&1].counts.tx;
    pair.run(1_100, 6_000, |_| true);
    assert_eq!(pair.fit(), [false, true, false, true]);
    let member = &pair.0[0].members[&1];
    assert_eq!((member.counts.tx, member.freshness), (sent, Freshness::Defaulted));
    assert_eq!(pair.0[0].actor(member).state & (state::COLLECTING | state::DISTRIBUTING), 0);
    set_carrier(&mut pair, true, 6_050);
    pair.run(6_100, 7_500, |_| true);
    assert_eq!(pair.fit(), [true; 4]);
}

/// A device that tells of no changes still sends nothing while it has no carrier, and goes on once it has.
#[test]
fn a_carrier_that_is_not_told_of_counts_nothing() {
    let mut lacp = Lacp::new(config("a", 1, true));
    let members = |up| members().map(|(n, member, _)| (n, MemberConfig { is_carrier_untold: true, ..member }, up));
    lacp.configure(config("a", 1, true), members(false), 0);
    lacp.run(1_000);
    assert_eq!(lacp.members[&1].counts.tx, 0);
    lacp.configure(config("a", 1, true), members(true), 2_000);
    lacp.run(2_000);
    assert_eq!((lacp.members[&1].counts.tx, lacp.members[&1].counts.carrier), (1, 0));
}

#[test]
fn a_link_that_is_up_again_is_used_at_once() {
    let mut pair = Pair::new(config("b", 2, true));
    pair.run(0, 1_000, |_| true);
    let link = |up| members().map(|(n, member, _)| (n, member, up || n == 1));
    pair.0[0].configure(config("a", 1, true), link(false), 1_050);
    // What it says of a link that is down does not arrive; the other side's link is up all the time.
    pair.run(1_100, 2_500, |_| false);
    pair.0[0].configure(config("a", 1, true), link(true), 2_550);
    assert!(!pair.0[0].may_enable(2));
    pair.run(2_600, 2_700, |_| true);
    assert!(pair.0[0].may_enable(2));
}

#[test]
fn two_passive_sides_say_nothing() {
    let mut pair = Pair::new(config("b", 2, false));
    pair.0[0].configure(config("a", 1, false), members(), 0);
    for end in [0, 1] {
        pair.0[end].members.values_mut().for_each(|m| m.freshness = Freshness::Defaulted);
        pair.0[end].run(100);
        assert!(pair.0[end].poll_output().is_empty());
    }
}

#[test]
fn a_link_to_oneself_is_not_used() {
    let mut lacp = Lacp::new(config("a", 1, true));
    lacp.configure(config("a", 1, true), members(), 0);
    lacp.run(0);
    for frame in lacp.poll_output() {
        lacp.handle(3 - frame.member, &frame.pdu, 0);
    }
    lacp.run(1);
    assert!(!lacp.may_enable(1) && lacp.take_news().iter().any(|line| line.contains("Loopback")));
}

#[test]
fn with_fallback_silence_is_no_obstacle() {
    let mut lacp = Lacp::new(LacpConfig { fallback_ab: true, ..config("a", 1, true) });
    lacp.configure(lacp.config.clone(), members(), 0);
    lacp.run(0);
    assert!(!lacp.may_enable(1));
    lacp.run(3_000);
    assert!(lacp.may_enable(1) && lacp.status() == LacpStatus::Configured);
    let partner =
        Info { system_id: 9, key: 2, state: state::SYNC | state::ACTIVITY | state::TIMEOUT, ..Info::default() };
    lacp.handle(2, &Pdu { actor: partner, partner: Info::default() }.emit(), 3_000);
    lacp.run(3_001);
    assert!(lacp.may_enable(2) && !lacp.may_enable(1), "a member whose partner speaks goes before");
}

#[test]
fn frames_are_read_as_they_were_written() {
    let actor =
        Info { system_priority: 9, system_id: 0x0102_0304_0506, key: 7, port_priority: 5, port_id: 3, state: 0x3d };
    let pdu = Pdu { actor, partner: Info { state: 2, ..Info::default() } };
    let octets = pdu.emit();
    assert_eq!(Pdu::parse(&octets), Some(pdu));
    assert_eq!(Pdu::parse(&octets[..PDU_LEN - 1]), None);
    let mut lacp = Lacp::<u16>::new(config("a", 1, true));
    lacp.configure(config("a", 1, true), members(), 0);
    lacp.handle(1, &[1, 2, 3], 0);
    assert!(lacp.show_stats().contains("RX Bad PDUs: 1\n"));
}
