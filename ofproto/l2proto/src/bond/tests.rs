//! Transitions of bonds.

use super::*;

fn member(name: &str, mac: u64, may_enable: bool) -> MemberState {
    MemberState { name: name.to_owned(), mac, may_enable }
}

fn bond(mode: BondMode) -> Bond<u16> {
    let config = BondConfig { name: "b".into(), mode, ..BondConfig::default() };
    let mut bond = Bond::new(config, 0, 0);
    bond.set_members([(1, member("p1", 11, true)), (2, member("p2", 12, true))], 0);
    bond.run(LacpStatus::Off, 0);
    bond
}

fn set_link(bond: &mut Bond<u16>, first: bool, second: bool, now_ms: i64) -> bool {
    bond.set_members([(1, member("p1", 11, first)), (2, member("p2", 12, second))], 0);
    bond.run(LacpStatus::Off, now_ms)
}

#[test]
fn the_backup_takes_over_and_stays() {
    let mut bond = bond(BondMode::ActiveBackup);
    assert_eq!((bond.enabled(), bond.active(), bond.active_mac()), (vec![1, 2], Some(1), 11));
    assert!(set_link(&mut bond, false, true, 10));
    assert_eq!(bond.active(), Some(2));
    assert!(bond.take_teaching() && !bond.take_teaching());
    assert!(set_link(&mut bond, true, true, 20));
    assert_eq!(bond.active(), Some(2), "the one that returns is the backup now");
    assert!(!bond.take_teaching(), "and nobody has to learn anything");
    set_link(&mut bond, false, false, 30);
    assert_eq!(
        (bond.active(), bond.take_news().last().map(String::as_str)),
        (None, Some("bond b: all members disabled"))
    );
}

#[test]
fn who_leaves_is_disabled_and_replaced() {
    let mut bond = bond(BondMode::ActiveBackup);
    bond.take_news();
    bond.keep_members(&[2], 10);
    assert_eq!(bond.take_news(), ["member p1: disabled", "bond b: active member is now p2"]);
    bond.keep_members(&[], 10);
    assert_eq!(bond.take_news(), ["member p2: disabled", "bond b: all members disabled"]);
    assert_eq!((bond.active(), bond.enabled()), (None, vec![]));
}

#[test]
fn the_primary_is_active_whenever_it_can_be() {
    let mut bond = bond(BondMode::ActiveBackup);
    let config = BondConfig { primary: Some("p2".into()), ..bond.config().clone() };
    bond.configure(config, 5);
    assert_eq!(bond.active(), Some(2));
    set_link(&mut bond, true, false, 10);
    assert_eq!(bond.active(), Some(1));
    set_link(&mut bond, true, true, 20);
    assert_eq!(bond.active(), Some(2));
    bond.set_members([(1, member("p1", 11, true))], 30);
    assert_eq!(bond.active(), Some(1));
    bond.set_members([(1, member("p1", 11, true)), (3, member("p2", 13, true))], 40);
    assert_eq!(bond.active(), Some(3), "it comes back as a new member");
}

#[test]
fn links_are_believed_after_their_delay() {
    let mut bond = bond(BondMode::ActiveBackup);
    let config = BondConfig { updelay_ms: 500, downdelay_ms: 300, ..bond.config().clone() };
    bond.configure(config, 0);
    set_link(&mut bond, false, true, 100);
    assert_eq!((bond.active(), bond.poll_timeout().map(|t| t.0)), (Some(1), Some(400)));
    set_link(&mut bond, true, true, 399);
    assert_eq!(bond.poll_timeout(), None, "it was a short one");
    set_link(&mut bond, false, true, 500);
    set_link(&mut bond, false, true, 800);
    assert_eq!((bond.enabled(), bond.active()), (vec![2], Some(2)));
    set_link(&mut bond, false, false, 900);
    set_link(&mut bond, false, false, 1200);
    assert_eq!(bond.active(), None);
    set_link(&mut bond, true, false, 1300);
    assert_eq!(bond.active(), Some(1), "with nobody else it need not wait");
}

