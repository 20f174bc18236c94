//! What the log is told of settings that take effect, in the words of Open vSwitch: tables' prefixes, threads, and what
//! there is nothing of here. Pure: a configuration and the one before it make lines.

use flow::classifier::PrefixField;

use super::desired::{DesiredSwitch, DesiredTable, Pairs};
use super::plan::{flag, number, prefix_field};
use crate::datapath::low_latency::Policy;

/// Of each kind.
const THREADS_AT_MOST: u32 = 1024;

/// A line for the log.
#[derive(Debug, Clone)]
pub(super) struct Note {
    /// The log's module.
    pub module: &'static str,
    /// How much it matters.
    pub level: vlog::Level,
    /// The text.
    pub text: String,
}

impl Note {
    fn info(module: &'static str, text: &str) -> Self {
        Self { module, level: vlog::Level::Info, text: text.to_owned() }
    }

    /// Whether all that its module has to say is said once in the program's life.
    pub(super) fn is_told_once(&self) -> bool {
        matches!(self.module, "dpdk" | "userspace_tso")
    }

    fn error(module: &'static str, text: &str) -> Self {
        Self { module, level: vlog::Level::Err, text: text.to_owned() }
    }
}

/// Threads that Open vSwitch would translate and revalidate with, a datapath, as settings ask for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Threads {
    /// That translate.
    pub handlers: u32,
    /// That revalidate.
    pub revalidators: u32,
}

/// One of each, which is what a datapath has here, whatever is asked for.
impl Default for Threads {
    fn default() -> Self {
        Self { handlers: 1, revalidators: 1 }
    }
}

impl Threads {
    /// As `other_config` asks; what is no number, or 0, asks for one.
    pub(super) fn read(other_config: &Pairs) -> Self {
        let threads = |key| number(other_config, key, 1).clamp(1, THREADS_AT_MOST);
        Self { handlers: threads("n-handler-threads"), revalidators: threads("n-revalidator-threads") }
    }
}

/// What is new of a configuration that takes the place of another, and has kept so many datapaths and made so many.
pub(super) fn of_change(before: &DesiredSwitch, after: &DesiredSwitch, (kept, made): (usize, usize)) -> Vec<Note> {
    let mut notes = of_settings(&before.other_config, &after.other_config);
    let known = Some(Threads::read(&before.other_config));
    for known in std::iter::repeat_n(known, kept).chain(std::iter::repeat_n(None, made)) {
        notes.extend(of_threads(known, Threads::read(&after.other_config)));
    }
    for (name, bridge) in &after.bridges {
        let tables = before.bridges.get(name).map(|bridge| &bridge.flow_tables);
        for (id, table) in &bridge.flow_tables {
            let known = tables.and_then(|tables| tables.get(id));
            notes.extend(of_table(&format!("{name} table {id}"), known, table));
        }
    }
    notes
}

/// Threads that hand flows to devices, of each datapath, at the most.
const OFFLOAD_THREADS_AT_MOST: u32 = 10;

/// Once `hw-offload` is asked for: how many threads hand flows to devices, and what is told of it.
pub(super) fn of_offload(other_config: &Pairs) -> (u32, Vec<Note>) {
    let mut notes = Vec::new();
    let mut threads = 1;
    let mut told = String::new();
    if let Some(text) = other_config.get("n-offload-threads") {
        // As for strtoul(3), what is below zero is very much.
        threads = text.parse::<i64>().map_or(1, |n| n as u32);
        if !(1..=OFFLOAD_THREADS_AT_MOST).contains(&threads) {
            let text = format!("netdev: Invalid number of threads requested: {threads}");
            notes.push(Note { module: "netdev_offload", level: vlog::Level::Warn, text });
            threads = 1;
        }
        told = format!(", using {threads} thread{}", if threads == 1 { "" } else { "s" });
    }
    notes.push(Note::info("netdev_offload", &format!("netdev: Flow API Enabled{told}")));
    let policy = other_config.get("tc-policy").map_or("none", String::as_str);
    notes.push(if matches!(policy, "none" | "skip_sw" | "skip_hw") {
        Note::info("tc", &format!("tc: Using policy '{policy}'"))
    } else {
        Note { module: "tc", level: vlog::Level::Warn, text: format!("tc: Invalid policy '{policy}'") }
    });
    (threads, notes)
}

/// Tells the log.
pub(super) fn tell(notes: &[Note]) {
    for note in notes {
        vlog::write_to(note.module, note.level, format_args!("{}", note.text));
    }
}

