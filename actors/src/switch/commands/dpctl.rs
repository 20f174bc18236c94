//! `dpctl/*` for datapaths and their ports: which there are, and what they have counted.
//!
//! Source: ovs-dpctl(8), and what Open vSwitch 3.1 prints.

use std::fmt::Write;
use std::sync::Arc;

use openflow::message::port_stats::UNKNOWN;

use super::context::{Found, PATIENCE, Registry, Says, all_datapaths, datapath_named, optional_datapath, reason};
use crate::host::{LinkCounters, ReadCounters};
use crate::msg::datapath::{DatapathReport, ReadStats};
use crate::switch::directory::Directory;
use crate::switch::tunnels;
use crate::unixctl::Answer;

const MANY: usize = usize::MAX;

/// All commands of the family with their usage, in the order that `dpctl/list-commands` has them.
pub(super) const FAMILY: &[(&str, &str)] = &[
    ("add-dp", "dp [iface...]"),
    ("del-dp", "dp"),
    ("add-if", "dp iface..."),
    ("del-if", "dp iface..."),
    ("set-if", "dp iface..."),
    ("dump-dps", ""),
    ("show", "[-s] [dp...]"),
    ("dump-flows", "[-m] [--names] [dp] [filter=..] [type=..] [pmd=..]"),
    ("add-flow", "[dp] flow actions"),
    ("mod-flow", "[dp] flow actions"),
    ("get-flow", "[dp] ufid"),
    ("del-flow", "[dp] flow"),
    ("add-flows", "[dp] file"),
    ("mod-flows", "[dp] file"),
    ("del-flows", "[dp] [file]"),
    ("offload-stats-show", "[dp]"),
    ("dump-conntrack", "[-m] [-s] [dp] [zone=N]"),
    ("flush-conntrack", "[dp] [zone=N] [ct-orig-tuple] [ct-reply-tuple]"),
    ("cache-get-size", "[dp]"),
    ("cache-set-size", "dp cache <size>"),
    ("ct-stats-show", "[dp] [zone=N]"),
    ("ct-bkts", "[dp] [gt=N]"),
    ("ct-set-maxconns", "[dp] maxconns"),
    ("ct-get-maxconns", "[dp]"),
    ("ct-get-nconns", "[dp]"),
    ("ct-enable-tcp-seq-chk", "[dp]"),
    ("ct-disable-tcp-seq-chk", "[dp]"),
    ("ct-get-tcp-seq-chk", "[dp]"),
    ("ct-set-limits", "[dp] [default=L] [zone=N,limit=L]..."),
    ("ct-del-limits", "[dp] zone=N1[,N2]..."),
    ("ct-get-limits", "[dp] [zone=N1[,N2]...]"),
    ("ipf-set-enabled", "[dp] v4|v6"),
    ("ipf-set-disabled", "[dp] v4|v6"),
    ("ipf-set-min-frag", "[dp] v4|v6 minfragment"),
    ("ipf-set-max-nfrags", "[dp] maxfrags"),
    ("ipf-get-status", "[dp]"),
    ("list-commands", ""),
    ("parse-actions", "actions"),
    ("normalize-actions", "actions"),
];

/// Registers them, but for those that change something, which are [`super::dpctl_edit`]'s.
pub(super) fn add(registry: &mut Registry<'_>) {
    registry.say("dpctl/list-commands", "", (0, MANY), |_| {
        let mut out = String::from("The available commands are:\n");
        for (name, usage) in FAMILY {
            let _ = writeln!(out, "  dpctl/{name:<23} {usage}");
        }
        Ok(out)
    });
    registry.plain("dpctl/dump-dps", "", (0, 0), |directory, _| async move {
        Ok(all_datapaths(&directory).into_keys().map(|name| name + "\n").collect())
    });
    registry.ask("dpctl/show", "[-s] [dp...]", (0, MANY), |directory, args| async move {
        let (options, names) = options(&args)?;
        show(&directory, names, options.statistics).await
    });
    registry.plain("dpctl/offload-stats-show", "[dp]", (0, 1), |directory, args| async move {
        let mut says = Says::default();
        let result = match (optional_datapath(&directory, &args, 1, &mut says), directory.offload_threads) {
            (Err(()), _) => Err(()),
            (Ok(_), 0) => says.fail("retrieving offload statistics", Some(reason::INVALID)),
            (Ok(_), threads) => {
                says.0.push_str(&offload_statistics(threads));
                Ok(())
            }
        };
        says.answer(result)
    });
    registry.plain("dpctl/cache-get-size", "[dp]", (0, 1), |directory, args| async move {
        let wanted = args.first().map(|name| datapath_named(&directory, name).map(|(name, _)| name));
        match wanted {
            Some(None) => Err(format!("ovs-vswitchd: Opening datapath {} failed (No such device)\n", args[0])),
            Some(Some(name)) => Ok(format!("{name}:\n")),
            None => Ok(all_datapaths(&directory).into_keys().map(|name| name + ":\n").collect()),
        }
    });
    registry.plain("dpctl/cache-set-size", "dp cache <size>", (3, 3), |directory, args| async move {
        let mut says = Says::default();
        let result = match args[2].parse::<u32>() {
            Err(_) => says.fail("size is malformed", Some(reason::INVALID)),
            Ok(_) if datapath_named(&directory, &args[0]).is_none() => {
                says.fail(&format!("Opening datapath {} failed", args[0]), Some(reason::NO_DEVICE))
            }
            Ok(_) => says.fail("Setting caches not supported", Some(reason::UNSUPPORTED)),
        };
        says.answer(result)
    });
}

