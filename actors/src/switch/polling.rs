//! How datapaths receive and look up, from the columns to their threads: caches, and who polls the queues of ports that
//! have threads of their own.
//!
//! Such ports are `dummy-pmd` ones, always, and the host's devices and taps where `pmd-cpu-mask` names more than one
//! processor. All others are the datapath's main thread's, which is the only one unless asked otherwise. Open vSwitch's
//! threads poll no device of the host's either way.

use std::collections::BTreeMap;
use std::path::Path;

use actix::prelude::*;
use dp::rxq::{self, Algorithm, Assignment, Core, PolledPort, Settings};
use hashing::HashOrder;

use super::Switch;
use super::desired::Pairs;
use crate::clock;
use crate::msg::datapath::{ReadStats, Tune};
use crate::port::device::{DeviceKind, dummy_queues, ring_queues};

/// One packet in so many enters the exact-match cache unless told.
pub(super) const EMC_INSERT_INV_PROB: u32 = 100;

/// How long a datapath may take to say what its threads had to do.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);

/// The key of the processors that a port's queues are to have.
const AFFINITY: &str = "pmd-rxq-affinity";

/// What polling was last worked out from, and what came of it.
#[derive(Debug, Clone, Default)]
pub(super) struct Polling {
    settings: Settings,
    /// The processors, as they were written.
    mask: Option<String>,
    ports: Vec<PolledPort>,
    pub(super) assignment: std::sync::Arc<Assignment>,
    told: Option<Tune>,
    /// Ports whose affinity makes no sense, as the log was told of them: bridge, OpenFlow port, and the text.
    odd: BTreeMap<String, (String, u16, String)>,
    /// What of balancing and sleeping the log was told last.
    balance: Option<Balance>,
    /// When threads are looked at again, lest one has too much to do, milliseconds.
    pub(super) balance_at_ms: Option<i64>,
    /// Nothing could be balanced as things are, and the log was told why.
    is_hindered: bool,
    /// The share of flows that the exact match cache takes, and whether there is a signature match cache, as told last.
    caches: Option<(u32, bool)>,
    /// Devices that can take flows do, as the log was told.
    offloads: bool,
    /// Ports that the exact match cache leaves out, as the log was told.
    emc_off: BTreeMap<String, flow::OdpPort>,
}

/// The processors and their nodes, in the order in which the system lists them; those of `--dummy-numa` if given.
pub fn cores(dummy_numa: Option<&str>) -> Vec<Core> {
    if let Some(list) = dummy_numa {
        let nodes = list.split(',').map(|numa| numa.trim().parse().unwrap_or(0));
        return (0u32..).zip(nodes).map(|(core, numa)| Core { numa, core }).collect();
    }
    let mut cores = Vec::new();
    for numa in 0.. {
        let Ok(entries) = std::fs::read_dir(Path::new("/sys/devices/system/node").join(format!("node{numa}"))) else {
            break;
        };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        cores.extend(names.filter_map(|name| Some(Core { numa, core: name.strip_prefix("cpu")?.parse().ok()? })));
    }
    cores
}

/// What the log is told of processors at the start: nodes in the order of Open vSwitch's table of them.
pub fn discovered(cores: &[Core]) -> Vec<String> {
    let (mut nodes, mut order) = (BTreeMap::new(), HashOrder::default());
    for core in cores {
        let n = nodes.entry(core.numa).or_insert(0);
        if *n == 0 {
            order.insert(hashing::two_words(core.numa, 0), core.numa);
        }
        *n += 1;
    }
    let line = |numa: u32| format!("Discovered {} CPU cores on NUMA node {numa}", nodes[&numa]);
    let mut lines: Vec<String> = order.iter().map(line).collect();
    lines.push(format!("Discovered {} NUMA nodes and {} CPU cores", nodes.len(), cores.len()));
    lines
}

