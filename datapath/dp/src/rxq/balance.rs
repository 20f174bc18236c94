//! Whether queues are to be dealt out anew because a thread has too much to do: what `pmd-auto-lb` asks for.
//!
//! Source: the manual's chapter on PMD threads, and ovs-vswitchd.conf.db(5), other_config of Open_vSwitch.

use std::collections::BTreeMap;

use flow::OdpPort;

use super::{Algorithm, Assignment, Core, Notes, PolledPort, Settings, Thread, assign, is_announcement};
use crate::load::Load;

const WHAT: &str = "PMD auto load balance";

/// What came of looking at the threads.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct DryRun {
    /// Lines for the log, at its debugging level.
    pub lines: Vec<String>,
    /// Dealing the queues out anew is worth it.
    pub is_worth_it: bool,
}

/// Whether a thread that takes part was busy for `percent` of its time in every ten seconds of the last minute. What is
/// not remembered was idle.
pub fn is_overloaded(assignment: &Assignment, loads: &BTreeMap<(OdpPort, u32), Load>, percent: u32) -> bool {
    let is_busy = |thread: &Thread| {
        let own: Vec<&Load> = thread.queues.iter().filter_map(|(port, _, queue)| loads.get(&(*port, *queue))).collect();
        (0..Load::PERIODS).all(|back| {
            let busy_us: u64 = own.iter().map(|load| load.period_us(back)).sum();
            busy_us * 100 >= u64::from(percent) * Load::PERIOD_US
        })
    };
    assignment.threads.iter().filter(|t| !t.isolated).any(is_busy)
}

/// Why nothing can be balanced, for the log; `None`: it can.
pub fn hindrance(assignment: &Assignment, settings: &Settings) -> Option<&'static str> {
    if settings.assign == Algorithm::RoundRobin {
        return Some("pmd-rxq-assign=roundrobin assignment type configured.");
    }
    let free: Vec<&Thread> = assignment.threads.iter().filter(|t| !t.isolated).collect();
    let is_possible = free.len() > 1 && free.iter().any(|t| t.queues.len() > 1);
    (!is_possible).then_some("not enough non-isolated PMDs or RxQs.")
}

/// The line of the log where nothing is done, for a reason.
pub fn idle_line(reason: &str) -> String {
    format!("{WHAT} nothing to do, {reason}")
}

/// The line of the log before queues are dealt out anew.
pub fn anew_line() -> String {
    format!("{WHAT} dry run. Requesting datapath reconfigure.")
}

/// Deals the queues of `ports` out as it would be done with what they cost now, nanoseconds of `window_ns`, and compares
/// the loads of threads, node by node: the variance has to get better by `percent`.
pub fn dry_run(
    cores: &[Core],
    settings: &Settings,
    ports: &[PolledPort],
    now: &Assignment,
    window_ns: u64,
    percent: u32,
) -> DryRun {
    let (then, notes) = assign(cores, settings, ports);
    let mut lines = vec![format!("{WHAT} performing dry run.")];
    lines.extend(dealt(notes));
    let nodes = nodes(&then);
    if nodes.len() > 1 && crosses_nodes(&then, ports) {
        let text = "detected cross-numa polling with multiple numa nodes. Unable to accurately estimate.";
        lines.push(format!("{WHAT} {text}"));
        return DryRun { lines, is_worth_it: false };
    }
    let mut is_worth_it = false;
    for numa in nodes {
        let of = |assignment| variance(&loads(assignment, numa, ports, window_ns));
        let (current, estimated) = (of(now), of(&then));
        let better = (current.saturating_sub(estimated) * 100).checked_div(current).unwrap_or(0);
        lines.push(format!(
            "Numa node {numa}. Current variance {current} Estimated variance {estimated}. Variance improvement {better}%."
        ));
        is_worth_it |= better >= u64::from(percent);
    }
    let met = if is_worth_it { "met" } else { "not met" };
    lines.push(format!("PMD load variance improvement threshold {percent}% is {met}."));
    DryRun { lines, is_worth_it }
}

fn dealt(notes: Notes) -> impl Iterator<Item = String> {
    notes.into_iter().map(|(_, text)| text).filter(|text| !is_announcement(text))
}

/// Nodes with threads.
fn nodes(assignment: &Assignment) -> Vec<u32> {
    let mut nodes: Vec<u32> = assignment.threads.iter().map(|t| t.core.numa).collect();
    nodes.sort_unstable();
    nodes.dedup();
    nodes
}

/// Whether a queue that is not pinned is polled from another node.
fn crosses_nodes(assignment: &Assignment, ports: &[PolledPort]) -> bool {
    let port = |number| ports.iter().find(|p| p.number == number);
    assignment.threads.iter().any(|thread| {
        thread.queues.iter().any(|(number, _, queue)| {
            port(*number).is_some_and(|p| !p.affinity.contains_key(queue) && p.numa != thread.core.numa)
        })
    })
}

/// The loads of a node's threads that take part, percent.
fn loads(assignment: &Assignment, numa: u32, ports: &[PolledPort], window_ns: u64) -> Vec<u64> {
    let cost = |(number, _, queue): &(OdpPort, String, u32)| {
        ports.iter().find(|p| p.number == *number).map_or(0, |p| p.cost(*queue))
    };
    let load = |t: &Thread| (t.queues.iter().map(cost).sum::<u64>() * 100).checked_div(window_ns).unwrap_or(0);
    assignment.threads.iter().filter(|t| t.core.numa == numa && !t.isolated).map(load).collect()
}

