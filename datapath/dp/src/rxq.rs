//! Which thread polls which receive queue: what `pmd-cpu-mask`, `pmd-rxq-affinity`, `pmd-rxq-assign` and
//! `pmd-rxq-isolate` ask for, worked out from the configuration alone.
//!
//! Only ports that are polled by threads of their own take part; all others belong to the main thread. Without a mask
//! each NUMA node has one such thread. How dear a queue is is looked at when that is asked for
//! (`dpif-netdev/pmd-rxq-rebalance`, [`balance`]), so that an assignment changes with the configuration and not with the traffic.
//!
//! Source: ovs-vswitchd.conf.db(5), other_config of Open_vSwitch and Interface; the manual's chapter on PMD threads; the
//! texts of the log as Open vSwitch 3.1 writes them.

pub mod balance;

use std::cmp::Reverse;
use std::collections::BTreeMap;

use flow::OdpPort;

/// A processor and its NUMA node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Core {
    /// Its node.
    pub numa: u32,
    /// Its number.
    pub core: u32,
}

/// How queues are dealt out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Algorithm {
    /// The dearest first, to the threads of a node to and fro.
    #[default]
    Cycles,
    /// In the order of ports, to the threads of a node in turn.
    RoundRobin,
    /// The dearest first, each to the thread with the least to do.
    Group,
}

impl Algorithm {
    /// Its name in `pmd-rxq-assign` and the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cycles => "cycles",
            Self::RoundRobin => "roundrobin",
            Self::Group => "group",
        }
    }

    /// Reads `pmd-rxq-assign`.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Cycles, Self::RoundRobin, Self::Group].into_iter().find(|a| a.name() == text)
    }
}

/// The switch's part of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Processors that threads may have; `None`: one thread a node.
    pub mask: Option<Vec<u32>>,
    /// How queues are dealt out.
    pub assign: Algorithm,
    /// Whether a thread with a pinned queue gets no others. Must be so but for [`Algorithm::Group`].
    pub isolate: bool,
}

/// A port whose queues are polled by such threads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolledPort {
    /// Its number.
    pub number: OdpPort,
    /// Its name.
    pub name: String,
    /// How many queues it has.
    pub queues: u32,
    /// Its NUMA node.
    pub numa: u32,
    /// Processors of queues that are pinned.
    pub affinity: BTreeMap<u32, u32>,
    /// What queues took of a thread's time when that was looked at last, nanoseconds; those not named took none.
    pub costs: BTreeMap<u32, u64>,
}

impl PolledPort {
    fn cost(&self, queue: u32) -> u64 {
        self.costs.get(&queue).copied().unwrap_or(0)
    }
}

/// Reads `pmd-rxq-affinity`: `QUEUE:CORE`s between commas. `None`: it makes no sense.
pub fn parse_affinity(text: &str) -> Option<BTreeMap<u32, u32>> {
    let mut pairs = BTreeMap::new();
    for pair in text.split([',', ' ']).filter(|p| !p.is_empty()) {
        let (queue, core) = pair.split_once(':')?;
        pairs.insert(queue.trim().parse().ok()?, core.trim().parse().ok()?);
    }
    Some(pairs)
}

/// Reads `pmd-cpu-mask`: hexadecimal digits, the last for processors 0 to 3. What is no digit counts as 0, and is handed to
/// `wrong`.
pub fn parse_mask(text: &str, mut wrong: impl FnMut(char)) -> Vec<u32> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text);
    let mut cores = Vec::new();
    for (place, digit) in (0u32..).zip(digits.chars().rev()) {
        let Some(bits) = digit.to_digit(16) else {
            wrong(digit);
            continue;
        };
        cores
            .extend((0..4).filter(|bit| bits >> bit & 1 == 1).filter_map(|bit| place.checked_mul(4)?.checked_add(bit)));
    }
    cores
}

/// A thread and its queues.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thread {
    /// Where it runs.
    pub core: Core,
    /// It has pinned queues, and gets no others.
    pub isolated: bool,
    /// Its queues: port, name, number; by name and number.
    pub queues: Vec<(OdpPort, String, u32)>,
    /// What they took together, nanoseconds.
    pub cost: u64,
}

/// Lines for the log, in order; `true`: a warning.
pub type Notes = Vec<(bool, String)>;