/// Reads the switch's settings, notes what differs from `before`, and complains of what makes no sense, but for
/// processors.
fn settings(other_config: &Pairs, before: &Settings, notes: &mut rxq::Notes) -> Settings {
    let mask = other_config.get("pmd-cpu-mask").map(|text| rxq::parse_mask(text, |_| ()));
    let assign = match other_config.get("pmd-rxq-assign") {
        None => Algorithm::default(),
        Some(text) => Algorithm::parse(text).unwrap_or_else(|| {
            let text = "Unsupported rx queue to PMD assignment mode in pmd-rxq-assign. Defaulting to 'cycles'.";
            notes.push((true, text.to_owned()));
            Algorithm::default()
        }),
    };
    if assign != before.assign {
        notes.push((false, format!("Rxq to PMD assignment mode changed to: '{}'.", assign.name())));
    }
    let mut isolate = other_config.get("pmd-rxq-isolate").is_none_or(|text| text != "false");
    if !isolate && assign != Algorithm::Group {
        notes.push((true, "pmd-rxq-isolate can only be set false when using pmd-rxq-assign=group".to_owned()));
        isolate = true;
    }
    Settings { mask, assign, isolate }
}

/// What is asked of threads that poll: to share their queues out anew by themselves when one has too much to do, and to
/// sleep when there is little. These threads sleep whenever there is nothing at all to do: of that the log is told what is
/// asked for, and nothing else happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Balance {
    is_enabled: bool,
    interval_min: u32,
    improvement_percent: u32,
    load_percent: u32,
    sleep_us: u32,
}

impl Balance {
    /// Values outside their bounds are those that hold unless told.
    fn read(other_config: &Pairs) -> Balance {
        let number = |key: &str| super::plan::figure::<i64>(other_config, key);
        let within = |key: &str, bounds: std::ops::RangeInclusive<i64>, default: u32| {
            number(key).filter(|n| bounds.contains(n)).map_or(default, |n| n as u32)
        };
        const SLEEP_US: u32 = 10_000;
        let sleep = other_config.get("pmd-maxsleep").map(|_| number("pmd-maxsleep").unwrap_or(0));
        Balance {
            is_enabled: super::plan::flag(other_config, "pmd-auto-lb"),
            interval_min: within("pmd-auto-lb-rebal-interval", 1..=20_000, 1),
            improvement_percent: within("pmd-auto-lb-improvement-threshold", 0..=100, 25),
            load_percent: within("pmd-auto-lb-load-threshold", 0..=100, 95),
            sleep_us: sleep.map_or(0, |us| u32::try_from(us).map_or(SLEEP_US, |us| us.min(SLEEP_US))),
        }
    }

    /// When threads are looked at next, milliseconds.
    fn next_ms(self) -> Option<i64> {
        self.is_enabled.then(|| clock::now_ms() + i64::from(self.interval_min) * 60_000)
    }

    /// What is new; of sleeps for all datapaths, which have been told of one so far.
    fn notes(self, before: Option<Balance>, told_sleep_us: &mut Option<u32>) -> rxq::Notes {
        const WHAT: &str = "PMD auto load balance";
        let mut notes = rxq::Notes::new();
        let mut say = |text: String| notes.push((false, text));
        // All figures of a new datapath are zero.
        let is_new = |of: fn(&Balance) -> u32| before.as_ref().map_or(0, of) != of(&self);
        let Balance { is_enabled, interval_min, improvement_percent, load_percent, sleep_us } = self;
        if is_new(|b| b.interval_min) {
            say(format!("{WHAT} interval set to {interval_min} mins"));
        }
        if is_new(|b| b.improvement_percent) {
            say(format!("{WHAT} improvement threshold set to {improvement_percent}%"));
        }
        if is_new(|b| b.load_percent) {
            say(format!("{WHAT} load threshold set to {load_percent}%"));
        }
        let same = before.is_some_and(|before| Balance { sleep_us, ..before } == self);
        if is_enabled && !same {
            say(format!(
                "{WHAT} is enabled, interval {interval_min} mins, pmd load threshold {load_percent}%, improvement threshold \
                 {improvement_percent}%."
            ));
        } else if !same {
            say(format!("{WHAT} is disabled."));
        }
        if told_sleep_us.replace(sleep_us) != Some(sleep_us) {
            say(format!("PMD max sleep request is {sleep_us} usecs."));
            say(format!("PMD load based sleeps are {}.", if sleep_us > 0 { "enabled" } else { "disabled" }));
        }
        notes
    }
}

