//! `stp/*`, `rstp/*`, `bfd/*`, `cfm/*`, `autoattach/*`.

use super::bond::texts;
use super::context::{PATIENCE, Registry};
use crate::msg::bridge::Control;

/// Registers them.
pub(super) fn add(registry: &mut Registry<'_>) {
    for (show, change, refusal) in
        [("stp/show", "stp/tcn", "no such stp object"), ("rstp/show", "rstp/tcn", "No such RSTP object")]
    {
        registry.ask(show, "[bridge]", (0, 1), move |directory, args| async move {
            let found = texts(&directory, show, args.first().map(String::as_str)).await?;
            found.ok_or_else(|| refusal.to_owned())
        });
        registry.ask(change, "[bridge]", (0, 1), move |directory, args| async move {
            let mut found = args.is_empty();
            for (name, bridge) in directory.bridges.iter() {
                if args.first().is_some_and(|wanted| wanted != name) {
                    continue;
                }
                let control = Control { name: change, args: Vec::new() };
                let answer = bridge.address.ask(control, PATIENCE).await.map_err(|e| e.to_string())??;
                found |= !answer.is_empty();
            }
            if found { Ok("OK".to_owned()) } else { Err(refusal.to_owned()) }
        });
    }
    for name in ["autoattach/status", "autoattach/show-isid", "autoattach/statistics"] {
        // Ports of all bridges, whichever is named: as Open vSwitch.
        registry.ask(name, "[bridge]", (0, 1), move |directory, _| async move {
            Ok(texts(&directory, name, None).await?.unwrap_or_default())
        });
    }
    // A session that is asked for by name is not headed by it; an end point is.
    for (show, refusal, always_headed) in
        [("bfd/show", "no such bfd object", false), ("cfm/show", "no such CFM object", true)]
    {
        registry.ask(show, "[interface]", (0, 1), move |directory, args| async move {
            let wanted = args.first().map(String::as_str);
            let headed = wanted.is_none() || always_headed;
            let command = if headed { show } else { "bfd/show-one" };
            let found = texts(&directory, command, wanted).await?;
            found.ok_or_else(|| refusal.to_owned())
        });
    }
    for (name, refusal) in [("bfd/set-forwarding", "no such BFD object"), ("cfm/set-fault", "no such CFM object")] {
        registry.ask(name, "[interface] normal|false|true", (1, 2), move |directory, args| async move {
            if !matches!(args.last().map(String::as_str), Some("normal" | "false" | "true")) {
                return Err("unknown fault string".to_owned());
            }
            let mut found = args.len() == 1;
            for bridge in directory.bridges.values() {
                let control = Control { name, args: args.clone() };
                let answer = bridge.address.ask(control, PATIENCE).await.map_err(|e| e.to_string())??;
                found |= !answer.is_empty();
            }
            if found { Ok("OK".to_owned()) } else { Err(refusal.to_owned()) }
        });
    }
}
