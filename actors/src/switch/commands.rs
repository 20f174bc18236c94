//! Control commands of the switch: each finds its parts in the directory and asks them.

use flow::odp_text;
use packet::PacketBuf;
use std::fmt::Write;
use std::time::Duration;

use super::directory::{Directory, Shared};
use crate::clock;
use crate::msg::bridge::Control;
use crate::msg::datapath::*;
use crate::msg::port::SetAdmin;
use crate::msg::revalidator::{Purge, Sweep};
use crate::port::Receive;
use crate::unixctl::{Answer, Commands};

const PATIENCE: Duration = Duration::from_secs(30);

/// Registers them.
pub fn add(commands: &mut Commands, directory: &Shared) {
    for (name, usage, min, max) in [
        ("fdb/show", "bridge", 1, 1),
        ("fdb/stats-show", "bridge", 1, 1),
        ("fdb/add", "bridge port vlan mac", 4, 4),
        ("fdb/del", "bridge vlan mac", 3, 3),
    ] {
        on_bridge(commands, directory, name, usage, min, max);
    }
    on_bridges(commands, directory, "fdb/flush", "[bridge]");
    on_bridges(commands, directory, "fdb/stats-clear", "[bridge]");
    add_dummy(commands, directory);
    add_datapath(commands, directory);
    add_revalidator(commands, directory);
}

fn on_bridge(commands: &mut Commands, directory: &Shared, name: &'static str, usage: &str, min: usize, max: usize) {
    let directory = directory.clone();
    commands.add_later(name, usage, min, max, move |args| {
        let directory = directory.load_full();
        async move {
            let bridge = directory.bridges.get(&args[0]).ok_or("no such bridge")?;
            let ask = bridge.address.ask(Control { name, args: args[1..].to_vec() }, PATIENCE);
            ask.await.map_err(|e| e.to_string())?
        }
    });
}

/// A command for one bridge, or for all of them when none is named.
fn on_bridges(commands: &mut Commands, directory: &Shared, name: &'static str, usage: &str) {
    let directory = directory.clone();
    commands.add_later(name, usage, 0, 1, move |args| {
        let directory = directory.load_full();
        async move {
            let mut answer = String::new();
            let wanted = args.first();
            if wanted.is_some_and(|w| !directory.bridges.contains_key(w)) {
                return Err("no such bridge".to_owned());
            }
            for (_, bridge) in directory.bridges.iter().filter(|(n, _)| wanted.is_none_or(|w| w == *n)) {
                let ask = bridge.address.ask(Control { name, args: Vec::new() }, PATIENCE);
                answer = ask.await.map_err(|e| e.to_string())??;
            }
            Ok(answer)
        }
    });
}

/// Lets everything that a command set in motion come to rest, so that the next command sees what it did.
async fn settle() {
    clock::rest().await;
}

fn add_dummy(commands: &mut Commands, directory: &Shared) {
    let shared = directory.clone();
    commands.add_later("netdev-dummy/receive", "name packet|flow [--len packet_len]...", 2, usize::MAX, move |args| {
        let directory = shared.load_full();
        async move {
            let entry = directory.ports.get(&args[0]).ok_or_else(|| "no such dummy netdev".to_owned())?;
            let packets = packets_of(&args[1..])?;
            let _ = entry.address.ask(Receive(packets), PATIENCE).await;
            settle().await;
            Ok(String::new())
        }
    });
    let shared = directory.clone();
    commands.add_later("netdev-dummy/set-admin-state", "[netdev] up|down", 1, 2, move |args| {
        let directory = shared.load_full();
        async move {
            let up = match args.last().map(String::as_str) {
                Some("up") => true,
                Some("down") => false,
                _ => return Err("Invalid Admin State".to_owned()),
            };
            if args.len() == 2 {
                let entry = directory.ports.get(&args[0]).ok_or_else(|| "Unknown Dummy Interface".to_owned())?;
                entry.address.offer(SetAdmin(up));
            } else {
                for entry in directory.ports.values() {
                    entry.address.offer(SetAdmin(up));
                }
            }
            settle().await;
            Ok("OK".to_owned())
        }
    });
    commands.add("netdev-dummy/conn-state", "[netdev]", 0, 1, |_| Ok(String::new()));
}

