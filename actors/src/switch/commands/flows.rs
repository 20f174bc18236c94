//! Cached flows as text, and flows that a person puts there: `dpctl/*-flow(s)`, `dpif/dump-flows`.
//!
//! A flow put there by hand belongs to no bridge: its name has no bridge's number, and revalidators leave it alone.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write;
use std::hash::{DefaultHasher, Hash, Hasher};

use flow::text::PortNames;
use flow::{FlowChange, FlowEntry, FlowStats, Key, Mask, MiniKey, OdpPort, Ufid, odp_text};
use openflow::matching::Match;

use super::context::{Found, Names, PATIENCE, Registry, Says, optional_datapath, perform, reason};
use super::dpctl::{Given, options};
use crate::clock;
use crate::msg::bridge::CachedKeys;
use crate::msg::datapath::{FlowDelete, FlowDump, FlowShares, ReportFlows};
use crate::msg::revalidator::Purge;
use crate::switch::directory::{DatapathEntry, Directory};
use crate::unixctl::Answer;

/// More arguments than any command has.
const MANY: usize = usize::MAX;

/// Registers them.
pub(super) fn add(registry: &mut Registry<'_>) {
    let usage = "[-m] [--names] [dp] [filter=..] [type=..] [pmd=..]";
    registry.ask("dpctl/dump-flows", usage, (0, 6), |directory, args| async move { dump(&directory, &args).await });
    registry.ask("dpif/dump-flows", "[-m] [--names | --no-names] bridge", (1, MANY), |directory, args| async move {
        dump_bridge(&directory, &args).await
    });
    for (name, put) in [("dpctl/add-flow", Put::Add), ("dpctl/mod-flow", Put::Modify)] {
        registry.ask(name, "[dp] flow actions", (2, 3), move |directory, args| async move {
            let mut says = Says::default();
            let (given, args) = options(&args)?;
            let result = match (optional_datapath(&directory, args, 3, &mut says), args) {
                (Ok((found, _)), [.., key, actions]) => put_flow(found, put, key, actions, given, &mut says).await,
                _ => Err(()),
            };
            says.answer(result)
        });
    }
    registry.ask("dpctl/get-flow", "[dp] ufid", (1, 2), |directory, args| async move {
        let mut says = Says::default();
        let (given, args) = options(&args)?;
        let result = match (optional_datapath(&directory, args, 2, &mut says), args) {
            (Ok((found, _)), [.., name]) => get(found, name, given, &mut says).await,
            _ => Err(()),
        };
        says.answer(result)
    });
    registry.ask("dpctl/del-flow", "[dp] flow", (1, 2), |directory, args| async move {
        let mut says = Says::default();
        let (given, args) = options(&args)?;
        let result = match (optional_datapath(&directory, args, 2, &mut says), args) {
            (Ok((found, _)), [.., key]) => delete(found, key, given, &mut says).await,
            _ => Err(()),
        };
        says.answer(result)
    });
    registry.plain("dpctl/del-flows", "[dp] [file]", (0, 2), |directory, args| async move {
        let mut says = Says::default();
        // A first word that is no datapath's name is passed over where a file follows.
        let result = match optional_datapath(&directory, &args, MANY, &mut says) {
            Ok(((_, entry), [])) => {
                match &entry.revalidator {
                    // Those of nobody go as well.
                    Some(revalidator) => revalidator.ask(Purge, PATIENCE).await.map_err(|e| e.to_string())?,
                    None => {
                        drop(entry.address.ask(FlowDelete { ufids: None }, PATIENCE).await.map_err(|e| e.to_string())?)
                    }
                }
                Ok(())
            }
            Ok((found, [.., file])) => from_file(found, file, Put::Delete, &mut says).await,
            Err(()) => Err(()),
        };
        says.answer(result)
    });
    for (name, put) in [("dpctl/add-flows", Put::Add), ("dpctl/mod-flows", Put::Modify)] {
        registry.plain(name, "[dp] file", (1, 2), move |directory, args| async move {
            let mut says = Says::default();
            let result = match (optional_datapath(&directory, &args, MANY, &mut says), args.last()) {
                (Ok((found, _)), Some(file)) => from_file(found, file, put, &mut says).await,
                _ => Err(()),
            };
            says.answer(result)
        });
    }
    type OnTexts = fn(&[String]) -> Result<String, odp_text::Failure>;
    let on_texts: [(_, _, OnTexts); 2] =
        [("dpctl/parse-actions", 1, odp_text::reformat), ("dpctl/normalize-actions", 2, odp_text::normalize)];
    for (name, fewest, on_texts) in on_texts {
        registry.say(name, "actions", (fewest, usize::MAX), move |args| {
            let (_, args) = options(args)?;
            on_texts(args).map_err(|(said, complaint)| format!("{said}ovs-vswitchd: {complaint}\n"))
        });
    }
}

