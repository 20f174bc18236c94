//! Flow tables: commands, counters, timeouts, limits, and batches taken back.

use std::sync::Arc;

use flow::{Key, Mask};
use ofproto::table::{Change, Event, RemovalReason, Selection, Table, TableConfig};
use openflow::ErrorCode;
use openflow::OfPort;
use openflow::action::{Action, Actions};
use openflow::flow_mod::{FlowFlags, FlowMod, FlowModCommand};

fn to(port: u16) -> Actions {
    Arc::from([Action::Output { port: OfPort(port), max_len: 0xffff }])
}

fn fm(command: FlowModCommand, priority: u16, tp_dst: Option<u16>, actions: Actions) -> FlowMod {
    let mut fm = FlowMod { command, priority, actions, ..FlowMod::default() };
    if let Some(port) = tp_dst {
        fm.matching.key.set_tp_dst(port);
        fm.matching.mask.set_tp_dst(u16::MAX);
    }
    fm
}

fn change(fm: FlowMod) -> Change {
    Change::flow_mod(&fm, fm.priority.into())
}

fn output(table: &Table, tp_dst: u16) -> Option<Actions> {
    let mut key = Key::EMPTY;
    key.set_tp_dst(tp_dst);
    table.view().lookup(&key, &mut Mask::EMPTY.clone()).map(|r| r.actions.clone())
}

#[test]
fn add_modify_delete() {
    use FlowModCommand::*;
    let mut table = Table::new(0);
    let staged = table.stage(
        [
            change(fm(Add, 10, None, to(1))),
            change(fm(Add, 20, Some(80), to(2))),
            change(fm(Modify, 0, Some(80), to(3))),
        ],
        1000,
    );
    assert!(staged.outcomes.iter().all(Result::is_ok));
    table.commit();
    assert_eq!(output(&table, 80), Some(to(3)));
    assert_eq!(output(&table, 81), Some(to(1)));
    // The wrong priority is another rule.
    table.stage([change(fm(DeleteStrict, 21, Some(80), to(0)))], 1000);
    assert_eq!(table.len(), 2);
    let staged = table.stage([change(fm(Delete, 0, Some(80), to(0)))], 1000);
    assert!(matches!(staged.outcomes[0].as_ref().unwrap()[..], [Event::Removed(ref r)] if r.rule.priority == 20));
    assert_eq!(output(&table, 80), Some(to(1)));
}

#[test]
fn modifying_nothing_adds_only_with_a_cookie_to_give() {
    let mut table = Table::new(0);
    let mut modify = fm(FlowModCommand::Modify, 5, Some(1), to(1));
    modify.new_cookie = u64::MAX;
    table.stage([change(modify.clone())], 0);
    assert_eq!(table.len(), 0);
    modify.new_cookie = 7;
    table.stage([change(modify)], 0);
    assert_eq!(table.len(), 1);
}

#[test]
fn a_batch_is_taken_back_whole() {
    use FlowModCommand::*;
    let mut table = Table::new(3);
    table.stage([change(fm(Add, 1, Some(1), to(1))), change(fm(Add, 1, Some(2), to(2)))], 0);
    table.commit();
    let (rules, _) = (table.select_rules(&Selection::everything()), ());
    table.credit(rules[0].0.id, 5, 500, 10);
    table.stage(
        [
            change(fm(Add, 9, Some(1), to(9))),
            change(fm(Add, 1, Some(1), to(8))),
            change(fm(Delete, 0, None, to(0))),
            change(fm(Add, 1, Some(2), to(7))),
        ],
        20,
    );
    assert_eq!((table.len(), output(&table, 1)), (1, None));
    table.rollback();
    assert_eq!((output(&table, 1), output(&table, 2)), (Some(to(1)), Some(to(2))));
    let after = table.select_rules(&Selection::everything());
    assert_eq!(
        after.iter().map(|(r, s)| (r.id, s.packets)).collect::<Vec<_>>(),
        [(rules[0].0.id, 5), (rules[1].0.id, 0)]
    );
}