/// Packets given as hex digits or as flows, each flow perhaps with a length.
fn packets_of(args: &[String]) -> Result<Vec<PacketBuf>, String> {
    let mut packets = Vec::new();
    let mut args = args.iter().peekable();
    while let Some(text) = args.next() {
        let octets = hex_octets(text);
        if let Some(octets) = octets {
            packets.push(PacketBuf::new(&octets));
            continue;
        }
        let (key, _) = odp_text::parse_key(text, None).map_err(|_| "bad packet or flow syntax".to_owned())?;
        let mut len = None;
        if args.peek().is_some_and(|a| *a == "--len") {
            args.next();
            let text = args.next().ok_or("bad flow syntax")?;
            len = Some(text.parse::<usize>().map_err(|_| "bad packet length")?);
        }
        let packet = match len {
            Some(len) => flow::compose::compose_len(&key, len).ok_or("bad packet length")?,
            None => flow::compose::compose(&key, flow::compose::Payload::default()),
        };
        packets.push(packet);
    }
    Ok(packets)
}

fn hex_octets(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u32> =
        text.chars().filter(|c| !c.is_whitespace()).map(|c| c.to_digit(16)).collect::<Option<_>>()?;
    (digits.len() % 2 == 0 && digits.len() >= 28).then(|| digits.chunks(2).map(|p| (p[0] << 4 | p[1]) as u8).collect())
}

fn add_revalidator(commands: &mut Commands, directory: &Shared) {
    let shared = directory.clone();
    commands.add_later("revalidator/wait", "", 0, 0, move |_| {
        let directory = shared.load_full();
        async move {
            settle().await;
            for datapath in directory.datapaths.values() {
                datapath.revalidator.ask(Sweep, PATIENCE).await.map_err(|e| e.to_string())?;
            }
            settle().await;
            Ok(String::new())
        }
    });
    let shared = directory.clone();
    commands.add_later("revalidator/purge", "", 0, 0, move |_| {
        let directory = shared.load_full();
        async move {
            for datapath in directory.datapaths.values() {
                datapath.revalidator.ask(Purge, PATIENCE).await.map_err(|e| e.to_string())?;
            }
            settle().await;
            Ok(String::new())
        }
    });
}

/// The one datapath meant by a `dpctl` argument such as `netdev@ovs-netdev`, or the only one there is.
fn datapath_named<'a>(
    directory: &'a Directory,
    name: Option<&String>,
) -> Result<(&'a String, &'a super::directory::DatapathEntry), String> {
    match name {
        Some(name) => {
            let kind = name.split_once('@').map_or(name.as_str(), |(kind, _)| kind);
            directory.datapaths.get_key_value(kind).ok_or_else(|| format!("datapath {name} not found"))
        }
        None if directory.datapaths.len() == 1 => directory.datapaths.iter().next().ok_or_else(String::new),
        None if directory.datapaths.is_empty() => Err("no datapaths exist".to_owned()),
        None => Err("multiple datapaths, specify one".to_owned()),
    }
}

fn add_datapath(commands: &mut Commands, directory: &Shared) {
    let shared = directory.clone();
    commands.add_later("dpif/show", "", 0, 0, move |_| {
        let directory = shared.load_full();
        async move { dpif_show(&directory).await }
    });
    let shared = directory.clone();
    commands.add_later("dpif/dump-dps", "", 0, 0, move |_| {
        let directory = shared.load_full();
        async move {
            let mut out = String::new();
            for kind in directory.datapaths.keys() {
                let _ = writeln!(out, "{kind}@ovs-{kind}");
            }
            Ok(out)
        }
    });
    let shared = directory.clone();
    commands.add_later(
        "dpctl/dump-flows",
        "[--no-names] [-m] [--names] [dp] [filter=..] [type=..] [pmd=..]",
        0,
        6,
        move |args| {
            let directory = shared.load_full();
            async move { dump_flows(&directory, &args).await }
        },
    );
    let shared = directory.clone();
    commands.add_later("dpctl/del-flows", "[dp]", 0, 1, move |args| {
        let directory = shared.load_full();
        async move {
            let (_, datapath) = datapath_named(&directory, args.first())?;
            datapath.revalidator.ask(Purge, PATIENCE).await.map_err(|e| e.to_string())?;
            Ok(String::new())
        }
    });
    let shared = directory.clone();
    commands.add_later("dpif/dump-flows", "[-m] [--names | --no-names] bridge", 1, 3, move |args| {
        let directory = shared.load_full();
        async move {
            let name = args.last().ok_or("no bridge")?;
            let bridge = directory.bridges.get(name).ok_or("no such bridge")?;
            let mut with = args[..args.len() - 1].to_vec();
            with.push(bridge.datapath.clone());
            dump_flows(&directory, &with).await
        }
    });
}

