//! How datapaths receive and look up, from the columns to their threads: caches, and who polls the queues of ports that
//! have threads of their own.
//!
//! Such ports are `dummy-pmd` ones: like Open vSwitch's main thread, the datapath's own thread polls the host's devices
//! and taps. The threads of `dummy-pmd` ports are accounts within it: their queues are polled in turn, and counted for
//! the processor that has them.

use std::collections::BTreeMap;
use std::path::Path;

use dp::Poller;
use dp::rxq::{self, Algorithm, Assignment, Core, PolledPort, Settings};

use super::Switch;
use super::desired::Pairs;
use crate::msg::datapath::Tune;
use crate::port::device::dummy_queues;

/// One packet in so many enters the exact-match cache unless told.
const EMC_INSERT_INV_PROB: u32 = 100;

/// What polling was last worked out from, and what came of it.
#[derive(Debug, Clone, Default)]
pub(super) struct Polling {
    settings: Settings,
    ports: Vec<PolledPort>,
    pub(super) assignment: std::sync::Arc<Assignment>,
    told: Option<Tune>,
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

/// Reads the switch's settings, notes what differs from `before`, and complains of what makes no sense.
fn settings(other_config: &Pairs, before: &Settings, notes: &mut rxq::Notes) -> Settings {
    let mask = other_config.get("pmd-cpu-mask").and_then(|text| rxq::parse_mask(text));
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

fn log(notes: &rxq::Notes) {
    for (is_warning, text) in notes {
        if *is_warning {
            vlog::warn!("dpif_netdev", "{text}");
        } else {
            vlog::info!("dpif_netdev", "{text}");
        }
    }
}

impl Switch {
    /// Has every datapath receive as the database wants it.
    pub(super) fn tune_datapaths(&mut self) {
        let number = |name: &str| self.desired.other_config.get(name).and_then(|v| v.parse::<u32>().ok());
        let emc_insert_inv_prob = number("emc-insert-inv-prob").unwrap_or(EMC_INSERT_INV_PROB);
        let smc = self.desired.other_config.get("smc-enable").is_some_and(|v| v == "true");
        let kinds: Vec<String> = self.datapaths.keys().cloned().collect();
        for kind in kinds {
            let ports = self.polled_ports(&kind);
            let Some(backer) = self.datapaths.get_mut(&kind) else { continue };
            let polling = &mut backer.polling;
            let mut notes = rxq::Notes::new();
            let settings = settings(&self.desired.other_config, &polling.settings, &mut notes);
            if polling.told.is_none() || settings != polling.settings || ports != polling.ports {
                if settings.isolate != polling.settings.isolate {
                    let text = if settings.isolate { "isolates" } else { "does not isolate" };
                    notes.push((false, format!("pmd-rxq-affinity {text} PMD core")));
                }
                let (assignment, more) = rxq::assign(&self.settings.cores, &settings, &ports);
                notes.extend(rxq::note_threads(&polling.assignment, &assignment));
                notes.extend(more);
                log(&notes);
                polling.assignment = std::sync::Arc::new(assignment);
                (polling.settings, polling.ports) = (settings, ports);
            }
            let tune = Tune {
                emc_insert_inv_prob,
                smc,
                pollers: pollers(&polling.ports, &polling.assignment),
                cores: polling.assignment.threads.iter().map(|t| t.core.core).collect(),
            };
            if polling.told.as_ref() != Some(&tune) {
                polling.told = Some(tune.clone());
                backer.address.offer(tune);
            }
        }
    }

    /// A datapath's ports whose queues threads of their own poll.
    fn polled_ports(&self, kind: &str) -> Vec<PolledPort> {
        let known = self.datapaths.get(kind).map(|backer| &backer.polling.ports);
        let bridges = self.bridges.values().filter(|bridge| bridge.datapath == kind);
        let ports = bridges.flat_map(|bridge| &bridge.ports).filter(|(_, port)| port.kind == "dummy-pmd");
        let mut polled: Vec<PolledPort> = ports
            .filter_map(|(name, port)| {
                let number = port.odp?;
                let before = || known?.iter().find(|p| p.number == number).map(|p| p.affinity.clone());
                let affinity = match port.config.other_config.get("pmd-rxq-affinity") {
                    None => BTreeMap::new(),
                    // What makes no sense changes nothing.
                    Some(text) => rxq::parse_affinity(text).or_else(before).unwrap_or_default(),
                };
                let numa = port.config.options.get("numa_id").and_then(|n| n.parse().ok()).unwrap_or(0);
                let queues = dummy_queues(&port.config.options);
                Some(PolledPort { number, name: name.clone(), queues, numa, affinity })
            })
            .collect();
        polled.sort_by_key(|port| port.number);
        polled
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

fn pollers(ports: &[PolledPort], assignment: &Assignment) -> BTreeMap<(flow::OdpPort, u32), Poller> {
    let queues = ports.iter().flat_map(|port| (0..port.queues).map(|queue| (port.number, queue)));
    let poller = |(port, queue)| assignment.core_of(port, queue).map_or(Poller::Nobody, Poller::Core);
    queues.map(|name| (name, poller(name))).collect()
}