#[test]
fn statistics_list_rules_by_shape_and_by_their_last_change() {
    use FlowModCommand::*;
    let mut table = Table::new(0);
    let add = |priority, port| change(fm(Add, priority, port, to(1)));
    table.stage([add(5, Some(1)), add(7, None), add(9, Some(2)), add(5, Some(3)), add(6, Some(1))], 0);
    let listed = |table: &Table| -> Vec<(i32, u16)> {
        let rules = table.select_rules(&Selection::everything());
        rules.iter().map(|(r, _)| (r.priority, r.mini.key().tp_dst())).collect()
    };
    assert_eq!(listed(&table), [(5, 1), (9, 2), (5, 3), (6, 1), (7, 0)]);
    table.stage([change(fm(ModifyStrict, 5, Some(1), to(2))), add(5, Some(3))], 0);
    assert_eq!(listed(&table), [(9, 2), (6, 1), (5, 1), (5, 3), (7, 0)]);
    // The other shape has the highest priority now.
    table.stage([change(fm(DeleteStrict, 9, Some(2), to(0)))], 0);
    assert_eq!(listed(&table), [(7, 0), (6, 1), (5, 1), (5, 3)]);
}

#[test]
fn an_old_view_stays_what_it_was() {
    let mut table = Table::new(0);
    table.stage([change(fm(FlowModCommand::Add, 1, None, to(1)))], 0);
    let before = table.view();
    table.stage([change(fm(FlowModCommand::Delete, 0, None, to(0)))], 0);
    assert!(before.lookup(&Key::EMPTY, &mut Mask::EMPTY.clone()).is_some());
    assert!(table.view().lookup(&Key::EMPTY, &mut Mask::EMPTY.clone()).is_none());
}

#[test]
fn timeouts() {
    let mut table = Table::new(0);
    let mut idle = fm(FlowModCommand::Add, 1, Some(1), to(1));
    idle.idle_timeout = 5;
    let mut hard = fm(FlowModCommand::Add, 1, Some(2), to(1));
    hard.hard_timeout = 8;
    table.stage([change(idle), change(hard)], 0);
    table.commit();
    let id = table.select_rules(&Selection::everything())[0].0.id;
    table.credit(id, 1, 60, 4000);
    assert!(table.expire(6000).is_empty());
    let gone = |table: &mut Table, at| table.expire(at).iter().map(|r| r.reason).collect::<Vec<_>>();
    assert_eq!(gone(&mut table, 8001), [RemovalReason::HardTimeout]);
    assert_eq!(table.next_deadline(), Some(9001));
    assert_eq!(gone(&mut table, 9001), [RemovalReason::IdleTimeout]);
    assert_eq!((table.len(), table.next_deadline()), (0, None));
}

#[test]
fn time_and_limits_wait_for_a_staged_batch() {
    let mut table = Table::new(0);
    let mut hard = fm(FlowModCommand::Add, 1, Some(2), to(1));
    hard.hard_timeout = 1;
    table.stage([change(hard.clone())], 0);
    table.commit();
    hard.matching.key.set_tp_dst(3);
    table.stage([change(hard)], 0);
    // The bundle that this belongs to may still be discarded: neither time nor a limit makes it stand.
    assert!(table.expire(5000).is_empty());
    let none = TableConfig { max_flows: Some(0), evict: true, ..TableConfig::default() };
    assert!(table.configure(none, 5000).is_empty());
    table.rollback();
    assert_eq!(table.len(), 1);
    assert_eq!(table.evict(5000).len(), 1);
}

#[test]
fn overlap_limit_and_eviction() {
    let mut table = Table::new(0);
    let mut check = fm(FlowModCommand::Add, 1, Some(2), to(1));
    check.flags = FlowFlags::CHECK_OVERLAP;
    let staged = table.stage([change(fm(FlowModCommand::Add, 1, None, to(1))), change(check)], 0);
    assert_eq!(staged.outcomes[1].as_ref().unwrap_err(), &ErrorCode::OFPFMFC_OVERLAP);
    table.configure(TableConfig { max_flows: Some(2), ..TableConfig::default() }, 0);
    let timed = |port, importance| {
        let mut fm = fm(FlowModCommand::Add, 1, Some(port), to(1));
        (fm.idle_timeout, fm.importance) = (60, importance);
        change(fm)
    };
    assert!(table.stage([timed(1, 3)], 0).outcomes[0].is_ok());
    assert_eq!(table.stage([timed(2, 9)], 0).outcomes[0].as_ref().unwrap_err(), &ErrorCode::OFPFMFC_TABLE_FULL);
    table.configure(TableConfig { max_flows: Some(2), evict: true, ..TableConfig::default() }, 0);
    let staged = table.stage([timed(2, 9)], 0);
    let events = staged.outcomes[0].as_ref().unwrap();
    assert!(matches!(&events[0], Event::Removed(r) if r.reason == RemovalReason::Eviction && r.rule.importance == 3));
    assert_eq!(table.len(), 2);
}