#[test]
fn buckets_are_spread_and_shifted() {
    let mut bond = bond(BondMode::BalanceSlb);
    let of = |bond: &Bond<u16>, m: u16| bond.buckets().iter().filter(|b| **b == Some(m)).count();
    assert_eq!((of(&bond, 1), of(&bond, 2)), (128, 128));
    let own: Vec<u8> = (0..=255).filter(|b| bond.buckets()[usize::from(*b)] == Some(1)).take(4).collect();
    for bucket in &own {
        bond.account(*bucket, 1 << 20);
    }
    assert!(!bond.run(LacpStatus::Off, 9_999));
    assert!(bond.run(LacpStatus::Off, 10_000));
    let moved = own.iter().filter(|b| bond.buckets()[usize::from(**b)] == Some(2)).count();
    assert_eq!(moved, 2, "half of the load has moved");
    set_link(&mut bond, true, false, 10_001);
    assert_eq!((of(&bond, 1), of(&bond, 2)), (256, 0));
}

#[test]
fn buckets_are_dealt_out_when_they_are_first_used() {
    let of = |bond: &Bond<u16>, m: u16| bond.buckets().iter().filter(|b| **b == Some(m)).count();
    for mode in [BondMode::BalanceSlb, BondMode::BalanceTcp] {
        let mut bond = bond(mode);
        set_link(&mut bond, false, true, 0);
        assert_eq!((of(&bond, 1), of(&bond, 2)), (0, 256));
        set_link(&mut bond, true, true, 1);
        assert_eq!((of(&bond, 1), of(&bond, 2)), (128, 128), "{mode:?}: nothing was sent yet");
        set_link(&mut bond, false, true, 2);
        (0..128).for_each(|bucket| bond.account(bucket, 9));
        set_link(&mut bond, true, true, 3);
        let left = if mode == BondMode::BalanceTcp { (0, 256) } else { (64, 192) };
        assert_eq!((of(&bond, 1), of(&bond, 2)), left, "{mode:?}");
    }
}

#[test]
fn commands_answer_as_people_expect() {
    let mut bond = bond(BondMode::ActiveBackup);
    assert_eq!(bond.set_active("p2"), Ok("done"));
    assert_eq!(bond.set_active("p2"), Ok("no change"));
    assert_eq!(bond.set_active("p9"), Err("no such member"));
    assert_eq!(bond.migrate("3", "p1"), Err("not an SLB bond"));
    assert_eq!(bond.force("p1", false, 0), Ok("disabled"));
    assert_eq!(bond.set_active("p1"), Err("cannot make disabled member active"));
    let config = BondConfig { mode: BondMode::BalanceSlb, ..bond.config().clone() };
    bond.configure(config, 0);
    assert_eq!(bond.migrate("x", "p2"), Err("bad hash"));
    assert_eq!(bond.migrate("300", "p2"), Ok("migrated"));
    assert_eq!(bond.migrate("3", "p1"), Err("cannot migrate to disabled member"));
}

#[test]
fn a_bond_that_waits_for_lacp_may_fall_back() {
    let config = BondConfig { mode: BondMode::BalanceTcp, lacp_fallback_ab: true, ..BondConfig::default() };
    let mut bond = Bond::<u16>::new(config, 12, 0);
    bond.set_members([(1, member("p1", 11, true)), (2, member("p2", 12, true))], 0);
    bond.run(LacpStatus::Configured, 0);
    assert!(bond.falls_back() && bond.buckets().is_empty());
    assert_eq!(bond.active(), Some(2), "the one the database remembers");
    assert!(bond.run(LacpStatus::Negotiated, 1));
    assert!(bond.recirculates() && bond.buckets().len() == BUCKETS);
}