/// What is done with a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Put {
    Add,
    Modify,
    Delete,
}

/// A change that a person makes: no bridge counts such an edition.
fn by_hand(flow: &FlowEntry) -> FlowChange {
    FlowChange { ufid: flow.ufid, actions: flow.actions.clone(), edition: u32::MAX }
}

/// A flow with its key as its first packet had it.
#[derive(Clone)]
pub(super) struct Shown {
    key: MiniKey,
    /// As the datapath has it.
    pub(super) flow: dp::DumpedFlow,
}

impl Shown {
    fn of(flow: dp::DumpedFlow) -> Self {
        Shown { key: flow.kept_key.clone().unwrap_or_else(|| MiniKey::from(&flow.entry.key())), flow }
    }

    /// Writes it as `dpctl/dump-flows` does.
    pub(super) fn line(&self, out: &mut String, datapath: &DatapathEntry, given: Given) {
        let names = Names(&datapath.ports);
        let names = given.names.unwrap_or(given.verbose).then_some(&names as &dyn PortNames);
        Show { verbose: given.verbose, names, now_ms: clock::now_ms() }.line(out, self, true);
    }

    /// Where its packets come in.
    pub(super) fn in_port(&self) -> OdpPort {
        self.key.to_key().in_port()
    }

    /// Whether packets of the filter's may be its: what either leaves open keeps them not apart.
    fn may_be_for(&self, filter: &Match) -> bool {
        let (key, mask) = (self.key.to_key(), self.flow.entry.mask());
        let both = filter.mask.0.iter().zip(&mask.0).map(|(one, other)| one & other);
        filter.key.0.iter().zip(&key.0).zip(both).all(|((one, other), bits)| (one ^ other) & bits == 0)
    }

    /// What it matches.
    pub(super) fn key_text(&self, options: &odp_text::KeyOptions<'_>) -> String {
        odp_text::format_key(&self.key.to_key(), Some(&self.flow.entry.mask()), options)
    }
}

/// All flows of a datapath.
pub(super) async fn collect(directory: &Directory, datapath: &DatapathEntry) -> Result<Vec<Shown>, String> {
    let mut cursor = Some(dp::FlowCursor::START);
    let mut flows: Vec<Shown> = Vec::new();
    while let Some(at) = cursor {
        let dump = FlowDump { cursor: at, max: crate::budget::WALK_SLICE };
        let (some, next) = datapath.address.ask(dump, PATIENCE).await.map_err(|e| e.to_string())?;
        cursor = next;
        flows.extend(some.into_iter().map(Shown::of));
    }
    let mut owners: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for (i, flow) in flows.iter().enumerate() {
        owners.entry(ofproto::bridge::owner(flow.flow.entry.ufid).0).or_default().push(i);
    }
    for bridge in directory.bridges.values() {
        let Some(places) = owners.remove(&bridge.id.0) else { continue };
        let names = places.iter().map(|i| flows[*i].flow.entry.ufid).collect();
        let keys = bridge.address.ask(CachedKeys(names), PATIENCE).await.unwrap_or_default();
        for (i, key) in places.into_iter().zip(keys) {
            let shown = &mut flows[i];
            // A key that does not agree is another flow's by now.
            if let Some(key) = key.filter(|k| shown.flow.entry.matching.matches(k)) {
                shown.key = MiniKey::from(&key);
            }
        }
    }
    Ok(flows)
}