/// Who polls what; threads by node and processor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assignment {
    /// The threads.
    pub threads: Vec<Thread>,
}

impl Assignment {
    /// The processor of the thread that polls a queue; `None`: nobody polls it.
    pub fn core_of(&self, port: OdpPort, queue: u32) -> Option<u32> {
        let polls = |t: &&Thread| t.queues.iter().any(|(p, _, q)| (*p, *q) == (port, queue));
        self.threads.iter().find(polls).map(|t| t.core.core)
    }
}

/// The threads that there are to be, by node and processor.
fn threads(cores: &[Core], mask: Option<&[u32]>) -> Vec<Thread> {
    let mut wanted: Vec<Core> = Vec::new();
    for core in cores {
        let is_wanted = match mask {
            Some(mask) => mask.contains(&core.core),
            None => wanted.iter().all(|c| c.numa != core.numa),
        };
        if is_wanted {
            wanted.push(*core);
        }
    }
    wanted.sort();
    wanted.into_iter().map(|core| Thread { core, isolated: false, queues: Vec::new(), cost: 0 }).collect()
}

/// Says how many threads come and go between two assignments.
pub fn note_threads(old: &Assignment, new: &Assignment) -> Notes {
    let has = |a: &Assignment, core: Core| a.threads.iter().any(|t| t.core == core);
    let line = |core: Core, what| format!("PMD thread on numa_id: {}, core id: {:2} {what}.", core.numa, core.core);
    let mut notes = Notes::new();
    let gone = old.threads.iter().filter(|t| !has(new, t.core));
    notes.extend(gone.map(|t| (false, line(t.core, "destroyed"))));
    let come: Vec<&Thread> = new.threads.iter().filter(|t| !has(old, t.core)).collect();
    notes.extend(come.iter().map(|t| (false, line(t.core, "created"))));
    if notes.is_empty() {
        return notes;
    }
    let mut nodes: BTreeMap<u32, usize> = BTreeMap::new();
    for thread in &new.threads {
        *nodes.entry(thread.core.numa).or_default() += 1;
    }
    notes.extend(nodes.iter().map(|(numa, n)| (false, format!("There are {n} pmd threads on numa node {numa}"))));
    notes
}

/// What the log adds to a queue where its price counts.
fn measured(algorithm: Algorithm, cost: u64) -> String {
    if algorithm == Algorithm::RoundRobin { String::new() } else { format!(" (measured processing cycles {cost})") }
}

/// How the line begins that comes before queues which are not pinned are dealt out.
const ANNOUNCEMENT: &str = "Performing pmd to rx queue assignment";

fn is_announcement(text: &str) -> bool {
    text.starts_with(ANNOUNCEMENT)
}

/// Whose turn it is on a node.
#[derive(Default)]
struct Turn {
    at: usize,
    backwards: bool,
}

impl Turn {
    /// The next of `n` threads that takes queues; `free` says which do.
    fn next(&mut self, n: usize, to_and_fro: bool, free: impl Fn(usize) -> bool) -> usize {
        loop {
            let at = self.at;
            match (to_and_fro, self.backwards) {
                (false, _) => self.at = (at + 1) % n,
                (true, false) if at + 1 == n => self.backwards = true,
                (true, false) => self.at = at + 1,
                (true, true) if at == 0 => self.backwards = false,
                (true, true) => self.at = at - 1,
            }
            if free(at) {
                return at;
            }
        }
    }
}

/// Works out who polls what. Without ports there are no threads.
pub fn assign(cores: &[Core], settings: &Settings, ports: &[PolledPort]) -> (Assignment, Notes) {
    let mut notes = Notes::new();
    if ports.is_empty() {
        return (Assignment::default(), notes);
    }
    let mut threads = threads(cores, settings.mask.as_deref());
    let mut free: Vec<(&PolledPort, u32)> = Vec::new();
    for port in ports {
        for queue in 0..port.queues {
            let pinned = port.affinity.get(&queue);
            match pinned.and_then(|core| threads.iter_mut().find(|t| t.core.core == *core)) {
                Some(thread) => pin(thread, port, queue, settings, &mut notes),
                None => {
                    if let Some(core) = pinned {
                        let text = format!(
                            "Core {core:2} cannot be pinned with port '{}' rx queue {queue}. Use pmd-cpu-mask to enable a pmd \
                             on core {core}. An alternative core will be assigned.",
                            port.name
                        );
                        notes.push((true, text));
                    }
                    free.push((port, queue));
                }
            }
        }
    }
    if !free.is_empty() {
        let name = settings.assign.name();
        notes.push((false, format!("{ANNOUNCEMENT} using {name} algorithm.")));
    }
    if settings.assign != Algorithm::RoundRobin {
        free.sort_by_key(|(port, queue)| (Reverse(port.cost(*queue)), port.number, *queue));
    }
    deal(&mut threads, &free, settings.assign, &mut notes);
    for thread in &mut threads {
        thread.queues.sort_by(|a, b| (&a.1, a.2).cmp(&(&b.1, b.2)));
    }
    (Assignment { threads }, notes)
}