fn of_settings(old: &Pairs, new: &Pairs) -> Vec<Note> {
    let mut notes = Vec::new();
    let has_turned = |key: &str, on: bool| flag(old, key) != flag(new, key) && flag(new, key) == on;
    if has_turned("dpdk-init", true) {
        notes.push(Note::error("dpdk", "DPDK not supported in this copy of Open vSwitch."));
    }
    if has_turned("userspace-tso-enable", true) {
        notes.push(Note::info("userspace_tso", "Userspace TCP Segmentation Offloading support enabled"));
    }
    let flush_us = |pairs: &Pairs| number(pairs, "tx-flush-interval", 0);
    if flush_us(old) != flush_us(new) {
        notes.push(Note::info("dpif_netdev", &format!("Flushing interval for tx queues set to {} us", flush_us(new))));
    }
    let low_latency = new.get("low-latency").map(String::as_str);
    if old.get("low-latency").map(String::as_str) != low_latency && Policy::read(low_latency).is_none() {
        let text = format!("low-latency is neither true nor false: {}", low_latency.unwrap_or_default());
        notes.push(Note { module: "bridge", level: vlog::Level::Warn, text });
    }
    for (on, what) in [(true, "enabled"), (false, "disabled")] {
        if has_turned("pmd-perf-metrics", on) {
            notes.push(Note::info("dpif_netdev", &format!("PMD performance metrics collection {what}")));
        }
    }
    notes
}

fn of_threads(known: Option<Threads>, threads: Threads) -> Vec<Note> {
    if known == Some(threads) {
        return Vec::new();
    }
    let Threads { handlers, revalidators } = threads;
    let both = format!("n-handler-threads to {handlers}, setting n-revalidator-threads to {revalidators}");
    let texts = [format!("Setting {both}"), format!("Starting {} threads", handlers + revalidators)];
    texts.iter().map(|text| Note::info("ofproto_dpif_upcall", text)).collect()
}

fn of_table(name: &str, before: Option<&DesiredTable>, after: &DesiredTable) -> Option<Note> {
    let (known, now) = (before.and_then(prefixes), prefixes(after)?);
    (known.as_ref() != Some(&now)).then(|| Note::info("bridge", &format!("bridge {name}: Prefix lookup with: {now}.")))
}

/// The name that a field goes by, of those that it has.
fn name_of(field: PrefixField) -> &'static str {
    match field {
        PrefixField::Ipv4Dst => "ip_dst",
        PrefixField::Ipv4Src => "ip_src",
        PrefixField::Ipv6Dst => "ipv6_dst",
        PrefixField::Ipv6Src => "ipv6_src",
        PrefixField::TunDst => "tun_dst",
        PrefixField::TunSrc => "tun_src",
        PrefixField::TunIpv6Dst => "tun_ipv6_dst",
        PrefixField::TunIpv6Src => "tun_ipv6_src",
        PrefixField::TunId => "tun_id",
    }
}

/// The fields with prefixes of a table, if it says any.
fn prefixes(table: &DesiredTable) -> Option<String> {
    let names: Vec<_> = table.prefixes.iter().filter_map(|name| prefix_field(name).ok()).map(name_of).collect();
    let is_none = table.prefixes.iter().any(|name| name == "none");
    if names.is_empty() { is_none.then(|| "none".to_owned()) } else { Some(names.join(",")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(notes: impl IntoIterator<Item = Note>) -> Vec<String> {
        notes.into_iter().map(|note| note.text).collect()
    }

    #[test]
    fn settings_are_told_of_when_they_change() {
        let pairs = |pairs: &[(&str, &str)]| -> Pairs {
            pairs.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect()
        };
        let none = Pairs::new();
        let set = pairs(&[("pmd-perf-metrics", "true"), ("tx-flush-interval", "50"), ("n-handler-threads", "2")]);
        let told = ["Flushing interval for tx queues set to 50 us", "PMD performance metrics collection enabled"];
        assert_eq!(texts(of_settings(&none, &set)), told);
        assert!(of_settings(&set, &set).is_empty());
        for (value, warnings) in [("true", 0), ("false", 0), ("yes", 1)] {
            assert_eq!(of_settings(&none, &pairs(&[("low-latency", value)])).len(), warnings, "{value}");
        }
        assert_eq!(texts(of_settings(&set, &none))[1], "PMD performance metrics collection disabled");
        let told = ["Setting n-handler-threads to 2, setting n-revalidator-threads to 1", "Starting 3 threads"];
        assert_eq!(texts(of_threads(Some(Threads::read(&none)), Threads::read(&set))), told);
        let odd = Threads::read(&pairs(&[("n-handler-threads", "0"), ("n-revalidator-threads", "x")]));
        assert!(of_threads(Some(Threads::default()), odd).is_empty());
        assert_eq!(texts(of_threads(None, odd))[1], "Starting 2 threads");
    }

    #[test]
    fn prefixes_are_told_of_when_they_change() {
        let table = |names: &[&str]| DesiredTable {
            prefixes: names.iter().map(|&name| name.to_owned()).collect(),
            ..DesiredTable::default()
        };
        let (some, none) = (table(&["nw_dst", "tcp_src", "ip_src"]), table(&["none"]));
        assert_eq!(texts(of_table("b table 3", None, &some)), ["bridge b table 3: Prefix lookup with: ip_dst,ip_src."]);
        assert_eq!(texts(of_table("b table 3", Some(&some), &none)), ["bridge b table 3: Prefix lookup with: none."]);
        assert!(of_table("b", Some(&none), &none).is_none() && of_table("b", Some(&none), &table(&[])).is_none());
    }
}
