//! `ofproto/why-dropped`: why packets were dropped, by reason, rule and port. There is no such command elsewhere.

use std::collections::BTreeMap;
use std::fmt::Write;

use dp::Drop;
use flow::odp::DropReason;
use flow::{OdpPort, odp_text};

use super::context::{Names, PATIENCE, Registry, settle};
use super::detrace::origins;
use super::flows::{Shown, collect};
use crate::clock;
use crate::msg::datapath::{DatapathReport, ReadStats};
use crate::switch::directory::{DatapathEntry, Directory};
use crate::unixctl::Answer;

/// Flows shown at the most.
const FLOWS_SHOWN: usize = 20;
/// Rules shown of each flow at the most: one that resubmits without end has hundreds.
const RULES_SHOWN: usize = 16;
/// Flows whose rules are asked for at the most.
const FLOWS_EXPLAINED: usize = 1000;

/// Registers it.
pub(super) fn add(registry: &mut Registry<'_>) {
    registry.ask("ofproto/why-dropped", "[bridge]", (0, 1), |directory, args| async move {
        why_dropped(&directory, args.first().map(String::as_str)).await
    });
}

/// Each reason, and how it is told.
pub(crate) const DROP_REASONS: &[(Drop, &str)] = &[
    (Drop::Translation(DropReason::OfPipeline), "the OpenFlow rules say so"),
    (Drop::Translation(DropReason::BridgeNotFound), "translation: bridge not found"),
    (Drop::Translation(DropReason::RecursionTooDeep), "translation: resubmits nested too deep"),
    (Drop::Translation(DropReason::TooManyResubmit), "translation: too many resubmits"),
    (Drop::Translation(DropReason::StackTooDeep), "translation: stack too deep"),
    (Drop::Translation(DropReason::NoRecirculationContext), "translation: recirculation context gone"),
    (Drop::Translation(DropReason::RecirculationConflict), "translation: recirculation conflict"),
    (Drop::Translation(DropReason::TooManyMplsLabels), "translation: too many MPLS labels"),
    (Drop::Translation(DropReason::InvalidTunnelMetadata), "translation: invalid tunnel metadata"),
    (Drop::Translation(DropReason::UnsupportedPacketType), "translation: unsupported packet type"),
    (Drop::Translation(DropReason::CongestionDrop), "translation: congestion"),
    (Drop::Translation(DropReason::ForwardingDisabled), "the port does not forward (spanning tree, link)"),
    (Drop::Flow, "a cached flow without actions"),
    (Drop::TooShort, "shorter than an Ethernet header"),
    (Drop::UpcallLost, "no flow, and too many packets wait for one"),
    (Drop::UserspaceActionLost, "to be handed to a controller, and too many wait"),
    (Drop::RecirculationLimit, "recirculated too often"),
    (Drop::ActionDepth, "actions nested too deep"),
    (Drop::Meter, "a meter's band"),
    (Drop::NoPort, "sent to a port that is gone"),
    (Drop::NoBond, "sent to a bond that is gone"),
    (Drop::InvalidAction, "an action its headers do not allow"),
    (Drop::TunnelPush, "could not be put into its tunnel"),
    (Drop::TunnelPop, "came by a tunnel, and is not as its protocol has it"),
    (Drop::NoTunnel, "came by a tunnel port that is not there"),
    (Drop::Segmentation, "could not be cut into segments"),
    (Drop::Policer, "more than the port's policing allows in"),
];

async fn why_dropped(directory: &Directory, wanted: Option<&str>) -> Answer {
    if wanted.is_some_and(|w| !directory.bridges.contains_key(w)) {
        return Err("Unknown bridge".to_owned());
    }
    let mut out = String::new();
    settle().await;
    for (kind, datapath) in directory.datapaths.iter() {
        if wanted.is_some_and(|w| directory.bridges[w].datapath != *kind) {
            continue;
        }
        let report = datapath.address.ask(ReadStats, PATIENCE).await.map_err(|e| e.to_string())?;
        let _ = writeln!(out, "{kind}@ovs-{kind}: packets dropped, by reason:");
        let mut total = 0;
        for (reason, text) in DROP_REASONS {
            let n = report.stats.dropped(*reason);
            total += n;
            if n > 0 {
                let _ = writeln!(out, "  {n:>12}  {text}");
            }
        }
        let _ = writeln!(out, "  {total:>12}  in total");
        by_port(&report, directory, datapath, wanted, &mut out);
        dropping_flows(directory, datapath, wanted, &mut out).await?;
    }
    Ok(out)
}

