//! Quality of service of a port: the database's QoS and Queue rows as a queueing discipline of the kernel's and its
//! classes (ovs-vswitchd.conf.db(5), QoS table). `egress-policer` is of devices that no packet socket reaches, and is
//! answered as an unknown type.

pub mod commands;

use std::collections::BTreeMap;
use std::fmt::Write;
use sys::tc::{self, ClassRates, Discipline};

use crate::clock;
use crate::switch::desired::{DesiredQos, Pairs};

/// Types that can be set, in the order `qos/show-types` lists them.
pub const TYPES: [&str; 7] =
    ["linux-netem", "linux-fq_codel", "linux-codel", "linux-hfsc", "linux-noop", "linux-sfq", "linux-htb"];

/// Octets a second of a device whose speed nobody knows: 100 Mbit/s.
const UNKNOWN_SPEED: u64 = 12_500_000;

/// A port's discipline as it stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shaping {
    /// The type as people know it.
    pub kind: String,
    /// Settings, as `qos/show` lists them.
    pub details: Vec<(&'static str, String)>,
    /// Queues.
    pub queues: BTreeMap<u32, Queue>,
    /// The device's number.
    pub ifindex: u32,
}

/// A queue as it stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Queue {
    /// Settings, as `qos/show` lists them.
    pub details: Vec<(&'static str, String)>,
    /// Since when it is there, milliseconds of the switch's clock.
    pub since_ms: i64,
}

/// Counters of a queue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueueCounters {
    /// Packets sent.
    pub packets: u64,
    /// Octets sent.
    pub bytes: u64,
    /// Packets dropped.
    pub errors: u64,
}

/// Whether a QoS row asks for anything of the kernel.
pub fn is_wanted(qos: Option<&DesiredQos>) -> bool {
    qos.is_some_and(|q| TYPES.contains(&q.kind.as_str()) && q.kind != "linux-noop")
}

/// A number as C's `strtoull` reads it where nothing may follow: decimal, a sign turns it round within 64 bits.
fn number(pairs: &Pairs, key: &str) -> Option<u64> {
    let text = pairs.get(key)?.trim_start();
    match text.strip_prefix('-') {
        Some(digits) if digits.starts_with(|c: char| c.is_ascii_digit()) => digits.parse().ok().map(u64::wrapping_neg),
        _ => text.parse().ok(),
    }
}

/// A setting of 32 bits: of a larger number those that fit, and of none, or zero, what it is otherwise.
fn setting(pairs: &Pairs, key: &str, default: u32) -> u32 {
    number(pairs, key).map(|n| n as u32).filter(|n| *n != 0).unwrap_or(default)
}

/// The discipline of a type, its settings for people, and those for a log line when it cannot be had.
fn discipline(qos: &DesiredQos, mtu: u32) -> Option<(Discipline, Vec<(&'static str, u32)>)> {
    let get = |key, default| setting(&qos.other_config, key, default);
    Some(match qos.kind.as_str() {
        "linux-htb" => (Discipline::Htb, Vec::new()),
        "linux-hfsc" => (Discipline::Hfsc, Vec::new()),
        "linux-sfq" => {
            let (quantum, perturb) = (get("quantum", mtu), get("perturb", 10));
            (Discipline::Sfq { quantum, perturb }, vec![("quantum", quantum), ("perturb", perturb)])
        }
        "linux-codel" => {
            let (target, limit, interval) = (get("target", 5_000), get("limit", 10_240), get("interval", 100_000));
            let shown = vec![("target", target), ("limit", limit), ("interval", interval)];
            (Discipline::Codel { target, limit, interval }, shown)
        }
        "linux-fq_codel" => {
            let (target, limit, interval) = (get("target", 5_000), get("limit", 10_240), get("interval", 1_000_000));
            let (flows, quantum) = (get("flows", 1_024), get("quantum", 1_514));
            let shown = vec![
                ("target", target),
                ("limit", limit),
                ("interval", interval),
                ("flows", flows),
                ("quantum", quantum),
            ];
            (Discipline::FqCodel { target, limit, interval, flows, quantum }, shown)
        }
        "linux-netem" => {
            let (latency, limit) = (get("latency", 0), get("limit", 1_000));
            let (loss, jitter) = (get("loss", 0), get("jitter", 0));
            (
                Discipline::Netem { latency, limit, loss, jitter },
                vec![("latency", latency), ("limit", limit), ("loss", loss)],
            )
        }
        _ => return None,
    })
}

/// Rates of a queue's class: never below what a frame a second takes, never above the port's.
fn queue_rates(pairs: &Pairs, port_max: u64, mtu: u32) -> ClassRates {
    let least = u64::from(mtu);
    let min = (number(pairs, "min-rate").unwrap_or(0) / 8).max(least).min(port_max);
    let max = number(pairs, "max-rate").map_or(port_max, |n| n / 8).max(min).min(port_max);
    let burst = (number(pairs, "burst").unwrap_or(0) / 8).max(least + 64);
    let burst = u32::try_from(burst).unwrap_or(u32::MAX);
    ClassRates { min, max, burst, priority: setting(pairs, "priority", 0), mtu }
}

fn queue_details(rates: &ClassRates, discipline: &Discipline) -> Vec<(&'static str, String)> {
    let mut details = Vec::new();
    if *discipline == Discipline::Htb {
        details.push(("burst", (u64::from(rates.burst) * 8).to_string()));
        if rates.priority != 0 {
            details.push(("priority", rates.priority.to_string()));
        }
    }
    details.push(("min-rate", (u128::from(rates.min) * 8).to_string()));
    if rates.max != rates.min {
        details.push(("max-rate", (u128::from(rates.max) * 8).to_string()));
    }
    details
}

/// A device to be shaped.
#[derive(Debug, Clone, Copy)]
pub struct Link<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its number.
    pub ifindex: u32,
    /// Its MTU, octets.
    pub mtu: u32,
    /// Its speed, if that is known.
    pub speed_bps: Option<i64>,
}