/// Flows by the threads that have them, each with what it counted there, the main thread's last. That has all of them:
/// its own are those that it counted, or that no other has.
async fn by_thread(
    directory: &Directory,
    entry: &DatapathEntry,
    flows: Vec<Shown>,
) -> Result<Vec<(Option<u32>, Shown)>, String> {
    if entry.assignment.threads.is_empty() {
        return Ok(flows.into_iter().map(|flow| (None, flow)).collect());
    }
    // What a person adds, all threads have.
    let is_by_hand = |ufid| directory.bridges.values().all(|bridge| bridge.id != ofproto::bridge::owner(ufid));
    let mut split = Vec::new();
    for some in flows.chunks(crate::budget::WALK_SLICE) {
        let names = some.iter().map(|f| f.flow.entry.ufid).collect();
        let shares = entry.address.ask(FlowShares(names), PATIENCE).await.map_err(|e| e.to_string())?;
        let shares: Vec<(Option<u32>, HashMap<Ufid, FlowStats>)> = shares
            .into_iter()
            .map(|(core, counted)| (core, counted.into_iter().map(|f| (f.ufid, f.stats)).collect()))
            .collect();
        for shown in some {
            let own = |(core, counted): &(Option<u32>, HashMap<Ufid, FlowStats>)| {
                let ufid = shown.flow.entry.ufid;
                let is_its = |stats: &&FlowStats| core.is_some() || stats.packets > 0 || is_by_hand(ufid);
                let stats = counted.get(&ufid).filter(is_its)?;
                Some((*core, Shown { flow: dp::DumpedFlow { stats: *stats, ..shown.flow.clone() }, ..shown.clone() }))
            };
            let before = split.len();
            split.extend(shares.iter().filter_map(own));
            if split.len() == before {
                split.push((None, shown.clone()));
            }
        }
    }
    split.sort_by_key(|(core, _)| core.map_or(u64::MAX, u64::from));
    Ok(split)
}

/// What stands for the main thread among processors.
const MAIN_THREAD: i64 = -1;

/// What of the flows is wanted.
#[derive(Default)]
struct Wanted {
    filter: Option<Match>,
    /// No flow of ours is of a type that was asked for.
    none: bool,
    /// Those of one thread alone, by its processor; threads are not named then.
    thread: Option<i64>,
}

fn wanted(args: &[String], names: &Names<'_>, says: &mut Says) -> Result<Wanted, ()> {
    let mut wanted = Wanted::default();
    for arg in args {
        if let Some(text) = arg.strip_prefix("filter=").filter(|t| !t.is_empty()) {
            let names = openflow::Names { ports: Some(names), ..openflow::Names::NONE };
            match openflow::flow_mod::parse_exact_flow(text, names) {
                Ok(matching) => wanted.filter = Some(matching),
                Err(error) => return says.fail(&format!("Failed to parse filter ({error})"), None),
            }
        } else if let Some(text) = arg.strip_prefix("type=").filter(|t| !t.is_empty()) {
            let types: Vec<&str> = text.split(',').map(str::trim).collect();
            let known = ["ovs", "tc", "dpdk", "offloaded", "non-offloaded", "partially-offloaded"];
            if types.iter().any(|t| !known.contains(t)) {
                return says.fail(&format!("Failed to parse type ({text})"), Some(reason::INVALID));
            }
            wanted.none = !types.iter().any(|t| matches!(*t, "ovs" | "non-offloaded"));
        } else if let Some(text) = arg.strip_prefix("pmd=") {
            match text.parse::<i64>() {
                Ok(core) => wanted.thread = Some(core),
                Err(_) => return Err(()),
            }
        }
    }
    Ok(wanted)
}