/// What the log is told of a change of the caches: one in how many flows the exact match cache takes, and whether there
/// is a signature match cache.
fn cache_notes(before: Option<(u32, bool)>, (inverse, smc): (u32, bool)) -> rxq::Notes {
    let (old_inverse, old_smc) = before.unwrap_or((EMC_INSERT_INV_PROB, false));
    let mut notes = rxq::Notes::new();
    if inverse != old_inverse {
        let percent = 100.0 / f64::from(inverse.max(1));
        let text = match inverse {
            0 => "EMC insertion probability changed to zero".to_owned(),
            _ => format!("EMC insertion probability changed to 1/{inverse} (~{percent:.2}%)"),
        };
        notes.push((false, text));
    }
    if smc != old_smc {
        notes.push((false, format!("SMC cache is {}", if smc { "enabled" } else { "disabled" })));
    }
    notes
}

/// What the log is told of ports that the exact match cache leaves out, and no longer leaves out: whether it takes
/// them, by name and number. One in `inverse` of their flows enters it.
fn emc_notes(
    before: &BTreeMap<String, flow::OdpPort>,
    ports: &[((String, flow::OdpPort), bool)],
    inverse: u32,
) -> rxq::Notes {
    let news = ports.iter().filter(|((name, number), is_on)| (before.get(name) == Some(number)) == *is_on);
    let text = |((name, _), is_on): &((String, flow::OdpPort), bool)| {
        let percent = 100.0 / f64::from(inverse.max(1));
        let text = match (is_on, inverse) {
            (false, _) => format!("{name}: EMC has been disabled."),
            (true, 0) => format!("{name}: EMC has been enabled. Current insertion probability is zero."),
            (true, _) => {
                format!("{name}: EMC has been enabled. Current insertion probability is 1/{inverse} (~{percent:.2}%).")
            }
        };
        (false, text)
    };
    news.map(text).collect()
}

pub(super) fn log(notes: &rxq::Notes) {
    for (is_warning, text) in notes {
        if *is_warning {
            vlog::warn!("dpif_netdev", "{text}");
        } else {
            vlog::info!("dpif_netdev", "{text}");
        }
    }
}