/// What threads have done that hand flows to devices. Here a device is told by whoever installs the flow, at once:
/// nothing ever waits, and nothing is late.
fn offload_statistics(threads: u32) -> String {
    let figures = [
        "Enqueued offloads",
        "Inserted offloads",
        "Cumulative Average latency (us)",
        "Cumulative Latency stddev (us)",
        "Exponential Average latency (us)",
        "Exponential Latency stddev (us)",
    ];
    let mut out = String::from("HW Offload stats:\n");
    let whose = std::iter::once("Total".to_owned()).chain((0..threads).map(|thread| format!("[{thread:>3}]")));
    for who in whose {
        for figure in figures {
            let _ = writeln!(out, "     {who}{figure:>34}: {:>6}", 0);
        }
    }
    out
}

/// Options in front of the arguments of a `dpctl` command.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Given {
    pub(super) statistics: bool,
    pub(super) verbose: bool,
    pub(super) names: Option<bool>,
    pub(super) clear: bool,
    pub(super) may_create: bool,
}

/// Takes the options off.
pub(super) fn options(args: &[String]) -> Result<(Given, &[String]), String> {
    let mut given = Given::default();
    let mut rest = args;
    while let Some((first, tail)) = rest.split_first()
        && first.starts_with('-')
        && first != "-"
    {
        match first.as_str() {
            "-s" | "--statistics" => given.statistics = true,
            "-m" | "--more" => given.verbose = true,
            "--names" => given.names = Some(true),
            "--no-names" => given.names = Some(false),
            "--clear" => given.clear = true,
            "--may-create" => given.may_create = true,
            "--read-only" => {}
            _ => return Err(format!("Unrecognized option {first}")),
        }
        rest = tail;
    }
    Ok((given, rest))
}

async fn show(directory: &Directory, names: &[String], statistics: bool) -> Answer {
    let mut says = Says::default();
    let mut result = Ok(());
    let mut wanted: Vec<Found<'_>> = Vec::new();
    if names.is_empty() {
        wanted.extend(all_datapaths(directory));
    }
    for name in names {
        match datapath_named(directory, name) {
            Some(found) => wanted.push(found),
            None => result = says.fail(&format!("opening datapath {name} failed"), Some(reason::NO_DEVICE)),
        }
    }
    for (full, entry) in wanted {
        let (kind, own_port) = full.split_once('@').unwrap_or(("system", &full));
        let report = entry.address.ask(ReadStats, PATIENCE).await.map_err(|e| e.to_string())?;
        let own = if directory.made.contains_key(&full) { full.as_str() } else { kind };
        let (hits, misses, lost) = super::pmd::lookups(own, &report);
        let out = &mut says.0;
        let _ = writeln!(out, "{full}:");
        let _ = writeln!(out, "  lookups: hit:{hits} missed:{misses} lost:{lost}");
        let _ = writeln!(out, "  flows: {}", report.flows);
        let own = match kind {
            "netdev" => "tap",
            "system" if directory.host.is_some() => "internal",
            _ => "dummy-internal",
        };
        let _ = writeln!(out, "  port 0: {own_port} ({own})");
        let kernel = match &directory.host {
            Some(host) if statistics => host.address.ask(ReadCounters, PATIENCE).await.unwrap_or_default(),
            _ => Arc::default(),
        };
        if statistics {
            let idle = LinkCounters::default();
            port_statistics(out, None, (own != "dummy-internal").then_some((&idle, own)));
        }
        for (number, name) in &entry.ports {
            let port = entry.own.get(name).or_else(|| directory.ports.get(name));
            let tunnel = || directory.ports.values().filter(|p| p.odp == Some(*number)).find_map(|p| p.tunnel.as_ref());
            let shown = match port {
                Some(port) => kind_text(&port.kind, &port.options),
                None => tunnel().map(|config| tunnels::shared_text(config)).unwrap_or_default(),
            };
            let plain = shown == "system" || shown.is_empty();
            let shown = if plain { String::new() } else { format!(" ({shown})") };
            let _ = writeln!(out, "  port {number}: {name}{shown}");
            if statistics {
                let device = port.and_then(|port| Some((kernel.get(name)?, port.kind.as_str())));
                port_statistics(out, Some((*number, &report)), device);
            }
        }
    }
    says.answer(result)
}