async fn dump(directory: &Directory, args: &[String]) -> Answer {
    let mut says = Says::default();
    let (given, args) = options(args)?;
    let (special, plain): (Vec<String>, Vec<String>) =
        args.iter().cloned().partition(|a| ["filter=", "type=", "pmd="].iter().any(|p| a.starts_with(p)));
    let Ok(((name, entry), _)) = optional_datapath(directory, &plain, 1, &mut says) else {
        return says.answer(Err(()));
    };
    let names = Names(&entry.ports);
    let wanted = match wanted(&special, &names, &mut says) {
        Ok(wanted) => wanted,
        Err(()) => return says.answer(Err(())),
    };
    if wanted.none {
        return Ok(String::new());
    }
    let mut flows = by_thread(directory, entry, collect(directory, entry).await?).await?;
    if let Some(pmd) = wanted.thread {
        flows.retain(|(core, _)| core.map_or(MAIN_THREAD, i64::from) == pmd);
    }
    let with_names = given.names.unwrap_or(given.verbose);
    let names = with_names.then_some(&names as &dyn PortNames);
    let show = Show { verbose: given.verbose, names, now_ms: clock::now_ms() };
    let out = &mut says.0;
    let mut last = None;
    for (core, flow) in flows {
        vlog::dbg!("dpif", "{name}: flow_dump {}", Dumped(&flow, show.now_ms));
        if wanted.filter.as_ref().is_some_and(|filter| !flow.may_be_for(filter)) {
            continue;
        }
        if wanted.thread.is_none() && last.replace(core) != Some(core) {
            match core {
                Some(core) => {
                    let _ = writeln!(out, "flow-dump from pmd on cpu core: {core}");
                }
                None => out.push_str("flow-dump from the main thread:\n"),
            }
        }
        show.line(out, &flow, true);
    }
    says.answer(Ok(()))
}

/// Tells the log of the flows that a sweep looks at: all of them, or their names and counters where those are enough.
pub(crate) async fn log_sweep(directory: &Directory, kind: &str) {
    let Some(entry) = directory.datapaths.get(kind) else { return };
    let Ok(flows) = collect(directory, entry).await else { return };
    let (name, now_ms) = (format!("{kind}@ovs-{kind}"), clock::now_ms());
    for shown in flows {
        if super::dpif::dumps_tersely() {
            let (ufid, counters) = (odp_text::ufid(shown.flow.entry.ufid), counters(&shown.flow.stats, now_ms));
            vlog::dbg!("dpif", "{name}: flow_dump ufid:{ufid} <empty>, {counters}");
        } else {
            vlog::dbg!("dpif", "{name}: flow_dump {}", Dumped(&shown, now_ms));
        }
    }
    vlog::dbg!("dpif", "{name}: flow_dump_destroy success");
}

/// How many ports the threads of all datapaths look up flows of, and in how many subtables: one for each mask of a port.
pub(super) async fn subtables(directory: &Directory) -> Result<(usize, usize), String> {
    let (mut ports, mut masks) = (BTreeSet::new(), BTreeSet::new());
    for (name, entry) in directory.datapaths.iter() {
        for (core, shown) in by_thread(directory, entry, collect(directory, entry).await?).await? {
            let place = (name.clone(), core, shown.key.to_key().in_port());
            masks.insert((place.clone(), shown.flow.entry.mask().0));
            ports.insert(place);
        }
    }
    Ok((ports.len(), masks.len()))
}

/// The last word is the bridge; what else than options stands before it means nothing.
async fn dump_bridge(directory: &Directory, args: &[String]) -> Answer {
    let (name, before) = args.split_last().ok_or("no such bridge")?;
    let verbose = before.iter().any(|word| word == "-m");
    let by_name = before.iter().rev().find_map(|word| match word.as_str() {
        "--names" => Some(true),
        "--no-names" => Some(false),
        _ => None,
    });
    let bridge = directory.bridges.get(name).ok_or("no such bridge")?;
    let entry = directory.datapaths.get(&bridge.datapath).ok_or("no such bridge")?;
    let own: BTreeSet<OdpPort> = directory.ports.values().filter(|p| p.bridge == *name).filter_map(|p| p.odp).collect();
    // One that several threads have is listed as often.
    let flows = by_thread(directory, entry, collect(directory, entry).await?).await?;
    let names = Names(&entry.ports);
    let names = by_name.unwrap_or(verbose).then_some(&names as &dyn PortNames);
    let show = Show { verbose, names, now_ms: clock::now_ms() };
    let mut out = String::new();
    for (_, flow) in flows.iter().filter(|(_, flow)| own.contains(&flow.in_port())) {
        show.line(&mut out, flow, false);
    }
    Ok(out)
}

