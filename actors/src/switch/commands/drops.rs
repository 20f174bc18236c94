//! `ofproto/why-dropped`: why packets were dropped, by reason, rule and port. There is no such command elsewhere.

use std::collections::BTreeMap;
use std::fmt::Write;

use dp::Drop;
use flow::odp::DropReason;
use flow::odp_text;

use super::context::{Names, PATIENCE, Registry};
use super::flows::collect;
use crate::clock;
use crate::msg::bridge::DropExplained;
use crate::msg::datapath::ReadStats;
use crate::switch::directory::Directory;
use crate::unixctl::Answer;

/// Flows shown at the most.
const FLOWS_SHOWN: usize = 20;

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
    (Drop::Tunnel, "a tunnel action that the datapath does not have"),
    (Drop::Segmentation, "could not be cut into segments"),
    (Drop::Policer, "more than the port's policing allows in"),
];

async fn why_dropped(directory: &Directory, wanted: Option<&str>) -> Answer {
    if wanted.is_some_and(|w| !directory.bridges.contains_key(w)) {
        return Err("Unknown bridge".to_owned());
    }
    let mut out = String::new();
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
        let lossy: Vec<_> = report.ports.iter().filter(|(_, s, lost)| s.tx_dropped + s.tx_errors + lost > 0).collect();
        if !lossy.is_empty() {
            out.push_str("by port, at the device:\n");
        }
        for (number, stats, lost) in lossy {
            let name = datapath.ports.get(number).map_or("?", String::as_str);
            let _ = writeln!(
                out,
                "  {name}: {lost} before they were received, {} for want of room to send, {} refused by the device",
                stats.tx_dropped, stats.tx_errors
            );
        }
        dropping_flows(directory, datapath, wanted, &mut out).await?;
    }
    Ok(out)
}

/// Whether a flow's packets go nowhere.
fn drops(actions: &[flow::Action]) -> bool {
    actions.is_empty() || matches!(actions, [flow::Action::Drop(_)])
}

/// The flows that drop, latest first, each with the rules that made it.
async fn dropping_flows(
    directory: &Directory,
    datapath: &crate::switch::directory::DatapathEntry,
    wanted: Option<&str>,
    out: &mut String,
) -> Result<(), String> {
    let mut flows = collect(directory, datapath).await?;
    let bridge_of: BTreeMap<flow::OdpPort, &str> =
        directory.ports.values().filter_map(|p| Some((p.odp?, p.bridge.as_str()))).collect();
    flows.retain(|f| {
        let bridge = bridge_of.get(&f.in_port()).copied();
        drops(&f.flow.entry.actions) && wanted.is_none_or(|w| bridge == Some(w))
    });
    flows.sort_by_key(|f| (std::cmp::Reverse(f.flow.stats.used_ms), f.flow.entry.ufid));
    if flows.is_empty() {
        out.push_str("no cached flow drops packets now\n");
        return Ok(());
    }
    out.push_str("flows that drop, latest first:\n");
    let names = Names(&datapath.ports);
    let now_ms = clock::now_ms();
    for shown in flows.iter().take(FLOWS_SHOWN) {
        let key = shown.key_text(&odp_text::KeyOptions { verbose: false, ports: Some(&names) });
        let flow = &shown.flow;
        let port = datapath.ports.get(&shown.in_port()).map_or("?", String::as_str);
        let age = match flow.stats.used_ms {
            0 => "its first packet only".to_owned(),
            used_ms => format!("last {} ms ago", (now_ms - used_ms).max(0)),
        };
        // The packet that made the flow was dropped before the flow could count it.
        let packets = flow.stats.packets + 1;
        let _ = writeln!(out, "  port {port}: {packets} packets, {age}\n    {key}");
        let owner = ofproto::bridge::owner(flow.entry.ufid);
        if let Some(bridge) = directory.bridges.values().find(|b| b.id == owner) {
            let explained = bridge.address.ask(DropExplained(flow.entry.ufid), PATIENCE).await;
            for rule in explained.unwrap_or_default() {
                let _ = writeln!(out, "    rule: {rule}");
            }
        }
    }
    Ok(())
}