fn pin(thread: &mut Thread, port: &PolledPort, queue: u32, settings: &Settings, notes: &mut Notes) {
    thread.isolated |= settings.isolate;
    thread.queues.push((port.number, port.name.clone(), queue));
    thread.cost += port.cost(queue);
    let Core { numa, core } = thread.core;
    let text = format!(
        "Core {core:2} on numa node {numa} is pinned with port '{}' rx queue {queue}{}",
        port.name,
        measured(settings.assign, port.cost(queue))
    );
    notes.push((false, text));
}

/// Deals out the queues that are not pinned.
fn deal(threads: &mut [Thread], free: &[(&PolledPort, u32)], algorithm: Algorithm, notes: &mut Notes) {
    let mut nodes: Vec<u32> = threads.iter().map(|t| t.core.numa).collect();
    nodes.dedup();
    let mut turns: BTreeMap<u32, Turn> = BTreeMap::new();
    let mut foreign = 0;
    for (port, queue) in free {
        let measured = measured(algorithm, port.cost(*queue));
        let has_room = |numa: u32| threads.iter().any(|t| t.core.numa == numa && !t.isolated);
        let node = if has_room(port.numa) {
            Some(port.numa)
        } else {
            let found = (0..nodes.len()).map(|i| (foreign + i) % nodes.len()).find(|i| has_room(nodes[*i]));
            found.map(|i| {
                foreign = i + 1;
                nodes[i]
            })
        };
        let queue_text = format!("port '{}' rx queue {queue}", port.name);
        let Some(numa) = node else {
            let text = format!(
                "No non-isolated pmd on any numa available for {queue_text}{measured}. This rx queue will not be polled."
            );
            notes.push((true, text));
            continue;
        };
        if numa != port.numa {
            let text = format!(
                "There's no available (non-isolated) pmd thread on numa node {}. Port '{}' rx queue {queue} will be assigned \
                 to a pmd on numa node {numa}. This may lead to reduced performance.",
                port.numa, port.name
            );
            notes.push((false, text));
        }
        let here: Vec<usize> = (0..threads.len()).filter(|i| threads[*i].core.numa == numa).collect();
        let i = match algorithm {
            Algorithm::Group => here
                .into_iter()
                .filter(|i| !threads[*i].isolated)
                .min_by_key(|i| (threads[*i].cost, threads[*i].queues.len(), *i)),
            _ => {
                let turn = turns.entry(numa).or_default();
                let to_and_fro = algorithm == Algorithm::Cycles;
                let at = turn.next(here.len(), to_and_fro, |at| !threads[here[at]].isolated);
                Some(here[at])
            }
        };
        let Some(thread) = i.map(|i| &mut threads[i]) else { continue };
        thread.queues.push((port.number, port.name.clone(), *queue));
        thread.cost += port.cost(*queue);
        let core = thread.core.core;
        notes.push((false, format!("Core {core:2} on numa node {numa} assigned {queue_text}{measured}.")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cores() -> Vec<Core> {
        (0..8).map(|core| Core { numa: core / 4, core }).collect()
    }

    fn port(queues: u32, numa: u32, affinity: &str) -> PolledPort {
        let affinity = parse_affinity(affinity).unwrap();
        PolledPort { number: 1, name: "p1".into(), queues, numa, affinity, costs: BTreeMap::new() }
    }

    /// Queues by processor, `core:queue,queue`, isolated ones with a star.
    fn shown(mask: Option<&str>, assign: Algorithm, isolate: bool, port: PolledPort) -> String {
        let settings = Settings { mask: mask.map(|text| parse_mask(text, |_| ())), assign, isolate };
        let (assignment, _) = super::assign(&cores(), &settings, &[port]);
        let thread = |t: &Thread| {
            let queues: Vec<String> = t.queues.iter().map(|q| q.2.to_string()).collect();
            format!("{}{}:{}", t.core.core, if t.isolated { "*" } else { "" }, queues.join(","))
        };
        assignment.threads.iter().map(thread).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_dearest_queue_has_a_thread_for_itself() {
        let costs = |costs: &[(u32, u64)]| PolledPort { costs: costs.iter().copied().collect(), ..port(4, 0, "") };
        let cases = [
            (Algorithm::Group, &[(0, 10), (1, 90), (2, 20), (3, 30)][..], "0:1 1:0,2,3"),
            (Algorithm::Cycles, &[(0, 10), (1, 90), (2, 20), (3, 30)], "0:0,1 1:2,3"),
            (Algorithm::RoundRobin, &[(0, 10), (1, 90), (2, 20), (3, 30)], "0:0,2 1:1,3"),
        ];
        for (assign, queues, expected) in cases {
            assert_eq!(shown(Some("3"), assign, true, costs(queues)), expected, "{assign:?}");
        }
    }

    /// As Debian's Open vSwitch 3.1 deals them out.
    #[test]
    fn queues_are_dealt_out() {
        use Algorithm::*;
        let cases = [
            (None, Cycles, port(4, 0, ""), "0:0,1,2,3 4:"),
            (Some("f"), Cycles, port(8, 0, ""), "0:0,7 1:1,6 2:2,5 3:3,4"),
            (Some("f"), RoundRobin, port(8, 0, ""), "0:0,4 1:1,5 2:2,6 3:3,7"),
            (Some("0xf"), Group, port(8, 0, ""), "0:0,4 1:1,5 2:2,6 3:3,7"),
            (Some("f"), Group, port(8, 1, ""), "0:0,4 1:1,5 2:2,6 3:3,7"),
            (Some("3f"), Group, port(8, 1, ""), "0: 1: 2: 3: 4:0,2,4,6 5:1,3,5,7"),
            (Some("3f"), Group, port(8, 1, "0:0,1:1,2:0,3:7"), "0*:0,2 1*:1 2: 3: 4:3,5,7 5:4,6"),
            (Some("2"), Cycles, port(3, 1, "0:1,2:7,9:1"), "1*:0"),
        ];
        for (mask, algorithm, port, expected) in cases {
            let text = format!("{mask:?} {algorithm:?} {port:?}");
            assert_eq!(shown(mask, algorithm, true, port), expected, "{text}");
        }
        let all = port(8, 1, "0:0,1:1,2:0,3:7");
        assert_eq!(shown(Some("3f"), Group, false, all), "0:0,2 1:1 2: 3: 4:3,5,7 5:4,6");
    }

    #[test]
    fn masks_and_affinities() {
        let mut wrong = String::new();
        assert_eq!(parse_mask("0", |c| wrong.push(c)), []);
        assert_eq!(parse_mask("12", |c| wrong.push(c)), [1, 4]);
        assert_eq!(parse_mask("0xclub", |c| wrong.push(c)), [0, 1, 3, 14, 15]);
        assert_eq!(wrong, "ul", "from the last");
        assert_eq!(parse_affinity("0:xyz"), None);
        assert_eq!(parse_affinity("3:1, 0:2"), Some(BTreeMap::from([(0, 2), (3, 1)])));
    }

    #[test]
    fn the_log_tells_what_changed() {
        let settings = |mask| Settings { mask: Some(parse_mask(mask, |_| ())), ..Settings::default() };
        let one = assign(&cores(), &settings("1"), &[port(1, 0, "")]).0;
        let other = assign(&cores(), &settings("12"), &[port(1, 0, "")]).0;
        let texts: Vec<String> = note_threads(&one, &other).into_iter().map(|n| n.1).collect();
        let expected = [
            "PMD thread on numa_id: 0, core id:  0 destroyed.",
            "PMD thread on numa_id: 0, core id:  1 created.",
            "PMD thread on numa_id: 1, core id:  4 created.",
            "There are 1 pmd threads on numa node 0",
            "There are 1 pmd threads on numa node 1",
        ];
        assert_eq!(texts, expected);
        assert!(note_threads(&one, &one).is_empty());
    }
}