/// Drops by the port that packets came in at, and what devices lost.
fn by_port(
    report: &DatapathReport,
    directory: &Directory,
    datapath: &DatapathEntry,
    wanted: Option<&str>,
    out: &mut String,
) {
    let now_ms = clock::now_ms();
    let bridge_of = bridges_of(directory, datapath);
    let is_wanted = |port: &OdpPort| wanted.is_none_or(|w| bridge_of.get(port).is_none_or(|b| *b == w));
    let name = |port: &OdpPort| datapath.ports.get(port).map_or("?", String::as_str);
    let mut drops: Vec<_> = report.drops.iter().filter(|d| is_wanted(&d.port)).collect();
    // The latest first.
    drops.sort_by_key(|d| (std::cmp::Reverse(d.last_ms), d.port, d.why));
    if !drops.is_empty() {
        out.push_str("by port, where they came in, latest first:\n");
    }
    for drop in drops {
        let text = DROP_REASONS.iter().find(|(why, _)| *why == drop.why).map_or("?", |(_, text)| text);
        let age_ms = (now_ms - drop.last_ms).max(0);
        let _ = writeln!(out, "  {}: {}, last {age_ms} ms ago: {text}", name(&drop.port), packets(drop.packets));
    }
    let lossy = |(_, s, lost): &&(OdpPort, dp::PortStats, u64)| s.tx_dropped + s.tx_errors + lost > 0;
    let lossy: Vec<_> = report.ports.iter().filter(lossy).filter(|(port, ..)| is_wanted(port)).collect();
    if !lossy.is_empty() {
        out.push_str("by port, at the device:\n");
    }
    for (number, stats, lost) in lossy {
        let _ = writeln!(
            out,
            "  {}: {lost} before they were received, {} for want of room to send, {} refused by the device",
            name(number),
            stats.tx_dropped,
            stats.tx_errors
        );
    }
}

fn packets(n: u64) -> String {
    format!("{n} packet{}", if n == 1 { "" } else { "s" })
}

/// The first of a flow's rules, in the order in which they were come by, and how many more there were.
fn shortened(origins: &[String]) -> Vec<String> {
    let mut lines: Vec<String> = origins.iter().take(RULES_SHOWN).cloned().collect();
    let left_out = origins.get(RULES_SHOWN..).unwrap_or_default();
    let others = left_out.iter().filter(|line| !lines.contains(line)).count();
    if let Some(last) = left_out.last() {
        let again = if others == 0 {
            "all of them by these again".to_owned()
        } else {
            format!("{others} of them by other rules")
        };
        lines.push(format!("({} more passes left out, {again}; the last one is:)", left_out.len()));
        lines.push(last.clone());
    }
    lines
}

/// The bridges that a datapath's ports are at.
fn bridges_of<'a>(directory: &'a Directory, datapath: &DatapathEntry) -> BTreeMap<OdpPort, &'a str> {
    let at = |name: &String| directory.ports.get(name).map(|port| port.bridge.as_str());
    datapath.ports.iter().filter_map(|(number, name)| Some((*number, at(name)?))).collect()
}

/// Whether a flow's packets go nowhere.
fn drops(actions: &[flow::Action]) -> bool {
    actions.is_empty() || matches!(actions, [flow::Action::Drop(_)])
}

/// The flows that drop, latest first, each with the rules that made it.
async fn dropping_flows(
    directory: &Directory,
    datapath: &DatapathEntry,
    wanted: Option<&str>,
    out: &mut String,
) -> Result<(), String> {
    let mut flows = collect(directory, datapath).await?;
    flows.retain(|f| drops(&f.flow.entry.actions));
    flows.sort_by_key(|f| (std::cmp::Reverse(f.flow.stats.used_ms), f.flow.entry.ufid));
    flows.truncate(FLOWS_EXPLAINED);
    let origins = origins(directory, &flows).await;
    let bridge_of = bridges_of(directory, datapath);
    let mut explained: Vec<(Shown, Vec<String>)> =
        flows.into_iter().zip(origins).map(|(flow, lines)| (flow, lines.unwrap_or_default())).collect();
    if let Some(wanted) = wanted {
        // Packets may have come to it from another bridge.
        let passed = |line: &String| line.strip_prefix(wanted).is_some_and(|rest| rest.starts_with(": "));
        explained.retain(|(flow, lines)| bridge_of.get(&flow.in_port()) == Some(&wanted) || lines.iter().any(passed));
    }
    if explained.is_empty() {
        out.push_str("no cached flow drops packets now\n");
        return Ok(());
    }
    out.push_str("flows that drop, latest first:\n");
    let names = Names(&datapath.ports);
    let now_ms = clock::now_ms();
    for (shown, origins) in explained.iter().take(FLOWS_SHOWN) {
        let key = shown.key_text(&odp_text::KeyOptions { verbose: false, ports: Some(&names) });
        let flow = &shown.flow;
        let port = datapath.ports.get(&shown.in_port()).map_or("?", String::as_str);
        let age = match flow.stats.used_ms {
            0 => "its first packet only".to_owned(),
            used_ms => format!("last {} ms ago", (now_ms - used_ms).max(0)),
        };
        // The packet that made the flow was dropped before the flow could count it.
        let count = packets(flow.stats.packets + 1);
        let _ = writeln!(out, "  port {port}: {count}, {age}\n    {key}");
        for origin in shortened(origins) {
            let _ = writeln!(out, "    {origin}");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_of_rules_is_cut_and_counted() {
        let few: Vec<String> = (0..RULES_SHOWN).map(|n| format!("rule {n}")).collect();
        assert_eq!(shortened(&few), few);
        let again: Vec<String> = (0..100).map(|n| format!("rule {}", n % 2)).collect();
        let short = shortened(&again);
        assert_eq!(short[..RULES_SHOWN], again[..RULES_SHOWN]);
        assert_eq!(
            short[RULES_SHOWN..],
            ["(84 more passes left out, all of them by these again; the last one is:)", "rule 1"]
        );
        let mut other = again;
        other.push("drop".to_owned());
        assert_eq!(
            shortened(&other)[RULES_SHOWN..],
            ["(85 more passes left out, 1 of them by other rules; the last one is:)", "drop"]
        );
    }
}