/// Puts what is wanted into force at a device where `before` stands; `None` takes ours away. Says what stands now.
///
/// Classes of a discipline that stays are changed in place: their counters go on, and nothing that waits is lost.
pub fn apply(link: Link<'_>, qos: Option<&DesiredQos>, before: Option<&Shaping>) -> Option<Shaping> {
    let Link { name, ifindex, mtu, .. } = link;
    let known = qos.filter(|q| is_wanted(Some(q))).and_then(|q| Some((q, discipline(q, mtu)?)));
    let Some((qos, (discipline, settings))) = known else {
        if let Err(error) = tc::remove(ifindex) {
            vlog::warn!("netdev_linux", "{name}: {error}");
        }
        return None;
    };
    let classful = matches!(discipline, Discipline::Htb | Discipline::Hfsc);
    let before = before.filter(|b| classful && b.kind == qos.kind && b.ifindex == ifindex);
    let installed = if before.is_some() { Ok(()) } else { install(link, &discipline, &settings) };
    if let Err(text) = installed {
        vlog::warn!("netdev_linux", "{name}: Failed to install new qdisc: {text}");
        return Some(Shaping { kind: "linux-other".to_owned(), ifindex, ..Shaping::default() });
    }
    let mut shaping = Shaping {
        kind: qos.kind.clone(),
        details: settings.into_iter().map(|(k, v)| (k, v.to_string())).collect(),
        queues: BTreeMap::new(),
        ifindex,
    };
    if classful {
        let speed = link.speed_bps.and_then(|n| u64::try_from(n / 8).ok()).filter(|n| *n > 0).unwrap_or(UNKNOWN_SPEED);
        let port_max = number(&qos.other_config, "max-rate").map(|n| n / 8).filter(|n| *n > 0).unwrap_or(speed);
        shaping.details.push(("max-rate", (u128::from(port_max) * 8).to_string()));
        let whole = ClassRates { min: port_max, max: port_max, burst: mtu, priority: 0, mtu };
        set_class(name, ifindex, &discipline, None, &whole);
        let none = Pairs::new();
        let mut queues: BTreeMap<u32, &Pairs> = BTreeMap::from([(0, &none)]);
        for (number, (_, pairs)) in &qos.queues {
            if let Some(number) = u32::try_from(*number).ok().filter(|n| *n < 0xf000) {
                queues.insert(number, pairs);
            }
        }
        for (queue, pairs) in queues {
            let rates = queue_rates(pairs, port_max, mtu);
            if set_class(name, ifindex, &discipline, Some(queue), &rates) {
                let since_ms = before.and_then(|b| b.queues.get(&queue)).map_or_else(clock::now_ms, |q| q.since_ms);
                shaping.queues.insert(queue, Queue { details: queue_details(&rates, &discipline), since_ms });
            }
        }
        for gone in before.iter().flat_map(|b| b.queues.keys()).filter(|q| !shaping.queues.contains_key(q)) {
            if let Err(error) = tc::remove_class(ifindex, *gone) {
                vlog::warn!("netdev_linux", "{name}: {error}");
            }
        }
    }
    Some(shaping)
}

/// Puts a discipline at the device's root; the text of the error if that fails.
fn install(link: Link<'_>, discipline: &Discipline, settings: &[(&'static str, u32)]) -> Result<(), String> {
    let name = link.name;
    let text = |errno| {
        let os = std::io::Error::from_raw_os_error(errno).to_string();
        os.split(" (os error").next().unwrap_or("").to_owned()
    };
    if let Discipline::Netem { loss, .. } = discipline
        && *loss > 100
    {
        let told = "loss should be a percentage value between 0 to 100, loss was";
        vlog::warn!("netdev_linux", "{told} {loss}");
        return Err(text(libc::EINVAL));
    }
    tc::install(link.ifindex, discipline).map_err(|error| {
        let text = text(error.errno());
        if !settings.is_empty() {
            let (list, errno) = (kernel_settings(settings, discipline).join(", "), error.errno());
            vlog::warn!("netdev_linux", "failed to replace {name} qdisc, {list} error {errno}({text})");
        }
        text
    })
}