impl Switch {
    /// Has every datapath receive as the database wants it. A change of the configuration has the log told of all that is
    /// wrong with it, be it old or new.
    pub(super) fn tune_datapaths(&mut self, is_change: bool) {
        let number = |name: &str| super::plan::figure::<u32>(&self.desired.other_config, name);
        let emc_insert_inv_prob = number("emc-insert-inv-prob").unwrap_or(EMC_INSERT_INV_PROB);
        let smc = super::plan::flag(&self.desired.other_config, "smc-enable");
        let kernel_path = super::desired::kernel_path(&self.desired.other_config);
        let measures = super::plan::flag(&self.desired.other_config, "pmd-perf-metrics");
        let offloads = super::plan::flag(&self.desired.other_config, "hw-offload");
        if offloads && self.offload_threads == 0 {
            let (threads, said) = super::notes::of_offload(&self.desired.other_config);
            super::notes::tell(&said);
            self.offload_threads = threads;
        }
        let kinds: Vec<String> = self.datapaths.keys().cloned().collect();
        let balance = Balance::read(&self.desired.other_config);
        for kind in kinds {
            // That of the kernel's has no such threads elsewhere.
            let has_balance = kind != "system" || self.settings.dummy.covers(&kind);
            let ports = self.polled_ports(&kind);
            let odd = self.odd_affinities(&kind);
            let emc = self.emc_choices(&kind);
            let Some(backer) = self.datapaths.get_mut(&kind) else { continue };
            let polling = &mut backer.polling;
            if kind == "dummy" && self.offload_threads > 0 && !std::mem::replace(&mut polling.offloads, true) {
                vlog::info!("netdev_offload", "ovs-{kind}: Assigned flow API 'dummy'.");
            }
            for (name, (bridge, port, _)) in odd.iter().filter(|(name, of)| polling.odd.get(*name) != Some(of)) {
                vlog::warn!("dpif", "{kind}@ovs-{kind}: port_set_config failed (Invalid argument)");
                let what = format_args!("datapath configuration on port {port} ({name}) failed");
                vlog::warn!("ofproto", "{bridge}: {what} (Invalid argument)");
            }
            polling.odd = odd;
            let mut notes = rxq::Notes::new();
            let settings = settings(&self.desired.other_config, &polling.settings, &mut notes);
            let mask = self.desired.other_config.get("pmd-cpu-mask");
            let is_new = polling.told.is_none()
                || settings != polling.settings
                || mask != polling.mask.as_ref()
                || ports != polling.ports;
            if !is_change {
                notes.clear();
            }
            let isolates = (settings.isolate != polling.settings.isolate).then_some(settings.isolate);
            notes.extend(isolates.map(|yes| {
                let text = if yes { "isolates" } else { "does not isolate" };
                (false, format!("pmd-rxq-affinity {text} PMD core"))
            }));
            if has_balance {
                let before = polling.balance.replace(balance);
                notes.extend(balance.notes(before, &mut self.told_sleep_us));
                if before != Some(balance) {
                    polling.balance_at_ms = balance.next_ms();
                }
            }
            if is_new {
                if let Some(mask) = mask.filter(|_| !ports.is_empty()) {
                    rxq::parse_mask(mask, |letter| vlog::warn!("ovs_numa", "Invalid cpu mask: {letter}"));
                }
                polling.mask = mask.cloned();
                let (assignment, more) = rxq::assign(&self.settings.cores, &settings, &ports);
                notes.extend(rxq::note_threads(&polling.assignment, &assignment));
                notes.extend(more);
                polling.assignment = std::sync::Arc::new(assignment);
                polling.is_hindered = false;
                (polling.settings, polling.ports) = (settings, ports);
            }
            log(&notes);
            let emc_off: BTreeMap<_, _> = emc.iter().filter(|(_, on)| !on).map(|(of, _)| of.clone()).collect();
            let tune = Tune {
                emc_insert_inv_prob,
                emc_off: emc_off.values().copied().collect(),
                smc,
                kernel_path,
                measures,
                offload: self.offload_threads > 0,
                pollers: pollers(&polling.ports, &polling.assignment),
                cores: polling.assignment.threads.iter().map(|t| t.core.core).collect(),
            };
            if polling.told.as_ref() != Some(&tune) {
                log(&cache_notes(polling.caches.replace((emc_insert_inv_prob, smc)), (emc_insert_inv_prob, smc)));
                polling.told = Some(tune.clone());
                backer.address.offer(tune);
            }
            log(&emc_notes(&polling.emc_off, &emc, emc_insert_inv_prob));
            polling.emc_off = emc_off;
        }
    }

    /// A datapath's ports whose queues threads of their own poll.
    fn polled_ports(&self, kind: &str) -> Vec<PolledPort> {
        let known = self.datapaths.get(kind).map(|backer| &backer.polling.ports);
        let bridges = self.bridges.values().filter(|bridge| bridge.datapath == kind);
        let has_threads = self.has_threads();
        let is_polled = |port: &super::PortState| {
            let is_real = matches!(port.device, DeviceKind::System | DeviceKind::Internal);
            port.kind == "dummy-pmd" || has_threads && is_real
        };
        let ports = bridges.flat_map(|bridge| &bridge.ports).filter(|(_, port)| is_polled(port));
        let mut polled: Vec<PolledPort> = ports
            .filter_map(|(name, port)| {
                let number = port.odp?;
                let known = known.and_then(|known| known.iter().find(|p| p.number == number));
                let before = || known.map(|p| p.affinity.clone());
                let affinity = match port.config.other_config.get(AFFINITY) {
                    None => BTreeMap::new(),
                    // What makes no sense changes nothing.
                    Some(text) => rxq::parse_affinity(text).or_else(before).unwrap_or_default(),
                };
                let options = &port.config.options;
                let numa = options.get("numa_id").and_then(|n| n.parse().ok()).unwrap_or(0);
                let queues = match port.device {
                    DeviceKind::System => ring_queues(options),
                    // A tap has one.
                    DeviceKind::Internal => 1,
                    DeviceKind::Dummy | DeviceKind::Virtual => dummy_queues(options),
                };
                let costs = known.map(|p| p.costs.clone()).unwrap_or_default();
                Some(PolledPort { number, name: name.clone(), queues, numa, affinity, costs })
            })
            .collect();
        polled.sort_by_key(|port| port.number);
        polled
    }