async fn dpif_show(directory: &Directory) -> Answer {
    let mut out = String::new();
    for (kind, datapath) in directory.datapaths.iter() {
        let report = datapath.address.ask(ReadStats, PATIENCE).await.map_err(|e| e.to_string())?;
        let hits = report.stats.emc_hits + report.stats.smc_hits + report.stats.megaflow_hits;
        let _ = writeln!(out, "{kind}@ovs-{kind}: hit:{hits} missed:{}", report.stats.misses);
        for (name, _) in directory.bridges.iter().filter(|(_, b)| b.datapath == *kind) {
            let _ = writeln!(out, "  {name}:");
            let mut ports: Vec<_> = directory.ports.iter().filter(|(_, p)| p.bridge == *name).collect();
            ports.sort_by_key(|(n, _)| (*n).clone());
            for (port_name, port) in ports {
                let odp = port.odp.map_or("none".to_owned(), |n| n.to_string());
                let _ = writeln!(out, "    {port_name} {}/{odp}: ({})", port.port.0, port.kind);
            }
        }
    }
    Ok(out)
}

/// Names of a datapath's ports.
struct Names<'a>(&'a std::collections::BTreeMap<flow::OdpPort, String>);

impl flow::text::PortNames for Names<'_> {
    fn name_of(&self, port: u32) -> Option<&str> {
        self.0.get(&port).map(String::as_str)
    }

    fn port_named(&self, name: &str) -> Option<u32> {
        self.0.iter().find(|(_, n)| *n == name).map(|(number, _)| *number)
    }
}

/// TCP flags as one letter each.
fn tcp_flag_letters(flags: u16) -> String {
    let letters = ["F", "S", "R", "P", ".", "U", "E", "C", "N", "[200]", "[400]", "[800]"];
    letters.iter().enumerate().filter(|(i, _)| flags & (1 << i) != 0).map(|(_, l)| *l).collect()
}

async fn dump_flows(directory: &Directory, args: &[String]) -> Answer {
    let verbose = args.iter().any(|a| a == "-m" || a == "--more");
    let with_names = args.iter().any(|a| a == "--names") || (verbose && !args.iter().any(|a| a == "--no-names"));
    let name = args.iter().find(|a| !a.starts_with('-') && !a.contains('='));
    let (_, datapath) = datapath_named(directory, name)?;
    let mut cursor = Some(dp::FlowCursor::default());
    let mut flows = Vec::new();
    while let Some(at) = cursor {
        let dump = FlowDump { cursor: at, max: crate::budget::WALK_SLICE };
        let (some, next) = datapath.address.ask(dump, PATIENCE).await.map_err(|e| e.to_string())?;
        cursor = next;
        flows.extend(some);
    }
    Ok(flow_lines(&flows, &datapath.ports, with_names, verbose))
}

fn flow_lines(
    flows: &[dp::DumpedFlow],
    ports: &std::collections::BTreeMap<flow::OdpPort, String>,
    with_names: bool,
    verbose: bool,
) -> String {
    let names = Names(ports);
    let names = with_names.then_some(&names as &dyn flow::text::PortNames);
    let options = odp_text::KeyOptions { verbose, ports: names };
    let now_ms = clock::now_ms();
    let mut out = String::new();
    for flow in flows {
        if verbose {
            let _ = write!(out, "{}, ", odp_text::ufid(flow.entry.ufid));
        }
        let _ = write!(out, "{}, ", odp_text::format_key(&flow.entry.key, Some(&flow.entry.mask), &options));
        let stats = &flow.stats;
        let _ = write!(out, "packets:{}, bytes:{}, used:", stats.packets, stats.bytes);
        if stats.used_ms > 0 {
            let _ = write!(out, "{:.3}s", (now_ms - stats.used_ms) as f64 / 1000.0);
        } else {
            out.push_str("never");
        }
        if stats.tcp_flags != 0 {
            let _ = write!(out, ", flags:{}", tcp_flag_letters(stats.tcp_flags));
        }
        let _ = writeln!(out, ", actions:{}", odp_text::format_actions(&flow.entry.actions, names));
    }
    out
}