/// How flows are shown.
struct Show<'a> {
    verbose: bool,
    names: Option<&'a dyn PortNames>,
    now_ms: i64,
}

impl Show<'_> {
    /// One line; `dpctl` tells more than `dpif`.
    fn line(&self, out: &mut String, shown: &Shown, dpctl: bool) {
        let flow = &shown.flow;
        if self.verbose {
            let comma = if dpctl { "," } else { "" };
            let _ = write!(out, "ufid:{}{comma} ", odp_text::ufid(flow.entry.ufid));
        }
        let options = odp_text::KeyOptions { verbose: self.verbose, ports: self.names };
        let _ = write!(out, "{}, ", shown.key_text(&options));
        out.push_str(&counters(&flow.stats, self.now_ms));
        if self.verbose && dpctl {
            out.push_str(", dp:ovs");
        }
        let _ = write!(out, ", actions:{}", odp_text::format_actions(&flow.entry.actions, self.names));
        if self.verbose && dpctl {
            let (first, second) = miniflow_bits(&flow.entry.mask());
            let _ = write!(out, ", dp-extra-info:miniflow_bits({first},{second})");
        }
        out.push('\n');
    }
}

/// A flow with all that its key says, for the log.
struct Dumped<'a>(&'a Shown, i64);

impl std::fmt::Display for Dumped<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Dumped(shown, now_ms) = self;
        let entry = &shown.flow.entry;
        let key = shown.key_text(&odp_text::KeyOptions { verbose: true, ports: None });
        let (counters, actions) =
            (counters(&shown.flow.stats, *now_ms), odp_text::format_actions(&entry.actions, None));
        write!(f, "ufid:{} {key}, {counters}, actions:{actions}", odp_text::ufid(entry.ufid))
    }
}

/// How many words of the mask a look-up compares, in two parts: what lies before the network layer and the rest. As Open
/// vSwitch counts: VLAN tags not, the connection's state in one with the recirculation identifier.
fn miniflow_bits(mask: &Mask) -> (usize, usize) {
    let mut mask = mask.clone();
    mask.set_vlan_tpid(0);
    mask.set_vlan_tci(0);
    mask.set_vlan2_tpid(0);
    mask.set_vlan2_tci(0);
    mask.set_ct_state(0);
    mask.set_ct_zone(0);
    let used = |words: &[u64]| words.iter().filter(|w| **w != 0).count();
    let (first, second) = mask.0.split_at(flow::STAGE_END[1].min(mask.0.len()));
    (used(first), used(second))
}

/// TCP flags as one letter each.
fn tcp_flag_letters(flags: u16) -> String {
    let letters = ["F", "S", "R", "P", ".", "U", "E", "C", "N", "[200]", "[400]", "[800]"];
    letters.iter().enumerate().filter(|(i, _)| flags & (1 << i) != 0).map(|(_, l)| *l).collect()
}

/// A flow's name, if the text begins with one, and the rest of the text.
fn split_ufid(text: &str) -> Result<(Option<Ufid>, &str), ()> {
    let Some(rest) = text.strip_prefix("ufid:") else { return Ok((None, text)) };
    let end = rest.find([',', ' ']).unwrap_or(rest.len());
    let ufid = odp_text::parse_ufid(&rest[..end]).ok_or(())?;
    Ok((Some(ufid), rest[end..].trim_start_matches([',', ' '])))
}