    /// A datapath's ports, and whether the exact match cache takes their packets; tunnels have no say, and patches no number.
    fn emc_choices(&self, kind: &str) -> Vec<((String, flow::OdpPort), bool)> {
        let bridges = self.bridges.values().filter(|bridge| bridge.datapath == kind);
        let ports = bridges.flat_map(|bridge| &bridge.ports).filter(|(_, port)| port.tunnel.is_none());
        let chosen = ports.filter_map(|(name, port)| {
            let said = port.config.other_config.get("emc-enable");
            let is_on = said.is_none_or(|text| !text.eq_ignore_ascii_case("false"));
            Some(((name.clone(), port.odp?), is_on))
        });
        chosen.collect()
    }

    /// What is said of ports of a datapath whose affinity makes no sense: who, and the text that did not.
    fn odd_affinities(&self, kind: &str) -> BTreeMap<String, (String, u16, String)> {
        let bridges = self.bridges.iter().filter(|(_, bridge)| bridge.datapath == kind);
        let ports = bridges.flat_map(|(name, bridge)| bridge.ports.iter().map(move |port| (name, port)));
        let odd = ports.filter(|(_, (_, port))| port.kind == "dummy-pmd").filter_map(|(bridge, (name, port))| {
            let text = port.config.other_config.get(AFFINITY)?;
            rxq::parse_affinity(text).is_none().then(|| (name.clone(), (bridge.clone(), port.port.0, text.clone())))
        });
        odd.collect()
    }

    /// Whether the host's devices have threads of their own.
    fn has_threads(&self) -> bool {
        let mask = self.desired.other_config.get("pmd-cpu-mask").map(|text| rxq::parse_mask(text, |_| ()));
        mask.is_some_and(|mask| self.settings.cores.iter().filter(|core| mask.contains(&core.core)).count() > 1)
    }

    /// Deals a datapath's queues out anew by what they took of their threads' time, nanoseconds.
    pub(super) fn rebalance(&mut self, kind: &str, costs: &BTreeMap<(flow::OdpPort, u32), u64>) {
        let Some(backer) = self.datapaths.get_mut(kind) else { return };
        price(&mut backer.polling.ports, costs);
        // Works the assignment out anew with the costs as they are now.
        backer.polling.told = None;
        self.tune_datapaths(false);
    }

    /// When threads are looked at next, milliseconds.
    pub(super) fn balance_at_ms(&self) -> Option<i64> {
        self.datapaths.values().filter_map(|backer| backer.polling.balance_at_ms).min()
    }

    /// Looks at the threads of datapaths that are due, and deals their queues out anew where that is worth it.
    pub(super) fn balance(&mut self, now_ms: i64, ctx: &mut Context<Self>) {
        let due = self.datapaths.iter_mut().filter(|(_, of)| of.polling.balance_at_ms.is_some_and(|at| at <= now_ms));
        for (kind, backer) in due {
            backer.polling.balance_at_ms = backer.polling.balance.and_then(Balance::next_ms);
            let (kind, asked) = (kind.clone(), backer.address.ask(ReadStats, PATIENCE));
            ctx.spawn(actix::fut::wrap_future::<_, Self>(asked).map(move |report, this, _| {
                if let Ok(report) = report {
                    let loads = report.queues.into_iter().map(|q| ((q.port, q.number), q.load)).collect();
                    this.balance_by(&kind, &loads);
                }
            }));
        }
    }