/// The kind of a port with those of its options that its device tells of.
pub(super) fn kind_text(kind: &str, options: &std::collections::BTreeMap<String, String>) -> String {
    let told: &[&str] = match kind {
        "patch" => &["peer"],
        "dummy" | "dummy-internal" | "dummy-pmd" | "system" | "internal" | "tap" => &["ifindex", "pstream", "stream"],
        _ => &[],
    };
    let mut out = kind.to_owned();
    let mut told: std::collections::BTreeMap<&str, String> =
        options.iter().filter(|(n, _)| told.contains(&n.as_str())).map(|(n, v)| (n.as_str(), v.clone())).collect();
    if told.contains_key("ifindex") {
        match crate::port::device::dummy_index(options) {
            Some(index) => told.insert("ifindex", index.to_string()),
            None => told.remove("ifindex"),
        };
    }
    if kind == "dummy-pmd" {
        let queues = crate::port::device::dummy_queues(options).to_string();
        for name in ["configured_rx_queues", "requested_rx_queues"] {
            told.insert(name, queues.clone());
        }
        let queues = crate::port::device::dummy_sending_queues(options).to_string();
        for name in ["configured_tx_queues", "requested_tx_queues"] {
            told.insert(name, queues.clone());
        }
    }
    for (i, (name, value)) in told.iter().enumerate() {
        let _ = write!(out, "{}{name}={value}", if i == 0 { ": " } else { ", " });
    }
    out
}

/// The counters of one port: the kernel's of a device of the host (`device`, with its kind), the datapath's of any other;
/// what is not counted is a question mark.
fn port_statistics(
    out: &mut String,
    counted: Option<(flow::OdpPort, &DatapathReport)>,
    device: Option<(&LinkCounters, &str)>,
) {
    let (number, report) = counted.unzip();
    let mut stats = crate::switch::counters(number, report);
    let (mut aborted, mut carrier) = (UNKNOWN, UNKNOWN);
    match device {
        Some((kernel, kind))
            if !crate::switch::kernel_counters(kernel, kind, (number, report), &mut stats).is_empty() =>
        {
            (aborted, carrier) = (kernel.tx_aborted_err, kernel.tx_carrier_err);
        }
        // What the kernel does not count, the datapath's own threads do only in part.
        _ => {
            (stats.rx_errors, stats.rx_dropped, stats.tx_errors, stats.tx_dropped) =
                (UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN)
        }
    }
    let told = |n: u64| if n == UNKNOWN { "?".to_owned() } else { n.to_string() };
    let _ = writeln!(
        out,
        "    RX packets:{} errors:{} dropped:{} overruns:{} frame:{}",
        told(stats.rx_packets),
        told(stats.rx_errors),
        told(stats.rx_dropped),
        told(stats.rx_over_err),
        told(stats.rx_frame_err)
    );
    let _ = writeln!(
        out,
        "    TX packets:{} errors:{} dropped:{} aborted:{} carrier:{}",
        told(stats.tx_packets),
        told(stats.tx_errors),
        told(stats.tx_dropped),
        told(aborted),
        told(carrier)
    );
    let _ = writeln!(out, "    collisions:{}", told(stats.collisions));
    let _ = write!(out, "    RX bytes:{}{}", stats.rx_bytes, scaled(stats.rx_bytes));
    let _ = writeln!(out, "  TX bytes:{}{}", stats.tx_bytes, scaled(stats.tx_bytes));
}

/// A number of octets in larger units, for people.
#[allow(clippy::cast_precision_loss)]
fn scaled(octets: u64) -> String {
    let units = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
    let unit = units.iter().find(|(shift, _)| octets >= 1 << shift);
    unit.map(|(shift, name)| format!(" ({:.1} {name})", octets as f64 / (1u64 << shift) as f64)).unwrap_or_default()
}