/// The name of a flow that was not given one. The upper 16 bits, where bridges have their number, are zero.
fn name_of(key: &Key, mask: &Mask) -> Ufid {
    let part = |salt: u64| {
        let mut hasher = DefaultHasher::new();
        (salt, &key.0, &mask.0).hash(&mut hasher);
        hasher.finish()
    };
    Ufid(((u128::from(part(1)) << 64) | u128::from(part(2))) & (u128::MAX >> 16))
}

fn parse_flow(entry: &DatapathEntry, text: &str, put: Put, says: &mut Says) -> Result<(Ufid, Key, Mask), ()> {
    let Ok((ufid, text)) = split_ufid(text) else { return says.fail("parsing flow ufid", Some(reason::INVALID)) };
    match odp_text::parse_groups(text, Some(&Names(&entry.ports))) {
        Ok(_)
            if put != Put::Delete
                && let Some(from) = overlong_tunnel(text) =>
        {
            says.fail(&format!("parsing flow key (syntax error at {from})"), Some("Argument list too long"))
        }
        Ok(parsed) if put != Put::Delete && (!parsed.fit || parsed.lacks_ttl) => {
            says.fail("updating flow table", Some(reason::INVALID))
        }
        Ok(odp_text::Groups { key, mut mask, .. }) => {
            // What is not matched otherwise is a packet that has not been here before.
            mask.set_recirc_id(u32::MAX);
            Ok((ufid.unwrap_or_else(|| name_of(&key.masked(&mask), &mask)), key, mask))
        }
        Err(error) if put == Put::Delete => says.fail(&error.to_string(), Some(reason::INVALID)),
        Err(error) => says.fail(&format!("parsing flow key ({error})"), Some(reason::INVALID)),
    }
}

/// The key's text from its tunnel on, where that names more addresses than fit into one nested attribute of netlink:
/// 65,535 octets with its header of 4, where a header of 4 and an address of 4 octets go to each.
fn overlong_tunnel(text: &str) -> Option<&str> {
    let from = text.get(text.find("tunnel(")?..)?;
    let inside = from.split_once("(")?.1.split_once(')')?.0;
    let addresses =
        inside.split(',').map(str::trim).filter(|part| part.starts_with("src=") || part.starts_with("dst="));
    (addresses.count() > (usize::from(u16::MAX) - 4) / 8).then_some(from)
}

/// Those parts of a key's text, `NAME(…)` each, that were given.
fn told_parts(key: &str, given: &str) -> String {
    let mut depth = 0;
    let is_between = |c: char| {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        c == ',' && depth == 0
    };
    let is_given = |part: &&str| part.split_once('(').is_some_and(|(name, _)| given.contains(&format!("{name}(")));
    key.split(is_between).filter(is_given).collect::<Vec<_>>().join(",")
}

/// Tells the log that a flow was not taken as it is none, in the words of Open vSwitch.
fn log_refused(datapath: &str, (put, given): (Put, Given), flow: &FlowEntry, key_text: &str) {
    let (kind, named) = datapath.split_once('@').unwrap_or(("system", datapath));
    let flags = match put {
        Put::Modify if given.may_create => "[create][modify]",
        Put::Modify => "[modify]",
        _ => "[create]",
    };
    // Of what is wrong the datapath itself tells the first.
    if is_complete(key_text, &flow.key()) && !key_text.contains("in_port(") {
        let flags = if given.may_create { "[create]" } else { flags };
        vlog::err_rl!("dpif_netdev", 600, 600, "failed to put{flags} flow: in_port is not an exact match");
    }
    let all = odp_text::KeyOptions { verbose: true, ports: None };
    let key = told_parts(&odp_text::format_key(&flow.key(), Some(&flow.mask()), &all), key_text);
    let (ufid, actions) = (odp_text::ufid(flow.ufid), odp_text::format_actions(&flow.actions, None));
    vlog::warn_rl!(
        "dpif",
        600,
        600,
        "{kind}@{named}: failed to put{flags} (Invalid argument) ufid:{ufid} {key}, actions:{actions}"
    );
}