    /// The same with what queues took of their threads' time.
    fn balance_by(&mut self, kind: &str, loads: &BTreeMap<(flow::OdpPort, u32), dp::Load>) {
        const WINDOW_S: u32 = 60;
        let Some(polling) = self.datapaths.get_mut(kind).map(|backer| &mut backer.polling) else { return };
        let Some(balance) = polling.balance.filter(|balance| balance.is_enabled) else { return };
        if !rxq::balance::is_overloaded(&polling.assignment, loads, balance.load_percent) {
            return;
        }
        let hindrance = rxq::balance::hindrance(&polling.assignment, &polling.settings);
        let was_hindered = std::mem::replace(&mut polling.is_hindered, hindrance.is_some());
        if let Some(reason) = hindrance {
            let reason = if was_hindered { "no configuration changes since last check." } else { reason };
            vlog::dbg!("dpif_netdev", "{}", rxq::balance::idle_line(reason));
            return;
        }
        let cost = |load: &dp::Load| load.lately(WINDOW_S).map_or(0, |(busy_us, _)| busy_us * 1000);
        let costs = loads.iter().map(|(queue, load)| (*queue, cost(load))).collect();
        let mut ports = polling.ports.clone();
        price(&mut ports, &costs);
        let window_ns = u64::from(WINDOW_S) * 1_000_000_000;
        let (now, percent) = (&polling.assignment, balance.improvement_percent);
        let dry = rxq::balance::dry_run(&self.settings.cores, &polling.settings, &ports, now, window_ns, percent);
        dry.lines.iter().for_each(|line| vlog::dbg!("dpif_netdev", "{line}"));
        if dry.is_worth_it {
            vlog::info!("dpif_netdev", "{}", rxq::balance::anew_line());
            self.rebalance(kind, &costs);
            self.publish_directory();
        }
    }

    /// A datapath that was started anew is told again.
    pub(super) fn retune(&mut self, kind: &str) {
        if let Some(backer) = self.datapaths.get_mut(kind)
            && let Some(tune) = &backer.polling.told
        {
            backer.address.offer(tune.clone());
        }
    }
}

/// Notes what queues cost, nanoseconds.
fn price(ports: &mut [PolledPort], costs: &BTreeMap<(flow::OdpPort, u32), u64>) {
    for port in ports {
        let of_port = costs.iter().filter(|((number, _), _)| *number == port.number);
        port.costs = of_port.map(|((_, queue), cost)| (*queue, *cost)).collect();
    }
}

/// Who polls which queue: the thread of a processor, or nobody.
pub(super) fn pollers(ports: &[PolledPort], assignment: &Assignment) -> BTreeMap<(flow::OdpPort, u32), Option<u32>> {
    let queues = ports.iter().flat_map(|port| (0..port.queues).map(|queue| (port.number, queue)));
    queues.map(|(port, queue)| ((port, queue), assignment.core_of(port, queue))).collect()
}

#[cfg(test)]
mod tests {
    use super::{cores, discovered};

    #[test]
    fn made_up_processors_are_told_of() {
        // What Open vSwitch 3.1 says.
        for (list, nodes, total) in [
            ("0,0,1,8", vec![(2, 0), (1, 8), (1, 1)], 4),
            ("1,1,0,0", vec![(2, 0), (2, 1)], 4),
            ("0,1,2,3,4", vec![(1, 0), (1, 4), (1, 1), (1, 2), (1, 3)], 5),
            ("3,70,5", vec![(1, 5), (1, 70), (1, 3)], 3),
        ] {
            let mut told: Vec<String> =
                nodes.iter().map(|(n, numa)| format!("Discovered {n} CPU cores on NUMA node {numa}")).collect();
            told.push(format!("Discovered {} NUMA nodes and {total} CPU cores", nodes.len()));
            assert_eq!(discovered(&cores(Some(list))), told, "{list}");
        }
    }
}
