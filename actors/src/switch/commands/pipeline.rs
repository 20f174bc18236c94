//! Commands about a bridge's OpenFlow pipeline: its rules, and what it does with a packet.

use super::context::{PATIENCE, Registry, control};
use crate::msg::bridge::DumpFlows;
use crate::switch::directory::Directory;
use crate::switch::tunnels;
use crate::unixctl::Answer;
use ofproto::view::Setting;

const TRACE_USAGE: &str = "{[dp_name] odp_flow | bridge br_flow} [OPTIONS...] [-generate|packet]";
const PACKET_OUT_USAGE: &str =
    "[-consistent] {[dp_name] odp_flow | bridge br_flow} [OPTIONS...] [-generate|packet] actions";

/// Registers them.
pub(super) fn add(registry: &mut Registry<'_>) {
    registry.ask("ofproto/list", "", (0, 0), |directory, _| async move {
        Ok(directory.bridges.keys().map(|name| format!("{name}\n")).collect())
    });
    registry.ask("bridge/dump-flows", "[--offload-stats] bridge", (1, 2), |directory, args| async move {
        // The last word is the bridge; another option before it means nothing.
        let offload = args.len() > 1 && args[0] == "--offload-stats";
        let bridge = args.last().and_then(|n| directory.bridges.get(n)).ok_or("Unknown bridge")?;
        bridge.address.ask(DumpFlows { offload }, PATIENCE).await.map_err(|e| e.to_string())
    });
    registry.bridges("bridge/reconnect", "Unknown bridge", "");
    registry.ask("ofproto/trace", TRACE_USAGE, (1, usize::MAX), |directory, args| async move {
        trace(&directory, "ofproto/trace", args).await
    });
    registry.ask("ofproto/trace-packet-out", PACKET_OUT_USAGE, (2, usize::MAX), |directory, args| async move {
        trace(&directory, "ofproto/trace-packet-out", args).await
    });
    registry.ask("ofproto/list-tunnels", "", (0, 0), |directory, _| async move {
        let mut lines: Vec<_> = directory
            .ports
            .iter()
            .filter_map(|(name, p)| {
                let (odp, config) = (p.odp?, p.tunnel.as_ref()?);
                // The most particular come first, as they are asked first.
                let any = config.local == Setting::Absent;
                Some((
                    any,
                    p.bridge.clone(),
                    p.port,
                    format!("port {odp}: {name} ({})\n", tunnels::listed(config, odp)),
                ))
            })
            .collect();
        lines.sort();
        Ok(lines.into_iter().map(|(.., line)| line).collect())
    });
}

/// The bridge that the flow comes in at carries the trace out: frozen states are its own.
async fn trace(directory: &Directory, name: &'static str, args: Vec<String>) -> Answer {
    // Datapaths of different types may have the same numbers.
    let view = args.iter().find_map(|arg| directory.views.get(ofproto::trace::type_in(arg))).unwrap_or(&directory.view);
    let request = ofproto::trace::parse(view, &args, name == "ofproto/trace-packet-out");
    if request.as_ref().err().is_some_and(|error| error == ofproto::trace::NO_TUNNEL)
        && let Some(text) = ofproto::trace::stray(view, &args)
    {
        vlog::warn_rl!("tunnel", 1, 5, "{text}");
    }
    let request = request?;
    let bridge = directory.bridges.iter().find(|(_, b)| b.id == request.bridge).map(|(name, _)| name.clone());
    control(directory, &bridge.ok_or("Unknown bridge")?, name, args, "Unknown bridge").await
}