async fn put_flow(
    (name, entry): Found<'_>,
    put: Put,
    key: &str,
    actions: &str,
    given: Given,
    says: &mut Says,
) -> Result<(), ()> {
    let text = key;
    let (ufid, key, mask) = parse_flow(entry, text, put, says)?;
    // Here ports have numbers alone.
    let actions = match odp_text::parse_actions(actions, None) {
        Ok(actions) => actions,
        Err(error) => return says.fail("parsing actions", Some(&error.reason())),
    };
    if key.in_port() != 0
        && !entry.ports.contains_key(&key.in_port())
        && mask.in_port() != 0
        && put == Put::Modify
        && !given.may_create
    {
        return says.fail("updating flow table", Some(reason::NO_FLOW));
    }
    if !is_complete(text, &key) || mask.in_port() != u32::MAX {
        log_refused(&name, (put, given), &FlowEntry::new(ufid, &key, &mask, actions.into()), text);
        return says.fail("updating flow table", Some(reason::INVALID));
    }
    if given.clear {
        // Counters belong to the thread that counts.
        return says.fail("updating flow table", Some(reason::UNSUPPORTED));
    }
    let flow = FlowEntry::new(ufid, &key, &mask, actions.into());
    let now_ms = clock::now_ms();
    let before = counted(entry, ufid).await;
    let work = move |engine: &mut dp::Datapath, _| {
        let before = engine.flow(flow.ufid).and(before);
        let done = match (put, before.is_some()) {
            (Put::Modify, true) => engine.modify(&by_hand(&flow), 0),
            (Put::Modify, false) if !given.may_create => Err(dp::InstallError::NotFound),
            // Of two flows for one packet either might serve it.
            (_, false) if engine.has_flow_for(&key) => Err(dp::InstallError::Exists),
            _ => engine.install(&flow, 0).inspect(|()| engine.keep_key(flow.ufid, MiniKey::from(&key))),
        };
        done.map(|()| counters(&before.unwrap_or_default(), now_ms)).map_err(|e| match e {
            dp::InstallError::Exists => reason::EXISTS.to_owned(),
            dp::InstallError::NotFound => reason::NO_FLOW.to_owned(),
            _ => "No space left on device".to_owned(),
        })
    };
    match perform(entry, Box::new(work)).await {
        Ok(counted) => {
            if given.statistics {
                let _ = writeln!(says.0, "{counted}");
            }
            Ok(())
        }
        Err(why) => says.fail("updating flow table", Some(&why)),
    }
}

/// What all threads together have counted of a flow, if it is there.
async fn counted(entry: &DatapathEntry, ufid: Ufid) -> Option<FlowStats> {
    let reports = entry.address.ask(ReportFlows(vec![ufid]), PATIENCE).await.ok()??;
    Some(reports.first()?.stats)
}

/// All flows at once.
const EVERYTHING: FlowDump = FlowDump { cursor: dp::FlowCursor::START, max: usize::MAX };

/// Whether a key says all that its type needs said: nothing else tells a header that any packet has from one that none
/// has.
fn is_complete(text: &str, key: &Key) -> bool {
    let group = match key.dl_type() {
        0x0800 => "ipv4(",
        0x86dd => "ipv6(",
        0x0806 | 0x8035 => "arp(",
        0x8847 | 0x8848 => "mpls(",
        _ => "eth_type(",
    };
    text.contains("eth_type(") && text.contains(group)
}

/// A flow's counters.
#[allow(clippy::cast_precision_loss)]
fn counters(stats: &FlowStats, now_ms: i64) -> String {
    let used = match stats.used_ms {
        0 => "never".to_owned(),
        used_ms => format!("{:.3}s", (now_ms - used_ms) as f64 / 1000.0),
    };
    let flags = match stats.tcp_flags {
        0 => String::new(),
        flags => format!(", flags:{}", tcp_flag_letters(flags)),
    };
    format!("packets:{}, bytes:{}, used:{used}{flags}", stats.packets, stats.bytes)
}