/// Settings in the kernel's units, for the log.
fn kernel_settings(settings: &[(&'static str, u32)], discipline: &Discipline) -> Vec<String> {
    let netem = matches!(discipline, Discipline::Netem { .. });
    let unit = |key: &str, n: u32| match key {
        "latency" if netem => tc::netem_time(n),
        "loss" if netem => tc::netem_probability(n),
        _ => n,
    };
    settings.iter().map(|(k, v)| format!("{k} {}", unit(k, *v))).collect()
}

fn set_class(name: &str, ifindex: u32, discipline: &Discipline, queue: Option<u32>, rates: &ClassRates) -> bool {
    let done = tc::set_class(ifindex, discipline, queue, rates);
    if let Err(error) = &done {
        vlog::warn!("netdev_linux", "{name}: {error}");
    }
    done.is_ok()
}

/// The text of `qos/show`.
pub fn show(name: &str, shaping: Option<&Shaping>, counters: &BTreeMap<u32, QueueCounters>) -> String {
    let Some(shaping) = shaping else { return format!("QoS not configured on {name}\n") };
    let mut out = format!("QoS: {name} {}\n", shaping.kind);
    for (key, value) in &shaping.details {
        let _ = writeln!(out, "{key}: {value}");
    }
    for (queue, own) in &shaping.queues {
        match queue {
            0 => out.push_str("\nDefault:\n"),
            n => drop(writeln!(out, "\nQueue {n}:")),
        }
        for (key, value) in &own.details {
            let _ = writeln!(out, "  {key}: {value}");
        }
        let counted = counters.get(queue).copied().unwrap_or_default();
        let _ = writeln!(out, "  tx_packets: {}", counted.packets);
        let _ = writeln!(out, "  tx_bytes: {}", counted.bytes);
        let _ = writeln!(out, "  tx_errors: {}", counted.errors);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(list: &[(&str, &str)]) -> Pairs {
        list.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn a_queue_has_at_least_a_frame_a_second_and_at_most_the_ports_rate() {
        let rates =
            queue_rates(&pairs(&[("max-rate", "5000000"), ("priority", "3"), ("burst", "80000")]), 2_500_000, 1500);
        assert_eq!(rates, ClassRates { min: 1500, max: 625_000, burst: 10_000, priority: 3, mtu: 1500 });
        let rates = queue_rates(&pairs(&[("min-rate", "1000000")]), 2_500_000, 1500);
        assert_eq!(rates, ClassRates { min: 125_000, max: 2_500_000, burst: 1564, priority: 0, mtu: 1500 });
    }

    #[test]
    fn numbers_are_read_as_c_reads_them() {
        for (text, wanted) in [
            ("5", Some(5)),
            ("+5", Some(5)),
            (" 7", Some(7)),
            ("-1", Some(u64::MAX)),
            ("0x10", None),
            ("1e6", None),
            ("12abc", None),
            ("--5", None),
            ("-+5", None),
            ("", None),
            ("18446744073709551616", None),
        ] {
            assert_eq!(number(&pairs(&[("k", text)]), "k"), wanted, "{text}");
        }
        for (text, wanted) in [("5000000000", 705_032_704), ("-1", u32::MAX), ("4294967296", 9), ("0", 9)] {
            assert_eq!(setting(&pairs(&[("k", text)]), "k", 9), wanted, "{text}");
        }
    }

    #[test]
    fn one_rate_is_told_once() {
        let rates = queue_rates(&pairs(&[("min-rate", "3000000"), ("max-rate", "2000000")]), 2_500_000, 1500);
        let names: Vec<_> = queue_details(&rates, &Discipline::Htb).into_iter().map(|(name, _)| name).collect();
        assert_eq!((rates.min, rates.max, names), (375_000, 375_000, vec!["burst", "min-rate"]));
    }

    #[test]
    fn what_qos_show_shows() {
        let rates = queue_rates(&pairs(&[("max-rate", "5000000"), ("priority", "3")]), 2_500_000, 1500);
        let shaping = Shaping {
            kind: "linux-htb".to_owned(),
            details: vec![("max-rate", "20000000".to_owned())],
            queues: BTreeMap::from([(5, Queue { details: queue_details(&rates, &Discipline::Htb), since_ms: 0 })]),
            ifindex: 1,
        };
        let counters = BTreeMap::from([(5, QueueCounters { packets: 2, bytes: 176, errors: 0 })]);
        assert_eq!(
            show("q0", Some(&shaping), &counters),
            "QoS: q0 linux-htb\nmax-rate: 20000000\n\nQueue 5:\n  burst: 12512\n  priority: 3\n  min-rate: 12000\n  max-rate: 5000000\n  tx_packets: 2\n  tx_bytes: 176\n  tx_errors: 0\n"
        );
        assert_eq!(show("q0", None, &counters), "QoS not configured on q0\n");
    }
}