fn variance(of: &[u64]) -> u64 {
    let n = of.len() as u64;
    let mean = of.iter().sum::<u64>().checked_div(n).unwrap_or(0);
    of.iter().map(|x| x.abs_diff(mean).pow(2)).sum::<u64>().checked_div(n).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE_NS: u64 = 60_000_000_000;

    fn port(costs: &[u64], numa: u32, affinity: &[(u32, u32)]) -> PolledPort {
        PolledPort {
            number: 1,
            name: "p1".into(),
            queues: costs.len() as u32,
            numa,
            affinity: affinity.iter().copied().collect(),
            costs: (0..).zip(costs.iter().map(|percent| percent * MINUTE_NS / 100)).collect(),
        }
    }

    fn settings(mask: u32) -> Settings {
        let mask = (0..4).filter(|c| mask >> c & 1 == 1).collect();
        Settings { mask: Some(mask), isolate: true, ..Settings::default() }
    }

    fn cores() -> Vec<Core> {
        (0..4).map(|core| Core { numa: core / 2, core }).collect()
    }

    /// Queues were dealt out when they cost nothing, and cost something now.
    #[test]
    fn what_makes_threads_more_equal_is_worth_it() {
        let cases: [(&[u64], u32, &str, bool); 4] = [
            (&[0, 0, 0], 25, "Current variance 0 Estimated variance 0. Variance improvement 0%.", false),
            (&[0, 0, 0], 0, "Current variance 0 Estimated variance 0. Variance improvement 0%.", true),
            (&[0, 60, 40, 0], 25, "Current variance 2500 Estimated variance 100. Variance improvement 96%.", true),
            (&[50, 50, 0], 25, "Current variance 0 Estimated variance 0. Variance improvement 0%.", false),
        ];
        for (costs, percent, expected, is_worth_it) in cases {
            let (now, _) = assign(&cores(), &settings(3), &[port(&vec![0; costs.len()], 0, &[])]);
            let dry = dry_run(&cores(), &settings(3), &[port(costs, 0, &[])], &now, MINUTE_NS, percent);
            assert!(dry.lines.iter().any(|line| line.ends_with(expected)), "{costs:?}: {:?}", dry.lines);
            assert_eq!(dry.is_worth_it, is_worth_it, "{costs:?} {percent}");
            let last = format!("threshold {percent}% is {}.", if is_worth_it { "met" } else { "not met" });
            assert!(dry.lines.last().is_some_and(|line| line.ends_with(&last)), "{:?}", dry.lines);
        }
    }

    #[test]
    fn nobody_can_say_what_another_node_would_cost() {
        let pinned = port(&[0, 0, 0], 0, &[(0, 0)]);
        let of = |mask: u32| {
            let (now, _) = assign(&cores(), &settings(mask), std::slice::from_ref(&pinned));
            dry_run(&cores(), &settings(mask), std::slice::from_ref(&pinned), &now, MINUTE_NS, 0)
        };
        let dry = of(0b1101);
        assert!(!dry.is_worth_it);
        assert!(dry.lines.last().is_some_and(|l| l.contains("detected cross-numa polling")), "{:?}", dry.lines);
        assert!(of(0b1100).is_worth_it, "all threads are on one node");
    }

    #[test]
    fn some_settings_leave_nothing_to_balance() {
        let enough = "not enough non-isolated PMDs or RxQs.";
        let round = "pmd-rxq-assign=roundrobin assignment type configured.";
        let cases = [
            (1, 3, Algorithm::Cycles, &[][..], Some(enough)),
            (3, 2, Algorithm::Cycles, &[], Some(enough)),
            (3, 3, Algorithm::Cycles, &[], None),
            (3, 3, Algorithm::Group, &[], None),
            (3, 3, Algorithm::RoundRobin, &[], Some(round)),
            (3, 4, Algorithm::Cycles, &[(0, 0)], Some(enough)),
        ];
        for (mask, queues, assign, affinity, expected) in cases {
            let settings = Settings { assign, ..settings(mask) };
            let (now, _) = super::assign(&cores(), &settings, &[port(&vec![0; queues], 0, affinity)]);
            assert_eq!(hindrance(&now, &settings), expected, "{mask} {queues} {assign:?} {affinity:?}");
        }
    }

    #[test]
    fn a_thread_is_overloaded_after_a_whole_minute() {
        let (now, _) = assign(&cores(), &settings(3), &[port(&[0, 0], 0, &[])]);
        let load = |seconds: u64, busy_us: u64| {
            let mut load = Load::new(0);
            for second in 1..=seconds {
                load.add(busy_us);
                load.turn(second * 1_000_000);
            }
            BTreeMap::from([((1, 1), load)])
        };
        assert!(is_overloaded(&now, &load(60, 960_000), 95));
        assert!(!is_overloaded(&now, &load(60, 940_000), 95));
        assert!(!is_overloaded(&now, &load(50, 960_000), 95), "not for a minute");
        assert!(is_overloaded(&now, &BTreeMap::new(), 0));
    }
}