async fn get((_, entry): Found<'_>, name: &str, given: Given, says: &mut Says) -> Result<(), ()> {
    let Some(ufid) = odp_text::parse_ufid(name).filter(|_| name.starts_with("ufid:")) else {
        says.error("parsing flow ufid", name.starts_with("ufid:").then_some(reason::INVALID));
        return Ok(());
    };
    let names = entry.ports.clone();
    let now_ms = clock::now_ms();
    let stats = counted(entry, ufid).await;
    let work = move |engine: &mut dp::Datapath, _| {
        let mut flow = engine.flow(ufid).ok_or_else(String::new)?;
        flow.stats = stats.unwrap_or(flow.stats);
        let names = Names(&names);
        let names = given.names.unwrap_or(false).then_some(&names as &dyn PortNames);
        let mut out = String::new();
        Show { verbose: given.verbose, names, now_ms }.line(&mut out, &Shown::of(flow), false);
        Ok(out)
    };
    match perform(entry, Box::new(work)).await {
        Ok(line) => {
            says.0.push_str(&line);
            Ok(())
        }
        Err(_) => says.fail("getting flow", Some(reason::NO_FLOW)),
    }
}

async fn delete((_, entry): Found<'_>, key: &str, given: Given, says: &mut Says) -> Result<(), ()> {
    let (ufid, key, mask) = match split_ufid(key) {
        Ok((Some(ufid), "")) => (ufid, None, Mask::EMPTY),
        _ => {
            let (ufid, key, mask) = parse_flow(entry, key, Put::Delete, says)?;
            (ufid, Some(key.masked(&mask)), mask)
        }
    };
    let remove = |ufid| entry.address.ask(FlowDelete { ufids: Some(vec![ufid]) }, PATIENCE);
    let mut gone = remove(ufid).await.unwrap_or_default();
    if let Some(key) = key.filter(|_| gone.is_empty()) {
        // A bridge's flow goes by its own name.
        let (flows, _) = entry.address.ask(EVERYTHING, PATIENCE).await.unwrap_or_default();
        if let Some(same) = flows.into_iter().find(|f| f.entry.key() == key && f.entry.mask() == mask) {
            gone = remove(same.entry.ufid).await.unwrap_or_default();
        }
    }
    match gone.first() {
        Some(gone) => {
            if given.statistics {
                let _ = writeln!(says.0, "{}", counters(&gone.stats, clock::now_ms()));
            }
            Ok(())
        }
        None => says.fail("deleting flow (No such file or directory)\nPerhaps you need to specify a UFID?", None),
    }
}

/// Flows from a file, a line each: `[add|modify|delete] FLOW ACTIONS`. A line that fails does not stop the others.
async fn from_file(found: Found<'_>, file: &str, put: Put, says: &mut Says) -> Result<(), ()> {
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) => {
            says.error(&format!("Opening file \"{file}\" failed"), Some(&crate::stream::errno_text(&error)));
            return Ok(());
        }
    };
    for (number, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or("").trim();
        if line.is_empty() {
            continue;
        }
        let (put, line) = match line.split_once(char::is_whitespace) {
            Some(("add", rest)) => (Put::Add, rest.trim_start()),
            Some(("modify", rest)) => (Put::Modify, rest.trim_start()),
            Some(("delete", rest)) => (Put::Delete, rest.trim_start()),
            _ => (put, line),
        };
        // A name stands before its key.
        let from = if line.starts_with("ufid:") { line.find(' ').map_or(0, |i| i + 1) } else { 0 };
        let parts = line[from..].rsplit_once(char::is_whitespace);
        // A line's failure is told and the rest goes on.
        let _ = match (put, parts) {
            (Put::Delete, None) => delete(found.clone(), line, Given::default(), says).await,
            (Put::Delete, Some(_)) | (_, None) => {
                says.fail(&format!("Failed parsing line number {}, skipped!", number + 1), None)
            }
            (_, Some((key, actions))) => {
                let key = format!("{}{}", &line[..from], key.trim_end());
                put_flow(found.clone(), put, &key, actions, Given::default(), says).await
            }
        };
    }
    Ok(())
}
